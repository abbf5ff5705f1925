from fractions import Fraction

import numpy as np
import pytest
import reference
from blockdot.model.fixed_point import QUIET_NAN, FixedPointSum, canonical, round_sum


def fixed(terms: list[np.ndarray], *, quantum_exponent: int, bits: int) -> np.ndarray:
    total = FixedPointSum(terms[0].shape, quantum_exponent=quantum_exponent, bits=bits)
    total.add(np.stack(terms, axis=-1))
    return total.to_binary32()


SUMS = pytest.mark.parametrize("add", [fixed, round_sum])


def wanted(terms: list[np.ndarray]) -> list[int]:
    return [
        reference.binary32(sum((Fraction(x) for x in column), Fraction(0)))
        for column in zip(*(term.tolist() for term in terms), strict=True)
    ]


def random_terms(rng: np.random.Generator, count: int, size: int, low: int, high: int) -> list[np.ndarray]:
    """Terms of up to 53 bits, multiples of 2**low and below 2**high, with exponents all over the range."""
    terms = []
    for _ in range(count):
        width = rng.integers(1, np.minimum(53, high - low - 1), size)
        significand = (rng.random(size) * 2.0**width).astype(np.int64)
        exponent = low + (rng.random(size) * (high - low - width)).astype(np.int64)
        terms.append(np.ldexp(significand.astype(np.float64), exponent) * rng.choice([-1.0, 1.0], size))
    return terms


@SUMS
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("low", "high"), [(-36, 44), (-160, 130), (-20, 28), (-286, 272)])
def test_random(add, count, low, high, rng):
    terms = random_terms(rng, count, 500, low, high)
    seen = add(terms, quantum_exponent=low, bits=high - low + 5)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen.view(np.uint32), wanted(terms))


@SUMS
def test_near_total_cancellation(add, rng):
    big = random_terms(rng, 4, 1000, 20, 60)
    small = random_terms(rng, 2, 1000, -60, -20)
    terms = [*big, *small, *(-term for term in reversed(big))]
    seen = add(terms, quantum_exponent=-60, bits=130)
    np.testing.assert_array_equal(seen.view(np.uint32), wanted(terms))


@SUMS
def test_ties_and_what_lies_just_beside_them(add, rng):
    # A value of 24 bits, half a unit of its last place, and next to nothing on either side.
    size = 2000
    value = rng.integers(1 << 23, 1 << 24, size).astype(np.float64)
    nothing = rng.choice([-1.0, 0.0, 1.0], size) * np.ldexp(1.0, -rng.integers(10, 90, size))
    for sign in (1.0, -1.0):
        terms = [value * sign, np.full(size, 0.5 * sign), nothing]
        seen = add(terms, quantum_exponent=-90, bits=130)
        np.testing.assert_array_equal(seen.view(np.uint32), wanted(terms))


@SUMS
def test_subnormal_results_and_overflow(add):
    tiny = np.array(
        [2.0**-149, 2.0**-150, 2.0**-150, 3 * 2.0**-151, -(2.0**-150), 2.0**-126, 2.0**127, -(2.0**127)]
    )
    more = np.array([0.0, 0.0, 2.0**-200, -(2.0**-200), -(2.0**-200), -(2.0**-150), 2.0**127, -(2.0**127)])
    terms = [tiny, more]
    seen = add(terms, quantum_exponent=-200, bits=340)
    np.testing.assert_array_equal(seen.view(np.uint32), wanted(terms))
    assert seen[6] == np.inf
    assert seen[7] == -np.inf


@SUMS
def test_zero_is_positive(add):
    terms = [np.array([0.0, -0.0, 1.0, -0.0]), np.array([0.0, -0.0, -1.0, 0.0])]
    assert add(terms, quantum_exponent=0, bits=10).view(np.uint32).tolist() == [0, 0, 0, 0]


@SUMS
def test_infinities_and_nan(add):
    inf, nan = np.inf, np.nan
    terms = [np.array([inf, inf, nan, 1.0, -inf]), np.array([1.0, -inf, 1.0, inf, -inf]), np.full(5, 2.0)]
    seen = add(terms, quantum_exponent=0, bits=10).view(np.uint32).tolist()
    assert seen == [0x7F800000, 0x7FC00000, 0x7FC00000, 0x7F800000, 0xFF800000]


def test_a_fixed_point_sum_takes_terms_in_any_number_of_calls(rng):
    terms = random_terms(rng, 64, 100, -40, 40)
    total = FixedPointSum((100,), quantum_exponent=-40, bits=90)
    for start in range(0, 64, 16):
        total.add(np.stack(terms[start : start + 16], axis=-1))
        np.testing.assert_array_equal(total.to_binary32().view(np.uint32), wanted(terms[: start + 16]))


def test_a_fixed_point_sum_of_nothing():
    assert FixedPointSum((2, 3), quantum_exponent=0, bits=8).to_binary32().tolist() == [[0.0] * 3] * 2
    total = FixedPointSum((2,), quantum_exponent=0, bits=8)
    total.add(np.empty((2, 0)))
    assert total.to_binary32().tolist() == [0.0, 0.0]


def test_a_fixed_point_sum_fills_its_width():
    for bits in (2, 31, 32, 33, 60, 64, 65, 522):
        total = FixedPointSum((2,), quantum_exponent=0, bits=bits)
        largest = 2 ** (bits - 1) - 1
        values = [float(1 << k) for k in range(bits - 1)]
        total.add(np.array([values, [-value for value in values]]))
        wanted_bits = [reference.binary32(Fraction(largest)), reference.binary32(Fraction(-largest))]
        assert total.to_binary32().view(np.uint32).tolist() == wanted_bits


def test_canonical():
    values = np.array([0x7F800001, 0xFFC00000, 0x7FFFFFFF, 0x3F800000, 0x80000000], np.uint32).view(
        np.float32
    )
    assert canonical(values) is values
    assert values.view(np.uint32).tolist() == [QUIET_NAN] * 3 + [0x3F800000, 0x80000000]
