"""How ``aligned`` is checked: terms and sum cut off below the largest exponent."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from ...model import DotSpec
from ..accumulation_checks import AccumulationChecks, StepCheck
from ..coverage.bins import BinGroup
from ..coverage.reach import BINARY32_BITS, INFINITY, LEAST, LEAST_NORMAL, NOT_DRIVEN, OVERFLOW, Reachable
from ..coverage.sum_bins import ResultBins
from ..coverage.sum_maker import DirectedGroup, DirectedSum, Powers, SumMaker
from ..coverage.sum_recipes import added_sums
from ..exact_trace import Arrival, TracedChange, TracedStep, TracedSum, TracedTerm
from ..integer_rounding import SIGN_BIT, binary32_exponent, number_of, rounded_to
from ..proofs.algebra import check_counts
from ..proofs.cut_step import StepParts
from ..proofs.description_text import DescriptionModule
from ..proofs.steps import StepNetlist
from .aligned_bins import AlignedBins
from .aligned_blocks import add_blocks
from .aligned_loop import add_in_loop, describe_aligned, describe_counts, describe_result, describe_search
from .aligned_loop_parts import loop_parts
from .aligned_parts import adder_parts
from .aligned_products import (
    AlignedProductBins,
    describe_products,
    describe_scaled,
    describe_terms,
    product_sums,
)
from .zero_exponent_bins import ZeroExponentBins, small_sums

__all__ = ["ALIGNED"]

GROWTH: Final = BINARY32_BITS
"""A sum reaches so many places above a group: where a group is below its last place, it grows no more."""


def _accumulate(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    del step, segment
    if "sum_magnitude" in m.outputs:
        add_in_loop(m, spec)
    elif spec.term_size == 1:
        describe_products(m, spec)
    else:
        add_blocks(m, spec)


def _parts(spec: DotSpec, step: StepNetlist, fast: bool) -> StepParts | None:
    return loop_parts(spec, step) if "sum_magnitude" in step.outputs else adder_parts(spec, step, fast)


def _trace(arrival: Arrival, before: TracedSum) -> TracedChange:
    unit = arrival.unit
    spec = arrival.spec
    own = (
        max(binary32_exponent(before.bits), spec.sum_format.least_exponent)
        if before.value
        else spec.zero_exponent
    )
    values: list[tuple[int, int, int | None]] = [(before.value, own, None), *arrival.terms()]
    drop = max(max(exponent for _, exponent, _ in values) - arrival.spec.fraction - unit, 0)
    mask = (1 << drop) - 1
    terms = tuple(
        TracedTerm(value, exponent, abs(value) & mask if value > 0 else -(abs(value) & mask), scales)
        for value, exponent, scales in values
    )
    special = before.special + arrival.special
    if special:
        return TracedChange(TracedSum(special=special), arrival.special, terms=terms)
    addition = rounded_to(spec.sum_format, sum(term.value - term.cut for term in terms), unit)
    if addition.bits & ~SIGN_BIT == INFINITY:
        infinite = TracedSum(special=-math.inf if addition.bits & SIGN_BIT else math.inf)
        return TracedChange(infinite, arrival.special, addition=addition, result=addition, terms=terms)
    now = TracedSum(number_of(addition.bits, unit), 0.0, addition.bits)
    return TracedChange(now, arrival.special, addition=addition, result=addition, terms=terms)


class AlignedSumBins(AlignedBins):
    """Terms shifted to the largest exponent and cut off."""

    name = "aligned sum"
    owner = "block"

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        super().__init__(spec.fraction + 2, spec.block_size // spec.unit_size)
        least = max(reach.lowest, spec.zero_exponent)
        # The least sum that one group leaves, and the exponents that block terms and sums have.
        lowest_sum = max(reach.quantum, least - spec.fraction)
        sum_width = reach.highest - max(lowest_sum, LEAST_NORMAL)
        block_width = max(reach.highest, reach.top) - reach.lowest
        if spec.blocks == 1:
            block_width = reach.top - reach.lowest
        self.bins = {"sum ahead": "", "terms level": ""}
        self.bins["zeros under scales that would be ahead"] = ""
        self.bins["cancelled block ahead"] = ""
        alone = "" if reach.highest > spec.zero_exponent else "zero is ahead"
        for j in range(spec.blocks):
            self.bins[f"block {j} ahead"] = alone
        for who, width in (("sum", sum_width), ("block", block_width)):
            for places in range(self._limit + 1):
                far = f"no group's exponent is more than {width} above that of a sum"
                if who == "block":
                    far = f"{NOT_DRIVEN}no sum of few groups is more than {width} above a block"
                self.bins[self._behind(who, places)] = far if places > width else ""
        cut_sum = (
            ""
            if reach.highest - spec.fraction > lowest_sum
            else f"{NOT_DRIVEN}no sum of few groups reaches so low"
        )
        highest = reach.top if spec.blocks == 1 else max(reach.highest, reach.top)
        cut_block = (
            ""
            if highest - spec.fraction > reach.quantum
            else f"{NOT_DRIVEN}no block lies so far below a sum of few"
        )
        for sign in "+-":
            for how in ("cut", "lost"):
                self.bins[f"{sign} sum {how}"] = cut_sum
                self.bins[f"{sign} block {how}"] = cut_block
            self.bins[f"{sign} result cut"] = self._narrow(spec, reach)
            self.bins[f"{sign} result too large"] = self._overflow(reach)
        self.bins["result exact"] = self.bins["terms cancel to zero"] = ""

    @staticmethod
    def _overflow(reach: Reachable) -> str:
        """Return why no sum becomes infinite."""
        if reach.top >= OVERFLOW:
            return ""
        highest = reach.top + GROWTH + 1
        if highest < OVERFLOW:
            return f"no sum reaches above 2^{highest}"
        return f"{NOT_DRIVEN}the largest group is below 2^{reach.top + 1}"

    @staticmethod
    def _narrow(spec: DotSpec, reach: Reachable) -> str:
        """Return why no result is cut off."""
        if reach.quantum < LEAST and max(reach.lowest, spec.zero_exponent) - spec.fraction < LEAST:
            return ""
        if spec.fraction >= BINARY32_BITS:
            return reach.spread(BINARY32_BITS + 1)
        # A group may reach above its exponent, and what was accumulated adds a bit.
        if spec.fraction + max(reach.top - reach.highest, 0) + 2 <= BINARY32_BITS:
            return "a sum has no more bits than binary32"
        return f"{NOT_DRIVEN}only {spec.fraction} bits are kept below the largest exponent"

    def _inexact(self, sign: str, kind: str) -> str:
        del kind
        return f"{sign} result cut"

    def _zeros(self, step: TracedStep, largest: int) -> Iterator[str]:
        if any(term.scales is not None and term.scales > largest for term in step.terms):
            yield "zeros under scales that would be ahead"
        cancelled = [term.exponent for term in step.terms if not term.value]
        others = [term.exponent for term in step.terms if term.value]
        if others and cancelled and max(cancelled) > max(others):
            yield "cancelled block ahead"


def _far_sums(make: SumMaker) -> Iterator[DirectedSum]:
    """A sum and blocks at every distance from the largest exponent, cut in part and lost."""
    spec = make.spec
    low, high = make.scales
    ends = make.lanes
    wide = [(place, 1) for place in (ends[1], ends[0])]

    def at(scales: Sequence[int], sign: int, parts: Powers) -> DirectedGroup:
        group = make.blank()
        for block, scale in enumerate(scales):
            make.scale(group, block, scale)
            for lane, (place, _) in enumerate(parts):
                make.put(group, block, lane, place, sign)
        return group

    for places in range(spec.fraction + 5):
        for sign in (1, -1):
            for parts in (wide, wide[:1], wide[1:]):
                # Blocks against each other, each in its turn ahead.
                if spec.blocks > 1 and high - places >= low:
                    scales = [high - places] * spec.blocks
                    scales[places % spec.blocks] = high
                    yield DirectedSum([at(scales, sign, parts)])
                # The sum against blocks: it is ahead, or a block is.
                for sum_at, block_at in ((high, high - places), (high - places, high)):
                    for rest in (0, 1, 5):
                        scale = max(sum_at - rest - ends[1], low)
                        if scale <= high and block_at >= low:
                            block = places % spec.blocks
                            group = make.blank()
                            for k in range(spec.blocks):
                                make.scale(group, k, block_at if k == block else low)
                            for lane, (place, _) in enumerate(parts):
                                make.put(group, block, lane, place, sign)
                            yield DirectedSum([at([scale], sign, parts), group])
    # A sum may stand below every block, if its own one did.
    for exponent in range(make.lowest, make.highest + 1):
        for sign in (1, -1):
            for scale in (high, (low + high) // 2, low):
                for powers in ([(exponent, sign)], [(exponent, sign), (exponent + 4, sign)]):
                    yield from make.sum(powers, at([scale], 1, wide[1:]))


def _zero_sums(make: SumMaker) -> Iterator[DirectedSum]:
    """Zeros, and what cancels to zero, under scales far above: these hold others down, those do not."""
    spec = make.spec
    low, high = make.scales
    least = make.lanes[0]
    for block in range(spec.blocks):
        for scale in (high, (low + high) // 2):
            for parts in ([], [1, -1]):
                group = make.blank()
                for k in range(spec.blocks):
                    make.scale(group, k, scale if k == block else low)
                    for lane, sign in enumerate(parts if k == block else [1]):
                        make.put(group, k, lane, least, sign)
                # A sum that loses its last bit to them, and one that is below all scales.
                for places in ((make.lanes[1], least), (least,)):
                    before = make.blank()
                    for k in range(spec.blocks):
                        make.scale(before, k, low)
                    for lane, place in enumerate(places):
                        make.put(before, 0, lane, place, 1)
                    yield DirectedSum([before, group])
                if spec.blocks > 1:
                    yield DirectedSum([group])


def _bins(reach: Reachable) -> list[BinGroup]:
    return [
        ResultBins(
            reach,
            growth=GROWTH,
            cut_below=reach.spec.zero_exponent - reach.spec.fraction,
        ),
        AlignedProductBins(reach) if reach.spec.term_size == 1 else AlignedSumBins(reach.spec, reach),
        ZeroExponentBins(reach.spec),
    ]


def _sums(make: SumMaker, reach: Reachable) -> Iterator[DirectedSum]:
    del reach
    yield from added_sums(make)
    if make.spec.term_size == 1:
        yield from product_sums(make)
    else:
        yield from _far_sums(make)
        yield from _zero_sums(make)
    yield from small_sums(make)


ALIGNED = AccumulationChecks(
    trace=_trace,
    bins=_bins,
    sums=_sums,
    steps={
        "accumulate": StepCheck(
            "aligned adder",
            "terms cut at the largest exponent, their sum rounded toward zero",
            _accumulate,
            parts=_parts,
        ),
        "search": StepCheck("largest exponent", "the largest exponent of a group's terms", describe_search),
        "align": StepCheck("aligned terms", "terms cut at the largest of their exponents", describe_aligned),
        "count": StepCheck(
            "column counts",
            "how many terms have a one in each column",
            describe_counts,
            algebra=check_counts,
            settled=("row_", "negatives"),
        ),
        "result": StepCheck(
            "normalise, cut off",
            "the number of the result's format next to the sum toward zero",
            describe_result,
        ),
        "term": StepCheck(
            "product terms", "every pair of codes: the exact product, and its exponent", describe_terms
        ),
        "scale": StepCheck("scaled terms", "products times the scales' significands", describe_scaled),
    },
    reads_exponents=True,
)
