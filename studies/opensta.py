"""Our static timing beside OpenSTA's, an analyser of others, on whole units.

``python -m studies.opensta`` maps five units to the built-in library and to each ``--library``, and prints
the longest path of each kind as both have it, and the largest difference. It needs OpenSTA: the command
``sta`` of Debian's package ``opensta``. A library must be one Liberty file.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from blockdot.base.external_tools import ToolError
from blockdot.hw import DotUnit, to_rtlil
from blockdot.model import DotSpec
from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import Synthesizer
from blockdot.synth.liberty import Library
from blockdot.synth.mapped_netlist import MappedNetlist
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose
from blockdot.synth.registers import find_register
from blockdot.synth.static_timing import PATHS, analyse
from blockdot.synth.timing_context import TimingContext

from .commands import exit_code_of

__all__ = ["TIMED_UNITS", "compared", "main", "opensta_paths"]

TIMED_UNITS: Final[dict[str, Callable[[], DotUnit]]] = {
    "combinational": lambda: DotUnit(DotSpec(block_size=4), stages=0),
    "binary32": lambda: DotUnit(DotSpec(block_size=4, accumulate="fp32"), stages=2),
    "exact": lambda: DotUnit(DotSpec(block_size=2, accumulate="exact", scale="ue5m3"), stages=1),
    "aligned": lambda: DotUnit(DotSpec(block_size=4, accumulate="aligned"), stages=3, optimise="area"),
    "deep": lambda: DotUnit(DotSpec(block_size=8, scale="ue5m3"), stages=3),
}
"""The units that are timed, by a word for each."""

_PERIOD_NS: Final = 100.0


def _write_liberty(library: Library, path: Path) -> None:
    """Write the library's one file, without wires for those who did not ask for any."""
    (source,) = library.sources
    text = source.text.decode("latin-1")
    path.write_text(re.sub(r"^ *default_wire_load[^\n]*\n", "", text, flags=re.MULTILINE))


def _write_design(netlist: MappedNetlist, models: CellModels, path: Path) -> list[str]:
    """Write a netlist between registers as Verilog, and return the commands that load its outputs."""
    library = models.library
    register = find_register(library)
    assert register is not None
    driver = models[library.driving_cell.name]
    (into,), (out,) = driver.capacitance, driver.functions
    clocked = models[register.cell]
    clocks = netlist.clocks(models)
    names = {MappedNetlist.ZERO: "1'b0", MappedNetlist.ONE: "1'b1"} | dict.fromkeys(clocks, "clk")

    def net(number: int) -> str:
        return names.get(number, f"n{number}")

    def registered(name: str, pins: dict[str, str]) -> str:
        joined = ", ".join(f".{pin}({wire})" for pin, wire in {clocked.clock: "clk", **pins}.items())
        return f"  {register.cell} {name} ({joined});"

    lines: list[str] = []
    for number, bit in enumerate(
        bit for bits in netlist.inputs.values() for bit in bits if bit not in clocks
    ):
        lines.append(registered(f"in_{number}", {register.output: f"from_{number}"}))
        lines.append(f"  {driver.name} driver_{number} (.{into}(from_{number}), .{out}({net(bit)}));")
    taken = Counter(bit for bits in netlist.outputs.values() for bit in bits if bit >= 0)
    ports: list[str] = []
    commands: list[str] = []
    own = clocked.capacitance[register.data]
    port_load = library.output_load_ff / library.capacitance_unit_ff
    for number, (bit, count) in enumerate(taken.items()):
        lines.append(registered(f"out_{number}", {register.data: net(bit)}))
        lines.append(f"  assign o{number} = {net(bit)};")
        ports.append(f"o{number}")
        # The registers that take outputs are not known: what loads the net is `output_load_ff` alone.
        for edge, capacitance in zip(("rise", "fall"), own, strict=True):
            commands.append(f"set_load -{edge} {count * port_load - capacitance:.9f} [get_ports o{number}]")
    for number, instance in enumerate(netlist.instances):
        kind = "reg" if models[instance.cell].clock else "gate"
        joined = ", ".join(f".{pin}({net(bit)})" for pin, bit in instance.pins.items())
        lines.append(f"  {instance.cell} {kind}_{number} ({joined});")
    head = [
        f"module top (clk, {', '.join(ports)});",
        "  input clk;",
        *(f"  output {port};" for port in ports),
    ]
    path.write_text("\n".join([*head, *lines, "endmodule", ""]))
    return commands


def opensta_paths(netlist: MappedNetlist, models: CellModels, folder: Path) -> dict[str, float]:
    """Return the longest path of each kind in ps, as OpenSTA has it.

    Args:
        netlist: The netlist, which is put between registers as ours is.
        models: The cells of a library of one file.
        folder: Where files may lie.

    Raises:
        RuntimeError: If OpenSTA reports no path.
    """
    library = models.library
    _write_liberty(library, folder / "cells.lib")
    loads = _write_design(netlist, models, folder / "top.v")
    context = TimingContext(models)
    assert context.register is not None
    rise, fall = context.register[2].slope
    period = _PERIOD_NS * 1000 / library.time_unit_ps
    starts = {"input": "in_*", "register": "reg_*"}
    ends = {"register": "reg_*", "output": "out_*"}
    commands = [
        "read_liberty cells.lib",
        "read_verilog top.v",
        "link_design top",
        f"create_clock -name clk -period {period:.9g} [get_ports clk]",
        f"set_clock_transition -rise {rise:.9f} [get_clocks clk]",
        f"set_clock_transition -fall {fall:.9f} [get_clocks clk]",
        *loads,
    ]
    for path in PATHS:
        start, _, end = path.split(" ")
        commands.append(f'puts "PATH {path}"')
        commands.append(
            f"report_checks -path_delay max -from [get_cells {starts[start]}] -to [get_cells {ends[end]}] "
            "-format full -digits 7"
        )
    (folder / "run.tcl").write_text("\n".join(commands) + "\n")
    done = subprocess.run(
        ["sta", "-no_splash", "-exit", "run.tcl"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict[str, float] = {}
    for report in done.stdout.split("PATH ")[1:]:
        arrival = re.search(r"([\d.]+) +data arrival time", report)
        setup = re.search(r"(-?[\d.]+) +-?[\d.]+ +library setup time", report)
        if arrival and setup:
            late = float(arrival[1]) - float(setup[1])
            found[report.partition("\n")[0]] = late * library.time_unit_ps
    if not found:
        raise RuntimeError(f"sta must report a path, not: {' '.join((done.stdout + done.stderr).split())}")
    return found


def compared(name: str, library: Library, folder: Path) -> dict[str, tuple[float, float]]:
    """Return the longest path of each kind in ps, as we have it and as OpenSTA has it.

    Args:
        name: One of `TIMED_UNITS`.
        library: A library of one file.
        folder: Where files may lie.
    """
    unit = TIMED_UNITS[name]()
    with Synthesizer(library) as synthesizer:
        mapped = synthesizer.map(Netlist(to_rtlil(unit), unit.name), choose(["s1"]))["s1"]
    models = CellModels(library)
    ours, theirs = analyse(mapped, models).paths, opensta_paths(mapped, models, folder)
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"paths must be those of sta, {', '.join(theirs)}, not {', '.join(ours)}")
    return {path: (ours[path], theirs[path]) for path in ours}


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.opensta",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--library", metavar="FILE", type=Path, action="append", default=[], help="a Liberty file; repeatable"
    )
    asked = parser.parse_args(argv)

    def work() -> None:
        if shutil.which("sta") is None:
            raise ToolError("sta must be installed, and is not: apt install opensta")
        largest = 0.0
        libraries = [neutral(), *map(Library.read, asked.library)]
        for library in libraries:
            for name in TIMED_UNITS:
                with tempfile.TemporaryDirectory() as folder:
                    for path, (ours, theirs) in compared(name, library, Path(folder)).items():
                        print(f"{library.name:32} {name:14} {path:20} {ours:10.3f} {theirs:10.3f} ps")
                        largest = max(largest, abs(ours - theirs))
        print(f"units: {len(TIMED_UNITS)}, libraries: {len(libraries)}, largest difference {largest:.3f} ps")

    return exit_code_of("studies.opensta", work)


if __name__ == "__main__":
    sys.exit(main())
