"""Units of ``chain`` against the model, and where they are those of ``fp32``."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from blockdot.hw import UnitConfig, to_verilog
from blockdot.hw.accumulate.chain_adder import ChainWidths, RoundedTotal
from blockdot.hw.datapath import make_datapath
from blockdot.hw.leaves.round import Normalise, NumberRange
from blockdot.model import DotSpec
from blockdot.sim import from_blocks, run
from blockdot.verify import compare
from unit_bits import assert_bits_of_the_model

UNITS = (
    # Nothing but the scale of a can be infinite.
    "e2m1_ue8m0_n2_chain_s1",
    "e2m1_ue8m0_n2_chain_c_s3_delay",
    "e3m4_ue8m0_n2_chain_s2",
    # Products are rounded, and what is multiplied by scales.
    "e4m3xe2m1_ue5m2_n8_chain_s2",
    "e4m3_ue4m3_n2_chain_s3_delay",
    "e4m3_ue8m0_n2_chain_s2",
    "e5m2_ue8m0_n2_chain_s1",
    "e4m3xe5m2_ue8m0xue4m3_n2_chain_s1",
)


@pytest.mark.one_in(8)
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_bits_of_the_model(name: str, seed: int) -> None:
    assert_bits_of_the_model(name, seed)


def test_where_nothing_else_is_rounded_it_is_the_unit_of_fp32() -> None:
    for form in ("s1", "s1_delay", "s3", "s3_delay"):
        steps = [
            [type(step) for step in make_datapath(UnitConfig.parse(f"e2m1_ue5m3_n16_{how}_{form}")).steps]
            for how in ("chain", "fp32")
        ]
        assert steps[0] == steps[1]
    texts = [
        to_verilog(UnitConfig.parse(f"e2m1_ue5m3_n2_{how}_s1").build()).text for how in ("chain", "fp32")
    ]
    chain, fp32 = (text[text.index("module ") :] for text in texts)
    assert chain.replace("_chain_", "_fp32_") == fp32


def test_what_the_scale_of_a_rounds_to_zero_keeps_its_sign() -> None:
    """-2^-32 times 2^-127 is less than half of the least binary32 number; C of -0 shows the sign."""
    spec = DotSpec(element="e5m2", scale="ue8m0", block_size=2, accumulate="chain", takes_c=True)
    a, b = np.array([[[[0x81, 0]]]], np.uint8), np.array([[[[1, 0]]]], np.uint8)
    low, one = np.zeros((1, 1, 1), np.uint8), np.full((1, 1, 1), 127, np.uint8)
    stimulus = from_blocks(spec, a, b, low, one, np.array([-0.0], np.float32))
    assert stimulus.expected().tolist() == [0x80000000]
    config = UnitConfig(spec, stages=1)
    assert compare(config, stimulus, run(config.build(), stimulus), engine="pysim").equal


def test_ones_all_over_just_below_the_least_normal_number_round_up_to_it() -> None:
    numbers = NumberRange(magnitude_bits=24, exponent_bits=8, exponents=(0, 254), offset=-200, full=True)
    normalise = Normalise(numbers)
    found = []

    async def bench(ctx):
        for magnitude, field in ((0xFFFFFF, 50), (0xFFFFFF, 49), (0xFFFFFE, 50), (0xFFFFFF, 51)):
            ctx.set(normalise.magnitude, magnitude)
            ctx.set(normalise.exponent, field)
            found.append((ctx.get(normalise.field) << 23) + ctx.get(normalise.fraction))

    simulator = Simulator(normalise)
    simulator.add_testbench(bench)
    simulator.run()
    # 2^24 - 1 times 2^-150 is a tie, whose even neighbour is the least normal number.
    assert found == [0x800000, 0x400000, 0x7FFFFF, 0xFFFFFF]


def test_sums_are_as_wide_as_they_can_be() -> None:
    chain = ChainWidths(DotSpec(element="e4m3", block_size=4, accumulate="chain"))
    # 448 * 448 * 2^18 has 36 bits: 2 of them 37, 3 and 4 of them 38, and there is a sign.
    assert chain.begun == 2
    assert [chain.rounded(k) for k in (2, 3, 4)] == [38, 39, 39]
    chain = ChainWidths(DotSpec(element="e3m2", block_size=128, accumulate="chain"))
    assert chain.begun == 84
    assert chain.exact(84) == chain.exact(85) == 26


@pytest.mark.parametrize(("exact_bits", "adder"), [(28, "ripple"), (33, "sklansky"), (25, "ripple")])
def test_an_integer_is_rounded_as_binary32_rounds_it(exact_bits, adder, rng) -> None:
    leaf = RoundedTotal(exact_bits=exact_bits, total_bits=exact_bits + 1, adder=adder)
    most = 1 << exact_bits - 1
    numbers = [0, 1, -1, most - 1, -most, 1 - most]
    for bits in range(23, exact_bits - 1):
        for around in (1 << bits, (1 << bits) + (1 << bits - 23), (1 << bits) + (1 << max(bits - 24, 0))):
            numbers += [sign * (around + off) for off in (-1, 0, 1) for sign in (1, -1)]
    numbers += (rng.integers(-most, most, 300) >> rng.integers(0, exact_bits - 1, 300)).tolist()
    numbers = [number for number in numbers if -most <= number < most]
    given = []

    async def bench(ctx):
        for number in numbers:
            ctx.set(leaf.exact, number)
            given.append(ctx.get(leaf.total))

    simulator = Simulator(leaf)
    simulator.add_testbench(bench)
    simulator.run()
    assert given == np.array(numbers, np.float64).astype(np.float32).astype(np.int64).tolist()
