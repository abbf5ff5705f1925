"""What is raised where a question cannot be answered."""

__all__ = ["SolverError"]


class SolverError(RuntimeError):
    """A solver gave no answer."""
