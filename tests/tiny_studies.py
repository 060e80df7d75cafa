"""A recipe of two epochs and studies made of it: what the tests of study files and of study runs share."""

from __future__ import annotations

import json
from pathlib import Path

from laennec.studies import Study

RECIPE = """
[data]
name = "folder"
root = {root}
patient = '^(p\\d+)_'
[split]
validation = 0.3
test = 0.3
[preprocess]
size = 32
[model]
name = "cnn"
widths = [8, 16]
[[phases]]
name = "warm"
train = "head"
epochs = 1
learning_rate = 1e-2
[[phases]]
name = "all"
epochs = 1
learning_rate = 1e-2
[training]
batch_size = 16
threads = 1
"""

NARROW = {"name": "narrow", "reported": {"accuracy": 0.94, "seconds": 90.0}}
WIDE = {"name": "wide", "set": {"model.widths": [12, 16]}, "note": "Twelve first.", "note_fr": "Douze d’abord."}


def recipe_file(folder: Path, pictures: Path) -> Path:
    """``tiny.toml`` in `folder`, over the tiny pictures."""
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(root=json.dumps(str(pictures))))
    return path


def asked(recipe: Path, *runs: dict[str, object], **values: object) -> Study:
    """A study of `runs`, each of the recipe unless it says otherwise."""
    told = {"name": "s", "title": "Narrow or wide", "question": "Does width help?", "question_fr": "Plus large ?"}
    return Study.parse(told | {"runs": [{"recipe": str(recipe)} | one for one in runs]} | values)
