"""The contract once more, in plain Python: integers and fractions, no numpy, nothing of blockdot.

Slow, and written from the document (shared/design.md, section 1) instead of from the model.
"""

from bisect import bisect_right
from fractions import Fraction
from functools import cache
from math import floor, inf, nan
from operator import mul
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Python 3.13 has it in `typing`
    from typing_extensions import TypeIs

Exact = Fraction | int

QUIET_NAN = 0x7FC00000
INFINITY = 0x7F800000

# Any ue{E}m{M} beside these. name: sign bit, exponent bits, mantissa bits, bias, what the top codes are
FORMATS = {
    "e2m1": (1, 2, 1, 1, "finite"),
    "e2m3": (1, 2, 3, 1, "finite"),
    "e3m2": (1, 3, 2, 3, "finite"),
    "e4m3": (1, 4, 3, 7, "nan"),
    "e5m2": (1, 5, 2, 15, "ieee"),
    "e3m4": (1, 3, 4, 3, "ieee"),
    "ue4m3": (0, 4, 3, 7, "nan"),
    "ue5m3": (0, 5, 3, 15, "nan"),
    "ue4m4": (0, 4, 4, 7, "nan"),
    "ue5m3_ieee": (0, 5, 3, 15, "reserved"),
    "ue4m3_full": (0, 4, 3, 7, "finite"),
    # Those of own_formats.py.
    "t1m2": (1, 1, 2, 0, "finite"),
    "t3m0": (1, 3, 0, 3, "finite"),
    "t2m1": (1, 2, 1, 2, "finite"),
    "t4m2": (1, 4, 2, 7, "ieee"),
    "t5m1": (1, 5, 1, 15, "reserved"),
    "t1m6": (1, 1, 6, 0, "nan"),
    "tu4m3_b11": (0, 4, 3, 11, "nan"),
    "tu5m2_no_zero": (0, 5, 2, 15, "nan"),
    "tu7m0": (0, 7, 0, 63, "finite"),
    "tu8m1_far": (0, 8, 1, 130, "nan"),
    "tu2m1_near_float32s_end": (0, 2, 1, -125, "finite"),
}
NO_ZERO = ("ue8m0", "tu5m2_no_zero", "tu7m0")


@cache
def decode(name: str) -> list[Fraction | float]:
    """The value of every code: a Fraction, or +-inf or nan. The sign of zero is left out."""
    if name == "int8":
        return [Fraction(code - 256 * (code >= 128), 64) for code in range(256)]
    if name == "t4":
        return [Fraction(code - 16 * (code >= 8), 4) for code in range(16)]
    if name == "ue8m0":
        return [Fraction(2) ** (code - 127) for code in range(255)] + [nan]
    if name in FORMATS:
        sign_bit, exponent_bits, mantissa_bits, bias, top = FORMATS[name]
    else:
        exponent_bits, mantissa_bits = int(name[2]), int(name[4])
        sign_bit, bias, top = 0, (1 << (exponent_bits - 1)) - 1, "nan"
    magnitudes: list[Fraction | float] = []
    for exponent in range(1 << exponent_bits):
        for mantissa in range(1 << mantissa_bits):
            part = Fraction(mantissa, 1 << mantissa_bits)
            if exponent or name in NO_ZERO:
                magnitudes.append((1 + part) * Fraction(2) ** (exponent - bias))
            else:
                magnitudes.append(part * Fraction(2) ** (1 - bias))
    if top == "nan":
        magnitudes[-1] = nan
    elif top in ("ieee", "reserved"):
        first = len(magnitudes) - (1 << mantissa_bits)
        magnitudes[first:] = [nan] * (1 << mantissa_bits)
        if top == "ieee":
            magnitudes[first] = inf
    return magnitudes + [-value for value in magnitudes] if sign_bit else magnitudes


def is_finite(value: Fraction | float) -> "TypeIs[Exact]":
    return isinstance(value, Fraction | int)


def quantum(name: str) -> Fraction:
    """What every value is a multiple of: the smallest above zero, but where that has a hidden bit."""
    least = min(value for value in decode(name) if is_finite(value) and value > 0)
    hidden = name in NO_ZERO and name in FORMATS
    return Fraction(least) / (1 << FORMATS[name][2] if hidden else 1)


def binary32(value: Exact) -> int:
    """The bits of `value` rounded to binary32, ties to even; zero is +0, overflow is infinity."""
    if value == 0:
        return 0
    sign = 0x80000000 if value < 0 else 0
    n, d = abs(value.numerator), value.denominator
    exponent = n.bit_length() - d.bit_length()
    if (n << max(0, -exponent)) < (d << max(0, exponent)):
        exponent -= 1
    unit = max(exponent, -126) - 23
    significand, rest = divmod(n << max(0, -unit), d << max(0, unit))
    d <<= max(0, unit)
    if 2 * rest > d or (2 * rest == d and significand % 2):
        significand += 1
    if significand < 1 << 23:
        return sign | significand
    if significand == 1 << 24:
        significand, unit = 1 << 23, unit + 1
    if unit + 23 > 127:
        return sign | INFINITY
    return sign | ((unit + 150) << 23) | (significand - (1 << 23))


def toward_zero32(value: Exact) -> int:
    """The bits of `value` rounded to binary32 toward zero; an exact zero is +0, overflow is infinity."""
    bits = binary32(value)
    if abs(value) >= 1 << 128:
        return bits
    rounded = from_binary32(bits)
    beyond = not is_finite(rounded) or abs(rounded) > abs(value)
    return bits - 1 if beyond else bits


def exponent_of(name: str, code: int) -> int:
    """The exponent that a scale code reads as under `aligned`, unless it is zero."""
    value = decode(name)[code]
    if not is_finite(value) or value == 0:
        return 0
    exponent = floor_log2(value)
    if name in NO_ZERO:
        return exponent
    bias = FORMATS[name][3] if name in FORMATS else (1 << (int(name[2]) - 1)) - 1
    return max(exponent, 1 - bias)


def floor_log2(value: Exact) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1


def truncate(value: Fraction) -> int:
    return floor(value) if value >= 0 else -floor(-value)


def from_binary32(bits: int) -> Fraction | float:
    """The value of binary32 bits; the sign of zero is left out."""
    sign = -1 if bits >> 31 else 1
    exponent, mantissa = (bits >> 23) & 255, bits & 0x7FFFFF
    if exponent == 255:
        return nan if mantissa else sign * inf
    if exponent == 0:
        return sign * Fraction(mantissa, 1 << 149)
    return sign * (mantissa + (1 << 23)) * Fraction(2) ** (exponent - 150)


def add32(x: int, y: int) -> int:
    """IEEE addition of binary32 bits, ties to even."""
    a, b = from_binary32(x), from_binary32(y)
    if is_finite(a) and is_finite(b):
        if a + b == 0:
            # A sum of two -0 is -0; every other zero sum is +0.
            return 0x80000000 if x == y == 0x80000000 else 0
        return binary32(a + b)
    return special32(float(a) + float(b) if not (is_finite(a) or is_finite(b)) else a if is_finite(b) else b)


def special32(value: Fraction | float) -> int:
    """The bits of an infinity or NaN."""
    if value != value:
        return QUIET_NAN
    return INFINITY if value > 0 else INFINITY | 0x80000000


def multiply(a: Fraction | float, b: Fraction | float) -> Fraction | float:
    """IEEE multiplication without rounding."""
    if is_finite(a) and is_finite(b):
        return a * b
    if a != a or b != b or a == 0 or b == 0:
        return nan
    return inf if (a > 0) == (b > 0) else -inf


def add(a: Fraction | float, b: Fraction | float) -> Fraction | float:
    """IEEE addition without rounding."""
    if is_finite(a) and is_finite(b):
        return a + b
    if is_finite(a):
        return b
    if is_finite(b):
        return a
    return a + b


class Dot:
    """One dot product after another under one set of formats."""

    def __init__(
        self,
        element_a: str,
        element_b: str,
        scale_a: str,
        scale_b: str,
        accumulate: str,
        fraction: int = 35,
        zero_exponent: int = -139,
    ) -> None:
        self.scales = scale_a, scale_b
        self.fraction = fraction
        self.zero_exponent = zero_exponent
        self.values = [decode(name) for name in (element_a, element_b, scale_a, scale_b)]
        self.accumulate = accumulate
        # The same as integers of a common unit, which is what makes a million cases affordable.
        self.units = [quantum(name) for name in (element_a, element_b, scale_a, scale_b)]
        self.unit = self.units[0] * self.units[1] * self.units[2] * self.units[3]
        # None stands for what is not finite: to multiply by it raises TypeError.
        self.integers: list[list[Any]] = [
            [int(value / unit) if is_finite(value) else None for value in values]
            for values, unit in zip(self.values, self.units, strict=True)
        ]

    def block(self, a: list[int], b: list[int], a_scale: int, b_scale: int) -> Fraction | float:
        """V of one block: an int in `unit`s, or +-inf or nan."""
        of_a, of_b, of_sa, of_sb = self.integers
        try:
            return sum(map(mul, [of_a[c] for c in a], [of_b[c] for c in b])) * of_sa[a_scale] * of_sb[b_scale]
        except TypeError:  # a None: something is not finite
            total: Fraction | float = Fraction(0)
            for x, y in zip(a, b, strict=True):
                total = add(total, multiply(self.values[0][x], self.values[1][y]))
            value = multiply(multiply(self.values[2][a_scale], self.values[3][b_scale]), total)
            return value if isinstance(value, float) else int(value / self.unit)

    def group(
        self, a: list[list[int]], b: list[list[int]], a_scale: list[int], b_scale: list[int]
    ) -> Fraction | float:
        """The exact sum of a group's blocks."""
        total: Fraction | float = 0
        for block in zip(a, b, a_scale, b_scale, strict=True):
            total = add(total, self.block(*block))
        return total

    def rounded(self, value: Fraction | float) -> int:
        return special32(value) if isinstance(value, float) else binary32(value * self.unit)

    def nothing(self, a: list[int], b: list[int], a_scale: int, b_scale: int) -> bool:
        """Whether a scale is zero, or every product."""
        of_a, of_b, of_sa, of_sb = self.integers
        scale = of_sa[a_scale] == 0 or of_sb[b_scale] == 0
        return scale or all(of_a[x] == 0 or of_b[y] == 0 for x, y in zip(a, b, strict=True))

    def aligned(self, a: list, b: list, a_scale: list, b_scale: list) -> int:
        """The bits of groups added one after another at the largest exponent."""
        bits = 0
        for group in zip(a, b, a_scale, b_scale, strict=True):
            own = from_binary32(bits)
            # Value and exponent of the sum and of each term.
            parts: list[tuple[Fraction | float, int]] = [
                (own, max(floor_log2(abs(own)), -126) if is_finite(own) and own else self.zero_exponent)
            ]
            for of_a, of_b, sa, sb in zip(*group, strict=True):
                exponent = exponent_of(self.scales[0], sa) + exponent_of(self.scales[1], sb)
                for k in range(0, len(of_a), 16):
                    part = of_a[k : k + 16], of_b[k : k + 16]
                    value = self.block(*part, sa, sb)
                    read = self.zero_exponent if self.nothing(*part, sa, sb) else exponent
                    parts.append((value if isinstance(value, float) else value * self.unit, read))
            special = sum(value for value, _ in parts if not is_finite(value))
            if special:
                bits = special32(special)
                continue
            step = Fraction(2) ** (max(exponent for _, exponent in parts) - self.fraction)
            bits = toward_zero32(sum(truncate(Fraction(value) / step) for value, _ in parts) * step)
        return bits

    def chain(self, a: list[int], b: list[int], a_scale: int, b_scale: int) -> int:
        """The bits of one block: its products added in turn, then a's scale, then b's, all in binary32."""
        of_a, of_b, of_sa, of_sb = self.values
        bits = 0
        for x, y in zip(a, b, strict=True):
            product, total = multiply(of_a[x], of_b[y]), from_binary32(bits)
            both = add(total, product)
            # A zero is never -0: the sum before it was +0, or cancels.
            bits = special32(both) if isinstance(both, float) else binary32(both)
        for scale in (of_sa[a_scale], of_sb[b_scale]):
            value = multiply(from_binary32(bits), scale)
            # What is rounded to zero keeps its sign; what is exactly zero has none.
            sign = bits & 0x80000000 if scale else 0
            bits = special32(value) if isinstance(value, float) else binary32(value) | sign
        return bits

    def __call__(self, a: list, b: list, a_scale: list, b_scale: list) -> int | list[int]:
        """The bits of one accumulated result, or of each group's result."""
        if self.accumulate == "aligned":
            return self.aligned(a, b, a_scale, b_scale)
        if self.accumulate == "chain":
            blocks = [
                self.chain(*(part[0] for part in group)) for group in zip(a, b, a_scale, b_scale, strict=True)
            ]
            result = blocks[0]
            for block in blocks[1:]:
                result = add32(result, block)
            return result
        groups = [self.group(*group) for group in zip(a, b, a_scale, b_scale, strict=True)]
        if self.accumulate == "none":
            return [self.rounded(group) for group in groups]
        if self.accumulate == "exact":
            total: Fraction | float = 0
            for group in groups:
                total = add(total, group)
            return self.rounded(total)
        result = self.rounded(groups[0])
        for group in groups[1:]:
            result = add32(result, self.rounded(group))
        return result


def encode(name: str, value: Exact, rounding: str = "nearest_even") -> int:
    """The code that `value` rounds to; +0 for a zero, and the sign kept for what rounds to zero."""
    if name == "int8":
        scaled = value * 64
        low = floor(scaled)
        rest = scaled - low
        if rounding == "toward_zero":
            code = low + (rest > 0 and scaled < 0)
        elif rounding == "nearest_away":
            code = low + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and scaled > 0))
        else:
            code = low + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2))
        return max(-128, min(127, code)) % 256
    finite = magnitudes(name)
    magnitude = abs(value)
    # The code of the largest magnitude that is not above, or 0 where there is none.
    code = max(0, bisect_right(finite, magnitude) - 1)
    if rounding != "toward_zero" and finite[0] < magnitude < finite[-1]:
        down, up = magnitude - finite[code], finite[code + 1] - magnitude
        if up < down or (up == down and (rounding == "nearest_away" or code % 2)):
            code += 1
    return code + len(decode(name)) // 2 if value < 0 else code


@cache
def magnitudes(name: str) -> list[Exact]:
    """The finite magnitudes of a format with a sign, or without, in code order."""
    values = decode(name)
    half = len(values) // 2 if name in FORMATS and FORMATS[name][0] else len(values)
    return [value for value in values[:half] if is_finite(value)]
