"""Costs with wires: what is measured, how units are compared, and what is written for other tools."""

import csv
import io
import json
import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from blockdot.cli.print_costs import print_report
from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.comparison import compare_costs
from blockdot.lab.cost.cost_sample import CostSample
from blockdot.lab.cost.measurement_bench import MeasurementBench
from blockdot.lab.cost.measurement_job import MeasurementJob
from blockdot.lab.cost.placed_cost import (
    PLACED_RECIPE,
    UNSIZED_DELTAS,
    UNSIZED_RECIPE,
    WIRED_DELTAS,
    WiredCost,
    export_placed,
    placed_costs,
)
from blockdot.lab.cost.placed_figures import PlacedFigures, Placing, RoutedFigures, RoutingResult
from blockdot.lab.cost.routed_cost import ROUTED_DELTAS, ROUTED_FIGURES
from blockdot.lab.reports.cost_report import CostReport
from blockdot.model import DotSpec
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.physical.core_area import CORNERS
from blockdot.synth.recipes import choose
from rich.console import Console

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
UNITS = [UnitConfig(DotSpec(block_size=2, scale=scale), stages=0) for scale in ("ue2m0", "ue3m0")]


@pytest.fixture(scope="module")
def costs() -> list[WiredCost]:
    with pytest.MonkeyPatch.context() as patched:
        # Uniform codes alone.
        patched.setattr("blockdot.lab.cost.placed_cost.real_tensors", lambda: None)
        return placed_costs(
            UNITS,
            neutral(),
            geometry_of(neutral()),
            orders=2,
            placements=2,
            energy=True,
            lanes=4,
            workers=1,
        )


def test_a_unit_costs_more_with_wires_than_without(costs: list[WiredCost]):
    for cost in costs:
        values = {name: summary.values for name, summary in cost.figures.items()}
        assert all(len(several) == 4 for several in values.values())
        assert all(
            0 < bare < wired < 2 * bare
            for bare, wired in zip(values["bare_period"], values["period"], strict=True)
        )
        assert all(
            0 < least <= wire < 1.2 * least
            for least, wire in zip(values["half_perimeter"], values["wire_length"], strict=True)
        )
        # One netlist has one core, whatever the seed, but wires that differ.
        assert values["core_area"][0] == values["core_area"][1]
        assert values["wire_length"][0] != values["wire_length"][1]
        assert set(values["clock_buffers"]) == {0}
        assert [energy.vectors for energy in cost.energies] == ["uniform"]
        for energy in cost.energies:
            assert all(
                0 < settled <= total
                for settled, total in zip(energy.settled.values, energy.total.values, strict=True)
            )


def test_the_placements_of_a_netlist_count_as_one(costs: list[WiredCost]):
    base, cost = costs
    assert (base.base, base.deltas) == (None, None)
    assert cost.base == UNITS[0]
    assert cost.deltas is not None
    assert set(cost.deltas) == set(WIRED_DELTAS)
    one, two = (each.figures["period"].values for each in costs)
    means = [(statistics.fmean(one[at : at + 2]), statistics.fmean(two[at : at + 2])) for at in (0, 2)]
    expected = [100 * (after - before) / before for before, after in means]
    assert cost.deltas["period"].values == pytest.approx(expected)
    assert costs[1].energies[0].delta is not None
    assert len(costs[1].energies[0].delta.values) == 2


def test_wire_is_the_mean_with_the_ports_from_each_corner_on(costs: list[WiredCost]):
    one, two = (each.unsized["wire_length"].values for each in costs)
    assert len(one) == len(two) == 2 * CORNERS
    # One netlist has one core, wherever its ports stand, but wires that differ.
    assert len(set(one[:CORNERS])) == CORNERS
    assert len(set(costs[0].unsized["core_area"].values[:CORNERS])) == 1
    means = [
        (statistics.fmean(one[at : at + CORNERS]), statistics.fmean(two[at : at + CORNERS]))
        for at in (0, CORNERS)
    ]
    expected = [100 * (after - before) / before for before, after in means]
    assert costs[1].deltas is not None
    assert costs[1].deltas["wire_length"].values == pytest.approx(expected)


def test_differences_of_wire_may_be_over_more_netlists():
    told = Told(alike=False)
    base, cost = _told(told, unsized_orders=5)
    assert len(base.figures["period"].values) == 3 * 2
    assert len(base.unsized["wire_length"].values) == 5 * CORNERS
    assert cost.deltas is not None
    assert cost.deltas["wire_length"].values == pytest.approx([1000 / (100 + order) for order in range(5)])
    assert cost.deltas["period"].values == pytest.approx([2000 / (100 + order) for order in range(3)])
    # What is measured of an order does not hang on how many there are.
    assert told.recipes[:12] == [PLACED_RECIPE, PLACED_RECIPE, UNSIZED_RECIPE, UNSIZED_RECIPE] * 3
    assert told.recipes[12:] == [UNSIZED_RECIPE] * 4
    with pytest.raises(ValueError, match=r"^unsized_orders must be at least 3, not 2$"):
        _told(told, unsized_orders=2)


@dataclass
class Told:
    """Gives figures by the number of a netlist, and keeps what it was asked."""

    alike: bool
    routed: Sequence[RoutingResult | None] = (None, None)
    second_routed: Sequence[RoutingResult | None] | None = None
    jobs: list[MeasurementJob] = field(default_factory=list)

    def run(self, jobs: Sequence[MeasurementJob]) -> Iterator[tuple[MeasurementJob, CostSample]]:
        for job in jobs:
            self.jobs.append(job)
            assert job.placing is not None
            sized = job.placing.recipe.name.startswith(PLACED_RECIPE)
            wire = 100.0 + job.order + (20 if sized else 10) * (job.unit != UNITS[0])
            figures = PlacedFigures(1.0, wire, wire, 50.0, wire, wire, 1.0, 1.0, 0, 0.0, ())
            second = job.unit != UNITS[0] and self.second_routed is not None
            routed = self.second_routed if second and self.second_routed else self.routed
            placed = tuple(
                replace(figures, routed=one)
                if sized
                # Ports from the second corner on give more wire, as much as the first one gives less.
                else replace(figures, wire_length=wire + {0: -1, 1: 1}.get(place, 0))
                for place, one in enumerate(routed if sized else [None] * job.placing.corners)
            )
            yield job, CostSample("same" if self.alike else f"{job.order}", (), placed=placed)

    @property
    def recipes(self) -> list[str]:
        return [job.placing.recipe.name for job in self.jobs if job.placing is not None]


def _told(told: Told, unsized_orders: int | None = None) -> list[WiredCost]:
    return placed_costs(
        UNITS,
        neutral(),
        geometry_of(neutral()),
        orders=3,
        unsized_orders=unsized_orders,
        placements=2,
        runner=told,
    )


def test_each_order_is_mapped_by_the_same_two_recipes():
    told = Told(alike=False)
    base, cost = _told(told)
    assert [(job.unit, job.order) for job in told.jobs] == [
        (unit, k) for k in range(3) for _ in told.recipes[:2] for unit in UNITS
    ]
    assert told.recipes == [PLACED_RECIPE, PLACED_RECIPE, UNSIZED_RECIPE, UNSIZED_RECIPE] * 3
    assert base.figures["wire_length"].values == (100, 100, 101, 101, 102, 102)
    assert base.unsized["wire_length"].values[:CORNERS] == (99, 101, 100, 100)
    assert cost.figures["wire_length"].values[0] == 120
    assert cost.unsized["wire_length"].values[2] == 110
    # Differences of wire are of unsized gates, those of time of sized ones.
    assert cost.deltas is not None
    assert set(cost.unsized) == set(UNSIZED_DELTAS)
    assert cost.deltas["wire_length"].values == pytest.approx([1000 / wire for wire in (100, 101, 102)])
    assert cost.deltas["period"].values == pytest.approx([2000 / wire for wire in (100, 101, 102)])


def test_where_orders_give_one_netlist_gates_are_rewritten():
    told = Told(alike=True)
    _told(told)
    first, again = told.recipes[:12], told.recipes[12:]
    assert first == [PLACED_RECIPE, PLACED_RECIPE, UNSIZED_RECIPE, UNSIZED_RECIPE] * 3
    assert again == [
        f"{recipe}{end}"
        for end in ("", "_v1", "_v2")
        for recipe in (PLACED_RECIPE, UNSIZED_RECIPE)
        for _ in UNITS
    ]


def test_reports_have_the_figures_with_wires(costs: list[WiredCost], synthesis_cache: Path):
    comparison = compare_costs(
        UNITS, neutral(), orders=2, recipes=["a2"], parts=False, workers=1, cache=synthesis_cache
    )
    report = CostReport((comparison,), placed=(tuple(costs),))
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SCHEMAS / "area-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report.to_dict())
    wired = report.to_dict()["results"][0]["placed"][1]
    assert wired["recipe"] == PLACED_RECIPE
    assert wired["geometry"]["length_unit"] == "columns"
    delta = wired["deltas"]["wire_length"]
    shown = f"{delta['mean']:+z.2f} ± {(delta['high'] - delta['low']) / 2:.2f} %"
    assert (wired["unsized_recipe"], set(wired["unsized"])) == (UNSIZED_RECIPE, set(UNSIZED_DELTAS))
    assert wired["unsized_corners"] == CORNERS
    markdown = report.text(".md")
    assert (
        "those of core and wire before buffers and sizes (recipe a2), each netlist placed 4 times, with its "
        "ports from each corner of the core on." in markdown
    )
    assert "Gates alone, but for the figures with wires." in markdown
    assert f"| {shown} |" in markdown
    lines = [line for line in report.text(".csv").splitlines() if ',"with wires, wire_length",' in line]
    assert len(lines) == 2
    assert f"{delta['mean']}" in lines[1]
    assert '"placed"' in report.text(".html")
    out = Console(record=True, width=200, file=io.StringIO())
    print_report(out, report)
    shown = out.export_text()
    assert "With wires on neutral: placed by coloquinte at 70 % utilisation" in shown
    assert costs[1].deltas is not None
    assert all(costs[1].deltas[name].text() in shown for name in WIRED_DELTAS)
    assert "no cell is changed after placement" in shown


def test_sizes_are_chosen_again_for_the_wires_of_sized_gates_alone(synthesis_cache: Path):
    told = Told(alike=False)
    costs = placed_costs(
        UNITS, neutral(), geometry_of(neutral()), orders=2, placements=2, resized=True, runner=told
    )
    placings = [job.placing for job in told.jobs if job.placing is not None]
    assert {(one.recipe.name, one.resized) for one in placings} == {
        (PLACED_RECIPE, True),
        (UNSIZED_RECIPE, False),
    }
    # What is kept of the one is not taken for the other.
    again = replace(placings[0], resized=False)
    assert again.parts_of_key() != placings[0].parts_of_key()
    # Sized gates are placed from two seeds, the others with their ports from each corner on.
    placed = {(one.recipe.name, one.seeds, one.corners) for one in placings}
    assert placed == {(PLACED_RECIPE, (1, 2), 1), (UNSIZED_RECIPE, (1,), CORNERS)}
    other = replace(again, corners=2)
    assert other.parts_of_key() != again.parts_of_key()
    shown = _reported(costs, synthesis_cache)
    assert "% utilisation, sizes chosen again for the wires of each placement. Medians" in shown[".md"]
    assert "Sizes were chosen again for the wires of each placement. Diff" in shown["console"]


def test_a_resized_unit_is_faster_with_its_wires():
    (unit,) = UNITS[:1]
    (recipe,) = choose([PLACED_RECIPE])
    bench = MeasurementBench(neutral())
    placing = Placing(geometry_of(neutral()), recipe, (1,), 0.7, 1.0)
    (plain,), (resized,) = (
        bench.measure(MeasurementJob(unit, 0, placing=replace(placing, resized=resize))).placed
        for resize in (False, True)
    )
    bench.close()
    assert resized.period < plain.period
    assert resized.bare_period < resized.period
    # What is kept is read back as it was.
    assert PlacedFigures.of(json.loads(json.dumps(resized.to_dict()))) == resized


def _with_routing(
    results: Sequence[RoutingResult | None], second: Sequence[RoutingResult | None] | None = None
) -> list[WiredCost]:
    """Two units whose netlists' two placements were routed so; those of the second otherwise, if told."""
    told = Told(alike=False, routed=results, second_routed=second)
    return placed_costs(
        UNITS, neutral(), geometry_of(neutral()), orders=2, placements=2, routed=True, runner=told
    )


ROUTED = RoutingResult((), RoutedFigures(110.0, 30, 55.0, 1000.0, 2000.0, 10.0, -2.0, 5.0, 40.0))


@pytest.fixture
def qrouter(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells qrouter's version, on machines without it too."""
    for module in ("placed_cost", "placed_figures"):
        monkeypatch.setattr(f"blockdot.lab.cost.{module}.qrouter_version", lambda: "1.4.71")


@pytest.mark.usefixtures("qrouter")
def test_routed_wires_stand_beside_the_estimate(synthesis_cache: Path):
    costs = _with_routing([ROUTED, ROUTED])
    routed = costs[0].routed
    assert routed is not None
    assert routed.verdict == "all nets of all 4 placements were routed"
    assert routed.figures is not None
    assert set(routed.figures) == set(ROUTED_FIGURES)
    tau = neutral().delay_unit_ps
    assert routed.figures["period"].values == (pytest.approx(2000 / tau),) * 4
    assert routed.figures["detour"].values == (10.0,) * 4
    shown = _reported(costs, synthesis_cache)
    assert "| 110 | 30 | 55.0 |" in shown[".md"]
    assert "| +10.0 | -2.0 | +5.0 | +40.0 |" in shown[".md"]
    assert shown[".csv"].count(',"routed, vias",') == 2
    assert "-2.0 to +40.0 %" in shown["console"]


@pytest.mark.usefixtures("qrouter")
def test_differences_of_what_is_routed_are_reported(synthesis_cache: Path):
    # The mean over the second unit's placements of a netlist is 121 of wire, and 36 vias.
    second = [
        RoutingResult((), RoutedFigures(wire, vias, 55.0, 900.0, 2500.0, 10.0, -2.0, 5.0, 40.0))
        for wire, vias in ((120.0, 32), (122.0, 40))
    ]
    base, cost = (one.routed for one in _with_routing([ROUTED, ROUTED], second))
    assert base is not None
    assert cost is not None
    assert (base.deltas, set(cost.deltas or ())) == (None, set(ROUTED_DELTAS))
    found = {name: delta.values for name, delta in (cost.deltas or {}).items()}
    percents = {"wire_length": 10.0, "vias": 20.0, "delay": -10.0, "period": 25.0}
    assert found == {name: pytest.approx([percent] * 2) for name, percent in percents.items()}
    shown = _reported(_with_routing([ROUTED, ROUTED], second), synthesis_cache)
    assert "Difference of what is routed" in shown["console"]
    for text in ("+10.00 ± 0.00 %", "+20.00 ± 0.00 %", "-10.00 ± 0.00 %", "+25.00 ± 0.00 %"):
        assert text in shown["console"]
        assert text in shown[".md"]
    rows = [row for row in csv.DictReader(io.StringIO(shown[".csv"])) if row["metric"] == "routed, vias"]
    assert [(row["base"], row["delta_percent"]) for row in rows] == [("", ""), (UNITS[0].name, "20.0")]


@pytest.mark.usefixtures("qrouter")
def test_a_failed_net_leaves_no_difference_of_what_is_routed(synthesis_cache: Path):
    failed = [ROUTED, RoutingResult(("n7",), None)]
    for results in (([ROUTED, ROUTED], failed), (failed, [ROUTED, ROUTED])):
        costs = _with_routing(*results)
        assert all(one.routed is not None and one.routed.deltas is None for one in costs)
        shown = _reported(costs, synthesis_cache)
        assert "Difference of what is routed" not in shown["console"]
        assert "Differences of what is routed" not in shown[".md"]


@pytest.mark.usefixtures("qrouter")
def test_a_unit_of_which_a_net_failed_has_no_routed_figures(synthesis_cache: Path):
    costs = _with_routing([ROUTED, RoutingResult(("n7", "o[0]"), None)])
    routed = costs[1].routed
    assert routed is not None
    assert (routed.figures, routed.failed) == (None, ((), ("n7", "o[0]"), (), ("n7", "o[0]")))
    shown = _reported(costs, synthesis_cache)
    verdict = "no figures: 4 nets of 2 of 4 placements could not be routed: n7, o[0]"
    assert shown[".md"].count(f": {verdict}.") == 2
    assert verdict in shown["console"]
    assert ',"routed, ' not in shown[".csv"]


def _reported(costs: list[WiredCost], cache: Path) -> dict[str, str]:
    """What every kind of report says, of which JSON is checked by its schema."""
    comparison = compare_costs(
        UNITS, neutral(), orders=2, recipes=["a2"], parts=False, workers=1, cache=cache
    )
    report = CostReport((comparison,), placed=(tuple(costs),))
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SCHEMAS / "area-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report.to_dict())
    out = Console(record=True, width=200, file=io.StringIO())
    print_report(out, report)
    return {ending: report.text(ending) for ending in (".md", ".csv")} | {"console": out.export_text()}


@pytest.mark.skipif(shutil.which("qrouter") is None, reason="qrouter is not installed")
def test_a_placed_netlist_is_routed_and_remembered(tmp_path: Path):
    (recipe,) = choose([PLACED_RECIPE])
    placing = Placing(geometry_of(neutral()), recipe, (1,), 0.7, 1.0, routed=True)
    bench = MeasurementBench(neutral(), tmp_path)
    job = MeasurementJob(UNITS[0], 0, placing=placing)
    (placed,) = bench.measure(job).placed
    bench.close()
    assert placed.routed is not None
    assert placed.routed.failed == ()
    figures = placed.routed.figures
    assert figures is not None
    assert figures.wire_length > placed.half_perimeter
    assert placed.bare_period < figures.period < 1.1 * placed.period
    assert figures.detour == pytest.approx(100 * (figures.wire_length / placed.wire_length - 1))
    assert figures.detour_low <= figures.detour_median <= figures.detour_high
    assert (
        bench.known(job)
        == bench.known(job)
        != bench.known(replace(job, placing=replace(placing, routed=False)))
    )
    assert (known := bench.known(job)) is not None
    assert known.placed == (placed,)


def test_a_netlist_is_written_for_other_tools(tmp_path: Path):
    (folder,) = export_placed(UNITS[:1], neutral(), geometry_of(neutral()), tmp_path)
    assert folder == tmp_path / UNITS[0].name
    name = "blockdot_e2m1_ue2m0_n2_none_s0"
    written = {f"{name}.{ending}" for ending in ("v", "def", "sdc", "spef", "svg")}
    assert {path.name for path in folder.iterdir()} == written | {
        "neutral.lef",
        "neutral.lib",
        "openroad.tcl",
    }
    assert f"module {name} (" in (folder / f"{name}.v").read_text()
    commands = (folder / "openroad.tcl").read_text()
    assert "set lef_files [list {neutral.lef}]\nset liberty_files [list {neutral.lib}]\n" in commands
    assert f"\nread_def {name}.def\nread_sdc {name}.sdc\n" in commands


def test_records_of_before_there_were_placements_are_still_read(tmp_path: Path):
    bench = MeasurementBench(neutral(), tmp_path)
    job = MeasurementJob(UNITS[0], 0)
    sample = bench.measure(job)
    record = sample.to_dict()
    assert record.pop("placed") == ()
    assert CostSample.of(record) == sample
