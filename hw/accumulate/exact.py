"""``exact``: the sum of all blocks in fixed point, rounded at the end."""

import math
from dataclasses import dataclass, replace
from typing import Self

from amaranth.hdl import Module, Signal, Value

from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..step_delays import StepDelay
from ..steps.form import DatapathForm, DatapathPlan
from ..steps.records import Accumulating, Change, Special, Step, Window
from ..steps.rounding import RoundStep, SignedNormaliseStep
from ..steps.windows import window_numbers, window_steps
from .accumulator import Accumulator
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
    """

    carries: Value | None = None

    def map(self, change: Change, suffix: str = "") -> Self:
        """See `Record`."""
        window = change(f"window{suffix}", self.window)
        nan = change(f"nan{suffix}", self.special.nan)
        carries = None if self.carries is None else change(f"carries{suffix}", self.carries)
        infinite = self.special.infinite
        if infinite is not None:
            infinite = change(f"infinite{suffix}", infinite)
        return replace(self, window=window, special=Special(nan, infinite), carries=carries)


class AddWindowStep(Step[Accumulating[Window], ExactSum]):
    """Add a group to the sum."""

    accumulates = True

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        bits, segment = form.spec.accumulator_bits, form.segment
        super().__init__(
            "accumulate", _add_delay(segment or bits, fast=form.fast), bits + kept_carries(bits, segment)
        )

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
        return ExactSum(Special(accumulator_nan, infinite), accumulator, carries)


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
        return ExactSum(before.special, adder.total)


def _plan(form: DatapathForm) -> DatapathPlan:
    bits = form.spec.accumulator_bits
    steps, widths = window_steps(form)
    steps.append(AddWindowStep(form))
    if form.segment is not None:
        steps.append(ResolveStep(form, form.segment))
    numbers = window_numbers(form.spec, bits)
    steps += [SignedNormaliseStep(form, numbers), RoundStep(numbers, windowed=True, cleared=False)]
    return DatapathPlan(steps, widths | {"accumulator": bits}, numbers)


EXACT = Accumulator(plan=_plan, keeps_carries=True)
