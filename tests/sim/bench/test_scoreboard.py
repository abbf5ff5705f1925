"""What units of each kind must give, told from what their ports showed."""

import numpy as np
import pytest
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.sim.bench.scoreboard import CodePort, SumScoreboard, scoreboard_for
from blockdot.sim.stream_rules import as_number
from blockdot.sim.unit_stimulus import Codes

SPEC = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")


def group(a: int, b: int, scale: int = 0x38) -> tuple[Codes, Codes, Codes, Codes]:
    """Both elements of a and b, and 1.0 as the scales unless told otherwise."""
    scales = np.full(1, scale, np.uint8)
    return np.full((1, 2), a, np.uint8), np.full((1, 2), b, np.uint8), scales, scales


def test_a_scoreboard_knows_sums():
    board = SumScoreboard(SPEC)
    board.take(group(2, 2), first=True, last=False)  # 1 * 1 twice
    board.take(group(4, 2), first=False, last=True)  # 2 * 1 twice
    board.take(group(2, 2, 0x7F), first=True, last=True)
    assert board.owed == 2
    board.give(0x40C00000)
    board.give(0x7FC00000)
    assert (board.owed, board.compared, board.undefined) == (0, 2, 0)


def test_a_scoreboard_starts_sums_at_the_c_of_their_first_input():
    board = SumScoreboard(DotSpec(scale="ue4m3", block_size=2, accumulate="fp32", takes_c=True))
    for first, c in ((True, 0x41200000), (False, 0x7FC00000)):
        board.take((*group(2, 2), np.array(c, np.uint32)), first=first, last=not first)
    board.give(0x41600000)  # 10 + 2 + 2
    assert board.compared == 1


def test_a_scoreboard_multiplies_a_sum_by_the_g_of_its_last_input():
    board = SumScoreboard(DotSpec(scale="ue4m3", block_size=2, accumulate="fp32", tensor_scale=True))
    for first, g in ((True, 0x7FC00000), (False, 0x3FC00000)):
        board.take((*group(2, 2), np.array(g, np.uint32)), first=first, last=not first)
    board.give(0x40C00000)  # 4 times 1.5
    board = SumScoreboard(DotSpec(scale="ue4m3", block_size=2, tensor_scale=True))
    board.take((*group(2, 2), np.array(0xC0000000, np.uint32)))
    board.give(0xC0800000)  # 2 times -2
    assert board.compared == 1


def test_a_scoreboard_takes_any_bits_of_what_nothing_started():
    board = SumScoreboard(SPEC)
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
    board = SumScoreboard(SPEC)
    board.take(group(2, 2))
    with pytest.raises(AssertionError, match=message):
        board.give(bits)


def test_a_scoreboard_refuses_what_nothing_asked_for():
    board = SumScoreboard(SPEC)
    board.take(group(2, 2))
    board.reset()
    with pytest.raises(AssertionError, match=r"^result must follow an input that asks for it, not come un"):
        board.give(0x40000000)


def test_a_port_is_taken_apart_from_its_lowest_bit_on():
    port = CodePort("i_a", 4, (2, 2), np.uint8)
    assert port.codes(0x4321).tolist() == [[1, 2], [3, 4]]
    assert CodePort("i_c", 32, (), np.uint32).codes(0x3F800000).tolist() == 0x3F800000


def test_a_block_gives_what_the_model_computes_under_its_tensor_scale_and_its_random_bits():
    spec = QuantizerSpec(scale="ue4m3", block_size=2, rounding="stochastic", random_bits=4, tensor_scale=True)
    board = scoreboard_for(spec)
    assert [(port.name, port.shape) for port in board.inputs] == [
        ("i_x", (2,)),
        ("i_random", (2,)),
        ("i_g", ()),
    ]
    x, draws = np.array([0x4049, 0xC2F7], np.uint16), np.array([3, 15], np.uint16)
    g = np.array(1.5, np.float32)
    board.take((x, draws, g.view(np.uint32)))
    codes, scale = spec.compute(x, draws, g)
    assert board.results == ("o_codes", "o_scale")
    board.give(as_number(np.array([codes[0] | codes[1] << 4, scale], np.uint32)))
    assert (board.owed, board.compared) == (0, 1)


def test_a_serial_quantizer_owes_a_block_from_its_last_number_on():
    spec = QuantizerSpec(scale="ue4m3", block_size=2)
    board = scoreboard_for(spec, serial=True)
    x = np.array([0x4049, 0xC2F7], np.uint16)
    codes, scale = spec.compute(x)
    board.take((x[0],))
    assert board.owed == 0
    board.take((x[1],))
    assert board.owed == 2
    for k in range(2):
        board.give(as_number(np.array([codes[k], scale, k], np.uint32)))
    assert board.compared == 2
    board.take((x[1],))
    board.reset()
    # What a reset came upon begins no block.
    board.take((x[0],))
    board.take((x[1],))
    board.give(as_number(np.array([codes[0], scale, 0], np.uint32)))


def test_a_dequantizer_gives_numbers():
    spec = DequantizerSpec(scale="ue4m3", block_size=2)
    board = scoreboard_for(spec)
    board.take((np.array([2, 0xA], np.uint8), np.array(0x38, np.uint8)))
    board.give(0xBF803F80)
    assert (board.results, board.compared) == (("o_x",), 1)


def test_only_a_quantizer_is_serial():
    message = r"^serial must be False for e2m1_ue4m3_n2_fp32, which is no quantizer$"
    with pytest.raises(ValueError, match=message):
        scoreboard_for(SPEC, serial=True)
