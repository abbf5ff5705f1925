"""Runs native Yosys in a process of its own: Yosys ends its process at an error, and logs to its output.

Run by path, ``python -P yosys_worker.py JOB``, and not as a module of the package: it imports nothing of the
project, so that the process starts at once. What to do is in the job, as JSON:

    setup: Yosys commands, run once; where there are no designs, this is all
    designs: for each design, the Yosys commands that read it and prepare it for mapping
    recipes: for each, by name, the Yosys commands that follow

The current directory then has, for design number k, ``resultK.json``: by recipe, how many cells there are of
each type, and abc's delay in ps; and for each recipe ``NAMEK.mapped``, the netlist as Yosys writes JSON. The
result is the last to be written.
"""

import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

_DELAY = re.compile(r"Delay = *([\d.]+) ps")


def run(job: dict[str, Any]) -> None:
    """Run a job in the current directory."""
    # A compiled module without type information; loaded here, so that importing this file needs no pyosys.
    libyosys: Any = importlib.import_module("pyosys.libyosys")
    design = libyosys.Design()
    for command in job["setup"]:
        libyosys.run_pass(command, design)
    for number, passes in enumerate(job["designs"]):
        # Yosys numbers what it adds to a design, throughout its process, and abc works in the order of these
        # numbers: what comes of a design would hang on those before it.
        child = os.fork()
        if not child:
            status = 1
            try:
                _synthesize(libyosys, design, number, passes, job["recipes"])
                status = 0
            finally:
                sys.stdout.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(os.waitstatus_to_exitcode(status) % 256)


def _synthesize(
    libyosys: Any, design: Any, number: int, passes: list[str], recipes: dict[str, list[str]]
) -> None:
    for command in passes:
        libyosys.run_pass(command, design)
    libyosys.run_pass("design -save mapped", design)
    points = {name: _map(libyosys, design, f"{name}{number}", commands) for name, commands in recipes.items()}
    Path(f"result{number}.json").write_text(json.dumps(points), encoding="utf-8")


def _map(libyosys: Any, design: Any, name: str, commands: list[str]) -> dict[str, Any]:
    libyosys.run_pass("design -load mapped", design)
    log, counts = Path(f"{name}.log"), Path(f"{name}.json")
    for command in commands:
        libyosys.run_pass(f"tee -a {log} {command}", design)
    libyosys.run_pass(f"tee -q -o {counts} stat -json", design)
    libyosys.run_pass(f"write_json {name}.mapped", design)
    delays = _DELAY.findall(log.read_text(encoding="utf-8", errors="replace"))
    total = json.loads(counts.read_text(encoding="utf-8"))["design"]
    return {
        # A design without gates never reaches abc, and has no delay in its log.
        "delay_ps": float(delays[-1]) if delays else None,
        # A module that was not flattened is no cell of the library, and must not pass for one.
        "cells": total["num_cells_by_type"] | total.get("num_submodules_by_type", {}),
    }


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
