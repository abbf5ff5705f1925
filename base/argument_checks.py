"""Checks on what callers hand in, worded alike everywhere."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .array_places import index_text
from .chunks import CHUNK
from .foreign_arrays import as_array

__all__ = [
    "cast_exactly",
    "require_block_size",
    "require_bool",
    "require_codes",
    "require_finite",
    "require_int",
    "require_real",
]

_Float = TypeVar("_Float", np.float32, np.float64)


def require_bool(name: str, value: object) -> bool:
    """Return `value` as a bool.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a bool, not {value!r}")
    return bool(value)


def require_int(name: str, value: object) -> int:
    """Return `value` as an int.

    Raises:
        TypeError: If it is not an integer; a bool is none.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    return int(value)


def require_real(name: str, value: object) -> float:
    """Return `value` as a float.

    Raises:
        TypeError: If it is not a real number; a bool is none.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a real number, not {value!r}")
    return float(value)


def require_block_size(value: object) -> int:
    """Return a quantizer's block size as an int.

    There is no upper bound here: a dot-product unit has one, and its specification states it.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is not a power of two of at least 2.
    """
    size = require_int("block_size", value)
    if size < 2 or size & (size - 1):
        raise ValueError(f"block_size must be a power of two of at least 2, not {size}")
    return size


def require_codes(name: str, codes: npt.ArrayLike, bits: int, kind: str) -> npt.NDArray[np.integer]:
    """Return `codes` as an array, having seen that no bit above the width is set.

    Args:
        name: What an error message calls them.
        codes: Integers of any shape.
        bits: Width of a code.
        kind: What an error message says they are, such as ``e2m1 codes``.

    Raises:
        TypeError: If `codes` are not integers.
        ValueError: If a code is outside 0 to ``2**bits - 1``.
    """
    array = np.asarray(codes)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    if 8 * array.dtype.itemsize == bits and array.dtype.kind == "u":
        return array
    if array.dtype.kind == "u" and (not array.size or int(array.max()) >> bits == 0):
        return array
    wrong = (array < 0) | (array >> bits != 0)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{name} must be {kind} from 0 to {(1 << bits) - 1:#x}, not "
            f"{int(array.flat[first]):#x} at {index_text(first, array.shape)}"
        )
    return array


def cast_exactly(
    values: npt.ArrayLike, dtype: type[_Float], name: str, hint: str = ""
) -> npt.NDArray[_Float]:
    """Return `values` as `dtype`, having lost nothing; an array of that type is not copied.

    Args:
        values: Numbers of any shape.
        dtype: ``np.float32`` or ``np.float64``.
        name: What an error message calls them.
        hint: What it says at its end, of values that `dtype` does not have.

    Raises:
        TypeError: If `values` are not real numbers.
        ValueError: If a value is not one of `dtype`.
    """
    array = as_array(values)
    # A type from outside numpy, such as ml_dtypes.bfloat16, is of kind V or f and says what it casts to.
    foreign = array.dtype.kind == "V" and array.dtype.fields is None and np.can_cast(array.dtype, dtype)
    if array.dtype.kind not in "biuf" and not foreign:
        raise TypeError(f"{name} must be real numbers, not {array.dtype}")
    with np.errstate(over="ignore", under="ignore"):
        cast = array.astype(dtype, copy=False)
    # numpy calls it safe to make float64 of 64-bit integers.
    if np.can_cast(array.dtype, dtype) and not (array.dtype.kind in "iu" and array.dtype.itemsize == 8):
        return cast
    for start in range(0, array.size, CHUNK):
        before, after = array.reshape(-1)[start : start + CHUNK], cast.reshape(-1)[start : start + CHUNK]
        if array.dtype.kind == "f":
            same = (after == before) | (np.isnan(before) & np.isnan(after))
        else:
            # Compared as integers: a comparison of mixed types would round the integer as well.
            inside = after < 2.0 ** (8 * array.dtype.itemsize - (array.dtype.kind == "i"))
            same = inside & (np.where(inside, after, 0).astype(array.dtype) == before)
        if not same.all():
            first = int(np.flatnonzero(~same)[0])
            raise ValueError(
                f"{name} must hold {np.dtype(dtype)} values, not {before[first].item()!r} "
                f"at {index_text(start + first, array.shape)}{hint}"
            )
    return cast


def require_finite(values: npt.NDArray[np.float32], name: str) -> None:
    """Raise ValueError unless every value is finite, naming how many are not and where the first stands."""
    count, first = 0, -1
    flat = values.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        wrong = np.flatnonzero(~np.isfinite(flat[start : start + CHUNK]))
        if wrong.size and first < 0:
            first = start + int(wrong[0])
        count += wrong.size
    if count:
        raise ValueError(
            f"{name} must be finite, not NaN or Inf in {count} of {flat.size} values, "
            f"the first {float(flat[first])} at {index_text(first, values.shape)}"
        )
