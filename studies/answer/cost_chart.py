"""The picture of what the bit costs: a dot with its interval for each unit and library, as SVG."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from blockdot.lab.statistics import difference_text

from ..library_names import short_library_name

__all__ = ["CostBar", "cost_chart"]

_WIDTH: Final = 720
_LABEL: Final = 210  # pixels left of the axis
_RIGHT: Final = 170  # pixels right of it, for the figures
_ROW: Final = 20
_GAP: Final = 22
_TOP: Final = 56
_COLOURS: Final = ("#1f6fb4", "#c03a2b", "#2e8b57", "#7d4fa3", "#8a6d1a")
# A difference far beyond the others has a scale of its own, or the others could not be read.
_APART: Final = 5.0


@dataclass(frozen=True)
class CostBar:
    """A difference in per cent, and its interval.

    Attributes:
        library: Cell library that it was measured on.
        mean: The difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    library: str
    mean: float
    low: float
    high: float


def cost_chart(bars: Mapping[str, Sequence[CostBar]]) -> str:
    """Return the picture, as SVG; the same differences give the same bytes.

    Units whose differences are all large stand apart, with an axis of their own.

    Args:
        bars: For each unit, by what it is called, its difference in each library.
    """
    libraries = list(dict.fromkeys(bar.library for group in bars.values() for bar in group))
    colour = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(libraries)}
    small = {unit: group for unit, group in bars.items() if max(bar.high for bar in group) < _APART}
    large = {unit: group for unit, group in bars.items() if unit not in small}
    lines: list[str] = []
    y = _TOP
    for panel in (small, large):
        if panel:
            y = _panel(lines, panel, colour, y)
    for number, name in enumerate(libraries):
        x = _LABEL + number * 215 - 100
        lines.append(f'<circle cx="{x}" cy="40" r="5" fill="{colour[name]}"/>')
        lines.append(f'<text x="{x + 10}" y="44">{html.escape(short_library_name(name))}</text>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" '
        'font-family="sans-serif" font-size="13" fill="#222">'
    )
    title = "Area that UE5M3 adds to a unit, against UE4M3 (95 % interval)"
    return "\n".join(
        [
            head,
            f"<title>{title}</title>",
            f'<rect width="{_WIDTH}" height="{y}" fill="#fff"/>',
            f'<text x="16" y="22" font-size="15" font-weight="bold">{title}</text>',
            *lines,
            "</svg>\n",
        ]
    )


def _panel(
    lines: list[str], panel: Mapping[str, Sequence[CostBar]], colour: Mapping[str, str], top: int
) -> int:
    """Draw units that share an axis, and return where the next panel may start."""
    found = [bar for group in panel.values() for bar in group]
    step = _step(max(bar.high for bar in found) - min(0.0, *(bar.low for bar in found)))
    first = min(0.0, *(bar.low for bar in found)) // step * step
    last = -(-max(bar.high for bar in found) // step) * step

    def place(value: float) -> float:
        return _LABEL + (value - first) / (last - first) * (_WIDTH - _LABEL - _RIGHT)

    bottom = top + sum(len(group) * _ROW + _GAP for group in panel.values())
    for number in range(round((last - first) / step) + 1):
        value = first + number * step
        x = place(value)
        stroke = "#888" if abs(value) < step / 2 else "#ddd"
        lines.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{stroke}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value:+.4g} %</text>')
    y = top + _GAP / 2
    for unit, group in panel.items():
        middle = y + len(group) * _ROW / 2 + 4
        lines.append(f'<text x="{_LABEL - 14}" y="{middle:.0f}" text-anchor="end">{html.escape(unit)}</text>')
        for bar in group:
            centre, paint = y + _ROW / 2, colour[bar.library]
            lines.append(
                f'<line x1="{place(bar.low):.1f}" y1="{centre:.0f}" x2="{place(bar.high):.1f}" '
                f'y2="{centre:.0f}" stroke="{paint}" stroke-width="3"/>'
            )
            lines.append(f'<circle cx="{place(bar.mean):.1f}" cy="{centre:.0f}" r="5" fill="{paint}"/>')
            lines.append(
                f'<text x="{_WIDTH - _RIGHT + 20}" y="{centre + 4:.0f}" fill="{paint}">'
                f"{difference_text(bar.mean, bar.low, bar.high, 2, '%')}</text>"
            )
            y += _ROW
        y += _GAP
    return bottom + 44


def _step(span: float) -> float:
    """Return a round step that cuts a span into three to seven."""
    power = 10.0 ** (len(f"{int(max(span, 1e-9) * 1e9)}") - 10)
    return next(one * power for one in (0.2, 0.5, 1.0, 2.0, 5.0) if span / (one * power) <= 7)
