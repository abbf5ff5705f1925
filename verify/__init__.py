"""Believing a unit: comparison with the model, proofs, mutants, coverage, soak and conformance vectors."""

from .accumulate import ACCUMULATION_CHECKS
from .compare import Comparison, Mismatch, compare

__all__ = ["ACCUMULATION_CHECKS", "Comparison", "Mismatch", "compare"]
