"""Differences with their intervals, as stored results have them and as pages print them."""

from blockdot.lab.statistics import Estimate, difference_text

__all__ = ["Interval", "half_width", "interval_of", "interval_text", "rounded_interval"]

Interval = dict[str, float]
"""``mean``, ``low`` and ``high``."""


def interval_of(estimate: Estimate, unit: float = 1.0) -> Interval:
    """Return an estimate as stored results have it, in units of so much."""
    low, high = estimate.interval
    return {"mean": estimate.mean / unit, "low": low / unit, "high": high / unit}


def rounded_interval(estimate: Estimate) -> Interval:
    """Return an estimate as `interval_of` does, to four digits behind the point."""
    return {name: round(value, 4) for name, value in interval_of(estimate).items()}


def half_width(interval: Interval) -> float:
    """Return half of what lies between the ends."""
    return (interval["high"] - interval["low"]) / 2


def interval_text(interval: Interval, digits: int = 2, unit: str = "%") -> str:
    """Return a difference as text; ``~`` marks one that cannot be told from zero."""
    text = difference_text(interval["mean"], interval["low"], interval["high"], digits, unit)
    resolved = interval["low"] > 0 or interval["high"] < 0
    return text if resolved else f"{text} ~"
