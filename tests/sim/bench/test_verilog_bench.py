import re
import shutil
import subprocess
from pathlib import Path

import pytest
from blockdot.base.external_tools import require_tools, verilator_environment
from blockdot.hw import DequantizerUnit, DotUnit, QuantizerUnit, SerialQuantizerUnit, to_verilog
from blockdot.hw.stream_unit import StreamUnit
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.sim import random
from blockdot.sim.bench.verilog_bench import verilog_bench
from blockdot.sim.drawn_stimulus import draw
from blockdot.sim.serial_stimulus import as_played

UNITS: list[StreamUnit] = [
    DotUnit(DotSpec(scale="ue5m3", block_size=4), stages=0),
    DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="fp32"), stages=3),
    DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="exact"), stages=2, flow="valid"),
    DotUnit(DotSpec(scale="ue8m0", block_size=2), stages=2, flow="enable"),
    QuantizerUnit(QuantizerSpec(scale="ue2m1", block_size=2), stages=1),
    QuantizerUnit(QuantizerSpec(scale="ue8m0", block_size=2, method="floor"), stages=0),
    DequantizerUnit(DequantizerSpec(scale="ue8m0", block_size=4), stages=2, flow="valid"),
    SerialQuantizerUnit(QuantizerSpec(scale="ue2m1", block_size=4), flow="enable"),
]
ICARUS = pytest.mark.skipif(not shutil.which("iverilog"), reason="needs Icarus Verilog: apt install iverilog")


def bench(unit: StreamUnit, seed: int) -> str:
    return verilog_bench(unit, as_played(unit.config, draw(unit.spec, 200, seed=seed)))


def count_results(text: str) -> int:
    found = re.search(r"localparam RESULTS = (\d+);", text)
    assert found
    return int(found[1])


def icarus(unit: StreamUnit, text: str, folder: Path) -> str:
    to_verilog(unit).write(folder)
    (folder / "tb.v").write_text(text)
    subprocess.run(
        ["iverilog", "-Wall", "-g2001", "-o", "tb", f"{unit.name}.v", "tb.v"],
        cwd=folder,
        check=True,
        timeout=100,
    )
    return subprocess.run(
        ["vvp", "tb"], cwd=folder, check=True, capture_output=True, text=True, timeout=100
    ).stdout


@ICARUS
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_bench_passes_the_unit_in_icarus(unit: StreamUnit, seed: int, tmp_path: Path) -> None:
    text = bench(unit, seed)
    results = count_results(text)
    assert results > 10
    assert icarus(unit, text, tmp_path) == f"PASS {unit.name}: {results} results\n"


@ICARUS
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_wrong_bit_fails_and_is_told(unit: StreamUnit, seed: int, tmp_path: Path) -> None:
    text = bench(unit, seed)
    results = count_results(text)
    wrong = re.sub(
        r"(expected\[7\] = \d+'h)(\w+)",
        lambda found: f"{found[1]}{int(found[2], 16) ^ 1:0{len(found[2])}x}",
        text,
    )
    first, last = icarus(unit, wrong, tmp_path).splitlines()
    assert re.fullmatch(r"result 7: expected \w+, seen \w+", first)
    assert last == f"FAIL {unit.name}: {results} of {results} results, 1 wrong"


@ICARUS
def test_a_unit_that_gives_nothing_fails(seed: int, tmp_path: Path) -> None:
    unit = UNITS[1]
    # A unit that is never out of reset.
    text = bench(unit, seed).replace("    rst = 0;", "")
    assert re.fullmatch(rf"FAIL {unit.name}: 0 of \d+ results, 0 wrong\n", icarus(unit, text, tmp_path))


@pytest.mark.matrix  # as FuseSoC does in tests/hw/test_fusesoc_core.py
def test_the_bench_runs_in_verilator_too(seed: int, tmp_path: Path) -> None:
    unit = UNITS[1]
    tools = require_tools("verilator", "make", "c++")
    shims = tmp_path / "shims"
    shims.mkdir()
    to_verilog(unit).write(tmp_path)
    (tmp_path / "tb.v").write_text(bench(unit, seed))
    subprocess.run(
        [
            "verilator",
            *("--binary", "--timing", "-Wno-lint", "--top-module", f"{unit.name}_tb"),
            *("-CFLAGS", "-std=c++20"),  # for its coroutines, which wait for delays
            *("-o", "tb", f"{unit.name}.v", "tb.v"),
        ],
        cwd=tmp_path,
        env=verilator_environment(tools, shims),
        check=True,
        capture_output=True,
        timeout=300,
    )
    done = subprocess.run(
        ["obj_dir/tb"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=100
    )
    assert f"PASS {unit.name}" in done.stdout


def test_the_same_stimulus_gives_the_same_text(seed: int) -> None:
    assert bench(UNITS[1], seed) == bench(UNITS[1], seed)
    assert bench(UNITS[1], seed) != bench(UNITS[1], seed + 1)


def test_a_stimulus_for_something_else_is_refused() -> None:
    stimulus = random(DotSpec(block_size=2), 10, seed=0)
    with pytest.raises(
        ValueError, match=r"^stimulus must be for e2m1_ue5m3_n4_none, not e2m1_ue5m3_n2_none$"
    ):
        verilog_bench(UNITS[0], stimulus)
