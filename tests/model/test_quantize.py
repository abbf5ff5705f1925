import dataclasses
import itertools
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
from blockdot.model import formats, quantize
from blockdot.model.formats import Format, Rounding, Top
from blockdot.model.quantize import METHODS
from messages import check_messages, untyped

SCALES = tuple(name for name in formats.SCALES)
ROUNDINGS = ("nearest_even", "nearest_away", "toward_zero")


def absmax(
    block: list[Fraction], element: str, scale: str, rounding: str, g: Fraction
) -> tuple[int, list[int]]:
    """One block by the contract, in exact rationals; -0 apart, which has no Fraction."""
    largest = max(value for value in reference.decode(element) if reference.is_finite(value))
    code = reference.encode(scale, max(abs(x) for x in block) / (g * largest), rounding)
    factor = Fraction(reference.decode(scale)[code]) * g
    if factor == 0:
        return code, [0] * len(block)
    return code, [reference.encode(element, x / factor, rounding) for x in block]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "four_over_six"])
@pytest.mark.parametrize("tensor_scale", [False, True])
def test_without_scales_of_blocks_against_ml_dtypes(tensor_scale, method, rng):
    """FP8 as most frameworks have it: one scale for the tensor, the largest value over 448, or none."""
    x = rng.normal(0, 30, (5, 64)).astype(np.float32)
    made = quantize(x, "e4m3", "none", 32, method=method, tensor_scale=tensor_scale)
    g = np.float32(np.abs(x).max() / np.float64(448)) if tensor_scale else np.float32(1)
    assert made.tensor_scale == g
    # By way of float64, as float32 would round twice.
    wanted = (x.astype(np.float64) / g).astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(made.codes, wanted.view(np.uint8))
    assert not made.scales.any()
    np.testing.assert_array_equal(made.dequantize(), (wanted.astype(np.float64) * g).astype(np.float32))


def forced_ties(rng: np.random.Generator, element: str, scale: str, blocks: int, size: int) -> np.ndarray:
    """Blocks whose quotients are midpoints, exactly or but for one unit in the last place of float32."""
    of_element, of_scale = formats.get(element), formats.get(scale)
    values = np.unique(np.abs(of_element.decode(of_element.codes)))
    middles = (values[1:] + values[:-1]) / 2
    # Scales in the middle of the range, so that products are normal float32 values.
    finite = of_scale.values[of_scale.codes]
    finite = finite[(finite >= 2.0**-40) & (finite <= 2.0**40)]
    factors = rng.choice(finite, (blocks, 1))
    x = factors * rng.choice(middles, (blocks, size)) * rng.choice([-1.0, 1.0], (blocks, size))
    x[:, 0] = factors[:, 0] * of_element.largest
    third = blocks // 3
    # The scale's own quotient on a midpoint of two scales.
    middle = (finite[1:] + finite[:-1]) / 2
    x[:third, 0] = rng.choice(middle, third) * of_element.largest
    x[:third, 1:] = np.clip(x[:third, 1:], -np.abs(x[:third, :1]), np.abs(x[:third, :1]))
    x = x.astype(np.float32)
    beside = rng.integers(0, 3, x.shape)
    x = np.where(beside == 1, np.nextafter(x, np.float32(np.inf)), x)
    return np.where(beside == 2, np.nextafter(x, np.float32(-np.inf)), x).astype(np.float32)


def random_blocks(rng: np.random.Generator, scale: str, blocks: int, size: int) -> np.ndarray:
    """Gaussian blocks of every size of magnitude that the scale format has, and beyond at both ends."""
    of_scale = formats.get(scale)
    low, high = np.log2(of_scale.smallest) - 4, np.log2(of_scale.largest) + 4
    sigma = 2.0 ** rng.uniform(max(low, -140), min(high, 122), (blocks, 1))
    x = (rng.standard_normal((blocks, size)) * sigma).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = 0
    x[:2] = 0
    return x


def check(x: np.ndarray, element: str, scale: str, rounding: Rounding, tensor_scale: bool) -> None:
    blocks, size = x.shape
    tensor = quantize(x, element, scale, size, rounding=rounding, tensor_scale=tensor_scale)
    g = Fraction(tensor.tensor_scale)
    for row in range(blocks):
        values = [Fraction(value) for value in x[row].tolist()]
        code, codes = absmax(values, element, scale, rounding, g)
        assert tensor.scales[row, 0] == code
        np.testing.assert_array_equal(tensor.codes[row], codes)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("scale", SCALES)
def test_absmax_against_fractions(scale, rounding, rng):
    for tensor_scale in (False, True):
        x = np.concatenate([forced_ties(rng, "e2m1", scale, 90, 8), random_blocks(rng, scale, 60, 8)]) + 0.0
        check(x, "e2m1", scale, rounding, tensor_scale)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("element", [name for name in formats.ELEMENTS if name != "e2m1"])
def test_absmax_of_other_elements_against_fractions(element, rounding, rng):
    for scale, tensor_scale in itertools.product(
        ("ue4m3", "ue5m3", "ue8m0", "ue3m5", "ue8m5"), (False, True)
    ):
        x = np.concatenate([forced_ties(rng, element, scale, 30, 8), random_blocks(rng, scale, 20, 8)]) + 0.0
        check(x, element, scale, rounding, tensor_scale)


def test_ties_under_a_tensor_scale_against_fractions(rng):
    """x lies on or beside float32's nearest to midpoint * S * g, with a g of 24 bits."""
    for element, scale in itertools.product(("e2m1", "int8"), ("ue4m3", "ue5m3")):
        of_element, of_scale = formats.get(element), formats.get(scale)
        largest = np.float32(rng.uniform(1, 2))
        g = float(np.float32(float(largest) / (of_element.largest * of_scale.largest)))
        values = np.unique(np.abs(of_element.decode(of_element.codes)))
        middles = (values[1:] + values[:-1]) / 2
        factors = rng.choice(of_scale.values[of_scale.codes][8:], (300, 1)) * g
        x = (factors * rng.choice(middles, (300, 8))).astype(np.float32)
        x[:, 0] = (factors[:, 0] * of_element.largest).astype(np.float32)
        x = np.minimum(x, largest)
        x[0, 0] = largest
        check(x, element, scale, "nearest_even", True)


def test_forced_ties_tell_a_division_from_a_reciprocal(rng):
    """The data above are worth something: multiplying by a rounded reciprocal gets some of them wrong."""
    x = forced_ties(rng, "e2m1", "ue5m3", 2000, 8)
    tensor = quantize(x, block_size=8)
    scales = formats.get("ue5m3").decode(tensor.scales).astype(np.float32)
    codes = formats.get("e2m1").encode(x * (np.float32(1) / scales))
    assert 0 < (codes != tensor.codes).mean() < 0.1


@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
def test_error_bound_and_dequantize(scale, rng):
    x = rng.standard_normal((64, 256)).astype(np.float32)
    tensor = quantize(x, scale=scale)
    step = formats.get(scale).decode(tensor.scales).repeat(16, axis=1)
    # Half the widest step of e2m1, which is 2, and a little where a scale that was rounded down saturates.
    assert (np.abs(tensor.dequantize() - x) <= step * 1.0 + np.abs(x) / 16).all()


@pytest.mark.parametrize("element", formats.ELEMENTS)
def test_representable_values_come_back(element, rng):
    """With the largest value in each block the scale is a power of two and nothing is lost."""
    fmt = formats.get(element)
    codes = rng.choice(fmt.codes, (50, 32))
    codes = np.where(np.abs(fmt.decode(codes)) > fmt.largest, 0, codes)  # int8 has one value below -largest
    codes[:, ::16] = fmt.largest_code
    for exponent in (-6, 0, 5):
        x = np.ldexp(fmt.decode(codes), exponent).astype(np.float32)
        for scale in formats.SCALES:
            tensor = quantize(x, element, scale)
            np.testing.assert_array_equal(tensor.codes, codes)
            np.testing.assert_array_equal(tensor.dequantize(), x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("tensor_scale", [False, True])
def test_axes(axis, tensor_scale, rng):
    x = rng.standard_normal((8, 16, 24)).astype(np.float32)
    tensor = quantize(x, block_size=8, axis=axis, tensor_scale=tensor_scale)
    moved = quantize(np.moveaxis(x, axis, -1), block_size=8, tensor_scale=tensor_scale)
    assert tensor.axis == axis
    np.testing.assert_array_equal(np.moveaxis(tensor.codes, axis, -1), moved.codes)
    np.testing.assert_array_equal(np.moveaxis(tensor.scales, axis, -1), moved.scales)
    np.testing.assert_array_equal(np.moveaxis(tensor.dequantize(), axis, -1), moved.dequantize())
    assert tensor.tensor_scale == moved.tensor_scale


def test_chunks_do_not_matter(rng):
    x = rng.standard_normal((96, 4096)).astype(np.float32)
    whole = quantize(x)
    for row in (0, 50, 95):
        np.testing.assert_array_equal(quantize(x[row]).codes, whole.codes[row])
    wide = quantize(np.ascontiguousarray(x.T), axis=0)
    np.testing.assert_array_equal(wide.codes.T, whole.codes)
    np.testing.assert_array_equal(wide.scales.T, whole.scales)


def test_tensor_scale_of_nvfp4(rng):
    x = rng.standard_normal((32, 64)).astype(np.float32)
    tensor = quantize(x, scale="ue4m3", tensor_scale=True)
    largest = Fraction(float(np.abs(x).max()))
    wanted = reference.from_binary32(reference.binary32(largest / (6 * 448)))
    assert Fraction(tensor.tensor_scale) == wanted
    assert tensor.scales.max() == 0x7E


@pytest.mark.parametrize(
    ("scale", "largest"),
    [
        ("ue4m3", 256.0),  # NVFP4's own
        ("ue5m3", 73728.0),
        ("ue4m4", 320.0),
        ("ue4m3_full", 320.0),
        ("ue5m3_ieee", 40960.0),
        ("ue8m0", 2.0**126),
    ],
)
def test_tensor_scale_of_four_over_six_leaves_room_for_four(scale, largest, rng):
    x = rng.standard_normal((4, 64)).astype(np.float32)
    tensor = quantize(x, scale=scale, method="four_over_six", tensor_scale=True)
    assert tensor.tensor_scale == float(np.float32(float(np.abs(x).max()) / (6 * largest)))


def test_the_largest_block_can_choose_four_under_a_tensor_scale():
    """Blocks that are tensors of their own, so that each is the largest: .00881 where none can choose 4."""
    rng = np.random.default_rng(0)
    errors, fours = [], 0
    for _ in range(300):
        x = rng.normal(size=16).astype(np.float32)
        tensor = quantize(x, scale="ue5m3", method="four_over_six", tensor_scale=True)
        errors.append(np.mean((tensor.dequantize() - x) ** 2) / np.mean(x**2))
        fours += int(formats.get("ue5m3").values[tensor.scales[0]] > 73728.0)
    assert 0.0073 < np.mean(errors) < 0.0076
    assert 100 < fours < 200


def test_methods_know_formats_by_what_they_are(rng):
    x = rng.standard_normal((4, 64)).astype(np.float32)
    twin = dataclasses.replace(formats.get("e2m1"), name="q2m1")
    scale = dataclasses.replace(formats.get("ue4m3"), name="uq4m3")
    ways: list[dict[str, Any]] = [
        {"method": "four_over_six", "tensor_scale": True},
        {"recipe": "transformer_engine"},
    ]
    for arguments in ways:
        tensor = quantize(x, twin, scale, **arguments)
        same = quantize(x, "e2m1", "ue4m3", **arguments)
        assert (tensor.element, tensor.scale, tensor.tensor_scale) == ("q2m1", "uq4m3", same.tensor_scale)
        np.testing.assert_array_equal(tensor.codes, same.codes)
        np.testing.assert_array_equal(tensor.scales, same.scales)
    powers = dataclasses.replace(formats.get("ue8m0"), name="uq7m0", exponent_bits=7, bias=63)
    for method in ("floor", "ceil"):
        tensor, same = quantize(x, scale=powers, method=method), quantize(x, scale="ue8m0", method=method)
        np.testing.assert_array_equal(tensor.dequantize(), same.dequantize())


def test_twos_complement_of_four_bits_in_large_tensors(rng):
    """Loops that are compiled for signs and magnitudes leave it alone."""
    x = rng.standard_normal((1, 1 << 20)).astype(np.float32)
    element = Format(
        name="q4",
        exponent_bits=0,
        mantissa_bits=3,
        bias=0,
        signed=True,
        top=Top.FINITE,
        twos_complement=True,
    )
    tensor = quantize(x, element)
    part = quantize(x[:, :4096], element)
    np.testing.assert_array_equal(tensor.codes[:, :4096], part.codes)
    assert np.mean((tensor.dequantize() - x) ** 2) < 0.008


def test_tensor_scale_is_rounded_once(rng):
    for element, scale in itertools.product(formats.ELEMENTS, formats.SCALES):
        divisor = Fraction(formats.get(element).largest) * Fraction(formats.get(scale).largest)
        for _ in range(20):
            value = np.float32(2.0 ** rng.uniform(-20, 20))
            tensor = quantize(np.full(2, value), element, scale, 2, tensor_scale=True)
            wanted = reference.binary32(Fraction(float(value)) / divisor) or 1
            assert np.float32(tensor.tensor_scale).view(np.uint32) == wanted


def test_tensor_scale_of_zeros_and_of_the_smallest():
    assert quantize(np.zeros(16, np.float32), tensor_scale=True).tensor_scale == 1.0
    tensor = quantize(np.full(16, 2.0**-149, np.float32), tensor_scale=True)
    assert tensor.tensor_scale == 2.0**-149
    np.testing.assert_array_equal(tensor.dequantize(), np.full(16, 2.0**-149))


def test_zero_scale_gives_code_zero():
    x = np.full(16, -(2.0**-20), np.float32)
    tensor = quantize(x, scale="ue4m3")
    assert tensor.scales.tolist() == [0]
    assert tensor.codes.tolist() == [0] * 16
    assert quantize(x * 0, scale="ue8m0").scales.tolist() == [0]


def test_saturation():
    x = np.array([1e6, -1e6, 3e5, 1.0] * 4, np.float32)
    tensor = quantize(x, scale="ue4m3")
    assert tensor.scales.tolist() == [0x7E]
    assert tensor.codes.tolist() == [7, 15, 7, 0] * 4
    huge = np.full(16, np.finfo(np.float32).max, np.float32)
    tensor = quantize(huge, scale="ue8m0")
    assert (tensor.scales[0], set(tensor.codes.tolist())) == (127 + 125, {7})


def test_negative_zero_keeps_its_sign():
    assert quantize(np.array([-0.0, 6.0], np.float32), block_size=2).codes.tolist() == [8, 7]


def test_stochastic(rng):
    x = np.full((4000, 16), 1.25, np.float32)
    x[:, 0] = 6
    tensor = quantize(x, rounding="stochastic", rng=np.random.default_rng(3))
    assert (tensor.scales == formats.get("ue5m3").encode(1.0)).all()
    assert set(tensor.codes[:, 1:].reshape(-1).tolist()) == {2, 3}
    assert abs((tensor.codes[:, 1:] == 3).mean() - 0.5) < 0.02
    again = quantize(x, rounding="stochastic", rng=np.random.default_rng(3))
    np.testing.assert_array_equal(again.codes, tensor.codes)
    # The scales too: 6.3 / 6 lies 0.4 of the way from 1 to 1.125.
    x[:, 0] = 6.3
    scales = quantize(x, rounding="stochastic", rng=rng).scales
    assert set(scales.reshape(-1).tolist()) == {120, 121}
    assert abs((scales == 121).mean() - 0.4) < 0.05


def test_inputs_that_cast_exactly():
    wanted = quantize(np.arange(16, dtype=np.float32)).codes
    for dtype in (
        np.float64,
        np.float16,
        np.int8,
        np.uint16,
        np.int64,
        np.uint64,
        ml_dtypes.bfloat16,
        ">f4",
        ">f8",
    ):
        np.testing.assert_array_equal(quantize(np.arange(16).astype(dtype)).codes, wanted)
    np.testing.assert_array_equal(quantize(list(range(16))).codes, wanted)
    np.testing.assert_array_equal(quantize(np.arange(32, dtype=np.float32)[::2] / 2).codes, wanted)
    assert quantize([2**63, 2**64 - 2**40], block_size=2, scale="ue8m0").codes.tolist() == [6, 7]


def test_input_is_left_alone(rng):
    x = rng.standard_normal((4, 16)).astype(np.float32)
    before = x.copy()
    quantize(x, tensor_scale=True)
    np.testing.assert_array_equal(x, before)


def test_empty():
    for shape, axis in (((0, 16), -1), ((3, 0), -1), ((16, 0), 0), ((2, 0, 16, 3), 2), ((0,), 0)):
        tensor = quantize(np.empty(shape, np.float32), axis=axis, tensor_scale=True)
        assert tensor.shape == tensor.dequantize().shape == shape
        assert tensor.tensor_scale == 1.0


def test_messages():
    x = np.ones((4, 32), np.float32)
    bad = x.copy()
    bad[2, 7], bad[3, 0], bad[3, 1] = np.inf, np.nan, -np.inf
    huge = np.ones((9, 16_384), np.float32)
    huge[8, 16_000] = np.nan
    check_messages(
        [
            (
                ValueError,
                "x must be finite, not NaN or Inf in 3 of 128 values, the first inf at [2, 7]",
                lambda: quantize(bad),
            ),
            (
                ValueError,
                "x must be finite, not NaN or Inf in 3 of 128 values, the first nan at [0, 3]",
                lambda: quantize(bad.T, axis=0),
            ),
            (
                ValueError,
                "x must be finite, not NaN or Inf in 1 of 147456 values, the first nan at [8, 16000]",
                lambda: quantize(huge, tensor_scale=True),
            ),
            (
                ValueError,
                "x must be finite, not NaN or Inf in 3 of 128 values, the first inf at [2, 7]",
                lambda: quantize(bad.astype(np.float64)),
            ),
            (
                ValueError,
                "x must have a multiple of block_size=64 elements along axis -1, not 32",
                lambda: quantize(x, block_size=64),
            ),
            (
                ValueError,
                "x must have a multiple of block_size=16 elements along axis 0, not 4",
                lambda: quantize(x, axis=0),
            ),
            (ValueError, "axis must be an axis of shape (4, 32), not 2", lambda: quantize(x, axis=2)),
            (ValueError, "x must have at least one axis, not shape ()", lambda: quantize(np.float32(1))),
            (TypeError, "axis must be an integer, not None", lambda: quantize(x, axis=untyped(None))),
            (
                TypeError,
                "block_size must be an integer, not 16.0",
                lambda: quantize(x, block_size=untyped(16.0)),
            ),
            (
                ValueError,
                "block_size must be a power of two of at least 2, not 0",
                lambda: quantize(x, block_size=0),
            ),
            (
                ValueError,
                f"method must be one of {', '.join(METHODS)}, not 'best'",
                lambda: quantize(x, method=untyped("best")),
            ),
            (
                ValueError,
                "rounding must be one of nearest_even, nearest_away, toward_zero, stochastic, not 'even'",
                lambda: quantize(x, rounding=untyped("even")),
            ),
            (
                TypeError,
                "rng must be a numpy Generator for stochastic rounding, not 3",
                lambda: quantize(x, rounding="stochastic", rng=untyped(3)),
            ),
            (
                ValueError,
                "element must be a signed format, not 'ue5m3'",
                lambda: quantize(x, element="ue5m3"),
            ),
            (ValueError, "scale must be an unsigned format, not 'e2m1'", lambda: quantize(x, scale="e2m1")),
            (
                ValueError,
                "x must hold float32 values, not 0.1 at [1]; np.asarray(x, np.float32) rounds them",
                lambda: quantize([1.0, 0.1]),
            ),
            (
                ValueError,
                "x must hold float32 values, not 16777217 at [0]; np.asarray(x, np.float32) rounds them",
                lambda: quantize([16777217, 0]),
            ),
            (
                ValueError,
                "x must hold float32 values, not 1e+300 at [0]; np.asarray(x, np.float32) rounds them",
                lambda: quantize([1e300]),
            ),
            (
                ValueError,
                "x must hold float32 values, not 1e-60 at [0]; np.asarray(x, np.float32) rounds them",
                lambda: quantize([1e-60]),
            ),
            (
                ValueError,
                "x must hold float32 values, not 18446744073709551615 at [0]; "
                "np.asarray(x, np.float32) rounds them",
                lambda: quantize([2**64 - 1]),
            ),
            (TypeError, "x must be real numbers, not complex64", lambda: quantize(x.astype(np.complex64))),
            (TypeError, "x must be real numbers, not <U1", lambda: quantize(["1"])),
            (TypeError, "x must be real numbers, not object", lambda: quantize(untyped([None]))),
        ]
    )


@pytest.mark.parametrize("more", [{"tensor_scale": True}, {"recipe": "transformer_engine"}])
@pytest.mark.parametrize("axis", [0, 1])
def test_tensors_may_share_a_tensor_scale(rng, more, axis):
    """A part of a tensor, under the largest magnitude of the whole, has the codes of the whole."""
    x = rng.standard_normal((32, 64)).astype(np.float32)
    x[0, 0] = 50
    whole = quantize(x, scale="ue4m3", axis=axis, **more)
    part = quantize(x[16:, 32:], scale="ue4m3", axis=axis, tensor_largest=50.0, **more)
    assert part.tensor_scale == whole.tensor_scale
    np.testing.assert_array_equal(part.codes, whole.codes[16:, 32:])


def test_messages_of_a_shared_tensor_scale():
    x = np.full((1, 16), 3, np.float32)

    def shared(value, **more):
        return lambda: quantize(x, tensor_largest=value, **{"tensor_scale": True, **more})

    least = "tensor_largest must be finite and at least 3.0, that of x, not "
    check_messages(
        [
            (ValueError, least + "2.5", shared(2.5)),
            (ValueError, least + "inf", shared(float("inf"))),
            (ValueError, least + "nan", shared(float("nan"))),
            (TypeError, "tensor_largest must be a real number, not 'x'", shared("x")),
            (
                ValueError,
                "tensor_largest must go with a tensor scale, not be 4.0 without one",
                shared(4.0, tensor_scale=False),
            ),
        ]
    )
