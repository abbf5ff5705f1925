import threading
from pathlib import Path

import numpy as np
import pytest
from blockdot.hw import DotUnit, to_cxxrtl
from blockdot.model import DotSpec
from blockdot.sim import random, run
from blockdot.sim.engines import cxxrtl
from blockdot.sim.engines.cxxrtl import build
from blockdot.sim.engines.cxxrtl_source import CutLengths
from blockdot.sim.stream_rules import Limits, StreamRule
from blockdot.verify import compare

# The same as one of test_engines, which is then compiled once.
UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="exact"), stages=2)


def test_a_unit_that_does_not_settle_in_one_pass_gives_the_same(looping, build_dir, same, seed):
    assert "bool converged = false;" in to_cxxrtl(looping)
    assert "bool converged = true;" in to_cxxrtl(UNIT)
    stimulus = random(looping.spec, 150, seed=seed)
    response = run(looping, stimulus, engine="cxxrtl", build_dir=build_dir)
    assert same(response, run(looping, stimulus))
    assert compare(looping.config, stimulus, response, engine="cxxrtl").equal


@pytest.fixture
def slow_compiler(tmp_path, monkeypatch):
    """A compiler that takes half a second for an empty library, and keeps a record of its calls."""
    path = tmp_path / "c++"
    record = tmp_path / "calls"
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo slow; exit; fi\n'
        f"echo called >> {record}\n"
        "sleep 0.5\n"
        'while [ "$1" != -o ]; do shift; done\n'
        'touch "$2"\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return record


def test_two_builds_at_once_do_not_meet(slow_compiler, tmp_path):
    folder = tmp_path / "made"
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(build(UNIT, folder))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert list(folder.iterdir()) == [made[0]]
    assert slow_compiler.read_text().count("called") in (1, 2)


def test_what_is_built_is_used_again_until_something_changes(slow_compiler, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("made")
    first = build(UNIT, folder)
    assert first.is_absolute()
    assert build(UNIT, folder) == first
    assert slow_compiler.read_text().count("called") == 1
    other = build(DotUnit(UNIT.spec, stages=1), folder)
    assert other != first
    assert build(UNIT, folder, flags=("-O0",)) not in (first, other)
    assert slow_compiler.read_text().count("called") == 3
    assert len(list(folder.iterdir())) == 3


def test_a_long_run_agrees_with_the_model(build_dir, seed):
    stimulus = random(UNIT.spec, 50_000, seed=seed)
    response = run(UNIT, stimulus, engine="cxxrtl", build_dir=build_dir)
    np.testing.assert_array_equal(response.results, stimulus.expected())


def test_a_unit_whose_expressions_are_all_taken_apart_gives_the_same(build_dir, same, seed):
    unit = DotUnit(DotSpec(scale="ue3m1", block_size=2, accumulate="exact", guard=2), stages=2)
    stimulus = random(unit.spec, 2_000, seed=seed)
    outcome, response = cxxrtl.run(
        unit,
        stimulus,
        build_dir=build_dir,
        limits=Limits.of(unit.latency, stimulus),
        lengths=CutLengths(chain=2, operand=1),
    )
    assert outcome.rule is StreamRule.KEPT
    assert same(response, run(unit, stimulus))
    assert compare(unit.config, stimulus, response, engine="cxxrtl").equal
