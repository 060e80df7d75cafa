"""The shrinking stage: the smallest and fastest bundle that still decides like its parent, searched for and measured.

The network is pruned to less and less, retrained on the labels and its parent's answers, brought to every backend and
precision there is, and each is held against the parent itself on validation. The fastest one that passes is the answer.
The test part is not read: `evaluate` and `compare` confirm the choice.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from laennec import gating, progress, storage
from laennec.bundle import CARD, Bundle, open_bundle
from laennec.card import Limits
from laennec.comparison import compare
from laennec.conversion import AUTO, export
from laennec.errors import GateFailed, UsageError
from laennec.page import Language
from laennec.pruning import prune
from laennec.results import Comparison

SHARES = (0.5, 0.3, 0.15)
TABLE = "shrink.json"
_BEST = "best"


@dataclass(frozen=True)
class Candidate:
    """One way to make the parent cheaper.

    Attributes:
        name: of its folder below ``candidates/``.
        flops: share of the parent's operations left; 1 where nothing was pruned.
        made: backend and precision, "" where none passed.
        told: the gate's figures, or why there is no bundle.
        milliseconds: median of one image, all interleaved; None where there is no bundle.
    """

    name: str
    flops: float
    made: str
    told: str
    passed: bool
    milliseconds: float | None = None
    megabytes: float | None = None


@dataclass(frozen=True)
class Shrunk:
    """What the search found.

    Attributes:
        bundle: the fastest candidate that passed, copied to ``best``.
        candidates: every one tried.
        comparison: of the parent and of all that passed, on validation.
    """

    bundle: Bundle
    candidates: tuple[Candidate, ...]
    comparison: Comparison


def shrink(
    bundle: Bundle | str | Path,
    *,
    out: str | Path,
    within: float = 0.002,
    flipped: float = 0.01,
    dice_lost: float = 0.003,
    shares: Sequence[float] = SHARES,
    steps: int = 3,
    epochs: int = 2,
    distil: float = 0.7,
    root: str | Path | None = None,
    language: Language = "en",
) -> Shrunk:
    """Search for the cheapest bundle that decides like `bundle`, and leave it in ``out/best`` with the table beside it.

    Finished candidates of an interrupted search are not made again.

    Args:
        bundle: the parent, an fp32 torch bundle. An ensemble is not pruned, only exported.
        out: folder for ``candidates/``, ``best/``, the table ``shrink.json`` and the comparison on validation.
        within: largest validation AUROC that may be lost.
        flipped: largest share of validation decisions that may come out otherwise.
        dice_lost: largest mean Dice of masks on validation that may be lost.
        shares: of the parent's operations, each to be tried; after the first whose exports all fail the smaller ones
            are not.
        steps, epochs: of the pruning; see `laennec.prune`.
        distil: share of the parent's answers in what the pruned network learns; none where it makes masks.
        root: where the data lies now, if it moved.
        language: of the comparison's page when it opens.

    Raises:
        GateFailed: nothing passed.
        UsageError: the parent is no fp32 torch bundle, or a share is not between 0 and 1.
    """
    parent, out = bundle if isinstance(bundle, Bundle) else open_bundle(bundle), Path(out)
    if parent.card.backend != "torch" or parent.card.precision != "fp32":
        raise UsageError(f"'{parent.name}' is no fp32 torch bundle", "shrink the bundle that training made")
    if parent.card.calibration is not None:
        raise UsageError(f"'{parent.name}' is calibrated", "shrink the bundle it was calibrated from, then calibrate")
    if not all(0 < share < 1 for share in shares):
        raise UsageError("a share of the operations lies between 0 and 1", "for example 0.5 0.3")
    storage.check_free(out, {"candidates", _BEST, TABLE, "comparison.html", "comparison.json"})
    limits, folder = Limits(auroc_lost=within, flipped=flipped, dice_lost=dice_lost), out / "candidates"
    distil = 0.0 if parent.card.segments else distil
    tried, held = [], {}
    for share in (1.0, *sorted(shares, reverse=True)):
        if share < 1 and parent.card.ensemble is not None:
            progress.say("an ensemble is not pruned: prune its members and join them")
            break
        name = "whole" if share == 1 else f"flops{round(100 * share):02d}"
        progress.say(f"candidate {name}")
        source = parent
        if share < 1:
            source = prune(
                parent, out=folder / f"{name}-fp32", flops=share, steps=steps, epochs=epochs, distil=distil,
                root=root, limits=limits, gate=False,
            )  # fmt: skip
        try:
            made = export(source, AUTO, out=folder / name, root=root, limits=limits, like=parent)
        except GateFailed as error:
            tried.append(Candidate(name, share, "", error.message, False))
            progress.say(f"{name}: {error.message}")
            if share < 1:
                break
            continue
        gate = made.card.gate
        said = gating.told(gate) if gate is not None else ""
        tried.append(Candidate(name, share, f"{made.card.backend} {made.card.precision}", said, True))
        held[name] = made
    if not held:
        raise GateFailed(f"nothing that decides like '{parent.name}' was found", "allow more with --within, --flipped")
    return _taken(parent, held, tried, out, root, language)


def _taken(
    parent: Bundle,
    held: dict[str, Bundle],
    tried: Sequence[Candidate],
    out: Path,
    root: str | Path | None,
    language: Language,
) -> Shrunk:
    """Time what passed side by side, and copy the fastest."""
    comparison = compare([parent, *held.values()], "val", root=root, out=out, language=language)
    times = {row.bundle_digest: row.latency_p50 for row in comparison.rows}
    best = min(held.values(), key=lambda made: times[made.digest])
    candidates = tuple(
        Candidate(**asdict(one) | {"milliseconds": times[held[one.name].digest], "megabytes": held[one.name].megabytes})
        if one.passed
        else one
        for one in tried
    )
    target = out / _BEST
    if (target / CARD).is_file() and open_bundle(target).digest != best.digest:
        storage.put_away(target)
    if not target.is_dir():
        with storage.building(target, (target / CARD).is_file) as work:
            shutil.copytree(best.path, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("reports"))
    bundle = open_bundle(target)
    storage.write_json(
        out / TABLE,
        {
            "parent": parent.digest,
            "best": bundle.digest,
            "candidates": [asdict(one) for one in candidates],
            "hardware": comparison.hardware,
            "threads": comparison.threads,
            "made": comparison.made,
            "laennec": comparison.laennec,
        },
    )
    return Shrunk(bundle, candidates, comparison)
