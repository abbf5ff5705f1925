"""What stands around a unit that is timed: what drives its inputs, and the registers before and behind it.

The clock reaches all registers at once, with the slope that the driving cell gives to four clock pins; of its
edges the one counts at which a register moves. A unit stands among others like it, so each of its inputs
comes out of a register, by way of the driving cell, and each of its outputs goes into one: the cell that
Yosys maps a plain register to. The clock's tree, its skew and jitter are not counted.
"""

import functools
from typing import Final, NamedTuple

from .cell_models import CellModels
from .cell_tables import CellModel
from .edge_waves import NEVER, NO_LOAD, Pair, Wave, through_arcs
from .registers import LibraryRegister, find_register

__all__ = [
    "Surroundings",
    "TimingContext",
    "clock_to_output",
    "needed_time",
    "register_overhead",
    "setup_times",
]

# How many clock pins share a driving cell.
_CLOCK_FANOUT: Final = 4


class Surroundings(NamedTuple):
    """What stands around a unit, in the library's unit, for a rising and a falling edge.

    Attributes:
        clock_slope: The clock's slopes; None in a library without a register.
        driver_slope: The slopes at the inputs of the driving cells.
        input_arrival: When the edges come out of a driving cell that has no load.
    """

    clock_slope: Pair | None
    driver_slope: Pair
    input_arrival: Pair


class TimingContext:
    """What stands around a unit: what drives its inputs, and the registers before and behind it."""

    def __init__(self, models: CellModels) -> None:
        self._models = models
        self.driver = models[models.library.driving_cell.name]
        (self._pin,) = self.driver.capacitance
        (output,) = self.driver.functions
        self._arcs = self.driver.arcs_to(output)
        self._still = Wave(((0.0, 0.0),), (0.0, 0.0))
        self._unloaded = self._driven(self._still, (0.0, 0.0)).arrival

    def _driven(self, wave: Wave, load: Pair) -> Wave:
        driven = through_arcs(self._arcs, {self._pin: 0}, {0: wave}, load)
        if driven is None:
            raise ValueError(f"cell {self.driver.name} must have a delay from {self._pin}, not none")
        return driven

    def input(self, load: Pair) -> Wave:
        """The wave at an input port when only the gates count: what the load adds to the driving cell."""
        wave = self._driven(self._still, load)
        rise, fall = (a - b for a, b in zip(wave.arrival, self._unloaded, strict=True))
        return Wave(((rise, fall),), wave.slope)

    def clock_wave(self, register: CellModel) -> Wave:
        """The clock's edges at a register: at time 0, with the slope of a loaded driving cell."""
        rise, fall = register.capacitance[register.clock or ""]
        slope = self._driven(self._still, (_CLOCK_FANOUT * rise, _CLOCK_FANOUT * fall)).slope
        return Wave(((0.0, 0.0),), slope)

    @functools.cached_property
    def register(self) -> tuple[LibraryRegister, CellModel, Wave] | None:
        """The library's register, its model, and the clock at it."""
        found = find_register(self._models.library)
        if found is None:
            return None
        model = self._models[found.cell]
        return found, model, self.clock_wave(model)

    def _launched(self) -> Wave | None:
        """The wave at the driving cell of an input port; None in a library without a register."""
        if self.register is None:
            return None
        register, model, clock = self.register
        return clock_to_output(model, register.output, clock, self.driver.capacitance[self._pin])

    def registered(self, load: Pair) -> tuple[Wave, float]:
        """The wave at an input port behind a register and the driving cell, and its clock-to-output part."""
        out = self._launched()
        if out is None:
            return self._driven(self._still, load), 0.0
        return self._driven(out, load), max(out.arrival)

    def surroundings(self) -> "Surroundings":
        """What other tools must be told to reckon with the same inputs and clock."""
        out = self._launched() or self._still
        clock = None if self.register is None else self.register[2].slope
        return Surroundings(clock, out.slope, self._driven(out, NO_LOAD).arrival)

    def setup_times(self, wave: Wave) -> Pair:
        """The setup times of the register behind an output port, for a rising and a falling edge there."""
        if self.register is None:
            return NO_LOAD
        register, model, clock = self.register
        rise, fall = setup_times(model, register.data, wave, clock)
        return rise, fall

    def taken(self, wave: Wave, start: int = 0) -> tuple[float, float] | None:
        """When a wave at an output port is early enough for a register behind it: see `needed_time`."""
        if self.register is None:
            late = max(wave.arrivals[start])
            return None if late == NEVER else (late, 0.0)
        register, model, clock = self.register
        return needed_time(model, register.data, wave, clock, start)


def clock_to_output(register: CellModel, pin: str, clock: Wave, load: Pair) -> Wave:
    """Return the edges at a register's output after the clock's at time 0.

    Raises:
        ValueError: If the library does not tell when one of them comes.
    """
    arcs = tuple(arc for arc in register.arcs_to(pin) if arc.clock_edge == register.clock_edge)
    wave = through_arcs(arcs, {arc.source: 0 for arc in arcs}, {0: clock}, load)
    if wave is None or NEVER in wave.arrival:
        raise ValueError(f"flip-flop {register.name} must have a delay from its clock to {pin}, not none")
    return wave


def needed_time(
    register: CellModel, pin: str, wave: Wave, clock: Wave, start: int = 0
) -> tuple[float, float] | None:
    """Return when a wave at a data pin is early enough for the next edge, and the setup part of that.

    None if nothing comes from that start.
    """
    times = setup_times(register, pin, wave, clock)
    ends = [
        (arrival + setup, setup)
        for arrival, setup in zip(wave.arrivals[start], times, strict=True)
        if arrival > NEVER
    ]
    return max(ends, default=None)


def setup_times(register: CellModel, pin: str, wave: Wave, clock: Wave) -> list[float]:
    """Return the setup times of a rising and a falling edge at a data pin."""
    tables = register.setup.get(pin)
    if tables is None:
        raise ValueError(f"flip-flop {register.name} must have a setup time at {pin}, not none")
    return [
        max(table(slope, clock.slope[register.clock_edge]) for table in edge)
        for edge, slope in zip(tables, wave.slope, strict=True)
    ]


def register_overhead(models: CellModels) -> float:
    """Return what the library's register takes of a clock period, in ps; 0 in a library without one.

    From the clock's edge to its output on a driving cell, and the setup time of what comes out of that.

    Raises:
        ValueError: If no flip-flop of the library will do, or it has no delay or no setup time.
    """
    surroundings = TimingContext(models)
    if surroundings.register is None:
        return 0.0
    register, model, _ = surroundings.register
    wave, launched = surroundings.registered(model.capacitance[register.data])
    taken = surroundings.taken(wave)
    assert taken is not None
    return (launched + taken[1]) * models.library.time_unit_ps
