"""The quantizer's bits against its specification, and its streams."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.sim import Simulator, SimulatorContext
from blockdot.hw import QuantizerConfig, QuantizerUnit, to_verilog
from blockdot.hw.config import Flow, Optimise
from blockdot.hw.fusesoc_core import core_file
from blockdot.model.quantizer import QuantizerMethod, QuantizerRounding, QuantizerSpec
from blockdot.sim.quantizer_stimulus import directed, random

Codes = npt.NDArray[np.unsignedinteger]


def nearby(spec: QuantizerSpec, values: npt.NDArray[np.float64]) -> Codes:
    """The codes of magnitudes, cut to the input format."""
    fmt = spec.input_format
    with np.errstate(over="ignore"):
        if fmt.name == "fp16":
            return values.astype(np.float16).view(np.uint16)
        bits = values.astype(np.float32).view(np.uint32)
    return (bits >> np.uint32(32 - fmt.bits)).astype(fmt.dtype)


def at_thresholds(spec: QuantizerSpec, rng: np.random.Generator) -> Codes:
    """Blocks whose largest magnitude is at or beside each scale threshold, and elements at midpoints."""
    scale = spec.scale_format
    values = scale.values[: scale.largest_code + 1]
    middles = np.append((values[:-1] + values[1:]) / 2, values[-1])
    largest = 6 * np.repeat(np.concatenate([middles, values]), 12)
    under = np.repeat(np.concatenate([values, values]), 12)
    midpoints = rng.choice([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 1.0], (len(largest), spec.block_size))
    x = nearby(spec, midpoints * under[:, np.newaxis]).astype(np.int64)
    place = rng.integers(0, spec.block_size, len(x))
    x[np.arange(len(x)), place] = nearby(spec, largest)
    x += rng.integers(-1, 2, x.shape)
    top = 1 << (spec.input_format.bits - 1)
    return (np.clip(x, 0, top - 1) | rng.choice([0, top], x.shape)).astype(spec.input_format.dtype)


def of_every_kind(spec: QuantizerSpec, count: int, rng: np.random.Generator) -> Codes:
    """Blocks of uniform codes, of a few binades, of subnormals, of one number among zeros."""
    fmt = spec.input_format
    shape = (count, spec.block_size)
    top = 1 << (fmt.bits - 1)
    uniform = rng.integers(0, 2 * top, shape)
    exponent = rng.integers(0, (1 << fmt.exponent_bits) - 1, (count, 1)) - rng.integers(0, 7, shape)
    coarse = rng.integers(0, 1 << fmt.mantissa_bits, shape) >> 4 << 4
    narrow = np.maximum(exponent, 0) << fmt.mantissa_bits | coarse
    subnormal = rng.integers(0, 3 << fmt.mantissa_bits, shape)
    # What quarters and sixths are rounded from: any magnitudes below a largest one that is small or common.
    scale = 2.0 ** rng.uniform(-14, 12, (count, 1))
    common = nearby(spec, np.abs(rng.standard_normal(shape)) * scale)
    alone = np.where(np.arange(spec.block_size) == 1, rng.integers(0, top, shape), 0)
    signs = rng.choice([0, top], shape)
    return np.concatenate([uniform, narrow | signs, subnormal | signs, common | signs, alone | signs]).astype(
        fmt.dtype
    )


def packed(codes: Codes, bits: int) -> list[int]:
    """Codes of a row as one number, the first lowest."""
    return [sum(int(code) << bits * k for k, code in enumerate(row)) for row in codes]


def check(unit: QuantizerUnit, x: Codes, run: Callable[..., Any]) -> None:
    spec: QuantizerSpec = unit.spec
    elements, scales = spec.compute(x)
    expected = zip(packed(elements, spec.element_format.bits), scales.tolist(), strict=True)
    seen = run(unit, [(block,) for block in packed(x, spec.input_format.bits)])
    wrong = [k for k, (want, got) in enumerate(zip(expected, seen, strict=True)) if tuple(want) != got]
    assert not wrong, (
        spec.name,
        len(wrong),
        x[wrong[0]],
        elements[wrong[0]],
        scales[wrong[0]],
        seen[wrong[0]],
    )


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("name", "optimise"),
    [
        ("quantize_bf16_e2m1_ue4m3_n4_absmax", "area"),
        ("quantize_bf16_e2m1_ue5m3_n4_prevent_zero", "delay"),
        ("quantize_bf16_e2m1_ue8m0_n4_floor", "area"),
        ("quantize_bf16_e2m1_ue8m0_n4_ceil", "delay"),
        ("quantize_bf16_e2m1_ue8m0_n4_absmax", "area"),
        ("quantize_fp32_e2m1_ue4m3_n4_absmax", "area"),
        ("quantize_fp32_e2m1_ue8m0_n2_floor", "area"),
        ("quantize_fp16_e2m1_ue5m3_n4_absmax", "area"),
        ("quantize_fp16_e2m1_ue8m0_n4_absmax", "delay"),
        ("quantize_fp16_e2m1_ue2m5_n2_prevent_zero", "area"),
        ("quantize_fp16_e2m1_ue5m3_ieee_n2_absmax", "delay"),
        ("quantize_bf16_e2m1_ue4m3_n2_four_over_six", "area"),
        ("quantize_bf16_e2m1_ue8m0_n2_four_over_six", "delay"),
    ],
)
def test_a_unit_gives_the_bits_of_its_specification(
    name: str, optimise: Optimise, evaluate_many: Callable
) -> None:
    spec = QuantizerSpec.parse(name)
    rng = np.random.default_rng(1)
    x = np.concatenate([at_thresholds(spec, rng), of_every_kind(spec, 800, rng)])
    check(QuantizerUnit(spec, stages=0, optimise=optimise, order=int(optimise == "delay")), x, evaluate_many)


@pytest.mark.one_in(10)
@pytest.mark.parametrize(
    ("name", "optimise"),
    [
        ("quantize_bf16_e2m1_ue4m3_n2_absmax_stochastic8", "area"),
        ("quantize_bf16_e2m1_ue5m3_n2_prevent_zero_stochastic1", "delay"),
        ("quantize_bf16_e2m1_ue8m0_n2_floor_stochastic4", "area"),
        ("quantize_fp32_e2m1_ue4m3_n2_absmax_stochastic16", "delay"),
        ("quantize_fp16_e2m1_ue5m3_n2_absmax_stochastic5", "area"),
        ("quantize_fp16_e2m1_ue8m0_n2_ceil_stochastic7", "delay"),
        ("quantize_bf16_e2m1_ue2m0_n2_absmax_stochastic2", "area"),
        ("quantize_bf16_e2m1_ue4m3_n2_four_over_six_stochastic3", "delay"),
        ("quantize_bf16_e2m1_ue4m3_n2_absmax_tensor", "area"),
        ("quantize_bf16_e2m1_ue4m3_n2_prevent_zero_tensor", "delay"),
        ("quantize_fp32_e2m1_ue5m3_n2_absmax_tensor", "area"),
        ("quantize_fp16_e2m1_ue5m3_ieee_n2_absmax_tensor", "area"),
        ("quantize_bf16_e2m1_ue2m5_n2_absmax_tensor", "area"),
        ("quantize_bf16_e2m1_ue2m0_n2_prevent_zero_tensor", "area"),
        ("quantize_bf16_e2m1_ue8m0_n2_floor_tensor", "area"),
        ("quantize_fp16_e2m1_ue8m0_n2_ceil_tensor", "delay"),
        ("quantize_bf16_e2m1_ue8m0_n2_absmax_tensor", "area"),
        ("quantize_bf16_e2m1_ue4m3_n2_absmax_stochastic4_tensor", "area"),
        ("quantize_bf16_e2m1_ue4m3_n2_four_over_six_tensor", "area"),
        ("quantize_bf16_e2m1_ue8m0_n2_four_over_six_stochastic2_tensor", "area"),
        ("quantize_fp32_e2m1_ue5m3_n2_four_over_six_tensor", "area"),
    ],
)
def test_a_unit_of_more_inputs_gives_the_bits_of_its_specification(
    name: str, optimise: Optimise, evaluate_many: Callable
) -> None:
    spec = QuantizerSpec.parse(name)
    unit = QuantizerUnit(spec, stages=0, optimise=optimise, order=int(optimise == "delay"))
    corners = directed(spec)
    some = corners.select(slice(0, None, 23), offer=corners.offer, accept=corners.accept)
    for stimulus in (random(spec, 200, seed=1), some):
        elements, scales = stimulus.codes
        expected = zip(packed(elements, 4), scales.tolist(), strict=True)
        columns = [packed(stimulus.x, spec.input_format.bits)]
        if stimulus.random is not None:
            columns.append(packed(stimulus.random, spec.random_bits))
        if stimulus.g is not None:
            columns.append(stimulus.g.view(np.uint32).tolist())
        seen = evaluate_many(unit, zip(*columns, strict=True))
        wrong = [k for k, (want, got) in enumerate(zip(expected, seen, strict=True)) if tuple(want) != got]
        assert not wrong, (spec.name, len(wrong), stimulus.vector_text(wrong[0]), seen[wrong[0]])


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
def test_the_scale_of_every_largest_magnitude_and_every_element_under_it(
    scale: str, evaluate_many: Callable
) -> None:
    """All 2**15 magnitudes of bf16 as the largest, each beside others at the midpoints under its scale."""
    spec = QuantizerSpec(scale=scale, block_size=2)
    largest = np.arange(1 << 15)
    rng = np.random.default_rng(2)
    _, scales = spec.compute(np.stack([largest, 0 * largest], axis=1).astype(np.uint16))
    values = np.nan_to_num(spec.scale_format.values[scales])
    beside = nearby(spec, values * rng.choice([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], len(largest)))
    x = np.stack(
        [largest, np.minimum(np.maximum(beside, 1) + rng.integers(-1, 2, len(largest)), largest)], axis=1
    )
    check(QuantizerUnit(spec, stages=0), x.astype(np.uint16), evaluate_many)


# Ports and streams.


def test_ports_are_flat_and_in_order() -> None:
    spec = QuantizerSpec(block_size=8)
    data = [("i_x", 128, "in"), ("o_codes", 32, "out"), ("o_scale", 7, "out")]
    assert [(p.name, p.width, p.direction) for p in QuantizerUnit(spec, stages=0).ports] == data
    drawn = QuantizerSpec(block_size=8, rounding="stochastic", random_bits=5)
    assert [(p.name, p.width, p.direction) for p in QuantizerUnit(drawn, stages=0).ports] == [
        data[0],
        ("i_random", 40, "in"),
        *data[1:],
    ]
    scaled = QuantizerUnit(QuantizerSpec(block_size=8, tensor_scale=True), stages=0)
    assert [(p.name, p.width) for p in scaled.ports][1] == ("i_g", 32)
    names = [port.name for port in QuantizerUnit(spec, stages=2).ports]
    assert names == ["clk", "rst", "i_valid", "i_ready", "i_x", "o_valid", "o_ready", "o_codes", "o_scale"]
    names = [port.name for port in QuantizerUnit(spec, stages=2, flow="enable").ports]
    assert names == ["clk", "rst", "en", "i_valid", "i_x", "o_valid", "o_codes", "o_scale"]


@pytest.mark.parametrize(
    ("stages", "optimise", "flow"),
    [
        (1, "area", "stream"),
        (3, "delay", "stream"),
        (7, "area", "stream"),
        (5, "delay", "valid"),
        (2, "area", "enable"),
    ],
)
def test_every_block_comes_out_once_and_in_order(stages: int, optimise: Optimise, flow: Flow) -> None:
    spec = QuantizerSpec(block_size=2, scale="ue5m3")
    unit = QuantizerUnit(spec, stages=stages, optimise=optimise, flow=flow)
    rng = np.random.default_rng(stages)
    x = of_every_kind(spec, 6, rng)
    elements, scales = spec.compute(x)
    expected = list(zip(packed(elements, 4), scales.tolist(), strict=True))
    blocks = packed(x, 16)
    seen: list[tuple[int, int]] = []

    async def bench(ctx: SimulatorContext) -> None:
        sent = 0
        for _ in range(2000):
            offer, moves = sent < len(blocks) and rng.random() < 0.7, bool(rng.random() < 0.7)
            ctx.set(unit.i_valid, int(offer))
            ctx.set(unit.i_x, blocks[sent] if offer else 0)
            if flow == "stream":
                ctx.set(unit.o_ready, int(moves))
                taken, given = bool(offer and ctx.get(unit.i_ready)), moves
            else:
                if flow == "enable":
                    ctx.set(unit.en, int(moves))
                taken = given = bool(moves or flow == "valid")
                taken = taken and offer
            if ctx.get(unit.o_valid) and given:
                seen.append((ctx.get(unit.o_codes), ctx.get(unit.o_scale)))
            sent += taken
            await ctx.tick()
            if len(seen) == len(expected):
                return
        raise AssertionError(f"{len(seen)} results of {len(expected)} after 2000 cycles")

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == expected


def test_the_verilog_and_its_sidecar_tell_the_ports() -> None:
    unit = QuantizerUnit(QuantizerSpec(block_size=2), stages=1)
    module = to_verilog(unit)
    head = module.text.partition(f"module {unit.name}(")[2].partition(");")[0]
    names = [line.split()[-1] for line in head.strip().split(",\n")]
    assert names == ["clk", "rst", "i_valid", "i_ready", "i_x", "o_valid", "o_ready", "o_codes", "o_scale"]
    assert module.sidecar["spec"]["name"] == unit.spec.name
    assert [port["name"] for port in module.sidecar["ports"]] == [port.name for port in unit.ports]
    assert module.sidecar["widths"]["midpoint_fraction"] == 6
    core = core_file(unit, version="1.2.3")
    assert f"name: blockdot:quantizer:{unit.name}:1.2.3" in core
    assert 'description: "Quantizer quantize_bf16_e2m1_ue4m3_n2_absmax, 1 register stages"' in core


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("method", "optimise", "rounding", "tensor_scale"),
    [
        ("four_over_six", "delay", "nearest_even", False),
        ("absmax", "area", "nearest_even", False),
        ("absmax", "delay", "stochastic", False),
        ("absmax", "area", "stochastic", True),
        ("prevent_zero", "area", "nearest_even", True),
    ],
)
def test_every_wire_has_a_plain_name(
    method: QuantizerMethod, optimise: Optimise, rounding: QuantizerRounding, tensor_scale: bool
) -> None:
    spec = QuantizerSpec(
        block_size=2, method=method, rounding=rounding, random_bits=2, tensor_scale=tensor_scale
    )
    deepest = QuantizerConfig(spec, optimise=optimise)
    text = to_verilog(deepest.with_stages(deepest.max_stages).build()).text
    assert "\\" not in text  # an escaped name: one of two wires of the same name
