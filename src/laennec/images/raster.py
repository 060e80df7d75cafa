"""JPEG and PNG to grey.

Colour becomes luminance by the Rec. 601 weights in integers, so that a grey picture saved as colour keeps its exact
values. Transparency is composed on black. A 16-bit grey PNG keeps its 16 bits; 16-bit colour is read at 8. Colour
profiles and gamma are ignored: radiographs in these formats are written for the screen as they are.

A JPEG may be decoded at a reduced scale: the decoder leaves out the higher frequencies of each block of 8 x 8 pixels,
so that a picture at 1/4 costs a fraction of the whole. Its luminance is then read as the file holds it, which for a
grey picture saved as colour is the same value.

`done` holds besides the keys of every picture: ``mode`` (Pillow's name for the pixel type), ``colour`` ("none",
"luminance"), ``alpha`` (true when transparency was composed), ``orientation`` (the EXIF number, 1 to 8, applied); where
a reduced scale was allowed, ``scale`` (1, 2, 4 or 8: by how much each side was reduced; ``width`` and ``height`` are
those of the picture as decoded).
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from laennec.errors import ImageError
from laennec.images import headers
from laennec.images.headers import Codestream, corrupt
from laennec.images.picture import Done, Limits, Picture

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_ROWS = 64  # at a time


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a declared size that is nil or over the limit.

    Raises:
        ImageError: ``corrupt_image`` or ``too_large``.
    """
    if width <= 0 or height <= 0:
        raise corrupt("the image declares no pixels")
    if width * height > limits.max_pixels:
        raise ImageError(
            "too_large",
            f"the image declares {width} x {height} pixels, more than {limits.max_pixels:,}",
            "export it at a lower resolution, or raise the limit",
        )


def read_raster(data: bytes, kind: str, limits: Limits, least: int | None = None) -> Picture:
    """The picture in the bytes of a JPEG or PNG file; `kind` is ``"JPEG"`` or ``"PNG"``.

    With `least` a JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which both sides have at least
    that many pixels, and its luminance alone.

    Raises:
        ImageError: ``corrupt_image``, ``too_large``, ``many_frames``, ``unsupported_type`` (a JPEG of 12 bits, a
            lossless JPEG or JPEG-LS outside DICOM).
    """
    said = headers.png(data) if kind == "PNG" else headers.jpeg(data)
    check_size(said.width, said.height, limits)
    if said.frames > limits.max_frames:
        raise ImageError("many_frames", "the PNG is animated", "save one frame")
    if kind == "JPEG" and (said.bits != 8 or said.kind in (0xC3, 0xF7)):
        raise ImageError("unsupported_type", f"a JPEG of {said.bits} bits or coded without loss", "save it as PNG")
    try:
        return _decode(data, kind, said, least if kind == "JPEG" else None)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("too_large", "there is not enough memory to decode the image") from error
    except Exception as error:  # Pillow's plugins raise whatever the broken byte leads to
        raise corrupt(f"the {kind} is truncated or damaged") from error


def _decode(data: bytes, kind: str, said: Codestream, least: int | None) -> Picture:
    # the plugin's class itself, not Image.open: no other format is tried, no size limit but ours applies
    plugin = PngImagePlugin.PngImageFile if kind == "PNG" else JpegImagePlugin.JpegImageFile
    image: Image.Image = plugin(io.BytesIO(data))
    if image.size != (said.width, said.height):
        raise corrupt(f"the {kind} declares two sizes")
    done: Done = {"format": kind, "bits": said.bits, "mode": image.mode, "photometric": image.mode, "inverted": False}
    done |= {"colour": "none", "alpha": False, "orientation": 1}
    draft = None
    if least is not None:
        done["scale"] = scale = _scale(said, least)
        done["colour"] = "luminance" if image.mode == "RGB" else "none"
        draft = said.width // scale, said.height // scale
        image.draft("L", draft)
    image.load()
    if _ends_early(image, data, kind, draft):
        raise corrupt(f"the {kind} holds fewer rows than it declares")
    turn = _orientation(image)
    pixels = _grey(image, turn, done)
    height, width = pixels.shape
    return Picture(pixels, done | {"width": width, "height": height, "orientation": turn})


def _ends_early(image: Image.Image, data: bytes, kind: str, draft: tuple[int, int] | None) -> bool:
    """Whether the file ends properly, but before its picture does: the decoders fill up in silence.

    A PNG is then black to its end, a JPEG mid-grey; only where it is, the file is looked at again.
    """
    width, height = image.size
    if kind == "PNG":
        last = np.asarray(image.crop((0, max(0, height - 2), width, height)))
        return not last.reshape(len(last), -1).any(1).all() and not headers.png_is_whole(data)
    if image.getpixel((width - 1, height - 1)) not in (128, (128, 128, 128)):
        return False
    again = JpegImagePlugin.JpegImageFile(io.BytesIO(headers.with_noise(data)))
    if draft is not None:
        again.draft("L", draft)
    return image.tobytes() != again.tobytes()


def _scale(said: Codestream, least: int) -> int:
    """How many pixels of each side may become one, 1, 2, 4 or 8, if both sides are to keep `least`."""
    return next((n for n in (8, 4, 2) if -(-min(said.width, said.height) // n) >= least), 1)


def _orientation(image: Image.Image) -> int:
    try:
        turn = image.getexif().get(0x0112, 1)
    except Exception:  # a damaged annotation does not damage the pixels
        return 1
    return turn if isinstance(turn, int) and turn in _TURN else 1


def _grey(image: Image.Image, turn: int, done: Done) -> NDArray[np.float32]:
    clear = "transparency" in image.info
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if clear or image.mode == "PA" else "RGB")
    elif image.mode == "CMYK":
        image = image.convert("RGB")
    elif image.mode in ("RGB", "L") and clear:
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    if turn in _TURN:
        image = image.transpose(_TURN[turn])
    if image.mode.startswith("I"):
        # Ten to fifteen bits travel in sixteen without the file saying so: the highest bit in use tells the range.
        stored = np.asarray(image)
        done["range"] = 2 ** max(8, int(stored.max()).bit_length()) - 1
        deep: NDArray[np.float32] = np.divide(stored, done["range"], dtype=np.float32)
        return deep
    clear = image.mode in ("LA", "RGBA") and image.getextrema()[-1][0] < 255  # type: ignore[index]
    mask = image.getchannel("A") if clear else None
    if image.mode in ("RGB", "RGBA"):
        done["colour"] = "luminance"
    if image.mode != "L":
        whole, image = image, image.convert("L")
        whole.close()  # its caller still holds it: up to 100 MB
    pixels: NDArray[np.float32] = np.divide(np.asarray(image), 255, dtype=np.float32)
    if mask is not None:
        done["alpha"], alpha = True, np.asarray(mask)
        for at in range(0, len(pixels), _ROWS):
            pixels[at : at + _ROWS] *= np.divide(alpha[at : at + _ROWS], 255, dtype=np.float32)
    return pixels
