import json
import pickle
import struct
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors
from blockdot.base.external_tools import ToolError
from blockdot.model.io.tensor_files import TensorInfo, list_tensors, read_tensor, split_source
from messages import check_messages
from safetensors.numpy import save_file


def bfloat16_patterns() -> np.ndarray:
    return np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16)


def write_safetensors(path, header: object, data: bytes = b"", length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def bits(values: np.ndarray) -> np.ndarray:
    assert values.dtype == np.float32
    return values.view(np.uint32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, ">f4", ">f2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_npy_and_npz(tmp_path, dtype, shape, rng):
    x = np.asarray(rng.standard_normal(shape)).astype(np.float16).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", x)
    np.savez_compressed(tmp_path / "two.npz", x=x, y=x)
    for source in ("x.npy", "one.npz", "one.npz:arr_0", "two.npz:x", "two.npz:y"):
        seen = read_tensor(f"{tmp_path}/{source}")
        assert seen.shape == shape
        np.testing.assert_array_equal(bits(seen), bits(x.astype(np.float32)))


def test_fortran_order(tmp_path, rng):
    x = np.asfortranarray(rng.standard_normal((3, 5)).astype(np.float32))
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(read_tensor(tmp_path / "x.npy"), x)


def test_safetensors(tmp_path, rng):
    tensors = {
        "layer.0:weight": rng.standard_normal((4, 6)).astype(np.float32),
        "half": rng.standard_normal(7).astype(np.float16),
        "double": rng.standard_normal(3).astype(np.float32).astype(np.float64),
        "scalar": np.array(2.5, np.float32),
        "none": np.zeros((0, 3), np.float32),
    }
    path = tmp_path / "model.safetensors"
    save_file({**tensors, "ids": np.arange(4)}, path, metadata={"format": "pt"})
    for name, tensor in tensors.items():
        seen = read_tensor(f"{path}:{name}")
        np.testing.assert_array_equal(seen, tensor)
        assert seen.dtype == np.float32
        assert seen.shape == tensor.shape
    assert sorted(list_tensors(path), key=lambda info: info.name) == [
        TensorInfo("double", (3,), "F64"),
        TensorInfo("half", (7,), "F16"),
        TensorInfo("ids", (4,), "I64"),
        TensorInfo("layer.0:weight", (4, 6), "F32"),
        TensorInfo("none", (0, 3), "F32"),
        TensorInfo("scalar", (), "F32"),
    ]
    assert [info.name for info in list_tensors(path) if not info.readable] == ["ids"]
    assert sum(info.size for info in list_tensors(path)) == 24 + 7 + 3 + 1 + 0 + 4


def test_every_bfloat16_pattern(tmp_path):
    patterns = bfloat16_patterns()
    path = tmp_path / "b.safetensors"
    entry = {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, 1 << 17]}
    write_safetensors(path, {"b": entry}, patterns.tobytes())
    seen = read_tensor(path)
    assert seen.shape == (256, 256)
    np.testing.assert_array_equal(bits(seen).reshape(-1), np.arange(1 << 16, dtype=np.uint32) << 16)
    np.testing.assert_array_equal(seen.reshape(-1), patterns.astype(np.float32))


def test_every_float16_pattern(tmp_path):
    patterns = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    np.save(tmp_path / "h.npy", patterns)
    np.testing.assert_array_equal(read_tensor(tmp_path / "h.npy"), patterns.astype(np.float64))


def test_listing(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float16))
    assert list_tensors(tmp_path / "x.npy") == [TensorInfo("", (2, 3), "F16")]
    np.savez(
        tmp_path / "x.npz",
        a=np.zeros(2),
        b=np.zeros((1, 2), np.uint8),
        c=np.array(["x"]),
        d=np.zeros(1, bool),
    )
    assert list_tensors(str(tmp_path / "x.npz")) == [
        TensorInfo("a", (2,), "F64"),
        TensorInfo("b", (1, 2), "U8"),
        TensorInfo("c", (1,), "<U1"),
        TensorInfo("d", (1,), "BOOL"),
    ]


def test_listing_does_not_read_the_data(tmp_path):
    """The header alone is enough, so that a checkpoint of any size is listed at once."""
    path = tmp_path / "huge.safetensors"
    entry = {"dtype": "F32", "shape": [1 << 30], "data_offsets": [0, 1 << 32]}
    write_safetensors(path, {"w": entry})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + (1 << 32))  # a hole: no disk is used
    assert list_tensors(path) == [TensorInfo("w", (1 << 30,), "F32")]


def test_a_name_with_colons_and_suffixes(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a:b.npy:0": np.ones(2, np.float32), "c": np.zeros(1, np.float32)}, path)
    assert read_tensor(f"{path}:a:b.npy:0").tolist() == [1, 1]


def test_a_path_with_a_colon(tmp_path):
    folder = tmp_path / "a.npy:b"
    folder.mkdir()
    np.save(folder / "x.npy", np.ones(2, np.float32))
    assert read_tensor(folder / "x.npy").tolist() == [1, 1]


def test_suffixes_in_capitals(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(2, np.float32), b=np.zeros(1))
    (tmp_path / "x.npz").rename(tmp_path / "X.NPZ")
    assert read_tensor(f"{tmp_path}/X.NPZ:a").tolist() == [1, 1]


def test_wrong_names_and_types(tmp_path):
    npy, npz, many = tmp_path / "x.npy", tmp_path / "x.npz", tmp_path / "m.safetensors"
    np.save(npy, np.zeros(2, np.int16))
    np.savez(npz, a=np.zeros(2), b=np.array([1, 0.1]))
    save_file({f"t{k:02}": np.zeros(1, np.uint8) for k in range(13)}, many)
    np.savez(tmp_path / "none.npz")
    ten = ", ".join(f"'t{k:02}'" for k in range(10))
    check_messages(
        [
            (
                FileNotFoundError,
                f"tensor file must exist, not '{tmp_path}/y.npy'",
                lambda: read_tensor(tmp_path / "y.npy"),
            ),
            (
                FileNotFoundError,
                f"tensor file must exist, not '{tmp_path}/y.npz'",
                lambda: read_tensor(f"{tmp_path}/y.npz:a"),
            ),
            (
                FileNotFoundError,
                f"tensor file must exist, not '{tmp_path}/y.safetensors'",
                lambda: list_tensors(tmp_path / "y.safetensors"),
            ),
            (
                ValueError,
                "tensor file must end in .npy, .npz, .safetensors, .gguf, not 'x.txt'",
                lambda: read_tensor("x.txt"),
            ),
            (
                ValueError,
                "tensor file must end in .npy, .npz, .safetensors, .gguf, not '.'",
                lambda: read_tensor(""),
            ),
            (
                ValueError,
                f"tensor file must end in .npy, .npz, .safetensors, .gguf, not '{npz}:'",
                lambda: read_tensor(f"{npz}:"),
            ),
            (
                IsADirectoryError,
                f"tensor file must be a file, not the directory '{tmp_path}/d.npy'",
                lambda: ((tmp_path / "d.npy").mkdir(), read_tensor(tmp_path / "d.npy")),
            ),
            (
                ValueError,
                f"tensor name must be left out for the .npy file '{npy}', not 'w'",
                lambda: read_tensor(f"{npy}:w"),
            ),
            (
                ValueError,
                f"tensor name must be given as {npz}:NAME for a file of 2 tensors: 'a', 'b'",
                lambda: read_tensor(npz),
            ),
            (
                ValueError,
                f"tensor name must be given as {many}:NAME for a file of 13 tensors: {ten} and 3 more",
                lambda: read_tensor(many),
            ),
            (
                ValueError,
                f"tensor name must be given as {tmp_path}/none.npz:NAME for a file of 0 tensors: none",
                lambda: read_tensor(tmp_path / "none.npz"),
            ),
            (
                ValueError,
                f"tensor name must be one in '{npz}', not 'c'; there are: 'a', 'b'",
                lambda: read_tensor(f"{npz}:c"),
            ),
            (
                ValueError,
                f"tensor name must be one in '{many}', not 't13'; there are: {ten} and 3 more",
                lambda: read_tensor(f"{many}:t13"),
            ),
            (
                ValueError,
                f"tensor of '{npy}' must be F32, F16, BF16 or F64, not I16",
                lambda: read_tensor(npy),
            ),
            (
                ValueError,
                f"tensor 't00' of '{many}' must be F32, F16, BF16 or F64, not U8",
                lambda: read_tensor(f"{many}:t00"),
            ),
            (
                ValueError,
                f"tensor 'b' of '{npz}' must hold float32 values, not 0.1 at [1]",
                lambda: read_tensor(f"{npz}:b"),
            ),
        ]
    )


def test_no_pickle_is_ever_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    np.save(tmp_path / "x.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.array([Bomb()], object))
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Bomb()))
    check_messages(
        [
            (
                ValueError,
                f"tensor of '{tmp_path}/x.npy' must be F32, F16, BF16 or F64, not object",
                lambda: read_tensor(tmp_path / "x.npy"),
            ),
            (
                ValueError,
                f"tensor 'a' of '{tmp_path}/x.npz' must be F32, F16, BF16 or F64, not object",
                lambda: read_tensor(tmp_path / "x.npz"),
            ),
        ]
    )
    with pytest.raises(ValueError, match=r"^tensor file must be a readable \.npy file, not '.*/p\.npy': "):
        read_tensor(tmp_path / "p.npy")


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "length", "reason"),
    [
        (b"", b"", 1, "its header is cut short"),
        (b"{}", b"", 10**12, "its header is cut short"),
        ([1], b"", None, "its header is not a JSON object"),
        ({"w": F32}, b"1234567", None, "tensor 'w' ends behind the file's end"),
        ({"w": F32 | {"shape": [3]}}, b"12345678", None, "tensor 'w' has 8 bytes, which do not fit F32 (3,)"),
        ({"w": F32 | {"data_offsets": [8, 0]}}, b"12345678", None, "tensor 'w' ends behind the file's end"),
        (
            {"w": F32 | {"data_offsets": [-8, 0]}},
            b"12345678",
            None,
            "its header has no valid entry for tensor 'w'",
        ),
        ({"w": F32 | {"shape": "2"}}, b"12345678", None, "its header has no valid entry for tensor 'w'"),
        ({"w": F32 | {"shape": [2.0]}}, b"12345678", None, "its header has no valid entry for tensor 'w'"),
        (
            {"w": F32 | {"shape": [True, 2]}},
            b"12345678",
            None,
            "its header has no valid entry for tensor 'w'",
        ),
        ({"w": {"dtype": "F32"}}, b"", None, "its header has no valid entry for tensor 'w'"),
        ({"w": 3}, b"", None, "its header has no valid entry for tensor 'w'"),
        ({"w": F32}, b"123456789", None, "it has 1 bytes behind its last tensor"),
        (
            {"v": F32, "w": F32 | {"data_offsets": [12, 20]}},
            bytes(20),
            None,
            "tensor 'w' leaves a hole before it: it begins at byte 12, not 8",
        ),
        (
            {"w": F32 | {"data_offsets": [4, 12]}, "v": F32},
            bytes(12),
            None,
            "tensor 'w' overlaps another: it begins at byte 4, not 8",
        ),
        ({"w": F32, "v": F32}, bytes(8), None, "tensor 'w' overlaps another: it begins at byte 0, not 8"),
        (
            b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
            b'"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
            b"12",
            None,
            "its header has 'w' twice",
        ),
        (
            b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"1",
            None,
            r"its header has '\ud800', which is no text",
        ),
        ({"__metadata__": {"a": "\ud83d"}}, b"", None, r"its header has '\ud83d', which is no text"),
        ({"__metadata__": {"a": 1}}, b"", None, "its __metadata__ is not a JSON object of strings"),
        ({"__metadata__": [1]}, b"", None, "its __metadata__ is not a JSON object of strings"),
        (
            {"w": {"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 4]}},
            bytes(4),
            None,
            "tensor 'w' has 4 bytes, which do not fit F4 (2, 3)",
        ),
        (
            {"w": {"dtype": "F6_E2M3", "shape": [3], "data_offsets": [0, 3]}},
            bytes(3),
            None,
            "tensor 'w' must fill whole bytes, not 18 bits",
        ),
        (
            {"w": {"dtype": "F8_E4M3FNUZ", "shape": [3], "data_offsets": [0, 2]}},
            bytes(2),
            None,
            "tensor 'w' has 2 bytes, which do not fit F8_E4M3FNUZ (3,)",
        ),
    ],
)
def test_broken_safetensors(tmp_path, header, data, length, reason):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, header, data, length)
    # The package refuses each of them too; it keeps the last of two of one name, so that bytes are left over.
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(path.read_bytes())
    message = f"tensor file must be a readable .safetensors file, not '{path}': {reason}"
    check_messages(
        [(ValueError, message, lambda: list_tensors(path)), (ValueError, message, lambda: read_tensor(path))]
    )


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_any_truncation_and_any_rubbish_is_one_clear_error(tmp_path, suffix, rng):
    whole = tmp_path / f"whole{suffix}"
    x = rng.standard_normal((4, 8)).astype(np.float32)
    match suffix:
        case ".npy":
            np.save(whole, x)
        case ".npz":
            np.savez(whole, w=x)
        case _:
            save_file({"w": x}, whole)
    good = whole.read_bytes()
    path = tmp_path / f"x{suffix}"
    start = f"tensor file must be a readable {suffix} file, not '{path}': "
    for broken in (
        *(good[:length] for length in range(0, len(good), 7)),
        *(rng.bytes(length) for length in (0, 1, 8, 200)),
        b"\x00" * 300,
        b"[" * 100_000,
        b"\x80\x04" + b"(" * 50,
    ):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"^tensor file must be a readable") as caught:
            read_tensor(path)
        assert str(caught.value).startswith(start)
        assert "\n" not in str(caught.value)


def test_a_zip_directory_that_points_before_the_file(tmp_path):
    """An archive's end says where its directory begins: too far, and its members begin before the file."""
    path = tmp_path / "x.npz"
    np.savez(path, w=np.arange(3, dtype=np.float32))
    data = bytearray(path.read_bytes())
    at = len(data) - 22  # of the record that ends an archive
    data[at + 16 : at + 20] = (int.from_bytes(data[at + 16 : at + 20], "little") + 1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^tensor file must be a readable \.npz file, not '.*/x\.npz': .+$"):
        read_tensor(path)


def test_a_damaged_member_of_an_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, w=np.arange(1000, dtype=np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^tensor file must be a readable \.npz file, not '.*/x\.npz': .+$"):
        read_tensor(path)


def test_an_npz_with_a_stranger_in_it(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    message = (
        f"tensor file must be a readable .npz file, not '{path}': its member 'readme.txt' is not a .npy file"
    )
    check_messages([(ValueError, message, lambda: list_tensors(path))])


def test_gguf(tmp_path, rng):
    """What the package writes: plain types exactly, quantized ones as it says that they are worth."""
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "m.gguf"
    x = rng.standard_normal((4, 64)).astype(np.float32)
    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("plain.weight", x)
    writer.add_tensor("half", x.astype(np.float16))
    quantized = {"Q8_0": kinds.Q8_0, "Q4_1": kinds.Q4_1}
    for name, kind in quantized.items():
        writer.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)
    # MXFP4 by hand: a block is a scale byte and 16 bytes, whose low nibbles come before the high ones.
    codes = rng.integers(0, 16, (4, 2, 32), dtype=np.uint8)
    scales = rng.integers(120, 130, (4, 2, 1), dtype=np.uint8)
    packed = np.concatenate([scales, codes[..., :16] | codes[..., 16:] << 4], axis=-1).reshape(4, 34)
    writer.add_tensor("mx", packed, raw_dtype=kinds.MXFP4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert [(info.name, info.shape, info.dtype, info.readable) for info in list_tensors(path)] == [
        ("plain.weight", (4, 64), "F32", True),
        ("half", (4, 64), "F16", True),
        ("Q8_0", (4, 64), "Q8_0", True),
        ("Q4_1", (4, 64), "Q4_1", True),
        ("mx", (4, 64), "MXFP4", True),
    ]
    np.testing.assert_array_equal(read_tensor(f"{path}:plain.weight"), x)
    np.testing.assert_array_equal(read_tensor(f"{path}:half"), x.astype(np.float16).astype(np.float32))
    for name, kind in quantized.items():
        wanted = gguf.quants.dequantize(gguf.quants.quantize(x, kind), kind)
        np.testing.assert_array_equal(read_tensor(f"{path}:{name}"), wanted)
    powers = scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    values = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float32) * powers
    np.testing.assert_array_equal(read_tensor(f"{path}:mx"), values.reshape(4, 64))
    good = path.read_bytes()
    # A block whose scale is infinite, 0 times which is NaN: warnings are errors here.
    raw = gguf.quants.quantize(x, kinds.Q8_0)
    at = good.index(raw[0].tobytes())
    path.write_bytes(good[:at] + np.float16(np.inf).tobytes() + b"\0" + good[at + 3 :])
    assert np.isnan(read_tensor(f"{path}:Q8_0")[0, 0])
    for length in (0, 3, 40, 200, len(good) // 2):
        path.write_bytes(good[:length])
        with pytest.raises(
            ValueError, match=r"^tensor file must be a readable \.gguf file, not '.*m\.gguf': "
        ):
            read_tensor(f"{path}:mx")


def test_gguf_without_its_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "m.gguf").write_bytes(b"")
    message = "gguf must be installed to read .gguf files, not missing: pip install 'blockdot[gguf]'"
    check_messages([(ToolError, message, lambda: list_tensors(tmp_path / "m.gguf"))])


def test_a_tensor_s_name_may_be_long(tmp_path):
    path, name = tmp_path / "m.npz", "x" * 3000
    np.savez(path, a=np.ones(2, np.float32))
    assert split_source(f"{path}:{name}") == (path, name)
    assert split_source(path) == (path, None)


def test_what_python_2_wrote_is_read_without_a_word(tmp_path):
    x = np.arange(32, dtype="<f4").reshape(2, 16)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 16L), }".ljust(117) + b"\n"
    whole_file = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + x.tobytes()
    (tmp_path / "x.npy").write_bytes(whole_file)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", whole_file)
    # A warning would be an error here.
    for name, source in (("", tmp_path / "x.npy"), ("a", f"{tmp_path / 'x.npz'}:a")):
        assert list_tensors(split_source(source)[0]) == [TensorInfo(name, (2, 16), "F32")]
        np.testing.assert_array_equal(read_tensor(source), x)
