"""The steps of ``aligned`` in several stages: what needs the sum so far is in the loop, and nothing else."""

import math
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ..hierarchy import add_submodule
from ..leaves.bits import wire
from ..step_delays import StepDelay
from ..steps.form import DatapathForm
from ..steps.records import Accumulating, Magnitudes, ProductTerms, Record, Result, Special, Step
from .aligned_products import AlignedProducts, ProductSearch
from .aligned_terms import AlignedTerms
from .column_counts import ColumnCounts
from .sum_start import kept_c
from .term_alignment import LargestExponent, LargestProductExponent, ProductAligner, TermAligner
from .unnormalised_adder import SumResult, UnnormalisedAdder, sum_exponents

__all__ = ["AlignedRows", "AlignedTermValues", "UnnormalisedSum", "has_loop_steps", "loop_steps"]


@dataclass(frozen=True)
class SearchedTerms(Record):
    """A group's terms, and the largest of their exponents."""

    group: Magnitudes | ProductTerms
    largest: Value


@dataclass(frozen=True)
class AlignedTermValues(Record):
    """Terms aligned to the largest of their exponents."""

    largest: Value
    special: Special
    negative: tuple[Value, ...]
    aligned: tuple[Value, ...]


@dataclass(frozen=True)
class AlignedRows(Record):
    """What is added to a sum: see `ColumnCounts`; or one term."""

    largest: Value
    special: Special
    negatives: Value
    row: tuple[Value, ...]


@dataclass(frozen=True)
class UnnormalisedSum(Record):
    """A sum as it is kept: see `UnnormalisedAdder`."""

    special: Special
    sum_negative: Value
    sum_exponent: Value
    sum_magnitude: Value


class SearchStep(Step[Magnitudes | ProductTerms, SearchedTerms]):
    """Find the largest exponent of a group's terms, which is there long before the terms are."""

    def __init__(self, terms: AlignedTerms, bits: int) -> None:
        self.terms = terms
        levels = (terms.count - 1).bit_length() + 1
        # Exponents of scales come with the products, long before the terms of which they are.
        hidden = 7 if isinstance(terms, AlignedProducts) else 26
        depth = StepDelay(7.3 * levels + 6.2, hidden=hidden)
        super().__init__("search", depth, bits + terms.largest_shape.width)

    def build(self, m: Module, platform: object, before: Magnitudes | ProductTerms) -> SearchedTerms:
        terms = self.terms
        search: LargestExponent
        if isinstance(terms, AlignedProducts):
            search = LargestProductExponent(terms)
        else:
            search = LargestExponent(terms)
        add_submodule(m, platform, "search", search)
        _connect_exponents(m, search, before)
        return SearchedTerms(before, search.largest)


class AlignStep(Step[SearchedTerms, AlignedTermValues]):
    """Align terms to the largest of their exponents."""

    def __init__(self, terms: AlignedTerms) -> None:
        self.terms = terms
        held = terms.count * (terms.term_bits + 1) + terms.largest_shape.width
        depth = 2.4 * math.log2(terms.term_bits) + 2.2 * math.log2(terms.count) + 1.5
        depth += 4 * isinstance(terms, AlignedProducts)
        super().__init__("align", StepDelay(depth, hidden=3), held)

    def build(self, m: Module, platform: object, before: SearchedTerms) -> AlignedTermValues:
        terms, group = self.terms, before.group
        aligner: TermAligner
        aligner = ProductAligner(terms) if isinstance(terms, AlignedProducts) else TermAligner(terms)
        add_submodule(m, platform, "align", aligner)
        _connect_exponents(m, aligner, group)
        m.d.comb += [aligner.largest.eq(before.largest), aligner.magnitude.eq(Cat(*group.magnitude))]
        return AlignedTermValues(
            before.largest,
            group.special,
            group.negative,
            tuple(aligner.aligned.word_select(k, terms.term_bits) for k in range(terms.count)),
        )


def _connect_exponents(
    m: Module, component: LargestExponent | TermAligner, group: Magnitudes | ProductTerms
) -> None:
    exponents = group.element_exponent if isinstance(group, ProductTerms) else group.exponents
    m.d.comb += component.exponent.eq(Cat(*exponents))
    if isinstance(group, ProductTerms) and group.exponent:
        assert isinstance(component, ProductSearch)
        m.d.comb += component.scale.eq(Cat(*group.exponent))


class CountStep(Step[AlignedTermValues, AlignedRows]):
    """Count the ones in each column of the aligned terms."""

    def __init__(self, form: DatapathForm, terms: AlignedTerms) -> None:
        self.form = form
        self.terms = terms
        held = terms.count_bits * (terms.term_bits + 1) + terms.largest_shape.width
        super().__init__("count", StepDelay(6 * math.log2(terms.count) - 1.5, hidden=3), held)

    def build(self, m: Module, platform: object, before: AlignedTermValues) -> AlignedRows:
        terms, form = self.terms, self.form
        counts = ColumnCounts(count=terms.count, width=terms.term_bits, adder=form.adder, order=form.order)
        add_submodule(m, platform, "count", counts)
        m.d.comb += [counts.negative.eq(Cat(*before.negative)), counts.aligned.eq(Cat(*before.aligned))]
        return AlignedRows(
            before.largest,
            before.special,
            counts.negatives,
            tuple(counts.row.word_select(j, terms.term_bits) for j in range(terms.count_bits)),
        )


class AddRowsStep(Step[Accumulating[AlignedRows] | Accumulating[Magnitudes], UnnormalisedSum]):
    """Add a group to the sum, which is kept as it comes."""

    accumulates = True

    def __init__(self, form: DatapathForm, terms: AlignedTerms) -> None:
        self.form = form
        self.terms = terms
        depth = 1.5 * math.log2(terms.sum_bits) + 39.7 + 7.5 * terms.numbers.subnormal
        if terms.count > 1:
            depth += 4.3 * math.log2(terms.count_bits + 2)
        held = terms.sum_bits + sum_exponents(terms).width
        super().__init__("accumulate", StepDelay(depth, hidden=12), held)

    def build(
        self, m: Module, platform: object, before: Accumulating[AlignedRows] | Accumulating[Magnitudes]
    ) -> UnnormalisedSum:
        form, terms, group = self.form, self.terms, before.group
        if isinstance(group, AlignedRows):
            largest, row, negatives = group.largest, Cat(*group.row), group.negatives
        else:
            (largest,), (negatives,) = group.exponents, group.negative
            row = terms.placed(group.magnitude[0])
        adder = UnnormalisedAdder(terms, adder=form.adder, order=form.order, infinite=form.infinite_possible)
        add_submodule(m, platform, "accumulate", adder)

        def register(name: str, following: Value) -> Signal:
            shape = signed(len(following)) if following.shape().signed else len(following)
            held = Signal(shape, name=name, reset_less=True)
            with m.If(before.enable):
                m.d.sync += held.eq(following)
            return held

        nan = register("accumulator_nan", adder.next_nan)
        infinite: Signal | None = None
        if "own_infinite" in adder.signature.members:
            infinite = register("accumulator_infinite", adder.next_infinite)
        negative = register("accumulator_negative", adder.next_negative)
        exponent = register("accumulator_exponent", adder.next_exponent)
        magnitude = register("accumulator", adder.next_magnitude)
        own = UnnormalisedSum(Special(nan, infinite), negative, exponent, magnitude)
        held = own
        first: Value = before.first
        if before.c is not None:
            own, first = self._started(m, own, before.c, first), Const(0)
        m.d.comb += [
            adder.first.eq(first),
            adder.own_negative.eq(own.sum_negative),
            adder.own_exponent.eq(own.sum_exponent),
            adder.own_magnitude.eq(own.sum_magnitude),
            adder.own_nan.eq(own.special.nan),
            adder.largest.eq(largest),
            adder.row.eq(row),
            adder.negatives.eq(negatives),
            adder.nan.eq(group.special.nan),
        ]
        if own.special.infinite is not None:
            m.d.comb += adder.own_infinite.eq(own.special.infinite)
        if group.special.infinite is not None:
            m.d.comb += adder.infinite.eq(group.special.infinite)
        return held

    def _started(self, m: Module, own: UnnormalisedSum, c: Value, first: Value) -> UnnormalisedSum:
        """Return the sum so far, or C where a sum starts."""
        terms, target = self.terms, self.terms.target
        start = kept_c(m, c, self.form.spec.c_format.fields, target)
        fraction, field = start[: target.fraction_bits], start[target.fraction_bits : -1]
        normal, top = wire(m, field.any(), "start_normal"), wire(m, field.all(), "start_top")
        places = terms.fraction - target.fraction_bits
        # Bits below the last that is kept are cut off wherever it is aligned to.
        placed = Cat(Const(0, max(places, 0)), fraction, normal)[max(-places, 0) :]
        infinite = own.special.infinite
        if infinite is not None:
            infinity = wire(m, top & ~fraction.any(), "start_infinite")
            infinite = Mux(first, Cat(infinity & ~start[-1], infinity & start[-1]), infinite)
        exponent = Cat(field[0] | ~normal, field[1:])
        return UnnormalisedSum(
            Special(Mux(first, top & fraction.any(), own.special.nan), infinite),
            Mux(first, start[-1], own.sum_negative),
            Mux(first, exponent, own.sum_exponent),
            Mux(first, placed, own.sum_magnitude),
        )


class ResultStep(Step[UnnormalisedSum, Result]):
    """Bring the sum to the format of results."""

    def __init__(self, form: DatapathForm, terms: AlignedTerms) -> None:
        self.form = form
        self.terms = terms
        depth = 1.5 * math.log2(terms.sum_bits) + 13.6 + 9 * terms.numbers.subnormal
        super().__init__("result", StepDelay(depth, hidden=2), terms.target.bits)

    def build(self, m: Module, platform: object, before: UnnormalisedSum) -> Result:
        terms = self.terms
        result = SumResult(terms, infinite=self.form.infinite_possible)
        add_submodule(m, platform, "result", result)
        m.d.comb += [
            result.negative.eq(before.sum_negative),
            result.exponent.eq(before.sum_exponent),
            result.magnitude.eq(before.sum_magnitude),
            result.nan.eq(before.special.nan),
        ]
        if before.special.infinite is not None:
            m.d.comb += result.infinite.eq(before.special.infinite)
        # A binary32 of fewer fraction bits has zeros for the others.
        zeros = self.form.spec.sum_format.bits - terms.target.bits
        return Result(Cat(Const(0, zeros), result.result) if zeros else result.result)


def has_loop_steps(form: DatapathForm, terms: AlignedTerms) -> bool:
    """Return whether `loop_steps` are what adds such terms.

    They are for time, and need a register between them. A sum that is rounded to nearest is not cut off, and
    has to be normalised before it is added to.
    """
    return form.fast and not form.whole and not terms.nearest and terms.term_bits > 0


def loop_steps(form: DatapathForm, terms: AlignedTerms, bits: int) -> list[Step[Any, Any]]:
    """Return the steps from a group's terms to a result.

    Args:
        form: How the datapath is built.
        terms: The terms.
        bits: About how many bits of numbers there are before them.
    """
    before: list[Step[Any, Any]] = []
    if terms.count > 1:
        before = [SearchStep(terms, bits), AlignStep(terms), CountStep(form, terms)]
    return [*before, AddRowsStep(form, terms), ResultStep(form, terms)]
