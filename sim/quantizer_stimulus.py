"""What is put into a quantizer unit: numbers that go to its thresholds, its midpoints and its ends."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import cast_exactly, require_codes
from ..model import QuantizerSpec
from ..model.scale_selection import ScaleRule
from .unit_stimulus import (
    Codes,
    StimulusSource,
    UnitStimulus,
    codes_text,
    draw_patterns,
    freeze,
    pack,
    require_drawn,
)

__all__ = [
    "QuantizerStimulus",
    "bulk",
    "directed",
    "from_numbers",
    "random",
    "scale_thresholds",
    "step_parts",
]

# What part of `bulk` is drawn as `random` draws it, and how often it stalls.
_CAREFUL: Final = 1 / 8
_STALLED: Final = 1 / 4
# Of so many directed blocks one stands under a tensor scale of any significand, and under a subnormal one.
_ANY_TURN: Final = 3
# Directed blocks whose tensor scale is chosen for one of their numbers; of so many one is subnormal or small.
_CHOSEN: Final = 1500
_SMALL_TURN: Final = 4
_SUBNORMAL_TURN: Final = 29
# Blocks that are drawn for errors that are all but equal, and how many of them are kept.
_DRAWN_FOR_TIES: Final = 1 << 17
_NEAR_TIES: Final = 200
# Binades that an element of `bulk` lies below its block's largest: a byte chooses.
_BINADES_BELOW: Final = np.repeat(np.arange(9), [64, 64, 48, 32, 16, 12, 8, 8, 4]).astype(np.uint8)

_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizerStimulus(UnitStimulus):
    """The inputs of a quantizer's run in order, and when they are offered and results accepted.

    Arrays are checked, converted to the narrowest type and made read-only.

    Args:
        spec: What the unit computes.
        x: Input codes, shape (vectors, N).
        random: Under ``stochastic`` the random bits, integers of the same shape; else None.
        g: The tensor scale of each block, float32, shape (vectors,), where there is one; else None.
        offer: In which cycles an input may be offered, shape (cycles,), repeated for ever.
        accept: In which cycles a result is accepted, shape (cycles,), repeated for ever.
        source: What gives the same vectors and patterns again, if anything does.

    Raises:
        TypeError: If codes are not integers.
        ValueError: If shapes do not fit, a code has a bit above its width, there is no vector, or a pattern
            is never true.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("x", "random", "g")

    spec: QuantizerSpec
    x: Codes
    random: Codes | None = None
    g: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        spec = self.spec
        x = spec.input_format.check(self.x, "x")
        if x.ndim != 2 or x.shape[1] != spec.block_size:
            raise ValueError(f"x must be shaped (vectors, {spec.block_size}) for {spec.name}, not {x.shape}")
        freeze(self, "x", x)
        for name, used in (("random", spec.stochastic), ("g", spec.tensor_scale)):
            if (getattr(self, name) is not None) != used:
                raise ValueError(f"{name} must {'be given' if used else 'be None'} for {spec.name}")
        if self.random is not None:
            draws = require_codes("random", self.random, spec.random_bits, f"{spec.random_bits}-bit numbers")
            if draws.shape != x.shape:
                raise ValueError(f"random must be shaped {x.shape} to fit x, not {draws.shape}")
            freeze(self, "random", draws.astype(np.uint16, copy=False))
        if self.g is not None:
            g = cast_exactly(self.g, np.float32, "g")
            if g.shape != x.shape[:1]:
                raise ValueError(f"g must be shaped {x.shape[:1]} to fit x, not {g.shape}")
            freeze(self, "g", g)
        self._set_alone()

    @property
    def vectors(self) -> int:
        """How many blocks there are."""
        return len(self.x)

    @cached_property
    def codes(self) -> tuple[Codes, Codes]:
        """What the model computes: element codes, shape (vectors, N), and scale codes, shape (vectors,)."""
        return self.spec.compute(self.x, self.random, self.g)

    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result: the words of the element codes, then that of the scale code."""
        elements, scales = self.codes
        return np.concatenate(
            [
                pack(elements, self.spec.element_format.bits),
                pack(scales[:, np.newaxis], self.spec.scale_format.bits),
            ],
            axis=1,
        )

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port: by its name, shape (vectors, words), see `pack`."""
        words = {"i_x": pack(self.x, self.spec.input_format.bits)}
        if self.random is not None:
            words["i_random"] = pack(self.random, self.spec.random_bits)
        if self.g is not None:
            words["i_g"] = self.g.view(np.uint32)[:, np.newaxis]
        return words

    def result_text(self, bits: int) -> str:
        """Return a result as a reader wants to see it: element codes and the scale code."""
        element, scale = self.spec.element_format, self.spec.scale_format
        words = -(-self.spec.block_size * element.bits // 32)
        mask = (1 << element.bits) - 1
        elements = np.array([bits >> k * element.bits & mask for k in range(self.spec.block_size)])
        of_scale = codes_text(scale, np.array(bits >> 32 * words))
        return f"scale {of_scale}, elements {codes_text(element, elements)}"

    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds."""
        form = self.spec.input_format
        x = self.x[vector]
        hexes = " ".join(f"{int(code):0{form.bits // 4}x}" for code in x)
        values = " ".join(f"{value:.9g}" for value in form.to_float32(x))
        lines = [f"  vector {vector}: x {hexes} ({form.name}: {values})"]
        if self.random is not None:
            lines.append("    random " + " ".join(f"{int(draw):x}" for draw in self.random[vector]))
        if self.g is not None:
            g = self.g[vector]
            lines.append(f"    g {int(g.view(np.uint32)):#010x} ({g!s})")
        return lines


def _nearest(spec: QuantizerSpec, values: _Doubles) -> Codes:
    """Return input codes of values that are not negative, cut off where the format is too narrow."""
    form = spec.input_format
    with np.errstate(over="ignore"):
        if form.name == "fp16":
            codes = values.astype(np.float16).view(np.uint16)
        else:
            codes = values.astype(np.float32).view(np.uint32) >> np.uint32(32 - form.bits)
    # An overflow is as large as it gets; infinities are planted on purpose.
    return np.minimum(codes, form.infinity_code - 1).astype(form.dtype)


def _beside(spec: QuantizerSpec, codes: Codes, step: npt.NDArray[np.integer]) -> Codes:
    """Return magnitudes moved by some steps of the format, and kept finite."""
    form = spec.input_format
    return np.clip(codes.astype(np.int64) + step, 0, form.infinity_code - 1).astype(form.dtype)


def _tops(spec: QuantizerSpec) -> list[float]:
    """Return the values to which a method brings a block's largest magnitude."""
    return [6.0, 4.0] if spec.method == "four_over_six" else [spec.element_format.largest]


def _scale_values(spec: QuantizerSpec) -> _Doubles:
    scale = spec.scale_format
    return scale.values[: scale.largest_code + 1]


def scale_thresholds(spec: QuantizerSpec) -> dict[float, _Doubles]:
    """Return the largest magnitudes at which the scale becomes the next one, by what they are brought to.

    Those of ``four_over_six`` are of both its scales.
    """
    values, largest = _scale_values(spec), spec.element_format.largest
    if spec.method == "floor":
        return {largest: values[1:] * 2.0 ** math.floor(math.log2(largest))}
    if spec.method == "ceil":
        return {largest: values[:-1] * largest}
    return {top: (values[1:] + values[:-1]) / 2 * top for top in _tops(spec)}


def step_parts(
    spec: QuantizerSpec, x: Codes, scales: npt.NDArray[np.unsignedinteger], g: npt.NDArray[np.float32] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where magnitudes lie between the elements that are their neighbours, under ``stochastic``.

    Args:
        spec: What the unit computes.
        x: Input codes, shape (vectors, N).
        scales: The scale code of each block.
        g: The tensor scale of each block, if there is one.

    Returns:
        For each number which of the element format's magnitudes is the lower neighbour, and what part of the
        step it is above it, in units of a random bit. -1 for both where there is no upper neighbour, or no
        scale above zero.
    """
    element = spec.element_format
    magnitudes = np.unique(np.abs(element.values[element.codes]))
    finite = scales <= spec.scale_format.largest_code
    factor = spec.scale_format.values[np.where(finite, scales, 0)]
    if g is not None:
        factor = factor * g.astype(np.float64)
    alive = finite & (factor > 0)
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.abs(spec.input_format.to_float32(x).astype(np.float64))
        values = values / np.where(alive, factor, 1)[:, np.newaxis]
    values = np.where(np.isfinite(values), values, magnitudes[-1])
    lower = np.searchsorted(magnitudes, values, side="right") - 1
    there = (lower < len(magnitudes) - 1) & alive[:, np.newaxis]
    at = np.where(there, lower, 0)
    position = (values - magnitudes[at]) / (magnitudes[at + 1] - magnitudes[at])
    part = np.floor(np.where(there, position, 0) * (1 << spec.random_bits)).astype(np.int64)
    return np.where(there, lower, -1), np.where(there, part, -1)


def _corners(spec: QuantizerSpec) -> Codes:
    """Return the codes of blocks that no threshold leads to, shape (blocks, N)."""
    form, size = spec.input_format, spec.block_size
    infinity, subnormal, sign = form.infinity_code, 1 << form.mantissa_bits, 1 << form.bits - 1
    blocks = [np.zeros(size, np.int64), 1 + np.arange(size) % (subnormal - 1)]
    for k in range(size):
        for code in (1, subnormal - 1, infinity - 1, infinity, infinity + 1, sign - 1):
            for turned in (0, sign):
                block = np.zeros(size, np.int64)
                block[k] = code | turned
                blocks.append(block)
    if spec.method == "four_over_six":
        # Alone, both without an error: the scales are 2 and 3 of some steps.
        for k, code in enumerate(_nearest(spec, 12 * _scale_values(spec)).tolist()):
            block = np.zeros(size, np.int64)
            block[k % size] = code
            blocks.append(block)
    return np.array(blocks).astype(form.dtype)


def _near_ties(spec: QuantizerSpec, rng: np.random.Generator) -> Codes:
    """Return blocks whose errors under the scales of 6 and of 4 are all but equal, shape (blocks, N).

    Of many drawn blocks these are the ones with the least difference, in units of what a last bit of a sum of
    products makes of it. Many numbers are in the least binade that has elements above zero, where a last bit
    of a sum is one of the number's own, and that bit is set.
    """
    form, element, values = spec.input_format, spec.element_format, spec.scale_format.values
    rule = ScaleRule(element, spec.scale_format)
    scales = _scale_values(spec)
    shape = (_DRAWN_FOR_TIES, spec.block_size)
    binades = np.where(rng.random(shape) < 0.4, rng.uniform(-1.4, -1, shape), rng.uniform(-2, 2.6, shape))
    largest = rng.uniform(2.5, 2.7, len(binades))
    binades[np.arange(len(binades)), rng.integers(0, shape[1], len(binades))] = largest
    x = _nearest(spec, rng.choice(scales[scales > 0], (len(binades), 1)) * 2.0**binades) | form.dtype.type(1)
    rows = form.to_float32(x)
    sides: list[_Doubles] = []
    factors: list[_Doubles] = []
    for top in (6.0, 4.0):
        codes = rule.round_scales(rows.max(axis=1), top)
        factor = values[codes]
        made = element.values[rule.compared(rows, codes)] * factor[:, np.newaxis]
        sides.append((made * (made - 2 * rows.astype(np.float64))).sum(axis=1))
        factors.append(factor)
    last = 2.0 ** (np.frexp(factors[0])[1] - 3 - form.mantissa_bits) * (factors[1] - factors[0])
    two = (factors[0] > 0) & (last > 0)
    off = np.where(two, np.abs(sides[0] - sides[1]) / np.where(two, last, 1), np.inf)
    return x[np.argsort(off, kind="stable")[:_NEAR_TIES]]


def _targets(spec: QuantizerSpec) -> _Doubles:
    """Return all midpoints of neighbouring element magnitudes, and the magnitudes themselves."""
    element = spec.element_format
    points = np.unique(np.abs(element.values[element.codes]))
    return np.concatenate([points, (points[1:] + points[:-1]) / 2])


def _draw_g(spec: QuantizerSpec, vectors: int, rng: np.random.Generator) -> npt.NDArray[np.float32] | None:
    """Draw tensor scales: of any significand or none, of usual size, and from float32's ends."""
    if not spec.tensor_scale:
        return None
    significand = np.where(rng.random(vectors) < 0.5, 0, rng.integers(0, 1 << 23, vectors))
    usual, any_size = rng.integers(107, 135, vectors), rng.integers(0, 255, vectors)
    exponent = np.where(rng.random(vectors) < 0.8, usual, any_size)
    bits = np.maximum(exponent << 23 | significand, 1)
    return bits.astype(np.uint32).view(np.float32)


def _draws(spec: QuantizerSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Codes | None:
    """Draw random bits, where the specification has any."""
    return rng.integers(0, 1 << spec.random_bits, shape, np.uint16) if spec.stochastic else None


def from_numbers(
    spec: QuantizerSpec,
    x: npt.ArrayLike,
    *,
    g: float | None = None,
    seed: int | None = None,
    stalls: int | None = None,
) -> QuantizerStimulus:
    """Return the stimulus of given numbers, such as a tensor's.

    Args:
        spec: What the unit computes.
        x: Input codes, shaped (..., N); blocks in the order of the leading indices.
        g: The tensor scale, where there is one.
        seed: Seed of the random bits, where there are any.
        stalls: Seed of gaps between inputs and of back-pressure; None for neither.
    """
    codes = np.asarray(x).reshape(-1, spec.block_size)
    made = QuantizerStimulus(
        spec=spec,
        x=codes,
        random=_draws(spec, codes.shape, np.random.default_rng(seed)),
        g=None if g is None else np.full(len(codes), g, np.float32),
    )
    return made if stalls is None else replace(made, **draw_patterns(np.random.default_rng(stalls)))


def random(spec: QuantizerSpec, vectors: int, *, seed: int, stalls: bool = True) -> QuantizerStimulus:
    """Return random stimulus that goes to the corners as well as through the middle.

    Blocks are of uniform bits, Gaussian of any width, narrow (all elements within a binade), full of ties of
    elements or beside them, with the largest at a threshold of scales or beside one, or from the corners:
    zeros, subnormals, the largest finite number. One block in 16 meets an infinity or a NaN.

    Args:
        spec: What the unit computes.
        vectors: How many blocks, at least 1.
        seed: Seed of everything random here; not negative.
        stalls: Whether there are gaps between inputs, and back-pressure.

    Returns:
        The stimulus; the same arguments give the same one.

    Raises:
        ValueError: If `vectors` is below 1, or `seed` below 0.
    """
    require_drawn(vectors, seed)
    rng = np.random.default_rng([seed, 2])
    g = _draw_g(spec, vectors, rng)
    x = _blocks(spec, vectors, np.ones(vectors, np.float32) if g is None else g, rng)
    made = QuantizerStimulus(
        spec=spec,
        x=x,
        random=_draws(spec, x.shape, rng),
        g=g,
        source=StimulusSource(kind="random", count=vectors, seed=seed, stalls=stalls),
    )
    return replace(made, **draw_patterns(rng)) if stalls else made


def _blocks(spec: QuantizerSpec, vectors: int, g: npt.NDArray[np.float32], rng: np.random.Generator) -> Codes:
    """Draw blocks of every kind, shape (vectors, N)."""
    form, size = spec.input_format, spec.block_size
    kind = rng.choice(7, vectors, p=[0.08, 0.2, 0.1, 0.2, 0.27, 0.1, 0.05])
    x = rng.integers(0, form.infinity_code, (vectors, size), dtype=form.dtype)
    values, scaled = _scale_values(spec), g.astype(np.float64)[:, np.newaxis]

    def of(wanted: int) -> tuple[npt.NDArray[np.int64], _Doubles, tuple[int, int]]:
        rows = np.flatnonzero(kind == wanted)
        return rows, scaled[rows], (len(rows), size)

    rows, factor, shape = of(1)
    low, high = np.log2(values[values > 0].min()) - 3, np.log2(values.max()) + 4
    sigma = 2.0 ** rng.uniform(low, high, (len(rows), 1)) * factor
    x[rows] = _nearest(spec, np.abs(rng.standard_normal(shape)) * sigma)
    rows, factor, shape = of(2)
    sigma = 2.0 ** rng.uniform(low, high, (len(rows), 1)) * factor
    x[rows] = _nearest(spec, rng.uniform(0.5, 1, shape) * sigma)
    for wanted in (3, 4):
        rows, factor, shape = of(wanted)
        at = rng.integers(0, len(values), (len(rows), 1))
        ties = rng.choice(_targets(spec), shape) * values[at] * factor
        top = rng.choice(_tops(spec), (len(rows), 1))
        largest = values[at]
        if wanted == 4:
            largest = (largest + values[np.minimum(at + 1, len(values) - 1)]) / 2
        place = rng.integers(0, size, len(rows))
        ties = np.minimum(ties, largest * top * factor)
        ties[np.arange(len(rows)), place] = (largest * top * factor)[:, 0]
        step = rng.choice([0, 0, 0, 1, -1], shape)
        x[rows] = _beside(spec, _nearest(spec, ties), step)
    rows, _, shape = of(5)
    one = 1 << form.mantissa_bits
    corners = np.array([0, 0, 1, 2, one - 1, one, form.infinity_code - 1, form.infinity_code - 2])
    x[rows] = corners[rng.integers(0, len(corners), shape)]
    rows, _, shape = of(6)
    x[rows] = np.where(rng.random((len(rows), 1)) < 0.5, 0, rng.integers(0, one, shape))
    x |= rng.integers(0, 2, x.shape, dtype=form.dtype) << form.dtype.type(form.bits - 1)
    _plant(spec, x, 1 / 16, rng)
    return x


def _plant(spec: QuantizerSpec, x: Codes, probability: float, rng: np.random.Generator) -> None:
    """Put an infinity or a NaN into some blocks."""
    form = spec.input_format
    met = np.flatnonzero(rng.random(len(x)) < probability)
    infinity, top = form.infinity_code, (1 << form.bits - 1) - 1
    special = np.array([infinity, infinity, infinity + 1, top, (infinity + top) // 2])
    signs = rng.integers(0, 2, len(met)) << (form.bits - 1)
    x[met, rng.integers(0, spec.block_size, len(met))] = rng.choice(special, len(met)) | signs


def _at_chosen_scales(spec: QuantizerSpec, rng: np.random.Generator) -> tuple[Codes, npt.NDArray[np.float32]]:
    """Return blocks, shape (blocks, N), and for each the tensor scale that makes a tie of one of its numbers.

    A tensor scale has more bits than most inputs: under any that is given, no number comes near a tie. So the
    number is drawn, and the scale is the quotient that takes it to a threshold of scales or to a midpoint of
    elements, to two steps of binary32.
    """
    form, size = spec.input_format, spec.block_size
    number = rng.integers(1, form.infinity_code, _CHOSEN)
    small = rng.integers(1, min(form.infinity_code, 24 << form.mantissa_bits), _CHOSEN)
    number = np.where(np.arange(_CHOSEN) % _SMALL_TURN, number, small)
    value = form.to_float32(number.astype(form.dtype)).astype(np.float64)
    values, targets = _scale_values(spec), _targets(spec)
    threshold = rng.choice(np.concatenate(list(scale_thresholds(spec).values())), _CHOSEN)
    scale, target = (rng.choice(choices[choices > 0], _CHOSEN) for choices in (values, targets))
    # The largest magnitude at a threshold, or another one at a midpoint, under the scale of the largest.
    of_elements = np.arange(_CHOSEN) % 2 == 1
    with np.errstate(over="ignore"):
        g = (value / np.where(of_elements, scale * target, threshold)).astype(np.float32)
    bits = g.view(np.uint32).astype(np.int64) + rng.integers(-2, 3, _CHOSEN)
    g = np.clip(bits, 1, 0x7F7FFFFF).astype(np.uint32).view(np.float32)
    largest = _nearest(spec, scale * spec.element_format.largest * g.astype(np.float64))
    largest = np.where(of_elements, np.maximum(largest, number), number).astype(form.dtype)
    x = rng.integers(0, number[:, np.newaxis] + 1, (_CHOSEN, size)).astype(form.dtype)
    rows, place = np.arange(_CHOSEN), rng.integers(0, size, _CHOSEN)
    x[rows, place] = number
    x[rows, np.where(of_elements, (place + 1) % size, place)] = largest
    x |= rng.integers(0, 2, x.shape).astype(form.dtype) << form.dtype.type(form.bits - 1)
    return x, g


def directed(spec: QuantizerSpec) -> QuantizerStimulus:
    """Return blocks that go to every threshold of scales and every midpoint of elements under every scale.

    The largest magnitude stands at each threshold, and one step of the input format below and above it, in
    one lane after another. Under every scale, as far as the input format reaches it, each midpoint of
    elements, each element and what is one step beside them stand in all lanes, with both signs; random bits,
    where there are any, are 0, all ones, drawn, the least that takes the element up, or one less. With a
    tensor scale, all of it stands there under 1 and 1.375, and some under others, subnormal ones too; and
    numbers stand under the very scale that makes a tie of them, and under those beside it.
    Subnormal and largest numbers, infinities and NaNs stand alone in each lane. With ``four_over_six`` there
    are blocks whose errors under both scales differ by a last bit or none.
    """
    size = spec.block_size
    values, targets = _scale_values(spec), _targets(spec)
    rng = np.random.default_rng(0)
    blocks: list[_Doubles] = []
    steps: list[npt.NDArray[np.int64]] = []
    signs: list[npt.NDArray[np.int64]] = []
    for thresholds in scale_thresholds(spec).values():
        largest = np.repeat(thresholds, 3)
        step = np.tile([-1, 0, 1], len(thresholds))
        block = rng.uniform(0, 0.5, (len(largest), size)) * largest[:, np.newaxis]
        place = np.arange(len(largest)) // 3 % size
        block[np.arange(len(largest)), place] = largest
        moves = np.zeros(block.shape, np.int64)
        moves[np.arange(len(largest)), place] = step
        blocks.append(block)
        steps.append(moves)
        signs.append(np.add.outer(np.arange(len(largest)) // 3, np.arange(size)))
    points = np.repeat(targets, 3)
    moved = np.tile([-1, 0, 1], len(targets))
    lanes = size - 1
    count = -(-len(points) // lanes)
    index = np.arange(count * lanes).reshape(count, lanes) % len(points)
    for turn in range(size):
        # The lane that holds the largest magnitude goes round.
        others = (np.arange(lanes) + turn + 1) % size
        block = np.zeros((len(values), count, size))
        moves = np.zeros((len(values), count, size), np.int64)
        block[..., others] = values[:, np.newaxis, np.newaxis] * points[index]
        moves[..., others] = moved[index]
        block[..., turn] = values[:, np.newaxis] * spec.element_format.largest
        # Nothing may be larger than the magnitude that the scale is chosen by.
        moves[(block >= block[..., turn : turn + 1]) & (moves > 0)] = 0
        blocks.append(np.minimum(block, block[..., turn : turn + 1]).reshape(-1, size))
        steps.append(moves.reshape(-1, size))
        # What stands in a lane under one scale has the other sign under the next.
        index_of_scale = np.repeat(np.arange(len(values)), count)
        signs.append(np.add.outer(index_of_scale, np.arange(size)))
    whole, moves, sign = np.concatenate(blocks), np.concatenate(steps), np.concatenate(signs)
    g: npt.NDArray[np.float32] | None = None
    scaled = whole
    if spec.tensor_scale:
        g = np.repeat(np.array([1, 1.375], np.float32), len(whole))
        moves, sign = np.concatenate([moves, moves]), np.concatenate([sign, sign])
        scaled = np.concatenate([whole, whole]) * g[:, np.newaxis].astype(np.float64)
    x = _beside(spec, _nearest(spec, scaled), moves)
    form = spec.input_format
    x |= (sign % 2).astype(form.dtype) << form.dtype.type(form.bits - 1)
    if g is not None:
        # Under most significands a threshold lies between two of the input's numbers, which stand beside it.
        some = np.concatenate([whole[::_ANY_TURN], whole[::_SUBNORMAL_TURN]])
        drawn = rng.integers(0, 1 << 23, len(some))
        exponent = rng.integers(117, 137, len(some))
        exponent[len(whole[::_ANY_TURN]) :] = 0
        others = np.maximum(exponent << 23 | drawn, 1).astype(np.uint32).view(np.float32)
        tied, chosen = _at_chosen_scales(spec, rng)
        x = np.concatenate([x, _nearest(spec, some * others[:, np.newaxis].astype(np.float64)), tied])
        g = np.concatenate([g, others, chosen])
    corners = _corners(spec)
    if spec.method == "four_over_six":
        corners = np.concatenate([corners, _near_ties(spec, np.random.default_rng(1))])
    x = np.concatenate([x, corners])
    g = None if g is None else np.concatenate([g, np.ones(len(corners), np.float32)])
    draws = _draws(spec, x.shape, rng)
    if draws is not None:
        _, part = step_parts(spec, x, spec.compute(x, draws, g)[1], g)
        whole_step = 1 << spec.random_bits
        kind = rng.integers(0, 5, x.shape)
        # The least random number that takes an element up, and the one below it.
        turning = np.clip(whole_step - part - (kind == 4), 0, whole_step - 1)
        draws = np.choose(
            kind, [np.zeros_like(turning), np.full_like(turning, whole_step - 1), draws, turning, turning]
        )
        draws = draws.astype(np.uint16)
    return QuantizerStimulus(spec=spec, x=x, random=draws, g=g, source=StimulusSource(kind="directed"))


def bulk(spec: QuantizerSpec, vectors: int, *, seed: int) -> QuantizerStimulus:
    """Return random stimulus that costs little to make, for runs of many millions.

    An eighth is what `random` draws. The rest has significands of uniform bits; the block's largest exponent
    is uniform over those that lead to every scale and a little beyond, and the others lie up to eight
    binades below. A quarter of the seeds give gaps and back-pressure.

    Args:
        spec: What the unit computes.
        vectors: How many blocks, at least 8.
        seed: Seed of everything random here; not negative.

    Returns:
        The stimulus; the same arguments give the same one.

    Raises:
        ValueError: If `vectors` is below 8, or `seed` below 0.
    """
    require_drawn(vectors, seed, least=8)
    rng = np.random.default_rng([seed, 3])
    careful = random(spec, int(vectors * _CAREFUL), seed=seed, stalls=bool(rng.random() < _STALLED))
    rest, form = vectors - careful.vectors, spec.input_format
    values = _scale_values(spec)
    least, most = (int(np.floor(np.log2(v))) for v in (values[values > 0].min(), values.max()))
    g = _draw_g(spec, rest, rng)
    low, high = (np.clip(e + form.bias, 0, (1 << form.exponent_bits) - 2) for e in (least - 2, most + 4))
    exponents = rng.integers(low, high + 1, (rest, 1))
    if g is not None:
        exponents = np.clip(exponents + np.frexp(g)[1][:, np.newaxis], 0, (1 << form.exponent_bits) - 2)
    raw = rng.integers(0, 1 << 64, -(-rest * spec.block_size * form.bits // 64), dtype=np.uint64)
    x = raw.view(form.dtype)[: rest * spec.block_size].reshape(rest, spec.block_size)
    below = _BINADES_BELOW[
        rng.integers(0, 1 << 64, -(-x.size // 8), dtype=np.uint64).view(np.uint8)[: x.size].reshape(x.shape)
    ]
    field_mask = form.infinity_code
    x &= form.dtype.type((1 << form.bits) - 1 - field_mask)
    fields = np.maximum(exponents.astype(np.int16) - below, 0)
    x |= fields.astype(form.dtype) << form.dtype.type(form.mantissa_bits)
    draws = _draws(spec, x.shape, rng)
    return QuantizerStimulus(
        spec=spec,
        x=np.concatenate([careful.x, x]),
        random=None if draws is None or careful.random is None else np.concatenate([careful.random, draws]),
        g=None if g is None or careful.g is None else np.concatenate([careful.g, g]),
        offer=careful.offer,
        accept=careful.accept,
    )
