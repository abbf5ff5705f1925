"""Whether a sweep of a language model keeps every core busy, and survives a kill.

``python -m studies.busy_cores`` runs ``blockdot evaluate`` with 30 ways to quantize the default model, kills
it with SIGKILL once half of the results are kept, and runs it again to its end. It looks at the processes ten
times a second. A core is kept busy as long as there is a process that could run on it, whether or not
another program has the core at that moment: so the share does not hang on what else the machine does. It is
counted from the first result of a run to the last, as loading a model is not a sweep. Needs Linux.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from .commands import exit_code_of

__all__ = ["busy_share", "main", "runnable"]

_PERIOD_S: Final = 0.1
_LIMIT_S: Final = 3600
_SCALES: Final = ("ue4m3", "ue5m3", "ue4m4", "ue5m3_ieee", "ue4m3_full")
_SIZES: Final = (8, 16, 32)
_METHODS: Final = ("absmax", "prevent_zero")


def runnable(root: int) -> int:
    """Return how many threads of a process and of all that it started run, or could."""
    parents: dict[int, int] = {}
    states: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                # Behind the name in parentheses, which may hold anything: the state, and the parent.
                fields = (process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                threads = list((process / "task").iterdir())
                stats = [(one / "stat").read_text("utf-8", "replace") for one in threads]
            except OSError:  # it has gone
                continue
            parents[int(process.name)] = int(fields[1])
            states[int(process.name)] = sum(text.rpartition(")")[2].split()[0] == "R" for text in stats)

    def descends(process: int) -> bool:
        while process not in (0, root):
            process = parents.get(process, 0)
        return process == root

    return sum(count for process, count in states.items() if descends(process))


def busy_share(samples: Sequence[tuple[float, int, int]], cores: int) -> float:
    """Return the share of cores that had something to run, from the first new result to the last.

    Args:
        samples: The time, how many threads could run, and how many results there were, of each look.
        cores: How many cores there are.

    Raises:
        ValueError: If fewer than two results came.
    """
    times = [when for when, _, results in samples if results > samples[0][2]]
    whole = [when for when, _, results in samples if results == samples[-1][2]]
    inside = [count for when, count, _ in samples if times and times[0] <= when <= whole[0]]
    if len(inside) < 2:
        raise ValueError(f"samples must hold two results or more, not {samples[-1][2] - samples[0][2]}")
    return sum(min(count, cores) for count in inside) / (cores * len(inside))


def _watch(command: list[str], folder: Path, most: int | None) -> Iterator[tuple[float, int, int]]:
    """Run a command, look at it until it ends, and kill it once there are so many results."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    began = time.monotonic()
    try:
        while process.poll() is None:
            results = len(list(folder.glob("*.json")))
            yield time.monotonic(), runnable(process.pid), results
            if most is not None and results >= most:
                return
            if time.monotonic() - began > _LIMIT_S:
                raise RuntimeError(f"a sweep must end within {_LIMIT_S} s")
            time.sleep(_PERIOD_S)
        yield time.monotonic(), 0, len(list(folder.glob("*.json")))
        if process.returncode:
            assert process.stderr is not None
            raise RuntimeError(f"blockdot must end well, not with: {process.stderr.read().decode()[-200:]}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 1 where a result was computed twice."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.busy_cores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tokens", type=int, default=256, help="tokens of the text (default 256)")
    asked = parser.parse_args(argv)

    def work() -> int:
        cores = len(os.sched_getaffinity(0))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "evaluate"
            command = [sys.executable, "-c", "from blockdot.cli import main; main()", "evaluate"]
            command += ["--tokens", f"{asked.tokens}", "--window", "128", "--segment", "32"]
            command += ["--build-dir", f"{folder}", "--workers", f"{cores}"]
            for option, values in (("scale", _SCALES), ("block-size", _SIZES), ("method", _METHODS)):
                for value in values:
                    command += [f"--{option}", f"{value}"]
            points = len(_SCALES) * len(_SIZES) * len(_METHODS)
            first = list(_watch(command, folder, points // 2))
            kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
            second = list(_watch(command, folder, None))
            again = sum(path.stat().st_mtime_ns != when for path, when in kept.items())
            results = len(list(folder.glob("*.json")))
            print(f"{points} ways, {results} results with the model as it is; {cores} cores")
            print(f"busy before the kill: {100 * busy_share(first, cores):.1f} %")
            print(f"busy behind it: {100 * busy_share(second, cores):.1f} %")
            print(f"killed with {len(kept)} results kept, of which {again} were computed again")
            return 1 if again or results != points + 1 else 0

    return exit_code_of("studies.busy_cores", work, "nothing is kept")


if __name__ == "__main__":
    sys.exit(main())
