"""How ``none`` is checked: each group is rounded."""

from ..accumulation_checks import AccumulationChecks
from ..coverage.bins import BinGroup
from ..coverage.reach import Reachable
from ..coverage.sum_bins import ResultBins, RoundingBins
from ..coverage.sum_recipes import dense_sums
from ..exact_trace import Arrival, TracedChange, TracedSum, rounded_group

__all__ = ["NONE"]


def _trace(arrival: Arrival, before: TracedSum) -> TracedChange:
    del before
    group, special = rounded_group(arrival)
    bits = group.bits if group and not special else 0
    return TracedChange(TracedSum(arrival.value, special, bits), special, group, result=group)


def _bins(reach: Reachable) -> list[BinGroup]:
    # A value that is rounded to a narrower result is so at its end.
    roundings = [] if reach.spec.rounds_at_end else [RoundingBins(reach, sums=False)]
    return [ResultBins(reach), *roundings]


NONE = AccumulationChecks(
    trace=_trace,
    bins=_bins,
    sums=dense_sums,
)
