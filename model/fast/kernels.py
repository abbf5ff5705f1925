"""Inner loops compiled by numba, which the extra ``fast`` installs; see `staircases`, which imports them.

Each does in one pass what numpy does in many, by tables that are made with numpy. Where LLVM does not find
the vector instructions by itself, they are spelled out for it, in vectors of `_LANES`; LLVM takes apart what
a processor has no instruction for, so that results do not depend on it.
"""

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = [
    "add_aligned",
    "add_products",
    "decode_blocks",
    "decode_nibbles",
    "encode_blocks",
    "largest",
    "pack_panels",
    "permutes",
    "tile_shape",
]

_Codes = npt.NDArray[np.unsignedinteger]
_Integers = npt.NDArray[np.int32]

_MAGNITUDE = np.int32(0x7FFFFFFF)
# A code's sign is its bit 3, a float32's its bit 31.
_SIGN_SHIFT = np.int32(28)
# Blocks whose scales are found before their elements are encoded: a processor guesses wrong which scale some
# blocks take, and has less to throw away where only scales are under way.
_TOGETHER: Final = 16

# float32 in a vector. By itself LLVM takes half of what AVX-512 has.
_FEATURES: Final = binding.get_host_cpu_features()
_WIDE: Final = bool(_FEATURES.get("avx512f"))
_LANES: Final = 16 if _WIDE else 8
# Rows, and vectors of columns, of the tiles of a product, by the type that units are added up in. The sum of
# a unit and the accumulator of every row and column stay in registers: there are 32 with AVX-512, else mostly
# 16, and float64 takes two.
_TILES: Final = {
    "float32": (7, 2) if _WIDE else (3, 2),
    "float64": (9, 1) if _WIDE else (4, 1),
}
# What is left of a float64 that is cut toward zero to the precision of float32.
_SINGLE_CUT: Final = np.int64(-1 << 29)
# Columns multiplied in one go: as many of a panel of B stay in a level-1 cache.
_RUN: Final = 256


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
    for first in range(0, bits.shape[0], _TOGETHER):
        some = range(first, min(first + _TOGETHER, bits.shape[0]))
        for b in some:
            row = bits[b]
            top = np.int32(0)
            for k in range(row.size):
                top = max(top, row[k] & _MAGNITUDE)
            largest_of_all = max(largest_of_all, top)
            scale = guesses[top >> guess_shift]
            while scale + 1 < starts.size and top >= starts[scale + 1]:
                scale += 1
            scales[b] = scale
        for b in some:
            row, out, scale = bits[b], codes[b], scales[b]
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


def permutes() -> bool:
    """Whether `decode_nibbles` is any faster here than `decode_blocks`: looking up is one instruction."""
    return bool(_FEATURES.get("avx2"))


@intrinsic
def _look_up(_: Any, tables: Any, row: Any, codes: Any, first: Any, out: Any) -> Any:
    """Look 16 codes up in a table of 16 values.

    Whole arrays and where to begin, as every view of an array would be counted.

    Args:
        tables: float32, contiguous, of 16 columns.
        row: The row that is the table.
        codes: uint8 from 0 to 15, contiguous.
        first: The first of the codes, counted through all rows.
        out: Takes the values, contiguous, in the place of the codes.
    """
    count = 16
    word, values = ir.IntType(32), ir.VectorType(ir.FloatType(), _LANES)
    integers = ir.VectorType(word, _LANES)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        starts = (context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2, 4))
        table, codes, out = (
            builder.gep(array.data, [offset])
            for array, offset in zip(
                starts,
                (builder.mul(arguments[1], arguments[1].type(count)), arguments[3], arguments[3]),
                strict=True,
            )
        )

        def pointer(start: Any, k: int, vector: Any) -> Any:
            return builder.gep(builder.bitcast(start, vector.as_pointer()), [word(k)])

        parts = [builder.load(pointer(table, k, values), align=4) for k in range(count // _LANES)]
        for k in range(count // _LANES):
            narrow = ir.VectorType(ir.IntType(8), _LANES)
            some = builder.zext(builder.load(pointer(codes, k, narrow), align=1), integers)
            inside = builder.and_(some, ir.Constant(integers, [_LANES - 1] * _LANES))
            found = None
            for start, part in zip(range(0, count, _LANES), parts, strict=True):
                # LLVM makes one permutation of this.
                here = ir.Constant(values, ir.Undefined)
                for lane in range(_LANES):
                    value = builder.extract_element(part, builder.extract_element(inside, word(lane)))
                    here = builder.insert_element(here, value, word(lane))
                if found is None:
                    found = here
                else:
                    above = builder.icmp_unsigned(">=", some, ir.Constant(integers, [start] * _LANES))
                    found = builder.select(above, here, found)
            builder.store(found, pointer(out, k, values), align=4)
        return context.get_dummy_value()

    return types.void(tables, row, codes, first, out), generate


@numba.njit(cache=True, nogil=True)
def decode_nibbles(
    codes: npt.NDArray[np.uint8],
    scales: _Codes,
    products: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Look up blocks as `decode_blocks` does, of codes of 4 bits and a multiple of 16 a row, into float32."""
    size = codes.shape[1]
    for b in range(codes.shape[0]):
        for k in range(b * size, (b + 1) * size, 16):
            # numba passes the first argument.
            _look_up(products, np.intp(scales[b]), codes, k, out)  # pyright: ignore[reportCallIssue]


def tile_shape(dtype: npt.DTypeLike) -> tuple[int, int]:
    """Return the rows and columns of the tiles that `add_products` adds up in float32 or float64."""
    rows, vectors = _TILES[np.dtype(dtype).name]
    return rows, vectors * _LANES


@numba.njit(cache=True, nogil=True)
def pack_panels(
    codes: _Codes,
    scales: _Codes,
    elements: npt.NDArray[np.float32],
    factors: npt.NDArray[np.float32],
    panels: npt.NDArray[np.float32],
) -> None:
    """Decode the rows of a matrix into panels, in which the elements of several rows lie side by side.

    Args:
        codes: Element codes, shape (rows, blocks, N).
        scales: Scale codes, shape (rows, blocks).
        elements: What each element code is worth.
        factors: What each scale code multiplies by.
        panels: Takes the products, shape (panels, blocks * N, height): those of row r at
            ``[r // height, :, r % height]``, and zeros where there are no more rows.
    """
    rows, blocks, size = codes.shape
    count, _, height = panels.shape
    for p in range(count):
        for lane in range(height):
            row = p * height + lane
            if row >= rows:
                panels[p, :, lane] = 0
                continue
            for b in range(blocks):
                some, factor = codes[row, b], factors[scales[row, b]]
                for k in range(size):
                    panels[p, b * size + k, lane] = elements[some[k]] * factor


@intrinsic
def _add_tile(_: Any, a: Any, b: Any, units: Any, width: Any, tile: Any) -> Any:
    """Add the products of two panels to a tile, as `add_products` tells.

    Args:
        a: One panel from the first column on, shape (columns, rows of the tile), contiguous.
        b: Likewise, shape (columns, columns of the tile).
        units: How many units there are.
        width: Columns of a unit.
        tile: What they are added to, its columns contiguous.
    """
    rows, vectors = _TILES[tile.dtype.name]
    single = ir.VectorType(ir.FloatType(), _LANES)
    wide = single if tile.dtype == types.float32 else ir.VectorType(ir.DoubleType(), _LANES)
    places = [(i, v) for i in range(rows) for v in range(vectors)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        panel_a, panel_b, into = (
            context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 1, 4)
        )
        stride = cgutils.unpack_tuple(builder, into.strides)[0]
        start = builder.bitcast(into.data, cgutils.voidptr_t)

        def pointer(i: int, v: int) -> Any:
            row = builder.gep(start, [builder.mul(stride, stride.type(i))])
            return builder.gep(builder.bitcast(row, wide.as_pointer()), [stride.type(v)])

        # What lies on the stack here LLVM keeps in registers.
        next_a = cgutils.alloca_once_value(builder, panel_a.data)
        next_b = cgutils.alloca_once_value(builder, panel_b.data)
        totals = {place: cgutils.alloca_once(builder, wide) for place in places}
        sums = {place: cgutils.alloca_once(builder, single) for place in places}
        for place in places:
            builder.store(builder.load(pointer(*place), align=4), totals[place])
        with cgutils.for_range(builder, arguments[2]):
            for place in places:
                builder.store(ir.Constant(single, [0.0] * _LANES), sums[place])
            with cgutils.for_range(builder, arguments[3]):
                of_a, of_b = builder.load(next_a), builder.load(next_b)
                at_b = builder.bitcast(of_b, single.as_pointer())
                columns = [builder.load(builder.gep(at_b, [stride.type(v)]), align=4) for v in range(vectors)]
                for i in range(rows):
                    row = _spread(builder, builder.load(builder.gep(of_a, [stride.type(i)])), single)
                    for v, column in enumerate(columns):
                        # May be fused. Nothing else may: these sums are exact either way.
                        product = builder.fmul(row, column, flags=["contract"])
                        total = builder.fadd(builder.load(sums[i, v]), product, flags=["contract"])
                        builder.store(total, sums[i, v])
                builder.store(builder.gep(of_a, [stride.type(rows)]), next_a)
                builder.store(builder.gep(of_b, [stride.type(vectors * _LANES)]), next_b)
            for place in places:
                total = builder.load(sums[place])
                if wide != single:
                    total = builder.fpext(total, wide)
                builder.store(builder.fadd(builder.load(totals[place]), total), totals[place])
        for place in places:
            builder.store(builder.load(totals[place]), pointer(*place), align=4)
        return context.get_dummy_value()

    return types.void(a, b, units, width, tile), generate


def _spread(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector of one value."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, zeros)


@numba.njit(cache=True, nogil=True)
def add_products(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], width: int, out: npt.NDArray[np.floating]
) -> None:
    """Add the product of A and B transposed to `out`, unit by unit in ascending order.

    A unit is the product of `width` columns with as many: it is computed in float32, in any order and with or
    without fused additions, so that it should be exact. It is added in the type of `out`, rounded once.

    Args:
        a: The rows of A in panels, as `pack_panels` makes them, as high as the tiles of `tile_shape`.
        b: The rows of B in panels as high as those tiles are wide.
        width: Columns of a unit, of which there is a whole number.
        out: Contiguous float32 or float64, shape (rows of all panels of a, rows of all panels of b).
    """
    columns, height, breadth = a.shape[1], a.shape[2], b.shape[2]
    step = max(1, _RUN // width) * width
    for k in range(0, columns, step):
        units = min(step, columns - k) // width
        for q in range(b.shape[0]):
            for p in range(a.shape[0]):
                tile = out[p * height : (p + 1) * height, q * breadth : (q + 1) * breadth]
                # numba passes the first argument.
                _add_tile(a[p, k:], b[q, k:], units, width, tile)  # pyright: ignore[reportCallIssue]


@numba.njit(cache=True, nogil=True)
def add_aligned(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    width: int,
    terms_of_step: int,
    a_exponents: npt.NDArray[np.int16],
    b_exponents: npt.NDArray[np.int16],
    a_supports: npt.NDArray[np.uint16],
    b_supports: npt.NDArray[np.uint16],
    fraction: int,
    zero_exponent: int,
    out: npt.NDArray[np.float32],
) -> None:
    """Add the product of A and B transposed to `out` as `AlignedSum` does, step by step in ascending order.

    A term is the product of `width` columns with as many, which float32 holds. Neither a total nor a sum is
    below float32's normal numbers, unless it is zero: with e the least exponent of a term that is not zero,
    ``e - 2 * fraction >= -126``. And float64 holds the integers that are added.

    Args:
        a: The rows of A in panels, as `pack_panels` makes them, as high as the tiles of `tile_shape`.
        b: The rows of B in panels as high as those tiles are wide.
        width: Columns of a term.
        terms_of_step: Terms of a step; there is a whole number of steps.
        a_exponents: What each scale of A reads as, shape (terms, rows of all panels of a).
        b_exponents: Likewise of B.
        a_supports: Which elements are not zero, as `term_supports` has them, shaped as the exponents.
        b_supports: Likewise of B.
        fraction: Bits kept behind the point of the largest exponent.
        zero_exponent: What is exactly zero reads as.
        out: Contiguous, shape (rows of all panels of a, rows of all panels of b).
    """
    height, breadth = a.shape[2], b.shape[2]
    columns = out.shape[1]
    zero = np.int16(zero_exponent)
    # One row of tiles: what follows stays in a level-1 cache. Each loop over columns is short enough for LLVM
    # to make vectors of it.
    terms = np.empty((terms_of_step, height, columns), np.float32)
    largest = np.empty(columns, np.int16)
    up, total = np.empty(columns, np.float64), np.empty(columns, np.float64)
    down = np.empty(columns, np.float32)
    up_bits, total_bits, down_bits = up.view(np.int64), total.view(np.int64), down.view(np.int32)
    for first in range(0, a_exponents.shape[0], terms_of_step):
        for p in range(a.shape[0]):
            terms[:] = 0
            for q in range(b.shape[0]):
                for k in range(terms_of_step):
                    start = (first + k) * width
                    tile = terms[k, :, q * breadth : (q + 1) * breadth]
                    # numba passes the first argument.
                    _add_tile(a[p, start:], b[q, start:], 1, width, tile)  # pyright: ignore[reportCallIssue]
            for row in range(height):
                i = p * height + row
                sums = out[i]
                bits = sums.view(np.int32)
                for j in range(columns):
                    magnitude = bits[j] & _MAGNITUDE
                    exponent = (magnitude >> np.int32(23)) - np.int32(127)
                    largest[j] = np.int16(exponent) if magnitude != 0 else zero
                for k in range(first, first + terms_of_step):
                    of_a, support = a_exponents[k, i], a_supports[k, i]
                    of_b, supports = b_exponents[k], b_supports[k]
                    for j in range(columns):
                        # In two steps, which LLVM makes vectors of.
                        read = np.int16(of_a + of_b[j])
                        read = read if (support & supports[j]) != 0 else zero
                        largest[j] = read if read > largest[j] else largest[j]
                for j in range(columns):
                    up_bits[j] = np.int64(1023 + fraction - largest[j]) << 52
                for j in range(columns):
                    total[j] = np.trunc(np.float64(sums[j]) * up[j])
                for k in range(terms_of_step):
                    term = terms[k, row]
                    for j in range(columns):
                        total[j] += np.trunc(np.float64(term[j]) * up[j])
                for j in range(columns):
                    # Where all is zero, any power of two will do.
                    power = max(np.int32(127 - fraction) + np.int32(largest[j]), np.int32(1))
                    down_bits[j] = power << np.int32(23)
                for j in range(columns):
                    total[j] += 0.0  # -0 becomes +0
                for j in range(columns):
                    total_bits[j] &= _SINGLE_CUT
                for j in range(columns):
                    sums[j] = np.float32(total[j]) * down[j]
