"""Quality against cost as a page in which the reader chooses reuse, model, sums, library and kind of cost."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from blockdot.lab.reports.data_page import data_page
from blockdot.lab.statistics import Estimate

from ..quantizer_cost.page import REUSES
from ..records import StoredRecord
from .fronts import priced_kinds
from .points import (
    COSTS,
    MODELS,
    QUALITY_ACCUMULATES,
    Cost,
    UnitCosts,
    cost_unit,
    evaluated,
    paired_difference,
    percent,
    rows_of_model,
    way_label,
)

__all__ = ["FRONT_PAGE", "front_page"]

FRONT_PAGE: Final = "quality-against-cost.html"

_TEMPLATE: Final = Path(__file__).with_name("front.html")

_DIGITS: Final = 6
"""Significant ones of a number in the page: they keep the sign that the front depends on."""


# The costs of one library, of one kind.
_Key = tuple[str, Cost]


def front_page(stored: StoredRecord) -> str:
    """Return the page. It finds the front itself, by the rule of `front_places`, from what `points` gives.

    Raises:
        ValueError: If no way has both a perplexity and an area.
    """
    kinds = {key: cost_unit(stored, *key) for key in priced_kinds(stored)}
    costs = {key: UnitCosts(stored, *key) for key in kinds}
    plain = next(iter(evaluated(stored)), {})
    models = {
        name: _choices(rows_of_model(stored, narrow=narrow), plain, costs) for narrow, name in MODELS.items()
    }
    found = {name: choices for name, choices in models.items() if choices}
    if not found:
        raise ValueError("ways must have areas before the page is written, not lack them")
    return data_page(
        _TEMPLATE,
        {
            "about": (
                f"The perplexity of {stored['model']} on the {stored['text']}, weights and activations "
                "quantized, against the cost of a product: that of the dot-product unit, and 1/(N R) of that "
                f"of the quantizer of the activations. {_kinds_text(kinds)} The perplexities are of float32 "
                "sums; the choice of sums moves the cost alone."
            ),
            "libraries": {
                library: {cost: unit for (name, cost), unit in kinds.items() if name == library}
                for library, _ in kinds
            },
            "costs": COSTS,
            "most_reuse": max(REUSES),
            "sums": list(QUALITY_ACCUMULATES),
            "models": found,
        },
    )


def _kinds_text(kinds: Iterable[_Key]) -> str:
    """Return what a cost is."""
    if all(cost == "area" for _, cost in kinds):
        return "Cost is the area of gates, without wires."
    return (
        "Cost is the area of gates, without wires, or the switching energy that these take on real vectors, "
        "with the glitches that their own delays make or without any."
    )


def _choices(
    rows: Sequence[StoredRecord], plain: StoredRecord, costs: dict[_Key, UnitCosts]
) -> list[dict[str, Any]]:
    """Return the ways of one model that have a cost of some kind in some library."""
    priced = [(row, charged) for row in rows if (charged := _charged(row, costs))]
    return [
        {
            "label": way_label(row),
            "scale": row["scale"],
            "block_size": row["block_size"],
            "costs": charged,
            "perplexity": _short(row["perplexity"]),
            "loss": _percent(paired_difference(plain, row)),
            # How much higher the perplexity of each other choice is.
            "against": [_percent(paired_difference(row, other)) for other, _ in priced],
        }
        for row, charged in priced
    ]


def _charged(row: StoredRecord, costs: dict[_Key, UnitCosts]) -> dict[str, dict[str, Any]]:
    """Return what a way pays, by library and kind: for a quantizer, and by the sums for a product's unit."""
    charged: dict[str, dict[str, Any]] = {}
    for (library, cost), units in costs.items():
        quantizer = units.quantizer(row)
        sums = {
            # A cost decides who costs no more, so that none of its digits is dropped.
            name: unit
            for name in QUALITY_ACCUMULATES
            if (unit := units.dot(row["scale"], row["block_size"], name)) is not None
        }
        if quantizer is not None and sums:
            charged.setdefault(library, {})[cost] = {"quantizer": quantizer, "units": sums}
    return charged


def _percent(estimate: Estimate) -> list[float]:
    return [_short(value) for value in percent(estimate)]


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
