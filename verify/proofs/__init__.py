"""Proofs: each piece of a unit against an independent description, and the unit against its pieces."""

from .claims import Proof, prove
from .solver_error import SolverError

__all__ = ["Proof", "SolverError", "prove"]
