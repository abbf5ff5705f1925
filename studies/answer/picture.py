"""The picture of the answer: the error of each way to choose scales against area."""

from pathlib import Path
from typing import Final

from blockdot.model.accumulate import ACCUMULATIONS

from ..pictures import svg_figure
from .answer_rows import AnswerRow, areas, selection

__all__ = ["draw_answer"]

_COLOURS: Final = {"ue4m3": "tab:blue", "ue5m3": "tab:red", "ue4m4": "tab:green", "ue8m0": "tab:purple"}
# The plain way first; what helps a format along is hollow.
_MARKERS: Final = ("o", "s", "^", "D")
_PANEL: Final = (3.4, 3.6)


def draw_answer(stored: AnswerRow, path: Path) -> bool:
    """Draw the picture, as SVG; the same results give the same bytes.

    A panel for each accumulation, its units those of the first library at their least depth. A line joins the
    block sizes of one way to choose scales.

    Args:
        stored: What `measure_answer` returned.
        path: Where to put it, replaced where there is one.

    Returns:
        Whether there was anything to draw.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    found = areas(stored)
    shown = [
        one
        for one in ACCUMULATIONS
        if any((error["scale"], error["block_size"], one) in found for error in stored["errors"])
    ]
    if not shown:
        return False
    ways = list(dict.fromkeys((error["scale"], selection(error)) for error in stored["errors"]))
    of_scale = {scale: [way for way in ways if way[0] == scale] for scale, _ in ways}
    with svg_figure(path, _PANEL[0] * max(len(shown), 2), _PANEL[1] + 1.0) as figure:
        axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for accumulate, ax in zip(shown, axes, strict=True):
            points = {
                (error["block_size"], error["mse"], found[key], error["scale"], selection(error))
                for error in stored["errors"]
                if (key := (error["scale"], error["block_size"], accumulate)) in found
            }
            for scale, how in ways:
                rank = of_scale[scale].index((scale, how))
                own = sorted(point for point in points if point[3:] == (scale, how))
                ax.plot(
                    [area for _, _, area, *_ in own],
                    [mse for _, mse, *_ in own],
                    color=_COLOURS[scale],
                    marker=_MARKERS[rank],
                    markersize=5 + 2 * rank,
                    markerfacecolor="none" if rank else _COLOURS[scale],
                    linewidth=0.9,
                    label=f"{scale}, {how}",
                )
            # The sizes, once each, under the lowest of their points.
            for size in sorted({size for size, *_ in points}):
                _, mse, area, *_ = min(point for point in points if point[0] == size)
                ax.annotate(
                    f"N={size}", (area, mse), (0, -13), textcoords="offset points", ha="center", fontsize=8
                )
            ax.set_title(accumulate)
            ax.set_xlabel("area for each product [NAND2]")
            ax.grid(visible=True, color="0.88", linewidth=0.7)
            ax.margins(x=0.12, y=0.12)
        axes[0].set_ylabel("MSE / sigma²")
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
        )
    return True
