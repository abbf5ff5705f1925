"""Writing NVFP4 matrices into a safetensors file: see `checkpoint` for its layouts."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ...base.whole_files import whole_file
from .. import formats
from ..tensor import BlockTensor
from .checkpoint import LAYOUTS, NVFP4_BLOCK, SUFFIXES, Layout
from .tensor_files import TensorInfo

__all__ = ["write_checkpoint", "written_tensor_scale"]

_ELEMENT: Final = formats.get("e2m1")
_SCALE: Final = formats.get("ue4m3")


def _parts(name: str, shape: tuple[int, ...], layout: Layout) -> tuple[TensorInfo, TensorInfo, TensorInfo]:
    elements, scales, tensor_scale = SUFFIXES[layout]
    rows, columns = shape
    return (
        TensorInfo(name + elements, (rows, columns // 2), "U8"),
        TensorInfo(name + scales, (rows, columns // NVFP4_BLOCK), "F8_E4M3"),
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
    metadata: Mapping[str, str] | None = None,
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
        metadata: Texts to keep in the header. ``format`` is ``pt`` there where it is not given: transformers
            asks for it.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the layout is unknown, two tensors have one name, a matrix is not what `shapes` says,
            or not NVFP4 blocked along its last axis, or its divisor is outside float32's range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    planned = {name: _parts(name, shape, layout) for name, shape in shapes.items()}
    infos = [info for parts in planned.values() for info in parts] + list(others)
    header: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
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
    if not alike or tensor.block_size != NVFP4_BLOCK:
        raise ValueError(
            f"matrix {name!r} must be {_ELEMENT} with {_SCALE} scales in blocks of {NVFP4_BLOCK}, "
            f"not {tensor.element} with {tensor.scale} in blocks of {tensor.block_size}"
        )
    if tensor.shape != tuple(shape):
        raise ValueError(f"matrix {name!r} must be shaped {tuple(shape)}, not {tensor.shape}")
    if tensor.axis % len(tensor.shape) != 1:
        raise ValueError(f"matrix {name!r} must be blocked along its last axis, not along {tensor.axis}")
    scale = written_tensor_scale(name, tensor.tensor_scale, layout)
    return tensor.pack(), tensor.scales, np.array([scale], "<f4")


def written_tensor_scale(name: str, tensor_scale: float, layout: Layout) -> np.float32:
    """Return as what a matrix's tensor scale is written: a divisor, or itself.

    Args:
        name: The matrix's name, for the message.
        tensor_scale: Its tensor scale.
        layout: The layout that is written.

    Raises:
        ValueError: If it has no finite reciprocal, where one is needed.
    """
    if layout != "compressed_tensors":
        return np.float32(tensor_scale)
    with np.errstate(over="ignore"):
        divisor = np.float32(1) / np.float32(tensor_scale)
    if not np.isfinite(divisor):
        raise ValueError(
            f"matrix {name!r} must have a tensor scale with a finite reciprocal, not {tensor_scale!r}"
        )
    return divisor
