"""The fixed-point addition of shipping tensor cores: terms aligned to the largest exponent, and cut off.

What it computes is told in `blockdot.model.aligned_sum`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import repeat, shift_right, wire
from ..leaves.compressor import AbsoluteAdder, Adder, Columns
from ..leaves.multiply import Magnitude
from ..leaves.round import BIAS, FRACTION_BITS, Normalise, NumberRange
from ..leaves.scale import AlignedExponents

__all__ = ["AlignedAdder", "AlignedTerms"]

_ACCUMULATOR_BITS = FRACTION_BITS + 1
_INFINITY_FIELD = 255


@dataclass(frozen=True, kw_only=True)
class AlignedTerms:
    """The terms ``magnitude * 2**(exponent - BIAS - point)`` that a group brings, and what is kept of them.

    Attributes:
        count: How many terms there are.
        magnitude_bits: Width of a magnitude.
        point: Bits of a magnitude behind its binary point.
        exponents: Their exponents.
        fraction: Bits kept behind the point of the largest exponent.
    """

    count: int
    magnitude_bits: int
    point: int
    exponents: AlignedExponents
    fraction: int

    @property
    def exponent_bits(self) -> int:
        """Width of an exponent."""
        return self.exponents.shape.width

    @property
    def highest(self) -> int:
        """The greatest exponent that a sum can come to have, biased as binary32's.

        From `term_bits` places above the greatest exponent of a term on, every bit of every term is shifted
        out, and a sum stays as it is or gets smaller. Below, the new one is no longer than `sum_bits`.
        """
        return self.exponents.greatest + max(self.term_bits, 1) - 1 + self.sum_bits - 2 - self.fraction

    @property
    def overflow(self) -> bool:
        """Whether a sum can come to be infinite."""
        return self.highest >= _INFINITY_FIELD

    @property
    def least_largest(self) -> int:
        """The least that the largest of all exponents can be: that of the sum."""
        return min(self.exponents.zero, 1) if self.exponents.zero_counts else 1

    @property
    def term_bits(self) -> int:
        """Width of a term of the largest exponent, in units of the last bit that is kept."""
        return self.magnitude_bits - self.point + self.fraction

    @property
    def accumulator_bits(self) -> int:
        """Width of the sum so far, likewise."""
        return _ACCUMULATOR_BITS - FRACTION_BITS + self.fraction

    @property
    def sum_bits(self) -> int:
        """Width of the new sum, signed."""
        largest = self.count * ((1 << max(self.term_bits, 0)) - 1) + (1 << self.accumulator_bits) - 1
        return largest.bit_length() + 1

    @property
    def numbers(self) -> NumberRange:
        """The sums that are to be cut off; an exponent below 0 is counted from `least_largest`."""
        base = min(self.least_largest, 0)
        greatest = max(min(self.highest, _INFINITY_FIELD - 1), self.exponents.greatest)
        return NumberRange(
            magnitude_bits=self.sum_bits - 1,
            exponent_bits=(greatest - base).bit_length(),
            exponents=(self.least_largest - base, greatest - base),
            offset=base - BIAS - self.fraction,
            nearest=False,
        )


class AlignedAdder(wiring.Component):
    """Add terms to a binary32 sum, aligned to the largest exponent and truncated.

    Combinational. Truncation is that of magnitudes, toward zero: bits shifted out are dropped before the sign
    is put to the rest.

    Args:
        terms: What a group brings.
        adder: The adder at the end of the tree; a prefix adder has it take few levels.
        infinite: Whether a term can be infinite.
        order: Seed of the order in which bits enter the tree; changes no sum.

    Members:
        accumulator: The sum so far.
        negative: Term k's sign is bit k.
        magnitude: Term k's magnitude is at bits ``[magnitude_bits * k, magnitude_bits * (k + 1))``.
        exponent: What stands for its exponent, likewise.
        nan: A term is NaN.
        infinite: A term is infinite above zero (bit 0), or below (bit 1); no such port where none can be.
        result: The new sum, rounded toward zero; infinite if it is too large.
    """

    accumulator: Signal
    negative: Signal
    magnitude: Signal
    exponent: Signal
    nan: Signal
    infinite: Signal
    result: Signal

    def __init__(self, terms: AlignedTerms, *, adder: Adder, infinite: bool = False, order: int = 0) -> None:
        self.terms = terms
        self.adder: Adder = adder
        self.order = order
        super().__init__(
            {
                "accumulator": In(32),
                "negative": In(terms.count),
                "magnitude": In(terms.count * terms.magnitude_bits),
                "exponent": In(terms.count * terms.exponent_bits),
                "nan": In(1),
                **({"infinite": In(2)} if infinite else {}),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms, fast = self.terms, self.adder != "ripple"
        fraction = self.accumulator[:FRACTION_BITS]
        field = self.accumulator[FRACTION_BITS:31]
        normal = wire(m, field.any(), "accumulator_normal")
        own_exponent: Value = wire(m, Cat(field[0] | ~normal, field[1:]), "accumulator_exponent")
        if terms.exponents.zero_counts:
            read = Signal(range(terms.least_largest, _INFINITY_FIELD + 1), name="accumulator_reads")
            zero = ~(normal | fraction.any())
            m.d.comb += read.eq(Mux(zero, terms.exponents.zero, own_exponent))
            own_exponent = read
        words = [self.exponent.word_select(k, terms.exponent_bits) for k in range(terms.count)]
        exponents = [word.as_signed() if terms.exponents.shape.signed else word for word in words]
        largest = self._largest(m, [own_exponent, *exponents])
        columns = Columns(terms.sum_bits, order=self.order, balanced=fast)
        # The prefix network gives the magnitude of one more.
        columns.put_constant(-1 if fast else 0)
        addends = [
            (self.negative[k], self.magnitude.word_select(k, terms.magnitude_bits), terms.point, exponents[k])
            for k in range(terms.count)
        ]
        addends.append((self.accumulator[31], Cat(fraction, normal), FRACTION_BITS, own_exponent))
        for k, (negative, magnitude, point, exponent) in enumerate(addends):
            # No distance of a number is below zero, and what a zero is shifted by does not count.
            distance = wire(m, (largest - exponent)[: self._distance_bits], f"distance_{k}")
            places = terms.fraction - point
            placed = Cat(Const(0, max(places, 0)), magnitude)[max(-places, 0) :]
            kept = shift_right(m, placed, distance, f"term_{k}_")
            width = len(kept)
            if not width:
                continue
            columns.put_all(0, wire(m, kept ^ repeat(negative, width), f"addend_{k}"))
            # -x is ~x + 1 - 2**width.
            columns.put(0, negative)
            columns.put(width, ~negative)
            columns.put_constant(-1 << width)
        sign, total = self._absolute(m, platform, columns, fast)
        normalise = Normalise(terms.numbers, parallel=fast)
        add_submodule(m, platform, "normalise", normalise)
        m.d.comb += [
            normalise.magnitude.eq(total),
            normalise.exponent.eq(largest - min(terms.least_largest, 0)),
        ]
        m.d.comb += self.result.eq(self._packed(m, sign, normalise))
        return m

    @property
    def _distance_bits(self) -> int:
        exponents = self.terms.exponents
        return (self._greatest - min(exponents.least, 1)).bit_length()

    def _largest(self, m: Module, exponents: Sequence[Value]) -> Value:
        """Return the largest exponent."""
        level = list(exponents)
        depth = 0
        while len(level) > 1:
            pairs: list[Value] = []
            for k, (a, b) in enumerate(zip(level[::2], level[1::2], strict=False)):
                larger = Mux(a < b, b, a)
                one = Signal(larger.shape(), name=f"larger_{depth}_{k}")
                m.d.comb += one.eq(larger)
                pairs.append(one)
            level = pairs + level[len(pairs) * 2 :]
            depth += 1
        largest = Signal(range(min(self.terms.least_largest, 0), self._greatest + 1), name="largest")
        m.d.comb += largest.eq(level[0])
        return largest

    @property
    def _greatest(self) -> int:
        return max(_INFINITY_FIELD, self.terms.exponents.greatest)

    def _absolute(self, m: Module, platform: object, columns: Columns, fast: bool) -> tuple[Value, Value]:
        if fast:
            save, carry = columns.carry_save(m)
            adder = AbsoluteAdder(width=columns.width, adder=self.adder)
            add_submodule(m, platform, "add", adder)
            m.d.comb += [adder.save.eq(save), adder.carry.eq(carry)]
            return adder.negative, adder.magnitude
        total = Signal(signed(columns.width), name="total")
        m.d.comb += total.eq(columns.total(m, self.adder))
        magnitude = Magnitude(bits=columns.width, adder=self.adder)
        add_submodule(m, platform, "sign_magnitude", magnitude)
        m.d.comb += magnitude.value.eq(total)
        return magnitude.negative, magnitude.magnitude

    def _packed(self, m: Module, negative: Value, normalise: Normalise) -> Value:
        """Truncate to binary32; what is too large becomes infinite.

        Where no sum comes to be too large, and no term is infinite, the topmost exponent says NaN.
        """
        field, fraction = normalise.field, normalise.fraction[-FRACTION_BITS:]
        field_in, fraction_in = self.accumulator[FRACTION_BITS:31], self.accumulator[:FRACTION_BITS]
        top = wire(m, field_in.all(), "accumulator_top")
        sign = negative & normalise.nonzero
        special: Value
        if not self.terms.overflow and "infinite" not in self.signature.members:
            nan = wire(m, self.nan | top, "any_nan")
            special = nan
        else:
            nan = self.nan | (top & fraction_in.any())
            own = top & ~fraction_in.any()
            up, down = own & ~self.accumulator[31], own & self.accumulator[31]
            if "infinite" in self.signature.members:
                up, down = up | self.infinite[0], down | self.infinite[1]
            up, down = wire(m, up, "infinite_up"), wire(m, down, "infinite_down")
            nan = wire(m, nan | (up & down), "any_nan")
            special = nan | up | down
            sign = Mux(special, down, sign)
            if self.terms.overflow:
                special = special | field[:8].all() | field[8:].any()
        special = wire(m, special, "special")
        quiet = Cat(repeat(~special, FRACTION_BITS), repeat(Const(1), 8))
        whole = Cat(fraction, field[:8])
        return Cat((whole & quiet) | Cat(Const(0, FRACTION_BITS - 1), nan, repeat(special, 8)), sign & ~nan)
