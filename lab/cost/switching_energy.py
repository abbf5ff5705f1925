"""Switching energy: the mapped netlist simulated on real vectors, its edges weighted by the library.

How often each net rises and falls is found with the delays that static timing finds (`switching_activity`),
so that glitches count. Beside the whole stands what would be left without them.

An edge costs what the library's tables say for the inside of the cell, at the slope and load that static
timing finds, and half of C V**2 for the load of the net. The unit of energy is that of the library's tables:
its units of voltage and capacitance make it. Not counted: the clock's tree (the clock pins of the flip-flops
are), leakage (told apart). Wires count where `WireLoads` are given.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...synth.cell_models import CellModels
from ...synth.cell_tables import CellModel
from ...synth.mapped_netlist import CellInstance, MappedNetlist
from ...synth.wire_loads import WireLoads
from .switching_activity import Activity, ActivitySimulation, Bits, lanes_of

__all__ = ["ENERGY_VERSION", "SwitchingEnergy", "energy_of", "weighted"]

ENERGY_VERSION: Final = 2
"""Goes up with every change to what comes out for the same gates and vectors; part of a cache's key."""


@dataclass(frozen=True)
class SwitchingEnergy:
    """Energy of one cycle, in fJ, or in the library's own unit where it has no voltage.

    Attributes:
        total: All of it.
        settled: What would be left without glitches.
        clock: The part of the flip-flops' clock pins.
        leakage_nw: Leakage power in nW, which is not in the others; None where the library states none.
    """

    total: float
    settled: float
    clock: float
    leakage_nw: float | None = None


def weighted(simulation: ActivitySimulation, activity: Activity) -> SwitchingEnergy:
    """Return the energy of one cycle by what the netlist of a simulation did."""
    models, waves = simulation.models, simulation.waves
    voltage = models.voltage
    unit = 1.0 if voltage is None else models.library.capacitance_unit_ff
    half = (voltage or 1.0) ** 2 / 2
    total, settled, clock = [], [], []
    for instance in simulation.netlist.instances:
        model = models[instance.cell]
        for pin, energy in model.energy.items():
            net = instance.pins.get(pin)
            if net is None or net < 0:
                continue
            slope = waves[net].slope if net in waves else (0.0, 0.0)
            if pin == model.clock:
                # Up and down once a cycle, and the pin itself.
                rise, fall = model.capacitance[pin]
                clock.append(energy(0, slope[0], 0.0) + energy(1, slope[1], 0.0) + half * (rise + fall))
                continue
            load = simulation.loads.get(net, (0.0, 0.0)) if pin in model.functions else (0.0, 0.0)
            if pin in model.functions:
                slope = _input_slope(simulation, instance, model)
            edges = [energy(edge, slope[edge], load[edge]) for edge in (0, 1)]
            for sums, counts in ((total, activity.transitions), (settled, activity.settled)):
                rises, falls = counts.get(net, (0, 0))
                sums.append(rises * edges[0] + falls * edges[1])
    for net, load in simulation.loads.items():
        for sums, counts in ((total, activity.transitions), (settled, activity.settled)):
            rises, falls = counts.get(net, (0, 0))
            sums.append(half * (rises * load[0] + falls * load[1]))
    ticking = math.fsum(clock) * unit
    return SwitchingEnergy(
        total=math.fsum(total) * unit / activity.vectors + ticking,
        settled=math.fsum(settled) * unit / activity.vectors + ticking,
        clock=ticking,
        leakage_nw=models.leakage_nw(instance.cell for instance in simulation.netlist.instances),
    )


def _input_slope(
    simulation: ActivitySimulation, instance: CellInstance, model: CellModel
) -> tuple[float, float]:
    """Return the mean slope at a cell's inputs."""
    waves = simulation.waves
    slopes = [
        waves[net].slope for pin, net in instance.pins.items() if pin in model.capacitance and net in waves
    ]
    if not slopes:
        return 0.0, 0.0
    mean = math.fsum(rise + fall for rise, fall in slopes) / (2 * len(slopes))
    return mean, mean


def energy_of(
    netlist: MappedNetlist,
    models: CellModels,
    words: Mapping[str, npt.NDArray[np.unsignedinteger[Any]]],
    *,
    lanes: int,
    latency: int,
    constants: Iterable[tuple[str, int]] = (),
    wires: WireLoads | None = None,
) -> SwitchingEnergy:
    """Return the energy that a netlist takes in one cycle on given vectors.

    Args:
        netlist: A unit's gates.
        models: Its library.
        words: What each data port shows, vector by vector: shape (vectors, words), as `Stimulus.words`.
        lanes: How many runs of successive vectors are simulated side by side; those left over are dropped.
        latency: Cycles until the first vector has reached every register, which are not counted.
        constants: Ports that show the same all the time, such as `i_valid`.
        wires: What its wires add; None for none.

    Raises:
        ValueError: If there are too few vectors for so many lanes, or a cell cannot be simulated.
    """
    vectors = min((len(array) for array in words.values()), default=0)
    cycles = vectors // lanes
    if cycles <= latency + 1:
        raise ValueError(f"vectors must be at least {(latency + 2) * lanes} for {lanes} lanes, not {vectors}")
    inputs: dict[str, Bits] = {}
    for port, array in words.items():
        if port in netlist.inputs:
            shaped = array[: cycles * lanes].reshape(lanes, cycles, -1).transpose(1, 0, 2)
            inputs[port] = lanes_of(shaped, len(netlist.inputs[port]))
    for port, value in constants:
        if port in netlist.inputs:
            bits = [value >> bit & 1 for bit in range(len(netlist.inputs[port]))]
            shown = np.array(bits, np.uint8)[np.newaxis, :, np.newaxis]
            inputs[port] = np.broadcast_to(shown, (cycles, len(bits), lanes))
    simulation = ActivitySimulation(netlist, models, wires)
    return weighted(simulation, simulation.run(inputs, latency + 1))
