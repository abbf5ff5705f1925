from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import reference
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from blockdot.hw.leaves.round import KEPT_BITS, Normalise, NumberRange, Round, SignedNormalise
from blockdot.model import DotSpec
from messages import whole

LEAST_NORMAL = Fraction(1, 1 << 126)
QUIET_NAN = 0x7FC00000
INFINITY = 0x7F800000


def numbers(magnitude_bits: int, exponent_bits: int, exponents: tuple[int, int], offset: int) -> NumberRange:
    return NumberRange(
        magnitude_bits=magnitude_bits, exponent_bits=exponent_bits, exponents=exponents, offset=offset
    )


# Of units with 16 elements of e2m1, whose products are multiples of 2**-2: what the unit rounds, and which of
# subnormal, shifts_right, loses_bits, overflow, rounds can occur.
REAL = {
    # 2304 * 225 has 19 bits, 2304 * 961 has 22; scale products are multiples of 2**-18, 2**-34 and 2**-20.
    "ue4m3": (numbers(19, 5, (2, 30), -22), set()),
    "ue5m3": (numbers(19, 6, (2, 62), -38), set()),
    "ue4m4": (numbers(22, 5, (2, 30), -24), set()),
    "ue8m0": (
        numbers(12, 9, (0, 508), -256),
        {"subnormal", "shifts_right", "loses_bits", "overflow", "exact_above"},
    ),
    # The accumulators, of 48 + 16, 80 + 16 and 521 + 16 bits.
    "ue4m3_exact": (numbers(63, 0, (0, 0), -20), {"rounds"}),
    "ue5m3_exact": (numbers(95, 0, (0, 0), -36), {"rounds"}),
    "ue8m0_exact": (numbers(536, 0, (0, 0), -256), {"subnormal", "overflow", "rounds"}),
}
# Each branch by itself, and small numbers, which are quick.
MADE_UP = {
    "plain": (numbers(8, 3, (0, 7), -4), set()),
    "one_bit": (numbers(1, 3, (0, 7), 0), set()),
    "three_bits": (numbers(3, 2, (1, 2), 5), set()),
    "rounds": (numbers(30, 3, (0, 7), 0), {"rounds"}),
    "rounds_one_bit": (numbers(25, 1, (0, 1), 0), {"rounds"}),
    "subnormal": (numbers(20, 4, (0, 15), -140), {"subnormal"}),
    "subnormal_rounds": (numbers(30, 4, (0, 15), -150), {"subnormal", "rounds"}),
    "subnormal_constant": (numbers(40, 0, (0, 0), -160), {"subnormal", "rounds"}),
    "shifts_right": (numbers(5, 5, (0, 31), -146), {"subnormal", "shifts_right"}),
    "subnormal_quantum": (numbers(26, 5, (0, 20), -149), {"subnormal", "rounds"}),
    "shifts_right_loses": (
        numbers(8, 6, (3, 60), -170),
        {"subnormal", "shifts_right", "loses_bits", "exact_above"},
    ),
    "loses_and_rounds": (
        numbers(30, 5, (1, 31), -180),
        {"subnormal", "shifts_right", "loses_bits", "rounds"},
    ),
    "one_bit_loses": (
        numbers(1, 8, (0, 255), -200),
        {"subnormal", "shifts_right", "loses_bits", "exact_above"},
    ),
    "widest_exact_above": (
        numbers(24, 6, (0, 60), -190),
        {"subnormal", "shifts_right", "loses_bits", "exact_above"},
    ),
    "overflow": (numbers(6, 5, (0, 31), 100), {"overflow"}),
    "overflow_by_rounding": (numbers(30, 3, (0, 7), 91), {"overflow", "rounds"}),
    "no_overflow_yet": (numbers(20, 3, (0, 7), 101), set()),
    "all_constant": (numbers(300, 0, (0, 0), -160), {"subnormal", "overflow", "rounds"}),
}
FACTS = {"subnormal", "shifts_right", "loses_bits", "overflow", "rounds", "exact_above"}
ALL = REAL | MADE_UP


def true_facts(given: NumberRange) -> set[str]:
    return {name for name in FACTS if getattr(given, name)}


@pytest.mark.parametrize("name", ALL)
def test_a_range_knows_what_binary32_asks_of_its_numbers(name: str) -> None:
    given, facts = ALL[name]
    assert true_facts(given) == facts


@pytest.mark.parametrize("name", ALL)
def test_a_range_says_of_its_numbers_what_is_true_of_the_least_and_the_greatest(name: str) -> None:
    given, _ = ALL[name]
    low, high = given.exponents
    least = Fraction(2) ** (low + given.offset)
    top_bit = least * (1 << (given.magnitude_bits - 1))
    largest = ((1 << given.magnitude_bits) - 1) * Fraction(2) ** (high + given.offset)
    assert given.subnormal == (least < LEAST_NORMAL)
    assert given.shifts_right == (top_bit < LEAST_NORMAL)
    assert given.loses_bits == (given.shifts_right and least < Fraction(1, 1 << 149))
    assert given.overflow == (reference.binary32(largest) == INFINITY)


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0"])
def test_accumulators_are_those_of_the_specification(scale: str) -> None:
    spec = DotSpec(scale=scale, accumulate="exact")
    given, _ = REAL[f"{scale}_exact"]
    assert (spec.accumulator_bits - 1, spec.quantum_exponent) == (given.magnitude_bits, given.offset)


class Chain(wiring.Component):
    """`Normalise`, and `Round` behind it, as a unit has them."""

    negative: Signal
    nan: Signal
    magnitude: Signal
    exponent: Signal
    zeros: Signal
    result: Signal

    def __init__(self, given: NumberRange, *, parallel: bool, zeros_bits: int = 0, excess: int = 0) -> None:
        self.given = given
        self.parallel = parallel
        self.zeros_bits = zeros_bits
        self.excess = excess
        super().__init__(
            {
                "negative": In(1),
                "nan": In(1),
                "magnitude": In(given.magnitude_bits),
                **({"exponent": In(given.exponent_bits)} if given.exponent_bits else {}),
                **({"zeros": In(zeros_bits)} if zeros_bits else {}),
                "result": Out(32),
            }
        )

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.submodules.normalise = normalise = Normalise(
            self.given, parallel=self.parallel, zeros_bits=self.zeros_bits, excess=self.excess
        )
        if self.zeros_bits:
            m.d.comb += normalise.zeros.eq(self.zeros)
        m.submodules.round = rounder = Round(
            fraction_bits=self.given.fraction_bits,
            field_bits=self.given.field_bits,
            overflow=self.given.overflow,
        )
        if self.given.exponent_bits:
            m.d.comb += normalise.exponent.eq(self.exponent)
        m.d.comb += [
            normalise.magnitude.eq(self.magnitude),
            rounder.fraction.eq(normalise.fraction),
            rounder.field.eq(normalise.field),
            rounder.nonzero.eq(normalise.nonzero),
            rounder.negative.eq(self.negative),
            rounder.nan.eq(self.nan),
            self.result.eq(rounder.result),
        ]
        return m


class SignedChain(wiring.Component):
    """`SignedNormalise`, and `Round` behind it, as a unit has them that sums in a window."""

    value: Signal
    nan: Signal
    result: Signal

    def __init__(self, given: NumberRange, *, parallel: bool) -> None:
        self.given = given
        self.parallel = parallel
        super().__init__({"value": In(signed(given.magnitude_bits + 1)), "nan": In(1), "result": Out(32)})

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.submodules.normalise = normalise = SignedNormalise(self.given, parallel=self.parallel)
        m.submodules.round = rounder = Round(
            fraction_bits=KEPT_BITS,
            field_bits=self.given.field_bits,
            overflow=self.given.overflow,
            inverted=True,
        )
        m.d.comb += [
            normalise.value.eq(self.value),
            rounder.fraction.eq(normalise.fraction),
            rounder.field.eq(normalise.field),
            rounder.nonzero.eq(normalise.nonzero),
            rounder.negative.eq(self.value[-1]),
            rounder.nan.eq(self.nan),
            self.result.eq(rounder.result),
        ]
        return m


Number = tuple[int, int]  # magnitude and exponent


def corners(given: NumberRange) -> list[Number]:
    most = (1 << given.magnitude_bits) - 1
    found = {0, 1, most, most - 1, 1 << (given.magnitude_bits - 1)}
    for k in range(0, given.magnitude_bits, max(1, given.magnitude_bits // 16)):
        found |= {1 << k, (1 << k) - 1, (1 << k) + 1 & most, most & ~((1 << k) - 1)}
    low, high = given.exponents
    middle = (low + high) // 2
    return [
        (magnitude, e)
        for magnitude in sorted(found)
        for e in sorted({low, low + 1, middle, high})
        if e <= high
    ]


def random_numbers(given: NumberRange, count: int, rng: np.random.Generator) -> list[Number]:
    """Numbers of any length, so that any count of leading zeros is as likely as any other."""
    drawn = []
    for _ in range(count):
        length = int(rng.integers(0, given.magnitude_bits, endpoint=True))
        magnitude = int.from_bytes(rng.bytes(length // 8 + 1)) % (1 << length) | (1 << length >> 1)
        drawn.append((magnitude, int(rng.integers(*given.exponents, endpoint=True))))
    return drawn


def ties(given: NumberRange, count: int, rng: np.random.Generator) -> list[Number]:
    """Numbers half-way between two of binary32, and the neighbours of those, where there are any."""
    drawn = []
    width = given.magnitude_bits
    most = (1 << width) - 1
    low, high = given.exponents
    # Exponents at which a bit of the magnitude is worth 2**-150, half of the least subnormal.
    small = [e for e in range(low, high + 1) if 0 <= -150 - e - given.offset < width]
    for _ in range(count):
        if small and (width < 25 or rng.random() < 0.5):
            exponent = int(rng.choice(small))
            half = -150 - exponent - given.offset
            tie = (int(rng.integers(1 << min(width - half, 24))) | 1) << half
        elif width >= 25:
            # Twenty-five bits from the top bit to the last one that is set.
            exponent = int(rng.integers(low, high, endpoint=True))
            tie = (int(rng.integers(1 << 24)) | 1 << 24 | 1) << int(rng.integers(width - 24))
        else:
            break
        drawn += [(tie, exponent), (min(tie + 1, most), exponent), (tie - 1, exponent)]
    return drawn


def check_chain(chain: Chain, drawn: list[Number], evaluate: Callable, rng: np.random.Generator) -> None:
    given = chain.given
    rows = []
    expected = []
    tied = 0
    for k, (magnitude, exponent) in enumerate(drawn):
        negative, nan = int(rng.integers(2)), int(k % 50 == 49)
        row = [negative, nan, magnitude]
        if given.exponent_bits:
            row.append(exponent)
        if chain.zeros_bits:
            # The count may be one too small, unless there is nothing to be too small by.
            zeros = given.magnitude_bits + chain.excess - magnitude.bit_length()
            row.append(max(0, zeros - int(rng.integers(2))) if magnitude else int(rng.integers(2)))
        rows.append(tuple(row))
        value = magnitude * Fraction(2) ** (exponent + given.offset)
        rounded = reference.binary32(-value if negative else value)
        expected.append(QUIET_NAN if nan else rounded)
        if value and rounded & INFINITY != INFINITY:
            error = abs(value - abs(reference.from_binary32(rounded)))
            field = rounded >> 23 & 255
            tied += error == Fraction(2) ** (max(field, 1) - 151)  # half a unit in the last place
    seen = [result for (result,) in evaluate(chain, rows)]
    wrong = [
        (hex(row[2]), row[3:], f"{s:#010x}", f"{e:#010x}")
        for row, s, e in zip(rows, seen, expected, strict=True)
        if s != e
    ]
    assert not wrong, wrong[:5]
    # The numbers drawn must have shown whatever can happen.
    magnitudes = {bits & 0x7FFFFFFF for bits in expected}
    assert any(0 < bits < 1 << 23 for bits in magnitudes) == given.subnormal
    assert (INFINITY in magnitudes) == given.overflow
    assert QUIET_NAN in magnitudes
    assert (tied > 0) == (given.rounds or given.loses_bits)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("name", MADE_UP)
def test_small_numbers_are_rounded_once_with_ties_to_even(
    name: str, parallel: bool, evaluate: Callable, rng: np.random.Generator
) -> None:
    given, _ = MADE_UP[name]
    drawn = corners(given) + random_numbers(given, 150, rng) + ties(given, 60, rng)
    check_chain(Chain(given, parallel=parallel), drawn, evaluate, rng)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("name", REAL)
def test_real_numbers_are_rounded_once_with_ties_to_even(
    name: str, parallel: bool, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    given, _ = REAL[name]
    drawn = corners(given) + random_numbers(given, 4000, rng) + ties(given, 1000, rng)
    check_chain(Chain(given, parallel=parallel), drawn, evaluate_many, rng)


WINDOWS = {name: given for name, (given, _) in ALL.items() if not given.exponent_bits} | {
    "wide_and_tiny": numbers(9, 0, (0, 0), -4),
    "narrower_than_a_fraction": numbers(22, 0, (0, 0), -30),
    "subnormal_and_narrow": numbers(12, 0, (0, 0), -130),
}


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("name", WINDOWS)
def test_signed_numbers_are_rounded_without_negating_them(
    name: str, parallel: bool, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    given = WINDOWS[name]
    drawn = corners(given) + random_numbers(given, 1500, rng) + ties(given, 500, rng)
    values = [sign * magnitude for magnitude, _ in drawn for sign in (1, -1)]
    if given.magnitude_bits < 10:
        values = list(range(1 - (1 << given.magnitude_bits), 1 << given.magnitude_bits))
    rows = [(value, int(k % 50 == 49)) for k, value in enumerate(values)]
    expected = [
        QUIET_NAN if nan else reference.binary32(value * Fraction(2) ** given.offset) for value, nan in rows
    ]
    seen = [result for (result,) in evaluate_many(SignedChain(given, parallel=parallel), rows)]
    wrong = [
        (value, f"{s:#010x}", f"{e:#010x}")
        for (value, _), s, e in zip(rows, seen, expected, strict=True)
        if s != e
    ]
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("given", [numbers(8, 3, (0, 7), -4), numbers(5, 0, (0, 0), -140)])
def test_signed_numbers_have_a_constant_exponent_that_is_not_below_normal(given: NumberRange) -> None:
    message = f"numbers must have a constant exponent that is not below normal, not {given}"
    with pytest.raises(ValueError, match=whole(message)):
        SignedNormalise(given)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("name", [name for name in ALL if name != "all_constant"])
def test_a_count_of_zeros_known_before_may_be_one_too_small(
    name: str, excess: int, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    given, _ = ALL[name]
    drawn = corners(given) + random_numbers(given, 1000, rng) + ties(given, 200, rng)
    zeros_bits = (given.magnitude_bits + excess).bit_length()
    check_chain(Chain(given, parallel=True, zeros_bits=zeros_bits, excess=excess), drawn, evaluate_many, rng)


def test_round_keeps_the_sign_of_a_number_that_rounds_to_zero_and_not_that_of_zero(
    evaluate: Callable,
) -> None:
    rounder = Round(fraction_bits=25, field_bits=8, overflow=False)
    # negative, fraction, field, nonzero, nan: a quarter of the least subnormal, and zero
    rows = [(1, 0b01, 0, 1, 0), (0, 0b01, 0, 1, 0), (1, 0, 0, 0, 0), (0, 0, 0, 0, 0)]
    assert evaluate(rounder, rows) == [(0x80000000,), (0,), (0,), (0,)]


@pytest.mark.parametrize("overflow", [False, True])
@pytest.mark.parametrize("negative", [0, 1])
def test_nan_goes_before_everything_else(negative: int, overflow: bool, evaluate: Callable) -> None:
    rounder = Round(fraction_bits=24, field_bits=9, overflow=overflow)
    rows = [
        (negative, fraction, field, nonzero, 1)
        for fraction in (0, 1, (1 << 24) - 1)
        for field in (0, 1, 254, 255, 256, 511)
        for nonzero in (0, 1)
    ]
    assert evaluate(rounder, rows) == [(QUIET_NAN,)] * len(rows)


def test_whatever_is_too_large_is_infinite(evaluate: Callable) -> None:
    rounder = Round(fraction_bits=24, field_bits=9, overflow=True)
    most = (1 << 24) - 1
    rows = [
        (sign, fraction, field, 1, 0)
        for sign in (0, 1)
        for fraction in (0, most)
        for field in (255, 256, 511)
    ]
    # One half above the largest finite number is a tie, and goes to the even one: infinity.
    rows += [(sign, most, 254, 1, 0) for sign in (0, 1)]
    assert evaluate(rounder, rows) == [(row[0] << 31 | INFINITY,) for row in rows]
    assert evaluate(rounder, [(0, most - 1, 254, 1, 0)]) == [(0x7F7FFFFF,)]


@pytest.mark.parametrize("cleared", [False, True])
def test_infinity_by_the_parents_word_keeps_its_sign_and_stands_behind_nan(
    cleared: bool, evaluate: Callable
) -> None:
    rounder = Round(fraction_bits=23, field_bits=8, overflow=False, infinite=True, cleared=cleared)
    fraction, field = (0, 0) if cleared else (0x123456, 77)
    nonzero = int(not cleared)
    # negative, fraction, field, nonzero, nan, infinite
    rows = [(sign, fraction, field, nonzero, 0, 1) for sign in (0, 1)]
    assert evaluate(rounder, rows) == [(INFINITY,), (0x80000000 | INFINITY,)]
    assert evaluate(rounder, [(0, fraction, field, nonzero, 1, 0)]) == [(QUIET_NAN,)]
