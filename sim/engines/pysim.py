"""The engine that is always there: Amaranth's own simulator."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np
from amaranth.hdl import Cat, ClockDomain, Const, Module
from amaranth.sim import Simulator, SimulatorContext

from ...hw.stream_unit import StreamUnit
from ..stream_rules import (
    RESET_CYCLES,
    Limits,
    Payload,
    Response,
    RunOutcome,
    StreamBench,
    StreamRule,
    as_words,
    payloads,
    result_ports,
    result_words,
)
from ..unit_stimulus import Inputs

__all__ = ["run"]

_PERIOD: Final = 10e-9


def run(
    unit: StreamUnit, stimulus: Inputs, *, limits: Limits, trace: Path | None
) -> tuple[RunOutcome, Response]:
    """Run a stimulus through a unit in Amaranth's simulator.

    Args:
        unit: The unit.
        stimulus: What to put in.
        limits: How long to wait.
        trace: A VCD file to write, or None.

    Returns:
        How the run ended, and what the unit answered.
    """
    shown = payloads(unit, stimulus)
    if unit.stages:
        return _run_stream(unit, stimulus, shown, limits, trace)
    return _run_combinational(unit, stimulus, shown, trace)


# The simulator's context and the members of a component have no types that a checker could see.
def _pin(unit: StreamUnit, name: str) -> Any:
    return getattr(unit, name)


def _pins(unit: StreamUnit, shown: list[Payload], *others: str) -> tuple[Any, int, list[int]]:
    """Return all payload pins and `others` as one value, the payload's width, and its values.

    One assignment to all pins settles the logic once, not once for each of them.
    """
    words = [0] * len(shown[0].values)
    width = 0
    for payload in shown:
        words = [word | value << width for word, value in zip(words, payload.values, strict=True)]
        width += payload.width
    names = [*(payload.port for payload in shown), *others]
    return Cat(*(_pin(unit, name) for name in names)), width, words


def _result_pins(unit: StreamUnit) -> Any:
    """Return the pins of a result as one value, each port filled up with zeros to whole words."""
    filled = []
    for port in result_ports(unit):
        filled += [_pin(unit, port.name), Const(0, -port.width % 32)]
    return Cat(*filled)


def _simulate(simulator: Simulator, trace: Path | None) -> None:
    with simulator.write_vcd(str(trace)) if trace else nullcontext():
        simulator.run()


def _run_combinational(
    unit: StreamUnit, stimulus: Inputs, shown: list[Payload], trace: Path | None
) -> tuple[RunOutcome, Response]:
    pins, _, words = _pins(unit, shown)
    shown_results = _result_pins(unit)
    results: list[int] = []

    async def bench(context: SimulatorContext) -> None:
        for word in words:
            context.set(pins, word)
            await context.delay(_PERIOD)
            results.append(context.get(shown_results))

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    _simulate(simulator, trace)
    cycles = np.arange(stimulus.vectors)
    return RunOutcome(rule=StreamRule.KEPT), Response(
        results=as_words(results, result_words(unit)),
        result_cycles=cycles,
        input_cycles=cycles,
        cycles=len(cycles),
    )


def _run_stream(
    unit: StreamUnit, stimulus: Inputs, shown: list[Payload], limits: Limits, trace: Path | None
) -> tuple[RunOutcome, Response]:
    pins, width, words = _pins(unit, shown, "i_valid", "o_ready")
    inverted = (1 << width) - 1
    shown_results = _result_pins(unit)
    play = StreamBench(
        last=stimulus.last,
        offer=stimulus.offer,
        accept=stimulus.accept,
        limits=limits,
        words=result_words(unit),
    )
    outcomes: list[RunOutcome] = []
    domain: Any = ClockDomain("sync")

    async def bench(context: SimulatorContext) -> None:
        context.set(pins, words[0] ^ inverted)
        context.set(domain.rst, 1)
        for _ in range(RESET_CYCLES):
            await context.tick()
        context.set(domain.rst, 0)
        while not outcomes:
            now = play.drive()
            word = words[now.vector] ^ (inverted if now.inverted else 0)
            context.set(pins, word | now.valid << width | now.ready << (width + 1))
            outcome = play.observe(
                i_ready=bool(context.get(_pin(unit, "i_ready"))),
                o_valid=bool(context.get(_pin(unit, "o_valid"))),
                o_result=context.get(shown_results),
            )
            if outcome:
                outcomes.append(outcome)
            await context.tick()

    top = Module()
    top.domains.sync = domain
    top.submodules.unit = unit
    simulator = Simulator(top)
    simulator.add_clock(_PERIOD)
    simulator.add_testbench(bench)
    _simulate(simulator, trace)
    return outcomes[0], play.response()
