"""What a scale format adds to the wires of units, and what wires add to units."""
