"""How a quantizer is built, as one value."""

import json
from dataclasses import replace

from blockdot.hw import QuantizerConfig, QuantizerUnit, SerialQuantizerUnit
from blockdot.hw.config import FLOWS, OPTIMISE
from blockdot.model.quantizer import QuantizerMethod, QuantizerSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import check_messages, untyped

NVFP4 = QuantizerSpec()


@st.composite
def configs(draw: st.DrawFn) -> QuantizerConfig:
    """Any configuration at all."""
    scale = draw(st.sampled_from(("ue4m3", "ue5m3", "ue8m0", "ue4m4", "ue5m3_ieee", "ue2m0")))
    methods: list[QuantizerMethod] = ["absmax", "prevent_zero", "four_over_six"]
    if scale == "ue8m0":
        methods = [*methods, "floor", "ceil"]
    spec = QuantizerSpec(
        scale=scale,
        block_size=draw(st.sampled_from((2, 8, 16, 32, 128))),
        input=draw(st.sampled_from(("bf16", "fp16", "fp32"))),
        method=draw(st.sampled_from(methods)),
        rounding=draw(st.sampled_from(("nearest_even", "stochastic"))),
        random_bits=draw(st.integers(1, 16)),
        tensor_scale=draw(st.booleans()),
    )
    shallow = QuantizerConfig(
        spec, stages=0, optimise=draw(st.sampled_from(OPTIMISE)), order=draw(st.integers(0, 1 << 40))
    )
    stages = draw(st.integers(0, shallow.max_stages))
    return replace(shallow, stages=stages, flow=draw(st.sampled_from(FLOWS)))


@given(configs())
@settings(max_examples=50)
def test_a_name_is_of_one_configuration_and_reads_back(config: QuantizerConfig) -> None:
    assert QuantizerConfig.parse(config.name) == config
    assert str(config) == config.name
    assert config.name.startswith(config.module_name.removeprefix("blockdot_"))
    assert QuantizerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_unit_is_named_after_its_specification_stages_and_flow() -> None:
    config = QuantizerConfig(NVFP4, stages=2, flow="valid", optimise="delay", order=3)
    assert config.name == "quantize_bf16_e2m1_ue4m3_n16_absmax_s2_valid_delay_order3"
    assert config.module_name == "blockdot_quantize_bf16_e2m1_ue4m3_n16_absmax_s2_valid"
    unit = config.build()
    assert isinstance(unit, QuantizerUnit)
    assert (unit.config, unit.name, unit.latency) == (config, config.module_name, 2)


def test_what_is_not_allowed_is_refused() -> None:
    def build(**parts: object) -> QuantizerConfig:
        return QuantizerConfig(untyped(QuantizerSpec)(**parts))

    check_messages(
        [
            (TypeError, "spec must be a QuantizerSpec, not 'e2m1'", lambda: untyped(QuantizerConfig)("e2m1")),
            (
                ValueError,
                "element must be e2m1 for a quantizer unit, not e4m3",
                lambda: build(element="e4m3"),
            ),
            (
                ValueError,
                "stages must be from 0 to 7 for quantize_bf16_e2m1_ue4m3_n16_absmax, not 8",
                lambda: QuantizerConfig(NVFP4, stages=8),
            ),
            (
                ValueError,
                "unit must read like quantize_bf16_e2m1_ue4m3_n16_absmax_s1, not 'quantize'",
                lambda: QuantizerConfig.parse("quantize"),
            ),
            (
                ValueError,
                "unit must be named quantize_bf16_e2m1_ue4m3_n16_absmax_s0, "
                "not 'quantize_bf16_e2m1_ue4m3_n16_absmax_s0_valid'",
                lambda: QuantizerConfig.parse("quantize_bf16_e2m1_ue4m3_n16_absmax_s0_valid"),
            ),
        ]
    )


def test_the_last_register_is_that_of_the_outputs() -> None:
    for stages in range(1, QuantizerConfig(NVFP4).max_stages + 1):
        unit = QuantizerUnit(NVFP4, stages=stages)
        assert len(unit.registers_after) == stages
        assert unit.registers_after[-1] == unit.steps[-1] == "round"


def test_a_serial_one_is_named_so_and_has_a_stage() -> None:
    config = QuantizerConfig(NVFP4, stages=2, optimise="delay", serial=True)
    assert config.name == "serial_quantize_bf16_e2m1_ue4m3_n16_absmax_s2_delay"
    assert config.module_name == "blockdot_serial_quantize_bf16_e2m1_ue4m3_n16_absmax_s2"
    assert QuantizerConfig.parse(config.name) == config
    assert QuantizerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    unit = config.build()
    assert isinstance(unit, SerialQuantizerUnit)
    assert (unit.config, unit.name) == (config, config.module_name)

    def build(**parts: object) -> QuantizerConfig:
        return QuantizerConfig(untyped(QuantizerSpec)(**parts), serial=True)

    methods = "absmax, prevent_zero, floor, ceil"
    check_messages(
        [
            (TypeError, "serial must be a bool, not 1", lambda: untyped(QuantizerConfig)(NVFP4, serial=1)),
            (
                ValueError,
                f"method must be one of {methods} for a serial quantizer, not four_over_six",
                lambda: build(method="four_over_six"),
            ),
            (
                ValueError,
                "rounding must be nearest_even for a serial quantizer, not stochastic",
                lambda: build(rounding="stochastic"),
            ),
            (
                ValueError,
                "tensor_scale must be False for a serial quantizer, not True",
                lambda: build(tensor_scale=True),
            ),
            (
                ValueError,
                "stages must be from 1 to 2 for quantize_bf16_e2m1_ue4m3_n16_absmax, not 0",
                lambda: QuantizerConfig(NVFP4, stages=0, serial=True),
            ),
            (
                ValueError,
                "serial must be False for a unit that takes whole blocks, not True",
                lambda: QuantizerUnit.of(config),
            ),
        ]
    )
