"""Formats that are not built in, as a user might register them: every structure that is allowed."""

from typing import Any

from blockdot.model.formats import Format, Top


def own(name: str = "e9q", **facts: Any) -> Format:
    """Return a format that is no built-in one: four bits of exponent, two of mantissa, but for `facts`."""
    usual = {"exponent_bits": 4, "mantissa_bits": 2, "bias": 7, "signed": True, "top": Top.FINITE}
    return Format(name=name, **{**usual, **facts})


ELEMENTS = (
    own("t1m2", exponent_bits=1, bias=0),
    own("t3m0", exponent_bits=3, mantissa_bits=0, bias=3),
    own("t2m1", exponent_bits=2, mantissa_bits=1, bias=2),
    own("t4", exponent_bits=0, mantissa_bits=3, bias=0, twos_complement=True),
    own("t4m2", top=Top.IEEE),
    own("t5m1", exponent_bits=5, mantissa_bits=1, bias=15, top=Top.RESERVED),
    own("t1m6", exponent_bits=1, mantissa_bits=6, bias=0, top=Top.NAN),
)

SCALES = (
    own("tu4m3_b11", mantissa_bits=3, bias=11, signed=False, top=Top.NAN),
    own("tu5m2_no_zero", exponent_bits=5, bias=15, signed=False, top=Top.NAN, subnormals=False),
    own("tu7m0", exponent_bits=7, mantissa_bits=0, bias=63, signed=False, subnormals=False),
    own("tu8m1_far", exponent_bits=8, mantissa_bits=1, bias=130, signed=False, top=Top.NAN),
    own("tu2m1_near_float32s_end", exponent_bits=2, mantissa_bits=1, bias=-125, signed=False),
)

OWN = (*ELEMENTS, *SCALES)
