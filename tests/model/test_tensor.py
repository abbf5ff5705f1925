import dataclasses
import itertools
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import reference
from blockdot.model import BlockTensor, formats
from blockdot.model.tensor import pack_nibbles, unpack_nibbles
from messages import check_messages, untyped


def random_tensor(
    rng: np.random.Generator, shape: tuple[int, ...], axis: int, element: str, scale: str, size: int = 4
) -> BlockTensor:
    of_element, of_scale = formats.get(element), formats.get(scale)
    scales_shape = list(shape)
    scales_shape[axis] //= size
    codes = rng.integers(0, 1 << of_element.bits, shape).astype(of_element.dtype)
    scales = rng.integers(0, 1 << of_scale.bits, scales_shape).astype(of_scale.dtype)
    return BlockTensor(codes, scales, 1.0, element, scale, size, axis)


@pytest.mark.parametrize("scale", [*formats.SCALES, "ue8m5"])
@pytest.mark.parametrize("element", formats.ELEMENTS)
def test_dequantize_against_fractions(element, scale, rng):
    tensor = random_tensor(rng, (10, 16), -1, element, scale)
    elements = formats.get(element).values.tolist()
    scales = formats.get(scale).values.tolist()
    for factor in (1.0, float(np.float32(0.1)), 2.0**-149, float(np.float32(3e38))):
        seen = dataclasses.replace(tensor, tensor_scale=factor).dequantize()
        assert seen.dtype == np.float32
        for row, k in itertools.product(range(10), range(16)):
            x, s = elements[tensor.codes[row, k]], scales[tensor.scales[row, k // 4]]
            bits = int(seen.view(np.uint32)[row, k])
            if np.isfinite(x) and np.isfinite(s):
                wanted = reference.binary32(Fraction(x) * Fraction(s) * Fraction(factor))
                assert bits & 0x7FFFFFFF == wanted & 0x7FFFFFFF
                assert wanted in (0, bits)
            else:
                assert bits == reference.special32(reference.multiply(x, s * factor))


def test_dequantize_keeps_the_sign_of_zero():
    tensor = BlockTensor(np.array([0, 8, 1, 9], np.uint8), np.array([56, 0], np.uint8), block_size=2)
    assert np.signbit(tensor.dequantize()).tolist() == [False, True, False, True]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_axes(axis, rng):
    tensor = random_tensor(rng, (4, 8, 12), axis, "e2m1", "ue5m3_ieee")
    values = formats.get("e2m1").decode(tensor.codes)
    factors = np.repeat(formats.get("ue5m3_ieee").decode(tensor.scales), 4, axis=axis)
    np.testing.assert_array_equal(tensor.dequantize(), (values * factors).astype(np.float32))
    codes, scales = tensor.blocks()
    np.testing.assert_array_equal(codes.reshape(*codes.shape[:-2], -1), np.moveaxis(tensor.codes, axis, -1))
    np.testing.assert_array_equal(scales, np.moveaxis(tensor.scales, axis, -1))
    assert codes.shape == (*scales.shape, 4)


def test_more_than_a_chunk(rng):
    for shape, axis in (((70, 1024), 1), ((1024, 70), 0)):
        tensor = random_tensor(rng, shape, axis, "e4m3", "ue4m3", 16)
        values = formats.get("e4m3").decode(tensor.codes)
        factors = np.repeat(formats.get("ue4m3").decode(tensor.scales), 16, axis=axis)
        np.testing.assert_array_equal(tensor.dequantize(), (values * factors).astype(np.float32))


def test_empty():
    tensor = BlockTensor(np.zeros((0, 16), np.uint8), np.zeros((0, 1), np.uint8))
    assert tensor.dequantize().shape == (0, 16)
    assert tensor.blocks()[0].shape == (0, 1, 16)
    tensor = BlockTensor(np.zeros((3, 0), np.uint8), np.zeros((3, 0), np.uint8))
    assert tensor.dequantize().shape == tensor.shape == (3, 0)


def test_is_frozen_and_takes_any_integers():
    tensor = BlockTensor(
        untyped([1, 2]),
        untyped(np.array([3], np.int64)),
        untyped(np.float32(0.5)),
        untyped(formats.get("e2m1")),
        block_size=2,
    )
    assert tensor.codes.dtype == tensor.scales.dtype == np.uint8
    assert (tensor.element, tensor.scale, tensor.tensor_scale) == ("e2m1", "ue5m3", 0.5)
    assert (tensor.element_format.name, tensor.scale_format.name) == ("e2m1", "ue5m3")
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        tensor.codes[0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'axis'$"):
        untyped(tensor).axis = 0


def test_the_caller_keeps_a_writable_array():
    codes = np.zeros(16, np.uint8)
    BlockTensor(codes, np.zeros(1, np.uint8))
    codes[0] = 1


def test_wide_scale_codes():
    tensor = BlockTensor(np.full(16, 2, np.uint8), np.array([0x1021], np.uint16), scale="ue8m5")
    assert tensor.scales.dtype == np.uint16
    assert tensor.dequantize()[0] == 4 + 1 / 8


def test_pack_puts_the_even_position_low():
    assert pack_nibbles(np.array([0x1, 0x2, 0xF, 0x0])).tolist() == [0x21, 0x0F]
    assert unpack_nibbles(np.array([0x21, 0x0F], np.uint8)).tolist() == [0x1, 0x2, 0xF, 0x0]


def test_pack_and_unpack(rng):
    for shape, axis in (((16,), 0), ((3, 16), 1), ((8, 6), 0), ((0, 4), 1)):
        tensor = random_tensor(rng, shape, axis, "e2m1", "ue4m3")
        packed = tensor.pack()
        assert packed.dtype == np.uint8
        assert packed.shape == (*shape[:-1], shape[-1] // 2)
        back = BlockTensor.unpack(packed, tensor.scales, 1.0, "e2m1", "ue4m3", 4, axis)
        np.testing.assert_array_equal(back.codes, tensor.codes)


def test_pack_against_ml_dtypes(rng):
    """ml_dtypes keeps one code a byte; as 4-bit integers packed by hand they are the same bytes."""
    codes = rng.integers(0, 16, (5, 32), dtype=np.uint8)
    values = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    unpacked = unpack_nibbles(pack_nibbles(codes))
    np.testing.assert_array_equal(unpacked.view(ml_dtypes.float4_e2m1fn).astype(np.float32), values)
    assert pack_nibbles(codes).tobytes().hex()[1::2] == "".join(f"{c:x}" for c in codes.reshape(-1)[0::2])


def test_what_a_reader_is_shown_is_short(rng):
    tensor = random_tensor(rng, (4, 64), -1, "e2m1", "ue5m3")
    tensor = dataclasses.replace(tensor, tensor_scale=0.5)
    assert repr(tensor).startswith("<BlockTensor (4, 64) of e2m1 in blocks of ")
    assert repr(tensor).endswith(" with ue5m3 scales, tensor_scale=0.5>")
    html = tensor._repr_html_()
    assert html.startswith("<table>")
    assert "<th>scale</th><td>ue5m3</td>" in html
    assert len(repr(tensor)) < 200
    assert len(html) < 1000


def test_numpy_takes_it_as_its_values(rng):
    tensor = random_tensor(rng, (4, 64), -1, "e2m1", "ue4m3_full")
    values = np.asarray(tensor)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, tensor.dequantize())
    assert np.asarray(tensor, np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.float32(2) * untyped(tensor), 2 * values)
    with pytest.raises(ValueError, match=r"^copy must not be False: the values are computed from codes$"):
        tensor.__array__(copy=False)


def test_messages():
    codes, scales = np.zeros((4, 32), np.uint8), np.zeros((4, 2), np.uint8)

    def tensor(**changes):
        return lambda: BlockTensor(**untyped({"codes": codes, "scales": scales} | changes))

    check_messages(
        [
            (ValueError, "element must be a signed format, not 'ue4m3'", tensor(element="ue4m3")),
            (ValueError, "scale must be an unsigned format, not 'e4m3'", tensor(scale="e4m3")),
            (TypeError, "format must be a name or a Format, not None", tensor(scale=None)),
            (TypeError, "block_size must be an integer, not '16'", tensor(block_size="16")),
            (ValueError, "block_size must be a power of two of at least 2, not 24", tensor(block_size=24)),
            (ValueError, "block_size must be a power of two of at least 2, not 1", tensor(block_size=1)),
            (ValueError, "block_size must be a power of two of at least 2, not -4", tensor(block_size=-4)),
            (TypeError, "tensor_scale must be a real number, not '1'", tensor(tensor_scale="1")),
            (TypeError, "tensor_scale must be a real number, not True", tensor(tensor_scale=True)),
            *(
                (
                    ValueError,
                    f"tensor_scale must be a float32 value above zero, not {value!r}",
                    tensor(tensor_scale=value),
                )
                for value in (0.0, -1.0, 0.1, float("inf"), float("nan"), 1e300, 1e-300)
            ),
            (TypeError, "codes must be integers, not float32", tensor(codes=codes.astype(np.float32))),
            (
                ValueError,
                "codes must be e2m1 codes from 0 to 0xf, not 0x10 at [0, 0]",
                tensor(codes=codes + 16),
            ),
            (TypeError, "scales must be integers, not bool", tensor(scales=scales > 0)),
            (
                ValueError,
                "scales must be ue4m3 codes from 0 to 0x7f, not 0xff at [0, 0]",
                tensor(scales=scales + 255, scale="ue4m3"),
            ),
            (TypeError, "axis must be an integer, not 1.0", tensor(axis=1.0)),
            (ValueError, "axis must be an axis of shape (4, 32), not 2", tensor(axis=2)),
            (ValueError, "axis must be an axis of shape (4, 32), not -3", tensor(axis=-3)),
            (
                ValueError,
                "codes must have at least one axis, not shape ()",
                tensor(codes=np.uint8(0), axis=0),
            ),
            (
                ValueError,
                "codes must have a multiple of 16 elements along axis 0, not 4",
                tensor(axis=0),
            ),
            (
                ValueError,
                "scales must be shaped (4, 4) to fit codes, not (4, 2)",
                tensor(block_size=8),
            ),
            (
                ValueError,
                "element must have 4 bits to be packed, not 8 (e4m3)",
                tensor(element="e4m3")().pack,
            ),
            (
                ValueError,
                "element must have 4 bits to be packed, not 6 (e3m2)",
                lambda: BlockTensor.unpack(codes, scales, element="e3m2"),
            ),
            (
                ValueError,
                "codes must have a last axis of even length, not shape (2, 3)",
                lambda: pack_nibbles(np.zeros((2, 3), np.uint8)),
            ),
            (
                ValueError,
                "codes must have a last axis of even length, not shape ()",
                lambda: pack_nibbles(np.uint8(3)),
            ),
            (TypeError, "packed must be uint8, not int64", lambda: unpack_nibbles([1])),
            (ValueError, "packed must have a last axis, not shape ()", lambda: unpack_nibbles(np.uint8(1))),
        ]
    )
    taken = dataclasses.replace(formats.get("e2m1"), bias=2)
    rule = f"format 'e2m1' must have a name that is not taken, not that of {formats.get('e2m1')!r}"
    check_messages([(ValueError, rule, tensor(element=taken))])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_values_go_into_an_array_that_is_given(axis: int, rng: np.random.Generator) -> None:
    # NaN scales among them, which are written as they should be there too.
    drawn = random_tensor(rng, (8, 12), axis, "e2m1", "ue4m3")
    scales = drawn.scales.copy()
    scales[0, 0] = 0x7F
    tensor = dataclasses.replace(drawn, scales=scales)
    out = np.full(tensor.shape, 7, np.float32)
    assert tensor.dequantize(out) is out
    np.testing.assert_array_equal(out.view(np.uint32), tensor.dequantize().view(np.uint32))


def test_an_array_that_is_given_must_be_one_of_that_kind(rng: np.random.Generator) -> None:
    tensor = random_tensor(rng, (8, 12), 1, "e2m1", "ue4m3")
    constant = np.empty((8, 12), np.float32)
    constant.flags.writeable = False
    strided = "out must be contiguous and writeable, not a view of some of an array"
    check_messages(
        [
            (TypeError, "out must be a numpy array, not list", lambda: tensor.dequantize([])),  # type: ignore[arg-type]
            (
                ValueError,
                "out must be float32 of shape (8, 12), not float64 of (8, 12)",
                lambda: tensor.dequantize(np.empty((8, 12))),  # type: ignore[arg-type]
            ),
            (
                ValueError,
                "out must be float32 of shape (8, 12), not float32 of (12, 8)",
                lambda: tensor.dequantize(np.empty((12, 8), np.float32)),
            ),
            (ValueError, strided, lambda: tensor.dequantize(np.empty((8, 24), np.float32)[:, ::2])),
            (ValueError, strided, lambda: tensor.dequantize(constant)),
        ]
    )
