import copy
import csv
import itertools
import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from blockdot.lab.cost import unit_energy
from messages import whole

from studies.answer import measure as answer
from studies.answer import measured_rows
from studies.answer.cost_chart import CostBar, cost_chart
from studies.answer.file_names import COST_PICTURE, FIGURES, PAGE, UNITS_PAGE, WORTH_PICTURE
from studies.answer.measure import ROUNDS, MeasuringRound, main, measure_answer
from studies.answer.page import answer_files
from studies.answer.picture import draw_answer
from studies.quality_against_cost.picture import PICTURE as QUALITY_PICTURE
from studies.records import StoredRecord, read_stored
from studies.todays_netlist import marked_rows, netlist_by_name

SMALL = MeasuringRound(
    orders=2, block_sizes=(2,), accumulates=("none",), stages=(0,), energy_orders=2, tile=(1, 2)
)


def pages(stored: dict[str, Any]) -> str:
    """The text of both pages."""
    files = answer_files(stored)
    return files[PAGE] + files[UNITS_PAGE]


@pytest.fixture(scope="module")
def kept() -> list[int]:
    """How many rows there were each time that results were kept."""
    return []


@pytest.fixture(scope="module")
def stored(synthesis_cache: Path, kept: list[int]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        tensors = np.random.default_rng(1).normal(0, 0.01, (2, 16, 64)).astype(np.float32)
        patch.setattr(unit_energy, "real_tensors", lambda: tuple(tensors))
        patch.setattr(measured_rows, "real_tensors", lambda: tuple(tensors))
        found = measure_answer(
            ["neutral"],
            [
                SMALL,
                replace(SMALL, scales=("ue4m3", "ue5m3"), energy_orders=0, tile=None, seed=1),
                replace(SMALL, scales=("ue4m3", "ue5m3"), curve=True, targets=(75.0, 90.0)),
            ],
            cache=synthesis_cache,
            workers=1,
            lanes=8,  # few vectors will do to see that there are some
            keep=lambda record: kept.append(len(record["rows"])),
        )
    return json.loads(json.dumps(found))


def test_every_scale_is_measured_and_held_against_ue4m3(stored):
    rows = {row["scale"][0]: row for row in stored["rows"]}
    assert list(rows) == ["ue4m3", "ue5m3", "ue4m4", "ue8m0"]
    assert rows["ue4m3"]["deltas"] == {}
    assert set(rows["ue5m3"]["deltas"]) == {"area", "delay", "period"}
    assert set(rows["ue5m3"]["attribution"]["parts"]) >= {"scale", "normalise"}
    # The significand of UE4M4 is a bit longer, that of UE8M0 is none.
    assert rows["ue8m0"]["area"] < rows["ue4m3"]["area"] < rows["ue4m4"]["area"]
    for row in stored["rows"]:
        for energy in row["energy"].values():
            assert energy["total"] >= energy["settled"] > 0


def test_what_there_is_is_kept_as_it_comes(stored, kept):
    assert kept == [len(stored["rows"])] * 3 == [4, 4, 4]
    assert [row["unit"] for row in stored["again"]] == [row["unit"] for row in stored["rows"][:2]]
    assert [row["orders"] for row in stored["again"]] == [[2, 4]] * 2
    assert [row["unit"] for row in stored["tiles"]] == [
        "array1x2_e2m1_ue4m3_n2_none_s0", "array1x2_e2m1_ue5m3_n2_none_s0",
    ]  # fmt: skip
    # A product of a tile shares the decoding of its row with the other, and is still a unit.
    assert 0.5 < stored["tiles"][0]["area"] / stored["rows"][0]["area"] < 1.5


def test_the_bit_at_equal_delay(stored):
    (curve,) = stored["curves"]
    assert (curve["base"], curve["unit"]) == ("e2m1_ue4m3_n2_none_s0", "e2m1_ue5m3_n2_none_s0")
    (row,) = (row for row in stored["rows"] if row["unit"] == curve["unit"])
    assert curve["netlist"] == row["netlist"]
    assert len(curve["points"]) > 1
    text = pages(stored)
    for before, point in itertools.pairwise(curve["points"]):
        assert before["delay"] < point["delay"]
        assert before["area"] >= point["area"]
    for point in curve["points"]:
        # Of two netlists the medians are means, but that of ratios is not the ratio of means.
        assert point["delta"]["mean"] == pytest.approx(100 * (point["area"] / point["base"] - 1), abs=0.5)
        assert f"at {point['delay']:.4g} FO4" in text.replace("`neutral` | ", "at ")
    assert "at equal delay" not in pages(stored | {"curves": []})


def test_the_page_says_what_was_stored(stored):
    text = pages(stored)
    assert "of gates after synthesis. Placement, wires and clock trees are not in them." in text
    assert "## What was not measured" in text
    figures = list(csv.DictReader(StringIO(answer_files(stored)[FIGURES])))
    assert [line["unit"] for line in figures] == [row["unit"] for row in stored["rows"]]
    for line, row in zip(figures, stored["rows"], strict=True):
        for name in ("area", "delay", "period"):
            assert float(line[name]) == pytest.approx(row[name], rel=1e-5)
            if row["deltas"]:
                told = "area_whole" if name == "area" else name
                assert float(line[f"{told}_mean_percent"]) == row["deltas"][name]["mean"]
        assert float(line["energy_real_total"]) == pytest.approx(row["energy"]["real"]["total"], rel=1e-5)
        assert (
            line["ways_agree"]
            == {True: "yes", False: "no", None: ""}[row.get("attribution", {}).get("agrees")]
        )
    delta = next(row for row in stored["rows"] if row["scale"][0] == "ue5m3")["attribution"]["relative"]
    assert f"{delta['mean']:+.2f} ± {(delta['high'] - delta['low']) / 2:.2f} %" in text
    for error in stored["errors"]:
        assert f"{error['mse']:.5f}" in text
    for row in stored["tiles"]:
        assert f"| {row['unit']} | `neutral` | {row['area']:.1f} NAND2 |" in text
    # What is not there is said not to be.
    assert "- `neutral`, none: N = 8, 16, 32" in text
    assert "- `neutral`, exact: N = 8, 16, 32" in text
    assert "- `neutral`, energy: N = 8, 16, 32" in text
    row = stored["rows"][0]
    measured = pages(stored | {"rows": [row | {"block_size": size, "stages": 2} for size in (8, 16)]})
    assert "- `neutral`, energy of pipelines: N = 32" in measured
    assert "- `neutral`: the scales ue5m3, ue4m4, ue8m0" in measured


def test_what_was_measured_again_is_held_against_what_was_before(stored):
    changed = copy.deepcopy(stored)
    first, again = (changed[name][1] for name in ("rows", "again"))
    first["deltas"]["area"] = {"mean": 0.3, "low": 0.2, "high": 0.4}
    for low, high, said in ((0.35, 0.5, "overlap"), (0.45, 0.5, "**do not overlap**")):
        again["deltas"]["area"] = {"mean": (low + high) / 2, "low": low, "high": high}
        assert re.search(
            rf"whole \| \+0\.30 ± 0\.10 % \(0 to 1\) \| .* \(2 to 3\) \| {re.escape(said)} \|",
            pages(changed),
        )
    assert "Measured again" not in pages(stored | {"again": []})


def test_the_picture_has_a_panel_for_each_accumulation(stored, tmp_path: Path):
    path = tmp_path / "picture.svg"
    wide = copy.deepcopy(stored)
    for error in wide["errors"]:
        # Areas there are of N = 2 alone.
        error["block_size"] //= 4
    assert draw_answer(wide, path)
    drawn = path.read_bytes()
    texts = [text.text for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"none", "N=2", "ue4m3, four_over_six + tensor scale"} <= set(texts)
    assert {"fp32", "N=4"}.isdisjoint(texts)
    assert draw_answer(wide, path)
    assert path.read_bytes() == drawn
    assert not draw_answer(wide | {"errors": []}, path)
    assert not draw_answer(wide | {"rows": []}, path)


def test_the_verdict_follows_the_interval(stored):
    changed = copy.deepcopy(stored)
    row = next(row for row in changed["rows"] if row["scale"][0] == "ue5m3")
    # The units that are told of first.
    row["block_size"] = 16
    for interval, verdict in (
        ((0.1, 0.3), "costs area"), ((-0.3, -0.1), "saves area"), ((-0.1, 0.1), "cannot be told from free"),
    ):  # fmt: skip
        relative = {"mean": sum(interval) / 2, "low": interval[0], "high": interval[1]}
        # Where the two ways agree the narrower interval decides, else that of the whole.
        row["attribution"] |= {"relative": relative, "agrees": True}
        assert f"the bit {verdict}" in pages(changed)
        row["attribution"] |= {"relative": {"mean": 9.0, "low": 8.0, "high": 10.0}, "agrees": False}
        row["deltas"]["area"] = relative
        assert f"the bit {verdict}" in pages(changed)
        told = pages(changed)
        assert f"{relative['mean']:+.2f} ± 0.10 %{'' if verdict.endswith('area') else ' ~'} (whole)" in told
        assert f"- **{verdict[0].upper()}{verdict[1:]} in the library**: none, N=16, combinational." in told
        assert (
            f"- **All 1 units that were compared**: for 1 of them the bit {verdict} in the library." in told
        )
        (line,) = (line for line in answer_files(changed)[FIGURES].splitlines() if f",{row['unit']}," in line)
        assert line.endswith(",no,2,1")


def test_libraries_stand_beside_each_other(stored):
    changed = copy.deepcopy(stored)
    changed["libraries"].append(changed["libraries"][0] | {"name": "other"})
    (row,) = (row for row in stored["rows"] if row["scale"][0] == "ue5m3")
    other = copy.deepcopy(row) | {"library": "other"}
    for one, mean in ((other, -1.0), (row, 1.0)):
        one["attribution"] |= {
            "agrees": True,
            "relative": {"mean": mean, "low": mean - 0.5, "high": mean + 0.5},
        }
    changed["rows"] = [row, other]
    row["energy"]["real"]["deltas"]["settled"] = {"mean": 2.0, "low": -1.0, "high": 5.0}
    del other["energy"]["real"]
    text = pages(changed)
    assert "| none, N=2, combinational | +1.00 ± 0.50 % | -1.00 ± 0.50 % |" in text
    assert "| none, N=2, combinational | +2.00 ± 3.00 % ~ |  |" in text
    uniform = row["energy"]["uniform"]["deltas"]["settled"]["mean"]
    told = text[text.index("Switching energy on uniform codes:") :]
    assert re.search(rf"\| none, N=2, combinational \| {re.escape(f'{uniform:+.2f}')} ± ", told)
    assert "Part of the difference in energy on real vectors comes from the data." in told
    assert "- **Depends on the library**: none, N=2, combinational." in text
    changed["rows"] = [row]
    assert "- **Costs area in the 1 of 2 libraries that it was measured in**: none, N=2" in pages(changed)


def test_what_is_measured_is_added_to_what_was(stored, synthesis_cache: Path):
    old = copy.deepcopy(stored)
    old["rows"][0] |= {"unit": "another"}
    # Of more netlists, of fewer, and of more of another hardware.
    old["rows"][1] |= {"area": 1.0, "orders": [0, 3]}
    old["rows"][2] |= {"area": 2.0, "variants": 0}
    old["rows"][3] |= {"area": 3.0, "orders": [0, 3], "netlist": "another"}
    rounds = [replace(SMALL, energy_orders=0, tile=None)]
    found = measure_answer(["neutral"], rounds, cache=synthesis_cache, workers=1, before=old)
    assert found["libraries"] == stored["libraries"]
    assert found["tiles"] == stored["tiles"]
    assert found["curves"] == stored["curves"]
    before = stored["rows"]
    assert [row["unit"] for row in found["rows"]] == [
        "another",
        *(row["unit"] for row in [*before[1:], before[0]]),
    ]
    assert [row["area"] for row in found["rows"][1:4]] == [1.0, before[2]["area"], before[3]["area"]]
    # Energy that was not measured this time stays, of the same hardware.
    assert [bool(row["energy"]) for row in found["rows"][1:4]] == [True, True, False]
    # Of another file nothing is kept, but what is of another library is.
    foreign = old["rows"][0] | {"library": "other"}
    facts = old["libraries"][0]
    changed = {
        "libraries": [facts | {"sha256": "0"}, facts | {"sha256": "0", "name": "other"}],
        "rows": [foreign, *old["rows"]],
    }
    other = measure_answer(["neutral"], rounds, cache=synthesis_cache, workers=1, before=old | changed)
    assert other["libraries"] == [facts, facts | {"sha256": "0", "name": "other"}]
    assert [row["library"] for row in other["rows"]] == ["other", *4 * ["neutral"]]
    assert other["tiles"] == []
    assert measure_answer(["neutral"], [], cache=synthesis_cache, before=old | {"version": 4})["rows"] == []


@pytest.mark.parametrize("change", [{"pyosys": "0"}, {"flow": 0}], ids=["pyosys", "flow"])
def test_a_row_of_other_tools_is_measured_again_and_held_against_what_was_stored(
    stored: dict[str, Any], synthesis_cache: Path, change: dict[str, Any]
):
    first, second, third, fourth = (row | change for row in stored["rows"])
    old = stored | {
        # The same figures, others, those of more netlists, and those of a unit that is not asked for.
        "rows": [first, second | {"area": 1.0}, third | {"variants": 9}, fourth | {"unit": "another"}],
    }
    rounds = [replace(SMALL, energy_orders=0, tile=None)]
    found = measure_answer(["neutral"], rounds, cache=synthesis_cache, workers=1, before=old)
    rows = {row["unit"]: row for row in found["rows"]}
    before = {name: first[name] for name in ("pyosys", "flow")}
    assert rows[first["unit"]]["before"] == before | {"same": True}
    assert rows[second["unit"]]["before"] == before | {"same": False}
    assert rows[second["unit"]]["area"] == stored["rows"][1]["area"]
    assert "before" not in rows[third["unit"]]
    # An energy of netlists of other tools does not stay.
    assert rows[first["unit"]]["energy"] == {}
    assert rows["another"] == old["rows"][3]
    # What two flows said stays on record when the unit is measured once more.
    again = measure_answer(["neutral"], rounds, cache=synthesis_cache, workers=1, before=found)
    assert again["rows"] == found["rows"]
    page = answer_files(found)[PAGE]
    assert ("flow" in change) == ("**Measured by an older flow: 1 of 5 units of `neutral`.**" in page)
    assert ("flow" in change) == (" Of the 2 units that two flows measured, 1 have the same area, " in page)


def test_energies_that_were_found_in_another_way_are_left_out(stored):
    assert "Switching energy" in answer_files(stored)[UNITS_PAGE]
    rows = [
        row | {"energy": {kind: one | {"version": 1} for kind, one in row["energy"].items()}}
        for row in stored["rows"]
    ]
    old = answer_files(stored | {"rows": rows})
    assert "Switching energy" not in old[UNITS_PAGE]
    assert "- `neutral`, energy: N = 8, 16, 32" in old[PAGE]
    lines = csv.DictReader(StringIO(old[FIGURES]))
    assert {line["energy_real_total"] for line in lines} == {""}


def test_a_page_of_another_flow_says_so(stored):
    (facts,), rows = stored["libraries"], stored["rows"]
    others = [row | {"library": "other"} for row in rows]
    old = answer_files(
        stored
        | {
            "libraries": [facts, facts | {"name": "other"}],
            "rows": [*(row | {"flow": 0} for row in rows), *others],
        }
    )
    assert "Measured by an older flow" not in answer_files(stored)[PAGE]
    assert f"Synthesis: pyosys {rows[0]['pyosys']}, flow {rows[0]['flow']}.\n" in answer_files(stored)[PAGE]
    assert "\n\n**Measured by an older flow: `neutral`.** What changed" in old[PAGE]
    assert f"`neutral` by pyosys {rows[0]['pyosys']}, flow 0; `other` by pyosys" in old[PAGE]


def test_the_rounds_ask_what_the_question_asks():
    first, again = ROUNDS["first"], ROUNDS["again"]
    names = [unit.name for unit in first.units(16)]
    assert names == ["e2m1_ue4m3_n16_fp32_s1", "e2m1_ue5m3_n16_fp32_s1"]
    assert [unit.name for unit in again.units(16)] == names
    assert first.energy_orders > 2
    # None of the netlists made again is among the first.
    assert again.seed * again.orders >= first.orders
    rounds = ROUNDS.values()
    asked = [unit for one in rounds for size in one.block_sizes for unit in one.units(size)]
    assert {unit.spec.scales[0].name for unit in asked} == {"ue4m3", "ue5m3", "ue4m4", "ue8m0"}
    assert {unit.spec.accumulate for unit in asked} == {"none", "fp32", "exact", "aligned"}
    assert {unit.spec.block_size for unit in asked} == {8, 16, 32}
    assert {unit.stages for unit in asked if unit.spec.block_size == 16} == {0, 1, 3}


ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "unit", ["none_s0", "fp32_s1", "exact_s1", "fp32_s3", "aligned_s1"], ids=lambda unit: unit
)
def test_the_page_is_of_the_hardware_there_is_or_says_that_it_has_changed(unit: str):
    record = read_stored(ROOT / answer.STORED)
    names = {
        row["unit"] for row in record["rows"] if re.fullmatch(rf"e2m1_ue5m3_n16_(b2_)?{unit}", row["unit"])
    }
    (name,) = names
    today = netlist_by_name(name)
    for row in record["rows"]:
        if row["unit"] == name:
            assert row.get("changed", False) == (row["netlist"] != today), (
                "run python -m studies.answer.measure changes"
            )


def test_what_has_changed_since_is_noted_and_told(stored):
    def mark_changes(of: StoredRecord, **options: Any) -> StoredRecord:
        return of | {"rows": marked_rows(of["rows"], **options)}

    assert mark_changes(stored) == stored
    netlists = {row["unit"]: row["netlist"] for row in stored["rows"]}
    other = mark_changes(stored, today=lambda unit: "another" if "_ue5m3_" in unit else netlists[unit])
    assert [row.get("changed", False) for row in other["rows"]] == ["_ue5m3_" in unit for unit in netlists]
    assert (
        "has changed since it was measured on `neutral` (1 of 4 units).** The figures"
        in answer_files(other)[PAGE]
    )
    every = mark_changes(stored, today=lambda _: "another")
    assert "changed since it was measured on `neutral`.** The figures" in answer_files(every)[PAGE]
    assert "has changed since" not in answer_files(stored)[PAGE]
    assert mark_changes(other) == stored


def test_the_pages_are_what_their_results_make():
    record = read_stored(ROOT / answer.STORED)
    made = answer_files(record)
    assert made.keys() == {PAGE, UNITS_PAGE, FIGURES, COST_PICTURE}
    for name, text in made.items():
        assert (ROOT / answer.WRITTEN / name).read_text(encoding="utf-8") == text, "run make answer"
    assert (ROOT / answer.WRITTEN / WORTH_PICTURE).exists()


def test_the_page_starts_with_a_picture_and_ten_lines():
    lines = answer_files(read_stored(ROOT / answer.STORED))[PAGE].splitlines()
    assert re.fullmatch(rf"\[!\[.*\]\({QUALITY_PICTURE}\)\]\(quality-against-cost\.md\)", lines[2])
    assert re.fullmatch(rf"!\[.*\]\({COST_PICTURE}\)", lines[4])
    assert len(lines[: lines.index("## How to read the figures")]) <= 18
    assert len(lines) < 80


def test_the_chart_has_a_dot_for_each_difference_and_large_ones_apart():
    bars = {
        "fp32": [CostBar("a", 0.3, 0.2, 0.4), CostBar("b<", -0.1, -0.2, 0.0)],
        "exact": [CostBar("a", 17.0, 16.5, 17.5)],
    }
    space = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(cost_chart(bars))
    texts = [text.text or "" for text in drawn.iter(f"{space}text")]
    assert {"fp32", "exact", "b<", "+0.30 ± 0.10 %", "-0.10 ± 0.10 %", "+17.00 ± 0.50 %"} <= set(texts)
    # A legend of two, and three differences.
    circles = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in drawn.iter(f"{space}circle")]
    assert len(circles) == 5
    small, negative = circles[0], circles[1]
    assert small[0] > negative[0]
    # Each panel has an axis of its own: its ticks say what its dots are.
    assert [text for text in texts if re.fullmatch(r"[-+][0-9.]+ %", text)][:2] == ["-0.2 %", "-0.1 %"]
    width, height = map(float, drawn.get("viewBox", "").split()[2:])
    assert all(0 < x < width and 0 < y < height for x, y in circles)


def test_results_of_another_version(stored):
    message = "results must be blockdot.answer version 6, not blockdot.answer version 0"
    with pytest.raises(ValueError, match=whole(message)):
        pages(stored | {"version": 0})


def test_the_commands(stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["write"]) == 2
    assert str(answer.STORED) in capsys.readouterr().err
    asked: list[MeasuringRound] = []

    def measured(libraries: list[str], rounds: list[MeasuringRound], *, keep, progress, **_: object) -> None:
        assert libraries == ["neutral"]
        progress("something")(1, 2, "")
        asked.extend(rounds)
        keep(stored)

    monkeypatch.setattr(answer, "measure_answer", measured)
    assert main(["measure", "--only", "again", "--orders", "4", "--accumulate", "none"]) == 0
    assert asked == [replace(ROUNDS["again"], orders=4, accumulates=("none",))]
    assert main(["measure"]) == 0
    assert asked[1:] == list(ROUNDS.values())
    assert main(["write"]) == 0
    # Of N = 2 there are no errors to draw, and of N = 16 no units.
    made = answer_files(stored, drawn=False)
    assert made.keys() == {PAGE, UNITS_PAGE, FIGURES}
    assert sorted(file.name for file in (tmp_path / answer.WRITTEN).iterdir()) == sorted(made)
    assert all((tmp_path / answer.WRITTEN / name).read_text() == text for name, text in made.items())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(answer, "measure_answer", interrupted)
    assert main(["measure"]) == 130
    assert capsys.readouterr().err.endswith("answer: interrupted; what was measured is kept\n")
