"""Differences in area component by component, as stored results have them, and which of two ways decides."""

from typing import Any, Final

from blockdot.lab.cost.attribution import Attribution

from .intervals import rounded_interval

__all__ = ["attributed_decides", "attribution_record"]

_CELLS: Final = 8
"""The cells that are stored: those of which there are most more or fewer."""


def attribution_record(attribution: Attribution) -> dict[str, Any]:
    """Return what is stored of an attribution: percent of the base unit, and areas in the library's unit."""
    return {
        "agrees": attribution.agrees,
        "relative": rounded_interval(attribution.relative),
        "across": rounded_interval(attribution.across_relative),
        "across_area": rounded_interval(attribution.across),
        "whole_area": rounded_interval(attribution.whole.absolute),
        "parts": {
            part.role: rounded_interval(part.area) for part in attribution.parts if any(part.area.values)
        },
        "cells": {name: round(more, 1) for name, more in attribution.cells[:_CELLS]},
    }


def attributed_decides(row: dict[str, Any]) -> bool:
    """Return whether the attributed difference of a stored row decides: where both ways agree.

    Else the whole does, because a component alone cannot share gates with its neighbours.
    """
    return "attribution" in row and bool(row["attribution"]["agrees"])
