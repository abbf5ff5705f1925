"""Steps of tensor cores in exact rationals, from shared/design.md, section 1.4; nothing of blockdot is used.

Every number is a `Fraction`, every sum a loop: slow, and as near to the document's words as it can be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import inf, isinf, isnan, nan

Number = Fraction | float
"""A rational; or infinity, minus infinity or NaN, which alone are floats."""

# Exponent bits, fraction bits, bias, whether there is a sign, and what the top codes are.
FORMATS = {
    "e2m1": (2, 1, 1, True, "numbers"),
    "e2m3": (2, 3, 1, True, "numbers"),
    "e3m2": (3, 2, 3, True, "numbers"),
    "e4m3": (4, 3, 7, True, "one NaN"),
    "e5m2": (5, 2, 15, True, "IEEE"),
    "e3m4": (3, 4, 3, True, "IEEE"),
    "fp16": (5, 10, 15, True, "IEEE"),
    "bf16": (8, 7, 127, True, "IEEE"),
    "tf32": (8, 10, 127, True, "IEEE"),
    "binary16": (5, 10, 15, True, "IEEE"),
    "binary32": (8, 23, 127, True, "IEEE"),
    "ue4m3": (4, 3, 7, False, "one NaN"),
    "ue5m3": (5, 3, 15, False, "one NaN"),
    "ue4m4": (4, 4, 7, False, "one NaN"),
    "ue2m0": (2, 0, 1, False, "one NaN"),
    "ue8m0": (8, 0, 127, False, "one NaN, no zero"),
}

QUIET_NAN = {"binary32": 0x7FC00000, "e8m13": 0x7FC00000, "binary16": 0x7E00}


@dataclass(frozen=True)
class Reading:
    """A code: its value, and the exponent that it reads as, zero or not."""

    value: Number
    exponent: int


@cache
def read(name: str, code: int) -> Reading:
    """Read a code: m * 2**e with 1 <= m < 2, or the format's least normal exponent and m < 1."""
    if name == "int8":
        return Reading(Fraction(code - 256 if code >= 128 else code, 64), 0)
    exponent_bits, fraction_bits, bias, signed, top = FORMATS[name]
    fraction = code % (1 << fraction_bits)
    field = (code >> fraction_bits) % (1 << exponent_bits)
    negative = signed and code >> (exponent_bits + fraction_bits) == 1
    all_ones = field == (1 << exponent_bits) - 1
    if top.startswith("one NaN") and all_ones and fraction == (1 << fraction_bits) - 1:
        return Reading(nan, 0)
    if top == "IEEE" and all_ones:
        return Reading(nan if fraction else (-inf if negative else inf), 0)
    if field or top.endswith("no zero"):
        significand, exponent = 1 + Fraction(fraction, 1 << fraction_bits), field - bias
    else:
        significand, exponent = Fraction(fraction, 1 << fraction_bits), 1 - bias
    value = significand * Fraction(2) ** exponent
    return Reading(-value if negative else value, exponent)


def times(x: Number, y: Number) -> Number:
    """Multiply, as IEEE 754 does what is no rational."""
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x * y
    if x != x or y != y or x == 0 or y == 0:
        return nan
    return inf if (x > 0) == (y > 0) else -inf


@cache
def product_of(names: tuple[str, str], codes: tuple[int, int]) -> Reading:
    """Return the product of two codes, and the sum of the exponents that they read as."""
    x, y = (read(name, code) for name, code in zip(names, codes, strict=True))
    return Reading(times(x.value, y.value), x.exponent + y.exponent)


def added(numbers: Sequence[Number]) -> Number:
    """Add, as IEEE 754 does what is no rational."""
    total = Fraction(0)
    special = 0.0
    for number in numbers:
        if isinstance(number, Fraction):
            total += number
        else:
            special += number
    return special if special else total


def cut(value: Fraction, unit: Fraction) -> Fraction:
    """Truncate toward zero to a multiple of a unit."""
    count = abs(value) / unit
    whole = count.numerator // count.denominator * unit
    return -whole if value < 0 else whole


def exponent_of(value: Fraction) -> int:
    """Return the e of ``1 <= |value| / 2**e < 2``."""
    magnitude, exponent = abs(value), 0
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return exponent if magnitude >= Fraction(2) ** exponent else exponent - 1


def result_bits(value: Number, result: str) -> int:
    """Round to the result's format: toward zero to ``binary32`` or ``e8m13``, to nearest to ``binary16``."""
    carrier = "binary16" if result == "binary16" else "binary32"
    exponent_bits, fraction_bits, bias, _, _ = FORMATS[carrier]
    sign = 1 << (exponent_bits + fraction_bits) if value < 0 else 0
    infinity = ((1 << exponent_bits) - 1) << fraction_bits
    if not isinstance(value, Fraction):
        return QUIET_NAN[result] if isnan(value) else sign | infinity
    if value == 0:
        return 0
    places = 13 if result == "e8m13" else fraction_bits
    exponent = max(exponent_of(value), 1 - bias)
    unit = Fraction(2) ** (exponent - places)
    magnitude = cut(abs(value), unit)
    rest = abs(value) - magnitude
    odd = (magnitude / unit) % 2 == 1
    if result == "binary16" and (2 * rest > unit or (2 * rest == unit and odd)):
        magnitude += unit
    exponent = max(exponent_of(magnitude), 1 - bias) if magnitude else 1 - bias
    if exponent > bias:
        return sign | infinity
    last = magnitude / Fraction(2) ** (exponent - fraction_bits)
    assert last.denominator == 1
    # A subnormal, or zero, has no hidden bit and field 0.
    hidden = 1 << fraction_bits
    field = exponent + bias if last >= hidden else 0
    return sign | field << fraction_bits | int(last) % hidden


@dataclass(frozen=True)
class Term:
    """What is shifted as one: its value, the exponent that it reads as, and whether it is exactly zero."""

    value: Number
    exponent: int
    zero: bool


@dataclass(frozen=True)
class TensorCore:
    """What a tensor core computes step by step.

    Attributes:
        elements: Formats of a and b.
        scales: Formats of their scales; None for a machine without.
        fraction: See the document.
        zero_exponent: Likewise.
        grouped: Whether 16 elements under one pair of scales are summed exactly before they are a term. If
            not, each product is one, and has its elements' exponents.
        result: ``binary32``, ``e8m13`` or ``binary16``.
    """

    elements: tuple[str, str]
    scales: tuple[str, str] | None
    fraction: int = 35
    zero_exponent: int = -139
    grouped: bool = True
    result: str = "binary32"

    def terms(self, a: Sequence[int], b: Sequence[int], scales: tuple[int, int] | None) -> list[Term]:
        """Return the terms of a block."""
        scale: Number = Fraction(1)
        scale_exponent = 0
        if self.scales is not None and scales is not None:
            both = product_of(self.scales, scales)
            scale, scale_exponent = both.value, both.exponent
        products = [product_of(self.elements, codes) for codes in zip(a, b, strict=True)]
        found: list[Term] = []
        for start in range(0, len(products), 16 if self.grouped else 1):
            part = products[start : start + (16 if self.grouped else 1)]
            exponent = scale_exponent + (0 if self.grouped else part[0].exponent)
            zero = scale == 0 or all(product.value == 0 for product in part)
            total = added([product.value for product in part if product.value])
            found.append(Term(times(total, scale), exponent, zero))
        return found

    def step(
        self,
        bits: int,
        a: Sequence[Sequence[int]],
        b: Sequence[Sequence[int]],
        a_scale: Sequence[int] | None = None,
        b_scale: Sequence[int] | None = None,
    ) -> int:
        """Return the bits of the accumulator and the blocks of a step, added."""
        own = read("binary16" if self.result == "binary16" else "binary32", bits)
        terms = [Term(own.value, own.exponent, own.value == 0)]
        for j, (of_a, of_b) in enumerate(zip(a, b, strict=True)):
            scales = None if a_scale is None or b_scale is None else (a_scale[j], b_scale[j])
            terms += self.terms(of_a, of_b, scales)
        if any(not isinstance(term.value, Fraction) for term in terms):
            return result_bits(added([term.value for term in terms]), self.result)
        exponents = [self.zero_exponent if term.zero else term.exponent for term in terms]
        unit = Fraction(2) ** (max(exponents) - self.fraction)
        total = Fraction(0)
        for term in terms:
            assert isinstance(term.value, Fraction)
            total += cut(term.value, unit)
        return result_bits(total, self.result)

    def chain(self, *codes: Sequence) -> int:
        """Return the bits of steps one after the other, from +0 on: a, b and the scales, if there are any."""
        bits = 0
        for group in zip(*codes, strict=True):
            bits = self.step(bits, *group)
        return bits


def is_special(bits: int, result: str = "binary32") -> bool:
    """Whether bits of a result are an infinity or NaN."""
    value = read("binary16" if result == "binary16" else "binary32", bits).value
    return not isinstance(value, Fraction) and (isinf(value) or isnan(value))
