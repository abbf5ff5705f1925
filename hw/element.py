"""The product of two elements, as sign and magnitude."""

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.formats import Format
from .bits import wire

__all__ = ["ElementProduct", "product_bits", "require_supported"]


def require_supported(*elements: Format) -> None:
    """Raise ValueError unless there is hardware for elements of these formats."""
    for fmt in elements:
        if fmt.name != "e2m1":
            raise ValueError(f"element must be e2m1 in hardware, not {fmt.name!r}")


def product_bits(a_format: Format, b_format: Format) -> int:
    """Return the width of the largest product of magnitudes, as an integer of the products' quantum."""
    largest = 1
    for fmt in (a_format, b_format):
        significand, exponent = fmt.split(fmt.codes)
        largest *= int((abs(significand) << (exponent - fmt.quantum_exponent)).max())
    return largest.bit_length()


class ElementProduct(wiring.Component):
    """Multiply two ``e2m1`` codes exactly.

    A magnitude is ``significand * 2**shift`` halves, with the significand's two bits {E > 0, M} and the
    shift max(E, 1) - 1 from 0 to 2. The significands' product (at most 9) is one of {0, 1, 2, 3, 4, 6, 9},
    and is shifted by the sum of the shifts: 12 * 12 = 144 quarters at most, 8 bits.

    Combinational.

    Members:
        a, b: The codes.
        negative: The exclusive or of the signs, whatever the magnitude.
        magnitude: The product's magnitude in quarters.
    """

    def __init__(self, a_format: Format, b_format: Format) -> None:
        require_supported(a_format, b_format)
        self.magnitude_bits = product_bits(a_format, b_format)
        super().__init__(
            {
                "a": In(a_format.bits),
                "b": In(b_format.bits),
                "negative": Out(1),
                "magnitude": Out(self.magnitude_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a_normal, b_normal = self.a[1:3].any(), self.b[1:3].any()
        a_mantissa, b_mantissa = self.a[0], self.b[0]
        # The two-by-two product, by hand: at most 9, so the top bit excludes the two middle ones.
        cross = a_normal & b_mantissa
        cross_other = a_mantissa & b_normal
        both = a_mantissa & b_mantissa
        top = a_normal & b_normal
        value: Value = wire(m, Cat(both, cross ^ cross_other, top & ~both, top & both), "product")
        for name, code in (("a", self.a), ("b", self.b)):
            # The exponent shifts by one (E = 2) or by two (E = 3).
            by_one, by_two = code[2] & ~code[1], code[2] & code[1]
            choices = Mux(
                by_two,
                Cat(Const(0, 2), value),
                Mux(by_one, Cat(Const(0, 1), value, Const(0, 1)), Cat(value, Const(0, 2))),
            )
            value = wire(m, choices, f"shifted_{name}")
        m.d.comb += [self.negative.eq(self.a[3] ^ self.b[3]), self.magnitude.eq(value)]
        return m
