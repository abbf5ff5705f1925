"""Random blocks for a quantizer: of every kind, or so many that each must cost little to make."""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ...model import QuantizerSpec
from ..unit_stimulus import Codes, StimulusSource, draw_patterns, require_drawn
from .stimulus import QuantizerStimulus, draw_random_bits
from .thresholds import Doubles, beside, element_targets, nearest_codes, scale_values, tops

__all__ = ["bulk", "random"]

# What part of `bulk` is drawn as `random` draws it, and how often it stalls.
_CAREFUL: Final = 1 / 8
_STALLED: Final = 1 / 4
# Binades that an element of `bulk` lies below its block's largest: a byte chooses.
_BINADES_BELOW: Final = np.repeat(np.arange(9), [64, 64, 48, 32, 16, 12, 8, 8, 4]).astype(np.uint8)


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
    g = _draw_tensor_scales(spec, vectors, rng)
    x = _blocks(spec, vectors, np.ones(vectors, np.float32) if g is None else g, rng)
    made = QuantizerStimulus(
        spec=spec,
        x=x,
        random=draw_random_bits(spec, x.shape, rng),
        g=g,
        source=StimulusSource(kind="random", count=vectors, seed=seed, stalls=stalls),
    )
    return replace(made, **draw_patterns(rng)) if stalls else made


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
    values = scale_values(spec)
    least, most = (int(np.floor(np.log2(v))) for v in (values[values > 0].min(), values.max()))
    g = _draw_tensor_scales(spec, rest, rng)
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
    draws = draw_random_bits(spec, x.shape, rng)
    return QuantizerStimulus(
        spec=spec,
        x=np.concatenate([careful.x, x]),
        random=None if draws is None or careful.random is None else np.concatenate([careful.random, draws]),
        g=None if g is None or careful.g is None else np.concatenate([careful.g, g]),
        offer=careful.offer,
        accept=careful.accept,
    )


def _blocks(spec: QuantizerSpec, vectors: int, g: npt.NDArray[np.float32], rng: np.random.Generator) -> Codes:
    """Draw blocks of every kind, shape (vectors, N)."""
    form, size = spec.input_format, spec.block_size
    kind = rng.choice(7, vectors, p=[0.08, 0.2, 0.1, 0.2, 0.27, 0.1, 0.05])
    x = rng.integers(0, form.infinity_code, (vectors, size), dtype=form.dtype)
    values, scaled = scale_values(spec), g.astype(np.float64)[:, np.newaxis]

    def of(wanted: int) -> tuple[npt.NDArray[np.int64], Doubles, tuple[int, int]]:
        rows = np.flatnonzero(kind == wanted)
        return rows, scaled[rows], (len(rows), size)

    rows, factor, shape = of(1)
    low, high = np.log2(values[values > 0].min()) - 3, np.log2(values.max()) + 4
    sigma = 2.0 ** rng.uniform(low, high, (len(rows), 1)) * factor
    x[rows] = nearest_codes(spec, np.abs(rng.standard_normal(shape)) * sigma)
    rows, factor, shape = of(2)
    sigma = 2.0 ** rng.uniform(low, high, (len(rows), 1)) * factor
    x[rows] = nearest_codes(spec, rng.uniform(0.5, 1, shape) * sigma)
    for wanted in (3, 4):
        rows, factor, shape = of(wanted)
        at = rng.integers(0, len(values), (len(rows), 1))
        ties = rng.choice(element_targets(spec), shape) * values[at] * factor
        top = rng.choice(tops(spec), (len(rows), 1))
        largest = values[at]
        if wanted == 4:
            largest = (largest + values[np.minimum(at + 1, len(values) - 1)]) / 2
        place = rng.integers(0, size, len(rows))
        ties = np.minimum(ties, largest * top * factor)
        ties[np.arange(len(rows)), place] = (largest * top * factor)[:, 0]
        step = rng.choice([0, 0, 0, 1, -1], shape)
        x[rows] = beside(spec, nearest_codes(spec, ties), step)
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


def _draw_tensor_scales(
    spec: QuantizerSpec, vectors: int, rng: np.random.Generator
) -> npt.NDArray[np.float32] | None:
    """Draw tensor scales: of any significand or none, of usual size, and from float32's ends."""
    if not spec.tensor_scale:
        return None
    significand = np.where(rng.random(vectors) < 0.5, 0, rng.integers(0, 1 << 23, vectors))
    usual, any_size = rng.integers(107, 135, vectors), rng.integers(0, 255, vectors)
    exponent = np.where(rng.random(vectors) < 0.8, usual, any_size)
    bits = np.maximum(exponent << 23 | significand, 1)
    return bits.astype(np.uint32).view(np.float32)
