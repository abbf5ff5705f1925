"""FP4 checkpoints as they are published, as safetensors: NVFP4 and MXFP4.

NVFP4 is blocks of 16 e2m1 elements with ue4m3 scales. Two layouts keep a matrix X of shape (rows, K) as three
tensors:

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

MXFP4 is blocks of 32 e2m1 elements with ue8m0 scales and no tensor scale. It is read, not written: in both
layouts, where the scales are U8 or F8_E8M0 (rows, K / 32), and in that of gpt-oss, ``X_blocks`` U8
(..., rows, K / 32, 16) with ``X_scales`` U8 (..., rows, K / 32). A tensor of type F4 has a place in its shape
for each element.

Weights of experts may be stacked along a first axis. ``X[e]`` is the matrix of expert e then. Stacks that
ModelOpt writes of Llama 4 and gpt-oss are turned round: `experts` says more. Their layout is called
``modelopt_experts``.

Files are read and written tensor by tensor, with no more than one in memory. That is why they are not
written with the safetensors package, which takes all tensors at once.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from .. import formats
from ..tensor import BlockTensor
from .model_files import ModelFiles
from .tensor_files import TensorInfo, split_source

__all__ = [
    "LAYOUTS",
    "NVFP4_BLOCK",
    "SUFFIXES",
    "TURNED_STACKS",
    "TURNED_SUFFIXES",
    "Checkpoint",
    "Layout",
    "StoredFormat",
    "StoredMatrix",
    "read_matrix",
]

Layout = Literal["compressed_tensors", "modelopt"]
LAYOUTS: Final[tuple[Layout, ...]] = ("compressed_tensors", "modelopt")

StoredFormat = Literal["NVFP4", "MXFP4"]

SUFFIXES: Final[dict[Layout, tuple[str, str, str]]] = {
    "compressed_tensors": (".weight_packed", ".weight_scale", ".weight_global_scale"),
    "modelopt": (".weight", ".weight_scale", ".weight_scale_2"),
}
"""What follows a matrix's name: elements, block scales, tensor scale."""
_GPT_OSS: Final = ("_blocks", "_scales")
TURNED_STACKS: Final = "modelopt_experts"
"""The layout of stacks of experts shaped (experts, K, rows)."""

TURNED_SUFFIXES: Final = ("_weight_scale", "_weight_scale_2")
"""What follows the name of such a stack, which is that of its elements: block scales, tensor scale."""
NVFP4_BLOCK: Final = 16
"""Elements under one scale of NVFP4."""
_ELEMENT: Final = formats.get("e2m1")
_SCALES: Final[dict[StoredFormat, tuple[str, int]]] = {"NVFP4": ("ue4m3", 16), "MXFP4": ("ue8m0", 32)}
_POWERS: Final = ("U8", "F8_E8M0")  # the types in which codes of ue8m0 are kept
_EXPERT: Final = re.compile(r"(?P<stack>.+)\[(?P<expert>\d+)\]", re.S)


@dataclass(frozen=True)
class StoredMatrix:
    """An FP4 matrix of a checkpoint, or a stack of matrices.

    Attributes:
        name: Its name.
        format: ``NVFP4`` or ``MXFP4``.
        layout: Whose names its parts have: one of `LAYOUTS`, ``gpt_oss`` or `TURNED_STACKS`.
        shape: (rows, K), or (experts, rows, K) of a stack.
        parts: The names of the tensors that hold its elements, block scales and, of NVFP4, tensor scales.
    """

    name: str
    format: StoredFormat
    layout: str
    shape: tuple[int, ...]
    parts: tuple[str, ...]

    @property
    def matrices(self) -> list[str]:
        """The names of its matrices: its own, or one for each expert."""
        return [f"{self.name}[{k}]" for k in range(self.shape[0])] if len(self.shape) == 3 else [self.name]


class Checkpoint:
    """A checkpoint, of any of the layouts: a file, or a folder of files.

    Args:
        path: What `ModelFiles` takes.

    Attributes:
        files: The files.
        stored: The FP4 matrices and stacks, by name, in the files' order.
        refused: Why a matrix whose name or type is that of an FP4 matrix is none, by its name: another
            format, a matrix of which a part is in another file, or a broken one. `read` says so.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: If it is no safetensors file, or the folder is none of a model.
    """

    def __init__(self, path: str | Path) -> None:
        self.files = ModelFiles(path)
        self.stored: dict[str, StoredMatrix] = {}
        self.refused: dict[str, str] = {}
        taken: set[str] = set()
        for name in self.files.infos:
            for matrix, layout, parts in self._candidates(name):
                try:
                    found = self._examine(matrix, layout, parts)
                    if taken.intersection(found.parts):
                        label = self.files.label(name)
                        raise ValueError(f"{label} must not share its parts with another layout's")
                except ValueError as error:
                    if matrix not in self.stored:
                        self.refused[matrix] = str(error)
                else:
                    self.stored[matrix] = found
                    taken.update(found.parts)

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self.files.path

    @property
    def layouts(self) -> dict[str, Layout]:
        """The layout of each NVFP4 matrix that `write_checkpoint` can write, by name."""
        return {
            name: layout
            for name, matrix in self.stored.items()
            for layout in LAYOUTS
            if matrix.layout == layout and matrix.format == "NVFP4" and len(matrix.shape) == 2
        }

    @property
    def others(self) -> list[TensorInfo]:
        """The tensors that are no part of a matrix in `layouts`, in the files' order."""
        parts = {part for name in self.layouts for part in self.stored[name].parts}
        return [info for name, info in self.files.infos.items() if name not in parts]

    def _candidates(self, name: str) -> list[tuple[str, str, tuple[str, str, str]]]:
        """Return of which matrix, in which layout and with which parts, a tensor may be the elements."""
        infos = self.files.infos
        dtype = infos[name].dtype
        found: list[tuple[str, str, tuple[str, str, str]]] = []
        for layout, (elements, scales, tensor_scale) in SUFFIXES.items():
            matrix = name.removesuffix(elements)
            # An ordinary weight has no scales beside it, nor has one that is kept in four bits alone.
            if name.endswith(elements) and (
                layout == "compressed_tensors"
                or dtype == "U8"
                or matrix + tensor_scale in infos
                or (dtype == "F4" and matrix + scales in infos)
            ):
                found.append((matrix, layout, (name, matrix + scales, matrix + tensor_scale)))
        matrix = name.removesuffix(_GPT_OSS[0])
        if name.endswith(_GPT_OSS[0]) and dtype == "U8" and matrix + _GPT_OSS[1] in infos:
            found.append((matrix, "gpt_oss", (name, matrix + _GPT_OSS[1], "")))
        if dtype == "U8" and len(infos[name].shape) == 3 and name + TURNED_SUFFIXES[0] in infos:
            found.append((name, TURNED_STACKS, (name, name + TURNED_SUFFIXES[0], name + TURNED_SUFFIXES[1])))
        return found

    def _examine(self, matrix: str, layout: str, parts: tuple[str, str, str]) -> StoredMatrix:
        """Return the matrix that three tensors are; raise ValueError where they are none."""
        infos, label = self.files.infos, self.files.label
        elements, scales = infos[parts[0]], infos.get(parts[1])
        if scales is None:
            raise ValueError(f"{label(parts[0])} must have {parts[1]!r} beside it")
        plain = layout == "gpt_oss" or (scales.dtype in _POWERS and parts[2] not in infos)
        form: StoredFormat = "MXFP4" if plain else "NVFP4"
        if form == "NVFP4" and parts[2] not in infos:
            raise ValueError(f"{label(parts[0])} must have {parts[2]!r} beside it")
        if elements.dtype not in ("U8", "F4"):
            raise ValueError(f"{label(parts[0])} must be U8, not {elements.dtype}")
        if form == "NVFP4" and scales.dtype != "F8_E4M3":
            raise ValueError(f"{label(parts[1])} must be F8_E4M3, not {scales.dtype}")
        if form == "MXFP4" and scales.dtype not in _POWERS:
            raise ValueError(f"{label(parts[1])} must be U8 or F8_E8M0, not {scales.dtype}")
        size = _SCALES[form][1]
        shape = _as_stored(elements.shape, layout)
        places = size if elements.dtype == "F4" else size // 2
        if layout == "gpt_oss":
            if len(shape) not in (3, 4) or shape[-1] != places:
                raise ValueError(
                    f"{label(parts[0])} must be shaped (..., rows, blocks, {places}), not {shape}"
                )
            shape = (*shape[:-2], shape[-2] * places)
        elif len(shape) not in (2, 3) or shape[-1] % places:
            axes = "experts, a multiple of {}, rows" if layout == TURNED_STACKS else "rows, a multiple of {}"
            raise ValueError(
                f"{label(parts[0])} must be shaped ({axes.format(places)}), not {elements.shape}"
            )
        wanted = (*shape[:-1], shape[-1] // places)
        if scales.shape != _as_stored(wanted, layout):
            raise ValueError(
                f"{label(parts[1])} must be shaped {_as_stored(wanted, layout)}, not {scales.shape}"
            )
        found = StoredMatrix(matrix, form, layout, (*wanted[:-1], wanted[-1] * size), parts[:2])
        if form == "MXFP4":
            return found
        tensor_scale = infos[parts[2]]
        if tensor_scale.dtype != "F32":
            raise ValueError(f"{label(parts[2])} must be F32, not {tensor_scale.dtype}")
        count = len(found.matrices)
        if tensor_scale.size != count and not (layout == TURNED_STACKS and tensor_scale.size == 1):
            value = "one value" if len(wanted) == 2 else f"{count} values"
            raise ValueError(f"{label(parts[2])} must hold {value}, not {tensor_scale.size}")
        return StoredMatrix(matrix, form, layout, found.shape, parts)

    def _find(self, name: str) -> tuple[StoredMatrix, int]:
        """Return the matrix of a name, and its place in its stack."""
        if name in self.refused:
            raise ValueError(self.refused[name])
        match = _EXPERT.fullmatch(name)
        stack = match["stack"] if match else ""
        if name not in self.stored and stack in self.refused:
            raise ValueError(self.refused[stack])
        found = self.stored.get(name) or self.stored.get(stack)
        if found is None:
            raise ValueError(f"name must be an NVFP4 or MXFP4 matrix in {str(self.path)!r}, not {name!r}")
        if name not in found.matrices:
            last = found.shape[0] - 1
            raise ValueError(f"name must be one of {found.name}[0] to [{last}], a stack, not {name!r}")
        return found, int(match["expert"]) if match and name != found.name else 0

    def shape(self, name: str) -> tuple[int, int]:
        """Return the shape of the matrix of that name, without reading it.

        Raises:
            ValueError: If there is none.
        """
        rows, columns = self._find(name)[0].shape[-2:]
        return rows, columns

    def read(self, name: str) -> BlockTensor:
        """Return the matrix of that name, blocked along its last axis.

        The tensor scale of a matrix of zeros, such as that of an expert that was never used, may be zero or
        infinite in files: it reads as 1 then.

        Raises:
            ValueError: If there is none, or it is one of `refused`; a block scale is negative; or the tensor
                scale of a matrix that is not zero is not finite or not above zero.
        """
        found, expert = self._find(name)
        rows, columns = found.shape[-2:]
        scale, size = _SCALES[found.format]
        turned = found.layout == TURNED_STACKS
        packed = self._part(found.parts[0], expert, (rows, columns // 2), turned=turned)
        codes = self._part(found.parts[1], expert, (rows, columns // size), turned=turned)
        factor = 1.0
        if found.format == "NVFP4":
            if codes.size and int(codes.max()) > 0x7F:
                label = self.files.label(found.parts[1])
                raise ValueError(f"{label} must not be negative, not {int(codes.max()):#x}")
            factor = self._tensor_scale(found, expert, lambda: _is_zero(packed, codes))
        return BlockTensor.unpack(packed, codes, factor, _ELEMENT.name, scale, size)

    def _part(self, name: str, expert: int, shape: tuple[int, int], *, turned: bool) -> npt.NDArray[np.uint8]:
        count = math.prod(shape)
        raw = self.files.raw(name, expert * count, count)
        return np.ascontiguousarray(raw.reshape(shape[::-1]).T) if turned else raw.reshape(shape)

    def _tensor_scale(self, matrix: StoredMatrix, expert: int, is_zero: Callable[[], bool]) -> float:
        # One for all experts, or one for each.
        expert = expert if self.files.infos[matrix.parts[2]].size > 1 else 0
        (value,) = self.files.raw(matrix.parts[2], 4 * expert, 4).view("<f4").tolist()
        with np.errstate(over="ignore", divide="ignore"):
            divides = matrix.layout == "compressed_tensors"
            scale = float(np.float32(1) / np.float32(value)) if divides else value
        if 0 < value < math.inf and 0 < scale < math.inf:
            return scale
        if value not in (0, math.inf) or not is_zero():
            raise ValueError(
                f"{self.files.label(matrix.parts[2])} must be above zero and finite, as its reciprocal, "
                f"not {value!r}"
            )
        return 1.0

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of any tensor, in one dimension.

        Raises:
            KeyError: If there is none of that name.
            ValueError: If the file has become shorter, or its type is none of the safetensors format.
        """
        return self.files.raw(name)


def _is_zero(packed: npt.NDArray[np.uint8], scales: npt.NDArray[np.uint8]) -> bool:
    """Return whether every block has a scale of zero, or no element but zeros (of either sign)."""
    elements = (packed & 0x77).reshape(*scales.shape, NVFP4_BLOCK // 2).any(axis=-1)
    return not (elements & (scales != 0)).any() and not (scales == 0x7F).any()


def _as_stored(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Return the shape that a tensor of a layout is stored in, or of one that is stored in it."""
    return (shape[0], *shape[:0:-1]) if layout == TURNED_STACKS else shape


def read_matrix(source: str | Path) -> BlockTensor | None:
    """Return an FP4 matrix of a checkpoint.

    Args:
        source: ``"path:name"``: the matrix's name, or that of the tensor of its elements.
            ``"path:name[e]"`` is the matrix of an expert in a stack.

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
    match = _EXPERT.fullmatch(name)
    for asked in (name, match["stack"] if match else name):
        for matrix in checkpoint.stored.values():
            if asked in (matrix.name, matrix.parts[0]):
                return checkpoint.read(matrix.name + name.removeprefix(asked))
    for matrix in checkpoint.refused:
        if name in (matrix, *(matrix + elements for elements, _, _ in SUFFIXES.values())):
            return checkpoint.read(matrix)
    return None
