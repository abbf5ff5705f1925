"""Recipes, bit for bit, against the packages that they are named after: `make clients`."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from blockdot.model import BlockTensor, quantize
from blockdot.model.quantize import Method

torch = pytest.importorskip("torch", reason="`make clients` installs it")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]


def matrices() -> list[np.ndarray]:
    """Matrices of every size of block, with zeros of both signs, ties, and blocks of zeros."""
    rng = np.random.default_rng(7)
    found = []
    for scale in (1.0, 2.0**-20, 2.0**30):
        x = rng.standard_normal((64, 256)).astype(np.float32)
        x *= 2.0 ** rng.integers(-24, 2, (64, 16)).repeat(16, axis=1)
        x[rng.random(x.shape) < 0.05] = 0.0
        x[rng.random(x.shape) < 0.02] = -0.0
        x[3, :32] = 0.0
        found.append((scale * x).astype(np.float32))
    ties = rng.choice([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0], (16, 64)).astype(np.float32)
    ties[0, 0] = 2688
    ties[:, ::16] = np.maximum(ties[:, ::16], 6)
    return [*found, ties * rng.choice([-1, 1], ties.shape).astype(np.float32)]


Made = tuple[np.ndarray, np.ndarray, float]


def by_compressed_tensors(x: Any) -> Made:
    helpers = import_module("compressed_tensors.compressors.nvfp4.helpers")
    quantization = import_module("compressed_tensors.quantization")
    utils = import_module("compressed_tensors.quantization.utils.helpers")
    args = quantization.preset_name_to_scheme("NVFP4A16", ["Linear"]).weights
    divisor = utils.generate_gparam(x.min(), x.max())
    blocks = x.reshape(x.shape[0], -1, 16)
    scales, _ = utils.calculate_qparams(blocks.amin(-1), blocks.amax(-1), args, divisor)
    packed = helpers.quantize_and_pack_fp4(x, scales, divisor, None, 16)
    return packed.numpy(), scales.to(torch.float8_e4m3fn).view(torch.uint8).numpy(), 1 / divisor.item()


def by_modelopt(x: Any) -> Made:
    nvfp4 = import_module("modelopt.torch.quantization.qtensor.nvfp4_tensor").NVFP4QTensor
    made, scales, factor = nvfp4.quantize(x.clone(), 16)
    # ModelOpt gives the codes in no other way.
    return made._quantized_data.numpy(), scales.view(torch.uint8).numpy(), factor.item()  # noqa: SLF001


def by_torchao(x: Any) -> Made:
    nvfp4 = import_module("torchao.prototype.mx_formats.nvfp4_tensor")
    factor = nvfp4.per_tensor_amax_to_scale(x.abs().max())
    scales, packed = nvfp4.nvfp4_quantize(x, 16, factor)
    return packed.numpy(), scales.view(torch.uint8).numpy(), factor.item()


@pytest.mark.parametrize("x", matrices(), ids=["one", "small", "large", "ties"])
@pytest.mark.parametrize(
    ("recipe", "make"),
    [("compressed_tensors", by_compressed_tensors), ("modelopt", by_modelopt), ("torchao", by_torchao)],
)
def test_the_bits_of_the_package(recipe: str, make: Callable[[Any], Made], x: np.ndarray) -> None:
    packed, scales, factor = make(torch.from_numpy(x))
    ours: BlockTensor = quantize(x, scale="ue4m3", recipe=recipe)  # type: ignore[arg-type]  # parametrized
    np.testing.assert_array_equal(ours.scales, scales.reshape(ours.scales.shape))
    np.testing.assert_array_equal(ours.pack(), packed.reshape(ours.pack().shape))
    assert ours.tensor_scale == pytest.approx(factor, rel=2.0**-23)
    assert (ours.codes == 8).any()


@pytest.mark.parametrize("x", matrices(), ids=["one", "small", "large", "ties"])
@pytest.mark.parametrize("element", ["e2m1", "e4m3", "e5m2"])
@pytest.mark.parametrize(("method", "mode"), [("floor", "FLOOR"), ("even", "EVEN"), ("ceil", "RCEIL")])
def test_scales_that_are_powers_of_two(method: Method, mode: str, element: str, x: np.ndarray) -> None:
    mx = import_module("torchao.prototype.mx_formats.mx_tensor")
    modes = import_module("torchao.prototype.mx_formats.config").ScaleCalculationMode
    theirs = {"e2m1": torch.float4_e2m1fn_x2, "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
    scales, data = mx.to_mx(torch.from_numpy(x), theirs[element], 32, getattr(modes, mode))
    ours = quantize(x, element, "ue8m0", 32, method)
    np.testing.assert_array_equal(ours.scales, scales.view(torch.uint8).numpy().reshape(ours.scales.shape))
    codes = ours.pack() if element == "e2m1" else ours.codes
    np.testing.assert_array_equal(codes, data.view(torch.uint8).numpy().reshape(codes.shape))
