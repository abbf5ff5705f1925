"""What is said of a file that is not what its suffix says."""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ...base.external_tools import ToolError

__all__ = ["reading"]

# What the parsers of JSON, ZIP and .npy raise on bytes that are none; RuntimeError is an encrypted member's,
# and what it covers (NotImplementedError, RecursionError) an unknown compression's and a deep header's.
_BROKEN: Final = (
    *(ValueError, EOFError, LookupError, RuntimeError, SyntaxError, TypeError, OverflowError, MemoryError),
    # numpy takes the header of an old .npy file apart as Python's own text.
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@contextmanager
def reading(path: Path, what: str = "tensor file") -> Iterator[None]:
    """Turn whatever a broken file makes a parser raise into one ValueError that names the file.

    Args:
        path: The file.
        what: What the message calls it.
    """
    try:
        yield
    except ToolError:
        raise
    except (*_BROKEN, OSError) as error:
        # A file that cannot be opened is named by the error. One without a name comes of what a file asks
        # for: a place before its begin, or what the disk does not give.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{what} must be a readable {path.suffix.lower()} file, not {str(path)!r}: {reason}"
        ) from error
