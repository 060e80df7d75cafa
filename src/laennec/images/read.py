"""The one way in: a file or bytes to a grey picture. Magic bytes decide what it is, never its name."""

from __future__ import annotations

import stat
from pathlib import Path

from laennec.errors import ImageError, MissingExtra
from laennec.images.headers import corrupt, looks_like
from laennec.images.picture import Limits, Picture

_DEFAULT = Limits()


def _bytes_of(source: Path, limits: Limits) -> bytes:
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise ImageError("unsupported_type", "this is a folder or a device, not a file", "name the image itself")
        with source.open("rb") as stream:
            return stream.read(limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise ImageError("not_found", "there is no such file", "check the path") from error
    except (OSError, ValueError) as error:
        raise ImageError("not_found", "the file cannot be opened", "check the path and the permissions") from error


def read(source: Path | bytes, limits: Limits = _DEFAULT, least: int | None = None) -> Picture:
    """The picture in a JPEG, PNG or DICOM file, given by its path or its bytes.

    Args:
        source: a path, or the file's whole content.
        limits: what it may cost; checked before decoding.
        least: pixels that both sides must keep; a JPEG may then be decoded at a reduced scale (`read_raster`).

    Raises:
        ImageError: with code ``empty``, ``not_found``, ``unsupported_type``, ``corrupt_image``, ``too_large``,
            ``no_pixels``, ``many_frames``, ``unknown_syntax`` or ``not_radiograph``. The message quotes neither the
            path nor any value of the file's annotations.
        MissingExtra: a compressed DICOM needs the extra ``dicom``.
    """
    data = source if isinstance(source, bytes) else _bytes_of(source, limits)
    if not data:
        raise ImageError("empty", "the file is empty", "fetch or export it again")
    if len(data) > limits.max_bytes:
        raise ImageError("too_large", f"the file is larger than {limits.max_bytes:,} bytes", "export one image")
    kind = looks_like(data)
    if kind in ("JPEG", "PNG"):
        from laennec.images.raster import read_raster

        return read_raster(data, kind, limits, least)
    if kind != "DICOM":
        raise ImageError(
            "unsupported_type",
            f"this looks like {kind}, not like a radiograph" if kind != "unknown" else "the file is of no known type",
            "give a JPEG, a PNG or a DICOM file",
        )
    from laennec.images.dicom import read_dicom

    try:
        return read_dicom(data, limits)
    except (ImageError, MissingExtra):
        raise
    except MemoryError as error:
        raise ImageError("too_large", "there is not enough memory to decode the image") from error
    except Exception as error:  # decoders raise whatever the broken byte leads to
        raise corrupt("the DICOM file is damaged") from error
