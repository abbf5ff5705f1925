"""How the products of `matmul` are computed: by way of BLAS, compiled loops, or `DotSpec.compute`.

Scales are folded into the elements, which is exact; what is left is ordinary matrix products. A unit is what
is added exactly and rounded once: a group of blocks, or a whole row where the accumulation is ``exact``. Let
T be the sum of the magnitudes of a unit's products, and q a quantum of them all.

- A product of floating-point matrices is exact, in whatever order it adds and with or without fused
  additions, where ``T < 2**p * q`` with the precision p: every partial sum is an integer of at most p bits
  times q. For one block of most formats, p = 24 does; over many blocks p = 53 often does, as the scales at
  hand spread less than those of the format.
- Otherwise p = 53 still holds every product, at most 28 bits wide, and the sum of n of them is off by less
  than ``n * 2**-53 * T`` or so (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). Where
  both ends of that range round to one binary32 number, it is the result. The few others are computed once
  more, one by one.

T is bounded block by block: the sum of magnitudes of products of two blocks is at most the product of their
Euclidean norms, so that another product of matrices, a block size narrower, bounds all.

The rounded units are then added as the accumulation says. Tiles of the result are small enough for them and
what is added to them to stay in a cache.

A BLAS adds up one unit well where it is long. Where there are many short ones of which float32 holds every
partial sum, compiled loops take their place if they are there: they multiply as a BLAS does, and add every
unit to its accumulator on the way, in float32, or for ``exact`` in a float64 that holds the sum of all. For
``aligned`` they add the terms of a step in float64, cut off at the largest exponent.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from .accumulate.chain import chain_is_exact
from .aligned_sum import RESULTS, read_exponents, term_supports
from .fast.decoder import Decoder
from .fast.staircases import loops
from .fixed_point import canonical
from .formats import Format
from .spec import DotSpec
from .tensor import BlockTensor

__all__ = [
    "AlignedProduct",
    "CompiledAlignedProduct",
    "CompiledProduct",
    "ComputedProduct",
    "MatmulOperand",
    "MatrixProduct",
    "RoundedProduct",
    "Tiling",
    "finite_table",
    "product_of",
]

_Matrix = npt.NDArray[np.float32 | np.float64]
_Side = TypeVar("_Side")


@dataclass(frozen=True)
class Tiling:
    """How a product is cut up to be computed, which changes no bit of it.

    Attributes:
        rows: Rows of a tile of the result, at most.
        columns: Columns of one.
        folded: Elements of A kept decoded at a time, and as many of B.
    """

    rows: int
    columns: int
    folded: int = 1 << 22


_SINGLE_BITS: Final = 24
_DOUBLE_BITS: Final = 53
# Rows and columns of a tile of the result. A product of one block is cheap against the tile it is added to:
# both have to stay in a level-2 cache, and with blocks of 16 it is just small enough, at 10**6
# multiplications, for OpenBLAS not to copy the operands first. `exact` has few products, which BLAS does best
# at one go; `aligned` works with several arrays of float64.
_TILINGS: Final[dict[str, Tiling]] = {
    "none": Tiling(176, 352),
    "fp32": Tiling(176, 352),
    "exact": Tiling(1024, 1024),
    "aligned": Tiling(64, 512),
}
# For an accumulation that has no form of its own here.
_COMPUTED_TILING: Final = Tiling(64, 512)
# About as large where the loops are compiled, which keep accumulators in registers and read tiles seldom.
_COMPILED_TILING: Final = Tiling(210, 512)
# A row of the kernels' tiles is worked with in a level-1 cache, with all terms of a step.
_COMPILED_ALIGNED_TILING: Final = Tiling(210, 256)
# Multiplications that take about as long as what else is compiled does for one element.
_MULTIPLICATIONS: Final = 128
# Rows of registers in the kernels of a BLAS: a tile of another height leaves some of them empty.
_KERNEL: Final = 16
# Columns of an operand up to which BLAS is given it in the order it reads it in, which costs a copy.
_NARROW: Final = 256
# Columns that one product spans at most: more would widen what it may be off by.
_WIDE: Final = 2048
# Sums rounded at a time: the working arrays then stay inside a level-2 cache.
_CACHED: Final = 1 << 15
# Elements of each operand gathered at a time for results that are computed one by one.
_CHUNK: Final = 1 << 22


def _cut(whole: slice, step: int) -> Iterator[slice]:
    """Cut a slice into slices of at most `step`."""
    for start in range(whole.start, whole.stop, step):
        yield slice(start, min(start + step, whole.stop))


def _tiles(whole: slice, step: int, kernel: int) -> Iterator[slice]:
    """Cut a slice into slices of at most `step`, as even as kernels of a height or width like them."""
    length = whole.stop - whole.start
    even = -(-length // max(1, -(-length // step)))
    return _cut(whole, max(1, min(step, -(-even // kernel) * kernel)))


def finite_table(fmt: Format) -> npt.NDArray[np.float64]:
    """Return the value of each code of a format, 0 where it is NaN or infinite."""
    return np.where(np.isfinite(fmt.values), fmt.values, 0.0)


@dataclass(frozen=True)
class _Plan:
    """How the units of a product are computed.

    Attributes:
        blocks: Blocks of a unit.
        dtype: The precision its products are computed in.
        exact: Whether that precision holds every partial sum.
    """

    blocks: int
    dtype: np.dtype[np.float32 | np.float64]
    exact: bool


@dataclass(frozen=True)
class _Unit:
    """A unit's share of some rows of an operand, or of some columns of B transposed.

    Attributes:
        parts: Matrices that lie side by side, no wider than `_WIDE`.
        norms: Where the product is not exact: the Euclidean norm of each row's blocks, shape (rows, blocks).
    """

    parts: list[_Matrix]
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
        step = max(1, _CHUNK // max(1, self.blocks * self.block_size))
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

    def fold(self, rows: slice, blocks: slice, decoder: Decoder) -> _Matrix:
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

    def units(self, rows: slice, plan: _Plan, *, transposed: bool) -> list[_Unit]:
        """Return the units of some rows, as matrices of rows or transposed."""
        width = plan.blocks * self.block_size
        decoder = self.decoder(finite_table(self.element), plan.dtype)
        if width <= _NARROW and not transposed:
            matrices = list(self.fold_apart(rows, plan.blocks, decoder))
        else:
            whole = self.fold(rows, slice(None), decoder)
            if transposed:
                whole = np.ascontiguousarray(whole.T) if width <= _NARROW else whole.T
            matrices = [
                whole[columns] if transposed else whole[:, columns]
                for columns in _cut(slice(0, self.blocks * self.block_size), width)
            ]
        return [
            _Unit(
                [matrix]
                if width <= _WIDE
                else [
                    matrix[columns] if transposed else matrix[:, columns]
                    for columns in _cut(slice(0, width), _WIDE)
                ],
                None if plan.exact else self.norms(matrix.T if transposed else matrix),
            )
            for matrix in matrices
        ]

    def norms(self, rows: _Matrix) -> npt.NDArray[np.float64]:
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


def _precision(spec: DotSpec, bits: int) -> np.dtype[np.float32 | np.float64] | None:
    """Return a precision that holds integers of so many bits times a quantum; None if neither does."""
    # All binary32's normal numbers, so that no unit need have subnormals.
    inside = spec.quantum_exponent >= -126 and spec.quantum_exponent + spec.window_bits <= 127
    if bits <= _SINGLE_BITS and inside:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if bits <= _DOUBLE_BITS else None


def _block_bits(spec: DotSpec) -> int:
    """Return the bits of sums within one block, whose products share the two scales."""
    return (spec.largest_sum * spec.largest_scale_significand).bit_length()


def _plan(spec: DotSpec, a: MatmulOperand, b: MatmulOperand) -> _Plan:
    if spec.accumulate == "exact" or spec.blocks > 1:
        blocks = a.blocks if spec.accumulate == "exact" else spec.blocks
        # Sums of magnitudes against a quantum, both of the data at hand, as exponents of two.
        top = math.frexp(a.bound() * b.bound())[1]
        bits = top - int(a.quanta().min(initial=0)) - int(b.quanta().min(initial=0))
    else:
        blocks, bits = 1, _block_bits(spec)
    dtype = _precision(spec, bits)
    return _Plan(blocks, dtype or np.dtype(np.float64), exact=dtype is not None)


def _special(a: _Matrix, b: _Matrix) -> npt.NDArray[np.float64]:
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


def _round_between(
    total: npt.NDArray[np.float64], error: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Round sums to binary32 that may be off by `error`.

    Returns:
        The rounded sums, and where they are in doubt; `error` is lost.
    """
    result, doubtful = np.empty(total.shape, np.float32), np.empty(total.shape, np.bool_)
    for part in _cut(slice(0, len(total)), max(1, _CACHED // max(1, total.shape[1]))):
        with np.errstate(over="ignore", under="ignore"):
            low = np.subtract(total[part], error[part]).astype(np.float32)
            result[part] = np.add(total[part], error[part], out=error[part])
        # Bits, which tell -0 from +0.
        np.not_equal(low.view(np.int32), result[part].view(np.int32), out=doubtful[part])
    return result, doubtful


class MatrixProduct(Generic[_Side]):
    """The product of two operands."""

    def __init__(
        self, spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
    ) -> None:
        self.spec, self.a, self.b = spec, a, b
        self.special = a.has_infinity or b.has_infinity
        self.tiling = tiling or _TILINGS.get(spec.accumulate, _COMPUTED_TILING)
        self.tile = self.tiling.rows, self.tiling.columns
        self.kernel = _KERNEL, _KERNEL
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
            of_a = [(rows, self._side(0, rows)) for rows in _tiles(part_a, height, self.kernel[0])]
            for part_b in self._parts(self.b):
                of_b = [
                    (columns, self._side(1, columns)) for columns in _tiles(part_b, width, self.kernel[1])
                ]
                for (rows, a), (columns, b) in itertools.product(of_a, of_b):
                    result[rows, columns] = self._tile(a, b, rows, columns)
        result[self.a.nan_rows] = np.nan
        result[:, self.b.nan_rows] = np.nan
        return canonical(result)

    def _parts(self, operand: MatmulOperand) -> Iterator[slice]:
        return _cut(
            slice(0, operand.rows), max(1, self.tiling.folded // max(1, operand.blocks * operand.block_size))
        )

    def _operand(self, index: int) -> MatmulOperand:
        return self.b if index else self.a

    def _side(self, index: int, rows: slice) -> _Side:
        """Return some rows of an operand, of A or of B, as `_tile` takes them."""
        raise NotImplementedError

    def _tile(self, a: _Side, b: _Side, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
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


class RoundedProduct(MatrixProduct[list[_Unit]]):
    """Units rounded once each, and added in binary32 where there are several: all but ``aligned``."""

    def __init__(
        self, spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
    ) -> None:
        super().__init__(spec, a, b, tiling)
        self.plan = _plan(spec, a, b)
        if spec.accumulate == "exact" and not self.plan.exact:
            # More arrays are worked with.
            self.tile = max(1, self.tile[0] // 2), max(1, self.tile[1] // 2)
        # What a unit computes on its own.
        self.alone = (
            spec
            if spec.accumulate == "exact"
            else replace(spec, accumulate="none", result="binary32", takes_c=False)
        )

    def _side(self, index: int, rows: slice) -> list[_Unit]:
        return self._operand(index).units(rows, self.plan, transposed=bool(index))

    def _tile(self, a: list[_Unit], b: list[_Unit], rows: slice, columns: slice) -> npt.NDArray[np.float32]:
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

    def _plain(self, a: list[_Unit], b: list[_Unit]) -> npt.NDArray[np.float32]:
        """Return the sums in binary32 of units of which nothing is rounded; no -0 leaves a sum from +0."""
        accumulator = np.zeros((a[0].parts[0].shape[0], b[0].parts[0].shape[1]), np.float32)
        product = np.empty_like(accumulator)
        for of_a, of_b in zip(a, b, strict=True):
            for x, y in zip(of_a.parts, of_b.parts, strict=True):
                np.matmul(x, y, out=product)
                accumulator += product
        return accumulator

    def _rounded(
        self, a: _Unit, b: _Unit, rows: slice, columns: slice, first: int
    ) -> npt.NDArray[np.float32]:
        """Return the rounded unit that begins at block `first`."""
        total, *rest = (x @ y for x, y in zip(a.parts, b.parts, strict=True))
        for part in rest:
            total += part
        blocks = slice(first, first + self.plan.blocks)
        if a.norms is None or b.norms is None:
            result = np.empty(total.shape, np.float32)
            with np.errstate(over="ignore", under="ignore"):
                for part in _cut(slice(0, len(total)), max(1, _CACHED // max(1, total.shape[1]))):
                    result[part] = np.add(total[part], 0.0, out=total[part])  # -0 becomes +0
        else:
            error = a.norms @ b.norms.T
            # Roundings: of the additions, of the norms and their product, and of two additions more. All of
            # them together are so few that the second power of what each may be off by does not count.
            roundings = a.parts[0].shape[1] + len(a.parts) + self.plan.blocks + self.a.block_size + 16
            error *= roundings * 2.0**-_DOUBLE_BITS * (1 + 2.0**-20)
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
        step = max(1, _CHUNK // (count * self.a.block_size))
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


class CompiledProduct(MatrixProduct[npt.NDArray[np.float32]]):
    """Units that float32 holds, in compiled loops: ``fp32``, and ``exact`` where float64 holds their sum."""

    def __init__(self, product: RoundedProduct, compiled: ModuleType, tiling: Tiling | None = None) -> None:
        super().__init__(product.spec, product.a, product.b, tiling or _COMPILED_TILING)
        self.compiled = compiled
        self.width = _short_unit(self.spec) * self.a.block_size
        self.dtype = np.dtype(np.float64 if self.spec.accumulate == "exact" else np.float32)
        self.kernel, self.tile = _whole_tiles(compiled, self.dtype, self.tiling)

    @staticmethod
    def applies(product: RoundedProduct) -> bool:
        """Whether the loops give the same bits as this, and a BLAS would take longer."""
        spec, plan = product.spec, product.plan
        blocks = _short_unit(spec)
        if spec.accumulate == "exact":
            single = _precision(spec, _block_bits(spec)) == np.float32
            suits = plan.dtype == np.float64
        else:
            single, suits = plan.dtype == np.float32, spec.accumulates
        narrow = blocks * product.a.block_size <= _NARROW and blocks < product.a.blocks
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


def _whole_tiles(
    compiled: ModuleType, dtype: npt.DTypeLike, tiling: Tiling
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns of the kernels' tiles, and those of a tile of the result made of whole ones."""
    rows, columns = compiled.tile_shape(dtype)
    return (rows, columns), (max(1, tiling.rows // rows) * rows, max(1, tiling.columns // columns) * columns)


def _short_unit(spec: DotSpec) -> int:
    """Return the blocks of what compiled loops add exactly in float32."""
    return 1 if spec.accumulate == "exact" else spec.blocks


class AlignedProduct(MatrixProduct[list[_Unit]]):
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
        self.dtype = _precision(unit, _block_bits(unit)) or np.dtype(np.float64)

    def _side(self, index: int, rows: slice) -> list[_Unit]:
        operand = self._operand(index)
        pieces = []
        for table in self.spec.exact_terms.pieces[index].tables:
            folded = operand.fold_apart(rows, 1, operand.decoder(table, self.dtype))
            pieces.append(np.ascontiguousarray(folded.swapaxes(1, 2)) if index else folded)
        # The parts are here the pieces of a block, not its columns.
        return [_Unit([piece[k] for piece in pieces]) for k in range(operand.blocks)]

    def _tile(self, a: list[_Unit], b: list[_Unit], rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        total = self.spec.aligned_sum((rows.stop - rows.start, columns.stop - columns.start))
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
                whole, tail = self.spec.aligned_terms(products)
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
        super().__init__(product.spec, product.a, product.b, tiling or _COMPILED_ALIGNED_TILING)
        self.product, self.compiled = product, compiled
        self.kernel, self.tile = _whole_tiles(compiled, np.float32, self.tiling)

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
            and spec.aligned_sum(()).narrow
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


def product_of(
    spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
) -> "AlignedProduct | CompiledAlignedProduct | CompiledProduct | ComputedProduct | RoundedProduct":
    """Return what computes a product with the least time: all of them give the same bits.

    Args:
        spec: What a dot product computes.
        a: The left operand.
        b: The right one.
        tiling: How to cut up the work; None for what is fastest.
    """
    if spec.accumulate == "chain" and chain_is_exact(spec):
        spec = replace(spec, accumulate="fp32")
    # C may be far above or below all that `exact` adds to it.
    far = spec.takes_c and spec.accumulate == "exact"
    if spec.accumulate not in _TILINGS or spec.term_size == 1 or far or spec.rounds_to_odd:
        return ComputedProduct(spec, a, b, tiling)
    elements = a.rows * b.rows * a.blocks * a.block_size // _MULTIPLICATIONS
    if spec.accumulate == "aligned":
        aligned = AlignedProduct(spec, a, b, tiling)
        if CompiledAlignedProduct.applies(aligned) and (compiled := loops(elements)):
            return CompiledAlignedProduct(aligned, compiled, tiling)
        return aligned
    product = RoundedProduct(spec, a, b, tiling)
    if CompiledProduct.applies(product) and (compiled := loops(elements)):
        return CompiledProduct(product, compiled, tiling)
    return product
