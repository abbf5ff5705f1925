"""The picture of quality against cost: perplexity against area, for each model and reuse."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..pictures import svg_figure
from ..quantizer_cost.page import REUSES
from ..records import StoredRecord
from .points import (
    LIBRARY,
    MODELS,
    QUALITY_SCALES,
    Point,
    front_places,
    methods_text,
    percent,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["PICTURE", "draw"]

PICTURE: Final = "quality-against-cost.svg"
_COLOURS: Final = {"ue4m3": "tab:blue", "ue5m3": "tab:red", "ue8m0": "tab:green"}
# By how scales of weights and of activations are chosen.
_MARKERS: Final = {
    ("absmax", "absmax"): "o",
    ("four_over_six", "absmax"): "D",
    ("four_over_six", "four_over_six"): "^",
    ("prevent_zero", "prevent_zero"): "s",
    ("floor", "floor"): "v",
}
_PANEL: Final = (2.9, 3.0)


def draw(stored: StoredRecord, path: Path) -> bool:
    """Draw perplexity against cost, a row for each model and a panel for each reuse.

    The same results give the same bytes.

    Args:
        stored: The stored rows.
        path: The SVG file, replaced where there is one.

    Returns:
        Whether there was anything to draw.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    found = {narrow: points(stored, narrow=narrow) for narrow in MODELS}
    models = [narrow for narrow, choices in found.items() if choices]
    if not models:
        return False
    with svg_figure(path, _PANEL[0] * len(REUSES), _PANEL[1] * len(models) + 1.0) as figure:
        grid = figure.subplots(len(models), len(REUSES), sharex="col", sharey="row", squeeze=False)
        legend = [_mark(scale, marker, name) for scale, marker, name in _drawn(found)]
        for narrow, line in zip(models, grid, strict=True):
            for reuse, ax in zip(REUSES, line, strict=True):
                _panel(ax, found[narrow], reuse)
                if narrow == models[0]:
                    ax.set_title(f"R = {reuse}")
            line[0].set_ylabel(f"perplexity above the model's [%]\n{MODELS[narrow]}", fontsize=8)
        figure.supxlabel(
            f"area for each product, with 1/(N R) of a quantizer [NAND2, {LIBRARY}]; "
            "the number at a point is the block size",
            fontsize=9,
        )
        figure.legend(handles=legend, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return True


def _drawn(found: Mapping[int, Sequence[Point]]) -> Iterator[tuple[str, str, str]]:
    """Yield the scale format, the marker and the name of each kind of point, once."""
    kinds = {
        (point.row["scale"], point.row["method"], point.row["activation_method"])
        for choices in found.values()
        for point in choices
    }
    for scale in QUALITY_SCALES:
        for (method, activation_method), marker in _MARKERS.items():
            if (scale, method, activation_method) in kinds:
                yield scale, marker, f"{scale} {methods_text(method, activation_method)}"


def _mark(scale: str, marker: str, name: str) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=_COLOURS[scale], marker=marker, markersize=5.5, linestyle="none", label=name)


def _panel(ax: "Axes", choices: Sequence[Point], reuse: int) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    found = front_places(choices, reuse)
    front = sorted(
        ((point.cost(reuse), percent(point.loss)[0]) for point, place in zip(choices, found, strict=True)
         if place == "front")
    )  # fmt: skip
    ax.step(*zip(*front, strict=True), where="post", color="0.45", linewidth=1.0, zorder=1)
    for point, place in zip(choices, found, strict=True):
        row = point.row
        mean, low, high = percent(point.loss)
        colour = _COLOURS[row["scale"]]
        ax.errorbar(
            [point.cost(reuse)],
            [mean],
            yerr=[[mean - low], [high - mean]],
            color=colour,
            marker=_MARKERS[row["method"], row["activation_method"]],
            markersize=5.5,
            markerfacecolor=colour if place == "front" else "none",
            alpha=0.35 if place == "beaten" else 1.0,
            linestyle="none",
            elinewidth=0.7,
            zorder=2,
        )
        ax.annotate(
            str(row["block_size"]), (point.cost(reuse), mean), xytext=(4, 3), textcoords="offset points",
            fontsize=6, color=colour, alpha=0.5 if place == "beaten" else 1.0,
        )  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(visible=True, which="both", color="0.9", linewidth=0.6)
    ax.margins(x=0.12, y=0.08)
