"""Functional coverage: named things that a test should have met.

Everything is told by the stimulus, by `replay`'s exact account of it, and by the cycles in which the ports
moved: nothing is asked of the hardware. A bin is met where a result depends on it: what belongs to a sum of
which no result was asked for does not count. A bin that cannot be met, or that no test drives to, says why in
one line.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...sim.stimulus import Stimulus
from ...sim.stream_rules import Response
from ..exact_trace import TracedStep, replay
from .reach import NOT_DRIVEN

__all__ = ["Bin", "BinGroup", "Hit", "MetBins", "StimulusView"]

Hit = tuple[str, int, int]
"""What is met: a bin's name, a vector that meets it, and how often."""


@dataclass(frozen=True)
class Bin:
    """One thing to meet.

    Attributes:
        group: What it is about.
        name: Its name.
        unreachable: Why it is not asked for; empty where it is.
    """

    group: str
    name: str
    unreachable: str = ""

    @property
    def possible(self) -> bool:
        """Whether it can be met, if only by a test that goes further than `directed`."""
        return not self.unreachable or self.unreachable.startswith(NOT_DRIVEN)


@dataclass
class MetBins:
    """How often a bin was met, and by which vector first.

    Attributes:
        count: How often.
        vector: Number of the first vector.
    """

    count: int
    vector: int


@dataclass(frozen=True)
class StimulusView:
    """What a stimulus shows.

    Attributes:
        stimulus: The stimulus.
        every: What happens at each vector.
        steps: The same, as far as a result depends on it.
        rows: The numbers of those vectors.
        response: What a unit answered, if one did.
    """

    stimulus: Stimulus
    every: list[TracedStep]
    steps: list[TracedStep]
    rows: npt.NDArray[np.int64]
    response: Response | None

    @classmethod
    def of(cls, stimulus: Stimulus, response: Response | None) -> "StimulusView":
        """Return what a stimulus shows, and what a unit answered to it, if one did."""
        every = list(replay(stimulus))
        # A vector counts if its sum was started, and a result is asked for behind it in the same sum.
        sums = np.cumsum(stimulus.first)
        ends = np.where(stimulus.last, np.arange(stimulus.vectors), -1)
        latest = np.full(int(sums[-1]) + 1, -1)
        np.maximum.at(latest, sums, ends)
        rows = np.flatnonzero((np.arange(stimulus.vectors) <= latest[sums]) & (sums > 0))
        return cls(stimulus, every, [every[row] for row in rows], rows, response)


class BinGroup(ABC):
    """Bins about one thing."""

    name: str
    bins: dict[str, str]
    """Their names, and why each cannot be met."""

    @abstractmethod
    def see(self, view: StimulusView) -> Iterable[Hit]:
        """Tell what is met; names outside `bins` count for nothing."""
