"""DICOM nodes, DICOMweb services and folders: where radiographs come from and objects go to.

Nothing here logs; no error quotes a UID, a tag's value or what authorises.
"""

from __future__ import annotations

import re
from pathlib import Path

from laennec.errors import UsageError
from laennec.nodes.association import OURS, Node, Tls, echo, send, valid_title
from laennec.nodes.folder import Folder, instance_uid
from laennec.nodes.outcomes import STORED, Destination, Unreachable, discreet
from laennec.nodes.web import TOKEN, Web, fetch, is_loopback, stow, token_of

_MEANT = re.compile(r"[\w.-]+:\w*")  # a host with a port, most likely

__all__ = [
    "OURS",
    "STORED",
    "TOKEN",
    "Destination",
    "Folder",
    "Node",
    "Tls",
    "Unreachable",
    "Web",
    "destination",
    "discreet",
    "echo",
    "fetch",
    "instance_uid",
    "is_loopback",
    "send",
    "stow",
    "token_of",
    "valid_title",
]


def destination(
    text: str,
    ours: str = OURS,
    tls: Tls | None = None,
    *,
    token: str = "",
    ca: Path | None = None,
    plain_http: bool = False,
) -> Destination:
    """What `text` names: ``https://…`` a DICOMweb service, ``AET@host:port`` a node, anything else a folder.

    Args:
        text: as a person wrote it.
        ours: AE title this side calls itself.
        tls: for nodes.
        token, ca: of a DICOMweb service, see `Web`.
        plain_http: allows HTTP beyond this machine.

    Raises:
        UsageError: it cannot be one, or would carry patients' data over plain HTTP.
    """
    if "://" in text:
        return Web.parse(text, token, ca, plain_http)
    if Node.looks_like(text):
        return Node.parse(text, ours, tls)
    if not text.startswith((".", "/", "~")) and ("@" in text or _MEANT.fullmatch(text)):
        raise UsageError(
            f"'{text}' is no DICOM node", f"write AET@host:port or https://…; a folder of that name is ./{text}"
        )
    return Folder(Path(text))
