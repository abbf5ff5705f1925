"""The core that cells are placed in: how large it is, and where ports enter it.

It is as large as the utilisation says, and as high against its width as the aspect. The pins of a unit stand
around it, evenly and in the order of its ports, inputs before outputs, clockwise from the lower left corner.
They may begin at any other corner too. A placer ends at another near optimum for each.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from ..mapped_netlist import MappedNetlist
from .cell_geometry import CellGeometry

__all__ = [
    "ASPECT",
    "CORNERS",
    "UTILISATION",
    "UTILISATIONS",
    "Core",
    "CorePin",
    "PortBit",
    "Side",
    "core_of",
    "require_shape",
]

UTILISATION: Final = 0.7
"""The part of the core that is cells, where nothing is said of it."""

ASPECT: Final = 1.0
"""The core's height over its width, where nothing is said of it."""

UTILISATIONS: Final = (0.1, 0.95)
"""The least and the most of the core that can be cells."""

CORNERS: Final = 4
"""The corners of a core, at each of which its ports may begin."""

_LEAST_ASPECT: Final = 0.2
_MOST_ASPECT: Final = 5.0

Side = Literal["left", "top", "right", "bottom"]
_SIDES: Final[tuple[Side, ...]] = get_args(Side)
PortBit = tuple[str, int]
"""A port and the number of one of its bits."""


class CorePin(NamedTuple):
    """Where a bit of a port enters the core, in database units."""

    x: int
    y: int
    side: Side


@dataclass(frozen=True)
class Core:
    """What cells are placed in.

    Attributes:
        geometry: The cells.
        rows: How many rows there are.
        sites: How many sites each has.
        pins: Where each bit of each port is.
    """

    geometry: CellGeometry
    rows: int
    sites: int
    pins: Mapping[PortBit, CorePin]

    @property
    def width(self) -> int:
        """Its width, in database units."""
        return self.sites * self.geometry.site_width

    @property
    def height(self) -> int:
        """Its height, in database units."""
        return self.rows * self.geometry.row_height

    @property
    def area(self) -> float:
        """Its area, in the unit of the library's areas."""
        return self.rows * self.sites * self.geometry.site_area


def core_of(
    netlist: MappedNetlist,
    geometry: CellGeometry,
    *,
    utilisation: float = UTILISATION,
    aspect: float = ASPECT,
    reserved: int = 0,
    corner: int = 0,
) -> Core:
    """Return the core for a netlist.

    Args:
        netlist: What is to be placed.
        geometry: The geometry of its cells.
        utilisation: The part of the core that is cells.
        aspect: Its height over its width; met as nearly as whole rows do.
        reserved: How many sites there must be for cells that are not placed.
        corner: At which of `CORNERS` the ports begin: 0 at the lower left one, then clockwise.

    Raises:
        ValueError: If a parameter is outside its domain, or a cell has no geometry.
    """
    require_shape(utilisation, aspect)
    if not 0 <= corner < CORNERS:
        raise ValueError(f"corner must be from 0 to {CORNERS - 1}, not {corner}")
    widths = [geometry.shape(instance.cell).width for instance in netlist.instances]
    sites = (sum(widths) // geometry.site_width + reserved) / utilisation
    rows = max(1, round(math.sqrt(sites * geometry.site_width * aspect / geometry.row_height)))
    widest = max(widths, default=0) // geometry.site_width
    across = max(math.ceil(sites / rows - 1e-9), widest, 1)
    bits = [
        (port, bit)
        for ports in (netlist.inputs, netlist.outputs)
        for port, nets in ports.items()
        for bit in range(len(nets))
    ]
    core = Core(geometry, rows, across, {})
    pins = _around(core, len(bits))
    begin = sum(pin.side in _SIDES[:corner] for pin in pins)
    return Core(geometry, rows, across, dict(zip(bits, pins[begin:] + pins[:begin], strict=True)))


def require_shape(utilisation: float, aspect: float) -> None:
    """Raise ValueError unless a core may have that utilisation and that height over its width."""
    least, most = UTILISATIONS
    if not least <= utilisation <= most:
        raise ValueError(f"utilisation must be from {least:g} to {most:g}, not {utilisation:g}")
    if not _LEAST_ASPECT <= aspect <= _MOST_ASPECT:
        raise ValueError(f"aspect must be from {_LEAST_ASPECT:g} to {_MOST_ASPECT:g}, not {aspect:g}")


def _around(core: Core, count: int) -> list[CorePin]:
    """Return evenly spaced places around a core: up its left side, along the top, down and back."""
    width, height = core.width, core.height
    pins: list[CorePin] = []
    # On a track of its layer, where tracks are close enough for each pin to have its own.
    spacing = 2 * (width + height) / max(count, 1)

    def on_track(at: float, pitch: int, end: int) -> int:
        place = (math.floor(at / pitch) + 0.5) * pitch if spacing >= pitch else at
        return min(max(round(place), 0), end)

    level, upright = core.geometry.level.pitch, core.geometry.upright.pitch
    for number in range(count):
        at = (number + 0.5) * spacing
        if at < height:
            pins.append(CorePin(0, on_track(at, level, height), "left"))
        elif at < height + width:
            pins.append(CorePin(on_track(at - height, upright, width), height, "top"))
        elif at < 2 * height + width:
            pins.append(CorePin(width, on_track(2 * height + width - at, level, height), "right"))
        else:
            pins.append(CorePin(on_track(2 * (width + height) - at, upright, width), 0, "bottom"))
    return pins
