"""How a product is cut up: tiles of the result that stay in a cache, and whole ones of the kernels."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Final

import numpy.typing as npt

__all__ = [
    "COMPILED_ALIGNED_TILING",
    "COMPILED_TILING",
    "COMPUTED_TILING",
    "KERNEL",
    "TILINGS",
    "Tiling",
    "cut",
    "tiles",
    "whole_tiles",
]


@dataclass(frozen=True)
class Tiling:
    """How a product is cut up to be computed, which changes no bit of it.

    Attributes:
        rows: Rows of a tile of the result, at most.
        columns: Columns of one.
        folded: Elements of A kept decoded at a time, and as many of B.
    """

    rows: int
    columns: int
    folded: int = 1 << 22


# Rows and columns of a tile of the result. A product of one block is cheap against the tile it is added to:
# both have to stay in a level-2 cache, and with blocks of 16 it is just small enough, at 10**6
# multiplications, for OpenBLAS not to copy the operands first. `exact` has few products, which BLAS does best
# at one go; `aligned` works with several arrays of float64.
TILINGS: Final[dict[str, Tiling]] = {
    "none": Tiling(176, 352),
    "fp32": Tiling(176, 352),
    "exact": Tiling(1024, 1024),
    "aligned": Tiling(64, 512),
}
# For an accumulation that has no form of its own here.
COMPUTED_TILING: Final = Tiling(64, 512)
# About as large where the loops are compiled, which keep accumulators in registers and read tiles seldom.
COMPILED_TILING: Final = Tiling(210, 512)
# A row of the kernels' tiles is worked with in a level-1 cache, with all terms of a step.
COMPILED_ALIGNED_TILING: Final = Tiling(210, 256)
# Rows of registers in the kernels of a BLAS: a tile of another height leaves some of them empty.
KERNEL: Final = 16


def cut(whole: slice, step: int) -> Iterator[slice]:
    """Cut a slice into slices of at most `step`."""
    for start in range(whole.start, whole.stop, step):
        yield slice(start, min(start + step, whole.stop))


def tiles(whole: slice, step: int, kernel: int) -> Iterator[slice]:
    """Cut a slice into slices of at most `step`, as even as kernels of a height or width like them."""
    length = whole.stop - whole.start
    even = -(-length // max(1, -(-length // step)))
    return cut(whole, max(1, min(step, -(-even // kernel) * kernel)))


def whole_tiles(
    compiled: ModuleType, dtype: npt.DTypeLike, tiling: Tiling
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns of the kernels' tiles, and those of a tile of the result made of whole ones."""
    rows, columns = compiled.tile_shape(dtype)
    return (rows, columns), (max(1, tiling.rows // rows) * rows, max(1, tiling.columns // columns) * columns)
