import itertools
from collections.abc import Callable, Iterator

import pytest
from amaranth.hdl import Const, Module, Signal, Value
from blockdot.hw.leaves.bits import (
    barrel_left,
    barrel_left_kept,
    count_leading_zeros,
    full_adder,
    half_adder,
    leading_digits,
    negated_if,
    normalise,
    normalise_kept,
    repeat,
    shift_left,
    shift_right_sticky,
    wire,
)

WIDTHS = range(1, 10)


def every(*widths: int) -> Iterator[tuple[int, ...]]:
    """All numbers of these widths together."""
    return itertools.product(*(range(1 << width) for width in widths))


def leading_zeros(value: int, width: int) -> int:
    return width - value.bit_length()


def test_a_wire_has_the_name_the_width_and_the_bits_of_its_value(apply: Callable) -> None:
    def named(m: Module, value: Value) -> list[Value]:
        signal = wire(m, value.as_signed() + 1, "one_more")
        assert (signal.name, len(signal), signal.shape().signed) == ("one_more", 4, False)
        return [signal]

    def signed(value: int) -> int:
        return value - 8 * (value >= 4)

    seen = apply(named, [3], every(3))
    assert seen == [((signed(value) + 1) % 16,) for (value,) in every(3)]


def test_half_adder_counts_two_bits(apply: Callable) -> None:
    seen = apply(lambda m, a, b: half_adder(m, a, b, "x"), [1, 1], every(1, 1))
    assert [low + 2 * high for low, high in seen] == [a + b for a, b in every(1, 1)]


def test_full_adder_counts_three_bits(apply: Callable) -> None:
    seen = apply(lambda m, a, b, c: full_adder(m, a, b, c, "x"), [1, 1, 1], every(1, 1, 1))
    assert [low + 2 * high for low, high in seen] == [a + b + c for a, b, c in every(1, 1, 1)]


def test_adders_name_their_wires() -> None:
    a, b, c = Signal(), Signal(), Signal()
    bits = (*half_adder(Module(), a, b, "left"), *full_adder(Module(), a, b, c, "right"))
    names = [bit.name for bit in bits if isinstance(bit, Signal)]
    assert names == ["left_sum", "left_carry", "right_sum", "right_carry"]


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_repeat_gives_copies_of_one_bit(width: int, apply: Callable) -> None:
    seen = apply(lambda _, bit: [repeat(bit, width)], [1], every(1))
    assert seen == [(0,), ((1 << width) - 1,)]


def test_repeat_of_width_zero_is_empty() -> None:
    assert len(repeat(Signal(), 0)) == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_a_number_is_negated_where_it_is_told_to(width: int, apply: Callable) -> None:
    cases = list(every(width, 1))
    found = apply(lambda m, value, sign: [negated_if(m, value, sign, "value")], (width, 1), cases)
    assert found == [((-value if sign else value) % (1 << width),) for value, sign in cases]


@pytest.mark.parametrize("width", WIDTHS)
def test_normalise_shifts_the_top_set_bit_to_the_top(width: int, apply: Callable) -> None:
    digits = (width - 1).bit_length()

    def build(m: Module, value: Value) -> tuple[Value, Value]:
        shifted, count = normalise(m, value)
        assert (len(shifted), len(count)) == (width, digits)
        return shifted, count

    expected = [(0, (1 << digits) - 1)]  # zero: the largest distance
    for value in range(1, 1 << width):
        distance = leading_zeros(value, width)
        expected.append((value << distance, distance))
    assert apply(build, [width], every(width)) == expected


@pytest.mark.parametrize("limit_bits", range(6))
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8])
def test_normalise_shifts_no_further_than_its_limit(width: int, limit_bits: int, apply: Callable) -> None:
    digits = (width - 1).bit_length()

    def build(m: Module, value: Value, limit: Value) -> tuple[Value, Value]:
        shifted, count = normalise(m, value, limit)
        assert (len(shifted), len(count)) == (width, digits)
        return shifted, count

    expected = []
    for value, limit in every(width, limit_bits):
        distance = min(leading_zeros(value, width) if value else (1 << digits) - 1, limit)
        expected.append((value << distance, distance))
    assert apply(build, [width, limit_bits], every(width, limit_bits)) == expected


@pytest.mark.parametrize("limit", [None, 0, 2, 5])
@pytest.mark.parametrize("keep", [1, 2, 3, 6])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_normalise_keeps_the_top_and_says_whether_the_rest_is_zero(
    width: int, keep: int, limit: int | None, apply: Callable
) -> None:
    kept_bits = min(width, keep)

    def build(m: Module, value: Value, sign: Value) -> tuple[Value, Value, Value]:
        given = None if limit is None else Const(limit)
        kept, count, lost = normalise_kept(m, value, keep, given, sign)
        assert len(kept) == kept_bits
        return kept, count, lost

    digits = (width - 1).bit_length()
    expected = []
    for value, sign in every(width, 1):
        differing = value ^ ((1 << width) - 1) * sign
        # Of ones all over, the first zero that comes in from below differs from the sign.
        all_alike = width if sign else (1 << digits) - 1
        distance = leading_zeros(differing, width) if differing else min(all_alike, (1 << digits) - 1)
        distance = distance if limit is None else min(distance, limit)
        shifted = (value << distance) % (1 << width)
        below = width - kept_bits
        expected.append((shifted >> below, distance, int(shifted % (1 << below) != 0)))
    assert apply(build, [width, 1], every(width, 1)) == expected


@pytest.mark.parametrize("width", WIDTHS)
def test_leading_zeros_are_counted(width: int, apply: Callable) -> None:
    def build(m: Module, value: Value) -> tuple[Value, Value]:
        count, found = count_leading_zeros(m, value)
        assert (len(count), len(found)) == ((width - 1).bit_length(), 1)
        return count, found

    zero, *others = apply(build, [width], every(width))
    assert zero[1] == 0
    assert others == [(leading_zeros(value, width), 1) for value in range(1, 1 << width)]


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("amount_bits", range(6))
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8])
def test_shift_right_says_whether_a_set_bit_was_lost(
    width: int, amount_bits: int, saturate: bool, apply: Callable
) -> None:
    def build(m: Module, value: Value, amount: Value) -> tuple[Value, Value]:
        shifted, sticky = shift_right_sticky(m, value, amount, saturate=saturate)
        assert (len(shifted), len(sticky)) == (width, 1)
        return shifted, sticky

    expected = [
        (value >> amount, int(value % (1 << amount) != 0)) for value, amount in every(width, amount_bits)
    ]
    assert apply(build, [width, amount_bits], every(width, amount_bits)) == expected


@pytest.mark.parametrize("distance_bits", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_barrel_left_loses_what_it_shifts_beyond_the_top(
    width: int, distance_bits: int, apply: Callable
) -> None:
    rows = list(every(width, distance_bits))
    seen = apply(lambda m, value, distance: [barrel_left(m, value, distance)], [width, distance_bits], rows)
    assert seen == [((value << distance) % (1 << width),) for value, distance in rows]


@pytest.mark.parametrize("keep", [1, 2, 4])
@pytest.mark.parametrize("distance_bits", [0, 1, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 5, 7])
def test_barrel_left_keeps_the_top_and_says_whether_the_rest_is_zero(
    width: int, distance_bits: int, keep: int, apply: Callable
) -> None:
    rows = list(every(width, distance_bits))
    kept_bits = min(width, keep)
    seen = apply(
        lambda m, value, distance: barrel_left_kept(m, value, distance, keep), [width, distance_bits], rows
    )
    expected = []
    for value, distance in rows:
        shifted = (value << distance) % (1 << width)
        below = width - kept_bits
        expected.append((shifted >> below, int(shifted % (1 << below) != 0)))
    assert seen == expected


@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize(
    ("value_bits", "distance_bits", "least", "width"),
    [(3, 2, 0, 6), (3, 2, 1, 5), (2, 3, 2, 7), (4, 1, 0, 5), (4, 2, 3, 4), (5, 2, 0, 3), (3, 3, 0, 4)],
)
def test_shift_left_by_a_distance_that_has_a_least(
    value_bits: int, distance_bits: int, least: int, width: int, fill: int, apply: Callable
) -> None:
    rows = [row for row in every(value_bits, distance_bits) if row[1] >= least]
    seen = apply(
        lambda m, value, distance: [
            shift_left(m, value, distance, least=least, width=width, fill=Const(fill))
        ],
        [value_bits, distance_bits],
        rows,
    )
    ones = -fill << value_bits  # what stands above the value, without end
    assert seen == [(((ones | value) << (distance - least)) % (1 << width),) for value, distance in rows]


@pytest.mark.parametrize("width", range(1, 8))
def test_leading_zeros_of_a_difference_are_told_beforehand_or_one_too_few(
    width: int, apply: Callable
) -> None:
    rows = [(a, b) for a, b in every(width, width) if a != b]

    def count(m: Module, a: Value, b: Value) -> list[Value]:
        return [count_leading_zeros(m, leading_digits(m, a, ~b, Const(1)))[0]]

    seen = apply(count, [width, width], rows)
    short = {leading_zeros(abs(a - b), width) - count for (a, b), (count,) in zip(rows, seen, strict=True)}
    assert short <= {0, 1}
    assert short == {0, 1} or width < 3
