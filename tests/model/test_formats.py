import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gfloat
import numpy as np
import pytest
from blockdot.model import DotSpec, formats
from blockdot.model.formats import Top
from foreign_formats import unsigned_info
from messages import check_messages, untyped, whole
from own_formats import OWN, own

NAMED = (*formats.ELEMENTS, *formats.SCALES)


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


def test_get_returns_a_format_as_it_is():
    fmt = formats.get("ue5m3")
    assert formats.get(fmt) is fmt


GET_MESSAGE = (
    "format must be one of e2m1, e2m3, e3m2, e4m3, e5m2, e3m4, int8, ue4m3, ue5m3, ue8m0, ue4m4, ue5m3_ieee, "
    "ue4m3_full or ue{{E}}m{{M}} with E from 2 to 8 and M from 0 to 5, not {!r}"
)


@pytest.mark.parametrize("name", ["e2m2", "ue9m0", "ue1m3", "ue4m6", "UE4M3", ""])
def test_get_refuses_unknown_names(name):
    with pytest.raises(ValueError, match=whole(GET_MESSAGE.format(name))):
        formats.get(name)


def test_get_refuses_what_is_no_name():
    with pytest.raises(TypeError, match=r"^format must be a name or a Format, not 3$"):
        formats.get(untyped(3))


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
