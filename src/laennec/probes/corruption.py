"""Corruption: how far the answer falls when the picture is noisy, blurred, turned, cut or exposed otherwise.

After Hendrycks & Dietterich 2019 (arXiv:1903.12261): several corruptions, each at five severities, on the model's
grid. Their severities are made for photographs; here the mildest are what happens in a department (a portable unit, a
viewer's export, a tilted patient) and the last what a person would send back. What the model's preprocessing does to
greys is done again after the corruption, as it would be with a file (`reread`): histograms are equalised, the lungs'
greys stretched anew, and what lies outside the lungs loses its contrast or its light. So far as that undoes a change of
exposure, it costs the model nothing.

    noise       Gaussian, standard deviation .02, .04, .08, .12, .18 of the grey range (theirs begins at .08)
    blur        Gaussian, sigma 1/450, 1/225, 1/110, 1/75, 1/55 of the side: 0.8, 1.6, 3, 5, 6 mm of a picture of 35 cm
    contrast    80, 60, 40, 30, 20 % of the distance from the mean grey (theirs 40 to 5 %)
    brightness  .05, .1, .15, .2, .3 of the grey range added or taken away
    gamma       exponent 1.15, 1.35, 1.6, 2, 2.5 or its inverse
    jpeg        quality 80, 50, 25, 15, 7 on the model's grid: harsher than on the full picture (theirs 25 to 7)
    rotation    2, 5, 10, 15, 20 degrees either way, black corners
    crop        2, 5, 10, 15, 20 % of the side cut off on each side

Signs are drawn by image from the seed. Severities 1 and 2 are called mild. *Warn*: a mild corruption costs more than
.02 of AUROC, or 10 points of sensitivity or specificity at the frozen operating point, beyond chance (p corrected by
Holm's method below .05). *Fail*: it costs more than .10 of AUROC, or 30 points, at the near end of the interval too.
*Note*: fewer than 10 images of a class, on which no fall is told from chance. The bounds are ours; a site sets its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec import intervals
from laennec.checks import INDEPENDENT, Chart, Line, Outcome, Table, Verdict
from laennec.estimates import Estimate
from laennec.images.framing import reread
from laennec.probes import Case, rates
from laennec.wording import Text, tell, written

TITLE = Text(en="Degraded images", fr="Images dégradées")

MOST = 400  # images
LEAST = 10  # of each class
MILD = 2  # severities
_LOST_WARN, _LOST_FAIL = 0.02, 0.10  # AUROC
_MISSED_WARN, _MISSED_FAIL = 0.10, 0.30  # sensitivity, specificity

METHOD = tell(
    "Eight corruptions at five severities on up to {n} images, whole patients drawn (after Hendrycks & Dietterich "
    "2019, arXiv:1903.12261, severities for radiographs). AUROC with DeLong’s interval; mean over severities by "
    "DeLong’s variance of a mean; sensitivity and specificity at the frozen operating point with Wilson’s. The "
    "model’s own preprocessing of greys follows each corruption. {i}",
    "Huit dégradations à cinq niveaux sur {n} images au plus, tirées par patient (d’après Hendrycks et Dietterich "
    "2019, arXiv:1903.12261, niveaux adaptés aux radiographies). AUROC avec l’intervalle de DeLong ; moyenne sur les "
    "niveaux par la variance de DeLong d’une moyenne ; sensibilité et spécificité au point de fonctionnement figé, "
    "avec l’intervalle de Wilson. Le prétraitement des gris propre au modèle suit chaque dégradation. {i}",
    n=MOST,
    i=INDEPENDENT,
)

Pixels = NDArray[np.uint8]
Corrupt = Callable[[Pixels, float, np.random.Generator], Pixels]


def _bytes(levels: NDArray[Any]) -> Pixels:
    """Grey levels in [0, 255], rounded and cut off."""
    cut: Pixels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cut


def _signs(n: int, random: np.random.Generator) -> NDArray[np.float32]:
    """-1 or 1 for each image, ``[n, 1, 1]``."""
    return random.choice(np.array([-1, 1], np.float32), size=(n, 1, 1))


def noise(pixels: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """Gaussian noise with a standard deviation of a share of the grey range."""
    return _bytes(pixels + random.standard_normal(pixels.shape, dtype=np.float32) * np.float32(255 * share))


def blur(pixels: Pixels, share: float, _: np.random.Generator) -> Pixels:
    """A Gaussian whose sigma is a share of the side; the picture goes on beyond its edge as it ends."""
    sigma = share * pixels.shape[1]
    reach = max(1, int(np.ceil(3.5 * sigma)))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    bell /= bell.sum()
    levels = pixels.astype(np.float32)
    for axis in (1, 2):
        wide = np.pad(levels, [(reach, reach) if each == axis else (0, 0) for each in range(3)], mode="edge")
        blurred = np.zeros_like(levels)
        for at, weight in enumerate(bell):
            blurred += np.float32(weight) * np.take(wide, range(at, at + levels.shape[axis]), axis=axis)
        levels = blurred
    return _bytes(levels)


def contrast(pixels: Pixels, left: float, _: np.random.Generator) -> Pixels:
    """A share left of each pixel's distance from the mean grey of its picture."""
    mean = pixels.mean((1, 2), keepdims=True, dtype=np.float32)
    return _bytes(mean + np.float32(left) * (pixels - mean))


def brightness(pixels: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """A share of the grey range added to each picture, or taken from it."""
    return _bytes(pixels + np.float32(255 * share) * _signs(len(pixels), random))


def gamma(pixels: Pixels, exponent: float, random: np.random.Generator) -> Pixels:
    """Grey to the power of an exponent, or of its inverse."""
    powers = np.float32(exponent) ** _signs(len(pixels), random)
    return _bytes(255 * (pixels.astype(np.float32) / 255) ** powers)


def jpeg(pixels: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    """A JPEG of that quality, baseline, as libjpeg writes it."""
    made = np.empty_like(pixels)
    for row, picture in enumerate(pixels):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=int(quality))
        with Image.open(stream) as read:
            made[row] = np.asarray(read)
    return made


def rotation(pixels: Pixels, degrees: float, random: np.random.Generator) -> Pixels:
    """A turn about the centre; what comes in at the corners is black."""
    turns = degrees * _signs(len(pixels), random)[:, 0, 0]
    turned = [
        np.asarray(Image.fromarray(picture).rotate(float(turn), Image.Resampling.BILINEAR))
        for picture, turn in zip(pixels, turns, strict=True)
    ]
    return np.stack(turned)


def crop(pixels: Pixels, share: float, _: np.random.Generator) -> Pixels:
    """A share of the side cut off on each side, the rest enlarged."""
    side = pixels.shape[1]
    box = (share * side, share * side, side - share * side, side - share * side)
    cut = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BILINEAR, box=box)) for one in pixels]
    return np.stack(cut)


_ALL: dict[str, tuple[Text, Corrupt, tuple[float, ...]]] = {
    "noise": (Text(en="Noise", fr="Bruit"), noise, (0.02, 0.04, 0.08, 0.12, 0.18)),
    "blur": (Text(en="Blur", fr="Flou"), blur, (1 / 450, 1 / 225, 1 / 110, 1 / 75, 1 / 55)),
    "contrast": (Text(en="Contrast", fr="Contraste"), contrast, (0.8, 0.6, 0.4, 0.3, 0.2)),
    "brightness": (Text(en="Brightness", fr="Luminosité"), brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "gamma": (Text(en="Gamma", fr="Gamma"), gamma, (1.15, 1.35, 1.6, 2.0, 2.5)),
    "jpeg": (Text(en="JPEG", fr="JPEG"), jpeg, (80, 50, 25, 15, 7)),
    "rotation": (Text(en="Rotation", fr="Rotation"), rotation, (2, 5, 10, 15, 20)),
    "crop": (Text(en="Crop", fr="Recadrage"), crop, (0.02, 0.05, 0.1, 0.15, 0.2)),
}
CORRUPTIONS = tuple(_ALL)
_MOVING = ("rotation", "crop")


def corrupted(pixels: Pixels, name: str, severity: int, seed: int = 0) -> Pixels:
    """Pictures ``uint8 [n, size, size]`` under one of `CORRUPTIONS`, at a severity from 1 to 5."""
    _, corrupt, strengths = _ALL[name]
    return corrupt(pixels, strengths[severity - 1], np.random.default_rng([seed, CORRUPTIONS.index(name), severity]))


@dataclass(frozen=True)
class _Step:
    """What a model reaches under one corruption at one severity; changes are against the images as they are."""

    name: str
    severity: int
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    change: Estimate
    p: float
    score: NDArray[np.float64]


def probe(case: Case) -> Outcome:
    """What the model reaches on degraded images."""
    some = case.drawn(MOST)
    sick, well = (int((some.truth == value).sum()) for value in (1, 0))
    if min(sick, well) == 0:
        reason = tell(
            "{s:,} images with the finding and {w:,} without: nothing can fall where one of both is lacking.",
            "{s:,} images avec l’anomalie et {w:,} sans : il faut les deux pour mesurer une perte.",
            s=sick, w=well,
        )  # fmt: skip
        return Outcome(verdict="skipped", said=(reason,), method=METHOD)
    steps = [_step(some, name, severity) for name in CORRUPTIONS for severity in range(1, 6)]
    whole = intervals.delong(some.truth, some.score)
    figures = {"untouched": whole}
    for name in CORRUPTIONS:
        figures[f"{name}_auroc"] = _mean_area(some, [step for step in steps if step.name == name])
    figures["mean_auroc"] = _mean_area(some, steps)
    worst = min(steps, key=lambda step: 1.0 if step.auroc.value is None else step.auroc.value)
    figures["worst_auroc"] = worst.auroc
    mild = [step for step in steps if step.severity <= MILD]
    for word in ("sensitivity", "specificity"):
        known = [getattr(step, word) for step in mild]
        figures[f"mild_{word}"] = min(known, key=lambda one: 1.0 if one.value is None else one.value)
    verdict, said = _judged(some, mild) if min(sick, well) >= LEAST else ("note", [_say_few(sick, well)])
    said += [_summary(figures, worst, len(some.samples), len(case.samples))]
    charts = tuple(_chart(some, name, [step for step in steps if step.name == name]) for name in CORRUPTIONS)
    table = _table(some, figures, steps)
    return Outcome(verdict=verdict, said=tuple(said), method=METHOD, figures=figures, tables=(table,), charts=charts)


def _read(case: Case, made: Pixels, moved: bool) -> Pixels:
    """Corrupted pictures ``uint8 [n, size, size]`` of a case as its model is shown them; where the corruption moved the
    picture, what lies outside the lungs moved with it.
    """
    how = case.card.preprocess
    by_lungs = not moved and (how.outside != "keep" or how.normalise == "lungs")
    if not by_lungs and not how.equalise:
        return made
    nothing = np.zeros(made.shape[1:], np.bool_)
    pairs = zip(made / np.float32(255), case.pixels[:, 0] / np.float32(255), strict=True)
    shown = [reread(a, b, case.lungs[row] if by_lungs else nothing, how) for row, (a, b) in enumerate(pairs)]
    return _bytes(255 * np.stack(shown))


def _step(case: Case, name: str, severity: int) -> _Step:
    made = _read(case, corrupted(case.pixels[:, 0], name, severity, case.seed), name in _MOVING)
    score = case.score_of(case.answer(np.ascontiguousarray(made[:, None])))
    return _Step(
        name,
        severity,
        intervals.delong(case.truth, score),
        *rates(case.truth, score, case.threshold),
        change=intervals.delong_difference(case.truth, case.score, score),
        p=intervals.delong_paired(case.truth, case.score, score),
        score=score,
    )


def _mean_area(case: Case, steps: list[_Step]) -> Estimate:
    """The mean AUROC of several scores of the same images: their difference from a score that tells nothing, and .5."""
    nothing = np.zeros(len(case.samples))
    apart = intervals.delong_difference(case.truth, nothing, np.stack([step.score for step in steps]))
    shifted = {
        key: None if value is None else float(np.clip(value + 0.5, 0, 1))
        for key, value in (("value", apart.value), ("low", apart.low), ("high", apart.high))
    }
    return apart.model_copy(update=shifted)


def _judged(case: Case, mild: list[_Step]) -> tuple[Verdict, list[Text]]:
    """The verdict on mild corruptions, and a sentence for each that counts."""
    sensitivity, specificity = rates(case.truth, case.score, case.threshold)
    fell = [
        (step, word, *fall, _discordant(case, step, word == "sensitivity"))
        for step in mild
        for word, before, after in (
            ("sensitivity", sensitivity, step.sensitivity),
            ("specificity", specificity, step.specificity),
        )
        if (fall := _fall(before, after)) is not None
    ]
    area_p = intervals.holm([step.p for step in mild])
    rate_p = intervals.holm([one[-1] for one in fell])
    found: list[tuple[Verdict, float, Text]] = []
    for step, p in zip(mild, area_p, strict=True):
        most = -1.0 if step.change.high is None else step.change.high
        if step.change.value is not None and p < 0.05 and step.change.value < -_LOST_WARN and most < 0:
            grave: Verdict = "fail" if most < -_LOST_FAIL else "warn"
            found.append((grave, step.change.value, _say_area(step)))
    for (step, word, lost, least, _), p in zip(fell, rate_p, strict=True):
        if p < 0.05 and lost > _MISSED_WARN:
            found.append(("fail" if least > _MISSED_FAIL else "warn", -lost, _say_rate(step, word, lost)))
    if not found:
        return "pass", [
            tell(
                "No mild corruption costs much: none takes more than {a:.2f} of AUROC or {b:.0%} of sensitivity or "
                "specificity, beyond chance.",
                "Aucune dégradation légère ne coûte beaucoup : aucune ne retire plus de {a:.2f} d’AUROC ni plus de "
                "{b:.0%} de sensibilité ou de spécificité, au-delà du hasard.",
                a=_LOST_WARN, b=_MISSED_WARN,
            )
        ]  # fmt: skip
    found.sort(key=lambda one: (one[0] != "fail", one[1]))
    return found[0][0], [text for _, _, text in found[:4]]


def _say_few(sick: int, well: int) -> Text:
    return tell(
        "{s:,} images with the finding and {w:,} without: with fewer than {k} of a class nothing is told from chance.",
        "{s:,} images avec l’anomalie et {w:,} sans : moins de {k} d’une classe, rien ne se distingue du hasard.",
        s=sick, w=well, k=LEAST,
    )  # fmt: skip


def _fall(before: Estimate, after: Estimate) -> tuple[float, float] | None:
    """How far a share fell, and the least it did by the two intervals (Zou & Donner 2008, doi:10.1002/sim.3095)."""
    if before.value is None or after.value is None or before.low is None or after.high is None:
        return None
    lost = before.value - after.value
    return lost, lost - float(np.hypot(before.value - before.low, after.high - after.value))


def _discordant(case: Case, step: _Step, sick: bool) -> float:
    """p that as many of the images with (or without) the finding are decided rightly as before (McNemar)."""
    rows = case.truth == float(sick)
    before, after = (score[rows] >= case.threshold for score in (case.score, step.score))
    return intervals.mcnemar(before == sick, after == sick)


def _say_area(step: _Step) -> Text:
    return tell(
        "{e} at severity {s} brings the AUROC down by {c:.3f}, to {a}.",
        "{e} au niveau {s} : l’AUROC perd {c:.3f} et tombe à {a}.",
        e=_ALL[step.name][0], s=step.severity, c=-(step.change.value or 0.0), a=written(step.auroc),
    )  # fmt: skip


def _say_rate(step: _Step, word: str, lost: float) -> Text:
    which = _WORDS[word]
    after: Estimate = getattr(step, word)
    return tell(
        "{e} at severity {s} brings {w} at the frozen threshold down by {c:.0f} points, to {a}.",
        "{e} au niveau {s} : au seuil figé, la {w} perd {c:.0f} points et tombe à {a}.",
        e=_ALL[step.name][0], s=step.severity, c=100 * lost, w=which, a=written(after),
    )  # fmt: skip


_WORDS = {
    "auroc": Text(en="AUROC", fr="AUROC"),
    "sensitivity": Text(en="sensitivity", fr="sensibilité"),
    "specificity": Text(en="specificity", fr="spécificité"),
}


def _summary(figures: dict[str, Estimate], worst: _Step, some: int, whole: int) -> Text:
    return tell(
        "Over all corruptions and severities the mean AUROC is {m}, {u} untouched; the lowest of the forty is {a} "
        "({e}, severity {s}), chosen for being it. On {n:,} of {w:,} images.",
        "Sur l’ensemble des dégradations et des niveaux, l’AUROC moyenne est de {m}, contre {u} sur les images "
        "intactes ; la plus basse des quarante, retenue comme telle, est de {a} ({e}, niveau {s}). Sur {n:,} images "
        "parmi {w:,}.",
        m=written(figures["mean_auroc"]), u=written(figures["untouched"]), a=written(worst.auroc),
        e=_ALL[worst.name][0], s=worst.severity, n=some, w=whole,
    )  # fmt: skip


def _table(case: Case, figures: dict[str, Estimate], steps: list[_Step]) -> Table:
    rows: list[tuple[Text | Estimate | str | int | float | None, ...]] = [
        (Text(en="Untouched", fr="Intactes"), figures["untouched"], *rates(case.truth, case.score, case.threshold))
    ]
    for name in CORRUPTIONS:
        last = next(step for step in steps if step.name == name and step.severity == MILD)
        rows.append((_ALL[name][0], figures[f"{name}_auroc"], last.sensitivity, last.specificity))
    return Table(
        title=Text(
            en="Means over five severities, and decisions at severity 2",
            fr="Moyennes sur cinq niveaux, et décisions au niveau 2",
        ),
        head=(
            Text(en="Corruption", fr="Dégradation"),
            Text(en="Mean AUROC", fr="AUROC moyenne"),
            Text(en="Sensitivity, severity 2", fr="Sensibilité, niveau 2"),
            Text(en="Specificity, severity 2", fr="Spécificité, niveau 2"),
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _chart(case: Case, name: str, steps: list[_Step]) -> Chart:
    untouched = (intervals.delong(case.truth, case.score), *rates(case.truth, case.score, case.threshold))
    whole = dict(zip(_WORDS, untouched, strict=True))
    lines = []
    for word, title in _WORDS.items():
        along = [(0, whole[word]), *((step.severity, getattr(step, word)) for step in steps)]
        known = [(at, one) for at, one in along if one.value is not None]
        bounds = tuple((one.low, one.high) for _, one in known)
        lines.append(Line(name=title, points=tuple((float(at), one.value) for at, one in known), bounds=bounds))
    severity = Text(en="Severity", fr="Niveau")
    return Chart(title=_ALL[name][0], x=severity, y=Text(en="Figure", fr="Valeur"), lines=tuple(lines), level=0.5)
