"""Radiographs come in by C-STORE or appear in a folder; objects of their study go out. Nothing accepted is lost."""

from __future__ import annotations

from laennec.receiving.answering import Tally
from laennec.receiving.listening import Door, listen
from laennec.receiving.watching import watch

__all__ = ["Door", "Tally", "listen", "watch"]
