"""From a netlist to gates, area and delay: native Yosys and abc, out of the pyosys wheel.

Netlists are synthesized in a process of their own: the coarse passes and the technology mapping of word
operators once for each, then abc once for each recipe. `recipes` has them all.

What the figures are:

- Area is the sum of the areas of the library's cells. A cell that the library does not have, such as a
  memory that was left over, is an error: it would count as nothing.
- Delay is the slowest path through gates alone, from an input or a register's output to an output or a
  register's input. The clock period adds what registers take. Both are those of `static_timing`, which says
  what they hold and what not; no wire is in either. The delay is held against abc's own: where the two differ
  by more than rounding, with the library read as abc reads it, there is an error and no figure.
- Initial values of registers are dropped, as in an ASIC: they cost nothing and reset does not need them.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .adder_cells import chosen_adders
from .adder_netlist import adder_choices, with_adders
from .cache import Cache
from .cell_models import AbcCellModels, CellModels
from .equivalence import require_equal
from .gate_netlist import GateNetlist
from .liberty import CellFunction, Library
from .mapped_netlist import MappedNetlist
from .netlist import Language, Netlist, read_command
from .recipes import COARSE_PASSES, RECIPES, Recipe, choose
from .static_timing import PathTiming, analyse, gates_delay
from .synthesis_point import Counts, SynthesisPoint
from .yosys import SynthesisError, YosysSession

__all__ = ["AbcFigures", "Synthesizer", "check_cells", "synthesize"]

# dfflegalize on a register that dfflibmap found no cell for.
_NO_REGISTER: Final = re.compile(r"ERROR: FF \S+ \(type (\S+)\) cannot be legalized")
# abc ended by a signal: it takes for granted what a library need not have.
_ABC_DIED: Final = re.compile(r"ERROR: ABC: .* return code 1[23]\d\b")
# abc's `amap` counts levels in twelve bits.
_TOO_DEEP: Final = re.compile(r"Assertion `p->nLevelMax < (\d+)' failed")
_NAMES_SHOWN: Final = 5
_LIBRARIES: Final = "-liberty ../cells.lib"
# The name of what is done to a design that is not mapped.
_UNMAPPED: Final = "unmapped"
# abc prints two digits of a picosecond, and reckons with single precision: at each gate of a path the time so
# far is rounded, so that a path of many gates is off by 2**-24 of its length for each of them at most.
_STIME_DIGIT_PS: Final = 0.011
_STIME_PART: Final = 1e-6
_STIME_GATE: Final = 2.0**-24


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
        ToolError: If pyosys is missing.
        SynthesisError: If Yosys or abc fails, or a cell is left that the library does not have.
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


@dataclass(frozen=True)
class _Design:
    """A design of a job: its top, its file, and the commands that read and prepare it."""

    top: str
    source: str
    text: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class AbcFigures:
    """What Yosys and abc say of one netlist by one recipe, before the library's figures are put to it.

    Attributes:
        stime_ps: abc's delay in picoseconds; None where it gave none.
        counts: How many there are of each cell, by name.
    """

    stime_ps: float | None
    counts: Counts

    @classmethod
    def of(cls, record: object) -> "AbcFigures":
        """Return what a JSON record holds.

        Raises:
            ValueError: If it does not hold that.
        """
        match record:
            case {"delay_ps": int() | float() | None as delay, "cells": dict() as cells}:
                if all(isinstance(name, str) and type(count) is int for name, count in cells.items()):
                    return cls(delay, tuple(sorted(cells.items())))
        raise ValueError(f"record must hold a delay and cells, not {record!r}")


@dataclass(frozen=True)
class _Mapped:
    """What a design came out as: abc's figures, the cells, and the same as ``write_json`` wrote them."""

    figures: AbcFigures
    netlist: MappedNetlist
    design: Any


def _point(recipe: str, raw: AbcFigures, timing: PathTiming, library: Library) -> SynthesisPoint:
    cells = [(library.cells[name], count) for name, count in raw.counts]
    reported = library.reported_delay
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


def check_cells(
    top: str, recipe: Recipe, raw: AbcFigures, library: Library, unseen: Collection[str] = ()
) -> None:
    """Raise SynthesisError unless every cell has an area in the library, and gates have a delay.

    Args:
        top: Name of the design.
        recipe: What it was mapped by.
        raw: What came of it.
        library: The library.
        unseen: Cells that abc has not seen, and so gives no delay.
    """
    unknown = sorted(
        name for name, _ in raw.counts if name not in library.cells or not library.cells[name].area > 0
    )
    if not unknown:
        seen = {name for name, _ in raw.counts if name not in unseen}
        if raw.stime_ps is None and any(not library.cells[name].sequential for name in seen):
            raise SynthesisError(f"recipe {recipe.name} must give {top} a delay, and gave none")
        return
    names = ", ".join(unknown[:_NAMES_SHOWN])
    more = f" and {len(unknown) - _NAMES_SHOWN} more" if len(unknown) > _NAMES_SHOWN else ""
    raise SynthesisError(
        f"every cell of {top} must be one of library {library.name} with an area, not {names}{more}"
    )


class Synthesizer(YosysSession):
    """Synthesizes for one library, in a working directory of its own that goes when the block ends.

    Several threads may use one.

    Args:
        library: What to map to.

    Raises:
        ToolError: If pyosys is missing.
    """

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library
        self.models = CellModels(library)
        self._as_abc_reads = AbcCellModels(library)
        self._adders = chosen_adders(library)
        self._adder_names = {adder.name for adder in self._adders}

    def run(self, netlists: Sequence[Netlist], recipes: Sequence[Recipe]) -> list[dict[str, SynthesisPoint]]:
        """Synthesize netlists one after another, each by every recipe.

        Returns:
            For each netlist, a point for each recipe by its name.

        Raises:
            SynthesisError: If Yosys or abc fails, or a cell is left that the library does not have.
        """
        return [
            {
                name: _point(name, raw, self._timing(netlist, name, raw, mapped), self.library)
                for name, (raw, mapped) in one.items()
            }
            for netlist, one in zip(netlists, self.mapped_by(netlists, recipes), strict=True)
        ]

    def counts(self, netlists: Sequence[Netlist], recipes: Sequence[Recipe]) -> list[dict[str, Counts]]:
        """Synthesize netlists as `run` does, and only count their cells: timing them takes as long again."""
        return [
            {name: raw.counts for name, (raw, _) in one.items()} for one in self.mapped_by(netlists, recipes)
        ]

    def map(self, netlist: Netlist, recipes: Sequence[Recipe]) -> dict[str, MappedNetlist]:
        """Synthesize one netlist, and return its gates themselves, by the recipe's name; raises as `run`."""
        (one,) = self.mapped_by([netlist], recipes)
        return {name: mapped for name, (_, mapped) in one.items()}

    def _timing(self, netlist: Netlist, recipe: str, raw: AbcFigures, mapped: MappedNetlist) -> PathTiming:
        try:
            timing = analyse(mapped, self.models)
            # abc has not seen the adders.
            again = gates_delay(mapped.opened_at(self._adder_names), self._as_abc_reads)
        except ValueError as error:
            raise SynthesisError(f"library {self.library.name} must time every cell: {error}") from error
        told = raw.stime_ps or 0.0
        off = abs(again - told) - _STIME_DIGIT_PS
        if off > _STIME_PART * told and off > _STIME_GATE * mapped.depth(self.models) * told:
            raise SynthesisError(
                f"delay of {netlist.top} by {recipe} must be abc's {told:.2f} ps, not {again:.2f} ps"
            )
        return timing

    def mapped_by(
        self, netlists: Sequence[Netlist], recipes: Sequence[Recipe]
    ) -> list[dict[str, tuple[AbcFigures, MappedNetlist]]]:
        """Synthesize netlists as `run` does; return abc's figures and the gates, by the recipe's name."""
        designs: list[_Design] = []
        for number, netlist in enumerate(netlists):
            source, command = read_command(netlist, f"netlist{number}")
            coarse = (command.format(liberty=_LIBRARIES) for command in COARSE_PASSES)
            commands = (command, f"hierarchy -check -top {netlist.top}", *coarse)
            designs.append(_Design(netlist.top, source, netlist.text, commands))
        made = self._mapped(designs, recipes)
        others = [recipe for recipe in recipes if recipe.adders]
        if others:
            unmapped = self._worked(designs, {_UNMAPPED: ["opt_clean -purge"]})
            for one, design, results in zip(made, designs, unmapped, strict=True):
                _, gates = results[_UNMAPPED]
                one.update(self._with_adders(GateNetlist(gates, design.top), others, one))
        return [
            {recipe.name: (one[recipe.name].figures, one[recipe.name].netlist) for recipe in recipes}
            for one in made
        ]

    def _with_adders(
        self, gates: GateNetlist, recipes: Sequence[Recipe], without: Mapping[str, "_Mapped"]
    ) -> dict[str, "_Mapped"]:
        """Map one netlist of gates by recipes that use the library's adders.

        Each maps it with the full adders as cells, and with the half adders too, and takes what serves its
        goal best of these and of what came out without. That this computes what the gates do is proven.
        """
        designs: list[_Design] = []
        for number, sites in enumerate(adder_choices(gates, self._adders)):
            source = f"adders{number}.json"
            commands = (f"read_json {source}", "opt_clean -purge")
            designs.append(_Design(gates.top, source, json.dumps(with_adders(sites)), commands))
        tried = [without, *self._mapped(designs, recipes)]
        chosen: dict[str, _Mapped] = {}
        for recipe in recipes:
            best = min((one[recipe.name] for one in tried), key=lambda one: self._merit(recipe, one))
            if self._adder_names & {name for name, _ in best.figures.counts}:
                made = GateNetlist(best.design, gates.top)
                require_equal(self, gates, made, self.library, f"{gates.top} by {recipe.name}")
            chosen[recipe.name] = best
        return chosen

    def _merit(self, recipe: Recipe, mapped: "_Mapped") -> tuple[float, ...]:
        """Return what is to be least."""
        area = math.fsum(self.library.cells[name].area * count for name, count in mapped.figures.counts)
        if recipe.goal == "area":
            return (area,)
        delay = gates_delay(mapped.netlist, self.models)
        if recipe.target is not None:
            return (max(delay, recipe.target), area)
        return (delay, area)

    def _mapped(self, designs: Sequence["_Design"], recipes: Sequence[Recipe]) -> list[dict[str, "_Mapped"]]:
        """Map designs by recipes as they are, and return what comes of each by the recipe's name."""
        commands = {
            recipe.name: [
                f"abc {_LIBRARIES} -constr ../constraints -script {recipe.name}.abc",
                "opt_clean -purge",
            ]
            for recipe in recipes
        }
        scripts = {f"{recipe.name}.abc": recipe.commands for recipe in recipes}
        made = []
        for design, results in zip(designs, self._worked(designs, commands, scripts), strict=True):
            one: dict[str, _Mapped] = {}
            for recipe in recipes:
                record, mapped = results[recipe.name]
                figures = AbcFigures.of(record)
                check_cells(design.top, recipe, figures, self.library, self._adder_names)
                one[recipe.name] = _Mapped(figures, MappedNetlist.of(mapped, design.top), mapped)
            made.append(one)
        return made

    def _worked(
        self,
        designs: Sequence["_Design"],
        commands: Mapping[str, Sequence[str]],
        scripts: Mapping[str, str] | None = None,
    ) -> list[dict[str, tuple[Any, Any]]]:
        """Prepare each design, and run each list of commands on it.

        Returns:
            For each design, by the name of the commands: cells and delay, and what ``write_json`` wrote.
        """
        directory = self._directory()
        for name, text in {**(scripts or {}), **{one.source: one.text for one in designs}}.items():
            (directory / name).write_text(text, encoding="utf-8")
        job = {
            "setup": [
                # abc's form of the library is made once a session. Where Yosys keeps it by default, the name
                # is a hash of the library's path alone, shared by all programs of the user.
                "libcache -scl -enable",
                "libcache -scl -dir ../scl",
            ],
            "designs": [list(design.commands) for design in designs],
            "recipes": {name: list(several) for name, several in commands.items()},
        }
        self._execute([design.top for design in designs], directory, job)
        made = []
        for number in range(len(designs)):
            results = json.loads((directory / f"result{number}.json").read_text(encoding="utf-8"))
            one: dict[str, tuple[Any, Any]] = {}
            for name in commands:
                mapped = (directory / f"{name}{number}.mapped").read_text(encoding="utf-8")
                one[name] = results[name], json.loads(mapped)
            made.append(one)
        shutil.rmtree(directory)
        return made

    def _begin(self) -> None:
        """Write the library, before the first job."""
        (self._root / "cells.lib").write_text(self.library.mapping_text, encoding="utf-8")
        (self._root / "constraints").write_text(
            f"set_driving_cell {self.library.driving_cell.name}\nset_load {self.library.output_load_ff:g}\n",
            encoding="utf-8",
        )

    def _explained(self, top: str, log: str) -> str | None:
        if register := _NO_REGISTER.search(log):
            return f"library {self.library.name} must have the registers of {top}, not lack {register[1]}"
        if not _ABC_DIED.search(log):
            return None
        if deep := _TOO_DEEP.search(log):
            return f"{top} must have fewer than {deep[1]} levels of gates for abc's amap, not as many or more"
        lacking = self._without_delay()
        if lacking is None:
            return f"abc must map {top} to library {self.library.name}, not break down over it"
        return f"library {self.library.name} must time every cell: {lacking}"

    def _without_delay(self) -> str | None:
        """Return which gate of the library has no delay from an input that its output hangs on."""
        for cell in self.library.cells.values():
            if not cell.usable or cell.kind != "gate":
                continue
            try:
                model = self.models[cell.name]
            except ValueError as error:
                return str(error)
            for output, text in cell.functions:
                timed = {arc.source for arc in model.arcs_to(output)}
                for pin in sorted(CellFunction(text).names - timed):
                    return f"cell {cell.name} has no delay from {pin} to {output}"
        return None
