"""What is put into a dequantizer: every code under every scale, and the same again from the same seed."""

import numpy as np
import pytest
from blockdot.hw import DequantizerConfig
from blockdot.model.dequantizer import DequantizerSpec
from blockdot.sim import run
from blockdot.sim.dequantizer_stimulus import DequantizerStimulus, directed, random
from blockdot.verify import compare
from messages import check_messages

SPEC = DequantizerSpec(scale="ue3m2", block_size=4)


def test_every_code_meets_every_scale_in_every_lane() -> None:
    stimulus = directed(SPEC)
    assert stimulus.vectors == 16 << 5
    for lane in range(4):
        met = set(zip(stimulus.codes[:, lane].tolist(), stimulus.scales.tolist(), strict=True))
        assert len(met) == stimulus.vectors


def test_random_codes_come_from_the_seed() -> None:
    one, again, other = (random(SPEC, 50, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.codes, again.codes)
    np.testing.assert_array_equal(one.scales, again.scales)
    assert (one.codes != other.codes).any()
    assert "scale" in one.vector_text(0)[0]
    assert "(bf16: 1 -0 " in one.result_text(0x3F80 | 0x8000 << 16)


# Two numbers of bf16 are one word, which results of one word have no row of.
@pytest.mark.parametrize(("size", "stages"), [(4, 0), (4, 2), (2, 1)])
def test_the_unit_gives_what_the_model_does(size: int, stages: int, seed: int) -> None:
    spec = DequantizerSpec(scale="ue3m2", block_size=size)
    config = DequantizerConfig(spec, stages=stages)
    stimulus = random(spec, 60, seed=seed)
    comparison = compare(config, stimulus, run(config.build(), stimulus, engine="pysim"), engine="pysim")
    assert comparison.equal, str(comparison)
    assert comparison.compared == 60


def test_what_does_not_fit_is_refused() -> None:
    check_messages(
        [
            (
                ValueError,
                f"codes must be shaped (vectors, 4) for {SPEC.name}, not (2, 3)",
                lambda: DequantizerStimulus(
                    spec=SPEC, codes=np.zeros((2, 3), np.uint8), scales=np.zeros(2, np.uint8)
                ),
            ),
            (
                ValueError,
                "scales must be shaped (2,) to fit codes, not (3,)",
                lambda: DequantizerStimulus(
                    spec=SPEC, codes=np.zeros((2, 4), np.uint8), scales=np.zeros(3, np.uint8)
                ),
            ),
            (ValueError, "vectors must be at least 1, not 0", lambda: random(SPEC, 0, seed=0)),
        ]
    )
