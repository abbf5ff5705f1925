"""Quality against cost: points and the front by hand, small measurements, and the stored page."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.priced_unit import unit_record
from blockdot.lab.cost.switching_energy import ENERGY_VERSION
from blockdot.lab.language.arithmetic import Arithmetic
from blockdot.lab.language.model import open_model
from blockdot.lab.language.transformer import Transformer
from blockdot.lab.quality.quantization_error import Quantization
from blockdot.lab.unit_choices import QuantizerChoices
from blockdot.model import DotSpec
from messages import check_messages
from tiny_models import write_model, write_text

from studies.quality_against_cost import energies as energies_module
from studies.quality_against_cost import measure
from studies.quality_against_cost.energies import known_energies, measure_energies
from studies.quality_against_cost.fronts import priced_kinds, reuses_on_front
from studies.quality_against_cost.measure import STORED, EvaluatedPoint, measure_areas, measure_quality
from studies.quality_against_cost.page import PAGE, page_text
from studies.quality_against_cost.picture import PICTURE, draw
from studies.quality_against_cost.points import (
    Areas,
    cost_unit,
    evaluated,
    front_places,
    libraries,
    paired_difference,
    percent,
    points,
)
from studies.records import read_stored, write_stored
from studies.todays_netlist import netlist_by_name, todays_netlist

DOCS = Path(__file__).parents[2] / "docs"
NOISE = np.random.default_rng(0).normal(0, 1, (3, 10))


def way(
    scale: str | None,
    size: int | None,
    method: str | None,
    segments: Any,
    *,
    activations: str | None = "",
    **facts: Any,
) -> dict[str, Any]:
    return {
        "scale": scale,
        "block_size": size,
        "method": method,
        "activation_method": method if activations == "" else activations,
        "tensor_scale": None if scale is None else False,
        "operands": None if scale is None else "both",
        "accumulate": "none",
        "narrow": 0,
        "start": 0,
        "tokens": 100,
        "scored": 100,
        "segments": list(segments),
    } | facts


def unit(scale: str, size: int, blocks: int, nand2: float, accumulate: str = "fp32") -> dict[str, Any]:
    return {
        "library": "neutral",
        "unit": f"{scale} {size} {blocks} {accumulate}",
        "scale": [scale],
        "block_size": size,
        "blocks": blocks,
        "accumulate": accumulate,
        "nand2": nand2,
    }


def energy(unit: str, total: float, library: str = "neutral") -> dict[str, Any]:
    return {
        "library": library,
        "unit": unit,
        "energy_unit": "fJ",
        "version": ENERGY_VERSION,
        "total": total,
        "settled": total / 4,
    }


def quantizer(scale: str, size: int, method: str, nand2: float) -> dict[str, Any]:
    return {
        "library": "neutral",
        "unit": f"{scale} {size} {method}",
        "scale": [scale],
        "block_size": size,
        "accumulate": None,
        "method": method,
        "tensor_scale": False,
        "nand2": nand2,
        "least": nand2,
        "most": nand2 * 1.01,
    }


@pytest.fixture
def stored() -> dict[str, Any]:
    """A way that is good and dear, one that is cheap and poor, and one between that may be as good."""
    plain = 20 + NOISE[0]
    return {
        "model": "a model",
        "text": "text",
        "areas": [
            unit("ue4m3", 8, 1, 800),
            unit("ue4m3", 8, 4, 2560),
            unit("ue4m3", 16, 1, 1120),
            unit("ue5m3", 16, 1, 1280),
            quantizer("ue4m3", 8, "absmax", 400),
            quantizer("ue4m3", 8, "four_over_six", 1600),
            quantizer("ue4m3", 16, "absmax", 800),
            quantizer("ue5m3", 16, "absmax", 800),
        ],
        "energies": [],
        "ways": [
            way(None, None, None, plain, activations=None),
            way("ue4m3", 8, "absmax", plain + 2 + 0.1 * NOISE[1]),
            way("ue4m3", 8, "four_over_six", plain + 2.01 + 0.1 * NOISE[2]),
            way("ue4m3", 16, "absmax", plain + 5),
            way("ue5m3", 16, "absmax", plain + 4.9 + NOISE[1]),
            way("ue4m3", 16, "four_over_six", plain + 1),  # whose quantizer was not measured
        ],
    }


def test_a_product_pays_for_its_share_of_unit_and_quantizer(stored):
    # The larger unit is cheaper: 80 a product, against 100.
    assert Areas(stored["areas"]).dot("ue4m3", 8, "fp32") == (80, 4)
    assert Areas(stored["areas"]).dot("ue4m3", 8, "exact") is None
    assert Areas(stored["areas"]).single("ue4m3", 8, "fp32") == 800
    found = points(stored, narrow=0)
    assert [point.label for point in found] == [
        "ue4m3 N=8 absmax",
        "ue4m3 N=8 four_over_six",
        "ue4m3 N=16 absmax",
        "ue5m3 N=16 absmax",
    ]
    assert [point.cost(1) for point in found] == [80 + 50, 80 + 200, 70 + 50, 80 + 50]
    assert [point.cost(10) for point in found] == [85, 100, 75, 85]
    apart = way("ue4m3", 8, "four_over_six", stored["ways"][0]["segments"], activations="absmax")
    stored["ways"].append(apart)
    point = points(stored, narrow=0)[-1]
    assert (point.label, point.cost(1)) == ("ue4m3 N=8 four_over_six / absmax", 130)


def elsewhere(stored: dict[str, Any], factor: float = 2.0) -> dict[str, Any]:
    """All of it in another library too, where UE4M3's units in blocks of 16 are so much larger."""
    more = [
        row
        | {
            "library": "other__tt",
            "nand2": row["nand2"] * (factor if row["unit"] == "ue4m3 16 1 fp32" else 1),
        }
        for row in stored["areas"]
    ]
    return stored | {"areas": [*stored["areas"], *more]}


def test_each_library_and_kind_of_cost_has_points_of_its_own(stored):
    everywhere = elsewhere(stored)
    assert libraries(everywhere) == ["neutral", "other__tt"]
    costs = {
        name: [point.cost(1) for point in points(everywhere, narrow=0, library=name)]
        for name in libraries(everywhere)
    }
    assert costs == {"neutral": [130, 280, 120, 130], "other__tt": [130, 280, 190, 130]}
    # The unit of the least area is the one whose energy counts; what was not measured has no point.
    energies = [
        energy("ue4m3 8 4 fp32", 6400),
        energy("ue4m3 8 1 fp32", 8),
        energy("ue4m3 8 absmax", 80),
        energy("ue4m3 8 four_over_six", 8, "other__tt"),
    ]
    powered = everywhere | {"energies": energies}
    (point,) = points(powered, narrow=0, cost="energy")
    assert (point.label, point.cost(1)) == ("ue4m3 N=8 absmax", 200 + 10)
    (point,) = points(powered, narrow=0, cost="settled")
    assert point.cost(1) == 50 + 2.5
    assert cost_unit(powered, "neutral", "energy") == "fJ"
    assert cost_unit(stored, "neutral", "energy") == ""


def test_fronts_are_compared_where_every_choice_has_a_cost(stored):
    base = ("neutral", "area")
    everywhere = elsewhere(stored)
    assert priced_kinds(everywhere) == [base, ("other__tt", "area")]
    assert priced_kinds(everywhere | {"areas": everywhere["areas"][:-1]}) == [base]
    assert priced_kinds(everywhere | {"energies": [energy("ue4m3 8 4 fp32", 6400)]})[1:] == [
        ("other__tt", "area")
    ]
    assert reuses_on_front(everywhere, 0, *base) == {
        "ue4m3 N=16 absmax": [1, 8, 64, 1024],
        "ue4m3 N=8 absmax": [1, 8, 64, 1024],
    }
    # There UE4M3 in blocks of 16 costs more than what is better.
    assert reuses_on_front(everywhere, 0, "other__tt", "area") == {"ue4m3 N=8 absmax": [1, 8, 64, 1024]}
    text = page_text(everywhere)
    assert "8 places, by area in neutral. other, area: 4 stay and 0 others come." in text
    assert "at every reuse: wide: *ue4m3 N=8 absmax*." in text
    assert "| as it is | ue4m3 N=16 absmax | all |  |" in text
    assert "| ue4m3 | `fp32` | 80 | 140 |  |" in text
    assert "### other: area" in text
    assert "Another library" not in page_text(stored)


def test_what_is_on_the_front_beaten_and_undecided(stored):
    found = points(stored, narrow=0)
    # absmax in blocks of 8 costs no more than UE5M3 in blocks of 16, and is better for sure. Against
    # four_over_six it costs less and looks better, by less than the noise.
    assert front_places(found, 1) == ["front", "undecided", "front", "beaten"]
    mean, low, high = percent(paired_difference(stored["ways"][0], stored["ways"][3]))
    assert mean == pytest.approx(100 * np.expm1(0.5))
    assert low == high == pytest.approx(mean)
    stored["ways"][2]["segments"] = [value + 1 for value in stored["ways"][2]["segments"]]
    assert front_places(points(stored, narrow=0), 1) == ["front", "beaten", "front", "beaten"]


def test_ways_that_take_up_a_power_of_two_are_of_every_model(stored):
    narrow = [
        way("ue4m3", 8, "absmax", stored["ways"][0]["segments"], narrow=4),
        way("ue8m0", 8, "floor", stored["ways"][0]["segments"]),
    ]
    stored["areas"] += [unit("ue8m0", 8, 1, 400), quantizer("ue8m0", 8, "floor", 100)]
    stored["ways"] += narrow
    found = [(point.row["scale"], point.row["narrow"]) for point in points(stored, narrow=4)]
    assert found == [("ue4m3", 4), ("ue8m0", 0)]


def test_parts_of_the_text_are_taken_together_if_every_way_has_them(stored):
    later = [row | {"start": 100, "segments": [1.0] * 4, "scored": 40} for row in stored["ways"]]
    assert [row["scored"] for row in evaluated(stored | {"ways": stored["ways"] + later[:-1]})] == [100] * 6
    both = evaluated(stored | {"ways": stored["ways"] + later})
    assert [row["scored"] for row in both] == [140] * 6
    assert both[0]["segments"] == stored["ways"][0]["segments"] + [1.0] * 4
    assert both[0]["perplexity"] == pytest.approx(np.exp(sum(both[0]["segments"]) / 140))
    short = [row | {"tokens": 20} for row in stored["ways"]]
    assert evaluated(stored | {"ways": short + both}) == evaluated(stored | {"ways": both})


def test_the_page_and_the_picture(stored, tmp_path):
    text = page_text(stored)
    assert PICTURE in text
    assert "these quantizers were not synthesized yet: ue4m3 N=16 four_over_six.\n" in text
    stored["areas"].append(unit("ue4m3", 16, 1, 1400, "exact"))
    short = stored["ways"][1] | {"tokens": 20}
    more = short | {"accumulate": "fp32", "segments": [value + 0.1 for value in short["segments"]]}
    stored["ways"] += [more, short, short | {"accumulate": "exact"}]
    longer = page_text(stored)
    assert "in area of the unit of one block: +25.0 to +25.0 % under ue4m3. Their" in longer
    assert "on a short text: `fp32` +1.005 % (+1.005 to +1.005), `exact` less than 0.001 %." in longer
    assert "| R = 1 | ue4m3 N=16 absmax | 120 |" in text
    assert "from the cheapest to the best, at every reuse: *ue4m3 N=16 absmax* (+65 %)" in text
    finer = 100 * np.expm1((sum(stored["ways"][1]["segments"]) - sum(stored["ways"][3]["segments"])) / 100)
    assert re.search(rf"\| finer blocks: .* \| wide, ue4m3 \| {re.escape(f'{finer:+.1f}')} % \(", text)
    (told,) = re.findall(r"\*\*Finer blocks: .*\*\* (.*)\n", text)
    assert told == f"*wide, ue4m3: {'lower' if finer < 0 else 'higher'} at 8 ({finer:+.1f} %)*."
    assert draw(stored, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert "R = 1024" in drawn
    assert "ue4m3 four_over_six" in drawn
    assert not draw(stored | {"areas": []}, tmp_path / "c.svg")
    check_messages(
        [(
            ValueError,
            "ways must be evaluated before the page is written, not be missing",
            lambda: page_text(stored | {"ways": []}),
        )]
    )  # fmt: skip


def test_areas_are_measured_once(tmp_path):
    small: list[Any] = [
        UnitConfig(DotSpec(block_size=2, accumulate="fp32"), stages=1),
        *QuantizerChoices(scales=["ue8m0"], block_sizes=[2], methods=["floor"]).units(),
    ]
    known = {
        small[0].name: {"nand2": 5.0, "source": "elsewhere", "flow": 1, "netlist": todays_netlist(small[0])}
    }
    path = tmp_path / "kept.jsonl"
    found = measure_areas(
        {"areas": [], "ways": []}, small, known=known, keep=lambda kept: write_stored(path, "a test", kept)
    )
    assert read_stored(path) == found
    one, two = found["areas"]
    assert (one["nand2"], one["source"]) == (5.0, "elsewhere")
    assert two["least"] <= two["nand2"] <= two["most"] < 1.05 * two["least"]
    assert (two["method"], two["source"]) == ("floor", "measured")
    assert measure_areas(found, small, known={}) == found
    # What another study measured is taken from there again; also what was measured here.
    again = {
        unit.name: {"nand2": 6.0, "source": "elsewhere", "flow": 2, "netlist": todays_netlist(unit)}
        for unit in small
    }
    kept = measure_areas(found, small, known=again)["areas"]
    assert kept[0] == one | again[small[0].name]
    assert (
        kept[1] == {name: two[name] for name in two if name not in ("least", "most")} | again[small[1].name]
    )


def test_areas_of_hardware_before_a_change_are_measured_again():
    small: list[Any] = [UnitConfig(DotSpec(block_size=2, accumulate="fp32"), stages=1)]
    older = {"nand2": 5.0, "source": "elsewhere", "netlist": "of older hardware"}
    kept = {"areas": [{"library": "neutral", **unit_record(small[0]), **older}], "ways": []}
    (found,) = measure_areas(kept, small, known={small[0].name: older})["areas"]
    assert (found["source"], found["netlist"]) == ("measured", todays_netlist(small[0]))
    assert found["nand2"] > 100
    (taken,) = measure_areas(kept, small, known={small[0].name: older}, today=lambda _: older["netlist"])[
        "areas"
    ]
    assert taken == kept["areas"][0]


def test_areas_of_another_library_are_its_own():
    small: list[Any] = [UnitConfig(DotSpec(block_size=2, accumulate="fp32"), stages=1)]
    library = str(Path(__file__).parents[1] / "support" / "no_such.lib")
    kept = {"library": "another", "unit": small[0].name, "nand2": 1.0}
    known = {"nand2": 5.0, "netlist": todays_netlist(small[0])}
    found = measure_areas({"areas": [kept], "ways": []}, small, known={small[0].name: known})
    assert [(row["library"], row["nand2"]) for row in found["areas"]] == [("another", 1.0), ("neutral", 5.0)]
    with pytest.raises(FileNotFoundError):
        measure_areas({"areas": []}, small, known={}, library=library)


def test_energies_are_measured_once(monkeypatch, rng):
    tensors = tuple(np.float32(rng.normal(size=(40, 16))) for _ in range(2))
    monkeypatch.setattr(energies_module, "real_tensors", lambda: tensors)
    dot = UnitConfig(DotSpec(block_size=2, accumulate="fp32"), stages=1)
    (made,) = QuantizerChoices(scales=["ue8m0"], block_sizes=[2], methods=["floor"]).units()
    areas = [{"library": "neutral", **unit_record(one), "nand2": 10.0} for one in (dot, made)]
    kept = {"areas": areas, "energies": [energy(dot.name, 1.0, "another")], "ways": []}
    found = measure_energies(kept, known={}, orders=2, lanes=16)
    of_dot, of_quantizer = found["energies"][1:]
    assert (of_dot["unit"], of_dot["netlists"], of_quantizer["netlists"]) == (dot.name, 2, 1)
    assert 0 < of_dot["settled"] < of_dot["total"]
    assert of_dot["least"] <= of_dot["total"] <= of_dot["most"]
    assert 0 < of_quantizer["settled"] <= of_quantizer["total"] < of_dot["total"]
    assert measure_energies(found, known={}) == found
    one = measure_energies(kept, known={}, only="quantize*", lanes=16)["energies"][1:]
    assert one == [of_quantizer]
    with pytest.raises(ValueError, match=r"^only must match the name of a unit .* in neutral, not 'x\*'$"):
        measure_energies(kept, known={}, only="x*")
    # An energy that was found in another way is found again.
    older = found | {"energies": [row | {"version": 1} for row in found["energies"]]}
    known = {
        one.name: {"total": 5.0, "settled": 1.0, "netlists": 3, "netlist": todays_netlist(one)}
        for one in (dot, made)
    }
    again = measure_energies(older, known=known)["energies"]
    # So is that of hardware before a change.
    changed = {"energies": [again[0], *(row | {"netlist": "of older hardware"} for row in again[1:])]}
    assert measure_energies(older | changed, known=known)["energies"] == again
    assert [(row["total"], row["version"]) for row in again] == [(1.0, 1), *[(5.0, ENERGY_VERSION)] * 2]
    monkeypatch.setattr(energies_module, "real_tensors", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"^weights must be installed for real vectors: make demo$"):
        measure_energies(found)


def test_two_libraries_may_be_measured_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    STORED.parent.mkdir(parents=True)
    here, other = ({"library": library, "unit": "a", "nand2": 1.0} for library in ("neutral", "other"))
    nothing: dict[str, Any] = {"energies": [], "ways": []}
    write_stored(STORED, "a test", nothing | {"areas": [here, other]})

    def measured(stored: dict[str, Any], *, keep: Any, **_: Any) -> None:
        # Meanwhile another process keeps a row that this one has read before.
        write_stored(STORED, "a test", nothing | {"areas": [here, other | {"nand2": 2.0}]})
        keep(stored | {"areas": [here | {"nand2": 3.0}, other]})

    monkeypatch.setattr(measure, "measure_areas", measured)
    assert measure.main(["areas"]) == 0
    assert [row["nand2"] for row in read_stored(STORED)["areas"]] == [3.0, 2.0]


def test_stored_results_that_cannot_be_read_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    STORED.parent.mkdir(parents=True)
    STORED.write_text("nothing")
    for command in ("areas", "energies", "quality", "write"):
        assert measure.main([command]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"quality against cost: {STORED} must be stored results")


def test_ways_are_evaluated_once(tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    model, text = write_model(tmp_path / "model"), write_text(tmp_path / "text.txt")
    monkeypatch.setattr(measure, "find_model", lambda: model)
    monkeypatch.setattr(measure, "find_text", lambda: text)
    arithmetic = Arithmetic(quantization=Quantization(block_size=8), operands="both")
    jobs = [
        EvaluatedPoint(Arithmetic(), tokens=64),
        EvaluatedPoint(arithmetic, tokens=64),
        EvaluatedPoint(Arithmetic(), start=64, tokens=64),
    ]
    found = measure_quality({"areas": [], "ways": []}, jobs, folder=tmp_path / "kept")
    read, tokenizer = open_model(model)
    tokens = tokenizer.encode(text.read_text().strip() + "\n")
    for row, start in zip(found["ways"], (0, 0, 64), strict=True):
        assert (row["scored"], len(row["segments"])) == (63, 9)
        if row["scale"] is None:
            window = tokens[start : start + 64][np.newaxis]
            likely = Transformer(read.configuration, read.weights).log_likelihoods(window)
            assert sum(row["segments"]) == pytest.approx(-likely.sum())
    assert (found["ways"][1]["activation_method"], found["ways"][1]["operands"]) == ("absmax", "both")
    monkeypatch.setattr(measure, "evaluate_text", None)
    assert measure_quality(found, jobs, folder=tmp_path / "kept") == found
    monkeypatch.setattr(measure, "find_text", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"^model and text must be installed: pip install "):
        measure_quality(found, jobs, folder=tmp_path / "kept")


def test_the_page_is_of_what_is_stored(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    kept = read_stored(STORED)
    # What others measured is taken from them, and none of it is measured here.
    for library in libraries(kept):
        known = measure.known_areas(library)
        rows = [row for row in kept["areas"] if row["library"] == library]
        taken = [row for row in rows if row["source"] != "measured"]
        assert taken
        assert all(row["unit"] in known for row in taken)
        assert all(row["netlist"] == known[row["unit"]]["netlist"] for row in taken)
        measured = [row for row in rows if row["source"] == "measured" and row["unit"] in known]
        assert all(row["netlist"] != known[row["unit"]]["netlist"] for row in measured)
    energies = [row for row in kept["energies"] if row["source"] == "answer"]
    for row in energies:
        elsewhere_found = known_energies(row["library"])[row["unit"]]
        assert {name: row[name] for name in elsewhere_found} == elsewhere_found
    # Of one unit, which has what others have, it is the hardware of today.
    unit = "e2m1_ue8m0_n8_fp32_s1"
    rows = [row for row in (*kept["areas"], *kept["energies"]) if row["unit"] == unit]
    assert len(rows) == 2 * len(libraries(kept))
    assert {row["netlist"] for row in rows} == {netlist_by_name(unit)}, (
        "run make quality-against-cost-measure"
    )
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page_text(kept)
    assert not any(len(row["segments"]) < 8 for row in kept["ways"])
