"""Detailed routing by qrouter: what it is given, what it gives, and what it cannot do."""

import dataclasses
import shutil
from collections.abc import Mapping

import pytest
from blockdot.base.external_tools import ToolError
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import MappedNetlist
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.physical.core_area import core_of
from blockdot.synth.physical.detail_router import DetailRouter, require_stack, routes_of
from blockdot.synth.physical.placement import CellPlacer, Connections
from blockdot.synth.physical.routing import MARGIN, Route, RoutingGrid
from blockdot.synth.physical.steiner import half_perimeters
from blockdot.synth.physical.wires import Wires, steiner_wires
from blockdot.synth.yosys import SynthesisError

needs_qrouter = pytest.mark.skipif(shutil.which("qrouter") is None, reason="qrouter is not installed")


@pytest.fixture(scope="module")
def placed(chain: MappedNetlist, models: CellModels) -> Wires:
    geometry = geometry_of(models.library)
    connections = Connections(chain, models, geometry)
    with CellPlacer() as placer:
        (placement,) = placer.place(connections, core_of(chain, geometry), [1])
    return steiner_wires(connections, placement)


@needs_qrouter
def test_a_small_netlist_is_routed_whole(placed: Wires, models: CellModels):
    with DetailRouter() as router:
        routing = router.route(placed)
        again = router.route(placed)
    assert routing.failed == ()
    wires = routing.wires
    assert wires is not None
    # The check against shortest trees is part of routing; here it is held against the pins' own places.
    moved = (sum(placed.placement.core.geometry.stack[layer].wire.pitch for layer in (0, 1))) / 1000
    least = half_perimeters(placed.placement.pins(placed.connections), placed.connections.starts) / 1000
    for net, box in zip(placed.connections.nets, least.tolist(), strict=True):
        pins = routing.nets[net].pins
        assert routing.nets[net].tree.length / 1000 >= box - pins * moved / 2
    assert 0.95 * placed.length < wires.length < 1.4 * placed.length
    assert routing.vias >= sum(wire.pins for wire in routing.nets.values()) - 3
    assert set(wires.loads(models).capacitance) == set(placed.nets)
    assert [wire.tree for wire in again.nets.values()] == [wire.tree for wire in routing.nets.values()]


@needs_qrouter
def test_nets_without_room_are_named(placed: Wires):
    geometry = placed.placement.core.geometry
    # Two layers whose vias are so wide that hardly two of them fit beside each other.
    wide = tuple(
        dataclasses.replace(layer, via=dataclasses.replace(layer.via, below=(3000, 3000), above=(3000, 3000)))
        for layer in geometry.stack[:2]
    )
    core = dataclasses.replace(placed.placement.core, geometry=dataclasses.replace(geometry, stack=wide))
    tight = dataclasses.replace(placed, placement=dataclasses.replace(placed.placement, core=core))
    with DetailRouter() as router:
        routing = router.route(tight)
    assert routing.failed
    assert routing.wires is None
    assert {*routing.failed, *routing.nets} == set(placed.nets)


def test_what_a_router_writes_is_read(placed: Wires):
    grid = RoutingGrid(placed.placement.core)
    text = (
        "COMPONENTS 0 ;\nEND COMPONENTS\nNETS 3 ;\n- n5\n  ( p0 A )\n  ( p1 A )\n"
        "\n+ ROUTED level ( 375 1125 ) ( 1875 * ) via1 \n"
        "  NEW upright ( 1800 1125 ) ( * 2625 ) ( 3375 * ) via2 \n"
        "  NEW level ( 375 1125 ) via1 ;\n- n7\n  ( p2 A )\n;\nEND NETS\nEND DESIGN\n"
    )
    wires = ((0, (0, 1), (2, 1)), (1, (2, 1), (2, 3)), (1, (2, 3), (4, 3)))
    expected: Mapping[int, Route] = {
        5: Route(wires, ((0, 2, 1), (1, 4, 3), (0, 0, 1))),
        7: Route((), ()),
    }
    assert routes_of(text, grid) == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("level ( 375 375 ) other", "a routed path must be points and a via, not '( 375 375 ) other'"),
        ("level via1", "a routed path must be points and a via, not 'via1'"),
        ("level ( 375 375 ) via1 ( 375 1125 )", "a routed path must be points and a via"),
        ("level ( 375 375 )", "routed wires must be on a layer and lead somewhere, not level"),
        ("poly ( 375 375 ) ( * 1125 )", "routed wires must be on a layer and lead somewhere, not poly"),
    ],
)
def test_what_no_router_writes_is_refused(path: str, message: str, placed: Wires):
    text = f"\nNETS 1 ;\n- n5\n  ( p0 A )\n\n+ ROUTED {path} ;\nEND NETS\n"
    with pytest.raises(SynthesisError) as caught:
        routes_of(text, RoutingGrid(placed.placement.core))
    assert str(caught.value).startswith(message)


def test_a_library_needs_two_layers_and_the_machine_a_router(monkeypatch: pytest.MonkeyPatch):
    geometry = geometry_of(neutral())
    require_stack(geometry)
    with pytest.raises(ValueError, match=r"^LEF files must have two routing layers above the pins, each "):
        require_stack(dataclasses.replace(geometry, stack=geometry.stack[:1]))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match=r"^qrouter must be installed for detailed routing of cells, not "):
        DetailRouter()


def test_the_margin_holds_the_ports(placed: Wires):
    grid = RoutingGrid(placed.placement.core)
    (across, _), (columns, _) = grid.pitches, grid.shape
    assert (columns - 2 * MARGIN) * across >= placed.placement.core.width
