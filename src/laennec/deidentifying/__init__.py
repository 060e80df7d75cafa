"""Radiographs without what tells whose they are, by the Basic Application Level Confidentiality Profile (PS3.15 E.2).

No option of the profile is taken: no dates, no descriptions, no device, no institution, no characteristics of the
patient stay, and pixels are not cleaned. What of the header may stay is listed (`profile`), everything else goes, at
every depth, private attributes with it. UIDs are replaced by a keyed hash (HMAC-SHA256): the same key keeps studies and
references together over any number of files, and without it nobody finds the way back; patients get a pseudonym
likewise.

The file is built anew: no preamble, no file meta information of the sender's, no padding, no overlay, no comment inside
a compressed picture, no value in bits of the pixels that the picture does not use. Text burned into the picture is
looked for and told (`Deidentified.burned_in`), not taken out: who keeps such a file keeps what is written on it. Only
files whose picture can be looked at are taken.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import math
import re
import secrets
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from laennec import images, joining, lettering
from laennec.deidentifying import codestreams, profile
from laennec.errors import ImageError, MissingExtra, UsageError, extra
from laennec.images.headers import corrupt
from laennec.version import VERSION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LEAST_KEY = 16  # bytes
WARNING = "text is burned into the picture and was not taken out: look at it before you keep it or pass it on"
_DEEPEST = 8  # sequences in sequences
_METHOD = ("113100", "DCM", "Basic Application Confidentiality Profile")
_JPEG = ("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.7", "1.2.840.10008.1.2.4.8")
_JPEG_2000 = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
_BIG = "1.2.840.10008.1.2.2"
_WORD = re.compile(r"[A-Z0-9_ ]{0,16}")
_INTEGERS, _DECIMALS = {"US", "SS", "UL", "SL", "UV", "SV"}, {"FL", "FD"}


@dataclass(frozen=True)
class Deidentified:
    """A radiograph without its patient.

    Attributes:
        data: a DICOM file (Part 10) in the transfer syntax it had; pixels compressed by RLE are decompressed.
        burned_in: its header says that text is burned in, or rows of glyphs were found on it.
        removed: elements by what was done to them, at every depth: ``kept``, ``emptied``, ``replaced``, ``removed``,
            ``private``.
        warning: what is left to do; empty where nothing is known to be.
    """

    data: bytes
    burned_in: bool
    removed: dict[str, int] = field(default_factory=dict)
    warning: str = ""


def deidentify(source: bytes, key: bytes | None = None) -> Deidentified:
    """Take out of a radiograph what tells whose it is.

    Args:
        source: a DICOM file that `laennec.images.read` takes.
        key: at least 16 random bytes, to be kept as secret as the patients' names; without one a new one is drawn and
            forgotten, so that no two files can be told to be of one study.

    Raises:
        UsageError: the key is too short.
        ImageError: as `laennec.images.read`: what cannot be looked at is not passed on; ``unsupported_type``: not
            DICOM.
        MissingExtra: the extra ``dicom`` or ``eval`` (scipy, which burned-in text is looked for by) is not installed.
    """
    with extra("dicom"):
        import pydicom
    if key is None:
        key = secrets.token_bytes(32)
    if len(key) < LEAST_KEY:
        raise UsageError(
            f"the key has {len(key)} bytes, and whoever tries them all finds the patients",
            f"take {LEAST_KEY} random bytes or more",
        )
    picture = images.read(source)
    if picture.done["format"] != "DICOM":
        raise ImageError("unsupported_type", "the radiograph is no DICOM file", "give the DICOM file itself")
    glyphs = lettering.longest_anywhere(np.rint(picture.pixels * np.float32(255)).astype(np.uint8))
    burned = bool(picture.done.get("burned_in")) or glyphs >= lettering.TEXT
    with joining.quietly():
        try:
            found = pydicom.dcmread(io.BytesIO(source), force=True)
            data, counts = _rebuilt(found, _Pseudonyms(key), burned)
        except (ImageError, MissingExtra):
            raise
        except Exception as error:  # pydicom raises whatever the damage runs into
            raise corrupt("the DICOM file is damaged") from error
    return Deidentified(data, burned, dict(sorted(counts.items())), WARNING if burned else "")


class _Pseudonyms:
    """What a key makes of identifiers."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _hash(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{kind}|{text}".encode("utf-8", "surrogateescape"), hashlib.sha256)

    def uid(self, text: str) -> str:
        """Another UID for a UID."""
        return f"2.25.{uuid.UUID(bytes=self._hash('uid', text)[:16], version=4).int}"

    def patient(self, text: str) -> str:
        """Another name for a patient's identifier."""
        return self._hash("patient", text).hex()[:16].upper()


def _rebuilt(found: Any, names: _Pseudonyms, burned: bool) -> tuple[bytes, Counter[str]]:
    """The file with what may stay of `found`."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.filewriter import correct_ambiguous_vr
    from pydicom.uid import UID

    syntax = str(found.file_meta.get("TransferSyntaxUID", "") or "1.2.840.10008.1.2")
    if syntax == "1.2.840.10008.1.2.5":
        found.decompress(generate_instance_uid=False)
        syntax = str(found.file_meta.TransferSyntaxUID)
    with suppress(Exception):  # it asks of every element what it is, and some are nothing
        correct_ambiguous_vr(found, syntax != _BIG)
    patient = names.patient(f"{found.get('IssuerOfPatientID', '')}|{found.get('PatientID', '')}")
    counts: Counter[str] = Counter()
    made = _cleaned(found, names, patient, counts, 0)
    made.add_new("PixelData", found["PixelData"].VR, _pixels(found, syntax))
    if burned:
        made.BurnedInAnnotation = "YES"
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = f"laennec {VERSION}: basic profile, no option, pixels not cleaned"
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator, method.CodeMeaning = _METHOD
    made.DeidentificationMethodCodeSequence = [method]
    made.LongitudinalTemporalInformationModified = "REMOVED"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue(), counts


def _cleaned(found: Any, names: _Pseudonyms, patient: str, counts: Counter[str], depth: int) -> Dataset:
    """A data set with what may stay of `found`."""
    from pydicom.dataset import Dataset

    made = Dataset()
    for tag in sorted(found.keys()):
        keyword = _keyword(int(tag))
        if tag.is_private or tag.group % 2:
            counts["private"] += 1
            continue
        own = keyword in profile.EMPTIED or keyword in profile.PSEUDONYM  # of the radiograph, not of what it names
        if keyword not in profile.KEPT or depth > _DEEPEST or (own and depth):
            counts["removed"] += 1
            continue
        if keyword == "PixelData":
            counts["kept"] += 1
            continue
        try:
            done = _kept(made, keyword, found[tag], names, patient, counts, depth)
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError):  # not what it says it is
            done = ""
            made.pop(keyword, None)
        counts[done or "removed"] += 1
    return made


@cache
def _keyword(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag)


def _kept(
    made: Any, keyword: str, element: Any, names: _Pseudonyms, patient: str, counts: Counter[str], depth: int
) -> str:
    """Put into `made` what may stay of one element; what was done, nothing where it may not stay."""
    from pydicom.datadict import dictionary_VR

    value = element.value
    if keyword in profile.EMPTIED:
        setattr(made, keyword, [] if dictionary_VR(keyword) == "SQ" else None)
        return "emptied"
    if keyword in profile.PSEUDONYM:
        setattr(made, keyword, patient)
        return "replaced"
    if keyword in profile.UIDS:
        setattr(made, keyword, names.uid(str(value)))
        return "replaced"
    if keyword in profile.CLASSES:
        setattr(made, keyword, _registered(str(value)))
        return "kept"
    if keyword in profile.REFERENCES or keyword in profile.CODED:
        coded = keyword in profile.CODED
        items = [_code(item) if coded else _cleaned(item, names, patient, counts, depth + 1) for item in value]
        setattr(made, keyword, [item for item in items if item])
        if not made[keyword].value:
            del made[keyword]
            return "removed"
        return "kept"
    if keyword in profile.TYPES:
        setattr(made, keyword, str(value) if str(value) in profile.UNITS else "US")
        return "kept"
    if keyword == "LUTData":
        made.add_new(keyword, element.VR, _table(value, made.LUTDescriptor))
    else:
        made.add_new(keyword, element.VR, _plain(keyword, element))
    return "kept"


def _plain(keyword: str, element: Any) -> Any:
    """The value of a number or a word. Raises `ValueError` where it is none."""
    value = element.value
    if value is None or (isinstance(value, (str, bytes, list)) and not len(value)):
        return None
    several = _several(value)
    if keyword in profile.WORDS and element.VR == "CS":
        return _words(keyword, [str(one) for one in several])
    if element.VR == "IS":
        return [int(str(one)) for one in several]
    if element.VR == "DS":
        return [_decimal(str(one)) for one in several]
    if element.VR in _INTEGERS:
        return [int(one) for one in several]
    if element.VR in _DECIMALS:
        return [float(one) for one in several]
    raise ValueError("no number")


def _words(keyword: str, words: list[str]) -> list[str]:
    """Code strings. Raises `ValueError` where they are none, or not those that may stay."""
    if keyword == "SpecificCharacterSet":
        return ["ISO_IR 192"]  # no text is left but ours, which every character set holds
    if keyword == "ImageType":
        words = words[:2]
        if len(words) < 2 or any(one not in known for one, known in zip(words, profile.IMAGE_TYPES, strict=True)):
            return ["DERIVED", "PRIMARY"]
    if keyword == "BodyPartExamined" and not profile.BODY_PARTS.issuperset(words):
        raise ValueError("no known part")
    if not all(_WORD.fullmatch(one) for one in words):
        raise ValueError("no code string")
    return words


def _table(value: Any, descriptor: Any) -> Any:
    """The entries of a look-up table, as many as its descriptor says. Raises `ValueError` where there are others."""
    count = int(descriptor[0]) or 65536
    entries = value if isinstance(value, bytes) else [int(one) for one in _several(value)]
    if len(entries) != (2 * count if isinstance(value, bytes) else count):
        raise ValueError("entries that nothing looks up")
    return entries


def _several(value: Any) -> list[Any]:
    from pydicom.multival import MultiValue

    return list(value) if isinstance(value, (MultiValue, list)) else [value]


def _decimal(text: str) -> Any:
    from pydicom.valuerep import DSfloat

    if not math.isfinite(float(text)):
        raise ValueError("no number")
    return DSfloat(float(text), auto_format=True)


def _registered(text: str) -> str:
    """A class of the standard's own. Raises `ValueError` for any other."""
    from pydicom.uid import UID

    if UID(text).type != "SOP Class":
        raise ValueError("no class of the standard")
    return text


@cache
def _meanings() -> dict[tuple[str, str], str]:
    """Meanings of codes as the standard gives them, by scheme and value; of older SNOMED codes (SRT), of what they
    became."""
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    standard: Any = concepts
    known = {
        (scheme, value): meaning
        for scheme in profile.SCHEMES
        for values in standard[scheme].values()
        for value, (meaning, _) in values.items()
    }
    older = {("SRT", value): known.get(("SCT", became), "") for value, became in mapping["SRT"].items()}
    return known | {code: meaning for code, meaning in older.items() if meaning}


def _code(item: Any) -> Dataset | None:
    """A code that the standard knows, with the meaning that it gives; None for any other."""
    from pydicom.dataset import Dataset

    scheme, value = str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeValue", ""))
    meaning = _meanings().get(("SRT" if scheme == "SNM3" else scheme, value))
    if meaning is None:
        return None
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator = value, scheme
    made.CodeMeaning = joining.long_string(meaning)
    return made


def _pixels(found: Any, syntax: str) -> bytes:
    """The pixels and nothing beside them."""
    from pydicom.encaps import encapsulate, generate_frames

    if syntax.startswith(_JPEG) or syntax.startswith(_JPEG_2000):
        (frame, *_) = generate_frames(found.PixelData, number_of_frames=1)
        clean = codestreams.jpeg if syntax.startswith(_JPEG) else codestreams.jpeg2000
        return bytes(encapsulate([clean(frame)]))
    allocated, stored = int(found.BitsAllocated), int(found.get("BitsStored") or found.BitsAllocated)
    length = int(found.Rows) * int(found.Columns) * int(found.get("SamplesPerPixel") or 1) * allocated // 8
    data = bytes(found.PixelData)[:length]
    if allocated == 16 and stored < 16:
        kind = ">u2" if syntax == _BIG else "<u2"
        below = int(found.get("HighBit") or stored - 1) + 1 - stored
        codes = (np.frombuffer(data, kind) >> below) & ((1 << stored) - 1)
        if found.get("PixelRepresentation"):  # the sign goes on through the bits above
            codes = np.where(codes >> (stored - 1), codes | (0xFFFF >> stored << stored), codes)
        data = (codes << below).astype(kind).tobytes()
    return data + b"\0" * (len(data) % 2)
