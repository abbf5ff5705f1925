"""How far the numbers of a specification go: what a test can reach, and why not the rest."""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np

from ...hw.config import require_hardware
from ...model import DotSpec, Format

__all__ = [
    "APART",
    "BINARY32_BITS",
    "DRIVEN",
    "INFINITY",
    "LEAST",
    "LEAST_NORMAL",
    "LONG",
    "NOT_DRIVEN",
    "OVERFLOW",
    "Reachable",
    "cancellations",
    "deepest_run",
    "enumerable",
    "extremes",
    "power_exponents",
    "split",
    "sums_of",
]

LONG: Final = 16
"""The longest sums that are driven on request have ``2**LONG`` groups; all others ``2**DRIVEN``."""

DRIVEN: Final = 6
"""See `LONG`."""

NOT_DRIVEN: Final = "not driven: "
"""What the reason begins with why a bin is not asked for that could be met."""

BINARY32_BITS: Final = 24
"""Width of a significand."""

OVERFLOW: Final = 128
"""The least power of two that is infinite has this exponent."""

LEAST_NORMAL: Final = -126
"""Exponent of the least normal number."""

LEAST: Final = -149
"""Exponent of the least number."""

INFINITY: Final = 0x7F800000
"""The bits of infinity."""

APART: Final = 27
"""Adding numbers so many places apart leaves one of them as it is."""

# Sums of products up to which all that can cancel are enumerated.
_ENUMERATED: Final = 1 << 16
# The same for blocks of few elements, of which one sum is looked for.
_SEARCHED: Final = 1 << 22
_FEW: Final = 4


class Reachable:
    """How far the numbers of a specification go.

    Args:
        spec: The specification.
        long: Whether sums of ``2**LONG`` groups are driven.

    Attributes:
        spec: The specification.
        quantum: Exponent of the quantum of V.
        span: Bits of the largest group's V, from the quantum up.
        negative_span: The same of the least one's, which is a bit shorter in two's complement.
        doublings: ``2**doublings`` groups are the longest exact sum; 0 where nothing is summed exactly.
        growth: ``2**growth`` of them the longest one that is driven.
        top: Exponent of its top bit.
        powers: Exponents from the least power of two that is a group to the largest one.
        lowest: The least exponent of a term that is not zero, as `aligned` reads it.
        highest: The largest one, likewise.
    """

    def __init__(self, spec: DotSpec, *, long: bool = False) -> None:
        require_hardware(spec)
        self.spec = spec
        self.quantum = spec.quantum_exponent
        scale = spec.blocks
        for fmt in spec.scales:
            scale *= int(Fraction(fmt.largest) / Fraction(2) ** fmt.quantum_exponent)
        self.negative_span, self.span = ((abs(total) * scale).bit_length() for total in extremes(spec))
        self.doublings = (spec.most_groups or 1).bit_length() - 1
        self.growth = min(LONG if long else DRIVEN, self.doublings)
        self.top = self.quantum + self.span - 1
        ends = [power_exponents(fmt) for fmt in spec.elements + spec.scales]
        self.powers = sum(high - low for low, high in ends) + spec.block_size.bit_length() - 1
        factors = spec.elements + spec.scales if spec.term_size == 1 else spec.scales
        self.lowest = sum(fmt.least_exponent for fmt in factors)
        self.highest = sum(math.frexp(fmt.largest)[1] - 1 for fmt in factors)

    @property
    def rounded_bits(self) -> int:
        """Bits of what is rounded, from its first to its last that is set: a block's, a group's, a sum's."""
        narrow = self.spec.blocks == 1 and not self.doublings
        return min(self.span, self.spec.term_bits - 1) if narrow else self.span

    def roundings(self, significant: int) -> dict[str, str]:
        """Return the ways in which a number of so many significant bits is rounded, and why not."""
        dropped = max(significant - BINARY32_BITS, LEAST - self.quantum)
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
        if significant < BINARY32_BITS:
            return False
        if self.spec.blocks > 1 or self.doublings or self.quantum < LEAST:
            return True
        return any(True for _ in self.ones(significant))

    def ones(self, significant: int) -> Iterator[tuple[int, int]]:
        """Yield what makes a block of at most so many bits that begins with 25 ones.

        Yields:
            A product of two scales' significands, and the sum of products.
        """
        a, b = ({int(v) for v in fmt.split(fmt.codes)[0]} for fmt in self.spec.scales)
        for factor in sorted({x * y for x in a for y in b} - {0}):
            for bits in range(BINARY32_BITS + 1, significant + 1):
                # The largest multiple below the next power of two: if it does not begin so, none does.
                total = ((1 << bits) - 1) // factor
                head = total * factor >> bits - BINARY32_BITS - 1
                fits = total <= self.spec.largest_sum and head == (2 << BINARY32_BITS) - 1
                if fits and (not enumerable(self.spec) or split(self.spec, total)):
                    yield factor, total

    def within(self, places: int) -> str:
        """Return why a sum's exponent is not seen so many places above that of a group (or below)."""
        if places < -self.span:
            return f"a group ends at 2^{self.top + 1}, and every sum is a multiple of 2^{self.quantum}"
        if abs(places) >= self.span:
            return f"{NOT_DRIVEN}groups span {self.span} bits, and no sum grows as long"
        return ""

    def spread(self, places: int) -> str:
        """Return why powers of two are not seen so many places apart; for what is put together from them."""
        if places <= self.powers:
            return ""
        return f"{NOT_DRIVEN}groups that are powers of two span {self.powers} places"


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


def extremes(spec: DotSpec) -> tuple[int, int]:
    """Return the least and the largest sum of products of a block, as integers of the products' quantum."""
    a, b = (fmt.values[fmt.codes] for fmt in spec.elements)
    products = np.outer([a.min(), a.max()], [b.min(), b.max()])
    quantum = Fraction(2) ** sum(fmt.quantum_exponent for fmt in spec.elements)
    least, largest = (Fraction(float(bound)) / quantum for bound in (products.min(), products.max()))
    return int(least) * spec.block_size, int(largest) * spec.block_size


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
