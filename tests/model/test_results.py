"""Results of 16 bits: of binary32 sums against numpy and ml_dtypes, of exact ones against fractions."""

import dataclasses
from fractions import Fraction
from math import isnan

import ml_dtypes
import numpy as np
import pytest
from blockdot.model import DotSpec, matmul, quantize
from blockdot.model.aligned_sum import RESULTS
from blockdot.sim import random
from messages import check_messages
from reference import Dot, add, floor_log2, from_binary32, is_finite

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


def nearest(value: Fraction | float, result: str) -> int:
    """The bits of a number of 16 bits that is the nearest, ties to even."""
    fields = RESULTS[result].fields
    sign = 1 << 15 if value < 0 else 0
    infinity = fields.infinity_field << fields.fraction_bits
    if not is_finite(value):
        return infinity | 1 << fields.fraction_bits - 1 if isnan(value) else sign | infinity
    exponent = max(floor_log2(abs(value)) if value else -999, 1 - fields.bias)
    count = abs(Fraction(value)) / Fraction(2) ** (exponent - fields.fraction_bits)
    whole = round(count)  # ties to even
    # The hidden bit adds one to the exponent field, and so does a carry.
    return sign | min((exponent + fields.bias - 1 << fields.fraction_bits) + whole, infinity)


@pytest.mark.parametrize(
    "name",
    [
        "e2m1_ue4m3_n16_none_bfloat16",
        "e2m1_ue8m0_n4_b2_none_binary16",
        "e2m1_ue5m3_n4_exact_bfloat16",
        "e5m2_ue4m3_n2_exact_binary16_c",
        "e2m1_ue8m0_n2_exact_g3_bfloat16_c",
    ],
)
def test_an_exact_value_is_rounded_once(name: str, seed: int) -> None:
    spec = DotSpec.parse(name)
    stimulus = random(spec, 300, seed=seed, longest=4)
    (element_a, element_b), (scale_a, scale_b) = spec.elements, spec.scales
    dot = Dot(element_a.name, element_b.name, scale_a.name, scale_b.name, spec.accumulate)
    expected = []
    for start, end in zip(*stimulus.sums, strict=True):
        total: Fraction | float = Fraction(0) if stimulus.c is None else from_binary32(int(stimulus.c[start]))
        part = slice(start, end + 1)
        arrays = (stimulus.a, stimulus.b, stimulus.a_scale, stimulus.b_scale)
        for group in zip(*(array[part].tolist() for array in arrays), strict=True):
            value = dot.group(*group)
            total = add(total, value * dot.unit if is_finite(value) else value)
        expected.append(nearest(total, spec.result))
    np.testing.assert_array_equal(stimulus.expected(), np.array(expected, np.uint32))


def test_a_sum_in_binary32_is_rounded_twice_and_an_exact_one_once() -> None:
    """1 + 2^-8 + 2^-30 is above a tie of bfloat16, and binary32 rounds it onto that."""
    a = np.full((3, 1, 2), 0, np.uint8)
    a[:, :, 0] = 2
    scales = np.array([[127], [127 - 8], [127 - 30]], np.uint8)
    ones = np.full((3, 1), 127, np.uint8)
    for accumulate, wanted in (("fp32", 1.0), ("exact", 1 + 2.0**-7)):
        spec = DotSpec(scale="ue8m0", block_size=2, accumulate=accumulate, result="bfloat16")
        assert spec.compute(a, np.full_like(a, 2), scales, ones) == wanted


@pytest.mark.parametrize("accumulate", ["fp32", "aligned"])
def test_a_product_of_matrices_has_the_same_results(accumulate: str, rng: np.random.Generator) -> None:
    spec = DotSpec(scale="ue4m3", block_size=8, accumulate=accumulate, result="bfloat16")
    plain = dataclasses.replace(spec, result="binary32")
    numbers = (rng.normal(size=(rows, 64)).astype(np.float32) for rows in (30, 20))
    A, B = (quantize(x, scale="ue4m3", block_size=8) for x in numbers)
    wanted = matmul(plain, A, B).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(matmul(spec, A, B), wanted)


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
def test_a_product_of_matrices_is_rounded_once(scale: str, rng: np.random.Generator) -> None:
    spec = DotSpec(scale=scale, block_size=8, accumulate="exact", result="bfloat16")
    numbers = (rng.normal(size=(rows, 64)).astype(np.float32) for rows in (6, 5))
    A, B = (quantize(x, scale=scale, block_size=8) for x in numbers)
    product = matmul(spec, A, B)
    (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
    for i, j in ((0, 0), (2, 3), (5, 4)):
        codes = (a[i, :, None], b[j, :, None], a_scale[i, :, None], b_scale[j, :, None])
        assert product[i, j] == spec.compute(*codes)


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
                "result must be one of binary32, binary16, bfloat16 for accumulate='exact', not 'e8m13'",
                lambda: DotSpec(accumulate="exact", result="e8m13"),
            ),
        ]
    )
