"""A unit taken apart: what each of its components is, and how often it is there.

The emitted netlist is a hierarchy of one module for each different component. Here every module becomes a
netlist of its own, in which the components inside it are gone and what they were connected to are ports. So
each module is measured for its own logic alone, and the parts, each times its count, add up to the whole unit
as it would be if nothing were optimised across their borders.

A quantizer of whole blocks has no such hierarchy. Its parts are the steps of its datapath.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from ...hw.quantizer_config import QuantizerConfig
from ...synth.netlist import Netlist
from .priced_unit import PricedUnit

__all__ = ["REST", "Part", "module_roles", "parts_of", "take_apart"]

REST: Final = "own logic and registers"
"""Role of what stands in the unit's own module, and in none of its components.

Of most units that is registers and what controls them; where a datapath is not divided into modules, as in a
serial quantizer, it is the datapath too.
"""

# The name of every part's module, so that equal components are equal texts.
_TOP: Final = "part"
_MODULE: Final = re.compile(r"^module \\(\S+)\n(.*?)^end\n", re.MULTILINE | re.DOTALL)
_CELL: Final = re.compile(r"^  cell \\(\S+) \\(\S+)\n(.*?)^  end\n", re.MULTILINE | re.DOTALL)
_PORT: Final = re.compile(
    r"^  wire (?:width (\d+) )?(input|output) (\d+) +(?:signed )?\\(\S+)$", re.MULTILINE
)
_CONNECTION: Final = re.compile(r"^    connect \\(\S+) (.+)$", re.MULTILINE)
_NUMBER: Final = re.compile(r"_\d+$")


class _Port(NamedTuple):
    name: str
    direction: Literal["input", "output"]
    width: int


@dataclass(frozen=True)
class Part:
    """One component of a unit.

    Attributes:
        role: What it is in the unit: its instances' name without their numbers, behind that of the component
            that it is in, if it is in one; the name of a quantizer's step; `REST` for the unit's own logic.
        count: How many instances there are.
        ports: Its ports with their widths: ``a 4, b 4 -> negative 1, magnitude 8``; those to the components
            inside it are left out. Of a quantizer's numbered ports the widths are added up.
        netlist: Its own logic.
    """

    role: str
    count: int
    ports: str
    netlist: Netlist


def parts_of(unit: PricedUnit, order: int, rtlil: str, top: str) -> list[Part]:
    """Return the parts of a unit in an order of its adders, as `take_apart` does.

    Args:
        unit: The unit.
        order: The order in which it was made.
        rtlil: Its netlist.
        top: Name of the netlist's top module.

    Raises:
        ValueError: If there is no such module.
    """
    if isinstance(unit, QuantizerConfig) and not unit.serial:
        return _step_parts(replace(unit, order=order))
    return take_apart(rtlil, top)


def _step_parts(config: QuantizerConfig) -> list[Part]:
    """Return the steps of a quantizer of whole blocks, and the unit without them."""
    # Amaranth is loaded for it.
    from ...hw.quantizer_parts import PART_TOP, quantizer_parts

    return [
        Part(
            part.step or REST,
            1,
            " -> ".join(_added_up(widths.items()) for widths in (part.inputs, part.outputs)),
            Netlist(part.rtlil, PART_TOP),
        )
        for part in quantizer_parts(config)
    ]


def _added_up(widths: Iterable[tuple[str, int]]) -> str:
    """Return ports with their widths, those that differ in a number behind their name as one."""
    found: Counter[str] = Counter()
    for name, width in widths:
        found[_NUMBER.sub("", name)] += width
    return ", ".join(f"{name} {width}" for name, width in found.items())


def take_apart(rtlil: str, top: str) -> list[Part]:
    """Return the parts of a unit, in the order in which they stand in its datapath, the unit's own last.

    Args:
        rtlil: The unit, as `to_rtlil` emits it.
        top: Name of its top module.

    Raises:
        ValueError: If there is no such module.
    """
    modules = {match[1]: match[2] for match in _MODULE.finditer(rtlil)}
    if top not in modules:
        raise ValueError(f"top must be a module of the netlist, not {top!r}")
    counts: Counter[tuple[str, str]] = Counter()
    for role, module in _instances(modules, top, ""):
        counts[role, module] += 1
    # Where components of one role differ, their modules tell them apart.
    kinds = Counter(role for role, _ in counts)
    names: Counter[str] = Counter()
    parts: list[Part] = []
    for (role, module), count in counts.items():
        names[role] += 1
        label = f"{role} {names[role]}" if kinds[role] > 1 else role
        parts.append(Part(label, count, _described(modules[module]), _own_logic(modules, module)))
    parts.append(Part(REST, 1, _described(modules[top]), _own_logic(modules, top)))
    return parts


def module_roles(rtlil: str, top: str) -> dict[str, str]:
    """Return the role of each module of a unit, of several the first; `take_apart` says what that is."""
    modules = {match[1]: match[2] for match in _MODULE.finditer(rtlil)}
    roles = {top: REST}
    for role, module in _instances(modules, top, ""):
        roles.setdefault(module, role)
    return roles


def _instances(modules: dict[str, str], module: str, within: str) -> Iterator[tuple[str, str]]:
    """Yield role and module of every component instance, those inside one behind it."""
    for cell in _CELL.finditer(modules[module]):
        if cell[1] in modules:
            role = within + _NUMBER.sub("", cell[2])
            yield role, cell[1]
            yield from _instances(modules, cell[1], f"{role}/")


def _ports(body: str) -> list[_Port]:
    found = sorted(_PORT.finditer(body), key=lambda match: int(match[3]))
    # The pattern has no third direction.
    return [_Port(match[4], match[2], int(match[1] or 1)) for match in found]  # type: ignore[arg-type]


def _described(body: str) -> str:
    ports = _ports(body)
    sides = (
        ", ".join(f"{port.name} {port.width}" for port in ports if port.direction == direction)
        for direction in ("input", "output")
    )
    return " -> ".join(sides)


def _own_logic(modules: dict[str, str], name: str) -> Netlist:
    """Return a module without the components in it, whose ports become its own, turned round."""
    body = modules[name]
    number = len(_ports(body))
    wires: list[str] = []
    connections: list[str] = []

    def turn(cell: re.Match[str]) -> str:
        nonlocal number
        if cell[1] not in modules:
            return cell[0]
        widths = {port.name: port for port in _ports(modules[cell[1]])}
        for port_name, signal in _CONNECTION.findall(cell[3]):
            port = widths[port_name]
            number += 1
            wire = f"\\inner${cell[2]}${port_name}"
            direction = "output" if port.direction == "input" else "input"
            wires.append(f"  wire width {port.width} {direction} {number} {wire}\n")
            target, source = (wire, signal) if port.direction == "input" else (signal, wire)
            connections.append(f"connect {target} {source}\n")
        return ""

    rest = _CELL.sub(turn, body)
    text = f"module \\{_TOP}\n{''.join(wires)}{rest}{''.join(connections)}end\n"
    return Netlist(text, _TOP)
