"""Proofs that two netlists compute the same, and that they fail where they should."""

import pytest
from blockdot.synth.equivalence import require_equal
from blockdot.synth.neutral_library import neutral
from blockdot.synth.yosys import SynthesisError, YosysSession
from gate_netlists import GateBuilder, cell


def sum_of_two(last: str = "XOR", register: str = "r") -> GateBuilder:
    """Two bits and what a register holds, added into it and an output."""
    m = GateBuilder()
    (clk,), (a, b) = m.input("clk", 1), m.input("a", 2)
    held = m.gate("BUF", A=a)
    # What the register shows stands in place of the buffer's output.
    del m.cells[f"g{held}"]
    half = m.gate("XOR", A=a, B=b)
    total = m.gate(last, A=half, B=held)
    m.cells[register] = cell("DFF_X1", {"CK": clk, "D": total, "Q": held}, "Q")
    m.output("o", [m.gate("AND", A=half, B=held)])
    return m


def test_equal_netlists_of_other_gates_are_equal():
    other = sum_of_two("XNOR")
    kind = next(one for one in other.cells.values() if one["type"] == "$_XNOR_")
    (net,) = kind["connections"]["A"]
    kind["connections"]["A"] = [other.gate("NOT", A=net)]
    with YosysSession() as session:
        require_equal(session, sum_of_two().netlist(), other.netlist(), neutral(), "the other")


def test_a_netlist_that_computes_something_else_is_refused():
    with (
        YosysSession() as session,
        pytest.raises(
            SynthesisError, match=r"^the other must compute what top does, not differ at .*a\.0=0 "
        ),
    ):
        require_equal(session, sum_of_two().netlist(), sum_of_two("XNOR").netlist(), neutral(), "the other")


def test_a_netlist_of_other_registers_is_refused():
    with (
        YosysSession() as session,
        pytest.raises(
            SynthesisError, match=r"^the other must have the ports and registers of top, not others$"
        ),
    ):
        require_equal(
            session, sum_of_two().netlist(), sum_of_two(register="s").netlist(), neutral(), "the other"
        )
