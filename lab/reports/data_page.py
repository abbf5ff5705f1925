"""HTML pages that need nothing else: a template, the data that it shows, and what all such pages share."""

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["data_page"]

_HERE: Final = Path(__file__).parent


def data_page(template: Path, data: dict[str, Any]) -> str:
    """Return a page that shows some data, which stands inside it as JSON.

    Args:
        template: The page. ``/*REPORT*/null`` in its script stands for the data. Where it has ``/*STYLE*/``
            and ``/*PARTS*/``, the style and the functions that pages share take their places.
        data: What JSON can hold, and numbers that JavaScript has beyond that, such as Infinity.

    Raises:
        OSError: If the template cannot be read.
    """
    # Inside a script element nothing ends it but </, and these two are line ends to old JavaScript.
    text = json.dumps(data)
    text = text.replace("</", "<\\/").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    page = template.read_text(encoding="utf-8")
    for mark, name in (("/*STYLE*/", "page_style.css"), ("/*PARTS*/", "page_parts.js")):
        page = page.replace(mark, (_HERE / name).read_text(encoding="utf-8").rstrip("\n"))
    return page.replace("/*REPORT*/null", text)
