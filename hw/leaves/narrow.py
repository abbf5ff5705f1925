"""From binary32 to a format of 16 bits."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.aligned_sum import FloatFields
from ..hierarchy import add_submodule
from .bits import repeat, shift_right_sticky, wire
from .round import BIAS, BINARY32, FRACTION_BITS, Round

__all__ = ["Narrow"]


class Narrow(wiring.Component):
    """Round a binary32 number to a narrower format, ties to even; its NaN is the quiet one.

    Combinational. Where the format has the exponents of binary32, a number is rounded where it stands, as its
    subnormals are those of binary32 with fewer bits. Else one below the least normal number is shifted first.

    Args:
        target: The fields of the format: no more exponent bits than binary32 has, and fewer fraction bits by
            two at least.

    Attributes:
        number: binary32.
        result: The number in the format.
    """

    number: Signal
    result: Signal

    def __init__(self, target: FloatFields) -> None:
        self.target = target
        super().__init__({"number": In(BINARY32.bits), "result": Out(target.bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fraction, field = self.number[:FRACTION_BITS], self.number[FRACTION_BITS:-1]
        top = wire(m, field.all(), "top")
        some = wire(m, fraction.any(), "some")
        placed_fraction: Value = fraction
        placed_field: Value = field
        below_zero = BIAS - self.target.bias
        if below_zero:
            # How far the hidden bit stands below that of the least normal number.
            depth = Signal(signed(len(field) + 1), name="depth")
            m.d.comb += depth.eq(below_zero + 1 - field)
            below = wire(m, ~depth[-1] & depth.any(), "below")
            distance = wire(m, depth[:-1] & repeat(below, len(field)), "distance")
            shifted, lost = shift_right_sticky(m, Cat(fraction, field.any()), distance)
            placed_fraction = Cat(shifted[0] | lost, shifted[1:FRACTION_BITS])
            placed_field = Mux(below, Const(0), (field - below_zero)[: len(field)])
        rounding = Round(
            fraction_bits=FRACTION_BITS,
            field_bits=len(field),
            overflow=True,
            infinite=True,
            target=self.target,
        )
        add_submodule(m, platform, "round", rounding)
        m.d.comb += [
            rounding.negative.eq(self.number[-1]),
            rounding.fraction.eq(placed_fraction),
            rounding.field.eq(placed_field),
            # A zero keeps its sign.
            rounding.nonzero.eq(1),
            rounding.nan.eq(top & some),
            rounding.infinite.eq(top & ~some),
            self.result.eq(rounding.result),
        ]
        return m
