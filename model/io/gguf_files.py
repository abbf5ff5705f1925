"""GGUF files, through the package of that name: the extra ``gguf``."""

import math
import struct
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from ...base.external_tools import ToolError

__all__ = ["GGUF_TYPES", "GgufFile", "GgufTensor"]

GGUF_TYPES: Final = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0"),
    *(
        "MXFP4",
        "NVFP4",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ2_S",
        "IQ3_XXS",
        "IQ3_S",
        "IQ1_S",
        "IQ1_M",
        "IQ4_NL",
        "IQ4_XS",
    ),
)
"""The quantized types of which the package knows what they are worth."""


def _package() -> Any:
    try:
        # By name, as whoever checks the types need not have it.
        return import_module("gguf")
    except ModuleNotFoundError as error:
        raise ToolError(
            "gguf must be installed to read .gguf files, not missing: pip install 'blockdot[gguf]'"
        ) from error


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor of a file lies, and of what type it is.

    Attributes:
        name: Its name.
        shape: Its shape, the longest step first.
        dtype: Its type, as the package names it.
        offset: The byte of the file at which it begins.
        byte_count: How many bytes it takes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    byte_count: int


class GgufFile:
    """A .gguf file: what it says of the model, and where its tensors lie.

    Its head is read here, as the package takes ten times as long for one with a vocabulary
    (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian).

    Args:
        path: The file.

    Attributes:
        path: The same.
        metadata: What it says of the model: texts, numbers, and lists of them, by key.
        tensors: Its tensors by name, in its order.

    Raises:
        OSError: If it cannot be opened.
        ToolError: If the package is missing.
        ValueError: If it is no such file, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        package = _package()
        with path.open("rb") as file:
            head = _Head(file, path.stat().st_size)
            if head.take(4) != b"GGUF":
                raise ValueError("it does not begin with GGUF")
            version = head.number("<I")
            if version not in (2, 3):
                raise ValueError(f"its version must be 2 or 3, not {version}")
            tensors, members = head.number("<Q"), head.number("<Q")
            self.metadata: dict[str, Any] = {}
            for _ in range(members):
                key = head.text()
                if key in self.metadata:
                    raise ValueError(f"it has {key!r} twice")
                self.metadata[key] = head.value(head.number("<I"))
            places = [head.tensor() for _ in range(tensors)]
            alignment = self.metadata.get("general.alignment", 32)
            if type(alignment) is not int or alignment < 1:
                raise ValueError(f"its alignment must be a whole number above zero, not {alignment!r}")
            start = -(-file.tell() // alignment) * alignment
        self.tensors: dict[str, GgufTensor] = {}
        for name, shape, code, offset in places:
            if name in self.tensors:
                raise ValueError(f"it has the tensor {name!r} twice")
            kind = package.GGMLQuantizationType(code)
            size = math.prod(package.quants.quant_shape_to_byte_shape(shape, kind))
            self.tensors[name] = GgufTensor(name, shape, kind.name, start + offset, size)
            if start + offset + size > head.size:
                raise ValueError(f"tensor {name!r} ends behind the file's end")

    def values(self, name: str) -> npt.NDArray[np.float32]:
        """Return what a tensor is worth, as the package computes it in float32.

        Raises:
            KeyError: If there is none of that name.
            ValueError: If the package cannot, or the file has become shorter.
        """
        tensor = self.tensors[name]
        package = _package()
        kind = package.GGMLQuantizationType[tensor.dtype]
        raw = np.fromfile(self.path, np.uint8, tensor.byte_count, offset=tensor.offset)
        if raw.size != tensor.byte_count:
            raise ValueError("it is cut short")
        rows = raw.reshape(package.quants.quant_shape_to_byte_shape(tensor.shape, kind))
        # A block's scale may be infinite or NaN: so are its values then.
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return np.asarray(package.quants.dequantize(rows, kind), np.float32).reshape(tensor.shape)
        except NotImplementedError as error:
            raise ValueError(
                f"tensor {name!r} of {str(self.path)!r} must be of a type that gguf reads, not {tensor.dtype}"
            ) from error


# Numbers by their code in the file; 8 is a text and 9 a list.
_NUMBERS: Final = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_TEXT: Final = 8
_LIST: Final = 9
# The most that a tensor has.
_AXES: Final = 4


class _Head:
    """The head of a file, read from front to back."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.size = file, size
        self._left = size

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise ValueError("it is cut short")
        self._left -= count
        return self._file.read(count)

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind != _LIST:
            return self._numbers(kind, 1)[0]
        inner, count = self.number("<I"), self.number("<Q")
        if count > self._left:
            raise ValueError("it is cut short")
        if inner in (_TEXT, _LIST):
            return [self.value(inner) for _ in range(count)]
        return self._numbers(inner, count)

    def _numbers(self, kind: int, count: int) -> list[Any]:
        if kind not in _NUMBERS:
            raise ValueError(f"it has a value of type {kind}, which is none")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype).tolist()

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Return a tensor's name, shape, type and place behind the head."""
        name, axes = self.text(), self.number("<I")
        if not 1 <= axes <= _AXES:
            raise ValueError(f"tensor {name!r} has {axes} axes, not 1 to {_AXES}")
        # The file has the shortest step first.
        shape = tuple(self.number("<Q") for _ in range(axes))[::-1]
        return name, shape, self.number("<I"), self.number("<Q")
