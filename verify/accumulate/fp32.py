"""How ``fp32`` is checked: binary32 addition of rounded groups."""

import math
from collections.abc import Iterator
from dataclasses import replace

from ...hw.steps.records import Result, SavedSums
from ...model import DotSpec
from ..accumulation_checks import AccumulationChecks, StepCheck
from ..coverage.bins import BinGroup, Hit, StimulusView
from ..coverage.reach import APART, BINARY32_BITS, INFINITY, LEAST, LEAST_NORMAL, Reachable
from ..coverage.sum_bins import AlignmentBins, ResultBins, RoundingBins, rounding_kinds
from ..coverage.sum_maker import DirectedSum, SumMaker
from ..coverage.sum_recipes import added_sums, dense_sums
from ..exact_trace import Arrival, TracedChange, TracedSum, rounded_group, unit_exponent
from ..integer_rounding import SIGN_BIT, Rounded, binary32_exponent, nearest, number_of
from ..proofs.description_text import (
    BINARY32,
    NAN,
    DescriptionModule,
    binary32,
    kept_c_text,
    largest_term,
    scale_exponents,
    sum_binary32,
    term_offset,
)
from ..proofs.steps import StepNetlist

__all__ = ["FP32", "AdditionBins", "added"]


def _fused(m: DescriptionModule, spec: DotSpec) -> None:
    width = m.inputs["save_0"]
    largest, offset = largest_term(spec), term_offset(spec)
    least, greatest = scale_exponents(spec)
    m.wire("term", width, "i_save_0 + i_carry_0", signed=True)
    m.wire("term_size", width, "term < 0 ? -term : term")
    m.assume(f"(i_nan | (term_size <= {largest} & i_exponent_0 >= {least} & i_exponent_0 <= {greatest}))")
    exponent = f"$signed({{1'b0, i_exponent_0}}) + ({offset})"
    size = binary32(m, "term_size", width, exponent, nearest=True, name="rounded_")
    m.wire("group", 32, f"i_nan ? {NAN} : {{term < 0, {size}}}")
    m.add("reg [31:0] accumulator;")
    m.assume(f"(accumulator[30:0] <= 31'h7f800000 | accumulator == {NAN})")
    _following(m)
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    m.give("result", "accumulator")


def _following(m: DescriptionModule) -> None:
    """Add what becomes of the sum."""
    if "c" in m.inputs:
        m.wire("before", 32, f"i_first ? {kept_c_text(BINARY32, BINARY32)} : accumulator")
        m.wire("following", 32, sum_binary32(m, "before", "group"))
    else:
        m.wire("following", 32, f"i_first ? group : {sum_binary32(m, 'accumulator', 'group')}")


def _add_number(m: DescriptionModule, step: StepNetlist) -> None:
    if step.takes is Result:
        m.wire("group", 32, "i_result")
        m.assume(f"(group[30:0] <= 31'h7f800000 | group == {NAN})")
    else:
        m.wire(
            "group",
            32,
            f"i_r_nan ? {NAN} : i_r_infinite ? {{i_r_negative, 31'h7f800000}} : "
            "{i_r_negative, i_r_field, i_r_fraction}",
        )
        m.assume("(i_r_nan | i_r_infinite | (i_r_field != 255 & i_r_normal == (i_r_field != 0)))")
        m.assume("~(i_r_nan & i_r_infinite)")
    m.add("reg [31:0] accumulator;")
    _following(m)
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    if step.takes is not Result:
        # The hidden bit of the accumulator, kept beside it; without meaning where that is no finite number.
        m.add("reg accumulator_normal;")
        m.add("always @(posedge clk) if (i_enable) accumulator_normal <= following[30:23] != 0;")
        m.assume("(accumulator[30:23] == 255 | accumulator_normal == (accumulator[30:23] != 0))")
        m.care("accumulator_normal", "~i_enable | following[30:23] != 255")
    m.give("result", "accumulator")


def _accumulate(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    del segment
    if step.takes is SavedSums:
        _fused(m, spec)
    else:
        _add_number(m, step)


def _trace(arrival: Arrival, before: TracedSum) -> TracedChange:
    return added(arrival, before, *rounded_group(arrival))


def added(arrival: Arrival, before: TracedSum, group: Rounded | None, special: float) -> TracedChange:
    """Tell what becomes of a sum when a rounded group is added to it, or what is special of that."""
    unit = arrival.unit
    if special or before.special or group is None:
        return TracedChange(TracedSum(special=before.special + special), special, group)
    if arrival.first and not arrival.spec.takes_c:
        now = TracedSum(number_of(group.bits, unit), 0.0, group.bits)
        return TracedChange(now, special, group, result=group)
    total = before.value + number_of(group.bits, unit)
    addition = nearest(total, unit)
    if not total:
        # -0 only from two of them.
        addition = replace(addition, bits=before.bits & group.bits & SIGN_BIT)
    now = TracedSum(special=math.copysign(math.inf, total))
    if addition.bits & ~SIGN_BIT != INFINITY:
        now = TracedSum(number_of(addition.bits, unit), 0.0, addition.bits)
    return TracedChange(now, special, group, addition, addition)


class AdditionBins(BinGroup):
    """The addition of two binary32 numbers."""

    name = "binary32 addition"

    def __init__(self, reach: Reachable) -> None:
        self._unit = unit_exponent(reach.spec)
        # What is asked for is put together from powers of two.
        why = reach.spread(APART)
        self.bins = {}
        for how in ("add", "subtract"):
            roundings = reach.roundings(2 * APART)
            self.bins |= {f"{how}: {kind}": why for kind in roundings if kind != "exact"}
            self.bins[f"{how}: exact"] = ""
            for lost in range(8):
                self.bins[f"{how}: guard, round, sticky {lost:03b}"] = why if lost else ""
        for zeros in range(1, BINARY32_BITS + 1):
            self.bins[f"{zeros} leading zeros"] = reach.spread(zeros)
        tiny = "" if reach.quantum < LEAST else f"every group is a multiple of 2^{reach.quantum}"
        self.bins |= {
            "x + 0": "",
            "0 + x": "",
            "0 + 0": "",
            "x - x": "",
            "-0 + -0": tiny,
            "-0 + 0": tiny,
        }

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            if step.addition is None or step.group is None or step.special or step.before_special:
                continue
            group = number_of(step.group.bits, self._unit)
            before, vector = step.before, step.vector
            if not group or not before:
                yield f"{'x' if before else '0'} + {'x' if group else '0'}", vector, 1
                if not group and not before and step.group.bits:
                    # A sum of zero is -0 only if every group was.
                    negative = step.addition.bits == SIGN_BIT
                    yield "-0 + -0" if negative else "-0 + 0", vector, 1
                continue
            how = "add" if (before < 0) == (group < 0) else "subtract"
            for kind in rounding_kinds(step.addition):
                yield f"{how}: {kind}", vector, 1
            yield f"{how}: guard, round, sticky {self._lost(before, group):03b}", vector, 1
            if before == -group:
                yield "x - x", vector, 1
            elif how == "subtract" and not step.after_special:
                largest = max(abs(before), abs(group))
                zeros = self._exponent(largest) - binary32_exponent(step.addition.bits)
                yield f"{zeros} leading zeros", vector, 1

    def _exponent(self, magnitude: int) -> int:
        return max(magnitude.bit_length() - 1 + self._unit, LEAST_NORMAL)

    def _lost(self, before: int, group: int) -> int:
        """Return what of the smaller number lies below the larger one's last place, the rest as one bit."""
        small, large = sorted((abs(before), abs(group)))
        place = self._exponent(large) - (BINARY32_BITS - 1) - self._unit
        if place <= 0:
            return 0
        below = (small << 2) & ((1 << place + 2) - 1)  # two places more, so that there always are two
        return (below >> place) << 1 | bool(below & ((1 << place) - 1))


def _bins(reach: Reachable) -> list[BinGroup]:
    return [
        # A binary32 sum takes no more of what is 2**25 times smaller.
        ResultBins(reach, growth=BINARY32_BITS + 1),
        RoundingBins(reach, sums=False),
        AlignmentBins(reach, binary32=True),
        AdditionBins(reach),
    ]


def _sums(make: SumMaker, reach: Reachable) -> Iterator[DirectedSum]:
    yield from dense_sums(make, reach)
    yield from added_sums(make, 28)


FP32 = AccumulationChecks(
    trace=_trace,
    bins=_bins,
    sums=_sums,
    steps={
        "accumulate": StepCheck(
            "binary32 adder",
            "IEEE 754 sum, ties to even, of any two; the first is taken as it is",
            _accumulate,
        )
    },
)
