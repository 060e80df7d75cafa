"""Reports, comparisons, studies, data sets: one self-contained page each, in two languages, and terminal tables."""

from __future__ import annotations

from laennec.page.data import exploration_page, exploration_text
from laennec.page.html import comparison_page, report_page
from laennec.page.study import study_page, study_text
from laennec.page.text import comparison_text, report_text
from laennec.page.voice import Language

__all__ = [
    "Language",
    "comparison_page",
    "comparison_text",
    "exploration_page",
    "exploration_text",
    "report_page",
    "report_text",
    "study_page",
    "study_text",
]
