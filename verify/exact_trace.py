"""What happens inside the sums of a stimulus, group by group, in Python's integers.

Every number is exact here: an integer times a power of two. It shares no arithmetic with the model, which
works in floating point, nor with the hardware: a third account of the contract, slow and plain, which tells
what went on on the way: what cancelled, what was shifted how far, what was rounded how.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..model import DotSpec, Format
from ..sim.stimulus import Stimulus
from .accumulation_checks import ACCUMULATION_CHECKS
from .integer_rounding import (
    FRACTION_BITS,
    INFINITY,
    LEAST_EXPONENT,
    NAN,
    SIGN_BIT,
    Rounded,
    nearest,
    number_of,
    rounded_to,
)

__all__ = [
    "Arrival",
    "TracedBlock",
    "TracedChange",
    "TracedStep",
    "TracedSum",
    "TracedTerm",
    "replay",
    "rounded_group",
    "unit_exponent",
]

_WORD_BITS: Final = 62


def unit_exponent(spec: DotSpec) -> int:
    """Return the exponent of the unit in which a replay counts: every number of a sum is a multiple of it."""
    return min(spec.quantum_exponent, LEAST_EXPONENT)


@dataclass(frozen=True, slots=True)
class TracedBlock:
    """One block of a group.

    Attributes:
        positive: Sum of its positive products, as an integer of the products' quantum.
        negative: Magnitude of the sum of its negative products, likewise.
        significand: Product of the scales' integer significands.
        shift: Places by which the scales shift it up from the quantum of V.
        special: NaN or an infinity, if V is one; else 0.
    """

    positive: int
    negative: int
    significand: int
    shift: int
    special: float

    @property
    def total(self) -> int:
        """The sum of products."""
        return self.positive - self.negative

    @property
    def value(self) -> int:
        """V as a multiple of its quantum; without meaning if it is special."""
        return self.total * self.significand << self.shift


@dataclass(frozen=True, slots=True)
class TracedTerm:
    """What `aligned` shifts as one: what was accumulated, a product, or up to 16 elements of a block.

    Attributes:
        value: Its exact value, in units.
        exponent: The exponent that it reads.
        cut: What is cut off of it, in units.
        scales: The exponent of its scales, where it is no sum, and of its elements, where it is a product:
            what it would read were it not exactly zero.
    """

    value: int
    exponent: int
    cut: int
    scales: int | None = None


@dataclass(frozen=True, slots=True)
class TracedStep:
    """One input, and what comes of it. Numbers are in units of `unit_exponent`.

    Attributes:
        vector: Its number in the stimulus.
        first: It starts a sum.
        last: It asks for a result.
        blocks: Its blocks.
        value: The exact sum of its V.
        special: NaN or an infinity, if that is one; else 0.
        group: The group's own rounding, where it has one (``none`` and ``fp32``) and is not special.
        before: What was accumulated before; at the start of a sum 0, or C.
        before_special: NaN or an infinity, if that was one; else 0.
        after: What is accumulated then.
        after_special: NaN or an infinity, if that is one; else 0.
        addition: How it was rounded when it was added (``aligned``, and ``fp32``, there not to a first group
            without C), if nothing was special.
        terms: What ``aligned`` adds, the first being what was accumulated.
        result: The result, where one is asked for; what is special counts as exact.
        links: How ``chain`` rounded each sum of products, and that times each scale, as far as that went.
        scaled: The result times the tensor scale, where there is one: `result` is what is multiplied.
    """

    vector: int
    first: bool
    last: bool
    blocks: tuple[TracedBlock, ...]
    value: int
    special: float
    group: Rounded | None
    before: int
    before_special: float
    after: int
    after_special: float
    addition: Rounded | None
    terms: tuple[TracedTerm, ...]
    result: Rounded | None
    links: tuple[Rounded, ...]
    scaled: Rounded | None


@dataclass(slots=True)
class TracedSum:
    """What is accumulated: a number of units, NaN or an infinity, and, as binary32, its bits."""

    value: int = 0
    special: float = 0.0
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A group that comes to a sum. Numbers are in units of `unit_exponent`.

    Attributes:
        spec: What is computed.
        unit: The exponent of the unit.
        first: It starts a sum.
        value: The exact sum of its V.
        special: NaN or an infinity, if that is one; else 0.
        terms: Gives the exact value of each product, or of up to 16 elements of each block, the exponent that
            ``aligned`` reads for it, and what it would read were it not exactly zero.
        factors: Gives the first block's products, as integers of their quantum, and significand and exponent
            of each of its scales.
    """

    spec: DotSpec
    unit: int
    first: bool
    value: int
    special: float
    terms: Callable[[], list[tuple[int, int, int]]]
    factors: Callable[[], tuple[list[int], list[tuple[int, int]]]]


@dataclass(frozen=True, slots=True)
class TracedChange:
    """What becomes of a sum.

    Attributes:
        now: What is accumulated.
        special: What the group is from here on: NaN or an infinity, or 0 for a number.
        group: See `TracedStep`.
        addition: See `TracedStep`.
        result: How the binary32 number that is accumulated was rounded last; None for a sum that is still to
            be rounded.
        terms: See `TracedStep`.
        links: See `TracedStep`.
    """

    now: TracedSum
    special: float
    group: Rounded | None = None
    addition: Rounded | None = None
    result: Rounded | None = None
    terms: tuple[TracedTerm, ...] = ()
    links: tuple[Rounded, ...] = ()


def rounded_group(arrival: Arrival) -> tuple[Rounded | None, float]:
    """Return a group's own rounding, None for one that is no number, and what is special of it then."""
    if arrival.special:
        return None, arrival.special
    group = nearest(arrival.value, arrival.unit)
    # What is too large is infinite from here on.
    infinite = group.bits & ~SIGN_BIT == INFINITY
    return group, math.copysign(math.inf, arrival.value) if infinite else 0.0


def _special_bits(special: float) -> int:
    return NAN if math.isnan(special) else INFINITY | (SIGN_BIT if special < 0 else 0)


class _Accounts:
    """The exact accounts of a stimulus's blocks."""

    def __init__(self, stimulus: Stimulus) -> None:
        self.spec = spec = stimulus.spec
        integers = [
            _integers(fmt, codes) for fmt, codes in zip(spec.elements, (stimulus.a, stimulus.b), strict=True)
        ]
        # A product of two e5m2 elements has 66 bits.
        wide = spec.sum_bits > 62
        a, b = (array.astype(object) if wide else array for array in integers)
        products = a * b
        self.products = products
        self.positive = np.where(products > 0, products, 0).sum(axis=-1).tolist()
        self.negative = np.where(products < 0, -products, 0).sum(axis=-1).tolist()
        scales = (stimulus.a_scale, stimulus.b_scale)
        split = [fmt.split(codes) for fmt, codes in zip(spec.scales, scales, strict=True)]
        self.scales = [(significand.tolist(), exponent.tolist()) for significand, exponent in split]
        quanta = [fmt.quantum_exponent for fmt in spec.scales]
        self.significand = (split[0][0] * split[1][0]).tolist()
        self.shift = (split[0][1] + split[1][1] - sum(quanta)).tolist()
        a_exponent, b_exponent = (
            exponent + fmt.mantissa_bits for (_, exponent), fmt in zip(split, spec.scales, strict=True)
        )
        self.exponent = (a_exponent + b_exponent).tolist()
        a_exponent, b_exponent = (
            fmt.split(codes)[1] + fmt.mantissa_bits
            for fmt, codes in zip(spec.elements, (stimulus.a, stimulus.b), strict=True)
        )
        self.product_exponent = a_exponent + b_exponent
        # NaN and infinities are no zeros, though they count as such among the integers.
        a_values, b_values = (
            fmt.values[codes] for fmt, codes in zip(spec.elements, (stimulus.a, stimulus.b), strict=True)
        )
        self.nonzero = (a_values != 0) & (b_values != 0)
        self.special = _specials(stimulus)

    def block(self, vector: int, j: int) -> TracedBlock:
        return TracedBlock(
            int(self.positive[vector][j]),
            int(self.negative[vector][j]),
            self.significand[vector][j],
            self.shift[vector][j],
            self.special.get((vector, j), 0.0),
        )

    def factors(self, vector: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the products of the first block, and significand and exponent of its scales."""
        scales = [(significand[vector][0], exponent[vector][0]) for significand, exponent in self.scales]
        return [int(product) for product in self.products[vector, 0]], scales

    def terms(self, vector: int, up: int) -> list[tuple[int, int, int]]:
        """Return value, shifted up so far, and exponents of each 16 elements of each block."""
        found: list[tuple[int, int, int]] = []
        for j in range(self.spec.blocks):
            products, nonzero = self.products[vector, j], self.nonzero[vector, j]
            significand, shift = self.significand[vector][j], self.shift[vector][j] + up
            scales = self.exponent[vector][j]
            if self.spec.term_size == 1:
                own = self.product_exponent[vector, j].tolist()
                for product, counts, exponent in zip(products, nonzero, own, strict=True):
                    zero = not significand or not counts
                    read = exponent + scales
                    found.append(
                        (int(product) * significand << shift, self.spec.zero_exponent if zero else read, read)
                    )
                continue
            size = self.spec.unit_size
            for k in range(0, len(products), size):
                value = int(products[k : k + size].sum()) * significand << shift
                zero = not significand or not nonzero[k : k + size].any()
                found.append((value, self.spec.zero_exponent if zero else scales, scales))
        return found


def _integers(fmt: Format, codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
    """Return codes as multiples of the format's quantum; 0 for NaN and infinities."""
    significand, exponent = fmt.split(codes)
    places = exponent - fmt.quantum_exponent
    if int(places.max(initial=0)) + fmt.significand_bits > _WORD_BITS:
        # A bf16 element has 261 bits, as an integer of its quantum.
        significand, places = significand.astype(object), places.astype(object)
    return np.where(np.isfinite(fmt.values[codes]), significand << places, 0)


def _specials(stimulus: Stimulus) -> dict[tuple[int, int], float]:
    """Return what every block that is not finite is, by vector and number."""
    spec = stimulus.spec
    a, b = (fmt.values[codes] for fmt, codes in zip(spec.elements, (stimulus.a, stimulus.b), strict=True))
    scales = (
        spec.scales[0].values[stimulus.a_scale],
        spec.scales[1].values[stimulus.b_scale],
    )
    odd = ~(np.isfinite(a) & np.isfinite(b)).all(axis=-1) | ~(np.isfinite(scales[0]) & np.isfinite(scales[1]))
    specials: dict[tuple[int, int], float] = {}
    for vector, j in np.argwhere(odd).tolist():
        total = 0.0
        for x, y in zip(a[vector, j].tolist(), b[vector, j].tolist(), strict=True):
            product = x * y
            if not math.isfinite(product):
                total += product
        specials[vector, j] = total * float(scales[0][vector, j]) * float(scales[1][vector, j])
    return specials


def _starts(stimulus: Stimulus) -> list[TracedSum]:
    """Return what a sum starts at that starts at each vector; none where that is zero."""
    spec = stimulus.spec
    if stimulus.c is None:
        return []
    # Bits that sums are not kept with; of a number of their own format they are zeros.
    lost = (1 << FRACTION_BITS - spec.sum_format.fields.fraction_bits) - 1
    starts: list[TracedSum] = []
    for number in spec.c_format.decode(stimulus.c):
        bits = int(number.view(np.uint32))
        if math.isfinite(number):
            bits &= ~lost
            starts.append(TracedSum(number_of(bits, unit_exponent(spec)), 0.0, bits))
        else:
            starts.append(TracedSum(special=float(number)))
    return starts


def _times(result: int, g: int) -> Rounded:
    """Return the product of two binary32 numbers, rounded to nearest."""
    sign = (result ^ g) & SIGN_BIT
    sizes = [bits & ~SIGN_BIT for bits in (result, g)]
    if max(sizes) > INFINITY or (max(sizes) == INFINITY and not min(sizes)):
        return Rounded(NAN)
    if max(sizes) == INFINITY:
        return Rounded(INFINITY | sign)
    a, b = (number_of(size, LEAST_EXPONENT) for size in sizes)
    rounded = nearest(a * b, 2 * LEAST_EXPONENT)
    return dataclasses.replace(rounded, bits=rounded.bits | sign)


def replay(stimulus: Stimulus) -> Iterator[TracedStep]:
    """Tell what happens inside the sums of a stimulus.

    Args:
        stimulus: The stimulus. What comes before the first sum adds to zero.

    Yields:
        A step for each vector, in order.
    """
    spec = stimulus.spec
    unit = unit_exponent(spec)
    up = spec.quantum_exponent - unit
    accounts = _Accounts(stimulus)
    starts = _starts(stimulus)
    trace = ACCUMULATION_CHECKS[spec.accumulate].trace
    now = TracedSum()
    for vector, (first, last) in enumerate(zip(stimulus.first.tolist(), stimulus.last.tolist(), strict=True)):
        blocks = tuple(accounts.block(vector, j) for j in range(spec.blocks))
        value = sum(block.value for block in blocks) << up
        # 0 stands for any finite number, and Python's floats know Inf - Inf.
        special = sum(block.special for block in blocks)
        before = (starts[vector] if starts else TracedSum()) if first else now
        terms = functools.partial(accounts.terms, vector, up)
        factors = functools.partial(accounts.factors, vector)
        change = trace(Arrival(spec, unit, first, value, special, terms, factors), before)
        now = change.now
        result = None
        if last:
            if now.special:
                result = Rounded(_special_bits(now.special))
            elif spec.rounds_at_end:
                # A zero keeps its sign.
                rounded = rounded_to(spec.result_format, now.value, unit)
                result = dataclasses.replace(rounded, bits=rounded.bits | now.bits & SIGN_BIT)
            elif change.result is None:
                result = nearest(now.value, unit)
            else:
                result = Rounded(now.bits, change.result.kind, change.result.carry)
        yield TracedStep(
            vector,
            first,
            last,
            blocks,
            value,
            change.special,
            change.group,
            before.value,
            before.special,
            now.value,
            now.special,
            change.addition,
            change.terms,
            result,
            change.links,
            None if result is None or stimulus.g is None else _times(result.bits, int(stimulus.g[vector])),
        )
