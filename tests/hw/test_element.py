import itertools
from collections.abc import Callable

import pytest
from blockdot.hw.element import ElementProduct, product_bits
from blockdot.model import formats

# Magnitudes of e2m1 in halves, in code order (OCP MX v1.0, table 5.3.3).
HALVES = (0, 1, 2, 3, 4, 6, 8, 12)
E2M1 = formats.get("e2m1")


def test_all_code_pairs_are_multiplied_exactly(evaluate: Callable) -> None:
    product = ElementProduct(E2M1, E2M1)
    rows = list(itertools.product(range(16), range(16)))
    # The sign is that of IEEE 754: that of a zero counts as well.
    assert evaluate(product, rows) == [(a >> 3 ^ b >> 3, HALVES[a & 7] * HALVES[b & 7]) for a, b in rows]


def test_a_product_of_e2m1_has_eight_bits() -> None:
    product = ElementProduct(E2M1, E2M1)
    assert (len(product.a), len(product.b), len(product.negative), len(product.magnitude)) == (4, 4, 1, 8)


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


@pytest.mark.parametrize("pair", [("e4m3", "e2m1"), ("e2m1", "e4m3"), ("e4m3", "int8")])
def test_elements_other_than_e2m1_are_refused(pair: tuple[str, str]) -> None:
    wrong = next(name for name in pair if name != "e2m1")
    with pytest.raises(ValueError, match=rf"^element must be e2m1 in hardware, not '{wrong}'$"):
        ElementProduct(*(formats.get(name) for name in pair))
