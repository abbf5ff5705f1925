"""Runs commands of native Yosys in a process of its own: ``python -P yosys_job.py JOB``.

Yosys ends its process at an error, and logs to its output. Nothing of blockdot is imported here, so that the
process starts at once. The job is a JSON list of commands; what command k prints is left in ``k.log``.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main(job: Path) -> None:
    """Run the commands of a job in the current directory."""
    # A compiled module without type information; loaded here, so that importing this file needs no pyosys.
    libyosys: Any = importlib.import_module("pyosys.libyosys")
    design = libyosys.Design()
    for number, command in enumerate(json.loads(job.read_text(encoding="utf-8"))):
        libyosys.run_pass(f"tee -q -o {number}.log {command}", design)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
