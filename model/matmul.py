"""Products of block-scaled matrices, with the bits of a specification, by way of BLAS.

Scales are folded into the elements, which is exact; what is left is ordinary matrix products. A product
of floating-point matrices is exact, in whatever order it adds and with or without fused additions, if
every product and every partial sum is an integer of at most p bits times one quantum, where p is the
precision. Two facts make that so here:

- Within one block all products share the two scales, so their quantum is that of the block (`_by_block`).
- Over several blocks the scales differ, but their spread in the data at hand may still fit, if
  need be after the operands are cut into ranges of magnitude (`_by_window`).

The exact products are then rounded and added as the accumulation says. Tiles of the result are small enough
for them and what is added to them to stay in a cache.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from .aligned import scale_exponents
from .decode import Decoder
from .dot import Accumulate, DotSpec
from .exact import FixedPointSum, canonical, round_sum
from .formats import Format
from .tensor import BlockTensor

__all__ = ["matmul"]

_Float = np.dtype[np.float32 | np.float64]
_Matrix = npt.NDArray[np.float32 | np.float64]

# Rows and columns of a tile of the result. A product of one block is cheap against the tile it is added to:
# both have to stay in a level-2 cache. `exact` has few products, which BLAS does best at one go; `aligned`
# works with several arrays of float64.
_TILES: Final[dict[Accumulate, tuple[int, int]]] = {
    "none": (128, 256),
    "fp32": (128, 256),
    "exact": (1024, 1024),
    "aligned": (64, 512),
}
# Columns of an operand up to which BLAS is given it transposed already, which costs a copy.
_NARROW_UNIT: Final = 256
# Values cut at a time: they stay inside a level-2 cache.
_CHUNK: Final = 1 << 15
# Elements of A kept folded at a time, and as many of B.
_FOLDED: Final = 1 << 22
# Terms gathered before a fixed-point sum takes them, and the most that are summed without one.
_FEW_TERMS: Final = 8
# What adding one more exact term to a result costs, in multiplications and additions of a double product.
_TERM_COST: Final = 300


@dataclass(frozen=True)
class _Cut:
    """How one operand becomes matrices whose sum is the operand, each narrow enough.

    Attributes:
        tables: Element values by code, one table for each matrix, cut before the scale is folded in.
        edges: Exponents of the magnitudes at which the folded values are cut into matrices; empty for no cut.
    """

    tables: npt.NDArray[np.float64]
    edges: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many matrices there are."""
        return len(self.tables) * max(1, len(self.edges) - 1)


@dataclass(frozen=True)
class _Plan:
    """Which matrix products give every term exactly.

    Attributes:
        unit_blocks: Blocks that one product spans; the last of a row may span fewer.
        dtype: The precision the products are exact in.
        cuts: The cuts of A and of B.
    """

    unit_blocks: int
    dtype: _Float
    cuts: tuple[_Cut, _Cut]

    @property
    def pairs(self) -> int:
        """How many products a unit takes."""
        return self.cuts[0].count * self.cuts[1].count

    def terms(self, blocks: int) -> int:
        """Return how many exact terms `blocks` blocks of a row give."""
        return self.pairs * math.ceil(blocks / self.unit_blocks)

    def cost(self, blocks: int, block_size: int) -> float:
        """Estimate the time for `blocks` blocks of a row, in double multiplications and additions."""
        work = blocks * block_size * (0.5 if self.dtype == np.float32 else 1.0)
        return self.pairs * work + _TERM_COST * self.terms(blocks)


def _cut(whole: slice, step: int) -> Iterator[slice]:
    """Cut a slice into slices of at most `step`."""
    for start in range(whole.start, whole.stop, step):
        yield slice(start, min(start + step, whole.stop))


def _by_magnitude(whole: _Matrix, edges: tuple[int, ...]) -> list[_Matrix]:
    """Cut a matrix into matrices of the values between neighbouring edges; it is their sum."""
    pieces = [np.empty_like(whole) for _ in edges[1:]]
    for rows in _cut(slice(0, len(whole)), max(1, _CHUNK // max(1, whole.shape[1]))):
        magnitude = np.abs(whole[rows])
        for piece, (bottom, top) in zip(pieces, itertools.pairwise(edges), strict=True):
            np.multiply(whole[rows], (magnitude >= 2.0**bottom) & (magnitude < 2.0**top), out=piece[rows])
    return pieces


class _Operand:
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
        if not np.isfinite(self.element.values).all():
            self._find_specials()

    def _find_specials(self) -> None:
        nan, infinite = np.isnan(self.element.values), np.isinf(self.element.values)
        step = max(1, _FOLDED // max(1, self.blocks * self.block_size))
        for start in range(0, self.rows, step):
            part = slice(start, start + step)
            codes = self.codes[part]
            # Infinity times a zero scale is NaN as well.
            here = infinite[codes]
            lost = here & (self.scale.values[self.scales[part]] == 0)[..., np.newaxis]
            self.nan_rows[part] |= (nan[codes] | lost).any(axis=(1, 2))
            self.has_infinity |= bool(here.any())

    def decoder(self, table: npt.NDArray[np.float64], dtype: _Float) -> Decoder:
        """Return what folds the scales into elements that are worth what `table` says; NaN scales are 0."""
        factors = np.where(np.isnan(self.scale.values), 0.0, self.scale.values)
        return Decoder(self.element, table, factors, dtype)

    def fold(self, part: slice, blocks: slice, decoder: Decoder) -> _Matrix:
        """Return the elements of some rows and blocks times their scales, as rows."""
        codes = np.ascontiguousarray(self.codes[part, blocks])
        with np.errstate(invalid="ignore"):
            folded = decoder.decode(codes.reshape(-1, self.block_size), self.scales[part, blocks].reshape(-1))
        return folded.reshape(len(codes), -1)

    def matrices(self, part: slice, plan: _Plan, cut: _Cut) -> list[list[_Matrix]]:
        """Return the matrices of each unit of blocks, for some rows."""
        units = []
        decoders = [self.decoder(table, plan.dtype) for table in cut.tables]
        for blocks in _cut(slice(0, self.blocks), plan.unit_blocks):
            folded = [self.fold(part, blocks, decoder) for decoder in decoders]
            if cut.edges:
                folded = _by_magnitude(folded[0], cut.edges)
            units.append(folded)
        return units

    def transposed(self, part: slice, plan: _Plan, cut: _Cut) -> list[list[_Matrix]]:
        """Return those matrices transposed."""
        return [
            [
                np.ascontiguousarray(matrix.T) if matrix.shape[1] <= _NARROW_UNIT else matrix.T
                for matrix in unit
            ]
            for unit in self.matrices(part, plan, cut)
        ]

    def span(self) -> tuple[int, int, Fraction]:
        """Return what bounds the folded values in the data.

        Returns:
            The exponent of a quantum they are multiples of, the exponent below which their magnitudes stay,
            and the bound of their magnitude.
        """
        present = np.zeros(len(self.scale.values), np.bool_)
        present[self.scales.reshape(-1)] = True
        codes = np.flatnonzero(present & np.isfinite(self.scale.values) & (self.scale.values > 0))
        if not codes.size:
            return 0, 0, Fraction(0)
        significands, exponents = self.scale.split(codes.astype(self.scale.dtype))
        # The lowest set bit of a significand stands for the zeros below it.
        trailing = np.frexp((significands & -significands).astype(np.float64))[1] - 1
        low = int((exponents + trailing).min()) + self.element.quantum_exponent
        largest = Fraction(float(self.scale.values[codes].max())) * _largest(self.element)
        return low, math.frexp(float(largest))[1], largest

    def cuts(self, count: int) -> Iterator[tuple[_Cut, Fraction]]:
        """Yield the cuts into 1 to `count` ranges of magnitude, and the widest range's integer bound."""
        low, high, largest = self.span()
        table = _finite(self.element)[np.newaxis]
        yield _Cut(table), largest / Fraction(2) ** low
        significand_bits = self.element.significand_bits + self.scale.significand_bits
        for ranges in range(2, count + 1):
            edges = tuple(int(edge) for edge in np.linspace(low, high, ranges + 1).round())
            if len(set(edges)) < len(edges):
                return
            widest = max(
                Fraction(2) ** (top - max(low, bottom - significand_bits + 1))
                for bottom, top in itertools.pairwise(edges)
            )
            yield _Cut(table, edges), widest


def _finite(fmt: Format) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(fmt.values), fmt.values, 0.0)


def _largest(fmt: Format) -> Fraction:
    return Fraction(float(np.abs(_finite(fmt)).max()))


def _by_block(spec: DotSpec) -> _Plan:
    """Return the plan of one product for each block, which any data allow."""
    a, b = spec.pieces
    narrow = (
        a.tables.shape[0] == b.tables.shape[0] == 1
        and spec.largest_sum * spec.largest_scale_significand <= 1 << 24
        # All inside binary32's normal numbers, so that no unit need have subnormals.
        and spec.quantum_exponent >= -126
        and spec.quantum_exponent + spec.window_bits <= 127
    )
    return _Plan(1, np.dtype(np.float32 if narrow else np.float64), (_Cut(a.tables), _Cut(b.tables)))


def _by_window(spec: DotSpec, a: _Operand, b: _Operand) -> Iterator[_Plan]:
    """Yield plans of products over several blocks, as far as these data allow."""
    for (cut_a, bound_a), (cut_b, bound_b) in itertools.product(a.cuts(4), b.cuts(4)):
        bound = bound_a * bound_b
        longest = int((1 << 53) / bound) if bound else a.blocks * a.block_size
        unit = min(longest // a.block_size, a.blocks)
        if spec.accumulate != "exact":
            unit = spec.blocks if unit >= spec.blocks else 0
        if unit:
            yield _Plan(unit, np.dtype(np.float64), (cut_a, cut_b))


def _plan(spec: DotSpec, a: _Operand, b: _Operand) -> _Plan:
    plans = [_by_block(spec)]
    if spec.accumulate == "aligned":
        return plans[0]  # terms are cut one by one
    if spec.accumulate == "exact" or spec.blocks > 1:
        plans.extend(_by_window(spec, a, b))
    return min(plans, key=lambda plan: plan.cost(a.blocks, a.block_size))


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


class _Product:
    """The product of two operands under one plan."""

    def __init__(self, spec: DotSpec, a: _Operand, b: _Operand) -> None:
        self.spec, self.a, self.b = spec, a, b
        self.plan = _plan(spec, a, b)
        self.special = a.has_infinity or b.has_infinity
        self.group_blocks = spec.blocks * (spec.block_size // a.block_size)
        if spec.accumulate == "aligned":
            # One block a row.
            self.exponents = [scale_exponents(operand.scale)[operand.scales.T] for operand in (a, b)]

    def run(self) -> npt.NDArray[np.float32]:
        """Return the accumulated results, shape (rows of a, rows of b)."""
        result = np.empty((self.a.rows, self.b.rows), np.float32)
        height, width = _TILES[self.spec.accumulate]
        if self.spec.accumulate == "exact" and self.plan.terms(self.a.blocks) > _FEW_TERMS:
            height, width = (
                max(1, height // 4),
                max(1, width // 4),
            )  # every limb of a fixed-point sum is one more array
        for part_a in self._parts(self.a):
            a = self.a.matrices(part_a, self.plan, self.plan.cuts[0])
            for part_b in self._parts(self.b):
                b = self.b.transposed(part_b, self.plan, self.plan.cuts[1])
                for rows, columns in itertools.product(_cut(part_a, height), _cut(part_b, width)):
                    inside_a = slice(rows.start - part_a.start, rows.stop - part_a.start)
                    inside_b = slice(columns.start - part_b.start, columns.stop - part_b.start)
                    result[rows, columns] = self._tile(
                        [[matrix[inside_a] for matrix in unit] for unit in a],
                        [[matrix[:, inside_b] for matrix in unit] for unit in b],
                        rows,
                        columns,
                    )
        result[self.a.nan_rows] = np.nan
        result[:, self.b.nan_rows] = np.nan
        return canonical(result)

    def _parts(self, operand: _Operand) -> Iterator[slice]:
        return _cut(slice(0, operand.rows), max(1, _FOLDED // max(1, operand.blocks * operand.block_size)))

    def _tile(
        self, a: list[list[_Matrix]], b: list[list[_Matrix]], rows: slice, columns: slice
    ) -> npt.NDArray[np.float32]:
        if self.spec.accumulate == "exact":
            return self._exact(a, b, rows, columns)
        if self.spec.accumulate == "aligned":
            return self._aligned(a, b, rows, columns)
        if self.group_blocks == 1 and self.plan.dtype == np.float32 and not self.special:
            return self._plain(a, b)
        units = self.group_blocks // self.plan.unit_blocks
        groups = range(0, len(a), units)
        accumulator = self._rounded(a, b, rows, columns, 0)
        # A BLAS may start a sum with its first product, which can be -0; IEEE addition keeps +0 from here on.
        with np.errstate(over="ignore", invalid="ignore"):
            for g in groups[1:]:
                accumulator += self._rounded(a, b, rows, columns, g)
        return accumulator

    def _plain(self, a: list[list[_Matrix]], b: list[list[_Matrix]]) -> npt.NDArray[np.float32]:
        """Return the sums in binary32 of blocks of which nothing is rounded; no -0 leaves a sum from +0."""
        accumulator = np.zeros((a[0][0].shape[0], b[0][0].shape[1]), np.float32)
        product = np.empty_like(accumulator)
        for (of_a,), (of_b,) in zip(a, b, strict=True):
            np.matmul(of_a, of_b, out=product)
            accumulator += product
        return accumulator

    def _terms(self, a: Sequence[list[_Matrix]], b: Sequence[list[_Matrix]]) -> Iterator[_Matrix]:
        for unit_a, unit_b in zip(a, b, strict=True):
            for one, other in itertools.product(unit_a, unit_b):
                yield one @ other

    def _aligned(
        self, a: list[list[_Matrix]], b: list[list[_Matrix]], rows: slice, columns: slice
    ) -> npt.NDArray[np.float32]:
        """Return the sums of groups at one exponent each, cut off."""
        total = self.spec.aligned_sum((rows.stop - rows.start, columns.stop - columns.start))
        of_a, of_b = self.exponents[0][:, rows, np.newaxis], self.exponents[1][:, columns]
        for start in range(0, len(a), self.group_blocks):
            blocks = range(start, start + self.group_blocks)
            largest = of_a[start] + of_b[start]
            for k in blocks[1:]:
                np.maximum(largest, of_a[k] + of_b[k], out=largest)
            terms, tails = [], []
            for k in blocks:
                whole, tail = self.spec.aligned_terms(list(self._terms(a[k : k + 1], b[k : k + 1])))
                terms.append(whole)
                tails += [] if tail is None else [tail]
            if self.special:
                special = self._special(rows, columns, slice(start, start + self.group_blocks))
                if special is not None:
                    terms.append(special)
                    tails += [np.zeros_like(special)] if tails else []
            total.add(terms, largest, tails)
        return total.result()

    def _rounded(
        self, a: list[list[_Matrix]], b: list[list[_Matrix]], rows: slice, columns: slice, first: int
    ) -> npt.NDArray[np.float32]:
        """Return the rounded group that begins at unit `first`."""
        units = slice(first, first + self.group_blocks // self.plan.unit_blocks)
        terms = list(self._terms(a[units], b[units]))
        if len(terms) == 1:
            with np.errstate(over="ignore", under="ignore"):
                result = (terms[0] + 0).astype(np.float32, copy=False)
        else:
            result = self.spec.round_terms([term.astype(np.float64, copy=False) for term in terms])
        if self.special:
            start = first * self.plan.unit_blocks
            self._put_special(result, rows, columns, slice(start, start + self.group_blocks))
        return result

    def _special(self, rows: slice, columns: slice, blocks: slice) -> npt.NDArray[np.float64] | None:
        """Return what infinities in some blocks make of the results, and 0 elsewhere; None for nothing."""
        values = [
            operand.fold(part, blocks, operand.decoder(operand.element.values, np.dtype(np.float64)))
            for operand, part in ((self.a, rows), (self.b, columns))
        ]
        if not any(np.isinf(value).any() for value in values):
            return None
        return _special(*(np.where(np.isnan(value), 0.0, value) for value in values))

    def _put_special(
        self, result: npt.NDArray[np.float32], rows: slice, columns: slice, blocks: slice
    ) -> None:
        special = self._special(rows, columns, blocks)
        if special is not None:
            here = special != 0
            result[here] = special[here]

    def _exact(
        self, a: list[list[_Matrix]], b: list[list[_Matrix]], rows: slice, columns: slice
    ) -> npt.NDArray[np.float32]:
        """Return the exact sums of all units, rounded once."""
        spec = self.spec
        terms = (term.astype(np.float64, copy=False) for term in self._terms(a, b))
        first = list(itertools.islice(terms, _FEW_TERMS + 1))
        if len(first) == 1:
            (total,) = first
            total += 0.0  # -0 becomes +0
            with np.errstate(over="ignore", under="ignore"):
                result = total.astype(np.float32)
        elif len(first) <= _FEW_TERMS:
            result = round_sum(first, quantum_exponent=spec.quantum_exponent, bits=spec.accumulator_bits)
        else:
            total = FixedPointSum(
                first[0].shape, quantum_exponent=spec.quantum_exponent, bits=spec.accumulator_bits
            )
            while first:
                total.add(np.stack(first, axis=-1))
                first = list(itertools.islice(terms, _FEW_TERMS))
            result = total.to_binary32()
        if self.special:
            self._put_special(result, rows, columns, slice(None))
        return result


def _operand(spec: DotSpec, tensor: object, index: int) -> _Operand:
    name = "AB"[index]
    if not isinstance(tensor, BlockTensor):
        raise TypeError(f"{name} must be a BlockTensor, not {type(tensor).__name__}")
    if len(tensor.shape) != 2:
        raise ValueError(f"{name} must have 2 axes, not shape {tensor.shape}")
    if tensor.axis % 2 != 1:
        raise ValueError(f"{name} must be blocked along its last axis, not along axis {tensor.axis}")
    seen = (tensor.element, tensor.scale, tensor.block_size)
    wanted = (spec.elements[index].name, spec.scales[index].name, spec.block_size)
    if seen != wanted:
        raise ValueError(
            f"{name} must be {wanted[0]} with {wanted[1]} scales in blocks of {wanted[2]} for {spec.name}, "
            f"not {seen[0]} with {seen[1]} in blocks of {seen[2]}"
        )
    return _Operand(tensor, spec.unit_size if spec.accumulate == "aligned" else spec.block_size)


def matmul(spec: DotSpec, A: BlockTensor, B: BlockTensor) -> npt.NDArray[np.float32]:
    """Return ``A @ B.T`` with the bits that units of `spec` give.

    Every element of the result is `spec.compute` on the blocks of one row of A and one of B, in groups of
    `spec.blocks` in ascending k. Then the tensor scales apply: unless both are 1, the result is multiplied,
    in binary32, by their product in binary32.

    Args:
        spec: What a dot product computes; ``none`` takes matrices of one group only.
        A: Blocked along its last axis, shape (M, K), in the formats that `spec` has for a.
        B: Likewise for b, shape (N', K).

    Returns:
        binary32 results, shape (M, N'). Every NaN is 0x7FC00000.

    Raises:
        TypeError: If A or B is no BlockTensor, or `spec` no DotSpec.
        ValueError: If a shape, a format or a block size does not fit, K is no multiple of a group, or
            there are more blocks than ``exact`` has guard bits for.
    """
    if not isinstance(spec, DotSpec):
        raise TypeError(f"spec must be a DotSpec, not {type(spec).__name__}")
    a, b = _operand(spec, A, 0), _operand(spec, B, 1)
    if a.blocks != b.blocks:
        raise ValueError(f"B must have {A.shape[1]} columns, as A has, not {B.shape[1]}")
    group = spec.blocks * spec.block_size
    groups, rest = divmod(A.shape[1], group)
    if rest:
        raise ValueError(f"A must have a multiple of {group} columns for {spec.name}, not {A.shape[1]}")
    if spec.accumulates:
        spec.check_groups(groups)
    elif groups != 1:
        raise ValueError(f"A must have {group} columns, one group, for {spec.name}, not {A.shape[1]}")
    result = _Product(spec, a, b).run()
    if A.tensor_scale == 1 and B.tensor_scale == 1:
        return result
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result *= np.float32(A.tensor_scale) * np.float32(B.tensor_scale)
    return canonical(result)
