"""The answer: what the extra exponent bit of a UE5M3 scale costs, and what it is worth."""
