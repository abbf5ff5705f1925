"""Area against delay: what a unit costs at a given delay, and what one costs more than another there.

A unit is synthesized for several delay targets and in both forms that its components have. What counts is the
lower edge of all its points: the least area at which a delay is reached. Between two of them the edge is a
straight line, as if half of a chip's units were of the one kind and half of the other. Two units are compared
at the same delay, pair by pair, each pair made in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple, Unpack

from ...hw.config import OPTIMISE
from ...synth.cell_models import CellModels
from ...synth.liberty import Library
from ...synth.recipes import RECIPES, Recipe, choose
from ...synth.timing_context import register_overhead
from ..statistics import Estimate, Summary, relative
from .cost_sample import CostSample
from .jobs import Measuring, measure_all
from .measurement_job import MeasurementJob, seeds_of
from .priced_unit import PricedUnit, kin_of, unit_record

__all__ = [
    "DELAY_TARGETS",
    "SIZED",
    "AreaDelayCurve",
    "AreaDelayCurves",
    "AreaDelayDelta",
    "AreaDelayPoint",
    "area_at",
    "area_delay_curves",
    "front",
]

SIZED: Final = ("s1", "d1")
"""The recipes that are given delay targets."""

UNSIZED: Final = "a2"
"""The recipe of the least area, which heeds no target."""

DELAY_TARGETS: Final = 4
"""How many delay targets there are, unless they are given."""


class AreaDelayPoint(NamedTuple):
    """One point of a curve.

    Attributes:
        delay: Its delay (clock period where there are registers), in the library's unit of delay.
        area: Its area.
        recipe: The recipe that it came of.
        optimise: The form of the components.
    """

    delay: float
    area: float
    recipe: str
    optimise: str


def front(dots: Sequence[AreaDelayPoint]) -> list[AreaDelayPoint]:
    """Return the dots that no other one beats in both, by rising delay."""
    best: list[AreaDelayPoint] = []
    for dot in sorted(dots):
        if not best or dot.area < best[-1].area:
            best.append(dot)
    return best


def area_at(dots: Sequence[AreaDelayPoint], delay: float) -> float | None:
    """Return the least area at a delay; None where no dot is that fast.

    It is read off the lower convex edge of the front, as far as the slowest dot, whose area holds from there.
    """
    edge: list[AreaDelayPoint] = []
    for dot in front(dots):
        # Behind a dot that lies above the line between its neighbours, the line is the edge.
        while len(edge) > 1 and _above(edge[-2], edge[-1], dot):
            edge.pop()
        edge.append(dot)
    if not edge or delay < edge[0].delay:
        return None
    for left, right in pairwise(edge):
        if delay <= right.delay:
            share = (delay - left.delay) / (right.delay - left.delay)
            return left.area + share * (right.area - left.area)
    return edge[-1].area


def _above(left: AreaDelayPoint, middle: AreaDelayPoint, right: AreaDelayPoint) -> bool:
    return (middle.area - left.area) * (right.delay - left.delay) >= (right.area - left.area) * (
        middle.delay - left.delay
    )


@dataclass(frozen=True)
class AreaDelayCurve:
    """A unit's points.

    Attributes:
        unit: The unit, in its form for area.
        dots: For each order, all points.
        areas: At each delay of `Curves.delays`, the least area over the orders; None where not every order
            is that fast.
    """

    unit: PricedUnit
    dots: tuple[tuple[AreaDelayPoint, ...], ...]
    areas: tuple[Summary | None, ...]

    @property
    def front(self) -> list[AreaDelayPoint]:
        """The best of all orders."""
        return front([dot for order in self.dots for dot in order])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            **unit_record(self.unit),
            "dots": [[dot._asdict() for dot in order] for order in self.dots],
            "front": [dot._asdict() for dot in self.front],
            "areas": [None if area is None else area.to_dict() for area in self.areas],
        }


@dataclass(frozen=True)
class AreaDelayDelta:
    """How a unit's area differs from another's at one delay.

    Attributes:
        base: What it is compared with.
        other: The unit that is compared.
        delay: The delay that both have.
        absolute: The other's area less the base's, paired by order.
        relative: The same in percent.
    """

    base: PricedUnit
    other: PricedUnit
    delay: float
    absolute: Estimate
    relative: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "base": self.base.name,
            "other": self.other.name,
            "delay": self.delay,
            "absolute": self.absolute.to_dict(),
            "relative": self.relative.to_dict(),
        }


@dataclass(frozen=True)
class AreaDelayCurves:
    """The curves of several units, read off at the same delays.

    Attributes:
        delays: The delays, in the library's unit.
        curves: A curve for each unit.
        deltas: Each unit against the first that differs in its scale format alone, at each delay that both
            reach in every order.
    """

    delays: tuple[float, ...]
    curves: tuple[AreaDelayCurve, ...]
    deltas: tuple[AreaDelayDelta, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "delays": list(self.delays),
            "curves": [curve.to_dict() for curve in self.curves],
            "deltas": [delta.to_dict() for delta in self.deltas],
        }


def _time(sample: CostSample, unit: PricedUnit) -> list[tuple[str, float, float]]:
    """Return recipe, delay (clock period where there are registers) and area of each point."""
    return [
        (point.recipe, point.period if unit.stages else point.delay, point.area) for point in sample.points
    ]


def area_delay_curves(
    units: Sequence[PricedUnit],
    library: Library,
    *,
    targets: Sequence[float] = (),
    orders: int = 2,
    seed: int = 0,
    adders: bool = False,
    **measuring: Unpack[Measuring],
) -> AreaDelayCurves:
    """Measure the area-delay curves of units that are alike but for their scale format.

    Args:
        units: The units; their form is left aside, as every curve is made of both.
        library: What to map to.
        targets: Delay targets in the library's unit; clock periods where there are registers. Where there
            are none, `DELAY_TARGETS` of them between the fastest and the smallest that the first unit
            comes out as.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        adders: Whether units are mapped to the library's adder cells too.
        **measuring: How, as `measure_all` takes it.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or the units differ in more than the scale format.
        SynthesisError: If a unit cannot be synthesized.
    """
    if not units:
        raise ValueError("units must be at least one, not none")
    units = list(dict.fromkeys(replace(unit, optimise="area") for unit in units))
    first = units[0]
    for unit in units:
        if kin_of(unit) != kin_of(first):
            raise ValueError(
                f"units of a curve must be of one kind and size, not {first.name} and {unit.name}"
            )
    if any(not target > 0 for target in targets):
        raise ValueError(f"delay targets must be positive, not {min(targets)}")
    seeds = seeds_of(orders, seed)
    ends = tuple(choose([UNSIZED, *SIZED]))

    def jobs(recipes: tuple[Recipe, ...]) -> list[tuple[PricedUnit, int, MeasurementJob]]:
        used = tuple(recipe.with_adders() for recipe in recipes) if adders else recipes
        return [
            (unit, index, MeasurementJob(replace(unit, optimise=optimise), order, used))
            for unit in units
            for optimise in OPTIMISE
            for index, order in enumerate(seeds)
        ]

    def measured(recipes: tuple[Recipe, ...]) -> None:
        wanted = jobs(recipes)
        samples = measure_all([job for _, _, job in wanted], library, **measuring)
        for (unit, index, job), sample in zip(wanted, samples, strict=True):
            dots[unit][index].extend(
                AreaDelayPoint(delay, area, recipe, job.unit.optimise)
                for recipe, delay, area in _time(sample, unit)
            )

    dots: dict[PricedUnit, list[list[AreaDelayPoint]]] = {unit: [[] for _ in seeds] for unit in units}
    measured(ends)
    if not targets:
        edge = front([dot for order in dots[first] for dot in order])
        fast, slow = edge[0].delay, edge[-1].delay
        ratio = slow / fast if fast else 1.0
        targets = [fast * ratio ** (k / DELAY_TARGETS) for k in range(1, DELAY_TARGETS + 1)]
    # What registers take is not abc's to know.
    overhead = _overhead(library) if first.stages else 0.0
    sized = [
        RECIPES[name].at(max(target - overhead, 0) * library.delay_unit_ps)
        for target in targets
        for name in SIZED
    ]
    measured(tuple(dict.fromkeys(sized)))
    delays = tuple(sorted(targets))
    made: list[AreaDelayCurve] = []
    read: dict[PricedUnit, list[list[float] | None]] = {}
    for unit in units:
        at: list[list[float] | None] = []
        for delay in delays:
            areas = [area_at(order, delay) for order in dots[unit]]
            known = [area for area in areas if area is not None]
            at.append(known if len(known) == len(areas) else None)
        read[unit] = at
        summaries = [None if areas is None else Summary(library.area, tuple(areas)) for areas in at]
        made.append(AreaDelayCurve(unit, tuple(map(tuple, dots[unit])), tuple(summaries)))
    deltas = [
        AreaDelayDelta(
            first,
            unit,
            delay,
            Estimate(library.area, tuple(b - a for a, b in zip(ours, theirs, strict=True))),
            relative(library.area, ours, theirs),
        )
        for unit in units[1:]
        for delay, ours, theirs in zip(delays, read[first], read[unit], strict=True)
        if ours is not None and theirs is not None
    ]
    return AreaDelayCurves(delays, tuple(made), tuple(deltas))


def _overhead(library: Library) -> float:
    """Return what a register takes of a clock period, in the library's unit of delay."""
    return register_overhead(CellModels(library)) / library.delay_unit_ps
