"""torch tensors in and out: `make clients`."""

import numpy as np
import pytest
from blockdot.model import BlockTensor, formats, quantize

torch = pytest.importorskip("torch", reason="`make clients` installs it")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gradient", [False, True])
def test_quantize_takes_a_tensor(kind, gradient):
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0)).to(kind).requires_grad_(gradient)
    wanted = quantize(x.detach().float().numpy())
    for seen in (quantize(x), quantize(x.T.contiguous().T)):
        np.testing.assert_array_equal(seen.codes, wanted.codes)
        np.testing.assert_array_equal(seen.scales, wanted.scales)


def test_float64_is_refused_with_the_cast():
    with pytest.raises(ValueError, match=r"not 0\.1 at \[0\]; np\.asarray\(x, np\.float32\) rounds them$"):
        quantize(torch.full((16,), 0.1, dtype=torch.float64))


def test_codes_of_torch():
    tensor = quantize(torch.randn(4, 32, generator=torch.Generator().manual_seed(1)), scale="ue4m3")
    packed = torch.from_numpy(tensor.pack())
    scales = torch.from_numpy(tensor.scales.copy()).view(torch.float8_e4m3fn)
    for given in (packed, packed.view(torch.float4_e2m1fn_x2)):
        again = BlockTensor.unpack(given, scales, scale="ue4m3")
        np.testing.assert_array_equal(again.codes, tensor.codes)
        np.testing.assert_array_equal(again.scales, tensor.scales)
    powers = torch.arange(255, dtype=torch.uint8).view(torch.float8_e8m0fnu)
    np.testing.assert_array_equal(formats.get("ue8m0").decode(powers), powers.float().numpy())
    with pytest.raises(
        TypeError, match=r"^a tensor of float4_e2m1fn_x2 must be taken as codes, not as numbers$"
    ):
        quantize(packed.view(torch.float4_e2m1fn_x2))


def test_a_tensor_goes_out():
    tensor = quantize(np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32))
    seen = torch.from_dlpack(tensor)
    assert seen.dtype == torch.float32
    np.testing.assert_array_equal(seen.numpy(), tensor.dequantize())
    assert torch.equal(torch.asarray(tensor), seen)
