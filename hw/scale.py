"""Block scales: from two codes to one significand, one exponent and a NaN bit."""

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.formats import Format, Top
from .compressor import Columns

__all__ = ["ScaleProduct", "decode_scale", "exponent_bits", "exponent_offset", "exponent_range"]


def exponent_bits(a_format: Format, b_format: Format) -> int:
    """Return the width of the sum of two exponents as `decode_scale` gives them, over all codes."""
    return sum((1 << fmt.exponent_bits) - 1 for fmt in (a_format, b_format)).bit_length()


def exponent_offset(a_format: Format, b_format: Format) -> int:
    """Return what places the product: ``significand * 2**(exponent + offset)``."""
    return -sum(fmt.bias + fmt.mantissa_bits for fmt in (a_format, b_format))


def exponent_range(a_format: Format, b_format: Format) -> tuple[int, int]:
    """Return the least and the greatest sum of two exponents, over all finite codes."""
    exponents = [fmt.split(fmt.codes)[1] + fmt.bias + fmt.mantissa_bits for fmt in (a_format, b_format)]
    return sum(int(e.min()) for e in exponents), sum(int(e.max()) for e in exponents)


def decode_scale(fmt: Format, code: Value) -> tuple[Value, Value, Value]:
    """Split an unsigned code into significand, exponent and NaN.

    The code is worth ``significand * 2**(exponent - fmt.bias - fmt.mantissa_bits)``. A subnormal has
    exponent 1 and no hidden bit: setting the exponent's last bit is all it takes, and nothing is
    normalised here, as the sum behind will be anyway.

    Args:
        fmt: An unsigned format.
        code: ``fmt.bits`` bits.

    Returns:
        The significand (``fmt.significand_bits`` wide; the constant 1 where there is no mantissa and no
        zero), the exponent (``fmt.exponent_bits`` wide) and the NaN bit.
    """
    mantissa, field = code[: fmt.mantissa_bits], code[fmt.mantissa_bits :]
    match fmt.top:
        case Top.NAN:
            nan = code.all()
        case Top.RESERVED | Top.IEEE:
            nan = field.all()
        case Top.FINITE:
            nan = Const(0)
    if not fmt.subnormals:
        return Cat(mantissa, Const(1)), field, nan
    normal = field.any()
    return Cat(mantissa, normal), Cat(field[0] | ~normal, field[1:]), nan


class ScaleProduct(wiring.Component):
    """Multiply two block scales exactly, without normalising.

    Combinational.

    Args:
        a_format: Scale format of a.
        b_format: Scale format of b.
        significand_bits: Width of the significands' product: enough for all codes that are numbers. A
            NaN code may look like more, but its product is not used.
        order: Seed of the order in which partial products enter the tree; changes no product.

    Members:
        a, b: The codes.
        significand: Product of the integer significands; NaN codes count as the numbers they look like.
        exponent: Sum of the exponent fields, each at least 1 where the format has subnormals: the product
            is ``significand * 2**(exponent + exponent_offset)``.
        nan: Either scale is NaN.
    """

    def __init__(self, a_format: Format, b_format: Format, *, significand_bits: int, order: int = 0) -> None:
        self.a_format = a_format
        self.b_format = b_format
        self.order = order
        super().__init__(
            {
                "a": In(a_format.bits),
                "b": In(b_format.bits),
                "significand": Out(significand_bits),
                "exponent": Out(exponent_bits(a_format, b_format)),
                "nan": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, a_exponent, a_nan = decode_scale(self.a_format, self.a)
        b, b_exponent, b_nan = decode_scale(self.b_format, self.b)
        columns = Columns(len(self.significand), order=self.order)
        for i, bit in enumerate(b):
            columns.put_all(i, [bit & other for other in a])
        m.d.comb += [
            self.significand.eq(columns.total(m, "ripple")),
            self.exponent.eq(a_exponent + b_exponent),
            self.nan.eq(a_nan | b_nan),
        ]
        return m
