"""Steps of published tensor cores in exact integers, written from the document alone.

Nothing of blockdot is used here, its formats least of all: `studies.preset_steps` holds the model against
this. A number is an integer times a power of two, and all numbers of a step are brought to one power of two.
Each array has the numbers of many steps, in 64 bits; no integer here has more than 53.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CORES", "CodeFormat", "IntegerSteps", "Stepped", "TensorCore"]

# How many elements under one pair of scales are summed before they are shifted.
_GROUP: Final = 16

# What a number that is not finite is, a bit each; of several terms they are gathered.
_PLUS: Final = 1
_MINUS: Final = 2
_NAN: Final = 4

# Below every exponent: a zero reads the machine's own.
_NO_EXPONENT: Final = -(1 << 20)

# Where a shift ends: nothing is left behind it.
_FAR: Final = 62

_Integers = npt.NDArray[np.int64]


class Numbers(NamedTuple):
    """Numbers of any shape: a significand, the exponent that it reads as, and what it is if not finite."""

    significand: _Integers
    exponent: _Integers
    special: _Integers


@dataclass(frozen=True)
class CodeFormat:
    """A format of codes: a sign if there is one, then the exponent, then the fraction.

    Attributes:
        exponent_bits: Width of the exponent.
        fraction_bits: Width of the fraction.
        bias: What is subtracted from the exponent field.
        signed: Whether there is a sign.
        top: ``numbers`` where the largest exponent field is one as any other; ``nan`` where the code of ones
            alone is NaN; ``ieee`` where that field has infinities and NaN.
        subnormal: Whether the exponent field 0 has no hidden bit.
    """

    exponent_bits: int
    fraction_bits: int
    bias: int
    signed: bool = True
    top: str = "numbers"
    subnormal: bool = True

    @property
    def magnitude_bits(self) -> int:
        """The width without the sign."""
        return self.exponent_bits + self.fraction_bits

    @property
    def bits(self) -> int:
        """The width."""
        return self.magnitude_bits + self.signed

    @property
    def largest(self) -> int:
        """The code of the largest finite number."""
        ones = (1 << self.magnitude_bits) - 1
        return {"numbers": ones, "nan": ones - 1, "ieee": ones - (1 << self.fraction_bits)}[self.top]

    @cached_property
    def numbers(self) -> Numbers:
        """The numbers of all codes.

        A value is the significand times 2 to the exponent less `fraction_bits`. A zero reads as far below all
        others; what is not finite has the significand 0.
        """
        found = np.array([self._number(code) for code in range(1 << self.bits)], np.int64)
        return Numbers(*found.T)

    def _number(self, code: int) -> tuple[int, int, int]:
        size = code & (1 << self.magnitude_bits) - 1
        field, fraction = divmod(size, 1 << self.fraction_bits)
        negative = code >> self.magnitude_bits
        if size > self.largest:
            infinite = self.top == "ieee" and fraction == 0
            return 0, 0, (_MINUS if negative else _PLUS) if infinite else _NAN
        hidden = field > 0 or not self.subnormal
        significand = fraction + (hidden << self.fraction_bits)
        exponent = max(field, int(self.subnormal)) - self.bias
        return -significand if negative else significand, exponent if significand else _NO_EXPONENT, 0

    def read(self, codes: _Integers) -> Numbers:
        """Return the numbers of codes of a format with subnormals and infinities, which may be long."""
        size = codes & (1 << self.magnitude_bits) - 1
        field, fraction = size >> self.fraction_bits, size & (1 << self.fraction_bits) - 1
        negative = codes >> self.magnitude_bits != 0
        significand = fraction + ((field > 0).astype(np.int64) << self.fraction_bits)
        exponent = np.where(significand == 0, _NO_EXPONENT, np.maximum(field, 1) - self.bias)
        top = size > self.largest
        infinite = np.where(negative, _MINUS, _PLUS)
        special = np.where(top, np.where(fraction == 0, infinite, _NAN), 0)
        finite = np.where(negative, -significand, significand)
        return Numbers(np.where(top, 0, finite), np.where(top, 0, exponent), special)


FORMATS: Final = {
    "e2m1": CodeFormat(2, 1, 1),
    "e2m3": CodeFormat(2, 3, 1),
    "e3m2": CodeFormat(3, 2, 3),
    "e4m3": CodeFormat(4, 3, 7, top="nan"),
    "e5m2": CodeFormat(5, 2, 15, top="ieee"),
    "fp16": CodeFormat(5, 10, 15, top="ieee"),
    "bf16": CodeFormat(8, 7, 127, top="ieee"),
    "tf32": CodeFormat(8, 10, 127, top="ieee"),
    "binary32": CodeFormat(8, 23, 127, top="ieee"),
    "ue4m3": CodeFormat(4, 3, 7, signed=False, top="nan"),
    "ue8m0": CodeFormat(8, 0, 127, signed=False, top="nan", subnormal=False),
}
"""The formats by name, after shared/design.md, sections 1.1 and 1.2."""


@dataclass(frozen=True)
class TensorCore:
    """What a step computes: a row of the table in shared/design.md, section 1.4.

    Attributes:
        element: Format of the elements.
        products: Products of a step.
        fraction: Bits that are kept behind the point.
        zero_exponent: The exponent that a zero reads as.
        result: ``binary32`` or ``e8m13``, cut off, or ``binary16``, to nearest even.
        scale: Format of the scales; None for none.
        scaled: Elements under one pair of scales.
        grouped: Whether 16 products under one pair of scales are one term.
    """

    element: str
    products: int
    fraction: int
    zero_exponent: int
    result: str = "binary32"
    scale: str | None = None
    scaled: int = 0
    grouped: bool = False


def _cores() -> dict[str, TensorCore]:
    found = {
        "volta-fp16": TensorCore("fp16", 4, 23, -131),
        "volta-fp16-fp16": TensorCore("fp16", 4, 23, -20, "binary16"),
        "turing-fp16": TensorCore("fp16", 8, 24, -132),
        "turing-fp16-fp16": TensorCore("fp16", 8, 24, -21, "binary16"),
        "ampere-tf32": TensorCore("tf32", 4, 24, -132),
        "ampere-bf16": TensorCore("bf16", 8, 24, -132),
        "hopper-tf32": TensorCore("tf32", 8, 25, -133),
        "hopper-bf16": TensorCore("bf16", 16, 25, -133),
        "hopper-fp16": TensorCore("fp16", 16, 25, -133),
    }
    for element in ("e4m3", "e5m2"):
        found[f"ada-{element}"] = TensorCore(element, 16, 13, -132, "e8m13")
        found[f"ada-{element}-fp16"] = TensorCore(element, 16, 13, -21, "binary16")
        found[f"hopper-{element}"] = TensorCore(element, 32, 13, -133, "e8m13")
        found[f"hopper-{element}-fp16"] = TensorCore(element, 32, 13, -133, "binary16")
    for element in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1"):
        found[f"blackwell-{element}"] = TensorCore(element, 32, 25, -133)
        found[f"blackwell-mx-{element}"] = TensorCore(element, 32, 25, -133, scale="ue8m0", scaled=32)
    for name, scale in (("mxfp4", "ue8m0"), ("nvfp4", "ue4m3")):
        found[f"blackwell-{name}"] = TensorCore(
            "e2m1", 64, 35, -139, scale=scale, scaled=_GROUP, grouped=True
        )
    return found


CORES: Final = _cores()
"""Each different machine by the name of its first preset."""


class Stepped(NamedTuple):
    """What steps gave.

    Attributes:
        bits: The sums' bits: binary32, or binary16.
        cut: Whether a term lost something.
        empty: Whether every product is zero.
        special: Whether something in it is no finite number.
    """

    bits: _Integers
    cut: npt.NDArray[np.bool_]
    empty: npt.NDArray[np.bool_]
    special: npt.NDArray[np.bool_]


def _product(x: Numbers, y: Numbers) -> Numbers:
    """Multiply, as IEEE 754 does what is not finite."""
    significand = x.significand * y.significand
    nan = (x.special | y.special) & _NAN != 0
    for one, other in ((x, y), (y, x)):
        nan |= (one.special != 0) & (other.special == 0) & (other.significand == 0)
    negative = ((x.significand < 0) | (x.special == _MINUS)) != ((y.significand < 0) | (y.special == _MINUS))
    infinite = np.where(negative, _MINUS, _PLUS)
    special = np.where(nan, _NAN, np.where((x.special | y.special) != 0, infinite, 0))
    exponent = np.where((significand == 0) & (special == 0), _NO_EXPONENT, x.exponent + y.exponent)
    return Numbers(significand, exponent, special)


def _taken(numbers: Numbers, codes: _Integers) -> Numbers:
    return Numbers(*(array[codes] for array in numbers))


def _shifted(significands: _Integers, drop: _Integers) -> _Integers:
    """Return integers without so many of their last bits, toward zero; or with some more."""
    down = np.abs(significands) >> np.clip(drop, 0, _FAR)
    return np.where(significands < 0, -down, down) << np.clip(-drop, 0, _FAR)


class IntegerSteps:
    """The steps of a tensor core.

    Args:
        core: What it computes.
    """

    def __init__(self, core: TensorCore) -> None:
        self.core = core
        self.element = FORMATS[core.element]
        self.scale = None if core.scale is None else FORMATS[core.scale]
        self.narrow = core.result == "binary16"
        self.total = FORMATS["fp16" if self.narrow else "binary32"]
        # A product, or a term under scales, is its significand times 2 to its exponent less so much.
        self._behind = 2 * self.element.fraction_bits + (2 * self.scale.fraction_bits if self.scale else 0)

    @cached_property
    def _pairs(self) -> Numbers:
        """The products of all pairs of codes of few bits."""
        one = self.element.numbers
        x, y = (Numbers(*(array.reshape(shape) for array in one)) for shape in ((-1, 1), (1, -1)))
        return Numbers(*(array.ravel() for array in _product(x, y)))

    def _products(self, a: _Integers, b: _Integers) -> Numbers:
        if self.element.bits <= 8:
            return _taken(self._pairs, a << self.element.bits | b)
        return _product(self.element.read(a), self.element.read(b))

    def _terms(self, a: _Integers, b: _Integers, scales: Sequence[_Integers]) -> Numbers:
        """Return the terms of each step."""
        products = self._products(a, b)
        if self.scale is None:
            return products
        both = _product(*(_taken(self.scale.numbers, codes) for codes in scales))
        if not self.core.grouped:
            return _product(products, Numbers(*(np.repeat(array, self.core.scaled, -1) for array in both)))
        # Sums are of the quantum that the least exponent has. Every code of these elements is a number.
        least = 2 * (1 - self.element.bias)
        wide = products.significand << np.maximum(products.exponent - least, 0)
        parts = wide.reshape(*both.exponent.shape, -1)
        nothing = np.zeros_like(both.exponent)
        sums = Numbers(parts.sum(axis=-1), nothing + least, nothing)
        terms = _product(sums, both)
        # A sum that only cancels to zero has its scales' exponent.
        some = (parts != 0).any(axis=-1) & (both.significand != 0)
        return terms._replace(exponent=np.where(some, both.exponent + least, terms.exponent))

    def step(self, bits: _Integers, a: _Integers, b: _Integers, *scales: _Integers) -> Stepped:
        """Add products to sums.

        Args:
            bits: The sums so far: binary32, or binary16; shape (steps,).
            a: Codes of the elements, shape (steps, products).
            b: Likewise.
            scales: Codes of the scales of a and of b, if there are any, one for each `scaled` elements.
        """
        core = self.core
        own = self.total.read(bits)
        terms = self._terms(a, b, scales)
        special = np.bitwise_or.reduce(terms.special, -1) | own.special
        empty = ((terms.significand == 0) & (terms.special == 0)).all(axis=-1)
        largest, least = (
            which(reduced, own.exponent)
            for which, reduced in (
                (np.maximum, terms.exponent.max(axis=-1)),
                (np.minimum, terms.exponent.min(axis=-1)),
            )
        )
        largest = np.where(least == _NO_EXPONENT, np.maximum(largest, core.zero_exponent), largest)
        unit = largest - core.fraction
        drop = unit[..., np.newaxis] - terms.exponent + self._behind
        kept = _shifted(terms.significand, drop)
        whole = np.where(drop > 0, kept << np.clip(drop, 0, _FAR) == terms.significand, True)
        total = kept.sum(axis=-1) + _shifted(own.significand, unit - own.exponent + self.total.fraction_bits)
        finite = self._rounded(total, unit)
        return Stepped(
            np.where(special != 0, self._unusual(special), finite),
            ~whole.all(axis=-1) & (special == 0),
            empty,
            special != 0,
        )

    def _unusual(self, special: _Integers) -> _Integers:
        """Return the bits of infinities and NaN."""
        fields = self.total
        infinity = (1 << fields.exponent_bits) - 1 << fields.fraction_bits
        signed = np.where(special == _MINUS, infinity | 1 << fields.magnitude_bits, infinity)
        return np.where(special > _MINUS, infinity | 1 << fields.fraction_bits - 1, signed)

    def _rounded(self, total: _Integers, unit: _Integers) -> _Integers:
        """Return the bits of totals, in units of 2 to ``unit``."""
        fields = self.total
        size = np.abs(total)
        places = 13 if self.core.result == "e8m13" else fields.fraction_bits
        # Of fewer than 53 bits float64 tells the length.
        exponent = np.maximum(unit + np.frexp(size.astype(np.float64))[1] - 1, 1 - fields.bias)
        drop = exponent - places - unit
        kept = _shifted(size, drop)
        if self.narrow:
            rest, half = size - _shifted(kept, -drop), _shifted(np.ones_like(size), 1 - drop)
            kept += (drop > 0) & ((rest > half) | ((rest == half) & (kept & 1 != 0)))
        longer = kept >> places + 1 != 0
        kept, exponent = np.where(longer, kept >> 1, kept), exponent + longer
        field = np.where(kept >> places != 0, exponent + fields.bias, 0)
        fraction = (kept & (1 << places) - 1) << fields.fraction_bits - places
        minus = total < 0
        bits = (minus.astype(np.int64) << fields.magnitude_bits) | field << fields.fraction_bits | fraction
        infinite = self._unusual(np.where(minus, _MINUS, _PLUS))
        return np.where(total == 0, 0, np.where(exponent > fields.bias, infinite, bits))
