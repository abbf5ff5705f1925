"""Functional coverage: named things that a test should have met, and which of them a stimulus meets.

Everything is told by the stimulus, by `replay`'s exact account of it, and by the cycles in which the ports
moved: nothing is asked of the hardware. A bin is met where a result depends on it: what belongs to a sum of
which no result was asked for does not count. A bin that cannot be met, or that no test drives to, says why in
one line.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from ...model import DotSpec, Format
from ...model.formats import Top
from ...sim.stimulus import Stimulus
from ...sim.stream_rules import Response
from ..exact_trace import NAN, Rounded, TracedStep, exponent_of, number_of, replay, unit_exponent

__all__ = ["LONG", "Bin", "Coverage", "MetBins", "Reachable"]

LONG: Final = 16
"""The longest sums that are driven on request have ``2**LONG`` groups; all others ``2**DRIVEN``."""

DRIVEN: Final = 6
"""See `LONG`."""

_BINARY32_BITS: Final = 24
_OVERFLOW: Final = 128
_LEAST_NORMAL: Final = -126
_LEAST: Final = -149
_INFINITY: Final = 0x7F800000
_SIGN: Final = 1 << 31
# Sums of products up to which all that can cancel are enumerated.
_ENUMERATED: Final = 1 << 16
# The same for blocks of few elements, of which one sum is looked for.
_SEARCHED: Final = 1 << 22
_FEW: Final = 4
# Adding binary32 numbers so many places apart leaves one of them as it is.
_APART: Final = 27

# What the reason begins with why a bin is not asked for that could be met.
_NOT_DRIVEN: Final = "not driven: "

# What is met: a bin's name, a vector that meets it, and how often.
Hit = tuple[str, int, int]


@dataclass(frozen=True)
class Bin:
    """One thing to meet.

    Attributes:
        group: What it is about.
        name: Its name.
        unreachable: Why it is not asked for; empty where it is.
    """

    group: str
    name: str
    unreachable: str = ""

    @property
    def possible(self) -> bool:
        """Whether it can be met, if only by a test that goes further than `directed`."""
        return not self.unreachable or self.unreachable.startswith(_NOT_DRIVEN)


@dataclass
class MetBins:
    """How often a bin was met, and by which vector first.

    Attributes:
        count: How often.
        vector: Number of the first vector.
    """

    count: int
    vector: int


class Reachable:
    """How far the numbers of a specification go.

    Args:
        spec: The specification.
        long: Whether sums of ``2**LONG`` groups are driven.

    Attributes:
        spec: The specification.
        quantum: Exponent of the quantum of V.
        span: Bits of the largest group's V, from the quantum up.
        negative_span: Likewise of the least one's, which is a bit shorter in two's complement.
        doublings: ``2**doublings`` groups are the longest exact sum; 0 where nothing is summed exactly.
        growth: ``2**growth`` of them the longest one that is driven.
        top: Exponent of its top bit.
        powers: Exponents from the least power of two that is a group to the largest one.
        lowest: Exponent of the least scales' product, as `aligned` reads it.
        highest: Exponent of the largest scales' product, likewise.
    """

    def __init__(self, spec: DotSpec, *, long: bool = False) -> None:
        self.spec = spec
        self.quantum = spec.quantum_exponent
        scale = spec.blocks
        for fmt in spec.scales:
            scale *= int(Fraction(fmt.largest) / Fraction(2) ** fmt.quantum_exponent)
        self.negative_span, self.span = ((abs(total) * scale).bit_length() for total in extremes(spec))
        # A group holds some of the 2**guard blocks.
        self.doublings = (
            max(spec.guard - (spec.blocks - 1).bit_length(), 0) if spec.accumulate == "exact" else 0
        )
        self.growth = min(LONG if long else DRIVEN, self.doublings)
        self.top = self.quantum + self.span - 1
        ends = [power_exponents(fmt) for fmt in spec.elements + spec.scales]
        self.powers = sum(high - low for low, high in ends) + spec.block_size.bit_length() - 1
        self.lowest = sum(fmt.least_exponent for fmt in spec.scales)
        self.highest = sum(math.frexp(fmt.largest)[1] - 1 for fmt in spec.scales)

    @property
    def rounded_bits(self) -> int:
        """Bits of what is rounded, from its first to its last that is set: a block's, a group's, a sum's."""
        narrow = self.spec.blocks == 1 and not self.doublings
        return min(self.span, self.spec.term_bits - 1) if narrow else self.span

    def roundings(self, significant: int) -> dict[str, str]:
        """Return the ways in which a number of so many significant bits is rounded, and why not."""
        dropped = max(significant - _BINARY32_BITS, _LEAST - self.quantum)
        none = "" if dropped > 0 else f"binary32 holds {significant} bits, and a last one at 2^{self.quantum}"
        once = none or ("" if dropped > 1 else "no more than one place is ever dropped")
        run = f"no group of {significant} bits begins with 24 ones and a half, by enumeration"
        return {
            "exact": "",
            "below half": once,
            "tie to even below": none,
            "tie to even above": none,
            "above half": once,
            "carry into the exponent": none or ("" if self._runs(significant) else run),
        }

    def _runs(self, significant: int) -> bool:
        """Whether a number of so many bits may begin with a whole fraction of ones and at least a half."""
        if significant < _BINARY32_BITS:
            return False
        if self.spec.blocks > 1 or self.doublings or self.quantum < _LEAST:
            return True
        return any(True for _ in self.ones(significant))

    def ones(self, significant: int) -> Iterator[tuple[int, int]]:
        """Yield what makes a block of at most so many bits that begins with 25 ones.

        Yields:
            A product of two scales' significands, and the sum of products.
        """
        a, b = ({int(v) for v in fmt.split(fmt.codes)[0]} for fmt in self.spec.scales)
        for factor in sorted({x * y for x in a for y in b} - {0}):
            for bits in range(_BINARY32_BITS + 1, significant + 1):
                # The largest multiple below the next power of two: if it does not begin so, none does.
                total = ((1 << bits) - 1) // factor
                head = total * factor >> bits - _BINARY32_BITS - 1
                fits = total <= self.spec.largest_sum and head == (2 << _BINARY32_BITS) - 1
                if fits and (not enumerable(self.spec) or split(self.spec, total)):
                    yield factor, total

    def within(self, places: int) -> str:
        """Return why a sum's exponent is not seen so many places above that of a group (or below)."""
        if places < -self.span:
            return f"a group ends at 2^{self.top + 1}, and every sum is a multiple of 2^{self.quantum}"
        if abs(places) >= self.span:
            return f"{_NOT_DRIVEN}groups span {self.span} bits, and no sum grows as long"
        return ""

    def spread(self, places: int) -> str:
        """Return why powers of two are not seen so many places apart; for what is put together from them."""
        if places <= self.powers:
            return ""
        return f"{_NOT_DRIVEN}groups that are powers of two span {self.powers} places"


@dataclass(frozen=True)
class _View:
    """What a stimulus shows.

    Attributes:
        stimulus: The stimulus.
        every: What happens at each vector.
        steps: The same, as far as a result depends on it.
        rows: The numbers of those vectors.
        response: What a unit answered, if one did.
    """

    stimulus: Stimulus
    every: list[TracedStep]
    steps: list[TracedStep]
    rows: npt.NDArray[np.int64]
    response: Response | None

    @classmethod
    def of(cls, stimulus: Stimulus, response: Response | None) -> "_View":
        every = list(replay(stimulus))
        # A vector counts if its sum was started, and a result is asked for behind it in the same sum.
        sums = np.cumsum(stimulus.first)
        ends = np.where(stimulus.last, np.arange(stimulus.vectors), -1)
        latest = np.full(int(sums[-1]) + 1, -1)
        np.maximum.at(latest, sums, ends)
        rows = np.flatnonzero((np.arange(stimulus.vectors) <= latest[sums]) & (sums > 0))
        return cls(stimulus, every, [every[row] for row in rows], rows, response)


class _Group(ABC):
    """Bins about one thing."""

    name: str
    bins: dict[str, str]
    """Their names, and why each cannot be met."""

    @abstractmethod
    def see(self, view: _View) -> Iterable[Hit]:
        """Tell what is met; names outside `bins` count for nothing."""


# What goes in.


@cache
def code_classes(fmt: Format) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return names of the classes of a format's codes, and the class of each code."""
    names: list[str] = []
    for code, kind in enumerate(fmt.kinds.tolist()):
        sign = "-" if code >> fmt.magnitude_bits else "+"
        names.append(kind if kind == "NaN" or not fmt.signed else sign + kind)
    kinds = tuple(dict.fromkeys(names))
    return kinds, np.array([kinds.index(name) for name in names])


class _Codes(_Group):
    """Which codes of a meet which of b."""

    def __init__(self, name: str, pair: tuple[Format, Format]) -> None:
        self.name = name
        self._pair = pair
        if all(fmt.bits <= 4 for fmt in pair):
            # Few enough to ask for every code.
            self._classes = [
                (tuple(f"{code:#x}" for code in range(1 << fmt.bits)), np.arange(1 << fmt.bits))
                for fmt in pair
            ]
        else:
            self._classes = [code_classes(fmt) for fmt in pair]
        self._names = [f"{a} x {b}" for a in self._classes[0][0] for b in self._classes[1][0]]
        self.bins = dict.fromkeys(self._names, "")

    def see(self, view: _View) -> Iterator[Hit]:
        stimulus = view.stimulus
        of_a = stimulus.a if self.name == "elements" else stimulus.a_scale
        of_b = stimulus.b if self.name == "elements" else stimulus.b_scale
        count = len(self._classes[1][0])
        both = self._classes[0][1][of_a[view.rows]] * count + self._classes[1][1][of_b[view.rows]]
        flat = both.reshape(len(both), math.prod(both.shape[1:]))
        found, first, counts = np.unique(flat, return_index=True, return_counts=True)
        for k, at, often in zip(found.tolist(), first.tolist(), counts.tolist(), strict=True):
            yield self._names[k], int(view.rows[at // flat.shape[1]]), often


class _Lanes(_Group):
    """Each lane as the only one whose product is not zero."""

    name = "lanes"

    def __init__(self, spec: DotSpec) -> None:
        self._spec = spec
        self._names = [
            f"block {j} lane {k} {sign}"
            for j in range(spec.blocks)
            for k in range(spec.block_size)
            for sign in ("positive", "negative")
        ]
        self.bins = dict.fromkeys(self._names, "")

    def see(self, view: _View) -> Iterator[Hit]:
        signs = [
            np.sign(np.where(np.isfinite(fmt.values), fmt.values, 0.0)).astype(np.int8)[codes[view.rows]]
            for fmt, codes in zip(self._spec.elements, (view.stimulus.a, view.stimulus.b), strict=True)
        ]
        product = (signs[0] * signs[1]).reshape(len(view.rows), self._spec.blocks * self._spec.block_size)
        for at in np.flatnonzero(np.count_nonzero(product, axis=1) == 1).tolist():
            lane = int(np.flatnonzero(product[at])[0])
            yield self._names[2 * lane + int(product[at, lane] < 0)], int(view.rows[at]), 1


# Blocks.


def product_magnitudes(spec: DotSpec) -> list[int]:
    """Return the magnitudes of all products of two finite elements, as integers of their quantum."""
    sets: list[set[int]] = []
    for fmt in spec.elements:
        significand, exponent = fmt.split(fmt.codes)
        sets.append({abs(int(v)) for v in significand << (exponent - fmt.quantum_exponent)})
    return sorted({x * y for x in sets[0] for y in sets[1]})


@cache
def sums_of(magnitudes: tuple[int, ...], count: int) -> list[int]:
    """Return, for 0 to `count` products, their possible sums as the bits of an integer."""
    reached = [1]
    for _ in range(count):
        more = 0
        for magnitude in magnitudes:
            more |= reached[-1] << magnitude
        reached.append(more)
    return reached


@cache
def cancellations(spec: DotSpec) -> dict[int, tuple[int, int, int] | None]:
    """Return how deep the products of a block can cancel.

    The depth is by how many bits the sum is shorter than its positive or its negative part, whichever is
    longer.

    Returns:
        By depth, how many products add up to which sum, and what the others take from it; None where an
        enumeration of all sums shows that there are none. Without any entry where sums are too many to be
        enumerated.
    """
    if spec.largest_sum > _ENUMERATED:
        return {}
    size = spec.block_size
    reached = sums_of(tuple(product_magnitudes(spec)), size)
    longest = ((spec.largest_sum + 1) // 2).bit_length() - 1
    found: dict[int, tuple[int, int, int] | None] = dict.fromkeys(range(longest + 1))
    # From an even split on outwards, which finds most at once.
    for count in sorted(range(1, size), key=lambda k: abs(2 * k - size)):
        for rest in range(1, spec.largest_sum + 1):
            # No part is longer than this, if the two differ by `rest`.
            room = ((spec.largest_sum + rest) // 2).bit_length() - rest.bit_length()
            missing = [depth for depth, split in found.items() if split is None and depth <= room]
            if not missing:
                break
            both = reached[count] & (reached[size - count] << rest)
            for depth in missing:
                length = rest.bit_length() + depth
                here = both >> (1 << length - 1) & ((1 << (1 << length - 1)) - 1)
                if here:
                    whole = (1 << length - 1) + (here & -here).bit_length() - 1
                    found[depth] = (count, whole, whole - rest)
    return found


def enumerable(spec: DotSpec) -> bool:
    """Whether a block is small enough for `split`."""
    return spec.block_size <= _FEW and spec.largest_sum <= _SEARCHED


def split(spec: DotSpec, total: int) -> tuple[int, int, int] | None:
    """Return how many products of a block add up to which sum, from which the others take all but `total`."""
    reached = sums_of(tuple(product_magnitudes(spec)), spec.block_size)
    for count in range(spec.block_size, 0, -1):
        if both := reached[count] >> total & reached[spec.block_size - count]:
            taken = (both & -both).bit_length() - 1
            return count, total + taken, taken
    return None


class _Sums(_Group):
    """The sum of products of a block."""

    name = "sums"

    def __init__(self, spec: DotSpec) -> None:
        least, largest = extremes(spec)
        self._names = {1: "+1", -1: "-1", least: "least", largest: "largest"}
        self.bins = dict.fromkeys(["every product zero", "cancelled to zero", *self._names.values()], "")

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            for block in step.blocks:
                if block.special:
                    continue
                if not block.total:
                    yield "cancelled to zero" if block.positive else "every product zero", step.vector, 1
                elif block.total in self._names:
                    yield self._names[block.total], step.vector, 1


def extremes(spec: DotSpec) -> tuple[int, int]:
    """Return the least and the largest sum of products of a block, as integers of the products' quantum."""
    a, b = (fmt.values[fmt.codes] for fmt in spec.elements)
    products = np.outer([a.min(), a.max()], [b.min(), b.max()])
    quantum = Fraction(2) ** sum(fmt.quantum_exponent for fmt in spec.elements)
    least, largest = (Fraction(float(bound)) / quantum for bound in (products.min(), products.max()))
    return int(least) * spec.block_size, int(largest) * spec.block_size


class _Cancellation(_Group):
    """By how many bits a block's sum is shorter than its positive or its negative part."""

    name = "cancellation"

    def __init__(self, spec: DotSpec) -> None:
        known = cancellations(spec)
        if known:
            why = f"no {spec.block_size} products cancel so deep, by enumeration"
            self.bins = {f"{depth} bits": "" if split else why for depth, split in known.items()}
        else:
            # Deeper than what a power of two and a run of ones below it cancel to, none is asked for.
            self.bins = {f"{depth} bits": "" for depth in range(deepest_run(spec) + 1)}

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            for block in step.blocks:
                if block.total and not block.special:
                    longest = max(block.positive, block.negative).bit_length()
                    yield f"{longest - abs(block.total).bit_length()} bits", step.vector, 1


def deepest_run(spec: DotSpec) -> int:
    """Return the depth to which one power of two and runs of ones below it, a run to a lane, cancel."""
    run = min(fmt.significand_bits for fmt in spec.elements)
    powers = [power_exponents(fmt) for fmt in spec.elements]
    places = sum(high - low for low, high in powers)
    return min((spec.block_size - 1) * run, places)


def power_exponents(fmt: Format) -> tuple[int, int]:
    """Return the least and the largest exponent of a power of two that is a value of a format."""
    values = fmt.values[fmt.codes]
    fractions, exponents = np.frexp(values[values > 0])
    powers = exponents[fractions == 0.5] - 1
    return int(powers.min()), int(powers.max())


class _Place(_Group):
    """How far the scales shift a block that is not zero up from the quantum."""

    name = "scale shift"

    def __init__(self, spec: DotSpec) -> None:
        self.bins = {f"{places} places": "" for places in range(spec.scale_shift + 1)}

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            for block in step.blocks:
                if block.value and not block.special:
                    yield f"{block.shift} places", step.vector, 1


# Groups and sums.


def _signed(value: int) -> str:
    return "-" if value < 0 else "+"


class _TopBits(_Group):
    """The top bit of a group's V, or of an exact sum where a result is asked for."""

    def __init__(self, spec: DotSpec, reach: Reachable, *, sums: bool) -> None:
        self.name = "top bit of a sum" if sums else "top bit of a group"
        self._sums = sums
        self._quantum = reach.quantum - unit_exponent(spec)
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
            return f"{_NOT_DRIVEN}it takes a sum of some 2^{growth} groups"
        return "the least one is shorter than the largest, in two's complement"

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            value = step.after if self._sums else step.value
            special = step.after_special if self._sums else step.special
            # An infinite group may be one that was a number before it was rounded.
            if value and not (special and self._sums) and (step.last or not self._sums):
                exponent = abs(value).bit_length() - 1 - self._quantum + self._low
                yield f"{_signed(value)}2^{exponent}", step.vector, 1


def _kinds(rounded: Rounded) -> list[str]:
    names = {"below": "below half", "tie down": "tie to even below", "tie up": "tie to even above"}
    kinds = [names.get(rounded.kind, "above half" if rounded.kind == "above" else rounded.kind)]
    return [*kinds, "carry into the exponent"] if rounded.carry else kinds


class _Rounding(_Group):
    """How a group's V, or an exact sum, is rounded to binary32."""

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        self._exact = spec.accumulate == "exact"
        self.name = "rounding of a sum" if self._exact else "rounding of a group"
        self.bins = reach.roundings(reach.rounded_bits)

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            rounded = step.result if self._exact else step.group
            if rounded and not (self._exact and step.after_special):
                for kind in _kinds(rounded):
                    yield kind, step.vector, 1


class _Results(_Group):
    """What results are."""

    name = "results"

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        multiple = f"every sum is a multiple of 2^{reach.quantum}"
        tiny = "" if reach.quantum < _LEAST else multiple
        if not tiny and spec.accumulate == "aligned" and spec.fraction < _LEAST_NORMAL - _LEAST + 1:
            tiny = f"what lies below 2^{_LEAST_NORMAL - spec.fraction} is cut off before"
        small = "" if reach.quantum < _LEAST_NORMAL else multiple
        if not small and spec.accumulate == "aligned" and not spec.fraction:
            small = f"what lies below 2^{_LEAST_NORMAL} is cut off before"
        infinite = self._infinite(spec, reach)
        nan = ""
        if not any(fmt.top is not Top.FINITE for fmt in spec.elements + spec.scales):
            nan = infinite and "neither format has NaN, and no sum is infinite"
        self.bins = {"+0": "", "-0": tiny}
        for sign in "+-":
            self.bins |= {f"{sign}subnormal": small, f"{sign}normal": "", f"{sign}infinity": infinite}
        self.bins["NaN"] = nan

    @staticmethod
    def _infinite(spec: DotSpec, reach: Reachable) -> str:
        if any(fmt.infinity_code is not None for fmt in spec.elements):
            return ""
        if spec.accumulate == "aligned":
            return "a sum that is too large is cut off at the largest number"
        if reach.top >= _OVERFLOW:
            return ""
        # A binary32 sum takes no more of what is 2**25 times smaller.
        growth = {"fp32": _BINARY32_BITS + 1, "exact": reach.doublings}.get(spec.accumulate, 0)
        if reach.top + growth + 1 < _OVERFLOW:
            return f"no sum reaches above 2^{reach.top + growth + 1}"
        return f"{_NOT_DRIVEN}the largest group is below 2^{reach.top + 1}"

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            if step.result:
                bits = step.result.bits
                magnitude = bits & ~_SIGN
                sign = "-" if bits & _SIGN else "+"
                if bits == NAN:
                    yield "NaN", step.vector, 1
                elif not magnitude:
                    yield f"{sign}0", step.vector, 1
                elif magnitude == _INFINITY:
                    yield f"{sign}infinity", step.vector, 1
                else:
                    size = "subnormal" if magnitude < 1 << _BINARY32_BITS - 1 else "normal"
                    yield f"{sign}{size}", step.vector, 1


# Adding a group to a sum.


class _Distance(_Group):
    """How far the exponent of a sum lies above that of the group added to it, or below."""

    name = "alignment"

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        self._spec = spec
        self._unit = unit_exponent(spec)
        self._limit = _APART if spec.accumulate == "fp32" else reach.span - 1
        self.bins = {
            f"{self._name(places)}, {how}": self._why(reach, places)
            for places in range(-self._limit, self._limit + 1)
            for how in ("added", "subtracted")
        }

    def _why(self, reach: Reachable, places: int) -> str:
        # Binary32's exponents end at that of the least normal number, and at infinity.
        width = min(reach.top, _OVERFLOW - 1) - max(reach.quantum, _LEAST_NORMAL)
        if self._spec.accumulate == "fp32" and abs(places) > width:
            return reach.within(places) or f"{_NOT_DRIVEN}finite binary32 groups span {width} exponents"
        return reach.within(places)

    def _name(self, places: int) -> str:
        if not places:
            return "level"
        more = " and more" if abs(places) >= self._limit and self._spec.accumulate == "fp32" else ""
        return f"{min(abs(places), self._limit)}{more} {'above' if places > 0 else 'below'}"

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            if step.first or step.special or step.before_special:
                continue
            group = step.value
            if self._spec.accumulate == "fp32":
                assert step.group is not None
                group = number_of(step.group.bits, self._unit)
            if group and step.before:
                exponents = [self._exponent(number) for number in (step.before, group)]
                how = "added" if (step.before < 0) == (group < 0) else "subtracted"
                yield f"{self._name(exponents[0] - exponents[1])}, {how}", step.vector, 1

    def _exponent(self, number: int) -> int:
        exponent = abs(number).bit_length() - 1 + self._unit
        return max(exponent, _LEAST_NORMAL) if self._spec.accumulate == "fp32" else exponent


class _Addition(_Group):
    """The addition of two binary32 numbers."""

    name = "binary32 addition"

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        self._unit = unit_exponent(spec)
        # What is asked for is put together from powers of two.
        why = reach.spread(_APART)
        self.bins = {}
        for how in ("add", "subtract"):
            roundings = reach.roundings(2 * _APART)
            self.bins |= {f"{how}: {kind}": why for kind in roundings if kind != "exact"}
            self.bins[f"{how}: exact"] = ""
            for lost in range(8):
                self.bins[f"{how}: guard, round, sticky {lost:03b}"] = why if lost else ""
        for zeros in range(1, _BINARY32_BITS + 1):
            self.bins[f"{zeros} leading zeros"] = reach.spread(zeros)
        tiny = "" if reach.quantum < _LEAST else f"every group is a multiple of 2^{reach.quantum}"
        self.bins |= {
            "x + 0": "",
            "0 + x": "",
            "0 + 0": "",
            "x - x": "",
            "-0 + -0": tiny,
            "-0 + 0": tiny,
        }

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            if step.first or step.group is None or step.special or step.before_special:
                continue
            group = number_of(step.group.bits, self._unit)
            before, vector = step.before, step.vector
            assert step.addition is not None
            if not group or not before:
                yield f"{'x' if before else '0'} + {'x' if group else '0'}", vector, 1
                if not group and not before and step.group.bits:
                    # A sum of zero is -0 only if every group was.
                    negative = step.addition.bits == _SIGN
                    yield "-0 + -0" if negative else "-0 + 0", vector, 1
                continue
            how = "add" if (before < 0) == (group < 0) else "subtract"
            for kind in _kinds(step.addition):
                yield f"{how}: {kind}", vector, 1
            yield f"{how}: guard, round, sticky {self._lost(before, group):03b}", vector, 1
            if before == -group:
                yield "x - x", vector, 1
            elif how == "subtract" and not step.after_special:
                largest = max(abs(before), abs(group))
                zeros = self._exponent(largest) - exponent_of(step.addition.bits)
                yield f"{zeros} leading zeros", vector, 1

    def _exponent(self, magnitude: int) -> int:
        return max(magnitude.bit_length() - 1 + self._unit, _LEAST_NORMAL)

    def _lost(self, before: int, group: int) -> int:
        """Return what of the smaller number lies below the larger one's last place, the rest as one bit."""
        small, large = sorted((abs(before), abs(group)))
        place = self._exponent(large) - (_BINARY32_BITS - 1) - self._unit
        if place <= 0:
            return 0
        below = (small << 2) & ((1 << place + 2) - 1)  # two places more, so that there always are two
        return (below >> place) << 1 | bool(below & ((1 << place) - 1))


class _Register(_Group):
    """Where an exact sum crosses zero."""

    name = "exact sum"

    def __init__(self) -> None:
        self.bins = dict.fromkeys(
            ["+ to -", "- to +", "+ to 0", "- to 0", "0 to +", "0 to -", "+ stays", "- stays"], ""
        )

    def see(self, view: _View) -> Iterator[Hit]:
        signs = {-1: "-", 0: "0", 1: "+"}
        for step in view.steps:
            if step.before_special or step.after_special:
                continue
            before, after = (signs[(value > 0) - (value < 0)] for value in (step.before, step.after))
            if step.first or before == after == "0":
                continue
            yield f"{before} stays" if before == after else f"{before} to {after}", step.vector, 1


class _Aligned(_Group):
    """Terms shifted to the largest exponent and cut off."""

    name = "aligned sum"

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        self._fraction = spec.fraction
        self._units = spec.block_size // spec.unit_size
        least = max(reach.lowest, _LEAST_NORMAL)
        # The least sum that one group leaves, and the exponents that block terms and sums have.
        lowest_sum = max(reach.quantum, least - spec.fraction)
        sum_width = reach.highest - max(lowest_sum, _LEAST_NORMAL)
        block_width = max(reach.highest, reach.top) - reach.lowest
        if spec.blocks == 1:
            block_width = reach.top - reach.lowest
        self._limit = spec.fraction + 2
        self.bins = {"sum ahead": "", "terms level": ""}
        alone = "" if reach.lowest > _LEAST_NORMAL or reach.highest > _LEAST_NORMAL else "zero is ahead"
        for j in range(spec.blocks):
            self.bins[f"block {j} ahead"] = alone
        for who, width in (("sum", sum_width), ("block", block_width)):
            for places in range(self._limit + 1):
                far = f"no group's exponent is more than {width} above that of a sum"
                if who == "block":
                    far = f"{_NOT_DRIVEN}no sum of few groups is more than {width} above a block"
                self.bins[self._behind(who, places)] = far if places > width else ""
        cut_sum = (
            ""
            if reach.highest - spec.fraction > lowest_sum
            else f"{_NOT_DRIVEN}no sum of few groups reaches so low"
        )
        highest = reach.top if spec.blocks == 1 else max(reach.highest, reach.top)
        cut_block = (
            ""
            if highest - spec.fraction > reach.quantum
            else f"{_NOT_DRIVEN}no block lies so far below a sum of few"
        )
        for sign in "+-":
            for how in ("cut", "lost"):
                self.bins[f"{sign} sum {how}"] = cut_sum
                self.bins[f"{sign} block {how}"] = cut_block
            self.bins[f"{sign} result cut"] = self._narrow(spec, reach)
            self.bins[f"{sign} result at the largest number"] = (
                "" if reach.top >= _OVERFLOW else f"no group reaches above 2^{reach.top}"
            )
        self.bins["result exact"] = self.bins["terms cancel to zero"] = ""

    @staticmethod
    def _narrow(spec: DotSpec, reach: Reachable) -> str:
        """Return why no result is cut off."""
        if spec.fraction >= _BINARY32_BITS:
            return reach.spread(_BINARY32_BITS + 1)
        # A group may reach above its exponent, and what was accumulated adds a bit.
        if spec.fraction + max(reach.top - reach.highest, 0) + 2 <= _BINARY32_BITS:
            return "a sum has no more bits than binary32"
        return f"{_NOT_DRIVEN}only {spec.fraction} bits are kept below the largest exponent"

    def _behind(self, who: str, places: int) -> str:
        more = " and more" if places >= self._limit else ""
        return f"{who} {min(places, self._limit)}{more} behind"

    def see(self, view: _View) -> Iterator[Hit]:
        for step in view.steps:
            if step.special or step.before_special:
                continue
            assert step.addition is not None
            largest = max(term.exponent for term in step.terms)
            owners = [(k + self._units - 1) // self._units for k in range(len(step.terms))]
            ahead = {owners[k] for k, term in enumerate(step.terms) if term.exponent == largest}
            if len(ahead) > 1:
                yield "terms level", step.vector, 1
            else:
                owner = ahead.pop()
                yield f"block {owner - 1} ahead" if owner else "sum ahead", step.vector, 1
            for owner, term in zip(owners, step.terms, strict=True):
                if not term.value:
                    continue
                who = "block" if owner else "sum"
                yield self._behind(who, largest - term.exponent), step.vector, 1
                if term.cut:
                    how = "lost" if term.cut == term.value else "cut"
                    yield f"{_signed(term.value)} {who} {how}", step.vector, 1
            sign = "-" if step.addition.bits & _SIGN else "+"
            if step.addition.bits & ~_SIGN == _INFINITY - 1:
                yield f"{sign} result at the largest number", step.vector, 1
            yield "result exact" if step.addition.kind == "exact" else f"{sign} result cut", step.vector, 1
            kept = [term.value - term.cut for term in step.terms]
            if any(kept) and not sum(kept):
                yield "terms cancel to zero", step.vector, 1


# What comes after what.


class _Special(_Group):
    """NaN and infinities of elements."""

    name = "special elements"

    def __init__(self, spec: DotSpec) -> None:
        self._spec = spec
        nan = any(np.isnan(fmt.values).any() for fmt in spec.elements)
        infinite = [bool(np.isinf(fmt.values).any()) for fmt in spec.elements]
        names = ["NaN element"] if nan else []
        if any(infinite):
            names += ["+infinite block", "-infinite block", "infinity x 0", "infinity - infinity in a block"]
            if any(fmt.zero_code is not None for fmt in spec.scales):
                names.append("infinity x zero scale")
            if spec.blocks > 1:
                names.append("infinity - infinity between blocks")
        self.bins = dict.fromkeys(names, "")

    def see(self, view: _View) -> Iterator[Hit]:
        if not self.bins:
            return
        spec = self._spec
        for step in view.steps:
            if not any(block.special for block in step.blocks):
                continue
            infinite: set[float] = set()
            for j, block in enumerate(step.blocks):
                a, b = (
                    fmt.values[codes[step.vector, j]]
                    for fmt, codes in zip(spec.elements, (view.stimulus.a, view.stimulus.b), strict=True)
                )
                scales = [
                    float(fmt.values[codes[step.vector, j]])
                    for fmt, codes in zip(
                        spec.scales, (view.stimulus.a_scale, view.stimulus.b_scale), strict=True
                    )
                ]
                with np.errstate(invalid="ignore"):
                    products = a * b
                numbers = not np.isnan(a).any() and not np.isnan(b).any()
                if not numbers:
                    yield "NaN element", step.vector, 1
                elif np.isnan(products).any():
                    yield "infinity x 0", step.vector, 1
                elif np.isposinf(products).any() and np.isneginf(products).any():
                    yield "infinity - infinity in a block", step.vector, 1
                elif np.isinf(products).any() and 0.0 in scales and not any(map(math.isnan, scales)):
                    yield "infinity x zero scale", step.vector, 1
                elif math.isinf(block.special):
                    infinite.add(block.special)
                    yield f"{'+' if block.special > 0 else '-'}infinite block", step.vector, 1
            if len(infinite) == 2 and math.isnan(step.special):
                yield "infinity - infinity between blocks", step.vector, 1


class _Sequence(_Group):
    """Sums one behind another, and where in them NaN stands."""

    name = "sequence"

    def __init__(self, spec: DotSpec, reach: Reachable) -> None:
        exact = spec.accumulate == "exact"
        limit = f"a sum of {1 << reach.doublings} groups is the longest there is"
        short = limit if exact and reach.doublings < 1 else ""
        longer = limit if exact and reach.doublings < 2 else ""
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

    def see(self, view: _View) -> Iterator[Hit]:
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


class _Ports(_Group):
    """Gaps, and back-pressure with the pipeline filled to each depth."""

    name = "ports"

    def __init__(self, latency: int) -> None:
        self._latency = latency
        names = ["input taken at once", "input waits 1 cycle", "input waits longer"]
        names += ["no gap between inputs", "gap of 1 cycle", "longer gap"]
        names += [f"result waits with {k} inputs behind it" for k in range(latency + 1)]
        names += ["result taken at once", "result waits 1 cycle", "result waits longer"]
        self.bins = dict.fromkeys(names, "")

    def see(self, view: _View) -> Iterator[Hit]:
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


def _groups(spec: DotSpec, latency: int | None, *, long: bool) -> list[_Group]:
    reach = Reachable(spec, long=long)
    groups: list[_Group] = [
        _Codes("elements", spec.elements),
        _Codes("scales", spec.scales),
        _Special(spec),
        _Lanes(spec),
        _Sums(spec),
        _Cancellation(spec),
        _Place(spec),
        _TopBits(spec, reach, sums=False),
        _Results(spec, reach),
    ]
    if spec.accumulate != "aligned":
        groups.append(_Rounding(spec, reach))
    match spec.accumulate:
        case "fp32":
            groups += [_Distance(spec, reach), _Addition(spec, reach)]
        case "exact":
            groups.append(_TopBits(spec, reach, sums=True))
            if reach.doublings:
                groups += [_Distance(spec, reach), _Register()]
        case "aligned":
            groups.append(_Aligned(spec, reach))
    if spec.accumulates:
        groups.append(_Sequence(spec, reach))
    if latency:
        groups.append(_Ports(latency))
    return [group for group in groups if group.bins]


class Coverage:
    """What stimuli have met of all that there is to meet.

    Args:
        spec: What the unit computes.
        latency: Its latency, where what its ports do is to be covered as well.
        long: Whether sums of ``2**LONG`` groups are driven, so that the upper guard bits can be met.

    Attributes:
        spec: The same.
        bins: All bins, in order.
        met: Those that were met.
    """

    def __init__(self, spec: DotSpec, *, latency: int | None = None, long: bool = False) -> None:
        self.spec = spec
        self._groups = _groups(spec, latency, long=long)
        self.bins = [Bin(group.name, name, why) for group in self._groups for name, why in group.bins.items()]
        self._known = {(one.group, one.name): one for one in self.bins}
        self.met: dict[Bin, MetBins] = {}

    def add(self, stimulus: Stimulus, response: Response | None = None) -> None:
        """Note what a stimulus meets.

        Args:
            stimulus: The stimulus; for the same specification.
            response: What a unit answered, where what its ports do is to be covered.
        """
        for one, vector, count in self.hits(stimulus, response):
            met = self.met.setdefault(one, MetBins(0, vector))
            met.count += count

    def hits(self, stimulus: Stimulus, response: Response | None = None) -> Iterator[tuple[Bin, int, int]]:
        """Tell what a stimulus meets: a bin, the number of a vector, and how often."""
        view = _View.of(stimulus, response)
        for group in self._groups:
            for name, vector, count in group.see(view):
                if one := self._known.get((group.name, name)):
                    yield one, vector, count

    @property
    def holes(self) -> list[Bin]:
        """Bins that can be met and were not."""
        return [one for one in self.bins if one not in self.met and not one.unreachable]

    @property
    def refuted(self) -> list[Bin]:
        """Bins that were met and should not be possible: what says so is wrong."""
        return [one for one in self.met if not one.possible]
