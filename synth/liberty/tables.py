"""Delay, constraint and energy tables: their indices, and that they hold what these promise."""

import functools
import itertools
import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from .syntax import LibertyError, LibertyGroup

__all__ = [
    "CONSTRAINT_TABLES",
    "DELAY_TABLES",
    "Axes",
    "Templates",
    "axes_of",
    "complete",
    "numbers",
    "templates_of",
]

Templates = Mapping[str, LibertyGroup]
"""A file's table templates by name."""

DELAY_TABLES: Final = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
CONSTRAINT_TABLES: Final = ("rise_constraint", "fall_constraint")
_POWER_TABLES: Final = ("rise_power", "fall_power", "power")
_TEMPLATES: Final = ("lu_table_template", "power_lut_template")
_SCALAR: Final = "scalar"
_INDICES: Final = ("index_1", "index_2", "index_3")
# Behind the comma that ends a row there may be another row, or none.
_ROW: Final = re.compile(r'"[^"]*"|[^\s",][^",]*(?:,[^",]+)*')
_SLOPES: Final = frozenset(("input_net_transition", "input_transition_time"))
_LOADS: Final = frozenset(("total_output_net_capacitance",))


def templates_of(library: LibertyGroup) -> Templates:
    """Return the table templates of a library group, wherever in it they stand.

    Raises:
        LibertyError: If two that differ have the same name and kind.
    """
    known: dict[str, LibertyGroup] = {}
    for group in library.of(*_TEMPLATES):
        other = known.setdefault(group.argument, group)
        if other.kind == group.kind and other.attributes != group.attributes:
            raise LibertyError(f"it has two templates {group.argument}, which differ,", group.position)
        known[group.argument] = group
    return known


def complete(table: LibertyGroup, templates: Templates, cell: str) -> None:
    """Give a table the indices and variables of its template, and check it.

    Raises:
        LibertyError: If its template is not known, an index or the values are no numbers, an index does not
            rise, or there are more or fewer values than the indices promise.
    """
    attributes = table.attributes
    what = f"cell {cell} has a {table.kind} table"
    name = table.argument
    if name and name != _SCALAR:
        template = templates.get(name)
        if template is None:
            raise LibertyError(f"{what} of the unknown template {name!r}", table.position)
        for key, value in template.attributes.items():
            attributes.setdefault(key, value)
    expected = 1
    if name != _SCALAR:
        for index in _INDICES:
            if index in attributes:
                points = _index(attributes[index])
                if points is None:
                    raise LibertyError(
                        f"{what} whose {index} is not numbers that rise: {_shown(attributes[index])}",
                        table.position,
                    )
                expected *= len(points)
    values = attributes.get("values", "")
    count = _count(values)
    if count is None:
        raise LibertyError(f"{what} that holds something other than numbers", table.position)
    if count != expected:
        raise LibertyError(f"{what} of {count} values with indices for {expected}", table.position)


def _count(values: str) -> int | None:
    """Return how many numbers a table has; None if something in it is none.

    Rows are strings, and what is in one has commas or blanks between: a lost comma must not pass for a blank.
    """
    parts: list[str] = values.replace('"', " ").replace("\\", " ").split(",")
    try:
        total = sum(map(float, parts))
    except ValueError:
        parts = []
        for row in _ROW.findall(values.replace("\\", " ")):
            plain = row.strip('"').strip()
            parts += plain.removesuffix(",").split(",") if "," in plain else plain.split()
        try:
            total = sum(map(float, parts))
        except ValueError:
            return None
    # float() takes 1_000 for a number; Liberty does not.
    return len(parts) if math.isfinite(total) and "_" not in values else None


def complete_all(holder: LibertyGroup, templates: Templates, cell: str) -> None:
    """Complete every table of delays and constraints in a timing group, or of energies in a power group."""
    for table in holder.of(*DELAY_TABLES, *CONSTRAINT_TABLES, *_POWER_TABLES):
        complete(table, templates, cell)


def numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of an index or of a table that was checked."""
    return tuple(map(float, _parts(text)))


def _parts(text: str) -> list[str]:
    return text.replace('"', " ").replace(",", " ").replace("\\", " ").split()


def _shown(text: str) -> str:
    return repr(" ".join(_parts(text))[:30])


@functools.lru_cache(maxsize=1024)
def _index(text: str) -> tuple[float, ...] | None:
    """Return an index's points; None if they are not numbers, each greater than the one before."""
    if _count(text) is None:
        return None
    points = numbers(text)
    rising = all(one < two for one, two in itertools.pairwise(points))
    return points if points and rising else None


class Axes(NamedTuple):
    """A delay table by the slope of the input, then by the load of the output.

    Attributes:
        slopes: The slopes, as the file writes them; empty where the table does not ask for them.
        loads: The loads, likewise.
        rows: The values of each slope.
    """

    slopes: tuple[str, ...]
    loads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def axes_of(table: LibertyGroup, cell: str) -> Axes:
    """Return what a complete delay table holds.

    Raises:
        LibertyError: If it is a table over something other than the input's slope and the output's load.
    """
    attributes = table.attributes
    values = tuple(_parts(attributes["values"]))
    if table.argument == _SCALAR or "index_1" not in attributes:
        return Axes((), (), (values,))
    variables = [attributes.get(f"variable_{place}", "") for place in (1, 2)]
    first = tuple(_parts(attributes["index_1"]))
    second = tuple(_parts(attributes["index_2"])) if "index_2" in attributes else ()
    kinds = tuple(
        "slope" if variable in _SLOPES else "load" if variable in _LOADS else variable
        for variable, index in zip(variables, (first, second), strict=True)
        if index
    )
    if "index_3" not in attributes:
        columns = max(len(second), 1)
        rows = tuple(values[row * columns : (row + 1) * columns] for row in range(len(first)))
        # A table without a template has the usual order.
        if kinds in (("slope", "load"), ("slope",)) or not any(kinds):
            return Axes(first, second, rows)
        if kinds == ("load",):
            return Axes((), first, (values,))
        if kinds == ("load", "slope"):
            return Axes(second, first, tuple(zip(*rows, strict=True)))
    names = " and ".join(name for name in variables if name) or "three variables"
    raise LibertyError(f"cell {cell} has a {table.kind} table over {names}", table.position)
