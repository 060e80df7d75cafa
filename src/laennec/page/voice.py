"""One language: its sentences and how it writes numbers. What a template calls to say anything."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from laennec.costs import Consumption
from laennec.errors import extra
from laennec.estimates import Estimate
from laennec.page.words import WORDS
from laennec.plots import WORDS as PLOT_KEYS

if TYPE_CHECKING:
    from markupsafe import Markup

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = ("en", "fr")

# Spaces that do not break: French parts thousands by the narrow one and sets both before its marks.
_NARROW, _HARD = "\u202f", "\u00a0"
_JOIN = "\u2060"  # no line may break here
_FINEST = 3  # decimals of a percentage

_PART = {"train": "entraînement", "val": "validation", "test": "test"}
_SPLIT = (  # what `laennec.split.part` says, and how French says it
    (r"(train|val|test) official", lambda m: f"{_PART[m[1]]} du jeu d’origine"),
    (r"official parts ignored", "parties d’origine ignorées"),
    (r"test all images from '(.*)', which nothing else has", r"test : toutes les images de « \1 », et elles seules"),
    (r"test (\d+)% of patients drawn", r"test : \1 % des patients, tirés au sort"),
    (r"official validation put back into training", "validation d’origine rendue à l’entraînement"),
    (
        r"validation fold (\d+) of (\d+) of the training patients",
        r"validation : pli \1 sur \2 des patients d’entraînement",
    ),
    (
        r"validation (\d+)% of the training patients drawn",
        r"validation : \1 % des patients d’entraînement, tirés au sort",
    ),
    (r"then validation and test exchanged", "puis validation et test échangés"),
    (r"; by patient, stratified, seed (\d+)$", r" ; par patient, stratifié, graine \1"),
    (r"^all of it$", "le jeu entier"),
)


def _split_in_french(how: str) -> str:
    for pattern, said in _SPLIT:
        how = re.sub(pattern, said, how)
    for mark in ":;%»":
        how = how.replace(f" {mark}", f"{_HARD if mark in ':%' else _NARROW}{mark}")
    return how.replace("« ", f"«{_NARROW}")


class Voice:
    """Speaks one language. Calling it with a key gives that sentence, its values filled in and escaped."""

    def __init__(self, lang: Language) -> None:
        self.lang = lang
        self._column = LANGUAGES.index(lang)

    def __call__(self, key: str, **values: object) -> Markup:
        """The sentence under `key` as markup. Raises `KeyError` for an unknown key."""
        with extra("eval"):
            from markupsafe import Markup
        sentence = WORDS[key][self._column]
        for mark in ":;?!%»" if self.lang == "fr" else "%":
            sentence = sentence.replace(f" {mark}", f"{_HARD if mark in ':%' else _NARROW}{mark}")
        return Markup(sentence).format(**values)  # noqa: S704  # our own table; values are escaped by format

    def plain(self, key: str) -> str:
        """The sentence under `key` as it stands in the table, for one without values or markup."""
        return WORDS[key][self._column]

    def joined(self, told: Sequence[Markup]) -> Markup:
        """Sentences one after another."""
        with extra("eval"):
            from markupsafe import Markup
        return Markup(" ").join(told)

    def plot_words(self) -> dict[str, str]:
        """The texts `laennec.plots` asks for."""
        return {key: WORDS[f"plot.{key}"][self._column] for key in PLOT_KEYS}

    def number(self, value: float | None, digits: int = 3) -> str:
        """``0.953``, ``0,953`` in French; a dash for None."""
        if value is None:
            return "–"
        text = f"{value:,.{digits}f}"
        return text.replace(",", _NARROW).replace(".", ",") if self.lang == "fr" else text

    def significant(self, value: float | None, figures: int = 3) -> str:
        """A positive figure of any size to `figures` digits that count: ``0.00213``, ``18,800``; a dash for None."""
        if value is None:
            return "–"
        if value == 0:
            return "0"
        rounded = float(f"{value:.{figures - 1}e}")
        return self.number(rounded, max(0, figures - 1 - math.floor(math.log10(abs(rounded)))))

    def label(self, used: Consumption) -> str:
        """What must stand beside a figure of energy: how it came about, how far off it may be, and the meter."""
        kinds = f" {self('and')} ".join(str(self(f"energy.{kind}")) for kind in used.kind.split(" and "))
        return f"{kinds} ±{self.percent(used.error, 0)}, {' + '.join(used.meters)}"

    def signed(self, value: float | None, digits: int = 2) -> str:
        """A difference with its sign, a true minus among them."""
        if value is None:
            return "–"
        sign = "+" if value > 0 else "−" if value < 0 else ""
        return sign + self.number(abs(value), digits)

    def count(self, value: int | None) -> str:
        """A whole number, thousands parted."""
        return self.number(value, 0)

    def percent(self, value: float | None, digits: int = 1) -> str:
        """A share in [0, 1] as ``95.3 %``; one that is neither nothing nor all is not rounded to it: ``99.98 %``."""
        if value is None:
            return "–"
        while 0 < value < 1 and digits < _FINEST and round(100 * value, digits) in (0.0, 100.0):
            digits += 1
        return f"{self.number(100 * value, digits)}{_HARD}%"

    def p(self, value: float | None) -> str:
        """A p value; below 0.001 only that it is."""
        if value is None:
            return "–"
        return f"<{_HARD}{self.number(0.001)}" if value < 0.001 else self.number(value)

    def interval(self, estimate: Estimate, *, share: bool = False) -> str:
        """``0.937 – 0.969``, or with `share` ``93.7 – 96.9 %``; a dash where there is none."""
        if estimate.low is None or estimate.high is None:
            return "–"
        scale, digits = (100, 1) if share else (1, 3)
        low, high = self.number(scale * estimate.low, digits), self.number(scale * estimate.high, digits)
        return f"{low}{_HARD}–{_JOIN}{_HARD}{high}" + (f"{_HARD}%" if share else "")

    def value(self, estimate: Estimate, *, share: bool = False) -> str:
        """The figure alone, as a percentage with `share`; "not available" where it is undefined."""
        if estimate.value is None:
            return str(self("none"))
        return self.percent(estimate.value) if share else self.number(estimate.value)

    def split(self, how: str) -> str:
        """How a split came about (`laennec.split.part` says it in English) in words; what it never said, as it is."""
        return how if self.lang == "en" else _split_in_french(how)

    def names(self, labels: Sequence[str]) -> str:
        """``bacterial or viral``."""
        return f" {self('or')} ".join(labels)

    def method(self, name: str) -> str:
        """How an interval was made, in words; an unknown one as it is, its words parted."""
        key = f"method.{name}"
        return str(self(key)) if key in WORDS else name.replace("_", " ")

    def kind(self, name: str) -> str:
        """What a check calls a kind of suspects, in words; an unknown one as it is."""
        key = f"suspect.{name}"
        return str(self(key)) if key in WORDS else name

    def metric(self, name: str) -> str:
        """A metric's name in words; an unknown one as it is."""
        key = f"metric.{name}"
        return str(self(key)) if key in WORDS else name
