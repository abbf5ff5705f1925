"""Stimulus that goes where random stimulus does not: made from what `coverage` asks for.

There are two kinds of candidates: random sums, and recipes, which put a number together from powers of two,
each the product of a lane, so that its bits stand where they are wanted. Of all of them those sums are kept,
the shortest first, that meet a bin which none before them has met.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...model import DotSpec, Format
from ...sim.random_stimulus import random
from ...sim.stimulus import Stimulus, negated
from ...sim.unit_stimulus import StimulusSource
from ..accumulation_checks import ACCUMULATION_CHECKS
from ..integer_rounding import SIGN_BIT
from .bins import Bin
from .coverage import Coverage
from .end_bins import end_sums
from .input_bins import code_classes
from .reach import LEAST, Reachable, cancellations, deepest_run
from .sum_maker import (
    PARTS,
    DirectedGroup,
    DirectedSum,
    Powers,
    SumMaker,
    product_factors,
    products_group,
    split_products,
    staircase,
)
from .tensor_scale_bins import ONE, tensor_scale_sums

__all__ = ["directed"]

_RANDOM_VECTORS: Final = 1000


def _representatives(fmt: Format) -> list[int]:
    """Return every code of a small format, one of each class of a large one."""
    if fmt.bits <= 4:
        return list(range(1 << fmt.bits))
    names, classes = code_classes(fmt)
    return [int(np.flatnonzero(classes == k)[-1]) for k in range(len(names))]


def _inputs(make: SumMaker) -> Iterator[DirectedSum]:
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
        yield DirectedSum([group])
    for a in _representatives(spec.scales[0]):
        for b in _representatives(spec.scales[1]):
            for alone in (True, False):
                group = make.blank()
                group.a_scale[: 1 if alone else None], group.b_scale[: 1 if alone else None] = a, b
                for block in range(spec.blocks):
                    make.put(group, block, block % size, make.lanes[0], 1)
                yield DirectedSum([group])
    for block in range(spec.blocks):
        for lane in range(size):
            for sign in (1, -1):
                group = make.blank()
                make.put(group, block, lane, make.lanes[0], sign)
                yield DirectedSum([group])
    by_exponent = [
        dict(zip(fmt.split(fmt.codes)[1].tolist(), fmt.codes.tolist(), strict=True)) for fmt in spec.scales
    ]
    of_a, of_b = by_exponent
    for a, b in [(a, max(of_b)) for a in of_a] + [(min(of_a), b) for b in of_b]:
        group = make.blank()
        group.a_scale[0], group.b_scale[0] = of_a[a], of_b[b]
        make.put(group, 0, 0, make.lanes[0], 1)
        yield DirectedSum([group])


def _special(make: SumMaker) -> Iterator[DirectedSum]:
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
                yield DirectedSum([group])
        group = make.blank()
        (group.a if operand == 0 else group.b)[0, 0] = fmt.infinity_code
        yield DirectedSum([group])


def _sizes(make: SumMaker) -> Iterator[DirectedSum]:
    """Sums of products from the least to the largest, and what cancels to each depth."""
    spec = make.spec
    for group in staircase(make):
        yield DirectedSum([group])
    yield DirectedSum([make.blank()])
    for exponent in range(make.lanes[0], make.lanes[1] + 1):
        for rest in (-1, 0, 1):
            group = make.blank()
            make.put(group, 0, 0, exponent, 1)
            make.put(group, 0, spec.block_size - 1, exponent, -1)
            if rest and spec.block_size > 2:
                make.put(group, 0, 1, make.lanes[0], rest)
            yield DirectedSum([group])
    known = cancellations(spec)
    for found in known.values():
        if found:
            yield DirectedSum([products_group(make, *split_products(spec, *found))])
    if not known and not spec.element_is_wide:
        run = min(fmt.significand_bits for fmt in spec.elements)
        for depth in range(deepest_run(spec) + 1):
            ones = [((1 << min(run, depth - start)) - 1) << start for start in range(0, depth, run)]
            if {1 << depth, *ones} <= product_factors(spec).keys():
                yield DirectedSum([products_group(make, [1 << depth], ones)])


def _rounded(make: SumMaker) -> Iterator[DirectedSum]:
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
    # Three quarters of the least number: of few products nothing longer is rounded above its half.
    for sign in (1, -1):
        yield from make.sum([(LEAST - 1, sign), (LEAST - 2, sign)])


def _powers_of_two(make: SumMaker) -> Iterator[DirectedSum]:
    for exponent in range(make.lowest, make.highest + 1):
        for sign in (1, -1):
            yield from make.sum([(exponent, sign)])


def _sequence(make: SumMaker) -> list[DirectedSum]:
    """Sums of each length, given up or asked of twice, and NaN at each place of a sum and behind it."""
    plain = make.blank()
    make.put(plain, 0, 0, make.lanes[0], 1)
    sums = [
        DirectedSum([plain], frozenset()),
        DirectedSum([plain]),
        DirectedSum([plain, plain]),
        DirectedSum([plain, plain, plain], frozenset((0, 2))),
    ]
    for nan in make.nan:
        for groups in ([nan, plain, plain], [plain, nan, plain], [plain, plain, nan], [plain, nan], [nan]):
            sums += [DirectedSum(groups), DirectedSum([plain])]
    return sums


def _starts(make: SumMaker) -> Iterator[DirectedSum]:
    """C of each kind and at every distance from a group, added to it and taken from it."""
    spec = make.spec
    form = spec.c_format
    fields = form.fields
    infinity = fields.infinity_field << fields.fraction_bits
    group = make.group([(make.lowest + make.highest >> 1, 1)]) or make.blank()
    for magnitude in (0, 1, 1 << fields.fraction_bits, infinity - 1, infinity, infinity + 1):
        for sign in (0, 1 << fields.bits - 1):
            for first in (group, make.blank(), *make.nan):
                yield DirectedSum([first], c=magnitude | sign)
    for exponent in (make.lowest, make.lowest + make.highest >> 1, make.highest):
        first = make.group([(exponent, 1)])
        if first is None or not 0 < exponent + fields.bias < fields.infinity_field:
            continue
        for places in range(-fields.fraction_bits - 3, fields.fraction_bits + 4):
            field = exponent + places + fields.bias
            if 0 < field < fields.infinity_field:
                for sign in (0, 1 << fields.bits - 1):
                    yield DirectedSum([first], c=field << fields.fraction_bits | sign)


def _candidates(make: SumMaker, reach: Reachable) -> Iterator[DirectedSum]:
    yield from _inputs(make)
    yield from _special(make)
    yield from _sizes(make)
    yield from _powers_of_two(make)
    yield from _rounded(make)
    yield from ACCUMULATION_CHECKS[make.spec.accumulate].sums(make, reach)
    if make.spec.rounds_at_end:
        yield from end_sums(make)
    if make.spec.takes_c:
        yield from _starts(make)
    if make.spec.tensor_scale:
        yield from tensor_scale_sums(make)


def _stimulus(spec: DotSpec, sums: Iterable[DirectedSum], like: Stimulus) -> Stimulus:
    """Return sums as a stimulus, those left out that are longer than the guard bits allow."""
    limit = spec.most_groups
    groups: list[DirectedGroup] = []
    first: list[bool] = []
    last: list[bool] = []
    starts: list[int] = []
    factors: list[int] = []
    sign = 1 << spec.c_format.bits - 1
    for one in sums:
        count = len(one.groups)
        if limit is not None and count > limit:
            continue
        asks = frozenset((count - 1,)) if one.asks is None else one.asks
        groups += one.groups
        first += [k == 0 or not spec.accumulates for k in range(count)]
        last += [k in asks or not spec.accumulates for k in range(count)]
        # Behind the first group it must count for nothing: there it is NaN.
        starts += [sign if one.c is None else one.c, *[2 * sign - 1] * (count - 1)]
        # And so it must where no result is asked for.
        factors += [
            (ONE if one.g is None else one.g) if k in asks else 2 * SIGN_BIT - 1 for k in range(count)
        ]
    codes = [np.stack([getattr(group, name) for group in groups]) for name in PARTS]
    return Stimulus(
        spec=spec,
        a=codes[0],
        b=codes[1],
        a_scale=codes[2],
        b_scale=codes[3],
        first=np.array(first),
        last=np.array(last),
        c=np.array(starts, np.uint32) if spec.takes_c else None,
        g=np.array(factors, np.uint32) if spec.tensor_scale else None,
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
        c=rows("c") if stimuli[0].c is not None else None,
        g=rows("g") if stimuli[0].g is not None else None,
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
    make = SumMaker(spec)
    patterns = random(spec, 8, seed=0)
    recipes = _stimulus(spec, _candidates(make, Reachable(spec, long=long)), patterns)
    sequence = _stimulus(
        spec, _sequence(make) if spec.accumulates else [DirectedSum([make.blank()])], patterns
    )
    met = {one for one, _, _ in coverage.hits(sequence)}
    stimuli = [sequence, recipes]
    stimuli.append(random(spec, _RANDOM_VECTORS, seed=0))
    kept = [np.arange(sequence.vectors)]
    kept += [_chosen(coverage, stimulus, met) for stimulus in stimuli[1:]]
    return _joined(stimuli, kept)
