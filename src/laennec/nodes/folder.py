"""A folder as a destination: objects as files named by their SOP Instance UID."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from laennec import storage
from laennec.errors import StorageFull, UsageError, extra
from laennec.nodes.outcomes import STORED, UID, Unreachable, discreet


@dataclass(frozen=True)
class Folder:
    """A folder that objects are written to, ``<SOP Instance UID>.dcm`` each; made, for its owner alone, if missing."""

    path: Path

    def __post_init__(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError("the destination is a file", "name a folder, AET@host:port or https://…")

    @property
    def kind(self) -> str:
        """``folder``."""
        return "folder"

    def deliver(self, files: list[bytes]) -> tuple[str, ...]:
        """Write each file durably: `STORED`, or ``unreadable`` where it has no valid SOP Instance UID.

        Raises:
            Unreachable: the folder cannot be written, or has no room.
        """
        codes = []
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for data in files:
                uid = instance_uid(data)
                if uid:
                    storage.write_bytes(self.path / f"{uid}.dcm", data)
                codes.append(STORED if uid else "unreadable")
        except (OSError, StorageFull) as error:
            raise Unreachable(
                "the folder cannot be written", "see that it is there, may be written and has room"
            ) from error
        return tuple(codes)


def instance_uid(data: bytes) -> str:
    """SOP Instance UID of a DICOM file; empty where it has no valid one."""
    with extra("dicom"):
        import pydicom
    try:
        with discreet():
            header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
            uid = str(header.get("SOPInstanceUID", ""))
    except Exception:  # pydicom raises whatever the damage runs into
        return ""
    return uid if len(uid) <= 64 and UID.fullmatch(uid) else ""
