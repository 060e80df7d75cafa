"""A lung mask's file to the truth on the model's grid.

A truth covers what its image shows. What of a file is lung:

- a PNG of at most four grey values (0 and 1, 0 and 255, a number for each lung, a palette, colour): what is not zero;
- any other PNG (soft edges) and every JPEG: what is brighter than half the range. The file is refused where nothing is
  that bright though not all is zero, or where over two fifths of what is brighter than a quarter of the range is not
  brighter than three quarters: a radiograph, or lungs marked by different greys. The edges of a mask that was made
  smaller or larger, or saved as JPEG, are less: a quarter on a grid of 32 pixels, a tenth on one of 64.

A mask that calls every pixel lung is refused too. One that calls none lung is a truth: no lung is seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import ImageError
from laennec.images.headers import looks_like
from laennec.images.picture import Done, Limits, Picture
from laennec.images.read import read
from laennec.images.resize import to_input
from laennec.preprocess import Preprocess

ASPECT = 0.02  # share by which a mask's width over height may differ from its image's
_DEFAULT = Limits()
_FEW = 4  # grey values: background and up to three marks
_WHITE = 65535
_GREY = 0.4  # share of medium greys that no mask's edges reach
_HEAD = 4096  # bytes that tell what a file is
_ON_ITS_SIDE = {5, 6, 7, 8}  # EXIF orientations that exchange width and height


def load_truth(
    mask: Path, image: Path, preprocess: Preprocess, limits: Limits = _DEFAULT
) -> tuple[NDArray[np.uint8], Done]:
    """The truth ``uint8 [size, size]`` in the file `mask`, and what was done to that file (as `Picture.done`).

    255 is lung; at the edges the level is the share of the pixel that is lung, so that from 128 on it is mostly lung.
    Only `size` and `resize` of `preprocess` count. The truth lies where `to_input` places the image: where the aspects
    differ a little, by rounding, the mask is first stretched to the image's shape. The shape is read from the header
    of a JPEG or PNG; of a DICOM file, or one that cannot be read, the mask's own is taken.

    Raises:
        ImageError: as `read` for the mask's file; ``unsupported_type`` for one in DICOM; ``not_mask`` when it is no
            mask; ``mask_mismatch`` when its aspect differs from the image's by more than `ASPECT`.
    """
    try:
        picture = _picture(mask, limits)
        lung = _lung(picture)
        plane = _like(lung.astype(np.float32), _shape(image, limits), preprocess)
    except ImageError as error:
        raise ImageError(error.code, f"lung mask: {error.message}", error.hint) from error
    return to_input(plane, Preprocess(size=preprocess.size, resize=preprocess.resize)), picture.done


def read_truth(mask: Path, limits: Limits = _DEFAULT) -> NDArray[np.bool_]:
    """What the file `mask` marks as lung, ``bool [rows, columns]`` on its own grid.

    Raises:
        ImageError: as `load_truth`, but that no image is asked for its shape.
    """
    try:
        return _lung(_picture(mask, limits))
    except ImageError as error:
        raise ImageError(error.code, f"lung mask: {error.message}", error.hint) from error


def _picture(mask: Path, limits: Limits) -> Picture:
    try:
        with mask.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        head = b""  # read says why
    if looks_like(head) == "DICOM":
        raise ImageError("unsupported_type", "a DICOM file is not read as a mask", "save it as PNG")
    return read(mask, limits)


def _lung(picture: Picture) -> NDArray[np.bool_]:
    """``bool [rows, columns]``; see the module."""
    levels = np.rint(picture.pixels * np.float32(_WHITE)).astype(np.uint16)
    count = np.bincount(levels.ravel(), minlength=_WHITE + 1)
    least = 1
    if picture.done["format"] != "PNG" or np.count_nonzero(count) > _FEW:
        least = _WHITE // 2 + 1
        quarter = _WHITE // 4
        bright, light, medium = count[least:].sum(), count[quarter:].sum(), count[quarter : 3 * quarter].sum()
        if (not bright and count[1:].any()) or medium > _GREY * light:
            raise ImageError("not_mask", "it holds many greys, not black and white", "save it as PNG of 0 and 255")
    lung: NDArray[np.bool_] = levels >= least
    if lung.all():
        raise ImageError("not_mask", "it marks every pixel of the image as lung", "save it with 0 outside the lungs")
    return lung


def _like(plane: NDArray[np.float32], shape: tuple[int, int] | None, preprocess: Preprocess) -> NDArray[np.float32]:
    """The plane, of the aspect of `shape` (rows, columns) if that is known and matters."""
    if shape is None:
        return plane
    (rows, columns), (high, wide) = plane.shape, shape
    if abs(columns * high - rows * wide) > ASPECT * rows * wide:
        raise ImageError(
            "mask_mismatch",
            f"it has {columns} x {rows} pixels, the image {wide} x {high}: not the same framing",
            "give a mask of the whole image, in its proportions",
        )
    # the central square of an odd remainder depends on the number of pixels, not on the aspect alone
    same = plane.shape == shape if preprocess.resize == "crop" else columns * high == rows * wide
    if preprocess.resize == "stretch" or same:
        return plane
    return np.asarray(Image.fromarray(plane).resize((wide, high), Image.Resampling.BILINEAR))


def _shape(image: Path, limits: Limits) -> tuple[int, int] | None:
    """Rows and columns of a JPEG or PNG, upright, from its header; None of anything else."""
    from PIL import JpegImagePlugin, PngImagePlugin

    try:
        if not image.is_file():
            return None
        with image.open("rb") as stream:
            kind = looks_like(stream.read(_HEAD))
            stream.seek(0)
            if kind == "PNG":
                header: Image.Image = PngImagePlugin.PngImageFile(stream)
                # asked for annotations it did not meet before the pixels, it would decode these
                turn = header.getexif().get(0x0112) if "exif" in header.info else 1
            elif kind == "JPEG":
                header = JpegImagePlugin.JpegImageFile(stream)
                turn = header.getexif().get(0x0112)
            else:
                return None
            wide, high = header.size
    except Exception:  # a damaged image is refused where it is read, with its own reason
        return None
    if not 0 < wide * high <= limits.max_pixels:
        return None
    return (wide, high) if turn in _ON_ITS_SIDE else (high, wide)
