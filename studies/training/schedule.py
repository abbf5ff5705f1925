"""How large the model is, and how long it is trained."""

import math
from dataclasses import dataclass

__all__ = ["ModelSize", "Schedule"]


@dataclass(frozen=True)
class ModelSize:
    """How large a model is.

    Attributes:
        layers: Its layers.
        width: Length of a token's vector; blocks lie along it.
        heads: Of attention, in each layer.
        context: Tokens that it sees at once.
    """

    layers: int = 2
    width: int = 64
    heads: int = 2
    context: int = 64


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a model is trained.

    Attributes:
        steps: Updates of the weights.
        batch: Windows of each.
        rate: The largest learning rate. It rises in the first twentieth of the steps, then falls like a
            cosine to a tenth.
        points: How many times the loss is told, at equal distances; a divisor of steps.
        held_out_windows: Windows of the text that is not trained on, each time.
    """

    steps: int = 600
    batch: int = 8
    rate: float = 6e-3
    points: int = 12
    held_out_windows: int = 64

    def __post_init__(self) -> None:
        if self.steps % self.points:
            raise ValueError(f"steps must be a multiple of points, {self.points}, not {self.steps}")

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.rate * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.rate * (0.55 + 0.45 * math.cos(math.pi * done))
