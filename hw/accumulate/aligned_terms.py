"""The terms of a group that are aligned to the largest exponent, and the search for that."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...model.aligned_sum import FloatFields
from ..leaves.round import BINARY32, NumberRange
from ..leaves.scale import AlignedExponents

__all__ = ["AlignedTerms", "ExponentSearch"]


@dataclass(frozen=True, kw_only=True)
class AlignedTerms:
    """The terms ``magnitude * 2**(exponent - bias - point)`` that a group brings, and what is kept of them.

    The bias is that of the sum's format, binary32 unless it is told; where the text says binary32, it is that
    format.

    Attributes:
        count: How many terms there are.
        magnitude_bits: Width of a magnitude.
        point: Bits of a magnitude behind its binary point.
        exponents: Their exponents.
        fraction: Bits kept behind the point of the largest exponent.
        target: The fields of the sum.
        nearest: Whether a sum is rounded to nearest, ties to even; else it is cut off.
        largest: The largest magnitude; the largest of its width where it is None.
        starts_anywhere: Whether a sum may start at any number of its format, and not at zero.
    """

    count: int
    magnitude_bits: int
    point: int
    exponents: AlignedExponents
    fraction: int
    target: FloatFields = BINARY32
    nearest: bool = False
    largest: int | None = None
    starts_anywhere: bool = False

    @property
    def exponent_bits(self) -> int:
        """Width of an exponent."""
        return self.exponents.shape.width

    @property
    def highest(self) -> int:
        """The greatest exponent that a sum can come to have, biased as binary32's.

        From `term_bits` places above the greatest exponent of a term on, every bit of every term is shifted
        out, and a sum stays as it is or gets smaller. Below, the new one is no longer than `sum_bits`, or one
        bit longer where it is rounded up.
        """
        reach = max(self.term_bits, 1) - 1 + self.sum_bits - 2 - self.fraction + self.nearest
        highest = self.exponents.greatest + reach
        return max(highest, self.target.infinity_field) if self.starts_anywhere else highest

    @property
    def overflow(self) -> bool:
        """Whether a sum can come to be infinite."""
        return self.highest >= self.target.infinity_field

    @property
    def least_largest(self) -> int:
        """The least that the largest of all exponents can be: that of the sum."""
        return min(self.exponents.zero, 1) if self.exponents.zero_counts else 1

    @property
    def term_bits(self) -> int:
        """Width of a term of the largest exponent, in units of the last bit that is kept."""
        return self.magnitude_bits - self.point + self.fraction

    @property
    def largest_shape(self) -> Shape:
        """The shape of the largest exponent of the terms alone."""
        exponents = self.exponents
        least = min(self.least_largest, exponents.least, exponents.zero_code, 0)
        return Shape.cast(range(least, max(exponents.greatest, self.least_largest) + 1))

    @property
    def count_bits(self) -> int:
        """Width of a count of terms."""
        return self.count.bit_length()

    def placed(self, magnitude: Value) -> Value:
        """Return a magnitude as it is kept where its exponent is the largest, `term_bits` wide."""
        places = self.fraction - self.point
        return Cat(Const(0, max(places, 0)), magnitude)[max(-places, 0) :]

    @property
    def accumulator_bits(self) -> int:
        """Width of the sum so far, likewise."""
        return 1 + self.fraction

    @property
    def sum_bits(self) -> int:
        """Width of the new sum, signed."""
        term = (1 << max(self.term_bits, 0)) - 1
        if self.largest is not None:
            places = self.fraction - self.point
            term = self.largest << places if places > 0 else self.largest >> -places
        largest = self.count * term + (1 << self.accumulator_bits) - 1
        return largest.bit_length() + 1

    @property
    def least_number(self) -> int:
        """The least that the largest of all exponents can be where the sum is not zero.

        All that is kept of a term is a multiple of the last place kept below the least exponent of a term,
        and so is every sum. Where that place is a normal number's, no sum is subnormal, and an accumulator
        that is not zero has at least its exponent; unless it started lower.
        """
        if self.exponents.zero_counts or self.starts_anywhere:
            return self.least_largest
        return max(self.exponents.least - self.fraction, self.least_largest)

    @property
    def numbers(self) -> NumberRange:
        """The sums that are to be cut off; an exponent below 0 is counted from `least_largest`."""
        base = min(self.least_largest, 0)
        greatest = max(min(self.highest, self.target.infinity_field - 1), self.exponents.greatest)
        return NumberRange(
            magnitude_bits=self.sum_bits - 1,
            exponent_bits=(greatest - base).bit_length(),
            exponents=(self.least_number - base, greatest - base),
            offset=base - self.target.bias - self.fraction,
            nearest=self.nearest,
            target=self.target,
        )


class ExponentSearch:
    """The part of a component that looks for the largest exponent of a group's terms.

    The component has the terms as `terms`, and the ports that `_exponent_ports` names.
    """

    terms: AlignedTerms
    exponent: Signal

    def _exponent_ports(self) -> dict[str, wiring.Member]:
        return {"exponent": In(self.terms.count * self.terms.exponent_bits)}

    def _distances(self, m: Module, own_exponent: Value) -> tuple[Value, list[Value]]:
        """Return the largest exponent, and how far each term lies below it, the sum so far as the last."""
        largest = self._largest(m, [own_exponent, *self._exponents])
        return largest, [
            *self._below(m, largest),
            (largest - own_exponent)[: self._distance_bits],
        ]

    def _searched(self, m: Module) -> Value:
        """Return the largest exponent of the terms alone; or the least that a sum so far can have."""
        return self._largest(m, [Const(self.terms.least_largest), *self._exponents])

    def _below(self, m: Module, largest: Value) -> list[Value]:
        """Return how far each term lies below the largest exponent."""
        del m
        # No distance of a number is below zero, and what a zero is shifted by does not count.
        return [(largest - exponent)[: self._distance_bits] for exponent in self._exponents]

    @property
    def _exponents(self) -> list[Value]:
        terms = self.terms
        words = [self.exponent.word_select(k, terms.exponent_bits) for k in range(terms.count)]
        return [word.as_signed() if terms.exponents.shape.signed else word for word in words]

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
        return max(self.terms.target.infinity_field, self.terms.exponents.greatest)
