"""Units whose terms are single products, and units of every result format, against the model."""

import re

import numpy as np
import pytest
from blockdot.hw import DotUnit, UnitConfig, to_verilog
from blockdot.hw.accumulate.aligned_products import aligned_products
from blockdot.hw.config import Optimise, has_hardware
from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS
from blockdot.sim import random, run
from blockdot.verify.compare import compare

UNITS = {
    # The published ones, narrower: a zero is behind every number in the first, ahead of some in the others.
    "e4m3_none_n4_aligned_f13_t1_z133_e8m13": 1,
    "e5m2_none_n4_aligned_f13_t1_z21_binary16": 2,
    "e4m3_none_n4_aligned_f13_t1_z133_binary16": 1,
    "fp16_none_n2_aligned_f23_t1_z131": 1,
    "fp16_none_n2_aligned_f23_t1_z20_binary16": 1,
    "bf16_none_n2_aligned_f24_t1_z132": 1,
    "tf32_none_n2_aligned_f25_t1_z133": 2,
    "e2m1_ue8m0_n4_aligned_f25_t1_z133": 1,
    # Several blocks, scales that are multiplied and can be zero, elements of two formats.
    "e3m2_ue8m0_n2_b4_aligned_f20_t1_z133": 1,
    "e2m1_ue4m3_n4_b2_aligned_f30_t1_z139": 2,
    "e2m1xe5m2_ue4m3xue8m0_n2_aligned_f9_t1_z100_e8m13": 3,
    # A zero that is ahead of sums, and so few bits that products and sums lose theirs.
    "e4m3_none_n4_aligned_f12_t1_z20": 1,
    "e2m1_none_n2_aligned_f1_t1_z15": 1,
    "e5m2_none_n2_aligned_f0_t1_z133_e8m13": 1,
    # Terms of 16 elements with other results.
    "e2m1_ue4m3_n4_aligned_f20_z133_e8m13": 1,
    "e2m1_ue5m3_n4_b2_aligned_f18_z20_binary16": 1,
    "e4m3_ue8m0_n2_aligned_f14_z100_binary16": 1,
}


@pytest.mark.one_in(12)
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_bits_of_the_model(name: str, optimise: Optimise, seed: int) -> None:
    config = UnitConfig(DotSpec.parse(name), stages=UNITS[name], optimise=optimise)
    stimulus = random(config.spec, 120, seed=seed, longest=6)
    compared = compare(config, stimulus, run(config.build(), stimulus), engine="pysim")
    assert compared.equal, str(compared)
    assert compared.compared > 20


def test_there_is_hardware_of_every_published_tensor_core() -> None:
    for name, preset in PRESETS.items():
        assert has_hardware(preset.spec), name


def test_without_scales_there_are_no_ports_and_no_hardware_of_them() -> None:
    unit = DotUnit(DotSpec.parse("e4m3_none_n2_aligned_f13_t1_z21_binary16"))
    ports = {port.name: port for port in unit.ports}
    assert "i_a_scale" not in ports
    assert "i_b_scale" not in ports
    assert (ports["o_result"].width, ports["o_result"].meaning) == (16, "the result, binary16")
    without_comments = re.sub(r"//.*|/\*.*?\*/", "", to_verilog(unit).text)
    assert "module" in without_comments
    assert "scale" not in without_comments


def test_where_every_sum_is_a_normal_number_no_subnormal_is_built() -> None:
    """Products of e4m3 and of fp16 are multiples of a normal number of binary32; those of bf16 are not."""
    subnormal = {
        name: aligned_products(DotSpec.preset(name)).numbers.subnormal
        for name in ("hopper-e4m3", "hopper-fp16", "hopper-bf16", "blackwell-mx-e2m1", "volta-fp16-fp16")
    }
    assert subnormal == {
        "hopper-e4m3": False,
        "hopper-fp16": False,
        "hopper-bf16": True,
        "blackwell-mx-e2m1": True,
        "volta-fp16-fp16": True,
    }


def test_exponents_are_added_and_compared_as_they_stand_in_the_codes() -> None:
    hopper = aligned_products(DotSpec.preset("hopper-e4m3"))
    assert (hopper.element_bits, hopper.scale_bits, hopper.magnitude_bits, hopper.point) == (5, 0, 8, 6)
    # 127 - 7 - 7: what makes the sum of two fields the exponent.
    assert hopper.offset == 113
    mx = aligned_products(DotSpec.preset("blackwell-mx-e4m3"))
    assert (mx.element_bits, mx.scale_bits, mx.magnitude_bits) == (5, 9, 8)


def test_every_number_of_a_format_of_results_comes_back(rng: np.random.Generator) -> None:
    for name in ("hopper-e4m3", "volta-fp16-fp16", "volta-fp16"):
        result = DotSpec.preset(name).result_format
        if result.bits == 16:
            codes = np.arange(1 << 16, dtype=np.uint32)
            codes = codes[(codes & 0x7FFF) <= 0x7C00]
        else:
            codes = rng.integers(0, 1 << 31, 1000, dtype=np.uint32)
        np.testing.assert_array_equal(result.encode(result.decode(codes)), codes)
