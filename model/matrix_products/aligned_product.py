"""Terms that are added at the largest exponent of a step, and cut off: ``aligned``."""

import itertools
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import numpy.typing as npt

from ..accumulate.aligned import aligned_sum
from ..aligned_sum import RESULTS, read_exponents, term_supports, whole_and_tail
from ..spec import DotSpec
from .operand import FoldedUnit, MatmulOperand
from .precision import block_bits, precision
from .product import MatrixProduct
from .tiling import COMPILED_ALIGNED_TILING, Tiling, whole_tiles

__all__ = ["AlignedProduct", "CompiledAlignedProduct"]


class AlignedProduct(MatrixProduct[list[FoldedUnit]]):
    """Groups at one exponent each, cut off: ``aligned``."""

    def __init__(
        self, spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
    ) -> None:
        super().__init__(spec, a, b, tiling)
        self.group_blocks = spec.blocks * (spec.block_size // a.block_size)
        # One block a row.
        self.exponents = [
            np.ascontiguousarray(read_exponents(operand.scale)[operand.scales.T]) for operand in (a, b)
        ]
        self.supports = [
            np.ascontiguousarray(
                term_supports(operand.element, operand.scale, operand.codes, operand.scales).T
            )
            for operand in (a, b)
        ]
        unit = replace(spec, block_size=spec.unit_size)
        self.dtype = precision(unit, block_bits(unit)) or np.dtype(np.float64)

    def _side(self, index: int, rows: slice) -> list[FoldedUnit]:
        operand = self._operand(index)
        pieces = []
        for table in self.spec.exact_terms.pieces[index].tables:
            folded = operand.fold_apart(rows, 1, operand.decoder(table, self.dtype))
            pieces.append(np.ascontiguousarray(folded.swapaxes(1, 2)) if index else folded)
        # The parts are here the pieces of a block, not its columns.
        return [FoldedUnit([piece[k] for piece in pieces]) for k in range(operand.blocks)]

    def _tile(
        self, a: list[FoldedUnit], b: list[FoldedUnit], rows: slice, columns: slice
    ) -> npt.NDArray[np.float32]:
        total = aligned_sum(self.spec, (rows.stop - rows.start, columns.stop - columns.start))
        if self.c is not None:
            total.start(self.c[rows, columns])
        for start in range(0, len(a), self.group_blocks):
            blocks = range(start, start + self.group_blocks)
            largest = self._exponent(rows, columns, start)
            for k in blocks[1:]:
                np.maximum(largest, self._exponent(rows, columns, k), out=largest)
            terms, tails = [], []
            for k in blocks:
                products = [x @ y for x, y in itertools.product(a[k].parts, b[k].parts)]
                whole, tail = whole_and_tail(products)
                terms.append(whole)
                tails += [] if tail is None else [tail]
            if self.special:
                special = self._special(rows, columns, slice(start, start + self.group_blocks))
                if special is not None:
                    terms.append(special)
                    tails += [np.zeros_like(special)] if tails else []
            total.add(terms, largest, tails)
        return total.result()

    def _exponent(self, rows: slice, columns: slice, block: int) -> npt.NDArray[np.int16]:
        """Return the exponent that each term of a block reads as."""
        read = self.exponents[0][block, rows, np.newaxis] + self.exponents[1][block, columns]
        common = self.supports[0][block, rows, np.newaxis] & self.supports[1][block, columns]
        np.putmask(read, common == 0, self.spec.zero_exponent)
        return read


@dataclass(frozen=True)
class _AlignedSide:
    """Some rows of an operand.

    Attributes:
        panels: Of their values: see `kernels.pack_panels`.
        exponents: What their scales read as, shape (blocks, rows of all panels).
        supports: Which elements of a block are not zero, of the same shape.
    """

    panels: npt.NDArray[np.float32]
    exponents: npt.NDArray[np.int16]
    supports: npt.NDArray[np.uint16]


class CompiledAlignedProduct(MatrixProduct[_AlignedSide]):
    """The same in compiled loops, of terms that float32 holds and of sums that never are subnormal."""

    def __init__(self, product: AlignedProduct, compiled: ModuleType, tiling: Tiling | None = None) -> None:
        super().__init__(product.spec, product.a, product.b, tiling or COMPILED_ALIGNED_TILING)
        self.product, self.compiled = product, compiled
        self.kernel, self.tile = whole_tiles(compiled, np.float32, self.tiling)

    @staticmethod
    def applies(product: AlignedProduct) -> bool:
        """Whether the loops give the same bits as this."""
        spec = product.spec
        least = sum(fmt.least_exponent for fmt in spec.scales)
        return (
            product.dtype == np.float32
            and spec.sum_format is RESULTS["binary32"]
            and not spec.takes_c
            and least - 2 * spec.fraction >= -126
            and aligned_sum(spec, ()).narrow
            and not product.special
        )

    def _side(self, index: int, rows: slice) -> _AlignedSide:
        panels = self._operand(index).panels(rows, self.kernel[index], self.compiled)
        empty = ((0, 0), (0, len(panels) * panels.shape[2] - (rows.stop - rows.start)))
        exponents = np.pad(self.product.exponents[index][:, rows], empty)
        return _AlignedSide(panels, exponents, np.pad(self.product.supports[index][:, rows], empty))

    def _tile(self, a: _AlignedSide, b: _AlignedSide, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        total = np.zeros((a.exponents.shape[1], b.exponents.shape[1]), np.float32)
        with np.errstate(over="ignore"):
            self.compiled.add_aligned(
                a.panels,
                b.panels,
                self.a.block_size,
                self.product.group_blocks,
                a.exponents,
                b.exponents,
                a.supports,
                b.supports,
                self.spec.fraction,
                self.spec.zero_exponent,
                total,
            )
        return total[: rows.stop - rows.start, : columns.stop - columns.start]
