"""Every number under every scale of a quantizer: whole units of two elements against their specification.

What is left out depends on a block's size alone: finding the largest of more magnitudes than two, and the
sums of more than two elements in ``four_over_six``.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from blockdot.hw import QuantizerConfig, QuantizerUnit
from blockdot.hw.config import Optimise
from blockdot.model.quantizer import QuantizerMethod, QuantizerSpec
from blockdot.sim import run
from blockdot.sim.quantizer_stimulus import step_parts
from blockdot.sim.serial_stimulus import SerialStimulus
from blockdot.verify import compare

Numbers = npt.NDArray[np.uint64]
Make = Callable[[QuantizerUnit], Callable[..., dict[str, Numbers]]]

CHUNK = 1 << 17
PLAIN: tuple[QuantizerMethod, ...] = ("absmax", "prevent_zero")
EVERY: tuple[QuantizerMethod, ...] = ("absmax", "prevent_zero", "four_over_six")
WHOLE: tuple[QuantizerMethod, ...] = ("absmax", "prevent_zero", "floor", "ceil")


def of_two(scale: str, method: QuantizerMethod, input: str = "bf16") -> QuantizerSpec:
    return QuantizerSpec.parse(f"quantize_{input}_e2m1_{scale}_n2_{method}")


def scales_of(spec: QuantizerSpec, largest: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return for each largest magnitude the scales that a block is quantized under, as one number."""
    block = np.stack([largest, 0 * largest], axis=1).astype(spec.input_format.dtype)
    if spec.method != "four_over_six":
        return spec.compute(block)[1].astype(np.int64)
    six = of_two(spec.scale, "absmax", spec.input).compute(block)[1]
    values = spec.input_format.to_float32(block[:, 0])
    with np.errstate(over="ignore", invalid="ignore"):
        quarter = np.nan_to_num(values.astype(np.float64) / 4)
    return six.astype(np.int64) << 8 | spec.scale_format.encode(quarter)


def ends(spec: QuantizerSpec) -> list[int]:
    """Return the least and the largest finite magnitude that leads to each scale, or to each pair of them."""
    largest = np.arange(spec.input_format.infinity_code)
    scales = scales_of(spec, largest)
    changes = np.flatnonzero(np.diff(scales)) + 1
    return sorted({*changes.tolist(), *(changes - 1).tolist(), len(largest) - 1})


def chunks(parts: Iterator[Numbers]) -> Iterator[Numbers]:
    """Join arrays to larger ones."""
    kept: list[Numbers] = []
    for part in parts:
        kept.append(part)
        if sum(map(len, kept)) >= CHUNK:
            yield np.concatenate(kept)
            kept = []
    if kept:
        yield np.concatenate(kept)


def blocks(spec: QuantizerSpec, step: int) -> Iterator[Numbers]:
    """Return blocks of two: each of the ends, before or behind every `step`th magnitude that is no larger."""
    sign = spec.input_format.bits - 1
    for turn, most in enumerate(ends(spec)):
        others = np.arange(most % step, most + 1, step, dtype=np.uint64)
        others |= (others & np.uint64(1)) << np.uint64(sign)
        top = np.full(len(others), most | turn % 2 << sign, np.uint64)
        yield np.stack([top, others] if turn // 2 % 2 else [others, top], axis=1)


def check(unit: QuantizerUnit, make: Make, parts: Iterator[Numbers]) -> int:
    """Compare the unit with its specification, and return how many blocks there were."""
    spec: QuantizerSpec = unit.spec
    run, bits = make(unit), np.uint64(spec.input_format.bits)
    count = 0
    for x in chunks(parts):
        elements, scales = spec.compute(x.astype(spec.input_format.dtype))
        seen = run(i_x=x[:, 0] | x[:, 1] << bits)
        codes = elements[:, 0].astype(np.uint64) | elements[:, 1].astype(np.uint64) << np.uint64(4)
        wrong = np.flatnonzero((seen["o_codes"] != codes) | (seen["o_scale"] != scales))
        assert not len(wrong), (spec.name, [hex(code) for code in x[wrong[0]].tolist()], len(wrong))
        count += len(x)
    return count


def every_code(spec: QuantizerSpec) -> Iterator[Numbers]:
    """Return every number, NaN and infinities too, beside a zero on either side."""
    codes = np.arange(1 << spec.input_format.bits, dtype=np.uint64)
    yield np.stack([codes, 0 * codes], axis=1)
    yield np.stack([0 * codes, codes], axis=1)


@pytest.mark.proofs
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize(
    ("scale", "method"),
    [
        *((scale, method) for scale in ("ue4m3", "ue5m3", "ue4m4", "ue5m3_ieee") for method in EVERY),
        *(("ue8m0", method) for method in (*WHOLE, "four_over_six")),
    ],
)
def test_the_scale_of_every_number(
    scale: str, method: QuantizerMethod, optimise: Optimise, made_of_gates: Make
) -> None:
    for input in ("bf16", "fp16"):
        spec = of_two(scale, method, input)
        unit = QuantizerUnit(spec, stages=0, optimise=optimise)
        assert check(unit, made_of_gates, every_code(spec)) == 1 << 17


@pytest.mark.proofs
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize(
    ("scale", "method"),
    [
        *((scale, method) for scale in ("ue4m3", "ue5m3", "ue4m4") for method in PLAIN),
        *(("ue8m0", method) for method in WHOLE),
    ],
)
def test_every_number_under_every_scale(
    scale: str, method: QuantizerMethod, optimise: Optimise, made_of_gates: Make
) -> None:
    """Every bf16 magnitude that a scale can meet, and so every midpoint of elements under every scale."""
    spec = of_two(scale, method)
    count = check(QuantizerUnit(spec, stages=0, optimise=optimise), made_of_gates, blocks(spec, 1))
    # Twice for every scale but those at the ends, and on average about half of all magnitudes.
    assert count > spec.scale_format.largest_code << 14


@pytest.mark.proofs
@pytest.mark.parametrize(
    ("scale", "method", "optimise"),
    [
        ("ue4m3", "absmax", "area"),
        ("ue4m3", "prevent_zero", "delay"),
        ("ue5m3", "absmax", "delay"),
        ("ue8m0", "floor", "delay"),
        ("ue8m0", "ceil", "area"),
    ],
)
def test_every_number_under_every_scale_in_series(
    scale: str, method: QuantizerMethod, optimise: Optimise, tmp_path: Path
) -> None:
    """The same blocks, one number after the other, into a serial quantizer."""
    config = QuantizerConfig(of_two(scale, method), stages=1, optimise=optimise, serial=True)
    spec, unit = config.spec, config.build()
    count = 0
    for x in chunks(itertools.chain(every_code(spec), blocks(spec, 1))):
        stimulus = SerialStimulus(spec=spec, x=x.reshape(-1).astype(spec.input_format.dtype))
        response = run(unit, stimulus, engine="cxxrtl", build_dir=tmp_path)
        comparison = compare(config, stimulus, response, engine="cxxrtl")
        assert comparison.equal, str(comparison)
        count += len(x)
    assert count > spec.scale_format.largest_code << 14


@pytest.mark.proofs
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3", "ue8m0"])
def test_every_number_under_every_pair_of_scales(scale: str, optimise: Optimise, made_of_gates: Make) -> None:
    """The choice between 4 and 6, for every bf16 magnitude beside a largest one."""
    spec = of_two(scale, "four_over_six")
    count = check(QuantizerUnit(spec, stages=0, optimise=optimise), made_of_gates, blocks(spec, 1))
    assert count > 3 * spec.scale_format.largest_code << 13


def check_drawn(unit: QuantizerUnit, make: Make, parts: Iterator[Numbers]) -> int:
    """Compare a unit that rounds by random bits: under every number of two bits, or where elements turn.

    Of more random bits, each element gets the least number that takes it up, and the one below: as a larger
    number never gives a smaller element, the unit is right under all of them if it is monotonous.
    """
    spec: QuantizerSpec = unit.spec
    run, bits, drawn = make(unit), np.uint64(spec.input_format.bits), np.uint64(spec.random_bits)
    last = (1 << spec.random_bits) - 1
    count = 0
    for x in chunks(parts):
        codes = x.astype(spec.input_format.dtype)
        scales = spec.compute(codes, np.zeros(x.shape, np.uint16))[1]
        _, part = step_parts(spec, codes, scales, None)
        turning = np.clip(last + 1 - part, 0, last)
        draws = (
            [np.full(x.shape, number) for number in range(4)]
            if last == 3
            else [turning, np.maximum(turning - 1, 0), np.full(x.shape, last)]
        )
        for draw in draws:
            elements, scales = spec.compute(codes, draw.astype(np.uint16))
            both = draw.astype(np.uint64)
            seen = run(i_x=x[:, 0] | x[:, 1] << bits, i_random=both[:, 0] | both[:, 1] << drawn)
            wanted = elements[:, 0].astype(np.uint64) | elements[:, 1].astype(np.uint64) << np.uint64(4)
            wrong = np.flatnonzero((seen["o_codes"] != wanted) | (seen["o_scale"] != scales))
            assert not len(wrong), (spec.name, [hex(code) for code in x[wrong[0]].tolist()], draw[wrong[0]])
            count += len(x)
    return count


@pytest.mark.proofs
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize(
    ("scale", "method", "random_bits"),
    [
        ("ue4m3", "absmax", 8),
        ("ue4m3", "absmax", 2),
        ("ue5m3", "prevent_zero", 8),
        ("ue4m4", "absmax", 2),
        ("ue8m0", "floor", 8),
    ],
)
def test_every_number_under_every_scale_by_random_bits(
    scale: str, method: QuantizerMethod, random_bits: int, optimise: Optimise, made_of_gates: Make
) -> None:
    spec = QuantizerSpec.parse(f"quantize_bf16_e2m1_{scale}_n2_{method}_stochastic{random_bits}")
    plain = of_two(scale, method)
    count = check_drawn(QuantizerUnit(spec, stages=0, optimise=optimise), made_of_gates, blocks(plain, 1))
    assert count > spec.scale_format.largest_code << 15


TENSOR_SCALES = (
    0x3F800000,
    0x3F800001,
    0x3FC00000,
    0x40800000 - 1,
    0x35ABCDEF,
    0x00000001,
    0x00654321,
    0x7F7FFFFF,
)
"""1, beside it, 1.5, all ones, any, two subnormal ones and the largest."""


def scaled_blocks(spec: QuantizerSpec, g: float, step: int) -> Iterator[Numbers]:
    """Return every magnitude alone; and the ends of each scale under g beside every `step`th magnitude."""
    largest = np.arange(spec.input_format.infinity_code, dtype=np.uint64)
    alone = np.stack([largest, 0 * largest], axis=1)
    yield alone
    scales = spec.compute(alone.astype(spec.input_format.dtype), g=g)[1].astype(np.int64)
    changes = np.flatnonzero(np.diff(scales)) + 1
    for most in sorted({*changes.tolist(), *(changes - 1).tolist(), len(largest) - 1}):
        others = np.arange(most % step, most + 1, step, dtype=np.uint64)
        yield np.stack([others, np.full(len(others), most, np.uint64)], axis=1)


def check_scaled(unit: QuantizerUnit, make: Make, step: int, codes: Sequence[int]) -> int:
    """Compare a unit with a tensor scale with its specification, under some tensor scales."""
    spec: QuantizerSpec = unit.spec
    run, bits = make(unit), np.uint64(spec.input_format.bits)
    count = 0
    for code in codes:
        g = float(np.array(code, np.uint32).view(np.float32)[()])
        for x in chunks(scaled_blocks(spec, g, step)):
            elements, scales = spec.compute(x.astype(spec.input_format.dtype), g=g)
            seen = run(i_x=x[:, 0] | x[:, 1] << bits, i_g=np.full(len(x), code, np.uint64))
            wanted = elements[:, 0].astype(np.uint64) | elements[:, 1].astype(np.uint64) << np.uint64(4)
            wrong = np.flatnonzero((seen["o_codes"] != wanted) | (seen["o_scale"] != scales))
            assert not len(wrong), (spec.name, hex(code), [hex(one) for one in x[wrong[0]].tolist()])
            count += len(x)
    return count


@pytest.mark.proofs
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize(
    ("scale", "method"),
    [
        ("ue4m3", "absmax"),
        ("ue5m3", "prevent_zero"),
        ("ue4m3", "four_over_six"),
        ("ue8m0", "floor"),
        ("ue4m1", "absmax"),
        ("ue3m2", "prevent_zero"),
        ("ue4m4", "absmax"),
    ],
)
def test_every_number_under_every_scale_and_a_tensor_scale(
    scale: str, method: QuantizerMethod, optimise: Optimise, made_of_gates: Make
) -> None:
    """Every bf16 magnitude as the largest, and every seventh beside the ends of each scale."""
    spec = QuantizerSpec.parse(f"quantize_bf16_e2m1_{scale}_n2_{method}_tensor")
    unit = QuantizerUnit(spec, stages=0, optimise=optimise)
    count = check_scaled(unit, made_of_gates, 7, TENSOR_SCALES)
    assert count > len(TENSOR_SCALES) << 15


def test_magnitudes_of_nine_scales_whose_significand_is_above_16_ninths(made_of_gates: Make) -> None:
    """Under a scale that is rounded down from 1.5 times it, times g, they are in one binade more."""
    spec = QuantizerSpec.parse("quantize_bf16_e2m1_ue2m0_n2_four_over_six_tensor")
    assert check_scaled(QuantizerUnit(spec, stages=0), made_of_gates, 509, (0x3FFFFFFF,)) > 1 << 15


def test_many_numbers_under_every_scale_and_a_tensor_scale(made_of_gates: Make) -> None:
    spec = QuantizerSpec.parse("quantize_bf16_e2m1_ue4m3_n2_absmax_tensor")
    assert check_scaled(QuantizerUnit(spec, stages=0), made_of_gates, 509, TENSOR_SCALES[4:5]) > 1 << 15


@pytest.mark.parametrize(("scale", "random_bits", "optimise"), [("ue4m3", 2, "area"), ("ue4m3", 8, "delay")])
def test_many_numbers_under_every_scale_by_random_bits(
    scale: str, random_bits: int, optimise: Optimise, made_of_gates: Make
) -> None:
    spec = QuantizerSpec.parse(f"quantize_bf16_e2m1_{scale}_n2_absmax_stochastic{random_bits}")
    plain = of_two(scale, "absmax")
    count = check_drawn(QuantizerUnit(spec, stages=0, optimise=optimise), made_of_gates, blocks(plain, 509))
    assert count > spec.scale_format.largest_code << 6


@pytest.mark.parametrize(
    ("scale", "method", "optimise"),
    [
        ("ue4m3", "absmax", "delay"),
        ("ue5m3", "prevent_zero", "area"),
        ("ue8m0", "floor", "delay"),
        ("ue4m3", "four_over_six", "area"),
    ],
)
def test_many_numbers_under_every_scale(
    scale: str, method: QuantizerMethod, optimise: Optimise, made_of_gates: Make
) -> None:
    spec = of_two(scale, method)
    count = check(QuantizerUnit(spec, stages=0, optimise=optimise), made_of_gates, blocks(spec, 509))
    assert count > spec.scale_format.largest_code << 5
