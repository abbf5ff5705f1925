"""Units side by side against one at a time, cycle by cycle."""

import dataclasses

import numpy as np
import pytest
from blockdot.base import external_tools
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim import EngineError, StreamError, StreamRule, random, run
from blockdot.sim.engines import cxxrtl_lanes
from blockdot.sim.engines.cxxrtl_lanes import LANES, Batch
from blockdot.sim.random_stimulus import bulk
from blockdot.sim.stream_rules import Limits

UNITS = [
    DotUnit(DotSpec(scale="ue4m3", block_size=2), stages=0),
    DotUnit(DotSpec(scale="ue3m1", block_size=2, blocks=2, accumulate="exact", guard=3), stages=2),
]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_lane_does_what_the_unit_does_alone(unit, build_dir, same, seed):
    stimulus = random(unit.spec, 40_000, seed=seed, longest=8)
    batch = Batch.cut(stimulus, lanes=LANES + 3)  # more than run side by side
    answer = cxxrtl_lanes.run(cxxrtl_lanes.build(unit, build_dir), batch)
    np.testing.assert_array_equal(answer.results, stimulus.expected())
    assert answer.broken.tolist() == answer.failing(stimulus.expected()).tolist() == []
    cycles = []
    for lane in (0, 1, 200, LANES - 1, LANES, batch.lanes - 1):
        alone = run(unit, batch.lane(lane), engine="cxxrtl", build_dir=build_dir)
        outcome, response = answer.lane(lane)
        assert outcome.rule is StreamRule.KEPT
        assert same(response, alone)
        cycles.append(alone.cycles)
    if unit.stages:
        assert len(set(cycles)) > 3  # each stalls in its own way
    assert answer.cycles >= max(cycles)


@pytest.mark.parametrize("fault", ["falls", "changes", "repeats", "drops", "sticks"])
def test_a_lane_that_breaks_a_rule_is_told_as_by_every_engine(fault, faulty, asking, build_dir, same):
    unit, stimulus = faulty(), asking(fault)
    with pytest.raises(StreamError) as caught:
        run(unit, stimulus, engine="cxxrtl", build_dir=build_dir)
    parts = ("a", "b", "a_scale", "b_scale", "first", "last")
    fine = dataclasses.replace(stimulus, **{name: getattr(stimulus, name)[:9] for name in parts})
    batch = Batch.join([fine, stimulus, fine])
    answer = cxxrtl_lanes.run(cxxrtl_lanes.build(unit, build_dir), batch)
    assert answer.broken.tolist() == [1]
    outcome, response = answer.lane(1)
    assert same(response, caught.value.response)
    with pytest.raises(StreamError) as again:
        outcome.conclude(unit, stimulus, Limits.of(unit.latency, batch.stimulus), response)
    assert str(again.value) == str(caught.value)


def test_wrong_bits_are_found_in_their_lanes(faulty, build_dir, seed):
    unit = faulty(stages=0)
    stimulus = random(unit.spec, 300, seed=seed)
    batch = Batch.cut(stimulus, lanes=100)
    expected = stimulus.expected()
    answer = cxxrtl_lanes.run(cxxrtl_lanes.build(unit, build_dir), batch)
    wrong = np.flatnonzero(expected >> 23 & 7 == 5)
    assert len(wrong) > 5
    np.testing.assert_array_equal(answer.results != expected, np.isin(np.arange(300), wrong))
    np.testing.assert_array_equal(answer.failing(expected), np.unique(wrong // 3))


def test_a_loop_of_wires_is_none_of_bits(looping, build_dir, seed):
    stimulus = random(looping.spec, 2_000, seed=seed)
    answer = cxxrtl_lanes.run(cxxrtl_lanes.build(looping, build_dir), Batch.cut(stimulus))
    assert not len(answer.failing(stimulus.expected()))


@pytest.mark.parametrize("accumulate", ["none", "fp32"])
@pytest.mark.parametrize("count", [1, 7, 512, 5000])
def test_a_cut_leaves_sums_whole_and_nothing_out(accumulate, count, seed):
    stimulus = bulk(DotSpec(block_size=2, accumulate=accumulate), 3000, seed=seed)
    batch = Batch.cut(stimulus, count)
    assert batch.starts[0] == 0
    assert (np.diff(batch.starts) > 0).all()
    assert batch.lanes <= count
    assert stimulus.first[batch.starts].all()
    if accumulate == "none":
        assert batch.lanes == min(count, 3000)
    parts = [batch.lane(k) for k in range(batch.lanes)]
    for name in ("a", "b", "a_scale", "b_scale", "first", "last"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(stimulus, name))


def test_joined_stimuli_are_the_lanes(seed):
    spec = DotSpec(block_size=2, accumulate="fp32")
    stimuli = [random(spec, 5 + k, seed=seed + k, stalls=False) for k in range(4)]
    batch = Batch.join(stimuli)
    assert batch.lanes == 4
    for k, stimulus in enumerate(stimuli):
        for name in ("a", "b", "a_scale", "b_scale", "first", "last", "offer", "accept"):
            np.testing.assert_array_equal(getattr(batch.lane(k), name), getattr(stimulus, name))


def test_what_is_built_is_used_again(build_dir, monkeypatch):
    built = cxxrtl_lanes.build(UNITS[0], build_dir)
    time = built.library.stat().st_mtime_ns
    for length in (0, 777, 1500):
        # In an environment of another length Yosys writes the same netlist in another order.
        monkeypatch.setenv("BLOCKDOT_TEST", "x" * length)
        assert cxxrtl_lanes.build(UNITS[0], build_dir) == built
    assert built.library.stat().st_mtime_ns == time
    assert built.library.name.startswith(f"{UNITS[0].name}-lanes-")


def test_what_another_yosys_makes_is_built_anew(build_dir, monkeypatch):
    built = cxxrtl_lanes.build(UNITS[0], build_dir)
    found = external_tools.find
    monkeypatch.setattr(
        external_tools,
        "find",
        lambda name: dataclasses.replace(found(name), version="0.1") if name == "pyosys" else found(name),
    )
    assert cxxrtl_lanes.build(UNITS[0], build_dir).library != built.library


def test_a_compiler_that_fails_is_told_of(tmp_path, monkeypatch):
    compiler = tmp_path / "c++"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo fake 1 && exit\necho no room >&2\nexit 3\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(EngineError, match=r"not fail with exit code 3: no room$"):
        cxxrtl_lanes.build(UNITS[0], tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
