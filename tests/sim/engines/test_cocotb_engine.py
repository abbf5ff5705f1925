"""What surrounds the bench that cocotb runs; the bench itself is held to the others in test_engines."""

import os
import time

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim import EngineError, random, run
from blockdot.sim.engines import cocotb_engine
from blockdot.sim.engines.cocotb_job import PlayJob, read_answer, write_answer
from blockdot.sim.engines.cocotb_process import Order
from blockdot.sim.engines.run import problem
from blockdot.sim.stream_rules import Limits, Payload, Response, RunOutcome, StreamRule

UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2), stages=0)


needs_icarus = pytest.mark.skipif(problem("icarus") is not None, reason=str(problem("icarus")))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_reads_back_as_it_was_written(tmp_path):
    job = PlayJob(
        stages=3,
        shown=[Payload("i_a", 300, [0, (1 << 300) - 1, 5 << 128]), Payload("i_last", 1, [1, 0, 1])],
        results={"o_codes": 64, "o_scale": 7},
        last=np.array([True, False, True]),
        offer=np.array([True]),
        accept=np.array([False, True]),
        undefined=2,
        limits=Limits(patience=7, drain=3),
    )
    job.write(tmp_path / "job.npz")
    again = PlayJob.read(tmp_path / "job.npz")
    assert (again.shown, again.results) == (job.shown, job.results)
    assert (again.stages, again.undefined, again.limits) == (3, 2, job.limits)
    for name in ("last", "offer", "accept"):
        np.testing.assert_array_equal(getattr(again, name), getattr(job, name))


def test_an_answer_reads_back_as_it_was_written(tmp_path, same):
    outcome = RunOutcome(rule=StreamRule.RESULT_STABLE, held=0xFFFFFFFF, seen=1)
    response = Response(
        results=np.array([0xFF800000], np.uint32),
        result_cycles=np.array([9]),
        input_cycles=np.array([1, 2]),
        cycles=12,
    )
    write_answer(tmp_path / "answer.npz", outcome, response)
    told, again = read_answer(tmp_path / "answer.npz")
    assert told == outcome
    assert same(again, response)
    assert [path.name for path in tmp_path.iterdir()] == ["answer.npz"]


def test_a_simulator_that_takes_too_long_is_ended_with_all_it_started(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nsleep 100 &\necho $! > {pid}\nwait\n")
    python.chmod(0o755)
    monkeypatch.setattr(cocotb_engine.sys, "executable", str(python))
    order = Order(
        action="build", simulator="icarus", top="x",
        build_dir=str(tmp_path), test_dir=str(tmp_path), waves=False,
    )  # fmt: skip
    with pytest.raises(EngineError, match=r"^icarus must build x within 1 s, not take longer$"):
        cocotb_engine.carry_out(order, os.environ, 1)
    started = int(pid.read_text())
    for _ in range(200):  # until whoever inherited it has reaped it
        if not _runs(started):
            break
        time.sleep(0.05)
    assert not _runs(started)


def test_a_simulator_that_fails_is_told_of(tmp_path, monkeypatch):
    for name in ("iverilog", "vvp"):
        program = tmp_path / name
        program.write_text(
            '#!/bin/sh\n[ "$1" = -V ] && echo Icarus Verilog version 99.0 && exit\necho broken; exit 1\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = tmp_path / "made"
    with pytest.raises(EngineError) as caught:
        run(UNIT, random(UNIT.spec, 1, seed=0), engine="icarus", build_dir=made)
    assert str(caught.value).startswith(f"icarus must build {UNIT.name}, not fail with exit code 1: ")
    assert "broken" in str(caught.value)
    assert list(made.iterdir()) == []


@needs_icarus
def test_a_bench_that_leaves_no_answer_is_told_of(build_dir, monkeypatch):
    monkeypatch.setattr(cocotb_engine, "ANSWER_VARIABLE", "ELSEWHERE")
    with pytest.raises(EngineError) as caught:
        run(UNIT, random(UNIT.spec, 1, seed=0), engine="icarus", build_dir=build_dir)
    assert str(caught.value).startswith(
        f"icarus must play the bench for {UNIT.name} to its end, not stop before: "
    )
    assert "KeyError" in str(caught.value)


@needs_icarus
def test_settings_for_other_benches_do_not_get_through(build_dir, monkeypatch, seed):
    monkeypatch.setenv("COCOTB_TEST_FILTER", "nothing")
    monkeypatch.setenv("COCOTB_TEST_MODULES", "nowhere")
    monkeypatch.setenv("WAVES", "1")
    stimulus = random(UNIT.spec, 3, seed=seed)
    assert len(run(UNIT, stimulus, engine="icarus", build_dir=build_dir).results) == 3


# Verilator's library is compiled once more there, which takes long.
@pytest.mark.matrix
@pytest.mark.skipif(problem("verilator") is not None, reason=str(problem("verilator")))
def test_verilator_builds_and_runs_where_a_path_has_a_space(tmp_path, seed):
    place = tmp_path / "a folder" / "with spaces"
    stimulus = random(UNIT.spec, 5, seed=seed)
    for name in ("first.fst", "again.fst"):  # built, and then found
        response = run(UNIT, stimulus, engine="verilator", build_dir=place, trace=place / name)
        assert (response.results == stimulus.expected()).all()
        assert (place / name).stat().st_size
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


def test_no_folder_without_a_space_is_told_in_one_line(tmp_path, monkeypatch):
    spaced = tmp_path / "a b"
    spaced.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spaced))
    with pytest.raises(EngineError) as caught, cocotb_engine.folder_without_spaces():
        pass
    assert str(caught.value) == (
        f"verilator must build in a folder without spaces in its path, not in {str(spaced)!r}: "
        "set TMPDIR to one"
    )
    assert list(spaced.iterdir()) == []
