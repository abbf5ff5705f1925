"""What adds one group to the sum so far, in one cycle: binary32 addition, or fixed point."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bits import normalise, repeat, shift_right_sticky, wire
from .compressor import Adder, add
from .hierarchy import place
from .round import FRACTION_BITS, Round

__all__ = ["Binary32Adder", "WindowAdder"]


class Binary32Adder(wiring.Component):
    """Add two binary32 numbers: IEEE 754, ties to even, subnormals kept.

    Combinational. Every NaN is 0x7FC00000. The operand of larger magnitude goes first, so that the
    difference of significands is never negative; the other is shifted right, keeping a guard, a round
    and a sticky bit. Bits are lost only by a shift of two or more, and a difference then has at most one
    leading zero, so the sticky bit never comes to stand above the rounding position.

    Args:
        adder: The significand adder.

    Members:
        a, b: The numbers.
        result: Their sum.
    """

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
        aligned, sticky = shift_right_sticky(m, Cat(Const(0, 2), small_significand), distance)
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
        place(m, platform, "round", rounder)
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


class WindowAdder(wiring.Component):
    """Add a group's window to the exact accumulator.

    Combinational.

    Args:
        window_bits: Width of the window, signed.
        accumulator_bits: Width of the accumulator, signed.
        adder: The adder.

    Members:
        accumulator: The sum so far.
        window: What is added.
        result: Their sum, modulo ``2**accumulator_bits``.
    """

    def __init__(self, *, window_bits: int, accumulator_bits: int, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__(
            {
                "accumulator": In(signed(accumulator_bits)),
                "window": In(signed(window_bits)),
                "result": Out(signed(accumulator_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        guard = len(self.result) - len(self.window)
        extended = Cat(self.window, repeat(self.window[-1], guard)) if guard else self.window
        total = add(m, list(self.accumulator), list(extended), Const(0), self.adder)
        m.d.comb += self.result.eq(Cat(*total[:-1]))
        return m
