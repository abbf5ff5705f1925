"""Comparing what a unit answered with what the model computes, and describing where they differ."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..hw import UnitConfig
from ..model import Format
from ..sim.engines.run import Engine
from ..sim.stimulus import Stimulus
from ..sim.stream_rules import Response

__all__ = ["SHOWN", "Comparison", "Mismatch", "compare"]

SHOWN: Final = 3
"""Mismatches that are described in full by default."""

# Vectors of one sum that are written out; a sum may have thousands.
_VECTORS_SHOWN: Final = 4


def _float_text(bits: int) -> str:
    """Return a binary32 in hex and as a number, shortest that reads back the same."""
    return f"{bits:#010x} ({np.array(bits, np.uint32).view(np.float32)[()]!s})"


def _codes_text(fmt: Format, codes: npt.NDArray[np.unsignedinteger]) -> str:
    """Return codes in hex and what they are worth."""
    digits = -(-fmt.bits // 4)
    flat = codes.reshape(-1)
    hexes = " ".join(f"{int(code):0{digits}x}" for code in flat)
    values = " ".join(f"{value:g}" for value in fmt.values[flat])
    return f"{hexes} ({fmt.name}: {values})"


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
        expected: The model's bits.
        seen: The unit's bits.
    """

    unit: UnitConfig
    stimulus: Stimulus
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
        a_format, b_format = self.unit.spec.elements
        a_scale_format, b_scale_format = self.unit.spec.scales
        vectors = f"vector {self.last}"
        if self.first != self.last:
            vectors = f"vectors {self.first} to {self.last}"
        lines = [
            f"{self.unit.module_name} on {self.engine}: result {self.result} ({vectors}, "
            f"the last taken in cycle {self.input_cycle}, result given in cycle {self.cycle})",
            f"  expected {_float_text(self.expected)}",
            f"  seen     {_float_text(self.seen)}",
        ]
        left_out = self.last - self.first + 1 - _VECTORS_SHOWN
        for vector in range(self.first, self.last + 1):
            if left_out > 0 and vector == self.first + _VECTORS_SHOWN // 2:
                lines.append(f"  ... {left_out} more vectors")
            if left_out > 0 and 0 <= vector - self.first - _VECTORS_SHOWN // 2 < left_out:
                continue
            for block in range(self.unit.spec.blocks):
                at = f"vector {vector}" + (f" block {block}" if self.unit.spec.blocks > 1 else "")
                place = (vector, block)
                lines += [
                    f"  {at}: a_scale {_codes_text(a_scale_format, stimulus.a_scale[place])}, "
                    f"b_scale {_codes_text(b_scale_format, stimulus.b_scale[place])}",
                    f"    a {_codes_text(a_format, stimulus.a[place])}",
                    f"    b {_codes_text(b_format, stimulus.b[place])}",
                ]
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
    unit: UnitConfig,
    stimulus: Stimulus,
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
    """
    wanted = stimulus.expected() if expected is None else expected
    count = len(response.results)
    starts, ends = stimulus.sums
    defined = np.arange(len(wanted)) >= stimulus.undefined_count
    differing = np.flatnonzero((response.results != wanted[:count]) & defined[:count])
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
                expected=int(wanted[k]),
                seen=int(response.results[k]),
            )
            for k in differing[:shown]
        ),
    )
