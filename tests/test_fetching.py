"""Data sets fetched from a server on this machine: broken off, resumed, damaged, hostile, and by hand."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from laennec import family, fetching, transfer
from laennec.archives import unpack
from laennec.cli import run
from laennec.datasets import kermany, medmnist
from laennec.errors import LaennecError, StorageFull, UnknownName, UsageError
from laennec.origins import Archive, Download, Kaggle, Origin

NOW = (0.0, 0.0)


def picture(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (32, 32), np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


NAMES = [
    f"{part}/{name}"
    for part in ("train", "test")
    for name in ("NORMAL/IM-0001-0001.jpeg", "NORMAL/IM-0002-0001.jpeg", "PNEUMONIA/person1_virus_1.jpeg")
]


def zipped(files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, data)
    return stream.getvalue()


def chest_xray(**more: bytes) -> bytes:
    """An archive as Kermany's: the parts in a folder, and what a Mac leaves beside them."""
    files = {f"chest_xray/{name}": picture(i) for i, name in enumerate(NAMES)}
    files |= {"__MACOSX/chest_xray/._train": b"x", "chest_xray/train/.DS_Store": b"x"}
    files |= {"chest_xray/val/NORMAL/IM-0009-0001.jpeg": picture(), "chest_xray/train/NORMAL/._IM-1.jpeg": b"x"}
    return zipped(files | more)


@dataclass
class Behaviour:
    """How the server treats the next requests, and what it was asked."""

    data: bytes = b""
    etag: str = '"one"'
    ranges: bool = True
    cut: list[int] = field(default_factory=list)  # bytes sent in full before the line goes dead, one per request
    fail: list[int] = field(default_factory=list)  # status codes, one per request
    redirect: str = ""
    pause: threading.Event | None = None  # after the first half, wait for it
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.behaviour.data)))
        self.end_headers()

    def do_GET(self) -> None:
        how = self.behaviour
        how.asked.append(self.headers.get("Range", ""))
        if how.fail:
            self.send_error(how.fail.pop(0))
            return
        if how.redirect:
            self.send_response(302)
            self.send_header("Location", how.redirect)
            self.end_headers()
            return
        start = 0
        asked = self.headers.get("Range", "")
        if how.ranges and asked and self.headers.get("If-Range") == how.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(how.data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if how.etag:
            self.send_header("ETag", how.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(how.data) - 1}/{len(how.data)}")
        self.send_header("Content-Length", str(len(how.data) - start))
        self.end_headers()
        body = how.data[start:]
        if how.cut:
            self.wfile.write(body[: how.cut.pop(0)])
            self.close_connection = True
            return
        half = len(body) // 2 if how.pause else len(body)
        self.wfile.write(body[:half])
        if how.pause:
            how.pause.wait(20)
        self.wfile.write(body[half:])

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"behaviour": behaviour}))
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/file", behaviour
    httpd.shutdown()
    httpd.server_close()


def offer(monkeypatch: pytest.MonkeyPatch, url: str, **changes: Any) -> Origin:
    """Make Kermany's first origin one on this machine."""
    source = Download(url=url, name="ChestXRay2017.zip", **changes)
    archive = Archive(inside="chest_xray", keep=("train/*/*.jpeg", "test/*/*.jpeg"), unpacked=100_000)
    origin = kermany.ORIGINS[0].model_copy(update={"source": source, "archive": archive})
    monkeypatch.setattr(kermany, "ORIGINS", (origin, kermany.ORIGINS[1]))
    return origin


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_data_set_comes_and_reads(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, how = server
    how.data = chest_xray()
    offer(monkeypatch, url, sha256=hashlib.sha256(how.data).hexdigest())
    assert run(["data", "fetch", "kermany", "--out", str(tmp_path / "k"), "--yes"]) == 0
    said = capsys.readouterr()
    assert tree(tmp_path) == [f"k/{name}" for name in sorted(NAMES)]
    assert f"{len(NAMES)} images" in said.out
    assert hashlib.sha256(how.data).hexdigest() in said.out
    for told in ("CC BY 4.0", "Kermany, Zhang, Goldbaum", url, "SHA-256"):
        assert told in said.err
    assert len(kermany.load(kermany.Options(root=tmp_path / "k")).samples) == len(NAMES)
    how.asked.clear()
    assert run(["data", "fetch", "kermany", "--out", str(tmp_path / "k")]) == 0
    assert "was there already" in capsys.readouterr().out
    assert how.asked == []


def test_it_asks_first(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, how = server
    offer(monkeypatch, url, size=10)
    command = ["data", "fetch", "kermany", "--out", str(tmp_path / "k")]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(command) == 2
    assert "--yes" in capsys.readouterr().err
    answer = io.StringIO("n\n")
    monkeypatch.setattr(answer, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answer)
    assert run(command) == 1
    assert "nothing was fetched" in capsys.readouterr().err
    assert how.asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_broken_line_is_gone_on_with(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.data = os.urandom(50_000)
    how.cut = [20_000, 10_000]
    how.fail = [503]
    came = transfer.download(url, tmp_path / "f", 10**6, NOW)
    assert came.read_bytes() == how.data
    assert how.asked == ["", "", "bytes=20000-", "bytes=30000-"]


def test_a_later_run_goes_on(server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill: what came lies there, and only the rest is asked for."""
    url, how = server
    how.data = chest_xray()
    half = len(how.data) // 2
    offer(monkeypatch, url)
    how.cut = [half, 0, 0]
    plan = fetching.plan("kermany", tmp_path / "k")
    with pytest.raises(LaennecError, match="did not come whole") as told:
        fetching.fetch(plan, patience=NOW)
    assert f"goes on at {half:,} bytes" in told.value.hint
    assert "by hand" in told.value.hint
    assert not (tmp_path / "k").exists()
    how.asked.clear()
    done = fetching.fetch(fetching.plan("kermany", tmp_path / "k"), patience=NOW)
    assert how.asked == [f"bytes={half}-"]
    assert done.sha256 == hashlib.sha256(how.data).hexdigest()
    assert tree(tmp_path) == [f"k/{name}" for name in sorted(NAMES)]


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_killed_in_the_middle(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.data, how.pause = os.urandom(400_000), threading.Event()
    code = f"from laennec import transfer; transfer.download({url!r}, __import__('pathlib').Path('f'), 10**7)"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    partial = tmp_path / ".f.partial"
    until = time.monotonic() + 20
    while not (partial.is_file() and partial.stat().st_size >= 150_000):
        assert time.monotonic() < until
        time.sleep(0.02)
    child.kill()
    child.wait()
    have, how.pause = partial.stat().st_size, None
    how.asked.clear()
    assert transfer.download(url, tmp_path / "f", 10**7, NOW).read_bytes() == how.data
    assert how.asked == [f"bytes={have}-"]


def test_killed_after_the_last_byte(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.data = os.urandom(5_000)
    transfer.download(url, tmp_path / "f", 10**6, NOW)
    assert transfer.download(url, tmp_path / "f", 10**6, NOW).read_bytes() == how.data
    assert how.asked == ["", "bytes=5000-"]


@pytest.mark.parametrize("way", ["changed", "shorter", "no ranges", "no validator", "notes lost", "other address"])
def test_what_cannot_be_gone_on_with_is_begun_anew(server: tuple[str, Behaviour], tmp_path: Path, way: str) -> None:
    url, how = server
    how.data, how.cut = os.urandom(9_000), [4_000]
    if way == "no validator":
        how.etag = ""
    with pytest.raises(transfer.Unreachable):
        transfer.download(url, tmp_path / "f", 10**6, ())
    if way in ("changed", "shorter"):
        how.data, how.etag = os.urandom(9_000 if way == "changed" else 3_000), '"two"'
    elif way == "no ranges":
        how.ranges = False
    elif way == "notes lost":
        (tmp_path / ".f.partial.json").write_text("{")
    elif way == "other address":
        url += "?other"
    assert transfer.download(url, tmp_path / "f", 10**6, ()).read_bytes() == how.data


def test_a_file_that_is_not_the_publishers_is_refused(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, how = server
    how.data = chest_xray()
    offer(monkeypatch, url, md5="0" * 32)
    with pytest.raises(LaennecError, match=r"MD5 .* expected 0000"):
        fetching.fetch(fetching.plan("kermany", tmp_path / "k"), patience=())
    assert list(tmp_path.iterdir()) == []  # the next run does not go on with a wrong file


@pytest.mark.parametrize("same", [True, False])
def test_a_checksum_that_others_report_is_told_not_enforced(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    url, how = server
    how.data = chest_xray()
    offer(monkeypatch, url, reported_sha256=hashlib.sha256(how.data).hexdigest() if same else "0" * 64)
    done = fetching.fetch(fetching.plan("kermany", tmp_path / "k"), patience=())
    assert ("NOT" in done.check) is not same


@pytest.mark.parametrize(
    ("status", "tries"), [(404, 1), (403, 1), (500, 3)], ids=["not there", "forbidden", "broken server"]
)
def test_a_server_that_refuses(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, tries: int
) -> None:
    url, how = server
    how.fail = [status] * 9
    offer(monkeypatch, url, size=10)
    with pytest.raises(LaennecError, match=str(status)) as told:
        fetching.fetch(fetching.plan("kermany", tmp_path / "k"), patience=NOW)
    assert len(how.asked) == tries
    assert "--file" in told.value.hint
    assert "train/NORMAL/IM-<N>-<serial>.jpeg" in told.value.hint


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    origin = offer(monkeypatch, "http://127.0.0.1:9/file")
    monkeypatch.setattr(transfer, "PATIENCE", ())
    monkeypatch.setattr(fetching.fetch, "__defaults__", (None, ()))
    assert run(["data", "fetch", "kermany", "--out", str(tmp_path / "k"), "--yes"]) == 1
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert f"open {origin.page} in a browser" in said
    assert "not known before it comes" in said


def test_too_long_and_unsafe_addresses(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.data = bytes(5_000)
    with pytest.raises(transfer.Unreachable, match="more than the 1,000"):
        transfer.download(url, tmp_path / "f", 1_000, NOW)
    secret = tmp_path / "secret"
    secret.write_text("x")
    how.redirect = secret.as_uri()
    with pytest.raises(transfer.Unreachable, match="unsafe address"):
        transfer.download(url, tmp_path / "g", 1_000, NOW)
    with pytest.raises(transfer.Unreachable):
        transfer.download(secret.as_uri(), tmp_path / "h", 1_000, ())
    assert not (tmp_path / "g").exists()


def test_room_is_checked_first(server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, how = server
    offer(monkeypatch, url, size=1 << 60)
    with pytest.raises(StorageFull, match="GB are needed"):
        fetching.fetch(fetching.plan("kermany", tmp_path / "new" / "k"), patience=())
    assert how.asked == []


def test_by_hand_and_into_a_folder_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "http://127.0.0.1:9/file", size=10)
    archive = tmp_path / "downloaded.zip"
    archive.write_bytes(chest_xray())
    out = tmp_path / "k"
    out.mkdir()
    done = fetching.fetch(fetching.plan("kermany", out), archive)
    assert (done.files, done.images) == (len(NAMES), len(NAMES))
    assert archive.exists()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds thesis\.txt"):
        fetching.plan("kermany", tmp_path / "used")
    with pytest.raises(UsageError, match="no file"):
        fetching.fetch(fetching.plan("kermany", tmp_path / "new"), tmp_path / "absent.zip")
    with pytest.raises(UsageError, match="is a file"):
        fetching.plan("kermany", archive)


def test_an_archive_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "http://127.0.0.1:9/file", size=10)
    odd = tmp_path / "odd.zip"
    odd.write_bytes(zipped({"chest_xray/train/NORMAL/cat.jpeg": b"x", "chest_xray/test/NORMAL/dog.jpeg": b"x"}))
    with pytest.raises(LaennecError, match="not laid out") as told:
        fetching.fetch(fetching.plan("kermany", tmp_path / "k"), odd)
    assert str(tmp_path) not in told.value.message
    odd.write_bytes(b"<html>Sign in</html>")
    with pytest.raises(LaennecError, match="neither a zip nor a tar"):
        fetching.fetch(fetching.plan("kermany", tmp_path / "k"), odd)
    assert tree(tmp_path) == ["odd.zip"]
    assert [p.name for p in tmp_path.iterdir()] == ["odd.zip"]


def test_a_single_file(server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, how = server
    stream = io.BytesIO()
    arrays = {f"{part}_images": np.zeros((2, 8, 8), np.uint8) for part in ("train", "val", "test")}
    labels = {f"{part}_labels": np.array([[0], [1]]) for part in ("train", "val", "test")}
    np.savez(stream, **arrays, **labels)
    how.data = stream.getvalue()
    source = Download(url=url, name="pneumoniamnist.npz", md5=hashlib.md5(how.data, usedforsecurity=False).hexdigest())
    monkeypatch.setattr(medmnist, "ORIGINS", (medmnist.ORIGINS[0].model_copy(update={"source": source}),))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "other.txt").write_text("stays")
    plan = fetching.plan("medmnist", tmp_path / "data")
    assert plan.size == len(how.data)  # asked of the server, as nobody wrote it down
    done = fetching.fetch(plan, patience=())
    assert done.check == "the publisher's MD5: the same"
    assert tree(tmp_path) == ["data/other.txt", "data/pneumoniamnist.npz"]
    assert [p.name for p in (tmp_path / "data").iterdir() if p.name.startswith(".")] == []
    assert len(medmnist.load(medmnist.Options(root=done.root)).samples) == 6
    assert fetching.fetch(fetching.plan("medmnist", tmp_path / "data")).files == 0
    done.root.write_bytes(b"other")
    with pytest.raises(UsageError, match="another file"):
        fetching.plan("medmnist", tmp_path / "data")


def put_link(info: zipfile.ZipInfo) -> None:
    if info.filename == "a/link":
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


HOSTILE = {
    "leaves upwards": (zipped({"../../evil.txt": b"x", "a/x": b"x"}), "leave the folder"),
    "absolute": (zipped({"/tmp/evil.txt": b"x", "a/x": b"x"}), "leave the folder"),  # noqa: S108
    "drive": (zipped({"C:/evil.txt": b"x", "a/x": b"x"}), "leave the folder"),
    "backslash": (zipped({"a\\..\\..\\evil.txt": b"x", "a/x": b"x"}), "leave the folder"),
    "link": (zipped({"a/link": b"/etc/passwd", "a/link/x": b"x"}, put_link), "link or device"),
    "bomb": (zipped({"a/x": bytes(8 << 20)}), "times its size"),
    "too much": (zipped({"a/x": os.urandom(90_000), "a/y": os.urandom(90_000)}), "more than 100,000 bytes"),
    "twice": (zipped({"a/x": b"1", "a/X": b"2"}), "twice"),
    "nothing wanted": (zipped({"b/x": b"1"}), "holds no"),
    "cut off": (zipped({"a/x": os.urandom(3_000)})[:2_000], "neither|damaged"),
    "flipped": (flipped(zipped({"a/x": os.urandom(3_000)}), 500), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_zips(tmp_path: Path, name: str) -> None:
    data, why = HOSTILE[name]
    (tmp_path / "in").mkdir()
    folder = tmp_path / "in" / "out"
    folder.mkdir()
    archive = tmp_path / "in" / "a.zip"
    archive.write_bytes(data)
    with pytest.raises(LaennecError, match=why):
        unpack(archive, folder, "a", ("*",), 100_000)
    assert [p for p in tree(tmp_path) if not p.startswith("in/out/")] == ["in/a.zip"]
    assert not any(p.is_symlink() for p in folder.rglob("*"))


def taped(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tape:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            tape.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (taped((entry("../evil"), b"x")), "leave the folder"),
        (taped((entry("/evil"), b"x")), "leave the folder"),
        (taped((entry("a/l", tarfile.SYMTYPE, "/etc"), b"")), "link or device"),
        (taped((entry("a/l", tarfile.LNKTYPE, "../x"), b"")), "link or device"),
        (taped((entry("a/p", tarfile.FIFOTYPE), b"")), "link or device"),
        (taped((entry("a/x"), bytes(9 << 20))), "times its size"),
        (taped((entry("a/x"), os.urandom(200_000)), mode="w"), "more than 100,000"),
        (taped((entry("a/x"), os.urandom(50_000)))[:20_000], "damaged|neither"),
    ],
    ids=["upwards", "absolute", "symlink", "hard link", "fifo", "bomb", "too much", "cut off"],
)
def test_hostile_tars(tmp_path: Path, data: bytes, why: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(LaennecError, match=why):
        unpack(tmp_path / "a.tar.gz", folder, "a", ("*",), 100_000)
    assert [p for p in tree(tmp_path) if not p.startswith("out/")] == ["a.tar.gz"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_good_tar(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    members = [(entry("a", tarfile.DIRTYPE), b""), (entry("a/b/x.txt"), b"one"), (entry("c.txt"), b"two")]
    (tmp_path / "a.tar").write_bytes(taped(*members, mode=mode))
    assert unpack(tmp_path / "a.tar", folder, "a", ("*.txt",), 1_000) == 1
    assert tree(folder) == ["b/x.txt"]


CLIENT = """#!{python}
import pathlib, shutil, sys
if sys.argv[2:3] != ["download"] or sys.argv[4] != "-p": sys.exit(9)
if {fails}: sys.exit(1)
shutil.copy({archive!r}, pathlib.Path(sys.argv[5]) / "archive.zip")
"""


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Kaggle's client is a script")
def test_kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "none"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    small = kermany.ORIGINS[1].model_copy(
        update={
            "source": Kaggle(kind="datasets", name="a/b", size=10),
            "archive": Archive(inside="chest_xray", keep=("t*/*/*.jpeg",), unpacked=100_000),
        }
    )
    monkeypatch.setattr(kermany, "ORIGINS", (small,))
    plan = fetching.plan("kermany", tmp_path / "k", "kaggle")
    with pytest.raises(LaennecError, match="not installed") as told:
        fetching.fetch(plan)
    assert "by hand" in told.value.hint
    archive = tmp_path / "source.zip"
    archive.write_bytes(chest_xray())
    client = programs / "kaggle"
    client.write_text(CLIENT.format(python=sys.executable, fails=True, archive=str(archive)))
    client.chmod(0o755)
    with pytest.raises(LaennecError, match="no account") as told:
        fetching.fetch(plan)
    assert "kaggle.json" in told.value.hint
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
    with pytest.raises(LaennecError, match="did not bring a/b") as told:
        fetching.fetch(plan)
    assert "https://www.kaggle.com/datasets/a/b" in told.value.hint
    client.write_text(CLIENT.format(python=sys.executable, fails=False, archive=str(archive)))
    assert fetching.fetch(plan).images == len(NAMES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bin", "k", "source.zip"]


@pytest.mark.parametrize("name", ["folder", "table", "phantom"])
def test_nothing_to_fetch(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "fetch", name, "--out", str(tmp_path / "x"), "--yes"]) == 2
    said = capsys.readouterr().err
    assert f"nothing to fetch for '{name}'" in said
    assert "covid_radiography, kermany, medmnist, rsna" in said


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="kermani"):
        fetching.plan("kermani", tmp_path / "x")
    with pytest.raises(UnknownName, match="variant of medmnist"):
        fetching.plan("medmnist", tmp_path / "x", "512")


def test_what_members_offer() -> None:
    for name in family.names("datasets"):
        origins = getattr(family.member("datasets", name), "ORIGINS", ())
        assert len({origin.variant for origin in origins}) == len(origins)
        for origin in origins:
            assert origin.page.startswith("https://")
            if isinstance(origin.source, Download):
                assert origin.source.url.startswith("https://")
            assert (origin.archive is None) == (isinstance(origin.source, Download) and name == "medmnist")
            assert set(family.member("datasets", name).Options.model_fields) >= {"root"}
