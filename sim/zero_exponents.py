"""Steps of ``aligned`` in which the exponent that a zero reads decides a bit of the result.

Such a step starts at zero, and each of its terms has a lower exponent than `DotSpec.zero_exponent`: so that
exponent says below which bit everything is cut off. Numbers that small are hardly ever drawn by chance.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..model import DotSpec, Format
from .stimulus import negated
from .unit_stimulus import Bools, Codes

__all__ = ["SmallSteps", "draw_small_steps", "zero_exponent_counts"]

_Exponents = npt.NDArray[np.int64]


class SmallSteps(NamedTuple):
    """Codes of steps, each to be added to a sum of zero.

    Attributes:
        a: Element codes, shape (steps, blocks, N).
        b: Likewise.
        a_scale: Scale codes, shape (steps, blocks).
        b_scale: Likewise.
    """

    a: Codes
    b: Codes
    a_scale: Codes
    b_scale: Codes


def zero_exponent_counts(spec: DotSpec, exponent: int | None = None) -> bool:
    """Return whether, in a step that starts at zero, the exponent that a zero reads can decide a bit.

    It cannot where all terms that are not zero have a greater exponent, so that a zero's is never the
    largest; nor where all are multiples of the last bit that is kept under it, so that nothing is cut off.

    Args:
        spec: What is computed.
        exponent: It or one less: which of them a zero reads is what may decide. `DotSpec.zero_exponent` where
            it is None.
    """
    if spec.accumulate != "aligned":
        return False
    exponent = spec.zero_exponent if exponent is None else exponent
    scales = spec.scales if spec.has_scales else ()
    read = (*scales, *spec.elements) if spec.term_size == 1 else scales
    least = sum(fmt.least_exponent for fmt in read)
    quantum = sum(fmt.quantum_exponent for fmt in (*scales, *spec.elements))
    return least < exponent and quantum < exponent - spec.fraction


def draw_small_steps(spec: DotSpec, count: int, rng: np.random.Generator) -> SmallSteps:
    """Draw steps whose terms lie around the last bit that is kept if a zero's exponent is the largest.

    In half of the steps one term, or some, lie around the last bit of the result instead: then what is cut
    off of the others decides whether that bit is reached. Where all terms are smaller, it decides whether the
    result is -0.

    Args:
        spec: What is computed.
        count: How many steps.
        rng: What is drawn from.
    """
    blocks = (count, spec.blocks)
    shape = (*blocks, spec.block_size)
    form = spec.sum_format
    last = spec.zero_exponent - spec.fraction + rng.integers(-2, 2, (count, 1))
    # Of a result that is cut off the last bit decides; of one that is rounded, half of it.
    decides = form.least_exponent - form.fields.fraction_bits - form.nearest
    kind = rng.choice(3, (count, 1), p=[0.5, 0.3, 0.2])
    powers = rng.random(count) < 0.5

    def sizes(each: int) -> _Exponents:
        """Draw the sizes of so many terms of each step."""
        chance = rng.random((count, each))
        one = chance == chance.max(axis=1, keepdims=True)
        large = np.where(kind == 1, one, (kind == 2) & (chance < 0.5))
        spread = np.where(rng.random((count, each)) < 0.7, 0, rng.integers(-1, 4, (count, each)))
        return np.where(large, decides, last) + spread

    scales = np.zeros(blocks, np.int64)
    a_scale, b_scale = (np.zeros(blocks, fmt.dtype) for fmt in spec.scales)
    if spec.has_scales:
        # Products under them are from the least to the greatest of the elements' products.
        least = sum(fmt.quantum_exponent for fmt in spec.elements)
        greatest = sum(_greatest_exponent(fmt) for fmt in spec.elements)
        scales = sizes(spec.blocks) - rng.integers(least, greatest + 1, blocks)
        a_scale, b_scale = _pairs(spec.scales, scales, powers, rng)
    if spec.term_size == 1:
        a, b = _pairs(
            spec.elements,
            sizes(spec.blocks * spec.block_size).reshape(shape) - scales[..., np.newaxis],
            powers,
            rng,
        )
    else:
        a, b = (fmt.codes[rng.integers(0, len(fmt.codes), shape)] for fmt in spec.elements)
    # From one product to all of them.
    used = rng.random(shape) < rng.choice([1 / spec.block_size, 0.3, 1.0], (count, 1, 1))
    for fmt, array in zip(spec.elements, (a, b), strict=True):
        array[~used] = np.flatnonzero(fmt.values == 0)[0]
    # Products of either sign, or all below zero.
    opposite = negated(spec.elements[1])
    negative = np.logical_xor(
        *(np.signbit(fmt.values[x]) for fmt, x in zip(spec.elements, (a, b), strict=True))
    )
    below = (rng.random((count, 1, 1)) < 0.5) | (rng.random(shape) < 0.5)
    b = np.where(negative == below, b, opposite[b])
    return SmallSteps(a, b, a_scale, b_scale)


def _greatest_exponent(fmt: Format) -> int:
    return (fmt.largest_code >> fmt.mantissa_bits) - fmt.bias


def _pairs(
    formats: tuple[Format, Format], exponents: _Exponents, powers: Bools, rng: np.random.Generator
) -> tuple[Codes, Codes]:
    """Draw positive codes whose exponents have these sums, or come near them where no codes have.

    Args:
        formats: Of the two.
        exponents: The sums, shape (steps, ...).
        powers: In which steps all numbers are powers of two.
        rng: What is drawn from.
    """
    one, other = formats
    least, greatest = one.quantum_exponent, _greatest_exponent(one)
    lowest = np.clip(exponents - _greatest_exponent(other), least, greatest)
    highest = np.clip(exponents - other.quantum_exponent, least, greatest)
    first = rng.integers(lowest, highest + 1)
    return _coded(one, first, powers, rng), _coded(other, exponents - first, powers, rng)


def _coded(fmt: Format, exponents: _Exponents, powers: Bools, rng: np.random.Generator) -> Codes:
    """Draw codes of numbers from two to these powers to twice that."""
    fraction = rng.integers(0, 1 << fmt.mantissa_bits, exponents.shape)
    fraction[powers] = 0
    below = fmt.least_exponent - exponents
    subnormal = (fraction | 1 << fmt.mantissa_bits) >> np.clip(below, 0, fmt.mantissa_bits + 1)
    normal = np.maximum(exponents + fmt.bias, 0) << fmt.mantissa_bits | fraction
    codes = np.where((below > 0) & fmt.subnormals, subnormal, normal)
    return np.minimum(codes, fmt.largest_code).astype(fmt.dtype)
