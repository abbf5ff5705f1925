import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

import pytest
from blockdot.hw.leaves.compressor import Adder
from blockdot.hw.leaves.scale import ScaleProduct, exponent_bits, exponent_offset, exponent_range
from blockdot.model import Format, formats

# a, b, width of the largest product of significands, least and greatest sum of exponents over the codes
# that are numbers, what places the product
FACTS = [
    ("ue4m3", "ue4m3", (15 * 15).bit_length(), (2, 30), -20),
    ("ue5m3", "ue5m3", (15 * 15).bit_length(), (2, 62), -36),
    ("ue8m0", "ue8m0", 1, (0, 508), -254),
    ("ue4m4", "ue4m4", (31 * 31).bit_length(), (2, 30), -22),
    ("ue5m3_ieee", "ue5m3_ieee", (15 * 15).bit_length(), (2, 60), -36),
    ("ue4m3_full", "ue4m3_full", (15 * 15).bit_length(), (2, 30), -20),
    ("ue3m2", "ue3m2", (7 * 7).bit_length(), (2, 14), -10),
    ("ue8m0", "ue4m3", (1 * 15).bit_length(), (1, 269), -137),
    ("ue4m3", "ue8m0", (15 * 1).bit_length(), (1, 269), -137),
    ("ue5m3_ieee", "ue2m5", (15 * 63).bit_length(), (2, 33), -24),
    ("ue2m0", "ue8m5", (1 * 63).bit_length(), (2, 257), -133),
]
NAMES = [f"{a}x{b}" for a, b, *_ in FACTS]
Fact = tuple[str, str, int, tuple[int, int], int]


def get(fact: Fact) -> tuple[Format, Format]:
    return formats.get(fact[0]), formats.get(fact[1])


# As a unit for area takes it, which multiplies by one significand after the other, and as one for delay.
Form = Adder | Literal["apart"]
FORMS: list[Form] = ["apart", "ripple", "sklansky"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fact", FACTS, ids=NAMES)
def test_all_code_pairs_are_multiplied_exactly(fact: Fact, form: Form, evaluate_many: Callable) -> None:
    a_format, b_format = get(fact)
    _, _, significand_bits, (least, greatest), offset = fact
    a_values, b_values = a_format.values.tolist(), b_format.values.tolist()
    rows = list(itertools.product(range(len(a_values)), range(len(b_values))))
    if form == "apart":
        product = ScaleProduct(a_format, b_format, significand_bits=None)
        seen = [(a * b, exponent, nan) for a, b, exponent, nan in evaluate_many(product, rows)]
    else:
        product = ScaleProduct(a_format, b_format, significand_bits=significand_bits, adder=form)
        seen = evaluate_many(product, rows)
    unit = Fraction(2) ** (least + offset)
    a_unit = Fraction(a_format.smallest)
    b_unit = unit / a_unit
    # As integers of their units, which makes 65,536 exact products quick.
    a_integers = [None if math.isnan(value) else int(Fraction(value) / a_unit) for value in a_values]
    b_integers = [None if math.isnan(value) else int(Fraction(value) / b_unit) for value in b_values]
    for (a, b), (significand, exponent, nan) in zip(rows, seen, strict=True):
        a_integer, b_integer = a_integers[a], b_integers[b]
        if a_integer is None or b_integer is None:
            # What is no number is a zero besides.
            assert (significand, nan) == (0, 1), (a, b)
        else:
            assert least <= exponent <= greatest, (a, b)
            assert (significand << (exponent - least), nan) == (a_integer * b_integer, 0), (a, b)


@pytest.mark.parametrize("fact", FACTS, ids=NAMES)
def test_widths_and_ranges_of_the_product(fact: Fact) -> None:
    a_format, b_format = get(fact)
    _, _, significand_bits, exponents, offset = fact
    assert exponent_range(a_format, b_format) == exponents
    assert exponent_offset(a_format, b_format) == offset
    # A NaN code may have an exponent above those of the numbers: the sum of all-ones fields must fit.
    fields = (1 << a_format.exponent_bits) + (1 << b_format.exponent_bits) - 2
    assert exponent_bits(a_format, b_format) == fields.bit_length()
    product = ScaleProduct(a_format, b_format, significand_bits=significand_bits)
    ports = (product.a, product.b, product.significand, product.exponent, product.nan)
    widths = (a_format.bits, b_format.bits, significand_bits, fields.bit_length(), 1)
    assert tuple(len(port) for port in ports) == widths


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_order_gives_the_same_products(order: int, evaluate: Callable) -> None:
    fmt = formats.get("ue3m2")
    rows = list(itertools.product(range(32), range(32)))
    plain = evaluate(ScaleProduct(fmt, fmt, significand_bits=6), rows)
    assert evaluate(ScaleProduct(fmt, fmt, significand_bits=6, order=order), rows) == plain


@pytest.mark.parametrize("form", FORMS)
def test_a_sum_of_products_that_is_no_number_clears_the_significand(form: Form, evaluate: Callable) -> None:
    fmt = formats.get("ue4m3")
    product = ScaleProduct(
        fmt,
        fmt,
        significand_bits=None if form == "apart" else 8,
        nan=True,
        infinite=True,
        adder="ripple" if form == "apart" else form,
    )
    assert list(product.signature.members)[:4] == ["a", "b", "sum_nan", "sum_infinite"]
    one, zero, nan = 0x38, 0, 0x7F
    # The scales' codes; whether the sum is NaN, whether it is infinite; what the block then is.
    cases = [
        (one, one, 0, 0, "number"),
        (zero, one, 0, 0, "number"),
        (one, one, 1, 0, "nan"),
        (one, one, 0, 1, "infinite"),
        (one, zero, 0, 1, "nan"),
        (zero, one, 0, 1, "nan"),
        (one, nan, 0, 1, "nan"),
        (nan, one, 0, 0, "nan"),
        (one, zero, 1, 0, "nan"),
    ]
    for case, row in zip(cases, evaluate(product, [case[:4] for case in cases]), strict=True):
        *significands, _, is_nan, is_infinite = row
        assert (is_nan, is_infinite) == (case[4] == "nan", case[4] == "infinite"), case
        if case[4] == "number":
            assert math.prod(significands) == (64 if case[0] else 0), case
        else:
            assert math.prod(significands) == 0, case
