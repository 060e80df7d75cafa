"""The service under load, through long use and amid faults; writes its sections of ``docs/benchmarks.md``.

    python benchmarks/serving.py --bundle BUNDLE [--images FOLDER] [--parts load,soak,…] [--minutes 10] [--quick]

Parts (``--parts``):

    load      capacity C, then 0.7 C, 4 C and what follows, in an open loop (``--minutes`` each)
    soak      20,000 requests, a fifth of them hostile: memory, descriptors, threads, files
    leak      the same, shorter, with a leak injected into the service: the soak must fail each time
    kill      kill -9 of the worker and of decoders while predictions and jobs run
    stop      SIGTERM under load
    overhead  one image: the service against the bare engine
    goodput   eight clients and ResNet-50 in int8, against the engine's own batches; the bundle is made in ``--work``

``--quick`` takes seconds instead of minutes for each, and prints instead of writing the page. ``--leak KIND`` is the
soak alone with a fault of that kind injected, which must end in exit code 1. Exit code 1 wherever a figure does not
hold. Radiographs of ``--images``, or phantoms: whatever is refused by the service's gate would fail the loads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import chaos
import engine
import inputs
import load
import page
import soak
from service import Service, laennec_serve
from verdicts import HEAD, all_hold

from laennec.bundle import Bundle, open_bundle

PICTURES = 64
Found = tuple[list[str], list[str]]  # lines of the table, and what is to be said beside it


class Bench:
    """What the parts share: the bundle, the pictures, how much of each is done."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.bundle = chosen, open_bundle(chosen.bundle)
        self.pictures = inputs.radiographs(chosen.images, PICTURES, chosen.seed)
        self.work = Path(tempfile.mkdtemp(prefix="serving-", dir=chosen.work))

    def many(self, full: int, quick: int) -> int:
        """How much of something."""
        return quick if self.chosen.quick else full

    def serve(self, name: str, bundle: Bundle | None = None) -> Service:
        """A service of its own for a part."""
        folder = self.work / name
        return Service(self.command(folder, bundle), folder)

    def command(self, folder: Path | None = None, bundle: Bundle | None = None) -> list[str]:
        """What starts it; with a state where it is given a folder."""
        path = (bundle or self.bundle).path
        return laennec_serve(path, folder / "state" if folder else None, *self.chosen.serve)

    def load(self) -> Found:
        """Below, above and after."""
        plan = load.Plan(60.0 * self.chosen.minutes, arrivals=self.chosen.arrivals, seed=self.chosen.seed)
        if self.chosen.quick:
            plan = replace(plan, seconds=8.0, step=3.0, after=18.0)
        with self.serve("load") as service:
            payloads = [service.payload("/predict", picture) for picture in self.pictures]
            return load.measure(service, payloads, plan)

    def soak(self) -> Found:
        """Long use."""
        n = self.many(self.chosen.requests, 400)
        leaks = [self.chosen.leak] if self.chosen.leak else []
        most = self.many(0, 40) or None
        return soak.measure(self.command(), self.work, self.pictures, n, self.chosen.seed, leaks, most), []

    def leak(self) -> Found:
        """Long use that must be found out."""
        n = self.many(self.chosen.requests // 20, 300)
        return soak.noticed(self.command(), self.work, self.pictures, n, self.chosen.seed, 40), []

    def kill(self) -> Found:
        """Processes killed."""
        times = self.many(self.chosen.times, 3)
        lines = []
        for do in (chaos.workers, chaos.decoders):
            with self.serve(do.__name__) as service:
                lines += do(service, self.pictures[:16], times, self.chosen.seed)
        return lines, []

    def stop(self) -> Found:
        """Told to stop."""
        with self.serve("rate") as service:
            payloads = [service.payload("/predict", picture) for picture in self.pictures]
            rate = load.saturated(service, payloads, load.CLIENTS, 4.0)
        times = self.many(20, 2)
        return chaos.stops(self.command(), self.work, self.pictures, rate, times, self.chosen.seed), []

    def overhead(self) -> Found:
        """One image."""
        with self.serve("overhead") as service:
            return engine.overhead(service, self.bundle, self.pictures, self.many(400, 60))

    def goodput(self) -> Found:
        """Eight clients."""
        bundle = engine.resnet(self.chosen.work, self.chosen.backend)
        with self.serve("goodput", bundle) as service:
            return engine.goodput(service, bundle, self.pictures, self.many(5, 2), self.many(20, 4)), []


TITLES = {
    "load": "Below, above and just after capacity",
    "soak": "Long use",
    "leak": "Long use with a leak injected",
    "kill": "Processes killed",
    "stop": "Told to stop under load",
    "overhead": "One image against the bare engine",
    "goodput": "Eight clients against the engine's own batches",
}


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--bundle", type=Path, required=True)
    asked.add_argument("--images", type=Path, help="folder of real JPEG radiographs; phantoms without")
    asked.add_argument("--parts", default=",".join(TITLES))
    asked.add_argument("--minutes", type=float, default=10.0, help="of 0.7 C and of 4 C (load)")
    asked.add_argument("--arrivals", choices=("poisson", "fixed"), default="poisson")
    asked.add_argument("--requests", type=int, default=20_000, help="of the soak")
    asked.add_argument("--times", type=int, default=50, help="processes killed, workers and decoders each")
    asked.add_argument("--backend", default="openvino", help="of ResNet-50 (goodput)")
    asked.add_argument("--leak", choices=soak.LEAKS, default="", help="the soak alone, with this leaking")
    asked.add_argument(
        "--serve", action="append", default=[], help="a further word for `laennec serve`: --serve=--in-flight=32"
    )
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--work", type=Path, default=Path("runs/serving-benchmark"))
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--page", type=Path, help="write to this page instead of docs/benchmarks.md")
    return asked


def main() -> None:
    """Run the parts, write what each found, fail where something does not hold."""
    chosen = parser().parse_args()
    parts = ["soak"] if chosen.leak else chosen.parts.split(",")
    if unknown := set(parts) - set(TITLES):
        parser().error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(TITLES)}")
    chosen.work = chosen.work.resolve()
    chosen.work.mkdir(parents=True, exist_ok=True)
    bench, held = Bench(chosen), True
    if chosen.quick or chosen.leak or chosen.page:
        page.PAGE = chosen.page or bench.work / "quick.md"
    command = "python benchmarks/serving.py --bundle BUNDLE" + (" --images FOLDER" if chosen.images else "")
    command += f" --minutes {chosen.minutes:g}" * (chosen.minutes != 10) + " --quick" * chosen.quick
    for part in parts:
        do: Callable[[], Found] = getattr(bench, part)
        lines, notes = do()
        held = held and all_hold(lines)
        called = bench.bundle.card
        about = f"Bundle: {called.name}, {called.backend} {called.precision}, {called.preprocess.size} px; "
        about += f"{PICTURES} {'radiographs' if chosen.images else 'phantoms'} in turn. Research use only."
        told = [about, "", *HEAD, *lines, "", *(line for note in notes for line in (note, ""))]
        page.write(f"serving-{part}", f"The service: {TITLES[part].lower()}", f"{command} --parts {part}", told)
    sys.exit(not held)


if __name__ == "__main__":
    main()
