"""What a tile of dot products costs for each product, by its components.

A tile decodes each element once and has a datapath for each pair of a row and a column. Of rows times columns
equal datapaths nothing is learnt by synthesizing them all, so a tile is measured by its components alone,
each times its count: what would be optimised across their borders, which `compare` measures on the unit, is
left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from ...hw.config import UnitConfig
from ...synth.liberty import Library
from ...synth.recipes import choose
from ..statistics import Estimate, Summary, relative
from .comparison import PART_RECIPE
from .jobs import Measuring, measure_all
from .measurement_job import MeasurementJob, seeds_of
from .priced_unit import bases_of, unit_record

__all__ = ["TileCost", "measure_tiles"]


@dataclass(frozen=True)
class TileCost:
    """What a tile costs for each product, over its netlists.

    Attributes:
        unit: The tile.
        area: The sum of its components' areas, by rows times columns.
        nand2: The same in NAND2 equivalents.
        base: The tile that it is compared with; None for none.
        delta: The area less the base's of the same order, in percent of that.
    """

    unit: UnitConfig
    area: Summary
    nand2: Summary
    base: UnitConfig | None = None
    delta: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            **unit_record(self.unit),
            "area": self.area.to_dict(),
            "area_nand2": self.nand2.to_dict(),
            "base": None if self.base is None else self.base.name,
            "delta": None if self.delta is None else self.delta.to_dict(),
        }


def measure_tiles(
    units: Sequence[UnitConfig],
    library: Library,
    *,
    orders: int = 5,
    seed: int = 0,
    **measuring: Unpack[Measuring],
) -> list[TileCost]:
    """Measure tiles, each against the first that differs in its scale format alone.

    Args:
        units: The tiles.
        library: What to map to.
        orders: How many netlists are made of each, at least 2.
        seed: Which ones.
        **measuring: How, as `measure_all` takes it.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or a unit is no tile.
        SynthesisError: If a component cannot be synthesized.
    """
    seeds = seeds_of(orders, seed)
    for unit in units:
        if unit.tile is None:
            raise ValueError(f"units must be tiles, not {unit.name}")
    (alone,) = choose([PART_RECIPE])
    samples = measure_all(
        [MeasurementJob(unit, order, (), (alone.varied(order),)) for unit in units for order in seeds],
        library,
        **measuring,
    )
    bases = bases_of(units)
    costs: dict[UnitConfig, TileCost] = {}
    for index, unit in enumerate(units):
        rows, columns = unit.tile or (1, 1)
        made = samples[index * orders : (index + 1) * orders]
        areas = [sum(part.area * part.count for part in one.parts) / (rows * columns) for one in made]
        cost = TileCost(
            unit,
            Summary(library.area, tuple(areas)),
            Summary(replace(library.area, unit="NAND2"), tuple(map(library.nand2_equivalents, areas))),
        )
        base = bases.get(unit)
        if base is not None:
            delta = relative(library.area, costs[base].area.values, areas)
            cost = replace(cost, base=base, delta=delta)
        costs[unit] = cost
    return list(costs.values())
