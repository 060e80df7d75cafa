"""What a request is refused with: a status, a stable code, two lines in words. Never anything of the input."""

from __future__ import annotations

from typing import Any

from laennec.errors import ImageError

NOTICE = "Research use only. Not a medical device."
STATUS = {
    "too_large": 413,
    "unsupported_type": 415,
    "unknown_syntax": 415,
    "missing_extra": 415,
}  # of the codes of images; all others are 422


class Fault(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        code: the stable word of docs/serving.md.
        message, hint: what is wrong, how to mend it.
        retry_after: seconds after which it may be tried again.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "", retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.retry_after = retry_after

    @classmethod
    def of(cls, error: ImageError) -> Fault:
        """The fault of an image that is refused."""
        return cls(STATUS.get(error.code, 422), error.code, error.message, error.hint)

    def body(self, request_id: str) -> dict[str, Any]:
        """As it is answered."""
        return {"request_id": request_id, "status": self.status, "error": self.error}

    @property
    def error(self) -> dict[str, str]:
        """Code, message and hint."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def bad_request(message: str, hint: str = "see /openapi.json") -> Fault:
    """A query, form or header that cannot be meant."""
    return Fault(400, "bad_request", message, hint)


def overloaded(seconds: float = 1.0) -> Fault:
    """More work than it can do."""
    return Fault(503, "overloaded", "the service is at work on all it can", "try again later", max(1, round(seconds)))


def stopping() -> Fault:
    """It takes nothing new."""
    return Fault(503, "stopping", "the service is being stopped", "try again, here or at another one", 2)


def too_late() -> Fault:
    """The time a request had has passed."""
    return Fault(504, "deadline", "the time for this request has passed", "allow more by deadline_ms, or try again")


def too_big(most: int) -> Fault:
    """A body over the bound."""
    return Fault(413, "body_too_large", f"the body has more than {most:,} bytes", "send fewer or smaller files")
