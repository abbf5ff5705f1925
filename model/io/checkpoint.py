"""NVFP4 checkpoints as they are published: blocks of 16 e2m1 elements with ue4m3 scales, as safetensors.

Two layouts keep a matrix X of shape (rows, K) as three tensors:

=============  =====================================================  =====================================
               compressed-tensors                                     ModelOpt
=============  =====================================================  =====================================
elements       ``X.weight_packed`` U8 (rows, K / 2)                   ``X.weight`` U8 (rows, K / 2)
block scales   ``X.weight_scale`` F8_E4M3 (rows, K / 16)              ``X.weight_scale`` F8_E4M3, the same
tensor scale   ``X.weight_global_scale`` F32 (1,), which divides      ``X.weight_scale_2`` F32 (), which
                                                                      multiplies
=============  =====================================================  =====================================

Two elements share a byte, the even one in the low nibble. A divisor D reads as the tensor scale
float32(1 / D), and a tensor scale g is written as the divisor float32(1 / g), so that g may come back with
another last bit: float32 does not have a reciprocal for every number. ModelOpt's multiplier comes back as it
was.

Files are read and written tensor by tensor, with no more than one in memory. That is why they are not
written with the safetensors package, which takes all tensors at once.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ...base.whole_files import whole_file
from .. import formats
from ..tensor import BlockTensor
from .tensor_files import SafetensorsFile, TensorInfo, split_source

__all__ = ["LAYOUTS", "Checkpoint", "Layout", "read_matrix", "write_checkpoint"]

Layout = Literal["compressed_tensors", "modelopt"]
LAYOUTS: Final[tuple[Layout, ...]] = ("compressed_tensors", "modelopt")

# What follows the matrix's name: elements, block scales, tensor scale.
_SUFFIXES: Final[dict[Layout, tuple[str, str, str]]] = {
    "compressed_tensors": (".weight_packed", ".weight_scale", ".weight_global_scale"),
    "modelopt": (".weight", ".weight_scale", ".weight_scale_2"),
}
_BLOCK: Final = 16
_ELEMENT: Final = formats.get("e2m1")
_SCALE: Final = formats.get("ue4m3")


class Checkpoint:
    """A checkpoint file, of either layout.

    Args:
        path: A .safetensors file.

    Attributes:
        layouts: The layout of each NVFP4 matrix, by its name, in the file's order.
        refused: Why a matrix whose name or type is that of an NVFP4 matrix is none, by its name: another
            format, a matrix of which a part is in another file, or a broken one. `read` says so.
        others: The tensors that are no part of an NVFP4 matrix, in the file's order.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: If it is no safetensors file.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = SafetensorsFile(path)
        infos = self._file.infos
        self.layouts: dict[str, Layout] = {}
        self.refused: dict[str, str] = {}
        parts: set[str] = set()
        for name, info in infos.items():
            for layout, (elements, scales, tensor_scale) in _SUFFIXES.items():
                if not name.endswith(elements):
                    continue
                matrix = name.removesuffix(elements)
                # An ordinary weight has no scales beside it.
                if layout == "modelopt" and info.dtype != "U8" and matrix + tensor_scale not in infos:
                    continue
                names = (name, matrix + scales, matrix + tensor_scale)
                refusal = self._refusal(names)
                if refusal is None and parts.intersection(names):
                    refusal = f"{self._label(name)} must not share its parts with another layout's"
                if refusal is None:
                    self.layouts[matrix] = layout
                    parts.update(names)
                elif matrix not in self.layouts:
                    self.refused[matrix] = refusal
        self.others = [info for name, info in infos.items() if name not in parts]

    def _refusal(self, names: tuple[str, str, str]) -> str | None:
        """Return why three tensors are no NVFP4 matrix; None where they are one."""
        for name in names[1:]:
            if name not in self._file.infos:
                return f"{self._label(names[0])} must have {name!r} beside it"
        elements, scales, tensor_scale = (self._file.infos[name] for name in names)
        for info, dtype in ((elements, "U8"), (scales, "F8_E4M3"), (tensor_scale, "F32")):
            if info.dtype != dtype:
                return f"{self._label(info.name)} must be {dtype}, not {info.dtype}"
        if len(elements.shape) != 2 or elements.shape[1] % (_BLOCK // 2):
            return (
                f"{self._label(elements.name)} must be shaped (rows, a multiple of {_BLOCK // 2}), "
                f"not {elements.shape}"
            )
        wanted = (elements.shape[0], elements.shape[1] // (_BLOCK // 2))
        if scales.shape != wanted:
            return f"{self._label(scales.name)} must be shaped {wanted}, not {scales.shape}"
        if tensor_scale.size != 1:
            return f"{self._label(tensor_scale.name)} must hold one value, not {tensor_scale.size}"
        return None

    def _label(self, name: str) -> str:
        return f"tensor {name!r} of {str(self.path)!r}"

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def _layout(self, name: str) -> Layout:
        if name in self.refused:
            raise ValueError(self.refused[name])
        if name not in self.layouts:
            raise ValueError(f"name must be an NVFP4 matrix in {str(self.path)!r}, not {name!r}")
        return self.layouts[name]

    def shape(self, name: str) -> tuple[int, int]:
        """Return the shape of the NVFP4 matrix of that name, without reading it.

        Raises:
            ValueError: If there is none.
        """
        rows, half = self._file.infos[name + _SUFFIXES[self._layout(name)][0]].shape
        return rows, 2 * half

    def read(self, name: str) -> BlockTensor:
        """Return the NVFP4 matrix of that name, blocked along its last axis.

        The tensor scale of a matrix of zeros, such as that of an expert that was never used, may be zero or
        infinite in files: it reads as 1 then.

        Raises:
            ValueError: If there is none, or it is one of `refused`; a block scale is negative; or the tensor
                scale of a matrix that is not zero is not finite or not above zero.
        """
        layout = self._layout(name)
        elements, scales, tensor_scale = (name + suffix for suffix in _SUFFIXES[layout])
        codes = self._file.raw(scales).reshape(self._file.infos[scales].shape)
        if codes.size and int(codes.max()) > 0x7F:
            raise ValueError(f"{self._label(scales)} must not be negative, not {int(codes.max()):#x}")
        packed = self._file.raw(elements).reshape(self._file.infos[elements].shape)
        (value,) = self._file.raw(tensor_scale).view("<f4").tolist()
        with np.errstate(over="ignore", divide="ignore"):
            scale = float(np.float32(1) / np.float32(value)) if layout == "compressed_tensors" else value
        if not (0 < value < math.inf and 0 < scale < math.inf):
            if value not in (0, math.inf) or not _is_zero(packed, codes):
                raise ValueError(
                    f"{self._label(tensor_scale)} must be above zero and finite, as its reciprocal, "
                    f"not {value!r}"
                )
            scale = 1.0
        return BlockTensor.unpack(packed, codes, scale, _ELEMENT.name, _SCALE.name, _BLOCK)

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of any tensor of the file, in one dimension.

        Raises:
            KeyError: If there is none of that name.
            ValueError: If the file has become shorter, or its type is none of the safetensors format.
        """
        return self._file.raw(name)


def _is_zero(packed: npt.NDArray[np.uint8], scales: npt.NDArray[np.uint8]) -> bool:
    """Return whether every block has a scale of zero, or no element but zeros (of either sign)."""
    elements = (packed & 0x77).reshape(*scales.shape, _BLOCK // 2).any(axis=-1)
    return not (elements & (scales != 0)).any() and not (scales == 0x7F).any()


def read_matrix(source: str | Path) -> BlockTensor | None:
    """Return an NVFP4 matrix of a checkpoint.

    Args:
        source: ``"path:name"``: the matrix's name, or that of its packed elements.

    Returns:
        The matrix, blocked along its last axis; None where the file is no .safetensors file, or has no such
        matrix.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: What `Checkpoint` and its `read` raise: of a matrix in `Checkpoint.refused` too.
    """
    path, name = split_source(source)
    if name is None or path.suffix.lower() != ".safetensors":
        return None
    checkpoint = Checkpoint(path)
    for matrix, layout in checkpoint.layouts.items():
        if name in (matrix, matrix + _SUFFIXES[layout][0]):
            return checkpoint.read(matrix)
    for matrix in checkpoint.refused:
        if name in (matrix, *(matrix + elements for elements, _, _ in _SUFFIXES.values())):
            return checkpoint.read(matrix)
    return None


def _parts(name: str, shape: tuple[int, ...], layout: Layout) -> tuple[TensorInfo, TensorInfo, TensorInfo]:
    elements, scales, tensor_scale = _SUFFIXES[layout]
    rows, columns = shape
    return (
        TensorInfo(name + elements, (rows, columns // 2), "U8"),
        TensorInfo(name + scales, (rows, columns // _BLOCK), "F8_E4M3"),
        TensorInfo(name + tensor_scale, (1,) if layout == "compressed_tensors" else (), "F32"),
    )


def write_checkpoint(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], BlockTensor],
    layout: Layout = "compressed_tensors",
    *,
    others: Sequence[TensorInfo] = (),
    read_other: Callable[[str], npt.NDArray[np.generic]] | None = None,
) -> None:
    """Write NVFP4 matrices, one after another.

    The header comes first in such a file, so that the shapes must be known before the first matrix is.

    Args:
        path: The file to write; replaced where there is one, and left alone where an error is raised.
        shapes: The matrices' names and shapes (rows, K).
        read: Gives the matrix of a name when its turn comes.
        layout: ``compressed_tensors`` or ``modelopt``.
        others: Tensors to keep beside them as they are.
        read_other: Gives the values or the bytes of one of `others`, little-endian.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the layout is unknown, two tensors have one name, a matrix is not what `shapes` says,
            or not NVFP4 blocked along its last axis, or its divisor is outside float32's range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    planned = {name: _parts(name, shape, layout) for name, shape in shapes.items()}
    infos = [info for parts in planned.values() for info in parts] + list(others)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for info in infos:
        if info.name in header:
            raise ValueError(f"tensor names must differ, not {info.name!r} twice")
        end = position + info.byte_count
        header[info.name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants tensors to begin at a multiple of 8
    with whole_file(Path(path)) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            for array in _arrays(name, shape, read(name), layout):
                file.write(np.ascontiguousarray(array).data)
        for info in others:
            if read_other is None:
                raise ValueError("read_other must be given where there are others, not None")
            array = np.ascontiguousarray(read_other(info.name))
            if array.nbytes != info.byte_count:
                raise ValueError(
                    f"tensor {info.name!r} must have {info.byte_count} bytes, not {array.nbytes}"
                )
            file.write(array.data)


def _arrays(
    name: str, shape: tuple[int, ...], tensor: BlockTensor, layout: Layout
) -> tuple[npt.NDArray[np.generic], ...]:
    """Return what the three tensors of a matrix hold."""
    alike = tensor.element_format.equals(_ELEMENT) and tensor.scale_format.equals(_SCALE)
    if not alike or tensor.block_size != _BLOCK:
        raise ValueError(
            f"matrix {name!r} must be {_ELEMENT} with {_SCALE} scales in blocks of {_BLOCK}, "
            f"not {tensor.element} with {tensor.scale} in blocks of {tensor.block_size}"
        )
    if tensor.shape != tuple(shape):
        raise ValueError(f"matrix {name!r} must be shaped {tuple(shape)}, not {tensor.shape}")
    if tensor.axis % len(tensor.shape) != 1:
        raise ValueError(f"matrix {name!r} must be blocked along its last axis, not along {tensor.axis}")
    scale = np.float32(tensor.tensor_scale)
    if layout == "compressed_tensors":
        with np.errstate(over="ignore"):
            scale = np.float32(1) / scale
        if not np.isfinite(scale):
            raise ValueError(
                f"matrix {name!r} must have a tensor scale with a finite reciprocal, "
                f"not {tensor.tensor_scale!r}"
            )
    return tensor.pack(), tensor.scales, np.array([scale], "<f4")
