"""Scoring folders: decoding processes, batches across files, and going on after a kill."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import laennec as ln
from conftest import tiny_pictures
from laennec import predictor as predictor_module
from laennec import stretches as stretches_module
from laennec import tables
from laennec.bundle import Bundle
from laennec.errors import UsageError
from laennec.images import decoding
from laennec.results import Prediction, Refused

SOURCE = str(Path(__file__).parents[1] / "src")


@pytest.fixture(scope="module")
def predictor(quantised: Bundle) -> ln.Predictor:
    return ln.Predictor(quantised, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty pictures and ten files that are none, among them."""
    made = tiny_pictures(tmp_path_factory.mktemp("mixed"), patients=25, seed=3)
    for n in range(0, 25, 5):
        (made / "normal" / f"p{n:03}_bad.png").write_text("no image")
        (made / "sick" / f"p{n:03}_bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return made


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def rows_of(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_answers_are_the_same_in_this_process_and_in_others(predictor: ln.Predictor, folder: Path) -> None:
    def answers(decoders: int) -> list[Any]:
        return [
            (s.names, {n: e.code for n, e in s.refused.items()}, s.outputs.probabilities.tolist(), s.labels, s.done)
            for s in predictor.stretches(files_in(folder), 8, decoders)
        ]

    here = answers(0)
    assert here == answers(1) == answers(2)
    assert [name for names, *_ in here for name in names] == [str(path) for path in files_in(folder)]


@pytest.mark.parametrize("decoders", [0, 2])
def test_a_refused_file_leaves_no_hole_in_a_batch(predictor: ln.Predictor, folder: Path, decoders: int) -> None:
    stretches = list(predictor.stretches(files_in(folder), 8, decoders))
    assert [len(s.score) for s in stretches] == [8] * 6 + [2]
    assert sum(len(s.refused) for s in stretches) == 10
    assert all(len(s.names) == len(s.score) + len(s.refused) for s in stretches)


def test_many_refused_are_told_before_a_batch_is_full(
    predictor: ln.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches_module, "LONGEST", 10)
    stretches = list(predictor.stretches([tmp_path / "none.png"] * 25, 8, 0))
    assert [(len(s.names), len(s.score)) for s in stretches] == [(10, 0), (10, 0), (5, 0)]


def test_predict_many_takes_other_processes_for_many_files(
    predictor: ln.Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    launch = decoding.Decoders.launch
    monkeypatch.setattr(decoding.Decoders, "launch", lambda team: started.append(team) or launch(team))
    files = files_in(folder)
    few = list(predictor.predict_many(files[: predictor_module.FEW], 8))
    assert not started
    many = list(predictor.predict_many(files, 8))
    assert started
    assert all(isinstance(a, Prediction) and a.image["format"] == "PNG" for a in many if not isinstance(a, Refused))
    assert [(a.id, getattr(a, "score", "")) for a in few] == [(a.id, getattr(a, "score", "")) for a in many[: len(few)]]


def test_closing_early_ends_the_processes(
    predictor: ln.Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    launch = decoding.Decoders.launch

    def noted(team: decoding.Decoders) -> subprocess.Popen[bytes]:
        started.append(launch(team))
        return started[-1]

    monkeypatch.setattr(decoding.Decoders, "launch", noted)
    answers = predictor.predict_many(files_in(folder), 4)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert started
    children = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], check=False, capture_output=True, text=True
    )
    assert "laennec.images.decoder" not in children.stdout


FRAGILE = """
import os, signal, sys, time
from laennec.images import decoder
load = decoder.load
def fragile(path, preprocess):
    if path.name.startswith("p003_0"): os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("p010_1"): time.sleep(60)
    return load(path, preprocess)
decoder.load = fragile
raise SystemExit(decoder.main())
"""


def test_a_file_that_kills_or_hangs_a_decoder_is_refused_alone(
    predictor: ln.Predictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ln.score(predictor, folder, tmp_path / "whole.csv", decoders=0)
    (tmp_path / "fragile.py").write_text(FRAGILE)
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, str(tmp_path / "fragile.py")))
    monkeypatch.setattr(decoding, "PATIENCE", 1.5)
    scored = ln.score(predictor, folder, tmp_path / "out.csv", decoders=2)
    ill = {"sick/p003_0.png": "decoder_died", "normal/p010_1.png": "timeout"}
    assert {r.id: r.code for r in scored.refused if "bad" not in r.id} == ill
    assert scored.images == whole.images - 2
    # batches are other ones, so that probabilities may differ in their last digits
    kept = [row for row in rows_of(tmp_path / "whole.csv") if row["file"] not in ill]
    found = rows_of(tmp_path / "out.csv")
    assert [row["file"] for row in found] == [row["file"] for row in kept]
    assert np.allclose([float(r["score"]) for r in found], [float(r["score"]) for r in kept], atol=1e-6)


def test_who_answers_while_being_killed_for_slowness_leaves_no_suspicion_behind() -> None:
    told: list[decoding.Answer] = []

    class Team:
        tell = staticmethod(told.append)

    worker = decoding._Worker(Team())  # type: ignore[arg-type]
    worker.ready, worker.hung, worker.died = True, True, 7
    worker.given.append((7, ("a.png",)))
    worker._pass_on([0.1, None])
    assert [(one.row, one.code) for one in told] == [(7, "")]
    # the process dies of that kill with the next image in hand, which is then tried once more
    assert (worker.hung, worker.died) == (False, -1)


KILLED = """
import os, signal, sys
import laennec as ln
from laennec import tables
tables._EVERY = 0.0
add = tables.Growing.add
def dying(table, *rest):
    if table.done >= int(sys.argv[4]):
        table._table.write("half a row,")  # what a kill may leave behind
        table._table.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    add(table, *rest)
tables.Growing.add = dying
ln.score(ln.open(sys.argv[1], threads=1), sys.argv[2], sys.argv[3], batch=4, decoders=int(sys.argv[5]))
"""


@pytest.mark.parametrize(("kind", "decoders"), [("csv", 2), ("parquet", 0)])
def test_killed_and_run_again_ends_the_same(
    predictor: ln.Predictor,
    folder: Path,
    tmp_path: Path,
    kind: str,
    decoders: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    ln.score(predictor, folder, whole, batch=4, decoders=0)
    bundle = str(predictor.bundle.path)
    command = [sys.executable, "-c", KILLED, bundle, str(folder), str(out), "20", str(decoders)]
    died = subprocess.run(
        command, check=False, env=os.environ | {"PYTHONPATH": SOURCE, "CUDA_VISIBLE_DEVICES": ""}, timeout=100
    )
    assert died.returncode == -signal.SIGKILL and not out.exists()
    monkeypatch.delenv("LAENNEC_QUIET")
    scored = ln.score(predictor, folder, out, batch=4, decoders=decoders)
    assert 20 <= scored.continued < 60 and f"after {scored.continued} of 60 files" in capsys.readouterr().err
    assert (scored.images, len(scored.refused)) == (50, 10)
    if kind == "csv":
        assert out.read_bytes() == whole.read_bytes()
    else:
        from pyarrow import parquet

        assert parquet.read_table(out).equals(parquet.read_table(whole))
    refused = [path.with_name(f"{path.name}.refused.csv").read_bytes() for path in (out, whole)]
    assert refused[0] == refused[1]
    names = {f"{stem}.{kind}{end}" for stem in ("out", "whole") for end in ("", ".refused.csv")}
    assert {path.name for path in tmp_path.iterdir()} == names, "nothing of the way is left"


class Cut(Exception):
    pass


def cut_short(predictor: ln.Predictor, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Score until twelve files are done, then fail."""
    add = tables.Growing.add

    def failing(table: tables.Growing, *rest: Any) -> None:
        add(table, *rest)
        if table.done >= 12:
            raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(tables.Growing, "add", failing)
        ln.score(predictor, folder, out, batch=4, decoders=0)


@pytest.mark.parametrize("change", ["folder", "file", "point", "nothing"])
def test_rows_of_other_work_are_thrown_away_and_that_is_said(
    quantised: Bundle,
    tmp_path: Path,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tiny_pictures(tmp_path / "in", patients=10), tmp_path / "out.csv"
    predictor = ln.Predictor(quantised, "balanced", threads=1)
    cut_short(predictor, folder, out, monkeypatch)
    if change == "folder":
        (folder / "late.png").write_bytes((folder / "sick" / "p001_0.png").read_bytes())
    elif change == "file":
        os.utime(folder / "sick" / "p001_0.png", ns=(1, 1))
    elif change == "point":
        predictor = ln.Predictor(quantised, "rule_out", threads=1)
    monkeypatch.delenv("LAENNEC_QUIET")
    scored = ln.score(predictor, folder, out, batch=4, decoders=0)
    said = capsys.readouterr().err
    why = {"folder": "the folder has changed", "file": "the folder has changed", "point": "another operating point"}
    assert scored.continued == (0 if change in why else 12)
    assert why.get(change, "going on") in said
    assert scored.images == len(rows_of(out)) == (21 if change == "folder" else 20)


@pytest.mark.parametrize("harm", ["shorter", "no journal", "journal cut", "journal of lies"])
def test_what_a_damaged_disk_left_is_not_trusted(
    predictor: ln.Predictor, tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tiny_pictures(tmp_path / "in", patients=10), tmp_path / "out.csv"
    ln.score(predictor, folder, tmp_path / "whole.csv", batch=4, decoders=0)
    cut_short(predictor, folder, out, monkeypatch)
    journal = tmp_path / "out.csv.journal"
    if harm == "shorter":
        os.truncate(tmp_path / "out.csv.part", 50)
    elif harm == "no journal":
        journal.unlink()
    elif harm == "journal cut":
        os.truncate(journal, journal.stat().st_size - 3)
    else:
        journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0] + b'[1, "two"]\nnoise\n')
    assert ln.score(predictor, folder, out, batch=4, decoders=0).continued == 0
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_half_of_what_was_added_last_is_not_gone_on_with(tmp_path: Path) -> None:
    def rows() -> Any:
        yield ["c"]
        raise Cut

    out, columns = tmp_path / "out.csv", {"file": str}
    with pytest.raises(Cut), tables.Growing(out, {"work": 1}, columns) as table:
        table.add(2, [["a"]], [("b", "empty", "-")])
        table._note()
        table.add(2, rows(), [])
    with tables.Growing(out, {"work": 1}, columns) as table:
        assert (table.done, table.rows) == (2, 1)
        table.add(1, [["=d"]], [])
        assert table.finish() == [("b", "empty", "-")]
    assert out.read_text() == "file\na\n'=d\n"
    assert table.refused_table.read_text() == "id,code,reason\nb,empty,'-\n"


def test_two_runs_into_one_table_are_kept_apart(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="the lock on a table is of systems with fcntl")
    first = tables.Growing(tmp_path / "out.csv", {}, {"file": str})
    with first, pytest.raises(UsageError, match="another process"):
        tables.Growing(tmp_path / "out.csv", {}, {"file": str})


def test_the_listing_is_in_the_order_of_names_and_spares_our_own_files(predictor: ln.Predictor, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    picture = (tiny_pictures(tmp_path / "one", patients=1) / "normal" / "p000_0.png").read_bytes()
    for name in ("b/a.png", "b/c/d.png", "a.png", "z.png", "a/x.png", ".hidden/y.png", "b/out.csv.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture)
    ln.score(predictor, folder, folder / "out.csv")
    assert [row["file"] for row in rows_of(folder / "out.csv")] == [
        "a.png",
        "z.png",
        "a/x.png",
        "b/a.png",
        "b/out.csv.part",
        "b/c/d.png",
    ]
    assert ln.score(predictor, folder, folder / "out.csv").images == 6


def test_score_says_its_rate_and_takes_a_batch(
    quantised: Bundle, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from laennec.cli import run

    arguments = ["score", str(quantised.path), str(folder), "--out", str(tmp_path / "out.csv"), "--batch", "3"]
    assert run(arguments) == 3
    said = capsys.readouterr().out
    assert "50 images" in said and "images/s" in said and "refused: 10 files" in said
    with pytest.raises(UsageError, match="batch"):
        ln.score(ln.Predictor(quantised), folder, tmp_path / "out.csv", batch=0)


def test_a_parquet_table_without_a_row_has_its_columns(predictor: ln.Predictor, tmp_path: Path) -> None:
    from pyarrow import parquet

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_text("no image")
    scored = ln.score(predictor, tmp_path / "in", tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert (scored.images, table.num_rows, table.column_names[:2]) == (0, 0, ["file", "label"])


MEMORY = """
import os, resource, sys
from pathlib import Path
import laennec as ln
from laennec import predictor
class Half:
    def run(self, pixels):
        import numpy
        from laennec.outputs import Outputs
        return Outputs(numpy.full((len(pixels), 2), 0.5, numpy.float32))
predictor.start = lambda bundle, threads=0: Half()
ln.score(ln.open(sys.argv[1], threads=1), sys.argv[2], sys.argv[3], decoders=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_number_of_files(quantised: Bundle, tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(picture)
    peaks = []
    for count in (100, 4000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for n in range(count):
            os.link(picture, folder / f"a-name-of-the-usual-length-{n:06}.png")
        command = [sys.executable, "-c", MEMORY, str(quantised.path), str(folder), str(tmp_path / f"{count}.csv")]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": SOURCE}, timeout=100
        )
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 8, f"{peaks} MB"


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_run_that_ends_before_its_first_answer_leaves_one_header(
    predictor: ln.Predictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(predictor_module.Predictor, "stretches", stopped)
        with pytest.raises(KeyboardInterrupt):
            ln.score(predictor, folder, tmp_path / name)
    scored = ln.score(predictor, folder, tmp_path / name)
    whole = ln.score(predictor, folder, tmp_path / f"whole{Path(name).suffix}")
    assert scored.images == whole.images
    if name.endswith(".csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole.csv").read_bytes()


def stopped(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt
    yield


def test_a_name_with_a_line_end_is_one_row(predictor: ln.Predictor, folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "a\rb\n.png").write_bytes(files_in(folder)[0].read_bytes())
    (odd / "Icon\r").write_text("no image")
    scored = ln.score(predictor, odd, tmp_path / "t.csv")
    assert [row["file"] for row in rows_of(tmp_path / "t.csv")] == ["a\\x0db\\x0a.png"]
    assert [refused.id for refused in scored.refused] == ["Icon\\x0d"]


def test_a_folder_that_cannot_be_listed_is_refused_by_name(
    predictor: ln.Predictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("sick"):
            raise PermissionError("closed")
        return listed(path)

    monkeypatch.setattr(os, "scandir", closed)
    scored = ln.score(predictor, folder, tmp_path / "t.csv")
    assert scored.images == sum("bad" not in path.name for path in (folder / "normal").iterdir())
    assert "sick" in {refused.id for refused in scored.refused}


def test_a_decoder_that_was_killed_costs_no_file_that_is_well(
    predictor: ln.Predictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed from outside, for want of memory say, its file is decoded once more."""
    mark = tmp_path / "killed"
    once = FRAGILE.replace('startswith("p003_0")', f'startswith("p003_0") and not os.path.exists("{mark}")')
    once = once.replace("os.kill(", f'open("{mark}", "w").close() or os.kill(').replace("time.sleep(60)", "None")
    (tmp_path / "once.py").write_text(once)
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, str(tmp_path / "once.py")))
    scored = ln.score(predictor, folder, tmp_path / "out.csv", decoders=2)
    assert mark.exists()
    assert scored.images == 50
    assert {r.code for r in scored.refused if "bad" not in r.id} == set()
