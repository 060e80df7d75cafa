"""The audit of data on real radiographs, and what it finds of faults that were planted among them.

    python benchmarks/audits.py KERMANY [--parts abc] [--images 800] [--seed 0] [--bundle DIR]

KERMANY holds the official ``train/`` and ``test/``. Parts: a the whole data set audited as ``laennec data audit`` does
it, with an empty cache, and what it finds; b duplicates of four kinds, leaked patients, a burned-in marker, a stripe
at the border of one source and flipped labels planted among its images and among phantoms; c a bundle (``--bundle``)
audited on validation.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import page
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from laennec import auditing, family, intervals, loader, phantom, probing
from laennec.audits import Subject
from laennec.checks import Audit, Check, Outcome
from laennec.estimates import Estimate
from laennec.labels import LabelSet
from laennec.recipe import Recipe
from laennec.samples import Collection, Sample, Split

ROOT = Path(__file__).resolve().parents[1]
LABELS = LabelSet(names=("NORMAL", "PNEUMONIA"), positive=("PNEUMONIA",))
EACH = 50  # duplicates of a kind
PHANTOM = 224


@dataclass(frozen=True)
class Plain:
    """A picture without a fault: its file, whether it shows the finding, its source."""

    path: Path
    sick: bool
    source: str


Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def recompressed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Smaller, and through a JPEG of low quality."""
    side = int(rng.integers(150, 200))
    small = picture.resize((side, round(side * picture.height / picture.width)), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=int(rng.integers(30, 60)))
    return Image.open(io.BytesIO(stream.getvalue())).convert("L")


def regraded(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Other greys: brightness and contrast, every fifth inverted."""
    changed = ImageEnhance.Brightness(picture).enhance(float(rng.uniform(0.75, 1.25)))
    changed = ImageEnhance.Contrast(changed).enhance(float(rng.uniform(0.75, 1.25)))
    return ImageOps.invert(changed) if rng.random() < 0.2 else changed


def moved(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turned by up to two degrees, and cut by up to three in a hundred at each side."""
    turned = picture.rotate(float(rng.uniform(-2, 2)), Image.Resampling.BICUBIC)
    sides = (picture.width, picture.height) * 2
    left, top, right, bottom = (float(rng.uniform(0, 0.03)) * side for side in sides)
    return turned.crop((round(left), round(top), round(picture.width - right), round(picture.height - bottom)))


KINDS: dict[str, Change | None] = {
    "byte for byte": None,
    "smaller, recompressed": recompressed,
    "other greys": regraded,
    "turned and cropped": moved,
}


def phantoms(folder: Path, n: int, seed: int) -> list[Plain]:
    """`n` synthetic radiographs, each of another patient."""
    folder.mkdir(parents=True)
    found = []
    for patient in range(n):
        drawn, path = phantom.draw(seed, patient, size=PHANTOM), folder / f"{patient:05}.png"
        Image.fromarray(np.round(drawn.pixels * 255).astype(np.uint8)).save(path, compress_level=1)
        sick = phantom.finding_of(seed, patient) != "NORMAL"
        found.append(Plain(path, sick, phantom.source_of(seed, patient)))
    return found


def radiographs(kermany: Path, n: int, seed: int) -> list[Plain]:
    """`n` images of the data set, each of another patient, half of them sick."""
    recipe = Recipe.read(ROOT / "recipes" / "kermany-quick.toml").replace(data__root=str(kermany.resolve()))
    collection = loader.load_collection(recipe.data)
    order = np.random.default_rng(seed).permutation(len(collection.samples))
    seen: set[str] = set()
    found: dict[bool, list[Plain]] = {True: [], False: []}
    for at in order:
        sample = collection.samples[at]
        sick = sample.labels[1] == 1
        if sample.patient not in seen and len(found[sick]) < n // 2:
            seen.add(sample.patient)
            found[sick].append(Plain(sample.path, sick, ""))
    return [*found[True], *found[False]]


def subject(
    pictures: Sequence[Plain], parts: Sequence[str], seed: int, patients: Sequence[str] | None = None
) -> Subject:
    """A data set of these pictures; patients are not kept inside parts unless the caller does."""
    samples = tuple(
        Sample(
            id=f"{at:05}-{one.path.name}",
            path=one.path,
            labels=(float(not one.sick), float(one.sick)),
            patient=patients[at] if patients else f"p{at:05}",
            source=one.source,
        )
        for at, one in enumerate(pictures)
    )
    ids = {
        part: tuple(s.id for s, p in zip(samples, parts, strict=True) if p == part) for part in ("train", "val", "test")
    }
    split = Split(**ids, how="planted", seed=seed)
    return auditing.subject(Collection("planted", LABELS, samples), split, seed)


def ask(name: str, seen: Subject) -> Outcome:
    """One audit."""
    outcome: Outcome = family.member("audits", name).audit(seen)
    return outcome


def parts_of(n: int, seed: int) -> NDArray[np.str_]:
    """Seven, one and two in ten."""
    return np.random.default_rng(seed).choice(["train", "val", "test"], size=n, p=[0.7, 0.1, 0.2])


def row(what: str, found: int, planted: int, alarms: int, clean: int, seconds: float) -> str:
    """A line of the table."""
    recall, false = intervals.wilson(found, planted), intervals.wilson(alarms, clean)
    return f"| {what} | {planted} | {share(recall)} | {clean:,} | {share(false)} | {seconds:.1f} |"


def share(estimate: Estimate) -> str:
    """``98.5 % (95.7 to 99.5)``."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "n/a"
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def duplicates(pictures: list[Plain], folder: Path, seed: int) -> list[str]:
    """Duplicates of four kinds, each under another patient and in another part."""
    rng = np.random.default_rng([seed, 1])
    folder.mkdir(parents=True)
    chosen = rng.choice(len(pictures), EACH * len(KINDS), replace=False)
    planted: list[Plain] = []
    for place, at in enumerate(chosen):
        change = list(KINDS.values())[place // EACH]
        one = pictures[at]
        path = folder / f"copy{place:04}{one.path.suffix if change is None else '.png'}"
        if change is None:
            shutil.copyfile(one.path, path)
        else:
            change(Image.open(one.path).convert("L"), rng).save(path)
        planted.append(replace(one, path=path))
    parts = [*(["train"] * len(pictures)), *(["test"] * len(planted))]
    seen = subject([*pictures, *planted], parts, seed)
    started = time.perf_counter()
    outcome = ask("duplicates", seen)
    seconds = time.perf_counter() - started
    pairs = {frozenset((one.id, other)) for one in outcome.suspects for other in one.beside}
    ids, n = [s.id for s in seen.samples], len(pictures)
    wanted = [frozenset((ids[at], ids[n + place])) for place, at in enumerate(chosen)]
    rows = []
    for place, kind in enumerate(KINDS):
        group = wanted[place * EACH : (place + 1) * EACH]
        rows.append((kind, sum(pair in pairs for pair in group)))
    strange = {key for pair in pairs - set(wanted) for key in pair} - set(ids[n:])
    lines = [row(f"duplicate, {kind}", found, EACH, 0, 0, seconds) for kind, found in rows]
    found = sum(found for _, found in rows)
    return [*lines, row("duplicates, all four kinds", found, len(wanted), len(strange), n, seconds)]


def leaked(pictures: list[Plain], seed: int) -> list[str]:
    """Patients of the training part given images in the test part."""
    rng = np.random.default_rng([seed, 2])
    parts, patients = parts_of(len(pictures), seed), [f"p{at:05}" for at in range(len(pictures))]
    train, test = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "test")
    pairs = list(zip(rng.choice(train, EACH, replace=False), rng.choice(test, EACH, replace=False), strict=True))
    for here, there in pairs:
        patients[there] = patients[here]
    seen = subject(pictures, list(parts), seed, patients)
    started = time.perf_counter()
    named = {one.id for one in ask("patients", seen).suspects}
    seconds = time.perf_counter() - started
    planted = {seen.samples[at].id for pair in pairs for at in pair}
    return [
        row(
            "patient in two parts",
            len(named & planted),
            len(planted),
            len(named - planted),
            len(pictures) - len(planted),
            seconds,
        )
    ]


def marked(pictures: list[Plain], folder: Path, seed: int) -> list[str]:
    """A letter burned into a corner of the sick."""
    folder.mkdir(parents=True)
    changed = []
    for at, one in enumerate(pictures):
        picture = Image.open(one.path).convert("L")
        if one.sick:
            pen, side = ImageDraw.Draw(picture), max(8, min(picture.size) // 14)
            x, y = picture.width - 2 * side, side // 2
            pen.rectangle((x, y, x + side // 4, y + side), fill=250)
            pen.rectangle((x, y + side - side // 4, x + side, y + side), fill=250)
        path = folder / f"{at:05}.png"
        picture.save(path, compress_level=1)
        changed.append(replace(one, path=path))
    return carried("marker that gives the label away", changed, [one.sick for one in pictures], seed)


def striped(pictures: list[Plain], folder: Path, seed: int) -> list[str]:
    """A stripe at the border of the pictures of one of two sources."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 3])
    second = rng.random(len(pictures)) < np.where([one.sick for one in pictures], 0.7, 0.3)
    changed = []
    for at, one in enumerate(pictures):
        picture = Image.open(one.path).convert("L")
        if second[at]:
            wide = max(2, picture.width // 50)
            ImageDraw.Draw(picture).rectangle(
                (picture.width - wide, 0, picture.width, picture.height), fill=int(rng.integers(200, 250))
            )
        path = folder / f"{at:05}.png"
        picture.save(path, compress_level=1)
        changed.append(Plain(path, one.sick, "second" if second[at] else "first"))
    return carried("stripe at the border of one source", changed, second, seed)


def carried(what: str, pictures: list[Plain], planted: Sequence[bool] | NDArray[np.bool_], seed: int) -> list[str]:
    """The images that carry a pattern, as the audit `marker` names them."""
    seen = subject(pictures, list(parts_of(len(pictures), seed)), seed)
    started = time.perf_counter()
    named = {one.id for one in ask("marker", seen).suspects}
    seconds = time.perf_counter() - started
    true = {s.id for s, here in zip(seen.samples, planted, strict=True) if here}
    return [row(what, len(named & true), len(true), len(named - true), len(pictures) - len(true), seconds)]


def flipped(pictures: list[Plain], seed: int) -> list[str]:
    """Five labels in a hundred turned round."""
    rng = np.random.default_rng([seed, 4])
    wrong = set(rng.choice(len(pictures), round(0.05 * len(pictures)), replace=False).tolist())
    changed = [replace(one, sick=one.sick != (at in wrong)) for at, one in enumerate(pictures)]
    seen = subject(changed, list(parts_of(len(pictures), seed)), seed)
    started = time.perf_counter()
    named = {one.id for one in ask("labels", seen).suspects}
    seconds = time.perf_counter() - started
    true = {seen.samples[at].id for at in wrong}
    return [
        row("label turned round", len(named & true), len(true), len(named - true), len(pictures) - len(true), seconds)
    ]


def planted(name: str, pictures: list[Plain], folder: Path, seed: int) -> list[str]:
    """Every fault among these pictures."""
    rows = [
        *duplicates(pictures, folder / "copies", seed),
        *leaked(pictures, seed),
        *marked(pictures, folder / "marked", seed),
        *striped(pictures, folder / "striped", seed),
        *flipped(pictures, seed),
    ]
    return [
        "",
        f"**Faults planted among {len(pictures):,} {name}**",
        "",
        "| fault | planted | found | clean images | of them named | seconds |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def told(check: Check) -> list[str]:
    """A check as a few lines."""
    lines = [
        "",
        f"**{check.title.en}: {check.verdict}** ({check.seconds:.1f} s)",
        "",
        *(f"{text.en}" for text in check.said),
    ]
    for table in check.tables:
        lines += ["", f"{table.title.en}:", "", "| " + " | ".join(head.en for head in table.head) + " |"]
        lines += ["|" + "---|" * len(table.head), *("| " + " | ".join(map(cell, cells)) + " |" for cells in table.rows)]
    return lines


def cell(value: object) -> str:
    """A cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, Estimate):
        return value.text()
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(getattr(value, "en", value)).replace("|", "\\|")


def audited(audit: Audit, what: str) -> list[str]:
    """An audit as a section."""
    lines = [f"{what}: {audit.images:,} images of {audit.patients:,} patients in {audit.seconds:.0f} s.", ""]
    lines += ["| check | verdict | images named | seconds |", "|---|---|---|---|"]
    lines += [f"| {c.title.en} | {c.verdict} | {len(c.suspects):,} | {c.seconds:.1f} |" for c in audit.checks]
    for check in audit.checks:
        lines += told(check)
    return lines


def main() -> None:
    """Measure what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kermany", type=Path)
    parser.add_argument("--parts", default="ab")
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", type=Path)
    given = parser.parse_args()
    command = "python benchmarks/audits.py KERMANY --parts "
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if "a" in given.parts:
            os.environ["LAENNEC_CACHE"] = str(work / "cache")
            recipe = Recipe.read(ROOT / "recipes" / "kermany-quick.toml").replace(
                data__root=str(given.kermany.resolve())
            )
            audit = auditing.audit_data(recipe, work / "audit")
            page.write("audit-data", "An audit of data: Kermany", f"{command}a", audited(audit, "Decoding included"))
        if "b" in given.parts:
            os.environ["LAENNEC_CACHE"] = str(work / "cache")
            lines = planted("phantoms", phantoms(work / "phantoms", given.images, given.seed), work / "p", given.seed)
            real = radiographs(given.kermany, given.images, given.seed)
            lines += planted("radiographs of Kermany, one of a patient", real, work / "k", given.seed)
            page.write("audit-planted", "Faults planted, and found", f"{command}b", lines)
        if "c" in given.parts and given.bundle is not None:
            copy = work / "bundle"
            shutil.copytree(given.bundle, copy)
            audit = probing.audit(copy, root=given.kermany.resolve())
            title = f"An audit of a model: {audit.name} on validation"
            page.write("audit-model", title, f"{command}c --bundle BUNDLE", audited(audit, "Validation"))


if __name__ == "__main__":
    main()
