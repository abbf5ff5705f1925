"""Which choices are on the front, by library and by what a product is charged for."""

from ..quantizer_cost.page import REUSES
from ..records import StoredRecord
from .points import (
    COSTS,
    LIBRARY,
    MODELS,
    QUALITY_ACCUMULATES,
    Cost,
    cost_unit,
    front_places,
    libraries,
    points,
)

__all__ = ["priced_kinds", "reuses_on_front"]


def priced_kinds(stored: StoredRecord) -> list[tuple[str, Cost]]:
    """Return each library with each kind of cost that was measured in it, the picture's first.

    Where a choice of the picture has no cost yet, a front would be another for that alone: such a kind is
    left out.
    """
    wanted = _priced(stored, LIBRARY, "area")
    return [
        (library, cost)
        for library in libraries(stored)
        for cost in COSTS
        if cost_unit(stored, library, cost)
        and ((library, cost) == (LIBRARY, "area") or wanted <= _priced(stored, library, cost))
    ]


def _priced(stored: StoredRecord, library: str, cost: Cost) -> set[tuple[int, str, str]]:
    """Return which choices have a cost, by the width of the model, how is added, and name."""
    return {
        (narrow, accumulate, point.label)
        for narrow in MODELS
        for accumulate in QUALITY_ACCUMULATES
        for point in points(stored, narrow=narrow, accumulate=accumulate, library=library, cost=cost)
    }


def reuses_on_front(stored: StoredRecord, narrow: int, library: str, cost: Cost) -> dict[str, list[int]]:
    """Return of each choice that is on a front of binary32 sums at which reuses it is, cheapest first.

    Args:
        stored: The stored rows.
        narrow: The width of the model.
        library: The cell library.
        cost: What a product is charged for.
    """
    choices = points(stored, narrow=narrow, library=library, cost=cost)
    choices.sort(key=lambda point: point.cost(REUSES[-1]))
    found = {reuse: front_places(choices, reuse) for reuse in REUSES}
    named = {
        point.label: [reuse for reuse, places in found.items() if places[k] == "front"]
        for k, point in enumerate(choices)
    }
    return {label: reuses for label, reuses in named.items() if reuses}
