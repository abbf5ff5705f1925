"""Standard-cell libraries: what of their Liberty files decides an area and a delay.

Every statement of a file is read first, so that a broken file is refused before it can give a figure.
"""

import contextlib
import hashlib
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from ...base.plain_or_gzip import read_plain_or_gzip
from ..metric import Metric
from .cells import LibraryCell, is_figure, read_cell
from .syntax import LibertyError, LibertyGroup, parse_liberty
from .tables import Templates, complete_all, templates_of
from .written import library_head, written_cell

__all__ = ["Library", "LibraryFacts", "LibrarySource"]

# The time units that abc knows: it takes any other for a nanosecond.
_TIME_UNITS_PS: Final[Mapping[str, float]] = MappingProxyType(
    {"1ps": 1.0, "10ps": 10.0, "100ps": 100.0, "1ns": 1000.0}
)
_CAPACITANCE_UNITS_FF: Final[Mapping[str, float]] = MappingProxyType({"ff": 1.0, "pf": 1000.0})

# The library's own numbers that decide a figure; those of the second kind must not be zero.
_FIGURES: Final = (
    "default_input_pin_cap",
    "default_max_transition",
    *(f"slew_{end}_threshold_pct_{edge}" for end in ("lower", "upper") for edge in ("rise", "fall")),
)
_POSITIVE: Final = ("nom_voltage", "slew_derate_from_library")

_MARK: Final = b"\xef\xbb\xbf"

_NAND2: Final = 0b0111
_BUFFER: Final = 0b10
_INVERTER: Final = 0b01
_NAMES_SHOWN: Final = 5


@dataclass(frozen=True)
class LibrarySource:
    """One file of a library.

    Attributes:
        name: The file's name, without its folder.
        text: Its uncompressed contents.
        folder: Where it was read from; None where it is no file.
    """

    name: str
    text: bytes = field(repr=False)
    folder: Path | None = field(default=None, repr=False, compare=False)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the contents, in hexadecimal."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def decoded(self) -> str:
        """The contents as text."""
        return self.text.removeprefix(_MARK).decode("latin-1")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file, plain or gzip (told by its first bytes).

        Raises:
            FileNotFoundError: If there is no such file.
            IsADirectoryError: If it is a directory.
            ValueError: If it is a broken gzip file.
        """
        place = Path(path)
        data = read_plain_or_gzip(place, "Liberty file")
        return cls(place.name.removesuffix(".gz"), data, place.resolve().parent)


def _some(names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return ", ".join(known[:_NAMES_SHOWN]) + more


def _units(library: LibertyGroup) -> tuple[str, float]:
    """Return the time unit and the capacitance unit in fF; ValueErrors give the reason alone."""
    time = library.attributes.get("time_unit", "")
    match = re.fullmatch(r"([\d.]*)\s*(.*)", time, re.DOTALL)
    assert match is not None  # the pattern fits any text
    number, unit = match.groups()
    with contextlib.suppress(ValueError):
        number = f"{float(number):g}"
    plain = number + unit.lower()
    if plain not in _TIME_UNITS_PS:
        known = ", ".join(_TIME_UNITS_PS)
        raise LibertyError(f"its time_unit is {time!r}, of which abc knows none but {known}")
    load = library.attributes.get("capacitive_load_unit", "")
    number, unit, *more = (*(part.strip() for part in load.replace('"', " ").split(",")), "")
    try:
        capacitance = float(number) * _CAPACITANCE_UNITS_FF[unit.lower()]
    except (KeyError, ValueError):
        capacitance = math.nan
    if not 0 < capacitance < math.inf or any(more):
        shown = " ".join(load.split())
        raise LibertyError(f"its capacitive_load_unit is {shown!r}, and not a number of ff or pf")
    return plain, capacitance


def _check_attributes(library: LibertyGroup) -> None:
    known = library.attributes
    if "include_file" in known:
        # It may hold cells or templates: without it this is another library.
        raise LibertyError(f"it includes another file, {known['include_file']!r}, which is not read")
    for name in (*_FIGURES, *_POSITIVE):
        value = known.get(name, "1")
        if not is_figure(value) or (name in _POSITIVE and not float(value)):
            raise LibertyError(f"its {name} is {value!r}")


class _Home(NamedTuple):
    """The file that a cell is in, and the table templates there."""

    source: LibrarySource
    templates: Templates


def _line(group: LibertyGroup, source: LibrarySource) -> str:
    return f"{source.name!r} {LibertyError('', group.position).at(source.decoded).strip()}"


@contextlib.contextmanager
def _refused(source: LibrarySource) -> Iterator[None]:
    """Say of an error in a file which one it is, and which line."""
    try:
        yield
    except LibertyError as error:
        raise ValueError(
            f"Liberty file must be a readable Liberty file, not {source.name!r}: {error.at(source.decoded)}"
        ) from error


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
        left_out: The rules by which cells are not used, each with how many it names.
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
    left_out: tuple[str, ...] = ()


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
        left_out: The cells that no design is to be mapped to by choice, whatever the files say of them, with
            the rule that names them before each.
        corners: The same cells at other corners of the process, for netlists to be timed at as well.
        attributes: The library's own attributes; of several files, the first that has one counts.
        groups: The group of each cell, with the file that it is in.
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
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    corners: tuple["Library", ...] = field(default=(), repr=False, compare=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    groups: Mapping[str, tuple[LibertyGroup, "_Home"]] = field(
        default_factory=dict, repr=False, compare=False
    )

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
        units: dict[tuple[str, float], str] = {}
        attributes: dict[str, str] = {}
        cells: dict[str, LibraryCell] = {}
        groups: dict[str, tuple[LibertyGroup, _Home]] = {}
        for source in ordered:
            with _refused(source):
                library = parse_liberty(source.decoded)
                units.setdefault(_units(library), source.name)
                _check_attributes(library)
                home = _Home(source, templates_of(library))
                found = [
                    (read_cell(group, home.templates, library.attributes), group)
                    for group in library.of("cell")
                ]
            names.append(library.argument)
            attributes = library.attributes | attributes
            for cell, group in found:
                if cell.name in groups:
                    first, other = groups[cell.name]
                    raise ValueError(
                        f"cell {cell.name} must be in a library once, "
                        f"not in {_line(first, other.source)} and in {_line(group, source)}"
                    )
                groups[cell.name] = group, home
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
        ((time, capacitance),) = units
        made = cls(
            _common(names),
            tuple(ordered),
            MappingProxyType(cells),
            _TIME_UNITS_PS[time],
            capacitance,
            attributes=MappingProxyType(attributes),
            groups=MappingProxyType(groups),
        )
        made._require_cells()
        return made

    def without(self, rules: Mapping[str, Iterable[str]]) -> Self:
        """Return the library with cells that no design is to be mapped to.

        Args:
            rules: Their names, by a word for what names them.

        Raises:
            ValueError: If it does not have one, or is left without a NAND2, inverter or buffer.
        """
        left_out = dict(self.left_out) | {rule: tuple(names) for rule, names in rules.items()}
        names = {name for several in left_out.values() for name in several}
        if unknown := names - self.cells.keys():
            raise ValueError(f"cell must be one of library {self.name}, not {min(unknown)}")
        cells = {
            name: replace(cell, dont_use=cell.dont_use or name in names) for name, cell in self.cells.items()
        }
        made = replace(self, cells=MappingProxyType(cells), left_out=tuple(left_out.items()))
        made._require_cells()  # noqa: SLF001  of this class
        return made

    def with_corners(self, corners: Iterable["Library"]) -> Self:
        """Return the library with others that hold its cells at other corners of the process.

        Raises:
            ValueError: If two are of one name, or one lacks a cell or has it with another area or function.
        """
        names = [self.name]
        found: list[Library] = []
        for corner in corners:
            if corner.name in names:
                raise ValueError(f"corners must differ in name, not be {corner.name} twice")
            for name, cell in self.cells.items():
                other = corner.cells.get(name)
                if cell.usable and (other is None or not _same_cell(cell, other)):
                    told = "lack it" if other is None else "have another"
                    raise ValueError(f"corner {corner.name} must have cell {name} of {self.name}, not {told}")
            names.append(corner.name)
            alike = {name: getattr(self, name) for name in ("output_load_ff", "delay_unit", "delay_unit_ps")}
            found.append(replace(corner, area_unit=self.area_unit, **alike))
        return replace(self, corners=tuple(found))

    def _require_cells(self) -> None:
        # abc maps with nothing less.
        needed = {"a 2-input NAND": (2, _NAND2), "an inverter": (1, _INVERTER), "a buffer": (1, _BUFFER)}
        for what, function in needed.items():
            if not self._smallest(*function):
                rest = f" but {_some(rule for rule, _ in self.left_out)}" if self.left_out else ""
                raise ValueError(f"library must have {what}, not {_where(self.sources)}{rest} without one")

    def __reduce__(self) -> tuple[Any, ...]:
        # Its cells are read again where it is sent to: its files say all of them.
        changed = (self.output_load_ff, self.area_unit, self.delay_unit, self.delay_unit_ps, self.left_out)
        return _restored, (type(self), self.sources, *changed, self.corners)

    # What it has.

    def cell_group(self, name: str) -> LibertyGroup:
        """Return a cell's Liberty group, checked and in the form that `read_cell` leaves it in.

        Raises:
            ValueError: If the library does not have it, or a table of energies in it is not sound.
        """
        if name not in self.groups:
            raise ValueError(f"cell must be one of library {self.name}, not {name}")
        group, home = self.groups[name]
        with _refused(home.source):
            for pin in group.of("pin"):
                for power in pin.of("internal_power"):
                    complete_all(power, home.templates, name)
        return group

    @cached_property
    def mapping_text(self) -> str:
        """The library as Yosys and abc are to read it: see `liberty.written`.

        Raises:
            ValueError: If a gate has a delay over something other than slope and load.
        """
        usable = (cell for cell in self.cells.values() if cell.usable)
        cells: list[str] = []
        for cell in usable:
            group, home = self.groups[cell.name]
            with _refused(home.source):
                cells.extend(written_cell(cell, group))
        time_unit = next(name for name, ps in _TIME_UNITS_PS.items() if ps == self.time_unit_ps)
        head = library_head(self.name, time_unit, self.capacitance_unit_ff, self.attributes)
        return "\n".join((*head, *cells, "}", ""))

    @cached_property
    def key(self) -> str:
        """A SHA-256 over all that a figure of this library hangs on, in hexadecimal."""
        parts = (self.sha256, self.mapping_text, self.driving_cell.name, f"{self.output_load_ff:g}")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

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
        """The smallest plain D flip-flop; None in a library without one.

        One of the rising clock edge, at which designs work, goes before any of the falling one.
        """
        return min(
            (cell for cell in self.cells.values() if cell.plain_flip_flop and cell.usable),
            key=lambda cell: (cell.clock_edge != "rising", cell.area, cell.name),
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

    def reported_delay(self, ps: float) -> float:
        """Return a time in ps as `delay` reports it: in the library's unit, rounded to six digits."""
        return round(ps / self.delay_unit_ps, 6)

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
            left_out=tuple(f"{rule} ({len(names)})" for rule, names in self.left_out),
        )

    def nand2_equivalents(self, area: float) -> float:
        """Return an area in multiples of the library's smallest 2-input NAND."""
        return area / self.nand2.area


def _same_cell(one: LibraryCell, other: LibraryCell) -> bool:
    return (one.area, one.functions) == (other.area, other.functions)


def _restored(
    kind: type[Library],
    sources: tuple[LibrarySource, ...],
    output_load_ff: float,
    area_unit: str,
    delay_unit: str,
    delay_unit_ps: float,
    left_out: tuple[tuple[str, tuple[str, ...]], ...],
    corners: tuple[Library, ...],
) -> Library:
    return replace(
        kind.parse(*sources).without(dict(left_out)),
        output_load_ff=output_load_ff,
        area_unit=area_unit,
        delay_unit=delay_unit,
        delay_unit_ps=delay_unit_ps,
        corners=corners,
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
