"""Slacks against the period itself: how much later an edge may come on a net before it grows."""

import math
import random

import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.net_slacks import NetSlacks
from blockdot.synth.neutral_library import neutral
from blockdot.synth.static_timing import analyse
from blockdot.synth.wire_loads import WireLoads

# Pins are called the same in all sizes, and in both kinds of gate.
CELLS = [f"{kind}_X{drive}" for kind in ("NAND2", "NOR2") for drive in (1, 2, 4)]


@pytest.fixture(scope="module")
def models() -> CellModels:
    return CellModels(neutral())


def drawn_netlist(seed: int) -> tuple[MappedNetlist, WireLoads]:
    """Gates at random between ports and registers, with wires at random."""
    random_ = random.Random(seed)
    clock, inputs, shown = 1, (2, 3, 4), (5, 6, 7)
    known = [*inputs, *shown]
    gates: list[CellInstance] = []
    for net in range(10, 70):
        a, b = random_.sample(known[-12:], 2) if len(known) > 8 else random_.sample(known, 2)
        gates.append(CellInstance(random_.choice(CELLS), {"A": a, "B": b, "Y": net}))
        known.append(net)
    registers = [
        CellInstance("DFF_X1", {"CK": clock, "D": random_.choice(known[20:]), "Q": net}) for net in shown
    ]
    # One of the outputs is an input, and one a constant.
    outputs = (*known[-3:], inputs[0], MappedNetlist.ZERO)
    netlist = MappedNetlist({"clk": (clock,), "i": inputs}, {"o": outputs}, (*gates, *registers))
    wires = WireLoads(
        {net: random_.uniform(0, 3) for net in known},
        [{pin: random_.uniform(0, 2) for pin in one.pins if pin != "Y"} for one in netlist.instances],
        {("o", bit): random_.uniform(0, 2) for bit in range(3)},
        # No slope counts in the built-in library, so that a delay adds to its paths and does nothing else.
        1.5,
    )
    return netlist, wires


def delayed(netlist: MappedNetlist, wires: WireLoads, net: int, more: float) -> WireLoads:
    """The wires with edges on one net coming so much later to all of its ends."""
    delays = [
        {pin: delay + more * (netlist.instances[place].pins[pin] == net) for pin, delay in one.items()}
        for place, one in enumerate(wires.delays)
    ]
    ports = {
        (port, bit): delay + more * (netlist.outputs[port][bit] == net)
        for (port, bit), delay in wires.port_delays.items()
    }
    return WireLoads(wires.capacitance, delays, ports, wires.slope_factor)


@pytest.mark.parametrize("seed", range(4))
def test_a_net_may_be_as_late_as_its_slack_and_no_later(seed: int, models: CellModels):
    netlist, wires = drawn_netlist(seed)
    slacks = NetSlacks(netlist, models, wires)
    unit = models.library.time_unit_ps
    period = analyse(netlist, models, wires).period
    assert slacks.period * unit == pytest.approx(period, rel=1e-12)
    tried = 0
    for gate in netlist.instances[:60]:
        net = gate.pins["Y"]
        slack = slacks.slack(net)
        assert slack > -1e-9
        if math.isinf(slack):
            later = delayed(netlist, wires, net, 100.0)
            assert analyse(netlist, models, later).period == pytest.approx(period, rel=1e-12)
            continue
        tried += 1
        just = analyse(netlist, models, delayed(netlist, wires, net, slack)).period
        assert just == pytest.approx(period, rel=1e-9)
        later = analyse(netlist, models, delayed(netlist, wires, net, slack + 1.0)).period
        assert later == pytest.approx(period + unit, rel=1e-9)
    assert tried > 30
    assert min(slacks.slack(net) for net in range(10, 70)) == pytest.approx(0, abs=1e-9)


def row_with_branches(seed: int) -> tuple[MappedNetlist, WireLoads]:
    """Gates in a row, with a gate beside each that leads to an output; no ways meet again."""
    random_ = random.Random(seed)
    # Each takes its second input from a port of its own.
    row = [
        CellInstance(random_.choice(CELLS), {"A": net, "B": 100 + net, "Y": net + 1}) for net in range(10, 22)
    ]
    beside = [
        CellInstance(random_.choice(CELLS), {"A": net, "B": 200 + net, "Y": net + 50})
        for net in range(11, 22)
    ]
    ports = (10, *(gate.pins["B"] for gate in (*row, *beside)))
    outputs = (22, *(gate.pins["Y"] for gate in beside))
    netlist = MappedNetlist({"i": ports}, {"o": outputs}, (*row, *beside))
    wires = WireLoads(
        {net: random_.uniform(0, 9) for net in (*range(10, 23), *outputs)},
        [{"A": random_.uniform(0, 2)} for _ in netlist.instances],
        # The branches are about as late as the end of the row.
        {("o", bit): (12 - bit) * 16.0 for bit in range(1, len(outputs))},
        1.5,
    )
    return netlist, wires


@pytest.mark.parametrize("seed", range(4))
def test_what_an_exchange_does_near_it_is_what_it_does_to_the_period(seed: int, models: CellModels):
    netlist, wires = row_with_branches(seed)
    slacks = NetSlacks(netlist, models, wires)
    longer = 0
    for place, gate in enumerate(netlist.instances):
        assert min(slacks.slacks_with(place, gate.cell)) > -1e-9
        for cell in CELLS:
            near = min(slacks.slacks_with(place, cell))
            instances = list(netlist.instances)
            instances[place] = CellInstance(cell, gate.pins)
            other = MappedNetlist(netlist.inputs, netlist.outputs, tuple(instances))
            grown = NetSlacks(other, models, wires).period - slacks.period
            longer += grown > 1e-9
            # Without slopes nothing further away changes, nor does a setup time.
            assert max(grown, 0.0) == pytest.approx(max(-near, 0.0), abs=1e-6)
    assert longer > 10
    # To ask changes nothing.
    again = NetSlacks(netlist, models, wires)
    assert [again.slack(net) for net in range(72)] == [slacks.slack(net) for net in range(72)]


def test_a_netlist_without_ends_has_no_period(models: CellModels):
    netlist = MappedNetlist({"i": (1,)}, {}, (CellInstance("INV_X1", {"A": 1, "Y": 2}),))
    slacks = NetSlacks(netlist, models, WireLoads({}, [{}], {}, 1.0))
    assert (slacks.period, slacks.slack(2)) == (0.0, math.inf)
    assert (slacks.driven(0), slacks.taken(0), slacks.near(0)) == ([2], [1], {0})
