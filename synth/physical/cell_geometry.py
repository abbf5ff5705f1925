"""What a layout of a library is made of: sites, cells with their pins, and the wires between them.

The files are looked for where those who distribute them put them: PDK managers in ``lef`` and ``techlef``
beside the Liberty's ``lib`` folder, Debian's qflow-tech packages beside the Liberty file itself. The built-in
library has geometry of its own: see `neutral_geometry`.

Wires run level on one layer and upright on another, each the lowest that runs so and is not the layer of the
cells' pins. The capacitance and resistance of a micron are those of the technology LEF, which stand for a
wire without neighbours; where there are figures from extracted layouts (`EXTRACTED`), these count instead.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from ..liberty import Library
from .lef import LefFile, LefLayer, LefMacro, LefSite, LefVia
from .lef_reader import parse_lef, read_lef
from .neutral_geometry import NAND2_SITES, neutral_lef_text
from .routing_layers import EXTRACTED_VIAS, RoutingLayer, WireLayer, routing_layers

__all__ = ["EXTRACTED", "CellGeometry", "CellShape", "find_lef", "geometry_of"]

EXTRACTED: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = MappingProxyType(
    {
        # OpenROAD-flow-scripts, flow/platforms/sky130hd/setRC.tcl: fitted to the extracted wires of six
        # routed designs.
        "sky130_": {
            "met1": (0.172375, 0.8929),
            "met2": (0.136233, 0.8929),
            "met3": (0.214962, 0.1567),
            "met4": (0.148128, 0.1567),
        },
        # The same for gf180, fitted to five. Its LEF has one figure for all layers, without edges.
        "gf180mcu_": {
            "Metal2": (0.135357, 0.385861),
            "Metal3": (0.146141, 0.206673),
            "Metal4": (0.150688, 0.168609),
            "Metal5": (0.155595, 0.0792778),
        },
    }
)
"""Wires as extracted, by the beginning of the cells' names and by layer: fF and ohm of a micron."""

T = TypeVar("T")

# What a micron of wire has in any technology, in fF: both ends of the range with room to spare.
_LEAST_FF: Final = 0.04
_MOST_FF: Final = 1.0

_ENDINGS: Final = ("*.lef", "*.lef.gz", "*.tlef", "*.tlef.gz")


@dataclass(frozen=True)
class CellShape:
    """A cell, in database units.

    Attributes:
        width: Its width, a whole number of sites.
        pins: The middle of each signal pin, seen from its lower left corner.
    """

    width: int
    pins: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class CellGeometry:
    """The geometry of a library.

    Attributes:
        sha256: Hash of all that it is made of; those with the same are equal.
        files: The names of its files.
        source: Where the figures of wires are from: ``LEF`` or ``extracted``.
        length_unit: What a micron of the files is called.
        site: Name of the site.
        site_width: Width of a site, in database units.
        row_height: Height of a row, in database units.
        microns: Database units in a micron.
        level: The layer of level wires.
        upright: The layer of upright wires.
        stack: The layers that a router may use, lowest first; less than two where the files tell too little.
        cells: The cells by name.
        texts: The files' contents by name, where they are made here; empty where they are on the disk.
        site_area: The area of a site, in the unit of the library's areas.
    """

    sha256: str
    files: tuple[str, ...] = field(compare=False)
    source: str = field(compare=False)
    length_unit: str = field(compare=False)
    site: str = field(compare=False)
    site_width: int = field(compare=False)
    row_height: int = field(compare=False)
    microns: int = field(compare=False)
    level: WireLayer = field(compare=False)
    upright: WireLayer = field(compare=False)
    stack: tuple[RoutingLayer, ...] = field(compare=False)
    cells: Mapping[str, CellShape] = field(compare=False, repr=False)
    texts: Mapping[str, str] = field(compare=False, repr=False)
    site_area: float = field(compare=False)

    def shape(self, name: str) -> CellShape:
        """Return a cell.

        Raises:
            ValueError: If the files do not have it.
        """
        if name not in self.cells:
            raise ValueError(f"cell {name} must be in the LEF files ({', '.join(self.files)}), not missing")
        return self.cells[name]


def find_lef(library: Library) -> list[Path]:
    """Return the LEF files that lie beside a library's Liberty files; none where there are none."""
    found: dict[Path, None] = {}
    for source in library.sources:
        folder = source.folder
        if folder is None:
            continue
        if folder.name == "lib" and folder.parent.parent.name == "libs.ref":
            found |= dict.fromkeys(_files(folder.parent / "lef"))
            corners = _files(folder.parent / "techlef")
            nominal = [file for file in corners if "nom" in file.name]
            found |= dict.fromkeys((nominal or corners)[:1])
        else:
            found |= dict.fromkeys(_files(folder))
    return list(found)


def _files(folder: Path) -> list[Path]:
    return sorted(file for ending in _ENDINGS for file in folder.glob(ending))


def geometry_of(library: Library, lef: Sequence[str | os.PathLike[str]] = ()) -> CellGeometry:
    """Return the geometry of a library.

    Args:
        library: The library.
        lef: Its LEF files; those beside its Liberty files where there are none. The built-in one has its own.

    Raises:
        FileNotFoundError: If a file is not there.
        IsADirectoryError: If one is a directory.
        ValueError: If there are no files, one is a broken one, or they do not say all that is needed.
    """
    if library.area_unit == "NAND2":
        text = neutral_lef_text()
        made = parse_lef(text, "neutral.lef")
        return _geometry(library, [made], "LEF", "columns", {"neutral.lef": text})
    files = lef or find_lef(library)
    if not files:
        raise ValueError(
            f"library {library.name} must have LEF files to be placed, beside its Liberty files or given "
            "(--lef), not none"
        )
    return _geometry(library, [read_lef(file) for file in files], "LEF", "um", {})


def _geometry(
    library: Library, files: Sequence[LefFile], source: str, length_unit: str, texts: Mapping[str, str]
) -> CellGeometry:
    names = tuple(file.name for file in files)
    shown = ", ".join(names)
    sites: dict[str, LefSite] = {}
    layers: dict[str, LefLayer] = {}
    vias: dict[str, LefVia] = {}
    macros: dict[str, LefMacro] = {}
    for file in files:
        sites |= file.sites
        layers |= file.layers
        vias |= file.vias
        macros |= file.macros
    cells = {name: macros[name] for name in library.cells if name in macros}
    if not cells:
        raise ValueError(
            f"LEF files must have cells of library {library.name}, such as {library.nand2.name}, "
            f"not none: {shown}"
        )
    site = _site(cells.values(), sites, shown)
    pin_layer = _pin_layer(cells.values())
    microns = max(file.microns for file in files)

    def units(length: float, what: str, step: float = 0.0) -> int:
        if step and abs(length / step - round(length / step)) > 1e-3:
            raise ValueError(f"{what} must be a whole number of {step:g} um, not {length:g} um")
        return round((round(length / step) * step if step else length) * microns)

    known = _of_cells(EXTRACTED, library)
    free = [layer for layer in layers.values() if layer.name != pin_layer]
    wires = {
        direction: _wire_layer(
            next((layer for layer in free if layer.direction == direction), None),
            what,
            known,
            microns,
            shown,
            made=bool(texts),
        )
        for direction, what in (("horizontal", "level wires"), ("vertical", "upright wires"))
    }
    extracted = all(wire.name in known for wire in wires.values())
    above = free[list(layers).index(pin_layer) :] if pin_layer in layers else free
    figures = {layer.name: _figures(layer, known, microns) for layer in above}
    stack = routing_layers(
        above,
        {name: wire for name, wire in figures.items() if wire and (texts or _possible(wire))},
        vias.values(),
        pin_layer,
        microns,
        _of_cells(EXTRACTED_VIAS, library),
    )
    shapes = {
        name: CellShape(
            units(macro.width, f"width of cell {name}", site.width),
            {
                pin: (units(where.place[0], pin), units(where.place[1], pin))
                for pin, where in macro.pins.items()
                if where.signal
            },
        )
        for name, macro in cells.items()
        # What is two rows high is no gate that a recipe would take.
        if abs(macro.height - site.height) < 1e-6
    }
    digest = hashlib.sha256(
        repr((sorted(file.sha256 for file in files), sorted(wires.items()), length_unit)).encode()
    )
    square = site.width * site.height
    return CellGeometry(
        digest.hexdigest(),
        names,
        "extracted" if extracted else source,
        length_unit,
        site.name,
        units(site.width, "width of a site"),
        units(site.height, "height of a site"),
        microns,
        wires["horizontal"],
        wires["vertical"],
        stack,
        shapes,
        texts,
        1 / NAND2_SITES if library.area_unit == "NAND2" else square,
    )


def _site(cells: Iterable[LefMacro], sites: Mapping[str, LefSite], shown: str) -> LefSite:
    """Return the site that most cells stand on."""
    named = Counter(cell.site for cell in cells if cell.site is not None).most_common(1)
    if not named:
        raise ValueError(f"cells of the LEF files must name their SITE, not none: {shown}")
    if named[0][0] not in sites:
        raise ValueError(
            f"LEF files must define the site {named[0][0]} of their cells, as a technology LEF does, "
            f"not leave it out: {shown}"
        )
    return sites[named[0][0]]


def _pin_layer(cells: Iterable[LefMacro]) -> str:
    """Return the layer that most signal pins are on."""
    counts = Counter(
        layer for cell in cells for pin in cell.pins.values() if pin.signal for layer in pin.layers
    )
    return counts.most_common(1)[0][0] if counts else ""


def _wire_layer(
    layer: LefLayer | None,
    what: str,
    known: Mapping[str, tuple[float, float]],
    microns: int,
    shown: str,
    *,
    made: bool,
) -> WireLayer:
    if layer is None:
        raise ValueError(f"LEF files must have a routing layer for {what} above the pins, not none: {shown}")
    wire = _figures(layer, known, microns)
    if wire is None:
        missing = "CAPACITANCE" if layer.capacitance is None else "RESISTANCE"
        raise ValueError(f"layer {layer.name} of the LEF files must have a {missing}, not none: {shown}")
    if not made and not _possible(wire):
        raise ValueError(
            f"capacitance of layer {layer.name} must be from {_LEAST_FF:g} to {_MOST_FF:g} fF a micron with "
            f"its edges, as every wire's is, not {wire.capacitance:.4g}: {shown}"
        )
    return wire


def _figures(layer: LefLayer, known: Mapping[str, tuple[float, float]], microns: int) -> WireLayer | None:
    """Return the wires of a layer; None where nothing tells their capacitance or resistance."""
    capacitance, resistance = known.get(layer.name, (layer.capacitance, layer.resistance))
    if capacitance is None or resistance is None:
        return None
    width, pitch = round(layer.width * microns), round(layer.pitch * microns)
    return WireLayer(layer.name, pitch, width, capacitance, resistance)


def _possible(wire: WireLayer) -> bool:
    return _LEAST_FF <= wire.capacitance <= _MOST_FF


def _of_cells(tables: Mapping[str, Mapping[str, T]], library: Library) -> Mapping[str, T]:
    """Return what is known of the layers of a library, by the beginning of its cells' names."""
    return next((table for start, table in tables.items() if library.nand2.name.startswith(start)), {})
