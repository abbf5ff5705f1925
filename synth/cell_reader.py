"""A cell's tables, read from its group in a Liberty file."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

from .cell_tables import (
    BOTH_EDGES,
    FALL,
    NO_ENERGY,
    RISE,
    Arc,
    CellModel,
    EdgeTables,
    EnergyTables,
    Sense,
    Table,
)
from .compiled_functions import compiled_function
from .liberty import CellFunction, LibertyGroup

__all__ = ["read_cell_model"]

Edge = Literal["rise", "fall"]

_SENSES: Final[dict[str, Sense]] = {
    "positive_unate": "positive",
    "negative_unate": "negative",
    "non_unate": "both",
}
# The values of timing_type (Liberty Reference Manual, "timing_type"): through a gate, with the edges of the
# output that each tells of; from a clock to the output that it makes follow, with the clock's edge; before a
# clock, with the clock's edge; and those that no path goes through.
_COMBINATIONAL_ARCS: Final = {
    "": BOTH_EDGES,
    "combinational": BOTH_EDGES,
    "combinational_rise": (RISE,),
    "combinational_fall": (FALL,),
    "three_state_enable": BOTH_EDGES,
    "three_state_enable_rise": (RISE,),
    "three_state_enable_fall": (FALL,),
}
_CLOCK_ARCS: Final = {"rising_edge": RISE, "falling_edge": FALL}
_SETUP_ARCS: Final = {"setup_rising": RISE, "setup_falling": FALL}
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
_LOAD: Final = "total_output_net_capacitance"
_RELATED: Final = "related_pin_transition"


def read_cell_model(group: LibertyGroup) -> CellModel:
    """Return the model of the cell that a group of a Liberty file describes.

    Raises:
        ValueError: If it has not all that timing needs.
    """
    return _CellReader(group).build()


class _CellReader:
    """Reads one cell."""

    def __init__(self, group: LibertyGroup) -> None:
        self._group = group

    def build(self) -> CellModel:
        group = self._group
        if any(group.of("latch")):
            raise ValueError(f"cell {group.argument} must be a gate or a flip-flop to be timed, not a latch")
        pins = [pin for pin in group.of("pin") if pin.attributes.get("direction") in ("input", "output")]
        inputs = tuple(pin.argument for pin in pins if pin.attributes["direction"] == "input")
        state, clock, edge, following = self._flip_flop()
        columns = (*inputs, *state)
        functions = {
            pin.argument: compiled_function(pin.attributes["function"], columns)
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
            next_state=None if following is None else compiled_function(following, columns),
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
            edge = FALL if inverted else RISE
            return state, clocks[0], edge, group.attributes.get("next_state")
        return (), None, RISE, None

    def _arcs(self, pin: LibertyGroup) -> Iterator[Arc]:
        merged: dict[tuple[str, Sense, int | None], list[Arc]] = {}
        for timing in pin.of("timing"):
            kind = timing.attributes.get("timing_type", "")
            if kind in _COMBINATIONAL_ARCS:
                edges, clock_edge = _COMBINATIONAL_ARCS[kind], None
            elif kind in _CLOCK_ARCS:
                edges, clock_edge = BOTH_EDGES, _CLOCK_ARCS[kind]
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
            for edge in BOTH_EDGES
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
        return EnergyTables((tuple(tables[0]), tuple(tables[1])), len(cases)) if cases else NO_ENERGY

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
        for edge in BOTH_EDGES
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
