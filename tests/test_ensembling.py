"""Ensembles and teachers: several networks as one bundle, with weights from validation and the parents' answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import laennec as ln
from conftest import LOOSE, tiny_recipe
from laennec import decisions
from laennec.bundle import Bundle
from laennec.card import EnsembleSeen, MemberSeen
from laennec.ensembling import _weights, ensemble
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.loader import reload
from laennec.runtime import infer, start
from laennec.sections import Ensemble
from laennec.work import Answered

SHORT = [{"epochs": 2, "learning_rate": 1e-2}]


@pytest.fixture(scope="module")
def others(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two more bundles of the same split: another seed, another network."""
    folder = tmp_path_factory.mktemp("others")
    return [
        ln.train(tiny_recipe(pictures, seed=1, phases=SHORT), folder / "seed1"),
        ln.train(tiny_recipe(pictures, model={"name": "cnn", "widths": [8, 12, 16]}, phases=SHORT), folder / "wider"),
    ]


def answers(bundle: Bundle, part: str = "val") -> np.ndarray:
    return infer(start(bundle), reload(bundle, (part,)).part(part), bundle.name).probabilities


def test_a_mean_is_the_weighted_mean_of_its_members(trained: Bundle, others: list[Bundle], tmp_path: Path) -> None:
    made = ln.ensemble([trained, *others], tmp_path / "mean")
    joined = made.card.ensemble
    assert joined is not None and [m.digest for m in joined.members] == [b.digest for b in (trained, *others)]
    weights = [m.weight for m in joined.members]
    assert sum(weights) == pytest.approx(1)
    expected = sum(w * answers(b) for w, b in zip(weights, (trained, *others), strict=True))
    assert np.allclose(answers(made), expected, atol=1e-6)
    assert made.card.parameters == sum(b.card.parameters for b in (trained, *others))
    assert ensemble([trained, *others], tmp_path / "mean").digest == made.digest
    with pytest.raises(UsageError, match="another bundle"):
        ensemble(others, tmp_path / "mean")


def test_a_vote_adds_up_decisions_at_each_members_threshold(
    trained: Bundle, others: list[Bundle], tmp_path: Path
) -> None:
    made = ln.ensemble([trained, *others], tmp_path / "vote", Ensemble(rule="vote"))
    joined = made.card.ensemble
    assert joined is not None
    expected = np.zeros_like(answers(trained))
    for member, bundle in zip(joined.members, (trained, *others), strict=True):
        _, _, decided = decisions.decide(bundle.card.labels, answers(bundle), member.threshold)
        expected[np.arange(len(decided)), decided] += member.weight
    assert np.allclose(answers(made), expected, atol=1e-6)


def test_two_views_by_one_bundle_average_the_picture_and_its_mirror(trained: Bundle, tmp_path: Path) -> None:
    made = ln.ensemble([trained], tmp_path / "views", Ensemble(views=("plain", "flip")))
    session, pixels = start(trained), reload(trained, ("val",)).part("val").batch(slice(0, 8))
    mirrored = np.ascontiguousarray(pixels[..., ::-1])
    expected = (session.run(pixels).probabilities + session.run(mirrored).probabilities) / 2
    assert np.allclose(start(made).run(pixels).probabilities, expected, atol=1e-6)
    with pytest.raises(UsageError, match="two bundles or more"):
        ln.ensemble([trained], tmp_path / "none")


@pytest.mark.parametrize("rule", [pytest.param("mean", marks=pytest.mark.slow), "vote"])
def test_an_ensemble_exports_to_one_graph_with_the_same_answers(
    trained: Bundle, others: list[Bundle], tmp_path: Path, rule: Any
) -> None:
    made = ln.ensemble([trained, *others], tmp_path / "torch", Ensemble(rule=rule, views=("plain", "flip")))
    graph = ln.export(made, "onnxruntime", out=tmp_path / "onnx")
    assert set(graph.card.files) == {"model.onnx"}
    assert np.allclose(answers(graph), answers(made), atol=1e-4)
    small = ln.export(made, "onnxruntime", "int8", out=tmp_path / "int8", limits=LOOSE)
    assert small.card.gate is not None
    if rule == "mean":  # a quantised softmax would answer in steps of 1/255
        assert len(np.unique(np.round(answers(small)[:, 1] * 255, 4) % 1)) > 5
    report = ln.evaluate(graph)
    assert report.metrics["auroc"].value > 0.9


def test_thresholds_from_changed_views_are_told_with_what_they_do_to_the_pictures(
    trained: Bundle, others: list[Bundle], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The views' answers are put in the place of the model's: the threshold must come from them alone."""
    from laennec import sources

    plain = ln.ensemble([trained, *others], tmp_path / "plain")
    n = len(answers(plain))
    truth = reload(plain, ("val",)).part("val").values[:, 1]
    shown = np.tile(np.where(truth == 1, 0.9, 0.7), 2)
    fixed = np.stack([1 - shown, shown], 1)
    asked = []
    monkeypatch.setattr(sources, "views_of", lambda *given: (asked.append(given), fixed)[1])
    made = ln.ensemble([trained, *others], tmp_path / "views", threshold_views=2)
    point = made.card.operating_point
    assert asked and asked[0][3] == 2 and 0.7 < point.threshold <= 0.9 and point.n == n
    score = answers(made)[:, 1]
    assert point.sensitivity == pytest.approx(np.mean(score[truth == 1] >= point.threshold))
    assert made.recipe.decision.views == 2 and np.allclose(answers(made), answers(plain))
    with pytest.raises(UsageError, match="another bundle"):
        ln.ensemble([trained, *others], tmp_path / "views", threshold_views=3)
    monkeypatch.undo()
    alone = ln.train(tiny_recipe(pictures, phases=SHORT, decision={"views": 2}), tmp_path / "alone")
    unlike = ln.train(tiny_recipe(pictures, phases=SHORT), tmp_path / "unlike")
    assert alone.card.files["weights.safetensors"] == unlike.card.files["weights.safetensors"]
    assert alone.card.operating_point.threshold != unlike.card.operating_point.threshold


def test_a_recipe_with_members_trains_them_and_resumes(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        pictures,
        phases=SHORT,
        members=[{"name": "a", "set": {"seed": 1}}, {"name": "b", "set": {"model.widths": [8, 12]}}],
        ensemble={"rule": "vote", "weights": "equal"},
    )
    made = ln.train(recipe, tmp_path / "whole")
    assert (tmp_path / "whole" / "members" / "b" / "card.json").is_file()
    joined = made.card.ensemble
    assert joined is not None and [m.weight for m in joined.members] == [0.5, 0.5]
    assert made.recipe.digest == recipe.digest
    (tmp_path / "whole" / "card.json").unlink()
    seen = (tmp_path / "whole" / "members" / "a" / "card.json").stat().st_mtime_ns
    assert ln.train(recipe, tmp_path / "whole").card.files == made.card.files
    assert (tmp_path / "whole" / "members" / "a" / "card.json").stat().st_mtime_ns == seen


def test_what_does_not_go_together_is_refused(
    trained: Bundle, quantised: Bundle, pictures: Path, tmp_path: Path
) -> None:
    resplit = ln.train(
        tiny_recipe(pictures, phases=SHORT, split={"validation": 0.3, "test": 0.3, "seed": 5}), tmp_path / "s"
    )
    with pytest.raises(UsageError, match="another split"):
        ln.ensemble([trained, resplit], tmp_path / "a")
    with pytest.raises(UsageError, match="no single torch bundle"):
        ln.ensemble([trained, quantised], tmp_path / "b")
    with pytest.raises(UsageError, match="another split"):
        ln.train(tiny_recipe(pictures, teacher={"bundle": str(resplit.path)}), tmp_path / "c")
    with pytest.raises(UsageError, match="not a torch bundle"):
        ln.train(tiny_recipe(pictures, teacher={"bundle": str(quantised.path)}), tmp_path / "d")
    with pytest.raises(UsageError, match="common to the ensemble"):
        tiny_recipe(pictures, members=[{"name": "a", "set": {"split.seed": 3}}])


def test_what_cannot_be_joined_is_refused_before_anything_is_trained(pictures: Path, tmp_path: Path) -> None:
    sizes = [{"name": "a"}, {"name": "b", "set": {"preprocess.size": 48}}]
    with pytest.raises(UsageError, match="reads other pixels"):
        ln.train(tiny_recipe(pictures, members=sizes), tmp_path / "sizes")
    with pytest.raises(UsageError, match="two members or more"):
        ln.train(tiny_recipe(pictures, members=[{"name": "a"}]), tmp_path / "one")
    assert not (tmp_path / "sizes").exists() and not (tmp_path / "one").exists()
    for name in ("..", ".", "../a"):
        with pytest.raises(UsageError, match="name"):
            tiny_recipe(pictures, members=[{"name": name}, {"name": "b"}])


def test_an_ensemble_is_not_taken_for_a_training_nor_for_one_with_other_weights(
    trained: Bundle, others: list[Bundle], tmp_path: Path
) -> None:
    ln.ensemble([trained, others[0]], tmp_path / "joined")
    with pytest.raises(UsageError, match="another bundle"):
        ln.train(trained.recipe, tmp_path / "joined")
    with pytest.raises(UsageError, match="another bundle"):
        ln.ensemble([trained, others[0]], tmp_path / "joined", Ensemble(weights="equal"))


def test_a_pupil_is_taught_again_when_its_teacher_changed(
    trained: Bundle, others: list[Bundle], pictures: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(others[0].path, teacher)
    recipe = tiny_recipe(pictures, phases=SHORT, teacher={"bundle": str(teacher)})
    pupil = ln.train(recipe, tmp_path / "pupil")
    assert ln.train(recipe, tmp_path / "pupil").digest == pupil.digest
    shutil.rmtree(teacher)
    shutil.copytree(trained.path, teacher)
    with pytest.raises(UsageError, match="another bundle"):
        ln.train(recipe, tmp_path / "pupil")


def test_a_pupil_of_a_sure_teacher_answers_like_it_and_not_like_the_labels(
    trained: Bundle, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher that always says 'normal': with share 1 the labels are not heard."""
    from laennec import training

    class Stubborn:
        def to(self, _: object) -> Stubborn:
            return self

        def answer(self, images: Any) -> Any:
            return Answered(images.new_tensor([[0.95, 0.05]]).expand(len(images), 2))

    monkeypatch.setattr(training, "load_deployed", lambda *_: Stubborn())
    pupil = ln.train(tiny_recipe(pictures, teacher={"bundle": str(trained.path), "share": 1.0}), tmp_path / "pupil")
    assert pupil.card.training.teacher == trained.digest
    assert answers(pupil)[:, 0].min() > 0.5


TWO = LabelSet(names=("normal", "sick"), positive=("sick",))


def test_weights_go_to_who_is_right() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    values = np.eye(2)[truth]
    good = np.clip(values * 0.8 + 0.1, 0, 1)
    coin = np.full((400, 2), 0.5)
    mean = _weights(Ensemble(), TWO, values, [good, coin], [0.5, 0.5])
    assert mean[0] > 0.99 and sum(mean) == pytest.approx(1)
    noisy = np.where(rng.random((400, 1)) < 0.3, values[:, ::-1], values)
    vote = _weights(Ensemble(rule="vote"), TWO, values, [good, noisy, values[:, ::-1]], [0.5, 0.5, 0.5])
    wrong = int((noisy.argmax(1) != truth).sum())
    sure, unsure = np.log(400.5 / 0.5), np.log((400 - wrong + 0.5) / (wrong + 0.5))
    assert vote == pytest.approx([sure / (sure + unsure), unsure / (sure + unsure), 0.0])
    assert _weights(Ensemble(weights="equal"), TWO, values, [good, coin], [0.5, 0.5]) == [0.5, 0.5]


def test_a_card_names_members_by_strict_fields() -> None:
    assert set(EnsembleSeen.model_fields) == {"rule", "views", "members"}
    assert MemberSeen.model_config["extra"] == "forbid"
