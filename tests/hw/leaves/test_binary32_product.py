"""The parts of a binary32 multiplier, and all of them in a row against numpy."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from blockdot.hw.leaves.binary32_product import EXPONENT_BITS, FIELD_BITS, NormaliseProduct, ReadFactor
from blockdot.hw.leaves.multiply import PartialProducts
from blockdot.hw.leaves.round import Round

# Fractions at both ends, of few bits and of many, under exponents at both ends, in the middle and beside
# those whose products are subnormal.
FRACTIONS = (0, 1, 2, 0x2AAAAB, 0x400000, 0x4CCCCD, 0x7FFFFE, 0x7FFFFF)
FIELDS = (0, 1, 2, 52, 63, 75, 104, 126, 127, 128, 150, 201, 253, 254, 255)


def bits_of(rng: np.random.Generator) -> list[int]:
    corners = [field << 23 | fraction for field in FIELDS for fraction in FRACTIONS]
    return [*corners, *(1 << k for k in range(23)), *rng.integers(0, 1 << 31, 500).tolist()]


def signed(number: int, width: int) -> int:
    return number - (number >> width - 1 << width)


@pytest.mark.parametrize("subnormal", [True, False])
@pytest.mark.parametrize("infinite", [True, False])
def test_a_number_is_taken_apart(
    subnormal: bool, infinite: bool, rng: np.random.Generator, evaluate_many: Callable
) -> None:
    reader = ReadFactor(subnormal=subnormal, infinite=infinite)
    given = [bits for bits in bits_of(rng) if subnormal or bits >> 23 or not bits]
    given = [bits for bits in given if infinite or bits != 0x7F800000]
    given += [bits | 1 << 31 for bits in given]
    for bits, seen in zip(given, evaluate_many(reader, [(bits,) for bits in given]), strict=True):
        negative, exponent, significand, zero, nan = seen[:5]
        size = bits & 0x7FFFFFFF
        assert (negative, zero, nan) == (bits >> 31, size == 0, size > 0x7F800000)
        if infinite:
            assert seen[5] == (size == 0x7F800000)
        assert significand >> 23 == (size != 0)
        if size < 0x7F800000:
            value = Fraction(float(np.array(size, np.uint32).view(np.float32)))
            assert significand * Fraction(2) ** (signed(exponent, EXPONENT_BITS) - 150) == value


@pytest.mark.parametrize("balanced", [True, False])
def test_two_numbers_add_up_to_the_product(
    balanced: bool, rng: np.random.Generator, evaluate_many: Callable
) -> None:
    for widths in ((3, 5), (5, 3), (1, 4)):
        tree = PartialProducts(a_bits=widths[0], b_bits=widths[1], balanced=balanced)
        pairs = list(itertools.product(*(range(1 << width) for width in widths)))
        for (a, b), (save, carry) in zip(pairs, evaluate_many(tree, pairs), strict=True):
            assert (save + carry) % (1 << sum(widths)) == a * b
    wide = PartialProducts(a_bits=24, b_bits=24, balanced=balanced, order=3)
    ends = (0, 1, (1 << 24) - 1, 1 << 23, 0xAAAAAA, 0x555555)
    pairs = [*itertools.product(ends, ends), *map(tuple, rng.integers(0, 1 << 24, (150, 2)).tolist())]
    for (a, b), (save, carry) in zip(pairs, evaluate_many(wide, pairs), strict=True):
        assert (save + carry) % (1 << 48) == a * b


@pytest.mark.parametrize("significand_bits", [24, 20, 2])
def test_a_product_is_placed_and_rounded_as_numpy_multiplies(
    significand_bits: int, rng: np.random.Generator, evaluate_many: Callable
) -> None:
    """Every pair of the corners, and random ones, by way of integers between the parts."""
    numbers = [bits for bits in bits_of(rng) if 0 < bits < 0x7F800000]
    short = [bits & -1 << 24 - significand_bits for bits in numbers]
    short = [bits for bits in short if bits >> 23 or significand_bits == 24]
    corners = len(FIELDS) * len(FRACTIONS)
    pairs = list(itertools.product(short[:corners:2], numbers[:corners:3]))
    pairs += list(zip(rng.permutation(short).tolist(), rng.permutation(numbers).tolist(), strict=False))
    values = np.array(pairs, np.uint32).view(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        wanted = (values[:, 0] * values[:, 1]).view(np.uint32)
    whole: list[tuple[int, int]] = []
    for pair in pairs:
        significands, exponents = [], []
        for bits in pair:
            field, fraction = bits >> 23, bits & 0x7FFFFF
            significand = fraction | bool(field) << 23
            zeros = 24 - significand.bit_length()
            significands.append(significand << zeros)
            exponents.append(max(field, 1) - zeros)
        significands[0] >>= 24 - significand_bits
        whole.append((significands[0] * significands[1], (sum(exponents) - 127) % (1 << FIELD_BITS)))
    placed = evaluate_many(NormaliseProduct(significand_bits + 24), whole)
    rounder = Round(fraction_bits=25, field_bits=FIELD_BITS - 1, overflow=True, infinite=True)
    # negative, fraction, field, nonzero, nan, infinite
    rows = [(0, fraction, field, 1, 0, 0) for fraction, field in placed]
    seen = [result for (result,) in evaluate_many(rounder, rows)]
    np.testing.assert_array_equal(seen, wanted)
