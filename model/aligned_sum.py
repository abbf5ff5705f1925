"""The fixed-point sum of shipping tensor cores: terms aligned to the largest exponent, and cut off.

After MMA-Sim (arXiv 2511.10909), which found it bit by bit in NVFP4 units: 4 blocks of 16 and 35 bits. One
step adds some block terms to a binary32 sum. A scale reads as m * 2**e with 1 <= m < 2, or m < 1 and the
least normal exponent where it is subnormal; the sum likewise. A term's exponent is that of its two scales,
whatever its significand P * ma * mb, even where its products cancel to zero. What is exactly zero reads an
exponent of its own, `ZERO_EXPONENT`: a sum of zero, and a term whose products are all zero or whose scales'
product is zero. All are shifted to the largest exponent E, truncated toward zero to multiples of
``2**(E - fraction)``, added exactly, and the total is rounded toward zero to binary32.

A total of 2**128 and more is infinite, of either sign; what is below that rounds to the largest finite number
at most. A negative total that is too small becomes -0; a total of zero is +0.

Other generations differ in the exponent of a zero, in what is a term (each product alone, whose exponent is
that of its two elements too) and in what the total is rounded to: see `RESULTS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .fixed_point import canonical, two_sum
from .formats import Format

__all__ = [
    "RESULTS",
    "UNIT",
    "ZERO_EXPONENT",
    "AlignedSum",
    "FloatFields",
    "ResultFormat",
    "read_exponents",
    "term_supports",
]

UNIT: Final = 16
"""The most elements under one term: a longer block gives several."""

ZERO_EXPONENT: Final = -139
"""The exponent that what is exactly zero reads, unless another is given: that of NVFP4 units."""

_OVERFLOW: Final = 2.0**128
"""The least total that is infinite."""

_Doubles = npt.NDArray[np.float64]


def read_exponents(fmt: Format) -> npt.NDArray[np.int16]:
    """Return the exponent that each code reads as, by code; that of zero and of NaN has no meaning."""
    _, exponents = fmt.split(np.arange(1 << fmt.bits))
    return (exponents + fmt.mantissa_bits).astype(np.int16)


def term_supports(
    element: Format,
    scale: Format,
    codes: npt.NDArray[np.unsignedinteger],
    scales: npt.NDArray[np.unsignedinteger],
) -> npt.NDArray[np.uint16]:
    """Return which elements of one operand's terms are not zero, none of them where the scale is zero.

    A term is exactly zero where the supports of its two operands have no bit in common.

    Args:
        element: The elements' format.
        scale: The scales' format.
        codes: Element codes, shape (..., elements of a term), at most `UNIT` of them.
        scales: Scale codes, shape (...).

    Returns:
        Shape (...), a bit for each element.
    """
    used = np.take(element.values != 0, codes)
    if codes.shape[-1] % 8:
        octets = np.packbits(used, axis=-1)
    else:
        # Far faster than row by row.
        octets = np.packbits(used.reshape(-1)).reshape(*codes.shape[:-1], codes.shape[-1] // 8)
    supports = octets[..., 0].astype(np.uint16)
    if octets.shape[-1] > 1:
        supports |= octets[..., 1].astype(np.uint16) << 8
    supports *= (scale.values != 0)[scales]
    return supports


def _power_of_two(exponents: npt.NDArray[np.int16]) -> _Doubles:
    """Return 2 to powers inside the range of float64's normal numbers."""
    bits = exponents.astype(np.int64)
    bits += 1023
    bits <<= 52
    return bits.view(np.float64)


def _toward_zero(values: _Doubles) -> npt.NDArray[np.float32]:
    """Round to binary32 toward zero; what is too large becomes infinite."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float32)
    # One less is the next towards zero for either sign, and the largest finite number for infinity.
    magnitudes = np.abs(values)
    bits = rounded.view(np.int32)
    bits -= (np.abs(rounded) > magnitudes) & (magnitudes < _OVERFLOW)
    return rounded


def _toward_zero_13(values: _Doubles) -> npt.NDArray[np.float32]:
    """Round toward zero to binary32 of 13 fraction bits, its subnormals included."""
    rounded = _toward_zero(values)
    bits = rounded.view(np.int32)
    bits &= np.where(np.isnan(rounded), -1, -1 << 10).astype(np.int32)
    return rounded


def _nearest_binary16(values: _Doubles) -> npt.NDArray[np.float32]:
    """Round once to binary16, ties to even."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _nearest_bfloat16(values: _Doubles) -> npt.NDArray[np.float32]:
    """Round once to bfloat16, ties to even."""
    # To odd first, with 16 bits more: the rounding to the nearest is then the only one that counts.
    rounded = _toward_zero(values)
    bits = rounded.view(np.uint32)
    bits |= rounded != values
    bits += np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    bits &= np.uint32(0xFFFF0000)
    rounded[np.isnan(values)] = np.nan
    return rounded


@dataclass(frozen=True)
class FloatFields:
    """The fields of a number whose bias and special codes are those of IEEE 754.

    Attributes:
        exponent_bits: Width of the exponent.
        fraction_bits: Width of the fraction.
    """

    exponent_bits: int
    fraction_bits: int

    @property
    def bits(self) -> int:
        """Width of a number, its sign included."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        """What is subtracted from the exponent field."""
        return (1 << self.exponent_bits - 1) - 1

    @property
    def infinity_field(self) -> int:
        """The exponent field of infinities and NaN."""
        return (1 << self.exponent_bits) - 1


@dataclass(frozen=True)
class ResultFormat:
    """What totals, or sums at their end, are rounded to.

    Attributes:
        meaning: The same in a few words.
        fields: Widths of its exponent and of its fraction.
        nearest: Whether totals are rounded to nearest, ties to even; else they are cut off.
        name: What a unit's results are: those of binary32's exponent are binary32 numbers.
        bits: Width of a number as a unit gives it.
        rounded: Rounds totals, which float64 holds; binary32 holds what it gives.
    """

    meaning: str
    fields: FloatFields
    nearest: bool
    name: str
    bits: int
    rounded: Callable[[_Doubles], npt.NDArray[np.float32]]

    @property
    def least_exponent(self) -> int:
        """Exponent of its least normal number, which its subnormals share."""
        return 1 - self.fields.bias

    def encode(self, results: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
        """Return the bits of numbers of this format, as a unit gives them."""
        if self.bits == 32:
            return results.view(np.uint32)
        if self.fields.exponent_bits == 8:
            return results.view(np.uint32) >> np.uint32(16)
        with np.errstate(over="ignore"):
            return results.astype(np.float16).view(np.uint16).astype(np.uint32)

    def decode(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
        """Return the numbers of bits that a unit gave; every NaN is 0x7FC00000."""
        if self.bits == 32:
            return codes.view(np.float32)
        if self.fields.exponent_bits == 8:
            return canonical((codes << np.uint32(16)).view(np.float32))
        return canonical(codes.astype(np.uint16).view(np.float16).astype(np.float32))


RESULTS: Final[dict[str, ResultFormat]] = {
    "binary32": ResultFormat(
        "binary32, toward zero", FloatFields(8, 23), False, "binary32", 32, _toward_zero
    ),
    "e8m13": ResultFormat(
        "binary32 with 13 fraction bits, toward zero",
        FloatFields(8, 13),
        False,
        "binary32",
        32,
        _toward_zero_13,
    ),
    "binary16": ResultFormat(
        "binary16, to nearest, ties to even", FloatFields(5, 10), True, "binary16", 16, _nearest_binary16
    ),
    "bfloat16": ResultFormat(
        "bfloat16, to nearest, ties to even", FloatFields(8, 7), True, "bfloat16", 16, _nearest_bfloat16
    ),
}
"""By name."""


class AlignedSum:
    """An array of sums, to which one group after another is added.

    Args:
        shape: Shape of the array.
        fraction: Bits kept after the point of the largest exponent, at most 52.
        largest_term: A bound of the magnitude of a group's terms' significands, added up.
        zero_exponent: The exponent that what is exactly zero reads.
        result: What totals are rounded to.

    Attributes:
        narrow: Whether float64 holds the integers that are added, and so adds them in any order.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        fraction: int,
        largest_term: float,
        zero_exponent: int = ZERO_EXPONENT,
        result: ResultFormat = RESULTS["binary32"],
    ) -> None:
        self._sum = np.zeros(shape, np.float32)
        self._fraction = np.int16(fraction)
        self._zero_exponent = zero_exponent
        self._result = result
        # Integers of at most 53 bits add up exactly.
        self.narrow = (largest_term + 2) * 2.0**fraction <= 2.0**53

    def start(self, c: npt.NDArray[np.float32]) -> None:
        """Start at C instead of at +0; bits that the result's format does not have are cut off."""
        self._sum = self._result.rounded(c.astype(np.float64))

    def add(
        self,
        terms: Sequence[npt.NDArray[np.floating]],
        exponents: npt.NDArray[np.int16],
        tails: Sequence[_Doubles] = (),
    ) -> None:
        """Add a group.

        Args:
            terms: The exact values of its terms, arrays shaped as the sums. Infinities and NaN follow
                IEEE 754.
            exponents: The largest exponent of the terms; one that is exactly zero reads that of a zero.
            tails: Where float64 does not hold a term: what is left of each, less than half a step of it.
        """
        field = (self._sum.view(np.int32) >> 23).astype(np.int16)
        field &= 255
        # Subnormals share the exponent of the least normal number.
        own = np.maximum(field - np.int16(127), np.int16(self._result.least_exponent))
        own[self._sum == 0] = self._zero_exponent
        largest = np.maximum(own, exponents)
        up = _power_of_two(self._fraction - largest)
        with np.errstate(invalid="ignore", over="ignore"):
            total = (self._add_narrow if self.narrow and not tails else self._add_wide)(terms, up, tails)
            total *= _power_of_two(largest - self._fraction)
            self._sum = self._result.rounded(total)

    def _add_narrow(
        self, terms: Sequence[npt.NDArray[np.floating]], up: _Doubles, tails: Sequence[_Doubles]
    ) -> _Doubles:
        del tails
        total = self._sum * up
        np.trunc(total, out=total)
        part = np.empty_like(total)
        for term in terms:
            np.copyto(part, term)  # a cast on its own is faster than one inside the multiplication
            part *= up
            np.trunc(part, out=part)
            total += part
        total += 0.0  # -0 becomes +0
        return total

    def _add_wide(
        self, terms: Sequence[npt.NDArray[np.floating]], up: _Doubles, tails: Sequence[_Doubles]
    ) -> _Doubles:
        """Add in pairs of float64.

        The integers and their sum have at most 96 bits (64 terms of e5m2, 52 bits of fraction), so that each
        of the up to 129 additions errs by an integer of at most 43 bits: the errors add up exactly.
        """
        total, tail = np.zeros_like(up), np.zeros_like(up)
        special = np.zeros_like(up)
        for k, term in enumerate([self._sum, *terms]):
            finite = np.isfinite(term)
            special += np.where(finite, 0.0, term)
            scaled = np.where(finite, term, 0.0) * up
            whole = np.trunc(scaled)
            total, error = two_sum(total, whole)
            tail += error
            if tails and k:
                # A tail is less than half a step: it counts only behind an integer, and may take one off.
                sign = np.sign(scaled)
                cut = np.where(whole == scaled, sign * np.floor(tails[k - 1] * up * sign), 0.0)
                total, error = two_sum(total, cut)
                tail += error
        total, tail = two_sum(total, tail)
        # What is left over with the other sign leaves less than `total`, and not a bit of float32 between.
        less = (tail != 0) & (np.signbit(tail) != np.signbit(total))
        total = np.where(less, np.nextafter(total, 0.0), total)
        return total + special

    def result(self) -> npt.NDArray[np.float32]:
        """Return the sums."""
        return canonical(self._sum)


def whole_and_tail(
    terms: Sequence[npt.NDArray[np.floating]],
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.float64] | None]:
    """Return one term's exact pieces as a float64 value and what is left of it, None for nothing."""
    if len(terms) == 1:
        return terms[0], None
    total, tail = terms[0].astype(np.float64), np.zeros(terms[0].shape)
    with np.errstate(invalid="ignore"):
        # Pieces are multiples of the quantum and add up to at most 76 bits: so the tail is exact.
        for term in terms[1:]:
            total, error = two_sum(total, term.astype(np.float64, copy=False))
            tail += error
        whole, tail = two_sum(total, tail)
    finite = np.isfinite(total)
    return np.where(finite, whole, total), np.where(finite, tail, 0.0)
