"""Cells in rows: a mapped netlist placed by coloquinte, and the result checked.

Every other row of the core is upside down, as rows share their rails.

A placer left alone packs cells together and leaves the rest of the core empty, where a real one spreads them
to leave room for wires. Cells are therefore widened while they are placed, so that they fill `FILL` of the
core. What coloquinte gives is put back to their own widths and onto sites, and checked: whatever is not in a
row, not on a site, or overlaps is an error.

The clock's net is left aside: see `clock_tree`.
"""

import itertools
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...base.external_tools import require_tools
from ..cell_models import CellModels
from ..mapped_netlist import MappedNetlist, Net
from ..yosys import SynthesisError, YosysSession
from .cell_geometry import CellGeometry
from .core_area import Core
from .steiner import Integers

__all__ = [
    "FILL",
    "PLACEMENT_VERSION",
    "CellPlacer",
    "Connections",
    "Placement",
    "coloquinte_version",
    "to_sites",
]

PLACEMENT_VERSION: Final = 1
"""Goes up with every change to where cells come to stand, or to what is made of it; part of a cache's key."""

FILL: Final = 0.9
"""The part of the core that cells fill while they are placed."""

# Twice the effort takes twice as long for half a percent less wire.
_EFFORT: Final = 3
_PACKAGE: Final = "coloquinte"
_NO_ROOM: Final = "Not all cells have been placed"
_WORKER: Final = str(Path(__file__).with_name("coloquinte_worker.py"))


def coloquinte_version() -> str:
    """Return the version of the installed placer.

    Raises:
        ToolError: If it is not installed.
    """
    return require_tools(_PACKAGE)[_PACKAGE].version or "unknown"


class Connections:
    """Which pins each net connects, for all placements of a netlist.

    Nets are those of signals that have a driver and something driven; the clock's are left out.

    Args:
        netlist: The netlist.
        models: Its library.
        geometry: The geometry of its cells.

    Attributes:
        nets: The nets.
        starts: Where the pins of each net begin in the other arrays, and where the last ones end; the first
            pin of a net is its driver.
        cells: The instance that each pin is of; -1 for a bit of a port.
        names: The name of each pin: of a port's bit, the port.
        bits: The port's bit; -1 for a pin of a cell.
        offsets: Where each pin is on its cell, in database units: shape (pins, 2).
        clocks: The clock's nets.
    """

    def __init__(self, netlist: MappedNetlist, models: CellModels, geometry: CellGeometry) -> None:
        self.netlist = netlist
        self.clocks = netlist.clocks(models)
        drivers: dict[Net, tuple[int, str, int]] = {}
        driven: dict[Net, list[tuple[int, str, int]]] = {}
        for port, nets in netlist.inputs.items():
            drivers |= {net: (-1, port, bit) for bit, net in enumerate(nets)}
        for index, instance in enumerate(netlist.instances):
            functions = models[instance.cell].functions
            for pin, net in instance.pins.items():
                if pin in functions:
                    drivers[net] = (index, pin, -1)
                else:
                    driven.setdefault(net, []).append((index, pin, -1))
        for port, nets in netlist.outputs.items():
            for bit, net in enumerate(nets):
                driven.setdefault(net, []).append((-1, port, bit))
        self.nets = tuple(
            sorted(net for net in driven if net in drivers and net >= 0 and net not in self.clocks)
        )
        pins: list[tuple[int, str, int]] = []
        starts = [0]
        for net in self.nets:
            pins += [drivers[net], *driven[net]]
            starts.append(len(pins))
        self.starts = np.array(starts)
        self.cells = np.array([cell for cell, _, _ in pins], dtype=np.int64)
        self.names = tuple(name for _, name, _ in pins)
        self.bits = tuple(bit for _, _, bit in pins)
        self.offsets = np.array(
            [self._offset(geometry, cell, name) for cell, name, _ in pins], dtype=np.int64
        ).reshape(-1, 2)

    def _offset(self, geometry: CellGeometry, cell: int, pin: str) -> tuple[int, int]:
        if cell < 0:
            return 0, 0
        name = self.netlist.instances[cell].cell
        shape = geometry.shape(name)
        if pin not in shape.pins:
            raise ValueError(f"pin {pin} of cell {name} must have a shape in the LEF files, not none")
        return shape.pins[pin]


@dataclass(frozen=True)
class Placement:
    """Where the cells of a netlist stand.

    Attributes:
        core: What they stand in.
        widths: How many sites each is wide.
        rows: The row of each.
        sites: The first site of each in its row.
        seed: From which it was placed.
    """

    core: Core
    widths: Integers
    rows: Integers
    sites: Integers
    seed: int

    def check(self) -> None:
        """Raise SynthesisError unless every cell is within a row of the core and none overlap."""
        outside = (self.rows < 0) | (self.rows >= self.core.rows) | (self.sites < 0)
        outside |= self.sites + self.widths > self.core.sites
        if outside.any():
            raise SynthesisError(
                f"placed cells must be in the core, not {np.flatnonzero(outside).size} of them outside"
            )
        order = np.lexsort((self.sites, self.rows))
        rows, begins = self.rows[order], self.sites[order]
        ends = begins + self.widths[order]
        overlapping = (rows[1:] == rows[:-1]) & (begins[1:] < ends[:-1])
        if overlapping.any():
            raise SynthesisError(
                f"placed cells must not overlap, as {np.flatnonzero(overlapping).size} pairs do"
            )

    @cached_property
    def corners(self) -> Integers:
        """The lower left corner of each cell, in database units: shape (cells, 2)."""
        geometry = self.core.geometry
        return np.stack((self.sites * geometry.site_width, self.rows * geometry.row_height), axis=1)

    def pins(self, connections: Connections) -> Integers:
        """Return where each pin of the connections is, in database units: shape (pins, 2)."""
        cells = connections.cells
        places = connections.offsets.copy()
        flipped = (cells >= 0) & (self.rows[cells] % 2 == 1)
        places[flipped, 1] = self.core.geometry.row_height - places[flipped, 1]
        inner = cells >= 0
        places[inner] += self.corners[cells[inner]]
        for index in np.flatnonzero(~inner):
            pin = self.core.pins[connections.names[index], connections.bits[index]]
            places[index] = pin.x, pin.y
        return places


def to_sites(centres: npt.NDArray[np.float64], rows: Integers, widths: Integers, available: int) -> Integers:
    """Put the cells of rows onto sites, in the order of their middles and as near to these as may be.

    Args:
        centres: The middle of each cell, in sites.
        rows: The row of each.
        widths: How many sites each is wide.
        available: How many sites a row has.

    Returns:
        The first site of each. Where a row has not enough of them, the last ones are outside.
    """
    placed = np.empty(len(widths), dtype=np.int64)
    order = np.lexsort((np.arange(len(widths)), centres, rows))
    for _, group in itertools.groupby(order, key=lambda index: rows[index]):
        row = list(group)
        # The last place from which all that follow still fit.
        latest, room = [], available
        for index in reversed(row):
            room -= int(widths[index])
            latest.append(room)
        at = 0
        for index, last in zip(row, reversed(latest), strict=True):
            wished = round(float(centres[index]) - int(widths[index]) / 2)
            at = max(at, min(wished, last))
            placed[index] = at
            at += int(widths[index])
    return placed


class CellPlacer(YosysSession):
    """Places netlists, in a working directory of its own that goes when the block ends.

    Raises:
        ToolError: If coloquinte is missing.
    """

    def __init__(self) -> None:
        coloquinte_version()
        super().__init__()

    def place(self, connections: Connections, core: Core, seeds: Sequence[int]) -> list[Placement]:
        """Place a netlist, from each seed anew; the same seed gives the same places.

        Args:
            connections: What its nets connect.
            core: Where to.
            seeds: Where the placer's random numbers begin, each positive.

        Raises:
            SynthesisError: If coloquinte fails, or what it gives is not legal.
        """
        return self._all_placed(connections, core, seeds)

    def place_again(self, connections: Connections, core: Core, before: Placement) -> Placement:
        """Place a netlist whose cells have other widths than before, and keep where they stood as may be.

        Args:
            connections: What its nets connect.
            core: Where to.
            before: Where the same cells stood, in any core of the same geometry.

        Raises:
            SynthesisError: As `place`.
        """
        scale = np.array([core.width / before.core.width, core.height / before.core.height])
        middles = (
            before.corners
            + np.stack(
                (
                    before.widths * core.geometry.site_width,
                    np.full(len(before.widths), core.geometry.row_height),
                ),
                axis=1,
            )
            / 2
        )
        (placement,) = self._all_placed(connections, core, [before.seed], middles * scale)
        return placement

    def _all_placed(
        self,
        connections: Connections,
        core: Core,
        seeds: Sequence[int],
        middles: npt.NDArray[np.float64] | None = None,
    ) -> list[Placement]:
        geometry = core.geometry
        instances = connections.netlist.instances
        widths = np.array([geometry.shape(one.cell).width for one in instances], dtype=np.int64)
        sites = widths // geometry.site_width
        if not len(instances):
            empty = np.zeros(0, dtype=np.int64)
            return [Placement(core, empty, empty, empty, seed) for seed in seeds]
        placed = self._placed(connections, core, widths, seeds, middles)
        placements = []
        for seed, (x, y, wide) in zip(seeds, placed, strict=True):
            if (y % geometry.row_height).any():
                raise SynthesisError("placed cells must be in rows, not between them")
            rows = y // geometry.row_height
            centres = (x + wide / 2) / geometry.site_width
            placement = Placement(core, sites, rows, to_sites(centres, rows, sites, core.sites), seed)
            placement.check()
            placements.append(placement)
        return placements

    def _placed(
        self,
        connections: Connections,
        core: Core,
        widths: Integers,
        seeds: Sequence[int],
        middles: npt.NDArray[np.float64] | None,
    ) -> list[tuple[Integers, Integers, Integers]]:
        """Return the corners that coloquinte gives cells, and their widths for it, for each seed.

        With the middles of the cells these are where it begins, and it only makes them legal and better.
        """
        # In a core of a few rows there may be no way to fill so much of it with cells that are wider.
        for fill in (FILL, FILL - 0.1, 0.0):
            stretch = max(1.0, fill * core.width * core.rows / int(widths.sum()))
            # No wider than the core itself.
            wide = np.minimum(np.maximum((widths * stretch).astype(np.int64), widths), core.width)
            directory = self._directory()
            job = self._job(connections, core, wide, stretch) | {"seeds": list(seeds)}
            if middles is not None:
                job["begun"] = True
                corners = np.rint(
                    middles - np.stack((wide, np.full(len(wide), core.geometry.row_height)), 1) / 2
                )
                for axis, column in zip("xy", corners.astype(np.int64).T.tolist(), strict=True):
                    job[axis][: len(wide)] = column
            (directory / "job.json").write_text(json.dumps(job), encoding="utf-8")
            # -P: this folder holds modules of common names, which the worker must not see.
            status, log = self._run([sys.executable, "-P", _WORKER, "job.json"], directory)
            if status and (not fill or _NO_ROOM not in log):
                raise self._failure("this netlist", status, log, "coloquinte", "place")
            if not status:
                break
        placed = []
        for seed in seeds:
            corners = json.loads((directory / f"placed{seed}.json").read_text(encoding="utf-8"))
            placed.append((*(np.array(corners[axis], dtype=np.int64) for axis in "xy"), wide))
        shutil.rmtree(directory)
        return placed

    def _job(self, connections: Connections, core: Core, wide: Integers, stretch: float) -> dict[str, Any]:
        count = len(wide)
        pins = list(core.pins.values())
        fixed = {bit: count + place for place, bit in enumerate(core.pins)}
        nets: list[tuple[list[int], list[int], list[int]]] = []
        offsets = connections.offsets
        across = (offsets[:, 0] * stretch).astype(np.int64)
        for begin, end in itertools.pairwise(connections.starts.tolist()):
            cells = [
                cell if cell >= 0 else fixed[connections.names[place], connections.bits[place]]
                for place, cell in enumerate(connections.cells[begin:end].tolist(), begin)
            ]
            nets.append((cells, across[begin:end].tolist(), offsets[begin:end, 1].tolist()))
        height = core.geometry.row_height
        return {
            "widths": [*wide.tolist(), *(0 for _ in pins)],
            "heights": [*(height for _ in range(count)), *(0 for _ in pins)],
            "x": [*(core.width // 2 for _ in range(count)), *(pin.x for pin in pins)],
            "y": [*(core.height // 2 for _ in range(count)), *(pin.y for pin in pins)],
            "fixed": len(pins),
            "row_width": core.width,
            "row_height": height,
            "rows": core.rows,
            "nets": nets,
            "effort": _EFFORT,
            "begun": False,
        }
