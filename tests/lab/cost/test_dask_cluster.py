import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockdot.hw import UnitConfig
from blockdot.lab import dask_client
from blockdot.lab.cost.dask_cluster import Cluster
from blockdot.lab.cost.energy_workloads import workloads
from blockdot.lab.cost.jobs import measure_all
from blockdot.lab.cost.measurement_job import MeasurementJob
from blockdot.model import DotSpec
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose
from blockdot.synth.yosys import SynthesisError
from dask_processes import RunningScheduler, needs_dask, running_scheduler
from messages import whole

RECIPES = tuple(choose(["a2"]))


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningScheduler]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with running_scheduler(tmp_path) as running:
        yield running


@pytest.mark.matrix
@needs_dask
@pytest.mark.filterwarnings("ignore")  # what a scheduler's client warns of is not this project's
def test_a_sweep_on_a_cluster_loses_nothing_when_a_worker_is_killed(
    scheduler, tmp_path: Path, synthesis_cache: Path
):
    address, workers = scheduler
    unit = UnitConfig(DotSpec(block_size=2), stages=0)
    jobs = [MeasurementJob(unit, order, RECIPES) for order in range(5)]
    fed = tuple(workloads(unit.spec, 0, None, lanes=8))
    jobs.append(MeasurementJob(unit, 0, workloads=fed, powered=RECIPES[0]))
    seen: list[int] = []

    def progress(done: int, _: int, __: str) -> None:
        seen.append(done)
        if done == 2:
            os.kill(workers[0].pid, signal.SIGKILL)

    found = measure_all(
        jobs, neutral(), runner=Cluster(address, neutral()), cache=tmp_path / "kept", progress=progress
    )
    assert seen == list(range(7))
    assert workers[0].wait(timeout=10) == -signal.SIGKILL
    assert found == measure_all(jobs, neutral(), workers=1, cache=synthesis_cache)
    # What the cluster found is kept here.
    started = time.monotonic()
    assert (
        measure_all(jobs, neutral(), runner=Cluster("tcp://127.0.0.1:1", neutral()), cache=tmp_path / "kept")
        == found
    )
    assert time.monotonic() - started < 5
    # A worker that is ended clears up; one that is killed cannot.
    workers[1].terminate()
    workers[1].wait(timeout=30)
    assert len(list((tmp_path / "tmp").glob("blockdot-*"))) == 1


@needs_dask
@pytest.mark.filterwarnings("ignore")
def test_no_scheduler():
    message = "cluster must be a Dask scheduler's address, not 'tcp://127.0.0.1:1': none answers"
    with pytest.raises(ConnectionError, match=whole(message)):
        list(Cluster("tcp://127.0.0.1:1", neutral(), connect_seconds=1).run([]))


def test_without_dask(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dask_client.importlib.util, "find_spec", lambda _: None)
    message = "distributed must be installed for a cluster, and is not: pip install 'blockdot[cluster]'"
    with pytest.raises(SynthesisError, match=whole(message)):
        Cluster("tcp://127.0.0.1:1", neutral())
