import dataclasses

import gfloat
import numpy as np
import pytest
import reference
from blockdot.model import formats
from foreign_formats import GFLOAT, ML_DTYPES
from messages import check_messages

NAMED = (*formats.ELEMENTS, *formats.SCALES)

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


@pytest.mark.parametrize("name", NAMED)
def test_split(name):
    fmt = formats.get(name)
    significand, exponent = fmt.split(fmt.codes)
    np.testing.assert_array_equal(np.ldexp(significand.astype(np.float64), exponent), fmt.values[fmt.codes])
    assert np.abs(significand).max() < 2 ** (fmt.significand_bits + fmt.twos_complement)
    assert exponent.min() == fmt.quantum_exponent


def test_formats_that_mean_the_same_by_another_name():
    assert formats.get("ue4m3").equals(dataclasses.replace(formats.get("ue4m3"), name="mine"))
    assert not formats.get("ue4m3").equals(formats.get("ue4m3_full"))


def test_messages():
    e2m1, ue4m3, e4m3 = (formats.get(name) for name in ("e2m1", "ue4m3", "e4m3"))
    cases = [
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
    ]
    check_messages(cases)
