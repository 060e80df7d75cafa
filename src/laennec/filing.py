"""The filing stage: a radiograph's answer as DICOM objects that join its study, ready for the archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec import explaining, family, images, joining, outlining, saliency
from laennec.bundle import Bundle
from laennec.errors import ImageError, UnknownName, UsageError, extra
from laennec.objects import Answered, ObjectMember, model_of
from laennec.predictor import Predictor
from laennec.results import Prediction

_FIRST = "segmentation"  # which others refer to


@dataclass(frozen=True)
class Filed:
    """What was made of one answer.

    Attributes:
        prediction: the answer.
        objects: DICOM files (Part 10) by kind, in the order asked.
        left_out: why a kind was not made, by kind: in words that hold nothing of the patient or the file.
    """

    prediction: Prediction
    objects: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def kinds_of(kinds: Sequence[str] | None) -> tuple[str, ...]:
    """The kinds asked for, each once; all of the family ``objects`` for None.

    Raises:
        UnknownName: there is no such kind.
    """
    known = family.names("objects")
    for kind in kinds or ():
        if kind not in known:
            raise UnknownName("kind of DICOM object", kind, known)
    return tuple(dict.fromkeys(known if kinds is None else kinds))


def file(
    predictor: Predictor, source: str | Path | bytes, kinds: Sequence[str] | None = None, made: datetime | None = None
) -> Filed:
    """Answer for one DICOM radiograph and write the answer as DICOM objects.

    Args:
        predictor: a bundle ready to answer; opened with ``explain`` the captures show where it looks.
        source: the DICOM file or its bytes.
        kinds: members of the family ``objects``; all by default.
        made: when the answer was given; now by default.

    Raises:
        UnknownName: there is no such kind.
        ImageError: the file cannot be read, is no DICOM file, or lacks the UIDs by which others refer to it.
        MissingExtra: the extra ``dicom-write`` is not installed.
        LaennecError: the model answers NaN.
    """
    kinds = kinds_of(kinds)
    data = source if isinstance(source, bytes) else _bytes_of(Path(source))
    _check(data)
    return assemble(predictor.predict(data), predictor.bundle, data, kinds, made)


def assemble(
    answer: Prediction,
    bundle: Bundle,
    source: bytes,
    kinds: Sequence[str] | None = None,
    made: datetime | None = None,
    picture: NDArray[np.float32] | None = None,
) -> Filed:
    """Write an answer that was given already as DICOM objects.

    Args:
        answer: of that bundle for that file, with its `mask` and `map` where it has them.
        bundle: that gave it.
        source: the DICOM file.
        kinds, made: as of `file`.
        picture: grey ``float32 [rows, columns]`` in [0, 1] of the whole radiograph, perhaps reduced, where it was
            decoded elsewhere; without it the file is decoded here.

    Raises:
        UnknownName, ImageError, MissingExtra: as `file`.
    """
    kinds = kinds_of(kinds)
    _check(source)
    answered = _answered(answer, bundle, source, made or datetime.now().astimezone(), picture)
    done, left_out = dict[str, bytes](), dict[str, str]()
    for kind in sorted(kinds, key=lambda kind: kind != _FIRST):
        encode: Callable[[Answered], bytes] = _member(kind).encode
        try:
            done[kind] = encode(answered)
        except (ImageError, UsageError) as error:
            left_out[kind] = error.message
            continue
        if kind == _FIRST:
            answered = replace(answered, segmentation=done[kind])
    return Filed(
        answer,
        {kind: done[kind] for kind in kinds if kind in done},
        {kind: left_out[kind] for kind in kinds if kind in left_out},
    )


def _member(kind: str) -> ObjectMember:
    member: Any = family.member("objects", kind)
    return member  # type: ignore[no-any-return]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError("not_found", "there is no such file", "check the path") from error
    except OSError as error:
        raise ImageError("not_found", "the file cannot be opened", "check the path and the permissions") from error


def _check(source: bytes) -> None:
    """Refuse what nothing can join before a model is asked."""
    with extra("dicom-write"):
        import highdicom  # noqa: F401
    with joining.quietly():
        joining.header(source)


def _answered(
    answer: Prediction, bundle: Bundle, source: bytes, made: datetime, picture: NDArray[np.float32] | None
) -> Answered:
    """The answer with its masks and heat on the radiograph's own pixels."""
    preprocess = bundle.card.preprocess
    shape = (int(answer.image["height"]), int(answer.image["width"]))
    if picture is None:
        picture = images.read(source).pixels
    right = left = heat = None
    if bundle.card.outline is not None and answer.mask is not None:
        right, left = outlining.lungs(bundle, answer, shape)
    if answer.map is not None:
        (warm,) = explaining.heated(answer.map[None], preprocess.size)
        heat = saliency.onto(warm, answer.image, preprocess, shape)
    return Answered(
        source=source,
        answer=answer,
        picture=picture,
        model=model_of(bundle),
        made=made,
        right=right,
        left=left,
        heat=heat,
    )
