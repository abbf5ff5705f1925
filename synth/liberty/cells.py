"""One cell of a library: its group read, checked, and brought to one form."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from .boolean import CellFunction
from .syntax import LibertyError, LibertyGroup
from .tables import DELAY_TABLES, Templates, complete_all

__all__ = ["COMBINATIONAL_TYPES", "CellKind", "ClockEdge", "LibraryCell", "is_figure", "read_cell"]

CellKind = Literal["gate", "flip_flop", "latch", "other"]
ClockEdge = Literal["rising", "falling"]

COMBINATIONAL_TYPES: Final = ("", "combinational", "combinational_rise", "combinational_fall")
"""The timing types of a gate's delays: the last two have one edge of the output each."""

# Without one it is told by the function.
_SENSES: Final = ("", "positive_unate", "negative_unate", "non_unate")

_BUNDLED: Final = ("bus", "bundle", "ff_bank", "latch_bank", "statetable")
_DIRECTIONS: Final = frozenset(("input", "output", "inout", "internal"))
_FIGURES: Final = (
    "capacitance", "rise_capacitance", "fall_capacitance", "max_capacitance", "max_transition",
)  # fmt: skip
_DELAYS: Final = frozenset(("cell_rise", "cell_fall"))
_TRANSITIONS: Final = frozenset(("rise_transition", "fall_transition"))
# A truth table of more inputs is long, and no buffer or NAND2 has them.
_TABLE_INPUTS: Final = 6


@dataclass(frozen=True)
class LibraryCell:
    """One cell of a library.

    Attributes:
        name: Its name.
        area: Its area, in the library's area unit.
        inputs: Its input pins.
        functions: Its output pins that have one, each with its Boolean function as the file writes it.
        kind: ``gate``, ``flip_flop``, ``latch``, or ``other``: what no design can be mapped to (a filler, a
            clock gate, a memory, a pad, a three-state driver).
        plain_flip_flop: Whether it is a D flip-flop and nothing more: no enable, scan, set or reset.
        dont_use: Whether tools are to leave it alone: the file says so, or whoever chose the cells.
        clock_edge: The edge of its clock at which a flip-flop takes up its next state; None where its clock
            is no single pin.
    """

    name: str
    area: float
    inputs: tuple[str, ...]
    functions: tuple[tuple[str, str], ...]
    kind: CellKind
    plain_flip_flop: bool = False
    dont_use: bool = False
    clock_edge: ClockEdge | None = None

    @property
    def sequential(self) -> bool:
        """Whether it holds a bit."""
        return self.kind in ("flip_flop", "latch")

    @property
    def usable(self) -> bool:
        """Whether a design can be mapped to it."""
        return self.kind != "other" and bool(self.functions) and not self.dont_use

    @cached_property
    def truth_table(self) -> int | None:
        """The function of a gate of one output and at most six inputs; None for any other cell.

        Bit i is the output where each input, the first of `inputs` lowest, has the value of its bit of i.
        """
        if self.kind != "gate" or len(self.functions) != 1 or len(self.inputs) > _TABLE_INPUTS:
            return None
        return _table(CellFunction(self.functions[0][1]), self.inputs)


def _table(function: CellFunction, inputs: tuple[str, ...]) -> int:
    rows = range(1 << len(inputs))
    columns = {
        pin: sum(1 << row for row in rows if row >> position & 1) for position, pin in enumerate(inputs)
    }
    return function.evaluate(columns, (1 << len(rows)) - 1)


def read_cell(
    group: LibertyGroup, templates: Templates, defaults: Mapping[str, str] | None = None
) -> LibraryCell:
    """Return a cell, with area NaN where the file gives none.

    The group is brought to the form that every reader of it relies on: a pin has one name, `related_pin` has
    blanks between its names, every delay and constraint table has its own indices, and an input pin without
    a capacitance has the library's default one.

    Args:
        group: The cell's group, which is changed.
        templates: The table templates of its file.
        defaults: The attributes of its library.

    Raises:
        LibertyError: If the cell is not sound.
    """
    if len(group.names) != 1:
        raise LibertyError(f"a cell has the name {group.argument!r}", group.position)
    name = group.argument
    _split_pins(group)
    pins = list(group.of("pin"))
    bundled = any(group.of(*_BUNDLED))
    for pin in pins:
        direction = pin.attributes.get("direction")
        if direction not in _DIRECTIONS and not bundled:
            shown = "no direction" if direction is None else f"the direction {direction!r}"
            raise LibertyError(f"cell {name} has {shown} at its pin {pin.argument}", pin.position)
        for figure in _FIGURES:
            if figure in pin.attributes and not is_figure(pin.attributes[figure]):
                raise LibertyError(
                    f"cell {name} has the {figure} {pin.attributes[figure]!r} at its pin {pin.argument}",
                    pin.position,
                )
        if direction == "input" and "default_input_pin_cap" in (defaults or {}):
            pin.attributes.setdefault("capacitance", (defaults or {})["default_input_pin_cap"])
    inputs = tuple(pin.argument for pin in pins if pin.attributes.get("direction") == "input")
    functions = tuple(
        (pin.argument, pin.attributes["function"])
        for pin in pins
        if pin.attributes.get("direction") == "output" and "function" in pin.attributes
    )
    _check_attributes(group)
    kind = _kind(group, pins, inputs, bundled=bundled)
    _check_arcs(group, pins, templates, kind)
    flip_flops = list(group.of("ff"))
    return LibraryCell(
        name=name,
        area=_area(group),
        inputs=inputs,
        functions=functions,
        kind=kind,
        plain_flip_flop=kind == "flip_flop" and len(flip_flops) == 1 and _is_plain(flip_flops[0], inputs),
        dont_use=group.attributes.get("dont_use", "").lower() == "true",
        clock_edge=_clock_edge(flip_flops[0], inputs) if kind == "flip_flop" else None,
    )


def _split_pins(group: LibertyGroup) -> None:
    """Make pins that share a group (``pin (A, B)``) groups of their own."""
    if any(len(pin.names) != 1 for pin in group.of("pin")):
        split: list[LibertyGroup] = []
        for inner in group.groups:
            if inner.kind != "pin":
                split.append(inner)
                continue
            if not inner.names:
                raise LibertyError(f"cell {group.argument} has a pin without a name", inner.position)
            split += [
                LibertyGroup("pin", pin, dict(inner.attributes), inner.groups, inner.position)
                for pin in inner.names
            ]
        group.groups[:] = split
    known: set[str] = set()
    for pin in group.of("pin"):
        if pin.argument in known:
            raise LibertyError(f"cell {group.argument} has its pin {pin.argument} twice", pin.position)
        known.add(pin.argument)


def is_figure(text: str) -> bool:
    """Return whether a text is a number that is not negative and not infinite."""
    try:
        # float() takes 1_000 for a number; Liberty does not.
        return 0 <= float(text) < math.inf and "_" not in text
    except ValueError:
        return False


def _check_attributes(group: LibertyGroup) -> None:
    name = group.argument
    dont_use = group.attributes.get("dont_use", "false")
    if dont_use.lower() not in ("true", "false"):
        raise LibertyError(
            f"cell {name} has a dont_use that is neither true nor false: {dont_use!r}", group.position
        )
    strength = group.attributes.get("drive_strength", "0")
    if not is_figure(strength):
        raise LibertyError(f"cell {name} has the drive_strength {strength!r}", group.position)
    powers = [("cell_leakage_power", group, group.attributes.get("cell_leakage_power", "0"))]
    powers += [
        ("leakage_power", power, power.attributes.get("value", "0")) for power in group.of("leakage_power")
    ]
    for what, holder, value in powers:
        # Some are negative: a state may give back what another takes.
        if not is_figure(value.removeprefix("-")):
            raise LibertyError(f"cell {name} has the {what} {value!r}", holder.position)
    for pin in group.of("pin"):
        for timing in pin.of("timing"):
            sense = timing.attributes.get("timing_sense", "")
            if sense not in _SENSES:
                raise LibertyError(
                    f"cell {name} has the timing_sense {sense!r} at its pin {pin.argument}", timing.position
                )


def _area(group: LibertyGroup) -> float:
    area = group.attributes.get("area")
    if area is None:
        return math.nan
    if not is_figure(area):
        raise LibertyError(f"cell {group.argument} has the area {area!r}", group.position)
    return float(area)


def _kind(
    group: LibertyGroup, pins: list[LibertyGroup], inputs: tuple[str, ...], *, bundled: bool
) -> CellKind:
    holders = list(group.of("ff", "latch"))
    if bundled or not (holders or any("function" in pin.attributes for pin in pins)):
        return "other"
    states = {state for holder in holders for state in holder.names}
    used: set[str] = set()
    for pin in pins:
        if "function" in pin.attributes:
            names = _names_in(group, pin, "function", f"at its pin {pin.argument}", pins, states)
            if pin.attributes["direction"] == "output":
                used |= names
    for holder in holders:
        for key in ("next_state", "clocked_on", "data_in", "enable", "clear", "preset"):
            if key in holder.attributes:
                used |= _names_in(group, holder, key, f"in its {holder.kind} group", pins, states)
    # What a function over its inputs and its state does not tell: a pad, an inner node, a bus keeper. And
    # an output that can let go of its net is no gate.
    if used - states - set(inputs) or any(
        "three_state" in pin.attributes or pin.attributes["direction"] == "inout" for pin in pins
    ):
        return "other"
    if not holders:
        outputs = [pin for pin in pins if pin.attributes["direction"] == "output"]
        return "gate" if any("function" in pin.attributes for pin in outputs) else "other"
    return "flip_flop" if any(group.of("ff")) else "latch"


def _names_in(
    cell: LibertyGroup, holder: LibertyGroup, key: str, where: str, pins: list[LibertyGroup], states: set[str]
) -> frozenset[str]:
    """Return the names in a function, which must be pins or states of its cell."""
    text = holder.attributes[key]
    try:
        names = CellFunction(text).names
    except ValueError:
        names = None
    if names is None or names - states - {pin.argument for pin in pins}:
        raise LibertyError(f"cell {cell.argument} has the {key} {text!r} {where}", holder.position)
    return names


def _check_arcs(
    group: LibertyGroup, pins: Iterable[LibertyGroup], templates: Templates, kind: CellKind
) -> None:
    name = group.argument
    known = {pin.argument for pin in group.of("pin")}
    seen: set[int] = set()
    for pin in pins:
        for arc in pin.of("timing"):
            if id(arc) in seen:
                continue
            seen.add(id(arc))
            complete_all(arc, templates, name)
            if kind == "other":
                continue
            related = arc.attributes.get("related_pin", "").replace(",", " ").split()
            tables = {table.kind for table in arc.of(*DELAY_TABLES)}
            if unknown := set(related) - known:
                raise LibertyError(
                    f"cell {name} has a delay from its missing pin {min(unknown)}", arc.position
                )
            if tables and not related:
                raise LibertyError(
                    f"cell {name} has a delay without related_pin at its pin {pin.argument}", arc.position
                )
            arc.attributes["related_pin"] = " ".join(related)
            if kind == "gate" and arc.attributes.get("timing_type", "") in COMBINATIONAL_TYPES:
                # abc takes the one edge's table for the other's where a group has no other.
                for one, other in ((_DELAYS, _TRANSITIONS), (_TRANSITIONS, _DELAYS)):
                    if tables & one and not tables & other:
                        raise LibertyError(
                            f"cell {name} has a {min(tables & one)} table without one of "
                            f"{' or '.join(sorted(other))} at its pin {pin.argument}",
                            arc.position,
                        )


def _stripped(text: str) -> str:
    return "".join(text.translate({ord("("): None, ord(")"): None}).split())


def _is_plain(flip_flop: LibertyGroup, inputs: tuple[str, ...]) -> bool:
    """Whether Yosys's dfflibmap takes it for a D flip-flop without anything else."""
    data, clock = (_stripped(flip_flop.attributes.get(name, "")) for name in ("next_state", "clocked_on"))
    pins = {text for pin in inputs for text in (pin, f"!{pin}", f"{pin}'")}
    return data in pins and clock in pins and not {"clear", "preset"} & flip_flop.attributes.keys()


def _clock_edge(flip_flop: LibertyGroup, inputs: tuple[str, ...]) -> ClockEdge | None:
    function = CellFunction(flip_flop.attributes.get("clocked_on", "0"))
    if len(function.names) != 1 or not function.names <= set(inputs):
        return None
    match _table(function, tuple(function.names)):
        case 0b10:
            return "rising"
        case 0b01:
            return "falling"
        case _:
            return None
