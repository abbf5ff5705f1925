"""Standard-cell libraries as Liberty files have them: read, checked, and written again for Yosys and abc."""

from .boolean import CellFunction
from .cells import CellKind, ClockEdge, LibraryCell
from .library import Library, LibraryFacts, LibrarySource
from .syntax import LibertyGroup

__all__ = [
    "CellFunction",
    "CellKind",
    "ClockEdge",
    "LibertyGroup",
    "Library",
    "LibraryCell",
    "LibraryFacts",
    "LibrarySource",
]
