"""Files of tensors: damaged ones, and what a checkpoint makes of tensors that fit together or do not."""

import json
import random
import shutil
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
import safetensors
from blockdot.lab.quality.quantization_error import combinations
from blockdot.lab.quality.quantized_checkpoints import NVFP4, CheckpointWriter
from blockdot.model.io.checkpoint import LAYOUTS, Checkpoint
from blockdot.model.io.model_files import ModelFiles
from blockdot.model.io.serving import ACTIVATION_SCALES
from blockdot.model.io.tensor_files import list_tensors, read_tensor

from .outcomes import FuzzError, named_refusal, refusal, require_same_values

__all__ = ["TENSOR_CASES"]

_FLOATS: Final = {"F32": "<f4", "F16": "<f2"}
_SIZES: Final = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "U8": 1, "I64": 8, "F8_E4M3": 1, "F8_E8M0": 1}


def _file(tensors: dict[str, tuple[str, list[int], bytes]], metadata: object = None) -> bytes:
    """Return a safetensors file."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _tensor(dice: random.Random, dtype: str, shape: list[int]) -> tuple[str, list[int], bytes]:
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == "F32":
        return dtype, shape, np.array([dice.gauss(0, 1) for _ in range(count)], "<f4").tobytes()
    if dtype == "BF16":
        wide = np.array([dice.gauss(0, 1) for _ in range(count)], "<f4").view("<u4")
        return dtype, shape, (wide >> np.uint32(16)).astype("<u2").tobytes()
    return dtype, shape, dice.randbytes(_SIZES[dtype] * count)


def _any_tensors(dice: random.Random) -> bytes:
    """Return a file of a few small tensors of any type."""
    tensors: dict[str, tuple[str, list[int], bytes]] = {}
    for number in range(dice.randint(1, 4)):
        dtype = dice.choice(list(_SIZES))
        shape = [dice.randint(0, 4) for _ in range(dice.randint(0, 3))]
        count = int(np.prod(shape, dtype=np.int64))
        tensors[f"w{number}"] = dtype, shape, dice.randbytes(_SIZES[dtype] * count)
    return _file(tensors, {"format": "pt"} if dice.random() < 0.5 else None)


def _damaged(whole: bytes, dice: random.Random, least: int = 0) -> bytes:
    """Damage up to three places, some of them near the front, where the header is."""
    data = bytearray(whole)
    for _ in range(dice.randint(least, 3)):
        at = dice.randrange(len(data)) if data else 0
        if dice.random() < 0.5:
            at = min(at, dice.randrange(200))
        match dice.randrange(4):
            case 0 if data:
                data[at] = dice.randrange(256)
            case 1:
                data[at:at] = dice.choice(
                    (b"0", b"1", b'"', b"{", b"}", b",", b"-", b" ", b"\xff", b"[", b"]", b"1e5", b"null")
                )
            case 2:
                del data[at : at + dice.randint(1, 12)]
            case _:
                del data[at if dice.random() < 0.3 else len(data) :]
    return bytes(data)


def _deserialized(data: bytes) -> dict[str, Any] | str:
    """Return what the safetensors package reads, or why it does not."""
    try:
        return dict(safetensors.deserialize(data))
    except (safetensors.SafetensorError, ValueError) as error:
        return str(error)


def _as_the_package_reads(path: Path, theirs: dict[str, Any]) -> None:
    for name, entry in theirs.items():
        if entry["dtype"] in _FLOATS:
            values = np.frombuffer(bytes(entry["data"]), _FLOATS[entry["dtype"]]).reshape(entry["shape"])
            require_same_values(name, read_tensor(f"{path}:{name}"), values)


def _safetensors(dice: random.Random, folder: Path) -> str:
    data = _damaged(_any_tensors(dice), dice)
    path = folder / "x.safetensors"
    path.write_bytes(data)
    theirs = _deserialized(data)
    line = refusal(lambda: list_tensors(path))
    if isinstance(theirs, str) and "unknown variant" in theirs:
        # A type that the package does not have yet is no fault of the file's.
        return "refused" if line else "unknown type"
    if (line is None) != isinstance(theirs, dict):
        raise FuzzError(f"the package says {str(theirs)[:200]}, and here: {line!r}")
    if line is not None or isinstance(theirs, str):
        return named_refusal(str(line), path.name)
    _as_the_package_reads(path, theirs)
    return "read"


def _loaded(data: bytes) -> Any:
    """Return what numpy reads; None where it does not."""
    try:
        return np.load(BytesIO(data), allow_pickle=False)
    except Exception:  # numpy raises whatever its parts raise
        return None


def _npy(dice: random.Random, folder: Path) -> str:
    buffer = BytesIO()
    shape = [dice.randint(0, 4) for _ in range(dice.randint(0, 3))]
    values = np.frombuffer(dice.randbytes(4 * int(np.prod(shape, dtype=np.int64))), "<f4").reshape(shape)
    with np.errstate(over="ignore", invalid="ignore"):
        np.save(buffer, values.astype(dice.choice(["<f4", "<f2", ">f4"])))
    data = _damaged(buffer.getvalue(), dice)
    path = folder / "x.npy"
    path.write_bytes(data)
    theirs = _loaded(data)
    read: list[np.ndarray] = []
    line = refusal(lambda: read.append(read_tensor(path)))
    if line is not None:
        return named_refusal(line, path.name)
    if not isinstance(theirs, np.ndarray):
        raise FuzzError(f"numpy does not read it, and here it is of shape {read[0].shape}")
    require_same_values(path.name, read[0], theirs)
    return "read"


def _npz(dice: random.Random, folder: Path) -> str:
    buffer = BytesIO()
    shape = (dice.randint(1, 4), dice.randint(1, 4))
    values = np.frombuffer(dice.randbytes(4 * shape[0] * shape[1]), "<f4").reshape(shape)
    save: Callable[..., None] = dice.choice((np.savez, np.savez_compressed))
    save(buffer, one=values, two=values[:1])
    data = _damaged(buffer.getvalue(), dice)
    path = folder / "x.npz"
    path.write_bytes(data)
    read: list[np.ndarray] = []
    line = refusal(lambda: read.append(read_tensor(f"{path}:one")))
    if line is not None:
        return named_refusal(line, path.name)
    theirs = _loaded(data)
    if theirs is None:
        raise FuzzError("numpy does not read it, and here it is read")
    require_same_values("one", read[0], theirs["one"])
    return "read"


def _gguf(dice: random.Random, folder: Path) -> str:
    path = folder / "x.gguf"
    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "cd"])
    values = np.array([dice.gauss(0, 1) for _ in range(128)], np.float32).reshape(2, 64)
    writer.add_tensor("plain", values)
    for name in dice.sample(("Q8_0", "Q4_0", "Q4_1", "Q5_1"), 2):
        kind = kinds[name]
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.write_bytes(_damaged(path.read_bytes(), dice))
    names: list[str] = []
    line = refusal(lambda: names.extend(info.name for info in list_tensors(path) if info.readable))
    if line is not None:
        return named_refusal(line, path.name)
    ours: dict[str, npt.NDArray[np.float32]] = {}
    for name in names:
        line = refusal(lambda name=name: ours.update({name: read_tensor(f"{path}:{name}")}))
        if line is not None:
            named_refusal(line, path.name)
    try:
        theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        with np.errstate(all="ignore"):
            wanted = {
                name: gguf.quants.dequantize(theirs[name].data, theirs[name].tensor_type) for name in ours
            }
    except Exception:  # the package raises whatever its parts raise; it also reads what is of no use here
        return "read alone" if ours else "refused"
    for name, found in wanted.items():
        require_same_values(name, ours[name], found)
    return "read" if ours else "refused"


def _checkpoint_tensors(dice: random.Random) -> dict[str, tuple[str, list[int], bytes]]:
    """Return tensors of a small model: plain matrices, and FP4 ones of every layout."""
    rows, columns = dice.choice((1, 2)), dice.choice((32, 64))
    tensors = {
        "model.a.weight": _tensor(dice, "BF16", [rows, columns]),
        "model.b.weight": _tensor(dice, "F32", [2, columns]),
        "model.norm.weight": _tensor(dice, "BF16", [columns]),
        "model.experts.gate_up_proj": _tensor(dice, "BF16", [2, columns, 2 * rows]),
    }

    def scales(shape: list[int]) -> bytes:
        return bytes(dice.randrange(0x7F) for _ in range(int(np.prod(shape))))

    for stack in ([], [2]):
        shape, at = [*stack, rows, columns // 2], "s" if stack else ""
        small = [*stack, rows, columns // 16]
        one = np.array([dice.uniform(0.1, 3) for _ in range(stack[0] if stack else 1)], "<f4").tobytes()
        tensors |= {
            f"ct{at}.weight_packed": _tensor(dice, "U8", shape),
            f"ct{at}.weight_scale": ("F8_E4M3", small, scales(small)),
            f"ct{at}.weight_global_scale": ("F32", stack or [1], one),
            f"mo{at}.weight": _tensor(dice, "U8", shape),
            f"mo{at}.weight_scale": ("F8_E4M3", small, scales(small)),
            f"mo{at}.weight_scale_2": ("F32", stack, one),
        }
    blocks = [rows, columns // 32]
    tensors |= {
        "mo.input_scale": ("F32", [], np.array([dice.uniform(0, 2)], "<f4").tobytes()),
        "ct.input_global_scale": ("F32", [1], np.array([dice.uniform(0, 2)], "<f4").tobytes()),
        "mx.weight_packed": _tensor(dice, "U8", [rows, columns // 2]),
        "mx.weight_scale": _tensor(dice, "U8", blocks),
        "gpt_blocks": _tensor(dice, "U8", [2, *blocks, 16]),
        "gpt_scales": _tensor(dice, "U8", [2, *blocks]),
    }
    return dict(dice.sample(list(tensors.items()), len(tensors)))


def _unfit(
    tensors: dict[str, tuple[str, list[int], bytes]], dice: random.Random
) -> dict[str, tuple[str, list[int], bytes]]:
    """Change up to four tensors so that they do not fit together, in a file that is sound itself."""
    for _ in range(dice.randint(0, 4)):
        name = dice.choice(list(tensors))
        dtype, shape, values = tensors[name]
        match dice.randrange(6):
            case 0 if len(tensors) > 1:
                del tensors[name]
            case 1:
                tensors[dice.choice(list(tensors))] = tensors[name]
            case 2:
                other = dice.choice([one for one in _SIZES if _SIZES[one] == _SIZES[dtype]])
                tensors[name] = other, shape, values
            case 3 if shape:
                tensors[name] = dtype, [*shape[:-1], 1, shape[-1]], values
            case 4:
                tensors[name] = dtype, [int(np.prod(shape, dtype=np.int64))], values
            case _ if values:
                at = dice.randrange(len(values))
                tensors[name] = dtype, shape, values[:at] + dice.randbytes(1) + values[at + 1 :]
            case _:
                pass
    return tensors


def _checkpoint(dice: random.Random, folder: Path) -> str:
    """Read a checkpoint whose tensors may not fit together, and write it again."""
    path, out = folder / "x.safetensors", folder / "out.safetensors"
    data = _file(_unfit(_checkpoint_tensors(dice), dice), {"format": "pt", "of": "a test"})
    path.write_bytes(data)
    before = _deserialized(data)
    assert isinstance(before, dict), before
    checkpoint = Checkpoint(path)
    # What is plain is read whatever lies beside it.
    _as_the_package_reads(path, before)
    for matrix in checkpoint.stored.values():
        for name in matrix.matrices:
            line = refusal(lambda name=name: checkpoint.read(name).dequantize())
            if line is not None:
                named_refusal(line, matrix.name)
    for name, line in checkpoint.refused.items():
        named_refusal(line, name)
    (way,) = combinations([NVFP4[1]], [NVFP4[2]], ["absmax"], NVFP4[0], "nearest_even", tensor_scale=True)
    out.unlink(missing_ok=True)
    layout = dice.choice(LAYOUTS)

    def write() -> None:
        CheckpointWriter(path, way, layout, lambda _: None).write(out, lambda *_, **__: None)

    line = refusal(write)
    if line is not None:
        if out.exists():
            raise FuzzError("nothing may be written by what is refused")
        return named_refusal(line, path.name, *before, *checkpoint.layouts)
    after = _deserialized(out.read_bytes())
    if not isinstance(after, dict):
        raise FuzzError(f"the package must read what was written, not say {after!r}")
    _as_it_was(before, after, checkpoint, Checkpoint(out))
    return "read"


def _as_it_was(before: dict[str, Any], after: dict[str, Any], source: Checkpoint, made: Checkpoint) -> None:
    """See that what was written holds all that was there: as it was, converted or quantized."""
    converted = set(source.layouts).intersection(made.layouts)
    for name in converted:
        if refusal(lambda name=name: source.read(name)) is None and not _same_matrix(source, made, name):
            raise FuzzError(f"{name} must be worth what it was")
    gone = {part for name in converted for part in source.stored[name].parts}
    gone |= {f"{name}{suffix}" for name in converted for suffix in ACTIVATION_SCALES.values()}
    gone |= {f"{name}.weight" for name in made.layouts if name not in source.layouts}
    for name, entry in before.items():
        kept = after.get(name)
        if name not in gone and (kept is None or any(kept[key] != entry[key] for key in entry)):
            raise FuzzError(f"{name} must be kept as it is")


def _same_matrix(one: Checkpoint, other: Checkpoint, name: str) -> bool:
    """Whether a matrix has the same codes in two checkpoints, and nearly the same tensor scale."""
    a, b = one.read(name), other.read(name)
    same = np.array_equal(a.codes, b.codes) and np.array_equal(a.scales, b.scales)
    return same and abs(b.tensor_scale / a.tensor_scale - 1) < 2.0**-22


def _folder(dice: random.Random, folder: Path) -> str:
    """Read a model in two files whose index, or one of whose files, is damaged."""
    place = folder / "model"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    tensors = _checkpoint_tensors(dice)
    names = list(tensors)
    cut = dice.randint(1, len(names) - 1)
    files: dict[str, bytes] = {
        "model-1.safetensors": _file({name: tensors[name] for name in names[:cut]}),
        "model-2.safetensors": _file({name: tensors[name] for name in names[cut:]}),
    }
    where = {name: f"model-{1 + (k >= cut)}.safetensors" for k, name in enumerate(names)}
    files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": where}).encode()
    damaged = dice.choice(["", *files])
    for name, data in files.items():
        (place / name).write_bytes(_damaged(data, dice, 1) if name == damaged else data)
    found: list[ModelFiles] = []
    line = refusal(lambda: found.append(ModelFiles(place)))
    if line is not None:
        if not damaged:
            raise FuzzError(f"a sound model must be read, not be refused by {line!r}")
        return named_refusal(line, str(place))
    (read,) = found
    for file_name in dict.fromkeys(map(read.file_name, read.infos)):
        theirs = _deserialized((place / file_name).read_bytes())
        if isinstance(theirs, dict):
            here = {name: theirs[name] for name in read.infos if read.file_name(name) == file_name}
            _as_the_package_reads(place / file_name, here)
        elif "unknown variant" not in theirs:
            raise FuzzError(f"the package says {theirs}, and here it is read")
    return "read"


TENSOR_CASES: Final[dict[str, Callable[[random.Random, Path], str]]] = {
    "safetensors": _safetensors,
    "npy": _npy,
    "npz": _npz,
    "gguf": _gguf,
    "checkpoint": _checkpoint,
    "model-folder": _folder,
}
"""By kind, what does one case."""
