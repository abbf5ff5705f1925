"""How a datapath is to be built: what every accumulation is told, and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...model import DotSpec
from ...model.formats import Top
from ..leaves.compressor import Adder
from ..leaves.round import NumberRange
from .records import Step

__all__ = ["DatapathForm", "DatapathPlan"]


@dataclass(frozen=True, kw_only=True)
class DatapathForm:
    """How a datapath is to be built.

    Attributes:
        spec: What to compute.
        fast: Whether each component has its fastest form, or its smallest.
        order: Seed of the order in which bits enter the compressor trees; changes no result.
        decoded: Elements are what `ElementDecode` gives for each code, instead of the codes.
        whole: All of it is one stage, accumulator included. Where that is fastest, a term is then added to
            the sum before it is a number of its own.
        segment: Bits of an accumulator behind which a carry is kept; None for none.
    """

    spec: DotSpec
    fast: bool
    order: int
    decoded: bool = False
    whole: bool = False
    segment: int | None = None

    @property
    def adder(self) -> Adder:
        """The smallest adder there is, or one of the least depth."""
        return "sklansky" if self.fast else "ripple"

    @property
    def nan_possible(self) -> bool:
        """Whether a sum of products can be NaN."""
        return {fmt.top for fmt in self.spec.elements} != {Top.FINITE}

    @property
    def infinite_possible(self) -> bool:
        """Whether a sum of products can be infinite."""
        return any(fmt.top is Top.IEEE for fmt in self.spec.elements)


@dataclass(frozen=True)
class DatapathPlan:
    """What a datapath is made of.

    Attributes:
        steps: Its steps in order, from `Codes` to a `Result`.
        widths: Widths inside, in bits.
        numbers: What is normalised and rounded.
    """

    steps: Sequence[Step[Any, Any]]
    widths: Mapping[str, int]
    numbers: NumberRange
