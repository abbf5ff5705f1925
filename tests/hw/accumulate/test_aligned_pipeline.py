"""Units of several stages whose sums are kept as the adder leaves them, and the parts beside the loop."""

from collections.abc import Callable

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.hw.accumulate.column_counts import ColumnCounts
from blockdot.model import DotSpec
from unit_bits import assert_bits_of_the_model

UNITS = (
    # One term; two, of which a zero can be ahead; and four, whose sums lose bits below the least number.
    "e2m1_ue4m3_n2_aligned_s2_delay",
    "e2m1_ue8m0_n2_b2_aligned_f9_s3_delay",
    "e2m1_ue8m0_n2_b4_aligned_f40_s7_delay",
    # Products, with one pair of scales, with several and with none; sums of 13 bits.
    "e2m1_ue4m3_n4_aligned_f7_t1_z133_s4_delay",
    "e3m2_ue5m3_n2_b2_aligned_f25_t1_z20_s5_delay",
    "e4m3_none_n4_aligned_f13_t1_z133_e8m13_s6_delay",
    # Infinities, of elements and of sums; and sums that start at any number.
    "e5m2_ue4m3_n2_b2_aligned_f12_s3_delay",
    "bf16_none_n2_aligned_f24_t1_z132_s3_delay",
    "e2m1_ue4m3_n2_aligned_f20_c_s3_delay",
    "e4m3_none_n2_aligned_f13_t1_z133_e8m13_c_s2_delay",
)


@pytest.mark.one_in(10)
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_bits_of_the_model(name: str, seed: int) -> None:
    assert_bits_of_the_model(name, seed)


@pytest.mark.parametrize("count", [2, 5])
def test_counts_shifted_are_the_terms_cut_off(
    count: int, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    """The sum of terms that are each shifted right is that of the counts shifted right, and the signs'."""
    width = 6
    digits = count.bit_length()
    signs = rng.integers(0, 2, (100, count))
    terms = rng.integers(0, 1 << width, (100, count))
    rows = [
        (sum(int(s) << k for k, s in enumerate(sign)), sum(int(t) << width * k for k, t in enumerate(term)))
        for sign, term in zip(signs, terms, strict=True)
    ]
    seen = evaluate_many(ColumnCounts(count=count, width=width, adder="sklansky"), rows)
    for sign, term, (row, negatives) in zip(signs, terms, seen, strict=True):
        assert negatives == sign.sum()
        for distance in range(width + 2):
            cut = sum((-1) ** int(s) * (int(t) >> distance) for s, t in zip(sign, term, strict=True))
            total = negatives
            for j in range(digits):
                digit = row >> width * j & (1 << width) - 1
                # Above its columns stands its digit of how many are negative, without end.
                total += (digit - (negatives >> j & 1) * (1 << width) >> distance) << j
            assert total == cut


def test_what_needs_the_sum_so_far_is_in_the_loop_and_nothing_else() -> None:
    spec = DotSpec(scale="ue4m3", blocks=4, accumulate="aligned")
    steps = DotUnit(spec, stages=2, optimise="delay").steps
    assert steps[-5:] == ("search", "align", "count", "accumulate", "result")
    # One term is aligned to nothing but the sum; a sum that is rounded to nearest is normalised in the loop.
    assert DotUnit(DotSpec(accumulate="aligned"), stages=2, optimise="delay").steps[-2:] == (
        "accumulate",
        "result",
    )
    assert DotUnit(DotSpec.preset("volta-fp16-fp16"), stages=2, optimise="delay").steps[-1] == "accumulate"
    assert DotUnit(spec, stages=1, optimise="delay").steps[-1] == "accumulate"
    assert DotUnit(spec, stages=2, optimise="area").steps[-1] == "accumulate"


def test_c_counts_where_it_passes_a_register() -> None:
    plain, starting = (
        DotUnit(DotSpec(accumulate="fp32", takes_c=c), stages=2).datapath.steps for c in (False, True)
    )
    more = [after.bits - before.bits for before, after in zip(plain, starting, strict=True)]
    assert more == [32] * (len(plain) - 1) + [0]
