import gzip
import pickle
import random
import re
from pathlib import Path

import pytest
from blockdot.synth.liberty import Library, LibraryCell, LibrarySource
from messages import check_messages, whole

REAL = Path(__file__).resolve().parents[3] / "shared" / "liberty"

HEAD = """
library (tiny) {
  time_unit : "1ns";
  capacitive_load_unit (1, pf);
"""
GATE = """
  cell ({name}) {{
    area : {area};
    pin (A) {{ direction : input; capacitance : 0.001; }}
    pin (B) {{ direction : input; capacitance : 0.001; }}
    pin (Y) {{ direction : output; function : "{function}"; }}
  }}
"""
BUFFERS = """
  cell (INV) { area : 1; pin (A) { direction : input; } pin (Y) { direction : output; function : "A'"; } }
  cell (BUF) { area : 2; pin (A) { direction : input; } pin (Y) { direction : output; function : "A"; } }
"""
FLIP_FLOP = """
  cell (DFF) {
    area : 9;
    ff ("IQ", "IQN") { clocked_on : "CK"; next_state : "D"; }
    pin (CK) { direction : input; }
    pin (D) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; }
  }
"""


def gate(name: str, area: float, function: str) -> str:
    return GATE.format(name=name, area=area, function=function)


def text_of(*parts: str, head: str = HEAD) -> str:
    return head + "".join(parts) + "}\n"


def parse(*parts: str, name: str = "tiny.lib", head: str = HEAD) -> Library:
    return Library.parse(LibrarySource(name, text_of(*parts, head=head).encode("latin-1")))


NAND = gate("NAND", 4, "!(A&B)")
WHOLE = (NAND, BUFFERS, FLIP_FLOP)


def test_facts():
    library = parse(*WHOLE)
    assert library.name == "tiny"
    assert (library.time_unit_ps, library.capacitance_unit_ff) == (1000.0, 1000.0)
    assert list(library.cells) == ["NAND", "INV", "BUF", "DFF"]
    assert library.nand2.name == "NAND"
    assert library.nand2_equivalents(10.0) == 2.5
    assert library.cells["DFF"] == LibraryCell(
        "DFF", 9.0, ("CK", "D"), (("Q", "IQ"),), "flip_flop", plain_flip_flop=True, clock_edge="rising"
    )
    assert library.flip_flop == library.cells["DFF"]
    assert library.cells["DFF"].sequential
    assert library.cells["DFF"].truth_table is None
    assert parse(NAND, BUFFERS).flip_flop is None
    facts = library.facts
    assert (facts.files, facts.nand2_area, facts.driving_cell) == (("tiny.lib",), 4.0, "BUF")
    assert facts.sha256 == library.sha256


@pytest.mark.parametrize(
    ("function", "table"),
    [
        ("!(A&B)", 0b0111),
        ("(A B)'", 0b0111),
        ("!A + !B", 0b0111),
        ("A' | B'", 0b0111),
        ("A ^ B", 0b0110),
        ("A * !B + !A * B", 0b0110),
        ("!(A ^ B)", 0b1001),
        ("A + B * A'", 0b1110),
        ("A ^ B & A", 0b0010),  # XOR binds tighter than AND
        ("!A'", 0b1010),
        ("1", 0b1111),
        ("(0)'", 0b1111),
    ],
)
def test_functions(function: str, table: int):
    assert parse(*WHOLE, gate("X", 5, function)).cells["X"].truth_table == table


def test_the_nand2_is_found_by_function_and_the_smallest_counts():
    library = parse(*WHOLE, gate("ODD_NAME", 3, "(!A) | (!B)"), gate("NAND2_X1", 2, "A & B"))
    assert library.nand2.name == "ODD_NAME"


def test_a_cell_not_to_be_used_is_no_yardstick():
    hidden = gate("CHEAP", 1, "!(A&B)").replace("area", "dont_use : true; area")
    assert parse(*WHOLE, hidden).nand2.name == "NAND"


def test_the_driving_cell_is_of_the_second_size():
    def buffer(name: str, area: float) -> str:
        return BUFFERS.split("\n")[2].replace("BUF", name).replace("2;", f"{area};")

    assert (
        parse(*WHOLE, buffer("CLKBUF_2", 3), buffer("BUF_2", 3), buffer("BUF_4", 5)).driving_cell.name
        == "BUF_2"
    )
    assert parse(*WHOLE).driving_cell.name == "BUF"


@pytest.mark.parametrize(
    ("lines", "plain"),
    [
        ('clocked_on : "CK"; next_state : "D";', True),
        ('clocked_on : "!CK"; next_state : "(!D)";', True),
        ('clocked_on : "CK"; next_state : "D"; clear : "D";', False),
        ('clocked_on : "CK"; next_state : "(D CK)";', False),
    ],
)
def test_plain_flip_flops(lines: str, plain: bool):
    cell = FLIP_FLOP.replace('clocked_on : "CK"; next_state : "D";', lines)
    assert parse(NAND, BUFFERS, cell).cells["DFF"].plain_flip_flop == plain


def test_comments_continuations_and_strings():
    text = """
    /* cell (NO) { area : 0; } */ // } {
    foreign : "a } brace, /* no comment */ and // none";
    define (x, library, string);
    odd ("1", \\
         "2");
    nameless () { deep (a) { deeper : "}"; } }
    """
    assert list(parse(text, *WHOLE).cells) == ["NAND", "INV", "BUF", "DFF"]
    # A comment may hold any byte.
    assert parse("/* \xa9 M\xfcller */", *WHOLE).name == "tiny"


def test_a_cell_without_function_needs_no_area():
    assert "TAP" not in parse(*WHOLE, "cell (TAP) { pin (G) { direction : input; } }").cells
    assert parse(*WHOLE, "cell (FILL) { area : 0; }").cells["FILL"].kind == "other"


TABLES = """
  lu_table_template (two) { variable_1 : x; variable_2 : y; index_1 ("1, 2"); index_2 ("1, 2, 3"); }
  cell (T) {
    area : 1;
    pin (A) { direction : input; }
    pin (Y) {
      direction : output; function : "A";
      timing () {
        related_pin : "A";
        cell_rise (two) { values ("1, 2, 3", "4, 5, 6"); }
        cell_fall (two) { index_2 ("1, 2"); values ("1, 2", \\
          "4, 5.0e-1"); }
        rise_transition (scalar) { values ("1"); }
      }
    }
  }
"""


VARIABLES = "variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;"


def test_delay_tables_are_read():
    assert "T" in parse(*WHOLE, TABLES).cells


def broken(name: str, reason: str) -> str:
    return f"Liberty file must be a readable Liberty file, not {name!r}: {reason}"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("area", "ar\x93ea", "byte 0x93 in line 7"),
        ("area", "ar\0ea", "byte 0x00 in line 7"),
        ("cell (NAND) {", "cell (NAND {", "no statement starts with 'cell (NAND {' in line 6"),
        ("area : 4", "# area : 4", "no statement starts with '# area : 4;' in line 7"),
        ("area : 4", "4 area", "no statement starts with '4 area;' in line 7"),
        ("cell (NAND)", "cell", "no statement starts with 'cell {' in line 6"),
        ("  }\n}\n", "  }\n", "the brace in line 2 is never closed"),
        ("  }\n}\n", "  }\n}\n}\n", "a closing brace too many in line 40"),
        ("library", "librery", "it has 0 library groups"),
        ("1ns", "5ns", "its time_unit is '5ns', of which abc knows none but 1ps, 10ps, 100ps, 1ns"),
        ("time_unit", "t", "its time_unit is '', of which abc knows none but 1ps, 10ps, 100ps, 1ns"),
        ("pf", "uf", "its capacitive_load_unit is '1, uf', and not a number of ff or pf"),
        ("capacitive", "c", "its capacitive_load_unit is '', and not a number of ff or pf"),
        ("area : 4", "area : 4x", "cell NAND has the area '4x' in line 6"),
        ("area : 4", "area : -4", "cell NAND has the area '-4' in line 6"),
        ("A&B", "A&C", "cell NAND has the function '!(A&C)' at its pin Y in line 10"),
        ("A&B)", "A&B", "cell NAND has the function '!(A&B' at its pin Y in line 10"),
        ("A&B", "A$B", "cell NAND has the function '!(A$B)' at its pin Y in line 10"),
        ("A&B", "A&&B", "cell NAND has the function '!(A&&B)' at its pin Y in line 10"),
        ('related_pin : "A"', 'related_pin : "B"', "cell T has a delay from its missing pin B in line 30"),
        ("5, 6", "5x, 6", "cell T has a cell_rise table that holds something other than numbers in line 32"),
        ("5, 6", "5_1, 6", "cell T has a cell_rise table that holds something other than numbers in line 32"),
        ("5, 6", "nan, 6", "cell T has a cell_rise table that holds something other than numbers in line 32"),
        ("area : 4;", "area : 4; /* for now", "a comment is never closed in line 7"),
        ('"1ns"', '"1ns', "no statement starts with '!(A&B)\"; }' in line 10"),
        ("area : 4;", "area = 4;", "no statement starts with 'area = 4;' in line 7"),
        ("area : 4;", "area : 4; @", "no statement starts with '@' in line 7"),
        ("area : 4;", "area : 4; \\ x", "no statement starts with '\\\\ x' in line 7"),
        ("pin (A) {", "pin A {", "no statement starts with 'pin A { direction : input; cap' in line 8"),
        ("pin (A) {", "pin (A) ( {", "no statement starts with '( { direction : input; capacit' in line 8"),
        ("pin (Y) {", "pin (Y) }", "a closing brace too many in line 11"),
        ("library (tiny)", "lib : 1; library (tiny)", "something stands beside its library group"),
        ("library (tiny)", "library (one) { } library (tiny)", "it has 2 library groups"),
        ("direction : input;", "", "cell NAND has no direction at its pin A in line 8"),
        (
            "direction : input;",
            "direction : inward;",
            "cell NAND has the direction 'inward' at its pin A in line 8",
        ),
        ("0.001", "0.001pF", "cell NAND has the capacitance '0.001pF' at its pin A in line 8"),
        ("0.001", "-1", "cell NAND has the capacitance '-1' at its pin A in line 8"),
        ("0.001", "inf", "cell NAND has the capacitance 'inf' at its pin A in line 8"),
        ("area : 4", "area : 1e999", "cell NAND has the area '1e999' in line 6"),
        ("area : 4;", "area : 4; area : 5;", "cell NAND has area twice in line 7"),
        ("cell (NAND)", "cell (NAND, NOR)", "a cell has the name 'NAND, NOR' in line 6"),
        ("cell (NAND)", "cell ()", "a cell has the name '' in line 6"),
        ("pin (B)", "pin (A)", "cell NAND has its pin A twice in line 9"),
        ("pin (B)", "pin ()", "cell NAND has a pin without a name in line 9"),
        ('!(A&B)";', '!(A&B)"; function : "A";', "pin Y has function twice in line 10"),
        ("!(A&B)", "", "cell NAND has the function '' at its pin Y in line 10"),
        ("!(A&B)", "!!!!!!A", "cell NAND has the function '!!!!!!A' at its pin Y in line 10"),
        (
            "!(A&B)",
            "(" * 50 + "A" + ")" * 50,
            f"cell NAND has the function {'(' * 50 + 'A' + ')' * 50!r} at its pin Y in line 10",
        ),
        (
            'clocked_on : "CK"',
            'clocked_on : "CLK"',
            "cell DFF has the clocked_on 'CLK' in its ff group in line 18",
        ),
        (
            'next_state : "D"',
            'next_state : "D +"',
            "cell DFF has the next_state 'D +' in its ff group in line 18",
        ),
        ('related_pin : "A";', "", "cell T has a delay without related_pin at its pin Y in line 30"),
        (
            "cell_rise (two)",
            "cell_rise (three)",
            "cell T has a cell_rise table of the unknown template 'three' in line 32",
        ),
        (
            'index_1 ("1, 2")',
            'index_1 ("2, 1")',
            "cell T has a cell_rise table whose index_1 is not numbers that rise: '2 1' in line 32",
        ),
        (
            'index_1 ("1, 2")',
            'index_1 ("1, x")',
            "cell T has a cell_rise table whose index_1 is not numbers that rise: '1 x' in line 32",
        ),
        (
            '"1, 2, 3", "4',
            '"1, 2 3", "4',
            "cell T has a cell_rise table that holds something other than numbers in line 32",
        ),
        (
            'values ("1");',
            "",
            "cell T has a rise_transition table of 0 values with indices for 1 in line 35",
        ),
        (
            'values ("1");',
            'values ("1"); values ("2");',
            "rise_transition scalar has values twice in line 35",
        ),
        (
            "rise_transition (scalar)",
            "rise_power (scalar)",
            "cell T has a cell_fall table without one of fall_transition or rise_transition at its pin Y "
            "in line 30",
        ),
        ("(1, pf)", "(1, pf, ff)", "its capacitive_load_unit is '1, pf, ff', and not a number of ff or pf"),
        ("(1, pf)", "(0, pf)", "its capacitive_load_unit is '0, pf', and not a number of ff or pf"),
        ("(1, pf)", "(nan, pf)", "its capacitive_load_unit is 'nan, pf', and not a number of ff or pf"),
        ("5, 6", "516", "cell T has a cell_rise table of 5 values with indices for 6 in line 32"),
        ("area : 4", "area : 1_0", "cell NAND has the area '1_0' in line 6"),
        (
            "area : 4;",
            "area : 4; dont_use : yes;",
            "cell NAND has a dont_use that is neither true nor false: 'yes' in line 6",
        ),
        ("area : 4;", "area : 4; drive_strength : x;", "cell NAND has the drive_strength 'x' in line 6"),
        (
            "area : 4;",
            "area : 4; cell_leakage_power : x;",
            "cell NAND has the cell_leakage_power 'x' in line 6",
        ),
        (
            "area : 4;",
            "area : 4; leakage_power () { value : nan; }",
            "cell NAND has the leakage_power 'nan' in line 7",
        ),
        (
            'related_pin : "A";',
            'related_pin : "A"; timing_sense : negative;',
            "cell T has the timing_sense 'negative' at its pin Y in line 30",
        ),
        (
            "cell (T)",
            'lu_table_template (two) { variable_1 : x; index_1 ("1, 2"); } cell (T)',
            "it has two templates two, which differ, in line 25",
        ),
        (
            "cell (NAND)",
            "include_file (other.lib); cell (NAND)",
            "it includes another file, 'other.lib', which is not read",
        ),
        *(
            ("cell (NAND)", f"{name} : {value}; cell (NAND)", f"its {name} is '{value}'")
            for name, value in (
                ("default_input_pin_cap", "x"),
                ("default_input_pin_cap", "-5"),
                ("default_max_transition", "nan"),
                ("nom_voltage", "0"),
                ("slew_derate_from_library", "0"),
                ("slew_upper_threshold_pct_rise", "80%"),
            )
        ),
    ],
)
def test_bad_files(old: str, new: str, reason: str):
    text = text_of(*WHOLE, TABLES)
    assert old in text
    # The last place, where it is the file's end that is changed.
    text = new.join(text.rsplit(old, 1)) if old.startswith("  }") else text.replace(old, new, 1)
    with pytest.raises(ValueError, match=whole(broken("x.lib", reason))):
        Library.parse(LibrarySource("x.lib", text.encode("latin-1")))


def test_a_delay_that_abc_cannot_look_up():
    library = parse(*WHOLE, TABLES, name="x.lib")
    with pytest.raises(
        ValueError, match=whole(broken("x.lib", "cell T has a cell_rise table over x and y in line 32"))
    ):
        _ = library.mapping_text


@pytest.mark.parametrize(
    ("clock", "edge"), [("CK", "rising"), ("!CK", "falling"), ("(CK')", "falling"), ("CK D", None)]
)
def test_the_clock_edge(clock: str, edge: str | None):
    cell = FLIP_FLOP.replace('clocked_on : "CK"', f'clocked_on : "{clock}"')
    assert parse(NAND, BUFFERS, cell).cells["DFF"].clock_edge == edge


def test_a_flip_flop_of_the_rising_edge_goes_first():
    falling = FLIP_FLOP.replace("DFF", "ANEG").replace("area : 9", "area : 8").replace('"CK"', '"!CK"')
    library = parse(*WHOLE, falling)
    assert library.flip_flop == library.cells["DFF"]


def test_cells_left_out():
    library = parse(*WHOLE, gate("SMALL", 3, "!(A&B)"))
    assert library.nand2.name == "SMALL"
    without = library.without({"S*": ["SMALL"]})
    assert (without.nand2.name, without.left_out) == ("NAND", (("S*", ("SMALL",)),))
    assert without.facts.left_out == ("S* (1)",)
    assert "SMALL" not in without.mapping_text
    assert without.sha256 == library.sha256
    assert without.key != library.key
    assert pickle.loads(pickle.dumps(without)) == without
    check_messages(
        [
            (
                ValueError,
                "cell must be one of library tiny, not NONE",
                lambda: library.without({"N*": ["NONE"]}),
            ),
            (
                ValueError,
                "library must have an inverter, not 'tiny.lib' but I* without one",
                lambda: library.without({"I*": ["INV"]}),
            ),
        ]
    )


def test_libraries_that_are_none():
    def area_free(name: str) -> str:
        return gate(name, 1, "A|B").replace("area : 1;", "")

    second = LibrarySource("b.lib", text_of(gate("OR", 5, "A|B")).encode())
    first = LibrarySource("a.lib", text_of(*WHOLE).encode())
    check_messages(
        [
            (ValueError, "library must have at least one Liberty file, not none", Library.read),
            (
                ValueError,
                "cell must have an area, not none as in 'tiny.lib': P, Q",
                lambda: parse(*WHOLE, area_free("Q"), area_free("P")),
            ),
            (
                ValueError,
                "cell must have an area, not none as in 'tiny.lib': C0, C1, C2, C3, C4 and 2 more",
                lambda: parse(*WHOLE, *(gate(f"C{k}", 0, "A|B") for k in range(7))),
            ),
            (
                ValueError,
                "library must have a 2-input NAND, not 'tiny.lib' without one",
                lambda: parse(BUFFERS, gate("NOR", 4, "!(A+B)")),
            ),
            (ValueError, "library must have an inverter, not 'tiny.lib' without one", lambda: parse(NAND)),
            (
                ValueError,
                "cell OR must be in a library once, not in 'a.lib' in line 24 and in 'b.lib' in line 6",
                lambda: Library.parse(
                    second, LibrarySource("a.lib", text_of(*WHOLE, gate("OR", 5, "A|B")).encode())
                ),
            ),
            (
                ValueError,
                "cell NAND must be in a library once, not in 'x.lib' in line 6 and in 'x.lib' in line 24",
                lambda: parse(*WHOLE, NAND, name="x.lib"),
            ),
            (
                ValueError,
                "files of a library must have the same units, not different ones in a.lib, c.lib",
                lambda: Library.parse(
                    first, LibrarySource("c.lib", text_of(head=HEAD.replace("1ns", "1ps")).encode())
                ),
            ),
        ]
    )


def test_several_files_form_one_library():
    sources = [
        LibrarySource("b.lib", text_of(FLIP_FLOP, head=HEAD.replace("tiny", "tech_seq_tt")).encode()),
        LibrarySource("a.lib", text_of(NAND, BUFFERS, head=HEAD.replace("tiny", "tech_simple_tt")).encode()),
    ]
    library = Library.parse(*sources)
    assert library.name == "tech_s*_tt"
    assert set(library.cells) == {"NAND", "INV", "BUF", "DFF"}
    assert library == Library.parse(*reversed(sources))
    assert library.sha256 == Library.parse(*reversed(sources)).sha256
    assert library.sha256 != Library.parse(sources[1]).sha256


def test_files(tmp_path: Path):
    plain, packed, cut, wrong = (tmp_path / name for name in ("p.lib", "z.lib.gz", "c.lib.gz", "w.lib.gz"))
    data = text_of(*WHOLE).encode()
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data, mtime=0))
    assert Library.read(packed).sha256 == Library.read(str(plain)).sha256
    assert Library.read(packed).facts.files == ("z.lib",)
    cut.write_bytes(packed.read_bytes()[:-20])
    body = bytearray(packed.read_bytes())
    body[len(body) // 2] ^= 0x10
    wrong.write_bytes(body)
    check_messages(
        [
            (
                FileNotFoundError,
                f"Liberty file must exist, not {str(tmp_path / 'no.lib')!r}",
                lambda: Library.read(tmp_path / "no.lib"),
            ),
            (
                IsADirectoryError,
                f"Liberty file must be a file, not the directory {str(tmp_path)!r}",
                lambda: Library.read(tmp_path),
            ),
            (
                ValueError,
                f"Liberty file must be a whole gzip file, not {str(cut)!r}: "
                "Compressed file ended before the end-of-stream marker was reached",
                lambda: Library.read(cut),
            ),
        ]
    )
    with pytest.raises(
        ValueError, match=rf"^Liberty file must be a whole gzip file, not {str(wrong)!r}: .*$"
    ):
        Library.read(wrong)


def test_any_cut_is_noticed():
    data = text_of(*WHOLE, TABLES)
    # Behind the last brace there is only a line break.
    for length in range(0, len(data) - 2, 7):
        with pytest.raises(ValueError, match=r"^Liberty file must be a readable Liberty file, not 'x': .*$"):
            Library.parse(LibrarySource("x", data[:length].encode()))


# What may end a statement, a string, a comment or a number early or late.
SCRAPS = (
    '"', "{", "}", "(", ")", ";", ":", "/*", "*/", "//", "\\", "\\\n", "\n", ",", "1e9", "-", "nan",
    "!", "'", "^", "cell (X) {", "timing () {", "values", "pin (A, B) {", "scalar", "\xff", "\0",
)  # fmt: skip


def test_a_changed_file_is_read_or_refused_in_one_line():
    generator = random.Random(17)
    whole_text = text_of(*WHOLE, TABLES.replace("variable_1 : x; variable_2 : y;", VARIABLES))
    reasons: list[str] = []
    for _ in range(600):
        text = whole_text
        for _ in range(generator.randint(1, 3)):
            start = generator.randrange(len(text))
            end = start + generator.choice((0, 0, 1, 8, 40))
            text = text[:start] + generator.choice(("", *SCRAPS)) + text[end:]
        try:
            library = Library.parse(LibrarySource("x.lib", text.encode("latin-1")))
            assert library.mapping_text
        except ValueError as error:
            reasons.append(str(error))
    assert len(reasons) > 300
    assert all("x.lib" in reason and "\n" not in reason for reason in reasons)


def test_metrics():
    library = parse(*WHOLE)
    assert library.area.to_dict() == {"name": "area", "unit": "um2", "better": "lower"}
    assert library.delay.text(1.23456) == "1.235 ns"


needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="real Liberty files are no part of the project: ../shared/liberty is absent"
)


@needs_real
def test_sky130():
    library = Library.read(REAL / "sky130_fd_sc_hd__tt_025C_1v80.lib.gz")
    assert library.name == "sky130_fd_sc_hd__tt_025C_1v80"
    assert (library.time_unit_ps, library.capacitance_unit_ff) == (1000.0, 1000.0)
    assert (library.nand2.name, library.nand2.area) == ("sky130_fd_sc_hd__nand2_1", 3.7536)
    assert library.driving_cell.name == "sky130_fd_sc_hd__buf_2"
    assert library.flip_flop is not None
    assert (library.flip_flop.name, library.flip_flop.area) == ("sky130_fd_sc_hd__dfxtp_1", 20.0192)


@needs_real
def test_asap7_in_five_files():
    library = Library.read(*REAL.glob("asap7*.lib.gz"))
    assert library.name == "asap7sc7p5t_*"
    assert (library.time_unit_ps, library.capacitance_unit_ff) == (1.0, 1.0)
    assert (library.nand2.name, library.nand2.area) == ("NAND2xp5_ASAP7_75t_R", 0.05832)
    assert re.fullmatch(r"BUFx\d_ASAP7_75t_R", library.driving_cell.name)
    assert library.flip_flop is not None
    assert library.flip_flop.name == "DFFHQNx1_ASAP7_75t_R"
    assert len(library.cells) == 202


@needs_real
def test_one_wrong_byte_in_a_real_file():
    source = LibrarySource.load(REAL / "asap7sc7p5t_INVBUF_RVT_TT_nldm.lib.gz")
    at = source.text.index(b"cell_rise", len(source.text) // 2)
    table = source.text.index(b"values", at)
    comma = source.text.index(b",", table)
    for place, byte in ((at + 9, b"\x80"), (comma, b"7"), (comma - 1, b"O"), (table + 7, b" ")):
        data = source.text[:place] + byte + source.text[place + 1 :]
        with pytest.raises(
            ValueError, match=r"^Liberty file must be a readable Liberty file, not 'x': .*line \d+$"
        ):
            Library.parse(LibrarySource("x", data))
