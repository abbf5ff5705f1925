"""Differences with their intervals, as stored results have them and as pages print them."""

from blockdot.lab.statistics import Estimate

__all__ = ["Interval", "half_width", "interval_of", "interval_text"]

Interval = dict[str, float]
"""``mean``, ``low`` and ``high``."""


def interval_of(estimate: Estimate, unit: float = 1.0) -> Interval:
    """Return an estimate as stored results have it, in units of so much."""
    low, high = estimate.interval
    return {"mean": estimate.mean / unit, "low": low / unit, "high": high / unit}


def half_width(interval: Interval) -> float:
    """Return half of what lies between the ends."""
    return (interval["high"] - interval["low"]) / 2


def interval_text(interval: Interval, digits: int = 2, unit: str = "%") -> str:
    """Return a difference as text; ``~`` marks one that cannot be told from zero."""
    text = f"{interval['mean']:+.{digits}f} ± {half_width(interval):.{digits}f} {unit}".strip()
    resolved = interval["low"] > 0 or interval["high"] < 0
    return text if resolved else f"{text} ~"
