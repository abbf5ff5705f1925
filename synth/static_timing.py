"""Static timing of a mapped netlist: through the gates alone, and from clock edge to clock edge.

abc's ``stime`` knows gates only. What it says is found again here by the same rules (`gates_delay`), and then
what a pipelined unit needs is added (`analyse`): the delay from the clock to a flip-flop's output, at the
load that output really has, and the setup time that a flip-flop wants before the next edge, both out of the
library's tables.

With `WireLoads` wires count: the load of a net grows by its wire's capacitance, and an edge comes to each pin
later, and less steep, than it leaves the driver. Without them loads are those of the pins.

The rules: the slowest of all arcs counts, by edge, and the slowest slope on a net counts for all paths
through it, as in OpenSTA. A path through a gate whose delay the library does not tell is an error. Each input
port is driven by the library's `driving_cell`, of which the part that the load adds counts; each output port
drives `output_load_ff`. What stands around a unit between registers, `timing_context` says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .cell_models import CellModels
from .cell_tables import Arc, CellModel
from .edge_waves import NEVER, NO_LOAD, NOWHERE, Pair, PinDelays, Wave, through_arcs
from .mapped_netlist import CellInstance, MappedNetlist, Net
from .timing_context import TimingContext, clock_to_output, needed_time
from .wire_loads import WireLoads

__all__ = [
    "PATHS",
    "Loads",
    "PathTiming",
    "analyse",
    "gates_delay",
    "loads",
    "path_delays",
    "waves_of",
]

PATHS: Final = (
    "input to register",
    "register to register",
    "register to output",
    "input to output",
)
"""The four kinds of path through a unit."""


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


def loads(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None) -> Loads:
    """Return what each net drives, for rising and falling edges, in the library's unit."""
    total = _pin_loads(netlist.instances, models, wires)
    port = _port_load(models)
    for nets in netlist.outputs.values():
        for net in nets:
            rise, fall = total.get(net, NO_LOAD)
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
                rise, fall = total.get(net, NO_LOAD)
                more_rise, more_fall = capacitance[pin]
                total[net] = rise + more_rise, fall + more_fall
    return total


def _port_load(models: CellModels) -> float:
    return models.library.output_load_ff / models.library.capacitance_unit_ff


class _Gate(NamedTuple):
    pins: Mapping[str, Net]
    outputs: list[tuple[Net, tuple[Arc, ...]]]
    late: PinDelays | None


def _propagate(gates: Sequence[_Gate], load: Loads, waves: dict[Net, Wave]) -> None:
    """Add the waves of every net behind gates."""
    for gate in gates:
        for net, arcs in gate.outputs:
            wave = through_arcs(arcs, gate.pins, waves, load.get(net, NO_LOAD), gate.late)
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
            if gate.pins.get(pin, NOWHERE) >= 0 and target in gate.pins:
                raise ValueError(f"cell {gate.cell} must have a delay from {pin} to {target}, not none")
        outputs = [(gate.pins[pin], model.arcs_to(pin)) for pin in model.functions if pin in gate.pins]
        late = None if wires is None else PinDelays(wires.delays[place], wires.slope_factor)
        found.append(_Gate(gate.pins, outputs, late))
    return found


class _Register(NamedTuple):
    instance: CellInstance
    model: CellModel
    late: PinDelays | None

    def wave_at(self, pin: str, waves: Mapping[Net, Wave]) -> Wave | None:
        """Return the wave at one of its pins; None where none comes."""
        wave = waves.get(self.instance.pins.get(pin, NOWHERE))
        if wave is None or self.late is None:
            return wave
        return wave.delayed(self.late.delays.get(pin, 0.0), self.late.factor)


def _registers(netlist: MappedNetlist, models: CellModels, wires: WireLoads | None) -> list[_Register]:
    return [
        _Register(
            instance, model, None if wires is None else PinDelays(wires.delays[place], wires.slope_factor)
        )
        for place, instance in enumerate(netlist.instances)
        if (model := models[instance.cell]).clock is not None
    ]


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
        rise, fall = load.get(net, NO_LOAD)
        load[net] = rise + port_load, fall + port_load
    surroundings = TimingContext(models)
    starts = {net for gate in gates for net in gate.pins.values() if net >= 0} - driven
    waves = {net: surroundings.input(load[net]) for net in starts}
    _propagate(gates, load, waves)
    late_ends = [max(waves[net].arrival) + ends[net] for net in ends.keys() & driven if net in waves]
    return max(late_ends, default=0.0) * models.library.time_unit_ps


def waves_of(
    netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None, load: Loads | None = None
) -> dict[Net, Wave]:
    """Return the latest edges on every net, at its driver, between registers, in the library's unit.

    Inputs come out of registers, as in `analyse`; the clock's edge is at time 0.

    Args:
        netlist: The netlist.
        models: Its library.
        wires: Its wires.
        load: What `loads` returned for these; None to have it called here.

    Raises:
        ValueError: As `analyse`.
    """
    if load is None:
        load = loads(netlist, models, wires)
    surroundings = TimingContext(models)
    waves = {
        net: surroundings.registered(load.get(net, NO_LOAD))[0]
        for nets in netlist.inputs.values()
        for net in nets
    }
    for instance, model, _ in _registers(netlist, models, wires):
        clock = surroundings.clock_wave(model)
        waves[instance.pins[model.clock or ""]] = clock
        for pin in model.functions:
            if pin in instance.pins:
                net = instance.pins[pin]
                waves[net] = clock_to_output(model, pin, clock, load.get(net, NO_LOAD))
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
    driven = load.get(gate.pins[target], NO_LOAD)
    pins, factor = late
    found: dict[str, Pair] = {}
    for arc in model.arcs_to(target):
        wave = waves.get(gate.pins.get(arc.source, NOWHERE))
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
    never = (NEVER, NEVER)

    waves: dict[Net, Wave] = {}
    launched = [0.0, 0.0]
    for nets in netlist.inputs.values():
        for net in nets:
            wave, launched[0] = surroundings.registered(load.get(net, NO_LOAD))
            waves[net] = Wave((wave.arrival, never), wave.slope)
    for instance, model, _ in registers:
        for pin in model.functions:
            net = instance.pins.get(pin)
            if net is not None:
                wave = clock_to_output(model, pin, clocks[model.name], load.get(net, NO_LOAD))
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
                    end = needed_time(model, pin, wave, clocks[model.name], place)
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
