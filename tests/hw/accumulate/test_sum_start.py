"""Units whose sums start at C, against the model."""

import pytest
from blockdot.hw import DotArray, UnitConfig
from blockdot.hw.accumulate.fused_adder import FusedAdder
from blockdot.hw.leaves.round import NumberRange
from blockdot.hw.verilog_header import verilog_header
from blockdot.model import DotSpec
from unit_bits import assert_bits_of_the_model

UNITS = (
    # The small adder, the fast one, and the fused one.
    "e2m1_ue4m3_n2_fp32_c_s1",
    "e2m1_ue4m3_n2_b2_fp32_c_s2",
    "e2m1_ue8m0_n2_fp32_c_s2_delay",
    "e2m1_ue4m3_n2_fp32_c_s1_delay",
    # Sums above 2^-149 and below it, with kept carries, and that can be infinite.
    "e2m1_ue3m2_n2_exact_g3_c_s1",
    "e2m1_ue3m2_n2_exact_g3_c_s3_delay_segment4",
    "e2m1_ue8m0_n2_exact_g2_c_s2",
    "e5m2_ue3m2_n2_exact_g2_c_s2",
    # Terms of 16 elements and of one; sums that are no binary32 numbers.
    "e2m1_ue4m3_n2_b2_aligned_c_s1",
    "e2m1_ue4m3_n2_aligned_f20_c_s2_delay",
    "e2m1_ue8m0_n2_aligned_f9_t1_z133_c_s1",
    "e4m3_none_n2_aligned_f13_t1_z133_e8m13_c_s1",
    "e5m2_none_n2_aligned_f13_t1_z21_binary16_c_s2_delay",
)


@pytest.mark.one_in(13)
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_bits_of_the_model(name: str, seed: int) -> None:
    assert_bits_of_the_model(name, seed)


def test_the_port_stands_behind_the_scales() -> None:
    unit = UnitConfig.parse("e2m1_ue4m3_n2_fp32_c_s1").build()
    names = [port.name for port in unit.ports]
    assert names[names.index("i_b_scale") :] == ["i_b_scale", "i_c", "o_valid", "o_ready", "o_result"]
    port = unit.ports[names.index("i_c")]
    assert (port.width, port.meaning) == (32, "what a sum that starts here starts at, binary32")
    header = " ".join(" ".join(verilog_header(unit)).split())
    assert "a sum starts at C, binary32" in header
    assert "It starts at i_c, which counts with i_first alone." in header
    plain = UnitConfig.parse("e2m1_ue4m3_n2_fp32_s1").build()
    assert "i_c" not in [port.name for port in plain.ports]
    assert "starts at" not in " ".join(verilog_header(plain)).replace("starts at an input", "")


def test_a_tile_has_a_c_for_each_result() -> None:
    ports = {
        port.name: port for port in DotArray(DotSpec.parse("e2m1_ue4m3_n2_fp32_c"), rows=2, columns=3).ports
    }
    assert ports["i_c"].width == 6 * 32
    half = DotSpec.parse("fp16_none_n2_aligned_f23_t1_z20_binary16_c")
    assert {p.name: p.width for p in DotArray(half, rows=2, columns=3).ports}["i_c"] == 6 * 16


def test_a_term_that_is_not_rounded_may_be_wide() -> None:
    numbers = NumberRange(magnitude_bits=25, exponent_bits=0, exponents=(0, 0), offset=-20)
    with pytest.raises(ValueError, match=r"^numbers must have at most 24 bits, not 25$"):
        FusedAdder(numbers, adder="ripple")
    assert "exponent" not in FusedAdder(numbers, adder="ripple", rounds_term=False).signature.members
