"""Reports and comparisons as one self-contained page in two languages, and as tables for the terminal."""

from __future__ import annotations

from laennec.page.html import comparison_page, report_page
from laennec.page.text import comparison_text, report_text

__all__ = ["comparison_page", "comparison_text", "report_page", "report_text"]
