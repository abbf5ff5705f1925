import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.hdl import Shape
from amaranth.lib import wiring
from blockdot.hw.accumulate.binary32_adders import Binary32Adder, TwoPathAdder
from blockdot.hw.accumulate.fused_adder import FusedAdder
from blockdot.hw.accumulate.window_adder import CarryAdder, WindowAdder, kept_carries
from blockdot.hw.datapath import Datapath
from blockdot.hw.leaves.compressor import ADDERS, Adder
from blockdot.hw.leaves.round import NumberRange
from blockdot.model import DotSpec

Bits = npt.NDArray[np.uint32]
Pairs = tuple[Bits, Bits]

QUIET_NAN = 0x7FC00000
SIGN = np.uint32(0x80000000)
INFINITY = np.uint32(0x7F800000)
# Zero, the least and the largest subnormal, the least normal, one, the largest, infinity, NaNs, and others.
CORNERS = np.array(
    [
        0x00000000, 0x00000001, 0x00000002, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000,
        0x33800000, 0x33800001, 0x34000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x4B800000, 0x7E7FFFFF,
        0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0x72FFFFFF,
    ],
    np.uint32,
)  # fmt: skip


def add32(a: Bits, b: Bits) -> Bits:
    """The sum by numpy, that is, by the processor; every NaN as 0x7FC00000."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = a.view(np.float32) + b.view(np.float32)
    return np.where(np.isnan(total), np.uint32(QUIET_NAN), total.view(np.uint32))


def uniform(count: int, rng: np.random.Generator) -> Bits:
    return rng.integers(0, 1 << 32, count, dtype=np.uint32)


def bits(sign: npt.ArrayLike, field: npt.ArrayLike, fraction: npt.ArrayLike) -> Bits:
    words = (np.asarray(sign) << 31) | (np.asarray(field) << 23) | np.asarray(fraction)
    return words.astype(np.uint32)


def signs(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return rng.integers(0, 2, count)


def fractions(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Fractions of every kind: random ones, few bits set, few bits clear."""
    drawn = rng.integers(0, 1 << 23, count)
    sparse = (1 << rng.integers(0, 23, count)) | (1 << rng.integers(0, 23, count))
    kind = rng.integers(0, 4, count)
    return np.choose(kind, [drawn, drawn, sparse, sparse ^ 0x7FFFFF])


def every_corner(rng: np.random.Generator) -> Pairs:
    """All pairs of corners with all signs, in any order."""
    signed = rng.permutation(np.concatenate([CORNERS, CORNERS | SIGN]))
    a, b = (side.ravel() for side in np.meshgrid(signed, signed))
    return a, b


def uniform_patterns(rng: np.random.Generator) -> Pairs:
    return uniform(8000, rng), uniform(8000, rng)


def close_exponents(rng: np.random.Generator) -> Pairs:
    """Every difference of exponents that lets one number touch the other, and the first that does not."""
    count = 20000
    field = rng.integers(0, 255, count)
    other = np.clip(field + rng.integers(-27, 28, count), 0, 254)
    return (
        bits(signs(count, rng), field, fractions(count, rng)),
        bits(signs(count, rng), other, fractions(count, rng)),
    )


def cancellation(rng: np.random.Generator) -> Pairs:
    """A number less itself, or less one a few units in the last place away, also across a power of two."""
    count = 8000
    a = bits(signs(count, rng), rng.integers(0, 255, count), fractions(count, rng))
    magnitude = (a & ~SIGN).astype(np.int64) + rng.integers(-4, 5, count) * (rng.random(count) < 0.7)
    b = np.clip(magnitude, 0, 0x7F7FFFFF).astype(np.uint32) | (~a & SIGN)
    return a, b


def subnormals(rng: np.random.Generator) -> Pairs:
    """Both, or one of two, below the least normal number, and sums and differences that cross it."""
    count = 6000
    field = rng.integers(0, 2, count) * rng.integers(0, 26, count)
    return (
        bits(signs(count, rng), field, fractions(count, rng)),
        bits(signs(count, rng), rng.integers(0, 2, count), fractions(count, rng)),
    )


def ties(rng: np.random.Generator) -> Pairs:
    """An odd or even number and half a unit in its last place, or about that."""
    count = 8000
    field = rng.integers(26, 254, count)
    a = bits(signs(count, rng), field, fractions(count, rng))
    half = bits(signs(count, rng), field - 24, np.where(rng.random(count) < 0.7, 0, 1))
    # Or a fraction whose last set bit is the guard bit.
    distance = rng.integers(1, 24, count)
    guard = (rng.integers(0, 1 << 23, count) | 1) << (distance - 1) & 0x7FFFFF
    b = np.where(rng.random(count) < 0.5, half, bits(signs(count, rng), field - distance, guard))
    return a, b


def overflow(rng: np.random.Generator) -> Pairs:
    """Sums about the largest finite number."""
    count = 2000
    sign = signs(count, rng)
    return (
        bits(sign, rng.integers(252, 255, count), fractions(count, rng)),
        bits(sign ^ (rng.random(count) < 0.1), rng.integers(228, 255, count), fractions(count, rng)),
    )


def special(rng: np.random.Generator) -> Pairs:
    """Infinities, NaN and zeros of either sign against anything."""
    count = 8000
    few = np.array([0, INFINITY, 0x7F800001, 0x7FC00000, 0x7FFFFFFF], np.uint32)
    a = rng.choice(few, count) | bits(signs(count, rng), 0, 0)
    b = np.where(
        rng.random(count) < 0.4, rng.choice(few, count) | bits(signs(count, rng), 0, 0), uniform(count, rng)
    )
    swap = rng.random(count) < 0.5
    return np.where(swap, b, a), np.where(swap, a, b)


KINDS = (
    every_corner, uniform_patterns, close_exponents, cancellation, subnormals, ties, overflow, special
)  # fmt: skip


def draw(rng: np.random.Generator) -> Pairs:
    pairs = [kind(rng) for kind in KINDS]
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def hidden(number: Bits) -> Bits:
    return (number & INFINITY != 0).astype(np.uint32)


def is_infinite(number: Bits) -> Bits:
    return (number & ~SIGN == INFINITY).astype(np.uint32)


def is_nan(number: Bits) -> Bits:
    return (number & ~SIGN > INFINITY).astype(np.uint32)


def check(adder: wiring.Component, a: Bits, b: Bits, evaluate: Callable) -> None:
    columns = [a, b]
    # One in eight begins a sum, one in eight leaves it as it is, whatever it is.
    first, hold = (np.arange(len(a)) % 8 == k for k in (1, 3))
    first = (first | (hold & (np.arange(len(a)) % 16 == 3))).astype(np.uint32)
    hold = hold.astype(np.uint32)
    if isinstance(adder, TwoPathAdder):
        columns = [a, hidden(a), b >> 31, b & 0x7FFFFF, b >> 23 & 255, hidden(b), is_nan(b), is_infinite(b)]
        columns += [first, hold]
    seen = evaluate(adder, list(zip(*(column.tolist() for column in columns), strict=True)))
    results = np.array([row[0] for row in seen], np.uint32)
    if isinstance(adder, TwoPathAdder):
        finite = results & INFINITY != INFINITY
        normal = np.array([row[1] for row in seen])
        np.testing.assert_array_equal(normal[finite], hidden(results)[finite])
    expected = add32(a, b)
    if isinstance(adder, TwoPathAdder):
        expected = np.where(first, np.where(is_nan(b), np.uint32(QUIET_NAN), b), expected)
        expected = np.where(hold, a, expected)
    wrong = np.flatnonzero(results != expected)
    assert not wrong.size, [
        f"{a[i]:#010x} + {b[i]:#010x} must be {expected[i]:#010x}, not {results[i]:#010x}" for i in wrong[:5]
    ]


# What units take for area and for delay.
CHOSEN = [Binary32Adder(adder="ripple"), TwoPathAdder(adder="sklansky")]
OTHERS = [
    *(Binary32Adder(adder=adder) for adder in ADDERS),
    *(TwoPathAdder(adder=adder) for adder in ADDERS if adder != "ripple"),
]


def name(adder: Binary32Adder | TwoPathAdder) -> str:
    return f"{type(adder).__name__}-{adder.adder}"


@pytest.mark.parametrize("adder", CHOSEN, ids=name)
def test_binary32_numbers_are_added_as_the_processor_adds_them(
    adder: wiring.Component, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    a, b = draw(rng)
    assert len(a) > 50_000
    check(adder, a, b, evaluate_many)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("adder", OTHERS, ids=name)
def test_binary32_numbers_are_added_as_the_processor_adds_them_in_the_other_simulator(
    adder: wiring.Component, evaluate: Callable, rng: np.random.Generator
) -> None:
    a, b = draw(rng)
    chosen = rng.choice(len(a), 250, replace=False)
    check(adder, a[chosen], b[chosen], evaluate)


def test_the_pairs_drawn_meet_every_case(rng: np.random.Generator) -> None:
    a, b = draw(rng)
    total = add32(a, b)
    finite = (a & INFINITY != INFINITY) & (b & INFINITY != INFINITY)
    # A sum of two binary32 numbers is not always exact in float64, but near enough to see a tie.
    exact = np.add(*(side[finite].view(np.float32).astype(np.float64) for side in (a, b)))
    rounded = total[finite].view(np.float32)
    error = np.abs(exact - rounded)
    step = np.abs(rounded.astype(np.float64) - np.nextafter(rounded, np.float32(0)))
    inexact = (error > 0) & np.isfinite(rounded)
    shown = {
        "exact zero": int((exact == 0).sum()),
        "-0": int((total == SIGN).sum()),
        "subnormal": int(((total & INFINITY == 0) & (total & 0x7FFFFF != 0)).sum()),
        "overflow": int(np.isinf(rounded).sum()),
        "infinity": int(((total & ~SIGN) == INFINITY).sum()),
        "NaN": int((total == QUIET_NAN).sum()),
        "tie": int((inexact & (error * 2 == step)).sum()),
        "no tie": int((inexact & (error * 2 != step)).sum()),
    }
    assert min(shown.values()) >= 10, shown


# A term and a binary32 number in one addition.

# For each scale format: exact terms; wider ones; some that binary32 loses bits of, or that are infinite.
FUSED = ("e2m1_ue4m3_n16_fp32", "e2m1_ue4m4_n16_fp32", "e2m1_ue8m0_n16_fp32", "e2m1_ue8m0_n2_fp32")


def numbers_of(name: str) -> NumberRange:
    return Datapath(DotSpec.parse(name), optimise="delay", order=0, whole=True).numbers


def drawn_terms(numbers: NumberRange, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], ...]:
    """Terms and exponents, and as many binary32 numbers: anything, near the term, or nearly its opposite."""
    count = 40_000
    most = (1 << numbers.magnitude_bits) - 1
    term = rng.integers(-most, most + 1, count) >> rng.integers(0, numbers.magnitude_bits, count)
    few = np.where(rng.random(count) < 0.5, 1, -1) << rng.integers(0, numbers.magnitude_bits, count)
    term = np.where(rng.random(count) < 0.3, few, term)
    least, greatest = numbers.exponents
    exponent = rng.integers(least, greatest + 1, count)
    # Where binary32 ends, at either side, if the terms get there.
    edges = (
        np.array([-127 - 23, 128]) - numbers.offset - rng.integers(0, numbers.magnitude_bits + 3, (count, 2))
    )
    side = rng.integers(0, 2, count)
    edge = edges[np.arange(count), side] + 3 * (1 - side)
    exponent = np.where(rng.random(count) < 0.5, np.clip(edge, least, greatest), exponent)
    rounded = rounded_terms(numbers, term, exponent)
    field = (rounded >> 23 & 255).astype(np.int64)
    near = np.clip(field + rng.integers(-30, 31, count), 0, 254)
    kinds = [
        uniform(count, rng),
        bits(signs(count, rng), near, fractions(count, rng)),
        bits(signs(count, rng), near, 0),
        (rounded ^ SIGN) + rng.integers(-3, 4, count).astype(np.uint32),
        rng.choice(CORNERS[CORNERS <= INFINITY], count) | bits(signs(count, rng), 0, 0),
    ]
    number = np.choose(rng.integers(0, len(kinds), count), kinds)
    return term, exponent, np.where(is_nan(number), QUIET_NAN, number).astype(np.int64)


def rounded_terms(numbers: NumberRange, term: npt.NDArray[np.int64], exponent: npt.NDArray[np.int64]) -> Bits:
    """The terms as binary32, by numpy: float64 holds each of them exactly."""
    exact = np.ldexp(term.astype(np.float64), exponent + numbers.offset)
    with np.errstate(over="ignore", under="ignore"):
        return exact.astype(np.float32).view(np.uint32)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", FUSED)
def test_a_term_is_rounded_and_added_as_the_processor_does(
    name: str, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    numbers = numbers_of(name)
    term, exponent, number = drawn_terms(numbers, rng)
    width = FusedAdder.width(numbers)
    # Any two numbers will do that make the term.
    save = rng.integers(0, 1 << width, len(term))
    carry = (term - save) % (1 << width)
    nan, hold = ((rng.random(len(term)) < 0.01).astype(np.int64) for _ in range(2))
    rows = np.stack([number, save, carry, exponent, nan, hold], axis=1)
    seen = np.array(evaluate_many(FusedAdder(numbers, adder="sklansky"), rows.tolist()), np.uint32)[:, 0]
    rounded = rounded_terms(numbers, term, exponent)
    expected = np.where(nan, np.uint32(QUIET_NAN), add32(number.astype(np.uint32), rounded))
    expected = np.where(hold, number.astype(np.uint32), expected)
    wrong = np.flatnonzero(seen != expected)
    assert not wrong.size, [
        f"{number[i]:#010x} + {term[i]} * 2**{exponent[i] + numbers.offset} must be {expected[i]:#010x}, not "
        f"{seen[i]:#010x}"
        for i in wrong[:5]
    ]
    # What was drawn meets every case that there is.
    shown = {"zero": (expected & ~SIGN == 0), "infinite": is_infinite(expected), "NaN": is_nan(expected)}
    if numbers.loses_bits:
        exact = np.ldexp(term.astype(np.float64), exponent + numbers.offset)
        lost = rounded.view(np.float32).astype(np.float64) != exact
        shown["term that loses bits"] = lost & np.isfinite(rounded.view(np.float32))
        shown["and counts"] = shown["term that loses bits"] & (expected != number)
        shown["-0"] = expected == SIGN
    assert min(int(case.sum()) for case in shown.values()) >= 10, {k: int(v.sum()) for k, v in shown.items()}


def test_a_term_must_be_no_wider_than_a_significand() -> None:
    numbers = NumberRange(magnitude_bits=25, exponent_bits=4, exponents=(0, 9), offset=0)
    with pytest.raises(ValueError, match=r"^numbers must have at most 24 bits, not 25$"):
        FusedAdder(numbers, adder="sklansky")


# The fixed-point accumulator.


def check_window(
    unit: WindowAdder, rows: list[tuple[int, int]], evaluate: Callable[..., list[tuple[int, ...]]]
) -> None:
    width = Shape.cast(unit.signature.members["result"].shape).width
    seen = [total % (1 << width) for (total,) in evaluate(unit, rows)]
    assert seen == [(accumulator + window) % (1 << width) for accumulator, window in rows]


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(
    ("window_bits", "accumulator_bits"), [(1, 1), (2, 2), (3, 3), (3, 5), (2, 6), (5, 5)]
)
def test_window_adder_adds_all_small_numbers(
    window_bits: int, accumulator_bits: int, adder: Adder, evaluate: Callable
) -> None:
    unit = WindowAdder(window_bits=window_bits, accumulator_bits=accumulator_bits, adder=adder)
    sums, windows = (
        range(-(1 << (width - 1)), 1 << (width - 1)) for width in (accumulator_bits, window_bits)
    )
    check_window(unit, list(itertools.product(sums, windows)), evaluate)


@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize(("window_bits", "accumulator_bits"), [(48, 64), (80, 96), (80, 80)])
def test_window_adder_adds_real_numbers(
    window_bits: int, accumulator_bits: int, adder: Adder, evaluate: Callable, rng: np.random.Generator
) -> None:
    unit = WindowAdder(window_bits=window_bits, accumulator_bits=accumulator_bits, adder=adder)

    def draw(width: int) -> int:
        """Of any length, so that a sign extends over any number of bits."""
        value = int.from_bytes(rng.bytes(width // 8), signed=True)
        return value >> int(rng.integers(width))

    rows = [(draw(accumulator_bits), draw(window_bits)) for _ in range(120)]
    half, whole = 1 << (window_bits - 1), 1 << (accumulator_bits - 1)
    rows += [(-1, 1), (1, -1), (whole - 1, 1), (-whole, -1), (half, -half), (-half, half - 1), (0, -half)]
    check_window(unit, rows, evaluate)


@pytest.mark.parametrize(
    ("bits", "segment", "count"), [(9, 1, 8), (9, 2, 4), (8, 4, 1), (9, 8, 1), (9, None, 0)]
)
def test_a_carry_is_kept_between_each_two_segments(bits: int, segment: int | None, count: int) -> None:
    assert kept_carries(bits, segment) == count


@pytest.mark.parametrize("adder", ["ripple", "sklansky"])
@pytest.mark.parametrize("segment", [1, 2, 3, 4])
def test_segments_and_the_carries_they_keep_are_the_sum(
    segment: int, adder: Adder, evaluate: Callable
) -> None:
    window_bits, width = 4, 5
    whole = 1 << width
    unit = WindowAdder(window_bits=window_bits, accumulator_bits=width, adder=adder, segment=segment)
    last = CarryAdder(accumulator_bits=width, segment=segment, adder=adder)
    count = kept_carries(width, segment)
    halves = range(-(whole >> 1), whole >> 1)
    rows = list(itertools.product(halves, range(1 << count), range(-8, 8)))

    def value(held: int, carries: int) -> int:
        return (held + sum((carries >> k & 1) << segment * (k + 1) for k in range(count))) % whole

    found = evaluate(unit, rows)
    assert [value(held, kept) for held, kept in found] == [
        (value(held, carries) + window) % whole for held, carries, window in rows
    ]
    # No carry runs over more than a segment: those kept are of its own bits alone.
    low = (1 << segment) - 1
    assert [kept & 1 for _, kept in found] == [
        ((held & low) + (window & low)) >> segment for held, _, window in rows
    ]
    states = list(itertools.product(range(whole), range(1 << count)))
    assert [total for (total,) in evaluate(last, states)] == [value(*state) for state in states]
