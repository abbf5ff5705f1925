"""What a library says of its cells beyond their areas: loads, delays, setup times and energies.

A library is read for its areas once; what is here is read cell by cell, when a netlist has it.
"""

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from .cell_reader import read_cell_model
from .cell_tables import Arc, CellModel, EdgeTables, Table
from .liberty import Library

__all__ = ["AbcCellModels", "CellModels"]

_PREFIXES: Final = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


class CellModels:
    """The cells of one library, each read when it is first asked for.

    Args:
        library: The library.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._known: dict[str, CellModel] = {}

    def __getitem__(self, name: str) -> CellModel:
        """Return the model of a cell.

        Raises:
            ValueError: If the library does not have it, or not all that timing needs.
        """
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    @functools.cached_property
    def voltage(self) -> float | None:
        """The nominal supply voltage; None where the library states none.

        Raises:
            ValueError: If the library counts voltages in something other than volts: energies hang on it.
        """
        unit = self.library.attributes.get("voltage_unit", "1V")
        if unit.replace(" ", "").upper() != "1V":
            raise ValueError(f"library {self.library.name} must have the voltage_unit '1V', not {unit!r}")
        text = self.library.attributes.get("nom_voltage")
        return None if text is None else float(text)

    @functools.cached_property
    def leakage_unit_nw(self) -> float | None:
        """The library's unit of leakage power in nW; None where it states none."""
        text = self.library.attributes.get("leakage_power_unit", "")
        match = re.fullmatch(r"([\d.]+) *([munpf]?)W", text)
        return float(match[1]) * 1e9 * _PREFIXES[match[2]] if match else None

    def leakage_nw(self, cells: Iterable[str]) -> float | None:
        """Return the leakage power of cells together in nW; None where the library states no unit of it."""
        if not self.leakage_unit_nw:
            return None
        return math.fsum(self[cell].leakage for cell in cells) * self.leakage_unit_nw

    def _read(self, name: str) -> CellModel:
        return read_cell_model(self.library.cell_group(name))


class AbcCellModels(CellModels):
    """The cells of one library as abc reads them, whose timing has one sense for each pair of pins.

    Of the arcs from one pin to another abc takes the sense of the first and the worst entries of all: where a
    library tells both senses of an XOR apart, abc does not see all of its paths.
    """

    def _read(self, name: str) -> CellModel:
        model = super()._read(name)
        arcs: dict[tuple[str, str], Arc] = {}
        for arc in model.arcs:
            first = arcs.setdefault((arc.source, arc.target), arc)
            delay, slope = _worst(first.delay, arc.delay), _worst(first.slope, arc.slope)
            arcs[arc.source, arc.target] = replace(
                first, delay=delay or first.delay, slope=slope or first.slope
            )
        return replace(model, arcs=tuple(arcs.values()))


def _worst(one: EdgeTables, other: EdgeTables) -> EdgeTables | None:
    """Return the tables of the larger entries; None where they stand at different points."""
    tables: list[Table | None] = []
    for a, b in zip(one, other, strict=True):
        table = a or b if a is None or b is None else a.combined(b, max)
        if table is None and a is not None:
            return None
        tables.append(table)
    rise, fall = tables
    return rise, fall
