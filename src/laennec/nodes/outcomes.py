"""What can become of objects on their way, whatever carries them."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from laennec.errors import LaennecError, UsageError

STORED = ""
UID = re.compile(r"[0-9]+(\.[0-9]+){1,31}")
_LOGGERS = ("pydicom", "pynetdicom", "dicomweb_client", "highdicom", "urllib3", "requests")
_LONGEST_UID = 64


class Unreachable(LaennecError):
    """The other side cannot be reached now, or has no room: the same may be tried later."""


class Destination(Protocol):
    """Where objects are sent."""

    @property
    def kind(self) -> str:
        """``node``, ``web`` or ``folder``."""

    def deliver(self, files: list[bytes]) -> tuple[str, ...]:
        """Hand over DICOM files; for each `STORED`, or the code of its refusal, which no later attempt changes.

        What was stored before is stored again without harm: an object keeps its SOP Instance UID.

        Raises:
            Unreachable: not now; some of them may have been stored.
        """


def valid_uid(text: str, what: str) -> str:
    """`text`, once it is a UID. Raises `UsageError`."""
    if len(text) > _LONGEST_UID or not UID.fullmatch(text):
        raise UsageError(f"the {what} is not a UID", "give digits joined by dots, as the archive shows them")
    return text


@contextmanager
def discreet() -> Iterator[None]:
    """Inside the block no library warns or logs: theirs quote UIDs, addresses with their queries, and tags' values.

    Warnings are turned off for the whole process.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(action="ignore"):
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)  # those below it inherit the level
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
