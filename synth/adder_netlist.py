"""A netlist of gates whose adders are cells of the library.

What inverts what is settled here. With all its inputs inverted a full adder gives the complements of its
outputs, so each may work on the complements of what it adds: of two adders in a row that invert their
outputs, every second one does, and no inverter is left between them. Where one must be, a single one serves a
net; abc, which gets what is left, puts it into other gates where it can.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .adder_cells import LibraryAdder
from .adder_search import FoundAdder, find_adders
from .gate_netlist import GateNetlist

__all__ = ["AdderSites", "adder_choices", "with_adders"]

_PASSES: Final = 20
# Of the five gates of a full adder one may be used for something else, and none of the two of a half adder.
_FULL_GATES: Final = 4
_HALF_GATES: Final = 2


class _Pin(NamedTuple):
    """A pin of an adder: which adder, which pin, and whether it takes a net's complement in phase 0."""

    adder: int
    name: str
    inverted: bool


@dataclass(frozen=True)
class AdderSites:
    """Adders in a netlist, and the cells that they become.

    Attributes:
        netlist: The netlist.
        adders: The adders, each with its cell.
    """

    netlist: GateNetlist
    adders: Sequence[tuple[FoundAdder, LibraryAdder]]

    def takers(self) -> Mapping[int, list[_Pin]]:
        """The input pins on each net."""
        found: dict[int, list[_Pin]] = defaultdict(list)
        for place, (adder, cell) in enumerate(self.adders):
            pins = zip(adder.leaves, adder.inverted, cell.inputs, cell.inverted, strict=True)
            for leaf, inverted, pin, pin_inverted in pins:
                found[leaf].append(_Pin(place, pin, inverted ^ pin_inverted))
        return found

    def drivers(self) -> Mapping[int, _Pin]:
        """The output pin that each net comes from; ``inverted`` says that it gives the net's complement."""
        found: dict[int, _Pin] = {}
        for place, (adder, cell) in enumerate(self.adders):
            found[adder.sum] = _Pin(place, cell.sum, adder.sum_inverted ^ cell.sum_inverted)
            found[adder.carry] = _Pin(place, cell.carry, adder.carry_inverted ^ cell.carry_inverted)
        return found


def _phases(sites: AdderSites) -> list[bool]:
    """Return which full adders add complements, so that few inverters are needed that no gate takes in."""
    takers, drivers = sites.takers(), sites.drivers()
    gates = sites.netlist.gates
    phases = [False] * len(sites.adders)
    touched: list[set[int]] = [set() for _ in phases]
    for net in {*takers, *drivers}:
        for pin in (*takers.get(net, ()), *([drivers[net]] if net in drivers else [])):
            touched[pin.adder].add(net)

    def inverters(net: int) -> int:
        wanted = {pin.inverted ^ phases[pin.adder] for pin in takers.get(net, ())}
        if net in drivers:
            given = drivers[net].inverted ^ phases[drivers[net].adder]
            return int(any(one != given for one in wanted))
        # Gates can give either, but not both; a port or a register gives what it gives.
        return int(len(wanted) > 1 if net in gates else True in wanted)

    def cost(adder: int) -> int:
        return sum(map(inverters, touched[adder]))

    # An adder behind others first follows those; then single ones turn over while that helps.
    depth = _depths(sites)
    order = sorted(
        (place for place, (adder, _) in enumerate(sites.adders) if adder.full), key=depth.__getitem__
    )
    for place in order:
        cell = sites.adders[place][1]
        phases[place] = bool(depth[place] % 2) if cell.sum_inverted and cell.carry_inverted else False
    for _ in range(_PASSES):
        better = False
        for place in order:
            before = cost(place)
            phases[place] = not phases[place]
            if cost(place) < before:
                better = True
            else:
                phases[place] = not phases[place]
        if not better:
            break
    return phases


def _depths(sites: AdderSites) -> list[int]:
    """Return how many adders there are in a row before each."""
    drivers = sites.drivers()
    depths: dict[int, int] = {}

    def of(net: int) -> int:
        return depths[drivers[net].adder] + 1 if net in drivers and drivers[net].adder in depths else 0

    # The nets of gates are in order, and an adder comes where the later of its outputs does.
    places = {net: place for place, net in enumerate(sites.netlist.ordered)}
    order = sorted(
        range(len(sites.adders)),
        key=lambda adder: max(places[sites.adders[adder][0].sum], places[sites.adders[adder][0].carry]),
    )
    for adder in order:
        depths[adder] = max((of(leaf) for leaf in sites.adders[adder][0].leaves), default=0)
    return [depths[adder] for adder in range(len(sites.adders))]


def adder_choices(netlist: GateNetlist, cells: Sequence[LibraryAdder]) -> list[AdderSites]:
    """Return which adders of a netlist may become cells: the full ones, and those with the half ones.

    A full adder that saves few gates is left to abc, as a part of its gates is there for something else too.

    Args:
        netlist: The netlist.
        cells: A full adder, a half adder, or both.

    Returns:
        The choices that have adders, and differ.
    """
    full = next((cell for cell in cells if cell.full), None)
    half = next((cell for cell in cells if not cell.full), None)
    choices: list[AdderSites] = []
    for fewest in (None, _HALF_GATES) if half else (None,):
        found = find_adders(netlist, full=None if full is None else _FULL_GATES, half=fewest)
        sites = [(adder, cell) for adder in found if (cell := full if adder.full else half) is not None]
        if sites and sites not in [choice.adders for choice in choices]:
            choices.append(AdderSites(netlist, sites))
    return choices


def with_adders(sites: AdderSites) -> dict[str, Any]:
    """Return the netlist with its adders as cells, in the form that Yosys's ``read_json`` reads.

    The gates that are needed no more are still in it, with nothing behind them.
    """
    netlist = sites.netlist
    takers, drivers, phases = sites.takers(), sites.drivers(), _phases(sites)
    replaced = {netlist.gates[net][0] for net in drivers}
    cells: dict[str, Any] = {
        name: cell for name, cell in netlist.module["cells"].items() if name not in replaced
    }
    number = itertools.count(_most(netlist) + 1)
    joined: list[dict[str, list[int]]] = [{} for _ in sites.adders]

    def invert(source: int, target: int) -> None:
        cells[f"inverter_{target}"] = _cell("$_NOT_", {"A": [source], "Y": [target]}, outputs=("Y",))

    for net in dict.fromkeys((*drivers, *takers)):
        wanted = [pin.inverted ^ phases[pin.adder] for pin in takers.get(net, ())]
        driver = drivers.get(net)
        # What is there of the net and of its complement, in that order.
        there: list[int | None] = [net, None]
        if driver is not None and driver.inverted ^ phases[driver.adder]:
            there[1] = next(number)
            # Nobody may take it, and then abc leaves the inverter out.
            invert(there[1], net)
        if driver is not None:
            joined[driver.adder][driver.name] = [net if there[1] is None else there[1]]
        elif any(wanted):
            there[1] = next(number)
            invert(net, there[1])
        if there[1] is None and any(wanted):
            there[1] = next(number)
            invert(net, there[1])
        for pin, inverted in zip(takers.get(net, ()), wanted, strict=True):
            bit = there[inverted]
            assert bit is not None
            joined[pin.adder][pin.name] = [bit]
    for place, ((_, cell), pins) in enumerate(zip(sites.adders, joined, strict=True)):
        cells[f"adder_{place}"] = _cell(cell.name, pins, outputs=(cell.sum, cell.carry))
    module = {**netlist.module, "cells": cells}
    return {**netlist.design, "modules": {netlist.top: module}}


def _most(netlist: GateNetlist) -> int:
    """Return the greatest number of a net."""
    ports = (bit for port in netlist.module["ports"].values() for bit in port["bits"])
    pins = (bit for _, pins in netlist.cells.values() for bit in pins.values())
    named = (bit for name in netlist.module["netnames"].values() for bit in name["bits"])
    return max(bit for bit in itertools.chain(ports, pins, named) if isinstance(bit, int))


def _cell(kind: str, connections: Mapping[str, list[int]], outputs: Sequence[str]) -> dict[str, Any]:
    return {
        "hide_name": 1,
        "type": kind,
        "parameters": {},
        "attributes": {},
        "port_directions": {pin: "output" if pin in outputs else "input" for pin in connections},
        "connections": dict(connections),
    }
