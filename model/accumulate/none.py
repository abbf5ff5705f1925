"""``none``: each group gives a result."""

from .accumulation import Accumulation

__all__ = ["NONE"]

NONE = Accumulation(meaning="a result for every input", sums=None)
