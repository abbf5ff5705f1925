"""Bins of a quantizer about the tensor scale by which it divides."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...model import QuantizerSpec
from .bins import Bin

__all__ = ["scaled_bins", "scaled_bins_met"]

_Met = npt.NDArray[np.bool_]

_SCALES: Final = (
    "a power of two",
    "another normal one",
    "subnormal",
    "the least",
    "the largest",
    "a significand of ones",
    "a subnormal one of ones",
)
_FAR: Final = 9
"""More binades above a quarter of the scale than any that is told apart from the next."""


def scaled_bins(spec: QuantizerSpec) -> list[Bin]:
    """Return what there is to meet of a tensor scale.

    These are the tensor scale itself; subnormal numbers of each binade, as elements above zero and as the
    largest of a block whose scale is not zero; and how many binades a number is above a quarter of the
    scale, times the tensor scale: from the fourth on it is the largest element, and the scale the largest
    but for the least one.
    """
    bins = [Bin("tensor scale", name) for name in _SCALES]
    places = range(1, spec.input_format.mantissa_bits + 1)
    reached = _least_scale_is_passed(spec)
    bins += [Bin("subnormal", f"an element leads {place} behind the point") for place in places]
    bins += [
        Bin("subnormal", f"the largest leads {place} behind the point")
        for place in places
        if place <= reached
    ]
    return bins + [Bin("binade", _binade_name(k)) for k in range(-1, _FAR + 1)]


def _least_scale_is_passed(spec: QuantizerSpec) -> int:
    """Return how many places behind the point the leading one of a number may be, under any tensor scale.

    With more places its scale is zero even where it is divided by the least tensor scale of all.
    """
    form = spec.input_format
    alone = np.zeros((form.mantissa_bits, spec.block_size), form.dtype)
    alone[:, 0] = [(1 << form.mantissa_bits - place) - 1 for place in range(form.mantissa_bits)]
    draws = np.zeros(alone.shape, np.uint16) if spec.stochastic else None
    scales = spec.compute(alone, draws, np.full(form.mantissa_bits, 2.0**-149, np.float32))[1]
    return int((spec.scale_format.values[scales] > 0).sum())


def _binade_name(k: int) -> str:
    if k < 0:
        return "not above a quarter of the scale"
    return f"{k} above a quarter of the scale" + (" or more" if k == _FAR else "")


def scaled_bins_met(
    spec: QuantizerSpec,
    magnitude: npt.NDArray[np.int64],
    elements: npt.NDArray[Any],
    scales: npt.NDArray[Any],
    g: npt.NDArray[np.float32],
) -> dict[tuple[str, str], _Met]:
    """Return for each of these bins which blocks meet it, of those whose numbers are finite.

    Args:
        spec: What the unit computes.
        magnitude: The codes of the numbers without their signs, shape (blocks, N).
        elements: The codes of their elements, in the same shape.
        scales: The codes of the scales.
        g: The tensor scales.
    """
    form = spec.input_format
    bits = g.view(np.uint32)
    mantissa = bits & np.uint32((1 << 23) - 1)
    normal = g >= 2.0**-126
    ones = mantissa == (1 << 23) - 1
    met = dict(
        zip(
            (("tensor scale", name) for name in _SCALES),
            (
                normal & (mantissa == 0),
                normal & (mantissa != 0),
                ~normal,
                bits == 1,
                g == np.finfo(np.float32).max,
                normal & ones,
                ~normal & ones,
            ),
            strict=True,
        )
    )
    largest = magnitude.max(axis=1)
    factor = np.where(scales <= spec.scale_format.largest_code, spec.scale_format.values[scales], 0)
    above_zero = (elements & 7) != 0
    for place in range(1, form.mantissa_bits + 1):
        low, high = 1 << form.mantissa_bits - place, 1 << form.mantissa_bits - place + 1
        inside, led = (magnitude >= low) & (magnitude < high), (largest >= low) & (largest < high)
        met["subnormal", f"an element leads {place} behind the point"] = (inside & above_zero).any(axis=1)
        met["subnormal", f"the largest leads {place} behind the point"] = led & (factor > 0)
    finite = largest < form.infinity_code
    values = form.to_float32(np.where(finite[:, np.newaxis], magnitude, 0).astype(form.dtype)).astype(
        np.float64
    )
    quarter = np.where(factor > 0, factor, 1) * g.astype(np.float64) / 4
    # Just above a power of two is the next binade.
    digits, exponent = np.frexp(values / quarter[:, np.newaxis])
    binade = np.clip(exponent - 1 - (digits == 0.5), -1, _FAR)
    there = (values > 0) & (factor > 0)[:, np.newaxis]
    for k in range(-1, _FAR + 1):
        met["binade", _binade_name(k)] = ((binade == k) & there).any(axis=1)
    return met
