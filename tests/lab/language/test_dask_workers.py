"""Sweeps on a Dask cluster: the same as here, kept here, and refused by a worker that has something else."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blockdot.base.external_tools import ToolError
from blockdot.lab import dask_client
from blockdot.lab.language.arithmetic import combine
from blockdot.lab.language.dask_workers import run_on_cluster
from blockdot.lab.language.evaluation import evaluate_text
from blockdot.lab.language.evaluation_job import EvaluationJob
from blockdot.lab.language.model import open_model
from blockdot.lab.language.windows import cut_windows
from blockdot.lab.quality.quantization_error import Quantization
from dask_processes import needs_dask, running_scheduler
from messages import whole
from tiny_models import write_model

pytest.importorskip("tokenizers")

WAYS = combine([Quantization(block_size=8, scale="ue4m3")], ["weights", "both"])
TEXT = cut_windows(np.random.default_rng(0).integers(0, 256, 70), 16, 8)


@pytest.fixture
def model(tmp_path: Path):
    return open_model(write_model(tmp_path / "model"))[0]


@needs_dask
@pytest.mark.filterwarnings("ignore")  # what a scheduler's client warns of is not this project's
def test_a_sweep_on_a_cluster_is_the_same_and_loses_nothing_when_a_worker_is_killed(model, tmp_path: Path):
    seen: list[int] = []
    with running_scheduler(tmp_path) as (address, workers):

        def progress(done: int, _: int, __: str) -> None:
            seen.append(done)
            if done == 2:
                os.kill(workers[0].pid, signal.SIGKILL)

        found = evaluate_text(
            model, TEXT, WAYS, folder=tmp_path / "kept", workers=1, cluster=address, tokens_together=32,
            progress=progress,
        )  # fmt: skip
    assert seen == list(range(4 * len(WAYS) + 1))
    here = evaluate_text(model, TEXT, WAYS, folder=tmp_path / "here", workers=1, tokens_together=32)
    for a, b in zip(found, here, strict=True):
        np.testing.assert_array_equal(a, b)
    # What the cluster found is kept here: nobody is asked again.
    again = evaluate_text(
        model, TEXT, WAYS, folder=tmp_path / "kept", workers=1, cluster="tcp://127.0.0.1:1",
        tokens_together=32,
    )  # fmt: skip
    np.testing.assert_array_equal(again[1], found[1])


def test_a_worker_with_another_model_or_other_code(model, tmp_path: Path):
    job = EvaluationJob.of(model, model.digest, WAYS[1], TEXT.tokens[:1], 0, tmp_path)
    np.testing.assert_array_equal(job.compute_elsewhere(), job.compute())
    refused = pytest.raises(
        ValueError,
        match=whole(
            "blockdot, numpy and the model must be on every worker of the cluster as they are here, "
            f"the model under {str(model.path)!r}"
        ),
    )
    with refused:  # other code gives the result another name
        replace(job, place=tmp_path / "made-by-other-code.json").compute_elsewhere()
    with refused:
        other_config = replace(model.configuration, norm_epsilon=0.1)
        replace(job, language_model=replace(model, configuration=other_config)).compute_elsewhere()
    path = model.path / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with refused:
        replace(job, language_model=open_model(model.path)[0]).compute_elsewhere()


@needs_dask
@pytest.mark.filterwarnings("ignore")
def test_no_scheduler():
    message = "cluster must be a Dask scheduler's address, not 'tcp://127.0.0.1:1': none answers"
    with pytest.raises(ConnectionError, match=whole(message)):
        list(run_on_cluster([], "tcp://127.0.0.1:1", connect_seconds=1))


def test_without_dask(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dask_client.importlib.util, "find_spec", lambda _: None)
    message = "distributed must be installed for a cluster, and is not: pip install 'blockdot[cluster]'"
    with pytest.raises(ToolError, match=whole(message)):
        list(run_on_cluster([], "tcp://127.0.0.1:1"))
