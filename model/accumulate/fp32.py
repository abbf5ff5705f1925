"""``fp32``: groups are rounded, and added in binary32."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..fixed_point import canonical
from .accumulation import Accumulation

if TYPE_CHECKING:  # a specification asks for its accumulation
    from ..spec import DotSpec

__all__ = ["FP32", "Fp32Sums"]


class Fp32Sums:
    """``acc = binary32(acc + R)``, R the rounded group; the first group replaces acc, unless that is C."""

    def __init__(self, spec: "DotSpec", shape: tuple[int, ...]) -> None:
        self._spec = spec
        del shape
        self._sum: npt.NDArray[np.float32] | None = None

    def start(self, c: npt.NDArray[np.float32]) -> None:
        """See `StartedSums`."""
        self._sum = c.copy()

    def rounded(self, *codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float32]:
        """Return R of groups: `add`'s arguments."""
        return self._spec.rounded(self._spec.block_terms(*codes))

    def add(self, *codes: npt.NDArray[np.unsignedinteger]) -> None:
        """See `GroupSums`."""
        rounded = self.rounded(*codes)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for g in range(rounded.shape[-1]):
                if self._sum is None:
                    self._sum = rounded[..., g].copy()
                else:
                    self._sum += rounded[..., g]

    def result(self) -> npt.NDArray[np.float32]:
        """See `GroupSums`."""
        assert self._sum is not None
        return canonical(self._sum)


FP32 = Accumulation(
    meaning="binary32 addition", sums=Fp32Sums, end_formats=("binary16", "bfloat16"), starts_at_c=True
)
