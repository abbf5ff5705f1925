"""The units that tables and runs over all are about: every scale format, accumulation, size and depth."""

from collections.abc import Iterator
from typing import Final

from ..model import DotSpec
from ..model.dot import Accumulate

__all__ = ["ACCUMULATES", "BLOCK_SIZES", "MOST_STAGES", "SCALES", "variants"]

SCALES: Final = ("ue4m3", "ue5m3", "ue4m4", "ue8m0")
ACCUMULATES: Final[tuple[Accumulate, ...]] = ("none", "fp32", "exact", "aligned")
BLOCK_SIZES: Final = (8, 16, 32)
MOST_STAGES: Final = 5


def variants() -> Iterator[tuple[DotSpec, int]]:
    """Yield specification and stages of each unit: by accumulation, size, stages and scale format."""
    for accumulate in ACCUMULATES:
        for block_size in BLOCK_SIZES:
            for stages in range(int(accumulate != "none"), MOST_STAGES + 1):
                for scale in SCALES:
                    yield DotSpec(scale=scale, block_size=block_size, accumulate=accumulate), stages
