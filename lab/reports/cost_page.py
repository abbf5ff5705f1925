"""What units cost, as one HTML page that needs nothing else."""

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["cost_page"]

_PAGE: Final = Path(__file__).with_name("page.html")


def cost_page(report: dict[str, Any]) -> str:
    """Return a page that shows a report, which stands inside it as JSON."""
    # Inside a script element nothing ends it but </, and these two are line ends to old JavaScript.
    data = json.dumps(report).replace("</", "<\\/").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return _PAGE.read_text(encoding="utf-8").replace("/*REPORT*/null", data)
