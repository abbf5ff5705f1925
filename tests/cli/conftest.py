"""Running the command line in this process."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from blockdot.cli.app import run


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def blockdot(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Call the command line in an empty folder, its output piped: with no width but what a test sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it in its workers

    def call(*arguments: object) -> Done:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


@pytest.fixture
def refused(blockdot: Callable[..., Done], tmp_path: Path):
    """Call the command line with bad input: one line on stderr, exit code 2, and nothing left behind."""

    def call(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = blockdot(*arguments)
        assert done.code == 2
        assert done.out == ""
        message = re.fullmatch(r"blockdot: (.+)\n", done.err)
        assert message, done.err
        assert sorted(tmp_path.rglob("*")) == before
        return message[1]

    return call


@pytest.fixture
def matrix(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A .npy file with a 6 by 64 matrix of normal numbers."""
    path = tmp_path / "matrix.npy"
    np.save(path, rng.normal(size=(6, 64)).astype(np.float32))
    return path
