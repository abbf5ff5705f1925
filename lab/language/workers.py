"""Jobs on all processors: processes that end with the one that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final, Protocol

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
    # Spawned, not forked: a fork would hold the pipe's other end open, and whatever threads hold.
    context = multiprocessing.get_context("spawn")
    alive, held = context.Pipe(duplex=False)
    with _one_thread_each():
        executor = ProcessPoolExecutor(
            min(workers, len(jobs)), context, initializer=_begin, initargs=(alive,)
        )
        try:
            running: dict[Future[None], int] = {
                executor.submit(_run, job): index for index, job in enumerate(jobs)
            }
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    try:
                        future.result()
                    except BrokenProcessPool as error:
                        raise RuntimeError(
                            "workers must live until their jobs are done, not be killed"
                        ) from error
                    yield running.pop(future)
        finally:
            held.close()
            executor.shutdown(wait=True, cancel_futures=True)
            alive.close()


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


def _begin(alive: Any) -> None:
    """Begin a worker."""
    # Ctrl-C reaches the whole group; what it means is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()


def _end_with(alive: Any) -> None:
    """Wait for the other end of a pipe to be closed, by the parent or by its end, and end this process."""
    alive.poll(None)
    os._exit(0)
