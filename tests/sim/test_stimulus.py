import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from blockdot.model import DotSpec, formats
from blockdot.sim.random_stimulus import random
from blockdot.sim.stimulus import Stimulus, from_blocks, negated
from blockdot.sim.unit_stimulus import StimulusSource, pack

SPECS = [
    DotSpec(scale="ue4m3", block_size=8),
    DotSpec(scale="ue5m3", accumulate="fp32"),
    DotSpec(scale="ue8m0", block_size=32, accumulate="exact"),
    DotSpec(scale=("ue4m4", "ue5m3_ieee"), blocks=4, block_size=4, accumulate="fp32"),
    DotSpec(element=("e5m2", "int8"), scale="ue5m3", block_size=8, accumulate="fp32"),
    DotSpec(element="e3m4", scale="ue4m3_full", block_size=4, blocks=2),
]


def packed_slowly(codes: list[int], bits: int) -> int:
    """Element k at bits [wk+w-1 : wk], one bit at a time."""
    word = 0
    for k, code in enumerate(codes):
        for bit in range(bits):
            word |= (code >> bit & 1) << (bits * k + bit)
    return word


# Packing.


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8, 12, 13])
@pytest.mark.parametrize("n", [1, 2, 8, 32, 64])
def test_pack_puts_each_code_at_its_place(rng, bits, n):
    codes = rng.integers(0, 1 << bits, (37, n)).astype(np.uint8 if bits <= 8 else np.uint16)
    words = pack(codes, bits)
    assert words.dtype == np.uint32
    assert words.shape == (37, -(-n * bits // 32))
    for row, code in zip(words, codes, strict=True):
        assert sum(int(word) << 32 * k for k, word in enumerate(row)) == packed_slowly(code.tolist(), bits)


def test_pack_works_through_more_than_one_chunk(rng):
    codes = rng.integers(0, 1 << 7, (9000, 32), dtype=np.uint8)
    words = pack(codes, 7)
    for row in (0, 1169, 1170, 1171, 8999):
        assert int.from_bytes(words[row].tobytes(), "little") == packed_slowly(codes[row].tolist(), 7)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_words_put_block_j_above_block_j_minus_1(spec, seed):
    stimulus = random(spec, 20, seed=seed)
    words = stimulus.words()
    assert list(words) == ["i_a", "i_b", "i_a_scale", "i_b_scale"]
    arrays = (stimulus.a, stimulus.b, stimulus.a_scale, stimulus.b_scale)
    for rows, array, fmt in zip(words.values(), arrays, spec.elements + spec.scales, strict=True):
        for row, codes in zip(rows, array, strict=True):
            blocks = [packed_slowly(np.atleast_1d(block).tolist(), fmt.bits) for block in codes]
            width = fmt.bits * codes[0].size
            assert int.from_bytes(row.tobytes(), "little") == packed_slowly(blocks, width)


# Random stimulus.


@pytest.mark.parametrize("name", formats.ELEMENTS)
def test_negated_is_the_code_of_the_negation(name):
    fmt = formats.get(name)
    values = fmt.values
    least = values == -2 if name == "int8" else np.zeros(values.shape, np.bool_)
    np.testing.assert_array_equal(values[negated(fmt)][~least], -values[~least])
    np.testing.assert_array_equal(values[negated(fmt)][least], fmt.largest)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_random_gives_the_same_for_the_same_seed_only(spec, seed):
    one, other, third = (random(spec, 50, seed=s) for s in (seed, seed, seed + 1))
    for field in dataclasses.fields(Stimulus):
        if field.name not in ("spec", "source"):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    assert not np.array_equal(one.a, third.a)
    assert not np.array_equal(one.offer, third.offer)


def test_random_says_what_gives_it_again():
    spec = SPECS[1]
    assert random(spec, 7, seed=3).source == StimulusSource(kind="random", count=7, seed=3)
    assert random(spec, 7, seed=3, longest=5, stalls=False).source == StimulusSource(
        kind="random", count=7, seed=3, longest=5, stalls=False
    )


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_random_meets_every_class_of_scale(spec, seed):
    stimulus = random(spec, 4000, seed=seed)
    assert set(np.unique(stimulus.a_scale)) >= set(spec.scales[0].codes.tolist())
    for fmt, codes in zip(spec.scales, (stimulus.a_scale, stimulus.b_scale), strict=True):
        values = fmt.values[codes]
        classes = {
            "largest": values == fmt.largest,
            "smallest": values == fmt.smallest,
            "normal": values >= 2.0**fmt.least_exponent,
        }
        if fmt.subnormals:
            classes["zero"] = values == 0
            classes["subnormal"] = (values > 0) & (values < 2.0**fmt.least_exponent)
        for name, met in classes.items():
            assert met.mean() > 0.01, name
        nan = np.isnan(values).any(axis=1)
        # A sum with a NaN says nothing more: some, but few.
        assert nan.any() == (fmt.nan_code is not None)
        assert nan.mean() < 0.1


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_random_meets_every_class_of_element_and_sum(spec, seed):
    stimulus = random(spec, 4000, seed=seed)
    a, b = (fmt.values[codes] for fmt, codes in zip(spec.elements, (stimulus.a, stimulus.b), strict=True))
    for fmt, codes, values in zip(spec.elements, (stimulus.a, stimulus.b), (a, b), strict=True):
        assert set(np.unique(codes)) >= set(fmt.codes.tolist())
        assert np.isnan(values).any() == np.isnan(fmt.values).any()
        assert np.isinf(values).any() == np.isinf(fmt.values).any()
    with np.errstate(invalid="ignore"):
        product = a * b
        total = product.sum(axis=-1)
    finite = np.isfinite(total)
    size = np.abs(product).sum(axis=-1)
    extreme = spec.block_size * np.prod([fmt.largest for fmt in spec.elements])
    classes = {
        "every product zero": size == 0,
        "cancelled wholly": finite & (total == 0) & (size > 0),
        "largest sum": total > 0.97 * extreme,
        "least sum": total < -0.97 * extreme,
    }
    if spec.block_size >= 8:  # fewer elements of e2m1 cannot
        classes["cancelled to a fiftieth"] = finite & (total != 0) & (np.abs(total) < 0.02 * size)
    for name, met in classes.items():
        assert met.sum() >= 20, name


def test_random_sums_have_all_lengths_and_some_are_given_up_or_told_twice(seed):
    spec = SPECS[1]
    stimulus = random(spec, 20000, seed=seed, longest=10)
    lengths = np.diff(np.flatnonzero(stimulus.first), append=stimulus.vectors)
    assert set(lengths) == set(range(1, 11))
    starts, ends = stimulus.sums
    assert stimulus.undefined_count == 0
    given_up = set(np.flatnonzero(stimulus.first)) - set(starts)
    assert len(given_up) > 20
    assert len(starts) - len(set(starts)) > 20  # more than one result of one sum
    assert stimulus.last[-1]
    assert set(ends - starts + 1) == set(range(1, 11))


def test_random_undoes_vectors_of_the_same_sum(seed):
    spec = SPECS[1]
    stimulus = random(spec, 4000, seed=seed)
    value = spec.block_terms(stimulus.a, stimulus.b, stimulus.a_scale, stimulus.b_scale)[:, 0]
    sum_of = np.cumsum(stimulus.first)
    for distance in range(1, 5):
        now, before = value[distance:], value[:-distance]
        together = (sum_of[distance:] == sum_of[:-distance]) & (now != 0)
        undone = together & (now == -before)
        nearly = together & (now != -before) & (np.abs(now + before) < 0.2 * np.abs(now))
        assert undone.sum() > 20, distance
        assert nearly.sum() > 10, distance


@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_random_draws_as_few_as_are_asked_for(vectors, seed):
    for k in range(50):
        assert random(SPECS[1], vectors, seed=seed + k).vectors == vectors


def test_random_tells_the_accumulators_apart(seed):
    """On mild data all accumulators agree, and a test with it would test none of them."""
    stimulus = random(DotSpec(accumulate="fp32"), 5000, seed=seed)
    exact = dataclasses.replace(stimulus, spec=DotSpec(accumulate="exact"))
    differ = stimulus.expected() != exact.expected()
    assert differ.mean() > 0.05


def test_random_keeps_within_the_guard_bits(seed):
    spec = DotSpec(accumulate="exact", guard=2, blocks=2)
    stimulus = random(spec, 100, seed=seed)
    starts, ends = stimulus.sums
    assert (ends - starts + 1).max() == 2
    assert len(stimulus.expected()) == stimulus.result_count


def test_random_stalls_both_ends_or_neither(seed):
    stimulus = random(SPECS[0], 10, seed=seed)
    for pattern in (stimulus.offer, stimulus.accept):
        assert 0.3 < pattern.mean() < 0.95
    free = random(SPECS[0], 10, seed=seed, stalls=False)
    assert free.offer.all()
    assert free.accept.all()


# Expected results.


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_expected_is_the_model_sum_by_sum(spec, seed):
    stimulus = random(spec, 150, seed=seed)
    expected = stimulus.expected()
    assert expected.dtype == np.uint32
    assert len(expected) == stimulus.result_count
    at = 0
    start = None
    for vector in range(stimulus.vectors):
        if stimulus.first[vector]:
            start = vector
        if stimulus.last[vector]:
            rows = slice(start, vector + 1)
            result = spec.compute(
                stimulus.a[rows], stimulus.b[rows], stimulus.a_scale[rows], stimulus.b_scale[rows]
            )
            assert expected[at] == result.view(np.uint32)
            at += 1
    assert at == len(expected)


def test_expected_is_exact_in_fractions(rng):
    """Once more without the model's own arithmetic, where every number is exact in binary32."""
    spec = DotSpec(scale="ue4m3", block_size=4)
    stimulus = random(spec, 300, seed=int(rng.integers(1 << 30)))
    for k, bits in enumerate(stimulus.expected()):
        scales = [
            fmt.values[c[k, 0]]
            for fmt, c in zip(spec.scales, (stimulus.a_scale, stimulus.b_scale), strict=True)
        ]
        if any(np.isnan(scales)):
            assert bits == 0x7FC00000
            continue
        codes = zip(stimulus.a[k, 0], stimulus.b[k, 0], strict=True)
        total = sum(
            (
                Fraction(float(spec.elements[0].values[x])) * Fraction(float(spec.elements[1].values[y]))
                for x, y in codes
            ),
            Fraction(0),
        )
        value = total * Fraction(float(scales[0])) * Fraction(float(scales[1]))
        assert np.float32(float(value)).view(np.uint32) == bits


def test_a_sum_that_nobody_started_is_undefined(seed):
    spec = DotSpec(accumulate="fp32")
    whole = random(spec, 40, seed=seed)
    first = np.array(whole.first)
    last = np.array(whole.last)
    first[:5] = False
    last[[0, 3]] = True
    first[5] = True
    stimulus = dataclasses.replace(whole, first=first, last=last)
    assert stimulus.undefined_count == int(last[:5].sum())
    assert (stimulus.sums[0][: stimulus.undefined_count] == -1).all()
    assert not stimulus.expected()[: stimulus.undefined_count].any()


# Given codes.


def test_from_blocks_makes_a_sum_of_each_row(rng):
    spec = DotSpec(accumulate="fp32", blocks=2, block_size=4)
    a, b = rng.integers(0, 16, (2, 3, 5, 4, 2, 4), dtype=np.uint8)
    a_scale, b_scale = rng.integers(0, 255, (2, 3, 5, 4, 2), dtype=np.uint8)
    stimulus = from_blocks(spec, a, b, a_scale, b_scale, tensors=("x.npy",))
    assert stimulus.vectors == 60
    assert stimulus.result_count == 15
    np.testing.assert_array_equal(stimulus.first, np.arange(60) % 4 == 0)
    np.testing.assert_array_equal(stimulus.last, np.arange(60) % 4 == 3)
    assert stimulus.offer.all()
    assert stimulus.source == StimulusSource(kind="tensor", stalls=False, tensors=("x.npy",))
    np.testing.assert_array_equal(
        stimulus.expected(), spec.compute(a, b, a_scale, b_scale).reshape(-1).view(np.uint32)
    )
    stalled = from_blocks(spec, a, b, a_scale, b_scale, stalls=4, tensors=("x.npy",))
    assert stalled.source == StimulusSource(kind="tensor", seed=4, tensors=("x.npy",))
    assert not stalled.offer.all()


def test_from_blocks_makes_a_result_of_each_group_where_nothing_is_accumulated(rng):
    spec = DotSpec(block_size=4)
    a, b = rng.integers(0, 16, (2, 3, 5, 1, 4), dtype=np.uint8)
    a_scale, b_scale = rng.integers(0, 255, (2, 3, 5, 1), dtype=np.uint8)
    stimulus = from_blocks(spec, a, b, a_scale, b_scale)
    assert stimulus.source is None
    np.testing.assert_array_equal(
        stimulus.expected(), spec.compute(a, b, a_scale, b_scale).reshape(-1).view(np.uint32)
    )


# Refusals.


def test_from_blocks_refuses_shapes_that_do_not_fit():
    spec = DotSpec(block_size=4)
    codes = np.zeros((3, 1, 4), np.uint8)
    scales = np.zeros((3, 1), np.uint8)
    with pytest.raises(
        ValueError, match=r"^a must be shaped \(\.\.\., groups, 1, 4\) for e2m1_ue5m3_n4_none, not \(4,\)$"
    ):
        from_blocks(spec, codes[0, 0], codes[0, 0], scales, scales)
    with pytest.raises(ValueError, match=r"^b must be shaped \(3, 1, 4\) to fit a, not \(2, 1, 4\)$"):
        from_blocks(spec, codes, codes[:2], scales, scales)
    with pytest.raises(ValueError, match=r"^b_scale must be shaped \(3, 1\) to fit a, not \(3,\)$"):
        from_blocks(spec, codes, codes, scales, scales[:, 0])
    with pytest.raises(
        ValueError,
        match=r"^a must be shaped \(\.\.\., groups, 1, 4\) for e2m1_ue5m3_n4_none, not \(3, 2, 4\)$",
    ):
        from_blocks(spec, *(np.zeros((3, 2, 4), np.uint8),) * 2, *(np.zeros((3, 2), np.uint8),) * 2)
    with pytest.raises(ValueError, match=r"^stimulus must hold at least one vector, not 0$"):
        from_blocks(spec, codes[:0], codes[:0], scales[:0], scales[:0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"first": np.ones(3, np.uint8)}, TypeError, r"first must be bool, not uint8"),
        ({"offer": np.zeros(3, np.bool_)}, ValueError,
         r"offer must be one row with a true cycle in it, not \[False, False, False\]"),
        ({"last": np.array([True, False, True])}, ValueError,
         r"first and last must all be true for e2m1_ue5m3_n4_none, not some false"),
        ({"a": np.full((3, 1, 4), 16)}, ValueError,
         r"a must be e2m1 codes from 0 to 0xf, not 0x10 at \[0, 0, 0\]"),
        ({"a": np.zeros((3, 1, 4))}, TypeError, r"a must be integers, not float64"),
    ],
)  # fmt: skip
def test_a_stimulus_refuses_what_cannot_be_played(change, error, message):
    spec = DotSpec(block_size=4)
    good = random(spec, 3, seed=0)
    with pytest.raises(error, match=f"^{message}$"):
        dataclasses.replace(good, **change)


def test_a_stimulus_cannot_be_written_to(seed):
    stimulus = random(DotSpec(block_size=4), 3, seed=seed)
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        stimulus.a[0] = 1


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (0, {"seed": 0}, "vectors must be at least 1, not 0"),
        (1, {"seed": -1}, "seed must be at least 0, not -1"),
        (1, {"seed": 0, "longest": 0}, "longest must be at least 1, not 0"),
    ],
)
def test_random_refuses_what_it_cannot_draw(vectors, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        random(DotSpec(), vectors, **options)
