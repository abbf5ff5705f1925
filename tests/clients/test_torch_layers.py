"""Layers of PyTorch whose products are a unit's: `make clients`."""

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.frameworks.quantized_product import QuantizedProduct
from blockdot.model import BlockTensor, DotSpec, matmul, quantize

torch = pytest.importorskip("torch", reason="`make clients` installs it")
blockdot_torch = import_module("blockdot.torch")
QuantizedLinear, quantize_model = blockdot_torch.QuantizedLinear, blockdot_torch.quantize_model

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]

PAGE = Path(__file__).parents[2] / "docs" / "pytorch.md"
FP32 = DotSpec(accumulate="fp32")
UNITS = [
    FP32,
    DotSpec(scale="ue4m3", block_size=8, blocks=2, accumulate="exact"),
    DotSpec(accumulate="aligned", fraction=20),
    DotSpec.preset("blackwell-nvfp4"),
    DotSpec(element=("e4m3", "e2m1"), scale=("ue8m0", "ue5m3"), block_size=32, accumulate="fp32"),
]


def layer_of(product: Any, *, backward: Any = None, outputs: int = 24, kind: Any = None) -> Any:
    torch.manual_seed(1)
    layer = QuantizedLinear(128, outputs, product, backward=backward, dtype=kind)
    with torch.no_grad():
        # Scales of many sizes, so that the order of sums shows.
        layer.weight.mul_(torch.exp2(torch.randint(-12, 3, layer.weight.shape)))
    return layer


def input_of(*shape: int, kind: Any = None) -> Any:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(2))
    return (x * torch.exp2(x.round() * 3)).to(kind or torch.float32)


def codes_of(spec: DotSpec, index: int, values: Any, **options: Any) -> BlockTensor:
    values = values.detach().float().numpy()
    return quantize(values, spec.elements[index], spec.scales[index], spec.block_size, **options)


def bits(tensor: Any) -> Any:
    return tensor.detach().float().contiguous().numpy().view(np.uint32)


def product_of(spec: DotSpec, a: Any, b: Any, **options: Any) -> Any:
    return torch.from_numpy(
        matmul(spec, codes_of(spec, 0, a, **options), codes_of(spec, 1, b, **options)).copy()
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spec", UNITS, ids=str)
def test_the_bits_are_the_unit_s(spec, kind):
    layer, x = layer_of(spec, kind=kind), input_of(2, 5, 128, kind=kind)
    wanted = product_of(spec, x.reshape(10, 128), layer.weight) + layer.bias.float()
    seen = layer(x)
    assert (seen.dtype, seen.shape) == (kind, (2, 5, 24))
    np.testing.assert_array_equal(bits(seen), bits(wanted.reshape(2, 5, 24).to(kind)))
    if kind == torch.float32:
        # It is not what another way to add gives.
        near = torch.nn.functional.linear(
            torch.from_numpy(codes_of(spec, 0, x.reshape(10, 128)).dequantize()).double(),
            torch.from_numpy(codes_of(spec, 1, layer.weight).dequantize()).double(),
            layer.bias.double(),
        ).reshape(2, 5, 24)
        torch.testing.assert_close(seen.double(), near, rtol=1e-3, atol=1e-3 * near.abs().max().item())


def test_options_of_each_operand():
    product = QuantizedProduct(FP32, method=("absmax", "search"), tensor_scale=True)
    layer, x = layer_of(product), input_of(3, 128)
    wanted = matmul(
        FP32,
        quantize(x, tensor_scale=True),
        quantize(layer.weight, method="search", tensor_scale=True),
    )
    np.testing.assert_array_equal(bits(layer(x)), bits(torch.from_numpy(wanted) + layer.bias))


def test_the_approximate_product_is_near_and_says_so():
    layer, x = layer_of(FP32), input_of(6, 128)
    fast = layer_of(QuantizedProduct(FP32, approximate=True))
    of_x, of_weight = (torch.from_numpy(quantize(one).dequantize()) for one in (x, layer.weight))
    torch.testing.assert_close(fast(x), of_x @ of_weight.T + layer.bias)
    torch.testing.assert_close(fast(x), layer(x), rtol=1e-4, atol=1e-4 * layer(x).abs().max().item())
    assert "approximate: sums are not the unit's" in repr(fast)
    assert "approximate" not in repr(layer)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = fast(x)
    assert torch.equal(autocast, fast(x))


def test_weights_only():
    layer = layer_of(QuantizedProduct(FP32, approximate=True, coded="b"))
    x = input_of(6, 128).requires_grad_()
    of_weight = torch.from_numpy(quantize(layer.weight).dequantize())
    torch.testing.assert_close(layer(x), x @ of_weight.T + layer.bias)
    layer(x).square().sum().backward()
    gradient = 2 * layer(x).detach()
    torch.testing.assert_close(x.grad, gradient @ of_weight)
    torch.testing.assert_close(layer.weight.grad, gradient.T @ x.detach())


@pytest.mark.parametrize("product", [FP32, QuantizedProduct(FP32, approximate=True)], ids=["unit", "near"])
def test_plain_gradients_are_those_of_the_formula(product):
    layer, x = layer_of(product), input_of(2, 3, 128).requires_grad_()
    pulled = input_of(2, 3, 24)
    layer(x).backward(pulled)
    of_x, of_weight = (
        torch.from_numpy(quantize(one).dequantize()).requires_grad_() for one in (x, layer.weight)
    )
    bias = layer.bias.detach().clone().requires_grad_()
    torch.nn.functional.linear(of_x, of_weight, bias).backward(pulled)
    for seen, wanted in ((x, of_x), (layer.weight, of_weight), (layer.bias, bias)):
        torch.testing.assert_close(seen.grad, wanted.grad)


@pytest.mark.parametrize("spec", UNITS, ids=str)
def test_quantized_gradients_have_the_unit_s_bits(spec):
    # Neither 7 rows nor 24 outputs are whole groups: zeros fill them.
    layer, x = layer_of(FP32, backward=QuantizedProduct(spec)), input_of(7, 128).requires_grad_()
    pulled = input_of(7, 24)
    layer(x).backward(pulled)
    group = spec.blocks * spec.block_size

    def whole(values: Any) -> Any:
        return torch.nn.functional.pad(values.detach(), (0, -values.shape[1] % group))

    wanted = product_of(spec, whole(pulled), whole(layer.weight.T))
    np.testing.assert_array_equal(bits(x.grad), bits(wanted))
    wanted = product_of(spec, whole(pulled.T), whole(x.T))
    np.testing.assert_array_equal(bits(layer.weight.grad), bits(wanted))
    torch.testing.assert_close(layer.bias.grad, pulled.sum(0))


@pytest.mark.parametrize("backward", [None, FP32], ids=["float32", "unit"])
def test_nothing_has_a_gradient_of_zero(backward):
    layer, x = layer_of(FP32, backward=backward), torch.zeros(2, 0, 128, requires_grad=True)
    seen = layer(x)
    assert seen.shape == (2, 0, 24)
    seen.sum().backward()
    assert x.grad.shape == x.shape
    assert not layer.weight.grad.any()


def test_each_gradient_may_have_a_product_of_its_own():
    pulled = input_of(16, 24)
    layer, x = layer_of(FP32, backward=(None, QuantizedProduct(FP32))), input_of(16, 128).requires_grad_()
    layer(x).backward(pulled)
    plain, y = layer_of(FP32), input_of(16, 128).requires_grad_()
    plain(y).backward(pulled)
    assert torch.equal(x.grad, y.grad)
    np.testing.assert_array_equal(bits(layer.weight.grad), bits(product_of(FP32, pulled.T, x.T)))
    assert "backward: float32 and e2m1_ue5m3_n16_fp32" in repr(layer)


def test_gradients_that_are_rounded_at_random_are_right_on_average():
    layer = layer_of(FP32, backward=FP32, outputs=32)
    assert "rounding=('stochastic', 'nearest_even')" in repr(layer)
    x = input_of(16, 128)
    pulled = torch.randn(16, 32)
    wanted = pulled @ torch.from_numpy(quantize(layer.weight.T.contiguous()).dequantize()).T
    found = []
    for _ in range(64):
        y = x.clone().requires_grad_()
        layer(y).backward(pulled)
        found.append(y.grad)
    drawn = torch.stack(found)
    assert drawn.std(0).max() > 0
    # Where a scale is rounded down, the largest of its block saturates: a small bias stays.
    assert (drawn.mean(0) - wanted).abs().mean() < 0.25 * (drawn[0] - wanted).abs().mean()


def trained(steps: int = 12) -> tuple[list[float], Any]:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    product = QuantizedProduct(FP32, rounding=("nearest_even", "stochastic"))
    assert quantize_model(model, product, backward=FP32) == ("0", "2")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    x = torch.randn(32, 16)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(model(x), x[:, :4])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def test_a_model_trains_and_repeats_from_its_seed():
    losses, model = trained()
    assert losses[-1] < 0.5 * losses[0]
    again, repeated = trained()
    assert losses == again
    for one, other in zip(model.parameters(), repeated.parameters(), strict=True):
        assert torch.equal(one, other)


def test_files(tmp_path):
    plain = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Linear(16, 2, bias=False))
    model = copy.deepcopy(plain)
    quantize_model(model, FP32, backward=FP32)
    x = input_of(3, 32)
    assert not torch.equal(model(x), plain(x))
    # The names and values of a state are those of the plain model, either way.
    torch.save(model.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt")
    plain.load_state_dict(state)
    assert list(state) == ["0.weight", "0.bias", "1.weight"]
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in state.items())
    fresh = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Linear(16, 2, bias=False))
    quantize_model(fresh, FP32)
    fresh.load_state_dict(plain.state_dict())
    assert torch.equal(fresh(x), model(x))
    torch.save(model, tmp_path / "model.pt")
    for one in (torch.load(tmp_path / "model.pt", weights_only=False), copy.deepcopy(model)):
        assert torch.equal(one(x), model(x))
        assert repr(one) == repr(model)


def test_a_layer_stays_the_object_that_it_was():
    layer = torch.nn.Linear(16, 16)
    called = []
    layer.register_forward_hook(lambda *_: called.append(1))
    weight, model = layer.weight, torch.nn.ModuleDict({"one": layer, "two": layer})
    assert quantize_model(model, FP32) == ("one",)
    assert type(model["two"]) is QuantizedLinear
    assert model["two"].weight is weight
    model["two"](torch.zeros(0, 16))
    assert called
    assert quantize_model(torch.nn.Linear(16, 2), FP32) == ("",)


def test_fused_encoder_layers_call_the_layers():
    torch.manual_seed(5)
    encoder = torch.nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True).eval()
    assert quantize_model(encoder, FP32) == ("linear1", "linear2")
    x = torch.randn(2, 4, 32)
    with torch.no_grad():
        fused = encoder(x)
    torch.testing.assert_close(fused, encoder(x).detach(), rtol=0, atol=1e-5)
    with torch.no_grad():
        encoder.linear2.product = QuantizedProduct(DotSpec(element="e4m3", accumulate="fp32"))
        assert not torch.allclose(encoder(x), fused, rtol=0, atol=1e-3)


def test_compiling_changes_no_bit():
    layer, x = layer_of(FP32), input_of(4, 128)
    seen = torch.compile(torch.nn.Sequential(layer, torch.nn.ReLU()), backend="eager")(x)
    np.testing.assert_array_equal(bits(seen), bits(layer(x).relu()))


def test_names_that_are_left_alone():
    model = torch.nn.ModuleDict({name: torch.nn.Linear(16, 16) for name in ("up", "down", "head")})
    assert quantize_model(model, FP32, leave_alone=["head", "d*"]) == ("up",)
    # Another product for those that are left.
    exact = DotSpec(accumulate="exact")
    assert quantize_model(model, exact, leave_alone=["head"]) == ("down",)
    assert [type(one) is QuantizedLinear for one in model.values()] == [True, True, False]
    assert model["up"].product.spec == FP32
    assert model["down"].product.spec == exact


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: quantize_model(torch.nn.ModuleDict({"fc": torch.nn.Linear(20, 4)}), FP32),
            ValueError,
            "in_features of fc must be a multiple of 16 for e2m1_ue5m3_n16_fp32, not 20; "
            "leave_alone=['fc'] leaves it as it is",
        ),
        (
            lambda: QuantizedLinear(20, 4, FP32),
            ValueError,
            "in_features must be a multiple of 16 for e2m1_ue5m3_n16_fp32, not 20",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4).double(), FP32),
            TypeError,
            "weight of the layer must be float32, bfloat16 or float16, not float64",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), DotSpec()),
            ValueError,
            "spec must have an accumulation that sums groups, fp32, exact, aligned, chain, "
            "not be e2m1_ue5m3_n16_none",
        ),
        (
            lambda: quantize_model(torch.nn.ReLU(), FP32),
            ValueError,
            "model must have a torch.nn.Linear that is not left alone, not none",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), FP32, leave_alone=["head"]),
            ValueError,
            "leave_alone must name linear layers of the model, not 'head'",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), FP32, leave_alone="head"),
            TypeError,
            "leave_alone must be a sequence of names, not 'head'",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), FP32, leave_alone=[0]),
            TypeError,
            "leave_alone must hold names, not 0",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(20, 4), FP32),
            ValueError,
            "in_features of the layer must be a multiple of 16 for e2m1_ue5m3_n16_fp32, not 20",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), FP32, backward="e2m1"),
            TypeError,
            "backward must be a DotSpec, a QuantizedProduct or None, not str",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), FP32, backward=(FP32,)),
            ValueError,
            "backward must be one product or a pair of them, not 1",
        ),
        (
            lambda: quantize_model([], FP32),
            TypeError,
            "model must be a torch.nn.Module, not list",
        ),
        (
            lambda: quantize_model(torch.nn.Linear(16, 4), "fp32"),
            TypeError,
            "product must be a DotSpec or a QuantizedProduct, not str",
        ),
        (
            lambda: layer_of(FP32)(torch.zeros(2, 128, dtype=torch.float64)),
            TypeError,
            "input must be float32, bfloat16 or float16, not float64",
        ),
        (
            lambda: layer_of(FP32)(torch.zeros(2, 128, device="meta")),
            ValueError,
            "input must be on the CPU, not on meta",
        ),
        (
            lambda: layer_of(FP32)(torch.zeros(128, 2)),
            ValueError,
            "input must have 128 values along its last axis, not shape (128, 2)",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize("name", ["input", "weight", "gradient of the result"])
def test_messages_say_what_is_not_finite(name):
    layer, x, pulled = layer_of(FP32, backward=FP32), input_of(4, 128), torch.ones(4, 24)
    {"input": x, "weight": layer.weight.data}.get(name, pulled)[1, 2] = torch.inf
    with pytest.raises(ValueError, match=rf"^{name} must be finite, not NaN or Inf in 1 of "):
        layer(x).backward(pulled)


def test_nothing_is_turned_where_one_layer_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(16, 20), torch.nn.Linear(20, 4))
    with pytest.raises(ValueError, match=r"^in_features of 1 must be"):
        quantize_model(model, FP32)
    assert type(model[0]) is torch.nn.Linear


def test_weights_go_to_torchao_and_come_back():
    nvfp4 = pytest.importorskip(
        "torchao.prototype.mx_formats.nvfp4_tensor", reason="`make clients` installs it"
    )
    layer = layer_of(
        QuantizedProduct(DotSpec(scale="ue4m3", accumulate="fp32"), recipe=(None, "torchao")), outputs=32
    )
    weight = layer.weight.detach()
    factor = nvfp4.per_tensor_amax_to_scale(weight.abs().max())
    theirs = nvfp4.NVFP4Tensor.to_nvfp4(weight, per_tensor_scale=factor)
    codes = layer.weight_codes()
    np.testing.assert_array_equal(codes.pack(), theirs.qdata.numpy())
    back = BlockTensor.unpack(
        theirs.qdata, theirs.scale.reshape(codes.scales.shape), factor.item(), scale="ue4m3"
    )
    np.testing.assert_array_equal(back.codes, codes.codes)
    np.testing.assert_array_equal(back.scales, codes.scales)
    worth = theirs.dequantize(torch.float32)
    np.testing.assert_allclose(codes.dequantize(), worth.numpy(), rtol=2.0**-21)
    # A layer that loads what their codes are worth makes the same codes again.
    layer.weight.data.copy_(worth)
    np.testing.assert_array_equal(layer.weight_codes().codes, codes.codes)
    np.testing.assert_array_equal(layer.weight_codes().scales, codes.scales)


def test_weights_go_to_compressed_tensors_and_come_back():
    helpers = pytest.importorskip(
        "compressed_tensors.compressors.nvfp4.helpers", reason="`make clients` installs it"
    )
    layer = layer_of(
        QuantizedProduct(DotSpec(scale="ue4m3", accumulate="fp32"), recipe=(None, "compressed_tensors"))
    )
    codes = layer.weight_codes()
    seen = helpers.unpack_fp4_from_uint8(torch.from_numpy(codes.pack()), *codes.shape, dtype=torch.float32)
    scales = torch.from_numpy(codes.scales.copy()).view(torch.float8_e4m3fn).float() * codes.tensor_scale
    worth = seen * scales.repeat_interleave(16, dim=1)
    np.testing.assert_allclose(codes.dequantize(), worth.numpy(), rtol=2.0**-21)
    # The same again, but for the sign of zeros.
    layer.weight.data.copy_(worth)
    again, zero = layer.weight_codes().codes, codes.codes % 8 == 0
    np.testing.assert_array_equal(np.where(zero, again % 8, again), np.where(zero, 0, codes.codes))
    np.testing.assert_array_equal(layer.weight_codes().scales, codes.scales)


def test_the_listing_of_the_page_prints_what_it_says(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    (listing,) = re.findall(r"^```python[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "train.py").write_text(listing, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen, wanted = done.stdout.splitlines(), printed.splitlines()
    assert seen[0] == wanted[0]
    losses, told = ([[float(one) for one in line.split()] for line in text[1:]] for text in (seen, wanted))
    # Another processor's last bits make other draws.
    np.testing.assert_allclose(losses, told, atol=0.05)
