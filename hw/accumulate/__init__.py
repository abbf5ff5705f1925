"""Adding a group to the sum so far: one module for each kind of accumulator."""
