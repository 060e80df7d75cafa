"""How good, how faithful and how dear the maps are: the network's own, Grad-CAM and occlusion.

    python benchmarks/explanations.py BUNDLE … [--root FOLDER] [--phantoms BUNDLE] [--images 240]

Each BUNDLE is one of torch that classifies; its validation images are read, and no test part. ``--phantoms`` names one
trained on synthetic radiographs (``laennec demo``), whose opacities are known to the pixel; without it that part is
left out. Graphs are made here with settings of int8 not searched for: what they cost and whether the map in them is
right does not hang on the gate.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import page

from laennec import explaining, family, graphs, loader, mixing, phantom, saliency
from laennec.backends import Session
from laennec.bundle import Bundle, open_bundle
from laennec.estimates import Estimate
from laennec.explanation import Explainer
from laennec.outputs import AUXILIARY, MAPS
from laennec.probes import Case
from laennec.probes.explanation import lungs_of
from laennec.quantising import Quantiser
from laennec.runtime import start

DRAWS = 8
OCCLUDED, CALIBRATION, ROUNDS = 60, 64, 300
_PHANTOM = re.compile(r"p(\d+)_(\d+)")


def called(bundle: Bundle, images: int, root: Path | None, part: str) -> Case:
    """Images of a part that the bundle calls positive, of at most `images` looked at."""
    feed = loader.reload(bundle, (part,), root)
    held, session = feed.part(part), start(bundle)
    rows = np.sort(np.random.default_rng(0).permutation(len(held))[:images])
    pixels, samples = held.batch(rows), tuple(held.samples[row] for row in rows)
    case = Case(bundle.card, part, samples, pixels, session.run(pixels, AUXILIARY), session.run)
    return case.take(np.flatnonzero(case.score >= case.threshold))


def sessions(bundle: Bundle, calibration: np.ndarray) -> dict[str, tuple[Session, Session]]:
    """For each backend and precision: a graph without maps, and one with them."""
    files, found = bundle.model_files(), {}
    quantiser = Quantiser(calibration)
    for backend in ("onnxruntime", "openvino"):
        member = family.member("backends", backend)
        for precision in ("fp32", "int8"):
            pair = []
            for card in (bundle.card, graphs.with_auxiliary(bundle.card, files)):
                made = member.export(card, files, precision, quantiser, mixing.settings()[0])
                as_made = card.model_copy(update={"backend": backend, "precision": precision})
                pair.append(member.start(as_made, made, 1))
            found[f"{backend} {precision}"] = (pair[0], pair[1])
    return found


def cost(pair: tuple[Session, Session], image: np.ndarray) -> tuple[float, float, float]:
    """Milliseconds of one image without maps in the graph, and by how much more, as a share, it takes with maps that
    are not asked for, and with maps that are; medians of runs in turns, each over the one before it.
    """
    plain, full = pair
    runs = (lambda: plain.run(image), lambda: full.run(image), lambda: full.run(image, (MAPS,)))
    taken = np.zeros((ROUNDS, 3))
    for turn in range(-5, ROUNDS):
        for number in np.roll(range(3), turn):  # none always follows the same other
            started = time.perf_counter()
            runs[number]()
            if turn >= 0:
                taken[turn, number] = 1000 * (time.perf_counter() - started)
    middle = np.median(taken, axis=0)
    return float(middle[0]), float(middle[1] / middle[0] - 1), float(middle[2] / middle[0] - 1)


def faithful(bundle: Bundle, case: Case, pairs: dict[str, tuple[Session, Session]]) -> list[str]:
    """Lines: every runtime's map, and Grad-CAM, against the map of the torch network."""
    truth, pixels = case.given.maps, case.pixels
    assert truth is not None  # noqa: S101
    by_gradient = explaining.agreement(Explainer(bundle, "gradcam").maps(pixels), truth)
    lines = [
        "| | correlation with the map of torch, mean | least | ms | not asked | asked |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines.append(f"| Grad-CAM (torch) | {by_gradient.mean():.6f} | {by_gradient.min():.6f} | | | |")
    for name, pair in pairs.items():
        found = explaining.agreement(pair[1].run(pixels, (MAPS,)).maps, truth)
        ms, idle, asked = cost(pair, pixels[:1])
        lines.append(f"| {name} | {found.mean():.6f} | {found.min():.6f} | {ms:.2f} | {idle:+.1%} | {asked:+.1%} |")
    return [*lines, ""]


def randomised(bundle: Bundle, case: Case) -> list[str]:
    """Lines: how far the map is still the same once the network's weights are random."""
    explainer, labels = Explainer(bundle, "gradcam"), bundle.card.labels
    pixels, wanted = case.pixels[:OCCLUDED], tuple(labels.positive_indices)
    own, network = explainer.maps(pixels), explainer._network
    lines = [
        "| weights started anew | mean correlation with the map, over draws | lowest | highest |",
        "|---|---:|---:|---:|",
    ]
    for part, word in (("head", "head"), ("all", "all")):
        draws = [
            float(np.nanmean(explaining.agreement(own, explaining.gradcam(
                explaining.randomised(network, part, seed), pixels, wanted, labels.exclusive  # type: ignore[arg-type]
            ))))
            for seed in range(DRAWS)
        ]  # fmt: skip
        lines.append(f"| {word} | {np.mean(draws):.2f} | {min(draws):.2f} | {max(draws):.2f} |")
    return [*lines, ""]


def told(one: Estimate) -> str:
    """A figure for a cell."""
    return one.text(2)


def placed(case: Case, regions: np.ndarray, methods: Sequence[str], what: str) -> list[str]:
    """Lines: where the heat of each method lies against regions of the images."""
    lines = [
        f"| method | images | heat inside the {what} | evenly | lift | hottest point inside |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    size = case.pixels.shape[-1]
    for method in methods:
        some = case if method == "cam" else case.take(np.arange(min(OCCLUDED, len(case.samples))))
        maps: Any = some.given.maps
        if method == "occlusion":
            maps = explaining.occlusion(case.answer, case.card.labels, some.pixels)
        found = saliency.quality(explaining.heated(maps, size), regions[: len(some.samples)], some.patients)
        cells = (found.inside, found.expected, found.lift, found.pointing)
        lines.append(f"| {method} | {found.inside.n} | {' | '.join(told(cell) for cell in cells)} |")
    return [*lines, ""]


def opacities(case: Case, data: dict[str, Any]) -> np.ndarray:
    """The drawn opacity of each phantom on the model's grid, ``bool [n, size, size]``."""
    from laennec import images
    from laennec.preprocess import Preprocess

    pre, found = case.card.preprocess, []
    for sample in case.samples:
        match = _PHANTOM.search(sample.id)
        assert match is not None  # noqa: S101
        patient, number = (int(group) for group in match.groups())
        drawn = phantom.draw(int(data.get("seed", 0)), patient, number, int(data.get("size", 160)))
        plane = drawn.opacity.astype(np.float32)
        found.append(images.to_input(plane, Preprocess(size=pre.size, resize=pre.resize)) >= 128)
    return np.stack(found)


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--phantoms", type=Path)
    parser.add_argument("--images", type=int, default=240)
    given = parser.parse_args()
    lines: list[str] = []
    for path in given.bundles:
        bundle = open_bundle(path)
        case = called(bundle, given.images, given.root, "val")
        train = loader.reload(bundle, ("train",), given.root).part("train")
        calibration = train.batch(np.sort(np.random.default_rng(0).permutation(len(train))[:CALIBRATION]))
        collection, n = bundle.card.data.collection, len(case.samples)
        lines += [f"### {bundle.name}: {n} validation images of {collection} called positive", ""]
        lines += [
            "Milliseconds of one image on one thread, in turns, without the map in the graph; then what it adds.",
            "",
        ]
        lines += faithful(bundle, case, sessions(bundle, calibration)) + randomised(bundle, case)
        lines += placed(case, lungs_of(case), ("cam", "occlusion"), "lungs")
    if given.phantoms:
        bundle = open_bundle(given.phantoms)
        case = called(bundle, given.images, None, "val")
        marked = opacities(case, bundle.card.recipe["data"])
        lines += [f"### Phantoms: {bundle.name}, {len(case.samples)} validation images called positive", ""]
        lines += placed(case, marked, ("cam", "occlusion"), "opacity")
        lines += placed(case, lungs_of(case), ("cam", "occlusion"), "lungs") + randomised(bundle, case)
    page.write("explanations", "Explanations", "python benchmarks/explanations.py BUNDLE … --phantoms BUNDLE", lines)


if __name__ == "__main__":
    main()
