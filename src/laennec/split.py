"""Parting a collection by patient: official parts where the publisher fixes them, a stratified draw where not."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from laennec.errors import UsageError
from laennec.recipe import Parting
from laennec.samples import PART_NAMES, Collection, Sample, Split, check_patients


def part(collection: Collection, how: Parting) -> Split:
    """Split `collection` so that no patient is in two parts.

    Official parts are kept. A missing test part is drawn from all patients, a missing validation part from the
    training patients; draws are stratified by each patient's labels and depend on `how.seed` alone.

    Raises:
        UsageError: an official part is unknown, a patient straddles, or a part or class would be left empty.
    """
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
    if free:
        parts["train"], parts["test"] = _draw(free, how.test, how.seed)
        said.append(f"test {how.test:.0%} of patients drawn")
    if not parts["val"]:
        parts["train"], parts["val"] = _draw(parts["train"], how.validation, how.seed + 1)
        said.append(f"validation {how.validation:.0%} of the training patients drawn")
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


def _draw(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples of the patients that stay, and of about `share` of the patients of each stratum."""
    of_patient: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_patient[sample.patient].append(sample)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for patient in sorted(of_patient):
        strata[tuple(sorted({repr(s.labels) for s in of_patient[patient]}))].append(patient)
    drawn: set[str] = set()
    for key in sorted(strata):
        patients = strata[key]
        random.Random(f"{seed}/{key}").shuffle(patients)
        drawn.update(patients[: max(1, round(share * len(patients)))] if len(patients) > 1 else [])
    kept = [s for s in samples if s.patient not in drawn]
    return kept, [s for s in samples if s.patient in drawn]


def _check_classes(collection: Collection, split: Split) -> None:
    for name in PART_NAMES:
        samples = collection.take(split.part(name))
        for position, label in enumerate(collection.labels.names):
            if not any(s.labels[position] == 1 for s in samples):
                raise UsageError(
                    f"no image of {label} is in the {name} part of '{collection.name}' ({len(samples)} images)",
                    "every part needs every label from different patients: add patients or change the split's shares",
                )
