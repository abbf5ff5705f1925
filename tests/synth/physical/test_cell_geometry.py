"""The geometry of libraries: where its files are found, what is taken of them, and what they must have."""

import gzip
import pickle
import re
from pathlib import Path

import pytest
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.neutral_library import CELLS, DRIVES, liberty_text, neutral
from blockdot.synth.physical.cell_geometry import find_lef, geometry_of
from blockdot.synth.physical.neutral_geometry import WIRE_LOAD, neutral_lef_text

SHARED = Path(__file__).resolve().parents[4] / "shared"
SKY130 = SHARED / "liberty" / "sky130_fd_sc_hd__tt_025C_1v80.lib.gz"
LEF = [SHARED / "lef" / "sky130hd.tlef.gz", SHARED / "lef" / "sky130hd_merged.lef.gz"]

# As if it were somebody's: in microns, with wires that there may be.
TEXT = neutral_lef_text().replace("CPERSQDIST 8.26666667e-05", "CPERSQDIST 2e-04")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    path = tmp_path / "lib" / "cells.lib"
    path.parent.mkdir()
    path.write_text(liberty_text())
    return Library.read(path)


def test_the_built_in_library_has_a_layout_of_its_own():
    geometry = geometry_of(neutral())
    assert (geometry.site_width, geometry.row_height, geometry.length_unit) == (500, 6000, "columns")
    assert geometry.cells["NAND2_X1"].width == 6 * 500
    # Every cell is as wide as its area says, up to a site.
    for name, design in CELLS.items():
        for drive in DRIVES:
            shape = geometry.cells[f"{name}_X{drive}"]
            sites = shape.width / geometry.site_width
            assert 0 <= sites - 6 * design.area(drive) < 1
            assert set(shape.pins) == {*design.inputs, design.output}
            assert all(0 < x < shape.width and y == 3000 for x, y in shape.pins.values())
    assert geometry.level.capacitance == geometry.upright.capacitance == pytest.approx(WIRE_LOAD)
    assert geometry.site_area == pytest.approx(1 / 6)
    assert pickle.loads(pickle.dumps(geometry)) == geometry


def test_files_are_found_where_others_put_them(tmp_path: Path):
    kit = tmp_path / "sky130A" / "libs.ref" / "cells"
    files = {
        "lib/cells.lib": liberty_text(),
        "lef/cells.lef": "",
        "lef/more.lef.gz": "",
        "techlef/cells__max.tlef": "",
        "techlef/cells__nom.tlef": "",
        "plain/cells.lib": liberty_text(),
        "plain/cells.lef": "",
    }
    for name, text in files.items():
        (kit / name).parent.mkdir(parents=True, exist_ok=True)
        (kit / name).write_text(text)
    found = find_lef(Library.read(kit / "lib" / "cells.lib"))
    assert [path.relative_to(kit).as_posix() for path in found] == [
        "lef/cells.lef", "lef/more.lef.gz", "techlef/cells__nom.tlef",
    ]  # fmt: skip
    assert find_lef(Library.read(kit / "plain" / "cells.lib")) == [kit / "plain" / "cells.lef"]
    assert find_lef(Library.parse(LibrarySource("cells.lib", liberty_text().encode()))) == []


def test_a_library_s_own_files_count(library: Library, tmp_path: Path):
    (tmp_path / "lib" / "cells.lef.gz").write_bytes(gzip.compress(TEXT.encode()))
    geometry = geometry_of(library)
    assert (geometry.files, geometry.source, geometry.length_unit) == (("cells.lef",), "LEF", "um")
    # The pins are on the lowest of the upright layers.
    assert (geometry.level.name, geometry.upright.name) == ("level", "upright")
    assert geometry.level.capacitance == pytest.approx(1000 * 2e-4 * 0.375)
    assert geometry.site_area == pytest.approx(3.0)
    assert [layer.wire.name for layer in geometry.stack] == [
        "level", "upright", "upper_level", "upper_upright",
    ]  # fmt: skip
    other = tmp_path / "other.lef"
    other.write_text(TEXT.replace("SIZE 3 BY 6", "SIZE 3.5 BY 6"))
    assert geometry_of(library, [other]).cells["NAND2_X1"].width == 3500
    assert geometry_of(library, [other]) != geometry


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("8.26666667e-05", "8.26666667e-05", "capacitance of layer level must be from 0.04 to 1 fF a micron"),
        (
            "2e-04",
            "9e-03",
            "capacitance of layer level must be from 0.04 to 1 fF a micron with its edges, as",
        ),
        (
            "  CAPACITANCE CPERSQDIST 2e-04 ;\n",
            "",
            "layer level of the LEF files must have a CAPACITANCE, not",
        ),
        (
            "  RESISTANCE RPERSQ 0.375 ;\n",
            "",
            "layer level of the LEF files must have a RESISTANCE, not none",
        ),
        (
            "DIRECTION HORIZONTAL",
            "DIRECTION VERTICAL",
            "must have a routing layer for level wires above the pins",
        ),
        ("  SITE column ;\n", "", "cells of the LEF files must name their SITE, not none: cells.lef"),
        (
            "  SITE column ;\n",
            "  SITE row ;\n",
            "LEF files must define the site row of their cells, as a technology",
        ),
        ("SIZE 3 BY 6", "SIZE 3.2 BY 6", "must be a whole number of 0.5 um, not 3.2 um"),
    ],
)
def test_files_must_say_what_is_needed(
    before: str, after: str, message: str, library: Library, tmp_path: Path
):
    text = neutral_lef_text() if before == after else TEXT
    assert before in text
    path = tmp_path / "cells.lef"
    path.write_text(text.replace(before, after))
    with pytest.raises(ValueError, match=re.escape(message)):
        geometry_of(library, [path])


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        # Without a via to it, no layer of wires, or without figures.
        ("VIA upright_upper_level DEFAULT", "VIA upright_upper_level", 2),
        ("VIA pins_level DEFAULT", "VIA pins_level", 0),
        ("LAYER upper_upright\n  TYPE ROUTING", "LAYER upper_upright\n  TYPE CUT", 3),
    ],
)
def test_a_router_may_use_the_layers_up_to_the_first_that_it_cannot(
    before: str, after: str, left: int, library: Library, tmp_path: Path
):
    path = tmp_path / "cells.lef"
    assert before in TEXT
    path.write_text(TEXT.replace(before, after))
    assert len(geometry_of(library, [path]).stack) == left


def test_the_pitch_of_a_layer_is_a_whole_number_of_the_grid_s(library: Library, tmp_path: Path):
    path = tmp_path / "cells.lef"
    head, name, tail = TEXT.partition("LAYER upper_level\n")
    path.write_text(head + name + tail.replace("PITCH 0.75", "PITCH 1.6", 1))
    stack = geometry_of(library, [path]).stack
    assert [layer.wire.pitch for layer in stack] == [750, 750, 2250, 750]


def test_a_library_without_files_and_cells_without_geometry_are_refused(library: Library, tmp_path: Path):
    with pytest.raises(ValueError, match=r"must have LEF files to be placed, beside its Liberty files"):
        geometry_of(library)
    path = tmp_path / "cells.lef"
    path.write_text(re.sub(r"MACRO AND2_X1.*?END AND2_X1", "", TEXT, flags=re.DOTALL))
    geometry = geometry_of(library, [path])
    with pytest.raises(
        ValueError, match=r"^cell AND2_X1 must be in the LEF files \(cells.lef\), not missing$"
    ):
        geometry.shape("AND2_X1")
    path.write_text(TEXT[: TEXT.index("MACRO")])
    with pytest.raises(
        ValueError, match=r"^LEF files must have cells of library neutral, such as NAND2_X1, not"
    ):
        geometry_of(library, [path])


@pytest.mark.skipif(
    not (SKY130.exists() and LEF[0].exists()),
    reason="real Liberty and LEF files are no part of the project: ../shared is absent",
)
def test_sky130_has_wires_as_they_were_extracted():
    library = Library.read(SKY130)
    geometry = geometry_of(library, LEF)
    assert [(layer.wire.name, layer.via.name) for layer in geometry.stack] == [
        ("met1", "L1M1_PR"), ("met2", "M1M2_PR"), ("met3", "M2M3_PR"), ("met4", "M3M4_PR"),
    ]  # fmt: skip
    assert geometry.stack[1].via.below == (320, 260)
    assert (geometry.site_width, geometry.row_height, geometry.source) == (460, 2720, "extracted")
    assert (geometry.level.name, geometry.level.capacitance) == ("met1", 0.172375)
    assert (geometry.upright.name, geometry.upright.capacitance) == ("met2", 0.136233)
    # But for one cell, whose Liberty is a little less, areas are those of the sites.
    wrong = [
        name
        for name, shape in geometry.cells.items()
        if abs(shape.width / 460 * geometry.site_area - library.cells[name].area) > 1e-3
    ]
    assert wrong == ["sky130_fd_sc_hd__dfsbp_2"]
