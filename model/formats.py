"""Number formats of elements and block scales: what each code is worth, and the code nearest to a value.

A `Format` is a dataclass of independent facts; every other property is derived from them. Sources:
OCP Microscaling Formats (MX) v1.0 and OCP 8-bit Floating Point v1.0 for the element formats and
``ue8m0``; the PTX ISA for ``ue4m3`` and ``ue5m3``; arXiv 2601.19026 for ``ue4m4``, ``ue5m3_ieee``
and ``ue4m3_full``; ml_dtypes for ``e3m4``. `register` adds formats to these.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import cast_exactly, require_bool, require_codes, require_int
from ..base.array_places import index_text
from ..base.foreign_arrays import as_codes

__all__ = [
    "ELEMENTS",
    "ROUNDINGS",
    "SCALES",
    "Format",
    "Rounding",
    "Top",
    "get",
    "register",
    "require_format",
]

Rounding = Literal["nearest_even", "nearest_away", "toward_zero", "stochastic"]
ROUNDINGS: Final[tuple[Rounding, ...]] = (
    "nearest_even",
    "nearest_away",
    "toward_zero",
    "stochastic",
)

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

# Values encoded at a time: the working arrays (up to ten of 8 bytes) then stay inside a level-2 cache.
_CHUNK: Final = 1 << 14


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

    def __reduce__(self) -> tuple[Callable[..., "Format"], tuple[bool, dict[str, object]]]:
        # No tables travel to another process, and a name that was registered here is known there too.
        facts = {fact.name: getattr(self, fact.name) for fact in fields(self)}
        return _received, (_find(self.name) == self, facts)

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
        if rounding not in ROUNDINGS:
            raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
        if rounding == "stochastic" and not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy Generator for stochastic rounding, not {rng!r}")
        array = np.asarray(values)
        if array.dtype not in (np.float16, np.float32):  # those two are cast chunk by chunk
            array = cast_exactly(array, np.float64, "values")
        flat = array.reshape(-1)
        # The bits of float32 are half the work; the other roundings are written for float64 alone.
        narrow = rounding == "nearest_even" and array.dtype != np.float64

        def up(position: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
            assert rng is not None
            return rng.random(position.shape) < position

        codes = np.empty(flat.shape, self.dtype)
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK]
            value = chunk.astype(np.float32) if narrow else chunk.astype(np.float64)
            nan = self._find_nan(value, start, array.shape)
            if nan is not None:
                value = np.where(nan, value.dtype.type(0), value)  # its code is put in afterwards
            if rounding == "nearest_even":
                part = self.encode_nearest(value)
            else:
                part = self._encode_chunk(value.astype(np.float64, copy=False), rounding, up)
            if nan is not None and self.nan_code is not None:
                part[nan] = self.nan_code
            codes[start : start + _CHUNK] = part
        return codes.reshape(array.shape)

    def _find_nan(
        self, value: npt.NDArray[np.float32] | npt.NDArray[np.float64], start: int, shape: tuple[int, ...]
    ) -> npt.NDArray[np.bool_] | None:
        """Return where NaN stands, None for nowhere, having refused what has no code."""
        nan = np.isnan(value)
        any_nan = bool(nan.any())
        if self.nan_code is None and any_nan:
            where = index_text(start + int(np.flatnonzero(nan)[0]), shape)
            raise ValueError(f"values must not be NaN, which {self.name} does not have, at {where}")
        if not self.signed and (value < 0).any():
            first = int(np.flatnonzero(value < 0)[0])
            raise ValueError(
                f"values must not be negative, as {self.name} is unsigned, not {float(value[first])!r} "
                f"at {index_text(start + first, shape)}"
            )
        return nan if any_nan else None

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
        if self.twos_complement:
            with np.errstate(over="ignore"):
                scaled = np.rint(values * 2.0**-self.quantum_exponent)
            low, high = -(1 << self.magnitude_bits), self.largest_code
            with np.errstate(invalid="ignore"):  # a NaN
                codes = np.clip(scaled, low, high).astype(np.int8).view(np.uint8)
            codes &= (1 << self.bits) - 1
            return codes
        magnitude = np.abs(values)
        if magnitude.dtype == np.float32 and not self.in_float32:
            # float32 may be subnormal where the format is not, and the other way round.
            magnitude = magnitude.astype(np.float64)
        code = self._compared(magnitude) if self.magnitude_bits <= 3 else self._cut(magnitude)
        if self.signed:
            integer = np.int64 if values.dtype == np.float64 else np.int32
            # Faster than signbit; and a byte, as most codes are, needs no copy.
            negative = (values.view(integer) < 0).view(np.uint8).astype(self.dtype, copy=False)
            code |= np.left_shift(negative, self.magnitude_bits, out=negative)
        return code

    def _compared(self, magnitude: npt.NDArray[np.floating]) -> npt.NDArray[np.unsignedinteger]:
        """Count the midpoints below a magnitude: what is fastest for a few codes."""
        if not self.largest_code:  # a scale that every block has
            return np.zeros(magnitude.shape, np.uint8)
        finite = self.values[: self.largest_code + 1].tolist()
        code = np.empty(magnitude.shape, np.uint8)
        passed = np.empty(magnitude.shape, np.bool_)
        for k in range(self.largest_code):
            # From an odd code a tie goes up, to the even one.
            compare = np.greater_equal if k % 2 else np.greater
            compare(magnitude, (finite[k] + finite[k + 1]) / 2, out=passed if k else code.view(np.bool_))
            if k:
                code += passed.view(np.uint8)
        return code

    def _cut(self, magnitude: npt.NDArray[np.floating]) -> npt.NDArray[np.unsignedinteger]:
        """Round the bits of a magnitude: what is fastest for many codes."""
        double = magnitude.dtype == np.float64
        integer = np.dtype(np.int64 if double else np.int32)
        bits = magnitude.view(integer)
        shift = (52 if double else 23) - self.mantissa_bits
        # Just under half a step, and the last bit that is kept: a carry then rounds to nearest, ties to even.
        code = bits >> shift
        code &= 1
        code += bits
        code += (1 << (shift - 1)) - 1
        code >>= shift
        code -= ((1023 if double else 127) - self.bias) << self.mantissa_bits
        if self.subnormals:
            # Below the least normal number codes are equally far apart; scaling up is exact.
            least = 2.0**self.least_exponent
            small = magnitude < least
            if small.any():
                steps = np.minimum(magnitude, least) * 2.0 ** (self.mantissa_bits - self.least_exponent)
                np.copyto(code, np.rint(steps).astype(integer), where=small)
        else:
            np.maximum(code, 0, out=code)
        np.minimum(code, self.largest_code, out=code)
        return code.astype(self.dtype)

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

        def up(position: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
            return np.floor(position * (1 << random_bits)) + random >= 1 << random_bits

        return self._encode_chunk(values, "stochastic", up).astype(self.dtype)

    def _encode_chunk(
        self,
        value: npt.NDArray[np.float64],
        rounding: Rounding,
        up: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]],
    ) -> npt.NDArray[np.int64]:
        """Return the codes of values under any rounding; what a NaN gives has no meaning.

        Args:
            value: The values.
            rounding: How they are rounded.
            up: Tells, under ``stochastic``, which go up, by their positions between two codes.
        """
        # |value| = significand * 2**(exponent - 52), read off the bits. A float64 subnormal reads with
        # a hidden bit it does not have; it is so far below every format that nothing depends on it.
        bits = np.abs(value).view(np.int64)
        exponent = (bits >> 52) - 1023
        significand = (bits & ((1 << 52) - 1)) | (1 << 52)
        significand[bits == 0] = 0
        quantum = np.maximum(exponent, self.least_exponent)
        # Bits that fall off the end: at least one. From 54 on nothing is left, and less than half at that.
        lost = quantum - exponent + (52 - self.mantissa_bits)
        shift = np.minimum(lost, 54)
        kept = significand >> shift
        rest = significand - (kept << shift)
        # A magnitude code is linear in the significand within one exponent and steps on by 2**mantissa
        # from one exponent to the next, so a carry out of the significand needs no case of its own.
        code = ((quantum - self.least_exponent) << self.mantissa_bits) + kept
        if not self.subnormals:
            code -= 1 << self.mantissa_bits
        match rounding:
            case "nearest_even":
                half = np.int64(1) << (shift - 1)
                code += (rest > half) | ((rest == half) & (code & 1 == 1))
            case "nearest_away":
                code += rest >= np.int64(1) << (shift - 1)
            case "stochastic":
                code += up(np.ldexp(rest.astype(np.float64), -lost))
            case "toward_zero":
                pass
        negative = np.signbit(value)
        # Two's complement has one more value below zero than above.
        np.clip(code, 0, self.largest_code + (negative & self.twos_complement), out=code)
        if self.twos_complement:
            return np.where(negative, -code, code) & ((1 << self.bits) - 1)
        return code | (negative.astype(np.int64) << self.magnitude_bits) if self.signed else code


def _unsigned(exponent_bits: int, mantissa_bits: int) -> Format:
    return Format(
        name=f"ue{exponent_bits}m{mantissa_bits}",
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=(1 << (exponent_bits - 1)) - 1,
        signed=False,
        top=Top.NAN,
        # OCP MX gives E8M0 neither zero nor subnormals; every other unsigned format has both.
        subnormals=(exponent_bits, mantissa_bits) != (8, 0),
    )


def _signed(name: str, exponent_bits: int, mantissa_bits: int, bias: int, top: Top) -> Format:
    return Format(
        name=name,
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=bias,
        signed=True,
        top=top,
    )


_NAMED: Final[dict[str, Format]] = {
    fmt.name: fmt
    for fmt in (
        _signed("e2m1", 2, 1, 1, Top.FINITE),
        _signed("e2m3", 2, 3, 1, Top.FINITE),
        _signed("e3m2", 3, 2, 3, Top.FINITE),
        _signed("e4m3", 4, 3, 7, Top.NAN),
        _signed("e5m2", 5, 2, 15, Top.IEEE),
        _signed("e3m4", 3, 4, 3, Top.IEEE),
        Format(
            name="int8",
            exponent_bits=0,
            mantissa_bits=7,
            bias=0,
            signed=True,
            top=Top.FINITE,
            twos_complement=True,
        ),
        _unsigned(4, 3),
        _unsigned(5, 3),
        _unsigned(8, 0),
        _unsigned(4, 4),
        Format(
            name="ue5m3_ieee",
            exponent_bits=5,
            mantissa_bits=3,
            bias=15,
            signed=False,
            top=Top.RESERVED,
        ),
        Format(
            name="ue4m3_full",
            exponent_bits=4,
            mantissa_bits=3,
            bias=7,
            signed=False,
            top=Top.FINITE,
        ),
    )
}

_WIDE: Final[dict[str, Format]] = {
    fmt.name: fmt
    for fmt in (
        _signed("fp16", 5, 10, 15, Top.IEEE),
        _signed("bf16", 8, 7, 127, Top.IEEE),
        _signed("tf32", 8, 10, 127, Top.IEEE),
    )
}

WIDE_ELEMENTS: Final[tuple[str, ...]] = tuple(_WIDE)
"""Names of the element formats that only an ``aligned`` sum of single products takes."""

NO_SCALE: Final = Format(
    name="none", exponent_bits=0, mantissa_bits=0, bias=0, signed=False, top=Top.FINITE, subnormals=False
)
"""Stands for the scale of blocks that have none: its one code, of no bits, is worth 1."""

ELEMENTS: Final[tuple[str, ...]] = tuple(name for name, fmt in _NAMED.items() if fmt.signed)
"""Names of the element formats."""

SCALES: Final[tuple[str, ...]] = tuple(name for name, fmt in _NAMED.items() if not fmt.signed)
"""Names of the scale formats that have a source; any ``ue{E}m{M}`` is accepted beside them."""

_GENERIC: Final = re.compile(r"ue([2-8])m([0-5])")

# An element's name ends at the first "_" of a specification's name, and "x" joins two names there.
_ELEMENT_NAME: Final = re.compile(r"[a-wyz][a-wyz0-9]*")
_SCALE_NAME: Final = re.compile(r"[a-wyz][a-wyz0-9]*(_[a-wyz0-9]+)*")


def _find(name: str) -> Format | None:
    """Return the format of that name, None where there is none."""
    for known in (_NAMED, _WIDE, {NO_SCALE.name: NO_SCALE}):
        if name in known:
            return known[name]
    generic = _GENERIC.fullmatch(name)
    return _unsigned(int(generic[1]), int(generic[2])) if generic else None


def get(name: str | Format) -> Format:
    """Return the format of that name; a `Format` is returned as it is.

    Besides the names in `ELEMENTS` and `SCALES`, any ``ue{E}m{M}`` with E from 2 to 8 and M from 0 to
    5 is an unsigned format with bias ``2**(E-1) - 1``, subnormals, and NaN at its all-ones code; and so is
    every name that `register` was given.

    Raises:
        TypeError: If `name` is neither a string nor a Format.
        ValueError: If no format has that name.
    """
    if isinstance(name, Format):
        return name
    if not isinstance(name, str):
        raise TypeError(f"format must be a name or a Format, not {name!r}")
    fmt = _find(name)
    if fmt is None:
        raise ValueError(
            f"format must be one of {', '.join((*ELEMENTS, *SCALES))} or ue{{E}}m{{M}} with E from 2 to 8 "
            f"and M from 0 to 5, not {name!r}"
        )
    return fmt


def register(fmt: Format) -> Format:
    """Make a format known by its name in this process, for elements if it is signed and for scales if not.

    What is registered may be used wherever a format's name may. It stays within what the built-in formats
    span, for which every width and every exact sum of this project is argued:

    - The name is made of lower-case letters other than x, and of digits; a scale's may hold single
      underscores.
    - An element has from 2 to 8 bits, and a zero. It is two's complement, with no exponent bits and only
      finite codes; or it has from 1 to 5 exponent bits. Its values are multiples of ``2**-16`` below
      ``2**16``.
    - A scale has from 2 to 8 exponent bits, from 0 to 5 mantissa bits, and no infinity. Its values are
      multiples of ``2**-131`` below ``2**129``.
    - Where the top exponent is reserved, there is another; where it holds infinity and NaN, there is a
      mantissa bit to tell them apart.

    Args:
        fmt: The format. To register it again changes nothing.

    Returns:
        The format that is known by the name.

    Raises:
        TypeError: If `fmt` is no `Format`, or a fact of it is of the wrong kind.
        ValueError: If another format has the name, or a rule above is broken.
    """
    if not isinstance(fmt, Format):
        raise TypeError(f"format must be a Format, not {fmt!r}")
    known = _find(fmt.name) if isinstance(fmt.name, str) else None
    if known is not None and known == fmt:
        return known  # the wide formats are known, and none like them may be added
    _require_facts(fmt)
    if known is None:
        return _NAMED.setdefault(fmt.name, fmt)
    raise ValueError(f"format {fmt.name!r} must have a name that is not taken, not that of {known!r}")


def _require_facts(fmt: Format) -> None:
    """Raise TypeError or ValueError unless a format keeps the rules of `register`."""
    if not isinstance(fmt.name, str):
        raise TypeError(f"name of a format must be a string, not {fmt.name!r}")
    label = f"format {fmt.name!r}"
    for name in ("exponent_bits", "mantissa_bits", "bias"):
        require_int(f"{name} of {label}", getattr(fmt, name))
    for name in ("signed", "subnormals", "twos_complement"):
        require_bool(f"{name} of {label}", getattr(fmt, name))
    if not isinstance(fmt.top, Top):
        raise TypeError(f"top of {label} must be a Top, not {fmt.top!r}")
    pattern, kind = (_ELEMENT_NAME, "an element") if fmt.signed else (_SCALE_NAME, "a scale")
    if not pattern.fullmatch(fmt.name):
        also = "" if fmt.signed else ", with single underscores between them"
        raise ValueError(
            f"name of {kind} format must be lower-case letters other than x, and digits{also}, "
            f"not {fmt.name!r}"
        )

    def require(holds: bool, rule: str, value: object) -> None:
        if not holds:
            raise ValueError(f"{label} must have {rule}, not {value}")

    exponent, mantissa = fmt.exponent_bits, fmt.mantissa_bits
    if fmt.twos_complement:
        require(fmt.signed, "a sign where it is two's complement", "none")
        require(exponent == 0, "no exponent bits where it is two's complement", exponent)
        require(fmt.top is Top.FINITE, "finite codes only where it is two's complement", fmt.top.name)
        require(1 <= mantissa <= 7, "from 1 to 7 mantissa bits", mantissa)
    elif fmt.signed:
        require(1 <= exponent <= 5, "from 1 to 5 exponent bits", exponent)
        require(0 <= mantissa <= 7 - exponent, f"from 0 to {7 - exponent} mantissa bits", mantissa)
    else:
        require(2 <= exponent <= 8, "from 2 to 8 exponent bits", exponent)
        require(0 <= mantissa <= 5, "from 0 to 5 mantissa bits", mantissa)
        require(fmt.top is not Top.IEEE, "no infinity, being a scale", fmt.top.name)
    if fmt.signed:
        require(fmt.subnormals, "a zero, being an element", "none")
    if fmt.top in (Top.IEEE, Top.RESERVED):
        require(exponent >= 2, "at least 2 exponent bits where the top one is reserved", exponent)
    if fmt.top is Top.IEEE:
        require(mantissa >= 1, "a mantissa bit to tell infinity from NaN", mantissa)
    require(fmt.largest_code >= fmt.smallest_code, "a value above zero", "none")
    least, bound = (-16, 16) if fmt.signed else (-131, 129)
    require(fmt.quantum_exponent >= least, f"multiples of 2**{least}", f"of 2**{fmt.quantum_exponent}")
    top = fmt.quantum_exponent + fmt.mantissa_bits
    if exponent:
        top = (fmt.largest_code >> mantissa) - fmt.bias
    require(top < bound, f"values below 2**{bound}", f"2**{top}")


def _received(registered: bool, facts: dict[str, Any]) -> Format:
    fmt = Format(**facts)
    return register(fmt) if registered else fmt


def require_format(name: str, value: object, *, signed: bool) -> Format:
    """Return the element (`signed`) or scale format that `value` names; register it where it is a `Format`.

    Raises:
        TypeError: If `value` is neither a name nor a `Format`.
        ValueError: If no format has that name, or it is a format of the other kind, or one that `register`
            refuses.
    """
    fmt = get(value)  # type: ignore[arg-type]  # get() itself refuses what is not a name
    if fmt.signed != signed:
        raise ValueError(f"{name} must be {'a signed' if signed else 'an unsigned'} format, not {fmt.name!r}")
    return register(fmt) if isinstance(value, Format) else fmt
