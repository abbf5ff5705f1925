"""Where a quantizer's area is: each step of its datapath synthesized by itself.

    python -m studies.quantizer_cost.steps SPEC... [--optimise area|delay] [--library NAME]

prints a table of each specification's steps. Their sum is not that of the unit, which has registers as well,
and whose gates serve two steps where they can.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Module, Signal, Value
from blockdot.cli.console import console, table
from blockdot.hw.config import OPTIMISE, Optimise
from blockdot.hw.quantizer.datapath import QuantizerDatapath
from blockdot.hw.quantizer.records import BlockInputs
from blockdot.hw.steps.records import Record, Step
from blockdot.model import QuantizerSpec
from blockdot.synth.flow import synthesize
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import Library

from ..commands import exit_code_of

__all__ = ["StepArea", "main", "step_areas"]

_RECIPE = "a2"
_TOP = "step"


@dataclass(frozen=True)
class StepArea:
    """What a step costs by itself.

    Attributes:
        name: What it does.
        nand2: The area of its gates, in NAND2 equivalents.
        delay: Their delay, in the library's unit.
    """

    name: str
    nand2: float
    delay: float


class _Alone(Elaboratable):
    """A step between ports that are named after what passes."""

    def __init__(self, step: Step[Record, Record], before: Record) -> None:
        self.inputs: list[Signal] = []
        self.outputs: list[Signal] = []
        self._module = Module()
        self.after = step.build(self._module, None, before.map(self._input))
        for name, value in self.after.named().items():
            self.outputs.append(Signal(value.shape(), name=f"out_{name}"))
            self._module.d.comb += self.outputs[-1].eq(value)

    def _input(self, name: str, value: Value) -> Signal:
        self.inputs.append(Signal(value.shape(), name=f"in_{name}"))
        return self.inputs[-1]

    def elaborate(self, platform: object) -> Module:
        del platform
        return self._module


def step_areas(spec: QuantizerSpec, library: Library, *, optimise: Optimise = "area") -> Iterator[StepArea]:
    """Yield what each step of a quantizer costs, in order.

    Args:
        spec: What the quantizer computes.
        library: What to map to.
        optimise: The form of the components.
    """
    lanes = spec.block_size
    record: Record = BlockInputs(
        Signal(lanes * spec.input_format.bits),
        Signal(lanes * spec.random_bits) if spec.stochastic else None,
        Signal(32) if spec.tensor_scale else None,
    )
    for step in QuantizerDatapath(spec, optimise=optimise, order=0).steps:
        alone = _Alone(step, record)
        record = alone.after
        text = rtlil.convert(alone, name=_TOP, ports=[*alone.inputs, *alone.outputs])
        (point,) = synthesize(text, _TOP, library, recipes=[_RECIPE])
        yield StepArea(step.name, point.area / library.nand2.area, point.delay)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the steps of the specifications that are named, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.quantizer_cost.steps")
    parser.add_argument("spec", nargs="+", help="a quantizer's name")
    parser.add_argument("--optimise", choices=OPTIMISE, default="area", help="the form of the components")
    parser.add_argument("--library", default="neutral", help="a name, or Liberty files with a comma between")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        library = find_library(chosen.library)
        for name in chosen.spec:
            shown = table(name, "step", "area [NAND2]>", f"delay [{library.delay_unit}]>")
            for one in step_areas(QuantizerSpec.parse(name), library, optimise=chosen.optimise):
                shown.add_row(one.name, f"{one.nand2:.0f}", f"{one.delay:.1f}")
            console().print(shown)

    return exit_code_of("quantizer steps", work)


if __name__ == "__main__":
    sys.exit(main())
