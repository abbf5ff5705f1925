"""Adding a group to the sum so far: one module for each accumulation, and the adders that they use."""

from .accumulator import ACCUMULATORS, Accumulator
from .aligned import ALIGNED
from .chain import CHAIN
from .exact import EXACT
from .fp32 import FP32
from .none import NONE

__all__ = ["ACCUMULATORS", "Accumulator"]

ACCUMULATORS.register("none", NONE)
ACCUMULATORS.register("fp32", FP32)
ACCUMULATORS.register("exact", EXACT)
ACCUMULATORS.register("aligned", ALIGNED)
ACCUMULATORS.register("chain", CHAIN)
