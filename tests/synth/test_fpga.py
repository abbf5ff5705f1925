import pytest
from blockdot.synth.fpga import FPGA_TARGETS, FpgaSynthesizer
from blockdot.synth.netlist import Netlist
from blockdot.synth.yosys import SynthesisError
from messages import whole

ADDER = Netlist(
    "module top(input clk, input [7:0] a, b, output reg [8:0] y);"
    " always @(posedge clk) y <= a + b; endmodule",
    "top",
    "verilog",
)


def test_a_registered_adder_on_each_family():
    with FpgaSynthesizer() as synthesizer:
        found = synthesizer.run(ADDER, list(FPGA_TARGETS))
    assert list(found) == ["ice40", "ecp5", "xilinx"]
    # A carry cell of iCE40 is of one bit, of ECP5 of two, of Xilinx of four.
    for name, bits in (("ice40", 1), ("ecp5", 2), ("xilinx", 4)):
        resources = found[name]
        assert (resources.flip_flops, resources.dsps, resources.muxes) == (9, 0, 0)
        assert -(-7 // bits) <= resources.carries <= -(-9 // bits)
        assert resources.luts <= 10
        named = dict.fromkeys(FPGA_TARGETS[name].kinds, 0)
        for cell, count in resources.counts:
            named[FPGA_TARGETS[name].kind(cell) or ""] += count
        assert (named["luts"], named["carries"]) == (resources.luts, resources.carries)
    assert found["ice40"].to_dict()["counts"]["SB_DFF"] == 9


def test_multipliers_become_multiplier_blocks():
    text = "module top(input [15:0] a, b, output [31:0] y); assign y = a * b; endmodule"
    with FpgaSynthesizer() as synthesizer:
        (found,) = synthesizer.run(Netlist(text, "top", "verilog"), ["ice40"]).values()
    assert (found.dsps, found.luts) == (1, 0)


def test_what_is_no_primitive_is_not_passed_over():
    text = """
        (* blackbox *) module box(input a, output y); endmodule
        module top(input a, output y); box b(.a(a), .y(y)); endmodule
    """
    message = "every cell of top must be a primitive of ice40, not box"
    with FpgaSynthesizer() as synthesizer, pytest.raises(SynthesisError, match=whole(message)):
        synthesizer.run(Netlist(text, "top", "verilog"), ["ice40"])


def test_failures():
    with FpgaSynthesizer() as synthesizer:
        with pytest.raises(ValueError, match=whole("target must be one of ice40, ecp5, xilinx, not 'max10'")):
            synthesizer.run(ADDER, ["max10"])
        with pytest.raises(SynthesisError, match=r"^Yosys must synthesize top, not end with: syntax error"):
            synthesizer.run(Netlist("bad", "top", "verilog"), ["ice40"])
