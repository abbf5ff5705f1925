"""From magnitudes and midpoints to element codes: each lane aligns, compares and counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ...model.formats import Format
from ..leaves.bits import repeat, wire
from ..leaves.comparison import any_of, difference, exceeds, passes_constant
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import ELEMENT_FAR, QuantizerForm, least_bits
from .records import ComparedElements, Midpoints, QuantizedBlock, ScaleMultiples
from .scale_thresholds import exponent_of
from .tensor_scale import normalised

__all__ = [
    "CompareStep",
    "ElementCodeStep",
    "SignificandComparison",
    "aligned_lanes",
    "beyond_all",
    "code_of",
    "compare_significands",
    "is_live",
]


_DEEP = 6
"""Above so many binades of subnormals, a normaliser by halves is smaller than a place for each of them."""

_DEEP_FAST = 12
"""The same where time counts."""


@dataclass(frozen=True)
class Lane:
    """A magnitude as it is compared.

    Attributes:
        exponent: See `_normalised`.
        whole: All kept bits behind the leading one.
        zero: See `_normalised`.
        fraction: The bits behind the leading one that are compared.
        below: Whether any bit is set below them; of no meaning under ``stochastic``.
    """

    exponent: Value
    whole: Value
    zero: Value
    fraction: Value
    below: Value


@dataclass(frozen=True)
class SignificandComparison:
    """How the significand of a magnitude compares with that of a scale.

    A magnitude is above 1 and up to 2 times some power of two times the scale. That power is the one between
    the exponents where the significand is above the scale's, and half of it elsewhere.

    Attributes:
        above: The significand is above the scale's.
        over: Whether the multiple, from 1 to 2, is above 5/4, not below 3/2, and not below 7/4.
    """

    above: Value
    over: Value


def aligned_lanes(m: Module, form: QuantizerForm, magnitudes: Sequence[Value], name: str = "") -> list[Lane]:
    """Return the magnitudes as they are compared, subnormal ones normalised where that matters.

    Args:
        m: The module to build in.
        form: How the quantizer is built.
        magnitudes: See `Lanes`.
        name: What the wires' names begin with.
    """
    lanes: list[Lane] = []
    for k, magnitude in enumerate(magnitudes):
        exponent, whole, zero = _normalised(m, form, magnitude, f"{k}", name)
        wanted = form.element_fraction_bits
        surplus, short = max(0, len(whole) - wanted), max(0, wanted - len(whole))
        below = magnitude[0] if form.sticky else Const(0)
        if surplus and not form.spec.stochastic:
            below = wire(m, whole[:surplus].any() | below, f"{name}below_{k}")
        fraction: Value = Cat(Const(0, short), whole[surplus:])
        if form.spec.tensor_scale:
            # As a signal: a bit of a long Cat is walked as the whole of it.
            fraction = wire(m, fraction, f"{name}fraction_{k}")
        lanes.append(Lane(exponent, whole, zero, fraction, below))
    return lanes


def _normalised(
    m: Module, form: QuantizerForm, magnitude: Value, lane: str, name: str
) -> tuple[Value, Value, Value]:
    """Return a magnitude's exponent, all kept bits behind its leading one, and whether it is zero.

    The exponent is that of the field. Where subnormals may become more than zero it has a sign, turned
    over, so that it compares as an unsigned number does. Where the least midpoint of all is below the
    input's least number, the exponent of a zero tells nothing, and the last value does; else it is 0.
    """
    depth = form.element_depth
    kept = magnitude[int(form.sticky) : form.kept_bits + form.sticky]
    field = magnitude[form.kept_bits + form.sticky :]
    if not depth:
        return field, kept, Const(0)
    subnormal = wire(m, ~field.any(), f"{name}subnormal_{lane}")
    if depth > (_DEEP_FAST if form.fast else _DEEP):
        return _normalised_deep(m, form, field, Cat(kept, ~subnormal), f"{name}lane_{lane}")
    # The leading one of a subnormal, at place 1 to `depth` behind the point, or further behind.
    leads = [
        wire(m, subnormal & kept[-p] & ~any_of(list(kept[len(kept) - p + 1 :])), f"{name}leads_{lane}_{p}")
        for p in range(1, depth + 1)
    ]
    far = wire(m, subnormal & ~any_of(list(kept[len(kept) - depth :])), f"{name}far_{lane}")
    low: list[Value] = []
    for i in range(len(field)):
        ones = [lead for p, lead in enumerate(leads, start=1) if (1 - p) >> i & 1]
        low.append(field[i] | any_of([*ones, *([far] if -depth >> i & 1 else [])]))
    sign = any_of([*leads[1:], far])
    between = repeat(sign, least_bits(form) - len(low) - 1)
    exponent = wire(m, Cat(*low, between, ~sign), f"{name}exponent_{lane}")
    moved = kept & repeat(~subnormal, len(kept))
    for p, lead in enumerate(leads, start=1):
        moved = moved | (Cat(Const(0, p), kept[: len(kept) - p]) & repeat(lead, len(kept)))
    zero = far if depth == form.input.mantissa_bits else Const(0)
    return exponent, wire(m, moved, f"{name}moved_{lane}"), zero


def _normalised_deep(
    m: Module, form: QuantizerForm, field: Value, significand: Value, name: str
) -> tuple[Value, Value, Value]:
    """Do what `_normalised` does by halving the distance left, of a significand with its hidden bit."""
    moved, zeros = normalised(m, significand, name)
    exponent = Signal(signed(least_bits(form)), name=f"{name}_exponent")
    m.d.comb += exponent.eq(Mux(significand[-1], field, Const(1, 2) - zeros))
    return Cat(exponent[:-1], ~exponent[-1]), moved[:-1], ~moved[-1]


def compare_significands(
    m: Module, multiple: ScaleMultiples, fraction: Value, below: Value, lane: int, *, fast: bool
) -> SignificandComparison:
    """Compare a significand with 1, 3, 5 and 7 times that of the scale, normalised.

    With s the magnitude's significand and c the scale's, the multiple is s / c, or 2 s / c where s is not
    above c. It is not below 3/2, say, where s is not below 3 c / 2. That is below 2 where it does not wrap:
    then s above c leaves the comparison, and s up to c is not below 3 c / 4. Where it wraps, what s is
    compared with is 3 c / 4: s above c is below 3 c / 2, and s up to c leaves the comparison. So two of three
    decide: s is not above c, s passes, and the multiple does not wrap.

    Where the scale is a power of two, its multiples are told as of [1, 2) instead: then the binade is that of
    the exponents, and `above` says whether the significand is 1, which matters to the least midpoint alone.

    A tie with 1 or 5 times goes down, to the even code, and with 3 or 7 times it goes up. Where a multiple is
    cut to the magnitude's bits, what equals it is below it, unless nothing was cut.
    """
    width = len(fraction)
    passed: list[Value] = []
    for k, factor in enumerate((1, 3, 5, 7)):
        equal = below if factor in (1, 5) else 1
        if multiple.exact is not None and factor in (3, 7):
            equal = multiple.exact[k]
        name = f"passed_{lane}_{factor}"
        if multiple.fraction is None:
            # The significand is 1: its multiples begin with two bits behind the point at most.
            at = {1: 0, 3: 4, 5: 2, 7: 6}[factor] << width - 3
            passed.append(passes_constant(m, fraction, at, equal, name))
        else:
            against = Cat(Const(0, width - len(multiple.fraction[k])), multiple.fraction[k])
            passed.append(exceeds(m, fraction, against, equal, name, fast=fast))
    above, *over = passed
    if multiple.wraps is not None:
        over = [
            (one & ~(above & wrap)) | ~(above | wrap) for one, wrap in zip(over, multiple.wraps, strict=True)
        ]
    return SignificandComparison(above, wire(m, Cat(over[1], over[0], over[2]), f"over_{lane}"))


def code_of(m: Module, binade: Value, over: Value, name: str) -> Value:
    """Return the code of an element's magnitude from the multiple of the scale that it rounds.

    Args:
        m: The module to build in.
        binade: 0 for a quarter (and up to a half) of the scale, 1 for a half, and so on, to 7.
        over: See `SignificandComparison`.
        name: The wire's name.
    """
    over_five, over_six, over_seven = over
    one, two, four = binade
    # By binades 0; 1; 2 and 3; from 4 on: the codes are 1; 1 and 2; 2, 3, 4 and 4, 5, 6; 6 and 7.
    low = Mux(two, over_five & ~over_seven, ~(one & over_six))
    middle = Mux(two, ~(one ^ over_seven), one & over_six)
    return wire(
        m,
        Cat(
            Mux(four, over_five | one | two, low),
            four | middle,
            four | (two & (one | over_seven)),
        ),
        name,
    )


class CompareStep(Step[Midpoints, ComparedElements]):
    """Tell how many binades each magnitude is above the least midpoint, and where in its binade it is.

    Within its binade a magnitude meets no more than two midpoints, but which they are depends on the binade
    and on the scale; comparing with 1, 3, 5 and 7 times the scale's significand is smaller than choosing two.
    Binades begin behind the scale's multiples by powers of two, not behind powers of two: a magnitude whose
    significand is not above the scale's is in the binade below, by the carry into the difference of the two
    exponents.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes = form.spec.block_size
        width = form.input.exponent_bits
        delay = 10 if form.fast else 2 * width
        if form.spec.tensor_scale:
            delay = 21 if form.fast else 58
        super().__init__(
            "compare",
            StepDelay(delay, hidden=2),
            lanes * (form.binade_bits + 6) + form.scale.bits + 1,
        )

    def build(self, m: Module, platform: object, before: Midpoints) -> ComparedElements:
        form = self.form
        lanes = aligned_lanes(m, form, before.lanes.magnitude, "scaled_" if form.spec.tensor_scale else "")
        compared = [
            compare_significands(m, before.multiple, lane.fraction, lane.below, k, fast=form.fast)
            for k, lane in enumerate(lanes)
        ]
        above = [one.above for one in compared]
        binade, inside, beyond = self.binades(m, before.multiple.least, lanes, above, before.lanes.magnitude)
        return ComparedElements(
            before.lanes.negative,
            before.nan,
            before.scale,
            tuple(binade),
            inside,
            beyond,
            tuple(one.over for one in compared),
        )

    def binades(
        self,
        m: Module,
        least: Value,
        lanes: Sequence[Lane],
        above: Sequence[Value],
        magnitudes: Sequence[Value],
    ) -> tuple[list[Value], Value, Value | None]:
        """Return for each magnitude how many binades it is above the least midpoint, and which are above it.

        The last value is `ComparedElements.beyond`. Without a tensor scale it comes from a constant; with one
        from the digits of the difference that are not told apart.

        Args:
            m: The module to build in.
            least: See `ScaleMultiples`.
            lanes: The magnitudes.
            above: Whether the significand of each is above that of the scale.
            magnitudes: The magnitudes, see `Lanes`.
        """
        form, whole = self.form, self.form.bare
        # Numbers with a sign compare as those without, once their signs are turned over.
        if form.element_depth:
            least = Cat(least[:-1], ~least[-1])
        binades: list[Value] = []
        inside: list[Value] = []
        far: list[Value] = []
        digits = form.binade_bits
        upper, none_far = least[digits:], Const(0)
        if form.spec.tensor_scale:
            # As signals: a bit of a long expression is walked as the whole of it.
            upper = wire(m, (upper + 1)[: len(upper)], "next_least")
            none_far = wire(m, ~upper.any(), "none_far_above")
        for k, (lane, carry) in enumerate(zip(lanes, above, strict=True)):
            carried = 1 if whole else carry
            binade, reached = difference(
                m, lane.exponent, least, carried, digits, f"binade_{k}", fast=form.fast
            )
            if form.spec.tensor_scale:
                # With what is carried out of the digits, those above are not below the next number.
                low = exceeds(m, lane.exponent[:digits], least[:digits], carried, f"low_{k}", fast=form.fast)
                next_one = exceeds(m, lane.exponent[digits:], upper, low, f"next_{k}", fast=form.fast)
                far.append(wire(m, next_one & ~none_far, f"far_above_{k}"))
            binades.append(wire(m, binade, f"binade_of_{k}"))
            inside.append(
                reached & ~lane.zero & (carry | binades[-1].any()) if whole else reached & ~lane.zero
            )
        beyond = Cat(*far) if form.spec.tensor_scale else beyond_all(m, form, magnitudes)
        return binades, Cat(*inside), beyond


def beyond_all(m: Module, form: QuantizerForm, magnitudes: Sequence[Value]) -> Value | None:
    """Return which magnitudes are the largest element whatever the scale is; None where there are none.

    It is so from the fourth binade above the largest scale on. Only if that is the scale there is such a
    magnitude, and of those below, the binade above the least midpoint is told right.
    """
    if form.thresholds().saturation is None:
        return None
    largest = exponent_of(form.scale.largest) + form.input.bias
    low, high = largest + ELEMENT_FAR, largest + form.element_least + (1 << form.binade_bits)
    # Any of these will do: the one that ends in most zeros takes fewest gates.
    at = max(range(low, high + 1), key=lambda value: value & -value)
    fields = [one[form.kept_bits + form.sticky :] for one in magnitudes]
    return Cat(*(passes_constant(m, field, at, 1, f"beyond_{k}") for k, field in enumerate(fields)))


def is_live(m: Module, scale: Format, nan: Value, code: Value) -> Value:
    """Return whether a block has elements at all: its scale is neither NaN nor zero."""
    void = nan if scale.zero_code is None else nan | ~code.any()
    return wire(m, ~void, "live")


class ElementCodeStep(Step[ComparedElements, QuantizedBlock]):
    """Tell each element's code from its binade and where it is there."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "round",
            StepDelay(8, hidden=2),
            form.spec.block_size * form.spec.element_format.bits + form.scale.bits,
        )

    def build(self, m: Module, platform: object, before: ComparedElements) -> QuantizedBlock:
        scale = self.form.scale
        live = is_live(m, scale, before.nan, before.scale)
        codes: list[Value] = []
        for k in range(len(before.binade)):
            magnitude = code_of(m, before.binade[k], before.over[k], f"rounded_{k}")
            if before.beyond is not None:
                magnitude = magnitude | repeat(before.beyond[k], 3)
            element = wire(m, magnitude & repeat(before.inside[k] & live, 3), f"element_{k}")
            codes += [element, before.negative[k] & live]
        # The scale's NaN is all ones.
        return QuantizedBlock(Cat(*codes), before.scale | repeat(before.nan, scale.bits))
