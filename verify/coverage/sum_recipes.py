"""Sums that several accumulations are driven to."""

import bisect
from collections.abc import Iterator
from typing import Final

import numpy as np

from ...model import DotSpec
from ...sim.stimulus import negated
from .reach import BINARY32_BITS, Reachable, enumerable, split
from .sum_maker import (
    DirectedGroup,
    DirectedSum,
    SumMaker,
    product_factors,
    products_group,
    split_products,
    staircase,
)

__all__ = ["added_sums", "dense_sums", "long_sums"]

_DENSE: Final = 4000


def dense_sums(make: SumMaker, reach: Reachable) -> Iterator[DirectedSum]:
    """Yield large blocks of products of one sign with all bits in use: some are just too long for binary32.

    There are none where no number is rounded.
    """
    if reach.rounded_bits <= BINARY32_BITS:
        return
    spec = make.spec
    rng = np.random.default_rng(0)
    positive = [fmt.codes[fmt.values[fmt.codes] > 0] for fmt in spec.elements]
    by_size = [
        codes[np.argsort(fmt.values[codes], kind="stable")]
        for codes, fmt in zip(positive, spec.elements, strict=True)
    ]
    significands = [fmt.split(fmt.codes)[0] for fmt in spec.scales]
    long_scales = [
        fmt.codes[8 * significand >= 7 * significand.max()]
        for fmt, significand in zip(spec.scales, significands, strict=True)
    ]
    for share in rng.choice([1 / 16, 1 / 8, 1 / 4, 1 / 2], _DENSE):
        group = make.blank()
        few = rng.random(group.a.shape) < share
        top = rng.choice([2, 8])
        for array, codes in zip((group.a, group.b), by_size, strict=True):
            # Only small ones have the lowest bits.
            small, large = codes[: len(codes) // 2], codes[-max(len(codes) // top, 1) :]
            array[:] = np.where(few, rng.choice(small, array.shape), rng.choice(large, array.shape))
        for array, codes in zip((group.a_scale, group.b_scale), long_scales, strict=True):
            array[:] = rng.choice(codes, array.shape)
        if rng.random() < 0.5:
            group.a[:] = negated(spec.elements[0])[group.a]
        yield DirectedSum([group])
    if spec.blocks == 1:
        for factor, total in Reachable(spec).ones(spec.term_bits - 1):
            made = _made(spec, total)
            if made:
                group = products_group(make, *made)
                group.a_scale[0], group.b_scale[0] = _scales_of(spec, factor)
                yield DirectedSum([group])


def _made(spec: DotSpec, total: int) -> tuple[list[int], list[int]] | None:
    """Return products, and products to be taken away, that add up to `total`; None where none are found."""
    magnitudes = sorted(product_factors(spec))[1:]
    parts: list[int] = []
    left = total
    while left and len(parts) < spec.block_size:  # the largest first
        parts.append(magnitudes[bisect.bisect_right(magnitudes, left) - 1])
        left -= parts[-1]
    if not left:
        return parts, []
    if enumerable(spec) and (found := split(spec, total)):
        return split_products(spec, *found)
    return None


def _scales_of(spec: DotSpec, factor: int) -> tuple[int, int]:
    """Return scale codes whose significands have that product."""
    a, b = (
        dict(zip(fmt.split(fmt.codes)[0].tolist(), fmt.codes.tolist(), strict=True)) for fmt in spec.scales
    )
    return next((a[x], b[factor // x]) for x in a if x and factor % x == 0 and factor // x in b)


def added_sums(make: SumMaker, limit: int | None = None) -> Iterator[DirectedSum]:
    """Yield two numbers at every distance, of either sign, and every way to lose bits of the smaller one.

    Args:
        make: Makes the sums.
        limit: The farthest distance; as far as groups go where it is None.
    """
    tops = {"+": _tops(make, 1), "-": _tops(make, -1)}
    low = min(tops["+"])
    if limit is None:
        limit = max(tops["+"]) - low
    for one in "+-":
        for other in "+-":
            for places in range(limit + 1):
                high = max(tops["+"])
                for above in {low + places, (low + places + high) // 2, high}:
                    if above in tops[one] and above - places in tops[other]:
                        pair = tops[one][above], tops[other][above - places]
                        yield DirectedSum(pair)
                        yield DirectedSum((tops[other][above - places], tops[one][above]))
    for sign in (1, -1):
        plus, minus = sign, -sign
        for zeros in range(1, 24):
            yield from make.placed([(0, plus)], [(-zeros, plus)], [(0, minus)])
        yield from make.placed([(0, plus)], [(-24, minus)], [(0, minus)])
        yield from make.placed([(0, plus)], [(0, minus)])
        yield from make.placed([(0, plus)], [(0, minus)], [(0, plus)])
        yield from make.placed([(0, plus)], [(1, minus)])
        yield from make.placed([(0, plus)], [])
        yield from make.placed([], [(0, plus)])
        yield from make.placed([], [])
        for lost in range(1, 8):
            bits = [place for k, place in enumerate((-27, -25, -24)) if lost >> k & 1]
            for other in (plus, minus):
                yield from make.placed(*([(place, plus)] for place in bits), [(0, other)])
        for place in (-150, -151, -152):
            yield from make.sum([(place, sign)], [(place, sign)])
            yield from make.sum([(place, sign)], [])
        for tail in ([(-1, minus), (-24, minus), (-25, plus)], [(-1, plus), (-23, plus), (-24, minus)]):
            yield from make.placed([(0, plus)], *([power] for power in tail))
        yield from make.placed([(0, plus)], [(-26, minus)])
        yield from make.placed([(1, plus)], [(-23, minus)], [(-24, plus)])
        yield from make.placed([(0, plus), (-1, plus)], [(-24, minus), (-25, minus)])
        yield from make.placed([(0, plus)], [(-1, plus)], [(-24, minus), (-25, minus)])


def _tops(make: SumMaker, sign: int) -> dict[int, DirectedGroup]:
    """Return groups of one sign by the exponent of their top bit: powers of two as far as they go."""
    found: dict[int, DirectedGroup] = {}
    for group in staircase(make):
        terms = make.spec.block_terms(group.a, group.b, group.a_scale, group.b_scale)
        value = float(terms.sum())  # only its size matters
        if value * sign > 0:
            found[int(np.frexp(value)[1]) - 1] = group
    for exponent in range(make.lowest, make.highest + 1):
        if group := make.group([(exponent, sign)]):
            found[exponent] = group
    return found


def long_sums(make: SumMaker, growth: int) -> Iterator[DirectedSum]:
    """The largest and the least group, added up ``2**growth`` times, with a result at each power of two."""
    groups = list(staircase(make))
    values = [float(make.spec.block_terms(g.a, g.b, g.a_scale, g.b_scale).sum()) for g in groups]
    for k in (int(np.argmax(values)), int(np.argmin(values))):
        asks = frozenset((1 << bit) - 1 for bit in range(growth + 1))
        yield DirectedSum([groups[k]] * (1 << growth), asks)
