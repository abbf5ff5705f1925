"""The scale that brings the largest magnitude to 4 instead of 6, where the squared errors are fewer.

Both scales are chosen, and the elements under both. With S6 and S4 the scales and q and r an element under
them, the sum of squared errors is lower under S4 exactly if

    S4 (S4 sum r^2 - 2 sum |x| r)  <  S6 (S6 sum q^2 - 2 sum |x| q)

All of it is integer. Where q or r is not zero, |x| is above the least midpoint under S6, a quarter of it, as
S4 is no smaller. No magnitude is above 9 S6: of all scales the least one is the worst, to which 1.5 times it
is rounded. So |x| is between S6 / 4 and 9 S6, in one of six binades whatever S6's significand is (only under
the least scale, whose significand is 1, is it above 7.5 S6), and an integer of five bits more than its
significand, in a unit that belongs to S6. Three exceptions:

- S6 saturates. Then S4 does too: both are the same, as is everything else, and S6 is taken whatever the sums.
- S6 is zero. Its elements are, and the unit is that of the least scale, which is the most that S4 can be.
- S4 is zero. Then S6 is, and neither has an element.

S4 is S6 or lies in the same binade or the next: the quotient of the two before they are rounded is 1.5.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value

from ..leaves.bits import barrel_left, repeat, wire
from ..leaves.comparison import any_of
from ..leaves.compressor import Adder, Columns
from ..step_delays import StepDelay
from ..steps.records import Record, Step
from .element_rounding import CompareStep, RoundStep
from .form import QuantizerForm
from .midpoints import MidpointsStep
from .records import ChosenScale, Lanes, LargestMagnitude, QuantizedBlock
from .scale_choice import ScaleStep

__all__ = ["four_over_six_steps"]

_BINADES = 6
"""Binades in which a magnitude has an element that is not zero."""

_MAGNITUDES = (0, 1, 2, 3, 4, 6, 8, 12)
"""What the codes of elements are worth, in halves."""


@dataclass(frozen=True)
class TwoScales(Record):
    """Both scales' codes."""

    lanes: Lanes
    nan: Value
    six: Value
    four: Value


@dataclass(frozen=True)
class Candidate(Record):
    """A block under one of the scales.

    Attributes:
        scale: The code.
        significand: Of the scale, in units that both candidates share.
        element: The codes of the elements' magnitudes.
    """

    scale: Value
    significand: Value
    element: tuple[Value, ...]


@dataclass(frozen=True)
class Candidates(Record):
    """A block under both scales.

    Attributes:
        nan: See `ChosenScale`.
        negative: The signs.
        six: The block under S6.
        four: The block under S4.
        place: The magnitudes as integers; one that is zero under both has no meaning.
    """

    nan: Value
    negative: Value
    six: Candidate
    four: Candidate
    place: tuple[Value, ...]


@dataclass(frozen=True)
class ErrorSums(Record):
    """The sums for both scales, S6 first.

    Attributes:
        candidates: The block under both scales, without its magnitudes.
        squares: The sum of squared elements, in quarters.
        products: The sum of magnitudes times elements, in halves.
    """

    candidates: Candidates
    squares: tuple[Value, Value]
    products: tuple[Value, Value]


class TwoScalesStep(Step[LargestMagnitude, TwoScales]):
    """Choose both scales from the largest magnitude, as `ScaleStep` does one."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        self.chooser = ScaleStep(form)
        super().__init__("scales", self.chooser.depth, self.chooser.bits + form.scale.bits)

    def build(self, m: Module, platform: object, before: LargestMagnitude) -> TwoScales:
        exponent, fraction, below = self.chooser.normalised(m, before.largest)
        six, four = (
            self.chooser.nearest(m, before.largest, exponent, fraction, below, top)[0] for top in (6, 4)
        )
        nan = wire(m, before.largest[-self.form.input.exponent_bits :].all(), "nan")
        return TwoScales(before.lanes, nan, six, four)


class CandidatesStep(Step[TwoScales, Candidates]):
    """Round the elements under both scales, and place the magnitudes in their common unit."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        self.midpoints, self.compare, self.round = MidpointsStep(form), CompareStep(form), RoundStep(form)
        steps = (self.midpoints, self.compare, self.round)
        lanes = form.spec.block_size
        super().__init__(
            "candidates",
            StepDelay(sum(step.depth.alone for step in steps), hidden=2),
            lanes * (self._place_bits + 7) + 2 * (form.scale.bits + form.scale.significand_bits + 1),
        )

    @property
    def _place_bits(self) -> int:
        return self.form.input.mantissa_bits + _BINADES

    def build(self, m: Module, platform: object, before: TwoScales) -> Candidates:
        scale = self.form.scale
        places: list[Value] = []
        candidates: list[Candidate] = []
        low: list[Value] = []
        for code in (before.six, before.four):
            live: Value = Const(1)
            told = code
            if scale.zero_code is not None:
                # The least scale stands for zero, so that there is a unit.
                live = wire(m, code.any(), "is_above_zero")
                told = Cat(code[0] | ~live, code[1:])
            middle = self.midpoints.build(m, platform, ChosenScale(before.lanes, before.nan, told, None))
            compared = self.compare.build(m, platform, middle)
            if not places:
                places = self._places(m, before.lanes, compared.binade)
            fraction = Const(0, 0) if middle.multiple.fraction is None else middle.multiple.fraction[0]
            significand = Cat(fraction, Const(1, 1), Const(0, 1))
            low.append(middle.multiple.least[0])
            candidates.append(Candidate(code, significand, tuple(self.round.magnitudes(m, compared, live))))
        six, four = candidates
        # In the next binade, S4 is twice what its significand says.
        doubled = wire(m, low[0] ^ low[1], "is_next_binade")
        grown = wire(
            m, Mux(doubled, Cat(Const(0, 1), four.significand[:-1]), four.significand), "four_significand"
        )
        four = Candidate(four.scale, grown, four.element)
        six = Candidate(six.scale, six.significand[:-1], six.element)
        return Candidates(before.nan, before.lanes.negative, six, four, tuple(places))

    def _places(self, m: Module, lanes: Lanes, binades: tuple[Value, ...]) -> list[Value]:
        """Return the magnitudes as integers: significands, moved up by the binade that they are in."""
        found: list[Value] = []
        for k, (magnitude, binade) in enumerate(zip(lanes.magnitude, binades, strict=True)):
            _, whole, _ = self.compare.normalised(m, magnitude, k)
            significand = Cat(whole, Const(1, 1), Const(0, _BINADES - 1))
            found.append(wire(m, barrel_left(m, significand, binade), f"place_{k}"))
        return found


class ErrorSumsStep(Step[Candidates, ErrorSums]):
    """Sum squared elements, and magnitudes times elements, under both scales."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        self.adder: Adder = "sklansky" if form.fast else "ripple"
        lanes = form.spec.block_size
        bits = form.input.mantissa_bits + _BINADES + 4 + lanes.bit_length()
        super().__init__(
            "error_sums",
            StepDelay(40 if form.fast else 80, hidden=5),
            7 * lanes + 2 * (bits + 8 + lanes.bit_length()),
        )

    def build(self, m: Module, platform: object, before: Candidates) -> ErrorSums:
        squares: list[Value] = []
        products: list[Value] = []
        for name, candidate in (("six", before.six), ("four", before.four)):
            squares.append(self._squares(m, candidate.element, name))
            products.append(self._products(m, candidate.element, before.place, name))
        kept = Candidates(before.nan, before.negative, before.six, before.four, ())
        return ErrorSums(kept, (squares[0], squares[1]), (products[0], products[1]))

    def _squares(self, m: Module, elements: tuple[Value, ...], name: str) -> Value:
        largest = _MAGNITUDES[-1] ** 2
        columns = Columns(
            (len(elements) * largest).bit_length(),
            name=f"{name}_squares",
            order=self.form.order,
            balanced=self.form.fast,
        )
        for k, element in enumerate(elements):
            at = [wire(m, element == code, f"{name}_{k}_is_{code}") for code in range(8)]
            for i in range(largest.bit_length()):
                ones = [one for one, value in zip(at, _MAGNITUDES, strict=True) if value**2 >> i & 1]
                if ones:
                    columns.put(i, wire(m, any_of(ones), f"{name}_{k}_square_{i}"))
        return wire(m, columns.total(m, self.adder), f"{name}_sum_of_squares")

    def _products(
        self, m: Module, elements: tuple[Value, ...], places: tuple[Value, ...], name: str
    ) -> Value:
        """An element is a significand of two bits, moved up by one or two: two rows of the magnitude."""
        bits = len(places[0])
        most = len(elements) * _MAGNITUDES[-1] * ((1 << bits) - 1)
        columns = Columns(
            most.bit_length(), name=f"{name}_products", order=self.form.order, balanced=self.form.fast
        )
        for k, (element, place) in enumerate(zip(elements, places, strict=True)):
            low, exponent = element[0], element[1:]
            by_two, by_four = exponent == 2, exponent == 3
            once = wire(m, place & repeat(~exponent[1], bits), f"{name}_{k}_once")
            twice = wire(m, place & repeat(by_two, bits), f"{name}_{k}_twice")
            fourfold = wire(m, place & repeat(by_four, bits), f"{name}_{k}_fourfold")
            moved = wire(
                m,
                Cat(once, Const(0, 2)) | Cat(Const(0, 1), twice, Const(0, 1)) | Cat(Const(0, 2), fourfold),
                f"{name}_{k}_moved",
            )
            normal = exponent.any()
            for i, bit in enumerate(moved):
                columns.put(i, bit & low)
                columns.put(i + 1, bit & normal)
        return wire(m, columns.total(m, self.adder), f"{name}_sum_of_products")


class ChooseStep(Step[ErrorSums, QuantizedBlock]):
    """Compare the two sums of squared errors, and let one block through.

    The magnitudes' unit is the last bit of a significand in the binade of S6 / 4. With f and m bits of the
    input's and the scale's mantissas, a scale is ``significand * 2**(f + 2 - m)`` of it. With elements in
    halves each side, divided by that power of two, is
    ``significand * (significand * 2**(f - m) * squares - products)``.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "choose",
            StepDelay(40, hidden=3),
            form.spec.block_size * form.spec.element_format.bits + form.scale.bits,
        )

    def build(self, m: Module, platform: object, before: ErrorSums) -> QuantizedBlock:
        scale, candidates = self.form.scale, before.candidates
        shift = self.form.input.mantissa_bits - scale.mantissa_bits
        sides: list[Value] = []
        for candidate, squares, products in zip(
            (candidates.six, candidates.four), before.squares, before.products, strict=True
        ):
            inner = candidate.significand * Cat(Const(0, shift), squares) - products
            sides.append(candidate.significand * inner)
        four = wire(m, sides[1] < sides[0], "takes_four")
        chosen = wire(m, Mux(four, candidates.four.scale, candidates.six.scale), "chosen_scale")
        live = ~candidates.nan if scale.zero_code is None else ~candidates.nan & chosen.any()
        live = wire(m, live, "live")
        codes: list[Value] = []
        pairs = zip(candidates.six.element, candidates.four.element, strict=True)
        for k, (of_six, of_four) in enumerate(pairs):
            codes += [Mux(four, of_four, of_six) & repeat(live, 3), candidates.negative[k] & live]
        return QuantizedBlock(Cat(*codes), chosen | repeat(candidates.nan, scale.bits))


def four_over_six_steps(form: QuantizerForm) -> tuple[Step[Any, Any], ...]:
    """Return the steps from the `LargestMagnitude` to the `QuantizedBlock`."""
    return (TwoScalesStep(form), CandidatesStep(form), ErrorSumsStep(form), ChooseStep(form))
