import csv
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from blockdot.cli.print_costs import print_report
from blockdot.lab.cost.area_delay import area_delay_curves
from blockdot.lab.cost.comparison import compare_costs
from blockdot.lab.cost.fpga_cost import RESOURCES, FpgaCost, PlacedCost
from blockdot.lab.cost.placed_cost import UNSIZED_DELTAS, WIRED_DELTAS, WiredCost, WiredEnergy
from blockdot.lab.cost.placed_figures import Placing
from blockdot.lab.cost.unit_energy import energies
from blockdot.lab.reports.cost_report import CostReport, read_report, report_changes
from blockdot.lab.statistics import Estimate, Summary
from blockdot.lab.unit_choices import UnitChoices
from blockdot.synth.ice40_placement import LOGIC_CELLS
from blockdot.synth.metric import FMAX, Metric
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.recipes import choose
from browser import browse, needs_chromium
from gate_netlists import timed_cell, with_cells
from messages import whole
from rich.console import Console


@pytest.fixture(scope="module")
def report(synthesis_cache: Path) -> CostReport:
    units = UnitChoices(accumulates=["none"], block_sizes=[2, 4]).units()
    measured = compare_costs(units, neutral(), orders=2, recipes=["a2"], cache=synthesis_cache)
    drawn = area_delay_curves(units[:2], neutral(), orders=2, targets=[90.0], cache=synthesis_cache)
    powered = energies(units[:2], neutral(), orders=2, cache=synthesis_cache)
    return CostReport((measured,), ((drawn,),), (tuple(powered),))


def test_json_is_read_back_and_nothing_changed(report: CostReport, tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text(report.text(".json"))
    record = read_report(path)
    assert record == json.loads(json.dumps(report.to_dict()))
    assert {change.percent for change in report_changes(record, report.to_dict())} == {0.0}


def test_changes(report: CostReport):
    old, new = (json.loads(report.text(".json")) for _ in range(2))
    old["results"][0]["costs"][1]["area"]["median"] /= 2
    old["results"][0]["costs"][2]["period"]["median"] = 0
    grown = {(c.unit, c.metric): c.percent for c in report_changes(old, new) if c.percent}
    assert grown == {
        ("e2m1_ue5m3_n2_none_s0", "area"): pytest.approx(100),
        ("e2m1_ue4m3_n4_none_s0", "period"): float("inf"),
    }
    old["results"][0]["library"]["name"] = "another"
    message = "reports must have a unit with the same library in common, not none"
    with pytest.raises(ValueError, match=whole(message)):
        report_changes(old, new)


def test_adder_cells_are_used_where_they_are_asked_for_and_named():
    adder = timed_cell("FULL", 2, "A B C", 20.0, S="!(A^B^C)", K="!(A*B+A*C+B*C)")
    (unit,) = UnitChoices(scales=["ue4m3"], accumulates=["none"], block_sizes=[2]).units()
    plain, measured = (
        compare_costs(
            [unit], with_cells(adder), orders=2, recipes=["a2"], parts=False, adders=adders, workers=1
        )
        for adders in (False, True)
    )
    assert (plain.adders, plain.recipes) == ((), ("a2",))
    assert (measured.adders, measured.recipes) == (("FULL",), ("a2_adders",))
    assert measured.costs[0].netlist == plain.costs[0].netlist
    assert all(
        after < before
        for before, after in zip(plain.costs[0].area.values, measured.costs[0].area.values, strict=True)
    )
    before, after = CostReport((plain,)), CostReport((measured,))
    assert [json.loads(one.text(".json"))["results"][0]["adders"] for one in (before, after)] == [
        [],
        ["FULL"],
    ]
    assert "Adder cells used: `FULL`." in after.text(".md")
    assert "Adder cells used" not in before.text(".md")
    rows = csv.DictReader(after.text(".csv").splitlines())
    assert {row["adders"] for row in rows} == {"FULL"}
    printed = io.StringIO()
    print_report(Console(file=printed, width=120), after)
    assert "Adder cells used: FULL\n" in printed.getvalue()
    # Figures with and without are not compared as if something had changed.
    message = "reports must both be of adder cells or neither, not one of them"
    with pytest.raises(ValueError, match=whole(message)):
        report_changes(before.to_dict(), after.to_dict())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "report must be a JSON file of blockdot area, not '{path}'"),
        ("[]", "report must be blockdot.area version 2, not None version None"),
        (
            '{"schema": "blockdot.area", "version": 1}',
            "report must be blockdot.area version 2, not blockdot.area version 1",
        ),
    ],
)
def test_what_is_no_report(tmp_path: Path, text: str, message: str):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=whole(message.replace("{path}", str(path)))):
        read_report(path)


def test_csv_has_a_line_for_each_figure(report: CostReport):
    rows = list(csv.DictReader(report.text(".csv").splitlines()))
    assert len(rows) == 4 * 5 + 2 * len(report.energies[0])
    row = next(row for row in rows if row["unit"] == "e2m1_ue5m3_n2_none_s0" and row["metric"] == "area")
    delta = report.comparisons[0].deltas[0]
    assert float(row["delta"]) == delta.absolute.mean
    assert (row["base"], row["scale"], row["unit_of_measure"]) == ("e2m1_ue4m3_n2_none_s0", "ue5m3", "NAND2")


def test_markdown_has_both_ways_side_by_side_and_the_components_that_add_up(report: CostReport):
    text = report.text(".md")
    attribution = report.comparisons[0].attributions[0]
    assert attribution.relative.text() in text
    assert attribution.whole.relative.text() in text
    for part in attribution.parts:
        assert f"| {part.role} |" in text
    assert attribution.total.mean == pytest.approx(sum(part.area.mean for part in attribution.parts))


def test_an_unknown_format(report: CostReport):
    with pytest.raises(
        ValueError, match=whole("report must end in one of .json, .csv, .md, .html, not '.pdf'")
    ):
        report.text(".pdf")


# The page, in a real browser.


def test_the_page_needs_nothing_else(report: CostReport):
    text = report.text(".html")
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "import(" not in text
    assert "/*REPORT*/" not in text
    assert text.count("</script>") == 1


@pytest.fixture
def page(report: CostReport, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(report.text(".html"))
    return path


@needs_chromium
def test_the_page_draws_curves_bars_and_tables_without_an_error(
    page: Path, report: CostReport, tmp_path: Path
):
    document, console = browse(page, tmp_path)
    assert console == ""
    (drawn,) = report.curves[0]
    assert document.count('class="dot"') == sum(len(order) for curve in drawn.curves for order in curve.dots)
    assert document.count('class="front"') == 2
    assert document.count('class="bar"') >= 4
    for attribution in report.comparisons[0].attributions:
        about = f"{attribution.whole.other.name} against {attribution.whole.base.name}, neutral: "
        assert about + html.escape(attribution.text(), quote=False) in document
    # What is on the curves is read off at the same delays, energy is told beside.
    table = document[document.index("<th>at 90.00 FO4</th>") : document.index('id="energies"')]
    difference = drawn.deltas[0].relative.text().replace("-", "\N{MINUS SIGN}")
    assert f">{difference}" in table
    told = document[document.index('id="energies"') : document.index('id="fpga"')]
    for energy in report.energies[0]:
        assert f"<td>{energy.unit.name}</td><td>{energy.vectors}</td><td>{energy.total.median:.0f} (" in told
    # Numbers along the axes are round, and whole.
    marks = re.findall(r'class="tick"[^>]*>([^<]+)<', document)
    assert len(marks) >= 6
    assert all(re.fullmatch(r"[\d,]+(\.\d{1,2})?", mark) for mark in marks)
    # Every point has its full configuration.
    assert document.count("pyosys: ") >= document.count('class="dot"')


@needs_chromium
def test_the_page_shows_figures_with_wires(report: CostReport, tmp_path: Path):
    one, two, *_ = report.comparisons[0].costs
    (recipe,) = choose(["s1"])
    placing = Placing(geometry_of(neutral()), recipe, (1,), 0.7, 1.0)
    figures = {
        name: Summary(Metric(name, "FO4" if "period" in name else "um", "lower", 1), (123.0, 125.0))
        for name in (
            "core_area", "wire_length", "half_perimeter", "wire_load", "delay", "period", "bare_delay",
            "bare_period", "clock_buffers", "clock_wire",
        )
    }  # fmt: skip
    delta = Estimate(Metric("wire length", "%", "lower", 2), (1.0, 2.0))
    energy = WiredEnergy("uniform", Summary(FMAX, (77.0, 79.0)), Summary(FMAX, (55.0, 55.0)), delta, delta)
    unsized = {name: figures[name] for name in UNSIZED_DELTAS}
    base = WiredCost(one.unit, placing, "0.4.1", figures, unsized)
    other = replace(base, unit=two.unit, base=one.unit, deltas=dict.fromkeys(WIRED_DELTAS, delta))
    path = tmp_path / "page.html"
    path.write_text(replace(report, placed=((base, replace(other, energies=(energy,))),)).text(".html"))
    document, console = browse(path, tmp_path)
    assert console == ""
    shown = document[document.rindex('id="wires"') : document.rindex('id="fpga"')]
    row = shown[shown.index(f"<td>{two.unit.name}</td>") :]
    assert row.startswith(f"<td>{two.unit.name}</td><td>124.0 um</td><td>124 um</td><td>124 %</td>")
    assert row.count("<td>+1.50 ± ") == len(WIRED_DELTAS) + 2
    assert "<td>uniform</td><td>78 (77 to 79)</td><td>55</td>" in row


@needs_chromium
def test_the_page_shows_layouts_side_by_side(
    report: CostReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = [cost.unit.name for cost in report.comparisons[0].costs[:2]]
    drawn = [
        {
            "library": "neutral",
            "unit": name,
            "routed": routed,
            "colours": {"tree": "#123456"},
            "svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 2h3"/></svg>',
        }
        for name, routed in zip(names, (True, False), strict=True)
    ]
    monkeypatch.setattr("blockdot.lab.reports.cost_report.layout_records", lambda _: drawn)
    path = tmp_path / "page.html"
    path.write_text(report.text(".html"))
    document, console = browse(path, tmp_path)
    assert console == ""
    shown = document[document.rindex('id="layouts"') : document.rindex('id="fpga"')]
    assert shown.count('<path d="M1 2h3">') == 2
    assert f"{names[0]}, neutral, routed wires" in shown
    assert f"{names[1]}, neutral, estimated wires" in shown
    assert shown.count("tree") == 1
    # Data that are read by others have no pictures.
    assert "layouts" not in report.to_dict()


@needs_chromium
def test_the_page_shows_what_was_placed(tmp_path: Path):
    unit = UnitChoices(accumulates=["none"], block_sizes=[2]).units()[0]
    cells, fmax = Summary(LOGIC_CELLS, (420.0, 424.0)), Summary(FMAX, (21.0, 22.5))
    delta = Estimate(FMAX, (1.0, 2.0))
    resources = {name: Summary(Metric(name, "", "lower", 0), (400.0, 401.0)) for name in RESOURCES}
    placed = PlacedCost("HX8K", "1.2", (1,), cells, fmax, True, None, delta)
    path = tmp_path / "page.html"
    path.write_text(CostReport((), fpga=(FpgaCost(unit, "ice40", resources, placed=placed),)).text(".html"))
    document, console = browse(path, tmp_path)
    assert console == ""
    shown = document[document.rindex('id="fpga"') :]
    assert "<td>422 (420 to 424)</td><td>21.75 (21.00 to 22.50)</td><td></td><td>+1.50 ± " in shown
    assert shown.count("401 (400 to 401)") + shown.count("400 (400 to 401)") == 1


@needs_chromium
def test_filters(page: Path, tmp_path: Path):
    choose = """
        const select = document.querySelector('[data-filter=block_size]');
        select.value = '4';
        select.dispatchEvent(new Event('change'));
        document.body.dataset.hash = location.hash;
    """
    for document, console in (
        browse(page, tmp_path, script=choose),
        browse(page, tmp_path, fragment="#block_size=4"),
    ):
        assert console == ""
        units = document[document.index('id="units"') : document.index('id="deltas"')]
        assert re.findall(r"e2m1_\w+", units) == ["e2m1_ue4m3_n4_none_s0", "e2m1_ue5m3_n4_none_s0"]
        assert 'class="dot"' not in document
    assert 'data-hash="#block_size=4"' in browse(page, tmp_path, script=choose)[0]


@needs_chromium
def test_a_point_shows_its_configuration(page: Path, tmp_path: Path):
    click = "document.querySelector('.dot').dispatchEvent(new Event('click'));"
    document, _ = browse(page, tmp_path, script=click)
    tip = document[document.index('id="tip"') :]
    tip = tip[: tip.index("</p>")]
    for name in ("recipe: ", "driving_cell: ", "pyosys: ", "sha256: ", "delay: "):
        assert name in tip


@needs_chromium
def test_a_phone_needs_not_scroll_sideways_nor_magnify(page: Path, tmp_path: Path):
    framed = tmp_path / "framed.html"
    tell = """<script>parent.postMessage([document.documentElement.scrollWidth, Math.min(
        ...[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height)
    )], '*');</script></body>"""
    framed.write_text(page.read_text().replace("</body>", tell))
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!doctype html><body><script>onmessage = e => document.body.dataset.size = e.data;</script>"
        f"<iframe src='file://{framed}' width=360 height=800 style='border:0'></iframe></body>"
    )
    document, _ = browse(outer, tmp_path)
    size = re.search(r'data-size="(\d+),([\d.]+)"', document)
    assert size is not None
    # A scroll bar for the height may take some of it.
    assert int(size[1]) <= 360
    # In pixels of what is 360 wide.
    assert float(size[2]) >= 11
