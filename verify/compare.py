"""Comparing what a unit answered with what the model computes, and describing where they differ."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..hw.configurations import Configuration
from ..sim.engines.run import Engine
from ..sim.stream_rules import Response, as_number
from ..sim.unit_stimulus import UnitStimulus

__all__ = ["SHOWN", "Comparison", "Mismatch", "compare"]

SHOWN: Final = 3
"""Mismatches that are described in full by default."""

# Vectors of one sum that are written out; a sum may have thousands.
_VECTORS_SHOWN: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Mismatch:
    """One result that is not what the model computes.

    Attributes:
        unit: How the unit is built.
        stimulus: What was put in.
        engine: What simulated it.
        result: Which result, from 0.
        first: The vector that started its sum.
        last: The vector that asked for it.
        input_cycle: The cycle in which the unit took that vector.
        cycle: The cycle in which it gave the result.
        expected: The model's bits: those of all words, the first one lowest.
        seen: The unit's bits, likewise.
    """

    unit: Configuration
    stimulus: UnitStimulus
    engine: Engine
    result: int
    first: int
    last: int
    input_cycle: int
    cycle: int
    expected: int
    seen: int

    def __str__(self) -> str:
        """Return everything that is needed to understand the mismatch."""
        stimulus = self.stimulus
        vectors = f"vector {self.last}"
        if self.first != self.last:
            vectors = f"vectors {self.first} to {self.last}"
        lines = [
            f"{self.unit.module_name} on {self.engine}: result {self.result} ({vectors}, "
            f"the last taken in cycle {self.input_cycle}, result given in cycle {self.cycle})",
            f"  expected {stimulus.result_text(self.expected)}",
            f"  seen     {stimulus.result_text(self.seen)}",
        ]
        left_out = self.last - self.first + 1 - _VECTORS_SHOWN
        for vector in range(self.first, self.last + 1):
            if left_out > 0 and vector == self.first + _VECTORS_SHOWN // 2:
                lines.append(f"  ... {left_out} more vectors")
            if left_out > 0 and 0 <= vector - self.first - _VECTORS_SHOWN // 2 < left_out:
                continue
            lines += stimulus.vector_text(vector)
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of comparing a response with the model.

    Attributes:
        compared: Results that were compared.
        differing: Results that differ.
        missing: Results that the unit did not give.
        mismatches: The first of those that differ.
    """

    compared: int
    differing: int
    missing: int
    mismatches: tuple[Mismatch, ...]

    @property
    def equal(self) -> bool:
        """Whether every result is there and is what the model computes."""
        return not self.differing and not self.missing

    def __str__(self) -> str:
        """Return how many differ, and describe the first ones."""
        text = f"{self.compared - self.differing} of {self.compared} results are the model's"
        if self.missing:
            text += f", {self.missing} are missing"
        return "\n".join([text, *(str(mismatch) for mismatch in self.mismatches)])


def compare(
    unit: Configuration,
    stimulus: UnitStimulus,
    response: Response,
    *,
    engine: Engine,
    expected: npt.NDArray[np.uint32] | None = None,
    shown: int = SHOWN,
) -> Comparison:
    """Compare a response with the model, bit for bit.

    Results of sums that no vector started are undefined, and not compared.

    Args:
        unit: How the unit is built.
        stimulus: What was put in.
        response: What came out; a part of it if the unit broke a rule.
        engine: What simulated it.
        expected: What ``stimulus.expected()`` gives, if it is known already.
        shown: How many mismatches to describe.

    Returns:
        The comparison.

    Raises:
        ValueError: If the results have another shape than those expected, or are more: then the response is
            not one to this stimulus.
    """
    wanted = stimulus.expected() if expected is None else expected
    count = len(response.results)
    if count and (response.results.shape[1:] != wanted.shape[1:] or count > len(wanted)):
        raise ValueError(
            f"results must be at most {wanted.shape} as expected ones are, not {response.results.shape}"
        )
    starts, ends = stimulus.sums
    defined = np.arange(len(wanted)) >= stimulus.undefined_count
    unequal = response.results != wanted[:count]
    differing = np.flatnonzero((unequal.any(axis=1) if unequal.ndim > 1 else unequal) & defined[:count])
    return Comparison(
        compared=int(defined[:count].sum()),
        differing=len(differing),
        missing=len(wanted) - count,
        mismatches=tuple(
            Mismatch(
                unit=unit,
                stimulus=stimulus,
                engine=engine,
                result=int(k),
                first=int(starts[k]),
                last=int(ends[k]),
                input_cycle=int(response.input_cycles[ends[k]]),
                cycle=int(response.result_cycles[k]),
                expected=as_number(wanted[k]),
                seen=as_number(response.results[k]),
            )
            for k in differing[:shown]
        ),
    )
