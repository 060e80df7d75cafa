"""Measure the gate before a model, `laennec.images.standing`: what it says of chests that stand as they should, of the
same inverted or turned, of other pictures, and what it costs.

    python benchmarks/input_gate.py DATA [--page]

DATA holds ``kermany/``, ``covid-ccby/`` and ``dicom/``. Nothing measured here was fitted on (``lung_gate.py``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import lung_gate as gate
import numpy as np
import other_pictures as other
import page

from laennec.images import lungs, read, standing

EVERY = 2  # of the test part's files
DRAWN, CROPS, SCAN_CROPS, SEED = 40, 20, 12, 2
SHOWN = ("", *standing.CODES)


def codes(one: gate.Family) -> Counter[str]:
    """How often the gate says what."""
    return Counter(standing.judged(p, x).code for p, x in zip(one.probabilities, one.levels, strict=True))


def families(data: Path) -> Iterator[tuple[str, gate.Family]]:
    """Pictures, each family with what is right to say of it."""
    children = gate.family("children (Kermany, test)", gate.files(gate.kermany(data, "test")[::EVERY]))
    adults = gate.family("adults (covid-ccby)", gate.files(sorted((data / "covid-ccby" / "images").glob("*.png"))))
    for chests in (children, adults):
        yield "", chests
        yield "", gate.located(f"{chests.name}, to 15° askew, zoomed, exposed", gate.changed(chests.levels, SEED))
        for name, turn in gate.TURNS.items():
            right = "inverted" if name == "inverted" else "turned"
            yield right, gate.located(f"{chests.name}, {name}", turn(chests.levels))
    dicom = sorted((data / "dicom").glob("*.dcm"))
    yield "", gate.family("thorax DICOM", gate.files(path for path in dicom if "RG1" in path.name))
    yield "not_chest", gate.family("limb DICOM", gate.files(path for path in dicom if "RG1" not in path.name))
    yield "not_chest", gate.family("nearly blank", nearly_blank())
    yield "lateral", gate.family("chests from the side, drawn", other.drawn(other.chest_from_the_side, DRAWN, SEED))
    for name, draw in (other.KNOWN | other.NEVER_SEEN).items():
        yield "not_chest", gate.family(f"{name}, drawn", other.drawn(draw, DRAWN, SEED))
    photographs = other.photographs(other.PHOTOGRAPHS_NEVER_SEEN, CROPS, SEED)
    yield "not_chest", gate.family("photographs", photographs)
    yield "not_chest", gate.family("CT, MR, ultrasound, scintigraphy", other.scans(SCAN_CROPS, SEED))


def nearly_blank() -> Iterator[gate.Plane]:
    """One grey with noise of up to 2 of 255 levels."""
    for number in range(DRAWN):
        random = np.random.default_rng((SEED, number))
        yield np.clip(random.random() + random.normal(0, random.random() / 128, (200, 180)), 0, 1).astype(np.float32)


def milliseconds(data: Path) -> tuple[float, float, int, int]:
    """CPU time of locator and gate figures as before, what judging adds to it on a plain chest (both medians), how many
    of the chests that stand as they should are plain, and of how many.
    """
    paths = gate.kermany(data, "test")[:: 2 * EVERY] + sorted((data / "covid-ccby" / "images").glob("*.png"))
    before, added, plain = [], [], 0
    for x in (lungs.squeezed(read(path).pixels) for path in paths):
        start = time.process_time()
        p = lungs.probabilities(x.astype(np.float32) / np.float32(255))
        gate.chest.doubt_of(p, x)
        middle = time.process_time()
        standing.judged(lungs.probabilities(x.astype(np.float32) / np.float32(255)), x)
        end = time.process_time()
        if standing.upright(gate.chest.deviations(p, x)) >= standing.PLAIN:
            plain += 1
            before.append(middle - start)
            added.append((end - middle) - (middle - start))
    return float(np.median(before)) * 1000, float(np.median(added)) * 1000, plain, len(paths)


def section(data: Path) -> list[str]:
    """The table as Markdown."""
    lines = [
        "What `laennec.images.standing` says, by code; the right one is bold, its share has Wilson's 95 % interval.",
        "Of what is no upright frontal chest any code but `accepted` keeps it from the model: `kept out`.",
        "No lateral radiograph was to be had: those of the table are drawn, and none is told from its pixels as a",
        "lateral view, only by its header. Crops of one photograph, and pictures drawn by one function, resemble each",
        "other: there the intervals are too narrow.",
        "",
        "| pictures | n | accepted | not_chest | lateral | inverted | turned | right | kept out |",
        "|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for right, one in families(data):
        found, n = codes(one), len(one.levels)
        cells = [f"**{found[code]}**" if code == right else str(found[code]) for code in SHOWN]
        kept = gate.share(n - found[""], n) if right else ""
        lines.append(f"| {one.name} | {n} | {' | '.join(cells)} | {gate.share(found[right], n)} | {kept} |")
    before, added, plain, n = milliseconds(data)
    return [
        *lines,
        "",
        f"One plain chest, CPU time: locator and gate {before:.2f} ms, how it stands {added:+.2f} ms (medians). Plain",
        f"are {plain} of {n} chests that stand as they should; the others cost four more runs of the locator.",
    ]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with kermany/, covid-ccby/ and dicom/")
    parser.add_argument("--page", action="store_true", help="write the section into docs/benchmarks.md")
    chosen = parser.parse_args()
    lines = section(chosen.data)
    if chosen.page:
        page.write("input-gate", "Does it stand as it should?", "python benchmarks/input_gate.py DATA --page", lines)
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
