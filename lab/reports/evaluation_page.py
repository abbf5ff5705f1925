"""Perplexities of a language model, as one HTML page that needs nothing else."""

from pathlib import Path
from typing import Any, Final

from .data_page import data_page

__all__ = ["evaluation_page"]

_PAGE: Final = Path(__file__).with_name("evaluation.html")


def evaluation_page(document: dict[str, Any]) -> str:
    """Return a page that shows what `EvaluationReport.document` gives."""
    return data_page(_PAGE, document)
