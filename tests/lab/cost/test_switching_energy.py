import numpy as np
import pytest
from blockdot.lab.cost.switching_energy import energy_of
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.neutral_library import CELLS, neutral
from messages import whole

INVERTER = MappedNetlist({"a": (0,)}, {"y": (1,)}, (CellInstance("INV_X1", {"A": 0, "Y": 1}),))
MODELS = CellModels(neutral())


def test_the_energy_of_vectors_in_lanes():
    # Three lanes of three cycles, of which the last is counted: lane 0 rises, lane 1 falls, lane 2 rests.
    words = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1], np.uint32)[:, np.newaxis]
    energy = energy_of(INVERTER, MODELS, {"a": words}, lanes=3, latency=0 + 1)
    edge = 1 / 2 + (CELLS["INV"].capacitance(1) + 4) / 2
    assert energy.total == pytest.approx(2 * edge / 3)


def test_a_port_that_stays_takes_nothing():
    words = {"b": np.zeros((6, 1), np.uint32)}
    assert energy_of(INVERTER, MODELS, words, lanes=2, latency=0, constants=[("a", 1)]).total == 0.0


def test_parameters():
    with pytest.raises(ValueError, match=whole("vectors must be at least 8 for 4 lanes, not 4")):
        energy_of(INVERTER, MODELS, {"a": np.zeros((4, 1), np.uint32)}, lanes=4, latency=0)
