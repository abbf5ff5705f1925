"""Products by way of codes, without a framework, and what is said where PyTorch is missing."""

import importlib
import re
import sys

import numpy as np
import pytest
from blockdot.frameworks.quantized_product import QuantizedProduct
from blockdot.model import DotSpec, quantize

FP32 = DotSpec(accumulate="fp32")


def test_each_operand_has_its_own_options(rng):
    spec = DotSpec(element=("e2m1", "e4m3"), scale=("ue4m3", "ue8m0"), block_size=8, accumulate="exact")
    product = QuantizedProduct(
        spec,
        method=("four_over_six", "ceil"),
        rounding=("nearest_away", "toward_zero"),
        tensor_scale=(True, False),
    )
    x = rng.standard_normal((4, 32)).astype(np.float32)
    wanted = (
        quantize(x, "e2m1", "ue4m3", 8, "four_over_six", True, rounding="nearest_away"),
        quantize(x, "e4m3", "ue8m0", 8, "ceil", rounding="toward_zero"),
    )
    for index, one in enumerate(wanted):
        seen = product.quantize(x, index, rng)
        np.testing.assert_array_equal(seen.codes, one.codes)
        np.testing.assert_array_equal(seen.scales, one.scales)
        assert seen.tensor_scale == one.tensor_scale


@pytest.mark.parametrize(
    ("options", "draws"),
    [
        ({}, False),
        ({"rounding": "stochastic"}, True),
        ({"rounding": ("nearest_even", "stochastic")}, True),
        ({"rounding": ("nearest_even", "stochastic"), "coded": "a", "approximate": True}, False),
    ],
)
def test_what_is_drawn(options, draws):
    assert QuantizedProduct(FP32, **options).draws == draws


def test_the_label_says_what_is_not_as_by_default():
    assert QuantizedProduct(FP32).label == "e2m1_ue5m3_n16_fp32"
    seen = QuantizedProduct(FP32, tensor_scale=(False, True), coded="b", approximate=True).label
    assert seen == (
        "e2m1_ue5m3_n16_fp32, tensor_scale=(False, True), coded='b', approximate: sums are not the unit's"
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"spec": "e2m1"}, TypeError, "spec must be a DotSpec, not str"),
        (
            {"spec": DotSpec()},
            ValueError,
            "spec must have an accumulation that sums groups, fp32, exact, aligned, chain, "
            "not be e2m1_ue5m3_n16_none",
        ),
        (
            {"spec": DotSpec.preset("hopper-e4m3")},
            ValueError,
            f"spec must have a scale format to quantize with, not be {DotSpec.preset('hopper-e4m3')}",
        ),
        ({"coded": "c"}, ValueError, "coded must be one of both, a, b, not 'c'"),
        (
            {"coded": "b"},
            ValueError,
            "coded must be 'both' unless approximate is True, as units take codes of both, not 'b'",
        ),
        (
            {"method": ("absmax",)},
            ValueError,
            "method must be one value or a pair of them, not ('absmax',)",
        ),
        ({"tensor_scale": (True, 3)}, TypeError, "tensor_scale must be a bool, not 3"),
        ({"method": ("absmax", "floor")}, ValueError, "scale must be ue8m0 for method 'floor', not 'ue5m3'"),
        ({"recipe": "torchao"}, ValueError, "scale must be ue4m3 for recipe 'torchao', not 'ue5m3'"),
    ],
)
def test_what_does_not_go_together_is_refused(options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        QuantizedProduct(**{"spec": FP32, **options})


def test_an_approximate_product_needs_no_accumulation():
    assert QuantizedProduct(DotSpec(blocks=4), approximate=True).group == 16


@pytest.mark.parametrize(
    ("spec", "length", "message"),
    [
        (DotSpec(blocks=4, accumulate="fp32"), 96, "K must be a multiple of 64 for {}, not 96"),
        (DotSpec(guard=1, accumulate="exact"), 48, "K must be at most 32 for {}, not 48"),
    ],
)
def test_lengths(spec, length, message):
    product = QuantizedProduct(spec)
    product.check_length("K", length - length % 32 if "most" in message else 128)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(spec))}$"):
        product.check_length("K", length)


def test_one_line_names_the_extra_where_pytorch_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("blockdot.torch", "blockdot.frameworks.torch_linear"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    message = "torch must be installed for blockdot.torch, not missing: pip install 'blockdot[torch]'"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        importlib.import_module("blockdot.torch")


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "blockdot.torch", raising=False)
    monkeypatch.setitem(sys.modules, "blockdot.frameworks.quantized_product", None)
    with pytest.raises(ModuleNotFoundError, match=r"blockdot\.frameworks\.quantized_product"):
        importlib.import_module("blockdot.torch")
