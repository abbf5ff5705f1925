"""Which bins stimuli have met."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from ...model import DotSpec
from ...sim.stimulus import Stimulus
from ...sim.stream_rules import Response
from ...sim.unit_stimulus import UnitStimulus
from ..accumulation_checks import ACCUMULATION_CHECKS
from .bins import Bin, BinGroup, MetBins, StimulusView
from .end_bins import EndBins
from .input_bins import CancellationBins, CodeBins, LaneBins, ScaleShiftBins, SpecialBins, SumBins
from .reach import NOT_DRIVEN, Reachable
from .start_bins import StartBins
from .sum_bins import PortBins, SequenceBins, TopBitBins
from .tensor_scale_bins import TensorScaleBins

__all__ = ["BinsSeen", "Coverage"]

Played = TypeVar("Played", bound=UnitStimulus)


def _groups(spec: DotSpec, latency: int | None, *, long: bool) -> list[BinGroup]:
    reach = Reachable(spec, long=long)
    groups: list[BinGroup] = [
        CodeBins("elements", spec.elements),
        CodeBins("scales", spec.scales),
        SpecialBins(spec),
        LaneBins(spec),
        SumBins(spec),
        # Of wide elements each product is a term: none is added before it is shifted.
        *([] if spec.element_is_wide else [CancellationBins(spec)]),
        ScaleShiftBins(spec),
        TopBitBins(reach, sums=False),
    ]
    first_of_sums = len(groups)
    groups += [
        *ACCUMULATION_CHECKS[spec.accumulate].bins(reach),
    ]
    if spec.rounds_at_end:
        groups.append(EndBins(reach))
    if spec.takes_c:
        for group in groups[first_of_sums:]:
            # What is said of sums is said of those that start at zero.
            group.bins = {
                name: f"{NOT_DRIVEN}from zero, {why}" if why and not why.startswith(NOT_DRIVEN) else why
                for name, why in group.bins.items()
            }
        groups.append(StartBins(spec))
    if spec.tensor_scale:
        groups.append(TensorScaleBins(reach))
    if spec.accumulates:
        groups.append(SequenceBins(spec))
    if latency:
        groups.append(PortBins(latency))
    return [group for group in groups if group.bins]


class BinsSeen(ABC, Generic[Played]):
    """Bins, and which of them were met.

    Args:
        bins: All bins, in order.

    Attributes:
        bins: The same.
        met: Those that were met.
    """

    def __init__(self, bins: Sequence[Bin]) -> None:
        self.bins = list(bins)
        self._known = {(one.group, one.name): one for one in self.bins}
        self.met: dict[Bin, MetBins] = {}

    @abstractmethod
    def add(self, stimulus: Played, response: Response | None = None) -> None:
        """Note what a stimulus meets, and what a unit answered, where that matters."""

    def note(self, hits: Iterable[tuple[Bin, int, int]]) -> None:
        """Note what is met: a bin, the number of a vector, and how often."""
        for one, vector, count in hits:
            met = self.met.setdefault(one, MetBins(0, vector))
            met.count += count

    @property
    def holes(self) -> list[Bin]:
        """Bins that can be met and were not."""
        return [one for one in self.bins if one not in self.met and not one.unreachable]

    @property
    def refuted(self) -> list[Bin]:
        """Bins that were met and should not be possible: what says so is wrong."""
        return [one for one in self.met if not one.possible]


class Coverage(BinsSeen[Stimulus]):
    """What stimuli have met of all that there is to meet.

    Args:
        spec: What the unit computes.
        latency: Its latency, where what its ports do is to be covered as well.
        long: Whether sums of ``2**LONG`` groups are driven, so that the upper guard bits can be met.

    Attributes:
        spec: The same.
        bins: All bins, in order.
        met: Those that were met.
    """

    def __init__(self, spec: DotSpec, *, latency: int | None = None, long: bool = False) -> None:
        self.spec = spec
        self._groups = _groups(spec, latency, long=long)
        super().__init__(
            [Bin(group.name, name, why) for group in self._groups for name, why in group.bins.items()]
        )

    def add(self, stimulus: Stimulus, response: Response | None = None) -> None:
        """Note what a stimulus meets.

        Args:
            stimulus: The stimulus; for the same specification.
            response: What a unit answered, where what its ports do is to be covered.
        """
        self.note(self.hits(stimulus, response))

    def hits(self, stimulus: Stimulus, response: Response | None = None) -> Iterator[tuple[Bin, int, int]]:
        """Tell what a stimulus meets: a bin, the number of a vector, and how often."""
        view = StimulusView.of(stimulus, response)
        for group in self._groups:
            for name, vector, count in group.see(view):
                if one := self._known.get((group.name, name)):
                    yield one, vector, count
