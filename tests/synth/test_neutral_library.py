import pytest
from blockdot.synth.flow import synthesize
from blockdot.synth.neutral_library import (
    CELLS,
    DRIVES,
    FLIP_FLOP_TRANSISTORS,
    FO4_PS,
    PRIMITIVES,
    TAU_PS,
    liberty_text,
    neutral,
)


def test_logical_efforts_are_the_book_s():
    # Sutherland, Sproull and Harris, tables 1.1 and 1.2.
    for n in (2, 3, 4):
        assert PRIMITIVES[f"NAND{n}"].efforts == ((n + 2) / 3,) * n
        assert PRIMITIVES[f"NOR{n}"].efforts == ((2 * n + 1) / 3,) * n
        assert PRIMITIVES[f"NAND{n}"].parasitic == PRIMITIVES[f"NOR{n}"].parasitic == n
    assert (PRIMITIVES["INV"].efforts, PRIMITIVES["INV"].parasitic) == ((1.0,), 1.0)
    # A two-way multiplexer of tri-state inverters: g = 2, p = 2n.
    assert (PRIMITIVES["AOI22"].efforts, PRIMITIVES["AOI22"].parasitic) == ((2.0,) * 4, 4.0)
    # Weste and Harris, figure 4.23.
    assert (PRIMITIVES["AOI21"].efforts, PRIMITIVES["AOI21"].parasitic) == ((2.0, 2.0, 5 / 3), 7 / 3)


def test_the_fo4_is_five_tau():
    inverter = CELLS["INV"]
    assert inverter.delay("A", 1) + 4 * inverter.load("A", 1) == FO4_PS / TAU_PS == 5.0


TRANSISTORS = {
    "INV": 2, "BUF": 4, "NAND2": 4, "NAND3": 6, "NAND4": 8, "NOR2": 4, "NOR3": 6, "NOR4": 8, "AND2": 6,
    "OR2": 6, "AOI21": 6, "AOI22": 8, "OAI21": 6, "OAI22": 8, "XOR2": 10, "XNOR2": 10, "MUXI2": 10,
    "MUX2": 12,
}  # fmt: skip


def test_areas():
    assert {name: design.transistors for name, design in CELLS.items()} == TRANSISTORS
    library = neutral()
    assert len(library.cells) == len(CELLS) * len(DRIVES) + 1
    for name, design in CELLS.items():
        areas = [library.cells[f"{name}_X{drive}"].area for drive in DRIVES]
        assert areas[0] == TRANSISTORS[name] / 4
        assert areas == pytest.approx([design.area(drive) for drive in DRIVES], rel=1e-8)
        # Cheaper than two cells side by side, dearer than one.
        assert areas[0] < areas[1] < 2 * areas[0]
        assert areas[1] < areas[2] < 2 * areas[1]
    # Two columns and one of spacing: five and nine thirds.
    assert [CELLS["NAND2"].area(drive) for drive in DRIVES] == [1.0, pytest.approx(5 / 3), 3.0]
    assert FLIP_FLOP_TRANSISTORS == 24
    assert library.flip_flop is not None
    assert library.flip_flop.area == 6.0


TRUTH = {
    "INV": lambda a: not a,
    "BUF": lambda a: a,
    "NAND2": lambda a, b: not (a and b),
    "NAND3": lambda a, b, c: not (a and b and c),
    "NAND4": lambda a, b, c, d: not (a and b and c and d),
    "NOR2": lambda a, b: not (a or b),
    "NOR3": lambda a, b, c: not (a or b or c),
    "NOR4": lambda a, b, c, d: not (a or b or c or d),
    "AND2": lambda a, b: a and b,
    "OR2": lambda a, b: a or b,
    "AOI21": lambda a, b, c: not ((a and b) or c),
    "AOI22": lambda a, b, c, d: not ((a and b) or (c and d)),
    "OAI21": lambda a, b, c: not ((a or b) and c),
    "OAI22": lambda a, b, c, d: not ((a or b) and (c or d)),
    "XOR2": lambda a, b: a != b,
    "XNOR2": lambda a, b: a == b,
    "MUXI2": lambda a, b, s: not (b if s else a),
    "MUX2": lambda a, b, s: b if s else a,
}


@pytest.mark.parametrize("name", CELLS)
def test_functions(name: str):
    cell = neutral().cells[f"{name}_X1"]
    inputs = len(cell.inputs)
    expected = sum(
        1 << row for row in range(1 << inputs) if TRUTH[name](*(bool(row >> k & 1) for k in range(inputs)))
    )
    assert cell.truth_table == expected


def test_delays_of_cells_of_several_stages():
    # NAND2 (p = 2) on an inverter of drive d (load d), and that inverter's own p = 1.
    assert [CELLS["AND2"].delay("A", drive) for drive in DRIVES] == [4.0, 5.0, 7.0]
    # NOR2 (p = 2) on the AOI21's lone input (5/3), then p = 7/3; straight through the AOI21 is faster.
    assert CELLS["XOR2"].delay("A", 1) == pytest.approx(6.0)
    assert CELLS["XOR2"].load("A", 1) == pytest.approx((5 + 6) / 3)
    # The select drives the inverter and one arm; the other arm is behind the inverter.
    assert CELLS["MUXI2"].load("S", 1) == pytest.approx((3 + 6) / 3)
    assert CELLS["MUXI2"].delay("S", 1) == pytest.approx(2 + 1 + 4)
    assert CELLS["MUXI2"].delay("A", 1) == pytest.approx(4.0)


def test_the_file_is_the_same_every_time():
    assert liberty_text() == liberty_text()
    assert neutral() is neutral()
    assert (neutral().area_unit, neutral().delay_unit) == ("NAND2", "FO4")
    assert neutral().nand2_equivalents(7.0) == 7.0
    assert neutral().driving_cell.name == "BUF_X2"
    assert neutral().delay.text(5.0) == "5.00 FO4"


def fo4(gate_tau: float, input_load: float) -> float:
    """Delay of one gate in FO4, behind a BUF_X2 of which abc counts what the load adds: load / 2."""
    return (gate_tau + input_load / 2) / 5


# Of one gate with a fan-out of four: 4 + p.
CIRCUITS = [
    ("y = !a", 0.5, {"INV_X1": 1}, fo4(4 + 1, 1)),
    ("y = !(a & b)", 1.0, {"NAND2_X1": 1}, fo4(4 + 2, 4 / 3)),
    ("y = !(a | b)", 1.0, {"NOR2_X1": 1}, fo4(4 + 2, 5 / 3)),
    ("y = a & b", 1.5, {"AND2_X1": 1}, fo4(4 + 4, 4 / 3)),
    ("y = !((a & b) | c)", 1.5, {"AOI21_X1": 1}, fo4(4 + 7 / 3, 2)),
    ("y = !((a | b) & c)", 1.5, {"OAI21_X1": 1}, fo4(4 + 8 / 3, 2)),
    ("y = !((a & b) | (c & d))", 2.0, {"AOI22_X1": 1}, fo4(4 + 4, 2)),
    # An XOR2 as abc likes it best: taken apart into the same stages, with the same area and delay.
    ("y = a ^ b", 2.5, {"AOI21_X1": 1, "NOR2_X1": 1}, fo4(4 + 6, 11 / 3)),
]


@pytest.mark.parametrize(("body", "area", "counts", "delay"), CIRCUITS)
def test_circuits_of_one_gate(body: str, area: float, counts: dict[str, int], delay: float):
    text = f"module top(input a, b, c, d, output y); assign {body}; endmodule"
    (point,) = synthesize(text, "top", neutral(), recipes=["a1"], language="verilog")
    assert (point.area, dict(point.counts)) == (area, counts)
    assert point.delay == pytest.approx(delay, abs=1e-3)


def test_a_full_adder():
    text = "module top(input a, b, c, output [1:0] y); assign y = a + b + c; endmodule"
    (point,) = synthesize(text, "top", neutral(), recipes=["a1"], language="verilog")
    # 28 transistors, as many as the textbook's mirror adder has: two XNORs, each an OAI21 and a NAND2 (2.5),
    # an inverter for each of them, and a NAND2 for the carry.
    assert point.area == 2 * 2.5 + 2 * 0.5 + 1.0
    assert dict(point.counts) == {"OAI21_X1": 2, "NAND2_X1": 3, "INV_X1": 2}


def test_a_register_counts_six():
    text = "module top(input clk, a, b, output reg y); always @(posedge clk) y <= !(a & b); endmodule"
    (point,) = synthesize(text, "top", neutral(), recipes=["a1"], language="verilog")
    assert (point.area, point.sequential_area, point.combinational_area) == (7.0, 6.0, 1.0)
    assert (point.cells, point.flip_flops) == (2, 1)
    assert dict(point.counts) == {"DFF_X1": 1, "NAND2_X1": 1}
