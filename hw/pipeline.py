"""Where pipeline registers stand, and what moves them."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed

from .datapath import Live, Step

__all__ = ["Control", "build_control", "build_data", "build_output", "place_registers", "run_length"]


def run_length(steps: Sequence[Step]) -> float:
    """Return the estimated delay of steps in a row between two registers, see `Depth`."""
    along = sum(step.depth.alone - (step.depth.hidden if k else 0) for k, step in enumerate(steps))
    return max([along, *(step.depth.beside for step in steps)])


def place_registers(steps: Sequence[Step], stages: int) -> frozenset[int]:
    """Choose the steps behind which registers stand: the least longest path, then the latest places.

    An accumulator is a register whose place is given. Among the ways to place the others the one with the
    least estimated delay between registers is taken; of equals, the one that cuts latest, where fewer bits
    are alive.

    Args:
        steps: The steps.
        stages: How many registers, the accumulator included: from 0 (1, if there is one) to as many as
            there are steps.

    Returns:
        Indices of the steps.
    """
    count = len(steps)
    fixed = [i for i, step in enumerate(steps) if step.accumulates]
    # best[i, k]: the least longest path of steps before i with k registers, the last right before i.
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {(0, 0): (0.0, ())}

    def least(candidates: Sequence[tuple[float, tuple[int, ...]]]) -> tuple[float, tuple[int, ...]]:
        return min(candidates, key=lambda c: (c[0], tuple(-cut for cut in c[1])))

    for i in range(1, count + 1):
        for k in range(1, stages + 1):
            candidates = []
            for j in range(i):
                if (j, k - 1) in best and not any(j <= f < i - 1 for f in fixed):
                    longest, cuts = best[j, k - 1]
                    candidates.append((max(longest, run_length(steps[j:i])), (*cuts, i - 1)))
            if candidates:
                best[i, k] = least(candidates)
    ends = []
    for i in range(count + 1):
        if (i, stages) in best and not any(f >= i for f in fixed):
            longest, cuts = best[i, stages]
            ends.append((max(longest, run_length(steps[i:])), cuts))
    return frozenset(least(ends)[1])


@dataclass(frozen=True)
class Control:
    """What moves a pipeline's data.

    Attributes:
        move: Everything moves in this cycle, or stands still.
        first: What is before the accumulator starts a sum; constant 0 where nothing is accumulated.
        enable: It is an input, and moves; likewise.
        valid: A result is at the end.
    """

    move: Value
    first: Value
    enable: Value
    valid: Value


def build_control(
    m: Module,
    steps: Sequence[Step],
    cuts: frozenset[int],
    *,
    valid: Value,
    move: Value,
    first: Value | None = None,
    last: Value | None = None,
) -> Control:
    """Build the valid bits of a pipeline, and what goes with them.

    Args:
        m: The module to build in.
        steps: The steps.
        cuts: What `place_registers` chose.
        valid: An input is offered.
        move: Everything moves in this cycle, or stands still.
        first: The input starts a sum; where a step accumulates.
        last: It ends one; likewise.
    """
    at_accumulator, enable = Const(0), Const(0)
    for stage, i in enumerate(sorted(cuts)):
        before, valid = valid, Signal(name=f"valid_{stage}")
        if steps[i].accumulates:
            assert first is not None
            assert last is not None
            at_accumulator, enable = first, move & before
            before = before & last
            first, last = None, None
        with m.If(move):
            m.d.sync += valid.eq(before)
            if first is not None and last is not None:
                marks = [Signal(name=f"{name}_{stage}", reset_less=True) for name in ("first", "last")]
                m.d.sync += [marks[0].eq(first), marks[1].eq(last)]
                first, last = marks
    return Control(move, at_accumulator, enable, valid)


def build_data(
    m: Module,
    platform: object,
    steps: Sequence[Step],
    cuts: frozenset[int],
    live: Live,
    control: Control | None,
) -> Live:
    """Build the steps, with registers behind those that are cut.

    Args:
        m: The module to build in.
        platform: What the module's ``elaborate`` was given.
        steps: The steps.
        cuts: What `place_registers` chose.
        live: What the first step takes.
        control: What moves the data; None where nothing is cut.

    Returns:
        What the last step gives.
    """
    stage = 0
    for i, step in enumerate(steps):
        if control is None:
            live = step.build(m, platform, live)
            continue
        if step.accumulates:
            live = step.build(m, platform, live | {"first": control.first, "enable": control.enable})
            stage += 1
            continue
        live = step.build(m, platform, live)
        if i not in cuts:
            continue
        registers: Live = {}
        with m.If(control.move):
            for name, value in live.items():
                shape = signed(len(value)) if value.shape().signed else len(value)
                # Data needs no reset: a register counts only where its valid bit is set.
                registers[name] = Signal(shape, name=f"{name}_{stage}", reset_less=True)
                m.d.sync += registers[name].eq(value)
        live = registers
        stage += 1
    return live


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
