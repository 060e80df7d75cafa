"""Planted copies of phantoms are found in every disguise, other exposures are not, and what is found is told."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from laennec import likeness, phantom
from laennec.audits import beside, duplicates
from laennec.checks import Outcome
from laennec.wording import Text
from subjects import subject_of

Grey = NDArray[np.uint8]
ORIGINALS, EACH = 72, 50


def bytes_of(picture: Grey, _: np.random.Generator) -> Grey:
    return picture


def recoded(picture: Grey, rng: np.random.Generator) -> Grey:
    side = round(len(picture) * rng.uniform(0.55, 0.85))
    stream = io.BytesIO()
    quality = int(rng.integers(20, 45))
    Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(stream.getvalue())))


def regreyed(picture: Grey, rng: np.random.Generator) -> Grey:
    greys = (picture / 255) ** np.exp(rng.uniform(-0.6, 0.6))
    greys = np.clip((greys - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.1, 0.1), 0, 1)
    return np.rint((1 - greys if rng.random() < 0.3 else greys) * 255).astype(np.uint8)


def moved(picture: Grey, rng: np.random.Generator) -> Grey:
    side = len(picture)
    image = Image.fromarray(picture)
    across, down = rng.uniform(-0.02, 0.02, 2) * side
    image = image.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC, translate=(across, down))
    left, top, right, bottom = np.round(rng.uniform(0, 0.03, 4) * side).astype(int)
    cropped = np.asarray(image.crop((left, top, side - right, side - bottom)))
    return np.ascontiguousarray(cropped[:, ::-1]) if rng.random() < 0.2 else cropped


KINDS: dict[str, Callable[[Grey, np.random.Generator], Grey]] = {
    "bytes": bytes_of,
    "recoded": recoded,
    "regreyed": regreyed,
    "moved": moved,
}


@pytest.fixture(scope="module")
def originals() -> Grey:
    """Phantoms, every third a further exposure of the patient before: alike, and no copies."""
    drawn = []
    for number in range(ORIGINALS):
        patient, image = (number - 1, 1) if number % 3 == 2 else (number, 0)
        drawn.append(np.rint(phantom.draw(11, patient, image, size=128).pixels * 255).astype(np.uint8))
    return np.stack(drawn)


def to_square(picture: Grey) -> Grey:
    return np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def planted(originals: Grey, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str], dict[str, str]]:
    """The originals in train, and 200 copies in test; which copy is of which original, and its kind."""
    rng = np.random.default_rng(5)
    pictures, ids, parts = list(originals), [f"o{n:03}" for n in range(ORIGINALS)], ["train"] * ORIGINALS
    of, kind = {}, {}
    for number, (name, change) in enumerate(list(KINDS.items()) * EACH):
        source = number % ORIGINALS
        pictures.append(change(originals[source], rng))
        ids.append(f"c{number:03}")
        parts.append("test")
        of[ids[-1]], kind[ids[-1]] = ids[source], name
    files = tmp_path_factory.mktemp("planted")
    for key, picture in zip(ids, pictures, strict=True):
        Image.fromarray(picture).save(files / f"{key}.png", compress_level=1)
    subject = subject_of(np.stack([to_square(one) for one in pictures]), ids=ids, parts=parts, folder=None)
    samples = tuple(
        type(sample)(sample.id, files / f"{sample.id}.png", sample.labels, sample.patient) for sample in subject.samples
    )
    return type(subject)(subject.collection, subject.split, samples, subject.pixels), of, kind


@pytest.fixture(scope="module")
def outcome(planted: tuple[Any, dict[str, str], dict[str, str]]) -> Outcome:
    return duplicates.audit(planted[0])


def pairs_of(outcome: Outcome) -> dict[frozenset[str], str]:
    return {frozenset((one.id, *one.beside)): one.kind for one in outcome.suspects}


@pytest.mark.parametrize("name", KINDS)
def test_planted_copies_are_found(
    name: str, planted: tuple[Any, dict[str, str], dict[str, str]], outcome: Outcome
) -> None:
    _, of, kind = planted
    found = pairs_of(outcome)
    copies = [copy for copy, said in kind.items() if said == name]
    hits = [copy for copy in copies if frozenset((copy, of[copy])) in found]
    assert len(copies) == EACH
    assert len(hits) >= 0.98 * EACH
    if name == "bytes":
        assert all(found[frozenset((copy, of[copy]))] == "exact" for copy in copies)


def test_other_exposures_are_no_copies(planted: tuple[Any, dict[str, str], dict[str, str]], outcome: Outcome) -> None:
    _, of, _ = planted
    wrong = [pair for pair in pairs_of(outcome) if len({of.get(key, key) for key in pair}) > 1]
    accused = set().union(*wrong) if wrong else set()
    assert len(accused) <= 0.01 * (ORIGINALS + len(of))


def test_copies_across_parts_fail_the_audit(
    planted: tuple[Any, dict[str, str], dict[str, str]], outcome: Outcome
) -> None:
    assert outcome.verdict == "fail"
    n, (_, of, kind) = ORIGINALS + 4 * EACH, planted
    copied = {source for copy, source in of.items() if kind[copy] == "bytes"}
    assert (outcome.figures["exact"].value, outcome.figures["exact"].n) == (EACH + len(copied), n)
    across = outcome.figures["across_parts"].value
    assert across is not None
    assert across >= 0.98 * (len(of) + len(set(of.values())))
    assert "more than one part" in outcome.said[1].en
    assert "plusieurs parties" in outcome.said[1].fr


def test_copies_inside_a_part_warn_and_labels_that_differ_fail(originals: Grey) -> None:
    pictures = np.stack([to_square(one) for one in originals[:12]])
    twice = np.concatenate([pictures, pictures[:3]])
    assert duplicates.audit(subject_of(pictures)).verdict == "pass"
    inside = duplicates.audit(subject_of(twice))
    assert (inside.verdict, inside.figures["pixels"].value, inside.figures["groups"].value) == ("warn", 6, 3)
    assert inside.figures["across_patients"].value == 6
    torn = duplicates.audit(subject_of(twice, sick=[0] * 12 + [1, 0, 0]))
    assert (torn.verdict, torn.figures["across_labels"].value) == ("fail", 2)


def test_a_picture_many_times_over_is_one_group(originals: Grey) -> None:
    pictures = np.stack([to_square(one) for one in [*originals[:5], *[originals[0]] * 30]])
    found = duplicates.audit(subject_of(pictures))
    assert (found.figures["groups"].value, found.figures["surplus"].value, len(found.suspects)) == (1, 30, 30)


def test_black_pictures_are_told_and_break_nothing() -> None:
    pictures = np.zeros((4, 256, 256), np.uint8)
    pictures[2:] = 200
    found = duplicates.audit(subject_of(pictures))
    assert found.figures["pixels"].value == 4
    assert not [one for one in found.suspects if one.kind == "near"]


def test_one_image_has_no_twin(originals: Grey) -> None:
    assert duplicates.audit(subject_of(originals[:1])).verdict == "pass"


def test_images_in_common_with_another_set_are_found(originals: Grey, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    mine = np.stack([to_square(one) for one in originals[:40]])
    changed = np.stack([to_square(moved(one, rng)) for one in originals[:6]])
    theirs = np.concatenate([changed, mine[6:9], np.stack([to_square(one) for one in originals[42:57]])])
    files = {"a": tmp_path / "a", "b": tmp_path / "b"}
    other = subject_of(theirs, name="other", folder=files["b"])
    strange = subject_of(np.stack([to_square(one) for one in originals[57:]]), name="strange")
    found = beside.audit(subject_of(mine, folder=files["a"], beside=(other, strange)))
    assert found.verdict == "fail"
    assert [found.figures[f"{kind}:other"].value for kind in ("exact", "pixels", "near", "shared")] == [3, 0, 6, 9]
    assert found.figures["shared:strange"].value == 0
    assert {one.beside[0] for one in found.suspects} == {f"other:i{row:05}" for row in range(9)}
    assert {one.id for one in found.suspects} == {f"i{row:05}" for row in range(9)}
    assert beside.audit(subject_of(mine, beside=(strange,))).verdict == "pass"
    assert beside.audit(subject_of(mine)).verdict == "skipped"


def test_pairs_are_found_in_the_view_they_were_made_in(originals: Grey) -> None:
    pictures = np.stack([to_square(one) for one in originals[:30]])
    changed = np.stack([255 - pictures[0], pictures[1][:, ::-1], 255 - pictures[2][:, ::-1], pictures[3]])
    found = likeness.twins(likeness.Album(pictures), [""] * 30, likeness.Album(changed), [""] * 4)
    told = {int(b): (int(a), bool(m), bool(i)) for a, b, m, i in zip(
        found.pairs.first, found.pairs.second, found.pairs.mirrored, found.pairs.inverted, strict=True
    )}  # fmt: skip
    assert told == {0: (0, False, True), 1: (1, True, False), 2: (2, True, True), 3: (3, False, False)}
    assert dict(zip(found.pairs.second.tolist(), found.kinds, strict=True))[3] == "pixels"


def test_albums_refuse_other_shapes() -> None:
    with pytest.raises(ValueError, match="128"):
        likeness.Album(np.zeros((2, 100, 100), np.uint8))


def test_parts_are_called_by_their_names_in_each_language(originals: Grey) -> None:
    twice = np.stack([to_square(one) for one in [*originals[:4], *originals[:2]]])
    parts = ["train", "val", "", "train", "test", "val"]
    found = duplicates.audit(subject_of(twice, parts=parts))
    cells = [row[0] for row in found.tables[0].rows]
    assert Text(en="training + test", fr="entraînement + test") in cells
    why = next(one.why for one in found.suspects if one.id == "i00000")
    assert "in the training and test parts" in why.en
    assert "dans les parties d’entraînement et de test" in why.fr
    other = subject_of(twice[:1], name="other")
    seen = beside.audit(subject_of(twice[3:4], parts=["val"], beside=(subject_of(twice[3:4], name="other"), other)))
    assert seen.tables[0].rows[0][-1] == Text(en="validation", fr="validation")
    assert "la partie de validation" in seen.suspects[0].why.fr


def pairs(first: list[int], second: list[int]) -> likeness.Pairs:
    none = np.zeros(len(first), bool)
    return likeness.Pairs(np.array(first), np.array(second), none, none, np.ones(len(first), np.float32))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=25))
def test_groups_are_the_connected_ones(joined: list[tuple[int, int]]) -> None:
    of = list(range(20))
    for a, b in joined:
        low, high = sorted((of[a], of[b]))
        of = [low if one == high else one for one in of]
    found = likeness.Twins(pairs([a for a, _ in joined], [b for _, b in joined]), ("near",) * len(joined))
    assert found.groups(20).tolist() == of


def test_many_copies_take_no_square_of_their_number() -> None:
    """Of 20,000 black pictures none is alike in bytes: held one by one against those before, minutes would pass."""
    n = 20_000
    black = likeness.Album(np.broadcast_to(np.zeros((1, 128, 128), np.uint8), (n, 128, 128)))
    black.__dict__["digests"] = ("grey",) * n
    started = time.perf_counter()
    found = likeness.twins(black, [*map(str, range(n - 2)), "0", "5"])
    assert found.kinds == ("pixels",) * (n - 3) + ("exact",) * 2
    assert found.pairs.first[-2:].tolist() == [0, 5]
    assert set(found.groups(n).tolist()) == {0}
    chain = likeness.Twins(pairs(list(range(n - 1, 0, -1)), list(range(n - 2, -1, -1))), ("near",) * (n - 1))
    assert set(chain.groups(n).tolist()) == {0}
    assert time.perf_counter() - started < 5
