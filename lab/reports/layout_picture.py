"""Layouts as pictures: cells in the colour of their component, and the wires above them, as SVG.

All pictures of a library have one scale, so that what is larger looks larger. A wire of a Steiner tree is
drawn level at its first end and upright at the other; a routed one is drawn as it runs. The same layout gives
the same bytes.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..cost.components import REST
from ..cost.unit_layout import UnitLayout

__all__ = ["COMPONENT_COLOURS", "component_colours", "layout_records"]

COMPONENT_COLOURS: Final = (
    "#4e9bd6", "#f0883e", "#5bb56f", "#d9607a", "#a182d3", "#c9a227", "#45b8b0", "#b07d62", "#dd8bc6",
)  # fmt: skip
"""The colours of components in their order, the first again after the last."""

_REST_COLOUR: Final = "#9aa0a8"
# The longest side of the largest core, in a picture's units.
_EXTENT: Final = 4000


def component_colours(layouts: Iterable[UnitLayout]) -> dict[str, str]:
    """Return a colour for each component of all layouts, by name; the unit's own logic is grey."""
    roles = sorted({role for layout in layouts for role in layout.components} - {REST})
    colours = dict(zip(roles, itertools.cycle(COMPONENT_COLOURS), strict=False))
    return colours | {REST: _REST_COLOUR}


def layout_records(layouts: Sequence[UnitLayout]) -> list[dict[str, Any]]:
    """Return each layout as JSON: library and unit, whether it is routed, its picture, what colours mean."""
    if not layouts:
        return []
    colours = component_colours(layouts)
    cores = {layout.library: 0.0 for layout in layouts}
    for layout in layouts:
        core = layout.estimate.placement.core
        cores[layout.library] = max(cores[layout.library], core.width, core.height)
    return [
        {
            "library": layout.library,
            "unit": layout.unit.name,
            "routed": layout.routed is not None,
            "colours": {role: colour for role, colour in colours.items() if role in layout.components},
            "svg": "".join(_picture(layout, colours, _EXTENT / cores[layout.library])),
        }
        for layout in layouts
    ]


def _picture(layout: UnitLayout, colours: Mapping[str, str], scale: float) -> Iterator[str]:
    wires = layout.routed or layout.estimate
    placement = wires.placement
    core = placement.core
    width, height = round(core.width * scale), round(core.height * scale)
    # Ports and routes are outside of the core too.
    margin = 60
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-margin} {height - _EXTENT - margin} '
        f'{_EXTENT + 2 * margin} {_EXTENT + 2 * margin}" role="img" '
        f'aria-label="layout of {layout.unit.name}">'
    )
    yield f'<rect width="{width}" height="{height}" fill="var(--paper,#fff)" stroke="#888" stroke-width="6"/>'
    high = round(core.geometry.row_height * scale)
    boxes: dict[str, list[str]] = {}
    corners = (placement.corners * scale).round().astype(int).tolist()
    sides = (placement.widths * core.geometry.site_width * scale).round().astype(int).tolist()
    for role, (x, y), side in zip(layout.components, corners, sides, strict=True):
        # A hair of the paper stays between cells.
        boxes.setdefault(role, []).append(f"M{x + 2} {height - y - 2}h{side - 4}v{4 - high}H{x + 2}z")
    for role, colour in colours.items():
        if role in boxes:
            yield f'<path fill="{colour}" d="{"".join(boxes[role])}"><title>{role}</title></path>'
    pieces: list[str] = []
    for wire in wires.nets.values():
        points = [(round(x * scale), round(height - y * scale)) for x, y in wire.tree.points]
        for a, b in wire.tree.edges:
            (x, y), (right, low) = points[a], points[b]
            across, up = (f"h{right - x}" if right != x else ""), (f"v{low - y}" if low != y else "")
            if across or up:
                pieces.append(f"M{x} {y}{across}{up}")
    yield (
        f'<path d="{"".join(pieces)}" fill="none" stroke="var(--ink,#1a1c20)" stroke-opacity=".45" '
        'stroke-width="3"/></svg>'
    )
