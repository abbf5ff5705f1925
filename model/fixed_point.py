"""Sums held exactly in fixed point, and their one rounding to binary32."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "LARGEST_EXPONENT",
    "LEAST_EXPONENT",
    "QUIET_NAN",
    "FixedPointSum",
    "SumRounding",
    "canonical",
    "nearest_binary32",
    "round_sum",
    "sign_of_sums",
    "two_sum",
]

LEAST_EXPONENT: Final = -149
"""Every binary32 number is a multiple of 2 to this power."""

LARGEST_EXPONENT: Final = 127
"""The exponent of the largest finite binary32 number."""

QUIET_NAN: Final = np.uint32(0x7FC00000)
"""The bits of the only NaN the contract produces."""

# Sums worked on at a time by `round_sum`: its dozen arrays then stay inside a level-2 cache.
_CHUNK: Final = 1 << 13
_LIMB: Final = 32
_LOW: Final = (1 << _LIMB) - 1


def canonical(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Replace every NaN in `values` by the quiet NaN 0x7FC00000, in place, and return them."""
    nan = np.isnan(values)
    if nan.any():
        values.view(np.uint32)[nan] = QUIET_NAN
    return values


SumRounding = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float32]]
"""Rounds float64 numbers to numbers of at most 24 bits."""


def nearest_binary32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round to binary32, ties to even."""
    return values.astype(np.float32)


class FixedPointSum:
    """An array of exact sums of float64 values, in the manner of a Kulisch accumulator.

    Each sum is a two's-complement number in 32-bit limbs, kept in int64 so that a whole array of terms
    can be added before carries are passed on. Infinities and NaN are kept apart from the number.

    Args:
        shape: Shape of the array of sums.
        quantum_exponent: Every term is an integer times two to this power.
        bits: Width that holds every sum that will be asked for, sign included.
    """

    def __init__(self, shape: tuple[int, ...], *, quantum_exponent: int, bits: int) -> None:
        self.quantum_exponent = quantum_exponent
        # One limb above the width, so that the sign and a carry into it never need a case of their own.
        self._limbs = np.zeros((-(-bits // _LIMB) + 1, *shape), np.int64)
        self._special = np.zeros(shape, np.float64)  # 0, +-inf, or NaN: the sum of what is not finite

    def add(self, terms: npt.NDArray[np.float64]) -> None:
        """Add `terms`, shaped as the sums with one axis more: all along that last axis are added."""
        finite = np.isfinite(terms)
        if not finite.all():
            with np.errstate(invalid="ignore"):
                self._special += np.where(finite, 0.0, terms).sum(axis=-1)
            terms = np.where(finite, terms, 0.0)
        fraction, exponent = np.frexp(terms)
        significand = (fraction * (1 << 53)).astype(np.int64)
        position = exponent.astype(np.int64) - 53 - self.quantum_exponent
        # A position below the quantum only drops zeros: the term is a multiple of the quantum.
        below = np.minimum(np.maximum(-position, 0), 63)
        significand >>= below
        position = np.where(significand == 0, 0, np.maximum(position, 0))
        # Two halves of 27 bits, so that a shift by up to 31 stays inside 63 bits.
        self._add_at(significand & ((1 << 27) - 1), position)
        self._add_at(significand >> 27, position + 27)
        self._carry()

    def _add_at(self, parts: npt.NDArray[np.int64], position: npt.NDArray[np.int64]) -> None:
        limb, shift = np.divmod(position, _LIMB)
        shifted = parts << shift
        low, high = shifted & _LOW, shifted >> _LIMB
        limb = np.where(parts == 0, 0, limb)
        if not limb.size:
            return
        for k in range(int(limb.min()), int(limb.max()) + 1):
            here = limb == k
            if here.any():
                self._limbs[k] += np.where(here, low, 0).sum(axis=-1)
                self._limbs[k + 1] += np.where(here, high, 0).sum(axis=-1)

    def _carry(self) -> None:
        for k in range(len(self._limbs) - 1):
            self._limbs[k + 1] += self._limbs[k] >> _LIMB
            self._limbs[k] &= _LOW

    def signs(self) -> npt.NDArray[np.int8]:
        """Return the sign of each sum: -1, 0 or 1."""
        return np.where(self._limbs[-1] < 0, np.int8(-1), self._limbs.any(axis=0).astype(np.int8))

    def to_binary32(self) -> npt.NDArray[np.float32]:
        """Round each sum once to binary32, ties to even; an exact zero gives +0."""
        return self.rounded(nearest_binary32)

    def rounded(self, rounding: SumRounding) -> npt.NDArray[np.float32]:
        """Round each sum once; an exact zero gives +0."""
        limbs = self._limbs.copy()
        negative = limbs[-1] < 0
        limbs = np.where(negative, -limbs, limbs)
        for k in range(len(limbs) - 1):  # the carries of the negation
            limbs[k + 1] += limbs[k] >> _LIMB
            limbs[k] &= _LOW
        # The two limbs from the topmost one that is not zero, and whether anything lies below them.
        top = np.zeros(negative.shape, np.int64)
        high = np.zeros(negative.shape, np.uint64)
        low = np.zeros(negative.shape, np.uint64)
        sticky = np.zeros(negative.shape, np.bool_)
        for k, limb in enumerate(limbs):
            found = limb != 0
            below = limbs[k - 1] if k else np.zeros_like(limb)
            under = np.asarray(limbs[: max(k - 1, 0)].any(axis=0))
            top[found] = k
            high[found] = limb[found].astype(np.uint64)
            low[found] = below[found].astype(np.uint64)
            sticky[found] = under[found]
        # Round to odd first, to 33 bits or more; rounding to the 24 bits of binary32, or fewer, is then the
        # only one that counts (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
        value = (high << np.uint64(_LIMB)) | low | sticky
        wide = value >= np.uint64(1 << 53)
        lost = (value & np.uint64(0x7FF)) != 0
        value = np.where(wide, (value >> np.uint64(11)) | lost, value)
        exponent = (top - 1) * _LIMB + self.quantum_exponent + np.where(wide, 11, 0)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            magnitude = np.ldexp(value.astype(np.float64), exponent)
            rounded = np.where(negative, -magnitude, magnitude) + self._special
            return canonical(rounding(rounded))


def two_sum(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the rounded sum and its error, exactly (Knuth, TAOCP volume 2, 4.2.2 theorem B)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def round_sum(
    terms: Sequence[npt.NDArray[np.float64]],
    *,
    quantum_exponent: int,
    bits: int,
    rounding: SumRounding = nearest_binary32,
) -> npt.NDArray[np.float32]:
    """Add arrays of one shape exactly, and round each sum once: to binary32, ties to even, unless told.

    Does what a `FixedPointSum` does, faster for a few terms.

    Args:
        terms: Arrays of one shape; infinities and NaN follow IEEE 754.
        quantum_exponent: Every term is an integer times two to this power.
        bits: Width that holds every sum, sign included.
        rounding: The rounding.

    Returns:
        binary32 sums of that shape; a zero is +0, a NaN 0x7FC00000.
    """
    flat = [term.reshape(-1) for term in terms]
    result = np.empty(flat[0].shape, np.float32)
    for start in range(0, result.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = _round_chunk([term[part] for term in flat], quantum_exponent, bits, rounding)
    return result.reshape(terms[0].shape)


def _round_chunk(
    terms: Sequence[npt.NDArray[np.float64]], quantum_exponent: int, bits: int, rounding: SumRounding
) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = terms[0] + 0.0  # -0 becomes +0
        tail = np.zeros_like(total)
        exact = np.ones(total.shape, np.bool_)
        for term in terms[1:]:
            total, error = two_sum(total, term)
            tail, error = two_sum(tail, error)
            exact &= error == 0
        plain = total
        total, tail = two_sum(total, tail)
        # Round to odd, as in `FixedPointSum.to_binary32`: where something is left over, the last bit is 1.
        step = np.where(np.signbit(tail) == np.signbit(total), 1, -1)
        odd = total.view(np.int64) + np.where((tail != 0) & (total.view(np.int64) & 1 == 0), step, 0)
        finite = np.isfinite(plain)
        rounded = rounding(np.where(finite, odd.view(np.float64), plain))
    again = np.nonzero(finite & ~exact)
    if again[0].size:
        fixed = FixedPointSum(again[0].shape, quantum_exponent=quantum_exponent, bits=bits)
        fixed.add(np.stack([term[again] for term in terms], axis=-1))
        rounded[again] = fixed.rounded(rounding)
    return canonical(rounded)


def sign_of_sums(terms: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Return the sign of the exact sum of `terms` over the last axis: -1, 0 or 1.

    Args:
        terms: Finite values, shape (..., count).

    Returns:
        Signs of shape (...).
    """
    exponents = np.frexp(terms)[1][terms != 0]
    if not exponents.size:
        return np.zeros(terms.shape[:-1], np.int8)
    low, high = int(exponents.min()) - 53, int(exponents.max())
    total = FixedPointSum(
        terms.shape[:-1], quantum_exponent=low, bits=high - low + terms.shape[-1].bit_length() + 1
    )
    total.add(terms)
    return total.signs()
