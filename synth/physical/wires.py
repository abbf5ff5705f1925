"""The wires of a placed netlist: Steiner trees, their capacitance, and Elmore's delay to each pin.

Level pieces are on one layer and upright ones on another: see `cell_geometry`. A piece is a resistance with
half of its capacitance at either end. Elmore's delay from the driver to a pin is the sum, over the pieces
between them, of the resistance times all capacitance behind it (W. Elmore, 1948). The driver sees all of a
net's capacitance at once: wires of this length have a thousandth of a gate's resistance. Vias, and wires
beside each other, are not counted.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..cell_models import CellModels
from ..mapped_netlist import Net
from ..wire_loads import WireLoads, slope_factor
from .cell_geometry import CellGeometry
from .placement import Connections, Placement
from .steiner import SteinerTree, half_perimeters, steiner_trees

__all__ = ["NetWire", "Wires", "steiner_wires"]

# An ohm times a fF is a femtosecond.
_PS_PER_OHM_FF = 1e-3


@dataclass(frozen=True)
class NetWire:
    """The wire of one net, as resistances between points with capacitances, in ohm and fF.

    Attributes:
        tree: The tree; its first points are the pins, of which the first is the driver.
        pins: How many of its points are pins.
        capacitances: At each point, that of the wire alone.
        resistances: Of each edge of the tree.
    """

    tree: SteinerTree
    pins: int
    capacitances: tuple[float, ...]
    resistances: tuple[float, ...]

    @property
    def capacitance(self) -> float:
        """All of the wire's, in fF."""
        return sum(self.capacitances)

    def delays(self, loads: list[float]) -> list[float]:
        """Return Elmore's delay from the driver to each pin in ps, by the pins' own capacitances in fF."""
        count = len(self.tree.points)
        around: list[list[tuple[int, float]]] = [[] for _ in range(count)]
        for (a, b), ohm in zip(self.tree.edges, self.resistances, strict=True):
            around[a].append((b, ohm))
            around[b].append((a, ohm))
        behind = list(self.capacitances)
        for pin, load in enumerate(loads):
            behind[pin] += load
        came = {0: (0, 0.0)}
        order = [0]
        for at in order:
            for following, ohm in around[at]:
                if following not in came:
                    came[following] = at, ohm
                    order.append(following)
        for at in reversed(order[1:]):
            behind[came[at][0]] += behind[at]
        late = [0.0] * count
        for at in order[1:]:
            source, ohm = came[at]
            late[at] = late[source] + ohm * behind[at] * _PS_PER_OHM_FF
        return late[: self.pins]


def _net_wire(tree: SteinerTree, pins: int, geometry: CellGeometry) -> NetWire:
    capacitances = [0.0] * len(tree.points)
    resistances: list[float] = []
    level, upright = geometry.level, geometry.upright
    for a, b in tree.edges:
        across, up = (abs(tree.points[a][axis] - tree.points[b][axis]) / geometry.microns for axis in (0, 1))
        half = (across * level.capacitance + up * upright.capacitance) / 2
        capacitances[a] += half
        capacitances[b] += half
        resistances.append(across * level.resistance + up * upright.resistance)
    return NetWire(tree, pins, tuple(capacitances), tuple(resistances))


@dataclass(frozen=True)
class Wires:
    """The wires of a placed netlist.

    Attributes:
        connections: What the nets connect.
        placement: Where the cells are.
        nets: The wire of each net.
        half_perimeter: Half the perimeters of all nets' bounding boxes, in microns: the least there could be.
    """

    connections: Connections
    placement: Placement
    nets: Mapping[Net, NetWire]
    half_perimeter: float

    @cached_property
    def length(self) -> float:
        """All of the wire, in microns."""
        total = sum(wire.tree.length for wire in self.nets.values())
        return total / self.placement.core.geometry.microns

    @cached_property
    def capacitance(self) -> float:
        """All of the wire's capacitance, in fF."""
        return sum(wire.capacitance for wire in self.nets.values())

    def loads(self, models: CellModels) -> WireLoads:
        """Return what the wires add to loads and delays."""
        library = models.library
        instances = self.connections.netlist.instances
        delays: list[dict[str, float]] = [{} for _ in instances]
        port_delays: dict[tuple[str, int], float] = {}
        unit = library.capacitance_unit_ff
        for net, pins in self.pins():
            ends: list[float] = []
            for cell, name, _ in pins:
                if cell < 0:
                    ends.append(library.output_load_ff)
                else:
                    # Of an output pin there is none.
                    ends.append(unit * sum(models[instances[cell].cell].capacitance.get(name, (0.0,))) / 2)
            # A driver that is a port has no load of its own.
            late = self.nets[net].delays([0.0, *ends[1:]])
            for (cell, name, bit), delay in itertools.islice(zip(pins, late, strict=True), 1, None):
                if cell < 0:
                    port_delays[name, bit] = delay / library.time_unit_ps
                else:
                    delays[cell][name] = delay / library.time_unit_ps
        return WireLoads(
            {net: wire.capacitance / unit for net, wire in self.nets.items()},
            delays,
            port_delays,
            slope_factor(library),
        )

    def pins(self) -> Iterator[tuple[Net, list[tuple[int, str, int]]]]:
        """Yield the pins of each net: instance, name, bit."""
        cells, names, bits = self.connections.cells.tolist(), self.connections.names, self.connections.bits
        bounds = self.connections.starts.tolist()
        for net, (begin, end) in zip(self.connections.nets, itertools.pairwise(bounds), strict=True):
            yield net, list(zip(cells[begin:end], names[begin:end], bits[begin:end], strict=True))


def steiner_wires(connections: Connections, placement: Placement) -> Wires:
    """Return the wires of a placed netlist.

    Raises:
        RuntimeError: If a tree is shorter than can be, which no tree is.
    """
    geometry = placement.core.geometry
    places, starts = placement.pins(connections), connections.starts
    if not connections.nets:
        return Wires(connections, placement, {}, 0.0)
    trees = steiner_trees(places, starts)
    least = half_perimeters(places, starts).tolist()
    if any(tree.length < bound for tree, bound in zip(trees, least, strict=True)):
        raise RuntimeError(
            "a Steiner tree must be as long as half of its bounding box's perimeter, not shorter"
        )
    counts = (starts[1:] - starts[:-1]).tolist()
    nets = {
        net: _net_wire(tree, count, geometry)
        for net, tree, count in zip(connections.nets, trees, counts, strict=True)
    }
    return Wires(connections, placement, nets, sum(least) / geometry.microns)
