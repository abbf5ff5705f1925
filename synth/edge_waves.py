"""Edges on the nets of a netlist: when they come at the latest and how steep, and how they pass a cell."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from .cell_tables import Arc
from .mapped_netlist import Net

__all__ = ["NEVER", "NOWHERE", "NO_LOAD", "Pair", "PinDelays", "Wave", "through_arcs"]

Pair = tuple[float, float]
"""A figure for a rising and for a falling edge."""

NEVER: Final = -math.inf
# A net that no pin is on.
NOWHERE: Final = -3
NO_LOAD: Final = (0.0, 0.0)


class Wave(NamedTuple):
    """The latest edges on a net.

    Attributes:
        arrivals: When the rising and the falling one come, for each kind of start; all share the slopes.
        slope: How long each takes.
    """

    arrivals: tuple[Pair, ...]
    slope: Pair

    @property
    def arrival(self) -> Pair:
        """When the rising and the falling one come, whatever their start."""
        return max(rise for rise, _ in self.arrivals), max(fall for _, fall in self.arrivals)

    def delayed(self, delay: float, factor: float) -> "Wave":
        """Return the wave at the end of a wire, by the wire's delay and `WireLoads.slope_factor`."""
        grown = (delay * factor) ** 2
        rise, fall = self.slope
        return Wave(
            tuple((up + delay, down + delay) for up, down in self.arrivals),
            (math.sqrt(rise * rise + grown), math.sqrt(fall * fall + grown)),
        )


class PinDelays(NamedTuple):
    """How late edges come to the pins of a cell, and what their slopes grow by."""

    delays: Mapping[str, float]
    factor: float


def through_arcs(
    arcs: tuple[Arc, ...],
    pins: Mapping[str, Net],
    waves: Mapping[Net, Wave],
    load: Pair,
    late: PinDelays | None = None,
) -> Wave | None:
    """Return the latest edges at the end of arcs, by the waves on the nets that their pins are on.

    None where no wave comes in.
    """
    arrivals: list[list[float]] = []
    slope = [0.0, 0.0]
    for arc in arcs:
        wave = waves.get(pins.get(arc.source, NOWHERE))
        if wave is None:
            continue
        if late is not None and (delay := late.delays.get(arc.source)):
            wave = wave.delayed(delay, late.factor)
        came, steep = wave
        if not arrivals:
            arrivals = [[NEVER, NEVER] for _ in came]
        for one, two in arc.pairs:
            # There are two kinds of start at most.
            if came[0][one] == NEVER and came[-1][one] == NEVER:
                continue
            delay, after = arc.look_up(two, steep[one], load[two])
            for to, at in zip(arrivals, came, strict=True):
                end = at[one] + delay
                if end > to[two]:
                    to[two] = end
            if after > slope[two]:
                slope[two] = after
    return Wave(tuple((rise, fall) for rise, fall in arrivals), (slope[0], slope[1])) if arrivals else None
