from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import reference
from blockdot.hw.accumulate.aligned_adder import AlignedAdder
from blockdot.hw.accumulate.aligned_terms import AlignedTerms
from blockdot.hw.leaves.compressor import Adder
from blockdot.hw.leaves.scale import AlignedExponents, ScaleProduct
from blockdot.model import formats

QUIET_NAN = 0x7FC00000
INFINITY = 0x7F800000


def terms_of(
    count: int, magnitude_bits: int, point: int, exponents: tuple[int, int], fraction: int, zero: int = -12
) -> AlignedTerms:
    least, greatest = exponents
    return AlignedTerms(
        count=count,
        magnitude_bits=magnitude_bits,
        point=point,
        exponents=AlignedExponents(least=least, greatest=greatest, zero=zero),
        fraction=fraction,
    )


TERMS = {
    # 4 blocks of 16 e2m1 with ue4m3, as published; with ue5m3 and ue8m0.
    "ue4m3": terms_of(4, 19, 8, (115, 143), 35),
    "ue5m3": terms_of(2, 19, 8, (99, 159), 35),
    "ue8m0": terms_of(1, 12, 2, (-127, 381), 25),
    # Fewer bits kept than the terms have, and than binary32 has; and so many that the sum keeps all of its.
    "coarse": terms_of(3, 9, 6, (-20, 200), 4),
    "nothing_behind": terms_of(2, 8, 5, (90, 170), 0),
    "fine": terms_of(2, 10, 3, (0, 270), 52),
    # Sums of as many bits as binary32 that are cut off below its least number.
    "low": terms_of(2, 8, 5, (-40, 100), 18),
    # A zero above the least numbers, in a sum as well.
    "zero_ahead": terms_of(2, 8, 5, (30, 170), 20, zero=60),
}
Term = tuple[int, int, int | None]  # sign, magnitude, exponent; None for that of a zero


def aligned_sum(terms: AlignedTerms, accumulator: int, group: list[Term]) -> int:
    """What the contract says, in rational numbers."""
    zero = terms.exponents.zero
    field = max(accumulator >> 23 & 255, 1) if accumulator % (1 << 31) else zero
    values = [(reference.from_binary32(accumulator), field)]
    for sign, magnitude, exponent in group:
        read = zero if exponent is None else exponent
        values.append(((-1) ** sign * magnitude * Fraction(2) ** (read - 127 - terms.point), read))
    unit = Fraction(2) ** (max(exponent for _, exponent in values) - 127 - terms.fraction)
    total = sum(int(value / unit) for value, _ in values) * unit  # int() drops the fraction
    return toward_zero(total)


def toward_zero(value: Fraction) -> int:
    """The binary32 next to a number in the direction of zero, or infinity."""
    sign = int(value < 0) << 31
    magnitude = abs(value)
    if magnitude >= 1 << 128:
        return sign | INFINITY
    rounded = reference.binary32(magnitude)
    if rounded == INFINITY or reference.from_binary32(rounded) > magnitude:
        rounded -= 1
    return sign | rounded


def any_length(bits: int, rng: np.random.Generator) -> int:
    length = int(rng.integers(0, bits, endpoint=True))
    return int(rng.integers(1 << length)) | (1 << length >> 1)


def any_accumulator(exponent: int, lowest: int, highest: int, rng: np.random.Generator) -> int:
    """Zero, subnormal, anything, or a number whose exponent is about that of a term, as far as there are."""
    near = min(max(exponent + int(rng.integers(-40, 41)), lowest), highest)
    field = [0, lowest, int(rng.integers(lowest, highest + 1)), near]
    kind = int(rng.integers(4))
    fraction = 0 if kind == 0 else int(rng.integers(1 << 23))
    return int(rng.integers(2)) << 31 | field[kind] << 23 | fraction


@pytest.mark.one_in(3)
@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize("name", TERMS)
def test_terms_are_cut_off_at_the_largest_exponent_and_rounded_toward_zero(
    name: str, adder: Adder, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    terms = TERMS[name]
    least, greatest = terms.exponents.least, terms.exponents.greatest
    highest = min(terms.highest, 254)
    # No sum is subnormal where the last place kept of every term is a normal number's.
    lowest = terms.least_number if terms.least_number > 1 else 0
    rows, expected = [], []
    for _ in range(3000):
        middle = int(rng.integers(least, greatest, endpoint=True))
        spread = int(rng.integers(1, 60))
        group: list[Term] = [
            (
                int(rng.integers(2)),
                any_length(terms.magnitude_bits, rng),
                min(max(middle + int(rng.integers(-spread, spread + 1)), least), greatest),
            )
            for _ in range(terms.count)
        ]
        if rng.random() < 0.1 and terms.count > 1:  # cancellation, to nothing at times
            group[1] = (1 - group[0][0], group[0][1], group[0][2])
        for k in range(terms.count):
            if rng.random() < 0.15:  # what cancelled before, and what is exactly zero
                group[k] = (0, 0, group[k][2] if rng.random() < 0.3 else None)
        accumulator = any_accumulator(middle, lowest, highest, rng)
        expected.append(aligned_sum(terms, accumulator, group))
        rows.append(row(terms, accumulator, group))
    seen = [result for (result,) in evaluate_many(AlignedAdder(terms, adder=adder), rows)]
    wrong = [
        (hex(r[0]), f"{s:#x}", f"{e:#x}") for r, s, e in zip(rows, seen, expected, strict=True) if s != e
    ]
    assert not wrong, wrong[:5]
    magnitudes = [bits & ~(1 << 31) for bits in expected]
    assert 0 in magnitudes
    assert (INFINITY in magnitudes) == terms.overflow == (highest == 254)
    assert max(bits >> 23 for bits in magnitudes) <= terms.highest
    assert least >= 20 or any(0 < bits < 1 << 23 for bits in magnitudes)


def row(terms: AlignedTerms, accumulator: int, group: list[Term], nan: int = 0, *infinite: int) -> tuple:
    def packed(index: int, bits: int) -> int:
        zero = terms.exponents.zero_code
        fields = [zero if (field := term[index]) is None else field for term in group]
        return sum((field & ((1 << bits) - 1)) << (bits * k) for k, field in enumerate(fields))

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
    one: list[Term] = [(0, 64, 127)] * 3
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
def test_a_scale_product_has_the_exponents_of_its_scales_or_is_zero(
    a: str, b: str, evaluate_many: Callable
) -> None:
    a_format, b_format = formats.get(a), formats.get(b)
    aligned = AlignedExponents.of_factors((a_format, b_format), -139)
    bits = aligned.shape.width
    unit = ScaleProduct(a_format, b_format, significand_bits=None, aligned=aligned)

    def exponent(value: float, least: int) -> int:
        return max(int(np.frexp(value)[1]) - 1, least)

    rows = [(x, y) for x in range(1 << a_format.bits) for y in range(1 << b_format.bits)]
    seen_bounds = set()
    for (x, y), (_, _, seen, nonzero, nan) in zip(rows, evaluate_many(unit, rows), strict=True):
        values = [float(fmt.values[code]) for fmt, code in ((a_format, x), (b_format, y))]
        if nan:
            continue
        assert nonzero == (0 not in values), (x, y)
        if not nonzero:
            continue
        expected = 127 + sum(
            exponent(value, fmt.least_exponent)
            for fmt, value in zip((a_format, b_format), values, strict=True)
        )
        seen_bounds.add(expected)
        assert seen == expected % (1 << bits), (x, y)
    assert (min(seen_bounds), max(seen_bounds)) == (aligned.least, aligned.greatest)


def test_what_stands_for_the_exponent_of_a_zero_costs_no_sign_where_it_can() -> None:
    of = {
        name: AlignedExponents.of_factors((fmt, fmt), -139)
        for name in ("ue4m3", "ue5m3", "ue8m0")
        for fmt in [formats.get(name)]
    }
    assert {name: one.zero_code for name, one in of.items()} == {"ue4m3": 0, "ue5m3": 0, "ue8m0": -12}
    assert {name: one.shape.signed for name, one in of.items()} == {
        "ue4m3": False,
        "ue5m3": False,
        "ue8m0": True,
    }
