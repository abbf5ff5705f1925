import copy
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.lab import answer, switching, workload
from blockdot.lab.answer import main, measure
from blockdot.lab.answer_page import page, picture
from messages import whole


@pytest.fixture(scope="module")
def kept() -> list[int]:
    """How many rows there were each time that results were kept."""
    return []


@pytest.fixture(scope="module")
def stored(synthesis_cache: Path, kept: list[int]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        # Few vectors will do to see that there are some.
        patch.setattr(workload, "_LANES", 8)
        tensors = np.random.default_rng(1).normal(0, 0.01, (2, 16, 64)).astype(np.float32)
        patch.setattr(switching, "real_tensors", lambda: tuple(tensors))
        patch.setattr(answer, "real_tensors", lambda: tuple(tensors))
        found = measure(
            ["neutral"],
            orders=2,
            cache=synthesis_cache,
            block_sizes=[2],
            accumulates=["none"],
            stages=[0],
            energy_orders=2,
            tile=(1, 2),
            workers=1,
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
    assert kept == [len(stored["rows"])] == [4]
    assert [row["unit"] for row in stored["tiles"]] == [
        "array1x2_e2m1_ue4m3_n2_none_s0", "array1x2_e2m1_ue5m3_n2_none_s0",
    ]  # fmt: skip
    # A product of a tile shares the decoding of its row with the other, and is still a unit.
    assert 0.5 < stored["tiles"][0]["area"] / stored["rows"][0]["area"] < 1.5


def test_the_page_says_what_was_stored(stored):
    text = page(stored)
    assert "Gates alone: no place and route, no wires" in text
    assert "## What was not measured" in text
    for row in stored["rows"]:
        assert f"| {row['unit']} | {row['area']:.1f} |" in text
    delta = next(row for row in stored["rows"] if row["scale"][0] == "ue5m3")["attribution"]["relative"]
    assert f"{delta['mean']:+.2f} ± {(delta['high'] - delta['low']) / 2:.2f} %" in text
    for error in stored["errors"]:
        assert f"{error['mse']:.5f}" in text
    for row in stored["tiles"]:
        assert f"| {row['unit']} | {row['area']:.1f} |" in text
    # What is not there is said not to be.
    assert "- `neutral`, none: N = 8, 16, 32" in text
    assert "- `neutral`, exact: N = 8, 16, 32" in text
    assert "- `neutral`: energy" not in text


def test_the_picture_has_a_dot_for_each_error_with_an_area(stored):
    drawn = picture(stored)
    assert drawn is not None
    dots = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}circle")
    # And one for each way to choose scales in the legend.
    assert len(dots) == 2 * len(stored["errors"]) == 12
    assert picture(stored | {"errors": []}) is None
    assert picture(stored | {"rows": []}) is None


def test_the_verdict_follows_the_interval(stored):
    changed = copy.deepcopy(stored)
    row = next(row for row in changed["rows"] if row["scale"][0] == "ue5m3")
    for interval, verdict in (
        ((0.1, 0.3), "costs area"), ((-0.3, -0.1), "saves area"), ((-0.1, 0.1), "cannot be told from free"),
    ):  # fmt: skip
        relative = {"mean": sum(interval) / 2, "low": interval[0], "high": interval[1]}
        # Where the two ways agree the narrower interval decides, else that of the whole.
        row["attribution"] |= {"relative": relative, "agrees": True}
        assert f"the bit {verdict}" in page(changed)
        row["attribution"] |= {"relative": {"mean": 9.0, "low": 8.0, "high": 10.0}, "agrees": False}
        row["deltas"]["area"] = relative
        assert f"the bit {verdict}" in page(changed)
        assert "**differ**" in page(changed)


def test_what_is_measured_is_added_to_what_was(stored, synthesis_cache: Path):
    old = copy.deepcopy(stored)
    old["rows"][0] |= {"unit": "another"}
    old["rows"][1] |= {"area": 1.0}
    options = {
        "orders": 2,
        "cache": synthesis_cache,
        "block_sizes": [2],
        "accumulates": ["none"],
        "workers": 1,
    }
    options |= {"stages": [0], "energy_orders": 1, "tile": None}
    found = measure(["neutral"], before=old, **options)
    assert found["libraries"] == stored["libraries"]
    assert found["tiles"] == stored["tiles"]
    names = [row["unit"] for row in stored["rows"]]
    assert [row["unit"] for row in found["rows"]] == ["another", *names[1:], names[0]]
    assert found["rows"][1]["area"] == stored["rows"][1]["area"]
    # Of another synthesizer nothing is kept.
    assert len(measure(["neutral"], before=old | {"pyosys": "0"}, **options)["rows"]) == 4


def test_results_of_another_version(stored):
    message = "results must be blockdot.answer version 2, not blockdot.answer version 0"
    with pytest.raises(ValueError, match=whole(message)):
        page(stored | {"version": 0})


def test_the_commands(stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["write"]) == 2
    assert "docs/cost-of-ue5m3.json" in capsys.readouterr().err

    def measured(libraries: list[str], *, keep, **options: object) -> None:
        assert (libraries, options["orders"]) == (["neutral"], 4)
        keep(stored)

    monkeypatch.setattr(answer, "measure", measured)
    assert main(["measure", "--orders", "4"]) == 0
    assert main(["write"]) == 0
    assert (tmp_path / answer.WRITTEN).read_text() == page(stored, "cost-of-ue5m3.svg")
    assert (tmp_path / answer.PICTURE).read_text() == picture(stored)
