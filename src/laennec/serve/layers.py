"""Pictures of an answer for a screen: the radiograph, its lungs and where the model looked, as PNG of one size."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec import explaining, masks, overlays, saliency
from laennec.bundle import Bundle
from laennec.images.shown import View
from laennec.results import Prediction

Layer = Literal["picture", "lungs", "map"]
_FINE = 768  # pixels of the longest side that an outline is drawn on at least: on fewer it is a staircase
LAYERS: tuple[Layer, ...] = ("picture", "lungs", "map")


def layers(view: View, answer: Prediction, bundle: Bundle, wanted: tuple[Layer, ...]) -> dict[str, Any]:
    """The layers wanted as data URLs in ``layers``, None for one that cannot be had, and what is to be said of them.

    Lungs are the bundle's own where it outlines them (``lungs_by`` is ``model``), else those that the network which
    frames pictures finds (``frame``; None where neither does). ``map_inside_lungs`` is the share of the heat that lies
    inside them.

    Args:
        view: of the same file as the answer.
    """
    right, left = _lungs(view, answer, bundle)
    lung = right | left
    by = None if not lung.any() else "model" if answer.mask is not None else "frame"
    made: dict[str, str | None] = {}
    inside: float | None = None
    for name in wanted:
        if name == "picture":
            made[name] = _url(_grey_png(view.grey))
        elif name == "lungs":
            made[name] = _url(overlays.outline_layer(right, left, _FINE)) if by else None
        else:
            heat = _heat(view, answer, bundle)
            made[name] = None if heat is None else _url(overlays.heat_layer(heat))
            if heat is not None and by and heat.sum() > 0:
                inside = round(float(heat[lung].sum() / heat.sum()), 3)
    return {"layers": made, "lungs_by": by, "map_inside_lungs": inside}


def _lungs(view: View, answer: Prediction, bundle: Bundle) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    card, shape = bundle.card, (view.grey.shape[0], view.grey.shape[1])
    lung = view.lungs
    if card.outline is not None and answer.mask is not None:
        lung = masks.placed(answer.mask, shape, card.preprocess.resize) >= masks.level(card.outline)
    right, left = masks.parted(lung)
    return (left, right) if answer.image.get("mirrored") else (right, left)


def _heat(view: View, answer: Prediction, bundle: Bundle) -> NDArray[np.float32] | None:
    if answer.map is None:
        return None
    preprocess = bundle.card.preprocess
    (heat,) = explaining.heated(answer.map[np.newaxis], preprocess.size)
    shape = (view.grey.shape[0], view.grey.shape[1])
    return saliency.onto(heat, answer.image, preprocess, shape)


def _grey_png(grey: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
