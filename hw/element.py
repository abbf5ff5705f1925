"""The product of two elements, as sign and magnitude."""

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.formats import Format, Top
from .bits import shift_left, wire
from .compressor import Columns
from .decode import Decoded, decode

__all__ = ["ElementProduct", "product_bits"]


def product_bits(a_format: Format, b_format: Format) -> int:
    """Return the width of the largest product of magnitudes, as an integer of the products' quantum."""
    largest = 1
    for fmt in (a_format, b_format):
        significand, exponent = fmt.split(fmt.codes)
        largest *= max(
            abs(int(s)) << (int(e) - fmt.quantum_exponent) for s, e in zip(significand, exponent, strict=True)
        )
    return largest.bit_length()


def _small_product(m: Module, a: Value, b: Value) -> Value:
    """Multiply two magnitudes of ``e2m1`` in 28 gates, the fewest found.

    Simulated annealing over circuits of standard cells, each held against all 64 products, arrived at this
    one from a decoder, a product and a shift; docs/hardware.md tells what else was tried. No gate stands
    for anything that could be named.
    """
    (a0, a1, a2), (b0, b1, b2) = a, b
    count = 0

    def gate(value: Value) -> Value:
        nonlocal count
        count += 1
        return wire(m, value, f"gate_{count}")

    g0 = gate(a1 & b1)
    g1 = gate(b2 | a2)
    g2 = gate((b2 | b1) & (a1 | a2))
    g3 = gate(~((a1 | a2) & b0))
    g4 = gate(~(a0 & b0))
    g5 = gate((b2 | b1) & a0)
    g6 = gate(~((a1 | b2) & (b1 | a2) & g1))
    g7 = gate(~((b1 | a1) & a2 & b2))
    g8 = gate(~(b0 & g1 & a0))
    g9 = gate(~(g7 | g0))
    g10 = gate(~g6)
    g11 = gate(~(g9 | g7 | g8))
    g12 = gate(~(b0 | g5))
    g13 = gate(~(g3 ^ g5))
    g14 = gate(~(g4 | g1))
    g15 = gate(~(g9 ^ g8))
    g16 = gate(~(g7 & g1 & g13))
    g17 = gate(~((g16 & g13) | g15))
    g18 = gate(g10 & g2 & g7)
    g19 = gate(~(g17 | g10))
    g20 = gate(~((g0 & g4) | g18))
    g21 = gate(~(g15 | g7))
    g22 = gate(~((g16 & g20) | (g10 & g8)))
    g23 = gate(~(g2 & g20))
    g24 = gate(~((g23 | g15) & (g16 | g6)))
    g25 = gate(~g12 & g15)
    g26 = gate(~((g18 | g25) & ~g22))
    g27 = gate(~(g6 | g11 | g17 | g24))
    return Cat(g14, g19, g22, g24, ~g26, g27, g21, g11)


def _fast_product(m: Module, a: Value, b: Value) -> Value:
    """Multiply two magnitudes of ``e2m1`` in few levels: the significands' product, shifted once.

    A magnitude is ``significand * 2**shift`` halves, with the significand's two bits {E > 0, M} and the
    shift max(E, 1) - 1 from 0 to 2. The significands' product (at most 9) is one of {0, 1, 2, 3, 4, 6, 9};
    the sum of the shifts, as one of five wires, selects where it stands.
    """
    a_normal, b_normal = wire(m, a[1:3].any(), "a_normal"), wire(m, b[1:3].any(), "b_normal")
    cross = a_normal & b[0]
    cross_other = a[0] & b_normal
    both = wire(m, a[0] & b[0], "both")
    top = a_normal & b_normal
    # At most 9, so that the top bit excludes the two middle ones.
    product = wire(m, Cat(both, cross ^ cross_other, top & ~both, top & both), "product")
    shifts = [
        wire(m, Cat(~code[2], code[2] & ~code[1], code[2] & code[1]), f"shift_{name}")
        for name, code in (("a", a), ("b", b))
    ]
    shift = wire(m, _one_hot_sum(shifts[0], shifts[1]), "shift")
    return _one_hot_sum(product, shift)


def _one_hot_sum(a: Value, b: Value) -> Value:
    """Add two positions that are given as one wire each, or place a number at such a position."""
    width = len(a) + len(b) - 1
    return Cat(
        *(Cat(*(a[i] & b[k - i] for i in range(len(a)) if 0 <= k - i < len(b))).any() for k in range(width))
    )


class ElementProduct(wiring.Component):
    """Multiply two element codes exactly.

    Combinational. Two ``e2m1`` codes have circuits of their own. Of other formats the integer significands
    are multiplied, and the product is shifted by the sum of the exponents.

    Args:
        a_format: Element format of a.
        b_format: Element format of b.
        fast: Prefer few levels to few gates.

    Members:
        a, b: The codes.
        negative: The exclusive or of the signs, whatever the magnitude.
        magnitude: The product's magnitude in quanta: an integer times the product of the formats' quanta.
            Without meaning where a code is NaN or infinite.
        nan: The product is NaN; no such port where none can be.
        infinite: The product is infinite; likewise.
    """

    def __init__(self, a_format: Format, b_format: Format, *, fast: bool = False) -> None:
        self.a_format = a_format
        self.b_format = b_format
        self.fast = fast
        tops = {fmt.top for fmt in (a_format, b_format)}
        super().__init__(
            {
                "a": In(a_format.bits),
                "b": In(b_format.bits),
                "negative": Out(1),
                "magnitude": Out(product_bits(a_format, b_format)),
                **({"nan": Out(1)} if tops != {Top.FINITE} else {}),
                **({"infinite": Out(1)} if Top.IEEE in tops else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.a_format.name == self.b_format.name == "e2m1":
            multiply = _fast_product if self.fast else _small_product
            m.d.comb += [
                self.negative.eq(self.a[3] ^ self.b[3]),
                self.magnitude.eq(multiply(m, self.a[:3], self.b[:3])),
            ]
            return m
        a, b = decode(m, self.a_format, self.a, "a"), decode(m, self.b_format, self.b, "b")
        columns = Columns(len(a.significand) + len(b.significand), balanced=self.fast)
        for i, bit in enumerate(a.significand):
            columns.put_all(i, [bit & other for other in b.significand])
        product = wire(m, columns.total(m, "sklansky" if self.fast else "ripple"), "product")
        exponent = wire(m, a.exponent + b.exponent, "exponent")
        least = sum(int(fmt.subnormals and fmt.exponent_bits > 0) for fmt in (self.a_format, self.b_format))
        m.d.comb += [
            self.negative.eq(a.negative ^ b.negative),
            self.magnitude.eq(
                shift_left(m, product, exponent, least=least, width=len(self.magnitude), fill=Const(0))
            ),
        ]
        members = self.signature.members
        nan = wire(m, a.nan | b.nan | _infinity_times_zero(a, b) | _infinity_times_zero(b, a), "any_nan")
        if "nan" in members:
            m.d.comb += self.nan.eq(nan)
        if "infinite" in members:
            m.d.comb += self.infinite.eq((a.infinite | b.infinite) & ~nan)
        return m


def _infinity_times_zero(a: Decoded, b: Decoded) -> Value:
    return a.infinite & ~b.significand.any()
