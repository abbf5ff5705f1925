"""One of the two matrices of a product, its scales folded into its elements."""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

from ..fast.decoder import Decoder
from ..formats import Format
from ..tensor import BlockTensor
from .precision import UnitPlan
from .tiling import cut

__all__ = ["GATHERED", "NARROW_COLUMNS", "FoldedUnit", "MatmulOperand", "Matrix", "finite_table"]

Matrix = npt.NDArray[np.float32 | np.float64]

# Columns of an operand up to which BLAS is given it in the order it reads it in, which costs a copy.
NARROW_COLUMNS: Final = 256
# Columns that one product spans at most: more would widen what it may be off by.
WIDE: Final = 2048
# Elements of each operand gathered at a time for results that are computed one by one.
GATHERED: Final = 1 << 22


def finite_table(fmt: Format) -> npt.NDArray[np.float64]:
    """Return the value of each code of a format, 0 where it is NaN or infinite."""
    return np.where(np.isfinite(fmt.values), fmt.values, 0.0)


@dataclass(frozen=True)
class FoldedUnit:
    """A unit's share of some rows of an operand, or of some columns of B transposed.

    Attributes:
        parts: Matrices that lie side by side, no wider than `WIDE`.
        norms: Where the product is not exact: the Euclidean norm of each row's blocks, shape (rows, blocks).
    """

    parts: list[Matrix]
    norms: npt.NDArray[np.float64] | None = None


class MatmulOperand:
    """One of the two matrices, ready to be folded.

    Args:
        tensor: The matrix.
        unit_size: Elements under a scale of its own; a block of more is taken for several of equal scales.
    """

    def __init__(self, tensor: BlockTensor, unit_size: int) -> None:
        codes, scales = tensor.blocks()
        self.codes = codes.reshape(*codes.shape[:-2], tensor.shape[1] // unit_size, unit_size)
        self.scales = np.repeat(scales, tensor.block_size // unit_size, axis=1)
        self.element, self.scale = tensor.element_format, tensor.scale_format
        self.rows, self.blocks, self.block_size = self.codes.shape
        nan = np.isnan(self.scale.values)
        self.nan_rows = np.asarray(nan[self.scales].any(axis=1))
        self.has_infinity = False
        self._decoders: dict[object, Decoder] = {}
        if not np.isfinite(self.element.values).all():
            self._find_specials()

    def _find_specials(self) -> None:
        nan, infinite = np.isnan(self.element.values), np.isinf(self.element.values)
        step = max(1, GATHERED // max(1, self.blocks * self.block_size))
        for start in range(0, self.rows, step):
            part = slice(start, start + step)
            codes = self.codes[part]
            # Infinity times a zero scale is NaN as well.
            here = infinite[codes]
            lost = here & (self.scale.values[self.scales[part]] == 0)[..., np.newaxis]
            self.nan_rows[part] |= (nan[codes] | lost).any(axis=(1, 2))
            self.has_infinity |= bool(here.any())

    def decoder(self, table: npt.NDArray[np.float64], dtype: np.dtype[np.float32 | np.float64]) -> Decoder:
        """Return what folds the scales into elements that are worth what `table` says; NaN scales are 0."""
        key = table.tobytes(), dtype
        if key not in self._decoders:
            self._decoders[key] = Decoder(self.element, table, finite_table(self.scale), dtype)
        return self._decoders[key]

    def fold(self, rows: slice, blocks: slice, decoder: Decoder) -> Matrix:
        """Return the elements of some rows and blocks times their scales, as rows."""
        codes = np.ascontiguousarray(self.codes[rows, blocks])
        with np.errstate(invalid="ignore"):
            folded = decoder.decode(codes.reshape(-1, self.block_size), self.scales[rows, blocks].reshape(-1))
        return folded.reshape(len(codes), -1)

    def fold_apart(self, rows: slice, count: int, decoder: Decoder) -> npt.NDArray[np.floating]:
        """Return the same of all blocks as one contiguous matrix for each `count` blocks."""
        size = count * self.block_size
        codes = self.codes[rows].reshape(-1, self.blocks // count, size).swapaxes(0, 1)
        scales = self.scales[rows].reshape(-1, self.blocks // count, count).swapaxes(0, 1)
        folded = decoder.decode(
            np.ascontiguousarray(codes).reshape(-1, self.block_size), np.ascontiguousarray(scales).reshape(-1)
        )
        return folded.reshape(*codes.shape)

    def panels(self, rows: slice, height: int, compiled: ModuleType) -> npt.NDArray[np.float32]:
        """Return the same in float32 in panels of so many rows: see `compiled.pack_panels`."""
        count = -(-(rows.stop - rows.start) // height)
        panels = np.empty((count, self.blocks * self.block_size, height), np.float32)
        tables = (finite_table(fmt).astype(np.float32) for fmt in (self.element, self.scale))
        compiled.pack_panels(self.codes[rows], self.scales[rows], *tables, panels)
        return panels

    def units(self, rows: slice, plan: UnitPlan, *, transposed: bool) -> list[FoldedUnit]:
        """Return the units of some rows, as matrices of rows or transposed."""
        width = plan.blocks * self.block_size
        decoder = self.decoder(finite_table(self.element), plan.dtype)
        if width <= NARROW_COLUMNS and not transposed:
            matrices = list(self.fold_apart(rows, plan.blocks, decoder))
        else:
            whole = self.fold(rows, slice(None), decoder)
            if transposed:
                whole = np.ascontiguousarray(whole.T) if width <= NARROW_COLUMNS else whole.T
            matrices = [
                whole[columns] if transposed else whole[:, columns]
                for columns in cut(slice(0, self.blocks * self.block_size), width)
            ]
        return [
            FoldedUnit(
                [matrix]
                if width <= WIDE
                else [
                    matrix[columns] if transposed else matrix[:, columns]
                    for columns in cut(slice(0, width), WIDE)
                ],
                None if plan.exact else self.norms(matrix.T if transposed else matrix),
            )
            for matrix in matrices
        ]

    def norms(self, rows: Matrix) -> npt.NDArray[np.float64]:
        """Return the Euclidean norm of each block of some rows, shape (rows, blocks)."""
        blocks = rows.reshape(len(rows), -1, self.block_size)
        return np.sqrt(np.einsum("rkn,rkn->rk", blocks, blocks, dtype=np.float64))

    def quanta(self) -> npt.NDArray[np.int64]:
        """Return for each row the exponent of a power of two that all its folded values are multiples of."""
        codes = np.arange(1 << self.scale.bits)
        significands, exponents = self.scale.split(codes)
        # The lowest set bit of a significand stands for the zeros below it. A zero is a multiple of anything.
        trailing = np.frexp((significands & -significands).astype(np.float64))[1] - 1
        useful = np.isfinite(self.scale.values) & (self.scale.values > 0)
        lowest = np.where(useful, exponents + trailing, np.iinfo(np.int32).max)
        return lowest[self.scales].min(axis=1, initial=np.iinfo(np.int32).max) + self.element.quantum_exponent

    def bound(self) -> float:
        """Return a bound of the Euclidean norm of every row, by its scales alone."""
        scales = finite_table(self.scale)[self.scales]
        elements = float(np.abs(finite_table(self.element)).max())
        energy = np.einsum("rk,rk->r", scales, scales).max(initial=0.0) * self.block_size
        return elements * math.sqrt(energy) * (1 + 2.0**-20)
