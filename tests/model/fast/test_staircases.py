"""The compiled loops against numpy, bit for bit; numpy is held against exact rationals elsewhere."""

import dataclasses
import itertools
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import reference
from aligned_steps import TensorCore
from blockdot.model import BlockTensor, DotSpec, formats, matmul, quantize
from blockdot.model.fast import staircases
from blockdot.model.fast.decoder import Decoder
from blockdot.model.matrix_products import (
    CompiledAlignedProduct,
    CompiledProduct,
    MatmulOperand,
    RoundedProduct,
    Tiling,
    product_of,
)
from messages import untyped, whole

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def always():
    """However few elements there are."""
    with staircases.compiled_from(0):
        yield


def blocks(rng: np.random.Generator, scale: str, size: int) -> np.ndarray:
    """Blocks of every magnitude that float32 and the scale have, ties and what lies beside them included."""
    fmt = formats.get(scale)
    patterns = rng.integers(0, 0x7F800000, (400, size)).astype(np.int32)
    # One exponent a block, so that not all elements but the largest are zero.
    patterns[:200] = (patterns[:200, :1] & 0x7F800000) | (patterns[:200] & 0x00FFFFFF)
    x = np.minimum(patterns, 0x7F7FFFFF).view(np.float32)
    finite = fmt.values[fmt.codes]
    finite = finite[(finite > 2.0**-100) & (finite < 2.0**100)]
    middles = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
    ties = rng.choice(finite, (400, 1)) * rng.choice(middles, (400, size))
    ties[:, 0] = rng.choice((finite[1:] + finite[:-1]) / 2, 400) * 6
    ties[::2, 0] = rng.choice(finite, 200) * 6
    ties = ties.astype(np.float32)
    beside = rng.integers(-1, 2, ties.shape).astype(np.int32)
    ties = (ties.view(np.int32) + beside * (ties > 0)).view(np.float32)
    x = np.concatenate([x, ties, np.zeros((3, size), np.float32)])
    return np.copysign(x, rng.choice([-1.0, 1.0], x.shape)).astype(np.float32)


def check(x: np.ndarray, **parameters) -> BlockTensor:
    seen = quantize(x, block_size=x.shape[1], **parameters)
    with staircases.plain():
        wanted = quantize(x, block_size=x.shape[1], **parameters)
        back = wanted.dequantize()
    np.testing.assert_array_equal(seen.scales, wanted.scales)
    np.testing.assert_array_equal(seen.codes, wanted.codes)
    assert seen.tensor_scale == wanted.tensor_scale
    np.testing.assert_array_equal(seen.dequantize().view(np.uint32), back.view(np.uint32))
    return seen


@pytest.mark.parametrize("scale", [*formats.SCALES, "ue8m5", "ue2m0"])
def test_quantize(scale, rng):
    methods = ("absmax", "prevent_zero", *(("floor", "even", "ceil") if scale == "ue8m0" else ()))
    for method in methods:
        # Thousands of scales take their time.
        for rounding in ("nearest_even", "nearest_away", "toward_zero")[: 1 if scale == "ue8m5" else 3]:
            for tensor_scale in (False, True):
                x = blocks(rng, scale, 16)
                if tensor_scale:
                    x = x[np.abs(x).max(axis=1) < 2.0 ** rng.integers(-100, 127)]
                check(x, scale=scale, method=method, rounding=rounding, tensor_scale=tensor_scale)


@pytest.mark.parametrize("size", [2, 4, 32, 128])
def test_block_sizes(size, rng):
    check(blocks(rng, "ue5m3", size), scale="ue5m3")


def test_transformer_engine(rng):
    for exponent in (-120, -20, 0, 30, 127):
        x = blocks(rng, "ue4m3", 16)
        x = x[np.abs(x).max(axis=1) < 2.0**exponent]
        check(x, scale="ue4m3", recipe="transformer_engine")


def test_the_loop_is_taken_where_it_applies(rng, monkeypatch):
    x = rng.standard_normal((8, 32)).astype(np.float32)
    taken = []
    honest = staircases.Staircases.encode
    monkeypatch.setattr(
        staircases.Staircases, "encode", lambda *arguments: taken.append(1) or honest(*arguments)
    )
    for parameters, applies in (
        ({}, True),
        ({"scale": "ue4m3", "recipe": "transformer_engine"}, True),
        ({"method": "search"}, False),
        ({"method": "four_over_six"}, False),
        ({"element": "e4m3"}, False),
        ({"axis": 0, "block_size": 8}, False),
        ({"rounding": "stochastic", "rng": rng}, False),
    ):
        taken.clear()
        quantize(x, **untyped(parameters))
        assert bool(taken) == applies
    with staircases.plain():
        quantize(x)
    assert not taken


@pytest.mark.parametrize("element", formats.ELEMENTS)
def test_decode(element, rng):
    fmt = formats.get(element)
    for scale in (*formats.SCALES, "ue8m5"):
        of_scale = formats.get(scale)
        codes = rng.integers(0, 1 << fmt.bits, (300, 16)).astype(fmt.dtype)
        scales = rng.integers(0, 1 << of_scale.bits, (300, 1)).astype(of_scale.dtype)
        for factor in (1.0, float(np.float32(0.1)), 2.0**-149):
            tensor = BlockTensor(codes, scales, factor, element, scale)
            seen = tensor.dequantize()
            with staircases.plain():
                wanted = tensor.dequantize()
            np.testing.assert_array_equal(seen.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("permutes", [False, True])
def test_decode_with_and_without_an_instruction_that_looks_up(permutes, rng, monkeypatch):
    """Every product of a table without symmetry, where blocks are a multiple of 16, and where not."""
    compiled = staircases.loops(1)
    assert compiled
    monkeypatch.setattr(compiled, "permutes", lambda: permutes)
    elements, factors = rng.standard_normal(16), rng.standard_normal(256)
    element = formats.get("e2m1")
    for size in (8, 16, 24, 48):
        codes = np.resize(np.arange(16, dtype=np.uint8), (256 * 6, size))
        scales = np.resize(np.arange(256, dtype=np.uint8), 256 * 6)
        for dtype in (np.float32, np.float64):
            seen = Decoder(element, elements, factors, np.dtype(dtype)).decode(codes, scales)
            wanted = (elements[codes] * factors[scales][:, np.newaxis]).astype(dtype)
            np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_in_the_same_words(bad, rng):
    x = rng.standard_normal((4, 32)).astype(np.float32)
    x[2, 7] = bad
    message = f"x must be finite, not NaN or Inf in 1 of 128 values, the first {bad} at [2, 7]"
    for parameters in ({}, {"tensor_scale": True}, {"scale": "ue4m3", "recipe": "transformer_engine"}):
        with pytest.raises(ValueError, match=whole(message)):
            quantize(x, **untyped(parameters))


def test_strided_and_foreign_inputs(rng):
    x = rng.standard_normal((40, 64)).astype(np.float32)
    wanted = quantize(np.ascontiguousarray(x[::2]))
    np.testing.assert_array_equal(quantize(x[::2]).codes, wanted.codes)
    np.testing.assert_array_equal(quantize(x[::2].astype(np.float64)).codes, wanted.codes)
    part = BlockTensor(wanted.codes[::3], wanted.scales[::3])
    np.testing.assert_array_equal(part.dequantize(), wanted.dequantize()[::3])


def test_memory_is_that_of_the_result(rng):
    x = rng.standard_normal((256, 4096)).astype(np.float32)
    quantize(x)
    tracemalloc.start()
    quantize(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * x.nbytes


def operands(
    rng: np.random.Generator, spec: DotSpec, shape: tuple[int, int, int], nan: float = 0.0
) -> tuple[BlockTensor, BlockTensor]:
    """Uniform codes of elements and scales, zeros and -0 among them, and NaN scales where there are such."""
    rows, others, columns = shape
    tensors = []
    for index, count in enumerate((rows, others)):
        element, scale = spec.elements[index], spec.scales[index]
        codes = rng.choice(element.codes, (count, columns))
        scales = rng.choice(scale.codes, (count, columns // spec.block_size))
        # Blocks that are zero by their scale, by +0, by -0, and by cancelling out.
        scales[rng.random(scales.shape) < 0.05] = scale.codes[0]
        blocks = codes.reshape(*scales.shape, spec.block_size)
        blocks[rng.random(blocks.shape[:2]) < 0.05] = 0
        blocks[rng.random(blocks.shape[:2]) < 0.05] = element.encode(np.array(-0.0))
        if scale.nan_code is not None:
            scales[rng.random(scales.shape) < nan] = scale.nan_code
        tensors.append(BlockTensor(codes, scales, 1.0, element.name, scale.name, spec.block_size))
    first, second = tensors
    return first, second


def check_matmul(spec: DotSpec, A: BlockTensor, B: BlockTensor, *, applies: bool, tiling=None) -> np.ndarray:
    """Hold the loops against numpy alone, and see that they are taken where they apply."""
    size = spec.unit_size if spec.accumulate == "aligned" else spec.block_size
    chosen = product_of(spec, MatmulOperand(A, size), MatmulOperand(B, size))
    assert isinstance(chosen, CompiledProduct | CompiledAlignedProduct) == applies
    seen = matmul(spec, A, B, tiling=tiling)
    with staircases.plain():
        wanted = matmul(spec, A, B)
    np.testing.assert_array_equal(seen.view(np.uint32), wanted.view(np.uint32))
    return seen


@pytest.mark.parametrize("accumulate", ["fp32", "exact"])
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue4m3_full", ("ue7m0", "ue6m0")], ids=str)
@pytest.mark.parametrize("element", ["e2m1", "e2m3", "e4m3", "int8", ("e2m1", "e3m2")], ids=str)
def test_matmul(element, scale, accumulate, rng):
    """Scales of every size, so that sums differ if they are added in another order or precision."""
    seen = set()
    for block_size, nan in itertools.product((2, 8, 16, 32), (0.0, 0.005)):
        spec = DotSpec(element=element, scale=scale, block_size=block_size, accumulate=accumulate)
        A, B = operands(rng, spec, (37, 75, 6 * block_size), nan)
        product = RoundedProduct(spec, MatmulOperand(A, block_size), MatmulOperand(B, block_size))
        applies = CompiledProduct.applies(product)
        seen.add(applies)
        check_matmul(spec, A, B, applies=applies)
    if accumulate == "fp32" and element == "e2m1":
        assert seen == {True}


@pytest.mark.parametrize("accumulate", ["fp32", "exact"])
def test_matmul_of_every_shape(accumulate, rng):
    """Rows and columns that fill tiles and panels, and that leave some of them empty."""
    spec = DotSpec(scale="ue4m3", accumulate=accumulate)
    for shape in (
        (1, 1, 32),
        (1, 100, 48),
        (7, 32, 64),
        (8, 33, 64),
        (220, 3, 32),
        (3, 530, 320),
        (9, 16, 2048),
    ):
        check_matmul(spec, *operands(rng, spec, shape, 0.001), applies=True)
    A, B = operands(rng, spec, (37, 75, 64), 0.002)
    for tile, folded in (((1, 1), 1), ((14, 40), 1000), ((999, 999), 1 << 20)):
        tiling = Tiling(*tile, folded)
        check_matmul(spec, A, B, applies=True, tiling=tiling)
    for shape in ((0, 3, 32), (3, 0, 32)):
        check_matmul(spec, *operands(rng, spec, shape), applies=accumulate == "fp32")


@pytest.mark.parametrize("accumulate", ["fp32", "exact"])
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
def test_matmul_against_fractions(scale, accumulate, rng):
    for element in ("e2m1", "e2m3"):
        spec = DotSpec(element=element, scale=scale, accumulate=accumulate)
        A, B = operands(rng, spec, (16, 24, 8 * 16), 0.002)
        # exact: of few scales, so that a float64 holds the sum.
        if accumulate == "exact":
            A, B = (dataclasses.replace(t, scales=t.scales // 4 + 20) for t in (A, B))
        seen = check_matmul(spec, A, B, applies=True).view(np.uint32)
        dot = reference.Dot(element, element, scale, scale, accumulate)
        (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
        a, b = (x.reshape(len(x), -1, 1, 16).tolist() for x in (a, b))
        a_scale, b_scale = (x.reshape(len(x), -1, 1).tolist() for x in (a_scale, b_scale))
        for m, n in itertools.product(range(16), range(24)):
            assert seen[m, n] == dot(a[m], b[n], a_scale[m], b_scale[n])


def test_matmul_of_real_scales_and_groups_of_blocks(rng):
    """Several blocks make one unit where the data allow it."""
    for scale, accumulate, blocks in itertools.product(("ue4m3", "ue5m3"), ("fp32", "exact"), (1, 2, 4)):
        spec = DotSpec(scale=scale, accumulate=accumulate, blocks=blocks)
        # Few scales, so that float32 holds the sum of a group, but not that of a long row.
        columns = 256 if accumulate == "fp32" else 4096
        x, y = (rng.uniform(0.7, 1, (n, columns)).astype(np.float32) for n in (20, 40))
        signs = rng.choice(np.array([-1, 1], np.float32), x.shape)
        A, B = (quantize(values, scale=scale) for values in (x * signs, y))
        check_matmul(spec, A, B, applies=True)


ALIGNED = [
    # Element, block size, blocks, fraction and zero_exponent: terms cut off early and late, zeros that read
    # more than every term and less.
    ("e2m1", 16, 4, 35, -139),
    ("e2m1", 8, 2, 3, -15),
    ("e2m3", 4, 1, 20, -139),
    ("e2m1", 128, 2, 9, -60),
    ("e2m3", 2, 8, 1, -255),
    (("e2m1", "e2m3"), 16, 1, 35, -139),
]


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue2m0", ("ue4m3", "ue5m3")], ids=str)
def test_aligned_matmul(scale, rng):
    for element, size, blocks, fraction, zero_exponent in ALIGNED:
        spec = DotSpec(
            element=element,
            scale=scale,
            block_size=size,
            blocks=blocks,
            accumulate="aligned",
            fraction=fraction,
            zero_exponent=zero_exponent,
        )
        step = blocks * size
        A, B = operands(rng, spec, (20, 50, 5 * step), 0.002)
        zeros = np.where(np.arange(20)[:, np.newaxis] < 3, 0, A.codes)
        A = dataclasses.replace(A, codes=zeros.astype(A.codes.dtype))
        seen = check_matmul(spec, A, B, applies=True)
        check_matmul(spec, A, B, applies=True, tiling=Tiling(7, 40, 1000))
        assert not seen[:3].view(np.uint32)[~np.isnan(seen[:3])].any()
        # Each step is taken away again by the next: what is left is what was cut off.
        twice = [np.repeat(t.codes.reshape(len(t.codes), 5, step), 2, axis=1) for t in (A, B)]
        twice[0][:, 1::2] ^= 1 << (A.element_format.bits - 1)
        again = [np.repeat(t.scales.reshape(len(t.scales), 5, blocks), 2, axis=1) for t in (A, B)]
        A, B = (
            dataclasses.replace(t, codes=codes.reshape(len(codes), -1), scales=scales.reshape(len(codes), -1))
            for t, codes, scales in zip((A, B), twice, again, strict=True)
        )
        check_matmul(spec, A, B, applies=True)


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
def test_aligned_matmul_against_fractions(scale, rng):
    for fraction in (6, 35):
        spec = DotSpec(scale=scale, blocks=4, accumulate="aligned", fraction=fraction)
        A, B = operands(rng, spec, (12, 20, 4 * 64), 0.002)
        seen = check_matmul(spec, A, B, applies=True).view(np.uint32)
        core = TensorCore(("e2m1", "e2m1"), (scale, scale), fraction=fraction)
        (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
        a, b = (x.reshape(len(x), -1, 4, 16).tolist() for x in (a, b))
        a_scale, b_scale = (x.reshape(len(x), -1, 4).tolist() for x in (a_scale, b_scale))
        for m, n in itertools.product(range(12), range(20)):
            assert seen[m, n] == core.chain(a[m], b[n], a_scale[m], b_scale[n])


def test_matmul_leaves_to_numpy_what_the_loops_cannot_do(rng):
    for parameters, columns in (
        ({"accumulate": "none"}, 16),
        ({"accumulate": "aligned", "scale": "ue8m0"}, 64),
        ({"accumulate": "aligned", "result": "e8m13"}, 64),
        ({"accumulate": "aligned", "scale": "ue5m3", "fraction": 50}, 64),
        ({"accumulate": "aligned", "scale": "ue5m3", "fraction": 45, "blocks": 4}, 64),
        ({"accumulate": "fp32", "scale": "ue8m0"}, 64),
        ({"accumulate": "exact", "scale": "ue8m0"}, 64),
        ({"accumulate": "fp32", "scale": "ue5m3", "blocks": 4}, 256),
        ({"accumulate": "exact", "scale": "ue5m3"}, 512),
        ({"accumulate": "fp32", "scale": "ue4m3"}, 16),
    ):
        spec = DotSpec(**untyped(parameters))
        check_matmul(spec, *operands(rng, spec, (20, 30, columns)), applies=False)
    infinite = DotSpec(element="e3m4", scale="ue2m0", block_size=4, accumulate="fp32")
    A, B = operands(rng, infinite, (20, 30, 64))
    check_matmul(infinite, A, B, applies=True)
    codes = A.codes.copy()
    infinity = A.element_format.infinity_code
    assert infinity is not None
    codes[3, 5] = infinity
    check_matmul(infinite, dataclasses.replace(A, codes=codes), B, applies=False)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("cpu", ["host", "generic"])
def test_on_other_processors(cpu, tmp_path):
    """With short vectors, and where there are no vectors of that length and no fused additions."""
    program = """
from llvmlite import binding
features = binding.get_host_cpu_features()
features.update({name: False for name in features if name.startswith("avx512")})
binding.get_host_cpu_features = lambda: features
import numpy as np
from blockdot.model import BlockTensor, DotSpec, matmul
from blockdot.model.fast import kernels, staircases
assert kernels.tile_shape(np.float32) == (3, 16)
rng = np.random.default_rng(1)
for accumulate in ("fp32", "exact", "aligned"):
    spec = DotSpec(scale="ue4m3", accumulate=accumulate)
    A, B = (
        BlockTensor(
            rng.integers(0, 16, (n, 128), np.uint8), rng.integers(0, 127, (n, 8), np.uint8), scale="ue4m3"
        )
        for n in (20, 50)
    )
    with staircases.compiled_from(0):
        seen = matmul(spec, A, B)
    with staircases.plain():
        wanted = matmul(spec, A, B)
    assert np.array_equal(seen.view(np.uint32), wanted.view(np.uint32))
x = A.dequantize()
table = np.multiply.outer(A.scale_format.values, A.element_format.values).astype(np.float32)
codes, scales = A.codes.reshape(-1, 32), A.scales.ravel()[::2]
kernels.decode_nibbles(codes, scales, table, x.reshape(-1, 32))
wanted = table[scales[:, np.newaxis], codes]
assert np.array_equal(x.reshape(-1, 32).view(np.uint32), wanted.view(np.uint32))
print(len(kernels.add_products.signatures))
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    if cpu != "host":
        environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["2"]


def test_panels_are_the_rows_and_then_zeros(rng):
    compiled = staircases.loops(1)
    assert compiled
    codes, scales = rng.integers(0, 16, (5, 3, 4), np.uint8), rng.integers(0, 8, (5, 3), np.uint8)
    elements, factors = rng.standard_normal((2, 16)).astype(np.float32)
    panels = np.full((2, 12, 4), np.nan, np.float32)
    compiled.pack_panels(codes, scales, elements, factors, panels)
    rows = panels.swapaxes(1, 2).reshape(8, 3, 4)
    np.testing.assert_array_equal(rows[:5], elements[codes] * factors[scales][..., np.newaxis])
    assert not rows[5:].any()


def test_matmul_memory_is_bounded(rng):
    spec = DotSpec(scale="ue5m3", accumulate="fp32")
    A, B = (quantize(rng.standard_normal((2048, 256)).astype(np.float32)) for _ in "AB")
    matmul(spec, A, B)
    tracemalloc.start()
    result = matmul(spec, A, B)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < result.nbytes + 16 * 2**20


def test_small_tensors_do_not_import_numba():
    program = (
        "import sys, numpy as np; from blockdot.model import quantize; "
        "quantize(np.ones((64, 64), np.float32)).dequantize(); print('numba' in sys.modules); "
        "quantize(np.ones((1024, 1024), np.float32)); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.fixture
def forgotten():
    """Whether there are compiled loops is asked anew, before and after."""
    staircases.compiled_loops.cache_clear()
    yield
    staircases.compiled_loops.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_without_numba_all_is_numpy(monkeypatch, rng):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert staircases.loops(1 << 30) is None
    assert quantize(rng.standard_normal((4, 16)).astype(np.float32)).shape == (4, 16)


def test_the_loops_are_there():
    """Where numba is, as it is here: a module that was moved must not end in numpy without a word."""
    assert staircases.loops(1) is not None


@pytest.mark.usefixtures("forgotten")
def test_a_numba_that_cannot_be_imported_is_left_alone(monkeypatch, rng):
    def fails(*_arguments: object) -> None:
        raise ImportError("Numba needs NumPy 2.0 or less")

    monkeypatch.setattr("importlib.import_module", fails)
    assert staircases.loops(1 << 30) is None
    assert quantize(rng.standard_normal((4, 16)).astype(np.float32)).shape == (4, 16)
