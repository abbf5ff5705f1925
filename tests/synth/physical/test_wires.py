"""Wires: capacitance, Elmore's delay, and what they do to timing and to the clock's tree."""

import math

import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.physical.clock_tree import CLOCK_FANOUT, clock_buffers, clock_tree
from blockdot.synth.physical.core_area import core_of
from blockdot.synth.physical.placement import CellPlacer, Connections, Placement
from blockdot.synth.physical.steiner import SteinerTree
from blockdot.synth.physical.wires import NetWire, steiner_wires
from blockdot.synth.static_timing import analyse, gates_delay, loads
from blockdot.synth.wire_loads import WireLoads, slope_factor


@pytest.fixture(scope="module")
def placed(chain: MappedNetlist, models: CellModels) -> tuple[Connections, Placement]:
    geometry = geometry_of(models.library)
    connections = Connections(chain, models, geometry)
    with CellPlacer() as placer:
        (placement,) = placer.place(connections, core_of(chain, geometry), [1])
    return connections, placement


def test_elmore_delays_are_those_of_a_tree_reckoned_by_hand():
    # Driver - 10 ohm - corner - 20 ohm - near; corner - 30 ohm - far.
    tree = SteinerTree(((0, 0), (1, 0), (2, 0), (3, 0)), ((0, 3), (3, 1), (3, 2)))
    wire = NetWire(tree, 3, (1.0, 2.0, 3.0, 4.0), (10.0, 20.0, 30.0))
    near = 10 * (4 + (2 + 5) + (3 + 7)) + 20 * (2 + 5)
    far = 10 * (4 + (2 + 5) + (3 + 7)) + 30 * (3 + 7)
    assert wire.delays([0.0, 5.0, 7.0]) == pytest.approx([0.0, near / 1000, far / 1000])
    assert wire.capacitance == 10.0


def test_wires_are_as_long_as_the_distances_and_load_what_their_length_says(
    placed: tuple[Connections, Placement], models: CellModels
):
    connections, placement = placed
    wires = steiner_wires(connections, placement)
    assert 0 < wires.half_perimeter <= wires.length
    places = placement.pins(connections)
    begin = int(connections.starts[3])  # gate 0 drives net 11, which gate 1 takes
    across, up = abs(places[begin] - places[begin + 1]).tolist()
    assert wires.nets[11].tree.length == across + up
    geometry = placement.core.geometry
    assert wires.nets[11].capacitance == pytest.approx(0.031 * (across + up) / 1000)
    added = wires.loads(models)
    total = sum(rise for rise, _ in loads(connections.netlist, models, added).values())
    bare = sum(rise for rise, _ in loads(connections.netlist, models).values())
    assert total - bare == pytest.approx(wires.capacitance)
    # Pin A of a NAND2 has 4/3; half of the wire is behind its resistance.
    ohm = (across + up) / 1000 * geometry.level.resistance
    expected = ohm * (wires.nets[11].capacitance / 2 + 4 / 3) * 1e-3
    assert added.delays[1]["A"] == pytest.approx(expected)
    # The output's bit 1 has a wire to the border, which drives the output's load.
    assert added.port_delays["o", 1] > 0


def test_paths_take_as_much_longer_as_the_wires_say(models: CellModels):
    # Two inverters of the built-in library, in which a delay is 10 ps a load, and no slope counts.
    netlist = MappedNetlist(
        {"a": (1,)},
        {"y": (3,)},
        (CellInstance("INV_X1", {"A": 1, "Y": 2}), CellInstance("INV_X1", {"A": 2, "Y": 3})),
    )
    wires = WireLoads({1: 2.0, 2: 3.0, 3: 4.0}, [{"A": 0.25}, {"A": 0.5}], {("y", 0): 1.0}, 2.0)
    driver = 2  # BUF_X2, which drives the input, is twice as strong
    more = 10 * (2.0 / driver + 3.0 + 4.0) + 0.25 + 0.5 + 1.0
    assert gates_delay(netlist, models, wires) - gates_delay(netlist, models) == pytest.approx(more)
    with_wires, without = analyse(netlist, models, wires), analyse(netlist, models)
    assert with_wires.gates == pytest.approx(without.gates + more)
    assert with_wires.period == pytest.approx(without.period + more)


def test_slopes_grow_between_the_thresholds_of_the_library(models: CellModels):
    assert slope_factor(models.library) == pytest.approx(math.log(4))


def test_a_clock_tree_has_what_its_groups_say(
    placed: tuple[Connections, Placement], models: CellModels, chain: MappedNetlist
):
    tree = clock_tree(*placed, models)
    assert (tree.flip_flops, tree.buffers, tree.levels) == (2, 1, 1)
    # The wire, and the buffer's own input: the flip-flops' are counted with these.
    own = models["BUF_X2"].capacitance["A"][0]
    assert tree.capacitance == pytest.approx(0.031 * tree.length + own)
    assert tree.energy > tree.capacitance
    plain = MappedNetlist(chain.inputs, chain.outputs, chain.instances[:40])
    placement = placed[1]
    bare = Connections(plain, models, placement.core.geometry)
    assert clock_tree(bare, placement, models).buffers == 0


@pytest.mark.parametrize(("flip_flops", "buffers"), [(0, 0), (1, 1), (16, 1), (17, 2 + 1), (33, 3 + 1)])
def test_a_buffer_of_the_clock_tree_drives_so_many_pins(flip_flops: int, buffers: int):
    assert CLOCK_FANOUT == 16
    assert clock_buffers(flip_flops) == buffers
