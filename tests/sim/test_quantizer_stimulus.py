import itertools

import numpy as np
import pytest
from blockdot.model import QuantizerSpec
from blockdot.sim.quantizer_stimulus import (
    QuantizerStimulus,
    bulk,
    directed,
    from_numbers,
    random,
    scale_thresholds,
)
from blockdot.sim.unit_stimulus import pack
from messages import check_messages

WHOLE = QuantizerSpec(
    input="fp32", block_size=4, rounding="stochastic", random_bits=11, tensor_scale=True, scale="ue5m3"
)
SPECS = [
    QuantizerSpec(block_size=8),
    QuantizerSpec(input="fp16", block_size=4, method="four_over_six"),
    QuantizerSpec(scale="ue8m0", method="floor", block_size=2),
    WHOLE,
]


def whole(words: np.ndarray) -> list[int]:
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in words]


@pytest.mark.parametrize("bits", [11, 16, 20, 32])
def test_wide_codes_stand_one_above_another(bits, rng):
    for count in (1, 3):
        codes = rng.integers(0, 1 << bits, (5, count), dtype=np.uint32)
        wanted = [sum(int(code) << bits * k for k, code in enumerate(row)) for row in codes]
        assert whole(pack(codes, bits)) == wanted


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_words_and_results_stand_as_the_ports_have_them(spec, seed):
    stimulus = random(spec, 40, seed=seed)
    bits, words = spec.input_format.bits, stimulus.words()
    columns = {"i_x": (stimulus.x, bits)}
    if stimulus.random is not None:
        columns["i_random"] = (stimulus.random, spec.random_bits)
    assert list(words) == [*columns, *(["i_g"] if spec.tensor_scale else [])]
    for name, (codes, width) in columns.items():
        wanted = [sum(int(code) << width * k for k, code in enumerate(row)) for row in codes]
        assert whole(words[name]) == wanted
    if stimulus.g is not None:
        np.testing.assert_array_equal(words["i_g"][:, 0].view(np.float32), stimulus.g)
    elements, scales = spec.compute(stimulus.x, stimulus.random, stimulus.g)
    above = -(-spec.block_size * spec.element_format.bits // 32) * 32
    for result, row, scale in zip(whole(stimulus.expected()), elements, scales, strict=True):
        width = spec.element_format.bits
        assert result == sum(int(code) << width * k for k, code in enumerate(row)) | int(scale) << above
    assert stimulus.result_count == 40
    assert stimulus.undefined_count == 0


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_random_blocks_reach_every_scale_and_every_element(spec):
    stimulus = random(spec, 6000, seed=1)
    elements, scales = stimulus.codes
    form = spec.input_format
    usual = spec.scale_format.codes
    if form.name == "fp16":  # which does not reach the least scale of some formats, nor ue8m0's ends
        usual = usual[usual > 0]
    if spec.scale != "ue8m0":
        assert set(usual.tolist()) <= set(scales.tolist())
    else:
        assert len(set(scales.tolist())) > 240
    assert set(range(16)) <= set(elements.reshape(-1).tolist())
    special = (stimulus.x & form.infinity_code) == form.infinity_code
    assert (scales == spec.scale_format.nan_code)[special.any(axis=1)].all()
    assert 0.03 < special.any(axis=1).mean() < 0.15
    assert (stimulus.x[~special] & (form.infinity_code - 1) == 0).any()
    magnitudes = stimulus.x & ((1 << form.bits - 1) - 1)
    assert (magnitudes == form.infinity_code - 1).any()
    assert ((magnitudes > 0) & (magnitudes < 1 << form.mantissa_bits)).any()
    assert (magnitudes == 0).all(axis=1).any()


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[1], QuantizerSpec(block_size=2, method="prevent_zero")])
def test_directed_blocks_stand_at_every_threshold_and_midpoint(spec):
    stimulus = directed(spec)
    form = spec.input_format
    below_sign = form.dtype.type((1 << form.bits - 1) - 1)
    finite = ((stimulus.x & below_sign) < form.infinity_code).all(axis=1)
    assert finite.any()
    assert not finite.all()
    x = np.abs(form.to_float32(stimulus.x[finite]).astype(np.float64))
    largest = x.max(axis=1)
    values = spec.scale_format.values[: spec.scale_format.largest_code + 1]
    step = 2.0**-form.mantissa_bits
    for top in (6.0, 4.0) if spec.method == "four_over_six" else (6.0,):
        for threshold in (values[1:] + values[:-1]) / 2 * top:
            if threshold < 2.0**-10:
                continue
            near = largest[np.abs(largest / threshold - 1) < 1.5 * step]
            assert (near == threshold).any()
            assert (near < threshold).any()
            assert (near > threshold).any()
    middles = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0]
    for code, middle in itertools.product(range(40, len(values), 7), middles):
        met = x[largest == values[code] * 6]
        assert (met == values[code] * middle).any(axis=0).all(), (code, middle)  # in every lane


def test_the_same_arguments_give_the_same_stimulus():
    for make in (lambda seed: random(WHOLE, 50, seed=seed), lambda seed: bulk(WHOLE, 50, seed=seed)):
        one, again, other = make(3), make(3), make(4)
        for name in ("x", "random", "g", "offer", "accept"):
            np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
        assert (one.x != other.x).any()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_bulk_blocks_differ_in_scale_and_in_elements(spec):
    stimulus = bulk(spec, 4000, seed=2)
    rest = stimulus.select(slice(500, None), offer=stimulus.offer, accept=stimulus.accept)
    elements, scales = rest.codes
    assert rest.vectors == 3500
    assert len(set(scales.tolist())) > len(spec.scale_format.codes) * 0.6
    counts = np.bincount(elements.reshape(-1), minlength=16)
    assert (counts > elements.size / 400).all()


def test_numbers_of_a_tensor(rng):
    spec = QuantizerSpec(block_size=4, tensor_scale=True)
    x = rng.integers(0, 1 << 16, (3, 8), dtype=np.uint16)
    stimulus = from_numbers(spec, x, g=0.5, stalls=7)
    np.testing.assert_array_equal(stimulus.x, x.reshape(6, 4))
    assert (stimulus.g == 0.5).all()
    assert not stimulus.offer.all()
    parts = [
        stimulus.select(slice(k, k + 2), offer=stimulus.offer, accept=stimulus.accept) for k in (0, 2, 4)
    ]
    joined = parts[0].join(parts[1:])
    for name in ("x", "g", "offer"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(stimulus, name))


def test_a_vector_and_a_result_are_told_in_full():
    stimulus = QuantizerStimulus(
        spec=QuantizerSpec(block_size=2, rounding="stochastic", tensor_scale=True),
        x=np.array([[0x3F80, 0xC000]], np.uint16),
        random=np.array([[1, 0xFE]]),
        g=np.array([0.5], np.float32),
    )
    assert stimulus.vector_text(0) == [
        "  vector 0: x 3f80 c000 (bf16: 1 -2)",
        "    random 1 fe",
        "    g 0x3f000000 (0.5)",
    ]
    assert stimulus.result_text(0x38_0000_00F4) == "scale 38 (ue4m3: 1), elements 4 f (e2m1: 2 -6)"


def test_what_is_refused():
    spec = QuantizerSpec(block_size=2)
    x = np.zeros((3, 2), np.uint16)
    drawn = QuantizerSpec(block_size=2, rounding="stochastic", random_bits=2)
    scaled = QuantizerSpec(block_size=2, tensor_scale=True)
    check_messages(
        [
            (
                ValueError,
                "x must be shaped (vectors, 2) for quantize_bf16_e2m1_ue4m3_n2_absmax, not (2, 3)",
                lambda: QuantizerStimulus(spec=spec, x=x.T),
            ),
            (
                ValueError,
                "random must be given for quantize_bf16_e2m1_ue4m3_n2_absmax_stochastic2",
                lambda: QuantizerStimulus(spec=drawn, x=x),
            ),
            (
                ValueError,
                "random must be 2-bit numbers from 0 to 0x3, not 0x4 at [0, 0]",
                lambda: QuantizerStimulus(spec=drawn, x=x, random=x + 4),
            ),
            (
                ValueError,
                "g must be None for quantize_bf16_e2m1_ue4m3_n2_absmax",
                lambda: QuantizerStimulus(spec=spec, x=x, g=np.ones(3, np.float32)),
            ),
            (
                ValueError,
                "g must be shaped (3,) to fit x, not (2,)",
                lambda: QuantizerStimulus(spec=scaled, x=x, g=np.ones(2, np.float32)),
            ),
            (
                ValueError,
                "stimulus must hold at least one vector, not 0",
                lambda: QuantizerStimulus(spec=spec, x=x[:0]),
            ),
            (ValueError, "vectors must be at least 1, not 0", lambda: random(spec, 0, seed=0)),
            (ValueError, "vectors must be at least 8, not 7", lambda: bulk(spec, 7, seed=0)),
            (ValueError, "seed must be at least 0, not -1", lambda: bulk(spec, 8, seed=-1)),
        ]
    )


@pytest.mark.parametrize("scale", ["ue2m1", "ue8m0"])
def test_numbers_stand_at_ties_under_a_tensor_scale_and_just_beside_them(scale: str) -> None:
    spec = QuantizerSpec(scale=scale, block_size=2, tensor_scale=True)
    stimulus = directed(spec)
    assert stimulus.g is not None
    magnitude = stimulus.x & np.uint16(0x7FFF)
    values = spec.input_format.to_float32(np.where(magnitude < 0x7F80, magnitude, 0)).astype(np.float64)
    g = stimulus.g.astype(np.float64)
    thresholds = scale_thresholds(spec)[6.0]
    # How far the largest magnitude is from the nearest threshold, in parts of it.
    quotients = values.max(axis=1)[:, np.newaxis] / g[:, np.newaxis] / thresholds
    off = np.take_along_axis(quotients - 1, np.abs(quotients - 1).argmin(axis=1)[:, np.newaxis], axis=1)[:, 0]
    many_bits = stimulus.g.view(np.uint32) & np.uint32(0xFFFF) != 0
    for side in (off < 0, off > 0):
        assert (side & many_bits & (np.abs(off) < 2.0**-21)).sum() > 100
    # Elements too: the magnitude over scale and tensor scale is at a midpoint, or a few parts in 2**21 away.
    factor = np.nan_to_num(spec.scale_format.values[stimulus.codes[1]]) * g
    parts = values / np.where(factor > 0, factor, 1)[:, np.newaxis]
    middles = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5])
    near = np.abs(parts[..., np.newaxis] / middles - 1).min(axis=-1)
    assert ((near < 2.0**-21) & many_bits[:, np.newaxis]).sum() > 200


@pytest.mark.parametrize("input_format", ["bf16", "fp16"])
def test_a_last_bit_in_any_two_lanes_decides_between_two_scales_in_some_directed_block(input_format):
    spec = QuantizerSpec(scale="ue4m3", method="four_over_six", input=input_format)
    x = directed(spec).x[-200:]
    scales = spec.compute(x)[1]
    for lane in range(0, spec.block_size, 2):
        beside = x.copy()
        beside[:, lane : lane + 2] ^= 1
        assert (spec.compute(beside)[1] != scales).any(), lane
