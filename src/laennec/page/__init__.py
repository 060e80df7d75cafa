"""Reports, audits, comparisons, costs, studies, data sets: pages in two languages, and terminal tables."""

from __future__ import annotations

from laennec.page.audit import audit_page, audit_text, own_picture, suspects_pictured
from laennec.page.clearance import clearance_text
from laennec.page.comparison import comparison_page, comparison_text
from laennec.page.cost import cost_text
from laennec.page.data import exploration_page, exploration_text
from laennec.page.documents import as_markdown, data_sheet, model_card
from laennec.page.html import errors_pictured, report_page
from laennec.page.segmentation import pictured
from laennec.page.study import study_page, study_text
from laennec.page.text import report_text
from laennec.page.voice import Language

__all__ = [
    "Language",
    "as_markdown",
    "audit_page",
    "audit_text",
    "clearance_text",
    "comparison_page",
    "comparison_text",
    "cost_text",
    "data_sheet",
    "errors_pictured",
    "exploration_page",
    "exploration_text",
    "model_card",
    "own_picture",
    "pictured",
    "report_page",
    "report_text",
    "study_page",
    "study_text",
    "suspects_pictured",
]
