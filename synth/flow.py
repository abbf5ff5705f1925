"""From a netlist to gates, area and delay: native Yosys and abc, out of the pyosys wheel.

Netlists are synthesized in a process of their own: the coarse passes and the technology mapping of word
operators once for each, then abc once for each recipe. Yosys's own ``synth`` is not used: it runs
``abc -fast`` first, which takes long and loses the structure that was asked for.

What the figures are:

- Area is the sum of the areas of the library's cells. A cell that the library does not have, such as a
  memory that was left over, is an error: it would count as nothing.
- Delay is the slowest path through gates alone, from an input or a register's output to an output or a
  register's input. The clock period adds what registers take. Both are those of `timing`, whose module says
  what they hold and what not; no wire is in either.
- Initial values of registers are dropped, as in an ASIC: they cost nothing and reset does not need them.
"""

import contextlib
import hashlib
import json
import math
import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from .cell_models import CellModels
from .liberty import Library
from .mapped_netlist import MappedNetlist
from .metric import Metric
from .static_timing import PathTiming, analyse
from .yosys_session import Session, SynthesisError, pyosys_version

__all__ = [
    "AREA_RECIPES",
    "CELLS",
    "DELAY_RECIPES",
    "FLIP_FLOPS",
    "FLOW_VERSION",
    "RECIPES",
    "Cache",
    "Counts",
    "Goal",
    "Language",
    "Netlist",
    "Recipe",
    "SynthesisError",
    "SynthesisPoint",
    "Synthesizer",
    "choose",
    "entry",
    "pyosys_version",
    "read_command",
    "read_whole",
    "synthesis_point_of",
    "synthesize",
    "unvaried",
    "write_whole",
]

FLOW_VERSION: Final = 3
"""Goes up with every change to the passes or to what is made of their results; part of the cache's key."""

Goal = Literal["area", "delay"]
Language = Literal["rtlil", "verilog"]
Counts = tuple[tuple[str, int], ...]
"""How many there are of each cell, by name."""
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
_TOP: Final = re.compile(r"[A-Za-z_][\w$.]*")
# dfflegalize on a register that dfflibmap found no cell for.
_NO_REGISTER: Final = re.compile(r"ERROR: FF \S+ \(type (\S+)\) cannot be legalized")
_NAMES_SHOWN: Final = 5


@dataclass(frozen=True)
class Recipe:
    """One way through abc.

    Attributes:
        name: Its name.
        goal: What it is for.
        script: abc's commands, with a semicolon between them; the last is ``stime -p``. Where it has
            ``{target}``, options for a delay target are put there.
        target: The delay to make the gates fit, in ps; None for the least that there is.
    """

    name: str
    goal: Goal
    script: str
    target: int | None = None

    def __post_init__(self) -> None:
        # It becomes a file's name and part of a Yosys command.
        if not re.fullmatch(r"\w+", self.name):
            raise ValueError(f"recipe name must be letters, digits and underscores, not {self.name!r}")

    @property
    def commands(self) -> str:
        """What abc is told, one command a line."""
        target = "" if self.target is None else f"-D {self.target}"
        return self.script.format(target=target).replace(";", "\n") + "\n"

    def at(self, target_ps: float) -> "Recipe":
        """Return the recipe with a delay target; of the targets within a picosecond there is one.

        Raises:
            ValueError: If its script takes none.
        """
        if "{target}" not in self.script:
            raise ValueError(f"recipe must take a delay target, not {self.name!r}")
        target = max(1, round(target_ps))
        return replace(self, name=f"{self.name}_{target}", target=target)

    def varied(self, seed: int) -> "Recipe":
        """Return the recipe behind steps that rewrite the gates without changing what they compute.

        Seed 0 has no such step, every other one to three of them, drawn at random: what comes out differs as
        it does between netlists that are wired differently, also where a netlist has no order to choose.
        """
        if not seed:
            return self
        generator = random.Random(seed)
        steps = generator.choices(_REWRITES, k=generator.randint(1, 3))
        script = self.script.replace(_FIRST, _FIRST + "".join(f"{step}; " for step in steps), 1)
        return replace(self, name=f"{self.name}{_VARIED}{seed}", script=script)


def unvaried(name: str) -> str:
    """Return the name of the recipe that a recipe is a variation of: of one that is none, its own."""
    return name.partition(_VARIED)[0]


_FIRST: Final = "strash; "
_VARIED: Final = "_v"
_REWRITES: Final = (
    "balance", "rewrite", "refactor", "resub", "rewrite -z", "refactor -z", "resub -z",
)  # fmt: skip
_TAIL: Final = "topo; upsize {target}; dnsize {target}; stime -p"
# Sizing takes most of a recipe's time, and most of that the last percent of delay.
_SHORT_TAIL: Final = "topo; upsize -J 10 {target}; dnsize {target}; stime -p"

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
            # The smallest gates, then sized: between area and delay.
            Recipe("s1", "delay", f"strash; dch -f; amap -m; buffer -c -N 8; {_TAIL}"),
            Recipe("d1", "delay", f"strash; &get -n; &dch -f; &nf; &put; buffer -c -N 8; {_TAIL}"),
            Recipe("d0", "delay", f"strash; &get -n; &dch -f; &nf; &put; buffer -c -N 8; {_SHORT_TAIL}"),
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
"""The recipes by name: those named a are for area, the others for delay."""

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

    @cached_property
    def sha256(self) -> str:
        """A SHA-256 over all of it, in hexadecimal."""
        return hashlib.sha256("\0".join((self.language, self.top, self.text)).encode()).hexdigest()


def read_command(netlist: Netlist, name: str) -> tuple[str, str]:
    """Return the name of the file that a netlist is to be written to, and what makes Yosys read it."""
    source = f"{name}.{'il' if netlist.language == 'rtlil' else 'v'}"
    return source, f"{_READ[netlist.language]} {source}"


@dataclass(frozen=True)
class SynthesisPoint:
    """What one netlist came out as by one recipe.

    Attributes:
        recipe: The recipe's name.
        area: Area of all cells, in the unit of the library's `area`.
        sequential_area: Area of the flip-flops (and latches) among them.
        delay: Delay through gates alone, in the unit of the library's `delay`; 0 where there is no gate.
        period: The shortest clock period of the netlist between registers, in the same unit.
        paths: The longest path of each kind, between registers, in the same unit: see `timing.PATHS`.
        clock_to_output: Of the path that decides the period, the part up to the register's output.
        setup: Of the same, the setup time.
        stime: abc's own figure for `delay`. It takes a gate for rising or falling with an input where the
            gate can do either (an XOR), unless the library states one arc for both, and is then too small.
        cells: How many cells there are.
        flip_flops: How many of them are flip-flops (or latches).
        counts: How many there are of each cell, by name.
    """

    recipe: str
    area: float
    sequential_area: float
    delay: float
    period: float
    paths: tuple[tuple[str, float], ...]
    clock_to_output: float
    setup: float
    stime: float
    cells: int
    flip_flops: int
    counts: Counts

    @property
    def combinational_area(self) -> float:
        """Area of the gates."""
        return self.area - self.sequential_area


def synthesize(
    text: str,
    top: str,
    library: Library,
    *,
    recipes: Sequence[str | Recipe] = tuple(RECIPES),
    language: Language = "rtlil",
    cache: str | os.PathLike[str] | None = None,
) -> list[SynthesisPoint]:
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
    chosen = choose(recipes)
    netlist = Netlist(text, top, language)
    store = Cache(cache, library)
    found = store.load(netlist, chosen)
    missing = [recipe for recipe in chosen if recipe.name not in found]
    if missing:
        with Synthesizer(library) as synthesizer:
            (made,) = synthesizer.run([netlist], missing)
        store.save(netlist, missing, made)
        found |= made
    return [found[recipe.name] for recipe in chosen]


def choose(names: Sequence[str | Recipe]) -> list[Recipe]:
    """Return recipes by their names.

    Raises:
        ValueError: If there is no such recipe, one is there twice, or there is none.
    """
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


# What Yosys and abc say of one netlist by one recipe, before the library's figures are put to it.


@dataclass(frozen=True)
class _Raw:
    stime_ps: float | None
    counts: Counts

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


def _point(recipe: str, raw: _Raw, timing: PathTiming, library: Library) -> SynthesisPoint:
    cells = [(library.cells[name], count) for name, count in raw.counts]

    def reported(ps: float) -> float:
        return round(ps / library.delay_unit_ps, 6)

    return SynthesisPoint(
        recipe=recipe,
        area=math.fsum(cell.area * count for cell, count in cells),
        sequential_area=math.fsum(cell.area * count for cell, count in cells if cell.sequential),
        delay=reported(timing.gates),
        period=reported(timing.period),
        paths=tuple((path, reported(ps)) for path, ps in timing.paths.items()),
        clock_to_output=reported(timing.clock_to_output),
        setup=reported(timing.setup),
        stime=reported(raw.stime_ps or 0.0),
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
        if raw.stime_ps is None and any(not library.cells[name].sequential for name, _ in raw.counts):
            raise SynthesisError(f"recipe {recipe.name} must give {netlist.top} a delay, and gave none")
        return
    names = ", ".join(unknown[:_NAMES_SHOWN])
    more = f" and {len(unknown) - _NAMES_SHOWN} more" if len(unknown) > _NAMES_SHOWN else ""
    raise SynthesisError(
        f"every cell of {netlist.top} must be one of library {library.name} with an area, not {names}{more}"
    )


class Synthesizer(Session):
    """Synthesizes for one library, in a working directory of its own that goes when the block ends.

    Several threads may use one.

    Args:
        library: What to map to.

    Raises:
        SynthesisError: If pyosys is missing.
    """

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library
        self.models = CellModels(library)

    def run(self, netlists: Sequence[Netlist], recipes: Sequence[Recipe]) -> list[dict[str, SynthesisPoint]]:
        """Synthesize netlists one after another, each by every recipe.

        Returns:
            For each netlist, a point for each recipe by its name.

        Raises:
            SynthesisError: If Yosys or abc fails, or a cell is left that the library does not have.
        """
        return [
            {
                name: _point(name, raw, self._timing(mapped), self.library)
                for name, (raw, mapped) in one.items()
            }
            for one in self._synthesize(netlists, recipes)
        ]

    def counts(self, netlists: Sequence[Netlist], recipes: Sequence[Recipe]) -> list[dict[str, Counts]]:
        """Synthesize netlists as `run` does, and only count their cells: timing them takes as long again."""
        return [
            {name: raw.counts for name, (raw, _) in one.items()}
            for one in self._synthesize(netlists, recipes)
        ]

    def map(self, netlist: Netlist, recipes: Sequence[Recipe]) -> dict[str, MappedNetlist]:
        """Synthesize one netlist, and return its gates themselves, by the recipe's name; raises as `run`."""
        (one,) = self._synthesize([netlist], recipes)
        return {name: mapped for name, (_, mapped) in one.items()}

    def _timing(self, mapped: MappedNetlist) -> PathTiming:
        try:
            return analyse(mapped, self.models)
        except ValueError as error:
            raise SynthesisError(f"library {self.library.name} must time every cell: {error}") from error

    def _synthesize(
        self, netlists: Sequence[Netlist], recipes: Sequence[Recipe]
    ) -> list[dict[str, tuple[_Raw, MappedNetlist]]]:
        directory = self._directory()
        libraries = " ".join(f"-liberty ../cells{number}.lib" for number in range(len(self.library.sources)))
        commands: dict[str, list[str]] = {}
        for recipe in recipes:
            (directory / f"{recipe.name}.abc").write_text(recipe.commands, encoding="utf-8")
            commands[recipe.name] = [
                f"abc {libraries} -constr ../constraints -script {recipe.name}.abc",
                "opt_clean -purge",
            ]
        designs = []
        for number, netlist in enumerate(netlists):
            source, command = read_command(netlist, f"netlist{number}")
            (directory / source).write_text(netlist.text, encoding="utf-8")
            designs.append(
                [
                    command,
                    f"hierarchy -check -top {netlist.top}",
                    *(command.format(liberty=libraries) for command in _COARSE),
                ]
            )
        job = {
            "setup": [
                # abc's form of the library is made once a session. Where Yosys keeps it by default, the name
                # is a hash of the library's path alone, shared by all programs of the user.
                "libcache -scl -enable",
                "libcache -scl -dir ../scl",
            ],
            "designs": designs,
            "recipes": commands,
        }
        self._execute([netlist.top for netlist in netlists], directory, job)
        made = []
        for number, netlist in enumerate(netlists):
            results = json.loads((directory / f"result{number}.json").read_text(encoding="utf-8"))
            one: dict[str, tuple[_Raw, MappedNetlist]] = {}
            for recipe in recipes:
                raw = _Raw.of(results[recipe.name])
                _check(netlist, recipe, raw, self.library)
                gates = (directory / f"{recipe.name}{number}.mapped").read_text(encoding="utf-8")
                one[recipe.name] = raw, MappedNetlist.of(json.loads(gates), netlist.top)
            made.append(one)
        shutil.rmtree(directory)
        return made

    def _begin(self) -> None:
        """Write the library, before the first job."""
        for number, source in enumerate(self.library.sources):
            (self._root / f"cells{number}.lib").write_bytes(source.text)
        (self._root / "constraints").write_text(
            f"set_driving_cell {self.library.driving_cell.name}\nset_load {self.library.output_load_ff:g}\n",
            encoding="utf-8",
        )

    def _explained(self, top: str, log: str) -> str | None:
        if register := _NO_REGISTER.search(log):
            return f"library {self.library.name} must have the registers of {top}, not lack {register[1]}"
        return None


class Cache:
    """Results on disk: a small file for a netlist and a recipe, named by a hash of all that it came from.

    A file's first line is the SHA-256 of the second, which is the result as JSON.

    Args:
        place: The directory, made if need be; None for no cache.
        library: What netlists are mapped to.

    Raises:
        NotADirectoryError: If `place` is a file.
        SynthesisError: If pyosys is missing.
    """

    def __init__(self, place: str | os.PathLike[str] | None, library: Library) -> None:
        self._place = None if place is None else Path(place)
        if self._place is not None and self._place.exists() and not self._place.is_dir():
            raise NotADirectoryError(f"cache must be a directory, not the file {str(self._place)!r}")
        self._context = [
            f"flow {FLOW_VERSION}",
            f"pyosys {pyosys_version()}",
            library.sha256,
            f"{library.driving_cell.name} {library.output_load_ff:g} {library.delay_unit_ps:g}",
            *_COARSE,
        ]

    def _path(self, place: Path, netlist: Netlist, recipe: Recipe) -> Path:
        return entry(place, [*self._context, recipe.commands, netlist.sha256])

    def load(self, netlist: Netlist, recipes: Iterable[Recipe]) -> dict[str, SynthesisPoint]:
        """Return what is known, by recipe; a file that is not what it should be is as good as none."""
        known: dict[str, SynthesisPoint] = {}
        if self._place is not None:
            for recipe in recipes:
                record = read_whole(self._path(self._place, netlist, recipe))
                with contextlib.suppress(TypeError, ValueError):
                    known[recipe.name] = synthesis_point_of(recipe.name, record)
        return known

    def save(self, netlist: Netlist, recipes: Iterable[Recipe], points: Mapping[str, SynthesisPoint]) -> None:
        """Keep results, each whole or not at all."""
        if self._place is not None:
            for recipe in recipes:
                write_whole(self._path(self._place, netlist, recipe), asdict(points[recipe.name]))


def synthesis_point_of(recipe: str, record: Any) -> SynthesisPoint:
    """Return the point that a record holds, under the name that its recipe has now.

    Raises:
        TypeError, ValueError: If it holds none.
    """
    known = dict(record)
    known |= {name: tuple(map(tuple, known.get(name, ()))) for name in ("paths", "counts")}
    return SynthesisPoint(**{**known, "recipe": recipe})


# Small files whose contents are JSON. They are also used by what measures with this flow.


def entry(place: Path, parts: Iterable[str]) -> Path:
    """Return the path of a file for what came of these parts."""
    # The lengths keep two different lists of parts from reading as one text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    key = hashlib.sha256(text.encode()).hexdigest()
    return place / key[:2] / key[2:]


def read_whole(path: Path) -> Any:
    """Return what `write_whole` wrote; None if there is no such file, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        digest, _, record = path.read_text(encoding="utf-8").partition("\n")
        if digest == hashlib.sha256(record.encode()).hexdigest():
            return json.loads(record)
    return None


def write_whole(path: Path, value: Any) -> None:
    """Write JSON beside its place, with its hash, and rename it, so that it is never half there."""
    record = json.dumps(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{hashlib.sha256(record.encode()).hexdigest()}\n{record}")
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
