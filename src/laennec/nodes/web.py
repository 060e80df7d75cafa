"""DICOMweb (PS3.18): objects stored by STOW-RS and fetched by WADO-RS, over HTTPS unless it stays on this machine."""

from __future__ import annotations

import io
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from laennec.errors import LaennecError, UsageError, extra
from laennec.nodes.outcomes import STORED, Unreachable, discreet, valid_uid

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

_T = TypeVar("_T")

TOKEN = "LAENNEC_DICOMWEB_TOKEN"  # noqa: S105  the variable's name
MOST_BYTES = 4 * 2**30
_CONNECT, _SILENCE = 10.0, 60.0  # seconds
_LATER = {408, 425, 429, 500, 502, 503, 504, 507}
_JSON = re.compile(r"application/(?:dicom\+)?json\s*;", re.I)


class _Refused(LaennecError):
    """The service answers with a status that trying again does not change."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the DICOMweb service answers {status}", "ask who runs it")
        self.status = status


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def token_of(file: Path | None = None) -> str:
    """What authorises requests: the first line of `file`, else the variable ``LAENNEC_DICOMWEB_TOKEN``, else nothing.

    Raises:
        UsageError: the file cannot be read, is empty, or holds what no header can.
    """
    token = os.environ.get(TOKEN, "")
    if file is not None:
        try:
            token = next(iter(file.read_text(encoding="utf-8").splitlines()), "")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError("the file of the token cannot be read", "name a text file that holds one line") from error
        if not token.strip():
            raise UsageError("the file of the token is empty", "put the token on its first line")
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise UsageError("the token holds characters that no header can", "give it as the server's owner wrote it")
    return token


@dataclass(frozen=True)
class Web:
    """A DICOMweb service.

    Attributes:
        url: where its ``/studies`` begin, say ``https://pacs.example/dicom-web``.
        token: sent as ``Authorization: Bearer …``, or as it stands where it begins with a scheme (``Basic …``).
        ca: PEM file of the authorities its certificate is held against; by default those requests knows.
        plain: HTTP is allowed beyond this machine too, where anybody on the way can read and change what is sent.
    """

    url: str
    token: str = field(default="", repr=False)
    ca: Path | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError("this is no address of a DICOMweb service", "write https://host/path") from error
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError("this is no address of a DICOMweb service", "write https://host/path")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise UsageError(
                "the address holds a password, a query or a fragment",
                f"give the address alone, and what authorises in a file or in {TOKEN}",
            )
        if parts.scheme == "http" and not is_loopback(host) and not self.plain:
            raise UsageError(
                "over HTTP patients' data could be read on their way", "take https, or allow it with --plain-http"
            )
        if self.ca is not None and not self.ca.is_file():
            raise UsageError("there is no such file of authorities", "name a PEM file in --tls-ca")

    @classmethod
    def parse(cls, url: str, token: str = "", ca: Path | None = None, plain: bool = False) -> Self:
        """The service at `url`, its trailing slash left out. Raises `UsageError`."""
        return cls(url.strip().rstrip("/"), token, ca, plain)

    @property
    def kind(self) -> str:
        """``web``."""
        return "web"

    def deliver(self, files: list[bytes]) -> tuple[str, ...]:
        """STOW-RS of each file; see `stow`."""
        return stow(self, files)


def stow(web: Web, files: Sequence[bytes]) -> tuple[str, ...]:
    """Store DICOM files (Part 10) at a DICOMweb service, each in a request of its own, so that one spoils no other.

    Returns:
        For each file `STORED`, or why the service will not have it: ``unreadable``, ``status_XXXX`` (its Failure
        Reason, PS3.18 10.5.3) or ``http_NNN``.

    Raises:
        Unreachable: it does not answer, has no room, asks for other authorisation (401, 403), leads elsewhere, or is
            not there (404, 405).
        MissingExtra: the extra ``pacs`` is not installed.
    """
    statuses: list[int] = []
    client = _client(web, statuses=statuses)
    with discreet():
        return tuple(_stow_one(client, data, statuses) for data in files)


def _stow_one(client: DICOMwebClient, data: bytes, statuses: list[int]) -> str:
    import pydicom

    before = len(statuses)
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        pydicom.dcmwrite(io.BytesIO(), dataset)
    except Exception:  # pydicom raises whatever the damage runs into
        return "unreadable"
    try:
        told = _asked(lambda: client.store_instances([dataset]))
        failed = told.get("FailedSOPSequence")
        return f"status_{int(failed[0].get('FailureReason') or 0):04X}" if failed else STORED
    except _Refused as error:
        return f"http_{error.status}"
    except (ValueError, AttributeError, TypeError, KeyError, SyntaxError):
        if len(statuses) == before:  # nothing came: it was never sent
            return "unreadable"
        # what it answers cannot be read
        return STORED if statuses[-1] == 200 else f"http_{statuses[-1]}"


def fetch(
    web: Web, study: str, series: str | None = None, instance: str | None = None, most: int = MOST_BYTES
) -> Iterator[bytes]:
    """DICOM files (Part 10) of a study, of one of its series, or one instance, in the coding they are kept in.

    Args:
        web: the service.
        study, series, instance: UIDs; an instance needs its series.
        most: bytes that may come in all.

    Raises:
        UsageError: a UID is none, or an instance without its series.
        Unreachable: the service does not answer, or has no such study.
        LaennecError: what it answers is not DICOM, or too much.
        MissingExtra: the extra ``pacs`` is not installed.
    """
    valid_uid(study, "study")
    if instance is not None and series is None:
        raise UsageError("an instance is named without its series", "give --series too")
    where = [(series, "series"), (instance, "instance")]
    named = [valid_uid(uid, what) for uid, what in where if uid is not None]
    with extra("pacs"):
        import pydicom
    client = _client(web, most)
    kept = (("application/dicom", "*"),)

    def ask() -> Iterable[Any]:
        if len(named) == 2:
            return [client.retrieve_instance(study, named[0], named[1], media_types=kept)]
        if named:
            return client.iter_series(study, named[0], media_types=kept)
        return client.iter_study(study, media_types=kept)

    def following(datasets: Iterator[Any]) -> bytes | None:
        try:
            dataset = next(datasets, None)
            if dataset is None:
                return None
            written = io.BytesIO()
            pydicom.dcmwrite(written, dataset, enforce_file_format=True)
            return written.getvalue()
        except (OSError, LaennecError):
            raise
        except Exception as error:  # pydicom raises whatever the damage runs into
            raise LaennecError("the service answers something that is not DICOM", "check its address") from error

    with discreet():
        datasets = iter(_asked(ask))
    while True:
        with discreet():
            data = _asked(lambda: following(datasets))
        if data is None:
            return
        yield data


def _asked(request: Callable[[], _T]) -> _T:
    """What a request answers, its failures told in our words: those of the libraries quote addresses and headers."""
    try:
        return request()
    except OSError as error:  # the base of all that requests raises
        if isinstance(error, json.JSONDecodeError):  # requests makes it an OSError too
            raise ValueError from error
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is None:
            raise Unreachable(
                "the DICOMweb service does not answer", "check address and TLS, and that it runs"
            ) from error
        if status in (401, 403):
            raise Unreachable(
                f"the DICOMweb service refuses ({status})", f"check the token in {TOKEN} or its file"
            ) from error
        if status in _LATER:
            raise Unreachable(f"the DICOMweb service answers {status}", "try again later") from error
        if status in (404, 405, 410) or 300 <= status < 400:
            raise Unreachable(f"the DICOMweb service answers {status}", "check address and UIDs") from error
        raise _Refused(status) from error


def _client(web: Web, most: int = MOST_BYTES, statuses: list[int] | None = None) -> DICOMwebClient:
    with extra("pacs"):
        from dicomweb_client import DICOMwebClient
        from dicomweb_client.session_utils import create_session_from_auth
    scheme = web.token.partition(" ")[0].lower()
    header = web.token if scheme in ("basic", "bearer", "digest") else f"Bearer {web.token}"

    def authorise(request: Any) -> Any:
        request.headers.pop("Host", None)  # the library sets one without the port
        if web.token:
            request.headers["Authorization"] = header
        return request

    session = create_session_from_auth(authorise)  # type: ignore[arg-type]
    session.max_redirects = 0  # a redirection would take patients' data elsewhere
    session.headers["User-Agent"] = "laennec"
    if web.ca is not None:
        session.verify = str(web.ca)
    if is_loopback(urlsplit(web.url).hostname or ""):
        session.trust_env = False  # no proxy between this machine and itself
    client = DICOMwebClient(
        web.url,
        session,
        callback=_bounded(most, [] if statuses is None else statuses),
        timeout=(_CONNECT, _SILENCE),
        permissive_uid=True,
    )
    client.set_http_retry_params(retry=False)
    return client


def _bounded(most: int, statuses: list[int]) -> Callable[..., Any]:
    """Lets a response bring `most` bytes, its type be read where the server added a parameter, and notes its status."""

    def hook(response: Any, *_: Any, **__: Any) -> Any:
        statuses.append(response.status_code)
        named = response.headers.setdefault("Content-Type", "text/plain")
        if _JSON.match(named):
            response.headers["Content-Type"] = named.partition(";")[0].strip()
        come = response.iter_content

        def iter_content(chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
            left = most
            for chunk in come(chunk_size, decode_unicode):
                left -= len(chunk)
                if left < 0:
                    response.close()
                    raise LaennecError(f"the service sends more than {most:,} bytes", "fetch one series at a time")
                yield chunk

        response.iter_content = iter_content
        return response

    return hook
