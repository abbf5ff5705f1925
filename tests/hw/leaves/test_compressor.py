import itertools
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Const, Module, Signal, Value
from blockdot.hw.leaves import compressor
from blockdot.hw.leaves.bits import full_adder, half_adder
from blockdot.hw.leaves.compressor import ADDERS, AbsoluteAdder, Adder, Columns, SumOfProducts, add, prefixes

PREFIX_ADDERS = ADDERS[1:]


def every(*widths: int) -> Iterator[tuple[int, ...]]:
    """All numbers of these widths together."""
    return itertools.product(*(range(1 << width) for width in widths))


def sum_of_two(kind: Adder) -> Callable[[Module, Value, Value, Value], list[Value]]:
    def build(m: Module, a: Value, b: Value, carry: Value) -> list[Value]:
        total = add(m, list(a), list(b), carry, kind)
        assert [len(bit) for bit in total] == [1] * (len(a) + 1)
        return total

    return build


def number(bits: tuple[int, ...]) -> int:
    return sum(bit << k for k, bit in enumerate(bits))


@pytest.mark.parametrize("width", range(1, 6))
@pytest.mark.parametrize("kind", ADDERS)
def test_every_adder_adds_all_numbers_of_a_small_width(kind: Adder, width: int, apply: Callable) -> None:
    rows = list(every(width, width, 1))
    seen = apply(sum_of_two(kind), [width, width, 1], rows)
    assert [number(bits) for bits in seen] == [a + b + carry for a, b, carry in rows]


@pytest.mark.parametrize("width", [*range(6, 20), 31, 32, 33])
@pytest.mark.parametrize("kind", ADDERS)
def test_every_adder_carries_from_any_bit_to_any_other(
    kind: Adder, width: int, apply: Callable, rng: np.random.Generator
) -> None:
    most = (1 << width) - 1
    rows = [(most, 0, 1), (0, most, 1), (most, most, 1), (most, most, 0), (0, 0, 0), (0, 0, 1)]
    # Runs of ones between two places, started by one bit: a carry born at the one ends at the other.
    for _ in range(40):
        low, high = sorted(int(k) for k in rng.integers(0, width + 1, 2))
        run = ((1 << high) - 1) & ~((1 << low) - 1)
        rows.append((run, 1 << low & most, 0))
    rows += [
        (int.from_bytes(rng.bytes(5)) & most, int.from_bytes(rng.bytes(5)) & most, int(rng.integers(2)))
        for _ in range(40)
    ]
    seen = apply(sum_of_two(kind), [width, width, 1], rows)
    assert [number(bits) for bits in seen] == [a + b + carry for a, b, carry in rows]


@pytest.mark.parametrize(
    ("kind", "cells", "levels"),
    # Of 16 bits: 2n - 2 - log2 n (Brent and Kung), n/2 log2 n (Sklansky), n log2 n - n + 1 (Kogge and Stone).
    [("brent_kung", 26, 7), ("sklansky", 32, 4), ("kogge_stone", 49, 4)],
)
def test_prefix_networks_have_the_cells_and_levels_of_their_papers(
    kind: Adder, cells: int, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    plain = compressor.wire

    def counting(m: Module, value: Value, name: str) -> Signal:
        names.append(name)
        return plain(m, value, name)

    monkeypatch.setattr(compressor, "wire", counting)
    add(Module(), list(Signal(16)), list(Signal(16)), Const(0), kind)
    joins = [name.split("_") for name in names if name.startswith("generate_") and name.count("_") == 2]
    assert len(joins) == cells
    assert len({level for *_, level in joins}) == levels


def test_add_refuses_numbers_of_unlike_width() -> None:
    for kind in ADDERS:
        with pytest.raises(ValueError, match=r"^zip\(\) argument 2 is shorter than argument 1$"):
            add(Module(), list(Signal(3)), list(Signal(2)), Const(0), kind)


# Columns.


def fill(columns: Columns, heights: list[int], constants: list[int], bits: Value) -> None:
    """Put so many of `bits` in each column, from the lowest up, and the constants."""
    places = [k for k, height in enumerate(heights) for _ in range(height)]
    for bit, k in zip(bits, places, strict=True):
        columns.put(k, bit)
    for constant in constants:
        columns.put_constant(constant)


def weigh(heights: list[int], constants: list[int], bits: int) -> int:
    places = [k for k, height in enumerate(heights) for _ in range(height)]
    return sum((bits >> i & 1) << k for i, k in enumerate(places)) + sum(constants)


@pytest.mark.parametrize("kind", ADDERS)
@pytest.mark.parametrize("order", [0, 1, 7])
def test_columns_add_bits_and_constants_modulo_their_width(
    order: int, kind: Adder, apply: Callable, rng: np.random.Generator
) -> None:
    for _ in range(12):
        width = int(rng.integers(1, 9))
        heights = [int(h) for h in rng.integers(0, 6, width)]
        heights[int(rng.integers(width))] += 1
        constants = [int(c) for c in rng.integers(-300, 300, rng.integers(0, 4))]
        count = sum(heights)

        def build(
            m: Module,
            bits: Value,
            width: int = width,
            heights: list[int] = heights,
            constants: list[int] = constants,
        ) -> list[Value]:
            columns = Columns(width, order=order)
            fill(columns, heights, constants, bits)
            total = columns.total(m, kind)
            assert len(total) == width
            return [total]

        most = (1 << count) - 1
        rows = [(0,), (most,)] + [(int.from_bytes(rng.bytes(8)) & most,) for _ in range(40)]
        seen = apply(build, [count], rows)
        assert seen == [(weigh(heights, constants, bits) % (1 << width),) for (bits,) in rows]


def test_carry_save_gives_two_numbers_with_the_right_sum(apply: Callable) -> None:
    heights, constants = [3, 4, 2, 0, 1], [-5, 2]

    def build(m: Module, bits: Value) -> tuple[Value, Value]:
        columns = Columns(6)
        fill(columns, [*heights, 0], constants, bits)
        save, carry = columns.carry_save(m)
        assert (len(save), len(carry)) == (6, 6)
        return save, carry

    rows = list(every(10))
    seen = apply(build, [10], rows)
    assert [sum(pair) % 64 for pair in seen] == [weigh(heights, constants, bits) % 64 for (bits,) in rows]


@pytest.mark.parametrize("kind", ADDERS)
def test_empty_columns_add_up_to_their_constant(kind: Adder, apply: Callable) -> None:
    def build(m: Module) -> list[Value]:
        columns = Columns(4)
        columns.put_constant(-3)
        return [columns.total(m, kind)]

    assert apply(build, [], [()]) == [(13,)]


def test_a_number_put_above_the_width_falls_away(apply: Callable) -> None:
    def build(m: Module, a: Value) -> list[Value]:
        columns = Columns(3)
        columns.put_all(1, a)
        columns.put(3, a[0])
        assert columns.bits_in == 2
        return [columns.total(m, "ripple")]

    assert apply(build, [4], every(4)) == [((a << 1) % 8,) for (a,) in every(4)]


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("rows", [1, 2])
def test_reduce_leaves_no_column_with_more_rows_than_asked_for(
    rows: int, balanced: bool, rng: np.random.Generator
) -> None:
    for order in range(3):
        heights = [int(h) for h in rng.integers(0, 9, 8)]
        columns = Columns(12, order=order, balanced=balanced)
        fill(columns, [*heights, 0, 0, 0, 0], [], Signal(sum(heights)))
        left = columns.reduce(Module(), rows)
        assert len(left) == 12
        assert max(len(column) for column in left) <= rows


def test_a_full_adder_takes_one_bit_out_of_the_sum_and_a_half_adder_none(rng: np.random.Generator) -> None:
    for _ in range(20):
        heights = [int(h) for h in rng.integers(0, 12, 8)]
        for rows in (1, 2):
            columns = Columns(16)  # wide enough that no carry falls off the end
            fill(columns, [*heights, *[0] * 8], [], Signal(sum(heights)))
            bits_in = columns.bits_in
            assert bits_in == sum(heights)
            left = columns.reduce(Module(), rows)
            assert columns.full_adders == bits_in - sum(len(column) for column in left)
            if rows == 2:
                assert columns.half_adders == 0


@pytest.mark.parametrize("digits", [2, 3, 4, 5])
def test_counting_ones_takes_no_more_adders_than_the_lower_bound(digits: int) -> None:
    ones = (1 << digits) - 1
    columns = Columns(digits)
    for bit in Signal(ones):
        columns.put(0, bit)
    columns.total(Module(), "ripple")
    assert (columns.full_adders, columns.half_adders) == (ones - digits, 0)


def test_the_latest_bit_enters_the_last_full_adder_as_its_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[list[Value]] = []

    def recording(m: Module, a: Value, b: Value, c: Value, name: str) -> tuple[Value, Value]:
        taken.append([a, b, c])
        return full_adder(m, a, b, c, name)

    monkeypatch.setattr(compressor, "full_adder", recording)
    late, *early = [Signal(name=f"bit_{k}") for k in range(7)]
    columns = Columns(3)
    columns.put(0, late, arrival=100)
    for bit in early:
        columns.put(0, bit)
    columns.reduce(Module(), 1)
    of_lowest_column = taken[:3]
    assert of_lowest_column[2][2] is late
    assert not any(bit is late for triple in of_lowest_column[:2] for bit in triple)


def xor_depths(columns: Columns, monkeypatch: pytest.MonkeyPatch) -> int:
    """Reduce columns to two rows and return how many exclusive ors a bit passes through at most."""
    depth: dict[int, int] = {}

    def of(*bits: Value) -> int:
        return max(depth.get(id(bit), 0) for bit in bits)

    def full(m: Module, a: Value, b: Value, c: Value, name: str) -> tuple[Value, Value]:
        total, carry = full_adder(m, a, b, c, name)
        depth[id(total)] = depth[id(carry)] = max(of(a, b) + 2, of(c) + 1)
        return total, carry

    def half(m: Module, a: Value, b: Value, name: str) -> tuple[Value, Value]:
        total, carry = half_adder(m, a, b, name)
        depth[id(total)] = depth[id(carry)] = of(a, b) + 1
        return total, carry

    monkeypatch.setattr(compressor, "full_adder", full)
    monkeypatch.setattr(compressor, "half_adder", half)
    left = columns.reduce(Module(), 2)
    return max(of(bit) for column in left for bit in column)


# The most rows that so many levels of full adders bring down to two (Dadda, 1965).
@pytest.mark.parametrize(("rows", "levels"), [(3, 1), (4, 2), (6, 3), (9, 4), (13, 5), (19, 6), (28, 7)])
def test_a_balanced_tree_takes_no_longer_than_the_fewest_levels_there_can_be(
    rows: int, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = Columns(16, balanced=True)
    fill(columns, [rows] * 16, [], Signal(16 * rows))
    assert xor_depths(columns, monkeypatch) <= 2 * levels


# Sums of products.


def tree_text(order: int) -> str:
    return rtlil.convert(SumOfProducts(lanes=8, magnitude_bits=8, sum_bits=12, order=order), emit_src=False)


def test_every_order_is_wired_differently_and_the_same_order_alike() -> None:
    # Object addresses, hash seeds and the state of `random` must not count.
    random.seed(1)
    first = [tree_text(order) for order in range(4)]
    random.seed(2)
    assert [tree_text(order) for order in range(4)] == first
    assert len(set(first)) == 4


def test_every_order_takes_the_same_number_of_full_adders() -> None:
    counts = set()
    for order in range(5):
        columns = SumOfProducts(lanes=16, magnitude_bits=8, sum_bits=13, order=order).columns(Module())
        columns.reduce(Module(), 2)
        counts.add((columns.full_adders, columns.half_adders))
    assert len(counts) == 1


def test_sixteen_lanes_take_the_full_adders_that_their_bits_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def recording(m: Module, a: Value, b: Value, c: Value, name: str) -> tuple[Value, Value]:
        names.append(name)
        return full_adder(m, a, b, c, name)

    monkeypatch.setattr(compressor, "full_adder", recording)
    m = Module()
    columns = SumOfProducts(lanes=16, magnitude_bits=8, sum_bits=13).columns(m)
    # 15 signs counted in 4 bits.
    assert columns.full_adders == len(names) == 15 - 4
    # 16 lanes of 8 bits; the count twice, from bit 0, and inverted from bit 8; and the last lane's sign.
    assert columns.bits_in == 16 * 8 + 4 + 4 + 1
    del names[:]
    bits_out = sum(len(column) for column in columns.reduce(m, 2))
    dropped = sum(name.startswith("tree_12_") for name in names)  # carries out of bit 12 are not built
    # The constant, -16 * 2**8 modulo 2**13, is one bit more.
    assert len(names) == 16 * 8 + 4 + 4 + 1 + 1 - bits_out - dropped


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32, 64])
def test_a_power_of_two_of_lanes_takes_no_half_adder_but_for_the_top_bit(lanes: int) -> None:
    sum_bits = (lanes * 144).bit_length() + 1
    columns = SumOfProducts(lanes=lanes, magnitude_bits=8, sum_bits=sum_bits).columns(Module())
    columns.reduce(Module(), 1)
    # The constant meets the last carry in the top column.
    assert columns.half_adders == 1


def products(lanes: int, magnitude_bits: int, rows: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random signs and magnitudes, then those at the ends of what there is."""
    most = (1 << magnitude_bits) - 1
    everywhere = (1 << lanes) - 1
    full = (1 << (lanes * magnitude_bits)) - 1
    alternate = sum(1 << k for k in range(0, lanes, 2))
    cases = [
        (int(rng.integers(0, everywhere, endpoint=True)), int.from_bytes(rng.bytes(40)) & full)
        for _ in range(rows)
    ]
    cases += [(0, 0), (everywhere, 0), (0, full), (everywhere, full), (alternate, full), (alternate, 0)]
    cases += [(1 << k, most << (magnitude_bits * k)) for k in range(lanes)]
    return cases


def signed_sum(lanes: int, magnitude_bits: int, negative: int, magnitude: int) -> int:
    total = 0
    for k in range(lanes):
        lane = magnitude >> (magnitude_bits * k) & ((1 << magnitude_bits) - 1)
        total += -lane if negative >> k & 1 else lane
    return total


def check_sums(
    lanes: int,
    magnitude_bits: int,
    sum_bits: int,
    order: int,
    rows: list[tuple[int, ...]],
    evaluate: Callable,
) -> None:
    for balanced, offset in ((False, 0), (True, -1), (False, 5)):
        tree = SumOfProducts(
            lanes=lanes,
            magnitude_bits=magnitude_bits,
            sum_bits=sum_bits,
            offset=offset,
            balanced=balanced,
            order=order,
        )
        seen = evaluate(tree, rows)
        assert [(save + carry) % (1 << sum_bits) for save, carry in seen] == [
            (signed_sum(lanes, magnitude_bits, *row) + offset) % (1 << sum_bits) for row in rows
        ]


@pytest.mark.parametrize(("lanes", "magnitude_bits"), [(2, 1), (2, 3), (3, 2), (4, 2), (5, 1)])
def test_sum_of_products_of_all_small_inputs(lanes: int, magnitude_bits: int, evaluate: Callable) -> None:
    sum_bits = (lanes * ((1 << magnitude_bits) - 1)).bit_length() + 1
    for order in (0, 3):
        rows = list(every(lanes, lanes * magnitude_bits))
        check_sums(lanes, magnitude_bits, sum_bits, order, rows, evaluate)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("lanes", range(2, 17))
def test_sum_of_products_of_eight_bits(
    lanes: int, order: int, evaluate: Callable, rng: np.random.Generator
) -> None:
    sum_bits = (lanes * 255).bit_length() + 1
    check_sums(lanes, 8, sum_bits, order, products(lanes, 8, 30, rng), evaluate)


@pytest.mark.parametrize("sum_bits", [3, 8, 9, 11])
def test_a_sum_wider_than_its_port_is_taken_modulo(
    sum_bits: int, evaluate: Callable, rng: np.random.Generator
) -> None:
    check_sums(8, 8, sum_bits, 0, products(8, 8, 100, rng), evaluate)


@pytest.mark.parametrize("adder", PREFIX_ADDERS)
@pytest.mark.parametrize("width", [2, 3, 5, 7])
def test_absolute_adder_gives_sign_and_magnitude_of_all_small_sums(
    adder: Adder, width: int, evaluate_many: Callable
) -> None:
    half = 1 << (width - 1)

    def total(save: int, carry: int) -> int:
        return (save + carry + 1 + half) % (1 << width) - half

    # The least number of that width has no magnitude that fits, and does not occur.
    rows = [row for row in every(width, width) if total(*row) != -half]
    seen = evaluate_many(AbsoluteAdder(width=width, adder=adder), rows)
    assert seen == [(int(total(*row) < 0), abs(total(*row))) for row in rows]


def test_a_ripple_adder_has_no_prefixes() -> None:
    with pytest.raises(ValueError, match=r"^adder must be a prefix adder, not 'ripple'$"):
        AbsoluteAdder(width=4, adder="ripple")
    with pytest.raises(ValueError, match=r"^kind must be a prefix adder, not 'ripple'$"):
        prefixes(Module(), list(Signal(2)), list(Signal(2)), "ripple")
