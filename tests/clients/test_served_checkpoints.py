"""Checkpoints as transformers and compressed-tensors load them: `make clients`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.model.io.checkpoint import Checkpoint
from run_blockdot import blockdot

torch = pytest.importorskip("torch", reason="`make clients` installs it")
transformers = pytest.importorskip("transformers", reason="`make clients` installs it")
pytest.importorskip("compressed_tensors", reason="`make clients` installs it")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]

TOKENS = torch.arange(20)[None]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama in bfloat16, in three files, with an outlier beside small weights in each layer."""
    folder = tmp_path_factory.mktemp("llama") / "model"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=128, max_position_embeddings=64, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    for layer in model.model.layers:
        layer.self_attn.v_proj.weight.data[0, 0] = 4.0
    model.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) == 3
    return folder


def load(folder: Path) -> Any:
    model, told = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    return model


def dequantized(llama: Path, quantized: Path) -> Any:
    """The model with the weights that its NVFP4 matrices are worth, in bfloat16.

    compressed-tensors rounds the scale over the divisor, and then the product. Beside a product that is
    rounded once, as by `dequantize`, a weight halfway between two of bfloat16 may come out on the other side.
    """
    model = load(llama)
    read = Checkpoint(quantized)
    weights = dict(model.named_parameters())
    for name in read.layouts:
        tensor = read.read(name)
        divisor = read.files.values(f"{name}.weight_global_scale")
        scales = tensor.scale_format.values[tensor.scales].astype(np.float32) / divisor
        twice = tensor.element_format.values[tensor.codes].astype(np.float32) * scales.repeat(16, axis=1)
        np.testing.assert_allclose(twice, tensor.dequantize(), rtol=2.0**-22)
        rounded = torch.from_numpy(twice).to(torch.bfloat16)
        weights[f"{name}.weight"].data.copy_(rounded)
    return model


@pytest.mark.parametrize("options", [[], ["--method", "four_over_six"], ["--recipe", "transformer_engine"]])
def test_transformers_loads_what_is_written(llama: Path, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "out"
    blockdot("quantize", llama, "-o", out, *options)
    assert len(Checkpoint(out).layouts) == 14
    with torch.no_grad():
        seen = load(out)(TOKENS).logits
        wanted = dequantized(llama, out)(TOKENS).logits
        assert torch.equal(seen, wanted)
        assert not torch.equal(seen, load(llama)(TOKENS).logits)


def test_from_modelopt_and_back(llama: Path, tmp_path: Path) -> None:
    """The other layout, converted, loads as well."""
    blockdot("quantize", llama, "-o", tmp_path / "a", "--layout", "modelopt")
    assert (
        json.loads((tmp_path / "a" / "hf_quant_config.json").read_text())["quantization"]["group_size"] == 16
    )
    blockdot("quantize", tmp_path / "a", "-o", tmp_path / "b")
    with torch.no_grad():
        assert torch.equal(
            load(tmp_path / "b")(TOKENS).logits, dequantized(llama, tmp_path / "b")(TOKENS).logits
        )


def test_a_model_with_activation_scales_is_loaded(llama: Path, tmp_path: Path) -> None:
    """NVFP4 for weights and inputs: what ModelOpt calls input_scale arrives as input_global_scale."""
    from safetensors.torch import load_file, save_file

    blockdot("quantize", llama, "-o", tmp_path / "a", "--layout", "modelopt")
    for path in (tmp_path / "a").glob("*.safetensors"):
        tensors = load_file(path)
        scaled = [name.removesuffix("_2") for name in tensors if name.endswith(".weight_scale_2")]
        for name in scaled:
            tensors[name.removesuffix("weight_scale") + "input_scale"] = torch.tensor(0.5)
        save_file(tensors, path, {"format": "pt"})
    (tmp_path / "a" / "model.safetensors.index.json").unlink()
    weights: dict[str, Any] = {}
    for path in sorted((tmp_path / "a").glob("*.safetensors")):
        weights |= load_file(path)
        path.unlink()
    save_file(weights, tmp_path / "a" / "model.safetensors", {"format": "pt"})
    blockdot("quantize", tmp_path / "a", "-o", tmp_path / "b")
    model = load(tmp_path / "b")
    scale = model.model.layers[0].self_attn.q_proj.input_global_scale
    assert scale.shape == (1,)
    assert scale.item() == 2.0


def test_what_vllm_fuses_keeps_its_error(llama: Path, tmp_path: Path) -> None:
    """vLLM takes one scale for q, k and v: the largest tensor scale, which is the least divisor."""
    blockdot("quantize", llama, "-o", tmp_path / "shared")
    blockdot("quantize", llama, "-o", tmp_path / "own", "--no-share-scales")
    original = load(llama).state_dict()

    def error(folder: Path, *, fused: bool) -> float:
        read = Checkpoint(folder)
        names = [f"model.layers.0.self_attn.{one}_proj" for one in "qkv"]
        tensors = {name: read.read(name) for name in names}
        largest = max(tensor.tensor_scale for tensor in tensors.values())
        noise = signal = 0.0
        for name, tensor in tensors.items():
            x = original[f"{name}.weight"].float().numpy().astype(np.float64)
            back = tensor.dequantize().astype(np.float64)
            noise += float(((back * (largest / tensor.tensor_scale if fused else 1) - x) ** 2).sum())
            signal += float((x**2).sum())
        return noise / signal

    assert error(tmp_path / "shared", fused=True) == error(tmp_path / "shared", fused=False)
    assert error(tmp_path / "own", fused=True) > 10 * error(tmp_path / "own", fused=False)
