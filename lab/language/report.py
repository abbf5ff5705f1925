"""Perplexities of a sweep, and how sure their differences are."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...synth.metric import Metric
from ..quality.quantization_error import Quantization, QuantizationError
from ..statistics import Estimate
from .arithmetic import Arithmetic
from .windows import SEGMENT, check_segments

__all__ = ["EvaluatedLayer", "EvaluatedWay", "EvaluationReport", "LayerErrors", "PerplexityChange"]

_NATS: Final = Metric("log_perplexity", "nats per token", "lower", 4)


@dataclass(frozen=True, eq=False)
class EvaluatedWay:
    """What one way to compute products makes of the text.

    Attributes:
        arithmetic: The way.
        log_likelihoods: Of each scored token, in the text's order.
    """

    arithmetic: Arithmetic
    log_likelihoods: npt.NDArray[np.float64]

    @property
    def log_perplexity(self) -> float:
        """The mean negative log likelihood of a token."""
        return float(-self.log_likelihoods.mean())

    @property
    def perplexity(self) -> float:
        """Its exponential."""
        return math.exp(self.log_perplexity)


@dataclass(frozen=True)
class PerplexityChange:
    """One way against another on the same text.

    Attributes:
        before: What is compared with.
        after: What is compared.
        difference: Of log perplexity, in nats a token: one value for each segment of the text, weighed so
            that their mean is the difference over the whole text.
        differs: The one thing in which they differ, such as ``block_size``; None for several.
    """

    before: EvaluatedWay
    after: EvaluatedWay
    difference: Estimate
    differs: str | None = None

    @property
    def percent(self) -> tuple[float, float, float]:
        """How much higher the perplexity is, in percent, with the ends of its interval."""
        low, high = self.difference.interval
        return _percent(self.difference.mean), _percent(low), _percent(high)

    def text(self) -> str:
        """Return the percentage as it is printed; ``~`` marks one that cannot be told from zero."""
        mean, low, high = self.percent
        told = f"{mean:+z.2f} % ({low:+z.2f} to {high:+z.2f})"
        return told if self.difference.resolved else f"{told} ~"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        mean, low, high = self.percent
        return {
            "before": self.before.arithmetic.label,
            "after": self.after.arithmetic.label,
            "differs": self.differs,
            "percent": mean,
            "percent_low": low,
            "percent_high": high,
            "log_perplexity": self.difference.to_dict(),
        }


@dataclass(frozen=True)
class LayerErrors:
    """What quantizing makes of the matrices of one layer, all taken together.

    Attributes:
        matrices: How many there are.
        elements: How many elements they have.
        sigma: Their standard deviation about zero, as they are quantized: of a narrow model, of the narrower.
        error: Their error; see `summarize`.
    """

    matrices: int
    elements: int
    sigma: float
    error: QuantizationError


@dataclass(frozen=True)
class EvaluatedLayer:
    """One layer, quantized alone.

    Attributes:
        way: What comes of the text.
        errors: What comes of its matrices.
        change: Against the model as it is.
    """

    way: EvaluatedWay
    errors: LayerErrors
    change: PerplexityChange

    @property
    def name(self) -> str:
        """The layer's: ``layers.3``, ``embeddings`` or ``head``."""
        return str(self.way.arithmetic.only)

    def row(self) -> dict[str, Any]:
        """Return a flat record."""
        error, arithmetic = self.errors.error, self.way.arithmetic
        mean, low, high = self.change.percent
        return {
            "way": replace(arithmetic, only=None).label,
            "layer": self.name,
            "matrices": self.errors.matrices,
            "elements": self.errors.elements,
            "sigma": self.errors.sigma,
            "subnormal_blocks": error.subnormal_blocks,
            "zero_blocks": error.zero_blocks,
            "mse": error.mse,
            "expected_mse": error.expected,
            "perplexity": self.way.perplexity,
            "log_perplexity": self.way.log_perplexity,
            "percent": mean,
            "percent_low": low,
            "percent_high": high,
        }


@dataclass(frozen=True)
class EvaluationReport:
    """A sweep over ways to compute products.

    Attributes:
        model: What was evaluated: a record of its name, digest and shape.
        text: On what: a record of its source, digest and windows.
        ways: What was found; the first is the model as it is.
        segment: How many scored tokens make a segment.
        notes: What else is to be said.
        layers: What each layer makes of it that is quantized alone, by way; none where that was not asked.
    """

    model: dict[str, Any]
    text: dict[str, Any]
    ways: tuple[EvaluatedWay, ...]
    segment: int = SEGMENT
    notes: tuple[str, ...] = ()
    layers: tuple[EvaluatedLayer, ...] = ()

    def __post_init__(self) -> None:
        check_segments(len(self.ways[0].log_likelihoods), self.segment)

    def segments(self, way: EvaluatedWay) -> list[float]:
        """Return the negative log likelihood of each segment of the text, as even in length as can be."""
        parts = np.array_split(-way.log_likelihoods, len(way.log_likelihoods) // self.segment)
        return [float(part.sum()) for part in parts]

    def compare(
        self, before: EvaluatedWay, after: EvaluatedWay, differs: str | None = None
    ) -> PerplexityChange:
        """Return how much less likely the text is by one way than by another."""
        pairs = zip(self.segments(before), self.segments(after), strict=True)
        differences = [b - a for a, b in pairs]
        weight = len(differences) / len(before.log_likelihoods)
        values = tuple(weight * value for value in differences)
        return PerplexityChange(before, after, Estimate(_NATS, values), differs)

    @cached_property
    def against_unquantized(self) -> list[PerplexityChange | None]:
        """Each way compared with the model as it is; None for that itself."""
        return [None, *(self.compare(self.ways[0], way) for way in self.ways[1:])]

    @cached_property
    def comparisons(self) -> list[PerplexityChange]:
        """Pairs of ways that differ in one thing alone, by that thing; of block sizes, neighbours."""
        pairs = sorted(self._pairs(), key=lambda pair: _KEYS.index(pair[2]))
        return [self.compare(*pair) for pair in pairs]

    def _pairs(self) -> Iterator[tuple[EvaluatedWay, EvaluatedWay, str]]:
        facts = [_facts(way.arithmetic) for way in self.ways[1:]]
        sizes = sorted({known["block_size"] for known in facts})
        for (a, before), (b, after) in itertools.combinations(zip(facts, self.ways[1:], strict=True), 2):
            differing = [key for key in _KEYS if a[key] != b[key]]
            if differing == ["block_size"]:
                near = sorted((a["block_size"], b["block_size"]))
                if sizes.index(near[1]) - sizes.index(near[0]) == 1:
                    # The finer against the coarser.
                    pair = (before, after) if a["block_size"] == near[1] else (after, before)
                    yield (*pair, "block_size")
            elif len(differing) == 1:
                yield before, after, differing[0]

    def layer(self, way: EvaluatedWay, errors: LayerErrors) -> EvaluatedLayer:
        """Return what comes of one layer that is quantized alone."""
        return EvaluatedLayer(way, errors, self.compare(self.ways[0], way))

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat record of each layer where there are some, else of each way."""
        return [layer.row() for layer in self.layers] or self.way_rows()

    def way_rows(self) -> list[dict[str, Any]]:
        """Return a flat record of each way."""
        rows = []
        for way, compared in zip(self.ways, self.against_unquantized, strict=True):
            known = dict.fromkeys(_KEYS) | _facts(way.arithmetic)
            mean, low, high = compared.percent if compared else (0.0, 0.0, 0.0)
            rows.append(
                {
                    "label": way.arithmetic.label,
                    **known,
                    "perplexity": way.perplexity,
                    "log_perplexity": way.log_perplexity,
                    "percent": mean,
                    "percent_low": low,
                    "percent_high": high,
                }
            )
        return rows

    def document(self) -> dict[str, Any]:
        """Return everything as one record, nested."""
        scored = self.ways[0].log_likelihoods
        lengths = [len(part) for part in np.array_split(scored, len(scored) // self.segment)]
        return {
            "model": self.model,
            "text": self.text,
            "ways": [
                {**row, "left_alone": list(way.arithmetic.left_alone), "segments": self.segments(way)}
                for row, way in zip(self.way_rows(), self.ways, strict=True)
            ],
            "segment_tokens": lengths,
            "against_unquantized": [
                compared.to_dict() for compared in self.against_unquantized if compared is not None
            ],
            "comparisons": [compared.to_dict() for compared in self.comparisons],
            "layers": [layer.row() for layer in self.layers],
            "notes": list(self.notes),
        }


def _percent(nats: float) -> float:
    return 100 * math.expm1(nats)


def _facts(arithmetic: Arithmetic) -> dict[str, Any]:
    """Return what tells one way from another, flat; of one that does not quantize, little."""
    if arithmetic.quantization is None:
        return {}
    own = {field.name: getattr(arithmetic, field.name) for field in fields(arithmetic)}
    del own["quantization"], own["left_alone"], own["only"]
    return {**asdict(arithmetic.quantization), **own}


_KEYS: Final = tuple(_facts(Arithmetic(quantization=Quantization())))
