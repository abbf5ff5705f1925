"""Believing a unit: comparison with the model, proofs, mutants, coverage, soak and conformance vectors."""

from .compare import Comparison, Mismatch, compare

__all__ = ["Comparison", "Mismatch", "compare"]
