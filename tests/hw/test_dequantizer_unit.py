"""The dequantizer's bits against its specification, under every code, and its streams."""

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.sim import Simulator, SimulatorContext
from blockdot.hw import to_verilog
from blockdot.hw.config import FLOWS, Flow
from blockdot.hw.dequantizer_config import DequantizerConfig
from blockdot.hw.dequantizer_unit import DequantizerUnit
from blockdot.model.dequantizer import DequantizerSpec
from messages import check_messages, untyped


@pytest.mark.one_in(2)
@pytest.mark.parametrize("output", ["bf16", "fp32"])
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0", "ue4m4", "ue5m3_ieee", "ue2m0", "ue4m5"])
def test_every_element_under_every_scale(scale: str, output: str, made_of_gates: Callable) -> None:
    """All pairs of element codes under all scale codes: every lane sees everything."""
    spec = untyped(DequantizerSpec)(scale=scale, block_size=2, output=output)
    scales, first, second = np.meshgrid(
        np.arange(1 << spec.scale_format.bits, dtype=np.uint64),
        *[np.arange(16, dtype=np.uint64)] * 2,
        indexing="ij",
    )
    codes = np.stack([first.reshape(-1), second.reshape(-1)], axis=1)
    seen = made_of_gates(DequantizerUnit(spec, stages=0))(
        i_codes=codes[:, 0] | codes[:, 1] << np.uint64(4), i_scale=scales.reshape(-1)
    )["o_x"]
    made = spec.compute(codes.astype(np.uint8), scales.reshape(-1).astype(spec.scale_format.dtype)).astype(
        np.uint64
    )
    wanted = made[:, 0] | made[:, 1] << np.uint64(spec.output_format.bits)
    assert not np.flatnonzero(seen != wanted).size


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("stages", [1, 2])
def test_every_block_comes_out_once_and_in_order(stages: int, flow: Flow, rng: np.random.Generator) -> None:
    spec = DequantizerSpec(scale="ue5m3", block_size=2)
    unit = DequantizerUnit(spec, stages=stages, flow=flow)
    assert unit.latency == stages
    codes, scales = rng.integers(0, 16, (40, 2)), rng.integers(0, 256, 40)
    made = spec.compute(codes, scales).astype(int)
    expected = (made[:, 0] | made[:, 1] << 16).tolist()
    blocks = (codes[:, 0] | codes[:, 1] << 4).tolist()
    seen: list[int] = []

    async def bench(ctx: SimulatorContext) -> None:
        sent = 0
        for _ in range(400):
            offer, moves = sent < len(blocks) and rng.random() < 0.7, bool(rng.random() < 0.7)
            ctx.set(unit.i_valid, int(offer))
            ctx.set(unit.i_codes, blocks[sent] if offer else 0)
            ctx.set(unit.i_scale, int(scales[sent]) if offer else 0)
            if flow == "stream":
                ctx.set(unit.o_ready, int(moves))
                taken, given = bool(offer and ctx.get(unit.i_ready)), moves
            else:
                if flow == "enable":
                    ctx.set(unit.en, int(moves))
                given = bool(moves or flow == "valid")
                taken = given and offer
            if ctx.get(unit.o_valid) and given:
                seen.append(ctx.get(unit.o_x))
            sent += taken
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == expected


def test_ports_and_names() -> None:
    unit = DequantizerConfig.parse("dequantize_e2m1_ue4m3_n4_bf16_s2_valid_delay").build()
    assert unit.config.name == "dequantize_e2m1_ue4m3_n4_bf16_s2_valid_delay"
    assert [(port.name, port.width, port.direction) for port in unit.ports] == [
        ("clk", 1, "in"),
        ("rst", 1, "in"),
        ("i_valid", 1, "in"),
        ("i_codes", 16, "in"),
        ("i_scale", 7, "in"),
        ("o_valid", 1, "out"),
        ("o_x", 64, "out"),
    ]
    module = to_verilog(unit)
    assert "module blockdot_dequantize_e2m1_ue4m3_n4_bf16_s2_valid(" in module.text
    assert "\\" not in module.text  # an escaped name: one of two wires of the same name
    assert module.sidecar["spec"]["name"] == unit.spec.name


def test_what_is_not_allowed_is_refused() -> None:
    check_messages(
        [
            (
                ValueError,
                "element must be e2m1 for a dequantizer unit, not e4m3",
                lambda: DequantizerConfig(DequantizerSpec(element="e4m3")),
            ),
            (
                ValueError,
                "scale must have at most 7 exponent bits or no mantissa for a dequantizer unit, which "
                "'ue8m3' has not",
                lambda: DequantizerConfig(DequantizerSpec(scale="ue8m3")),
            ),
            (TypeError, "spec must be a DequantizerSpec, not 3", lambda: untyped(DequantizerConfig)(3)),
            (
                ValueError,
                "stages must be from 0 to 2 for dequantize_e2m1_ue4m3_n16_bf16, not 3",
                lambda: DequantizerConfig(DequantizerSpec(), stages=3),
            ),
        ]
    )
