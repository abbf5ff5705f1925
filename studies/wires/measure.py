"""The price of UE5M3 with wires: the figures of ``docs/wires.md``.

Two commands, which `make wires-measure` and `make wires` are::

    python -m studies.wires.measure measure [--library NAME] [--lef FILE]... [--accumulate NAME]...
        [--block-size N] [--resize | --route]
    python -m studies.wires.measure write

The first places units under both scale formats, on one library, and keeps what comes of it in
``studies/wires/results.jsonl``; rows of other units and libraries stay as they are there. With ``--resize``
sizes are chosen again for the wires of each placement, and with ``--route`` each placement is routed in
detail; what comes of these is kept in tables of their own. The second notes which units have other hardware
now than was measured, and writes the figures into the page, between its two marks.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.lab.cost.jobs import Progress, Runner
from blockdot.lab.cost.placed_cost import CELL_PLACEMENTS, WiredCost, placed_costs
from blockdot.lab.cost.priced_unit import unit_record
from blockdot.lab.statistics import Summary
from blockdot.lab.unit_choices import UnitChoices
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import Library
from blockdot.synth.physical.cell_geometry import CellGeometry, geometry_of
from blockdot.synth.physical.placement import coloquinte_version
from blockdot.synth.recipes import FLOW_VERSION
from blockdot.synth.yosys import SynthesisError, pyosys_version

from ..commands import exit_code_of, progress_bars
from ..intervals import interval_of
from ..records import StoredRecord, joined, read_stored, write_stored
from ..todays_netlist import marked_rows, todays_netlist
from .page import PAGE, TABLES, with_figures

__all__ = ["STORED", "WIRED_ACCUMULATES", "WiredUnits", "main", "measure_routes", "measure_wires"]

STORED: Final = Path("studies/wires/results.jsonl")
WRITTEN: Final = Path("docs")
MADE_BY: Final = "make wires-measure"

WIRED_ACCUMULATES: Final = ("none", "fp32", "exact")
"""The accumulations of the main units."""

ORDERS: Final = 8
UNSIZED_ORDERS: Final = 24
"""Netlists for differences of core and wire: as many as tell half a percent. Their sizes are not searched."""

BLOCK_SIZE: Final = 16
ROUTED_PLACEMENTS: Final = 2
"""How many times a netlist is placed and routed: routing takes ten times as long as placing."""

_BESIDE: Final = ("wire_length", "period")


@dataclass(frozen=True, kw_only=True)
class WiredUnits:
    """Units under both scale formats, and how they are placed.

    Attributes:
        library: What to map to.
        geometry: The geometry of its cells.
        accumulates: The accumulations.
        orders: How many netlists are made of each unit.
        unsized_orders: How many for differences of core and wire; None for `orders`.
        placements: How many times each is placed; None for as often as is usual.
        block_size: Elements under one scale.
        cache: Where results are kept; None for nowhere.
        workers: How many processes run at once; the number of processors where it is None.
        runner: Where it is done, if not in processes of this machine.
        progress: Called with a word on what comes next; what it returns is called after each netlist.
    """

    library: Library
    geometry: CellGeometry
    accumulates: Sequence[str] = WIRED_ACCUMULATES
    orders: int = ORDERS
    unsized_orders: int | None = None
    placements: int | None = None
    block_size: int = BLOCK_SIZE
    cache: Path | None = None
    workers: int | None = None
    runner: Runner | None = None
    progress: Callable[[str], Progress | None] | None = None

    def costs(self, *, routed: bool = False, resized: bool = False) -> Iterator[list[WiredCost]]:
        """Yield the costs of the units of each accumulation, routed or resized as `placed_costs` has it."""
        for accumulate in self.accumulates:
            yield placed_costs(
                UnitChoices(accumulates=[accumulate], block_sizes=[self.block_size]).units(),
                self.library,
                self.geometry,
                orders=self.orders,
                unsized_orders=self.unsized_orders,
                placements=self._times(routed=routed),
                routed=routed,
                resized=resized,
                cache=self.cache,
                workers=self.workers,
                runner=self.runner,
                progress=None
                if self.progress is None
                else self.progress(f"{self.library.name}: {accumulate}"),
            )

    def heading(self, cost: WiredCost) -> dict[str, Any]:
        """Return what a row has whatever is measured: the unit, and what it was measured by."""
        return {
            "library": self.library.name,
            **unit_record(cost.unit),
            "netlist": todays_netlist(cost.unit),
            "pyosys": pyosys_version(),
            "flow": FLOW_VERSION,
            "coloquinte": coloquinte_version(),
            "recipe": cost.to_dict()["recipe"],
            "orders": self.orders,
            "placements": self._times(routed=cost.routed is not None),
            "utilisation": cost.placing.utilisation,
        }

    def _times(self, *, routed: bool) -> int:
        usual = ROUTED_PLACEMENTS if routed else CELL_PLACEMENTS
        return usual if self.placements is None else self.placements


def measure_wires(
    units: WiredUnits,
    *,
    resized: bool = False,
    keep: Callable[[list[dict[str, Any]]], None] | None = None,
) -> list[dict[str, Any]]:
    """Measure units under both scale formats with their wires.

    Args:
        units: The units.
        resized: Whether sizes are chosen again for the wires of each placement.
        keep: Called with what there is so far, whenever there is more.

    Returns:
        A row for each unit.
    """
    rows: list[dict[str, Any]] = []
    for costs in units.costs(resized=resized):
        for cost in costs:
            record = cost.to_dict()
            rows.append(
                {
                    **units.heading(cost),
                    "figures": {
                        name: _values(summary) for name, summary in cost.figures.items() if summary.maximum
                    },
                    "unsized_recipe": record["unsized_recipe"],
                    "unsized_corners": record["unsized_corners"],
                    "unsized": {
                        name: [round(value, 3) for value in summary.values]
                        for name, summary in cost.unsized.items()
                    },
                    "deltas": {name: interval_of(delta) for name, delta in (cost.deltas or {}).items()},
                }
            )
        if keep is not None:
            keep(rows)
    return rows


def measure_routes(units: WiredUnits) -> list[dict[str, Any]]:
    """Measure units under both scale formats routed in detail.

    Args:
        units: The units.

    Returns:
        A row for each unit.

    Raises:
        SynthesisError: If a net of a placement could not be routed.
    """
    rows: list[dict[str, Any]] = []
    for costs in units.costs(routed=True):
        for cost in costs:
            assert cost.routed is not None
            if cost.routed.figures is None:
                raise SynthesisError(f"{cost.unit.name} must be routed: {cost.routed.verdict}")
            rows.append(
                {
                    **units.heading(cost),
                    "qrouter": cost.routed.qrouter,
                    "layers": [layer.wire.name for layer in cost.routed.geometry.stack],
                    "estimate": {name: _values(cost.figures[name]) for name in _BESIDE},
                    "figures": {name: _values(summary) for name, summary in cost.routed.figures.items()},
                }
            )
    return rows


def _values(summary: Summary) -> dict[str, Any]:
    return {
        "unit": summary.metric.unit,
        "digits": summary.metric.digits,
        "median": summary.median,
        "values": [round(value, 3) for value in summary.values],
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
    measuring.add_argument(
        "--accumulate", action="append", choices=(*WIRED_ACCUMULATES, "aligned"), help="these alone"
    )
    measuring.add_argument("--block-size", type=int, default=BLOCK_SIZE, help="elements under one scale")
    further = measuring.add_mutually_exclusive_group()
    further.add_argument("--resize", action="store_true", help="with sizes chosen again for the wires")
    further.add_argument("--route", action="store_true", help="routed in detail too")
    measuring.add_argument("--orders", type=int, default=ORDERS, help="netlists of each unit")
    measuring.add_argument("--placements", type=int, help="placements of each netlist")
    measuring.add_argument("--workers", type=int, help="processes at once")
    commands.add_parser("write")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        if chosen.command == "write":
            page = WRITTEN / PAGE
            stored = read_stored(STORED)
            stored |= {table: marked_rows(stored.get(table, [])) for table in TABLES}
            write_stored(STORED, MADE_BY, stored)
            write_whole(page, with_figures(page.read_text(encoding="utf-8"), stored))
            return
        library = find_library(chosen.library)
        geometry = geometry_of(library, chosen.lef)

        def keep(rows: list[dict[str, Any]]) -> None:
            # Read again each time: another run may have kept something since.
            old: StoredRecord = {table: [] for table in TABLES}
            if STORED.exists():
                old |= read_stored(STORED)
            table = "routed" if chosen.route else "resized" if chosen.resize else "units"
            write_stored(STORED, MADE_BY, old | {table: joined(old[table], rows)})

        with progress_bars() as progress:
            units = WiredUnits(
                library=library,
                geometry=geometry,
                accumulates=chosen.accumulate or WIRED_ACCUMULATES,
                orders=chosen.orders,
                # Differences with sizes chosen again and of routed wires are of the sized gates.
                unsized_orders=None if chosen.route or chosen.resize else max(chosen.orders, UNSIZED_ORDERS),
                placements=chosen.placements,
                block_size=chosen.block_size,
                cache=Path("build/synthesis"),
                workers=chosen.workers,
                progress=progress,
            )
            if chosen.route:
                keep(measure_routes(units))
            else:
                measure_wires(units, resized=chosen.resize, keep=keep)

    return exit_code_of("wires", work)


if __name__ == "__main__":
    sys.exit(main())
