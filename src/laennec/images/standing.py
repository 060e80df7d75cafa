"""How a picture stands: a frontal chest upright with bright bones, or not, and then with a stable word for what it is.

A weighted sum of the gate's figures (`laennec.images.chest`, the coefficients below; ``benchmarks/lung_gate.py`` fits
them) says whether the chest stands as it should. Where it says so plainly that is all, and nothing is run besides. Else
the picture is tried inverted, on either side and upside down: it is what makes it, undone, stand better and be a chest.
Both the service's gate and the audit of a data set ask here, so they agree.

A lateral view is told by the file's header alone (`laennec.images.projection`): no lateral radiograph was there to fit
or to measure a test of the pixels on. One that says nothing of its view is refused where it looks like no frontal
chest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError
from laennec.images.chest import deviations, odds, reason
from laennec.images.lungs import of_levels, squeezed
from laennec.images.picture import Done
from laennec.wording import Text

PLAIN = 1.0  # log odds of standing upright from which nothing else is tried
_GAIN = 3.0  # log odds that a change must add
_STANDS = -2.0  # and must reach
_FLOOR = -50.0  # log odds of a picture in which nothing can be judged

# Fitted by benchmarks/lung_gate.py: the weight of each figure of `chest.FIGURES`; last the offset.
_FITTED = (
    ("share", -0.03326),
    ("sure", 0.8539),
    ("unsure", -0.6669),
    ("across", 0.02156),
    ("down", 0.4796),
    ("width", 0.05507),
    ("height", -0.1566),
    ("aspect", -0.1713),
    ("fill", -0.315),
    ("rough across", 0.1848),
    ("rough down", 0.3538),
    ("rim above", -0.0955),
    ("rim aside", -0.1659),
    ("rim below", 0.1988),
    ("black", 0.06894),
    ("uneven lungs", 0.7038),
    ("uneven greys", 0.07793),
    ("lung 1.1", -0.2823),
    ("lung 1.2", -0.4391),
    ("lung 1.3", 0.4579),
    ("lung 2.1", -0.3512),
    ("lung 2.2", -0.2306),
    ("lung 2.3", 0.3423),
    ("lung 3.1", -0.0932),
    ("lung 3.2", 0.3527),
    ("lung 3.3", -0.2026),
    ("lung 4.1", 0.459),
    ("lung 4.2", 0.1767),
    ("lung 4.3", 0.07493),
    ("lung 5.1", 0.3744),
    ("lung 5.2", 0.09444),
    ("lung 5.3", -0.2264),
    ("lung 6.1", 0.1449),
    ("lung 6.2", 0.08463),
    ("lung 6.3", -0.5175),
    ("grey 1.1", 0.2684),
    ("grey 1.2", -0.3104),
    ("grey 1.3", -0.03853),
    ("grey 2.1", 0.2404),
    ("grey 2.2", -0.04786),
    ("grey 2.3", -0.1162),
    ("grey 3.1", -0.1372),
    ("grey 3.2", 0.1766),
    ("grey 3.3", -0.008882),
    ("grey 4.1", -0.283),
    ("grey 4.2", -0.1131),
    ("grey 4.3", -0.1084),
    ("grey 5.1", -0.07481),
    ("grey 5.2", -0.06514),
    ("grey 5.3", 0.7078),
    ("grey 6.1", -0.3308),
    ("grey 6.2", 0.07856),
    ("grey 6.3", 0.4133),
    ("offset", 7.957),
)
_WEIGHT = np.array([row[1] for row in _FITTED[:-1]], np.float32)
_OFFSET = _FITTED[-1][1]

_Levels = NDArray[np.uint8]
_CHANGES: tuple[tuple[str, Text, Callable[[_Levels], _Levels]], ...] = (
    ("inverted", Text(en="greys inverted", fr="gris inversés"), lambda x: 255 - x),
    (
        "turned",
        Text(
            en="on its side, upright after a quarter turn clockwise",
            fr="couchée, redressée par un quart de tour dans le sens horaire",
        ),
        lambda x: np.rot90(x, -1),
    ),
    (
        "turned",
        Text(
            en="on its side, upright after a quarter turn anticlockwise",
            fr="couchée, redressée par un quart de tour dans le sens antihoraire",
        ),
        np.rot90,
    ),
    ("turned", Text(en="upside down", fr="à l’envers"), lambda x: x[::-1, ::-1]),
)
_REASONS = {
    "no lungs where lungs would be": "pas de poumons là où ils devraient être",
    "what looks like lungs does not have their shape": "ce qui ressemble à des poumons n’en a pas la forme",
    "the greys are not those of a chest": "les gris ne sont pas ceux d’un thorax",
}
_NOTHING = Text(en="", fr="")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a picture seems to be.

    Attributes:
        code: empty for an upright frontal chest, else ``not_chest``, ``lateral``, ``inverted`` or ``turned``.
        why: the same in a few plain words; empty for a chest.
        strength: of a picture that is inverted or turned, the log odds gained by undoing it; of what is no chest, the
            log odds against one; at most some 60.
    """

    code: str = ""
    why: Text = _NOTHING
    strength: float = 0.0


UPRIGHT = Standing()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a program tells a person of a picture that it does not answer for."""

    message: str
    hint: str


_REFUSALS = {
    "not_chest": Refusal("this is no chest radiograph", "leave it out, or ask without the gate"),
    "lateral": Refusal("this is no frontal chest radiograph", "give the frontal view of the same examination"),
    "inverted": Refusal(
        "this chest radiograph is inverted", "invert its greys, or correct Photometric Interpretation in its header"
    ),
    "turned": Refusal("this chest radiograph does not stand upright", "turn it upright"),
}
CODES = tuple(_REFUSALS)


def refusal(done: Done) -> ImageError | None:
    """Why a picture with these notes of `laennec.images.load` and its gate is not to be answered; None where it is."""
    code = str(done.get("chest_code", ""))
    if not code:
        return None
    return ImageError(code, f"{_REFUSALS[code].message}: {done['chest_doubt']}", _REFUSALS[code].hint)


def upright(away: NDArray[np.float32] | None) -> float:
    """How much a chest with these `chest.deviations` stands upright with bright bones: log odds against one that is
    inverted, on its side or upside down.
    """
    return _FLOOR if away is None else float(away @ _WEIGHT) + _OFFSET


def judged(lungs: NDArray[np.float32], levels: _Levels) -> Standing:
    """What a picture ``uint8 [64, 64]`` seems to be, with what the lung locator says of it, ``float32 [64, 64]``.

    Raises:
        UntrustedBundle: the network that finds the lungs is missing or is not the one shipped.
    """
    away = deviations(lungs, levels)
    stands = upright(away)
    if stands < PLAIN:
        best, code, why = max((_after(levels, *change) for change in _CHANGES), key=lambda one: one[0])
        if best > max(_STANDS, stands + _GAIN):
            return Standing(code, why, best - stands)
    doubt = reason(away)
    if not doubt:
        return UPRIGHT
    return Standing("not_chest", Text(en=doubt, fr=_REASONS[doubt]), min(-odds(away), -_FLOOR))


def _after(levels: _Levels, code: str, why: Text, change: Callable[[_Levels], _Levels]) -> tuple[float, str, Text]:
    changed = np.ascontiguousarray(change(levels))
    away = deviations(of_levels(changed), changed)
    return (upright(away) if odds(away) > 0 else -np.inf), code, why


def standing(pixels: NDArray[np.float32], said: Done | None = None) -> Standing:
    """What a grey picture ``float32 [rows, columns]`` in [0, 1] seems to be; see `standing_of`."""
    levels = squeezed(pixels)
    return standing_of(levels, of_levels(levels), said)


def standing_of(levels: _Levels, lungs: NDArray[np.float32], said: Done | None = None) -> Standing:
    """The same of a picture in which the lungs were looked for.

    Args:
        levels: the picture, ``uint8 [64, 64]`` (`laennec.images.lungs.squeezed`).
        lungs: what the lung locator says of it, ``float32 [64, 64]``.
        said: what its file says (`Picture.done`); a ``view`` of LATERAL is believed.

    Raises:
        UntrustedBundle: as `judged`.
    """
    if said is not None and said.get("view") == "LATERAL":
        by = said.get("view_by", "its header")
        return Standing("lateral", Text(en=f"a lateral view, by its {by}", fr=f"un profil, d’après {by}"))
    return judged(lungs, levels)
