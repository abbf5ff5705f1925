"""What a unit costs, over its netlists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ...synth.liberty import Library
from ...synth.metric import FMAX, fmax_of
from ...synth.recipes import unvaried
from ...synth.synthesis_point import FLIP_FLOP_COUNT, SynthesisPoint
from ..statistics import Summary
from .cost_sample import CostSample
from .priced_unit import PricedUnit, unit_record

__all__ = ["PartCost", "UnitCost", "mean_area", "points_for_area", "unit_cost"]


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


def mean_area(points: Sequence[SynthesisPoint]) -> float:
    """Return the mean area of the variations of one recipe."""
    return fmean(point.area for point in points)


def points_for_area(sample: CostSample) -> list[SynthesisPoint]:
    """Return the points of the recipe that gives the least area: one of each of its variations."""
    by_recipe: dict[str, list[SynthesisPoint]] = {}
    for point in sample.points:
        by_recipe.setdefault(unvaried(point.recipe), []).append(point)
    return min(by_recipe.values(), key=mean_area)


def unit_cost(unit: PricedUnit, samples: Sequence[CostSample], library: Library) -> UnitCost:
    """Return the cost of a unit by the samples of each order."""
    smallest = [points_for_area(sample) for sample in samples]
    fastest = [min(sample.points, key=lambda point: point.period) for sample in samples]
    areas = tuple(map(mean_area, smallest))

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
        flip_flops=Summary(FLIP_FLOP_COUNT, tuple(points[0].flip_flops for points in smallest)),
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
