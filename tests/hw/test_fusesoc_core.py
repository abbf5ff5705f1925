import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blockdot.hw import DotUnit, to_verilog
from blockdot.hw.fusesoc_core import core_file
from blockdot.model import DotSpec
from blockdot.sim import random
from blockdot.sim.bench.verilog_bench import verilog_bench

UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="fp32"), stages=2)
CORE = f"blockdot:dot:{UNIT.name}:1.2.3"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    to_verilog(UNIT).write(tmp_path)
    (tmp_path / f"{UNIT.name}_tb.v").write_text(verilog_bench(UNIT, random(UNIT.spec, 50, seed=0)))
    (tmp_path / f"{UNIT.name}.core").write_text(core_file(UNIT, version="1.2.3", testbench=True))
    return tmp_path


def fusesoc(library: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from fusesoc.main import main; main()", "--cores-root", ".", *arguments],
        cwd=library,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_fusesoc_finds_the_core_and_its_targets(library: Path) -> None:
    shown = fusesoc(library, "core", "show", CORE)
    for target in ("default", "lint", "sim"):
        assert target in shown
    assert UNIT.spec.name in shown


def test_fusesoc_sets_up_a_simulation(library: Path) -> None:
    fusesoc(library, "run", "--setup", "--target", "sim", CORE)
    (script,) = library.glob("build/*/sim/*.scr")
    text = script.read_text()
    assert f"{UNIT.name}.v" in text
    assert f"{UNIT.name}_tb.v" in text


@pytest.mark.skipif(not shutil.which("iverilog"), reason="needs Icarus Verilog: apt install iverilog")
def test_fusesoc_runs_the_test_bench(library: Path) -> None:
    assert f"PASS {UNIT.name}" in fusesoc(library, "run", "--target", "sim", CORE)


def test_without_a_test_bench_there_is_no_simulation() -> None:
    text = core_file(UNIT, version="1.2.3")
    assert "sim:" not in text
    assert "_tb" not in text
