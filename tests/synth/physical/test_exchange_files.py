"""What is written for other tools, and what OpenSTA makes of it."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from blockdot.hw import DotUnit, to_rtlil
from blockdot.model import DotSpec
from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import Synthesizer
from blockdot.synth.liberty import Library
from blockdot.synth.mapped_netlist import MappedNetlist
from blockdot.synth.netlist import Netlist
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.physical.core_area import core_of
from blockdot.synth.physical.exchange_files import PlacedFiles
from blockdot.synth.physical.layout import lay_out
from blockdot.synth.physical.placement import CellPlacer, Connections
from blockdot.synth.physical.wires import steiner_wires
from blockdot.synth.recipes import choose
from blockdot.synth.static_timing import analyse

SHARED = Path(__file__).resolve().parents[4] / "shared"
SKY130 = SHARED / "liberty" / "sky130_fd_sc_hd__tt_025C_1v80.lib.gz"
LEF = [SHARED / "lef" / "sky130hd.tlef.gz", SHARED / "lef" / "sky130hd_merged.lef.gz"]


def files_of(netlist: MappedNetlist, models: CellModels, lef: list[Path]) -> PlacedFiles:
    geometry = geometry_of(models.library, lef)
    connections = Connections(netlist, models, geometry)
    with CellPlacer() as placer:
        (placement,) = placer.place(connections, core_of(netlist, geometry), [1])
    return PlacedFiles("chain", steiner_wires(connections, placement), models, 0.7, 1.0)


@pytest.fixture(scope="module")
def placed(chain: MappedNetlist, models: CellModels) -> PlacedFiles:
    return files_of(chain, models, [])


def test_the_verilog_is_the_netlist(placed: PlacedFiles):
    text = placed.verilog()
    assert text.startswith("module chain (\n  clk, en, i, o\n);\n  input clk;\n")
    assert "  output [2:0] o;\n" in text
    # Net 30 is bit 1 of the output, and bit 2 a constant.
    assert "  NAND2_X1 u19 (.A(n29), .B(en), .Y(o[1]));\n" in text
    assert "  NAND2_X1 u20 (.A(o[1]), .B(en), .Y(n31));\n" in text
    assert "  DFF_X1 u41 (.CK(clk), .D(n50), .Q(o[0]));\n" in text
    assert "  assign o[2] = 1'b0;\n" in text
    used = set(re.findall(r"\bn\d+\b", text.split("NAND2", 1)[1]))
    assert used == set(re.findall(r"wire (n\d+);", text))


def test_the_layout_has_every_cell_pin_and_net_once(placed: PlacedFiles, chain: MappedNetlist):
    text = placed.layout()
    core = placed.wires.placement.core
    assert f"DIEAREA ( 0 0 ) ( {core.width} {core.height} ) ;" in text
    found = re.findall(r"^- u(\d+) (\w+) \+ PLACED \( (\d+) (\d+) \) (N|FS) ;$", text, flags=re.MULTILINE)
    assert [(int(number), cell) for number, cell, *_ in found] == [
        (number, one.cell) for number, one in enumerate(chain.instances)
    ]
    for _, _, x, y, orientation in found:
        assert int(x) % core.geometry.site_width == 0
        assert orientation == ("FS" if int(y) // core.geometry.row_height % 2 else "N")
    assert text.count(" + NET ") == 6
    assert "- clk + NET clk + DIRECTION INPUT + USE CLOCK " in text
    nets = re.findall(r"^- (\S+) \( ", text, flags=re.MULTILINE)
    assert len(nets) == len(set(nets)) == len(placed.wires.connections.nets) + 1
    assert "- o[1] ( PIN o[1] ) ( u19 Y ) ( u20 A ) ;" in text


def test_the_spef_adds_up_to_the_wires(placed: PlacedFiles):
    text = placed.spef()
    totals = [float(one) for one in re.findall(r"^\*D_NET \S+ ([\d.]+)$", text, flags=re.MULTILINE)]
    assert len(totals) == len(placed.wires.nets)
    assert sum(totals) == pytest.approx(placed.wires.capacitance, rel=1e-4)
    parts = [
        sum(float(line.split()[-1]) for line in part.partition("*RES")[0].splitlines() if line)
        for part in text.split("*CAP\n")[1:]
    ]
    assert parts == pytest.approx(totals, abs=1e-4)


def test_the_picture_has_every_cell_and_the_wires(placed: PlacedFiles, chain: MappedNetlist):
    document = ElementTree.fromstring(placed.picture())
    _, *cells = document.findall("{*}rect")
    assert len(cells) == len(chain.instances)
    hues = [int(re.findall(r"hsl\((\d+)", cell.attrib["fill"])[0]) for cell in cells]
    # From the first gate of the chain to the last it is later and later; both registers are green.
    assert hues[:40] == sorted(hues[:40], reverse=True)
    assert (hues[39], hues[40:]) == (0, [120, 120])
    (path,) = document.findall("{*}path")
    edges = sum(len(wire.tree.edges) for wire in placed.wires.nets.values())
    assert path.attrib["d"].count("M") == edges


def test_files_are_the_same_each_time_and_a_kit_gets_a_configuration(placed: PlacedFiles):
    assert list(placed.files()) == [".v", ".def", ".sdc", ".spef", ".svg", "openroad.tcl"]
    assert placed.files() == dataclasses.replace(placed).files()
    ns = dataclasses.replace(placed.models.library, delay_unit="ns")
    config = json.loads(dataclasses.replace(placed, models=CellModels(ns)).files()["config.json"])
    assert config["DESIGN_NAME"] == "chain"
    assert config["VERILOG_FILES"] == ["dir::chain.v"]
    assert (config["CLOCK_PORT"], config["FP_CORE_UTIL"], config["FP_ASPECT_RATIO"]) == ("clk", 70.0, 1.0)
    period = analyse(
        placed.wires.connections.netlist, placed.models, placed.wires.loads(placed.models)
    ).period
    assert config["CLOCK_PERIOD"] == pytest.approx(period / 1000, abs=5e-4)


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")
@pytest.mark.skipif(
    not (SKY130.exists() and LEF[0].exists()),
    reason="real Liberty and LEF files are no part of the project: ../shared is absent",
)
@pytest.mark.parametrize("resize", [False, True])
def test_opensta_finds_our_period_with_our_wires(resize: bool, tmp_path: Path):
    sky130 = Library.read(SKY130)
    # It has paths of all four kinds.
    made = DotUnit(DotSpec(block_size=2, accumulate="exact", guard=0), stages=1)
    with Synthesizer(sky130) as synthesizer:
        mapped = synthesizer.map(Netlist(to_rtlil(made), made.name), choose(["s1"]))["s1"]
    models = CellModels(sky130)
    geometry = geometry_of(sky130, LEF)
    with CellPlacer() as placer:
        (wires,) = lay_out(mapped, models, geometry, placer, seeds=[1], resize=resize)
    laid_out = wires.connections.netlist
    assert (laid_out == mapped) is not resize
    written = PlacedFiles("chain", wires, models, 0.7, 1.0)
    for ending, text in written.files().items():
        (tmp_path / (f"chain{ending}" if ending[0] == "." else ending)).write_text(text)
    liberty = sky130.sources[0].text.decode("latin-1")
    # Wires are those of the SPEF alone.
    (tmp_path / sky130.sources[0].name).write_text(
        re.sub(r"^ *default_wire_load[^\n]*\n", "", liberty, flags=re.MULTILINE)
    )
    # What of OpenROAD's commands OpenSTA does not have.
    commands = [
        f"proc {name} args {{ {body} }}"
        for name, body in {
            "read_lef": "puts LEF",
            "read_def": "read_verilog chain.v; link_design chain",
            "check_placement": "",
            "set_wire_rc": "",
            "estimate_parasitics": "",
        }.items()
    ]
    commands.append("source openroad.tcl")
    # The most exact calculator that it has, and the one that it takes by itself, whose slopes at loaded
    # outputs are a tenth above the library's tables.
    calculators = {"arnoldi": 0.001, "dmp_ceff_elmore": 0.01}
    for calculator in calculators:
        commands += [f"set_delay_calculator {calculator}", f'puts "SLACK {calculator} [worst_slack]"']
    (tmp_path / "run.tcl").write_text("\n".join([*commands, ""]))
    done = subprocess.run(
        ["sta", "-no_splash", "-exit", "run.tcl"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert "Error" not in done.stdout + done.stderr
    assert done.stdout.count("LEF\n") == len(LEF)
    ours = analyse(laid_out, models, written.wires.loads(models)).period
    for calculator, tolerance in calculators.items():
        slack = re.search(rf"SLACK {calculator} (-?[\d.e-]+)", done.stdout)
        assert slack is not None, done.stdout
        assert ours - float(slack[1]) * sky130.time_unit_ps == pytest.approx(ours, rel=tolerance)
    # The wires are a part of it that OpenSTA sees too.
    assert ours > 1.05 * analyse(laid_out, models).period
