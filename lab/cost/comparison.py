"""What one unit costs against another, with an error bar.

One synthesis is noise: a netlist that computes the same with its adders wired in another order comes out
larger or smaller by as much as the effect that is looked for. So each unit is made several times, each time
with another order of the bits that enter its compressor trees, and two units are compared pair by pair, both
made in the same order.

The difference is found in two ways. *Whole*: the flat unit, optimised across its components. *Attributed*:
each component synthesized alone, the difference being the sum over those that differ; equal components cost
the same and add nothing, not even noise. A component often has no order to choose, so in both ways abc
rewrites the gates beforehand as the order's seed draws it, alike for both units. What is left between the two
ways, paired as well, is what optimising *across* the components' borders adds or takes off: with it the
components add up to the whole, and where its interval excludes zero the two ways do not agree, and the
comparison says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Final, Literal, Unpack

from ...base.argument_checks import require_int
from ...synth.adder_cells import chosen_adders
from ...synth.liberty import Library, LibraryFacts
from ...synth.metric import FMAX, Metric, fmax_of
from ...synth.recipes import FLOW_VERSION, Recipe, choose, unvaried
from ...synth.synthesis_point import FLIP_FLOPS, SynthesisPoint
from ...synth.yosys import pyosys_version
from ..statistics import LEVEL, Estimate, Summary, relative
from .jobs import Measuring, measure_all
from .measurement import CostSample, MeasurementJob, seeds_of
from .priced_unit import PricedUnit, bases_of, unit_record

__all__ = [
    "COMPARED_RECIPES",
    "ORDERS",
    "PART_RECIPE",
    "Attribution",
    "CostComparison",
    "Delta",
    "PartCost",
    "PartDelta",
    "UnitCost",
    "Verdict",
    "compare_costs",
    "jobs_of",
]

ORDERS: Final = 5
"""Netlists made of each unit: five resolve the area of one scale bit, and six units take a minute."""

COMPARED_RECIPES: Final = ("a2", "d0")
"""The recipes of a comparison: those with the least spread between orders, for area and for delay."""

PART_RECIPE: Final = "a2"
"""The recipe of a component alone."""

Verdict = Literal["better", "worse", "unresolved"]

# Below this the mean number of a cell more or less is no news.
_CELLS_SHOWN: Final = 0.5


@dataclass(frozen=True)
class PartCost:
    """What one component costs, over its netlists.

    Attributes:
        role: What it is in the unit.
        count: How many there are.
        ports: Its ports with their widths.
        area: Area of one, alone.
    """

    role: str
    count: int
    ports: str
    area: Summary

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {"role": self.role, "count": self.count, "ports": self.ports, "area": self.area.to_dict()}


@dataclass(frozen=True)
class UnitCost:
    """What a unit costs, over its netlists.

    Attributes:
        unit: The unit.
        area: Its least area over the recipes, for each netlist; of a recipe's variations, the mean.
        nand2: The same in NAND2 equivalents of the library.
        delay: Its least delay over the recipes; gates alone.
        period: Its least clock period, registers included: see `synth.static_timing`.
        clock_to_output: Of the path that decides the period, the part from the clock to a register's output.
        setup: Of the same, the setup time.
        flip_flops: Its flip-flops.
        netlist: Hash of its RTLIL in the first order: what hardware all this is about.
        parts: Its components, where they were measured.
    """

    unit: PricedUnit
    area: Summary
    nand2: Summary
    delay: Summary
    period: Summary
    clock_to_output: Summary
    setup: Summary
    flip_flops: Summary
    netlist: str
    parts: tuple[PartCost, ...] = ()

    @property
    def fmax(self) -> Summary | None:
        """The highest clock frequency; None where periods are in no unit of time, and where there is none."""
        found = [fmax_of(period, self.period.metric.unit) for period in self.period.values]
        known = [frequency for frequency in found if frequency is not None]
        return Summary(FMAX, tuple(known)) if len(known) == len(found) else None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            **unit_record(self.unit),
            "area": self.area.to_dict(),
            "area_nand2": self.nand2.to_dict(),
            "delay": self.delay.to_dict(),
            "period": self.period.to_dict(),
            "fmax": None if self.fmax is None else self.fmax.to_dict(),
            "clock_to_output": self.clock_to_output.to_dict(),
            "setup": self.setup.to_dict(),
            "flip_flops": self.flip_flops.to_dict(),
            "netlist": self.netlist,
            "parts": [part.to_dict() for part in self.parts],
        }


@dataclass(frozen=True)
class Delta:
    """How a unit differs from another in one metric, paired by order.

    Attributes:
        base: What it is compared with.
        other: The unit that is compared.
        absolute: The other's figure less the base's.
        relative: The same in percent of the base's figure of the same order.
    """

    base: PricedUnit
    other: PricedUnit
    absolute: Estimate
    relative: Estimate

    @property
    def metric(self) -> Metric:
        """What is compared."""
        return self.absolute.metric

    @property
    def resolved(self) -> bool:
        """Whether the difference stands out of the spread."""
        return self.absolute.resolved

    @property
    def verdict(self) -> Verdict:
        """How the other unit does in this metric."""
        if not self.resolved:
            return "unresolved"
        return "better" if (self.absolute.mean < 0) == (self.metric.better == "lower") else "worse"

    def text(self) -> str:
        """Return the relative difference as it is printed: ``+0.46 ± 0.10 %``, or that it is not resolved."""
        return ("" if self.resolved else "not resolved: ") + self.relative.text()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "metric": self.metric.to_dict(),
            "base": self.base.name,
            "other": self.other.name,
            "verdict": self.verdict,
            "resolved": self.resolved,
            "text": self.text(),
            "absolute": self.absolute.to_dict(),
            "relative": self.relative.to_dict(),
        }


@dataclass(frozen=True)
class PartDelta:
    """What one component adds to a difference.

    Attributes:
        role: What it is in both units.
        base_count: How many the base has.
        other_count: How many the other has.
        base_ports: Its ports in the base; empty where it has none.
        other_ports: Its ports in the other; likewise.
        equal: Whether it is the same component in both.
        area: The area of all of them in the other less that in the base.
    """

    role: str
    base_count: int
    other_count: int
    base_ports: str
    other_ports: str
    equal: bool
    area: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self) | {"area": self.area.to_dict()}


@dataclass(frozen=True)
class Attribution:
    """A difference in area, component by component.

    Attributes:
        whole: The same difference of the flat units, which is what it is held against.
        parts: What each component adds; those that are equal add nothing.
        total: Their sum.
        relative: Their sum in percent of the flat base unit's area.
        cells: How many more of each cell the other unit has, flat and mapped for area; means over the orders,
            those of less than half a cell left out.
    """

    whole: Delta
    parts: tuple[PartDelta, ...]
    total: Estimate
    relative: Estimate
    cells: tuple[tuple[str, float], ...]

    @property
    def across(self) -> Estimate:
        """What optimising across the components' borders adds: the whole difference less their sum."""
        return _less(self.whole.absolute, self.total)

    @property
    def across_relative(self) -> Estimate:
        """The same in percent of the flat base unit's area."""
        return _less(self.whole.relative, self.relative)

    @property
    def agrees(self) -> bool:
        """Whether both ways give the same difference: whether what is between them may be nothing."""
        return not self.across.resolved

    def text(self) -> str:
        """Return the verdict on both ways in words."""
        verdict = (
            "both ways agree"
            if self.agrees
            else f"the ways do NOT agree, as optimising across components makes {self.across.text()}"
        )
        return f"{verdict}: whole {self.whole.relative.text()}, attributed {self.relative.text()}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "base": self.whole.base.name,
            "other": self.whole.other.name,
            "agrees": self.agrees,
            "text": self.text(),
            "whole": self.whole.absolute.to_dict(),
            "total": self.total.to_dict(),
            "relative": self.relative.to_dict(),
            "across": self.across.to_dict(),
            "across_relative": self.across_relative.to_dict(),
            "parts": [part.to_dict() for part in self.parts],
            "cells": dict(self.cells),
        }


def _less(one: Estimate, two: Estimate) -> Estimate:
    """Return the difference of two estimates that were measured in pairs."""
    return Estimate(one.metric, tuple(a - b for a, b in zip(one.values, two.values, strict=True)))


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
    costs = {unit: _cost(unit, made, library) for unit, made in by_unit.items()}
    deltas: list[Delta] = []
    attributions: list[Attribution] = []
    for unit, base in bases_of(units).items():
        found = list(_deltas(costs[base], costs[unit]))
        deltas += found
        # A quantizer is one piece, which has no components to attribute a difference to.
        if parts and all(sample.parts for sample in by_unit[unit]):
            attributions.append(_attribution(found[0], by_unit[base], by_unit[unit]))
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


def _mean_area(points: Sequence[SynthesisPoint]) -> float:
    return fmean(point.area for point in points)


def _for_area(sample: CostSample) -> list[SynthesisPoint]:
    """Return the points of the recipe that gives the least area: one of each of its variations."""
    by_recipe: dict[str, list[SynthesisPoint]] = {}
    for point in sample.points:
        by_recipe.setdefault(unvaried(point.recipe), []).append(point)
    return min(by_recipe.values(), key=_mean_area)


def _cost(unit: PricedUnit, samples: Sequence[CostSample], library: Library) -> UnitCost:
    """Return the cost by the samples of each order."""
    smallest = [_for_area(sample) for sample in samples]
    fastest = [min(sample.points, key=lambda point: point.period) for sample in samples]
    areas = tuple(map(_mean_area, smallest))

    def time(name: str, values: Iterable[float]) -> Summary:
        return Summary(replace(library.delay, name=name), tuple(values))

    return UnitCost(
        unit=unit,
        area=Summary(library.area, areas),
        nand2=Summary(replace(library.area, unit="NAND2"), tuple(map(library.nand2_equivalents, areas))),
        delay=time("delay", (min(point.delay for point in sample.points) for sample in samples)),
        period=time("period", (point.period for point in fastest)),
        clock_to_output=time("clock to output", (point.clock_to_output for point in fastest)),
        setup=time("setup", (point.setup for point in fastest)),
        flip_flops=Summary(FLIP_FLOPS, tuple(points[0].flip_flops for points in smallest)),
        netlist=samples[0].netlist,
        parts=tuple(
            PartCost(
                part.role,
                part.count,
                part.ports,
                Summary(library.area, tuple(sample.parts[index].area for sample in samples)),
            )
            for index, part in enumerate(samples[0].parts)
        ),
    )


def _deltas(base: UnitCost, other: UnitCost) -> Iterator[Delta]:
    for one, two in ((base.area, other.area), (base.delay, other.delay), (base.period, other.period)):
        yield Delta(
            base=base.unit,
            other=other.unit,
            absolute=Estimate(one.metric, tuple(b - a for a, b in zip(one.values, two.values, strict=True))),
            relative=relative(one.metric, one.values, two.values),
        )


def _attribution(whole: Delta, base: Sequence[CostSample], other: Sequence[CostSample]) -> Attribution:
    """Return what makes up a difference, by the samples of both units in the same orders."""
    metric = whole.metric
    areas: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(base))
    equal: dict[str, bool] = {}
    for index, (one, two) in enumerate(zip(base, other, strict=True)):
        ours, theirs = ({part.role: part for part in sample.parts} for sample in (one, two))
        for role in (*theirs, *(role for role in ours if role not in theirs)):
            a, b = ours.get(role), theirs.get(role)
            before, after = (part.area * part.count if part else 0.0 for part in (a, b))
            areas[role][index] = after - before
            alike = a is not None and b is not None and (a.sha256, a.count) == (b.sha256, b.count)
            equal[role] = equal.get(role, True) and alike
    ours, theirs = ({part.role: part for part in sample.parts} for sample in (base[0], other[0]))
    parts = tuple(
        PartDelta(
            role=role,
            base_count=ours[role].count if role in ours else 0,
            other_count=theirs[role].count if role in theirs else 0,
            base_ports=ours[role].ports if role in ours else "",
            other_ports=theirs[role].ports if role in theirs else "",
            equal=equal[role],
            area=Estimate(metric, tuple(values)),
        )
        for role, values in areas.items()
    )
    sums = [sum(values) for values in zip(*areas.values(), strict=True)]
    flat = [_mean_area(_for_area(sample)) for sample in base]
    return Attribution(
        whole=whole,
        parts=parts,
        total=Estimate(metric, tuple(sums)),
        relative=relative(metric, flat, [area + total for area, total in zip(flat, sums, strict=True)]),
        cells=tuple(_more_cells(base, other)),
    )


def _more_cells(base: Sequence[CostSample], other: Sequence[CostSample]) -> Iterator[tuple[str, float]]:
    """Yield how many more of each cell there are on average, the largest difference first."""
    more: dict[str, float] = defaultdict(float)
    for sign, samples in ((-1, base), (1, other)):
        for sample in samples:
            points = _for_area(sample)
            for point in points:
                for name, count in point.counts:
                    more[name] += sign * count / len(points)
    means = {name: count / len(base) for name, count in more.items()}
    for name, mean in sorted(means.items(), key=lambda item: (-abs(item[1]), item[0])):
        if abs(mean) >= _CELLS_SHOWN:
            yield name, mean
