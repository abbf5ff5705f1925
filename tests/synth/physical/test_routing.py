"""Routed wires: what a router's result is checked for, and what it comes to."""

import dataclasses

import numpy as np
import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.physical.cell_geometry import CellGeometry, geometry_of
from blockdot.synth.physical.core_area import core_of
from blockdot.synth.physical.placement import Connections, Placement
from blockdot.synth.physical.routing import MARGIN, Route, Routing, RoutingGrid, routed
from blockdot.synth.physical.routing_layers import Via
from blockdot.synth.physical.wires import Wires, steiner_wires
from blockdot.synth.yosys import SynthesisError

# An inverter between two ports: the first net is the input's, the second the output's.
INPUT, OUTPUT = 1, 2
VIA_OHM = 7.0


@pytest.fixture(scope="module")
def geometry(models: CellModels) -> CellGeometry:
    """The built-in one, whose vias have a resistance."""
    made = geometry_of(models.library)
    stack = tuple(
        dataclasses.replace(layer, via=Via("v", layer.via.below, layer.via.above, VIA_OHM))
        for layer in made.stack
    )
    return dataclasses.replace(made, stack=stack)


@pytest.fixture(scope="module")
def estimate(models: CellModels, geometry: CellGeometry) -> Wires:
    netlist = MappedNetlist(
        {"i": (INPUT,)}, {"o": (OUTPUT,)}, (CellInstance("INV_X1", {"A": INPUT, "Y": OUTPUT}),)
    )
    core = core_of(netlist, geometry, utilisation=0.1)
    placement = Placement(core, np.array([3]), np.array([0]), np.array([4]), 1)
    return steiner_wires(Connections(netlist, models, geometry), placement)


@pytest.fixture(scope="module")
def grid(estimate: Wires) -> RoutingGrid:
    return RoutingGrid(estimate.placement.core)


@pytest.fixture(scope="module")
def terminals(estimate: Wires, grid: RoutingGrid) -> dict[int, list[tuple[int, int]]]:
    """The points of each net's pins."""
    found = grid.terminals(estimate.placement.pins(estimate.connections)).tolist()
    starts = estimate.connections.starts.tolist()
    return {
        net: [tuple(point) for point in found[begin:end]]
        for net, begin, end in zip(estimate.connections.nets, starts, starts[1:], strict=False)
    }


def led(a: tuple[int, int], b: tuple[int, int]) -> Route:
    """A route from point to point: level on the lowest layer, upright on the one above it."""
    corner = (b[0], a[1])
    ups = ((0, *corner), (0, *b)) if a[1] != b[1] else ()
    wires = tuple(
        (layer, *ends) for layer, ends in ((0, (a, corner)), (1, (corner, b))) if ends[0] != ends[1]
    )
    return Route(wires, ups)


def result(estimate: Wires, grid: RoutingGrid, routes: dict[int, Route]) -> Routing:
    return routed(estimate, grid, grid.terminals(estimate.placement.pins(estimate.connections)), routes)


Terminals = dict[int, list[tuple[int, int]]]


def test_each_pin_has_a_point_of_its_own_that_is_near(estimate: Wires, grid: RoutingGrid):
    pins = estimate.placement.pins(estimate.connections)
    near = grid.places(grid.terminals(pins))
    assert (np.abs(near - pins) <= np.array(grid.pitches) / 2).all()
    # Of eleven pins on one place each goes to another point, none farther than it must.
    many = grid.terminals(np.repeat(pins[:1], 11, axis=0))
    steps = np.abs(many - many[0]).sum(axis=1)
    assert len({tuple(point) for point in many.tolist()}) == 11
    assert sorted(steps.tolist())[:5] == [0, 1, 1, 1, 1]
    assert steps.max() <= 3


def test_a_corner_of_the_core_is_within_the_margin(grid: RoutingGrid):
    core = grid.core
    corners = grid.terminals(np.array([(0, 0), (core.width, core.height)]))
    assert corners[0].tolist() == [MARGIN, MARGIN]
    assert (corners[1] < np.array(grid.shape)).all()
    assert (np.array(grid.shape) - corners[1] >= MARGIN - 1).all()


def test_lengths_capacitances_and_resistances_are_those_of_the_route(
    estimate: Wires, grid: RoutingGrid, terminals: Terminals, models: CellModels
):
    routes = {net: led(*points) for net, points in terminals.items()}
    routing = result(estimate, grid, routes)
    assert routing.failed == ()
    assert routing.wires is not None
    net = INPUT
    (a, b) = terminals[net]
    across, up = (abs(a[axis] - b[axis]) * grid.pitches[axis] for axis in (0, 1))
    assert across
    assert up
    wire = routing.nets[net]
    assert wire.tree.length == across + up
    assert wire.capacitance == pytest.approx(0.031 * (across + up) / 1000)
    # From the port there is none, up and down there is one each, and one down into the cell's pin.
    late = wire.delays([0.0, 5.0])
    ohm, half = 1.0 * (across + up) / 1000 + 3 * VIA_OHM, wire.capacitance / 2
    assert late[0] == 0
    assert 1000 * late[1] == pytest.approx(ohm * (5.0 + half), rel=0.1)
    assert routing.vias == sum(len(route.vias) for route in routes.values()) + 2
    assert routing.wires.length == pytest.approx(sum(one.tree.length for one in routing.nets.values()) / 1000)
    assert len(routing.ratios) == 2
    assert set(routing.wires.loads(models).capacitance) == {INPUT, OUTPUT}


def test_a_detour_is_longer_and_a_loop_loses_nothing(
    estimate: Wires, grid: RoutingGrid, terminals: Terminals
):
    straight = {net: led(*points) for net, points in terminals.items()}
    plain = result(estimate, grid, straight).nets[INPUT]
    a, b = terminals[INPUT]
    # A second way beside the first, on the layers above, joined at both ends.
    other = (a[0], b[1])
    wires = (*straight[INPUT].wires, (3, a, other), (2, other, b))
    stacks = [(low, *at) for at in (a, b) for low in (0, 1, 2)]
    loop = Route(wires, tuple(dict.fromkeys([*straight[INPUT].vias, *stacks, (2, *other)])))
    routing = result(estimate, grid, straight | {INPUT: loop})
    assert routing.nets[INPUT].tree.length == 2 * plain.tree.length
    assert routing.nets[INPUT].capacitance == pytest.approx(2 * plain.capacitance)


def test_a_branch_begins_in_the_middle_of_a_wire(estimate: Wires, grid: RoutingGrid, terminals: Terminals):
    routes = {net: led(*points) for net, points in terminals.items()}
    plain = result(estimate, grid, routes)
    layer, a, b = routes[INPUT].wires[0]
    middle = ((a[0] + b[0]) // 2, a[1])
    stub = (1, middle, (middle[0], middle[1] + 1))
    route = Route((*routes[INPUT].wires, stub), (*routes[INPUT].vias, (0, *middle)))
    assert layer == 0
    longer = result(estimate, grid, routes | {INPUT: route}).nets[INPUT]
    assert longer.tree.length == plain.nets[INPUT].tree.length + grid.pitches[1]


@pytest.mark.parametrize("lost", ["all", "wire", "via"])
def test_a_net_that_is_not_in_one_piece_failed(
    lost: str, estimate: Wires, grid: RoutingGrid, terminals: Terminals
):
    routes = {net: led(*points) for net, points in terminals.items()}
    whole = routes[INPUT]
    if lost == "all":
        del routes[INPUT]
    elif lost == "wire":
        routes[INPUT] = Route(whole.wires[1:], whole.vias)
    else:
        routes[INPUT] = Route(whole.wires, whole.vias[1:])
    routing = result(estimate, grid, routes)
    assert routing.failed == (INPUT,)
    assert set(routing.nets) == {OUTPUT}
    # There are no figures of a part of the wires.
    assert routing.wires is None


def test_nets_that_touch_are_refused(estimate: Wires, grid: RoutingGrid, terminals: Terminals):
    routes = {net: led(*points) for net, points in terminals.items()}
    # Over the other net's pin.
    there = terminals[OUTPUT][0]
    routes[INPUT] = Route((*routes[INPUT].wires, (0, there, there)), routes[INPUT].vias)
    with pytest.raises(SynthesisError, match=r"^routed nets must not touch, as 1 and 2 do$"):
        result(estimate, grid, routes)


def test_a_net_that_is_shorter_than_can_be_is_refused(
    estimate: Wires, grid: RoutingGrid, terminals: Terminals, monkeypatch: pytest.MonkeyPatch
):
    routes = {net: led(*points) for net, points in terminals.items()}
    length = result(estimate, grid, routes).nets[INPUT].tree.length
    monkeypatch.setattr("blockdot.synth.physical.routing.least_lengths", lambda *_: [length + 1, 0])
    with pytest.raises(SynthesisError, match=rf"at least .* {length + 1} database units, not {length}$"):
        result(estimate, grid, routes)
