"""Reports and comparisons as one self-contained page in two languages, and as tables for the terminal."""

from __future__ import annotations

from laennec.page.html import comparison_page, report_page
from laennec.page.text import comparison_text, report_text
from laennec.page.voice import Language

__all__ = ["Language", "comparison_page", "comparison_text", "report_page", "report_text"]
