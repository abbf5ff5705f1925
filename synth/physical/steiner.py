"""Rectilinear Steiner trees: the shortest wiring of the pins of a net, in level and upright pieces.

Exact for nets of up to `EXACT_PINS` different places. By Hanan's theorem a shortest tree bends only where a
level line and an upright line through pins cross; on these points it is found by the recursion of S. Dreyfus
and R. Wagner ("The Steiner problem in graphs", Networks 1, 1971), for all nets of a size at once. Larger
nets, which mapped netlists rarely have, begin with a shortest tree of straight connections. Then, as long as
that saves wire, two connections that meet at a pin are led together up to the middle of the three.

No package was found that does this: those on PyPI are for graphs, not for the plane.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["EXACT_PINS", "SteinerTree", "half_perimeters", "least_lengths", "steiner_trees"]

EXACT_PINS: Final = 8
"""Up to so many different places the tree is a shortest one."""

# How many nets of a size are worked on at once: more take more memory than a processor's cache has.
_BATCH: Final = 64

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SteinerTree:
    """A tree that connects the pins of a net.

    Attributes:
        points: Its points: the pins in their order, then the others.
        edges: Pairs of points, each connected by a level and an upright piece; one less than there are
            points.
    """

    points: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, int], ...]

    @cached_property
    def length(self) -> int:
        """The wire that it takes."""
        points = self.points
        return sum(abs(points[a][0] - points[b][0]) + abs(points[a][1] - points[b][1]) for a, b in self.edges)


def half_perimeters(places: Integers, starts: Integers) -> Integers:
    """Return half the perimeter of each net's bounding box: no tree is shorter.

    Args:
        places: Where pins are: shape (pins, 2).
        starts: Where the pins of each net begin, and where the last ones end.
    """
    begins = starts[:-1]
    extent = np.maximum.reduceat(places, begins) - np.minimum.reduceat(places, begins)
    return extent.sum(axis=1)


def least_lengths(places: Integers, starts: Integers) -> list[int]:
    """Return what no tree of each net's pins is shorter than.

    Of nets with up to `EXACT_PINS` different places that is the length of a shortest tree. Of larger ones it
    is half the perimeter of their bounding box, or two thirds of their shortest tree of straight connections
    (F. Hwang, "On Steiner minimal trees with rectilinear distance", SIAM J. Appl. Math. 30, 1976).

    Args:
        places: Where pins are: shape (pins, 2).
        starts: Where the pins of each net begin, and where the last ones end; a net has at least one.
    """
    trees = steiner_trees(places, starts)
    found: list[int] = []
    for tree, box, (begin, end) in zip(
        trees, half_perimeters(places, starts).tolist(), itertools.pairwise(starts.tolist()), strict=True
    ):
        points = list(dict.fromkeys(map(tuple, places[begin:end].tolist())))
        if len(points) <= EXACT_PINS:
            found.append(tree.length)
        else:
            straight = SteinerTree(tuple(points), tuple(_spanning(points))).length
            found.append(max(box, -(-2 * straight // 3)))
    return found


def steiner_trees(places: Integers, starts: Integers) -> list[SteinerTree]:
    """Return a tree for each net.

    Args:
        places: Where pins are: shape (pins, 2).
        starts: Where the pins of each net begin, and where the last ones end; a net has at least one.
    """
    bounds = starts.tolist()
    pins = [tuple(map(tuple, places[begin:end].tolist())) for begin, end in itertools.pairwise(bounds)]
    # Pins on the same place are connected already.
    distinct = [list(dict.fromkeys(one)) for one in pins]
    found: dict[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
    by_size: dict[int, list[int]] = {}
    for net, points in enumerate(distinct):
        by_size.setdefault(len(points), []).append(net)
    for size, nets in by_size.items():
        if size > EXACT_PINS:
            for net in nets:
                found[net] = _led_together(distinct[net])
        elif size <= 3:
            for net in nets:
                found[net] = _by_median(distinct[net])
        else:
            for begin in range(0, len(nets), _BATCH):
                batch = nets[begin : begin + _BATCH]
                found |= zip(batch, _shortest([distinct[net] for net in batch]), strict=True)
    return [_with_all_pins(pins[net], *found[net]) for net in range(len(pins))]


def _with_all_pins(
    pins: Sequence[tuple[int, int]], points: list[tuple[int, int]], edges: list[tuple[int, int]]
) -> SteinerTree:
    """Return the tree of all pins from that of their different places, which it begins with."""
    if len(set(pins)) == len(pins):
        return SteinerTree(tuple(points), tuple(edges))
    first: dict[tuple[int, int], int] = {}
    for index, pin in enumerate(pins):
        first.setdefault(pin, index)
    others = [point for point in points if point not in first]
    numbers = first | {point: len(pins) + place for place, point in enumerate(others)}
    joined = [(numbers[points[a]], numbers[points[b]]) for a, b in edges]
    joined += [(first[pin], index) for index, pin in enumerate(pins) if first[pin] != index]
    return SteinerTree((*pins, *others), tuple(joined))


def _median(points: Sequence[tuple[int, int]]) -> tuple[int, int]:
    (a, d), (b, e), (c, f) = points
    return sorted((a, b, c))[1], sorted((d, e, f))[1]


def _by_median(points: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The tree of up to three points: three meet in their middle."""
    if len(points) < 3:
        return points, [(0, 1)][: len(points) - 1]
    middle = _median(points)
    if middle in points:
        centre = points.index(middle)
        return points, [(centre, other) for other in range(3) if other != centre]
    return [*points, middle], [(3, 0), (3, 1), (3, 2)]


def _shortest(
    nets: Sequence[list[tuple[int, int]]],
) -> Iterator[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Yield the shortest tree of each net; all have as many points.

    For each set of the points but the last, and each point of the grid, the recursion has the least wire that
    connects the set with that point: either two parts of the set meet there, or it is reached from a point
    where they do.
    """
    pins = np.array(nets)
    count, size, _ = pins.shape
    grid = np.stack(
        [
            np.repeat(pins[:, :, 0], size, axis=1),
            np.tile(pins[:, :, 1], (1, size)),
        ],
        axis=2,
    )
    distance = np.abs(grid[:, :, None, :] - grid[:, None, :, :]).sum(axis=3)
    # Pin k is the crossing of its own lines.
    own = np.arange(size) * (size + 1)
    every = (1 << (size - 1)) - 1
    cost: dict[int, Integers] = {}
    split: dict[int, Integers] = {}
    came: dict[int, Integers] = {}
    for subset in range(1, every + 1):
        if not subset & (subset - 1):
            cost[subset] = distance[:, own[subset.bit_length() - 1], :]
            continue
        # Each division once: the part with the lowest pin is the first.
        lowest = subset & -subset
        rest = subset ^ lowest
        parts = []
        part = rest
        while part:
            part = (part - 1) & rest
            parts.append(lowest | part)
        sums = np.stack([cost[one] + cost[subset ^ one] for one in parts])
        split[subset] = np.array(parts)[sums.argmin(axis=0)]
        reached = sums.min(axis=0)[:, :, None] + distance
        came[subset] = reached.argmin(axis=1)
        cost[subset] = reached.min(axis=1)
    for net in range(count):
        yield _traced(net, nets[net], grid[net], own, split, came, every)


def _traced(
    net: int,
    pins: list[tuple[int, int]],
    grid: Integers,
    own: Integers,
    split: dict[int, Integers],
    came: dict[int, Integers],
    every: int,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the tree that led to the least wire."""
    points = list(pins)
    numbers = {pin: index for index, pin in enumerate(pins)}
    edges: dict[tuple[int, int], None] = {}

    def number(place: int) -> int:
        x, y = grid[place].tolist()
        if (x, y) not in numbers:
            numbers[x, y] = len(points)
            points.append((x, y))
        return numbers[x, y]

    waiting = [(every, int(own[len(pins) - 1]))]
    while waiting:
        subset, place = waiting.pop()
        if not subset & (subset - 1):
            met = int(own[subset.bit_length() - 1])
        else:
            met = int(came[subset][net, place])
            part = int(split[subset][net, met])
            waiting += [(part, met), (subset ^ part, met)]
        a, b = number(met), number(place)
        if a != b:
            edges[min(a, b), max(a, b)] = None
    return _pruned(points, list(edges), len(pins))


def _pruned(
    points: list[tuple[int, int]], edges: list[tuple[int, int]], pins: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return a tree without points, behind the pins, that lie on the way between two others or on none."""
    around: dict[int, set[int]] = {index: set() for index in range(len(points))}
    for a, b in edges:
        around[a].add(b)
        around[b].add(a)
    for index in range(pins, len(points)):
        if len(around[index]) == 2:
            a, b = around[index]
            near = abs(points[a][0] - points[b][0]) + abs(points[a][1] - points[b][1])
            via = sum(
                abs(points[index][0] - points[one][0]) + abs(points[index][1] - points[one][1])
                for one in (a, b)
            )
            if near == via and b not in around[a]:
                around[a] = around[a] - {index} | {b}
                around[b] = around[b] - {index} | {a}
                around[index] = set()
    kept = [index for index in range(len(points)) if index < pins or around[index]]
    numbers = {index: place for place, index in enumerate(kept)}
    joined = [(numbers[a], numbers[b]) for a in kept for b in sorted(around[a]) if a < b]
    return [points[index] for index in kept], joined


def _spanning(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the shortest tree of straight connections (Prim)."""
    places = np.array(points)
    least = np.abs(places - places[0]).sum(axis=1)
    parent = np.zeros(len(points), dtype=np.int64)
    outside = np.ones(len(points), dtype=bool)
    outside[0] = False
    edges: list[tuple[int, int]] = []
    for _ in range(len(points) - 1):
        near = int(np.where(outside, least, np.iinfo(np.int64).max).argmin())
        edges.append((int(parent[near]), near))
        outside[near] = False
        away = np.abs(places - places[near]).sum(axis=1)
        closer = outside & (away < least)
        least[closer] = away[closer]
        parent[closer] = near
    return edges


def _led_together(pins: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return a short tree of many points."""
    points = list(pins)
    around: list[set[int]] = [set() for _ in points]
    for a, b in _spanning(points):
        around[a].add(b)
        around[b].add(a)

    def saved(at: int, one: int, two: int) -> tuple[int, tuple[int, int]]:
        """What is saved where two connections of a point are led together up to the middle."""
        middle = _median((points[at], points[one], points[two]))
        return abs(middle[0] - points[at][0]) + abs(middle[1] - points[at][1]), middle

    def best_at(at: int) -> tuple[int, int, int, tuple[int, int]]:
        return max(
            ((*saved(at, one, two)[:1], one, two, saved(at, one, two)[1])
             for one, two in itertools.combinations(sorted(around[at]), 2)),
            default=(0, 0, 0, points[at]),
        )  # fmt: skip

    best = [best_at(at) for at in range(len(points))]
    while True:
        at = max(range(len(points)), key=lambda index: best[index][0])
        gain, one, two, middle = best[at]
        if gain <= 0:
            break
        around[at] -= {one, two}
        if middle in (points[one], points[two]):
            # One lies on the way to the other.
            on, beyond = (one, two) if middle == points[one] else (two, one)
            around[at].add(on)
            around[beyond] = around[beyond] - {at} | {on}
            around[on].add(beyond)
            changed = {at, on, beyond}
        else:
            new = len(points)
            points.append(middle)
            around.append({at, one, two})
            around[at].add(new)
            for other in (one, two):
                around[other] = around[other] - {at} | {new}
            best.append((0, 0, 0, middle))
            changed = {at, one, two, new}
        for index in changed:
            best[index] = best_at(index)
    edges = [(a, b) for a in range(len(points)) for b in sorted(around[a]) if a < b]
    return _pruned(points, edges, len(pins))
