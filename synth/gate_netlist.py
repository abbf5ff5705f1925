"""A netlist of Yosys's own gates, as it is before abc, with cells of the library among them.

Only the form is read that the coarse passes leave: one flat module, whose every cell has pins of one bit.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from .liberty import CellFunction

__all__ = ["GATE_FUNCTIONS", "GateNetlist"]

Bit = int | str
"""A net, or a constant: ``0``, ``1`` or ``x``."""

GATE_FUNCTIONS: Final[Mapping[str, CellFunction]] = MappingProxyType(
    {
        name: CellFunction(text)
        for name, text in {
            "$_BUF_": "A",
            "$_NOT_": "!A",
            "$_AND_": "A*B",
            "$_NAND_": "!(A*B)",
            "$_OR_": "A+B",
            "$_NOR_": "!(A+B)",
            "$_XOR_": "A^B",
            "$_XNOR_": "!(A^B)",
            "$_ANDNOT_": "A*!B",
            "$_ORNOT_": "A+!B",
            "$_MUX_": "(A*!S)+(B*S)",
            "$_NMUX_": "!((A*!S)+(B*S))",
        }.items()
    }
)
"""The gates that Yosys leaves, each with what its output ``Y`` is of its inputs."""


class GateNetlist:
    """One flat module in what Yosys's ``write_json`` wrote.

    Args:
        design: The design.
        top: Name of its only module.
    """

    def __init__(self, design: Mapping[str, Any], top: str) -> None:
        self.top = top
        self.design = design
        self.module: Mapping[str, Any] = design["modules"][top]

    @cached_property
    def cells(self) -> Mapping[str, tuple[str, Mapping[str, Bit]]]:
        """The type of each cell, and what its connected pins are connected to."""
        return {
            name: (cell["type"], {pin: bits[0] for pin, bits in cell["connections"].items() if bits})
            for name, cell in self.module["cells"].items()
        }

    @cached_property
    def gates(self) -> Mapping[int, tuple[str, str, Mapping[str, Bit]]]:
        """The gate that drives each net, by name and type, and what its inputs are connected to."""
        found: dict[int, tuple[str, str, Mapping[str, Bit]]] = {}
        for name, (kind, pins) in self.cells.items():
            output = pins.get("Y")
            if kind in GATE_FUNCTIONS and isinstance(output, int):
                found[output] = name, kind, {pin: bit for pin, bit in pins.items() if pin != "Y"}
        return found

    @cached_property
    def uses(self) -> Mapping[int, int]:
        """How many pins and ports take each net."""
        found: dict[int, int] = {}
        for bit in self._taken():
            if isinstance(bit, int):
                found[bit] = found.get(bit, 0) + 1
        return found

    def _taken(self) -> Iterator[Bit]:
        for kind, pins in self.cells.values():
            gate = kind in GATE_FUNCTIONS
            # Which pins of other cells are outputs is not known here; to count them does no harm.
            yield from (bit for pin, bit in pins.items() if not (gate and pin == "Y"))
        for port in self.module["ports"].values():
            if port["direction"] != "input":
                yield from port["bits"]

    @cached_property
    def ordered(self) -> list[int]:
        """The nets that gates drive, each behind those that its gate takes.

        Raises:
            ValueError: If there is a loop of gates.
        """
        state: dict[int, bool] = {}
        order: list[int] = []
        for start in self.gates:
            stack = [(start, False)]
            while stack:
                net, ready = stack.pop()
                if ready:
                    state[net] = True
                    order.append(net)
                elif net not in state:
                    state[net] = False
                    stack.append((net, True))
                    sources = [bit for bit in self.gates[net][2].values() if isinstance(bit, int)]
                    stack += [(bit, False) for bit in sources if bit in self.gates and bit not in state]
                    if any(state.get(bit) is False and bit in self.gates for bit in sources):
                        raise ValueError(f"a netlist must have no loop of gates, not one in {self.top}")
        return order
