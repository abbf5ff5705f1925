"""Units whose results are rounded to 16 bits at the end of a sum, against the model."""

import pytest
from blockdot.hw import UnitConfig
from unit_bits import assert_bits_of_the_model

UNITS = (
    "e2m1_ue8m0_n2_fp32_bfloat16_s1",
    "e2m1_ue4m3_n2_fp32_binary16_s3_delay",
    "e2m1_ue4m3_n2_fp32_binary16_c_s1_delay",
    "e2m1_ue8m0_n2_aligned_bfloat16_s2",
    "bf16_none_n2_aligned_f24_t1_z132_bfloat16_c_s1",
    # Exact values, rounded to odd before.
    "e2m1_ue4m3_n4_none_bfloat16_s0",
    "e2m1_ue8m0_n2_none_binary16_s1_delay",
    "e2m1_ue8m0_n2_b2_none_bfloat16_s2",
    "e2m1_ue3m2_n4_exact_g3_bfloat16_s1",
    "e2m1_ue3m2_n2_exact_g3_binary16_c_s2",
)


@pytest.mark.one_in(10)
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_bits_of_the_model(name: str, seed: int) -> None:
    assert_bits_of_the_model(name, seed)


def test_the_last_step_is_there_for_narrower_results_alone() -> None:
    steps = {
        name: UnitConfig.parse(name).build().steps[-1]
        for name in (
            "e2m1_ue4m3_n2_fp32_s1",
            "e2m1_ue4m3_n2_fp32_bfloat16_s1",
            "e2m1_ue4m3_n2_aligned_binary16_s1",
            "e2m1_ue4m3_n2_aligned_bfloat16_s1",
        )
    }
    assert list(steps.values()) == ["accumulate", "narrow", "accumulate", "narrow"]
    ports = {port.name: port for port in UnitConfig.parse("e2m1_ue4m3_n2_fp32_bfloat16_s1").build().ports}
    assert (ports["o_result"].width, ports["o_result"].meaning) == (16, "the result, bfloat16")
