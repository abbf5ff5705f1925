import re
from dataclasses import replace

import numpy as np
import pytest
from blockdot.hw import UnitConfig
from blockdot.model import DotSpec
from blockdot.sim import Response, from_blocks, random
from blockdot.sim.stimulus import Stimulus
from blockdot.verify import compare


def perfect(stimulus: Stimulus) -> Response:
    """What a unit without fault might answer."""
    count = stimulus.result_count
    return Response(
        results=stimulus.expected(),
        result_cycles=10 * np.arange(count),
        input_cycles=np.arange(stimulus.vectors),
        cycles=10 * count,
    )


def test_equal_bits_compare_equal(seed):
    unit = UnitConfig(DotSpec(block_size=4, accumulate="fp32"), stages=1)
    stimulus = random(unit.spec, 200, seed=seed)
    comparison = compare(unit, stimulus, perfect(stimulus), engine="pysim")
    assert comparison.equal
    assert (comparison.differing, comparison.missing, comparison.mismatches) == (0, 0, ())
    assert str(comparison) == f"{stimulus.result_count} of {stimulus.result_count} results are the model's"


@pytest.mark.parametrize("bit", [0, 31])
def test_one_bit_is_enough_to_differ(seed, bit):
    unit = UnitConfig(DotSpec(block_size=4), stages=1)
    stimulus = random(unit.spec, 50, seed=seed)
    response = perfect(stimulus)
    response.results[20] ^= np.uint32(1 << bit)
    comparison = compare(unit, stimulus, response, engine="pysim")
    assert not comparison.equal
    assert comparison.differing == 1
    assert [m.result for m in comparison.mismatches] == [20]


def test_missing_results_are_counted_and_the_others_compared(seed):
    unit = UnitConfig(DotSpec(block_size=4), stages=1)
    stimulus = random(unit.spec, 50, seed=seed)
    whole = perfect(stimulus)
    part = Response(
        results=whole.results[:40] ^ np.uint32(1),
        result_cycles=whole.result_cycles[:40],
        input_cycles=whole.input_cycles,
        cycles=400,
    )
    comparison = compare(unit, stimulus, part, engine="pysim", shown=2)
    assert (comparison.compared, comparison.differing, comparison.missing) == (40, 40, 10)
    assert len(comparison.mismatches) == 2
    assert str(comparison).startswith("0 of 40 results are the model's, 10 are missing\n")


def test_undefined_results_are_not_compared(seed):
    spec = DotSpec(block_size=4, accumulate="fp32")
    whole = random(spec, 30, seed=seed)
    first, last = np.array(whole.first), np.array(whole.last)
    first[:6], last[2], first[6] = False, True, True
    stimulus = Stimulus(
        spec=spec, a=whole.a, b=whole.b, a_scale=whole.a_scale, b_scale=whole.b_scale, first=first, last=last
    )
    response = perfect(stimulus)
    response.results[0] = 0x12345678
    comparison = compare(UnitConfig(spec, stages=1), stimulus, response, engine="pysim")
    assert comparison.equal
    assert comparison.compared == stimulus.result_count - stimulus.undefined_count


def test_a_mismatch_tells_everything():
    spec = DotSpec(scale=("ue4m3", "ue5m3"), block_size=4)
    stimulus = from_blocks(
        spec,
        np.array([[[0, 1, 2, 15]]], np.uint8),
        np.array([[[2, 2, 10, 2]]], np.uint8),
        np.array([[0x38]], np.uint8),
        np.array([[0x7C]], np.uint8),
    )
    response = perfect(stimulus)
    response.results[0] ^= np.uint32(1 << 22)
    mismatch = compare(UnitConfig(spec, stages=1), stimulus, response, engine="icarus").mismatches[0]
    assert (mismatch.first, mismatch.last, mismatch.expected, mismatch.seen) == (0, 0, 0xC11C0000, 0xC15C0000)
    assert str(mismatch).splitlines() == [
        "blockdot_e2m1_ue4m3xue5m3_n4_none_s1 on icarus: result 0 (vector 0, the last taken in cycle 0, "
        "result given in cycle 0)",
        "  expected 0xc11c0000 (-9.75)",
        "  seen     0xc15c0000 (-13.75)",
        "  vector 0: a_scale 38 (ue4m3: 1), b_scale 7c (ue5m3: 1.5)",
        "    a 0 1 2 f (e2m1: 0 0.5 1 -6)",
        "    b 2 2 a 2 (e2m1: 1 1 -1 1)",
    ]


def test_a_long_sum_is_told_by_its_ends(rng):
    spec = DotSpec(scale="ue4m3", block_size=2, blocks=2, accumulate="fp32")
    a, b = rng.integers(0, 16, (2, 1, 9, 2, 2), dtype=np.uint8)
    a_scale, b_scale = rng.integers(0, 127, (2, 1, 9, 2), dtype=np.uint8)
    stimulus = from_blocks(spec, a, b, a_scale, b_scale)
    response = perfect(stimulus)
    response.results[0] ^= np.uint32(1)
    text = str(compare(UnitConfig(spec, stages=1), stimulus, response, engine="pysim").mismatches[0])
    assert "result 0 (vectors 0 to 8, the last taken in cycle 8, result given in cycle 0)" in text
    told = [line.split(":")[0].strip() for line in text.splitlines() if line.startswith("  vector")]
    assert told == [f"vector {v} block {block}" for v in (0, 1, 7, 8) for block in (0, 1)]
    assert text.count("  ... 5 more vectors\n") == 1


def test_a_response_to_another_stimulus_is_refused(seed):
    unit = UnitConfig(DotSpec(block_size=4), stages=1)
    stimulus = random(unit.spec, 50, seed=seed)
    response = perfect(stimulus)
    for results, shape in (
        # What numpy would compare, each result with every word of the other.
        (response.results[:, np.newaxis], (50, 1)),
        (np.append(response.results, np.uint32(0)), (51,)),
    ):
        other = replace(response, results=results)
        with pytest.raises(
            ValueError, match=rf"^results must be at most \(50,\) .* not {re.escape(str(shape))}$"
        ):
            compare(unit, stimulus, other, engine="pysim")
