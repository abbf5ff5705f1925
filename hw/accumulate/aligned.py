"""``aligned``: terms and sum at the largest exponent, cut off, as tensor cores add them."""

import math

from amaranth.hdl import Cat, Module, Signal

from ..hierarchy import add_submodule
from ..leaves.bits import repeat
from ..leaves.scale import AlignedExponents
from ..step_delays import StepDelay
from ..steps.form import DatapathForm, DatapathPlan
from ..steps.records import Accumulating, Magnitudes, Result, Step
from ..steps.terms import TermForm, magnitude_steps
from .accumulator import Accumulator
from .aligned_adder import AlignedAdder, AlignedTerms

__all__ = ["ALIGNED"]


def _delay(width: int, *, fast: bool) -> StepDelay:
    """Of all that is done once a cycle, by the width of the sum."""
    return StepDelay(5.5 * math.log2(width) + 64 if fast else 3.2 * width)


class AddTermsStep(Step[Accumulating[Magnitudes], Result]):
    """Add a group's terms to the sum."""

    accumulates = True

    def __init__(self, form: DatapathForm, terms: AlignedTerms) -> None:
        self.form = form
        self.terms = terms
        super().__init__("accumulate", _delay(terms.sum_bits, fast=form.fast), 32)

    def build(self, m: Module, platform: object, before: Accumulating[Magnitudes]) -> Result:
        form, group = self.form, before.group
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = AlignedAdder(self.terms, adder=form.adder, infinite=form.infinite_possible, order=form.order)
        add_submodule(m, platform, "accumulate", adder)
        m.d.comb += [
            # The first of a sum is added to +0.
            adder.accumulator.eq(accumulator & repeat(~before.first, 32)),
            adder.negative.eq(Cat(*group.negative)),
            adder.magnitude.eq(Cat(*group.magnitude)),
            adder.exponent.eq(Cat(*group.exponents)),
            adder.nan.eq(group.special.nan),
        ]
        if group.special.infinite is not None:
            m.d.comb += adder.infinite.eq(group.special.infinite)
        with m.If(before.enable):
            m.d.sync += accumulator.eq(adder.result)
        return Result(accumulator)


def _plan(form: DatapathForm) -> DatapathPlan:
    spec = form.spec
    exponents = AlignedExponents.of_scales(*spec.scales, spec.zero_exponent)
    terms = TermForm(form=form, lanes=spec.unit_size, aligned=exponents)
    aligned = AlignedTerms(
        count=terms.count,
        magnitude_bits=terms.alone.term_bits - 1,
        point=sum(fmt.mantissa_bits for fmt in spec.scales)
        - sum(fmt.quantum_exponent for fmt in spec.elements),
        exponents=exponents,
        fraction=spec.fraction,
    )
    return DatapathPlan(
        [*magnitude_steps(terms), AddTermsStep(form, aligned)],
        terms.widths | {"aligned_sum": aligned.sum_bits},
        aligned.numbers,
    )


ALIGNED = Accumulator(plan=_plan)
