"""A product of two elements as a term of its own: sign, integer significand and exponent, never shifted."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.formats import Format, Top
from .bits import repeat, wire
from .compressor import Columns
from .decode import Decoded, decode
from .element import decoded_bits, decoded_operand, is_nonzero
from .scale import exponent_bits

__all__ = ["ProductTerm", "significand_product_bits"]


def significand_product_bits(a_format: Format, b_format: Format) -> int:
    """Return the width of the largest product of two significands: of both widths together, or one less."""
    largest = 1
    for fmt in (a_format, b_format):
        largest *= int(abs(fmt.split(fmt.codes)[0]).max())
    return largest.bit_length()


class ProductTerm(wiring.Component):
    """Multiply the significands of two elements, and add their exponents.

    Combinational. A significand has the hidden bit above the mantissa, 0 for a subnormal. Nothing is
    normalised or shifted: the exponent that ``aligned`` reads for a product is the sum of what it reads for
    its elements, each at least that of the format's least normal number, whatever their significands.

    Args:
        a_format: Element format of a, one with an exponent.
        b_format: Element format of b, likewise.
        fast: Prefer few levels to few gates.
        decoded: The elements are what `ElementDecode` gives for each code, instead of the codes.

    Attributes:
        a, b: The elements.
        negative: The exclusive or of the signs, whatever the magnitude.
        magnitude: The product of the significands. Without meaning where an element is NaN or infinite.
        exponent: The sum of the exponent fields, each at least 1; 0 where the product is zero, which no other
            product has. Without meaning likewise.
        nan: The product is NaN; no such port where none can be.
        infinite: The product is infinite; likewise.
    """

    a: Signal
    b: Signal
    negative: Signal
    magnitude: Signal
    exponent: Signal
    nan: Signal
    infinite: Signal

    def __init__(
        self, a_format: Format, b_format: Format, *, fast: bool = False, decoded: bool = False
    ) -> None:
        self.formats = (a_format, b_format)
        self.fast = fast
        self.decoded = decoded
        tops = {fmt.top for fmt in self.formats}
        super().__init__(
            {
                **{
                    name: In(decoded_bits(fmt) if decoded else fmt.bits)
                    for name, fmt in zip("ab", self.formats, strict=True)
                },
                "negative": Out(1),
                "magnitude": Out(significand_product_bits(a_format, b_format)),
                "exponent": Out(exponent_bits(a_format, b_format)),
                **({"nan": Out(1)} if tops != {Top.FINITE} else {}),
                **({"infinite": Out(1)} if Top.IEEE in tops else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = (
            self._taken_apart(m, name, fmt, code)
            for name, fmt, code in zip("ab", self.formats, (self.a, self.b), strict=True)
        )
        columns = Columns(len(self.magnitude), balanced=self.fast)
        for i, bit in enumerate(b.significand):
            columns.put_all(i, [bit & other for other in a.significand])
        a_nonzero, b_nonzero = (
            is_nonzero(fmt, code, decoded=self.decoded)
            for fmt, code in zip(self.formats, (self.a, self.b), strict=True)
        )
        nonzero = wire(m, a_nonzero & b_nonzero, "nonzero")
        exponent = wire(m, (a.exponent + b.exponent)[: len(self.exponent)], "exponents")
        m.d.comb += [
            self.negative.eq(a.negative ^ b.negative),
            self.magnitude.eq(columns.total(m, "sklansky" if self.fast else "ripple")),
            self.exponent.eq(exponent & repeat(nonzero, len(self.exponent))),
        ]
        members = self.signature.members
        if "nan" in members:
            nan = a.nan | b.nan
            if "infinite" in members:
                # Infinity times zero.
                nan = wire(m, nan | ((a.infinite | b.infinite) & ~nonzero), "any_nan")
                m.d.comb += self.infinite.eq((a.infinite | b.infinite) & ~nan)
            m.d.comb += self.nan.eq(nan)
        return m

    def _taken_apart(self, m: Module, name: str, fmt: Format, code: Signal) -> Decoded:
        return decoded_operand(fmt, code) if self.decoded else decode(m, fmt, code, name)
