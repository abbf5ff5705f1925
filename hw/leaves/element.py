"""The product of two elements, as sign and magnitude."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.formats import Format, Top
from ..hierarchy import add_submodule
from .bits import shift_left, wire
from .compressor import Columns
from .decode import Decoded, decode

__all__ = [
    "DecodedProduct",
    "ElementDecode",
    "ElementProduct",
    "decoded_bits",
    "decoded_operand",
    "is_nonzero",
    "product_bits",
]


def product_bits(a_format: Format, b_format: Format) -> int:
    """Return the width of the largest product of magnitudes, as an integer of the products' quantum."""
    largest = 1
    for fmt in (a_format, b_format):
        significand, exponent = fmt.split(fmt.codes)
        largest *= max(
            abs(int(s)) << (int(e) - fmt.quantum_exponent) for s, e in zip(significand, exponent, strict=True)
        )
    return largest.bit_length()


def _is_small(fmt: Format) -> bool:
    """Return whether magnitudes are those of ``e2m1`` in units of the quantum, whatever the bias."""
    return (fmt.exponent_bits, fmt.mantissa_bits, fmt.top) == (2, 1, Top.FINITE)


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


def _one_hot_sum(a: Value, b: Value) -> Value:
    """Add two positions that are given as one wire each, or place a number at such a position."""
    width = len(a) + len(b) - 1
    return Cat(
        *(Cat(*(a[i] & b[k - i] for i in range(len(a)) if 0 <= k - i < len(b))).any() for k in range(width))
    )


class ElementDecode(wiring.Component):
    """Take an element apart, once for all the products it goes into.

    Combinational.

    Args:
        fmt: Element format.

    Attributes:
        code: The code.
        decoded: What `DecodedProduct` takes. Of ``e2m1``, from bit 0 up: mantissa, hidden bit, the shift by
            0, 1 or 2 as one of three wires, sign: a magnitude is ``significand * 2**shift`` halves, with the
            significand's two bits {E > 0, M} and the shift max(E, 1) - 1. Of other formats: significand,
            exponent, sign, and whether it is NaN and infinite where it can be.
    """

    code: Signal
    decoded: Signal

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt
        super().__init__({"code": In(fmt.bits), "decoded": Out(decoded_bits(fmt))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        code = self.code
        if _is_small(self.fmt):
            normal = wire(m, code[1:3].any(), "normal")
            shift = Cat(~code[2], code[2] & ~code[1], code[2] & code[1])
            m.d.comb += self.decoded.eq(Cat(code[0], normal, shift, code[3]))
            return m
        one = decode(m, self.fmt, code, "code")
        m.d.comb += self.decoded.eq(Cat(one.significand, one.exponent, one.negative, *_flags(self.fmt, one)))
        return m


def _flags(fmt: Format, one: Decoded) -> list[Value]:
    return [one.nan] * (fmt.top is not Top.FINITE) + [one.infinite] * (fmt.top is Top.IEEE)


def _significand_bits(fmt: Format) -> int:
    return fmt.bits if fmt.twos_complement else fmt.significand_bits


def decoded_bits(fmt: Format) -> int:
    """Return the width of what `ElementDecode` gives."""
    if _is_small(fmt):
        return 6
    return (
        _significand_bits(fmt) + fmt.exponent_bits + 1 + (fmt.top is not Top.FINITE) + (fmt.top is Top.IEEE)
    )


def is_nonzero(fmt: Format, element: Value, *, decoded: bool) -> Value:
    """Tell whether an element is another than zero: its code, or what `ElementDecode` gave for it."""
    if not fmt.subnormals and not fmt.twos_complement:
        return Const(1)
    if not decoded:
        return element.any() if fmt.twos_complement else element[: fmt.magnitude_bits].any()
    return element[: 2 if _is_small(fmt) else _significand_bits(fmt)].any()


def decoded_operand(fmt: Format, decoded: Value) -> Decoded:
    """Return the fields of what `ElementDecode` gave."""
    if _is_small(fmt):
        # Beside another format it has an exponent like that one: 1, 2 or 3.
        exponent = Cat(decoded[2] | decoded[4], decoded[3] | decoded[4])
        return Decoded(decoded[5], decoded[:2], exponent, 0, Const(0), Const(0))
    fields: list[Value] = []
    start = 0
    for width in (
        _significand_bits(fmt),
        fmt.exponent_bits,
        1,
        fmt.top is not Top.FINITE,
        fmt.top is Top.IEEE,
    ):
        fields.append(decoded[start : start + width] if width else Const(0, 0))
        start += width
    significand, exponent, negative, nan, infinite = fields
    return Decoded(
        negative=negative,
        significand=significand,
        exponent=exponent,
        offset=0,
        nan=nan if len(nan) else Const(0),
        infinite=infinite if len(infinite) else Const(0),
    )


def _product_members(a_format: Format, b_format: Format) -> dict[str, wiring.Member]:
    tops = {fmt.top for fmt in (a_format, b_format)}
    return {
        "negative": Out(1),
        "magnitude": Out(product_bits(a_format, b_format)),
        **({"nan": Out(1)} if tops != {Top.FINITE} else {}),
        **({"infinite": Out(1)} if Top.IEEE in tops else {}),
    }


class DecodedProduct(wiring.Component):
    """Multiply two decoded elements exactly.

    Combinational. Of two ``e2m1`` elements the significands' product (at most 9) is one of {0, 1, 2, 3, 4, 6,
    9}; the sum of the shifts, as one of five wires, selects where it stands. Of other formats the integer
    significands are multiplied, and the product is shifted by the sum of the exponents.

    Args:
        a_format: Element format of a.
        b_format: Element format of b.
        fast: Prefer few levels to few gates.

    Attributes:
        a, b: What `ElementDecode` gives.
        negative, magnitude, nan, infinite: As those of `ElementProduct`.
    """

    a: Signal
    b: Signal
    negative: Signal
    magnitude: Signal
    nan: Signal
    infinite: Signal

    def __init__(self, a_format: Format, b_format: Format, *, fast: bool = False) -> None:
        self.a_format = a_format
        self.b_format = b_format
        self.fast = fast
        super().__init__(
            {
                "a": In(decoded_bits(a_format)),
                "b": In(decoded_bits(b_format)),
                **_product_members(a_format, b_format),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if _is_small(self.a_format) and _is_small(self.b_format):
            m.d.comb += [self.negative.eq(self.a[5] ^ self.b[5]), self.magnitude.eq(self._shifted(m))]
            return m
        a, b = decoded_operand(self.a_format, self.a), decoded_operand(self.b_format, self.b)
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

    def _shifted(self, m: Module) -> Value:
        a, b = self.a, self.b
        # At most 9, so that the top bit excludes the two middle ones.
        both = wire(m, a[0] & b[0], "both")
        top = wire(m, a[1] & b[1], "top")
        product = wire(m, Cat(both, (a[1] & b[0]) ^ (a[0] & b[1]), top & ~both, top & both), "product")
        shift = wire(m, _one_hot_sum(a[2:5], b[2:5]), "shift")
        return _one_hot_sum(product, shift)


def _infinity_times_zero(a: Decoded, b: Decoded) -> Value:
    return a.infinite & ~b.significand.any()


class ElementProduct(wiring.Component):
    """Multiply two element codes exactly.

    Combinational. The smallest product of two ``e2m1`` codes has a circuit of its own; every other is that of
    the decoded elements.

    Args:
        a_format: Element format of a.
        b_format: Element format of b.
        fast: Prefer few levels to few gates.

    Attributes:
        a, b: The codes.
        negative: The exclusive or of the signs, whatever the magnitude.
        magnitude: The product's magnitude in quanta: an integer times the product of the formats' quanta.
            Without meaning where a code is NaN or infinite.
        nan: The product is NaN; no such port where none can be.
        infinite: The product is infinite; likewise.
    """

    a: Signal
    b: Signal
    negative: Signal
    magnitude: Signal
    nan: Signal
    infinite: Signal

    def __init__(self, a_format: Format, b_format: Format, *, fast: bool = False) -> None:
        self.a_format = a_format
        self.b_format = b_format
        self.fast = fast
        super().__init__(
            {"a": In(a_format.bits), "b": In(b_format.bits), **_product_members(a_format, b_format)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if _is_small(self.a_format) and _is_small(self.b_format) and not self.fast:
            m.d.comb += [
                self.negative.eq(self.a[3] ^ self.b[3]),
                self.magnitude.eq(_small_product(m, self.a[:3], self.b[:3])),
            ]
            return m
        product = DecodedProduct(self.a_format, self.b_format, fast=self.fast)
        add_submodule(m, platform, "decoded", product)
        for k, (name, fmt) in enumerate((("a", self.a_format), ("b", self.b_format))):
            one = ElementDecode(fmt)
            add_submodule(m, platform, f"decode_{k}", one)
            m.d.comb += [one.code.eq(getattr(self, name)), getattr(product, name).eq(one.decoded)]
        for name in _product_members(self.a_format, self.b_format):
            m.d.comb += getattr(self, name).eq(getattr(product, name))
        return m
