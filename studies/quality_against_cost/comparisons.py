"""Ways to quantize that differ in one thing, held against each other, and how that is told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from blockdot.lab.statistics import Estimate

from ..records import StoredRecord
from .points import NARROW_POWER, SIZES, evaluated, paired_difference, percent

__all__ = [
    "BIT_AT_ABSMAX",
    "BOTH_OPERANDS",
    "LINES",
    "NAMES",
    "TENSOR",
    "TITLES",
    "WEIGHTS",
    "WayComparison",
    "comparisons",
    "told_difference",
    "told_small_difference",
]

NAMES: Final = {0: "wide", NARROW_POWER: "narrow"}
"""What the model's width is called in short."""

# Per cent of perplexity below which a difference is not told.
_LEAST: Final = 0.001

_FINER: Final = "finer blocks: each size against twice as much, `absmax`"
BIT_AT_ABSMAX: Final = "UE5M3 against UE4M3, `absmax`"
_RECIPES: Final = "UE5M3, `absmax`, against UE4M3, `four_over_six`"
WEIGHTS: Final = "`four_over_six` for weights alone, against `absmax` for both"
BOTH_OPERANDS: Final = "`four_over_six` for activations too, against that for weights alone"
_POWERS: Final = "UE8M0, `floor`, against UE4M3, `absmax`"
TENSOR: Final = "UE4M3 with a tensor scale against UE5M3 without, `absmax`"
LINES: Final = (
    (BIT_AT_ABSMAX,),
    (_RECIPES, TENSOR),
    (_FINER,),
    (WEIGHTS, BOTH_OPERANDS),
    (_POWERS,),
)
"""What is compared, in the order of the page; what stands together is told in one line."""

TITLES: Final = tuple(title for titles in LINES for title in titles)


@dataclass(frozen=True)
class WayComparison:
    """Ways that differ in one thing.

    Attributes:
        title: What is compared with what.
        model: Of which model, and of which scale format where both are compared.
        pairs: By the size of the block, the way that the other is held against and the other.
    """

    title: str
    model: str
    pairs: dict[int, tuple[StoredRecord, StoredRecord]]

    @classmethod
    def of(
        cls, title: str, model: str, pairs: Iterable[tuple[int, StoredRecord | None, StoredRecord | None]]
    ) -> "WayComparison":
        """Return a comparison of the ways that were evaluated."""
        return cls(title, model, {size: (a, b) for size, a, b in pairs if a and b})

    def verdict(self) -> str:
        """Return for which sizes perplexity is lower, higher or neither for sure."""
        told: dict[str, list[str]] = {"lower": [], "higher": [], "open": []}
        for size, (before, after) in self.pairs.items():
            found = paired_difference(before, after)
            mean = percent(found)[0]
            if found.resolved:
                told["lower" if mean < 0 else "higher"].append(f"{size} ({mean:+.1f} %)")
            else:
                told["open"].append(str(size))
        parts = [f"{name} at {', '.join(sizes)}" for name, sizes in told.items() if sizes]
        return f"{self.model}: {'; '.join(parts)}"

    def cells(self) -> Iterator[str]:
        """Yield the difference of each size."""
        for size in SIZES:
            yield told_difference(*self.pairs[size]) if size in self.pairs else ""


def comparisons(stored: StoredRecord) -> list[WayComparison]:
    """Return what is compared, of what was evaluated."""
    rows = _Rows(stored)
    found: list[WayComparison] = []
    for narrow, name in NAMES.items():
        four, five, eight = (
            {size: rows.find(scale, size, method, narrow=narrow) for size in SIZES}
            for scale, method in (("ue4m3", "absmax"), ("ue5m3", "absmax"), ("ue8m0", "floor"))
        )
        chosen = {size: rows.find("ue4m3", size, "four_over_six", narrow=narrow) for size in SIZES}
        tensor = {size: rows.find("ue4m3", size, tensor_scale=True) for size in SIZES}
        for scale, plain in (("ue4m3", four), ("ue5m3", five)):
            model = f"{name}, {scale}"
            finer = ((size, plain[2 * size], plain[size]) for size in SIZES[:-1])
            found.append(WayComparison.of(_FINER, model, finer))
            weights = {
                size: rows.find(scale, size, "four_over_six", "absmax", narrow=narrow) for size in SIZES
            }
            both = {size: rows.find(scale, size, "four_over_six", narrow=narrow) for size in SIZES}
            found.append(WayComparison.of(WEIGHTS, model, _pairs(plain, weights)))
            found.append(WayComparison.of(BOTH_OPERANDS, model, _pairs(weights, both)))
        found.append(WayComparison.of(BIT_AT_ABSMAX, name, _pairs(four, five)))
        found.append(WayComparison.of(_RECIPES, name, _pairs(chosen, five)))
        found.append(WayComparison.of(_POWERS, name, _pairs(four, eight)))
        found.append(WayComparison.of(TENSOR, name, _pairs(five, tensor)))
    return [one for one in found if one.pairs]


def told_difference(before: StoredRecord, after: StoredRecord) -> str:
    """Return how much higher or lower the perplexity of one way is than another's, and how sure that is."""
    mean, low, high = percent(paired_difference(before, after))
    told = f"{mean:+.1f} % ({low:+.1f} to {high:+.1f})"
    return told if paired_difference(before, after).resolved else f"{told} ~"


def told_small_difference(estimate: Estimate) -> str:
    """Return a difference with three digits, or that it is less than any that is told."""
    mean, low, high = percent(estimate)
    if max(abs(low), abs(high)) < _LEAST:
        return f"less than {_LEAST} %"
    return f"{mean:+.3f} % ({low:+.3f} to {high:+.3f})" + ("" if estimate.resolved else " ~")


class _Rows:
    """The evaluated ways, to be looked up."""

    def __init__(self, stored: StoredRecord) -> None:
        self._rows = evaluated(stored)

    def find(
        self,
        scale: str,
        block_size: int,
        method: str = "absmax",
        activation_method: str | None = None,
        *,
        narrow: int = 0,
        operands: str = "both",
        tensor_scale: bool = False,
    ) -> StoredRecord | None:
        """Return the row of one way; None where it was not evaluated."""
        chosen = None if operands == "weights" else activation_method or method
        # A factor of two changes nothing under a scale that takes it up whole.
        wanted = (scale, block_size, method, chosen, tensor_scale, operands)
        factor = 0 if tensor_scale or scale == "ue8m0" else narrow
        for row in self._rows:
            names = ("scale", "block_size", "method", "activation_method", "tensor_scale", "operands")
            if tuple(row[name] for name in names) == wanted and row["narrow"] == factor:
                return row
        return None


def _pairs(
    before: Mapping[int, StoredRecord | None], after: Mapping[int, StoredRecord | None]
) -> Iterator[tuple[int, StoredRecord | None, StoredRecord | None]]:
    return ((size, before[size], after[size]) for size in SIZES)
