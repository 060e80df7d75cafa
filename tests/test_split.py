"""Splits: patients never straddle, draws are stratified and repeatable, contradictions are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.recipe import Parting
from laennec.samples import PART_NAMES, Collection, Sample, Split, check_patients
from laennec.split import part

LABELS = LabelSet(names=("NORMAL", "PNEUMONIA"), positive=("PNEUMONIA",))


def sample(key: str, patient: str, sick: bool, split: str | None = None) -> Sample:
    return Sample(id=key, path=Path(key), labels=(float(not sick), float(sick)), patient=patient, split=split)


def collection(sizes: list[tuple[int, bool]], split: str | None = None) -> Collection:
    samples = [
        sample(f"{patient}-{image}", f"p{patient}", sick, split)
        for patient, (images, sick) in enumerate(sizes)
        for image in range(images)
    ]
    return Collection("made", LABELS, tuple(samples))


sizes = st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=24, max_size=80).filter(
    lambda s: 8 <= sum(sick for _, sick in s) <= len(s) - 8
)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 1000))
def test_a_drawn_split_parts_the_patients_and_keeps_every_image(made: list[tuple[int, bool]], seed: int) -> None:
    data = collection(made)
    split = part(data, Parting(validation=0.2, test=0.2, seed=seed))
    ids = [key for name in PART_NAMES for key in split.part(name)]
    assert sorted(ids) == sorted(s.id for s in data.samples)
    patients = [{s.patient for s in data.take(split.part(name))} for name in PART_NAMES]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert part(data, Parting(validation=0.2, test=0.2, seed=seed)).digest == split.digest


def test_another_seed_draws_another_split_of_like_prevalence() -> None:
    data = collection([(1, i % 4 == 0) for i in range(400)])
    splits = [part(data, Parting(seed=seed)) for seed in (0, 1)]
    assert splits[0].digest != splits[1].digest
    for split in splits:
        for name in PART_NAMES:
            shares = [s.labels[1] for s in data.take(split.part(name))]
            assert sum(shares) / len(shares) == pytest.approx(0.25, abs=0.02)


def test_official_parts_are_kept_and_validation_is_carved_from_train() -> None:
    train = [sample(f"a{i}", f"a{i // 2}", i % 4 < 2, "train") for i in range(80)]
    test = [sample(f"t{i}", f"t{i}", i % 2 == 0, "test") for i in range(20)]
    split = part(Collection("made", LABELS, tuple(train + test)), Parting(validation=0.25))
    assert set(split.test) == {s.id for s in test}
    assert len(split.val) == 20
    assert set(split.train) | set(split.val) == {s.id for s in train}


def test_a_patient_in_two_official_parts_is_refused() -> None:
    data = Collection(
        "made", LABELS, tuple(sample(f"{p}{i}", f"x{i}", i % 2 == 0, p) for p in PART_NAMES for i in range(8))
    )
    with pytest.raises(UsageError) as caught:
        part(data, Parting())
    assert "8 patients" in caught.value.message


def test_check_patients_passes_a_clean_split() -> None:
    data = collection([(2, i % 2 == 0) for i in range(6)])
    ids = [s.id for s in data.samples]
    check_patients(data, Split(tuple(ids[:4]), tuple(ids[4:8]), tuple(ids[8:]), "by hand", 0))
    with pytest.raises(UsageError):
        check_patients(data, Split(tuple(ids[:3]), tuple(ids[3:8]), tuple(ids[8:]), "by hand", 0))


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([sample("a", "a", True, "train"), sample("b", "b", False)], "in no split while others are"),
        ([sample("a", "a", True, "holdout"), sample("b", "b", False, "train")], "unknown split 'holdout'"),
        ([sample(f"{i}", "one", i % 2 == 0) for i in range(10)], "no test part"),
        ([sample(f"{i}", f"{i}", i == 0) for i in range(30)], "no image of PNEUMONIA"),
    ],
)
def test_splits_that_cannot_be_are_refused(samples: list[Sample], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        part(Collection("made", LABELS, tuple(samples)), Parting())
    assert says in caught.value.message and caught.value.hint
