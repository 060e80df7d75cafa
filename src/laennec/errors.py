"""Every error a person can meet, what it costs in exit codes, and how it is worded.

A message is two lines: what is wrong, then how to mend it. The command line prints exactly that and
keeps the traceback for ``--debug``. No message quotes the value of a DICOM tag.

    LaennecError             exit 1   something failed
    ├── UsageError           exit 2   the request itself is wrong: recipe, option, table
    │   └── UnknownName      exit 2   no member of a family has that name
    ├── MissingExtra         exit 1   an optional library is not installed
    ├── ImageError           exit 3   one input cannot be read; the rest of the batch is done
    ├── UntrustedBundle      exit 4   a model file is not what its card says, or could run code
    ├── NotFinite            exit 1   a model answers what is no number
    ├── StorageFull          exit 5   the disk refused the last write; what was there still opens
    └── GateFailed           exit 1   a compressed model does not decide like its parent
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class LaennecError(Exception):
    """Base of all errors raised on purpose. `hint` says how to mend it; `exit_code` is the process's answer."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[type[LaennecError], tuple[str, ...]]:
        return type(self), (self.message, self.hint)


class UsageError(LaennecError):
    """The request is wrong: an unknown key, a value out of range, a table that contradicts itself."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that no member of its family bears; the hint proposes the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"take one of: {', '.join(known)}"
        super().__init__(f"no {kind} named '{name}'. Known: {', '.join(known)}", hint)
        self.kind, self.name, self.known = kind, name, known

    def __reduce__(self) -> tuple[type[LaennecError], tuple[object, ...]]:  # type: ignore[override]
        return type(self), (self.kind, self.name, self.known)


class MissingExtra(LaennecError):
    """A library of an optional extra is needed and absent."""


class ImageError(LaennecError):
    """One image cannot be read. `code` is a stable word for programs; the message never quotes the file's content.

    Codes: ``empty``, ``not_found``, ``unsupported_type``, ``corrupt_image``, ``too_large``, ``no_pixels``,
    ``many_frames``, ``unknown_syntax``, ``not_radiograph``, ``blank``, ``timeout``, ``decoder_died``,
    ``missing_extra``, ``not_mask``, ``mask_mismatch``; of the gate ``not_chest``, ``lateral`` (view), ``inverted``
    (greys), ``turned`` (on its side or upside down).
    """

    exit_code = 3

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code

    def __reduce__(self) -> tuple[type[LaennecError], tuple[str, ...]]:
        return type(self), (self.code, self.message, self.hint)


class UntrustedBundle(LaennecError):
    """A bundle whose files do not match their digests, or that carries something able to run code."""

    exit_code = 4


class NotFinite(LaennecError):
    """A model answered NaN or infinity."""


class StorageFull(LaennecError):
    """No room is left on the device; what was saved before is intact."""

    exit_code = 5


class GateFailed(LaennecError):
    """A derived model decides differently from its parent beyond what the gate allows."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn the failed import of an optional library inside the block into a `MissingExtra` naming the extra `name`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this needs the library '{error.name}', which is not installed", f'pip install "laennec[{name}]"'
        ) from error
