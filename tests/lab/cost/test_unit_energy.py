from functools import partial
from pathlib import Path

import numpy as np
import pytest
from blockdot.hw import UnitConfig
from blockdot.lab.cost import measurement_bench, measurement_job, unit_energy
from blockdot.lab.cost.energy_workloads import stimulus_of, workloads
from blockdot.lab.cost.measurement_bench import MeasurementBench
from blockdot.lab.cost.unit_energy import energies
from blockdot.model import DotSpec
from blockdot.synth.neutral_library import neutral
from messages import check_messages

UNITS = [UnitConfig(DotSpec(scale=scale, block_size=2), stages=0) for scale in ("ue4m3", "ue5m3")]

# Few vectors will do.
energies_of = partial(energies, lanes=8)
workloads_of = partial(workloads, lanes=8)


def test_units_are_compared_in_pairs_on_each_kind_of_vectors(monkeypatch: pytest.MonkeyPatch, rng):
    # What hardly changes from one vector to the next takes less than what always does.
    steady = np.repeat(rng.normal(size=(1, 2)), 24, axis=0).astype(np.float32)
    monkeypatch.setattr(unit_energy, "real_tensors", lambda: (steady, steady))
    seen: list[tuple[int, int, str]] = []
    found = energies_of(UNITS, neutral(), orders=2, progress=lambda *state: seen.append(state))
    assert [(one.unit, one.vectors) for one in found] == [
        (unit, kind) for unit in UNITS for kind in ("real", "uniform")
    ]
    assert seen[-1] == (4, 4, UNITS[1].name)
    real, uniform, _, other = found
    assert 0 <= max(real.total.values) < min(uniform.total.values)
    assert (uniform.base, uniform.delta, other.base) == (None, None, UNITS[0])
    assert other.delta is not None
    assert other.delta.values == pytest.approx(
        [100 * (b / a - 1) for a, b in zip(uniform.total.values, other.total.values, strict=True)]
    )
    assert other.settled_delta is not None
    assert other.settled_delta.values == pytest.approx(
        [100 * (b / a - 1) for a, b in zip(uniform.settled.values, other.settled.values, strict=True)]
    )
    assert all(
        settled <= total for total, settled in zip(other.total.values, other.settled.values, strict=True)
    )
    assert other.to_dict()["total"]["unit"] == "C V²"


def test_energy_is_measured_once_by_as_many_processes_as_there_are(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(unit_energy, "real_tensors", lambda: None)
    alone = energies_of(UNITS[:1], neutral(), orders=2, workers=1)
    assert energies_of(UNITS[:1], neutral(), orders=2, workers=2, cache=tmp_path) == alone

    def again(*_: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(MeasurementBench, "measure", again)
        assert energies_of(UNITS[:1], neutral(), orders=2, workers=1, cache=tmp_path) == alone
    # Nor is it where the sources have changed, but not the netlists.
    with monkeypatch.context() as patch:
        patch.setattr(measurement_bench, "generator", lambda: "another")
        patch.setattr(measurement_bench, "energy_of", again)
        assert energies_of(UNITS[:1], neutral(), orders=2, workers=1, cache=tmp_path) == alone
    with monkeypatch.context() as patch:
        patch.setattr(MeasurementBench, "measure", again)
        # Of other vectors nothing is known, nor of another way to count.
        with pytest.raises(AssertionError):
            energies(UNITS[:1], neutral(), orders=2, lanes=16, workers=1, cache=tmp_path)
        patch.setattr(measurement_job, "ENERGY_VERSION", 16)
        with pytest.raises(AssertionError):
            energies_of(UNITS[:1], neutral(), orders=2, workers=1, cache=tmp_path)


def test_equal_workloads_are_of_equal_vectors(rng):
    a, b = rng.normal(size=(2, 4, 8)).astype(np.float32)
    spec = DotSpec(block_size=4)
    real, uniform = workloads_of(spec, 0, (a, b))
    assert (real.vectors, uniform.vectors) == ("real", "uniform")
    assert [real, uniform] == list(workloads_of(spec, 0, (a, b)))
    assert real.sha256 != next(workloads_of(spec, 0, (b, a))).sha256
    # Deeper units are fed longer.
    assert len(uniform.words["i_a"]) < len(next(workloads_of(spec, 2, None)).words["i_a"])


def test_the_blocks_are_those_of_the_tensors(rng):
    a, b = rng.normal(size=(2, 4, 8)).astype(np.float32)
    spec = DotSpec(block_size=4)
    stimulus = stimulus_of(spec, 8, (a, b))
    assert len(stimulus.first) == 8
    assert (stimulus.words()["i_a"] != stimulus.words()["i_b"]).any()
    assert len(stimulus_of(spec, 5, None).first) == 5


def test_parameters():
    check_messages(
        [
            (
                ValueError,
                "orders must be at least 2 for an error bar, not 1",
                lambda: energies_of(UNITS, neutral(), orders=1),
            ),
        ]
    )
