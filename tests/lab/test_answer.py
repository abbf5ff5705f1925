import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.lab import answer
from blockdot.lab.answer import main, measure, page
from messages import whole


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        # Few vectors will do to see that there are some.
        patch.setattr(answer, "_LANES", 8)
        patch.setattr(answer, "_CYCLES", 3)
        tensors = np.random.default_rng(1).normal(0, 0.01, (2, 16, 64)).astype(np.float32)
        patch.setattr(answer, "_tensors", lambda: tuple(tensors))
        found = measure_little(cache)
    return json.loads(json.dumps(found))


def measure_little(cache: Path) -> dict[str, Any]:
    return measure(
        ["neutral"], orders=2, cache=cache, block_sizes=[2], accumulates=["none"], stages=[0], energy_orders=2
    )


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


def test_the_verdict_follows_the_interval(stored):
    changed = copy.deepcopy(stored)
    row = next(row for row in changed["rows"] if row["scale"][0] == "ue5m3")
    for interval, verdict in (
        ((0.1, 0.3), "costs area"), ((-0.3, -0.1), "saves area"), ((-0.1, 0.1), "cannot be told from free"),
    ):  # fmt: skip
        row["attribution"]["relative"] = {"mean": sum(interval) / 2, "low": interval[0], "high": interval[1]}
        assert f"the bit {verdict}" in page(changed)


def test_results_of_another_version(stored):
    message = "results must be blockdot.answer version 1, not blockdot.answer version 0"
    with pytest.raises(ValueError, match=whole(message)):
        page(stored | {"version": 0})


def test_the_commands(stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["write"]) == 2
    assert "docs/cost-of-ue5m3.json" in capsys.readouterr().err
    monkeypatch.setattr(answer, "measure", lambda *_, **__: stored)
    assert main(["measure", "--quick"]) == 0
    assert main(["write"]) == 0
    assert (tmp_path / answer.WRITTEN).read_text() == page(stored)
