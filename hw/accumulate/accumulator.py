"""What the hardware of an accumulation is, and where each is found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...base.registry import Registry
from ..steps.form import DatapathForm, DatapathPlan

__all__ = ["ACCUMULATORS", "Accumulator"]


@dataclass(frozen=True, kw_only=True)
class Accumulator:
    """The hardware of an accumulation.

    Attributes:
        plan: Makes the whole datapath, out of its own steps and those of `blockdot.hw.steps`.
        keeps_carries: Whether there is a carry to be kept behind a ``segment``, see `DotUnit`.
    """

    plan: Callable[[DatapathForm], DatapathPlan]
    keeps_carries: bool = False


ACCUMULATORS: Final = Registry[Accumulator]("accumulate")
"""By the name that a specification has for it."""
