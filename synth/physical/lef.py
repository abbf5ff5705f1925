"""LEF files: the sizes and pins of cells, and the layers that wires run on.

Of the Library Exchange Format (LEF/DEF 5.8 Language Reference) this reads what placement and wires need:
sites, routing layers and the vias between them, and of each macro its size, site and pins. Every statement
is split off, so that a broken file is refused; those that are not needed are skipped. Packages that read LEF
were tried first: ``sc-leflib`` 0.5.2 leaves out the capacitance and resistance of layers and prints its
errors, ``lefdef`` 0.6.0 the same, and both are compiled.

Lengths are in microns, capacitances in fF, resistances in ohm.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = [
    "Direction",
    "LefError",
    "LefFile",
    "LefLayer",
    "LefMacro",
    "LefPin",
    "LefSite",
    "LefVia",
]

Direction = Literal["horizontal", "vertical"]
"""Which way the wires of a layer run."""

_DEFAULT_MICRONS: Final = 1000


class LefError(ValueError):
    """A LEF file is broken; the message gives the line and the rule."""


@dataclass(frozen=True)
class LefSite:
    """Where a cell may stand.

    Attributes:
        name: Its name.
        width: Its width.
        height: Its height: that of a row.
    """

    name: str
    width: float
    height: float


@dataclass(frozen=True)
class LefLayer:
    """A layer that wires run on.

    Attributes:
        name: Its name.
        direction: Which way they run.
        pitch: How far apart they are.
        width: How wide they are.
        spacing: How far apart their edges must be.
        capacitance: Of a micron of wire, in fF: its area and its two edges; None where the file tells none.
        resistance: Of a micron of wire, in ohm; None where the file tells none.
    """

    name: str
    direction: Direction
    pitch: float
    width: float
    spacing: float
    capacitance: float | None
    resistance: float | None


@dataclass(frozen=True)
class LefVia:
    """What leads from one layer to another, where nothing else is said.

    Attributes:
        name: Its name.
        sizes: How wide and how high it is on each layer.
        resistance: In ohm; None where the file tells none.
    """

    name: str
    sizes: dict[str, tuple[float, float]]
    resistance: float | None


@dataclass(frozen=True)
class LefPin:
    """A pin of a cell.

    Attributes:
        place: Its middle, seen from the cell's lower left corner: the centre of gravity of its shapes.
        layers: The layers that it has shapes on.
        signal: Whether it is neither power nor ground.
    """

    place: tuple[float, float]
    layers: frozenset[str]
    signal: bool


@dataclass(frozen=True)
class LefMacro:
    """A cell.

    Attributes:
        name: Its name.
        width: Its width.
        height: Its height.
        site: Its site; None where the file names none.
        core: Whether it stands in rows.
        pins: Its pins by name; those without a shape are left out.
    """

    name: str
    width: float
    height: float
    site: str | None
    core: bool
    pins: dict[str, LefPin]


@dataclass
class LefFile:
    """What one file says, each thing by its name.

    Attributes:
        name: The file's name, without its folder.
        sha256: The SHA-256 of its contents, in hexadecimal.
        microns: How many database units there are in a micron.
        sites: Its sites.
        layers: Its routing layers, lowest first.
        vias: Its default vias.
        macros: Its cells.
    """

    name: str
    sha256: str
    microns: int = _DEFAULT_MICRONS
    sites: dict[str, LefSite] = field(default_factory=dict)
    layers: dict[str, LefLayer] = field(default_factory=dict)
    vias: dict[str, LefVia] = field(default_factory=dict)
    macros: dict[str, LefMacro] = field(default_factory=dict)
