"""How long each step of a datapath takes: what registers are placed by.

Delays are FO4 of the built-in library, gates alone: what a register adds is the same in every stage. The
formulas were fitted to steps synthesized alone and in pairs, and ``python -m studies.step_delays`` does that
again and prints both. Widths enter as the structures say: a tree's levels grow with the logarithm of its
rows, a ripple adder with its width, a prefix adder with its logarithm. An estimate only moves registers: no
result depends on it. The delays of an accumulation's own steps are with them, in `blockdot.hw.accumulate`.
"""

import math
from dataclasses import dataclass

__all__ = [
    "StepDelay",
    "add",
    "compress",
    "join",
    "multiply",
    "normalise",
    "place",
    "product",
    "round_",
]


@dataclass(frozen=True)
class StepDelay:
    """How long a step takes.

    Attributes:
        alone: Between two registers.
        hidden: So much less behind another step: what arrives early is used early.
        beside: Of what it makes beside the longest path, for a step further on.
    """

    alone: float
    hidden: float = 0
    beside: float = 0


def _rows(width: int) -> int:
    return max(width - 1, 1).bit_length()


def product(element_bits: int, scale_bits: int) -> StepDelay:
    """Of elements and, beside them, of scales, by the widths of their significands.

    Args:
        element_bits: The wider element's significand.
        scale_bits: The wider scale's, or 1 where these are not multiplied here.
    """
    return StepDelay(5 * element_bits + 1, beside=5 * scale_bits)


def compress(lanes: int, magnitude_bits: int, *, fast: bool) -> StepDelay:
    """Of a tree over so many products. The small one ends a column before it begins the next."""
    if fast:
        return StepDelay(4.4 * math.log(lanes * 1.2, 1.5), hidden=7)
    return StepDelay(13 * math.log2(lanes) - 6 + 1.4 * (magnitude_bits - 8), hidden=6)


def add(width: int, *, fast: bool, absolute: bool) -> StepDelay:
    """Of the adder behind a tree. A carry that ripples follows the columns as they come."""
    if not fast:
        return StepDelay(1.27 * width + 0.6, hidden=width)
    return StepDelay(3 * math.log2(width) + 5.5 if absolute else 2 * math.log2(width) + 3)


def multiply(sum_bits: int, scale_bits: int, *, fast: bool, signed: bool) -> StepDelay:
    """Of a sum by the significands of its scales.

    Args:
        sum_bits: Width of the sum.
        scale_bits: Width of the significands' product.
        fast: Whether time counts more than gates.
        signed: Whether the sum is not negated on its way.
    """
    if fast:
        return StepDelay(4.2 * math.log(scale_bits, 1.5) + 6, hidden=3) if scale_bits > 1 else StepDelay(4)
    if scale_bits == 1:
        return StepDelay(4) if signed else StepDelay(0.5 * sum_bits + 6.5, hidden=2)
    return StepDelay(2.1 * sum_bits + (16 if signed else 25), hidden=3)


def place(exponent_bits: int) -> StepDelay:
    """Of a shift by an exponent."""
    return StepDelay(2 * exponent_bits + 1, hidden=2)


def join(width: int, blocks: int, *, fast: bool) -> StepDelay:
    """Of the sum of several blocks' windows."""
    return StepDelay((2 * math.log2(width) + 3 if fast else 1.2 * width) + 5 * math.log2(blocks), hidden=3)


def normalise(width: int, *, fast: bool, signed: bool, known: bool, rounds: bool) -> StepDelay:
    """Of the shift to the topmost digit.

    Args:
        width: Width of what is shifted.
        fast: Whether time counts more than gates.
        signed: Whether it is a signed number.
        known: Whether its leading zeros come with it.
        rounds: Whether results are subnormal, or bits are lost.
    """
    if known:
        return StepDelay(16, hidden=7)
    if fast:
        return StepDelay(7 * math.log2(width) - (13 if signed else 0), hidden=3)
    if signed:
        return StepDelay(11 * _rows(width) - 21, hidden=3)
    return StepDelay((5 + rounds) * _rows(width), hidden=3)


def round_(*, rounds: bool, special: bool) -> StepDelay:
    """Of rounding, or of packing what needs none; `special` where infinities are made."""
    return StepDelay(12 if rounds else 7 if special else 4, hidden=1)
