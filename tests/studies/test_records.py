"""Stored results: one record a line."""

import json
from pathlib import Path

import pytest
from messages import whole

from studies.records import read_stored, write_stored

STORED = {"version": 3, "rows": [{"unit": "a", "area": 1.5}, {"unit": "b", "netlists": [0, 2]}], "tiles": []}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stored.jsonl"
    write_stored(path, "make something", STORED)
    heading, *records = map(json.loads, path.read_text().splitlines())
    assert heading == {
        "generated": "by `make something`; do not edit", "version": 3, "tables": {"rows": 2, "tiles": 0},
    }  # fmt: skip
    assert records == [{"table": "rows", **row} for row in STORED["rows"]]
    assert read_stored(path) == STORED


def test_a_file_that_lost_a_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stored.jsonl"
    write_stored(path, "make something", STORED)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=whole(f"{path} must have 2 records of rows, not 1")):
        read_stored(path)


@pytest.mark.parametrize(
    "text", ["", "[]\n", "{}\n", '{"generated": "", "tables": {}}\n{"table": "x"}\n', "no"]
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stored.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path} must be stored results, "):
        read_stored(path)


@pytest.mark.parametrize("name", ["ledger.jsonl", "volume.jsonl", "answer/results.jsonl"])
def test_what_is_kept_says_what_makes_it(name: str) -> None:
    path = Path(__file__).parents[2] / "studies" / name
    lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["generated"].startswith("by `make ")
    assert len(lines) == 1 + sum(json.loads(lines[0])["tables"].values())
