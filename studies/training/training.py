"""One training run: from one seed, in one way."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from blockdot.torch import quantize_model

from .character_model import HEAD, CharacterModel
from .corpus import Corpus
from .schedule import ModelSize, Schedule
from .ways import Way

__all__ = ["Curves", "parameters_of", "train"]


@dataclass(frozen=True)
class Curves:
    """What became of the loss, in nats a character.

    Attributes:
        training: The mean of the steps before each point.
        held_out: That of the other text at each point.
    """

    training: tuple[float, ...]
    held_out: tuple[float, ...]


def _windows(tokens: npt.NDArray[np.intp], starts: npt.NDArray[np.intp], context: int) -> torch.Tensor:
    return torch.from_numpy(tokens[starts[:, np.newaxis] + np.arange(context + 1)])


def train(
    way: Way,
    seed: int,
    corpus: Corpus,
    *,
    size: ModelSize,
    schedule: Schedule,
) -> Curves:
    """Train a model and return its curves.

    Runs from one seed start from the same weights and see the same windows, in whatever way.

    Args:
        way: How its products are computed.
        seed: What weights, windows and roundings at random are drawn from.
        corpus: The text.
        size: How large the model is.
        schedule: How long it is trained.

    Raises:
        RuntimeError: If the loss is not finite any more.
    """
    # Sums that threads share have bits that depend on how many there are.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = CharacterModel(size, len(corpus.characters))
    if way.element is not None:
        forward, backward = way.products()
        quantize_model(model, forward, backward=backward, leave_alone=[HEAD])
    tokens, others = corpus.training_tokens, corpus.held_out_tokens
    rng = np.random.default_rng(seed)
    # The same for every seed.
    spread = np.linspace(0, len(others) - size.context - 1, schedule.held_out_windows).astype(np.intp)
    unseen = _windows(others, spread, size.context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.rate, betas=(0.9, 0.99))
    steps = schedule.steps // schedule.points
    training, held_out, recent = list[float](), list[float](), list[float]()
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        starts = rng.integers(0, len(tokens) - size.context, schedule.batch)
        loss = model.loss(_windows(tokens, starts, size.context))
        recent.append(loss.item())
        if not math.isfinite(recent[-1]):
            raise RuntimeError(
                f"the loss must stay finite, not be {recent[-1]} at step {step} of {way.label}"
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if len(recent) == steps:
            with torch.no_grad():
                held_out.append(model.loss(unseen).item())
            training.append(math.fsum(recent) / steps)
            recent.clear()
    return Curves(tuple(training), tuple(held_out))


def parameters_of(size: ModelSize, corpus: Corpus) -> int:
    """Return how many numbers a model has."""
    return sum(one.numel() for one in CharacterModel(size, len(corpus.characters)).parameters())
