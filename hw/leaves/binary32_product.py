"""The product of two binary32 numbers: each taken apart, and their significands' product put in its place."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bits import normalise, repeat, shift_right_sticky, wire
from .round import BINARY32, FRACTION_BITS

__all__ = ["EXPONENT_BITS", "FIELD_BITS", "PRODUCT_BITS", "NormaliseProduct", "ReadFactor"]

EXPONENT_BITS = 9
"""Width of the exponent of a number that was read: from -22, of the least subnormal one, to 255, signed."""

FIELD_BITS = 10
"""Width of the product's exponent, signed: from -22 - 22 - 127 to 255 + 255 - 127."""

PRODUCT_BITS = FRACTION_BITS + 3
"""Bits of the product that can be in the result, or the one below it: 2 before the point, 24 behind."""


class ReadFactor(wiring.Component):
    """Take a binary32 number apart, and bring a subnormal one's top bit to the top.

    Combinational. So that the product of two of them has its top bit at one of two places: nothing of it has
    to be counted.

    Args:
        subnormal: Whether the number can be a subnormal one.
        infinite: Whether it can be infinite.

    Attributes:
        number: binary32.
        negative: Its sign.
        exponent: The biased exponent of its top bit, signed: 0 and below for a subnormal number. Without
            meaning where the number is zero, infinite or NaN.
        significand: 24 bits, the top one set; 0 for zero. Of what is infinite or NaN the top one is set too.
        zero: It is zero.
        nan: It is NaN.
        infinite: It is infinite; no such port where it cannot be.
    """

    number: Signal
    negative: Signal
    exponent: Signal
    significand: Signal
    zero: Signal
    nan: Signal
    infinite: Signal

    def __init__(self, *, subnormal: bool, infinite: bool) -> None:
        self.subnormal = subnormal
        super().__init__(
            {
                "number": In(BINARY32.bits),
                "negative": Out(1),
                "exponent": Out(signed(EXPONENT_BITS)),
                "significand": Out(FRACTION_BITS + 1),
                "zero": Out(1),
                "nan": Out(1),
                **({"infinite": Out(1)} if infinite else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fraction, field = self.number[:FRACTION_BITS], self.number[FRACTION_BITS:-1]
        normal = wire(m, field.any(), "normal")
        top = wire(m, field.all(), "top")
        significand: Value = Cat(fraction, normal)
        exponent: Value = field
        if self.subnormal:
            # The field is 0 then, and that of the fraction's topmost bit; each zero above it takes one off.
            shifted, zeros = normalise(m, fraction)
            significand = Mux(normal, significand, Cat(Const(0, 1), shifted))
            exponent = Mux(normal, field, -zeros)
        m.d.comb += [
            self.negative.eq(self.number[-1]),
            self.exponent.eq(exponent),
            self.significand.eq(significand),
            self.zero.eq(~self.significand[-1]),
        ]
        if "infinite" in self.signature.members:
            some = wire(m, fraction.any(), "some")
            m.d.comb += [self.nan.eq(top & some), self.infinite.eq(top & ~some)]
        else:
            m.d.comb += self.nan.eq(top)
        return m


class NormaliseProduct(wiring.Component):
    """Bring the product of two significands to the position that binary32 gives it.

    Combinational. The top bits of both are set, so the product's is one of its two highest. A number below
    the least normal one is shifted right by a distance that is known from the exponents alone: before the
    product is there. It can have no bit left in the highest place then, so that the choice between the two
    comes behind the shift, on the bits that are kept.

    Args:
        product_bits: Width of the product.

    Attributes:
        product: The product, 0 if it is zero.
        exponent: The biased exponent of the second highest bit, signed.
        fraction: 23 bits behind the hidden one, the guard bit below them, and a sticky bit.
        field: The biased exponent; 0 for zero and the subnormals; 255 and above where the product is too
            large.
    """

    product: Signal
    exponent: Signal
    fraction: Signal
    field: Signal

    def __init__(self, product_bits: int) -> None:
        super().__init__(
            {
                "product": In(product_bits),
                "exponent": In(signed(FIELD_BITS)),
                "fraction": Out(FRACTION_BITS + 2),
                # The sign is told before: what is left is at most 255 + 255 - 127 + 1.
                "field": Out(FIELD_BITS - 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        padding = max(PRODUCT_BITS - len(self.product), 0)
        lowest = len(self.product) + padding - PRODUCT_BITS
        kept = Cat(Const(0, padding), self.product[lowest:])
        below = wire(m, (self.exponent[-1] | ~self.exponent.any()), "below")
        # The least exponent is -171: at most 172 places. A distance that takes more digits than those of the
        # bits kept counts as the largest of so many digits, which shifts them all out as well.
        digits = PRODUCT_BITS.bit_length()
        wide = wire(m, (1 - self.exponent)[: (172).bit_length()], "wide_distance")
        far = wire(m, wide[digits:].any(), "far")
        distance = wire(m, (wide[:digits] | repeat(far, digits)) & repeat(below, digits), "distance")
        placed, lost = shift_right_sticky(m, kept, distance)
        high, hidden = placed[-1], placed[-2]
        sticky = wire(m, lost | self.product[:lowest].any() | (high & placed[0]), "sticky")
        field = wire(m, (self.exponent + high)[: FIELD_BITS - 1], "field_above")
        some = wire(m, high | hidden, "normal")
        m.d.comb += [
            self.fraction.eq(Cat(sticky, Mux(high, placed[1:-1], placed[:-2]))),
            self.field.eq(Mux(below, Cat(hidden), field & repeat(some, len(field)))),
        ]
        return m
