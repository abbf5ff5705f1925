"""How a unit differs from another in one metric, with an error bar."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ...synth.metric import Metric
from ..statistics import Estimate, relative
from .priced_unit import PricedUnit
from .unit_cost import UnitCost

__all__ = ["Delta", "Verdict", "cost_deltas"]

Verdict = Literal["better", "worse", "unresolved"]


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


def cost_deltas(base: UnitCost, other: UnitCost) -> Iterator[Delta]:
    """Yield how a unit differs in area, delay and period, netlist by netlist."""
    for one, two in ((base.area, other.area), (base.delay, other.delay), (base.period, other.period)):
        yield Delta(
            base=base.unit,
            other=other.unit,
            absolute=Estimate(one.metric, tuple(b - a for a, b in zip(one.values, two.values, strict=True))),
            relative=relative(one.metric, one.values, two.values),
        )
