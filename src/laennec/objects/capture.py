"""The picture with lungs and heat drawn on it and the answer in words below, as a Secondary Capture in colour.

For archives and viewers that show nothing but pictures. The words stand in a strip that is added below, never on the
picture: what was found, its probability and threshold, the model and its digest, what the colours mean and that it is
for research. They hold nothing of the patient. The picture is reduced or enlarged to a screen's size and has no pixel
spacing: it is to be looked at, not measured on.

Burned In Annotation speaks of the whole image: YES where the radiograph's header says so or rows of glyphs are found on
it, NO where the header says so and none are found; otherwise nobody knows, and it is left out.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from laennec import joining, lettering, overlays
from laennec.errors import MissingExtra, UsageError
from laennec.objects import BECAUSE, Answered
from laennec.wording import Text

TITLE = Text(en="Picture with the answer below", fr="Image avec la réponse en dessous")
LONGEST = 1024  # pixels of the picture's longer side
_SERIES_NUMBER = 9102
_DIGITS = 12  # of a digest, for a person
_SINGLE = {"CHEST", "ABDOMEN", "PELVIS", "HEAD", "SKULL", "NECK", "SPINE", "CSPINE", "TSPINE", "LSPINE", "HEART"}
_INK, _FAINT, _PAPER = "#ffffff", "#c8c8c8", "#000000"
_Line = tuple[str, str, tuple[str, ...]]  # words, colour, swatches before it


def encode(answered: Answered) -> bytes:
    """The object as a DICOM file.

    Raises:
        UsageError: the model neither scored nor outlined.
        ImageError: the radiograph cannot be joined; see `laennec.joining.header`.
        MissingExtra: the extra ``dicom-write`` is not installed.
    """
    with joining.quietly():
        header = joining.header(answered.source, ("BurnedInAnnotation",))
        pixels = drawn(answered)
        parts = answered.parts("capture", str(header.SOPInstanceUID), hashlib.sha256(pixels.tobytes()).hexdigest())
        return joining.written(_built(answered, pixels, header, parts))


def drawn(answered: Answered) -> NDArray[np.uint8]:
    """The pixels of the object, ``uint8 [rows, columns, 3]``."""
    lines = _lines(answered)
    grey, heat = answered.picture, answered.heat
    lungs = None if answered.right is None else answered.lungs
    if lungs is not None and lungs[0].shape != grey.shape:
        right, left = (_resized(one.astype(np.uint8) * np.uint8(255), grey.shape) >= 128 for one in lungs)
        lungs = right, left
    if heat is not None and heat.shape != grey.shape:
        heat = _resized(heat, grey.shape)
    picture = overlays.pictured(grey, heat, lungs, LONGEST)
    return np.concatenate([picture, _strip(lines, picture.shape[1])])


def _resized(plane: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.asarray(Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _lines(answered: Answered) -> list[_Line]:
    answer, lines = answered.answer, list[_Line]()
    if answer.score is not None and answer.threshold is not None:
        reached = "at or above" if answer.positive else "below"
        lines.append((f"{answered.finding}: probability {answer.score:.1%}", _INK, ()))
        lines.append((f"{reached} the threshold of {answer.threshold:.1%} ({answer.operating_point})", _INK, ()))
    lines += [(f"A person should decide: {BECAUSE.get(why, why).lower()}", _INK, ()) for why in answered.refer]
    if answered.right is not None:
        told = answer.lungs
        right, left = (told.right.share, told.left.share) if told else (float(m.mean()) for m in answered.lungs)
        lines.append((f"patient's right lung, {right:.1%} of the picture", _FAINT, (overlays.RIGHT,)))
        lines.append((f"patient's left lung, {left:.1%} of the picture", _FAINT, (overlays.LEFT,)))
    if not lines:
        raise UsageError("the model neither scored nor outlined", "take a bundle that does")
    if answered.heat is not None:
        lines.append(("where the model looks, not why", _FAINT, overlays.swatches()))
    lines.append((f"{answered.model.name}, model {answered.model.digest[:_DIGITS]}", _FAINT, ()))
    lines.append((answered.model.note, _INK, ()))
    return [(joining.plain(words), colour, swatches) for words, colour, swatches in lines]


def _strip(lines: list[_Line], width: int) -> NDArray[np.uint8]:
    """The words on black, ``uint8 [rows, width, 3]``, broken where they are too long."""
    size = max(13, min(24, width // 30))
    font, margin, step = ImageFont.load_default(size), size // 2, size + size // 2
    rows = []
    for words, colour, swatches in lines:
        room = width - 2 * margin - (len(swatches) and len(swatches) * size // 2 + margin)
        broken = _broken(words, font, room)
        rows += [(part, colour, swatches if part is broken[0] else ()) for part in broken]
    strip = Image.new("RGB", (width, len(rows) * step + 2 * margin), _PAPER)
    pen = ImageDraw.Draw(strip)
    for number, (words, colour, swatches) in enumerate(rows):
        left, top = margin, margin + number * step
        for swatch in swatches:
            pen.rectangle((left, top + size // 4, left + size // 2 - 1, top + size), fill=swatch)
            left += size // 2
        pen.text((left + (margin if swatches else 0), top), words, fill=colour, font=font)
    return np.array(strip)


def _broken(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> list[str]:
    """The words in lines of no more than `room` pixels, but for single words."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _built(answered: Answered, pixels: NDArray[np.uint8], header: Any, parts: tuple[str, ...]) -> Any:
    import highdicom as hd
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

    source = joining.stand_in(header)
    made = joining.local(answered.made, header)
    built: Any = hd.sc.SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=joining.uid("series", *parts),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=joining.uid("instance", *parts),
        instance_number=1,
        patient_orientation=("L", "F"),
        patient_id="",
        patient_name="",
        patient_birth_date="",
        patient_sex="",
        accession_number="",
        study_id="",
        series_description=joining.long_string(f"Answer of a model, {joining.RESEARCH}"),
        **joining.equipment(answered.model.algorithm),
    )
    del built.PatientOrientation
    if header.get("BodyPartExamined") not in _SINGLE:  # required of a pair of organs, if unknown then empty
        built.Laterality = joining.side(header)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [
        hd.sr.CodedConcept.from_code(Code("121322", "DCM", "Source image for image processing operation"))
    ]
    built.SourceImageSequence = [reference]
    built.ConversionType = "WSD"
    built.DerivationDescription = joining.plain(f"Answer of a model drawn on the picture. {answered.model.note}")
    burned = _burned(answered, str(header.get("BurnedInAnnotation") or ""))
    if burned:
        built.BurnedInAnnotation = burned
    joining.join(built, header, made, image=True)
    built.DateOfSecondaryCapture, built.TimeOfSecondaryCapture = built.InstanceCreationDate, built.InstanceCreationTime
    return built


def _burned(answered: Answered, told: str) -> str:
    """``YES``, ``NO``, or nothing where nobody knows."""
    levels = np.rint(np.clip(answered.picture, 0, 1) * 255).astype(np.uint8)
    try:
        glyphs = lettering.longest_anywhere(levels, LONGEST)
    except MissingExtra:
        return "YES" if told == "YES" else ""
    if told == "YES" or glyphs >= lettering.TEXT:
        return "YES"
    return "NO" if told == "NO" else ""
