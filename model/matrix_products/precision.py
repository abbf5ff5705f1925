"""In which precision a unit's products are added, and whether it holds every partial sum."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..spec import DotSpec

__all__ = ["DOUBLE_BITS", "UnitPlan", "block_bits", "precision"]

_SINGLE_BITS: Final = 24
DOUBLE_BITS: Final = 53


@dataclass(frozen=True)
class UnitPlan:
    """How the units of a product are computed.

    Attributes:
        blocks: Blocks of a unit.
        dtype: The precision its products are computed in.
        exact: Whether that precision holds every partial sum.
    """

    blocks: int
    dtype: np.dtype[np.float32 | np.float64]
    exact: bool


def precision(spec: DotSpec, bits: int) -> np.dtype[np.float32 | np.float64] | None:
    """Return a precision that holds integers of so many bits times a quantum; None if neither does."""
    # All binary32's normal numbers, so that no unit need have subnormals.
    inside = spec.quantum_exponent >= -126 and spec.quantum_exponent + spec.window_bits <= 127
    if bits <= _SINGLE_BITS and inside:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if bits <= DOUBLE_BITS else None


def block_bits(spec: DotSpec) -> int:
    """Return the bits of sums within one block, whose products share the two scales."""
    return (spec.largest_sum * spec.largest_scale_significand).bit_length()
