"""Jobs on all processors, each process with one thread of a BLAS."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final, Protocol

from ...base.worker_processes import as_done, worker_processes

__all__ = ["Job", "run_jobs"]

# What says how many threads a BLAS has: one in each of several processes.
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Job(Protocol):
    """Something to be done, which can be sent to another process."""

    def run(self) -> None:
        """Do it."""
        ...


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[int]:
    """Do jobs and yield the index of each as it is done.

    Args:
        jobs: What to do.
        workers: How many processes do it; with 1, or a single job, this one does.

    Raises:
        RuntimeError: If a worker was killed.
        Exception: What a job raises.
    """
    if min(workers, len(jobs)) <= 1:
        for index, job in enumerate(jobs):
            job.run()
            yield index
        return
    with _one_thread_each(), worker_processes(min(workers, len(jobs))) as executor:
        for index, future in as_done(executor, _run, jobs):
            try:
                future.result()
            except BrokenProcessPool as error:
                raise RuntimeError("workers must live until their jobs are done, not be killed") from error
            yield index


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have processes that are started in the block compute with one thread, unless somebody said how many."""
    unset = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


def _run(job: Job) -> None:
    job.run()
