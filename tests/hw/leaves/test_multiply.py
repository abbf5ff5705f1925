import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from blockdot.hw.leaves.compressor import ADDERS, Adder
from blockdot.hw.leaves.multiply import (
    LeadingZeros,
    Magnitude,
    MagnitudeTerm,
    Product,
    SavedProduct,
    SignedTerm,
    WindowShift,
)

# Widths of the sum and of the significands.
SMALL = [(2, [1]), (2, [3]), (3, [2]), (4, [1]), (5, [3]), (4, [4]), (2, [1, 1]), (3, [2, 2]), (4, [3, 1])]
# Of 16 elements of e2m1 with ue4m3 or ue5m3, of 32 with ue4m4, and of 2 with ue8m0: the largest sum and the
# largest significands; once multiplied beforehand, and once apart.
REAL = [
    (13, 16 * 144, [225]),
    (13, 16 * 144, [15, 15]),
    (14, 32 * 144, [961]),
    (14, 32 * 144, [31, 31]),
    (10, 2 * 144, [1]),
    (10, 2 * 144, [1, 1]),
    (10, 2 * 144, [15, 1]),
]


def rows_of(most: int, largest: list[int], count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The ends of all ranges, powers of two and their neighbours, and random numbers."""
    totals = [0, 1, -1, most, -most, most - 1, 1 - most]
    totals += [sign * (1 << k) for k in range(most.bit_length() - 1) for sign in (1, -1)]
    ends = [sorted({0, 1, one, one >> 1}) for one in largest]
    rows = list(itertools.product(totals, *ends))
    for _ in range(count):
        significands = (int(rng.integers(0, one, endpoint=True)) for one in largest)
        rows.append((int(rng.integers(-most, most, endpoint=True)), *significands))
    return rows


def check_magnitude_term(unit: MagnitudeTerm, rows: list[tuple[int, ...]], evaluate: Callable) -> None:
    expected = [(int(row[0] < 0), abs(math.prod(row))) for row in rows]
    assert evaluate(unit, rows) == expected


def every_row(totals: range, significand_bits: list[int]) -> list[tuple[int, ...]]:
    return list(itertools.product(totals, *(range(1 << bits) for bits in significand_bits)))


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(("sum_bits", "significand_bits"), SMALL)
def test_magnitude_term_of_all_small_numbers(
    sum_bits: int, significand_bits: list[int], adder: Adder, evaluate: Callable
) -> None:
    unit = MagnitudeTerm(
        sum_bits=sum_bits,
        significand_bits=significand_bits,
        magnitude_bits=sum_bits - 1 + sum(significand_bits),
        adder=adder,
    )
    most = (1 << (sum_bits - 1)) - 1  # the least number of that width is no sum of products
    check_magnitude_term(unit, every_row(range(-most, most + 1), significand_bits), evaluate)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("order", [0, 5])
@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize(("sum_bits", "most", "largest"), REAL)
def test_magnitude_term_needs_no_more_bits_than_the_largest_product(
    sum_bits: int,
    most: int,
    largest: list[int],
    adder: Adder,
    order: int,
    evaluate: Callable,
    rng: np.random.Generator,
) -> None:
    unit = MagnitudeTerm(
        sum_bits=sum_bits,
        significand_bits=[one.bit_length() for one in largest],
        magnitude_bits=(most * math.prod(largest)).bit_length(),
        adder=adder,
        order=order,
    )
    check_magnitude_term(unit, rows_of(most, largest, 150, rng), evaluate)


def check_signed_term(unit: SignedTerm, rows: list[tuple[int, ...]], evaluate: Callable) -> None:
    assert evaluate(unit, rows) == [(math.prod(row),) for row in rows]


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(("sum_bits", "significand_bits"), SMALL)
def test_signed_term_of_all_small_numbers(
    sum_bits: int, significand_bits: list[int], adder: Adder, evaluate: Callable
) -> None:
    unit = SignedTerm(
        sum_bits=sum_bits,
        significand_bits=significand_bits,
        term_bits=sum_bits + sum(significand_bits),
        adder=adder,
    )
    half = 1 << (sum_bits - 1)
    check_signed_term(unit, every_row(range(-half, half), significand_bits), evaluate)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("order", [0, 5])
@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize(("sum_bits", "most", "largest"), REAL)
def test_signed_term_needs_no_more_bits_than_the_largest_product(
    sum_bits: int,
    most: int,
    largest: list[int],
    adder: Adder,
    order: int,
    evaluate: Callable,
    rng: np.random.Generator,
) -> None:
    unit = SignedTerm(
        sum_bits=sum_bits,
        significand_bits=[one.bit_length() for one in largest],
        term_bits=(most * math.prod(largest)).bit_length() + 1,
        adder=adder,
        order=order,
    )
    check_signed_term(unit, rows_of(most, largest, 150, rng), evaluate)


@pytest.mark.parametrize("adder", ["sklansky", "brent_kung"])
@pytest.mark.parametrize(("a_bits", "b_bits"), [(1, 1), (3, 2), (5, 4), (8, 8), (12, 4)])
def test_product_of_all_numbers(a_bits: int, b_bits: int, adder: Adder, evaluate_many: Callable) -> None:
    unit = Product(a_bits=a_bits, b_bits=b_bits, product_bits=a_bits + b_bits, adder=adder)
    rows = list(itertools.product(range(1 << a_bits), range(1 << b_bits)))
    assert evaluate_many(unit, rows) == [(a * b,) for a, b in rows]


@pytest.mark.parametrize(("a_bits", "b_bits"), [(1, 1), (3, 2), (2, 5), (7, 7), (12, 4)])
def test_a_product_has_the_leading_zeros_of_its_factors_or_one_more(
    a_bits: int, b_bits: int, evaluate_many: Callable
) -> None:
    unit = LeadingZeros(a_bits=a_bits, b_bits=b_bits)
    rows = list(itertools.product(range(1, 1 << a_bits), range(1, 1 << b_bits)))
    both = set()
    for (a, b), (count,) in zip(rows, evaluate_many(unit, rows), strict=True):
        both.add(a_bits + b_bits - (a * b).bit_length() - count)
    assert both <= {0, 1}
    assert both == {0, 1} or min(a_bits, b_bits) == 1


@pytest.mark.parametrize(
    ("term_bits", "exponent_bits", "least", "greatest"),
    [
        (2, 1, 0, 1),
        (2, 2, 1, 2),
        (3, 3, 2, 6),
        (4, 3, 0, 7),
        (4, 3, 3, 5),
        (5, 4, 2, 14),
        (3, 5, 7, 30),
        (2, 3, 4, 4),
    ],
)
def test_window_shift_places_all_small_terms(
    term_bits: int, exponent_bits: int, least: int, greatest: int, evaluate: Callable
) -> None:
    unit = WindowShift(
        term_bits=term_bits,
        exponent_bits=exponent_bits,
        least_exponent=least,
        window_bits=term_bits + greatest - least,
    )
    half = 1 << (term_bits - 1)
    rows = list(itertools.product(range(-half, half), range(least, greatest + 1)))
    assert evaluate(unit, rows) == [(term << (exponent - least),) for term, exponent in rows]


@pytest.mark.parametrize(
    ("term_bits", "exponent_bits", "least", "greatest", "window_bits"),
    # ue4m3 and ue5m3 with 16 elements of e2m1: the windows of 48 and 80 bits.
    [(20, 5, 2, 30, 48), (20, 6, 2, 62, 80)],
)
def test_window_shift_places_real_terms(
    term_bits: int,
    exponent_bits: int,
    least: int,
    greatest: int,
    window_bits: int,
    evaluate: Callable,
    rng: np.random.Generator,
) -> None:
    unit = WindowShift(
        term_bits=term_bits, exponent_bits=exponent_bits, least_exponent=least, window_bits=window_bits
    )
    half = 1 << (term_bits - 1)
    terms = [0, 1, -1, half - 1, -half, *(int(term) for term in rng.integers(-half, half, 8))]
    rows = list(itertools.product(terms, range(least, greatest + 1)))
    assert evaluate(unit, rows) == [(term << (exponent - least),) for term, exponent in rows]


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize("bits", range(2, 9))
def test_magnitude_of_all_small_numbers(bits: int, adder: Adder, evaluate: Callable) -> None:
    most = (1 << (bits - 1)) - 1  # the least number of that width does not occur
    rows = [(value,) for value in range(-most, most + 1)]
    seen = evaluate(Magnitude(bits=bits, adder=adder), rows)
    assert seen == [(int(value < 0), abs(value)) for (value,) in rows]


@pytest.mark.parametrize("adder", ADDERS)
def test_magnitude_of_an_accumulator(adder: Adder, evaluate: Callable, rng: np.random.Generator) -> None:
    most = (1 << 95) - 1
    # -2**k makes the one of the negation carry through k bits.
    values = [0, 1, -1, most, -most, *(-(1 << k) for k in range(0, 95, 7))]
    values += [int.from_bytes(rng.bytes(12), signed=True) | 1 for _ in range(60)]
    seen = evaluate(Magnitude(bits=96, adder=adder), [(value,) for value in values])
    assert seen == [(int(value < 0), abs(value)) for value in values]


@pytest.mark.parametrize("order", [0, 5])
@pytest.mark.parametrize(
    ("sum_bits", "significand_bits", "product_bits"), [(3, 2, 8), (4, 3, 6), (13, 8, 46)]
)
def test_a_product_of_two_numbers_is_that_of_their_sum(
    sum_bits: int,
    significand_bits: int,
    product_bits: int,
    order: int,
    evaluate_many: Callable,
    rng: np.random.Generator,
) -> None:
    excess = 1 << (sum_bits - 1)
    unit = SavedProduct(
        sum_bits=sum_bits,
        excess=excess,
        significand_bits=significand_bits,
        product_bits=product_bits,
        order=order,
    )
    drawn = [rng.integers(0, 1 << width, 2000) for width in (sum_bits, sum_bits, significand_bits)]
    rows = list(zip(*(column.tolist() for column in drawn), strict=True))
    for (save, carry, significand), (out_save, out_carry) in zip(
        rows, evaluate_many(unit, rows), strict=True
    ):
        product = (save + carry - excess) * significand
        assert (out_save + out_carry - product) % (1 << product_bits) == 0, (save, carry, significand)
