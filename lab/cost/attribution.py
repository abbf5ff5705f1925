"""A difference in area, component by component.

Each component is synthesized alone, and the difference is the sum over those that differ. Equal components
cost the same and add nothing, not even noise. The difference of the flat units is another one: optimising
*across* the borders of components adds or saves area as well. What it makes is the rest between the two,
also paired; with this rest the components add up to the whole. Where its interval excludes zero, the two ways
do not agree.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..statistics import Estimate, relative
from .cost_delta import Delta
from .cost_sample import CostSample
from .unit_cost import mean_area, points_for_area

__all__ = ["Attribution", "PartDelta", "attribute"]

# Below this the mean number of a cell more or less is no news.
_CELLS_SHOWN: Final = 0.5


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
        whole: The same difference of the flat units, which it is compared with.
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


def attribute(whole: Delta, base: Sequence[CostSample], other: Sequence[CostSample]) -> Attribution:
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
    flat = [mean_area(points_for_area(sample)) for sample in base]
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
            points = points_for_area(sample)
            for point in points:
                for name, count in point.counts:
                    more[name] += sign * count / len(points)
    means = {name: count / len(base) for name, count in more.items()}
    for name, mean in sorted(means.items(), key=lambda item: (-abs(item[1]), item[0])):
        if abs(mean) >= _CELLS_SHOWN:
            yield name, mean
