"""The logarithms that tell a scale but for one step, against fractions."""

from fractions import Fraction

import pytest
from blockdot.hw.quantizer.scale_estimate import estimate_tables


def told(mantissa_bits: int, input_bits: int, top: int, a: int, g: int) -> tuple[int, int]:
    """Return n and q for a largest magnitude and a tensor scale by their fractions, g of 10 bits."""
    tables = estimate_tables(mantissa_bits, input_bits, top)
    seen_a, seen_g = ((len(one) - 1).bit_length() for one in (tables.magnitude, tables.divisor))
    logarithm = tables.magnitude[a >> input_bits - seen_a] + tables.divisor[g >> 10 - seen_g]
    whole, fraction = divmod(logarithm, 1 << tables.bits)
    return 2 - whole, (1 << mantissa_bits) + sum(fraction >= step for step in tables.steps)


@pytest.mark.parametrize("top", [6, 4])
@pytest.mark.parametrize(("mantissa_bits", "input_bits"), [(1, 7), (2, 7), (3, 7), (4, 10), (7, 7)])
def test_the_scale_is_what_is_told_or_the_next_one(mantissa_bits: int, input_bits: int, top: int) -> None:
    """Of a normal scale and of every subnormal one, decided as the hardware does: by what is between."""
    of_one = 1 << mantissa_bits
    for a in range(0, 1 << input_bits, 1 if input_bits == 7 else 7):
        for g in range(a % 17, 1 << 10, 17):
            n, q = told(mantissa_bits, input_bits, top, a, g)
            assert 0 <= n <= 2
            assert of_one <= q < 2 * of_one
            quotient = (1 + Fraction(a, 1 << input_bits)) / ((1 + Fraction(g, 1 << 10)) * top / 4)
            true_n = next(k for k in range(3) if quotient * 2**k >= 1)
            for lacking in range(mantissa_bits + 2):
                lower = q >> lacking
                twice = 2 * quotient * of_one * 2**n / 2**lacking
                found = lower + (twice > 2 * lower + 1 or (twice == 2 * lower + 1 and lower % 2))
                # A normal scale has as many digits as its own n says; a subnormal one has what is left.
                wanted = Fraction(round(twice / 2))
                if not lacking:
                    wanted = round(quotient * of_one * 2**true_n) * Fraction(2) ** (n - true_n)
                assert found == wanted, (a, g, lacking)


def test_no_shorter_logarithms_are_right() -> None:
    """As many bits as the scale's mantissa, and three more, with ue4m3: 5 of either significand."""
    tables = estimate_tables(3, 7, 6)
    assert (len(tables.magnitude), len(tables.divisor), tables.bits) == (32, 32, 6)
    assert not tables.kept(4, whole=False)
