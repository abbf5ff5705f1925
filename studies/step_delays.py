"""How long each step of a datapath takes alone and behind another: what `blockdot.hw.step_delays` estimates.

``python -m studies.step_delays SPEC ...`` synthesizes every step for delay, and every two in a row, on the
built-in library, and prints what came out beside the estimate.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed
from blockdot.base.external_tools import ToolError
from blockdot.hw.config import OPTIMISE, UnitConfig
from blockdot.hw.datapath import Datapath
from blockdot.hw.hierarchy import Emitter
from blockdot.hw.leaves.binary32_product import EXPONENT_BITS
from blockdot.hw.leaves.round import FRACTION_BITS
from blockdot.hw.pipeline import run_length
from blockdot.hw.steps.records import Accumulating, Codes, Factor, Record, Result, Scaling, Step
from blockdot.model import DotSpec
from blockdot.synth.flow import Synthesizer
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose
from blockdot.synth.yosys import SynthesisError
from rich.console import Console
from rich.table import Table

__all__ = ["StepRun", "main", "measure_steps", "step_runs"]

_RECIPE: Final = "d1"
_TOP: Final = "steps"


@dataclass(frozen=True)
class StepRun:
    """Some steps of a datapath in a row.

    Attributes:
        config: How the unit is built; its stages are left aside.
        first: The first step's number.
        count: How many there are.
    """

    config: UnitConfig
    first: int
    count: int

    @property
    def steps(self) -> list[Step[Any, Any]]:
        """The steps."""
        return self.whole[self.first : self.first + self.count]

    @property
    def whole(self) -> list[Step[Any, Any]]:
        """All steps of the datapath."""
        return _steps(self.config)

    @property
    def name(self) -> str:
        """The steps' names."""
        return ", ".join(step.name for step in self.steps)

    @property
    def estimate(self) -> float:
        """Their estimated delay in FO4."""
        return run_length(self.steps)


def _steps(config: UnitConfig) -> list[Step[Any, Any]]:
    return Datapath(config.spec, optimise=config.optimise, order=config.order, segment=config.segment).steps


def step_runs(config: UnitConfig) -> list[StepRun]:
    """Return every step of a unit's datapath alone, and every two in a row that one stage can hold."""
    steps = _steps(config)
    found = [StepRun(config, k, 1) for k in range(len(steps))]
    # An accumulator is a register, with nothing of its stage behind it.
    found += [StepRun(config, k, 2) for k in range(len(steps) - 1) if not steps[k].accumulates]
    return found


def _factor() -> Factor:
    """Return what a result is multiplied by, as it comes out of a register."""
    return Factor(
        Signal(name="g_negative"),
        Signal(signed(EXPONENT_BITS), name="g_exponent"),
        Signal(FRACTION_BITS + 1, name="g_significand"),
        Signal(name="g_nan"),
        Signal(name="g_infinite"),
    )


def _netlist(run: StepRun) -> Netlist:
    spec = run.config.spec
    emitter = Emitter(_TOP)
    count = spec.block_size * spec.blocks
    live: Record = Codes(
        *(Signal(count * fmt.bits) for fmt in spec.elements),
        *(Signal(spec.blocks * fmt.bits) if spec.has_scales else None for fmt in spec.scales),
    )
    first, enable, factor = Signal(name="first"), Signal(name="enable"), _factor()

    def build(step: Step[Any, Any], m: Module, before: Record) -> Record:
        if step.multiplies:
            assert isinstance(before, Result)
            return step.build(m, emitter, Scaling(before, factor))
        return step.build(m, emitter, Accumulating(before, first, enable) if step.accumulates else before)

    for step in run.whole[: run.first]:
        live = build(step, Module(), live)
    m = Module()
    inputs = live.map(lambda name, value: Signal(value.shape(), name=f"i_{name}"))
    live = inputs
    for step in run.steps:
        live = build(step, m, live)
    outputs = live.map(lambda name, value: Signal(value.shape(), name=f"o_{name}"))
    values = live.named()
    m.d.comb += [port.eq(values[name]) for name, port in outputs.named().items()]
    ports = [*inputs.named().values(), first, enable, *outputs.named().values()]
    if any(step.multiplies for step in run.steps):
        ports += factor.named().values()
    text = rtlil.convert(m, name=_TOP, ports=ports, platform=emitter, emit_src=False)
    return Netlist(emitter.modules + text, _TOP)


def measure_steps(run: StepRun) -> float:
    """Return the delay of some steps by synthesis, in FO4 of the built-in library, gates alone."""
    with warnings.catch_warnings():
        # The steps before are built for the shapes of what they give alone.
        warnings.simplefilter("ignore")
        netlist = _netlist(run)
    with Synthesizer(neutral()) as synthesizer:
        (points,) = synthesizer.run([netlist], choose((_RECIPE,)))
    return points[_RECIPE].delay


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what came out beside the estimates; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.step_delays", description=__doc__)
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="such as e2m1_ue5m3_n16_fp32")
    parser.add_argument("--optimise", choices=OPTIMISE, default="delay")
    parser.add_argument("--segment", type=int, metavar="BITS", help="of exact accumulators that keep carries")
    parser.add_argument("--workers", type=int, metavar="N", help="processes at once")
    chosen = parser.parse_args(arguments)
    try:
        wanted = [
            run
            for name in chosen.specs
            for run in step_runs(
                UnitConfig(DotSpec.parse(name), optimise=chosen.optimise, segment=chosen.segment)
            )
        ]
        with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
            delays = list(pool.map(measure_steps, wanted))
    except (SynthesisError, ToolError, ValueError) as error:
        print(f"depths: {error}", file=sys.stderr)
        return 2
    table = Table("unit", "steps", "estimate", "delay", title=f"FO4, form for {chosen.optimise}")
    for run, delay in zip(wanted, delays, strict=True):
        table.add_row(run.config.spec.name, run.name, f"{run.estimate:.1f}", f"{delay:.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
