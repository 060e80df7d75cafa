"""Splits: patients never straddle, draws are stratified and repeatable, contradictions are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laennec.datasets import kermany
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


parted = st.lists(st.sampled_from(PART_NAMES), min_size=80, max_size=80)


@settings(max_examples=60, deadline=None)
@given(sizes, parted, st.integers(0, 1000))
def test_official_parts_can_be_ignored(made: list[tuple[int, bool]], parts: list[str], seed: int) -> None:
    """Drawn anew: the same draw as if the publisher had said nothing, with parts that straddle patients or not."""
    free = collection(made)
    official = Collection("made", LABELS, tuple(replace(s, split=parts[i % 80]) for i, s in enumerate(free.samples)))
    how = Parting(test=0.15, validation=0.1765, seed=seed, official=False)
    split = part(official, how)
    assert split.digest == part(free, how).digest == part(free, how.model_copy(update={"official": True})).digest
    assert split.how.startswith("official parts ignored, test 15% of patients drawn, validation 18%")


def test_fifteen_of_a_hundred_are_tested_and_as_many_validated() -> None:
    data = collection([(1, i % 4 == 0) for i in range(400)])
    split = part(data, Parting(test=0.15, validation=0.1765, official=False))
    assert [len(split.part(name)) for name in PART_NAMES] == [280, 60, 60]


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 1000), st.integers(2, 6))
def test_folds_part_the_training_patients_evenly(made: list[tuple[int, bool]], seed: int, folds: int) -> None:
    data = collection(made)
    splits = [part(data, Parting(seed=seed, folds=folds, fold=fold)) for fold in range(folds)]
    held_out = part(data, Parting(seed=seed)).test
    pool = sorted({s.id for s in data.samples} - set(held_out))
    assert all(set(split.test) == set(held_out) for split in splits)
    assert sorted(key for split in splits for key in split.val) == pool
    assert all(sorted(split.train + split.val) == pool for split in splits)
    for position in (None, 0, 1):
        counts = [
            len({s.patient for s in data.take(split.val) if position is None or s.labels[position] == 1})
            for split in splits
        ]
        assert max(counts) - min(counts) <= 1
    assert len({split.digest for split in splits}) == folds
    again = part(data, Parting(seed=seed, folds=folds, fold=folds - 1))
    assert again.digest == splits[-1].digest
    assert f"validation fold {folds} of {folds} of the training patients" in again.how


def test_patients_of_many_kinds_are_dealt_whole() -> None:
    """Some patients are once well and once sick: a kind of their own, and in one fold with all their images."""
    mixed = [sample(f"m{i}-{image}", f"m{i}", image == 1) for i in range(9) for image in range(2)]
    plain = [sample(f"p{i}", f"p{i}", i % 2 == 0) for i in range(33)]
    data = Collection("made", LABELS, tuple(mixed + plain))
    splits = [part(data, Parting(folds=5, fold=fold)) for fold in range(5)]
    assert sorted(key for split in splits for key in split.val) == sorted(splits[0].train + splits[0].val)
    for split in splits:
        patients = [{s.patient for s in data.take(split.part(name))} for name in PART_NAMES]
        assert len(set.union(*patients)) == sum(map(len, patients)) == 42


def test_an_official_validation_part_joins_the_folds() -> None:
    samples = [sample(f"{p}{i}", f"{p}{i}", i % 2 == 0, p) for p in PART_NAMES for i in range(12)]
    data = Collection("made", LABELS, tuple(samples))
    split = part(data, Parting(folds=4, fold=1))
    assert (len(split.train), len(split.val), len(split.test)) == (18, 6, 12)
    assert set(split.test) == {s.id for s in samples if s.split == "test"}
    assert "official validation put back into training, test official, validation fold 2 of 4" in split.how


@pytest.mark.parametrize("fold", range(5))
def test_a_label_too_rare_for_the_folds_is_named_in_all_of_them(fold: int) -> None:
    samples = [sample(f"{i}", f"{i}", i < 3, "train") for i in range(40)]
    samples += [sample(f"t{i}", f"t{i}", i < 3, "test") for i in range(10)]
    with pytest.raises(UsageError) as caught:
        part(Collection("made", LABELS, tuple(samples)), Parting(folds=5, fold=fold))
    assert "no patient with PNEUMONIA is in fold 3" in caught.value.message
    assert "3 training patients have it" in caught.value.message
    assert "lower split.folds" in caught.value.hint


def test_exchange_swaps_validation_and_test_once_they_stand() -> None:
    samples = [sample(f"{p}{i}", f"{p}{i}", i % 2 == 0, p) for p in PART_NAMES for i in range(12)]
    with_val = Collection("made", LABELS, tuple(samples))
    without = Collection("made", LABELS, tuple(s for s in samples if s.split != "val"))
    for data in (with_val, without, collection([(1, i % 2 == 0) for i in range(60)])):
        for how in (Parting(), Parting(folds=3, fold=1)):
            plain, swapped = part(data, how), part(data, how.model_copy(update={"exchange": True}))
            assert (plain.train, plain.val, plain.test) == (swapped.train, swapped.test, swapped.val)
            assert "then validation and test exchanged" in swapped.how


def test_kermanys_sixteen_become_the_test_as_in_r1(tmp_path: Path) -> None:
    names = {
        "train": [f"NORMAL/IM-{i:04}-0001" for i in range(9)]
        + [f"PNEUMONIA/person{i}_virus_{i}" for i in range(9)]
        + [f"PNEUMONIA/person{i}_bacteria_{i}" for i in range(9)],
        "val": ["NORMAL/NORMAL2-IM-1427-0001", "PNEUMONIA/person1946_bacteria_4874"],
        "test": [f"{kind}/{name}" for kind, name in (("NORMAL", "IM-0900-0001"), ("PNEUMONIA", "person90_virus_9"))]
        + ["PNEUMONIA/person91_bacteria_9"],
    }
    for split, files in names.items():
        for name in files:
            (tmp_path / split / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / split / f"{name}.jpeg").touch()
    split = part(kermany.load(kermany.Options(root=tmp_path, official_val=True)), Parting(exchange=True))
    assert sorted(split.test) == [f"val/{name}.jpeg" for name in names["val"]]
    assert sorted(split.val) == sorted(f"test/{name}.jpeg" for name in names["test"])
    assert len(part(kermany.load(kermany.Options(root=tmp_path)), Parting(validation=0.2)).val) == 6
    two = kermany.load(kermany.Options(root=tmp_path, task="bacterial_viral"))
    assert two.labels.names == ("VIRAL", "BACTERIAL") and two.labels.positive == ("BACTERIAL",)
    assert len(two.samples) == 20 and sum(s.labels[1] for s in two.samples) == 10


def test_draws_made_before_are_made_again(real_data: Path) -> None:
    """The split of kermany-quick, and of the bundles trained on it."""
    for task, digest in (("binary", "5847909f3c371e55"), ("etiology", "3761fa7a109b2c67")):
        split = part(kermany.load(kermany.Options(root=real_data / "kermany", task=task)), Parting())
        assert split.digest.startswith(digest)


def hospitals(n: int = 60, **changes: str) -> Collection:
    """Patients of two images each, from three hospitals in turn; every third image has an official part to ignore."""
    samples = tuple(
        replace(
            sample(f"{patient}-{image}", f"p{patient}", patient // 3 % 2 == 1, ("train", "test", "val")[patient % 3]),
            source="ABC"[patient % 3],
        )
        for patient in range(n)
        for image in range(2)
    )
    return Collection("made", LABELS, tuple(replace(s, **changes) if s.patient == "p0" else s for s in samples))


@pytest.mark.parametrize("source", ["A", "B", "C"])
def test_a_source_left_out_is_the_whole_test_and_nothing_else(source: str) -> None:
    data = hospitals()
    split = part(data, Parting(leave_out=source, validation=0.25))
    assert {s.source for s in data.take(split.test)} == {source}
    assert set(split.test) == {s.id for s in data.samples if s.source == source}
    learned = [s for name in ("train", "val") for s in data.take(split.part(name))]
    assert {s.source for s in learned} == set("ABC") - {source}
    assert len(learned) + len(split.test) == len(data.samples)
    assert not {s.patient for s in data.take(split.train)} & {s.patient for s in data.take(split.val)}
    assert f"'{source}'" in split.how
    assert part(data, Parting(leave_out=source, validation=0.25)).digest == split.digest
    folded = part(data, Parting(leave_out=source, folds=4, fold=1))
    assert folded.test == split.test
    assert folded.val != split.val


def test_a_source_that_cannot_be_left_out_is_refused_with_the_remedy() -> None:
    nowhere = collection([(2, i % 2 == 0) for i in range(20)])
    for data, source, told, hint in (
        (hospitals(), "AA", "no image of 'made' is from 'AA'. Sources: A, B, C", "did you mean 'A'"),
        (nowhere, "A", "does not say where its images are from", "data.source"),
        (hospitals(source=""), "A", "2 images of 'made' name no source", "give every image its source"),
    ):
        with pytest.raises(UsageError) as caught:
            part(data, Parting(leave_out=source))
        assert told in caught.value.message
        assert hint in caught.value.hint
    one = [
        s if s.source != "A" else replace(s, patient="p1" if s.id == "0-0" else s.patient) for s in hospitals().samples
    ]
    with pytest.raises(
        UsageError, match="1 patients of 'made' have images from 'A' and from elsewhere, the first is p1"
    ):
        part(Collection("made", LABELS, tuple(one)), Parting(leave_out="A"))
    alone = tuple(replace(s, source="A") for s in hospitals().samples)
    with pytest.raises(UsageError, match="nothing is left to learn from"):
        part(Collection("made", LABELS, alone), Parting(leave_out="A"))
    healthy = tuple(s for s in hospitals().samples if s.source != "B" or s.labels[0] == 1)
    with pytest.raises(UsageError, match="no image of PNEUMONIA is in the test part"):
        part(Collection("made", LABELS, healthy), Parting(leave_out="B"))
    with pytest.raises(ValueError, match="leave_out"):
        Parting(leave_out="A", exchange=True)


def test_recipes_that_leave_no_source_out_keep_their_digests() -> None:
    assert "leave_out" not in Parting().model_dump()
    assert Parting(leave_out="A").model_dump(mode="json")["leave_out"] == "A"
    assert Parting.model_validate(Parting(leave_out="A").model_dump()) == Parting(leave_out="A")
