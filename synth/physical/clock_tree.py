"""An estimate of a clock's tree: buffers, their area, the wire, and the capacitance that moves every cycle.

The flip-flops of a placed netlist are halved, across the longer side of what they cover, until no group has
more than `CLOCK_FANOUT`. A buffer, the library's driving cell, stands in the middle of each group; the
buffers are grouped in the same way, up to the one that the clock's port drives. The buffers are not placed:
the core has room for them, but they stand on other cells. The skew and the delay of the tree do not count in
a period: every flip-flop sees the same clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..cell_models import CellModels
from .placement import Connections, Placement
from .steiner import Integers, steiner_trees

__all__ = ["CLOCK_FANOUT", "ClockTree", "clock_buffers", "clock_tree"]

CLOCK_FANOUT: Final = 16
"""How many pins a buffer of the clock's tree drives at most."""


@dataclass(frozen=True)
class ClockTree:
    """An estimate of a clock's tree.

    Attributes:
        flip_flops: How many clock pins there are.
        buffers: How many buffers.
        levels: How many of them are between the port and a flip-flop.
        length: All of its wire, in microns.
        capacitance: That of its wire and of the buffers' inputs, without the flip-flops', in fF.
        energy: What a cycle takes in the tree, without the flip-flops: in the library's unit of capacitance
            times the square of its voltage, twice half of it.
    """

    flip_flops: int
    buffers: int
    levels: int
    length: float
    capacitance: float
    energy: float


def _group_sizes(count: int) -> list[int]:
    """Return how large the groups are that halving gives."""
    if count <= CLOCK_FANOUT:
        return [count]
    half = (count + 1) // 2
    return [*_group_sizes(half), *_group_sizes(count - half)]


def clock_buffers(flip_flops: int) -> int:
    """Return how many buffers a tree for so many flip-flops has; it depends on their number alone."""
    total, count = 0, flip_flops
    while count:
        groups = len(_group_sizes(count))
        total += groups
        if groups == 1:
            break
        count = groups
    return total


def _groups(places: Integers, members: Integers) -> list[Integers]:
    if len(members) <= CLOCK_FANOUT:
        return [members]
    extent = np.ptp(places[members], axis=0)
    axis = int(extent[1] > extent[0])
    order = members[np.lexsort((members, places[members, 1 - axis], places[members, axis]))]
    half = (len(order) + 1) // 2
    return [*_groups(places, order[:half]), *_groups(places, order[half:])]


def clock_tree(connections: Connections, placement: Placement, models: CellModels) -> ClockTree:
    """Return the estimate for a placed netlist; one of nothing where there is no clock."""
    instances = connections.netlist.instances
    geometry = placement.core.geometry
    pins: list[tuple[int, int]] = []
    for index, instance in enumerate(instances):
        clock = models[instance.cell].clock
        if clock is not None:
            x, y = geometry.shape(instance.cell).pins[clock]
            left, low = placement.corners[index].tolist()
            pins.append((left + x, low + (geometry.row_height - y if placement.rows[index] % 2 else y)))
    if not pins:
        return ClockTree(0, 0, 0, 0.0, 0.0, 0.0)
    library = models.library
    buffer = models[library.driving_cell.name]
    (into,), (out,) = buffer.capacitance, buffer.functions
    own = sum(buffer.capacitance[into]) / 2
    flip_flop = sum(
        sum(model.capacitance[model.clock]) / 2
        for model in (models[instance.cell] for instance in instances)
        if model.clock is not None
    ) / len(pins)
    wire = (geometry.level.capacitance + geometry.upright.capacitance) / 2 / library.capacitance_unit_ff
    half_square = (models.voltage or 1.0) ** 2 / 2
    inner = buffer.energy.get(out)
    ports = [
        placement.core.pins[port, bit]
        for port, nets in connections.netlist.inputs.items()
        for bit, net in enumerate(nets)
        if net in connections.clocks
    ]
    length, buffers, levels, energy, capacitance = 0.0, 0, 0, 0.0, 0.0
    below = np.array(pins)
    leaf = True
    while True:
        groups = _groups(below, np.arange(len(below)))
        middles = np.array([np.round(below[group].mean(axis=0)) for group in groups], dtype=np.int64)
        for middle, group in zip(middles, groups, strict=True):
            microns = _length(np.vstack((middle, below[group]))) / geometry.microns
            load = microns * wire + len(group) * (flip_flop if leaf else own)
            length += microns
            # The flip-flops' own pins are counted with them.
            counted = load - (len(group) * flip_flop if leaf else 0.0)
            capacitance += counted
            energy += 2 * half_square * counted
            if inner is not None:
                energy += inner(0, 0.0, load) + inner(1, 0.0, load)
        buffers += len(groups)
        levels += 1
        below, leaf = middles, False
        if len(groups) == 1:
            break
    for port in ports:
        microns = _length(np.array([[port.x, port.y], below[0].tolist()])) / geometry.microns
        length += microns
        capacitance += microns * wire + own
        energy += 2 * half_square * (microns * wire + own)
    return ClockTree(len(pins), buffers, levels, length, capacitance * library.capacitance_unit_ff, energy)


def _length(places: Integers | Sequence[Sequence[int]]) -> int:
    points = np.asarray(places, dtype=np.int64)
    (tree,) = steiner_trees(points, np.array([0, len(points)]))
    return tree.length
