"""Stimulus that goes where random stimulus does not: made from what `coverage` asks for.

There are two kinds of candidates: random sums, and recipes, which put a number together from powers of two,
each the product of a lane, so that its bits stand where they are wanted. Of all of them those sums are kept,
the shortest first, that meet a bin which none before them has met.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...model import DotSpec, Format
from ...sim.stimulus import Stimulus, StimulusSource, negated, random
from .bins import (
    Bin,
    Coverage,
    Reachable,
    cancellations,
    code_classes,
    deepest_run,
    enumerable,
    power_exponents,
    split,
    sums_of,
)

__all__ = ["directed"]

_RANDOM_VECTORS: Final = 1000
_DENSE: Final = 4000
_BINARY32_BITS: Final = 24
_PARTS: Final = ("a", "b", "a_scale", "b_scale")

Powers = Sequence[tuple[int, int]]
"""A number as a sum of powers of two: their exponents and signs."""


@dataclass(frozen=True, eq=False)
class _Group:
    """One input.

    Attributes:
        a: Element codes, shape (blocks, N).
        b: Likewise.
        a_scale: Scale codes, shape (blocks,).
        b_scale: Likewise.
    """

    a: npt.NDArray[np.unsignedinteger]
    b: npt.NDArray[np.unsignedinteger]
    a_scale: npt.NDArray[np.unsignedinteger]
    b_scale: npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class _Sum:
    """Inputs that are added up.

    Attributes:
        groups: The inputs.
        asks: Those behind which a result is asked for; the last one where it is None.
    """

    groups: Sequence[_Group]
    asks: frozenset[int] | None = None


@cache
def _powers(fmt: Format) -> dict[int, int]:
    """Return the codes of a format's powers of two, by exponent."""
    low, high = power_exponents(fmt)
    return {exponent: int(fmt.encode(2.0**exponent)) for exponent in range(low, high + 1)}


@cache
def _factors(spec: DotSpec) -> dict[int, tuple[int, int]]:
    """Return two codes that are not negative for each product, as an integer of the products' quantum."""
    tables: list[dict[int, int]] = []
    for fmt in spec.elements:
        codes = fmt.codes[~np.signbit(fmt.values[fmt.codes])]
        significand, exponent = fmt.split(codes)
        values = significand << (exponent - fmt.quantum_exponent)
        tables.append(dict(zip(values.tolist(), codes.tolist(), strict=True)))
    return {x * y: (a, b) for x, a in tables[0].items() for y, b in tables[1].items()}


class _Maker:
    """Makes inputs.

    Args:
        spec: What the unit computes.

    Attributes:
        spec: The same.
        lanes: The least and the largest exponent of a power of two that is a product.
        scales: Likewise of the product of two scales.
        lowest: The least exponent of a power of two that is a group.
        highest: The largest one, of which all lanes may be needed.
    """

    def __init__(self, spec: DotSpec) -> None:
        self.spec = spec
        self._negated = negated(spec.elements[0])
        self._one = [int(fmt.encode(1.0)) for fmt in spec.scales]
        self._turn = 0
        ends = [[power_exponents(fmt) for fmt in pair] for pair in (spec.elements, spec.scales)]
        self.lanes, self.scales = ((x[0] + y[0], x[1] + y[1]) for x, y in ends)
        self.lowest = self.lanes[0] + self.scales[0]
        self.highest = self.lanes[1] + self.scales[1] + spec.block_size.bit_length() - 1

    def blank(self) -> _Group:
        """Return zeros under scales of one."""
        spec = self.spec
        shape = (spec.blocks, spec.block_size)
        a, b = (np.zeros(shape, fmt.dtype) for fmt in spec.elements)
        a_scale, b_scale = (
            np.full(spec.blocks, code, fmt.dtype) for code, fmt in zip(self._one, spec.scales, strict=True)
        )
        return _Group(a, b, a_scale, b_scale)

    def _split(self, pair: tuple[Format, Format], exponent: int) -> tuple[int, int]:
        """Return codes of two powers of two with a product of that exponent, each time other ones."""
        first, second = (_powers(fmt) for fmt in pair)
        choices = [e for e in first if exponent - e in second]
        self._turn += 1
        e = choices[self._turn * 7 % len(choices)]
        return first[e], second[exponent - e]

    def multiply(self, group: _Group, block: int, lane: int, codes: tuple[int, int], sign: int) -> None:
        """Put two codes that are not negative on a lane, and a sign before their product."""
        group.a[block, lane] = self._negated[codes[0]] if sign < 0 else codes[0]
        group.b[block, lane] = codes[1]

    def put(self, group: _Group, block: int, lane: int, exponent: int, sign: int) -> None:
        """Make a lane's product a power of two."""
        self.multiply(group, block, lane, self._split(self.spec.elements, exponent), sign)

    def scale(self, group: _Group, block: int, exponent: int) -> None:
        """Make the product of a block's scales a power of two."""
        group.a_scale[block], group.b_scale[block] = self._split(self.spec.scales, exponent)

    def group(self, powers: Powers) -> _Group | None:
        """Return a group that is a sum of powers of two; None where they find no place in it."""
        spec = self.spec
        group = self.blank()
        left = sorted(powers, reverse=True)
        self._turn += 1
        start = 5 * self._turn
        for block in ((start + j) % spec.blocks for j in range(spec.blocks)):
            if not left:
                # In `aligned` it counts where a scale stands, even of a zero.
                self.scale(group, block, self.scales[0])
                continue
            # The largest scale that lets the first one be a product: the others have most room below it.
            scale = min(max(left[0][0] - self.lanes[1], self.scales[0]), self.scales[1])
            self.scale(group, block, scale)
            room = spec.block_size
            while left and left[0][0] - scale >= self.lanes[0]:
                exponent, sign = left[0]
                # What is above the largest product is several of those.
                above = max(exponent - scale - self.lanes[1], 0)
                if 1 << above > room:
                    break
                for k in range(1 << above):
                    lane = (start + spec.block_size - room + k) % spec.block_size
                    self.put(group, block, lane, exponent - scale - above, sign)
                room -= 1 << above
                del left[0]
        return None if left else group

    def sum(self, *groups: Powers | _Group) -> Iterator[_Sum]:
        """Yield the sum of some groups, unless one finds no place."""
        made = [group if isinstance(group, _Group) else self.group(group) for group in groups]
        found = [group for group in made if group is not None]
        if len(found) == len(made):
            yield _Sum(found)

    def placed(self, *groups: Powers) -> Iterator[_Sum]:
        """Yield a sum moved to where it fits: low, in the middle and high, and at the ends of binary32.

        Args:
            groups: Its groups; the exponents are relative to the largest of a sum.
        """
        exponents = [exponent for group in groups for exponent, _ in group] or [0]
        low, high = self.lowest - min(exponents), self.highest - max(exponents)
        places = {low, high, (low + high) // 2, -149, -126, -125, 126, 127}
        for place in sorted(place for place in places if low <= place <= high):
            yield from self.sum(*([(e + place, sign) for e, sign in group] for group in groups))

    @property
    def nan(self) -> list[_Group]:
        """Groups that are NaN, each for another reason."""
        groups: list[_Group] = []
        for name, fmt in zip(_PARTS, self.spec.elements + self.spec.scales, strict=True):
            if fmt.nan_code is not None:
                group = self.blank()
                getattr(group, name)[(-1,) * getattr(group, name).ndim] = fmt.nan_code
                groups.append(group)
        return groups


def _representatives(fmt: Format) -> list[int]:
    """Return every code of a small format, one of each class of a large one."""
    if fmt.bits <= 4:
        return list(range(1 << fmt.bits))
    names, classes = code_classes(fmt)
    return [int(np.flatnonzero(classes == k)[-1]) for k in range(len(names))]


def _inputs(make: _Maker) -> Iterator[_Sum]:
    """Every code, or class of codes, of a against every one of b; every lane; every shift."""
    spec = make.spec
    size = spec.block_size
    pairs = [(a, b) for a in _representatives(spec.elements[0]) for b in _representatives(spec.elements[1])]
    places = spec.blocks * size
    # Alone as well, as a NaN hides all others.
    chunks = [pairs[start : start + places] for start in range(0, len(pairs), places)]
    for chunk in [*chunks, *([pair] for pair in pairs)]:
        group = make.blank()
        for k, codes in enumerate(chunk):
            group.a[k // size, k % size], group.b[k // size, k % size] = codes
        yield _Sum([group])
    for a in _representatives(spec.scales[0]):
        for b in _representatives(spec.scales[1]):
            for alone in (True, False):
                group = make.blank()
                group.a_scale[: 1 if alone else None], group.b_scale[: 1 if alone else None] = a, b
                for block in range(spec.blocks):
                    make.put(group, block, block % size, make.lanes[0], 1)
                yield _Sum([group])
    for block in range(spec.blocks):
        for lane in range(size):
            for sign in (1, -1):
                group = make.blank()
                make.put(group, block, lane, make.lanes[0], sign)
                yield _Sum([group])
    by_exponent = [
        dict(zip(fmt.split(fmt.codes)[1].tolist(), fmt.codes.tolist(), strict=True)) for fmt in spec.scales
    ]
    of_a, of_b = by_exponent
    for a, b in [(a, max(of_b)) for a in of_a] + [(min(of_a), b) for b in of_b]:
        group = make.blank()
        group.a_scale[0], group.b_scale[0] = of_a[a], of_b[b]
        make.put(group, 0, 0, make.lanes[0], 1)
        yield _Sum([group])


def _special(make: _Maker) -> Iterator[_Sum]:
    """Infinities among zeros, numbers, each other, and under every class of scale."""
    spec = make.spec
    for operand, fmt in enumerate(spec.elements):
        if fmt.infinity_code is None:
            continue
        other = spec.elements[1 - operand]
        plain = int(other.encode(1.0))
        for scales in ((None, None), (0, None), (None, 0)):
            for second in (None, (0, 0), (0, 1), (1, 0)):  # block or lane, sign
                group = make.blank()
                of, against = (group.a, group.b) if operand == 0 else (group.b, group.a)
                of[0, 0], against[0, 0] = fmt.infinity_code, plain
                if second is not None:
                    block = (spec.blocks - 1) * second[0]
                    code = int(negated(fmt)[fmt.infinity_code]) if second[1] == 0 else fmt.infinity_code
                    of[block, -1], against[block, -1] = code, plain
                for array, code in zip((group.a_scale, group.b_scale), scales, strict=True):
                    if code is not None:
                        array[0] = code
                yield _Sum([group])
        group = make.blank()
        (group.a if operand == 0 else group.b)[0, 0] = fmt.infinity_code
        yield _Sum([group])


def _staircase(make: _Maker) -> Iterator[_Group]:
    """Groups from the largest down, below every power of two that a group can reach, and their negations."""
    spec = make.spec
    a, b = spec.elements
    counts = [1 << k for k in range((spec.blocks * spec.block_size).bit_length())]
    ends = [
        (fmt.codes[fmt.values[fmt.codes].argmax()], fmt.codes[fmt.values[fmt.codes].argmin()])
        for fmt in (a, b)
    ]
    pairs = sorted(itertools.product(*ends), key=lambda pair: a.values[pair[0]] * b.values[pair[1]])
    # The largest scales, powers of two, and one.
    choices = [[fmt.largest_code, *sorted(_powers(fmt).values())[-2:]] for fmt in spec.scales]
    one = make.blank()
    scales = [*itertools.product(*choices), (one.a_scale[0], one.b_scale[0])]
    for pair in (pairs[-1], pairs[0]):
        for count in counts:
            for scale in scales:
                group = make.blank()
                # Block after block, so that few of them are needed for a few.
                group.a.reshape(-1)[:count], group.b.reshape(-1)[:count] = pair
                group.a_scale[:], group.b_scale[:] = scale
                yield group


def _sizes(make: _Maker) -> Iterator[_Sum]:
    """Sums of products from the least to the largest, and what cancels to each depth."""
    spec = make.spec
    for group in _staircase(make):
        yield _Sum([group])
    yield _Sum([make.blank()])
    for exponent in range(make.lanes[0], make.lanes[1] + 1):
        for rest in (-1, 0, 1):
            group = make.blank()
            make.put(group, 0, 0, exponent, 1)
            make.put(group, 0, spec.block_size - 1, exponent, -1)
            if rest and spec.block_size > 2:
                make.put(group, 0, 1, make.lanes[0], rest)
            yield _Sum([group])
    known = cancellations(spec)
    for found in known.values():
        if found:
            yield _Sum([_products_group(make, *_split_products(spec, *found))])
    if not known:
        run = min(fmt.significand_bits for fmt in spec.elements)
        for depth in range(deepest_run(spec) + 1):
            ones = [((1 << min(run, depth - start)) - 1) << start for start in range(0, depth, run)]
            if {1 << depth, *ones} <= _factors(spec).keys():
                yield _Sum([_products_group(make, [1 << depth], ones)])


def _products(spec: DotSpec, total: int, count: int) -> list[int]:
    """Return at most `count` products that add up to `total`, of which it is known that they exist."""
    magnitudes = sorted(_factors(spec))
    reached = sums_of(tuple(magnitudes), count)
    parts: list[int] = []
    for left in reversed(range(count)):
        part = next(m for m in magnitudes if m <= total and reached[left] >> (total - m) & 1)
        parts.append(part)
        total -= part
    return [part for part in parts if part]


def _products_group(make: _Maker, positive: list[int], negative: list[int]) -> _Group:
    group = make.blank()
    factors = _factors(make.spec)
    signed = [(part, 1) for part in positive] + [(part, -1) for part in negative]
    for lane, (part, sign) in enumerate(signed):
        make.multiply(group, 0, lane, factors[part], sign)
    return group


def _rounded(make: _Maker) -> Iterator[_Sum]:
    """Numbers that round in each way, as one group and as several."""
    for sign in (1, -1):
        plus, minus = sign, -sign
        ways: list[Powers] = [
            [(0, plus)],
            [(0, plus), (-25, plus)],
            [(0, plus), (-24, plus)],
            [(0, plus), (-23, plus), (-24, plus)],
            [(0, plus), (-1, plus)],
            [(0, plus), (-24, plus), (-25, plus)],
            [(1, plus), (-24, minus)],
            [(1, plus), (-25, minus)],
            [(0, plus), (-1, plus), (-24, minus)],
            [(0, plus), (-1, plus), (-25, minus)],
        ]
        for powers in ways:
            yield from make.placed(powers)
            if make.spec.accumulates:
                yield from make.placed(*([power] for power in powers))
                yield from make.placed(powers[:-1], powers[-1:])
                yield from make.placed(powers[:1], powers[1:])


def _dense(make: _Maker) -> Iterator[_Sum]:
    """Large blocks of products of one sign with all bits in use: some are just too long for binary32."""
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
        yield _Sum([group])
    if spec.blocks == 1:
        for factor, total in Reachable(spec).ones(spec.term_bits - 1):
            made = _made(spec, total)
            if made:
                group = _products_group(make, *made)
                group.a_scale[0], group.b_scale[0] = _scales_of(spec, factor)
                yield _Sum([group])


def _made(spec: DotSpec, total: int) -> tuple[list[int], list[int]] | None:
    """Return products, and products to be taken away, that add up to `total`; None where none are found."""
    magnitudes = sorted(_factors(spec))[1:]
    parts: list[int] = []
    left = total
    while left and len(parts) < spec.block_size:  # the largest first
        parts.append(magnitudes[bisect.bisect_right(magnitudes, left) - 1])
        left -= parts[-1]
    if not left:
        return parts, []
    if enumerable(spec) and (found := split(spec, total)):
        return _split_products(spec, *found)
    return None


def _split_products(spec: DotSpec, count: int, whole: int, taken: int) -> tuple[list[int], list[int]]:
    return _products(spec, whole, count), _products(spec, taken, spec.block_size - count)


def _scales_of(spec: DotSpec, factor: int) -> tuple[int, int]:
    """Return scale codes whose significands have that product."""
    a, b = (
        dict(zip(fmt.split(fmt.codes)[0].tolist(), fmt.codes.tolist(), strict=True)) for fmt in spec.scales
    )
    return next((a[x], b[factor // x]) for x in a if x and factor % x == 0 and factor // x in b)


def _powers_of_two(make: _Maker) -> Iterator[_Sum]:
    for exponent in range(make.lowest, make.highest + 1):
        for sign in (1, -1):
            yield from make.sum([(exponent, sign)])


def _added(make: _Maker) -> Iterator[_Sum]:
    """Two numbers at every distance and with either sign, and every way to lose bits of the smaller one."""
    spec = make.spec
    tops = {"+": _tops(make, 1), "-": _tops(make, -1)}
    low = min(tops["+"])
    limit = 28 if spec.accumulate == "fp32" else max(tops["+"]) - low
    for one in "+-":
        for other in "+-":
            for places in range(limit + 1):
                high = max(tops["+"])
                for above in {low + places, (low + places + high) // 2, high}:
                    if above in tops[one] and above - places in tops[other]:
                        pair = tops[one][above], tops[other][above - places]
                        yield _Sum(pair)
                        yield _Sum((tops[other][above - places], tops[one][above]))
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


def _tops(make: _Maker, sign: int) -> dict[int, _Group]:
    """Return groups of one sign by the exponent of their top bit: powers of two as far as they go."""
    found: dict[int, _Group] = {}
    for group in _staircase(make):
        terms = make.spec.block_terms(group.a, group.b, group.a_scale, group.b_scale)
        value = float(terms.sum())  # only its size matters
        if value * sign > 0:
            found[int(np.frexp(value)[1]) - 1] = group
    for exponent in range(make.lowest, make.highest + 1):
        if group := make.group([(exponent, sign)]):
            found[exponent] = group
    return found


def _long(make: _Maker, growth: int) -> Iterator[_Sum]:
    """The largest and the least group, added up ``2**growth`` times, with a result at each power of two."""
    groups = list(_staircase(make))
    values = [float(make.spec.block_terms(g.a, g.b, g.a_scale, g.b_scale).sum()) for g in groups]
    for k in (int(np.argmax(values)), int(np.argmin(values))):
        asks = frozenset((1 << bit) - 1 for bit in range(growth + 1))
        yield _Sum([groups[k]] * (1 << growth), asks)


def _aligned(make: _Maker) -> Iterator[_Sum]:
    """A sum and blocks at every distance from the largest exponent, cut in part and lost."""
    spec = make.spec
    low, high = make.scales
    ends = make.lanes
    wide = [(place, 1) for place in (ends[1], ends[0])]

    def at(scales: Sequence[int], sign: int, parts: Powers) -> _Group:
        group = make.blank()
        for block, scale in enumerate(scales):
            make.scale(group, block, scale)
            for lane, (place, _) in enumerate(parts):
                make.put(group, block, lane, place, sign)
        return group

    for places in range(spec.fraction + 5):
        for sign in (1, -1):
            for parts in (wide, wide[:1], wide[1:]):
                # Blocks against each other, each in its turn ahead.
                if spec.blocks > 1 and high - places >= low:
                    scales = [high - places] * spec.blocks
                    scales[places % spec.blocks] = high
                    yield _Sum([at(scales, sign, parts)])
                # The sum against blocks: it is ahead, or a block is.
                for sum_at, block_at in ((high, high - places), (high - places, high)):
                    for rest in (0, 1, 5):
                        scale = max(sum_at - rest - ends[1], low)
                        if scale <= high and block_at >= low:
                            block = places % spec.blocks
                            group = make.blank()
                            for k in range(spec.blocks):
                                make.scale(group, k, block_at if k == block else low)
                            for lane, (place, _) in enumerate(parts):
                                make.put(group, block, lane, place, sign)
                            yield _Sum([at([scale], sign, parts), group])
    # A sum may stand below every block, if its own one did.
    for exponent in range(make.lowest, make.highest + 1):
        for sign in (1, -1):
            for scale in (high, (low + high) // 2, low):
                for powers in ([(exponent, sign)], [(exponent, sign), (exponent + 4, sign)]):
                    yield from make.sum(powers, at([scale], 1, wide[1:]))


def _sequence(make: _Maker) -> list[_Sum]:
    """Sums of each length, given up or asked of twice, and NaN at each place of a sum and behind it."""
    plain = make.blank()
    make.put(plain, 0, 0, make.lanes[0], 1)
    sums = [
        _Sum([plain], frozenset()),
        _Sum([plain]),
        _Sum([plain, plain]),
        _Sum([plain, plain, plain], frozenset((0, 2))),
    ]
    for nan in make.nan:
        for groups in ([nan, plain, plain], [plain, nan, plain], [plain, plain, nan], [plain, nan], [nan]):
            sums += [_Sum(groups), _Sum([plain])]
    return sums


def _candidates(make: _Maker, reach: Reachable) -> Iterator[_Sum]:
    yield from _inputs(make)
    yield from _special(make)
    yield from _sizes(make)
    yield from _powers_of_two(make)
    yield from _rounded(make)
    if reach.rounded_bits > _BINARY32_BITS and make.spec.accumulate != "aligned":
        yield from _dense(make)
    if make.spec.accumulates:
        yield from _added(make)
    if make.spec.accumulate == "exact":
        yield from _long(make, reach.growth)
    if make.spec.accumulate == "aligned":
        yield from _aligned(make)


def _stimulus(spec: DotSpec, sums: Iterable[_Sum], like: Stimulus) -> Stimulus:
    """Return sums as a stimulus, those left out that are longer than the guard bits allow."""
    limit = (1 << spec.guard) // spec.blocks if spec.accumulate == "exact" else None
    groups: list[_Group] = []
    first: list[bool] = []
    last: list[bool] = []
    for one in sums:
        count = len(one.groups)
        if limit is not None and count > limit:
            continue
        asks = frozenset((count - 1,)) if one.asks is None else one.asks
        groups += one.groups
        first += [k == 0 or not spec.accumulates for k in range(count)]
        last += [k in asks or not spec.accumulates for k in range(count)]
    codes = [np.stack([getattr(group, name) for group in groups]) for name in _PARTS]
    return Stimulus(
        spec=spec,
        a=codes[0],
        b=codes[1],
        a_scale=codes[2],
        b_scale=codes[3],
        first=np.array(first),
        last=np.array(last),
        offer=like.offer,
        accept=like.accept,
    )


def _joined(stimuli: Sequence[Stimulus], kept: Sequence[npt.NDArray[np.int64]]) -> Stimulus:
    """Return some vectors of some stimuli, with the patterns of the first."""

    def rows(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(one, name)[rows] for one, rows in zip(stimuli, kept, strict=True)])

    return Stimulus(
        spec=stimuli[0].spec,
        a=rows("a"),
        b=rows("b"),
        a_scale=rows("a_scale"),
        b_scale=rows("b_scale"),
        first=rows("first"),
        last=rows("last"),
        offer=stimuli[0].offer,
        accept=stimuli[0].accept,
        source=StimulusSource(kind="directed"),
    )


def _chosen(coverage: Coverage, stimulus: Stimulus, met: set[Bin]) -> npt.NDArray[np.int64]:
    """Return the vectors of the sums that meet what was not met; `met` grows by it."""
    sum_of = np.cumsum(stimulus.first) - 1
    meets: dict[int, set[Bin]] = {}
    for one, vector, _ in coverage.hits(stimulus):
        if one not in met:
            meets.setdefault(int(sum_of[vector]), set()).add(one)
    lengths = np.bincount(sum_of)
    kept: list[int] = []
    for number in sorted(meets, key=lambda number: (lengths[number], number)):
        if not meets[number] <= met:
            met |= meets[number]
            kept.append(number)
    return np.flatnonzero(np.isin(sum_of, kept))


def directed(spec: DotSpec, *, long: bool = False) -> Stimulus:
    """Return a stimulus that meets every bin of `Coverage` that is known how to be met.

    Args:
        spec: What the unit computes.
        long: Whether it is to have sums of 65536 groups, so that every guard bit up to the 16th is met.

    Returns:
        The stimulus, some hundreds of vectors without `long`, with gaps and back-pressure; the same
        specification gives the same one.
    """
    coverage = Coverage(spec, long=long)
    make = _Maker(spec)
    patterns = random(spec, 8, seed=0)
    recipes = _stimulus(spec, _candidates(make, Reachable(spec, long=long)), patterns)
    sequence = _stimulus(spec, _sequence(make) if spec.accumulates else [_Sum([make.blank()])], patterns)
    met = {one for one, _, _ in coverage.hits(sequence)}
    stimuli = [sequence, recipes]
    stimuli.append(random(spec, _RANDOM_VECTORS, seed=0))
    kept = [np.arange(sequence.vectors)]
    kept += [_chosen(coverage, stimulus, met) for stimulus in stimuli[1:]]
    return _joined(stimuli, kept)
