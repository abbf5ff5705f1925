"""The training of the study, with torch and on a very small model: `make clients`."""

from importlib import import_module
from typing import Any

import pytest

from studies.training.corpus import Corpus
from studies.training.schedule import ModelSize, Schedule
from studies.training.ways import FLOAT, Way

torch = pytest.importorskip("torch", reason="`make clients` installs it")
training = import_module("studies.training.training")
model = import_module("studies.training.character_model")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]

CORPUS = Corpus("to be or not to be, " * 40, "or not to be, to be " * 10)
SIZE = ModelSize(layers=1, width=32, heads=2, context=16)


def trained(way: Way, seed: int = 0, *, steps: int = 40) -> Any:
    schedule = Schedule(steps=steps, batch=4, rate=1e-2, points=2, held_out_windows=4)
    return training.train(way, seed, CORPUS, size=SIZE, schedule=schedule)


@pytest.mark.parametrize(
    "way",
    [
        FLOAT,
        Way("e4m3"),
        Way("e2m1", "ue5m3", 16, activations=True, tensor_scale=True, gradients="stochastic"),
        Way("e4m3", activations=True, accumulate="exact"),
    ],
    ids=lambda way: way.label,
)
def test_the_loss_falls_and_a_seed_says_everything(way):
    found = trained(way)
    assert len(found.training) == len(found.held_out) == 2
    assert found.held_out[1] < 0.8 * found.held_out[0]
    one = trained(way, steps=2)
    assert one == trained(way, steps=2) != trained(way, 1, steps=2)


def test_ways_start_alike_and_differ_by_what_is_quantized():
    plain, coarse, fine = (trained(way, steps=2) for way in (FLOAT, Way("e2m1"), Way("e4m3")))
    # The first step's loss is of the same weights and windows.
    for other in (coarse, fine):
        assert 0 < abs(other.training[0] - plain.training[0]) < 0.01
    rounded, exact, narrow = (
        trained(way, steps=2)
        for way in (
            Way("e4m3", activations=True, accumulate="fp32"),
            Way("e4m3", activations=True, accumulate="exact"),
            Way("e4m3", activations=True, accumulate="aligned", fraction=8),
        )
    )
    assert rounded.training[0] == pytest.approx(exact.training[0], rel=1e-5)
    assert narrow.training[0] != pytest.approx(exact.training[0], rel=1e-5)


def test_all_layers_but_the_head_are_quantized():
    made = model.CharacterModel(SIZE, 8)
    forward, backward = Way("e4m3").products()
    turned = import_module("blockdot.torch").quantize_model(
        made, forward, backward=backward, leave_alone=[model.HEAD]
    )
    assert turned == tuple(f"layers.0.{name}" for name in ("attend", "project", "widen", "narrow"))


def test_what_comes_later_is_not_seen():
    made = model.CharacterModel(SIZE, 8)
    tokens = torch.arange(8).reshape(1, 8)
    other = torch.where(tokens == 7, 0, tokens)
    with torch.no_grad():
        torch.testing.assert_close(made(tokens)[:, :7], made(other)[:, :7])
        assert not torch.equal(made(tokens)[:, 7], made(other)[:, 7])
    assert training.parameters_of(SIZE, CORPUS) == sum(
        one.numel() for one in model.CharacterModel(SIZE, len(CORPUS.characters)).parameters()
    )
