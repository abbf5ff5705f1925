"""Results of 16 bits that a binary32 sum is rounded to at its end: against numpy and ml_dtypes."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest
from blockdot.model import DotSpec, matmul, quantize
from blockdot.sim import random
from messages import check_messages

TYPES = {"binary16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@pytest.mark.parametrize(
    "name",
    [
        "e2m1_ue4m3_n4_fp32_binary16",
        "e2m1_ue8m0_n4_fp32_binary16_c",
        "e2m1_ue8m0_n4_b2_fp32_bfloat16",
        "e5m2_ue4m3_n2_fp32_bfloat16_c",
        "e2m1_ue4m3_n16_b4_aligned_bfloat16",
        "bf16_none_n2_aligned_f24_t1_z132_bfloat16_c",
    ],
)
def test_a_result_is_the_sum_in_binary32_rounded_once_more(name: str, seed: int) -> None:
    spec = DotSpec.parse(name)
    assert spec.name == name
    stimulus = random(spec, 1500, seed=seed)
    plain = dataclasses.replace(stimulus, spec=dataclasses.replace(spec, result="binary32"), source=None)
    sums = plain.expected().view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = sums.astype(TYPES[spec.result]).view(np.uint16)
    numbers = ~np.isnan(sums)
    got = stimulus.expected()
    np.testing.assert_array_equal(got[numbers], wanted[numbers])
    assert set(got[~numbers].tolist()) == {0x7E00 if spec.result == "binary16" else 0x7FC0}
    assert numbers.sum() > 100


@pytest.mark.parametrize("accumulate", ["fp32", "aligned"])
def test_a_product_of_matrices_has_the_same_results(accumulate: str, rng: np.random.Generator) -> None:
    spec = DotSpec(scale="ue4m3", block_size=8, accumulate=accumulate, result="bfloat16")
    plain = dataclasses.replace(spec, result="binary32")
    numbers = (rng.normal(size=(rows, 64)).astype(np.float32) for rows in (30, 20))
    A, B = (quantize(x, scale="ue4m3", block_size=8) for x in numbers)
    wanted = matmul(plain, A, B).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(matmul(spec, A, B), wanted)


def test_what_an_accumulation_does_not_give_is_refused() -> None:
    check_messages(
        [
            (
                ValueError,
                "result must be one of binary32, binary16, bfloat16 for accumulate='fp32', not 'e8m13'",
                lambda: DotSpec(accumulate="fp32", result="e8m13"),
            ),
            (
                ValueError,
                "result must be one of binary32, e8m13, binary16, bfloat16 for accumulate='aligned', "
                "not 'fp8'",
                lambda: DotSpec(accumulate="aligned", result="fp8"),
            ),
            (
                ValueError,
                "result must be binary32 for accumulate='exact', not 'bfloat16'",
                lambda: DotSpec(accumulate="exact", result="bfloat16"),
            ),
        ]
    )
