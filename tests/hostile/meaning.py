"""Files without fault that show no upright frontal chest radiograph: refused with the gate's reason, or referred."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import corpus
import numpy as np
from numpy.typing import NDArray

from .case import ANSWER, GATE, Case, chest, deep, files_sent

FAMILY = "meaning"


def cases(seed: int) -> list[Case]:
    """The family ``meaning``."""
    told = [(f"shows {name}", make, (*GATE, "blank")) for name, make in _others(seed)]
    told += [(f"shows {name}", make, GATE) for name, make in _chests()]
    told += [(f"blank: {name}", make, "blank") for name, make in _blank()]
    return files_sent(FAMILY, told, seed) + _read(seed)


def _drawn(draw: Callable[[np.random.Generator], NDArray[np.float32]], seed: int) -> bytes:
    plane = draw(np.random.default_rng((11, seed)))
    return corpus.saved(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8))


def _others(seed: int) -> list[tuple[str, Callable[[], bytes]]]:
    """What `benchmarks/other_pictures.py` draws: the gate's own measure is there, these are spot checks."""
    import other_pictures as other

    kinds = {name: draw for name, draw in (other.KNOWN | other.NEVER_SEEN).items() if name != "blank and slopes"}
    drawn = [(name, partial(_drawn, draw, seed)) for name, draw in kinds.items()]
    return [*drawn, ("a cat", _cat), ("stripes", _stripes), ("a checkerboard", _board), ("grain", _grain)]


def _cat() -> bytes:
    """A cat's face: two ears, two eyes, whiskers."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (320, 300), (90, 140, 200))
    pen = ImageDraw.Draw(image)
    for ear in ([(70, 120), (85, 20), (150, 80)], [(250, 120), (235, 20), (170, 80)]):
        pen.polygon(ear, fill=(200, 120, 40))
    pen.ellipse((60, 60, 260, 270), fill=(210, 130, 50))
    for x in (115, 175):
        pen.ellipse((x, 130, x + 32, 165), fill=(250, 250, 120))
        pen.ellipse((x + 12, 132, x + 20, 163), fill=(0, 0, 0))
    pen.polygon([(150, 190), (172, 190), (161, 205)], fill=(240, 120, 130))
    for y in (195, 205, 215):
        pen.line((40, y - 5, 140, y), fill=(255, 255, 255))
        pen.line((182, y, 282, y - 5), fill=(255, 255, 255))
    return corpus.saved(np.asarray(image), "JPEG")


def _stripes() -> bytes:
    return corpus.saved(np.tile(np.repeat(np.array([0, 255], np.uint8), 16), (256, 8)))


def _board() -> bytes:
    return corpus.saved((np.indices((256, 256)) // 32).sum(0).astype(np.uint8) % 2 * 255)


def _grain() -> bytes:
    return corpus.saved(np.random.default_rng(12).integers(0, 256, (256, 256), np.uint8))


def _chests() -> list[tuple[str, Callable[[], bytes]]]:
    """Chests as they should not come."""
    plain = chest()

    def turned(times: int) -> bytes:
        return corpus.saved(np.rot90(plain, times).copy())

    lateral = partial(corpus.dicom, deep(), ViewPosition="LL")
    return [
        ("a chest, inverted", lambda: corpus.saved(255 - plain)),
        ("a chest, inverted, as JPEG", lambda: corpus.saved(255 - plain, "JPEG", quality=95)),
        ("a chest on its left side", partial(turned, 1)),
        ("a chest on its right side", partial(turned, 3)),
        ("a chest upside down", partial(turned, 2)),
        ("a chest from the side, as its header says", lateral),
        ("a chest of two chests", lambda: corpus.saved(np.hstack([plain, 255 - plain]))),
        ("a chest too small to see", lambda: corpus.saved(np.pad(plain[::16, ::16], 200))),
        ("a chest in its corner", lambda: corpus.saved(plain[:70, :70].copy())),
    ]


def _blank() -> list[tuple[str, Callable[[], bytes]]]:
    flat = [(f"all {level}", partial(corpus.saved, np.full((200, 180), level, np.uint8))) for level in (0, 1, 128, 255)]
    deep_flat = [(f"DICOM, all {n}", partial(corpus.dicom, np.full((64, 64), n))) for n in (0, 2048, 4095)]
    return [*flat, *deep_flat]


def _read(seed: int) -> list[Case]:
    """Chests that must not be refused, so that a gate which refuses everything fails here."""
    told = [(f"shows an honest chest, {n}", partial(_honest, n), ANSWER) for n in (1, 3, 7, 11)]
    told.append(("shows an honest chest as MONOCHROME1", _negative, ANSWER))
    return files_sent("honest", told, seed)


def _honest(patient: int) -> bytes:
    return corpus.saved(chest(256, patient))


def _negative() -> bytes:
    return corpus.dicom(4095 - deep(), photometric="MONOCHROME1")
