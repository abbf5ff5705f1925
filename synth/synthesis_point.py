"""What a netlist came out as by one recipe: area, delay, period and cells."""

from dataclasses import dataclass
from typing import Any, Final

from .metric import Metric

__all__ = ["FLIP_FLOP_COUNT", "Counts", "SynthesisPoint", "synthesis_point_of"]

Counts = tuple[tuple[str, int], ...]
"""How many there are of each cell, by name."""
FLIP_FLOP_COUNT: Final = Metric("flip-flops", "", "lower", 0)


@dataclass(frozen=True)
class SynthesisPoint:
    """What one netlist came out as by one recipe.

    Attributes:
        recipe: The recipe's name.
        area: Area of all cells, in the unit of the library's `area`.
        sequential_area: Area of the flip-flops (and latches) among them.
        delay: Delay through gates alone, in the unit of the library's `delay`; 0 where there is no gate.
        period: The shortest clock period of the netlist between registers, in the same unit.
        paths: The longest path of each kind, between registers, in the same unit: see `timing.PATHS`.
        clock_to_output: Of the path that decides the period, the part up to the register's output.
        setup: Of the same, the setup time.
        stime: abc's own figure for `delay`. It takes a gate for rising or falling with an input where the
            gate can do either (an XOR), unless the library states one arc for both, and is then too small.
        cells: How many cells there are.
        flip_flops: How many of them are flip-flops (or latches).
        counts: How many there are of each cell, by name.
    """

    recipe: str
    area: float
    sequential_area: float
    delay: float
    period: float
    paths: tuple[tuple[str, float], ...]
    clock_to_output: float
    setup: float
    stime: float
    cells: int
    flip_flops: int
    counts: Counts

    @property
    def combinational_area(self) -> float:
        """Area of the gates."""
        return self.area - self.sequential_area


def synthesis_point_of(recipe: str, record: Any) -> SynthesisPoint:
    """Return the point that a record holds, under the name that its recipe has now.

    Raises:
        TypeError, ValueError: If it holds none.
    """
    known = dict(record)
    known |= {name: tuple(map(tuple, known.get(name, ()))) for name in ("paths", "counts")}
    return SynthesisPoint(**{**known, "recipe": recipe})
