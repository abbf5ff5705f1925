"""A number format: what each code is worth, and the code that a value rounds to.

A `Format` is a dataclass of independent facts; every other property is derived from them. `formats` has those
that are known by name.
"""

import enum
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_codes
from ..base.foreign_arrays import as_codes
from .code_rounding import Rounding, rounded, rounded_by_bits, rounded_to_nearest

__all__ = ["Format", "Top"]

# The type of ml_dtypes, and mostly of torch, whose bytes are a format's codes.
_FOREIGN_TYPES: Final = {
    "e2m1": "float4_e2m1fn",
    "e2m3": "float6_e2m3fn",
    "e3m2": "float6_e3m2fn",
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e3m4": "float8_e3m4",
    "ue4m3": "float8_e4m3fn",
    "ue8m0": "float8_e8m0fnu",
}


class Top(enum.Enum):
    """How a format uses its topmost codes."""

    FINITE = "every code is a number"
    NAN = "the code with all magnitude bits set is NaN"
    IEEE = "the top exponent holds infinity (mantissa zero) and NaN (any other mantissa)"
    RESERVED = "the top exponent holds NaN only"


@dataclass(frozen=True, kw_only=True)
class Format:
    """One binary number format of at most 19 bits.

    Code layout, from the top bit: sign (if `signed`), exponent, mantissa. A code with exponent field
    E > 0 and mantissa field M is worth ``(1 + M / 2**mantissa_bits) * 2**(E - bias)``; with E = 0 it
    is worth ``M * 2**(1 - bias - mantissa_bits)`` (zero and the subnormals).

    Attributes:
        name: The name the format is known by, such as ``"ue5m3"``.
        exponent_bits: Width of the exponent field; 0 makes a fixed-point format.
        mantissa_bits: Width of the mantissa field.
        bias: What is subtracted from the exponent field.
        signed: Whether there is a sign bit.
        top: How the topmost codes are used.
        subnormals: False where exponent field 0 is an ordinary exponent, so that there is no zero.
        twos_complement: True where the whole code is one two's-complement number (``int8``).
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    signed: bool
    top: Top
    subnormals: bool = True
    twos_complement: bool = False

    def __str__(self) -> str:
        return self.name

    def equals(self, other: "Format") -> bool:
        """Return whether every code means the same in both formats, whatever their names."""
        return replace(self, name=other.name) == other

    # Widths and special codes.

    @property
    def magnitude_bits(self) -> int:
        """Width of a code without its sign."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def bits(self) -> int:
        """Width of a code."""
        return self.magnitude_bits + self.signed

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16] | np.dtype[np.uint32]:
        """How codes are kept in memory: uint8, uint16 or uint32, the narrowest that holds them."""
        if self.bits <= 8:
            return np.dtype(np.uint8)
        return np.dtype(np.uint16) if self.bits <= 16 else np.dtype(np.uint32)

    @property
    def significand_bits(self) -> int:
        """Width of a magnitude's integer significand, hidden bit included."""
        return self.mantissa_bits + (self.exponent_bits > 0)

    @property
    def least_exponent(self) -> int:
        """Exponent of the least normal number, which the subnormals share."""
        return (1 if self.subnormals else 0) - self.bias

    @property
    def quantum_exponent(self) -> int:
        """Every finite value is an integer times two to this power."""
        return self.least_exponent - self.mantissa_bits

    @property
    def largest_code(self) -> int:
        """The code of the largest finite value (positive)."""
        every = (1 << self.magnitude_bits) - 1
        match self.top:
            case Top.FINITE:
                return every
            case Top.NAN:
                return every - 1
            case Top.IEEE | Top.RESERVED:
                return every - (1 << self.mantissa_bits)

    @property
    def nan_code(self) -> int | None:
        """The NaN that `encode` gives: all magnitude bits set; None where the format has none."""
        return None if self.top is Top.FINITE else (1 << self.magnitude_bits) - 1

    @property
    def infinity_code(self) -> int | None:
        """The code of +Inf; None where the format has none."""
        return self.largest_code + 1 if self.top is Top.IEEE else None

    @property
    def zero_code(self) -> int | None:
        """The code of +0; None where the format has no zero."""
        return 0 if self.subnormals else None

    # Values.

    @property
    def largest(self) -> float:
        """The largest finite value."""
        return float(self.values[self.largest_code])

    @property
    def smallest(self) -> float:
        """The smallest value above zero."""
        return float(self.values[1 if self.subnormals else 0])

    @property
    def smallest_code(self) -> int:
        """The code of the smallest value above zero."""
        return 1 if self.subnormals else 0

    @property
    def powers_of_two(self) -> bool:
        """Whether every finite code is a power of two, as in ``ue8m0``."""
        return self.mantissa_bits == 0 and not self.subnormals

    @cached_property
    def in_float32(self) -> bool:
        """Whether every value and every midpoint of two neighbours is a normal number of float32, or zero."""
        return self.quantum_exponent > -126 and self.largest < 2.0**127

    @cached_property
    def values(self) -> npt.NDArray[np.float64]:
        """The value of every code, in code order; read-only, ``2**bits`` long."""
        significands, exponents = self._split_all
        values = np.ldexp(significands.astype(np.float64), exponents)
        magnitude = np.arange(1 << self.bits) & ((1 << self.magnitude_bits) - 1)
        if self.twos_complement:
            special = np.zeros(values.shape, np.bool_)
        else:
            if self.signed:  # the integer significand cannot carry the sign of a zero
                values[1 << self.magnitude_bits :] = -values[: 1 << self.magnitude_bits]
            special = magnitude > self.largest_code
        values[special] = np.nan
        if self.infinity_code is not None:
            infinite = magnitude == self.infinity_code
            values[infinite] = np.where(np.nonzero(infinite)[0] >> self.magnitude_bits, -np.inf, np.inf)
        values.setflags(write=False)
        return values

    @cached_property
    def codes(self) -> npt.NDArray[np.unsignedinteger]:
        """Every code of a finite value, ascending by code; read-only."""
        codes = np.nonzero(np.isfinite(self.values))[0].astype(self.dtype)
        codes.setflags(write=False)
        return codes

    @cached_property
    def kinds(self) -> npt.NDArray[np.str_]:
        """What each code is, in code order: zero, subnormal, normal, largest, infinity or NaN; read-only.

        The sign makes no difference. A fixed-point format has no subnormals.
        """
        magnitude = np.abs(self.values)
        floating = self.subnormals and not self.twos_complement
        # NaN compares as false throughout.
        cases = {
            "zero": magnitude == 0,
            "infinity": np.isinf(magnitude),
            "largest": magnitude >= self.largest,
            "subnormal": floating & (magnitude < 2.0**self.least_exponent),
            "normal": magnitude > 0,
        }
        kinds = np.select(list(cases.values()), list(cases), "NaN")
        kinds.setflags(write=False)
        return kinds

    @cached_property
    def _split_all(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        code = np.arange(1 << self.bits, dtype=np.int64)
        if self.twos_complement:
            signed = np.where(code >> self.magnitude_bits, code - (1 << self.bits), code)
            return signed, np.full_like(code, self.quantum_exponent)
        field = (code >> self.mantissa_bits) & ((1 << self.exponent_bits) - 1)
        mantissa = code & ((1 << self.mantissa_bits) - 1)
        hidden = (field > 0) if self.subnormals else np.ones_like(field, np.bool_)
        significand = mantissa | (hidden.astype(np.int64) << self.mantissa_bits)
        exponent = np.maximum(field, 1 if self.subnormals else 0) - self.bias - self.mantissa_bits
        sign = (code >> self.magnitude_bits) & 1
        return np.where(sign, -significand, significand), exponent

    def split(self, codes: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Split finite codes into integers: the value is ``significand * 2**exponent``.

        A subnormal is not normalised: it has the least exponent, as a hardware decoder gives it.
        What NaN and infinity give has no meaning.

        Args:
            codes: Codes, any shape.

        Returns:
            The signed significands and the exponents, both int64 and shaped as `codes`.
        """
        checked = self.check(codes)
        significand, exponent = self._split_all
        return significand[checked], exponent[checked]

    def check(self, codes: npt.ArrayLike, name: str = "codes") -> npt.NDArray[np.unsignedinteger]:
        """Return `codes` as this format's dtype, having seen that no bit above the format is set.

        Args:
            codes: Codes of an integer type, any shape; or numbers of the type that ml_dtypes and torch have
                for this format, one in a byte, such as ``float8_e4m3fn`` for ``e4m3`` and ``ue4m3``.
            name: What an error message calls them.

        Raises:
            TypeError: If `codes` are neither.
            ValueError: If a code is outside 0 to ``2**bits - 1``.
        """
        array, kind = as_codes(codes)
        own = _FOREIGN_TYPES.get(self.name)
        if kind is not None and kind != own:
            raise TypeError(f"{name} must be integers{f' or {own}' if own else ''}, not {kind}")
        return require_codes(name, array, self.bits, f"{self.name} codes").astype(self.dtype, copy=False)

    def decode(self, codes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the exact value of each code.

        Args:
            codes: Codes of an integer type, any shape.

        Returns:
            float64 values of the same shape; NaN and infinities where the format has them.

        Raises:
            TypeError: If `codes` are not integers.
            ValueError: If a bit above the format's width is set.
        """
        return self.values[self.check(codes)]

    def encode(
        self,
        values: npt.ArrayLike,
        rounding: Rounding = "nearest_even",
        rng: np.random.Generator | None = None,
    ) -> npt.NDArray[np.unsignedinteger]:
        """Return the code each value rounds to, saturating at the largest finite value.

        A tie under ``nearest_even`` goes to the code whose last bit is 0, also in ``ue8m0``, where
        that bit belongs to the exponent (as IEEE P3109 and gfloat have it; ml_dtypes goes up there).
        Infinities saturate too (the saturating conversion of OCP FP8). A format without zero rounds
        everything below its smallest value to that value.

        Args:
            values: Real numbers of any shape that float64 holds exactly.
            rounding: ``nearest_even``, ``nearest_away``, ``toward_zero`` or ``stochastic`` (up with a
                probability equal to the fraction that is cut off).
            rng: The source of randomness, required by ``stochastic``.

        Returns:
            Codes of the same shape, of the format's dtype.

        Raises:
            TypeError: If `values` are not real numbers, or ``stochastic`` has no Generator.
            ValueError: If a value is NaN and the format has no NaN, is negative and the format is unsigned,
                or is no float64 value (a large integer, say); or if `rounding` is unknown.
        """
        return rounded(self, values, rounding, rng)

    def encode_nearest(
        self, values: npt.NDArray[np.float32] | npt.NDArray[np.float64]
    ) -> npt.NDArray[np.unsignedinteger]:
        """Return what `encode` does under ``nearest_even``, with no check and in one piece: the fast way.

        Args:
            values: float32 or float64 of any shape, small enough for a cache; not negative where the
                format is unsigned. What a NaN gives has no meaning.

        Returns:
            Codes of the same shape, of the format's dtype.
        """
        return rounded_to_nearest(self, values)

    def encode_drawn(
        self,
        values: npt.NDArray[np.float64],
        random: npt.NDArray[np.integer],
        random_bits: int,
    ) -> npt.NDArray[np.unsignedinteger]:
        """Return codes rounded at random by given bits, with no check and in one piece.

        Of the two neighbours of a magnitude it is the lower one, plus one step where
        ``floor(2**random_bits * position) + random >= 2**random_bits``, with `position` from 0 to 1 between
        them. At or beyond the largest finite value it is that value, whatever the bits say.

        Args:
            values: Of any shape, small enough for a cache; not negative where the format is unsigned, no NaN.
            random: As many numbers below ``2**random_bits``.
            random_bits: From 1 to 16.

        Returns:
            Codes of the same shape, of the format's dtype.
        """
        return rounded_by_bits(self, values, random, random_bits)
