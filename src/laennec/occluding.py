"""Parts of pictures taken out: what lies in the lungs, at the border, in a corner, or looks like text.

Pictures are ``uint8 [n, size, size]``, holes ``bool [n, size, size]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laennec.errors import extra

Pixels = NDArray[np.uint8]
Flags = NDArray[np.bool_]

BORDER, CORNER = 0.1, 0.2  # share of the side
COMMON = 0.95  # share of all lung that the common place holds


def grown(mask: Flags, by: float) -> Flags:
    """Masks ``[n, size, size]`` grown on all sides by a share of the side, corners square."""
    wide = mask
    for axis in (1, 2):
        reached = wide.copy()
        for step in range(1, round(by * mask.shape[1]) + 1):
            near, far = (slice(None),) * axis + (slice(step, None),), (slice(None),) * axis + (slice(None, -step),)
            reached[near] |= wide[far]
            reached[far] |= wide[near]
        wide = reached
    return wide


def common(masks: Flags, share: float) -> Flags:
    """The fewest pixels ``[size, size]`` that hold a share in (0, 1] of what is masked in all pictures together."""
    often = masks.mean(0)
    order = np.argsort(-often, axis=None, kind="stable")
    held = often.ravel()[order].cumsum()
    found = np.zeros(often.size, np.bool_)
    found[order[: int(np.searchsorted(held, share * held[-1])) + 1]] = True
    return found.reshape(often.shape)


def filled(pixels: Pixels, hole: Flags, level: NDArray[np.float64] | float) -> Pixels:
    """Pictures with a grey in their holes: one for all, or ``[n]`` of one for each, in [0, 255]."""
    paint = np.rint(np.broadcast_to(np.asarray(level, np.float64), len(pixels))).astype(np.uint8)
    return np.where(hole, paint[:, None, None], pixels)


def mean_grey(pixels: Pixels, where: Flags) -> NDArray[np.float64]:
    """Mean grey of each picture where it is asked for, in [0, 255]; 0 where that is nowhere."""
    mean: NDArray[np.float64] = np.where(where, pixels, 0).sum((1, 2)) / np.maximum(where.sum((1, 2)), 1)
    return mean


def by_lungs(pixels: Pixels, lungs: Flags, margin: float) -> dict[str, Pixels]:
    """Pictures without the lungs, and pictures of the lungs alone.

    ``lungs_out`` has black in their place, ``lungs_out_grey`` the mean grey of what lies around; ``lungs_out_common``
    has black in one place for all, which holds 95 % of all lung; ``lungs_only`` has black around them,
    ``lungs_only_grey`` the mean grey of lungs. ``silhouette_out`` and ``silhouette`` show nothing but the outline:
    black lungs on grey, and grey lungs on black. Greys are means over all pictures: a picture's own would tell, around
    the lungs, what is in them.

    Args:
        margin: by which the lungs are grown, share of the side; the common place is not.
    """
    wide = grown(lungs, margin)
    inside, around = (float(mean_grey(pixels, where).mean()) for where in (wide, ~wide))
    return {
        "lungs_out": filled(pixels, wide, 0),
        "lungs_out_grey": filled(pixels, wide, around),
        "lungs_out_common": filled(pixels, np.broadcast_to(common(lungs, COMMON), wide.shape), 0),
        "silhouette_out": filled(np.full_like(pixels, round(around)), wide, 0),
        "lungs_only": filled(pixels, ~wide, 0),
        "lungs_only_grey": filled(pixels, ~wide, inside),
        "silhouette": filled(np.full_like(pixels, round(inside)), ~wide, 0),
    }


def border(side: int) -> Flags:
    """The outermost pixels ``[size, size]``, a tenth of the side deep."""
    width = max(1, round(BORDER * side))
    found = np.ones((side, side), np.bool_)
    found[width:-width, width:-width] = False
    return found


def places(side: int) -> dict[tuple[str, str], Flags]:
    """Four corners and the four edges between them, ``[size, size]`` each, by their names in English and French.

    A corner is a fifth of the side, where side markers are put; an edge is a tenth deep.
    """
    corner, edge = max(1, round(CORNER * side)), max(1, round(BORDER * side))
    near, middle, far = slice(0, corner), slice(corner, side - corner), slice(side - corner, side)
    cuts = {
        ("top left corner", "le coin supérieur gauche"): (near, near),
        ("top right corner", "le coin supérieur droit"): (near, far),
        ("bottom left corner", "le coin inférieur gauche"): (far, near),
        ("bottom right corner", "le coin inférieur droit"): (far, far),
        ("top edge", "le bord supérieur"): (slice(0, edge), middle),
        ("bottom edge", "le bord inférieur"): (slice(side - edge, side), middle),
        ("left edge", "le bord gauche"): (middle, slice(0, edge)),
        ("right edge", "le bord droit"): (middle, slice(side - edge, side)),
    }
    found = {}
    for name, cut in cuts.items():
        found[name] = np.zeros((side, side), np.bool_)
        found[name][cut] = True
    return found


def _stroke(side: int) -> int:
    """Widest stroke of a glyph, pixels: a marker of a few centimetres has strokes of a few millimetres."""
    return max(3, side // 16) | 1


def glyphs(pixels: Pixels, lungs: Flags) -> Flags:
    """Bright thin structures of small extent on dark ground outside the lungs: text, side markers, electrodes.

    The white top-hat (Meyer 1979; Serra 1982) keeps what is brighter than its surroundings and narrower than a stroke.
    A mark stands out by a quarter of the grey range and is three times as bright as its ground, which bone in soft
    tissue seldom is; a connected piece holds three pixels or more, is no wider or higher than an eighth of the picture,
    and does not touch its edge. Ends of bones over air are sometimes taken for marks all the same.

    Args:
        lungs: where nothing is taken for a mark.
    """
    with extra("eval"):
        from scipy import ndimage

    side = pixels.shape[1]
    found = np.zeros(pixels.shape, np.bool_)
    for row, picture in enumerate(pixels):
        ground = np.minimum(ndimage.grey_opening(picture, size=(_stroke(side),) * 2), picture)
        pieces, count = ndimage.label(
            (picture - ground >= 64) & (picture // 3 >= ground) & ~lungs[row], np.ones((3, 3))
        )
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        for number, (down, across) in enumerate(ndimage.find_objects(pieces), 1):
            extent = max(down.stop - down.start, across.stop - across.start)
            inside = min(down.start, across.start) > 0 and max(down.stop, across.stop) < side
            if inside and sizes[number] >= 3 and extent <= side / 8:
                found[row] |= pieces == number
    return grown(found, 1 / side)


def without_glyphs(pixels: Pixels, marks: Flags) -> Pixels:
    """Glyphs painted over with what surrounds them: the morphological opening, wider by the rim of each glyph."""
    with extra("eval"):
        from scipy import ndimage

    width = _stroke(pixels.shape[1]) + 2
    rows = np.flatnonzero(marks.any((1, 2)))
    plain = pixels.copy()
    for row in rows:
        plain[row] = np.where(marks[row], ndimage.grey_opening(pixels[row], size=(width, width)), pixels[row])
    return plain
