"""What every test may use: one seed for all randomness, printed so that a failure can be repeated."""

import gc
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

DEFAULT_SEED = 20260120

# Elaborating a unit makes hundreds of thousands of objects that live until it is done. Looking for garbage
# among them every 700, as Python does, is a fifth of the time.
gc.set_threshold(200_000, 20, 100)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=DEFAULT_SEED, help=f"seed of all random tests (default {DEFAULT_SEED})"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')} (repeat with --seed={config.getoption('--seed')})"


def _case(item: pytest.Item) -> str:
    """What a test's name has behind the function's: its parameters."""
    return item.nodeid.partition("[")[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to `make matrix` what the marker ``one_in(n)`` takes out of `make test`.

    A share of 1/n of a test's cases stays. The seed draws which: another one tries others. Tests of the same
    cases keep the same ones, so that what they share of a case is made once.
    """
    seed = config.getoption("--seed")
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("one_in") and not item.get_closest_marker("matrix"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for of_one in cases.values():
        marker = of_one[0].get_closest_marker("one_in")
        assert marker is not None
        drawn = sorted(of_one, key=lambda item: zlib.crc32(f"{seed} {_case(item)}".encode()))
        for item in drawn[-(-len(drawn) // marker.args[0]) :]:
            item.add_marker("matrix")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The session's seed, for tests that hand one on."""
    seed = request.config.getoption("--seed")
    assert isinstance(seed, int)
    return seed


@pytest.fixture(scope="session")
def synthesis_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what was synthesized is kept for all tests of this run, in whichever process they are."""
    folder = tmp_path_factory.getbasetemp()
    # Each process of pytest-xdist has a folder of its own inside one that all share.
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "synthesis"


@pytest.fixture
def rng(request: pytest.FixtureRequest, seed: int) -> np.random.Generator:
    """A generator of the test's own: the same numbers whichever other tests run, in whatever order."""
    return np.random.default_rng([seed, zlib.crc32(request.node.name.encode())])
