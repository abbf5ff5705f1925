from dataclasses import replace
from pathlib import Path

import pytest
from blockdot.synth.cell_models import Arc, CellModel, CellModels
from blockdot.synth.flow import Synthesizer, synthesize
from blockdot.synth.liberty import Library
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import CLOCK_TO_OUTPUT, SETUP, TAU_PS, neutral
from blockdot.synth.recipes import choose
from blockdot.synth.static_timing import PATHS, analyse, gates_delay
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


class AsAbcHasThem(CellModels):
    """abc's reading: of the arcs from one pin to another, the first one's sense and the worst delays."""

    def __getitem__(self, name: str) -> CellModel:
        model = super().__getitem__(name)
        arcs: dict[tuple[str, str], Arc] = {}
        for arc in model.arcs:
            first = arcs.setdefault((arc.source, arc.target), arc)
            pairs = zip((*first.delay, *first.slope), (*arc.delay, *arc.slope), strict=True)
            rise, fall, rise_slope, fall_slope = (a.combined(b, max) or a for a, b in pairs)
            arcs[arc.source, arc.target] = replace(first, delay=(rise, fall), slope=(rise_slope, fall_slope))
        return replace(model, arcs=tuple(arcs.values()))


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
        (made,) = synthesizer._synthesize([Netlist(REGISTERED, "top", "verilog")], choose(["a2", "s1", "d1"]))
    for raw, mapped in made.values():
        # abc prints two digits of a picosecond.
        told = pytest.approx(raw.stime_ps, rel=2e-6, abs=0.011)
        assert gates_delay(mapped, AsAbcHasThem(library)) == told
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


def test_a_flip_flop_without_a_setup_time_is_refused():
    models = CellModels(neutral())
    flip_flop = models["DFF_X1"]
    models._known["DFF_X1"] = replace(flip_flop, setup={})
    netlist = MappedNetlist({"d": (1,)}, {"q": (2,)}, (CellInstance("BUF_X1", {"A": 1, "Y": 2}),))
    with pytest.raises(ValueError, match=whole("flip-flop DFF_X1 must have a setup time at D, not none")):
        analyse(netlist, models)
