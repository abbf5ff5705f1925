"""The price of UE5M3 with wires: the figures of ``docs/wires.md``.

Two commands, which `make wires-measure` and `make wires` are::

    python -m studies.wires.measure measure [--library NAME] [--lef FILE]... [--accumulate NAME]...
    python -m studies.wires.measure write

The first places units under both scale formats, on one library, and keeps what comes of it in
``studies/wires/results.jsonl``; rows of other units and libraries stay as they are there. The second writes
the figures into the page, between its two marks.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.lab.cost.jobs import Progress, Runner
from blockdot.lab.cost.placed_cost import CELL_PLACEMENTS, WiredCost, placed_costs
from blockdot.lab.cost.priced_unit import unit_record
from blockdot.lab.unit_choices import UnitChoices
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import Library
from blockdot.synth.physical.cell_geometry import CellGeometry, geometry_of
from blockdot.synth.physical.placement import coloquinte_version
from blockdot.synth.recipes import FLOW_VERSION
from blockdot.synth.yosys import pyosys_version

from ..commands import exit_code_of, progress_bars
from ..intervals import interval_of
from ..records import joined, read_stored, write_stored
from .page import PAGE, with_figures

__all__ = ["STORED", "WIRED_ACCUMULATES", "main", "measure_wires"]

STORED: Final = Path("studies/wires/results.jsonl")
WRITTEN: Final = Path("docs")

WIRED_ACCUMULATES: Final = ("none", "fp32", "exact")
"""The accumulations of the main units."""

ORDERS: Final = 8
BLOCK_SIZE: Final = 16


def measure_wires(
    library: Library,
    geometry: CellGeometry,
    *,
    accumulates: Sequence[str] = WIRED_ACCUMULATES,
    orders: int = ORDERS,
    placements: int = CELL_PLACEMENTS,
    block_size: int = BLOCK_SIZE,
    cache: Path | None = None,
    workers: int | None = None,
    runner: Runner | None = None,
    keep: Callable[[list[dict[str, Any]]], None] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> list[dict[str, Any]]:
    """Measure units under both scale formats with their wires.

    Args:
        library: What to map to.
        geometry: The geometry of its cells.
        accumulates: The accumulations.
        orders: How many netlists are made of each unit.
        placements: How many times each is placed.
        block_size: Elements under one scale.
        cache: Where results are kept; None for nowhere.
        workers: How many processes run at once; the number of processors where it is None.
        runner: Where it is done, if not in processes of this machine.
        keep: Called with what there is so far, whenever there is more.
        progress: Called with a word on what comes next; what it returns is called after each netlist.

    Returns:
        A row for each unit.
    """
    rows: list[dict[str, Any]] = []
    for accumulate in accumulates:
        costs = placed_costs(
            UnitChoices(accumulates=[accumulate], block_sizes=[block_size]).units(),
            library,
            geometry,
            orders=orders,
            placements=placements,
            cache=cache,
            workers=workers,
            runner=runner,
            progress=None if progress is None else progress(f"{library.name}: {accumulate}"),
        )
        rows += [_row(library, cost, orders, placements) for cost in costs]
        if keep is not None:
            keep(rows)
    return rows


def _row(library: Library, cost: WiredCost, orders: int, placements: int) -> dict[str, Any]:
    record = cost.to_dict()
    return {
        "library": library.name,
        **unit_record(cost.unit),
        "pyosys": pyosys_version(),
        "flow": FLOW_VERSION,
        "coloquinte": coloquinte_version(),
        "recipe": record["recipe"],
        "orders": orders,
        "placements": placements,
        "utilisation": record["utilisation"],
        "figures": {
            name: {
                "unit": summary.metric.unit,
                "digits": summary.metric.digits,
                "median": summary.median,
                "values": [round(value, 3) for value in summary.values],
            }
            for name, summary in cost.figures.items()
            if summary.maximum
        },
        "unsized_recipe": record["unsized_recipe"],
        "unsized": {
            name: [round(value, 3) for value in summary.values] for name, summary in cost.unsized.items()
        },
        "deltas": {name: interval_of(delta) for name, delta in (cost.deltas or {}).items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.wires.measure")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument(
        "--library", default="neutral", help="a name, or Liberty files with a comma between"
    )
    measuring.add_argument(
        "--lef", action="append", default=[], type=Path, help="where none lies beside these"
    )
    measuring.add_argument("--accumulate", action="append", choices=WIRED_ACCUMULATES, help="these alone")
    measuring.add_argument("--orders", type=int, default=ORDERS, help="netlists of each unit")
    measuring.add_argument("--workers", type=int, help="processes at once")
    commands.add_parser("write")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        if chosen.command == "write":
            page = WRITTEN / PAGE
            stored = read_stored(STORED)
            write_whole(page, with_figures(page.read_text(encoding="utf-8"), stored["units"]))
            return
        library = find_library(chosen.library)
        geometry = geometry_of(library, chosen.lef)
        old = read_stored(STORED)["units"] if STORED.exists() else []
        with progress_bars() as progress:
            measure_wires(
                library,
                geometry,
                accumulates=chosen.accumulate or WIRED_ACCUMULATES,
                orders=chosen.orders,
                cache=Path("build/synthesis"),
                workers=chosen.workers,
                keep=lambda rows: write_stored(STORED, "make wires-measure", {"units": joined(old, rows)}),
                progress=progress,
            )

    return exit_code_of("wires", work)


if __name__ == "__main__":
    sys.exit(main())
