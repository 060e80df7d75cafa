"""Patients, counts and provenance: planted faults are found, and a set that is not external is not called so."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laennec import loader, provenance
from laennec.audits import counts, patients
from laennec.audits import provenance as audited
from laennec.bundle import open_bundle
from laennec.errors import UsageError
from laennec.evaluation import evaluate
from laennec.intervals import wilson
from laennec.recipe import data_of
from subjects import subject_of

BLACK = np.zeros((1, 256, 256), np.uint8)


def blank(n: int) -> np.ndarray:
    return np.broadcast_to(BLACK, (n, 256, 256))


def test_every_leaked_patient_is_named() -> None:
    rng = np.random.default_rng(0)
    keys = [f"p{n // 3}" for n in range(300)]
    parts = [("train", "val", "test")[n // 3 % 3] for n in range(300)]
    leaked = set(rng.choice(100, 12, replace=False).tolist())
    for n in range(300):
        if n // 3 in leaked and n % 3 == 0:
            parts[n] = {"train": "test", "val": "train", "test": "val"}[parts[n]]
    found = patients.audit(subject_of(blank(300), patients=keys, parts=parts))
    assert (found.verdict, found.figures["across"].value) == ("fail", 12)
    assert {one.id for one in found.suspects} == {f"i{n:05}" for n in range(300) if n // 3 in leaked}


def test_patients_that_cannot_be_believed() -> None:
    apart = patients.audit(subject_of(blank(6), patients=["a", "a", "b", "b", "c", "c"]))
    assert apart.verdict == "pass"
    alone = patients.audit(subject_of(blank(6)))
    assert alone.verdict == "warn"
    nameless = patients.audit(subject_of(blank(4), patients=["a", "a", "", ""]))
    assert (nameless.verdict, nameless.figures["without"].value) == ("fail", 2)
    assert {one.id for one in nameless.suspects} == {"i00002", "i00003"}
    sexes = patients.audit(subject_of(blank(4), patients=["a", "a", "b", "b"], sex=["M", "F", "F", "F"]))
    assert (sexes.verdict, [one.id for one in sexes.suspects]) == ("warn", ["i00000", "i00001"])
    ages = patients.audit(subject_of(blank(4), patients=["a", "a", "b", "b"], age=[3.0, 8.0, 5.0, 40.0]))
    assert [one.id for one in ages.suspects] == ["i00002", "i00003"]


def test_images_that_share_a_patient_are_counted() -> None:
    keys = ["a", "a", "a", "b", "b", "c", "d", ""]
    found = patients.audit(subject_of(blank(8), patients=keys))
    assert (found.figures["sharing"].value, found.figures["patients"].value) == (5, 4)
    assert "5 images share" in found.said[0].en


def test_suspects_name_images_and_nothing_of_the_person() -> None:
    keys = ["MRN12345"] * 3 + ["MRN777"] * 6
    parts, sex = ["train", "test", "test", *["train"] * 6], ["F", "M", "F", *["M"] * 6]
    ages = [40.0, 41.0, 42.0, 17.0, 83.0, *[50.0] * 4]
    found = patients.audit(subject_of(blank(9), patients=keys, parts=parts, sex=sex, age=ages))
    assert [found.figures[name].value for name in ("across", "contradictory")] == [1, 2]
    told = found.model_dump_json()
    for secret in ("MRN", "777", "12345", "sex F", "sexe F", "F, M", "17", "83"):
        assert secret not in told
    why = {(one.id, one.kind): one.why for one in found.suspects}
    assert why["i00000", "patient"].en == "its patient is in the test part too: i00001, i00002"
    assert why["i00001", "patient"].fr == "son patient est aussi dans la partie d’entraînement\u00a0: i00000"
    assert "sexes" in why["i00000", "person"].fr
    assert why["i00003", "person"].en.endswith("i00004, i00005, i00006 and 2 more")


def planted_counts(n: int = 600) -> tuple[Any, np.ndarray, list[str], list[str]]:
    """Twice as many sick in test as in train, and a second hospital of which test holds ten images."""
    rng = np.random.default_rng(1)
    parts = ["train"] * (n // 2) + ["test"] * (n // 2)
    sick = (rng.random(n) < np.where(np.arange(n) < n // 2, 0.3, 0.6)).astype(int)
    source = ["north"] * (n - 10) + ["south"] * 10
    ages = [float(n % 90) for n in range(n)]
    return subject_of(blank(n), sick=sick, parts=parts, source=source, age=ages), sick, parts, source


def test_counts_are_the_counts() -> None:
    subject, sick, parts, _ = planted_counts()
    found = counts.audit(subject)
    train = [s for s, part in zip(sick, parts, strict=True) if part == "train"]
    assert found.figures["prevalence_train"] == wilson(int(sum(train)), len(train))
    rows = {row[0].en: row[1:] for row in found.tables[0].rows}  # type: ignore[union-attr]
    assert rows["training"][:4] == (300, 300, 300 - sum(train), sum(train))
    by_group = [row for row in found.tables[1].rows if row[1] == "south"]
    assert by_group[0][2] == 10
    bands = Counter(row[1] for row in found.tables[1].rows if getattr(row[0], "en", "") == "age")
    assert list(bands) == ["0–0", "1–5", "6–17", "18–39", "40–59", "60–79", "80+"]


def test_moved_prevalence_and_small_groups_are_warned_of() -> None:
    found = counts.audit(planted_counts()[0])
    shift = found.figures["prevalence_shift_test"]
    assert found.verdict == "warn"
    assert shift.value is not None
    assert shift.low is not None
    assert shift.high is not None
    assert 0.1 < shift.low < shift.value < shift.high < 0.5
    said = " ".join(one.en for one in found.said)
    assert "source south" in said
    assert "source north" not in said
    assert "predictive values" in said


def test_parts_alike_and_large_are_a_note() -> None:
    n = 800
    parts = ["train"] * (n // 2) + ["test"] * (n // 2)
    found = counts.audit(subject_of(blank(n), sick=[k % 2 for k in range(n)], parts=parts))
    assert found.verdict == "note"
    assert found.figures["prevalence_shift_test"].value == 0
    assert len(found.tables) == 1


def test_a_small_test_part_is_warned_of() -> None:
    found = counts.audit(subject_of(blank(60), sick=[k % 2 for k in range(60)], parts=["train"] * 30 + ["test"] * 30))
    assert (found.verdict, found.figures["test_positives"].value) == ("warn", 15)


@pytest.mark.parametrize(
    ("name", "to", "external"),
    [
        ("pneumoniamnist_28", "kermany", "no"),
        ("kermany", "pneumoniamnist_224", "no"),
        ("covid_radiography", "kermany", "no"),
        ("covid_radiography", "rsna", "no"),
        ("rsna", "nih", "no"),
        ("covid_radiography", "NIH ChestX-ray14", "no"),
        ("siim_acr", "rsna", "no"),
        ("covidx", "kermany", "no"),
        ("kermany", "kermany", "no"),
        ("rsna", "kermany", "yes"),
        ("chexpert", "MIMIC-CXR-JPG", "yes"),
        ("padchest", "rsna", "yes"),
        ("hospital of mine", "kermany", "unknown"),
        ("phantom", "phantom", "unknown"),
    ],
)
def test_what_is_external(name: str, to: str, external: str) -> None:
    assert provenance.external(name, to).external == external
    assert provenance.external(to, name).external == external
    why = provenance.external(name, to).why
    assert why.en != why.fr
    assert why.en


def test_the_table_holds_together() -> None:
    names = [one.name for one in provenance.SETS]
    called = {(provenance._plain(n), one.name) for one in provenance.SETS for n in (one.title, one.name, *one.names)}
    assert len(names) == len(set(names))
    assert all(times == 1 for times in Counter(plain for plain, _ in called).values())
    for one in provenance.SETS:
        assert one.source
        assert all(holding.of in names and holding.source for holding in one.holds)
        assert one.name not in {holding.of for holding in one.holds}


def test_data_sets_here_are_in_the_table() -> None:
    assert all(provenance.known(name) for name in ("kermany", "rsna", "covid_radiography", "pneumoniamnist_64"))


def test_weights_name_what_they_saw() -> None:
    seen = provenance.mentioned("densenet121-res224-nih.safetensors (sha256 0123456789abcdef)")
    assert [one.name for one in seen] == ["nih"]
    assert provenance.mentioned("timm resnet50, weights 'a1_in1k'") == ()
    assert provenance.mentioned("random") == ()


def test_a_set_beside_that_is_not_external_fails_the_audit() -> None:
    kin, far, mine = (subject_of(blank(3), name=name) for name in ("pneumoniamnist_64", "chexpert", "some folder"))
    found = audited.audit(subject_of(blank(3), name="kermany", beside=(kin, far, mine)))
    assert found.verdict == "fail"
    assert [found.figures[name].value for name in ("not_external", "unknown")] == [1, 1]
    assert audited.audit(subject_of(blank(3), name="kermany", beside=(far,))).verdict == "note"
    assert audited.audit(subject_of(blank(3), name="some folder")).verdict == "note"


def test_a_set_that_goes_by_a_number_is_still_known() -> None:
    again = replace(subject_of(blank(3), name="kermany"), called="kermany-2")
    found = audited.audit(subject_of(blank(3), name="kermany", beside=(again,)))
    assert (found.verdict, found.tables[-1].rows[0][0]) == ("fail", "kermany-2")


def test_sets_of_one_source_are_not_called_external() -> None:
    sources = ["Hanoi"] * 3
    far = subject_of(blank(3), name="chexpert", source=sources)
    found = audited.audit(subject_of(blank(3), name="padchest", source=sources, beside=(far,)))
    assert found.figures["unknown"].value == 1


def test_a_test_that_is_not_external_is_refused_or_called_what_it_is(
    trained: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pictures, tmp_path / "pneumoniamnist")
    next((tmp_path / "pneumoniamnist").rglob("*.png")).unlink()  # another set than the bundle's
    shutil.copytree(trained.path, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    kermany = provenance.known("kermany")
    assert kermany is not None
    monkeypatch.setitem(provenance._BY_NAME, provenance._plain(trained.card.data.collection), kermany)
    on = data_of("folder", [f"root={tmp_path / 'pneumoniamnist'}", r"patient='^(p\d+)_'"])
    with pytest.raises(UsageError, match="not external"):
        evaluate(bundle, on=on)
    report = evaluate(bundle, on=on, shared=True)
    assert (report.part, report.place) == ("shared", "on-pneumoniamnist")
    assert any("Not an external test" in note for note in report.notes)
    page = (tmp_path / "bundle" / "reports" / "on-pneumoniamnist" / "report.html").read_text(encoding="utf-8")
    assert "not an external test" in page
    assert loader.standing(bundle, "chexpert").external == "yes"


def test_weights_that_saw_the_test_set_are_not_strangers_to_it(trained: Any) -> None:
    class Held:
        card = trained.card.model_copy(update={"starting_weights": "resnet-nih.safetensors (sha256 00)"})

    assert loader.standing(Held(), "rsna").external == "no"  # type: ignore[arg-type]
    assert loader.standing(trained, "rsna").external == "unknown"
