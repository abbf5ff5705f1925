"""Quality against cost as a page in which the reader chooses the reuse, the model and the sums."""

from pathlib import Path
from typing import Any, Final

from blockdot.lab.reports.data_page import data_page
from blockdot.lab.statistics import Estimate

from ..quantizer_cost.page import REUSES
from ..records import StoredRecord
from .points import (
    LIBRARY,
    MODELS,
    QUALITY_ACCUMULATES,
    Areas,
    Point,
    paired_difference,
    percent,
    points,
)

__all__ = ["FRONT_PAGE", "front_page"]

FRONT_PAGE: Final = "quality-against-cost.html"

_TEMPLATE: Final = Path(__file__).with_name("front.html")

_DIGITS: Final = 6
"""Significant ones of a number in the page: they keep the sign that the front depends on."""


def front_page(stored: StoredRecord) -> str:
    """Return the page. It finds the front itself, by the rule of `front_places`, from what `points` gives.

    Raises:
        ValueError: If no way has both a perplexity and an area.
    """
    areas = Areas(stored["areas"])
    models = {name: points(stored, narrow=narrow) for narrow, name in MODELS.items()}
    found = {
        name: [_choice(point, choices, areas) for point in choices]
        for name, choices in models.items()
        if choices
    }
    if not found:
        raise ValueError("ways must have areas before the page is written, not lack them")
    return data_page(
        _TEMPLATE,
        {
            "about": (
                f"The perplexity of {stored['model']} on the {stored['text']}, weights and activations "
                "quantized, against the area that computes a product: that of the dot-product unit, and "
                "1/(N R) of that of the quantizer of the activations. The perplexities are of float32 sums; "
                "the choice of sums moves the cost alone."
            ),
            "library": LIBRARY,
            "most_reuse": max(REUSES),
            "sums": list(QUALITY_ACCUMULATES),
            "models": found,
        },
    )


def _choice(point: Point, choices: list[Point], areas: Areas) -> dict[str, Any]:
    row = point.row
    units = {name: areas.dot(row["scale"], row["block_size"], name) for name in QUALITY_ACCUMULATES}
    return {
        "label": point.label,
        "scale": row["scale"],
        "block_size": row["block_size"],
        # An area decides who costs no more, so that none of its digits is dropped.
        "units": {name: None if unit is None else unit[0] for name, unit in units.items()},
        "quantizer": point.quantizer,
        "perplexity": _short(row["perplexity"]),
        "loss": _percent(point.loss),
        # How much higher the perplexity of each other choice is.
        "against": [_percent(paired_difference(row, other.row)) for other in choices],
    }


def _percent(estimate: Estimate) -> list[float]:
    return [_short(value) for value in percent(estimate)]


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
