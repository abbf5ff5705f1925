"""Tensors kept as codes: elements, and one scale for each block of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_block_size, require_int, require_real
from ..base.chunks import CHUNK
from ..base.foreign_arrays import as_codes
from . import formats
from .fast.decoder import Decoder
from .fixed_point import canonical
from .formats import Format

__all__ = ["BlockTensor", "pack_nibbles", "unpack_nibbles"]


def pack_nibbles(codes: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Pack two 4-bit codes a byte along the last axis: even positions low, odd positions high.

    Args:
        codes: Codes from 0 to 15, shape (..., K) with an even K.

    Returns:
        Bytes of shape (..., K / 2).

    Raises:
        TypeError: If `codes` are not integers.
        ValueError: If there is no last axis, its length is odd, or a code is above 15.
    """
    array = formats.get("e2m1").check(codes)
    if not array.ndim or array.shape[-1] % 2:
        raise ValueError(f"codes must have a last axis of even length, not shape {array.shape}")
    return array[..., 0::2] | (array[..., 1::2] << np.uint8(4))


def unpack_nibbles(packed: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Undo `pack_nibbles`.

    Args:
        packed: Bytes, shape (..., K / 2); or a torch tensor of ``float4_e2m1fn_x2``.

    Returns:
        Codes of shape (..., K).

    Raises:
        TypeError: If `packed` is neither.
        ValueError: If there is no last axis.
    """
    array, kind = as_codes(packed)
    if array.dtype != np.uint8 or kind not in (None, "float4_e2m1fn_x2"):
        raise TypeError(f"packed must be uint8, not {kind or array.dtype}")
    if not array.ndim:
        raise ValueError("packed must have a last axis, not shape ()")
    codes = np.empty((*array.shape[:-1], 2 * array.shape[-1]), np.uint8)
    np.bitwise_and(array, 15, out=codes[..., 0::2])
    np.right_shift(array, 4, out=codes[..., 1::2])
    return codes


@dataclass(frozen=True, eq=False, repr=False)
class BlockTensor:
    """A tensor as element codes with a scale code for each block along one axis.

    An element is worth ``decode(code) * decode(scale of its block) * tensor_scale``.

    Args:
        codes: Element codes, shaped as the tensor: integers, or what `Format.check` takes.
        scales: Scale codes: the same shape, but for `axis`, which has one for each `block_size`.
        tensor_scale: A float32 value above zero that multiplies every element; 1.0 for none.
        element: Name of the element format.
        scale: Name of the scale format.
        block_size: Elements under one scale, a power of two.
        axis: The axis that blocks lie along.

    The arrays are kept as read-only views; a tensor compares by identity.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain or shapes do not fit.
    """

    codes: npt.NDArray[np.unsignedinteger]
    scales: npt.NDArray[np.unsignedinteger]
    tensor_scale: float = 1.0
    element: str = "e2m1"
    scale: str = "ue5m3"
    block_size: int = 16
    axis: int = -1

    def __post_init__(self) -> None:
        for name in ("element", "scale"):
            fmt = formats.require_format(name, getattr(self, name), signed=name == "element")
            object.__setattr__(self, name, fmt.name)
        object.__setattr__(self, "block_size", require_block_size(self.block_size))
        tensor_scale = require_real("tensor_scale", self.tensor_scale)
        with np.errstate(over="ignore", under="ignore"):
            fits = float(np.float32(tensor_scale)) == tensor_scale
        if not (0 < tensor_scale < np.inf and fits):
            raise ValueError(f"tensor_scale must be a float32 value above zero, not {tensor_scale!r}")
        object.__setattr__(self, "tensor_scale", tensor_scale)
        codes = self.element_format.check(self.codes, "codes")
        scales = self.scale_format.check(self.scales, "scales")
        axis = require_int("axis", self.axis)
        if not codes.ndim:
            raise ValueError("codes must have at least one axis, not shape ()")
        if not -codes.ndim <= axis < codes.ndim:
            raise ValueError(f"axis must be an axis of shape {codes.shape}, not {axis}")
        object.__setattr__(self, "axis", axis)
        if codes.shape[axis] % self.block_size:
            raise ValueError(
                f"codes must have a multiple of {self.block_size} elements along axis {axis}, "
                f"not {codes.shape[axis]}"
            )
        wanted = list(codes.shape)
        wanted[axis] //= self.block_size
        if scales.shape != tuple(wanted):
            raise ValueError(f"scales must be shaped {tuple(wanted)} to fit codes, not {scales.shape}")
        for name, array in (("codes", codes), ("scales", scales)):
            view = array.view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def __repr__(self) -> str:
        """Say what it is, without its codes."""
        scaled = "" if self.tensor_scale == 1 else f", tensor_scale={self.tensor_scale!r}"
        return (
            f"<BlockTensor {self.shape} of {self.element} in blocks of {self.block_size} along axis "
            f"{self.axis} with {self.scale} scales{scaled}>"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the same, as a table."""
        rows = {
            "shape": self.shape,
            "element": self.element,
            "scale": self.scale,
            "block size": self.block_size,
            "axis": self.axis,
            "tensor scale": self.tensor_scale,
            "bytes of codes and scales": self.codes.nbytes + self.scales.nbytes,
        }
        cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
        return f"<table><caption>BlockTensor</caption>{cells}</table>"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return what `dequantize` does, for numpy to take; a view of the codes it cannot be."""
        if copy is False:
            raise ValueError("copy must not be False: the values are computed from codes")
        values = self.dequantize()
        return values if dtype is None else values.astype(dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        """Return what `dequantize` does, for a package that takes DLPack, such as ``torch.from_dlpack``.

        Args:
            options: What the protocol has: `stream`, `max_version`, `dl_device`, `copy`.

        Raises:
            BufferError: If `copy` is False: the values are computed from codes.
        """
        if options.pop("copy", None) is False:
            raise BufferError("copy must not be False: the values are computed from codes")
        asked = {name: value for name, value in options.items() if value is not None}
        return self.dequantize().__dlpack__(**asked)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the CPU, as DLPack names it."""
        return 1, 0

    @cached_property
    def element_format(self) -> Format:
        """The element format."""
        return formats.get(self.element)

    @cached_property
    def scale_format(self) -> Format:
        """The scale format."""
        return formats.get(self.scale)

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.codes.shape

    def blocks(self) -> tuple[npt.NDArray[np.unsignedinteger], npt.NDArray[np.unsignedinteger]]:
        """Return the blocks as a dot product takes them: the blocked axis last, cut into blocks.

        Returns:
            Element codes of shape (..., K / N, N) and scale codes of shape (..., K / N), where K is the
            length of the blocked axis and ... are the others in order.
        """
        codes = np.moveaxis(self.codes, self.axis, -1)
        scales = np.moveaxis(self.scales, self.axis, -1)
        return codes.reshape(*scales.shape, self.block_size), scales

    def dequantize(self, out: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float32]:
        """Return what the codes are worth: the exact product, rounded once to float32, ties to even.

        The product is a float32 value as it stands, and nothing is rounded, wherever `tensor_scale` is a
        power of two and the result is in float32's range: a significand has at most 14 bits. Beyond
        the range it is infinite. NaN is 0x7FC00000.

        Args:
            out: Takes the values and is returned: a contiguous float32 array of the tensor's shape. A new one
                where it is None; for large tensors, half the time goes into memory that was not used before.

        Raises:
            TypeError: If `out` is no array.
            ValueError: If it is another kind of array.
        """
        # As quantize does: (blocks, N, what lies inside the blocked axis) needs no transposition.
        axis = self.axis % self.codes.ndim
        inner = int(np.prod(self.codes.shape[axis + 1 :], dtype=np.int64))
        outer = int(np.prod(self.scales.shape[: axis + 1], dtype=np.int64))
        codes = self.codes.reshape(outer, self.block_size, inner)
        scales = self.scales.reshape(outer, 1, inner)
        if out is None:
            out = np.empty(self.codes.shape, np.float32)
        elif not isinstance(out, np.ndarray):
            raise TypeError(f"out must be a numpy array, not {type(out).__name__}")
        elif (out.shape, out.dtype) != (self.codes.shape, np.float32):
            raise ValueError(
                f"out must be float32 of shape {self.codes.shape}, not {out.dtype} of {out.shape}"
            )
        elif not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError("out must be contiguous and writeable, not a view of some of an array")
        result = out.reshape(codes.shape)
        elements = self.element_format.values
        factors = self.scale_format.values * self.tensor_scale
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if inner == 1:
                decoder = Decoder(self.element_format, elements, factors, result.dtype)
                decoder.decode(codes[..., 0], scales[:, 0, 0], result[..., 0])
            else:
                step = max(1, CHUNK // max(1, self.block_size * inner))
                for start in range(0, len(codes), step):
                    part = slice(start, start + step)
                    result[part] = elements[codes[part]] * factors[scales[part]]
        if not (np.isfinite(elements).all() and self.scales_are_finite):
            canonical(result)
        return out

    @cached_property
    def nan_scales(self) -> int:
        """How many scales are NaN."""
        nan = np.isnan(self.scale_format.values)
        return int(np.count_nonzero(nan[self.scales])) if nan.any() else 0

    @property
    def scales_are_finite(self) -> bool:
        """Whether no scale is NaN."""
        return not self.nan_scales

    def pack(self) -> npt.NDArray[np.uint8]:
        """Return the codes two a byte along the last axis, low nibble first.

        Raises:
            ValueError: If the element format has not 4 bits, or the last axis is of odd length.
        """
        self._require_nibbles(self.element_format)
        return pack_nibbles(self.codes)

    @classmethod
    def unpack(
        cls,
        packed: npt.ArrayLike,
        scales: npt.NDArray[np.unsignedinteger],
        tensor_scale: float = 1.0,
        element: str = "e2m1",
        scale: str = "ue5m3",
        block_size: int = 16,
        axis: int = -1,
    ) -> Self:
        """Return the tensor whose `pack` gave `packed`; the other parameters are the class's own.

        Raises:
            TypeError: If `packed` is not uint8, or another parameter is of the wrong kind.
            ValueError: If the element format has not 4 bits, or a parameter is outside its domain.
        """
        cls._require_nibbles(formats.get(element))
        return cls(unpack_nibbles(packed), scales, tensor_scale, element, scale, block_size, axis)

    @staticmethod
    def _require_nibbles(element: Format) -> None:
        if element.bits != 4:
            raise ValueError(f"element must have 4 bits to be packed, not {element.bits} ({element.name})")
