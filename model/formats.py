"""Number formats by name: those of elements and block scales that there are, and those that are added.

Sources: OCP Microscaling Formats (MX) v1.0 and OCP 8-bit Floating Point v1.0 for the element formats and
``ue8m0``; the PTX ISA for ``ue4m3`` and ``ue5m3``; arXiv 2601.19026 for ``ue4m4``, ``ue5m3_ieee``
and ``ue4m3_full``; ml_dtypes for ``e3m4``. `register` adds formats to these.
"""

import copyreg
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

from ..base.argument_checks import require_bool, require_int
from .code_rounding import ROUNDINGS, Rounding
from .number_format import Format, Top

__all__ = [
    "ELEMENTS",
    "NO_SCALE",
    "ROUNDINGS",
    "SCALES",
    "WIDE_ELEMENTS",
    "Format",
    "Rounding",
    "Top",
    "get",
    "register",
    "require_format",
]


def _unsigned(exponent_bits: int, mantissa_bits: int) -> Format:
    return Format(
        name=f"ue{exponent_bits}m{mantissa_bits}",
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=(1 << (exponent_bits - 1)) - 1,
        signed=False,
        top=Top.NAN,
        # OCP MX gives E8M0 neither zero nor subnormals; every other unsigned format has both.
        subnormals=(exponent_bits, mantissa_bits) != (8, 0),
    )


def _signed(name: str, exponent_bits: int, mantissa_bits: int, bias: int, top: Top) -> Format:
    return Format(
        name=name,
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=bias,
        signed=True,
        top=top,
    )


_NAMED: Final[dict[str, Format]] = {
    fmt.name: fmt
    for fmt in (
        _signed("e2m1", 2, 1, 1, Top.FINITE),
        _signed("e2m3", 2, 3, 1, Top.FINITE),
        _signed("e3m2", 3, 2, 3, Top.FINITE),
        _signed("e4m3", 4, 3, 7, Top.NAN),
        _signed("e5m2", 5, 2, 15, Top.IEEE),
        _signed("e3m4", 3, 4, 3, Top.IEEE),
        Format(
            name="int8",
            exponent_bits=0,
            mantissa_bits=7,
            bias=0,
            signed=True,
            top=Top.FINITE,
            twos_complement=True,
        ),
        _unsigned(4, 3),
        _unsigned(5, 3),
        _unsigned(8, 0),
        _unsigned(4, 4),
        Format(
            name="ue5m3_ieee",
            exponent_bits=5,
            mantissa_bits=3,
            bias=15,
            signed=False,
            top=Top.RESERVED,
        ),
        Format(
            name="ue4m3_full",
            exponent_bits=4,
            mantissa_bits=3,
            bias=7,
            signed=False,
            top=Top.FINITE,
        ),
    )
}

_WIDE: Final[dict[str, Format]] = {
    fmt.name: fmt
    for fmt in (
        _signed("fp16", 5, 10, 15, Top.IEEE),
        _signed("bf16", 8, 7, 127, Top.IEEE),
        _signed("tf32", 8, 10, 127, Top.IEEE),
    )
}

WIDE_ELEMENTS: Final[tuple[str, ...]] = tuple(_WIDE)
"""Names of the element formats that only an ``aligned`` sum of single products takes."""

NO_SCALE: Final = Format(
    name="none", exponent_bits=0, mantissa_bits=0, bias=0, signed=False, top=Top.FINITE, subnormals=False
)
"""Stands for the scale of blocks that have none: its one code, of no bits, is worth 1."""

ELEMENTS: Final[tuple[str, ...]] = tuple(name for name, fmt in _NAMED.items() if fmt.signed)
"""Names of the element formats."""

SCALES: Final[tuple[str, ...]] = tuple(name for name, fmt in _NAMED.items() if not fmt.signed)
"""Names of the scale formats that have a source; any ``ue{E}m{M}`` is accepted beside them."""

_GENERIC: Final = re.compile(r"ue([2-8])m([0-5])")

# An element's name ends at the first "_" of a specification's name, and "x" joins two names there.
_ELEMENT_NAME: Final = re.compile(r"[a-wyz][a-wyz0-9]*")
_SCALE_NAME: Final = re.compile(r"[a-wyz][a-wyz0-9]*(_[a-wyz0-9]+)*")


def _find(name: str) -> Format | None:
    """Return the format of that name, None where there is none."""
    for known in (_NAMED, _WIDE, {NO_SCALE.name: NO_SCALE}):
        if name in known:
            return known[name]
    generic = _GENERIC.fullmatch(name)
    return _unsigned(int(generic[1]), int(generic[2])) if generic else None


def get(name: str | Format) -> Format:
    """Return the format of that name; a `Format` is returned as it is.

    Besides the names in `ELEMENTS` and `SCALES`, any ``ue{E}m{M}`` with E from 2 to 8 and M from 0 to
    5 is an unsigned format with bias ``2**(E-1) - 1``, subnormals, and NaN at its all-ones code; and so is
    every name that `register` was given.

    Raises:
        TypeError: If `name` is neither a string nor a Format.
        ValueError: If no format has that name.
    """
    if isinstance(name, Format):
        return name
    if not isinstance(name, str):
        raise TypeError(f"format must be a name or a Format, not {name!r}")
    fmt = _find(name)
    if fmt is None:
        raise ValueError(
            f"format must be one of {', '.join((*ELEMENTS, *SCALES))} or ue{{E}}m{{M}} with E from 2 to 8 "
            f"and M from 0 to 5, not {name!r}"
        )
    return fmt


def register(fmt: Format) -> Format:
    """Make a format known by its name in this process, for elements if it is signed and for scales if not.

    What is registered may be used wherever a format's name may. It stays within what the built-in formats
    span, for which every width and every exact sum of this project is argued:

    - The name is made of lower-case letters other than x, and of digits; a scale's may hold single
      underscores.
    - An element has from 2 to 8 bits, and a zero. It is two's complement, with no exponent bits and only
      finite codes; or it has from 1 to 5 exponent bits. Its values are multiples of ``2**-16`` below
      ``2**16``.
    - A scale has from 2 to 8 exponent bits, from 0 to 5 mantissa bits, and no infinity. Its values are
      multiples of ``2**-131`` below ``2**129``.
    - Where the top exponent is reserved, there is another; where it holds infinity and NaN, there is a
      mantissa bit to tell them apart.

    Args:
        fmt: The format. To register it again changes nothing.

    Returns:
        The format that is known by the name.

    Raises:
        TypeError: If `fmt` is no `Format`, or a fact of it is of the wrong kind.
        ValueError: If another format has the name, or a rule above is broken.
    """
    if not isinstance(fmt, Format):
        raise TypeError(f"format must be a Format, not {fmt!r}")
    known = _find(fmt.name) if isinstance(fmt.name, str) else None
    if known is not None and known == fmt:
        return known  # the wide formats are known, and none like them may be added
    _require_facts(fmt)
    if known is None:
        return _NAMED.setdefault(fmt.name, fmt)
    raise ValueError(f"format {fmt.name!r} must have a name that is not taken, not that of {known!r}")


def _require_facts(fmt: Format) -> None:
    """Raise TypeError or ValueError unless a format keeps the rules of `register`."""
    if not isinstance(fmt.name, str):
        raise TypeError(f"name of a format must be a string, not {fmt.name!r}")
    label = f"format {fmt.name!r}"
    for name in ("exponent_bits", "mantissa_bits", "bias"):
        require_int(f"{name} of {label}", getattr(fmt, name))
    for name in ("signed", "subnormals", "twos_complement"):
        require_bool(f"{name} of {label}", getattr(fmt, name))
    if not isinstance(fmt.top, Top):
        raise TypeError(f"top of {label} must be a Top, not {fmt.top!r}")
    pattern, kind = (_ELEMENT_NAME, "an element") if fmt.signed else (_SCALE_NAME, "a scale")
    if not pattern.fullmatch(fmt.name):
        also = "" if fmt.signed else ", with single underscores between them"
        raise ValueError(
            f"name of {kind} format must be lower-case letters other than x, and digits{also}, "
            f"not {fmt.name!r}"
        )

    def require(holds: bool, rule: str, value: object) -> None:
        if not holds:
            raise ValueError(f"{label} must have {rule}, not {value}")

    exponent, mantissa = fmt.exponent_bits, fmt.mantissa_bits
    if fmt.twos_complement:
        require(fmt.signed, "a sign where it is two's complement", "none")
        require(exponent == 0, "no exponent bits where it is two's complement", exponent)
        require(fmt.top is Top.FINITE, "finite codes only where it is two's complement", fmt.top.name)
        require(1 <= mantissa <= 7, "from 1 to 7 mantissa bits", mantissa)
    elif fmt.signed:
        require(1 <= exponent <= 5, "from 1 to 5 exponent bits", exponent)
        require(0 <= mantissa <= 7 - exponent, f"from 0 to {7 - exponent} mantissa bits", mantissa)
    else:
        require(2 <= exponent <= 8, "from 2 to 8 exponent bits", exponent)
        require(0 <= mantissa <= 5, "from 0 to 5 mantissa bits", mantissa)
        require(fmt.top is not Top.IEEE, "no infinity, being a scale", fmt.top.name)
    if fmt.signed:
        require(fmt.subnormals, "a zero, being an element", "none")
    if fmt.top in (Top.IEEE, Top.RESERVED):
        require(exponent >= 2, "at least 2 exponent bits where the top one is reserved", exponent)
    if fmt.top is Top.IEEE:
        require(mantissa >= 1, "a mantissa bit to tell infinity from NaN", mantissa)
    require(fmt.largest_code >= fmt.smallest_code, "a value above zero", "none")
    least, bound = (-16, 16) if fmt.signed else (-131, 129)
    require(fmt.quantum_exponent >= least, f"multiples of 2**{least}", f"of 2**{fmt.quantum_exponent}")
    top = fmt.quantum_exponent + fmt.mantissa_bits
    if exponent:
        top = (fmt.largest_code >> mantissa) - fmt.bias
    require(top < bound, f"values below 2**{bound}", f"2**{top}")


def _sent(fmt: Format) -> tuple[Callable[..., Format], tuple[bool, dict[str, object]]]:
    """Return what a format is made again from in another process.

    No tables travel there, and a name that was registered here is known there too.
    """
    facts = {fact.name: getattr(fmt, fact.name) for fact in fields(fmt)}
    return _received, (_find(fmt.name) == fmt, facts)


def _received(registered: bool, facts: dict[str, Any]) -> Format:
    fmt = Format(**facts)
    return register(fmt) if registered else fmt


copyreg.pickle(Format, _sent)


def require_format(name: str, value: object, *, signed: bool) -> Format:
    """Return the element (`signed`) or scale format that `value` names; register it where it is a `Format`.

    Raises:
        TypeError: If `value` is neither a name nor a `Format`.
        ValueError: If no format has that name, or it is a format of the other kind, or one that `register`
            refuses.
    """
    fmt = get(value)  # type: ignore[arg-type]  # get() itself refuses what is not a name
    if fmt.signed != signed:
        raise ValueError(f"{name} must be {'a signed' if signed else 'an unsigned'} format, not {fmt.name!r}")
    return register(fmt) if isinstance(value, Format) else fmt
