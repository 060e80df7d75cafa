"""What a data set holds, as nouns: counts of each part and, where images were opened, what a sample of them shows."""

from __future__ import annotations

from typing import Literal

from laennec.noun import Noun
from laennec.results import Refused

NO_LABEL = "(no label)"  # images on which no label of a set that can hold together is present


class Spread(Noun):
    """Smallest, median and largest of some values."""

    low: float
    median: float
    high: float


class LabelCount(Noun):
    """How often a label is present.

    Attributes:
        unknown: images on which the label is not known.
    """

    label: str
    images: int
    patients: int
    unknown: int


class PartCounts(Noun):
    """Counts of one part.

    Attributes:
        part: ``train``, ``val``, ``test`` or ``all``.
        per_patient: images of one patient.
        labels: in the order of the label set.
        imbalance: images of the commonest label over images of the rarest; None where a label has none.
    """

    part: Literal["all", "train", "val", "test"]
    images: int
    patients: int
    per_patient: Spread
    labels: tuple[LabelCount, ...]
    imbalance: float | None


class Value(Noun):
    """One value of a fact, its images, and how many of them show each label, in the label set's order."""

    value: str
    images: int
    labels: tuple[int, ...]


class Breakdown(Noun):
    """A fact about the images held against the labels: where one value goes with one label, it gives the label away.

    Attributes:
        asked: images looked at: all, or those opened where the fact stands in the file alone (`sampled`).
        known: images of which the fact is known.
        values: the commonest first; what lies beyond a dozen is gathered under the value "".
    """

    fact: Literal["view", "source", "sex"]
    asked: int
    known: int
    sampled: bool
    values: tuple[Value, ...]


class Cell(Noun):
    """Grey levels of one label in one part, 0 black to 255 white, as a model's input has them; None where `n` is 0.

    Attributes:
        images: images of the cell.
        n: of them opened and readable.
        mean: mean over the images of each image's mean.
        between: deviation between the images' means; None for fewer than two.
        contrast: mean over the images of the deviation inside an image.
        low, high: 1st and 99th percentile of all pixels.
        width, height: medians, pixels as stored in the file.
    """

    label: str
    part: str
    images: int
    n: int
    mean: float | None = None
    between: float | None = None
    contrast: float | None = None
    low: float | None = None
    high: float | None = None
    width: float | None = None
    height: float | None = None


class Shift(Noun):
    """How far a label's images in one part lie from those of the training part.

    Attributes:
        of: ``brightness``, an image's mean, or ``contrast``, the deviation inside it.
        difference: mean of `part` less mean of train, grey levels.
        effect: the same in pooled standard deviations between images (Cohen's d, 1988).
        low, high: its 95 % interval (Hedges & Olkin, 1985), images taken as independent.
        n_train, n: images it rests on.
    """

    of: Literal["brightness", "contrast"]
    label: str
    part: str
    difference: float
    effect: float
    low: float
    high: float
    n_train: int
    n: int

    @property
    def strength(self) -> Literal["none", "small", "medium", "large"]:
        """In Cohen's words; ``none`` where the interval takes in 0 or the effect is below 0.2."""
        size = abs(self.effect)
        if self.low <= 0 <= self.high or size < 0.2:
            return "none"
        return "small" if size < 0.5 else "medium" if size < 0.8 else "large"


class Size(Noun):
    """A size in pixels as stored, and how many images have it."""

    width: int
    height: int
    images: int


class Format(Noun):
    """A file format with its bits a sample and samples a pixel, and how many images have it."""

    format: str
    bits: int
    channels: int
    images: int


class Examples(Noun):
    """Ids of the training images shown for a label, each of another patient."""

    label: str
    ids: tuple[str, ...]


class Pixels(Noun):
    """What a sample of the images shows.

    Attributes:
        most: images opened per label and part, at most.
        seed: of the draw.
        side: grey levels are those of the image scaled to a square of this many pixels.
        opened: images opened, each counted once.
        shifts: val and test against train, label by label, where both have two images or more.
        commonest: the five commonest sizes; `sizes` is how many there are.
        aspect: width over height.
        refused: images opened that could not be read.
    """

    most: int
    seed: int
    side: int
    opened: int
    cells: tuple[Cell, ...]
    shifts: tuple[Shift, ...]
    width: Spread | None
    height: Spread | None
    aspect: Spread | None
    sizes: int
    commonest: tuple[Size, ...]
    formats: tuple[Format, ...]
    examples: tuple[Examples, ...]
    refused: tuple[Refused, ...]


class Exploration(Noun):
    """A data set at a glance.

    Attributes:
        whole: counts of all images.
        parts: train, val, test.
        pixels: None where no image was opened.
    """

    collection: str
    digest: str
    labels: tuple[str, ...]
    exclusive: bool
    positive: tuple[str, ...]
    whole: PartCounts
    parts: tuple[PartCounts, ...]
    breakdowns: tuple[Breakdown, ...]
    pixels: Pixels | None
    split: str
    split_digest: str
    licence: str
    citation: str
    notes: tuple[str, ...]
    made: str
    laennec: str
