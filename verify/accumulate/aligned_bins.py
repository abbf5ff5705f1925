"""What is looked for in every ``aligned`` sum: how far terms lie behind, what is cut off, what results."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from ..coverage.bins import BinGroup, Hit, StimulusView
from ..coverage.reach import INFINITY
from ..coverage.sum_bins import sign_of
from ..exact_trace import TracedStep
from ..integer_rounding import SIGN_BIT

__all__ = ["AlignedBins"]


class AlignedBins(BinGroup):
    """Terms shifted to the largest exponent and cut off.

    Attributes:
        owner: What brings terms, but for the sum: a block, or a product.

    Args:
        limit: The most places behind that have a bin of their own.
        terms: Terms that one owner brings.
    """

    owner: ClassVar[str]

    def __init__(self, limit: int, terms: int = 1) -> None:
        self._limit = limit
        self._terms = terms

    def _behind(self, who: str, places: int) -> str:
        more = " and more" if places >= self._limit else ""
        return f"{who} {min(places, self._limit)}{more} behind"

    @abstractmethod
    def _inexact(self, sign: str, kind: str) -> str:
        """Return the bin of a result that is not exact, by its sign and by how it was rounded."""

    @abstractmethod
    def _zeros(self, step: TracedStep, largest: int) -> Iterator[str]:
        """Yield the bins that zeros meet; `largest` is the largest exponent of the step's terms."""

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            if not (step.special or step.before_special):
                for name in self._met(step):
                    yield name, step.vector, 1

    def _met(self, step: TracedStep) -> Iterator[str]:
        """Yield the names of the bins that a step meets."""
        assert step.addition is not None
        largest = max(term.exponent for term in step.terms)
        owners = [(k + self._terms - 1) // self._terms for k in range(len(step.terms))]
        ahead = {owners[k] for k, term in enumerate(step.terms) if term.exponent == largest}
        if len(ahead) > 1:
            yield "terms level"
        else:
            owner = ahead.pop()
            yield f"{self.owner} {owner - 1} ahead" if owner else "sum ahead"
        for owner, term in zip(owners, step.terms, strict=True):
            if not term.value:
                continue
            who = self.owner if owner else "sum"
            yield self._behind(who, largest - term.exponent)
            if term.cut:
                how = "lost" if term.cut == term.value else "cut"
                yield f"{sign_of(term.value)} {who} {how}"
        sign = "-" if step.addition.bits & SIGN_BIT else "+"
        if step.addition.bits & ~SIGN_BIT == INFINITY:
            yield f"{sign} result too large"
        kind = step.addition.kind
        yield "result exact" if kind == "exact" else self._inexact(sign, kind)
        yield from self._zeros(step, largest)
        kept = [term.value - term.cut for term in step.terms]
        if any(kept) and not sum(kept):
            yield "terms cancel to zero"
