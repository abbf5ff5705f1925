import functools
import json
import multiprocessing
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from blockdot.hw import DotUnit, UnitConfig
from blockdot.model import DotSpec
from blockdot.sim.engines import cxxrtl_lanes
from blockdot.sim.random_stimulus import bulk
from blockdot.sim.stream_rules import EngineError
from blockdot.verify.soak import explain
from blockdot.verify.soak import soak as soak_in_batches
from faulty_units import FaultyConfig

UNIT = UnitConfig(DotSpec(scale="ue4m3", block_size=2), stages=0)

soak = functools.partial(soak_in_batches, batch=4000)


@pytest.fixture
def folder(build_dir, tmp_path):
    """A folder for a journal, with the unit compiled already."""
    built = cxxrtl_lanes.build(DotUnit.of(UNIT), build_dir)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / built.library.name).write_bytes(built.library.read_bytes())
    return tmp_path / "made"


def journal(folder):
    (path,) = folder.glob("*.jsonl")
    return path


@pytest.mark.one_in(2)
@pytest.mark.parametrize("workers", [1, 2])
def test_all_is_compared_and_nothing_differs(folder, seed, workers):
    seen: list[tuple[int, int]] = []
    done = soak(
        UNIT,
        10_003,
        seed=seed,
        workers=workers,
        build_dir=folder,
        progress=lambda *counts: seen.append(counts),
    )
    assert (done.vectors, done.products, done.results, done.resumed) == (10_003, 10_003, 10_003, 0)
    assert done.failure is None
    assert seen == [(4000, 10_003), (8000, 10_003), (10_003, 10_003)]
    # What was computed is what the digest is of: from the model, without the hardware.
    assert done.digest == soak(UNIT, 10_003, seed=seed, workers=1, build_dir=folder).digest
    assert done.digest != soak(UNIT, 10_003, seed=seed + 1, workers=1, build_dir=folder).digest


def test_a_run_that_was_broken_off_goes_on(folder, seed):
    whole = soak(UNIT, 20_000, seed=seed, workers=1, build_dir=folder)
    journal(folder).unlink()

    def interrupt(done: int, _: int) -> None:
        if done >= 8000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soak(UNIT, 20_000, seed=seed, workers=1, build_dir=folder, progress=interrupt)
    again = soak(UNIT, 20_000, seed=seed, workers=2, build_dir=folder)
    assert again.resumed == 8000
    assert (again.digest, again.results) == (whole.digest, whole.results)
    longer = soak(UNIT, 28_000, seed=seed, workers=1, build_dir=folder)
    assert (longer.resumed, longer.vectors) == (20_000, 28_000)


def test_a_journal_that_was_cut_off_or_is_of_something_else_is_not_believed(folder, seed):
    whole = soak(UNIT, 12_000, seed=seed, workers=1, build_dir=folder)
    path = journal(folder)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:20])
    again = soak(UNIT, 12_000, seed=seed, workers=1, build_dir=folder)
    assert (again.resumed, again.digest) == (8000, whole.digest)
    assert path.read_text().splitlines(keepends=True) == lines
    heading = json.loads(lines[0])
    path.write_text(json.dumps(heading | {"model": "another"}) + "\n" + "".join(lines[1:]))
    assert soak(UNIT, 12_000, seed=seed, workers=1, build_dir=folder).resumed == 0


def test_two_runs_do_not_write_one_journal(folder, seed):
    message = (
        rf"^soak of {UNIT.module_name} with seed {seed} must run once at a time in a folder, "
        rf"not twice in {re.escape(repr(str(folder)))}$"
    )

    def another(*_: int) -> None:
        with pytest.raises(ValueError, match=message):
            soak(UNIT, 4000, seed=seed, workers=1, build_dir=folder)

    soak(UNIT, 4000, seed=seed, workers=1, build_dir=folder, progress=another)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("stages", [0, 1])
def test_a_fault_is_found_made_small_and_told_as_a_test(build_dir, seed, stages):
    unit = FaultyConfig(UNIT.spec, stages=stages)
    done = soak(unit, 12_000, seed=seed, workers=2, build_dir=build_dir)
    assert done.failure is not None
    assert done.failure[0] == 0
    assert done.results == 0
    failure = explain(unit, done, build_dir=build_dir)
    assert failure.stimulus.vectors == 1
    assert failure.engine == "pysim"
    expected = failure.stimulus.expected()
    assert expected[0] >> 23 & 7 == 5
    # No element can go: the exponent needs every one that is left.
    assert f"expected {expected[0]:#010x}" in failure.told
    space: dict[str, object] = {}
    exec(compile(failure.test, "test_case.py", "exec"), space)
    test = next(value for name, value in space.items() if name.startswith("test_"))
    test()  # type: ignore[operator]  # a unit without the fault
    space["UnitConfig"] = SimpleNamespace(parse=lambda _: unit)
    with pytest.raises(AssertionError, match="0 of 1 results are the model's"):
        test()  # type: ignore[operator]
    # A failure is not taken for known.
    assert soak(unit, 12_000, seed=seed, workers=1, build_dir=build_dir).failure == done.failure


def test_a_library_that_cannot_be_loaded_is_told_of(folder, seed, monkeypatch):
    (library,) = folder.glob("*.so")
    library.unlink()
    # Loading it fails in the process that works.
    built = cxxrtl_lanes.BuiltUnit(UNIT.spec, UNIT.module_name, 0, 0, 1, library)
    monkeypatch.setattr(cxxrtl_lanes, "build", lambda *_: built)
    with pytest.raises(OSError, match="cannot open shared object file"):
        soak(UNIT, 4000, seed=seed, workers=1, build_dir=folder)


def test_a_process_that_is_killed_is_told_of(folder, seed):
    def kill(*_: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(EngineError, match=f"^processes that simulate {UNIT.module_name} must not be killed"):
        soak(UNIT, 20_000, seed=seed, batch=400, workers=1, build_dir=folder, progress=kill)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"vectors": 7}, ValueError, "vectors must be at least 8, not 7"),
        ({"vectors": 9.5}, TypeError, r"vectors must be an integer, not 9\.5"),
        ({"vectors": 8, "seed": -1}, ValueError, "seed must be at least 0, not -1"),
        ({"vectors": 8, "batch": 15}, ValueError, "batch must be at least 16, not 15"),
        ({"vectors": 8, "workers": 0}, ValueError, "workers must be at least 1, not 0"),
    ],
)
def test_refuses_what_cannot_be(options, error, message, tmp_path):
    with pytest.raises(error, match=f"^{message}$"):
        soak(UNIT, **options, build_dir=tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_refuses_a_tile(tmp_path):
    with pytest.raises(ValueError, match=r"^tile must be None for a soak, not \(2, 2\)$"):
        soak(UnitConfig(UNIT.spec, tile=(2, 2)), 8, build_dir=tmp_path / "made")


def test_bulk_meets_every_code_and_repeats_itself(seed):
    spec = DotSpec(element=("e4m3", "e2m1"), scale="ue4m3", accumulate="exact", guard=4)
    one, again = bulk(spec, 40_000, seed=seed), bulk(spec, 40_000, seed=seed)
    for name in ("a", "b", "a_scale", "b_scale", "first", "last", "offer", "accept"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    rest = slice(5000, None)
    assert set(np.unique(one.a[rest])) == set(spec.elements[0].codes)
    assert set(np.unique(one.b[rest])) == set(range(16))
    assert set(np.unique(one.a_scale[rest])) == set(range(127))
    assert one.first[[0, 5000]].all()
    starts, ends = one.sums
    assert (ends - starts + 1).max() == 16
    assert {1, 2, 3, 5, 9, 16} <= set(ends - starts + 1)


def test_threads_are_not_in_the_way(folder, seed):
    """Nothing here may depend on the main thread, as signals do."""
    done = []
    thread = threading.Thread(
        target=lambda: done.append(soak(UNIT, 4000, seed=seed, workers=1, build_dir=folder))
    )
    thread.start()
    thread.join()
    assert done[0].failure is None
