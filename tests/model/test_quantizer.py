"""The quantizer unit's specification, against loops in exact rationals that share nothing with it."""

import itertools
import pickle
from bisect import bisect_left
from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest
import reference
from blockdot.model import QuantizerSpec, formats, quantize
from blockdot.model.quantizer import INPUTS, QUANTIZER_METHODS, InputName
from messages import check_messages, untyped

FORMS = {"bf16": (8, 7), "fp16": (5, 10), "fp32": (8, 23)}


def value_of(input_name: str, code: int) -> Fraction | None:
    """What an input code is worth; None for NaN and infinity."""
    exponent_bits, mantissa_bits = FORMS[input_name]
    mantissa = code & ((1 << mantissa_bits) - 1)
    exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
    if exponent == (1 << exponent_bits) - 1:
        return None
    significand = mantissa + (1 << mantissa_bits if exponent else 0)
    bias = (1 << (exponent_bits - 1)) - 1
    magnitude = significand * Fraction(2) ** (max(exponent, 1) - bias - mantissa_bits)
    return -magnitude if code >> (exponent_bits + mantissa_bits) else magnitude


def finite(name: str) -> list[Fraction]:
    return [Fraction(v) for v in reference.magnitudes(name) if reference.is_finite(v)]


def middles(points: list[Fraction]) -> list[Fraction]:
    return [(low + high) / 2 for low, high in pairwise(points)]


def passed(value: Fraction, steps: list[Fraction]) -> int:
    """How many steps lie below, and one more at a step where the tie goes up: to an even code."""
    below = bisect_left(steps, value)
    return below + (below < len(steps) and value == steps[below] and below % 2 == 1)


class Rational:
    """One block after another, by the text of the contract: no numpy, nothing of blockdot."""

    def __init__(self, spec: QuantizerSpec) -> None:
        self.spec = spec
        self.scales = finite(spec.scale)
        self.elements = (
            finite(spec.element) if spec.element != "int8" else [Fraction(k, 64) for k in range(128)]
        )
        self.scale_middles, self.element_middles = middles(self.scales), middles(self.elements)
        self.nan = len(reference.decode(spec.scale)) - 1

    def sign_code(self) -> int:
        return len(reference.decode(self.spec.element)) // 2

    def nearest(self, magnitude: Fraction) -> int:
        """The element's magnitude code."""
        return passed(magnitude, self.element_middles)

    def drawn(self, magnitude: Fraction, random: int) -> int:
        points = self.elements
        if magnitude >= points[-1]:
            return len(points) - 1
        low = max(k for k in range(len(points)) if points[k] <= magnitude)
        position = (magnitude - points[low]) / (points[low + 1] - points[low])
        whole = 1 << self.spec.random_bits
        return low + (floor(whole * position) + random >= whole)

    def scale_for(self, amax: Fraction, g: Fraction, top: Fraction) -> int:
        """How many thresholds top * g * midpoint lie below amax."""
        return passed(amax / (top * g), self.scale_middles)

    def error(self, block: list[Fraction], factor: Fraction) -> Fraction:
        total = Fraction(0)
        for x in block:
            element = self.elements[self.nearest(abs(x) / factor)] if factor else Fraction(0)
            total += (abs(x) - element * factor) ** 2
        return total

    def scale(self, block: list[Fraction], g: Fraction) -> int:
        amax, qmax = max(map(abs, block)), self.elements[-1]
        match self.spec.method:
            case "absmax":
                return self.scale_for(amax, g, qmax)
            case "prevent_zero":
                code = self.scale_for(amax, g, qmax)
                return 1 if amax and self.scales[code] == 0 else code
            case "four_over_six":
                six, four = (self.scale_for(amax, g, Fraction(top)) for top in (6, 4))
                of_six, of_four = (self.error(block, self.scales[code] * g) for code in (six, four))
                return four if of_four < of_six else six
            case "floor":
                if not amax:
                    return 0
                wanted = reference.floor_log2(amax / g) - reference.floor_log2(qmax)
                return max(0, min(wanted + 127, 254))
            case "ceil":
                fits = [k for k, s in enumerate(self.scales) if s * qmax * g >= amax]
                return fits[0] if fits else len(self.scales) - 1

    def __call__(self, codes: list[int], random: list[int] | None, g: Fraction) -> tuple[list[int], int]:
        block = [value_of(self.spec.input, code) for code in codes]
        if any(value is None for value in block):
            return [0] * len(block), self.nan
        finite_block = [Fraction(value) for value in block if value is not None]
        scale = self.scale(finite_block, g)
        factor = self.scales[scale] * g
        top = sum(FORMS[self.spec.input])
        elements = []
        for k, (code, x) in enumerate(zip(codes, finite_block, strict=True)):
            if not factor:
                elements.append(0)
                continue
            magnitude = abs(x) / factor
            element = self.nearest(magnitude) if random is None else self.drawn(magnitude, random[k])
            negative = code >> top
            if self.spec.element == "int8":
                if negative and magnitude > Fraction(127, 64):
                    rest = (magnitude - Fraction(127, 64)) * 64
                    if random is None:
                        element = 127 + (rest >= Fraction(1, 2))  # the tie goes to the even 128
                    else:
                        whole = 1 << self.spec.random_bits
                        element = 127 + (rest >= 1 or floor(whole * rest) + random[k] >= whole)
                elements.append((256 - element) % 256 if negative else element)
            else:
                elements.append(element + self.sign_code() * negative)
        return elements, scale


def to_codes(input_name: str, values: np.ndarray) -> np.ndarray:
    """Codes of values, cut off to the input format."""
    values = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        if input_name == "fp16":
            return values.astype(np.float16).view(np.uint16)
        bits = values.astype(np.float32).view(np.uint32)
    return (bits >> 16).astype(np.uint16) if input_name == "bf16" else bits


def stimulus(spec: QuantizerSpec, rng: np.random.Generator, g: float, blocks: int) -> np.ndarray:
    """Blocks of every kind: uniform bits, Gaussian, ties of scales and of elements, beside ties, specials."""
    form, size = INPUTS[spec.input], spec.block_size
    of_scale, of_element = spec.scale_format, spec.element_format
    uniform = rng.integers(0, 1 << form.bits, (blocks, size))
    low = max(np.log2(of_scale.smallest) - 3, -150)
    high = min(np.log2(of_scale.largest) + 4, 126)
    sigma = 2.0 ** rng.uniform(low, high, (blocks, 1)) * g
    gauss = to_codes(spec.input, rng.standard_normal((blocks, size)) * sigma)
    values = of_scale.values[: of_scale.largest_code + 1]
    top = rng.choice([of_element.largest, 4.0], (blocks, 1))
    at = rng.integers(0, len(values) - 1, (blocks, 1))
    thresholds = to_codes(spec.input, (values[at] + values[at + 1]) / 2 * top * g)
    points = np.unique(np.abs(of_element.values[of_element.codes]))
    targets = np.concatenate([points, (points[1:] + points[:-1]) / 2])
    factor = values[rng.integers(1, len(values), (blocks, 1))] * g
    elements = rng.choice(targets, (blocks, size)) * factor
    elements[:, :1] = factor * of_element.largest
    ties = to_codes(spec.input, elements)
    with_threshold = ties.copy()
    with_threshold[:, :1] = thresholds
    beside = [codes.astype(np.int64) + rng.integers(-1, 2, codes.shape) for codes in (ties, with_threshold)]
    several = [uniform, gauss, ties, with_threshold, *beside]
    corners = np.array(
        [0, 1, 2, (1 << form.mantissa_bits) - 1, 1 << form.mantissa_bits, form.infinity_code - 1]
    )
    several.append(rng.choice(corners, (blocks, size)))
    several.append(np.zeros((2, size), np.int64))
    specials = np.repeat(gauss[:1].astype(np.int64), 4, axis=0)
    specials[:, 3] = [
        form.infinity_code,
        form.infinity_code + 1,
        (1 << form.bits) - 1,
        form.infinity_code - 1,
    ]
    several.append(specials)
    codes = np.concatenate([np.clip(part.astype(np.int64), 0, (1 << form.bits) - 1) for part in several])
    signs = rng.integers(0, 2, codes.shape) << (form.bits - 1)
    return (codes ^ signs).astype(form.dtype)


def check(spec: QuantizerSpec, rng: np.random.Generator, blocks: int = 6) -> None:
    """Hold every block of a mixed stimulus against the rational loops."""
    g_values = [1.0]
    if spec.tensor_scale:
        g_values = [float(np.float32(v)) for v in (rng.uniform(1, 2), 2.0**-9 * rng.uniform(1, 2), 2.0**-140)]
    parts = [(stimulus(spec, rng, g, blocks), g) for g in g_values]
    x = np.concatenate([part for part, _ in parts])
    g = np.concatenate([np.full(len(part), g, np.float32) for part, g in parts])
    random = rng.integers(0, 1 << spec.random_bits, x.shape) if spec.stochastic else None
    elements, scales = spec.compute(x, random, g if spec.tensor_scale else None)
    rational = Rational(spec)
    for row, codes in enumerate(x.tolist()):
        draws = None if random is None else random[row].tolist()
        wanted = rational(codes, draws, Fraction(float(g[row])))
        assert (elements[row].tolist(), int(scales[row])) == wanted, (spec.name, codes, draws, g[row])


NVFP4 = [
    (input_name, scale, method)
    for input_name, scale, method in itertools.product(INPUTS, ("ue4m3", "ue5m3"), QUANTIZER_METHODS)
    if method not in ("floor", "ceil")
]
MX = [(input_name, "ue8m0", method) for input_name, method in itertools.product(INPUTS, QUANTIZER_METHODS)]


@pytest.mark.parametrize(("input_name", "scale", "method"), NVFP4 + MX)
def test_every_method_against_rationals(input_name, scale, method, rng):
    check(QuantizerSpec(input=input_name, scale=scale, method=method, block_size=8), rng)


@pytest.mark.parametrize(
    ("input_name", "scale", "method"), [case for case in NVFP4 + MX if case[0] != "fp16"]
)
def test_a_tensor_scale_against_rationals(input_name, scale, method, rng):
    spec = QuantizerSpec(input=input_name, scale=scale, method=method, block_size=4, tensor_scale=True)
    check(spec, rng, blocks=4)


@pytest.mark.parametrize("random_bits", [1, 8, 16])
@pytest.mark.parametrize("method", ["absmax", "four_over_six"])
@pytest.mark.parametrize("tensor_scale", [False, True])
def test_stochastic_rounding_against_rationals(random_bits, method, tensor_scale, rng):
    inputs: tuple[tuple[InputName, str], ...] = (("bf16", "ue4m3"), ("fp32", "ue8m0"))
    for input_name, scale in inputs:
        spec = QuantizerSpec(
            input=input_name,
            scale=scale,
            method=method,
            block_size=4,
            rounding="stochastic",
            random_bits=random_bits,
            tensor_scale=tensor_scale,
        )
        check(spec, rng, blocks=4)


@pytest.mark.parametrize("element", [name for name in formats.ELEMENTS if name != "e2m1"])
@pytest.mark.parametrize("rounding", ["nearest_even", "stochastic"])
def test_other_elements_against_rationals(element, rounding, rng):
    for scale, tensor_scale in (("ue4m3", False), ("ue8m0", True)):
        spec = QuantizerSpec(
            input="fp32",
            element=element,
            scale=scale,
            block_size=4,
            rounding=rounding,
            random_bits=16,
            tensor_scale=tensor_scale,
        )
        check(spec, rng, blocks=2)


@pytest.mark.parametrize("scale", ["ue4m4", "ue5m3_ieee", "ue3m2", "ue8m5", "ue2m0"])
def test_other_scales_against_rationals(scale, rng):
    for method in ("absmax", "prevent_zero", "four_over_six"):
        check(QuantizerSpec(scale=scale, method=method, block_size=4), rng, blocks=3)


def test_the_comparison_finds_a_wrong_model(rng, monkeypatch):
    """The rational loops are worth something: ties that go away from zero are found."""
    spec = QuantizerSpec(block_size=8)

    def away(_rule: object, rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
        factors = spec.scale_format.values[scales][:, np.newaxis]
        with np.errstate(divide="ignore", invalid="ignore"):
            quotients = np.where(factors == 0, 0, rows / factors)
        return np.where(factors == 0, 0, spec.element_format.encode(quotients, "nearest_away"))

    monkeypatch.setattr("blockdot.model.quantizer.ScaleRule.encode", away)
    with pytest.raises(AssertionError, match="quantize_bf16_e2m1_ue4m3_n8_absmax"):
        check(spec, rng)


@pytest.mark.parametrize("method", QUANTIZER_METHODS)
@pytest.mark.parametrize("tensor_scale", [False, True])
def test_finite_blocks_are_those_of_quantize(method, tensor_scale, rng):
    scale = "ue8m0" if method in ("floor", "ceil") else "ue4m3"
    spec = QuantizerSpec(input="fp32", scale=scale, method=method, tensor_scale=tensor_scale)
    x = (rng.standard_normal((300, 16)) * 2.0 ** rng.uniform(-14, 10, (300, 1))).astype(np.float32)
    tensor = quantize(x, scale=scale, method=method, tensor_scale=tensor_scale)
    g = tensor.tensor_scale if tensor_scale else None
    elements, scales = spec.compute(x.view(np.uint32), g=g)
    np.testing.assert_array_equal(elements, tensor.codes)
    np.testing.assert_array_equal(scales, tensor.scales[:, 0])


def test_one_g_for_all_and_one_for_each_block_are_the_same(rng):
    for method in ("absmax", "four_over_six"):
        spec = QuantizerSpec(tensor_scale=True, method=method)
        x = rng.integers(0, 1 << 16, (40, 2, 16), dtype=np.uint16)
        one = spec.compute(x, g=0.3125)
        each = spec.compute(x, g=np.full((40, 2), 0.3125, np.float32))
        for a, b in zip(one, each, strict=True):
            np.testing.assert_array_equal(a, b)
        different = np.float32(2.0) ** rng.integers(-3, 3, (40, 2))
        whole = spec.compute(x, g=different)
        for row, column in itertools.product(range(3), range(2)):
            part = spec.compute(x[row, column], g=different[row, column])
            np.testing.assert_array_equal(whole[0][row, column], part[0])
            assert whole[1][row, column] == part[1]


def test_shapes_and_chunks(rng):
    spec = QuantizerSpec(block_size=2)
    x = rng.integers(0, 1 << 16, (40000, 2), dtype=np.uint16)  # more than one chunk
    elements, scales = spec.compute(x)
    assert (elements.shape, scales.shape) == ((40000, 2), (40000,))
    assert (elements.dtype, scales.dtype) == (np.uint8, np.uint8)
    again = spec.compute(x[::-1])
    np.testing.assert_array_equal(again[0][::-1], elements)
    np.testing.assert_array_equal(again[1][::-1], scales)
    assert spec.compute(x[0])[1].shape == ()
    assert spec.compute(np.empty((3, 0, 2), np.uint16))[0].shape == (3, 0, 2)
    # Any integers will do that fit, and the argument is left alone.
    before = x.copy()
    np.testing.assert_array_equal(spec.compute(x.astype(np.int64))[0], elements)
    np.testing.assert_array_equal(x, before)


def test_a_block_with_a_nan_or_an_infinity():
    for input_name, form in INPUTS.items():
        for scale in ("ue4m3", "ue5m3", "ue8m0", "ue5m3_ieee"):
            spec = QuantizerSpec(input=input_name, scale=scale, block_size=4)
            ones = np.full((5, 4), form.bias << form.mantissa_bits, form.dtype)
            wrong = [form.infinity_code, form.infinity_code + 1, (1 << form.bits) - 1, 1 << (form.bits - 1)]
            ones[[0, 1, 2], [0, 1, 3]] = wrong[:3]
            ones[3, 2] = wrong[3]  # -0 is a number
            elements, scales = spec.compute(ones)
            assert (scales == spec.scale_format.nan_code).tolist() == [True, True, True, False, False]
            assert not elements[:3].any()
            assert elements[4].all()


NAMES = {
    "quantize_bf16_e2m1_ue4m3_n16_absmax": QuantizerSpec(),
    "quantize_fp32_e2m1_ue5m3_n32_four_over_six": QuantizerSpec(
        input="fp32", scale="ue5m3", block_size=32, method="four_over_six"
    ),
    "quantize_fp16_e3m2_ue5m3_ieee_n8_prevent_zero_stochastic8": QuantizerSpec(
        input="fp16",
        element="e3m2",
        scale="ue5m3_ieee",
        block_size=8,
        method="prevent_zero",
        rounding="stochastic",
    ),
    "quantize_bf16_int8_ue8m0_n16_floor_stochastic11_tensor": QuantizerSpec(
        element="int8",
        scale="ue8m0",
        method="floor",
        rounding="stochastic",
        random_bits=11,
        tensor_scale=True,
    ),
    "quantize_bf16_e2m1_ue8m0_n16_ceil_tensor": QuantizerSpec(
        scale="ue8m0", method="ceil", tensor_scale=True
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_go_there_and_back(name):
    spec = NAMES[name]
    assert spec.name == str(spec) == name
    assert QuantizerSpec.parse(name) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert len({spec, QuantizerSpec.parse(name)}) == 1


def test_what_has_no_effect_does_not_tell_two_apart():
    assert QuantizerSpec(random_bits=5) == QuantizerSpec()
    assert QuantizerSpec(rounding="stochastic", random_bits=5) != QuantizerSpec(rounding="stochastic")
    assert QuantizerSpec(scale=formats.get("ue4m3")) == QuantizerSpec()


def test_what_is_refused():
    x = np.zeros((3, 16), np.uint16)
    drawn, scaled = QuantizerSpec(rounding="stochastic", random_bits=4), QuantizerSpec(tensor_scale=True)
    one_of = "bf16, fp16, fp32"
    check_messages(
        [
            (
                ValueError,
                f"input must be one of {one_of}, not 'fp8'",
                lambda: QuantizerSpec(input=untyped("fp8")),
            ),
            (
                ValueError,
                "method must be one of absmax, prevent_zero, four_over_six, floor, ceil, not 'search'",
                lambda: QuantizerSpec(method=untyped("search")),
            ),
            (
                ValueError,
                "rounding must be one of nearest_even, stochastic, not 'toward_zero'",
                lambda: QuantizerSpec(rounding=untyped("toward_zero")),
            ),
            (
                ValueError,
                "element must be e2m1 for method 'four_over_six', not 'e3m2'",
                lambda: QuantizerSpec(element="e3m2", method="four_over_six"),
            ),
            (
                ValueError,
                "scale must be ue8m0 for method 'floor', not 'ue4m3'",
                lambda: QuantizerSpec(method="floor"),
            ),
            (
                ValueError,
                "scale must have a NaN, for blocks with one in them, not be 'ue4m3_full'",
                lambda: QuantizerSpec(scale="ue4m3_full"),
            ),
            (
                ValueError,
                "element must be a signed format, not 'ue4m3'",
                lambda: QuantizerSpec(element="ue4m3"),
            ),
            (
                ValueError,
                "block_size must be a power of two from 2 to 128, not 12",
                lambda: QuantizerSpec(block_size=12),
            ),
            (
                TypeError,
                "block_size must be an integer, not 16.0",
                lambda: QuantizerSpec(block_size=untyped(16.0)),
            ),
            (
                ValueError,
                "random_bits must be from 1 to 16, not 17",
                lambda: QuantizerSpec(rounding="stochastic", random_bits=17),
            ),
            (TypeError, "tensor_scale must be a bool, not 1", lambda: QuantizerSpec(tensor_scale=untyped(1))),
            (
                ValueError,
                "specification must read like quantize_bf16_e2m1_ue4m3_n16_absmax, not 'e2m1_ue5m3_n16_fp32'",
                lambda: QuantizerSpec.parse("e2m1_ue5m3_n16_fp32"),
            ),
            (
                ValueError,
                "x must be shaped (..., 16) for quantize_bf16_e2m1_ue4m3_n16_absmax, not (16, 3)",
                lambda: QuantizerSpec().compute(x.T),
            ),
            (
                TypeError,
                "x must be integers, not float32",
                lambda: QuantizerSpec().compute(np.ones(16, "f4")),
            ),
            (
                ValueError,
                "x must be bf16 codes from 0 to 0xffff, not 0x10000 at [2]",
                lambda: QuantizerSpec().compute([0, 0, 0x10000] + 13 * [0]),
            ),
            (
                ValueError,
                "random must be given for quantize_bf16_e2m1_ue4m3_n16_absmax_stochastic4",
                lambda: drawn.compute(x),
            ),
            (
                ValueError,
                "random must be None for quantize_bf16_e2m1_ue4m3_n16_absmax",
                lambda: QuantizerSpec().compute(x, x),
            ),
            (
                ValueError,
                "random must be 4-bit numbers from 0 to 0xf, not 0x10 at [0, 0]",
                lambda: drawn.compute(x, x + 16),
            ),
            (
                ValueError,
                "random must be shaped (3, 16) to fit x, not (16,)",
                lambda: drawn.compute(x, x[0]),
            ),
            (
                ValueError,
                "g must be given for quantize_bf16_e2m1_ue4m3_n16_absmax_tensor",
                lambda: scaled.compute(x),
            ),
            (
                ValueError,
                "g must be None for quantize_bf16_e2m1_ue4m3_n16_absmax",
                lambda: QuantizerSpec().compute(x, g=1.0),
            ),
            (ValueError, "g must be positive and finite, not 0.0", lambda: scaled.compute(x, g=0.0)),
            (
                ValueError,
                "g must be one number or shaped (3,) to fit x, not (2,)",
                lambda: scaled.compute(x, g=np.ones(2, np.float32)),
            ),
        ]
    )


def test_codes_of_values_are_the_nearest(rng):
    """Every code is that of its value; values between two go to the nearer, ties to the even one."""
    for form in INPUTS.values():
        top = form.infinity_code + 1
        finite = (
            rng.integers(0, top, 10_000, np.uint64) if form.bits == 32 else np.arange(top, dtype=np.uint64)
        )
        codes = np.concatenate([finite, finite | np.uint64(1 << form.bits - 1)]).astype(form.dtype)
        np.testing.assert_array_equal(form.encode(form.to_float32(codes)), codes)
        nan = form.encode(np.array([np.nan, -np.nan], np.float32))
        assert np.isnan(form.to_float32(nan)).all()
    for name in ("bf16", "fp16"):
        form = INPUTS[name]
        low = np.arange(1, form.infinity_code - 1, dtype=form.dtype)
        a, b = (form.to_float32(codes).astype(np.float64) for codes in (low, low + form.dtype.type(1)))
        even = np.where(low % 2, low + form.dtype.type(1), low)
        middle = ((a + b) / 2).astype(np.float32)
        exact = middle == (a + b) / 2  # but for the least subnormals of bf16
        np.testing.assert_array_equal(form.encode(middle)[exact], even[exact])
        assert exact.mean() > 0.9
        for beside, nearest in ((-np.inf, low), (np.inf, low + form.dtype.type(1))):
            moved = np.nextafter(middle, np.float32(beside))
            np.testing.assert_array_equal(form.encode(moved)[exact], nearest[exact])
