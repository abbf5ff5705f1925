"""One cell in tables: its loads, delays, slopes, setup times and energies.

Delays and slopes are the tables of the nonlinear delay model (Liberty User Guide, volume 1, "Timing arcs"):
by the slope of the input and the load of the output, interpolated between the nearest four entries, and
extrapolated from them beyond the table.

Everything is in the library's own units. The unit of energy is the one that its units of voltage and
capacitance make, by custom that of the tables as well.
"""

import functools
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "BOTH_EDGES",
    "FALL",
    "NO_ENERGY",
    "RISE",
    "Arc",
    "CellModel",
    "EdgeTables",
    "EnergyTables",
    "Sense",
    "Table",
]

Sense = Literal["positive", "negative", "both"]

RISE: Final = 0
FALL: Final = 1
BOTH_EDGES: Final = (RISE, FALL)
# A gate of more inputs has none that its function leaves out: nobody makes one.
_MOST_INPUTS: Final = 16


@dataclass(frozen=True)
class Table:
    """A table of two variables; a shorter axis has one entry.

    Attributes:
        first: Where the rows stand: slopes of the input, or of the constrained pin.
        second: Where the columns stand: loads, or slopes of the clock.
        values: The rows.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def __call__(self, first: float, second: float) -> float:
        """Return the value at a point."""
        rows, columns = self.first, self.second
        if len(rows) == 1:
            return _between(columns, self.values[0], second)
        row = min(max(bisect_right(rows, first) - 1, 0), len(rows) - 2)
        share = (first - rows[row]) / (rows[row + 1] - rows[row])
        low, high = (_between(columns, values, second) for values in self.values[row : row + 2])
        return low + share * (high - low)

    def combined(self, other: "Table", how: Callable[[float, float], float]) -> "Table | None":
        """Return the table of `how` of both entries; None where they stand at different points."""
        if (self.first, self.second) != (other.first, other.second):
            return None
        rows = zip(self.values, other.values, strict=True)
        return Table(self.first, self.second, tuple(tuple(map(how, a, b)) for a, b in rows))


EdgeTables = tuple[Table | None, Table | None]
"""Tables for a rising and for a falling edge of an output; None where there is no such edge."""


def _between(points: tuple[float, ...], values: tuple[float, ...], at: float) -> float:
    if len(points) == 1:
        return values[0]
    place = min(max(bisect_right(points, at) - 1, 0), len(points) - 2)
    share = (at - points[place]) / (points[place + 1] - points[place])
    return values[place] + share * (values[place + 1] - values[place])


@dataclass(frozen=True)
class Arc:
    """How an edge at one pin becomes an edge at another.

    Attributes:
        source: The input pin.
        target: The output pin.
        sense: Whether the output moves as the input does, against it, or either way.
        delay: Tables of the delay to a rising and to a falling output; None where it leads to no such edge.
        slope: Tables of the output's slope, likewise.
        clock_edge: Of an arc from a clock to what the flip-flop then shows, the edge of the clock: 0 a rising
            and 1 a falling one. None for an arc through a gate.
    """

    source: str
    target: str
    sense: Sense
    delay: EdgeTables
    slope: EdgeTables
    clock_edge: int | None = None

    @functools.cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Which input edges (0 rise, 1 fall) lead to which output edges."""
        return tuple((one, two) for one, two in self._ways if self.delay[two] is not None)

    @property
    def _ways(self) -> tuple[tuple[int, int], ...]:
        if self.clock_edge is not None:
            return (self.clock_edge, RISE), (self.clock_edge, FALL)
        if self.sense == "both":
            return (0, 0), (0, 1), (1, 0), (1, 1)
        return ((0, 0), (1, 1)) if self.sense == "positive" else ((1, 0), (0, 1))

    @functools.cached_property
    def _alike(self) -> tuple[bool, ...]:
        """Whether both tables of an edge stand at the same points, several each way."""
        return tuple(
            delay is not None
            and slope is not None
            and (delay.first, delay.second) == (slope.first, slope.second)
            and min(len(delay.first), len(delay.second)) > 1
            for delay, slope in zip(self.delay, self.slope, strict=True)
        )

    def look_up(self, edge: int, slope: float, load: float) -> tuple[float, float]:
        """Return the delay and the slope of an output's edge of `pairs`, 0 a rising and 1 a falling one."""
        delay, steep = self.delay[edge], self.slope[edge]
        assert delay is not None
        assert steep is not None
        if not self._alike[edge]:
            return delay(slope, load), steep(slope, load)
        rows, columns = delay.first, delay.second
        # Both tables at once, as this is most of what a timing analysis does.
        row = min(max(bisect_right(rows, slope) - 1, 0), len(rows) - 2)
        column = min(max(bisect_right(columns, load) - 1, 0), len(columns) - 2)
        part = (load - columns[column]) / (columns[column + 1] - columns[column])
        share = (slope - rows[row]) / (rows[row + 1] - rows[row])
        one, two = delay.values[row], delay.values[row + 1]
        low = one[column] + part * (one[column + 1] - one[column])
        high = two[column] + part * (two[column + 1] - two[column])
        late = low + share * (high - low)
        one, two = steep.values[row], steep.values[row + 1]
        low = one[column] + part * (one[column + 1] - one[column])
        high = two[column] + part * (two[column + 1] - two[column])
        return late, low + share * (high - low)


@dataclass(frozen=True)
class EnergyTables:
    """What the inside of a cell takes when a pin moves; the load at an output is not in it.

    Where the file tells cases apart (which input moved, what the others were), this is the mean over them:
    a simulation of nets does not know the case. Powers of several rails are added.

    Attributes:
        tables: Tables for a rising and for a falling edge, by the slope of the input and the load.
    """

    tables: tuple[tuple[Table, ...], tuple[Table, ...]]
    cases: int

    def __call__(self, edge: int, slope: float, load: float) -> float:
        """Return the energy of an edge, 0 a rising and 1 a falling one."""
        return (
            math.fsum(table(slope, load) for table in self.tables[edge]) / self.cases if self.cases else 0.0
        )


NO_ENERGY: Final = EnergyTables(((), ()), 0)


@dataclass(frozen=True)
class CellModel:
    """One cell.

    Attributes:
        name: Its name.
        capacitance: Of each input pin, the load that a rising and a falling edge sees.
        arcs: Its delays from input to output pins.
        data: The pins that decide what a flip-flop takes up at the clock's edge.
        setup: Of each such pin, tables of the setup time of a rising and of a falling edge
            before the clock's, of which the longest counts.
        clock: The clock pin of a flip-flop.
        clock_edge: The edge of the clock at which a flip-flop moves: 0 the rising and 1 the falling one.
        inputs: Its input pins.
        functions: Its output pins, each with its function: of an integer of ones, then of `inputs`, then of
            a flip-flop's state and its complement, whose bits are independent cases.
        next_state: What a flip-flop takes up at the clock's edge, a function of the same.
        energy: Of each pin that has one, the energy inside.
        leakage: Its leakage power, in the library's unit.
    """

    name: str
    capacitance: dict[str, tuple[float, float]]
    arcs: tuple[Arc, ...]
    data: tuple[str, ...]
    setup: dict[str, tuple[tuple[Table, ...], tuple[Table, ...]]]
    clock: str | None
    clock_edge: int
    inputs: tuple[str, ...]
    functions: dict[str, Callable[..., int]]
    next_state: Callable[..., int] | None
    energy: dict[str, EnergyTables]
    leakage: float

    def arcs_to(self, pin: str) -> tuple[Arc, ...]:
        """The arcs that end at an output pin."""
        return self._arcs_to.get(pin, ())

    @functools.cached_property
    def untimed(self) -> dict[str, str]:
        """Input pins of a gate that move an output after no known delay, each with that output."""
        found: dict[str, str] = {}
        if self.clock is not None or len(self.inputs) > _MOST_INPUTS:
            return found
        every = (1 << (1 << len(self.inputs))) - 1
        # Input k changes every 2**k cases.
        columns = [
            every // ((1 << (2 << k)) - 1) * (((1 << (1 << k)) - 1) << (1 << k))
            for k in range(len(self.inputs))
        ]
        for target, function in self.functions.items():
            for place, pin in enumerate(self.inputs):
                low, high = (
                    function(every, *columns[:place], value, *columns[place + 1 :]) & every
                    for value in (0, every)
                )
                reached = {two for arc in self.arcs_to(target) if arc.source == pin for _, two in arc.pairs}
                if low != high and reached != set(BOTH_EDGES):
                    found[pin] = target
        return found

    @functools.cached_property
    def _arcs_to(self) -> dict[str, tuple[Arc, ...]]:
        return {pin: tuple(arc for arc in self.arcs if arc.target == pin) for pin in self.functions}
