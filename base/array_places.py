"""How error messages name a place in an array."""

from collections.abc import Sequence

import numpy as np

__all__ = ["index_text"]


def index_text(flat: int, shape: Sequence[int]) -> str:
    """Return a flat index into an array of `shape` as text: ``[3]``, ``[1, 2]``, or ``[]``."""
    index = np.unravel_index(flat, tuple(shape)) if shape else ()
    return "[" + ", ".join(str(int(i)) for i in index) + "]"
