"""From which side a DICOM file says that it was taken.

Four elements may say it; the first that does is believed: View Position, View Code Sequence (codes of PS3.16 CID 4010),
Patient Orientation (rows that run to the front or the back are those of a lateral view), Series Description. Of the
description only whole words of a fixed list count, and none where it also names a frontal view, as those of a series
of both do. A lateral decubitus is a frontal view of a patient who lies on one side.
"""

from __future__ import annotations

import re

from laennec.errors import ImageError
from laennec.images.dicom_file import Elements

_VIEW, _CODES, _ORIENTATION, _SERIES = 0x00185101, 0x00540220, 0x00200020, 0x0008103E
_CODE_VALUE = 0x00080100
WANTED = frozenset({_VIEW, _CODES, _ORIENTATION, _SERIES})

_POSITIONS = {"PA": "PA", "AP": "AP"} | dict.fromkeys(("LATERAL", "LAT", "LL", "RL"), "LATERAL")
_CODED = {"272479007": "PA", "R-40888": "PA", "R-10214": "PA", "399348003": "AP", "R-10206": "AP"} | dict.fromkeys(
    (
        *("399067008", "R-102CD", "399173006", "R-10236", "399198007", "R-10232"),  # lateral, left, right
        *("399352003", "R-10228", "399260004", "R-10224"),  # lateral-medial, medial-lateral
    ),
    "LATERAL",
)
_LATERAL = {"LAT", "LATERAL", "LATERALE", "LATERALIS", "LLAT", "RLAT", "LL", "RL", "PROFIL", "PROFILE", "PERFIL"}
_LATERAL |= {"SEITLICH", "SEITL", "DWARS"}
_FRONTAL = {"PA", "AP", "FRONTAL", "FRONT", "FACE", "DECUBITUS", "DECUB", "LLD", "RLD", "LIEGEND"}
_WORD = re.compile(r"[A-Z]+")


def view(found: Elements) -> tuple[str, str]:
    """``PA``, ``AP``, ``LATERAL``, ``OTHER`` (named, but none of these) or empty, and the element that says so."""
    other = ("", "")
    position = found.text(_VIEW)
    if position in _POSITIONS:
        return _POSITIONS[position], "View Position"
    if position:
        other = ("OTHER", "View Position")
    code = _code(found)
    if code in _CODED:
        return _CODED[code], "View Code Sequence"
    rows, _, columns = found.text(_ORIENTATION).partition("\\")
    if rows[:1] in ("A", "P") and columns[:1] in ("F", "H"):
        return "LATERAL", "Patient Orientation"
    words = set(_WORD.findall(found.text(_SERIES).replace(".", "")))
    if words & _LATERAL and not words & _FRONTAL and rows[:1] not in ("L", "R") and not position:
        return "LATERAL", "Series Description"
    return other if position or not code else ("OTHER", "View Code Sequence")


def _code(found: Elements) -> str:
    try:
        item = found.item(_CODES, frozenset({_CODE_VALUE}))
    except ImageError:  # a broken sequence beside a sound picture
        return ""
    return "" if item is None else item.text(_CODE_VALUE)
