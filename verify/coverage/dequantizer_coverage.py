"""What a test of a dequantizer should have met: pairs of codes, lanes, and kinds of numbers."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...model import DequantizerSpec
from ...sim.dequantizer_stimulus import DequantizerStimulus, directed
from ...sim.stream_rules import Response
from .bins import Bin
from .coverage import BinsSeen

__all__ = ["DequantizerCoverage"]

_KINDS: Final = ("zero", "subnormal", "normal", "infinite", "NaN")


class DequantizerCoverage(BinsSeen[DequantizerStimulus]):
    """What stimuli of a dequantizer have met of all that there is to meet.

    Args:
        spec: What the unit computes.

    Attributes:
        spec: The same.
    """

    def __init__(self, spec: DequantizerSpec) -> None:
        self.spec = spec
        self._elements, scales = 1 << spec.element_format.bits, 1 << spec.scale_format.bits
        self._names = {
            "pair": [
                f"element {element:#x} under scale {scale:#04x}"
                for scale in range(scales)
                for element in range(self._elements)
            ],
            "lane": [
                f"element {element:#x} in lane {lane}"
                for lane in range(spec.block_size)
                for element in range(self._elements)
            ],
            "number": [f"{sign}{kind}" for kind in _KINDS for sign in "+-"],
        }
        # Every pair of codes is in it, so what is not there cannot be.
        reached = np.unique(self._kinds(directed(spec).numbers)).tolist()
        missing = {
            ("number", name): f"no product is of that kind in {spec.output}"
            for k, name in enumerate(self._names["number"])
            if k not in reached
        }
        super().__init__(
            [
                Bin(group, name, missing.get((group, name), ""))
                for group, names in self._names.items()
                for name in names
            ]
        )

    def _kinds(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return which of the numbers' kinds codes are."""
        form = self.spec.output_format
        magnitude = numbers & form.dtype.type((1 << form.bits - 1) - 1)
        ends = (1, 1 << form.mantissa_bits, form.infinity_code, form.infinity_code + 1)
        negative = (numbers >> form.dtype.type(form.bits - 1)).astype(np.int64)
        return 2 * np.searchsorted(ends, magnitude, side="right") + negative

    def add(self, stimulus: DequantizerStimulus, response: Response | None = None) -> None:
        """Note what a stimulus meets; for the same specification. No bin is of what a unit answers."""
        del response
        self.note(self._see(stimulus))

    def _see(self, stimulus: DequantizerStimulus) -> Iterator[tuple[Bin, int, int]]:
        codes, size = stimulus.codes.astype(np.int64), self.spec.block_size
        met = {
            "pair": stimulus.scales.astype(np.int64)[:, np.newaxis] * self._elements + codes,
            "lane": np.arange(size) * self._elements + codes,
            "number": self._kinds(stimulus.numbers),
        }
        for group, which in met.items():
            found, first, counts = np.unique(which, return_index=True, return_counts=True)
            for k, at, count in zip(found.tolist(), first.tolist(), counts.tolist(), strict=True):
                yield self._known[group, self._names[group][k]], at // size, count
