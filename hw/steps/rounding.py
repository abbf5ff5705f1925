"""From an exact number to binary32: a group's value, or a sum in fixed point."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Mux, Value

from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.bits import wire
from ..leaves.round import KEPT_BITS, Normalise, NumberRange, Round, SignedNormalise
from ..leaves.scale import exponent_bits, exponent_offset, exponent_range
from .form import DatapathForm
from .records import Magnitudes, Normalised, Result, Special, Step, Window
from .terms import TermForm, magnitude_steps
from .windows import group_bits, window_numbers, window_steps

__all__ = [
    "NormalisedGroup",
    "RoundStep",
    "SignedNormaliseStep",
    "normalised_group",
    "number_specials",
    "term_numbers",
]


def term_numbers(form: DatapathForm) -> NumberRange:
    """Return the numbers that one block's terms are."""
    spec = form.spec
    return NumberRange(
        magnitude_bits=spec.term_bits - 1,
        exponent_bits=exponent_bits(*spec.scales),
        exponents=exponent_range(*spec.scales),
        offset=exponent_offset(*spec.scales) + sum(fmt.quantum_exponent for fmt in spec.elements),
        nearest=not spec.rounds_to_odd,
    )


class NormaliseStep(Step[Magnitudes, Normalised]):
    """Bring the one term there is to the position that binary32 gives it."""

    def __init__(self, form: DatapathForm, numbers: NumberRange, *, zeros_known: bool) -> None:
        self.form = form
        self.numbers = numbers
        depth = step_delays.normalise(
            numbers.magnitude_bits,
            fast=form.fast,
            signed=False,
            known=zeros_known,
            rounds=numbers.rounds or numbers.subnormal,
        )
        super().__init__("normalise", depth, numbers.field_bits + numbers.fraction_bits + 2)

    def build(self, m: Module, platform: object, before: Magnitudes) -> Normalised:
        spec = self.form.spec
        zeros = before.zeros
        factors = spec.sum_bits - 1 + spec.scale_significand_bits
        normalise = Normalise(
            self.numbers,
            parallel=self.form.fast,
            zeros_bits=0 if zeros is None else len(zeros),
            excess=0 if zeros is None else factors - self.numbers.magnitude_bits,
        )
        add_submodule(m, platform, "normalise", normalise)
        m.d.comb += normalise.magnitude.eq(before.magnitude[0])
        m.d.comb += normalise.exponent.eq(before.exponents[0])
        if zeros is not None:
            m.d.comb += normalise.zeros.eq(zeros)
        return Normalised(
            before.special, before.negative[0], normalise.nonzero, normalise.fraction, normalise.field
        )


class SignedNormaliseStep(Step[Window, Normalised]):
    """Bring a number in fixed point to the position that binary32 gives it."""

    def __init__(self, form: DatapathForm, numbers: NumberRange) -> None:
        self.form = form
        self.numbers = numbers
        depth = step_delays.normalise(
            numbers.magnitude_bits,
            fast=form.fast,
            signed=True,
            known=False,
            rounds=numbers.rounds or numbers.subnormal,
        )
        super().__init__("normalise", depth, numbers.field_bits + KEPT_BITS + 2)

    def build(self, m: Module, platform: object, before: Window) -> Normalised:
        normalise = SignedNormalise(self.numbers, parallel=self.form.fast)
        add_submodule(m, platform, "normalise", normalise)
        m.d.comb += normalise.value.eq(before.window)
        return Normalised(
            before.special, before.window[-1], normalise.nonzero, normalise.fraction, normalise.field
        )


def number_specials(m: Module, special: Special, negative: Value) -> tuple[Value, Value, Value]:
    """Return whether a number is NaN, whether it is infinite, and its sign."""
    if special.infinite is None:
        return special.nan, Const(0), negative
    up, down = special.infinite
    nan = wire(m, special.nan | (up & down), "any_nan")
    asked = wire(m, (up | down) & ~nan, "any_infinite")
    return nan, asked, Mux(asked, down, negative)


class RoundStep(Step[Normalised, Result]):
    """Round a normalised number, and pack it.

    Args:
        numbers: The numbers that can occur.
        windowed: Whether they are normalised by `SignedNormaliseStep`.
        cleared: Whether what is no number is a zero until here; see `Round`.
        odd: Whether they are rounded to odd; see `Round`.
    """

    def __init__(self, numbers: NumberRange, *, windowed: bool, cleared: bool, odd: bool = False) -> None:
        self.numbers = numbers
        self.odd = odd
        self.windowed = windowed
        self.cleared = cleared
        depth = step_delays.round_(rounds=numbers.rounds or windowed, special=numbers.overflow)
        super().__init__("round", depth, 32)

    def build(self, m: Module, platform: object, before: Normalised) -> Result:
        rounder = Round(
            fraction_bits=len(before.fraction),
            field_bits=self.numbers.field_bits,
            overflow=self.numbers.overflow,
            infinite=before.special.infinite is not None,
            cleared=self.cleared,
            inverted=self.windowed,
            odd=self.odd,
        )
        add_submodule(m, platform, "round", rounder)
        nan, infinite, negative = number_specials(m, before.special, before.negative)
        m.d.comb += [rounder.negative.eq(negative), rounder.nan.eq(nan)]
        if before.special.infinite is not None:
            m.d.comb += rounder.infinite.eq(infinite)
        m.d.comb += [
            rounder.fraction.eq(before.fraction),
            rounder.field.eq(before.field),
            rounder.nonzero.eq(before.nonzero),
        ]
        return Result(rounder.result)


@dataclass(frozen=True)
class NormalisedGroup:
    """The way from a group's codes to its normalised value.

    Attributes:
        steps: The steps from `Codes` to `Normalised`.
        widths: Widths inside, in bits.
        round: Behind them: the step that rounds the value.
    """

    steps: list[Step[Any, Any]]
    widths: dict[str, int]
    round: RoundStep


def normalised_group(form: DatapathForm) -> NormalisedGroup:
    """Return the way to a group's normalised value: one block as it is, several in fixed point."""
    spec = form.spec
    if spec.blocks > 1:
        steps, widths = window_steps(form)
        numbers = window_numbers(spec, group_bits(spec))
        steps.append(SignedNormaliseStep(form, numbers))
        rounds = RoundStep(numbers, windowed=True, cleared=False, odd=spec.rounds_to_odd)
        return NormalisedGroup(steps, widths, rounds)
    terms = TermForm(form=form, lanes=spec.block_size)
    numbers = term_numbers(form)
    counts_zeros = form.fast and spec.scale_significand_bits > 1
    steps = [
        *magnitude_steps(terms, counts_zeros=counts_zeros),
        NormaliseStep(form, numbers, zeros_known=counts_zeros),
    ]
    # One block that is no number is a zero until here; other blocks and accumulators need not be.
    rounds = RoundStep(numbers, windowed=False, cleared=True, odd=spec.rounds_to_odd)
    return NormalisedGroup(steps, terms.widths, rounds)
