"""Volume: a unit against the model over millions of inputs, on all processors, from one seed.

The work is cut into batches. What a batch puts in follows from the seed and its number alone, so that it does
not matter which process runs it, or when. Each batch that is done is told to a journal beside the compiled
unit, from which a later run goes on.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Final

import numpy as np

from .. import model
from ..base.argument_checks import require_int
from ..base.source_digest import source_digest
from ..hw import UnitConfig
from ..hw.configurations import Configuration
from ..hw.stream_unit import StreamUnit
from ..model import DotSpec
from ..model.specifications import Specification
from ..sim import (
    dequantizer_stimulus,
    drawn_stimulus,
    quantizer_stimulus,
    random_stimulus,
    serial_stimulus,
    stimulus,
    unit_stimulus,
)
from ..sim.engines import cxxrtl_lanes, run
from ..sim.stream_rules import EngineError, StreamError
from ..sim.unit_stimulus import UnitStimulus
from .compare import compare
from .shrink import as_test, shrink

__all__ = ["BATCH", "Soak", "SoakFailure", "batches", "blocks_taken", "explain", "soak"]

BATCH: Final = 1 << 18
"""Inputs in a batch: enough to keep every lane busy, few enough that an interruption loses little."""

_LEAST: Final = 8
_JOURNAL_VERSION: Final = 1

SoakProgress = Callable[[int, int], None]
"""Called with how many inputs are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What came of a batch.

    Attributes:
        batch: Its number.
        vectors: Inputs that were put in.
        results: Results that were compared.
        digest: A hash of the results' bits.
        failing: The first lane that failed, -1 for none.
    """

    batch: int
    vectors: int
    results: int
    digest: str
    failing: int


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What came of a run.

    Attributes:
        unit: Name of the unit.
        seed: The seed.
        vectors: Inputs that were put in, those of earlier runs included; of a serial quantizer, blocks.
        products: Block products in them; blocks, where the unit multiplies none.
        results: Results that equal the model's, bit for bit; of the batches that are whole.
        resumed: Inputs that an earlier run had put in already.
        workers: Processes that worked.
        digest: A hash of all results' bits, the same for the same unit's specification, seed, number of
            inputs and size of a batch on any machine.
        failure: The first batch with a failure, its inputs, and the lane that failed; None for none.
    """

    unit: str
    seed: int
    vectors: int
    products: int
    results: int
    resumed: int
    workers: int
    digest: str
    failure: tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True)
class SoakFailure:
    """A failure, made as small as possible.

    Attributes:
        stimulus: The least stimulus that was found to fail.
        engine: An engine that shows it.
        told: What happens, in words.
        test: A pytest file that shows it.
    """

    stimulus: UnitStimulus
    engine: run.Engine
    told: str
    test: str


def _stimulus(spec: Specification, seed: int, batch: int, vectors: int) -> UnitStimulus:
    words = np.random.SeedSequence([seed, batch]).generate_state(2, np.uint32)
    return drawn_stimulus.draw_bulk(spec, vectors, seed=int(words[0]) << 32 | int(words[1]))


def _batch(spec: Specification, seed: int, batch: int, vectors: int) -> cxxrtl_lanes.Batch:
    return cxxrtl_lanes.Batch.cut(_stimulus(spec, seed, batch, vectors))


def _play(built: cxxrtl_lanes.BuiltUnit, seed: int, batch: int, vectors: int) -> _Part:
    played = _batch(built.spec, seed, batch, vectors).as_played(built)
    answer = cxxrtl_lanes.run(built, played)
    failing = answer.failing(played.stimulus.expected())
    return _Part(
        batch=batch,
        vectors=vectors,
        results=len(answer.results),
        digest=hashlib.sha256(answer.results.astype("<u4").tobytes()).hexdigest(),
        failing=int(failing[0]) if len(failing) else -1,
    )


def _sizes(vectors: int, batch: int) -> list[int]:
    """Return the inputs of each batch; the last ones share what is left, as few would not do."""
    whole, rest = divmod(vectors, batch)
    if whole and 0 < rest < _LEAST:
        return [batch] * (whole - 1) + [batch - _LEAST, rest + _LEAST]
    return [batch] * whole + ([rest] if rest else [])


def batches(spec: Specification, vectors: int, *, seed: int, batch: int = BATCH) -> Iterator[UnitStimulus]:
    """Yield what `soak` puts into a unit, batch by batch.

    Args:
        spec: What the unit computes.
        vectors: How many inputs, at least 8.
        seed: Seed of everything random; not negative.
        batch: Inputs in a batch.
    """
    for number, size in enumerate(_sizes(vectors, batch)):
        yield _stimulus(spec, seed, number, size)


def blocks_taken(spec: Specification) -> int:
    """Return how many blocks of each operand an input holds."""
    return spec.blocks if isinstance(spec, DotSpec) else 1


class _Journal:
    """The batches that are done, in a file of one JSON object a line."""

    def __init__(self, file: IO[str], heading: dict[str, object]) -> None:
        self._file = file
        self.parts: dict[int, _Part] = {}
        lines = file.read().splitlines(keepends=True)
        if lines and lines[0] == json.dumps(heading) + "\n":
            for line in lines[1:]:
                try:
                    part = _Part(**json.loads(line))
                except (ValueError, TypeError):
                    break  # the end of a run that was killed while it wrote
                self.parts[part.batch] = part
        # What was not read is not kept, so that every line stays whole.
        file.seek(0)
        file.truncate()
        file.write(json.dumps(heading) + "\n")
        file.writelines(json.dumps(asdict(part)) + "\n" for part in self.parts.values())
        file.flush()

    def add(self, part: _Part) -> None:
        """Note a batch."""
        self.parts[part.batch] = part
        self._file.write(json.dumps(asdict(part)) + "\n")
        self._file.flush()


def _model_digest() -> str:
    """Return a hash of all that the inputs and the expected results come from."""
    return source_digest(
        model,
        unit_stimulus,
        stimulus,
        random_stimulus,
        quantizer_stimulus,
        dequantizer_stimulus,
        serial_stimulus,
        drawn_stimulus,
        cxxrtl_lanes,
        sys.modules[__name__],
        also=[np.__version__],
    )


@contextmanager
def _journal(built: cxxrtl_lanes.BuiltUnit, seed: int, batch: int) -> Iterator[_Journal]:
    heading = {
        "journal": _JOURNAL_VERSION,
        "unit": built.name,
        "seed": seed,
        "batch": batch,
        "library": built.library.name,
        "model": _model_digest(),
    }
    path = built.library.with_name(f"{built.library.stem}-seed{seed}.jsonl")
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"soak of {built.name} with seed {seed} must run once at a time in a folder, not twice in "
                f"{str(path.parent)!r}"
            ) from None
        file.seek(0)
        yield _Journal(file, heading)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of the terminal; the parent says what is to be done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _single(unit: Configuration) -> StreamUnit:
    if isinstance(unit, UnitConfig) and unit.tile is not None:
        raise ValueError(f"tile must be None for a soak, not {unit.tile}")
    return unit.build()


def soak(
    unit: Configuration,
    vectors: int,
    *,
    seed: int = 0,
    batch: int = BATCH,
    workers: int | None = None,
    build_dir: str | os.PathLike[str] = run.BUILD_DIR,
    progress: SoakProgress | None = None,
) -> Soak:
    """Put random inputs into a unit and compare every result with the model's, until one differs.

    Args:
        unit: How the unit is built.
        vectors: How many inputs, at least 8; blocks, where the unit is a serial quantizer.
        seed: Seed of everything random; not negative.
        batch: Inputs in a batch, at least 16. Another number means other inputs.
        workers: How many processes work at once; as many as there are processors where it is None.
        build_dir: Where the compiled unit and the journal are kept; made if need be.
        progress: Called after each batch.

    Returns:
        What came of it. After a failure no new batch is begun.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number is outside its domain, the unit is a tile, or the same run is under way in the
            same folder.
        ToolError: If a tool is missing.
        EngineError: If the compiler, or a process, fails.
    """
    least = {"vectors": (vectors, _LEAST), "seed": (seed, 0), "batch": (batch, 2 * _LEAST)}
    if workers is not None:
        least["workers"] = (workers, 1)
    for name, (value, bound) in least.items():
        if require_int(name, value) < bound:
            raise ValueError(f"{name} must be at least {bound}, not {value}")
    built = cxxrtl_lanes.build(_single(unit), Path(build_dir))
    sizes = _sizes(vectors, batch)
    with _journal(built, seed, batch) as journal:
        known = {k: part for k, part in journal.parts.items() if k < len(sizes)}
        # A failure is looked at again: it may have been a fault of the machine.
        known = {k: p for k, p in known.items() if p.vectors == sizes[k] and p.failing < 0}
        resumed = sum(part.vectors for part in known.values())
        left = [k for k in range(len(sizes)) if k not in known]
        count = min(workers or os.cpu_count() or 1, max(1, len(left)))
        for part in _parts(built, seed, [(k, sizes[k]) for k in left], count):
            journal.add(part)
            known[part.batch] = part
            if progress is not None:
                progress(sum(one.vectors for one in known.values()), vectors)
    done = [known[k] for k in sorted(known)]
    failed = next(((p.batch, p.vectors, p.failing) for p in done if p.failing >= 0), None)
    return Soak(
        unit=unit.module_name,
        seed=seed,
        vectors=sum(part.vectors for part in done),
        products=sum(part.vectors for part in done) * blocks_taken(unit.spec),
        results=sum(part.results for part in done if part.failing < 0),
        resumed=resumed,
        workers=count,
        digest=hashlib.sha256("".join(part.digest for part in done).encode()).hexdigest(),
        failure=failed,
    )


def _parts(
    built: cxxrtl_lanes.BuiltUnit, seed: int, batches: Sequence[tuple[int, int]], workers: int
) -> Iterator[_Part]:
    """Yield what comes of batches, and of no more once one has failed, in their order."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
    try:
        waiting: list[Future[_Part]] = []
        left = iter(batches)
        while True:
            # One more than are working, so that none waits for this process.
            while len(waiting) <= workers and (batch := next(left, None)) is not None:
                waiting.append(pool.submit(_play, built, seed, *batch))
            if not waiting:
                return
            part = waiting.pop(0).result()
            if part.failing >= 0:
                yield part
                return
            yield part
    except BrokenProcessPool:
        raise EngineError(f"processes that simulate {built.name} must not be killed, but one was") from None
    finally:
        pool.shutdown(cancel_futures=True)


def explain(
    unit: Configuration,
    soaked: Soak,
    *,
    build_dir: str | os.PathLike[str] = run.BUILD_DIR,
) -> SoakFailure:
    """Make the failure of a run as small as possible, and repeat it on an engine that simulates one unit.

    Args:
        unit: How the unit is built.
        soaked: What came of `soak`, with a failure.
        build_dir: Where the compiled unit is kept.

    Returns:
        The failure.

    Raises:
        ValueError: If there was no failure.
        EngineError: If no other engine shows it.
    """
    if soaked.failure is None:
        raise ValueError(f"soak of {soaked.unit} must have failed to be explained, not come out well")
    component = _single(unit)
    built = cxxrtl_lanes.build(component, Path(build_dir))
    batch, vectors, lane = soaked.failure

    def fails(stimuli: Sequence[UnitStimulus]) -> list[bool]:
        played = cxxrtl_lanes.Batch.join(stimuli).as_played(built)
        failing = cxxrtl_lanes.run(built, played).failing(played.stimulus.expected())
        return np.isin(np.arange(played.lanes), failing).tolist()

    lane_alone = _batch(unit.spec, soaked.seed, batch, vectors).lane(lane)
    least = serial_stimulus.as_played(unit, shrink(lane_alone, fails))
    others: tuple[run.Engine, ...] = ("pysim", "cxxrtl")
    for engine in others:
        try:
            response = run.run(component, least, engine=engine, build_dir=build_dir)
            comparison = compare(unit, least, response, engine=engine, shown=1)
            told = "" if comparison.equal else str(comparison.mismatches[0])
        except StreamError as error:
            told = str(error)
        if told:
            return SoakFailure(stimulus=least, engine=engine, told=told, test=as_test(unit, least, engine))
    raise EngineError(
        f"engines {' and '.join(others)} must fail as lane {lane} of batch {batch} of {built.name} did, "
        "not find it right"
    )
