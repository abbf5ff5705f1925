"""A place to run Yosys in: a working directory, and the processes that work there."""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

__all__ = ["Session", "SynthesisError", "pyosys_version"]

_WORKER: Final = str(Path(__file__).with_name("yosys_worker.py"))
_ABORTED: Final = "** cmd error: aborting"
_LOG_LINES: Final = 12
_PATIENCE_S: Final = 5.0
_MOMENT_S: Final = 0.05


class SynthesisError(RuntimeError):
    """Synthesis is not possible, or its result would be none. A note has the end of the tool's log."""


def pyosys_version() -> str:
    """Return the version of the installed pyosys.

    Raises:
        SynthesisError: If it is not installed.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if importlib.util.find_spec("pyosys") is not None:
            return importlib.metadata.version("pyosys")
    raise SynthesisError("pyosys must be installed to synthesize, and is not: pip install 'blockdot[synth]'")


class Session:
    """Runs jobs of `worker` in a working directory of its own, which goes when the block ends.

    Several threads may use one.

    Raises:
        SynthesisError: If pyosys is missing.
    """

    def __init__(self) -> None:
        pyosys_version()
        # A signal may close it in the thread that holds the lock.
        self._lock = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._jobs = 0
        self._root = Path(tempfile.mkdtemp(prefix="blockdot-synth-"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, and abc with it, and remove the working directory; none is started any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                # Its session is its own, so this is the worker and the abc that it started, nothing else.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        # One that is being killed may still put a file there.
        deadline = time.monotonic() + _PATIENCE_S
        while self._root.exists() and time.monotonic() < deadline:
            shutil.rmtree(self._root, ignore_errors=True)
            time.sleep(_MOMENT_S if self._root.exists() else 0)

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
            if not self._jobs:
                self._begin()
            self._jobs += 1
            directory = self._root / f"job{self._jobs}"
        directory.mkdir()
        return directory

    def _execute(self, tops: Sequence[str], directory: Path, job: dict[str, Any]) -> None:
        """Run the worker on a job, whose designs have these tops."""
        job_file = directory / "job.json"
        job_file.write_text(json.dumps(job), encoding="utf-8")
        # -P: this folder holds modules of common names, which the worker must not see.
        status, log = self._run([sys.executable, "-P", _WORKER, job_file.name], directory)
        done = sum((directory / f"result{number}.json").exists() for number in range(len(tops)))
        if status != 0 or done < len(tops):
            raise self._failure(tops[min(done, len(tops) - 1)], status, log)

    def _run(self, command: Sequence[str], directory: Path) -> tuple[int, str]:
        """Run a program in a job's directory until it ends; return its status and what it said."""
        log_file = directory / "log"
        with log_file.open("wb") as log:
            with self._lock:
                if self._stopped:
                    raise SynthesisError("synthesis must not start, as all of it was stopped")
                process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env={**os.environ, "TMPDIR": str(directory)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                status = process.wait()
            finally:
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
