"""What passes from one step of a datapath to the next: records of values, each a type of its own."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from amaranth.hdl import Module, Value

from ..step_delays import StepDelay

__all__ = [
    "AbsoluteSum",
    "AbsoluteSums",
    "Accumulating",
    "Codes",
    "Factor",
    "Magnitudes",
    "Normalised",
    "PairedMagnitudes",
    "ProductRow",
    "ProductTerms",
    "Products",
    "Record",
    "Result",
    "SavedSum",
    "SavedSums",
    "ScaleFactors",
    "Scaling",
    "Special",
    "Step",
    "Terms",
    "Totals",
    "Window",
    "Windows",
]

Change = Callable[[str, Value], Value]


@dataclass(frozen=True)
class Record:
    """Values that pass together from one step to the next.

    A field is a value, another record, a tuple of either, or None where there is no such value. The wire of a
    value is named after its field (or as the field's metadata says), and where it stands in tuples, after its
    place in each: ``negative_3``.
    """

    def map(self, change: Change, suffix: str = "") -> Self:
        """Return the record with other values.

        Args:
            change: Makes a value's successor out of the name of its wire and the value. It is called in the
                order in which registers stand in the emitted module.
            suffix: What every name ends in.
        """
        return replace(
            self,
            **{
                one.name: _changed(
                    getattr(self, one.name), one.metadata.get("wire", one.name), suffix, change
                )
                for one in dataclasses.fields(self)
            },
        )

    def named(self) -> dict[str, Value]:
        """Return the values by the names of their wires, in order."""
        found: dict[str, Value] = {}

        def note(name: str, value: Value) -> Value:
            found[name] = value
            return value

        self.map(note)
        return found


def _changed(value: Any, name: str, suffix: str, change: Change) -> Any:
    if value is None:
        return None
    if isinstance(value, Record):
        return value.map(change, suffix)
    if isinstance(value, tuple):
        return tuple(_changed(one, name, f"{suffix}_{k}", change) for k, one in enumerate(value))
    return change(name + suffix, value)


Exponents = tuple[Value | tuple[Value, ...], ...]
"""Each block's, as `ScaleFactors` has it."""


def _flat(exponents: Exponents) -> tuple[Value, ...]:
    return tuple(value for one in exponents for value in (one if isinstance(one, tuple) else (one,)))


Before = TypeVar("Before", bound=Record)
After = TypeVar("After", bound=Record)


class Step(ABC, Generic[Before, After]):
    """One piece of the datapath, after which a pipeline register may stand.

    Args:
        name: What it does.
        depth: How long it takes; registers are placed by it.
        bits: About how many bits of numbers there are behind it, for a register to hold.

    Attributes:
        accumulates: It is a sum's loop, and ends in the accumulator; it takes an `Accumulating`.
        multiplies: It is where results meet what they are multiplied by; it takes a `Scaling`.
    """

    accumulates: ClassVar[bool] = False
    multiplies: ClassVar[bool] = False

    def __init__(self, name: str, depth: StepDelay, bits: int) -> None:
        self.name = name
        self.depth = depth
        self.bits = bits

    @abstractmethod
    def build(self, m: Module, platform: object, before: Before) -> After:
        """Add the hardware to a module, and return what it makes of the values before it."""


# Records in the order of a datapath. A term is a block, or what a block gives for some of its elements.


@dataclass(frozen=True)
class Codes(Record):
    """A group's codes; or decoded elements, and the codes of their scales, None where there are none."""

    a: Value
    b: Value
    a_scale: Value | None
    b_scale: Value | None


@dataclass(frozen=True)
class Special(Record):
    """What of a group is no number.

    Attributes:
        nan: It is NaN.
        infinite: A block is infinite above zero (bit 0), or below (bit 1): two blocks may be both. None where
            no element can be infinite.
    """

    nan: Value
    infinite: Value | None


@dataclass(frozen=True)
class ScaleFactors(Record):
    """The scales of a block: significands, to be multiplied by one after the other, and one exponent.

    In ``aligned`` a block of several terms has as many exponents: a term that is zero has another. Where the
    scales stay apart, there is an exponent for each.
    """

    significand: tuple[Value, ...]
    exponent: Value | tuple[Value, ...]

    @property
    def exponents(self) -> tuple[Value, ...]:
        """The exponents of all terms, or the one that they share."""
        return self.exponent if isinstance(self.exponent, tuple) else (self.exponent,)


@dataclass(frozen=True)
class ProductRow(Record):
    """The products of a term: their signs, and their magnitudes side by side."""

    negative: Value
    magnitude: Value


@dataclass(frozen=True)
class Products(Record):
    """A group's products and scales."""

    term: tuple[ProductRow, ...]
    scale: tuple[ScaleFactors, ...]
    special: Special

    def map(self, change: Change, suffix: str = "") -> Self:
        """See `Record`: the terms of a block stand before its scales."""
        each = len(self.term) // len(self.scale)
        term: list[ProductRow] = []
        scale: list[ScaleFactors] = []
        for j, factors in enumerate(self.scale):
            term += [self.term[t].map(change, f"{suffix}_{t}") for t in range(j * each, (j + 1) * each)]
            scale.append(factors.map(change, f"{suffix}_{j}"))
        return replace(self, term=tuple(term), scale=tuple(scale), special=self.special.map(change, suffix))


@dataclass(frozen=True)
class SavedSum(Record):
    """Two numbers whose sum is that of a term's products."""

    save: Value
    carry: Value


@dataclass(frozen=True)
class SavedSums(Record):
    """The terms' sums, each still two numbers."""

    scale: tuple[ScaleFactors, ...]
    special: Special
    sum: tuple[SavedSum, ...]


@dataclass(frozen=True)
class Totals(Record):
    """The terms' sums, signed."""

    scale: tuple[ScaleFactors, ...]
    special: Special
    total: tuple[Value, ...]


@dataclass(frozen=True)
class AbsoluteSum(Record):
    """A term's sum as sign and magnitude."""

    negative: Value
    sum_magnitude: Value


@dataclass(frozen=True)
class AbsoluteSums(Record):
    """The terms' sums as sign and magnitude."""

    scale: tuple[ScaleFactors, ...]
    special: Special
    sum: tuple[AbsoluteSum, ...]


@dataclass(frozen=True)
class Terms(Record):
    """The terms times the significands of their scales, signed; and each block's exponent."""

    exponent: Exponents
    special: Special
    term: tuple[Value, ...]

    @property
    def exponents(self) -> tuple[Value, ...]:
        """The exponents of all blocks in a row."""
        return _flat(self.exponent)


@dataclass(frozen=True)
class Magnitudes(Record):
    """The same as sign and magnitude.

    Attributes:
        zeros: Leading zeros of the one magnitude there is, or one fewer; None where they are not counted yet.
    """

    exponent: Exponents
    special: Special
    negative: tuple[Value, ...]
    zeros: Value | None
    magnitude: tuple[Value, ...]

    @property
    def exponents(self) -> tuple[Value, ...]:
        """The exponents of all blocks in a row, one for each or one for each of its terms."""
        return _flat(self.exponent)


@dataclass(frozen=True)
class PairedMagnitudes(Magnitudes):
    """The same, with each magnitude behind its sign."""

    def map(self, change: Change, suffix: str = "") -> Self:
        """See `Record`."""
        exponent = _changed(self.exponent, "exponent", suffix, change)
        special = self.special.map(change, suffix)
        negative: list[Value] = []
        magnitude: list[Value] = []
        for t, (sign, size) in enumerate(zip(self.negative, self.magnitude, strict=True)):
            negative.append(change(f"negative{suffix}_{t}", sign))
            magnitude.append(change(f"magnitude{suffix}_{t}", size))
        return replace(
            self, exponent=exponent, special=special, negative=tuple(negative), magnitude=tuple(magnitude)
        )


@dataclass(frozen=True)
class ProductTerms(Record):
    """A group's products, each a term of its own.

    Attributes:
        exponent: Each block's sum of its scales' exponent fields; none where there are no scales.
        significand: Each block's product of its scales' significands; none where it is always 1, or where the
            terms have been multiplied by it.
        special: What of the group is no number.
        negative: Each term's sign.
        element_exponent: Each term's sum of its elements' exponent fields; 0 where the term is exactly zero.
        magnitude: Each term's magnitude.
    """

    exponent: tuple[Value, ...]
    significand: tuple[Value, ...]
    special: Special
    negative: tuple[Value, ...]
    element_exponent: tuple[Value, ...]
    magnitude: tuple[Value, ...]


@dataclass(frozen=True)
class Windows(Record):
    """Each block's value in fixed point."""

    special: Special
    window: tuple[Value, ...]


@dataclass(frozen=True)
class Window(Record):
    """A group's value, or a sum, in fixed point."""

    special: Special
    window: Value


@dataclass(frozen=True)
class Normalised(Record):
    """A number brought to the position that binary32 gives it; see `Normalise` and `SignedNormalise`."""

    special: Special
    negative: Value = dataclasses.field(metadata={"wire": "negative_0"})
    nonzero: Value
    fraction: Value
    field: Value


@dataclass(frozen=True)
class Result(Record):
    """A binary32 number."""

    result: Value


@dataclass(frozen=True)
class Accumulating(Record, Generic[Before]):
    """What a step that accumulates takes.

    Attributes:
        group: What is to be added.
        first: It starts a sum.
        enable: It is an input, and everything moves; without that, the step keeps its state.
        c: What a sum starts at, read with `first`; None where that is zero.
    """

    group: Before
    first: Value
    enable: Value
    c: Value | None = None


@dataclass(frozen=True)
class Factor(Record):
    """What results are multiplied by, in the parts that the multiplier takes; see `ReadFactor`."""

    negative: Value = dataclasses.field(metadata={"wire": "g_negative"})
    exponent: Value = dataclasses.field(metadata={"wire": "g_exponent"})
    significand: Value = dataclasses.field(metadata={"wire": "g_significand"})
    nan: Value = dataclasses.field(metadata={"wire": "g_nan"})
    infinite: Value = dataclasses.field(metadata={"wire": "g_infinite"})


@dataclass(frozen=True)
class Scaling(Record):
    """What the step that multiplies takes: a result, and its factor."""

    unscaled: Result
    g: Factor
