"""The lungs' outlines and the window used, as a Grayscale Softcopy Presentation State over the radiograph itself.

A viewer shows the radiograph under it with the greys the model's reader saw and an outline a lung, each on a layer of
its own colour that can be switched off; a third layer holds the notice. Pixels are neither copied nor changed. Colour
has no place in this object (PS3.3 A.33.1): the heat stands in the member ``capture``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from laennec import contours, joining
from laennec.errors import UsageError
from laennec.objects import Answered
from laennec.wording import Text

TITLE = Text(en="Outlines over the radiograph", fr="Contours sur la radiographie")
_SERIES_NUMBER = 9103
_TOLERANCE = 1.0  # pixels that an outline may lie off
# CIELab of the colours of `laennec.overlays`
_SIDES = (
    ("RIGHT_LUNG", "Right lung", (69.83, -12.02, -34.77)),
    ("LEFT_LUNG", "Left lung", (70.61, 16.48, 74.68)),
)
_NOTICE = "NOTICE"
_PLACE = (0.02, 0.93, 0.98, 0.99)  # of the notice, shares of what is displayed
_LUTS = ("ModalityLUTSequence", "VOILUTSequence")


def encode(answered: Answered) -> bytes:
    """The object as a DICOM file.

    Raises:
        UsageError: the model outlined no lungs, or the radiograph is a picture in colour.
        ImageError: the radiograph cannot be joined; see `laennec.joining.header`.
        MissingExtra: the extra ``dicom-write`` is not installed.
    """
    right, left = answered.lungs
    if answered.answer.image.get("colour", "none") != "none":
        raise UsageError("the radiograph is stored in colour, and such a state is of grey ones", "take the capture")
    lines = [contours.outlines(mask, _TOLERANCE) for mask in (right, left)]
    with joining.quietly():
        header = joining.header(answered.source, (*_LUTS, "BitsStored", "PixelRepresentation"))
        said = [[line.tolist() for line in side] for side in lines], sorted(answered.answer.image.items())
        parts = answered.parts("presentation", str(header.SOPInstanceUID), *said)
        return joining.written(_built(answered, lines, header, parts))


def _built(answered: Answered, lines: list[list[contours.Line]], header: Any, parts: tuple[str, ...]) -> Any:
    import highdicom as hd

    source = joining.stand_in(header)
    source.SamplesPerPixel = 1
    layers: list[Any] = []
    annotations: list[Any] = []
    for (name, meaning, colour), side in zip(_SIDES, lines, strict=True):
        layers.append(hd.pr.GraphicLayer(name, len(layers) + 1, meaning, hd.color.CIELabColor(*colour)))
        drawn = [hd.pr.GraphicObject("POLYLINE", line, "PIXEL") for line in side]
        if drawn:
            annotations.append(hd.pr.GraphicAnnotation([source], layers[-1], graphic_objects=drawn))
    layers.append(hd.pr.GraphicLayer(_NOTICE, len(layers) + 1, "What the outlines are"))
    words = joining.plain(f"Lungs outlined by a model. {answered.model.note}")
    notice = hd.pr.TextObject(words, "DISPLAY", bounding_box=_PLACE)
    annotations.append(hd.pr.GraphicAnnotation([source], layers[-1], text_objects=[notice]))
    done = answered.answer.image
    shape = "INVERSE" if done.get("inverted") else "IDENTITY"
    built = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source],
        series_instance_uid=joining.uid("series", *parts),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=joining.uid("instance", *parts),
        instance_number=1,
        content_label="LUNGS",
        content_description=joining.long_string(f"Lungs outlined by a model, {joining.RESEARCH}"),
        content_creator_name="laennec^",
        graphic_annotations=annotations,
        graphic_layers=layers,
        presentation_lut_transformation=hd.PresentationLUTTransformation(presentation_lut_shape=shape),
        series_description=joining.long_string(f"Lungs, {joining.RESEARCH}"),
        **joining.equipment(answered.model.algorithm),
    )
    built.Laterality = joining.side(header)
    _add_greys(built, done, header)
    return joining.join(built, header, joining.local(answered.made, header))


def _add_greys(built: Any, done: Mapping[str, Any], header: Any) -> None:
    """From stored values to greys as `laennec.images.dicom_grey` went."""
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat

    if done.get("rescale") == "linear":
        built.RescaleIntercept = DSfloat(float(done["rescale_intercept"]), auto_format=True)
        built.RescaleSlope = DSfloat(float(done["rescale_slope"]), auto_format=True)
        built.RescaleType = "US"  # unspecified
    elif done.get("rescale") == "lut":
        built.ModalityLUTSequence = header.ModalityLUTSequence
    voi = Dataset()
    if done.get("window") == "voi lut":
        voi.VOILUTSequence = header.VOILUTSequence[:1]
    else:
        center, width, function = _window(done, header)
        voi.WindowCenter, voi.WindowWidth = (DSfloat(value, auto_format=True) for value in (center, width))
        if function != "LINEAR":
            voi.VOILUTFunction = function
    built.SoftcopyVOILUTSequence = [voi]


def _window(done: Mapping[str, Any], header: Any) -> tuple[float, float, str]:
    """Center, width and function of the window that was used, or that does what a range did (PS3.3 C.11.2.1.2)."""
    if done.get("window") == "window":
        return float(done["window_center"]), float(done["window_width"]), str(done["window_function"])
    if done.get("window") == "full range":
        low, high = float(done["range_low"]), float(done["range_high"])
    else:
        bits, signed = int(header.BitsStored), bool(header.get("PixelRepresentation"))
        first = -(1 << (bits - 1)) if signed else 0
        slope, intercept = float(done.get("rescale_slope", 1)), float(done.get("rescale_intercept", 0))
        ends = np.array([first, first + (1 << bits) - 1]) * slope + intercept
        low, high = float(ends.min()), float(ends.max())
    if high - low < 1:  # too narrow for a window of the kind LINEAR
        return (low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT"
    return (low + high + 1) / 2, high - low + 1, "LINEAR"
