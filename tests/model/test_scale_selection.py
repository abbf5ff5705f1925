"""Every method and recipe against straightforward loops in exact rationals."""

import itertools
from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from math import frexp

import ml_dtypes
import numpy as np
import pytest
import reference
from blockdot.model import formats, quantize
from blockdot.model.fixed_point import sign_of_sums
from blockdot.model.formats import Rounding
from blockdot.model.quantize import Method
from blockdot.model.scale_selection import POWER_OF_TWO_METHODS, SELECTIONS, Blocks, ScaleRule
from messages import check_messages, untyped

SCALES = ("ue4m3", "ue5m3", "ue4m4", "ue8m0")
ROUNDINGS = ("nearest_even", "nearest_away", "toward_zero")
UNIT = 420  # 2**-420 divides every product of an element, a scale and a tensor scale


@cache
def grid(element: str) -> list[reference.Exact]:
    return sorted({value for value in reference.decode(element) if reference.is_finite(value)})


def finite_scales(scale: str) -> list[reference.Exact]:
    return [value for value in reference.decode(scale) if reference.is_finite(value)]


def power_below(x: Fraction) -> Fraction:
    """The largest power of two that is not above x; 0 for 0."""
    if not x:
        return x
    power = Fraction(2) ** (x.numerator.bit_length() - x.denominator.bit_length())
    return power if power <= x else power / 2


@dataclass
class Rational:
    """The contract's methods for one block."""

    element: str
    scale: str
    rounding: str
    g: Fraction
    cached: dict[int, list[int]] = field(default_factory=dict)

    def nearest_scale(self, amax: Fraction, top: reference.Exact) -> int:
        return reference.encode(self.scale, amax / (self.g * top), self.rounding)

    def codes(self, block: list[Fraction], code: int) -> list[int]:
        factor = Fraction(reference.decode(self.scale)[code]) * self.g
        if factor == 0:
            return [0] * len(block)
        return [reference.encode(self.element, x / factor, self.rounding) for x in block]

    def points(self, code: int) -> list[int]:
        """What elements are worth under a scale, ascending, in units of 2**-UNIT."""
        if code not in self.cached:
            factor = Fraction(reference.decode(self.scale)[code]) * self.g * 2**UNIT
            exact = [point * factor for point in grid(self.element)]
            assert all(value.denominator == 1 for value in exact)
            self.cached[code] = [int(value) for value in exact]
        return self.cached[code]

    def error(self, block: list[Fraction], code: int) -> int:
        """The sum of squared errors, by the distance to the nearest point and not by way of codes."""
        points = self.points(code)
        total = 0
        for value in block:
            x = int(value * 2**UNIT)
            at = bisect_left(points, x)
            near = points[max(at - 1, 0) : at + 1]
            if self.rounding == "toward_zero" and points[0] < x < points[-1]:
                near = [max((p for p in near if abs(p) <= abs(x)), key=abs)]
            total += min(abs(p - x) for p in near) ** 2
        return total

    def choose(self, method: str, block: list[Fraction]) -> int:
        amax = max(map(abs, block))
        qmax = grid(self.element)[-1]
        scales = finite_scales(self.scale)
        match method:
            case "absmax":
                return self.nearest_scale(amax, qmax)
            case "prevent_zero":
                code = self.nearest_scale(amax, qmax)
                return max(code, next(k for k, s in enumerate(scales) if s > 0)) if amax else code
            case "four_over_six":
                six, four = (self.nearest_scale(amax, Fraction(top)) for top in (6, 4))
                return four if self.error(block, four) < self.error(block, six) else six
            case "search":
                errors = [self.error(block, code) for code in range(len(scales))]
                return errors.index(min(errors))
            case "floor":
                emax = frexp(qmax)[1] - 1
                code = max((k for k, s in enumerate(scales) if s * 2**emax * self.g <= amax), default=0)
            case "even":
                bits = formats.get(self.element).significand_bits
                rounded = amax / self.g + power_below(amax / self.g) / 2**bits
                power = power_below(Fraction(qmax))
                code = max((k for k, s in enumerate(scales) if s * power <= rounded), default=0)
            case "ceil":
                fits = (k for k, s in enumerate(scales) if s * qmax * self.g >= amax)
                code = min(fits, default=len(scales) - 1)
            case _:
                raise AssertionError(method)
        return code


def check(
    x: np.ndarray,
    method: Method,
    element: str = "e2m1",
    scale: str = "ue5m3",
    rounding: Rounding = "nearest_even",
    **more,
) -> None:
    """Compare every block."""
    tensor = quantize(x, element, scale, x.shape[1], method, rounding=rounding, **more)
    rational = Rational(element, scale, rounding, Fraction(tensor.tensor_scale))
    for row, values in enumerate(x.tolist()):
        block = [Fraction(value) for value in values]
        code = rational.choose(method, block)
        assert tensor.scales[row, 0] == code, (row, values)
        seen = tensor.codes[row].tolist()
        wanted = rational.codes(block, code)
        # The reference has no sign of zero.
        half = 1 << formats.get(element).magnitude_bits
        if element != "int8":
            seen = [0 if c == half else c for c in seen]
            wanted = [0 if c == half else c for c in wanted]
        assert seen == wanted


def wide(rng: np.random.Generator, scale: str, blocks: int, size: int) -> np.ndarray:
    """Gaussian blocks of all magnitudes of the scale format and beyond; zeros, and blocks of zeros."""
    fmt = formats.get(scale)
    low, high = max(np.log2(fmt.smallest) - 3, -140), min(np.log2(fmt.largest) + 4, 122)
    x = rng.standard_normal((blocks, size)) * 2.0 ** rng.uniform(low, high, (blocks, 1))
    x[rng.random(x.shape) < 0.1] = 0
    x[:2] = 0
    return x.astype(np.float32)


def coarse(rng: np.random.Generator, _scale: str, blocks: int, size: int) -> np.ndarray:
    """Blocks of small integers, of which many err alike under several scales; some beside such a block."""
    x = rng.integers(-12, 13, (blocks, size)) * rng.choice([0.5, 0.75, 1.0, 3.0], (blocks, 1))
    exponents = rng.integers(-9, 8, (blocks, 1))
    x = np.ldexp(x, exponents).astype(np.float32)
    third = blocks // 3
    # Every element on the grids of 6 and of 4 alike: both err by nothing.
    x[:third] = np.ldexp(
        rng.choice([0, 1.5, 3, 6, -3, -6], (third, size)) * rng.integers(1, 3, (third, 1)), exponents[:third]
    )
    x[third : 2 * third, 0] = np.nextafter(x[third : 2 * third, 0], np.float32(np.inf))
    return x


def scaled(rng: np.random.Generator, _scale: str, blocks: int, size: int) -> np.ndarray:
    """What a tensor scale of 24 bits makes of ordinary data: a few magnitudes of blocks."""
    x = rng.standard_normal((blocks, size)) * 2.0 ** rng.uniform(-12, 1, (blocks, 1))
    return x.astype(np.float32)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", ["absmax", "prevent_zero", "four_over_six"])
def test_closed_forms(method, scale, rounding, rng):
    blocks = 700 if rounding == "nearest_even" else 250
    for draw, tensor_scale in itertools.product((wide, coarse, scaled), (False, True)):
        check(draw(rng, scale, blocks, 8), method, scale=scale, rounding=rounding, tensor_scale=tensor_scale)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("scale", SCALES)
def test_search(scale, rounding, rng):
    blocks = 250 if rounding == "nearest_even" else 40
    for draw, tensor_scale in itertools.product((wide, coarse, scaled), (False, True)):
        check(
            draw(rng, scale, blocks, 4), "search", scale=scale, rounding=rounding, tensor_scale=tensor_scale
        )


@pytest.mark.parametrize("element", [name for name in formats.ELEMENTS if name != "e2m1"])
@pytest.mark.parametrize("rounding", ["nearest_even", "toward_zero"])
def test_search_of_other_elements(element, rounding, rng):
    for scale, draw in itertools.product(("ue4m3", "ue3m2", "ue2m5"), (wide, coarse)):
        check(draw(rng, scale, 25, 4), "search", element, scale, rounding)


@pytest.mark.parametrize("element", formats.ELEMENTS)
@pytest.mark.parametrize("method", POWER_OF_TWO_METHODS)
def test_powers_of_two(method, element, rng):
    for tensor_scale in (False, True):
        for rounding in ROUNDINGS:
            x = wide(rng, "ue8m0", 60, 4)
            # On a power of two times the largest value, and one float32 step above and below.
            x[10:40, 0] = np.ldexp(formats.get(element).largest, rng.integers(-60, 60, 30))
            x[20:30, 0] = np.nextafter(x[20:30, 0], np.float32(np.inf))
            x[30:40, 0] = np.nextafter(x[30:40, 0], np.float32(0))
            x[40:50, 0] = np.ldexp(1.0, rng.integers(-60, 60, 10))
            # Where a significand as long as an element's rounds up to the next power of two, and one below.
            x[50:60, 0] = np.ldexp(
                2 - 0.5 ** formats.get(element).significand_bits, rng.integers(-60, 60, 10)
            )
            x[55:60, 0] = np.nextafter(x[55:60, 0], np.float32(0))
            check(x, method, element, "ue8m0", rounding, tensor_scale=tensor_scale)


def test_floor_is_the_conversion_of_ocp():
    """MX v1.0, 6.3: the shared exponent of 5 for e2m1 is floor(log2(5)) - 2 = 0."""
    x = np.zeros((4, 2), np.float32)
    x[:, 0] = 5, 7.9, 8, 0
    tensor = quantize(x, "e2m1", "ue8m0", 2, "floor")
    assert tensor.scales[:, 0].tolist() == [127, 127, 128, 0]
    assert tensor.codes[:, 0].tolist() == [6, 7, 6, 0]
    assert quantize(x, "e2m1", "ue8m0", 2, "ceil").scales[:, 0].tolist() == [127, 128, 128, 0]


def test_even_rounds_the_largest_first():
    """Two significant bits make 6 of all from 5 to 7, and 8 of 7; four bits make 8 of 7.75 and more."""
    x = np.zeros((5, 2), np.float32)
    x[:, 0] = 5, 6.99, 7, 7.75, 0
    assert quantize(x, "e2m1", "ue8m0", 2, "even").scales[:, 0].tolist() == [127, 127, 128, 128, 0]
    # emax of e4m3 is 8.
    assert quantize(x, "e4m3", "ue8m0", 2, "even").scales[:, 0].tolist() == [121, 121, 121, 122, 0]


def test_ties_are_met(rng):
    """The data above hold what they are for: different scales that err alike, for both methods."""
    met = {"four_over_six": 0, "search": 0}
    rational = Rational("e2m1", "ue5m3", "nearest_even", Fraction(1))
    for values in coarse(rng, "ue5m3", 60, 4).tolist():
        block = [Fraction(value) for value in values]
        amax = max(map(abs, block))
        if not amax:
            continue
        six, four = (rational.nearest_scale(amax, Fraction(top)) for top in (6, 4))
        met["four_over_six"] += six != four and rational.error(block, six) == rational.error(block, four)
        errors = [rational.error(block, code) for code in range(1, 255)]
        met["search"] += errors.count(min(errors)) > 1
    assert met["four_over_six"] > 10
    assert met["search"] > 10


def test_search_tries_far_fewer_scales_than_there_are(rng, monkeypatch):
    """The bounds narrow: about ten scales a block, where there are 255."""
    tried = 0
    encode = ScaleRule.compared

    def counted(self, rows, scales):
        nonlocal tried
        tried += len(rows)
        return encode(self, rows, scales)

    monkeypatch.setattr(ScaleRule, "compared", counted)
    quantize(rng.standard_normal((1000, 16)).astype(np.float32), method="search")
    assert tried < 16_000


def test_search_is_at_least_as_good_as_every_other_method(rng):
    x = rng.standard_normal((500, 16)).astype(np.float32) * 0.01
    for scale in ("ue4m3", "ue5m3"):
        errors = {
            method: ((quantize(x, scale=scale, method=method).dequantize() - x).astype(float) ** 2).sum(
                axis=1
            )
            for method in ("absmax", "prevent_zero", "four_over_six", "search")
        }
        assert (errors["search"] <= errors["four_over_six"] * (1 + 1e-12)).all()
        assert (errors["four_over_six"] <= errors["absmax"] * (1 + 1e-12)).all()
        assert errors["search"].sum() < errors["four_over_six"].sum() < errors["absmax"].sum()


@pytest.mark.parametrize("method", ["prevent_zero", "four_over_six", "search"])
def test_stochastic_scales_do_not_depend_on_the_elements_drawn(method, rng):
    x = np.tile(rng.standard_normal((1, 16)).astype(np.float32), (4000, 1))
    x[:, 0] = 4.5  # six and four are scales as they stand: no draw decides them
    drawn = quantize(x, method=method, rounding="stochastic", rng=np.random.default_rng(1))
    assert len(set(drawn.scales.reshape(-1).tolist())) == 1
    np.testing.assert_allclose(drawn.dequantize().mean(axis=0), x[0], atol=0.05)
    again = quantize(x, method=method, rounding="stochastic", rng=np.random.default_rng(1))
    np.testing.assert_array_equal(again.codes, drawn.codes)


def test_tensor_scale_of_four_over_six_leaves_room(rng):
    x = rng.standard_normal((32, 64)).astype(np.float32)
    largest = Fraction(float(np.abs(x).max()))
    for scale, top in (("ue4m3", 256), ("ue4m4", 320), ("ue5m3", 73728)):
        seen = quantize(x, scale=scale, method="four_over_six", tensor_scale=True).tensor_scale
        wanted = reference.from_binary32(reference.binary32(largest / (6 * top)))
        assert Fraction(seen) == wanted


@pytest.mark.parametrize("method", SELECTIONS)
def test_axes_and_chunks(method, rng):
    scale = "ue8m0" if method in POWER_OF_TWO_METHODS else "ue4m3"
    x = rng.standard_normal((16, 32, 192)).astype(np.float32)
    for axis in (0, 1, 2):
        tensor = quantize(x, "e2m1", scale, 16, method, tensor_scale=True, axis=axis)
        moved = quantize(np.moveaxis(x, axis, -1), "e2m1", scale, 16, method, tensor_scale=True)
        np.testing.assert_array_equal(np.moveaxis(tensor.codes, axis, -1), moved.codes)
        np.testing.assert_array_equal(np.moveaxis(tensor.scales, axis, -1), moved.scales)


def test_blocks_name_their_largest(rng):
    rows = rng.standard_normal((7, 32)).astype(np.float32)
    np.testing.assert_array_equal(Blocks.of(rows).largest, np.abs(rows).max(axis=1))
    rows[3, 5] = np.nan
    assert np.isnan(Blocks.of(rows).largest[3])


def test_sign_of_sums_against_fractions(rng):
    terms = np.ldexp(rng.standard_normal((400, 6)), rng.integers(-200, 200, (400, 6)))
    terms[:100, 3:] = -terms[:100, :3]
    terms[50:100, 5] = np.nextafter(terms[50:100, 5], np.inf)
    terms[100:120] = 0
    exact = [sum(map(Fraction, row)) for row in terms.tolist()]
    assert sign_of_sums(terms).tolist() == [(s > 0) - (s < 0) for s in exact]
    assert sign_of_sums(np.zeros((3, 0))).tolist() == [0, 0, 0]


def transformer_engine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """The recipe block by block, every step one float32 operation, the casts those of ml_dtypes."""
    one, six, top = np.float32(1), np.float32(6), np.finfo(np.float32).max
    largest = np.abs(x).max()
    with np.errstate(all="ignore"):
        encode = min(np.float32(448 * 6) / largest, top) if largest > 0 else one
        decode = one / encode
        scales, codes = [], []
        for block in x.reshape(-1, 16):
            scale = np.minimum(np.abs(block).max() * (encode * (one / six)), np.float32(448))
            scale = scale.astype(ml_dtypes.float8_e4m3fn)
            factor = min(one / (scale.astype(np.float32) * decode), top)
            scales.append(scale.view(np.uint8))
            element = np.clip(block * factor, -six, six).astype(ml_dtypes.float4_e2m1fn)
            codes.append(element.view(np.uint8))
    return np.array(codes).reshape(x.shape), np.array(scales).reshape(*x.shape[:-1], -1), decode


def test_transformer_engine(rng):
    def block(sigma):
        return (rng.standard_normal((40, 64)) * sigma).astype(np.float32)

    spread = np.float32(2) ** rng.uniform(-30, 10, (40, 1)).astype(np.float32)
    cases = [block(1.0), block(0.02), block(1.0) * spread, block(1e-41), block(1e37), block(3e-39) * spread]
    cases += [block(0.0), rng.integers(-8, 9, (40, 64)).astype(np.float32), block(1e-30)]
    cases[1][3, :16] = 0
    cases[2][0, 0] = 6e4
    for x in cases:
        tensor = quantize(x, scale="ue4m3", recipe="transformer_engine")
        codes, scales, decode = transformer_engine(x)
        np.testing.assert_array_equal(tensor.codes, codes)
        np.testing.assert_array_equal(tensor.scales, scales)
        assert tensor.tensor_scale == decode


def test_transformer_engine_is_not_the_plain_method(rng):
    """Its reciprocals show: some codes differ from those of true divisions under the same scales."""
    x = rng.integers(-40, 41, (2000, 64)).astype(np.float32)  # many quotients are midpoints
    recipe = quantize(x, scale="ue4m3", recipe="transformer_engine")
    plain = quantize(x, scale="ue4m3", tensor_scale=True)
    assert 0 < (recipe.codes != plain.codes).mean() < 0.1
    across = quantize(np.ascontiguousarray(x.T), scale="ue4m3", recipe="transformer_engine", axis=0)
    np.testing.assert_array_equal(across.codes.T, recipe.codes)


def test_messages():
    x = np.ones((4, 32), np.float32)
    recipe = "transformer_engine"
    check_messages(
        [
            (
                ValueError,
                "method must be one of absmax, prevent_zero, four_over_six, search, floor, even, ceil, "
                "not 'best'",
                lambda: quantize(x, method=untyped("best")),
            ),
            (
                ValueError,
                "element must be e2m1 for method 'four_over_six', not 'e4m3'",
                lambda: quantize(x, element="e4m3", method="four_over_six"),
            ),
            *(
                (
                    ValueError,
                    f"scale must be ue8m0 for method {method!r}, not 'ue5m3'",
                    lambda method=method: quantize(x, method=method),
                )
                for method in POWER_OF_TWO_METHODS
            ),
            (
                ValueError,
                "recipe must be one of transformer_engine, compressed_tensors, modelopt, torchao, not 'te'",
                lambda: quantize(x, recipe=untyped("te")),
            ),
            *(
                (
                    ValueError,
                    f"{name} must be {only} for recipe 'transformer_engine', not {value!r}",
                    lambda name=name, value=value: quantize(
                        x, **untyped({"scale": "ue4m3", "recipe": recipe} | {name: value})
                    ),
                )
                for name, only, value in (
                    ("element", "e2m1", "e4m3"),
                    ("scale", "ue4m3", "ue5m3"),
                    ("block_size", "16", 32),
                    ("method", "absmax", "search"),
                    ("rounding", "nearest_even", "toward_zero"),
                )
            ),
            (
                TypeError,
                "rng must be a numpy Generator for stochastic rounding, not None",
                lambda: quantize(x[:, :0], rounding="stochastic"),
            ),
        ]
    )
