import re
from pathlib import Path

import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import synthesize
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.neutral_library import liberty_text, neutral
from blockdot.synth.registers import LibraryRegister, find_register
from blockdot.synth.timing_context import register_overhead

OSU = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
REGISTER = "module top(input clk, input d, output reg q); always @(posedge clk) q <= !d; endmodule"
FALLING = (
    ('clocked_on : "CK";', 'clocked_on : "!CK";'),
    ("rising_edge", "falling_edge"),
    ("setup_rising", "setup_falling"),
)


def pin(name: str) -> tuple[str, str]:
    return "cell (DFF_X1) {\n", f"cell (DFF_X1) {{\n pin ({name}) {{ direction : input; capacitance : 1; }}\n"


def library(*changes: tuple[str, str]) -> Library:
    text = liberty_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return Library.parse(LibrarySource("cells.lib", text.encode()))


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ((), "Q"),
        ((pin("RN"), ('clocked_on : "CK";', 'clocked_on : "CK"; clear : "!RN";')), "Q"),
        ((pin("SN"), ('clocked_on : "CK";', 'clocked_on : "CK"; preset : "!SN";')), "Q"),
        ((pin("EN"), ('next_state : "D";', 'next_state : "(D*EN)+(IQ*!EN)";')), "Q"),
        (FALLING, "Q"),
        ((("pin (Q)", "pin (QN)"), ('"IQ"', '"IQN"')), "QN"),
    ],
    ids=["plain", "reset", "set", "enable", "falling", "complement"],
)
def test_the_register_is_what_a_plain_one_is_mapped_to(changes: tuple[tuple[str, str], ...], output: str):
    changed = library(*changes)
    assert find_register(changed) == LibraryRegister("DFF_X1", "D", output)
    # Its clock, data and delays are those of the plain one.
    assert register_overhead(CellModels(changed)) == pytest.approx(register_overhead(CellModels(neutral())))
    (point,) = synthesize(REGISTER, "top", changed, recipes=["a2"], language="verilog")
    assert dict(point.counts)["DFF_X1"] == point.flip_flops == 1
    assert dict(point.paths)["input to register"] > 0


def test_a_smaller_flip_flop_of_the_other_edge_is_not_taken():
    (cell,) = re.findall(r"  cell \(DFF_X1\) {\n.*?\n  }\n", liberty_text(), re.DOTALL)
    for old, new in (("DFF_X1", "ADFFN_X1"), ("area : 6", "area : 1"), *FALLING):
        assert old in cell
        cell = cell.replace(old, new)
    text = liberty_text().rstrip().removesuffix("}") + cell + "}\n"
    both = Library.parse(LibrarySource("cells.lib", text.encode()))
    assert find_register(both) == LibraryRegister("DFF_X1", "D", "Q")
    (point,) = synthesize(REGISTER, "top", both, recipes=["a2"], language="verilog")
    (alone,) = synthesize(REGISTER, "top", library(), recipes=["a2"], language="verilog")
    assert point == alone


@pytest.mark.skipif(not OSU.exists(), reason="Debian's qflow-tech-osu018 is not installed")
def test_the_register_of_osu018_moves_at_the_rising_edge():
    osu = Library.read(OSU)
    assert osu.cells["DFFNEGX1"].area == osu.cells["DFFPOSX1"].area
    assert find_register(osu) == LibraryRegister("DFFPOSX1", "D", "Q")


def test_without_a_flip_flop():
    gates = Library.parse(
        LibrarySource("gates.lib", (liberty_text().partition("  cell (DFF_X1)")[0] + "}\n").encode())
    )
    assert find_register(gates) is None
    assert register_overhead(CellModels(gates)) == 0.0


def test_flip_flops_that_will_not_do_are_named():
    toggling = library(('next_state : "D";', 'next_state : "D^IQ";'))
    message = (
        r"^library neutral must have a flip-flop that a plain register can be mapped to, not only DFF_X1: "
    )
    with pytest.raises(ValueError, match=message):
        register_overhead(CellModels(toggling))
