"""Where a command writes its files: checked before any work is done for them."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["check_folder", "check_outputs"]


def check_outputs(paths: Sequence[Path], suffixes: Sequence[str]) -> None:
    """Raise ValueError for an output that could not be written, before any work is done for it."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise ValueError(f"output must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}, not {path}")
        if not path.parent.is_dir():
            raise ValueError(f"output must be in a folder that exists, not {path}")
        if path.is_dir():
            raise ValueError(f"output must be a file, not the folder {path}")
    for path in paths:
        if sum(path == other for other in paths) > 1:
            raise ValueError(f"outputs must differ, not be {path} twice")


def check_folder(path: Path) -> None:
    """Raise ValueError for a folder that could not be made, because there is a file of that name."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"output must be a folder, not the file {path}")
