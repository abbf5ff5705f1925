"""The product of two operands, tile by tile, and the way that any accumulation can be computed."""

import itertools
from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ..fixed_point import canonical
from ..spec import DotSpec
from .operand import MatmulOperand, Matrix
from .tiling import COMPUTED_TILING, KERNEL, TILINGS, Tiling, cut, tiles

__all__ = ["ComputedProduct", "MatrixProduct"]

Side = TypeVar("Side")


class MatrixProduct(Generic[Side]):
    """The product of two operands."""

    def __init__(
        self, spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
    ) -> None:
        self.spec, self.a, self.b = spec, a, b
        self.special = a.has_infinity or b.has_infinity
        self.tiling = tiling or TILINGS.get(spec.accumulate, COMPUTED_TILING)
        self.tile = self.tiling.rows, self.tiling.columns
        self.kernel = KERNEL, KERNEL
        self.c: npt.NDArray[np.float32] | None = None

    def run(self, c: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float32]:
        """Return the accumulated results, shape (rows of a, rows of b).

        Args:
            c: What they start at, of the same shape; None unless the specification takes it.
        """
        self.c = c
        result = np.empty((self.a.rows, self.b.rows), np.float32)
        height, width = self.tile
        for part_a in self._parts(self.a):
            of_a = [(rows, self._side(0, rows)) for rows in tiles(part_a, height, self.kernel[0])]
            for part_b in self._parts(self.b):
                of_b = [(columns, self._side(1, columns)) for columns in tiles(part_b, width, self.kernel[1])]
                for (rows, a), (columns, b) in itertools.product(of_a, of_b):
                    result[rows, columns] = self._tile(a, b, rows, columns)
        result[self.a.nan_rows] = np.nan
        result[:, self.b.nan_rows] = np.nan
        return canonical(result)

    def _parts(self, operand: MatmulOperand) -> Iterator[slice]:
        return cut(
            slice(0, operand.rows), max(1, self.tiling.folded // max(1, operand.blocks * operand.block_size))
        )

    def _operand(self, index: int) -> MatmulOperand:
        return self.b if index else self.a

    def _side(self, index: int, rows: slice) -> Side:
        """Return some rows of an operand, of A or of B, as `_tile` takes them."""
        raise NotImplementedError

    def _tile(self, a: Side, b: Side, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        """Return a tile of the result, of these rows of A and of B."""
        raise NotImplementedError

    def _special(self, rows: slice, columns: slice, blocks: slice) -> npt.NDArray[np.float64] | None:
        """Return what infinities in some blocks make of the results, and 0 elsewhere; None for nothing."""
        values = [
            operand.fold(part, blocks, operand.decoder(operand.element.values, np.dtype(np.float64)))
            for operand, part in ((self.a, rows), (self.b, columns))
        ]
        if not any(np.isinf(value).any() for value in values):
            return None
        return _special(*(np.where(np.isnan(value), 0.0, value) for value in values))


class ComputedProduct(MatrixProduct[slice]):
    """Any accumulation, as `DotSpec.compute` has it: one row of A after the other."""

    def _side(self, index: int, rows: slice) -> slice:
        del index
        return rows

    def _tile(self, a: slice, b: slice, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        del rows, columns  # which a and b are
        spec, count = self.spec, b.stop - b.start
        shape = (count, self.a.blocks // spec.blocks, spec.blocks)
        result = np.empty((a.stop - a.start, count), np.float32)
        codes = self.b.codes[b].reshape(*shape, -1)
        scales = self.b.scales[b].reshape(shape)
        for k, row in enumerate(range(a.start, a.stop)):
            of_a = np.broadcast_to(self.a.codes[row].reshape(*shape[1:], -1), codes.shape)
            a_scale = np.broadcast_to(self.a.scales[row].reshape(shape[1:]), shape)
            c = None if self.c is None else self.c[row, b]
            result[k] = spec.compute(of_a, codes, *((a_scale, scales) if spec.has_scales else ()), c=c)
        return result


def _special(a: Matrix, b: Matrix) -> npt.NDArray[np.float64]:
    """Return what infinities make of the dot products of rows: +-Inf, NaN, or 0 for nothing.

    Counted in exact products of small integers, because a BLAS may skip what a zero multiplies.
    """
    inf_a, inf_b = np.isinf(a), np.isinf(b)
    sign_a, sign_b = np.sign(a).astype(np.float64), np.sign(b).astype(np.float64)
    only_a, only_b = np.where(inf_a, sign_a, 0.0), np.where(inf_b, sign_b, 0.0)
    rest_a = sign_a - only_a
    signed = only_a @ sign_b.T + rest_a @ only_b.T
    count = np.abs(only_a) @ np.abs(sign_b).T + np.abs(rest_a) @ np.abs(only_b).T
    undefined = (
        np.abs(only_a) @ (b == 0).T.astype(np.float64) + (a == 0).astype(np.float64) @ np.abs(only_b).T
    )
    result = np.where(count > 0, np.copysign(np.inf, signed), 0.0)
    result[(undefined > 0) | (np.abs(signed) != count)] = np.nan
    return result
