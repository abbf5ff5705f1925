"""One addition for a whole term, still two numbers, and a binary32 number."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import (
    barrel_left_kept,
    count_leading_zeros,
    last_digit,
    leading_digits,
    repeat,
    shift_right_sticky,
    wire,
)
from ..leaves.compressor import Adder, Columns, add
from ..leaves.round import BIAS, FRACTION_BITS, KEPT_BITS, NumberRange, Round

__all__ = ["FusedAdder"]

_BELOW = FRACTION_BITS + 2
"""Places below the term's last one: of 1, less next to nothing, binary32 keeps 24 bits and a guard."""
_LAST_BIT = BIAS + FRACTION_BITS
"""Biased exponent of a number whose last bit is worth 1."""


class FusedAdder(wiring.Component):
    """Round a term to binary32 and add it to a binary32 number: as two additions do, in the time of one.

    The frame is fixed by the term: its last bit is worth 1, and the accumulator is shifted to where it stands
    beside that, while products and sums are still being made. An accumulator so large that the term cannot
    change it stands at the frame's upper end, and the frame's exponent is its own. There the term's two
    numbers and the accumulator, inverted if it is negative, become one sum, which is normalised and rounded
    once. The one that an inversion lacks is added where the sum is rounded (see `SignedNormalise`).

    With ``rounds_term=False`` the term is not rounded by itself: it may be of any width, and the sum of both
    is rounded once.

    A term that binary32 holds exactly needs no rounding of its own. Where it can be so small that binary32
    loses bits of it, those are the k lowest, and the accumulator has none there: in their place it gets half
    a unit less one, the bit above them enters as carry, and what is left of them in the sum is cleared.

    Combinational.

    Args:
        numbers: The terms that can occur: no wider than a binary32 significand, if they are rounded.
        adder: A prefix adder has it take few levels.
        rounds_term: Whether a term is rounded to binary32 before it is added.
        odd: Whether the sum is rounded to odd; see `Round`.

    Attributes:
        accumulator: binary32.
        save, carry: Two numbers whose sum is the term, modulo ``2**width(numbers)``, in two's complement.
        exponent: The term's exponent, unsigned; no such port where it is constant.
        nan: The term is NaN.
        hold: The result is the accumulator as it stands, whatever the rest.
        result: The sum, binary32; every NaN is 0x7FC00000. An exact zero is +0, unless both are -0; what
            became zero by rounding has its sign.
    """

    accumulator: Signal
    save: Signal
    carry: Signal
    exponent: Signal
    nan: Signal
    hold: Signal
    result: Signal

    def __init__(
        self, numbers: NumberRange, *, adder: Adder, rounds_term: bool = True, odd: bool = False
    ) -> None:
        if rounds_term and numbers.magnitude_bits > FRACTION_BITS + 1:
            raise ValueError(
                f"numbers must have at most {FRACTION_BITS + 1} bits, not {numbers.magnitude_bits}"
            )
        self.numbers = numbers
        self.adder: Adder = adder
        self.rounds_term = rounds_term
        self.odd = odd
        width = self.width(numbers)
        super().__init__(
            {
                "accumulator": In(32),
                "save": In(width),
                "carry": In(width),
                **({"exponent": In(numbers.exponent_bits)} if numbers.exponent_bits else {}),
                "nan": In(1),
                "hold": In(1),
                "result": Out(32),
            }
        )

    @staticmethod
    def _lift(numbers: NumberRange) -> int:
        """Return where the last bit of an accumulator stands from which on the term cannot change it.

        The term is then less than a quarter of it, so less than half of the last bit one binade below.
        """
        return numbers.magnitude_bits + 2

    @property
    def _field_bits(self) -> int:
        """Width of a biased exponent before rounding."""
        return max(9, (self.numbers.exponents[1] + self._term_field).bit_length())

    @property
    def _term_field(self) -> int:
        """Biased exponent of the frame's highest place where a term has exponent 0."""
        return self.numbers.offset + _LAST_BIT + self._lift(self.numbers)

    @classmethod
    def width(cls, numbers: NumberRange) -> int:
        """Return the width of the frame above the binary point, with the sign."""
        return cls._lift(numbers) + FRACTION_BITS + 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        own = _Accumulator(m, self.accumulator)
        above, below, top = self._align(m, own)
        # The term by itself, beside the sum.
        bits = numbers.magnitude_bits + 1
        term = add(m, list(self.save[:bits]), list(self.carry[:bits]), Const(0), self.adder)
        term = wire(m, Cat(*term[:-1]), "term")
        row: list[Value] = [bit ^ own.negative for bit in above] + [own.negative]
        loses_bits = numbers.loses_bits and self.rounds_term
        lost, unit = self._round_term(m, term, row) if loses_bits else ([], Const(0))
        columns = Columns(len(self.save), balanced=True)
        for number in (self.save, self.carry, row):
            columns.put_all(0, number)
        rows = columns.carry_save(m)
        total = wire(m, Cat(*add(m, list(rows[0]), list(rows[1]), unit, self.adder)[:-1]), "total")
        # From here on as if the accumulator were positive.
        turned = [bit ^ own.negative for bit in total]
        for i, bit in enumerate(lost):
            turned[i] = turned[i] & ~bit
        frame = wire(m, Cat(below, *turned), "frame")
        beside = Cat(below ^ repeat(own.negative, len(below)), rows[0])
        field, kept, dropped = self._normalise(m, frame, (beside, Cat(Const(0, len(below)), rows[1])), top)

        overflow = numbers.overflow and self.rounds_term
        rounder = Round(
            fraction_bits=KEPT_BITS,
            field_bits=self._field_bits,
            overflow=True,
            infinite=overflow,
            inverted=True,
            apart=True,
            odd=self.odd,
        )
        add_submodule(m, platform, "round", rounder)
        infinite: Value = Const(0)
        if overflow:
            infinite = wire(m, self._overflows(term), "infinite")
            m.d.comb += rounder.infinite.eq(infinite)
        nan = wire(m, self.nan | (own.infinite & infinite & (term[-1] ^ own.negative)), "no_number")
        # A sum of zero has cancelled, unless the accumulator is zero and the term has become that.
        some = frame[-1] | kept.any() | dropped
        m.d.comb += [
            rounder.negative.eq(Mux(some, total[-1], ~own.nonzero & own.negative & term[-1])),
            rounder.below.eq(frame[-1]),
            rounder.nonzero.eq(1),
            rounder.fraction.eq(Cat(dropped, kept[:-1])),
            rounder.field.eq(field),
            rounder.nan.eq(nan),
        ]
        # The frame may not hold an accumulator to which zero is added, nor one that is no number.
        stays = wire(m, self.hold | ((~term.any() | own.no_number) & ~nan), "stays")
        kept_as_it_is = Cat(self.accumulator[:31], own.negative & (own.nonzero | self.hold))
        m.d.comb += self.result.eq(Mux(stays, kept_as_it_is, rounder.result))
        return m

    def _align(self, m: Module, own: "_Accumulator") -> tuple[Value, Value, Value]:
        """Place the accumulator's significand in the frame.

        Returns:
            What of it is above the binary point, without the sign; what is below, with a sticky bit; and the
            exponent field of the frame's highest place.
        """
        lift = self._lift(self.numbers)
        exponent = self.exponent if self.numbers.exponent_bits else Const(0, 0)
        told = Cat(exponent, Const(0)).as_signed() + self._term_field
        told = wire(m, told, "term_field").as_signed()
        distance = wire(m, told - own.field, "distance")
        large = wire(m, distance[-1], "large")
        amount = wire(m, distance[:-1] & repeat(~large, len(distance) - 1), "amount")
        top = wire(m, Mux(large, own.field, told)[: max(len(told) - 1, len(own.field))], "top_field")
        aligned, sticky = shift_right_sticky(m, Cat(Const(0, _BELOW + lift), own.significand), amount)
        if not self.rounds_term:
            # A frame may be wide then, and without a wire it is built once more for each bit that is read.
            aligned, sticky = wire(m, aligned, "aligned"), wire(m, sticky, "sticky")
        return aligned[_BELOW:], Cat(sticky, aligned[:_BELOW]), top

    def _round_term(self, m: Module, term: Value, row: list[Value]) -> tuple[list[Value], Value]:
        """Have the sum round the term to binary32, where the term loses bits: its k lowest.

        With q the term without them, its rounding to nearest, ties to even, is what is left, without these
        bits, of the term, half a unit less one, and the last bit of q.

        Args:
            m: The module to build in.
            term: The term.
            row: The accumulator, which has no such bits: half a unit less one is put in their place.

        Returns:
            For each bit of the term whether it is lost, and the last bit of q, or 0 where k is 0.
        """
        limit = -self.numbers.offset - _LAST_BIT
        lost: list[Value] = [wire(m, self.exponent <= limit - i, f"lost_{i}") for i in range(len(term))]
        last: list[Value] = []
        for i, bit in enumerate(lost):
            more = lost[i + 1] if i + 1 < len(lost) else Const(0)
            row[i] = (row[i] & ~bit) | more
            last.append(bit & ~more & term[min(i + 1, len(term) - 1)])
        return lost, wire(m, Cat(*last).any(), "unit")

    def _normalise(
        self, m: Module, frame: Value, rows: tuple[Value, Value], top: Value
    ) -> tuple[Value, Value, Value]:
        """Shift the sum until its top bit differs from its sign, and keep what binary32 has, and a guard.

        How far is told from the two numbers that make the sum, while they are added; and a digit told where
        the exponent field ends keeps a subnormal sum from being shifted further.

        Returns:
            The exponent field of the top bit, 0 where that is not set; the bits that are kept, inverted if
            the sum is negative; and whether any other is set.
        """
        opposite, digits = frame[-1], frame[:-1]
        signs = rows[0][-1] ^ rows[1][-1]
        at_once = ~signs & (rows[0][-2] ^ rows[1][-2])
        told = leading_digits(m, rows[0][:-1], rows[1][:-1], signs)
        span = len(digits)
        begins = wire(m, told | Cat(Const(0, span - 1), at_once) | last_digit(top, span), "begins")
        places = wire(m, count_leading_zeros(m, begins)[0], "places")
        limited = wire(m, places == (top - 1), "limited")
        shifted, lost = barrel_left_kept(m, digits, places, KEPT_BITS + 1)
        one_more = wire(m, ~limited & ~(shifted[-1] ^ opposite), "one_more")
        kept = wire(m, Mux(one_more, shifted[:-1], shifted[1:]) ^ repeat(opposite, KEPT_BITS), "kept")
        bits = self._field_bits
        field = wire(m, Mux(one_more, (top - places - 1)[:bits], (top - places)[:bits]), "top_bit_field")
        dropped = wire(m, lost | (~one_more & shifted[0]), "dropped")
        return field & repeat(kept[-1], bits), kept, dropped

    def _overflows(self, term: Value) -> Value:
        """Tell whether the term's magnitude is that of an infinity."""
        negative, bits = term[-1], term[:-1]
        # Bit i, and all above it, are too large.
        limit = BIAS + 1 - self.numbers.offset
        large = Cat(*(self.exponent >= limit - i for i in range(len(bits))))
        inverted = bits ^ repeat(negative, len(bits))
        # Inverted, a negative number is one too small.
        return (inverted & large).any() | (negative & (inverted | large).all())


class _Accumulator:
    """A binary32 number taken apart: its significand with the hidden bit, its field 1 for the subnormals."""

    def __init__(self, m: Module, number: Value) -> None:
        fraction, field = number[:FRACTION_BITS], number[FRACTION_BITS:31]
        normal = wire(m, field.any(), "normal")
        self.negative: Value = number[31]
        self.significand: Value = Cat(fraction, normal)
        self.field: Value = wire(m, Cat(field[0] | ~normal, field[1:]), "accumulator_field")
        self.nonzero: Value = wire(m, normal | fraction.any(), "accumulator_nonzero")
        self.no_number: Value = wire(m, field.all(), "accumulator_no_number")
        self.infinite: Value = self.no_number & ~fraction.any()
