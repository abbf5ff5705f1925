"""Cells that no designer would let a tool use.

A library has cells for one purpose: power gating, probing, delay against hold violations, keeping a bus. To a
synthesis tool they are gates like any other, and some are small. They are left out by four kinds of rules:

- what is known of a family of libraries (`FAMILIES`);
- what a cell's own group in the file says it is for (`PURPOSES`);
- the lists of a process design kit, where a PDK manager installed it: ``no_synth.cells`` and
  ``drc_exclude.cells`` (LibreLane: ``synth_exclude.cells``, ``pnr_exclude.cells``) in
  ``VARIANT/libs.tech/openlane/LIBRARY`` beside ``VARIANT/libs.ref/LIBRARY/lib``;
- patterns that the user gives.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from .liberty import Library

__all__ = ["FAMILIES", "PURPOSES", "choose_cells", "leave_out"]

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # Power gating and level shifters, metal probes, a spare, and delays.
        "sky130": (
            "sky130_*__lpflow_*",
            "sky130_*__probe*",
            "sky130_*__macro_sparecell",
            "sky130_*__dly*",
            "sky130_*__clkdlybuf*",
        ),
        # Delays, and a keeper of a bus.
        "gf180": ("gf180mcu_*__dly*", "gf180mcu_*__hold"),
        # Gated clocks, a keeper of a bus, and delays.
        "ihp": ("sg13*_lgcp_*", "sg13*_slgcp_*", "sg13*_sighold", "sg13*_dlygate*"),
        # Delays against hold violations, gated clocks, and registers with a scan input.
        "asap7": ("HB*_ASAP7_*", "ICG*_ASAP7_*", "SDF*_ASAP7_*"),
    }
)
"""What cells are left out by default, by the family whose names they have."""

PURPOSES: Final = (
    "is_isolation_cell",
    "is_level_shifter",
    "always_on",
    "retention_cell",
    "switch_cell_type",
    "clock_gating_integrated_cell",
)
"""Attributes of cells for power gating and gated clocks, in libraries of any family."""

_LISTS: Final = ("no_synth.cells", "synth_exclude.cells", "drc_exclude.cells", "pnr_exclude.cells")
_FLOWS: Final = ("openlane", "librelane")


def choose_cells(library: Library) -> Library:
    """Return a library without the cells of `FAMILIES` and of its kit's lists.

    Raises:
        ValueError: If it is left without a NAND2, inverter or buffer.
    """
    rules: list[tuple[str, tuple[str, ...]]] = [
        (pattern, (pattern,)) for patterns in FAMILIES.values() for pattern in patterns
    ]
    for file in _lists(library):
        lines = (
            line.partition("#")[0].strip() for line in file.read_text("utf-8", errors="replace").splitlines()
        )
        rules.append((file.name, tuple(line for line in lines if line)))
    named = {name for _, patterns in rules for name in _named(library, patterns)}
    for purpose in PURPOSES:
        cells = (cell.name for cell in library.cells.values() if cell.usable and cell.name not in named)
        rules.append((purpose, tuple(cell for cell in cells if _has(library, cell, purpose))))
    return _without(library, rules)


def leave_out(libraries: Sequence[Library], patterns: Iterable[str]) -> list[Library]:
    """Return libraries without the cells whose names have one of the patterns (``*``, ``?``, ``[...]``).

    Raises:
        ValueError: If no cell of any library has a pattern, or a library is left without a NAND2, inverter or
            buffer.
    """
    several = list(dict.fromkeys(patterns))
    for pattern in several:
        if not any(_named(library, (pattern,)) for library in libraries):
            names = ", ".join(library.name for library in libraries) or "none"
            raise ValueError(f"cells not to use must be in a library ({names}), not {pattern!r}")
    rules = [(pattern, (pattern,)) for pattern in several]
    return [_without(library, rules) for library in libraries]


def _has(library: Library, cell: str, purpose: str) -> bool:
    group, _ = library.groups[cell]
    return group.attributes.get(purpose, "false").lower() != "false"


def _named(library: Library, patterns: tuple[str, ...]) -> list[str]:
    return [name for name in library.cells if any(fnmatch.fnmatchcase(name, one) for one in patterns)]


def _without(library: Library, rules: Iterable[tuple[str, tuple[str, ...]]]) -> Library:
    """Leave out what each rule names, all at once: a single rule may leave too few."""
    found = {rule: names for rule, patterns in rules if (names := _named(library, patterns))}
    return library.without(found) if found else library


def _lists(library: Library) -> Iterator[Path]:
    """The lists of the kit that a library's files are part of."""
    places: dict[Path, None] = {}
    for source in library.sources:
        # VARIANT/libs.ref/LIBRARY/lib
        folder = source.folder
        if folder is not None and folder.name == "lib" and folder.parent.parent.name == "libs.ref":
            places |= {folder.parents[2] / "libs.tech" / flow / folder.parent.name: None for flow in _FLOWS}
    return (file for place in places for name in _LISTS if (file := place / name).is_file())
