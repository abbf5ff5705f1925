"""From the largest magnitude to the scale's code: by comparing with exact thresholds, without a division."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..leaves.bits import normalise, repeat, wire
from ..leaves.comparison import add_constant, count_passed, passes_constant
from ..step_delays import StepDelay
from ..steps.records import Step
from .divided_scale import divided_code
from .form import QuantizerForm, least_bits
from .largest_magnitude import searched_bits
from .midpoints import TABLE_BITS, chosen, tabled_multiples
from .records import ChosenScale, LargestMagnitude, ScaleMultiples, TensorScale
from .scale_thresholds import ScaleThresholds, Threshold
from .tensor_scale import divided_power, normalised_largest

__all__ = ["ScaleStep"]


class ScaleStep(Step[LargestMagnitude, ChosenScale]):
    """Choose the scale of a block.

    A sixth of the largest magnitude A * 2**a, 1 <= A < 2, is A * (2/3) * 2**(a - 2) or, where that is less
    than 2**(a - 2), A * (4/3) * 2**(a - 3). So within a binade of the largest magnitude a normal scale's code
    grows by one at ``2**mantissa_bits`` thresholds, three times an odd number of ``mantissa_bits + 2`` bits
    each, and the count of those that A passes, behind the exponent, is the code. The codes of subnormals have
    thresholds of their own, 3 (2 k + 1) steps of the least one; they are compared with as they are.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__("scale", StepDelay(16, hidden=2), form.lane_bits + form.scale.bits + 1)

    def build(self, m: Module, platform: object, before: LargestMagnitude) -> ChosenScale:
        form = self.form
        if before.lanes.g is not None:
            top = 4 if form.spec.method == "floor" else 6
            code = self.divided(m, before.largest, before.lanes.g, top)
            nan = wire(m, before.largest[-form.input.exponent_bits :].all(), "nan")
            return ChosenScale(before.lanes, nan, code, None)
        exponent, fraction, below = self.normalised(m, before.largest)
        match form.spec.method:
            case "floor":
                code, multiple = self._whole(m, before.largest, exponent, Const(0), -2)
            case "ceil":
                more = wire(m, fraction[-1] & (fraction[:-1].any() | below), "above_three_halves")
                code, multiple = self._whole(m, before.largest, exponent, more, -2)
            case _:
                code, multiple = self.nearest(m, before.largest, exponent, fraction, below)
        nan = wire(m, before.largest[-form.input.exponent_bits :].all(), "nan")
        return ChosenScale(before.lanes, nan, code, multiple)

    def normalised(self, m: Module, largest: Value) -> tuple[Value, Value, Value]:
        """Return exponent, fraction and what is below of the largest magnitude, a subnormal one normalised.

        The exponent is that of the field, as a number with a sign. Where subnormals are not normalised, they
        have a field of 0 and the fraction that they have: that is below every threshold that is told.
        """
        form = self.form
        bits, sticky = searched_bits(form)
        below = largest[0] if sticky else Const(0)
        fraction, field = largest[int(sticky) : sticky + bits], largest[sticky + bits :]
        if form.scale_depth:
            normal = wire(m, field.any(), "normal")
            shifted, zeros = normalise(m, Cat(fraction, normal))
            least = Cat(field[0] | ~normal, field[1:], Const(0)).as_signed()
            return self._wide(m, least - zeros), shifted[:-1], below
        return self._wide(m, field), fraction, below

    def divided(self, m: Module, largest: Value, g: TensorScale, top: int) -> Value:
        """Return the code nearest to a sixth or quarter of the largest magnitude over a tensor scale."""
        if self.form.scale.mantissa_bits:
            return divided_code(m, self.form, largest, g, top)
        exponent, significand = normalised_largest(m, self.form, largest)
        return divided_power(m, self.form, exponent, significand, g, top)

    def _wide(self, m: Module, exponent: Value) -> Value:
        """Return an exponent with room for a sign and for the scale's."""
        width = max(self.form.input.exponent_bits, self.form.scale.exponent_bits) + 2
        wide = Signal(width, name="exponent")
        m.d.comb += wide.eq(exponent)
        return wide

    def _field(self, m: Module, exponent: Value, offset: int, more: Value) -> tuple[Value, Value]:
        """Return the exponent field of a scale, and whether it is below zero."""
        form = self.form
        constant = offset + form.scale.bias - form.input.bias
        total = add_constant(m, exponent, constant, more, len(exponent), "field", fast=form.fast)
        return total[: form.scale.exponent_bits], total[-1]

    def _whole(
        self, m: Module, largest: Value, exponent: Value, more: Value, offset: int
    ) -> tuple[Value, ScaleMultiples | None]:
        """Return the code of a format that is all exponent: 0 for what is below the least, and for zero.

        Where time counts, the exponent field of the least midpoint comes with it: told from the largest
        magnitude's exponent, it need not wait for the code.
        """
        form = self.form
        field, below = self._field(m, exponent, offset, more)
        if form.scale_depth:
            below = below | ~largest.any()
        below = wire(m, below, "below")
        code = wire(m, field & repeat(~below, len(field)), "power_code")
        if not form.fast:
            return code, None
        bits = least_bits(form)
        least = add_constant(m, exponent, offset + form.element_least, more, bits, "least_above", fast=True)
        lowest = form.input.bias - form.scale.bias + form.element_least
        least = wire(m, Mux(below, Const(lowest & ((1 << bits) - 1), bits), least), "least")
        return code, ScaleMultiples(least, None, None)

    def nearest(
        self, m: Module, largest: Value, exponent: Value, fraction: Value, below: Value, top: int = 6
    ) -> tuple[Value, ScaleMultiples | None]:
        """Return the code nearest to a sixth or quarter of the largest magnitude; and what `_whole` does."""
        rule = self.form.thresholds(top)
        form, scale = self.form, self.form.scale
        wanted = form.fraction_bits
        short = max(0, wanted - len(fraction))
        surplus = max(0, len(fraction) - wanted)
        below = fraction[:surplus].any() | below
        fraction = Cat(Const(0, short), fraction[surplus:])
        passed: list[Value] = []
        if not scale.mantissa_bits:
            # A tie is decided by the last bit of the exponent: from an odd code it goes up.
            odd = exponent[0] ^ (rule.exponent_offset + scale.bias - form.input.bias & 1)
            below = below | odd
        for k, threshold in enumerate(rule.binade):
            at = int((threshold.magnitude - 1) * (1 << wanted))
            equal = 1 if threshold.included else below
            passed.append(passes_constant(m, fraction, at, equal, f"passed_{k}"))
        if scale.powers_of_two:
            return self._whole(m, largest, exponent, passed[0], rule.exponent_offset)
        first = rule.mantissa_at_one
        mantissa = count_passed(passed, first, scale.mantissa_bits)
        more = passed[(1 << scale.mantissa_bits) - first - 1]
        field, _ = self._field(m, exponent, rule.exponent_offset, more)
        normal = self._passes(m, largest, rule.normal_from, "is_normal")
        subnormal = self._subnormal(m, largest, rule)
        code = Mux(normal, Cat(mantissa, field), count_passed(subnormal, 0, scale.mantissa_bits + 1))
        saturated: Value = Const(0)
        if rule.saturation is not None:
            saturated = self._passes(m, largest, rule.saturation, "saturated")
            code = Mux(saturated, Const(scale.largest_code, scale.bits), code)
        code = wire(m, code, "nearest_code")
        if not form.fast or scale.mantissa_bits > TABLE_BITS:
            return code, None
        return code, self._told_multiples(m, exponent, rule, passed, subnormal, normal, saturated)

    def _subnormal(self, m: Module, largest: Value, rule: ScaleThresholds) -> list[Value]:
        """Return which thresholds of subnormal scales, and of the least normal one, are passed."""
        passed = [
            self._passes(m, largest, threshold, f"subnormal_{k}")
            for k, threshold in enumerate(rule.subnormal)
        ]
        if self.form.spec.method == "prevent_zero":
            passed[0] = wire(m, largest.any(), "above_zero")
        return passed

    def _told_multiples(
        self,
        m: Module,
        exponent: Value,
        rule: ScaleThresholds,
        passed: Sequence[Value],
        subnormal: Sequence[Value],
        normal: Value,
        saturated: Value,
    ) -> ScaleMultiples:
        """Return the multiples of the scale, told from the thresholds that are passed, without the code.

        Those of a normal scale, of a subnormal one and of the largest one are told beside each other, and one
        of the three is let through.
        """
        form, scale = self.form, self.form.scale
        bits, steps = least_bits(form), 1 << scale.mantissa_bits
        offset = form.input.bias - scale.bias + form.element_least
        first = rule.mantissa_at_one
        carry, up = passed[steps - first - 1], rule.exponent_offset + form.element_least
        least = add_constant(m, exponent, up, carry, bits, "least_normal", fast=True)
        of_normal = tabled_multiples(
            m,
            form,
            _places(m, passed, "normal_place"),
            [steps + (first + count) % steps for count in range(steps + 1)],
            least,
            "of_normal",
        )
        places = _places(m, subnormal, "subnormal_place")
        # The least normal scale comes last. A scale of zero has no elements, whatever it reads as.
        shifts = [scale.significand_bits - max(code, 1).bit_length() for code in range(steps + 1)]
        table = [(1 - shift + offset) & ((1 << bits) - 1) for shift in shifts]
        of_subnormal = tabled_multiples(
            m, form, places, list(range(steps + 1)), chosen(places, table, bits), "of_subnormal"
        )
        top_field, top_mantissa = divmod(scale.largest_code, steps)
        of_largest = tabled_multiples(
            m,
            form,
            [Const(1)],
            [steps + top_mantissa],
            Const((top_field + offset) & ((1 << bits) - 1), bits),
            "of_largest",
        )
        told = [list(one.named().values()) for one in (of_normal, of_subnormal, of_largest)]
        chosen_values = [
            wire(m, Mux(saturated, c, Mux(normal, a, b)), f"multiple_{k}")
            for k, (a, b, c) in enumerate(zip(*told, strict=True))
        ]
        least, *fractions = chosen_values
        wraps = fractions.pop() if form.factors else None
        return ScaleMultiples(least, tuple(fractions), wraps)

    def _passes(self, m: Module, largest: Value, threshold: Threshold, name: str) -> Value:
        """Return whether the largest magnitude is above a threshold, or equals one that is included."""
        at, exact = self.form.place(threshold.magnitude, *searched_bits(self.form))
        return passes_constant(m, largest, at, int(exact and threshold.included), name)


def _places(m: Module, passed: Sequence[Value], name: str) -> list[Value]:
    """Return for each count of passed thresholds whether it is the count."""
    return [
        wire(
            m,
            (passed[k - 1] if k else Const(1)) & (~passed[k] if k < len(passed) else Const(1)),
            f"{name}_{k}",
        )
        for k in range(len(passed) + 1)
    ]
