"""The picture of ``docs/wires.md``: the unit of 16 elements under both scale formats, placed and routed.

The command, which `make wires-picture` is::

    python -m studies.wires.draw

draws each unit's first netlist on the built-in library, placed from seed 1. It needs qrouter.
"""

import argparse
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.lab.cost.placed_cost import PLACED_RECIPE
from blockdot.lab.cost.unit_layout import lay_out_units
from blockdot.lab.reports.layout_picture import layout_records
from blockdot.lab.unit_choices import UnitChoices
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.recipes import choose

from ..commands import exit_code_of

__all__ = ["main", "side_by_side"]

WRITTEN: Final = Path("docs/layouts.svg")

BLOCK_SIZE: Final = 16
_SIDE: Final = 480
_ABOVE: Final = 24
_LINE: Final = 22
_ENTRY: Final = 160


def side_by_side(records: Sequence[dict[str, Any]]) -> str:
    """Return layouts beside each other as one picture, with what their colours mean below."""
    colours: dict[str, str] = {}
    for record in records:
        colours |= record["colours"]
    width = _SIDE * len(records)
    across = max(1, width // _ENTRY)
    height = _ABOVE + _SIDE + _LINE * -(-len(colours) // across) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="layouts of {", ".join(record["unit"] for record in records)}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, record in enumerate(records):
        wires = "routed" if record["routed"] else "estimated"
        parts.append(f'<text x="{place * _SIDE + 8}" y="17">{escape(record["unit"])}, {wires} wires</text>')
        at = f'<svg x="{place * _SIDE}" y="{_ABOVE}" width="{_SIDE}" height="{_SIDE}" '
        parts.append(record["svg"].replace("<svg ", at, 1))
    for place, (role, colour) in enumerate(colours.items()):
        x, y = place % across * _ENTRY + 8, _ABOVE + _SIDE + place // across * _LINE + 4
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 11}">{escape(role)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the picture and return the exit code."""
    argparse.ArgumentParser(prog="python -m studies.wires.draw").parse_args(arguments)

    def work() -> None:
        library = neutral()
        (recipe,) = choose([PLACED_RECIPE])
        units = UnitChoices(accumulates=["none"], block_sizes=[BLOCK_SIZE]).units()
        layouts = list(lay_out_units(units, library, geometry_of(library), recipe, routed=True))
        write_whole(WRITTEN, side_by_side(layout_records(layouts)))

    return exit_code_of("wires", work)


if __name__ == "__main__":
    sys.exit(main())
