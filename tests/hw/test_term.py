import itertools
from collections.abc import Callable

import numpy as np
import pytest
from blockdot.hw.compressor import ADDERS, Adder
from blockdot.hw.term import Magnitude, MagnitudeTerm, SignedTerm, WindowShift

SMALL = [(2, 1), (2, 3), (3, 2), (4, 1), (5, 3), (4, 4)]  # widths of the sum and of the significand
# Of 16 elements of e2m1 with ue4m3 or ue5m3, of 32 with ue4m4, and of 2 with ue8m0.
REAL = [(13, 8, 16 * 144, 225), (14, 10, 32 * 144, 961), (10, 1, 2 * 144, 1)]


def totals_and_significands(
    most: int, largest_significand: int, count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """The ends of both ranges, powers of two and their neighbours, and random numbers."""
    totals = [0, 1, -1, most, -most, most - 1, 1 - most]
    totals += [sign * (1 << k) for k in range(most.bit_length() - 1) for sign in (1, -1)]
    significands = [0, 1, largest_significand, largest_significand >> 1]
    rows = list(itertools.product(totals, significands))
    for _ in range(count):
        significand = int(rng.integers(0, largest_significand, endpoint=True))
        rows.append((int(rng.integers(-most, most, endpoint=True)), significand))
    return rows


def check_magnitude_term(
    unit: MagnitudeTerm, rows: list[tuple[int, int]], evaluate: Callable[..., list[tuple[int, ...]]]
) -> None:
    seen = evaluate(unit, rows)
    expected = [(int(total < 0), abs(total * significand)) for total, significand in rows]
    assert seen == expected


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(("sum_bits", "significand_bits"), SMALL)
def test_magnitude_term_of_all_small_numbers(
    sum_bits: int, significand_bits: int, adder: Adder, evaluate: Callable
) -> None:
    unit = MagnitudeTerm(
        sum_bits=sum_bits,
        significand_bits=significand_bits,
        magnitude_bits=sum_bits - 1 + significand_bits,
        adder=adder,
    )
    most = (1 << (sum_bits - 1)) - 1  # the least number of that width is no sum of products
    rows = list(itertools.product(range(-most, most + 1), range(1 << significand_bits)))
    check_magnitude_term(unit, rows, evaluate)


@pytest.mark.parametrize("order", [0, 5])
@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize(("sum_bits", "significand_bits", "most", "largest_significand"), REAL)
def test_magnitude_term_needs_no_more_bits_than_the_largest_product(
    sum_bits: int,
    significand_bits: int,
    most: int,
    largest_significand: int,
    adder: Adder,
    order: int,
    evaluate: Callable,
    rng: np.random.Generator,
) -> None:
    unit = MagnitudeTerm(
        sum_bits=sum_bits,
        significand_bits=significand_bits,
        magnitude_bits=(most * largest_significand).bit_length(),
        adder=adder,
        order=order,
    )
    check_magnitude_term(unit, totals_and_significands(most, largest_significand, 150, rng), evaluate)


def check_signed_term(
    unit: SignedTerm, rows: list[tuple[int, int]], evaluate: Callable[..., list[tuple[int, ...]]]
) -> None:
    seen = evaluate(unit, rows)
    assert seen == [(total * significand,) for total, significand in rows]


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(("sum_bits", "significand_bits"), SMALL)
def test_signed_term_of_all_small_numbers(
    sum_bits: int, significand_bits: int, adder: Adder, evaluate: Callable
) -> None:
    unit = SignedTerm(
        sum_bits=sum_bits,
        significand_bits=significand_bits,
        term_bits=sum_bits + significand_bits,
        adder=adder,
    )
    half = 1 << (sum_bits - 1)
    rows = list(itertools.product(range(-half, half), range(1 << significand_bits)))
    check_signed_term(unit, rows, evaluate)


@pytest.mark.parametrize("order", [0, 5])
@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize(("sum_bits", "significand_bits", "most", "largest_significand"), REAL)
def test_signed_term_needs_no_more_bits_than_the_largest_product(
    sum_bits: int,
    significand_bits: int,
    most: int,
    largest_significand: int,
    adder: Adder,
    order: int,
    evaluate: Callable,
    rng: np.random.Generator,
) -> None:
    unit = SignedTerm(
        sum_bits=sum_bits,
        significand_bits=significand_bits,
        term_bits=(most * largest_significand).bit_length() + 1,
        adder=adder,
        order=order,
    )
    check_signed_term(unit, totals_and_significands(most, largest_significand, 150, rng), evaluate)


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
