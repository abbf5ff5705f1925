"""What passes from one step of a quantizer to the next."""

import dataclasses
from dataclasses import dataclass

from amaranth.hdl import Value

from ..steps.records import Record

__all__ = [
    "BlockInputs",
    "ChosenScale",
    "ComparedElements",
    "Contest",
    "DitheredElements",
    "DividedScale",
    "EstimatedScale",
    "ExponentContest",
    "Lanes",
    "LargestMagnitude",
    "Midpoints",
    "QuantizedBlock",
    "ScaleEstimate",
    "ScaleMultiples",
    "ScaledProduct",
    "TensorScale",
]


@dataclass(frozen=True)
class BlockInputs(Record):
    """The numbers of a block, and what comes with them.

    Attributes:
        x: The numbers.
        random: The random bits of each; None where there are none.
        g: The tensor scale, a binary32 code; None where there is none.
    """

    x: Value
    random: Value | None = None
    g: Value | None = None


@dataclass(frozen=True)
class TensorScale(Record):
    """A tensor scale, normalised.

    Attributes:
        exponent: The field of its exponent, with a sign: that of a subnormal is below 1.
        fraction: What is behind the leading one of its significand.
    """

    exponent: Value = dataclasses.field(metadata={"wire": "g_exponent"})
    fraction: Value = dataclasses.field(metadata={"wire": "g_fraction"})


@dataclass(frozen=True)
class Lanes(Record):
    """The numbers of a block, one a lane.

    Attributes:
        negative: Their signs, lane by lane.
        magnitude: Their magnitudes: exponent field above kept fraction above the bit for what is below.
        random: Their random bits, lane by lane; None where there are none.
        g: The tensor scale; None where there is none.
    """

    negative: Value
    magnitude: tuple[Value, ...]
    random: Value | None = None
    g: TensorScale | None = None


@dataclass(frozen=True)
class Contest(Record):
    """Magnitudes of which one is the largest of all."""

    lanes: Lanes
    contender: tuple[Value, ...]


@dataclass(frozen=True)
class ExponentContest(Record):
    """The largest exponent.

    Attributes:
        lanes: The numbers.
        alive: Which of them have the largest exponent.
        exponent: Its field.
    """

    lanes: Lanes
    alive: Value
    exponent: Value


@dataclass(frozen=True)
class LargestMagnitude(Record):
    """The largest magnitude: as much of it as the scale depends on, from the exponent's top bit down."""

    lanes: Lanes
    largest: Value


@dataclass(frozen=True)
class ScaleEstimate(Record):
    """A scale under a tensor scale, which is this one or the next: see `divided_scale`.

    Attributes:
        code: The code of this one.
        digits: Its significand's, as if there were no subnormals, behind the leading one.
        digits_up: Those of the next one.
        wraps_up: The next one is in the next binade.
        held: It is this one, whatever the comparison says.
        forced: It is the next one, unless it is held. None where nothing forces it.
        middle: What is between the two, in halves of a digit, behind its leading one.
        dividend: What is compared with `middle` times the tensor scale's significand.
        rest: It is cut.
        least: The exponent field of the least midpoint, see `ScaleMultiples`, if no significand wraps.
    """

    code: Value
    digits: Value
    digits_up: Value
    wraps_up: Value
    held: Value
    forced: Value | None
    middle: Value
    dividend: Value
    rest: Value
    least: Value


@dataclass(frozen=True)
class EstimatedScale(Record):
    """A scale but for one step.

    Attributes:
        lanes: The numbers.
        nan: The scale is NaN.
        estimate: What is known of it.
        threefold: Three times the tensor scale's significand.
    """

    lanes: Lanes
    nan: Value
    estimate: ScaleEstimate
    threefold: Value


@dataclass(frozen=True)
class DividedScale(Record):
    """A scale under a tensor scale.

    Attributes:
        lanes: The numbers.
        nan: See `ChosenScale`.
        scale: Likewise.
        digits: See `ScaleEstimate`.
        wraps: The significand was rounded up to the next binade.
        least: See `ScaleEstimate`.
        threefold: See `EstimatedScale`.
    """

    lanes: Lanes
    nan: Value
    scale: Value
    digits: Value
    wraps: Value
    least: Value
    threefold: Value


@dataclass(frozen=True)
class ScaledProduct(Record):
    """A scale times a tensor scale.

    Attributes:
        fraction: What is behind the leading one of the significand.
        least: See `ScaleMultiples`.
    """

    fraction: Value = dataclasses.field(metadata={"wire": "product"})
    least: Value


@dataclass(frozen=True)
class ChosenScale(Record):
    """The scale's code.

    Attributes:
        lanes: The numbers.
        nan: The scale is NaN.
        scale: The code; where the scale is NaN it has no meaning yet.
        multiple: What midpoints are made of, where it is told beside the code; else None.
        product: The scale times the tensor scale, where it is told beside the code; else None.
    """

    lanes: Lanes
    nan: Value
    scale: Value
    multiple: "ScaleMultiples | None"
    product: ScaledProduct | None = None


@dataclass(frozen=True)
class ScaleMultiples(Record):
    """Multiples of the scale, each normalised, from which all midpoints of elements are made.

    With m the scale's significand, from 1 below 2, the midpoints have the significands m, 3 m, 5 m and 7 m.

    Attributes:
        least: The exponent field of the least midpoint, a quarter of the scale; under ``stochastic`` of what
            `QuantizerForm.element_least` says.
        fraction: What is behind the leading one of m, 3 m, 5 m and 7 m; under ``stochastic`` of m alone. None
            where m is always 1.
        wraps: Whether 3 m reaches 4, 5 m reaches 8 and 7 m reaches 8. None likewise, and under
            ``stochastic``.
        exact: Where there is a tensor scale, m is the product of both significands, and fractions are cut to
            the bits of a magnitude: whether nothing is cut from m, 3 m, 5 m and 7 m. Else None.
    """

    least: Value
    fraction: tuple[Value, ...] | None
    wraps: Value | None
    exact: Value | None = None


@dataclass(frozen=True)
class Midpoints(Record):
    """The scale, and what elements are compared with under it.

    Attributes:
        lanes: The numbers.
        nan: See `ChosenScale`.
        scale: Likewise.
        multiple: Multiples of the scale.
    """

    lanes: Lanes
    nan: Value
    scale: Value
    multiple: ScaleMultiples


@dataclass(frozen=True)
class ComparedElements(Record):
    """How each magnitude compares with the midpoints.

    Attributes:
        negative: The signs.
        nan: See `ChosenScale`.
        scale: Likewise.
        binade: For each lane how many binades it is above the least midpoint: 0 up to twice it.
        inside: It is above it.
        beyond: It is so large that it becomes the largest element. None where no magnitude is.
        over: Whether the multiple of 1 that it is in its binade is above 5/4, not below 3/2, not below 7/4.
    """

    negative: Value
    nan: Value
    scale: Value
    binade: tuple[Value, ...]
    inside: Value
    beyond: Value | None
    over: tuple[Value, ...]


@dataclass(frozen=True)
class DitheredElements(Record):
    """Magnitudes with their random bits added, in units of the step between their neighbours.

    Attributes:
        negative: The signs.
        nan: See `ChosenScale`.
        scale: Likewise.
        fraction: What is behind the leading one of the scale's significand m. None where m is always 1.
        steps: For each lane ``m * (steps + random bits)``, cut to a whole number: below 5 m.
        doubled: The step is 1 or more, not a half: the magnitude is 2 or more.
        largest: The magnitude becomes the largest element: it is 8 or more.
        from_four: It is 4 or more, and the step is 2.
        inside: It may be more than zero.
    """

    negative: Value
    nan: Value
    scale: Value
    fraction: Value | None
    steps: tuple[Value, ...]
    doubled: Value
    largest: Value
    from_four: Value
    inside: Value


@dataclass(frozen=True)
class QuantizedBlock(Record):
    """Element codes, the first one lowest, and the scale's code."""

    codes: Value
    scale: Value = dataclasses.field(metadata={"wire": "scale_code"})
