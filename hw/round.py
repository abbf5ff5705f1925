"""From an exact number to binary32: normalise, then round and pack."""

from dataclasses import dataclass
from typing import Final

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bits import count_leading_zeros, normalise, repeat, shift_right_sticky, wire

__all__ = ["BIAS", "FRACTION_BITS", "Normalise", "Range", "Round"]

BIAS: Final = 127
FRACTION_BITS: Final = 23
_INFINITY_FIELD: Final = 255


@dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers ``magnitude * 2**(exponent + offset)`` that can occur, and what binary32 asks of them.

    What cannot occur is not built: no path for subnormal results where the least number is a normal
    one, no right shift where every number's last bit is one that binary32 has, no infinity where the
    largest number is finite.

    Attributes:
        magnitude_bits: Width of the magnitude.
        exponent_bits: Width of the exponent, unsigned; 0 where it is constant.
        exponents: The least and the greatest exponent that occur.
        offset: See above.
    """

    magnitude_bits: int
    exponent_bits: int
    exponents: tuple[int, int]
    offset: int

    @property
    def top_field(self) -> int:
        """Biased exponent of a magnitude whose top bit is set, at exponent 0."""
        return self.offset + self.magnitude_bits - 1 + BIAS

    @property
    def least_field(self) -> int:
        """The least biased exponent: of a magnitude whose lowest bit alone is set."""
        return self.exponents[0] + self.offset + BIAS

    @property
    def subnormal(self) -> bool:
        """Whether a number other than zero can be too small for a normal result."""
        return self.least_field < 1

    @property
    def shifts_right(self) -> bool:
        """Whether a magnitude with its top bit set can be too small for a normal result."""
        return self.exponents[0] + self.top_field < 1

    @property
    def loses_bits(self) -> bool:
        """Whether the shift right can push out a set bit."""
        return self.shifts_right and self.least_field < 1 - FRACTION_BITS

    @property
    def overflow(self) -> bool:
        """Whether a result can be infinite."""
        return self.exponents[1] + self.top_field + self.rounds >= _INFINITY_FIELD

    @property
    def field_bits(self) -> int:
        """Width that holds every biased exponent before rounding, at least 8."""
        return max(8, max(self.exponents[1] + self.top_field, 0).bit_length())

    @property
    def fraction_bits(self) -> int:
        """Width of a normalised fraction: at least binary32's, and two bits more where bits are lost."""
        return max(self.magnitude_bits - 1, FRACTION_BITS) + 2 * self.loses_bits

    @property
    def rounds(self) -> bool:
        """Whether a fraction can be wider than binary32's."""
        return self.fraction_bits > FRACTION_BITS


class Normalise(wiring.Component):
    """Bring an exact magnitude to the position that binary32 gives it.

    Combinational.

    Args:
        numbers: The numbers that can occur.
        parallel: Count leading zeros beside the shifter, which is faster and larger, instead of in it.

    Members:
        magnitude: The magnitude.
        exponent: Its exponent, unsigned; no such port where it is constant.
        fraction: The magnitude shifted so that its top bit is binary32's hidden bit, without that bit; the
            last bit stands for all that was shifted out where bits can be lost.
        field: The biased exponent of the top bit; 0 for zero and the subnormals; 255 and above where
            the number is too large.
        nonzero: The number is not zero.
    """

    def __init__(self, numbers: Range, *, parallel: bool = False) -> None:
        self.numbers = numbers
        self.parallel = parallel
        super().__init__(
            {
                "magnitude": In(numbers.magnitude_bits),
                **({"exponent": In(numbers.exponent_bits)} if numbers.exponent_bits else {}),
                "fraction": Out(numbers.fraction_bits),
                "field": Out(numbers.field_bits),
                "nonzero": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        width = numbers.magnitude_bits
        exponent = self.exponent if numbers.exponent_bits else Const(0, 0)
        limit: Value | None = None
        if numbers.subnormal and not numbers.shifts_right:
            # A left shift by no more than the field allows makes a subnormal as it is stored.
            limit = wire(m, (exponent + (numbers.top_field - 1))[: numbers.field_bits], "limit")
        if self.parallel and limit is None:
            count, _ = count_leading_zeros(m, self.magnitude)
            shifted = wire(m, (self.magnitude << count)[:width], "normalised")
        else:
            shifted, count = normalise(m, self.magnitude, limit)
        top = shifted[-1]
        m.d.comb += self.nonzero.eq(top if limit is None else shifted.any())
        padding = numbers.fraction_bits - (width - 1)
        if not numbers.shifts_right:
            # The field is at least 1 wherever the top bit is set, so its low bits are all there is.
            field = Signal(numbers.field_bits, name="top_bit_field")
            m.d.comb += [
                field.eq((exponent + numbers.top_field) - count),
                self.fraction.eq(Cat(Const(0, padding), shifted[:-1])),
                self.field.eq(field & repeat(top, numbers.field_bits)),
            ]
            return m
        # How far the top bit lies below the least normal number: negative for a normal result.
        depth = Signal(signed(max(numbers.field_bits, (-numbers.least_field).bit_length()) + 1))
        m.d.comb += depth.eq((count - exponent) + (1 - numbers.top_field))
        normal = depth[-1] | ~depth.any()
        distance = depth[:-1] & repeat(~depth[-1], len(depth) - 1)
        placed, sticky = shift_right_sticky(m, Cat(Const(0, padding), shifted), distance)
        if numbers.loses_bits:
            placed = Cat(placed[0] | sticky, placed[1:])
        field = Signal(numbers.field_bits, name="top_bit_field")
        m.d.comb += [
            field.eq(1 - depth),
            self.fraction.eq(placed[:-1]),
            self.field.eq(field & repeat(top & normal, numbers.field_bits)),
        ]
        return m


class Round(wiring.Component):
    """Round a normalised number to binary32, ties to even, and pack it.

    Combinational.

    Args:
        fraction_bits: Width of the fraction: 23, or more, where the bits beyond 23 are rounded away. The
            lowest may be a sticky bit.
        field_bits: Width of the biased exponent, at least 8.
        overflow: Whether a result can be infinite.

    Members:
        negative: The sign.
        fraction: The significand without its hidden bit.
        field: The biased exponent; 0 for zero and the subnormals.
        nonzero: The exact number was not zero: a result that rounds to zero then keeps its sign.
        nan: The result is the quiet NaN 0x7FC00000, whatever the rest.
        result: binary32.
    """

    def __init__(self, *, fraction_bits: int, field_bits: int, overflow: bool) -> None:
        self.overflow = overflow
        super().__init__(
            {
                "negative": In(1),
                "fraction": In(fraction_bits),
                "field": In(field_bits),
                "nonzero": In(1),
                "nan": In(1),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dropped = len(self.fraction) - FRACTION_BITS
        fraction = self.fraction[dropped:]
        packed: Value = Cat(fraction, self.field[:8])
        if dropped:
            tie = self.fraction[dropped - 1]
            more = self.fraction[: dropped - 1].any() if dropped > 1 else Const(0)
            # A carry out of the fraction steps the exponent on, and out of the largest gives infinity.
            packed = (packed + (tie & (more | fraction[0])))[:31]
        if self.overflow:
            infinite = self.field[:8].all() | self.field[8:].any()
            packed = (packed | Cat(Const(0, FRACTION_BITS), repeat(infinite, 8))) & Cat(
                repeat(~infinite, FRACTION_BITS), Const(0xFF, 8)
            )
        quiet = Cat(repeat(~self.nan, FRACTION_BITS - 1), Const(0x1FF, 9))
        packed = (packed & quiet) | Cat(Const(0, FRACTION_BITS - 1), repeat(self.nan, 9))
        m.d.comb += self.result.eq(Cat(packed[:31], self.negative & self.nonzero & ~self.nan))
        return m
