"""That the bins mean what they say, and that the directed stimulus meets them."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.model import DotSpec, quantize
from blockdot.model.presets import PRESETS
from blockdot.sim import Stimulus, from_blocks, random, run
from blockdot.sim.unit_stimulus import StimulusSource
from blockdot.verify.coverage.coverage import Coverage
from blockdot.verify.coverage.directed import directed
from blockdot.verify.coverage.reach import LONG, cancellations

CLOSED = [
    *(f"e2m1_{scale}_n16_{how}" for scale in ("ue4m3", "ue5m3") for how in ("none", "fp32", "exact")),
    "e2m1_ue4m3_n16_aligned",
    "e2m1_ue4m3xue2m0_n2_b4_fp32",
    "e2m1_ue8m0_n2_none",
    "e2m1_ue8m0_n2_fp32",
    "e2m1_ue8m0_n2_chain",
    "e4m3_ue4m3_n4_chain",
    "e2m1_ue3m1_n4_exact_g1",
    "e5m2_ue4m3_n8_none",
    "int8_ue4m3_full_n4_exact_g3",
    "e3m2_ue4m3_n2_aligned_f12",
    "e2m1_ue8m0_n2_aligned_f12",
    "e4m3_none_n4_aligned_f13_t1_z133_e8m13",
    "e5m2_none_n2_aligned_f13_t1_z21_binary16",
    # Sums that start at C.
    "e2m1_ue4m3_n2_fp32_c",
    "e2m1_ue3m1_n4_exact_g1_c",
    "e2m1_ue4m3_n2_aligned_f12_c",
    # Results that are rounded at the end of a sum.
    "e2m1_ue4m3_n2_fp32_binary16",
    "e2m1_ue4m3_n2_aligned_bfloat16",
    "e2m1_ue4m3_n4_none_bfloat16",
    "e2m1_ue3m1_n2_exact_g2_binary16_c",
    # Results that are multiplied by a tensor scale.
    "e2m1_ue4m3_n2_none_tensor",
    "e2m1_ue4m3_n4_fp32_tensor",
    "e5m2_ue3m1_n2_exact_g1_tensor",
]
PRESET_SPECS = sorted({preset.spec.name for preset in PRESETS.values()})


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "name", [*CLOSED, *(pytest.param(name, marks=pytest.mark.matrix) for name in PRESET_SPECS)]
)
def test_the_directed_stimulus_meets_every_bin_that_can_be_met(name):
    spec = DotSpec.parse(name)
    stimulus = directed(spec)
    coverage = Coverage(spec)
    coverage.add(stimulus)
    assert coverage.holes == []
    assert coverage.refuted == []
    assert stimulus.vectors < 2000


def test_the_directed_stimulus_is_always_the_same():
    spec = DotSpec(scale="ue2m0", block_size=2, blocks=2, accumulate="aligned", fraction=4)
    one, again = directed(spec), directed(spec)
    assert one.source == StimulusSource(kind="directed")
    for field in ("a", "b", "a_scale", "b_scale", "first", "last", "offer", "accept"):
        np.testing.assert_array_equal(getattr(again, field), getattr(one, field))


@pytest.mark.parametrize("name", CLOSED)
def test_what_cannot_be_met_is_not_met_by_chance(name, seed):
    coverage = Coverage(DotSpec.parse(name))
    coverage.add(random(coverage.spec, 600, seed=seed))
    assert coverage.refuted == []
    assert all("\n" not in one.unreachable for one in coverage.bins)


def test_mild_data_leave_most_corners_open(rng):
    """What a bin is for: blocks of a real tensor meet few of them."""
    spec = DotSpec(scale="ue5m3", block_size=16, accumulate="fp32")
    tensors = [quantize(rng.normal(size=(8, 512)).astype(np.float32)) for _ in "ab"]
    (a, a_scale), (b, b_scale) = (tensor.blocks() for tensor in tensors)
    coverage = Coverage(spec)
    shape = (8, 32, 1)
    coverage.add(
        from_blocks(
            spec, a.reshape(*shape, 16), b.reshape(*shape, 16), a_scale.reshape(shape), b_scale.reshape(shape)
        )
    )
    groups = {one.group for one in coverage.holes}
    assert {"scales", "alignment", "binary32 addition", "results", "sequence"} <= groups
    assert len(coverage.holes) > len(coverage.bins) / 3


# Bins of single sums, by hand. Codes of e2m1: 1 is 0.5, 2 is 1, 4 is 2, 6 is 4. A code of ue4m3 with mantissa
# zero is a power of two, 56 being one.

ONE = 56


def met(spec: DotSpec, *groups: tuple[Sequence[int], Sequence[int], int, int], last: int = -1) -> set[str]:
    """Return what one sum meets, as ``group: name``."""
    a, b = (np.array([[group[k]] for group in groups], np.uint8) for k in (0, 1))
    scales = [np.array([[group[k]] for group in groups], np.uint8) for k in (2, 3)]
    flags = np.zeros((2, len(groups)), np.bool_)
    flags[0, 0] = flags[1, last] = True
    stimulus = Stimulus(
        spec=spec, a=a, b=b, a_scale=scales[0], b_scale=scales[1], first=flags[0], last=flags[1]
    )
    coverage = Coverage(spec)
    coverage.add(stimulus)
    return {f"{one.group}: {one.name}" for one in coverage.met}


def power(exponent: int, sign: int = 1) -> tuple[Sequence[int], Sequence[int], int, int]:
    """A group of two elements that is a power of two from 2**-11 to 2**15."""
    scale = [ONE, ONE]
    for k in (0, 1):
        step = max(-6, min(7, exponent))
        scale[k] += 8 * step
        exponent -= step
    assert exponent in (0, 1, 2)
    return [(2, 4, 6)[exponent] | (8 if sign < 0 else 0), 0], [2, 0], scale[0], scale[1]


def test_a_block_is_told_by_its_sum_and_by_what_cancels():
    spec = DotSpec(scale="ue4m3", block_size=2)
    # 1 * 6 - 0.5 * 12 / 2: 6 - 3, in quarters 24 - 12.
    hits = met(spec, ([2, 9], [7, 7], ONE, ONE))
    assert {"cancellation: 1 bits", "top bit of a group: +2^1", "elements: 0x9 x 0x7"} <= hits
    assert "sums: cancelled to zero" in met(spec, ([2, 10], [7, 7], ONE, ONE))
    assert "sums: every product zero" in met(spec, ([0, 8], [7, 7], ONE, ONE))
    assert "sums: largest" in met(spec, ([7, 15], [7, 15], 0x7E, 0x7E))
    assert {"sums: -1", "lanes: block 0 lane 1 negative"} <= met(spec, ([0, 9], [7, 1], ONE, ONE))
    assert {"scales: zero x NaN", "results: NaN"} <= met(spec, ([1, 1], [1, 1], 0, 0x7F))
    assert {"scales: subnormal x largest", "scale shift: 14 places"} <= met(spec, ([1, 0], [1, 0], 3, 0x7E))


@pytest.mark.parametrize("count", [2])
def test_what_cancels_is_what_all_pairs_of_products_say(count):
    spec = DotSpec(block_size=count)
    values = (spec.elements[0].values * 2).astype(int)
    products = sorted({int(x * y) for x in values for y in values})
    depths = {
        max(p, q).bit_length() - abs(p - q).bit_length()
        for p, q in itertools.product(products, repeat=2)
        if p >= 0 and q >= 0 and p != q
    }
    found = cancellations(spec)
    assert {depth for depth, split in found.items() if split} == depths
    for depth, split in found.items():
        if split:
            _, whole, taken = split
            assert whole.bit_length() - (whole - taken).bit_length() == depth


FP32 = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([(3, 1), (0, 1)], ["alignment: 3 above, added", "binary32 addition: add: exact"]),
        ([(0, 1), (3, -1)], ["alignment: 3 below, subtracted", "binary32 addition: 1 leading zeros"]),
        ([(14, 1), (-10, 1)], ["binary32 addition: add: tie to even below"]),
        ([(13, 1), (-10, 1), (-11, 1)], ["binary32 addition: add: tie to even above"]),
        ([(14, 1), (-11, 1)], ["binary32 addition: add: below half"]),
        ([(14, 1), (-11, 1)], ["binary32 addition: add: guard, round, sticky 010"]),
        ([(-10, 1), (14, 1)], ["binary32 addition: add: guard, round, sticky 100"]),
        (
            [(15, 1), (-11, -1)],
            ["alignment: 26 above, subtracted", "binary32 addition: subtract: above half"],
        ),
        ([(15, 1), (-11, -1)], ["binary32 addition: subtract: carry into the exponent"]),
        ([(5, 1), (2, 1), (5, -1)], ["binary32 addition: 3 leading zeros"]),
        ([(5, -1), (5, 1)], ["binary32 addition: x - x", "results: +0"]),
    ],
)
def test_an_addition_is_told_by_what_it_does(groups, names):
    hits = met(FP32, *(power(*group) for group in groups))
    assert set(names) <= hits


def test_an_exact_sum_is_told_by_where_it_stands():
    spec = DotSpec(scale="ue4m3", block_size=2, accumulate="exact")
    hits = met(spec, power(0), power(3, -1), power(15), power(15, -1), power(3), power(1, -1))
    assert {one for one in hits if one.startswith("exact sum")} == {
        "exact sum: + to -",
        "exact sum: - to +",
    }
    assert "exact sum: + to 0" in met(spec, power(4), power(4, -1))
    hits = met(spec, power(15), power(-9))
    assert {"rounding of a sum: tie to even below", "top bit of a sum: +2^15"} <= hits
    assert "alignment: 24 above, added" in hits


@pytest.mark.parametrize(
    ("scale", "name"),
    [(39, None), (40, "one less is another sum"), (41, "one more is another sum"), (42, None)],
)
def test_a_zero_is_told_by_the_bits_that_its_exponent_decides(scale, name):
    """What lies below 2^-174 is cut off beside a zero; of -1/4 under such scales it is all or nothing."""
    spec = DotSpec(scale="ue8m0", block_size=2, accumulate="aligned")
    alone = met(spec, ([1, 0], [9, 0], 127 - 86, scale))
    assert {one for one in alone if one.startswith("exponent of a zero")} == (
        {f"exponent of a zero: {name}"} if name else set()
    )
    assert "results: -0" in alone or scale < 41
    # Beside something larger it decides nothing.
    beside = met(spec, ([1, 2], [9, 2], 127 - 86, 127), ([1, 0], [9, 0], 127 - 86, scale))
    assert not any(one.startswith("exponent of a zero") for one in beside)


def test_an_aligned_sum_is_told_by_who_is_ahead_and_what_is_cut():
    spec = DotSpec(scale="ue4m3", block_size=2, accumulate="aligned", fraction=10)
    hits = met(spec, power(0), power(13))
    assert {"aligned sum: sum 12 and more behind", "aligned sum: + sum lost"} <= hits
    hits = met(spec, power(12), power(-9, -1))
    assert {"aligned sum: sum ahead", "aligned sum: - block lost"} <= hits
    hits = met(spec, ([2, 0], [2, 0], ONE, ONE), ([2, 1], [2, 1], ONE - 8 * 5, ONE - 8 * 4))
    assert {"aligned sum: block 9 behind", "aligned sum: + block cut", "aligned sum: result exact"} <= hits
    hits = met(spec, power(0), ([0, 0], [0, 0], ONE + 8 * 3, ONE))
    assert {"aligned sum: zeros under scales that would be ahead", "aligned sum: sum ahead"} <= hits
    assert "aligned sum: cancelled block ahead" not in hits
    hits = met(spec, power(0), ([2, 10], [2, 2], ONE + 8 * 3, ONE))
    assert {"aligned sum: cancelled block ahead", "aligned sum: block 0 ahead"} <= hits
    assert "aligned sum: zeros under scales that would be ahead" not in hits
    wide = DotSpec(scale="ue8m0", block_size=2, accumulate="aligned")
    largest = ([6, 6], [6, 6], 254, 127)
    assert {"aligned sum: + result too large", "results: +infinity"} <= met(wide, largest)


def test_what_no_result_depends_on_does_not_count():
    counted = met(FP32, power(3), power(0), power(1))
    assert "alignment: 2 above, added" in counted
    hits = met(FP32, power(3), power(0), power(1), last=1)
    assert "alignment: 3 above, added" in hits
    assert "alignment: 2 above, added" not in hits
    spec = dataclasses.replace(FP32)
    stimulus = random(spec, 50, seed=1)
    unstarted = dataclasses.replace(stimulus, first=np.zeros(50, np.bool_))
    coverage = Coverage(spec)
    coverage.add(unstarted)
    assert coverage.met == {}


def test_long_sums_reach_the_guard_bits():
    spec = DotSpec(scale="ue2m0", block_size=2, accumulate="exact", guard=9)
    coverage = Coverage(spec, long=True)
    stimulus = directed(spec, long=True)
    coverage.add(stimulus)
    assert coverage.holes == []
    assert all(not one.unreachable for one in coverage.bins if one.group == "top bit of a sum")
    short = Coverage(spec)
    short.add(directed(spec))
    assert sum(bool(one.unreachable) for one in short.bins if one.group == "top bit of a sum") == 2 * 3
    assert LONG >= 9


@pytest.mark.parametrize("stages", [1, 3])
def test_ports_are_told_by_the_cycles_of_a_run(stages):
    unit = DotUnit(DotSpec(scale="ue2m0", block_size=2), stages=stages)
    stimulus = directed(unit.spec)
    coverage = Coverage(unit.spec, latency=unit.latency)
    coverage.add(stimulus, run(unit, stimulus))
    assert coverage.holes == []
    free = dataclasses.replace(stimulus, offer=np.ones(1, np.bool_), accept=np.ones(1, np.bool_))
    coverage = Coverage(unit.spec, latency=unit.latency)
    coverage.add(free, run(unit, free))
    assert {one.name for one in coverage.met if one.group == "ports"} == {
        "input taken at once",
        "no gap between inputs",
        "result taken at once",
    }
    full = dataclasses.replace(free, accept=np.array([True] + [False] * 9))
    coverage = Coverage(unit.spec, latency=unit.latency)
    coverage.add(full, run(unit, full))
    names = {one.name for one in coverage.met if one.group == "ports"}
    assert f"result waits with {stages} inputs behind it" in names
    assert {"input waits longer", "result waits longer"} <= names
