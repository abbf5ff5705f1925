"""Stacks of experts, put together here as each model keeps them."""

import json
from pathlib import Path

import numpy as np
import pytest
from blockdot.model import quantize
from blockdot.model.io.checkpoint import Checkpoint, read_matrix
from blockdot.model.io.experts import ExpertStacks, stack_arrays, stack_parts
from blockdot.model.io.model_files import ModelFiles
from messages import check_messages
from safetensors.numpy import save_file

HIDDEN, INNER, EXPERTS = 32, 48, 3
SHAPES = {"gate_proj": (INNER, HIDDEN), "up_proj": (INNER, HIDDEN), "down_proj": (HIDDEN, INNER)}


@pytest.fixture
def matrices(rng):
    """The three matrices of each expert, as a layer would have them: (rows, K)."""
    return [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
        for _ in range(EXPERTS)
    ]


def stacked(matrices, *, turned: bool, alternating: bool = False):
    both = []
    for one in matrices:
        rows = np.concatenate([one["gate_proj"], one["up_proj"]])
        if alternating:
            rows[::2], rows[1::2] = one["gate_proj"], one["up_proj"]
        both.append((rows.T if turned else rows, one["down_proj"].T if turned else one["down_proj"]))
    gate_up, down = (np.ascontiguousarray(np.stack(parts)) for parts in zip(*both, strict=True))
    return {"l.0.experts.gate_up_proj": gate_up, "l.0.experts.down_proj": down}


def folder(path: Path, tensors, kind: str | None, **config) -> ExpertStacks:
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"model_type": kind, "hidden_size": HIDDEN} | config))
    return ExpertStacks(ModelFiles(path))


@pytest.mark.parametrize(
    ("kind", "turned", "alternating"),
    [
        ("llama4", True, False),
        ("gpt_oss", True, True),
        ("qwen3_vl_moe", True, False),
        ("qwen3_vl_moe", False, False),
        ("qwen3_5_moe_text", False, False),
    ],
)
def test_a_stack_comes_apart_into_the_matrices_it_is_made_of(tmp_path, matrices, kind, turned, alternating):
    tensors = stacked(matrices, turned=turned, alternating=alternating)
    # Of a model of texts and pictures, the size is that of the texts' part.
    config = {"text_config": {"hidden_size": HIDDEN}, "hidden_size": 1} if kind == "llama4" else {}
    stacks = folder(tmp_path, tensors, kind, **config)
    found = {}
    for name in tensors:
        assert stacks.refusal(name, 16) is None
        assert stacks.shape(name) == (
            (EXPERTS, 2 * INNER, HIDDEN) if "gate" in name else (EXPERTS, HIDDEN, INNER)
        )
        found |= stacks.parts(name)
    assert set(found) == {f"l.0.experts.{e}.{name}" for e in range(EXPERTS) for name in SHAPES}
    for e, one in enumerate(matrices):
        for name, wanted in one.items():
            part = found[f"l.0.experts.{e}.{name}"]
            assert part.shape == wanted.shape
            np.testing.assert_array_equal(stacks.matrix(part), wanted)
    whole = stacks.values("l.0.experts.down_proj")
    np.testing.assert_array_equal(whole, np.stack([one["down_proj"] for one in matrices]))


def test_what_is_not_known_is_refused(tmp_path, matrices):
    gate, down = "l.0.experts.gate_up_proj", "l.0.experts.down_proj"
    unknown = "it holds experts of a model for which it is not known which axis is K"
    no_axis = "its shape does not tell which axis is K, by the hidden_size of config.json"
    turned, straight = (stacked(matrices, turned=turned) for turned in (True, False))
    assert folder(tmp_path, turned, "another_moe").refusal(gate, 16) == unknown
    assert folder(tmp_path, turned, None).refusal(gate, 16) == unknown
    # The other way round than this model has them; or alike both ways round.
    assert folder(tmp_path, straight, "llama4").refusal(gate, 16) == no_axis
    assert folder(tmp_path, straight, "llama4", hidden_size=None).refusal(gate, 16) == no_axis
    square = {gate: np.zeros((2, HIDDEN, HIDDEN), np.float32)}
    assert folder(tmp_path, square, "qwen3_vl_moe").refusal(gate, 16) == no_axis
    assert folder(tmp_path, square, "llama4").refusal(gate, 16) is None
    stacks = folder(tmp_path, turned, "llama4")
    assert stacks.refusal(down, 32) == "its axis K has 48 elements, no multiple of 32"
    stacks = folder(tmp_path, turned, "gpt_oss")
    assert stacks.refusal(gate, 16, "modelopt") is None
    assert stacks.refusal(gate, 16, "compressed_tensors") == (
        "engines load the experts of this model as modelopt alone"
    )
    odd = {gate: np.zeros((2, HIDDEN, 5), np.float32)}
    assert folder(tmp_path, odd, "llama4").refusal(gate, 16) == "gate and up have no rows for both"
    # A file alone says nothing of its model.
    assert ExpertStacks(ModelFiles(tmp_path / "model.safetensors")).refusal(gate, 16) == unknown


def test_stacks_are_read_as_they_are_written(tmp_path, rng):
    """Two elements of K share a byte, the even one in the low nibble; so do two neighbours on axis 1."""
    x = rng.standard_normal((EXPERTS, 2 * INNER, HIDDEN)).astype(np.float32)
    tensor = quantize(x, scale="ue4m3", tensor_scale=True)
    infos = stack_parts("m.experts.gate_up_proj", x.shape)
    arrays = stack_arrays(tensor)
    assert [array.shape for array in arrays] == [info.shape for info in infos]
    assert arrays[0][1, 3, 7] == tensor.codes[1, 7, 6] | tensor.codes[1, 7, 7] << 4
    path = tmp_path / "m.safetensors"
    header, data = {}, b""
    for info, array in zip(infos, arrays, strict=True):
        raw = np.ascontiguousarray(array).tobytes()
        header[info.name] = {
            "dtype": info.dtype, "shape": info.shape, "data_offsets": [len(data), len(data) + len(raw)]
        }  # fmt: skip
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    read = Checkpoint(path)
    (found,) = read.stored.values()
    assert (found.name, found.layout, found.shape) == ("m.experts.gate_up_proj", "modelopt_experts", x.shape)
    assert read.layouts == {}
    for e in range(EXPERTS):
        seen = read_matrix(f"{path}:m.experts.gate_up_proj[{e}]")
        assert seen is not None
        np.testing.assert_array_equal(seen.dequantize(), tensor.dequantize()[e])
    wrong = text.replace(b'"shape": [3, 2, 96]', b'"shape": [3, 96, 2]')
    path.write_bytes(len(wrong).to_bytes(8, "little") + wrong + data)
    scales = f"tensor 'm.experts.gate_up_proj_weight_scale' of '{path}'"
    message = f"{scales} must be shaped (3, 2, 96), not (3, 96, 2)"
    check_messages([(ValueError, message, lambda: Checkpoint(path).read("m.experts.gate_up_proj[0]"))])


def test_one_entry_of_a_tensor_is_read(tmp_path):
    values = np.arange(24, dtype=np.float16).reshape(4, 6)
    save_file(
        {"a": values, "b": np.arange(3, dtype=np.int64), "c": np.full(3, 0.1)}, tmp_path / "m.safetensors"
    )
    files = ModelFiles(tmp_path)
    np.testing.assert_array_equal(files.values_at("a", 2), values[2].astype(np.float32))
    where = f"of '{tmp_path / 'm.safetensors'}'"
    check_messages(
        [
            (IndexError, f"tensor 'a' {where} must have an entry 4 on its first axis, not be (4, 6)",
             lambda: files.values_at("a", 4)),
            (ValueError, f"tensor 'b' {where} must be F32, F16, BF16 or F64, not I64",
             lambda: files.values_at("b", 0)),
        ]
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"^tensor 'c' of .* must hold float32 values, not 0\.1 at \[0\]$"):
        files.values_at("c", 0)
