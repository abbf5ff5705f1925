"""The answer: what the extra exponent bit of a UE5M3 scale costs, and what it is worth, as one page.

Three commands, of which the first and the last are `make answer-measure` and `make answer`::

    python -m studies.answer.measure measure [--library NAME]... [--only ROUND]... [--block-size N]... ...
    python -m studies.answer.measure changes
    python -m studies.answer.measure write

The first measures, in rounds: the unit that the question is first about, in many netlists; that again, in
others; two more beside it; in few netlists, all units at their least depth, pipelines, and the fastest forms;
and what the bit costs at equal delay. It keeps what it found in ``studies/answer/results.jsonl``: a row for
each unit, small enough to be read. It does so as often as it can, adds to what was stored before, and does
not measure again what is in the cache: a run that was broken off may be started again, and a measurement
be made bit by bit. The second notes which accumulations have other hardware now than was measured, in a few
minutes, so that the page says so. The third makes ``docs/cost-of-ue5m3.md`` of that, with the files it links,
and nothing else: no figure is written by hand.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.hw.config import Optimise, UnitConfig, least_stages
from blockdot.hw.unit_grid import GRID_ACCUMULATES, GRID_SCALES
from blockdot.lab.cost.area_delay import area_delay_curves
from blockdot.lab.cost.comparison import compare_costs
from blockdot.lab.cost.energy_workloads import ENERGY_LANES
from blockdot.lab.cost.jobs import Progress
from blockdot.lab.cost.measurement_job import seeds_of
from blockdot.lab.cost.priced_unit import kin_of
from blockdot.lab.cost.tile_cost import measure_tiles
from blockdot.lab.cost.unit_energy import UnitEnergy, energies
from blockdot.model import DotSpec
from blockdot.model.spec import Accumulate
from blockdot.synth.installed_libraries import find_library

from ..commands import exit_code_of, progress_bars
from ..records import read_stored, write_stored
from ..todays_netlist import marked_rows
from .answer_rows import ANSWER_BLOCK_SIZES, ANSWER_SCHEMA, ANSWER_VERSION, BIT
from .file_names import WORTH_PICTURE
from .measured_rows import curve_rows, error_rows, library_facts, merged, tile_row, unit_row
from .page import answer_files
from .picture import draw_answer

__all__ = ["ROUNDS", "STORED", "WRITTEN", "MeasuringRound", "main", "measure_answer"]

STORED: Final = Path("studies/answer/results.jsonl")
WRITTEN: Final = Path("docs")

TILE: Final = (4, 4)
_BIT: Final = ("ue4m3", BIT)
# Blocks that an aligned unit takes at once: with one there would be nothing to align.
_ALIGNED_BLOCKS: Final = 2


@dataclass(frozen=True)
class MeasuringRound:
    """Units that are measured alike.

    Attributes:
        orders: Netlists made of each unit.
        variants: Variations of the recipe for area that each netlist goes through.
        block_sizes: Elements under one scale.
        accumulates: Accumulations.
        stages: Depths; None is the least that a unit can have.
        scales: Scale formats, the first that which the others are compared with.
        optimise: Form of the components.
        energy_orders: Netlists whose energy is measured; less than 2 for no energy.
        tile: Rows and columns of tiles of the two formats that differ in the bit; None for none.
        curve: Area at equal delay is measured, in both forms and at several delay targets, and nothing else.
        targets: The delay targets, in the library's unit; those of `area_delay_curves` where there are none.
        seed: Which netlists. What has another than 0 is held against what has 0.
    """

    orders: int
    variants: int = 1
    block_sizes: tuple[int, ...] = ANSWER_BLOCK_SIZES
    accumulates: tuple[Accumulate, ...] = GRID_ACCUMULATES
    stages: tuple[int | None, ...] = (None,)
    scales: tuple[str, ...] = GRID_SCALES
    optimise: Optimise = "area"
    energy_orders: int = 0
    tile: tuple[int, int] | None = None
    curve: bool = False
    targets: tuple[float, ...] = ()
    seed: int = 0

    def units(self, block_size: int) -> list[UnitConfig]:
        """Return the units of one block size."""
        units: list[UnitConfig] = []
        for accumulate, depth, scale in itertools.product(self.accumulates, self.stages, self.scales):
            blocks = _ALIGNED_BLOCKS if accumulate == "aligned" else 1
            spec = DotSpec(scale=scale, block_size=block_size, accumulate=accumulate, blocks=blocks)
            units.append(
                UnitConfig(
                    spec, stages=least_stages(spec) if depth is None else depth, optimise=self.optimise
                )
            )
        return units


_FIRST: Final = MeasuringRound(
    orders=32, variants=2, block_sizes=(16,), accumulates=("fp32",), scales=_BIT, energy_orders=16
)

ROUNDS: Final = {
    "first": _FIRST,
    "again": replace(_FIRST, energy_orders=0, seed=1),
    "beside": replace(_FIRST, orders=16, accumulates=("exact", "none")),
    "grid": MeasuringRound(orders=4, energy_orders=3, tile=TILE),
    "deep": MeasuringRound(orders=4, stages=(3,), energy_orders=3),
    "fast": replace(
        _FIRST, orders=8, accumulates=("fp32", "exact", "none"), optimise="delay", energy_orders=0
    ),
    "curve": replace(_FIRST, orders=8, accumulates=("fp32", "none"), energy_orders=0, curve=True),
}
"""What is measured: the unit that the question is first about, that again, two more, all units at their least
depth, pipelines, the fastest forms, and the first ones at equal delay."""


def measure_answer(
    libraries: Sequence[str],
    rounds: Iterable[MeasuringRound],
    *,
    cache: Path,
    workers: int | None = None,
    before: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
    lanes: int = ENERGY_LANES,
) -> dict[str, Any]:
    """Measure all that the page says.

    Args:
        libraries: Names or files, as `find_library` takes them.
        rounds: What to measure with each.
        cache: Where results are kept.
        workers: How many processes run at once; the number of processors where it is None.
        before: What was stored before, to which this is added. Of one unit the row of more netlists stays,
            unless its hardware, the synthesizer or the flow changed. What is stored of one of `libraries`,
            but of another file, is left aside, and so is everything of another version.
        keep: Called with what there is so far, whenever there is more.
        progress: Called with a word on what comes next; what it returns is called after each netlist.
        lanes: Vectors side by side, for the energy.

    Returns:
        What `answer_files` takes, as JSON can hold it.
    """
    found = [find_library(name) for name in libraries]
    stored: dict[str, Any] = {
        "schema": ANSWER_SCHEMA,
        "version": ANSWER_VERSION,
        "libraries": [],
        "rows": [],
        "again": [],
        "tiles": [],
        "curves": [],
        "errors": error_rows(sorted(ANSWER_BLOCK_SIZES)),
    }
    facts = {library.name: library_facts(library) for library in found}
    if before is not None and before.get("version") == ANSWER_VERSION:
        known: list[dict[str, Any]] = before["libraries"]
        stored["libraries"] = [facts.get(old["name"], old) for old in known]
        changed = {old["name"] for old in known if facts.get(old["name"], old) != old}
        for key in ("rows", "again", "tiles", "curves"):
            stored[key] = [row for row in before[key] if row["library"] not in changed]
    stored["libraries"] = merged(stored["libraries"], facts.values(), "name")

    def following(what: str) -> Progress | None:
        return None if progress is None else progress(what)

    for one in rounds:
        for block_size, library in itertools.product(one.block_sizes, found):
            units = one.units(block_size)
            where = f"{library.name}, N={block_size}"
            options: dict[str, Any] = {"seed": one.seed, "cache": cache, "workers": workers}
            if one.curve:
                for _, alike in itertools.groupby(units, kin_of):
                    made = area_delay_curves(
                        list(alike),
                        library,
                        orders=one.orders,
                        targets=one.targets,
                        progress=following(f"{where}: area at equal delay"),
                        **options,
                    )
                    rows = list(curve_rows(library.name, made, seeds_of(one.orders, one.seed)))
                    stored["curves"] = merged(stored["curves"], rows, "library", "unit")
                if keep is not None:
                    keep(stored)
                continue
            comparison = compare_costs(
                units,
                library,
                orders=one.orders,
                variants=one.variants,
                progress=following(f"{where}: area and delay"),
                **options,
            )
            powered: list[UnitEnergy] = []
            if one.energy_orders > 1:
                powered = energies(
                    units,
                    library,
                    orders=one.energy_orders,
                    lanes=lanes,
                    progress=following(f"{where}: energy"),
                    **options,
                )
            rows = [
                unit_row(comparison, cost, [energy for energy in powered if energy.unit == cost.unit])
                for cost in comparison.costs
            ]
            name = "again" if one.seed else "rows"
            stored[name] = merged(stored[name], rows, "library", "unit")
            if one.tile is not None:
                chosen = [replace(unit, tile=one.tile) for unit in units if unit.spec.scales[0].name in _BIT]
                of_tiles = measure_tiles(
                    chosen, library, orders=one.orders, progress=following(f"{where}: tiles"), **options
                )
                rows = [tile_row(library.name, cost) | {"orders": one.orders} for cost in of_tiles]
                stored["tiles"] = merged(stored["tiles"], rows, "library", "unit")
            if keep is not None:
                keep(stored)
    return stored


def _keep(stored: dict[str, Any]) -> None:
    write_stored(STORED, "make answer-measure", stored)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the three commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.answer.measure")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--library", action="append", help="a name, or Liberty files with a comma between")
    measuring.add_argument("--only", action="append", choices=list(ROUNDS), help="round to measure; all")
    measuring.add_argument("--orders", type=int, help="netlists of each unit, instead of the round's own")
    measuring.add_argument("--block-size", action="append", type=int, choices=ANSWER_BLOCK_SIZES)
    measuring.add_argument("--accumulate", action="append", choices=GRID_ACCUMULATES)
    measuring.add_argument("--scale", action="append", choices=GRID_SCALES)
    commands.add_parser("changes")
    commands.add_parser("write")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        if chosen.command == "write":
            _write(read_stored(STORED))
            return
        if chosen.command == "changes":
            stored = read_stored(STORED)
            _keep(stored | {"rows": marked_rows(stored["rows"])})
            return
        STORED.parent.mkdir(parents=True, exist_ok=True)
        narrowed = {
            "block_sizes": chosen.block_size,
            "accumulates": chosen.accumulate,
            "scales": chosen.scale,
        }
        changed: dict[str, Any] = {key: tuple(value) for key, value in narrowed.items() if value}
        if chosen.orders is not None:
            changed["orders"] = chosen.orders
        with progress_bars() as progress:
            measure_answer(
                chosen.library or ["neutral"],
                [replace(ROUNDS[name], **changed) for name in chosen.only or ROUNDS],
                cache=Path("build/synthesis"),
                before=read_stored(STORED) if STORED.exists() else None,
                keep=_keep,
                progress=progress,
            )

    return exit_code_of("answer", work)


def _write(stored: dict[str, Any]) -> None:
    WRITTEN.mkdir(exist_ok=True)
    drawn = draw_answer(stored, WRITTEN / WORTH_PICTURE)
    for name, text in answer_files(stored, drawn=drawn).items():
        write_whole(WRITTEN / name, text)


if __name__ == "__main__":
    sys.exit(main())
