"""LEF files: what is read of them, and how broken ones are refused."""

import gzip
import re
from pathlib import Path

import pytest
from blockdot.synth.physical.lef_reader import parse_lef, read_lef

SHARED = Path(__file__).resolve().parents[4] / "shared" / "lef"

TEXT = """\
VERSION 5.8 ;  # a comment with a "quote
BUSBITCHARS "[]" ;
UNITS
  DATABASE MICRONS 2000 ;
END UNITS
PROPERTYDEFINITIONS
  LAYER LEF58_TYPE STRING ;
END PROPERTYDEFINITIONS
SITE core CLASS CORE ; SIZE 0.5 BY 3 ; END core
SITE pad CLASS PAD ; SIZE 10 BY 30 ; END pad
LAYER poly TYPE MASTERSLICE ; PROPERTY LEF58_TYPE "TYPE ;
 END ;" ; END poly
LAYER m1 TYPE ROUTING ; DIRECTION HORIZONTAL ; PITCH 0.4 0.3 ; WIDTH 0.2 ;
  RESISTANCE RPERSQ 0.1 ; CAPACITANCE CPERSQDIST 5e-5 ; EDGECAPACITANCE 4e-5 ; END m1
LAYER m2 TYPE ROUTING ; DIRECTION VERTICAL ; PITCH 0.4 0.3 ; WIDTH 0.2 ;
  SPACINGTABLE PARALLELRUNLENGTH 0 WIDTH 0 0.14 WIDTH 3 0.28 ; END m2
VIA v DEFAULT TOPOFSTACKONLY RESISTANCE 4.5 ; LAYER m1 ; RECT -.2 -.1 .2 .1 ; LAYER m2 ; RECT 0 0 1 1 ; END v
VIA w LAYER m1 ; RECT 0 0 1 1 ; END w
BEGINEXT "x" anything at all ENDEXT
MACRO NAND CLASS CORE ; ORIGIN 0.5 0 ; SIZE 1.5 BY 3 ; SITE core ;
  PIN A DIRECTION INPUT ; PORT LAYER m1 ; RECT 0 0 1 1 ; RECT MASK 1 0 1 1 3 ; END END A
  PIN Y DIRECTION OUTPUT ; USE SIGNAL ; PORT LAYER m2 ; POLYGON 0 0 1 0 1 2 0 2 ; END END Y
  PIN VDD USE POWER ; PORT LAYER m1 ; RECT 0 0 1 1 ; END END VDD
  PIN none DIRECTION INPUT ; END none
  OBS LAYER m1 ; RECT 0 0 1 1 ; END
END NAND
END LIBRARY
"""


def test_sites_layers_and_cells_are_read():
    found = parse_lef(TEXT, "a.lef")
    assert found.microns == 2000
    assert {name: (one.width, one.height) for name, one in found.sites.items()} == {"core": (0.5, 3.0)}
    m1, m2 = found.layers["m1"], found.layers["m2"]
    assert (m1.direction, m1.pitch, m1.width) == ("horizontal", 0.3, 0.2)
    # .2 um of area and two edges; .1 ohm a square of .2 um.
    assert m1.capacitance == pytest.approx(1000 * (0.2 * 5e-5 + 2 * 4e-5))
    assert m1.resistance == pytest.approx(0.5)
    assert (m2.direction, m2.pitch, m2.capacitance, m2.resistance) == ("vertical", 0.4, None, None)
    # Where a layer has no spacing, it is what the pitch leaves.
    assert (m1.spacing, m2.spacing) == (pytest.approx(0.1), 0.14)
    assert list(found.vias) == ["v"]
    assert found.vias["v"].resistance == 4.5
    assert found.vias["v"].sizes == {"m1": (0.4, 0.2), "m2": (1.0, 1.0)}
    nand = found.macros["NAND"]
    assert (nand.width, nand.height, nand.site, nand.core) == (1.5, 3.0, "core", True)
    # The second shape of A is twice as large, and the origin lies half a micron inside.
    assert nand.pins["A"].place == pytest.approx((1.0, (0.5 + 2 * 2) / 3))
    assert nand.pins["Y"].place == pytest.approx((1.0, 1.0))
    assert {name: pin.signal for name, pin in nand.pins.items()} == {"A": True, "Y": True, "VDD": False}


@pytest.mark.parametrize(
    ("before", "after", "line", "rule"),
    [
        ("SIZE 1.5 BY 3", "SIZE 1.5 BX 3", 20, "SIZE must be a width BY a height, not '1.5 BX 3'"),
        ("SIZE 1.5 BY 3", "SIZE 0 BY 3", 20, "SIZE must be positive, not '0 BY 3'"),
        ("SIZE 1.5 BY 3 ;", "", 26, "macro NAND must have a SIZE, not none"),
        ("RECT 0 0 1 1 ; RECT", "RECT 0 0 1 ; RECT", 21,
         "RECT must be points of two numbers each, not '0 0 1'"),
        ("RECT 0 0 1 1 ; RECT", "RECT 0 zero 1 1 ; RECT", 21, "RECT must be a number, not 'zero'"),
        ("DIRECTION HORIZONTAL", "DIRECTION ACROSS", 14,
         "DIRECTION of layer m1 must be HORIZONTAL or VERTICAL, not ACROSS"),
        ("WIDTH 0.2 ;\n  SPACINGTABLE", "SPACINGTABLE", 15,
         "layer m2 must have a positive WIDTH and PITCH, not miss one"),
        ("END A", "END B", 21, "A must stand here, not 'B'"),
        ("END NAND\nEND LIBRARY\n", "", 25, "END NAND must follow, not the end of the file"),
        ("ORIGIN 0.5 0 ;", "ORIGIN 0.5 ;", 20, "ORIGIN must be two numbers, not 1"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_its_line_and_the_rule(before: str, after: str, line: int, rule: str):
    assert before in TEXT
    broken = TEXT.replace(before, after)
    shown = re.escape(f"LEF file must be a readable LEF file, not 'a.lef': line {line}: {rule}")
    with pytest.raises(ValueError, match=f"^{shown}$"):
        parse_lef(broken, "a.lef")


def test_what_is_no_lef_file_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"must have a MACRO, LAYER or SITE, not none of them$"):
        parse_lef("", "empty.lef")
    with pytest.raises(ValueError, match=r"hello must end with ';', not with the end of the file$"):
        parse_lef("hello world", "text.lef")
    with pytest.raises(FileNotFoundError, match=r"^LEF file must exist, not '.*none.lef'$"):
        read_lef(tmp_path / "none.lef")
    with pytest.raises(IsADirectoryError, match=r"^LEF file must be a file, not the directory"):
        read_lef(tmp_path)
    half = tmp_path / "half.lef.gz"
    half.write_bytes(gzip.compress(TEXT.encode())[:-20])
    with pytest.raises(ValueError, match=r"^LEF file must be a whole gzip file, not '.*half.lef.gz'"):
        read_lef(half)


@pytest.mark.skipif(
    not SHARED.exists(), reason="real LEF files are no part of the project: ../shared/lef is absent"
)
def test_sky130_is_read():
    technology, cells = read_lef(SHARED / "sky130hd.tlef.gz"), read_lef(SHARED / "sky130hd_merged.lef.gz")
    assert (technology.sites["unithd"].width, technology.sites["unithd"].height) == (0.46, 2.72)
    assert list(technology.layers) == ["li1", "met1", "met2", "met3", "met4", "met5"]
    met1 = technology.layers["met1"]
    assert met1.capacitance == pytest.approx(0.14 * 25.7784e-3 + 2 * 40.567e-3)
    assert met1.resistance == pytest.approx(0.125 / 0.14)
    assert len(cells.macros) == 441
    nand = cells.macros["sky130_fd_sc_hd__nand2_1"]
    assert (nand.width, nand.pins["A"].place) == (1.38, pytest.approx((1.1075, 1.2)))
