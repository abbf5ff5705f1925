"""The compiled loops against numpy, bit for bit; numpy is held against exact rationals elsewhere."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from blockdot.model import BlockTensor, accelerate, formats, quantize
from messages import whole

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """However few elements there are."""
    monkeypatch.setattr(accelerate, "_WORTH_IMPORT", 0)
    monkeypatch.setattr(accelerate, "_WORTH_TABLES", 0)


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
    with accelerate.plain():
        wanted = quantize(x, block_size=x.shape[1], **parameters)
        back = wanted.dequantize()
    np.testing.assert_array_equal(seen.scales, wanted.scales)
    np.testing.assert_array_equal(seen.codes, wanted.codes)
    assert seen.tensor_scale == wanted.tensor_scale
    np.testing.assert_array_equal(seen.dequantize().view(np.uint32), back.view(np.uint32))
    return seen


@pytest.mark.parametrize("scale", [*formats.SCALES, "ue8m5", "ue2m0"])
def test_quantize(scale, rng):
    methods = ("absmax", "prevent_zero", *(("floor", "ceil") if scale == "ue8m0" else ()))
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
    honest = accelerate.Staircases.encode
    monkeypatch.setattr(
        accelerate.Staircases, "encode", lambda *arguments: taken.append(1) or honest(*arguments)
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
        quantize(x, **parameters)
        assert bool(taken) == applies
    with accelerate.plain():
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
            with accelerate.plain():
                wanted = tensor.dequantize()
            np.testing.assert_array_equal(seen.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_in_the_same_words(bad, rng):
    x = rng.standard_normal((4, 32)).astype(np.float32)
    x[2, 7] = bad
    message = f"x must be finite, not NaN or Inf in 1 of 128 values, the first {bad} at [2, 7]"
    for parameters in ({}, {"tensor_scale": True}, {"scale": "ue4m3", "recipe": "transformer_engine"}):
        with pytest.raises(ValueError, match=whole(message)):
            quantize(x, **parameters)


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
    accelerate._compiled.cache_clear()
    yield
    accelerate._compiled.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_without_numba_all_is_numpy(monkeypatch, rng):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert accelerate.loops(1 << 30) is None
    assert quantize(rng.standard_normal((4, 16)).astype(np.float32)).shape == (4, 16)


@pytest.mark.usefixtures("forgotten")
def test_a_numba_that_cannot_be_imported_is_left_alone(monkeypatch, rng):
    def fails(*_arguments: object) -> None:
        raise ImportError("Numba needs NumPy 2.0 or less")

    monkeypatch.setattr("importlib.import_module", fails)
    assert accelerate.loops(1 << 30) is None
    assert quantize(rng.standard_normal((4, 16)).astype(np.float32)).shape == (4, 16)
