"""Reading models: what their files say, what is refused, and GGUF against the same model's own folder."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.lab.language.configuration import Rotation, from_gguf, from_hugging_face
from blockdot.lab.language.model import open_model
from blockdot.lab.language.transformer import Transformer
from messages import check_messages, whole
from safetensors.numpy import save_file
from tiny_models import CONFIGS, VOCABULARY, arrays, letters, write_gguf, write_model, write_tokenizer

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")

TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, (1, 11))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gpt2"])
def test_a_gguf_is_the_same_model_as_its_folder(architecture, tmp_path):
    folder, _ = open_model(write_model(tmp_path / "folder", architecture))
    file, tokenizer = open_model(write_gguf(tmp_path / "m.gguf", architecture))
    assert file.types == {"F32": folder.types["F32"]}
    np.testing.assert_array_equal(
        Transformer(file.configuration, file.weights).logits(TOKENS),
        Transformer(folder.configuration, folder.weights).logits(TOKENS),
    )
    assert file.digest != folder.digest
    assert tokenizer.encode("ab c").tolist() == [letters().index(one) for one in ("a", "b", "Ġ", "c")]


def test_merges_of_a_gguf_are_taken(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", "llama", "a b")
    with pytest.raises(
        ValueError,
        match=whole(f"merges in the metadata of {str(path)!r} must be pairs of tokens that make a token"),
    ):
        open_model(path)


def test_a_model_in_several_files(tmp_path):
    folder = write_model(tmp_path / "one")
    split = write_model(tmp_path / "two")
    (split / "model.safetensors").unlink()
    everything = arrays("llama")
    names = sorted(everything)
    where = {}
    for k, some in enumerate((names[::2], names[1::2])):
        save_file({name: everything[name] for name in some}, split / f"part-{k}.safetensors")
        where |= dict.fromkeys(some, f"part-{k}.safetensors")
    (split / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    whole_model, _ = open_model(folder)
    model, _ = open_model(split)
    for name in ("embedding", "layers.1.down"):
        np.testing.assert_array_equal(model.weights.read(name), whole_model.weights.read(name))


def test_rotation_of_llama_3():
    """Against the rule as Llama 3's own code states it, by wavelength."""
    rotation = Rotation(500_000.0, llama3=(8.0, 1.0, 4.0, 8192.0))
    plain = Rotation(500_000.0).frequencies(128)
    for turn, wanted in zip(rotation.frequencies(128), plain, strict=True):
        length = 2 * np.pi / wanted
        if length > 8192 / 1:
            stretched = wanted / 8
        elif length < 8192 / 4:
            stretched = wanted
        else:
            smooth = (8192 / length - 1) / (4 - 1)
            stretched = (1 - smooth) * wanted / 8 + smooth * wanted
        assert turn == pytest.approx(stretched, rel=1e-12)


def config(**changed: Any):
    return from_hugging_face(CONFIGS["llama"] | changed, "it")


def test_what_a_config_may_not_say():
    known = "llama, qwen2, qwen3, gemma3_text, gpt2"
    gpt2 = CONFIGS["gpt2"]
    check_messages(
        [
            (
                ValueError,
                f"architecture of it must be one whose forward pass is here, {known}, not 'mamba'",
                lambda: config(model_type="mamba"),
            ),
            (
                ValueError,
                "hidden_act of it must be 'silu', not 'relu'",
                lambda: config(hidden_act="relu"),
            ),
            (
                ValueError,
                "rope_type of it must be default, linear, llama3, not 'yarn'",
                lambda: config(rope_scaling={"rope_type": "yarn", "factor": 4.0}),
            ),
            (
                ValueError,
                "use_sliding_window of it must be False, not True",
                lambda: config(use_sliding_window=True),
            ),
            (
                ValueError,
                "layer_types of it must be ['full_attention', 'full_attention'], "
                "not ['full_attention', 'sliding_attention']",
                lambda: config(layer_types=["full_attention", "sliding_attention"]),
            ),
            (
                ValueError,
                "hidden_size of it must be a whole number above zero, not '32'",
                lambda: config(hidden_size="32"),
            ),
            (
                ValueError,
                "vocab_size of it must be a whole number above zero, not None",
                lambda: config(vocab_size=None),
            ),
            (
                ValueError,
                "key_value_heads must divide heads, 4, not be 3",
                lambda: config(num_key_value_heads=3),
            ),
            (
                ValueError,
                "activation_function of it must be 'gelu_new' or 'gelu_pytorch_tanh', not 'relu'",
                lambda: from_hugging_face(gpt2 | {"activation_function": "relu"}, "it"),
            ),
            (
                ValueError,
                "architecture of it must be one whose forward pass is here, "
                "llama, qwen2, qwen3, gemma3, gpt2, not None",
                lambda: from_gguf({}, 10, tied=True, where="it"),
            ),
        ]
    )


def refusal(path: Path) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        open_model(path)
    return str(caught.value)


def test_what_a_folder_must_hold(tmp_path):
    folder = write_model(tmp_path / "m")
    weights = arrays("llama")
    save_file(
        {**weights, "model.layers.0.self_attn.q_norm.weight": np.ones(8, np.float32)},
        folder / "model.safetensors",
    )
    assert refusal(folder) == (
        f"model {str(folder)!r} must hold no tensors that a llama has no use for, "
        "not 'model.layers.0.self_attn.q_norm.weight'"
    )
    save_file(weights, folder / "model.safetensors")
    write_tokenizer(folder, 300)
    assert refusal(folder) == f"tokenizer of {str(folder)!r} must fit the model's 256 tokens, not have 300"
    (folder / "tokenizer.json").write_text("{}")
    assert refusal(folder).startswith("tokenizer must be a readable tokenizer.json, not ")
    (folder / "tokenizer.json").unlink()
    assert refusal(folder) == f"tokenizer must be in {str(folder / 'tokenizer.json')!r}, which does not exist"
    assert refusal(folder / "config.json") == (
        f"model must be a folder or a .gguf file, not {str(folder / 'config.json')!r}"
    )
    write_tokenizer(folder)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors")
    assert refusal(folder) == (
        f"model {str(folder)!r} must hold 'model.layers.1.mlp.up_proj.weight', but does not"
    )


@pytest.mark.parametrize(
    ("architecture", "changed", "name", "wanted", "found"),
    [
        ("llama", {"hidden_size": 64}, "model.embed_tokens.weight", (256, 64), (256, 32)),
        ("llama", {"vocab_size": 300}, "model.embed_tokens.weight", (300, 32), (256, 32)),
        # Otherwise the heads would be cut in other places, and give another perplexity.
        (
            "llama",
            {"head_dim": 4, "num_attention_heads": 8},
            "model.layers.0.self_attn.k_proj.weight",
            (8, 32),
            (16, 32),
        ),
        (
            "llama",
            {"intermediate_size": 96},
            "model.layers.0.mlp.gate_proj.weight",
            (96, 32),
            (48, 32),
        ),
        ("gpt2", {"n_positions": 32}, "transformer.wpe.weight", (32, 32), (64, 32)),
        ("gpt2", {"n_inner": 50}, "transformer.h.0.mlp.c_fc.weight", (50, 32), (48, 32)),
        ("gemma3", {"head_dim": 4}, "model.layers.0.self_attn.q_proj.weight", (16, 32), (32, 32)),
    ],
)
def test_a_config_that_is_another_model_s(architecture, changed, name, wanted, found, tmp_path):
    folder = write_model(tmp_path / "m", architecture, **changed)
    assert refusal(folder) == (
        f"tensor {name!r} of model {str(folder)!r} must have the shape {wanted}, as the rest of the model "
        f"says, not {found}"
    )


def test_layers_and_biases_that_the_files_lack(tmp_path):
    folder = write_model(tmp_path / "m", num_hidden_layers=3)
    assert refusal(folder) == (
        f"model {str(folder)!r} must hold 'model.layers.2.input_layernorm.weight', but does not"
    )
    # No list of so many layers is made.
    write_model(folder, num_hidden_layers=10**9)
    assert refusal(folder) == (
        f"num_hidden_layers of {str(folder / 'config.json')!r} must be at most 10000, not 1000000000"
    )
    write_model(folder, attention_bias=True)
    assert refusal(folder) == (
        f"model {str(folder)!r} must hold 'model.layers.0.self_attn.q_proj.bias', but does not"
    )
    folder = write_model(tmp_path / "qwen", "qwen2")
    weights = arrays("qwen2")
    del weights["model.layers.1.self_attn.v_proj.bias"]
    save_file(weights, folder / "model.safetensors")
    assert refusal(folder) == (
        f"model {str(folder)!r} must hold 'model.layers.1.self_attn.v_proj.bias', but does not"
    )
    # A Llama whose config.json says nothing of a bias has none in transformers either.
    folder = write_model(tmp_path / "biased")
    weights = arrays("llama") | {"model.layers.0.mlp.up_proj.bias": np.ones(48, np.float32)}
    save_file(weights, folder / "model.safetensors")
    assert refusal(folder) == (
        f"model {str(folder)!r} must hold no tensors that a llama has no use for, "
        "not 'model.layers.0.mlp.up_proj.bias'"
    )
    write_model(folder, mlp_bias=True)
    save_file(weights, folder / "model.safetensors")
    assert refusal(folder).endswith("must hold 'model.layers.0.mlp.gate_proj.bias', but does not")


def test_a_gguf_s_tensor_of_whole_numbers_is_named(tmp_path, monkeypatch):
    package = pytest.importorskip("gguf")
    add = package.GGUFWriter.add_tensor

    def whole_numbers(writer, name, values):
        add(writer, name, values.astype(np.int32) if name == "blk.1.ffn_up.weight" else values)

    monkeypatch.setattr(package.GGUFWriter, "add_tensor", whole_numbers)
    path = write_gguf(tmp_path / "m.gguf", "llama")
    model, _ = open_model(path)
    with pytest.raises(ValueError, match=r"^tensor 'blk\.1\.ffn_up\.weight' of .* not I32$"):
        model.weights.read("layers.1.up")


def test_a_corrupt_gguf_is_told_in_one_line(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", "llama")
    good = path.read_bytes()
    for length in (0, 3, 10, 30, 500, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        assert refusal(path).startswith(f"model must be a readable .gguf file, not {str(path)!r}: ")
    rng = np.random.default_rng(2)
    for _ in range(200):  # whatever a byte of the head becomes, no other error comes of it
        bad = bytearray(good)
        bad[rng.integers(0, 4000)] = rng.integers(0, 256)
        path.write_bytes(bad)
        with contextlib.suppress(ValueError, RuntimeError):
            open_model(path)
    assert refusal(tmp_path / "none.gguf")
