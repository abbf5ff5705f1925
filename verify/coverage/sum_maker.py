"""Groups and sums put together from powers of two, each the product of a lane."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from ...model import DotSpec, Format
from ...sim.stimulus import negated
from .reach import power_exponents, sums_of

__all__ = [
    "PARTS",
    "DirectedGroup",
    "DirectedSum",
    "Powers",
    "SumMaker",
    "powers_of_two",
    "product_factors",
    "products_group",
    "split_products",
    "staircase",
]

PARTS: Final = ("a", "b", "a_scale", "b_scale")
"""Names of a group's codes."""

Powers = Sequence[tuple[int, int]]
"""A number as a sum of powers of two: their exponents and signs."""


@dataclass(frozen=True, eq=False)
class DirectedGroup:
    """One input.

    Attributes:
        a: Element codes, shape (blocks, N).
        b: Element codes, shape (blocks, N).
        a_scale: Scale codes, shape (blocks,).
        b_scale: Scale codes, shape (blocks,).
    """

    a: npt.NDArray[np.unsignedinteger]
    b: npt.NDArray[np.unsignedinteger]
    a_scale: npt.NDArray[np.unsignedinteger]
    b_scale: npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class DirectedSum:
    """Inputs that are added up.

    Attributes:
        groups: The inputs.
        asks: Those behind which a result is asked for; the last one where it is None.
        c: What it starts at, as bits; -0 where it is None, to which every group is added as to nothing.
        g: What its result is multiplied by, as bits; 1 where it is None.
    """

    groups: Sequence[DirectedGroup]
    asks: frozenset[int] | None = None
    c: int | None = None
    g: int | None = None


@cache
def powers_of_two(fmt: Format) -> dict[int, int]:
    """Return the codes of a format's powers of two, by exponent."""
    low, high = power_exponents(fmt)
    return {exponent: int(fmt.encode(2.0**exponent)) for exponent in range(low, high + 1)}


@cache
def product_factors(spec: DotSpec) -> dict[int, tuple[int, int]]:
    """Return two codes that are not negative for each product, as an integer of the products' quantum."""
    tables: list[dict[int, int]] = []
    for fmt in spec.elements:
        codes = fmt.codes[~np.signbit(fmt.values[fmt.codes])]
        significand, exponent = fmt.split(codes)
        values = significand << (exponent - fmt.quantum_exponent)
        tables.append(dict(zip(values.tolist(), codes.tolist(), strict=True)))
    return {x * y: (a, b) for x, a in tables[0].items() for y, b in tables[1].items()}


class SumMaker:
    """Makes inputs.

    Args:
        spec: What the unit computes.

    Attributes:
        spec: The same.
        lanes: The least and the largest exponent of a power of two that is a product.
        scales: The same of the product of two scales.
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

    def blank(self) -> DirectedGroup:
        """Return zeros under scales of one."""
        spec = self.spec
        shape = (spec.blocks, spec.block_size)
        a, b = (np.zeros(shape, fmt.dtype) for fmt in spec.elements)
        a_scale, b_scale = (
            np.full(spec.blocks, code, fmt.dtype) for code, fmt in zip(self._one, spec.scales, strict=True)
        )
        return DirectedGroup(a, b, a_scale, b_scale)

    def _split(self, pair: tuple[Format, Format], exponent: int) -> tuple[int, int]:
        """Return codes of two powers of two with a product of that exponent, each time other ones."""
        first, second = (powers_of_two(fmt) for fmt in pair)
        choices = [e for e in first if exponent - e in second]
        self._turn += 1
        e = choices[self._turn * 7 % len(choices)]
        return first[e], second[exponent - e]

    def multiply(
        self, group: DirectedGroup, block: int, lane: int, codes: tuple[int, int], sign: int
    ) -> None:
        """Put two codes that are not negative on a lane, and a sign before their product."""
        group.a[block, lane] = self._negated[codes[0]] if sign < 0 else codes[0]
        group.b[block, lane] = codes[1]

    def put(self, group: DirectedGroup, block: int, lane: int, exponent: int, sign: int) -> None:
        """Make a lane's product a power of two."""
        self.multiply(group, block, lane, self._split(self.spec.elements, exponent), sign)

    def scale(self, group: DirectedGroup, block: int, exponent: int) -> None:
        """Make the product of a block's scales a power of two."""
        group.a_scale[block], group.b_scale[block] = self._split(self.spec.scales, exponent)

    def group(self, powers: Powers) -> DirectedGroup | None:
        """Return a group that is a sum of powers of two; None where they find no place in it."""
        spec = self.spec
        group = self.blank()
        left = sorted(powers, reverse=True)
        self._turn += 1
        start = 5 * self._turn
        for block in ((start + j) % spec.blocks for j in range(spec.blocks)):
            if not left:
                # Zeros have no exponent, but a scale may have any.
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

    def sum(self, *groups: Powers | DirectedGroup) -> Iterator[DirectedSum]:
        """Yield the sum of some groups, unless one finds no place."""
        made = [group if isinstance(group, DirectedGroup) else self.group(group) for group in groups]
        found = [group for group in made if group is not None]
        if len(found) == len(made):
            yield DirectedSum(found)

    def placed(self, *groups: Powers) -> Iterator[DirectedSum]:
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
    def nan(self) -> list[DirectedGroup]:
        """Groups that are NaN, each for another reason."""
        groups: list[DirectedGroup] = []
        for name, fmt in zip(PARTS, self.spec.elements + self.spec.scales, strict=True):
            if fmt.nan_code is not None:
                group = self.blank()
                getattr(group, name)[(-1,) * getattr(group, name).ndim] = fmt.nan_code
                groups.append(group)
        return groups


def staircase(make: SumMaker) -> Iterator[DirectedGroup]:
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
    choices = [[fmt.largest_code, *sorted(powers_of_two(fmt).values())[-2:]] for fmt in spec.scales]
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


def _products(spec: DotSpec, total: int, count: int) -> list[int]:
    """Return at most `count` products that add up to `total`, of which it is known that they exist."""
    magnitudes = sorted(product_factors(spec))
    reached = sums_of(tuple(magnitudes), count)
    parts: list[int] = []
    for left in reversed(range(count)):
        part = next(m for m in magnitudes if m <= total and reached[left] >> (total - m) & 1)
        parts.append(part)
        total -= part
    return [part for part in parts if part]


def products_group(make: SumMaker, positive: list[int], negative: list[int]) -> DirectedGroup:
    """Return a group of some products, and of the negation of others, in one block."""
    group = make.blank()
    factors = product_factors(make.spec)
    signed = [(part, 1) for part in positive] + [(part, -1) for part in negative]
    for lane, (part, sign) in enumerate(signed):
        make.multiply(group, 0, lane, factors[part], sign)
    return group


def split_products(spec: DotSpec, count: int, whole: int, taken: int) -> tuple[list[int], list[int]]:
    """Return products that add up to `whole`, and those that add up to `taken`; see `split`."""
    return _products(spec, whole, count), _products(spec, taken, spec.block_size - count)
