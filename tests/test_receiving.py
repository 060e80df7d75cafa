"""Radiographs in, objects out: nothing accepted is lost or doubled, nothing of a patient is told, no loop."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from hypothesis import given, settings
from hypothesis import strategies as st

from archives_on_loopback import (
    CT,
    DX,
    PREDICTOR,
    SECRETS,
    SR,
    Making,
    answer_to,
    archive,
    as_file,
    radiograph,
    service,
    store,
)
from laennec.cli import run
from laennec.errors import ImageError, LaennecError, StorageFull, UsageError
from laennec.images.decoding import Answer
from laennec.nodes import (
    Folder,
    Node,
    Tls,
    Unreachable,
    Web,
    destination,
    echo,
    fetch,
    send,
    stow,
    token_of,
)
from laennec.predictor import Predictor
from laennec.receiving import Door, listen, watch
from laennec.receiving.kinds import look
from laennec.receiving.making import Maker
from laennec.receiving.spool import Spool

HERE = Path(__file__).parent


DECODING = {"test_a_radiograph_is_answered_once_into_its_study", "test_what_cannot_be_read_is_refused_in_one_line"}

MAKING = {"test_headers_are_parsed_elsewhere"}


class NoDecoders(contextlib.nullcontext[Any]):
    """In the place of the watched process, which takes a second to start."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(self)

    def ask(self, row: int, *files: str) -> None:
        assert Path(files[0]).is_file()

    def answer(self) -> Answer:
        return Answer(0, 0.0, done={})


@pytest.fixture(autouse=True)
def stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the model; decoding is tried by the tests that are about it, and by the processes."""
    if "slow" not in request.keywords and request.node.name not in MAKING:
        monkeypatch.setattr("laennec.receiving.answering.Maker", Making)
        if request.node.name not in DECODING:
            monkeypatch.setattr("laennec.receiving.answering.Decoders", NoDecoders)


@contextlib.contextmanager
def receiver(to: Any, spool: Path, **more: Any) -> Iterator[int]:
    """A receiver in this process, on a free port; stopped at the end, and what it raised is raised."""
    stop, port, failed = threading.Event(), list[int](), list[BaseException]()
    door, predictor = more.pop("door", Door(port=0)), more.pop("predictor", PREDICTOR)

    def run() -> None:
        try:
            listen(predictor, to, spool, door=door, stop=stop, ready=port.append, backoff=(0.05, 0.1), **more)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not port and thread.is_alive():
        time.sleep(0.01)
    try:
        if not failed:
            yield port[0]
    finally:
        stop.set()
        thread.join(30)
    if failed:
        raise failed[0]


def lines(text: str) -> list[dict[str, Any]]:
    """The log, every line of which is JSON."""
    return [json.loads(line) for line in text.splitlines()]


def events(text: str, event: str) -> list[dict[str, Any]]:
    return [line for line in lines(text) if line["event"] == event]


def bytes_under(folder: Path) -> bytes:
    """Names and contents of all files."""
    return b"\n".join(
        str(path.relative_to(folder)).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come true")


def holds_nothing_of_the_patient(*told: bytes | str) -> None:
    for one in told:
        raw = one if isinstance(one, bytes) else one.encode()
        for secret in (*SECRETS, *(secret.split("^")[0] for secret in SECRETS), "2.25.", "1.2.826.0.1"):
            assert secret.encode() not in raw


# Addresses


@pytest.mark.parametrize("text", ["PACS@10.0.0.5:104", "A B@host-1.example:11112", "X@[::1]:4242"])
def test_a_node_is_read_from_its_address(text: str) -> None:
    node = Node.parse(text)
    assert (node.title, node.port) == (text.partition("@")[0], int(text.rpartition(":")[2]))
    assert isinstance(destination(text), Node)


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "@host:104", "P\\X@h:1", "SEVENTEEN-LETTERS@h:1", "P@h:0", "P@h:99999"]
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Node.parse(text)


def test_patients_do_not_travel_over_plain_http(tmp_path: Path) -> None:
    for url in (
        "http://pacs.example/dicom-web",
        "ftp://x",
        "https://me:mellon@pacs.example",
        "http://127.0.0.1.evil.example/",
    ):
        with pytest.raises(UsageError) as told:
            destination(url)
        assert "mellon" not in str(told.value) + told.value.hint
    assert isinstance(destination("http://pacs.example/dicom-web", plain_http=True), Web)
    assert isinstance(destination("http://[::1]:8042/dicom-web/"), Web)
    assert isinstance(destination(str(tmp_path / "out")), Folder)
    assert "sesame" not in repr(Web.parse("https://pacs.example", "sesame"))


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAENNEC_DICOMWEB_TOKEN", "environment")
    (tmp_path / "token").write_text("sesame\n")
    assert (token_of(), token_of(tmp_path / "token")) == ("environment", "sesame")
    (tmp_path / "bad").write_bytes(b"a\x00b\xff")
    for wrong in ("bad", "missing"):
        with pytest.raises(UsageError) as told:
            token_of(tmp_path / wrong)
        assert str(tmp_path) not in str(told.value)


# C-STORE and C-ECHO to a node


def test_objects_are_sent_and_each_refusal_told() -> None:
    good, ct = radiograph(1), radiograph(2, SOPClassUID=CT, Modality="CT")
    with archive() as held:
        node = Node.parse(held.text)
        assert 0 < echo(node) < 5
        assert send(node, [as_file(good), as_file(ct), b"no DICOM", as_file(good)]) == (
            "",
            "no_context",
            "unreadable",
            "",
        )
        assert [uid for uid, _, _ in held.kept] == [good.SOPInstanceUID] * 2
        assert b"HOPPER^GRACE" in held.kept[0][2]
        held.status = lambda: 0xC123
        assert send(node, [as_file(good)]) == ("status_C123",)
        held.status = lambda: 0xB000
        assert send(node, [as_file(good)]) == ("",)
        held.status = lambda: 0xA700
        with pytest.raises(Unreachable):
            send(node, [as_file(good)])
        with pytest.raises(Unreachable, match="refuses"):
            echo(Node("NOBODY", "127.0.0.1", held.port))
    with pytest.raises(Unreachable):
        echo(node)


def test_a_compressed_object_is_sent_as_it_is(real_data: Path) -> None:
    path = real_data / "dicom" / "pydicom-data__RG3_J2KR.dcm"
    sop_class = str(pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID)
    with archive(classes=(sop_class,)) as held:
        assert send(Node.parse(held.text), [path.read_bytes()]) == (
            "no_context",
        )  # the archive takes none of JPEG 2000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "stranger"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
             "2", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    return folder


def test_associations_are_encrypted_and_strangers_kept_out(certificates: Path, tmp_path: Path) -> None:
    def of(name: str, ca: str) -> Tls:
        return Tls(certificates / f"{ca}.pem", certificates / f"{name}.pem", certificates / f"{name}.key")

    known, stranger = of("server", "server"), of("stranger", "server")
    door = Door(port=0, tls=known)
    with (
        receiver(Folder(tmp_path / "out"), tmp_path / "spool", door=door) as port,
        socket.create_connection(("127.0.0.1", port)),  # says nothing, and holds nobody up
    ):
        assert echo(Node("LAENNEC", "127.0.0.1", port, tls=known)) < 5
        for wrong in (None, stranger, of("server", "stranger")):
            with pytest.raises(Unreachable):
                echo(Node("LAENNEC", "127.0.0.1", port, tls=wrong))
        assert send(Node("LAENNEC", "127.0.0.1", port, tls=known), [as_file(radiograph(3))]) == ("",)
        until(lambda: len(list((tmp_path / "out").glob("*.dcm"))) == 2)
    with pytest.raises(UsageError):
        _ = Tls(certificates / "server.key").client


# DICOMweb


def unable_from(number: int) -> Any:
    """The client's `store_instances`, which finds the file of that number at fault before anything is sent."""
    store, calls = DICOMwebClient.store_instances, itertools.count()

    def once(client: Any, datasets: Any) -> Any:
        if next(calls) >= number:
            raise ValueError("it cannot be encoded")
        return store(client, datasets)

    return once


def test_objects_go_to_dicomweb_and_come_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = str(radiograph(7).StudyInstanceUID)
    files = [as_file(radiograph(number, study)) for number in range(3)]
    with service("Bearer sesame") as held:
        web = Web.parse(held.url + "/", "sesame")
        assert stow(web, files) == ("", "", "")
        assert sorted(held.kept[study].values()) == sorted(files)
        assert sorted(fetch(web, study)) == sorted(files)
        one = pydicom.dcmread(io.BytesIO(files[1]))
        assert list(fetch(web, study, str(one.SeriesInstanceUID), str(one.SOPInstanceUID))) == [files[1]]
        held.refuse = (SR,)
        assert stow(web, [as_file(radiograph(9, SOPClassUID=SR)), b"", files[0]]) == ("status_0122", "unreadable", "")
        with pytest.raises(LaennecError, match="more than"):
            list(fetch(web, study, most=20_000))
        with pytest.raises(UsageError):
            list(fetch(web, "../../etc"))
        with pytest.raises(Unreachable, match="404"):
            list(fetch(web, "1.2.3"))
        with pytest.raises(Unreachable, match="401") as told:
            stow(Web.parse(held.url, "wrong-word"), files[:1])
        assert "wrong-word" not in str(told.value) + told.value.hint
        held.answer = b"{not JSON"
        assert stow(web, [files[0], as_file(radiograph(9, SOPClassUID=SR))]) == ("", "http_202")
        held.status = "413 Content Too Large"
        assert stow(web, files[:1]) == ("http_413",)
        held.status = "503 Service Unavailable"
        with pytest.raises(Unreachable, match="503"):
            stow(web, files[:1])
        held.status, unsent = "", radiograph(8)
        with monkeypatch.context() as patched:  # what was sent before says nothing about what was not
            for first in ([], files[:1]):
                statuses = ["" for _ in first]
                patched.setattr(DICOMwebClient, "store_instances", unable_from(len(first)))
                assert stow(web, [*first, as_file(unsent)]) == (*statuses, "unreadable")
                patched.undo()
        with service() as elsewhere:
            held.status, held.location = "307 Temporary Redirect", elsewhere.url + "/studies"
            with pytest.raises(Unreachable):
                stow(web, files[:1])
            assert not elsewhere.seen
    with pytest.raises(Unreachable):
        stow(web, files[:1])


# The receiver


def test_a_radiograph_is_answered_once_into_its_study(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, second = radiograph(1), radiograph(2)
    with archive() as held, receiver(Node.parse(held.text), tmp_path / "spool") as port:
        assert store(port, [first, first, second]) == [0, 0, 0]
        held.wait(4)
        assert store(port, [first]) == [0]
        ours = [pydicom.dcmread(io.BytesIO(answer_to(as_file(first), kind))) for kind in ("report", "other")]
        ct, report = radiograph(3, SOPClassUID=CT), radiograph(4, SOPClassUID=SR)
        shown = pydicom.dcmread(io.BytesIO(answer_to(as_file(first), "report")))
        shown.Manufacturer = "an archive's own idea"
        assert store(port, [*ours, ct, report, shown, radiograph(5, Modality="CT")]) == [0] * 6
        until(lambda: len(list((tmp_path / "spool" / "incoming").iterdir())) == 0)
        until(lambda: len(list((tmp_path / "spool" / "outgoing").iterdir())) == 0)
    told = capfd.readouterr().err
    studies = [study for _, study, _ in held.kept]
    assert sorted(studies) == sorted([str(first.StudyInstanceUID)] * 2 + [str(second.StudyInstanceUID)] * 2)
    assert len({uid for uid, _, _ in held.kept}) == 4
    codes = sorted(line["code"] for line in events(told, "passed_over"))
    assert codes == sorted(["answered_before"] * 2 + ["own_object"] * 3 + ["not_radiograph"] * 3)
    assert {"positive"} == {line["verdict"] for line in events(told, "answered")}
    assert events(told, "stopped")[0] | {"time": ""} == {
        "time": "", "event": "stopped", "answered": 2, "delivered": 4, "refused": 0, "passed_over": 8, "waiting": 0,
        "undelivered": 0,
    }  # fmt: skip
    holds_nothing_of_the_patient(told, bytes_under(tmp_path / "spool"))
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cut = radiograph(1)
    cut.PixelData = cut.PixelData[:100]
    lying = radiograph(2, Rows=60_000, Columns=60_000)
    blank = radiograph(3, PixelData=bytes(2 * 64 * 48))
    bare = radiograph(4)
    del bare.PixelData
    with archive() as held, receiver(Node.parse(held.text), tmp_path / "spool") as port:
        assert store(port, [cut, lying, blank, bare, radiograph(5)]) == [0] * 5
        held.wait(2)
        until(lambda: len(list((tmp_path / "spool" / "incoming").iterdir())) == 0)
    told = capfd.readouterr().err
    text = (tmp_path / "spool" / "refused" / "refused.jsonl").read_text()
    refused = lines(text)
    assert sorted(line["code"] for line in refused) == ["blank", "corrupt_image", "too_large"]
    assert [set(line) for line in refused] == [{"time", "id", "input", "code", "reason"}] * 3
    assert [line["code"] for line in events(told, "passed_over")] == ["no_pixels"]
    holds_nothing_of_the_patient(told, bytes_under(tmp_path / "spool"))


def test_hostile_bytes_do_not_end_the_receiver(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    with (
        archive() as held,
        receiver(Node.parse(held.text), tmp_path / "spool", door=Door(port=0, most=200_000)) as port,
    ):

        def say(data: bytes) -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as link, contextlib.suppress(OSError):
                link.sendall(data)
                link.settimeout(0.2)
                link.recv(1000)

        say(b"GET / HTTP/1.1\r\n\r\n")
        say(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(1000))  # announces four gigabytes
        for _ in range(10):
            say(struct.pack(">BBL", rng.choice((1, 4, 5, 7)), 0, 64) + rng.randbytes(64))
        big = radiograph(1, Rows=512, Columns=512, PixelData=bytes(2 * 512 * 512))
        assert store(port, [big]) == [None]
        assert store(port, [radiograph(2)], called="OTHER") == [None]
        assert store(port, [radiograph(2)]) == [0]
        held.wait(2)
    told = capfd.readouterr().err
    assert len(events(told, "cut_off")) >= 2
    holds_nothing_of_the_patient(told)


def test_only_those_allowed_may_send(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="who may send"):
        Door(bind="0.0.0.0")  # noqa: S104
    Door(bind="0.0.0.0", allow=("MODALITY",))  # noqa: S104
    with receiver(Folder(tmp_path / "out"), tmp_path / "spool", door=Door(port=0, allow=("CR1",))) as port:
        assert store(port, [radiograph(1)]) == [None]
        assert store(port, [radiograph(1)], calling="CR1") == [0]
        with pytest.raises(UsageError, match="another process"):
            Spool(tmp_path / "spool")
        with pytest.raises(UsageError, match="cannot be listened on"):
            listen(PREDICTOR, Folder(tmp_path), tmp_path / "other", door=Door(port=port), stop=threading.Event())


def test_a_full_spool_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laennec.receiving.spool.ROOM", 1 << 60)
    with receiver(Folder(tmp_path / "out"), tmp_path / "spool") as port:
        assert store(port, [radiograph(1)]) == [0xA700]
    monkeypatch.undo()
    spool = Spool(tmp_path / "few", most=1)
    spool.accept(b"one")
    with pytest.raises(StorageFull):
        spool.accept(b"two")


def test_what_is_made_waits_for_the_destination(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    to = Node("ARCHIVE", "127.0.0.1", port)
    with receiver(to, tmp_path / "spool") as ours:
        assert store(ours, [radiograph(1), radiograph(2)]) == [0, 0]
        until(lambda: len(list((tmp_path / "spool" / "outgoing").iterdir())) == 2)
        time.sleep(0.3)
    with receiver(to, tmp_path / "spool"), archive(port) as held:  # another process, and the archive is back
        held.wait(4)
        until(lambda: not list((tmp_path / "spool" / "outgoing").iterdir()))
    assert len({uid for uid, _, _ in held.kept}) == len(held.kept) == 4
    told = capfd.readouterr().err
    assert len(events(told, "unreachable")) > 2
    holds_nothing_of_the_patient(told)


def test_what_the_destination_rejects_holds_nothing_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with archive(classes=(DX,)) as held, receiver(Node.parse(held.text), tmp_path / "spool") as port:
        store(port, [radiograph(1)])
        until(
            lambda: (
                len(list((tmp_path / "spool").glob("*going/*"))) + len(list((tmp_path / "spool").glob("inc*/*"))) == 0
            )
        )
        assert not held.kept
        store(port, [radiograph(1)])  # not taken, so answered again
        until(lambda: capfd.readouterr().err.count('"no_context"') >= 2)


def test_answers_go_to_dicomweb_too(tmp_path: Path) -> None:
    with service("Bearer sesame") as held, receiver(Web.parse(held.url, "sesame"), tmp_path / "spool") as port:
        sent = radiograph(1)
        assert store(port, [sent]) == [0]
        until(lambda: len(held.kept.get(str(sent.StudyInstanceUID), {})) == 2)


def test_a_failing_model_keeps_the_radiograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise LaennecError("answers NaN for HOPPER^GRACE")

    with monkeypatch.context() as patched, receiver(Folder(tmp_path / "out"), tmp_path / "spool") as port:
        patched.setattr(PREDICTOR, "answers", broken)
        assert store(port, [radiograph(1)]) == [0]
        until(lambda: '"fault"' in capfd.readouterr().err)
    assert len(list((tmp_path / "spool" / "incoming").iterdir())) == 1
    with receiver(Folder(tmp_path / "out"), tmp_path / "spool"):
        until(lambda: len(list((tmp_path / "out").glob("*.dcm"))) == 2)


# A disk that is full


def full_at_first(monkeypatch: pytest.MonkeyPatch, *steps: str, times: int) -> dict[str, int]:
    """The spool's `steps` fail `times` times each, as on a full disk; what is left of them."""
    left = dict.fromkeys(steps, times)

    def failing(step: str, real: Any) -> Any:
        def once(*asked: Any, **more: Any) -> Any:
            if left[step]:
                left[step] -= 1
                raise StorageFull("no space left")
            return real(*asked, **more)

        return once

    for step in steps:
        monkeypatch.setattr(Spool, step, failing(step, getattr(Spool, step)))
    monkeypatch.setattr("laennec.receiving.answering._PAUSE", 0.001)
    return left


@pytest.mark.parametrize("steps", [("tried",), ("forget",), ("pack", "untried"), ("refuse",), ("answered",), ("ours",)])
def test_a_full_disk_holds_answers_up_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], steps: tuple[str, ...]
) -> None:
    left = full_at_first(monkeypatch, *steps, times=40)  # more often than processes may end over one radiograph
    spool = tmp_path / "spool"
    with receiver(Folder(tmp_path / "out"), spool) as port:
        assert store(port, [radiograph(2), radiograph(3)]) == [0, 0]
        (spool / "incoming" / "00000000000000000000-00000000.dcm").write_bytes(b"no DICOM")
        until(lambda: not list((spool / "incoming").iterdir()) and not list((spool / "outgoing").iterdir()))
        assert not any(left.values())
        assert store(port, [radiograph(4)]) == [0]
        until(lambda: len(list((tmp_path / "out").glob("*.dcm"))) == 6)
    told = capfd.readouterr().err
    assert {line["code"] for line in events(told, "fault")} == {"no_space"}
    assert {line["code"] for line in lines((spool / "refused" / "refused.jsonl").read_text())} == {"unsupported_type"}
    again = Spool(spool)
    assert again.waiting() == []
    again.close()


def test_a_line_on_a_refusal_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.refuse({"code": "blank"})
    with monkeypatch.context() as patched:
        write = os.write
        patched.setattr(os, "write", lambda handle, data: write(handle, data[:5]))
        with pytest.raises(StorageFull):
            spool.refuse({"code": "empty"})
    spool.refuse({"code": "timeout"})
    spool.close()
    assert lines((tmp_path / "refused" / "refused.jsonl").read_text()) == [{"code": "blank"}, {"code": "timeout"}]


def test_a_full_journal_is_told_as_such_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (pages,) = spool._journal.execute("pragma page_count").fetchone()
    spool._journal.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(StorageFull):
        for number in range(1000):
            spool.take(spool.hashed(str(number)))
    assert spool.taken(spool.hashed("0")) and not spool.taken(spool.hashed(str(number)))
    spool._journal.execute("pragma max_page_count = 1000000")
    spool.take(spool.hashed(str(number)))
    spool.close()


# Strangers' headers

STRANGERS = """
import json, os, sys, time
sys.stdin.readline()
print('{"ready": true}', flush=True)
for line in sys.stdin:
    data = open(json.loads(line)["file"], "rb").read()
    if b"HANGS" in data:
        time.sleep(60)
    if b"DIES" in data:
        os._exit(9)
    if b"FAULTS" in data:
        print('{"fault": "AttributeError"}', flush=True)
        continue
    print(json.dumps({"objects": [["report", "1.2.3", len(data)]], "left_out": {}, "bytes": len(data)}), flush=True)
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
"""


def test_a_header_that_hangs_or_kills_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("laennec.receiving.making.COMMAND", (sys.executable, "-c", STRANGERS))
    monkeypatch.setattr("laennec.receiving.answering.Maker", lambda *a, **k: Maker(*a, **k | {"patience": 1.0}))
    spool = tmp_path / "spool"
    sent = [radiograph(n, StudyDescription=text) for n, text in enumerate(("HANGS", "DIES", "FAULTS", "is well"))]
    with receiver(Folder(tmp_path / "out"), spool) as port:
        assert store(port, sent) == [0] * 4
        until(lambda: len(list((spool / "incoming").iterdir())) == 1 and list((tmp_path / "out").glob("*.dcm")))
        began = time.monotonic()
    assert time.monotonic() - began < 10
    told = capfd.readouterr().err
    assert [line["code"] for line in events(told, "refused")] == ["timeout", "decoder_died"]
    assert [line["code"] for line in events(told, "fault")] == ["AttributeError"]
    assert [line["verdict"] for line in events(told, "answered")] == ["positive"]


def test_a_process_that_does_not_start_ends_the_receiver_and_keeps_the_radiograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laennec.receiving.making.COMMAND", (sys.executable, "-c", ""))
    monkeypatch.setattr("laennec.receiving.answering.Maker", Maker)
    with (
        pytest.raises(LaennecError, match="could not be answered"),
        receiver(Folder(tmp_path / "out"), tmp_path / "spool") as port,
    ):
        assert store(port, [radiograph(1)]) == [0]
        until(lambda: not [one for one in threading.enumerate() if "_answering" in one.name])
    assert len(list((tmp_path / "spool" / "incoming").iterdir())) == 1


def test_headers_are_parsed_elsewhere(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real processes: what this one would parse or decode by itself fails here."""

    def here(*_: Any, **__: Any) -> Any:
        raise AssertionError("in the receiver's own process")

    for what in (
        "joining.header",
        "images.read",
        "filing.assemble",
        "predictor.images.load",
        "deidentifying.deidentify",
    ):
        monkeypatch.setattr(f"laennec.{what}", here)
    sent, nameless = radiograph(1), radiograph(2)
    del nameless.SeriesInstanceUID
    with receiver(
        Folder(tmp_path / "out"), tmp_path / "spool", predictor=Predictor(trained), keep_refused=True
    ) as port:
        assert store(port, [sent, nameless]) == [0, 0]
        until(lambda: not list((tmp_path / "spool").glob("*ing/*")), 60)
    told = capfd.readouterr().err
    made = [pydicom.dcmread(one) for one in (tmp_path / "out").glob("*.dcm")]
    assert {one.Modality for one in made} >= {"SR", "OT"}
    assert {str(one.StudyInstanceUID) for one in made} == {str(sent.StudyInstanceUID)}
    (answered,) = events(told, "answered")
    assert len(answered["objects"]) == len(made) and set(answered["left_out"]) == {"presentation", "segmentation"}
    assert [(line["code"], line["kept"]) for line in events(told, "refused")] == [("corrupt_image", True)]
    holds_nothing_of_the_patient(told)


# Killed

RECEIVER = """
import sys, threading, time, signal
sys.path.insert(0, {here!r})
from pathlib import Path
import archives_on_loopback as given
from laennec.nodes import Node
from laennec.receiving import Door, answering, listen

class Slowly(given.Making):
    def make(self, *asked):
        time.sleep(0.02)
        return super().make(*asked)

answering.Maker = Slowly
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
listen(given.PREDICTOR, Node.parse({to!r}), Path({spool!r}), door=Door(port={port}), stop=stop,
       ready=lambda port: print(port, flush=True), backoff=(0.05, 0.1))
"""


@contextlib.contextmanager
def process(to: str, spool: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A receiver in a process of its own; its log goes to `spool`.log."""
    code = RECEIVER.format(here=str(HERE), to=to, spool=str(spool), port=port)
    with spool.with_suffix(".log").open("a") as log:
        ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert ours.stdout is not None
            yield ours, int(ours.stdout.readline())
        finally:
            ours.kill()
            ours.wait()
            assert ours.stdout is not None
            ours.stdout.close()


def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    killed(tmp_path, kills=1)


def killed(tmp_path: Path, kills: int) -> None:
    """Kill a receiver again and again at its work; then hold what came against what it took."""
    rng, spool = random.Random(1), tmp_path / "spool"
    number, accepted = 0, list[str]()
    with archive() as held:
        flaky = iter([0x0000, 0xA700, 0x0000] * 1000)
        held.status = lambda: next(flaky)
        for _ in range(kills):
            with process(held.text, spool) as (ours, port):
                killer = threading.Timer(rng.uniform(0, 0.3), ours.kill)
                enough = len(accepted) + rng.randint(2, 6)
                while ours.poll() is None:
                    sent = radiograph(number)
                    number += 1
                    if store(port, [sent]) == [0]:
                        accepted.append(str(sent.SOPInstanceUID))
                    if len(accepted) == enough:
                        enough = -1
                        killer.start()
                killer.join()
        held.status = lambda: 0x0000
        with process(held.text, spool) as (ours, port):
            assert store(port, [radiograph(n) for n in range(3)]) == [0, 0, 0]  # sent again by who was not told
            until(lambda: not list(spool.glob("inc*/*")) and not list(spool.glob("outg*/*")), 60)
            ours.send_signal(signal.SIGTERM)
            assert ours.wait(20) == 0
    assert len(accepted) >= 2 * kills
    wanted = {
        str(pydicom.dcmread(io.BytesIO(answer_to(as_file(radiograph(n)), kind))).SOPInstanceUID)
        for n in range(number)
        if str(radiograph(n).SOPInstanceUID) in accepted
        for kind in ("report", "capture")
    }
    come = dict[str, set[bytes]]()
    for uid, _, data in held.kept:
        come.setdefault(uid, set()).add(data)
    assert wanted <= set(come), f"{len(wanted - set(come))} of {len(wanted)} lost"
    assert all(len(versions) == 1 for versions in come.values())  # sent again perhaps, but the same object
    assert len(come) <= 2 * number
    holds_nothing_of_the_patient(spool.with_suffix(".log").read_text(), bytes_under(spool))


def test_sigterm_finishes_or_keeps_what_was_accepted(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with archive() as held, process(held.text, spool) as (ours, port):
        assert store(port, [radiograph(n) for n in range(10)]) == [0] * 10
        ours.send_signal(signal.SIGTERM)
        assert ours.wait(20) == 0
        told = events(spool.with_suffix(".log").read_text(), "stopped")[0]
        assert told["answered"] + told["waiting"] == 10
        assert len(held.kept) == told["delivered"] == 2 * told["answered"]
        assert not list(spool.rglob("*.part"))


# A watched folder


def test_a_folder_is_watched(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "watched", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "HOPPER.dcm").write_bytes(as_file(radiograph(1)))
    (folder / "copy.dcm").write_bytes(as_file(radiograph(1)))
    (folder / "chest.jpeg").write_bytes(b"\xff\xd8\xff")
    (folder / ".hidden.dcm").write_bytes(as_file(radiograph(2)))
    (folder / "unfinished.part").write_bytes(as_file(radiograph(3)))
    (folder / "link.dcm").symlink_to(HERE / "conftest.py")

    def look(**more: Any) -> Any:
        return watch(
            folder, PREDICTOR, Folder(out), every=0.02, once=True, stop=threading.Event(), backoff=(0.05,), **more
        )

    assert vars(look()) == {"answered": 1, "delivered": 2, "refused": 1, "passed_over": 0}
    (folder / "copy.dcm").rename(folder / "renamed.dcm")
    (folder / "ours.dcm").write_bytes(as_file(radiograph(1, Manufacturer="laennec")))
    assert vars(look()) == {"answered": 0, "delivered": 0, "refused": 0, "passed_over": 1}
    assert len(list(out.glob("*.dcm"))) == 2
    assert len(list(folder.rglob("*.dcm"))) == 5
    told = capfd.readouterr().err
    assert [line["code"] for line in events(told, "refused")] == ["unsupported_type"]
    holds_nothing_of_the_patient(told, bytes_under(folder / ".laennec"))
    with pytest.raises(UsageError, match="into the watched folder"):
        watch(folder, PREDICTOR, Folder(folder / "answers"), stop=threading.Event())


def test_a_file_that_cannot_be_read_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    for number, name in enumerate(("HOPPER.dcm", "well.dcm")):
        (folder / name).write_bytes(as_file(radiograph(number)))
    opened = Path.open

    def denied(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == "HOPPER.dcm":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *how, **more)

    def look(seconds: float = 10) -> Any:
        stop = threading.Event()
        alarm = threading.Timer(seconds, stop.set)
        alarm.start()
        try:
            told = watch(folder, PREDICTOR, Folder(tmp_path / "out"), every=0.02, once=True, stop=stop)
        finally:
            alarm.cancel()
        assert not stop.is_set(), "it never ended"
        return told

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", denied)
        assert look().answered == 1
    told = capfd.readouterr().err
    assert [line["code"] for line in events(told, "turned_away")] == ["unreadable"]
    holds_nothing_of_the_patient(told)
    assert look().answered == 1  # it can be read now


def test_a_watched_folder_waits_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "one.dcm").write_bytes(as_file(radiograph(1)))
    full_at_first(monkeypatch, "accept", "taken", "take", times=2)
    told = watch(folder, PREDICTOR, Folder(tmp_path / "out"), every=0.02, once=True, stop=threading.Event())
    assert (told.answered, told.delivered) == (1, 2)
    assert [line["code"] for line in events(capfd.readouterr().err, "turned_away")] == ["no_room"] * 4


def test_a_file_that_grows_is_left_until_it_settles(tmp_path: Path) -> None:
    folder, out, stop, data = tmp_path / "watched", tmp_path / "out", threading.Event(), as_file(radiograph(1))
    folder.mkdir()
    looked = threading.Event()
    tallies = list[Any]()
    thread = threading.Thread(
        target=lambda: tallies.append(
            watch(folder, PREDICTOR, Folder(out), every=0.2, stop=stop, ready=looked.set, backoff=(0.05,))
        )
    )
    thread.start()
    looked.wait(10)
    with (folder / "slow.dcm").open("wb") as stream:
        for start in range(0, len(data), len(data) // 15):
            stream.write(data[start : start + len(data) // 15])
            stream.flush()
            time.sleep(0.05)
    until(lambda: len(list(out.glob("*.dcm"))) == 2)
    stop.set()
    thread.join(20)
    assert vars(tallies[0]) == {"answered": 1, "delivered": 2, "refused": 0, "passed_over": 0}


# Bytes and words that nobody meant


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_gets_past_the_reader_of_headers(data: st.DataObject) -> None:
    whole = as_file(radiograph(1))[:900]
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = (
        whole[:place] + data.draw(st.binary(min_size=1, max_size=12)) + whole[place + data.draw(st.integers(0, 12)) :]
    )
    with contextlib.suppress(ImageError):
        look(damaged, 10_000)


@settings(max_examples=60)
@given(text=st.text(max_size=40) | st.from_regex(r"[A-Z@:\[\]0-9.\\ ]{1,40}", fullmatch=True))
def test_an_address_is_a_node_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        node = Node.parse(text)
        assert 0 < node.port < 65536 and 0 < len(node.title) <= 16 and "\\" not in node.title


# The commands


def test_the_commands_send_fetch_and_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = radiograph(1)
    path, report = tmp_path / "HOPPER.dcm", tmp_path / "report.dcm"
    path.write_bytes(as_file(sent))
    report.write_bytes(as_file(radiograph(2, SOPClassUID=SR)))
    monkeypatch.setenv("LAENNEC_DICOMWEB_TOKEN", "sesame")
    with service("Bearer sesame") as web, archive(classes=(DX,)) as held:
        assert run(["dicom", "echo", held.text]) == 0
        assert run(["dicom", "send", str(path), "--to", held.text, "--aet", "ROOM1"]) == 0
        assert held.callers == ["ROOM1"]
        assert run(["dicom", "send", str(path), str(report), "--to", held.text]) == 3
        assert run(["dicom", "send", str(path), "--to", web.url]) == 0
        out = tmp_path / "out"
        assert run(["dicom", "fetch", web.url, "--study", str(sent.StudyInstanceUID), "--out", str(out)]) == 0
        assert [one.read_bytes() for one in out.iterdir()] == [path.read_bytes()]
        assert run(["dicom", "fetch", web.url, "--study", "1.2.3", "--out", str(out)]) == 1
    assert run(["dicom", "send", str(path), "--to", "http://pacs.example/dicom-web"]) == 2
    assert run(["dicom", "listen", "b", "--to", "A@b:1", "--spool", str(tmp_path / "s"), "--bind", "::"]) == 2
    assert run(["dicom", "echo", "ARCHIVE"]) == 2
    told = capsys.readouterr()
    assert "stored: 1, refused: 1" in told.out and "file 2: no_context" in told.err
    assert "sesame" not in told.out + told.err
    holds_nothing_of_the_patient(told.err)


def test_refused_files_are_kept_without_their_patients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    doubtful = Answer(0, 0.0, done={"chest_code": "not_chest", "chest_doubt": "no lungs are found"})
    monkeypatch.setattr(NoDecoders, "answer", lambda _: doubtful)
    monkeypatch.setattr(PREDICTOR, "gate", "refuse")
    with receiver(Folder(tmp_path / "out"), tmp_path / "spool", keep_refused=True) as port:
        assert store(port, [radiograph(1)]) == [0]
        until(lambda: not list((tmp_path / "spool" / "incoming").iterdir()))
    told = events(capfd.readouterr().err, "refused")
    kept = list((tmp_path / "spool" / "refused").glob("*.dcm"))
    assert [line["kept"] for line in told] == [bool(kept)] == [True]
    assert pydicom.dcmread(kept[0]).PixelData == radiograph(1).PixelData
    (tmp_path / "spool" / "journal.db").unlink()
    for secret in (*SECRETS, str(radiograph(1).StudyInstanceUID)):
        assert secret.encode() not in bytes_under(tmp_path / "spool")


# In full


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def orthanc(folder: Path, ours: int) -> Iterator[tuple[Any, int]]:
    """A real Orthanc with DICOMweb: a client for its REST API, and its DICOM port. It knows a receiver at `ours`."""
    import httpx

    program, plugin = Path("/usr/sbin/Orthanc"), Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not program.exists() or not plugin.exists():
        pytest.skip("no Orthanc with DICOMweb: install Debian's orthanc and orthanc-dicomweb")
    web, port = free_port(), free_port()
    told = {
        "Name": "TEST", "StorageDirectory": str(folder), "IndexDirectory": str(folder), "HttpPort": web,
        "DicomPort": port, "DicomAet": "ORTHANC", "DicomCheckCalledAet": True, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "Plugins": [str(plugin)], "OverwriteInstances": False,
        "DicomModalities": {"laennec": ["LAENNEC", "127.0.0.1", ours]}, "HttpsVerifyPeers": False,
    }  # fmt: skip
    folder.mkdir()
    (folder / "orthanc.json").write_text(json.dumps(told))
    with (folder / "orthanc.log").open("w") as log:
        running = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30, trust_env=False) as client:

                def up() -> bool:
                    with contextlib.suppress(httpx.HTTPError):
                        return bool(client.get("/system").is_success)
                    return False

                until(up, 60)
                yield client, port
        finally:
            running.terminate()
            running.wait(30)


@pytest.mark.slow
def test_a_real_archive_gets_its_answers(tmp_path: Path, real_data: Path, quantised: Any) -> None:
    """Radiograph into Orthanc, from there to the receiver; its answers come back into the same study, and no loop."""
    ours, spool = free_port(), tmp_path / "spool"
    source = (real_data / "dicom" / "pydicom-data__RG1_J2KI.dcm").read_bytes()
    with orthanc(tmp_path / "orthanc", ours) as (client, port), (tmp_path / "log").open("w") as log:
        instance = client.post("/instances", content=source).raise_for_status().json()
        node = f"ORTHANC@127.0.0.1:{port}"
        running = subprocess.Popen(
            [sys.executable, "-m", "laennec", "dicom", "listen", str(quantised.path), "--to", node, "--spool",
             str(spool), "--port", str(ours), "--gate", "off", "--allow", "ORTHANC"],
            stderr=log,
        )  # fmt: skip
        try:
            until(lambda: '"listening"' in (tmp_path / "log").read_text(), 60)
            asked = client.post("/modalities/laennec/store", json=[instance["ID"]]).raise_for_status().json()
            assert asked["FailedInstancesCount"] == 0
            until(lambda: '"delivered"' in (tmp_path / "log").read_text(), 60)
            before = client.get("/statistics").json()["CountInstances"]
            assert before >= 2
            again = client.post("/modalities/laennec/store", json=[instance["ParentStudy"]]).raise_for_status().json()
            assert again["FailedInstancesCount"] == 0
            until(lambda: (tmp_path / "log").read_text().count('"passed_over"') == before, 60)
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        finally:
            running.kill()
            running.wait()
        counted = client.get("/statistics").json()
        assert (counted["CountStudies"], counted["CountPatients"], counted["CountInstances"]) == (1, 1, before)
        modalities = {
            client.get(f"/series/{one}").json()["MainDicomTags"]["Modality"]: one for one in series_of(client)
        }
        assert "SR" in modalities
        report = client.get(f"/series/{modalities['SR']}").json()["Instances"][0]
        tags = client.get(f"/instances/{report}/simplified-tags").json()
        assert tags["StudyInstanceUID"] == str(pydicom.dcmread(io.BytesIO(source)).StudyInstanceUID)
        assert tags["ValueType"] == "CONTAINER" and len(tags["ContentSequence"]) > 3
        told = lines((tmp_path / "log").read_text())
        codes = {line["code"] for line in told if line["event"] == "passed_over"}
        assert codes == {"own_object", "answered_before", "not_radiograph"}
        held = pydicom.dcmread(io.BytesIO(source))
        for secret in (str(held.PatientName), str(held.PatientID), str(held.StudyInstanceUID)):
            assert secret not in (tmp_path / "log").read_text()
            assert secret.encode() not in bytes_under(spool)
        web = Web.parse(f"{client.base_url}".rstrip("/") + "/dicom-web")
        study = tags["StudyInstanceUID"]
        files = list(fetch(web, study))
        assert len(files) == before
        assert stow(web, files) == ("",) * before
        assert client.get("/statistics").json()["CountInstances"] == before


def series_of(client: Any) -> list[str]:
    return list(client.get("/series").json())


@pytest.mark.slow
def test_killed_twenty_times_nothing_is_lost(tmp_path: Path) -> None:
    killed(tmp_path, kills=20)


@pytest.mark.parametrize("text", ["PACS@10.0.0.5", "PACS@10.0.0.5:104x", "pacs.example:104"])
def test_a_mistyped_node_is_no_folder(text: str) -> None:
    with pytest.raises(UsageError, match=r"no DICOM node|AE title|port"):
        destination(text)
    assert isinstance(destination(f"./{text}"), Folder)
