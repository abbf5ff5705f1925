"""The error that block quantization is expected to make, by integration where that is possible.

A block is N independent values of sigma * U, U from a symmetric distribution of variance 1; f is the density
of |U|, and F(x) = P(|U| < x). Under the methods ``absmax``, ``prevent_zero``, ``floor`` and ``ceil`` a
block's scale is a staircase of its largest magnitude z alone: s_k for z in (l_k, h_k). The squared error
e_k(x) of a value x under s_k is then known. All values of a block are alike, so that the mean squared error
is that of the first; and given its magnitude x, the largest lies in (l_k, h_k) with probability

    F(h_k)**(N-1) - F(l_k)**(N-1)    where x < l_k: one of the others is the largest,
    F(h_k)**(N-1)                    where l_k < x < h_k: the others are below h_k.

So the error is a sum of integrals over one variable, none of them over the largest of a block:

    MSE = sum_k   (F(h_k)**(N-1) - F(l_k)**(N-1)) * int(e_k f, 0 to l_k)
                + F(h_k)**(N-1) * int(e_k f, l_k to h_k)

The integrands are smooth between the steps of the elements' grid, where Gauss-Legendre quadrature converges
to the precision of float64. Of the second part, ``int(e_k f F**(N-1), l_k to h_k)`` is the error of values
that are the largest of their block, and a scale s_k = 0 loses the whole block. This is the theory of arXiv
2601.19026, which integrates over the density of the largest, without its approximations.

The other methods, and rounding at random, look at all values of a block. They are sampled, with the
quantizer itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_block_size, require_int, require_real
from . import distributions, formats
from .distributions import Distribution
from .formats import Format, Rounding
from .quantize import Method, quantize, require_method
from .scale_selection import STAIRCASES

__all__ = [
    "INTEGRATED",
    "ExpectedError",
    "SampledError",
    "crossover",
    "expected_error",
    "plateau",
    "sampled_error",
]

INTEGRATED: Final[tuple[Method, ...]] = STAIRCASES
"""The methods that `expected_error` takes."""

# Two orders of quadrature: the higher gives the result, what they differ by its uncertainty.
_ORDERS: Final = (16, 24)
# No interval of quadrature is long against the distribution: edges in units of sigma. Behind the last one
# the reciprocal is integrated over, in which the tails of Student's t are polynomials.
_PANELS: Final = np.concatenate(
    [np.arange(0.0, 8.0, 0.5), np.arange(8.0, 32.0, 2.0), 32.0 * 2.0 ** np.arange(32)]
)
# What is less likely contributes less than float64 resolves.
_NEVER: Final = 1e-22
# A crossover is looked for from so many sigma per least normal block downwards, in such steps.
_HIGHEST: Final = 8.0
_STEP: Final = 2.0**-0.25
_PRECISION: Final = 1e-9
# Elements that `sampled_error` draws at a time.
_CHUNK: Final = 1 << 18

_Doubles = npt.NDArray[np.float64]
# The magnitudes of the elements, and where each begins; infinity at the end.
_Grid = tuple[_Doubles, _Doubles]


@dataclass(frozen=True)
class ExpectedError:
    """A mean squared error over sigma squared, in the parts it comes from.

    Attributes:
        others: From elements that are not the largest of their block.
        largest: From those that are.
        zero_scale: From blocks whose scale is zero.
        uncertainty: How far off their sum may be: what two orders of quadrature differ by, and rounding.
    """

    others: float
    largest: float
    zero_scale: float
    uncertainty: float

    @property
    def mse(self) -> float:
        """The sum of the parts."""
        return self.others + self.largest + self.zero_scale


@dataclass(frozen=True)
class SampledError:
    """A mean squared error over sigma squared, by Monte Carlo.

    Attributes:
        mse: The mean over the blocks that were drawn.
        standard_error: Its standard error, from the spread of the blocks.
        blocks: How many there were.
    """

    mse: float
    standard_error: float
    blocks: int


@dataclass(frozen=True)
class _Staircase:
    """The scale as a function of the largest magnitude.

    Attributes:
        scales: The scales, ascending.
        edges: Where they begin, from 0, and infinity at the end: one more than there are scales.
    """

    scales: _Doubles
    edges: _Doubles

    @classmethod
    def of(cls, element: Format, scale: Format, method: Method, rounding: Rounding) -> "_Staircase":
        finite = scale.values[: scale.largest_code + 1]
        power = 2.0 ** np.floor(np.log2(element.largest))
        if method == "floor":
            # The power of two of the largest magnitude over that of the largest element.
            begin = finite * power
        elif method == "even":
            begin = finite * power * (1 - 0.5 ** (element.significand_bits + 1))
        elif method == "ceil":
            begin = finite / 2 * element.largest
        elif rounding == "toward_zero":
            begin = finite * element.largest
        else:
            begin = np.concatenate([[0.0], (finite[1:] + finite[:-1]) / 2]) * element.largest
        if method == "prevent_zero" and scale.zero_code is not None:
            finite, begin = finite[1:], begin[1:]
        return cls(finite, np.concatenate([[0.0], begin[1:], [np.inf]]))


def _grids(element: Format, rounding: Rounding) -> list[_Grid]:
    """Return the magnitudes of the elements and where each begins; twice where the signs differ."""
    finite = element.values[np.isfinite(element.values)]
    grids: list[_Grid] = []
    for sign in (1.0, -1.0):
        values = np.unique(np.abs(finite[finite * sign >= 0]))
        middles = values[1:] if rounding == "toward_zero" else (values[1:] + values[:-1]) / 2
        grids.append((values, np.concatenate([[0.0], middles, [np.inf]])))
    return grids[:1] if len(grids[0][0]) == len(grids[1][0]) else grids


def _nodes(low: _Doubles, high: _Doubles, order: int) -> tuple[_Doubles, _Doubles]:
    """Return the points of quadrature between `low` and `high`, and their weights; an axis more.

    A positive `low` with an infinite `high` is allowed.
    """
    points, weights = np.polynomial.legendre.leggauss(order)
    far = np.isinf(high)
    a = np.where(far, 0.0, low)[..., np.newaxis]
    b = np.where(far, 1.0, high)[..., np.newaxis]
    inside = (a + b) / 2 + (b - a) / 2 * points
    weights = (b - a) / 2 * weights
    if not far.any():
        return inside, weights
    tail, start = far[..., np.newaxis], low[..., np.newaxis]
    return np.where(tail, start / inside, inside), np.where(tail, weights * start / inside**2, weights)


def _partial_errors(
    scales: _Doubles, limits: _Doubles, grid: _Grid, distribution: Distribution, order: int
) -> _Doubles:
    """Return for each scale the integral of its error times the density, from 0 to its limit."""
    values, begins = grid
    ends = np.minimum(scales[:, np.newaxis] * begins, limits[:, np.newaxis])
    x, weights = _nodes(ends[:, :-1], ends[:, 1:], order)
    errors = (x - scales[:, np.newaxis, np.newaxis] * values[:, np.newaxis]) ** 2
    return (errors * distribution.density(x) * weights).sum(axis=(1, 2))


def _integrate(
    sigma: float, stairs: _Staircase, grid: _Grid, block_size: int, distribution: Distribution, order: int
) -> _Doubles:
    """Return the parts of the error for one sign of the elements: others, largest, zero scale."""
    scales, edges = stairs.scales / sigma, stairs.edges / sigma
    below = distribution.below(edges) ** (block_size - 1)

    # What is smaller than all that may be the largest under a scale, scale by scale.
    chance = np.diff(below)
    here = np.flatnonzero((chance > _NEVER) & (edges[:-1] > 0))
    smaller = chance[here] @ _partial_errors(scales[here], edges[here], grid, distribution, order)

    # What is the largest or might be: all magnitudes in one go, cut at the steps of the scale and its grid.
    values, begins = grid
    steps = scales[:, np.newaxis] * begins[1:-1]
    steps = steps[(steps > edges[:-1, np.newaxis]) & (steps < edges[1:, np.newaxis])]
    cuts = np.unique(np.concatenate([edges, steps, _PANELS]))
    low, high = cuts[:-1], cuts[1:]
    level = np.searchsorted(edges, low, side="right") - 1
    # What lies between has to be likely enough, and what is above it worth its energy.
    some = (below[level + 1] > _NEVER) & ((low < 1) | (distribution.density(low) * low**3 > _NEVER))
    low, high, level = low[some], high[some], level[some]
    inside = np.where(np.isinf(high), 2 * low, (low + high) / 2)
    lost = scales[level] == 0
    scale = np.where(lost, 1.0, scales[level])
    nearest = values[np.searchsorted(begins, inside / scale, side="right") - 1]
    nearest = np.where(lost, 0.0, nearest * scale)
    x, weights = _nodes(low, high, order)
    errors = (x - nearest[:, np.newaxis]) ** 2 * distribution.density(x) * weights
    whole = errors.sum(axis=1) * below[level + 1]
    largest = (errors * distribution.below(x) ** (block_size - 1)).sum(axis=1)
    others = smaller + (whole - largest)[~lost].sum()
    return np.array([others, largest[~lost].sum(), whole[lost].sum()])


def _require_sigma(value: object) -> float:
    sigma = require_real("sigma", value)
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma must be above zero and finite, not {sigma!r}")
    return sigma


def _require_rounding(value: object) -> None:
    known = [name for name in formats.ROUNDINGS if name != "stochastic"]
    if value not in known:
        raise ValueError(f"rounding must be one of {', '.join(known)} to be integrated, not {value!r}")


def expected_error(
    sigma: float,
    element: str | Format = "e2m1",
    scale: str | Format = "ue5m3",
    block_size: int = 16,
    method: Method = "absmax",
    rounding: Rounding = "nearest_even",
    distribution: str = "normal",
) -> ExpectedError:
    """Return the expected error of quantizing independent values, by integration.

    The values are taken for real numbers: that `quantize` takes them as float32 changes nothing as long as
    they are many steps of float32 apart.

    Args:
        sigma: Their standard deviation; over the tensor scale, where there is one.
        element: Element format.
        scale: Scale format.
        block_size: Elements under one scale, a power of two.
        method: How a block's scale is chosen: one of `INTEGRATED`.
        rounding: Of elements and scales; not ``stochastic``.
        distribution: Of the values: see `blockdot.model.distributions`.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    sigma = _require_sigma(sigma)
    element = formats.require_format("element", element, signed=True)
    scale = formats.require_format("scale", scale, signed=False)
    size = require_block_size(block_size)
    require_method(method, element, scale)
    if method not in INTEGRATED:
        raise ValueError(f"method must be one of {', '.join(INTEGRATED)} to be integrated, not {method!r}")
    _require_rounding(rounding)
    stairs = _Staircase.of(element, scale, method, rounding)
    grids, of = _grids(element, rounding), distributions.get_distribution(distribution)
    rough, parts = (
        np.mean([_integrate(sigma, stairs, grid, size, of, order) for grid in grids], axis=0)
        for order in _ORDERS
    )
    # A power of F has up to N times its rounding error.
    rounded = (size + 16) * 2.0**-52 * parts.sum()
    others, largest, zero_scale = parts.tolist()
    return ExpectedError(others, largest, zero_scale, float(np.abs(parts - rough).sum() + rounded))


def plateau(
    element: str | Format = "e2m1",
    block_size: int = 16,
    rounding: Rounding = "nearest_even",
    distribution: str = "normal",
) -> float:
    """Return the expected error over sigma squared under scales that are not rounded at all: amax / qmax.

    It depends on no sigma, and is what fine scales come near to.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    element = formats.require_format("element", element, signed=True)
    size = require_block_size(block_size)
    _require_rounding(rounding)
    of = distributions.get_distribution(distribution)
    order = _ORDERS[-1]
    z, of_z = _nodes(_PANELS, np.append(_PANELS[1:], np.inf), order)
    z, of_z = z.reshape(-1), of_z.reshape(-1)
    grids = _grids(element, rounding)
    # The density of the largest of the others, z, where all others are below it.
    density = (size - 1) * of.density(z) * of.below(z) ** (size - 2)
    total = sum(
        float((density * of_z) @ _partial_errors(z / element.largest, z, grid, of, order)) for grid in grids
    )
    return total / len(grids)


def crossover(
    fine: int,
    coarse: int,
    element: str | Format = "e2m1",
    scale: str | Format = "ue5m3",
    method: Method = "absmax",
    rounding: Rounding = "nearest_even",
    distribution: str = "normal",
) -> float | None:
    """Return the sigma below which blocks of `fine` elements have more error than blocks of `coarse`.

    That is the largest sigma at which the two errors meet. It is looked for where some scales are subnormal
    or zero, up to a sigma of 8 times the largest element under the least normal scale.

    Returns:
        The sigma; None where the finer block is better all the way down, or is not even better up there.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or `fine` is not the smaller.
    """
    of_element = formats.require_format("element", element, signed=True)
    of_scale = formats.require_format("scale", scale, signed=False)
    sizes = [require_block_size(size) for size in (fine, coarse)]
    if sizes[0] >= sizes[1]:
        raise ValueError(f"fine must be less than coarse={sizes[1]}, not {sizes[0]}")

    def excess(sigma: float) -> float:
        first, second = (
            expected_error(sigma, of_element, of_scale, size, method, rounding, distribution)
            for size in sizes
        )
        difference = first.mse - second.mse
        return difference if abs(difference) > first.uncertainty + second.uncertainty else 0.0

    high = _HIGHEST * of_element.largest * 2.0**of_scale.least_exponent
    lowest = of_element.largest * of_scale.smallest / 16
    if excess(high) >= 0:
        return None
    while high > lowest:
        low = high * _STEP
        if excess(low) > 0:
            return _root(excess, low, high)
        high = low
    return None


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function above zero at `low` and below it at `high` is zero: the Illinois method."""
    at_low, at_high = function(low), function(high)
    last = low
    while True:
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        here = function(middle)
        if here == 0 or abs(middle - last) < _PRECISION * middle:
            return middle
        last = middle
        # The value at an end that stays put counts half, lest it stay for ever.
        if here > 0:
            low, at_low, at_high = middle, here, at_high / 2
        else:
            high, at_high, at_low = middle, here, at_low / 2


def sampled_error(
    sigma: float,
    element: str | Format = "e2m1",
    scale: str | Format = "ue5m3",
    block_size: int = 16,
    method: Method = "absmax",
    rounding: Rounding = "nearest_even",
    distribution: str = "normal",
    *,
    blocks: int = 1 << 14,
    seed: int = 0,
) -> SampledError:
    """Return the error of quantizing independent values, by Monte Carlo with the quantizer itself.

    Any method and rounding will do. One seed gives the same values whatever the other parameters, but for
    sigma, which multiplies them, so that two results compare more closely than their errors say.

    Args:
        sigma: The values' standard deviation.
        element: Element format.
        scale: Scale format.
        block_size: Elements under one scale, a power of two.
        method: How a block's scale is chosen; see `quantize`.
        rounding: Of elements and scales; see `quantize`.
        distribution: Of the values: see `blockdot.model.distributions`.
        blocks: How many blocks are drawn, at least 2.
        seed: Of the values, and of rounding at random.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    sigma = _require_sigma(sigma)
    size = require_block_size(block_size)
    count = require_int("blocks", blocks)
    if count < 2:
        raise ValueError(f"blocks must be at least 2 for a standard error, not {count}")
    of = distributions.get_distribution(distribution)
    draws, dice = (np.random.default_rng([require_int("seed", seed), k]) for k in (0, 1))
    total = squares = 0.0
    step = max(1, _CHUNK // size)
    for start in range(0, count, step):
        drawn = of.draw(draws, (min(step, count - start), size))
        x = (drawn * sigma).astype(np.float32)
        tensor = quantize(x, element, scale, size, method, rounding=rounding, rng=dice)
        difference = x.astype(np.float64) - tensor.dequantize()
        errors = np.einsum("bn,bn->b", difference, difference) / (size * sigma**2)
        total += float(errors.sum())
        squares += float(errors @ errors)
    mean = total / count
    variance = max(0.0, squares / count - mean**2) * count / (count - 1)
    return SampledError(mean, (variance / count) ** 0.5, count)
