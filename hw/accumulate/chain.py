"""``chain``: products added one by one in binary32, and the scales multiplied in one after the other.

Where nothing is rounded on the way, the value of a block is rounded once, and all of this is ``fp32``.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from amaranth.hdl import Cat, Module, Value

from ...model import DotSpec, Format
from ...model.accumulate.chain import chain_bounds, chain_is_exact, exact_products, first_scale_is_exact
from ...model.fixed_point import LARGEST_EXPONENT
from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..leaves.compressor import FinalAdder, SumOfProducts
from ..leaves.multiply import MagnitudeTerm, Product
from ..leaves.round import BIAS, FRACTION_BITS, Normalise, NumberRange, Round
from ..step_delays import StepDelay
from ..steps.form import DatapathForm, DatapathPlan
from ..steps.records import (
    Normalised,
    ProductRow,
    Products,
    Record,
    ScaleFactors,
    Special,
    Step,
    Totals,
)
from ..steps.rounding import NormalisedGroup, RoundStep, term_numbers
from ..steps.terms import AddStep, CompressStep, ProductStep, TermForm
from .accumulator import Accumulator
from .chain_adder import ChainAdder, ChainWidths, RoundedTotal
from .fp32 import FP32, added_group

__all__ = ["CHAIN", "ScaledOnce"]

_STEPS = 4


@dataclass(frozen=True)
class ChainedProducts(Record):
    """The sum of a block's first products, rounded, and the products that are still to be added."""

    scale: tuple[ScaleFactors, ...]
    special: Special
    total: tuple[Value, ...]
    negative: Value
    magnitude: Value


@dataclass(frozen=True)
class ScaledOnce(Record):
    """A block's sum times the scale of a, as binary32, and the scale of b."""

    significand: Value
    exponent: Value
    special: Special
    scaled: Value


class ChainStep(Step[Products | ChainedProducts, ChainedProducts | Totals]):
    """Add some products in turn, and round each sum.

    The first of these steps begins with as many products as never need to be rounded, and one more, at once.

    Args:
        terms: The block's one term.
        products: How many products have been added before it and how many behind it.
    """

    def __init__(self, terms: TermForm, products: tuple[int, int]) -> None:
        self.terms = terms
        self.products = products
        self.chain = ChainWidths(terms.form.spec)
        before, behind = products
        width = self.chain.exact(behind)
        one = 4 * math.log2(width) + 14 if terms.form.fast else 2.6 * width
        left = terms.lanes - behind
        bits = self.chain.rounded(behind) + left * (terms.product_bits + 1) + terms.scales
        links = behind - max(before, self.chain.begun - 1)
        super().__init__(f"fma_{behind}", StepDelay(links * one, hidden=3), bits)

    def build(
        self, m: Module, platform: object, before: Products | ChainedProducts
    ) -> ChainedProducts | Totals:
        bits = self.terms.product_bits
        taken, behind = self.products
        if isinstance(before, ChainedProducts):
            (total,) = before.total
            negative, magnitude = before.negative, before.magnitude
            first = taken + 1
        else:
            (row,) = before.term
            negative, magnitude = row.negative, row.magnitude
            first = self.chain.begun
            total = self._rounded(m, platform, first, self._begun(m, platform, row))
            first += 1
        for k in range(first, behind + 1):
            adder = ChainAdder(
                total_bits=len(total),
                magnitude_bits=bits,
                exact_bits=self.chain.exact(k),
                adder=self.terms.form.adder,
            )
            add_submodule(m, platform, f"add_{k}", adder)
            m.d.comb += [
                adder.total.eq(total),
                adder.negative.eq(negative[k - 1 - taken]),
                adder.magnitude.eq(magnitude.word_select(k - 1 - taken, bits)),
            ]
            total = self._rounded(m, platform, k, adder.exact)
        if behind == self.terms.lanes:
            return Totals(before.scale, before.special, (total,))
        count = behind - taken
        return ChainedProducts(
            before.scale, before.special, (total,), negative[count:], magnitude[count * bits :]
        )

    def _begun(self, m: Module, platform: object, row: ProductRow) -> Value:
        """Return the exact sum of the products that the first rounding is of."""
        form, count, bits = self.terms.form, self.chain.begun, self.terms.product_bits
        width = self.chain.exact(count)
        tree = SumOfProducts(
            lanes=count, magnitude_bits=bits, sum_bits=width, balanced=form.fast, order=form.order
        )
        adder = FinalAdder(width=width, adder=form.adder)
        for name, leaf in (("tree_0", tree), ("add_0", adder)):
            add_submodule(m, platform, name, leaf)
        m.d.comb += [
            tree.negative.eq(row.negative[:count]),
            tree.magnitude.eq(row.magnitude[: count * bits]),
            adder.save.eq(tree.save),
            adder.carry.eq(tree.carry),
        ]
        return adder.total

    def _rounded(self, m: Module, platform: object, products: int, exact: Value) -> Value:
        rounder = RoundedTotal(
            exact_bits=len(exact),
            total_bits=self.chain.rounded(products),
            adder=self.terms.form.adder,
        )
        add_submodule(m, platform, f"round_{products}", rounder)
        m.d.comb += rounder.exact.eq(exact)
        return rounder.total


def _chain_steps(terms: TermForm) -> list[Step[Any, Any]]:
    """Return the steps that add products in turn: so few that registers are soon placed."""
    begun, size = ChainWidths(terms.form.spec).begun, terms.lanes
    links = size - begun + 1
    count = min(links, _STEPS)
    # As even as they can be.
    ends = [begun - 1 + (k + 1) * links // count for k in range(count)]
    return [ChainStep(terms, pair) for pair in zip([0, *ends], ends, strict=False)]


class PowerScaleStep(Step[Totals, Normalised]):
    """Multiply by two scales that are powers of two, of which the first rounds nothing but may overflow.

    What is infinite then stays infinite, whatever the scale of b: the largest exponent that its wires can
    have makes it so, as neither scale can be zero.

    Args:
        form: How the datapath is to be built.
        numbers: What a sum times both scales can be, that exponent included.
    """

    def __init__(self, form: DatapathForm, numbers: NumberRange) -> None:
        self.form = form
        self.numbers = numbers
        normalise = step_delays.normalise(
            numbers.magnitude_bits, fast=form.fast, signed=False, known=False, rounds=True
        )
        delay = StepDelay(normalise.alone + 4 * math.log2(numbers.exponent_bits), hidden=normalise.hidden)
        super().__init__("scale", delay, numbers.field_bits + numbers.fraction_bits + 2)

    def build(self, m: Module, platform: object, before: Totals) -> Normalised:
        form, numbers, (total,), (scale,) = self.form, self.numbers, before.total, before.scale
        a_exponent, b_exponent = scale.exponents
        term = MagnitudeTerm(
            sum_bits=len(total),
            significand_bits=[1],
            magnitude_bits=numbers.magnitude_bits,
            adder=form.adder,
            order=form.order,
        )
        normalise = Normalise(numbers, parallel=form.fast)
        for name, leaf in (("term_0", term), ("normalise", normalise)):
            add_submodule(m, platform, name, leaf)
        exponent = a_exponent + b_exponent
        # A bit of the sum is worth 2 to so much and the exponent field of a.
        offset = _first_numbers(form.spec).offset
        tests: list[Value] = []
        for k in range(len(term.magnitude)):
            least = LARGEST_EXPONENT + 1 - offset - k
            if least < 1 << len(a_exponent):
                tests.append(term.magnitude[k] & (a_exponent >= max(least, 0)))
        if tests:
            overflow = wire(m, Cat(*tests).any(), "overflow")
            exponent = exponent | repeat(overflow, len(exponent))
        m.d.comb += [
            term.total.eq(total),
            term.significand_0.eq(scale.significand[0]),
            normalise.magnitude.eq(term.magnitude),
            normalise.exponent.eq(exponent),
        ]
        return Normalised(
            before.special, term.negative, normalise.nonzero, normalise.fraction, normalise.field
        )


def _exponents(fmt: Format) -> tuple[int, int]:
    """Return the least and the greatest exponent field of a scale format's finite codes."""
    fields = fmt.split(fmt.codes)[1] + fmt.bias + fmt.mantissa_bits
    return int(fields.min()), int(fields.max())


def _first_numbers(spec: DotSpec) -> NumberRange:
    """Return what a block's sum times the scale of a can be."""
    fmt = spec.scales[0]
    significand = int(fmt.split(fmt.codes)[0].max())
    return NumberRange(
        magnitude_bits=(chain_bounds(spec)[-1] * significand).bit_length(),
        exponent_bits=fmt.exponent_bits,
        exponents=_exponents(fmt),
        offset=sum(one.quantum_exponent for one in spec.elements) - fmt.bias - fmt.mantissa_bits,
    )


def _second_numbers(spec: DotSpec) -> NumberRange:
    """Return what that, rounded to binary32, times the scale of b can be."""
    first, fmt = _first_numbers(spec), spec.scales[1]
    significand = int(fmt.split(fmt.codes)[0].max())
    least, greatest = _exponents(fmt)
    top = min(first.exponents[1] + first.top_field + 1, 2 * BIAS)
    # What was rounded may be ones all over.
    return NumberRange(
        full=True,
        magnitude_bits=(((2 << FRACTION_BITS) - 1) * significand).bit_length(),
        exponent_bits=(2 * BIAS + 1 + (1 << fmt.exponent_bits) - 1).bit_length(),
        exponents=(max(first.least_field, 1) + least, top + greatest),
        offset=-(BIAS + FRACTION_BITS) - fmt.bias - fmt.mantissa_bits,
    )


class FirstScaleStep(Step[Totals, ScaledOnce]):
    """Multiply by the scale of a, and round to binary32."""

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        self.numbers = numbers = _first_numbers(form.spec)
        a_format, b_format = form.spec.scales
        parts = [
            step_delays.multiply(
                numbers.magnitude_bits, a_format.significand_bits, fast=form.fast, signed=False
            ),
            step_delays.normalise(
                numbers.magnitude_bits, fast=form.fast, signed=False, known=False, rounds=True
            ),
            step_delays.round_(rounds=True, special=numbers.overflow),
        ]
        bits = 32 + b_format.significand_bits + b_format.exponent_bits
        super().__init__("scale_a", StepDelay(sum(part.alone for part in parts)), bits)

    def build(self, m: Module, platform: object, before: Totals) -> ScaledOnce:
        form, numbers, (total,), (scale,) = self.form, self.numbers, before.total, before.scale
        term = MagnitudeTerm(
            sum_bits=len(total),
            significand_bits=[len(scale.significand[0])],
            magnitude_bits=numbers.magnitude_bits,
            adder=form.adder,
            order=form.order,
        )
        normalise = Normalise(numbers, parallel=form.fast)
        rounder = Round(
            fraction_bits=numbers.fraction_bits, field_bits=numbers.field_bits, overflow=numbers.overflow
        )
        for name, leaf in (("term_0", term), ("normalise_a", normalise), ("round_a", rounder)):
            add_submodule(m, platform, name, leaf)
        m.d.comb += [
            term.total.eq(total),
            term.significand_0.eq(scale.significand[0]),
            normalise.magnitude.eq(term.magnitude),
            normalise.exponent.eq(scale.exponents[0]),
            rounder.negative.eq(term.negative),
            rounder.fraction.eq(normalise.fraction),
            rounder.field.eq(normalise.field),
            rounder.nonzero.eq(normalise.nonzero),
        ]
        return ScaledOnce(scale.significand[1], scale.exponents[1], before.special, rounder.result)


class SecondScaleStep(Step[ScaledOnce, Normalised]):
    """Multiply by the scale of b, and bring that to the position that binary32 gives it."""

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        self.first, self.numbers = _first_numbers(form.spec), _second_numbers(form.spec)
        fmt = form.spec.scales[1]
        depth = step_delays.multiply(
            FRACTION_BITS + 2, fmt.significand_bits, fast=form.fast, signed=False
        ).alone
        depth += step_delays.normalise(
            self.numbers.magnitude_bits, fast=form.fast, signed=False, known=False, rounds=True
        ).alone
        super().__init__(
            "scale_b", StepDelay(depth), self.numbers.field_bits + self.numbers.fraction_bits + 2
        )

    def build(self, m: Module, platform: object, before: ScaledOnce) -> Normalised:
        form, numbers, scaled = self.form, self.numbers, before.scaled
        fraction, field = scaled[:FRACTION_BITS], scaled[FRACTION_BITS:31]
        normal = wire(m, field.any(), "scaled_normal")
        product = Product(
            a_bits=FRACTION_BITS + 1,
            b_bits=len(before.significand),
            product_bits=numbers.magnitude_bits,
            adder=form.adder,
            order=form.order,
        )
        normalise = Normalise(numbers, parallel=form.fast)
        for name, leaf in (("term_b", product), ("normalise_b", normalise)):
            add_submodule(m, platform, name, leaf)
        least = Cat(field[0] | ~normal, field[1:])
        m.d.comb += [
            product.a.eq(Cat(fraction, normal)),
            product.b.eq(before.significand),
            normalise.magnitude.eq(product.product),
            normalise.exponent.eq(least + before.exponent),
        ]
        # What a scale of zero makes is +0; what was rounded to zero keeps its sign.
        counts = wire(m, before.significand.any(), "scale_counts")
        negative = wire(m, scaled[31] & counts, "scaled_negative")
        special, nonzero = before.special, normalise.nonzero
        if self.first.least_field < 1 - FRACTION_BITS:
            nonzero = nonzero | negative
        if self.first.overflow:
            large = wire(m, field.all(), "scaled_infinite")
            ways = Cat(large & counts & ~scaled[31], large & counts & scaled[31])
            infinite = ways if special.infinite is None else special.infinite | ways
            special = Special(special.nan | (large & ~counts), infinite)
        return Normalised(special, negative, nonzero, normalise.fraction, normalise.field)


def _plan(form: DatapathForm) -> DatapathPlan:
    spec = form.spec
    if chain_is_exact(spec):
        return FP32.plan(form)
    terms = TermForm(form=form, lanes=spec.block_size, apart=True)
    steps: list[Step[Any, Any]] = [ProductStep(terms)]
    if exact_products(spec) == spec.block_size:
        steps += [CompressStep(terms, sum_bits=terms.alone.sum_bits), AddStep(terms)]
    else:
        steps += _chain_steps(terms)
    widths = terms.widths | {"sum": ChainWidths(spec).rounded(spec.block_size)}
    powers = spec.scale_significand_bits == 1 and not any(0 in fmt.values for fmt in spec.scales)
    if powers and first_scale_is_exact(spec, but_overflow=True) and spec.scales[1].largest >= 1:
        numbers = term_numbers(form)
        greatest = (1 << numbers.exponent_bits) - 1
        numbers = replace(
            numbers,
            magnitude_bits=chain_bounds(spec)[-1].bit_length(),
            exponents=(numbers.exponents[0], greatest),
        )
        steps.append(PowerScaleStep(form, numbers))
        rounds = RoundStep(numbers, windowed=False, cleared=True)
    else:
        numbers = _second_numbers(spec)
        steps += [FirstScaleStep(form), SecondScaleStep(form)]
        # What is infinite by the first scale is no zero.
        rounds = RoundStep(numbers, windowed=False, cleared=False)
    widths["term"] = numbers.magnitude_bits + 1
    return added_group(form, NormalisedGroup(steps, widths, rounds))


CHAIN = Accumulator(plan=_plan)
