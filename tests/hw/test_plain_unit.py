"""The obvious description computes the same: else it would be no rival."""

from collections.abc import Iterable

import numpy as np
import pytest
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext
from blockdot.hw.plain_unit import ObviousUnit, SumUnit
from blockdot.model import DotSpec


def outputs(component: wiring.Component, output: str, rows: Iterable[dict[str, int]]) -> list[int]:
    seen: list[int] = []

    async def bench(ctx: SimulatorContext) -> None:
        for row in rows:
            for port, number in row.items():
                ctx.set(getattr(component, port), number)
            await ctx.delay(1e-9)
            seen.append(ctx.get(getattr(component, output)))

    simulator = Simulator(component)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def word(codes: np.ndarray, bits: int) -> int:
    return sum(int(code) << bits * k for k, code in enumerate(codes.reshape(-1)))


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
def test_the_obvious_description_gives_the_bits_of_the_model(scale: str, rng: np.random.Generator) -> None:
    spec = DotSpec(scale=scale, block_size=4)
    codes = rng.integers(0, 16, (2, 700, 1, 4), dtype=np.uint8)
    codes[:, :20] = 0
    scales = rng.integers(0, 1 << spec.scales[0].bits, (2, 700, 1), dtype=np.uint8)
    scales[0, 20:40] = (1 << spec.scales[0].bits) - 1  # NaN
    rows = [
        {
            "i_a": word(codes[0, k], 4),
            "i_b": word(codes[1, k], 4),
            "i_a_scale": int(scales[0, k, 0]),
            "i_b_scale": int(scales[1, k, 0]),
        }
        for k in range(700)
    ]
    expected = spec.compute(*codes, *scales).view(np.uint32).tolist()
    assert outputs(ObviousUnit(spec), "o_result", rows) == expected


@pytest.mark.parametrize("fast", [False, True])
def test_the_sum_is_that_of_the_products(fast: bool, rng: np.random.Generator) -> None:
    codes = rng.integers(0, 16, (2, 200, 16), dtype=np.uint8)
    halves = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])
    rows = [{"i_a": word(codes[0, k], 4), "i_b": word(codes[1, k], 4)} for k in range(200)]
    expected = (halves[codes[0]] * halves[codes[1]]).sum(axis=1).tolist()
    assert outputs(SumUnit(DotSpec(), fast=fast), "o_sum", rows) == expected
