"""What becomes of groups: one module for each accumulation."""

from .accumulation import ACCUMULATIONS, Accumulation, GroupSums, StartedSums
from .aligned import ALIGNED
from .chain import CHAIN
from .exact import EXACT
from .fp32 import FP32
from .none import NONE

__all__ = ["ACCUMULATIONS", "Accumulation", "GroupSums", "StartedSums"]

ACCUMULATIONS.register("none", NONE)
ACCUMULATIONS.register("fp32", FP32)
ACCUMULATIONS.register("exact", EXACT)
ACCUMULATIONS.register("aligned", ALIGNED)
ACCUMULATIONS.register("chain", CHAIN)
