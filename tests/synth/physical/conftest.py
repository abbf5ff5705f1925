"""Small placed netlists."""

import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.neutral_library import neutral


@pytest.fixture(scope="session")
def models() -> CellModels:
    return CellModels(neutral())


@pytest.fixture(scope="session")
def chain() -> MappedNetlist:
    """Forty gates in a row between two registers, whose middle feeds an output; a clock."""
    gates = [CellInstance("NAND2_X1", {"A": 10 + place, "B": 2, "Y": 11 + place}) for place in range(40)]
    registers = [
        CellInstance("DFF_X1", {"CK": 1, "D": 3, "Q": 10}),
        CellInstance("DFF_X1", {"CK": 1, "D": 50, "Q": 51}),
    ]
    return MappedNetlist(
        {"clk": (1,), "en": (2,), "i": (3,)}, {"o": (51, 30, MappedNetlist.ZERO)}, (*gates, *registers)
    )
