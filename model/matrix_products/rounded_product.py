"""Units that are rounded once each, and then added: all accumulations but ``aligned`` and ``chain``."""

import math
from dataclasses import replace
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

from ..spec import DotSpec
from .operand import GATHERED, NARROW_COLUMNS, FoldedUnit, MatmulOperand
from .precision import DOUBLE_BITS, UnitPlan, block_bits, precision
from .product import MatrixProduct
from .tiling import COMPILED_TILING, Tiling, cut, whole_tiles

__all__ = ["CompiledProduct", "RoundedProduct"]

# Sums rounded at a time: the working arrays then stay inside a level-2 cache.
_CACHED: Final = 1 << 15


class RoundedProduct(MatrixProduct[list[FoldedUnit]]):
    """Units rounded once each, and added in binary32 where there are several: all but ``aligned``."""

    def __init__(
        self, spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
    ) -> None:
        super().__init__(spec, a, b, tiling)
        self.plan = _planned(spec, a, b)
        if spec.accumulate == "exact" and not self.plan.exact:
            # More arrays are worked with.
            self.tile = max(1, self.tile[0] // 2), max(1, self.tile[1] // 2)
        # What a unit computes on its own.
        self.alone = (
            spec
            if spec.accumulate == "exact"
            else replace(spec, accumulate="none", result="binary32", takes_c=False)
        )

    def _side(self, index: int, rows: slice) -> list[FoldedUnit]:
        return self._operand(index).units(rows, self.plan, transposed=bool(index))

    def _tile(
        self, a: list[FoldedUnit], b: list[FoldedUnit], rows: slice, columns: slice
    ) -> npt.NDArray[np.float32]:
        if self.plan.exact and self.plan.dtype == np.float32 and not self.special and self.c is None:
            return self._plain(a, b)
        accumulator = self._rounded(a[0], b[0], rows, columns, 0)
        # A BLAS may start a sum with its first product, which can be -0; IEEE addition keeps +0 from here on.
        with np.errstate(over="ignore", invalid="ignore"):
            if self.c is not None:
                accumulator += self.c[rows, columns]
            for k in range(1, len(a)):
                accumulator += self._rounded(a[k], b[k], rows, columns, k * self.plan.blocks)
        return accumulator

    def _plain(self, a: list[FoldedUnit], b: list[FoldedUnit]) -> npt.NDArray[np.float32]:
        """Return the sums in binary32 of units of which nothing is rounded; no -0 leaves a sum from +0."""
        accumulator = np.zeros((a[0].parts[0].shape[0], b[0].parts[0].shape[1]), np.float32)
        product = np.empty_like(accumulator)
        for of_a, of_b in zip(a, b, strict=True):
            for x, y in zip(of_a.parts, of_b.parts, strict=True):
                np.matmul(x, y, out=product)
                accumulator += product
        return accumulator

    def _rounded(
        self, a: FoldedUnit, b: FoldedUnit, rows: slice, columns: slice, first: int
    ) -> npt.NDArray[np.float32]:
        """Return the rounded unit that begins at block `first`."""
        total, *rest = (x @ y for x, y in zip(a.parts, b.parts, strict=True))
        for part in rest:
            total += part
        blocks = slice(first, first + self.plan.blocks)
        if a.norms is None or b.norms is None:
            result = np.empty(total.shape, np.float32)
            with np.errstate(over="ignore", under="ignore"):
                for part in cut(slice(0, len(total)), max(1, _CACHED // max(1, total.shape[1]))):
                    result[part] = np.add(total[part], 0.0, out=total[part])  # -0 becomes +0
        else:
            error = a.norms @ b.norms.T
            # Roundings: of the additions, of the norms and their product, and of two additions more. All of
            # them together are so few that the second power of what each may be off by does not count.
            roundings = a.parts[0].shape[1] + len(a.parts) + self.plan.blocks + self.a.block_size + 16
            error *= roundings * 2.0**-DOUBLE_BITS * (1 + 2.0**-20)
            result, doubtful = _round_between(total.astype(np.float64, copy=False), error)
            row, column = np.nonzero(doubtful)
            if row.size:
                result[row, column] = self._alone(row + rows.start, column + columns.start, blocks)
        if self.special:
            special = self._special(rows, columns, blocks)
            if special is not None:
                here = special != 0
                result[here] = special[here]
        return result

    def _alone(
        self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], blocks: slice
    ) -> npt.NDArray[np.float32]:
        """Return the rounded units of some rows of A with as many of B, one by one."""
        count = self.plan.blocks
        result = np.empty(len(rows), np.float32)
        step = max(1, GATHERED // (count * self.a.block_size))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            sides = ((self.a, rows[part]), (self.b, columns[part]))
            codes = [operand.codes[here, blocks] for operand, here in sides]
            scales = [operand.scales[here, blocks] for operand, here in sides]
            shape = (len(codes[0]), count // self.spec.blocks, self.spec.blocks)
            computed = self.alone.compute(
                *(array.reshape(*shape, -1) for array in codes), *(array.reshape(shape) for array in scales)
            )
            result[part] = computed.reshape(-1)
        return result


class CompiledProduct(MatrixProduct[npt.NDArray[np.float32]]):
    """Units that float32 holds, in compiled loops: ``fp32``, and ``exact`` where float64 holds their sum."""

    def __init__(self, product: RoundedProduct, compiled: ModuleType, tiling: Tiling | None = None) -> None:
        super().__init__(product.spec, product.a, product.b, tiling or COMPILED_TILING)
        self.compiled = compiled
        self.width = _short_unit(self.spec) * self.a.block_size
        self.dtype = np.dtype(np.float64 if self.spec.accumulate == "exact" else np.float32)
        self.kernel, self.tile = whole_tiles(compiled, self.dtype, self.tiling)

    @staticmethod
    def applies(product: RoundedProduct) -> bool:
        """Whether the loops give the same bits as this, and a BLAS would take longer."""
        spec, plan = product.spec, product.plan
        blocks = _short_unit(spec)
        if spec.accumulate == "exact":
            single = precision(spec, block_bits(spec)) == np.float32
            suits = plan.dtype == np.float64
        else:
            single, suits = plan.dtype == np.float32, spec.accumulates
        narrow = blocks * product.a.block_size <= NARROW_COLUMNS and blocks < product.a.blocks
        # The loops start at +0, which takes the sign from products that are -0.
        plain = not product.special and not spec.takes_c
        return plan.exact and single and suits and narrow and plain

    def _side(self, index: int, rows: slice) -> npt.NDArray[np.float32]:
        return self._operand(index).panels(rows, self.kernel[index], self.compiled)

    def _tile(
        self, a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], rows: slice, columns: slice
    ) -> npt.NDArray[np.float32]:
        # From +0, so that no sum is -0.
        total = np.zeros((len(a) * a.shape[2], len(b) * b.shape[2]), self.dtype)
        self.compiled.add_products(a, b, self.width, total)
        with np.errstate(over="ignore", under="ignore"):
            return total[: rows.stop - rows.start, : columns.stop - columns.start].astype(
                np.float32, copy=False
            )


def _planned(spec: DotSpec, a: MatmulOperand, b: MatmulOperand) -> UnitPlan:
    if spec.accumulate == "exact" or spec.blocks > 1:
        blocks = a.blocks if spec.accumulate == "exact" else spec.blocks
        # Sums of magnitudes against a quantum, both of the data at hand, as exponents of two.
        top = math.frexp(a.bound() * b.bound())[1]
        bits = top - int(a.quanta().min(initial=0)) - int(b.quanta().min(initial=0))
    else:
        blocks, bits = 1, block_bits(spec)
    dtype = precision(spec, bits)
    return UnitPlan(blocks, dtype or np.dtype(np.float64), exact=dtype is not None)


def _round_between(
    total: npt.NDArray[np.float64], error: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Round sums to binary32 that may be off by `error`.

    Returns:
        The rounded sums, and where they are in doubt; `error` is lost.
    """
    result, doubtful = np.empty(total.shape, np.float32), np.empty(total.shape, np.bool_)
    for part in cut(slice(0, len(total)), max(1, _CACHED // max(1, total.shape[1]))):
        with np.errstate(over="ignore", under="ignore"):
            low = np.subtract(total[part], error[part]).astype(np.float32)
            result[part] = np.add(total[part], error[part], out=error[part])
        # Bits, which tell -0 from +0.
        np.not_equal(low.view(np.int32), result[part].view(np.int32), out=doubtful[part])
    return result, doubtful


def _short_unit(spec: DotSpec) -> int:
    """Return the blocks of what compiled loops add exactly in float32."""
    return 1 if spec.accumulate == "exact" else spec.blocks
