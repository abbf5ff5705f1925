"""``exact``: a fixed-point sum of all blocks."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..fixed_point import LARGEST_EXPONENT, LEAST_EXPONENT, FixedPointSum
from .accumulation import Accumulation

if TYPE_CHECKING:  # a specification asks for its accumulation
    from ..spec import DotSpec

__all__ = ["EXACT", "ExactSums"]


class ExactSums:
    """The sum of every V in fixed point, and of C, rounded at the end."""

    def __init__(self, spec: "DotSpec", shape: tuple[int, ...]) -> None:
        self._spec = spec
        quantum, bits = spec.quantum_exponent, spec.accumulator_bits
        if spec.takes_c:
            # Wide enough for every binary32 number as well, and for a carry.
            top = max(quantum + bits, LARGEST_EXPONENT + 2) + 1
            quantum = min(quantum, LEAST_EXPONENT)
            bits = top - quantum
        self._sum = FixedPointSum(shape, quantum_exponent=quantum, bits=bits)

    def start(self, c: npt.NDArray[np.float32]) -> None:
        """See `StartedSums`."""
        self._sum.add(c.astype(np.float64)[..., np.newaxis])

    def add(self, *codes: npt.NDArray[np.unsignedinteger]) -> None:
        """See `GroupSums`."""
        terms = self._spec.block_terms(*codes)
        self._sum.add(terms.reshape(*terms.shape[:-2], -1))

    def result(self) -> npt.NDArray[np.float32]:
        """See `GroupSums`."""
        return self._sum.rounded(self._spec.end_rounding)


EXACT = Accumulation(
    meaning="fixed point, rounded once",
    sums=ExactSums,
    guard=True,
    end_formats=("binary16", "bfloat16"),
    exact=True,
    starts_at_c=True,
)
