"""C, the number that a sum starts at, as an accumulator holds it."""

from amaranth.hdl import Cat, Module, Mux, Value

from ...model.aligned_sum import FloatFields
from ..leaves.bits import repeat, wire

__all__ = ["before_group", "kept_c"]


def kept_c(m: Module, c: Value, given: FloatFields, kept: FloatFields) -> Value:
    """Return C with every NaN made the one that there is, and without fraction bits that sums do not keep.

    Args:
        m: The module to build in.
        c: C, in the format that is given.
        given: The fields of that format.
        kept: Those of the format that sums are kept in: of as many exponent bits, and no more fraction bits.
    """
    fraction, field = c[: given.fraction_bits], c[given.fraction_bits : -1]
    # Asked of the whole fraction: what is cut off may be all that tells a NaN from an infinity.
    nan = wire(m, field.all() & fraction.any(), "c_nan")
    upper = fraction[given.fraction_bits - kept.fraction_bits :]
    number = Cat(upper[:-1] & repeat(~nan, len(upper) - 1), upper[-1] | nan, field, c[-1] & ~nan)
    return wire(m, number, "start")


def before_group(m: Module, accumulator: Value, first: Value, start: Value) -> Value:
    """Return what a group is added to: the sum so far, or what it starts at."""
    return wire(m, Mux(first, start, accumulator), "before_group")
