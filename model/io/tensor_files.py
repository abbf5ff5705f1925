"""Tensors from files: .npy, .npz, .safetensors and .gguf, as float32 and without loss.

The safetensors format (https://huggingface.co/docs/safetensors, "Format") is eight bytes of little-endian
header length, the header as JSON, and the tensors' bytes. It is read here with numpy alone, because the
safetensors package gives BF16 no numpy array.
"""

import json
import math
import re
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from ...base.argument_checks import cast_exactly
from .broken_files import reading
from .gguf_files import GGUF_TYPES, GgufFile

__all__ = [
    "ITEM_BITS",
    "SafetensorsFile",
    "TensorInfo",
    "list_tensors",
    "read_tensor",
    "split_source",
]

_SUFFIXES: Final = (".npy", ".npz", ".safetensors", ".gguf")
# The path ends at the first suffix that a colon follows: a tensor's own name may hold colons.
_WITH_NAME: Final = re.compile(r"(?P<path>.+?\.(?:npy|npz|safetensors|gguf)):(?P<name>.+)", re.I | re.S)

_READABLE: Final = ("F32", "F16", "BF16", "F64")
# Those of safetensors 0.7. A tensor of elements that share bytes fills whole ones.
ITEM_BITS: Final = {
    dtype: size
    for size, dtypes in {
        4: ("F4",),
        6: ("F6_E2M3", "F6_E3M2"),
        8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
        16: ("U16", "I16", "F16", "BF16"),
        32: ("U32", "I32", "F32"),
        64: ("U64", "I64", "F64", "C64"),
    }.items()
    for dtype in dtypes
}
# The longest header that the safetensors package itself accepts.
_HEADER_LIMIT: Final = 100_000_000
_NAMES_SHOWN: Final = 10


@dataclass(frozen=True)
class TensorInfo:
    """What a file says of one tensor.

    Attributes:
        name: Its name; empty in a .npy file, which holds one tensor without a name.
        shape: Its shape.
        dtype: Its type as safetensors writes it (``F32``, ``BF16``, ``I64``, ...); what has no such name
            reads as numpy writes it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def readable(self) -> bool:
        """Whether `read_tensor` reads this type.

        F32, F16, BF16, and F64 where it holds float32 values; of a .gguf file the quantized types too.
        """
        return self.dtype in _READABLE or self.dtype in GGUF_TYPES

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def byte_count(self) -> int:
        """How many bytes its values take in a safetensors file.

        Raises:
            ValueError: If its type is none of that format, or its values do not fill whole bytes.
        """
        if self.dtype not in ITEM_BITS:
            known = ", ".join(ITEM_BITS)
            raise ValueError(f"tensor {self.name!r} must be one of {known}, not {self.dtype}")
        bits = self.size * ITEM_BITS[self.dtype]
        if bits % 8:
            raise ValueError(f"tensor {self.name!r} must fill whole bytes, not {bits} bits")
        return bits // 8


class _Reader(ABC):
    """The tensors of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def infos(self) -> list[TensorInfo]:
        """Return what the file says of its tensors, in its order."""

    @abstractmethod
    def values(self, info: TensorInfo) -> npt.NDArray[np.generic]:
        """Return the values of a tensor that `infos` gave, of a readable type; BF16 already as float32."""


def _dtype_name(dtype: np.dtype[Any]) -> str:
    if dtype.kind in "iuf" and f"{dtype.kind.upper()}{8 * dtype.itemsize}" in ITEM_BITS:
        return f"{dtype.kind.upper()}{8 * dtype.itemsize}"
    return "BOOL" if dtype.kind == "b" else str(dtype)


@contextmanager
def _of_any_age() -> Iterator[None]:
    """Let numpy not warn that a file that Python 2 wrote takes longer to read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    with _of_any_age():
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            # 2.0 has a longer header; 3.0 differs in the encoding of field names alone.
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


class _Npy(_Reader):
    def infos(self) -> list[TensorInfo]:
        with self.path.open("rb") as file:
            shape, dtype = _npy_header(file)
            expected = file.tell() + math.prod(shape) * dtype.itemsize
        # An array of objects is a pickle, of any length; its type is refused by name later.
        if not dtype.hasobject and self.path.stat().st_size < expected:
            raise ValueError("it is cut short")
        return [TensorInfo("", shape, _dtype_name(dtype))]

    def values(self, info: TensorInfo) -> npt.NDArray[np.generic]:
        with _of_any_age():
            return np.load(self.path, allow_pickle=False).reshape(info.shape)


class _Npz(_Reader):
    def infos(self) -> list[TensorInfo]:
        infos = []
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.namelist():
                if not member.endswith(".npy"):
                    raise ValueError(f"its member {member!r} is not a .npy file")
                with archive.open(member) as file:
                    shape, dtype = _npy_header(file)
                infos.append(TensorInfo(member.removesuffix(".npy"), shape, _dtype_name(dtype)))
        return infos

    def values(self, info: TensorInfo) -> npt.NDArray[np.generic]:
        with _of_any_age(), np.load(self.path, allow_pickle=False) as archive:
            return archive[info.name]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object, having seen that no two have one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise ValueError(f"its header has {twice!r} twice")
    return found


def _require_text(word: str) -> None:
    """Refuse half of a pair of surrogates, of which JSON can make a letter that no file can hold."""
    if any("\ud800" <= letter <= "\udfff" for letter in word):
        raise ValueError(f"its header has {word!r}, which is no text")


def _values_of(raw: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[np.generic]:
    """Return the values of a readable type that bytes hold."""
    values = raw.view({"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2"}[dtype])
    if dtype != "BF16":
        return values
    # bfloat16 is the upper half of binary32.
    return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)


class _Safetensors(_Reader):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._starts: dict[str, int] = {}
        self.metadata: dict[str, str] = {}

    def infos(self) -> list[TensorInfo]:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _HEADER_LIMIT):
                raise ValueError("its header is cut short")
            text = file.read(length)
        if not text.startswith(b"{"):
            raise ValueError("its header is not a JSON object")
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
        metadata = header.pop("__metadata__", None)
        if metadata is None:
            metadata = {}
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("its __metadata__ is not a JSON object of strings")
        for word in (*header, *metadata, *metadata.values()):
            _require_text(word)
        self.metadata = metadata
        infos, places = [], []
        for name, entry in header.items():
            shape, dtype, begin, end = self._entry(name, entry)
            info = TensorInfo(name, shape, dtype)
            if not 0 <= begin <= end <= size - 8 - length:
                raise ValueError(f"tensor {name!r} ends behind the file's end")
            # A type that is not known keeps the bytes it has.
            if dtype in ITEM_BITS and end - begin != info.byte_count:
                raise ValueError(f"tensor {name!r} has {end - begin} bytes, which do not fit {dtype} {shape}")
            self._starts[name] = 8 + length + begin
            infos.append(info)
            places.append((begin, end, name))
        # Side by side, as the safetensors package wants them: what no tensor holds could hold anything.
        last = 0
        for begin, end, name in sorted(places):
            if begin != last:
                kind = "leaves a hole before it" if begin > last else "overlaps another"
                raise ValueError(f"tensor {name!r} {kind}: it begins at byte {begin}, not {last}")
            last = end
        if last != size - 8 - length:
            raise ValueError(f"it has {size - 8 - length - last} bytes behind its last tensor")
        return infos

    @staticmethod
    def _entry(name: str, entry: object) -> tuple[tuple[int, ...], str, int, int]:
        match entry:
            case {"shape": [*shape], "dtype": str(dtype), "data_offsets": [begin, end]}:
                numbers = (*shape, begin, end)
                if all(type(number) is int and number >= 0 for number in numbers):
                    return tuple(shape), dtype, begin, end
        raise ValueError(f"its header has no valid entry for tensor {name!r}")

    def raw(self, info: TensorInfo, start: int, count: int) -> npt.NDArray[np.uint8]:
        """Return some of a tensor's bytes."""
        return np.fromfile(self.path, np.uint8, count, offset=self._starts[info.name] + start)

    def values(self, info: TensorInfo) -> npt.NDArray[np.generic]:
        return _values_of(self.raw(info, 0, info.byte_count), info.dtype).reshape(info.shape)


class _Gguf(_Reader):
    def infos(self) -> list[TensorInfo]:
        self._read = GgufFile(self.path)
        return [TensorInfo(tensor.name, tensor.shape, tensor.dtype) for tensor in self._read.tensors.values()]

    def values(self, info: TensorInfo) -> npt.NDArray[np.generic]:
        return self._read.values(info.name)


_READERS: Final[dict[str, type[_Reader]]] = {
    ".npy": _Npy,
    ".npz": _Npz,
    ".safetensors": _Safetensors,
    ".gguf": _Gguf,
}


class SafetensorsFile:
    """A .safetensors file whose tensors are read one by one, as bytes.

    Args:
        path: The file.

    Attributes:
        path: The same.
        infos: What its header says of its tensors, by name, in its order.
        metadata: The texts that its header keeps beside them.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: If the suffix is another, or the file is not what its suffix says.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".safetensors":
            raise ValueError(f"checkpoint must end in .safetensors, not {str(path)!r}")
        reader = _open(self.path)
        assert isinstance(reader, _Safetensors)
        self._reader = reader
        with reading(self.path):
            self.infos = {info.name: info for info in reader.infos()}
        self.metadata = reader.metadata

    def raw(self, name: str, start: int = 0, count: int | None = None) -> npt.NDArray[np.uint8]:
        """Return the bytes of a tensor, in one dimension: `count` of them from `start` on, or all.

        Raises:
            KeyError: If there is none of that name.
            ValueError: If its type is none of the safetensors format, or the file has become shorter.
        """
        info = self.infos[name]
        if info.dtype not in ITEM_BITS:
            known = ", ".join(ITEM_BITS)
            raise ValueError(
                f"tensor {name!r} of {str(self.path)!r} must be one of {known}, not {info.dtype}"
            )
        with reading(self.path):
            wanted = info.byte_count - start if count is None else count
            raw = self._reader.raw(info, start, wanted)
            if raw.size != wanted:
                raise ValueError("it is cut short")
            return raw

    def values_at(self, name: str, index: int) -> npt.NDArray[np.float32]:
        """Return one entry along the first axis of a tensor, as `read_tensor` does.

        Raises:
            KeyError: If there is none of that name.
            IndexError: If it has no such entry.
            ValueError: What `read_tensor` raises.
        """
        info = self.infos[name]
        label = f"tensor {name!r} of {str(self.path)!r}"
        if info.dtype not in _READABLE:
            raise ValueError(f"{label} must be {_some_type()}, not {info.dtype}")
        if not info.shape or not 0 <= index < info.shape[0]:
            raise IndexError(f"{label} must have an entry {index} on its first axis, not be {info.shape}")
        count = info.byte_count // info.shape[0]
        values = _values_of(self.raw(name, index * count, count), info.dtype)
        return cast_exactly(values, np.float32, label).reshape(info.shape[1:])


def _some_type() -> str:
    return f"{', '.join(_READABLE[:-1])} or {_READABLE[-1]}"


def _open(path: Path) -> _Reader:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"tensor file must end in {', '.join(_SUFFIXES)}, not {str(path)!r}")
    if path.is_dir():
        raise IsADirectoryError(f"tensor file must be a file, not the directory {str(path)!r}")
    if not path.exists():
        raise FileNotFoundError(f"tensor file must exist, not {str(path)!r}")
    return reader(path)


def _some(names: list[str]) -> str:
    """Return at most ten names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return (shown + (f" and {more} more" if more > 0 else "")) if names else "none"


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def split_source(source: str | Path) -> tuple[Path, str | None]:
    """Split ``path:name`` into the file's path and the tensor's name, None where none is given."""
    text = str(source)
    match = None if _is_there(Path(text)) else _WITH_NAME.fullmatch(text)
    return (Path(match["path"]), match["name"]) if match else (Path(text), None)


def list_tensors(path: str | Path) -> list[TensorInfo]:
    """Return the names, shapes and types of a file's tensors, without loading them.

    Args:
        path: A .npy, .npz, .safetensors or .gguf file.

    Returns:
        The tensors in the file's order, those that `read_tensor` cannot read among them.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: If the suffix is another, or the file is not what its suffix says.
    """
    path = Path(path)
    reader = _open(path)
    with reading(path):
        return reader.infos()


def read_tensor(source: str | Path) -> npt.NDArray[np.float32]:
    """Read one tensor as float32.

    Args:
        source: ``"path"`` where the file holds one tensor, ``"path:tensor.name"`` where it holds several.

    Returns:
        The values. F32, F16 and BF16 are exact; F64 is read where it holds float32 values only. Quantized
        types of a .gguf file are what the package `gguf` makes of them in float32.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: If the suffix is another, the file is not what its suffix says, the tensor's name is
            missing or not in the file, or its type is another.
    """
    path, name = split_source(source)
    reader = _open(path)
    with reading(path):
        infos = {info.name: info for info in reader.infos()}
    names = list(infos)
    if names == [""] and name is not None:
        raise ValueError(f"tensor name must be left out for the .npy file {str(path)!r}, not {name!r}")
    if name is None:
        if len(names) != 1:
            raise ValueError(
                f"tensor name must be given as {path}:NAME for a file of {len(names)} tensors: {_some(names)}"
            )
        name = names[0]
    if name not in infos:
        raise ValueError(f"tensor name must be one in {str(path)!r}, not {name!r}; there are: {_some(names)}")
    info = infos[name]
    label = f"tensor {name!r} of {str(path)!r}" if name else f"tensor of {str(path)!r}"
    if not info.readable:
        raise ValueError(f"{label} must be {_some_type()}, not {info.dtype}")
    with reading(path):
        values = reader.values(info)
    return cast_exactly(values, np.float32, label)
