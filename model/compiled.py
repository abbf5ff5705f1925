"""Inner loops compiled by numba, which the extra ``fast`` installs; see `accelerate`, which imports them.

Each does in one pass what numpy does in many, by tables that are made with numpy.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["decode_blocks", "encode_blocks", "largest"]

_Codes = npt.NDArray[np.unsignedinteger]
_Integers = npt.NDArray[np.int32]

_MAGNITUDE = np.int32(0x7FFFFFFF)
# A code's sign is its bit 3, a float32's its bit 31.
_SIGN_SHIFT = np.int32(28)


@numba.njit(cache=True, nogil=True)
def largest(bits: _Integers) -> Any:
    """Return the bits of the largest magnitude of float32 bits; a NaN counts as larger than infinity."""
    top = np.int32(0)
    for k in range(bits.size):
        top = max(top, bits[k] & _MAGNITUDE)
    return top


@numba.njit(cache=True, nogil=True)
def encode_blocks(
    bits: _Integers,
    starts: _Integers,
    guesses: _Integers,
    guess_shift: int,
    steps: _Integers,
    signs: _Integers,
    codes: _Codes,
    scales: _Codes,
) -> Any:
    """Encode blocks of float32 values; what is not finite has codes without a meaning.

    Args:
        bits: The values' bits, one block a row.
        starts: For each scale code, the bits of the least of a block's largest magnitudes that leads to it or
            to one above.
        guesses: A scale code not above the one to find, by the upper bits of the largest magnitude.
        guess_shift: How many bits below those there are.
        steps: For each scale code, the bits of the least magnitude that is encoded as 1, 2, ... 7 or above.
        signs: For each scale code, bit 3 where elements keep their sign.
        codes: Takes the element codes, shaped as `bits`.
        scales: Takes the scale codes, one a row.

    Returns:
        The bits of the largest magnitude of all.
    """
    largest_of_all = np.int32(0)
    for b in range(bits.shape[0]):
        row, out = bits[b], codes[b]
        top = np.int32(0)
        for k in range(row.size):
            top = max(top, row[k] & _MAGNITUDE)
        largest_of_all = max(largest_of_all, top)
        scale = guesses[top >> guess_shift]
        while scale + 1 < starts.size and top >= starts[scale + 1]:
            scale += 1
        scales[b] = scale
        sign = signs[scale]
        # Seven names, for LLVM to keep them in registers and to vectorize what follows.
        s1, s2, s3, s4 = steps[scale, 0], steps[scale, 1], steps[scale, 2], steps[scale, 3]
        s5, s6, s7 = steps[scale, 4], steps[scale, 5], steps[scale, 6]
        for k in range(row.size):
            value = row[k]
            magnitude = value & _MAGNITUDE
            code = np.int32(magnitude >= s1) + np.int32(magnitude >= s2) + np.int32(magnitude >= s3)
            code += np.int32(magnitude >= s4) + np.int32(magnitude >= s5) + np.int32(magnitude >= s6)
            code += np.int32(magnitude >= s7)
            out[k] = code | ((value >> _SIGN_SHIFT) & sign)
    return largest_of_all


@numba.njit(cache=True, nogil=True)
def decode_blocks(
    codes: _Codes, scales: _Codes, products: npt.NDArray[np.floating], out: npt.NDArray[np.floating]
) -> None:
    """Look up blocks.

    Args:
        codes: Element codes, one block a row.
        scales: Scale codes, one a row.
        products: What each element code is worth under each scale code, shape (scale codes, element codes).
        out: Takes the values, shaped as `codes`.
    """
    for b in range(codes.shape[0]):
        row, some, into = products[scales[b]], codes[b], out[b]
        for k in range(some.size):
            into[k] = row[some[k]]
