"""What the steps of four over six hand on: both scales, the block under both, and the sums of its errors."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from amaranth.hdl import Value

from ...steps.records import Record
from ..records import Lanes

__all__ = ["Candidate", "Candidates", "ErrorSums", "TwoScales"]


@dataclass(frozen=True)
class TwoScales(Record):
    """Both scales' codes."""

    lanes: Lanes
    nan: Value
    six: Value
    four: Value


@dataclass(frozen=True)
class Candidate(Record):
    """A block under one of the scales.

    Attributes:
        scale: The code.
        significand: Of the scale, normalised.
        product: That times the tensor scale's, normalised; None where there is none.
        element: The codes of the elements' magnitudes.
    """

    scale: Value
    significand: Value
    product: Value | None
    element: tuple[Value, ...]


@dataclass(frozen=True)
class Candidates(Record):
    """A block under both scales.

    Attributes:
        nan: See `ChosenScale`.
        negative: The signs.
        doubled: The exponent of S4, times the tensor scale if there is one, is one more than that of S6.
        doubled_alone: The same without the tensor scale; None where there is none.
        six: The block under S6.
        four: The block under S4.
        place: The magnitudes as integers, moved up by the exponents of their elements under S4; one whose
            elements are both zero has no meaning.
        lanes: The numbers, where elements are rounded once more under the scale that is taken; else None.
    """

    nan: Value
    negative: Value
    doubled: Value
    doubled_alone: Value | None
    six: Candidate
    four: Candidate
    place: tuple[Value, ...]
    lanes: Lanes | None

    def map(self, change: Callable[[str, Value], Value], suffix: str = "") -> Self:
        """See `Record`: the wires of the two candidates are told apart."""
        return replace(
            self,
            nan=change(f"nan{suffix}", self.nan),
            negative=change(f"negative{suffix}", self.negative),
            doubled=change(f"doubled{suffix}", self.doubled),
            doubled_alone=(
                None if self.doubled_alone is None else change(f"doubled_alone{suffix}", self.doubled_alone)
            ),
            six=self.six.map(change, f"{suffix}_six"),
            four=self.four.map(change, f"{suffix}_four"),
            place=tuple(change(f"place{suffix}_{k}", one) for k, one in enumerate(self.place)),
            lanes=None if self.lanes is None else self.lanes.map(change, f"{suffix}_lane"),
        )


@dataclass(frozen=True)
class ErrorSums(Record):
    """The sums for both scales, S6 first.

    Attributes:
        candidates: The block under both scales, without its magnitudes.
        squares: The sum of squared elements, in quarters.
        products: The sum of magnitudes times elements, in halves.
    """

    candidates: Candidates
    squares: tuple[Value, Value]
    products: tuple[Value, Value]

    def sums_of(self, candidate: int) -> tuple[Value, Value]:
        """Return the squares and the products under S6, 0, or S4, 1."""
        return self.squares[candidate], self.products[candidate]
