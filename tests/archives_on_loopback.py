"""For the tests of what goes in and out: radiographs with a name in them, a DICOM archive and a DICOMweb service."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from types import SimpleNamespace
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from laennec.deidentifying import deidentify
from laennec.nodes import instance_uid
from laennec.preprocess import Preprocess
from laennec.receiving.making import Made
from laennec.results import Prediction

SECRETS = ("HOPPER^GRACE", "PID-77120", "19061209", "ACC-4711", "General Hospital", "DrStrange")
DX, CT, SR, SC = (
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.7",
)


def radiograph(number: int = 0, study: str = "", **changes: Any) -> Dataset:
    """A small digital radiograph, with the patient named in its tags."""
    rng = np.random.default_rng(number)
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = DX, generate_uid(entropy_srcs=["instance", str(number)])
    made.StudyInstanceUID = study or generate_uid(entropy_srcs=["study", str(number)])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
    made.PatientName, made.PatientID, made.PatientBirthDate, made.AccessionNumber, made.InstitutionName = SECRETS[:5]
    made.ReferringPhysicianName = SECRETS[5]
    made.Modality, made.Manufacturer, made.StudyDate, made.StudyTime = "DX", "ACME", "20240102", "101112"
    made.StudyID, made.SeriesNumber, made.InstanceNumber, made.PatientSex = "1", 1, number, ""
    made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = 64, 48, 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.PixelData = rng.integers(0, 60_000, (64, 48), np.uint16).tobytes()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def as_file(dataset: Dataset) -> bytes:
    """The data set as a DICOM file."""
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def answer_to(data: bytes, kind: str) -> bytes:
    """A stand-in for an object laennec makes: it joins the study, and its UID depends on what it answers alone."""
    source = pydicom.dcmread(io.BytesIO(data))
    made = radiograph(0, str(source.StudyInstanceUID), SOPClassUID=SC, Modality="OT", Manufacturer="laennec")
    made.SOPInstanceUID = generate_uid(entropy_srcs=[str(source.SOPInstanceUID), kind])
    return as_file(made)


PREDICTOR: Any = SimpleNamespace(
    point=SimpleNamespace(rule="balanced"),
    gate="off",
    answers=lambda *_: [
        Prediction(id="", positive=True, refer=False, bundle_digest="d" * 64, image={}, milliseconds=1.0)
    ],
    bundle=SimpleNamespace(path=Path(), digest="d" * 64, card=SimpleNamespace(preprocess=Preprocess(size=32))),
)


class Making:
    """In the place of the process that makes objects, which takes seconds to start."""

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def make(self, answer: Any, file: Path, kinds: Any) -> Made:
        data = file.read_bytes()
        made = [(kind, answer_to(data, kind)) for kind in kinds or ("report", "capture")]
        return Made(tuple((kind, instance_uid(one), one) for kind, one in made))

    def strip(self, file: Path) -> bytes | None:
        without = deidentify(file.read_bytes())
        return None if without.burned_in else without.data


@dataclass
class Archive:
    """A DICOM node that keeps what it gets. `status` is what it answers C-STORE."""

    port: int = 0
    kept: list[tuple[str, str, bytes]] = field(default_factory=list)  # SOP Instance UID, study, data set
    status: Callable[[], int] = lambda: 0x0000
    callers: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return f"ARCHIVE@127.0.0.1:{self.port}"

    def wait(self, count: int, seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while len(self.kept) < count and time.monotonic() < until:
            time.sleep(0.02)
        assert len(self.kept) >= count, f"{len(self.kept)} of {count} came"


@contextmanager
def archive(port: int = 0, classes: tuple[str, ...] = (DX, SC, SR), tls: Any = None) -> Iterator[Archive]:
    """An archive on loopback."""
    from pynetdicom import AE, evt

    held = Archive()

    def store(event: Any) -> int:
        status = held.status()
        if status == 0x0000:
            dataset = event.dataset
            held.callers.append(event.assoc.requestor.ae_title)
            held.kept.append(
                (str(dataset.SOPInstanceUID), str(dataset.StudyInstanceUID), event.encoded_dataset(include_meta=False))
            )
        return status

    entity = AE("ARCHIVE")
    entity.require_called_aet = True
    for one in classes:
        entity.add_supported_context(one)
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)], ssl_context=tls
    )
    held.port = server.server_address[1]
    try:
        yield held
    finally:
        entity.shutdown()


def store(port: int, datasets: list[Dataset], called: str = "LAENNEC", calling: str = "MODALITY") -> list[int | None]:
    """C-STORE data sets to a receiver; its statuses, None where none came."""
    from pynetdicom import AE

    entity = AE(calling)
    for sop_class, syntax in dict.fromkeys(
        (str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in datasets
    ):
        entity.add_requested_context(sop_class, syntax)
    link = entity.associate("127.0.0.1", port, ae_title=called)
    if not link.is_established:
        return [None] * len(datasets)
    statuses: list[int | None] = []
    for one in datasets:
        try:
            statuses.append(link.send_c_store(one).get("Status"))
        except RuntimeError:
            statuses.append(None)
    if link.is_established:
        link.release()
    return statuses


def parts(body: bytes, content_type: str) -> list[bytes]:
    """The parts of a multipart/related body (RFC 2387), strictly."""
    named = re.fullmatch(r'multipart/related;\s*type="application/dicom";\s*boundary="?([^";]+)"?', content_type)
    assert named is not None, content_type
    pieces = (b"\r\n" + body).split(b"\r\n--" + named[1].encode())
    assert not pieces[0].strip() and pieces[-1].startswith(b"--"), "the body does not begin and end with the boundary"
    found = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        assert b"content-type: application/dicom" in head.lower()
        found.append(content)
    return found


@dataclass
class Service:
    """A DICOMweb service that keeps what it gets, by study."""

    port: int = 0
    token: str = ""
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refuse: tuple[str, ...] = ()  # SOP classes
    status: str = ""  # answers this to everything
    answer: bytes = b""  # answers this to what is stored
    location: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        self.seen.append((method, path))
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if environ.get("HTTP_TRANSFER_ENCODING") == "chunked":
            body = b""
            while length := int(environ["wsgi.input"].readline(), 16):
                body += environ["wsgi.input"].read(length)
                environ["wsgi.input"].readline()
            environ["wsgi.input"].readline()
        else:
            body = environ["wsgi.input"].read(size)
        if self.status:
            start(self.status, [("Location", self.location)] if self.location else [])
            return []
        if self.token and environ.get("HTTP_AUTHORIZATION") != self.token:
            start("401 Unauthorized", [])
            return []
        assert environ["HTTP_HOST"] == f"127.0.0.1:{self.port}"
        if method == "POST":
            return self._stored(body, environ["CONTENT_TYPE"], start)
        wanted = path.removeprefix("/dicom-web/studies/").split("/")
        files = [data for uid, data in self.kept.get(wanted[0], {}).items() if len(wanted) < 5 or uid == wanted[4]]
        if not files:
            start("404 Not Found", [])
            return []
        start("200 OK", [("Content-Type", 'multipart/related; type="application/dicom"; boundary=XX')])
        told = b"".join(b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data in files)
        return [told + b"--XX--\r\n"]

    def _stored(self, body: bytes, content_type: str, start: Callable[..., Any]) -> list[bytes]:
        failed = []
        for part in parts(body, content_type):
            dataset = pydicom.dcmread(io.BytesIO(part))
            if dataset.SOPClassUID in self.refuse:
                failed.append(
                    {
                        "00081150": {"vr": "UI", "Value": [str(dataset.SOPClassUID)]},
                        "00081155": {"vr": "UI", "Value": [str(dataset.SOPInstanceUID)]},
                        "00081197": {"vr": "US", "Value": [0x0122]},
                    }
                )
                continue
            self.kept.setdefault(str(dataset.StudyInstanceUID), {})[str(dataset.SOPInstanceUID)] = part
        start("202 Accepted" if failed else "200 OK", [("Content-Type", "application/dicom+json; charset=utf-8")])
        return [self.answer or json.dumps({"00081198": {"vr": "SQ", "Value": failed}} if failed else {}).encode()]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def service(token: str = "") -> Iterator[Service]:
    """A DICOMweb service on loopback."""
    held = Service(token=token)
    server = make_server("127.0.0.1", 0, held, server_class=_Threaded, handler_class=_Quiet)
    held.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
