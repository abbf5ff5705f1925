"""Bins about what goes in: codes, lanes, and the blocks that they make."""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from ...model import DotSpec, Format
from .bins import BinGroup, Hit, StimulusView
from .reach import cancellations, deepest_run, extremes

__all__ = [
    "CancellationBins",
    "CodeBins",
    "LaneBins",
    "ScaleShiftBins",
    "SpecialBins",
    "SumBins",
    "code_classes",
]


@cache
def code_classes(fmt: Format) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return names of the classes of a format's codes, and the class of each code."""
    names: list[str] = []
    for code, kind in enumerate(fmt.kinds.tolist()):
        sign = "-" if code >> fmt.magnitude_bits else "+"
        names.append(kind if kind == "NaN" or not fmt.signed else sign + kind)
    kinds = tuple(dict.fromkeys(names))
    return kinds, np.array([kinds.index(name) for name in names])


class CodeBins(BinGroup):
    """Which codes of a meet which of b."""

    def __init__(self, name: str, pair: tuple[Format, Format]) -> None:
        self.name = name
        self._pair = pair
        if all(fmt.bits <= 4 for fmt in pair):
            # Few enough to ask for every code.
            self._classes = [
                (tuple(f"{code:#x}" for code in range(1 << fmt.bits)), np.arange(1 << fmt.bits))
                for fmt in pair
            ]
        else:
            self._classes = [code_classes(fmt) for fmt in pair]
        self._names = [f"{a} x {b}" for a in self._classes[0][0] for b in self._classes[1][0]]
        self.bins = dict.fromkeys(self._names, "")

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        stimulus = view.stimulus
        of_a = stimulus.a if self.name == "elements" else stimulus.a_scale
        of_b = stimulus.b if self.name == "elements" else stimulus.b_scale
        count = len(self._classes[1][0])
        both = self._classes[0][1][of_a[view.rows]] * count + self._classes[1][1][of_b[view.rows]]
        flat = both.reshape(len(both), math.prod(both.shape[1:]))
        found, first, counts = np.unique(flat, return_index=True, return_counts=True)
        for k, at, often in zip(found.tolist(), first.tolist(), counts.tolist(), strict=True):
            yield self._names[k], int(view.rows[at // flat.shape[1]]), often


class LaneBins(BinGroup):
    """Each lane as the only one whose product is not zero."""

    name = "lanes"

    def __init__(self, spec: DotSpec) -> None:
        self._spec = spec
        self._names = [
            f"block {j} lane {k} {sign}"
            for j in range(spec.blocks)
            for k in range(spec.block_size)
            for sign in ("positive", "negative")
        ]
        self.bins = dict.fromkeys(self._names, "")

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        signs = [
            np.sign(np.where(np.isfinite(fmt.values), fmt.values, 0.0)).astype(np.int8)[codes[view.rows]]
            for fmt, codes in zip(self._spec.elements, (view.stimulus.a, view.stimulus.b), strict=True)
        ]
        product = (signs[0] * signs[1]).reshape(len(view.rows), self._spec.blocks * self._spec.block_size)
        for at in np.flatnonzero(np.count_nonzero(product, axis=1) == 1).tolist():
            lane = int(np.flatnonzero(product[at])[0])
            yield self._names[2 * lane + int(product[at, lane] < 0)], int(view.rows[at]), 1


class SumBins(BinGroup):
    """The sum of products of a block."""

    name = "sums"

    def __init__(self, spec: DotSpec) -> None:
        least, largest = extremes(spec)
        self._names = {1: "+1", -1: "-1", least: "least", largest: "largest"}
        self.bins = dict.fromkeys(["every product zero", "cancelled to zero", *self._names.values()], "")

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            for block in step.blocks:
                if block.special:
                    continue
                if not block.total:
                    yield "cancelled to zero" if block.positive else "every product zero", step.vector, 1
                elif block.total in self._names:
                    yield self._names[block.total], step.vector, 1


class CancellationBins(BinGroup):
    """By how many bits a block's sum is shorter than its positive or its negative part."""

    name = "cancellation"

    def __init__(self, spec: DotSpec) -> None:
        known = cancellations(spec)
        if known:
            why = f"no {spec.block_size} products cancel so deep, by enumeration"
            self.bins = {f"{depth} bits": "" if split else why for depth, split in known.items()}
        else:
            # Deeper than what a power of two and a run of ones below it cancel to, none is asked for.
            self.bins = {f"{depth} bits": "" for depth in range(deepest_run(spec) + 1)}

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            for block in step.blocks:
                if block.total and not block.special:
                    longest = max(block.positive, block.negative).bit_length()
                    yield f"{longest - abs(block.total).bit_length()} bits", step.vector, 1


class ScaleShiftBins(BinGroup):
    """How far the scales shift a block that is not zero up from the quantum."""

    name = "scale shift"

    def __init__(self, spec: DotSpec) -> None:
        self.bins = {f"{places} places": "" for places in range(spec.scale_shift + 1)}

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            for block in step.blocks:
                if block.value and not block.special:
                    yield f"{block.shift} places", step.vector, 1


class SpecialBins(BinGroup):
    """NaN and infinities of elements."""

    name = "special elements"

    def __init__(self, spec: DotSpec) -> None:
        self._spec = spec
        nan = any(np.isnan(fmt.values).any() for fmt in spec.elements)
        infinite = [bool(np.isinf(fmt.values).any()) for fmt in spec.elements]
        names = ["NaN element"] if nan else []
        if any(infinite):
            names += ["+infinite block", "-infinite block", "infinity x 0", "infinity - infinity in a block"]
            if any(fmt.zero_code is not None for fmt in spec.scales):
                names.append("infinity x zero scale")
            if spec.blocks > 1:
                names.append("infinity - infinity between blocks")
        self.bins = dict.fromkeys(names, "")

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        if not self.bins:
            return
        spec = self._spec
        for step in view.steps:
            if not any(block.special for block in step.blocks):
                continue
            infinite: set[float] = set()
            for j, block in enumerate(step.blocks):
                a, b = (
                    fmt.values[codes[step.vector, j]]
                    for fmt, codes in zip(spec.elements, (view.stimulus.a, view.stimulus.b), strict=True)
                )
                scales = [
                    float(fmt.values[codes[step.vector, j]])
                    for fmt, codes in zip(
                        spec.scales, (view.stimulus.a_scale, view.stimulus.b_scale), strict=True
                    )
                ]
                with np.errstate(invalid="ignore"):
                    products = a * b
                numbers = not np.isnan(a).any() and not np.isnan(b).any()
                if not numbers:
                    yield "NaN element", step.vector, 1
                elif np.isnan(products).any():
                    yield "infinity x 0", step.vector, 1
                elif np.isposinf(products).any() and np.isneginf(products).any():
                    yield "infinity - infinity in a block", step.vector, 1
                elif np.isinf(products).any() and 0.0 in scales and not any(map(math.isnan, scales)):
                    yield "infinity x zero scale", step.vector, 1
                elif math.isinf(block.special):
                    infinite.add(block.special)
                    yield f"{'+' if block.special > 0 else '-'}infinite block", step.vector, 1
            if len(infinite) == 2 and math.isnan(step.special):
                yield "infinity - infinity between blocks", step.vector, 1
