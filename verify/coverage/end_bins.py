"""Bins about the rounding of sums, and of values, to a result of 16 bits at their end."""

from collections.abc import Iterator

from .bins import BinGroup, Hit, StimulusView
from .reach import NOT_DRIVEN, Reachable
from .sum_bins import rounding_kinds
from .sum_maker import DirectedSum, SumMaker

__all__ = ["EndBins", "end_sums"]

_KINDS = ("exact", "below half", "tie to even below", "tie to even above", "above half")


class EndBins(BinGroup):
    """How sums are rounded at their end."""

    name = "rounding at the end"

    def __init__(self, reach: Reachable) -> None:
        bits = reach.spec.result_format.fields.fraction_bits + 1
        most = reach.rounded_bits
        few = "" if most > bits + 1 else f"{NOT_DRIVEN}what is rounded has {most} bits, or few more"
        self.bins = dict.fromkeys(_KINDS, few) | {"exact": "", "carry into the exponent": few}

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            if step.result and not step.after_special:
                for kind in rounding_kinds(step.result):
                    yield kind, step.vector, 1


def end_sums(make: SumMaker) -> Iterator[DirectedSum]:
    """Yield sums of each sign that are rounded at their end in each way."""
    last = make.spec.result_format.fields.fraction_bits
    for sign in (1, -1):
        plus, minus = sign, -sign
        for low in (
            [],
            [(-last - 2, plus)],
            [(-last - 1, plus)],
            [(-last, plus), (-last - 1, plus)],
            [(-last - 1, plus), (-last - 2, plus)],
            [(1, plus), (-1, minus), (-last - 1, minus)],
        ):
            yield from make.placed([(0, plus)], *([power] for power in low))
        yield from make.placed([(1, plus)], [(-last - 1, minus)])
