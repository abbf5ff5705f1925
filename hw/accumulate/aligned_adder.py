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

__all__ = ["AlignedAdder", "AlignedTerms"]

_ACCUMULATOR_BITS = FRACTION_BITS + 1


@dataclass(frozen=True, kw_only=True)
class AlignedTerms:
    """The terms ``magnitude * 2**(exponent - BIAS - point)`` that a group brings, and what is kept of them.

    Attributes:
        count: How many terms there are.
        magnitude_bits: Width of a magnitude.
        point: Bits of a magnitude behind its binary point.
        exponents: The least and the greatest exponent that occur, biased as binary32's.
        fraction: Bits kept behind the point of the largest exponent.
    """

    count: int
    magnitude_bits: int
    point: int
    exponents: tuple[int, int]
    fraction: int

    @property
    def exponent_bits(self) -> int:
        """Width of an exponent, signed."""
        return max(self.exponents[1].bit_length(), (-self.exponents[0] - 1).bit_length()) + 1

    @property
    def largest_bits(self) -> int:
        """Width of the largest of all exponents, unsigned: the sum's own is at least 1."""
        return max(8, self.exponents[1].bit_length())

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
        """The sums that are to be rounded."""
        return NumberRange(
            magnitude_bits=self.sum_bits - 1,
            exponent_bits=self.largest_bits,
            exponents=(1, max(254, self.exponents[1])),
            offset=-BIAS - self.fraction,
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
        exponent: Its exponent, biased and signed, likewise.
        nan: A term is NaN.
        infinite: A term is infinite above zero (bit 0), or below (bit 1); no such port where none can be.
        result: The new sum, rounded toward zero.
    """

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
        own_exponent = wire(m, Cat(field[0] | ~normal, field[1:]), "accumulator_exponent")
        exponents = [
            self.exponent.word_select(k, terms.exponent_bits).as_signed() for k in range(terms.count)
        ]
        largest = self._largest(m, [Cat(own_exponent, Const(0)).as_signed(), *exponents])
        columns = Columns(terms.sum_bits, order=self.order, balanced=fast)
        # The prefix network gives the magnitude of one more.
        columns.put_constant(-1 if fast else 0)
        addends = [
            (self.negative[k], self.magnitude.word_select(k, terms.magnitude_bits), terms.point, exponents[k])
            for k in range(terms.count)
        ]
        addends.append((self.accumulator[31], Cat(fraction, normal), FRACTION_BITS, own_exponent))
        for k, (negative, magnitude, point, exponent) in enumerate(addends):
            distance = wire(m, (largest - exponent)[: terms.exponent_bits + 1], f"distance_{k}")
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
        m.d.comb += [normalise.magnitude.eq(total), normalise.exponent.eq(largest)]
        m.d.comb += self.result.eq(self._packed(m, sign, normalise))
        return m

    def _largest(self, m: Module, exponents: Sequence[Value]) -> Value:
        """Return the largest exponent; that of the sum so far, the first, is at least 1."""
        level = list(exponents)
        depth = 0
        while len(level) > 1:
            pairs = [
                wire(m, Mux(a < b, b, a), f"larger_{depth}_{k}").as_signed()
                for k, (a, b) in enumerate(zip(level[::2], level[1::2], strict=False))
            ]
            level = pairs + level[len(pairs) * 2 :]
            depth += 1
        return wire(m, level[0][: self.terms.largest_bits], "largest")

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
        """Truncate to binary32; what is too large becomes the largest finite number."""
        field = normalise.field
        too_large = wire(m, field[:8].all() | field[8:].any(), "too_large")
        fraction = normalise.fraction[-FRACTION_BITS:] | repeat(too_large, FRACTION_BITS)
        whole = Cat(fraction, (field[0] & ~too_large), field[1:8] | repeat(too_large, 7))
        field_in, fraction_in = self.accumulator[FRACTION_BITS:31], self.accumulator[:FRACTION_BITS]
        top = wire(m, field_in.all(), "accumulator_top")
        nan = self.nan | (top & fraction_in.any())
        special: Value = nan
        sign = negative & normalise.nonzero
        if "infinite" in self.signature.members:
            own = top & ~fraction_in.any()
            up = wire(m, self.infinite[0] | (own & ~self.accumulator[31]), "infinite_up")
            down = wire(m, self.infinite[1] | (own & self.accumulator[31]), "infinite_down")
            nan = wire(m, nan | (up & down), "any_nan")
            special = nan | up | down
            sign = Mux(special, down, sign)
        special = wire(m, special, "special")
        quiet = Cat(repeat(~special, FRACTION_BITS), repeat(Const(1), 8))
        return Cat((whole & quiet) | Cat(Const(0, FRACTION_BITS - 1), nan, repeat(special, 8)), sign & ~nan)
