"""One library written in many ways has one meaning: what Yosys and abc get, and what times a netlist."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest
from blockdot.synth import SynthesisPoint, synthesize
from blockdot.synth.cell_models import CellModels
from blockdot.synth.installed_libraries import find_libraries
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.neutral_library import liberty_text

Rewriting = Callable[[str], str]

ORIGINAL: Final = liberty_text()
CELL: Final = "cell (NAND2_X1) { area : 100; pin (Y) { direction : output; } }"


def swap(pattern: str, new: str | Callable[[re.Match[str]], str], count: int = 0) -> Rewriting:
    """Return what replaces a regular expression, which must be there."""

    def rewrite(text: str) -> str:
        changed, times = re.subn(pattern, new, text, count=count, flags=re.MULTILINE)
        assert times, pattern
        return changed

    return rewrite


def before_end(more: str) -> Rewriting:
    """Return what puts something before the library's last brace."""
    return lambda text: f"{text.rstrip().removesuffix('}')}{more}\n}}\n"


def at_start(more: str) -> Rewriting:
    """Return what puts something behind the library's first brace."""
    return swap(r"^library \(neutral\) \{", lambda found: f"{found[0]}\n{more}\n")


def in_function(how: Callable[[str], str]) -> Rewriting:
    return swap(r'(?<=function : ")[^"]*', lambda found: how(found[0]))


def in_values(how: Callable[[str], str]) -> Rewriting:
    return swap(r"(?<=values \()[^)]*", lambda found: how(found[0]))


def both_named(text: str) -> str:
    """Pins of a cell that are alike in one group."""
    pin = r"    pin \((\w)\) (\{[^{}]*\})\n"
    return swap(pin + r"    pin \((\w)\) \2\n", r"    pin (\1, \3) \2\n")(text)


def both_related(text: str) -> str:
    """Delays of a cell that are alike in one group."""
    arc = r'      timing \(\) \{\n        related_pin : "(\w)";\n((?:        .*\n)*)      \}\n'
    again = r'      timing \(\) \{\n        related_pin : "(\w)";\n\2      \}\n'
    return swap(arc + again, r'      timing () {\n        related_pin : "\1 \3";\n\2      }\n')(text)


def templates_last(text: str) -> str:
    template = re.search(r"  lu_table_template \(linear\) \{[^}]*\}\n", text)
    assert template is not None
    return before_end(template[0])(text.replace(template[0], ""))


def own_indices(text: str) -> str:
    indices = "".join(re.findall(r"index_[12] \([^)]*\);", text))
    return swap(r"(?<=\(linear\) \{\n)(?=\s*values)", lambda _: indices)(text)


def transposed(text: str) -> str:
    """The load first and the slope second, as Oklahoma State University has it."""

    def turn(found: re.Match[str]) -> str:
        rows = [row.split(", ") for row in re.findall(r'"([^"]*)"', found[0])]
        return ", ".join(f'"{", ".join(column)}"' for column in zip(*rows, strict=True))

    text = swap(r'(?<=values \()"[^)]*, [^)]*(?=\))', turn)(text)
    text = text.replace("variable_1", "variable_3").replace("variable_2", "variable_1")
    text = text.replace("variable_3", "variable_2").replace("index_1", "index_3")
    return text.replace("index_2", "index_1").replace("index_3", "index_2")


def named_template(text: str) -> str:
    return text.replace("(linear)", "(7x7_table)")


def unnamed_template(text: str) -> str:
    indices = "".join(re.findall(r"index_[12] \([^)]*\);", text))
    text = re.sub(r"  lu_table_template \(linear\) \{[^}]*\}\n", "", text)
    return swap(r"\(linear\) \{", lambda _: f"() {{ {indices}")(text)


def in_halves(text: str) -> str:
    """The delays to a rising output in one group, those to a falling one in another, as ASAP7 has it."""

    def halve(found: re.Match[str]) -> str:
        head, tables = found[1], re.findall(r"        \w+ \(linear\) \{\n.*\n        \}\n", found[2])
        made = ""
        for edge in ("rise", "fall"):
            own = "".join(table for table in tables if edge in table.split("(")[0])
            made += f"{head}        timing_type : combinational_{edge};\n{own}      }}\n"
        return made

    gates, flip_flop, rest = text.partition("  cell (DFF_X1)")
    head = r"      timing \(\) \{\n        related_pin .*\n        timing_sense .*\n"
    arc = rf"({head})((?:        .*\n)*)      \}}\n"
    return swap(arc, halve)(gates) + flip_flop + rest


PAD: Final = """
  cell (PAD) {
    area : 0;
    pin (YPAD) { direction : inout; capacitance : 1; }
    pin (DI) { direction : output; function : "YPAD"; }
  }
"""
HALF_ADDER: Final = """
  cell (INSIDE) {
    area : 1;
    pin (A) { direction : input; }
    pin (N) { direction : internal; function : "!A"; }
    pin (M) { direction : output; function : "!N"; }
  }
  cell (CHAIN) {
    area : 1;
    pin (A) { direction : input; }
    pin (CON) { direction : output; function : "!A"; }
    pin (SN) { direction : output; function : "!CON"; }
  }
"""
THREE_STATE: Final = """
  cell (TBUF) {
    area : 0.5;
    pin (A) { direction : input; } pin (EN) { direction : input; }
    pin (Y) { direction : output; function : "A"; three_state : "!EN"; }
  }
"""
MEMORY: Final = """
  cell (RAM) {
    area : 9;
    bus (Q) { bus_type : word; direction : output; pin (Q[7:0]) { timing () { related_pin : "CK"; } } }
  }
"""
HIDDEN: Final = CELL.replace("NAND2_X1", "CHEAP").replace("area", "dont_use : true; area")
CURRENT: Final = """
  output_current_rise () { vector (ccs) { reference_time : 0.1; index_1 ("0.1"); values ("1, 2"); } }
"""
WIRES: Final = """
  wire_load ("Small") { capacitance : 10; resistance : 0; slope : 9; fanout_length (1, 9); }
  default_wire_load : "Small";
  default_wire_load_mode : top;
"""

REWRITINGS: Final[dict[str, Rewriting]] = {
    # Comments.
    "a comment first": lambda text: f"/* {CELL} */\n{text}",
    "a cell in a comment": before_end(f"/* slow corner: {CELL} */"),
    "the flip-flop in a comment": at_start("/* cell (DFF_X1) { area : 1; } */"),
    "a cell in a line comment": before_end(f"// {CELL}"),
    "braces in a comment": at_start("/* } } { */ // } {"),
    "a quote in a comment": at_start('/* the " of don\'t */ // "'),
    "any byte in a comment": at_start("/* \xa9 M\xfcller, 25 \xb0C */"),
    "comments in comments": at_start("/* // */ /***/ /**/ // /* "),
    "a comment behind every semicolon": swap(";", "; /* } */"),
    "a line comment behind every line": swap("$", " // cell (X) {"),
    "a comment before parentheses": swap(r" \(", " /* ( */ ("),
    "a comment in parentheses": swap(r"cell \((\w+)\)", r"cell (/* the */ \1 // name" + "\n)"),
    "a comment behind parentheses": swap(r"\) \{", ") /* { */ {"),
    "a comment before a colon": swap(" :", " /* : */ :"),
    "a comment behind a colon": swap(": ", ": /* ; */ "),
    "a comment behind a value": swap(r": ([\w.]+);", r": \1 /* ; */ ;"),
    "a comment between rows": in_values(lambda rows: rows.replace('", "', '", /* " */ "')),
    "a line comment at the end": lambda text: f"{text}//",
    "a comment at the end": lambda text: f"{text}/* end */",
    # Strings.
    "an address in a string": at_start('comment : "http://www.example.org/*/library";'),
    "a cell in a string": at_start(f'comment : "{CELL}";'),
    "a brace in a string": at_start('comment : "} ; {";'),
    "a quote in a string": at_start(r'comment : "the \"typical\" corner }";'),
    "a string over lines": at_start('comment : "one \\\n two }";'),
    "quoted cell names": swap(r"cell \((\w+)\)", r'cell ("\1")'),
    "quoted pin names": swap(r"pin \((\w+)\)", r'pin ( "\1" )'),
    "quoted states": swap(r"ff \(IQ, IQN\)", 'ff ("IQ","IQN")'),
    "states in one string": swap(r"ff \(IQ, IQN\)", 'ff ("IQ,IQN")'),
    "quoted values": swap(r": (\w[\w.]*);", r': "\1";'),
    "values in quotes with blanks": swap(r": (\w[\w.]*);", r': " \1 ";'),
    "unquoted functions": swap(r'function : "(.*)";', r"function : \1 ;"),
    "unquoted pins": swap(r'related_pin : "(\w+)";', r"related_pin : \1;"),
    "unquoted units": swap('"1ps"', "1ps"),
    # Lines and blanks.
    "a brace on the next line": swap(r" \{$", "\n{"),
    "line ends of DOS": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: f"\xef\xbb\xbf{text}",
    "one line": lambda text: text.replace("\n", " "),
    "no indents": swap("^ +", ""),
    "tabs": swap("^ +", "\t"),
    "blank lines": swap("$", "\n\n"),
    "a form feed": swap(r"^  cell", "\f  cell"),
    "blanks at line ends": swap("$", "   "),
    "no blanks": swap(r" ?([:{(;]) ?", r"\1"),
    "many blanks": swap(r"([:{}();])", r"  \1  "),
    "no semicolons": swap(";$", ""),
    "two semicolons": swap(";", ";;"),
    "a semicolon behind a group": swap(r"\}$", "};"),
    "a joint behind a name": swap(r"^( *\w+) ([:(])", r"\1 \\" + "\n" + r" \2"),
    "a joint before a brace": swap(r" \{", r" \\" + "\n {"),
    "a joint in parentheses": swap(r"pin \((\w+)\)", r"pin (\\" + "\n" + r" \1)"),
    "a value on the next line": swap(r': "', ":\n  \""),
    "attributes in the other order": swap(r"^( +area : .*;)\n((?:.*\n){4})", r"\2\1" + "\n", count=0),
    # Units.
    "a thousandth of a picofarad": swap(r"\(1, ff\)", "(0.001, pf)"),
    "a quoted unit": swap(r"\(1, ff\)", '(1,"ff")'),
    "capitals in units": swap(r"\(1, ff\)", "(1.0,FF)"),
    "a blank in a unit": swap('"1ps"', '"1 ps"'),
    # Tables.
    "rows on lines": in_values(lambda rows: rows.replace('", "', '", \\\n "')),
    "rows on lines without joints": in_values(lambda rows: rows.replace('", "', '",\n "')),
    "joints in rows": in_values(lambda rows: rows.replace(", ", ", \\\n ")),
    "rows without blanks": in_values(lambda rows: rows.replace(" ", "")),
    "blanks in rows": in_values(lambda rows: rows.replace(", ", "  ,  ")),
    "blanks for commas": in_values(lambda rows: re.sub(r"(?<=\d),", " ", rows)),
    "commas at row ends": in_values(lambda rows: re.sub(r'(?<=\d)"', ', "', rows)),
    "one row": in_values(lambda rows: rows.replace('", "', ", ")),
    "unquoted rows": in_values(lambda rows: rows.replace('"', "")),
    "templates last": templates_last,
    "indices in tables": own_indices,
    "the load first": transposed,
    "a template whose name begins with a digit": named_template,
    "no template": unnamed_template,
    "two groups for two edges": in_halves,
    # Pins.
    "two pins in a group": both_named,
    "two quoted pins in a group": lambda text: swap(r"pin \((\w), (\w)\)", r'pin ("\1","\2")')(
        both_named(text)
    ),
    "two related pins": both_related,
    "related pins with a comma": lambda text: swap(r'"(\w) (\w)"', r'"\1, \2"')(both_related(text)),
    "a timing type": swap(r"(timing_sense : \w+;)(?!\s*timing_type)", r"\1 timing_type : combinational;"),
    # Functions.
    "ampersands": in_function(lambda text: text.replace("*", "&")),
    "bars": in_function(lambda text: text.replace("+", "|")),
    "operands side by side": in_function(lambda text: text.replace("*", " ")),
    "apostrophes": in_function(lambda text: re.sub(r"!\(([\w*+]+)\)", r"(\1)'", text)),
    "more parentheses": in_function(lambda text: f"(({text}))"),
    "blanks in functions": in_function(lambda text: re.sub(r"([*+()!])", r" \1 ", text)),
    # What is beside the point.
    "attributes of one's own": at_start('define (mine, library, string); mine : "x"; other (1, 2, "}");'),
    "groups of one's own": at_start("mine (x) { deep () { deeper : 1; } cell (Y) { area : 1; } }"),
    "wire loads": at_start(WIRES),
    "currents": swap(r"(?<=timing \(\) \{)", CURRENT),
    "supply pins": swap(r"^(  cell \(.*\) \{)$", r"\1 pg_pin (VDD) { pg_type : primary_power; }"),
    "an attribute twice": swap(r"(direction : \w+;)", r"\1 \1"),
    "a pad": before_end(PAD),
    "inner nodes": before_end(HALF_ADDER),
    "a three-state driver": before_end(THREE_STATE),
    "a memory": before_end(MEMORY),
    "a cell not to be used": before_end(HIDDEN),
    "a filler": before_end("cell (FILL) { area : 1; }"),
}  # fmt: skip


PRICED: Final = ("a cell in a comment", "no template", "the load first", "wire loads")
DESIGN: Final = """
    module top(input clk, input [2:0] a, b, output reg [5:0] q);
        always @(posedge clk) q <= a * b + q;
    endmodule
"""


def parse(text: str) -> Library:
    return Library.parse(LibrarySource("neutral.lib", text.encode("latin-1")))


@pytest.fixture(scope="module")
def plain() -> Library:
    return parse(ORIGINAL)


def facts_of(library: Library, name: str) -> tuple[object, ...]:
    model = CellModels(library)[name]
    return model.capacitance, model.arcs, model.setup, model.clock, model.inputs, model.energy, model.leakage


def test_there_are_many():
    assert len(REWRITINGS) >= 60
    assert all(rewrite(ORIGINAL) != ORIGINAL for rewrite in REWRITINGS.values())


@pytest.mark.parametrize("name", REWRITINGS)
def test_the_meaning_stays(name: str, plain: Library):
    library = parse(REWRITINGS[name](ORIGINAL))
    assert library.mapping_text == plain.mapping_text
    assert replace(library.facts, sha256="") == replace(plain.facts, sha256="")
    for cell in ("NAND2_X2", "XOR2_X1", "DFF_X1"):
        one, other = library.cells[cell], plain.cells[cell]
        assert (one.area, one.inputs, one.kind, one.truth_table) == (
            other.area, other.inputs, other.kind, other.truth_table,
        )  # fmt: skip
        assert facts_of(library, cell) == facts_of(plain, cell)


@pytest.fixture(scope="module")
def price(plain: Library) -> list[SynthesisPoint]:
    return synthesize(DESIGN, "top", plain, recipes=["a2", "d1"], language="verilog")


@pytest.mark.parametrize("name", PRICED)
def test_the_price_stays(name: str, price: list[SynthesisPoint]):
    library = parse(REWRITINGS[name](ORIGINAL))
    assert synthesize(DESIGN, "top", library, recipes=["a2", "d1"], language="verilog") == price


@pytest.mark.parametrize(("name", "area"), [("osu018", 2334.0), ("osu035", 9336.0), ("osu050", 21006.0)])
def test_debian_s_libraries(name: str, area: float):
    found = {library.name: library for library in find_libraries()}
    if name not in found:
        pytest.skip(f"Debian's qflow-tech-{name} is not installed")
    library = Library.read(*found[name].files)
    # Its smallest plain flip-flop by name is one of the falling clock edge.
    assert library.flip_flop is not None
    assert library.flip_flop.name == "DFFPOSX1"
    (point,) = synthesize(DESIGN, "top", library, recipes=["a2"], language="verilog")
    assert (point.area, dict(point.counts)["DFFPOSX1"]) == (area, 6)
    assert point.delay == pytest.approx(point.stime, rel=1e-4)


def test_what_is_written_reads_as_itself(plain: Library):
    again = parse(plain.mapping_text)
    assert again.mapping_text == plain.mapping_text
    assert "wire" not in again.mapping_text
    assert "power" not in again.mapping_text
