"""The recipes against block-by-block float32 arithmetic; `make clients` holds them against the packages."""

import ml_dtypes
import numpy as np
import pytest
from blockdot.model import quantize

F = np.float32
RECIPES = ("compressed_tensors", "modelopt", "torchao")


def e4m3(value: np.float32) -> np.float32:
    return F(min(value, F(448)).astype(ml_dtypes.float8_e4m3fn))


def e2m1(value: np.float32) -> np.float32:
    return F(np.clip(value, F(-6), F(6)).astype(ml_dtypes.float4_e2m1fn))


def by_hand(recipe: str, block: np.ndarray, largest: np.float32) -> tuple[np.float32, np.ndarray]:
    """The scale and the elements of a block, one operation and one rounding at a time."""
    top = np.abs(block).max()
    match recipe:
        case "compressed_tensors":
            divisor = F(F(2688) / largest)
            scale = e4m3(F(divisor * F(top / F(6)))) or F(0.125)
            return scale, np.array([e2m1(F(x / F(scale / divisor))) for x in block])
        case "modelopt":
            factor = F(largest / F(2688))
            scale = F(top / F(F(6) * factor))
            scale = e4m3(max(F(2**-9), scale)) if scale else F(1)
            return scale, np.array([e2m1(F(x / F(scale * factor))) for x in block])
        case _:
            factor = F(largest / F(2688))
            scale = e4m3(max(F(2**-6), F(F(top / F(6)) / factor)))
            return scale, np.array([e2m1(F(x * F(F(F(1) / factor) / scale))) for x in block])


@pytest.mark.parametrize("recipe", RECIPES)
def test_operation_by_operation(recipe, rng):
    x = rng.standard_normal((6, 64)).astype(F)
    x *= F(2) ** rng.integers(-18, 4, (6, 4)).repeat(16, axis=1).astype(F)
    x[0, :16] = 0
    tensor = quantize(x, scale="ue4m3", recipe=recipe)
    scales = tensor.scale_format.values[tensor.scales]
    elements = tensor.element_format.values[tensor.codes]
    largest = np.abs(x).max()
    for row in range(6):
        for k in range(4):
            part = slice(16 * k, 16 * k + 16)
            scale, wanted = by_hand(recipe, x[row, part], largest)
            assert scales[row, k] == scale
            np.testing.assert_array_equal(elements[row, part], wanted)


@pytest.mark.parametrize(
    ("recipe", "zero", "small"),
    [("compressed_tensors", 0x20, 0x20), ("modelopt", 0x38, 0x01), ("torchao", 0x08, 0x08)],
)
def test_the_scales_of_zero_and_of_small_blocks(recipe, zero, small):
    """0x20 is 0.125, 0x38 1, 0x01 2**-9, and 0x08 2**-6."""
    x = np.zeros((3, 16), F)
    x[0] = 2688  # the tensor scale is 1
    x[2, 0] = 1e-5
    tensor = quantize(x, scale="ue4m3", recipe=recipe)
    assert tensor.tensor_scale == 1
    assert tensor.scales[1:, 0].tolist() == [zero, small]
    assert not tensor.codes[1:].any()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_tensor_of_zeros(recipe):
    tensor = quantize(np.zeros((1, 16), F), scale="ue4m3", recipe=recipe)
    assert not tensor.dequantize().any()
    assert tensor.scales_are_finite


@pytest.mark.parametrize(("recipe", "codes"), [("compressed_tensors", 0), ("modelopt", 0), ("torchao", 8)])
def test_the_sign_of_zero(recipe, codes):
    x = np.full((1, 16), -0.0, F)
    x[0, 0] = 6
    assert quantize(x, scale="ue4m3", recipe=recipe).codes[0, 1:].tolist() == [codes] * 15
