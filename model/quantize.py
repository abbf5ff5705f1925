"""Quantizers: from float32 to element codes with one scale for each block.

Every quotient is rounded once, straight to the format it is for. Here is why a division in float64
does that, though it rounds first. A quotient q = x / d is misjudged only if it is not a boundary B of
the format (a midpoint of two neighbours, or a value) and float64 rounds it onto B. Write
x = X * 2**e with X of at most 24 bits, d = D * 2**g and B = C * 2**f, all integers. Then
``|q - B| / q = |X * 2**e - C * D * 2**(f + g)| / (X * 2**e)``, whose numerator, not being zero, is at
least the smaller of its two units. So the distance is at least ``2**-24`` (the unit of x), or about one
unit in C * D: 9 bits of boundary, and for a divisor 6 bits of scale or 7 of the largest element, with 24
more of tensor scale. That is ``2**-40``, far above the ``2**-53`` by which float64 rounds. The divisors
themselves have at most 31 bits: exact. And no value comes near float64's underflow or overflow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from . import formats
from .checks import cast_exactly, require_block_size, require_finite, require_int
from .formats import ROUNDINGS, Format, Rounding
from .tensor import BlockTensor

__all__ = ["METHODS", "Method", "quantize"]

Method = Literal["absmax"]
METHODS: Final[tuple[Method, ...]] = ("absmax",)

# Elements worked on at a time.
_CHUNK: Final = 1 << 15


@dataclass(frozen=True)
class _Recipe:
    """How blocks become codes: everything but the data.

    Blocks are float32 arrays of shape (blocks, N, inner), N elements under one scale; scale codes are
    shaped (blocks, inner).
    """

    element: Format
    scale: Format
    method: Method
    rounding: Rounding
    rng: np.random.Generator | None
    tensor_scale: float

    def choose_scales(self, largest: npt.NDArray[np.float32]) -> npt.NDArray[np.unsignedinteger]:
        """Return the scale codes of blocks with these largest magnitudes."""
        divisor = self.tensor_scale * self.element.largest
        return self.scale.encode(largest.astype(np.float64) / divisor, self.rounding, self.rng)

    def encode_elements(
        self, blocks: npt.NDArray[np.float32], scales: npt.NDArray[np.unsignedinteger]
    ) -> npt.NDArray[np.unsignedinteger]:
        """Return the element codes of `blocks` under `scales`; code 0 where a scale is zero."""
        divisor = self.scale.values[scales][:, np.newaxis] * self.tensor_scale
        zero = divisor == 0
        codes = self.element.encode(blocks / np.where(zero, 1.0, divisor), self.rounding, self.rng)
        return np.where(zero, self.element.dtype.type(0), codes) if zero.any() else codes


def _chunks(count: int, size: int, inner: int) -> Iterator[tuple[slice, slice]]:
    """Cut an array of shape (count, size, inner) into chunks of whole blocks, along its outer axes."""
    wide = min(max(1, inner), max(1, _CHUNK // size))
    step = max(1, _CHUNK // (size * wide))
    for start in range(0, count, step):
        for left in range(0, inner, wide):
            yield slice(start, start + step), slice(left, left + wide)


def _block_maxima(blocks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the largest magnitude of each block: (blocks, N, inner) -> (blocks, inner); NaN wins."""
    reduced = np.abs(blocks)
    while reduced.shape[1] > 1:
        half = reduced.shape[1] // 2
        reduced = np.maximum(reduced[:, :half], reduced[:, half:])
    return reduced[:, 0]


def _tensor_scale(largest: float, element: Format, scale: Format) -> float:
    """Return g of the contract; 1 for a tensor of zeros, and the least float32 where g would underflow."""
    if largest == 0:
        return 1.0
    with np.errstate(under="ignore"):
        # Once rounded as well: a midpoint of float32 has 25 bits, the divisor 13, so 2**-38 apart.
        g = np.float32(largest / (element.largest * scale.largest))
    return float(max(g, np.finfo(np.float32).smallest_subnormal))


def quantize(
    x: npt.ArrayLike,
    element: str | Format = "e2m1",
    scale: str | Format = "ue5m3",
    block_size: int = 16,
    method: Method = "absmax",
    tensor_scale: bool = False,
    axis: int = -1,
    rounding: Rounding = "nearest_even",
    rng: np.random.Generator | None = None,
) -> BlockTensor:
    """Quantize `x` in blocks along one axis.

    With the method ``absmax`` a block's scale S is ``encode(amax / qmax)``, where amax is its largest
    magnitude and qmax the element format's largest value, and its elements are ``encode(x / S)``; both
    saturate, and a block whose scale is zero has elements of code 0. Divisions are exact: `encode` is the
    only rounding.

    Args:
        x: Finite float32 values, or values of a type or kind that casts to float32 exactly; any shape
            with at least one axis.
        element: Element format.
        scale: Scale format.
        block_size: Elements under one scale, a power of two that divides the length of `axis`.
        method: How a block's scale is chosen.
        tensor_scale: Whether to divide first by ``g = float32(largest of x / (qmax * largest scale))``, which
            becomes the result's `tensor_scale`. The quotient by g is not rounded on its own. For a tensor
            of zeros g is 1; where it would underflow to zero it is the least float32 above.
        axis: The axis that blocks lie along.
        rounding: Of scales and of elements; see `Format.encode`.
        rng: The source of randomness, required by ``stochastic``.

    Returns:
        The codes, scales and what they mean.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a value of `x` is NaN or infinite or no float32 value, if `block_size` does not
            divide the length of `axis`, or if a parameter is outside its domain.
    """
    element = formats.require("element", element, signed=True)
    scale = formats.require("scale", scale, signed=False)
    size = require_block_size(block_size)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    values = cast_exactly(x, np.float32, "x")
    axis = require_int("axis", axis)
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis must be an axis of shape {values.shape}, not {axis}")
    if values.shape[axis] % size:
        raise ValueError(
            f"x must have a multiple of block_size={size} elements along axis {axis}, "
            f"not {values.shape[axis]}"
        )

    # (blocks, N, what lies inside the blocked axis): blocks along any axis without a transposition.
    inner = int(np.prod(values.shape[axis % values.ndim + 1 :], dtype=np.int64))
    blocks = np.ascontiguousarray(values).reshape(-1, size, inner)
    largest = np.empty((len(blocks), inner), np.float32)
    for part, across in _chunks(*blocks.shape):
        largest[part, across] = _block_maxima(blocks[part, :, across])
    if not np.isfinite(largest).all():
        require_finite(values, "x")
    g = _tensor_scale(float(largest.max(initial=0)), element, scale) if tensor_scale else 1.0
    recipe = _Recipe(element, scale, method, rounding, rng, g)
    codes = np.empty(blocks.shape, element.dtype)
    scales = np.empty(largest.shape, scale.dtype)
    for part, across in _chunks(*blocks.shape):
        chosen = recipe.choose_scales(largest[part, across])
        codes[part, :, across] = recipe.encode_elements(blocks[part, :, across], chosen)
        scales[part, across] = chosen

    scales_shape = list(values.shape)
    scales_shape[axis] //= size
    return BlockTensor(
        codes.reshape(values.shape), scales.reshape(scales_shape), g, element.name, scale.name, size, axis
    )
