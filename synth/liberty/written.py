"""A library written again for Yosys and abc, with all that they read of it and nothing else.

Each of the two reads Liberty in its own way: comments, unquoted functions, a brace on the next line, tables
of several sizes or one without a template end one of them, and what they do read may be more than was asked
for (abc adds wires where a library has a ``default_wire_load``). What they get has

- the cells that a design can be mapped to: gates with their delays, flip-flops and latches with what they
  hold (neither tool reads their times);
- every string in quotes, every function with its operators in parentheses (abc lets ``^`` bind less than
  Liberty does), every table with indices of its own, by the input's slope and then the output's load;
- one timing group for each pin that an output follows, as abc knows no list of pins;
- no wires, no power, no comment.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from .boolean import CellFunction
from .cells import COMBINATIONAL_TYPES, LibraryCell
from .syntax import LibertyGroup
from .tables import DELAY_TABLES, Axes, axes_of

__all__ = ["library_head", "written_cell"]

_PICO: Final = 1000.0
_HOLDERS: Final = ("ff", "latch")
_HELD: Final = ("clocked_on", "next_state", "enable", "data_in", "clear", "preset")
_PRESETS: Final = ("clear_preset_var1", "clear_preset_var2")
_INPUT: Final = ("capacitance", "rise_capacitance", "fall_capacitance")
_OUTPUT: Final = ("max_capacitance", "max_transition")


def library_head(
    name: str, time_unit: str, capacitance_unit_ff: float, attributes: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines before the first cell.

    Args:
        name: The library's name.
        time_unit: Its unit of time, such as ``1ns``.
        capacitance_unit_ff: Its unit of capacitance, in fF.
        attributes: Its own attributes, of which the largest slope is kept.
    """
    load = "1,pf" if capacitance_unit_ff == _PICO else f"{capacitance_unit_ff:.17g},ff"
    yield f"library ({_quoted(name)}) {{"
    yield "  delay_model : table_lookup;"
    yield f"  time_unit : {_quoted(time_unit)};"
    yield f"  capacitive_load_unit ({load});"
    if "default_max_transition" in attributes:
        yield f"  default_max_transition : {attributes['default_max_transition']};"


def written_cell(cell: LibraryCell, group: LibertyGroup) -> Iterator[str]:
    """Yield the lines of a cell, whose group has the form that `read_cell` leaves it in.

    Raises:
        LibertyError: If it has a delay over something other than slope and load.
    """
    yield f'  cell ("{cell.name}") {{'
    # A latch may have none; nothing is mapped to it.
    yield f"    area : {group.attributes.get('area', '0')};"
    if "drive_strength" in group.attributes:
        yield f"    drive_strength : {group.attributes['drive_strength']};"
    for holder in group.of(*_HOLDERS):
        yield f"    {holder.kind} ({', '.join(_quoted(state) for state in holder.names)}) {{"
        for key in _HELD:
            if key in holder.attributes:
                yield f"      {key} : {_quoted(_function(holder.attributes[key]))};"
        for key in _PRESETS:
            if key in holder.attributes:
                yield f"      {key} : {_quoted(holder.attributes[key])};"
        yield "    }"
    functions = dict(cell.functions)
    for pin in group.of("pin"):
        if pin.argument in cell.inputs:
            yield f"    pin ({_quoted(pin.argument)}) {{"
            yield "      direction : input;"
            yield from (f"      {key} : {pin.attributes[key]};" for key in _INPUT if key in pin.attributes)
            yield "    }"
        elif pin.argument in functions:
            yield f"    pin ({_quoted(pin.argument)}) {{"
            yield "      direction : output;"
            yield f"      function : {_quoted(_function(functions[pin.argument]))};"
            yield from (f"      {key} : {pin.attributes[key]};" for key in _OUTPUT if key in pin.attributes)
            if cell.kind == "gate":
                yield from _arcs(cell.name, pin)
            yield "    }"
    yield "  }"


def _quoted(text: str) -> str:
    return f'"{text}"'


def _function(text: str) -> str:
    return str(CellFunction(text))


def _arcs(cell: str, pin: LibertyGroup) -> Iterator[str]:
    for related, sense, tables in _whole(pin):
        yield "      timing () {"
        yield f"        related_pin : {_quoted(related)};"
        if sense:
            yield f"        timing_sense : {sense};"
        for kind in DELAY_TABLES:
            if kind in tables:
                yield from _table(kind, axes_of(tables[kind], cell))
        yield "      }"


_Tables = dict[str, LibertyGroup]


def _whole(pin: LibertyGroup) -> list[tuple[str, str, _Tables]]:
    """Return the delays of a gate's output: the pin that each is from, its sense, and its tables.

    A file may have the delays to a rising and to a falling output in two groups. abc takes what a group has
    for both edges, so the two are put together; where there are more of one, it takes the greater anyway.
    """
    whole: list[tuple[str, str, _Tables]] = []
    halves: dict[tuple[str, str], tuple[list[_Tables], list[_Tables], list[_Tables]]] = {}
    for arc in pin.of("timing"):
        tables = {table.kind: table for table in arc.of(*DELAY_TABLES)}
        if not tables or arc.attributes.get("timing_type", "") not in COMBINATIONAL_TYPES:
            continue
        sense = arc.attributes.get("timing_sense", "")
        for related in arc.attributes["related_pin"].split():
            if "cell_rise" in tables and "cell_fall" in tables:
                whole.append((related, sense, tables))
                continue
            if (related, sense) not in halves:
                halves[related, sense] = [], [], []
            rises, falls, pairs = halves[related, sense]
            (rises if "cell_rise" in tables else falls).append(tables)
            if len(pairs) < max(len(rises), len(falls)):
                pairs.append({})
                whole.append((related, sense, pairs[-1]))
    for rises, falls, pairs in halves.values():
        for place, pair in enumerate(pairs):
            for edges in (rises, falls):
                if edges:
                    pair.update(edges[min(place, len(edges) - 1)])
    return whole


def _table(kind: str, axes: Axes) -> Iterator[str]:
    # abc looks between two points each way; a table that does not ask for one is the same at both.
    slopes = axes.slopes if len(axes.slopes) > 1 else ("0", "1")
    loads = axes.loads if len(axes.loads) > 1 else ("0", "1")
    rows = axes.rows if len(axes.rows) == len(slopes) else axes.rows * len(slopes)
    yield f"        {kind} () {{"
    yield f"          index_1 ({_quoted(', '.join(slopes))});"
    yield f"          index_2 ({_quoted(', '.join(loads))});"
    written = (row if len(row) == len(loads) else row * len(loads) for row in rows)
    yield f"          values ({', '.join(_quoted(', '.join(row)) for row in written)});"
    yield "        }"
