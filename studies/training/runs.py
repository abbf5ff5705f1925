"""Stored runs by way, and by how much ways differ."""

from typing import Final

from blockdot.lab.statistics import Estimate, relative
from blockdot.synth.metric import Metric

from ..records import StoredRecord
from .ways import FLOAT, WAYS, Way, way_of

__all__ = ["TrainingRuns"]

_LOSS: Final = Metric("loss", "nats", "lower", 4)


class TrainingRuns:
    """Stored runs, by way: those of which every seed is there, which float32 has.

    Args:
        stored: The stored rows.

    Raises:
        ValueError: If float32 was not trained from two seeds at least.
    """

    def __init__(self, stored: StoredRecord) -> None:
        found: dict[Way, dict[int, StoredRecord]] = {}
        for row in stored["runs"]:
            found.setdefault(way_of(row), {})[row["seed"]] = row
        seeds = sorted(found.get(FLOAT, {}))
        if len(seeds) < 2:
            raise ValueError(f"runs must have float32 from at least 2 seeds, not {len(seeds)}")
        self.seeds = tuple(seeds)
        """What every way was trained from."""
        self.rows = {
            way: [found[way][seed] for seed in seeds]
            for way in WAYS
            if way in found and set(seeds) <= set(found[way])
        }
        """The rows of each way, in the order of the seeds."""

    @property
    def missing(self) -> list[Way]:
        """The ways that were not trained from every seed."""
        return [way for way in WAYS if way not in self.rows]

    def losses(self, way: Way) -> list[float]:
        """Return the loss of the held-out text at the end, of each seed."""
        return [row["held_out"][-1] for row in self.rows[way]]

    def difference(self, before: Way, after: Way) -> Estimate | None:
        """Return by how many per cent of the loss two ways differ, seed by seed; None if one is missing."""
        if before not in self.rows or after not in self.rows:
            return None
        return relative(_LOSS, self.losses(before), self.losses(after))
