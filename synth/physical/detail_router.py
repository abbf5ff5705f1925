"""Detailed routing by qrouter, a maze router of T. Edwards (Debian: ``qrouter``), without its window.

qrouter reads LEF and DEF. What it is given has no cells, only their pins: each is a component of one pin
that fills one point of the grid, see `routing`, so that how it understands a library's files does not count.
It may use the layers of the geometry's stack, with their widths, spacings and vias. It routes all nets once
(stage 1), rips up what is in the way of those that failed, with more room and effort each time (stage 2), and
routes all once more, which shortens them by some 5 % (stage 3). The clock's net is left aside, as everywhere.
"""

import itertools
import math
import re
import shutil
from collections.abc import Mapping
from typing import Final

from ...base.external_tools import require_tools
from ..mapped_netlist import Net
from ..yosys import SynthesisError, YosysSession
from .cell_geometry import CellGeometry
from .placement import Connections
from .routing import Route, Routing, RoutingGrid, routed
from .steiner import Integers
from .wires import Wires

__all__ = ["ROUTING_VERSION", "DetailRouter", "qrouter_version", "require_stack", "routes_of"]

ROUTING_VERSION: Final = 1
"""Goes up with every change to how nets are routed, or to what is made of it; part of a cache's key."""

_PROGRAM: Final = "qrouter"
_EFFORTS: Final = ("mask 30 effort 10", "mask 60 effort 20", "mask none effort 20", "mask none effort 100")
_RESULT: Final = "routed.def"
_NET: Final = re.compile(r"^- n(\d+)\n([^;]*);", re.MULTILINE)
_PATH: Final = re.compile(r"(?:\+ ROUTED|NEW)\s+(\S+)\s+([^;]*?)(?=\s+NEW|\s*\Z)", re.DOTALL)
_VIA: Final = re.compile(r"via\d+")
_WORD: Final = re.compile(r"\( (\S+) (\S+)(?: \S+)? \)|(\S+)")


def qrouter_version() -> str:
    """Return the version of the installed router.

    Raises:
        ToolError: If it is not installed.
    """
    return require_tools(_PROGRAM)[_PROGRAM].version or "unknown"


def require_stack(geometry: CellGeometry) -> None:
    """Raise ValueError unless a library's files have layers for a router."""
    if len(geometry.stack) < 2:
        raise ValueError(
            "LEF files must have two routing layers above the pins, each with its capacitance, its "
            f"resistance and a default VIA that leads up to it, to be routed, not {len(geometry.stack)}: "
            f"{', '.join(geometry.files)}"
        )


class DetailRouter(YosysSession):
    """Routes placed netlists, in a working directory of its own that goes when the block ends.

    Raises:
        ToolError: If qrouter is missing.
    """

    def __init__(self) -> None:
        qrouter_version()
        super().__init__()

    def route(self, placed: Wires) -> Routing:
        """Route a placed netlist.

        Args:
            placed: The netlist with its Steiner trees.

        Raises:
            SynthesisError: If qrouter ends with an error, or what it gives cannot be.
        """
        connections, core = placed.connections, placed.placement.core
        grid = RoutingGrid(core)
        terminals = grid.terminals(placed.placement.pins(connections))
        directory = self._directory()
        (directory / "layers.lef").write_text(_lef(core.geometry, grid), encoding="utf-8")
        (directory / "placed.def").write_text(_def(grid, connections, terminals), encoding="utf-8")
        (directory / "route.tcl").write_text(_commands(len(core.geometry.stack)), encoding="utf-8")
        program = require_tools(_PROGRAM)[_PROGRAM].path
        status, log = self._run([str(program), "-nog", "-s", "route.tcl"], directory)
        result = directory / _RESULT
        if status or not result.exists():
            raise self._failure("this netlist", status, log, _PROGRAM, "route")
        routes = routes_of(result.read_text(encoding="utf-8"), grid)
        shutil.rmtree(directory)
        return routed(placed, grid, terminals, routes)


def _commands(layers: int) -> str:
    """Return what qrouter is told; each stage returns how many nets failed."""
    efforts = " ".join(f"{{{effort}}}" for effort in _EFFORTS)
    return f"""\
verbose 1
read_lef layers.lef
layers {layers}
via stack 2
read_def placed.def
set failed [stage1]
foreach effort [list {efforts}] {{
  if {{$failed == 0}} break
  set failed [stage2 {{*}}$effort]
}}
if {{$failed == 0}} {{ stage3 }}
write_def {_RESULT}
quit
"""


def _lef(geometry: CellGeometry, grid: RoutingGrid) -> str:
    """Return the layers, the vias, and the one cell that stands for a pin."""
    microns = geometry.microns

    def box(size: tuple[int, int], middle: tuple[int, int] = (0, 0)) -> str:
        ends = ((m + side * s / 2) / microns for side in (-1, 1) for m, s in zip(middle, size, strict=True))
        return f"RECT {' '.join(f'{end:.6g}' for end in ends)} ;"

    lines = ["VERSION 5.7 ;", "UNITS", f"  DATABASE MICRONS {microns} ;", "END UNITS"]
    for number, layer in enumerate(geometry.stack):
        wire = layer.wire
        if number:
            lines += [f"LAYER cut{number}", "  TYPE CUT ;", f"END cut{number}"]
        lines += [
            f"LAYER {wire.name}",
            "  TYPE ROUTING ;",
            f"  DIRECTION {layer.direction.upper()} ;",
            f"  PITCH {wire.pitch / microns:.6g} ;",
            f"  WIDTH {wire.width / microns:.6g} ;",
            f"  SPACING {layer.spacing / microns:.6g} ;",
            f"END {wire.name}",
        ]
    for number, layer in enumerate(geometry.stack[1:], 1):
        below = geometry.stack[number - 1].wire
        cut = min(*layer.via.below, *layer.via.above)
        lines += [f"VIA via{number} DEFAULT", f"  LAYER cut{number} ;", f"    {box((cut, cut))}"]
        for name, size in ((below.name, layer.via.below), (layer.wire.name, layer.via.above)):
            lines += [f"  LAYER {name} ;", f"    {box(size)}"]
        lines.append(f"END via{number}")
    (across, up), lowest = grid.pitches, geometry.stack[0].wire
    lines += [
        "MACRO PIN",
        "  CLASS CORE ;",
        f"  SIZE {across / microns:.6g} BY {up / microns:.6g} ;",
        "  PIN A",
        "    DIRECTION INPUT ;",
        "    PORT",
        f"      LAYER {lowest.name} ;",
        f"        {box((lowest.width, lowest.width), (across // 2, up // 2))}",
        "    END",
        "  END A",
        "END PIN",
        "END LIBRARY",
        "",
    ]
    return "\n".join(lines)


def _def(grid: RoutingGrid, connections: Connections, terminals: Integers) -> str:
    """Return the pins and nets; qrouter wants each word of a net on a line of its own."""
    (across, up), (columns, rows) = grid.pitches, grid.shape
    geometry = grid.core.geometry
    lines = [
        "VERSION 5.8 ;",
        "DESIGN placed ;",
        f"UNITS DISTANCE MICRONS {geometry.microns} ;",
        f"DIEAREA ( 0 0 ) ( {columns * across} {rows * up} ) ;",
    ]
    for layer in geometry.stack:
        axis, pitch, count = ("X", across, columns) if layer.direction == "vertical" else ("Y", up, rows)
        step = layer.wire.pitch
        lines.append(
            f"TRACKS {axis} {pitch // 2} DO {-(-count * pitch // step)} STEP {step} LAYER {layer.wire.name} ;"
        )
    lines.append(f"COMPONENTS {len(terminals)} ;")
    lines += [
        f"- p{pin} PIN + PLACED ( {column * across} {row * up} ) N ;"
        for pin, (column, row) in enumerate(terminals.tolist())
    ]
    lines += ["END COMPONENTS", f"NETS {len(connections.nets)} ;"]
    starts = connections.starts.tolist()
    for net, begin, end in zip(connections.nets, starts, starts[1:], strict=False):
        lines += [f"- n{net}", *(f"  ( p{pin} A )" for pin in range(begin, end)), ";"]
    return "\n".join([*lines, "END NETS", "END DESIGN", ""])


def routes_of(text: str, grid: RoutingGrid) -> Mapping[Net, Route]:
    """Return the route of each net that has one.

    qrouter moves a via off the grid by less than half a pitch where it would be too near to another one.

    Raises:
        SynthesisError: If the text is none that qrouter writes.
    """
    names = {layer.wire.name: number for number, layer in enumerate(grid.core.geometry.stack)}
    found: dict[Net, Route] = {}
    section = text[text.find("\nNETS ") : text.find("\nEND NETS") + 1]
    for net, body in _NET.findall(section):
        wires: list[tuple[int, tuple[int, int], tuple[int, int]]] = []
        vias: list[tuple[int, int, int]] = []
        for name, path in _PATH.findall(body):
            points, via = _path(path, grid)
            if name not in names or (via is None and len(points) < 2):
                raise SynthesisError(f"routed wires must be on a layer and lead somewhere, not {name} {path}")
            wires += [(names[name], *ends) for ends in itertools.pairwise(points)]
            if via is not None:
                vias.append((via - 1, *points[-1]))
        found[int(net)] = Route(tuple(wires), tuple(vias))
    return found


def _path(text: str, grid: RoutingGrid) -> tuple[list[tuple[int, int]], int | None]:
    """Return the points of a path, and the number of the via at its end if there is one."""
    across, up = grid.pitches
    points: list[tuple[int, int]] = []
    x = y = 0.0
    via: int | None = None
    for left, high, name in _WORD.findall(text):
        if via is not None or (name and not (_VIA.fullmatch(name) and points)):
            raise SynthesisError(f"a routed path must be points and a via, not {text!r}")
        if name:
            via = int(name.removeprefix("via"))
        else:
            x, y = (x if left == "*" else float(left)), (y if high == "*" else float(high))
            points.append((math.floor(x / across), math.floor(y / up)))
    return points, via
