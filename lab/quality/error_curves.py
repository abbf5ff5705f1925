"""Error against sigma: what theory expects of several quantizations, as a table and as a picture."""

import importlib.util
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...base.whole_files import whole_file
from .quantization_error import BLOCKS, Expectation, Quantization, expect

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PICTURE_SUFFIXES",
    "ErrorCurves",
    "ErrorPoint",
    "draw_error_curves",
    "require_matplotlib",
    "sigmas_between",
    "tabulate",
]

PICTURE_SUFFIXES: Final = (".png", ".svg")
"""Suffixes of the pictures that `draw_error_curves` writes."""

# Colours that stay apart for the colour-blind (Okabe and Ito), and dashes that stay apart in print.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: Final = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_PANEL: Final = (4.2, 4.2)


@dataclass(frozen=True)
class ErrorPoint:
    """The error that theory expects of one quantization at one sigma."""

    quantization: Quantization
    sigma: float
    expectation: Expectation


@dataclass(frozen=True)
class ErrorCurves:
    """Errors at several sigmas.

    Attributes:
        distribution: Of the values; see `blockdot.model.distributions`.
        points: By quantization, and of each by sigma.
    """

    distribution: str
    points: tuple[ErrorPoint, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat record of each point."""
        return [
            {
                "distribution": self.distribution,
                "element": point.quantization.element,
                "scale": point.quantization.scale,
                "block_size": point.quantization.block_size,
                "method": point.quantization.method,
                "rounding": point.quantization.rounding,
                "sigma": point.sigma,
                "mse": point.expectation.mse,
                "others": point.expectation.others,
                "largest": point.expectation.largest,
                "zero_scale": point.expectation.zero_scale,
                "uncertainty": point.expectation.uncertainty,
                "sampled": point.expectation.sampled,
            }
            for point in self.points
        ]


def sigmas_between(low: float, high: float, per_decade: int) -> list[float]:
    """Return sigmas from `low` to `high`, both included, at equal ratios.

    Raises:
        ValueError: If they are not above zero and ascending, or there are less than one in a decade.
    """
    if not 0 < low < high < np.inf:
        raise ValueError(f"sigmas must ascend between two values above zero, not from {low!r} to {high!r}")
    if per_decade < 1:
        raise ValueError(f"points must be at least 1 a decade, not {per_decade}")
    count = int(np.ceil(np.log10(high / low) * per_decade - 1e-9)) + 1
    return np.geomspace(low, high, count).tolist()


def tabulate(
    quantizations: Sequence[Quantization],
    sigmas: Sequence[float],
    distribution: str = "normal",
    *,
    blocks: int = BLOCKS,
    seed: int = 0,
    sampled: bool = False,
    progress: Callable[[float, float, str], None] | None = None,
) -> ErrorCurves:
    """Compute the expected error of every quantization at every sigma.

    Args:
        quantizations: Without tensor scales, which depend on data.
        sigmas: The standard deviations.
        distribution: Of the values; see `blockdot.model.distributions`.
        blocks: How many blocks are drawn where there is no integral.
        seed: Of what is drawn.
        sampled: Draw even where there is an integral.
        progress: Is told how many points are done, of how many, and which quantization is at work.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    points: list[ErrorPoint] = []
    total = len(quantizations) * len(sigmas)
    for quantization in quantizations:
        for sigma in sigmas:
            if progress:
                progress(len(points), total, quantization.label)
            expectation = expect(sigma, quantization, distribution, blocks=blocks, seed=seed, sampled=sampled)
            points.append(ErrorPoint(quantization, sigma, expectation))
    return ErrorCurves(distribution, tuple(points))


def require_matplotlib() -> None:
    """Raise RuntimeError unless pictures can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise RuntimeError("matplotlib must be installed to draw, and is not: pip install 'blockdot[plot]'")


def draw_error_curves(curves: ErrorCurves, path: Path) -> None:
    """Draw the curves, in two rows of panels that share their axes.

    Above, a panel for each way to choose scales, its lines the block sizes: where a finer block is worse,
    lines cross. Below, a panel for each block size, its lines the ways to choose scales. Dashes tell the
    scale formats in both. Errors of more than 40 times the least are cut off. A band is twice the standard
    error of what was sampled, to either side.

    Args:
        curves: What to draw.
        path: A .png or .svg file, replaced where there is one. The same curves give the same bytes.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
        ValueError: If the suffix is another, or there is nothing to draw.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(f"picture must end in {' or '.join(PICTURE_SUFFIXES)}, not {str(path)!r}")
    if not curves.points:
        raise ValueError("curves must have points to be drawn, not none")
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ways = [point.quantization for point in curves.points]
    scales, sizes, methods = (
        list(dict.fromkeys(getattr(way, name) for way in ways)) for name in ("scale", "block_size", "method")
    )
    dashes = dict(zip(scales, itertools.cycle(_DASHES)))
    rows = (
        _Row("method", methods, "block_size", sorted(sizes), "scales chosen by {}", "N = {}"),
        _Row("block_size", sorted(sizes), "method", methods, "blocks of {}", "{}"),
    )
    with rc_context({"svg.hashsalt": "blockdot", "font.size": 10, "axes.titlesize": 11}):
        width = _PANEL[0] * max(len(methods), len(sizes), 2)
        figure = Figure(figsize=(width, 2 * _PANEL[1] + 1.4), layout="constrained")
        least = min(point.expectation.mse for point in curves.points)
        halves: Any = figure.subfigures(2, 1)
        for part, row in zip(halves, rows, strict=True):
            axes = part.subplots(1, len(row.panels), sharex=True, sharey=True, squeeze=False)[0]
            colours = dict(zip(row.lines, itertools.cycle(_COLOURS)))
            # Lines that lie on each other show as a rim of the lower one.
            widths = dict(zip(row.lines, np.linspace(2.8, 1.4, len(row.lines)).tolist(), strict=True))
            for panel, ax in zip(row.panels, axes, strict=True):
                ax.set_title(row.panel_title.format(panel))
                for line, scale in itertools.product(row.lines, scales):
                    chosen = [
                        point
                        for point in curves.points
                        if getattr(point.quantization, row.panel) == panel
                        and getattr(point.quantization, row.line) == line
                        and point.quantization.scale == scale
                    ]
                    _draw_line(
                        ax, chosen, color=colours[line], linestyle=dashes[scale], linewidth=widths[line]
                    )
                _dress(ax, least)
            axes[0].set_ylabel("MSE / $\\sigma^2$")
            _legend(part, row, colours, dashes)
        elements = ", ".join(dict.fromkeys(way.element for way in ways))
        figure.suptitle(
            f"Error of {elements} blocks, {curves.distribution} data of standard deviation $\\sigma$"
        )
        with whole_file(path) as file:
            kind = path.suffix.lower()[1:]
            figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})


@dataclass(frozen=True)
class _Row:
    """What a row of panels tells apart by panel, and what by line."""

    panel: str
    panels: list[Any]
    line: str
    lines: list[Any]
    panel_title: str
    line_title: str


def _draw_line(ax: "Axes", points: Sequence[ErrorPoint], color: str, **style: Any) -> None:
    sigmas = np.array([point.sigma for point in points])
    mse = np.array([point.expectation.mse for point in points])
    ax.plot(sigmas, mse, color=color, **style)
    spread = np.array([2 * point.expectation.uncertainty * point.expectation.sampled for point in points])
    if spread.any():
        ax.fill_between(sigmas, mse - spread, mse + spread, color=color, alpha=0.2, linewidth=0)


def _dress(ax: "Axes", least: float) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    # What is lost altogether is above; the room is better used where there is something to compare.
    ax.set_ylim(0.8 * least, min(1.2, 40 * least))
    ax.set_xlabel("$\\sigma$")
    ax.grid(visible=True, which="major", color="0.85", linewidth=0.7)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(part: Any, row: _Row, colours: dict[Any, str], dashes: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour, linewidth=2) for colour in colours.values()]
    lines += [Line2D([], [], color="0.3", linestyle=dash, linewidth=1.6) for dash in dashes.values()]
    names = [row.line_title.format(line) for line in colours] + [f"{scale} scales" for scale in dashes]
    part.legend(lines, names, loc="outside right center", frameon=False)
