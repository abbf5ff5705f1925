"""Steiner trees against exhaustive search, and what every tree must be."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from blockdot.synth.physical.steiner import EXACT_PINS, SteinerTree, half_perimeters, steiner_trees

Point = tuple[int, int]


def spanning_length(points: Sequence[Point]) -> int:
    """The length of a shortest tree of straight connections."""
    outside = dict.fromkeys(range(1, len(points)), 1 << 60)
    total, near = 0, 0
    while outside:
        for other in outside:
            away = sum(abs(a - b) for a, b in zip(points[near], points[other], strict=True))
            outside[other] = min(outside[other], away)
        near = min(outside, key=lambda other: outside[other])
        total += outside.pop(near)
    return total


def shortest_length(pins: Sequence[Point]) -> int:
    """The least length of all trees that have other points of Hanan's grid besides."""
    own = list(dict.fromkeys(pins))
    others = [(x, y) for x in {x for x, _ in own} for y in {y for _, y in own} if (x, y) not in own]
    return min(
        spanning_length([*own, *more])
        for count in range(max(len(own) - 1, 1))
        for more in itertools.combinations(others, count)
    )


def trees_of(nets: Sequence[Sequence[Point]]) -> list[SteinerTree]:
    places = np.array([pin for net in nets for pin in net])
    starts = np.cumsum([0, *map(len, nets)])
    return steiner_trees(places, starts)


def random_nets(pins: int, count: int, side: int = 30) -> list[list[Point]]:
    drawn = np.random.default_rng(pins).integers(0, side, (count, pins, 2)).tolist()
    return [[(x, y) for x, y in net] for net in drawn]


def check(tree: SteinerTree, pins: Sequence[Point]) -> None:
    """It begins with the pins, connects all of its points, and has no loop."""
    assert tree.points[: len(pins)] == tuple(pins)
    assert len(tree.edges) == len(tree.points) - 1
    reached = {0}
    for _ in tree.edges:
        reached |= {b for edge in tree.edges for a, b in (edge, edge[::-1]) if a in reached}
    assert reached == set(range(len(tree.points)))


@pytest.mark.parametrize(("pins", "count"), [(1, 1), (2, 20), (3, 20), (4, 30), (5, 6)])
def test_a_tree_of_few_pins_is_as_short_as_any(pins: int, count: int):
    nets = random_nets(pins, count)
    for net, tree in zip(nets, trees_of(nets), strict=True):
        check(tree, net)
        assert tree.length == shortest_length(net)


def test_pins_on_one_place_cost_nothing():
    net = [(3, 3), (3, 3), (9, 3), (3, 3), (9, 8)]
    (tree,) = trees_of([net])
    check(tree, net)
    assert tree.length == 6 + 5


def test_a_cross_needs_a_point_in_the_middle():
    (tree,) = trees_of([[(0, 5), (10, 5), (5, 0), (5, 10)]])
    assert (tree.length, tree.points[4:]) == (20, ((5, 5),))


@pytest.mark.parametrize("pins", [2, 4, 7, EXACT_PINS, EXACT_PINS + 1, 25])
def test_no_tree_is_shorter_than_half_a_perimeter_or_longer_than_straight_connections(pins: int):
    nets = random_nets(pins, 12, 1000)
    trees = trees_of(nets)
    least = half_perimeters(np.array(nets).reshape(-1, 2), np.arange(13) * pins)
    for net, tree, bound in zip(nets, trees, least, strict=True):
        check(tree, net)
        assert bound == max(x for x, _ in net) - min(x for x, _ in net) + max(y for _, y in net) - min(
            y for _, y in net
        )
        assert bound <= tree.length <= spanning_length(list(dict.fromkeys(net)))


def test_large_nets_are_nearly_as_short_as_exact_ones(monkeypatch: pytest.MonkeyPatch):
    nets = random_nets(EXACT_PINS, 40, 1000)
    exact = sum(tree.length for tree in trees_of(nets))
    monkeypatch.setattr("blockdot.synth.physical.steiner.EXACT_PINS", 3)
    led_together = sum(tree.length for tree in trees_of(nets))
    straight = sum(map(spanning_length, nets))
    assert exact < led_together < 1.03 * exact
    assert straight > 1.1 * exact
