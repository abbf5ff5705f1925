"""A block's term: its sum of products times the significand of its scales, and where it stands."""

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bits import repeat, wire
from .compressor import Adder, Columns

__all__ = ["Magnitude", "MagnitudeTerm", "SignedTerm", "WindowShift"]


class MagnitudeTerm(wiring.Component):
    """Multiply a signed sum by a scale significand, giving sign and magnitude.

    A negative sum is inverted bit by bit; the one that its negation still lacks is worth one significand
    in the product, so it enters the multiplier's tree as one more row instead of passing through an
    incrementer of the sum's width.

    Combinational.

    Args:
        sum_bits: Width of the sum, signed.
        significand_bits: Width of the scale significand.
        magnitude_bits: Width of the product's magnitude: wide enough for every product that can occur.
        adder: The adder at the end of the tree.
        order: Seed of the order in which bits enter the tree; changes no product.

    Members:
        total: The sum.
        significand: The scale significand.
        negative: The sum is below zero.
        magnitude: The product's magnitude.
    """

    def __init__(
        self, *, sum_bits: int, significand_bits: int, magnitude_bits: int, adder: Adder, order: int = 0
    ) -> None:
        self.magnitude_bits = magnitude_bits
        self.adder: Adder = adder
        self.order = order
        super().__init__(
            {
                "total": In(signed(sum_bits)),
                "significand": In(significand_bits),
                "negative": Out(1),
                "magnitude": Out(magnitude_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        negative = self.total[-1]
        # |total| reaches 2**(sum_bits - 1) for no sum of products, so its magnitude is one bit narrower.
        inverted = wire(m, self.total[:-1] ^ repeat(negative, len(self.total) - 1), "inverted")
        columns = Columns(self.magnitude_bits, order=self.order)
        for i, bit in enumerate(self.significand):
            columns.put_all(i, [bit & other for other in inverted])
        columns.put_all(0, [negative & bit for bit in self.significand])
        m.d.comb += [self.negative.eq(negative), self.magnitude.eq(columns.total(m, self.adder))]
        return m


class SignedTerm(wiring.Component):
    """Multiply a signed sum by a scale significand, in two's complement.

    Combinational. The sum's top bit has negative weight: with x one of its partial products,
    ``-x * 2**k`` is ``~x * 2**k - 2**k``, and the constants add up to one (Baugh and Wooley, 1973).

    Args:
        sum_bits: Width of the sum, signed.
        significand_bits: Width of the scale significand.
        term_bits: Width of the product, signed: wide enough for every product that can occur.
        adder: The adder at the end of the tree.
        order: Seed of the order in which bits enter the tree; changes no product.

    Members:
        total: The sum.
        significand: The scale significand.
        term: The product.
    """

    def __init__(
        self, *, sum_bits: int, significand_bits: int, term_bits: int, adder: Adder, order: int = 0
    ) -> None:
        self.term_bits = term_bits
        self.adder: Adder = adder
        self.order = order
        super().__init__(
            {
                "total": In(signed(sum_bits)),
                "significand": In(significand_bits),
                "term": Out(signed(term_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = Columns(self.term_bits, order=self.order)
        top = len(self.total) - 1
        for i, bit in enumerate(self.significand):
            columns.put_all(i, [bit & other for other in self.total[:top]])
            columns.put(i + top, ~(bit & self.total[top]))
            columns.put_constant(-1 << (i + top))
        m.d.comb += self.term.eq(columns.total(m, self.adder))
        return m


class WindowShift(wiring.Component):
    """Place a signed term in a fixed-point window.

    Combinational.

    Args:
        term_bits: Width of the term, signed.
        exponent_bits: Width of the exponent.
        least_exponent: The least exponent that occurs; it places the term at bit 0.
        window_bits: Width of the window, signed: holds every placed term that can occur.

    Members:
        term: The term.
        exponent: Where to place it, unsigned.
        window: ``term << (exponent - least_exponent)``.
    """

    def __init__(self, *, term_bits: int, exponent_bits: int, least_exponent: int, window_bits: int) -> None:
        self.least_exponent = least_exponent
        self.window_bits = window_bits
        super().__init__(
            {
                "term": In(signed(term_bits)),
                "exponent": In(exponent_bits),
                "window": Out(signed(window_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Shifting by the whole exponent and dropping the lowest bits, which are zero whenever the
        # exponent is one that occurs, spares the subtraction. Smallest distances first, while the value
        # is still narrow.
        sign = self.term[-1]
        width = self.window_bits - 1 + self.least_exponent
        value: Value = self.term[:-1]
        for k, bit in enumerate(self.exponent):
            step = 1 << k
            grown = min(len(value) + step, width)
            straight = Cat(value, repeat(sign, grown - len(value)))
            shifted = Cat(Const(0, step), value)[:grown]
            value = wire(m, Mux(bit, shifted, straight), f"placed_{k}")
        value = Cat(value, repeat(sign, width - len(value)))
        m.d.comb += self.window.eq(Cat(value[self.least_exponent :], sign))
        return m


class Magnitude(wiring.Component):
    """Split a signed number into sign and magnitude.

    Combinational.

    Args:
        bits: Width of the number, signed. Its least value does not occur.
        adder: The adder that adds the one of a negation.

    Members:
        value: The number.
        negative: It is below zero.
        magnitude: Its magnitude, one bit narrower.
    """

    def __init__(self, *, bits: int, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__({"value": In(signed(bits)), "negative": Out(1), "magnitude": Out(bits - 1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        negative = self.value[-1]
        columns = Columns(len(self.magnitude))
        inverted = wire(m, self.value[:-1] ^ repeat(negative, len(self.magnitude)), "inverted")
        columns.put_all(0, inverted)
        columns.put(0, negative)
        m.d.comb += [self.negative.eq(negative), self.magnitude.eq(columns.total(m, self.adder))]
        return m
