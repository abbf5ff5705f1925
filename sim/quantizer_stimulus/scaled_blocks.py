"""Blocks with a tensor scale that is chosen for them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from ...model import QuantizerSpec
from ..unit_stimulus import Codes
from .thresholds import beside, element_targets, nearest_codes, scale_thresholds, scale_values

__all__ = ["at_chosen_scales", "extreme_scales"]

# Blocks whose tensor scale is chosen for one of their numbers; of so many one is subnormal or small.
_CHOSEN: Final = 1500
_SMALL_TURN: Final = 4
# Blocks for each binade of subnormal numbers, and for each extreme tensor scale.
_SUBNORMAL: Final = 8
_EXTREME: Final = 64
# A number up to so many binades above a quarter of the largest scale stands under it.
_FAR: Final = 12

_Floats = npt.NDArray[np.float32]


def at_chosen_scales(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, _Floats]:
    """Return blocks, shape (blocks, N), and for each the tensor scale that makes a tie of one of its numbers.

    A tensor scale has more bits than most inputs: under any that is given, no number comes near a tie. So the
    number is drawn, and the scale is the quotient that takes it to a threshold of scales or to a midpoint of
    elements, to two steps of binary32.
    """
    form, size = spec.input_format, spec.block_size
    number = rng.integers(1, form.infinity_code, _CHOSEN)
    small = rng.integers(1, min(form.infinity_code, 24 << form.mantissa_bits), _CHOSEN)
    number = np.where(np.arange(_CHOSEN) % _SMALL_TURN, number, small)
    value = form.to_float32(number.astype(form.dtype)).astype(np.float64)
    values, targets = scale_values(spec), element_targets(spec)
    threshold = rng.choice(np.concatenate(list(scale_thresholds(spec).values())), _CHOSEN)
    scale, target = (rng.choice(choices[choices > 0], _CHOSEN) for choices in (values, targets))
    # The largest magnitude at a threshold, or another one at a midpoint, under the scale of the largest.
    of_elements = np.arange(_CHOSEN) % 2 == 1
    with np.errstate(over="ignore"):
        g = (value / np.where(of_elements, scale * target, threshold)).astype(np.float32)
    bits = g.view(np.uint32).astype(np.int64) + rng.integers(-2, 3, _CHOSEN)
    g = np.clip(bits, 1, 0x7F7FFFFF).astype(np.uint32).view(np.float32)
    largest = nearest_codes(spec, scale * spec.element_format.largest * g.astype(np.float64))
    largest = np.where(of_elements, np.maximum(largest, number), number).astype(form.dtype)
    x = rng.integers(0, number[:, np.newaxis] + 1, (_CHOSEN, size)).astype(form.dtype)
    rows, place = np.arange(_CHOSEN), rng.integers(0, size, _CHOSEN)
    x[rows, place] = number
    x[rows, np.where(of_elements, (place + 1) % size, place)] = largest
    x |= rng.integers(0, 2, x.shape).astype(form.dtype) << form.dtype.type(form.bits - 1)
    return x, g


def extreme_scales(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, _Floats]:
    """Return blocks, shape (blocks, N), and for each a tensor scale that takes it to an end.

    Subnormal numbers of each binade are elements above zero, or the largest of their block under a scale
    above zero. The scale is the largest, and numbers are 0 to 12 binades above a quarter of it times the
    tensor scale, exactly and one step below and above. The tensor scale is the least of all, the largest, or
    all ones, of a normal and of a subnormal number. Where thresholds are out of the input's reach without a
    tensor scale, the largest magnitudes stand at them and beside them under one that brings them to about 1.
    """
    parts = (_subnormal(spec, rng), _far(spec, rng), _ends(spec, rng), _at_thresholds_out_of_reach(spec, rng))
    x, g = np.concatenate([x for x, _ in parts]), np.concatenate([g for _, g in parts])
    x |= rng.integers(0, 2, x.shape).astype(x.dtype) << x.dtype.type(spec.input_format.bits - 1)
    return x, g


def _subnormal(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, _Floats]:
    """Return subnormal numbers of each binade, every second one with a larger number beside it."""
    form = spec.input_format
    place = np.repeat(np.arange(form.mantissa_bits), _SUBNORMAL)
    number = (1 << place) + rng.integers(0, 1 << place)
    value = form.to_float32(number.astype(form.dtype)).astype(np.float64)
    values, targets = scale_values(spec), element_targets(spec)
    is_element = np.arange(len(number)) % 2 == 0
    target = np.where(is_element, rng.choice(targets[targets > 0], len(number)), spec.element_format.largest)
    # The tensor scale must not be below the least one.
    scale = rng.choice(
        values[(values > 0) & (values <= max(1.0, 4 * spec.scale_format.smallest))], len(number)
    )
    g = np.maximum(value / (scale * target), 2.0**-149).astype(np.float32)
    largest = nearest_codes(spec, scale * spec.element_format.largest * g.astype(np.float64))
    x = rng.integers(0, number[:, np.newaxis] + 1, (len(number), spec.block_size)).astype(form.dtype)
    rows, lane = np.arange(len(number)), rng.integers(0, spec.block_size, len(number))
    x[rows, (lane + 1) % spec.block_size] = np.where(is_element, np.maximum(largest, number), number)
    x[rows, lane] = number
    return x, g


def _far(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, _Floats]:
    """Return numbers some binades above a quarter of the largest scale times the tensor scale."""
    form = spec.input_format
    most = float(form.to_float32(np.array([form.infinity_code - 1], form.dtype))[0])
    quarter = spec.scale_format.largest / 4
    binade, step = (one.ravel() for one in np.meshgrid(np.arange(_FAR + 1), np.arange(-1, 2), indexing="ij"))
    blocks: list[Codes] = []
    factors: list[_Floats] = []
    for significand in (1.0, 1 + rng.random(), 2 - 2.0**-23):
        # The largest number that stands there is below the format's largest.
        exponent = min(0, int(np.floor(np.log2(most / quarter))) - _FAR - 2)
        g = np.full(len(binade), np.ldexp(significand, max(exponent, -126)), np.float32)
        at = nearest_codes(spec, quarter * g.astype(np.float64) * 2.0**binade)
        top = nearest_codes(spec, quarter * g.astype(np.float64) * 2.0**_FAR)
        x = rng.integers(0, at[:, np.newaxis].astype(np.int64) + 1, (len(at), spec.block_size)).astype(
            form.dtype
        )
        rows, lane = np.arange(len(at)), np.arange(len(at)) % spec.block_size
        x[rows, (lane + 1) % spec.block_size] = top
        x[rows, lane] = beside(spec, at, step)
        blocks.append(x)
        factors.append(g)
    return np.concatenate(blocks), np.concatenate(factors)


def _ends(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, _Floats]:
    """Return numbers under the least tensor scale of all, the largest, and two of ones."""
    bits = np.repeat(np.array([1, 0x7F7FFFFF, 0x3FFFFFFF, 0x007FFFFF], np.uint32), _EXTREME)
    g = bits.view(np.float32)
    values = scale_values(spec)
    largest = rng.choice(values, len(g)) * spec.element_format.largest * g.astype(np.float64)
    x = largest[:, np.newaxis] * 2.0 ** rng.uniform(-6, 0, (len(g), spec.block_size))
    x[np.arange(len(g)), np.arange(len(g)) % spec.block_size] = largest
    return nearest_codes(spec, x), g


def _at_thresholds_out_of_reach(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, _Floats]:
    """Return largest magnitudes at thresholds that are too small or too large for the input."""
    form = spec.input_format
    ends = form.to_float32(np.array([1, form.infinity_code - 1], form.dtype)).astype(np.float64)
    # Below this, numbers beside a threshold are not as near as those of a normal number.
    least = ends[0] * 2.0**form.mantissa_bits
    found = np.concatenate(list(scale_thresholds(spec).values()))
    found = np.repeat(found[(found < least) | (found > ends[1])], 3)
    step = np.tile([-1, 0, 1], len(found) // 3)
    g = np.ldexp(1.0, np.clip(-np.frexp(found)[1], -126, 126)).astype(np.float32)
    largest = beside(spec, nearest_codes(spec, found * g.astype(np.float64)), step)
    x = rng.integers(0, largest[:, np.newaxis].astype(np.int64) + 1, (len(found), spec.block_size))
    x[np.arange(len(found)), np.arange(len(found)) % spec.block_size] = largest
    return x.astype(form.dtype), g
