import itertools
import pickle
import subprocess
import sys

import numpy as np
import own_formats
import pytest
import reference
from aligned_steps import TensorCore
from blockdot.model import DotSpec, formats
from messages import check_messages, untyped

SCALES = ("ue4m3", "ue5m3", "ue8m0", "ue4m4")
ACCUMULATES = ("none", "fp32", "exact", "aligned")
# blocks, block size, groups: about 21,000 cases for each accumulator and scale format.
SHAPES = (
    (1, 16, 4, 9000),
    (1, 2, 8, 4000),
    (2, 8, 3, 4000),
    (4, 4, 2, 2000),
    (8, 16, 2, 1000),
    (1, 128, 2, 1000),
)

Codes = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def uniform(spec: DotSpec, cases: int, groups: int, rng: np.random.Generator) -> Codes:
    """Every code as likely as any other, NaN and infinities included."""
    shape = (cases, groups, spec.blocks, spec.block_size)
    a, b = (rng.integers(0, 1 << fmt.bits, shape).astype(fmt.dtype) for fmt in spec.elements)
    a_scale, b_scale = (rng.integers(0, 1 << fmt.bits, shape[:-1]).astype(fmt.dtype) for fmt in spec.scales)
    return a, b, a_scale, b_scale


def finite(fmt: formats.Format, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.choice(fmt.codes, shape)


def corner(fmt: formats.Format, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The ends of a format: zeros, the smallest, the least normal, one, the largest; NaN now and then."""
    magnitudes = [0, fmt.smallest_code, 1 << fmt.mantissa_bits, int(fmt.encode(1.0)), fmt.largest_code]
    codes = np.array(magnitudes + [code | (fmt.signed << fmt.magnitude_bits) for code in magnitudes])
    drawn = rng.choice(codes, shape)
    if fmt.nan_code is not None:
        drawn[rng.random(shape) < 0.2 / max(1, shape[-1])] = fmt.nan_code
    return drawn.astype(fmt.dtype)


def negated(fmt: formats.Format, codes: np.ndarray) -> np.ndarray:
    if fmt.twos_complement:
        return fmt.encode(-fmt.decode(codes))
    return codes ^ fmt.dtype.type(1 << fmt.magnitude_bits)


def cancelling(spec: DotSpec, cases: int, groups: int, rng: np.random.Generator) -> Codes:
    """Products in pairs of opposite sign, within a block or between groups, but for a few."""
    shape = (cases, groups, spec.blocks, spec.block_size)
    a, b = (finite(fmt, shape, rng) for fmt in spec.elements)
    a_scale, b_scale = (finite(fmt, shape[:-1], rng) for fmt in spec.scales)
    within = slice(0, cases // 2)
    a[within, ..., 1::2] = negated(spec.elements[0], a[within, ..., 0::2])
    b[within, ..., 1::2] = b[within, ..., 0::2]
    between = slice(cases // 2, cases)
    if groups > 1:
        half = groups // 2
        a[between, half : 2 * half] = negated(spec.elements[0], a[between, :half])
        for array in (b, a_scale, b_scale):
            array[between, half : 2 * half] = array[between, :half]
    odd = rng.random(shape) < 1 / (groups * spec.blocks * spec.block_size)
    a[odd] = finite(spec.elements[0], shape, rng)[odd]
    return a, b, a_scale, b_scale


def cases_of(spec: DotSpec, cases: int, groups: int, rng: np.random.Generator) -> Codes:
    """Four kinds in equal parts: uniform, finite, corners, near-total cancellation."""
    quarter = cases // 4
    shape = (quarter, groups, spec.blocks, spec.block_size)
    parts = [uniform(spec, cases - 3 * quarter, groups, rng), cancelling(spec, quarter, groups, rng)]
    for draw in (finite, corner):
        a, b = (draw(fmt, shape, rng) for fmt in spec.elements)
        a_scale, b_scale = (draw(fmt, shape[:-1], rng) for fmt in spec.scales)
        parts.append((a, b, a_scale, b_scale))
    a, b, a_scale, b_scale = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return a, b, a_scale, b_scale


def check(spec: DotSpec, codes: Codes) -> np.ndarray:
    seen = spec.compute(*codes)
    assert seen.dtype == np.float32
    element_a, element_b, scale_a, scale_b = (fmt.name for fmt in spec.elements + spec.scales)
    dot = reference.Dot(element_a, element_b, scale_a, scale_b, spec.accumulate, spec.fraction)
    wanted = [dot(*case) for case in zip(*(array.tolist() for array in codes), strict=True)]
    np.testing.assert_array_equal(seen.view(np.uint32), np.array(wanted, np.uint32))
    return seen


@pytest.mark.one_in(4)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_against_fractions(accumulate, scale, shape, rng):
    blocks, block_size, groups, cases = shape
    spec = DotSpec(scale=scale, block_size=block_size, blocks=blocks, accumulate=accumulate)
    seen = check(spec, cases_of(spec, cases, groups, rng))
    # The cases are worth something only if they reach everywhere.
    assert np.isnan(seen).any()
    assert (seen == 0).any()
    assert np.isfinite(seen).mean() > 0.15


@pytest.mark.one_in(2)
@pytest.mark.parametrize("element", [name for name in formats.ELEMENTS if name != "e2m1"])
@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_other_elements_against_fractions(accumulate, element, rng):
    for scale, (blocks, block_size) in itertools.product(SCALES, ((1, 16), (2, 4))):
        spec = DotSpec(
            element=element, scale=scale, block_size=block_size, blocks=blocks, accumulate=accumulate
        )
        check(spec, cases_of(spec, 400, 3, rng))


@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_other_scales_and_mixed_formats_against_fractions(accumulate, rng):
    for element, scale in (
        ("e2m1", "ue5m3_ieee"),
        ("e2m1", "ue4m3_full"),
        (("e2m1", "e4m3"), ("ue4m3", "ue5m3")),
        (("e5m2", "int8"), ("ue8m0", "ue4m4")),
        (("e3m4", "e5m2"), ("ue5m3", "ue8m0")),
    ):
        for blocks in (1, 4):
            spec = DotSpec(element=element, scale=scale, block_size=8, blocks=blocks, accumulate=accumulate)
            check(spec, cases_of(spec, 600, 2, rng))


@pytest.mark.parametrize("element", ["e5m2", "e3m4"])
@pytest.mark.parametrize("accumulate", ACCUMULATES)
def test_infinite_elements_against_fractions(accumulate, element, rng):
    """Inf * 0, Inf - Inf and Inf against overflow, one or two infinities in a dot product."""
    for blocks in (1, 2):
        spec = DotSpec(element=element, scale="ue5m3", block_size=4, blocks=blocks, accumulate=accumulate)
        a, b, a_scale, b_scale = cases_of(spec, 2000, 3, rng)
        infinity = spec.elements[0].infinity_code
        assert infinity is not None
        for array in (a, b):
            here = rng.random(array.shape) < 0.08
            array[here] = rng.choice([infinity, infinity | 0x80], array.shape)[here]
        seen = check(spec, (a, b, a_scale, b_scale))
        assert np.isposinf(seen).any()
        assert np.isneginf(seen).any()


def test_overflow_and_underflow(rng):
    spec = DotSpec(scale="ue8m0", accumulate="fp32")
    shape = (300, 4, 1, 16)
    a, b = (finite(fmt, shape, rng) for fmt in spec.elements)
    for middle in (0, 40, 52, 191, 250):  # from below binary32's subnormals to above its largest
        scales = [
            rng.integers(max(0, middle - 6), min(255, middle + 6), shape[:-1]).astype(np.uint8) for _ in "ab"
        ]
        check(spec, (a, b, scales[0], scales[1]))
    scales = np.full(shape[:-1], 254, np.uint8)
    assert np.isnan(check(spec, (a, b, scales, scales))).any()  # Inf - Inf
    # A V below zero that rounds to zero keeps its sign; a V of zero does not.
    one = DotSpec(scale="ue8m0", block_size=2)
    seen = one.compute([[[1, 0]], [[0, 8]]], [[[9, 0]], [[9, 9]]], [[0], [0]], [[0], [0]])
    assert seen.view(np.uint32).tolist() == [0x80000000, 0]


def test_zero_is_positive():
    """No sign of a zero comes through: not an element's, not that of a sum under a zero scale."""
    for accumulate in ACCUMULATES:
        spec = DotSpec(scale="ue4m3", block_size=2, accumulate=accumulate)
        for a, b, a_scale in (([8, 8], [1, 1], 56), ([1, 0], [9, 9], 0), ([1, 9], [1, 1], 56)):
            seen = spec.compute([[a]], [[b]], [[a_scale]], [[56]])
            assert seen.view(np.uint32).reshape(-1).tolist() == [0]


def test_a_single_group_of_each_block_is_exact_in_float64(rng):
    """For e2m1 with ue4m3 or ue5m3 and up to 64 elements R = V (contract 1.3)."""
    for scale, block_size in itertools.product(("ue4m3", "ue5m3"), (2, 16, 64)):
        spec = DotSpec(scale=scale, block_size=block_size)
        shape = (2000, 1, block_size)
        a, b = (finite(fmt, shape, rng) for fmt in spec.elements)
        a_scale, b_scale = (finite(fmt, shape[:-1], rng) for fmt in spec.scales)
        values = [fmt.decode(c) for fmt, c in zip(spec.elements, (a, b), strict=True)]
        scales = [fmt.decode(c) for fmt, c in zip(spec.scales, (a_scale, b_scale), strict=True)]
        exact = ((values[0] * values[1]).sum(-1) * scales[0] * scales[1])[..., 0]
        np.testing.assert_array_equal(spec.compute(a, b, a_scale, b_scale).astype(np.float64), exact)


def test_fp32_and_exact_differ_in_59_percent_of_512_long_sums(rng):
    """Contract 1.6: with uniform scale codes the stimulus tells the accumulators apart."""
    shape = (20_000, 32, 1, 16)
    a, b = (rng.integers(0, 16, shape, dtype=np.uint8) for _ in "ab")
    scales = [finite(formats.get("ue4m3"), shape[:-1], rng) for _ in "ab"]
    fp32, exact = (
        DotSpec(scale="ue4m3", accumulate=accumulate).compute(a, b, *scales)
        for accumulate in ("fp32", "exact")
    )
    assert 0.55 < (fp32 != exact).mean() < 0.63


def test_exact_is_free_of_order(rng):
    spec = DotSpec(scale="ue5m3", accumulate="exact")
    codes = cases_of(spec, 400, 8, rng)
    order = rng.permutation(8)
    np.testing.assert_array_equal(
        spec.compute(*codes).view(np.uint32),
        spec.compute(*(array[:, order] for array in codes)).view(np.uint32),
    )


def test_nan_is_sticky():
    for accumulate in ACCUMULATES[1:]:
        spec = DotSpec(scale="ue4m3", block_size=2, accumulate=accumulate)
        a = np.full((3, 1, 2), 2)
        scales = np.array([[56], [127], [56]])
        assert spec.compute(a, a, scales, np.full((3, 1), 56)).view(np.uint32) == 0x7FC00000


@pytest.mark.parametrize("fraction", [0, 1, 8, 23, 30, 52])
def test_aligned_fractions_against_fractions(fraction, rng):
    """From few bits, which every step cuts, to as many as there may be, in single and in paired float64."""
    for element, scale in (("e2m1", "ue4m3"), ("e2m1", "ue8m0"), ("e4m3", "ue5m3"), ("e5m2", "ue8m5")):
        for blocks, block_size in ((4, 16), (2, 64), (8, 2)):
            spec = DotSpec(
                element=element,
                scale=scale,
                block_size=block_size,
                blocks=blocks,
                accumulate="aligned",
                fraction=fraction,
            )
            check(spec, cases_of(spec, 120, 4, rng))


@pytest.mark.parametrize("element", ["e2m1", "e5m2", "int8"])
def test_aligned_scales_of_neighbouring_exponents_against_fractions(element, rng):
    """Real tensors' scales: a few binades, so that every term keeps some bits and loses some."""
    for fraction in (6, 12, 35):
        spec = DotSpec(element=element, scale="ue8m0", blocks=4, accumulate="aligned", fraction=fraction)
        a, b, a_scale, b_scale = cases_of(spec, 400, 6, rng)
        for array in (a_scale, b_scale):
            array[:] = rng.integers(120, 131, array.shape)
        seen = check(spec, (a, b, a_scale, b_scale))
        plain = DotSpec(element=element, scale="ue8m0", blocks=4, accumulate="exact")
        assert (seen != plain.compute(a, b, a_scale, b_scale)).any()


Blocks = list[float | tuple[float, float]]


def aligned(
    fraction: int, *groups: tuple[Blocks, list[float]], scale: str = "ue8m0", factor: float = 1.0
) -> float:
    """Groups of one or two elements of a each, times 1, with the scale of a; that of b is `factor`."""
    blocks = len(groups[0][0])
    spec = DotSpec(scale=scale, block_size=2, blocks=blocks, accumulate="aligned", fraction=fraction)
    element, of_scale = formats.get("e2m1"), formats.get(scale)
    a = np.array(
        [
            [element.encode(value if isinstance(value, tuple) else (value, 0)) for value in values]
            for values, _ in groups
        ]
    )
    scales = of_scale.encode([scales for _, scales in groups])
    return float(spec.compute(a, np.full_like(a, 2), scales, np.full_like(scales, of_scale.encode(factor))))


def test_aligned_by_hand():
    # 1.5 at exponent 0 and 0.5 at exponent -2: with 2 bits the latter is cut to zero, with 3 it stays.
    assert aligned(2, ([1.5, 0.5], [1, 0.25])) == 1.5
    assert aligned(3, ([1.5, 0.5], [1, 0.25])) == 1.625
    # Toward zero also below zero, and each term on its own.
    assert aligned(2, ([1.5, -0.5], [1, 0.25])) == 1.5
    assert aligned(2, ([(1, -1), -3], [1, 0.125])) == -0.25
    assert aligned(2, ([-0.5, -0.5], [0.25, 0.25])) == -0.25
    # Products that are all zero have no exponent to hold others down: what does is one that cancels to zero.
    assert aligned(2, ([0, 0.5], [4, 0.25])) == 0.125
    assert aligned(2, ([(1, -1), 0.5], [4, 0.25])) == 0
    assert aligned(2, ([(1, -1), 0.5], [0.25, 0.25])) == 0.125
    # It is -139 that they read, and a sum of zero: enough to cut off what is far below.
    assert aligned(2, ([0, 0.5], [1, 2.0**-119]), scale="ue8m0", factor=2.0**-21) == 2.0**-141
    assert aligned(1, ([0, 0.5], [1, 2.0**-119]), scale="ue8m0", factor=2.0**-21) == 0
    # The sum so far takes part with its own exponent.
    assert aligned(3, ([6, 0], [16, 1]), ([0.5, 0.5], [1, 1])) == 96
    assert aligned(9, ([6, 0], [16, 1]), ([0.5, 0.5], [1, 1])) == 97
    # A subnormal scale has the least normal exponent: 2**-6 for 2**-9.
    assert aligned(3, ([1, 0.5], [2**-9, 2**-9]), scale="ue4m3") == 2**-9
    assert aligned(4, ([1, 0.5], [2**-9, 2**-9]), scale="ue4m3") == 1.5 * 2**-9
    # A zero scale does not hold the others down, though its block is not zero.
    assert aligned(0, ([6, 1], [0, 2**-6]), scale="ue4m3") == 2**-6


def test_aligned_rounds_the_total_toward_zero():
    one = [1.0, 2.0**-24]
    assert aligned(35, ([1, 1], one)) == 1
    assert aligned(35, ([-1, -1], one)) == -1
    assert aligned(35, ([-1, 1], one)) == -float(np.nextafter(np.float32(1), np.float32(0)))
    # 2**128 and more is infinite; what is below is the largest finite number at most.
    largest = float(np.finfo(np.float32).max)
    assert aligned(35, ([6, 6], [2.0**127, 2.0**127])) == np.inf
    assert aligned(35, ([-2, 0], [2.0**127, 1])) == -np.inf
    assert aligned(35, ([2, -0.5], [2.0**127, 2.0**94])) == largest
    assert aligned(35, ([2, -0.5], [2.0**127, 2.0**92])) == np.inf
    # A sum that is infinite stays so, and meets no other but to be NaN.
    infinite: tuple[Blocks, list[float]] = ([-6, 0], [2.0**127, 1])
    assert aligned(35, infinite, ([6, 6], [2.0**127, 2.0**127])) == -np.inf
    # The sign of what vanishes is kept.
    spec = DotSpec(scale="ue8m0", block_size=2, accumulate="aligned")
    # -2**-156 lies inside the 35 bits below 2**-139, -2**-256 does not: a total of zero is +0.
    for b_scale, bits in ((100, 0x80000000), (0, 0)):
        assert spec.compute([[[9, 0]]], [[[1, 0]]], [[0]], [[b_scale]]).view(np.uint32) == bits


@pytest.mark.parametrize(
    ("element", "scale", "shape", "fraction"),
    [
        ("e2m1", "ue4m3", (4, 16), 35),
        ("e2m1", "ue5m3", (1, 16), 35),
        ("e2m1", "ue8m0", (2, 4), 3),
        ("e5m2", ("ue8m0", "ue4m4"), (2, 32), 20),
    ],
)
def test_aligned_steps_against_rationals(element, scale, shape, fraction, rng):
    """Blocks of zeros, or with a zero in each product, cancellation, NaN, overflow: each often."""
    blocks, block_size = shape
    spec = DotSpec(
        element=element,
        scale=scale,
        block_size=block_size,
        blocks=blocks,
        accumulate="aligned",
        fraction=fraction,
    )
    a, b, a_scale, b_scale = cases_of(spec, 240, 4, rng)
    kind, half = rng.integers(0, 4, a.shape[:-1]), rng.random(a.shape) < 0.5
    a[kind == 0] = 0
    a[(kind == 1)[..., np.newaxis] & half] = 0
    b[(kind == 1)[..., np.newaxis] & ~half] = 0
    names = [(fmt_a.name, fmt_b.name) for fmt_a, fmt_b in (spec.elements, spec.scales)]
    core = TensorCore(*names, fraction=fraction)
    codes = (a, b, a_scale, b_scale)
    wanted = [core.chain(*case) for case in zip(*(array.tolist() for array in codes), strict=True)]
    seen = spec.compute(*codes)
    np.testing.assert_array_equal(seen.view(np.uint32), np.array(wanted, np.uint32))
    assert np.isinf(seen).any() == ("ue8m0" in names[1])
    # The two accounts in plain Python agree where they overlap.
    check(spec, codes)


def test_results_do_not_depend_on_chunks(rng):
    """More rows, more groups than one chunk holds give the rows' own results."""
    for accumulate in ACCUMULATES:
        spec = DotSpec(scale="ue5m3", block_size=128, blocks=8, accumulate=accumulate)
        codes = uniform(spec, 3, 150, rng)
        whole = spec.compute(*codes)
        for row in range(3):
            alone = spec.compute(*(array[row] for array in codes))
            np.testing.assert_array_equal(whole[row].view(np.uint32), alone.view(np.uint32))


def test_shapes():
    spec = DotSpec(block_size=2, blocks=4)
    for lead in ((), (3,), (2, 0), (2, 1, 3)):
        shape = (*lead, 5, 4, 2)
        codes = [np.zeros(shape, np.uint8)] * 2 + [np.zeros(shape[:-1], np.uint8)] * 2
        assert spec.compute(*codes).shape == (*lead, 5)
        for accumulate in ACCUMULATES[1:]:
            other = DotSpec(block_size=2, blocks=4, accumulate=accumulate)
            assert other.compute(*codes).shape == lead
    none = [np.zeros((0, 4, 2), np.uint8)] * 2 + [np.zeros((0, 4), np.uint8)] * 2
    assert spec.compute(*none).shape == (0,)


@pytest.mark.parametrize(("scale", "window"), [("ue4m3", 48), ("ue4m4", 51), ("ue5m3", 80), ("ue8m0", 521)])
def test_window_bits_of_the_contract(scale, window):
    spec = DotSpec(scale=scale, accumulate="exact")
    assert spec.window_bits == window
    assert spec.accumulator_bits == window + 16


def test_widths_of_the_contract():
    for scale in ("ue4m3", "ue5m3"):
        spec = DotSpec(scale=scale)
        assert spec.largest_sum == 2304
        assert spec.sum_bits == 13
        assert spec.largest_scale_significand == 225
        assert spec.scale_significand_bits == 8
        assert DotSpec(scale=scale, block_size=64).sum_bits == 15
        assert DotSpec(scale=scale, block_size=64).term_bits == 22
    assert DotSpec(scale="ue4m3").quantum_exponent == -20


def test_widths_hold_what_they_must():
    """The largest block of any formats fits the window, which is at most a bit wider than that."""
    for element, scale in itertools.product(formats.ELEMENTS, formats.SCALES):
        spec = DotSpec(element=element, scale=scale, block_size=4)
        unit = reference.quantum(element) ** 2 * reference.quantum(scale) ** 2
        largest_element = max(abs(v) for v in reference.decode(element) if reference.is_finite(v))
        largest_scale = max(v for v in reference.decode(scale) if reference.is_finite(v))
        largest = int(4 * largest_element**2 * largest_scale**2 / unit)
        assert 0 <= spec.window_bits - (largest.bit_length() + 1) <= 1
        assert spec.largest_sum == 4 * largest_element**2 / reference.quantum(element) ** 2
        assert spec.sum_bits == spec.largest_sum.bit_length() + 1
        assert unit == 2.0**spec.quantum_exponent


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (DotSpec(), "e2m1_ue5m3_n16_none"),
        (DotSpec(accumulate="fp32"), "e2m1_ue5m3_n16_fp32"),
        (DotSpec(scale="ue4m3", block_size=32, blocks=4, accumulate="exact"), "e2m1_ue4m3_n32_b4_exact"),
        (DotSpec(accumulate="exact", guard=20), "e2m1_ue5m3_n16_exact_g20"),
        (DotSpec(accumulate="exact", guard=0), "e2m1_ue5m3_n16_exact_g0"),
        (DotSpec(scale="ue4m3", blocks=4, accumulate="aligned"), "e2m1_ue4m3_n16_b4_aligned"),
        (DotSpec(accumulate="aligned", fraction=30), "e2m1_ue5m3_n16_aligned_f30"),
        (DotSpec(element=("e2m1", "e4m3"), scale=("ue4m3", "ue8m0")), "e2m1xe4m3_ue4m3xue8m0_n16_none"),
        (DotSpec(scale="ue5m3_ieee"), "e2m1_ue5m3_ieee_n16_none"),
        (DotSpec(scale=("ue4m3_full", "ue5m3_ieee")), "e2m1_ue4m3_fullxue5m3_ieee_n16_none"),
        (DotSpec(element=untyped(formats.get("int8")), scale=("ue6m2", "ue6m2")), "int8_ue6m2_n16_none"),
    ],
)
def test_names(spec, name):
    assert spec.name == str(spec) == name
    assert DotSpec.parse(name) == spec
    assert hash(DotSpec.parse(name)) == hash(spec)


def test_names_round_trip():
    for scale, other, block_size, blocks, accumulate in itertools.product(
        (*formats.SCALES, "ue2m5"), ("ue4m3", "ue5m3_ieee"), (2, 128), (1, 8), ACCUMULATES
    ):
        spec = DotSpec(
            element=("e5m2", "int8"),
            scale=(scale, other),
            block_size=block_size,
            blocks=blocks,
            accumulate=accumulate,
        )
        assert DotSpec.parse(spec.name) == spec


def test_formats_that_are_handed_over_are_known_by_the_name_and_in_other_processes():
    for element, scale in itertools.product(own_formats.ELEMENTS, own_formats.SCALES):
        spec = DotSpec(element=(element, "e2m1"), scale=("ue4m3", scale), block_size=4, accumulate="aligned")
        assert spec.element == (element.name, "e2m1")
        assert DotSpec.parse(spec.name) == spec == pickle.loads(pickle.dumps(spec))
    scale = own_formats.SCALES[-1]
    spec = DotSpec(element=own_formats.ELEMENTS[-1], scale=scale)
    code = (
        f"import pickle; spec = pickle.loads({pickle.dumps(spec)!r}); print(spec.parse(spec.name).scales[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == scale.name


@pytest.mark.parametrize("accumulate", ACCUMULATES)
@pytest.mark.parametrize("element", own_formats.ELEMENTS, ids=str)
def test_any_format_of_ones_own_against_fractions(element, accumulate, rng):
    for scale in own_formats.SCALES:
        spec = DotSpec(element=element, scale=(scale, "ue4m3"), block_size=4, accumulate=accumulate)
        check(spec, cases_of(spec, 60, 3, rng))


def test_what_has_no_effect_makes_no_difference():
    assert DotSpec(accumulate="fp32", guard=20) == DotSpec(accumulate="fp32")
    assert DotSpec(element=("e2m1", "e2m1")) == DotSpec(element=untyped(formats.get("e2m1")))
    assert DotSpec(block_size=untyped(np.int64(16))) == DotSpec()
    assert DotSpec(accumulate="exact", guard=20) != DotSpec(accumulate="exact")
    assert DotSpec(accumulate="exact", fraction=20) == DotSpec(accumulate="exact")
    assert DotSpec(accumulate="aligned", guard=20) == DotSpec(accumulate="aligned")
    assert DotSpec(accumulate="aligned", fraction=20) != DotSpec(accumulate="aligned")


def test_messages():
    a, s = np.zeros((2, 1, 16), np.uint8), np.zeros((2, 1), np.uint8)
    spec = DotSpec(accumulate="exact", guard=0)
    none = DotSpec()
    check_messages(
        [
            (ValueError, "element must be a signed format, not 'ue4m3'", lambda: DotSpec(element="ue4m3")),
            (
                ValueError,
                "scale must be an unsigned format, not 'e4m3'",
                lambda: DotSpec(scale=("ue4m3", "e4m3")),
            ),
            (TypeError, "format must be a name or a Format, not 4", lambda: DotSpec(element=untyped(4))),
            (
                ValueError,
                "scale must be one name or a pair of names, not 3 names",
                lambda: DotSpec(scale=untyped(("ue4m3", "ue5m3", "ue8m0"))),
            ),
            (TypeError, "block_size must be an integer, not 16.0", lambda: DotSpec(block_size=untyped(16.0))),
            (TypeError, "blocks must be an integer, not True", lambda: DotSpec(blocks=True)),
            (TypeError, "guard must be an integer, not None", lambda: DotSpec(guard=untyped(None))),
            *(
                (
                    ValueError,
                    f"block_size must be a power of two from 2 to 128, not {size}",
                    lambda size=size: DotSpec(block_size=size),
                )
                for size in (-2, 0, 1, 3, 256)
            ),
            (ValueError, "blocks must be 1, 2, 4 or 8, not 16", lambda: DotSpec(blocks=16)),
            (
                ValueError,
                "accumulate must be one of none, fp32, exact, aligned, chain, not 'fp16'",
                lambda: DotSpec(accumulate=untyped("fp16")),
            ),
            (ValueError, "guard must be from 0 to 30, not 31", lambda: DotSpec(accumulate="exact", guard=31)),
            (
                ValueError,
                "guard must be at least 3 to hold a group of blocks=8, not 2",
                lambda: DotSpec(accumulate="exact", blocks=8, guard=2),
            ),
            *(
                (
                    ValueError,
                    f"fraction must be from 0 to 52, not {fraction}",
                    lambda fraction=fraction: DotSpec(accumulate="aligned", fraction=fraction),
                )
                for fraction in (-1, 53)
            ),
            (TypeError, "fraction must be an integer, not 35.0", lambda: DotSpec(fraction=untyped(35.0))),
            (
                ValueError,
                "groups must be at least 1 for accumulate='aligned', not 0",
                lambda: DotSpec(accumulate="aligned").compute(a[:0], a[:0], s[:0], s[:0]),
            ),
            (
                ValueError,
                "specification must read like e2m1_ue5m3_n16_fp32, not 'e2m1'",
                lambda: DotSpec.parse("e2m1"),
            ),
            (
                ValueError,
                "block_size must be a power of two from 2 to 128, not 17",
                lambda: DotSpec.parse("e2m1_ue5m3_n17_none"),
            ),
            (
                ValueError,
                "a must be shaped (..., groups, 1, 16) for e2m1_ue5m3_n16_none, not (2, 16)",
                lambda: none.compute(a[:, 0], a[:, 0], s, s),
            ),
            (
                ValueError,
                "b must be shaped (2, 1, 16) to fit a, not (1, 1, 16)",
                lambda: none.compute(a, a[:1], s, s),
            ),
            (
                ValueError,
                "a_scale must be shaped (2, 1) to fit a, not (2,)",
                lambda: none.compute(a, a, s[:, 0], s),
            ),
            (
                ValueError,
                "b_scale must be shaped (2, 1) to fit a, not (2, 1, 1)",
                lambda: none.compute(a, a, s, s[..., None]),
            ),
            (TypeError, "b must be integers, not float64", lambda: none.compute(a, a * 1.0, s, s)),
            (
                ValueError,
                "a must be e2m1 codes from 0 to 0xf, not 0x10 at [0, 0, 0]",
                lambda: none.compute(a + 16, a, s, s),
            ),
            (
                ValueError,
                "b_scale must be ue4m3 codes from 0 to 0x7f, not 0x80 at [0, 0]",
                lambda: DotSpec(scale="ue4m3").compute(a, a, s, s + 128),
            ),
            (
                ValueError,
                "groups * blocks must be at most 2**guard = 1, not 2",
                lambda: spec.compute(a, a, s, s),
            ),
            (
                ValueError,
                "groups must be at least 1 for accumulate='exact', not 0",
                lambda: spec.compute(a[:0], a[:0], s[:0], s[:0]),
            ),
        ]
    )


@pytest.mark.parametrize(
    ("spec", "most"),
    [
        (DotSpec(accumulate="exact"), 1 << 16),
        (DotSpec(accumulate="exact", blocks=4, guard=3), 2),
        (DotSpec(accumulate="exact", blocks=4, guard=2), 1),
        (DotSpec(accumulate="fp32"), None),
        (DotSpec(accumulate="aligned", blocks=8), None),
        (DotSpec(), None),
    ],
    ids=str,
)
def test_an_exact_sum_has_as_many_groups_as_its_guard_bits_hold(spec, most):
    assert spec.most_groups == most
    for groups in (1, 5) if most is None else (1, most):
        spec.check_groups(groups)
    if most is not None:
        with pytest.raises(ValueError, match=r"^groups \* blocks must be at most 2\*\*guard"):
            spec.check_groups(most + 1)


def test_what_sums_nothing_has_no_accumulator():
    with pytest.raises(ValueError, match=r"^accumulate must be one that sums groups, not 'none'$"):
        DotSpec().accumulator((1,))
