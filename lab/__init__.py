"""What a unit costs and what it buys: comparisons with error bars."""

from .compare import Comparison, Cost, Delta, Unit, compare, default_units
from .estimate import Estimate, Summary

__all__ = ["Comparison", "Cost", "Delta", "Estimate", "Summary", "Unit", "compare", "default_units"]
