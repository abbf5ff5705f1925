import re

import pytest
from blockdot.hw import DotArray, DotUnit, QuantizerUnit, SerialQuantizerUnit, to_verilog
from blockdot.hw.stream_unit import StreamUnit
from blockdot.hw.verilog_header import verilog_header
from blockdot.model import DotSpec
from blockdot.model.quantizer import QuantizerSpec
from blockdot.synth.yosys import run

UNITS: list[StreamUnit] = [
    DotUnit(DotSpec(block_size=2), stages=0),
    DotUnit(DotSpec(block_size=2, blocks=2), stages=1, flow="valid"),
    DotUnit(DotSpec(block_size=2, element=("e2m1", "int8"), accumulate="fp32"), stages=3),
    DotUnit(DotSpec(block_size=2, scale=("ue8m0", "ue4m3"), accumulate="exact"), stages=3, segment=8),
    DotUnit(DotSpec(element="e5m2", accumulate="aligned"), stages=2, flow="enable", optimise="delay"),
    DotArray(DotSpec(block_size=2, accumulate="fp32"), rows=2, columns=3),
    QuantizerUnit(QuantizerSpec(block_size=2, scale="ue8m0", method="floor"), stages=0),
    QuantizerUnit(QuantizerSpec(block_size=2, input="fp16"), stages=2),
    SerialQuantizerUnit(QuantizerSpec(block_size=2)),
]
units = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)

HEADER = """\
Block dot-product unit. A block is worth a_scale * b_scale * sum(a[k] * b[k]), exactly.

Specification e2m1xint8_ue5m3_n2_fp32
  elements a    e2m1: 1 sign, 2 exponent and 1 mantissa bits, from the top; bias 1; every code is
                a number
  elements b    int8: two's complement, in steps of 2^-6
  scales        ue5m3: 5 exponent and 3 mantissa bits, from the top; bias 15; the code with all
                magnitude bits set is NaN
  block         2 elements under one scale; 1 in an input
  accumulation  fp32, binary32 addition
  result        binary32; the only NaN is 32'h7fc00000
  form          area, the smallest of each component; order 0
  registers     behind REGISTERS

Ports, in order
  clk        in    1  clock, rising edge
  rst        in    1  reset of the control state, synchronous, active high
  i_valid    in    1  an input is offered
  i_ready    out   1  an input is taken if one is offered
  i_first    in    1  this input starts a sum
  i_last     in    1  this input ends its sum, whose result follows
  i_a        in    8  elements of a, e2m1 codes: number k at bits [4k+3:4k]
  i_b        in   16  elements of b, int8 codes: number k at bits [8k+7:8k]
  i_a_scale  in    8  block scale of a, a ue5m3 code
  i_b_scale  in    8  block scale of b, a ue5m3 code
  o_valid    out   1  a result is offered
  o_ready    in    1  a result is taken if one is offered
  o_result   out  32  the result, binary32

Latency: 3 cycles from the one in which the last input of a sum is taken to the one in which its
result is offered. An input can be taken in every cycle. While the pipeline stands still, no
cycle counts.

Protocol
  An input or a result passes at a rising edge of clk at which its valid and ready are both high.
  Valid stays high, and what goes with it as it is, until then.
  While a result waits for o_ready the pipeline stands still. i_ready comes from a flip-flop: it
  does not hang on o_ready of the same cycle.
  A sum starts at an input with i_first and ends at one with i_last, which may be the same. What
  comes before the first i_first is undefined. rst clears the valid bits alone.

Instance
  blockdot_e2m1xint8_ue5m3_n2_fp32_s3 dot (
    .clk(clk),
    .rst(rst),
    .i_valid(i_valid),
    .i_ready(i_ready),
    .i_first(i_first),
    .i_last(i_last),
    .i_a(i_a),
    .i_b(i_b),
    .i_a_scale(i_a_scale),
    .i_b_scale(i_b_scale),
    .o_valid(o_valid),
    .o_ready(o_ready),
    .o_result(o_result)
  );"""


def test_a_whole_header() -> None:
    unit = UNITS[2]
    registers = ", ".join(unit.registers_after)
    assert "\n".join(verilog_header(unit)) == HEADER.replace("REGISTERS", registers)
    assert f"\n// {HEADER.splitlines()[0]}\n//\n// Spec" in to_verilog(unit).text


def test_facts_that_some_units_have() -> None:
    def text(unit: StreamUnit) -> str:
        return re.sub(r"\s+", " ", " ".join(verilog_header(unit)))

    assert "scales a ue8m0: 8 exponent and 0 mantissa bits, from the top; bias 127; no zero, no sub" in (
        text(UNITS[3])
    )
    assert "scales b ue4m3: 4 exponent" in text(UNITS[3])
    assert "exact, fixed point, rounded once; a sum is of at most 2^16 blocks" in text(UNITS[3])
    assert "order 0; a carry is kept behind every 8 bits of the accumulator" in text(UNITS[3])
    assert "aligned, as in tensor cores; 35 bits behind the point are kept" in text(UNITS[4])
    assert "form delay, the fastest of each component" in text(UNITS[4])
    assert "Cycles with en low do not count." in text(UNITS[4])
    assert "block 2 elements under one scale; 2 in an input" in text(UNITS[1])
    assert text(UNITS[5]).startswith("Tile of 2 x 3 block dot-product units")
    assert "its scale 8'hff and its elements 0" in text(UNITS[6])
    assert "input fp16: 1 sign, 5 exponent and 10 mantissa bits" in text(UNITS[7])
    assert "method absmax" in text(UNITS[7])
    assert "Latency: 0. The unit is combinational" in text(UNITS[0])
    assert "Latency: 1 cycle from" in text(UNITS[1])


def test_results_and_scales_of_tensor_cores() -> None:
    unit = DotUnit(DotSpec.parse("e4m3_none_n2_aligned_f13_t1_z21_binary16"))
    text = re.sub(r"\s+", " ", " ".join(verilog_header(unit)))
    assert "A block is worth sum(a[k] * b[k]), exactly." in text
    assert "scales none, and no ports for them block 2 elements; 1 in an input" in text
    assert "kept; each product is shifted on its own; a zero reads exponent -21 result" in text
    assert "result binary16, to nearest, ties to even; the only NaN is 16'h7e00" in text
    narrow = DotUnit(DotSpec.parse("e4m3_none_n2_aligned_f13_t1_z133_e8m13"))
    text = re.sub(r"\s+", " ", " ".join(verilog_header(narrow)))
    assert "result binary32 with 13 fraction bits, toward zero; the only NaN is 32'h7fc00000" in text


@units
def test_it_speaks_of_ports_that_there_are(unit: StreamUnit) -> None:
    lines = verilog_header(unit)
    names = {port.name for port in unit.ports}
    assert set(re.findall(r"\b(?:[io]_\w+|clk|rst|en)\b", "\n".join(lines))) == names
    section = lines[lines.index("Ports, in order") + 1 :]
    rows = [re.fullmatch(r"  (\w+) +(in|out) +(\d+)  (.+)", line) for line in section[: section.index("")]]
    told = [(row[1], row[2], int(row[3])) for row in rows if row]
    assert told == [(port.name, port.direction, port.width) for port in unit.ports]


@pytest.mark.parametrize("unit", [UNITS[1], UNITS[7]], ids=lambda unit: unit.name)
def test_the_instance_can_be_copied(unit: StreamUnit) -> None:
    text = to_verilog(unit).text
    instance = text.partition("\n// Instance\n")[2].partition("\nmodule ")[0].replace("// ", "")
    wires = "".join(f"  wire [{port.width - 1}:0] {port.name};\n" for port in unit.ports)
    around = f"module around;\n{wires}{instance}\nendmodule\n"
    commands = [
        "read_verilog unit.v around.v",
        "hierarchy -check -top around",
        f"select -assert-count 1 around/t:{unit.name}",
        # Of an instance of other widths this has pins resized.
        "write_verilog -noattr out.v",
    ]
    written = run(commands, inputs={"unit.v": text, "around.v": around}, outputs=["out.v"])["out.v"]
    body = written.partition("module around")[2].partition("endmodule")[0]
    pins = re.findall(r"^    \.(\w+)\((\w+)\)", body, re.MULTILINE)
    assert sorted(pins) == sorted((port.name, port.name) for port in unit.ports)


def test_a_serial_quantizer_says_what_a_block_is_and_what_its_latency_counts() -> None:
    text = " ".join(verilog_header(SerialQuantizerUnit(QuantizerSpec(block_size=8), stages=2)))
    assert "From reset on, every 8 numbers are a block." in re.sub(r"\s+", " ", text)
    assert "Latency: 10 cycles" in text
    assert "if its block comes without a gap" in re.sub(r"\s+", " ", text)
