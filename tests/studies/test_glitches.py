"""The study of glitches: two simulations that agree where they must, and what is counted of a bench."""

import shutil

import pytest
from blockdot.synth.neutral_library import neutral

from studies.glitches import compare_glitches, main, waves_by_icarus

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")

BENCH = """\
`timescale 1ps/1fs
module gate(input A, output Y);
  assign Y = A;
  specify
    (A => Y) = (5.000, 7.000);
  endspecify
endmodule
module bench;
  reg n1; wire n2;
  gate u(.A(n1), .Y(n2));
  initial begin
    $dumpfile("waves.vcd"); $dumpvars(1, bench);
    n1 = 0; #100 n1 = 1; #3 n1 = 0; #100 n1 = 1; #9 n1 = 0; #100 $finish;
  end
endmodule
"""


@needs_icarus
def test_the_event_simulation_lets_no_pulse_pass_that_is_shorter_than_a_delay():
    waves = waves_by_icarus(BENCH)
    times = [line for line in waves.splitlines() if line.startswith("#")]
    # The first pulse of 3 ps is lost; the second of 9 ps passes, up after 5 and down after 7.
    assert times == [
        "#0",
        "#7000",
        "#100000",
        "#103000",
        "#203000",
        "#208000",
        "#212000",
        "#219000",
        "#312000",
    ]


@needs_icarus
def test_a_bench_that_is_none_is_an_error():
    with pytest.raises(RuntimeError, match=r"^iverilog must run the netlist, not fail: "):
        waves_by_icarus("module bench; wire w = ;")


@needs_icarus
def test_both_simulations_count_much_the_same_glitches():
    found = compare_glitches(neutral(), 2, 30)
    assert found.vectors == 29
    ours, events = found.ways.values()
    assert ours[0] > 2 * found.settled
    # They differ in one rule: see the document of prices.
    assert ours[1] == pytest.approx(events[1], rel=0.08)
    assert ours[0] == pytest.approx(events[0], rel=0.08)
    lines = found.text.splitlines()
    assert lines[0] == "e2m1_ue5m3_n2_none_s0 on neutral, 29 vectors: energy of an input, and edges"
    assert lines[2].startswith("  blockdot ")
    assert lines[3].startswith("  Icarus Verilog ")
    assert " +0.0 % " in lines[-1]


def test_a_library_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["--library", "none"]) == 2
    assert capsys.readouterr().err.startswith("glitches: ")
