"""Measure `laennec score` against plainer ways and write its section of ``docs/benchmarks.md``.

    python benchmarks/scoring.py --bundle BUNDLE --images FOLDER [--torch BUNDLE] [--densenet BUNDLE] [--work DIR]

Parts (``--parts``):

    a  JPEG: `score` against the same model fed from memory
    b  JPEG: `score` against a loop of Pillow and torch, one image at a time (``--torch``)
    c  DICOM of 2,000 x 2,000: `score` against a loop of pydicom and Pillow before the same model
    d  memory of `score`, parent and decoders together, on few and on many files
    e  JPEG: `score` of a DenseNet-121 (``--densenet``) against torchxrayvision's DenseNet, one image at a time

Every side runs in a process of its own, the sides of a part in turn, and the median of the repeats is told. Seconds
count from the model being ready to the last answer (`score`: to the table in its place, its decoders' start included).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import page
from PIL import Image

Measured = dict[str, float]
BATCH = 16


def files_in(folder: Path) -> list[Path]:
    """Every file of a folder made by `linked`, in order."""
    return sorted(folder.iterdir())


def linked(folder: Path, sources: list[Path], count: int) -> Path:
    """A folder of `count` links to `sources`, over and over; made anew where it holds another number."""
    folder.mkdir(parents=True, exist_ok=True)
    have = {path.name for path in folder.iterdir()}
    wanted = [f"image-{n:06}{sources[n % len(sources)].suffix}" for n in range(count)]
    for name in have - set(wanted):
        (folder / name).unlink()
    for n, name in enumerate(wanted):
        if name not in have:
            (folder / name).symlink_to(sources[n % len(sources)])
    return folder


def dicoms(folder: Path, count: int, side: int) -> list[Path]:
    """Phantoms of `side` pixels a side as uncompressed DICOM of 12 to 16 bits; those already there are kept."""
    from laennec import phantom
    from laennec.phantom.write import write_dicom

    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        path = folder / f"phantom-{side}-{n:03}.dcm"
        if path.exists():
            continue
        drawn = phantom.draw(0, n, 0, 512)
        large = np.asarray(Image.fromarray(drawn.pixels).resize((side, side), Image.Resampling.BICUBIC))
        grain = np.random.default_rng(n).normal(0, 0.01, large.shape)
        pixels = (large + grain).clip(0, 1).astype(np.float32)
        kind = ("MONOCHROME1", "MONOCHROME2")[n % 2]
        write_dicom(replace(drawn, pixels=pixels), path, photometric=kind, bits=(12, 14, 16)[n % 3], window=n % 4 != 3)
    return sorted(folder.glob(f"phantom-{side}-*.dcm"))[:count]


# --- the sides, each in a process of its own -------------------------------------------------------------------------


def side_score(bundle: Path, folder: Path, count: int, threads: int) -> Measured:
    """`laennec score` from a bundle that is open."""
    import laennec as ln

    predictor = ln.open(bundle, threads=threads)
    out = folder.parent / f"{folder.name}-{os.getpid()}.csv"
    started = time.perf_counter()
    scored = ln.score(predictor, folder, out)
    seconds = time.perf_counter() - started
    out.unlink()
    return {"images": scored.images, "seconds": seconds}


def side_memory(bundle: Path, folder: Path, count: int, threads: int) -> Measured:
    """The same session on batches decoded before the clock starts."""
    import laennec as ln
    from laennec.runtime import start

    opened = ln.open_bundle(bundle)
    session = start(opened, threads)
    pixels = [ln.images.load(path, opened.card.preprocess)[0] for path in files_in(folder)[: 64 * BATCH]]
    batches = [np.stack(pixels[at : at + BATCH])[:, None] for at in range(0, len(pixels), BATCH)]
    session.run(batches[0])
    done, started = 0, time.perf_counter()
    while done < count:
        for batch in batches:
            done += len(session.run(batch[: count - done]))
            if done >= count:
                break
    return {"images": done, "seconds": time.perf_counter() - started}


def side_plain(bundle: Path, folder: Path, count: int, threads: int) -> Measured:
    """Pillow and the torch network, eager, fp32, one image at a time."""
    import laennec as ln
    from laennec.runtime import start

    opened = ln.open_bundle(bundle)
    session, size = start(opened, threads), opened.card.preprocess.size

    def one(path: Path) -> None:
        image = np.array(Image.open(path).convert("L").resize((size, size), Image.Resampling.BILINEAR))
        session.run(image[None, None])

    return timed(one, files_in(folder)[:count])


def side_pydicom(bundle: Path, folder: Path, count: int, threads: int) -> Measured:
    """pydicom and Pillow in this process, then the same session in batches."""
    import pydicom
    from pydicom.pixels import apply_voi_lut

    import laennec as ln
    from laennec.runtime import start

    opened = ln.open_bundle(bundle)
    session, size = start(opened, threads), opened.card.preprocess.size

    def read(path: Path) -> np.ndarray:
        dataset = pydicom.dcmread(path)
        values = apply_voi_lut(dataset.pixel_array, dataset)
        low, high = values.min(), values.max()
        levels = ((values - low) * (255.0 / max(float(high) - float(low), 1e-6))).astype(np.uint8)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            levels = 255 - levels
        return np.asarray(Image.fromarray(levels).resize((size, size), Image.Resampling.BILINEAR))

    files = files_in(folder)[:count]
    session.run(np.stack([read(files[0])])[:, None])
    started = time.perf_counter()
    for at in range(0, len(files), BATCH):
        session.run(np.stack([read(path) for path in files[at : at + BATCH]])[:, None])
    return {"images": len(files), "seconds": time.perf_counter() - started}


def side_xrayvision(bundle: Path, folder: Path, count: int, threads: int) -> Measured:
    """torchxrayvision's DenseNet-121 on one image at a time, as its documentation shows."""
    import skimage.io
    import torch
    import torchvision
    import torchxrayvision as xrv

    if threads:
        torch.set_num_threads(threads)
    model = xrv.models.DenseNet(weights=None).eval()
    transform = torchvision.transforms.Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)])

    def one(path: Path) -> None:
        image = xrv.datasets.normalize(skimage.io.imread(path), 255)
        image = image.mean(2)[None] if image.ndim == 3 else image[None]
        with torch.no_grad():
            model(torch.from_numpy(transform(image))[None].float())

    return timed(one, files_in(folder)[:count])


def timed(one: Callable[[Path], None], files: list[Path]) -> Measured:
    """Seconds of `one` on every file, after a first call that does not count."""
    one(files[0])
    started = time.perf_counter()
    for path in files:
        one(path)
    return {"images": len(files), "seconds": time.perf_counter() - started}


SIDES = {
    "score": side_score,
    "memory": side_memory,
    "plain": side_plain,
    "pydicom": side_pydicom,
    "xrayvision": side_xrayvision,
}


# --- running the sides -----------------------------------------------------------------------------------------------


class Peak(threading.Thread):
    """The largest resident memory of a process and of its children, each at its own peak, in MB; Linux."""

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
        self.parent, self.most, self.ended = parent, dict[int, int](), threading.Event()

    def run(self) -> None:
        """Look twenty times a second."""
        while not self.ended.wait(0.05):
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    lines = status.read_text().splitlines()
                except OSError:  # it ended meanwhile
                    continue
                facts = dict(line.split(":", 1) for line in lines if ":" in line)
                number = int(status.parent.name)
                if self.parent in (number, int(facts["PPid"])) and "VmHWM" in facts:
                    self.most[number] = max(self.most.get(number, 0), int(facts["VmHWM"].split()[0]))

    def megabytes(self) -> float:
        """The sum of the peaks."""
        self.ended.set()
        self.join()
        return sum(self.most.values()) / 1024


def measure(side: str, bundle: Path, folder: Path, count: int, threads: int) -> Measured:
    """Run one side in a process of its own."""
    job = json.dumps([side, str(bundle), str(folder), count, threads])
    with subprocess.Popen(
        [sys.executable, __file__, "--side", job],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"LAENNEC_QUIET": "1"},
    ) as process:
        peak = Peak(process.pid)
        peak.start()
        out, _ = process.communicate()
        megabytes = peak.megabytes()
    if process.returncode:
        raise SystemExit(f"the side '{side}' failed")
    found: Measured = json.loads(out.splitlines()[-1])
    sys.stderr.write(f"{side}: {found['images'] / found['seconds']:.1f} images/s, {megabytes:.0f} MB\n")
    return found | {"rate": found["images"] / found["seconds"], "megabytes": megabytes}


def ratio(title: str, target: str, repeats: int, ours: tuple[Any, ...], other: tuple[Any, ...], name: str) -> str:
    """A line of the table: both sides in turn, medians of their rates, and their ratio."""
    runs = [(measure(*ours), measure(*other)) for _ in range(repeats)]
    fast, slow = (statistics.median(run[n]["rate"] for run in runs) for n in (0, 1))
    counts = f"{runs[0][0]['images']:.0f} / {runs[0][1]['images']:.0f}"
    return f"| {title} | {counts} | {fast:.1f} | {name}: {slow:.1f} | {fast / slow:.2f} x | {target} |"


def part_d(chosen: argparse.Namespace, sources: list[Path]) -> list[str]:
    """Memory on few and on many files."""
    peaks = [
        measure("score", chosen.bundle, linked(chosen.work / f"jpeg-{n}", sources, n), n, chosen.threads)["megabytes"]
        for n in (chosen.few, chosen.many)
    ]
    return [
        f"Peak memory of `score`, parent and decoders added: {peaks[0]:.0f} MB on {chosen.few:,} files, {peaks[1]:.0f} "
        f"MB on {chosen.many:,}: {peaks[1] - peaks[0]:+.0f} MB (target: at most +50 MB).",
        "",
    ]


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--bundle", type=Path, help="bundle that is scored with, onnxruntime or another fast backend")
    asked.add_argument("--images", type=Path, help="folder of real JPEG radiographs")
    asked.add_argument("--torch", type=Path, help="torch bundle of the same network (part b)")
    asked.add_argument("--densenet", type=Path, help="bundle of a DenseNet-121 (part e)")
    asked.add_argument("--work", type=Path, default=Path("runs/scoring-benchmark"))
    asked.add_argument("--parts", default="a,b,c,d,e")
    asked.add_argument("--repeats", type=int, default=3)
    asked.add_argument("--threads", type=int, default=0)
    asked.add_argument("--files", type=int, default=5000, help="JPEG files for score (a, b, e)")
    asked.add_argument("--slow", type=int, default=300, help="files for the slow sides (b, e)")
    asked.add_argument("--dicoms", type=int, default=1000, help="DICOM files (c)")
    asked.add_argument("--distinct", type=int, default=40, help="different phantoms among them (c)")
    asked.add_argument("--dicom-side", type=int, default=2000, help="their side in pixels (c)")
    asked.add_argument("--few", type=int, default=1000, help="files (d)")
    asked.add_argument("--many", type=int, default=50000, help="files (d)")
    asked.add_argument("--page", type=Path, help="write to this page instead of docs/benchmarks.md")
    asked.add_argument("--side", help=argparse.SUPPRESS)
    return asked


def main() -> None:
    """Run the parts and write the page."""
    chosen = parser().parse_args()
    if chosen.side:
        side, bundle, folder, count, threads = json.loads(chosen.side)
        found = SIDES[side](Path(bundle), Path(folder), count, threads)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    if chosen.bundle is None or chosen.images is None:
        parser().error("--bundle and --images are needed")
    chosen.work = chosen.work.resolve()
    parts = set(chosen.parts.split(","))
    sources = sorted(path.resolve() for path in chosen.images.rglob("*") if path.suffix.lower() in {".jpeg", ".jpg"})
    if not sources:
        parser().error(f"{chosen.images} holds no JPEG")
    threads, repeats = chosen.threads, chosen.repeats
    lines = [
        "| what | files, ours / other | ours, images/s | other, images/s | ratio | target |",
        "|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    if parts & {"a", "b", "e"}:
        jpegs = linked(chosen.work / f"jpeg-{chosen.files}", sources, chosen.files)
    ours = ("score", chosen.bundle)
    if "a" in parts:
        sides = (*ours, jpegs, chosen.files, threads), ("memory", chosen.bundle, jpegs, chosen.files, threads)
        lines.append(
            ratio(
                "a: JPEG, the engine alone as the other",
                "0.9 where the engine is the limit",
                repeats,
                *sides,
                "from memory",
            )
        )
    if "b" in parts and chosen.torch:
        sides = (*ours, jpegs, chosen.files, threads), ("plain", chosen.torch, jpegs, chosen.slow, threads)
        lines.append(ratio("b: JPEG, a plain loop", "10", repeats, *sides, "Pillow and torch, one by one"))
    if "c" in parts:
        phantoms = dicoms(chosen.work / "phantoms", chosen.distinct, chosen.dicom_side)
        folder = linked(chosen.work / f"dicom-{chosen.dicoms}", phantoms, chosen.dicoms)
        sides = (*ours, folder, chosen.dicoms, threads), ("pydicom", chosen.bundle, folder, chosen.dicoms, threads)
        title = f"c: DICOM of {chosen.dicom_side} x {chosen.dicom_side}, uncompressed"
        lines.append(
            ratio(title, "1.8 on two cores", repeats, *sides, "pydicom and Pillow, one process, the same session")
        )
    if "e" in parts:
        if find_spec("torchxrayvision") is None:
            notes += ["e: torchxrayvision skipped: not installed.", ""]
        elif chosen.densenet:
            sides = (
                ("score", chosen.densenet, jpegs, chosen.files, threads),
                ("xrayvision", chosen.densenet, jpegs, chosen.slow, threads),
            )
            lines.append(ratio("e: DenseNet-121 at 224 pixels", "5", repeats, *sides, "torchxrayvision, one by one"))
    missing = [
        f"{part}: skipped: no {flag} given."
        for part, flag, there in (("b", "--torch", chosen.torch), ("e", "--densenet", chosen.densenet))
        if part in parts and not there
    ]
    notes += [line for skipped in missing for line in (skipped, "")]
    if "d" in parts:
        notes += part_d(chosen, sources)
    told = f"Bundle: {chosen.bundle.name}. Median of {repeats}, sides in turn, each in a process of its own; threads: "
    told += "all cores." if not threads else f"{threads}."
    if chosen.page:
        page.PAGE = chosen.page
    command = "python benchmarks/scoring.py --bundle BUNDLE --torch BUNDLE --densenet BUNDLE --images FOLDER"
    page.write("scoring", "Scoring folders", command, [told, "", *lines, "", *notes])


if __name__ == "__main__":
    main()
