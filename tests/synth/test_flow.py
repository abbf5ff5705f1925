import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from blockdot.base import external_tools
from blockdot.base.external_tools import Tool, ToolError
from blockdot.synth import cache, flow, yosys
from blockdot.synth.flow import Synthesizer, synthesize
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import liberty_text, neutral
from blockdot.synth.recipes import AREA_RECIPES, DELAY_RECIPES, RECIPES, Recipe, choose
from blockdot.synth.yosys import SynthesisError
from messages import check_messages, whole

REAL = Path(__file__).resolve().parents[3] / "shared" / "liberty"

NAND = "module top(input a, b, output y); assign y = !(a & b); endmodule"
REGISTER = "module top(input clk, d, output reg q); always @(posedge clk) q <= d; endmodule"


class MultiplyAdd(wiring.Component):
    """A small design with a register, as Amaranth emits it."""

    a: Signal
    b: Signal
    c: Signal
    q: Signal

    def __init__(self, width: int = 4) -> None:
        self.width = width
        super().__init__(
            {"a": In(signed(width)), "b": In(signed(width)), "c": In(signed(width)), "q": Out(2 * width + 1)}
        )

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.d.sync += self.q.eq(self.a * self.b + self.c)
        return m


@pytest.fixture(scope="module")
def multiply_add() -> str:
    return rtlil.convert(MultiplyAdd(), name="top", emit_src=False)


def run(text: str, **options: object):
    return synthesize(text, "top", neutral(), **{"recipes": ["a2"], "language": "verilog"} | options)  # type: ignore[arg-type]


def test_recipes():
    assert AREA_RECIPES == ("a1", "a2", "a4")
    assert DELAY_RECIPES == ("s1", "d1", "d0", "d2", "d6")
    assert all(recipe.script.endswith("stime -p") for recipe in RECIPES.values())
    assert not any("-fast" in command and "abc" in command for command in flow.COARSE_PASSES)


def test_every_recipe_on_what_amaranth_emits(multiply_add: str):
    points = synthesize(multiply_add, "top", neutral())
    assert [point.recipe for point in points] == list(RECIPES)
    for point in points:
        assert point.flip_flops == 9
        assert point.sequential_area == 54.0
        assert point.combinational_area == pytest.approx(point.area - 54.0)
        assert point.cells == sum(count for _, count in point.counts)
        assert 54 + 100 < point.area < 54 + 500
        assert 5 < point.delay < 40
    area = {point.recipe: point.area for point in points}
    delay = {point.recipe: point.delay for point in points}
    assert min(area, key=area.__getitem__) in AREA_RECIPES
    assert min(delay, key=delay.__getitem__) in DELAY_RECIPES


def test_the_same_twice(multiply_add: str):
    first, second = (synthesize(multiply_add, "top", neutral(), recipes=["a2", "d1"]) for _ in range(2))
    assert first == second
    # Neither the other recipes nor their order change a figure.
    assert synthesize(multiply_add, "top", neutral(), recipes=["d1", "a2"]) == first[::-1]


def test_yosys_has_one_thread():
    """With several, what comes of a design can differ from run to run."""
    yosys.run(["exec -expect-return 0 -expect-stdout ^1$ -- printenv YOSYS_MAX_THREADS"])
    with pytest.raises(SynthesisError):
        yosys.run(["exec -expect-return 0 -expect-stdout ^2$ -- printenv YOSYS_MAX_THREADS"])


def test_verilog_and_a_hierarchy():
    text = """
        module leaf(input a, b, output y); assign y = !(a & b); endmodule
        module top(input a, b, c, d, output x, y);
            leaf one(.a(a), .b(b), .y(x));
            leaf two(.a(c), .b(d), .y(y));
        endmodule
    """
    (point,) = run(text)
    assert dict(point.counts) == {"NAND2_X1": 2}


def test_without_gates():
    (wire,) = run("module top(input a, output y); assign y = a; endmodule")
    (constant,) = run("module top(output y); assign y = 1; endmodule")
    for point in (wire, constant):
        assert (point.area, point.delay, point.cells) == (0.0, 0.0, 0)
    (register,) = run(REGISTER)
    assert (register.area, register.delay, register.flip_flops) == (6.0, 0.0, 1)


def test_a_table_becomes_gates_and_is_counted():
    rows = " ".join(f"{k}: y = {k * k % 17};" for k in range(16))
    (point,) = run(
        f"module top(input [3:0] a, output reg [4:0] y); always @* case (a) {rows} endcase endmodule"
    )
    assert point.area > 10


@pytest.mark.parametrize("attribute", ["blackbox", "keep_hierarchy"])
def test_a_module_that_is_no_cell(attribute: str):
    text = f"""
        (* {attribute} *) module box(input a, output y); assign y = !a; endmodule
        module top(input a, output y); box b(.a(a), .y(y)); endmodule
    """
    message = "every cell of top must be one of library neutral with an area, not box"
    with pytest.raises(SynthesisError, match=whole(message)):
        run(text)


def test_cells_that_vanish_from_a_sum_are_named():
    netlist = Netlist(NAND, "top", "verilog")
    raw = flow.AbcFigures(1.0, (*((f"$cell{k}", 1) for k in range(6)), ("NAND2_X1", 3)))
    with pytest.raises(
        SynthesisError,
        match=whole(
            "every cell of top must be one of library neutral with an area, "
            "not $cell0, $cell1, $cell2, $cell3, $cell4 and 1 more"
        ),
    ):
        flow.check_cells(netlist.top, RECIPES["a2"], raw, neutral())


def test_a_memory_left_over(monkeypatch: pytest.MonkeyPatch):
    coarse = tuple(command for command in flow.COARSE_PASSES if command != "memory_map")
    monkeypatch.setattr(flow, "COARSE_PASSES", coarse)
    text = """
        module top(input clk, w, input [3:0] a, input [7:0] d, output [7:0] y);
            reg [7:0] m [15:0];
            assign y = m[a];
            always @(posedge clk) if (w) m[a] <= d;
        endmodule
    """
    with pytest.raises(
        SynthesisError,
        match=whole("every cell of top must be one of library neutral with an area, not $mem_v2"),
    ):
        run(text)


GATES_ONLY = Library.parse(
    LibrarySource("gates.lib", (liberty_text().partition("  cell (DFF_X1)")[0] + "}\n").encode())
)
RESET = """
    module top(input clk, r, d, output reg q);
        always @(posedge clk, posedge r) if (r) q <= 0; else q <= d;
    endmodule
"""
LATCH = "module top(input e, d, output reg q); always @* if (e) q <= d; endmodule"


@pytest.mark.parametrize(
    ("text", "top", "library", "message"),
    [
        (REGISTER, "top", GATES_ONLY, "library neutral must have the registers of top, not lack $_DFF_P_"),
        (RESET, "top", neutral(), "library neutral must have the registers of top, not lack $_DFF_PN0_"),
        (LATCH, "top", neutral(), "library neutral must have the registers of top, not lack $_DLATCH_P_"),
        (NAND, "nope", neutral(), "Yosys must synthesize nope, not end with: Module `nope' not found!"),
        (
            "module top(input a); bad endmodule",
            "top",
            neutral(),
            "Yosys must synthesize top, not end with: "
            "syntax error, unexpected TOK_ENDMODULE, expecting TOK_ID or '#'",
        ),
    ],
)
def test_failures(text: str, top: str, library: Library, message: str):
    with pytest.raises(SynthesisError) as caught:
        synthesize(text, top, library, language="verilog")
    assert str(caught.value) == message


def test_a_failure_has_the_end_of_the_log():
    with pytest.raises(SynthesisError) as caught:
        run("module top(input a); bad endmodule")
    (note,) = caught.value.__notes__
    assert note.startswith("The end of Yosys's log:\n")
    assert note.endswith(
        "netlist0.v:1: ERROR: syntax error, unexpected TOK_ENDMODULE, expecting TOK_ID or '#'"
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "strash; nonsense; amap; stime -p",
            "Yosys must synthesize top, not end with: unknown command 'nonsense'",
        ),
        ("strash; stime -p", "Yosys must synthesize top, not end with: The current network is not mapped."),
        ("strash; dch; amap", "recipe mine must give top a delay, and gave none"),
    ],
)
def test_a_script_that_abc_does_not_take(script: str, message: str):
    with pytest.raises(SynthesisError) as caught:
        run(NAND, recipes=[Recipe("mine", "area", script)])
    assert str(caught.value) == message


def test_parameters():
    check_messages(
        [
            (
                ValueError,
                "recipe must be one of a1, a2, a4, s1, d1, d0, d2, d6, not 'a3'",
                lambda: run(NAND, recipes=["a3"]),
            ),
            (ValueError, "recipes must be at least one, not none", lambda: run(NAND, recipes=[])),
            (
                ValueError,
                "recipes must differ in name, not be 'a1' twice",
                lambda: run(NAND, recipes=["a1", "a1"]),
            ),
            (
                ValueError,
                "recipe name must be letters, digits and underscores, not 'a b'",
                lambda: Recipe("a b", "area", ""),
            ),
            (
                ValueError,
                "language must be one of rtlil, verilog, not 'vhdl'",
                lambda: Netlist("", "top", "vhdl"),  # type: ignore[arg-type]
            ),
            (ValueError, "top must be a module's name, not 'a; b'", lambda: Netlist("", "a; b")),
            (
                ValueError,
                "recipe must take a delay target, not 'a1'",
                lambda: RECIPES["a1"].at(1000),
            ),
        ]
    )


def test_pyosys_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        external_tools, "find", lambda name: Tool(name=name, needed_for="synthesis", remedy="pip")
    )
    with pytest.raises(ToolError, match=whole("pyosys must be installed for synthesis, not missing: pip")):
        run(NAND)


# Several in one process.


def gates(count: int) -> Netlist:
    outputs = " ".join(f"assign y[{k}] = !(a[{k}] & b[{k}]);" for k in range(count))
    width = f"[{count - 1}:0]"
    text = f"module top(input {width} a, b, output {width} y); {outputs} endmodule"
    return Netlist(text, "top", "verilog")


def test_several_netlists_and_none_sees_another():
    with Synthesizer(neutral()) as synthesizer:
        results = synthesizer.run([gates(3), gates(1), gates(2)], choose(["a2", "a1"]))
    assert [[one[name].area for name in ("a2", "a1")] for one in results] == [[3.0] * 2, [1.0] * 2, [2.0] * 2]


def test_what_comes_of_one_hangs_on_none_before_it(multiply_add: str):
    wide = Netlist(rtlil.convert(MultiplyAdd(6), name="top", emit_src=False), "top")
    with Synthesizer(neutral()) as synthesizer:
        (alone,) = synthesizer.run([wide], choose(["a2"]))
        (*_, last) = synthesizer.run([gates(3), Netlist(multiply_add, "top"), wide], choose(["a2"]))
    assert last == alone


def test_the_one_that_fails_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(yosys.tempfile, "tempdir", str(tmp_path))
    bad = Netlist("bad", "broken", "verilog")
    with (
        Synthesizer(neutral()) as synthesizer,
        pytest.raises(SynthesisError, match=r"^Yosys must synthesize broken, not end with: syntax error"),
    ):
        synthesizer.run([gates(1), bad, gates(2)], choose(["a2"]))
    assert list(tmp_path.iterdir()) == []


def test_whoever_is_ended_while_a_session_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(yosys.tempfile, "tempdir", str(tmp_path))
    with Synthesizer(neutral()) as synthesizer:
        # The directory comes with the first job, when the session is known to whoever closes it.
        assert list(tmp_path.iterdir()) == []
        synthesizer.run([gates(1)], choose(["a2"]))
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    synthesizer.close()
    with pytest.raises(SynthesisError, match="must not start"):
        synthesizer.run([gates(1)], choose(["a2"]))


def test_the_gates_themselves():
    with Synthesizer(neutral()) as synthesizer:
        mapped = synthesizer.map(gates(2), choose(["a2"]))["a2"]
    assert [instance.cell for instance in mapped.instances] == ["NAND2_X1"] * 2
    assert {port: len(nets) for port, nets in {**mapped.inputs, **mapped.outputs}.items()} == {
        "a": 2, "b": 2, "y": 2,
    }  # fmt: skip


# The cache.


class Counted:
    """How many recipes really ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = 0
        real = Synthesizer.run

        def run(synthesizer: Synthesizer, netlists: list[Netlist], recipes: list[Recipe]):
            self.runs += len(netlists) * len(recipes)
            return real(synthesizer, netlists, recipes)

        monkeypatch.setattr(Synthesizer, "run", run)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_the_cache(tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "build" / "synthesis"
    first = run(NAND, recipes=["a1", "a2"], cache=place)
    assert counted.runs == 2
    assert run(NAND, recipes=["a2", "a1"], cache=place) == first[::-1]
    assert counted.runs == 2
    # A recipe more is all that is run.
    run(NAND, recipes=["a1", "d1", "a2"], cache=place)
    assert counted.runs == 3
    files = sorted(path for path in place.rglob("*") if path.is_file())
    assert len(files) == 3
    assert all(re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{62}", str(path.relative_to(place))) for path in files)
    # Another netlist, recipe script, library or tool: another result.
    run(NAND + " ", cache=place)
    assert counted.runs == 4
    run(NAND, recipes=[Recipe("a2", "area", "strash; amap; topo; stime -p")], cache=place)
    assert counted.runs == 5
    other = Library.parse(
        LibrarySource("neutral.lib", liberty_text().replace("area : 1;", "area : 1.25;").encode())
    )
    run(NAND, cache=place)
    assert counted.runs == 5
    (point,) = synthesize(NAND, "top", other, recipes=["a2"], language="verilog", cache=place)
    assert (counted.runs, point.area) == (6, 1.25)
    monkeypatch.setattr(cache, "pyosys_version", lambda: "0.71")
    run(NAND, cache=place)
    assert counted.runs == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda data: data[:-1],
        lambda data: b"\xff" + data[1:],
        lambda data: data.replace(b'["NAND2_X1", 1]', b'["NAND2_X1", 7]'),
        lambda data: data.partition(b"\n")[2],
    ],
)
def test_a_corrupted_entry_is_made_again(tmp_path: Path, counted: Counted, change: Callable[[bytes], bytes]):
    first = run(NAND, cache=tmp_path)
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    good = entry.read_bytes()
    assert change(good) != good
    entry.write_bytes(change(good))
    assert run(NAND, cache=tmp_path) == first
    assert counted.runs == 2
    assert entry.read_bytes() == good


def test_a_cache_that_is_a_file(tmp_path: Path):
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(
        NotADirectoryError, match=whole(f"cache must be a directory, not the file {str(place)!r}")
    ):
        run(NAND, cache=place)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device$"):
        run(NAND, cache=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Against the yardstick.

needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="real Liberty files are no part of the project: ../shared/liberty is absent"
)


@needs_real
def test_sky130_as_the_yardstick_prices_it(multiply_add: str, tmp_path: Path):
    library = Library.read(REAL / "sky130_fd_sc_hd__tt_025C_1v80.lib.gz")
    points = {point.recipe: point for point in synthesize(multiply_add, "top", library)}
    # The wire load of the file reached abc once, and this recipe gave 885.8 um2.
    assert (points["s1"].area, points["s1"].stime) == (pytest.approx(905.8688), pytest.approx(2.44315))
    netlist = tmp_path / "netlist.il"
    netlist.write_text(multiply_add)
    price = REAL.parent / "price.py"
    if not price.exists():
        pytest.skip("../shared/price.py is absent")
    # What the file has, but for that.
    (source,) = library.sources
    wireless = tmp_path / "sky130_fd_sc_hd.lib"
    wireless.write_text(re.sub(r"default_wire_load : [^;]*;", "", source.decoded))
    printed = subprocess.run(
        [sys.executable, str(price), "--all", str(netlist), "top", str(wireless)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    yardstick = {
        name: (area, delay) for name, area, delay in re.findall(r"(\w\d): (\d+) um2, ([\d.]+) ns", printed)
    }
    assert {
        name: (f"{points[name].area:.0f}", f"{points[name].stime:.2f}") for name in yardstick
    } == yardstick


@needs_real
def test_asap7_in_five_files(multiply_add: str):
    library = Library.read(*REAL.glob("asap7*.lib.gz"))
    area, delay = synthesize(multiply_add, "top", library, recipes=["a2", "d1"])
    # A 4x4 multiplier with an adder is some 130 NAND2, in 7 nm some 0.2 ns.
    assert 80 < library.nand2_equivalents(area.combinational_area) < 250
    assert 0.05 < delay.delay < 0.5
    assert area.flip_flops == 9
    assert json.loads(json.dumps(area.counts))


@pytest.mark.parametrize(("cell", "pin"), [("NAND2_X1", "B"), ("INV_X1", "A"), ("BUF_X1", "A")])
def test_a_library_that_abc_dies_of_is_told_by_its_cell(cell: str, pin: str):
    """abc takes for granted that a gate has a delay from each input, and is ended by a signal."""
    head, *rest = liberty_text().rstrip().removesuffix("}").split("  cell (")
    cells = {one.partition(")")[0]: f"  cell ({one}" for one in rest}
    arc = rf'      timing \(\) {{\n        related_pin : "{pin}";.*?\n      }}\n'
    cells[cell] = re.sub(arc, "", cells[cell], flags=re.DOTALL)
    few = ("INV_X1", "BUF_X1", "NAND2_X1", "NOR2_X1", "XOR2_X1", "DFF_X1")
    text = "".join([head, *(cells[name] for name in few), "}\n"])
    library = Library.parse(LibrarySource("cells.lib", text.encode()))
    message = f"library neutral must time every cell: cell {cell} has no delay from {pin} to Y"
    design = "module top(input clk, a, b, output y); reg p, q; assign y = ~q;"
    design += " always @(posedge clk) begin p <= a; q <= ~(p & b) ^ p; end endmodule"
    with pytest.raises(SynthesisError) as caught:
        synthesize(design, "top", library, recipes=["a2"], language="verilog")
    assert str(caught.value) == message


def test_a_design_too_deep_for_abc_is_refused() -> None:
    # No step of it can be undone or joined with the next.
    steps = "".join(
        f"assign s[{k + 3}] = (s[{k + 2}] & s[{k + 1}]) ^ s[{k}] ^ i[{k % 7}];" for k in range(2500)
    )
    design = (
        f"module top(input [6:0] i, input [2:0] a, output y); wire [2502:0] s; assign s[2:0] = a; {steps}"
        " assign y = s[2502]; endmodule"
    )
    with pytest.raises(SynthesisError) as caught:
        synthesize(design, "top", neutral(), recipes=["a2"], language="verilog")
    message = "top must have fewer than 4094 levels of gates for abc's amap, not as many or more"
    assert str(caught.value) == message
