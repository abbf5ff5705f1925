"""What stimuli of all units have in common: words at their ports, and in which cycles these are offered."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Final, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..model import Format
from ..model.specifications import Specification

__all__ = [
    "LONGEST",
    "Inputs",
    "StimulusSource",
    "UnitStimulus",
    "as_results",
    "codes_text",
    "draw_patterns",
    "freeze",
    "pack",
    "require_drawn",
]

LONGEST: Final = 24
"""Groups in the longest sum that `random` draws, unless told otherwise."""

Codes = npt.NDArray[np.unsignedinteger]
Bools = npt.NDArray[np.bool_]

# Bits expanded at a time while packing, one a byte: stays inside a level-2 cache.
_PACK_BITS: Final = 1 << 18
# Primes, so that the two patterns and the lengths of sums meet in ever new ways.
_OFFER_LENGTH: Final = 509
_ACCEPT_LENGTH: Final = 499


def pack(codes: Codes, bits: int) -> npt.NDArray[np.uint32]:
    """Pack codes into port words.

    Args:
        codes: Codes of `bits` bits, shape (vectors, n); column k goes to bits [bits*k+bits-1 : bits*k].
        bits: Width of a code.

    Returns:
        Shape (vectors, words): the 32-bit words of each vector, least significant first, zero above.
    """
    vectors, n = codes.shape
    words = np.zeros((vectors, -(-n * bits // 32)), "<u4")
    packed = words.view(np.uint8)
    step = max(1, _PACK_BITS // (n * bits))
    wide = "<u4" if bits > 16 else "<u2"
    little = codes.astype(wide if bits > 8 else np.uint8, order="C", copy=False)
    for start in range(0, vectors, step):
        chunk = little[start : start + step]
        # The most common ones by far, and an order of magnitude faster.
        if bits == 4 and n % 2 == 0:
            filled = chunk[:, ::2] | chunk[:, 1::2] << np.uint8(4)
        elif n == 1 or bits in (8, 16, 32):
            filled = chunk.view(np.uint8)
        else:
            octets = chunk.view(np.uint8).reshape(len(chunk), n, -1)
            ordered = np.unpackbits(octets, axis=-1, bitorder="little")[..., :bits]
            filled = np.packbits(ordered.reshape(len(chunk), -1), axis=-1, bitorder="little")
        packed[start : start + step, : filled.shape[1]] = filled
    return words


def as_results(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return the words of results, shape (results, words), laid out as `Response.results`."""
    return words[:, 0] if words.shape[1] == 1 else words


class Inputs(Protocol):
    """What an engine has to know of the inputs of a run; see `Stimulus`."""

    @property
    def vectors(self) -> int:
        """How many there are."""
        ...

    @property
    def first(self) -> Bools:
        """Which start a sum."""
        ...

    @property
    def last(self) -> Bools:
        """Which ask for a result."""
        ...

    @property
    def offer(self) -> Bools:
        """In which cycles one may be offered."""
        ...

    @property
    def accept(self) -> Bools:
        """In which cycles a result is accepted."""
        ...

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port."""
        ...


@dataclass(frozen=True, kw_only=True)
class StimulusSource:
    """Where a stimulus came from: what must be known to make the same one again.

    Attributes:
        kind: ``random``: `random` drew it; ``directed``: it goes to the corners of its specification;
            ``tensor``: its codes are those of tensors in files.
        count: Vectors that were drawn; None where the kind says how many there are.
        seed: Seed of all that was drawn; None where nothing was.
        longest: Groups in the longest sum that was drawn.
        stalls: There are gaps between inputs, and back-pressure.
        tensors: The tensors, as ``FILE`` or ``FILE:NAME``: a's, and b's where it is another.
    """

    kind: Literal["random", "directed", "tensor"]
    count: int | None = None
    seed: int | None = None
    longest: int = LONGEST
    stalls: bool = True
    tensors: tuple[str, ...] = ()


def freeze(stimulus: "UnitStimulus", name: str, array: npt.NDArray[np.generic]) -> None:
    """Keep an array as a stimulus's attribute that cannot be written to."""
    array = array.view()
    array.setflags(write=False)
    object.__setattr__(stimulus, name, array)


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitStimulus(ABC):
    """What the stimuli of all kinds of units have in common: vectors, and when they are offered.

    Attributes:
        spec: What the unit computes.
        first: Which vectors start a sum, shape (vectors,); all of them where nothing is accumulated.
        last: Which vectors ask for a result, shape (vectors,); likewise.
        offer: In which cycles an input may be offered, shape (cycles,), repeated for ever.
        accept: In which cycles a result is accepted, shape (cycles,), repeated for ever.
        source: What gives the same vectors and patterns again, if anything does.
    """

    PARTS: ClassVar[tuple[str, ...]]
    """The arrays that have a row for each vector."""

    spec: Specification
    first: Bools = field(init=False)
    last: Bools = field(init=False)
    offer: Bools = field(default_factory=lambda: np.ones(1, np.bool_))
    accept: Bools = field(default_factory=lambda: np.ones(1, np.bool_))
    source: StimulusSource | None = None

    def _set_alone(self) -> None:
        """Make every vector one that gives a result of its own, and check and freeze the patterns."""
        for name in ("first", "last"):
            freeze(self, name, np.ones(self.vectors, np.bool_))
        self._check_patterns()

    def _check_patterns(self) -> None:
        """Check and freeze the patterns."""
        if not self.vectors:
            raise ValueError("stimulus must hold at least one vector, not 0")
        for name in ("offer", "accept"):
            pattern = np.asarray(getattr(self, name))
            if pattern.dtype != np.bool_:
                raise TypeError(f"{name} must be bool, not {pattern.dtype}")
            if pattern.ndim != 1 or not pattern.any():
                raise ValueError(f"{name} must be one row with a true cycle in it, not {pattern.tolist()}")
            freeze(self, name, pattern)

    @property
    @abstractmethod
    def vectors(self) -> int:
        """How many inputs there are."""

    @cached_property
    def sums(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each result, its first vector and its last one; a first of -1 where none had `first`."""
        vector = np.arange(self.vectors)
        begun = np.maximum.accumulate(np.where(self.first, vector, -1))
        return begun[self.last], vector[self.last]

    @property
    def result_count(self) -> int:
        """How many results a unit must give."""
        return len(self.sums[0])

    @property
    def undefined_count(self) -> int:
        """How many results, the first ones, belong to sums that no `first` started: any bits will do."""
        return int((self.sums[0] < 0).sum())

    @abstractmethod
    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result, as the model computes them, laid out as `Response.results`."""

    @abstractmethod
    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port: by its name, shape (vectors, words), see `pack`."""

    @abstractmethod
    def result_text(self, bits: int) -> str:
        """Return a result as a reader wants to see it."""

    @abstractmethod
    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds."""

    def select(self, rows: slice | Bools, *, offer: Bools, accept: Bools) -> Self:
        """Return a stimulus of some of the vectors, with patterns of its own."""
        kept = {name: array[rows] for name in self.PARTS if (array := getattr(self, name)) is not None}
        return replace(self, **kept, offer=offer, accept=accept, source=None)

    def join(self, others: Sequence[Self]) -> Self:
        """Return a stimulus of this one's vectors and those of others, with this one's patterns."""
        arrays = {
            name: np.concatenate([getattr(one, name) for one in (self, *others)])
            for name in self.PARTS
            if getattr(self, name) is not None
        }
        return replace(self, **arrays, source=None)


def codes_text(fmt: Format, codes: npt.NDArray[np.unsignedinteger]) -> str:
    """Return codes in hex and what they are worth."""
    digits = -(-fmt.bits // 4)
    flat = codes.reshape(-1)
    hexes = " ".join(f"{int(code):0{digits}x}" for code in flat)
    values = " ".join(f"{value:g}" for value in fmt.values[flat])
    return f"{hexes} ({fmt.name}: {values})"


def require_drawn(vectors: int, seed: int, *, least: int = 1) -> None:
    """Raise ValueError if no stimulus of so many vectors can be drawn from that seed."""
    if vectors < least:
        raise ValueError(f"vectors must be at least {least}, not {vectors}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")


def draw_patterns(rng: np.random.Generator) -> dict[str, Bools]:
    """Draw stretches of cycles in which transfers are certain, frequent or rare."""
    patterns = {}
    for name, length in (("offer", _OFFER_LENGTH), ("accept", _ACCEPT_LENGTH)):
        density = np.repeat(rng.choice([1.0, 0.9, 0.5, 0.15], length), rng.integers(1, 40, length))[:length]
        patterns[name] = rng.random(length) < density
        patterns[name][0] = True  # a pattern must be true somewhere
    return patterns
