import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
import reference
from blockdot.model import BlockTensor, DotSpec, formats, matmul, quantize
from blockdot.model.accumulate import ACCUMULATIONS
from blockdot.model.fast import staircases
from blockdot.model.matrix_products import MatmulOperand, RoundedProduct, Tiling, finite_table
from messages import check_messages, untyped

ACCUMULATES = ("none", "fp32", "exact", "aligned")


def random_tensor(
    rng: np.random.Generator, spec: DotSpec, index: int, rows: int, columns: int, special: float = 0.0
) -> BlockTensor:
    """Uniform codes; NaN scales, and NaN and infinite elements, each with probability `special`."""
    element, scale = spec.elements[index], spec.scales[index]
    codes = rng.choice(element.codes, (rows, columns))
    scales = rng.choice(scale.codes, (rows, columns // spec.block_size))
    if scale.nan_code is not None:
        scales[rng.random(scales.shape) < special] = scale.nan_code
    for code in (element.nan_code, element.infinity_code, element.infinity_code):
        if code is not None:
            sign = rng.integers(0, 2, codes.shape).astype(codes.dtype) << element.magnitude_bits
            codes = np.where(rng.random(codes.shape) < special, (code | sign).astype(codes.dtype), codes)
    return BlockTensor(codes, scales, 1.0, element.name, scale.name, spec.block_size)


def by_compute(spec: DotSpec, A: BlockTensor, B: BlockTensor) -> np.ndarray:
    (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
    shape = (len(a), len(b), a.shape[1] // spec.blocks, spec.blocks, spec.block_size)

    def spread(array: np.ndarray, axis: int) -> np.ndarray:
        wide = np.expand_dims(array, axis)
        return np.broadcast_to(wide, shape[:2] + array.shape[1:]).reshape(shape[: array.ndim + 2])

    seen = spec.compute(spread(a, 1), spread(b, 0), spread(a_scale, 1), spread(b_scale, 0))
    return seen if spec.accumulates else seen[..., 0]


def check(spec: DotSpec, A: BlockTensor, B: BlockTensor) -> np.ndarray:
    seen = matmul(spec, A, B)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen.view(np.uint32), by_compute(spec, A, B).view(np.uint32))
    return seen


def specs(**fixed) -> list[DotSpec]:
    return [
        DotSpec(block_size=block_size, blocks=blocks, accumulate=accumulate, **fixed)
        for (block_size, blocks), accumulate in itertools.product(
            ((2, 1), (16, 1), (8, 2), (4, 8), (64, 2)), ACCUMULATES
        )
    ]


def columns_of(spec: DotSpec, groups: int) -> int:
    return spec.blocks * spec.block_size * (groups if spec.accumulates else 1)


@pytest.mark.parametrize("scale", [*formats.SCALES, "ue8m5", "ue2m0", ("ue4m3", "ue8m0")], ids=str)
@pytest.mark.parametrize("element", [*formats.ELEMENTS, ("e2m1", "e5m2")], ids=str)
def test_bits_of_compute(element, scale, rng):
    for spec in specs(element=element, scale=scale):
        for special in (0.0, 0.01):
            columns = columns_of(spec, 5)
            A = random_tensor(rng, spec, 0, 9, columns, special)
            B = random_tensor(rng, spec, 1, 7, columns, special)
            check(spec, A, B)


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0", "ue4m4"])
@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_against_fractions(accumulate, scale, rng):
    """Not by way of compute: the contract in plain Python."""
    for element, blocks in (("e2m1", 1), ("e2m1", 4), ("e5m2", 1)):
        spec = DotSpec(element=element, scale=scale, block_size=16, blocks=blocks, accumulate=accumulate)
        columns = columns_of(spec, 6)
        A = random_tensor(rng, spec, 0, 20, columns, 0.002)
        B = random_tensor(rng, spec, 1, 20, columns, 0.002)
        seen = matmul(spec, A, B).view(np.uint32)
        dot = reference.Dot(element, element, scale, scale, accumulate)
        (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
        a, b = (x.reshape(20, -1, blocks, 16).tolist() for x in (a, b))
        a_scale, b_scale = (x.reshape(20, -1, blocks).tolist() for x in (a_scale, b_scale))
        for m, n in itertools.product(range(20), range(20)):
            wanted = dot(a[m], b[n], a_scale[m], b_scale[n])
            assert seen[m, n] == (wanted[0] if isinstance(wanted, list) else wanted)


class Certified(RoundedProduct):
    """Takes no product for exact, and counts what it computes one by one."""

    def __init__(self, spec: DotSpec, A: BlockTensor, B: BlockTensor, slack: float = 1.0) -> None:
        operands = MatmulOperand(A, spec.block_size), MatmulOperand(B, spec.block_size)
        super().__init__(spec, *operands)
        self.plan = dataclasses.replace(self.plan, dtype=np.dtype(np.float64), exact=False)
        self.alone_count = 0
        for operand in operands:
            operand.norms = lambda rows, norms=operand.norms: norms(rows) * slack

    def _alone(self, rows: np.ndarray, columns: np.ndarray, blocks: slice) -> np.ndarray:
        self.alone_count += len(rows)
        return super()._alone(rows, columns, blocks)


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0"])
def test_sums_that_are_rounded_on_the_way_give_the_same_bits(scale, rng):
    """Whether the products are exact, or only near, or nowhere near enough to tell the rounded sum."""
    for element, blocks, accumulate in itertools.product(("e2m1", "e5m2"), (1, 4), ("fp32", "exact")):
        spec = DotSpec(element=element, scale=scale, blocks=blocks, accumulate=accumulate)
        A, B = (random_tensor(rng, spec, index, 40, 1024, 0.0005) for index in (0, 1))
        some = [dataclasses.replace(t, codes=t.codes[:6], scales=t.scales[:6]) for t in (A, B)]
        wanted = matmul(spec, A, B).view(np.uint32)
        np.testing.assert_array_equal(wanted[:6, :6], by_compute(spec, *some).view(np.uint32))
        units = wanted.size * (1 if accumulate == "exact" else 64 // blocks)
        for slack, few in ((1.0, True), (2.0**20, False)):
            product = Certified(spec, A, B, slack)
            np.testing.assert_array_equal(product.run().view(np.uint32), wanted)
            assert (product.alone_count < 0.3 * units) == few


def test_ties_and_cancellation_among_scales_of_any_size(rng):
    """Sums that end in a tie, or in nothing, far below what was added on the way."""
    spec = DotSpec(scale="ue5m3", accumulate="exact")
    codes, scales = np.zeros((60, 64), np.uint8), rng.integers(0, 200, (60, 4), np.uint8)
    # A large block and its opposite, and little in the others.
    scales[:, :2] = 240
    codes[:, 0], codes[:, 16] = 7, 15
    codes[5:, 32], codes[5:, 48:50] = rng.integers(0, 16, 55), rng.integers(0, 16, (55, 2))
    other = rng.choice([2, 3], (60, 64), p=[0.9, 0.1]).astype(np.uint8)
    other[:, 16] = other[:, 0]
    A, B = BlockTensor(codes, scales), BlockTensor(other, np.full((60, 4), 120, np.uint8))
    seen = check(spec, A, B)
    assert (seen[:5] == 0).all()
    product = Certified(spec, A, B)
    np.testing.assert_array_equal(product.run().view(np.uint32), seen.view(np.uint32))
    assert product.alone_count > 0


@pytest.mark.parametrize("element", formats.ELEMENTS)
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0", "ue8m5", "ue2m0"])
def test_what_plans_are_made_of(element, scale, rng):
    """Folded values are multiples of their row's quantum and below the bound; norms are what they say."""
    spec = DotSpec(element=element, scale=scale)
    for rows in (1, 7):
        operand = MatmulOperand(random_tensor(rng, spec, 0, rows, 64), 16)
        table = finite_table(operand.element)
        folded = operand.fold(slice(None), slice(None), operand.decoder(table, np.dtype(np.float64)))
        scaled = np.ldexp(folded, -operand.quanta()[:, np.newaxis])
        np.testing.assert_array_equal(scaled, np.rint(scaled))
        assert (np.linalg.norm(folded, axis=1) <= operand.bound()).all()
        norms = np.linalg.norm(folded.reshape(rows, 4, 16), axis=2)
        np.testing.assert_allclose(operand.norms(folded), norms, rtol=1e-14)


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0"])
def test_long_sums(scale, rng):
    """More columns than one product spans, with the whole range of the scales in the data."""
    for element, accumulate in itertools.product(("e2m1", "e4m3"), ("fp32", "exact")):
        spec = DotSpec(element=element, scale=scale, accumulate=accumulate)
        A, B = (random_tensor(rng, spec, index, 5, 6144) for index in (0, 1))
        check(spec, A, B)


def test_scales_of_a_narrow_range_in_one_window(rng):
    """What real tensors have: any scale format, but few of its exponents."""
    for scale, accumulate in itertools.product(("ue5m3", "ue8m0"), ACCUMULATES):
        for blocks in (1, 8):
            spec = DotSpec(scale=scale, blocks=blocks, accumulate=accumulate)
            x, y = (rng.standard_normal((12, columns_of(spec, 8))).astype(np.float32) for _ in "xy")
            check(spec, quantize(x, scale=scale), quantize(y, scale=scale))


def test_results_are_those_of_numpy_where_nothing_is_rounded(rng):
    spec = DotSpec(scale="ue4m3", accumulate="exact")
    A, B = (quantize(rng.standard_normal((40, 128)).astype(np.float32), scale="ue4m3") for _ in "AB")
    wanted = A.dequantize().astype(np.float64) @ B.dequantize().astype(np.float64).T
    np.testing.assert_array_equal(matmul(spec, A, B), wanted.astype(np.float32))


@pytest.mark.parametrize("accumulate", ACCUMULATES)
@pytest.mark.parametrize("element", ["e5m2", "e3m4"])
def test_infinities(accumulate, element, rng):
    reached = set()
    for scale, blocks in itertools.product(("ue5m3", "ue8m0"), (1, 2)):
        spec = DotSpec(element=element, scale=scale, block_size=4, blocks=blocks, accumulate=accumulate)
        A, B = (random_tensor(rng, spec, index, 30, columns_of(spec, 3)) for index in (0, 1))
        infinity = spec.elements[0].infinity_code
        assert infinity is not None
        for probability in (0.01, 0.1):
            a, b = A.codes.copy(), B.codes.copy()
            for codes in (a, b):
                here = rng.random(codes.shape) < probability
                codes[here] = rng.choice([infinity, infinity | 0x80], here.sum())
            seen = check(spec, dataclasses.replace(A, codes=a), dataclasses.replace(B, codes=b))
            reached.update(np.unique(seen[~np.isfinite(seen)]).astype(str).tolist())
    assert reached == {"inf", "-inf", "nan"}


@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_overflow_and_underflow(accumulate, rng):
    for middle in (3, 50, 60, 190, 250):
        for blocks in (1, 2):
            spec = DotSpec(scale="ue8m0", block_size=2, blocks=blocks, accumulate=accumulate)
            tensors = []
            for index in (0, 1):
                tensor = random_tensor(rng, spec, index, 12, columns_of(spec, 4))
                scales = rng.integers(max(0, middle - 5), min(255, middle + 5), tensor.scales.shape)
                tensors.append(dataclasses.replace(tensor, scales=scales.astype(np.uint8)))
            check(spec, *tensors)


def test_zero_is_positive(rng):
    for accumulate, blocks in itertools.product(ACCUMULATES, (1, 2)):
        spec = DotSpec(scale="ue4m3", blocks=blocks, accumulate=accumulate)
        A, B = (random_tensor(rng, spec, index, 6, columns_of(spec, 2)) for index in (0, 1))
        negative_zero = dataclasses.replace(A, codes=np.full(A.shape, 8, np.uint8))
        zero_scale = dataclasses.replace(A, scales=np.zeros_like(A.scales))
        for tensor in (negative_zero, zero_scale):
            assert not matmul(spec, tensor, B).view(np.uint32).any()
            assert not matmul(spec, B, tensor).view(np.uint32).any()


@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_tiles(accumulate, rng):
    """Results do not depend on how rows are cut, nor on vectors that a BLAS treats apart."""
    spec = DotSpec(scale="ue5m3", accumulate=accumulate)
    columns = columns_of(spec, 4)
    A, B = (random_tensor(rng, spec, index, 37, columns, 0.002) for index in (0, 1))
    whole = check(spec, A, B)
    for rows, folded in ((1, 1), (5, 7 * columns), (512, 10 * columns)):
        seen = matmul(spec, A, B, tiling=Tiling(rows, rows + 2, folded))
        np.testing.assert_array_equal(seen.view(np.uint32), whole.view(np.uint32))


def test_more_rows_than_a_tile(rng):
    spec = DotSpec(scale="ue5m3", accumulate="fp32")
    A, B = (random_tensor(rng, spec, index, rows, 48) for index, rows in ((0, 1100), (1, 700)))
    seen = matmul(spec, A, B)
    rows, columns = rng.integers(0, 1100, 60), rng.integers(0, 700, 60)
    some = [
        dataclasses.replace(t, codes=t.codes[k], scales=t.scales[k]) for t, k in ((A, rows), (B, columns))
    ]
    np.testing.assert_array_equal(
        seen[np.ix_(rows, columns)].view(np.uint32), by_compute(spec, *some).view(np.uint32)
    )


def test_empty(rng):
    spec = DotSpec(accumulate="fp32")
    A, B = (random_tensor(rng, spec, index, rows, 32) for index, rows in ((0, 0), (1, 3)))
    assert matmul(spec, A, B).shape == (0, 3)
    assert matmul(spec, B, A).shape == (3, 0)


@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_tensor_scales_multiply_the_result(accumulate, rng):
    spec = DotSpec(scale="ue4m3", accumulate=accumulate)
    A, B = (random_tensor(rng, spec, index, 10, columns_of(spec, 3), 0.01) for index in (0, 1))
    plain = matmul(spec, A, B)
    for g_a, g_b in ((0.1, 0.3), (1.0, 0.7), (1e-30, 1e-15), (1e20, 1e25), (0.5, 2.0)):
        scaled = [dataclasses.replace(t, tensor_scale=np.float32(g)) for t, g in ((A, g_a), (B, g_b))]
        with np.errstate(all="ignore"):
            wanted = plain * (np.float32(g_a) * np.float32(g_b))
        wanted.view(np.uint32)[np.isnan(wanted)] = 0x7FC00000
        np.testing.assert_array_equal(matmul(spec, *scaled).view(np.uint32), wanted.view(np.uint32))


def test_memory_is_bounded(rng):
    """The peak beside the result stays at the folded operands, far below all products at once."""
    spec = DotSpec(scale="ue5m3", accumulate="fp32")
    A, B = (quantize(rng.standard_normal((2048, 256)).astype(np.float32)) for _ in "AB")
    tracemalloc.start()
    with staircases.plain():
        result = matmul(spec, A, B)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < result.nbytes + 16 * 2**20


def test_messages(rng):
    spec = DotSpec(accumulate="fp32")
    tensor = random_tensor(rng, spec, 0, 4, 32)
    other = DotSpec(scale="ue4m3", block_size=8)
    flat = BlockTensor(tensor.codes[0], tensor.scales[0])
    across = BlockTensor(np.zeros((32, 4), np.uint8), np.zeros((2, 4), np.uint8), axis=0)
    wide = random_tensor(rng, spec, 0, 4, 48)
    empty = BlockTensor(np.zeros((4, 0), np.uint8), np.zeros((4, 0), np.uint8))
    check_messages(
        [
            (
                TypeError,
                "spec must be a DotSpec, not str",
                lambda: matmul(untyped("e2m1_ue5m3_n16_fp32"), tensor, tensor),
            ),
            (
                TypeError,
                "A must be a BlockTensor, not ndarray",
                lambda: matmul(spec, untyped(tensor.codes), tensor),
            ),
            (TypeError, "B must be a BlockTensor, not NoneType", lambda: matmul(spec, tensor, untyped(None))),
            (ValueError, "B must have 2 axes, not shape (32,)", lambda: matmul(spec, tensor, flat)),
            (
                ValueError,
                "A must be blocked along its last axis, not along axis 0",
                lambda: matmul(spec, across, tensor),
            ),
            (
                ValueError,
                "A must be e2m1 with ue4m3 scales in blocks of 8 for e2m1_ue4m3_n8_none, "
                "not e2m1 with ue5m3 in blocks of 16",
                lambda: matmul(other, tensor, tensor),
            ),
            (ValueError, "B must have 32 columns, as A has, not 48", lambda: matmul(spec, tensor, wide)),
            (
                ValueError,
                "A must have a multiple of 64 columns for e2m1_ue5m3_n16_b4_fp32, not 32",
                lambda: matmul(DotSpec(accumulate="fp32", blocks=4), tensor, tensor),
            ),
            (
                ValueError,
                "A must have 16 columns, one group, for e2m1_ue5m3_n16_none, not 32",
                lambda: matmul(DotSpec(), tensor, tensor),
            ),
            (
                ValueError,
                "groups * blocks must be at most 2**guard = 2, not 3",
                lambda: matmul(DotSpec(accumulate="exact", guard=1), wide, wide),
            ),
            (
                ValueError,
                "groups must be at least 1 for accumulate='fp32', not 0",
                lambda: matmul(spec, empty, empty),
            ),
            (
                ValueError,
                "A must have 16 columns, one group, for e2m1_ue5m3_n16_none, not 0",
                lambda: matmul(DotSpec(), empty, empty),
            ),
        ]
    )


@pytest.mark.parametrize("element", ["e2m1", "e5m2"])
def test_an_accumulation_without_a_fast_form_is_computed_row_by_row(element, rng):
    """What `fp32` is by another name gives the same bits, of more rows than a tile has."""
    ACCUMULATIONS.register("fp32again", ACCUMULATIONS["fp32"])
    try:
        known, other = (
            DotSpec(element=element, block_size=8, blocks=2, accumulate=how) for how in ("fp32", "fp32again")
        )
        A, B = (random_tensor(rng, known, k, rows, 64, special=0.001) for k, rows in enumerate((70, 3)))
        wanted, computed = matmul(known, A, B), matmul(DotSpec.parse(other.name), A, B)
    finally:
        ACCUMULATIONS.unregister("fp32again")
    assert np.isfinite(wanted).any()
    np.testing.assert_array_equal(computed.view(np.uint32), wanted.view(np.uint32))
