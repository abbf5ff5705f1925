"""Records to files: CSV, JSON and Markdown, by the file's suffix."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..base.whole_files import write_whole

__all__ = ["RECORDS", "check_outputs", "plain_json", "write_records"]

RECORDS: Final = (".csv", ".json", ".md")
"""Suffixes that `write_records` writes."""


def check_outputs(paths: Sequence[Path], suffixes: Sequence[str]) -> None:
    """Raise ValueError for an output that could not be written, before any work is done for it."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise ValueError(f"output must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}, not {path}")
        if not path.parent.is_dir():
            raise ValueError(f"output must be in a folder that exists, not {path}")
        if path.is_dir():
            raise ValueError(f"output must be a file, not the folder {path}")
    for path in paths:
        if sum(path == other for other in paths) > 1:
            raise ValueError(f"outputs must differ, not be {path} twice")


def write_records(path: Path, rows: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> None:
    """Write records, all or nothing.

    Args:
        path: A file that ends in one of `RECORDS`.
        rows: What CSV and Markdown hold: records of the same keys, which head the columns.
        document: What JSON holds.

    Raises:
        OSError: If the file cannot be written.
    """
    match path.suffix.lower():
        case ".csv":
            text = _csv(rows)
        case ".md":
            text = _markdown(rows)
        case _:
            text = plain_json(document)
    write_whole(path, text)


def plain_json(value: Any) -> str:
    """Return JSON; a number that it has not, such as infinity, becomes null."""

    def plain(item: Any) -> Any:
        match item:
            case float() if not math.isfinite(item):
                return None
            case Mapping():
                return {key: plain(one) for key, one in item.items()}
            case list() | tuple():
                return [plain(one) for one in item]
        return item

    return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table that reads well as it stands too; numbers have six significant digits."""
    if not rows:
        return ""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.6g}"
        return "" if value is None else str(value).replace("|", "\\|")

    heads = list(rows[0])
    numbers = [all(isinstance(row[head], int | float | None) for row in rows) for head in heads]
    table = [heads, *([cell(row[head]) for head in heads] for row in rows)]
    widths = [max(3, *(len(line[k]) for line in table)) for k in range(len(heads))]

    def lined(line: Sequence[str]) -> str:
        cells = (
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, numbers, strict=True)
        )
        return f"| {' | '.join(cells)} |\n"

    rule = "".join(
        f"|{'-' * (width + 1)}{':' if number else '-'}" for width, number in zip(widths, numbers, strict=True)
    )
    return lined(heads) + rule + "|\n" + "".join(map(lined, table[1:]))
