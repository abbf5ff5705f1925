"""A hash of source files: stored results are used again only while what they came from is unchanged."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

__all__ = ["source_digest", "source_files"]


def source_files(packages: Iterable[ModuleType]) -> list[tuple[str, Path]]:
    """Return every Python file below each package, with its name from the package on, in order.

    Args:
        packages: Packages or modules.

    Returns:
        Names such as ``hw/leaves/bits.py``, alike on every machine, and the paths.
    """
    files: list[tuple[str, Path]] = []
    for package in packages:
        assert package.__file__ is not None
        path = Path(package.__file__)
        if path.name != "__init__.py":
            files.append((path.name, path))
            continue
        files += [
            (file.relative_to(path.parent.parent).as_posix(), file) for file in path.parent.rglob("*.py")
        ]
    return sorted(files)


def source_digest(*packages: ModuleType, also: Iterable[str] = ()) -> str:
    """Return the SHA-256 of every Python file below packages or in modules, and of some texts.

    Args:
        packages: Packages or modules.
        also: What else a result depends on, such as versions of tools.
    """
    digest = hashlib.sha256()
    for text in also:
        digest.update(text.encode() + b"\0")
    for name, file in source_files(packages):
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
