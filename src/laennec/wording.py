"""A sentence in the languages of the reports, written where it is known what it says."""

from __future__ import annotations

from collections.abc import Iterable
from string import Formatter
from typing import Any, Protocol

from laennec.noun import Noun

_NARROW, _HARD = "\u202f", "\u00a0"
_SPACED = {":": _HARD, ";": _NARROW, "?": _NARROW, "!": _NARROW, "%": _HARD, "»": _NARROW}


class Text(Noun):
    """The same in English and in French, numbers written as each writes them; plain text, never markup."""

    en: str
    fr: str

    def in_(self, language: str) -> str:
        """The sentence in ``en`` or ``fr``."""
        return self.fr if language == "fr" else self.en


class _French(Formatter):
    """Numbers with a decimal comma, thousands parted by a narrow space, ``%`` behind a space."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Text):
            return value.fr
        written = str(super().format_field(value, format_spec))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return written.replace(",", _NARROW).replace(".", ",").replace("-", "−").replace("%", f"{_HARD}%")
        return written


class _English(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Text):
            return value.en
        written = str(super().format_field(value, format_spec))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return written.replace("-", "−").replace("%", f"{_HARD}%")
        return written


def tell(en: str, fr: str, **values: object) -> Text:
    """A `Text` of two templates in the syntax of `str.format`: ``tell("AUROC {a:.3f}", "AUROC {a:.3f}", a=0.953)``.

    Numbers in `values` are written in each language's way; a `Text` among them in its own. French marks get the space
    before them that does not break.

    Raises:
        KeyError: a template names a value that is not given.
    """
    for mark, space in _SPACED.items():
        fr = fr.replace(f" {mark}", f"{space}{mark}")
    fr = fr.replace("« ", f"«{_NARROW}")
    return Text(en=_English().vformat(en, (), values), fr=_French().vformat(fr, (), values))


class Figured(Protocol):
    """What `laennec.estimates.Estimate` offers to be written by."""

    @property
    def value(self) -> float | None:
        """The figure; None where it is undefined."""

    @property
    def low(self) -> float | None:
        """The lower bound of its interval; None where it has none."""

    @property
    def high(self) -> float | None:
        """The upper bound likewise."""


def written(estimate: Figured, spec: str = ".3f") -> Text:
    """A figure with its interval for a sentence or a cell: ``0.953 [0.937, 0.969]``, in French
    ``0,953 [0,937 ; 0,969]``; ``n/a`` and ``n/d`` where it is undefined, which read well after any preposition.

    Args:
        spec: how each number is formatted, such as ``.2f`` or ``.1%``.
    """
    if estimate.value is None:
        return Text(en="n/a", fr="n/d")
    number = f"{{v:{spec}}}"
    if estimate.low is None or estimate.high is None:
        return tell(number, number, v=estimate.value)
    en, fr = f"{number} [{{a:{spec}}}, {{b:{spec}}}]", f"{number} [{{a:{spec}}} ; {{b:{spec}}}]"
    return tell(en, fr, v=estimate.value, a=estimate.low, b=estimate.high)


def joined(texts: Iterable[Text], by: str = ", ") -> Text:
    """Several texts as one, parted by `by`."""
    each = list(texts)
    return Text(en=by.join(text.en for text in each), fr=by.join(text.fr for text in each))


# Parts of a split by their names, alone in a cell and behind the word "part".
_PARTS = {
    "train": (Text(en="training", fr="entraînement"), Text(en="training", fr="d’entraînement")),
    "val": (Text(en="validation", fr="validation"), Text(en="validation", fr="de validation")),
    "test": (Text(en="test", fr="test"), Text(en="test", fr="de test")),
}


def part(name: str) -> Text:
    """A part of a split in words, alone: ``training``, ``entraînement``; a dash for none, any other name as it is."""
    return _PARTS[name][0] if name in _PARTS else Text(en=name or "–", fr=name or "–")


def of_part(name: str) -> Text:
    """A part of a split for "the … part", "la partie …": ``training``, ``d’entraînement``; any other name quoted."""
    return _PARTS[name][1] if name in _PARTS else tell("“{n}”", "« {n} »", n=name)
