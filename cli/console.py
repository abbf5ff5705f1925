"""What the command line shows: tables and progress to a person, JSON to a program, errors in one line."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

__all__ = ["console", "print_json", "progress_bar", "table"]

# A table is for a terminal or for a file; a pipe has no width of its own, and 80 would cut the columns.
_PIPE_WIDTH: Final = 140

_errors: Final = Console(stderr=True)


def console() -> Console:
    """Return the console that results are printed to: the standard output of this moment."""
    wide = None if sys.stdout.isatty() else _PIPE_WIDTH
    # No markup: what is printed has units and names of files in brackets.
    return Console(width=wide, markup=False, highlight=False, soft_wrap=False)


def table(title: str, *columns: str) -> Table:
    """Return an empty table; a column whose name ends in ``>`` is aligned to the right and not broken."""
    made = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold")
    for name in columns:
        right = name.endswith(">")
        made.add_column(
            name.rstrip(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    return made


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

    def __call__(self, done: float, total: float | None = None, detail: str = "") -> None:
        """Set how much is done, of how much, and a word on what it is about."""
        self._progress.update(self._task, completed=done, total=total, detail=detail)
