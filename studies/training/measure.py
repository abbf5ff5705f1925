"""A small language model trained with the products of units: ``docs/training.md``.

Two commands, which `make training-measure` and `make training` are::

    python -m studies.training.measure measure [--only WORD]...
    python -m studies.training.measure write

The first trains the model in each way from each seed. It keeps each run in
``studies/training/results.jsonl`` as soon as it is done, and trains nothing that is kept already, so that it
goes on where it was stopped. It needs torch. The second makes ``docs/training.md`` and its picture of what is
kept.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from blockdot.base.external_tools import ToolError
from blockdot.base.whole_files import write_whole
from blockdot.lab.cost.jobs import Progress

from ..commands import exit_code_of, progress_bars
from ..records import StoredRecord, read_stored, write_stored
from .corpus import CORPUS_NAME, HELD_OUT, Corpus, find_works, read_corpus
from .page import PAGE, page_text
from .picture import PICTURE, draw
from .schedule import ModelSize, Schedule
from .ways import WAYS, Way, chosen_ways, way_of

__all__ = ["MADE_BY", "SEEDS", "STORED", "main", "measure_runs"]

STORED: Final = Path("studies/training/results.jsonl")
MADE_BY: Final = "make training-measure"
WRITTEN: Final = Path("docs")

SEEDS: Final = (0, 1, 2)
"""What weights, windows and roundings at random are drawn from."""

SIZE: Final = ModelSize()
SCHEDULE: Final = Schedule()


def measure_runs(
    stored: StoredRecord,
    corpus: Corpus,
    ways: Sequence[Way] = WAYS,
    *,
    seeds: Sequence[int] = SEEDS,
    schedule: Schedule = SCHEDULE,
    keep: Callable[[StoredRecord], None] = lambda _: None,
    progress: Callable[[str], Progress | None] | None = None,
) -> StoredRecord:
    """Return what is stored with a run for each way and seed.

    Args:
        stored: What is kept already.
        corpus: The text.
        ways: How products are computed; a way's seeds are trained one after the other.
        seeds: Of each way.
        schedule: How long a run takes.
        keep: Called with what there is so far, after each run.
        progress: Called with a word on what comes next; what it returns is called after each run.

    Raises:
        ModuleNotFoundError: If torch is not installed.
        RuntimeError: If a loss is not finite any more.
        ValueError: If what is kept was trained in other circumstances.
    """
    # torch is not installed where pages are written.
    training = import_module(".training", __package__)
    facts: StoredRecord = {
        "text": CORPUS_NAME,
        "text_sha256": corpus.digest,
        "held_out_work": HELD_OUT,
        "held_out_characters": schedule.held_out_windows * SIZE.context,
        "torch": version("torch"),
        "parameters": training.parameters_of(SIZE, corpus),
        **asdict(SIZE),
        **asdict(schedule),
    }
    for name, value in facts.items():
        if stored["runs"] and stored.get(name) != value:
            kept = stored.get(name)
            raise ValueError(f"{name} must be that of the runs that are kept, {kept}, not {value}")
    there = {(way_of(row), row["seed"]) for row in stored["runs"]}
    missing = [(way, seed) for way in ways for seed in seeds if (way, seed) not in there]
    tell = None if progress is None else progress("runs")
    for done, (way, seed) in enumerate(missing, 1):
        curves = training.train(way, seed, corpus, size=SIZE, schedule=schedule)
        row = {
            **way.to_dict(),
            "seed": seed,
            "training": [round(value, 5) for value in curves.training],
            "held_out": [round(value, 5) for value in curves.held_out],
        }
        stored = {**facts, "runs": [*stored["runs"], row]}
        keep(stored)
        if tell is not None:
            tell(done, len(missing), way.label)
    return stored


def _stored() -> StoredRecord:
    return read_stored(STORED) if STORED.exists() else {"runs": []}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.training.measure")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--only", action="append", default=[], help="ways whose labels have this word")
    commands.add_parser("write")
    chosen: Any = parser.parse_args(arguments)

    def work() -> None:
        if chosen.command == "write":
            draw(_stored(), WRITTEN / PICTURE)
            write_whole(WRITTEN / PAGE, page_text(_stored()))
            return
        if find_spec("torch") is None:
            raise ToolError(
                "torch must be installed to train, not missing: make training-measure installs it"
            )
        corpus = read_corpus(find_works())
        with progress_bars() as progress:
            measure_runs(
                _stored(),
                corpus,
                chosen_ways(chosen.only),
                keep=lambda kept: write_stored(STORED, MADE_BY, kept),
                progress=progress,
            )

    return exit_code_of("training", work)


if __name__ == "__main__":
    sys.exit(main())
