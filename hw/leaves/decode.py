"""What a code says: sign, integer significand and exponent, and whether it is a number at all."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value

from ...model.formats import Format, Top
from .bits import wire
from .compressor import Columns

__all__ = ["Decoded", "decode"]


@dataclass(frozen=True)
class Decoded:
    """A code, taken apart; where it is a number it is worth ``significand * 2**(exponent + offset)``.

    What a code that is NaN or infinite reads as has no meaning.

    Attributes:
        negative: The sign; constant 0 for an unsigned format.
        significand: ``fmt.significand_bits`` wide: one more for a two's-complement format, and the constant
            1 for one without mantissa and zero.
        exponent: The exponent field, 1 for a subnormal; of width 0 for a fixed-point format.
        offset: Makes the exponent that of the significand's lowest bit.
        nan: It is NaN; constant 0 where none is.
        infinite: It is infinite; constant 0 where none is.
    """

    negative: Value
    significand: Value
    exponent: Value
    offset: int
    nan: Value
    infinite: Value


def decode(m: Module, fmt: Format, code: Value, name: str) -> Decoded:
    """Take a code apart.

    A subnormal has exponent 1 and no hidden bit: setting the exponent's last bit is all it takes, and
    nothing is normalised here, as what is made of the significands will be anyway.

    Args:
        m: The module to build in.
        fmt: The code's format.
        code: ``fmt.bits`` bits.
        name: What the wires' names begin with.
    """
    zero = Const(0)
    if fmt.twos_complement:
        negative = code[-1]
        columns = Columns(fmt.bits, name=f"{name}_magnitude")
        # The least number's magnitude takes all bits of the code.
        columns.put_all(0, [bit ^ negative for bit in code[:-1]])
        columns.put(0, negative)
        magnitude = wire(m, columns.total(m, "ripple"), f"{name}_significand")
        return Decoded(negative, magnitude, Const(0, 0), fmt.quantum_exponent, zero, zero)
    mantissa = code[: fmt.mantissa_bits]
    field = code[fmt.mantissa_bits : fmt.magnitude_bits]
    negative = code[-1] if fmt.signed else zero
    top = wire(m, field.all(), f"{name}_top") if fmt.top in (Top.IEEE, Top.RESERVED) else zero
    match fmt.top:
        case Top.FINITE:
            nan, infinite = zero, zero
        case Top.NAN:
            nan, infinite = wire(m, code[: fmt.magnitude_bits].all(), f"{name}_nan"), zero
        case Top.RESERVED:
            nan, infinite = top, zero
        case Top.IEEE:
            nan, infinite = top & mantissa.any(), top & ~mantissa.any()
    offset = -fmt.bias - fmt.mantissa_bits
    if not fmt.subnormals:
        return Decoded(negative, Cat(mantissa, Const(1)), field, offset, nan, infinite)
    normal = wire(m, field.any(), f"{name}_normal")
    exponent = Cat(field[0] | ~normal, field[1:])
    return Decoded(negative, Cat(mantissa, normal), exponent, offset, nan, infinite)
