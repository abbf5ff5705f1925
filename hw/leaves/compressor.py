"""Sums of many bits: a compressor tree by columns, and the adders that end it."""

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bits import full_adder, half_adder, negated_if, repeat, wire

__all__ = [
    "ADDERS",
    "AbsoluteAdder",
    "Adder",
    "Columns",
    "FinalAdder",
    "Span",
    "SumOfProducts",
    "add",
    "prefixes",
    "put_sign_count",
]

Adder = Literal["ripple", "brent_kung", "sklansky", "kogge_stone"]
ADDERS: Final[tuple[Adder, ...]] = ("ripple", "brent_kung", "sklansky", "kogge_stone")

# Arrival times count XOR gates in series. A full adder's sum is two of them behind its first two inputs and
# one behind its third; its carry, an AND-OR where the sum has its second XOR, is no later.
_FULL: Final = 2
_LAST: Final = 1
_HALF: Final = 1


def add(
    m: Module, a: Sequence[Value], b: Sequence[Value], carry: Value, kind: Adder, name: str = ""
) -> list[Value]:
    """Add two numbers of equal width and a carry, bits from the lowest up; the carry out comes last.

    Args:
        m: The module to build in.
        a: Bits of the one number.
        b: Bits of the other.
        carry: The carry in.
        kind: ``ripple`` is the smallest; the others are parallel-prefix networks: ``brent_kung`` with
            the fewest cells, ``sklansky`` with the least depth and high fan-out, ``kogge_stone`` with
            the least depth and fan-out two.
        name: What the wires' names begin with.

    Returns:
        One bit more than `a` has.
    """
    if kind == "ripple":
        total = []
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            bit, carry = full_adder(m, x, y, carry, f"{name}add_{k}")
            total.append(bit)
        return [*total, carry]
    half, spans = prefixes(m, a, b, kind, carry, name)
    carries = [carry, *(generate for generate, _ in spans)]
    return [*(p ^ c for p, c in zip(half, carries, strict=False)), carries[-1]]


Span = tuple[Value, Value]
"""Whether some bits in a row generate a carry, and whether they propagate one."""


def prefixes(
    m: Module,
    a: Sequence[Value],
    b: Sequence[Value],
    kind: Adder,
    carry: Value | None = None,
    name: str = "",
) -> tuple[list[Value], list[Span]]:
    """Build the prefix network of two numbers of equal width, bits from the lowest up.

    Args:
        m: The module to build in.
        a: Bits of the one number.
        b: Bits of the other.
        kind: Which network; not ``ripple``.
        carry: The carry in, if there is one: the lowest bit then generates what it makes of it.
        name: What the wires' names begin with.

    Returns:
        The exclusive or of each two bits, and for each bit the span of all bits up to it.
    """
    width = len(a)
    half: list[Value] = []
    generate: list[Value] = []
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        half.append(wire(m, x ^ y, f"{name}propagate_{k}"))
        both = x & y if carry is None or k else (x & y) | (half[0] & carry)
        generate.append(wire(m, both, f"{name}generate_{k}"))
    # spans[i] is that of the bits from some lower end up to i.
    spans = list(zip(generate, half, strict=True))

    def join(i: int, j: int, old: list[Span]) -> None:
        high, low = old[i], old[j]
        spans[i] = (
            wire(m, high[0] | (high[1] & low[0]), f"{name}generate_{i}_{level}"),
            wire(m, high[1] & low[1], f"{name}propagate_{i}_{level}"),
        )

    step = 1
    level = 1
    while step < width:
        old = list(spans)
        match kind:
            case "kogge_stone":
                pairs = [(i, i - step) for i in range(step, width)]
            case "sklansky":
                pairs = [(i, (i & ~(step - 1)) - 1) for i in range(width) if i & step]
            case "brent_kung":
                pairs = [(i, i - step) for i in range(2 * step - 1, width, 2 * step)]
            case "ripple":
                raise ValueError("kind must be a prefix adder, not 'ripple'")
        for i, j in pairs:
            join(i, j, old)
        step *= 2
        level += 1
    if kind == "brent_kung":  # the way back down fills in the prefixes that the way up left out
        while step > 1:
            step //= 2
            for i in range(3 * step - 1, width, 2 * step):
                join(i, i - step, list(spans))
            level += 1
    return half, spans


@dataclass
class Columns:
    """Bits to be summed, by weight: column k holds bits worth ``2**k``.

    The sum is taken modulo ``2**width``: a carry out of the last column is not built.

    Attributes:
        width: Number of columns.
        order: Seed of the order in which bits of equal arrival enter the tree; 0 keeps the order in
            which they were put in. Every order gives the same sum through different wires.
        name: What the wires' names begin with.
        balanced: Compress all columns stage by stage, which is faster, instead of one after the other,
            which is smaller.
        full_adders: Full adders used so far.
        half_adders: Half adders used so far.
    """

    width: int
    order: int = 0
    name: str = "tree"
    balanced: bool = False
    full_adders: int = 0
    half_adders: int = 0
    _bits: list[list[tuple[int, float, int, Value]]] = field(default_factory=list)
    _constant: int = 0
    _count: int = 0

    def __post_init__(self) -> None:
        self._bits = [[] for _ in range(self.width)]
        self._random = random.Random(self.order)

    def put(self, column: int, bit: Value, arrival: int = 0) -> None:
        """Add one bit worth ``2**column``; what lies beyond the width falls away."""
        if column < self.width:
            # The running number keeps the order of equals, and keeps values from being compared.
            self._count += 1
            tie = self._random.random() if self.order else 0.0
            heapq.heappush(self._bits[column], (arrival, tie, self._count, bit))

    def put_all(self, column: int, bits: Iterable[Value], arrival: int = 0) -> None:
        """Add a number, lowest bit first, whose lowest bit is worth ``2**column``."""
        for k, bit in enumerate(bits):
            self.put(column + k, bit, arrival)

    def put_constant(self, value: int) -> None:
        """Add a constant, which may be negative."""
        self._constant = (self._constant + value) % (1 << self.width)

    @property
    def bits_in(self) -> int:
        """Bits that are to be summed; less the bits of the sum, this bounds the full adders from below."""
        return sum(len(column) for column in self._bits)

    def _settle_constant(self) -> None:
        for k in range(self.width):
            if self._constant >> k & 1:
                self.put(k, Const(1), -1)
        self._constant = 0

    def _add(self, m: Module, column: int, count: int) -> None:
        """Put the `count` earliest bits of a column through a full or a half adder."""
        taken = [heapq.heappop(self._bits[column]) for _ in range(count)]
        values = [bit for *_, bit in taken]
        name = f"{self.name}_{column}_{self.full_adders + self.half_adders}"
        if count == 3:
            total, carry = full_adder(m, values[0], values[1], values[2], name)
            self.full_adders += 1
            arrival = max(taken[1][0] + _FULL, taken[2][0] + _LAST)
        else:
            total, carry = half_adder(m, values[0], values[1], name)
            self.half_adders += 1
            arrival = taken[1][0] + _HALF
        self.put(column, total, arrival)
        self.put(column + 1, carry, arrival)

    def _compress(self, m: Module, rows: int) -> None:
        """Bring every column to at most `rows` bits, from the lowest up, each whole before the next."""
        for k, column in enumerate(self._bits):
            while len(column) > rows:
                self._add(m, k, min(3, len(column)))

    def _compress_by_stages(self, m: Module, rows: int) -> None:
        """Bring every column to at most `rows` bits, all of them by a third from stage to stage."""
        heights = [rows]
        while heights[-1] < max(map(len, self._bits), default=0):
            heights.append(max(heights[-1] * 3 // 2, heights[-1] + 1))
        for height in reversed(heights[:-1]):
            for k, column in enumerate(self._bits):
                while len(column) > height:
                    # A half adder takes off one bit, a full adder two.
                    self._add(m, k, min(3, len(column) - height + 1))

    def reduce(self, m: Module, rows: int) -> list[list[Value]]:
        """Compress every column to at most `rows` bits, taking the earliest bits first.

        In each column the three bits that arrive first go into the next full adder, so late bits enter
        late (the three-greedy method of Stelling and others, 1998). A balanced tree brings all columns
        to 2, 3, 4, 6, 9, 13, ... bits in turn, from the largest such height down (Dadda, 1965). Without
        balance, two rows take no half adder; with one row, a half adder ends a column of two bits,
        which makes the sum's carry ripple.

        Args:
            m: The module to build in.
            rows: 1 or 2.

        Returns:
            For each column the bits left in it, fewer than `rows` in some.
        """
        self._settle_constant()
        if self.balanced and rows > 1:
            self._compress_by_stages(m, rows)
        else:
            self._compress(m, rows)
        return [[bit for *_, bit in sorted(column, key=lambda entry: entry[:3])] for column in self._bits]

    def carry_save(self, m: Module) -> tuple[Value, Value]:
        """Return two numbers, each `width` bits, whose sum is the sum of all bits."""
        rows = self.reduce(m, 2)
        return (
            Cat(*(bits[0] if bits else Const(0) for bits in rows)),
            Cat(*(bits[1] if len(bits) > 1 else Const(0) for bits in rows)),
        )

    def total(self, m: Module, kind: Adder) -> Value:
        """Return the sum of all bits, `width` bits, ending in an adder of that kind."""
        if kind == "ripple":
            return Cat(*(bits[0] if bits else Const(0) for bits in self.reduce(m, 1)))
        # As signals: a bit of a long Cat is walked as the whole of it, some hundred times over for each bit.
        a, b = (wire(m, row, f"{self.name}_row_{k}") for k, row in enumerate(self.carry_save(m)))
        return Cat(*add(m, list(a), list(b), Const(0), kind)[:-1])


class FinalAdder(wiring.Component):
    """Add the two numbers that a tree leaves.

    Combinational.

    Args:
        width: Width of the numbers and of their sum, which is taken modulo ``2**width``.
        adder: The kind of adder.

    Attributes:
        save, carry: The numbers.
        total: Their sum.
    """

    save: Signal
    carry: Signal
    total: Signal

    def __init__(self, *, width: int, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__({"save": In(width), "carry": In(width), "total": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.total.eq(Cat(*add(m, list(self.save), list(self.carry), Const(0), self.adder)[:-1]))
        return m


class AbsoluteAdder(wiring.Component):
    """Add the two numbers that a tree leaves, and one, and give the sum's sign and magnitude.

    With T the numbers' sum, ``|T + 1|`` is T + 1 or, where that is negative, ``-(T + 1) = ~T``. Both come
    from one prefix network: a carry into a bit is what the bits below generate or, for T + 1, also what
    they propagate. So the sign costs a multiplexer, and no carry runs a second time.

    Combinational.

    Args:
        width: Width of the numbers, and of their sum, signed. The least sum of that width does not occur.
        adder: A prefix adder.

    Attributes:
        save, carry: The numbers.
        negative: T + 1 is below zero.
        magnitude: Its magnitude.
    """

    save: Signal
    carry: Signal
    negative: Signal
    magnitude: Signal

    def __init__(self, *, width: int, adder: Adder) -> None:
        if adder == "ripple":
            raise ValueError("adder must be a prefix adder, not 'ripple'")
        self.adder: Adder = adder
        super().__init__(
            {"save": In(width), "carry": In(width), "negative": Out(1), "magnitude": Out(width - 1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half, spans = prefixes(m, list(self.save), list(self.carry), self.adder)
        below = [(Const(0), Const(1)), *spans[:-1]]
        plain = [bit ^ generate for bit, (generate, _) in zip(half, below, strict=True)]
        plus_one = [
            bit ^ (generate | propagate) for bit, (generate, propagate) in zip(half, below, strict=True)
        ]
        negative = wire(m, plus_one[-1], "is_negative")
        m.d.comb += [
            self.negative.eq(negative),
            self.magnitude.eq(Mux(negative, ~Cat(*plain[:-1]), Cat(*plus_one[:-1]))),
        ]
        return m


def put_sign_count(m: Module, columns: Columns, negative: Value, width: int) -> None:
    """Put what numbers of some width lack that were inverted where they are negative: see `SumOfProducts`.

    Args:
        m: The module to build in.
        columns: The tree.
        negative: The numbers' signs.
        width: The numbers' width.
    """
    count_width = len(negative).bit_length()
    signs = Columns(count_width, order=columns.order, name="signs")
    for sign in negative:
        signs.put(0, sign)
    count = list(wire(m, signs.total(m, "ripple"), "negative_count"))
    columns.put_all(0, count)
    # -c * 2**W is (~c + 1) * 2**W with ones above the count, all of it modulo what the tree holds.
    columns.put_all(width, [~bit for bit in count])
    columns.put_constant((1 - (1 << count_width)) << width)
    columns.full_adders += signs.full_adders
    columns.half_adders += signs.half_adders


class SumOfProducts(wiring.Component):
    """Add signed products given as sign and magnitude, to two numbers in carry-save form.

    With s the sign of a lane and p its magnitude of W bits, the lane's value is
    ``(p ^ s) + s - s * 2**W``, where ``p ^ s`` inverts every bit of p if s is set. Summed over the lanes,
    the last two terms are ``c * (1 - 2**W)`` with c the number of negative lanes: one count of the signs
    replaces two more bits in the tree for each lane. A balanced tree takes those bits all the same, as
    signs come early and the count would come late.

    Of ``2**k`` lanes the last is negated instead. Then ``2**k - 1`` signs are counted, and every column has
    an odd number of bits: no half adder is left in the count or in the tree, and one at the top of a rippling
    adder behind it.

    Combinational.

    Args:
        lanes: Number of products.
        magnitude_bits: Width of a magnitude.
        sum_bits: Width of the sum, signed; wide enough for every sum that can occur, as the sum is
            taken modulo ``2**sum_bits``.
        offset: A constant that is added.
        balanced: Prefer few levels to few gates.
        order: Seed of the order in which bits enter the tree; changes no sum.

    Attributes:
        negative: Lane k's sign is bit k.
        magnitude: Lane k's magnitude is at bits ``[magnitude_bits * k, magnitude_bits * (k + 1))``.
        save, carry: The sum, as two numbers to be added modulo ``2**sum_bits``.
    """

    negative: Signal
    magnitude: Signal
    save: Signal
    carry: Signal

    def __init__(
        self,
        *,
        lanes: int,
        magnitude_bits: int,
        sum_bits: int,
        offset: int = 0,
        balanced: bool = False,
        order: int = 0,
    ) -> None:
        self.lanes = lanes
        self.magnitude_bits = magnitude_bits
        self.sum_bits = sum_bits
        self.offset = offset
        self.balanced = balanced
        self.order = order
        super().__init__(
            {
                "negative": In(lanes),
                "magnitude": In(lanes * magnitude_bits),
                "save": Out(sum_bits),
                "carry": Out(sum_bits),
            }
        )

    @property
    def _inverted(self) -> int:
        """How many lanes are inverted where they are negative: the last of 2**k is negated instead."""
        alone = not self.balanced and self.lanes > 1 and self.lanes.bit_count() == 1
        return self.lanes - 1 if alone else self.lanes

    def _magnitude(self, lane: int) -> Value:
        return self.magnitude.word_select(lane, self.magnitude_bits)

    def columns(self, m: Module) -> Columns:
        """Return the tree's bits, before anything is compressed."""
        columns = Columns(self.sum_bits, order=self.order, balanced=self.balanced)
        columns.put_constant(self.offset)
        # The products take some six XOR gates' time, and their inversion another.
        arrival = 6 if self.balanced else 0
        for k in range(self._inverted):
            lane = wire(m, self._magnitude(k) ^ repeat(self.negative[k], self.magnitude_bits), f"lane_{k}")
            columns.put_all(0, lane, arrival)
        if self.balanced:
            for sign in self.negative:
                columns.put(0, sign)
                # -s * 2**W is ~s * 2**W - 2**W.
                columns.put(self.magnitude_bits, ~sign)
            columns.put_constant(-self.lanes << self.magnitude_bits)
            return columns
        # A magnitude is behind its lane's product and the inversion, the sign count behind its adders:
        # about level, so only bits that are made inside the tree are told apart by time.
        put_sign_count(m, columns, self.negative[: self._inverted], self.magnitude_bits)
        if self._inverted < self.lanes:
            magnitude, sign = self._magnitude(self._inverted), self.negative[self._inverted]
            name = f"lane_{self._inverted}"
            columns.put_all(0, wire(m, negated_if(m, magnitude, sign, name), name))
            # -s * 2**W is ~s * 2**W - 2**W; a zero has no sign.
            columns.put(self.magnitude_bits, ~wire(m, sign & magnitude.any(), f"{name}_below_zero"))
            columns.put_constant(-1 << self.magnitude_bits)
        return columns

    def elaborate(self, platform: object) -> Module:
        m = Module()
        save, carry = self.columns(m).carry_save(m)
        m.d.comb += [self.save.eq(save), self.carry.eq(carry)]
        return m
