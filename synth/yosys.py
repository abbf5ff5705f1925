"""Native Yosys, out of the pyosys wheel: commands run in a process of their own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..base import external_tools

__all__ = ["GATES", "NEEDS", "Done", "YosysError", "gates", "run"]

NEEDS: Final = ("pyosys",)
"""Names of the tools that are needed."""

GATES: Final = ("$_AND_", "$_OR_", "$_XOR_", "$_NOT_", "$_MUX_", "$_DFF_P_")
"""The cells that `gates` leaves."""

_JOB: Final = Path(__file__).with_name("yosys_job.py")
_TAIL: Final = 3


class YosysError(RuntimeError):
    """Yosys failed."""


@dataclass(frozen=True)
class Done:
    """What came of some commands.

    Attributes:
        logs: What each command printed.
        files: The text of each file that was asked for.
    """

    logs: list[str]
    files: dict[str, str]


def gates(top: str) -> list[str]:
    """Return the commands that make one flat module of `GATES` of the RTLIL that was read.

    Nothing is optimised but constants, so that the netlist stays the one that was described.
    """
    return [
        f"hierarchy -check -top {top}",
        "proc",
        "flatten -noscopeinfo",
        "opt_expr",
        "opt_clean",
        "memory -nomap",
        "memory_map",
        "opt_expr",
        "techmap",
        "opt_expr",
        "simplemap",
        # Initial values are for simulation alone; reset does without them.
        "setattr -unset init w:*",
        "dfflegalize -cell $_DFF_P_ x",
        "opt_clean",
    ]


def run(
    commands: Sequence[str],
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    seconds: float | None = None,
) -> Done:
    """Run Yosys commands one after the other, in a folder of their own.

    Args:
        commands: The commands, which may name the inputs and outputs as files.
        inputs: The text of each file that is there before.
        outputs: The names of the files to bring back.
        seconds: How long they may take, if it matters.

    Returns:
        What was printed, and the outputs.

    Raises:
        ToolError: If pyosys is missing.
        YosysError: If a command fails, or all take longer than `seconds`.
    """
    external_tools.require_tools(*NEEDS)
    with tempfile.TemporaryDirectory(prefix="blockdot-yosys-") as name:
        folder = Path(name)
        for file, text in (inputs or {}).items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "job.json").write_text(json.dumps(list(commands)), encoding="utf-8")
        process = subprocess.Popen(
            # -P: this folder holds modules of common names, which the job must not see.
            [sys.executable, "-P", str(_JOB), "job.json"],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that the solvers it starts can be ended with it
        )
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise YosysError(f"Yosys must end within {seconds:g} s, not take longer") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            lines = [line for line in printed.splitlines() if line.strip()]
            reasons = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
            reason = " ".join(reasons or lines[-_TAIL:])
            raise YosysError(f"Yosys must end well, not with status {process.returncode}: {reason}")
        return Done(
            [(folder / f"{k}.log").read_text(errors="replace") for k in range(len(commands))],
            {file: (folder / file).read_text(encoding="utf-8") for file in outputs},
        )
