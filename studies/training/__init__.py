"""A small language model trained with the products of units: what formats and sums do to its loss."""
