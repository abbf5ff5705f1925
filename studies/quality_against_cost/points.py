"""Points of quality against cost, made of stored rows, and which of them no other beats.

**Cost** is area for each product. A product pays for its share of the dot-product unit, which takes one block
a cycle or several: whichever is cheaper for each product. Each block that a quantizer makes is used `reuse`
times, so a product pays for ``1 / (N reuse)`` of a quantizer too. Weights are quantized once, by software.

**Quality** is the log perplexity of a text above that of the model as it is. Two ways are compared on the
same segments of the text, and their difference has a bootstrap's interval.

**The front** treats the two unlike. Costs are taken as they stand: netlists of one unit differ by less than
units do. A difference in quality is taken only where its interval leaves out zero. A point is *beaten* if
another costs no more and its perplexity is lower for sure. A point is on the *front* if none that costs no
more has a lower perplexity even by the plain estimate. What is neither is *undecided*: something looks better
and may not be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import exp, expm1
from typing import Final, Literal

from blockdot.lab.statistics import Estimate
from blockdot.synth.metric import Metric

from ..records import StoredRecord

__all__ = [
    "LIBRARY",
    "MODELS",
    "NARROW_POWER",
    "PRODUCTS",
    "QUALITY_ACCUMULATES",
    "QUALITY_SCALES",
    "SIZES",
    "Areas",
    "Place",
    "Point",
    "evaluated",
    "front_places",
    "methods_text",
    "paired_difference",
    "percent",
    "points",
    "unit_rows",
]

LIBRARY: Final = "neutral"
"""The cell library."""

PRODUCTS: Final = 32
"""Products a cycle of the larger units: of several blocks, where those are smaller."""

QUALITY_ACCUMULATES: Final[tuple[Literal["fp32", "exact", "aligned"], ...]] = ("fp32", "exact", "aligned")
"""How units add."""

NARROW_POWER: Final = 4
"""The matrices are 16 times narrower: of a width at which UE4M3 runs out of exponents."""

MODELS: Final = {0: "as it is", NARROW_POWER: f"matrices {2**NARROW_POWER} times narrower"}
"""What the model's width is called."""

SIZES: Final = (8, 16, 32)
"""Elements of a block."""

QUALITY_SCALES: Final = ("ue4m3", "ue5m3", "ue8m0")
"""Scale formats, in the order in which they are shown."""

Place = Literal["front", "undecided", "beaten"]

_NATS: Final = Metric("log_perplexity", "nats per token", "lower", 4)


def evaluated(stored: StoredRecord) -> list[StoredRecord]:
    """Return what was evaluated on the longest texts, each way on the same parts of it, the model first.

    Parts of the text that not every way has are left out.
    """
    longest = max((row["tokens"] for row in stored["ways"]), default=0)
    found: dict[str, dict[int, StoredRecord]] = {}
    for row in stored["ways"]:
        if row["tokens"] == longest:
            facts = [value for name, value in row.items() if name not in ("start", "scored", "segments")]
            found.setdefault(repr(facts), {})[row["start"]] = row
    starts = sorted(set.intersection(*(set(parts) for parts in found.values()))) if found else []
    return [_joined([parts[start] for start in starts]) for parts in found.values()]


def _joined(parts: Sequence[StoredRecord]) -> StoredRecord:
    """Return what several parts of a text make together."""
    segments = [value for part in parts for value in part["segments"]]
    scored = sum(part["scored"] for part in parts)
    return parts[0] | {"segments": segments, "scored": scored, "perplexity": exp(sum(segments) / scored)}


def unit_rows(stored: StoredRecord) -> list[StoredRecord]:
    """Return what was evaluated with the bits of units, behind the same codes in float32."""
    longest = max(row["tokens"] for row in stored["ways"])
    rows = [row for row in stored["ways"] if row["tokens"] != longest and row["scale"] is not None]
    return sorted(rows, key=lambda row: row["accumulate"] != "none")


def methods_text(method: str, activation_method: str | None) -> str:
    """Return a name for how scales of weights and of activations are chosen."""
    return method if activation_method in (None, method) else f"{method} / {activation_method}"


def paired_difference(before: StoredRecord, after: StoredRecord) -> Estimate:
    """Return how much less likely the text is by one way than by another, in nats a token.

    Args:
        before: The row of what is compared with.
        after: The row of what is compared.

    Raises:
        ValueError: If the two are not of the same text.
    """
    weight = len(before["segments"]) / before["scored"]
    pairs = zip(before["segments"], after["segments"], strict=True)
    return _estimate(tuple(weight * (b - a) for a, b in pairs))


@cache
def _estimate(values: tuple[float, ...]) -> Estimate:
    """Return an estimate, whose interval is then drawn once however often it is asked for."""
    return Estimate(_NATS, values)


def percent(estimate: Estimate) -> tuple[float, float, float]:
    """Return a difference of log perplexity as percent of perplexity, with the ends of its interval."""
    low, high = estimate.interval
    return 100 * expm1(estimate.mean), 100 * expm1(low), 100 * expm1(high)


class Areas:
    """The areas of units and quantizers, from stored rows.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Sequence[StoredRecord]) -> None:
        self._dots: dict[tuple[str, int, str], StoredRecord] = {}
        self._singles: dict[tuple[str, int, str], float] = {}
        self._quantizers: dict[tuple[str, int, str, bool], float] = {}
        for row in rows:
            scale, size = row["scale"][0], row["block_size"]
            if row["accumulate"] is None:
                self._quantizers[scale, size, row["method"], row["tensor_scale"]] = row["nand2"]
                continue
            key = scale, size, row["accumulate"]
            if row["blocks"] == 1:
                self._singles[key] = row["nand2"]
            if key not in self._dots or _for_each(row) < _for_each(self._dots[key]):
                self._dots[key] = row

    def dot(self, scale: str, block_size: int, accumulate: str) -> tuple[float, int] | None:
        """Return the area for each product of the cheapest dot-product unit, and how many blocks it takes.

        In NAND2 equivalents; None where none was measured.
        """
        row = self._dots.get((scale, block_size, accumulate))
        return None if row is None else (_for_each(row), row["blocks"])

    def single(self, scale: str, block_size: int, accumulate: str) -> float | None:
        """Return the area of the unit that takes one block a cycle; None where it was not measured."""
        return self._singles.get((scale, block_size, accumulate))

    def quantizer(self, scale: str, block_size: int, method: str, *, tensor_scale: bool) -> float | None:
        """Return the area of a quantizer in NAND2 equivalents; None where it was not measured."""
        return self._quantizers.get((scale, block_size, method, tensor_scale))


def _for_each(row: StoredRecord) -> float:
    return row["nand2"] / (row["block_size"] * row["blocks"])


@dataclass(frozen=True, eq=False)
class Point:
    """One choice: what it costs, and what it makes of the text.

    Attributes:
        row: What was evaluated.
        accumulate: How the unit accumulates.
        unit: Area of the dot-product unit for each product, in NAND2 equivalents.
        quantizer: Area of the quantizer of activations.
        plain: The row of the model as it is.
    """

    row: StoredRecord
    accumulate: str
    unit: float
    quantizer: float
    plain: StoredRecord

    def cost(self, reuse: float) -> float:
        """Return the area for each product, in NAND2 equivalents."""
        return self.unit + self.quantizer / (self.row["block_size"] * reuse)

    @cached_property
    def loss(self) -> Estimate:
        """The log perplexity above the model's as it is."""
        return paired_difference(self.plain, self.row)

    @property
    def label(self) -> str:
        """A short name."""
        row = self.row
        weights = f"{row['scale']} N={row['block_size']} {row['method']}"
        other = row["activation_method"] not in (None, row["method"])
        return f"{weights} / {row['activation_method']}" if other else weights


def points(
    stored: StoredRecord, *, narrow: int, operands: str = "both", accumulate: str = "fp32"
) -> list[Point]:
    """Return the points of one model, of those ways whose units and quantizers have known areas."""
    return list(_points(stored, narrow, operands, accumulate))


def _points(stored: StoredRecord, narrow: int, operands: str, accumulate: str) -> Iterator[Point]:
    areas = Areas(stored["areas"])
    rows = evaluated(stored)
    for row in rows:
        if row["operands"] != operands or row["narrow"] not in (narrow, _narrow_of(row)):
            continue
        unit = areas.dot(row["scale"], row["block_size"], accumulate)
        quantizer = areas.quantizer(
            row["scale"],
            row["block_size"],
            row["activation_method"] or row["method"],
            tensor_scale=row["tensor_scale"],
        )
        if unit is not None and quantizer is not None:
            yield Point(row, accumulate, unit[0], quantizer, rows[0])


def _narrow_of(row: StoredRecord) -> int | None:
    """Return 0 for a way that gives the same bits however narrow the weights are, else None.

    A scale that is a power of two takes up a factor of two whole, and so does a tensor scale.
    """
    return 0 if row["scale"] == "ue8m0" or row["tensor_scale"] else None


def front_places(choices: Sequence[Point], reuse: float) -> list[Place]:
    """Return of each point whether it is on the front, beaten or undecided."""
    return [_place(point, choices, reuse) for point in choices]


def _place(point: Point, choices: Sequence[Point], reuse: float) -> Place:
    cost = point.cost(reuse)
    found: Place = "front"
    for other in choices:
        if other is point or other.cost(reuse) > cost:
            continue
        ahead = paired_difference(point.row, other.row)
        if ahead.mean < 0:
            if ahead.interval[1] < 0:
                return "beaten"
            found = "undecided"
    return found
