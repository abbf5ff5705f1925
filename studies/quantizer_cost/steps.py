"""Where a quantizer's area is: each step of its datapath synthesized by itself.

    python -m studies.quantizer_cost.steps SPEC... [--optimise area|delay] [--library NAME]

prints a table of each specification's steps. Their sum is not that of the unit, which has registers as well,
and whose gates serve two steps where they can.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blockdot.cli.console import console, table
from blockdot.hw.config import OPTIMISE, Optimise
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.hw.quantizer_parts import PART_TOP, quantizer_parts
from blockdot.model import QuantizerSpec
from blockdot.synth.flow import synthesize
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import Library

from ..commands import exit_code_of

__all__ = ["StepArea", "main", "step_areas"]

_RECIPE = "a2"


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


def step_areas(spec: QuantizerSpec, library: Library, *, optimise: Optimise = "area") -> Iterator[StepArea]:
    """Yield what each step of a quantizer costs, in order.

    Args:
        spec: What the quantizer computes.
        library: What to map to.
        optimise: The form of the components.
    """
    for part in quantizer_parts(QuantizerConfig(spec, stages=0, optimise=optimise)):
        if part.step is not None:
            (point,) = synthesize(part.rtlil, PART_TOP, library, recipes=[_RECIPE])
            yield StepArea(part.step, point.area / library.nand2.area, point.delay)


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
