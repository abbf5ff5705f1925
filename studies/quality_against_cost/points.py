"""Points of quality against cost, made of stored rows, and which of them no other beats.

**Cost** is area for each product, or switching energy, in one cell library. A product pays for its share of
the dot-product unit, which takes one block a cycle or several: whichever is smaller for each product. Each
block that a quantizer makes is used `reuse` times, so a product pays for ``1 / (N reuse)`` of a quantizer
too. Weights are quantized once, by software.

**Quality** is the log perplexity of a text above that of the model as it is. Two ways are compared on the
same segments of the text, and their difference has a bootstrap's interval.

**The front** treats the two unlike. Costs are taken as they stand: netlists of one unit differ by less than
units do. A difference in quality is taken only where its interval leaves out zero. A point is *beaten* if
another costs no more and its perplexity is lower for sure. A point is on the *front* if none that costs no
more has a lower perplexity even by the plain estimate. What is neither is *undecided*: something looks better
and may not be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import exp, expm1
from typing import Final, Literal

from blockdot.lab.statistics import Estimate
from blockdot.synth.metric import Metric

from ..records import StoredRecord

__all__ = [
    "COSTS",
    "LIBRARY",
    "MODELS",
    "NARROW_POWER",
    "PRODUCTS",
    "QUALITY_ACCUMULATES",
    "QUALITY_SCALES",
    "SIZES",
    "Areas",
    "Cost",
    "Place",
    "Point",
    "UnitCosts",
    "cost_unit",
    "evaluated",
    "front_places",
    "libraries",
    "methods_text",
    "paired_difference",
    "percent",
    "points",
    "rows_of_model",
    "unit_rows",
    "way_label",
]

LIBRARY: Final = "neutral"
"""The cell library of the picture, and of every figure of which none is named."""

Cost = Literal["area", "energy", "settled"]

COSTS: Final[dict[Cost, str]] = {
    "area": "area",
    "energy": "energy",
    "settled": "energy without glitches",
}
"""What a product is charged for, and how it is called."""

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

# Which figure of a stored row each kind of cost is.
_FIGURES: Final[dict[Cost, str]] = {"area": "nand2", "energy": "total", "settled": "settled"}

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
    """The areas of a library's units and quantizers, from stored rows.

    Args:
        rows: The rows.
        library: The library's name.
    """

    def __init__(self, rows: Sequence[StoredRecord], library: str = LIBRARY) -> None:
        self._dots: dict[tuple[str, int, str], StoredRecord] = {}
        self._singles: dict[tuple[str, int, str], float] = {}
        self._quantizers: dict[tuple[str, int, str, bool], StoredRecord] = {}
        for row in rows:
            if row["library"] != library:
                continue
            scale, size = row["scale"][0], row["block_size"]
            if row["accumulate"] is None:
                self._quantizers[scale, size, row["method"], row["tensor_scale"]] = row
                continue
            key = scale, size, row["accumulate"]
            if row["blocks"] == 1:
                self._singles[key] = row["nand2"]
            if key not in self._dots or _for_each(row) < _for_each(self._dots[key]):
                self._dots[key] = row

    def units(self) -> list[str]:
        """Return the names of all units that points are made of: the cheapest dot-product units first."""
        return [row["unit"] for row in (*self._dots.values(), *self._quantizers.values())]

    def dot_unit(self, scale: str, block_size: int, accumulate: str) -> StoredRecord | None:
        """Return the row of the cheapest dot-product unit; None where none was measured."""
        return self._dots.get((scale, block_size, accumulate))

    def dot(self, scale: str, block_size: int, accumulate: str) -> tuple[float, int] | None:
        """Return the area for each product of the cheapest dot-product unit, and how many blocks it takes.

        In NAND2 equivalents; None where none was measured.
        """
        row = self.dot_unit(scale, block_size, accumulate)
        return None if row is None else (_for_each(row), row["blocks"])

    def single(self, scale: str, block_size: int, accumulate: str) -> float | None:
        """Return the area of the unit that takes one block a cycle; None where it was not measured."""
        return self._singles.get((scale, block_size, accumulate))

    def quantizer_unit(
        self, scale: str, block_size: int, method: str, *, tensor_scale: bool
    ) -> StoredRecord | None:
        """Return the row of a quantizer; None where it was not measured."""
        return self._quantizers.get((scale, block_size, method, tensor_scale))

    def quantizer(self, scale: str, block_size: int, method: str, *, tensor_scale: bool) -> float | None:
        """Return the area of a quantizer in NAND2 equivalents; None where it was not measured."""
        row = self.quantizer_unit(scale, block_size, method, tensor_scale=tensor_scale)
        return None if row is None else row["nand2"]


def _for_each(row: StoredRecord, figure: float | None = None) -> float:
    return (row["nand2"] if figure is None else figure) / (row["block_size"] * row["blocks"])


class UnitCosts:
    """What units and quantizers of a library cost, by one kind of cost.

    Args:
        stored: The stored rows.
        library: The library's name.
        cost: What is charged for. The units are those of the least area, whatever it is.
    """

    def __init__(self, stored: StoredRecord, library: str = LIBRARY, cost: Cost = "area") -> None:
        self._areas = Areas(stored["areas"], library)
        rows = stored["areas"] if cost == "area" else stored["energies"]
        self._found = {row["unit"]: row[_FIGURES[cost]] for row in rows if row["library"] == library}

    def dot(self, scale: str, block_size: int, accumulate: str) -> float | None:
        """Return what a product pays for a dot-product unit; None where that was not measured."""
        row = self._areas.dot_unit(scale, block_size, accumulate)
        figure = None if row is None else self._found.get(row["unit"])
        return None if row is None or figure is None else _for_each(row, figure)

    def quantizer(self, row: StoredRecord) -> float | None:
        """Return what a block of activations costs in a way's quantizer; None where it was not measured."""
        unit = self._areas.quantizer_unit(
            row["scale"],
            row["block_size"],
            row["activation_method"] or row["method"],
            tensor_scale=row["tensor_scale"],
        )
        return None if unit is None else self._found.get(unit["unit"])


def libraries(stored: StoredRecord) -> list[str]:
    """Return the libraries in which units were measured, that of the picture first."""
    names = dict.fromkeys(row["library"] for row in stored["areas"])
    return sorted(names, key=lambda name: name != LIBRARY)


def cost_unit(stored: StoredRecord, library: str, cost: Cost) -> str:
    """Return the unit of a cost; an empty text where nothing of that kind was measured in the library."""
    if cost == "area":
        return "NAND2"
    units = (row["energy_unit"] for row in stored["energies"] if row["library"] == library)
    return next(units, "")


@dataclass(frozen=True, eq=False)
class Point:
    """One choice: what it costs, and what it makes of the text.

    Attributes:
        row: What was evaluated.
        accumulate: How the unit accumulates.
        unit: Cost of the dot-product unit for each product: area in NAND2 equivalents, or energy.
        quantizer: Cost of the quantizer of activations for each block.
        plain: The row of the model as it is.
    """

    row: StoredRecord
    accumulate: str
    unit: float
    quantizer: float
    plain: StoredRecord

    def cost(self, reuse: float) -> float:
        """Return the cost of a product: area in NAND2 equivalents, or energy."""
        return self.unit + self.quantizer / (self.row["block_size"] * reuse)

    @cached_property
    def loss(self) -> Estimate:
        """The log perplexity above the model's as it is."""
        return paired_difference(self.plain, self.row)

    @property
    def label(self) -> str:
        """A short name."""
        return way_label(self.row)


def way_label(row: StoredRecord) -> str:
    """Return a short name of a way that was evaluated."""
    weights = f"{row['scale']} N={row['block_size']} {row['method']}"
    other = row["activation_method"] not in (None, row["method"])
    return f"{weights} / {row['activation_method']}" if other else weights


def points(
    stored: StoredRecord,
    *,
    narrow: int,
    operands: str = "both",
    accumulate: str = "fp32",
    library: str = LIBRARY,
    cost: Cost = "area",
) -> list[Point]:
    """Return the points of one model, of those ways whose units and quantizers have known costs."""
    costs = UnitCosts(stored, library, cost)
    plain = next(iter(evaluated(stored)), None)
    found: list[Point] = []
    for row in rows_of_model(stored, narrow=narrow, operands=operands):
        unit = costs.dot(row["scale"], row["block_size"], accumulate)
        quantizer = costs.quantizer(row)
        if plain is not None and unit is not None and quantizer is not None:
            found.append(Point(row, accumulate, unit, quantizer, plain))
    return found


def rows_of_model(stored: StoredRecord, *, narrow: int, operands: str = "both") -> list[StoredRecord]:
    """Return the ways of one model that were evaluated, whatever they cost."""
    return [
        row
        for row in evaluated(stored)
        if row["operands"] == operands and row["narrow"] in (narrow, _narrow_of(row))
    ]


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
