"""Quantizing and decoding by compiled loops, where numba is installed: bit-identical, and faster.

What is computed is settled by tables that the plain way makes: a block's scale is a staircase of its largest
magnitude, an element's code under one scale is another, of its own magnitude. The float32 bits at which the
stairs rise are found by bisection over all of float32.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Staircases", "compiled_from", "loops", "plain"]

_LOOPS: Final = ".kernels"
# Elements that are worth the time it takes to import numba, or to make the tables once it is there.
_WORTH_IMPORT: Final = 1 << 20
_WORTH_TABLES: Final = 1 << 17

# Cells of float32 magnitudes for a first guess of the scale: 32 in an octave, against 2 to 32 scales.
_GUESS_SHIFT: Final = 18
_INFINITY: Final = 0x7F800000
_STEPS: Final = 7

_Integers = npt.NDArray[np.int32]
_Codes = npt.NDArray[np.unsignedinteger]

_allowed: ContextVar[bool] = ContextVar("allowed", default=True)
_worth: ContextVar[int | None] = ContextVar("worth", default=None)


@contextmanager
def plain() -> Iterator[None]:
    """Have numpy alone compute what is computed inside the block, in this thread."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


@contextmanager
def compiled_from(elements: int) -> Iterator[None]:
    """Have the compiled loops taken from so many elements on inside the block, in this thread."""
    token = _worth.set(elements)
    try:
        yield
    finally:
        _worth.reset(token)


@cache
def compiled_loops() -> ModuleType | None:
    """Return the module of compiled loops, None where there is no numba that goes with this numpy."""
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        return importlib.import_module(_LOOPS, __package__)
    except ImportError as error:  # a numba that does not go with this numpy
        if error.name is not None and error.name.startswith(str(__package__)):
            raise  # a module of our own is not where it should be
        return None


def loops(elements: int) -> ModuleType | None:
    """Return the compiled loops if they are there and worth it for so many elements."""
    loaded = importlib.util.resolve_name(_LOOPS, __package__) in sys.modules
    worth = _worth.get()
    if worth is None:
        worth = _WORTH_TABLES if loaded else _WORTH_IMPORT
    if elements < worth or not _allowed.get():
        return None
    return compiled_loops()


def _least(reached: Callable[[_Integers], npt.NDArray[np.bool_]], shape: tuple[int, ...]) -> _Integers:
    """Return the least float32 bits, from 0, at which a condition holds that goes on to hold.

    Args:
        reached: Tells of bits of that shape where the condition holds.
        shape: How many conditions there are.

    Returns:
        The bits; those of infinity where only infinity is left.
    """
    low, high = np.zeros(shape, np.int32), np.full(shape, _INFINITY, np.int32)
    while (low < high).any():
        # Not infinity itself, where both have met there.
        middle = np.minimum(low + (high - low) // 2, np.int32(_INFINITY - 1))
        above = reached(middle)
        low, high = np.where(above | (low == high), low, middle + 1), np.where(above, middle, high)
    return high


@dataclass(frozen=True)
class Staircases:
    """How float32 magnitudes become codes: the tables of `kernels.encode_blocks`, which explains them."""

    starts: _Integers
    guesses: _Integers
    steps: _Integers
    signs: _Integers

    @classmethod
    def of(
        cls,
        scale_codes: int,
        choose: Callable[[npt.NDArray[np.float32]], _Codes],
        encode: Callable[[npt.NDArray[np.float32], _Codes], _Codes],
        dtype: np.dtype[np.unsignedinteger],
    ) -> "Staircases":
        """Find the steps of a quantizer of elements with three magnitude bits.

        Args:
            scale_codes: How many scale codes there are, from 0 on.
            choose: Gives the scale codes of blocks by their largest magnitudes.
            encode: Gives the element codes of values, one block a row, under their scale codes.
            dtype: Of scale codes.
        """
        every = np.arange(scale_codes)
        starts = _least(lambda bits: choose(bits.view(np.float32)) >= every, (scale_codes,))
        cells = np.arange(1 << (31 - _GUESS_SHIFT)) << _GUESS_SHIFT
        guesses = np.maximum(np.searchsorted(starts, cells, side="right") - 1, 0)
        codes = every.astype(dtype)
        wanted = np.arange(1, _STEPS + 1)
        steps = _least(lambda bits: encode(bits.view(np.float32), codes) >= wanted, (scale_codes, _STEPS))
        negative = encode(np.full((scale_codes, 1), -0.0, np.float32), codes)[:, 0]
        return cls(starts, guesses.astype(np.int32), steps, (negative & 8).astype(np.int32))

    def encode(
        self, compiled: ModuleType, rows: npt.NDArray[np.float32], codes: _Codes, scales: _Codes
    ) -> bool:
        """Encode contiguous blocks, one a row, into `codes` and `scales`; return whether all was finite."""
        largest = compiled.encode_blocks(
            rows.view(np.int32),
            self.starts,
            self.guesses,
            _GUESS_SHIFT,
            self.steps,
            self.signs,
            codes,
            scales,
        )
        return largest < _INFINITY
