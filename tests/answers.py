"""Answers drawn for tests of the DICOM objects that they are written as."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from laennec.labels import LabelSet
from laennec.objects import Answered, Model
from laennec.results import OperatingPoint, Prediction

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BALANCED = OperatingPoint(
    rule="balanced", threshold=0.41, sensitivity=0.95, specificity=0.9, n=300, split_digest="s", model_digest="m"
)
LABELS = LabelSet(names=("NORMAL", "PNEUMONIA"), positive=("PNEUMONIA",))
MODEL = Model("k8", "ab" * 32, "cd" * 32, LABELS, {"balanced": BALANCED}, "kermany", calibrated=True)
SPACED = {
    "share": 0.3,
    "square_centimetres": 410.0,
    "right": {"share": 0.16, "square_centimetres": 220.0, "box": (0.1, 0.2, 0.4, 0.8)},
    "left": {"share": 0.14, "square_centimetres": 190.0, "box": (0.6, 0.2, 0.9, 0.8)},
    "components": 2,
}


def prediction(rows: int, columns: int, **changes: Any) -> Prediction:
    """An answer for a picture of that size: pneumonia at 88 %."""
    values: dict[str, Any] = {
        "id": "",
        "probabilities": {"NORMAL": 0.12, "PNEUMONIA": 0.88},
        "score": 0.88,
        "label": "PNEUMONIA",
        "positive": True,
        "threshold": 0.41,
        "operating_point": "balanced",
        "bundle_digest": "cd" * 32,
        "image": {"format": "DICOM", "height": rows, "width": columns, "window": "bit range", "rescale": "none"},
        "milliseconds": 3.0,
    }
    return Prediction.model_validate(values | changes)


def answered(source: bytes, rows: int, columns: int, *, outlined: bool = True, **changes: Any) -> Answered:
    """All that a member of the family ``objects`` may want: lungs on both sides, and heat in the right one."""
    y, x = np.mgrid[:rows, :columns] / np.array([rows, columns]).reshape(2, 1, 1)
    right = np.hypot((x - 0.28) / 0.16, (y - 0.5) / 0.33) < 1
    left = np.hypot((x - 0.72) / 0.16, (y - 0.5) / 0.33) < 1
    heat = np.clip(1.2 - 5 * np.hypot(x - 0.3, y - 0.4), 0, 1).astype(np.float32)
    picture = (0.9 - 0.6 * (right | left) + 0.05 * np.sin(40 * y)).astype(np.float32)
    told: dict[str, Any] = {"answer": prediction(rows, columns), "picture": picture, "model": MODEL, "made": NOON}
    if outlined:
        told |= {"right": right, "left": left, "heat": heat}
    return Answered(source=source, **(told | changes))
