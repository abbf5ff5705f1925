import csv
import json

import pytest
from blockdot.lab.reports.records import markdown_lines, plain_json, write_records

ROWS = [
    {"name": "a|b", "count": 3, "error": 0.1 + 0.2, "note": None},
    {"name": "c, d", "count": 12, "error": float("inf"), "note": None},
]


def test_csv_holds_every_digit(tmp_path):
    write_records(tmp_path / "r.csv", ROWS, {})
    with (tmp_path / "r.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["name"] for row in read] == ["a|b", "c, d"]
    assert [float(row["error"]) for row in read] == [0.1 + 0.2, float("inf")]
    assert read[0]["note"] == ""


def test_markdown_is_a_table_that_reads_as_it_stands(tmp_path):
    write_records(tmp_path / "r.md", ROWS, {})
    assert (tmp_path / "r.md").read_text() == (
        "| name | count | error | note |\n"
        "|------|------:|------:|-----:|\n"
        "| a\\|b |     3 |   0.3 |      |\n"
        "| c, d |    12 |   inf |      |\n"
    )


def test_json_has_no_infinity(tmp_path):
    write_records(tmp_path / "r.json", ROWS, {"rows": ROWS, "pair": (1, float("nan"))})
    read = json.loads((tmp_path / "r.json").read_text())
    assert read["rows"][0]["error"] == 0.1 + 0.2
    assert read["rows"][1]["error"] is None
    assert read["pair"] == [1, None]
    assert (
        plain_json({"deep": [{"x": float("-inf")}]})
        == '{\n  "deep": [\n    {\n      "x": null\n    }\n  ]\n}\n'
    )


@pytest.mark.parametrize("suffix", [".csv", ".md"])
def test_no_rows_make_an_empty_file(tmp_path, suffix):
    write_records(tmp_path / f"r{suffix}", [], {})
    assert (tmp_path / f"r{suffix}").read_bytes() == b""


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_records(path, ROWS, {"what": object()})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_markdown_without_padding_and_with_a_bar_in_a_cell():
    assert list(markdown_lines(("unit", "a|b"), [("x", "1"), ("y|z", "22")])) == [
        "| unit | a\\|b |",
        "|---|--:|",
        "| x | 1 |",
        "| y\\|z | 22 |",
    ]
