"""One synthesis in a process of its own: Yosys ends its process at an error, and logs to its output.

Run by path, ``python worker.py JOB RESULT``, and not as a module of the package, which would import Amaranth
for each run. It therefore imports nothing of the project: what to do is in the job, as JSON:

    passes: Yosys commands, run once
    recipes: for each, by name, the Yosys commands that follow

The result, also JSON, holds for each recipe how many cells there are of each type, and abc's delay in ps.
"""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

_DELAY = re.compile(r"Delay = *([\d.]+) ps")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job in the current directory and return its result."""
    # A compiled module without type information; loaded here, so that importing this file needs no pyosys.
    libyosys: Any = importlib.import_module("pyosys.libyosys")
    design = libyosys.Design()
    for command in job["passes"]:
        libyosys.run_pass(command, design)
    libyosys.run_pass("design -save mapped", design)
    points: dict[str, Any] = {}
    for name, commands in job["recipes"].items():
        libyosys.run_pass("design -load mapped", design)
        log, counts = Path(f"{name}.log"), Path(f"{name}.json")
        for command in commands:
            libyosys.run_pass(f"tee -a {log} {command}", design)
        libyosys.run_pass(f"tee -q -o {counts} stat -json", design)
        delays = _DELAY.findall(log.read_text(encoding="utf-8", errors="replace"))
        total = json.loads(counts.read_text(encoding="utf-8"))["design"]
        points[name] = {
            # A design without gates never reaches abc, and has no delay in its log.
            "delay_ps": float(delays[-1]) if delays else None,
            # A module that was not flattened is no cell of the library, and must not pass for one.
            "cells": total["num_cells_by_type"] | total.get("num_submodules_by_type", {}),
        }
    return points


if __name__ == "__main__":
    result = run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
