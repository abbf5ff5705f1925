from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import reference
from blockdot.hw.accumulate.aligned_adder import AlignedAdder, AlignedTerms
from blockdot.hw.leaves.compressor import Adder
from blockdot.hw.leaves.scale import ScaleProduct, aligned_exponents
from blockdot.model import formats

QUIET_NAN = 0x7FC00000
INFINITY = 0x7F800000
LARGEST = 0x7F7FFFFF

TERMS = {
    # 4 blocks of 16 e2m1 with ue4m3, as published; with ue5m3 and ue8m0.
    "ue4m3": AlignedTerms(count=4, magnitude_bits=19, point=8, exponents=(-125, 143), fraction=35),
    "ue5m3": AlignedTerms(count=2, magnitude_bits=19, point=8, exponents=(-125, 159), fraction=35),
    "ue8m0": AlignedTerms(count=1, magnitude_bits=12, point=2, exponents=(-127, 381), fraction=25),
    # Fewer bits kept than the terms have, and than binary32 has; and so many that the sum keeps all of its.
    "coarse": AlignedTerms(count=3, magnitude_bits=9, point=6, exponents=(-20, 200), fraction=4),
    "nothing_behind": AlignedTerms(count=2, magnitude_bits=8, point=5, exponents=(90, 170), fraction=0),
    "fine": AlignedTerms(count=2, magnitude_bits=10, point=3, exponents=(0, 270), fraction=52),
}
Term = tuple[int, int, int]  # sign, magnitude, exponent


def aligned_sum(terms: AlignedTerms, accumulator: int, group: list[Term]) -> int:
    """What the contract says, in rational numbers."""
    field = max(accumulator >> 23 & 255, 1)
    values = [(reference.from_binary32(accumulator), field)]
    values += [
        ((-1) ** sign * magnitude * Fraction(2) ** (exponent - 127 - terms.point), exponent)
        for sign, magnitude, exponent in group
    ]
    unit = Fraction(2) ** (max(exponent for _, exponent in values) - 127 - terms.fraction)
    total = sum(int(value / unit) for value, _ in values) * unit  # int() drops the fraction
    return toward_zero(total)


def toward_zero(value: Fraction) -> int:
    """The binary32 next to a number in the direction of zero."""
    sign = int(value < 0) << 31
    magnitude = abs(value)
    rounded = reference.binary32(magnitude)
    if rounded == INFINITY or reference.from_binary32(rounded) > magnitude:
        rounded -= 1
    return sign | rounded


def any_length(bits: int, rng: np.random.Generator) -> int:
    length = int(rng.integers(0, bits, endpoint=True))
    return int(rng.integers(1 << length)) | (1 << length >> 1)


def any_accumulator(exponent: int, rng: np.random.Generator) -> int:
    """Zero, subnormal, anything, or a number whose exponent is about that of a term."""
    field = [0, 0, int(rng.integers(0, 255)), min(max(exponent + int(rng.integers(-40, 41)), 0), 254)]
    kind = int(rng.integers(4))
    fraction = 0 if kind == 0 else int(rng.integers(1 << 23))
    return int(rng.integers(2)) << 31 | field[kind] << 23 | fraction


@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize("name", TERMS)
def test_terms_are_cut_off_at_the_largest_exponent_and_rounded_toward_zero(
    name: str, adder: Adder, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    terms = TERMS[name]
    least, greatest = terms.exponents
    rows, expected = [], []
    for _ in range(4000):
        middle = int(rng.integers(least, greatest, endpoint=True))
        spread = int(rng.integers(1, 60))
        group = [
            (
                int(rng.integers(2)),
                any_length(terms.magnitude_bits, rng),
                min(max(middle + int(rng.integers(-spread, spread + 1)), least), greatest),
            )
            for _ in range(terms.count)
        ]
        if rng.random() < 0.1 and terms.count > 1:  # cancellation, to nothing at times
            group[1] = (1 - group[0][0], group[0][1], group[0][2])
        accumulator = any_accumulator(middle, rng)
        expected.append(aligned_sum(terms, accumulator, group))
        rows.append(row(terms, accumulator, group))
    seen = [result for (result,) in evaluate_many(AlignedAdder(terms, adder=adder), rows)]
    wrong = [
        (hex(r[0]), f"{s:#x}", f"{e:#x}") for r, s, e in zip(rows, seen, expected, strict=True) if s != e
    ]
    assert not wrong, wrong[:5]
    magnitudes = [bits & ~(1 << 31) for bits in expected]
    assert 0 in magnitudes
    assert LARGEST not in magnitudes or greatest > 200
    assert any(0 < bits < 1 << 23 for bits in magnitudes) == (least < 20)


def row(terms: AlignedTerms, accumulator: int, group: list[Term], nan: int = 0, *infinite: int) -> tuple:
    def packed(index: int, bits: int) -> int:
        return sum((term[index] & ((1 << bits) - 1)) << (bits * k) for k, term in enumerate(group))

    return (
        accumulator,
        packed(0, 1),
        packed(1, terms.magnitude_bits),
        packed(2, terms.exponent_bits),
        nan,
        *infinite,
    )


@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
def test_what_is_no_number_goes_before_numbers(adder: Adder, evaluate_many: Callable) -> None:
    terms = TERMS["coarse"]
    unit = AlignedAdder(terms, adder=adder, infinite=True)
    one = [(0, 64, 127)] * 3
    minus = 1 << 31
    cases = [
        # accumulator, nan, infinite (bit 0 above zero, bit 1 below), result
        (0, 1, 0, QUIET_NAN),
        (QUIET_NAN, 0, 0, QUIET_NAN),
        (0x7F800001, 0, 0, QUIET_NAN),
        (0, 0, 1, INFINITY),
        (0, 0, 2, minus | INFINITY),
        (0, 0, 3, QUIET_NAN),
        (INFINITY, 0, 0, INFINITY),
        (minus | INFINITY, 0, 0, minus | INFINITY),
        (INFINITY, 0, 1, INFINITY),
        (INFINITY, 0, 2, QUIET_NAN),
        (minus | INFINITY, 0, 1, QUIET_NAN),
        (INFINITY, 1, 1, QUIET_NAN),
        (0, 0, 0, 0x40400000),
    ]
    rows = [row(terms, accumulator, one, nan, infinite) for accumulator, nan, infinite, _ in cases]
    assert [result for (result,) in evaluate_many(unit, rows)] == [case[3] for case in cases]


@pytest.mark.parametrize(
    ("a", "b"), [("ue4m3", "ue4m3"), ("ue5m3", "ue8m0"), ("ue8m0", "ue8m0"), ("ue2m5", "ue4m4")]
)
def test_a_scale_of_zero_has_the_exponent_of_a_zero(a: str, b: str, evaluate_many: Callable) -> None:
    a_format, b_format = formats.get(a), formats.get(b)
    bounds = aligned_exponents(a_format, b_format)
    bits = 11
    unit = ScaleProduct(a_format, b_format, significand_bits=None, aligned_bits=bits)

    def exponent(value: float, least: int) -> int:
        return -126 if value == 0 else max(int(np.frexp(value)[1]) - 1, least)

    rows = [(x, y) for x in range(1 << a_format.bits) for y in range(1 << b_format.bits)]
    seen_bounds = set()
    for (x, y), (_, _, seen, nan) in zip(rows, evaluate_many(unit, rows), strict=True):
        if nan:
            continue
        expected = 127 + sum(
            exponent(float(fmt.values[code]), fmt.least_exponent)
            for fmt, code in ((a_format, x), (b_format, y))
        )
        seen_bounds.add(expected)
        assert seen == expected % (1 << bits), (x, y)
    assert (min(seen_bounds), max(seen_bounds)) == bounds
