"""The four engines against each other, against the model, and against units with faults."""

import dataclasses
import re
from functools import cache

import numpy as np
import pytest
from blockdot.cli.repeat_command import repeat_command
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim import EngineError, StreamError, StreamRule, ToolError, random, run
from blockdot.sim.engines.run import problem
from blockdot.verify import compare


def here(engine: str, *others: object) -> object:
    """A parameter set with an engine that the machine may not have."""
    why = problem(engine) if engine in ("verilator", "icarus") else None
    return pytest.param(engine, *others, marks=pytest.mark.skipif(why is not None, reason=str(why)))


UNITS = [
    DotUnit(DotSpec(scale="ue4m3", block_size=2), stages=0),
    DotUnit(DotSpec(scale="ue4m3", block_size=2, blocks=2), stages=3),
    DotUnit(DotSpec(scale=("ue5m3", "ue4m4"), block_size=2, accumulate="fp32"), stages=3),
    DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="exact"), stages=2),
]


@cache
def _reference(unit: DotUnit, seed: int):
    """A stimulus with gaps and back-pressure, and what Amaranth's simulator makes of it."""
    stimulus = random(unit.spec, 200, seed=seed, longest=8)
    return stimulus, run(unit, stimulus)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_hardware_computes_the_model_s_bits(unit, seed):
    stimulus, response = _reference(unit, seed)
    assert compare(unit.config, stimulus, response, engine="pysim").equal
    assert len(response.input_cycles) == stimulus.vectors
    if unit.stages:
        # There were gaps, and there was back-pressure.
        assert np.diff(response.input_cycles).max() > 2
        asked = response.input_cycles[stimulus.last]
        assert (response.result_cycles - asked).min() == unit.latency
        assert (response.result_cycles - asked).max() > unit.latency + 2


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("engine", "unit"),
    [
        here(engine, unit)
        for unit in UNITS
        for engine in ("cxxrtl", "icarus", "verilator")
        # Verilator takes long to build, and plays the bench that Icarus plays.
        if engine != "verilator" or unit.spec.accumulate == "fp32"
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_engine_gives_the_same_response_cycle_by_cycle(unit, engine, build_dir, same, seed):
    stimulus, reference = _reference(unit, seed)
    assert same(run(unit, stimulus, engine=engine, build_dir=build_dir), reference)


@pytest.mark.parametrize("engine", [here(engine) for engine in ("pysim", "cxxrtl", "icarus")])
def test_every_engine_sees_wrong_bits(engine, faulty, build_dir, seed):
    unit = faulty()
    stimulus = random(unit.spec, 150, seed=seed)
    comparison = compare(
        unit.config, stimulus, run(unit, stimulus, engine=engine, build_dir=build_dir), engine=engine
    )
    assert comparison.differing == (stimulus.expected() >> 23 & 7 == 5).sum()
    assert comparison.differing > 5
    again = repeat_command(unit.config, stimulus.source, engine)
    assert f"--engine {engine} --seed {seed} --vectors 150\n" in f"{again}\n"


_broken: dict[str, StreamError] = {}


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("engine", "fault", "rule"),
    [
        here(engine, fault, rule)
        for engine in ("cxxrtl", "icarus", "verilator")
        for fault, rule in (
            ("falls", StreamRule.VALID_HELD),
            ("changes", StreamRule.RESULT_STABLE),
            ("repeats", StreamRule.RESULT_OWED),
            ("drops", StreamRule.PROGRESS),
            ("sticks", StreamRule.PROGRESS),
        )
        if engine != "verilator" or fault == "falls"
    ],
)
def test_every_engine_sees_a_broken_rule_in_the_same_cycle(
    engine, fault, rule, faulty, asking, build_dir, same
):
    unit, stimulus = faulty(), asking(fault)
    if fault not in _broken:
        with pytest.raises(StreamError) as reference:
            run(unit, stimulus)
        _broken[fault] = reference.value
    wanted = _broken[fault]
    assert wanted.rule is rule
    with pytest.raises(StreamError) as caught:
        run(unit, stimulus, engine=engine, build_dir=build_dir)
    assert str(caught.value) == str(wanted)
    assert caught.value.cycle == wanted.cycle
    assert same(caught.value.response, wanted.response)


@pytest.mark.parametrize("engine", ["pysim", "cxxrtl"])
def test_patience_is_how_long_a_stuck_unit_is_waited_for(engine, faulty, asking, build_dir):
    unit, stimulus = faulty(), asking("sticks")
    with pytest.raises(StreamError) as caught:
        run(unit, stimulus, engine=engine, build_dir=build_dir, patience=30)
    last = max(caught.value.response.input_cycles[-1], caught.value.response.result_cycles[-1])
    assert caught.value.cycle == last + 31
    assert "within 30 cycles, not stand still" in str(caught.value)


@pytest.mark.parametrize("engine", [here(engine) for engine in ("pysim", "cxxrtl", "icarus")])
def test_a_sum_that_nobody_started_is_played_but_not_held_against_the_unit(engine, build_dir, seed):
    unit = UNITS[3]
    whole = random(unit.spec, 40, seed=seed)
    first, last = np.array(whole.first), np.array(whole.last)
    first[:5], last[:5], first[5] = False, [True, False, False, True, False], True
    stimulus = dataclasses.replace(whole, first=first, last=last)
    assert stimulus.undefined_count == 2
    response = run(unit, stimulus, engine=engine, build_dir=build_dir)
    assert len(response.results) == stimulus.result_count
    assert compare(unit.config, stimulus, response, engine=engine).equal


@pytest.mark.parametrize("unit", UNITS[:1] + UNITS[3:], ids=lambda unit: unit.name)
def test_a_waveform_is_written_on_request(unit, tmp_path, same, seed):
    stimulus, reference = _reference(unit, seed)
    assert same(run(unit, stimulus, trace=tmp_path / "x.vcd"), reference)
    assert b"o_result" in (tmp_path / "x.vcd").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["x.vcd"]


@pytest.mark.skipif(problem("icarus") is not None, reason=str(problem("icarus")))
def test_a_waveform_is_left_by_a_run_that_fails(faulty, asking, build_dir, tmp_path):
    with pytest.raises(StreamError):
        run(faulty(), asking("sticks"), engine="icarus", build_dir=build_dir, trace=tmp_path / "x.fst")
    assert (tmp_path / "x.fst").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "vcs"}, "engine must be one of pysim, cxxrtl, verilator, icarus, not 'vcs'"),
        ({"trace": "x.fst"}, "trace must be a .vcd file for engine pysim, not 'x.fst'"),
        ({"engine": "icarus", "trace": "x.vcd"}, "trace must be a .fst file for engine icarus, not 'x.vcd'"),
        ({"engine": "cxxrtl", "trace": "x.vcd"}, "trace must be None for engine cxxrtl, not 'x.vcd'"),
        ({"patience": 0}, "patience must be at least 1 cycle, not 0"),
    ],
)
def test_run_refuses_what_it_cannot_do(options, message):
    unit = UNITS[0]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(unit, random(unit.spec, 1, seed=0), **options)


def test_run_refuses_a_stimulus_for_another_unit():
    message = r"^stimulus must be for e2m1_ue4m3_n2_none, not e2m1_ue4m3_n2_b2_none$"
    with pytest.raises(ValueError, match=message):
        run(UNITS[0], random(UNITS[1].spec, 1, seed=0))


def test_run_refuses_a_unit_that_its_streams_do_not_move():
    unit = DotUnit(DotSpec(block_size=2), stages=1, flow="valid")
    with pytest.raises(ValueError, match=r"^unit must have flow 'stream' for an engine, not 'valid'$"):
        run(unit, random(unit.spec, 1, seed=0))


def test_a_problem_is_what_run_would_raise(tmp_path, monkeypatch):
    assert problem("pysim") is None
    assert problem("cxxrtl") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert problem("pysim") is None
    assert (
        problem("icarus") == "icarus must be installed for engine icarus, not missing: apt install iverilog"
    )


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (
            "cxxrtl",
            "c++ must be installed for engines cxxrtl and verilator, not missing: "
            "apt install g++, or set CXX",
        ),
        ("verilator", "make must be installed for engine verilator, not missing: apt install make"),
        ("icarus", "icarus must be installed for engine icarus, not missing: apt install iverilog"),
    ],
)
def test_a_missing_tool_is_named_before_anything_is_made(engine, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    unit = UNITS[0]
    with pytest.raises(ToolError) as caught:
        run(unit, random(unit.spec, 1, seed=0), engine=engine, build_dir=tmp_path / "made")
    assert str(caught.value) == message
    assert not (tmp_path / "made").exists()


def test_a_compiler_that_fails_is_told_of(tmp_path, monkeypatch, seed):
    compiler = tmp_path / "c++"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo fake 1 && exit\necho no room >&2\nexit 3\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    unit = UNITS[0]
    with pytest.raises(EngineError) as caught:
        run(unit, random(unit.spec, 1, seed=seed), engine="cxxrtl", build_dir=tmp_path / "made")
    assert str(caught.value) == f"{compiler} must compile {unit.name}, not fail with exit code 3: no room"
    assert list((tmp_path / "made").iterdir()) == []
