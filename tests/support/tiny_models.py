"""Small random language models in files, and what they compute in float64, token by token."""

import json
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

VOCABULARY = 256
WIDTH, INNER, LAYERS, HEADS, SHARED, HEAD = 32, 48, 2, 4, 2, 8

Arrays = dict[str, npt.NDArray[np.float32]]

_COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": SHARED, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5, "rope_theta": 100.0, "tie_word_embeddings": False,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **_COMMON},
    "qwen2": {"model_type": "qwen2", **_COMMON, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **_COMMON, "head_dim": HEAD},
    "gemma3": {
        "model_type": "gemma3_text", **_COMMON, "head_dim": HEAD, "query_pre_attn_scalar": 12,
        "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"],
        "rope_local_base_freq": 50.0, "tie_word_embeddings": True,
    },
    "gpt2": {
        "model_type": "gpt2", "vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS,
        "n_positions": 64, "layer_norm_epsilon": 1e-5,
    },
}  # fmt: skip


_GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm", "ln_1": "attn_norm",
    "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}  # fmt: skip
_GEMMA_NAMES = {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip


def arrays(architecture: str, layers: int = LAYERS, head: int = HEAD) -> Arrays:
    """The weights of a model, by the names that Hugging Face gives them."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return (rng.normal(size=(rows, columns)) / math.sqrt(columns)).astype(np.float32)

    def vector(length: int, middle: float) -> npt.NDArray[np.float32]:
        return rng.normal(middle, 0.2, length).astype(np.float32)

    if architecture == "gpt2":
        found = {
            "transformer.wte.weight": matrix(VOCABULARY, WIDTH),
            "transformer.wpe.weight": matrix(64, WIDTH),
        }
        for k in range(LAYERS):
            shapes = {"attn.c_attn": (WIDTH, 3 * WIDTH), "attn.c_proj": (WIDTH, WIDTH)}
            shapes |= {"mlp.c_fc": (WIDTH, INNER), "mlp.c_proj": (INNER, WIDTH)}
            for name, shape in shapes.items():
                found[f"transformer.h.{k}.{name}.weight"] = matrix(*shape)
                found[f"transformer.h.{k}.{name}.bias"] = vector(shape[1], 0)
            for name in ("ln_1", "ln_2"):
                found[f"transformer.h.{k}.{name}.weight"] = vector(WIDTH, 1)
                found[f"transformer.h.{k}.{name}.bias"] = vector(WIDTH, 0)
        return found | {
            "transformer.ln_f.weight": vector(WIDTH, 1),
            "transformer.ln_f.bias": vector(WIDTH, 0),
        }
    gemma = architecture == "gemma3"
    found = {"model.embed_tokens.weight": matrix(VOCABULARY, WIDTH)}
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"] if gemma else []
    shapes = {
        "self_attn.q_proj": (HEADS * head, WIDTH), "self_attn.k_proj": (SHARED * head, WIDTH),
        "self_attn.v_proj": (SHARED * head, WIDTH), "self_attn.o_proj": (WIDTH, HEADS * head),
        "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH), "mlp.down_proj": (WIDTH, INNER),
    }  # fmt: skip
    for k in range(layers):
        for name, shape in shapes.items():
            found[f"model.layers.{k}.{name}.weight"] = matrix(*shape)
            if architecture == "qwen2" and name[-6] in "qkv":
                found[f"model.layers.{k}.{name}.bias"] = vector(shape[0], 0)
        for name in norms:
            found[f"model.layers.{k}.{name}.weight"] = vector(WIDTH, 0 if gemma else 1)
        for name in ("q_norm", "k_norm") if architecture in ("qwen3", "gemma3") else ():
            found[f"model.layers.{k}.self_attn.{name}.weight"] = vector(head, 0 if gemma else 1)
    found["model.norm.weight"] = vector(WIDTH, 0 if gemma else 1)
    if not CONFIGS[architecture]["tie_word_embeddings"]:
        found["lm_head.weight"] = matrix(VOCABULARY, WIDTH)
    return found


def letters() -> list[str]:
    """What stands for each byte where texts are split into bytes, as GPT-2 has it, in order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return sorted([*map(chr, plain), *(chr(256 + k) for k in range(256 - len(plain)))])


def write_tokenizer(folder: Path, size: int = VOCABULARY) -> None:
    """A tokenizer.json with a token for each byte, and others to make up the number."""
    names = letters() + [f"<{k}>" for k in range(size - VOCABULARY)]
    model = {"type": "BPE", "vocab": {name: k for k, name in enumerate(names[:size])}, "merges": []}
    before = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    document = {"version": "1.0", "added_tokens": [], "pre_tokenizer": before, "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")


def write_model(folder: Path, architecture: str = "llama", **changed: Any) -> Path:
    """A model's folder; of its config.json some members may be others."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIGS[architecture] | changed
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(arrays(architecture), folder / "model.safetensors")
    write_tokenizer(folder)
    return folder


def write_gguf(path: Path, architecture: str, merge: str | None = None) -> Path:
    """The same model as `write_model` writes, as llama.cpp's converter would.

    Of a Gemma 3 that file cannot say everything: it has another base and scale, and more layers.
    """
    gemma = architecture == "gemma3"
    layers, head = (7, 256) if gemma else (LAYERS, HEAD)
    writer = import_module("gguf").GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    if architecture == "gpt2":
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_head_count_kv(SHARED)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(100.0)
        writer.add_key_length(head)
        writer.add_value_length(head)
    if gemma:
        writer.add_sliding_window(4)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(letters())
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges([] if merge is None else [merge])
    names = _GGUF_NAMES | (_GEMMA_NAMES if gemma else {})
    for name, array in arrays(architecture, layers, head).items():
        module, _, kind = name.rpartition(".")
        start = module.find(".layers.") if ".layers." in module else module.find(".h.")
        _, _, inner = module[start + 1 :].partition(".") if start > 0 else ("", "", "")
        index, _, part = inner.partition(".")
        values = array + np.float32(1) if gemma and name.endswith("norm.weight") else array
        if architecture == "llama" and part in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = HEADS if part == "self_attn.q_proj" else SHARED
            values = array.reshape(heads, 2, head // 2, -1).swapaxes(1, 2).reshape(array.shape)
        if architecture == "gpt2" and part and array.ndim == 2:
            values = array.T
        known = f"blk.{index}.{names[part]}" if part else names[module]
        writer.add_tensor(f"{known}.{kind}", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_text(path: Path, length: int = 400) -> Path:
    """A text of so many letters and spaces, which is as many tokens."""
    rng = np.random.default_rng(5)
    path.write_text("".join(rng.choice([*"abcdefgh   "], length)), encoding="ascii")
    return path


def slow_logits(architecture: str, tokens: list[int]) -> npt.NDArray[np.float64]:
    """The logits after each token, computed in float64 one token after the other, head by head."""
    config = CONFIGS[architecture]
    weights = {name: array.astype(np.float64) for name, array in arrays(architecture).items()}
    return np.array((_Gpt2 if architecture == "gpt2" else _Rotating)(architecture, config, weights)(tokens))


def _mixed(
    query: npt.NDArray[np.float64], keys: list[Any], values: list[Any], scale: float
) -> npt.NDArray[np.float64]:
    likes = np.array([float(query @ key) * scale for key in keys])
    shares = np.exp(likes - likes.max())
    return (shares / shares.sum()) @ np.array(values)


def _smooth(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class _Gpt2:
    def __init__(self, architecture: str, config: dict[str, Any], weights: dict[str, Any]) -> None:
        del architecture
        self.w, self.epsilon = weights, config["layer_norm_epsilon"]

    def norm(self, x: Any, name: str) -> Any:
        centred = (x - np.mean(x)) / math.sqrt(np.var(x) + self.epsilon)
        return centred * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, x: Any, name: str) -> Any:
        return x @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def __call__(self, tokens: list[int]) -> list[Any]:
        past: list[tuple[list[Any], list[Any]]] = [([], []) for _ in range(LAYERS)]
        found = []
        for place, token in enumerate(tokens):
            x = self.w["transformer.wte.weight"][token] + self.w["transformer.wpe.weight"][place]
            for k, (keys, values) in enumerate(past):
                layer = f"transformer.h.{k}"
                whole = self.linear(self.norm(x, f"{layer}.ln_1"), f"{layer}.attn.c_attn")
                query, key, value = (whole[i * WIDTH : (i + 1) * WIDTH] for i in range(3))
                keys.append(key)
                values.append(value)
                heads = [slice(h * HEAD, h * HEAD + HEAD) for h in range(HEADS)]
                mixed = [
                    _mixed(query[h], [one[h] for one in keys], [one[h] for one in values], HEAD**-0.5)
                    for h in heads
                ]
                x = x + self.linear(np.concatenate(mixed), f"{layer}.attn.c_proj")
                fed = _smooth(self.linear(self.norm(x, f"{layer}.ln_2"), f"{layer}.mlp.c_fc"))
                x = x + self.linear(fed, f"{layer}.mlp.c_proj")
            found.append(self.w["transformer.wte.weight"] @ self.norm(x, "transformer.ln_f"))
        return found


class _Rotating:
    def __init__(self, architecture: str, config: dict[str, Any], weights: dict[str, Any]) -> None:
        self.architecture, self.config, self.w = architecture, config, weights
        self.gemma = architecture == "gemma3"

    def norm(self, x: Any, name: str) -> Any:
        weight = self.w[f"{name}.weight"] + (1 if self.gemma else 0)
        return x * weight / math.sqrt(float(np.mean(x * x)) + self.config["rms_norm_eps"])

    def linear(self, x: Any, name: str) -> Any:
        return self.w[f"{name}.weight"] @ x + self.w.get(f"{name}.bias", 0.0)

    def turned(self, x: Any, place: int, base: float) -> Any:
        pairs = x[: HEAD // 2] + 1j * x[HEAD // 2 :]
        pairs = [z * np.exp(1j * place * base ** (-2 * k / HEAD)) for k, z in enumerate(pairs)]
        return np.concatenate((np.real(pairs), np.imag(pairs)))

    def heads(self, x: Any, layer: str, name: str, count: int, place: int, base: float) -> list[Any]:
        whole = self.linear(x, f"{layer}.self_attn.{name}_proj")
        found = [whole[h * HEAD : (h + 1) * HEAD] for h in range(count)]
        if name == "v":
            return found
        if f"{layer}.self_attn.{name}_norm.weight" in self.w:
            found = [self.norm(head, f"{layer}.self_attn.{name}_norm") for head in found]
        return [self.turned(head, place, base) for head in found]

    def __call__(self, tokens: list[int]) -> list[Any]:
        past: list[list[tuple[list[Any], list[Any]]]] = [[] for _ in range(LAYERS)]
        scale = (12 if self.gemma else HEAD) ** -0.5
        bend: Callable[[Any], Any] = _smooth if self.gemma else (lambda x: x / (1 + np.exp(-x)))
        found = []
        for place, token in enumerate(tokens):
            x = self.w["model.embed_tokens.weight"][token] * (math.sqrt(WIDTH) if self.gemma else 1)
            for k in range(LAYERS):
                layer, local = f"model.layers.{k}", self.gemma and k == 0
                base = 50.0 if local else 100.0
                inner = self.norm(x, f"{layer}.input_layernorm")
                query = self.heads(inner, layer, "q", HEADS, place, base)
                past[k].append(
                    (
                        self.heads(inner, layer, "k", SHARED, place, base),
                        self.heads(inner, layer, "v", SHARED, place, base),
                    )
                )
                seen = past[k][-4:] if local else past[k]
                mixed = [
                    _mixed(
                        query[h],
                        [keys[h * SHARED // HEADS] for keys, _ in seen],
                        [values[h * SHARED // HEADS] for _, values in seen],
                        scale,
                    )
                    for h in range(HEADS)
                ]
                out = self.linear(np.concatenate(mixed), f"{layer}.self_attn.o_proj")
                x = x + (self.norm(out, f"{layer}.post_attention_layernorm") if self.gemma else out)
                before = "pre_feedforward_layernorm" if self.gemma else "post_attention_layernorm"
                inner = self.norm(x, f"{layer}.{before}")
                gate = bend(self.linear(inner, f"{layer}.mlp.gate_proj"))
                fed = self.linear(gate * self.linear(inner, f"{layer}.mlp.up_proj"), f"{layer}.mlp.down_proj")
                x = x + (self.norm(fed, f"{layer}.post_feedforward_layernorm") if self.gemma else fed)
            head = self.w.get("lm_head.weight", self.w["model.embed_tokens.weight"])
            found.append(head @ self.norm(x, "model.norm"))
        return found
