"""What a unit's placed netlists come to where they are routed in detail, beside the estimate of their wires.

If a net of a placement could not be routed, its wire is in no length and no delay, and all figures of that
placement would be too small. To leave it out would favour placements that are easy to route. So a unit has
figures only if every net of every placement was routed; otherwise the nets that failed are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...synth.metric import Metric
from ...synth.physical.cell_geometry import CellGeometry
from ..statistics import Estimate, Summary
from .placed_figures import PlacedFigures

__all__ = ["DETOURS", "ROUTED_DELTAS", "ROUTED_FIGURES", "RoutedCost", "routed_cost"]

DETOURS: Final = ("detour", "detour_low", "detour_median", "detour_high")
"""How much longer routed wires are than their Steiner trees: all of them, and the nets' 5 %, middle, 95 %."""

ROUTED_FIGURES: Final = ("wire_length", "vias", "wire_load", "delay", "period", *DETOURS)
"""The names of `RoutedCost.figures`."""

ROUTED_DELTAS: Final = ("wire_length", "vias", "delay", "period")
"""The figures that are compared, by their names in `RoutedCost.figures`."""


@dataclass(frozen=True)
class RoutedCost:
    """What routing gave.

    Attributes:
        qrouter: The router's version.
        geometry: The geometry of the cells, with the layers that were used.
        failed: The names of the nets that failed, of each placement.
        figures: Each of `ROUTED_FIGURES` of each placement, in the order of `WiredCost.figures`; None where a
            net failed.
        deltas: Each of `ROUTED_DELTAS` less the base's, in percent of that, netlist by netlist, all of gates
            that are buffered and sized; None without a base, or where a net of either failed.
    """

    qrouter: str
    geometry: CellGeometry
    failed: tuple[tuple[str, ...], ...]
    figures: Mapping[str, Summary] | None
    deltas: Mapping[str, Estimate] | None = None

    @property
    def verdict(self) -> str:
        """What is said of it in a sentence."""
        broken = [names for names in self.failed if names]
        if not broken:
            return f"all nets of all {len(self.failed)} placements were routed"
        named = ", ".join(dict.fromkeys(name for names in broken for name in names))
        return (
            f"no figures: {sum(map(len, broken))} nets of {len(broken)} of {len(self.failed)} placements "
            f"could not be routed: {named}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "qrouter": self.qrouter,
            "layers": [
                {
                    "name": layer.wire.name,
                    "direction": layer.direction,
                    "capacitance": layer.wire.capacitance,
                    "resistance": layer.wire.resistance,
                    "via_resistance": layer.via.resistance,
                }
                for layer in self.geometry.stack
            ],
            "failed": [list(names) for names in self.failed],
            "verdict": self.verdict,
            "figures": None
            if self.figures is None
            else {name: summary.to_dict() for name, summary in self.figures.items()},
            "deltas": {name: delta.to_dict() for name, delta in (self.deltas or {}).items()},
        }


def routed_cost(
    placed: Sequence[PlacedFigures],
    metrics: Mapping[str, tuple[Metric, float]],
    geometry: CellGeometry,
    qrouter: str,
) -> RoutedCost:
    """Return what routing gave.

    Args:
        placed: The placements.
        metrics: What each figure that estimates have too is, and what to multiply it with.
        geometry: The geometry of the cells.
        qrouter: The router's version.
    """
    several = [one.routed for one in placed]
    known = dict(metrics) | {"vias": (Metric("vias", "", "lower", 0), 1.0)}
    known |= {name: (Metric(name.replace("_", " "), "%", "lower", 1), 1.0) for name in DETOURS}
    routed = [one.figures for one in several if one is not None and one.figures is not None]
    figures = {
        name: Summary(known[name][0], tuple(known[name][1] * getattr(one, name) for one in routed))
        for name in ROUTED_FIGURES
        if len(routed) == len(placed)
    }
    failed = tuple(one.failed if one is not None else () for one in several)
    return RoutedCost(qrouter, geometry, failed, figures or None)
