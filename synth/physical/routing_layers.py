"""The layers that a router may use: those above the cells' pins, and the vias that lead up to each.

A router works on one grid: its lines are the tracks of the lowest layer of either direction. Layers above
these use every line, every other, and so on, as their pitch says, rounded up. There are `MOST_LAYERS` at
most: the wide ones above are for power and clocks.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from .lef import Direction, LefLayer, LefVia

__all__ = ["EXTRACTED_VIAS", "MOST_LAYERS", "RoutingLayer", "Via", "WireLayer", "routing_layers"]

MOST_LAYERS: Final = 4

EXTRACTED_VIAS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    # OpenROAD-flow-scripts, flow/platforms/sky130hd/setRC.tcl; the LEF has none.
    {"sky130_": {"met1": 9.249146, "met2": 4.5, "met3": 3.368786, "met4": 0.376635}}
)
"""The resistance of vias in ohm, by the beginning of the cells' names and by the layer they lead up to."""


@dataclass(frozen=True)
class WireLayer:
    """Where wires of one direction run.

    Attributes:
        name: The layer.
        pitch: How far apart they are, in database units.
        width: How wide they are, in database units.
        capacitance: Of a micron, in fF.
        resistance: Of a micron, in ohm.
    """

    name: str
    pitch: int
    width: int
    capacitance: float
    resistance: float


@dataclass(frozen=True)
class Via:
    """What leads from one layer to the next.

    Attributes:
        name: Its name.
        below: How wide and how high it is on the lower layer, in database units.
        above: The same on the upper one.
        resistance: In ohm; 0 where nothing tells it.
    """

    name: str
    below: tuple[int, int]
    above: tuple[int, int]
    resistance: float


@dataclass(frozen=True)
class RoutingLayer:
    """A layer that a router may use.

    Attributes:
        wire: Its wires; their pitch is a whole number of the grid's.
        direction: Which way most of them run.
        spacing: How far apart their edges must be, in database units.
        via: What leads up to it, from the layer below or from a cell's pin.
    """

    wire: WireLayer
    direction: Direction
    spacing: int
    via: Via


def routing_layers(
    layers: Iterable[LefLayer],
    wires: Mapping[str, WireLayer],
    vias: Iterable[LefVia],
    pin_layer: str,
    microns: int,
    resistances: Mapping[str, float],
) -> tuple[RoutingLayer, ...]:
    """Return the layers that a router may use, lowest first.

    They end before the first layer without figures, without a via to it, or of the same direction as the one
    below: a router needs two at least, of which none is then left out.

    Args:
        layers: The routing layers of the LEF files above the pins, lowest first.
        wires: The wires of those that have figures, by name.
        vias: The default vias.
        pin_layer: The layer of the cells' pins.
        microns: Database units in a micron.
        resistances: Those of vias by the layer that they lead up to, where they are known better.
    """
    known = list(vias)
    pitches: dict[Direction, int] = {}
    found: list[RoutingLayer] = []
    below = pin_layer
    for layer in layers:
        via = next((one for one in known if {below, layer.name} <= one.sizes.keys()), None)
        if (
            len(found) == MOST_LAYERS
            or layer.name not in wires
            or via is None
            or (found and found[-1].direction == layer.direction)
        ):
            break
        wire = wires[layer.name]
        pitch = pitches.setdefault(layer.direction, wire.pitch)
        steps = math.ceil(wire.pitch / pitch - 1e-9)
        size = {
            name: (round(wide * microns), round(tall * microns)) for name, (wide, tall) in via.sizes.items()
        }
        found.append(
            RoutingLayer(
                WireLayer(wire.name, steps * pitch, wire.width, wire.capacitance, wire.resistance),
                layer.direction,
                round(layer.spacing * microns),
                Via(
                    via.name,
                    size[below],
                    size[layer.name],
                    resistances.get(layer.name, via.resistance or 0.0),
                ),
            )
        )
        below = layer.name
    return tuple(found)
