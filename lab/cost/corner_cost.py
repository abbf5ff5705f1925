"""What units take in time and leakage at several corners of one process.

A unit is synthesized for one corner, and has to work at all of them: so each netlist is made once, for the
library that is asked for, and timed with the tables of each corner. Units are compared corner by corner, in
pairs made in the same order, as in `comparison`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Unpack

from ...synth.liberty import Library
from ...synth.metric import Metric
from ...synth.recipes import choose
from ..statistics import Estimate, Summary, relative
from .jobs import Measuring, measure_all
from .measurement_job import MeasurementJob, seeds_of
from .priced_unit import PricedUnit, bases_of

__all__ = ["CORNER_DELTAS", "CornerCost", "corner_costs"]

CORNER_DELTAS: Final = ("delay", "period")
"""The figures of which there are differences."""

_RECIPE: Final = "d0"
_LEAKAGE: Final = Metric("leakage", "nW", "lower", 1)


@dataclass(frozen=True)
class CornerCost:
    """A unit at one corner, over its netlists.

    Attributes:
        unit: The unit.
        corner: Name of the corner's library.
        slowest: Whether the unit's period is longest there.
        figures: Delay, period and, where the library states any, leakage power, by name.
        base: The unit that it is compared with; None for none.
        deltas: Each of `CORNER_DELTAS` less the base's at this corner, in percent of that.
    """

    unit: PricedUnit
    corner: str
    slowest: bool
    figures: Mapping[str, Summary]
    base: PricedUnit | None = None
    deltas: Mapping[str, Estimate] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "unit": self.unit.name,
            "corner": self.corner,
            "slowest": self.slowest,
            "recipe": _RECIPE,
            "figures": {name: summary.to_dict() for name, summary in self.figures.items()},
            "base": None if self.base is None else self.base.name,
            "deltas": None
            if self.deltas is None
            else {name: delta.to_dict() for name, delta in self.deltas.items()},
        }


def corner_costs(
    units: Sequence[PricedUnit],
    library: Library,
    *,
    orders: int,
    seed: int = 0,
    **measuring: Unpack[Measuring],
) -> list[CornerCost]:
    """Time units at the corner that a library is of, and at its other corners.

    Args:
        units: What to measure. Of those that `kin_of` finds alike, the first is what the others are compared
            with.
        library: What to map to, with its `corners`.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        **measuring: How, as `measure_all` takes it.

    Returns:
        Each unit at each corner, that of the library first.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        SynthesisError: If a unit cannot be synthesized, or a corner does not time its cells.
    """
    seeds = seeds_of(orders, seed)
    (recipe,) = choose([_RECIPE])
    jobs = [MeasurementJob(unit, order, cornered=recipe) for unit in units for order in seeds]
    samples = measure_all(jobs, library, **measuring)
    metrics = {name: replace(library.delay, name=name) for name in CORNER_DELTAS} | {"leakage": _LEAKAGE}
    names = [library.name, *(corner.name for corner in library.corners)]
    found: dict[tuple[PricedUnit, str], dict[str, Summary]] = {}
    for number, unit in enumerate(units):
        own = samples[number * orders : (number + 1) * orders]
        for name, made in zip(names, zip(*(sample.corners for sample in own), strict=True), strict=True):
            found[unit, name] = {
                figure: Summary(metric, tuple(one[figure] for one in made))
                for figure, metric in metrics.items()
                if all(figure in one for one in made)
            }
    bases = bases_of(units)
    costs: list[CornerCost] = []
    for unit in units:
        slowest = max(names, key=lambda name: found[unit, name]["period"].median)
        for name in names:
            cost = CornerCost(unit, name, name == slowest, found[unit, name])
            if (base := bases.get(unit)) is not None:
                deltas = {
                    figure: relative(
                        metrics[figure],
                        found[base, name][figure].values,
                        found[unit, name][figure].values,
                    )
                    for figure in CORNER_DELTAS
                }
                cost = replace(cost, base=base, deltas=deltas)
            costs.append(cost)
    return costs
