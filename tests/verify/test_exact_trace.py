"""The account in integers against the model, which computes in floating point, and against fractions."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from blockdot.model import DotSpec
from blockdot.sim import random
from blockdot.verify.exact_trace import replay, unit_exponent
from blockdot.verify.integer_rounding import NAN, binary32_exponent, chop, nearest, number_of

ACCUMULATES = ("none", "fp32", "exact", "aligned")
SPECS = [
    *(DotSpec(scale=scale, accumulate=how) for scale in ("ue4m3", "ue5m3", "ue8m0") for how in ACCUMULATES),
    *(DotSpec(scale=("ue2m0", "ue8m5"), block_size=4, blocks=4, accumulate=how) for how in ACCUMULATES),
    *(DotSpec(element=("e5m2", "int8"), block_size=32, blocks=2, accumulate=how) for how in ACCUMULATES),
    *(DotSpec(element="e4m3", scale="ue8m0", block_size=8, accumulate=how) for how in ACCUMULATES),
    DotSpec(accumulate="aligned", blocks=4, fraction=12),
    *(DotSpec(scale="ue8m0", block_size=4, accumulate=how, takes_c=True) for how in ACCUMULATES[1:]),
    DotSpec.parse("e4m3_none_n4_aligned_f13_t1_z133_e8m13_c"),
    DotSpec(scale="ue8m0", block_size=4, accumulate="fp32", result="bfloat16"),
    DotSpec(scale="ue4m3", block_size=4, accumulate="fp32", result="binary16", takes_c=True),
    DotSpec(scale="ue4m3", block_size=4, accumulate="aligned", result="bfloat16"),
    DotSpec(scale="ue8m0", block_size=4, blocks=2, result="bfloat16"),
    DotSpec(scale="ue4m3", block_size=4, accumulate="exact", result="binary16", takes_c=True),
    DotSpec.parse("fp16_none_n2_aligned_f23_t1_z20_binary16_c"),
    *(DotSpec(scale="ue8m0", block_size=4, accumulate=how, tensor_scale=True) for how in ACCUMULATES[::2]),
    DotSpec(scale="ue4m3", block_size=4, accumulate="fp32", tensor_scale=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_account_ends_in_the_model_s_bits(spec, seed):
    stimulus = random(spec, 1500, seed=seed)
    told = [(step.scaled or step.result).bits for step in replay(stimulus) if step.result]
    expected = spec.result_format.decode(stimulus.expected()).view(np.uint32)
    np.testing.assert_array_equal(np.array(told, np.uint32), expected)


@pytest.mark.parametrize(
    "spec", [DotSpec(scale="ue5m3", blocks=2, block_size=4, accumulate="exact")], ids=str
)
def test_the_values_on_the_way_are_those_of_fractions(spec, seed):
    stimulus = random(spec, 200, seed=seed)
    unit = Fraction(2) ** unit_exponent(spec)
    codes = (stimulus.a, stimulus.b, stimulus.a_scale, stimulus.b_scale)
    total = Fraction(0)
    for step in replay(stimulus):
        values = [
            fmt.values[array[step.vector]]
            for fmt, array in zip(spec.elements + spec.scales, codes, strict=True)
        ]
        a, b, a_scale, b_scale = (np.vectorize(lambda v: v, otypes=[object])(v) for v in values)
        special = any(np.isnan(v).any() for v in values)
        assert np.isnan(step.special) == special
        total = Fraction(0) if step.first else total
        if special or np.isnan(step.after_special):
            continue
        value = Fraction(0)
        for j, block in enumerate(step.blocks):
            products = [Fraction(x) * Fraction(y) for x, y in zip(a[j], b[j], strict=True)]
            quantum = Fraction(1, 4)
            assert block.positive * quantum == sum(p for p in products if p > 0)
            assert block.negative * quantum == -sum(p for p in products if p < 0)
            value += sum(products) * Fraction(a_scale[j]) * Fraction(b_scale[j])
        assert step.value * unit == value
        assert step.before * unit == total
        total += value
        assert step.after * unit == total


NUMBERS = [
    (1, 0, 0x3F800000, "exact"),
    (-3, -1, 0xBFC00000, "exact"),
    ((1 << 24) + 1, 0, 0x4B800000, "tie down"),
    ((1 << 24) + 3, 0, 0x4B800002, "tie up"),
    ((1 << 25) + 1, 0, 0x4C000000, "below"),
    ((1 << 25) + 3, 0, 0x4C000001, "above"),
    ((1 << 25) - 1, 0, 0x4C000000, "tie up"),
    (1, -149, 1, "exact"),
    (1, -150, 0, "tie down"),
    (3, -150, 2, "tie up"),
    (-3, -151, 0x80000001, "above"),
    ((1 << 24) - 1, 104, 0x7F7FFFFF, "exact"),
    ((1 << 25) - 1, 103, 0x7F800000, "tie up"),
]


@pytest.mark.parametrize(("value", "unit", "bits", "kind"), NUMBERS)
def test_nearest(value, unit, bits, kind):
    rounded = nearest(value, unit)
    assert (rounded.bits, rounded.kind) == (bits, kind)
    assert rounded.carry == (bits & 0x7FFFFF == 0 and kind in ("tie up", "above"))


def test_nearest_is_numpy_s(rng):
    doubles = rng.normal(size=2000) * 2.0 ** rng.integers(-160, 135, 2000)
    for double in doubles.tolist():
        exact = Fraction(double)
        unit = 1 - exact.denominator.bit_length()
        rounded = nearest(int(exact / Fraction(2) ** unit), unit).bits
        with np.errstate(over="ignore", under="ignore"):
            assert rounded == np.float32(double).view(np.uint32)


def test_chop_never_moves_away_from_zero(rng):
    assert chop(0, 5).bits == 0
    assert chop(-1, -150).bits == 0x80000000
    # What is below 2**128 is cut off to the largest number at most; from there on it is infinite.
    assert chop((1 << 25) - 1, 103).bits == 0x7F7FFFFF
    assert chop(1 << 25, 103).bits == chop(1 << 30, 120).bits == 0x7F800000
    assert chop(-(1 << 30), 120).bits == 0xFF800000
    for value in rng.integers(-(1 << 40), 1 << 40, 500).tolist():
        rounded = chop(value, -20)
        back = number_of(rounded.bits, -149)
        assert abs(back) <= abs(value) << 129
        assert (abs(value) << 129) - abs(back) < 1 << max(binary32_exponent(rounded.bits) - 23 + 149, 0)
        assert (rounded.kind == "cut") == (back != value << 129)


def test_a_special_result_is_told_and_forgotten_with_the_next_sum():
    spec = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")
    stimulus = random(spec, 4, seed=0, stalls=False)
    scales = np.array([[56], [127], [56], [56]], np.uint8)
    stimulus = dataclasses.replace(
        stimulus,
        a_scale=scales,
        b_scale=np.full_like(scales, 56),
        first=np.array([True, False, False, True]),
        last=np.ones(4, np.bool_),
    )
    steps = list(replay(stimulus))
    assert [step.result is not None and step.result.bits == NAN for step in steps] == [
        False,
        True,
        True,
        False,
    ]
    assert [np.isnan(step.before_special) for step in steps] == [False, False, True, False]
