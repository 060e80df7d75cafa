"""Features of a picture: trivial ones, that need no look at it as a radiograph, and shapes around its lungs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.images import Header
from laennec.images.lungs import lungs_of
from laennec.wording import Text

Floats = NDArray[np.float64]

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_RIM = 1 / 32  # width of the border, share of the side
_FRAME, _CELL, _DIRECTIONS = 48, 8, 8  # side of the frame around the lungs, of a cell of it; directions of gradients
_MARGIN = 0.05  # around the lungs, share of their box
_FORMATS = ("JPEG", "PNG", "DICOM")

INTENSITY = (
    "mean",
    "deviation",
    *(f"percentile {p}" for p in _PERCENTILES),
    "skewness",
    "kurtosis",
    "entropy",
    "black",
    "white",
    "sharpness",
)
BORDER = ("top", "bottom", "left", "right", "border deviation", "corners")
FILE = ("width", "height", "aspect", "bytes", "bytes per pixel", "format", "bits", "channels")
NAMES = (*INTENSITY, *BORDER, *FILE)

_PLAIN = {
    "mean": ("mean grey", "gris moyen"),
    "deviation": ("deviation of the greys", "écart type des gris"),
    **{f"percentile {p}": (f"percentile {p} of the greys", f"centile {p} des gris") for p in _PERCENTILES},
    "skewness": ("skewness of the greys", "asymétrie des gris"),
    "kurtosis": ("kurtosis of the greys", "aplatissement des gris"),
    "entropy": ("entropy of the greys", "entropie des gris"),
    "black": ("share of black pixels", "part de pixels noirs"),
    "white": ("share of white pixels", "part de pixels blancs"),
    "sharpness": ("mean step between neighbouring pixels", "écart moyen entre pixels voisins"),
    "top": ("mean of the upper border", "moyenne du bord supérieur"),
    "bottom": ("mean of the lower border", "moyenne du bord inférieur"),
    "left": ("mean of the left border", "moyenne du bord gauche"),
    "right": ("mean of the right border", "moyenne du bord droit"),
    "border deviation": ("deviation of the border", "écart type des bords"),
    "corners": ("mean of the corners", "moyenne des coins"),
    "width": ("width in pixels", "largeur en pixels"),
    "height": ("height in pixels", "hauteur en pixels"),
    "aspect": ("width over height", "rapport largeur sur hauteur"),
    "bytes": ("size of the file", "taille du fichier"),
    "bytes per pixel": ("bytes per pixel", "octets par pixel"),
    "format": ("format of the file", "format du fichier"),
    "bits": ("bits per sample", "bits par échantillon"),
    "channels": ("channels", "canaux"),
}


def plain(name: str) -> Text:
    """A feature of `NAMES` in words."""
    en, fr = _PLAIN[name]
    return Text(en=en, fr=fr)


def of_pictures(pixels: NDArray[np.uint8]) -> Floats:
    """Statistics of greys, ``[n, len(INTENSITY) + len(BORDER)]``, in that order.

    Greys count in [0, 1], entropy in bits, skewness and excess kurtosis in standard deviations; black is below 8 of
    255, white above 247; sharpness is the mean absolute difference to the neighbour on the right and below. The border
    is a 32nd of the side wide, a corner is a square of that side.

    Args:
        pixels: ``uint8 [n, side, side]``, side 32 or more.
    """
    return np.stack([_of_picture(one) for one in pixels]) if len(pixels) else np.zeros((0, len(INTENSITY + BORDER)))


def _of_picture(pixels: NDArray[np.uint8]) -> Floats:
    share = np.bincount(pixels.ravel(), minlength=256) / pixels.size
    grey = np.arange(256) / 255
    mean = share @ grey
    away = grey - mean
    deviation = np.sqrt(share @ away**2)
    shape = away / np.maximum(deviation, 1e-6)
    below = share.cumsum()
    percentiles = [np.searchsorted(below, p / 100) / 255 for p in _PERCENTILES]
    seen = share[share > 0]
    signed = pixels.astype(np.int16)
    sharp = (np.abs(np.diff(signed, axis=0)).mean() + np.abs(np.diff(signed, axis=1)).mean()) / 2 / 255
    w = max(1, round(pixels.shape[0] * _RIM))
    sides = pixels[:w], pixels[-w:], pixels[:, :w], pixels[:, -w:]
    rim = np.concatenate([side.ravel() for side in sides])
    corners = [pixels[rows, columns].mean() for rows in (np.s_[:w], np.s_[-w:]) for columns in (np.s_[:w], np.s_[-w:])]
    return np.array(
        [
            mean, deviation, *percentiles, share @ shape**3, share @ shape**4 - 3, -(seen @ np.log2(seen)),
            below[7], 1 - below[247], sharp, *(side.mean() / 255 for side in sides), rim.std() / 255,
            np.mean(corners) / 255,
        ]
    )  # fmt: skip


def of_files(headers: Sequence[Header | None]) -> Floats:
    """What files say of themselves, ``[n, len(FILE)]`` in that order; NaN for a file that cannot be read."""
    rows = [
        (
            h.width, h.height, h.width / h.height, h.bytes, h.bytes / (h.width * h.height),
            _FORMATS.index(h.format) if h.format in _FORMATS else len(_FORMATS), h.bits, h.channels,
        ) if h and h.width and h.height else (np.nan,) * len(FILE)
        for h in headers
    ]  # fmt: skip
    return np.array(rows, np.float64).reshape(len(rows), len(FILE))


def of_lungs(pixels: NDArray[np.uint8], lungs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shapes in the frame around the lungs, ``float32 [n, 864]``: histograms of gradient directions, and small greys.

    The frame is brought to 48 x 48 and its greys to their ranks, so that the exposure does not count: 8 directions in
    6 x 6 cells (after Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177, without their blocks), then 24 x 24 ranks in
    [0, 1]. Where no lungs are found the frame is the whole picture.

    Args:
        pixels: ``uint8 [n, side, side]``.
        lungs: probability of lung ``[n, 64, 64]`` over each.
    """
    rows = [_of_lungs(one, own) for one, own in zip(pixels, lungs, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, _DIRECTIONS * 36 + 576), np.float32)


def _of_lungs(pixels: NDArray[np.uint8], lungs: NDArray[np.float32]) -> NDArray[np.float32]:
    left, top, right, bottom = lungs_of(lungs).box
    across, down, side = (right - left) * _MARGIN, (bottom - top) * _MARGIN, pixels.shape[0]
    edges = max(0.0, left - across), max(0.0, top - down), min(1.0, right + across), min(1.0, bottom + down)
    box = tuple(edge * side for edge in edges)
    framed = Image.fromarray(pixels).resize((_FRAME, _FRAME), Image.Resampling.BILINEAR, box=box)
    levels = np.asarray(framed)
    count = np.bincount(levels.ravel(), minlength=256)
    rank = ((count.cumsum() - count / 2) / levels.size).astype(np.float32)[levels]
    y, x = np.gradient(rank)
    direction = np.minimum((np.arctan2(y, x) % np.pi) / np.pi * _DIRECTIONS, _DIRECTIONS - 1).astype(np.intp)
    each = np.zeros((_DIRECTIONS, _FRAME, _FRAME), np.float32)
    np.put_along_axis(each, direction[None], np.hypot(x, y)[None], 0)
    cells = _FRAME // _CELL
    edges_in = each.reshape(_DIRECTIONS, cells, _CELL, cells, _CELL).sum((2, 4))
    greys = rank.reshape(_FRAME // 2, 2, _FRAME // 2, 2).mean((1, 3))
    return np.concatenate([np.sqrt(edges_in).ravel(), greys.ravel()]).astype(np.float32)
