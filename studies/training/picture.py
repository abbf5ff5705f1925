"""The picture of training, made of stored runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

from ..pictures import svg_figure
from ..records import StoredRecord
from .runs import TrainingRuns
from .ways import FLOAT, Way

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PICTURE", "draw"]

PICTURE: Final = "training.svg"

_PANEL: Final = (3.4, 3.1)
_IN_A_ROW: Final = 3
_COLOURS: Final = ("tab:blue", "tab:red", "tab:green", "tab:purple", "tab:orange", "tab:brown")


def _panels(runs: TrainingRuns) -> dict[str, list[Way]]:
    """Return the ways of each panel that were trained, by its title."""
    one_byte = [way for way in runs.rows if way.element not in (None, "e2m1") and way.accumulate is None]
    found = {
        "one byte, weights and gradients": [way for way in one_byte if not way.activations],
        "one byte, activations too": [way for way in one_byte if way.activations],
        "FP4, activations too": [way for way in runs.rows if way.element == "e2m1" and way.activations],
        "sums, e4m3": [way for way in runs.rows if way.accumulate is not None],
    }
    return {title: ways for title, ways in found.items() if ways}


def draw(stored: StoredRecord, path: Path) -> None:
    """Draw the loss above that of float32 against the step, a panel for each kind of way.

    The lines are means over the seeds, and the bands reach from the lowest to the highest. The same results
    give the same bytes.

    Args:
        stored: The stored rows.
        path: The SVG file, replaced where there is one.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
        ValueError: If float32 was not trained from two seeds at least.
    """
    runs = TrainingRuns(stored)
    panels = _panels(runs)
    rows = math.ceil((1 + len(panels)) / _IN_A_ROW)
    with svg_figure(path, _PANEL[0] * _IN_A_ROW, _PANEL[1] * rows) as figure:
        places = figure.subplots(rows, _IN_A_ROW, squeeze=False).ravel()
        first, *others = places[: 1 + len(panels)]
        for unused in places[1 + len(panels) :]:
            unused.set_axis_off()
        _band(first, stored, [row["training"] for row in runs.rows[FLOAT]], "tab:gray", "float32, trained on")
        _band(first, stored, [row["held_out"] for row in runs.rows[FLOAT]], "black", "float32, held out")
        first.set_title("float32", fontsize=9)
        first.set_ylabel("loss [nats a character]", fontsize=8)
        for ax, (title, ways) in zip(others, panels.items(), strict=True):
            for way, colour in zip(ways, _COLOURS, strict=False):
                _band(ax, stored, _above(runs, way), colour, _named(way))
            ax.axhline(0.0, color="black", linewidth=0.8)
            ax.set_title(title, fontsize=9)
            ax.set_ylabel("held out, above float32 [%]", fontsize=8)
        for ax in (first, *others):
            ax.set_xlabel("step", fontsize=8)
            ax.grid(visible=True, color="0.9", linewidth=0.6)
            ax.legend(fontsize=6, frameon=False)


def _above(runs: TrainingRuns, way: Way) -> list[list[float]]:
    """Return by how many per cent the held-out loss is above that of float32, of each seed at each point."""
    return [
        [100 * (loss / base - 1) for loss, base in zip(row["held_out"], plain["held_out"], strict=True)]
        for row, plain in zip(runs.rows[way], runs.rows[FLOAT], strict=True)
    ]


def _band(
    ax: "Axes", stored: StoredRecord, curves: Sequence[Sequence[float]], colour: str, name: str
) -> None:
    points = list(zip(*curves, strict=True))
    steps = [stored["steps"] * (k + 1) / len(points) for k in range(len(points))]
    ax.plot(steps, [fmean(point) for point in points], color=colour, linewidth=1.2, label=name)
    ax.fill_between(
        steps, [min(point) for point in points], [max(point) for point in points], color=colour, alpha=0.15,
        linewidth=0,
    )  # fmt: skip


def _named(way: Way) -> str:
    return way.label.replace(", activations too", "")
