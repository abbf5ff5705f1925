"""``none``: each group gives a result."""

from .accumulation import Accumulation

__all__ = ["NONE"]

NONE = Accumulation(
    meaning="a result for every input", sums=None, end_formats=("binary16", "bfloat16"), exact=True
)
