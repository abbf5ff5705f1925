"""A netlist of library cells, as Yosys leaves it after mapping."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from .cell_models import CellModels

__all__ = ["CellInstance", "MappedNetlist", "Net"]

Net = int
"""The number of a net; `Mapped.ZERO` and `Mapped.ONE` are the constants."""

_CONSTANTS: Final[Mapping[str, Net]] = {"0": -1, "1": -2, "x": -1, "z": -1}


@dataclass(frozen=True)
class CellInstance:
    """One cell of the netlist.

    Attributes:
        cell: Name of the library cell.
        pins: What each connected pin is connected to.
    """

    cell: str
    pins: Mapping[str, Net]


@dataclass(frozen=True)
class MappedNetlist:
    """A flat netlist of library cells.

    Attributes:
        inputs: The nets of each input port, bit 0 first.
        outputs: The nets of each output port, bit 0 first.
        instances: The cells.
    """

    ZERO = -1
    ONE = -2

    inputs: Mapping[str, tuple[Net, ...]]
    outputs: Mapping[str, tuple[Net, ...]]
    instances: tuple[CellInstance, ...]

    @classmethod
    def of(cls, design: Mapping[str, Any], top: str) -> "MappedNetlist":
        """Return the netlist of a module in what Yosys's ``write_json`` wrote."""
        module = design["modules"][top]
        ports: dict[str, dict[str, tuple[Net, ...]]] = {"input": {}, "output": {}}
        for name, port in module["ports"].items():
            ports[port["direction"]][name] = tuple(map(_net, port["bits"]))
        instances = tuple(
            CellInstance(
                cell["type"], {pin: _net(bits[0]) for pin, bits in cell["connections"].items() if bits}
            )
            for cell in module["cells"].values()
        )
        return cls(ports["input"], ports["output"], instances)

    def as_design(self, top: str) -> dict[str, Any]:
        """Return the netlist as Yosys's ``write_json`` would; cell number k is called ``uK``."""

        def bit(net: Net) -> int | str:
            return net if net >= 0 else "01"[net == self.ONE]

        ports = {
            port: {"direction": direction, "bits": [bit(net) for net in nets]}
            for direction, several in (("input", self.inputs), ("output", self.outputs))
            for port, nets in several.items()
        }
        cells = {
            f"u{number}": {
                "type": instance.cell,
                "connections": {pin: [bit(net)] for pin, net in instance.pins.items()},
            }
            for number, instance in enumerate(self.instances)
        }
        return {"modules": {top: {"ports": ports, "cells": cells}}}

    def opened_at(self, cells: Collection[str]) -> "MappedNetlist":
        """Return the netlist without some cells, with an output port on the nets of their pins instead."""
        instances = tuple(instance for instance in self.instances if instance.cell not in cells)
        if len(instances) == len(self.instances):
            return self
        nets = tuple(net for one in self.instances if one.cell in cells for net in one.pins.values())
        return replace(self, outputs={**self.outputs, "": nets}, instances=instances)

    def drivers(self, models: CellModels) -> dict[Net, tuple[CellInstance, str]]:
        """Return what drives each net that a cell drives."""
        return {
            net: (instance, pin)
            for instance in self.instances
            for pin, net in instance.pins.items()
            if pin in models[instance.cell].functions
        }

    def clocks(self, models: CellModels) -> frozenset[Net]:
        """Return the nets that clock a cell."""
        return frozenset(
            instance.pins[clock]
            for instance in self.instances
            if (clock := models[instance.cell].clock) is not None and clock in instance.pins
        )

    def ordered(self, models: CellModels) -> Iterator[CellInstance]:
        """Yield the cells that hold no bit, each behind those that drive it; raises as `order`."""
        return (self.instances[index] for index in self.order(models))

    def depth(self, models: CellModels) -> int:
        """Return how many cells that hold no bit the longest row of them has; raises as `order`."""
        levels: dict[Net, int] = {}
        for instance in self.ordered(models):
            outputs = models[instance.cell].functions
            sources = (net for pin, net in instance.pins.items() if pin not in outputs)
            level = 1 + max((levels.get(net, 0) for net in sources), default=0)
            levels |= {net: level for pin, net in instance.pins.items() if pin in outputs}
        return max(levels.values(), default=0)

    def order(self, models: CellModels) -> list[int]:
        """Return the places of the cells that hold no bit, each behind those that drive it.

        Raises:
            ValueError: If there is a loop of such cells.
        """
        places = [
            place for place, instance in enumerate(self.instances) if models[instance.cell].clock is None
        ]
        gates = [self.instances[place] for place in places]
        driver = {
            net: index
            for index, gate in enumerate(gates)
            for pin, net in gate.pins.items()
            if pin in models[gate.cell].functions
        }
        waiting = [0] * len(gates)
        followers: list[list[int]] = [[] for _ in gates]
        for index, gate in enumerate(gates):
            sources = {
                driver[net]
                for pin, net in gate.pins.items()
                if net in driver and pin not in models[gate.cell].functions
            }
            waiting[index] = len(sources)
            for source in sources:
                followers[source].append(index)
        ready = [index for index, count in enumerate(waiting) if not count]
        for index in ready:
            for follower in followers[index]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    ready.append(follower)
        if len(ready) != len(gates):
            raise ValueError(f"a netlist must have no loop of gates, not one of {len(gates) - len(ready)}")
        return [places[index] for index in ready]


def _net(bit: int | str) -> Net:
    return bit if isinstance(bit, int) else _CONSTANTS[bit]
