"""The exact value of blocks, ``V = sa * sb * sum(a_i * b_i)``, as float64 terms that add up to it."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from .formats import Format

__all__ = ["BlockTerms", "Pieces"]

_DOUBLE_BITS: Final = 53


@dataclass(frozen=True)
class Pieces:
    """The values of a format's codes as a sum of tables, each of fewer significant bits.

    Attributes:
        tables: float64 tables indexed by code, shape (pieces, codes); infinities and NaN read as 0.
        bits: For each table, the width of its largest value as an integer of its quantum.
    """

    tables: npt.NDArray[np.float64]
    bits: tuple[int, ...]


def _pieces(fmt: Format, count: int) -> Pieces:
    """Cut the value table of `fmt` into `count` ranges of magnitude."""
    finite = np.where(np.isfinite(fmt.values), fmt.values, 0.0)
    low = fmt.quantum_exponent
    high = int(np.frexp(np.abs(finite).max())[1])
    edges = np.linspace(low, high, count + 1).round().astype(int)
    tables, widths = [], []
    for bottom, top in itertools.pairwise(edges):
        magnitude = np.abs(finite)
        inside = (magnitude >= 2.0**bottom) & (magnitude < 2.0**top)
        quantum = max(low, int(bottom) - fmt.mantissa_bits)
        tables.append(np.where(inside, finite, 0.0))
        widths.append(int(top) - quantum)
    return Pieces(np.array(tables), tuple(widths))


class BlockTerms:
    """Turns the codes of blocks into terms.

    Args:
        elements: The element formats of a and b.
        scales: The scale formats of a and b.
        block_size: Elements under one scale.
    """

    def __init__(
        self, elements: tuple[Format, Format], scales: tuple[Format, Format], block_size: int
    ) -> None:
        self._elements = elements
        self._scales = scales
        self._block_size = block_size

    @cached_property
    def pieces(self) -> tuple[Pieces, Pieces]:
        """The element tables cut so far that every block term of theirs is exact in float64.

        One piece each wherever a whole term fits 53 bits: every format but ``e5m2`` with common scales.
        """
        scale_bits = math.prod(int(fmt.split(fmt.codes)[0].max()) for fmt in self._scales).bit_length()
        margin = _DOUBLE_BITS - scale_bits - (self._block_size - 1).bit_length()
        counts = (1, 1)
        while True:
            cut = tuple(_pieces(fmt, count) for fmt, count in zip(self._elements, counts, strict=True))
            if max(cut[0].bits) + max(cut[1].bits) <= margin:
                return cut[0], cut[1]
            wider = max(cut[0].bits) < max(cut[1].bits)
            counts = (counts[0] + (not wider), counts[1] + wider)

    @cached_property
    def _products(self) -> npt.NDArray[np.int16] | None:
        """The products of any two codes of 4 bits, as integers of their quantum, with a's code above b's."""
        if any(fmt.bits != 4 for fmt in self._elements):
            return None
        a, b = (fmt.values * 2.0**-fmt.quantum_exponent for fmt in self._elements)
        return np.outer(a, b).astype(np.int16).reshape(-1)

    def _sums(
        self, a: npt.NDArray[np.unsignedinteger], b: npt.NDArray[np.unsignedinteger]
    ) -> npt.NDArray[np.float64]:
        """Return the sums of products of the finite elements of blocks in pieces, shape (..., pieces)."""
        if self._products is not None:
            # One look-up for two, and the sum of 16-bit integers: a third of the time.
            totals = self._products.take(a << 4 | b, mode="clip").sum(axis=-1, dtype=np.int64)
            return (totals * 2.0 ** sum(fmt.quantum_exponent for fmt in self._elements))[..., np.newaxis]
        cut_a, cut_b = self.pieces
        return np.stack(
            [
                np.einsum("...n,...n->...", table_a[a], table_b[b])
                for table_a in cut_a.tables
                for table_b in cut_b.tables
            ],
            axis=-1,
        )

    def compute(
        self,
        a: npt.NDArray[np.unsignedinteger],
        b: npt.NDArray[np.unsignedinteger],
        a_scale: npt.NDArray[np.unsignedinteger],
        b_scale: npt.NDArray[np.unsignedinteger],
    ) -> npt.NDArray[np.float64]:
        """Return exact float64 terms whose sum over the last axis is the groups' V.

        Args:
            a: Checked element codes, shape (..., blocks, N); b likewise.
            b: See `a`.
            a_scale: Checked scale codes, shape (..., blocks); b_scale likewise.
            b_scale: See `a_scale`.

        Returns:
            Shape (..., terms). Infinities and NaN follow IEEE 754: they stand in the first term of their
            block alone.
        """
        scale = self._scales[0].values[a_scale] * self._scales[1].values[b_scale]
        sums = self._sums(a, b)
        if not all(np.isfinite(fmt.values).all() for fmt in self._elements):
            with np.errstate(invalid="ignore"):
                whole = np.einsum("...n,...n->...", self._elements[0].values[a], self._elements[1].values[b])
            sums[..., 0] = np.where(np.isfinite(whole), sums[..., 0], whole)
        with np.errstate(invalid="ignore"):
            # Adding zero turns -0, which a zero sum or a zero scale may leave, into +0.
            terms = sums * scale[..., np.newaxis] + 0.0
        return terms.reshape(*terms.shape[:-2], -1)
