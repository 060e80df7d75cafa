"""The lungs as a DICOM Segmentation on the radiograph's own pixels, one segment a lung."""

from __future__ import annotations

from laennec import segments
from laennec.objects import Answered
from laennec.wording import Text

TITLE = Text(en="Segmentation of the lungs", fr="Segmentation des poumons")


def encode(answered: Answered) -> bytes:
    """See `laennec.segments.segmentation_object`."""
    right, left = answered.lungs
    return segments.segmentation_object(
        answered.source, {"right": right, "left": left}, answered.model.algorithm, made=answered.made
    )
