"""Statistics of a few repeated measurements: spread, and the error bar of a paired difference."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from ..model.distributions import student_probability
from ..synth.metric import Metric

__all__ = [
    "BOOTSTRAP_LEAST",
    "LEVEL",
    "Estimate",
    "Summary",
    "difference_text",
    "relative",
    "t_quantile",
]

LEVEL: Final = 0.95
"""The confidence of every interval."""

BOOTSTRAP_LEAST: Final = 8
"""With fewer measurements an interval is Student's: resampling so few cannot reach beyond their range."""

_RESAMPLES: Final = 10_000
_PERCENT_DIGITS: Final = 2

# Halvings of pi / 2: beyond what a float64 resolves.
_BISECTIONS: Final = 60


def t_quantile(level: float, freedom: int) -> float:
    """Return the t for which a Student variable lies within -t and t with probability `level`.

    Args:
        level: Between 0 and 1.
        freedom: Degrees of freedom, at least 1.

    Raises:
        ValueError: If a parameter is outside its domain.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    if freedom < 1:
        raise ValueError(f"freedom must be at least 1, not {freedom!r}")
    low, high = 0.0, math.pi / 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if student_probability(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(freedom)


def difference_text(mean: float, low: float, high: float, digits: int, unit: str) -> str:
    """Return a difference and its interval as they are printed: ``+0.46 ± 0.10 %``.

    A bootstrap's interval need not have its mean in the middle. Where half its width would tell of zero what
    the interval does not, its ends are printed: ``-2.84 (-5.80 to -0.10) %``.

    Args:
        mean: The difference.
        low: Where the interval begins.
        high: Where it ends.
        digits: Digits behind the point.
        unit: The unit; empty for none.
    """
    margin = (high - low) / 2
    if (abs(mean) > margin) == (low > 0 or high < 0):
        text = f"{mean:+z.{digits}f} ± {margin:.{digits}f}"
    else:
        text = f"{mean:+z.{digits}f} ({low:+z.{digits}f} to {high:+z.{digits}f})"
    return f"{text} {unit}".rstrip()


@dataclass(frozen=True)
class Summary:
    """One unit's figures over several functionally equal netlists.

    Attributes:
        metric: What they are.
        values: The figures, in the order of the netlists.
    """

    metric: Metric
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle figure."""
        return statistics.median(self.values)

    @property
    def minimum(self) -> float:
        """The least figure."""
        return min(self.values)

    @property
    def maximum(self) -> float:
        """The largest figure."""
        return max(self.values)

    @property
    def deviation(self) -> float:
        """The sample standard deviation; 0 for a single figure."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def text(self) -> str:
        """Return the median and the spread as they are printed."""
        low, high = (f"{value:.{self.metric.digits}f}" for value in (self.minimum, self.maximum))
        return f"{self.metric.text(self.median)} ({low} to {high})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            **self.metric.to_dict(),
            "median": self.median,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "deviation": self.deviation,
            "values": list(self.values),
        }


@dataclass(frozen=True)
class Estimate:
    """A difference, measured several times, and how well it is known.

    The interval is a bootstrap's for the mean: that of the means of resampled measurements. Its percentiles
    are widened for small samples as T. Hesterberg does ("What Teachers Should Know About the Bootstrap", The
    American Statistician 69(4), 2015, section 3.4), without which it would cover less than it says. Below
    `BOOTSTRAP_LEAST` measurements it is Student's. The same measurements always give the same interval.

    Attributes:
        metric: What the differences are of, in their unit.
        values: The differences, one for each pair.
    """

    metric: Metric
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ValueError(f"values must be at least 2 for an error bar, not {len(self.values)}")

    @property
    def mean(self) -> float:
        """The mean difference: the estimate."""
        return statistics.fmean(self.values)

    @property
    def median(self) -> float:
        """The middle difference."""
        return statistics.median(self.values)

    @property
    def standard_error(self) -> float:
        """The standard error of the mean."""
        return statistics.stdev(self.values) / math.sqrt(len(self.values))

    @property
    def method(self) -> Literal["bootstrap", "student"]:
        """What the interval is."""
        return "bootstrap" if len(self.values) >= BOOTSTRAP_LEAST else "student"

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        low, high = self.interval
        return (high - low) / 2

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The interval in which the mean of infinitely many pairs lies, with confidence `LEVEL`."""
        count = len(self.values)
        quantile = t_quantile(LEVEL, count - 1)
        if self.method == "student":
            margin = quantile * self.standard_error
            return self.mean - margin, self.mean + margin
        values = np.array(self.values)
        drawn = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
        tail = statistics.NormalDist().cdf(-math.sqrt(count / (count - 1)) * quantile)
        low, high = np.quantile(values[drawn].mean(axis=1), [tail, 1 - tail])
        return float(low), float(high)

    @property
    def resolved(self) -> bool:
        """Whether there is a difference at all: whether zero lies outside the interval."""
        low, high = self.interval
        return low > 0 or high < 0

    def text(self) -> str:
        """Return the mean and the interval as they are printed."""
        return difference_text(self.mean, *self.interval, self.metric.digits, self.metric.unit)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        low, high = self.interval
        return {
            **self.metric.to_dict(),
            "mean": self.mean,
            "median": self.median,
            "standard_error": self.standard_error,
            "level": LEVEL,
            "method": self.method,
            "low": low,
            "high": high,
            "resolved": self.resolved,
            "values": list(self.values),
        }


def relative(metric: Metric, before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Return the differences of figures that belong in pairs, in percent of the first of each.

    A figure that is zero has no relative difference; it counts as no difference.
    """
    percent = replace(metric, unit="%", digits=_PERCENT_DIGITS)
    pairs = zip(before, after, strict=True)
    return Estimate(percent, tuple(100 * (b - a) / a if a else 0.0 for a, b in pairs))
