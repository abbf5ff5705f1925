"""Training in a unit's formats: ways, text and page by hand, runs that are resumed, and the stored page."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from blockdot.frameworks.quantized_product import QuantizedProduct
from blockdot.model import DotSpec
from messages import check_messages, whole

from studies.records import read_stored, write_stored
from studies.training import measure
from studies.training.corpus import HELD_OUT, Corpus, read_corpus
from studies.training.measure import STORED, main, measure_runs
from studies.training.page import PAGE, page_text
from studies.training.picture import PICTURE, draw
from studies.training.runs import TrainingRuns
from studies.training.schedule import Schedule
from studies.training.ways import FLOAT, WAYS, Way, chosen_ways, way_of

ROOT = Path(__file__).parents[2]
E4M3 = Way("e4m3")
SUMS = Way("e4m3", activations=True, accumulate="fp32")


def run(way: Way, seed: int, losses: list[float]) -> dict[str, Any]:
    return {**way.to_dict(), "seed": seed, "training": losses, "held_out": losses}


@pytest.fixture
def stored() -> dict[str, Any]:
    """E4M3 a little worse than float32 for sure, E3M4 much worse, and exact sums that may be better."""
    above = {
        FLOAT: (1.0, 1.0, 1.0),
        E4M3: (1.001, 1.002, 1.003),
        Way("e3m4"): (1.05, 1.05, 1.06),
        SUMS: (1.01, 1.03, 1.0),
        Way("e4m3", activations=True, accumulate="exact"): (1.02, 1.0, 1.0),
    }
    runs = [
        run(way, seed, [3.0, (2.0 + 0.1 * seed) * times[seed]])
        for way, times in above.items()
        for seed in range(3)
    ]
    facts = {
        "parameters": 1234,
        "layers": 2,
        "width": 64,
        "context": 16,
        "steps": 40,
        "batch": 4,
        "rate": 0.01,
    }
    text = {"text": "a text", "held_out_work": "a work", "held_out_characters": 99}
    return {**facts, **text, "runs": runs}


def test_ways_are_told_apart_and_read_back():
    assert len({way.label for way in WAYS}) == len(set(WAYS)) == len(WAYS)
    assert [way_of({**way.to_dict(), "seed": 0}) for way in WAYS] == list(WAYS)
    assert WAYS[0] == FLOAT


def test_what_is_quantized_and_how():
    forward, (of_input, of_weight) = E4M3.products()
    assert (forward.coded, of_input.coded, of_weight.coded) == ("b", "both", "a")
    assert forward == QuantizedProduct(
        DotSpec(element="e4m3", scale="ue8m0", block_size=32),
        method="floor",
        rounding=("nearest_even", "nearest_even"),
        coded="b",
        approximate=True,
    )
    unit = Way("e2m1", "ue4m3", 16, True, True, "stochastic", "aligned", 13)
    forward, (of_input, of_weight) = unit.products()
    assert forward.spec == DotSpec(scale="ue4m3", accumulate="aligned", fraction=13)
    assert (forward.coded, forward.approximate, forward.draws) == ("both", False, False)
    assert forward.method == "absmax"
    assert of_input == of_weight
    # Of a product's gradients, the gradient alone is rounded at random.
    assert of_input.rounding == ("stochastic", "nearest_even")
    assert of_input.tensor_scale
    assert all(way.products()[0].spec.block_size == way.block_size for way in WAYS if way.element)


def test_a_text_is_read_without_what_is_held_out(tmp_path):
    (tmp_path / "b_gut.txt").write_text("bcb")
    (tmp_path / "a_gut.txt").write_text("a")
    (tmp_path / "a_gut_f.txt").write_text("older spelling")
    message = f"{tmp_path} must hold {HELD_OUT} and other works, not lack them"
    check_messages([(ValueError, message, lambda: read_corpus(tmp_path))])
    (tmp_path / HELD_OUT).write_text("é")
    found = read_corpus(tmp_path)
    assert (found.training, found.held_out, found.characters) == ("a\nbcb", "é", "\nabcé")
    np.testing.assert_array_equal(found.training_tokens, [1, 0, 2, 3, 2])
    np.testing.assert_array_equal(found.held_out_tokens, [4])
    assert found.digest != Corpus("a\nbcb\0", "é").digest


def test_differences_are_taken_seed_by_seed(stored):
    runs = TrainingRuns(stored)
    assert runs.seeds == (0, 1, 2)
    assert runs.losses(FLOAT) == [2.0, 2.1, 2.2]
    found = runs.difference(FLOAT, E4M3)
    assert found is not None
    assert found.values == pytest.approx((0.1, 0.2, 0.3))
    assert runs.difference(FLOAT, Way("e5m2")) is None
    # A way that lacks a seed is not told of.
    stored["runs"] = [row for row in stored["runs"] if (way_of(row), row["seed"]) != (E4M3, 1)]
    assert E4M3 in TrainingRuns(stored).missing
    stored["runs"] = [row for row in stored["runs"] if row["seed"] == 0]
    with pytest.raises(ValueError, match=whole("runs must have float32 from at least 2 seeds, not 1")):
        TrainingRuns(stored)


def test_the_page_and_the_picture(stored, tmp_path):
    text = page_text(stored)
    assert (
        "Agrees, as good as float32 to 1 %: `e4m3`; does not agree: `e3m4`. `e4m3` +0.20 ± 0.25 % ~" in text
    )
    assert "Not decided. Exact against binary32 -0.64 ± 5.04 % ~. In the paper" in text
    assert "| e4m3 ue8m0 N=32 | 2.1043 | 2.0020 to 2.2066 | +0.20 ± 0.25 % ~ |" in text
    assert "Each run sees 2560 characters (40 steps of 4 windows)" in text
    assert "- Not trained yet: e5m2 ue8m0 N=32; " in text
    draw(stored, tmp_path / "a.svg")
    draw(stored, tmp_path / "b.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    for title in ("one byte, weights and gradients", "sums, e4m3", "held out, above float32"):
        assert title in drawn
    assert "FP4" not in drawn


@pytest.fixture
def trained(monkeypatch) -> list[tuple[Way, int]]:
    """What a module in the place of the one that needs torch was asked to train."""
    asked: list[tuple[Way, int]] = []

    def train(way, seed, *_, **__):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append((way, seed))
        return SimpleNamespace(training=(1.0,), held_out=(seed + 0.123456789,))

    fake = SimpleNamespace(parameters_of=lambda *_: 7, train=train)
    monkeypatch.setitem(sys.modules, "studies.training.training", fake)
    monkeypatch.setattr(measure, "version", lambda name: f"{name} 1")
    return asked


def test_runs_go_on_where_they_were_stopped(trained, tmp_path):
    corpus, path = Corpus("ab", "c"), tmp_path / "kept.jsonl"

    def keep(kept):
        write_stored(path, "a test", kept)

    def measured(stored, **options):
        return measure_runs(stored, corpus, [FLOAT, E4M3], seeds=(0, 1), keep=keep, **options)

    with pytest.raises(KeyboardInterrupt):
        measured({"runs": []})
    kept = read_stored(path)
    assert (
        [(way_of(row), row["seed"]) for row in kept["runs"]] == trained == [(FLOAT, 0), (FLOAT, 1), (E4M3, 0)]
    )
    assert kept["runs"][1]["held_out"] == [1.12346]
    assert (kept["torch"], kept["parameters"], kept["held_out_characters"]) == ("torch 1", 7, 4096)
    trained.clear()
    whole_run = measured(kept)
    assert trained == [(E4M3, 1)]
    assert read_stored(path) == whole_run
    trained.clear()
    assert measured(whole_run) == whole_run
    assert trained == []
    with pytest.raises(ValueError, match=whole("steps must be that of the runs that are kept, 600, not 24")):
        measured(whole_run, schedule=Schedule(steps=24))


def test_the_page_is_of_what_is_stored():
    page = ROOT / "docs" / PAGE
    assert page.exists() == (ROOT / STORED).exists(), "run make training-measure and make training"
    if page.exists():
        assert page_text(read_stored(ROOT / STORED)) == page.read_text(encoding="utf-8"), "run make training"


def test_the_write_command(stored, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    STORED.parent.mkdir(parents=True)
    write_stored(STORED, "a test", stored)
    assert main(["write"]) == 0
    assert (tmp_path / "docs" / PAGE).read_text() == page_text(stored)
    assert (tmp_path / "docs" / PICTURE).stat().st_size > 1000
    monkeypatch.setattr(measure, "find_spec", lambda _: None)
    assert main(["measure"]) == 2
    assert capsys.readouterr().err == (
        "training: torch must be installed to train, not missing: make training-measure installs it\n"
    )


def test_some_ways_alone():
    assert chosen_ways(["e4m3", "exact"]) == [Way("e4m3", activations=True, accumulate="exact")]
    assert chosen_ways([]) == list(WAYS)
    with pytest.raises(ValueError, match=whole("only must be words of the ways' labels, not 'e9m9'")):
        chosen_ways(["e9m9"])


def test_the_learning_rate_rises_and_falls():
    schedule = Schedule(steps=100, points=1)
    rates = [schedule.learning_rate(step) for step in range(100)]
    assert rates[4] == max(rates) == schedule.rate
    assert rates[:5] == sorted(rates[:5])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.1 * schedule.rate, rel=0.02)
    with pytest.raises(ValueError, match=whole("steps must be a multiple of points, 3, not 100")):
        Schedule(steps=100, points=3)
