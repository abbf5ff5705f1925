"""What a dequantizer makes of codes: against rational numbers, and `BlockTensor.dequantize`."""

from fractions import Fraction

import numpy as np
import pytest
from blockdot.model import BlockTensor, formats
from blockdot.model.dequantizer import DequantizerSpec
from blockdot.model.quantizer import INPUTS
from hypothesis import given
from hypothesis import strategies as st
from messages import check_messages, untyped


@given(
    st.sampled_from(("e2m1", "e4m3", "int8")),
    st.sampled_from(("ue4m3", "ue5m3", "ue8m0", "ue5m3_ieee")),
    st.sampled_from((2, 16, 128)),
    st.sampled_from(("bf16", "fp32")),
)
def test_a_name_is_of_one_specification_and_reads_back(
    element: str, scale: str, block_size: int, output: str
) -> None:
    spec = untyped(DequantizerSpec)(element=element, scale=scale, block_size=block_size, output=output)
    assert DequantizerSpec.parse(spec.name) == spec
    assert str(spec) == spec.name


@pytest.mark.parametrize("element", ["e2m1", "e4m3", "e3m2", "int8"])
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0", "ue8m5"])
def test_each_product_is_rounded_once(element: str, scale: str, rng: np.random.Generator) -> None:
    of_element, of_scale = formats.get(element), formats.get(scale)
    spec = DequantizerSpec(element=element, scale=scale, block_size=2)
    codes = rng.choice(of_element.codes, (200, 2))
    scales = rng.integers(0, of_scale.largest_code + 1, 200)
    made = spec.compute(codes, scales)
    numbers = np.arange(INPUTS["bf16"].infinity_code, dtype=np.uint16)
    every = [Fraction(float(value)) for value in INPUTS["bf16"].to_float32(numbers)]
    beyond = every[-1] + (every[-1] - every[-2]) / 2  # half a step above the largest
    for row, factor, seen in zip(codes, scales, made, strict=True):
        for code, got in zip(row.tolist(), seen.tolist(), strict=True):
            value = float(of_element.values[code])
            exact = abs(Fraction(value) * Fraction(float(of_scale.values[factor])))
            assert got >> 15 == np.signbit(value)
            at = got & 0x7FFF
            if exact >= beyond:
                assert at == INPUTS["bf16"].infinity_code
                continue
            steps = [abs(every[k] - exact) for k in (max(at - 1, 0), at, min(at + 1, len(every) - 1))]
            assert steps[1] == min(steps)
            if exact != every[at] and steps[1] in (steps[0], steps[2]):
                assert at % 2 == 0


def test_it_is_what_a_tensor_is_worth(rng: np.random.Generator) -> None:
    spec = DequantizerSpec(scale="ue5m3", block_size=4, output="fp32")
    codes, scales = rng.integers(0, 16, (9, 8)), rng.integers(0, 255, (9, 2))
    tensor = BlockTensor(
        codes=codes.astype(np.uint8),
        scales=scales.astype(np.uint8),
        element="e2m1",
        scale="ue5m3",
        block_size=4,
    )
    made = spec.compute(codes.reshape(9, 2, 4), scales).reshape(9, 8)
    np.testing.assert_array_equal(made.view(np.float32), tensor.dequantize())


def test_ends() -> None:
    bf16 = DequantizerSpec(scale="ue8m0", block_size=2)
    assert bf16.compute([0x7, 0xF], 254).tolist() == [0x7F80, 0xFF80]
    assert bf16.compute([0x1, 0x9], 0).tolist() == [0x0020, 0x8020]
    assert bf16.compute([0x8, 0x1], 255).tolist() == [0x7FC0, 0x7FC0]
    wide = DequantizerSpec(element="e5m2", block_size=2, output="fp32")
    # An infinity times zero and a NaN; times one; a negative zero.
    assert wide.compute([0x7C, 0xFE], 0).tolist() == [0x7FC00000, 0x7FC00000]
    assert wide.compute([0xFC, 0x80], 0x38).tolist() == [0xFF800000, 0x80000000]


def test_what_is_not_allowed_is_refused() -> None:
    spec = DequantizerSpec(block_size=2)
    check_messages(
        [
            (
                ValueError,
                "block_size must be a power of two from 2 to 128, not 3",
                lambda: DequantizerSpec(block_size=3),
            ),
            (
                ValueError,
                "output must be one of bf16, fp32, not 'fp16'",
                lambda: untyped(DequantizerSpec)(output="fp16"),
            ),
            (
                ValueError,
                "specification must read like dequantize_e2m1_ue4m3_n16_bf16, not 'dequantize'",
                lambda: DequantizerSpec.parse("dequantize"),
            ),
            (
                ValueError,
                f"codes must be shaped (..., 2) for {spec.name}, not (3,)",
                lambda: spec.compute([0, 0, 0], 0),
            ),
            (
                ValueError,
                "scales must be shaped (1,) to fit codes, not ()",
                lambda: spec.compute([[0, 0]], 0),
            ),
        ]
    )
