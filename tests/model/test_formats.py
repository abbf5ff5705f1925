import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import gfloat
import ml_dtypes
import numpy as np
import pytest
import reference
from blockdot.model import DotSpec, formats
from blockdot.model.formats import Top
from gfloat.formats import (
    format_info_ocp_e2m1,
    format_info_ocp_e2m3,
    format_info_ocp_e3m2,
    format_info_ocp_e4m3,
    format_info_ocp_e5m2,
    format_info_ocp_e8m0,
    format_info_ocp_int8,
)
from messages import check_messages, untyped, whole
from own_formats import OWN, own

NAMED = (*formats.ELEMENTS, *formats.SCALES)

ML_DTYPES = {
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e3m4": ml_dtypes.float8_e3m4,
    "ue8m0": ml_dtypes.float8_e8m0fnu,
}


def unsigned_info(name: str, exponent_bits: int, mantissa_bits: int, high_nans: int = 1) -> gfloat.FormatInfo:
    return gfloat.FormatInfo(
        name,
        exponent_bits + mantissa_bits,
        mantissa_bits + 1,
        bias=(1 << (exponent_bits - 1)) - 1,
        is_signed=False,
        domain=gfloat.Domain.Finite,
        has_nz=False,
        num_high_nans=high_nans,
        has_subnormals=True,
        is_twos_complement=False,
    )


GFLOAT = {
    "e2m1": format_info_ocp_e2m1,
    "e2m3": format_info_ocp_e2m3,
    "e3m2": format_info_ocp_e3m2,
    "e4m3": format_info_ocp_e4m3,
    "e5m2": format_info_ocp_e5m2,
    "e3m4": gfloat.FormatInfo(
        "e3m4",
        8,
        5,
        bias=3,
        is_signed=True,
        domain=gfloat.Domain.Extended,
        has_nz=True,
        num_high_nans=15,
        has_subnormals=True,
        is_twos_complement=False,
    ),
    "int8": format_info_ocp_int8,
    "ue8m0": format_info_ocp_e8m0,
    "ue4m3": unsigned_info("ue4m3", 4, 3),
    "ue5m3": unsigned_info("ue5m3", 5, 3),
    "ue4m4": unsigned_info("ue4m4", 4, 4),
    "ue5m3_ieee": unsigned_info("ue5m3_ieee", 5, 3, high_nans=8),
    "ue4m3_full": unsigned_info("ue4m3_full", 4, 3, high_nans=0),
}
GFLOAT_MODES = {
    "nearest_even": gfloat.RoundMode.TiesToEven,
    "nearest_away": gfloat.RoundMode.TiesToAway,
    "toward_zero": gfloat.RoundMode.TowardZero,
}

# bits, exponent bits, mantissa bits, bias, smallest above zero, largest, its code, NaN code, infinity code
TABLE = {
    "e2m1": (4, 2, 1, 1, 0.5, 6.0, 7, None, None),
    "e2m3": (6, 2, 3, 1, 0.125, 7.5, 31, None, None),
    "e3m2": (6, 3, 2, 3, 2.0**-4, 28.0, 31, None, None),
    "e4m3": (8, 4, 3, 7, 2.0**-9, 448.0, 0x7E, 0x7F, None),
    "e5m2": (8, 5, 2, 15, 2.0**-16, 57344.0, 0x7B, 0x7F, 0x7C),
    "e3m4": (8, 3, 4, 3, 2.0**-6, 15.5, 0x6F, 0x7F, 0x70),
    "int8": (8, 0, 7, 0, 2.0**-6, 127 / 64, 127, None, None),
    "ue4m3": (7, 4, 3, 7, 2.0**-9, 448.0, 0x7E, 0x7F, None),
    "ue5m3": (8, 5, 3, 15, 2.0**-17, 114688.0, 0xFE, 0xFF, None),
    "ue8m0": (8, 8, 0, 127, 2.0**-127, 2.0**127, 0xFE, 0xFF, None),
    "ue4m4": (8, 4, 4, 7, 2.0**-10, 480.0, 0xFE, 0xFF, None),
    "ue5m3_ieee": (8, 5, 3, 15, 2.0**-17, 61440.0, 0xF7, 0xFF, None),
    "ue4m3_full": (7, 4, 3, 7, 2.0**-9, 480.0, 0x7F, None, None),
}


def ml_encode(name: str, values: np.ndarray) -> np.ndarray:
    codes = values.astype(ML_DTYPES[name]).view(np.uint8)
    return codes & ((1 << formats.get(name).bits) - 1)


def gfloat_encode(name: str, values: np.ndarray, rounding: str) -> np.ndarray:
    info = GFLOAT[name]
    return gfloat.encode_ndarray(info, gfloat.round_ndarray(info, values, GFLOAT_MODES[rounding], sat=True))


def probes(name: str) -> np.ndarray:
    """Every finite value and every midpoint, and the float64 neighbours of both above and below."""
    fmt = formats.get(name)
    finite = np.unique(fmt.values[fmt.codes])
    points = np.concatenate([finite, (finite[1:] + finite[:-1]) / 2, [1.25 * finite.max(), 1e38]])
    if fmt.signed:
        points = np.concatenate([points, -points])
    points = np.concatenate([points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)])
    return points if fmt.signed else np.abs(points)


def same_but_for_zero(name: str, seen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """gfloat gives some negative values that round to zero the code of +0; only the sign may differ."""
    fmt = formats.get(name)
    return (seen == wanted) | (fmt.decode(seen) + fmt.decode(wanted) == 0)


@pytest.mark.parametrize("name", NAMED)
def test_table(name):
    fmt = formats.get(name)
    bits, exponent_bits, mantissa_bits, bias, smallest, largest, largest_code, nan, infinity = TABLE[name]
    assert (fmt.bits, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias) == (
        bits,
        exponent_bits,
        mantissa_bits,
        bias,
    )
    assert (fmt.smallest, fmt.largest, fmt.largest_code) == (smallest, largest, largest_code)
    assert (fmt.nan_code, fmt.infinity_code) == (nan, infinity)
    assert fmt.zero_code == (None if name == "ue8m0" else 0)
    assert fmt.decode(np.uint8(fmt.smallest_code)) == smallest
    assert fmt.signed == (name in formats.ELEMENTS)
    assert fmt.dtype == np.uint8
    assert str(fmt) == name
    assert 2.0**fmt.quantum_exponent == smallest


def test_e2m1_magnitudes():
    assert formats.get("e2m1").decode(np.arange(8)).tolist() == [0, 0.5, 1, 1.5, 2, 3, 4, 6]


@pytest.mark.parametrize("name", NAMED)
def test_decode_against_the_contract(name):
    values = formats.get(name).values
    wanted = reference.decode(name)
    assert len(values) == len(wanted)
    np.testing.assert_array_equal(values, [float(value) for value in wanted])


@pytest.mark.parametrize("name", ML_DTYPES)
def test_decode_against_ml_dtypes(name):
    fmt = formats.get(name)
    codes = np.arange(1 << fmt.bits, dtype=np.uint8)
    wanted = codes.view(ML_DTYPES[name]).astype(np.float64)
    np.testing.assert_array_equal(fmt.decode(codes), wanted)
    np.testing.assert_array_equal(np.signbit(fmt.decode(codes))[codes == 1 << (fmt.bits - 1)], fmt.signed)


@pytest.mark.parametrize("name", GFLOAT)
def test_decode_against_gfloat(name):
    fmt = formats.get(name)
    codes = np.arange(1 << fmt.bits)
    np.testing.assert_array_equal(fmt.decode(codes), gfloat.decode_ndarray(GFLOAT[name], codes))


@pytest.mark.parametrize("rounding", GFLOAT_MODES)
@pytest.mark.parametrize("name", GFLOAT)
def test_encode_midpoints_against_gfloat(name, rounding):
    values = probes(name)
    seen = formats.get(name).encode(values, rounding)
    if name == "ue8m0":
        # gfloat sends what is below the smallest power to NaN; the contract to code 0.
        assert (seen[values <= 2.0**-127] == 0).all()
        seen, values = seen[values > 2.0**-127], values[values > 2.0**-127]
    assert same_but_for_zero(name, seen, gfloat_encode(name, values, rounding)).all()


@pytest.mark.parametrize("rounding", GFLOAT_MODES)
@pytest.mark.parametrize("name", NAMED)
def test_encode_midpoints_against_the_contract(name, rounding):
    values = probes(name)
    wanted = [reference.encode(name, Fraction(value), rounding) for value in values.tolist()]
    seen = formats.get(name).encode(values + 0.0, rounding)
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("name", ML_DTYPES)
def test_encode_midpoints_against_ml_dtypes(name):
    fmt = formats.get(name)
    # ml_dtypes takes float64 through float32, so float32 neighbours it is.
    exact = probes(name)[: len(probes(name)) // 3].astype(np.float32)
    values = np.concatenate([exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf)])
    values = values[np.abs(values) <= fmt.largest]  # beyond, ml_dtypes does not saturate
    values = values if fmt.signed else np.abs(values)
    if name == "ue8m0":
        # Here ties go to the even code and there up, so ties are left to gfloat; 0 is NaN there, and
        # subnormal float32 values are misjudged.
        values = values[(np.frexp(values)[0] != 0.75) & (values >= 2.0**-126)]
    np.testing.assert_array_equal(fmt.encode(values), ml_encode(name, values))


@pytest.mark.parametrize("name", ML_DTYPES)
def test_encode_random_bit_patterns(name, rng):
    fmt = formats.get(name)
    # Uniform patterns are nearly all huge or tiny: half of them get an exponent the format has.
    count = 10_000_000 if name in ("e2m1", "e4m3", "ue8m0") else 1_000_000
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    low, high = int(np.log2(fmt.smallest)) + 125, int(np.log2(fmt.largest)) + 129
    bits[::2] = (bits[::2] & np.uint32(0x807FFFFF)) | (
        rng.integers(max(low, 0), min(high, 255), count // 2, dtype=np.uint32) << np.uint32(23)
    )
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    if not fmt.signed:
        values = np.abs(values)
    inside = np.abs(values) <= fmt.largest
    if name == "ue8m0":
        inside &= (values >= 2.0**-126) & (np.frexp(values)[0] != 0.75)
    np.testing.assert_array_equal(fmt.encode(values[inside]), ml_encode(name, values[inside]))
    beyond = np.abs(values) >= fmt.largest * 1.25
    assert (fmt.encode(values[beyond]) & ((1 << fmt.magnitude_bits) - 1) >= fmt.largest_code).all() or (
        name == "int8"
    )


@pytest.mark.parametrize("name", ["ue4m3", "ue5m3", "ue4m4", "ue5m3_ieee", "ue4m3_full"])
def test_encode_random_scales_against_gfloat(name, rng):
    values = np.ldexp(rng.random(100_000) + 0.5, rng.integers(-22, 19, 100_000))
    np.testing.assert_array_equal(
        formats.get(name).encode(values), gfloat_encode(name, values, "nearest_even")
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", [*NAMED, "ue2m0", "ue2m1", "ue3m0", "ue8m5", "ue7m0", "fp16", "bf16", "tf32"]
)
def test_encode_nearest_is_a_search_among_the_values(name, dtype, rng):
    """The fast ways, by comparison and by bits, against counting the middles that lie below."""
    fmt = formats.get(name)
    positive = fmt.values[: fmt.largest_code + 1]
    middles = (positive[1:] + positive[:-1]) / 2
    exact = np.concatenate([positive, middles, [0.0, fmt.largest * 2, np.inf]])
    with np.errstate(over="ignore", under="ignore"):
        exact = exact.astype(dtype)
        beside = [np.nextafter(exact, exact.dtype.type(to)) for to in (0, np.inf)]
    drawn = np.ldexp(rng.random(50_000) + 0.5, rng.integers(-155, 128, 50_000)).astype(dtype)
    some = np.ldexp(rng.random(50_000) + 0.5, rng.integers(-14, 14, 50_000)).astype(dtype)
    values = np.concatenate([exact, *beside, drawn, some])
    if fmt.signed:
        values = np.concatenate([values, -values])
    magnitudes = np.abs(values.astype(np.float64))
    below = np.searchsorted(middles, magnitudes)
    tie = np.append(middles, np.nan)[below] == magnitudes
    code = below + (tie & (below % 2 == 1))
    negative = np.signbit(values)
    if name == "int8":  # two's complement, in steps of 1/64
        wanted = np.rint(np.clip(values.astype(np.float64), -2, 127 / 64) * 64).astype(np.int64) & 0xFF
    else:
        wanted = code | (negative.astype(np.int64) << fmt.magnitude_bits)
    np.testing.assert_array_equal(fmt.encode_nearest(values), wanted)
    assert fmt.encode_nearest(values).dtype == fmt.dtype


@pytest.mark.parametrize(("name", "dtype"), [("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_formats_of_sixteen_bits_against_numpy_s_and_ml_dtypes(name, dtype, rng):
    fmt = formats.get(name)
    codes = np.arange(1 << 16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(fmt.decode(codes), codes.view(dtype).astype(np.float64))
    drawn = np.ldexp(rng.random(200_000) + 0.5, rng.integers(-140, 127, 200_000)).astype(np.float32)
    near = np.ldexp(rng.random(200_000) + 0.5, rng.integers(-27, 16, 200_000)).astype(np.float32)
    values = np.concatenate([drawn, near]) * rng.choice(np.array([-1, 1], np.float32), 400_000)
    values = values[np.abs(values) < fmt.largest]
    np.testing.assert_array_equal(fmt.encode(values), values.astype(dtype).view(np.uint16))


def test_encode_ties_of_ue8m0_go_to_the_even_code():
    assert formats.get("ue8m0").encode([1.5, 3.0, 6.0]).tolist() == [128, 128, 130]
    assert formats.get("ue8m0").encode([1.5, 3.0], "nearest_away").tolist() == [128, 129]


@pytest.mark.parametrize("name", NAMED)
def test_encode_gives_every_code_back(name):
    fmt = formats.get(name)
    for rounding in formats.ROUNDINGS:
        seen = fmt.encode(fmt.decode(fmt.codes), rounding, np.random.default_rng(0))
        np.testing.assert_array_equal(seen, fmt.codes)


@pytest.mark.parametrize("name", NAMED)
def test_encode_special_values(name):
    fmt = formats.get(name)
    assert fmt.encode(np.inf) == fmt.largest_code
    if fmt.nan_code is not None:
        assert fmt.encode(np.nan) == fmt.nan_code
    if fmt.signed:
        sign = 0 if fmt.twos_complement else 1 << fmt.magnitude_bits
        assert fmt.encode(-0.0) == sign
        wanted = 1 << fmt.magnitude_bits if fmt.twos_complement else sign | fmt.largest_code
        assert fmt.encode(-np.inf) == wanted
    else:
        assert fmt.encode([0.0, -0.0, 5e-324, 2.0**-1000]).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", NAMED)
def test_stochastic_probability(name, rng):
    """Between two neighbours the upper one is taken as often as the fraction that is cut off says."""
    fmt = formats.get(name)
    finite = np.unique(np.abs(fmt.values[fmt.codes]))
    for index in rng.integers(0, len(finite) - 1, 3):
        below, above = finite[index : index + 2]
        for fraction in (0.125, 0.5, 0.9):
            value = below + fraction * (above - below)
            seen = fmt.decode(fmt.encode(np.full(20_000, value), "stochastic", rng))
            assert set(seen) <= {below, above}
            # Six standard deviations.
            assert abs((seen == above).mean() - fraction) < 6 * np.sqrt(fraction * (1 - fraction) / 20_000)


class Fixed(np.random.Generator):
    """A generator whose every draw is one number."""

    def __init__(self, number: float) -> None:
        super().__init__(np.random.PCG64())
        self.number = number

    # Of the many forms of this method, the quantizer uses one.
    def random(self, size):  # pyright: ignore[reportIncompatibleMethodOverride]
        return np.full(size, self.number)


@pytest.mark.parametrize("name", [name for name in NAMED if name != "ue8m0"])
def test_stochastic_probability_is_exact(name):
    """Rounds up where the draw lies below the fraction cut off, down to fractions of 2**-60."""
    fmt = formats.get(name)
    quantum = 2.0**fmt.quantum_exponent
    for fraction in (0.5, 0.25, 2.0**-3, 2.0**-40, 2.0**-60):
        assert fmt.encode(fraction * quantum, "stochastic", Fixed(fraction)) == 0
        assert fmt.encode(fraction * quantum, "stochastic", Fixed(np.nextafter(fraction, 0))) == 1
        assert fmt.encode(fraction * quantum, "stochastic", Fixed(0.0)) == 1


@pytest.mark.parametrize("exponent_bits", range(2, 9))
@pytest.mark.parametrize("mantissa_bits", range(6))
def test_generic(exponent_bits, mantissa_bits):
    name = f"ue{exponent_bits}m{mantissa_bits}"
    fmt = formats.get(name)
    bias = 2 ** (exponent_bits - 1) - 1
    top = 2**exponent_bits - 1
    nan = (1 << (exponent_bits + mantissa_bits)) - 1
    assert (fmt.bits, fmt.bias, fmt.signed, fmt.nan_code) == (exponent_bits + mantissa_bits, bias, False, nan)
    assert fmt.dtype == (np.uint16 if fmt.bits > 8 else np.uint8)
    assert np.flatnonzero(np.isnan(fmt.values)).tolist() == [nan]
    if name == "ue8m0":
        return
    assert fmt.smallest == 2.0 ** (1 - bias - mantissa_bits)
    if mantissa_bits:
        assert fmt.largest == 2.0 ** (top - bias) * (2 - 2.0 ** (1 - mantissa_bits))
    else:
        assert fmt.largest == 2.0 ** (top - 1 - bias)
    info = unsigned_info(name, exponent_bits, mantissa_bits)
    np.testing.assert_array_equal(fmt.values, gfloat.decode_ndarray(info, np.arange(1 << fmt.bits)))
    assert (np.diff(fmt.values[fmt.codes]) > 0).all()
    np.testing.assert_array_equal(fmt.encode(fmt.values[fmt.codes]), fmt.codes)


@pytest.mark.parametrize("name", NAMED)
def test_split(name):
    fmt = formats.get(name)
    significand, exponent = fmt.split(fmt.codes)
    np.testing.assert_array_equal(np.ldexp(significand.astype(np.float64), exponent), fmt.values[fmt.codes])
    assert np.abs(significand).max() < 2 ** (fmt.significand_bits + fmt.twos_complement)
    assert exponent.min() == fmt.quantum_exponent


def test_get_returns_a_format_as_it_is():
    fmt = formats.get("ue5m3")
    assert formats.get(fmt) is fmt


@pytest.mark.parametrize("name", [name for name in NAMED if formats.get(name).nan_code is not None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_beside_small_values_leaks_no_warning(name, dtype):
    """Warnings are errors here."""
    fmt = formats.get(name)
    values = np.array([np.nan, fmt.smallest, 0.0, np.nan], dtype)
    for rounding in formats.ROUNDINGS:
        codes = fmt.encode(values, rounding, np.random.default_rng(1))
        assert codes[0] == codes[3] == fmt.nan_code
        assert codes[1] == fmt.smallest_code


def test_shapes_are_kept():
    fmt = formats.get("ue5m3")
    for shape in ((), (0,), (2, 3), (4, 0, 2), (70_000,)):
        assert fmt.encode(np.ones(shape)).shape == shape
        assert fmt.decode(np.zeros(shape, np.uint8)).shape == shape
    assert fmt.encode(np.ones((4, 6), np.float16)[:, ::2]).tolist() == [[120] * 3] * 4


def test_inputs_of_other_types():
    fmt = formats.get("e2m1")
    assert fmt.encode([1, True, -2]).tolist() == [2, 2, 12]
    assert fmt.encode(np.array([1.5, 6], ml_dtypes.bfloat16)).tolist() == [3, 7]


GET_MESSAGE = (
    "format must be one of e2m1, e2m3, e3m2, e4m3, e5m2, e3m4, int8, ue4m3, ue5m3, ue8m0, ue4m4, ue5m3_ieee, "
    "ue4m3_full or ue{{E}}m{{M}} with E from 2 to 8 and M from 0 to 5, not {!r}"
)


@pytest.mark.parametrize("name", ["e2m2", "ue9m0", "ue1m3", "ue4m6", "UE4M3", ""])
def test_get_refuses_unknown_names(name):
    with pytest.raises(ValueError, match=whole(GET_MESSAGE.format(name))):
        formats.get(name)


def test_messages():
    e2m1, ue4m3, e4m3 = (formats.get(name) for name in ("e2m1", "ue4m3", "e4m3"))
    cases = [
        (TypeError, "format must be a name or a Format, not 3", lambda: formats.get(untyped(3))),
        (TypeError, "codes must be integers, not float64", lambda: e2m1.decode(1.0)),
        (
            ValueError,
            "codes must be e2m1 codes from 0 to 0xf, not 0x10 at [1, 0]",
            lambda: e2m1.decode([[1], [16]]),
        ),
        (ValueError, "codes must be ue4m3 codes from 0 to 0x7f, not -0x1 at [0]", lambda: ue4m3.decode([-1])),
        (
            ValueError,
            "codes must be ue4m3 codes from 0 to 0x7f, not 0x80 at []",
            lambda: ue4m3.decode(np.uint8(128)),
        ),
        (
            ValueError,
            "codes must be e4m3 codes from 0 to 0xff, not 0x100 at [1]",
            lambda: e4m3.split([0, 256]),
        ),
        (TypeError, "values must be real numbers, not complex128", lambda: e2m1.encode(1j)),
        (TypeError, "values must be real numbers, not <U1", lambda: e2m1.encode("1")),
        (TypeError, "values must be real numbers, not object", lambda: e2m1.encode(untyped([None]))),
        (
            ValueError,
            "values must hold float64 values, not 9007199254740993 at [0, 1]",
            lambda: e2m1.encode([[1, 2**53 + 1]]),
        ),
        (
            ValueError,
            "values must not be NaN, which e2m1 does not have, at [1]",
            lambda: e2m1.encode([1, np.nan]),
        ),
        (
            ValueError,
            "values must not be negative, as ue4m3 is unsigned, not -1.5 at [0, 1]",
            lambda: ue4m3.encode([[1, -1.5]]),
        ),
        (
            ValueError,
            "rounding must be one of nearest_even, nearest_away, toward_zero, stochastic, not 'up'",
            lambda: e2m1.encode(1.0, untyped("up")),
        ),
        (
            TypeError,
            "rng must be a numpy Generator for stochastic rounding, not None",
            lambda: e2m1.encode(1.0, "stochastic"),
        ),
    ]
    check_messages(cases)


def test_a_place_behind_the_first_chunk_is_named():
    values = np.ones((3, 20_000))
    values[2, 17] = np.nan
    with pytest.raises(ValueError, match=r"^values must not be NaN, which e2m1 does not have, at \[2, 17\]$"):
        formats.get("e2m1").encode(values)


@pytest.mark.parametrize("fmt", OWN, ids=str)
def test_a_registered_format_is_known_and_rounds_to_the_nearest_value(fmt, rng):
    assert formats.register(fmt) == fmt
    assert formats.register(dataclasses.replace(fmt)) is formats.get(fmt.name)
    values = fmt.values[fmt.codes]
    asked = np.concatenate([values, (values[:, None] + values).ravel() / 2, rng.normal(size=300)])
    asked = asked if fmt.signed else np.abs(asked)
    codes = fmt.encode(asked)
    assert (np.abs(fmt.decode(codes) - asked) == np.abs(asked[:, None] - values).min(axis=1)).all()
    with np.errstate(over="ignore", under="ignore"):
        narrow = asked.astype(np.float32)
    narrow = narrow[np.isfinite(narrow)]
    assert (fmt.encode(narrow) == fmt.encode(narrow.astype(np.float64))).all()


def test_a_format_goes_to_another_process_without_tables_and_is_known_there():
    fmt = formats.register(own("tu4m4_sent", mantissa_bits=4, signed=False, top=Top.NAN))
    assert fmt.values.size == 256
    sent = pickle.dumps(fmt)
    assert len(sent) < 1000
    assert pickle.loads(sent) is fmt
    code = f"import pickle; print(pickle.loads({sent!r})); from blockdot.model import formats; "
    code += "print(formats.get('tu4m4_sent').bits)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tu4m4_sent", "8"]
    unknown = own("t4m2_not_sent")
    assert pickle.loads(pickle.dumps(unknown)) == unknown
    with pytest.raises(ValueError, match=r"^format must be one of "):
        formats.get("t4m2_not_sent")


@pytest.mark.parametrize("name", [*formats.WIDE_ELEMENTS, "none", "e2m1", "ue3m2"])
def test_a_format_that_is_known_without_being_registered_comes_back_from_another_process(name):
    fmt = formats.NO_SCALE if name == "none" else formats.get(name)
    assert formats.register(fmt) == fmt
    assert pickle.loads(pickle.dumps(fmt)) == fmt


def test_a_wide_format_may_stand_in_a_specification_for_its_name():
    wide: dict[str, Any] = {"scale": "none", "block_size": 4, "accumulate": "aligned", "term_size": 1}
    assert DotSpec(element=formats.get("bf16"), **wide) == DotSpec(element="bf16", **wide)


def test_formats_that_mean_the_same_by_another_name():
    assert formats.get("ue4m3").equals(dataclasses.replace(formats.get("ue4m3"), name="mine"))
    assert not formats.get("ue4m3").equals(formats.get("ue4m3_full"))


def test_register_messages():
    def case(rule: str, **facts: Any) -> tuple[type[Exception], str, Callable[[], object]]:
        fmt = own(**facts)
        return ValueError, f"format {fmt.name!r} must have {rule}", lambda: formats.register(fmt)

    letters = "must be lower-case letters other than x, and digits"
    taken = own("ue4m3", mantissa_bits=3, signed=False)
    check_messages(
        [
            (TypeError, "format must be a Format, not 'e2m1'", lambda: formats.register(untyped("e2m1"))),
            (
                ValueError,
                f"format 'ue4m3' must have a name that is not taken, not that of {formats.get('ue4m3')!r}",
                lambda: formats.register(taken),
            ),
            *(
                (
                    ValueError,
                    f"name of an element format {letters}, not {name!r}",
                    lambda name=name: formats.register(own(name)),
                )
                for name in ("", "E4M2", "4m2", "ex2", "e4_m2", "e 4")
            ),
            *(
                (
                    ValueError,
                    f"name of a scale format {letters}, with single underscores between them, not {name!r}",
                    lambda name=name: formats.register(own(name, signed=False)),
                )
                for name in ("max", "a__b", "a_", "_a", "a-b")
            ),
            (
                TypeError,
                "name of a format must be a string, not 3",
                lambda: formats.register(own(untyped(3))),
            ),
            (
                TypeError,
                "bias of format 'e9q' must be an integer, not 1.5",
                lambda: formats.register(own(bias=1.5)),
            ),
            (
                TypeError,
                "signed of format 'e9q' must be a bool, not 1",
                lambda: formats.register(own(signed=1)),
            ),
            (
                TypeError,
                "top of format 'e9q' must be a Top, not 'nan'",
                lambda: formats.register(own(top="nan")),
            ),
            case("from 1 to 5 exponent bits, not 6", exponent_bits=6, mantissa_bits=0),
            case("from 1 to 5 exponent bits, not 0", exponent_bits=0),
            case("from 0 to 3 mantissa bits, not 4", mantissa_bits=4),
            case("from 2 to 8 exponent bits, not 1", exponent_bits=1, signed=False),
            case("from 2 to 8 exponent bits, not 9", exponent_bits=9, signed=False),
            case("from 0 to 5 mantissa bits, not 6", mantissa_bits=6, signed=False),
            case("no infinity, being a scale, not IEEE", signed=False, top=Top.IEEE),
            case("a zero, being an element, not none", subnormals=False),
            case(
                "a sign where it is two's complement, not none",
                signed=False,
                exponent_bits=0,
                twos_complement=True,
            ),
            case("no exponent bits where it is two's complement, not 4", twos_complement=True),
            case(
                "finite codes only where it is two's complement, not NAN",
                exponent_bits=0,
                twos_complement=True,
                top=Top.NAN,
            ),
            case("from 1 to 7 mantissa bits, not 8", exponent_bits=0, mantissa_bits=8, twos_complement=True),
            case(
                "at least 2 exponent bits where the top one is reserved, not 1",
                exponent_bits=1,
                top=Top.RESERVED,
            ),
            case("a mantissa bit to tell infinity from NaN, not 0", mantissa_bits=0, top=Top.IEEE),
            case("a value above zero, not none", exponent_bits=1, mantissa_bits=0, bias=0, top=Top.NAN),
            case("multiples of 2**-16, not of 2**-17", bias=16),
            case("values below 2**16, not 2**16", bias=-1),
            case("multiples of 2**-131, not of 2**-132", bias=131, signed=False),
            case("values below 2**129, not 2**129", bias=-114, signed=False),
        ]
    )
