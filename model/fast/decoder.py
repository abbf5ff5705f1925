"""Element codes times block scales, as floating-point numbers: the inner loop of decoding."""

from functools import cached_property
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from ..formats import Format
from .staircases import loops

__all__ = ["Decoder"]

# Bytes of the values decoded at a time: they and their spread factors stay inside a level-2 cache.
_CHUNK: Final = 1 << 18
# Products of an element and a factor that are kept in a table for the compiled loop: those of 8 and 8 bits.
_TABLE: Final = 1 << 16


class Decoder:
    """Turns codes into products of an element's value and a factor, each rounded once to `dtype`.

    Args:
        element: The format of the codes.
        elements: What each code is worth.
        factors: What each scale code multiplies by; with an element at most 53 bits wide.
        dtype: float32 or float64: what the products are rounded to.
    """

    def __init__(
        self,
        element: Format,
        elements: npt.NDArray[np.float64],
        factors: npt.NDArray[np.float64],
        dtype: np.dtype[np.float32 | np.float64],
    ) -> None:
        self._dtype = dtype
        # float32 takes half the time, and rounds what it multiplies once.
        narrow = dtype == np.float32 and _in_float32(elements) and _in_float32(factors)
        inner = np.dtype(np.float32 if narrow else np.float64)
        with np.errstate(over="ignore", under="ignore"):
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
        if self._elements.size * self._factors.size <= _TABLE and (compiled := loops(codes.size)):
            nibbles = self._pairs is not None and products.dtype == np.float32 and codes.shape[1] % 16 == 0
            decode = compiled.decode_nibbles if nibbles and compiled.permutes() else compiled.decode_blocks
            decode(codes, scales, self._table, products)
            return products
        size = codes.shape[1]
        inner = self._factors.dtype
        step = max(1, _CHUNK // (size * inner.itemsize))
        longest = min(step, len(codes))
        apart = np.empty((longest, size), inner) if inner != self._dtype else None
        # Every factor as often as a block needs it, for blocks of them to be copied; where there are fewer
        # blocks than factors, only those they have.
        factors, rows = self._factors, cast("npt.NDArray[np.integer]", scales)
        if factors.size > len(codes):
            factors, rows = factors[scales], np.arange(len(codes))
        factors = np.repeat(factors, size).reshape(-1, size)
        spread = np.empty((longest, size), inner)
        for start in range(0, len(codes), step):
            some = codes[start : start + step]
            part = products[start : start + step] if apart is None else apart[: len(some)]
            # Codes are within the tables, so that "clip" only spares a check.
            if self._pairs is None:
                np.take(self._elements, some, out=part, mode="clip")
            else:
                np.take(self._pairs, some.view(np.uint16), out=part.view(self._pairs.dtype), mode="clip")
            each = spread[: len(some)]
            np.take(factors, rows[start : start + step], axis=0, out=each, mode="clip")
            np.multiply(part, each, out=part)
            if apart is not None:
                np.copyto(products[start : start + step], part, casting="same_kind")
        return products

    @cached_property
    def _table(self) -> npt.NDArray[np.floating]:
        """Every product, shape (scale codes, element codes)."""
        with np.errstate(over="ignore", under="ignore"):
            return _products(self._factors, self._elements).astype(self._dtype)


def _products(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return every product; infinity times zero is NaN."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.multiply.outer(x, y)


def _in_float32(values: npt.NDArray[np.floating]) -> bool:
    """Whether all values are float32's; a NaN is."""
    with np.errstate(over="ignore", under="ignore"):
        return bool(np.array_equal(values.astype(np.float32), values, equal_nan=True))
