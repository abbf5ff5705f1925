import gzip
import json

import pytest

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
    assert len(record["costs"]) == 1
    assert record["deltas"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--orders", 1], "orders must be at least 2 for an error bar, not 1"),
        (["--accumulate", "most"], "accumulate must be one of "),
        (["--scale", "ue4m3", "--scale", "ue4m3"], "units must differ, not be "),
        (["--liberty", "nowhere.lib"], "nowhere.lib"),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert message in refused("area", *arguments)


@pytest.mark.parametrize("name", ["junk.lib", "junk.lib.gz"])
def test_refuses_a_liberty_file_that_is_none(refused, tmp_path, name):
    junk = b"module not_a_library(); endmodule\n"
    (tmp_path / name).write_bytes(gzip.compress(junk) if name.endswith(".gz") else junk)
    assert "'junk.lib'" in refused("area", "--liberty", name)
