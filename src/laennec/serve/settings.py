"""What a service is started with."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field

from laennec.errors import UsageError
from laennec.images.decoding import cores
from laennec.noun import Noun

MEBI = 2**20
Doorkeeper = Literal["refuse", "refer"]


class Settings(Noun):
    """What a service is started with.

    Attributes:
        bundles: folders, the first one the model of those who name none.
        host, port: where it listens; port 0 takes a free one.
        ui: whether it has the page.
        state: folder of what it keeps: jobs, the audit lines, its secret. None: no jobs, audit lines go to the log.
        keys: file of the hashed keys (`laennec.serve.keys`); None: no key is asked for.
        gate: what is done with pictures that are no upright frontal chest radiographs: refused, or answered and
            referred to a person.
        threads: of each model; 0 takes all cores.
        decoders: processes that decode, for each way to prepare pictures; 0 takes one a core.
        in_flight: requests that may be at work at once; more are answered 503. 0 takes eight a core.
        deadline: seconds in which a request is answered, or 504.
        rate: requests a second of each key, or address without keys; 0 for no bound.
        file_bytes, batch_bytes, job_bytes: most that a file, a batch, a job may have.
        batch_files, job_files: files in them.
        most_batch: images the model is given at a time.
        linger: milliseconds that a batch waits for images that are still decoded, when others are at work.
        patience: seconds that decoding one image may take.
        decoder_bytes: memory that decoding one image may take.
        drain: seconds that requests at work have to end in after SIGTERM.
        certificate, private_key: files of TLS; both or none.
        names: host names it answers to, beside the address it listens on; empty on an outside address takes any.
        traces: where OpenTelemetry spans go; empty for nowhere.
        keep: hours that the results of a job are kept.
        stuck: seconds that a body may take to arrive.
    """

    bundles: tuple[Path, ...] = Field(min_length=1)
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    ui: bool = False
    state: Path | None = None
    keys: Path | None = None
    gate: Doorkeeper = "refuse"
    threads: int = Field(default=0, ge=0)
    decoders: int = Field(default=0, ge=0)
    in_flight: int = Field(default=0, ge=0)
    deadline: float = Field(default=10.0, gt=0)
    rate: float = Field(default=0.0, ge=0)
    file_bytes: int = Field(default=32 * MEBI, gt=0)
    batch_bytes: int = Field(default=128 * MEBI, gt=0)
    job_bytes: int = Field(default=1024 * MEBI, gt=0)
    batch_files: int = Field(default=16, gt=0)
    job_files: int = Field(default=10_000, gt=0)
    most_batch: int = Field(default=8, gt=0, le=64)
    linger: float = Field(default=1.0, ge=0)
    patience: float = Field(default=4.0, gt=0)
    decoder_bytes: int = Field(default=1024 * MEBI, gt=0)
    drain: float = Field(default=30.0, gt=0)
    certificate: Path | None = None
    private_key: Path | None = None
    names: tuple[str, ...] = ()
    traces: str = ""
    keep: float = Field(default=24.0, gt=0)
    stuck: float = Field(default=20.0, gt=0)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def places(self) -> int:
        """Requests at work at once."""
        return self.in_flight or 8 * cores()

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self.certificate else "http"

    def check(self) -> None:
        """Refuse what must not be started.

        Raises:
            UsageError: it could be reached from outside and asks for no key; half of TLS; two bundles of one name.
        """
        if not self.loopback and self.keys is None:
            raise UsageError(
                f"{self.host} can be reached from outside, and no key is asked for",
                "make a key: laennec key NAME --file keys.txt, then serve with --keys keys.txt; or leave out --host",
            )
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("TLS needs a certificate and its key", "give both --tls-certificate and --tls-key")
        for path in (self.certificate, self.private_key, self.keys):
            if path is not None and not path.is_file():
                raise UsageError(f"there is no file {path}", "check the path")
        self._check_tls()
        names = [path.resolve().name for path in self.bundles]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"two bundles are named '{twice}'", "requests name a model by its folder: rename one")

    def _check_tls(self) -> None:
        if self.certificate is None or self.private_key is None:
            return
        import ssl

        try:
            # an encrypted key would ask for its password at the terminal
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.private_key, lambda: "")
        except (OSError, ValueError) as error:  # ssl's own errors are of these
            raise UsageError(
                "the certificate and its key cannot be used together",
                "give PEM files that belong together, the key without a password",
            ) from error


def is_loopback(host: str) -> bool:
    """Whether an address or name leads to this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
