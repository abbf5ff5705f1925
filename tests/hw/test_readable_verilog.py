import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from blockdot.hw import DotArray, DotUnit, QuantizerUnit
from blockdot.hw.readable_verilog import readable_verilog
from blockdot.hw.stream_unit import StreamUnit
from blockdot.hw.verilog import plain_verilog, to_verilog
from blockdot.model import DotSpec
from blockdot.model.quantizer import QuantizerSpec
from blockdot.synth.yosys import run

# One of each kind, in each form and flow.
UNITS: list[StreamUnit] = [
    DotUnit(DotSpec(block_size=2), stages=0),
    DotUnit(DotSpec(block_size=2, scale="ue4m3", accumulate="fp32"), stages=2, optimise="delay"),
    DotUnit(DotSpec(block_size=2, accumulate="exact"), stages=3, segment=8, flow="enable"),
    DotUnit(DotSpec(block_size=2, accumulate="aligned"), stages=1, optimise="delay", flow="valid"),
    DotArray(DotSpec(block_size=2, accumulate="fp32"), rows=2, columns=1, stages=2),
    QuantizerUnit(QuantizerSpec(block_size=2), stages=1),
    QuantizerUnit(QuantizerSpec(block_size=2, scale="ue8m0", method="floor"), stages=0, optimise="delay"),
]


def netlists(*texts: str) -> list[list[str]]:
    """Of each text its ports and cells, with the nets at their pins: without a name, by what drives them."""
    names = [f"unit{k}" for k in range(len(texts))]
    commands = [
        command
        for name in names
        for command in ("design -reset", f"read_verilog {name}.v", "proc", f"write_json {name}.json")
    ]
    inputs = {f"{name}.v": text for name, text in zip(names, texts, strict=True)}
    written = run(commands, inputs=inputs, outputs=[f"{name}.json" for name in names])
    return [
        sorted(line for pair in json.loads(one)["modules"].items() for line in contents(*pair))
        for one in written.values()
    ]


def contents(name: str, module: dict[str, Any]) -> Iterator[str]:
    known: dict[int | str, str] = {}
    for net, facts in sorted(module["netnames"].items()):
        if not facts["hide_name"]:
            for k, bit in enumerate(facts["bits"]):
                known[bit] = f"{known.get(bit, '')}|{net}[{k}]"
    drivers = {
        bit: (cell, pin, k)
        for cell in module["cells"].values()
        for pin, bits in cell["connections"].items()
        if cell["port_directions"].get(pin) == "output"
        for k, bit in enumerate(bits)
    }

    def shown(bit: int | str) -> str:
        if isinstance(bit, str):  # a constant
            return bit
        if bit not in known:
            cell, pin, k = drivers[bit]
            inputs = [pin for pin, way in cell["port_directions"].items() if way == "input"]
            known[bit] = hashlib.sha256(f"{pins(cell, inputs)}.{pin}[{k}]".encode()).hexdigest()
        return known[bit]

    def pins(cell: dict[str, Any], which: Iterable[str]) -> str:
        nets = {pin: [shown(bit) for bit in cell["connections"][pin]] for pin in sorted(which)}
        return f"{cell['type']} {sorted(cell['parameters'].items())} {nets}"

    for port, facts in module["ports"].items():
        yield f"{name} {facts['direction']} {port} {len(facts['bits'])}"
    for instance, cell in module["cells"].items():
        yield f"{name} {'' if cell['hide_name'] else instance} {pins(cell, cell['connections'])}"


@pytest.mark.one_in(3)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.name}_{unit.optimise}")
def test_what_is_to_be_read_has_the_gates_of_the_plain_text(unit: StreamUnit) -> None:
    plain, text = plain_verilog(unit), to_verilog(unit).text
    assert text != plain
    assert len(text.splitlines()) < len(plain.splitlines())
    gates, gates_of_text = netlists(plain, text)
    assert len(gates) > 100
    assert gates_of_text == gates


def test_another_gate_is_another_netlist() -> None:
    text = to_verilog(DotUnit(DotSpec(block_size=2, scale="ue2m0"), stages=1)).text
    faults = [("i_ready = ~ spare_full", "i_ready = spare_full"), ("    spare <= ", "    spare_full <= ")]
    wrong = [text.replace(right, fault, 1) for right, fault in faults]
    assert all(other != text for other in wrong)
    gates, *others = netlists(text, *wrong)
    assert all(other != gates for other in others)


PLAIN = """\
/* pair: a comment */

module pair(clk, a, q);
  wire _0_;
  wire [3:0] _1_;
  input [3:0] a;
  wire [3:0] a;
  input clk;
  wire clk;
  reg held;
  output [3:0] q;
  reg [3:0] q;
  wire sum;
  wire carry;
  assign _1_ = a & { sum, sum, sum, carry };
  assign _0_ = a[0] ^ { carry, carry };
  always @(posedge clk)
    held <= _0_;
  always @(posedge clk)
    q <= _1_;
  pair_empty none (
  );
  pair_half half (
    .a(a[1:0]),
    .carry(carry),
    .sum(sum)
  );
endmodule

module pair_empty();
endmodule

module pair_half(a, sum, carry);
  input [1:0] a;
  wire [1:0] a;
  output carry;
  wire carry;
  output sum;
  wire sum;
  assign { carry, sum } = { 1'h0, a[0] } + { 1'h0, a[1] };
endmodule
"""

READABLE = """\
/* pair: a comment */

// Two halves.
//
//   a  in
module pair(
  input  wire       clk,
  input  wire [3:0] a,
  output reg  [3:0] q
);
  reg held;
  wire sum, carry;
  wire _0_;
  wire [3:0] _1_;
  assign _1_ = a & { sum, sum, sum, carry };
  assign _0_ = a[0] ^ {2{carry}};
  always @(posedge clk) begin
    held <= _0_;
    q <= _1_;
  end
  pair_empty none (
  );
  pair_half half (
    .a(a[1:0]),
    .carry(carry),
    .sum(sum)
  );
endmodule

module pair_empty();
endmodule

// Add two bits ? or ? not.
module pair_half(
  input  wire [1:0] a,
  output wire       sum,
  output wire       carry
);
  assign { carry, sum } = { 1'h0, a[0] } + { 1'h0, a[1] };
endmodule
"""


def test_a_text_of_two_modules() -> None:
    header = ["Two halves.", "", "  a  in"]
    summaries = {"pair_half": "Add two bits \\ or \N{EN DASH} not.", "pair": "not taken"}
    assert readable_verilog(PLAIN, header, summaries) == READABLE


def test_declarations_and_comments_are_no_longer_than_a_line() -> None:
    names = [f"number_{k}" for k in range(200)]
    plain = "".join(
        ["/* x */\n\nmodule x();\n", *(f"  wire [7:0] {name};\n" for name in names), "endmodule\n"]
    )
    text = readable_verilog(plain, ["x"], {})
    assert max(map(len, text.splitlines())) <= 100
    assert re.findall(r"number_\d+", text) == names
