"""Files that may be compressed by gzip."""

import gzip
import zlib
from pathlib import Path

__all__ = ["read_plain_or_gzip"]


def read_plain_or_gzip(place: Path, what: str) -> bytes:
    """Return the contents of a file, plain or gzip (told by its first bytes).

    Args:
        place: The file.
        what: What messages call it, such as ``Liberty file``.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a directory.
        ValueError: If it is a broken gzip file.
    """
    if place.is_dir():
        raise IsADirectoryError(f"{what} must be a file, not the directory {str(place)!r}")
    if not place.exists():
        raise FileNotFoundError(f"{what} must exist, not {str(place)!r}")
    data = place.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{what} must be a whole gzip file, not {str(place)!r}: {reason}") from error
