import numpy as np
import pytest
from blockdot.hw import DotUnit, to_rtlil
from blockdot.lab.cost.switching_energy import Simulation, energy_of, lanes_of
from blockdot.model import DotSpec
from blockdot.sim.stimulus import random
from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import Synthesizer
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import CELLS, neutral
from blockdot.synth.recipes import choose
from messages import whole

MODELS = CellModels(neutral())


def simulation(
    *gates: tuple[str, dict[str, int]], inputs: dict[str, tuple[int, ...]], out: int
) -> Simulation:
    instances = tuple(CellInstance(cell, pins) for cell, pins in gates)
    return Simulation(MappedNetlist(inputs, {"y": (out,)}, instances), MODELS)


def test_lanes(rng):
    words = rng.integers(0, 1 << 32, (3, 5, 2), dtype=np.uint32)
    lanes = lanes_of(words, 40)
    for cycle, lane, bit in ((0, 0, 0), (1, 4, 31), (2, 3, 39)):
        word = int(words[cycle, lane, bit // 32])
        assert lanes[cycle][bit] >> lane & 1 == word >> bit % 32 & 1


def test_an_inverter_by_hand():
    inverter = simulation(("INV_X1", {"A": 0, "Y": 1}), inputs={"a": (0,)}, out=1)
    # Two lanes, four cycles of which two are counted: 0 1 0 1 and 1 1 1 0.
    activity = inverter.run({"a": [[0b10], [0b11], [0b10], [0b01]]}, 2, 2)
    assert activity.transitions == {0: (1, 2), 1: (2, 1)}
    assert activity.settled == activity.transitions
    assert activity.vectors == 4
    # Each edge: half of the unit input of 1, of the inside's parasitic of 1, and of the output load of 4.
    energy = inverter.energy(activity)
    assert energy.total == pytest.approx((3 * 1 / 2 + 3 * (CELLS["INV"].capacitance(1) + 4) / 2) / 4)
    assert (energy.settled, energy.clock) == (energy.total, 0.0)


def hazard(*between: str) -> Simulation:
    """An AND of a signal and what a chain of inverters makes of it: 0, but for what comes late."""
    chain = [("INV_X1", {"A": k, "Y": k + 1}) for k, _ in enumerate(between)]
    last = len(between)
    return simulation(*chain, ("AND2_X1", {"A": 0, "B": last, "Y": 99}), inputs={"a": (0,)}, out=99)


def test_a_late_input_makes_a_glitch_that_settling_alone_would_not_show():
    activity = hazard(*"abcdefg").run({"a": [[0], [0], [1], [1]]}, 1, 1)
    assert activity.transitions[99] == (1, 1)
    assert 99 not in activity.settled
    long = hazard(*"abcdefg")
    energy = long.energy(activity)
    assert energy.total > energy.settled


def test_a_pulse_shorter_than_the_gate_s_delay_does_not_pass():
    activity = hazard("a").run({"a": [[0], [0], [1], [1]]}, 1, 1)
    assert 99 not in activity.transitions


def test_a_register_shows_what_it_saw_a_cycle_before_and_its_clock_costs():
    register = simulation(("DFF_X1", {"CK": 0, "D": 1, "Q": 2}), inputs={"clk": (0,), "d": (1,)}, out=2)
    activity = register.run({"d": [[0], [1], [0], [0]]}, 1, 1)
    assert activity.transitions == {1: (1, 1), 2: (1, 1)}
    # Two clock edges a cycle: the pin's 1, and what is inside.
    assert register.energy(activity).clock == pytest.approx(1 + 2 * MODELS["DFF_X1"].energy["CK"](0, 0, 0))


@pytest.mark.parametrize(("accumulate", "stages"), [("none", 0), ("fp32", 2)])
def test_what_settles_is_what_the_hardware_computes(accumulate: str, stages: int, seed: int):
    spec = DotSpec(block_size=2, accumulate=accumulate)  # type: ignore[arg-type]
    unit = DotUnit(spec, stages=stages)
    with Synthesizer(neutral()) as synthesizer:
        mapped = synthesizer.map(Netlist(to_rtlil(unit), unit.name), choose(["a2"]))["a2"]
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
    inputs |= {port: [[value]] * 40 for port, value in steady.items() if port in mapped.inputs}
    results: list[int] = []

    class Watched(Simulation):
        def _settle(self, values, changes, every, counts) -> None:
            super()._settle(values, changes, every, counts)
            shown = [values[net] for net in mapped.outputs["o_result"]]
            valid = stages == 0 or values[mapped.outputs["o_valid"][0]]
            if valid:
                results.append(sum(bit << k for k, bit in enumerate(shown)))

    Watched(mapped, CellModels(neutral())).run(inputs, 1, 1)
    expected = [int(bits) for bits in stimulus.expected()]
    # The first vector is there before the first cycle; the last ones are still under way at the end.
    wanted = expected[1:] if stages == 0 else expected
    assert len(results) > 5
    found = results if stages == 0 else results[: len(wanted)]
    assert found == wanted[: len(found)]


def test_parameters():
    netlist = MappedNetlist({"a": (0,)}, {"y": (1,)}, (CellInstance("INV_X1", {"A": 0, "Y": 1}),))
    words = {"a": np.zeros((4, 1), np.uint32)}
    with pytest.raises(ValueError, match=whole("vectors must be at least 8 for 4 lanes, not 4")):
        energy_of(netlist, MODELS, words, lanes=4, latency=0)
    with pytest.raises(ValueError, match=whole("input a must have vectors, not none")):
        Simulation(netlist, MODELS).run({"b": [[0]] * 3}, 1, 1)
    with pytest.raises(ValueError, match=whole("cycles must be more than 1 to be counted, not 1")):
        Simulation(netlist, MODELS).run({"a": [[0]]}, 1, 1)
