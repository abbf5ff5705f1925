"""Adders of two binary32 numbers: a small one, and one of little depth."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import (
    barrel_left,
    count_leading_zeros,
    last_digit,
    leading_digits,
    normalise,
    repeat,
    shift_right_sticky,
    wire,
)
from ..leaves.compressor import Adder, add, prefixes
from ..leaves.round import FRACTION_BITS, Round

__all__ = ["Binary32Adder", "TwoPathAdder"]


class Binary32Adder(wiring.Component):
    """Add two binary32 numbers: IEEE 754, ties to even, subnormals kept.

    Combinational. Every NaN is 0x7FC00000. The operand of larger magnitude goes first, so that the
    difference of significands is never negative; the other is shifted right, keeping a guard, a round
    and a sticky bit. Bits are lost only by a shift of two or more, and a difference then has at most one
    leading zero, so the sticky bit never comes to stand above the rounding position.

    Args:
        adder: The significand adder.

    Attributes:
        a, b: The numbers.
        result: Their sum.
    """

    a: Signal
    b: Signal
    result: Signal

    def __init__(self, *, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__({"a": In(32), "b": In(32), "result": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        swap = wire(m, self.a[:31] < self.b[:31], "swap")
        large = wire(m, Mux(swap, self.b, self.a), "larger")
        small = wire(m, Mux(swap, self.a, self.b), "smaller")

        def unpack(number: Value) -> tuple[Value, Value]:
            """Significand with its hidden bit, and an exponent that is 1 for the subnormals."""
            field = number[FRACTION_BITS:31]
            normal = field.any()
            return Cat(number[:FRACTION_BITS], normal), Cat(field[0] | ~normal, field[1:])

        significand, exponent = unpack(large)
        small_significand, small_exponent = unpack(small)
        distance = wire(m, (exponent - small_exponent)[:8], "distance")
        aligned, sticky = shift_right_sticky(m, Cat(Const(0, 2), small_significand), distance, saturate=True)
        subtract = wire(m, self.a[31] ^ self.b[31], "subtract")
        width = FRACTION_BITS + 1 + 3
        addend = wire(m, Cat(sticky, aligned) ^ repeat(subtract, width), "addend")
        total = add(m, list(Cat(Const(0, 3), significand)), list(addend), subtract, self.adder)
        # The carry out counts only for a sum. A difference's carry says that it is not negative.
        magnitude = wire(m, Cat(*total[:-1], total[-1] & ~subtract), "magnitude")
        # From the top bit, worth one exponent more than the larger operand, at most `exponent` places:
        # what is then still not normal is a subnormal as it is stored.
        shifted, count = normalise(m, magnitude, exponent)
        rounder = Round(fraction_bits=width, field_bits=9, overflow=True)
        add_submodule(m, platform, "round", rounder)
        infinite = [number[FRACTION_BITS:31].all() for number in (self.a, self.b)]
        nan = [
            every & number[:FRACTION_BITS].any()
            for every, number in zip(infinite, (self.a, self.b), strict=True)
        ]
        any_infinite = infinite[0] | infinite[1]
        field = Signal(9, name="top_bit_field")
        zero = ~magnitude.any()
        m.d.comb += [
            field.eq((exponent + 1) - count),
            # An exact zero is +0, unless both operands are -0.
            rounder.negative.eq(Mux(zero, self.a[31] & self.b[31], large[31])),
            rounder.nonzero.eq(1),
            rounder.fraction.eq(shifted[:-1]),
            rounder.field.eq((field & repeat(shifted[-1], 9)) | Cat(repeat(any_infinite, 8), Const(0, 1))),
            rounder.nan.eq(nan[0] | nan[1] | (infinite[0] & infinite[1] & subtract)),
            self.result.eq(rounder.result),
        ]
        return m


class TwoPathAdder(wiring.Component):
    """Add two binary32 numbers as `Binary32Adder` does, in less time.

    Two paths run side by side (Farmwald, 1981). Where exponents are near and signs differ, digits may
    cancel: a difference of operands that are shifted by at most one place is normalised, and is exact.
    Everything else is aligned by any distance, but moves by at most one place afterwards, and is rounded:
    one prefix network gives the sum U of the upper bits and U + 1, and rounding takes one of the two.
    That U + 1 always suffices, also where the sum moves down by one place, is since it then rounds up only
    if the bit that leaves is set.

    Combinational. That one of the operands is to be the result is told early, and chosen together with
    everything else: neither a mask before the addition nor a multiplexer behind it takes time of its own.

    Args:
        adder: A prefix adder.

    Attributes:
        a: One number.
        a_normal: Its hidden bit: its exponent field is not zero. Who made it knew that before the field was
            there. Without meaning for NaN and infinity.
        b_negative, b_fraction, b_field: The fields of the other.
        b_normal: Its hidden bit.
        b_nan, b_infinite: It is NaN, or infinite, whatever the other members say.
        first: The result is b, and a has no meaning.
        hold: The result is a as it stands, whatever the rest.
        result: The sum; every NaN is 0x7FC00000.
        normal: Its hidden bit.
    """

    a: Signal
    a_normal: Signal
    b_negative: Signal
    b_fraction: Signal
    b_field: Signal
    b_normal: Signal
    b_nan: Signal
    b_infinite: Signal
    first: Signal
    hold: Signal
    result: Signal
    normal: Signal

    def __init__(self, *, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__(
            {
                "a": In(32),
                "a_normal": In(1),
                "b_negative": In(1),
                "b_fraction": In(FRACTION_BITS),
                "b_field": In(8),
                "b_normal": In(1),
                "b_nan": In(1),
                "b_infinite": In(1),
                "first": In(1),
                "hold": In(1),
                "result": Out(32),
                "normal": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a_fraction, a_field = self.a[:FRACTION_BITS], self.a[FRACTION_BITS:31]
        a_top = wire(m, a_field.all(), "a_top")
        a_some = wire(m, a_fraction.any(), "a_some")
        a = _Operand(
            negative=self.a[31],
            significand=Cat(a_fraction, self.a_normal),
            exponent=_exponent(m, a_field, self.a_normal, "a"),
            nan=wire(m, a_top & a_some & ~self.first, "a_nan"),
            infinite=wire(m, a_top & ~a_some & ~self.first, "a_infinite"),
        )
        b = _Operand(
            negative=self.b_negative,
            significand=Cat(self.b_fraction, self.b_normal),
            exponent=_exponent(m, self.b_field, self.b_normal, "b"),
            nan=self.b_nan,
            infinite=self.b_infinite,
        )
        subtract = wire(m, a.negative ^ b.negative, "subtract")
        far = self._far(m, a, b, subtract)
        near = self._near(m, a, b, subtract)
        added = wire(m, ~(self.first | self.hold), "added")
        infinite = wire(m, a.infinite | b.infinite | (added & far.infinite), "infinite")
        nan = wire(m, a.nan | b.nan | (a.infinite & b.infinite & subtract), "nan")
        choose = wire(m, near.chosen, "cancels")
        number = wire(m, ~(infinite | nan), "number")
        # All that the result can be side by side: what tells which of them it is comes last.
        started, near_added, far_added = self.first & ~self.hold, added & choose, added & ~choose
        ways = [
            (self.hold, a_fraction),
            (number & started, self.b_fraction),
            *((number & near_added & select, fraction) for select, fraction in near.ways),
            *((number & far_added & select, fraction) for select, fraction in far.ways),
            (nan & ~self.hold, Const(1 << (FRACTION_BITS - 1), FRACTION_BITS)),
        ]
        special = ~number & ~self.hold
        special_sign = Mux(a.infinite, a.negative, b.negative)
        m.d.comb += [
            self.result.eq(
                Cat(
                    _chosen(m, ways, "fraction"),
                    _chosen(
                        m,
                        [
                            (self.hold, a_field),
                            (started, self.b_field),
                            (near_added, near.field),
                            (far_added, far.field),
                            (special, Const(255, 8)),
                        ],
                        "field",
                    ),
                    _chosen(
                        m,
                        [
                            (self.hold, a.negative),
                            (special & ~nan, special_sign),
                            (number & started, b.negative),
                            (number & near_added, near.negative),
                            (number & far_added, far.negative),
                        ],
                        "sign",
                    ),
                )
            ),
            self.normal.eq(
                _chosen(
                    m,
                    [
                        (self.hold, self.a_normal),
                        (started, self.b_normal),
                        (near_added, near.normal),
                        (far_added, far.normal),
                    ],
                    "normal",
                )
            ),
        ]
        return m

    def _far(self, m: Module, a: "_Operand", b: "_Operand", subtract: Value) -> "_Path":
        # Both operands are aligned, each in case it is the smaller one: a shift then starts with the lowest
        # digit of a difference of exponents, and does not wait for its sign.
        forth = wire(m, (a.exponent - b.exponent)[:9], "a_over_b")
        back = wire(m, (b.exponent - a.exponent)[:8], "b_over_a")
        swap = wire(m, forth[8], "b_is_larger")
        a_aligned, a_sticky = shift_right_sticky(m, Cat(Const(0, 2), a.significand), back, "a_")
        b_aligned, b_sticky = shift_right_sticky(m, Cat(Const(0, 2), b.significand), forth[:8], "b_")
        aligned = wire(m, Mux(swap, a_aligned, b_aligned), "aligned")
        sticky = wire(m, Mux(swap, a_sticky, b_sticky), "sticky")
        large = wire(m, Mux(swap, b.significand, a.significand), "larger")
        exponent = wire(m, Mux(swap, b.exponent, a.exponent), "far_exponent")
        # What lies below the larger operand's last bit: half an ulp, a quarter, and anything below that.
        quarter, half = aligned[0], aligned[1]
        none = wire(m, ~(half | quarter | sticky), "nothing_below")
        # A difference has their complement, and one is taken from above unless there is nothing.
        quarter_left = wire(m, quarter ^ (subtract & sticky), "quarter")
        half_left = wire(m, half ^ (subtract & (quarter | sticky)), "half")
        addend = wire(m, aligned[2:] ^ repeat(subtract, FRACTION_BITS + 1), "addend")
        halves, spans = prefixes(m, list(large), list(addend), self.adder)
        below = [(Const(0), Const(1)), *spans]
        plain = wire(
            m,
            Cat(*(x ^ g for x, (g, _) in zip(halves, below, strict=False)), spans[-1][0]),
            "upper",
        )
        plus_one = wire(
            m,
            Cat(
                *(x ^ (g | p) for x, (g, p) in zip(halves, below, strict=False)), spans[-1][0] | spans[-1][1]
            ),
            "upper_plus_one",
        )
        last, more = plain[0], wire(m, quarter_left | sticky, "more")
        # Whether to round up, in each case of what comes last: the sum's carry, or the difference's top bit.
        # Where the top bit has gone, the half is the last bit and a quarter is half of it.
        half_up = wire(m, quarter_left & (sticky | half_left), "half_up")
        up_if_carry = wire(m, last & (plain[1] | ~none), "up_if_carry")
        up_if_none = wire(m, half & (more | last), "up_if_no_carry")
        up_if_top = wire(m, none | (half_left & (more | last)), "up_if_top")
        up_if_gone = wire(m, none | (half_left & half_up), "up_if_gone")
        carry, top = plain[-1], plain[-2]
        carry_one, top_one = plus_one[-1], plus_one[-2]
        stays = wire(
            m,
            Mux(subtract, top & ~up_if_top, ~carry & ~up_if_none),
            "stays",
        )
        stays_one = wire(
            m,
            Mux(
                subtract,
                (top & up_if_top) | (~top & up_if_gone & top_one),
                ~carry & up_if_none & ~carry_one,
            ),
            "stays_plus_one",
        )
        down = wire(m, ~subtract & carry & ~up_if_carry, "moves_down")
        down_one = wire(
            m,
            ~subtract & ((carry & up_if_carry) | (~carry & up_if_none & carry_one)),
            "moves_down_plus_one",
        )
        up = wire(m, subtract & ~top & ~up_if_gone, "moves_up")
        up_one = wire(m, subtract & ~top & up_if_gone & ~top_one, "moves_up_plus_one")
        below_last = half_left ^ half_up
        # A subnormal sum has exponent 1 and no top bit, and so field 0; nothing of it is rounded.
        subnormal = wire(m, ~subtract & ~carry & ~top, "subnormal")
        any_down = wire(m, down | down_one, "one_more")
        less = wire(m, up | up_one | subnormal, "one_less")
        next_field = wire(m, (exponent + 1)[:8], "next_exponent")
        field = Mux(any_down, next_field, Mux(less, (exponent - 1)[:8], exponent))
        return _Path(
            chosen=Const(0),
            negative=Mux(swap, b.negative, a.negative),
            ways=(
                (stays, plain[:FRACTION_BITS]),
                (stays_one, plus_one[:FRACTION_BITS]),
                (down, plain[1 : FRACTION_BITS + 1]),
                (down_one, plus_one[1 : FRACTION_BITS + 1]),
                (up, Cat(below_last, plain[: FRACTION_BITS - 1])),
                (up_one, Cat(below_last, plus_one[: FRACTION_BITS - 1])),
            ),
            field=field,
            # The top bit of a difference leaves only where a normal number has room to lose it.
            normal=~subnormal,
            infinite=any_down & next_field.all(),
        )

    def _near(self, m: Module, a: "_Operand", b: "_Operand", subtract: Value) -> "_Path":
        # All three differences of operands at most one place apart are made at once. Two digits of the
        # exponents tell which of them is the one, if they are known to be that near.
        low = wire(m, (a.exponent[:2] - b.exponent[:2])[:2], "near_distance")
        a_above, b_above = wire(m, low == 1, "a_above"), wire(m, low == 3, "b_above")
        a_high, a_low = Cat(Const(0, 1), a.significand), Cat(a.significand, Const(0, 1))
        b_high, b_low = Cat(Const(0, 1), b.significand), Cat(b.significand, Const(0, 1))
        level, level_digits, negative = self._difference(m, a_high, b_high, "level")
        above, above_digits, _ = self._difference(m, a_high, b_low, "above")
        below, below_digits, _ = self._difference(m, b_high, a_low, "below")

        def choose(of_level: Value, of_above: Value, of_below: Value, name: str) -> Value:
            width = len(of_level)
            return wire(
                m,
                (of_level & repeat(~(a_above | b_above), width))
                | (of_above & repeat(a_above, width))
                | (of_below & repeat(b_above, width)),
                name,
            )

        magnitude = choose(level, above, below, "difference")
        exponent = wire(m, Mux(b_above, b.exponent, a.exponent), "near_exponent")
        # A digit where the exponent ends keeps a subnormal difference from being shifted further.
        a_stop, b_stop = (
            wire(m, last_digit(one.exponent, len(a_high)), f"{name}_stop")
            for name, one in (("a", a), ("b", b))
        )
        digits = choose(level_digits | a_stop, above_digits | a_stop, below_digits | b_stop, "digits")
        places = wire(m, count_leading_zeros(m, digits)[0], "places")
        limited = wire(m, places == (exponent - 1)[:8], "near_limited")
        counted = barrel_left(m, magnitude, places)
        one_more = wire(m, ~(limited | counted[-1]), "one_more")
        shifted = wire(m, Mux(one_more, Cat(Const(0, 1), counted[:-1]), counted), "near_shifted")
        highest = wire(m, (exponent - places)[:8], "near_exponent_left")
        field = Mux(one_more, (highest - 1)[:8], highest) & repeat(shifted[-1], 8)
        # Exponents no more than one apart, by their difference; equal ones, or the top digit cancels.
        equal = a.exponent == b.exponent
        close = (
            equal
            | (a_above & (a.exponent == (b.exponent + 1)))
            | (b_above & ((a.exponent + 1) == b.exponent))
        )
        return _Path(
            chosen=subtract & wire(m, close, "close") & (equal | ~magnitude[-1]),
            negative=Mux(b_above, b.negative, a.negative ^ (negative & ~a_above)) & magnitude.any(),
            ways=((Const(1), shifted[1:-1]),),
            field=field,
            normal=shifted[-1],
            infinite=Const(0),
        )

    def _difference(self, m: Module, a: Value, b: Value, name: str) -> tuple[Value, Value, Value]:
        """Return ``|a - b|``, the digits that tell where it begins, and whether it was negative."""
        halves, spans = prefixes(m, list(a), [~bit for bit in b], self.adder, name=f"{name}_")
        below = [(Const(0), Const(1)), *spans[:-1]]
        negative = wire(m, ~(spans[-1][0] | spans[-1][1]), f"{name}_negative")
        magnitude = Mux(
            negative,
            ~Cat(*(x ^ g for x, (g, _) in zip(halves, below, strict=True))),
            Cat(*(x ^ (g | p) for x, (g, p) in zip(halves, below, strict=True))),
        )
        # Above the top digits stand a zero of a and a one of b's complement.
        digits = leading_digits(m, a, ~b, Const(1), f"{name}_")
        return wire(m, magnitude, f"{name}_magnitude"), digits, negative


@dataclass(frozen=True)
class _Operand:
    """A binary32 number taken apart: the significand with its hidden bit, an exponent of 1 for subnormals."""

    negative: Value
    significand: Value
    exponent: Value
    nan: Value
    infinite: Value


@dataclass(frozen=True)
class _Path:
    """What one path of an adder gives, and whether it is the one that counts.

    The fraction is given as all that it can be, each with what tells that it is this one.
    """

    chosen: Value
    negative: Value
    ways: tuple[tuple[Value, Value], ...]
    field: Value
    normal: Value
    infinite: Value


def _chosen(m: Module, ways: Sequence[tuple[Value, Value]], name: str) -> Value:
    """Return the value whose bit is set, of several of equal width with a bit each."""
    width = len(ways[0][1])
    parts = [
        repeat(wire(m, select, f"{name}_is_{k}"), width) & value for k, (select, value) in enumerate(ways)
    ]
    return Cat(*(Cat(*bits).any() for bits in zip(*parts, strict=True)))


def _exponent(m: Module, field: Value, normal: Value, name: str) -> Value:
    return wire(m, Cat(field[0] | ~normal, field[1:]), f"{name}_exponent")
