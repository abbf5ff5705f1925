"""What wires add to a netlist's loads and delays, as static timing takes it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .liberty import Library
from .mapped_netlist import Net

__all__ = ["WireLoads", "slope_factor"]

_LOW_PCT: Final = 20.0
_HIGH_PCT: Final = 80.0


@dataclass(frozen=True)
class WireLoads:
    """What wires add, in the library's units.

    Attributes:
        capacitance: Of each net, the capacitance of its wire.
        delays: Of each instance of the netlist, by pin, how much later an edge comes there than it leaves the
            net's driver.
        port_delays: The same for each bit of an output port.
        slope_factor: What an edge's slope at a pin grows by: the slope there is the root of the sum of the
            squares of the slope at the driver, and of the delay times this (PERI: C. Kashyap et al., "Closed
            form expressions for extending step delay and slew metrics to ramp inputs", ISPD 2003).
    """

    capacitance: Mapping[Net, float]
    delays: Sequence[Mapping[str, float]]
    port_delays: Mapping[tuple[str, int], float]
    slope_factor: float


def slope_factor(library: Library) -> float:
    """Return how long an RC's step response takes between the library's slope thresholds, in its delay."""
    low, high = (
        sum(
            float(library.attributes.get(f"slew_{end}_threshold_pct_{edge}", default))
            for edge in ("rise", "fall")
        )
        / 2
        for end, default in (("lower", _LOW_PCT), ("upper", _HIGH_PCT))
    )
    derate = float(library.attributes.get("slew_derate_from_library", 1.0))
    return math.log((100 - low) / (100 - high)) / derate
