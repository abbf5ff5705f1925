"""A Dask scheduler with two workers, each a process of its own."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["RunningScheduler", "needs_dask", "running_scheduler"]

RunningScheduler = tuple[str, list[subprocess.Popen[str]]]
"""Its address, and its workers."""

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed: pip install '.[cluster]'",
)
"""Marks a test that starts one."""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def running_scheduler(folder: Path) -> Iterator[RunningScheduler]:
    """Run one for the length of the block, with files in a folder."""
    head = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
    processes = [head]
    try:
        assert head.stderr is not None
        address = None
        while address is None:
            line = head.stderr.readline()
            assert line, "the scheduler ended"
            address = re.search(r"Scheduler at: +(tcp://\S+)", line)
        processes += [
            start(
                "dask_worker", address[1], "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--name", name, "--local-directory", str(folder / name),
            )
            for name in ("one", "two")
        ]  # fmt: skip
        yield address[1], processes[1:]
    finally:
        for process in processes:
            # Each is the leader of its group, in which its Yosys is not: that ends with its job.
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
