"""What one placed netlist comes to: area, wire, delay and period with wires, routed or not, and energy."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ...synth.cell_models import CellModels
from ...synth.mapped_netlist import MappedNetlist
from ...synth.physical.cell_geometry import CellGeometry
from ...synth.physical.clock_tree import ClockTree, clock_tree
from ...synth.physical.detail_router import ROUTING_VERSION, DetailRouter, qrouter_version
from ...synth.physical.exchange_files import net_names
from ...synth.physical.layout import lay_out
from ...synth.physical.placement import PLACEMENT_VERSION, CellPlacer, coloquinte_version
from ...synth.physical.resizing import RESIZING_VERSION
from ...synth.physical.routing import Routing
from ...synth.recipes import Recipe
from ...synth.static_timing import PathTiming, analyse, loads
from ...synth.wire_loads import WireLoads
from .switching_energy import SwitchingEnergy

__all__ = ["PlacedFigures", "Placing", "RoutedFigures", "RoutingResult", "placed_figures"]

Powered = Callable[[MappedNetlist, WireLoads], tuple[SwitchingEnergy, ...]]
"""Returns the energy of an input on each workload, of a netlist with wires."""


@dataclass(frozen=True)
class Placing:
    """How netlists are placed.

    Attributes:
        geometry: The geometry of the library's cells.
        recipe: How they are mapped.
        seeds: From which each is placed.
        utilisation: The part of the core that is cells.
        aspect: The core's height over its width.
        routed: Whether each placement is routed in detail too.
        resized: Whether sizes are chosen again for the wires of each placement.
        corners: At how many corners of the core the ports begin; it is placed from each seed with each.
    """

    geometry: CellGeometry
    recipe: Recipe
    seeds: tuple[int, ...]
    utilisation: float
    aspect: float
    routed: bool = False
    resized: bool = False
    corners: int = 1

    def parts_of_key(self) -> list[str]:
        """Return what tells this from every other."""
        return [
            f"placed {PLACEMENT_VERSION} {coloquinte_version()}",
            self.geometry.sha256,
            f"{self.recipe.name} {self.recipe.key}",
            f"{self.seeds} {self.utilisation!r} {self.aspect!r}",
            *([f"routed {ROUTING_VERSION} {qrouter_version()}"] if self.routed else ()),
            *([f"resized {RESIZING_VERSION}"] if self.resized else ()),
            *([f"corners {self.corners}"] if self.corners > 1 else ()),
        ]


@dataclass(frozen=True)
class RoutedFigures:
    """What one routed placement came to.

    Attributes:
        wire_length: All of the wire but the clock's, in the geometry's unit of length.
        vias: How many vias there are, those of the cells' pins among them.
        wire_load: The capacitance of the wire, in percent of that of the pins.
        delay: Delay through gates and wires, in ps.
        period: The clock period with wires, in ps.
        detour: How much longer the wire is than the Steiner trees, in percent of these.
        detour_low: How much longer a net's is, which 5 % of the nets stay below.
        detour_median: That of the net in the middle.
        detour_high: That which 5 % of the nets are above.
    """

    wire_length: float
    vias: int
    wire_load: float
    delay: float
    period: float
    detour: float
    detour_low: float
    detour_median: float
    detour_high: float


@dataclass(frozen=True)
class RoutingResult:
    """What routing one placement gave.

    Attributes:
        failed: The names of the nets that failed.
        figures: What it came to; None where a net failed.
    """

    failed: tuple[str, ...]
    figures: RoutedFigures | None


@dataclass(frozen=True)
class PlacedFigures:
    """What one placement came to.

    Attributes:
        core_area: The area of the core, in the unit of the library's areas.
        wire_length: All of the wire but the clock's, in the geometry's unit of length.
        half_perimeter: Half the perimeters of the nets' bounding boxes, in the same.
        wire_load: The capacitance of the wire, in percent of that of the pins.
        delay: Delay through gates and wires, in ps.
        period: The clock period with wires, in ps.
        bare_delay: The delay of the same netlist without wires, in ps.
        bare_period: Its period without wires, in ps.
        clock_buffers: How many buffers the estimate of the clock's tree has.
        clock_wire: Its wire.
        energies: The energy of an input on each workload, with wires and the clock's tree.
        routed: What detailed routing gave, if it was asked for.
    """

    core_area: float
    wire_length: float
    half_perimeter: float
    wire_load: float
    delay: float
    period: float
    bare_delay: float
    bare_period: float
    clock_buffers: int
    clock_wire: float
    energies: tuple[SwitchingEnergy, ...]
    routed: RoutingResult | None = None

    @classmethod
    def of(cls, record: Any) -> "PlacedFigures":
        """Return what a JSON record holds.

        Raises:
            KeyError, TypeError, ValueError: If it does not hold that.
        """
        energies = tuple(SwitchingEnergy(**energy) for energy in record["energies"])
        routed = record.get("routed")
        if routed is not None:
            figures = routed["figures"]
            routed = RoutingResult(
                tuple(routed["failed"]), None if figures is None else RoutedFigures(**figures)
            )
        return cls(**{**record, "energies": energies, "routed": routed})

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self)


def placed_figures(
    netlist: MappedNetlist,
    models: CellModels,
    placing: Placing,
    placer: CellPlacer,
    powered: Powered,
    router: DetailRouter | None = None,
) -> tuple[PlacedFigures, ...]:
    """Place a netlist, and return what comes of each seed, with its ports at each corner.

    Args:
        netlist: A unit's gates.
        models: Its library.
        placing: How it is placed.
        placer: What places it.
        powered: What tells its energy.
        router: What routes it; None for the estimate alone.
    """
    plain = _without_wires(netlist, models)
    found: list[PlacedFigures] = []
    for wires in lay_out(
        netlist,
        models,
        placing.geometry,
        placer,
        seeds=placing.seeds,
        utilisation=placing.utilisation,
        aspect=placing.aspect,
        resize=placing.resized,
        corners=placing.corners,
    ):
        laid_out = wires.connections.netlist
        # Where sizes are chosen again, each placement has a netlist of its own.
        bare, pin_load = plain if laid_out is netlist else _without_wires(laid_out, models)
        added = wires.loads(models)
        timing = analyse(laid_out, models, added)
        tree = clock_tree(wires.connections, wires.placement, models)
        found.append(
            PlacedFigures(
                core_area=wires.placement.core.area,
                wire_length=wires.length,
                half_perimeter=wires.half_perimeter,
                wire_load=100 * wires.capacitance / pin_load if pin_load else 0.0,
                delay=timing.gates,
                period=timing.period,
                bare_delay=bare.gates,
                bare_period=bare.period,
                clock_buffers=tree.buffers,
                clock_wire=tree.length,
                energies=_with_tree(powered(laid_out, added), tree, models),
                routed=None if router is None else _routed(router.route(wires), models, pin_load),
            )
        )
    return tuple(found)


def _without_wires(netlist: MappedNetlist, models: CellModels) -> tuple[PathTiming, float]:
    """Return a netlist's timing, and what its pins load its nets with, in fF; both without wires."""
    pins = [(rise + fall) / 2 for rise, fall in loads(netlist, models).values()]
    return analyse(netlist, models), sum(pins) * models.library.capacitance_unit_ff


def _routed(routing: Routing, models: CellModels, pin_load: float) -> RoutingResult:
    """Return what a routed placement came to."""
    netlist = routing.estimate.connections.netlist
    names = net_names(netlist)
    failed = tuple(names.get(net, f"n{net}") for net in routing.failed)
    if routing.wires is None:
        return RoutingResult(failed, None)
    wires = routing.wires
    timing = analyse(netlist, models, wires.loads(models))
    low, middle, high = np.percentile(routing.ratios or [1.0], (5, 50, 95)).tolist()
    whole = wires.length / routing.estimate.length if routing.estimate.length else 1.0
    return RoutingResult(
        failed,
        RoutedFigures(
            wire_length=wires.length,
            vias=routing.vias,
            wire_load=100 * wires.capacitance / pin_load if pin_load else 0.0,
            delay=timing.gates,
            period=timing.period,
            detour=100 * (whole - 1),
            detour_low=100 * (low - 1),
            detour_median=100 * (middle - 1),
            detour_high=100 * (high - 1),
        ),
    )


def _with_tree(
    energies: Sequence[SwitchingEnergy], tree: ClockTree, models: CellModels
) -> tuple[SwitchingEnergy, ...]:
    """Add what the clock's tree takes in each cycle."""
    # As in `Simulation.energy`: of a library without a voltage it stays in the library's own unit.
    unit = 1.0 if models.voltage is None else models.library.capacitance_unit_ff
    more = tree.energy * unit
    return tuple(
        replace(one, total=one.total + more, settled=one.settled + more, clock=one.clock + more)
        for one in energies
    )
