"""Binary32 and narrower formats in Python's integers: how a whole number of units is rounded, and read again.

It shares no arithmetic with the model, nor with the hardware.
"""

from dataclasses import dataclass
from typing import Final, Literal

from ..model.aligned_sum import ResultFormat

__all__ = [
    "FRACTION_BITS",
    "INFINITY",
    "LEAST_EXPONENT",
    "NAN",
    "SIGN_BIT",
    "Rounded",
    "RoundingCase",
    "binary32_exponent",
    "chop",
    "nearest",
    "number_of",
    "rounded_to",
]

NAN: Final = 0x7FC00000
"""The bits of the only NaN there is."""

SIGN_BIT: Final = 1 << 31
"""The sign of a binary32."""

INFINITY: Final = 0x7F800000
"""The bits of infinity."""

FRACTION_BITS: Final = 23
"""Those of a binary32."""

LEAST_EXPONENT: Final = -149
"""The exponent of the least binary32 number above zero."""

RoundingCase = Literal["exact", "below", "tie down", "tie up", "above", "cut"]


@dataclass(frozen=True, slots=True)
class Rounded:
    """A number as binary32.

    Attributes:
        bits: The bits.
        kind: What became of the bits that binary32 has no room for: there were none (``exact``), they were
            less than half of the last place (``below``), just half of it (``tie down`` and ``tie up``, to the
            even neighbour) or more (``above``); or, toward zero, they were ``cut`` off.
        carry: Rounding up carried into the exponent.
    """

    bits: int
    kind: RoundingCase = "exact"
    carry: bool = False


def _round(value: int, unit: int, *, to_zero: bool) -> Rounded:
    if not value:
        return Rounded(0)
    magnitude, sign = abs(value), SIGN_BIT if value < 0 else 0
    last = max(magnitude.bit_length() + unit - 1 - FRACTION_BITS, LEAST_EXPONENT)
    drop = max(last - unit, 0)
    kept, rest, half = magnitude >> drop, magnitude & ((1 << drop) - 1), 1 << drop >> 1
    kind: RoundingCase
    if not rest:
        kind = "exact"
    elif to_zero:
        kind = "cut"
    elif rest == half:
        kind = "tie up" if kept & 1 else "tie down"
    else:
        kind = "above" if rest > half else "below"
    up = kind in ("above", "tie up")
    # The hidden bit adds one to the exponent field, and so does a carry out of the fraction.
    packed = ((last - LEAST_EXPONENT) << FRACTION_BITS) + (kept << max(unit - last, 0)) + up
    carry = up and not packed & ((1 << FRACTION_BITS) - 1)
    packed = min(packed, INFINITY)
    return Rounded(packed | sign, kind, carry)


def nearest(value: int, unit: int) -> Rounded:
    """Round ``value * 2**unit`` to binary32, ties to even; a zero is +0, what is too large infinite."""
    return _round(value, unit, to_zero=False)


def chop(value: int, unit: int) -> Rounded:
    """Round ``value * 2**unit`` toward zero; a zero is +0, what is too large infinite."""
    return _round(value, unit, to_zero=True)


def rounded_to(result: ResultFormat, value: int, unit: int) -> Rounded:
    """Round ``value * 2**unit`` to a format, and return that as binary32."""
    room, least = result.fields.fraction_bits, result.least_exponent - result.fields.fraction_bits
    magnitude = abs(value)
    if not magnitude:
        return Rounded(0)
    last = max(magnitude.bit_length() + unit - 1 - room, least)
    drop = max(last - unit, 0)
    kept, rest, half = magnitude >> drop, magnitude & ((1 << drop) - 1), 1 << drop >> 1
    kind: RoundingCase = "exact"
    if rest and not result.nearest:
        kind = "cut"
    elif rest:
        tie: RoundingCase = "tie up" if kept & 1 else "tie down"
        kind = tie if rest == half else "above" if rest > half else "below"
    kept += kind in ("above", "tie up")
    carry = kind in ("above", "tie up") and not kept & ((1 << room) - 1)
    sign = SIGN_BIT if value < 0 else 0
    too_large = (kept << drop).bit_length() + unit > result.fields.bias + 1
    bits = INFINITY if too_large else nearest(kept << drop, unit).bits
    return Rounded(bits | sign, kind, carry)


def binary32_exponent(bits: int) -> int:
    """Return the exponent of a finite binary32; zeros and subnormals have that of the least normal number."""
    return max(bits >> FRACTION_BITS & 0xFF, 1) - 127


def number_of(bits: int, unit: int) -> int:
    """Return a finite binary32 as a multiple of ``2**unit``, which is the least number or smaller."""
    fraction = bits & ((1 << FRACTION_BITS) - 1)
    hidden = bool(bits >> FRACTION_BITS & 0xFF) << FRACTION_BITS
    magnitude = (fraction | hidden) << (binary32_exponent(bits) - FRACTION_BITS - unit)
    return -magnitude if bits & SIGN_BIT else magnitude
