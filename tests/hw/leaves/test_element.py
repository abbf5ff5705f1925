import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import own_formats
import pytest
from blockdot.hw.leaves.element import ElementProduct, product_bits
from blockdot.model import formats
from blockdot.model.formats import ELEMENTS

# Magnitudes of e2m1 in halves, in code order (OCP MX v1.0, table 5.3.3).
HALVES = (0, 1, 2, 3, 4, 6, 8, 12)
E2M1 = formats.get("e2m1")
PAIRS = [
    *((name, name) for name in ELEMENTS),
    ("e2m1", "e4m3"),
    ("e5m2", "e2m1"),
    ("e2m3", "e3m2"),
    ("int8", "e2m1"),
    ("e3m4", "int8"),
    ("e4m3", "e5m2"),
    *((fmt.name, fmt.name) for fmt in own_formats.ELEMENTS),
    ("t2m1", "e2m1"),
    ("t4", "t3m0"),
    ("t4m2", "t1m6"),
    ("t5m1", "t4"),
]


@pytest.mark.parametrize("fast", [False, True])
def test_all_pairs_of_e2m1_codes_are_multiplied_exactly(fast: bool, evaluate: Callable) -> None:
    product = ElementProduct(E2M1, E2M1, fast=fast)
    rows = list(itertools.product(range(16), range(16)))
    # The sign is that of IEEE 754: that of a zero counts as well.
    assert evaluate(product, rows) == [(a >> 3 ^ b >> 3, HALVES[a & 7] * HALVES[b & 7]) for a, b in rows]


def test_a_product_of_e2m1_has_eight_bits() -> None:
    product = ElementProduct(E2M1, E2M1)
    assert list(product.signature.members) == ["a", "b", "negative", "magnitude"]
    assert (len(product.a), len(product.b), len(product.negative), len(product.magnitude)) == (4, 4, 1, 8)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(("a_name", "b_name"), PAIRS)
def test_all_code_pairs_of_any_formats_are_multiplied_exactly(
    a_name: str, b_name: str, fast: bool, evaluate_many: Callable
) -> None:
    for fmt in own_formats.ELEMENTS:
        formats.register(fmt)
    a_format, b_format = formats.get(a_name), formats.get(b_name)
    product = ElementProduct(a_format, b_format, fast=fast)
    outputs = [name for name in product.signature.members if name not in "ab"]
    rows = list(itertools.product(range(1 << a_format.bits), range(1 << b_format.bits)))
    quantum = Fraction(2) ** (a_format.quantum_exponent + b_format.quantum_exponent)
    for (a, b), row in zip(rows, evaluate_many(product, rows), strict=True):
        seen = dict(zip(outputs, row, strict=True))
        left, right = float(a_format.values[a]), float(b_format.values[b])
        # IEEE 754 of the processor says what is no number; the magnitude is that of integers.
        expected = left * right
        assert seen.get("nan", 0) == math.isnan(expected), (a, b)
        if math.isnan(expected):
            continue
        assert seen.get("infinite", 0) == math.isinf(expected), (a, b)
        if not math.isinf(expected):
            assert seen["magnitude"] * quantum == abs(Fraction(left) * Fraction(right)), (a, b)
        if expected:
            assert seen["negative"] == (expected < 0), (a, b)


@pytest.mark.parametrize(
    ("a", "b", "flags"),
    [
        ("e2m1", "int8", []),
        ("e4m3", "e2m1", ["nan"]),
        ("e2m1", "e5m2", ["nan", "infinite"]),
        ("e3m4", "e4m3", ["nan", "infinite"]),
    ],
)
def test_a_product_that_is_always_a_number_has_no_port_to_say_so(a: str, b: str, flags: list[str]) -> None:
    members = list(ElementProduct(formats.get(a), formats.get(b)).signature.members)
    assert members == ["a", "b", "negative", "magnitude", *flags]


@pytest.mark.parametrize(
    ("a", "b", "largest"),
    [
        ("e2m1", "e2m1", 12 * 12),
        ("e2m1", "e4m3", 12 * (448 << 9)),
        ("e3m2", "e2m3", (28 << 4) * 60),
        ("int8", "int8", 128 * 128),
        ("e5m2", "e5m2", (57344 << 16) ** 2),
    ],
)
def test_product_bits_hold_the_largest_product(a: str, b: str, largest: int) -> None:
    assert product_bits(formats.get(a), formats.get(b)) == largest.bit_length()
