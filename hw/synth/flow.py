"""From a netlist to gates, area and delay: native Yosys and abc, out of the pyosys wheel.

Each netlist is synthesized in a process of its own: the coarse passes and the technology mapping of word
operators once, then abc once for each recipe. Yosys's own ``synth`` is not used: it runs ``abc -fast`` first,
which takes long and loses the structure that was asked for.

What the figures are:

- Area is the sum of the areas of the library's cells. A cell that the library does not have, such as a
  memory that was left over, is an error: it would count as nothing.
- Delay is abc's ``stime``: the slowest path through gates alone, from an input or a register's output to an
  output or a register's input. Wires, clock-to-output and setup times are not in it. Every input is driven
  by the library's `driving_cell`, every output drives `output_load_ff`.
- Initial values of registers are dropped, as in an ASIC: they cost nothing and reset does not need them.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from ...model.checks import require_int
from .liberty import Library
from .metric import Metric

__all__ = [
    "AREA_RECIPES",
    "CELLS",
    "DELAY_RECIPES",
    "FLIP_FLOPS",
    "FLOW_VERSION",
    "RECIPES",
    "Goal",
    "Language",
    "Netlist",
    "Point",
    "Progress",
    "Recipe",
    "SynthesisError",
    "pyosys_version",
    "synthesize",
    "synthesize_all",
]

FLOW_VERSION: Final = 1
"""Goes up with every change to the passes or to what is made of their results; part of the cache's key."""

Goal = Literal["area", "delay"]
Language = Literal["rtlil", "verilog"]
Progress = Callable[[int, int, str], None]
"""Called with how many netlists are done, how many there are, and the top module of the last one done."""

CELLS: Final = Metric("cells", "", "lower", 0)
FLIP_FLOPS: Final = Metric("flip-flops", "", "lower", 0)

_COARSE: Final = (
    "proc",
    "flatten -noscopeinfo",
    "opt_expr",
    "opt_clean",
    "opt -nodffe -nosdff",
    "wreduce",
    "peepopt",
    "opt_clean",
    "alumacc",
    "share",
    "opt",
    "memory -nomap",
    "opt_clean",
    "opt -fast -full",
    "memory_map",
    "opt -full",
    "techmap",
    "opt -fast",
    "opt_clean -purge",
    "setattr -unset init w:*",
    # The flip-flops that dfflibmap has cells for in a common library: plain ones, and those with a reset.
    "dfflegalize -cell $_DFF_P_ x -cell $_DFF_PN?_ x",
    "dfflibmap {liberty}",
    "opt_clean -purge",
)
_READ: Final[Mapping[str, str]] = MappingProxyType({"rtlil": "read_rtlil", "verilog": "read_verilog -sv"})
_WORKER: Final = str(Path(__file__).with_name("worker.py"))
_TOP: Final = re.compile(r"[A-Za-z_][\w$.]*")
# dfflegalize on a register that dfflibmap found no cell for.
_NO_REGISTER: Final = re.compile(r"ERROR: FF \S+ \(type (\S+)\) cannot be legalized")
_ABORTED: Final = "** cmd error: aborting"
_LOG_LINES: Final = 12
_NAMES_SHOWN: Final = 5


class SynthesisError(RuntimeError):
    """Synthesis is not possible, or its result would be none. A note has the end of Yosys's log."""


@dataclass(frozen=True)
class Recipe:
    """One way through abc.

    Attributes:
        name: Its name.
        goal: What it is for.
        script: abc's commands, with a semicolon between them; the last is ``stime -p``.
    """

    name: str
    goal: Goal
    script: str

    def __post_init__(self) -> None:
        # It becomes a file's name and part of a Yosys command.
        if not re.fullmatch(r"\w+", self.name):
            raise ValueError(f"recipe name must be letters, digits and underscores, not {self.name!r}")


_TAIL: Final = "topo; upsize; dnsize; stime -p"

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                "a1",
                "area",
                "strash; ifraig; scorr; dc2; dc2; dc2; strash; dch -f; amap -m; topo; stime -p",
            ),
            Recipe("a2", "area", "strash; dch -f; amap -m; topo; stime -p"),
            Recipe(
                "a4",
                "area",
                "strash; ifraig; scorr; dc2; dc2; strash; &get -n; &dch -f; &nf -R 1000 -F 20; &put; topo; "
                "stime -p",
            ),
            Recipe("d1", "delay", f"strash; &get -n; &dch -f; &nf; &put; buffer -c -N 8; {_TAIL}"),
            Recipe(
                "d2",
                "delay",
                "strash; ifraig; scorr; dc2; strash; &get -n; &st; &if -g -K 6; &dch; &nf; &put; "
                f"buffer -c -N 8; {_TAIL}",
            ),
            Recipe(
                "d6",
                "delay",
                "strash; ifraig; scorr; dc2; strash; &get -n; &st; &if -g -K 6; &synch2; &nf; &put; "
                f"buffer -c -N 6; {_TAIL}",
            ),
        )
    }
)
"""The recipes by name: those named a are for area, those named d for delay."""

AREA_RECIPES: Final = tuple(name for name, recipe in RECIPES.items() if recipe.goal == "area")
"""Names of the recipes for area."""

DELAY_RECIPES: Final = tuple(name for name, recipe in RECIPES.items() if recipe.goal == "delay")
"""Names of the recipes for delay."""


@dataclass(frozen=True)
class Netlist:
    """A design to synthesize.

    Attributes:
        text: Its source.
        top: Name of its top module.
        language: ``rtlil`` (what Amaranth emits) or ``verilog``.
    """

    text: str
    top: str
    language: Language = "rtlil"

    def __post_init__(self) -> None:
        if self.language not in _READ:
            raise ValueError(f"language must be one of {', '.join(_READ)}, not {self.language!r}")
        if not _TOP.fullmatch(self.top):
            raise ValueError(f"top must be a module's name, not {self.top!r}")


@dataclass(frozen=True)
class Point:
    """What one netlist came out as by one recipe.

    Attributes:
        recipe: The recipe's name.
        area: Area of all cells, in the unit of the library's `area`.
        sequential_area: Area of the flip-flops (and latches) among them.
        delay: Delay through gates alone, in the unit of the library's `delay`; 0 where there is no gate.
        cells: How many cells there are.
        flip_flops: How many of them are flip-flops (or latches).
        counts: How many there are of each cell, by name.
    """

    recipe: str
    area: float
    sequential_area: float
    delay: float
    cells: int
    flip_flops: int
    counts: tuple[tuple[str, int], ...]

    @property
    def combinational_area(self) -> float:
        """Area of the gates."""
        return self.area - self.sequential_area


def pyosys_version() -> str:
    """Return the version of the installed pyosys.

    Raises:
        SynthesisError: If it is not installed.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if importlib.util.find_spec("pyosys") is not None:
            return importlib.metadata.version("pyosys")
    raise SynthesisError("pyosys must be installed to synthesize, and is not: pip install 'blockdot[synth]'")


def synthesize(
    text: str,
    top: str,
    library: Library,
    *,
    recipes: Sequence[str | Recipe] = tuple(RECIPES),
    language: Language = "rtlil",
    cache: str | os.PathLike[str] | None = None,
) -> list[Point]:
    """Synthesize one design by each recipe.

    Args:
        text: Its source.
        top: Name of its top module.
        library: What to map to.
        recipes: Names out of `RECIPES`, or recipes of one's own.
        language: ``rtlil`` or ``verilog``.
        cache: Directory in which results are kept and looked for; made if need be.

    Returns:
        A point for each recipe, in their order.

    Raises:
        ValueError: If a parameter is outside its domain.
        SynthesisError: If pyosys is missing, Yosys or abc fails, or a cell is left that the library does
            not have.
    """
    return synthesize_all([Netlist(text, top, language)], library, recipes=recipes, cache=cache, workers=1)[0]


def synthesize_all(
    netlists: Iterable[Netlist],
    library: Library,
    *,
    recipes: Sequence[str | Recipe] = tuple(RECIPES),
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> list[list[Point]]:
    """Synthesize designs by each recipe, several at once; equal designs are synthesized once.

    Results reach the cache as they come, so that a run that was broken off goes on where it was. At Ctrl-C,
    as at any error, all processes are ended and nothing is left behind.

    Args:
        netlists: The designs. They may come from a generator: what it makes is synthesized while it goes on.
        library: What to map to.
        recipes: Names out of `RECIPES`, or recipes of one's own.
        cache: Directory in which results are kept and looked for; made if need be.
        workers: How many processes run at once; the number of processors where it is None.
        progress: Called in the calling thread after each design.
        total: How many netlists there will be, for `progress`, where `netlists` has no length.

    Returns:
        For each netlist, a point for each recipe, in their order.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        NotADirectoryError: If `cache` is a file.
        SynthesisError: As in `synthesize`.
    """
    chosen = _recipes(recipes)
    count = (os.cpu_count() or 1) if workers is None else require_int("workers", workers)
    if count < 1:
        raise ValueError(f"workers must be at least 1, not {count}")
    store = _Cache(cache, library, pyosys_version())
    known = len(netlists) if isinstance(netlists, Sequence) else total
    asked: Counter[Netlist] = Counter()
    order: list[Netlist] = []
    found: dict[Netlist, dict[str, _Raw]] = {}
    raw: dict[Netlist, dict[str, _Raw]] = {}
    running: dict[Future[dict[str, _Raw]], Netlist] = {}

    def report(netlist: Netlist) -> None:
        if progress is not None:
            progress(sum(asked[done] for done in raw), known or len(order), netlist.top)

    def collect(timeout: float | None) -> None:
        for future in wait(running, timeout, return_when=FIRST_COMPLETED).done:
            netlist = running.pop(future)
            found[netlist].update(future.result())
            raw[netlist] = found[netlist]
            report(netlist)

    with _Session(library) as session, _pool(count, session) as pool:
        for netlist in netlists:
            order.append(netlist)
            asked[netlist] += 1
            if netlist not in found:
                found[netlist] = store.load(netlist, chosen)
                missing = [recipe for recipe in chosen if recipe.name not in found[netlist]]
                if missing:
                    future = pool.submit(_synthesize, session, store, netlist, missing, library)
                    running[future] = netlist
                else:
                    raw[netlist] = found[netlist]
            if netlist in raw:
                report(netlist)
            collect(0)
        while running:
            collect(None)
    return [
        [_point(recipe.name, raw[netlist][recipe.name], library) for recipe in chosen] for netlist in order
    ]


def _recipes(names: Sequence[str | Recipe]) -> list[Recipe]:
    chosen: dict[str, Recipe] = {}
    for entry in names:
        if isinstance(entry, str) and entry not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {entry!r}")
        recipe = RECIPES[entry] if isinstance(entry, str) else entry
        if recipe.name in chosen:
            raise ValueError(f"recipes must differ in name, not be {recipe.name!r} twice")
        chosen[recipe.name] = recipe
    if not chosen:
        raise ValueError("recipes must be at least one, not none")
    return list(chosen.values())


# What Yosys and abc say of one netlist by one recipe, before the library's areas are put to it.


@dataclass(frozen=True)
class _Raw:
    delay_ps: float | None
    counts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, record: object) -> "_Raw":
        """Return what a JSON record holds.

        Raises:
            ValueError: If it does not hold that.
        """
        match record:
            case {"delay_ps": int() | float() | None as delay, "cells": dict() as cells}:
                if all(isinstance(name, str) and type(count) is int for name, count in cells.items()):
                    return cls(delay, tuple(sorted(cells.items())))
        raise ValueError(f"record must hold a delay and cells, not {record!r}")

    def to_dict(self) -> dict[str, Any]:
        return {"delay_ps": self.delay_ps, "cells": dict(self.counts)}


def _point(recipe: str, raw: _Raw, library: Library) -> Point:
    cells = [(library.cells[name], count) for name, count in raw.counts]
    return Point(
        recipe=recipe,
        area=math.fsum(cell.area * count for cell, count in cells),
        sequential_area=math.fsum(cell.area * count for cell, count in cells if cell.sequential),
        delay=round((raw.delay_ps or 0.0) / library.delay_unit_ps, 6),
        cells=sum(count for _, count in cells),
        flip_flops=sum(count for cell, count in cells if cell.sequential),
        counts=raw.counts,
    )


def _check(netlist: Netlist, recipe: Recipe, raw: _Raw, library: Library) -> None:
    """Raise SynthesisError unless every cell has an area in the library, and gates have a delay."""
    unknown = sorted(
        name for name, _ in raw.counts if name not in library.cells or not library.cells[name].area > 0
    )
    if not unknown:
        if raw.delay_ps is None and any(not library.cells[name].sequential for name, _ in raw.counts):
            raise SynthesisError(f"recipe {recipe.name} must give {netlist.top} a delay, and gave none")
        return
    names = ", ".join(unknown[:_NAMES_SHOWN])
    more = f" and {len(unknown) - _NAMES_SHOWN} more" if len(unknown) > _NAMES_SHOWN else ""
    raise SynthesisError(
        f"every cell of {netlist.top} must be one of library {library.name} with an area, not {names}{more}"
    )


def _synthesize(
    session: "_Session", store: "_Cache", netlist: Netlist, recipes: list[Recipe], library: Library
) -> dict[str, _Raw]:
    results = session.run(netlist, recipes)
    for recipe in recipes:
        _check(netlist, recipe, results[recipe.name], library)
    for recipe in recipes:
        store.save(netlist, recipe, results[recipe.name])
    return results


class _Session:
    """The working directory of one call, with the library in it, and the processes that run there."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._jobs = 0

    def __enter__(self) -> "_Session":
        self._directory = tempfile.TemporaryDirectory(prefix="blockdot-synth-")
        self._root = Path(self._directory.name)
        self._written = False
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def stop(self) -> None:
        """End every process, and abc with it; none is started any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                # Its session is its own, so this is the worker and the abc that it started, nothing else.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _prepare(self) -> Path:
        """Return a directory for a new job; the library is written before the first one."""
        with self._lock:
            if not self._written:
                for number, source in enumerate(self._library.sources):
                    (self._root / f"cells{number}.lib").write_bytes(source.text)
                (self._root / "constraints").write_text(
                    f"set_driving_cell {self._library.driving_cell.name}\n"
                    f"set_load {self._library.output_load_ff:g}\n",
                    encoding="utf-8",
                )
                self._written = True
            self._jobs += 1
            directory = self._root / f"job{self._jobs}"
        directory.mkdir()
        return directory

    def run(self, netlist: Netlist, recipes: list[Recipe]) -> dict[str, _Raw]:
        """Synthesize a netlist in a process of its own."""
        directory = self._prepare()
        source = "netlist.il" if netlist.language == "rtlil" else "netlist.v"
        (directory / source).write_text(netlist.text, encoding="utf-8")
        libraries = " ".join(f"-liberty ../cells{number}.lib" for number in range(len(self._library.sources)))
        commands: dict[str, list[str]] = {}
        for recipe in recipes:
            script = recipe.script.replace(";", "\n")
            (directory / f"{recipe.name}.abc").write_text(f"{script}\n", encoding="utf-8")
            commands[recipe.name] = [
                f"abc {libraries} -constr ../constraints -script {recipe.name}.abc",
                "opt_clean -purge",
            ]
        job = {
            "passes": [
                # abc's form of the library is made once a session. Where Yosys keeps it by default, the name
                # is a hash of the library's path alone, shared by all programs of the user.
                "libcache -scl -enable",
                "libcache -scl -dir ../scl",
                f"{_READ[netlist.language]} {source}",
                f"hierarchy -check -top {netlist.top}",
                *(command.format(liberty=libraries) for command in _COARSE),
            ],
            "recipes": commands,
        }
        return self._execute(netlist, directory, job)

    def _execute(self, netlist: Netlist, directory: Path, job: dict[str, Any]) -> dict[str, _Raw]:
        """Run the worker on a job and return its result."""
        job_file, result_file, log_file = (directory / name for name in ("job.json", "result.json", "log"))
        job_file.write_text(json.dumps(job), encoding="utf-8")
        with log_file.open("wb") as log:
            with self._lock:
                if self._stopped:
                    raise SynthesisError(
                        f"synthesis of {netlist.top} must not start, as all of it was stopped"
                    )
                process = subprocess.Popen(
                    # -P: this folder holds modules of common names, which the worker must not see.
                    [sys.executable, "-P", _WORKER, job_file.name, result_file.name],
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
        if status != 0 or not result_file.exists():
            raise self._failure(netlist, status, log_file.read_text(encoding="utf-8", errors="replace"))
        result = json.loads(result_file.read_text(encoding="utf-8"))
        shutil.rmtree(directory)
        return {name: _Raw.of(record) for name, record in result.items()}

    def _failure(self, netlist: Netlist, status: int, log: str) -> SynthesisError:
        """Return what went wrong in one line, with the end of the log as a note."""
        # The session's directory has another name each time, and tells nobody anything.
        lines = [line for line in log.replace(f"{self._root}/", "").splitlines() if line.strip()]
        if register := _NO_REGISTER.search(log):
            name = self._library.name
            message = f"library {name} must have the registers of {netlist.top}, not lack {register[1]}"
        else:
            message = f"Yosys must synthesize {netlist.top}, not end with: {_reason(lines, status)}"
        error = SynthesisError(message)
        error.add_note("The end of Yosys's log:\n" + "\n".join(lines[-_LOG_LINES:]))
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


@contextlib.contextmanager
def _pool(workers: int, session: _Session) -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for the session's processes; at any error these are ended first."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="synthesis")
    try:
        yield pool
    except BaseException:
        session.stop()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


class _Cache:
    """Results on disk: a small file for a netlist and a recipe, named by a hash of all that it came from.

    A file's first line is the SHA-256 of the second, which is the result as JSON.
    """

    def __init__(self, place: str | os.PathLike[str] | None, library: Library, version: str) -> None:
        self._place = None if place is None else Path(place)
        if self._place is not None and self._place.exists() and not self._place.is_dir():
            raise NotADirectoryError(f"cache must be a directory, not the file {str(self._place)!r}")
        self._context = [
            f"flow {FLOW_VERSION}",
            f"pyosys {version}",
            library.sha256,
            f"{library.driving_cell.name} {library.output_load_ff:g}",
            *_COARSE,
        ]

    def _path(self, place: Path, netlist: Netlist, recipe: Recipe) -> Path:
        parts = [*self._context, recipe.script, netlist.language, netlist.top, netlist.text]
        # The lengths keep two different lists of parts from reading as one text.
        text = "".join(f"{len(part)}:{part}" for part in parts)
        key = hashlib.sha256(text.encode()).hexdigest()
        return place / key[:2] / f"{key[2:]}"

    def load(self, netlist: Netlist, recipes: Sequence[Recipe]) -> dict[str, _Raw]:
        """Return what is known, by recipe; a file that is not what it should be is as good as none."""
        known: dict[str, _Raw] = {}
        if self._place is not None:
            for recipe in recipes:
                with contextlib.suppress(OSError, ValueError):
                    text = self._path(self._place, netlist, recipe).read_text(encoding="utf-8")
                    digest, _, record = text.partition("\n")
                    if digest == hashlib.sha256(record.encode()).hexdigest():
                        known[recipe.name] = _Raw.of(json.loads(record))
        return known

    def save(self, netlist: Netlist, recipe: Recipe, raw: _Raw) -> None:
        """Keep a result: written beside its place and renamed, so that it is never half there."""
        if self._place is None:
            return
        path = self._path(self._place, netlist, recipe)
        record = json.dumps(raw.to_dict())
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{hashlib.sha256(record.encode()).hexdigest()}\n{record}")
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
