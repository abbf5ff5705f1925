"""Numbers at which a quantizer's result becomes another: thresholds of scales, and midpoints of elements."""

import math

import numpy as np
import numpy.typing as npt

from ...model import QuantizerSpec
from ..unit_stimulus import Codes

__all__ = [
    "Doubles",
    "beside",
    "element_targets",
    "nearest_codes",
    "scale_thresholds",
    "scale_values",
    "step_parts",
    "tops",
]

Doubles = npt.NDArray[np.float64]


def nearest_codes(spec: QuantizerSpec, values: Doubles) -> Codes:
    """Return input codes of values that are not negative, cut off where the format is too narrow."""
    form = spec.input_format
    with np.errstate(over="ignore"):
        if form.name == "fp16":
            codes = values.astype(np.float16).view(np.uint16)
        else:
            codes = values.astype(np.float32).view(np.uint32) >> np.uint32(32 - form.bits)
    # An overflow is as large as it gets; infinities are planted on purpose.
    return np.minimum(codes, form.infinity_code - 1).astype(form.dtype)


def beside(spec: QuantizerSpec, codes: Codes, step: npt.NDArray[np.integer]) -> Codes:
    """Return magnitudes moved by some steps of the format, and kept finite."""
    form = spec.input_format
    return np.clip(codes.astype(np.int64) + step, 0, form.infinity_code - 1).astype(form.dtype)


def tops(spec: QuantizerSpec) -> list[float]:
    """Return the values to which a method brings a block's largest magnitude."""
    return [6.0, 4.0] if spec.method == "four_over_six" else [spec.element_format.largest]


def scale_values(spec: QuantizerSpec) -> Doubles:
    """Return the values of all finite scales, by code."""
    scale = spec.scale_format
    return scale.values[: scale.largest_code + 1]


def element_targets(spec: QuantizerSpec) -> Doubles:
    """Return all midpoints of neighbouring element magnitudes, and the magnitudes themselves."""
    element = spec.element_format
    points = np.unique(np.abs(element.values[element.codes]))
    return np.concatenate([points, (points[1:] + points[:-1]) / 2])


def scale_thresholds(spec: QuantizerSpec) -> dict[float, Doubles]:
    """Return the largest magnitudes at which the scale becomes the next one, by what they are brought to.

    Those of ``four_over_six`` are of both its scales.
    """
    values, largest = scale_values(spec), spec.element_format.largest
    if spec.method == "floor":
        return {largest: values[1:] * 2.0 ** math.floor(math.log2(largest))}
    if spec.method == "ceil":
        return {largest: values[:-1] * largest}
    return {top: (values[1:] + values[:-1]) / 2 * top for top in tops(spec)}


def step_parts(
    spec: QuantizerSpec, x: Codes, scales: npt.NDArray[np.unsignedinteger], g: npt.NDArray[np.float32] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where magnitudes lie between the elements that are their neighbours, under ``stochastic``.

    Args:
        spec: What the unit computes.
        x: Input codes, shape (vectors, N).
        scales: The scale code of each block.
        g: The tensor scale of each block, if there is one.

    Returns:
        For each number which of the element format's magnitudes is the lower neighbour, and what part of the
        step it is above it, in units of a random bit. -1 for both where there is no upper neighbour, or no
        scale above zero.
    """
    element = spec.element_format
    magnitudes = np.unique(np.abs(element.values[element.codes]))
    finite = scales <= spec.scale_format.largest_code
    factor = spec.scale_format.values[np.where(finite, scales, 0)]
    if g is not None:
        factor = factor * g.astype(np.float64)
    alive = finite & (factor > 0)
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.abs(spec.input_format.to_float32(x).astype(np.float64))
        values = values / np.where(alive, factor, 1)[:, np.newaxis]
    values = np.where(np.isfinite(values), values, magnitudes[-1])
    lower = np.searchsorted(magnitudes, values, side="right") - 1
    there = (lower < len(magnitudes) - 1) & alive[:, np.newaxis]
    at = np.where(there, lower, 0)
    position = (values - magnitudes[at]) / (magnitudes[at + 1] - magnitudes[at])
    part = np.floor(np.where(there, position, 0) * (1 << spec.random_bits)).astype(np.int64)
    return np.where(there, lower, -1), np.where(there, part, -1)
