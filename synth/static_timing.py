"""Static timing of a mapped netlist: through the gates alone, and from clock edge to clock edge.

abc's ``stime`` knows gates only. What it says is found again here by the same rules (`gates`), and then what
a pipelined unit needs is added (`clocked`): the delay from the clock to a flip-flop's output, at the load
that output really has, and the setup time that a flip-flop wants before the next edge, both out of the
library's tables.

With `WireLoads` wires count: the load of a net grows by its wire's capacitance, and an edge comes to each pin
later, and less steep, than it leaves the driver. Without them loads are those of the pins.

The rules: the slowest of all arcs counts, by edge, and the slowest slope on a net counts for all paths
through it, as in OpenSTA. A path through a gate whose delay the
library does not tell is an error. Each input port is driven by the library's `driving_cell`, of which the
part that the load adds counts; each output port drives `output_load_ff`.

Between registers: the clock reaches all of them at once, with the slope that the driving cell gives to four
clock pins; of its edges the one counts at which a register moves. A unit stands among others like it, so each
of its inputs comes out of a register, by way of the driving cell, and each of its outputs goes into one: the
cell that Yosys maps a plain register to. The clock's tree, its skew and jitter are not counted.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .cell_models import Arc, CellModel, CellModels
from .mapped_netlist import CellInstance, MappedNetlist, Net
from .registers import LibraryRegister, find_register
from .wire_loads import WireLoads

__all__ = [
    "PATHS",
    "Loads",
    "Pair",
    "PathTiming",
    "Wave",
    "analyse",
    "gates_delay",
    "loads",
    "path_delays",
    "register_overhead",
    "waves_of",
]

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
        arrivals: When the rising and the falling one come, for each kind of start; all share the slopes.
        slope: How long each takes.
    """

    arrivals: tuple[Pair, ...]
    slope: Pair

    @property
    def arrival(self) -> Pair:
        """When the rising and the falling one come, whatever their start."""
        return max(rise for rise, _ in self.arrivals), max(fall for _, fall in self.arrivals)

    def delayed(self, delay: float, factor: float) -> "Wave":
        """Return the wave at the end of a wire, by the wire's delay and `WireLoads.slope_factor`."""
        grown = (delay * factor) ** 2
        rise, fall = self.slope
        return Wave(
            tuple((up + delay, down + delay) for up, down in self.arrivals),
            (math.sqrt(rise * rise + grown), math.sqrt(fall * fall + grown)),
        )


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
_NO_LOAD: Final = (0.0, 0.0)


def loads(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None) -> Loads:
    """Return what each net drives, for rising and falling edges, in the library's unit."""
    total = _pin_loads(netlist.instances, models, wires)
    port = _port_load(models)
    for nets in netlist.outputs.values():
        for net in nets:
            rise, fall = total.get(net, _NO_LOAD)
            total[net] = rise + port, fall + port
    return total


def _pin_loads(
    instances: Iterable[CellInstance], models: CellModels, wires: WireLoads | None = None
) -> Loads:
    total: Loads = {} if wires is None else {net: (load, load) for net, load in wires.capacitance.items()}
    for instance in instances:
        capacitance = models[instance.cell].capacitance
        for pin, net in instance.pins.items():
            if pin in capacitance and net >= 0:
                rise, fall = total.get(net, _NO_LOAD)
                more_rise, more_fall = capacitance[pin]
                total[net] = rise + more_rise, fall + more_fall
    return total


def _port_load(models: CellModels) -> float:
    return models.library.output_load_ff / models.library.capacitance_unit_ff


class _PinDelays(NamedTuple):
    """How late edges come to the pins of a cell, and what their slopes grow by."""

    delays: Mapping[str, float]
    factor: float


def _through(
    arcs: tuple[Arc, ...],
    pins: Mapping[str, Net],
    waves: Mapping[Net, Wave],
    load: Pair,
    late: _PinDelays | None = None,
) -> Wave | None:
    """Return the latest edges at the end of arcs, by the waves on the nets that their pins are on.

    None where no wave comes in.
    """
    arrivals: list[list[float]] = []
    slope = [0.0, 0.0]
    for arc in arcs:
        wave = waves.get(pins.get(arc.source, _NOWHERE))
        if wave is None:
            continue
        if late is not None and (delay := late.delays.get(arc.source)):
            wave = wave.delayed(delay, late.factor)
        came, steep = wave
        if not arrivals:
            arrivals = [[_NEVER, _NEVER] for _ in came]
        for one, two in arc.pairs:
            # There are two kinds of start at most.
            if came[0][one] == _NEVER and came[-1][one] == _NEVER:
                continue
            delay, after = arc.look_up(two, steep[one], load[two])
            for to, at in zip(arrivals, came, strict=True):
                end = at[one] + delay
                if end > to[two]:
                    to[two] = end
            if after > slope[two]:
                slope[two] = after
    return Wave(tuple((rise, fall) for rise, fall in arrivals), (slope[0], slope[1])) if arrivals else None


class Surroundings(NamedTuple):
    """What stands around a unit, in the library's unit, for a rising and a falling edge.

    Attributes:
        clock_slope: The clock's slopes; None in a library without a register.
        driver_slope: The slopes at the inputs of the driving cells.
        input_arrival: When the edges come out of a driving cell that has no load.
    """

    clock_slope: Pair | None
    driver_slope: Pair
    input_arrival: Pair


class TimingContext:
    """What stands around a unit: what drives its inputs, and the registers before and behind it."""

    def __init__(self, models: CellModels) -> None:
        self._models = models
        self.driver = models[models.library.driving_cell.name]
        (self._pin,) = self.driver.capacitance
        (output,) = self.driver.functions
        self._arcs = self.driver.arcs_to(output)
        self._still = Wave(((0.0, 0.0),), (0.0, 0.0))
        self._unloaded = self._driven(self._still, (0.0, 0.0)).arrival

    def _driven(self, wave: Wave, load: Pair) -> Wave:
        driven = _through(self._arcs, {self._pin: 0}, {0: wave}, load)
        if driven is None:
            raise ValueError(f"cell {self.driver.name} must have a delay from {self._pin}, not none")
        return driven

    def input(self, load: Pair) -> Wave:
        """The wave at an input port when only the gates count: what the load adds to the driving cell."""
        wave = self._driven(self._still, load)
        rise, fall = (a - b for a, b in zip(wave.arrival, self._unloaded, strict=True))
        return Wave(((rise, fall),), wave.slope)

    def clock_wave(self, register: CellModel) -> Wave:
        """The clock's edges at a register: at time 0, with the slope of a loaded driving cell."""
        rise, fall = register.capacitance[register.clock or ""]
        slope = self._driven(self._still, (_CLOCK_FANOUT * rise, _CLOCK_FANOUT * fall)).slope
        return Wave(((0.0, 0.0),), slope)

    @functools.cached_property
    def register(self) -> tuple[LibraryRegister, CellModel, Wave] | None:
        """The library's register, its model, and the clock at it."""
        found = find_register(self._models.library)
        if found is None:
            return None
        model = self._models[found.cell]
        return found, model, self.clock_wave(model)

    def _launched(self) -> Wave | None:
        """The wave at the driving cell of an input port; None in a library without a register."""
        if self.register is None:
            return None
        register, model, clock = self.register
        return clock_to_output(model, register.output, clock, self.driver.capacitance[self._pin])

    def registered(self, load: Pair) -> tuple[Wave, float]:
        """The wave at an input port behind a register and the driving cell, and its clock-to-output part."""
        out = self._launched()
        if out is None:
            return self._driven(self._still, load), 0.0
        return self._driven(out, load), max(out.arrival)

    def surroundings(self) -> "Surroundings":
        """What other tools must be told to reckon with the same inputs and clock."""
        out = self._launched() or self._still
        clock = None if self.register is None else self.register[2].slope
        return Surroundings(clock, out.slope, self._driven(out, _NO_LOAD).arrival)

    def setup_times(self, wave: Wave) -> Pair:
        """The setup times of the register behind an output port, for a rising and a falling edge there."""
        if self.register is None:
            return _NO_LOAD
        register, model, clock = self.register
        rise, fall = _setup_times(model, register.data, wave, clock)
        return rise, fall

    def taken(self, wave: Wave, start: int = 0) -> tuple[float, float] | None:
        """When a wave at an output port is early enough for a register behind it: see `_setup`."""
        if self.register is None:
            late = max(wave.arrivals[start])
            return None if late == _NEVER else (late, 0.0)
        register, model, clock = self.register
        return _setup(model, register.data, wave, clock, start)


def clock_to_output(register: CellModel, pin: str, clock: Wave, load: Pair) -> Wave:
    """Return the edges at a register's output after the clock's at time 0.

    Raises:
        ValueError: If the library does not tell when one of them comes.
    """
    arcs = tuple(arc for arc in register.arcs_to(pin) if arc.clock_edge == register.clock_edge)
    wave = _through(arcs, {arc.source: 0 for arc in arcs}, {0: clock}, load)
    if wave is None or _NEVER in wave.arrival:
        raise ValueError(f"flip-flop {register.name} must have a delay from its clock to {pin}, not none")
    return wave


def _setup(
    register: CellModel, pin: str, wave: Wave, clock: Wave, start: int = 0
) -> tuple[float, float] | None:
    """Return when a wave at a data pin is early enough for the next edge, and the setup part of that.

    None if nothing comes from that start.
    """
    times = _setup_times(register, pin, wave, clock)
    ends = [
        (arrival + setup, setup)
        for arrival, setup in zip(wave.arrivals[start], times, strict=True)
        if arrival > _NEVER
    ]
    return max(ends, default=None)


def _setup_times(register: CellModel, pin: str, wave: Wave, clock: Wave) -> list[float]:
    """Return the setup times of a rising and a falling edge at a data pin."""
    tables = register.setup.get(pin)
    if tables is None:
        raise ValueError(f"flip-flop {register.name} must have a setup time at {pin}, not none")
    return [
        max(table(slope, clock.slope[register.clock_edge]) for table in edge)
        for edge, slope in zip(tables, wave.slope, strict=True)
    ]


class _Gate(NamedTuple):
    pins: Mapping[str, Net]
    outputs: list[tuple[Net, tuple[Arc, ...]]]
    late: _PinDelays | None


def _propagate(gates: Sequence[_Gate], load: Loads, waves: dict[Net, Wave]) -> None:
    """Add the waves of every net behind gates."""
    for gate in gates:
        for net, arcs in gate.outputs:
            wave = _through(arcs, gate.pins, waves, load.get(net, _NO_LOAD), gate.late)
            # What comes out of constants alone never moves.
            if wave is not None:
                waves[net] = wave


def _gates(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None) -> list[_Gate]:
    """Return the gates in the order in which edges reach them, each with the nets that it drives.

    Raises:
        ValueError: If there is a path through a gate without a delay, or a loop.
    """
    found = []
    for place in netlist.order(models):
        gate = netlist.instances[place]
        model = models[gate.cell]
        for pin, target in model.untimed.items():
            if gate.pins.get(pin, _NOWHERE) >= 0 and target in gate.pins:
                raise ValueError(f"cell {gate.cell} must have a delay from {pin} to {target}, not none")
        outputs = [(gate.pins[pin], model.arcs_to(pin)) for pin in model.functions if pin in gate.pins]
        late = None if wires is None else _PinDelays(wires.delays[place], wires.slope_factor)
        found.append(_Gate(gate.pins, outputs, late))
    return found


class _Register(NamedTuple):
    instance: CellInstance
    model: CellModel
    late: _PinDelays | None

    def wave_at(self, pin: str, waves: Mapping[Net, Wave]) -> Wave | None:
        """Return the wave at one of its pins; None where none comes."""
        wave = waves.get(self.instance.pins.get(pin, _NOWHERE))
        if wave is None or self.late is None:
            return wave
        return wave.delayed(self.late.delays.get(pin, 0.0), self.late.factor)


def _registers(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None) -> list[_Register]:
    return [
        _Register(
            instance, model, None if wires is None else _PinDelays(wires.delays[place], wires.slope_factor)
        )
        for place, instance in enumerate(netlist.instances)
        if (model := models[instance.cell]).clock is not None
    ]


def register_overhead(models: CellModels) -> float:
    """Return what the library's register takes of a clock period, in ps; 0 in a library without one.

    From the clock's edge to its output on a driving cell, and the setup time of what comes out of that.

    Raises:
        ValueError: If no flip-flop of the library will do, or it has no delay or no setup time.
    """
    surroundings = TimingContext(models)
    if surroundings.register is None:
        return 0.0
    register, model, _ = surroundings.register
    wave, launched = surroundings.registered(model.capacitance[register.data])
    taken = surroundings.taken(wave)
    assert taken is not None
    return (launched + taken[1]) * models.library.time_unit_ps


def gates_delay(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None) -> float:
    """Return the longest path through gates alone in ps, as abc's ``stime`` has it; 0 without gates.

    abc sees gates only. What else drives one of them is an input port to it, and each net that a gate drives
    and a port or a register takes is one output port, which drives `output_load_ff`, however many take it.

    Raises:
        ValueError: If a cell is not in the library or has no delay on a path, or there is a loop.
    """
    gates = _gates(netlist, models, wires)
    driven = {net for gate in gates for net, _ in gate.outputs}
    # How much later than at its driver a net's edges come to the last of its ends.
    ends: dict[Net, float] = {}
    for port, nets in netlist.outputs.items():
        for bit, net in enumerate(nets):
            delay = 0.0 if wires is None else wires.port_delays.get((port, bit), 0.0)
            ends[net] = max(ends.get(net, 0.0), delay)
    for instance, model, late in _registers(netlist, models, wires):
        for pin, net in instance.pins.items():
            if pin in model.capacitance:
                delay = 0.0 if late is None else late.delays.get(pin, 0.0)
                ends[net] = max(ends.get(net, 0.0), delay)
    load = _pin_loads((one for one in netlist.instances if models[one.cell].clock is None), models, wires)
    port_load = _port_load(models)
    for net in ends.keys() & driven:
        rise, fall = load.get(net, _NO_LOAD)
        load[net] = rise + port_load, fall + port_load
    surroundings = TimingContext(models)
    starts = {net for gate in gates for net in gate.pins.values() if net >= 0} - driven
    waves = {net: surroundings.input(load[net]) for net in starts}
    _propagate(gates, load, waves)
    late_ends = [max(waves[net].arrival) + ends[net] for net in ends.keys() & driven if net in waves]
    return max(late_ends, default=0.0) * models.library.time_unit_ps


def waves_of(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None) -> dict[Net, Wave]:
    """Return the latest edges on every net, at its driver, between registers, in the library's unit.

    Inputs come out of registers, as in `analyse`; the clock's edge is at time 0.

    Raises:
        ValueError: As `analyse`.
    """
    load = loads(netlist, models, wires)
    surroundings = TimingContext(models)
    waves = {
        net: surroundings.registered(load.get(net, _NO_LOAD))[0]
        for nets in netlist.inputs.values()
        for net in nets
    }
    for instance, model, _ in _registers(netlist, models, wires):
        clock = surroundings.clock_wave(model)
        waves[instance.pins[model.clock or ""]] = clock
        for pin in model.functions:
            if pin in instance.pins:
                net = instance.pins[pin]
                waves[net] = clock_to_output(model, pin, clock, load.get(net, _NO_LOAD))
    _propagate(_gates(netlist, models, wires), load, waves)
    return waves


def path_delays(
    gate: CellInstance,
    model: CellModel,
    target: str,
    waves: Mapping[Net, Wave],
    load: Loads,
    late: tuple[Mapping[str, float], float] = ({}, 0.0),
) -> dict[str, Pair]:
    """Return the delays from each input pin of a gate to the rising and the falling edge of an output.

    Of the edges of an input that lead to the same one the slower counts.

    Args:
        gate: The gate.
        model: Its model.
        target: The output pin.
        waves: What `waves_of` returned.
        load: What `loads` returned.
        late: How much later than at its driver an edge comes to each pin, and `WireLoads.slope_factor`.

    Returns:
        The delays of every pin that edges come to, in the library's unit.
    """
    driven = load.get(gate.pins[target], _NO_LOAD)
    pins, factor = late
    found: dict[str, Pair] = {}
    for arc in model.arcs_to(target):
        wave = waves.get(gate.pins.get(arc.source, _NOWHERE))
        if wave is None:
            continue
        slope = wave.delayed(pins.get(arc.source, 0.0), factor).slope
        slowest = list(found.get(arc.source, (0.0, 0.0)))
        for one, two in arc.pairs:
            delay, _ = arc.look_up(two, slope[one], driven[two])
            slowest[two] = max(slowest[two], delay)
        found[arc.source] = slowest[0], slowest[1]
    return found


_STARTS: Final = ("input", "register")


def analyse(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None) -> PathTiming:
    """Return the timing of a netlist; where there are wires, with these.

    The slowest slope on a net counts for all paths through it, whatever their start, as it does in other
    static timing analysers.

    Raises:
        ValueError: If a cell is not in the library or lacks what timing needs, or there is a loop of gates.
    """
    unit = models.library.time_unit_ps
    load = loads(netlist, models, wires)
    surroundings = TimingContext(models)
    registers = _registers(netlist, models, wires)
    clocks = {model.name: surroundings.clock_wave(model) for _, model, _ in registers}
    longest: dict[str, tuple[float, float, float]] = {}
    never = (_NEVER, _NEVER)

    waves: dict[Net, Wave] = {}
    launched = [0.0, 0.0]
    for nets in netlist.inputs.values():
        for net in nets:
            wave, launched[0] = surroundings.registered(load.get(net, _NO_LOAD))
            waves[net] = Wave((wave.arrival, never), wave.slope)
    for instance, model, _ in registers:
        for pin in model.functions:
            net = instance.pins.get(pin)
            if net is not None:
                wave = clock_to_output(model, pin, clocks[model.name], load.get(net, _NO_LOAD))
                waves[net] = Wave((never, wave.arrival), wave.slope)
                launched[1] = max(launched[1], *wave.arrival)
    _propagate(_gates(netlist, models, wires), load, waves)

    def note(path: str, end: tuple[float, float] | None, clock_to_output: float) -> None:
        if end is not None and (path not in longest or end[0] > longest[path][0]):
            longest[path] = (end[0], clock_to_output, end[1])

    for place, start in enumerate(_STARTS):
        for register in registers:
            model = register.model
            for pin in model.data:
                wave = register.wave_at(pin, waves)
                if wave is not None:
                    end = _setup(model, pin, wave, clocks[model.name], place)
                    note(f"{start} to register", end, launched[place])
        for port, nets in netlist.outputs.items():
            for bit, net in enumerate(nets):
                if (wave := waves.get(net)) is not None:
                    if wires is not None:
                        delay = wires.port_delays.get((port, bit), 0.0)
                        wave = wave.delayed(delay, wires.slope_factor)
                    note(f"{start} to output", surroundings.taken(wave, place), launched[place])
    decides = max(longest.values(), default=(0.0, 0.0, 0.0))
    return PathTiming(
        gates=gates_delay(netlist, models, wires),
        paths={path: longest[path][0] * unit for path in PATHS if path in longest},
        clock_to_output=decides[1] * unit,
        setup=decides[2] * unit,
    )
