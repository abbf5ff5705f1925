import numpy as np
import pytest
from blockdot.model.io.serving import (
    activation_scale,
    converted_activation_scale,
    fused_groups,
    left_out_by_default,
)
from blockdot.model.io.tensor_files import TensorInfo


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.embed_tokens", "it is an embedding"),
        ("transformer.wte", "it is an embedding"),
        ("bert.embeddings.word_embeddings", "it is an embedding"),
        ("gpt_neox.embed_in", "it is an embedding"),
        ("tok_embeddings", "it is an embedding"),
        ("lm_head", "it is the head"),
        ("model.language_model.lm_head", "it is the head"),
        ("output", "it is the head"),
        ("model.layers.0.mlp.gate", "it routes experts"),
        ("model.layers.0.block_sparse_moe.router", "it routes experts"),
        ("model.layers.0.mlp.shared_expert_gate", "it routes experts"),
        ("model.visual.blocks.0.attn.qkv", "it is of a vision or audio tower"),
        ("vision_model.model.layers.0.mlp.fc1", "it is of a vision or audio tower"),
        ("multi_modal_projector.linear_1", "it is of a vision or audio tower"),
        ("model.audio_tower.layers.0.fc1", "it is of a vision or audio tower"),
        ("mtp.layers.0.mlp.up_proj", "it predicts the tokens behind the next"),
        ("model.supervision_model.up_proj", None),
        ("model.layers.0.mlp.gate_proj", None),
        ("encoder.layer.0.attention.output", None),
        ("model.layers.0.self_attn.q_proj", None),
        ("layer.0", None),
    ],
)
def test_what_is_better_left_as_it_is(name, reason):
    assert left_out_by_default(name) == reason


def test_layers_that_engines_run_as_one():
    q, k, v = (f"m.0.self_attn.{name}_proj" for name in "qkv")
    gate, up = "m.0.mlp.experts.3.gate_proj", "m.0.mlp.experts.3.up_proj"
    w1, w3 = "m.1.experts.0.w1", "m.1.experts.0.w3"
    others = ["m.1.self_attn.q_proj", "m.0.mlp.experts.4.gate_proj", "m.1.experts.0.w2", "m.0.mlp.down_proj"]
    groups = fused_groups([q, gate, k, *others, up, v, w1, w3])
    assert groups == {
        **dict.fromkeys((q, k, v), (q, k, v)),
        **dict.fromkeys((gate, up), (gate, up)),
        **dict.fromkeys((w1, w3), (w1, w3)),
    }


def test_activation_scales_change_with_the_layout():
    ours = TensorInfo("a.input_scale", (), "F32")
    theirs = TensorInfo("a.input_global_scale", (1,), "F32")
    assert converted_activation_scale(ours, ["a"], "compressed_tensors") == theirs
    assert converted_activation_scale(theirs, ["a"], "modelopt") == ours
    for other in (
        TensorInfo("b.input_scale", (), "F32"),
        TensorInfo("a.input_scale", (2,), "F32"),
        TensorInfo("a.input_scale", (), "F16"),
        theirs,
    ):
        assert converted_activation_scale(other, ["a"], "compressed_tensors") is None


@pytest.mark.parametrize(
    ("value", "inverse"), [(0.25, 4.0), (3.0, float(np.float32(1) / np.float32(3))), (0.0, 1.0),
                           (float("inf"), 1.0), (float("nan"), 1.0), (-2.0, 1.0)],
)  # fmt: skip
def test_an_activation_scale_becomes_its_reciprocal(value, inverse):
    raw = np.array([value], "<f4").view(np.uint8)
    (seen,) = activation_scale(raw)
    assert seen.dtype == np.float32
    assert seen == inverse
