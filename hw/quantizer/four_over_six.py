"""The scale that brings the largest magnitude to 4 instead of 6, where the squared errors are fewer.

Both scales are chosen, and the elements under both. With S6 and S4 the scales and q and r an element under
them, the sum of squared errors is lower under S4 exactly if

    S4 (2 sum |x| r - S4 sum r^2)  >  S6 (2 sum |x| q - S6 sum q^2)

All of it is integer. Where q or r is not zero, |x| is above the least midpoint under S6, a quarter of it, as
S4 is no smaller. No magnitude is above 9 S6: of all scales the least one is the worst, to which 1.5 times it
is rounded. So |x| is between S6 / 4 and 9 S6, in one of six binades whatever S6's significand is (only under
the least scale, whose significand is 1, is it above 7.5 S6), and an integer of five bits more than its
significand, in a unit that belongs to S6. Exceptions:

- S6 saturates. Then S4 does too: both are the same, as is everything else, the two sides are equal (modulo
  any power of two), and S6 is taken.
- S6 is zero and S4 is not. Then S4 is taken: no error is larger than under zero, and that of the largest
  magnitude is smaller, which is more than twice S4.
- Both are zero. Then neither has an element.

With a tensor scale g, S6 and S4 are those times g, but for the outer factors: what both sides have is left
out. Then a magnitude is in one of seven binades, see `_binades`.

S4 is no less than S6, and no more than twice it: if S6 is k of its own steps, the largest magnitude is up to
6 (k + 1/2) of them and a quarter of it up to 2 k + 1/4, as k is at least 1. That is rounded to 2 k at most.
So both scales share much:

- The exponents of S4 and S6 are equal or differ by one. A magnitude's binade above the least midpoint of S4
  is that above the least midpoint of S6, or one less; which, the three comparisons of significands tell: the
  magnitude's with both scales', and the exponents' last bits.
- Write an element in halves, 0 to 12, as 2**e, or 3 * 2**(e - 1), e the exponent field of its code. With X =
  |x| * 2**e(r), |x| r is X or X + X / 2, or nothing. |x| q is X, 3/2, 2 or 3 times X, as r is no less than
  half of q rounded: that is half of q itself from 4 halves on, and then q is at most 3 times the power of two
  that e(r) stands for; for 3 halves, r is at least 1; for 2, at least 1; for 1, where r may be nothing, q is
  |x| itself. So |x| q is X and half, once or twice X, or X alone. X is aligned once and summed once for both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..leaves.comparison import any_of
from ..leaves.compressor import Columns, FinalAdder, add
from ..step_delays import StepDelay
from ..steps.records import Record, Step
from .element_rounding import (
    CompareStep,
    RoundStep,
    aligned_lanes,
    code_of,
    compare_significands,
)
from .form import G_EXPONENT_BITS, G_MANTISSA_BITS, QuantizerForm, least_bits
from .largest_magnitude import searched_bits
from .midpoints import MidpointsStep
from .records import ChosenScale, Lanes, LargestMagnitude, QuantizedBlock, TensorScale
from .scale_choice import ScaleStep

__all__ = ["four_over_six_steps"]

_BINADES = 6
"""Binades in which a magnitude has an element that is not zero."""

_PLACES = 8
"""The most places that a magnitude is moved up: five binades, and three exponents of its element."""


def _binades(form: QuantizerForm) -> int:
    """Return in how many binades a magnitude has an element that is not zero, by exponents.

    A scale times a tensor scale may have any significand: 9 times it is in one binade more where it is above
    16/9.
    """
    return _BINADES + form.spec.tensor_scale


def _places(form: QuantizerForm) -> int:
    """Return the most places that a magnitude is moved up: all binades but one, and an element's exponent."""
    return _PLACES + form.spec.tensor_scale


_LATE = 20
"""When the sum of a tree arrives that is put into another, see `Columns`."""

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
        significand: Of the scale, normalised.
        product: That times the tensor scale's, normalised; None where there is none.
        element: The codes of the elements' magnitudes.
    """

    scale: Value
    significand: Value
    product: Value | None
    element: tuple[Value, ...]


@dataclass(frozen=True)
class Candidates(Record):
    """A block under both scales.

    Attributes:
        nan: See `ChosenScale`.
        negative: The signs.
        doubled: The exponent of S4, times the tensor scale if there is one, is one more than that of S6.
        doubled_alone: The same without the tensor scale; None where there is none.
        six: The block under S6.
        four: The block under S4.
        place: The magnitudes as integers, moved up by the exponents of their elements under S4; one whose
            elements are both zero has no meaning.
        lanes: The numbers, where elements are rounded once more under the scale that is taken; else None.
    """

    nan: Value
    negative: Value
    doubled: Value
    doubled_alone: Value | None
    six: Candidate
    four: Candidate
    place: tuple[Value, ...]
    lanes: Lanes | None

    def map(self, change: Callable[[str, Value], Value], suffix: str = "") -> Self:
        """See `Record`: the wires of the two candidates are told apart."""
        return replace(
            self,
            nan=change(f"nan{suffix}", self.nan),
            negative=change(f"negative{suffix}", self.negative),
            doubled=change(f"doubled{suffix}", self.doubled),
            doubled_alone=(
                None if self.doubled_alone is None else change(f"doubled_alone{suffix}", self.doubled_alone)
            ),
            six=self.six.map(change, f"{suffix}_six"),
            four=self.four.map(change, f"{suffix}_four"),
            place=tuple(change(f"place{suffix}_{k}", one) for k, one in enumerate(self.place)),
            lanes=None if self.lanes is None else self.lanes.map(change, f"{suffix}_lane"),
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

    def sums_of(self, candidate: int) -> tuple[Value, Value]:
        """Return the squares and the products under S6, 0, or S4, 1."""
        return self.squares[candidate], self.products[candidate]


def _tensor_scale_ports(form: QuantizerForm) -> dict[str, wiring.Member]:
    """Return the ports of a tensor scale, where there is one."""
    if not form.spec.tensor_scale:
        return {}
    return {"g_exponent": In(signed(G_EXPONENT_BITS)), "g_fraction": In(G_MANTISSA_BITS)}


def _connect_tensor_scale(m: Module, lanes: Lanes, one: "RoundedScale | ScaledSignificands") -> None:
    """Give a component the tensor scale, where there is one."""
    if lanes.g is not None:
        m.d.comb += [one.g_exponent.eq(lanes.g.exponent), one.g_fraction.eq(lanes.g.fraction)]


class RoundedScale(wiring.Component):
    """Choose the scale that brings the largest magnitude to `top`.

    Combinational.

    Args:
        form: How the quantizer is built.
        top: 6 or 4.

    Members:
        largest: The largest magnitude, see `LargestMagnitude`.
        g_exponent: See `TensorScale`; only where there is one.
        g_fraction: Likewise.
        code: The scale's code.
    """

    largest: Signal
    g_exponent: Signal
    g_fraction: Signal
    code: Signal

    def __init__(self, form: QuantizerForm, top: int) -> None:
        self.form = form
        self.top = top
        bits, sticky = searched_bits(form)
        super().__init__(
            {
                "largest": In(form.input.exponent_bits + bits + sticky),
                **_tensor_scale_ports(form),
                "code": Out(form.scale.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chooser = ScaleStep(self.form)
        if self.form.spec.tensor_scale:
            g = TensorScale(self.g_exponent, self.g_fraction)
            m.d.comb += self.code.eq(chooser.divided(m, self.largest, g, self.top))
            return m
        exponent, fraction, below = chooser.normalised(m, self.largest)
        code, _ = chooser.nearest(m, self.largest, exponent, fraction, below, self.top)
        m.d.comb += self.code.eq(code)
        return m


class ScaledSignificands(wiring.Component):
    """Compare the significands of a block's magnitudes with that of a scale.

    Combinational.

    Args:
        form: How the quantizer is built.

    Members:
        fraction: The bits behind the leading ones of the magnitudes, side by side, the first one lowest.
        below: For each whether any bit is set below them.
        code: The scale's code. Zero reads as the least scale above.
        g_exponent: See `TensorScale`; only where there is one.
        g_fraction: Likewise.
        significand: The scale's, normalised.
        product: Times that of the tensor scale; only where there is one.
        next_binade: The last bit of the scale's own exponent; likewise.
        least: The exponent field of the least midpoint, see `ScaleMultiples`.
        above: For each magnitude whether its significand is above that of the scale.
        over: For each where it is in its binade, see `SignificandComparison`.
    """

    fraction: Signal
    below: Signal
    code: Signal
    g_exponent: Signal
    g_fraction: Signal
    significand: Signal
    product: Signal
    next_binade: Signal
    least: Signal
    above: Signal
    over: Signal

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes = form.spec.block_size
        super().__init__(
            {
                "fraction": In(lanes * form.element_fraction_bits),
                "below": In(lanes),
                "code": In(form.scale.bits),
                **_tensor_scale_ports(form),
                "significand": Out(form.scale.mantissa_bits + 1),
                **(
                    {"product": Out(form.multiple_bits + 1), "next_binade": Out(1)}
                    if form.spec.tensor_scale
                    else {}
                ),
                "least": Out(least_bits(form)),
                "above": Out(lanes),
                "over": Out(3 * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self.form
        told: Value = self.code
        if form.scale.zero_code is not None:
            told = wire(m, Cat(self.code[0] | ~self.code.any(), self.code[1:]), "code_above_zero")
        midpoints = MidpointsStep(form)
        if form.spec.tensor_scale:
            scaled = midpoints.scaled(m, told, TensorScale(self.g_exponent, self.g_fraction))
            multiple = midpoints.scaled_multiples(m, scaled)
            m.d.comb += [
                self.significand.eq(scaled.own_significand),
                self.product.eq(Cat(scaled.fraction, Const(1, 1))),
                self.next_binade.eq(scaled.own_exponent[0]),
            ]
        else:
            multiple = midpoints.multiples(m, told)
        compared = [
            compare_significands(
                m,
                multiple,
                self.fraction.word_select(k, form.element_fraction_bits),
                self.below[k],
                k,
                fast=form.fast,
            )
            for k in range(form.spec.block_size)
        ]
        if not form.spec.tensor_scale:
            leading = Const(0, 0) if multiple.fraction is None else multiple.fraction[0]
            m.d.comb += self.significand.eq(Cat(leading, Const(1, 1)))
        m.d.comb += [
            self.least.eq(multiple.least),
            self.above.eq(Cat(*(one.above for one in compared))),
            self.over.eq(Cat(*(one.over for one in compared))),
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
        # A scale's register may be named as the component would be, where there are so many stages.
        name = "scale_of" if self.form.spec.stochastic else "scale"
        for top in (6, 4):
            one = RoundedScale(self.form, top)
            add_submodule(m, platform, f"{name}_{top}", one)
            m.d.comb += one.largest.eq(before.largest)
            _connect_tensor_scale(m, before.lanes, one)
            codes.append(one.code)
        nan = wire(m, before.largest[-self.form.input.exponent_bits :].all(), "nan")
        return TwoScales(before.lanes, nan, codes[0], codes[1])


class CandidatesStep(Step[TwoScales, Candidates]):
    """Round the elements under both scales, and place each magnitude by its element under S4.

    Elements are rounded to nearest, whatever the specification says of them.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.again = form.spec.stochastic
        form = form.to_nearest
        self.form = form
        steps = (MidpointsStep(form), CompareStep(form), RoundStep(form))
        lanes = form.spec.block_size
        super().__init__(
            "candidates",
            StepDelay(sum(step.depth.alone for step in steps), hidden=2),
            lanes * (form.input.mantissa_bits + 1 + _places(form) + 7)
            + 2 * (form.scale.bits + form.scale.mantissa_bits + 1)
            + 1
            + form.spec.tensor_scale * (2 * form.multiple_bits + 3),
        )

    def build(self, m: Module, platform: object, before: TwoScales) -> Candidates:
        form = self.form
        lanes = aligned_lanes(m, form, before.lanes.magnitude, "scaled_" if form.spec.tensor_scale else "")
        under: list[ScaledSignificands] = []
        for top, code in ((6, before.six), (4, before.four)):
            one = ScaledSignificands(form)
            add_submodule(m, platform, f"significands_{top}", one)
            m.d.comb += [
                one.fraction.eq(Cat(*(lane.fraction for lane in lanes))),
                one.below.eq(Cat(*(lane.below for lane in lanes))),
                one.code.eq(code),
            ]
            _connect_tensor_scale(m, before.lanes, one)
            under.append(one)
        six, four = under
        compare = CompareStep(form)
        binades, inside, beyond = compare.binades(
            m, six.least, lanes, list(six.above), before.lanes.magnitude
        )
        doubled = wire(m, six.least[0] ^ four.least[0], "four_is_doubled")
        alive = (Const(1), Const(1))
        if form.scale.zero_code is not None:
            alive = (wire(m, before.six.any(), "six_alive"), wire(m, before.four.any(), "four_alive"))
        scaled = form.spec.tensor_scale
        of_six: list[Value] = []
        of_four: list[Value] = []
        place: list[Value] = []
        for k, lane in enumerate(lanes):
            below, up = doubled, Const(0)
            if not form.bare:
                below = wire(m, doubled ^ six.above[k] ^ four.above[k], f"is_binade_below_{k}")
                up = ~six.above[k]
            lower, outside = _less(m, binades[k], below, f"lower_{k}")
            if form.bare:
                outside = outside | ~(four.above[k] | lower.any())
            for elements, binade, over, live, name in (
                (of_six, binades[k], six.over.word_select(k, 3), inside[k] & alive[0], f"six_{k}"),
                (of_four, lower, four.over.word_select(k, 3), inside[k] & ~outside & alive[1], f"four_{k}"),
            ):
                code = code_of(m, binade, over, f"{name}_rounded")
                if beyond is not None:
                    code = code | repeat(beyond[k], 3)
                elements.append(wire(m, code & repeat(live, 3), name))
            # The binade of the exponents is one up where the significand is not above that of S6.
            distance = add(
                m,
                list(binades[k]),
                [of_four[k][1], of_four[k][2], Const(0)],
                up,
                "ripple",
                f"distance_{k}_",
            )
            place.append(_placed(m, form, Cat(lane.whole, Const(1, 1)), distance, k))
        return Candidates(
            before.nan,
            before.lanes.negative,
            doubled,
            wire(m, six.next_binade ^ four.next_binade, "four_alone_is_doubled") if scaled else None,
            Candidate(before.six, six.significand, six.product if scaled else None, tuple(of_six)),
            Candidate(before.four, four.significand, four.product if scaled else None, tuple(of_four)),
            tuple(place),
            before.lanes if self.again else None,
        )


def _less(m: Module, value: Value, one: Value, name: str) -> tuple[Value, Value]:
    """Return a number less one or zero, and whether that is below zero."""
    digits: list[Value] = []
    borrow = one
    for i, digit in enumerate(value):
        digits.append(digit ^ borrow)
        borrow = wire(m, borrow & ~digit, f"{name}_borrow_{i}")
    return wire(m, Cat(*digits), name), borrow


def _placed(
    m: Module, form: QuantizerForm, significand: Value, distance: Sequence[Value], lane: int
) -> Value:
    """Return a significand moved up by 0 to 8 places; by 9 where there is a tensor scale."""
    width = len(significand) + _places(form)
    by_one = wire(
        m,
        Mux(distance[0], Cat(Const(0, 1), significand), Cat(significand, Const(0, 1))),
        f"moved_{lane}_by_1",
    )
    by_two = wire(
        m, Mux(distance[1], Cat(Const(0, 2), by_one), Cat(by_one, Const(0, 2))), f"moved_{lane}_by_2"
    )
    by_four = Mux(distance[2], Cat(Const(0, 4), by_two), Cat(by_two, Const(0, 4)))
    extended = Cat(by_four, Const(0, width - len(by_four)))
    by_eight = Cat(Const(0, 8), by_one if form.spec.tensor_scale else significand)
    return wire(m, Mux(distance[3], by_eight, extended), f"placed_{lane}")


class ErrorSumsStep(Step[Candidates, ErrorSums]):
    """Sum squared elements, and magnitudes times elements, under both scales.

    With X a magnitude moved up by the exponent of its element under S4, that element times the magnitude is
    X, or X and half of X. The element under S6 times the magnitude is X, 3/2, 2 or 3 times X: X, and half,
    once or twice X. So X is summed once for both scales, and each has one more row a lane.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes = form.spec.block_size
        bits = form.input.mantissa_bits + _binades(form) + 4 + lanes.bit_length()
        super().__init__(
            "error_sums",
            StepDelay(40 if form.fast else 80, hidden=5),
            7 * lanes + 2 * (bits + 8 + lanes.bit_length()),
        )

    def build(self, m: Module, platform: object, before: Candidates) -> ErrorSums:
        squares = (
            self._squares(m, platform, before.six.element, "six"),
            self._squares(m, platform, before.four.element, "four"),
        )
        kept = replace(before, place=())
        return ErrorSums(kept, squares, self._products(m, platform, before))

    def _squares(self, m: Module, platform: object, elements: tuple[Value, ...], name: str) -> Value:
        largest = _MAGNITUDES[-1] ** 2
        columns = self._columns((len(elements) * largest).bit_length(), f"squares_{name}")
        for k, element in enumerate(elements):
            at = [wire(m, element == code, f"of_{name}_{k}_is_{code}") for code in range(8)]
            for i in range(largest.bit_length()):
                ones = [one for one, value in zip(at, _MAGNITUDES, strict=True) if value**2 >> i & 1]
                if ones:
                    columns.put(i, wire(m, any_of(ones), f"of_{name}_{k}_square_{i}"))
        return _total(m, platform, self.form, columns)

    def _products(self, m: Module, platform: object, before: Candidates) -> tuple[Value, Value]:
        form = self.form
        most = form.spec.block_size * _MAGNITUDES[-1] << form.input.mantissa_bits + _binades(form)
        width = most.bit_length()
        common = self._columns(width, "common")
        under = (self._columns(width, "products_six"), self._columns(width, "products_four"))
        for k, (six, four, place) in enumerate(
            zip(before.six.element, before.four.element, before.place, strict=True)
        ):
            some = wire(m, four.any(), f"some_{k}")
            and_half = wire(m, four[0] & four[1:].any(), f"and_half_{k}")
            larger = wire(m, six[1] ^ four[1], f"larger_{k}")
            threefold = wire(m, six[0] & six[1:].any(), f"threefold_{k}")
            half = wire(m, threefold & ~larger, f"half_{k}")
            twice = wire(m, threefold & larger, f"twice_{k}")
            once = wire(m, (larger & ~threefold) | (six[0] & ~some), f"once_{k}")
            # Where half of X is added, X is even: the element's exponent is not the least.
            bits = len(place)
            more = wire(
                m,
                (place[1:] & repeat(half, bits - 1))
                | (place & repeat(once, bits))
                | Cat(Const(0, 1), place & repeat(twice, bits)),
                f"more_{k}",
            )
            common.put_all(0, place & repeat(some, bits))
            under[0].put_all(0, more)
            under[1].put_all(0, place[1:] & repeat(and_half, bits - 1))
        rows = common.carry_save(m) if form.fast else (common.total(m, "ripple"),)
        for i, row in enumerate(rows):
            named = wire(m, row, f"common_row_{i}")
            for columns in under:
                columns.put_all(0, named, _LATE)
        return _total(m, platform, form, under[0]), _total(m, platform, form, under[1])

    def _columns(self, width: int, name: str) -> Columns:
        return Columns(width, name=name, order=self.form.order, balanced=self.form.fast)


def _total(m: Module, platform: object, form: QuantizerForm, columns: Columns) -> Value:
    """Return the sum of columns."""
    if not form.fast:
        return wire(m, columns.total(m, "ripple"), f"{columns.name}_total")
    adder = FinalAdder(width=columns.width, adder="sklansky")
    add_submodule(m, platform, f"{columns.name}_adder", adder)
    save, carry = columns.carry_save(m)
    m.d.comb += [adder.save.eq(save), adder.carry.eq(carry)]
    return adder.total


def _take_away(columns: Columns, place: int, row: Value) -> None:
    """Put a number in columns that is to be subtracted."""
    columns.put_all(place, ~row)
    columns.put_constant(-((1 << len(row)) - 1) << place)


class ChooseStep(Step[ErrorSums, QuantizedBlock]):
    """Compare the two sums of squared errors, and let one block through.

    The magnitudes' unit is the last bit of a significand in the binade of S6 / 4. With f and m bits of the
    input's and the scale's mantissas, a scale is ``significand * 2**(f + 2 - m)`` of it. With elements in
    halves, what a block's sum of squares is more than that of its errors, divided by that power of two, is
    ``significand * (products - significand * 2**(f - m) * squares)``. It is not below zero, as no element is
    further from its magnitude than zero is, and not above the sum of squares divided by that power of two.

    With a tensor scale the inner significand is that of the product, of more bits than the input's may have:
    both sides are counted in so much smaller units. The outer one is the scale's own: what is left out is the
    tensor scale on both sides.
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
        six, four = candidates.six, candidates.four
        takes_four, chosen = self.choice(m, platform, before)
        live = ~candidates.nan if scale.zero_code is None else ~candidates.nan & chosen.any()
        live = wire(m, live, "live")
        codes: list[Value] = []
        for k, (of_six, of_four) in enumerate(zip(six.element, four.element, strict=True)):
            codes += [Mux(takes_four, of_four, of_six) & repeat(live, 3), candidates.negative[k] & live]
        return QuantizedBlock(Cat(*codes), chosen | repeat(candidates.nan, scale.bits))

    def choice(self, m: Module, platform: object, before: ErrorSums) -> tuple[Value, Value]:
        """Return whether S4 is taken, and the code of the scale that is."""
        form, scale, candidates = self.form, self.form.scale, before.candidates
        six, four = candidates.six, candidates.four
        factors = [one.significand if one.product is None else one.product for one in (six, four)]
        of_six = self._saved(m, platform, factors[0], *before.sums_of(0), "six")
        squares, products = before.sums_of(1)
        # In the next binade S4 is twice what its significand says, as a factor of the squares and at the end.
        squares = self._doubled(m, candidates.doubled, squares, "four_squares")
        of_four = self._saved(m, platform, factors[1], squares, products, "four")
        doubled = candidates.doubled if candidates.doubled_alone is None else candidates.doubled_alone
        of_four = self._doubled(m, doubled, of_four, "four_saved_doubled")
        mantissas = form.input.mantissa_bits + scale.mantissa_bits
        most = form.spec.block_size << mantissas + 2 * _binades(form) - 2
        if form.spec.tensor_scale:
            # The scale's own significand is up to twice what it would be without the tensor scale's.
            most <<= form.saved_places + 1
        columns = Columns(most.bit_length() + 1, name="difference", order=form.order, balanced=form.fast)
        for i, bit in enumerate(six.significand):
            columns.put_all(i, of_six & repeat(bit, len(of_six)))
        for i, bit in enumerate(four.significand):
            _take_away(columns, i, of_four & repeat(bit, len(of_four)))
        takes_four = _total(m, platform, form, columns)[-1]
        if scale.zero_code is not None:
            takes_four = takes_four | ~six.scale.any()
        takes_four = wire(m, takes_four, "takes_four")
        return takes_four, wire(m, Mux(takes_four, four.scale, six.scale), "chosen_scale")

    def _saved(
        self, m: Module, platform: object, significand: Value, squares: Value, products: Value, name: str
    ) -> Value:
        """Return ``products - significand * 2**(f - m) * squares``, as a whole number."""
        form = self.form
        shift = max(0, form.input.mantissa_bits - form.multiple_bits)
        products = Cat(Const(0, form.saved_places), products)
        columns = Columns(len(products), name=f"saved_{name}", order=form.order, balanced=form.fast)
        columns.put_all(0, products)
        for i, bit in enumerate(significand):
            row: Value = squares & repeat(bit, len(squares))
            if form.spec.tensor_scale:
                # As a signal: a bit of it is walked as the whole of it.
                row = wire(m, row, f"squares_{name}_{i}")
            _take_away(columns, shift + i, row)
        return _total(m, platform, form, columns)

    def _doubled(self, m: Module, doubled: Value, value: Value, name: str) -> Value:
        zero = Const(0, 1)
        return wire(m, Mux(doubled, Cat(zero, value), Cat(value, zero)), name)


class ChooseScaleStep(Step[ErrorSums, ChosenScale]):
    """Compare the two sums of squared errors, and let one scale through."""

    def __init__(self, form: QuantizerForm) -> None:
        self.choose = ChooseStep(form)
        super().__init__(
            "choose",
            self.choose.depth,
            form.spec.block_size * (form.magnitude_bits + 1) + form.scale.bits + 1,
        )

    def build(self, m: Module, platform: object, before: ErrorSums) -> ChosenScale:
        lanes = before.candidates.lanes
        assert lanes is not None
        return ChosenScale(lanes, before.candidates.nan, self.choose.choice(m, platform, before)[1], None)


def four_over_six_steps(form: QuantizerForm) -> tuple[Step[Any, Any], ...]:
    """Return the steps from the `LargestMagnitude` to the `QuantizedBlock`.

    Under ``stochastic`` they end in the `ChosenScale`: scales are compared by elements rounded to nearest,
    and elements are rounded once more under the scale that is taken.
    """
    compare = (TwoScalesStep(form), CandidatesStep(form), ErrorSumsStep(form))
    return (*compare, ChooseScaleStep(form) if form.spec.stochastic else ChooseStep(form))
