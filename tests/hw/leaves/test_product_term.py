"""A product of two elements as a term of its own, against the values of the codes."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from amaranth.lib.wiring import Out
from blockdot.hw.leaves.element import ElementDecode
from blockdot.hw.leaves.product_term import ProductTerm
from blockdot.model import formats


def read(fmt: formats.Format, code: int) -> int:
    """The exponent field that a code reads as."""
    return max(code >> fmt.mantissa_bits & ((1 << fmt.exponent_bits) - 1), 1)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("a", "b", "fast"),
    [
        ("e2m1", "e2m1", False),
        ("e2m1", "e4m3", True),
        ("e5m2", "e4m3", False),
        ("e3m2", "e5m2", True),
        ("fp16", "fp16", False),
        ("fp16", "bf16", True),
        ("tf32", "tf32", False),
    ],
)
@pytest.mark.parametrize("decoded", [False, True])
def test_a_product_is_its_significand_at_its_exponent(
    a: str, b: str, fast: bool, decoded: bool, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    pair = [formats.get(name) for name in (a, b)]
    if sum(fmt.bits for fmt in pair) <= 8:
        codes = [(x, y) for x in range(1 << pair[0].bits) for y in range(1 << pair[1].bits)]
    else:
        every = [np.append(rng.integers(0, 1 << fmt.bits, 1500), _corners(fmt, rng)) for fmt in pair]
        codes = list(zip(*(rng.permutation(one).tolist() for one in every), strict=True))
    unit = ProductTerm(*pair, fast=fast, decoded=decoded)
    rows: list[tuple[int, ...]] = codes
    if decoded:
        apart = [
            evaluate_many(ElementDecode(fmt), [(row[k],) for row in codes]) for k, fmt in enumerate(pair)
        ]
        rows = [(x[0], y[0]) for x, y in zip(*apart, strict=True)]
    names = [name for name, member in unit.signature.members.items() if member.flow is Out]
    offset = -sum(fmt.bias + fmt.mantissa_bits for fmt in pair)
    kinds = set()
    for (x, y), outputs in zip(codes, evaluate_many(unit, rows), strict=True):
        seen = dict(zip(names, outputs, strict=True))
        values = [float(fmt.values[code]) for fmt, code in zip(pair, (x, y), strict=True)]
        product = values[0] * values[1]
        kind = "nan" if math.isnan(product) else "infinite" if math.isinf(product) else "number"
        kinds.add(kind)
        assert seen.get("nan", 0) == (kind == "nan"), (x, y)
        assert seen.get("infinite", 0) == (kind == "infinite"), (x, y)
        signs = [code >> fmt.magnitude_bits for fmt, code in zip(pair, (x, y), strict=True)]
        assert seen["negative"] == signs[0] ^ signs[1]
        if kind == "number":
            fields = sum(read(fmt, code) for fmt, code in zip(pair, (x, y), strict=True))
            assert seen["exponent"] == (fields if product else 0), (x, y)
            exact = abs(Fraction(values[0]) * Fraction(values[1]))
            assert seen["magnitude"] * Fraction(2) ** (fields + offset) == exact, (x, y)
    tops = {fmt.top for fmt in pair}
    assert ("nan" in kinds) == (tops != {formats.Top.FINITE})


def _corners(fmt: formats.Format, rng: np.random.Generator) -> np.ndarray:
    """Zeros, subnormals, and what is no number."""
    odd = np.flatnonzero(~np.isfinite(fmt.values))
    low = rng.integers(0, 1 << fmt.mantissa_bits, 100) | (rng.integers(0, 2, 100) << fmt.magnitude_bits)
    return np.concatenate([low, np.zeros(50, np.int64), rng.choice(odd, 50) if len(odd) else low[:50]])
