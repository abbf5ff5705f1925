"""What an accumulation computes, and where each is found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ...base.registry import Registry

if TYPE_CHECKING:  # a specification asks here for its accumulation
    from ..spec import DotSpec

__all__ = ["ACCUMULATIONS", "Accumulation", "GroupSums", "StartedSums"]


class GroupSums(Protocol):
    """An array of sums, to which groups of blocks are added."""

    def add(self, *codes: npt.NDArray[np.unsignedinteger]) -> None:
        """Add groups in order: `DotSpec.block_terms`'s arguments, shaped (*shape, groups, blocks, ...)."""
        ...

    def result(self) -> npt.NDArray[np.float32]:
        """Return the sums, rounded."""
        ...


@runtime_checkable
class StartedSums(GroupSums, Protocol):
    """Sums that may start at numbers of their own, instead of at zero."""

    def start(self, c: npt.NDArray[np.float32]) -> None:
        """Start at C, before any group is added: an array shaped as the sums, every NaN 0x7FC00000."""
        ...


@dataclass(frozen=True, kw_only=True)
class Accumulation:
    """What becomes of groups.

    Attributes:
        meaning: The same in a few words, for help texts.
        sums: Makes sums of a specification, an array of that shape; None where each group gives a result.
        guard: Whether a sum holds ``2**guard`` blocks; without that, as many as there are.
        fraction: Whether `DotSpec.fraction` has an effect.
        sum_formats: What sums may be kept in, by the names of `RESULTS`; fixed point counts as binary32.
        end_formats: What sums may be rounded to at their end, likewise.
        exact: Whether results are exact values, rounded once; else a sum is rounded at its end once more.
        starts_at_c: Whether a sum may start at C, see `DotSpec.takes_c`: its sums are `StartedSums` then.
        most_blocks: The most blocks that a group may have; None for as many as a specification may.
    """

    meaning: str
    sums: "Callable[[DotSpec, tuple[int, ...]], GroupSums] | None"
    guard: bool = False
    fraction: bool = False
    sum_formats: tuple[str, ...] = ("binary32",)
    end_formats: tuple[str, ...] = ()
    exact: bool = False
    starts_at_c: bool = False
    most_blocks: int | None = None

    @property
    def results(self) -> tuple[str, ...]:
        """What results may be."""
        return self.sum_formats + self.end_formats


ACCUMULATIONS: Final = Registry[Accumulation]("accumulate")
"""By the name that a specification has for it: letters and digits."""
