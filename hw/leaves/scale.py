"""Block scales: from two codes to significands, one exponent, and what of them is no number."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.aligned_sum import ZERO_EXPONENT
from ...model.formats import Format
from .bits import repeat, wire
from .compressor import Adder, Columns
from .decode import Decoded, decode
from .round import BIAS

__all__ = ["ScaleProduct", "aligned_exponents", "exponent_bits", "exponent_offset", "exponent_range"]


def exponent_bits(a_format: Format, b_format: Format) -> int:
    """Return the width of the sum of two exponents as `decode` gives them, over all codes."""
    return sum((1 << fmt.exponent_bits) - 1 for fmt in (a_format, b_format)).bit_length()


def exponent_offset(a_format: Format, b_format: Format) -> int:
    """Return what places the product: ``significand * 2**(exponent + offset)``."""
    return -sum(fmt.bias + fmt.mantissa_bits for fmt in (a_format, b_format))


def exponent_range(a_format: Format, b_format: Format) -> tuple[int, int]:
    """Return the least and the greatest sum of two exponents, over all finite codes."""
    exponents = [fmt.split(fmt.codes)[1] + fmt.bias + fmt.mantissa_bits for fmt in (a_format, b_format)]
    return sum(int(e.min()) for e in exponents), sum(int(e.max()) for e in exponents)


class ScaleProduct(wiring.Component):
    """Multiply two block scales exactly, without normalising, and settle what of a block is no number.

    A block whose value is NaN or infinite gets a significand of zero: what is made of it then is a zero,
    which needs no more than one bit set here and there to become NaN or infinity.

    Combinational.

    Args:
        a_format: Scale format of a.
        b_format: Scale format of b.
        significand_bits: Width of the significands' product, enough for all codes that are numbers; None
            leaves the product to who uses it.
        nan: Whether the sum of products can be NaN.
        infinite: Whether the sum of products can be infinite.
        aligned_bits: Width of the exponent as ``aligned`` reads it; None where it is not asked for.
        adder: Of the significands' product; a prefix adder has it end a balanced tree.
        order: Seed of the order in which partial products enter the tree; changes no product.

    Members:
        a, b: The codes.
        sum_nan, sum_infinite: The sum of products is NaN, or infinite; no such port where it cannot be.
        significand: Product of the integer significands; or, without `significand_bits`, ``a_significand``
            and ``b_significand``.
        exponent: Sum of the exponent fields, each at least 1 where the format has subnormals: the product
            is ``significand * 2**(exponent + exponent_offset)``. Or, with `aligned_bits`, the sum of the
            exponents as ``aligned`` reads them, signed and biased as binary32's: a scale of zero has -126.
        nan: The block is NaN: a scale or the sum of products is, or an infinite sum meets a scale of zero.
        infinite: The block is infinite; no such port where the sum cannot be.
    """

    a: Signal
    b: Signal
    sum_nan: Signal
    sum_infinite: Signal
    significand: Signal
    a_significand: Signal
    b_significand: Signal
    exponent: Signal
    nan: Signal
    infinite: Signal

    def __init__(
        self,
        a_format: Format,
        b_format: Format,
        *,
        significand_bits: int | None,
        nan: bool = False,
        infinite: bool = False,
        aligned_bits: int | None = None,
        adder: Adder = "ripple",
        order: int = 0,
    ) -> None:
        self.a_format = a_format
        self.b_format = b_format
        self.aligned_bits = aligned_bits
        self.adder: Adder = adder
        self.order = order
        if significand_bits is None:
            significands = {
                "a_significand": Out(a_format.significand_bits),
                "b_significand": Out(b_format.significand_bits),
            }
        else:
            significands = {"significand": Out(significand_bits)}
        super().__init__(
            {
                "a": In(a_format.bits),
                "b": In(b_format.bits),
                **({"sum_nan": In(1)} if nan else {}),
                **({"sum_infinite": In(1)} if infinite else {}),
                **significands,
                "exponent": Out(
                    exponent_bits(a_format, b_format) if aligned_bits is None else signed(aligned_bits)
                ),
                "nan": Out(1),
                **({"infinite": Out(1)} if infinite else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        members = self.signature.members
        a, b = decode(m, self.a_format, self.a, "a"), decode(m, self.b_format, self.b, "b")
        nan = a.nan | b.nan
        if "sum_nan" in members:
            nan = nan | self.sum_nan
        void = nan
        if "sum_infinite" in members:
            zero = ~a.significand.any() | ~b.significand.any()
            nan = wire(m, nan | (self.sum_infinite & zero), "is_nan")
            void = nan | self.sum_infinite
            m.d.comb += self.infinite.eq(self.sum_infinite & ~nan)
        # One factor of zero is enough.
        a_significand = wire(m, _clear(a.significand, void), "a_cleared")
        m.d.comb += [self.exponent.eq(self._exponent(a, b)), self.nan.eq(nan)]
        if "significand" not in members:
            m.d.comb += [self.a_significand.eq(a_significand), self.b_significand.eq(b.significand)]
            return m
        columns = Columns(len(self.significand), order=self.order, balanced=self.adder != "ripple")
        for i, bit in enumerate(b.significand):
            columns.put_all(i, [bit & other for other in a_significand])
        m.d.comb += self.significand.eq(columns.total(m, self.adder))
        return m

    def _exponent(self, a: Decoded, b: Decoded) -> Value:
        if self.aligned_bits is None:
            return a.exponent + b.exponent
        total: Value = Const(BIAS)
        for fmt, scale in ((self.a_format, a), (self.b_format, b)):
            read = Cat(scale.exponent, Const(0)).as_signed()
            if fmt.subnormals:
                read = Mux(scale.significand.any(), read, ZERO_EXPONENT + fmt.bias)
            total = total + (read - fmt.bias)
        return total


def aligned_exponents(a_format: Format, b_format: Format) -> tuple[int, int]:
    """Return the least and the greatest exponent of `ScaleProduct` with `aligned_bits`."""
    least, greatest = 0, 0
    for fmt in (a_format, b_format):
        _, exponents = fmt.split(fmt.codes)
        normalised = exponents + fmt.mantissa_bits
        least += min(int(normalised.min()), ZERO_EXPONENT if fmt.subnormals else 0)
        greatest += int(normalised.max())
    return BIAS + least, BIAS + greatest


def _clear(value: Value, condition: Value) -> Value:
    return Cat(value) & repeat(~condition, len(value)) if len(value) else Const(0, 0)
