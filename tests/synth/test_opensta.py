"""Our static timing beside OpenSTA's, an analyser of others, on whole units."""

import shutil
from pathlib import Path

import pytest
from blockdot.hw import DotUnit, to_rtlil
from blockdot.model import DotSpec
from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import Synthesizer
from blockdot.synth.liberty import Library
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import RECIPES
from blockdot.synth.static_timing import analyse

from studies import opensta
from studies.opensta import TIMED_UNITS, compared, main, opensta_paths

needs_sta = pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")

SKY130 = Path(__file__).resolve().parents[3] / "shared" / "liberty" / "sky130_fd_sc_hd__tt_025C_1v80.lib.gz"


@pytest.fixture(params=["neutral", "sky130"], scope="module")
def library(request: pytest.FixtureRequest) -> Library:
    if request.param == "neutral":
        return neutral()
    if not SKY130.exists():
        pytest.skip("real Liberty files are no part of the project: ../shared/liberty is absent")
    return Library.read(SKY130)


@needs_sta
@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", TIMED_UNITS)
def test_paths_take_what_opensta_says_they_take(name: str, library: Library, tmp_path: Path):
    for ours, theirs in compared(name, library, tmp_path).values():
        assert ours == pytest.approx(theirs, rel=0, abs=0.1)


@needs_sta
def test_paths_through_adder_cells_take_what_opensta_says_they_take(tmp_path: Path):
    if not SKY130.exists():
        pytest.skip("real Liberty files are no part of the project: ../shared/liberty is absent")
    library = Library.read(SKY130)
    unit = DotUnit(DotSpec(block_size=4), stages=1, optimise="area")
    recipe = RECIPES["a2"].with_adders()
    with Synthesizer(library) as synthesizer:
        mapped = synthesizer.map(Netlist(to_rtlil(unit), unit.name), [recipe])[recipe.name]
    assert any(instance.cell == "sky130_fd_sc_hd__fa_1" for instance in mapped.instances)
    models = CellModels(library)
    ours = analyse(mapped, models).paths
    assert ours == pytest.approx(opensta_paths(mapped, models, tmp_path), rel=0, abs=0.1)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    found = {"combinational": {"input to output": (100.0, 99.75)}, "deep": {"input to register": (7.0, 7.5)}}
    monkeypatch.setattr(opensta, "TIMED_UNITS", found)
    monkeypatch.setattr(opensta, "compared", lambda name, *_: found[name])
    monkeypatch.setattr(shutil, "which", lambda _: "sta")
    assert main([]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in rows] == [["neutral", "combinational"], ["neutral", "deep"]]
    assert last == "units: 2, libraries: 1, largest difference 0.500 ps"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "studies.opensta: sta must be installed, and is not: apt install opensta\n"
    )
