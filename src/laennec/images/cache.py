"""Decoded images of a data set, or the truths in their lung masks, in one memory-mapped array, made once.

    <folder>/<key>/pixels.bin     uint8 [n, size, size], rows of the images that could be read, in order
    <folder>/<key>/header.json    shape, ids, refused, SHA-256 of pixels.bin

The key is a digest of the sample ids in their order, of each file's place, size and modification time, and of the part
of the preprocessing that decides pixels: another order, another file, another size is another array. For truths it
holds the same of each mask besides. A builder works in a folder of its own and renames it at the end; of two builders
the later one takes what the earlier one made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec import progress, storage
from laennec.errors import ImageError, LaennecError
from laennec.images.decoding import Answer, Decoders, What, cores, write_row
from laennec.images.picture import Done
from laennec.images.resize import load, load_lungs
from laennec.images.truth import load_truth
from laennec.preprocess import LOCATOR, Preprocess
from laennec.results import Refused
from laennec.samples import Sample

_PASSING = {"not_found", "timeout", "decoder_died"}  # refusals that say more of that day than of the image
_VERSION = 2  # raise it when reading, framing or resizing changes a pixel
_TRUTH_VERSION = 1  # raise it when a mask's file gives another truth
_FEW = 64
_WORD = {"image": "image", "truth": "lung mask", "lungs": "lung"}


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images ready for a model, or the truths it is held against.

    Attributes:
        pixels: ``uint8 [len(kept), size, size]``, read-only; a memory map, or an empty array when nothing was kept.
        kept: ids of the samples that could be read, in the order given; row i of `pixels` is ``kept[i]``.
        refused: the others, with the code and the reason.
        folder: where the array is kept.
    """

    pixels: NDArray[np.uint8]
    kept: tuple[str, ...]
    refused: tuple[Refused, ...]
    folder: Path


def decoded(
    samples: Sequence[Sample], preprocess: Preprocess, folder: Path | None = None, workers: int | None = None
) -> Decoded:
    """The images of `samples` as a model reads them, from the cache, which is built or mended when need be.

    Args:
        samples: in the order wanted; ids must differ.
        preprocess: only what decides the pixels counts.
        folder: where the cache lies; `storage.cache_folder` by default.
        workers: processes that decode; the cores by default, 0 to decode in this process. Fewer than 64 images are
            decoded in this process in any case.

    Raises:
        StorageFull: the disk has no room for the array; nothing half made is left.
        LaennecError: the folder cannot be written.
        UntrustedBundle: lungs are wanted and the network that finds them is not the one shipped.
        MissingExtra: a library that the images need is not installed. An image that cannot be read raises nothing:
            it is listed in `refused`.
    """
    return _cached("image", samples, preprocess, folder, workers)


def truths(
    samples: Sequence[Sample], preprocess: Preprocess, folder: Path | None = None, workers: int | None = None
) -> Decoded:
    """The lung masks of `samples` on the model's grid, from the same cache, made and mended as `decoded` does.

    A row is ``uint8 [size, size]``: 255 inside the lungs, 0 outside, the share that is lung at the edges; from 128 on a
    pixel counts as lung (`laennec.images.truth`). A mask without any lung is a truth like others. `refused` tells of
    masks that cannot be read or do not fit their image, whether or not the image itself can be read.

    Args:
        samples: each with a mask, in the order wanted; ids must differ.
        preprocess: only `size` and `resize` count.
        folder, workers: as for `decoded`.

    Raises:
        ValueError: a sample has no mask, or `preprocess` frames the lungs, which moves every picture differently.
        StorageFull, LaennecError: as `decoded`.
    """
    without = next((sample.id for sample in samples if sample.mask is None), None)
    if without is not None:
        raise ValueError(f"expected samples with a lung mask, {without} has none")
    if preprocess.frame != "whole":
        raise ValueError(f"a truth covers the whole picture, expected frame 'whole', got '{preprocess.frame}'")
    plain = Preprocess(size=preprocess.size, resize=preprocess.resize)
    return _cached("truth", samples, plain, folder, workers)


def lung_masks(
    samples: Sequence[Sample], preprocess: Preprocess, folder: Path | None = None, workers: int | None = None
) -> Decoded:
    """Where the network that frames pictures finds the lungs of `samples`, on the model's grid and in its frame.

    A row is ``uint8 [size, size]``, from 128 on lung; no pixel is where it finds none. From the same cache, and with
    the same arguments and errors, as `decoded`.
    """
    framing = {"frame": preprocess.frame, "margin": preprocess.margin, "decode": preprocess.decode}
    plain = Preprocess.model_validate({"size": preprocess.size, "resize": preprocess.resize, **framing})
    return _cached("lungs", samples, plain, folder, workers)


def _cached(
    what: What, samples: Sequence[Sample], preprocess: Preprocess, folder: Path | None, workers: int | None
) -> Decoded:
    folder = folder or storage.cache_folder("images")
    final = folder / _key(what, samples, preprocess)
    ids = [sample.id for sample in samples]
    try:
        found = _open(final, ids, preprocess)
        if found is not None and any(refused.code in _PASSING for refused in found.refused):
            progress.say(
                f"some {_WORD[what]}s could not be read last time for a reason that may have passed; decoding again"
            )
            storage.put_away(final)
            found = None
        if found is None:
            found = _make(final, what, samples, preprocess, workers)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise LaennecError(
            "the image cache cannot be written", "set LAENNEC_CACHE to a folder that can be written"
        ) from error
    return found


def _files(what: What, sample: Sample) -> tuple[Path, ...]:
    """What is opened for `sample`, in the order its reader takes it."""
    if what == "truth" and sample.mask is not None:
        return sample.mask.absolute(), sample.path.absolute()
    return (sample.path.absolute(),)


def _key(what: What, samples: Sequence[Sample], preprocess: Preprocess) -> str:
    kind: list[str | int] = [] if what == "image" else [what, _TRUTH_VERSION]
    kind += [LOCATOR] if what == "lungs" else []
    state = hashlib.sha256(storage.canonical([_VERSION, preprocess.pixel_digest, *kind]))
    for sample in samples:
        facts: list[str | int] = []
        for path in _files(what, sample):
            try:
                seen = path.stat()
                facts += [str(path), seen.st_size, seen.st_mtime_ns]
            except (OSError, ValueError):
                facts += [str(path), -1, -1]
        state.update(json.dumps([sample.id, *facts]).encode())
    return state.hexdigest()[:32]


def _open(final: Path, ids: list[str], preprocess: Preprocess) -> Decoded | None:
    """What lies at `final`, verified byte for byte; None when there is nothing, or nothing sound, which is put away."""
    if not final.is_dir():
        return None
    try:
        header = storage.read_json(final / "header.json")
        kept = tuple(header["kept"])
        refused = tuple(Refused(**entry) for entry in header["refused"])
        shape = (len(kept), preprocess.size, preprocess.size)
        sound = header["version"] == _VERSION and sorted([*kept, *(r.id for r in refused)]) == sorted(ids)
        # one handle for the check and the map: what is mapped is what was checked
        with (final / "pixels.bin").open("rb") as stream:
            sound = sound and os.fstat(stream.fileno()).st_size == int(np.prod(shape))
            sound = sound and hashlib.file_digest(stream, "sha256").hexdigest() == header["sha256"]
            if sound:
                pixels: NDArray[np.uint8] = np.zeros(shape, np.uint8)
                pixels.flags.writeable = False
                if kept:
                    pixels = np.memmap(stream, np.uint8, "r", shape=shape)
                return Decoded(pixels, kept, refused, final)
    except FileNotFoundError:
        pass
    except (LaennecError, KeyError, TypeError, ValueError):
        pass
    progress.say("the image cache is damaged; it is made again")
    storage.put_away(final)
    return None


def _make(final: Path, what: What, samples: Sequence[Sample], preprocess: Preprocess, workers: int | None) -> Decoded:
    ids = [sample.id for sample in samples]
    with storage.building(final, lambda: _open(final, ids, preprocess) is not None) as part:
        _build(part, what, samples, preprocess, workers)
    made = _open(final, ids, preprocess)
    if made is None:
        raise LaennecError("the image cache was damaged as it was made", "check the disk, then run it again")
    return made


def _build(part: Path, what: What, samples: Sequence[Sample], preprocess: Preprocess, workers: int | None) -> None:
    """Fill the folder `part`."""
    pixels, n, row_bytes = part / "pixels.bin", len(samples), preprocess.size**2
    with pixels.open("wb") as stream:
        if n and hasattr(os, "posix_fallocate"):  # learn of a full disk now rather than an hour later
            os.posix_fallocate(stream.fileno(), 0, n * row_bytes)
        stream.truncate(n * row_bytes)
    asked = [_files(what, sample) for sample in samples]
    workers = cores() if workers is None else workers
    apart = workers > 0 and n >= _FEW
    answers = (
        _apart(pixels, what, preprocess, asked, min(workers, n // 32))
        if apart
        else _here(pixels, what, preprocess, asked)
    )
    refusals: dict[int, tuple[str, str]] = {}
    with progress.track(f"decoding {_WORD[what]}s", n) as step, closing(answers):
        for answer in answers:
            if answer.code:
                refusals[answer.row] = (answer.code, answer.reason)
            step.advance()
    kept = [row for row in range(n) if row not in refusals]
    header: dict[str, Any] = {
        "version": _VERSION,
        "size": preprocess.size,
        "resize": preprocess.resize,
        "kept": [samples[row].id for row in kept],
        "refused": [
            {"id": samples[row].id, "code": code, "reason": reason} for row, (code, reason) in sorted(refusals.items())
        ],
        "sha256": _close_up(pixels, kept, row_bytes),
    }
    storage.write_json(part / "header.json", header)


def _here(array: Path, what: What, preprocess: Preprocess, asked: Sequence[tuple[Path, ...]]) -> Generator[Answer]:
    """Decode the files ``asked[row]`` into row `row` of the array, in this process."""
    readers: dict[str, Callable[..., tuple[NDArray[np.uint8], Done]]] = {"truth": load_truth, "lungs": load_lungs}
    read = readers.get(what, load)
    with array.open("rb+", buffering=0) as stream:
        for row, files in enumerate(asked):
            try:
                pixels, _ = read(*files, preprocess)
            except ImageError as error:
                yield Answer(row, 0.0, error.code, error.message)
                continue
            write_row(stream, row, pixels.data.cast("B"))
            yield Answer(row, 0.0)


def _apart(
    array: Path, what: What, preprocess: Preprocess, asked: Sequence[tuple[Path, ...]], workers: int
) -> Generator[Answer]:
    """The same in processes of their own, in the order they are done."""
    with Decoders(array, preprocess, workers, what=what, strict=True) as decoders:
        for row, files in enumerate(asked):
            decoders.ask(row, *map(str, files))
        for _ in asked:
            yield decoders.answer()


def _close_up(pixels: Path, kept: list[int], row_bytes: int) -> str:
    """Move the kept rows together, cut off the rest, flush to the device. Returns the file's SHA-256."""
    state = hashlib.sha256()
    with pixels.open("rb+") as stream:
        for place, row in enumerate(kept):
            stream.seek(row * row_bytes)
            content = stream.read(row_bytes)
            state.update(content)
            if row != place:
                stream.seek(place * row_bytes)
                stream.write(content)
        stream.truncate(len(kept) * row_bytes)
        stream.flush()
        os.fsync(stream.fileno())
    return state.hexdigest()
