"""What a unit costs and what it buys: comparisons with error bars."""
