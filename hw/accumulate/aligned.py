"""``aligned``: terms and sum at the largest exponent, cut off, as tensor cores add them."""

import math
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value

from ..hierarchy import add_submodule
from ..leaves.bits import repeat
from ..leaves.product_term import significand_product_bits
from ..leaves.scale import AlignedExponents
from ..step_delays import StepDelay
from ..steps.form import DatapathForm, DatapathPlan
from ..steps.narrowing import narrowed
from ..steps.records import Accumulating, Magnitudes, ProductTerms, Result, Step
from ..steps.terms import TermForm, magnitude_steps
from .accumulator import Accumulator
from .aligned_adder import AlignedAdder
from .aligned_pipeline import has_loop_steps, loop_steps
from .aligned_products import (
    AlignedProducts,
    ProductAdder,
    ScaleTermStep,
    SingleProductStep,
    aligned_products,
)
from .aligned_terms import AlignedTerms
from .sum_start import before_group, kept_c

__all__ = ["ALIGNED"]


def _delay(width: int, *, fast: bool) -> StepDelay:
    """Of all that is done once a cycle, by the width of the sum."""
    return StepDelay(5.5 * math.log2(width) + 64 if fast else 3.2 * width)


class AddTermsStep(Step[Accumulating[Magnitudes] | Accumulating[ProductTerms], Result]):
    """Add a group's terms to the sum."""

    accumulates = True

    def __init__(self, form: DatapathForm, terms: AlignedTerms) -> None:
        self.form = form
        self.terms = terms
        super().__init__("accumulate", _delay(terms.sum_bits, fast=form.fast), terms.target.bits)

    def build(
        self, m: Module, platform: object, before: Accumulating[Magnitudes] | Accumulating[ProductTerms]
    ) -> Result:
        form, group = self.form, before.group
        bits = self.terms.target.bits
        accumulator = Signal(bits, name="accumulator", reset_less=True)
        adder = self._adder()
        add_submodule(m, platform, "accumulate", adder)
        # The first of a sum is added to +0, or to C.
        so_far: Value = accumulator & repeat(~before.first, bits)
        if before.c is not None:
            start = kept_c(m, before.c, form.spec.c_format.fields, self.terms.target)
            so_far = before_group(m, accumulator, before.first, start)
        m.d.comb += [
            adder.accumulator.eq(so_far),
            adder.negative.eq(Cat(*group.negative)),
            adder.magnitude.eq(Cat(*group.magnitude)),
            adder.exponent.eq(
                Cat(*(group.element_exponent if isinstance(group, ProductTerms) else group.exponents))
            ),
            adder.nan.eq(group.special.nan),
        ]
        if isinstance(group, ProductTerms) and group.exponent:
            assert isinstance(adder, ProductAdder)
            m.d.comb += adder.scale.eq(Cat(*group.exponent))
        if group.special.infinite is not None:
            m.d.comb += adder.infinite.eq(group.special.infinite)
        with m.If(before.enable):
            m.d.sync += accumulator.eq(adder.result)
        # A binary32 of fewer fraction bits has zeros for the others.
        zeros = form.spec.sum_format.bits - bits
        return Result(Cat(Const(0, zeros), accumulator) if zeros else accumulator)

    def _adder(self) -> AlignedAdder:
        form = self.form
        options = {"adder": form.adder, "infinite": form.infinite_possible, "order": form.order}
        if isinstance(self.terms, AlignedProducts):
            return ProductAdder(self.terms, **options)
        return AlignedAdder(self.terms, **options)


def _added(form: DatapathForm, steps: list[Step[Any, Any]], terms: AlignedTerms) -> list[Step[Any, Any]]:
    """Return the steps to a group's terms, and those from there to the sum."""
    if has_loop_steps(form, terms):
        return [*steps, *loop_steps(form, terms, steps[-1].bits)]
    return [*steps, AddTermsStep(form, terms)]


def _product_plan(form: DatapathForm) -> DatapathPlan:
    spec = form.spec
    terms = aligned_products(spec)
    steps: list[Step[Any, Any]] = [SingleProductStep(form, terms)]
    if spec.scale_significand_bits > 1:
        steps.append(ScaleTermStep(form, terms))
    widths = {
        "product_magnitude": significand_product_bits(*spec.elements),
        "element_exponent": terms.element_bits,
        "scale_significand": spec.scale_significand_bits,
        "scale_exponent": terms.scale_bits,
        "term": terms.magnitude_bits + 1,
        "aligned_sum": terms.sum_bits,
    }
    return DatapathPlan([*_added(form, steps, terms), *narrowed(form)], widths, terms.numbers)


def _plan(form: DatapathForm) -> DatapathPlan:
    spec = form.spec
    if spec.term_size == 1:
        return _product_plan(form)
    result = spec.sum_format
    bias = result.fields.bias
    exponents = AlignedExponents.of_factors(spec.scales, spec.zero_exponent, bias=bias)
    terms = TermForm(form=form, lanes=spec.unit_size, aligned=exponents, bias=bias)
    aligned = AlignedTerms(
        count=terms.count,
        magnitude_bits=terms.alone.term_bits - 1,
        point=sum(fmt.mantissa_bits for fmt in spec.scales)
        - sum(fmt.quantum_exponent for fmt in spec.elements),
        exponents=exponents,
        fraction=spec.fraction,
        target=result.fields,
        nearest=result.nearest,
        starts_anywhere=spec.takes_c,
    )
    return DatapathPlan(
        [*_added(form, magnitude_steps(terms), aligned), *narrowed(form)],
        terms.widths | {"aligned_sum": aligned.sum_bits},
        aligned.numbers,
    )


ALIGNED = Accumulator(plan=_plan)
