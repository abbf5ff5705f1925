import re
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator, SimulatorContext
from blockdot.hw import DotArray, DotUnit, to_verilog
from blockdot.model import DotSpec
from messages import check_messages


def test_a_tile_is_named_after_its_shape_specification_and_stages() -> None:
    array = DotArray(DotSpec(accumulate="fp32"), rows=4, columns=8, stages=3)
    assert array.name == "blockdot_array4x8_e2m1_ue5m3_n16_fp32_s3"
    assert DotArray(DotSpec(), rows=1, columns=2, flow="valid").name.endswith("_none_s1_valid")


def test_ports_carry_rows_and_columns() -> None:
    spec = DotSpec(scale=("ue4m3", "ue5m3"), block_size=4, blocks=2, accumulate="exact")
    ports = {port.name: port for port in DotArray(spec, rows=3, columns=5).ports}
    assert [(name, port.width) for name, port in ports.items()] == [
        ("clk", 1),
        ("rst", 1),
        ("i_valid", 1),
        ("i_ready", 1),
        ("i_first", 1),
        ("i_last", 1),
        ("i_a", 3 * 8 * 4),
        ("i_b", 5 * 8 * 4),
        ("i_a_scale", 3 * 2 * 7),
        ("i_b_scale", 5 * 2 * 8),
        ("o_valid", 1),
        ("o_ready", 1),
        ("o_result", 3 * 5 * 32),
    ]
    assert ports["i_b"].meaning == (
        "elements of b, column i above column i-1, each 8, e2m1 codes: number k at bits [4k+3:4k]"
    )
    assert ports["o_result"].meaning == (
        "the results, binary32: row i and column j at bits [32k+31:32k] with k = 5i+j"
    )


def test_stages_and_widths_are_those_of_the_unit() -> None:
    spec = DotSpec(accumulate="fp32")
    unit = DotUnit(spec, stages=5)
    array = DotArray(spec, rows=2, columns=2, stages=5)
    assert (array.latency, array.widths, array.max_stages) == (5, unit.widths, unit.max_stages)


def test_bad_parameters_are_refused() -> None:
    spec = DotSpec()
    bad: Any = 2.0
    check_messages(
        [
            (ValueError, "rows must be from 1 to 64, not 0", lambda: DotArray(spec, rows=0, columns=1)),
            (ValueError, "columns must be from 1 to 64, not 65", lambda: DotArray(spec, rows=1, columns=65)),
            (TypeError, "rows must be an integer, not True", lambda: DotArray(spec, rows=True, columns=1)),
            (TypeError, "columns must be an integer, not 2.0", lambda: DotArray(spec, rows=1, columns=bad)),
            (TypeError, "spec must be a DotSpec, not 2.0", lambda: DotArray(bad, rows=1, columns=1)),
        ]
    )


def test_each_element_is_decoded_once_and_cells_share_a_module() -> None:
    array = DotArray(DotSpec(block_size=4, accumulate="fp32"), rows=3, columns=2)
    text = to_verilog(array).text
    assert len(re.findall(rf"^  {array.name}_decode_[ab] decode_[ab]_\d+ \(", text, re.MULTILINE)) == 4 * (
        3 + 2
    )
    assert len(re.findall(rf"^  {array.name}_cell cell_\d+ \(", text, re.MULTILINE)) == 3 * 2
    assert text.count(f"\nmodule {array.name}_cell(") == 1


# In Amaranth's own simulator a tile is plain submodules; emitted, it is modules of its own: sim.tile's tests
# run those.
@pytest.mark.parametrize("flow", ["valid", "enable"])
def test_the_component_gives_the_bits_of_the_model(flow, rng: np.random.Generator) -> None:
    spec = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")
    rows, columns, groups, stages = 2, 3, 12, 2
    array = DotArray(spec, rows=rows, columns=columns, stages=stages, flow=flow)
    a, b = (rng.integers(0, 16, (groups, count, 2)) for count in (rows, columns))
    a_scale, b_scale = (rng.integers(0, 128, (groups, count)) for count in (rows, columns))
    moves = rng.random(200) < 0.7 if flow == "enable" else np.ones(200, np.bool_)
    seen: list[int] = []

    def word(codes: np.ndarray, bits: int) -> int:
        return sum(int(code) << bits * k for k, code in enumerate(codes.reshape(-1)))

    async def bench(ctx: SimulatorContext) -> None:
        k = 0
        for move in moves:
            if flow == "enable":
                ctx.set(array.en, int(move))
            ctx.set(array.i_valid, int(k < groups))
            if k < groups:
                ctx.set(array.i_first, int(k % 4 == 0))
                ctx.set(array.i_last, int(k % 4 == 3))
                ctx.set(array.i_a, word(a[k], 4))
                ctx.set(array.i_b, word(b[k], 4))
                ctx.set(array.i_a_scale, word(a_scale[k], 7))
                ctx.set(array.i_b_scale, word(b_scale[k], 7))
            if move and ctx.get(array.o_valid):
                seen.append(ctx.get(array.o_result))
            await ctx.tick()
            k += int(move)

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    results = np.array([[s >> 32 * k & 0xFFFFFFFF for k in range(rows * columns)] for s in seen], np.uint32)
    # Sums of four groups; shape (sums, rows, columns, groups, blocks, N).
    shape = (groups // 4, 4)
    expected = spec.compute(
        a.reshape(*shape, rows, 1, 1, 2).transpose(0, 2, 3, 1, 4, 5).repeat(columns, axis=2),
        b.reshape(*shape, 1, columns, 1, 2).transpose(0, 2, 3, 1, 4, 5).repeat(rows, axis=1),
        a_scale.reshape(*shape, rows, 1, 1).transpose(0, 2, 3, 1, 4).repeat(columns, axis=2),
        b_scale.reshape(*shape, 1, columns, 1).transpose(0, 2, 3, 1, 4).repeat(rows, axis=1),
    ).view(np.uint32)
    assert np.array_equal(results.reshape(expected.shape), expected)
