"""Blocks that go to every threshold and every midpoint of a quantizer, and to its ends."""

from typing import Final

import numpy as np
import numpy.typing as npt

from ...model import QuantizerSpec
from ...model.scale_selection import ScaleRule
from ..unit_stimulus import Codes, StimulusSource
from .scaled_blocks import at_chosen_scales, extreme_scales
from .stimulus import QuantizerStimulus, draw_random_bits
from .thresholds import (
    Doubles,
    beside,
    element_targets,
    nearest_codes,
    scale_thresholds,
    scale_values,
    step_parts,
)

__all__ = ["directed"]

# Of so many directed blocks one stands under a tensor scale of any significand, and under a subnormal one.
_ANY_TURN: Final = 3
_SUBNORMAL_TURN: Final = 29
# Blocks that are drawn for errors that are all but equal, and how many of them are kept.
_DRAWN_FOR_TIES: Final = 1 << 17
_NEAR_TIES: Final = 200


def directed(spec: QuantizerSpec) -> QuantizerStimulus:
    """Return blocks that go to every threshold of scales and every midpoint of elements under every scale.

    The largest magnitude stands at each threshold, and one step of the input format below and above it, in
    one lane after another. Under every scale, as far as the input format reaches it, each midpoint of
    elements, each element and what is one step beside them stand in all lanes, with both signs; random bits,
    where there are any, are 0, all ones, drawn, the least that takes the element up, or one less. With a
    tensor scale, all of it stands there under 1 and 1.375, and some under others, subnormal ones too; and
    numbers stand under the very scale that makes a tie of them, and under those beside it; subnormal numbers
    of each binade under one that makes an element of them; and numbers under the ends of all tensor scales.
    Subnormal and largest numbers, infinities and NaNs stand alone in each lane. With ``four_over_six`` there
    are blocks whose errors under both scales differ by a last bit or none.
    """
    size = spec.block_size
    values, targets = scale_values(spec), element_targets(spec)
    rng = np.random.default_rng(0)
    blocks: list[Doubles] = []
    steps: list[npt.NDArray[np.int64]] = []
    signs: list[npt.NDArray[np.int64]] = []
    for thresholds in scale_thresholds(spec).values():
        largest = np.repeat(thresholds, 3)
        step = np.tile([-1, 0, 1], len(thresholds))
        block = rng.uniform(0, 0.5, (len(largest), size)) * largest[:, np.newaxis]
        place = np.arange(len(largest)) // 3 % size
        block[np.arange(len(largest)), place] = largest
        moves = np.zeros(block.shape, np.int64)
        moves[np.arange(len(largest)), place] = step
        blocks.append(block)
        steps.append(moves)
        signs.append(np.add.outer(np.arange(len(largest)) // 3, np.arange(size)))
    points = np.repeat(targets, 3)
    moved = np.tile([-1, 0, 1], len(targets))
    lanes = size - 1
    count = -(-len(points) // lanes)
    index = np.arange(count * lanes).reshape(count, lanes) % len(points)
    for turn in range(size):
        # The lane that holds the largest magnitude goes round.
        others = (np.arange(lanes) + turn + 1) % size
        block = np.zeros((len(values), count, size))
        moves = np.zeros((len(values), count, size), np.int64)
        block[..., others] = values[:, np.newaxis, np.newaxis] * points[index]
        moves[..., others] = moved[index]
        block[..., turn] = values[:, np.newaxis] * spec.element_format.largest
        # Nothing may be larger than the magnitude that the scale is chosen by.
        moves[(block >= block[..., turn : turn + 1]) & (moves > 0)] = 0
        blocks.append(np.minimum(block, block[..., turn : turn + 1]).reshape(-1, size))
        steps.append(moves.reshape(-1, size))
        # What stands in a lane under one scale has the other sign under the next.
        index_of_scale = np.repeat(np.arange(len(values)), count)
        signs.append(np.add.outer(index_of_scale, np.arange(size)))
    whole, moves, sign = np.concatenate(blocks), np.concatenate(steps), np.concatenate(signs)
    g: npt.NDArray[np.float32] | None = None
    scaled = whole
    if spec.tensor_scale:
        g = np.repeat(np.array([1, 1.375], np.float32), len(whole))
        moves, sign = np.concatenate([moves, moves]), np.concatenate([sign, sign])
        scaled = np.concatenate([whole, whole]) * g[:, np.newaxis].astype(np.float64)
    x = beside(spec, nearest_codes(spec, scaled), moves)
    form = spec.input_format
    x |= (sign % 2).astype(form.dtype) << form.dtype.type(form.bits - 1)
    if g is not None:
        under_others, others = _under_other_scales(spec, whole, rng)
        x, g = np.concatenate([x, under_others]), np.concatenate([g, others])
    corners = _corners(spec)
    if spec.method == "four_over_six":
        corners = np.concatenate([corners, _near_ties(spec, np.random.default_rng(1))])
    x = np.concatenate([x, corners])
    g = None if g is None else np.concatenate([g, np.ones(len(corners), np.float32)])
    draws = draw_random_bits(spec, x.shape, rng)
    if draws is not None:
        _, part = step_parts(spec, x, spec.compute(x, draws, g)[1], g)
        whole_step = 1 << spec.random_bits
        kind = rng.integers(0, 5, x.shape)
        # The least random number that takes an element up, and the one below it.
        turning = np.clip(whole_step - part - (kind == 4), 0, whole_step - 1)
        draws = np.choose(
            kind, [np.zeros_like(turning), np.full_like(turning, whole_step - 1), draws, turning, turning]
        )
        draws = draws.astype(np.uint16)
    return QuantizerStimulus(spec=spec, x=x, random=draws, g=g, source=StimulusSource(kind="directed"))


def _under_other_scales(
    spec: QuantizerSpec, whole: Doubles, rng: np.random.Generator
) -> tuple[Codes, npt.NDArray[np.float32]]:
    """Return blocks under tensor scales of any significand, shape (blocks, N), and these scales.

    Args:
        spec: What the unit computes.
        whole: The numbers of blocks that are directed without a tensor scale.
        rng: What draws.
    """
    # Under most significands a threshold lies between two of the input's numbers, which stand beside it.
    some = np.concatenate([whole[::_ANY_TURN], whole[::_SUBNORMAL_TURN]])
    drawn = rng.integers(0, 1 << 23, len(some))
    exponent = rng.integers(117, 137, len(some))
    exponent[len(whole[::_ANY_TURN]) :] = 0
    others = np.maximum(exponent << 23 | drawn, 1).astype(np.uint32).view(np.float32)
    tied, chosen = at_chosen_scales(spec, rng)
    extreme, extremes = extreme_scales(spec, np.random.default_rng(2))
    scaled = nearest_codes(spec, some * others[:, np.newaxis].astype(np.float64))
    return np.concatenate([scaled, tied, extreme]), np.concatenate([others, chosen, extremes])


def _corners(spec: QuantizerSpec) -> Codes:
    """Return the codes of blocks that no threshold leads to, shape (blocks, N)."""
    form, size = spec.input_format, spec.block_size
    infinity, subnormal, sign = form.infinity_code, 1 << form.mantissa_bits, 1 << form.bits - 1
    blocks = [np.zeros(size, np.int64), 1 + np.arange(size) % (subnormal - 1)]
    for k in range(size):
        for code in (1, subnormal - 1, infinity - 1, infinity, infinity + 1, sign - 1):
            for turned in (0, sign):
                block = np.zeros(size, np.int64)
                block[k] = code | turned
                blocks.append(block)
    if spec.method == "four_over_six":
        # Alone, both without an error: the scales are 2 and 3 of some steps.
        for k, code in enumerate(nearest_codes(spec, 12 * scale_values(spec)).tolist()):
            block = np.zeros(size, np.int64)
            block[k % size] = code
            blocks.append(block)
    return np.array(blocks).astype(form.dtype)


def _near_ties(spec: QuantizerSpec, rng: np.random.Generator) -> Codes:
    """Return blocks whose errors under the scales of 6 and of 4 are all but equal, shape (blocks, N).

    Of many drawn blocks these are the ones with the least difference, in units of what a last bit of a sum of
    products makes of it. Many numbers are in the least binade that has elements above zero, where a last bit
    of a sum is one of the number's own, and that bit is set.
    """
    form, element, values = spec.input_format, spec.element_format, spec.scale_format.values
    rule = ScaleRule(element, spec.scale_format)
    scales = scale_values(spec)
    shape = (_DRAWN_FOR_TIES, spec.block_size)
    binades = np.where(rng.random(shape) < 0.4, rng.uniform(-1.4, -1, shape), rng.uniform(-2, 2.6, shape))
    largest = rng.uniform(2.5, 2.7, len(binades))
    binades[np.arange(len(binades)), rng.integers(0, shape[1], len(binades))] = largest
    x = nearest_codes(
        spec, rng.choice(scales[scales > 0], (len(binades), 1)) * 2.0**binades
    ) | form.dtype.type(1)
    rows = form.to_float32(x)
    sides: list[Doubles] = []
    factors: list[Doubles] = []
    for top in (6.0, 4.0):
        codes = rule.round_scales(rows.max(axis=1), top)
        factor = values[codes]
        made = element.values[rule.compared(rows, codes)] * factor[:, np.newaxis]
        sides.append((made * (made - 2 * rows.astype(np.float64))).sum(axis=1))
        factors.append(factor)
    last = 2.0 ** (np.frexp(factors[0])[1] - 3 - form.mantissa_bits) * (factors[1] - factors[0])
    two = (factors[0] > 0) & (last > 0)
    off = np.where(two, np.abs(sides[0] - sides[1]) / np.where(two, last, 1), np.inf)
    return x[np.argsort(off, kind="stable")[:_NEAR_TIES]]
