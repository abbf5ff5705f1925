"""``exact``: the sum of all blocks in fixed point, rounded at the end."""

import math
from dataclasses import dataclass, replace
from typing import Self

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..leaves.round import BINARY32, FRACTION_BITS, NumberRange
from ..step_delays import StepDelay
from ..steps.form import DatapathForm, DatapathPlan
from ..steps.narrowing import narrowed
from ..steps.records import Accumulating, Change, Result, Special, Step, Window
from ..steps.rounding import RoundStep, SignedNormaliseStep
from ..steps.windows import window_numbers, window_steps
from .accumulator import Accumulator
from .fused_adder import FusedAdder
from .sum_start import kept_c
from .window_adder import CarryAdder, WindowAdder, kept_carries

__all__ = ["EXACT", "ExactSum"]


def _add_delay(width: int, *, fast: bool) -> StepDelay:
    """Of the accumulator's adder, or of a segment of it."""
    return StepDelay(max(4 * math.log2(width) - 3, 6) if fast else 1.27 * width + 4)


def _resolve_delay(width: int, segment: int, *, fast: bool) -> StepDelay:
    """Of the carries that were kept, added to the accumulator: few of them pass a segment faster."""
    return StepDelay(2 * math.log2(width) + 3 if fast else 1.27 * width * (0.4 + 0.6 / segment))


@dataclass(frozen=True)
class ExactSum(Window):
    """A sum in fixed point.

    Attributes:
        carries: Carries that are still to be added, one above each segment; None for none.
        c: What the sum starts at, still to be added; None where that is zero.
    """

    carries: Value | None = None
    c: Value | None = None

    def map(self, change: Change, suffix: str = "") -> Self:
        """See `Record`."""
        window = change(f"window{suffix}", self.window)
        nan = change(f"nan{suffix}", self.special.nan)
        carries = None if self.carries is None else change(f"carries{suffix}", self.carries)
        infinite = self.special.infinite
        if infinite is not None:
            infinite = change(f"infinite{suffix}", infinite)
        c = None if self.c is None else change(f"start{suffix}", self.c)
        return replace(self, window=window, special=Special(nan, infinite), carries=carries, c=c)


class AddWindowStep(Step[Accumulating[Window], ExactSum]):
    """Add a group to the sum."""

    accumulates = True

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        bits, segment = form.spec.accumulator_bits, form.segment
        held = bits + kept_carries(bits, segment) + BINARY32.bits * form.spec.takes_c
        super().__init__("accumulate", _add_delay(segment or bits, fast=form.fast), held)

    def build(self, m: Module, platform: object, before: Accumulating[Window]) -> ExactSum:
        spec, segment = self.form.spec, self.form.segment
        window, special = before.group.window, before.group.special
        accumulator = Signal(spec.accumulator_bits, name="accumulator", reset_less=True)
        accumulator_nan = Signal(name="accumulator_nan", reset_less=True)
        adder = WindowAdder(
            window_bits=len(window),
            accumulator_bits=spec.accumulator_bits,
            adder=self.form.adder,
            segment=segment,
        )
        add_submodule(m, platform, "accumulate", adder)
        enable = before.enable
        # What is not enabled adds nothing to itself: clearing the window takes less than a multiplexer before
        # each flip-flop. Carries that are kept may then move on, of the same sum.
        keep = wire(m, ~(before.first & enable), "keep")
        m.d.comb += [
            adder.accumulator.eq(accumulator & repeat(keep, len(accumulator))),
            adder.window.eq(window & repeat(enable, len(window))),
        ]
        m.d.sync += [
            accumulator.eq(adder.result),
            accumulator_nan.eq((accumulator_nan & keep) | (special.nan & enable)),
        ]
        carries = infinite = None
        if segment is not None:
            carries = Signal(len(adder.kept), name="accumulator_carries", reset_less=True)
            m.d.comb += adder.carries.eq(carries & repeat(keep, len(carries)))
            m.d.sync += carries.eq(adder.kept)
        if special.infinite is not None:
            infinite = Signal(2, name="accumulator_infinite", reset_less=True)
            m.d.sync += infinite.eq((infinite & repeat(keep, 2)) | (special.infinite & repeat(enable, 2)))
        c: Value | None = None
        if before.c is not None:
            # Kept beside the sum: inside it, every binary32 number would need some 280 bits.
            c = Signal(BINARY32.bits, name="accumulator_c", reset_less=True)
            with m.If(before.first & enable):
                m.d.sync += c.eq(kept_c(m, before.c, BINARY32, BINARY32))
        return ExactSum(Special(accumulator_nan, infinite), accumulator, carries, c)


class ResolveStep(Step[ExactSum, ExactSum]):
    """Add the carries that were kept.

    Args:
        form: How the datapath is built.
        segment: Bits behind which a carry was kept.
    """

    def __init__(self, form: DatapathForm, segment: int) -> None:
        self.form = form
        self.segment = segment
        bits = form.spec.accumulator_bits
        super().__init__("resolve", _resolve_delay(bits, segment, fast=form.fast), bits)

    def build(self, m: Module, platform: object, before: ExactSum) -> ExactSum:
        adder = CarryAdder(accumulator_bits=len(before.window), segment=self.segment, adder=self.form.adder)
        add_submodule(m, platform, "resolve", adder)
        assert before.carries is not None  # the step before keeps them where there is a segment
        m.d.comb += [adder.accumulator.eq(before.window), adder.carries.eq(before.carries)]
        return ExactSum(before.special, adder.total, c=before.c)


class AddCStep(Step[ExactSum, Result]):
    """Add what a sum starts at to the sum, and round both together, once.

    Args:
        form: How the datapath is built.
        numbers: The sums that there can be.
    """

    def __init__(self, form: DatapathForm, numbers: NumberRange) -> None:
        self.form = form
        self.numbers = numbers
        width = FusedAdder.width(numbers)
        super().__init__("add_c", StepDelay(12 * math.log2(width) + 20 if form.fast else 2.6 * width), 32)

    def build(self, m: Module, platform: object, before: ExactSum) -> Result:
        c, window = before.c, before.window
        assert c is not None  # the step is there for it
        nan = before.special.nan
        if before.special.infinite is not None:
            # An infinite sum stands in the place of C, unless that is infinite the other way.
            up, down = before.special.infinite
            infinite = wire(m, up | down, "sum_infinite")
            no_number = wire(m, c[FRACTION_BITS:31].all(), "c_no_number")
            nan = wire(m, nan | (up & down) | (no_number & infinite & (c[31] ^ down)), "any_nan")
            as_c = Cat(Const(0, FRACTION_BITS), Const(255, 8), down)
            c = wire(m, Mux(infinite & ~no_number, as_c, c), "c_or_infinity")
        adder = FusedAdder(
            self.numbers, adder=self.form.adder, rounds_term=False, odd=self.form.spec.rounds_to_odd
        )
        add_submodule(m, platform, "add_c", adder)
        m.d.comb += [
            adder.accumulator.eq(c),
            adder.save.eq(Cat(window, repeat(window[-1], len(adder.save) - len(window)))),
            adder.nan.eq(nan),
        ]
        return Result(adder.result)


def _plan(form: DatapathForm) -> DatapathPlan:
    bits = form.spec.accumulator_bits
    steps, widths = window_steps(form)
    steps.append(AddWindowStep(form))
    if form.segment is not None:
        steps.append(ResolveStep(form, form.segment))
    numbers = window_numbers(form.spec, bits)
    widths |= {"accumulator": bits}
    if form.spec.takes_c:
        steps += [AddCStep(form, numbers), *narrowed(form)]
        return DatapathPlan(steps, widths | {"sum_with_c": FusedAdder.width(numbers)}, numbers)
    rounds = RoundStep(numbers, windowed=True, cleared=False, odd=form.spec.rounds_to_odd)
    steps += [SignedNormaliseStep(form, numbers), rounds, *narrowed(form)]
    return DatapathPlan(steps, widths, numbers)


EXACT = Accumulator(plan=_plan, keeps_carries=True)
