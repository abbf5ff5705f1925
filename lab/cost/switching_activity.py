"""Switching activity: how often each net of a mapped netlist rises and falls while it is fed with vectors.

What comes late makes gates switch more than once: in trees of adders and in multipliers such glitches are
most of what a unit does. So every edge is followed through the gates at its own time. Its delay through a
gate is that of its path, from the input that moves to the edge of the output, by the library's tables, at
the slope and the load that static timing finds. Delays are inertial: a pulse that is shorter than the
gate's delay does not come out.

Many runs of successive vectors are simulated side by side, each in a *lane*. All edges of a net in one cycle
stand in one sorted array, lane behind lane, so that a gate is done at once for all lanes, and each gate only
once: behind those that drive it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ...synth.cell_models import CellModels
from ...synth.cell_tables import CellModel
from ...synth.edge_waves import Wave
from ...synth.mapped_netlist import CellInstance, MappedNetlist, Net
from ...synth.static_timing import Loads, loads, path_delays, waves_of
from ...synth.wire_loads import WireLoads

__all__ = ["TICK", "Activity", "ActivitySimulation", "Bits", "StillCycle", "lanes_of"]

Bits = npt.NDArray[np.uint8]
"""Zeros and ones, one for each lane in the last axis."""

States = npt.NDArray[np.uint32]
"""States of a gate's pins, one for each lane: each pin that is 1 sets its bit."""

Times = npt.NDArray[np.int64]
"""Edges of a net in one cycle, in `TICK`, sorted: each lane's, shifted by the lane's number times a span."""

TICK: Final = 1e-3
"""The step of time in ps. In whole steps, what is as long as a delay is so however many lanes there are."""

# Lanes that are simulated at once: more take no less time for each, and more memory.
_CHUNK: Final = 1024

_NO_EDGES: Final[Times] = np.empty(0, np.int64)


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


class StillCycle(NamedTuple):
    """What a netlist shows in one cycle when all is still.

    Attributes:
        values: What each net shows in each lane.
        states: For each output of a gate, in the gates' order, the state of the gate's pins in each lane.
    """

    values: Mapping[Net, Bits]
    states: Sequence[States]


class _Input(NamedTuple):
    """A pin of a gate that is not constant.

    Attributes:
        net: What it is on.
        late: How much later than at the net's driver an edge is here, in `TICK`.
        bit: Its bit in the gate's state.
    """

    net: Net
    late: int
    bit: int


@dataclass(frozen=True)
class _Output:
    """An output of a gate, as a table.

    Attributes:
        net: What it drives.
        inputs: The pins that it may follow, slow ones first.
        constant: The bits of the pins that are always 1.
        values: What it shows at each state of the pins.
        delays: From the input of each bit to an edge of the output, at twice the bit, and one more for a
            rising edge.
    """

    net: Net
    inputs: tuple[_Input, ...]
    constant: int
    values: Bits
    delays: Times

    def state(self, values: Mapping[Net, Bits], lanes: int) -> States:
        """Return the state of the pins in each lane."""
        state = np.full(lanes, self.constant, np.uint32)
        for pin in self.inputs:
            state |= values[pin.net] * np.uint32(pin.bit)
        return state


class _Counts:
    """Rising and falling edges of each net."""

    def __init__(self) -> None:
        self.counts: dict[Net, tuple[int, int]] = {}

    def add(self, net: Net, rises: int, falls: int) -> None:
        if rises or falls:
            up, down = self.counts.get(net, (0, 0))
            self.counts[net] = up + rises, down + falls


class ActivitySimulation:
    """One netlist, made ready to be simulated.

    Args:
        netlist: The netlist.
        models: Its library.
        wires: What its wires add; None for none.

    Attributes:
        loads: What each net drives.
        waves: The latest edges on each net.

    Raises:
        ValueError: If a cell cannot be simulated or timed.
    """

    def __init__(self, netlist: MappedNetlist, models: CellModels, wires: WireLoads | None = None) -> None:
        self.netlist = netlist
        self.models = models
        self.loads: Loads = loads(netlist, models, wires)
        self.waves: dict[Net, Wave] = waves_of(netlist, models, wires)
        self._wires = wires
        self._unit = models.library.time_unit_ps / TICK
        self._registers: list[tuple[CellInstance, CellModel]] = [
            (instance, model)
            for instance in netlist.instances
            if (model := models[instance.cell]).clock is not None
        ]
        self._driven = {
            instance.pins[pin]
            for instance in netlist.instances
            for pin in models[instance.cell].functions
            if pin in instance.pins
        } | {net for nets in netlist.inputs.values() for net in nets}
        self._outputs = [out for place in netlist.order(models) for out in self._tables(place)]
        self._readers: dict[Net, int] = {}
        for out in self._outputs:
            for pin in out.inputs:
                self._readers[pin.net] = self._readers.get(pin.net, 0) + 1
        # No edge comes much later than static timing's latest: those of one lane stand apart from the next's.
        self._span = 4 * max((max(self.starts(net)) for net in self.waves), default=0) + 4

    def starts(self, net: Net) -> tuple[int, int]:
        """Return when the rising and the falling edge of an input port or a register come, in `TICK`."""
        wave = self.waves.get(net)
        rise, fall = wave.arrival if wave else (0.0, 0.0)
        return self._ticks(rise), self._ticks(fall)

    def _ticks(self, time: float) -> int:
        return max(round(time * self._unit), 0) if math.isfinite(time) else 0

    def _tables(self, place: int) -> Iterator[_Output]:
        """Yield a gate's outputs."""
        gate = self.netlist.instances[place]
        model = self.models[gate.cell]
        late: Mapping[str, float] = {} if self._wires is None else self._wires.delays[place]
        factor = 0.0 if self._wires is None else self._wires.slope_factor
        nets = [gate.pins.get(pin, MappedNetlist.ZERO) for pin in model.inputs]
        states = np.arange(1 << len(nets))
        columns = [(states >> k & 1).astype(np.uint8) for k in range(len(nets))]
        constant = sum(1 << k for k, net in enumerate(nets) if net == MappedNetlist.ONE)
        for target, function in model.functions.items():
            if target not in gate.pins:
                continue
            found = path_delays(gate, model, target, self.waves, self.loads, (late, factor))
            delays = np.zeros(2 << len(nets), np.int64)
            inputs: list[_Input] = []
            for k, (pin, net) in enumerate(zip(model.inputs, nets, strict=True)):
                # What drives nothing that moves has no delay, and no edge either.
                if net in self._driven:
                    rise, fall = found.get(pin, (0.0, 0.0))
                    delays[2 << k], delays[(2 << k) + 1] = self._ticks(fall), self._ticks(rise)
                    inputs.append(_Input(net, self._ticks(late.get(pin, 0.0)), 1 << k))
            # Of inputs that move at once the last one counts, and the fastest is to.
            inputs.sort(key=lambda one: -delays[2 * one.bit : 2 * one.bit + 2].sum())
            values = _bits(function(1, *columns), len(states))
            yield _Output(gate.pins[target], tuple(inputs), constant, values, delays)

    def run(self, inputs: Mapping[str, Bits], warm: int) -> Activity:
        """Play vectors.

        Args:
            inputs: What each input port but the clock shows: shape (cycles, bits, lanes), bit 0 first.
            warm: How many cycles at the beginning are not counted: the first always settles uncounted.

        Raises:
            ValueError: If no cycle is left to count, or a port has no vectors.
            RuntimeError: If edges do not lead to the values that the gates have when all is still.
        """
        cycles = min((len(values) for values in inputs.values()), default=0)
        lanes = min((values.shape[-1] for values in inputs.values()), default=0)
        warm = max(warm, 1)
        if cycles <= warm:
            raise ValueError(f"cycles must be more than {warm} to be counted, not {cycles}")
        clocks = {instance.pins[model.clock or ""] for instance, model in self._registers}
        for port, nets in self.netlist.inputs.items():
            if port not in inputs and not set(nets) <= clocks:
                raise ValueError(f"input {port} must have vectors, not none")
        transitions, settled = _Counts(), _Counts()
        for first in range(0, lanes, _CHUNK):
            some = {port: values[:, :, first : first + _CHUNK] for port, values in inputs.items()}
            before = StillCycle({}, [])
            for cycle, after in enumerate(self.still(some)):
                if cycle >= warm:
                    moves = {net: _moves(before.values[net], now) for net, now in after.values.items()}
                    for net, (rises, falls) in moves.items():
                        settled.add(net, rises, falls)
                    self._follow(before, after, moves, transitions)
                before = after
        return Activity(transitions.counts, settled.counts, lanes * (cycles - warm))

    def still(self, inputs: Mapping[str, Bits]) -> Iterator[StillCycle]:
        """Yield what the netlist shows when all is still, cycle by cycle.

        Args:
            inputs: As `run` takes them.
        """
        lanes = min((values.shape[-1] for values in inputs.values()), default=0)
        cycles = min((len(values) for values in inputs.values()), default=0)
        held = [np.zeros(lanes, np.uint8) for _ in self._registers]
        values: dict[Net, Bits] = {}
        for cycle in range(cycles):
            if cycle:
                held = [
                    self._following(register, state, values)
                    for register, state in zip(self._registers, held, strict=True)
                ]
            values = {
                MappedNetlist.ZERO: np.zeros(lanes, np.uint8),
                MappedNetlist.ONE: np.ones(lanes, np.uint8),
            }
            for port, nets in self.netlist.inputs.items():
                if port in inputs:
                    values |= dict(zip(nets, inputs[port][cycle], strict=True))
            for (instance, model), state in zip(self._registers, held, strict=True):
                pins = self._pins(instance, model, state, values)
                for pin, function in model.functions.items():
                    if pin in instance.pins:
                        values[instance.pins[pin]] = _bits(function(*pins), lanes)
            states: list[States] = []
            for out in self._outputs:
                states.append(out.state(values, lanes))
                values[out.net] = out.values[states[-1]]
            yield StillCycle(values, states)

    def _pins(
        self, instance: CellInstance, model: CellModel, state: Bits, values: Mapping[Net, Bits]
    ) -> list[Any]:
        zero = np.zeros_like(state)
        pins = [values.get(instance.pins.get(pin, MappedNetlist.ZERO), zero) for pin in model.inputs]
        return [1, *pins, state, state ^ 1]

    def _following(
        self, register: tuple[CellInstance, CellModel], state: Bits, values: Mapping[Net, Bits]
    ) -> Bits:
        instance, model = register
        if model.next_state is None:
            raise ValueError(f"flip-flop {model.name} must have a next state, not none")
        return _bits(model.next_state(*self._pins(instance, model, state, values)), len(state))

    def _follow(
        self, before: StillCycle, after: StillCycle, moves: Mapping[Net, tuple[int, int]], counts: _Counts
    ) -> None:
        """Follow all edges of one cycle from the input ports and registers through the gates.

        Args:
            before: What was still before the cycle.
            after: What is still after it.
            moves: In how many lanes each net is higher, and lower, than before.
            counts: What the edges are added to.
        """
        lanes = len(after.values[MappedNetlist.ZERO])
        shifts = np.arange(lanes) * self._span
        left = dict(self._readers)
        edges: dict[Net, Times] = {}
        driven = {out.net for out in self._outputs}
        for net, now in after.values.items():
            if net in driven:
                continue
            moved = np.flatnonzero(before.values[net] != now)
            rise, fall = self.starts(net)
            edges[net] = shifts[moved] + np.where(now[moved], rise, fall)
            counts.add(net, *moves[net])
        for out, left_state, state in zip(self._outputs, before.states, after.states, strict=True):
            edges[out.net], rises = self._through(out, edges, left_state, state, shifts)
            falls = len(edges[out.net]) - rises
            counts.add(out.net, rises, falls)
            higher, lower = moves[out.net]
            if rises - falls != higher - lower:
                raise RuntimeError(f"edges of net {out.net} must lead to the values that it settles to")
            for pin in out.inputs:
                left[pin.net] -= 1
                if not left[pin.net]:
                    del edges[pin.net]
            if not self._readers.get(out.net):
                del edges[out.net]

    def _through(
        self,
        out: _Output,
        edges: Mapping[Net, Times],
        before: States,
        after: States,
        shifts: Times,
    ) -> tuple[Times, int]:
        """Return the edges of a gate's output, and how many of them rise, between two states of its pins."""
        coming = [(pin, edges[pin.net]) for pin in out.inputs if len(edges[pin.net])]
        if not coming:
            return _NO_EDGES, 0
        lanes = len(shifts)
        # Before the edges of each lane stands a mark that turns the state that the lane before has left into
        # the one in which this lane begins.
        marks = before.copy()
        marks[1:] ^= after[:-1]
        times = np.concatenate(
            [shifts - self._span // 4, *(some + pin.late if pin.late else some for pin, some in coming)]
        )
        flips = np.concatenate([marks, *(np.full(len(some), pin.bit, np.uint32) for pin, some in coming)])
        order = np.argsort(times, kind="stable")
        times, flips = times[order], flips[order]
        shown = out.values[np.bitwise_xor.accumulate(flips)]
        real = order >= lanes
        together = times[1:] == times[:-1]
        if together.any():
            last = np.append(~together, np.True_)
            times, flips, shown, real = times[last], flips[last], shown[last], real[last]
        changes = np.flatnonzero((shown[1:] != shown[:-1]) & real[1:]) + 1
        causes, values = times[changes], shown[changes]
        ends = causes + out.delays[2 * flips[changes] + values]
        passed = _passed(causes, ends)
        if passed is not None:
            ends, values = ends[passed], values[passed]
        return ends, int(values.sum(dtype=int))


def _passed(causes: Times, ends: Times) -> npt.NDArray[np.bool_] | None:
    """Return which of successive changes of a gate come out; None for all.

    Args:
        causes: When each change is caused.
        ends: When it would come out. If the next one is caused before, neither comes out.
    """
    lost = np.flatnonzero(ends[:-1] > causes[1:])
    if not len(lost):
        return None
    # In a row of changes that each end too late the first and the second cancel out, then the third and the
    # fourth, and so on: the next one behind such a pair finds the output at rest.
    places = np.arange(len(lost))
    begins = np.append(np.True_, lost[1:] != lost[:-1] + 1)
    first = lost[(places - np.maximum.accumulate(np.where(begins, places, 0))) % 2 == 0]
    passed = np.ones(len(causes), np.bool_)
    passed[first] = False
    passed[first + 1] = False
    return passed


def _bits(shown: npt.ArrayLike, count: int) -> Bits:
    """Return what a cell's function of zeros and ones shows, once or `count` times, in its lowest bit."""
    bits: Bits = np.bitwise_and(np.asarray(shown, np.uint8), np.uint8(1))
    return np.broadcast_to(bits, (count,))


def _moves(before: Bits, after: Bits) -> tuple[int, int]:
    """Return in how many lanes a net is higher, and lower, than before."""
    return int(np.count_nonzero(after > before)), int(np.count_nonzero(after < before))


def lanes_of(words: npt.NDArray[np.unsignedinteger[Any]], width: int) -> Bits:
    """Turn a port's values into lanes.

    Args:
        words: Shape (cycles, lanes, words): what each lane shows in each cycle, 32 bits a word, low first.
        width: The port's width.

    Returns:
        Its bits, shape (cycles, bits, lanes), bit 0 first.
    """
    octets = np.ascontiguousarray(words.astype("<u4")).view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, bitorder="little", count=width)
    return np.ascontiguousarray(bits.transpose(0, 2, 1))
