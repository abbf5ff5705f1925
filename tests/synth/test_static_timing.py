import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blockdot.synth.cell_models import AbcCellModels, CellModels
from blockdot.synth.cell_tables import Arc, CellModel, Table
from blockdot.synth.flow import Synthesizer, synthesize
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import CLOCK_TO_OUTPUT, SETUP, TAU_PS, liberty_text, neutral
from blockdot.synth.recipes import choose
from blockdot.synth.static_timing import PATHS, analyse, gates_delay
from blockdot.synth.yosys import SynthesisError
from messages import whole

REAL = Path(__file__).resolve().parents[3] / "shared" / "liberty"
OSU = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")

# XORs, multiplexers and carries; paths of three kinds.
REGISTERED = """
    module top(input clk, s, input [3:0] a, b, output reg [7:0] q, output p);
        reg [3:0] x, y;
        always @(posedge clk) begin x <= a; y <= b ^ {b[0], b[3:1]}; q <= s ? x * y : x + y; end
        assign p = ^(x * y);
    endmodule
"""


def library_of(name: str) -> Library:
    match name:
        case "neutral":
            return neutral()
        case "osu018":
            if not OSU.exists():
                pytest.skip("Debian's qflow-tech-osu018 is not installed")
            return Library.read(OSU)
    if not REAL.is_dir():
        pytest.skip("real Liberty files are no part of the project: ../shared/liberty is absent")
    return Library.read(*sorted(REAL.glob(f"{name}*.lib.gz")))


@pytest.mark.parametrize("name", ["neutral", "osu018", "sky130", "asap7"])
def test_gates_take_what_abc_says_they_take(name: str):
    library = library_of(name)
    with Synthesizer(library) as synthesizer:
        (made,) = synthesizer.mapped_by([Netlist(REGISTERED, "top", "verilog")], choose(["a2", "s1", "d1"]))
    for raw, mapped in made.values():
        # abc prints two digits of a picosecond.
        told = pytest.approx(raw.stime_ps, rel=2e-6, abs=0.011)
        assert gates_delay(mapped, AbcCellModels(library)) == told
        if name in ("neutral", "osu018"):
            # They state one arc for both senses of an XOR, or one sense alone.
            assert gates_delay(mapped, CellModels(library)) == told


def net_of(*gates: CellInstance, inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]):
    return analyse(MappedNetlist(inputs, outputs, gates), CellModels(neutral()))


def test_from_register_to_register_by_hand():
    # Q drives an inverter, which drives D (2): clock to output at a load of 1, the inverter's own 1 + 2.
    timing = net_of(
        CellInstance("DFF_X1", {"CK": 0, "D": 2, "Q": 1}),
        CellInstance("INV_X1", {"A": 1, "Y": 2}),
        inputs={"clk": (0,)},
        outputs={},
    )
    expected = TAU_PS * (CLOCK_TO_OUTPUT + 1 + (1 + 2) + SETUP)
    assert timing.paths == {"register to register": pytest.approx(expected)}
    assert timing.period == timing.paths["register to register"]
    assert timing.clock_to_output == pytest.approx(TAU_PS * (CLOCK_TO_OUTPUT + 1))
    assert timing.setup == pytest.approx(TAU_PS * SETUP)
    # abc's view of it: the inverter drives an output load of 4, driven by BUF_X2 at a load of 1.
    assert timing.gates == pytest.approx(TAU_PS * (0.5 + 1 + 4))


def test_inputs_come_from_registers_and_outputs_go_to_them():
    # A register on BUF_X2 (its input is a unit inverter), whose own delay is 1 + 2 and 1, at a load of 1.
    timing = net_of(CellInstance("INV_X1", {"A": 0, "Y": 1}), inputs={"a": (0,)}, outputs={"y": (1,)})
    buffer = 1 + 2 + 1 + 1 / 2
    expected = TAU_PS * (CLOCK_TO_OUTPUT + 1 + buffer + (1 + 4) + SETUP)
    assert timing.paths == {"input to output": pytest.approx(expected)}


def test_a_register_between_ports_has_the_two_outer_paths():
    timing = net_of(
        CellInstance("DFF_X1", {"CK": 0, "D": 1, "Q": 2}),
        inputs={"clk": (0,), "d": (1,)},
        outputs={"q": (2,)},
    )
    assert set(timing.paths) == {"input to register", "register to output"}
    assert timing.paths["register to output"] == pytest.approx(TAU_PS * (CLOCK_TO_OUTPUT + 4 + SETUP))
    assert timing.gates == 0.0


def test_wires_and_constants_have_no_gates():
    timing = net_of(inputs={"a": (0,)}, outputs={"y": (0, MappedNetlist.ONE)})
    assert timing.gates == 0.0


def test_a_loop_is_refused():
    loop = MappedNetlist(
        {}, {"y": (1,)}, (CellInstance("INV_X1", {"A": 1, "Y": 2}), CellInstance("INV_X1", {"A": 2, "Y": 1}))
    )
    with pytest.raises(ValueError, match=whole("a netlist must have no loop of gates, not one of 2")):
        analyse(loop, CellModels(neutral()))


def test_a_point_says_all_of_it():
    (point,) = synthesize(REGISTERED, "top", neutral(), recipes=["d1"], language="verilog")
    paths = dict(point.paths)
    assert set(paths) == set(PATHS) - {"input to output"}
    assert point.period == max(paths.values())
    assert point.period > point.clock_to_output + point.setup
    # The period is longer than the gates on its path by what registers take.
    assert point.period > point.delay


class Changed(CellModels):
    """The neutral cells, some of which are others."""

    def __init__(self, changed: Mapping[str, CellModel]) -> None:
        super().__init__(neutral())
        self._changed = changed

    def __getitem__(self, name: str) -> CellModel:
        return self._changed.get(name) or super().__getitem__(name)


INVERTER = MappedNetlist({"d": (1,)}, {"q": (2,)}, (CellInstance("INV_X1", {"A": 1, "Y": 2}),))


def test_a_flip_flop_without_what_timing_needs_is_refused():
    flip_flop = CellModels(neutral())["DFF_X1"]
    for change, message in (
        ({"setup": {}}, "flip-flop DFF_X1 must have a setup time at D, not none"),
        ({"arcs": ()}, "flip-flop DFF_X1 must have a delay from its clock to Q, not none"),
        ({"clock_edge": 1}, "flip-flop DFF_X1 must have a delay from its clock to Q, not none"),
    ):
        with pytest.raises(ValueError, match=whole(message)):
            analyse(INVERTER, Changed({"DFF_X1": replace(flip_flop, **change)}))


def test_a_register_of_the_netlist_without_a_setup_time_is_refused():
    flip_flop = replace(CellModels(neutral())["DFF_X1"], name="OTHER", setup={})
    gates = (CellInstance("OTHER", {"CK": 0, "D": 1}),)
    with pytest.raises(ValueError, match=whole("flip-flop OTHER must have a setup time at D, not none")):
        analyse(MappedNetlist({"clk": (0,), "d": (1,)}, {}, gates), Changed({"OTHER": flip_flop}))


@pytest.mark.parametrize("edge", [0, 1])
def test_a_gate_without_a_delay_is_named(edge: int):
    model = CellModels(neutral())["INV_X1"]
    (arc,) = model.arcs
    one = (arc.delay[0], None) if edge == 0 else (None, arc.delay[1])
    for arcs in ((), (replace(arc, delay=one, slope=one),)):
        with pytest.raises(ValueError, match=whole("cell INV_X1 must have a delay from A to Y, not none")):
            analyse(INVERTER, Changed({"INV_X1": replace(model, arcs=arcs)}))


def test_a_gate_that_only_constants_reach_needs_no_delay():
    model = replace(CellModels(neutral())["NAND2_X1"], arcs=())
    gate = CellInstance("NAND2_X1", {"A": MappedNetlist.ONE, "B": MappedNetlist.ZERO, "Y": 2})
    timing = analyse(MappedNetlist({}, {"y": (2,)}, (gate,)), Changed({"NAND2_X1": model}))
    assert (timing.gates, timing.paths) == (0.0, {})


def test_setup_takes_the_slope_of_the_edge_that_counts():
    flip_flop = CellModels(neutral())["DFF_X1"]
    buffer = CellModels(neutral())["BUF_X2"]
    slow, steep = (Table((0.0,), (0.0,), ((value,),)) for value in (70.0, 30.0))
    driver = replace(buffer, arcs=tuple(replace(arc, slope=(slow, steep)) for arc in buffer.arcs))
    # As long as the clock's slope.
    setup = Table((0.0,), (0.0, 1.0), ((0.0, 1.0),))
    for edge, expected in ((0, 70.0), (1, 30.0)):
        register = replace(
            flip_flop,
            clock_edge=edge,
            arcs=tuple(replace(arc, clock_edge=edge) for arc in flip_flop.arcs),
            setup={"D": ((setup,), (setup,))},
        )
        assert analyse(INVERTER, Changed({"DFF_X1": register, "BUF_X2": driver})).setup == expected


def test_paths_through_a_gate_share_the_slowest_slope():
    # Its second input makes slow slopes, and an inverter takes as long as its slope.
    nand, inverter = (CellModels(neutral())[name] for name in ("NAND2_X1", "INV_X1"))
    flat = {pin: Table((0.0,), (0.0,), ((value,),)) for pin, value in (("A", 10.0), ("B", 500.0))}
    as_slope = Table((0.0, 1.0), (0.0,), ((0.0,), (1.0,)))
    models = Changed(
        {
            "NAND2_X1": replace(
                nand, arcs=tuple(replace(arc, slope=(flat[arc.source],) * 2) for arc in nand.arcs)
            ),
            "INV_X1": replace(
                inverter, arcs=tuple(replace(arc, delay=(as_slope, as_slope)) for arc in inverter.arcs)
            ),
        }
    )
    gates = (
        CellInstance("DFF_X1", {"CK": 0, "D": 1, "Q": 2}),
        CellInstance("NAND2_X1", {"A": 2, "B": 1, "Y": 3}),
        CellInstance("INV_X1", {"A": 3, "Y": 4}),
    )
    paths = analyse(MappedNetlist({"clk": (0,), "d": (1,)}, {"y": (4,)}, gates), models).paths
    before = TAU_PS * (CLOCK_TO_OUTPUT + models["NAND2_X1"].capacitance["A"][0] + 2 + 1)
    assert paths["register to output"] == pytest.approx(before + 500.0 + TAU_PS * SETUP)


TIMING = re.compile(
    r"^( *)timing \(\) {\n"
    r"( *related_pin : [^\n]*\n *timing_sense : [^\n]*\n)"
    r"( *cell_rise .*?)( *cell_fall .*?)^\1}\n",
    re.DOTALL | re.MULTILINE,
)


def in_two_groups(text: str) -> str:
    """Return a Liberty text in which each arc of a gate is told edge by edge."""
    made, count = TIMING.subn(
        r"\1timing () {\n\2timing_type : combinational_fall;\n\4\1}\n"
        r"\1timing () {\n\2timing_type : combinational_rise;\n\3\1}\n",
        text,
    )
    assert count > 50
    return made


def test_arcs_in_two_groups_count_as_in_one():
    whole_arcs, halves = (
        Library.parse(LibrarySource("cells.lib", text.encode()))
        for text in (liberty_text(), in_two_groups(liberty_text()))
    )
    points = [
        synthesize(REGISTERED, "top", library, recipes=["a2", "d1"], language="verilog")
        for library in (whole_arcs, halves)
    ]
    assert points[0] == points[1]
    assert points[0][0].period > 0


def test_a_delay_that_is_not_abcs_is_an_error(monkeypatch: pytest.MonkeyPatch):
    # As if a table had been read otherwise than abc reads it.
    monkeypatch.setattr(Arc, "look_up", lambda *_: (1.0, 1.0))
    with pytest.raises(SynthesisError, match=r"^delay of top by a2 must be abc's [\d.]+ ps, not [\d.]+ ps$"):
        synthesize(REGISTERED, "top", neutral(), recipes=["a2"], language="verilog")


def test_a_long_path_may_differ_by_what_single_precision_rounds(monkeypatch: pytest.MonkeyPatch):
    # A carry through 200 bits, longer than anything that abc is asked to shorten it to.
    text = "module top(input [199:0] a, b, output [200:0] y); assign y = a + b; endmodule"
    right = gates_delay
    seen: list[float] = []

    def off_by(part: float) -> None:
        def wrong(*arguments: Any) -> float:
            seen.append(right(*arguments))
            return seen[-1] * (1 + part)

        monkeypatch.setattr("blockdot.synth.flow.gates_delay", wrong)
        synthesize(text, "top", neutral(), recipes=["a2"], language="verilog")

    off_by(3e-6)
    with pytest.raises(SynthesisError, match=r"^delay of top by a2 must be abc's [\d.]+ ps, not [\d.]+ ps$"):
        off_by(1e-4)
    assert seen[0] == seen[1]


def test_depth():
    """Two gates in a row, one beside them, and a register, which begins another row."""
    netlist = MappedNetlist(
        {"a": (0,), "clk": (9,)},
        {"y": (4,)},
        tuple(
            CellInstance(cell, pins)
            for cell, pins in (
                ("NAND2_X1", {"A": 1, "B": 0, "Y": 2}),
                ("INV_X1", {"A": 0, "Y": 1}),
                ("DFF_X1", {"CK": 9, "D": 2, "Q": 3}),
                ("INV_X1", {"A": 3, "Y": 4}),
            )
        ),
    )
    models = CellModels(neutral())
    assert netlist.depth(models) == 2
    assert MappedNetlist({"a": (0,)}, {"y": (0,)}, ()).depth(models) == 0


def test_an_unknown_timing_type_is_named():
    text = in_two_groups(liberty_text()).replace("combinational_rise", "combinational_rose")
    models = CellModels(Library.parse(LibrarySource("cells.lib", text.encode())))
    message = "timing_type of cell INV_X1 at Y must be one of Liberty's, not 'combinational_rose'"
    with pytest.raises(ValueError, match=whole(message)):
        analyse(INVERTER, models)
