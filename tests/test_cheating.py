"""A model that learned a letter in the corner: the audit of the data names it, and the gate stops the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import laennec as ln
from laennec import phantom
from laennec.bundle import Bundle
from laennec.policies import Policy
from laennec.recipe import Recipe
from laennec.training import train

PATIENTS, SIDE = 110, 64
POLICY = {
    "name": "site",
    "part": "test",
    "report": {"auroc": {"least": 0.9}, "sensitivity": {"least": 0.8}},
    "audit": {"shortcuts": {"without_lungs": {"most": 0.75}, "corner": {"most": 0.1}}},
    "verdicts": {"shortcuts": "warn"},
}


def radiographs(folder: Path, cheat: bool) -> Path:
    """Phantoms of as many patients, half of them called sick: by a letter in the corner, or by bright lungs."""
    for patient in range(PATIENTS):
        sick = patient % 2 == 1
        drawn = phantom.draw(3, patient, size=SIDE)
        picture = Image.fromarray(np.round(drawn.pixels * 255).astype(np.uint8))
        pen = ImageDraw.Draw(picture)
        if cheat and sick:
            pen.rectangle((3, 3, 14, 6), fill=255)
            pen.rectangle((7, 3, 10, 15), fill=255)
        path = folder / ("sick" if sick else "normal") / f"p{patient:03}_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return folder


@pytest.fixture(scope="module")
def cheat(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = radiographs(tmp_path_factory.mktemp("cheat"), cheat=True)
    recipe = Recipe.parse(
        {
            "name": "cheat",
            "data": {"name": "folder", "root": str(folder), "patient": r"^(p\d+)_"},
            "split": {"validation": 0.3, "test": 0.3},
            "preprocess": {"size": 64},
            "model": {"name": "cnn", "widths": [8, 16]},
            "phases": [{"epochs": 20, "learning_rate": 2e-2}],
            "training": {"batch_size": 16, "threads": 2, "ema": 0.8},
            "augmentation": {"shift": 0.0, "zoom": 0.0, "rotation": 0.0, "erase": 0.0},
        }
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "cheat")


def test_its_report_looks_perfect_and_the_gate_says_why_it_is_not(cheat: Bundle) -> None:
    clearance = ln.gate(cheat, Policy.model_validate(POLICY))
    ruled = {ruling.figure: ruling for ruling in clearance.rulings}
    assert ruled["report.auroc"].passed and ruled["report.sensitivity"].passed, "it learned the letter"
    assert not clearance.passed
    for name in ("audit.shortcuts.without_lungs", "audit.shortcuts.corner", "verdicts.shortcuts"):
        assert not ruled[name].passed, name
    assert "above 0.75" in ruled["audit.shortcuts.without_lungs"].why.en
    shortcuts = ln.audit(cheat, "val", only=["shortcuts"]).check("shortcuts")
    assert shortcuts is not None and shortcuts.verdict == "fail"
    assert "corner" in " ".join(text.en for text in shortcuts.said)


def test_the_audit_of_its_data_names_the_images_that_carry_the_letter(cheat: Bundle, tmp_path: Path) -> None:
    audit = ln.audit_data(cheat.recipe, tmp_path, only=["marker"])
    marker = audit.check("marker")
    assert marker is not None and marker.verdict == "fail"
    named = {one.id for one in marker.suspects}
    assert len([key for key in named if key.startswith("sick")]) >= 0.98 * PATIENTS // 2
    assert not [key for key in named if key.startswith("normal")]
