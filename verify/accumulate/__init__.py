"""How each accumulation is checked: its descriptions, its trace, its coverage bins and what meets them."""

from ..accumulation_checks import ACCUMULATION_CHECKS
from .aligned import ALIGNED
from .chain import CHAIN
from .exact import EXACT
from .fp32 import FP32
from .none import NONE

__all__ = ["ACCUMULATION_CHECKS"]

ACCUMULATION_CHECKS.register("none", NONE)
ACCUMULATION_CHECKS.register("fp32", FP32)
ACCUMULATION_CHECKS.register("exact", EXACT)
ACCUMULATION_CHECKS.register("aligned", ALIGNED)
ACCUMULATION_CHECKS.register("chain", CHAIN)
