"""Sweeps: kept part by part, taken up again, and the same on any number of processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import combine
from blockdot.lab.language.evaluation import evaluate_text
from blockdot.lab.language.model import open_model
from blockdot.lab.language.transformer import Transformer
from blockdot.lab.language.windows import cut_windows
from blockdot.lab.language.workers import run_jobs
from blockdot.lab.quality.quantization_error import Quantization
from jobs import DyingJob, FailingJob
from messages import check_messages
from tiny_models import write_model

pytest.importorskip("tokenizers")

WAYS = combine([Quantization(block_size=8, scale="ue4m3")], ["weights", "both"], ["none", "fp32"])
TEXT = cut_windows(np.random.default_rng(0).integers(0, 256, 70), 16, 8)
PART = 32
PARTS = 4


@pytest.fixture
def model(tmp_path: Path):
    return open_model(write_model(tmp_path / "model"))[0]


def test_results_do_not_depend_on_parts_or_processes(model, tmp_path):
    whole = evaluate_text(model, TEXT, WAYS, folder=tmp_path / "one", workers=1)
    likely = Transformer(model.configuration, model.weights).log_likelihoods(TEXT.tokens)
    np.testing.assert_array_equal(whole[0], TEXT.pick(likely))
    assert len({way.tobytes() for way in whole[:3]}) == 3  # binary32 rounds nothing of sums so short
    told: list[tuple[int, int]] = []
    parts = evaluate_text(
        model, TEXT, WAYS, folder=tmp_path / "two", workers=2, tokens_together=PART,
        progress=lambda done, total, _: told.append((done, total)),
    )  # fmt: skip
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert told == [(k, PARTS * len(WAYS)) for k in range(PARTS * len(WAYS) + 1)]


def test_what_is_kept_is_not_computed_again(model, tmp_path):
    folder = tmp_path / "kept"
    every = PARTS * len(WAYS)
    missing: list[int] = []

    def evaluated(seed: int = 0):
        def progress(done: int, total: int, _: str) -> None:
            told.append(total - done)

        told: list[int] = []
        found = evaluate_text(
            model, TEXT, WAYS, folder=folder, workers=1, seed=seed, tokens_together=PART, progress=progress
        )
        missing.append(told[0])
        return found

    found = evaluated()
    files = sorted(folder.iterdir())
    assert len(files) == every
    files[0].unlink()
    files[1].write_text(files[1].read_text()[:-100])  # which no `write_whole` leaves
    for a, b in zip(found, evaluated(), strict=True):
        np.testing.assert_array_equal(a, b)
    evaluated(seed=1)
    assert missing == [every, 2, every]  # another seed is another result


def test_another_model_is_another_result(model, tmp_path):
    folder = tmp_path / "kept"
    evaluate_text(model, TEXT, WAYS[:1], folder=folder, workers=1)
    path = model.path / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    other, _ = open_model(model.path)
    evaluate_text(other, TEXT, WAYS[:1], folder=folder, workers=1)
    assert len(list(folder.iterdir())) == 2


PROGRAM = """
import sys, time
from pathlib import Path
from blockdot.lab.language.evaluation import evaluate_text
from blockdot.lab.language.model import open_model
sys.path[:0] = sys.argv[2:]
from test_evaluation import PART, TEXT, WAYS
folder = Path(sys.argv[1])
model, _ = open_model(folder / "model")
slowly = lambda *_: time.sleep(0.2)
evaluate_text(model, TEXT, WAYS, folder=folder / "kept", workers=1, tokens_together=PART, progress=slowly)
"""


def test_a_kill_loses_what_was_being_computed_alone(model, tmp_path):
    here = Path(__file__).parent
    arguments = [sys.executable, "-c", PROGRAM, tmp_path, here, here.parents[1] / "support"]
    process = subprocess.Popen([*map(str, arguments)])
    folder = tmp_path / "kept"
    end = time.monotonic() + 60
    while not (folder.is_dir() and len(list(folder.glob("*.json"))) >= 3):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(folder.glob("*.json")))
    first: list[int] = []
    found = evaluate_text(
        model, TEXT, WAYS, folder=folder, workers=1, tokens_together=PART,
        progress=lambda done, *_: first.append(done),
    )  # fmt: skip
    assert first[0] == kept >= 3
    other = tmp_path / "other"
    wanted = evaluate_text(model, TEXT, WAYS, folder=other, workers=1, tokens_together=PART)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_jobs_that_end_badly():
    dead = "workers must live until their jobs are done, not be killed"
    check_messages(
        [
            (ValueError, "job must do well, not fail", lambda: list(run_jobs([FailingJob()], 1))),
            (ValueError, "job must do well, not fail", lambda: list(run_jobs([FailingJob()] * 2, 2))),
            (RuntimeError, dead, lambda: list(run_jobs([DyingJob()] * 2, 2))),
        ]
    )


def test_errors(model, tmp_path):
    def evaluated(block_size: int = 8, length: int = 16, workers: int = 1, **options):
        text = cut_windows(np.zeros(70, int), length, 8)
        ways = combine([Quantization(block_size=block_size)], **options)
        return lambda: evaluate_text(model, text, ways, folder=tmp_path / "kept", workers=workers)

    check_messages(
        [
            (ValueError, "window must be at most the model's 64 tokens, not 65", evaluated(length=65)),
            (
                ValueError,
                "blocks of ue5m3 N=64 absmax must fill the 32 columns of layers.0.query, not be 64 long",
                evaluated(64),
            ),
            (
                ValueError,
                "blocks of ue5m3 N=32 absmax must fill the 48 columns of layers.0.down, not be 32 long",
                evaluated(32),
            ),
            (
                ValueError,
                "left_alone must leave something to quantize, not everything",
                evaluated(left_alone=("embeddings", "head", "first", "last")),
            ),
            (ValueError, "workers must be at least 1, not 0", evaluated(workers=0)),
        ]
    )
    assert not (tmp_path / "kept").exists()
