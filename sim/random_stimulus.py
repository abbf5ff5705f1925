"""Random stimulus of dot products: codes drawn so that sums cancel, overflow, and meet special numbers."""

from typing import Final

import numpy as np
import numpy.typing as npt

from ..hw.config import require_hardware
from ..model import DotSpec, Format
from .stimulus import Stimulus, negated
from .unit_stimulus import LONGEST, Bools, Codes, StimulusSource, draw_patterns, require_drawn
from .zero_exponents import draw_small_steps, zero_exponent_counts

__all__ = [
    "bulk",
    "random",
]

# Of sums where the exponent of a zero can decide a bit, those in which it is likely to.
_SMALL: Final = 1 / 6
# What part `bulk` draws with care, how often it stalls, and the lengths of its other sums: few, as the model
# takes the sums of each length at a time.
_DIRECTED: Final = 1 / 8
_STALLED: Final = 1 / 4
_BULK_LENGTHS: Final = (1, 2, 3, 5, 9, 16, 33, 100, 257)


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

    Where the exponent that a zero reads can decide a bit, a sixth of the sums is made of numbers so small
    that it may: see `zero_exponents`.

    C: about as large as the sum's first group, or what undoes that, any bits, zeros, subnormals, infinities
    and NaN. Where no sum starts it is any bits.

    g: a power of two, near one, what makes results subnormal or overflow, any bits, zeros, subnormals,
    infinities and NaN.

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
    small = _small_sums(spec, (a, b, a_scale, b_scale), sum_of, rng)
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
        c=_starts(spec, (a, b, a_scale, b_scale), first, rng) * ~(small & first) if spec.takes_c else None,
        g=_factors(vectors, rng) if spec.tensor_scale else None,
        source=StimulusSource(kind="random", count=vectors, seed=seed, longest=longest, stalls=stalls),
        **(draw_patterns(rng) if stalls else {}),
    )


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
        g=None if directed.g is None else np.concatenate([directed.g, _factors(rest, rng)]),
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


def _small_sums(
    spec: DotSpec,
    codes: tuple[Codes, Codes, Codes, Codes],
    sum_of: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Bools:
    """Make some sums of numbers around the bits that the exponent of a zero decides; return their vectors."""
    if not zero_exponent_counts(spec):
        return np.zeros(len(sum_of), np.bool_)
    chosen = rng.random(int(sum_of[-1]) + 1)
    small = (chosen < _SMALL)[sum_of]
    for array, drawn in zip(codes, draw_small_steps(spec, int(small.sum()), rng), strict=True):
        array[small] = drawn
    # In most of them the last step alone is of numbers: what it decides no later step hides.
    zeros = (chosen < 0.75 * _SMALL)[sum_of] & (np.diff(sum_of, append=sum_of[-1] + 1) == 0)
    for fmt, array in zip(spec.elements, codes[:2], strict=True):
        array[zeros] = np.flatnonzero(fmt.values == 0)[0]
    return small


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


def _factors(count: int, rng: np.random.Generator) -> npt.NDArray[np.uint32]:
    """Draw what results are multiplied by, as bits; see `random`."""
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    sign, fraction = bits & np.uint32(1 << 31), bits & np.uint32((1 << 23) - 1)
    kind = rng.choice(6, count, p=[0.35, 0.2, 0.2, 0.1, 0.1, 0.05])
    field = np.choose(
        kind,
        [
            bits >> np.uint32(23) & np.uint32(255),  # uniform over the codes
            rng.integers(117, 138, count),  # near one
            rng.integers(1, 40, count),  # most results are about as large as the least normal number
            rng.integers(230, 255, count),  # most overflow
            np.zeros(count, np.int64),
            np.full(count, 255),
        ],
    ).astype(np.uint32)
    # Few bits that are set, or clear, at the ends: powers of two, their neighbours, and ties.
    low = np.uint32(1) << rng.integers(0, 23, count).astype(np.uint32)
    ends = np.choose(
        rng.integers(0, 4, count), [np.zeros_like(low), low, low - np.uint32(1), -low & 0x7FFFFF]
    )
    fraction = np.where(rng.random(count) < 0.5, fraction, ends.astype(np.uint32))
    return (sign | field << np.uint32(23) | fraction).astype(np.uint32)


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
