"""Stored results: JSON Lines, one record a line, so that a change of one result is a change of one line.

The first line is the heading. It says which command makes the file, and how many records of each table
follow. Each further line is one record, with the name of its table.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from blockdot.base.whole_files import write_whole

__all__ = ["StoredRecord", "joined", "read_stored", "write_stored"]

StoredRecord = dict[str, Any]
"""A JSON object."""


def write_stored(path: Path, made_by: str, stored: Mapping[str, Any]) -> None:
    """Write results, as a whole file or not at all.

    Args:
        path: The file.
        made_by: The command that makes it.
        stored: What is kept: values that are lists of records are tables, all others belong to the heading.

    Raises:
        OSError: If the file cannot be written.
    """
    tables: dict[str, Sequence[StoredRecord]] = {
        name: value for name, value in stored.items() if isinstance(value, list)
    }
    heading = {
        "generated": f"by `{made_by}`; do not edit",
        **{name: value for name, value in stored.items() if name not in tables},
        "tables": {name: len(records) for name, records in tables.items()},
    }
    lines = [heading]
    lines += [{"table": name, **record} for name, records in tables.items() for record in records]
    write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_stored(path: Path) -> StoredRecord:
    """Return what `write_stored` wrote.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not such a file, or lacks records that its heading promises.
    """
    try:
        heading, *records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        counts: dict[str, int] = heading.pop("tables")
        del heading["generated"]
        tables: dict[str, list[StoredRecord]] = {name: [] for name in counts}
        for record in records:
            tables[record.pop("table")].append(record)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be stored results, a JSON record a line: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"{path} must be stored results, not an empty file") from error
    for name, count in counts.items():
        if len(tables[name]) != count:
            raise ValueError(f"{path} must have {count} records of {name}, not {len(tables[name])}")
    return heading | tables


def joined(old: Iterable[StoredRecord], new: Iterable[StoredRecord]) -> list[StoredRecord]:
    """Return records of units, each new one in the place of that of the same library and unit, or behind."""
    return list({(row["library"], row["unit"]): row for row in (*old, *new)}.values())
