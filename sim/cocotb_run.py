"""Runs cocotb's runner in a process of its own: ``python -m blockdot.sim.cocotb_run ORDER``.

The runner takes its tools from the environment of its process, prints to its output, and behaves in
another way under pytest; none of that is to reach the process that asks for a simulation.
"""

import json
import sys
from pathlib import Path

from cocotb_tools.runner import get_runner

from .cocotb_job import Order

__all__ = ["main"]


def main(text: str) -> None:
    """Carry out an order.

    Args:
        text: The order, as `Order.to_json` gives it.
    """
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
            test_module="blockdot.sim.cocotb_bench",
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
