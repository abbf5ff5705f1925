from pathlib import Path

import pytest
from blockdot.synth.cell_choice import PURPOSES, choose_cells, leave_out
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.neutral_library import liberty_text, neutral
from messages import whole

REAL = Path(__file__).resolve().parents[3] / "shared" / "liberty"

needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="real Liberty files are no part of the project: ../shared/liberty is absent"
)


def named(*names: str) -> Library:
    """The built-in library with its smallest 2-input NOR, NAND and AND under other names."""
    text = liberty_text()
    for cell, name in zip(("NOR2_X1", "AND2_X1", "OR2_X1"), names, strict=False):
        text = text.replace(f"cell ({cell})", f"cell ({name})")
    return Library.parse(LibrarySource("x.lib", text.encode()))


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("sky130_fd_sc_hd__lpflow_isobufsrc_1", "sky130_*__lpflow_*"),
        ("sky130_fd_sc_hs__dlygate4sd1_1", "sky130_*__dly*"),
        ("sky130_fd_sc_hd__probec_p_8", "sky130_*__probe*"),
        ("gf180mcu_fd_sc_mcu9t5v0__dlya_1", "gf180mcu_*__dly*"),
        ("sg13g2_sighold", "sg13*_sighold"),
        ("HB1xp67_ASAP7_75t_R", "HB*_ASAP7_*"),
    ],
)
def test_families(cell: str, rule: str):
    library = choose_cells(named(cell))
    assert library.left_out == ((rule, (cell,)),)
    assert not library.cells[cell].usable
    assert cell not in library.mapping_text
    assert library.facts.left_out == (f"{rule} (1)",)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_a_cell_says_it_is_for(purpose: str):
    text = liberty_text()
    cell = "cell (NOR2_X1) {"
    for value in ("true", "latch_posedge", "TRUE"):
        changed = text.replace(cell, f'{cell} {purpose} : "{value}";')
        library = choose_cells(Library.parse(LibrarySource("x.lib", changed.encode())))
        assert library.left_out == ((purpose, ("NOR2_X1",)),)
        assert '("NOR2_X1")' not in library.mapping_text
    changed = text.replace(cell, f"{cell} {purpose} : false;")
    assert not choose_cells(Library.parse(LibrarySource("x.lib", changed.encode()))).left_out
    # A rule that names it by its family counts alone.
    name = "sky130_fd_sc_hd__lpflow_isobufsrc_1"
    changed = text.replace(cell, f"cell ({name}) {{ {purpose} : true;")
    assert choose_cells(Library.parse(LibrarySource("x.lib", changed.encode()))).left_out == (
        ("sky130_*__lpflow_*", (name,)),
    )


@pytest.mark.parametrize(
    "cell", ["sky130_fd_sc_hd__nor2_1", "gf180mcu_fd_sc_mcu9t5v0__nor2_1", "NOR2x1_ASAP7_75t_R"]
)
def test_what_a_designer_uses_stays(cell: str):
    library = named(cell)
    assert choose_cells(library) is library
    assert choose_cells(neutral()) is neutral()


def test_patterns():
    (library,) = leave_out([neutral()], ["NOR?_X*", "XOR2_X1"])
    assert [rule for rule, _ in library.left_out] == ["NOR?_X*", "XOR2_X1"]
    assert library.facts.left_out == ("NOR?_X* (9)", "XOR2_X1 (1)")
    assert (library.cells["NOR4_X4"].usable, library.cells["XNOR2_X1"].usable) == (False, True)
    assert leave_out([neutral()], []) == [neutral()]
    # A pattern must mean something in one library, not in each.
    one, other = leave_out([neutral(), named("ODD")], ["ODD"])
    assert (one.left_out, other.left_out) == ((), (("ODD", ("ODD",)),))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("NAND5*", "cells not to use must be in a library (neutral), not 'NAND5*'"),
        ("NAND2*", "library must have a 2-input NAND, not 'neutral.lib' but NAND2* without one"),
    ],
)
def test_patterns_that_are_none(pattern: str, message: str):
    with pytest.raises(ValueError, match=whole(message)):
        leave_out([neutral()], [pattern])


def test_the_lists_of_a_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "sky130A" / "libs.ref" / "mine" / "lib"
    place.mkdir(parents=True)
    (place / "mine__tt_025C_1v80.lib").write_text(liberty_text())
    lists = tmp_path / "sky130A" / "libs.tech" / "openlane" / "mine"
    lists.mkdir(parents=True)
    (lists / "no_synth.cells").write_text("NOR2_X1\n\n# Slow.\nNOR4_*  # all\nNOT_THERE\n")
    (lists / "drc_exclude.cells").write_text("XOR2_X4\n")
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    expected = {
        "no_synth.cells": ("NOR2_X1", "NOR4_X1", "NOR4_X2", "NOR4_X4"),
        "drc_exclude.cells": ("XOR2_X4",),
    }
    for name in ("mine", str(place / "mine__tt_025C_1v80.lib")):
        assert dict(find_library(name).left_out) == expected


@needs_real
def test_sky130():
    plain = Library.read(REAL / "sky130_fd_sc_hd__tt_025C_1v80.lib.gz")
    library = choose_cells(plain)
    assert library.facts.left_out == (
        "sky130_*__lpflow_* (34)", "sky130_*__probe* (2)", "sky130_*__macro_sparecell (1)",
        "sky130_*__dly* (6)", "sky130_*__clkdlybuf* (8)",
    )  # fmt: skip
    assert (library.nand2, library.driving_cell) == (plain.nand2, plain.driving_cell)
    assert "lpflow" not in library.mapping_text
    assert "lpflow" in plain.mapping_text


@needs_real
def test_asap7():
    library = choose_cells(Library.read(*REAL.glob("asap7*.lib.gz")))
    assert library.facts.left_out == ("HB*_ASAP7_* (4)", "ICG*_ASAP7_* (10)", "SDF*_ASAP7_* (8)")
    assert library.nand2.name == "NAND2xp5_ASAP7_75t_R"
    assert library.driving_cell.name == "BUFx3_ASAP7_75t_R"
