"""Element codes times block scales, as floating-point numbers: the inner loop of decoding."""

from typing import Final

import numpy as np
import numpy.typing as npt

from .formats import Format

__all__ = ["Decoder"]

# Values decoded at a time: they and their spread scales stay inside a level-2 cache.
_CHUNK: Final = 1 << 16
# Products of an element and a factor that are looked through: those of formats of 4 and 8 bits.
_FEW: Final = 1 << 12


class Decoder:
    """Turns codes into products of an element's value and a factor, each rounded once to `dtype`.

    Args:
        element: The format of the codes.
        elements: What each code is worth.
        factors: What each scale code multiplies by.
        dtype: float32 or float64: what the products are computed and returned in.
    """

    def __init__(
        self,
        element: Format,
        elements: npt.NDArray[np.float64],
        factors: npt.NDArray[np.float64],
        dtype: np.dtype[np.float32 | np.float64],
    ) -> None:
        self._dtype = dtype
        # What float32 holds is computed there and widened: half the bytes to look up.
        inner = np.dtype(np.float32) if _fits_float32(elements, factors) else dtype
        self._elements = elements.astype(inner)
        self._factors = factors.astype(inner)
        self._pairs: npt.NDArray[np.complexfloating] | None = None
        if element.bits == 4:
            # Two neighbouring codes at once: their two bytes, read as one integer in this machine's byte
            # order, give two neighbouring values, which a complex number holds.
            codes = np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).astype(np.uint8)
            values = np.ascontiguousarray(self._elements[codes])
            pairs = np.zeros(1 << 12, np.complex64 if inner == np.float32 else np.complex128)
            pairs[codes.view(np.uint16)] = values.view(pairs.dtype)
            self._pairs = pairs

    def decode(
        self,
        codes: npt.NDArray[np.unsignedinteger],
        scales: npt.NDArray[np.unsignedinteger],
        out: npt.NDArray[np.floating] | None = None,
    ) -> npt.NDArray[np.floating]:
        """Decode blocks.

        Args:
            codes: Contiguous element codes, one block a row: shape (blocks, N) with an even N.
            scales: One scale code for each, shape (blocks,).
            out: Takes the products where it is given: contiguous, shaped as `codes`.

        Returns:
            The products.
        """
        products = np.empty(codes.shape, self._dtype) if out is None else out
        size = codes.shape[1]
        step = max(1, _CHUNK // size)
        inner = self._factors.dtype
        narrow = np.empty((min(step, len(codes)), size), inner) if inner != self._dtype else None
        for start in range(0, len(codes), step):
            some = codes[start : start + step]
            part = products[start : start + step] if narrow is None else narrow[: len(some)]
            # Codes are within the tables, so that "clip" only spares a check.
            if self._pairs is None:
                np.take(self._elements, some, out=part, mode="clip")
            else:
                np.take(self._pairs, some.view(np.uint16), out=part.view(self._pairs.dtype), mode="clip")
            spread = np.repeat(self._factors[scales[start : start + step]], size).reshape(part.shape)
            np.multiply(part, spread, out=part)
            if narrow is not None:
                np.copyto(products[start : start + step], part)
        return products


def _fits_float32(elements: npt.NDArray[np.float64], factors: npt.NDArray[np.float64]) -> bool:
    """Whether float32 holds every product exactly; only looked into where there are few."""
    if elements.size * factors.size > _FEW:
        return False
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        products = np.multiply.outer(elements, factors)
        narrow = np.multiply.outer(elements.astype(np.float32), factors.astype(np.float32))
    return bool(np.array_equal(narrow, products, equal_nan=True))
