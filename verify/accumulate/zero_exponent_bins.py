"""Whether the exponent that a zero reads decided a bit of an ``aligned`` sum, and steps in which it does."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from ...model import DotSpec
from ...sim.zero_exponents import draw_small_steps, zero_exponent_counts
from ..coverage.bins import BinGroup, Hit, StimulusView
from ..coverage.sum_maker import DirectedGroup, DirectedSum, SumMaker
from ..exact_trace import TracedStep, unit_exponent
from ..integer_rounding import rounded_to

__all__ = ["ZeroExponentBins", "small_sums"]

_STEPS: Final = 300
_OTHERS: Final = {"one less": -1, "one more": 1}


class ZeroExponentBins(BinGroup):
    """Steps from a sum of zero that another exponent of a zero would change.

    Args:
        spec: The specification.
    """

    name = "exponent of a zero"

    def __init__(self, spec: DotSpec) -> None:
        self._spec = spec
        self._unit = unit_exponent(spec)
        never = "every term has a greater exponent, or none has a bit to be cut off under it"
        highest = {name: spec.zero_exponent + max(more, 0) for name, more in _OTHERS.items()}
        self.bins = {
            f"{name} is another sum": "" if zero_exponent_counts(spec, highest[name]) else never
            for name in _OTHERS
        }

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            if not (step.special or step.before_special or step.before):
                for name, more in _OTHERS.items():
                    if self._another(step, self._spec.zero_exponent + more):
                        yield f"{name} is another sum", step.vector, 1

    def _another(self, step: TracedStep, zero_exponent: int) -> bool:
        """Return whether the step gives another sum where zeros read that exponent."""
        assert step.addition is not None
        # The sum is a zero, so that exponent is there whichever terms are zero. One that only cancels to zero
        # reads that of its scales.
        own = self._spec.zero_exponent
        read = [term.exponent for term in step.terms[1:] if term.value or own != term.exponent == term.scales]
        largest = max([*read, zero_exponent])
        drop = max(largest - self._spec.fraction - self._unit, 0)
        kept = [abs(term.value) >> drop << drop for term in step.terms]
        total = sum(size if term.value > 0 else -size for size, term in zip(kept, step.terms, strict=True))
        return rounded_to(self._spec.sum_format, total, self._unit).bits != step.addition.bits


def small_sums(make: SumMaker) -> Iterator[DirectedSum]:
    """Yield single steps in which the exponent of a zero may decide a bit, where there are some."""
    if zero_exponent_counts(make.spec):
        for codes in zip(*draw_small_steps(make.spec, _STEPS, np.random.default_rng(0)), strict=True):
            yield DirectedSum([DirectedGroup(*codes)])
