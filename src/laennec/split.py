"""Parting a collection by patient: official parts where the publisher fixes them, draws or folds where not."""

from __future__ import annotations

import difflib
import math
import random
from collections import defaultdict
from collections.abc import Sequence

from laennec.errors import UsageError
from laennec.samples import PART_NAMES, Collection, Sample, Split, check_patients
from laennec.sections import Parting


def part(collection: Collection, how: Parting) -> Split:
    """Split `collection` so that no patient is in two parts.

    Official parts are kept, unless `how.official` is false. A missing test part is drawn from all patients, a missing
    validation part from the training patients, or is one of `how.folds` folds of them (an official validation part
    then joins them first). Draws are stratified by each patient's labels and depend on `how.seed` alone. With
    `how.leave_out` the test part is that source, and all else is training patients.

    Raises:
        UsageError: an official part is unknown, a patient straddles, or a part, a fold or a class would be left empty;
            the source to be left out is not there, is all there is, or shares a patient with another.
    """
    if how.leave_out:
        parts, free, said = _left_out(collection, how.leave_out)
    else:
        parts, free, said = _official(collection) if how.official else _none_official(collection)
    if free:
        parts["train"], parts["test"] = _draw(free, how.test, how.seed)
        said.append(f"test {how.test:.0%} of patients drawn")
    if how.folds:
        if parts["val"]:
            said[said.index("val official")] = "official validation put back into training"
        pool = parts["train"] + parts["val"]
        parts["train"], parts["val"] = _fold(collection, pool, how)
        said.append(f"validation fold {how.fold + 1} of {how.folds} of the training patients")
    elif not parts["val"]:
        parts["train"], parts["val"] = _draw(parts["train"], how.validation, how.seed + 1)
        said.append(f"validation {how.validation:.0%} of the training patients drawn")
    if how.exchange:
        parts["val"], parts["test"] = parts["test"], parts["val"]
        said.append("then validation and test exchanged")
    if not parts["test"]:
        raise UsageError(
            f"'{collection.name}' has no test part", "give it one, or enough patients of each label to draw one"
        )
    split = Split(
        train=tuple(s.id for s in parts["train"]),
        val=tuple(s.id for s in parts["val"]),
        test=tuple(s.id for s in parts["test"]),
        how=f"{', '.join(said)}; by patient, stratified, seed {how.seed}",
        seed=how.seed,
    )
    check_patients(collection, split)
    _check_classes(collection, split)
    return split


_Parts = tuple[dict[str, list[Sample]], list[Sample], list[str]]


def _official(collection: Collection) -> _Parts:
    """The publisher's parts, the samples in none, and what to say of them."""
    parts: dict[str, list[Sample]] = {name: [] for name in PART_NAMES}
    free: list[Sample] = []
    for sample in collection.samples:
        if sample.split is None:
            free.append(sample)
        elif sample.split in parts:
            parts[sample.split].append(sample)
        else:
            raise UsageError(
                f"{sample.id} is in the unknown split '{sample.split}'", f"take one of: {', '.join(PART_NAMES)}"
            )
    said = [f"{name} official" for name in PART_NAMES if parts[name]]
    if free and said:
        raise UsageError(
            f"{len(free)} images of '{collection.name}' are in no split while others are, the first is {free[0].id}",
            "give every image a split, or none",
        )
    return parts, free, said


def _none_official(collection: Collection) -> _Parts:
    """Every sample free, whatever part its publisher put it in."""
    told = any(sample.split is not None for sample in collection.samples)
    return {name: [] for name in PART_NAMES}, list(collection.samples), ["official parts ignored"] if told else []


def _left_out(collection: Collection, source: str) -> _Parts:
    """One source as the test part, all others as training."""
    known = sorted({s.source for s in collection.samples if s.source})
    if not known:
        raise UsageError(
            f"'{collection.name}' does not say where its images are from: no source can be left out",
            "leave split.leave_out out, or take a table with a source column (data.source)",
        )
    if source not in known:
        near = difflib.get_close_matches(source, known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"no image of '{collection.name}' is from '{source}'. Sources: {', '.join(known)}", hint)
    nowhere = sum(not s.source for s in collection.samples)
    if nowhere:
        raise UsageError(
            f"{nowhere} images of '{collection.name}' name no source: they may be from '{source}' too",
            "give every image its source, or drop those that have none",
        )
    test = [s for s in collection.samples if s.source == source]
    rest = [s for s in collection.samples if s.source != source]
    if not rest:
        raise UsageError(
            f"all images of '{collection.name}' are from '{source}': nothing is left to learn from",
            "leave split.leave_out out, or add images of another source",
        )
    both = sorted({s.patient for s in test} & {s.patient for s in rest})
    if both:
        raise UsageError(
            f"{len(both)} patients of '{collection.name}' have images from '{source}' and from elsewhere, the first is "
            f"{both[0]}",
            "correct the patient or source column: keys of two hospitals may coincide without being one patient",
        )
    parts: dict[str, list[Sample]] = {name: [] for name in PART_NAMES}
    parts["train"], parts["test"] = rest, test
    return parts, [], [f"test all images from '{source}', which nothing else has"]


def _draw(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples of the patients that stay, and of about `share` of the patients of each stratum."""
    drawn: set[str] = set()
    for patients in _strata(samples, f"{seed}"):
        drawn.update(patients[: max(1, round(share * len(patients)))] if len(patients) > 1 else [])
    return _apart(samples, drawn)


def _fold(collection: Collection, samples: Sequence[Sample], how: Parting) -> tuple[list[Sample], list[Sample]]:
    """Samples outside and inside fold `how.fold`; all folds are checked, so that all can be run or none."""
    # Dealt out one stratum after the other: the folds' sizes differ by one patient at most, and so do each stratum's.
    dealt = [patient for patients in _strata(samples, f"{how.seed}/folds") for patient in patients]
    folds = [set(dealt[number :: how.folds]) for number in range(how.folds)]
    for position, label in enumerate(collection.labels.names if _labelled(collection) else ()):
        holders = {s.patient for s in samples if s.labels[position] == 1}
        without = [number for number, fold in enumerate(folds) if not fold & holders]
        if without:
            raise UsageError(
                f"no patient with {label} is in fold {without[0]} of '{collection.name}' (folds 0 to {how.folds - 1}): "
                f"{len(holders)} training patients have it",
                "every fold needs every label from different patients: lower split.folds, or add patients",
            )
    return _apart(samples, folds[how.fold])


def _labelled(collection: Collection) -> bool:
    """Whether any label is known; none is in a set of masks alone."""
    return any(not math.isnan(value) for sample in collection.samples for value in sample.labels)


def _strata(samples: Sequence[Sample], seed: str) -> list[list[str]]:
    """Patients in random order, those with the same labels together."""
    of_patient: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_patient[sample.patient].append(sample)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for patient in sorted(of_patient):
        strata[tuple(sorted({repr(s.labels) for s in of_patient[patient]}))].append(patient)
    for key, patients in strata.items():
        random.Random(f"{seed}/{key}").shuffle(patients)
    return [strata[key] for key in sorted(strata)]


def _apart(samples: Sequence[Sample], patients: set[str]) -> tuple[list[Sample], list[Sample]]:
    """Samples of all other patients, and of these."""
    return [s for s in samples if s.patient not in patients], [s for s in samples if s.patient in patients]


def _check_classes(collection: Collection, split: Split) -> None:
    if not _labelled(collection):
        return
    for name in PART_NAMES:
        samples = collection.take(split.part(name))
        for position, label in enumerate(collection.labels.names):
            if not any(s.labels[position] == 1 for s in samples):
                raise UsageError(
                    f"no image of {label} is in the {name} part of '{collection.name}' ({len(samples)} images)",
                    "every part needs every label from different patients: add patients or change the split's shares",
                )
