"""How much later an edge may come on each net of a netlist with wires before its clock period grows.

The period and the edges are those of `static_timing.analyse`. The time by which an edge has to come is taken
backwards from the ends of all paths, by the delays of the same arcs at the same slopes.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

from .cell_models import CellModels
from .edge_waves import NEVER, NO_LOAD, NOWHERE, Pair, PinDelays, Wave, through_arcs
from .mapped_netlist import MappedNetlist, Net
from .static_timing import loads, waves_of
from .timing_context import TimingContext, clock_to_output, setup_times
from .wire_loads import WireLoads

__all__ = ["NetSlacks"]

_ANY_TIME: Final = (math.inf, math.inf)


def _earlier(one: Pair, other: Pair) -> Pair:
    return min(one[0], other[0]), min(one[1], other[1])


class NetSlacks:
    """Times a netlist forwards and backwards.

    Args:
        netlist: The netlist.
        models: Its library.
        wires: Its wires.

    Attributes:
        netlist: The netlist.
        order: The places of the cells that hold no bit, each behind those that drive it.
        period: The clock period, in the library's unit; 0 where no path ends.

    Raises:
        ValueError: As `static_timing.analyse`.
    """

    def __init__(self, netlist: MappedNetlist, models: CellModels, wires: WireLoads) -> None:
        self.netlist = netlist
        self._models, self._wires = models, wires
        self.order = netlist.order(models)
        self._late = [PinDelays(delays, wires.slope_factor) for delays in wires.delays]
        self._context = TimingContext(models)
        self._load = loads(netlist, models, wires)
        self._waves = waves_of(netlist, models, wires, self._load)
        ends = self._ends()
        self.period = max(
            (
                arrival + after
                for net, (*times,) in ends.items()
                for arrival, after in zip(self._waves[net].arrival, times, strict=True)
            ),
            default=0.0,
        )
        self._end_required = {
            net: (self.period - rise, self.period - fall) for net, (rise, fall) in ends.items()
        }
        self._required = self._backwards()

    def _ends(self) -> dict[Net, Pair]:
        """Return what passes between an edge on a net and the next clock edge at which it counts, at most."""
        factor = self._wires.slope_factor
        after: dict[Net, Pair] = {}

        def end(net: Net, delay: float, setup: Iterable[float]) -> None:
            rise, fall = (delay + time for time in setup)
            before = after.get(net, (NEVER, NEVER))
            after[net] = max(before[0], rise), max(before[1], fall)

        for place, instance in enumerate(self.netlist.instances):
            model = self._models[instance.cell]
            if model.clock is None:
                continue
            clock = self._context.clock_wave(model)
            for pin in model.data:
                net = instance.pins.get(pin, NOWHERE)
                if net in self._waves:
                    delay = self._wires.delays[place].get(pin, 0.0)
                    end(net, delay, setup_times(model, pin, self._waves[net].delayed(delay, factor), clock))
        for port, nets in self.netlist.outputs.items():
            for bit, net in enumerate(nets):
                if net in self._waves:
                    delay = self._wires.port_delays.get((port, bit), 0.0)
                    end(net, delay, self._context.setup_times(self._waves[net].delayed(delay, factor)))
        return after

    def _backwards(self) -> dict[Net, Pair]:
        required = dict(self._end_required)
        for place in reversed(self.order):
            gate, late = self.netlist.instances[place], self._late[place]
            model = self._models[gate.cell]
            for target in model.functions:
                net = gate.pins.get(target, NOWHERE)
                needed, load = required.get(net, _ANY_TIME), self._load.get(net, NO_LOAD)
                for arc in model.arcs_to(target):
                    source = gate.pins.get(arc.source, NOWHERE)
                    if (wave := self._waves.get(source)) is None:
                        continue
                    wire = late.delays.get(arc.source, 0.0)
                    slope = wave.delayed(wire, late.factor).slope
                    times = [math.inf, math.inf]
                    for one, two in arc.pairs:
                        delay, _ = arc.look_up(two, slope[one], load[two])
                        times[one] = min(times[one], needed[two] - delay - wire)
                    required[source] = _earlier(required.get(source, _ANY_TIME), (times[0], times[1]))
        return required

    def slack(self, net: Net) -> float:
        """Return how much later the edges of a net may come; endless where no end is behind it."""
        return self._slack(net, self._required)

    def _slack(self, net: Net, required: Mapping[Net, Pair]) -> float:
        wave = self._waves.get(net)
        if wave is None:
            return math.inf
        return min(time - at for time, at in zip(required.get(net, _ANY_TIME), wave.arrival, strict=True))

    @cached_property
    def _drivers(self) -> dict[Net, int]:
        return {
            net: place
            for place, instance in enumerate(self.netlist.instances)
            for pin, net in instance.pins.items()
            if pin in self._models[instance.cell].functions
        }

    @cached_property
    def _clocks(self) -> frozenset[Net]:
        return self.netlist.clocks(self._models)

    @cached_property
    def _takers(self) -> dict[Net, list[int]]:
        takers: dict[Net, list[int]] = {}
        for place in self.order:
            gate = self.netlist.instances[place]
            for net in {
                net for pin, net in gate.pins.items() if net >= 0 and self._drivers.get(net) != place
            }:
                takers.setdefault(net, []).append(place)
        return takers

    @cached_property
    def _ranks(self) -> dict[int, int]:
        return {place: rank for rank, place in enumerate(self.order)}

    def driven(self, place: int) -> list[Net]:
        """Return the nets that a cell drives."""
        pins = self.netlist.instances[place].pins
        functions = self._models[self.netlist.instances[place].cell].functions
        return [net for pin, net in pins.items() if pin in functions and net >= 0]

    def taken(self, place: int) -> list[Net]:
        """Return the nets that a cell takes, each once."""
        driven = set(self.driven(place))
        nets = self.netlist.instances[place].pins.values()
        return list(dict.fromkeys(net for net in nets if net >= 0 and net not in driven))

    def near(self, place: int) -> set[int]:
        """Return the gates that a gate's size has to do with at once, itself among them."""
        taken = self.taken(place)
        places = {place, *(self._drivers[net] for net in taken if net in self._drivers)}
        for net in (*taken, *self.driven(place)):
            places.update(self._takers.get(net, ()))
        return places

    def slacks_with(self, place: int, cell: str) -> list[float]:
        """Return the slacks near a gate, if another cell of the same pins were there.

        They are those of the ends near it, and behind the gates that take what it drives or what it takes
        itself. How the slopes there change what is further behind is left aside, and so is what the exchange
        changes on a way that leads from such a gate back to the place.

        Args:
            place: The gate's place.
            cell: The cell; its own for the slacks as they are.
        """
        places = sorted((one for one in self.near(place) if one in self._ranks), key=self._ranks.__getitem__)
        inner = {*self.taken(place), *self.driven(place)}
        ends = sorted(inner.union(*map(self.driven, places)))
        before = {} if cell == self.netlist.instances[place].cell else self._put(place, cell, places)
        found = [self._slack(net, self._end_required if net in inner else self._required) for net in ends]
        self._waves |= before
        return found

    def _put(self, place: int, cell: str, places: Iterable[int]) -> dict[Net, Wave]:
        """Time gates with another cell at a place; return the waves that were there before."""
        gate = self.netlist.instances[place]
        old, new = self._models[gate.cell], self._models[cell]
        waves = self._waves
        changed_loads: dict[Net, Pair] = {}
        taken = self.taken(place)
        for pin, net in gate.pins.items():
            if net in taken:
                load = changed_loads.get(net, self._load[net])
                less, more = (model.capacitance.get(pin, NO_LOAD) for model in (old, new))
                changed_loads[net] = load[0] - less[0] + more[0], load[1] - less[1] + more[1]
        before: dict[Net, Wave] = {}

        def put(net: Net, wave: Wave | None) -> None:
            # What comes out of constants alone never moves.
            if wave is not None and net in waves:
                before.setdefault(net, waves[net])
                waves[net] = wave

        for net in taken:
            if self._drivers.get(net) not in self._ranks and net not in self._clocks:
                put(net, self._source_wave(net, changed_loads[net]))
        for one in places:
            instance = self.netlist.instances[one]
            model = new if one == place else self._models[instance.cell]
            for pin in model.functions:
                net = instance.pins.get(pin, NOWHERE)
                load = changed_loads.get(net) or self._load.get(net, NO_LOAD)
                put(net, through_arcs(model.arcs_to(pin), instance.pins, waves, load, self._late[one]))
        return before

    def _source_wave(self, net: Net, load: Pair) -> Wave:
        """Return the wave on a net that an input port or a register drives."""
        place = self._drivers.get(net)
        if place is None:
            return self._context.registered(load)[0]
        instance = self.netlist.instances[place]
        model = self._models[instance.cell]
        pin = next(pin for pin in model.functions if instance.pins.get(pin) == net)
        return clock_to_output(model, pin, self._context.clock_wave(model), load)
