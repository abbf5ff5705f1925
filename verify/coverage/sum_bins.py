"""Bins about groups and sums that several accumulations have, and about the ports."""

import math
from collections.abc import Iterator

import numpy as np

from ...model import DotSpec
from ...model.aligned_sum import RESULTS
from ...model.formats import Top
from ..exact_trace import TracedStep, unit_exponent
from ..integer_rounding import NAN, SIGN_BIT, Rounded, number_of
from .bins import BinGroup, Hit, StimulusView
from .reach import (
    APART,
    BINARY32_BITS,
    INFINITY,
    LEAST_NORMAL,
    NOT_DRIVEN,
    OVERFLOW,
    Reachable,
)

__all__ = [
    "AlignmentBins",
    "PortBins",
    "ResultBins",
    "RoundingBins",
    "SequenceBins",
    "TopBitBins",
    "rounding_kinds",
    "sign_of",
]


def sign_of(value: int) -> str:
    """Return the sign of a number, as bins name it."""
    return "-" if value < 0 else "+"


class TopBitBins(BinGroup):
    """The top bit of a group's V, or of an exact sum where a result is asked for.

    Args:
        reach: How far numbers go.
        sums: Whether it is about sums.
    """

    def __init__(self, reach: Reachable, *, sums: bool) -> None:
        self.name = "top bit of a sum" if sums else "top bit of a group"
        self._sums = sums
        self._quantum = reach.quantum - unit_exponent(reach.spec)
        bits = reach.span + (reach.doublings if sums else 0)
        self.bins = {
            f"{sign}2^{reach.quantum + k}": self._why(reach, k, sign) for k in range(bits) for sign in "+-"
        }
        self._low = reach.quantum

    def _why(self, reach: Reachable, bit: int, sign: str) -> str:
        growth = bit + 1 - (reach.span if sign == "+" else reach.negative_span)
        if growth <= (reach.growth if self._sums else 0):
            return ""
        if growth <= reach.doublings and self._sums:
            return f"{NOT_DRIVEN}it takes a sum of some 2^{growth} groups"
        return "the least one is shorter than the largest, in two's complement"

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            value = step.after if self._sums else step.value
            special = step.after_special if self._sums else step.special
            # An infinite group may be one that was a number before it was rounded.
            if value and not (special and self._sums) and (step.last or not self._sums):
                exponent = abs(value).bit_length() - 1 - self._quantum + self._low
                yield f"{sign_of(value)}2^{exponent}", step.vector, 1


def rounding_kinds(rounded: Rounded) -> list[str]:
    """Return the ways in which a number was rounded, as bins name them."""
    names = {"below": "below half", "tie down": "tie to even below", "tie up": "tie to even above"}
    kinds = [names.get(rounded.kind, "above half" if rounded.kind == "above" else rounded.kind)]
    return [*kinds, "carry into the exponent"] if rounded.carry else kinds


class RoundingBins(BinGroup):
    """How a group's V, or an exact sum, is rounded to binary32.

    Args:
        reach: How far numbers go.
        sums: Whether sums are rounded, at their end.
    """

    def __init__(self, reach: Reachable, *, sums: bool) -> None:
        self._sums = sums
        self.name = "rounding of a sum" if sums else "rounding of a group"
        self.bins = reach.roundings(reach.rounded_bits)

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            rounded = step.result if self._sums else step.group
            if rounded and not (self._sums and step.after_special):
                for kind in rounding_kinds(rounded):
                    yield kind, step.vector, 1


class ResultBins(BinGroup):
    """What results are.

    Args:
        reach: How far numbers go.
        growth: A sum reaches so many places above a group.
        cut_below: What of a sum lies below ``2**cut_below`` is cut off; None where nothing is.
    """

    name = "results"

    def __init__(self, reach: Reachable, *, growth: int = 0, cut_below: int | None = None) -> None:
        spec = reach.spec
        result = spec.result_format
        least_normal = result.least_exponent
        least = least_normal - result.fields.fraction_bits
        self._least_normal = least_normal + RESULTS["binary32"].fields.bias << BINARY32_BITS - 1
        multiple = f"every sum is a multiple of 2^{reach.quantum}"
        tiny = "" if reach.quantum < least else multiple
        if not tiny and cut_below is not None and cut_below >= least:
            tiny = f"what lies below 2^{cut_below} is cut off before"
        small = "" if reach.quantum < least_normal else multiple
        if not small and cut_below is not None and cut_below >= least_normal:
            small = f"what lies below 2^{cut_below} is cut off before"
        infinite = self._infinite(reach, growth)
        nan = ""
        if not any(fmt.top is not Top.FINITE for fmt in spec.elements + spec.scales):
            nan = infinite and "neither format has NaN, and no sum is infinite"
        self.bins = {"+0": "", "-0": tiny}
        for sign in "+-":
            self.bins |= {f"{sign}subnormal": small, f"{sign}normal": "", f"{sign}infinity": infinite}
        self.bins["NaN"] = nan

    @staticmethod
    def _infinite(reach: Reachable, growth: int) -> str:
        if any(fmt.infinity_code is not None for fmt in reach.spec.elements):
            return ""
        overflow = reach.spec.result_format.fields.bias + 1
        if reach.top >= overflow:
            return ""
        if reach.top + growth + 1 < overflow:
            return f"no sum reaches above 2^{reach.top + growth + 1}"
        return f"{NOT_DRIVEN}the largest group is below 2^{reach.top + 1}"

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            if step.result:
                bits = step.result.bits
                magnitude = bits & ~SIGN_BIT
                sign = "-" if bits & SIGN_BIT else "+"
                if bits == NAN:
                    yield "NaN", step.vector, 1
                elif not magnitude:
                    yield f"{sign}0", step.vector, 1
                elif magnitude == INFINITY:
                    yield f"{sign}infinity", step.vector, 1
                else:
                    size = "subnormal" if magnitude < self._least_normal else "normal"
                    yield f"{sign}{size}", step.vector, 1


class AlignmentBins(BinGroup):
    """How far the exponent of a sum lies above that of the group added to it, or below.

    Args:
        reach: How far numbers go.
        binary32: Whether sum and group are binary32 numbers.
    """

    name = "alignment"

    def __init__(self, reach: Reachable, *, binary32: bool) -> None:
        self._binary32 = binary32
        self._unit = unit_exponent(reach.spec)
        self._limit = APART if binary32 else reach.span - 1
        self.bins = {
            f"{self._name(places)}, {how}": self._why(reach, places)
            for places in range(-self._limit, self._limit + 1)
            for how in ("added", "subtracted")
        }

    def _why(self, reach: Reachable, places: int) -> str:
        # Binary32's exponents end at that of the least normal number, and at infinity.
        width = min(reach.top, OVERFLOW - 1) - max(reach.quantum, LEAST_NORMAL)
        if self._binary32 and abs(places) > width:
            return reach.within(places) or f"{NOT_DRIVEN}finite binary32 groups span {width} exponents"
        return reach.within(places)

    def _name(self, places: int) -> str:
        if not places:
            return "level"
        more = " and more" if abs(places) >= self._limit and self._binary32 else ""
        return f"{min(abs(places), self._limit)}{more} {'above' if places > 0 else 'below'}"

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            if step.first or step.special or step.before_special:
                continue
            group = step.value
            if self._binary32:
                assert step.group is not None
                group = number_of(step.group.bits, self._unit)
            if group and step.before:
                exponents = [self._exponent(number) for number in (step.before, group)]
                how = "added" if (step.before < 0) == (group < 0) else "subtracted"
                yield f"{self._name(exponents[0] - exponents[1])}, {how}", step.vector, 1

    def _exponent(self, number: int) -> int:
        exponent = abs(number).bit_length() - 1 + self._unit
        return max(exponent, LEAST_NORMAL) if self._binary32 else exponent


class SequenceBins(BinGroup):
    """Sums one behind another, and where in them NaN stands."""

    name = "sequence"

    def __init__(self, spec: DotSpec) -> None:
        most = spec.most_groups
        limit = f"a sum of {most} groups is the longest there is"
        short = limit if most is not None and most < 2 else ""
        longer = limit if most is not None and most < 3 else ""
        nan = any(fmt.nan_code is not None for fmt in spec.scales + spec.elements)
        why = "" if nan else "no format has NaN"
        self.bins = {
            "1 group": "",
            "2 groups": short,
            "3 groups and more": longer,
            "a sum behind one without a result": "",
            "a result in the midst of a sum": short,
            "NaN in the first group": why,
            "NaN in a middle group": why or longer,
            "NaN in the last group": why or short,
            "a number behind NaN in the same sum": why or short,
            "a sum behind one that was NaN": why,
        }

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        sums: list[list[TracedStep]] = []
        for step in view.every:
            if step.first:
                sums.append([])
            if sums:
                sums[-1].append(step)
        before: list[TracedStep] = []
        for steps in sums:
            asked = [k for k, step in enumerate(steps) if step.last]
            start = steps[0].vector
            if asked:
                length = asked[-1] + 1
                name = (
                    "1 group" if length == 1 else f"{length} groups" if length == 2 else "3 groups and more"
                )
                yield name, start, 1
                if before and not any(step.last for step in before):
                    yield "a sum behind one without a result", start, 1
                if before and any(math.isnan(s.after_special) and s.last for s in before):
                    result = steps[asked[0]].result
                    if result and result.bits != NAN:
                        yield "a sum behind one that was NaN", start, 1
                yield from self._inside(steps[:length], asked)
            before = steps

    @staticmethod
    def _inside(steps: list[TracedStep], asked: list[int]) -> Iterator[Hit]:
        for k in asked[:-1]:
            yield "a result in the midst of a sum", steps[k].vector, 1
        for k, step in enumerate(steps):
            if math.isnan(step.special) and not math.isnan(step.before_special):
                where = "first" if not k else "last" if k == len(steps) - 1 else "middle"
                yield (
                    f"NaN in the {where} group" if where != "middle" else "NaN in a middle group",
                    step.vector,
                    1,
                )
            if not step.special and math.isnan(step.before_special):
                yield "a number behind NaN in the same sum", step.vector, 1


class PortBins(BinGroup):
    """Gaps, and back-pressure with the pipeline filled to each depth."""

    name = "ports"

    def __init__(self, latency: int) -> None:
        self._latency = latency
        names = ["input taken at once", "input waits 1 cycle", "input waits longer"]
        names += ["no gap between inputs", "gap of 1 cycle", "longer gap"]
        names += [f"result waits with {k} inputs behind it" for k in range(latency + 1)]
        names += ["result taken at once", "result waits 1 cycle", "result waits longer"]
        self.bins = dict.fromkeys(names, "")

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        response, stimulus = view.response, view.stimulus
        if response is None:
            return
        taken, given = response.input_cycles.tolist(), response.result_cycles.tolist()
        free = 0
        for vector, cycle in enumerate(taken):
            offered = free
            while not stimulus.offer[offered % len(stimulus.offer)]:
                offered += 1
            waits, gap = cycle - offered, offered - free
            yield (
                ("input taken at once", "input waits 1 cycle", "input waits longer")[min(waits, 2)],
                vector,
                1,
            )
            yield ("no gap between inputs", "gap of 1 cycle", "longer gap")[min(gap, 2)], vector, 1
            free = cycle + 1
        _, ends = stimulus.sums
        free = 0
        for end, cycle in zip(ends.tolist(), given, strict=True):
            waits = 0
            earliest = max(free, taken[end] + self._latency)
            while (
                cycle - waits > earliest and not stimulus.accept[(cycle - waits - 1) % len(stimulus.accept)]
            ):
                waits += 1
            name = ("result taken at once", "result waits 1 cycle", "result waits longer")[min(waits, 2)]
            yield name, end, 1
            if waits:
                behind = int(np.searchsorted(taken, cycle)) - 1 - end
                yield f"result waits with {behind} inputs behind it", end, 1
            free = cycle + 1
