"""Files that are never half there: written beside their place, then renamed."""

import contextlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["whole_file", "write_whole"]


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the place of `path` once the block ends without an error.

    Until then it stands beside it under a name of its own, and whatever is at `path` stays as it is. Where
    the block ends with an error, nothing is left of it.

    Raises:
        OSError: If it cannot be written; it names `path`.
    """
    # Short, so that it fits wherever `path` does.
    beside = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        with beside.open("xb") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        if error.filename == str(beside):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write_whole(path: Path, text: str) -> Path:
    """Write a text file in UTF-8, whole or not at all; return its path.

    Raises:
        OSError: If it cannot be written; it names `path`.
    """
    with whole_file(path) as file:
        file.write(text.encode())
    return path
