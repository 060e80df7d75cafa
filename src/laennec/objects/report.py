"""The answer as a Structured Report by TID 1500: finding, probability, decision, lung areas and the algorithm.

The object is an Enhanced SR: codes, numbers, texts and references to images need nothing more, and whoever takes
Comprehensive SR takes it too. Its flags say what it is. COMPLETE: the device has no more to say. UNVERIFIED: nobody who
answers for it has looked. PRELIMINARY: it is no reading of the radiograph, and none is announced.

One measurement group (TID 1501) says of the positive label its probability, the threshold held against it, the
operating point, and whether the finding is present, absent or undetermined, which it is where the answer refers the
image to a person, with the reasons. Further groups give the probabilities of the other labels. Each lung has a group
with its area: in cm2 on the detector where the file gives a spacing, and as a share of the picture; planar (TID 1410)
where a Segmentation goes along. Labels that are known have their SNOMED CT code, others one of the private scheme
99LAENNEC, made of the label.
"""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

from laennec import joining
from laennec.errors import UsageError
from laennec.objects import BECAUSE, Answered
from laennec.wording import Text

TITLE = Text(en="Structured report", fr="Compte rendu structuré")
_SERIES_NUMBER = 9101
_SCHEME = "99LAENNEC"
_RADIOGRAPHS = {joining.CR: "CR", "1.2.840.10008.5.1.4.1.1.1.1": "DX", "1.2.840.10008.5.1.4.1.1.1.1.1": "DX"}
_Code = tuple[str, str, str]

_PROBABILITY = ("122157", "DCM", "Probability")
_PRESENCE = ("121052", "DCM", "Presence of property")
_PRESENT, _ABSENT = ("121053", "DCM", "Present"), ("121054", "DCM", "Absent")
_UNDETERMINED = ("121059", "DCM", "Presence Undetermined")
_AREA = ("42798000", "SCT", "Area")
_PERCENT, _CM2 = ("%", "UCUM", "Percent"), ("cm2", "UCUM", "Square centimeter")
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_SIDES = (("3341006", "SCT", "Right lung"), ("44029006", "SCT", "Left lung"))
_LABELS: dict[str, _Code] = {
    "pneumonia": ("233604007", "SCT", "Pneumonia"),
    "bacterial pneumonia": ("53084003", "SCT", "Bacterial pneumonia"),
    "viral pneumonia": ("75570004", "SCT", "Viral pneumonia"),
    "covid": ("840539006", "SCT", "COVID-19"),
    "covid 19": ("840539006", "SCT", "COVID-19"),
    "tuberculosis": ("56717001", "SCT", "Tuberculosis"),
    "pneumothorax": ("36118008", "SCT", "Pneumothorax"),
    "pleural effusion": ("60046008", "SCT", "Pleural effusion"),
    "effusion": ("60046008", "SCT", "Pleural effusion"),
    "cardiomegaly": ("8186001", "SCT", "Cardiomegaly"),
    "atelectasis": ("46621007", "SCT", "Atelectasis"),
    "consolidation": ("95436008", "SCT", "Lung consolidation"),
    "emphysema": ("87433001", "SCT", "Pulmonary emphysema"),
    "edema": ("19242006", "SCT", "Pulmonary edema"),
    "normal": ("17621005", "SCT", "Normal"),
    "no finding": ("17621005", "SCT", "Normal"),
}


def encode(answered: Answered) -> bytes:
    """The object as a DICOM file.

    Raises:
        UsageError: the model neither scored nor outlined.
        ImageError: the radiograph cannot be joined; see `laennec.joining.header`.
        MissingExtra: the extra ``dicom-write`` is not installed.
    """
    if answered.answer.score is None and answered.right is None:
        raise UsageError("the model neither scored nor outlined", "take a bundle that does")
    with joining.quietly():
        header = joining.header(answered.source)
        parts = answered.parts("report", str(header.SOPInstanceUID), *_said(answered))
        return joining.written(_built(answered, header, parts))


def _said(answered: Answered) -> tuple[object, ...]:
    """What is told of the image, as plain values."""
    answer = answered.answer.model_dump(mode="json", exclude={"id", "milliseconds"})
    segmentation = "" if answered.segmentation is None else str(_segmentation(answered.segmentation).SOPInstanceUID)
    shares = [] if answered.right is None else [float(mask.mean()) for mask in answered.lungs]
    return answer, segmentation, shares, answered.model.note


def code_of(label: str) -> _Code:
    """Value, scheme and meaning of a label's code."""
    known = _LABELS.get(" ".join(re.split(r"[\s_-]+", label.strip().lower())))
    if known is not None:
        return known
    meaning = joining.long_string(label) or "label"
    value = label.upper()
    if not re.fullmatch(r"[A-Z0-9_]{1,16}", value):
        value = f"L{hashlib.sha256(label.encode()).hexdigest()[:12].upper()}"
    return value, _SCHEME, meaning


def _own(value: str, meaning: str) -> Any:
    return _coded((value, _SCHEME, joining.long_string(meaning)))


def _coded(code: _Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code[0], code[1], code[2])


def _built(answered: Answered, header: Any, parts: tuple[str, ...]) -> Any:
    import highdicom as hd
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    source = _in_library(header)
    evidence = [source]
    segmentation = None if answered.segmentation is None else _segmentation(answered.segmentation)
    if segmentation is not None:
        segmentation.StudyInstanceUID = source.StudyInstanceUID
        evidence.append(segmentation)
    content = hd.sr.MeasurementReport(
        observation_context=_context(answered),
        procedure_reported=_coded(("168537006", "SCT", "Plain radiography")),
        imaging_measurements=[*_findings(answered, parts), *_areas(answered, parts, source, segmentation)],
        referenced_images=[source],
    )
    _tell_modality(content[0], _RADIOGRAPHS.get(str(header.SOPClassUID), "OT"))
    for words in _comments(answered):
        content[0].ContentSequence.append(
            hd.sr.TextContentItem(_coded(("121106", "DCM", "Comment")), joining.plain(words), "CONTAINS")
        )
    built = hd.sr.EnhancedSR(
        evidence=evidence,
        content=content,
        series_instance_uid=joining.uid("series", *parts),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=joining.uid("instance", *parts),
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=joining.long_string(f"Answer of a model, {joining.RESEARCH}"),
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=_SCHEME,
                name="laennec",
                responsible_organization="The laennec authors",
            )
        ],
        **joining.equipment(answered.model.algorithm),
    )
    return joining.join(built, header, joining.local(answered.made, header))


def _in_library(header: Any) -> Any:
    """The stand-in with what an image library tells of a projection, where the file tells it."""
    source = joining.stand_in(header)
    towards = [str(direction) for direction in header.get("PatientOrientation") or ()]
    apart = next((found for k in joining.SPACINGS if (found := joining.spacing(header.get(k)))), None)
    if apart and len(towards) == 2 and all(re.fullmatch("[A-Z]{1,3}", direction) for direction in towards):
        source.PatientOrientation, source.ImagerPixelSpacing = towards, [float(f"{part:.6g}") for part in apart]
    else:
        source.Modality = "OT"  # of which highdicom asks no more than rows and columns
    return source


def _segmentation(data: bytes) -> Any:
    import pydicom

    wanted = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SegmentSequence"]
    return pydicom.dcmread(io.BytesIO(data), specific_tags=wanted)


def _tell_modality(item: Any, modality: str) -> None:
    """Name the radiograph's own modality where highdicom took the stand-in's."""
    meanings = {"CR": "Computed Radiography", "DX": "Digital Radiography", "OT": "Other Modality"}
    for below in item.get("ContentSequence", ()):
        if below.ConceptNameCodeSequence[0].CodeValue == "121139":
            below.ConceptCodeSequence[0].CodeValue = modality
            below.ConceptCodeSequence[0].CodeMeaning = meanings[modality]
        _tell_modality(below, modality)


def _context(answered: Answered) -> Any:
    import highdicom as hd

    algorithm = answered.model.algorithm
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=joining.uid("device", algorithm.digest, algorithm.name, algorithm.version),
        name=joining.long_string(f"{algorithm.name}, {algorithm.version}"),
        manufacturer_name="laennec",
        model_name=joining.long_string(algorithm.name),
        serial_number=joining.long_string(algorithm.digest),
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(_coded(("121007", "DCM", "Device")), device)
    )


def _comments(answered: Answered) -> list[str]:
    comments = [answered.model.note]
    if answered.answer.doubt:
        comments.append(f"{BECAUSE['doubt']}: {answered.answer.doubt}")
    lungs = answered.answer.lungs
    if answered.right is not None and lungs is not None and lungs.doubt:
        comments.append(f"The lungs' outlines: {lungs.doubt}")
    return comments


def _algorithm(answered: Answered, scored: bool = True) -> Any:
    import highdicom as hd

    model, answer = answered.model, answered.answer
    told = [f"model sha256 {model.digest}", f"bundle sha256 {model.bundle}"]
    told += [f"learned from {model.learned}"] if model.learned else []
    if scored:
        told.append("probabilities calibrated" if model.calibrated else "probabilities not calibrated")
    point = model.points.get(answer.operating_point) if scored else None
    if point is not None:
        told.append(
            f"operating point {point.rule}: sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f} "
            f"on {point.n} validation images"
        )
    return hd.sr.AlgorithmIdentification(
        name=joining.plain(model.algorithm.name),
        version=joining.plain(model.algorithm.version),
        parameters=[joining.plain(words) for words in told],
        family=_coded(("123110", "DCM", "Artificial Intelligence")),
        manufacturer="laennec",
    )


def _measured(name: Any, value: float, unit: _Code) -> Any:
    import highdicom as hd

    return hd.sr.Measurement(name=name, value=float(f"{value:.6g}"), unit=_coded(unit))


def _findings(answered: Answered, parts: tuple[str, ...]) -> list[Any]:
    """The group of the positive finding, and one for each other label."""
    import highdicom as hd

    answer, labels = answered.answer, answered.model.labels
    if answer.score is None or answer.threshold is None or labels is None:
        return []
    decided = _UNDETERMINED if answered.refer else _PRESENT if answer.positive else _ABSENT
    judged = [
        (_coded(_PRESENCE), _coded(decided)),
        (
            _own("OPERATING_POINT", "Operating point"),
            _own(answer.operating_point.upper()[:16] or "UNNAMED", answer.operating_point or "unnamed"),
        ),
        (
            _own("THRESHOLDED", "Decision by the threshold alone"),
            _own("REACHED", "At or above the threshold") if answer.positive else _own("BELOW", "Below the threshold"),
        ),
    ]
    judged += [
        (_own("REFERRED", "A person should decide, because"), _own(why.upper()[:16], BECAUSE.get(why, why)))
        for why in answered.refer
    ]
    many = len(labels.positive) > 1
    finding = _own("FINDING", answered.finding) if many else _coded(code_of(labels.positive[0]))
    groups = [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(joining.uid("finding", *parts), "Finding"),
            finding_type=finding,
            algorithm_id=_algorithm(answered),
            measurements=[
                _measured(_coded(_PROBABILITY), 100 * answer.score, _PERCENT),
                _measured(_own("THRESHOLD", "Threshold of the probability"), 100 * answer.threshold, _PERCENT),
            ],
            qualitative_evaluations=[hd.sr.QualitativeEvaluation(name, value) for name, value in judged],
        )
    ]
    for label, chance in answer.probabilities.items():
        if many or label not in labels.positive:
            tracked = hd.sr.TrackingIdentifier(
                joining.uid("label", label, *parts), joining.long_string(label) or "label"
            )
            groups.append(
                hd.sr.MeasurementsAndQualitativeEvaluations(
                    tracking_identifier=tracked,
                    finding_type=_coded(code_of(label)),
                    algorithm_id=_algorithm(answered),
                    measurements=[_measured(_coded(_PROBABILITY), 100 * chance, _PERCENT)],
                )
            )
    return groups


def _areas(answered: Answered, parts: tuple[str, ...], source: Any, segmentation: Any) -> list[Any]:
    """A group for each lung."""
    import highdicom as hd

    if answered.right is None:
        return []
    told, groups = answered.answer.lungs, list[Any]()
    numbers = {} if segmentation is None else _numbers(segmentation)
    for code, mask, lung in zip(_SIDES, answered.lungs, (told.right, told.left) if told else (None, None), strict=True):
        share = float(mask.mean()) if lung is None else lung.share
        measured = [_measured(_own("AREA_SHARE", "Share of the picture's area"), 100 * share, _PERCENT)]
        if lung is not None and lung.square_centimetres is not None:
            measured.insert(0, _measured(_coded(_AREA), lung.square_centimetres, _CM2))
        common = {
            "tracking_identifier": hd.sr.TrackingIdentifier(joining.uid("lung", code[2], *parts), code[2]),
            "finding_category": _coded(_STRUCTURE),
            "finding_type": _coded(code),
            "algorithm_id": _algorithm(answered, scored=False),
            "measurements": measured,
        }
        if code[0] not in numbers:
            groups.append(hd.sr.MeasurementsAndQualitativeEvaluations(**common))
            continue
        region = hd.sr.ReferencedSegmentationFrame(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            frame_number=numbers[code[0]],
            segment_number=numbers[code[0]],
            source_image=hd.sr.SourceImageForSegmentation(source.SOPClassUID, source.SOPInstanceUID),
        )
        # a frame tells its segment, and PS3.3 C.17.3.5 allows no more than one of the two
        del region[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
        groups.append(hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=region, **common))
    return groups


def _numbers(segmentation: Any) -> dict[str, int]:
    """Number of each lung's segment, which is that of its frame, by the code of what it shows."""
    return {
        str(segment.SegmentedPropertyTypeCodeSequence[0].CodeValue): int(segment.SegmentNumber)
        for segment in segmentation.SegmentSequence
    }
