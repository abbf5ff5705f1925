"""Sizes chosen again for wires: what may be exchanged, and that nothing is left to gain."""

import random

import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.liberty import CellFunction
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.physical.layout import lay_out
from blockdot.synth.physical.placement import CellPlacer
from blockdot.synth.physical.resizing import resized, sizes_of
from blockdot.synth.static_timing import analyse
from blockdot.synth.wire_loads import WireLoads
from blockdot.synth.yosys import SynthesisError


def sizes(models: CellModels) -> dict[str, tuple[str, ...]]:
    return dict(sizes_of(models.library, models.library.cells))


def test_sizes_of_a_gate_are_the_cells_that_compute_the_same_of_the_same_pins(models: CellModels):
    found, cells = sizes(models), models.library.cells
    assert {"INV_X1", "INV_X2", "NAND2_X1", "NAND2_X2"} <= found.keys()
    assert not any(cells[name].sequential for name in found)
    for name, several in found.items():
        assert name in several
        assert [cells[one].area for one in several] == sorted(cells[one].area for one in several)
        for other in several:
            assert set(cells[other].inputs) == set(cells[name].inputs)
            random_ = random.Random(1)
            columns = {pin: random_.getrandbits(64) for pin in sorted(cells[name].inputs)}
            every = (1 << 64) - 1
            assert {
                pin: CellFunction(text).evaluate(columns, every) for pin, text in cells[name].functions
            } == {pin: CellFunction(text).evaluate(columns, every) for pin, text in cells[other].functions}
    # NAND and NOR have the same pins.
    assert not set(found["NAND2_X1"]) & set(found["NOR2_X1"])


def test_what_cannot_be_placed_is_no_size(models: CellModels):
    placeable = models.library.cells.keys() - {"INV_X2"}
    found = sizes_of(models.library, placeable)
    assert "INV_X2" not in found
    assert "INV_X2" not in found["INV_X1"]


def row_of_inverters(cells: list[str], capacitances: list[float]) -> tuple[MappedNetlist, WireLoads]:
    gates = tuple(CellInstance(cell, {"A": place, "Y": place + 1}) for place, cell in enumerate(cells, 1))
    netlist = MappedNetlist({"i": (1,)}, {"o": (len(cells) + 1,)}, gates)
    loads = WireLoads(dict(enumerate(capacitances, 1)), [{} for _ in cells], {}, 1.0)
    return netlist, loads


def test_a_gate_before_a_long_wire_becomes_larger_and_one_off_the_path_smaller(models: CellModels):
    netlist, wires = row_of_inverters(["INV_X1"] * 3, [0.0, 0.0, 200.0, 0.0])
    beside = CellInstance("INV_X4", {"A": 1, "Y": 9})
    netlist = MappedNetlist(netlist.inputs, {**netlist.outputs, "beside": (9,)}, (*netlist.instances, beside))
    wires = WireLoads(wires.capacitance, [*wires.delays, {}], {}, 1.0)
    made = resized(netlist, models, wires, sizes(models))
    areas = [models.library.cells[one.cell].area for one in made.instances]
    assert areas[1] > models.library.cells["INV_X1"].area
    assert made.instances[3].cell == "INV_X1"
    assert analyse(made, models, wires).period < 0.7 * analyse(netlist, models, wires).period


def test_the_period_is_not_longer_and_nothing_but_sizes_changes(models: CellModels):
    for seed in range(5):
        random_ = random.Random(seed)
        known = [1, 2, 3]
        gates: list[CellInstance] = []
        for net in range(10, 40):
            a, b = (random_.choice(known[-6:]) for _ in range(2))
            gates.append(CellInstance(random_.choice(["NAND2_X1", "NOR2_X4"]), {"A": a, "B": b, "Y": net}))
            known.append(net)
        registers = [CellInstance("DFF_X1", {"CK": 4, "D": 39, "Q": 3})]
        netlist = MappedNetlist({"i": (1, 2), "clk": (4,)}, {"o": (39, 38, 37)}, (*gates, *registers))
        capacitance = {net: random_.uniform(0, 30) for net in known}
        wires = WireLoads(capacitance, [{} for _ in netlist.instances], {}, 1.0)
        made = resized(netlist, models, wires, sizes(models))
        assert analyse(made, models, wires).period < analyse(netlist, models, wires).period
        assert (made.inputs, made.outputs) == (netlist.inputs, netlist.outputs)
        for one, other in zip(netlist.instances, made.instances, strict=True):
            assert one.pins == other.pins
            assert other.cell == one.cell or other.cell in sizes(models)[one.cell]
        # The same each time.
        assert resized(netlist, models, wires, sizes(models)) == made


def test_without_anything_to_gain_nothing_changes(models: CellModels):
    netlist, wires = row_of_inverters(["INV_X1"], [0.0, 0.0])
    assert resized(netlist, models, wires, {}) == netlist
    empty = MappedNetlist({"i": (1,)}, {"o": (1,)}, ())
    assert resized(empty, models, WireLoads({}, [], {}, 1.0), sizes(models)) == empty


def test_a_resized_layout_is_legal_and_faster_and_keeps_its_utilisation(
    chain: MappedNetlist, models: CellModels
):
    geometry = geometry_of(models.library)
    with CellPlacer() as placer:
        before, after = (
            lay_out(chain, models, geometry, placer, seeds=[1, 2], resize=resize) for resize in (False, True)
        )
    for one, other in zip(before, after, strict=True):
        made = other.connections.netlist
        assert [instance.pins for instance in made.instances] == [
            instance.pins for instance in chain.instances
        ]
        assert made != chain
        other.placement.check()
        widths = [geometry.shape(instance.cell).width // geometry.site_width for instance in made.instances]
        assert other.placement.widths.tolist() == widths
        core = other.placement.core
        assert sum(widths) / (core.rows * core.sites) == pytest.approx(0.7, abs=0.03)
        assert other.placement.seed == one.placement.seed
        periods = [
            analyse(each.connections.netlist, models, each.loads(models)).period for each in (one, other)
        ]
        assert periods[1] < periods[0]
        # Cells stay near to where they stood.
        moved = abs(other.placement.corners - one.placement.corners).sum(axis=1).mean()
        assert moved < 0.2 * (core.width + core.height) / 2


def test_a_netlist_that_computes_something_else_is_refused(
    chain: MappedNetlist, models: CellModels, monkeypatch: pytest.MonkeyPatch
):
    wrong = {"NAND2_X1": ("NOR2_X1",)}

    def spoiled(netlist: MappedNetlist, *_: object) -> MappedNetlist:
        instances = tuple(
            CellInstance(wrong.get(one.cell, (one.cell,))[0], one.pins) for one in netlist.instances
        )
        return MappedNetlist(netlist.inputs, netlist.outputs, instances)

    monkeypatch.setattr("blockdot.synth.physical.layout.resized", spoiled)
    with (
        CellPlacer() as placer,
        pytest.raises(SynthesisError, match=r"^a netlist with other sizes must comp"),
    ):
        lay_out(chain, models, geometry_of(models.library), placer, seeds=[1], resize=True)
