"""What one unit costs against another, with an error bar.

One synthesis is noise: a netlist that computes the same with its adders wired in another order comes out
larger or smaller by as much as the effect that is looked for. So each unit is made several times, each time
with another order of the bits that enter its compressor trees, and two units are compared pair by pair, both
made in the same order.

The difference is found in two ways. *Whole*: the flat unit, optimised across its components. *Attributed*:
the sum over the components, each synthesized alone (see `attribution`). A component often has no order to
choose, so in both ways abc rewrites the gates beforehand as the order's seed draws it, alike for both units.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Unpack

from ...base.argument_checks import require_int
from ...synth.adder_cells import chosen_adders
from ...synth.liberty import Library, LibraryFacts
from ...synth.recipes import FLOW_VERSION, Recipe, choose
from ...synth.yosys import pyosys_version
from ..statistics import LEVEL
from .attribution import Attribution, attribute
from .cost_delta import Delta, cost_deltas
from .jobs import Measuring, measure_all
from .measurement_job import MeasurementJob, seeds_of
from .priced_unit import PricedUnit, bases_of
from .unit_cost import UnitCost, unit_cost

__all__ = [
    "COMPARED_RECIPES",
    "ORDERS",
    "PART_RECIPE",
    "CostComparison",
    "compare_costs",
    "jobs_of",
]

ORDERS: Final = 5
"""Netlists made of each unit: five resolve the area of one scale bit, and six units take a minute."""

COMPARED_RECIPES: Final = ("a2", "d0")
"""The recipes of a comparison: those with the least spread between orders, for area and for delay."""

PART_RECIPE: Final = "a2"
"""The recipe of a component alone."""


@dataclass(frozen=True)
class CostComparison:
    """Costs of units, and how those differ that differ in their scale format alone.

    Attributes:
        library: The library they were mapped to.
        recipes: The recipes that the least figures were taken over.
        orders: The seeds of the orders in which the units were made.
        variants: How many variations of each recipe for area every netlist went through.
        pyosys: Version of the synthesizer.
        costs: The cost of each unit.
        deltas: Area, delay and period of each unit against the first that differs in scale format alone.
        attributions: The same difference in area, component by component.
        adders: The library's adder cells that the recipes use; none where they use gates alone.
    """

    library: LibraryFacts
    recipes: tuple[str, ...]
    orders: tuple[int, ...]
    variants: int
    pyosys: str
    costs: tuple[UnitCost, ...]
    deltas: tuple[Delta, ...]
    attributions: tuple[Attribution, ...] = ()
    adders: tuple[str, ...] = ()

    def delta(self, unit: PricedUnit, metric: str) -> Delta | None:
        """Return the delta of a unit in ``area``, ``delay`` or ``period``; None where it has none."""
        return next((d for d in self.deltas if d.other == unit and d.metric.name == metric), None)

    def attribution(self, unit: PricedUnit) -> Attribution | None:
        """Return what makes up a unit's difference in area; None where that was not measured."""
        return next((a for a in self.attributions if a.whole.other == unit), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole as JSON can hold it."""
        return {
            "library": asdict(self.library) | {"files": list(self.library.files)},
            "tools": {"pyosys": self.pyosys, "flow": FLOW_VERSION},
            "recipes": list(self.recipes),
            "orders": list(self.orders),
            "variants": self.variants,
            "adders": list(self.adders),
            "level": LEVEL,
            "costs": [cost.to_dict() for cost in self.costs],
            "deltas": [delta.to_dict() for delta in self.deltas],
            "attributions": [attribution.to_dict() for attribution in self.attributions],
        }


def jobs_of(
    units: Sequence[PricedUnit],
    orders: Sequence[int],
    recipes: Sequence[str | Recipe],
    *,
    parts: bool,
    variants: int = 1,
    adders: bool = False,
) -> list[MeasurementJob]:
    """Return the jobs that measure units, unit by unit.

    Jobs that are done at the same time then differ in their order, and find the components that units have
    in common measured by the jobs before.

    Args:
        units: What to measure.
        orders: In which orders.
        recipes: How.
        parts: Whether each component is measured alone as well.
        variants: How many variations of each recipe for area every netlist goes through.
        adders: Whether they are mapped to the library's adder cells too.
    """
    chosen = _chosen(recipes, adders=adders)
    (alone,) = _chosen([PART_RECIPE], adders=adders)
    made: dict[int, tuple[Recipe, ...]] = {}
    for order in orders:
        seeds = range(order * variants, (order + 1) * variants)
        made[order] = tuple(
            varied
            for recipe in chosen
            for varied in ([recipe] if recipe.goal == "delay" else [recipe.varied(seed) for seed in seeds])
        )
    return [
        MeasurementJob(unit, order, made[order], (alone.varied(order * variants),) if parts else ())
        for unit in units
        for order in orders
    ]


def _chosen(recipes: Sequence[str | Recipe], *, adders: bool) -> list[Recipe]:
    return [recipe.with_adders() if adders else recipe for recipe in choose(recipes)]


def compare_costs(
    units: Sequence[PricedUnit],
    library: Library,
    *,
    orders: int = ORDERS,
    seed: int = 0,
    recipes: Sequence[str | Recipe] = COMPARED_RECIPES,
    variants: int = 1,
    parts: bool = True,
    adders: bool = False,
    **measuring: Unpack[Measuring],
) -> CostComparison:
    """Measure units, and compare those that `kin_of` finds alike.

    Args:
        units: What to measure. Of those that are alike, the first is what the others are compared with.
        library: What to map to.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones: a different seed takes different orders throughout.
        recipes: Synthesis recipes; the least figure over them counts.
        variants: How many variations of each recipe for area every netlist goes through: their mean counts.
            One more takes much less time than one more netlist, and narrows the interval almost as much where
            most of the spread is abc's.
        parts: Whether each component is measured alone as well, where there are some.
        adders: Whether units are mapped to the library's adder cells too: see `synth.recipes`.
        **measuring: How, as `measure_all` takes it.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        SynthesisError: If a unit cannot be synthesized.
    """
    if not units:
        raise ValueError("units must be at least one, not none")
    if len(set(units)) != len(units):
        raise ValueError(f"units must differ, not be {_repeated(units).name} twice")
    seeds = tuple(seeds_of(orders, seed))
    if require_int("variants", variants) < 1:
        raise ValueError(f"variants must be at least 1, not {variants}")
    samples = measure_all(
        jobs_of(units, seeds, recipes, parts=parts, variants=variants, adders=adders),
        library,
        **measuring,
    )
    by_unit = {unit: samples[index * orders : (index + 1) * orders] for index, unit in enumerate(units)}
    costs = {unit: unit_cost(unit, made, library) for unit, made in by_unit.items()}
    deltas: list[Delta] = []
    attributions: list[Attribution] = []
    for unit, base in bases_of(units).items():
        found = list(cost_deltas(costs[base], costs[unit]))
        deltas += found
        # A dequantizer or a serial quantizer is one piece, which has no parts to attribute a difference to.
        if parts and all(sample.parts for sample in by_unit[unit]):
            attributions.append(attribute(found[0], by_unit[base], by_unit[unit]))
    return CostComparison(
        library=library.facts,
        recipes=tuple(recipe.name for recipe in _chosen(recipes, adders=adders)),
        orders=seeds,
        variants=variants,
        pyosys=pyosys_version(),
        costs=tuple(costs.values()),
        deltas=tuple(deltas),
        attributions=tuple(attributions),
        adders=tuple(adder.name for adder in chosen_adders(library)) if adders else (),
    )


def _repeated(units: Sequence[PricedUnit]) -> PricedUnit:
    return next(unit for index, unit in enumerate(units) if unit in units[:index])
