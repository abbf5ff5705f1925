"""The scale of a block under a tensor scale g: the quotient of the largest magnitude and 6 g, or 4 g.

Nothing is divided. With A * 2**a the largest magnitude, G * 2**c = g and 1 <= A, G < 2, the divisor is
D = 3 G / 2 (or G). With M the scale's ``mantissa_bits`` there is an n of 0, 1 or 2 with
v = 2**M * A * 2**n / D from 2**M to below 2**(M + 1); then the scale's exponent is a - c - 2 - n, and its
significand v, rounded.

1. Two short logarithms tell n, and q so near to v that v rounded is q or q + 1: see `EstimateTables`.
   A subnormal scale has p digits less: the lowest p of q are made zero, and one more means ``2**p`` more.
2. One comparison decides between the two: of 2 v with the number between, t = 2 q + 2**p. That is
   ``A * 2**(M + 2 + n) / 3`` against t G. A third of A is told digit by digit, and from its last digit on it
   repeats two digits without end; so it takes no more bits than A, and t G is one sum of few rows.
3. The significand that is taken, times G, is one more sum. Its last p digits are zero, and so its leading one
   is where that of any other is.

v need not be from 2**M to 2**(M + 1): a bit less, or more, tells the same scale. Only where it decides
between no scale and the least one, at p = M + 2, a scale of n - 1 is told instead.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ..leaves.bits import repeat, wire
from ..leaves.comparison import add_constant, any_of, count_passed, exceeds, passes_constant
from ..leaves.compressor import Columns
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import G_BIAS, G_MANTISSA_BITS, QuantizerForm, least_bits
from .records import (
    ChosenScale,
    DividedScale,
    EstimatedScale,
    LargestMagnitude,
    ScaledProduct,
    ScaleEstimate,
    TensorScale,
)
from .scale_estimate import estimate_tables
from .tensor_scale import looked_up, normalised_largest, saturated, times, total_of

__all__ = ["DivideStep", "EstimateStep", "TensorScaleProductStep", "divided_code"]


def estimated(m: Module, form: QuantizerForm, largest: Value, g: TensorScale, top: int) -> ScaleEstimate:
    """Return what is known of the scale before the comparison that decides it.

    Args:
        m: The module to build in.
        form: How the quantizer is built.
        largest: The largest magnitude, see `LargestMagnitude`.
        g: The tensor scale.
        top: 6 or 4.
    """
    scale = form.scale
    mantissa = scale.mantissa_bits
    exponent, significand = normalised_largest(m, form, largest)
    tables = estimate_tables(mantissa, form.input.mantissa_bits, top)
    width = tables.bits + 2
    log_a, log_g = (
        looked_up(m, whole[len(whole) - (len(table) - 1).bit_length() :], table, width, name)
        for whole, table, name in (
            (significand[:-1], tables.magnitude, "log_of_largest"),
            (g.fraction, tables.divisor, "log_of_divisor"),
        )
    )
    log_a = log_a[: max(tables.magnitude).bit_length()]
    logarithm = wire(m, (log_a + log_g)[:width], "log_of_quotient")
    two_less_n = wire(m, logarithm[tables.bits :], "two_less_n")
    passed = [
        passes_constant(m, logarithm[: tables.bits], step, 1, f"quotient_passes_{k}")
        for k, step in enumerate(tables.steps, start=1)
    ]
    q = wire(m, Cat(count_passed(passed, 0, mantissa), Const(1, 1)), "estimate")

    difference = Signal(signed(form.exponent_room), name="exponent_difference")
    field = Signal(signed(form.exponent_room), name="quotient_field")
    m.d.comb += [
        difference.eq(exponent - g.exponent + (G_BIAS - form.input.bias + scale.bias - 4)),
        field.eq(difference + two_less_n),
    ]
    nothing = wire(m, ~significand[-1], "nothing")
    negative = field[-1]
    lacking, lacks = _lacking(m, difference, two_less_n, nothing, mantissa)
    kept = wire(m, Cat(*(digit & ~lacking[i + 1] for i, digit in enumerate(q))), "kept_digits")
    one_up = wire(m, lacking[mantissa + 2] & ~lacking[mantissa + 3] & ~two_less_n[1], "takes_n_less_one")
    far = wire(m, lacking[mantissa + 2] & ~one_up, "far_below")

    middle = Cat(*(lacks[0] if not i else kept[i - 1] | lacks[i] for i in range(mantissa + 1)))
    up: list[Value] = []
    carry = lacks[0]
    for i in range(mantissa):
        up.append(kept[i] ^ carry)
        carry = wire(m, (kept[i] & carry) | lacks[i + 1], f"up_carry_{i}")
    wraps = wire(m, carry | lacking[mantissa + 1], "up_wraps")

    low = [any_of([lacks[k] & kept[i + k] for k in range(mantissa + 1 - i)]) for i in range(mantissa)]
    code = wire(
        m,
        Cat(*low, *(bit & lacks[0] for bit in field[: scale.bits - mantissa])),
        "lower_code",
    )
    # From the largest code on that is the code, whatever is decided.
    saturates = wire(
        m,
        ~negative
        & ~nothing
        & passes_constant(m, Cat(q[:-1], field[:-1]), scale.largest_code, 1, "passes_largest"),
        "saturates",
    )
    largest_mantissa = scale.largest_code & ((1 << mantissa) - 1)
    code = wire(m, Mux(saturates, Const(scale.largest_code, scale.bits), code), "base_code")
    digits = wire(m, Mux(saturates, Const(largest_mantissa, mantissa), kept[:-1]), "base_digits")
    held: Value = saturates | far
    forced: Value | None = None
    if form.spec.method == "prevent_zero":
        forced = wire(m, lacking[mantissa + 1] & ~nothing, "is_least")
        held = saturates | nothing
    third, rest = _third(m, form, significand, two_less_n, one_up, top)
    return ScaleEstimate(
        code=code,
        digits=digits,
        digits_up=wire(m, Cat(*up), "digits_up"),
        wraps_up=wraps,
        held=wire(m, held, "held"),
        forced=forced,
        middle=wire(m, middle, "middle"),
        dividend=third,
        rest=rest,
        least=_least(m, form, exponent, g, two_less_n, one_up, saturates, far),
    )


def _lacking(
    m: Module, difference: Value, two_less_n: Value, nothing: Value, mantissa: int
) -> tuple[list[Value], list[Value]]:
    """Return whether p, the digits that a subnormal scale lacks, is k or more; and whether it is k.

    p is k or more if the scale's exponent field is not above 1 - k. That is told of the difference of
    exponents, which need not wait for what is added to it. From ``mantissa + 1`` on no digit is left, and
    what is told of k is told of more.
    """
    not_above = [_not_above(m, difference, 1 - k) for k in range(1, mantissa + 6)]
    lacking: list[Value] = [Const(1)]
    for k in range(mantissa + 3):
        below = Mux(two_less_n[1], not_above[k + 2], Mux(two_less_n[0], not_above[k + 1], not_above[k]))
        lacking.append(wire(m, below | nothing, f"lacks_{k + 1}"))
    lacks: list[Value] = [
        wire(m, one & ~more, f"lacks_just_{k}") for k, (one, more) in enumerate(itertools.pairwise(lacking))
    ]
    lacks[mantissa + 1] = lacking[mantissa + 1]
    return lacking, lacks


def _not_above(m: Module, number: Value, limit: int) -> Value:
    """Return whether a number with a sign is not above a limit, 0 or less."""
    negative = number[-1]
    if not limit:
        return wire(m, negative | ~number.any(), "is_not_above_0")
    # As ~x is -x - 1.
    return wire(
        m,
        negative & passes_constant(m, ~number[:-1], -limit - 1, 1, f"passes_minus_{-limit}"),
        f"is_not_above_minus_{-limit}",
    )


def _third(
    m: Module, form: QuantizerForm, significand: Value, two_less_n: Value, one_up: Value, top: int
) -> tuple[Value, Value]:
    """Return ``A * 2**(M + 2 + n) / 3`` in units of the last bit of G, and whether that is cut.

    Under a `top` of 4 it is ``A * 2**(M + 1 + n)``, and whole. `one_up` takes n - 1 for n.
    """
    places = form.scale.mantissa_bits + 2 + G_MANTISSA_BITS - form.input.mantissa_bits
    none, one, two = (
        two_less_n[1] | (two_less_n[0] & one_up),
        (two_less_n[0] & ~one_up) | (~two_less_n.any() & one_up),
        ~two_less_n.any() & ~one_up,
    )
    by = [wire(m, bit, f"moved_by_{k}") for k, bit in enumerate((none, one, two))]
    if top == 4:
        long = Cat(Const(0, 2), significand, Const(0, 2))
        chosen = _moved(m, long, by, len(significand) + 2, "dividend")
        return wire(m, Cat(Const(0, places - 1), chosen), "dividend_whole"), Const(0, 1)
    digits: list[Value] = []
    one_left: Value = Const(0)
    two_left: Value = Const(0)
    for k in reversed(range(len(significand))):
        bit = significand[k]
        none_left = ~(one_left | two_left)
        digits.insert(0, wire(m, two_left | (one_left & bit), f"third_{k}"))
        one_left, two_left = (
            wire(m, (none_left & bit) | (two_left & ~bit), f"one_left_{k}"),
            wire(m, (one_left & ~bit) | (two_left & bit), f"two_left_{k}"),
        )
    # Behind the last digit two repeat: 01 where one is left, 10 where two are.
    long = Cat(one_left, two_left, *digits[:-1], Const(0, 2))
    chosen = _moved(m, long, by, len(significand) + 1, "third_moved")
    odd = wire(m, Mux(by[1], one_left, two_left), "third_odd_digit")
    even = wire(m, Mux(by[1], two_left, one_left), "third_even_digit")
    behind = Cat(*(odd if (places - k) % 2 else even for k in range(places)))
    return wire(m, Cat(behind, chosen), "third_whole"), wire(m, one_left | two_left, "third_is_cut")


def _moved(m: Module, value: Value, by: Sequence[Value], width: int, name: str) -> Value:
    """Return a number without its last two bits, or moved up by as many places as `by` tells."""
    return wire(
        m,
        Cat(
            *(
                any_of([value[i + 2 - k] & one for k, one in enumerate(by) if i + 2 - k < len(value)])
                for i in range(width)
            )
        ),
        name,
    )


def _least(
    m: Module,
    form: QuantizerForm,
    exponent: Value,
    g: TensorScale,
    two_less_n: Value,
    one_up: Value,
    saturates: Value,
    far: Value,
) -> Value:
    """Return the exponent field of the least midpoint, if no significand wraps.

    It follows the largest magnitude's: what is taken away with the exponent of g comes back with it. Only
    the largest scale, and the least one where it is taken instead of zero, are not told by the magnitude.
    """
    scale, bits = form.scale, least_bits(form)
    following = Signal(signed(bits), name="least_following")
    m.d.comb += following.eq(exponent + two_less_n + one_up + (form.element_least - 4))
    offset = form.input.bias - scale.bias - G_BIAS + form.element_least
    fixed = Signal(signed(form.exponent_room), name="least_fixed")
    own: Value = Const((scale.largest_code >> scale.mantissa_bits) + offset, signed(form.exponent_room))
    told = saturates
    if form.spec.method == "prevent_zero":
        least_one = Const(offset - scale.mantissa_bits, signed(form.exponent_room))
        own = Mux(far, least_one, own)
        told = saturates | far
    m.d.comb += fixed.eq(g.exponent + own)
    return wire(m, Mux(told, saturated(m, form, fixed), following), "least_if_none_wraps").as_signed()


def threefold(m: Module, form: QuantizerForm, g: TensorScale) -> Value:
    """Return three times the significand of a tensor scale."""
    return times(m, wire(m, Cat(g.fraction, Const(1, 1)), "g_significand"), 3, "threefold_g", fast=form.fast)


def _put_product(m: Module, columns: Columns, digits: Value, g: TensorScale, three: Value, name: str) -> None:
    """Put G times a number of a leading one and these digits in columns: a row for two digits each."""
    ones = wire(m, Cat(g.fraction, Const(1, 1)), f"{name}_g")
    upper = wire(m, Mux(digits[-1], three, Cat(Const(0, 1), ones)), f"{name}_leading_row")
    columns.put_all(len(digits) - 1, upper)
    at = len(digits) - 1
    while at > 1:
        at -= 2
        low, high = digits[at], digits[at + 1]
        parts = [
            Cat(ones, Const(0, 2)) & repeat(low & ~high, len(ones) + 2),
            Cat(Const(0, 1), ones, Const(0, 1)) & repeat(high & ~low, len(ones) + 2),
            three & repeat(low & high, len(three)),
        ]
        columns.put_all(at, wire(m, parts[0] | parts[1] | parts[2], f"{name}_row_{at}"))
    if at:
        columns.put_all(0, wire(m, ones & repeat(digits[0], len(ones)), f"{name}_row_0"))


def decided(m: Module, form: QuantizerForm, estimate: ScaleEstimate, g: TensorScale, three: Value) -> Value:
    """Return whether the scale is one above its estimate."""
    width = len(estimate.dividend)
    columns = Columns(width + 1, name="middle_times_g", order=form.order, balanced=form.fast)
    _put_product(m, columns, estimate.middle, g, three, "middle")
    # With the last carry the sum reaches 2**width where t G is above the third, or equals it and that stays.
    columns.put_all(0, ~estimate.dividend)
    low, high = (wire(m, row, f"decision_row_{k}") for k, row in enumerate(columns.carry_save(m)))
    stays_if_equal = wire(m, ~(estimate.rest | estimate.code[0]), "stays_if_equal")
    carry = exceeds(m, low[:-1], ~high[:-1], stays_if_equal, "third", fast=form.fast)
    up: Value = ~(carry | low[-1] | high[-1])
    if estimate.forced is not None:
        up = up | estimate.forced
    return wire(m, up & ~estimate.held, "is_one_up")


def _raised(m: Module, form: QuantizerForm, code: Value, up: Value) -> Value:
    return add_constant(m, code, 0, up, len(code), "scale_code", fast=form.fast)


def divided_code(m: Module, form: QuantizerForm, largest: Value, g: TensorScale, top: int) -> Value:
    """Return the code of the scale that brings the largest magnitude to `top`, times g."""
    estimate = estimated(m, form, largest, g, top)
    return _raised(m, form, estimate.code, decided(m, form, estimate, g, threefold(m, form, g)))


class EstimateStep(Step[LargestMagnitude, EstimatedScale]):
    """Tell the scale but for one step, and what decides."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        mantissa = form.scale.mantissa_bits
        super().__init__(
            "estimate",
            StepDelay(42 if form.fast else 85, hidden=2),
            form.lane_bits
            + 2 * (G_MANTISSA_BITS + 2)
            + form.scale.bits
            + 3 * mantissa
            + form.input.mantissa_bits
            + least_bits(form)
            + 9,
        )

    def build(self, m: Module, platform: object, before: LargestMagnitude) -> EstimatedScale:
        form, g = self.form, before.lanes.g
        assert g is not None
        nan = wire(m, before.largest[-form.input.exponent_bits :].all(), "nan")
        estimate = estimated(m, form, before.largest, g, 6)
        return EstimatedScale(before.lanes, nan, estimate, threefold(m, form, g))


class DivideStep(Step[EstimatedScale, DividedScale]):
    """Decide between the two scales that are left."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "scale",
            StepDelay(25 if form.fast else 65, hidden=2),
            form.lane_bits
            + 2 * (G_MANTISSA_BITS + 2)
            + form.scale.bits
            + form.scale.mantissa_bits
            + least_bits(form)
            + 1,
        )

    def build(self, m: Module, platform: object, before: EstimatedScale) -> DividedScale:
        form, estimate, g = self.form, before.estimate, before.lanes.g
        assert g is not None
        up = decided(m, form, estimate, g, before.threefold)
        code = _raised(m, form, estimate.code, up)
        digits = wire(m, Mux(up, estimate.digits_up, estimate.digits), "scale_digits")
        wraps = wire(m, up & estimate.wraps_up, "scale_wraps")
        return DividedScale(before.lanes, before.nan, code, digits, wraps, estimate.least, before.threefold)


class TensorScaleProductStep(Step[DividedScale, ChosenScale]):
    """Multiply the scale by the tensor scale."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "product",
            StepDelay(24 if form.fast else 85, hidden=2),
            form.lane_bits + form.scale.bits + form.multiple_bits + least_bits(form) + 1,
        )

    def build(self, m: Module, platform: object, before: DividedScale) -> ChosenScale:
        form, g = self.form, before.lanes.g
        assert g is not None
        columns = Columns(form.multiple_bits + 1, name="scaled", order=form.order, balanced=form.fast)
        _put_product(m, columns, before.digits, g, before.threefold, "scaled")
        product = wire(m, total_of(m, form, columns), "scaled_significand")
        wraps = product[-1]
        fraction = wire(m, Mux(wraps, product[:-1], Cat(Const(0, 1), product[:-2])), "scaled_fraction")
        least = Signal(signed(least_bits(form)), name="least")
        m.d.comb += least.eq(before.least + before.wraps + wraps)
        # Nothing behind asks for the tensor scale again.
        lanes = replace(before.lanes, g=None)
        return ChosenScale(lanes, before.nan, before.scale, None, ScaledProduct(fraction, least))
