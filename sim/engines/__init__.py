"""The simulators that can run a unit, and one way to call them."""
