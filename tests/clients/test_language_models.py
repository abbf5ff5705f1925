"""Language models as transformers computes them: `make clients`."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import Arithmetic
from blockdot.lab.language.default_model import find_model, find_text, read_default_text
from blockdot.lab.language.model import open_model
from blockdot.lab.language.simulated_product import simulate_product
from blockdot.lab.language.transformer import Transformer
from blockdot.lab.quality.quantization_error import Quantization
from blockdot.model.spec import Accumulate
from tiny_models import HEAD, INNER, write_gguf, write_tokenizer

torch = pytest.importorskip("torch", reason="`make clients` installs it")
transformers = pytest.importorskip("transformers", reason="`make clients` installs it")
tokenizers = pytest.importorskip("tokenizers", reason="`make clients` installs it")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]

VOCABULARY = 256
WINDOWS = np.random.default_rng(0).integers(0, VOCABULARY, (3, 48))

LLAMA = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 64,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
GEMMA = {**LLAMA, "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 24, "sliding_window": 8}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**LLAMA, "tie_word_embeddings": True}),
    "llama-untied": ("Llama", {**LLAMA, "tie_word_embeddings": False}),
    "llama-biased": ("Llama", {**LLAMA, "attention_bias": True, "mlp_bias": True}),
    "llama-3": ("Llama", {**LLAMA, "rope_parameters": LLAMA3}),
    "llama-linear": (
        "Llama",
        {**LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}},
    ),
    "qwen2": ("Qwen2", LLAMA),
    "qwen3": ("Qwen3", {**LLAMA, "head_dim": 32}),
    "gemma3": ("Gemma3", GEMMA),
    "gpt2": ("GPT2", {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64, "vocab_size": VOCABULARY}),
}


def make(name: str, folder: Path) -> Any:
    """A random model with weights, norms and biases that matter, saved in two files or more."""
    family, facts = MODELS[name]
    config = getattr(transformers, f"{family}TextConfig" if family == "Gemma3" else f"{family}Config")
    torch.manual_seed(0)
    model_class = getattr(transformers, {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM"))
    model = model_class(config(**facts)).to(torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.2 if parameter.ndim == 1 else 0.05))
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    write_tokenizer(folder)
    return model


def logits_of(model: Any, windows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(windows)).logits.numpy()


def relative_difference(seen: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(seen - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_perplexity(name: str, tmp_path: Path) -> None:
    model = make(name, tmp_path)
    read, _ = open_model(tmp_path)
    ours = Transformer(read.configuration, read.weights)
    wanted = logits_of(model, WINDOWS)
    assert wanted.std() > 0.1
    assert relative_difference(ours.logits(WINDOWS), wanted) < 1e-4
    tokens = torch.from_numpy(WINDOWS)
    with torch.no_grad():
        loss = float(model(tokens, labels=tokens).loss)
    perplexity = math.exp(-ours.log_likelihoods(WINDOWS).mean())
    assert perplexity == pytest.approx(math.exp(loss), rel=1e-4)


# What transformers does not take from a GGUF, but for those of the sizes that were published.
UNREAD: dict[str, dict[str, int]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": HEAD},
    "gemma3": {},
    "gpt2": {"n_positions": 64, "n_inner": INNER},
}


def load_gguf(path: Path, **facts: int) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, **facts
    )
    return model.eval()


@pytest.mark.parametrize("name", UNREAD)
def test_a_gguf_as_transformers_reads_it(name: str, tmp_path: Path) -> None:
    """A file that llama.cpp's converter would write: transformers finds its own model in it again."""
    path = write_gguf(tmp_path / "m.gguf", name)
    loaded = load_gguf(path, **UNREAD[name])
    read, _ = open_model(path)
    windows = WINDOWS[:, :40]
    wanted = logits_of(loaded, windows)
    assert wanted.std() > 0.1
    assert relative_difference(Transformer(read.configuration, read.weights).logits(windows), wanted) < 1e-4


def test_the_default_model_as_transformers_reads_it() -> None:
    path = find_model()
    if path is None:
        pytest.skip("the default model is not installed")
    read, tokenizer = open_model(path)
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    text = "It's 1923, isn't it?\n\n  \tA naïve façade -- 東京, 12345.6 km: don't!   \n" * 3
    tokens = tokenizer.encode(text)
    assert tokens.tolist() == theirs(text, add_special_tokens=False)["input_ids"]
    wanted = logits_of(load_gguf(path), tokens[np.newaxis])
    seen = Transformer(read.configuration, read.weights).logits(tokens[np.newaxis])
    assert relative_difference(seen, wanted) < 1e-3
    own = torch.log_softmax(torch.from_numpy(wanted[0, :-1].astype(np.float64)), -1)
    loss = -float(own[torch.arange(len(tokens) - 1), torch.from_numpy(tokens[1:])].mean())
    likely = Transformer(read.configuration, read.weights).log_likelihoods(tokens[np.newaxis])
    assert math.exp(-likely.mean()) == pytest.approx(math.exp(loss), rel=1e-3)


def test_a_product_of_the_default_model_on_a_simulated_tile(tmp_path: Path) -> None:
    pytest.importorskip("amaranth")
    path, text = find_model(), find_text()
    if path is None or text is None:
        pytest.skip("the default model is not installed")
    model, tokenizer = open_model(path)
    window = tokenizer.encode(read_default_text(text)[:1000])[np.newaxis, :64]
    products: list[tuple[Accumulate, str]] = [("fp32", "layers.0.query"), ("exact", "layers.0.down")]
    for accumulate, matrix in products:
        way = Arithmetic(
            quantization=Quantization(scale="ue4m3"), operands="both", accumulate=accumulate, narrow=4
        )
        found = simulate_product(model, window, way, matrix, build_dir=tmp_path)
        assert found.used.shape == (8, 8)
        assert len(np.unique(found.used)) > 60
        assert found.equal == found.used.size
