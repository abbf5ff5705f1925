"""Cell geometry of the built-in library, as a LEF file that is made here.

The library is of no technology, and so is its layout. The unit of length is a column, the distance between
neighbouring transistors of a row (of a real technology: a contacted gate pitch), which stands for a micron in
the file. The built-in library argues a NAND2 as three columns: two transistors beside each other and one for
spacing. Widths follow the areas, which are transistor counts: a NAND2 is `NAND2_SITES` sites of half a column
wide, any other cell as many as its area says, rounded up. A row is `ROW_COLUMNS` high. Pins are spread evenly
over the cell in their order, the output last, at mid height.

Wires: in sky130 a micron has .154 fF between its level and its upright layer, hence a column of .46 um .071
fF, which is .031 of the 2.3 fF at the input of the smallest inverter. That is the `WIRE_LOAD` of a column.
Its resistance is `WIRE_RESISTANCE` of the unit inverter's: .41 ohm against some 5 kohm there.

There are two layers for wires each way, all alike, and vias as wide as a wire.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Final

from ..neutral_library import CELLS, DRIVES, FLIP_FLOP_TRANSISTORS, TAU_PS

__all__ = [
    "NAND2_SITES",
    "ROW_COLUMNS",
    "SITE_COLUMNS",
    "WIRE_LOAD",
    "WIRE_RESISTANCE",
    "neutral_lef_text",
]

SITE_COLUMNS: Final = 0.5
"""The width of a site, in columns."""

NAND2_SITES: Final = 6
"""How many sites a NAND2 of drive 1 is wide."""

ROW_COLUMNS: Final = 6.0
"""The height of a row, in columns."""

WIRE_LOAD: Final = 0.031
"""The capacitance of a column of wire, in input capacitances of a unit inverter."""

WIRE_RESISTANCE: Final = 1e-4
"""The resistance of a column of wire, in that of a unit inverter."""

_PITCH: Final = 0.75
_WIDTH: Final = 0.375
# Half as large as the pitch, so that it can be met.
_PIN_SIDE: Final = 0.375
# The library's file says ps and fF, hence 1 kohm to a tau of 1 ps.
_INVERTER_OHM: Final = TAU_PS * 1000
_FF_PER_PF: Final = 1000
_LAYERS: Final = (
    ("pins", "VERTICAL"),
    ("level", "HORIZONTAL"),
    ("upright", "VERTICAL"),
    ("upper_level", "HORIZONTAL"),
    ("upper_upright", "VERTICAL"),
)


def _layers() -> Iterator[str]:
    """The pins' layer, two for wires each way, and what leads from each to the next."""
    for name, direction in _LAYERS:
        yield f"LAYER {name}"
        yield "  TYPE ROUTING ;"
        yield f"  DIRECTION {direction} ;"
        yield f"  PITCH {_PITCH:g} ;"
        yield f"  WIDTH {_WIDTH:g} ;"
        yield f"  CAPACITANCE CPERSQDIST {WIRE_LOAD / _WIDTH / _FF_PER_PF:.9g} ;"
        yield f"  RESISTANCE RPERSQ {WIRE_RESISTANCE * _INVERTER_OHM * _WIDTH:.9g} ;"
        yield f"END {name}"
        yield ""
    half = _WIDTH / 2
    for (below, _), (above, _) in itertools.pairwise(_LAYERS):
        yield f"VIA {below}_{above} DEFAULT"
        for layer in (below, above):
            yield f"  LAYER {layer} ;"
            yield f"    RECT {-half:g} {-half:g} {half:g} {half:g} ;"
        yield f"END {below}_{above}"
        yield ""


def _macro(name: str, area: float, inputs: tuple[str, ...], output: str) -> Iterator[str]:
    width = math.ceil(area * NAND2_SITES - 1e-9) * SITE_COLUMNS
    yield f"MACRO {name}"
    yield "  CLASS CORE ;"
    yield "  ORIGIN 0 0 ;"
    yield f"  SIZE {width:g} BY {ROW_COLUMNS:g} ;"
    yield "  SYMMETRY X Y ;"
    yield "  SITE column ;"
    pins = (*inputs, output)
    for place, pin in enumerate(pins):
        x = width * (place + 0.5) / len(pins)
        low, high = (ROW_COLUMNS / 2 + side * _PIN_SIDE / 2 for side in (-1, 1))
        yield f"  PIN {pin}"
        yield f"    DIRECTION {'OUTPUT' if pin == output else 'INPUT'} ;"
        yield "    USE SIGNAL ;"
        yield "    PORT"
        yield "      LAYER pins ;"
        yield f"        RECT {x - _PIN_SIDE / 2:.4f} {low:.4f} {x + _PIN_SIDE / 2:.4f} {high:.4f} ;"
        yield "    END"
        yield f"  END {pin}"
    yield f"END {name}"
    yield ""


def neutral_lef_text() -> str:
    """Return the LEF file."""
    lines = ["VERSION 5.7 ;", "UNITS", "  DATABASE MICRONS 1000 ;", "END UNITS", ""]
    lines += [
        "SITE column",
        "  CLASS CORE ;",
        f"  SIZE {SITE_COLUMNS:g} BY {ROW_COLUMNS:g} ;",
        "END column",
        "",
    ]
    lines += _layers()
    for name, design in CELLS.items():
        for drive in DRIVES:
            lines += _macro(f"{name}_X{drive}", design.area(drive), design.inputs, design.output)
    lines += _macro("DFF_X1", FLIP_FLOP_TRANSISTORS / 4, ("D", "CK"), "Q")
    return "\n".join([*lines, "END LIBRARY", ""])
