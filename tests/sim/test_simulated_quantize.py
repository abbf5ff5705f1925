"""Tensors through simulated quantizers, and on through a simulated tile, against the model."""

import numpy as np
import pytest
from blockdot.hw import DotArray, QuantizerUnit
from blockdot.lab.demo_weights import real_tensors
from blockdot.model import DotSpec, QuantizerSpec, matmul, quantize
from blockdot.model.quantizer import INPUTS
from blockdot.sim import simulate_matmul, simulate_quantize
from messages import check_messages


def of_bf16(values: np.ndarray) -> np.ndarray:
    return INPUTS["bf16"].to_float32(INPUTS["bf16"].encode(values.astype(np.float32)))


def test_floats_in_and_the_product_out(build_dir, rng):
    """Quantized by one unit, multiplied by another: what the model gives of both."""
    scale = "ue5m3"
    spec = DotSpec(scale=scale, block_size=2, accumulate="fp32")
    method = "prevent_zero"
    quantizer = QuantizerUnit(QuantizerSpec(scale=scale, block_size=2, method=method), stages=1)
    weights = real_tensors()
    if weights is None:
        pair = [rng.standard_normal((5, 32)) * 2.0 ** rng.integers(-12, 6, (5, 1)) for _ in range(2)]
    else:
        pair = [weights[0][:5, :32], weights[1][:7, 32:64]]
    A, B = (of_bf16(values) for values in pair)
    made = [simulate_quantize(quantizer, x, stalls=3, engine="pysim") for x in (A, B)]
    wanted = [quantize(x, scale=scale, block_size=2, method=method) for x in (A, B)]
    for seen, want in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(seen.codes, want.codes)
        np.testing.assert_array_equal(seen.scales, want.scales)
    array = DotArray(spec, rows=1, columns=1, stages=2)
    product = simulate_matmul(array, made[0], made[1], build_dir=build_dir)
    expected = matmul(spec, *wanted)
    assert np.array_equal(product.view(np.uint32), expected.view(np.uint32))
    assert np.abs(expected).max() > 0


@pytest.mark.parametrize("input", ["bf16", "fp16", "fp32"])
def test_every_input_and_what_is_not_finite(input, rng):
    spec = QuantizerSpec(input=input, scale="ue5m3", block_size=2)
    x = INPUTS[input].to_float32(INPUTS[input].encode(rng.standard_normal((3, 4)).astype(np.float32)))
    x[0, 0], x[2, 3] = np.nan, -np.inf
    seen = simulate_quantize(QuantizerUnit(spec, stages=0), x, engine="pysim")
    codes, scales = spec.compute(INPUTS[input].encode(x).reshape(3, 2, 2))
    np.testing.assert_array_equal(seen.scales, scales)
    np.testing.assert_array_equal(seen.codes, codes.reshape(3, 4))
    assert seen.scales[0, 0] == seen.scales[2, 1] == 0xFF


def test_a_tensor_scale_is_that_of_the_tensor(rng):
    spec = QuantizerSpec(block_size=2, tensor_scale=True)
    x = of_bf16(rng.standard_normal((6, 4)) * 3e-5)
    seen = simulate_quantize(QuantizerUnit(spec, stages=1), x, engine="pysim")
    wanted = quantize(x, scale=spec.scale, block_size=2, tensor_scale=True)
    assert seen.tensor_scale == wanted.tensor_scale != 1
    np.testing.assert_array_equal(seen.codes, wanted.codes)
    np.testing.assert_array_equal(seen.scales, wanted.scales)


def test_random_bits_come_from_the_seed(rng):
    spec = QuantizerSpec(block_size=2, rounding="stochastic", random_bits=3)
    x = of_bf16(rng.standard_normal((6, 8)))
    unit = QuantizerUnit(spec, stages=0)
    one, again, other = (simulate_quantize(unit, x, seed=seed, engine="pysim") for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.codes, again.codes)
    assert (one.codes != other.codes).any()
    np.testing.assert_array_equal(one.scales, quantize(x, scale=spec.scale, block_size=2).scales)


def test_what_does_not_fit_is_refused():
    unit = QuantizerUnit(QuantizerSpec(block_size=2), stages=1)
    odd, between = np.ones((2, 3), np.float32), np.full((2, 2), 1 + 2**-10, np.float32)
    check_messages(
        [
            (
                ValueError,
                "x must have blocks of 2 along its last axis, not shape (2, 3)",
                lambda: simulate_quantize(unit, odd),
            ),
            (
                ValueError,
                f"x must be of bf16 numbers for {unit.spec.name}, and some are not",
                lambda: simulate_quantize(unit, between),
            ),
        ]
    )
