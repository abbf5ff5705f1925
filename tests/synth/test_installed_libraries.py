from pathlib import Path

import pytest
from blockdot.synth.installed_libraries import find_libraries, find_library
from blockdot.synth.neutral_library import liberty_text, neutral
from messages import whole


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PDK root as ciel and volare lay it out."""
    for variant, library, files in (
        ("sky130A", "sky130_fd_sc_hd", ("x__ff_100C_1v95.lib", "x__tt_025C_1v80.lib", "x__tt_100C_1v80.lib")),
        ("sky130B", "sky130_fd_sc_hd", ("x__tt_025C_1v80.lib",)),
        ("gf180mcuD", "gf180mcu_fd_sc_mcu7t5v0", ("y__ss_125C_3v00.lib", "y__tt_025C_3v30.lib")),
        (
            "ihp-sg13g2",
            "sg13g2_stdcell",
            ("sg13g2_stdcell_fast_1p32V_m40C.lib", "sg13g2_stdcell_typ_1p20V_25C.lib"),
        ),
    ):
        folder = tmp_path / variant / "libs.ref" / library / "lib"
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).write_text(liberty_text())
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    return tmp_path


def test_libraries_at_their_typical_corner(root: Path):
    assert [(found.name, found.source, found.files[0].name) for found in find_libraries(root / "qflow")] == [
        ("gf180mcu_fd_sc_mcu7t5v0", "gf180mcuD", "y__tt_025C_3v30.lib"),
        ("sg13g2_stdcell", "ihp-sg13g2", "sg13g2_stdcell_typ_1p20V_25C.lib"),
        ("sky130_fd_sc_hd", "sky130A", "x__tt_025C_1v80.lib"),
    ]


def test_without_the_variable_the_managers_own_folders(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PDK_ROOT")
    home = root / "home"
    monkeypatch.setenv("HOME", str(home))
    assert find_libraries(root / "qflow") == []
    home.mkdir()
    (home / ".volare").symlink_to(root)
    assert len(find_libraries(root / "qflow")) == 3


def test_debian_s_qflow_libraries(root: Path):
    (root / "qflow" / "osu018").mkdir(parents=True)
    (root / "qflow" / "osu018" / "osu018_stdcells.lib").write_text(liberty_text())
    assert ("osu018", "qflow-tech-osu018") in [
        (found.name, found.source) for found in find_libraries(root / "qflow")
    ]


def test_a_library_by_its_name_or_its_files(root: Path):
    assert find_library("neutral", root / "qflow") is neutral()
    assert find_library("sky130_fd_sc_hd", root / "qflow").sha256 == neutral().sha256
    file = root / "sky130A" / "libs.ref" / "sky130_fd_sc_hd" / "lib" / "x__tt_025C_1v80.lib"
    assert find_library(str(file), root / "qflow").name == "neutral"
    message = (
        "library must be one of neutral, gf180mcu_fd_sc_mcu7t5v0, sg13g2_stdcell, sky130_fd_sc_hd, "
        "or Liberty files, not 'nope'"
    )
    with pytest.raises(ValueError, match=whole(message)):
        find_library("nope", root / "qflow")
