"""``fp32``: each group is rounded to binary32 and added to a binary32 sum."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..leaves.multiply import SavedProduct
from ..leaves.round import BINARY32, FRACTION_BITS, NumberRange
from ..step_delays import StepDelay
from ..steps.form import DatapathForm, DatapathPlan
from ..steps.narrowing import narrowed
from ..steps.records import Accumulating, Normalised, Record, Result, SavedSum, SavedSums, Step
from ..steps.rounding import NormalisedGroup, RoundStep, normalised_group, number_specials, term_numbers
from ..steps.terms import CompressStep, ProductStep, TermForm
from .accumulator import Accumulator
from .binary32_adders import Binary32Adder, TwoPathAdder
from .fused_adder import FusedAdder
from .sum_start import before_group, kept_c

__all__ = ["FP32", "Operand", "added_group"]

_SMALL = StepDelay(108.5)
_FAST = StepDelay(46)
_FUSED = StepDelay(80)


@dataclass(frozen=True)
class Operand(Record):
    """A binary32 number in the parts that `TwoPathAdder` takes."""

    negative: Value = dataclasses.field(metadata={"wire": "r_negative"})
    fraction: Value = dataclasses.field(metadata={"wire": "r_fraction"})
    field: Value = dataclasses.field(metadata={"wire": "r_field"})
    normal: Value = dataclasses.field(metadata={"wire": "r_normal"})
    nan: Value = dataclasses.field(metadata={"wire": "r_nan"})
    infinite: Value = dataclasses.field(metadata={"wire": "r_infinite"})


class UnpackStep(Step[Normalised, Operand]):
    """Round, and give the accumulator's adder the fields of the result."""

    def __init__(self, rounds: RoundStep) -> None:
        self.rounds = rounds
        super().__init__("round", step_delays.round_(rounds=True, special=False), 32)

    def build(self, m: Module, platform: object, before: Normalised) -> Operand:
        result = self.rounds.build(m, platform, before).result
        fraction, field = result[:FRACTION_BITS], result[FRACTION_BITS:31]
        top = wire(m, field.all(), "result_top")
        return Operand(
            negative=result[31],
            fraction=fraction,
            field=field,
            normal=field.any(),
            nan=top & fraction.any(),
            infinite=top & ~fraction.any(),
        )


class OperandStep(Step[Normalised, Operand]):
    """Give the accumulator's adder a number as it stands, where no bits of it are to be rounded."""

    def __init__(self, numbers: NumberRange) -> None:
        self.numbers = numbers
        super().__init__("round", step_delays.round_(rounds=False, special=False), 32)

    def build(self, m: Module, platform: object, before: Normalised) -> Operand:
        nan, infinite, negative = number_specials(m, before.special, before.negative)
        field, nonzero = before.field, before.nonzero
        asked = infinite
        if self.numbers.overflow:
            infinite = infinite | field[:8].all() | field[8:].any()
        return Operand(
            # A sum of zero has no sign; what became zero by rounding has one.
            negative=negative & (nonzero | asked),
            fraction=before.fraction,
            field=field[:8],
            normal=field.any() if self.numbers.subnormal else nonzero,
            nan=nan,
            infinite=infinite,
        )


class AddNumberStep(Step[Accumulating[Result], Result]):
    """Add a binary32 number to the sum, by the small adder."""

    accumulates = True

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        super().__init__("accumulate", _SMALL, 32)

    def build(self, m: Module, platform: object, before: Accumulating[Result]) -> Result:
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = Binary32Adder(adder=self.form.adder)
        add_submodule(m, platform, "accumulate", adder)
        m.d.comb += [
            adder.a.eq(_before(m, accumulator, before.first, before.c)),
            adder.b.eq(before.group.result),
        ]
        with m.If(before.enable):
            m.d.sync += accumulator.eq(adder.result)
        return Result(accumulator)


class AddOperandStep(Step[Accumulating[Operand], Result]):
    """Add a binary32 number to the sum, by the fast adder."""

    accumulates = True

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        super().__init__("accumulate", _FAST, 32)

    def build(self, m: Module, platform: object, before: Accumulating[Operand]) -> Result:
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = TwoPathAdder(adder=self.form.adder)
        add_submodule(m, platform, "accumulate", adder)
        hidden = Signal(name="accumulator_normal", reset_less=True)
        operand = before.group
        if before.c is None:
            m.d.comb += [adder.a.eq(accumulator), adder.a_normal.eq(hidden), adder.first.eq(before.first)]
        else:
            starts = wire(m, before.first & before.enable, "starts")
            start = kept_c(m, before.c, BINARY32, BINARY32)
            normal = wire(m, start[FRACTION_BITS:31].any(), "start_normal")
            m.d.comb += [
                adder.a.eq(before_group(m, accumulator, starts, start)),
                adder.a_normal.eq(Mux(starts, normal, hidden)),
            ]
        m.d.comb += [
            adder.hold.eq(~before.enable),
            adder.b_negative.eq(operand.negative),
            adder.b_fraction.eq(operand.fraction),
            adder.b_field.eq(operand.field),
            adder.b_normal.eq(operand.normal),
            adder.b_nan.eq(operand.nan),
            adder.b_infinite.eq(operand.infinite),
        ]
        m.d.sync += [accumulator.eq(adder.result), hidden.eq(adder.normal)]
        return Result(accumulator)


class SavedProductStep(Step[SavedSums, SavedSums]):
    """Multiply the two numbers that the tree leaves, instead of their sum.

    Args:
        terms: The one term.
        numbers: The numbers that it can be.
        tree: The tree.
    """

    def __init__(self, terms: TermForm, numbers: NumberRange, tree: CompressStep) -> None:
        self.terms = terms
        self.numbers = numbers
        self.tree = tree
        alone = terms.alone
        depth = step_delays.multiply(alone.sum_bits, alone.scale_significand_bits, fast=True, signed=False)
        super().__init__("multiply", depth, alone.term_bits + terms.exponents)

    def build(self, m: Module, platform: object, before: SavedSums) -> SavedSums:
        (saved,) = before.sum
        (scale,) = before.scale
        (significand,) = scale.significand
        product = SavedProduct(
            sum_bits=self.tree.sum_bits,
            excess=self.tree.offset,
            significand_bits=len(significand),
            product_bits=FusedAdder.width(self.numbers),
            order=self.terms.form.order,
        )
        add_submodule(m, platform, "term_0", product)
        m.d.comb += [
            product.a_save.eq(saved.save),
            product.a_carry.eq(saved.carry),
            product.significand.eq(significand),
        ]
        scaled = dataclasses.replace(scale, significand=())
        return SavedSums((scaled,), before.special, (SavedSum(product.save, product.carry),))


class FusedStep(Step[Accumulating[SavedSums], Result]):
    """Add a term, still two numbers, to the sum: see `FusedAdder`."""

    accumulates = True

    def __init__(self, form: DatapathForm, numbers: NumberRange) -> None:
        self.form = form
        self.numbers = numbers
        super().__init__("accumulate", _FUSED, 32)

    def build(self, m: Module, platform: object, before: Accumulating[SavedSums]) -> Result:
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = FusedAdder(self.numbers, adder=self.form.adder)
        add_submodule(m, platform, "accumulate", adder)
        (saved,) = before.group.sum
        m.d.comb += [
            adder.accumulator.eq(_before(m, accumulator, before.first & before.enable, before.c)),
            adder.save.eq(saved.save),
            adder.carry.eq(saved.carry),
            adder.exponent.eq(before.group.scale[0].exponents[0]),
            adder.nan.eq(before.group.special.nan),
            adder.hold.eq(~before.enable),
        ]
        m.d.sync += accumulator.eq(adder.result)
        return Result(accumulator)


def _before(m: Module, accumulator: Value, first: Value, c: Value | None) -> Value:
    """Return what a term is added to: the first of a sum to C, or to -0, which leaves it as it is."""
    if c is not None:
        return before_group(m, accumulator, first, kept_c(m, c, BINARY32, BINARY32))
    kept = wire(m, ~first, "keep")
    return Cat(accumulator[:31] & repeat(kept, 31), accumulator[31] | ~kept)


def _fused(form: DatapathForm) -> DatapathPlan | None:
    """Return the datapath of one stage that adds a term before it is a number; None where there is none."""
    spec, numbers = form.spec, term_numbers(form)
    if not (form.whole and form.fast and spec.blocks == 1 and numbers.magnitude_bits <= FRACTION_BITS + 1):
        return None
    terms = TermForm(form=form, lanes=spec.block_size)
    # All of it is one stage: no register will hold anything between these.
    steps: list[Step[Any, Any]] = [ProductStep(terms)]
    if spec.scale_significand_bits > 1:
        # Every sum is positive then.
        offset = terms.lanes << terms.product_bits
        tree = CompressStep(terms, sum_bits=(2 * offset - 1).bit_length(), offset=offset)
        steps += [tree, SavedProductStep(terms, numbers, tree)]
    else:
        steps.append(CompressStep(terms, sum_bits=FusedAdder.width(numbers)))
    return DatapathPlan([*steps, FusedStep(form, numbers), *narrowed(form)], terms.widths, numbers)


def _plan(form: DatapathForm) -> DatapathPlan:
    if plan := _fused(form):
        return plan
    return added_group(form, normalised_group(form))


def added_group(form: DatapathForm, group: NormalisedGroup) -> DatapathPlan:
    """Return the datapath that rounds a group's value and adds it to the sum."""
    numbers = group.round.numbers
    steps = list(group.steps)
    if not form.fast:
        steps += [group.round, AddNumberStep(form)]
    elif numbers.rounds or group.round.windowed:
        steps += [UnpackStep(group.round), AddOperandStep(form)]
    else:
        steps += [OperandStep(numbers), AddOperandStep(form)]
    return DatapathPlan([*steps, *narrowed(form)], group.widths, numbers)


FP32 = Accumulator(plan=_plan)
