"""Which bins stimuli have met."""

from collections.abc import Iterator

from ...model import DotSpec
from ...sim.stimulus import Stimulus
from ...sim.stream_rules import Response
from ..accumulation_checks import ACCUMULATION_CHECKS
from .bins import Bin, BinGroup, MetBins, StimulusView
from .input_bins import CancellationBins, CodeBins, LaneBins, ScaleShiftBins, SpecialBins, SumBins
from .reach import Reachable
from .sum_bins import PortBins, SequenceBins, TopBitBins

__all__ = ["Coverage"]


def _groups(spec: DotSpec, latency: int | None, *, long: bool) -> list[BinGroup]:
    reach = Reachable(spec, long=long)
    groups: list[BinGroup] = [
        CodeBins("elements", spec.elements),
        CodeBins("scales", spec.scales),
        SpecialBins(spec),
        LaneBins(spec),
        SumBins(spec),
        CancellationBins(spec),
        ScaleShiftBins(spec),
        TopBitBins(reach, sums=False),
        *ACCUMULATION_CHECKS[spec.accumulate].bins(reach),
    ]
    if spec.accumulates:
        groups.append(SequenceBins(spec))
    if latency:
        groups.append(PortBins(latency))
    return [group for group in groups if group.bins]


class Coverage:
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
        self.bins = [Bin(group.name, name, why) for group in self._groups for name, why in group.bins.items()]
        self._known = {(one.group, one.name): one for one in self.bins}
        self.met: dict[Bin, MetBins] = {}

    def add(self, stimulus: Stimulus, response: Response | None = None) -> None:
        """Note what a stimulus meets.

        Args:
            stimulus: The stimulus; for the same specification.
            response: What a unit answered, where what its ports do is to be covered.
        """
        for one, vector, count in self.hits(stimulus, response):
            met = self.met.setdefault(one, MetBins(0, vector))
            met.count += count

    def hits(self, stimulus: Stimulus, response: Response | None = None) -> Iterator[tuple[Bin, int, int]]:
        """Tell what a stimulus meets: a bin, the number of a vector, and how often."""
        view = StimulusView.of(stimulus, response)
        for group in self._groups:
            for name, vector, count in group.see(view):
                if one := self._known.get((group.name, name)):
                    yield one, vector, count

    @property
    def holes(self) -> list[Bin]:
        """Bins that can be met and were not."""
        return [one for one in self.bins if one not in self.met and not one.unreachable]

    @property
    def refuted(self) -> list[Bin]:
        """Bins that were met and should not be possible: what says so is wrong."""
        return [one for one in self.met if not one.possible]
