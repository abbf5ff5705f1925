"""Liberty files: what of a standard-cell library decides an area and a delay.

The grammar (Liberty User Guide, volume 1): a group is ``name (arguments) { ... }``, a simple attribute
``name : value ;``, a complex one ``name (arguments) ;``. Yosys and abc read the files themselves, each
forgiving in its own way; here every statement of a file is read first, so that a broken file is refused
before it can give a figure.
"""

import gzip
import hashlib
import itertools
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from .metric import Metric

__all__ = [
    "CellFunction",
    "Kind",
    "LibertyGroup",
    "Library",
    "LibraryCell",
    "LibraryFacts",
    "LibrarySource",
    "read_group",
]

Kind = Literal["gate", "flip_flop", "latch", "other"]

# Strings are matched as well, so that what looks like a comment inside one is left alone.
_COMMENT: Final = re.compile(r'"[^"]*"|/\*.*?\*/|//[^\n]*', re.DOTALL)
_STATEMENT: Final = re.compile(
    r"""[\s\\;]*
    (?: ([A-Za-z_][\w.]*) \s*
        (?: : [ \t]* ("[^"]*"|[^;\n{}"]*)
          | \( ((?:[^()"]|"[^"]*")*) \) \s* (\{)? )
      | (\}) )""",
    re.VERBOSE,
)
_CELL: Final = re.compile(rb'\bcell\s*\(\s*"?([^\s")]+)"?\s*\)\s*\{')
_SPACE: Final = re.compile(r"[\s\\;]*")
# Liberty is ASCII. Comments, where names and copyright signs stand, are gone by the time this is asked.
_FOREIGN: Final = re.compile(r"[^\t\n\v\f\r -~]")
_UNQUOTED: Final = str.maketrans('"\\\n\r\t', "     ")

# Groups whose contents are looked at; of all others only the grammar is checked.
_BUNDLED: Final = frozenset(("bus", "bundle", "ff_bank", "latch_bank"))
_KEPT: Final = frozenset(("library", "cell", "pin", "ff", "latch", "statetable", "timing")) | _BUNDLED
_TABLES: Final = frozenset(("cell_rise", "cell_fall", "rise_transition", "fall_transition"))
_TEMPLATE: Final = "lu_table_template"
_INDEX: Final = re.compile(r"index_([1-3])")

# The time units that abc knows: it takes any other for a nanosecond.
_TIME_UNITS_PS: Final[Mapping[str, float]] = MappingProxyType(
    {"1ps": 1.0, "10ps": 10.0, "100ps": 100.0, "1ns": 1000.0}
)
_CAPACITANCE_UNITS_FF: Final[Mapping[str, float]] = MappingProxyType({"ff": 1.0, "pf": 1000.0})

# A truth table of more inputs is long, and no buffer or NAND2 has them.
_TABLE_INPUTS: Final = 6
_NAND2: Final = 0b0111
_BUFFER: Final = 0b10
_INVERTER: Final = 0b01
_NAMES_SHOWN: Final = 5

_TOKEN: Final = re.compile(r"\s*([A-Za-z_][\w.\[\]]*|[01()!'*&+|^])\s*")


class CellFunction:
    """A Liberty Boolean expression: ``!`` and postfix ``'`` bind tightest, then XOR, AND, OR.

    Raises:
        ValueError: If it has a character that is part of no such expression.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position = 0
        while position < len(text):
            token = _TOKEN.match(text, position)
            if token is None:
                raise ValueError(text)
            position = token.end()
            self._tokens.append(token[1])

    def evaluate(self, columns: Mapping[str, Any], every: Any) -> Any:
        """Return the truth table as an integer; `columns` holds that of each name, `every` that of 1.

        Anything that has Python's bitwise operators will do in an integer's place.

        Raises:
            ValueError: If the expression is none, or has a name that is not in `columns`.
        """
        self._position, self._columns, self._every = 0, columns, every
        value = self._or()
        if self._position != len(self._tokens):
            raise ValueError(self._text)
        return value

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _or(self) -> Any:
        value = self._and()
        while self._peek() in ("+", "|"):
            self._position += 1
            value |= self._and()
        return value

    def _and(self) -> Any:
        value = self._xor()
        while (token := self._peek()) and token not in ("+", "|", ")"):
            if token in ("*", "&"):
                self._position += 1
            value &= self._xor()  # operands side by side are an AND too
        return value

    def _xor(self) -> Any:
        value = self._operand()
        while self._peek() == "^":
            self._position += 1
            value ^= self._operand()
        return value

    def _operand(self) -> Any:
        token = self._peek()
        self._position += 1
        if token == "!":
            return self._every & ~self._operand()
        if token == "(":
            value = self._or()
            if self._peek() != ")":
                raise ValueError(self._text)
            self._position += 1
        elif token in ("0", "1"):
            value = self._every if token == "1" else 0
        elif token in self._columns:
            value = self._columns[token]
        else:
            raise ValueError(self._text)
        while self._peek() == "'":
            self._position += 1
            value = self._every & ~value
        return value


@dataclass(frozen=True)
class LibraryCell:
    """One cell of a library.

    Attributes:
        name: Its name.
        area: Its area, in the library's area unit.
        inputs: Its input pins.
        functions: Its output pins that have one, each with its Boolean function as the file writes it.
        kind: ``gate``, ``flip_flop``, ``latch``, or ``other`` (a filler, a clock gate, a memory).
        plain_flip_flop: Whether it is a D flip-flop and nothing more: no enable, scan, set or reset.
        dont_use: Whether the file tells tools to leave it alone.
    """

    name: str
    area: float
    inputs: tuple[str, ...]
    functions: tuple[tuple[str, str], ...]
    kind: Kind
    plain_flip_flop: bool = False
    dont_use: bool = False

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
        rows = range(1 << len(self.inputs))
        columns = {
            pin: sum(1 << row for row in rows if row >> position & 1)
            for position, pin in enumerate(self.inputs)
        }
        return CellFunction(self.functions[0][1]).evaluate(columns, (1 << len(rows)) - 1)


@dataclass
class LibertyGroup:
    """A Liberty group.

    Attributes:
        kind: Its name: ``cell``, ``pin``, ``timing``, ...
        argument: What stands in its parentheses.
        attributes: Its simple and complex attributes, the latter as they stand in their parentheses.
        groups: The groups in it.
    """

    kind: str
    argument: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list["LibertyGroup"] = field(default_factory=list)

    def of(self, *kinds: str) -> Iterator["LibertyGroup"]:
        """The groups in it of these kinds."""
        return (group for group in self.groups if group.kind in kinds)


@dataclass
class _Table:
    """A delay table while it is read: what its indices promise, and what its values hold."""

    kind: str
    depth: int
    sizes: dict[int, int]
    values: int = 0

    def expected(self) -> int:
        return math.prod(self.sizes.values())


def read_group(text: str) -> LibertyGroup:
    """Return the group that `text` begins with, and all that is in it; what follows it is not looked at.

    For the groups of a file that was read as a library before, and is known to be sound.

    Raises:
        ValueError: If it ends within the group.
    """
    text = _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else " ", text)
    stack = [LibertyGroup("", "")]
    position = 0
    while (statement := _STATEMENT.match(text, position)) is not None:
        position = statement.end()
        name, value, arguments, opens, closes = statement.groups()
        if closes:
            stack.pop()
            if len(stack) == 1:
                return stack[0].groups[0]
        elif value is not None:
            stack[-1].attributes[name] = value.strip().strip('"').strip()
        elif opens:
            inner = LibertyGroup(name, arguments.strip().strip('"').strip())
            stack[-1].groups.append(inner)
            stack.append(inner)
        else:
            stack[-1].attributes[name] = arguments
    raise ValueError("a group must have an end")


class _Reader:
    """Reads the text of one Liberty file into its library group; ValueErrors give the reason alone."""

    def __init__(self, text: str) -> None:
        # The line breaks stay, so that line numbers hold.
        self._text = _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else " " + "\n" * m[0].count("\n"), text)
        self._templates: dict[str, dict[int, int]] = {}

    def _at(self, position: int) -> str:
        return f"line {self._text.count(chr(10), 0, position) + 1}"

    def read(self) -> LibertyGroup:
        text = self._text
        if foreign := _FOREIGN.search(text):
            raise ValueError(f"byte 0x{ord(foreign[0]):02x} in {self._at(foreign.start())}")
        root = LibertyGroup("", "")
        # The open groups; None is one of which only the grammar is checked.
        stack: list[LibertyGroup | None] = [root]
        opened: list[int] = []
        table: _Table | None = None
        position = 0
        match = _STATEMENT.match
        while (statement := match(text, position)) is not None:
            position = statement.end()
            name, value, arguments, opens, closes = statement.groups()
            group = stack[-1]
            if closes:
                if not opened:
                    raise ValueError(f"a closing brace too many in {self._at(position)}")
                if table is not None and len(stack) == table.depth:
                    self._check(table, position)
                    table = None
                stack.pop()
                opened.pop()
            elif value is not None:
                if group is not None:
                    group.attributes[name] = value.strip().strip('"').strip()
            elif opens:
                opened.append(position)
                inner = None
                argument = arguments.strip().strip('"').strip()
                if group is not None:
                    if name in _KEPT:
                        inner = LibertyGroup(name, argument)
                        group.groups.append(inner)
                    elif group.kind == "timing" and name in _TABLES:
                        sizes = {} if argument == "scalar" else self._templates.get(argument, {})
                        table = _Table(name, len(stack) + 1, dict(sizes))
                    elif group.kind == "library" and name == _TEMPLATE:
                        self._templates[argument] = {}
                        table = _Table(name, len(stack) + 1, self._templates[argument])
                stack.append(inner)
            elif group is not None:
                group.attributes[name] = arguments
            elif table is not None and len(stack) == table.depth:
                if index := _INDEX.fullmatch(name):
                    table.sizes[int(index[1])] = self._numbers(arguments, position)
                elif name == "values":
                    table.values += self._numbers(arguments, position)
        if opened:
            if (start := _SPACE.match(text, position)) and start.end() == len(text):
                raise ValueError(f"the brace in {self._at(opened[-1])} is never closed")
            raise ValueError(self._broken(position))
        if (start := _SPACE.match(text, position)) and start.end() != len(text):
            raise ValueError(self._broken(position))
        libraries = list(root.of("library"))
        if len(libraries) != 1:
            raise ValueError(f"it has {len(libraries)} library groups")
        return libraries[0]

    def _broken(self, position: int) -> str:
        space = _SPACE.match(self._text, position)
        start = space.end() if space else position
        seen = self._text[start : start + 30].split("\n")[0].rstrip()
        return f"no statement starts with {seen!r} in {self._at(start)}"

    def _numbers(self, arguments: str, position: int) -> int:
        plain = arguments.translate(_UNQUOTED).strip().rstrip(",")
        parts = plain.split(",") if "," in plain else plain.split()
        try:
            total = math.fsum(map(float, parts))
        except (ValueError, OverflowError):
            total = math.nan
        # float() takes 1_000 for a number; Liberty does not.
        if not math.isfinite(total) or "_" in plain:
            raise ValueError(f"a table holds something other than numbers up to {self._at(position)}")
        return len(parts)

    def _check(self, table: _Table, position: int) -> None:
        if table.kind in _TABLES and table.values != table.expected():
            raise ValueError(
                f"a {table.kind} table of {table.values} values has indices for {table.expected()} "
                f"in {self._at(position)}"
            )


@dataclass(frozen=True)
class LibrarySource:
    """One file of a library.

    Attributes:
        name: The file's name, without its folder.
        text: Its uncompressed contents.
    """

    name: str
    text: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the contents, in hexadecimal."""
        return hashlib.sha256(self.text).hexdigest()

    @cached_property
    def _offsets(self) -> dict[str, int]:
        """Where each cell begins."""
        return {match[1].decode("latin-1"): match.start() for match in _CELL.finditer(self.text)}

    @property
    def head(self) -> str:
        """The text before the first cell."""
        return self.text[: min(self._offsets.values(), default=len(self.text))].decode("latin-1")

    def cell_text(self, name: str) -> str | None:
        """The text that begins with that cell and goes on to the next one; None if it is not in this file."""
        start = self._offsets.get(name)
        if start is None:
            return None
        following = _CELL.search(self.text, start + 1)
        return self.text[start : following.start() if following else None].decode("latin-1")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file, plain or gzip (told by its first bytes).

        Raises:
            FileNotFoundError: If there is no such file.
            IsADirectoryError: If it is a directory.
            ValueError: If it is a broken gzip file.
        """
        place = Path(path)
        if place.is_dir():
            raise IsADirectoryError(f"Liberty file must be a file, not the directory {str(place)!r}")
        if not place.exists():
            raise FileNotFoundError(f"Liberty file must exist, not {str(place)!r}")
        data = place.read_bytes()
        if data[:2] == b"\x1f\x8b":
            try:
                data = gzip.decompress(data)
            except (EOFError, OSError, zlib.error) as error:
                reason = str(error).rstrip(".")
                raise ValueError(
                    f"Liberty file must be a whole gzip file, not {str(place)!r}: {reason}"
                ) from error
        return cls(place.name.removesuffix(".gz"), data)


def _some(names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return ", ".join(known[:_NAMES_SHOWN]) + more


def _is_plain(flip_flop: LibertyGroup, inputs: tuple[str, ...]) -> bool:
    """Whether Yosys's dfflibmap takes it for a D flip-flop without anything else."""
    data, clock = (
        re.sub(r"[\s()]", "", flip_flop.attributes.get(name, "")) for name in ("next_state", "clocked_on")
    )
    pins = {text for pin in inputs for text in (pin, f"!{pin}", f"{pin}'")}
    return data in pins and clock in pins and not {"clear", "preset"} & flip_flop.attributes.keys()


def _cell(group: LibertyGroup) -> LibraryCell:
    """Return the cell, with area NaN where the file gives none; ValueErrors give the reason alone."""
    name = group.argument
    bundled = any(group.of(*_BUNDLED, "statetable"))
    pins = list(group.of("pin"))
    inputs = tuple(pin.argument for pin in pins if pin.attributes.get("direction") == "input")
    functions = tuple(
        (pin.argument, pin.attributes["function"])
        for pin in pins
        if pin.attributes.get("direction") == "output" and "function" in pin.attributes
    )
    flip_flops, latches = list(group.of("ff")), list(group.of("latch"))
    kind: Kind
    if bundled:
        kind = "other"
    elif flip_flops or latches:
        kind = "flip_flop" if flip_flops else "latch"
    else:
        kind = "gate" if functions else "other"
    states = {
        state.strip().strip('"').strip()
        for holder in flip_flops + latches
        for state in holder.argument.split(",")
    }
    if kind != "other":
        known = {pin.argument for pin in pins} | states
        for pin, text in functions:
            try:
                CellFunction(text).evaluate(dict.fromkeys(known, 0), 1)
            except ValueError:
                raise ValueError(f"cell {name} has the function {text!r} at its pin {pin}") from None
        for pin in pins:
            for arc in pin.of("timing"):
                related = arc.attributes.get("related_pin", "").split()
                if unknown := set(related) - known:
                    raise ValueError(f"cell {name} has a delay from its missing pin {min(unknown)}")
    area = group.attributes.get("area")
    try:
        value = math.nan if area is None else float(area)
    except ValueError:
        value = math.inf
    if math.isinf(value) or value < 0:
        raise ValueError(f"cell {name} has the area {area!r}")
    return LibraryCell(
        name=name,
        area=value,
        inputs=inputs,
        functions=functions,
        kind=kind,
        plain_flip_flop=kind == "flip_flop" and len(flip_flops) == 1 and _is_plain(flip_flops[0], inputs),
        dont_use=group.attributes.get("dont_use", "").lower() == "true",
    )


def _units(library: LibertyGroup) -> tuple[float, float]:
    """Return the time unit in ps and the capacitance unit in fF; ValueErrors give the reason alone."""
    time = library.attributes.get("time_unit", "")
    if time not in _TIME_UNITS_PS:
        known = ", ".join(_TIME_UNITS_PS)
        raise ValueError(f"its time_unit is {time!r}, of which abc knows none but {known}")
    load = library.attributes.get("capacitive_load_unit", "")
    number, _, unit = (part.strip().strip('"').strip() for part in load.partition(","))
    try:
        capacitance = float(number) * _CAPACITANCE_UNITS_FF[unit.lower()]
    except (KeyError, ValueError):
        raise ValueError(f"its capacitive_load_unit is {load!r}, and not a number of ff or pf") from None
    return _TIME_UNITS_PS[time], capacitance


@dataclass(frozen=True)
class LibraryFacts:
    """What a record of results says of the library they hold for.

    Attributes:
        name: The library's name.
        files: Names of its files.
        sha256: The hash of their contents.
        area_unit: Unit of its areas.
        delay_unit: Unit in which delays are reported.
        nand2: Its smallest 2-input NAND.
        nand2_area: That cell's area.
        driving_cell: What drives each input of a design.
        output_load_ff: What each output of a design drives, in fF.
    """

    name: str
    files: tuple[str, ...]
    sha256: str
    area_unit: str
    delay_unit: str
    nand2: str
    nand2_area: float
    driving_cell: str
    output_load_ff: float


@dataclass(frozen=True)
class Library:
    """A standard-cell library, from one Liberty file or from several that form one.

    Attributes:
        name: Its name; of several files, what their libraries' names have in common, with a ``*``.
        sources: Its files.
        cells: Its cells by name; cells without a function and without an area are left out.
        time_unit_ps: The files' unit of time, in ps.
        capacitance_unit_ff: The files' unit of capacitance, in fF.
        output_load_ff: What each output of a design drives, in fF.
        area_unit: The unit of every area. Liberty does not state one; by custom it is um2.
        delay_unit: The unit in which delays are reported.
        delay_unit_ps: That unit, in ps.
    """

    name: str
    sources: tuple[LibrarySource, ...] = field(repr=False)
    cells: Mapping[str, LibraryCell] = field(repr=False, compare=False)
    time_unit_ps: float
    capacitance_unit_ff: float
    output_load_ff: float = 5.0
    area_unit: str = "um2"
    delay_unit: str = "ns"
    delay_unit_ps: float = 1000.0

    @classmethod
    def read(cls, *paths: str | os.PathLike[str]) -> Self:
        """Read a library from its Liberty files, plain or gzip.

        Raises:
            FileNotFoundError: If a file is not there.
            IsADirectoryError: If one is a directory.
            ValueError: If a file is not a Liberty file or a broken one, if its time or load unit is missing
                or one that abc does not know, if a cell that a design could be mapped to has no area, if
                there is no NAND2, inverter or buffer, or if the files do not go together.
        """
        if not paths:
            raise ValueError("library must have at least one Liberty file, not none")
        return cls.parse(*(LibrarySource.load(path) for path in paths))

    @classmethod
    def parse(cls, *sources: LibrarySource) -> Self:
        """Make a library of the contents of its files; raises as `read` does."""
        # Tools see the files in this order, whatever order they were given in.
        ordered = sorted(sources, key=lambda source: (source.name, source.sha256))
        names: list[str] = []
        units: dict[tuple[float, float], str] = {}
        cells: dict[str, LibraryCell] = {}
        homes: dict[str, str] = {}
        for source in ordered:
            try:
                library = _Reader(source.text.decode("latin-1")).read()
                units.setdefault(_units(library), source.name)
                found = [_cell(group) for group in library.of("cell")]
            except ValueError as error:
                raise ValueError(
                    f"Liberty file must be a readable Liberty file, not {source.name!r}: {error}"
                ) from error
            names.append(library.argument)
            for cell in found:
                if cell.name in homes:
                    raise ValueError(
                        f"cell {cell.name} must be in a library once, "
                        f"not in {homes[cell.name]!r} and in {source.name!r}"
                    )
                homes[cell.name] = source.name
                if cell.kind != "other" or not math.isnan(cell.area):
                    cells[cell.name] = cell
        if len(units) > 1:
            raise ValueError(
                f"files of a library must have the same units, not different ones in {_some(units.values())}"
            )
        # Free gates: abc would use them, and the sum of areas would not show it. Latches are used by nobody.
        free = [
            cell.name for cell in cells.values() if cell.usable and cell.kind != "latch" and not cell.area > 0
        ]
        if free:
            raise ValueError(f"cell must have an area, not none as in {_where(ordered)}: {_some(free)}")
        (time, capacitance), *_ = units
        made = cls(_common(names), tuple(ordered), MappingProxyType(cells), time, capacitance)
        # abc maps with nothing less.
        needed = {"a 2-input NAND": (2, _NAND2), "an inverter": (1, _INVERTER), "a buffer": (1, _BUFFER)}
        for what, function in needed.items():
            if not made._smallest(*function):
                raise ValueError(f"library must have {what}, not {_where(ordered)} without one")
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        # Its cells are read again where it is sent to: its files say all of them.
        changed = (self.output_load_ff, self.area_unit, self.delay_unit, self.delay_unit_ps)
        return _restored, (type(self), self.sources, *changed)

    # What it has.

    @cached_property
    def sha256(self) -> str:
        """A SHA-256 over the contents of all files, in hexadecimal; their names and order do not count."""
        digests = sorted(source.sha256 for source in self.sources)
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @cached_property
    def nand2(self) -> LibraryCell:
        """The smallest 2-input NAND, told by its function: the yardstick of areas."""
        return self._smallest(2, _NAND2)[0]

    @cached_property
    def driving_cell(self) -> LibraryCell:
        """The buffer that is taken to drive every input of a design: one of the second size there is."""
        buffers = self._smallest(1, _BUFFER)
        areas = sorted({cell.area for cell in buffers})
        second = areas[min(1, len(areas) - 1)]
        # Among equals a plain buffer bears the shortest name: clkbuf_2, lpflow_clkbufkapwr_2, buf_2.
        return min((cell for cell in buffers if cell.area == second), key=lambda c: (len(c.name), c.name))

    @cached_property
    def flip_flop(self) -> LibraryCell | None:
        """The smallest plain D flip-flop; None in a library without one."""
        return min(
            (cell for cell in self.cells.values() if cell.plain_flip_flop and cell.usable),
            key=lambda cell: (cell.area, cell.name),
            default=None,
        )

    def _smallest(self, inputs: int, table: int) -> list[LibraryCell]:
        """The usable gates of that function, smallest first."""
        return sorted(
            (
                cell
                for cell in self.cells.values()
                if cell.usable and len(cell.inputs) == inputs and cell.truth_table == table
            ),
            key=lambda cell: (cell.area, len(cell.name), cell.name),
        )

    # Figures.

    @property
    def area(self) -> Metric:
        """Area as this library states it."""
        return Metric("area", self.area_unit, "lower", 1)

    @property
    def delay(self) -> Metric:
        """Delay as it is reported for this library."""
        return Metric("delay", self.delay_unit, "lower", 3 if self.delay_unit == "ns" else 2)

    @cached_property
    def facts(self) -> LibraryFacts:
        """What a record of results says of this library."""
        return LibraryFacts(
            name=self.name,
            files=tuple(source.name for source in self.sources),
            sha256=self.sha256,
            area_unit=self.area_unit,
            delay_unit=self.delay_unit,
            nand2=self.nand2.name,
            nand2_area=self.nand2.area,
            driving_cell=self.driving_cell.name,
            output_load_ff=self.output_load_ff,
        )

    def nand2_equivalents(self, area: float) -> float:
        """Return an area in multiples of the library's smallest 2-input NAND."""
        return area / self.nand2.area


def _restored(
    kind: type[Library],
    sources: tuple[LibrarySource, ...],
    output_load_ff: float,
    area_unit: str,
    delay_unit: str,
    delay_unit_ps: float,
) -> Library:
    return replace(
        kind.parse(*sources),
        output_load_ff=output_load_ff,
        area_unit=area_unit,
        delay_unit=delay_unit,
        delay_unit_ps=delay_unit_ps,
    )


def _where(sources: Iterable[LibrarySource]) -> str:
    return " and ".join(repr(source.name) for source in sources)


def _common(names: list[str]) -> str:
    """Return what names have in common, at both ends: ``a*c`` of ``abc`` and ``axc``."""
    if len(set(names)) == 1:
        return names[0]
    prefix = _prefix(names)
    return f"{prefix}*{_prefix([name[len(prefix) :][::-1] for name in names])[::-1]}"


def _prefix(names: Iterable[str]) -> str:
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)
