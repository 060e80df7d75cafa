"""How a figure of decisions or of masks is named and written where both may stand side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laennec.estimates import Estimate
from laennec.findings import MASKS
from laennec.page.html import SHARES
from laennec.page.segmentation import DISTANCES, interval, told
from laennec.page.voice import Voice

if TYPE_CHECKING:
    from markupsafe import Markup

HEADLINES = ("auroc", "dice")  # of decisions and of masks, the figure that ranks models


def heading(voice: Voice, name: str) -> Markup:
    """A figure's name, with its unit where it has one; a name that decisions and masks share is the masks'."""
    return voice(f"seg.{name}" if name in MASKS else f"metric.{name}")


def written(voice: Voice, name: str, value: float | None) -> str:
    """A figure's value in its unit: ``0.967``, ``97.1 %``, ``4.2 px``; a dash for None."""
    return voice.percent(value) if name in SHARES else told(voice, name, value)


def between(voice: Voice, name: str, estimate: Estimate) -> str:
    """The bounds of the interval, written likewise; empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return voice.interval(estimate, share=True) if name in SHARES else interval(voice, name, estimate)


def plain(name: str, value: float | None) -> str:
    """A figure's value for the terminal: ``0.967``, distances to a tenth."""
    return "n/a" if value is None else f"{value:.{1 if name in DISTANCES else 3}f}"
