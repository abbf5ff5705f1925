import itertools
from collections.abc import Callable

import pytest
from amaranth.hdl import Cat, Module, Value
from blockdot.hw.leaves.comparison import (
    add_constant,
    count_passed,
    difference,
    exceeds,
    largest_by_digits,
    largest_of_few,
    passes_constant,
)

FORMS = pytest.mark.parametrize("fast", [False, True], ids=["small", "fast"])


def every(*widths: int) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(1 << width) for width in widths)))


@FORMS
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_number_exceeds_another_or_equals_it(width: int, fast: bool, apply: Callable) -> None:
    rows = every(width, width, 1)
    seen = apply(lambda m, a, b, equal: [exceeds(m, a, b, equal, "x", fast=fast)], [width, width, 1], rows)
    assert seen == [(int(a > b or (a == b and equal)),) for a, b, equal in rows]


@FORMS
@pytest.mark.parametrize(("width", "digits"), [(4, 0), (4, 3), (5, 5)])
def test_the_low_digits_of_a_difference(width: int, digits: int, fast: bool, apply: Callable) -> None:
    def build(m: Module, a: Value, b: Value) -> list[Value]:
        low, not_less = difference(m, a, b, 1, digits, "x", fast=fast)
        return [Cat(low, not_less)]

    rows = every(width, width)
    seen = apply(build, [width, width], rows)
    assert seen == [((a - b) % (1 << digits) | (a >= b) << digits,) for a, b in rows]


@pytest.mark.parametrize("constant", [0, 1, 5, 8, 12, 15, 16, 99])
def test_a_number_passes_a_constant(constant: int, apply: Callable) -> None:
    def build(m: Module, value: Value, equal: Value) -> list[Value]:
        return [
            Cat(
                passes_constant(m, value, constant, 0, "over"),
                passes_constant(m, value, constant, 1, "from"),
                passes_constant(m, value, constant, equal, "either"),
            )
        ]

    rows = every(4, 1)
    seen = apply(build, [4, 1], rows)
    assert seen == [
        ((v > constant) | (v >= constant) << 1 | (v > constant or (v == constant and equal)) << 2,)
        for v, equal in rows
    ]


@pytest.mark.parametrize(("thresholds", "first", "width"), [(1, 0, 1), (4, 1, 2), (8, 3, 3), (8, 0, 4)])
def test_thresholds_are_counted(thresholds: int, first: int, width: int, apply: Callable) -> None:
    rows = [((1 << passed) - 1,) for passed in range(thresholds + 1)]
    seen = apply(lambda _, passed: [count_passed(list(passed), first, width)], [thresholds], rows)
    assert seen == [((first + passed) % (1 << width),) for passed in range(thresholds + 1)]


@FORMS
@pytest.mark.parametrize("constant", [-123, -2, 0, 7, 22])
def test_a_constant_is_added(constant: int, fast: bool, apply: Callable) -> None:
    rows = every(4, 1)
    seen = apply(lambda m, a, carry: [add_constant(m, a, constant, carry, 6, "sum", fast=fast)], [4, 1], rows)
    assert seen == [((a + constant + carry) % 64,) for a, carry in rows]


def test_the_largest_is_found_digit_by_digit_among_those_that_count(apply: Callable) -> None:
    def build(m: Module, a: Value, b: Value, c: Value, count: Value) -> list[Value]:
        largest, alive = largest_by_digits(m, [a, b, c], list(count), "x")
        whole, _ = largest_by_digits(m, [a, b, c], None, "y")
        return [largest, Cat(*alive), whole]

    rows = every(3, 3, 3, 3)
    for row, (largest, alive, whole) in zip(rows, apply(build, [3, 3, 3, 3], rows), strict=True):
        values, counts = row[:3], [row[3] >> k & 1 for k in range(3)]
        expected = max((v for v, c in zip(values, counts, strict=True) if c), default=0)
        assert (largest, whole) == (expected, max(values))
        assert [alive >> k & 1 for k in range(3)] == [
            int(c and v == expected) for v, c in zip(values, counts, strict=True)
        ]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_largest_of_a_few_is_let_through(count: int, apply: Callable) -> None:
    rows = every(*[2] * count)
    seen = apply(lambda m, *values: [largest_of_few(m, values, "x")], [2] * count, rows)
    assert seen == [(max(row),) for row in rows]
