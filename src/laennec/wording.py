"""A sentence in the languages of the reports, written where it is known what it says."""

from __future__ import annotations

from string import Formatter
from typing import Any

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
