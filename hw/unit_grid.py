"""The units that tables and runs over all are about: scale formats, accumulations, sizes and depths."""

from collections.abc import Iterator
from typing import Final

from ..model import DotSpec
from .config import UnitConfig, keeps_carries, least_stages

__all__ = ["GRID_ACCUMULATES", "GRID_BLOCK_SIZES", "GRID_SCALES", "MOST_STAGES", "SEGMENTS", "variants"]

GRID_SCALES: Final = ("ue4m3", "ue5m3", "ue4m4", "ue8m0")
# Without `chain`, which for these formats is `fp32` but for what overflows.
GRID_ACCUMULATES: Final = ("none", "fp32", "exact", "aligned")
GRID_BLOCK_SIZES: Final = (8, 16, 32)
MOST_STAGES: Final = 5

SEGMENTS: Final = (1, 8)
"""Bits behind which exact accumulators of 16 elements keep carries too: a carry-save register, and few."""


def variants() -> Iterator[UnitConfig]:
    """Yield the configuration of each unit, in the form for area.

    They are ordered by accumulation, size, segment, stages and scale format.
    """
    for accumulate in GRID_ACCUMULATES:
        for block_size in GRID_BLOCK_SIZES:
            specs = [
                DotSpec(scale=scale, block_size=block_size, accumulate=accumulate) for scale in GRID_SCALES
            ]
            kept = SEGMENTS if keeps_carries(specs[0]) and block_size == 16 else ()
            for segment in (None, *kept):
                for stages in range(least_stages(specs[0]), MOST_STAGES + 1):
                    for spec in specs:
                        yield UnitConfig(spec, stages=stages, segment=segment)
