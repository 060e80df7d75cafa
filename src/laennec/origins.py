"""Where a public data set can be had: what a member of `datasets` offers to `laennec data fetch`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Noun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Download(_Noun):
    """A file that anybody can download by its address.

    Attributes:
        url: its address, https as a rule.
        name: the file's name.
        size: bytes, about; 0 where it is not known beforehand. What the server says counts.
        md5, sha256: as the publisher gives them, hex; empty where none is published. A file with another is refused.
        reported_sha256: what others found, none of them the publisher. A file with another is told, not refused.
    """

    url: str
    name: str
    size: int = Field(default=0, ge=0)
    md5: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    reported_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class Kaggle(_Noun):
    """An archive at Kaggle, which needs an account.

    Attributes:
        kind: ``datasets``, or ``competitions``, whose rules must be accepted in a browser first.
        name: ``owner/name`` of a data set, the name of a competition.
        size: bytes of the archive, about.
    """

    kind: Literal["datasets", "competitions"]
    name: str = Field(pattern=r"^[a-z0-9-]+(/[a-z0-9-]+)?$")
    size: int = Field(default=0, ge=0)

    @property
    def page(self) -> str:
        """The page to open in a browser."""
        return f"https://www.kaggle.com/{self.kind}/{self.name}"


class Archive(_Noun):
    """How the result lies in a zip or tar archive.

    Attributes:
        inside: folder of the archive whose content becomes the result; empty for the archive's own top.
        keep: patterns of the paths below it that are wanted (``*`` takes in slashes); the rest is left packed.
        unpacked: bytes of the result, about; half as much again is refused.
    """

    inside: str = ""
    keep: tuple[str, ...] = Field(min_length=1, strict=False)
    unpacked: int = Field(gt=0)


class Origin(_Noun):
    """One place a data set can be had from, in one form.

    Attributes:
        variant: its name among the origins of its data set; the first origin is taken where none is asked for.
        title: what it is, in one line.
        licence, citation: as the publisher asks.
        page: the publisher's page.
        source: how it comes.
        archive: how the result lies in what comes; None where that file is the result.
        layout: what lies in the data set's root in the end, one line per path.
    """

    variant: str
    title: str
    licence: str
    citation: str
    page: str
    source: Download | Kaggle
    archive: Archive | None
    layout: tuple[str, ...] = Field(min_length=1, strict=False)
