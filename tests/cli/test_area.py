import gzip
import json

import pytest
from blockdot.cli.area import _units

SMALL = ("--block-size", 2, "--accumulate", "none", "--orders", 2)


def test_costs_and_differences_are_printed_with_their_spread(blockdot):
    done = blockdot("area", *SMALL)
    assert done.code == 0
    assert "e2m1_ue4m3_n2_none_s0" in done.out
    assert "e2m1_ue5m3_n2_none_s0" in done.out
    assert " ± " in done.out


def test_json_holds_costs_deltas_and_what_they_were_measured_with(blockdot):
    record = json.loads(blockdot("area", *SMALL, "--json").out)
    assert record["schema"] == "blockdot.area"
    (record,) = record["results"]
    assert [cost["unit"] for cost in record["costs"]] == ["e2m1_ue4m3_n2_none_s0", "e2m1_ue5m3_n2_none_s0"]
    assert record["library"]["name"] == "neutral"
    area = next(delta for delta in record["deltas"] if delta["metric"]["name"] == "area")
    base, other = (cost["area"]["values"] for cost in record["costs"])
    assert area["absolute"]["values"] == pytest.approx([b - a for a, b in zip(base, other, strict=True)])


def test_asked_again_answers_the_same_from_what_was_kept(blockdot, tmp_path):
    first = blockdot("area", *SMALL, "--json").out
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "build" / "synthesis").rglob("*")}
    assert blockdot("area", *SMALL, "--json").out == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "build" / "synthesis").rglob("*")} == kept


def test_one_format_alone_has_a_cost_and_no_difference(blockdot):
    record = json.loads(blockdot("area", "--scale", "ue8m0", *SMALL, "--json").out)
    (record,) = record["results"]
    assert len(record["costs"]) == 1
    assert record["deltas"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--orders", 1], "orders must be at least 2 for an error bar, not 1"),
        (["--accumulate", "most"], "accumulate must be one of "),
        (["--scale", "ue4m3", "--scale", "ue4m3"], "scales must differ, not be ue4m3, ue4m3"),
        (["--liberty", "nowhere.lib"], "nowhere.lib"),
        (["--library", "nothing"], "library must be one of neutral"),
        (["--output", "report.pdf"], "report must end in one of .json, .csv, .md, .html, not 'report.pdf'"),
        (["--compare", "old.json"], "No such file or directory: old.json"),
        (["--threshold", -1], "threshold must not be negative, not -1"),
        (["--optimise", "fun"], "optimise must be area or delay, not 'fun'"),
        (["--delay-target", 0, *SMALL], "delay targets must be positive, not 0"),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert message in refused("area", *arguments)


@pytest.mark.parametrize("name", ["junk.lib", "junk.lib.gz"])
def test_refuses_a_liberty_file_that_is_none(refused, tmp_path, name):
    junk = b"module not_a_library(); endmodule\n"
    (tmp_path / name).write_bytes(gzip.compress(junk) if name.endswith(".gz") else junk)
    assert "'junk.lib'" in refused("area", "--liberty", name)


def test_lists_of_everything_are_all_combined_and_what_does_not_matter_is_left_out():
    units = _units(
        ["e2m1"], ["ue4m3", "ue5m3xue4m3"], [2, 4], [1], ["none", "exact"], [4, 8], [None, 2], ["area"]
    )
    names = [unit.name for unit in units]
    # The guard bits are no matter without an exact accumulator; neither is an option given twice.
    assert len(names) == len(set(names)) == 2 * 2 * (1 + 2) * 2
    assert names[:4] == [
        "e2m1_ue4m3_n2_none_s0",
        "e2m1_ue5m3xue4m3_n2_none_s0",
        "e2m1_ue4m3_n2_none_s2",
        "e2m1_ue5m3xue4m3_n2_none_s2",
    ]


def test_a_report_is_what_a_later_run_is_held_against(blockdot, tmp_path):
    done = blockdot("area", *SMALL, "-o", "out/old.json", "-o", "out/table.csv", "-o", "out/page.html")
    assert done.code == 0
    assert (tmp_path / "out" / "table.csv").read_text().startswith("library,unit,")
    same = blockdot("area", *SMALL, "--compare", "out/old.json")
    assert same.code == 0
    assert "+0.00 %" in same.out
    old = json.loads((tmp_path / "out" / "old.json").read_text())
    for cost in old["results"][0]["costs"]:
        cost["area"]["median"] *= 0.95
    (tmp_path / "grown.json").write_text(json.dumps(old))
    grown = blockdot("area", *SMALL, "--compare", "grown.json")
    assert grown.code == 1
    assert grown.err == "blockdot: +5.26 % is past the threshold of 1 %\n"
    assert blockdot("area", *SMALL, "--compare", "grown.json", "--threshold", 6).code == 0
