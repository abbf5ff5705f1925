"""Many jobs at once, on the processors of this machine.

Each worker is a process that makes netlists, has Yosys synthesize them in a process of its own, and times
them. A pipe that only the parent holds open tells the workers that it lives: when it is closed, at the end,
at Ctrl-C, or because the parent was killed, each worker ends its Yosys, removes its working directory, and
goes.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Protocol, TypedDict

from ...base.argument_checks import require_int
from ...base.processors import processors
from ...base.worker_processes import as_done, end_with_parent, worker_processes
from ...synth.liberty import Library
from ...synth.yosys import SynthesisError
from .cost_sample import CostSample
from .measurement_bench import MeasurementBench
from .measurement_job import Make, MeasurementJob, emit

__all__ = ["Measuring", "Pool", "Progress", "Runner", "measure_all"]

Progress = Callable[[int, int, str], None]
"""Called with how many jobs are done, how many there are, and the unit of the last one done."""


class Runner(Protocol):
    """Where jobs are done."""

    def run(self, jobs: Sequence[MeasurementJob]) -> Iterator[tuple[MeasurementJob, CostSample]]:
        """Yield each job with its sample as it is done, in any order."""
        ...


class Pool:
    """Processes of this machine that do jobs for one library.

    Args:
        library: What to map to.
        cache: Where results are kept, shared by all of them; None for nowhere.
        workers: How many there are; the number of processors where it is None.
        make: Makes the netlists; with more than one worker a function of a module.
    """

    def __init__(
        self,
        library: Library,
        cache: Path | None = None,
        *,
        workers: int | None = None,
        make: Make = emit,
    ) -> None:
        self._arguments = (library, cache, make)
        self._workers = processors() if workers is None else require_int("workers", workers)
        if self._workers < 1:
            raise ValueError(f"workers must be at least 1, not {self._workers}")

    def run(self, jobs: Sequence[MeasurementJob]) -> Iterator[tuple[MeasurementJob, CostSample]]:
        """Yield each job with its sample as it is done, in any order; raises as `Bench.measure`."""
        if self._workers == 1:
            bench = MeasurementBench(*self._arguments)
            try:
                for job in jobs:
                    yield job, bench.measure(job)
            finally:
                bench.close()
            return
        count = min(self._workers, len(jobs))
        with worker_processes(count, _begin, *self._arguments) as executor:
            for number, future in as_done(executor, _measure, jobs):
                yield jobs[number], _result(future)


def _result(future: Future[CostSample]) -> CostSample:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise SynthesisError(
            "workers must live until their jobs are done, not be killed, nor die at once as they do in a "
            "script without `if __name__ == '__main__':`"
        ) from error


# What a worker process has for all its jobs.
_benches: list[MeasurementBench] = []


def _begin(alive: Any, library: Library, cache: Path | None, make: Make) -> None:
    """Begin a worker, with what it is given for its bench."""
    end_with_parent(alive, _end)
    bench = MeasurementBench(library, cache, make)
    _benches.append(bench)
    # However a worker ends, it clears up: of its own accord, or because the pool ends it when another died.
    Finalize(None, bench.close, exitpriority=1)
    signal.signal(signal.SIGTERM, lambda *_: _end())


def _end() -> None:
    for bench in _benches:
        bench.close()
    os._exit(0)


def _measure(job: MeasurementJob) -> CostSample:
    return _benches[0].measure(job)


class Measuring(TypedDict, total=False):
    """How `measure_all` does its jobs: what whoever calls it may be told in its place.

    Attributes:
        cache: Directory in which results are kept and looked for, made if need be.
        workers: How many processes run at once; the number of processors where it is None.
        runner: Where the jobs are done, instead of in `workers` processes of this machine.
        make: Makes a unit's netlist in an order.
        progress: Called after each netlist with how many are done, how many there are, and the unit's name.
    """

    cache: str | os.PathLike[str] | None
    workers: int | None
    runner: Runner | None
    make: Make
    progress: Progress | None


def measure_all(
    jobs: Sequence[MeasurementJob],
    library: Library,
    *,
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    runner: Runner | None = None,
    make: Make = emit,
    progress: Progress | None = None,
) -> list[CostSample]:
    """Do jobs, those that were done before apart; equal ones are done once.

    Results are kept as they come, so that a run that was broken off goes on where it was.

    Args:
        jobs: What to measure.
        library: What to map to.
        cache: See `Measuring`.
        workers: See `Measuring`.
        runner: See `Measuring`.
        make: See `Measuring`.
        progress: See `Measuring`.

    Returns:
        The sample of each job, in their order.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        NotADirectoryError: If `cache` is a file.
        SynthesisError: If something cannot be synthesized.
    """
    place = None if cache is None else Path(cache)
    bench = MeasurementBench(library, place, make)
    pool: Runner = runner or Pool(library, place, workers=workers, make=make)
    samples: dict[MeasurementJob, CostSample] = {}
    wanted = list(dict.fromkeys(jobs))
    for job in wanted:
        known = bench.known(job)
        if known is not None:
            samples[job] = known
    if progress is not None:
        progress(len(samples), len(wanted), "")
    missing = [job for job in wanted if job not in samples]
    if missing:
        for job, sample in pool.run(missing):
            if runner is not None:
                # Another machine keeps nothing here.
                bench.keep(job, sample)
            samples[job] = sample
            if progress is not None:
                progress(len(samples), len(wanted), job.unit.name)
    return [samples[job] for job in jobs]
