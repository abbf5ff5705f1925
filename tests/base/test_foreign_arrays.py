from typing import Any

import ml_dtypes
import numpy as np
import pytest
from blockdot.base.foreign_arrays import as_array, as_codes
from blockdot.model import BlockTensor, formats, quantize
from messages import check_messages


class Exported:
    """An array that has DLPack and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> object:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class Wrapped:
    """An array that has ``__array__`` and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return self._array


@pytest.mark.parametrize(
    "kind", [Exported, Wrapped, np.ndarray.tolist, lambda x: x.astype(ml_dtypes.bfloat16)]
)
def test_quantize_takes_arrays_of_any_package(kind, rng):
    x = rng.standard_normal((4, 32)).astype(ml_dtypes.bfloat16).astype(np.float32)
    wanted, seen = quantize(x), quantize(kind(x))
    np.testing.assert_array_equal(seen.codes, wanted.codes)
    np.testing.assert_array_equal(seen.scales, wanted.scales)
    np.testing.assert_array_equal(as_array(kind(x)).astype(np.float32), x)


def test_a_tensor_goes_out_by_dlpack(rng):
    tensor = quantize(rng.standard_normal((4, 32)).astype(np.float32))
    np.testing.assert_array_equal(np.from_dlpack(tensor), tensor.dequantize())
    assert tensor.__dlpack_device__() == np.zeros(1).__dlpack_device__()
    message = "copy must not be False: the values are computed from codes"
    check_messages([(BufferError, message, lambda: tensor.__dlpack__(copy=False))])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("e2m1", ml_dtypes.float4_e2m1fn),
        ("e2m3", ml_dtypes.float6_e2m3fn),
        ("e3m2", ml_dtypes.float6_e3m2fn),
        ("e4m3", ml_dtypes.float8_e4m3fn),
        ("e5m2", ml_dtypes.float8_e5m2),
        ("e3m4", ml_dtypes.float8_e3m4),
        ("ue4m3", ml_dtypes.float8_e4m3fn),
        ("ue8m0", ml_dtypes.float8_e8m0fnu),
    ],
)
def test_numbers_of_a_formats_own_type_are_its_codes(name, kind):
    fmt = formats.get(name)
    codes = np.arange(1 << fmt.bits, dtype=np.uint8)
    seen, told = as_codes(codes.view(kind))
    assert told == np.dtype(kind).name
    np.testing.assert_array_equal(seen, codes)
    np.testing.assert_array_equal(fmt.check(codes.view(kind)), codes)
    np.testing.assert_array_equal(fmt.decode(codes.view(kind)), codes.view(kind).astype(np.float64))


def codes_of_others(codes: np.ndarray, kind: Any) -> Any:
    """Return codes as numbers of a package that numpy's types do not know."""
    return codes.view(kind)


def test_a_block_tensor_of_such_numbers(rng):
    tensor = quantize(rng.standard_normal((4, 32)).astype(np.float32), scale="ue4m3")
    again = BlockTensor(
        codes_of_others(tensor.codes, ml_dtypes.float4_e2m1fn),
        codes_of_others(tensor.scales, ml_dtypes.float8_e4m3fn),
        scale="ue4m3",
    )
    assert (again.codes.dtype, again.scales.dtype) == (np.uint8, np.uint8)
    np.testing.assert_array_equal(again.dequantize(), tensor.dequantize())


def test_messages():
    codes = np.zeros((1, 16), np.uint8)
    scales = np.full((1, 1), 0x38, np.uint8)

    def tensor(codes=codes, scales=scales):
        return lambda: BlockTensor(codes, scales, scale="ue4m3")

    eight = codes_of_others(codes, ml_dtypes.float8_e4m3fn)
    negative = codes_of_others(scales | 0x80, ml_dtypes.float8_e4m3fn)
    check_messages(
        [
            (TypeError, "codes must be integers or float4_e2m1fn, not float8_e4m3fn", tensor(eight)),
            (
                TypeError,
                "scales must be integers or float8_e4m3fn, not float8_e5m2",
                tensor(scales=codes_of_others(scales, ml_dtypes.float8_e5m2)),
            ),
            (
                TypeError,
                "codes must be integers, not float8_e4m3fn",
                lambda: formats.get("ue5m3").check(eight),
            ),
            (
                ValueError,
                "scales must be ue4m3 codes from 0 to 0x7f, not 0xb8 at [0, 0]",
                tensor(scales=negative),
            ),
            (TypeError, "packed must be uint8, not float8_e4m3fn", lambda: BlockTensor.unpack(eight, scales)),
            (
                ValueError,
                "x must hold float32 values, not 0.1 at [0]; np.asarray(x, np.float32) rounds them",
                lambda: quantize(np.full(16, 0.1)),
            ),
        ]
    )
