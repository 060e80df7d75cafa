"""Whether a picture is a chest radiograph at all: a gate on how plausible its lungs are.

The lung locator (`laennec.images.lungs`) always answers; here its answer is judged. A weighted sum of 53 figures
(logistic regression, the coefficients below) looks at how much lung there is and how surely, where it lies and how it
is spread, and at the greys of the picture in a frame of the lungs' own: mediastinum, both flanks, what is above and
below. ``benchmarks/lung_gate.py`` fits it and measures it on radiographs and other pictures.

The gate tells chests from other pictures, and no more: not a frontal view from a lateral one, nor a good exposure from
a bad one. `laennec.images.standing` asks besides how the chest stands: inverted, on its side or upside down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laennec.images.lungs import SIDE, probabilities, squeezed

LEAST = 0.04  # mean probability below which there is nothing to judge
FAR = 6.0  # spreads beyond which a figure counts no further
_CELLS = 6  # rows of the lungs' own frame, and columns before it is folded at the middle
_RIM, _BLACK = 3, 16  # pixels, levels
_REACH = 2.4  # half of that frame, in standard deviations of where the lung lies
_AT = (np.arange(SIDE, dtype=np.float32) + np.float32(0.5)) / np.float32(SIDE)
_GRID = (((np.arange(2 * _CELLS) + 0.5) / _CELLS - 1) * _REACH).astype(np.float32)

FIGURES = (
    "share",  # mean probability of lung
    "sure",  # mean probability of lung, weighed by itself
    "unsure",  # pixels between .2 and .8, per pixel of lung
    "across",  # centre, share of the picture's width
    "down",  # centre, share of its height
    "width",  # standard deviation across, share of the width
    "height",  # standard deviation down, share of the height
    "aspect",  # width / height
    "fill",  # share / (width * height)
    "rough across",  # mean step between neighbours in a row, of the ranks of the greys
    "rough down",  # the same in a column
    "rim above",  # mean rank of the greys at the picture's upper edge, at its sides, at its lower edge
    "rim aside",
    "rim below",
    "black",  # pixels below a sixteenth of full scale
    "uneven lungs",  # mean difference between the halves of the probabilities
    "uneven greys",  # mean difference between the halves of the greys' ranks
    *(f"lung {row}.{column}" for row in range(1, 7) for column in (1, 2, 3)),
    *(f"grey {row}.{column}" for row in range(1, 7) for column in (1, 2, 3)),
)
# Figures by the reason that is given where they speak loudest against a chest.
_REASONS = (
    ("no lungs where lungs would be", ("share", "sure", "unsure", "across", "down")),
    ("what looks like lungs does not have their shape", ("width", "height", "aspect", "fill", "uneven lungs", "lung")),
    ("the greys are not those of a chest", ("rough", "rim", "black", "uneven greys", "grey")),
)

# Fitted by benchmarks/lung_gate.py: mean and spread of each figure over radiographs, and its weight; last the offset.
_FITTED = (
    ("share", 0.33342, 0.089961, 1.962),
    ("sure", 0.91005, 0.021757, 1.746),
    ("unsure", 0.22338, 0.054869, -0.4547),
    ("across", 0.50305, 0.044099, 0.0578),
    ("down", 0.50675, 0.054969, 0.4336),
    ("width", 0.21275, 0.030764, -0.4136),
    ("height", 0.18772, 0.031384, -0.2678),
    ("aspect", 1.1537, 0.1959, -0.513),
    ("fill", 8.2508, 0.3786, -0.2772),
    ("rough across", 0.063091, 0.020964, 0.6692),
    ("rough down", 0.048508, 0.024354, 0.09675),
    ("rim above", 0.39977, 0.1558, 0.1729),
    ("rim aside", 0.18743, 0.12545, 0.205),
    ("rim below", 0.59567, 0.17763, 0.4474),
    ("black", 0.10309, 0.11085, -0.3005),
    ("uneven lungs", 0.15107, 0.088175, 1.453),
    ("uneven greys", 0.14327, 0.067517, 0.5513),
    ("lung 1.1", 0.0021417, 0.011301, 0.2771),
    ("lung 1.2", 0.079718, 0.095728, 0.1945),
    ("lung 1.3", 0.33563, 0.091714, 0.405),
    ("lung 2.1", 0.011102, 0.055615, -0.4506),
    ("lung 2.2", 0.56167, 0.082085, 0.2691),
    ("lung 2.3", 0.62691, 0.067399, 0.3804),
    ("lung 3.1", 0.031084, 0.10932, -0.9662),
    ("lung 3.2", 0.91607, 0.080702, -0.09049),
    ("lung 3.3", 0.60973, 0.061502, -0.07877),
    ("lung 4.1", 0.080002, 0.15308, 0.06577),
    ("lung 4.2", 0.99189, 0.030811, 0.3839),
    ("lung 4.3", 0.59241, 0.062048, -0.01598),
    ("lung 5.1", 0.16083, 0.14799, 0.3411),
    ("lung 5.2", 0.81631, 0.11629, -0.3997),
    ("lung 5.3", 0.47209, 0.079898, -0.2238),
    ("lung 6.1", 0.072569, 0.085841, 0.3396),
    ("lung 6.2", 0.1401, 0.12564, 0.5081),
    ("lung 6.3", 0.039474, 0.070636, -0.7998),
    ("grey 1.1", 0.28863, 0.13089, 0.06088),
    ("grey 1.2", 0.5309, 0.14361, 1.367),
    ("grey 1.3", 0.61396, 0.13592, -0.8097),
    ("grey 2.1", 0.27043, 0.13122, 1.406),
    ("grey 2.2", 0.54242, 0.10525, -0.04436),
    ("grey 2.3", 0.59564, 0.10408, -0.4181),
    ("grey 3.1", 0.2486, 0.12062, -0.6205),
    ("grey 3.2", 0.47367, 0.10633, -0.8824),
    ("grey 3.3", 0.70735, 0.08702, 0.5864),
    ("grey 4.1", 0.26211, 0.11231, -1.526),
    ("grey 4.2", 0.43253, 0.1224, -0.5696),
    ("grey 4.3", 0.7699, 0.078782, 0.6505),
    ("grey 5.1", 0.27449, 0.11267, 0.007544),
    ("grey 5.2", 0.452, 0.14025, 1.407),
    ("grey 5.3", 0.75363, 0.096923, 0.5994),
    ("grey 6.1", 0.30234, 0.1273, 0.0427),
    ("grey 6.2", 0.68684, 0.13454, -0.3096),
    ("grey 6.3", 0.84642, 0.12958, 0.141),
    ("offset", 0.0, 1.0, 14.1),
)

# A sum lets one figure make up for another; how large the lungs are and where they lie must each be possible.
_PLACED = [FIGURES.index(name) for name in ("share", "across", "down", "width", "height")]
_MOST = 5.0  # spreads
_CENTRE, _SPREAD, _WEIGHT = np.array([row[1:] for row in _FITTED[:-1]], np.float32).T
_OFFSET = _FITTED[-1][3]
_OF = np.array([[name.startswith(own) for name in FIGURES] for _, own in _REASONS], np.float32)


def figures(probabilities: NDArray[np.float32], levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the gate looks at, ``float32 [53]``: `FIGURES`, then 6 x 3 cells of probability and 6 x 3 of grey.

    The cells tile a frame around the centre of the lung, 2.4 standard deviations to each side, row by row from the top;
    its right half is folded onto the left one, so that the third column is the middle. Greys are ranks in [0, 1]: they
    do not know the exposure.

    Args:
        probabilities: ``float32 [64, 64]`` of the lung locator; not all of them 0.
        levels: ``uint8 [64, 64]``, the picture they were found on.
    """
    count = np.bincount(levels.ravel(), minlength=256)
    rank = ((count.cumsum() - count / 2) / levels.size).astype(np.float32)[levels]
    columns, rows = probabilities.sum(0), probabilities.sum(1)
    total = max(float(columns.sum()), 1e-6)
    share = total / levels.size
    across, down = float(columns @ _AT) / total, float(rows @ _AT) / total
    width = max(float(columns @ (_AT - across) ** 2) / total, 1e-4) ** 0.5
    height = max(float(rows @ (_AT - down) ** 2) / total, 1e-4) ** 0.5
    sure = float(np.vdot(probabilities, probabilities)) / total
    unsure = float(np.count_nonzero(np.abs(probabilities - np.float32(0.5)) < 0.3)) / (total + 0.02 * levels.size)
    x = np.clip((across + _GRID * width) * SIDE, 0, SIDE - 1).astype(np.intp)
    y = np.clip((down + _GRID * height) * SIDE, 0, SIDE - 1).astype(np.intp)
    places = y[:, None] * SIDE + x
    inner = np.stack([probabilities.ravel()[places], rank.ravel()[places]])
    cells = inner.reshape(2, _CELLS, 2, _CELLS, 2).mean((2, 4))
    uneven = np.abs(cells - cells[:, :, ::-1]).mean((1, 2))
    half = _CELLS // 2
    folded = (cells[:, :, :half] + cells[:, :, : half - 1 : -1]) / 2
    rough = float(np.abs(rank[:, 1:] - rank[:, :-1]).mean()), float(np.abs(rank[1:] - rank[:-1]).mean())
    sides = (float(rank[:, :_RIM].mean()) + float(rank[:, -_RIM:].mean())) / 2
    rim = float(rank[:_RIM].mean()), sides, float(rank[-_RIM:].mean())
    black = float(count[:_BLACK].sum()) / levels.size
    lung = (share, sure, unsure, across, down, width, height, width / height, share / (width * height))
    plain = (*lung, *rough, *rim, black)
    return np.concatenate([np.array(plain, np.float32), uneven, folded.ravel()]).astype(np.float32)


def deviations(probabilities: NDArray[np.float32], levels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """`figures` as spreads from the mean of radiographs, ``float32 [53]`` within 6; None of a picture without lungs.

    Args:
        probabilities: ``float32 [64, 64]``, what the lung locator says of the picture.
        levels: ``uint8 [64, 64]``, what it was said of (`lungs.squeezed`).
    """
    if float(probabilities.mean()) < LEAST:
        return None
    away: NDArray[np.float32] = np.clip((figures(probabilities, levels) - _CENTRE) / _SPREAD, -FAR, FAR).astype(
        np.float32
    )
    return away


def odds(away: NDArray[np.float32] | None) -> float:
    """How much a picture with these `deviations` looks like a chest radiograph: log odds against other pictures, above
    0 for one.
    """
    return -float("inf") if away is None else float((away * _WEIGHT).sum()) + _OFFSET


def reason(away: NDArray[np.float32] | None) -> str:
    """Why a picture with these `deviations` is no chest radiograph, in a few plain words; empty where it is one."""
    if away is None or np.abs(away[_PLACED]).max() > _MOST:
        return _REASONS[0][0]
    if odds(away) > 0:
        return ""
    return _REASONS[int(np.argmin(_OF @ (away * _WEIGHT)))][0]


def plausibility(probabilities: NDArray[np.float32], levels: NDArray[np.uint8]) -> float:
    """`odds` of a picture ``uint8 [64, 64]`` and what the lung locator says of it, ``float32 [64, 64]``."""
    return odds(deviations(probabilities, levels))


def doubt_of(probabilities: NDArray[np.float32], levels: NDArray[np.uint8]) -> str:
    """`reason` of a picture ``uint8 [64, 64]`` and what the lung locator says of it, ``float32 [64, 64]``."""
    return reason(deviations(probabilities, levels))


def doubt(pixels: NDArray[np.float32]) -> str:
    """Why a grey picture ``float32 [rows, columns]`` in [0, 1] is no chest radiograph; empty where it is one.

    Raises:
        UntrustedBundle: the network that finds the lungs is missing or is not the one shipped.
    """
    levels = squeezed(pixels)
    # the network's own squeezing leaves a picture of its size as it is
    return doubt_of(probabilities(levels.astype(np.float32) / np.float32(255)), levels)
