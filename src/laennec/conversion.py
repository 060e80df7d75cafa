"""The export stage: a Bundle turned into another backend and precision, and held against its parent by a gate.

Calibration images come from the training part; the gate, the temperature and the new thresholds come from validation.
The test part is not read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import familiarity, family, gating, graphs, hardware, measuring, mixing, progress, storage
from laennec.bundle import CARD, Bundle, dump, model_digest, open_bundle, seal, seals
from laennec.card import Card, Fastest, Gate, Limits, Quantisation
from laennec.errors import LaennecError, MissingExtra, UsageError
from laennec.loader import Feed, Part, reload
from laennec.outputs import Outputs
from laennec.quantising import Quantiser
from laennec.runtime import answers, infer, start_with
from laennec.version import VERSION

AUTO = "auto"
SEARCH = "quantisation.json"
_CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class _Made:
    """What one backend made of the parent in one precision."""

    backend: str
    precision: str
    files: dict[str, bytes]
    after: Outputs
    gate: Gate
    how: Quantisation | None = None
    tried: tuple[mixing.Tried, ...] = ()


def export(
    bundle: Bundle | str | Path,
    backend: str = "onnxruntime",
    precision: str = "",
    *,
    out: str | Path,
    root: str | Path | None = None,
    limits: Limits | None = None,
    thorough: bool = False,
    like: Bundle | None = None,
) -> Bundle:
    """Export a bundle, fit temperature and thresholds to its parent's answers, and seal it if the gate holds.

    Args:
        bundle: the parent, fp32.
        backend: the runtime to export to; ``auto`` makes every one but the parent's own, in every precision or the one
            named, and takes the fastest on this machine for one image whose gate holds.
        precision: ``fp32``, ``bf16`` or ``int8``, as the backend offers; the plain one by default.
        out: an empty or new folder; if it holds this very export, that is returned.
        root: where the data lies now, if it moved since the training.
        limits: of the gate; each model decides at its own threshold, the child's fitted on other patients.
        thorough: of int8, try all settings instead of stopping at the first whose gate holds.
        like: the bundle to decide like, where that is not the parent but what the parent was pruned from.

    Raises:
        UsageError: `out` is taken, or the backend does not make that precision.
        MissingExtra: the backend's library is not installed.
        GateFailed: the gate does not hold; nothing is sealed.
    """
    parent = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    limits, out = limits or Limits(), Path(out)
    wanted = _wanted(parent.card, backend, precision)
    done = _finished(out, parent, like or parent, backend, wanted, limits)
    if done is not None:
        return done
    feed = reload(parent, ("train", "val"), root)
    parent = Bundle(parent.path, graphs.with_auxiliary(parent.card, parent.model_files()))
    model, val = like or parent, feed.part("val")
    seen = [(c.labels, c.outputs, c.preprocess.pixel_digest, c.data.split_digest) for c in (model.card, parent.card)]
    if seen[0] != seen[1]:
        raise UsageError(
            f"'{model.name}' has other labels or answers, other pixels or another split than '{parent.name}'",
            "name the bundle it was pruned from",
        )
    before, own = answers(model, val), answers(parent, val)
    standard = gating.Standard(model.card, model.digest, val, before, limits, towards=own.probabilities)
    made, fastest = _made(parent, feed, standard, wanted, thorough)
    card = parent.card.model_copy(
        update={
            "backend": made.backend,
            "precision": made.precision,
            "parent": parent.digest,
            "gate": made.gate,
            "quantisation": made.how,
            "fastest": fastest,
            "auxiliary": parent.card.auxiliary if graphs.GRAPH in made.files else {},
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "laennec": VERSION,
        }
    )
    return _sealed(card, made, standard, feed, out)


def _wanted(parent: Card, backend: str, precision: str) -> list[tuple[str, str]]:
    """Backends and precisions to make."""
    if parent.precision != "fp32":
        raise UsageError(f"the parent is {parent.precision} already", "export from the fp32 bundle it came from")
    if backend != AUTO:
        member = family.member("backends", backend)
        member.ready()
        offered = member.PRECISIONS
        if (precision or "fp32") not in offered:
            raise UsageError(f"{backend} makes no '{precision or 'fp32'}'", f"it makes: {', '.join(offered) or 'none'}")
        if not member.computes(precision or "fp32"):
            raise UsageError(f"this processor does not compute in {precision}", "export in fp32 or int8 here")
        return [(backend, precision or "fp32")]
    found = []
    for name in family.names("backends"):
        member = family.member("backends", name)
        try:
            member.ready()
        except MissingExtra as error:
            progress.say(f"{name} is left out: {error.message}")
            continue
        if member.CALIBRATES:
            found += [(name, p) for p in member.PRECISIONS if precision in {"", p} and member.computes(p)]
    if not found:
        raise UsageError(f"no backend makes '{precision}'", "laennec list backends")
    return found


def _made(
    parent: Bundle, feed: Feed, standard: gating.Standard, wanted: list[tuple[str, str]], thorough: bool
) -> tuple[_Made, Fastest | None]:
    """The one export wanted, or the fastest of several whose gate holds.

    Raises:
        GateFailed: none holds.
    """
    files = parent.model_files()
    quantiser = Quantiser(_calibration_images(feed.part("train"), parent.recipe.seed))
    made: list[_Made] = []
    for backend, precision in wanted:
        known = next((m.how for m in made if m.how is not None and m.gate.passed), None)
        progress.say(f"exporting to {backend} {precision}")
        try:
            made.append(_one(parent, files, (backend, precision), quantiser, standard, known, thorough))
        except LaennecError as error:
            if len(wanted) == 1:
                raise
            progress.say(f"{backend} {precision} is left out: {error.message}")
            continue
        progress.say(f"{backend} {precision}: {gating.told(made[-1].gate)}")
    held = [m for m in made if m.gate.passed]
    if not made:
        raise LaennecError(f"no backend made anything of '{parent.name}'", "see the lines above")
    if not held:
        what = f"the {made[0].precision} model" if len(made) == 1 else f"each of {len(made)} exports, the first,"
        raise gating.failed(
            made[0].gate,
            what,
            standard.card.name,
            "train longer or on more images, or allow more with --auroc-lost, --flipped, --ece-gained and --dice-lost",
        )
    if len(wanted) == 1:
        return held[0], None
    times = _times(parent.card, held, standard.val)
    fastest = min(range(len(held)), key=lambda i: times[i])
    named = {f"{m.backend} {m.precision}": round(t, 4) for m, t in zip(held, times, strict=True)}
    progress.say("fastest for one image: " + ", ".join(f"{name} {t:.2f} ms" for name, t in named.items()))
    return held[fastest], Fastest(processor=hardware.processor(), threads=os.cpu_count() or 1, milliseconds=named)


def _one(
    of: Bundle,
    files: dict[str, bytes],
    wanted: tuple[str, str],
    quantiser: Quantiser,
    standard: gating.Standard,
    known: Quantisation | None,
    thorough: bool,
) -> _Made:
    """The export to one backend in one precision; int8 tries the settings `known` to do first."""
    parent = of.card
    backend, precision = wanted
    member = family.member("backends", backend)
    if precision == "int8":
        found = mixing.search(member, parent, files, quantiser, standard, first=known, thorough=thorough)
        how = found.how if member.CALIBRATES else None
        return _Made(backend, precision, found.files, found.after, found.gate, how, found.tried)
    made = member.export(parent, files, precision, quantiser, mixing.settings()[0])
    card = parent.model_copy(update={"backend": backend, "precision": precision})
    after = infer(member.start(card, made, 0), standard.val, f"{backend} {precision}")
    same = precision == parent.precision and standard.digest == of.digest
    return _Made(backend, precision, made, after, standard.gate(after, same))


def _times(parent: Card, made: list[_Made], val: Part) -> list[float]:
    """Median milliseconds of one image for each, interleaved."""
    cards = [parent.model_copy(update={"backend": one.backend, "precision": one.precision}) for one in made]
    sessions = [
        family.member("backends", card.backend).start(card, one.files, 0) for card, one in zip(cards, made, strict=True)
    ]
    images = [val.batch(slice(0, 1))] * len(sessions)
    return [float(np.median(row)) for row in measuring.single_image(sessions, images)]


def _sealed(card: Card, made: _Made, standard: gating.Standard, feed: Feed, out: Path) -> Bundle:
    """Bring the labels to the parent's temperature where the precision changed, bind thresholds, and seal it."""
    labels, after, files = card.labels, made.after, dict(made.files)
    if made.gate.limits.difference is None and graphs.GRAPH in files:
        heat = standard.temperature(after)
        files[graphs.GRAPH] = graphs.tempered(files[graphs.GRAPH], heat, labels.exclusive)
        card = card.model_copy(update={"temperature": card.temperature * heat})
        after = Outputs(gating.tempered(labels, after.probabilities, heat), after.masks)
    if made.tried:
        files[SEARCH] = dump([one.model_dump(mode="json") for one in made.tried])
    bound_to = (feed.split.digest, model_digest(seals(files), card.calibration))
    decided = standard.followed(after, bound_to, card)
    if card.novelty is not None:
        draft = card.model_copy(update=decided)
        found = familiarity.fitted(start_with(draft, files), draft, feed, bound_to=bound_to, seed=card.recipe["seed"])
        if found is not None:
            decided["novelty"], files[found[0].file] = found
    with storage.building(out, (out / CARD).is_file) as work:
        seal(work, card.model_copy(update=decided), files)
    return open_bundle(out)


def _finished(
    out: Path, parent: Bundle, like: Bundle, backend: str, wanted: list[tuple[str, str]], limits: Limits
) -> Bundle | None:
    """The bundle in `out` if it is this very export; `UsageError` if `out` holds anything else."""
    if not (out / CARD).is_file():
        storage.check_free(out)
        return None
    bundle = open_bundle(out)
    card, gate = bundle.card, bundle.card.gate
    chosen = backend == AUTO and len(wanted) > 1
    same = card.parent == parent.digest and (card.backend, card.precision) in wanted
    same = same and gate is not None and gate.against == like.digest and (card.fastest is not None) == chosen
    if same and gate is not None and gate.limits.model_copy(update={"difference": None}) == limits:
        progress.say(f"{out} holds this very export already; delete it to export again")
        return bundle
    raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")


def _calibration_images(train: Part, seed: int) -> np.ndarray:
    chosen = np.random.default_rng(seed).permutation(len(train))[:_CALIBRATION_IMAGES]
    return train.batch(np.sort(chosen))
