"""A scale's significand out of two short logarithms, and how near it is.

The quotient of the largest magnitude and the divisor decides the scale, and a logarithm of few bits tells
it but for one step. `EstimateTables` has those logarithms. What they promise is checked here, cell by cell:
a table that does not keep it is never built.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = ["EstimateTables", "estimate_tables"]


@dataclass(frozen=True, kw_only=True)
class EstimateTables:
    """Logarithms of the largest magnitude's significand A and of that of the tensor scale, G.

    With the divisor D = `top` G / 4 and S = ``2**mantissa_bits``, the sum of both tables' entries is
    ``2 - n`` above `bits` bits of a fraction, which tell q. Then v = S A 2**n / D is so near to q that the
    scale's significand, v rounded to nearest even, is q or q + 1.

    At an end of q's range n may be one off, as long as the scale is the same: from S - 1/4 on v counts as S,
    and up to 2 S + 1 as 2 S - 1, which is rounded up to 2 S.

    Attributes:
        mantissa_bits: Of the scale.
        bits: Bits of the fraction of the logarithms.
        magnitude: The logarithms of A by the topmost bits of its fraction.
        divisor: Two less the logarithm of D, by the topmost bits of the fraction of G.
        steps: The fractions from which on q is one more, ascending.
    """

    mantissa_bits: int
    bits: int
    magnitude: tuple[int, ...]
    divisor: tuple[int, ...]
    steps: tuple[int, ...]

    def kept(self, top: int, *, whole: bool) -> bool:
        """Return whether the tables keep what they promise, told in whole numbers.

        In a cell of both tables v is above what it is at the cell's least A and at the end of its G, which
        no G reaches. It is below what it is at the end of A and at the least G; if the cell has one A alone,
        it may equal that.

        Args:
            top: 6 or 4.
            whole: A table entry of the magnitude is that of one A alone.
        """
        of_one = 1 << self.mantissa_bits
        cells_a, cells_g = len(self.magnitude), len(self.divisor)
        a = np.arange(cells_a, cells_a << 1)[:, None]
        g = np.arange(cells_g, cells_g << 1)[None, :]
        logarithm = np.array(self.magnitude)[:, None] + np.array(self.divisor)[None, :]
        two_less_n = logarithm >> self.bits
        if not ((two_less_n >= 0) & (two_less_n <= 2)).all():
            return False
        q = of_one + np.searchsorted(self.steps, logarithm & ((1 << self.bits) - 1), "right")
        # v is ``above / (cells_a * top * g)`` for the A and G of these numbers; and ends in quarters.
        above = (of_one * 4 * cells_g) << (2 - two_less_n)
        low = np.where(q == of_one, 4 * of_one - 1, 4 * q - 2) * cells_a * top * (g + 1)
        last = q == 2 * of_one - 1
        high = np.where(last, 8 * of_one + 4, 4 * q + 6) * cells_a * top * g
        most = 4 * above * (a + (not whole))
        reached = most == high
        return bool(
            (low <= 4 * above * a).all() and (most <= high).all() and not (whole & reached & ~last).any()
        )


@lru_cache
def estimate_tables(mantissa_bits: int, input_bits: int, top: int) -> EstimateTables:
    """Return the tables of fewest bits.

    Args:
        mantissa_bits: Of the scale, 1 or more.
        input_bits: Bits of the fraction of magnitudes.
        top: What the largest magnitude is brought to, 6 or 4.
    """
    seen = mantissa_bits + 2
    of_magnitude = min(seen, input_bits)
    of_one = 1 << mantissa_bits
    # In the middle of where q may become one more: for the least q, of where n may become one less.
    changes = [_middle(of_one - 1 / 4, of_one + 1 / 2)]
    changes += [_middle(q - 1 / 2, q + 1 / 2) for q in range(of_one + 1, 2 * of_one)]
    for bits in range(seen, seen + 7):
        unit = 1 << bits
        at = [round(unit * (change - mantissa_bits)) for change in changes]
        half = 0 if of_magnitude == input_bits else 0.5
        tables = EstimateTables(
            mantissa_bits=mantissa_bits,
            bits=bits,
            magnitude=tuple(
                round(unit * math.log2(1 + (a + half) / (1 << of_magnitude)))
                for a in range(1 << of_magnitude)
            ),
            divisor=tuple(
                2 * unit - at[0] - round(unit * math.log2((1 + (g + 0.5) / (1 << seen)) * top / 4))
                for g in range(1 << seen)
            ),
            steps=tuple(one - at[0] for one in at[1:]),
        )
        if tables.kept(top, whole=of_magnitude == input_bits):
            return tables
    raise AssertionError("logarithms of six bits more than are seen must be enough")


def _middle(low: float, high: float) -> float:
    return (math.log2(low) + math.log2(high)) / 2
