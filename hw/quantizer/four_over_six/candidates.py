"""The second step: the elements of a block under both scales."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hierarchy import add_submodule
from ...leaves.bits import repeat, wire
from ...leaves.compressor import add
from ...step_delays import StepDelay
from ...steps.records import Step
from ..element_rounding import CompareStep, ElementCodeStep, aligned_lanes, code_of, compare_significands
from ..form import QuantizerForm, least_bits
from ..midpoints import MidpointsStep
from ..records import TensorScale
from .records import Candidate, Candidates, TwoScales
from .tensor_scale_ports import connect_tensor_scale, tensor_scale_ports
from .widths import places

__all__ = ["CandidatesStep", "ScaledSignificands"]


class ScaledSignificands(wiring.Component):
    """Compare the significands of a block's magnitudes with that of a scale.

    Combinational.

    Args:
        form: How the quantizer is built.

    Attributes:
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
                **tensor_scale_ports(form),
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
            multiple = midpoints.scaled_multiples(m, scaled.fraction, scaled.least)
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


class CandidatesStep(Step[TwoScales, Candidates]):
    """Round the elements under both scales, and place each magnitude by its element under S4.

    Elements are rounded to nearest, whatever the specification says of them.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.again = form.spec.stochastic
        form = form.to_nearest
        self.form = form
        steps = (MidpointsStep(form), CompareStep(form), ElementCodeStep(form))
        lanes = form.spec.block_size
        super().__init__(
            "candidates",
            StepDelay(sum(step.depth.alone for step in steps), hidden=2),
            lanes * (form.input.mantissa_bits + 1 + places(form) + 7)
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
            connect_tensor_scale(m, before.lanes, one)
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
    width = len(significand) + places(form)
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
