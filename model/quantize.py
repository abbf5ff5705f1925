"""Quantizers: from float32 to element codes with one scale for each block."""

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from . import choice, formats
from .checks import cast_exactly, require_block_size, require_finite, require_int
from .choice import Blocks, Rule
from .formats import ROUNDINGS, Format, Rounding
from .tensor import BlockTensor

__all__ = ["METHODS", "RECIPES", "Method", "Recipe", "quantize", "require_method"]

Method = Literal["absmax", "prevent_zero", "four_over_six", "search", "floor", "ceil"]
METHODS: Final[tuple[Method, ...]] = ("absmax", "prevent_zero", "four_over_six", "search", "floor", "ceil")

Recipe = Literal["transformer_engine"]
RECIPES: Final[tuple[Recipe, ...]] = ("transformer_engine",)

# Elements worked on at a time: the working arrays then stay inside a level-2 cache.
_CHUNK: Final = 1 << 16

_Codes = npt.NDArray[np.unsignedinteger]


class _Method:
    """Blocks to codes by one of the methods."""

    def __init__(self, method: Method, rule: Rule) -> None:
        self._choose = choice.METHODS[method]
        self._rule = rule
        self.tensor_scale = rule.tensor_scale

    def encode(self, blocks: Blocks) -> tuple[_Codes, _Codes]:
        """Return the element codes of some blocks, one a row, and their scale codes."""
        scales = self._choose(self._rule, blocks)
        return self._rule.encode(blocks.rows, scales), scales


class _TransformerEngine:
    """NVFP4 as NVIDIA's Transformer Engine makes it: float32 throughout, one rounding at each step."""

    def __init__(self, element: Format, scale: Format, largest: float) -> None:
        self._element, self._scale = element, scale
        with np.errstate(over="ignore"):
            encode = np.float32(448 * 6) / np.float32(largest) if largest else np.float32(1)
        self._multiplier = min(encode, np.finfo(np.float32).max)
        self._multiplier_over_six = self._multiplier * (np.float32(1) / np.float32(6))
        self._decode = np.float32(1) / self._multiplier
        self.tensor_scale = float(self._decode)

    def encode(self, blocks: Blocks) -> tuple[_Codes, _Codes]:
        """Return the element codes of some blocks, one a row, and their scale codes."""
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            scales = self._scale.encode_nearest(blocks.largest * self._multiplier_over_six)
            values = self._scale.values.astype(np.float32)[scales]
            factors = np.minimum(np.float32(1) / (values * self._decode), np.finfo(np.float32).max)
            spread = np.repeat(factors, blocks.rows.shape[1]).reshape(blocks.rows.shape)
            return self._element.encode_nearest(np.multiply(blocks.rows, spread, out=spread)), scales


def _chunks(count: int, size: int, inner: int) -> Iterator[tuple[slice, slice]]:
    """Cut an array of shape (count, size, inner) into chunks of whole blocks, along its outer axes."""
    wide = min(max(1, inner), max(1, _CHUNK // size))
    step = max(1, _CHUNK // (size * wide))
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


def require_method(method: object, element: Format, scale: Format) -> None:
    """Raise ValueError unless there is such a method, and it goes with the two formats."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if method == "four_over_six" and element.name != "e2m1":
        raise ValueError(f"element must be e2m1 for method 'four_over_six', not {element.name!r}")
    if method in ("floor", "ceil") and scale.name != "ue8m0":
        raise ValueError(f"scale must be ue8m0 for method {method!r}, not {scale.name!r}")


def _require_recipe(
    recipe: object, element: Format, scale: Format, size: int, method: Method, rounding: Rounding
) -> None:
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {recipe!r}")
    for name, value, only in (
        ("element", element.name, "e2m1"),
        ("scale", scale.name, "ue4m3"),
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
    recipe: Recipe | None = None,
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
    ``ceil``           the smallest power of two not below amax / qmax; ``ue8m0`` only
    =================  ==================================================================================

    Squared errors are compared exactly. Under ``stochastic`` rounding they are those of elements rounded to
    nearest even, and elements are drawn under the scale that is chosen.

    Args:
        x: Finite float32 values, or values of a type or kind that casts to float32 exactly; any shape
            with at least one axis.
        element: Element format.
        scale: Scale format.
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
            float32))``, and the tensor scale ``1 / m``.

    Returns:
        The codes, scales and what they mean.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a value of `x` is NaN or infinite or no float32 value, if `block_size` does not
            divide the length of `axis`, or if a parameter is outside its domain or does not go with
            the method or recipe.
    """
    element = formats.require("element", element, signed=True)
    scale = formats.require("scale", scale, signed=False)
    size = require_block_size(block_size)
    require_method(method, element, scale)
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    if rounding == "stochastic" and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy Generator for stochastic rounding, not {rng!r}")
    if recipe is not None:
        _require_recipe(recipe, element, scale, size, method, rounding)
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
    codes = np.empty(blocks.shape, element.dtype)
    scales = np.empty((len(blocks), inner), scale.dtype)

    def take(part: slice, across: slice) -> Blocks:
        # One block a row.
        rows = np.ascontiguousarray(np.moveaxis(blocks[part, :, across], 1, 2)).reshape(-1, size)
        taken = Blocks.of(rows)
        if not np.isfinite(taken.largest).all():
            require_finite(values, "x")
        return taken

    whole = 0.0
    if tensor_scale or recipe:
        whole = max(
            (float(take(*chunk).largest.max(initial=0)) for chunk in _chunks(*blocks.shape)), default=0.0
        )
    if recipe:
        quantizer = _TransformerEngine(element, scale, whole)
    else:
        # The paper's 256 leaves room for the scale that brings the largest value to 4 (arXiv 2512.02010).
        top = 256.0 if (method, scale.name) == ("four_over_six", "ue4m3") else scale.largest
        g = _tensor_scale(whole, element.largest * top) if tensor_scale else 1.0
        quantizer = _Method(method, Rule(element, scale, rounding, rng, g))
    for part, across in _chunks(*blocks.shape):
        of_elements, of_scales = quantizer.encode(take(part, across))
        count, width = scales[part, across].shape
        codes[part, :, across] = np.moveaxis(of_elements.reshape(count, width, size), 1, 2)
        scales[part, across] = of_scales.reshape(count, width)

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
