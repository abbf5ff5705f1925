import contextlib
import dataclasses
import json
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
from blockdot.model import BlockTensor, quantize
from blockdot.model.io.checkpoint import LAYOUTS, Checkpoint, read_matrix
from blockdot.model.io.nvfp4_files import write_checkpoint
from blockdot.model.io.tensor_files import ITEM_BITS, TensorInfo, list_tensors, read_tensor
from messages import check_messages, whole

NAMES = {
    "compressed_tensors": (".weight_packed", ".weight_scale", ".weight_global_scale"),
    "modelopt": (".weight", ".weight_scale", ".weight_scale_2"),
}


def matrix(rng: np.random.Generator, rows: int = 5, columns: int = 64, **more) -> BlockTensor:
    x = rng.standard_normal((rows, columns)).astype(np.float32)
    return quantize(x, scale="ue4m3", **{"tensor_scale": True, **more})


def by_hand(path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]):
    """A safetensors file written from the format's description."""
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_package_reads_what_is_written(layout, rng, tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = {"model.layers.0.q": matrix(rng), "lm_head": matrix(rng, 2, 16, tensor_scale=False)}
    norm = rng.standard_normal(7).astype(np.float32)
    write_checkpoint(
        path,
        {name: tensor.shape for name, tensor in tensors.items()},
        tensors.__getitem__,
        layout,
        others=[TensorInfo("norm.weight", (7,), "F32")],
        read_other=lambda _: norm,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    elements, scales, tensor_scale = NAMES[layout]
    seen = dict(safetensors.deserialize(path.read_bytes()))
    assert set(seen) == {name + part for name in tensors for part in NAMES[layout]} | {"norm.weight"}
    assert seen["norm.weight"]["data"] == norm.tobytes()
    for name, tensor in tensors.items():
        assert seen[name + elements]["dtype"] == "U8"
        packed = np.frombuffer(seen[name + elements]["data"], np.uint8)
        codes = np.stack([packed & 15, packed >> 4], -1).reshape(tensor.shape)
        np.testing.assert_array_equal(codes, tensor.codes)
        assert seen[name + elements]["shape"] == [tensor.shape[0], tensor.shape[1] // 2]
        assert seen[name + scales]["dtype"] == "F8_E4M3"
        assert seen[name + scales]["shape"] == list(tensor.scales.shape)
        assert seen[name + scales]["data"] == tensor.scales.tobytes()
        assert seen[name + tensor_scale]["shape"] == ([1] if layout == "compressed_tensors" else [])
        wanted = np.float32(tensor.tensor_scale)
        wanted = np.float32(1) / wanted if layout == "compressed_tensors" else wanted
        assert seen[name + tensor_scale]["data"] == wanted.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_from_elsewhere(layout, rng, tmp_path):
    """Values by ml_dtypes, bytes by hand: the layout's description, not the writer."""
    codes = rng.integers(0, 16, (3, 32), dtype=np.uint8)
    scales = rng.integers(0, 0x7F, (3, 2), dtype=np.uint8)
    packed = codes[:, 0::2] | codes[:, 1::2] << 4
    number = np.float32(640.0 if layout == "compressed_tensors" else 1 / 512)
    elements, of_scales, tensor_scale = NAMES[layout]
    path = by_hand(
        tmp_path / "m.safetensors",
        {
            "a.bias": ("BF16", (3,), b"\0" * 6),
            "a" + of_scales: ("F8_E4M3", (3, 2), scales.tobytes()),
            "a" + elements: ("U8", (3, 16), packed.tobytes()),
            "a" + tensor_scale: ("F32", (1,), number.tobytes()),
            "b.weight": ("BF16", (2, 2), b"\0" * 8),
        },
    )
    checkpoint = Checkpoint(path)
    assert checkpoint.layouts == {"a": layout}
    assert [info.name for info in checkpoint.others] == ["a.bias", "b.weight"]
    assert checkpoint.raw("b.weight").tolist() == [0] * 8
    tensor = checkpoint.read("a")
    g = np.float32(1) / number if layout == "compressed_tensors" else number
    values = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64)
    factors = scales.view(ml_dtypes.float8_e4m3fn).astype(np.float64).repeat(16, axis=1)
    np.testing.assert_array_equal(tensor.dequantize(), (values * factors * float(g)).astype(np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(layout, rng, tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    tensors = {f"m{k}": matrix(rng, 4, 32 * (k + 1)) for k in range(4)}
    tensors["recipe"] = matrix(rng, tensor_scale=False, recipe="transformer_engine")
    tensors["none"] = matrix(rng, 0, 16)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    write_checkpoint(first, shapes, tensors.__getitem__, layout)
    read = Checkpoint(first)
    assert list(read.layouts) == list(tensors)
    for name, tensor in tensors.items():
        back = read.read(name)
        np.testing.assert_array_equal(back.codes, tensor.codes)
        np.testing.assert_array_equal(back.scales, tensor.scales)
        if layout == "modelopt":
            assert back.tensor_scale == tensor.tensor_scale
        np.testing.assert_allclose(back.tensor_scale, tensor.tensor_scale, rtol=2.0**-23)
    # From one layout to the other, tensor by tensor, and what else there is along with it.
    write_checkpoint(second, shapes, read.read, LAYOUTS[layout == LAYOUTS[0]])
    again = Checkpoint(second)
    for name in tensors:
        np.testing.assert_array_equal(again.read(name).codes, tensors[name].codes)


def test_read_matrix_finds_what_is_nvfp4(rng, tmp_path):
    path, tensor = tmp_path / "m.safetensors", matrix(rng)
    norm = rng.standard_normal((2, 16)).astype(np.float32)
    write_checkpoint(
        path,
        {"a": tensor.shape},
        lambda _: tensor,
        others=[TensorInfo("norm.weight", (2, 16), "F32")],
        read_other=lambda _: norm,
    )
    assert Checkpoint(path).shape("a") == tensor.shape
    for name in ("a", "a.weight_packed"):
        found = read_matrix(f"{path}:{name}")
        assert found is not None
        np.testing.assert_array_equal(found.codes, tensor.codes)
    for source in (path, f"{path}:norm.weight", f"{path}:a.weight_scale", tmp_path / "x.npy"):
        assert read_matrix(source) is None


def test_memory_holds_one_matrix(rng, tmp_path):
    tensor = matrix(rng, 256, 4096)
    shapes = {f"m{k}": tensor.shape for k in range(12)}
    tracemalloc.start()
    write_checkpoint(tmp_path / "m.safetensors", shapes, lambda _: tensor)
    read = Checkpoint(tmp_path / "m.safetensors")
    for name in shapes:
        read.read(name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * tensor.codes.nbytes


def test_an_error_leaves_the_file_alone(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")

    def broken(name):
        raise RuntimeError(name)

    with pytest.raises(RuntimeError, match=r"^a$"):
        write_checkpoint(path, {"a": (2, 16)}, broken)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_messages_of_reading(tmp_path):
    good = {
        "a.weight_packed": ("U8", (2, 8), bytes(15) + b"\x70"),
        "a.weight_scale": ("F8_E4M3", (2, 1), b"\x38\x38"),
        "a.weight_global_scale": ("F32", (1,), np.float32(2).tobytes()),
    }
    cases = []

    def case(message: str, **changed):
        path = tmp_path / f"{len(cases)}.safetensors"
        tensors = {k: v for k, v in (good | {f"a.{k}": v for k, v in changed.items()}).items() if v}
        by_hand(path, tensors)
        cases.append(
            (
                ValueError,
                message.replace("PATH", repr(str(path))),
                lambda: Checkpoint(path).read("a"),
            )
        )

    case("tensor 'a.weight_packed' of PATH must have 'a.weight_scale' beside it", weight_scale=None)
    case(
        "tensor 'a.weight_packed' of PATH must have 'a.weight_global_scale' beside it",
        weight_global_scale=None,
    )
    case("tensor 'a.weight_packed' of PATH must be U8, not I8", weight_packed=("I8", (2, 8), bytes(16)))
    case(
        "tensor 'a.weight_scale' of PATH must be F8_E4M3, not F8_E5M2",
        weight_scale=("F8_E5M2", (2, 1), bytes(2)),
    )
    case(
        "tensor 'a.weight_global_scale' of PATH must be F32, not F16",
        weight_global_scale=("F16", (1,), bytes(2)),
    )
    for shape in ((16,), (4, 4), (1, 1, 2, 8)):
        case(
            f"tensor 'a.weight_packed' of PATH must be shaped (rows, a multiple of 8), not {shape}",
            weight_packed=("U8", shape, bytes(16)),
        )
    case(
        "tensor 'a.weight_scale' of PATH must be shaped (2, 1), not (1, 2)",
        weight_scale=("F8_E4M3", (1, 2), bytes(2)),
    )
    case(
        "tensor 'a.weight_global_scale' of PATH must hold one value, not 2",
        weight_global_scale=("F32", (2,), bytes(8)),
    )
    for value in (0.0, -1.0, float("inf"), float("nan"), 2.0**-149):
        case(
            "tensor 'a.weight_global_scale' of PATH must be above zero and finite, as its reciprocal, "
            f"not {value!r}",
            weight_global_scale=("F32", (1,), np.float32(value).tobytes()),
        )
    case(
        "tensor 'a.weight_scale' of PATH must not be negative, not 0x81",
        weight_scale=("F8_E4M3", (2, 1), b"\x81\x01"),
    )
    path = by_hand(tmp_path / "good.safetensors", good)
    cases.append(
        (
            ValueError,
            f"name must be an NVFP4 or MXFP4 matrix in {str(path)!r}, not 'b'",
            lambda: Checkpoint(path).read("b"),
        )
    )
    cases.append((*cases[-1][:2], lambda: Checkpoint(path).shape("b")))
    odd = by_hand(tmp_path / "odd.safetensors", {"x": ("F3", (2,), bytes(1))})
    cases.append(
        (
            ValueError,
            f"tensor 'x' of {str(odd)!r} must be one of F4, F6_E2M3, F6_E3M2, BOOL, U8, I8, F8_E5M2, "
            "F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64, "
            "C64, not F3",
            lambda: Checkpoint(odd).raw("x"),
        )
    )
    cases.append(
        (ValueError, "checkpoint must end in .safetensors, not 'm.npz'", lambda: Checkpoint("m.npz"))
    )
    check_messages(cases)


BESIDE = ("BF16", (8, 64), np.full(512, 0x3F80, "<u2").tobytes())  # ones
OURS = {
    "a.weight_packed": ("U8", (4, 32), bytes(range(128))),
    "a.weight_scale": ("F8_E4M3", (4, 4), bytes([0x38] * 16)),
    "a.weight_global_scale": ("F32", (1,), np.float32(2).tobytes()),
}
# What stands in files beside NVFP4 matrices: the tensors, and what is refused of them, for which reason.
FOREIGN = {
    "ct_mxfp4": (
        OURS | {"b.weight_packed": ("U8", (4, 32), bytes(128)), "b.weight_scale": ("U8", (4, 2), bytes(8))},
        {},
    ),
    "ct_int4": (
        OURS
        | {"b.weight_packed": ("I32", (4, 8), bytes(128)), "b.weight_scale": ("BF16", (4, 2), bytes(16))},
        {"b": "tensor 'b.weight_packed' of PATH must have 'b.weight_global_scale' beside it"},
    ),
    "ct_3d": (
        OURS
        | {
            "e.weight_packed": ("U8", (2, 4, 32), bytes(256)),
            "e.weight_scale": ("F8_E4M3", (2, 4, 4), bytes(32)),
            "e.weight_global_scale": ("F32", (2, 1), bytes(8)),
        },
        {},
    ),
    "bnb": (
        {"b.weight": ("U8", (128, 1), bytes(128)), "b.weight.absmax": ("U8", (4,), bytes(4))},
        {"b": "tensor 'b.weight' of PATH must have 'b.weight_scale' beside it"},
    ),
    "mo_mxfp4": (
        {"b.weight": ("U8", (4, 32), bytes(128)), "b.weight_scale": ("U8", (4, 2), bytes(8))},
        {},
    ),
    "swizzled": (
        OURS | {"a.weight_scale": ("F8_E4M3", (128, 4), bytes(512))},
        {"a": "tensor 'a.weight_scale' of PATH must be shaped (4, 4), not (128, 4)"},
    ),
    "shard1": (
        {"a.weight": ("U8", (4, 32), bytes(128))},
        {"a": "tensor 'a.weight' of PATH must have 'a.weight_scale' beside it"},
    ),
    "shard2": (
        {"a.weight_scale": ("F8_E4M3", (4, 4), bytes(16)), "a.weight_scale_2": ("F32", (), bytes(4))},
        {},
    ),
    "gptoss": (
        {"m_blocks": ("U8", (2, 8, 2, 16), bytes(512)), "m_scales": ("U8", (2, 8, 2), bytes(32))},
        {},
    ),
    "f4": (
        {"b.weight": ("F4", (4, 64), bytes(range(128))), "b.weight_scale": ("F8_E8M0", (4, 2), bytes(8))},
        {},
    ),
    "other_types": (
        {
            "six": ("F6_E2M3", (4, 2), bytes(range(6))),
            "also": ("F6_E3M2", (8,), bytes(6)),
            "fnuz": ("F8_E4M3FNUZ", (3,), b"abc"),
            "more": ("F8_E5M2FNUZ", (2,), b"de"),
        },
        {},
    ),
    "two_layouts": (
        OURS
        | {
            "a.weight": ("U8", (4, 32), bytes(128)),
            "a.weight_scale_2": ("F32", (), np.float32(1).tobytes()),
        },
        {},
    ),
}
CASES = Path(__file__).parents[4] / "shared" / "cases" / "checkpoints"


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_nvfp4_is_passed_through_and_refused_by_name(name, tmp_path):
    tensors, refused = FOREIGN[name]
    path = by_hand(tmp_path / "m.safetensors", tensors | {"c.weight": BESIDE})
    read = Checkpoint(path)
    assert read.refused == {one: text.replace("PATH", repr(str(path))) for one, text in refused.items()}
    for matrix_name, message in read.refused.items():
        for asked in (matrix_name, next(one for one in tensors if one.startswith(matrix_name + ".weight"))):
            with pytest.raises(ValueError, match=whole(message)):
                read_matrix(f"{path}:{asked}")
    ours = set(OURS) if "a" in read.layouts else set()
    assert {info.name for info in read.others} == set(tensors) - ours | {"c.weight"}
    assert (read_tensor(f"{path}:c.weight") == 1).all()
    # Into the other layout, and everything else byte for byte.
    copy = tmp_path / "copy.safetensors"
    shapes = {one: read.shape(one) for one in read.layouts}
    if name != "two_layouts":
        write_checkpoint(copy, shapes, read.read, "modelopt", others=read.others, read_other=read.raw)
        seen = dict(safetensors.deserialize(copy.read_bytes()))
        for info in read.others:
            assert seen[info.name]["data"] == (tensors | {"c.weight": BESIDE})[info.name][2]
            assert (seen[info.name]["dtype"], tuple(seen[info.name]["shape"])) == (info.dtype, info.shape)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_shared_cases_are_read():
    paths = sorted(CASES.glob("*.safetensors"))
    assert len(paths) >= 10
    for path in paths:
        read = Checkpoint(path)
        infos = {info.name: info for info in list_tensors(path)}
        for name in read.layouts:
            assert read.read(name).shape == read.shape(name)
        for name in read.refused:
            with pytest.raises(ValueError, match=whole(read.refused[name])):
                read.read(name)
        for name in set(infos) & {"c.weight", "d.weight", "z.weight"}:
            assert read_tensor(f"{path}:{name}").shape == infos[name].shape
        for info in read.others:
            assert read.raw(info.name).size == info.byte_count


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [0.0, float("inf")])
def test_a_matrix_of_zeros_needs_no_tensor_scale(layout, value, tmp_path):
    """As quantizers write an expert that was never used."""
    elements, scales, tensor_scale = NAMES[layout]
    for packed, of_blocks in ((b"\x00\x80" * 8, b"\x38\x00"), (b"\x21\x43" * 8, bytes(2))):
        path = by_hand(
            tmp_path / "m.safetensors",
            {
                "a" + elements: ("U8", (2, 8), packed),
                "a" + scales: ("F8_E4M3", (2, 1), of_blocks),
                "a" + tensor_scale: ("F32", (1,), np.float32(value).tobytes()),
            },
        )
        tensor = Checkpoint(path).read("a")
        assert tensor.tensor_scale == 1.0
        assert not tensor.dequantize().any()


def test_files_cut_short_or_full_of_noise(rng, tmp_path):
    whole = tmp_path / "m.safetensors"
    tensor = matrix(rng)
    write_checkpoint(whole, {"a": tensor.shape}, lambda _: tensor)
    data = whole.read_bytes()
    broken = tmp_path / "b.safetensors"
    for length in [*range(60), len(data) // 2, len(data) - 1]:
        broken.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"^tensor file must be a readable \.safetensors file, not .+$"):
            Checkpoint(broken)
    for _ in range(300):
        noise = bytearray(data)
        for at in rng.integers(0, 300, 3):
            noise[at] = rng.integers(256)
        broken.write_bytes(noise)
        # Whatever it breaks, nothing but a ValueError comes out.
        with contextlib.suppress(ValueError):
            read = Checkpoint(broken)
            for name in read.layouts:
                read.read(name)


def test_a_file_that_becomes_shorter(rng, tmp_path):
    path, tensor = tmp_path / "m.safetensors", matrix(rng)
    write_checkpoint(path, {"a": tensor.shape}, lambda _: tensor)
    read = Checkpoint(path)
    path.write_bytes(path.read_bytes()[:-2])
    message = f"tensor file must be a readable .safetensors file, not {str(path)!r}: it is cut short"
    check_messages([(ValueError, message, lambda: read.read("a"))])


def test_messages_of_writing(rng, tmp_path):
    path = tmp_path / "m.safetensors"
    tensor = matrix(rng, 16, 16)

    def write(tensor=tensor, shape=(16, 16), **more):
        return lambda: write_checkpoint(path, {"a": shape}, lambda _: tensor, **more)

    wide = quantize(np.ones((16, 16), np.float32), block_size=8)
    across = dataclasses.replace(tensor, scales=np.ascontiguousarray(tensor.scales.T), axis=0)
    info = TensorInfo("b", (2,), "F32")
    check_messages(
        [
            (
                ValueError,
                "layout must be one of compressed_tensors, modelopt, not 'gguf'",
                write(layout="gguf"),
            ),
            (
                ValueError,
                "matrix 'a' must be e2m1 with ue4m3 scales in blocks of 16, "
                "not e2m1 with ue5m3 in blocks of 8",
                write(wide),
            ),
            (ValueError, "matrix 'a' must be shaped (8, 32), not (16, 16)", write(shape=(8, 32))),
            (ValueError, "matrix 'a' must be blocked along its last axis, not along 0", write(across)),
            (
                ValueError,
                "matrix 'a' must have a tensor scale with a finite reciprocal, not 1.401298464324817e-45",
                write(dataclasses.replace(tensor, tensor_scale=2.0**-149)),
            ),
            (
                ValueError,
                "tensor names must differ, not 'a.weight_scale' twice",
                write(others=[TensorInfo("a.weight_scale", (2,), "F32")]),
            ),
            (
                ValueError,
                f"tensor 'b' must be one of {', '.join(ITEM_BITS)}, not F3",
                write(others=[TensorInfo("b", (2,), "F3")]),
            ),
            (
                ValueError,
                "tensor 'b' must fill whole bytes, not 12 bits",
                write(others=[TensorInfo("b", (3,), "F4")]),
            ),
            (
                ValueError,
                "read_other must be given where there are others, not None",
                write(others=[info]),
            ),
            (
                ValueError,
                "tensor 'b' must have 8 bytes, not 4",
                write(others=[info], read_other=lambda _: np.zeros(1, np.float32)),
            ),
        ]
    )
    assert not path.exists()


def mxfp4(codes, scales):
    """Values by ml_dtypes: e8m0 codes over 32 elements each."""
    values = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64)
    factors = scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float64).repeat(32, axis=-1)
    return (values * factors).astype(np.float32)


@pytest.mark.parametrize("kind", ["compressed_tensors", "modelopt", "F4", "gpt_oss"])
def test_mxfp4_is_read_from_every_layout(kind, rng, tmp_path):
    shape = (3, 4, 64) if kind == "gpt_oss" else (4, 64)
    codes = rng.integers(0, 16, shape, dtype=np.uint8)
    scales = rng.integers(100, 150, (*shape[:-1], 2), dtype=np.uint8)
    packed = (codes[..., 0::2] | codes[..., 1::2] << 4).tobytes()
    halves = (*shape[:-1], 32)
    of_scales = ("F8_E8M0" if kind == "F4" else "U8", scales.shape, scales.tobytes())
    tensors = {
        "compressed_tensors": {"a.weight_packed": ("U8", halves, packed), "a.weight_scale": of_scales},
        "modelopt": {"a.weight": ("U8", halves, packed), "a.weight_scale": of_scales},
        "F4": {"a.weight": ("F4", shape, packed), "a.weight_scale": of_scales},
        "gpt_oss": {"a_blocks": ("U8", (3, 4, 2, 16), packed), "a_scales": of_scales},
    }[kind]
    path = by_hand(tmp_path / "m.safetensors", tensors)
    read = Checkpoint(path)
    (found,) = read.stored.values()
    assert (found.format, found.shape) == ("MXFP4", shape)
    assert found.layout == ("modelopt" if kind == "F4" else kind)
    assert read.layouts == {}
    assert [info.name for info in read.others] == list(tensors)
    wanted = mxfp4(codes, scales)
    if kind != "gpt_oss":
        np.testing.assert_array_equal(read.read("a").dequantize(), wanted)
        matrix = read_matrix(f"{path}:{next(iter(tensors))}")
        assert matrix is not None
        np.testing.assert_array_equal(matrix.dequantize(), wanted)
        return
    for expert in range(3):
        np.testing.assert_array_equal(read.read(f"a[{expert}]").dequantize(), wanted[expert])
        matrix = read_matrix(f"{path}:a_blocks[{expert}]")
        assert matrix is not None
        np.testing.assert_array_equal(matrix.dequantize(), wanted[expert])
    for name in ("a", "a[3]", "a[x]"):
        message = {"a[x]": f"name must be an NVFP4 or MXFP4 matrix in {str(path)!r}, not 'a[x]'"}.get(
            name, f"name must be one of a[0] to [2], a stack, not {name!r}"
        )
        with pytest.raises(ValueError, match=whole(message)):
            read.read(name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stack_has_a_tensor_scale_for_each_expert(layout, rng, tmp_path):
    experts = [matrix(rng, 4, 64) for _ in range(3)]
    numbers = np.array([expert.tensor_scale for expert in experts], np.float32)
    numbers = np.float32(1) / numbers if layout == "compressed_tensors" else numbers
    elements, scales, tensor_scale = NAMES[layout]
    tensors = {
        "e" + elements: ("U8", (3, 4, 32), b"".join(expert.pack().tobytes() for expert in experts)),
        "e" + scales: ("F8_E4M3", (3, 4, 4), b"".join(expert.scales.tobytes() for expert in experts)),
        "e" + tensor_scale: ("F32", (3, 1), numbers.tobytes()),
    }
    path = by_hand(tmp_path / "m.safetensors", tensors)
    read = Checkpoint(path)
    assert read.stored["e"].shape == (3, 4, 64)
    assert read.shape("e[1]") == (4, 64)
    for k, expert in enumerate(experts):
        seen = read.read(f"e[{k}]")
        np.testing.assert_array_equal(seen.codes, expert.codes)
        np.testing.assert_array_equal(seen.scales, expert.scales)
        assert seen.tensor_scale == pytest.approx(expert.tensor_scale, rel=2.0**-23)
    by_hand(path, tensors | {"e" + tensor_scale: ("F32", (), bytes(4))})
    message = f"tensor 'e{tensor_scale}' of {str(path)!r} must hold 3 values, not 1"
    assert Checkpoint(path).refused == {"e": message}


def test_metadata_is_kept(rng, tmp_path):
    tensor = matrix(rng)
    path = tmp_path / "m.safetensors"
    write_checkpoint(path, {"a": tensor.shape}, lambda _: tensor, metadata={"made by": "me"})
    with safetensors.safe_open(path, "numpy") as file:
        seen = file.metadata()
    assert seen == {"format": "pt", "made by": "me"}
    assert Checkpoint(path).files.files["m.safetensors"].metadata == seen
