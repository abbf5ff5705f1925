"""The glitches that the energy counts, against those of an event simulation of the same netlist.

    python -m studies.glitches [--library NAME] [--block-size N] [--vectors N]

maps a unit without registers and plays the same vectors twice: in `ActivitySimulation`, which follows sorted
arrays of edges through one gate after the other, and in Icarus Verilog, event by event, with the delays of
each path through each gate in a specify block. Both let no pulse pass that is shorter than a gate's delay.
What each net did is weighted by the same tables.
"""

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockdot.base.external_tools import require_tools
from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.energy_workloads import workloads
from blockdot.lab.cost.measurement_job import emit
from blockdot.lab.cost.switching_activity import TICK, Activity, ActivitySimulation, Bits, lanes_of
from blockdot.lab.cost.switching_energy import weighted
from blockdot.model import DotSpec
from blockdot.synth.flow import Synthesizer
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import CellFunction, Library
from blockdot.synth.mapped_netlist import MappedNetlist, Net
from blockdot.synth.netlist import Netlist
from blockdot.synth.recipes import choose
from blockdot.synth.static_timing import analyse, path_delays

from .commands import exit_code_of

__all__ = ["GlitchComparison", "compare_glitches", "main", "waves_by_icarus"]

VECTORS: Final = 100
BLOCK_SIZE: Final = 4
_RECIPE: Final = "a2"
_SECONDS: Final = 500
_OPERATORS: Final = str.maketrans({"!": "~", "*": "&", "+": "|"})


@dataclass(frozen=True)
class GlitchComparison:
    """A unit's energy of an input, by both simulations on the same vectors.

    Attributes:
        unit: The unit.
        library: What it was mapped to.
        vectors: How many vectors were counted.
        settled: The energy without glitches, the same in both.
        ways: Of each simulation by its name, the energy, and how many edges all nets have on all vectors.
    """

    unit: str
    library: str
    vectors: int
    settled: float
    ways: Mapping[str, tuple[float, int]]

    @property
    def text(self) -> str:
        """What it comes to, in lines; differences are from the last simulation."""
        *_, (truth, _) = self.ways.values()
        lines = [
            f"{self.unit} on {self.library}, {self.vectors} vectors: energy of an input, and edges",
            f"  {'without glitches':24} {self.settled:10.1f}",
        ]
        lines += [
            f"  {name:24} {energy:10.1f} {100 * (energy / truth - 1):+6.1f} % {edges:8}"
            for name, (energy, edges) in self.ways.items()
        ]
        return "\n".join(lines)


def compare_glitches(library: Library, block_size: int, vectors: int) -> GlitchComparison:
    """Play vectors of uniform codes into a unit in each simulation.

    Args:
        library: What it is mapped to.
        block_size: Elements under one scale.
        vectors: How many, at least 3; the first is not counted.

    Raises:
        ToolError: If Icarus Verilog is missing.
        RuntimeError: If it fails, or finds another result than ours does.
    """
    require_tools("icarus")
    unit = UnitConfig(DotSpec(block_size=block_size), stages=0)
    (recipe,) = choose([_RECIPE])
    with Synthesizer(library) as synthesizer:
        mapped = synthesizer.map(Netlist(*emit(unit, 0)), [recipe])[recipe.name]
        models = synthesizer.models
    (workload,) = workloads(unit.spec, 0, None, lanes=vectors)
    inputs = {
        port: lanes_of(workload.words[port][:vectors].reshape(vectors, 1, -1), len(nets))
        for port, nets in mapped.inputs.items()
    }
    simulation = ActivitySimulation(mapped, models)
    found = {
        "blockdot": simulation.run(inputs, 1),
        "Icarus Verilog": _by_events(simulation, inputs),
    }
    first, other = found.values()
    if first.settled != other.settled:
        raise RuntimeError("both simulations must settle alike, not differently")
    return GlitchComparison(
        unit.name,
        library.name,
        first.vectors,
        weighted(simulation, first).settled,
        {
            name: (weighted(simulation, one).total, sum(map(sum, one.transitions.values())))
            for name, one in found.items()
        },
    )


def _cells(simulation: ActivitySimulation) -> Iterator[str]:
    """Yield a module for each cell of the netlist, with its delays in ps."""
    models = simulation.models
    unit = models.library.time_unit_ps
    for number, instance in enumerate(simulation.netlist.instances):
        model = models[instance.cell]
        texts = dict(models.library.cells[instance.cell].functions)
        outputs = [pin for pin in model.functions if pin in instance.pins]
        ports = ", ".join(f"input {pin}" for pin in model.inputs) + "".join(f", output {p}" for p in outputs)
        yield f"module cell{number}({ports});"
        for pin in outputs:
            # Verilog does not read one inversion behind another.
            function = str(CellFunction(texts[pin])).replace("!!", "").translate(_OPERATORS)
            yield f"  assign {pin} = {function};"
        yield "  specify"
        for pin in outputs:
            found = path_delays(instance, model, pin, simulation.waves, simulation.loads)
            for source, (rise, fall) in found.items():
                yield f"    ({source} => {pin}) = ({rise * unit:.3f}, {fall * unit:.3f});"
        yield "  endspecify"
        yield "endmodule"


def _bench(simulation: ActivitySimulation, inputs: Mapping[str, Bits], period: float) -> Iterator[str]:
    """Yield the netlist with its vectors, one after each period."""
    mapped = simulation.netlist

    def name(net: Net) -> str:
        return {MappedNetlist.ZERO: "1'b0", MappedNetlist.ONE: "1'b1"}.get(net, f"n{net}")

    driven = {net for nets in mapped.inputs.values() for net in nets}
    nets = {net for one in mapped.instances for net in one.pins.values() if net >= 0} | driven
    yield "module bench;"
    yield from (f"  wire n{net};" for net in sorted(nets))
    for net in sorted(driven):
        rise, fall = simulation.starts(net)
        yield f"  reg port{net}; assign #({rise * TICK:.3f}, {fall * TICK:.3f}) n{net} = port{net};"
    for number, instance in enumerate(mapped.instances):
        pins = ", ".join(f".{pin}({name(net)})" for pin, net in instance.pins.items())
        yield f"  cell{number} u{number}({pins});"
    dumped = ", ".join(f"n{net}" for net in sorted(nets))
    yield f'  initial begin\n    $dumpfile("waves.vcd");\n    $dumpvars(1, {dumped});'
    cycles = min(len(values) for values in inputs.values())
    for cycle in range(cycles):
        shown = [
            f"port{net} = {bit};"
            for port, nets_of in mapped.inputs.items()
            for net, bit in zip(nets_of, inputs[port][cycle, :, 0], strict=True)
        ]
        yield f"    {' '.join(shown)} #{period:.3f};"
    yield "    $finish;\n  end\nendmodule"


def _by_events(simulation: ActivitySimulation, inputs: Mapping[str, Bits]) -> Activity:
    """Return what Icarus finds that the netlist does."""
    # A whole number, so that no cycle begins a rounding earlier than its vector.
    period = math.ceil(2 * analyse(simulation.netlist, simulation.models).period)
    vectors = min(len(values) for values in inputs.values())
    lines = ["`timescale 1ps/1fs", *_cells(simulation), *_bench(simulation, inputs, period)]
    waves = waves_by_icarus("\n".join([*lines, ""]))
    transitions, settled = _counted(_vcd_changes(waves.splitlines()), period, vectors)
    return Activity(transitions, settled, vectors - 1)


def waves_by_icarus(verilog: str) -> str:
    """Return the changes that a bench dumps into ``waves.vcd``.

    Raises:
        RuntimeError: If Icarus Verilog fails.
    """
    with tempfile.TemporaryDirectory(prefix="blockdot-glitches-") as folder:
        (Path(folder) / "bench.v").write_text(verilog, encoding="utf-8")
        for command in (
            ["iverilog", "-g2005", "-gspecify", "-o", "bench", "bench.v"],
            ["vvp", "-n", "bench"],
        ):
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
            if done.returncode:
                raise RuntimeError(
                    f"{command[0]} must run the netlist, not fail: {done.stderr.strip()[:200]}"
                )
        return (Path(folder) / "waves.vcd").read_text(encoding="utf-8")


def _vcd_changes(lines: Iterable[str]) -> Iterator[tuple[float, Net, int]]:
    names: dict[str, Net] = {}
    time = 0.0
    for line in lines:
        if line.startswith("$var"):
            _, _, _, code, name, *_ = line.split()
            names[code] = int(name.removeprefix("n"))
        elif line.startswith("#"):
            time = int(line[1:]) / 1000
        elif line[:1] in ("0", "1") and line[1:] in names:
            yield time, names[line[1:]], int(line[0])


def _counted(
    changes: Iterable[tuple[float, Net, int]], period: float, vectors: int
) -> tuple[dict[Net, tuple[int, int]], dict[Net, tuple[int, int]]]:
    """Return how often each net rose and fell behind the first vector, and how often without glitches."""
    transitions: dict[Net, tuple[int, int]] = {}
    settled: dict[Net, tuple[int, int]] = {}
    values: dict[Net, int] = {}
    before: dict[Net, int] = {}
    cycle = 0

    def count(counts: dict[Net, tuple[int, int]], net: Net, value: int) -> None:
        rises, falls = counts.get(net, (0, 0))
        counts[net] = rises + value, falls + 1 - value

    def settle() -> None:
        for net, value in values.items():
            if cycle and net in before and before[net] != value:
                count(settled, net, value)
        before.update(values)

    for time, net, value in changes:
        while cycle < vectors - 1 and time >= (cycle + 1) * period - period / 1e6:
            settle()
            cycle += 1
        if cycle and values.get(net, value) != value:
            count(transitions, net, value)
        values[net] = value
    while cycle < vectors:
        settle()
        cycle += 1
    return transitions, settled


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.glitches")
    parser.add_argument("--library", default="neutral", help="a name, or Liberty files with a comma between")
    parser.add_argument("--block-size", type=int, default=BLOCK_SIZE)
    parser.add_argument("--vectors", type=int, default=VECTORS)
    chosen = parser.parse_args(arguments)

    def work() -> None:
        found = compare_glitches(find_library(chosen.library), chosen.block_size, chosen.vectors)
        print(found.text)

    return exit_code_of("glitches", work)


if __name__ == "__main__":
    sys.exit(main())
