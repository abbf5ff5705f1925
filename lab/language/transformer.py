"""The forward pass of a decoder in float32: from windows of tokens to how unlikely each token was.

All matrix products with weights go through a `ModelProducts`, which may quantize what is multiplied. Products
of queries and keys, and of what they weigh with values, stay in float32.
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .attention import attend
from .configuration import ModelConfiguration, Rotation
from .weights import FloatValues, Weights

__all__ = ["FloatProducts", "Linear", "ModelProducts", "Transformer"]

Linear = Callable[[FloatValues], FloatValues]
"""Takes values shaped (windows, tokens, K) and gives (windows, tokens, N')."""


class ModelProducts(Protocol):
    """How products with the weights are computed."""

    def linear(self, name: str, weight: FloatValues) -> Linear:
        """Return what multiplies by one matrix.

        Args:
            name: The matrix's; see `module_names`.
            weight: The matrix, a row for each output.
        """
        ...

    def embedding(self, table: FloatValues) -> FloatValues:
        """Return the rows to look tokens up in."""
        ...


class FloatProducts:
    """Products in float32 of what the model holds."""

    def linear(self, name: str, weight: FloatValues) -> Linear:
        """See `ModelProducts.linear`."""
        del name
        return lambda x: x @ weight.T

    def embedding(self, table: FloatValues) -> FloatValues:
        """See `ModelProducts.embedding`."""
        return table


class Transformer:
    """The forward pass of one model.

    Weights are read layer by layer, so that one layer is in memory at a time.

    Args:
        configuration: The model's shape.
        weights: Its weights.
        products: How its products are computed.
    """

    def __init__(
        self, configuration: ModelConfiguration, weights: Weights, products: ModelProducts | None = None
    ) -> None:
        self.configuration, self.weights = configuration, weights
        self.products: ModelProducts = products or FloatProducts()

    def log_likelihoods(self, windows: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Return the log likelihood of each token but the first, given those before it in its window.

        Args:
            windows: Tokens, shape (windows, tokens).

        Returns:
            Natural logarithms, shape (windows, tokens - 1).

        Raises:
            ValueError: If a token is none of the model's, or a window is longer than the model takes.
        """
        found = np.empty((windows.shape[0], windows.shape[1] - 1))
        for index, logits in enumerate(self._logits(self.states(windows)[:, :-1])):
            shifted = np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits)
            chosen = shifted[np.arange(len(shifted)), windows[index, 1:]].astype(np.float64)
            found[index] = chosen - np.log(np.exp(shifted, out=shifted).sum(axis=1, dtype=np.float64))
        return found

    def logits(self, windows: npt.NDArray[np.integer]) -> FloatValues:
        """Return the logits of the token after each, shape (windows, tokens, vocabulary).

        Raises:
            ValueError: As `log_likelihoods` does.
        """
        return np.stack(list(self._logits(self.states(windows))))

    def states(self, windows: npt.NDArray[np.integer]) -> FloatValues:
        """Return what stands for each token behind the last layer, normed; shape (windows, tokens, width).

        Raises:
            ValueError: As `log_likelihoods` does.
        """
        known = self.configuration
        if windows.shape[1] > known.context:
            raise ValueError(
                f"window must be at most the model's {known.context} tokens, not {windows.shape[1]}"
            )
        if windows.size and not 0 <= windows.min() <= windows.max() < known.vocabulary:
            raise ValueError(f"tokens must be below the model's {known.vocabulary}, not {windows.max()}")
        x = self.products.embedding(self.weights.read("embedding"))[windows]
        if known.architecture == "gemma3":
            x *= np.float32(math.sqrt(known.width))
        if known.rotation is None:
            x += self.weights.read("positions")[: windows.shape[1]]
        for index in range(known.layers):
            x = _Layer(self, index)(x)
        return self.norm("final_norm")(x)

    def _logits(self, states: FloatValues) -> Iterator[FloatValues]:
        """Yield the logits of one window after the other; whoever takes them may overwrite them."""
        head = self.linear("head")
        for window in states:
            yield head(window[np.newaxis])[0]

    def linear(self, name: str) -> Linear:
        """Return what multiplies by one of the model's matrices and adds its bias."""
        tied = name == "head" and self.configuration.tied
        product = self.products.linear(name, self.weights.read("embedding" if tied else name))
        bias = None if tied else self.weights.find(name, "bias")
        return product if bias is None else lambda x: product(x) + bias

    def norm(self, name: str) -> Linear:
        """Return one of the model's norms."""
        epsilon, weight = self.configuration.norm_epsilon, self.weights.read(name)
        if self.configuration.architecture == "gpt2":
            bias = self.weights.read(name, "bias")
            return lambda x: _layer_norm(x, epsilon) * weight + bias
        return lambda x: _root_mean_square_norm(x, epsilon) * weight


class _Layer:
    """One layer of a model, its weights read."""

    def __init__(self, model: Transformer, index: int) -> None:
        self.model, self.known = model, model.configuration
        self.prefix = f"layers.{index}."
        self.local = bool(self.known.local) and self.known.local[index]

    def __call__(self, x: FloatValues) -> FloatValues:
        post = self.known.architecture == "gemma3"
        mixed = self._attention(self._norm("attention_norm")(x))
        x = x + (self._norm("attention_post_norm")(mixed) if post else mixed)
        fed = self._feed(self._norm("feed_norm")(x))
        return x + (self._norm("feed_post_norm")(fed) if post else fed)

    def _linear(self, name: str) -> Linear:
        return self.model.linear(self.prefix + name)

    def _norm(self, name: str) -> Linear:
        return self.model.norm(self.prefix + name)

    def _feed(self, x: FloatValues) -> FloatValues:
        if self.known.architecture == "gpt2":
            return self._linear("down")(_gelu(self._linear("up")(x)))
        gate = self._linear("gate")(x)
        gate = _gelu(gate) if self.known.architecture == "gemma3" else _silu(gate)
        gate *= self._linear("up")(x)
        return self._linear("down")(gate)

    def _attention(self, x: FloatValues) -> FloatValues:
        known = self.known
        if known.architecture == "gpt2":
            parts = np.split(self._linear("query_key_value")(x), 3, axis=-1)
        else:
            parts = [self._linear(name)(x) for name in ("query", "key", "value")]
        heads = (known.heads, known.key_value_heads, known.key_value_heads)
        query, key, value = (
            part.reshape(*x.shape[:2], count, known.head_width)
            for part, count in zip(parts, heads, strict=True)
        )
        if known.architecture in ("qwen3", "gemma3"):
            query, key = self._norm("query_norm")(query), self._norm("key_norm")(key)
        rotation = known.local_rotation if self.local else known.rotation
        if rotation is not None:
            turn = self._turns(rotation, x.shape[1])
            query, key = _turned(query, turn), _turned(key, turn)
        mixed = np.empty((*x.shape[:2], known.heads * known.head_width), np.float32)
        for window in range(len(x)):
            mixed[window] = attend(
                query[window],
                key[window],
                value[window],
                known.attention_scale,
                known.reach if self.local else None,
            )
        return self._linear("attention_output")(mixed)

    def _turns(self, rotation: Rotation, tokens: int) -> npt.NDArray[np.complex64]:
        frequencies = rotation.frequencies(self.known.head_width)
        divisors = self.model.weights.find("rotation")
        if divisors is not None:
            frequencies = frequencies / divisors
        angles = np.outer(np.arange(tokens), frequencies)
        return np.exp(1j * angles).astype(np.complex64)


def _turned(x: FloatValues, turn: npt.NDArray[np.complex64]) -> FloatValues:
    """Turn each pair of values, which stand half a head apart; x is (windows, tokens, heads, values)."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    cosine, sine = turn.real[:, np.newaxis], turn.imag[:, np.newaxis]
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return np.concatenate(turned, axis=-1, dtype=np.float32)


def _root_mean_square_norm(x: FloatValues, epsilon: float) -> FloatValues:
    square = np.einsum("...k,...k->...", x, x)[..., np.newaxis] / np.float32(x.shape[-1])
    return np.divide(x, np.sqrt(square + np.float32(epsilon)), dtype=np.float32)


def _layer_norm(x: FloatValues, epsilon: float) -> FloatValues:
    centred = x - x.mean(axis=-1, keepdims=True)
    return _root_mean_square_norm(centred, epsilon)


def _silu(x: FloatValues) -> FloatValues:
    with np.errstate(over="ignore"):
        return np.divide(x, 1 + np.exp(-x), dtype=np.float32)


def _gelu(x: FloatValues) -> FloatValues:
    """GELU as its approximation by tanh, which GPT-2 and Gemma are trained with."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (1 + np.tanh(inner))
