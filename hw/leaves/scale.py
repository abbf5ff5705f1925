"""Block scales: from two codes to significands, one exponent, and what of them is no number."""

from collections.abc import Iterable
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.formats import Format
from .bits import repeat, wire
from .compressor import Adder, Columns
from .decode import Decoded, decode
from .round import BIAS

__all__ = ["AlignedExponents", "ScaleProduct", "exponent_bits", "exponent_offset", "exponent_range"]


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


@dataclass(frozen=True, kw_only=True)
class AlignedExponents:
    """The exponents of terms as ``aligned`` reads them, biased as the result's, and what stands for them.

    A zero takes part in the search for the largest exponent, but has no bits to shift. Where every number has
    an exponent of at least that of the result's subnormals, and a zero none above it, a zero is never ahead
    of a number: any exponent that low stands for its own, and 0 costs the least.

    Attributes:
        least: The least exponent of a term that is not exactly zero.
        greatest: The greatest one.
        zero: That of one that is.
    """

    least: int
    greatest: int
    zero: int

    @classmethod
    def of_factors(
        cls, factors: Iterable[Format], zero_exponent: int, *, bias: int = BIAS
    ) -> "AlignedExponents":
        """Return those of products of numbers, one of each format; that of a zero is given."""
        least, greatest = bias, bias
        for fmt in factors:
            significands, exponents = fmt.split(fmt.codes)
            read = (exponents + fmt.mantissa_bits)[significands != 0]
            least += int(read.min())
            greatest += int(read.max())
        return cls(least=least, greatest=greatest, zero=bias + zero_exponent)

    @property
    def zero_counts(self) -> bool:
        """Whether a zero can be ahead of a number."""
        return self.least < 1 or self.zero > 1

    @property
    def zero_code(self) -> int:
        """The exponent that stands for that of a zero."""
        return self.zero if self.zero_counts else 0

    @property
    def shape(self) -> Shape:
        """The shape that holds all of them."""
        ends = (self.least, self.greatest, self.zero_code)
        return Shape.cast(range(min(ends), max(ends) + 1))


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
        aligned: The exponents as ``aligned`` reads them; None where they are not asked for.
        bias: What those are biased by.
        apart: Whether the exponents are not added.
        adder: Of the significands' product; a prefix adder has it end a balanced tree.
        order: Seed of the order in which partial products enter the tree; changes no product.

    Attributes:
        a, b: The codes.
        sum_nan, sum_infinite: The sum of products is NaN, or infinite; no such port where it cannot be.
        significand: Product of the integer significands; or, without `significand_bits`, ``a_significand``
            and ``b_significand``.
        exponent: Sum of the exponent fields, each at least 1 where the format has subnormals: the product
            is ``significand * 2**(exponent + exponent_offset)``. Or the sum of the exponents as ``aligned``
            reads them; without meaning where a scale is zero. Or, where they stay `apart`, ``a_exponent`` and
            ``b_exponent``.
        nonzero: Neither scale is zero; no such port without `aligned`.
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
    a_exponent: Signal
    b_exponent: Signal
    nonzero: Signal
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
        aligned: AlignedExponents | None = None,
        bias: int = BIAS,
        apart: bool = False,
        adder: Adder = "ripple",
        order: int = 0,
    ) -> None:
        self.a_format = a_format
        self.b_format = b_format
        self.aligned = aligned
        self.bias = bias
        self.adder: Adder = adder
        self.order = order
        if significand_bits is None:
            significands = {
                "a_significand": Out(a_format.significand_bits),
                "b_significand": Out(b_format.significand_bits),
            }
        else:
            significands = {"significand": Out(significand_bits)}
        if apart:
            exponents = {"a_exponent": Out(a_format.exponent_bits), "b_exponent": Out(b_format.exponent_bits)}
        else:
            both = exponent_bits(a_format, b_format) if aligned is None else aligned.shape
            exponents = {"exponent": Out(both)}
        super().__init__(
            {
                "a": In(a_format.bits),
                "b": In(b_format.bits),
                **({"sum_nan": In(1)} if nan else {}),
                **({"sum_infinite": In(1)} if infinite else {}),
                **significands,
                **exponents,
                **({} if aligned is None else {"nonzero": Out(1)}),
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
        if "a_exponent" in members:
            m.d.comb += [self.a_exponent.eq(a.exponent), self.b_exponent.eq(b.exponent)]
        else:
            m.d.comb += self.exponent.eq(self._exponent(a, b))
        m.d.comb += self.nan.eq(nan)
        if self.aligned is not None:
            m.d.comb += self.nonzero.eq(a.significand.any() & b.significand.any())
        if "significand" not in members:
            m.d.comb += [self.a_significand.eq(a_significand), self.b_significand.eq(b.significand)]
            return m
        columns = Columns(len(self.significand), order=self.order, balanced=self.adder != "ripple")
        for i, bit in enumerate(b.significand):
            columns.put_all(i, [bit & other for other in a_significand])
        m.d.comb += self.significand.eq(columns.total(m, self.adder))
        return m

    def _exponent(self, a: Decoded, b: Decoded) -> Value:
        total = a.exponent + b.exponent
        if self.aligned is None:
            return total
        return total + (self.bias - self.a_format.bias - self.b_format.bias)


def _clear(value: Value, condition: Value) -> Value:
    return Cat(value) & repeat(~condition, len(value)) if len(value) else Const(0, 0)
