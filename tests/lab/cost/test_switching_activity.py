"""How often nets move: by hand, against a simulation that goes event by event, and against the model."""

import functools
import heapq
from collections.abc import Mapping

import numpy as np
import pytest
from blockdot.hw import DotUnit, to_rtlil
from blockdot.lab.cost.switching_activity import TICK, ActivitySimulation, Bits, lanes_of
from blockdot.lab.cost.switching_energy import weighted
from blockdot.model import DotSpec
from blockdot.sim.random_stimulus import random
from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import Synthesizer
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import CELLS, neutral
from blockdot.synth.recipes import choose
from blockdot.synth.static_timing import path_delays
from blockdot.synth.wire_loads import WireLoads
from messages import whole

MODELS = CellModels(neutral())


def simulation(
    *gates: tuple[str, dict[str, int]], inputs: dict[str, tuple[int, ...]], out: int
) -> ActivitySimulation:
    instances = tuple(CellInstance(cell, pins) for cell, pins in gates)
    return ActivitySimulation(MappedNetlist(inputs, {"y": (out,)}, instances), MODELS)


def one_bit(*cycles: int, lanes: int = 1) -> Bits:
    """The values of a port of one bit: in each cycle an integer whose bit k is the value in lane k."""
    return np.array([[[value >> lane & 1 for lane in range(lanes)]] for value in cycles], np.uint8)


def test_lanes(rng):
    words = rng.integers(0, 1 << 32, (3, 5, 2), dtype=np.uint32)
    lanes = lanes_of(words, 40)
    assert lanes.shape == (3, 40, 5)
    for cycle, lane, bit in ((0, 0, 0), (1, 4, 31), (2, 3, 39)):
        word = int(words[cycle, lane, bit // 32])
        assert lanes[cycle, bit, lane] == word >> bit % 32 & 1


def test_an_inverter_by_hand():
    inverter = simulation(("INV_X1", {"A": 0, "Y": 1}), inputs={"a": (0,)}, out=1)
    # Two lanes, four cycles of which two are counted: 0 1 0 1 and 1 1 1 0.
    activity = inverter.run({"a": one_bit(0b10, 0b11, 0b10, 0b01, lanes=2)}, 2)
    assert activity.transitions == {0: (1, 2), 1: (2, 1)}
    assert activity.settled == activity.transitions
    assert activity.vectors == 4
    # Each edge: half of the unit input of 1, of the inside's parasitic of 1, and of the output load of 4.
    energy = weighted(inverter, activity)
    assert energy.total == pytest.approx((3 * 1 / 2 + 3 * (CELLS["INV"].capacitance(1) + 4) / 2) / 4)
    assert (energy.settled, energy.clock) == (energy.total, 0.0)


def hazard(*between: str) -> ActivitySimulation:
    """An AND of a signal and what a chain of inverters makes of it: 0, but for what comes late."""
    chain = [("INV_X1", {"A": k, "Y": k + 1}) for k, _ in enumerate(between)]
    last = len(between)
    return simulation(*chain, ("AND2_X1", {"A": 0, "B": last, "Y": 99}), inputs={"a": (0,)}, out=99)


def test_a_late_input_makes_a_glitch_that_settling_alone_would_not_show():
    long = hazard(*"abcdefg")
    activity = long.run({"a": one_bit(0, 0, 1, 1)}, 1)
    assert activity.transitions[99] == (1, 1)
    assert 99 not in activity.settled
    energy = weighted(long, activity)
    assert energy.total > energy.settled


def test_a_pulse_shorter_than_the_gate_s_delay_does_not_pass():
    activity = hazard("a").run({"a": one_bit(0, 0, 1, 1)}, 1)
    assert 99 not in activity.transitions


def test_a_wire_makes_an_input_late():
    gates = (
        CellInstance("INV_X1", {"A": 0, "Y": 1}),
        CellInstance("AND2_X1", {"A": 0, "B": 1, "Y": 99}),
    )
    netlist = MappedNetlist({"a": (0,)}, {"y": (99,)}, gates)
    wires = WireLoads({}, ({}, {"B": 400.0}), {}, 1.0)
    activity = ActivitySimulation(netlist, MODELS, wires).run({"a": one_bit(0, 0, 1, 1)}, 1)
    assert activity.transitions[99] == (1, 1)


def test_a_register_shows_what_it_saw_a_cycle_before_and_its_clock_costs():
    register = simulation(("DFF_X1", {"CK": 0, "D": 1, "Q": 2}), inputs={"clk": (0,), "d": (1,)}, out=2)
    activity = register.run({"d": one_bit(0, 1, 0, 0)}, 1)
    assert activity.transitions == {1: (1, 1), 2: (1, 1)}
    # Two clock edges a cycle: the pin's 1, and what is inside.
    clock = weighted(register, activity).clock
    assert clock == pytest.approx(1 + 2 * MODELS["DFF_X1"].energy["CK"](0, 0, 0))


@functools.cache
def mapped_of(spec: DotSpec, stages: int) -> MappedNetlist:
    unit = DotUnit(spec, stages=stages)
    with Synthesizer(neutral()) as synthesizer:
        return synthesizer.map(Netlist(to_rtlil(unit), unit.name), choose(["a2"]))["a2"]


def by_events(simulated: ActivitySimulation, inputs: Mapping[str, Bits]) -> dict[int, tuple[int, int]]:
    """Count the edges of each net in one lane of a netlist without registers, event by event."""
    unit = MODELS.library.time_unit_ps / TICK
    gates, readers = [], {}
    for instance in simulated.netlist.ordered(MODELS):
        model = MODELS[instance.cell]
        pins = [instance.pins.get(pin, MappedNetlist.ZERO) for pin in model.inputs]
        for target, function in model.functions.items():
            if target in instance.pins:
                found = path_delays(instance, model, target, simulated.waves, simulated.loads)
                late = {instance.pins[pin]: [round(time * unit) for time in found[pin]] for pin in found}
                for net in set(pins):
                    readers.setdefault(net, []).append(len(gates))
                gates.append((function, pins, instance.pins[target], late))
    values = {MappedNetlist.ZERO: 0, MappedNetlist.ONE: 1}
    counts: dict[int, list[int]] = {}
    for cycle in range(min(map(len, inputs.values()))):
        events, waiting = [], {}
        for port, nets in simulated.netlist.inputs.items():
            for net, bit in zip(nets, map(int, inputs[port][cycle, :, 0]), strict=True):
                if not cycle:
                    values[net] = bit
                elif values[net] != bit:
                    waiting[net] = (simulated.starts(net)[1 - bit], bit)
                    heapq.heappush(events, (waiting[net][0], net))
        if not cycle:
            for function, pins, target, _ in gates:
                values[target] = function(1, *[values.get(net, 0) for net in pins]) & 1
        while events:
            time, moved = events[0][0], set()
            while events and events[0][0] == time:
                _, net = heapq.heappop(events)
                # What has been taken back meanwhile is still among the events.
                if waiting.get(net, (None,))[0] == time:
                    _, values[net] = waiting.pop(net)
                    moved.add(net)
                    counts.setdefault(net, [0, 0])[1 - values[net]] += 1
            for place in sorted({place for net in moved for place in readers.get(net, ())}):
                function, pins, target, late = gates[place]
                value = function(1, *[values.get(net, 0) for net in pins]) & 1
                if value == values[target]:
                    waiting.pop(target, None)
                elif target not in waiting:
                    delay = min(late[net][1 - value] for net in moved if net in late)
                    waiting[target] = (time + delay, value)
                    heapq.heappush(events, (time + delay, target))
    return {net: (rises, falls) for net, (rises, falls) in counts.items()}


def test_every_edge_is_that_of_a_simulation_event_by_event(seed: int):
    spec = DotSpec(block_size=2)
    mapped = mapped_of(spec, 0)
    simulated = ActivitySimulation(mapped, MODELS)
    stimulus = random(spec, 12, seed=seed, stalls=False)
    inputs = {
        port: lanes_of(words[:, np.newaxis], len(mapped.inputs[port]))
        for port, words in stimulus.words().items()
    }
    activity = simulated.run(inputs, 1)
    assert activity.transitions == by_events(simulated, inputs)
    assert sum(map(sum, activity.transitions.values())) > 1.5 * sum(map(sum, activity.settled.values()))


def test_lanes_do_not_touch_each_other(seed: int):
    spec = DotSpec(block_size=2)
    mapped = mapped_of(spec, 0)
    simulated = ActivitySimulation(mapped, MODELS)
    words = random(spec, 12, seed=seed, stalls=False).words()
    inputs = {
        port: lanes_of(some.reshape(3, 4, -1), len(mapped.inputs[port])) for port, some in words.items()
    }
    together = simulated.run(inputs, 1).transitions
    alone = [
        simulated.run({port: some[:, :, k : k + 1] for port, some in inputs.items()}, 1).transitions
        for k in range(4)
    ]
    assert together == {
        net: tuple(sum(one.get(net, (0, 0))[edge] for one in alone) for edge in (0, 1)) for net in together
    }


@pytest.mark.parametrize(("accumulate", "stages"), [("none", 0), ("fp32", 2)])
def test_what_settles_is_what_the_hardware_computes(accumulate: str, stages: int, seed: int):
    spec = DotSpec(block_size=2, accumulate=accumulate)  # type: ignore[arg-type]
    mapped = mapped_of(spec, stages)
    stimulus = random(spec, 40, seed=seed, longest=2, stalls=False)
    words = stimulus.words() | {
        "i_first": stimulus.first[:, np.newaxis].astype(np.uint32),
        "i_last": stimulus.last[:, np.newaxis].astype(np.uint32),
    }
    inputs = {
        port: lanes_of(array[:, np.newaxis], len(mapped.inputs[port]))
        for port, array in words.items()
        if port in mapped.inputs
    }
    steady = {"rst": 0, "i_valid": 1, "o_ready": 1}
    inputs |= {port: one_bit(*[value] * 40) for port, value in steady.items() if port in mapped.inputs}
    simulated = ActivitySimulation(mapped, MODELS)
    results = [
        sum(int(values[net][0]) << k for k, net in enumerate(mapped.outputs["o_result"]))
        for values, _ in simulated.still(inputs)
        if stages == 0 or values[mapped.outputs["o_valid"][0]][0]
    ]
    expected = [int(bits) for bits in stimulus.expected()]
    assert len(results) > 5
    # The last ones of a pipeline are still under way at the end.
    assert results == (expected if stages == 0 else expected[: len(results)])


def test_parameters():
    netlist = MappedNetlist({"a": (0,)}, {"y": (1,)}, (CellInstance("INV_X1", {"A": 0, "Y": 1}),))
    with pytest.raises(ValueError, match=whole("input a must have vectors, not none")):
        ActivitySimulation(netlist, MODELS).run({"b": one_bit(0, 0, 0)}, 1)
    with pytest.raises(ValueError, match=whole("cycles must be more than 1 to be counted, not 1")):
        ActivitySimulation(netlist, MODELS).run({"a": one_bit(0)}, 1)
