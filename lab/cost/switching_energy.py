"""Switching energy: the mapped netlist simulated on real vectors, its toggles weighted by the library.

The simulation is event-driven with the delays that static timing finds at each gate's own slope and load,
rounded to a step of time, so that what comes late makes gates switch more than once, as it does in silicon:
in trees of adders and in multipliers such glitches are a large part of the energy. A pulse shorter than a
gate's delay does not pass the gate. Beside the whole stands what would be left without glitches.

Many vectors are simulated at once, each a bit of a long integer (a *lane*); every lane goes through its
own successive vectors, cycle by cycle.

An edge costs what the library's tables say for the inside of the cell, at the slope and load that static
timing finds, and half of C V**2 for the load of the net. The unit of energy is that of the library's tables:
its units of voltage and capacitance make it. Not counted: the clock's tree (the clock pins of the flip-flops
are), leakage (told apart). Wires count where `WireLoads` are given.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...synth.cell_models import CellModel, CellModels
from ...synth.mapped_netlist import CellInstance, MappedNetlist, Net
from ...synth.static_timing import Loads, Wave, loads, waves_of
from ...synth.wire_loads import WireLoads

__all__ = [
    "ENERGY_VERSION",
    "GLITCHES",
    "STEPS",
    "Activity",
    "Simulation",
    "SwitchingEnergy",
    "energy_of",
    "lanes_of",
]

ENERGY_VERSION: Final = 1
"""Goes up with every change to what comes out for the same gates and vectors; part of a cache's key."""

STEPS: Final = 256
"""Steps of time that the slowest path is divided into."""

GLITCHES: Final = (
    "Glitches are counted too high: by 11 to 34 % of the energy where that was looked at (docs/pricing.md)."
)
"""What every report says beside energies with glitches; `studies.glitches` measures it."""


@dataclass(frozen=True)
class Activity:
    """What a netlist did.

    Attributes:
        transitions: How often each net rose and fell, in all lanes and counted cycles together.
        settled: How often it would have without glitches.
        vectors: Lanes times cycles that were counted.
    """

    transitions: Mapping[Net, tuple[int, int]]
    settled: Mapping[Net, tuple[int, int]]
    vectors: int


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


class Simulation:
    """One netlist, made ready to be simulated.

    Args:
        netlist: The netlist.
        models: Its library.
        wires: What its wires add; None for none.
        steps: Steps of time that the slowest path is divided into.

    Raises:
        ValueError: If a cell cannot be simulated or timed.
    """

    def __init__(
        self,
        netlist: MappedNetlist,
        models: CellModels,
        wires: WireLoads | None = None,
        *,
        steps: int = STEPS,
    ) -> None:
        self.netlist = netlist
        self.models = models
        self.loads: Loads = loads(netlist, models, wires)
        self.waves: dict[Net, Wave] = waves_of(netlist, models, wires)
        registers: list[tuple[CellInstance, CellModel]] = []
        gates: list[tuple[CellModel, tuple[Net, ...], Net, str]] = []
        for instance in netlist.instances:
            model = models[instance.cell]
            if model.clock is not None:
                registers.append((instance, model))
        for instance in netlist.ordered(models):
            model = models[instance.cell]
            pins = tuple(instance.pins.get(pin, MappedNetlist.ZERO) for pin in model.inputs)
            gates += [
                (model, pins, instance.pins[pin], pin) for pin in model.functions if pin in instance.pins
            ]
        self.registers = registers
        self._gates = gates
        latest = max((max(self._arrival(net)) for _, _, net, _ in gates), default=0.0)
        self._step = latest / steps if latest > 0 else 1.0
        self._fanout: dict[Net, list[int]] = {}
        self._delay: list[int] = []
        for index, (_, pins, net, _) in enumerate(gates):
            for pin in {pin for pin in pins if pin >= 0}:
                self._fanout.setdefault(pin, []).append(index)
            before = [max(self._arrival(pin)) for pin in pins if pin >= 0]
            own = max(self._arrival(net)) - max(before, default=0.0)
            self._delay.append(max(1, round(own / self._step)))

    def _arrival(self, net: Net) -> tuple[float, float]:
        wave = self.waves.get(net)
        arrival = wave.arrival if wave else (0.0, 0.0)
        rise, fall = (time if math.isfinite(time) else 0.0 for time in arrival)
        return rise, fall

    @property
    def delays(self) -> dict[Net, float]:
        """The delay of the gate that drives each net, in ps: a whole number of steps."""
        step = self._step * self.models.library.time_unit_ps
        gates = zip(self._gates, self._delay, strict=True)
        return {net: delay * step for (_, _, net, _), delay in gates}

    def run(self, inputs: Mapping[str, Sequence[Sequence[int]]], lanes: int, warm: int) -> Activity:
        """Play vectors.

        Args:
            inputs: For each input port but the clock, for each cycle, for each bit, its values in all lanes.
            lanes: How many lanes there are.
            warm: How many cycles at the beginning are not counted: the first always settles uncounted.

        Raises:
            ValueError: If no cycle is left to count, or a port has no vectors.
        """
        every = (1 << lanes) - 1
        cycles = min((len(values) for values in inputs.values()), default=0)
        warm = max(warm, 1)
        if cycles <= warm:
            raise ValueError(f"cycles must be more than {warm} to be counted, not {cycles}")
        clocks = {instance.pins[model.clock or ""] for instance, model in self.registers}
        for port, nets in self.netlist.inputs.items():
            if port not in inputs and not set(nets) <= clocks:
                raise ValueError(f"input {port} must have vectors, not none")
        values: dict[Net, int] = {MappedNetlist.ZERO: 0, MappedNetlist.ONE: every}
        states = [0] * len(self.registers)
        rises: dict[Net, int] = {}
        falls: dict[Net, int] = {}
        settled: dict[Net, tuple[int, int]] = {}
        for cycle in range(cycles):
            counted = cycle >= warm
            changes: dict[Net, int] = {}
            if cycle:
                states = [
                    self._following(instance, model, state, values, every)
                    for (instance, model), state in zip(self.registers, states, strict=True)
                ]
            for (instance, model), state in zip(self.registers, states, strict=True):
                pins = self._pins(instance, model, state, values, every)
                for pin, function in model.functions.items():
                    if pin in instance.pins:
                        changes[instance.pins[pin]] = function(*pins) & every
            for port, nets in self.netlist.inputs.items():
                if port in inputs:
                    changes |= dict(zip(nets, inputs[port][cycle], strict=True))
            if not cycle:
                values |= changes
                for model, pins, net, pin in self._gates:
                    values[net] = (
                        model.functions[pin](every, *(values.get(source, 0) for source in pins)) & every
                    )
                continue
            before = dict(values) if counted else {}
            self._settle(values, changes, every, (rises, falls) if counted else None)
            for net, was in before.items():
                now = values[net]
                if now != was:
                    up, down = settled.get(net, (0, 0))
                    settled[net] = up + (now & ~was).bit_count(), down + (was & ~now).bit_count()
        nets = rises.keys() | falls.keys()
        transitions = {net: (rises.get(net, 0), falls.get(net, 0)) for net in nets}
        return Activity(transitions, settled, lanes * (cycles - warm))

    def _pins(
        self, instance: CellInstance, model: CellModel, state: int, values: Mapping[Net, int], every: int
    ) -> list[int]:
        pins = [values.get(instance.pins.get(pin, MappedNetlist.ZERO), 0) for pin in model.inputs]
        return [every, *pins, state, state ^ every]

    def _following(
        self, instance: CellInstance, model: CellModel, state: int, values: Mapping[Net, int], every: int
    ) -> int:
        if model.next_state is None:
            raise ValueError(f"flip-flop {model.name} must have a next state, not none")
        return model.next_state(*self._pins(instance, model, state, values, every)) & every

    def _settle(
        self,
        values: dict[Net, int],
        changes: dict[Net, int],
        every: int,
        counts: tuple[dict[Net, int], dict[Net, int]] | None,
    ) -> None:
        """Let changes of nets run through the gates, until all is still.

        Delays are inertial: what a gate is about to show gives way, in each lane, to what it would show
        instead by the time, so that a pulse shorter than the gate's delay does not pass.
        """
        # What each net is about to show, by time; and which nets are about to show something, by time.
        pending: dict[Net, dict[int, int]] = {net: {0: value} for net, value in changes.items()}
        wheel: dict[int, list[Net]] = {0: list(changes)}
        time = 0
        gates, delays, fanout = self._gates, self._delay, self._fanout
        while wheel:
            if time not in wheel:
                time += 1
                continue
            touched: set[int] = set()
            for net in wheel.pop(time):
                value, was = pending[net].pop(time), values.get(net, 0)
                if value == was:
                    continue
                values[net] = value
                if counts is not None:
                    rises, falls = counts
                    rises[net] = rises.get(net, 0) + (value & ~was).bit_count()
                    falls[net] = falls.get(net, 0) + (was & ~value).bit_count()
                touched.update(fanout.get(net, ()))
            for index in sorted(touched):
                model, pins, net, pin = gates[index]
                value = model.functions[pin](every, *[values.get(source, 0) for source in pins]) & every
                coming = pending.setdefault(net, {})
                before = values.get(net, 0)
                for moment, shown in coming.items():
                    other = shown ^ value
                    before = coming[moment] = (shown & ~other) | (before & other)
                coming[time + delays[index]] = value
                wheel.setdefault(time + delays[index], []).append(net)

    def energy(self, activity: Activity) -> SwitchingEnergy:
        """Return the energy of one cycle by what the netlist did."""
        voltage = self.models.voltage
        unit = 1.0 if voltage is None else self.models.library.capacitance_unit_ff
        half = (voltage or 1.0) ** 2 / 2
        total, settled, clock = [], [], []
        for instance in self.netlist.instances:
            model = self.models[instance.cell]
            for pin, energy in model.energy.items():
                net = instance.pins.get(pin)
                if net is None or net < 0:
                    continue
                slope = self.waves[net].slope if net in self.waves else (0.0, 0.0)
                if pin == model.clock:
                    # Up and down once a cycle, and the pin itself.
                    rise, fall = model.capacitance[pin]
                    clock.append(energy(0, slope[0], 0.0) + energy(1, slope[1], 0.0) + half * (rise + fall))
                    continue
                load = self.loads.get(net, (0.0, 0.0)) if pin in model.functions else (0.0, 0.0)
                if pin in model.functions:
                    slope = self._input_slope(instance, model)
                edges = [energy(edge, slope[edge], load[edge]) for edge in (0, 1)]
                for sums, counts in ((total, activity.transitions), (settled, activity.settled)):
                    rises, falls = counts.get(net, (0, 0))
                    sums.append(rises * edges[0] + falls * edges[1])
        for net, load in self.loads.items():
            for sums, counts in ((total, activity.transitions), (settled, activity.settled)):
                rises, falls = counts.get(net, (0, 0))
                sums.append(half * (rises * load[0] + falls * load[1]))
        ticking = math.fsum(clock) * unit
        leakage = math.fsum(self.models[instance.cell].leakage for instance in self.netlist.instances)
        return SwitchingEnergy(
            total=math.fsum(total) * unit / activity.vectors + ticking,
            settled=math.fsum(settled) * unit / activity.vectors + ticking,
            clock=ticking,
            leakage_nw=leakage * self.models.leakage_unit_nw if self.models.leakage_unit_nw else None,
        )

    def _input_slope(self, instance: CellInstance, model: CellModel) -> tuple[float, float]:
        """Return the mean slope at a cell's inputs."""
        slopes = [
            self.waves[net].slope
            for pin, net in instance.pins.items()
            if pin in model.capacitance and net in self.waves
        ]
        if not slopes:
            return 0.0, 0.0
        mean = math.fsum(rise + fall for rise, fall in slopes) / (2 * len(slopes))
        return mean, mean


def lanes_of(words: npt.NDArray[np.unsignedinteger[Any]], width: int) -> list[list[int]]:
    """Turn a port's values into lanes.

    Args:
        words: Shape (cycles, lanes, words): what each lane shows in each cycle, 32 bits a word, low first.
        width: The port's width.

    Returns:
        For each cycle, for each bit, an integer whose bit k is the value in lane k.
    """
    octets = np.ascontiguousarray(words.astype("<u4")).view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, bitorder="little", count=width)
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [
        [int.from_bytes(np.ascontiguousarray(cycle[:, bit]).tobytes(), "little") for bit in range(width)]
        for cycle in packed
    ]


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
    every = (1 << lanes) - 1
    inputs: dict[str, list[list[int]]] = {}
    for port, array in words.items():
        if port in netlist.inputs:
            shaped = array[: cycles * lanes].reshape(lanes, cycles, -1).transpose(1, 0, 2)
            inputs[port] = lanes_of(shaped, len(netlist.inputs[port]))
    for port, value in constants:
        if port in netlist.inputs:
            width = len(netlist.inputs[port])
            inputs[port] = [[every * (value >> bit & 1) for bit in range(width)]] * cycles
    simulation = Simulation(netlist, models, wires)
    return simulation.energy(simulation.run(inputs, lanes, latency + 1))
