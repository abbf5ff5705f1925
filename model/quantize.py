"""Quantizers: from float32 to element codes with one scale for each block."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import cast_exactly, require_block_size, require_finite, require_int, require_real
from ..base.chunks import CHUNK
from . import formats, scale_selection
from .fast.staircases import Staircases, loops
from .formats import ROUNDINGS, Format, Rounding
from .recipes import RECIPE_CLASSES, QuantizeRecipe
from .scale_selection import Blocks, Method, ScaleRule
from .tensor import BlockTensor

__all__ = [
    "METHODS",
    "QUANTIZE_RECIPES",
    "Method",
    "QuantizeRecipe",
    "quantize",
    "require_method",
    "require_recipe",
]

METHODS: Final[tuple[Method, ...]] = tuple(scale_selection.SELECTIONS)

QUANTIZE_RECIPES: Final[tuple[QuantizeRecipe, ...]] = tuple(RECIPE_CLASSES)

# The formats of NVFP4.
_E2M1: Final = formats.get("e2m1")
_UE4M3: Final = formats.get("ue4m3")

_Codes = npt.NDArray[np.unsignedinteger]


class _Quantizer(Protocol):
    """Blocks to codes. Equal ones give equal codes, unless they round at random."""

    @property
    def tensor_scale(self) -> float:
        """What every element is multiplied by."""
        ...

    @property
    def is_staircase(self) -> bool:
        """Whether a scale depends on the largest magnitude alone, and an element on its own and the scale."""
        ...

    def choose(self, blocks: Blocks) -> _Codes:
        """Return the scale codes of some blocks."""
        ...

    def encode(self, rows: npt.NDArray[np.float32], scales: _Codes) -> _Codes:
        """Return the element codes of blocks, one a row, under their scale codes."""
        ...


@dataclass(frozen=True)
class _Method:
    """Blocks to codes by one of the methods."""

    method: Method
    rule: ScaleRule

    @property
    def tensor_scale(self) -> float:
        return float(self.rule.tensor_scale)

    @property
    def is_staircase(self) -> bool:
        return self.method in scale_selection.STAIRCASES and self.rule.rounding != "stochastic"

    def choose(self, blocks: Blocks) -> _Codes:
        return scale_selection.SELECTIONS[self.method](self.rule, blocks)

    def encode(self, rows: npt.NDArray[np.float32], scales: _Codes) -> _Codes:
        return self.rule.encode(rows, scales)


@lru_cache(maxsize=8)
def _staircases(quantizer: _Quantizer, scale: Format) -> Staircases:
    def choose(largest: npt.NDArray[np.float32]) -> _Codes:
        return quantizer.choose(Blocks(largest[:, np.newaxis], largest))

    return Staircases.of(scale.largest_code + 1, choose, quantizer.encode, scale.dtype)


def _chunks(count: int, size: int, inner: int) -> Iterator[tuple[slice, slice]]:
    """Cut an array of shape (count, size, inner) into chunks of whole blocks, along its outer axes."""
    wide = min(max(1, inner), max(1, CHUNK // size))
    step = max(1, CHUNK // (size * wide))
    for start in range(0, count, step):
        for left in range(0, inner, wide):
            yield slice(start, start + step), slice(left, left + wide)


def _tensor_scale(largest: float, divisor: float) -> float:
    """Return g of the contract; 1 for a tensor of zeros, and the least float32 where g would underflow."""
    if largest == 0:
        return 1.0
    with np.errstate(under="ignore"):
        # Once rounded as well: a midpoint of float32 has 25 bits, the divisor 13, so 2**-38 apart.
        g = np.float32(largest / divisor)
    return float(max(g, np.finfo(np.float32).smallest_subnormal))


def _shared_largest(whole: float, tensor_largest: float | None, *, scaled: bool) -> float:
    """Return what the tensor scale is made for: `whole`, or what is given and no less."""
    if tensor_largest is None:
        return whole
    largest = require_real("tensor_largest", tensor_largest)
    if not scaled:
        raise ValueError(f"tensor_largest must go with a tensor scale, not be {largest!r} without one")
    if not whole <= largest < math.inf:
        raise ValueError(f"tensor_largest must be finite and at least {whole!r}, that of x, not {largest!r}")
    return largest


def _scale_for_six(scale: Format) -> float:
    """Return the scale that brings a tensor's largest value to 6, with room for the one that brings it to 4.

    That is the largest scale of which 1.5 times fits, except for ``ue4m3``, where it is the 256 of the paper
    (arXiv 2512.02010).
    """
    if scale.equals(_UE4M3):
        return 256.0
    finite = scale.values[: scale.largest_code + 1]
    return float(finite[1.5 * finite <= scale.largest].max(initial=scale.smallest))


def require_method(method: object, element: Format, scale: Format) -> None:
    """Raise ValueError unless there is such a method, and it goes with the two formats."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if method == "four_over_six" and not element.equals(_E2M1):
        raise ValueError(f"element must be e2m1 for method 'four_over_six', not {element.name!r}")
    if method in scale_selection.POWER_OF_TWO_METHODS and not scale.powers_of_two:
        raise ValueError(f"scale must be ue8m0 for method {method!r}, not {scale.name!r}")


def require_recipe(
    recipe: object, element: Format, scale: Format, size: int, method: Method, rounding: Rounding
) -> None:
    """Raise ValueError unless there is such a recipe, and it goes with the other parameters."""
    if recipe not in QUANTIZE_RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(QUANTIZE_RECIPES)}, not {recipe!r}")
    for name, value, only in (
        ("element", _E2M1.name if element.equals(_E2M1) else element.name, _E2M1.name),
        ("scale", _UE4M3.name if scale.equals(_UE4M3) else scale.name, _UE4M3.name),
        ("block_size", size, 16),
        ("method", method, "absmax"),
        ("rounding", rounding, "nearest_even"),
    ):
        if value != only:
            raise ValueError(f"{name} must be {only} for recipe {recipe!r}, not {value!r}")


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
    recipe: QuantizeRecipe | None = None,
    tensor_largest: float | None = None,
) -> BlockTensor:
    """Quantize `x` in blocks along one axis.

    A block's scale S is chosen by `method`, from its largest magnitude amax and the element format's
    largest value qmax; its elements are ``encode(x / S)``. Both saturate, and a block whose scale is zero
    has elements of code 0. Quotients are exact: `encode` is the only rounding.

    =================  ==================================================================================
    ``absmax``         S = encode(amax / qmax)
    ``prevent_zero``   the same, but the smallest positive scale where that would be zero and amax is not
    ``four_over_six``  encode(amax / 6), or encode(amax / 4) where the sum of the block's squared errors is
                       strictly lower (arXiv 2512.02010); ``e2m1`` only
    ``search``         of all finite scales the one with the least sum of squared errors, of equal ones the
                       smallest code
    ``floor``          2**(floor(log2 amax) - floor(log2 qmax)), the conversion of OCP MX v1.0; ``ue8m0``
                       only; the smallest scale where amax is zero
    ``even``           as ``floor``, of amax rounded to as many significant bits as an element has: torchao's
                       and AMD Quark's EVEN; ``ue8m0`` only
    ``ceil``           the smallest power of two not below amax / qmax; ``ue8m0`` only
    =================  ==================================================================================

    Squared errors are compared exactly. Under ``stochastic`` rounding they are those of elements rounded to
    nearest even, and elements are drawn under the scale that is chosen.

    Args:
        x: Finite float32 values, or values of a type or kind that casts to float32 exactly; any shape
            with at least one axis. A torch tensor, and whatever has ``__array__`` or DLPack, will do.
        element: Element format.
        scale: Scale format; ``none`` for blocks without scales, as FP8 with a tensor scale has it.
        block_size: Elements under one scale, a power of two that divides the length of `axis`.
        method: How a block's scale is chosen.
        tensor_scale: Whether to divide first by ``g = float32(largest of x / (qmax * largest scale))``, which
            becomes the result's `tensor_scale`. The quotient by g is not rounded on its own. For a tensor
            of zeros g is 1; where it would underflow to zero it is the least float32 above. With
            ``four_over_six`` and ``ue4m3`` the largest scale counts as 256, so that the scale for 4 fits.
        axis: The axis that blocks lie along.
        rounding: Of elements, and of scales that are rounded; see `Format.encode`.
        rng: The source of randomness, required by ``stochastic``.
        recipe: ``transformer_engine`` gives the bits of NVIDIA's Transformer Engine for NVFP4 (``e2m1``,
            ``ue4m3``, 16, nearest even), its tensor scale included: with B the tensor's largest magnitude,
            all in float32, ``m = min(448 * 6 / B, largest float32)`` (1 where B is 0), a block's scale is
            ``encode(amax * (m * float32(1/6)))``, an element ``encode(x * min(1 / (S * (1 / m)), largest
            float32))``, and the tensor scale ``1 / m``. ``compressed_tensors``, ``modelopt`` and ``torchao``
            give the bits of those packages on float32 weights. They differ where blocks are small or zero:
            the least scale is 2**-9 for ``modelopt``, which gives a block of zeros the scale 1, and 2**-6 for
            ``torchao``; ``compressed_tensors`` makes 0.125 of a scale that rounds to zero. Their module,
            `blockdot.model.recipes`, has the order of their operations.
        tensor_largest: The largest magnitude that the tensor scale is made for, where `x` shares one with
            other tensors: the largest of all of them. That of `x` alone where it is None.

    Returns:
        The codes, scales and what they mean.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a value of `x` is NaN or infinite or no float32 value, if `block_size` does not
            divide the length of `axis`, or if a parameter is outside its domain or does not go with
            the method or recipe.
    """
    element = formats.require_format("element", element, signed=True)
    scale = formats.require_format("scale", scale, signed=False)
    size = require_block_size(block_size)
    require_method(method, element, scale)
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    if rounding == "stochastic" and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy Generator for stochastic rounding, not {rng!r}")
    if recipe is not None:
        require_recipe(recipe, element, scale, size, method, rounding)
    values = cast_exactly(x, np.float32, "x", "; np.asarray(x, np.float32) rounds them")
    axis = require_int("axis", axis)
    if not values.ndim:
        raise ValueError("x must have at least one axis, not shape ()")
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis must be an axis of shape {values.shape}, not {axis}")
    if values.shape[axis] % size:
        raise ValueError(
            f"x must have a multiple of block_size={size} elements along axis {axis}, "
            f"not {values.shape[axis]}"
        )

    # (blocks, N, what lies inside the blocked axis): blocks along any axis without a transposition.
    inner = int(np.prod(values.shape[axis % values.ndim + 1 :], dtype=np.int64))
    outer = int(np.prod(values.shape[: axis % values.ndim + 1], dtype=np.int64)) // size
    blocks = np.ascontiguousarray(values).reshape(outer, size, inner)
    codes = np.empty(blocks.shape, element.dtype)
    scales = np.empty((len(blocks), inner), scale.dtype)

    def take(part: slice, across: slice) -> Blocks:
        # One block a row.
        rows = blocks[part, :, across]
        if inner > 1:
            rows = np.ascontiguousarray(np.moveaxis(rows, 1, 2))
        rows = rows.reshape(-1, size)
        taken = Blocks.of(rows)
        if not np.isfinite(taken.largest).all():
            require_finite(values, "x")
        return taken

    # Blocks that lie in a row are encoded by a compiled loop, where there is one.
    compiled = loops(values.size) if inner == 1 else None
    whole = 0.0
    if (tensor_scale or recipe) and compiled:
        bits = compiled.largest(blocks.reshape(-1).view(np.int32))
        whole = float(np.int32(bits).view(np.float32))
        if not math.isfinite(whole):
            require_finite(values, "x")
    elif tensor_scale or recipe:
        whole = max(
            (float(take(*chunk).largest.max(initial=0)) for chunk in _chunks(*blocks.shape)), default=0.0
        )
    whole = _shared_largest(whole, tensor_largest, scaled=tensor_scale or recipe is not None)
    if recipe:
        quantizer: _Quantizer = RECIPE_CLASSES[recipe](element, scale, whole)
    else:
        top = _scale_for_six(scale) if method == "four_over_six" else scale.largest
        g = _tensor_scale(whole, element.largest * top) if tensor_scale else 1.0
        dice = rng if rounding == "stochastic" else None
        quantizer = _Method(method, ScaleRule(element, scale, rounding, dice, g))
    if compiled and quantizer.is_staircase and element.magnitude_bits == 3 and not element.twos_complement:
        stairs = _staircases(quantizer, scale)
        if not stairs.encode(compiled, blocks[..., 0], codes[..., 0], scales[:, 0]):
            require_finite(values, "x")
    else:
        for part, across in _chunks(*blocks.shape):
            taken = take(part, across)
            of_scales = quantizer.choose(taken)
            of_elements = quantizer.encode(taken.rows, of_scales)
            count, width = scales[part, across].shape
            scales[part, across] = of_scales.reshape(count, width)
            if inner > 1:
                of_elements = np.moveaxis(of_elements.reshape(count, width, size), 1, 2)
            codes[part, :, across] = of_elements.reshape(count, size, width)

    scales_shape = list(values.shape)
    scales_shape[axis] //= size
    return BlockTensor(
        codes.reshape(values.shape),
        scales.reshape(scales_shape),
        quantizer.tensor_scale,
        element.name,
        scale.name,
        size,
        axis,
    )
