"""The reusable cocotb bench: its scoreboard alone, and its tests on a right unit and on faulty ones."""

import re
from pathlib import Path

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim.engines.cocotb_engine import Design, run_tests, simulate
from blockdot.sim.engines.cocotb_process import RESULTS_VARIABLE
from blockdot.sim.engines.run import problem

pytest.importorskip("cocotb")

from blockdot.sim.bench.cocotb_testbench import Scoreboard
from blockdot.sim.stimulus import Codes

SPEC = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")
SIMULATORS = [
    pytest.param(name, marks=pytest.mark.skipif(problem(name) is not None, reason=str(problem(name))))
    # Icarus builds in no time, where there is one.
    for name in (("icarus", "verilator") if problem("icarus") is None else ("verilator",))
]


def group(a: int, b: int, scale: int = 0x38) -> tuple[Codes, Codes, Codes, Codes]:
    """Both elements of a and b, and 1.0 as the scales unless told otherwise."""
    scales = np.full(1, scale, np.uint8)
    return np.full((1, 2), a, np.uint8), np.full((1, 2), b, np.uint8), scales, scales


def test_a_scoreboard_knows_sums():
    board = Scoreboard(SPEC)
    board.take(group(2, 2), first=True, last=False)  # 1 * 1 twice
    board.take(group(4, 2), first=False, last=True)  # 2 * 1 twice
    board.take(group(2, 2, 0x7F), first=True, last=True)
    assert board.owed == 2
    board.give(0x40C00000)
    board.give(0x7FC00000)
    assert (board.owed, board.compared, board.undefined) == (0, 2, 0)


def test_a_scoreboard_starts_sums_at_the_c_of_their_first_input():
    board = Scoreboard(DotSpec(scale="ue4m3", block_size=2, accumulate="fp32", takes_c=True))
    for first, c in ((True, 0x41200000), (False, 0x7FC00000)):
        board.take((*group(2, 2), np.array(c, np.uint32)), first=first, last=not first)
    board.give(0x41600000)  # 10 + 2 + 2
    assert board.compared == 1


def test_a_scoreboard_takes_any_bits_of_what_nothing_started():
    board = Scoreboard(SPEC)
    board.take(group(2, 2), first=False, last=True)
    board.give(None)
    assert (board.compared, board.undefined) == (0, 1)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (0x40000001, r"^result 0 must be 0x40000000, not 0x40000001$"),
        (None, r"^result 0 must be 0x40000000, not undefined$"),
    ],
)
def test_a_scoreboard_refuses_other_bits(bits, message):
    board = Scoreboard(SPEC)
    board.take(group(2, 2))
    with pytest.raises(AssertionError, match=message):
        board.give(bits)


def test_a_scoreboard_refuses_what_nothing_asked_for():
    board = Scoreboard(SPEC)
    board.take(group(2, 2))
    board.reset()
    with pytest.raises(AssertionError, match=r"^result must follow an input that asks for it, not come un"):
        board.give(0x40000000)


# One simulator here: both play the same Verilog in test_engines, and a build by Verilator takes its time.
@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_a_right_unit_passes_every_test(simulator, build_dir, seed):
    design = Design.of(DotUnit(SPEC, stages=2))
    results = run_tests(design, SPEC, simulator=simulator, build_dir=build_dir, vectors=40, seed=seed)
    assert {result.outcome for result in results} == {"passed"}, results
    assert len(results) == 7


FAULTS = {
    "a bit of the result": ("random_with_stalls", "o_result = ", "o_result = 32'h00000100 ^ "),
    "a result that nothing asked for": ("random_with_stalls", "o_valid = ", "o_valid = 1'h1 | "),
    "an input that is never taken": ("random_with_stalls", "i_ready = ", "i_ready = 1'h0 & "),
    "back-pressure that is not seen": ("results_held_back", "i_ready = ", "i_ready = 1'h1 | "),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_a_faulty_unit_fails(simulator, fault, build_dir, seed):
    right = Design.of(DotUnit(SPEC, stages=2))
    test, old, new = FAULTS[fault]
    assert right.text.count(f"assign {old}") == 1
    design = Design(right.top, right.text.replace(f"assign {old}", f"assign {new}"), right.ports)
    results = run_tests(
        design, SPEC, simulator=simulator, build_dir=build_dir, vectors=40, seed=seed,
        tests=[test],
    )  # fmt: skip
    (failed,) = [result for result in results if result.name.endswith(test)]
    assert failed.outcome == "failed"
    assert failed.message


DOCUMENT = Path(__file__).parents[3] / "docs" / "verification.md"
THEIRS = """
module theirs(input clock, input reset_n, input in_valid, output in_ready, input in_first, input in_last,
              input [63:0] in_a, input [63:0] in_b, input [7:0] in_sa, input [7:0] in_sb,
              output out_valid, input out_ready, output [31:0] out);
  {name} dot(.clk(clock), .rst(~reset_n), .i_valid(in_valid), .i_ready(in_ready), .i_first(in_first),
             .i_last(in_last), .i_a(in_a), .i_b(in_b), .i_a_scale(in_sa), .i_b_scale(in_sb),
             .o_valid(out_valid), .o_ready(out_ready), .o_result(out));
endmodule
"""


@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_the_example_of_the_documentation(simulator, build_dir, tmp_path):
    text = DOCUMENT.read_text(encoding="utf-8")
    (tmp_path / "example.py").write_text(text.split("```python\n")[1].split("```")[0])
    unit = DotUnit(DotSpec(scale="ue5m3", accumulate="fp32"), stages=3)
    wrapper = THEIRS.format(name=unit.name)
    ports = tuple(re.findall(r"(\w+)[,)]", wrapper.split(";")[0]))
    design = Design("theirs", Design.of(unit).text + wrapper, ports)
    results = tmp_path / "results.xml"
    environment = {"PYTHONPATH": str(tmp_path), RESULTS_VARIABLE: str(results)}
    simulate(
        design, "example", environment, simulator=simulator, build_dir=build_dir, seconds=100, trace=None
    )
    told = results.read_text()
    assert "random_sums" in told
    assert "<failure" not in told
