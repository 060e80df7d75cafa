"""What a bundle says of how far it can be trusted, and what a report found: calibration, abstention, prevalence.

Nouns only. The *positive finding* is the label set's; its score is the summed probability of the positive labels.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from laennec.estimates import Estimate
from laennec.noun import Noun

UNCERTAIN = "uncertain"
"""Referred because the conformal set is not the decided label alone."""
UNLIKE = "unlike"
"""Referred because the image is unlike those the model was trained on."""


class CalibrationTried(Noun):
    """One way to calibrate, judged on validation patients it was not fitted on.

    Attributes:
        method: ``none`` (the probabilities as they were), ``temperature``, ``isotonic`` or ``beta``.
        ece: expected calibration error of the positive finding, 15 bins.
        brier: Brier score of the positive finding.
        log_loss: negative log-likelihood of the positive finding, in nats.
    """

    method: Literal["none", "temperature", "isotonic", "beta"]
    ece: Estimate
    brier: Estimate
    log_loss: Estimate


class ScoreMap(Noun):
    """A map f of the score s of the positive finding, strictly increasing; see `laennec.calibrators`.

    Attributes:
        method: ``temperature`` and ``beta``: ``f = 1/(1 + exp(-(a ln s - b ln(1-s) + c)))``, with a = b = 1/T and c = 0
            for a temperature T; ``isotonic``: straight lines between `knots`.
        a, b, c: of that formula; None of isotonic.
        knots: (s, f) from s = 0 to s = 1, both strictly increasing; empty of the others.
    """

    method: Literal["temperature", "isotonic", "beta"]
    a: float | None = Field(default=None, gt=0.0)
    b: float | None = Field(default=None, gt=0.0)
    c: float | None = None
    knots: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.method != "isotonic":
            if self.a is None or self.b is None or self.c is None or self.knots:
                raise ValueError(f"a map by {self.method} has a, b and c, and no knots")
            return self
        steps = list(zip(self.knots, self.knots[1:], strict=False))
        if not steps or self.knots[0][0] != 0.0 or self.knots[-1][0] != 1.0:
            raise ValueError("the knots of an isotonic map reach from s = 0 to s = 1")
        if not all(x < u and 0.0 <= y < v <= 1.0 for (x, y), (u, v) in steps):
            raise ValueError("the knots of an isotonic map increase strictly, within [0, 1]")
        return self

    @property
    def parameters(self) -> dict[str, object]:
        """What decides f, and nothing else: the part that a model's digest holds."""
        return {"method": self.method, "abc": [self.a, self.b, self.c], "knots": [list(knot) for knot in self.knots]}


class Calibration(ScoreMap):
    """How the score of the positive finding was calibrated, inside the model.

    Exclusive labels: the positive labels are scaled by f(s)/s and the others by (1-f(s))/(1-s), so that they stay a
    distribution. Labels that hold together: only the positive label's probability is mapped.

    Attributes:
        prevalence: share of the validation images with the positive finding: what f is calibrated to.
        n, positives: validation images it was fitted on, and those with the finding.
        patients: of these images.
        tried: every method, cross-fitted by patient, ``none`` first.
        chosen: ``asked`` for by name, or by the least cross-fitted ``log_loss``.
        split_digest: the split whose validation part it was fitted on.
        model_digest: the model it is part of (files and this map); used with another it is refused.
    """

    prevalence: float = Field(gt=0.0, lt=1.0)
    n: int = Field(ge=0)
    positives: int = Field(ge=0)
    patients: int = Field(ge=0)
    tried: tuple[CalibrationTried, ...] = ()
    chosen: Literal["asked", "log_loss"] = "asked"
    split_digest: str
    model_digest: str


class Abstention(Noun):
    """Class-conditional conformal sets: which labels stay possible for an image, and when a person is asked.

    A label is possible where its probability is at least `least`; of labels that hold together the two classes are the
    positive label and ``""``, its absence. An image is referred unless its set is the decided label alone.

    Attributes:
        coverage: share of the images of each class whose set should hold the truth.
        least: label to the smallest probability at which it stays possible, 1 less the conformal quantile; 0 where the
            class has too few images for that coverage: such a label is always possible.
        n: label to the validation images it rests on.
        split_digest, model_digest: as of an `OperatingPoint`.
    """

    coverage: float = Field(gt=0.0, lt=1.0)
    least: dict[str, float]
    n: dict[str, int]
    split_digest: str
    model_digest: str


class Novelty(Noun):
    """How far an image may lie from those learned from; the arrays lie in a file of the bundle.

    Attributes:
        file: its name; see `laennec.novelty`.
        threshold: distance from which an image is unlike: the quantile `level` of the validation images.
        level: of these, the share that is not told unlike.
        n: training images the distance was fitted on.
        n_val: validation images the threshold rests on.
        classes: whose means the distance is taken to.
        kept: dimensions of the whitened space.
        split_digest, model_digest: as of an `OperatingPoint`.
    """

    file: str
    threshold: float = Field(gt=0.0)
    level: float = Field(gt=0.0, lt=1.0)
    n: int
    n_val: int
    classes: int = Field(ge=1)
    kept: int
    split_digest: str
    model_digest: str


class Adapted(Noun):
    """The probability of the positive finding where it is more common or rarer than in validation.

    The decision does not follow it. It holds where only the frequency of the finding differs, not how it looks.

    Attributes:
        probability: at `prevalence`, in [0, 1].
        prevalence: share of patients with the finding it was adapted to.
        source: ``stated`` by a person, or ``estimated`` from the images scored.
    """

    probability: float
    prevalence: float
    source: Literal["stated", "estimated"]


class Abstained(Noun):
    """What referring did on one part of a split.

    Attributes:
        asked: the coverage asked for.
        covered: class to the share of its images whose set holds the truth; ``""`` is the absence of the positive
            label, of labels that hold together.
        referred: share of the images referred.
        uncertain, unlike: share referred for each reason; one image may have both. `unlike` is None without a novelty.
        sizes: how many labels a set holds, to images.
        error: share decided wrongly among the images not referred.
        error_all: the same of all images, referring none.
        error_referred: the same of those referred.
        risk_coverage: points (share answered, error among them), the most certain images first, to (1, error of all).
        aurc: area under that curve, the mean error over all shares answered (lower is better).
    """

    asked: float
    covered: dict[str, Estimate]
    referred: Estimate
    uncertain: Estimate
    unlike: Estimate | None = None
    sizes: dict[int, int]
    error: Estimate
    error_all: Estimate
    error_referred: Estimate
    risk_coverage: tuple[tuple[float, float], ...] = ()
    aurc: Estimate


class AtPrevalence(Noun):
    """Predictive values where the finding is so common.

    Attributes:
        prevalence: in (0, 1).
        measured: whether it is that of the images judged.
        ppv, npv: from sensitivity and specificity by Bayes' rule.
    """

    prevalence: float
    measured: bool = False
    ppv: Estimate
    npv: Estimate
