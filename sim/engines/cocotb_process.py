"""Runs cocotb's runner in a process of its own: ``python -P cocotb_run.py ORDER``.

The runner takes its tools from the environment of its process, prints to its output, and behaves in
another way under pytest; none of that is to reach the process that asks for a simulation. Nothing of
blockdot is imported here, so that the process starts at once.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["RESULTS_VARIABLE", "SETTINGS_VARIABLE", "Order", "Simulator"]

SETTINGS_VARIABLE = "BLOCKDOT_TESTBENCH"
"""Environment variable with the settings of `cocotb_tests`: JSON of spec, serial, vectors and seed."""

RESULTS_VARIABLE = "BLOCKDOT_RESULTS"
"""Environment variable with the path to which cocotb is to write how its tests ended."""

Simulator = Literal["verilator", "icarus"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One thing to do.

    Attributes:
        action: ``build`` a simulator, or ``test`` with one that is built.
        simulator: ``verilator`` or ``icarus``.
        top: Name of the module.
        module: Name of the Python module with the tests.
        tests: Names of the tests to run; all of them where it is empty.
        sources: Names of the files to build from, in `build_dir`.
        build_dir: Where the simulator is built.
        test_dir: Where it runs.
        waves: Whether it can write a waveform.
        arguments: More arguments, for the build or for the simulation.
        plusargs: More plusargs, for the simulation.
    """

    action: Literal["build", "test"]
    simulator: Simulator
    top: str
    build_dir: str
    test_dir: str
    waves: bool
    module: str = ""
    tests: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    plusargs: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Return the order as one line of text."""
        return json.dumps(asdict(self))


def main(text: str) -> None:
    """Carry out an order.

    Args:
        text: The order, as `Order.to_json` gives it.
    """
    # Whoever only writes orders need not have cocotb.
    from cocotb_tools.runner import get_runner

    order = Order(**json.loads(text))
    runner = get_runner(order.simulator)
    if order.action == "build":
        runner.build(
            sources=[Path(order.build_dir) / name for name in order.sources],
            hdl_toplevel=order.top,
            build_dir=order.build_dir,
            build_args=order.arguments,
            timescale=("1ns", "1ps"),
            waves=order.waves,
            always=True,
        )
    else:
        runner.test(
            test_module=order.module,
            testcase=order.tests or None,
            results_xml=os.environ.get(RESULTS_VARIABLE),
            hdl_toplevel=order.top,
            hdl_toplevel_lang="verilog",
            build_dir=order.build_dir,
            test_dir=order.test_dir,
            test_args=order.arguments,
            plusargs=order.plusargs,
            waves=order.waves,
        )


if __name__ == "__main__":
    main(sys.argv[1])
