"""Models of experts: which way round stacks stand, and what transformers and ModelOpt make of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.model.io.checkpoint import Checkpoint
from blockdot.model.io.experts import ExpertStacks
from blockdot.model.io.model_files import ModelFiles
from run_blockdot import blockdot

torch = pytest.importorskip("torch", reason="`make clients` installs it")
transformers = pytest.importorskip("transformers", reason="`make clients` installs it")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="`make clients` installs it")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]

TOKENS = torch.arange(20)[None]
COMMON = {
    "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "vocab_size": 128, "max_position_embeddings": 64,
    "tie_word_embeddings": False, "num_experts_per_tok": 1,
}  # fmt: skip
QWEN = {"intermediate_size": 96, "moe_intermediate_size": 48, "num_experts": 3}
QWEN_3_5 = QWEN | {"layer_types": ["full_attention"]}
MODELS = {
    "llama4": ("Llama4ForCausalLM", "Llama4TextConfig", {"intermediate_size": 48, "num_local_experts": 3}),
    "gpt_oss": ("GptOssForCausalLM", "GptOssConfig", {"intermediate_size": 48, "num_local_experts": 3}),
    "qwen3_vl_moe": ("Qwen3VLMoeForConditionalGeneration", "Qwen3VLMoeConfig", QWEN),
    "qwen3_5_moe": ("Qwen3_5MoeForCausalLM", "Qwen3_5MoeTextConfig", QWEN_3_5),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {"intermediate_size": 96, "num_local_experts": 3}),
    "qwen3_moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", QWEN),
}  # fmt: skip


def made(kind: str, dtype: Any, folder: Path) -> Any:
    """A random model of a kind, and its files in a folder."""
    model_class, config_class, options = MODELS[kind]
    config = getattr(transformers, config_class)
    torch.manual_seed(0)
    if kind == "qwen3_vl_moe":
        vision = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32,
                  "out_hidden_size": 64, "deepstack_visual_indexes": [],
                  "num_position_embeddings": 16}  # fmt: skip
        model = getattr(transformers, model_class)(config(text_config=COMMON | options, vision_config=vision))
    else:
        model = getattr(transformers, model_class)(config(**COMMON | options))
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.05)
    model = model.to(dtype)
    model.save_pretrained(folder)
    if kind == "qwen3_5_moe":
        # Published ones have the module's own tensors; transformers writes a matrix for each expert.
        own = {name: parameter.detach() for name, parameter in model.named_parameters()}
        safetensors_torch.save_file(own, folder / "model.safetensors", {"format": "pt"})
    return model


def experts_of(model: Any) -> Any:
    (found,) = [module for name, module in model.named_modules() if name.endswith(".experts")]
    return found


def twice_rounded(read: Checkpoint, name: str) -> Any:
    """What compressed-tensors makes of a matrix: it rounds the scale over the divisor, then the product."""
    tensor = read.read(name)
    scales = tensor.scale_format.values[tensor.scales].astype(np.float32)
    scales = scales / read.files.values(f"{name}.weight_global_scale")
    return torch.from_numpy(
        tensor.element_format.values[tensor.codes].astype(np.float32) * scales.repeat(16, axis=1)
    )


@pytest.mark.parametrize("kind", ["llama4", "gpt_oss", "qwen3_vl_moe", "qwen3_5_moe"])
def test_the_matrices_of_a_stack_compute_what_the_model_does(kind: str, tmp_path: Path) -> None:
    """Each expert's output from its three matrices, beside that of the model's own module."""
    module = experts_of(made(kind, torch.float32, tmp_path))
    stacks = ExpertStacks(ModelFiles(tmp_path))
    assert len(stacks.infos) == 2
    parts = {name: part for stack in stacks.infos for name, part in stacks.parts(stack).items()}
    matrices = {name: torch.from_numpy(stacks.matrix(part)) for name, part in parts.items()}
    before = next(iter(parts)).rpartition("experts.")[0] + "experts"
    x = torch.randn(4, 64)
    for expert in range(3):
        gate, up, down = (matrices[f"{before}.{expert}.{one}_proj"] for one in ("gate", "up", "down"))
        if kind == "gpt_oss":
            biases = module.gate_up_proj_bias[expert]
            g, u = x @ gate.T + biases[::2], x @ up.T + biases[1::2]
            inner = (u + 1) * g * torch.sigmoid(g * module.alpha)
            wanted = inner @ down.T + module.down_proj_bias[expert]
        else:
            wanted = (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ down.T
        with torch.no_grad():
            if kind == "llama4":
                rows = torch.zeros(3, 4, 64)
                rows[expert] = x
                seen = module(rows.reshape(-1, 64)).reshape(3, 4, 64)[expert]
            else:
                seen = module(x, torch.full((4, 1), expert), torch.ones(4, 1))
        torch.testing.assert_close(seen, wanted, rtol=1e-4, atol=1e-6)
        # A whole stack is the same, in rows of K.
        for stack in stacks.infos:
            values = stacks.values(stack)[expert]
            assert values.shape[-1] == (64 if stack.endswith("gate_up_proj") else 48)


@pytest.mark.parametrize("kind", ["llama4", "gpt_oss"])
def test_stacks_are_what_modelopt_exports(kind: str, tmp_path: Path) -> None:
    """Names, types, shapes and bytes, by the recipe that has its bits."""
    quantization = pytest.importorskip("modelopt.torch.quantization")
    export = pytest.importorskip("modelopt.torch.export")
    made(kind, torch.float32, tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    blockdot(
        "quantize",
        tmp_path / "model",
        "-o",
        tmp_path / "ours",
        "--layout",
        "modelopt",
        "--recipe",
        "modelopt",
    )

    def calibrate(one: Any) -> None:
        for _ in range(4):
            one(torch.randint(0, 128, (2, 16)))

    export.export_hf_checkpoint(
        quantization.quantize(model, quantization.NVFP4_DEFAULT_CFG, calibrate),
        export_dir=tmp_path / "theirs",
    )
    ours, theirs = ModelFiles(tmp_path / "ours"), ModelFiles(tmp_path / "theirs")
    names = [name for name in theirs.infos if ".experts." in name and not name.endswith("_input_scale")]
    assert len([name for name in names if name.endswith("_weight_scale_2")]) == 2
    for name in names:
        assert ours.infos[name] == theirs.infos[name]
        np.testing.assert_array_equal(ours.raw(name), theirs.raw(name), name)


def test_llama_4_loads(tmp_path: Path) -> None:
    """transformers has a matrix for each expert where a checkpoint is quantized."""
    pytest.importorskip("compressed_tensors", reason="`make clients` installs it")
    made("llama4", torch.bfloat16, tmp_path / "model")
    blockdot("quantize", tmp_path / "model", "-o", tmp_path / "out")
    read = Checkpoint(tmp_path / "out")
    config = transformers.CompressedTensorsConfig(dequantize=True)
    for options in ({}, {"quantization_config": config}):
        model, told = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "out", output_loading_info=True, **options
        )
        assert not any(told.values()), told
        with torch.no_grad():
            model(TOKENS)  # decompresses
        modules = dict(model.named_modules())
        names = [name for name in read.layouts if ".experts." in name]
        assert len(names) == 9
        for name in names:
            assert torch.equal(modules[name].weight, twice_rounded(read, name).to(torch.bfloat16)), name


@pytest.mark.parametrize(
    ("kind", "names"), [("mixtral", ("w1", "w3", "w2")), ("qwen3_moe", ("gate_proj", "up_proj", "down_proj"))]
)
def test_matrices_of_experts_load_but_for_their_tensor_scale(
    kind: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    """transformers 5.24 forgets the divisor of experts that it puts into one tensor; all else is right."""
    pytest.importorskip("compressed_tensors", reason="`make clients` installs it")
    made(kind, torch.bfloat16, tmp_path / "model")
    blockdot("quantize", tmp_path / "model", "-o", tmp_path / "out")
    read = Checkpoint(tmp_path / "out")
    module = experts_of(transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out"))
    (before,) = {name.partition(".experts.")[0] for name in read.layouts if ".experts." in name}
    for expert in range(3):
        gate, up, down = (read.read(f"{before}.experts.{expert}.{one}") for one in names)
        assert gate.tensor_scale == up.tensor_scale  # what vLLM asks for
        for seen, parts in ((module.gate_up_proj[expert], (gate, up)), (module.down_proj[expert], (down,))):
            wanted = np.concatenate([part.dequantize() / np.float32(part.tensor_scale) for part in parts])
            np.testing.assert_allclose(seen.detach().float().numpy(), wanted, rtol=2.0**-8)
