"""Results times a tensor scale: against fractions, and products of matrices against them."""

from dataclasses import replace

import numpy as np
import pytest
from blockdot.model import BlockTensor, DotSpec, matmul, quantize
from blockdot.model.matmul import tensor_factor
from blockdot.sim import random
from messages import check_messages, untyped
from reference import binary32, from_binary32, is_finite, multiply, special32

NAMES = (
    "e2m1_ue4m3_n16_none_tensor",
    "e2m1_ue8m0_n4_b2_none_tensor",
    "e2m1_ue4m3_n4_fp32_tensor",
    "e5m2_ue8m0_n2_fp32_tensor",
    "e2m1_ue5m3_n4_exact_g20_tensor",
    "e2m1_ue4m3_n16_b4_aligned_tensor",
    "e4m3_none_n4_aligned_f25_t1_z133_tensor",
    "e4m3_ue8m0_n2_chain_tensor",
)
# Zeros, ends of the subnormal and of the normal numbers, one and what is beside it, infinity and NaN.
CORNERS = [0, 1, 0x7FFFFF, 0x800000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x7F7FFFFF, 0x7F800000, 0x7F800001]


def product(result: int, g: int) -> int:
    """The IEEE product of two binary32 numbers, by fractions."""
    a, b = from_binary32(result), from_binary32(g)
    exact = multiply(a, b)
    sign = (result ^ g) & 0x80000000
    if not is_finite(exact):
        return special32(exact)
    return binary32(abs(exact)) | sign


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_multiplied_as_a_fraction_and_rounded_once(name: str, seed: int) -> None:
    spec = DotSpec.parse(name)
    plain = replace(spec, tensor_scale=False)
    assert spec.name == name == f"{plain.name}_tensor"
    stimulus = random(spec, 600, seed=seed, longest=3)
    assert stimulus.g is not None
    g = stimulus.g.copy()
    g[: 2 * len(CORNERS)] = [code | sign for code in CORNERS for sign in (0, 1 << 31)]
    stimulus = replace(stimulus, g=g, source=None)
    results = replace(stimulus, spec=plain, g=None, source=None).expected()
    factors = g[stimulus.sums[1]]
    expected = [product(*pair) for pair in zip(results.tolist(), factors.tolist(), strict=True)]
    start = stimulus.undefined_count
    np.testing.assert_array_equal(stimulus.expected()[start:], np.array(expected, np.uint32)[start:])
    # All kinds of products were met.
    magnitudes = np.array(expected) & 0x7FFFFFFF
    for low, high in ((0, 1), (1, 0x800000), (0x800000, 0x7F800000), (0x7F800000, 0x7F800001)):
        assert ((magnitudes >= low) & (magnitudes < high)).any()
    assert 0x7FC00000 in expected


def test_a_product_of_32_bit_numbers_is_that_of_numpy(rng: np.random.Generator) -> None:
    spec = DotSpec(tensor_scale=True)
    bits = rng.integers(0, 1 << 32, (2, 20_000), dtype=np.uint32)
    a, b = bits.view(np.float32)
    with np.errstate(all="ignore"):
        wanted = a * b
    seen = spec.multiplied(a, b)
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(wanted))
    number = ~np.isnan(wanted)
    np.testing.assert_array_equal(seen[number].view(np.uint32), wanted[number].view(np.uint32))
    assert set(seen[~number].view(np.uint32).tolist()) == {0x7FC00000}


@pytest.mark.parametrize(
    "scales", [(3.1e-4, 7.7e-3), (1e-30, 3e-20), (1e-30, 1e-30), (1e30, 1e30), (1.0, 1.0)]
)
@pytest.mark.parametrize("accumulate", ["fp32", "exact", "aligned"])
def test_units_that_multiply_give_the_bits_of_a_product_of_tensors(
    accumulate: str, scales: tuple[float, float], rng: np.random.Generator
) -> None:
    spec = DotSpec(scale="ue4m3", block_size=8, accumulate=accumulate, tensor_scale=True)
    plain = replace(spec, tensor_scale=False)
    tensors: list[BlockTensor] = []
    for rows, scale in zip((5, 4), scales, strict=True):
        made = quantize(rng.normal(size=(rows, 32)).astype(np.float32), scale="ue4m3", block_size=8)
        tensors.append(replace(made, tensor_scale=float(np.float32(scale))))
    A, B = tensors
    wanted = matmul(plain, A, B)
    np.testing.assert_array_equal(matmul(spec, A, B).view(np.uint32), wanted.view(np.uint32))
    (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
    for i, j in ((0, 0), (1, 3), (4, 2)):
        codes = a[i, :, None], b[j, :, None], a_scale[i, :, None], b_scale[j, :, None]
        seen = spec.compute(*codes, g=np.float32(tensor_factor(A, B)))
        assert seen.tobytes() == wanted[i, j].tobytes()


def test_what_cannot_be_multiplied_is_refused() -> None:
    spec = DotSpec(block_size=2, accumulate="fp32", tensor_scale=True)
    none = DotSpec(block_size=2, tensor_scale=True)
    plain = DotSpec(block_size=2, accumulate="fp32")
    codes, scales = np.zeros((3, 4, 1, 2), np.uint8), np.zeros((3, 4, 1), np.uint8)
    g = np.ones(3, np.float32)

    def computed(which: DotSpec, g: object) -> object:
        return lambda: which.compute(codes, codes, scales, scales, g=untyped(g))

    name = "e2m1_ue5m3_n2_fp32"
    check_messages(
        [
            (TypeError, "tensor_scale must be a bool, not 1", lambda: DotSpec(tensor_scale=untyped(1))),
            (
                ValueError,
                "tensor_scale must be False where takes_c is True, not True",
                lambda: DotSpec(accumulate="fp32", takes_c=True, tensor_scale=True),
            ),
            (
                ValueError,
                "tensor_scale must be False for result='bfloat16', not True",
                lambda: DotSpec(result="bfloat16", tensor_scale=True),
            ),
            (ValueError, f"g must be given for {name}_tensor", untyped(computed(spec, None))),
            (ValueError, f"g must not be given for {name}", untyped(computed(plain, g))),
            (TypeError, "g must be float32, not float64", untyped(computed(spec, np.ones(3)))),
            (
                ValueError,
                f"g must be shaped (3,) for {name}_tensor, not (2,)",
                untyped(computed(spec, g[:2])),
            ),
            (
                ValueError,
                "g must be shaped (3, 4) for e2m1_ue5m3_n2_none_tensor, not (3,)",
                untyped(computed(none, g)),
            ),
        ]
    )
