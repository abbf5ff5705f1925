"""The reusable cocotb bench: its scoreboard alone, and its tests on a right unit and on faulty ones."""

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim.cocotb_engine import Design, run_tests
from blockdot.sim.engines import problem

pytest.importorskip("cocotb")

from blockdot.sim.testbench import Scoreboard

SPEC = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")
SIMULATORS = [
    pytest.param(name, marks=pytest.mark.skipif(problem(name) is not None, reason=str(problem(name))))
    for name in ("icarus", "verilator")
]


def group(a: int, b: int, scale: int = 0x38) -> tuple[np.ndarray, ...]:
    """Both elements of a and b, and 1.0 as the scales unless told otherwise."""
    elements = [np.full((1, 2), code, np.uint8) for code in (a, b)]
    return (*elements, *(np.full(1, scale, np.uint8) for _ in range(2)))


def test_a_scoreboard_knows_sums():
    board = Scoreboard(SPEC)
    board.take(group(2, 2), first=True, last=False)  # 1 * 1 twice
    board.take(group(4, 2), first=False, last=True)  # 2 * 1 twice
    board.take(group(2, 2, 0x7F), first=True, last=True)
    assert board.owed == 2
    board.give(0x40C00000)
    board.give(0x7FC00000)
    assert (board.owed, board.compared, board.undefined) == (0, 2, 0)


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


@pytest.mark.parametrize("simulator", SIMULATORS)
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
