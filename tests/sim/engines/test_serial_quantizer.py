"""A serial quantizer on the engines: a number a cycle in, and its element code a cycle out."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator, SimulatorContext
from blockdot.base import external_tools
from blockdot.hw import QuantizerConfig, SerialQuantizerUnit
from blockdot.model import QuantizerSpec
from blockdot.sim import run
from blockdot.sim.quantizer_stimulus import directed, random
from blockdot.sim.serial_stimulus import SerialStimulus, in_series
from blockdot.verify import compare
from blockdot.verify.netlist_mutants import mutate
from messages import check_messages


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serial_quantizers")


@pytest.mark.parametrize(
    "name",
    [
        "serial_quantize_bf16_e2m1_ue4m3_n4_absmax_s1",
        "serial_quantize_fp32_e2m1_ue5m3_n2_prevent_zero_s2_delay",
        "serial_quantize_bf16_e2m1_ue8m0_n8_floor_s1_delay",
        "serial_quantize_fp16_e2m1_ue8m0_n2_ceil_s2",
        "serial_quantize_bf16_e2m1_ue8m0_n16_absmax_s1",
    ],
)
def test_the_codes_are_the_model_s(name: str, seed: int) -> None:
    config = QuantizerConfig.parse(name)
    stimulus = in_series(random(config.spec, 160 // config.spec.block_size, seed=seed))
    comparison = compare(config, stimulus, run(config.build(), stimulus, engine="pysim"), engine="pysim")
    assert comparison.equal, str(comparison)
    assert comparison.compared == stimulus.vectors


def test_every_engine_gives_the_same_response_to_all_corners(build_dir: Path) -> None:
    config = QuantizerConfig(QuantizerSpec(scale="ue2m0", block_size=2), stages=2, serial=True)
    drawn = random(config.spec, 100, seed=0)
    stimulus = in_series(dataclasses.replace(directed(config.spec), offer=drawn.offer, accept=drawn.accept))
    responses = []
    for engine in ("pysim", "cxxrtl", "icarus"):
        if engine == "icarus" and external_tools.find("icarus").problem:
            continue
        response = run(config.build(), stimulus, engine=engine, build_dir=build_dir)
        comparison = compare(config, stimulus, response, engine=engine)
        assert comparison.equal, str(comparison)
        responses.append(response)
    for response in responses[1:]:
        for part in ("results", "result_cycles", "input_cycles", "cycles"):
            np.testing.assert_array_equal(getattr(response, part), getattr(responses[0], part))


@pytest.mark.parametrize("stages", [1, 2])
def test_a_number_is_taken_in_every_cycle_and_given_after_the_latency(stages: int, seed: int) -> None:
    config = QuantizerConfig(QuantizerSpec(scale="ue8m0", method="floor"), stages=stages, serial=True)
    unit = config.build()
    stimulus = in_series(random(config.spec, 6, seed=seed, stalls=False))
    response = run(unit, stimulus, engine="pysim")
    np.testing.assert_array_equal(response.input_cycles, np.arange(96))
    np.testing.assert_array_equal(response.result_cycles, np.arange(96) + 16 + stages)
    assert unit.latency == 16 + stages


def test_a_reset_in_a_block_forgets_what_was_taken() -> None:
    spec = QuantizerSpec(scale="ue4m3", block_size=4)
    unit = SerialQuantizerUnit(spec)
    three, block = np.full(3, 0x4700, np.uint16), np.array([0x40C0, 0x3F80, 0xC000, 0x3F00], np.uint16)
    elements, scale = spec.compute(block)
    top = Module()
    domain: Any = ClockDomain("sync")  # the stubs do not know its reset
    top.domains += domain
    top.submodules.unit = unit
    seen: list[tuple[int, int, int]] = []

    async def bench(ctx: SimulatorContext) -> None:
        async def put(codes: np.ndarray) -> None:
            for code in codes.tolist():
                ctx.set(unit.i_x, code)
                await ctx.tick()

        ctx.set(unit.o_ready, 1)
        ctx.set(unit.i_valid, 1)
        await put(three)
        ctx.set(unit.i_valid, 0)
        ctx.set(domain.rst, 1)
        await ctx.tick()
        ctx.set(domain.rst, 0)
        ctx.set(unit.i_valid, 1)
        await put(block)
        ctx.set(unit.i_valid, 0)
        for _ in range(8):
            *_, valid, code, of_block, last = await ctx.tick().sample(
                unit.o_valid, unit.o_code, unit.o_scale, unit.o_last
            )
            if valid:
                seen.append((code, of_block, last))

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [(code, int(scale), int(k == 3)) for k, code in enumerate(elements.tolist())]


def test_no_fault_of_a_small_one_survives(seed: int) -> None:
    config = QuantizerConfig(QuantizerSpec(scale="ue2m0", block_size=2), stages=1, serial=True)
    done = mutate(config, 12, seed=seed)
    assert done.count("survived") == 0
    assert done.count("killed") > 6


def test_what_does_not_fit_is_refused() -> None:
    spec = QuantizerSpec(block_size=4)
    with_bits = QuantizerSpec(block_size=4, rounding="stochastic")
    check_messages(
        [
            (
                ValueError,
                "x must be one row of blocks of 4, not shaped (6,)",
                lambda: SerialStimulus(spec=spec, x=np.zeros(6, np.uint16)),
            ),
            (
                ValueError,
                f"stimulus must be of numbers alone for a serial quantizer, not {with_bits.name}",
                lambda: in_series(random(with_bits, 2, seed=0)),
            ),
        ]
    )
