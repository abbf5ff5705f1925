"""Steps in which the exponent that a zero reads decides a bit, and where there can be none."""

from dataclasses import replace

import numpy as np
import pytest
from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS
from blockdot.sim.random_stimulus import bulk, random
from blockdot.sim.stimulus import Stimulus, from_blocks
from blockdot.sim.zero_exponents import draw_small_steps, zero_exponent_counts

CORES = {preset.spec: name for name, preset in reversed(PRESETS.items())}
COUNTS = [spec for spec in CORES if zero_exponent_counts(spec)]
MORE = [DotSpec.parse(f"{name}_aligned") for name in ("e2m1_ue8m0_n8", "int8_ue8m0_n16", "e5m2_ue8m0_n32")]


def differ(stimulus: Stimulus) -> tuple[int, int]:
    """Count the results that differ where a zero reads one exponent less, and one more."""
    spec, results = stimulus.spec, stimulus.expected()
    others = [replace(spec, zero_exponent=spec.zero_exponent + more) for more in (-1, 1)]
    less, more = (int((replace(stimulus, spec=other).expected() != results).sum()) for other in others)
    return less, more


def test_which_presets_have_a_zero_that_counts() -> None:
    """Where products of the least numbers are below what is cut off, and nowhere else."""
    assert sorted(CORES[spec] for spec in COUNTS) == [
        "ampere-bf16",
        "ampere-tf32",
        "blackwell-mx-e2m1",
        "blackwell-mx-e2m3",
        "blackwell-mx-e3m2",
        "blackwell-mx-e4m3",
        "blackwell-mx-e5m2",
        "blackwell-mxfp4",
        "hopper-bf16",
        "hopper-tf32",
        "turing-fp16-fp16",
        "volta-fp16-fp16",
    ]
    assert all(zero_exponent_counts(spec) for spec in MORE)
    assert not zero_exponent_counts(DotSpec(scale="ue8m0", accumulate="fp32"))


@pytest.mark.parametrize("spec", [*COUNTS, *MORE], ids=str)
def test_small_steps_notice_an_exponent_that_is_one_off(spec: DotSpec, rng: np.random.Generator) -> None:
    codes = draw_small_steps(spec, 3000, rng)
    stimulus = from_blocks(spec, *(array[:, np.newaxis] for array in codes))
    assert min(differ(stimulus)) > 0
    # Not in the sign of a zero alone.
    results = stimulus.expected()
    assert len(np.unique(results & (1 << spec.result_format.bits - 1) - 1)) > 3


@pytest.mark.parametrize("spec", [spec for spec in CORES if spec not in COUNTS], ids=CORES.get)
def test_elsewhere_not_even_the_least_numbers_notice_it(spec: DotSpec, rng: np.random.Generator) -> None:
    count = 500
    # The least codes of all, of either sign.
    a, b = (
        rng.integers(0, 4, (count, 2, spec.blocks, spec.block_size)).astype(fmt.dtype)
        | rng.integers(0, 2, (count, 2, spec.blocks, spec.block_size)).astype(fmt.dtype)
        << fmt.dtype.type(fmt.magnitude_bits)
        for fmt in spec.elements
    )
    a_scale, b_scale = (
        rng.integers(0, 4 if spec.has_scales else 1, (count, 2, spec.blocks)).astype(fmt.dtype)
        for fmt in spec.scales
    )
    assert differ(from_blocks(spec, a, b, a_scale, b_scale)) == (0, 0)


@pytest.mark.parametrize(
    "spec",
    [
        spec if CORES[spec] in ("volta-fp16-fp16", "blackwell-mx-e2m1") else matrix
        for spec in COUNTS
        for matrix in [pytest.param(spec, marks=pytest.mark.matrix)]
    ],
    ids=CORES.get,
)
def test_random_stimulus_notices_an_exponent_that_is_one_off(spec: DotSpec, seed: int) -> None:
    assert min(differ(random(spec, 16_000, seed=seed))) > 0
    assert min(differ(random(replace(spec, takes_c=True), 16_000, seed=seed))) > 0


@pytest.mark.matrix
@pytest.mark.parametrize("spec", COUNTS, ids=CORES.get)
def test_bulk_stimulus_notices_it_too(spec: DotSpec, seed: int) -> None:
    assert min(differ(bulk(spec, 200_000, seed=seed))) > 0
