"""What is said of lungs that were outlined: the rule that makes a mask, one radiograph's lungs, and how masks overlap.

Nouns only; `laennec.masks` applies the rule and `laennec.overlaps` measures. Left and right are the patient's: on a
frontal radiograph as it is hung, the right lung lies on the left of the picture. A DICOM file that says otherwise (its
Patient Orientation begins with R) is believed; any other picture that was mirrored cannot be told.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from laennec.estimates import Estimate
from laennec.noun import Noun

MEASURES = ("dice", "iou", "precision", "recall", "accuracy", "hd95")


class Outline(Noun):
    """How the probabilities of the pixels become a mask: chosen on validation, frozen with the model.

    Attributes:
        threshold: a pixel is lung from this probability on.
        keep: how many of the largest components are kept (4-neighbourhood); 0 keeps all.
        fill: holes are filled.
        dice_raw, dice: mean Dice on validation at the threshold, before and after the post-processing (`keep` and
            `fill`), on the model's grid; None where it was not measured.
        n: validation images with a mask they rest on.
        split_digest, model_digest: as of an `OperatingPoint`.
    """

    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    keep: int = Field(default=2, ge=0)
    fill: bool = True
    dice_raw: float | None = None
    dice: float | None = None
    n: int = 0
    split_digest: str = ""
    model_digest: str = ""


class Lung(Noun):
    """One lung on one radiograph.

    Attributes:
        share: of the picture's area, in [0, 1].
        square_centimetres: on the detector, not in the patient (what is nearer the tube is cast larger); None where
            the file gives no pixel spacing.
        box: left, top, right, bottom, fractions of the picture; None where there is none.
    """

    share: float
    square_centimetres: float | None = None
    box: tuple[float, float, float, float] | None = None


class Lungs(Noun):
    """Both lungs on one radiograph as a mask shows them.

    Attributes:
        share, square_centimetres: of both; see `Lung`.
        right, left: the patient's.
        components: of the mask after the post-processing.
        doubt: why these may be no lungs; empty where they look like lungs.
    """

    share: float
    square_centimetres: float | None = None
    right: Lung
    left: Lung
    components: int
    doubt: str = ""


class Overlap(Noun):
    """One image's mask against the truth, on the truth's own grid.

    Attributes:
        dice, iou, precision, recall, accuracy: over the pixels, in [0, 1]; None where nothing can be divided by.
        hd95: 95th percentile of the distances between the two outlines, both ways taken together, in pixels of the
            truth's grid; None where one of the masks is empty.
        hd95_mm: the same in millimetres where the pixel spacing is known.
        right_dice, left_dice: of each of the patient's lungs.
        raw_dice: before the post-processing.
    """

    id: str
    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    hd95: float | None
    hd95_mm: float | None = None
    right_dice: float | None = None
    left_dice: float | None = None
    raw_dice: float | None = None


class SegmentationFigures(Noun):
    """Masks judged on one part of one split.

    Attributes:
        outline: the rule they were made by.
        images, patients: with a mask to be held against.
        grid: how large the truths were measured: ``truth``, on their own grid, at most 512 pixels a side.
        mean: each of `MEASURES` (and ``hd95_mm`` where any image has it), mean over images, bootstrapped by patient.
        pooled: the same but for distances, over all pixels of all images together.
        raw: ``dice``, ``iou`` and ``hd95`` as in `mean`, before the post-processing.
        right, left: ``dice``, ``iou`` and ``hd95`` as in `mean`, of the patient's right and left lung.
        rows: one an image, the lowest Dice first.
    """

    outline: Outline
    images: int
    patients: int
    grid: Literal["truth"] = "truth"
    mean: dict[str, Estimate]
    pooled: dict[str, Estimate]
    raw: dict[str, Estimate]
    right: dict[str, Estimate]
    left: dict[str, Estimate]
    rows: tuple[Overlap, ...]
