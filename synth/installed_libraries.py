"""Libraries that are on this machine, where those who distribute them put them.

PDK managers (ciel, volare) lay a PDK out as ``$PDK_ROOT/VARIANT/libs.ref/LIBRARY/lib/*.lib``; without the
variable they use ``~/.ciel`` or ``~/.volare``. Debian's qflow-tech packages have theirs in
``/usr/share/qflow/tech``.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .cell_choice import choose_cells
from .liberty import Library
from .neutral_library import neutral

__all__ = ["FoundLibrary", "find_libraries", "find_library"]

QFLOW_FOLDER: Final = Path("/usr/share/qflow/tech")
# Typical silicon at room temperature is what libraries are compared at; where there are several voltages,
# the first by name.
_TYPICAL: Final = re.compile(r"(?:^|_)(?:tt|typ)(?:_|$).*25C", re.IGNORECASE)


@dataclass(frozen=True)
class FoundLibrary:
    """A library that was found.

    Attributes:
        name: What to call it by: the name of its folder.
        source: The variant of the PDK, or the package, that it is part of.
        files: Its Liberty files, at the typical corner where there is a choice.
    """

    name: str
    source: str
    files: tuple[Path, ...]


def _roots() -> list[Path]:
    chosen = os.environ.get("PDK_ROOT")
    if chosen:
        return [Path(chosen)]
    return [Path.home() / ".ciel", Path.home() / ".volare"]


def find_libraries(qflow: Path = QFLOW_FOLDER) -> list[FoundLibrary]:
    """Return the libraries of this machine by name, each once.

    Args:
        qflow: Where Debian's packages have theirs.
    """
    found: dict[str, FoundLibrary] = {}
    for root in _roots():
        for folder in sorted(root.glob("*/libs.ref/*/lib")):
            files = sorted([*folder.glob("*.lib"), *folder.glob("*.lib.gz")])
            typical = [file for file in files if _TYPICAL.search(file.name)]
            if files:
                name = folder.parent.name
                source = folder.parents[2].name
                found.setdefault(name, FoundLibrary(name, source, ((typical or files)[0],)))
    for file in sorted(qflow.glob("*/*.lib")):
        name = file.parent.name
        found.setdefault(name, FoundLibrary(name, f"qflow-tech-{name}", (file,)))
    return sorted(found.values(), key=lambda library: library.name)


def find_library(name: str, qflow: Path = QFLOW_FOLDER) -> Library:
    """Return a library by its name, or by its files, without the cells that `choose_cells` leaves out.

    Args:
        name: ``neutral``, the name of one that `find_libraries` finds, or Liberty files with a comma between
            them.
        qflow: Where Debian's packages have theirs.

    Raises:
        ValueError: If there is no such library, or a file is not a good one.
        FileNotFoundError: If a file is not there.
    """
    if name == "neutral":
        return neutral()
    found = {library.name: library for library in find_libraries(qflow)}
    if name in found:
        return choose_cells(Library.read(*found[name].files))
    if name.endswith((".lib", ".lib.gz")):
        return choose_cells(Library.read(*name.split(",")))
    known = ", ".join(["neutral", *found])
    raise ValueError(f"library must be one of {known}, or Liberty files, not {name!r}")
