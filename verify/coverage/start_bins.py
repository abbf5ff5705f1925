"""Bins about C, the number that a sum starts at."""

import math
from collections.abc import Iterator

import numpy as np

from ...model import DotSpec
from .bins import BinGroup, Hit, StimulusView

__all__ = ["StartBins"]


class StartBins(BinGroup):
    """What sums start at, and how large it is beside the first group."""

    name = "C"

    def __init__(self, spec: DotSpec) -> None:
        self._format = spec.c_format
        self._limit = self._format.fields.fraction_bits + 2
        kinds = [f"{sign}{kind}" for kind in ("0", "subnormal", "normal", "infinity") for sign in "+-"]
        self.bins = dict.fromkeys([*kinds, "NaN, quiet", "NaN, signaling"], "")
        for how in ("added to", "taken from"):
            self.bins |= dict.fromkeys(
                [f"far above a group, which is {how} it", f"far below, {how} a group"], ""
            )
        self.bins["undone by a group"] = ""
        if spec.most_groups != 1:
            self.bins["a number where no sum starts"] = ""

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        codes = view.stimulus.c
        assert codes is not None  # a unit without C has no such bins
        numbers = self._format.decode(codes)
        for step in view.steps:
            if not step.first:
                yield "a number where no sum starts", step.vector, 1
                continue
            yield self._kind(int(codes[step.vector]), numbers[step.vector]), step.vector, 1
            if step.special or step.before_special or not step.before or not step.value:
                continue
            places = abs(step.before).bit_length() - abs(step.value).bit_length()
            opposite = (step.before < 0) != (step.value < 0)
            if places > self._limit:
                how = "taken from" if opposite else "added to"
                yield f"far above a group, which is {how} it", step.vector, 1
            elif places < -self._limit:
                yield f"far below, {'taken from' if opposite else 'added to'} a group", step.vector, 1
            if step.before == -step.value:
                yield "undone by a group", step.vector, 1

    def _kind(self, bits: int, number: np.float32) -> str:
        fields = self._format.fields
        if math.isnan(number):
            return f"NaN, {'quiet' if bits >> fields.fraction_bits - 1 & 1 else 'signaling'}"
        sign = "-" if bits >> fields.bits - 1 else "+"
        if math.isinf(number):
            return f"{sign}infinity"
        if not number:
            return f"{sign}0"
        normal = bits >> fields.fraction_bits & fields.infinity_field
        return f"{sign}{'normal' if normal else 'subnormal'}"
