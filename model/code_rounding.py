"""The code that a value rounds to: how values become codes of a number format.

`Format.encode`, `Format.encode_nearest` and `Format.encode_drawn` are the public ways to it, and say what is
rounded how.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import cast_exactly
from ..base.array_places import index_text

if TYPE_CHECKING:
    from .number_format import Format

__all__ = ["ROUNDINGS", "Rounding", "rounded", "rounded_by_bits", "rounded_to_nearest"]

Rounding = Literal["nearest_even", "nearest_away", "toward_zero", "stochastic"]
ROUNDINGS: Final[tuple[Rounding, ...]] = (
    "nearest_even",
    "nearest_away",
    "toward_zero",
    "stochastic",
)

# Values encoded at a time: the working arrays (up to ten of 8 bytes) then stay inside a level-2 cache.
_CHUNK: Final = 1 << 14


def rounded(
    fmt: "Format", values: npt.ArrayLike, rounding: Rounding, rng: np.random.Generator | None
) -> npt.NDArray[np.unsignedinteger]:
    """Return what `Format.encode` does."""
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

    codes = np.empty(flat.shape, fmt.dtype)
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        value = chunk.astype(np.float32) if narrow else chunk.astype(np.float64)
        nan = _find_nan(fmt, value, start, array.shape)
        if nan is not None:
            value = np.where(nan, value.dtype.type(0), value)  # its code is put in afterwards
        if rounding == "nearest_even":
            part = rounded_to_nearest(fmt, value)
        else:
            part = _encode_chunk(fmt, value.astype(np.float64, copy=False), rounding, up)
        if nan is not None and fmt.nan_code is not None:
            part[nan] = fmt.nan_code
        codes[start : start + _CHUNK] = part
    return codes.reshape(array.shape)


def _find_nan(
    fmt: "Format",
    value: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    start: int,
    shape: tuple[int, ...],
) -> npt.NDArray[np.bool_] | None:
    """Return where NaN stands, None for nowhere, having refused what has no code."""
    nan = np.isnan(value)
    any_nan = bool(nan.any())
    if fmt.nan_code is None and any_nan:
        where = index_text(start + int(np.flatnonzero(nan)[0]), shape)
        raise ValueError(f"values must not be NaN, which {fmt.name} does not have, at {where}")
    if not fmt.signed and (value < 0).any():
        first = int(np.flatnonzero(value < 0)[0])
        raise ValueError(
            f"values must not be negative, as {fmt.name} is unsigned, not {float(value[first])!r} "
            f"at {index_text(start + first, shape)}"
        )
    return nan if any_nan else None


def rounded_to_nearest(
    fmt: "Format", values: npt.NDArray[np.float32] | npt.NDArray[np.float64]
) -> npt.NDArray[np.unsignedinteger]:
    """Return what `Format.encode_nearest` does."""
    if fmt.twos_complement:
        with np.errstate(over="ignore"):
            scaled = np.rint(values * 2.0**-fmt.quantum_exponent)
        low, high = -(1 << fmt.magnitude_bits), fmt.largest_code
        with np.errstate(invalid="ignore"):  # a NaN
            codes = np.clip(scaled, low, high).astype(np.int8).view(np.uint8)
        codes &= (1 << fmt.bits) - 1
        return codes
    magnitude = np.abs(values)
    if magnitude.dtype == np.float32 and not fmt.in_float32:
        # float32 may be subnormal where the format is not, and the other way round.
        magnitude = magnitude.astype(np.float64)
    code = _compared(fmt, magnitude) if fmt.magnitude_bits <= 3 else _cut(fmt, magnitude)
    if fmt.signed:
        integer = np.int64 if values.dtype == np.float64 else np.int32
        # Faster than signbit; and a byte, as most codes are, needs no copy.
        negative = (values.view(integer) < 0).view(np.uint8).astype(fmt.dtype, copy=False)
        code |= np.left_shift(negative, fmt.magnitude_bits, out=negative)
    return code


def _compared(fmt: "Format", magnitude: npt.NDArray[np.floating]) -> npt.NDArray[np.unsignedinteger]:
    """Count the midpoints below a magnitude: what is fastest for a few codes."""
    if not fmt.largest_code:  # a scale that every block has
        return np.zeros(magnitude.shape, np.uint8)
    finite = fmt.values[: fmt.largest_code + 1].tolist()
    code = np.empty(magnitude.shape, np.uint8)
    passed = np.empty(magnitude.shape, np.bool_)
    for k in range(fmt.largest_code):
        # From an odd code a tie goes up, to the even one.
        compare = np.greater_equal if k % 2 else np.greater
        compare(magnitude, (finite[k] + finite[k + 1]) / 2, out=passed if k else code.view(np.bool_))
        if k:
            code += passed.view(np.uint8)
    return code


def _cut(fmt: "Format", magnitude: npt.NDArray[np.floating]) -> npt.NDArray[np.unsignedinteger]:
    """Round the bits of a magnitude: what is fastest for many codes."""
    double = magnitude.dtype == np.float64
    integer = np.dtype(np.int64 if double else np.int32)
    bits = magnitude.view(integer)
    shift = (52 if double else 23) - fmt.mantissa_bits
    # Just under half a step, and the last bit that is kept: a carry then rounds to nearest, ties to even.
    code = bits >> shift
    code &= 1
    code += bits
    code += (1 << (shift - 1)) - 1
    code >>= shift
    code -= ((1023 if double else 127) - fmt.bias) << fmt.mantissa_bits
    if fmt.subnormals:
        # Below the least normal number codes are equally far apart; scaling up is exact.
        least = 2.0**fmt.least_exponent
        small = magnitude < least
        if small.any():
            steps = np.minimum(magnitude, least) * 2.0 ** (fmt.mantissa_bits - fmt.least_exponent)
            np.copyto(code, np.rint(steps).astype(integer), where=small)
    else:
        np.maximum(code, 0, out=code)
    np.minimum(code, fmt.largest_code, out=code)
    return code.astype(fmt.dtype)


def rounded_by_bits(
    fmt: "Format",
    values: npt.NDArray[np.float64],
    random: npt.NDArray[np.integer],
    random_bits: int,
) -> npt.NDArray[np.unsignedinteger]:
    """Return what `Format.encode_drawn` does."""

    def up(position: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return np.floor(position * (1 << random_bits)) + random >= 1 << random_bits

    return _encode_chunk(fmt, values, "stochastic", up).astype(fmt.dtype)


def _encode_chunk(
    fmt: "Format",
    value: npt.NDArray[np.float64],
    rounding: Rounding,
    up: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]],
) -> npt.NDArray[np.int64]:
    """Return the codes of values under a rounding other than ``nearest_even``; a NaN's has no meaning.

    Args:
        fmt: The format.
        value: The values.
        rounding: How they are rounded.
        up: Tells, under ``stochastic``, which go up, by their positions between two codes.
    """
    code, position = _position(fmt, np.abs(value))
    match rounding:
        case "nearest_away":
            code += position >= 0.5
        case "stochastic":
            code += up(position)
        case _:  # toward zero
            pass
    negative = value.view(np.int64) < 0
    if fmt.twos_complement:
        # It has one more value below zero than above.
        code = np.minimum(code, fmt.largest_code + negative)
        return np.where(negative, -code, code) & ((1 << fmt.bits) - 1)
    np.minimum(code, fmt.largest_code, out=code)
    if not fmt.subnormals:
        np.maximum(code, 0, out=code)
    if fmt.signed:
        code |= np.left_shift(negative, fmt.magnitude_bits, dtype=np.int64)
    return code


def _position(
    fmt: "Format", magnitude: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the code at or below each magnitude, and how far it is from there to the next code, below 1.

    Codes run on: above the largest one, and, where the least code is not zero, below it.
    """
    bits = magnitude.view(np.int64)
    below = 52 - fmt.mantissa_bits
    # Codes of normal numbers are the leading bits of a float64, less a constant.
    code = bits >> below
    code -= (1023 - fmt.bias) << fmt.mantissa_bits
    position = np.multiply(bits & ((1 << below) - 1), 2.0**-below, dtype=np.float64)
    if fmt.subnormals:
        # Below the least normal number codes are equally far apart; scaling up is exact.
        least = 2.0**fmt.least_exponent
        small = magnitude < least
        if small.any():
            steps = np.minimum(magnitude, least) * 2.0 ** (fmt.mantissa_bits - fmt.least_exponent)
            whole = np.floor(steps)
            np.copyto(code, whole.astype(np.int64), where=small)
            np.copyto(position, steps - whole, where=small)
    return code, position
