"""Fit and measure the gate of `laennec.images.chest`: is a picture a chest radiograph at all?

    python benchmarks/lung_gate.py DATA [--fit] [--page]

DATA holds ``kermany/``, ``kermany-lungmasks/``, ``covid-ccby/`` and ``dicom/``. Measures the shipped gate and prints
its section of the page as Markdown (``--page`` writes it into ``docs/benchmarks.md``). ``--fit`` fits the coefficients
and writes them into ``chest.py``: on every second file of the official train part (as it is, changed at random, one
lung made white), on phantoms, and on the first seeds and photographs of `other_pictures.KNOWN`. What is measured was
never fitted on. It fits `laennec.images.standing` too, on the same radiographs as they are and inverted, on either
side and upside down; ``input_gate.py`` measures that.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import other_pictures as other
import page
from numpy.typing import NDArray
from PIL import Image

from laennec import intervals, phantom
from laennec.images import chest, lungs, read, standing

Plane = NDArray[np.float32]
Levels = NDArray[np.uint8]
FIT_SEED, TEST_SEED = 1, 2
DRAWN_FIT, DRAWN_TEST, CROPS_FIT, CROPS_TEST, SCAN_CROPS, PHANTOMS = 140, 80, 40, 20, 12, 50
STANDING_STRENGTH = 0.03  # the same of how a chest stands, each picture weighing 1 on average
STRENGTH = 3.0  # inverse of the L2 penalty, pictures weighing 1,000 a side
LOST = 0.002  # share of the radiographs fitted on, changed ones among them, that the threshold refuses
FITTED = re.compile(r"(# Fitted by .*?\n_FITTED = \(\n).*?(^\)\n)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Family:
    """Pictures of one kind: ``uint8 [n, 64, 64]``, and the locator's probabilities ``float32 [n, 64, 64]``."""

    name: str
    levels: Levels
    probabilities: Plane

    def figures(self) -> Plane:
        """What the gate looks at, ``float32 [m, 53]``, of the pictures with anything to judge."""
        pairs = zip(self.probabilities, self.levels, strict=True)
        rows = [chest.figures(p, x) for p, x in pairs if p.mean() >= chest.LEAST]
        return np.array(rows, np.float32).reshape(-1, len(chest.FIGURES))

    def doubts(self) -> Counter[str]:
        """How often the gate says what."""
        return Counter(chest.doubt_of(p, x) for p, x in zip(self.probabilities, self.levels, strict=True))

    def framed(self) -> int:
        """How many the frame around the lungs alone would believe."""
        return sum(not lungs.lungs_of(p).doubt for p in self.probabilities)


def located(name: str, levels: Levels) -> Family:
    """A family with what the locator says of it."""
    locator = lungs.SHIPPED.locator()
    return Family(name, levels, np.stack([locator.probabilities(x / np.float32(255)) for x in levels]))


def family(name: str, planes: Iterable[Plane]) -> Family:
    """A family of pictures of any size."""
    return located(name, np.stack([lungs.squeezed(x) for x in planes]))


def files(paths: Iterable[Path]) -> Iterator[Plane]:
    """The pictures in files."""
    return (read(path).pixels for path in paths)


def changed(levels: Levels, seed: int) -> Levels:
    """Turned to 15 degrees, zoomed, shifted, stretched, mirrored, exposed and bordered as in the locator's training."""
    import torch
    from lung_changes import Changes

    changes, done = Changes(seed), []
    for start in range(0, len(levels), 64):
        x = torch.from_numpy(levels[start : start + 64])[:, None].float() / 255
        x, mask = changes.moved(x, torch.zeros_like(x))
        done.append((changes.bordered(changes.exposed(x), mask)[0][:, 0] * 255).round().byte().numpy())
    return np.concatenate(done)


def one_side_white(paths: Sequence[Path], levels: Levels, data: Path, seed: int) -> Levels:
    """One lung made as bright as the mediastinum, as an effusion or a collapse may leave it; by the lung masks."""
    random, at, done = np.random.default_rng(seed), np.arange(lungs.SIDE), []
    for path, picture in zip(paths, levels, strict=True):
        mask_file = (data / "kermany-lungmasks" / path.relative_to(data / "kermany")).with_suffix(".png")
        if mask_file.is_file():
            mask = lungs.squeezed(np.asarray(Image.open(mask_file).convert("L"), np.float32) / 255) / 255
            middle = mask.sum(0) @ at / mask.sum()
            side = (at < middle) if random.random() < 0.5 else (at >= middle)
            over = mask * side * random.uniform(0.6, 1)
            white = np.percentile(picture, random.uniform(75, 95))
            done.append(np.rint(picture * (1 - over) + white * over).astype(np.uint8))
    return np.stack(done)


def kermany(data: Path, part: str) -> list[Path]:
    """The files of one official part."""
    return sorted((data / "kermany" / part).rglob("*.jp*g"))


def chests_fitted_on(data: Path) -> list[tuple[Family, float]]:
    """Radiographs that the gate is fitted on, with their weights."""
    paths = kermany(data, "train")[::2]
    train = family("Kermany, train", files(paths))
    drawn = (phantom.draw(FIT_SEED, patient, 0, 96).pixels for patient in range(PHANTOMS))
    some = slice(None, None, 6)
    return [
        (train, 1.0),
        (located("changed", changed(train.levels, FIT_SEED)), 1.0),
        (located("one side white", one_side_white(paths[some], train.levels[some], data, FIT_SEED)), 0.3),
        (family("phantoms", drawn), 0.5),
    ]


def others_fitted_on() -> list[Family]:
    """Other pictures that it is fitted on."""
    others = [family(name, other.drawn(draw, DRAWN_FIT, FIT_SEED)) for name, draw in other.KNOWN.items()]
    others.append(family("photographs", other.photographs(other.PHOTOGRAPHS_KNOWN, CROPS_FIT, FIT_SEED)))
    return others


def fit(chests: Sequence[tuple[Family, float]], others: Sequence[Family]) -> str:
    """The lines of `chest._FITTED`: name, centre, spread and weight of each figure, and the offset as the last one."""
    from sklearn.linear_model import LogisticRegression

    rows = [one.figures() for one, _ in chests]
    wanted = np.concatenate([np.full(len(x), weight / len(x)) for x, (_, weight) in zip(rows, chests, strict=True)])
    real, unreal = np.concatenate(rows), np.concatenate([one.figures() for one in others])
    centre, spread = real.mean(0), real.std(0) + 1e-6
    x = np.clip((np.concatenate([real, unreal]) - centre) / spread, -chest.FAR, chest.FAR)
    weight = np.concatenate([wanted / wanted.sum(), np.full(len(unreal), 1 / len(unreal))]) * 1000
    model = LogisticRegression(C=STRENGTH, max_iter=2000)
    model.fit(x, np.arange(len(x)) < len(real), sample_weight=weight)
    score = x[: len(real)] @ model.coef_[0]
    table = zip(chest.FIGURES, centre, spread, model.coef_[0], strict=True)
    lines = [f'    ("{name}", {m:.5g}, {s:.5g}, {w:.4g}),\n' for name, m, s, w in table]
    return "".join(lines) + f'    ("offset", 0.0, 1.0, {-np.quantile(score, LOST):.4g}),\n'


TURNS: dict[str, Callable[[Levels], Levels]] = {
    "inverted": lambda x: 255 - x,
    "turned by 90°": lambda x: np.rot90(x, 1, (1, 2)).copy(),
    "turned by 270°": lambda x: np.rot90(x, 3, (1, 2)).copy(),
    "upside down": lambda x: x[:, ::-1, ::-1].copy(),
}


def fit_standing(chests: Sequence[tuple[Family, float]]) -> str:
    """The lines of `standing._FITTED`: name and weight of each figure, and the offset as the last one."""
    from sklearn.linear_model import LogisticRegression

    def deviations(one: Family) -> list[Plane]:
        each = (chest.deviations(p, x) for p, x in zip(one.probabilities, one.levels, strict=True))
        return [away for away in each if away is not None]

    rows: list[Plane] = []
    truth: list[int] = []
    weights: list[float] = []
    for one, weight in chests:
        spoilt = [deviations(located(name, turn(one.levels))) for name, turn in TURNS.items()]
        for kind, found in enumerate([deviations(one), *spoilt]):
            rows += found
            truth += [int(kind == 0)] * len(found)
            weights += [weight / max(1, len(found)) / (1 if kind == 0 else len(TURNS))] * len(found)
    model = LogisticRegression(C=STANDING_STRENGTH, max_iter=3000)
    model.fit(np.array(rows), truth, sample_weight=np.array(weights) * len(weights) / sum(weights))
    table = zip(chest.FIGURES, model.coef_[0], strict=True)
    lines = [f'    ("{name}", {weight:.4g}),\n' for name, weight in table]
    return "".join(lines) + f'    ("offset", {model.intercept_[0]:.4g}),\n'


def judged(data: Path) -> Iterator[tuple[str, Family]]:
    """Whom the gate is measured on, with the part of the table each belongs to."""
    paths = kermany(data, "test")
    test = family("Kermany, test (children)", files(paths))
    adults = family("covid-ccby (adults)", files(sorted((data / "covid-ccby" / "images").glob("*.png"))))
    thorax, limbs = (
        [p for p in sorted((data / "dicom").glob("*.dcm")) if ("RG1" in p.name) == chest_] for chest_ in (True, False)
    )
    yield "radiographs", test
    yield "radiographs", adults
    yield "radiographs", family("thorax DICOM", files(thorax))
    for name, draw in other.KNOWN.items():
        yield "fit", family(name, other.drawn(draw, DRAWN_TEST, TEST_SEED))
    yield "fit", family("photographs (others)", other.photographs(other.PHOTOGRAPHS_NEVER_SEEN, CROPS_TEST, TEST_SEED))
    for name, draw in other.NEVER_SEEN.items():
        yield "never", family(name, other.drawn(draw, DRAWN_TEST, TEST_SEED))
    yield "never", family("CT, MR, ultrasound, scintigraphy of pydicom", other.scans(SCAN_CROPS, TEST_SEED))
    yield "never", family("limb DICOM", files(limbs))
    for radiographs in (test, adults):
        told, x = radiographs.name.split(" (")[0], radiographs.levels
        yield "changed", located(f"{told}: turned to 15°, zoomed, shifted, exposed", changed(x, TEST_SEED))
        if radiographs is test:
            yield "changed", located(f"{told}: one lung made white", one_side_white(paths, x, data, TEST_SEED))
        yield "changed", located(f"{told}: turned by 90°", np.rot90(x, 1, (1, 2)).copy())
        yield "changed", located(f"{told}: upside down", x[:, ::-1, ::-1].copy())
        yield "changed", located(f"{told}: inverted", 255 - x)
    drawn = (phantom.draw(TEST_SEED, patient, 0, 96).pixels for patient in range(PHANTOMS))
    yield "changed", family("laennec's phantoms", drawn)


def share(count: int, n: int) -> str:
    """Percent with its Wilson interval."""
    told = intervals.wilson(count, n)
    return f"{100 * count / n:.1f} % ({100 * (told.low or 0):.1f} to {100 * (told.high or 0):.1f})"


def milliseconds(one: Family) -> tuple[float, float]:
    """Median CPU time of the locator's run and of the gate beside it."""
    locator, times = lungs.SHIPPED.locator(), []
    for x in one.levels[:300]:
        start = time.process_time()
        p = locator.probabilities(x / np.float32(255))
        between = time.process_time()
        chest.doubt_of(p, x)
        times.append((between - start, time.process_time() - between))
    run, gate = np.median(times, axis=0) * 1000
    return float(run), float(gate)


def _write(source: Path, table: str) -> None:
    text = source.read_text(encoding="utf-8")
    source.write_text(FITTED.sub(lambda found: found[1] + table + found[2], text), encoding="utf-8")
    print(f"{source.name} holds the new coefficients; run again without --fit to measure them")


TITLES = {
    "radiographs": "Radiographs nothing was fitted on: accepted",
    "fit": "Other pictures, families the fit knew, from other seeds and other photographs: refused",
    "never": "Other pictures, whole families the fit never saw: refused",
    "changed": "Changed and synthetic radiographs, told for what they are: accepted",
}


def section(data: Path) -> list[str]:
    """The table as Markdown."""
    lines = [
        "`laennec.images.chest` judges the answer of the lung locator: how much lung, how surely, where, how spread,",
        "and the greys in a frame of the lungs' own, summed by logistic regression. 95 % intervals are Wilson's. Crops",
        "of one photograph, and pictures drawn by one function, resemble each other: there they are too narrow.",
    ]
    part, total, timed = "", Counter[str](), None
    for group, one in judged(data):
        accepts = group in {"radiographs", "changed"}
        if group != part:
            kind = "accepted" if accepts else "refused"
            lines += [
                "",
                f"**{TITLES[group]}**",
                "",
                f"| family | count | {kind} | of it without the gate (frame's own doubts) |",
            ]
            lines += ["|---|---:|---:|---:|"]
            part = group
        n, accepted, before = len(one.levels), one.doubts()[""], one.framed()
        told, plain = (accepted, before) if accepts else (n - accepted, n - before)
        lines.append(f"| {one.name} | {n} | {told}: {share(told, n)} | {plain} |")
        total[f"{group} n"] += n
        total[group] += told
        timed = timed or milliseconds(one)
    for group, told in (
        ("radiographs", "radiographs accepted"),
        ("fit", "others refused, known families"),
        ("never", "others refused, families never seen"),
    ):
        lines += [
            "",
            f"All {told}: {total[group]} of {total[group + ' n']}, {share(total[group], total[group + ' n'])}.",
        ]
    run, gate = timed or (0.0, 0.0)
    return [
        *lines,
        "",
        f"One picture, CPU time: locator {run:.2f} ms, gate {gate:.2f} ms beside it (medians, 64 x 64).",
    ]


def main() -> None:
    """Fit if asked, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with kermany/, kermany-lungmasks/, covid-ccby/ and dicom/")
    parser.add_argument(
        "--fit", action="store_true", help="fit the coefficients and write them into chest.py; measures nothing"
    )
    parser.add_argument("--fit-standing", action="store_true", help="the same for how a chest stands, in standing.py")
    parser.add_argument("--page", action="store_true", help="write the section into docs/benchmarks.md")
    chosen = parser.parse_args()
    if chosen.fit:
        _write(Path(chest.__file__), fit(chests_fitted_on(chosen.data), others_fitted_on()))
        # a deviation is from the centres that were fitted just now
        again = [sys.executable, __file__, str(chosen.data), "--fit-standing"]
        subprocess.run(again, check=True)
        return
    if chosen.fit_standing:
        _write(Path(standing.__file__), fit_standing(chests_fitted_on(chosen.data)))
        return
    lines = section(chosen.data)
    if chosen.page:
        page.write("lung-gate", "Is it a chest radiograph?", "python benchmarks/lung_gate.py DATA --page", lines)
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
