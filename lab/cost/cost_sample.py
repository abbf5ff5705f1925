"""What a measurement came out as, and its record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...synth.synthesis_point import Counts, SynthesisPoint, synthesis_point_of
from .placed_figures import PlacedFigures
from .switching_energy import SwitchingEnergy

__all__ = ["CostSample", "PartSample", "pairs_of"]


@dataclass(frozen=True)
class PartSample:
    """One component, measured alone.

    Attributes:
        role: What it is in the unit.
        count: How many there are.
        ports: Its ports with their widths.
        sha256: Hash of its netlist: equal ones are equal components.
        area: Its least area over the recipes, in the library's unit.
        cells: Its cells, by name, as it came out smallest.
    """

    role: str
    count: int
    ports: str
    sha256: str
    area: float
    cells: Counts


@dataclass(frozen=True)
class CostSample:
    """What one job came out as.

    Attributes:
        netlist: Hash of the unit's RTLIL, before synthesis.
        points: The whole, by each recipe in their order.
        parts: Its components, if they were asked for.
        energies: The energy of one input, for each workload in their order, without wires.
        placed: What came of each placement, if it was asked for.
        corners: What `corner_figures` gives at the corner of the library, then at each other.
    """

    netlist: str
    points: tuple[SynthesisPoint, ...]
    parts: tuple[PartSample, ...] = ()
    energies: tuple[SwitchingEnergy, ...] = ()
    placed: tuple[PlacedFigures, ...] = ()
    corners: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def of(cls, record: Any) -> "CostSample":
        """Return the sample that a JSON record holds.

        Raises:
            KeyError, TypeError, ValueError: If it holds none.
        """
        return cls(
            record["netlist"],
            tuple(synthesis_point_of(point["recipe"], point) for point in record["points"]),
            tuple(PartSample(**{**part, "cells": pairs_of(part["cells"])}) for part in record["parts"]),
            tuple(SwitchingEnergy(**energy) for energy in record["energies"]),
            # Records of before there were placements have none.
            tuple(map(PlacedFigures.of, record.get("placed", ()))),
            # The same holds for corners.
            tuple(dict(corner) for corner in record.get("corners", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self)


def pairs_of(cells: list[list[Any]]) -> Counts:
    """Return the cells that a JSON record holds."""
    return tuple((name, count) for name, count in cells)
