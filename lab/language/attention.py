"""Attention: what each token takes from those before it, with memory bounded by chunks."""

from typing import Final

import numpy as np

from .weights import FloatValues

__all__ = ["ATTENTION_CHUNK", "attend"]

ATTENTION_CHUNK: Final = 1 << 23
"""Weights of attention that are worked on at a time."""


def attend(
    query: FloatValues,
    key: FloatValues,
    value: FloatValues,
    scale: float,
    reach: int | None,
    *,
    chunk: int = ATTENTION_CHUNK,
) -> FloatValues:
    """Return what each token takes from the values of those before it and its own, head beside head.

    Args:
        query: Shape (tokens, heads, width).
        key: Shape (tokens, key heads, width).
        value: Likewise.
        scale: What products of queries and keys are multiplied by.
        reach: How many tokens a token sees, itself counted; None for all before it.
        chunk: Weights, one for a query and a key of each head, that memory holds at a time, or those of one
            query where they are more.

    Returns:
        Shape (tokens, heads * width).
    """
    tokens, heads, width = query.shape
    shared = key.shape[1]
    group = heads // shared
    # One matrix for each key head: (key heads, group, tokens, width).
    queries = query.reshape(tokens, shared, group, width).transpose(1, 2, 0, 3) * np.float32(scale)
    keys, values = key.transpose(1, 2, 0), value.transpose(1, 0, 2)
    mixed = np.empty((tokens, shared, group, width), np.float32)
    step = max(1, chunk // (heads * tokens))
    for start in range(0, tokens, step):
        end = min(start + step, tokens)
        first = 0 if reach is None else max(0, start + 1 - reach)
        rows = np.ascontiguousarray(queries[:, :, start:end]).reshape(shared, -1, width)
        weights = (rows @ keys[:, :, first:end]).reshape(shared, group, end - start, -1)
        back = np.arange(start, end)[:, np.newaxis] - np.arange(first, end)
        hidden = (back < 0) if reach is None else (back < 0) | (back >= reach)
        weights[:, :, hidden] = -np.inf
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        taken = weights.reshape(shared, -1, weights.shape[-1]) @ values[:, first:end]
        mixed[start:end] = taken.reshape(shared, group, end - start, width).transpose(2, 0, 1, 3)
    return mixed.reshape(tokens, heads * width)
