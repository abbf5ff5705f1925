"""Chains of binary32 operations: against fractions, and where they are not what ``fp32`` is."""

import numpy as np
import pytest
from blockdot.model import DotSpec, matmul, quantize
from blockdot.model.accumulate.chain import chain_is_exact, exact_products, first_scale_is_exact
from messages import check_messages
from reference import Dot

NAMES = (
    "e2m1_ue8m0_n4_chain",
    "e2m1_ue5m3_n16_chain",
    "e4m3_ue8m0_n8_chain",
    "e4m3_ue4m3_n4_chain",
    "e5m2_ue8m0_n4_chain",
    "e5m2_ue4m3_n2_chain",
    "e3m4_ue8m0_n4_chain",
    "e4m3xe5m2_ue8m0xue4m3_n4_chain",
    "e4m3xe2m1_ue8m5_n4_chain",
)


def drawn(spec: DotSpec, cases: int, groups: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Codes, NaN and infinities included; half of the sums are of the largest and least codes alone."""
    shape = (cases, groups, 1, spec.block_size)
    codes = []
    for k, fmt in enumerate(spec.elements + spec.scales):
        here = shape if k < 2 else shape[:-1]
        ends = np.array([0, 1, fmt.largest_code, fmt.largest_code | fmt.signed << fmt.magnitude_bits])
        array = rng.integers(0, 1 << fmt.bits, here).astype(fmt.dtype)
        array[::2] = rng.choice(ends, array[::2].shape)
        codes.append(array)
    return codes


def fp32_of(spec: DotSpec) -> DotSpec:
    return DotSpec.parse(spec.name.replace("_chain", "_fp32"))


@pytest.mark.parametrize("name", NAMES)
def test_a_sum_is_that_of_fractions(name: str, rng: np.random.Generator) -> None:
    spec = DotSpec.parse(name)
    (a_element, b_element), (a_scale, b_scale) = spec.elements, spec.scales
    dot = Dot(a_element.name, b_element.name, a_scale.name, b_scale.name, "chain")
    codes = drawn(spec, 120, 3, rng)
    expected = [dot(*(array[k].tolist() for array in codes)) for k in range(len(codes[0]))]
    np.testing.assert_array_equal(spec.compute(*codes).view(np.uint32), np.array(expected, np.uint32))


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
@pytest.mark.parametrize("element", ["e2m1", "e2m3"])
def test_where_all_but_the_last_addition_is_exact_it_is_fp32(
    element: str, scale: str, rng: np.random.Generator
) -> None:
    spec = DotSpec(element=element, scale=scale, block_size=16, accumulate="chain")
    assert chain_is_exact(spec)
    codes = drawn(spec, 2000, 4, rng)
    bits = spec.compute(*codes).view(np.uint32)
    np.testing.assert_array_equal(bits, fp32_of(spec).compute(*codes).view(np.uint32))


def test_a_scale_of_a_that_overflows_is_not_taken_back_by_that_of_b() -> None:
    """4 times 2^127 is infinite in binary32; times 2^-127 on top of it that is 4 in fp32."""
    spec = DotSpec(scale="ue8m0", block_size=2, accumulate="chain")
    two = int(spec.elements[0].encode(2.0))
    codes = np.array([[[two, 0]]], np.uint8)
    low, high = np.zeros((1, 1), np.uint8), np.full((1, 1), 254, np.uint8)
    assert not chain_is_exact(spec)
    assert first_scale_is_exact(spec, but_overflow=True)
    assert spec.compute(codes, codes, high, low) == np.inf
    # The scale of a comes first.
    assert spec.compute(codes, codes, low, high) == 4.0
    assert fp32_of(spec).compute(codes, codes, high, low) == 4.0


def test_products_are_rounded_in_turn() -> None:
    """448 times 448, and 2^-18 64 times: the exact sum is 2^-12 more, of which binary32 keeps nothing."""
    spec = DotSpec(element="e4m3", scale="ue5m0", block_size=128, accumulate="chain")
    fmt = spec.elements[0]
    least, largest = 1, fmt.largest_code
    one = np.full((1, 1), spec.scales[0].encode(1.0), np.uint8)
    a = np.array([[[largest, *[least] * 64, *[0] * 63]]], np.uint8)
    assert spec.compute(a, a, one, one) == 448.0**2
    assert spec.compute(a[..., ::-1], a[..., ::-1], one, one) == np.float32(448.0**2 + 2.0**-12)
    # Beside a half of the last place it is the order that counts.
    assert exact_products(spec) == 1
    assert exact_products(DotSpec(element="e3m2", block_size=128, accumulate="chain")) == 83


def test_a_product_of_matrices(rng: np.random.Generator) -> None:
    for element, scale in (("e2m1", "ue4m3"), ("e2m1", "ue8m0"), ("e4m3", "ue8m0")):
        spec = DotSpec(element=element, scale=scale, block_size=8, accumulate="chain", takes_c=True)
        numbers = (rng.normal(size=(rows, 48)).astype(np.float32) for rows in (6, 5))
        method = "floor" if scale == "ue8m0" else "absmax"
        A, B = (quantize(x, element=element, scale=scale, block_size=8, method=method) for x in numbers)
        C = rng.normal(0, 30, (6, 5)).astype(np.float32)
        product = matmul(spec, A, B, C)
        (a, a_scale), (b, b_scale) = A.blocks(), B.blocks()
        for i, j in ((0, 0), (5, 4)):
            codes = (a[i, :, None], b[j, :, None], a_scale[i, :, None], b_scale[j, :, None])
            assert product[i, j] == spec.compute(*codes, c=C[i, j])


def test_a_group_is_one_block() -> None:
    check_messages(
        [
            (
                ValueError,
                "blocks must be at most 1 for accumulate='chain', not 2",
                lambda: DotSpec(accumulate="chain", blocks=2),
            ),
            (
                ValueError,
                "scale must be a format for accumulate='chain', not 'none'",
                lambda: DotSpec(accumulate="chain", scale="none"),
            ),
        ]
    )
