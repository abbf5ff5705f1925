"""What the command line shows: tables and progress to a person, JSON to a program, errors in one line."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

__all__ = ["ResultTable", "console", "fixed", "print_json", "progress_bar", "table"]

# A file or a pipe has no width of its own: no table is as wide as this, so none is cut or folded there.
_PIPE_WIDTH: Final = 100_000
# Prose is not folded into columns narrower than this: a table with a line for each word is no help.
_PROSE_LEAST: Final = 16
# What a table adds to its columns: a border and two spaces for each, and one border more.
_BORDER: Final = 3
# The lines of a table that are no rows.
_FRAME: Final = 4
# Where a cell that is longer than its line begins, row by row.
_INDENT: Final = 4

_errors: Final = Console(stderr=True)


def console() -> Console:
    """Return the console that results are printed to: the standard output of this moment.

    It is as wide as the terminal, or as the variable COLUMNS says; without either, no line is cut.
    """
    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else _PIPE_WIDTH
    # No markup: what is printed has units and names of files in brackets.
    return Console(width=wide, markup=False, highlight=False, soft_wrap=False)


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals; one that rounds to zero has no sign."""
    return f"{value:z.{digits}f}"


class ResultTable:
    """A table of results that loses nothing on a narrow terminal.

    Where its columns do not fit side by side, prose is broken at spaces. Where that is not enough, the
    columns are shown in several tables, each of which begins with the columns that say what a row is, or each
    row as a list of its cells, whichever takes fewer lines. A line under the table says so.

    Args:
        title: The line above it; empty for none.
        columns: Heads of the columns. One that ends in ``>`` holds numbers, which are aligned to the right;
            one that ends in ``~`` holds prose, which may be broken at spaces.
        keys: How many columns, the first ones, say what a row is. Where there are several, the first is left
            out where it is that of the row above.
    """

    def __init__(self, title: str, *columns: str, keys: int = 1) -> None:
        self.title = title
        self._heads = [name.rstrip(">~") for name in columns]
        self._numbers = [name.endswith(">") for name in columns]
        self._prose = [name.endswith("~") for name in columns]
        self._keys = keys
        self._sections: list[list[tuple[str, ...]]] = [[]]

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return sum(map(len, self._sections))

    def add_row(self, *cells: str) -> None:
        """Add a row, with a cell for every column."""
        if len(cells) != len(self._heads):
            raise ValueError(f"cells must be {len(self._heads)}, one for each column, not {len(cells)}")
        self._sections[-1].append(cells)

    def add_section(self) -> None:
        """Draw a line under the rows so far."""
        if self._sections[-1]:
            self._sections.append([])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what is printed."""
        if self.title:
            yield Text(self.title, style="bold")
        room = options.max_width
        natural = [self._width(k) for k in range(len(self._heads))]
        every = range(len(self._heads))
        whole = _table_width(natural)
        how = ""
        if whole <= room:
            yield self._table(every, natural)
        elif (widths := self._narrowed(every, natural, room)) is not None:
            yield self._table(every, widths)
        elif (parts := self._parts(natural, room)) is not None and self._parts_are_shorter(len(parts)):
            for part, widths in parts:
                yield self._table(part, widths)
            how = f"in {len(parts)} parts"
        else:
            yield from self._stacked(room)
            how = "row by row"
        if how:
            yield Text(f"Shown {how}: it needs {whole} columns, and there are {room}.", style="dim")

    def _cells(self, column: int) -> Iterator[str]:
        yield self._heads[column]
        for section in self._sections:
            for row in section:
                yield row[column]

    def _width(self, column: int) -> int:
        return max(cell_len(line) for cell in self._cells(column) for line in cell.splitlines() or [""])

    def _least(self, column: int, natural: int) -> int:
        """Return how narrow a column may become: prose as its longest word, others not at all."""
        if not self._prose[column]:
            return natural
        words = max((cell_len(word) for cell in self._cells(column) for word in cell.split()), default=0)
        return min(natural, max(words, _PROSE_LEAST))

    def _narrowed(self, columns: Sequence[int], natural: Sequence[int], room: int) -> list[int] | None:
        """Return widths of columns that fit once prose is broken; None if they do not fit even so."""
        widths = [self._least(k, natural[k]) for k in columns]
        spare = room - _table_width(widths)
        if spare < 0:
            return None
        for index, k in enumerate(columns):
            more = min(spare, natural[k] - widths[index])
            widths[index] += more
            spare -= more
        return widths

    def _parts(self, natural: Sequence[int], room: int) -> list[tuple[list[int], list[int]]] | None:
        """Return columns that fit side by side, all of them with the keys before; None if that cannot be."""
        keys = list(range(self._keys))
        parts: list[tuple[list[int], list[int]]] = []
        for k in range(self._keys, len(self._heads)):
            before = parts[-1][0] if parts else keys
            for columns in ([*before, k], [*keys, k]):
                widths = self._narrowed(columns, natural, room)
                if widths is not None:
                    if parts and columns[:-1] == before and len(before) > len(keys):
                        parts[-1] = columns, widths
                    else:
                        parts.append((columns, widths))
                    break
            else:
                return None
        return parts

    def _parts_are_shorter(self, parts: int) -> bool:
        """Return whether several tables, with their borders and heads, take fewer lines than lists do."""
        rows = self.row_count
        return parts * (rows + _FRAME) <= rows * (1 + len(self._heads) - self._keys)

    def _shown(self, section: Sequence[tuple[str, ...]]) -> Iterator[list[str]]:
        """Yield the rows of a section, each without its first key where that is the row's above."""
        above = None
        for row in section:
            cells = list(row)
            if self._keys > 1 and row[0] == above:
                cells[0] = ""
            above = row[0]
            yield cells

    def _table(self, columns: Sequence[int], widths: Sequence[int]) -> Table:
        made = Table(header_style="bold")
        for k, width in zip(columns, widths, strict=True):
            made.add_column(
                Text(self._heads[k]),
                justify="right" if self._numbers[k] else "left",
                width=width,
                overflow="fold",
            )
        for section in self._sections:
            for row in self._shown(section):
                made.add_row(*(Text(row[k]) for k in columns))
            made.add_section()
        return made

    def _stacked(self, room: int) -> Iterator[RenderableType]:
        """Yield each row as its keys, and under them a line for each cell that is not empty."""
        beside = range(self._keys, len(self._heads))
        wide = max((cell_len(self._heads[k]) for k in beside), default=0)
        for section in self._sections:
            for row in section:
                yield Text(" ".join(key for key in row[: self._keys] if key), style="bold", overflow="fold")
                for k in beside:
                    if not row[k]:
                        continue
                    head = self._heads[k]
                    line = f"  {head}{' ' * (wide - cell_len(head))}  {row[k]}"
                    if cell_len(line) <= room:
                        yield Text(line)
                    else:
                        yield Text(f"  {head}", overflow="fold")
                        yield Padding(Text(row[k], overflow="fold"), (0, 0, 0, _INDENT))


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + _BORDER * len(widths) + 1


def table(title: str, *columns: str, keys: int = 1) -> ResultTable:
    """Return an empty table; see `ResultTable`."""
    return ResultTable(title, *columns, keys=keys)


def print_json(value: Any) -> None:
    """Print dataclasses, or lists and dictionaries of them, as JSON with two spaces of indent."""

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        if isinstance(item, PurePath):
            return str(item)
        raise TypeError(f"cannot write {type(item).__name__} as JSON")

    sys.stdout.write(json.dumps(value, indent=2, default=plain) + "\n")


@contextmanager
def progress_bar(description: str, total: float | None) -> Iterator["Reporter"]:
    """Show a bar on standard error while the block runs; call what it yields to move it."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=_errors,
        transient=True,
        disable=not _errors.is_terminal,
    ) as progress:
        yield Reporter(progress, progress.add_task(description, total=total, detail=""))


class Reporter:
    """Moves one progress bar."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress = progress
        self._task = task

    def __call__(
        self, done: float, total: float | None = None, detail: str = "", *, description: str | None = None
    ) -> None:
        """Set how much is done, of how much, a word on what it is about, and what is being done."""
        self._progress.update(self._task, completed=done, total=total, detail=detail, description=description)
