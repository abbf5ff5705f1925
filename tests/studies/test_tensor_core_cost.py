"""What units of tensor cores cost: the part of the page that tells it, of made-up figures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blockdot.model.presets import PRESETS
from blockdot.synth.yosys import SynthesisError

from studies import tensor_core_error
from studies.ledger import read_ledger
from studies.records import read_stored
from studies.tensor_core_cost import (
    EMULATED,
    OURS,
    TensorCoreCost,
    cost_lines,
    draw_costs,
    measure_cost,
    priced_units,
)
from studies.tensor_core_error import STORED, main

COSTS = [
    TensorCoreCost("hopper-e4m3", "e4m3_none_n32_aligned_f13_t1_z133_e8m13", 32, 16000.0, 120.04),
    TensorCoreCost("blackwell-e4m3", "e4m3_none_n32_aligned_f25_t1_z133", 32, 24000.0, 130.0),
    TensorCoreCost("volta-fp16-fp16", "fp16_none_n4_aligned_f23_t1_z20_binary16", 4, 6000.4, 110.0),
    TensorCoreCost("exact unit, nvfp4", "e2m1_ue4m3_n16_exact", 16, 4998.0, 100.67),
]
ERRORS = {"hopper-e4m3": 8.2e-4, "blackwell-e4m3": 1e-7, "exact unit, nvfp4": 0.0}


def test_each_unit_is_told_for_each_product_beside_its_error() -> None:
    text = "\n".join(cost_lines(COSTS, ERRORS, "costs.svg"))
    assert "| `hopper-e4m3` | 32 | 16000 | 500 | 120.0 | 8.2e-04 |" in text
    assert "| `volta-fp16-fp16` | 4 | 6000 | 1500 | 110.0 | - |" in text
    assert "| exact unit, nvfp4 | 16 | 4998 | 312 | 100.7 | 0 |" in text
    assert "instead of 13: 750 NAND2 for each product instead of 500, 1.50 times." in text.replace("\n ", "")
    assert "On Hopper, FP16" not in text  # which is not priced here
    assert f"{len(priced_units()) - 4} units are not priced yet: `volta-fp16`;" in text


def test_each_different_preset_is_priced_once_beside_units_of_this_project() -> None:
    units = priced_units()
    presets = {preset.spec for preset in PRESETS.values()}
    assert set(units.values()) == presets | set(EMULATED.values()) | set(OURS.values())
    assert len(units) == len(set(units.values()))
    with pytest.raises(ValueError, match=r"^unit must be one of volta-fp16, .*, not 'pascal'$"):
        measure_cost("pascal")


def test_prices_are_those_of_the_ledger() -> None:
    rows = read_ledger()["rows"]
    costs = {record["name"]: record for record in read_stored(STORED)["costs"]}
    found = {name: rows.get(name, rows.get(f"{cost['spec']}_s1")) for name, cost in costs.items()}
    for name, row in found.items():
        if row is not None:
            assert (row["area"], row["delay"]) == (costs[name]["area"], costs[name]["period"]), name
    assert all(found[name] is not None for name in OURS)


def test_a_unit_that_is_not_there_is_refused_before_any_is_priced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cost", "pascal"]) == 2
    assert capsys.readouterr().err.startswith("tensor_core_error: unit must be one of volta-fp16, ")


def test_a_unit_that_cannot_be_synthesized_does_not_keep_others_from_their_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(name: str, **_: Any) -> TensorCoreCost:
        if name == "volta-fp16":
            raise SynthesisError("it must have fewer levels")
        return replace(COSTS[0], name=name)

    monkeypatch.setattr(tensor_core_error, "measure_cost", measured)
    monkeypatch.setattr(tensor_core_error, "STORED", tmp_path / "kept.jsonl")
    assert main(["--cost", "volta-fp16", "hopper-e4m3"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "tensor_core_error: it must have fewer levels"
    assert [row["name"] for row in read_stored(tmp_path / "kept.jsonl")["costs"]] == ["hopper-e4m3"]


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        draw_costs(tmp_path / name, COSTS, ERRORS, 1e-9)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "volta" not in (tmp_path / "a.svg").read_text()
