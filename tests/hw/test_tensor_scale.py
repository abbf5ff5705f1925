"""Units that multiply their results by a tensor scale, against the model."""

import re
from pathlib import Path

import numpy as np
import pytest
from blockdot.hw import DotUnit, UnitConfig
from blockdot.model import DotSpec
from blockdot.sim import from_blocks, random, run
from blockdot.verify import compare
from blockdot.verify.coverage.directed import directed

STEPS = ("tensor_read", "tensor_compress", "tensor_add", "tensor_normalise", "tensor_round")

NAMES = [
    "e2m1_ue4m3_n2_none_tensor_s0",
    "e2m1_ue4m3_n2_none_tensor_s3",
    "e2m1_ue8m0_n2_none_tensor_s1_delay",
    "e2m1_ue4m3_n2_fp32_tensor_s1",
    "e2m1_ue4m3_n2_fp32_tensor_s1_delay",
    "e2m1_ue8m0_n2_fp32_tensor_s4",
    "e2m1_ue4m3_n2_exact_g3_tensor_s12",
    "e2m1_ue4m3_n2_exact_g3_tensor_s3_segment8",
    "e2m1_ue4m3_n2_aligned_tensor_s2_delay",
    "e5m2_ue4m3_n2_none_tensor_s2_order3",
    "e4m3_ue8m0_n2_chain_tensor_s5",
]


# Compiled, as Amaranth's own simulator needs minutes for a multiplier: and so one case in `make test`.
@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.matrix) for name in NAMES[1:])]
)
def test_a_unit_gives_the_bits_of_the_model(name: str, seed: int, tmp_path: Path) -> None:
    unit = UnitConfig.parse(name)
    stimuli = [directed(unit.spec), random(unit.spec, 4000, seed=seed, longest=3)]
    stimulus = stimuli[1].join([stimuli[0]])
    component = unit.build()
    response = run(component, stimulus, engine="cxxrtl", build_dir=tmp_path)
    comparison = compare(unit, stimulus, response, engine="cxxrtl")
    assert comparison.equal, str(comparison)


def test_only_the_last_input_of_a_sum_says_what_it_is_multiplied_by() -> None:
    spec = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32", tensor_scale=True)
    one = 0x38
    codes, scales = np.full((2, 3, 1, 2), 2, np.uint8), np.full((2, 3, 1), one, np.uint8)
    stimulus = from_blocks(spec, codes, codes, scales, scales, g=np.array([0.5, -3.0], np.float32))
    assert stimulus.g is not None
    g = stimulus.g.copy()
    g[~stimulus.last] = 0x7FC00000
    other = type(stimulus)(
        **{part: getattr(stimulus, part) for part in stimulus.PARTS} | {"spec": spec, "g": g}
    )
    results = run(DotUnit(spec, stages=2), other, engine="pysim").results
    # Three groups of 1 * 1 twice.
    assert results.view(np.float32).tolist() == [3.0, -18.0]


def test_what_cannot_occur_is_not_built() -> None:
    """Of an exact value of 20 bits no more is multiplied, and only g is made normal."""
    for name, bits in (
        ("e2m1_ue4m3_n16_none_tensor", 24 + 19),
        ("e2m1_ue4m3_n16_fp32_tensor", 48),
        ("e2m1_ue8m0_n16_none_tensor", 48),
    ):
        spec = DotSpec.parse(name)
        unit = DotUnit(spec, stages=int(spec.accumulates))
        assert unit.widths["tensor_scale_product"] == bits
        assert unit.steps[-5:] == STEPS
        assert unit.ports[-2 if unit.stages == 0 else -4].name == "i_g"


def test_a_tile_with_a_tensor_scale_is_refused() -> None:
    message = "tile must be None for e2m1_ue5m3_n2_fp32_tensor, whose results a unit multiplies"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        UnitConfig(DotSpec(block_size=2, accumulate="fp32", tensor_scale=True), tile=(2, 2))
