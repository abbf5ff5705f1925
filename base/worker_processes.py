"""Processes that work for this one, and end when it ends, however it does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["as_done", "end_with_parent", "worker_processes"]

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def _end() -> None:
    os._exit(0)


def end_with_parent(alive: Any, end: Callable[[], None] = _end) -> None:
    """Begin a worker: it leaves Ctrl-C to its parent, and ends when that is gone.

    Args:
        alive: One end of a pipe, whose other end the parent alone holds open.
        end: Ends this process, in a thread of its own.
    """
    # Ctrl-C reaches the whole group; what it means is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        # The other end is closed by the parent, or by its end.
        alive.poll(None)
        end()

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def worker_processes(
    count: int, begin: Callable[..., None] = end_with_parent, *given: Any
) -> Iterator[ProcessPoolExecutor]:
    """Have worker processes in the block; at its end, jobs that are not begun are cancelled.

    Args:
        count: How many there are.
        begin: What each of them begins with; it calls `end_with_parent` with its first argument, a pipe.
        given: The further arguments of `begin`.
    """
    # Spawned, not forked: a fork would hold the pipe's other end open, and whatever threads hold.
    context = multiprocessing.get_context("spawn")
    alive, held = context.Pipe(duplex=False)
    # What is to be sent with a new process waits for ever in its pipe, if it is more than the pipe holds
    # and the process dies before it reads it, as it does in a script that does not ask for `__main__`.
    queue: Any = context.Queue()
    queue.cancel_join_thread()
    for _ in range(count):
        queue.put(given)
    executor = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(begin, alive, queue))
    try:
        yield executor
    finally:
        held.close()
        executor.shutdown(wait=True, cancel_futures=True)
        alive.close()
        queue.close()


def _begin(begin: Callable[..., None], alive: Any, queue: Any) -> None:
    begin(alive, *queue.get())


def as_done(
    executor: ProcessPoolExecutor, do: Callable[[_Job], _Result], jobs: Sequence[_Job]
) -> Iterator[tuple[int, Future[_Result]]]:
    """Have all jobs done, and yield the number of each with what came of it, as it is done."""
    running = {executor.submit(do, job): number for number, job in enumerate(jobs)}
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future
