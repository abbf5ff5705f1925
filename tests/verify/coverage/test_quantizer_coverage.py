"""That the bins of quantizers mean what they say, and that the directed stimulus meets them."""

import numpy as np
import pytest
from blockdot.model import QuantizerSpec
from blockdot.sim import QuantizerStimulus
from blockdot.sim.quantizer_stimulus import directed, random
from blockdot.verify.coverage.quantizer_coverage import QuantizerCoverage


@pytest.mark.parametrize(
    "name",
    [
        "quantize_bf16_e2m1_ue4m3_n16_absmax",
        "quantize_bf16_e2m1_ue5m3_n4_prevent_zero",
        "quantize_bf16_e2m1_ue4m3_n8_four_over_six",
        "quantize_fp32_e2m1_ue2m5_n2_four_over_six",
        "quantize_fp16_e2m1_ue5m3_n2_absmax",
        "quantize_bf16_e2m1_ue8m0_n4_floor",
        "quantize_bf16_e2m1_ue8m0_n4_ceil",
        "quantize_bf16_e2m1_ue4m3_n2_absmax_stochastic4",
        "quantize_bf16_e2m1_ue4m3_n4_absmax_tensor",
        "quantize_bf16_e2m1_ue8m0_n2_floor_tensor",
        "quantize_fp32_e2m1_ue5m3_n2_prevent_zero_tensor",
        "quantize_fp32_e2m1_ue2m1_n2_absmax_tensor",
        "quantize_fp16_e2m1_ue8m0_n2_absmax_tensor",
        "quantize_fp16_e2m1_ue5m3_n2_four_over_six_stochastic3_tensor",
    ],
)
def test_the_directed_stimulus_meets_every_bin_that_can_be_met(name: str) -> None:
    spec = QuantizerSpec.parse(name)
    coverage = QuantizerCoverage(spec)
    coverage.add(directed(spec))
    assert coverage.holes == []
    assert coverage.refuted == []
    assert len(coverage.met) > spec.scale_format.largest_code


def met(spec: QuantizerSpec, *blocks: list[float]) -> set[str]:
    """The bins, but for those of codes and lanes, that blocks meet."""
    x = spec.input_format.encode(np.array(blocks, np.float32))
    coverage = QuantizerCoverage(spec)
    coverage.add(QuantizerStimulus(spec=spec, x=x))
    left_out = ("scale code", "element code", "largest")
    return {f"{one.group}: {one.name}" for one in coverage.met if one.group not in left_out}


def test_bins_mean_what_they_say() -> None:
    plain = QuantizerSpec(scale="ue4m3", block_size=2)
    # 6.375 is 6 times the middle of 1 and 1.125, and the scale becomes 1, the even one.
    at = met(plain, [6.375, -0.75])
    assert at == {"scale: at the threshold to 0x39", "midpoint: -0.75 at"}
    assert met(plain, [6.40625, 0]) == {"scale: above the threshold to 0x39"}
    assert met(plain, [0, 0]) == {"block: zeros alone"}
    assert met(plain, [2.0**-130, 0]) == {
        "block: subnormal numbers alone",
        "block: a scale of zero, and numbers",
    }
    assert met(plain, [np.inf, 1]) == {"block: +Inf"}
    assert met(plain, [3000, 1]) == {"block: beyond the largest scale"}
    both = QuantizerSpec(scale="ue4m3", block_size=2, method="four_over_six")
    assert met(both, [12, 0]) == {"choice: S6 of two", "choice: equal errors"}
    assert met(both, [12, 9]) == {"choice: S4 of two"}  # 3 and 4 times 3, and under 2 it would be 8
    assert met(both, [0.0046, 0]) == {"choice: S4 of two", "choice: S6 is zero and S4 is not"}


def test_few_inputs_leave_holes() -> None:
    spec = QuantizerSpec(scale="ue2m1", block_size=2)
    coverage = QuantizerCoverage(spec)
    coverage.add(random(spec, 3, seed=0))
    assert len(coverage.holes) > 40


def test_bins_of_random_bits_and_of_a_tensor_scale_mean_what_they_say() -> None:
    spec = QuantizerSpec(scale="ue4m3", block_size=2, rounding="stochastic", random_bits=2)
    coverage = QuantizerCoverage(spec)
    # Under the scale 1: 2.75 is 3 quarters of the way from 2 to 3, and -0.25 half of the way from 0.
    x = spec.input_format.encode(np.array([[6, 2.75], [-0.25, 6]], np.float32))
    coverage.add(QuantizerStimulus(spec=spec, x=x, random=np.array([[3, 1], [0, 3]])))
    met = {one.name for one in coverage.met if one.group == "random"}
    assert met == {"+2 just goes up", "-0 stays"}
    scaled = QuantizerSpec(scale="ue4m3", block_size=2, tensor_scale=True)
    coverage = QuantizerCoverage(scaled)
    x = scaled.input_format.encode(np.array([[12.75, -1.5]], np.float32))
    coverage.add(QuantizerStimulus(spec=scaled, x=x, g=np.array([2], np.float32)))
    left_out = ("scale code", "element code", "largest")
    # Under the scale 1 times 2, -1.5 is 3 and 12.75 is 25.5 times a half.
    assert {f"{one.group}: {one.name}" for one in coverage.met if one.group not in left_out} == {
        "scale: at the threshold to 0x39",
        "midpoint: -0.75 at",
        "tensor scale: a power of two",
        "binade: 1 above a quarter of the scale",
        "binade: 4 above a quarter of the scale",
    }


@pytest.mark.parametrize(
    ("g", "numbers", "expected"),
    [
        # The scale is 1, a half is a quarter of 2, and 1 is twice as much: neither is above its power of two.
        (
            2.0,
            [12, 0.5, 1, 0],
            {"tensor scale: a power of two", "-1", "0", "4"},
        ),
        # The scale is the largest, 448. A quarter of it times g is 112 g.
        (
            2.0**-20,
            [112 * 2.0**-20 * 256, 112 * 2.0**-20 * 512, 2.0**100, 0],
            {"tensor scale: a power of two", "7", "8", "9"},
        ),
        # Subnormal numbers of bf16 are whole times 2**-133; the scale is 1 times 2**-133, the least is 4.
        (
            2.0**-133,
            [6 * 2.0**-133, 2.0**-133, 0, 0],
            {
                "tensor scale: subnormal",
                "subnormal: an element leads 5 behind the point",
                "subnormal: an element leads 7 behind the point",
                "subnormal: the largest leads 5 behind the point",
                "1",
                "4",
            },
        ),
        (float(np.float32(2.0**-149)), [0, 0, 0, 0], {"tensor scale: subnormal", "tensor scale: the least"}),
        (
            float(np.finfo(np.float32).max),
            [0, 0, 0, 0],
            {
                f"tensor scale: {name}"
                for name in ("another normal one", "the largest", "a significand of ones")
            },
        ),
        (
            float(np.float32((1 - 2.0**-23) * 2.0**-126)),
            [0, 0, 0, 0],
            {"tensor scale: subnormal", "tensor scale: a subnormal one of ones"},
        ),
    ],
)
def test_ends_of_a_tensor_scale_and_of_numbers_under_it(
    g: float, numbers: list[float], expected: set[str]
) -> None:
    spec = QuantizerSpec(scale="ue4m3", block_size=4, tensor_scale=True)
    coverage = QuantizerCoverage(spec)
    x = spec.input_format.encode(np.array([numbers], np.float32))
    coverage.add(QuantizerStimulus(spec=spec, x=x, g=np.array([g], np.float32)))
    met = {f"{one.group}: {one.name}" for one in coverage.met if one.group in ("tensor scale", "subnormal")}
    met |= {one.name.split()[0].replace("not", "-1") for one in coverage.met if one.group == "binade"}
    assert met == expected
