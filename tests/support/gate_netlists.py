"""Small netlists of gates, built and computed, and adder cells with delays."""

from collections.abc import Mapping
from typing import Any

from blockdot.synth.gate_netlist import GATE_FUNCTIONS, GateNetlist
from blockdot.synth.liberty import CellFunction, Library, LibrarySource
from blockdot.synth.neutral_library import liberty_text

TOP = "top"


class GateBuilder:
    """Builds a netlist gate by gate; a net is its number."""

    def __init__(self) -> None:
        self._last = 1
        self.cells: dict[str, Any] = {}
        self.ports: dict[str, Any] = {}

    def input(self, name: str, width: int) -> list[int]:
        bits = [self._next() for _ in range(width)]
        self.ports[name] = {"direction": "input", "bits": bits}
        return bits

    def output(self, name: str, bits: list[int]) -> None:
        self.ports[name] = {"direction": "output", "bits": bits}

    def _next(self) -> int:
        self._last += 1
        return self._last

    def gate(self, kind: str, **pins: int) -> int:
        net = self._next()
        self.cells[f"g{net}"] = cell(f"$_{kind}_", {**pins, "Y": net}, "Y")
        return net

    def full_adder(self, a: int, b: int, c: int) -> tuple[int, int]:
        """A sum and a carry, as the hardware describes them."""
        half = self.gate("XOR", A=a, B=b)
        carry = self.gate("OR", A=self.gate("AND", A=a, B=b), B=self.gate("AND", A=half, B=c))
        return self.gate("XOR", A=half, B=c), carry

    def netlist(self) -> GateNetlist:
        module = {"ports": self.ports, "cells": self.cells, "netnames": {}}
        return GateNetlist({"modules": {TOP: module}}, TOP)


def cell(kind: str, pins: Mapping[str, int | str], *outputs: str) -> dict[str, Any]:
    return {
        "type": kind,
        "parameters": {},
        "attributes": {},
        "port_directions": {pin: "output" if pin in outputs else "input" for pin in pins},
        "connections": {pin: [bit] for pin, bit in pins.items()},
    }


def computed(
    netlist: GateNetlist, inputs: Mapping[str, int], library: Library | None = None
) -> dict[str, int]:
    """The outputs of a netlist without registers, for words at its inputs."""
    known: dict[int | str, int] = {"0": 0, "1": 1}
    for name, value in inputs.items():
        for place, bit in enumerate(netlist.module["ports"][name]["bits"]):
            known[bit] = value >> place & 1
    waiting = dict(netlist.cells)
    while waiting:
        count = len(waiting)
        for name, (kind, pins) in list(waiting.items()):
            if kind in GATE_FUNCTIONS:
                functions = {"Y": GATE_FUNCTIONS[kind]}
            else:
                assert library is not None
                functions = {pin: CellFunction(text) for pin, text in library.cells[kind].functions}
            values = {pin: known.get(bit) for pin, bit in pins.items() if pin not in functions}
            if None not in values.values():
                for pin, function in functions.items():
                    if pin in pins:
                        known[pins[pin]] = function.evaluate(values, 1)
                del waiting[name]
        assert len(waiting) < count
    return {
        name: sum(known[bit] << place for place, bit in enumerate(port["bits"]))
        for name, port in netlist.module["ports"].items()
        if port["direction"] == "output"
    }


def with_cells(*cells: str) -> Library:
    """The built-in library with more cells."""
    text = liberty_text().rstrip().removesuffix("}")
    return Library.parse(LibrarySource("more.lib", (text + "\n".join(cells) + "\n}\n").encode()))


def timed_cell(name: str, area: float, inputs: str, delay: float = 20.0, **functions: str) -> str:
    """A gate of a load of 1 at every input, whose outputs come so many ps after any of them."""
    pins = [f"pin ({pin}) {{ direction : input; capacitance : 1; }}" for pin in inputs.split()]
    tables = " ".join(
        f'{kind} (scalar) {{ values ("{value:g}"); }}'
        for kind, value in (
            ("cell_rise", delay),
            ("cell_fall", delay),
            ("rise_transition", 10.0),
            ("fall_transition", 10.0),
        )
    )
    arcs = " ".join(
        f'timing () {{ related_pin : "{pin}"; timing_sense : non_unate; {tables} }}' for pin in inputs.split()
    )
    pins += [
        f'pin ({pin}) {{ direction : output; function : "{text}"; {arcs} }}'
        for pin, text in functions.items()
    ]
    return f"cell ({name}) {{ area : {area:g}; {' '.join(pins)} }}"
