"""Sums that start at C: against fractions, and products of matrices against them."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from aligned_steps import TensorCore
from blockdot.model import DotSpec, matmul, quantize
from blockdot.sim import Stimulus, random
from messages import check_messages, untyped
from reference import Dot, add, add32, binary32, from_binary32, is_finite, special32

FP32_AND_EXACT = (
    "e2m1_ue4m3_n4_fp32_c",
    "e2m1_ue8m0_n4_b2_fp32_c",
    "e5m2_ue5m3_n2_fp32_c",
    "e2m1_ue4m3_n4_exact_c",
    "e2m1_ue8m0_n2_b2_exact_g4_c",
    "e5m2_ue4m3_n2_exact_c",
)
ALIGNED = (
    "e2m1_ue4m3_n16_b2_aligned_c",
    "e2m1_ue8m0_n4_aligned_f12_z133_c",
    "e4m3_none_n4_aligned_f13_t1_z133_e8m13_c",
    "e5m2_ue8m0_n2_aligned_f13_t1_z20_e8m13_c",
    "fp16_none_n4_aligned_f23_t1_z20_binary16_c",
    "bf16_none_n2_aligned_f24_t1_z132_c",
)


def sums_of(stimulus: Stimulus) -> list[tuple[int, list[Any]]]:
    """What each sum that gives a result starts at, and lists of its codes."""
    assert stimulus.c is not None
    found = []
    for start, end in zip(*stimulus.sums, strict=True):
        part = slice(start, end + 1)
        arrays = (stimulus.a, stimulus.b, stimulus.a_scale, stimulus.b_scale)
        found.append((int(stimulus.c[start]), [array[part].tolist() for array in arrays]))
    return found


def canonical(bits: int) -> int:
    return 0x7FC00000 if bits & 0x7FFFFFFF > 0x7F800000 else bits


@pytest.mark.parametrize("name", FP32_AND_EXACT)
def test_fp32_and_exact_sums_are_those_of_fractions(name: str, seed: int) -> None:
    spec = DotSpec.parse(name)
    stimulus = random(spec, 400, seed=seed, longest=5)
    (element_a, element_b), (scale_a, scale_b) = spec.elements, spec.scales
    dot = Dot(element_a.name, element_b.name, scale_a.name, scale_b.name, spec.accumulate)
    expected = []
    for c, codes in sums_of(stimulus):
        groups = [dot.group(*group) for group in zip(*codes, strict=True)]
        if spec.accumulate == "fp32":
            bits = canonical(c)
            for group in groups:
                bits = add32(bits, dot.rounded(group))
            expected.append(bits)
            continue
        total: Fraction | float = from_binary32(c)
        for group in groups:
            total = add(total, group * dot.unit if is_finite(group) else group)
        expected.append(binary32(total) if is_finite(total) else special32(total))
    np.testing.assert_array_equal(stimulus.expected(), np.array(expected, np.uint32))
    assert len(expected) > 60


@pytest.mark.parametrize("name", ALIGNED)
def test_aligned_sums_are_those_of_fractions(name: str, seed: int) -> None:
    spec = DotSpec.parse(name)
    stimulus = random(spec, 250, seed=seed, longest=4)
    a, b = (fmt.name for fmt in spec.elements)
    scales = spec.scales[0].name, spec.scales[1].name
    core = TensorCore(
        (a, b),
        scales if spec.has_scales else None,
        spec.fraction,
        spec.zero_exponent,
        spec.term_size != 1,
        spec.result,
    )
    expected = []
    for c, codes in sums_of(stimulus):
        # What sums of 13 bits do not have of C is cut off; of a NaN, which has none, nothing.
        cut = spec.result == "e8m13" and c & 0x7FFFFFFF <= 0x7F800000
        bits = c & ~0x3FF if cut else c
        for group in zip(*(codes if spec.has_scales else codes[:2]), strict=True):
            bits = core.step(bits, *group)
        expected.append(bits)
    np.testing.assert_array_equal(stimulus.expected(), np.array(expected, np.uint32))


def test_c_of_minus_zero_changes_no_fp32_sum_and_plus_zero_none_of_the_others(seed: int) -> None:
    for accumulate, zero in (("fp32", -0.0), ("exact", 0.0), ("exact", -0.0), ("aligned", 0.0)):
        plain = DotSpec(scale="ue8m0", block_size=4, accumulate=accumulate)
        one = random(plain, 300, seed=seed, longest=1)
        codes = [array[:, np.newaxis] for array in (one.a, one.b, one.a_scale, one.b_scale)]
        c = np.full(300, zero, np.float32)
        started = DotSpec(scale="ue8m0", block_size=4, accumulate=accumulate, takes_c=True)
        np.testing.assert_array_equal(
            started.compute(*codes, c=c).view(np.uint32), plain.compute(*codes).view(np.uint32)
        )


def test_an_exact_sum_is_rounded_once_however_far_c_lies_from_it() -> None:
    """1 + 2^-24, a tie, is rounded up by anything above it, and to even by nothing."""
    spec = DotSpec(element="e4m3", scale="ue8m0", block_size=2, accumulate="exact", takes_c=True)
    one = int(spec.elements[0].encode(1.0))
    codes = np.full((1, 1, 2), one, np.uint8), np.array([[[one, 0]]], np.uint8)
    for c, exponent, wanted in (
        (2.0**-24 + 2.0**-47, 0, 1 + 2.0**-23),
        (2.0**-24, 0, 1.0),
        (2.0**-149, 0, 1.0),
        (-(2.0**-149), -149, 0.0),
        (2.0**127, -140, 2.0**127),
    ):
        half = exponent // 2
        scales = [np.full((1, 1), 127 + part, np.uint8) for part in (half, exponent - half)]
        assert spec.compute(*codes, *scales, c=np.float32(c)) == wanted


@pytest.mark.parametrize("accumulate", ["fp32", "exact", "aligned"])
def test_a_product_of_matrices_starts_at_c(accumulate: str, rng: np.random.Generator) -> None:
    spec = DotSpec(scale="ue4m3", block_size=8, accumulate=accumulate, takes_c=True)
    numbers = (rng.normal(size=(rows, 48)).astype(np.float32) for rows in (9, 7))
    A, B = (quantize(x, scale="ue4m3", block_size=8) for x in numbers)
    C = rng.normal(0, 30, (9, 7)).astype(np.float32)
    C[0, :4] = np.nan, np.inf, -0.0, 2e38
    product = matmul(spec, A, B, C)
    (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
    for i, j in ((0, 0), (0, 1), (0, 2), (0, 3), (3, 4), (8, 6)):
        wanted = spec.compute(
            a[i, :, None], b[j, :, None], a_scale[i, :, None], b_scale[j, :, None], c=C[i, j]
        )
        assert product[i, j].tobytes() == wanted.tobytes()


def test_what_cannot_start_a_sum_is_refused() -> None:
    spec = DotSpec(block_size=2, accumulate="fp32", takes_c=True)
    plain = DotSpec(block_size=2, accumulate="fp32")
    half = DotSpec.parse("e2m1_none_n2_aligned_f24_t1_z20_binary16_c")
    codes = np.zeros((3, 1, 1, 2), np.uint8)
    scales = np.zeros((3, 1, 1), np.uint8)
    c = np.zeros(3, np.float32)
    A = quantize(np.ones((2, 4), np.float32), scale="ue4m3", block_size=2, tensor_scale=True)
    of_a = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32", takes_c=True)
    C = np.zeros((2, 2), np.float32)
    name = "e2m1_ue5m3_n2_fp32"
    check_messages(
        [
            (
                ValueError,
                "takes_c must be False for accumulate='none', not True",
                lambda: DotSpec(takes_c=True),
            ),
            (
                TypeError,
                "takes_c must be a bool, not 1",
                lambda: DotSpec(accumulate="fp32", takes_c=untyped(1)),
            ),
            (
                ValueError,
                f"c must be given for {name}_c",
                lambda: spec.compute(codes, codes, scales, scales),
            ),
            (
                ValueError,
                f"c must not be given for {name}",
                lambda: plain.compute(codes, codes, scales, scales, c=c),
            ),
            (
                TypeError,
                "c must be float32, not float64",
                lambda: spec.compute(codes, codes, scales, scales, c=np.zeros(3)),
            ),
            (
                ValueError,
                f"c must be shaped (3,) for {name}_c, not (2,)",
                lambda: spec.compute(codes, codes, scales, scales, c=c[:2]),
            ),
            (
                ValueError,
                f"c must have numbers of binary16 for {half.name}, not 70000.0",
                lambda: half.compute(codes, codes, c=np.array([0, np.nan, 70000], np.float32)),
            ),
            (
                ValueError,
                f"A must have a tensor scale of 1 where C is given, not {A.tensor_scale}",
                lambda: matmul(of_a, A, A, C),
            ),
            (ValueError, f"C must be given for {of_a.name}", lambda: matmul(of_a, A, A)),
        ]
    )
