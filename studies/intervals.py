"""How pages print a difference with its interval."""

__all__ = ["Interval", "half_width", "interval_text"]

Interval = dict[str, float]
"""``mean``, ``low`` and ``high``."""


def half_width(interval: Interval) -> float:
    """Return half of what lies between the ends."""
    return (interval["high"] - interval["low"]) / 2


def interval_text(interval: Interval, digits: int = 2, unit: str = "%") -> str:
    """Return a difference as text; ``~`` marks one that cannot be told from zero."""
    text = f"{interval['mean']:+.{digits}f} ± {half_width(interval):.{digits}f} {unit}".strip()
    resolved = interval["low"] > 0 or interval["high"] < 0
    return text if resolved else f"{text} ~"
