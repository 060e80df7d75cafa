"""The audit of a model: every member of the family of probes over a bundle and one part of its data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from laennec import auditing, evaluation, explanation, family, hardware, loader, page, storage
from laennec.bundle import Bundle, open_bundle
from laennec.checks import Audit, Outcome
from laennec.errors import LaennecError, UsageError
from laennec.outputs import AUXILIARY, Outputs
from laennec.page import Language
from laennec.probes import Case, ProbeMember
from laennec.runtime import infer, start
from laennec.samples import patients_of
from laennec.version import VERSION

_BATCH = 64
_LOOKS = "explanation"  # the probe whose suspects are shown with their heat
_SIDE = 256


def audit(
    bundle: Bundle | str | Path,
    split: str = "val",
    *,
    root: str | Path | None = None,
    only: Sequence[str] = (),
    language: Language = "en",
) -> Audit:
    """Ask a model what a metric does not tell; write ``audit.json``, ``audit.html`` and ``suspects.csv`` into
    ``reports/audit-<split>`` beside it.

    The part is validation unless told otherwise: what an audit finds is acted upon, and a test that was acted upon is
    none any more. Ask on ``test`` once the model is frozen.

    Args:
        bundle: an opened bundle or its folder.
        split: ``val``, ``test`` or ``train``.
        root: where the data lies now, if it moved since the training.
        only: members of the family of probes; all of them by default. What an earlier audit of this very bundle says of
            the others stays.
        language: the page opens in.

    Raises:
        UsageError: the bundle does not classify; the data is not there, or is not what the bundle was made with.
        UnknownName: a member of `only` is not installed.
    """
    started = time.perf_counter()
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    if not bundle.card.classifies:
        raise UsageError(f"'{bundle.name}' outlines and decides nothing to be audited", "take one that classifies")
    members = {name: family.member("probes", name) for name in (only or family.names("probes"))}
    feed = loader.reload(bundle, (split,), root)
    part = feed.part(split)
    session = start(bundle)

    def answer(pixels: NDArray[np.uint8]) -> Outputs:
        return Outputs.joined([session.run(pixels[at : at + _BATCH]) for at in range(0, len(pixels), _BATCH)])

    given = infer(session, part, bundle.name, AUXILIARY)
    seed = bundle.recipe.seed
    case = Case(bundle.card, split, part.samples, part.batch(slice(None)), given, answer, seed)
    asked = {name: (member.TITLE, _asking(member, case)) for name, member in members.items()}
    made = Audit(
        of="model",
        name=bundle.name,
        collection=feed.collection.name,
        collection_digest=feed.collection.digest,
        split_digest=feed.split.digest,
        split_how=feed.split.how,
        part=split,
        bundle_digest=bundle.digest,
        positive=bundle.card.labels.positive,
        images=len(part),
        patients=patients_of(part.samples),
        checks=auditing.run(asked),
        refused=part.refused,
        seconds=time.perf_counter() - started,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware.describe(),
        laennec=VERSION,
    )
    folder = evaluation.report_folder(bundle, f"audit-{split}")
    made = auditing.completed(made, folder) if only else made
    where = {s.id: s.path for s in part.samples}
    auditing.write(made, folder, where, language, _heated(bundle, made, where))
    return made


def _heated(bundle: Bundle, made: Audit, where: Mapping[str, Path]) -> dict[str, bytes]:
    """Where the model looks on the images that the probe of explanations points at."""
    check = made.check(_LOOKS)
    files = {one.id: where[one.id] for one in check.suspects if one.id in where} if check else {}
    drawn = explanation.pictured(bundle, files, _SIDE)
    return {page.own_picture(_LOOKS, key): picture for key, picture in drawn.items()}


def audited(bundle: Bundle, split: str = "val", *, root: str | Path | None = None) -> Audit:
    """The audit of that part that lies with the bundle if it is a whole one of this very bundle, else a new one. One
    with a check that nobody could look at is not whole: what was missing may be there now.
    """
    path = evaluation.report_folder(bundle, f"audit-{split}") / "audit.json"
    if path.is_file():
        with suppress(ValidationError, LaennecError):  # of another version, or damaged: asked again
            found = Audit.model_validate(storage.read_json(path))
            whole = {check.name for check in found.checks} >= set(family.names("probes")) and not found.unlooked
            if whole and (found.bundle_digest, found.laennec) == (bundle.digest, VERSION):
                return found
    return audit(bundle, split, root=root)


def _asking(member: ProbeMember, case: Case) -> Callable[[], Outcome]:
    return lambda: member.probe(case)
