"""What of an accumulation is checked, and how: where each says it, and is found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from ..base.registry import Registry

if TYPE_CHECKING:  # these ask here for the accumulation of a specification
    from ..model import DotSpec
    from .coverage.bins import BinGroup
    from .coverage.reach import Reachable
    from .coverage.sum_maker import DirectedSum, SumMaker
    from .exact_trace import Arrival, TracedChange, TracedSum
    from .proofs.cut_step import StepParts
    from .proofs.description_text import DescriptionModule
    from .proofs.gate_network import Network
    from .proofs.solver import SolverAnswer
    from .proofs.steps import StepNetlist

__all__ = ["ACCUMULATION_CHECKS", "AccumulationChecks", "StepCheck", "step_stem"]


@dataclass(frozen=True)
class StepCheck:
    """What is claimed of a step that an accumulation alone has.

    Attributes:
        leaf: What it is about.
        claim: What is claimed.
        describe: Puts what the step computes into a module: given the specification, the step, and bits of
            the accumulator behind which a carry is kept.
        algebra: Proves sums of many bits, out of the step's network; None for nothing.
        settled: What the names of the outputs begin with that this is about.
        parts: Says how a step is cut, given whether it is made for delay; None, or where it says None, the
            step is asked about as a whole. The description is then that of what the parts do together.
    """

    leaf: str
    claim: str
    describe: "Callable[[DescriptionModule, DotSpec, StepNetlist, int | None], None]"
    algebra: "Callable[[Network, StepNetlist], SolverAnswer] | None" = None
    settled: tuple[str, ...] = ()
    parts: "Callable[[DotSpec, StepNetlist, bool], StepParts | None] | None" = None


@dataclass(frozen=True, kw_only=True)
class AccumulationChecks:
    """What of an accumulation is checked.

    Attributes:
        trace: Tells what becomes of a sum when a group arrives; see `exact_trace`.
        bins: Gives the bins about what groups and sums are rounded to, and about what is its own.
        sums: Yields the sums that meet those, as far as they are not met by what every unit is driven to.
        steps: Its own steps, by name; those that differ in a number behind it, ``fma_3``, share one.
        holds: What its accumulator holds: any binary32, one that is infinite only where an element can be,
            or a number in fixed point.
        reads_exponents: Whether exponents are read as numbers, that of a zero being the specification's; else
            they are fields.
    """

    trace: "Callable[[Arrival, TracedSum], TracedChange]"
    bins: "Callable[[Reachable], Sequence[BinGroup]]"
    sums: "Callable[[SumMaker, Reachable], Iterator[DirectedSum]]"
    steps: Mapping[str, StepCheck] = field(default_factory=dict)
    holds: Literal["binary32", "finite binary32", "fixed point"] = "binary32"
    reads_exponents: bool = False

    def step(self, name: str) -> StepCheck:
        """Return the check of one of its own steps: of ``fma_3`` that of ``fma``.

        Raises:
            ValueError: If there is none.
        """
        check = self.steps.get(step_stem(name))
        if check is None:
            raise ValueError(f"step must be one that is described, not {name!r}")
        return check


def step_stem(name: str) -> str:
    """Return the name that a step shares with those that differ from it in a number alone."""
    return name.rstrip("0123456789").removesuffix("_")


ACCUMULATION_CHECKS: Final = Registry[AccumulationChecks]("accumulate")
"""By the name that a specification has for it."""
