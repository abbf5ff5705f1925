"""A text as windows of tokens, and which of their tokens are scored."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ...base.argument_checks import require_int

__all__ = ["SEGMENT", "TextWindows", "check_segments", "cut_windows"]

SEGMENT: Final = 64
"""Scored tokens of a segment of the text unless something asks for another number."""


@dataclass(frozen=True, eq=False)
class TextWindows:
    """Windows of one length.

    Attributes:
        tokens: Shape (windows, length).
        stride: How far each begins behind the one before.
        first: The first place of each window that is scored.
        prefix: How many tokens at the front of each are none of the text's.
        left_out: How many tokens at the text's end fill no window.
    """

    tokens: npt.NDArray[np.int64]
    stride: int
    first: tuple[int, ...]
    prefix: int
    left_out: int

    @property
    def scored(self) -> int:
        """How many tokens are scored."""
        return sum(self.tokens.shape[1] - first for first in self.first)

    def pick(self, likelihoods: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return those of the scored tokens, in the text's order.

        Args:
            likelihoods: Of every token but the first of each window, shape (windows, length - 1).
        """
        return np.concatenate([row[first - 1 :] for row, first in zip(likelihoods, self.first, strict=True)])


def cut_windows(
    tokens: npt.NDArray[np.int64], length: int, stride: int, prefix: tuple[int, ...] = ()
) -> TextWindows:
    """Cut a text into whole windows, each `stride` tokens further on than the one before.

    Every window begins with the prefix. Scored is every token that no window before it has scored and that
    has something before it: in the first window all of the text, but for a first token without a prefix.

    Args:
        tokens: The text.
        length: Tokens of a window, its prefix counted.
        stride: How far a window begins behind the one before.
        prefix: What a model wants at the front.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or the text is shorter than a window.
    """
    length, stride = require_int("window", length), require_int("stride", stride)
    if length < len(prefix) + 2:
        raise ValueError(f"window must be at least {len(prefix) + 2} tokens, not {length}")
    body = length - len(prefix)
    if not 1 <= stride <= body:
        raise ValueError(f"stride must be from 1 to {body} tokens, not {stride}")
    if len(tokens) < body:
        raise ValueError(f"text must fill a window of {body} tokens, not be {len(tokens)} long")
    count = (len(tokens) - body) // stride + 1
    cut = np.lib.stride_tricks.sliding_window_view(tokens, body)[::stride][:count]
    fronts = np.broadcast_to(np.array(prefix, np.int64), (count, len(prefix)))
    start = max(1, len(prefix))
    first = (start, *[max(start, length - stride)] * (count - 1))
    used = (count - 1) * stride + body
    return TextWindows(np.hstack((fronts, cut)), stride, first, len(prefix), len(tokens) - used)


def check_segments(scored: int, segment: int) -> None:
    """Refuse a text too short for an interval.

    Raises:
        TypeError: If a segment's length is no whole number.
        ValueError: If it is not above zero, or the text has not two segments.
    """
    if require_int("segment", segment) < 1:
        raise ValueError(f"segment must be at least 1 token, not {segment}")
    if scored < 2 * segment:
        raise ValueError(f"text must have two segments of {segment} scored tokens, not {scored} tokens alone")
