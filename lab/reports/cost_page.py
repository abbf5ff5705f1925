"""What units cost, as one HTML page that needs nothing else."""

from pathlib import Path
from typing import Any, Final

from .data_page import data_page

__all__ = ["cost_page"]

_PAGE: Final = Path(__file__).with_name("page.html")


def cost_page(report: dict[str, Any]) -> str:
    """Return a page that shows a report, which stands inside it as JSON."""
    return data_page(_PAGE, report)
