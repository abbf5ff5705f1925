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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..leaves.comparison import any_of
from ..leaves.compressor import Columns, FinalAdder
from ..step_delays import StepDelay
from ..steps.records import Record, Step
from .element_rounding import CompareStep, RoundStep
from .form import QuantizerForm
from .largest_magnitude import searched_bits
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

    def map(self, change: Callable[[str, Value], Value], suffix: str = "") -> Self:
        """See `Record`: the wires of the two candidates are told apart."""
        return replace(
            self,
            nan=change(f"nan{suffix}", self.nan),
            negative=change(f"negative{suffix}", self.negative),
            six=self.six.map(change, f"{suffix}_six"),
            four=self.four.map(change, f"{suffix}_four"),
            place=tuple(change(f"place{suffix}_{k}", one) for k, one in enumerate(self.place)),
        )


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


class RoundedScale(wiring.Component):
    """Choose the scale that brings the largest magnitude to `top`.

    Combinational.

    Args:
        form: How the quantizer is built.
        top: 6 or 4.

    Members:
        largest: The largest magnitude, see `LargestMagnitude`.
        code: The scale's code.
    """

    largest: Signal
    code: Signal

    def __init__(self, form: QuantizerForm, top: int) -> None:
        self.form = form
        self.top = top
        bits, sticky = searched_bits(form)
        super().__init__(
            {"largest": In(form.input.exponent_bits + bits + sticky), "code": Out(form.scale.bits)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chooser = ScaleStep(self.form)
        exponent, fraction, below = chooser.normalised(m, self.largest)
        code, _ = chooser.nearest(m, self.largest, exponent, fraction, below, self.top)
        m.d.comb += self.code.eq(code)
        return m


class ScaledElements(wiring.Component):
    """Round the elements of a block under a scale.

    Combinational.

    Args:
        form: How the quantizer is built.

    Members:
        magnitude: The magnitudes side by side, the first one lowest, see `Lanes`.
        code: The scale's code. Zero reads as the least scale above, and all elements are zero then.
        element: The codes of the elements' magnitudes, three bits each.
        significand: The scale's, normalised.
        odd: The last bit of its exponent, give or take a constant.
        binade: For each magnitude its binade, see `ComparedElements`.
    """

    magnitude: Signal
    code: Signal
    element: Signal
    significand: Signal
    odd: Signal
    binade: Signal

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes = form.spec.block_size
        super().__init__(
            {
                "magnitude": In(lanes * form.magnitude_bits),
                "code": In(form.scale.bits),
                "element": Out(3 * lanes),
                "significand": Out(form.scale.mantissa_bits + 1),
                "odd": Out(1),
                "binade": Out(3 * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self.form
        count = form.spec.block_size
        lanes = Lanes(
            Const(0, count), tuple(self.magnitude.word_select(k, form.magnitude_bits) for k in range(count))
        )
        live: Value = Const(1)
        told: Value = self.code
        if form.scale.zero_code is not None:
            live = wire(m, self.code.any(), "is_above_zero")
            told = wire(m, Cat(self.code[0] | ~live, self.code[1:]), "code_above_zero")
        middle = MidpointsStep(form).build(m, platform, ChosenScale(lanes, Const(0), told, None))
        compared = CompareStep(form).build(m, platform, middle)
        multiple = middle.multiple
        fraction = Const(0, 0) if multiple.fraction is None else multiple.fraction[0]
        m.d.comb += [
            self.element.eq(Cat(*RoundStep(form).magnitudes(m, compared, live))),
            self.significand.eq(Cat(fraction, Const(1, 1))),
            self.odd.eq(multiple.least[0]),
            self.binade.eq(Cat(*compared.binade)),
        ]
        return m


class TwoScalesStep(Step[LargestMagnitude, TwoScales]):
    """Choose both scales from the largest magnitude, as `ScaleStep` does one."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        one = ScaleStep(form)
        super().__init__("scales", one.depth, one.bits + form.scale.bits)

    def build(self, m: Module, platform: object, before: LargestMagnitude) -> TwoScales:
        codes: list[Value] = []
        for top in (6, 4):
            one = RoundedScale(self.form, top)
            add_submodule(m, platform, f"scale_{top}", one)
            m.d.comb += one.largest.eq(before.largest)
            codes.append(one.code)
        nan = wire(m, before.largest[-self.form.input.exponent_bits :].all(), "nan")
        return TwoScales(before.lanes, nan, codes[0], codes[1])


class CandidatesStep(Step[TwoScales, Candidates]):
    """Round the elements under both scales, and place the magnitudes in their common unit."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        steps = (MidpointsStep(form), CompareStep(form), RoundStep(form))
        lanes = form.spec.block_size
        super().__init__(
            "candidates",
            StepDelay(sum(step.depth.alone for step in steps), hidden=2),
            lanes * (form.input.mantissa_bits + _BINADES + 7)
            + 2 * (form.scale.bits + form.scale.significand_bits + 1),
        )

    def build(self, m: Module, platform: object, before: TwoScales) -> Candidates:
        lanes = range(self.form.spec.block_size)
        under: list[ScaledElements] = []
        for top, code in ((6, before.six), (4, before.four)):
            one = ScaledElements(self.form)
            add_submodule(m, platform, f"elements_{top}", one)
            m.d.comb += [one.magnitude.eq(Cat(*before.lanes.magnitude)), one.code.eq(code)]
            under.append(one)
        six, four = under
        # In the next binade, S4 is twice what its significand says.
        doubled = wire(m, six.odd ^ four.odd, "is_next_binade")
        zero = Const(0, 1)
        grown = Mux(doubled, Cat(zero, four.significand), Cat(four.significand, zero))
        elements = [tuple(one.element.word_select(k, 3) for k in lanes) for one in under]
        return Candidates(
            before.nan,
            before.lanes.negative,
            Candidate(before.six, six.significand, elements[0]),
            Candidate(before.four, wire(m, grown, "four_significand"), elements[1]),
            self._places(m, before.lanes, six.binade),
        )

    def _places(self, m: Module, lanes: Lanes, binades: Value) -> tuple[Value, ...]:
        """Return the magnitudes as integers: significands, moved up by the binade that they are in."""
        compare = CompareStep(self.form)
        found: list[Value] = []
        for k, magnitude in enumerate(lanes.magnitude):
            _, whole, _ = compare.normalised(m, magnitude, k)
            place = Cat(whole, Const(1, 1), Const(0, _BINADES - 1))
            for i in range(3):
                step = 1 << i
                moved = Cat(Const(0, step), place)[: len(place)]
                place = wire(m, Mux(binades[3 * k + i], moved, place), f"moved_{k}_by_{step}")
            found.append(place)
        return tuple(found)


class ErrorSumsStep(Step[Candidates, ErrorSums]):
    """Sum squared elements, and magnitudes times elements, under both scales."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
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
        for name, candidate in (("6", before.six), ("4", before.four)):
            squares.append(self._squares(m, platform, candidate.element, name))
            products.append(self._products(m, platform, candidate.element, before.place, name))
        kept = Candidates(before.nan, before.negative, before.six, before.four, ())
        return ErrorSums(kept, (squares[0], squares[1]), (products[0], products[1]))

    def _squares(self, m: Module, platform: object, elements: tuple[Value, ...], name: str) -> Value:
        largest = _MAGNITUDES[-1] ** 2
        columns = Columns(
            (len(elements) * largest).bit_length(),
            name=f"squares_{name}",
            order=self.form.order,
            balanced=self.form.fast,
        )
        for k, element in enumerate(elements):
            at = [wire(m, element == code, f"of_{name}_{k}_is_{code}") for code in range(8)]
            for i in range(largest.bit_length()):
                ones = [one for one, value in zip(at, _MAGNITUDES, strict=True) if value**2 >> i & 1]
                if ones:
                    columns.put(i, wire(m, any_of(ones), f"of_{name}_{k}_square_{i}"))
        return self._total(m, platform, columns)

    def _products(
        self, m: Module, platform: object, elements: tuple[Value, ...], places: tuple[Value, ...], name: str
    ) -> Value:
        """An element is a significand of two bits, moved up by one or two: two rows of the magnitude."""
        bits = len(places[0])
        most = len(elements) * _MAGNITUDES[-1] * ((1 << bits) - 1)
        columns = Columns(
            most.bit_length(), name=f"products_{name}", order=self.form.order, balanced=self.form.fast
        )
        for k, (element, place) in enumerate(zip(elements, places, strict=True)):
            low, exponent = element[0], element[1:]
            by_two, by_four = exponent == 2, exponent == 3
            once = wire(m, place & repeat(~exponent[1], bits), f"of_{name}_{k}_once")
            twice = wire(m, place & repeat(by_two, bits), f"of_{name}_{k}_twice")
            fourfold = wire(m, place & repeat(by_four, bits), f"of_{name}_{k}_fourfold")
            moved = wire(
                m,
                Cat(once, Const(0, 2)) | Cat(Const(0, 1), twice, Const(0, 1)) | Cat(Const(0, 2), fourfold),
                f"of_{name}_{k}_moved",
            )
            normal = exponent.any()
            for i, bit in enumerate(moved):
                columns.put(i, bit & low)
                columns.put(i + 1, bit & normal)
        return self._total(m, platform, columns)

    def _total(self, m: Module, platform: object, columns: Columns) -> Value:
        if not self.form.fast:
            return wire(m, columns.total(m, "ripple"), f"{columns.name}_total")
        adder = FinalAdder(width=columns.width, adder="sklansky")
        add_submodule(m, platform, "{}_adder_{}".format(*columns.name.split("_")), adder)
        save, carry = columns.carry_save(m)
        m.d.comb += [adder.save.eq(save), adder.carry.eq(carry)]
        return adder.total


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
