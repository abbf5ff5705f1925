"""Stimulus: what is put on a unit's inputs, in which cycles, and the results it must give."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Final, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_codes
from ..hw.config import require_hardware
from ..model import DotSpec, Format
from ..model.aligned_sum import ResultFormat
from ..model.specifications import Specification

__all__ = [
    "LONGEST",
    "Inputs",
    "Stimulus",
    "StimulusSource",
    "UnitStimulus",
    "as_results",
    "bulk",
    "codes_text",
    "draw_patterns",
    "freeze",
    "from_blocks",
    "negated",
    "pack",
    "random",
    "require_drawn",
]

LONGEST: Final = 24
"""Groups in the longest sum that `random` draws, unless told otherwise."""

Codes = npt.NDArray[np.unsignedinteger]
Bools = npt.NDArray[np.bool_]

# Bits expanded at a time while packing, one a byte: stays inside a level-2 cache.
_PACK_BITS: Final = 1 << 18
# What part `bulk` draws with care, how often it stalls, and the lengths of its other sums: few, as the model
# takes the sums of each length at a time.
_DIRECTED: Final = 1 / 8
_STALLED: Final = 1 / 4
_BULK_LENGTHS: Final = (1, 2, 3, 5, 9, 16, 33, 100, 257)
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


def negated(fmt: Format) -> Codes:
    """Return a table from code to the code of the negated value, saturating in two's complement."""
    code = np.arange(1 << fmt.bits, dtype=np.int64)
    if not fmt.twos_complement:
        return (code ^ (1 << fmt.magnitude_bits)).astype(fmt.dtype)
    least = 1 << fmt.magnitude_bits  # has no negation
    return np.where(code == least, least - 1, -code % (1 << fmt.bits)).astype(fmt.dtype)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Stimulus(UnitStimulus):
    """The inputs of a run in order, and when they are offered and results accepted.

    Arrays are checked, converted to the narrowest type and made read-only.

    Args:
        spec: What the unit computes.
        a: Element codes, shape (vectors, blocks, N).
        b: Element codes of the same shape.
        a_scale: Scale codes, shape (vectors, blocks).
        b_scale: Scale codes of the same shape.
        first: Which vectors start a sum, shape (vectors,); all of them where nothing is accumulated.
        last: Which vectors ask for a result, shape (vectors,); likewise.
        c: Where sums start at C: its bits, shape (vectors,); they count with `first` alone. Else None.
        offer: In which cycles an input may be offered, shape (cycles,), repeated without end.
        accept: In which cycles a result is accepted, shape (cycles,), repeated without end.
        source: What gives the same vectors and patterns again, if anything does.

    Raises:
        TypeError: If codes are not integers.
        ValueError: If shapes do not fit, a code has a bit above its format, there is no vector, a pattern
            is never true, or `first` and `last` are not all true where nothing is accumulated.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("a", "b", "a_scale", "b_scale", "first", "last", "c")

    spec: DotSpec
    a: Codes
    b: Codes
    a_scale: Codes
    b_scale: Codes
    first: Bools
    last: Bools
    c: npt.NDArray[np.uint32] | None = None

    def __post_init__(self) -> None:
        spec = self.spec
        require_hardware(spec)
        vectors = len(np.atleast_1d(self.a))
        shapes = {
            "a": (vectors, spec.blocks, spec.block_size),
            "b": (vectors, spec.blocks, spec.block_size),
            "a_scale": (vectors, spec.blocks),
            "b_scale": (vectors, spec.blocks),
            "first": (vectors,),
            "last": (vectors,),
        }
        formats = dict(zip(("a", "b", "a_scale", "b_scale"), spec.elements + spec.scales, strict=True))
        for name, shape in shapes.items():
            array = getattr(self, name)
            if name in formats:
                array = formats[name].check(array, name)
            else:
                array = np.asarray(array)
                if array.dtype != np.bool_:
                    raise TypeError(f"{name} must be bool, not {array.dtype}")
            if array.shape != shape:
                raise ValueError(f"{name} must be shaped {shape} for {spec.name}, not {array.shape}")
            freeze(self, name, array)
        self._check_c()
        self._check_patterns()
        if not spec.accumulates and not (self.first.all() and self.last.all()):
            raise ValueError(f"first and last must all be true for {spec.name}, not some false")

    def _check_c(self) -> None:
        spec = self.spec
        if spec.takes_c != (self.c is not None):
            raise ValueError(f"c must {'' if spec.takes_c else 'not '}be given for {spec.name}")
        if self.c is None:
            return
        bits = require_codes("c", self.c, spec.c_format.bits, f"the bits of {spec.c_format.name}")
        if bits.shape != (self.vectors,):
            raise ValueError(f"c must be shaped {(self.vectors,)} for {spec.name}, not {bits.shape}")
        freeze(self, "c", bits.astype(np.uint32))

    @property
    def vectors(self) -> int:
        """How many inputs there are."""
        return len(self.a)

    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result, as the model computes them; 0 for those that are undefined."""
        spec = self.spec
        codes = (self.a, self.b, self.a_scale, self.b_scale)
        if not spec.accumulates:
            return spec.result_bits(*codes)
        starts, ends = self.sums
        lengths = np.where(starts < 0, 0, ends - starts + 1)
        results = np.zeros(len(starts), np.uint32)
        # Sums of one length at a time: filling them up with zeros would turn a sum of -0 into +0.
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            groups = starts[rows, np.newaxis] + np.arange(length)
            c = () if self.c is None else (self.c[starts[rows]],)
            results[rows] = spec.result_bits(*(array[groups] for array in codes), *c)
        return results

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port.

        Returns:
            By port name, shape (vectors, words): 32-bit words, least significant first. Element k is at
            bits [wk+w-1 : wk], block j above block j-1; scales likewise, with their format's width.
        """
        formats = self.spec.elements + self.spec.scales
        arrays = (self.a, self.b, self.a_scale, self.b_scale)
        c = {} if self.c is None else {"i_c": pack(self.c[:, np.newaxis], self.spec.c_format.bits)}
        codes = {
            name: pack(array.reshape(self.vectors, -1), fmt.bits)
            for name, array, fmt in zip(
                ("i_a", "i_b", "i_a_scale", "i_b_scale"), arrays, formats, strict=True
            )
            if fmt.bits
        }
        return codes | c

    def result_text(self, bits: int) -> str:
        """Return a result in hex and as a number, shortest that reads back the same."""
        return _number_text(self.spec.result_format, bits)

    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds."""
        a_format, b_format = self.spec.elements
        a_scale_format, b_scale_format = self.spec.scales
        lines = []
        if self.c is not None and self.first[vector]:
            lines.append(f"  vector {vector}: c {_number_text(self.spec.c_format, int(self.c[vector]))}")
        for block in range(self.spec.blocks):
            at = f"vector {vector}" + (f" block {block}" if self.spec.blocks > 1 else "")
            place = (vector, block)
            lines += [
                f"  {at}: a_scale {codes_text(a_scale_format, self.a_scale[place])}, "
                f"b_scale {codes_text(b_scale_format, self.b_scale[place])}",
                f"    a {codes_text(a_format, self.a[place])}",
                f"    b {codes_text(b_format, self.b[place])}",
            ]
        return lines


def _number_text(fmt: ResultFormat, bits: int) -> str:
    number = fmt.decode(np.array([bits], np.uint32))[0]
    return f"{bits:#0{2 + fmt.bits // 4}x} ({number!s})"


def from_blocks(
    spec: DotSpec,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    c: npt.ArrayLike | None = None,
    *,
    stalls: int | None = None,
    tensors: tuple[str, ...] = (),
) -> Stimulus:
    """Return the stimulus of given codes, such as a tensor's blocks.

    Args:
        spec: What the unit computes.
        a: Element codes, shaped as for `DotSpec.compute`: (..., groups, blocks, N). The groups of one
            leading index are one sum. Results come in the order of the leading indices, or of the
            groups where nothing is accumulated.
        b: Element codes of the same shape.
        a_scale: Scale codes, shape (..., groups, blocks).
        b_scale: Scale codes of the same shape.
        c: What each sum starts at, as for `DotSpec.compute`: float32, shape (...). Where sums start at C and
            it is None, at zero.
        stalls: Seed of gaps between inputs and of back-pressure; None for neither.
        tensors: Where the codes were read: a's tensor, or a's and b's; empty if they came from no file.

    Returns:
        The stimulus.

    Raises:
        TypeError: If codes are not integers, or `c` is not float32.
        ValueError: If shapes do not fit the specification or each other, there is no group, or `c` is given
            to a specification that takes none.
    """
    arrays = [np.asarray(array) for array in (a, b, a_scale, b_scale)]
    shape = arrays[0].shape
    if len(shape) < 3:
        raise ValueError(
            f"a must be shaped (..., groups, {spec.blocks}, {spec.block_size}) for {spec.name}, not {shape}"
        )
    for array, name, wanted in zip(
        arrays[1:], ("b", "a_scale", "b_scale"), (shape, shape[:-1], shape[:-1]), strict=True
    ):
        if array.shape != wanted:
            raise ValueError(f"{name} must be shaped {wanted} to fit a, not {array.shape}")
    groups = shape[-3]
    starts = spec.check_c(np.zeros(shape[:-3], np.float32) if c is None and spec.takes_c else c, shape[:-3])
    flat = [array.reshape(-1, *array.shape[len(shape) - 2 :]) for array in arrays]
    group = np.arange(len(flat[0])) % max(groups, 1)
    patterns = {} if stalls is None else draw_patterns(np.random.default_rng(stalls))
    return Stimulus(
        spec=spec,
        a=flat[0],
        b=flat[1],
        a_scale=flat[2],
        b_scale=flat[3],
        first=(group == 0) | (not spec.accumulates),
        last=(group == groups - 1) | (not spec.accumulates),
        c=None if starts is None else np.repeat(spec.c_format.encode(starts.reshape(-1)), groups),
        source=StimulusSource(kind="tensor", seed=stalls, stalls=stalls is not None, tensors=tensors)
        if tensors
        else None,
        **patterns,
    )


def random(
    spec: DotSpec, vectors: int, *, seed: int, longest: int = LONGEST, stalls: bool = True
) -> Stimulus:
    """Return random stimulus that goes to the corners as well as through the middle.

    Elements: uniform over the finite codes, mostly zero, tiny, largest (with the signs of the products
    random, all positive or all negative), cancelling within the vector, or, within a sum, undoing a vector
    a little before. Now and then an infinity or NaN where the format has them.

    Scales: uniform over the finite codes, near a centre that the whole sum shares, with a product near
    one, or from the corners (zero, least and greatest subnormal, least normal, greatest). One sum in
    16 meets a NaN scale.

    C: about as large as the sum's first group, or what undoes that, any bits, zeros, subnormals, infinities
    and NaN. Where no sum starts it is any bits.

    Sums are 1 to `longest` groups long. One in 16 is given up without a result, and one in 16 asks for a
    result in its midst as well.

    Args:
        spec: What the unit computes.
        vectors: How many inputs, at least 1.
        seed: Seed of everything random here; not negative.
        longest: Groups in the longest sum; at most what the exact accumulator's guard bits allow.
        stalls: Whether there are gaps between inputs, and back-pressure.

    Returns:
        The stimulus; the same arguments give the same one.

    Raises:
        ValueError: If `vectors` or `longest` is below 1, `seed` is below 0, or `spec` has no hardware.
    """
    require_hardware(spec)
    require_drawn(vectors, seed)
    if longest < 1:
        raise ValueError(f"longest must be at least 1, not {longest}")
    rng = np.random.default_rng(seed)
    first, last = _sums(spec, vectors, min(longest, max(1, (1 << spec.guard) // spec.blocks)), rng)
    sum_of = np.cumsum(first) - 1
    a, b = _elements(spec, vectors, rng)
    if spec.term_size == 1:
        _level(spec, (a, b), sum_of, rng)
    a_scale, b_scale = _scales(spec, sum_of, rng)
    if spec.accumulates:
        _undo(spec, (a, b, a_scale, b_scale), sum_of, rng)
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=vectors)
    for fmt, array in zip(spec.scales, (a_scale, b_scale), strict=True):
        _plant(fmt, array, starts, lengths, 1 / 32, rng)
    for fmt, array in zip(spec.elements, (a, b), strict=True):
        for _ in range(2):  # two, so that infinities meet
            _plant(fmt, array, starts, lengths, 1 / 16, rng)
    return Stimulus(
        spec=spec,
        a=a,
        b=b,
        a_scale=a_scale,
        b_scale=b_scale,
        first=first,
        last=last,
        c=_starts(spec, (a, b, a_scale, b_scale), first, rng) if spec.takes_c else None,
        source=StimulusSource(kind="random", count=vectors, seed=seed, longest=longest, stalls=stalls),
        **(draw_patterns(rng) if stalls else {}),
    )


def require_drawn(vectors: int, seed: int, *, least: int = 1) -> None:
    """Raise ValueError if no stimulus of so many vectors can be drawn from that seed."""
    if vectors < least:
        raise ValueError(f"vectors must be at least {least}, not {vectors}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")


def bulk(spec: DotSpec, vectors: int, *, seed: int) -> Stimulus:
    """Return random stimulus that costs little to make, for runs of many millions.

    An eighth is what `random` draws. The rest has element and scale codes uniform over all finite ones, in
    sums of 1 to 257 groups. A quarter of the seeds give gaps and back-pressure.

    Args:
        spec: What the unit computes.
        vectors: How many inputs, at least 8.
        seed: Seed of everything random here; not negative.

    Returns:
        The stimulus; the same arguments give the same one.

    Raises:
        ValueError: If `vectors` is below 8, or `seed` below 0.
    """
    require_drawn(vectors, seed, least=8)
    rng = np.random.default_rng([seed, 1])
    directed = random(spec, int(vectors * _DIRECTED), seed=seed, stalls=bool(rng.random() < _STALLED))
    rest = vectors - directed.vectors
    first = np.ones(rest, np.bool_)
    if spec.accumulates:
        lengths = np.minimum(_BULK_LENGTHS, max(1, (1 << spec.guard) // spec.blocks))
        starts = np.cumsum(rng.choice(lengths, rest)) - lengths[0]
        first[:] = False
        first[np.append(0, starts[starts < rest])] = True
    last = np.append(first[1:], True)
    formats = spec.elements + spec.scales
    codes = [
        np.concatenate([array, _uniform(fmt, (rest, *array.shape[1:]), rng)])
        for fmt, array in zip(
            formats, (directed.a, directed.b, directed.a_scale, directed.b_scale), strict=True
        )
    ]
    return Stimulus(
        spec=spec,
        a=codes[0],
        b=codes[1],
        a_scale=codes[2],
        b_scale=codes[3],
        first=np.concatenate([directed.first, first]),
        last=np.concatenate([directed.last, last]),
        c=None if directed.c is None else np.concatenate([directed.c, _any_bits(spec, rest, rng)]),
        offer=directed.offer,
        accept=directed.accept,
    )


def _uniform(fmt: Format, shape: tuple[int, ...], rng: np.random.Generator) -> Codes:
    """Draw codes uniformly over the finite ones."""
    count = len(fmt.codes)
    if fmt.bits <= 8 and count == 1 << fmt.bits:
        # Every code is finite: bytes of raw bits, several times faster.
        size = int(np.prod(shape))
        raw = rng.integers(0, 1 << 64, -(-size // 8), dtype=np.uint64).astype("<u8", copy=False)
        return raw.view(np.uint8)[:size].reshape(shape) & np.uint8(count - 1)
    return fmt.codes[rng.integers(0, count, shape, dtype=fmt.dtype)]


def draw_patterns(rng: np.random.Generator) -> dict[str, Bools]:
    """Draw stretches of cycles in which transfers are certain, frequent or rare."""
    patterns = {}
    for name, length in (("offer", _OFFER_LENGTH), ("accept", _ACCEPT_LENGTH)):
        density = np.repeat(rng.choice([1.0, 0.9, 0.5, 0.15], length), rng.integers(1, 40, length))[:length]
        patterns[name] = rng.random(length) < density
        patterns[name][0] = True  # a pattern must be true somewhere
    return patterns


def _sums(spec: DotSpec, vectors: int, longest: int, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Draw where sums start, and which vectors ask for a result."""
    if not spec.accumulates:
        return np.ones(vectors, np.bool_), np.ones(vectors, np.bool_)
    lengths = np.ones(vectors, np.int64)
    kind = rng.random(vectors)
    short = rng.integers(2, max(3, min(5, longest + 1)), vectors)
    lengths[kind > 0.2] = short[kind > 0.2]
    lengths[kind > 0.5] = rng.integers(1, longest + 1, vectors)[kind > 0.5]
    starts = np.cumsum(np.minimum(lengths, longest)) - np.minimum(lengths, longest)
    first = np.zeros(vectors, np.bool_)
    first[starts[starts < vectors]] = True
    last = np.roll(first, -1)
    last &= rng.random(vectors) >= 1 / 16
    last |= rng.random(vectors) < 1 / 16 / max(1, longest / 2)
    last[-1] = True
    return first, last


def _elements(spec: DotSpec, vectors: int, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Draw finite element codes, shape (vectors, blocks, N)."""
    shape = (vectors, spec.blocks, spec.block_size)
    a, b = (fmt.codes[rng.integers(0, len(fmt.codes), shape)] for fmt in spec.elements)
    kind = rng.choice(5, vectors, p=[0.4, 0.05, 0.1, 0.15, 0.3])
    for fmt, array in zip(spec.elements, (a, b), strict=True):
        size = np.abs(fmt.values[fmt.codes])
        rows = np.flatnonzero(kind == 1)
        zeros = fmt.codes[size == 0]
        blank = rng.random((len(rows), *shape[1:])) < 0.9
        array[rows] = np.where(blank, zeros[rng.integers(0, len(zeros), blank.shape)], array[rows])
        rows = np.flatnonzero(kind == 2)
        # The lowest eighth of all magnitudes: zero and the subnormals, in e2m1.
        tiny = fmt.codes[np.argsort(size, kind="stable")][: max(4, len(fmt.codes) // 8)]
        array[rows] = tiny[rng.integers(0, len(tiny), (len(rows), *shape[1:]))]
        rows = np.flatnonzero(kind == 3)
        top = fmt.codes[size == size.max()]
        array[rows] = top[rng.integers(0, len(top), (len(rows), *shape[1:]))]
    opposite = negated(spec.elements[1])
    # Half of the largest ones have products of one sign: as large as a sum can be.
    rows = np.flatnonzero((kind == 3) & (rng.random(vectors) < 0.5))
    signs = [np.signbit(fmt.values[array[rows]]) for fmt, array in zip(spec.elements, (a, b), strict=True)]
    wrong = (signs[0] ^ signs[1]) != (rng.random((len(rows), 1, 1)) < 0.5)
    b[rows] = np.where(wrong, opposite[b[rows]], b[rows])
    # The second half of the elements undoes the first half, mostly but for one of them.
    rows = np.flatnonzero(kind == 4)
    half = spec.block_size // 2
    order = np.argsort(rng.random((len(rows), *shape[1:])), axis=-1)
    one_off = rng.random(len(rows)) < 0.75
    kept = b[rows, :, -1]
    for array, source in ((a, a[rows, :, :half]), (b, b[rows, :, :half])):
        other = source if array is a else opposite[source]
        array[rows] = np.concatenate([source, other], axis=-1)
    b[rows[one_off], :, -1] = kept[one_off]
    for array in (a, b):
        array[rows] = np.take_along_axis(array[rows], order, axis=-1)
    return a, b


def _level(
    spec: DotSpec, codes: tuple[Codes, Codes], sum_of: npt.NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Bring the elements of half of the sums to exponents near each other.

    Where each product has an exponent of its own, products of uniform codes lie so far apart that few are
    shifted and none is cut off in part.
    """
    chosen = rng.random(int(sum_of[-1]) + 1) < 0.5
    rows = np.flatnonzero(chosen[sum_of])
    for fmt, array in zip(spec.elements, codes, strict=True):
        top = fmt.largest_code >> fmt.mantissa_bits
        centre = rng.integers(0, top + 1, len(chosen))[sum_of[rows], np.newaxis, np.newaxis]
        spread = rng.integers(0, 6, len(chosen))[sum_of[rows], np.newaxis, np.newaxis]
        shape = array[rows].shape
        field = np.clip(centre + rng.integers(-spread, spread + 1, shape), 0, top)
        magnitude = field << fmt.mantissa_bits | rng.integers(0, 1 << fmt.mantissa_bits, shape)
        magnitude = np.minimum(magnitude, fmt.largest_code)
        # A zero stays one, and every sign.
        sign = array[rows] & fmt.dtype.type(1 << fmt.magnitude_bits)
        zero = (array[rows] ^ sign) == 0
        array[rows] = np.where(zero, array[rows], magnitude.astype(fmt.dtype) | sign)


def _scales(spec: DotSpec, sum_of: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Draw finite scale codes, shape (vectors, blocks), of a kind for each sum."""
    if not spec.has_scales:
        a, b = (np.zeros((len(sum_of), spec.blocks), fmt.dtype) for fmt in spec.scales)
        return a, b
    vectors, sums = len(sum_of), int(sum_of[-1]) + 1
    shape = (vectors, spec.blocks)
    kind = rng.choice(4, sums, p=[0.55, 0.2, 0.1, 0.15])[sum_of]
    index: list[npt.NDArray[np.int64]] = []
    for fmt in spec.scales:
        count = len(fmt.codes)
        step = 1 << fmt.mantissa_bits
        uniform = rng.integers(0, count, shape)
        centre = rng.integers(0, count, sums)[sum_of, np.newaxis]
        near = np.clip(centre + rng.integers(-2 * step, 2 * step + 1, shape), 0, count - 1)
        corner_codes = np.unique([0, fmt.smallest_code, step - 1, step, fmt.largest_code])
        corners = corner_codes[rng.integers(0, len(corner_codes), shape)]
        index.append(np.choose(kind[:, np.newaxis], [uniform, near, uniform, corners]))
    rows = np.flatnonzero(kind == 2)
    a_format, b_format = spec.scales
    # The reciprocal of a's scale, give or take an exponent.
    reciprocal = 1.0 / np.maximum(a_format.values[a_format.codes[index[0][rows]]], a_format.smallest)
    nearest = np.searchsorted(b_format.codes, b_format.encode(reciprocal))
    step = 1 << b_format.mantissa_bits
    jitter = rng.integers(-step, step + 1, nearest.shape)
    index[1][rows] = np.clip(nearest + jitter, 0, len(b_format.codes) - 1)
    return a_format.codes[index[0]], b_format.codes[index[1]]


def _undo(
    spec: DotSpec,
    codes: tuple[Codes, Codes, Codes, Codes],
    sum_of: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Make some vectors the negation of one a little before in the same sum, half of them not quite.

    What came between them has then lost its low bits to a large accumulator that is there no more.
    """
    a, b, a_scale, b_scale = codes
    rows = np.arange(len(sum_of))
    source = rows - rng.integers(1, 5, len(rows))
    chosen = (rng.random(len(rows)) < 0.15) & (source >= 0)
    source = np.maximum(source, 0)
    chosen &= sum_of[source] == sum_of
    chosen &= ~chosen[source]  # what is undone must not change itself
    rows, source = rows[chosen], source[chosen]
    for array in (a, a_scale, b_scale):
        array[rows] = array[source]
    b[rows] = negated(spec.elements[1])[b[source]]
    fmt = spec.scales[1]
    step = rng.integers(-1, 2, b_scale[rows].shape)
    moved = np.clip(b_scale[rows].astype(np.int64) + step, 0, fmt.largest_code)
    b_scale[rows] = np.where(rng.random((len(rows), 1)) < 0.5, moved, b_scale[rows]).astype(fmt.dtype)


def _any_bits(spec: DotSpec, count: int, rng: np.random.Generator) -> npt.NDArray[np.uint32]:
    return rng.integers(0, 1 << spec.c_format.bits, count, dtype=np.uint32)


def _starts(
    spec: DotSpec, codes: tuple[Codes, Codes, Codes, Codes], first: Bools, rng: np.random.Generator
) -> npt.NDArray[np.uint32]:
    """Draw what sums start at, as bits; see `random`."""
    bits = _any_bits(spec, len(first), rng)
    rows = np.flatnonzero(first)
    a, b, a_scale, b_scale = (
        fmt.values[array[rows]] for fmt, array in zip(spec.elements + spec.scales, codes, strict=True)
    )
    with np.errstate(all="ignore"):
        groups = ((a * b).sum(axis=-1) * a_scale * b_scale).sum(axis=-1)
    groups[~np.isfinite(groups)] = 1.0
    fields = spec.c_format.fields
    kind = rng.choice(5, len(rows), p=[0.4, 0.2, 0.25, 0.1, 0.05])
    # Near the group: of its size, give or take what shifts it out of sight.
    size = np.where(groups == 0, 1.0, groups) * rng.uniform(-2, 2, len(rows))
    far = rng.integers(-fields.fraction_bits - 6, fields.fraction_bits + 7, len(rows))
    with np.errstate(all="ignore"):
        near = spec.c_format.encode(np.ldexp(size, far).astype(np.float32))
        undone = spec.c_format.encode(-groups.astype(np.float32))
    infinity = fields.infinity_field << fields.fraction_bits
    sign = rng.integers(0, 2, len(rows), dtype=np.uint32) << np.uint32(fields.bits - 1)
    fraction = bits[rows] & np.uint32((1 << fields.fraction_bits) - 1)
    small = np.where(rng.random(len(rows)) < 0.5, 0, fraction) | sign
    special = np.where(rng.random(len(rows)) < 0.5, 0, fraction) | sign | np.uint32(infinity)
    bits[rows] = np.choose(kind, [near, undone, bits[rows], small, special]).astype(np.uint32)
    return bits


def _plant(
    fmt: Format,
    array: Codes,
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    probability: float,
    rng: np.random.Generator,
) -> None:
    """Put an infinity or a NaN somewhere into each sum with that probability, where the format has one."""
    special = np.flatnonzero(~np.isfinite(fmt.values)).astype(fmt.dtype)
    if not len(special):
        return
    infinite = np.flatnonzero(np.isinf(fmt.values)).astype(fmt.dtype)
    met = np.flatnonzero(rng.random(len(starts)) < probability)
    vector = starts[met] + rng.integers(0, lengths[met])
    place = tuple(rng.integers(0, n, len(met)) for n in array.shape[1:])
    drawn = special[rng.integers(0, len(special), len(met))]
    if len(infinite):
        drawn = np.where(
            rng.random(len(met)) < 0.75, infinite[rng.integers(0, len(infinite), len(met))], drawn
        )
    array[(vector, *place)] = drawn
