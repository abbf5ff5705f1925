"""Records as text and as files: CSV, JSON and Markdown, by the file's suffix."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...base.whole_files import write_whole

__all__ = ["RECORDS", "csv_text", "markdown_lines", "plain_json", "write_records"]

RECORDS: Final = (".csv", ".json", ".md")
"""Suffixes that `write_records` writes."""


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
            text = csv_text(list(rows[0]), rows) if rows else ""
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


def csv_text(heads: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return records as CSV, with a line of heads; a record that lacks one of them has an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_lines(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[bool] | None = None,
    padded: bool = False,
) -> Iterator[str]:
    """Yield the lines of a Markdown table, without line ends.

    Args:
        heads: The heads of the columns.
        rows: The cells of each row.
        numbers: Which columns are aligned to the right; all but the first where it is None.
        padded: Whether cells are filled with spaces, so that columns stand straight in the text as well.
    """
    right = [k > 0 for k in range(len(heads))] if numbers is None else list(numbers)
    table = [[cell.replace("|", "\\|") for cell in row] for row in (heads, *rows)]
    widths = [max(3, *(len(row[k]) for row in table)) if padded else 0 for k in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(cells)} |"

    yield line(table[0])
    rules = (
        "-" * (max(width, 1) + 1) + (":" if number else "-")
        for width, number in zip(widths, right, strict=True)
    )
    yield f"|{'|'.join(rules)}|"
    yield from map(line, table[1:])


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return records as a table that reads well as it stands too; numbers have six significant digits."""
    if not rows:
        return ""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.6g}"
        return "" if value is None else str(value)

    heads = list(rows[0])
    numbers = [all(isinstance(row[head], int | float | None) for row in rows) for head in heads]
    cells = [[cell(row[head]) for head in heads] for row in rows]
    return "".join(f"{line}\n" for line in markdown_lines(heads, cells, numbers=numbers, padded=True))
