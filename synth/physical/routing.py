"""Routed wires: the grid that a router works on, and what it gives, checked and as resistors and capacitors.

Every pin of a net gets a point of the grid of its own, the nearest that is free, on the lowest layer: there a
via leads down to a cell's pin, and a port's wire leaves the core. A router's word is not taken for what it
did. A net is routed if its wires and vias join all of its points in one piece; else it failed. Two nets on
one point are an error. So is a net that is shorter than the shortest tree of its points can be: a routed net
is as long as its Steiner tree at least, but for what its pins were moved.
"""

import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from ..mapped_netlist import Net
from ..yosys import SynthesisError
from .core_area import Core
from .steiner import Integers, SteinerTree, least_lengths
from .wires import NetWire, Wires

__all__ = ["MARGIN", "Route", "Routing", "RoutingGrid", "routed"]

MARGIN: Final = 6
"""How many tracks there are around a core on each side."""

Point = tuple[int, int, int]
"""Layer, column and row."""


@dataclass(frozen=True)
class RoutingGrid:
    """The tracks of a core and of a margin around it.

    Attributes:
        core: The core. The files of its library must have two layers for a router.
    """

    core: Core

    @cached_property
    def pitches(self) -> tuple[int, int]:
        """How far apart its columns and its rows are, in database units."""
        lowest = self.core.geometry.stack[:2]
        across, up = (
            next(layer.wire.pitch for layer in lowest if layer.direction == direction)
            for direction in ("vertical", "horizontal")
        )
        return across, up

    @cached_property
    def shape(self) -> tuple[int, int]:
        """How many columns and rows it has."""
        (across, up), core = self.pitches, self.core
        return -(-core.width // across) + 2 * MARGIN, -(-core.height // up) + 2 * MARGIN

    def places(self, points: Integers) -> Integers:
        """Return where points are in the core, in database units: shape (points, 2) of columns and rows."""
        pitches = np.array(self.pitches)
        return pitches // 2 + (points - MARGIN) * pitches

    def terminals(self, pins: Integers) -> Integers:
        """Return a point for each pin, the nearest that no earlier one has.

        Args:
            pins: Where they are in the core: shape (pins, 2).

        Raises:
            SynthesisError: If there are more pins than points.
        """
        columns, rows = self.shape
        if len(pins) > columns * rows:
            raise SynthesisError(f"pins must be at most {columns * rows} on this grid, not {len(pins)}")
        nearest = np.clip(pins // np.array(self.pitches) + MARGIN, 0, (columns - 1, rows - 1))
        # In the order of the pins.
        taken: dict[tuple[int, int], None] = {}
        for column, row in nearest.tolist():
            taken[self._free(column, row, taken)] = None
        return np.array(list(taken), dtype=np.int64).reshape(-1, 2)

    def _free(self, column: int, row: int, taken: Container[tuple[int, int]]) -> tuple[int, int]:
        """Return the nearest point that is not taken; there must be one."""
        columns, rows = self.shape
        distance = 0
        while True:
            for across in range(-distance, distance + 1):
                for up in (abs(across) - distance, distance - abs(across)):
                    point = column + across, row + up
                    if 0 <= point[0] < columns and 0 <= point[1] < rows and point not in taken:
                        return point
            distance += 1


@dataclass(frozen=True)
class Route:
    """What a router gave for a net.

    Attributes:
        wires: Straight pieces: the layer, and the column and row of either end.
        vias: Vias: the lower layer, the column and the row.
    """

    wires: tuple[tuple[int, tuple[int, int], tuple[int, int]], ...]
    vias: tuple[Point, ...]


@dataclass(frozen=True)
class Routing:
    """A routed netlist.

    Attributes:
        estimate: Its Steiner trees.
        nets: The wire of each net that was routed.
        failed: The nets that were not.
        vias: How many vias there are, those of the cells' pins among them.
    """

    estimate: Wires
    nets: Mapping[Net, NetWire]
    failed: tuple[Net, ...]
    vias: int

    @property
    def wires(self) -> Wires | None:
        """The wires; None if a net failed, as without its wire load and delays would be too small."""
        if self.failed:
            return None
        whole = self.estimate
        return Wires(whole.connections, whole.placement, self.nets, whole.half_perimeter)

    @property
    def ratios(self) -> list[float]:
        """The routed length of each net that was routed, over that of its Steiner tree where there is one."""
        pairs = ((wire.tree.length, self.estimate.nets[net].tree.length) for net, wire in self.nets.items())
        return [length / least for length, least in pairs if least]


def routed(estimate: Wires, grid: RoutingGrid, terminals: Integers, routes: Mapping[Net, Route]) -> Routing:
    """Return what a router's result comes to.

    Args:
        estimate: What was routed.
        grid: What it was routed on.
        terminals: The point of each pin of the connections.
        routes: What the router gave.

    Raises:
        SynthesisError: If the result is none that can be: two nets meet, or one is too short.
    """
    connections = estimate.connections
    layers = len(grid.core.geometry.stack)
    owner = np.full((layers, *grid.shape), -1, dtype=np.int64)
    bounds = connections.starts.tolist()
    spans = list(zip(connections.nets, itertools.pairwise(bounds), strict=True))
    for net, (begin, end) in spans:
        owner[0, terminals[begin:end, 0], terminals[begin:end, 1]] = net
    for net, route in routes.items():
        _claim(owner, net, route)
    least = least_lengths(grid.places(terminals), connections.starts) if spans else []
    nets: dict[Net, NetWire] = {}
    failed: list[Net] = []
    vias = 0
    for (net, (begin, end)), bound in zip(spans, least, strict=True):
        route = routes.get(net, Route((), ()))
        ends = [(0, column, row) for column, row in terminals[begin:end].tolist()]
        wire = _wire(grid, ends, connections.cells[begin:end].tolist(), route)
        if wire is None:
            failed.append(net)
            continue
        if wire.tree.length < bound:
            raise SynthesisError(
                f"routed net {net} must be at least as long as a shortest tree of its pins, {bound} database "
                f"units, not {wire.tree.length}"
            )
        nets[net] = wire
        vias += len(set(route.vias)) + int((connections.cells[begin:end] >= 0).sum())
    return Routing(estimate, nets, tuple(failed), vias)


def _claim(owner: Integers, net: Net, route: Route) -> None:
    """Write a net onto the points that it covers, of which none may be another's."""
    covered = [*route.wires]
    covered += [(layer, (x, y), (x, y)) for low, x, y in route.vias for layer in (low, low + 1)]
    for layer, (a, b), (c, d) in covered:
        points = owner[layer, min(a, c) : max(a, c) + 1, min(b, d) : max(b, d) + 1]
        others = points[(points != -1) & (points != net)]
        if others.size:
            raise SynthesisError(f"routed nets must not touch, as {net} and {int(others.flat[0])} do")
        points[...] = net


def _pieces(ends: Sequence[Point], route: Route) -> list[tuple[Point, Point]]:
    """Return the wires cut at every point where something begins, ends or branches off."""
    corners = set(ends)
    corners |= {(layer, *end) for layer, a, b in route.wires for end in (a, b)}
    corners |= {(layer, x, y) for low, x, y in route.vias for layer in (low, low + 1)}
    level: dict[tuple[int, int], list[int]] = {}
    upright: dict[tuple[int, int], list[int]] = {}
    for layer, x, y in sorted(corners):
        level.setdefault((layer, y), []).append(x)
        upright.setdefault((layer, x), []).append(y)
    pieces: dict[tuple[Point, Point], None] = {}
    for layer, (x, y), (right, high) in route.wires:
        if y == high:
            on = [(layer, at, y) for at in level[layer, y] if min(x, right) <= at <= max(x, right)]
        else:
            on = [(layer, x, at) for at in upright[layer, x] if min(y, high) <= at <= max(y, high)]
        pieces |= dict.fromkeys(itertools.pairwise(on))
    return list(pieces)


def _wire(grid: RoutingGrid, ends: Sequence[Point], cells: Sequence[int], route: Route) -> NetWire | None:
    """Return a net's wire; None if it is not in one piece with all of its ends.

    The first points of its tree are the pins, then come the corners. A piece that closes a loop ends beside
    the corner that it leads to, so that nothing of it is lost.
    """
    around: dict[Point, list[Point]] = {end: [] for end in ends}
    vias = [((low, x, y), (low + 1, x, y)) for low, x, y in dict.fromkeys(route.vias)]
    for a, b in (*_pieces(ends, route), *vias):
        around.setdefault(a, []).append(b)
        around.setdefault(b, []).append(a)
    points = [*ends, ends[0]]
    numbers = {ends[0]: len(ends)}
    edges: list[tuple[int, int]] = []
    done: set[frozenset[Point]] = set()
    waiting = [ends[0]]
    for at in waiting:
        for following in around[at]:
            if (piece := frozenset((at, following))) in done:
                continue
            done.add(piece)
            edges.append((numbers[at], len(points)))
            if following not in numbers:
                numbers[following] = len(points)
                waiting.append(following)
            points.append(following)
    if numbers.keys() < around.keys():
        return None
    edges = [(pin, numbers[end]) for pin, end in enumerate(ends)] + edges
    return _with_figures(grid, points, edges, cells)


def _with_figures(
    grid: RoutingGrid, points: Sequence[Point], edges: Sequence[tuple[int, int]], cells: Sequence[int]
) -> NetWire:
    """Return a wire with its capacitances and resistances; its first edges are those of its pins."""
    geometry = grid.core.geometry
    stack = geometry.stack
    places = grid.places(np.array([point[1:] for point in points])).tolist()
    capacitances = [0.0] * len(points)
    resistances: list[float] = []
    for number, (a, b) in enumerate(edges):
        low, high = sorted((points[a][0], points[b][0]))
        if number < len(cells):
            resistances.append(stack[0].via.resistance if cells[number] >= 0 else 0.0)
        elif low < high:
            resistances.append(stack[high].via.resistance)
        else:
            layer = stack[low].wire
            microns = sum(abs(places[a][axis] - places[b][axis]) for axis in (0, 1)) / geometry.microns
            resistances.append(microns * layer.resistance)
            for end in (a, b):
                capacitances[end] += microns * layer.capacitance / 2
    tree = SteinerTree(tuple((x, y) for x, y in places), tuple(edges))
    return NetWire(tree, len(cells), tuple(capacitances), tuple(resistances))
