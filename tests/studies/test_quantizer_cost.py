"""What quantizers cost, amortised: figures by hand, a small measurement, and the stored page."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.lab.cost.measurement_job import emit
from blockdot.synth.netlist import Netlist

from studies.quantizer_cost import steps
from studies.quantizer_cost.measure import STORED, measure_quantizers
from studies.quantizer_cost.page import PAGE, PICTURE, amortised, crossing, draw_amortised, page_text
from studies.records import read_stored, write_stored

DOCS = Path(__file__).parents[2] / "docs"


def interval(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def row(scale: str, method: str, nand2: float, more: dict[str, float] | None) -> dict[str, Any]:
    deltas = {} if more is None else {"area_delta": more, "area_percent": more, "period_percent": more}
    return {
        "library": "one",
        "block_size": 16,
        "scale": [scale],
        "method": method,
        "nand2": nand2,
        "pairs": 2,
        "period": 5.0,
        "delay_unit": "ns",
        **deltas,
    }


@pytest.fixture
def stored() -> dict[str, Any]:
    return {
        "pyosys": "0.70",
        "flow": 4,
        "more": [],
        "dequantizers": [],
        "quantizers": [
            row("ue4m3", "absmax", 1000.0, None),
            row("ue5m3", "absmax", 1040.0, interval(40, 8)),
            row("ue4m3", "four_over_six", 3000.0, interval(2000, 80)),
        ],
        "dots": [row("ue4m3", "", 5000.0, None), row("ue5m3", "", 5020.0, interval(20, 3))],
        "errors": [
            {"block_size": 16, "scale": scale, "method": method, "mse": mse}
            for scale, method, mse in (
                ("ue4m3", "absmax", 0.02),
                ("ue5m3", "absmax", 0.009),
                ("ue4m3", "four_over_six", 0.015),
            )
        ],
    }


def test_a_quantizer_counts_once_for_all_that_use_its_block(stored):
    assert amortised(stored, "one", ("ue4m3", "absmax"), 8) == (5125.0, interval(0, 0))
    cost, more = amortised(stored, "one", ("ue5m3", "absmax"), 8)
    assert (cost, more["mean"]) == (5150.0, 25.0)
    # Independent errors add as squares: that of the quantizer is an eighth.
    assert more["high"] - more["mean"] == pytest.approx(math.hypot(3, 1))
    assert amortised(stored, "one", ("ue4m3", "four_over_six"), 1)[1] == pytest.approx(interval(2000, 80))


def test_where_the_two_recipes_cost_the_same(stored):
    at = crossing(stored, "one")
    assert at == (2000 - 40) / 20
    costs = [amortised(stored, "one", way, int(at))[1]["mean"] for way in
             (("ue5m3", "absmax"), ("ue4m3", "four_over_six"))]  # fmt: skip
    assert costs[0] == pytest.approx(costs[1])
    text = page_text(stored)
    assert "fewer than about 98 dot products" in text
    # (1920 - 48) / 23 and (2080 - 32) / 17.
    assert "it is from 81 to 120." in text
    assert "| ue4m3 | `four_over_six` | 8000 (+2000.0 ± 80.0) |" in text
    assert PICTURE in text
    stored["dots"][1]["area_delta"] = interval(20, 23)
    assert "at least 44, and these netlists set no upper end" in page_text(stored)
    stored["dots"][1]["area_delta"] = interval(-1, 3)
    assert "costs less than UE4M3 with `four_over_six` at every reuse" in page_text(stored)
    stored["quantizers"][2]["area_delta"] = interval(30, 3)
    assert "costs more than UE4M3 with `four_over_six` at every reuse" in page_text(stored)


def attributed(one: dict[str, Any], *, agrees: bool) -> dict[str, Any]:
    """Return a row whose steps add 30 NAND2 equivalents, of two units of area each."""
    return one | {
        "area": 2 * one["nand2"],
        "attributed_delta": interval(30, 1),
        "attribution": {
            "agrees": agrees,
            "relative": interval(3, 0.1),
            "across_area": interval(20, 18),
            "whole_area": interval(80, 16),
            "parts": {"scale": interval(40, 2), "registers": interval(20, 0)},
        },
    }


def test_the_steps_decide_where_they_agree_with_the_whole(stored):
    (base, other, best) = stored["quantizers"]
    stored["quantizers"] = [base, attributed(other, agrees=True), best]
    text = page_text(stored)
    assert "| quantizer, ue5m3, `absmax` | +3.00 ± 0.10 % |" in text
    assert "| ue5m3 | `absmax` | 1040.0 | +40.00 ± 8.00 % | +3.00 ± 0.10 % |" in text
    assert (
        "| ue5m3 | `absmax` | scale +20.0 ± 1.0, registers +10.0 ± 0.0 | +10.0 ± 9.0 | +40.0 ± 8.0 |" in text
    )
    assert crossing(stored, "one") == (2000 - 30) / 20
    assert amortised(stored, "one", ("ue5m3", "absmax"), 8)[1]["mean"] == 20 + 30 / 8
    stored["quantizers"][1] = attributed(other, agrees=False)
    text = page_text(stored)
    assert "| quantizer, ue5m3, `absmax` | +40.00 ± 8.00 % |" in text
    assert "| ue5m3 | `absmax` | 1040.0 | +40.00 ± 8.00 % | ! +3.00 ± 0.10 % |" in text
    assert crossing(stored, "one") == (2000 - 40) / 20


def test_a_tensor_scale_is_read_for(stored):
    one = row("ue4m3", "absmax", 2000.0, interval(90, 3)) | {"spec": "", "input": "bf16"}
    stored["more"] = [one | {"rounding": "nearest_even", "tensor_scale": True}]
    text = page_text(stored)
    assert "| ue4m3 | a tensor scale | 2000.0 | +90.00 ± 3.00 % |" in text
    # 16 numbers of 2 bytes; 16 codes of half a byte and a scale.
    assert "32 bytes more for each block of 16, beside the 32 bytes that are read and the 9 that" in text
    assert "78 % more traffic" in text


def test_a_dequantizer_counts_once_for_all_that_use_its_block(stored):
    stored["dequantizers"] = [row("ue4m3", "", 600.0, None), row("ue5m3", "", 640.0, interval(40, 2))]
    text = page_text(stored)
    # 5000 + (1000 + 600) / R, and 5020 + (1040 + 640) / R.
    assert "| ue4m3 | 600.0 |  | 5 ns | 6600 | 5200 | 5025 | 5002 |" in text
    assert "| ue5m3 | 640.0 | +40.00 ± 2.00 % | 5 ns | 6700 | 5230 | 5046 | 5022 |" in text


def test_the_picture_is_the_same_each_time(stored, tmp_path):
    texts = []
    for name in ("a.svg", "b.svg"):
        assert draw_amortised(stored, tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    assert "R = 1024" in texts[0]
    assert not draw_amortised(stored | {"errors": []}, tmp_path / "c.svg")


def test_the_answer_is_one_table_of_libraries_and_one_of_sizes(stored):
    stored["more"] = [
        row("ue4m3", "absmax", 4200.0, interval(90, 3))
        | {"rounding": "nearest_even", "tensor_scale": False, "input": "fp32"}
    ]
    text = page_text(stored)
    assert "| unit | one |" in text
    assert "| quantizer, ue5m3, `absmax` | +40.00 ± 8.00 % |" in text
    assert "| quantizer, ue4m3, `fp32` numbers | +90.00 ± 3.00 % |" in text
    assert "| R where ue5m3 costs as much as ue4m3 with `four_over_six` | 81 to 120 |" in text
    assert "By the elements in a block" not in text

    def of(library: str, size: int) -> dict[str, list[dict[str, Any]]]:
        return {
            name: [one | {"library": library, "block_size": size} for one in stored[name]]
            for name in ("quantizers", "dots")
        }

    for library, size in (("two__corner", 16), ("one", 8)):
        for name, rows in of(library, size).items():
            stored[name] = [*stored[name], *rows]
    # Of a library where nothing else was measured, the first row of a size.
    stored["quantizers"].append(row("ue4m3", "absmax", 7.0, None) | {"library": "three", "block_size": 8})
    stored["dots"][-1] = stored["dots"][-1] | {"area_delta": interval(-1, 3)}
    stored["dots"][3] = stored["dots"][3] | {"area_delta": interval(40, 3)}
    text = page_text(stored)
    assert "| unit | one | two |" in text
    assert "| quantizer, ue4m3, `fp32` numbers | +90.00 ± 3.00 % |  |" in text
    assert "| R where ue5m3 costs as much as ue4m3 with `four_over_six` | 81 to 120 | 44 to 55 |" in text
    assert "| unit | one, 8 | one, 16 |" in text
    assert "| R where ue5m3 costs as much as ue4m3 with `four_over_six` | any | 81 to 120 |" in text
    assert "## two__corner" in text
    assert "## three" not in text


@pytest.mark.matrix
def test_a_small_measurement(synthesis_cache, tmp_path):
    found = measure_quantizers(
        ["neutral"],
        orders=2,
        block_sizes=[2],
        wanted=["absmax", "stochastic", "fp32", "dot", "dequantizer"],
        cache=synthesis_cache,
        workers=1,
        keep=lambda record: write_stored(tmp_path / "kept.jsonl", "a test", record),
    )
    assert read_stored(tmp_path / "kept.jsonl") == json.loads(json.dumps(found))
    assert [one["unit"] for one in found["quantizers"]] == [
        "quantize_bf16_e2m1_ue4m3_n2_absmax_s1",
        "quantize_bf16_e2m1_ue5m3_n2_absmax_s1",
    ]
    for base, other in (found["quantizers"], found["dots"], found["dequantizers"]):
        assert "area_delta" not in base
        assert other["area_delta"]["mean"] == pytest.approx(other["nand2"] - base["nand2"], abs=20)
    assert [one["unit"] for one in found["more"]] == [
        "quantize_bf16_e2m1_ue4m3_n2_absmax_stochastic8_s1",
        "quantize_bf16_e2m1_ue5m3_n2_absmax_stochastic8_s1",
        "quantize_fp32_e2m1_ue4m3_n2_absmax_s1",
        "quantize_fp32_e2m1_ue5m3_n2_absmax_s1",
    ]
    # Those of quantizers are told step by step; a dequantizer is one piece.
    parts = found["quantizers"][1]["attribution"]["parts"]
    assert sum(part["mean"] for part in parts.values()) == pytest.approx(
        found["quantizers"][1]["attributed_delta"]["mean"], abs=0.01
    )
    assert {"scale", "own logic and registers"} <= set(parts)
    assert all("attribution" not in one for one in found["dequantizers"])
    # All of them are compared with the quantizer of bf16, step by step where the numbers are the same.
    assert ["attribution" in one for one in found["more"]] == [True, True, False, False]
    assert all(one["area_percent"]["low"] > 0 for one in found["more"])
    assert all(
        one["area_delta"]["mean"] == pytest.approx(one["nand2"] - found["quantizers"][0]["nand2"], abs=20)
        for one in found["more"]
    )
    more = measure_quantizers(
        ["neutral"],
        orders=2,
        block_sizes=[4],
        wanted=["prevent_zero"],
        kept=found,
        cache=synthesis_cache,
        workers=1,
    )
    assert more["quantizers"][:2] == found["quantizers"]
    assert [one["unit"] for one in more["quantizers"][2:]] == [
        "quantize_bf16_e2m1_ue4m3_n4_prevent_zero_s1",
        "quantize_bf16_e2m1_ue5m3_n4_prevent_zero_s1",
    ]
    assert all("area_delta" in one for one in more["quantizers"][2:])
    assert {name: more[name] for name in ("dots", "more", "dequantizers")} == {
        name: found[name] for name in ("dots", "more", "dequantizers")
    }
    page = page_text(more)
    assert "over 2 pairs of netlists, with" in page
    more["quantizers"][1]["pairs"] = 5
    assert "over 2 to 5 pairs of netlists, with" in page_text(more)


def test_what_is_kept_is_of_this_flow(tmp_path):
    kept = read_stored(Path(__file__).parents[2] / STORED)
    with pytest.raises(ValueError, match=r"^what is kept must be of flow \d+, not 0: remove studies/"):
        measure_quantizers(["neutral"], kept=kept | {"flow": 0}, cache=tmp_path)
    with pytest.raises(ValueError, match=r"^what is kept must be of pyosys [\d.]+, not 0: remove studies/"):
        measure_quantizers(["neutral"], kept=kept | {"pyosys": "0"}, cache=tmp_path)


def test_the_page_is_of_what_is_stored_and_that_of_the_hardware_there_is():
    kept = read_stored(Path(__file__).parents[2] / STORED)
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page_text(kept)
    # A small unit is elaborated soon; all are made from the same sources.
    (first, *_) = [one for one in kept["quantizers"] if one["method"] == "absmax"]
    assert Netlist(*emit(QuantizerConfig.parse(first["unit"]), 0)).sha256 == first["netlist"]


def test_steps_are_priced_one_by_one(capsys):
    assert steps.main(["quantize_bf16_e2m1_ue8m0_n2_floor"]) == 0
    shown = capsys.readouterr().out
    areas = {row[1]: int(row[3]) for line in shown.splitlines() if len(row := line.split()) == 7}
    assert list(areas) == ["read", "largest_exponent", "scale", "midpoints", "compare", "round"]
    # Two lanes are compared with a scale that one adder tells; to read them is to take bits apart.
    assert areas["compare"] > areas["scale"] > areas["read"] == 0
    assert steps.main(["quantize_e2m1"]) == 2
