"""The command ``python -m studies.fuzz_readers``."""

import argparse
import math
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from ..commands import exit_code_of, progress_bars
from ..records import StoredRecord, read_stored, write_stored
from . import Fault, cases_of, fuzz, run_case
from . import __doc__ as description

__all__ = ["KEPT", "main"]

KEPT: Final = Path(__file__).resolve().with_name("outcome.jsonl")
"""Where what came of the runs is kept: a record a run, and what came of all their cases."""

_COMMAND: Final = "studies.fuzz_readers"
_MOST_FAULTS: Final = 20


def _one(case: str, seed: int, libraries: tuple[Path, ...], folder: Path) -> None:
    cases = cases_of(libraries)
    kind, _, number = case.partition(":")
    if kind not in cases or not number.isdecimal():
        raise ValueError(f"--case must be one of {', '.join(cases)} and a number, not {case!r}")
    print(run_case(kind, int(number), seed, folder, cases))


def _processor_time() -> float:
    """Return how many seconds of the processor this process has used, and those that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _kept_runs(kept: Path, seed: int) -> dict[str, list[StoredRecord]]:
    """Return what earlier runs left; refuse the seed of one of them, as its cases would count twice."""
    if not kept.exists():
        return {"runs": [], "outcomes": []}
    stored = read_stored(kept)
    seeds = [run["seed"] for run in stored["runs"]]
    if seed in seeds:
        raise ValueError(f"--seed must be none of {', '.join(map(str, seeds))}, which are kept, not {seed}")
    return stored


def _keep(
    kept: Path, stored: dict[str, list[StoredRecord]], run: StoredRecord, counts: Counter[tuple[str, str]]
) -> None:
    """Put a run behind those that are kept, and add what came of its cases."""
    runs = [*stored["runs"], run]
    total = counts + Counter({(row["kind"], row["outcome"]): row["cases"] for row in stored["outcomes"]})
    heading: dict[str, Any] = {
        name: round(sum(one[name] for one in runs), 1)
        for name in ("processor_minutes", "minutes", "cases", "faults")
    }
    rows = [
        {"kind": kind, "outcome": outcome, "cases": times} for (kind, outcome), times in sorted(total.items())
    ]
    write_stored(kept, f"python -m {_COMMAND} --write", heading | {"runs": runs, "outcomes": rows})
    print(
        f"{len(runs)} runs are kept: {heading['cases']} cases in {heading['processor_minutes']} minutes of "
        f"the processor, {heading['faults']} faults"
    )


def _run(
    minutes: float, at_most: float, seed: int, libraries: tuple[Path, ...], kept: Path | None, folder: Path
) -> int:
    """Do cases for so many minutes of the processor, or of the clock; return the exit code."""
    stored = None if kept is None else _kept_runs(kept, seed)
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[Fault] = []
    cases = cases_of(libraries)
    start, began, used, gone = _processor_time(), time.monotonic(), 0.0, 0.0
    try:
        with progress_bars() as bars:
            bar = bars("reading damaged files")
            for kind, outcome in fuzz(seed, folder, cases):
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                    if len(faults) <= _MOST_FAULTS:
                        print(f"{_COMMAND}: {outcome}", file=sys.stderr, flush=True)
                counts[kind, "fault" if isinstance(outcome, Fault) else outcome] += 1
                used, gone = _processor_time() - start, time.monotonic() - began
                bar(int(min(used, 60 * minutes)), int(60 * minutes), "")
                if used >= 60 * minutes or gone >= 60 * at_most:
                    break
    finally:
        run = {
            "seed": seed,
            "processor_minutes": round(used / 60, 1),
            "minutes": round(gone / 60, 1),
            "libraries": ", ".join(path.name for path in libraries),
            "cases": sum(counts.values()),
            "faults": len(faults),
        }
        print(
            f"seed {seed}, {run['cases']} cases in {run['minutes']} minutes, "
            f"{run['processor_minutes']} of them on the processor"
        )
        for (kind, outcome), times in sorted(counts.items()):
            print(f"{kind:18} {outcome:12} {times}")
        if kept is not None and stored is not None:
            _keep(kept, stored, run, counts)
    return 1 if faults else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 1 where a case came out as it must not."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {_COMMAND}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=float, default=1, help="how much of the processor's time to use (default 1)"
    )
    parser.add_argument(
        "--at-most",
        metavar="MINUTES",
        type=float,
        default=math.inf,
        help="end after so long by the clock, however little was done (default: never)",
    )
    parser.add_argument("--seed", type=int, default=0, help="settles every case (default 0)")
    parser.add_argument("--case", metavar="KIND:N", help="do this case alone")
    parser.add_argument(
        "--library",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="damage cells of this library too; may be repeated, and settles the cases with the seed",
    )
    parser.add_argument("--write", action="store_true", help=f"add what came of it to {KEPT.name}")
    asked = parser.parse_args(argv)

    def work() -> int | None:
        libraries = tuple(asked.library)
        with tempfile.TemporaryDirectory() as name:
            if asked.case is not None:
                return _one(asked.case, asked.seed, libraries, Path(name))
            kept = KEPT if asked.write else None
            return _run(asked.minutes, asked.at_most, asked.seed, libraries, kept, Path(name))

    return exit_code_of(_COMMAND, work)


if __name__ == "__main__":
    sys.exit(main())
