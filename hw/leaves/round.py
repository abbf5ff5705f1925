"""From an exact number to binary32, or to a format like it: normalise, then round and pack."""

from dataclasses import dataclass
from typing import Final

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.aligned_sum import RESULTS, FloatFields
from .bits import (
    barrel_left,
    barrel_left_kept,
    count_leading_zeros,
    normalise,
    normalise_kept,
    repeat,
    shift_right_sticky,
    wire,
)

__all__ = ["BIAS", "BINARY32", "FRACTION_BITS", "Normalise", "NumberRange", "Round", "SignedNormalise"]

BINARY32: Final = RESULTS["binary32"].fields
BIAS: Final = BINARY32.bias
FRACTION_BITS: Final = BINARY32.fraction_bits
KEPT_BITS: Final = FRACTION_BITS + 2
"""The hidden bit, the fraction and the guard bit."""


@dataclass(frozen=True, kw_only=True)
class NumberRange:
    """The numbers ``magnitude * 2**(exponent + offset)`` that can occur, and what their result asks of them.

    What cannot occur is not built: no path for subnormal results where the least number is a normal
    one, no right shift where every number's last bit is one that binary32 has, no infinity where the
    largest number is finite.

    Attributes:
        magnitude_bits: Width of the magnitude.
        exponent_bits: Width of the exponent, unsigned; 0 where it is constant.
        exponents: The least and the greatest exponent that occur.
        offset: See above.
        nearest: Whether they are rounded to nearest, which some can be early; else they are cut off.
        full: Whether a magnitude of as many bits as binary32 has can have all of them set. Just below the
            least normal number it rounds up to that.
        target: The fields of the result; where the text says binary32, it is another format's then.
    """

    magnitude_bits: int
    exponent_bits: int
    exponents: tuple[int, int]
    offset: int
    nearest: bool = True
    full: bool = False
    target: FloatFields = BINARY32

    @property
    def top_field(self) -> int:
        """Biased exponent of a magnitude whose top bit is set, at exponent 0."""
        return self.offset + self.magnitude_bits - 1 + self.target.bias

    @property
    def least_field(self) -> int:
        """The least biased exponent: of a magnitude whose lowest bit alone is set."""
        return self.exponents[0] + self.offset + self.target.bias

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
        return self.shifts_right and self.least_field < 1 - self.target.fraction_bits

    @property
    def exact_above(self) -> bool:
        """Whether bits are lost below the least normal number alone, as binary32 holds every magnitude."""
        return self.nearest and self.loses_bits and self.magnitude_bits <= self.target.fraction_bits + 1

    @property
    def overflow(self) -> bool:
        """Whether a result can be infinite."""
        return self.exponents[1] + self.top_field + self.rounds >= self.target.infinity_field

    @property
    def field_bits(self) -> int:
        """Width that holds every biased exponent before rounding: binary32's 8 at least."""
        return max(self.target.exponent_bits, max(self.exponents[1] + self.top_field, 0).bit_length())

    @property
    def fraction_bits(self) -> int:
        """Width of a normalised fraction: at least binary32's, and two bits more where some are lost."""
        if self.exact_above:
            return self.target.fraction_bits
        return max(self.magnitude_bits - 1, self.target.fraction_bits) + 2 * self.loses_bits

    @property
    def rounds(self) -> bool:
        """Whether a fraction can be wider than binary32's."""
        return self.fraction_bits > self.target.fraction_bits


class Normalise(wiring.Component):
    """Bring an exact magnitude to the position that binary32 gives it.

    Combinational. A number below the least normal one that loses bits is rounded here where no other
    number has to be: beside the shifter, on the few bits that it has.

    Args:
        numbers: The numbers that can occur.
        parallel: Count leading zeros beside the shifter, which is faster and larger, instead of in it.
        zeros_bits: Width of a count of leading zeros that the parent knows already, which may be one too
            small; 0 where it has none.
        excess: The count is that of the magnitude with so many zeros more above it, 0 or 1.

    Attributes:
        magnitude: The magnitude.
        exponent: Its exponent, unsigned; no such port where it is constant.
        zeros: The parent's count, if there is one; without meaning where the magnitude is zero.
        fraction: The magnitude shifted so that its top bit is binary32's hidden bit, without that bit; the
            last bit stands for all that was shifted out where bits can be lost.
        field: The biased exponent of the top bit; 0 for zero and the subnormals; 255 and above where
            the number is too large for binary32.
        nonzero: The number is not zero.
    """

    magnitude: Signal
    exponent: Signal
    zeros: Signal
    fraction: Signal
    field: Signal
    nonzero: Signal

    def __init__(
        self, numbers: NumberRange, *, parallel: bool = False, zeros_bits: int = 0, excess: int = 0
    ) -> None:
        self.numbers = numbers
        self.parallel = parallel
        self.excess = excess
        super().__init__(
            {
                "magnitude": In(numbers.magnitude_bits),
                **({"exponent": In(numbers.exponent_bits)} if numbers.exponent_bits else {}),
                **({"zeros": In(zeros_bits)} if zeros_bits else {}),
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
        top_field = numbers.top_field + self.excess
        limit: Value | None = None
        if numbers.subnormal and (numbers.exact_above or not numbers.shifts_right):
            # A left shift by no more than the field allows makes a subnormal as it is stored.
            limit = wire(m, (exponent + (top_field - 1))[: numbers.field_bits + self.excess], "limit")
        deep: tuple[Value, Value] | None = None
        alone = not self.parallel and "zeros" not in self.signature.members
        if numbers.exact_above and alone and limit is not None:
            # Nothing waits for the shift below normal numbers: it comes behind the normaliser.
            deep = self._depth(m, exponent)
            limit = wire(m, limit & repeat(~deep[0], len(limit)), "limit_of_normal")
        one_more: Value = Const(0, 1)
        if "zeros" in self.signature.members:
            shifted, count, one_more = self._shift(m, self.zeros, limit, exact=False)
        elif self.parallel:
            zeros, _ = count_leading_zeros(m, self.magnitude)
            shifted, count, _ = self._shift(m, zeros, limit, exact=True)
        else:
            shifted, count = normalise(m, self.magnitude, limit)
        top = shifted[-1]
        m.d.comb += self.nonzero.eq(top if limit is None else self.magnitude.any())
        padding = numbers.fraction_bits - (width - 1)
        if limit is not None or not numbers.shifts_right:
            # The field is at least 1 wherever the top bit is set, so its low bits are all there is.
            field = Signal(numbers.field_bits, name="top_bit_field")
            above = wire(m, ((exponent + top_field) - count)[: len(field)], "field_at_least")
            m.d.comb += field.eq(Mux(one_more, above - 1, above))
            fraction, placed_field = Cat(Const(0, padding), shifted[:-1]), field & repeat(top, len(field))
            rounded: Value = shifted
            if deep is not None:
                below, distance = deep
                rounded = self._lowered(
                    m, shifted, wire(m, distance & repeat(below, len(distance)), "distance")
                )
                fraction = rounded[: numbers.target.fraction_bits]
            elif numbers.exact_above:
                deep = below, distance = self._depth(m, exponent)
                rounded = self._lowered(m, self.magnitude, distance)
                fraction = Mux(below, rounded[: numbers.target.fraction_bits], fraction)
            if deep is not None:
                placed_field = placed_field & repeat(~deep[0], len(field))
                if numbers.full:
                    placed_field = placed_field | (deep[0] & rounded[-1])
            m.d.comb += [self.fraction.eq(fraction), self.field.eq(placed_field)]
            return m
        # How far the top bit lies below the least normal number: negative for a normal result.
        depth = Signal(signed(max(numbers.field_bits, (-numbers.least_field).bit_length()) + 1))
        m.d.comb += depth.eq((count + one_more - exponent) + (1 - top_field))
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

    def _depth(self, m: Module, exponent: Value) -> tuple[Value, Value]:
        """Tell whether even the top bit stands too low for a normal number, and how far.

        Both are known from the exponent alone.
        """
        least = self.numbers.exponents[0] + self.numbers.top_field - 1
        distance = Signal(signed((-least).bit_length() + 1), name="below_normal")
        wide = wire(m, (1 - self.numbers.top_field) - exponent, "wide_distance")
        below = wire(m, ~wide[-1] & wide.any(), "below")
        m.d.comb += distance.eq(wide)
        return below, distance[:-1]

    def _lowered(self, m: Module, magnitude: Value, distance: Value) -> Value:
        """Shift a magnitude down from a normal number's place, and round it there."""
        width, room = self.numbers.magnitude_bits, self.numbers.target.fraction_bits
        padding = room + 1 - width
        placed, sticky = shift_right_sticky(
            m, Cat(Const(0, padding + 1), magnitude), distance, "below_", saturate=not self.parallel
        )
        half, value = placed[0], placed[1:]
        # It loses bits only where it has fewer than the magnitude: the carry goes no further.
        up = wire(m, half & (sticky | value[0]), "below_up")
        low = wire(m, (value[:width] + up)[:width], "below_rounded")
        return Cat(low, value[width:])

    def _shift(
        self, m: Module, zeros: Value, limit: Value | None, *, exact: bool
    ) -> tuple[Value, Value, Value]:
        """Shift by a count of leading zeros, within the limit, and by one place more if it was one too small.

        Returns:
            The magnitude shifted, the count within the limit, and whether it was one place more.
        """
        count = zeros
        room: Value = Const(1)
        if limit is not None:
            beyond = wire(m, limit <= count, "limited")
            count = wire(m, Mux(beyond, limit[: len(count)], count), "distance")
            room = ~beyond
        excess = 0 if exact else self.excess
        shifted = barrel_left(m, Cat(self.magnitude, Const(0, excess)), count)
        if exact:
            return shifted, count, Const(0)
        # Only this last multiplexer has to wait for the magnitude.
        one_more = wire(m, room & ~shifted[-1], "one_more")
        moved = wire(m, Mux(one_more, Cat(Const(0, 1), shifted[:-1]), shifted), "normalised")
        # Where there is a zero above the magnitude, one place at least is shifted, and a zero comes in below.
        return moved[excess:], count, one_more


class SignedNormalise(wiring.Component):
    """Bring an exact signed number to the position that binary32 gives its magnitude, without negating it.

    Combinational. For a number below zero the bits of the magnitude are those of the number inverted, plus
    one in the last place: `Round` adds it, as it adds to round. The number is shifted until its top bit
    differs from its sign; only the bits that binary32 has, and one below, are kept and inverted, and of those
    shifted out no more is kept than whether one of them is set.

    Args:
        numbers: The numbers that can occur, signed: `numbers` tells of their magnitudes. Their exponent is
            constant, and none of them is so small that its top bit is below the least normal number's.
        parallel: Count the bits that are alike beside the shifter, which is faster and larger, instead of in
            it.

    Attributes:
        value: The number. Its least value does not occur.
        fraction: Sticky bit, guard bit and 23 bits: the magnitude minus one place in the last where the
            number is below zero, shifted so that its top bit is binary32's hidden bit, without that bit.
        field: The biased exponent of the top bit; 0 for zero and the subnormals. Of minus a power of two it
            is one less, and the fraction is all ones, until one is added.
        nonzero: The number is not zero.
    """

    value: Signal
    fraction: Signal
    field: Signal
    nonzero: Signal

    def __init__(self, numbers: NumberRange, *, parallel: bool = False) -> None:
        if numbers.exponent_bits or numbers.shifts_right:
            raise ValueError(f"numbers must have a constant exponent that is not below normal, not {numbers}")
        self.numbers = numbers
        self.parallel = parallel
        super().__init__(
            {
                "value": In(signed(numbers.magnitude_bits + 1)),
                "fraction": Out(KEPT_BITS),
                "field": Out(numbers.field_bits),
                "nonzero": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        negative = self.value[-1]
        # Of minus a power of two the first bit that differs from the sign is the one below; of minus one, the
        # zero behind the binary point.
        digits = Cat(Const(0, 1), self.value[:-1])
        limit = Const(numbers.top_field - 1) if numbers.subnormal else None
        if self.parallel:
            inverted = wire(m, digits ^ repeat(negative, len(digits)), "inverted")
            count, _ = count_leading_zeros(m, inverted)
            if limit is not None:
                count = wire(m, Mux(limit <= count, limit, count)[: len(count)], "distance")
            kept, lost = barrel_left_kept(m, digits, count, KEPT_BITS)
        else:
            kept, count, lost = normalise_kept(m, digits, KEPT_BITS, limit, negative)
        kept = Cat(Const(0, KEPT_BITS - len(kept)), kept) if len(kept) < KEPT_BITS else kept
        kept = wire(m, kept ^ repeat(negative, KEPT_BITS), "kept")
        field = wire(m, (numbers.top_field - count)[: numbers.field_bits], "top_bit_field")
        sticky = wire(m, lost, "sticky")
        m.d.comb += [
            self.fraction.eq(Cat(sticky, kept[:-1])),
            self.field.eq(field & repeat(kept[-1], len(field))),
            self.nonzero.eq(kept[-1] if limit is None else negative | kept.any() | sticky),
        ]
        return m


class Round(wiring.Component):
    """Round a normalised number to binary32, or to a format like it, ties to even, and pack it.

    Combinational.

    Args:
        fraction_bits: Width of the fraction: 23, or more, where the bits beyond 23 are rounded away. The
            lowest may be a sticky bit.
        field_bits: Width of the biased exponent, at least 8.
        target: The fields of the result. Where it is not binary32, 23 and 8 are its own widths, and the quiet
            NaN is its own.
        overflow: Whether a number can be too large for a finite result.
        infinite: Whether the parent can ask for infinity.
        cleared: Whether the number is known to be zero where the result is NaN or infinite by the
            parent's word: that takes no more than setting bits.
        inverted: Whether the fraction is that of `SignedNormalise`: of a negative number one too small in
            the last place.
        apart: Whether the parent says by itself, and not by the sign, that the fraction is too small.
        odd: Whether a number that is not exact is cut off, and its last bit set, instead: who rounds that to
            fewer bits by two at least rounds the number itself.

    Attributes:
        negative: The sign.
        below: The fraction is one too small in the last place; no such port unless told `apart`.
        fraction: The significand without its hidden bit.
        field: The biased exponent; 0 for zero and the subnormals.
        nonzero: The exact number was not zero: a result that rounds to zero then keeps its sign.
        nan: The result is the quiet NaN 0x7FC00000, whatever the rest.
        infinite: The result is infinity of that sign, whatever the rest but `nan`; no such port where the
            parent cannot ask for it.
        result: binary32.
    """

    negative: Signal
    below: Signal
    fraction: Signal
    field: Signal
    nonzero: Signal
    nan: Signal
    infinite: Signal
    result: Signal

    def __init__(
        self,
        *,
        fraction_bits: int,
        field_bits: int,
        overflow: bool,
        infinite: bool = False,
        cleared: bool = False,
        inverted: bool = False,
        apart: bool = False,
        odd: bool = False,
        target: FloatFields = BINARY32,
    ) -> None:
        self.target = target
        self.odd = odd
        self.overflow = overflow
        self.inverted = inverted
        self.cleared = cleared
        super().__init__(
            {
                "negative": In(1),
                **({"below": In(1)} if apart else {}),
                "fraction": In(fraction_bits),
                "field": In(field_bits),
                "nonzero": In(1),
                "nan": In(1),
                **({"infinite": In(1)} if infinite else {}),
                "result": Out(target.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fraction_bits, exponent_bits = self.target.fraction_bits, self.target.exponent_bits
        dropped = len(self.fraction) - fraction_bits
        fraction = self.fraction[dropped:]
        packed: Value = Cat(fraction, self.field[:exponent_bits])
        if dropped:
            tie = self.fraction[dropped - 1]
            more = self.fraction[: dropped - 1].any() if dropped > 1 else Const(0)
            up = tie & (more | fraction[0])
            below: Value = Const(0)
            if self.inverted:
                # The one below the last place comes through to the tie where nothing below it was set, and
                # through that to the fraction if it was set: nothing is left then. If it was not, it is now.
                below = self.below if "below" in self.signature.members else self.negative
                up = Mux(below, Mux(more, tie, tie | fraction[0]), up)
            if self.odd:
                # What is one too small is exact where one more in the last place leaves nothing below.
                up = below & tie & ~more
            # A carry out of the fraction steps the exponent on, and out of the largest gives infinity.
            packed = (packed + up)[: self.target.bits - 1]
            if self.odd:
                inexact = Mux(below, ~up, tie | more)
                packed = Cat(packed[0] | inexact, packed[1:])
        asked = self.infinite if "infinite" in self.signature.members else Const(0)
        negative = self.negative & (self.nonzero | asked)
        if not self.cleared:
            negative = negative & ~self.nan
        infinite = asked
        clear = Const(0) if self.cleared else self.nan | asked
        if self.overflow:
            too_large = self.field[:exponent_bits].all() | self.field[exponent_bits:].any()
            infinite = infinite | too_large
            clear = clear | too_large
        clear, special = wire(m, clear, "clear"), wire(m, infinite | self.nan, "special")
        packed = (packed & Cat(repeat(~clear, fraction_bits), repeat(Const(1), exponent_bits))) | Cat(
            Const(0, fraction_bits - 1), self.nan, repeat(special, exponent_bits)
        )
        m.d.comb += self.result.eq(Cat(packed[: self.target.bits - 1], negative))
        return m
