"""The figures with wires: a small measurement, the text made of it, and the stored page."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from blockdot.lab.cost.cost_sample import CostSample
from blockdot.lab.cost.measurement_job import MeasurementJob
from blockdot.lab.cost.placed_cost import PLACED_RECIPE, UNSIZED_RECIPE
from blockdot.lab.cost.placed_figures import PlacedFigures, Placing, RoutedFigures, RoutingResult
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.physical.core_area import CORNERS
from blockdot.synth.yosys import SynthesisError

from studies.records import joined, read_stored, write_stored
from studies.todays_netlist import netlist_by_name
from studies.wires.measure import STORED, WiredUnits, main, measure_routes, measure_wires
from studies.wires.page import BEGIN, END, PAGE, TABLES, figures_text, with_figures

ROOT = Path(__file__).parents[2]


def row(scale: str, wire: float, deltas: dict[str, Any]) -> dict[str, Any]:
    values = [wire - 10, wire, wire + 10, 2 * wire - 20, 2 * wire, 2 * wire + 20]
    figure = {"unit": "columns", "digits": 0, "median": wire, "values": values}
    names = ("core_area", "wire_length", "wire_load", "period", "bare_period")
    return {
        "library": "one",
        "unit": f"unit_{scale}",
        "accumulate": "fp32",
        "block_size": 16,
        "stages": 1,
        "scale": [scale, scale],
        "recipe": "s1",
        "unsized_recipe": "a2",
        "unsized_corners": 3,
        "orders": 2,
        "placements": 3,
        "utilisation": 0.7,
        "figures": dict.fromkeys(names, figure),
        "unsized": {"core_area": values, "wire_length": values},
        "deltas": deltas,
    }


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    delta = {"mean": 0.5, "low": 0.25, "high": 0.75}
    unsure = {"mean": 0.1, "low": -0.1, "high": 0.3}
    deltas = {"core_area": delta, "wire_length": unsure, "delay": delta, "period": delta}
    return [row("ue4m3", 1000.0, {}), row("ue5m3", 1005.4, deltas)]


def test_figures_are_told_for_each_library(rows):
    text = figures_text({"units": [*rows, *(one | {"library": "two"} for one in rows)]})
    assert "On one, 2 netlists of each unit, each placed 3 times, mapped by recipe `s1`, at 70 % util" in text
    assert "| `fp32`, N=16, UE5M3 | 1005 columns | 1005 columns |" in text
    assert text.count("| `fp32`, N=16 | +0.50 ± 0.25 % | +0.10 ± 0.20 % ~ | +0.50 ± 0.25 % |") == 2
    assert "\n\nOn two, 2 netlists" in text
    # Of both netlists 1 % of 1000, and a bit less of 1005.4. Both pairs differ by 0.54 %.
    assert (
        "of one netlist differs by 1.00 % (standard deviation), and from seed to seed, with sizes, by 1.00 %."
        in text
    )
    assert text.count("| `fp32`, N=16 | +0.54 ± 0.00 % | +0.54 ± 0.00 % |\n") == 2


def test_new_rows_take_the_places_of_old_ones(rows):
    new = rows[1] | {"orders": 8}
    more = rows[1] | {"library": "two"}
    assert joined(rows, [new, more]) == [rows[0], new, more]


def test_a_page_keeps_what_stands_around_the_marks(rows):
    page = f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    stored = {"units": rows}
    made = with_figures(page, stored)
    assert made == f"before\n\n{BEGIN}\n\n{figures_text(stored)}\n{END}\n\nafter\n"
    assert with_figures(made, stored) == made
    for wrong in ("none", f"{END}\n{BEGIN}\n", f"{page}{page}"):
        with pytest.raises(ValueError, match=r"^wires\.md must have <!-- .* once each, in this order$"):
            with_figures(wrong, stored)


def test_sizes_chosen_again_are_told_beside_those_of_before(rows):
    def shorter(row: dict[str, Any]) -> dict[str, Any]:
        # Of each netlist the first placement alone, with a tenth less.
        figures = {
            name: figure
            | {"median": 0.9 * figure["median"], "values": [0.9 * v for v in figure["values"][::3]]}
            for name, figure in row["figures"].items()
        }
        return row | {"figures": figures, "placements": 1}

    resized = [shorter(one) for one in rows]
    text = figures_text({"units": rows, "resized": resized})
    assert (
        "sizes chosen again for the wires of each placement, 2 netlists of each unit, each placed once"
        in text
    )
    # Of 990 and 1980, the first placements of both netlists.
    assert "| `fp32`, N=16, UE4M3 | 1485 columns | 900 columns | -10.00 ± 0.00 % |" in text
    assert "What UE5M3 adds to UE4M3 with these sizes:" in text
    assert "| `fp32`, N=16 | +0.55 ± 0.00 % |" in text
    resized[1]["unsized"] = {name: [1.0, 2.0] for name in resized[1]["unsized"]}
    with pytest.raises(ValueError, match=r"^unit_ue5m3 must be measured without --resize too, of the same"):
        figures_text({"units": rows, "resized": resized})
    with pytest.raises(ValueError, match=r"^unit_ue4m3 must be measured without --resize too"):
        figures_text({"resized": resized})


def routed_row(scale: str, routed: float, vias: float) -> dict[str, Any]:
    def figure(unit: str, *values: float) -> dict[str, Any]:
        return {"unit": unit, "digits": 0, "median": values[0], "values": list(values)}

    estimate = {"wire_length": figure("um", 1000, 1000), "period": figure("ns", 10, 10)}
    figures = {
        "wire_length": figure("um", routed, routed),
        "vias": figure("", vias, vias),
        "period": figure("ns", 11, 11),
        "detour": figure("%", routed / 10 - 100, routed / 10 - 100),
    }
    placed = {"orders": 2, "placements": 1, "qrouter": "1.4.71", "layers": ["met1", "met2"]}
    return row(scale, 1.0, {}) | placed | {"estimate": estimate, "figures": figures}


def test_routed_wires_are_told_beside_the_estimate():
    text = figures_text({"routed": [routed_row("ue4m3", 1080, 500), routed_row("ue5m3", 1100, 510)]})
    assert (
        "On one, routed in detail by qrouter 1.4.71 on met1, met2: 2 netlists of each unit, each pl" in text
    )
    assert "| `fp32`, N=16, UE5M3 | 1000 um | 1100 um | 510 | 10 ns | 11 ns |" in text
    same = "+0.00 ± 0.00 % ~"
    wire = f"{same} | +1.85 ± 0.00 % | +2.00 ± 0.00 %"
    assert f"| `fp32`, N=16 | {wire} | +2.00 ± 0.00 % | {same} | {same} |" in text


def test_hardware_that_has_changed_is_told(rows):
    changed = [rows[0], rows[1] | {"changed": True}]
    of_one = "**The hardware has changed since this was measured**: of `fp32`, N=16, UE5M3.\n\n"
    assert figures_text({"units": changed}) == of_one + figures_text({"units": rows})
    routed = [routed_row(scale, 1080, 500) | {"changed": True} for scale in ("ue4m3", "ue5m3")]
    assert figures_text({"routed": routed}).startswith(
        "**The hardware has changed since this was measured**: of all units below.\n\n"
    )
    assert "has changed" not in figures_text({"units": rows})


class Told:
    """Gives figures by a job's unit, order and recipe, instead of placing anything."""

    def __init__(self, failed: tuple[str, ...] = ()) -> None:
        self.failed = failed
        self.placings: list[Placing] = []

    def run(self, jobs: Sequence[MeasurementJob]) -> Iterator[tuple[MeasurementJob, CostSample]]:
        for job in jobs:
            assert job.placing is not None
            self.placings.append(job.placing)
            wire = 1000.0 + 10 * job.order + 5 * ("ue5m3" in job.unit.name)
            if job.placing.recipe.name == PLACED_RECIPE:
                wire += 100
            placed = tuple(
                PlacedFigures(
                    wire, wire + seed, wire, 50.0, wire, wire, wire, wire, 0, 0.0, (), self._routed(job, wire)
                )
                for _ in range(job.placing.corners)
                for seed in job.placing.seeds
            )
            yield job, CostSample(f"{job.order}", (), placed=placed)

    def _routed(self, job: MeasurementJob, wire: float) -> RoutingResult | None:
        assert job.placing is not None
        if not job.placing.routed:
            return None
        figures = RoutedFigures(1.1 * wire, 7, 55.0, wire, 2 * wire, 10.0, 0.0, 10.0, 20.0)
        return RoutingResult(self.failed, None if self.failed else figures)


def _units(**options: Any) -> WiredUnits:
    return WiredUnits(
        library=neutral(), geometry=geometry_of(neutral()), accumulates=["none"], orders=2, **options
    )


def test_a_measurement(tmp_path):
    kept: list[list[dict[str, Any]]] = []
    found = measure_wires(_units(runner=Told(), placements=2), keep=kept.append)
    write_stored(tmp_path / "kept.jsonl", "a test", {"units": found})
    assert read_stored(tmp_path / "kept.jsonl")["units"] == json.loads(json.dumps(found))
    assert kept == [found]
    assert [one["scale"] for one in found] == [["ue4m3"] * 2, ["ue5m3"] * 2]
    assert found[1]["figures"]["wire_length"]["values"] == [1106, 1107, 1116, 1117]
    assert found[1]["unsized"]["wire_length"] == [1006] * CORNERS + [1016] * CORNERS
    percent = (5 / 1001 + 5 / 1011) * 50
    assert found[1]["deltas"]["wire_length"]["mean"] == pytest.approx(percent)
    assert "On neutral, 2 netlists of each unit, each placed 2 times" in figures_text({"units": found})


def test_a_measurement_with_sizes_chosen_again():
    told = Told()
    found = measure_wires(_units(runner=told, placements=1, block_size=8), resized=True)
    assert [one["block_size"] for one in found] == [8, 8]
    assert {(one.recipe.name, one.resized) for one in told.placings} == {
        (PLACED_RECIPE, True),
        (UNSIZED_RECIPE, False),
    }


@pytest.mark.skipif(shutil.which("qrouter") is None, reason="qrouter is not installed")
def test_a_measurement_of_routed_wires():
    # Twice each where nothing is said of it.
    found = measure_routes(_units(runner=Told()))
    assert [one["placements"] for one in found] == [2, 2]
    assert [one["scale"] for one in found] == [["ue4m3"] * 2, ["ue5m3"] * 2]
    assert found[0]["figures"]["vias"]["values"] == [7] * 4
    assert found[1]["estimate"]["wire_length"]["values"] == [1106, 1107, 1116, 1117]
    assert found[1]["figures"]["wire_length"]["values"] == pytest.approx([1215.5, 1215.5, 1226.5, 1226.5])
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(
        SynthesisError, match=r"^e2m1_ue4m3_n16_none_s0 must be routed: no figures: 4 nets of"
    ):
        measure_routes(_units(runner=Told(("n7",))))


def test_the_page_has_what_is_stored():
    page = (ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    stored = read_stored(ROOT / STORED)
    assert with_figures(page, stored) == page, "run make wires"
    name = "e2m1_ue5m3_n16_none_s0"
    rows = [row for table in TABLES for row in stored[table] if row["unit"] == name]
    assert len(rows) >= len(TABLES)
    today = netlist_by_name(name)
    assert [row.get("changed", False) for row in rows] == [row["netlist"] != today for row in rows]


def test_the_write_command_makes_the_page(rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / STORED).parent.mkdir(parents=True)
    names = [f"e2m1_{one['scale'][0]}_n2_none_s0" for one in rows]
    kept = [
        one | {"unit": name, "netlist": netlist}
        for one, name, netlist in zip(
            rows, names, [netlist_by_name(names[0]), "of older hardware"], strict=True
        )
    ]
    write_stored(tmp_path / STORED, "a test", {"units": kept})
    page = tmp_path / "docs" / PAGE
    page.write_text(f"x\n{BEGIN}\n{END}\n")
    assert main(["write"]) == 0
    assert "| +0.10 ± 0.20 % ~ |" in page.read_text()
    assert "has changed since this was measured**: of `fp32`, N=16, UE5M3." in page.read_text()
    assert [row.get("changed") for row in read_stored(tmp_path / STORED)["units"]] == [None, True]
    page.write_text("x\n")
    assert main(["write"]) == 2
    assert capsys.readouterr().err.startswith("wires: wires.md must have <!-- ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--placements", "0"], "placements must be at least 1, not 0"),
        (["--orders", "1"], "orders must be at least 2 for an error bar, not 1"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(given, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["measure", "--resize", *given]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"wires: {message}"
    assert not STORED.exists()
