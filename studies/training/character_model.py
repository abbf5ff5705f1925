"""A small GPT whose tokens are characters."""

from typing import Final

import torch
from torch import nn
from torch.nn import functional

from .schedule import ModelSize

__all__ = ["HEAD", "CharacterModel"]

HEAD: Final = "head"
"""The layer that is never quantized, as is usual. Nor are embeddings, norms and the products of attention."""

# GPT-2 draws the weights of its width with a deviation of 0.02; narrower layers add fewer products.
_DEVIATION: Final = 0.02
_GPT2_WIDTH: Final = 768


class _BlockWeights(nn.Module):
    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.norms = nn.ModuleList([nn.LayerNorm(size.width), nn.LayerNorm(size.width)])
        self.attend = nn.Linear(size.width, 3 * size.width)
        self.project = nn.Linear(size.width, size.width)
        self.widen = nn.Linear(size.width, 4 * size.width)
        self.narrow = nn.Linear(4 * size.width, size.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.attend(self.norms[0](x)).reshape(batch, length, 3 * self.heads, width // self.heads)
        query, key, value = parts.transpose(1, 2).chunk(3, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(functional.gelu(self.widen(self.norms[1](x))))


class CharacterModel(nn.Module):
    """A GPT of a few layers, as GPT-2 has them: norms before, learned positions, GELU.

    Args:
        size: How large it is.
        characters: How many characters there are.
    """

    def __init__(self, size: ModelSize, characters: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(characters, size.width)
        self.places = nn.Embedding(size.context, size.width)
        self.layers = nn.Sequential(*(_BlockWeights(size) for _ in range(size.layers)))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, characters)
        deviation = _DEVIATION * (_GPT2_WIDTH / size.width) ** 0.5
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # What is added to the residual stream is scaled down by how often that is done.
                residual = name.endswith(("project.weight", "narrow.weight"))
                nn.init.normal_(weight, 0.0, deviation / ((2 * size.layers) ** 0.5 if residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what it makes of the next character at each place: logits (batch, length, characters)."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.layers(x)))

    def loss(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the mean loss in nats of windows (batch, length + 1) of tokens."""
        logits = self(windows[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
