"""What a library says of a cell beyond its area: loads, delays, setup times and energies.

Delays and slopes are the tables of the nonlinear delay model (Liberty User Guide, volume 1, "Timing arcs"):
by the slope of the input and the load of the output, interpolated between the nearest four entries, and
extrapolated from them beyond the table. A library is read for its areas once; what is here is read cell by
cell, when a netlist has it.

Everything is in the library's own units. The unit of energy is the one that its units of voltage and
capacitance make, by custom that of the tables as well.
"""

import functools
import itertools
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from .liberty import CellFunction, LibertyGroup, Library

__all__ = ["AbcCellModels", "Arc", "CellModel", "CellModels", "Edge", "EnergyTables", "Sense", "Table"]

Sense = Literal["positive", "negative", "both"]
Edge = Literal["rise", "fall"]

_SENSES: Final[dict[str, Sense]] = {
    "positive_unate": "positive",
    "negative_unate": "negative",
    "non_unate": "both",
}
_RISE: Final = 0
_FALL: Final = 1
_BOTH: Final = (_RISE, _FALL)
# The values of timing_type (Liberty Reference Manual, "timing_type"): through a gate, with the edges of the
# output that each tells of; from a clock to the output that it makes follow, with the clock's edge; before a
# clock, with the clock's edge; and those that no path goes through.
_COMBINATIONAL_ARCS: Final = {
    "": _BOTH,
    "combinational": _BOTH,
    "combinational_rise": (_RISE,),
    "combinational_fall": (_FALL,),
    "three_state_enable": _BOTH,
    "three_state_enable_rise": (_RISE,),
    "three_state_enable_fall": (_FALL,),
}
_CLOCK_ARCS: Final = {"rising_edge": _RISE, "falling_edge": _FALL}
_SETUP_ARCS: Final = {"setup_rising": _RISE, "setup_falling": _FALL}
_NO_PATHS: Final = frozenset(
    (
        "clear",
        "preset",
        "three_state_disable",
        "three_state_disable_rise",
        "three_state_disable_fall",
        "max_clock_tree_path",
        "min_clock_tree_path",
        "min_pulse_width",
        "minimum_period",
        "nochange_high_high",
        "nochange_high_low",
        "nochange_low_high",
        "nochange_low_low",
        *(
            f"{kind}_{edge}"
            for kind in ("hold", "non_seq_hold", "non_seq_setup", "recovery", "removal", "skew")
            for edge in ("falling", "rising")
        ),
    )
)
_EDGE_NAMES: Final[tuple[Edge, Edge]] = ("rise", "fall")
# A gate of more inputs has none that its function leaves out: nobody makes one.
_MOST_INPUTS: Final = 16
_PREFIXES: Final = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_LOAD: Final = "total_output_net_capacitance"
_RELATED: Final = "related_pin_transition"


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
            return (self.clock_edge, _RISE), (self.clock_edge, _FALL)
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


_NO_ENERGY: Final = EnergyTables(((), ()), 0)


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
                if low != high and reached != set(_BOTH):
                    found[pin] = target
        return found

    @functools.cached_property
    def _arcs_to(self) -> dict[str, tuple[Arc, ...]]:
        return {pin: tuple(arc for arc in self.arcs if arc.target == pin) for pin in self.functions}


class CellModels:
    """The cells of one library, each read when it is first asked for.

    Args:
        library: The library.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._known: dict[str, CellModel] = {}

    def __getitem__(self, name: str) -> CellModel:
        """Return the model of a cell.

        Raises:
            ValueError: If the library does not have it, or not all that timing needs.
        """
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    @functools.cached_property
    def voltage(self) -> float | None:
        """The nominal supply voltage; None where the library states none."""
        text = self.library.attributes.get("nom_voltage")
        return None if text is None else float(text)

    @functools.cached_property
    def leakage_unit_nw(self) -> float | None:
        """The library's unit of leakage power in nW; None where it states none."""
        text = self.library.attributes.get("leakage_power_unit", "")
        match = re.fullmatch(r"([\d.]+) *([munpf]?)W", text)
        return float(match[1]) * 1e9 * _PREFIXES[match[2]] if match else None

    def leakage_nw(self, cells: Iterable[str]) -> float | None:
        """Return the leakage power of cells together in nW; None where the library states no unit of it."""
        if not self.leakage_unit_nw:
            return None
        return math.fsum(self[cell].leakage for cell in cells) * self.leakage_unit_nw

    def _read(self, name: str) -> CellModel:
        return _Model(self.library.cell_group(name)).build()


class AbcCellModels(CellModels):
    """The cells of one library as abc reads them, whose timing has one sense for each pair of pins.

    Of the arcs from one pin to another abc takes the sense of the first and the worst entries of all: where a
    library tells both senses of an XOR apart, abc does not see all of its paths.
    """

    def _read(self, name: str) -> CellModel:
        model = super()._read(name)
        arcs: dict[tuple[str, str], Arc] = {}
        for arc in model.arcs:
            first = arcs.setdefault((arc.source, arc.target), arc)
            delay, slope = _worst(first.delay, arc.delay), _worst(first.slope, arc.slope)
            arcs[arc.source, arc.target] = replace(
                first, delay=delay or first.delay, slope=slope or first.slope
            )
        return replace(model, arcs=tuple(arcs.values()))


class _Model:
    """Reads one cell."""

    def __init__(self, group: LibertyGroup) -> None:
        self._group = group

    def build(self) -> CellModel:
        group = self._group
        pins = [pin for pin in group.of("pin") if pin.attributes.get("direction") in ("input", "output")]
        inputs = tuple(pin.argument for pin in pins if pin.attributes["direction"] == "input")
        state, clock, edge, following = self._flip_flop()
        columns = (*inputs, *state)
        functions = {
            pin.argument: _compiled(pin.attributes["function"], columns)
            for pin in pins
            if "function" in pin.attributes
        }
        return CellModel(
            name=group.argument,
            capacitance={
                pin.argument: _capacitance(pin) for pin in pins if pin.attributes["direction"] == "input"
            },
            arcs=tuple(itertools.chain.from_iterable(self._arcs(pin) for pin in pins)),
            data=() if following is None else tuple(sorted(CellFunction(following).names & set(inputs))),
            setup={
                pin.argument: setup for pin in pins if (setup := self._setup(pin, clock, edge)) is not None
            },
            clock=clock,
            clock_edge=edge,
            inputs=inputs,
            functions=functions,
            next_state=None if following is None else _compiled(following, columns),
            energy={pin.argument: energy for pin in pins if (energy := self._energy(pin)).cases},
            leakage=_leakage(group),
        )

    def _flip_flop(self) -> tuple[tuple[str, ...], str | None, int, str | None]:
        for group in self._group.of("ff"):
            state = tuple(name.strip().strip('"').strip() for name in group.argument.split(","))
            text = group.attributes.get("clocked_on", "")
            clocks = sorted(CellFunction(text).names) if text else []
            if len(clocks) != 1:
                raise ValueError(f"flip-flop {self._group.argument} must have one clock pin, not {text!r}")
            inverted = CellFunction(text).evaluate({clocks[0]: 0b10}, 0b11) == 0b01
            edge = _FALL if inverted else _RISE
            return state, clocks[0], edge, group.attributes.get("next_state")
        return (), None, _RISE, None

    def _arcs(self, pin: LibertyGroup) -> Iterator[Arc]:
        merged: dict[tuple[str, Sense, int | None], list[Arc]] = {}
        for timing in pin.of("timing"):
            kind = timing.attributes.get("timing_type", "")
            if kind in _COMBINATIONAL_ARCS:
                edges, clock_edge = _COMBINATIONAL_ARCS[kind], None
            elif kind in _CLOCK_ARCS:
                edges, clock_edge = _BOTH, _CLOCK_ARCS[kind]
            elif kind in _SETUP_ARCS or kind in _NO_PATHS:
                continue
            else:
                raise ValueError(
                    f"timing_type of cell {self._group.argument} at {pin.argument} must be one of Liberty's, "
                    f"not {kind!r}"
                )
            delay = self._edge_tables(timing, edges, "cell_{}")
            slope = self._edge_tables(timing, edges, "{}_transition")
            if delay == slope == (None, None):
                continue
            for edge, one, two in zip(_EDGE_NAMES, delay, slope, strict=True):
                if (one is None) != (two is None):
                    raise ValueError(
                        f"cell {self._group.argument} must have both cell_{edge} and {edge}_transition "
                        f"at {pin.argument}, not one of them"
                    )
            sense = _SENSES.get(timing.attributes.get("timing_sense", ""), "both")
            for source in timing.attributes.get("related_pin", "").split():
                arc = Arc(source, pin.argument, sense, delay, slope, clock_edge)
                merged.setdefault((source, sense, clock_edge), []).append(arc)
        for arcs in merged.values():
            yield from _slowest(arcs)

    def _edge_tables(self, timing: LibertyGroup, edges: tuple[int, ...], name: str) -> EdgeTables:
        """Return the tables of a timing group for its edges."""
        rise, fall = (
            next(map(self._table, timing.of(name.format(_EDGE_NAMES[edge]))), None) if edge in edges else None
            for edge in _BOTH
        )
        return rise, fall

    def _setup(
        self, pin: LibertyGroup, clock: str | None, edge: int
    ) -> tuple[tuple[Table, ...], tuple[Table, ...]] | None:
        found: tuple[list[Table], list[Table]] = ([], [])
        for timing in pin.of("timing"):
            if (
                _SETUP_ARCS.get(timing.attributes.get("timing_type", "")) == edge
                and clock in timing.attributes.get("related_pin", "").split()
            ):
                for tables, name in zip(found, _EDGE_NAMES, strict=True):
                    tables.extend(self._table(table) for table in timing.of(f"{name}_constraint"))
        rise, fall = found
        return (tuple(rise), tuple(fall)) if rise and fall else None

    def _energy(self, pin: LibertyGroup) -> EnergyTables:
        cases: set[tuple[str, str]] = set()
        tables: tuple[list[Table], list[Table]] = ([], [])
        for power in pin.of("internal_power"):
            cases.add((power.attributes.get("related_pin", ""), power.attributes.get("when", "")))
            for edge, name in enumerate(("rise_power", "fall_power")):
                # A file may give one table for both edges.
                tables[edge].extend(self._table(table) for table in power.of(name, "power"))
        return EnergyTables((tuple(tables[0]), tuple(tables[1])), len(cases)) if cases else _NO_ENERGY

    def _table(self, group: LibertyGroup) -> Table:
        known = group.attributes
        values = _numbers(known.get("values", ""))
        if group.argument == "scalar" or "index_1" not in known:
            return Table((0.0,), (0.0,), (values[:1],))
        first = _numbers(known["index_1"])
        second = _numbers(known["index_2"]) if "index_2" in known else (0.0,)
        rows = tuple(values[k * len(second) : (k + 1) * len(second)] for k in range(len(first)))
        # Delays are read by slope, then load; setup times by the data's slope, then the clock's.
        if known.get("variable_1", "") in (_LOAD, _RELATED):
            return Table(second, first, tuple(zip(*rows, strict=True)))
        return Table(first, second, rows)


def _slowest(arcs: list[Arc]) -> Iterator[Arc]:
    """Return arcs that differ in condition or in the edges they tell of without those that never count.

    That is an edge whose delay and slope are nowhere above those of another.
    """
    rises, falls = (
        _undominated(
            [
                (delay, slope)
                for arc in arcs
                if (delay := arc.delay[edge]) is not None and (slope := arc.slope[edge]) is not None
            ]
        )
        for edge in _BOTH
    )
    none: tuple[None, None] = (None, None)
    for (rise, rise_slope), (fall, fall_slope) in itertools.zip_longest(rises, falls, fillvalue=none):
        yield replace(arcs[0], delay=(rise, fall), slope=(rise_slope, fall_slope))


def _undominated(pairs: list[tuple[Table, Table]]) -> list[tuple[Table, Table]]:
    kept: list[tuple[Table, Table]] = []
    for pair in pairs:
        if not any(_covers(other, pair) for other in kept):
            kept = [other for other in kept if not _covers(pair, other)]
            kept.append(pair)
    return kept


def _covers(one: tuple[Table, Table], other: tuple[Table, Table]) -> bool:
    return all(a.combined(b, max) == a for a, b in zip(one, other, strict=True))


def _worst(one: EdgeTables, other: EdgeTables) -> EdgeTables | None:
    """Return the tables of the larger entries; None where they stand at different points."""
    tables: list[Table | None] = []
    for a, b in zip(one, other, strict=True):
        table = a or b if a is None or b is None else a.combined(b, max)
        if table is None and a is not None:
            return None
        tables.append(table)
    rise, fall = tables
    return rise, fall


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.replace('"', " ").replace("\\", " ").replace(",", " ").split())


def _capacitance(pin: LibertyGroup) -> tuple[float, float]:
    one = float(pin.attributes.get("capacitance", 0))
    # abc, too, takes a capacitance of zero for none.
    rise, fall = (float(pin.attributes.get(f"{edge}_capacitance", 0)) or one for edge in ("rise", "fall"))
    return rise, fall


def _leakage(group: LibertyGroup) -> float:
    if "cell_leakage_power" in group.attributes:
        return float(group.attributes["cell_leakage_power"])
    found = [power for power in group.of("leakage_power") if "value" in power.attributes]
    # Without a condition it holds for all of them; rails are added.
    plain = [power for power in found if "when" not in power.attributes]
    rails = {power.attributes.get("related_pg_pin", "") for power in found}
    values = [float(power.attributes["value"]) for power in plain or found]
    return math.fsum(values) / len(values) * len(rails) if values else 0.0


class _Symbol:
    """Stands for an integer in a Boolean expression, and writes the expression down."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __and__(self, other: "_Symbol") -> "_Symbol":
        return _Symbol(f"({self.text} & {other.text})")

    def __or__(self, other: "_Symbol") -> "_Symbol":
        return _Symbol(f"({self.text} | {other.text})")

    def __xor__(self, other: "_Symbol") -> "_Symbol":
        return _Symbol(f"({self.text} ^ {other.text})")

    def __invert__(self) -> "_Symbol":
        return _Symbol(f"~{self.text}")


def _compiled(text: str, pins: Iterable[str]) -> Callable[..., int]:
    """Return an expression as a function of the integer of ones and then of the pins in their order.

    The bits of each integer are independent cases.
    """
    symbols: dict[str, Any] = {pin: _Symbol(f"p{place}") for place, pin in enumerate(pins)}
    result = CellFunction(text).evaluate(symbols, _Symbol("every"))
    # A constant function is the integer 0, or the integer of ones itself.
    body = result.text if isinstance(result, _Symbol) else "0"
    arguments = ", ".join(["every", *(symbol.text for symbol in symbols.values())])
    return eval(f"lambda {arguments}: {body}", {})
