"""Static timing of a mapped netlist: through the gates alone, and from clock edge to clock edge.

abc's ``stime`` knows gates only. What it says is found again here by the same rules (`gates`), and then what
a pipelined unit needs is added (`clocked`): the delay from the clock to a flip-flop's output, at the load
that output really has, and the setup time that a flip-flop wants before the next edge, both out of the
library's tables.

The rules: the slowest of all arcs counts, by edge, with the slope that comes with each; loads are those of
the pins, without wires. Each input port is driven by the library's `driving_cell`, of which the part that the
load adds counts; each output port drives `output_load_ff`.

Between registers: the clock reaches all of them at once, with the slope that the driving cell gives to four
clock pins. A unit stands among others like it, so each of its inputs comes out of a flip-flop, by way of the
driving cell, and each of its outputs goes into one. The clock's tree, its skew and jitter are not counted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .cell_models import Arc, CellModel, CellModels
from .mapped_netlist import CellInstance, MappedNetlist, Net

__all__ = ["PATHS", "Loads", "PathTiming", "analyse", "gates_delay", "loads", "register_overhead", "waves_of"]

PATHS: Final = (
    "input to register",
    "register to register",
    "register to output",
    "input to output",
)
"""The four kinds of path through a unit."""

# How many clock pins share a driving cell.
_CLOCK_FANOUT: Final = 4

Pair = tuple[float, float]
"""A figure for a rising and for a falling edge."""

_NEVER: Final = -math.inf
# A net that no pin is on.
_NOWHERE: Final = -3


class Wave(NamedTuple):
    """The latest edges on a net.

    Attributes:
        arrival: When the rising and the falling one come.
        slope: How long each takes.
    """

    arrival: Pair
    slope: Pair


@dataclass(frozen=True)
class PathTiming:
    """What a netlist's paths take, in ps.

    Attributes:
        gates: The longest path through gates alone, as abc's ``stime`` has it; 0 without gates.
        paths: The longest path of each kind of `PATHS` that there is, between registers: it begins with the
            clock's edge and ends with the setup time of the register at its end.
        clock_to_output: Of the path that decides, the part from the clock to the register's output.
        setup: Of the same, the setup time.
    """

    gates: float
    paths: dict[str, float]
    clock_to_output: float
    setup: float

    @property
    def period(self) -> float:
        """The shortest clock period, that of the longest path."""
        return max(self.paths.values(), default=0.0)


Loads = dict[Net, Pair]


def loads(netlist: MappedNetlist, models: CellModels) -> Loads:
    """Return what each net drives, for rising and falling edges, in the library's unit."""
    total: Loads = {}
    for instance in netlist.instances:
        capacitance = models[instance.cell].capacitance
        for pin, net in instance.pins.items():
            if pin in capacitance and net >= 0:
                rise, fall = total.get(net, (0.0, 0.0))
                more_rise, more_fall = capacitance[pin]
                total[net] = rise + more_rise, fall + more_fall
    port = models.library.output_load_ff / models.library.capacitance_unit_ff
    for nets in netlist.outputs.values():
        for net in nets:
            rise, fall = total.get(net, (0.0, 0.0))
            total[net] = rise + port, fall + port
    return total


def _through(arcs: tuple[Arc, ...], pins: Mapping[str, Net], waves: Mapping[Net, Wave], load: Pair) -> Wave:
    """Return the latest edges at the end of arcs, by the waves on the nets that their pins are on."""
    arrival, slope = [_NEVER, _NEVER], [0.0, 0.0]
    for arc in arcs:
        wave = waves.get(pins.get(arc.source, _NOWHERE))
        if wave is None:
            continue
        came, steep = wave
        for one, two in arc.pairs:
            if came[one] == _NEVER:
                continue
            delay, after = arc.look_up(two, steep[one], load[two])
            delay += came[one]
            if delay > arrival[two]:
                arrival[two] = delay
            if after > slope[two]:
                slope[two] = after
    return Wave((arrival[0], arrival[1]), (slope[0], slope[1]))


class TimingContext:
    """What stands around a unit: what drives its inputs, and the registers before and behind it."""

    def __init__(self, models: CellModels) -> None:
        library = models.library
        self.driver = models[library.driving_cell.name]
        (self._pin,) = self.driver.capacitance
        (output,) = self.driver.functions
        self._arcs = self.driver.arcs_to(output)
        self._still = Wave((0.0, 0.0), (0.0, 0.0))
        self._unloaded = self._driven(self._still, (0.0, 0.0)).arrival
        flip_flop = library.flip_flop
        self.register = None if flip_flop is None else models[flip_flop.name]
        self.clock = self.clock_wave(self.register) if self.register else self._still

    def _driven(self, wave: Wave, load: Pair) -> Wave:
        return _through(self._arcs, {self._pin: 0}, {0: wave}, load)

    def input(self, load: Pair) -> Wave:
        """The wave at an input port when only the gates count: what the load adds to the driving cell."""
        wave = self._driven(self._still, load)
        rise, fall = (a - b for a, b in zip(wave.arrival, self._unloaded, strict=True))
        return Wave((rise, fall), wave.slope)

    def clock_wave(self, register: CellModel) -> Wave:
        """The clock's edges at a register: at time 0, with the slope of a loaded driving cell."""
        rise, fall = register.capacitance[register.clock or ""]
        return Wave((0.0, 0.0), self._driven(self._still, (_CLOCK_FANOUT * rise, _CLOCK_FANOUT * fall)).slope)

    def registered(self, load: Pair) -> tuple[Wave, float]:
        """The wave at an input port behind a register and the driving cell, and its clock-to-output part."""
        if self.register is None:
            return self._driven(self._still, load), 0.0
        pin = next(iter(self.register.functions))
        own = self.driver.capacitance[self._pin]
        out = clock_to_output(self.register, pin, self.clock, own)
        return self._driven(out, load), max(out.arrival)


def clock_to_output(register: CellModel, pin: str, clock: Wave, load: Pair) -> Wave:
    """Return the edges at a register's output after the clock's at time 0."""
    arcs = tuple(arc for arc in register.arcs_to(pin) if arc.clocked)
    if not arcs:
        raise ValueError(f"flip-flop {register.name} must have a delay from its clock to {pin}, not none")
    return _through(arcs, {arc.source: 0 for arc in arcs}, {0: clock}, load)


def _setup(register: CellModel, pin: str, wave: Wave, clock: Wave) -> tuple[float, float]:
    """Return when a wave at a data pin is early enough for the next edge, and the setup part of that."""
    tables = register.setup.get(pin)
    if tables is None:
        raise ValueError(f"flip-flop {register.name} must have a setup time at {pin}, not none")
    ends = [
        (arrival + setup, setup)
        for table, arrival, slope in zip(tables, wave.arrival, wave.slope, strict=True)
        if arrival > _NEVER
        for setup in (table(slope, min(clock.slope)),)
    ]
    return max(ends, default=(0.0, 0.0))


class _Gate(NamedTuple):
    pins: Mapping[str, Net]
    outputs: list[tuple[Net, tuple[Arc, ...]]]


def _propagate(gates: Sequence[_Gate], load: Loads, waves: dict[Net, Wave]) -> None:
    """Add the waves of every net behind gates."""
    none = (0.0, 0.0)
    for gate in gates:
        for net, arcs in gate.outputs:
            waves[net] = _through(arcs, gate.pins, waves, load.get(net, none))


def _gates(netlist: MappedNetlist, models: CellModels) -> list[_Gate]:
    """Return the gates in the order in which edges reach them, each with the nets that it drives."""
    found = []
    for gate in netlist.ordered(models):
        model = models[gate.cell]
        outputs = [(gate.pins[pin], model.arcs_to(pin)) for pin in model.functions if pin in gate.pins]
        found.append(_Gate(gate.pins, outputs))
    return found


def _registers(netlist: MappedNetlist, models: CellModels) -> list[tuple[CellInstance, CellModel]]:
    pairs = [(instance, models[instance.cell]) for instance in netlist.instances]
    return [(instance, model) for instance, model in pairs if model.clock is not None]


def register_overhead(models: CellModels) -> float:
    """Return what the library's flip-flop takes of a clock period, in ps; 0 in a library without one.

    From the clock's edge to its output on a driving cell, and the setup time of what comes out of that.

    Raises:
        ValueError: If it has no delay from its clock, or no setup time.
    """
    surroundings = TimingContext(models)
    register = surroundings.register
    if register is None:
        return 0.0
    pin = next(pin for pin in register.inputs if pin != register.clock)
    wave, launched = surroundings.registered(register.capacitance[pin])
    return (launched + _setup(register, pin, wave, surroundings.clock)[1]) * models.library.time_unit_ps


def gates_delay(netlist: MappedNetlist, models: CellModels) -> float:
    """Return the longest path through gates alone in ps, as abc's ``stime`` has it; 0 without gates.

    From an input port or a flip-flop's output to an output port or a flip-flop's input.

    Raises:
        ValueError: If a cell is not in the library, or there is a loop.
    """
    load = loads(netlist, models)
    port = models.library.output_load_ff / models.library.capacitance_unit_ff
    registers = _registers(netlist, models)
    surroundings = TimingContext(models)
    starts = {net for nets in netlist.inputs.values() for net in nets}
    ends = [net for nets in netlist.outputs.values() for net in nets]
    for instance, model in registers:
        for pin, net in instance.pins.items():
            if pin in model.functions:
                starts.add(net)
            elif pin != model.clock:
                # abc sees an output port here, and no flip-flop.
                ends.append(net)
                rise, fall = load[net] if net >= 0 else (0.0, 0.0)
                own = model.capacitance[pin]
                if net >= 0:
                    load[net] = rise - own[0] + port, fall - own[1] + port
    waves = {net: surroundings.input(load.get(net, (0.0, 0.0))) for net in starts}
    _propagate(_gates(netlist, models), load, waves)
    # A port wired to a port has no gate on its way.
    late = [max(waves[net].arrival) for net in ends if net in waves and net not in starts]
    return max(late, default=0.0) * models.library.time_unit_ps


def waves_of(netlist: MappedNetlist, models: CellModels) -> dict[Net, Wave]:
    """Return the latest edges on every net between registers, in the library's unit.

    Inputs come out of registers, as in `analyse`; the clock's edge is at time 0.

    Raises:
        ValueError: As `analyse`.
    """
    load = loads(netlist, models)
    none = (0.0, 0.0)
    surroundings = TimingContext(models)
    waves = {
        net: surroundings.registered(load.get(net, none))[0]
        for nets in netlist.inputs.values()
        for net in nets
    }
    for instance, model in _registers(netlist, models):
        clock = surroundings.clock_wave(model)
        waves[instance.pins[model.clock or ""]] = clock
        for pin in model.functions:
            if pin in instance.pins:
                net = instance.pins[pin]
                waves[net] = clock_to_output(model, pin, clock, load.get(net, none))
    _propagate(_gates(netlist, models), load, waves)
    return waves


def analyse(netlist: MappedNetlist, models: CellModels) -> PathTiming:
    """Return the timing of a netlist.

    Raises:
        ValueError: If a cell is not in the library or lacks what timing needs, or there is a loop of gates.
    """
    unit = models.library.time_unit_ps
    load = loads(netlist, models)
    none = (0.0, 0.0)
    surroundings = TimingContext(models)
    registers = _registers(netlist, models)
    gates = _gates(netlist, models)
    clocks = {model.name: surroundings.clock_wave(model) for _, model in registers}
    longest: dict[str, tuple[float, float, float]] = {}

    inputs: dict[Net, Wave] = {}
    launched = 0.0
    for nets in netlist.inputs.values():
        for net in nets:
            inputs[net], launched = surroundings.registered(load.get(net, none))
    states: dict[Net, Wave] = {}
    for instance, model in registers:
        for pin in model.functions:
            net = instance.pins.get(pin)
            if net is not None:
                states[net] = clock_to_output(model, pin, clocks[model.name], load.get(net, none))

    def note(path: str, end: tuple[float, float], clock_to_output: float) -> None:
        if path not in longest or end[0] > longest[path][0]:
            longest[path] = (end[0], clock_to_output, end[1])

    for start, waves in (("input", dict(inputs)), ("register", dict(states))):
        if not waves:
            continue
        own = launched if start == "input" else max(max(wave.arrival) for wave in states.values())
        _propagate(gates, load, waves)
        for instance, model in registers:
            for pin, net in instance.pins.items():
                wave = waves.get(net)
                if pin in model.setup and wave is not None and max(wave.arrival) > _NEVER:
                    note(f"{start} to register", _setup(model, pin, wave, clocks[model.name]), own)
        register = surroundings.register
        for nets in netlist.outputs.values():
            for net in nets:
                wave = waves.get(net)
                if wave is not None and max(wave.arrival) > _NEVER:
                    end = max(wave.arrival), 0.0
                    if register is not None:
                        pin = next(pin for pin in register.inputs if pin != register.clock)
                        end = _setup(register, pin, wave, surroundings.clock)
                    note(f"{start} to output", end, own)
    decides = max(longest.values(), default=(0.0, 0.0, 0.0))
    return PathTiming(
        gates=gates_delay(netlist, models),
        paths={path: longest[path][0] * unit for path in PATHS if path in longest},
        clock_to_output=decides[1] * unit,
        setup=decides[2] * unit,
    )
