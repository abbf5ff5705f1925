"""Where pipeline registers stand, and what moves them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed

from .config import Optimise
from .steps.records import Accumulating, Factor, Record, Result, Scaling, Step

__all__ = [
    "PipelineControl",
    "build_control",
    "build_data",
    "build_output",
    "place_registers",
    "run_length",
    "runs",
]


def run_length(steps: Sequence[Step[Any, Any]]) -> float:
    """Return the estimated delay of steps in a row between two registers, see `StepDelay`."""
    along = sum(step.depth.alone - (step.depth.hidden if k else 0) for k, step in enumerate(steps))
    return max([along, *(step.depth.beside for step in steps)])


def runs(steps: Sequence[Step[Any, Any]], cuts: Sequence[int]) -> list[Sequence[Step[Any, Any]]]:
    """Return the steps between two registers each, where these stand behind the steps of some indices."""
    ends = [0, *(cut + 1 for cut in cuts), len(steps)]
    return [steps[begin:end] for begin, end in itertools.pairwise(ends)]


_Live = TypeVar("_Live", bound=Record)

# The share of a unit's area that is its registers: a quarter, give or take, from 2 to 5 stages.
_SHARE: Final = 1 / 4


def place_registers(
    steps: Sequence[Step[Any, Any]], stages: int, optimise: Optimise, *, last_cut: bool = False
) -> frozenset[int]:
    """Choose the steps behind which registers stand.

    An accumulator is a register whose place is given. For delay, the others are placed so that the longest
    run between two, as `run_length` estimates it, is the shortest there is; and of all such places, where the
    registers hold the fewest bits. Where an accumulator's loop takes longest, that leaves much to choose.

    For area, they stand where the product of area and delay is least. Relative to any other way, to first
    order, area differs as the bits in the registers do, times their share of it: so what is least is the
    longest run times the fourth root of the bits.

    Args:
        steps: The steps.
        stages: How many registers, the accumulator included: from 0 (1, if there is one) to as many as
            there are steps.
        optimise: Whether for ``area`` or for ``delay``.
        last_cut: One of the registers stands behind the last step, where there are any: results come
            straight from flip-flops.

    Returns:
        Indices of the steps.
    """

    def cost(cuts: tuple[int, ...]) -> tuple[float, float]:
        longest = max(map(run_length, runs(steps, cuts)))
        bits = sum(steps[cut].bits for cut in cuts)
        return (longest, bits) if optimise == "delay" else (longest * bits**_SHARE, longest)

    given = {i for i, step in enumerate(steps) if step.accumulates}
    if last_cut and stages:
        given.add(len(steps) - 1)
    # There are no more than 15 steps, and so no more than 6435 ways.
    return frozenset(
        min(
            (cuts for cuts in itertools.combinations(range(len(steps)), stages) if given.issubset(cuts)),
            key=cost,
        )
    )


@dataclass(frozen=True)
class PipelineControl:
    """What moves a pipeline's data.

    Attributes:
        move: Everything moves in this cycle, or stands still.
        first: What is before the accumulator starts a sum; constant 0 where nothing is accumulated.
        enable: It is an input, and moves; likewise.
        valid: A result is at the end.
        c: What a sum starts at, where it starts at the accumulator; None where that is zero.
        g: What a result is multiplied by, where it is; None where it is not.
    """

    move: Value
    first: Value
    enable: Value
    valid: Value
    c: Value | None = None
    g: Factor | None = None


def build_control(
    m: Module,
    steps: Sequence[Step[Any, Any]],
    cuts: frozenset[int],
    *,
    valid: Value,
    move: Value,
    first: Value | None = None,
    last: Value | None = None,
    c: Value | None = None,
    g: Factor | None = None,
) -> PipelineControl:
    """Build the valid bits of a pipeline, and what goes with them.

    Args:
        m: The module to build in.
        steps: The steps.
        cuts: What `place_registers` chose.
        valid: An input is offered.
        move: Everything moves in this cycle, or stands still.
        first: The input starts a sum; where a step accumulates.
        last: It ends one; likewise.
        c: What that starts at; None where it is zero.
        g: What the result of an input is multiplied by; None where it is not.
    """
    multiplied_at = next((i for i, step in enumerate(steps) if step.multiplies), None)
    at_accumulator, enable = Const(0), Const(0)
    c_at_accumulator: Value | None = None
    for stage, i in enumerate(sorted(cuts)):
        before, valid = valid, Signal(name=f"valid_{stage}")
        if steps[i].accumulates:
            assert first is not None
            assert last is not None
            at_accumulator, enable = first, move & before
            before = before & last
            first, last = None, None
            c_at_accumulator, c = c, None
        with m.If(move):
            m.d.sync += valid.eq(before)
            if first is not None and last is not None:
                marks = [Signal(name=f"{name}_{stage}", reset_less=True) for name in ("first", "last")]
                m.d.sync += [marks[0].eq(first), marks[1].eq(last)]
                first, last = marks
            if c is not None:
                held = Signal(len(c), name=f"c_{stage}", reset_less=True)
                m.d.sync += held.eq(c)
                c = held
        if g is not None and multiplied_at is not None and i < multiplied_at:
            # The accumulator's result is there behind its register, and so is what it is multiplied by.
            g = _registers(m, g, move, stage)
    return PipelineControl(move, at_accumulator, enable, valid, c_at_accumulator, g)


def build_data(
    m: Module,
    platform: object,
    steps: Sequence[Step[Any, Any]],
    cuts: frozenset[int],
    inputs: Record,
    control: PipelineControl | None,
    g: Factor | None = None,
) -> Any:
    """Build the steps, with registers behind those that are cut.

    Args:
        m: The module to build in.
        platform: What the module's ``elaborate`` was given.
        steps: The steps.
        cuts: What `place_registers` chose.
        inputs: What the first step takes.
        control: What moves the data; None where nothing is cut.
        g: What a result is multiplied by, where it is; None where it is not.

    Returns:
        The record that the last step gives.
    """
    stage = 0
    live: Record = inputs
    for i, step in enumerate(steps):
        if control is not None and step.accumulates:
            live = step.build(m, platform, Accumulating(live, control.first, control.enable, control.c))
            stage += 1
            continue
        if step.multiplies:
            assert g is not None
            assert isinstance(live, Result)  # the step before gives it
            live = Scaling(live, g)
        live = step.build(m, platform, live)
        if control is not None and i in cuts:
            live = _registers(m, live, control.move, stage)
            stage += 1
    return live


def _registers(m: Module, live: _Live, move: Value, stage: int) -> _Live:
    def register(name: str, value: Value) -> Value:
        shape = signed(len(value)) if value.shape().signed else len(value)
        # Data needs no reset: a register counts only where its valid bit is set.
        held = Signal(shape, name=f"{name}_{stage}", reset_less=True)
        m.d.sync += held.eq(value)
        return held

    with m.If(move):
        return live.map(register)


def build_output(
    m: Module, valid: Value, result: Value, *, ready: Value, move: Signal
) -> tuple[Value, Value]:
    """End a pipeline in a stream that may be stalled.

    One result that arrives in the cycle in which it is found out goes to a spare register, so whether the
    pipeline moves comes straight from a flip-flop: no combinational path leads to it from `ready`.

    Args:
        m: The module to build in.
        valid: A result is at the pipeline's end.
        result: The result.
        ready: It is taken, if it is offered.
        move: Is driven with whether everything moves.

    Returns:
        Whether a result is offered, and the result.
    """
    spare_full = Signal()
    spare = Signal(len(result), reset_less=True)
    offered = spare_full | valid
    m.d.comb += move.eq(~spare_full)
    m.d.sync += spare_full.eq(offered & ~ready)
    with m.If(move):
        m.d.sync += spare.eq(result)
    return offered, Mux(spare_full, spare, result)
