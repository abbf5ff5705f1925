"""What a figure is: its name, its unit, and which way is better."""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FMAX", "Better", "Metric", "fmax_of"]

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """One kind of figure.

    Attributes:
        name: What is measured, such as ``area``.
        unit: The unit figures are in, such as ``um2``; empty for a count.
        better: Which way is better.
        digits: Digits after the point that are worth printing.
    """

    name: str
    unit: str
    better: Better
    digits: int

    def text(self, value: float) -> str:
        """Return a figure as it is printed, with its unit."""
        return f"{value:.{self.digits}f} {self.unit}".rstrip()

    def to_dict(self) -> dict[str, str]:
        """Return what a JSON record says of the metric."""
        return {"name": self.name, "unit": self.unit, "better": self.better}


FMAX: Final = Metric("fmax", "MHz", "higher", 2)
"""The highest clock frequency."""


def fmax_of(period: float, unit: str) -> float | None:
    """Return the frequency of a clock period in MHz; None for none, and where its unit is none of time."""
    return 1000 / period if unit == "ns" and period else None
