"""What one unit costs against another, with an error bar.

One synthesis is noise: a netlist that computes the same with its adders wired in another order comes out
larger or smaller by as much as the effect that is looked for. So each unit is made several times, each time
with another order of the bits that enter its compressor trees, and two units are compared pair by pair, both
made in the same order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any, Final, Literal

from ..hw.synth.flow import (
    FLIP_FLOPS,
    FLOW_VERSION,
    Netlist,
    Point,
    Progress,
    pyosys_version,
    synthesize_all,
)
from ..hw.synth.liberty import Library, LibraryFacts
from ..hw.synth.metric import Metric
from ..model import DotSpec
from ..model.checks import require_int
from .estimate import LEVEL, Estimate, Summary

__all__ = [
    "ORDERS",
    "RECIPES",
    "SCHEMA",
    "SCHEMA_VERSION",
    "Comparison",
    "Cost",
    "Delta",
    "Make",
    "Unit",
    "Verdict",
    "compare",
    "default_units",
]

SCHEMA: Final = "blockdot.compare"
SCHEMA_VERSION: Final = 1

ORDERS: Final = 6
"""Netlists made of each unit: six resolve the area of one scale bit, and six units take a minute."""

RECIPES: Final = ("a2", "d1")
"""The recipes of a comparison: those with the least spread between orders, for area and for delay."""

Make = Callable[[DotSpec, int, int], tuple[str, str]]
"""Makes the netlist of a specification, with so many stages and in that order: RTLIL, and the top's name."""

Verdict = Literal["better", "worse", "unresolved"]

_PERCENT_DIGITS: Final = 2


@dataclass(frozen=True)
class Unit:
    """A unit to measure.

    Attributes:
        spec: What it computes.
        stages: Its register stages.
    """

    spec: DotSpec
    stages: int

    @property
    def name(self) -> str:
        """The specification's name with the stages: ``e2m1_ue5m3_n16_fp32_s1``."""
        return f"{self.spec.name}_s{self.stages}"


def default_units(
    scales: Sequence[str] = ("ue4m3", "ue5m3"),
    accumulates: Sequence[str] = ("none", "fp32", "exact"),
    block_size: int = 16,
) -> list[Unit]:
    """Return the units of the question that brings people here: each scale under each accumulation.

    They have the least stages there can be: none where nothing is accumulated, else one.

    Raises:
        TypeError, ValueError: If a parameter is not one of a specification.
    """
    specs = [
        DotSpec(scale=scale, accumulate=accumulate, block_size=block_size)  # type: ignore[arg-type]
        for accumulate in accumulates
        for scale in scales
    ]
    return [Unit(spec, 1 if spec.accumulates else 0) for spec in specs]


@dataclass(frozen=True)
class Cost:
    """What a unit costs, over its netlists.

    Attributes:
        unit: The unit.
        area: Its least area over the recipes, for each netlist.
        nand2: The same in NAND2 equivalents of the library.
        delay: Its least delay over the recipes; gates alone, without wires, clock-to-output and setup.
        flip_flops: Its flip-flops.
    """

    unit: Unit
    area: Summary
    nand2: Summary
    delay: Summary
    flip_flops: Summary

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """All of them."""
        return self.area, self.nand2, self.delay, self.flip_flops

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            **_unit_dict(self.unit),
            "area": self.area.to_dict(),
            "area_nand2": self.nand2.to_dict(),
            "delay": self.delay.to_dict(),
            "flip_flops": self.flip_flops.to_dict(),
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

    base: Unit
    other: Unit
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
        """Return the relative difference as it is printed: ``+0.46 ± 0.10 %``, or that it is none."""
        return self.relative.text() + ("" if self.resolved else " (inside the spread: unresolved)")

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
class Comparison:
    """Costs of units, and how those differ that differ in their scale format alone.

    Attributes:
        library: The library they were mapped to.
        recipes: The recipes that the least figures were taken over.
        orders: The seeds of the orders in which the units were made.
        pyosys: Version of the synthesizer.
        costs: The cost of each unit.
        deltas: Area and delay of each unit against the first that differs in scale format alone.
    """

    library: LibraryFacts
    recipes: tuple[str, ...]
    orders: tuple[int, ...]
    pyosys: str
    costs: tuple[Cost, ...]
    deltas: tuple[Delta, ...]

    def delta(self, unit: Unit, metric: str) -> Delta | None:
        """Return the delta of a unit in ``area`` or ``delay``; None where it has none."""
        return next((d for d in self.deltas if d.other == unit and d.metric.name == metric), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole as JSON can hold it: schema `SCHEMA`, version `SCHEMA_VERSION`."""
        return {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "library": asdict(self.library) | {"files": list(self.library.files)},
            "tools": {"pyosys": self.pyosys, "flow": FLOW_VERSION},
            "recipes": list(self.recipes),
            "orders": list(self.orders),
            "level": LEVEL,
            "costs": [cost.to_dict() for cost in self.costs],
            "deltas": [delta.to_dict() for delta in self.deltas],
        }


def compare(
    units: Sequence[Unit],
    make: Make,
    library: Library,
    *,
    orders: int = ORDERS,
    seed: int = 0,
    recipes: Sequence[str] = RECIPES,
    cache: str | PathLike[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Measure units, and compare those that differ in their scale format alone.

    Args:
        units: What to measure. Of those alike but for the scale format, the first is what the others are
            compared with.
        make: Makes a unit's netlist in an order.
        library: What to map to.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones: a different seed takes different orders throughout.
        recipes: Names of synthesis recipes; the least figure over them counts.
        cache: Directory for synthesis results, made if need be.
        workers: How many processes run at once; the number of processors where it is None.
        progress: Called after each netlist with how many are done, how many there are, and the top's name.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        SynthesisError: If a unit cannot be synthesized.
    """
    if not units:
        raise ValueError("units must be at least one, not none")
    if len(set(units)) != len(units):
        raise ValueError(f"units must differ, not be {_repeated(units).name} twice")
    orders, seed = require_int("orders", orders), require_int("seed", seed)
    if orders < 2:
        raise ValueError(f"orders must be at least 2 for an error bar, not {orders}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    seeds = tuple(range(seed * orders, (seed + 1) * orders))

    def netlists() -> Iterator[Netlist]:
        # Order by order, so that what a broken-off run leaves in the cache is whole pairs.
        for order in seeds:
            for unit in units:
                text, top = make(unit.spec, unit.stages, order)
                yield Netlist(text, top)

    points = synthesize_all(
        netlists(),
        library,
        recipes=recipes,
        cache=cache,
        workers=workers,
        progress=progress,
        total=len(units) * orders,
    )
    costs = {unit: _cost(unit, points[index :: len(units)], library) for index, unit in enumerate(units)}
    bases: dict[tuple[DotSpec, int], Unit] = {}
    deltas: list[Delta] = []
    for unit in units:
        base = bases.setdefault((replace(unit.spec, scale=units[0].spec.scale), unit.stages), unit)
        if base != unit:
            deltas += _deltas(costs[base], costs[unit])
    return Comparison(
        library=library.facts,
        recipes=tuple(recipes),
        orders=seeds,
        pyosys=pyosys_version(),
        costs=tuple(costs.values()),
        deltas=tuple(deltas),
    )


def _repeated(units: Sequence[Unit]) -> Unit:
    return next(unit for index, unit in enumerate(units) if unit in units[:index])


def _cost(unit: Unit, points: Sequence[Sequence[Point]], library: Library) -> Cost:
    """Return the cost by the points of each order, of which there is one for each recipe."""
    smallest = [min(order, key=lambda point: point.area) for order in points]
    areas = tuple(point.area for point in smallest)
    return Cost(
        unit=unit,
        area=Summary(library.area, areas),
        nand2=Summary(replace(library.area, unit="NAND2"), tuple(map(library.nand2_equivalents, areas))),
        delay=Summary(library.delay, tuple(min(point.delay for point in order) for order in points)),
        flip_flops=Summary(FLIP_FLOPS, tuple(point.flip_flops for point in smallest)),
    )


def _deltas(base: Cost, other: Cost) -> Iterator[Delta]:
    for one, two in ((base.area, other.area), (base.delay, other.delay)):
        pairs = list(zip(one.values, two.values, strict=True))
        percent = replace(one.metric, unit="%", digits=_PERCENT_DIGITS)
        yield Delta(
            base=base.unit,
            other=other.unit,
            absolute=Estimate(one.metric, tuple(b - a for a, b in pairs)),
            # A unit without a single gate has no delay to take a percentage of.
            relative=Estimate(percent, tuple(100 * (b - a) / a if a else 0.0 for a, b in pairs)),
        )


def _unit_dict(unit: Unit) -> dict[str, Any]:
    return {
        "unit": unit.name,
        "spec": unit.spec.name,
        "element": [fmt.name for fmt in unit.spec.elements],
        "scale": [fmt.name for fmt in unit.spec.scales],
        "block_size": unit.spec.block_size,
        "blocks": unit.spec.blocks,
        "accumulate": unit.spec.accumulate,
        "guard": unit.spec.guard,
        "stages": unit.stages,
    }
