"""The evaluation stage: a Bundle judged on one part of its split. The only stage that reads the test part."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import ValidationError

from laennec import (
    conformal,
    decisions,
    explanation,
    hardware,
    images,
    loader,
    masks,
    metrics,
    overlaps,
    overlays,
    page,
    prevalence,
    progress,
    storage,
    tracking,
)
from laennec.bundle import Bundle, open_bundle
from laennec.caution import Caution
from laennec.checks import Audit
from laennec.costs import Cost
from laennec.errors import ImageError, LaennecError, UsageError
from laennec.outputs import FEATURES, Outputs
from laennec.page import Language
from laennec.preprocess import Preprocess
from laennec.recipe import Data
from laennec.results import Epoch, Report
from laennec.runtime import infer, start
from laennec.segmentation import SegmentationFigures
from laennec.trackers import Run
from laennec.version import VERSION

EXTERNAL, SHARED = "external", "shared"
_THUMBNAIL = Preprocess(size=224, resize="pad")


def evaluate(
    bundle: Bundle | str | Path,
    split: str = "test",
    *,
    root: str | Path | None = None,
    on: Data | None = None,
    shared: bool = False,
    audited: str | Path | None = None,
    language: Language = "en",
    trackers: Sequence[str] = (),
    experiment: str = "",
) -> Report:
    """Judge a bundle on one part of the split it was made with, or on another data set; write ``report.json`` and
    ``report.html`` beside it, with ``model_card`` and ``data_sheet`` as JSON and Markdown. Audits and costs that lie
    with the bundle are told in them.

    Args:
        bundle: an opened bundle or its folder.
        split: ``test``, ``val`` or ``train``.
        root: where the data lies now, if it moved since the training.
        on: another data set to judge on, all of it, instead of `split`; the report's part is then ``external``.
            Where `laennec.provenance` does not know either set, a note says that nobody does; an audit of the data
            with the other set beside it looks at the images.
        shared: judge on a set that is known to share images with what the model learned from; the part is then
            ``shared``, never ``external``, and a note says why.
        audited: folder of an audit of the data (`laennec.audit_data`), kept with the bundle, images told by number
            only, and told in the report.
        language: of the page when it opens: ``en`` or ``fr``; both are in it.
        trackers: of the training, to be told of the report.
        experiment: as in the training.

    Raises:
        UsageError: the data is not there, or is not what the bundle was made with; another data set has other labels,
            is the one the model was trained on, or shares images with what it learned from and `shared` is not said;
            the audit is none of the data the bundle was made with, or of another split of them.
    """
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    if audited is not None:
        _keep_audit(bundle, Path(audited))
    feed = loader.reload(bundle, (split,), root) if on is None else loader.outside(bundle, on, shared)
    part = feed.part(split if on is None else "test")
    given = infer(start(bundle), part, bundle.name, (FEATURES,) if bundle.card.novelty is not None else ())
    standing = None if on is None else loader.standing(bundle, feed.collection.name)
    named = split if standing is None else SHARED if standing.external == "no" else EXTERNAL
    report = _report(bundle, feed, part, named, given)
    if standing is not None and standing.external != "yes":
        told = "Not an external test" if standing.external == "no" else "Whether this test is external is not known"
        report = report.model_copy(update={"notes": (*report.notes, f"{told}: {standing.why.en}.")})
    folder = report_folder(bundle, report.place)
    beside, cost = audits(bundle), _cost(bundle)
    storage.write_json(folder / "report.json", report.model_dump(mode="json"))
    _documents(folder, page.model_card(bundle.card, report, beside, cost), page.data_sheet(bundle.card, report, beside))
    storage.write_bytes(
        folder / "report.html",
        page.report_page(
            report,
            history=history(bundle),
            thumbnails=_thumbnails(_worst(part, report)),
            maps=explanation.pictured(bundle, _worst(part, report), _THUMBNAIL.size),
            panels=_panels(bundle, part, given, report),
            card=bundle.card,
            audits=beside,
            cost=cost,
            language=language,
        ).encode(),
    )
    progress.say(f"report: {folder / 'report.html'}")
    if trackers:
        run = Run(bundle.name, experiment or bundle.recipe.data.name, bundle.path, bundle.recipe, resumed=True)
        with tracking.start(trackers, run) as tracked:
            tracked.report(report)
    return report


def judged(
    bundle: Bundle,
    split: str = "test",
    *,
    root: str | Path | None = None,
    language: Language = "en",
    trackers: Sequence[str] = (),
    experiment: str = "",
) -> Report:
    """The report of that part that lies with the bundle if it is of this very bundle, else a new one by `evaluate`."""
    path = report_folder(bundle, split) / "report.json"
    if path.is_file():
        with suppress(ValidationError, LaennecError):  # of another version, or damaged: judged again
            report = Report.model_validate(storage.read_json(path))
            if report.bundle_digest == bundle.digest and report.laennec == VERSION:
                return report
    return evaluate(bundle, split, root=root, language=language, trackers=trackers, experiment=experiment)


def report_folder(bundle: Bundle, split: str) -> Path:
    """Where the report of a part lies."""
    return bundle.path / "reports" / split


def _documents(folder: Path, *documents: dict[str, Any]) -> None:
    """Write the model card and the data sheet as JSON and, in each language, as Markdown."""
    for one in documents:
        storage.write_json(folder / f"{one['kind']}.json", one)
        storage.write_bytes(folder / f"{one['kind']}.md", page.as_markdown(one).encode())
        storage.write_bytes(folder / f"{one['kind']}.fr.md", page.as_markdown(one, "fr").encode())


def _keep_audit(bundle: Bundle, folder: Path) -> None:
    """Put an audit of data beside the bundle, without the names of images: a bundle is meant to be shared.

    Raises `UsageError` for none, or one of other data or of another split.
    """
    path = folder / "audit.json"
    if not path.is_file():
        raise UsageError(f"there is no audit in {folder}", "make one: laennec data audit RECIPE --out FOLDER")
    try:
        audit = Audit.model_validate(storage.read_json(path))
    except ValidationError as error:
        raise UsageError(f"{path} is no audit of this version", "make it again: laennec data audit") from error
    seen = bundle.card.data
    if not audit.covers(seen.collection_digest, seen.split_digest):
        raise UsageError(
            _other_audit(audit, path, bundle), "audit the bundle's own recipe, with its seed and its split"
        )
    bare = audit.anonymous()
    storage.write_json(report_folder(bundle, "audit-data") / "audit.json", bare.model_dump(mode="json"))


def _other_audit(audit: Audit, path: Path, bundle: Bundle) -> str:
    """What keeps an audit from being one of the data a bundle was made with."""
    seen = bundle.card.data
    if audit.of != "data":
        return f"{path} is an audit of a model, not of the data '{bundle.name}' was made with"
    if audit.collection_digest != seen.collection_digest:
        return f"{path} is an audit of other images, labels or patients than '{bundle.name}' was made with"
    return (
        f"{path} is an audit of another split ({audit.split_how}) than '{bundle.name}' was made with "
        f"({seen.split_how}): what it says of the parts is not about this model"
    )


def audits(bundle: Bundle) -> list[Audit]:
    """The audits that lie with a bundle, of this very model or of the very data and split it was made with; none that
    another version wrote.
    """
    found, seen = [], bundle.card.data
    for path in sorted((bundle.path / "reports").glob("audit*/audit.json")):
        with suppress(ValidationError, LaennecError):
            audit = Audit.model_validate(storage.read_json(path))
            mine = audit.of == "model" and audit.bundle_digest == bundle.digest
            if mine or audit.covers(seen.collection_digest, seen.split_digest):
                found.append(audit)
    return found


def _cost(bundle: Bundle) -> Cost | None:
    """What the bundle was measured to cost; None where nobody did, or it was another bundle."""
    path = bundle.path / "reports" / "cost.json"
    if not path.is_file():
        return None
    with suppress(ValidationError, LaennecError):
        cost = Cost.model_validate(storage.read_json(path))
        return cost if cost.bundle_digest == bundle.digest else None
    return None


def history(bundle: Bundle) -> list[Epoch]:
    """The training history in the bundle; empty for a derived one."""
    name = "history.json"
    if name not in bundle.card.files:
        return []
    return [Epoch.model_validate(epoch) for epoch in storage.parse_json(bundle.read(name), name)]


def _report(bundle: Bundle, feed: loader.Feed, part: loader.Part, split: str, given: Outputs) -> Report:
    card, patients = bundle.card, [s.patient for s in part.samples]
    judged: dict[str, Any] = {"images": len(part), "patients": len(set(patients))}
    if card.classifies:
        ids, point = [s.id for s in part.samples], card.operating_point
        judged = vars(metrics.judge(card.labels, part.values, given.probabilities, patients, ids, point.threshold))
        judged["operating_point"] = point
        cells = decisions.outcomes(judged["scores"], judged["truths"], point.threshold)
        judged["prevalences"] = prevalence.predictive_values(*cells)
        if card.abstention is not None:
            strange = Caution(bundle).strangeness(given)
            judged["abstention"] = conformal.judge(
                card.abstention, card.labels, part.values, given.probabilities, point.threshold, patients,
                None if strange is None else strange >= 1,
            )  # fmt: skip
    return Report(
        **judged,
        task=card.task,
        segmentation=_segmentation(bundle, part, given),
        model=card.name,
        bundle_digest=bundle.digest,
        backend=card.backend,
        precision=card.precision,
        collection=feed.collection.name,
        collection_digest=feed.collection.digest,
        licence=feed.collection.licence,
        citation=feed.collection.citation,
        split_digest=feed.split.digest,
        split_how=feed.split.how,
        part=cast(Any, split),
        refused=part.refused,
        notes=feed.collection.notes,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware.describe(),
        laennec=VERSION,
    )


def _segmentation(bundle: Bundle, part: loader.Part, given: Outputs) -> SegmentationFigures | None:
    """The masks held against the true ones, each on its own grid; None where nothing is outlined or known."""
    card, rows, patients = bundle.card, [], []
    if given.masks is None or card.outline is None:
        return None
    with progress.track("measuring masks", int(part.masked.sum())) as step:
        for place in np.flatnonzero(part.masked):
            sample = part.samples[place]
            assert sample.mask is not None  # noqa: S101  its mask is known
            truth, picture = images.read_truth(sample.mask), images.read(sample.path)
            (rows_, columns), spacing = picture.pixels.shape, images.spacing_of(picture.done)
            if spacing is not None:  # of the picture's pixels; the truth may be kept at another size
                spacing = (spacing[0] * rows_ / truth.shape[0], spacing[1] * columns / truth.shape[1])
            how = (card.outline, card.preprocess.resize, spacing, (rows_, columns))
            turned = bool(picture.done.get("mirrored"))
            rows.append(overlaps.measured(sample.id, given.masks[place], truth, *how, mirrored=turned))
            patients.append(sample.patient)
            step.advance()
    return overlaps.judge(rows, card.outline, patients) if rows else None


def _panels(bundle: Bundle, part: loader.Part, given: Outputs, report: Report) -> dict[str, bytes]:
    """PNG pictures of truth, mask and difference, of the images the page shows, by sample id."""
    from PIL import Image

    judged, outline = report.segmentation, bundle.card.outline
    if judged is None or outline is None or given.masks is None:
        return {}
    place_of = {sample.id: place for place, sample in enumerate(part.samples)}
    pictures = {}
    for id_ in page.pictured(judged):
        sample, levels = part.samples[place_of[id_]], given.masks[place_of[id_]]
        assert sample.mask is not None  # noqa: S101  its mask was measured
        pixels, truth = images.read(sample.path).pixels, images.read_truth(sample.mask)
        drawn = masks.placed(masks.tidied(levels, outline), pixels.shape, bundle.card.preprocess.resize)
        true = np.asarray(Image.fromarray(truth).resize(pixels.shape[::-1]))
        pictures[id_] = overlays.panels(pixels, true, drawn >= masks.level(outline))
    return pictures


def _thumbnails(paths: dict[str, Path]) -> dict[str, bytes]:
    """PNG pictures of these files, by sample id."""
    from PIL import Image

    pictures = {}
    for key, path in paths.items():
        try:
            pixels, _ = images.load(path, _THUMBNAIL)
        except ImageError:
            continue
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        pictures[key] = stream.getvalue()
    return pictures


def _worst(part: loader.Part, report: Report) -> dict[str, Path]:
    """Files of the errors that the page pictures, by sample id."""
    path_of = {s.id: s.path for s in part.samples}
    return {key: path_of[key] for key in page.errors_pictured(report)}
