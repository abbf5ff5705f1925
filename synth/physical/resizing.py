"""Sizes chosen again after placement, when the wires are known.

A recipe sizes gates for the loads of pins alone, as it knows no wires. Here each gate may become another cell
of the library with the same pins and the same function. Flip-flops stay, and no buffer is added or taken
away. There are two kinds of rounds:

1. Of each gate with little slack that size is found with which the slacks around it are best. Many such
   exchanges are made at once, none of them beside another. A round may make the period longer, as the next
   one can make up for it, but then fewer exchanges are made in each that follows. Of all rounds the netlist
   with the shortest period counts.
2. Gates become smaller, most of them again, where at least half of the slack around them is left. A round
   that makes the period longer is taken back, and half of its exchanges are tried instead.

Each round is timed by the rules of `static_timing.analyse`, with the wires as they were placed. The cells'
widths change, so whoever calls this has to place them again, and to time what comes of that.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from ..cell_models import CellModels
from ..liberty import CellFunction, Library, LibraryCell
from ..mapped_netlist import MappedNetlist
from ..net_slacks import NetSlacks
from ..static_timing import analyse
from ..wire_loads import WireLoads

__all__ = ["RESIZING_VERSION", "resized", "sizes_of"]

RESIZING_VERSION: Final = 1
"""Goes up with every change to what sizes are chosen; part of a cache's key."""

Sizes = Mapping[str, tuple[str, ...]]
"""The cells that each gate may be exchanged for, itself among them, the smallest first."""

# A gate of more inputs is none that comes in several sizes.
_MOST_INPUTS: Final = 6
# A gate with less slack than this part of the period is tried in other sizes; with more than the other part
# it may become smaller.
_LITTLE: Final = 0.01
_ENOUGH: Final = 0.0015
# What is left of the share of exchanges that are made after a round without gain, and where that ends.
_LESS: Final = 0.7
_LEAST_SHARE: Final = 0.02
_ROUNDS: Final = 40
_SMALLER_ROUNDS: Final = 12
# A shorter period is one that is shorter by more than rounding.
_LEAST_GAIN: Final = 1e-6
# Periods that are reckoned in another order of additions.
_ROUNDING: Final = 1e-9


def sizes_of(library: Library, placeable: Collection[str]) -> Sizes:
    """Return the cells that each gate of a library may be exchanged for, itself among them, smallest first.

    Args:
        library: The library.
        placeable: The cells that have a geometry.
    """
    alike: dict[object, list[LibraryCell]] = {}
    for cell in library.cells.values():
        if (
            cell.kind == "gate"
            and cell.usable
            and cell.name in placeable
            and len(cell.inputs) <= _MOST_INPUTS
            and cell.area > 0
        ):
            alike.setdefault(_behaviour(cell), []).append(cell)
    found: dict[str, tuple[str, ...]] = {}
    for cells in alike.values():
        names = tuple(cell.name for cell in sorted(cells, key=lambda one: (one.area, one.name)))
        found |= dict.fromkeys(names, names)
    return found


def _behaviour(cell: LibraryCell) -> object:
    """Return what the same cells in other sizes have too: their pins, and each output's truth table."""
    pins = sorted(cell.inputs)
    rows = range(1 << len(pins))
    columns = {pin: sum(1 << row for row in rows if row >> place & 1) for place, pin in enumerate(pins)}
    every = (1 << len(rows)) - 1
    tables = sorted((pin, CellFunction(text).evaluate(columns, every)) for pin, text in cell.functions)
    return tuple(pins), tuple(tables)


def resized(netlist: MappedNetlist, models: CellModels, wires: WireLoads, sizes: Sizes) -> MappedNetlist:
    """Return a netlist with sizes chosen for its wires; its period with these is not longer.

    Args:
        netlist: The netlist.
        models: Its library.
        wires: Its wires.
        sizes: What `sizes_of` returned.

    Raises:
        RuntimeError: If the period is not what static timing of the whole says.
    """

    def timed(exchanges: Mapping[int, str], before: MappedNetlist) -> NetSlacks:
        instances = list(before.instances)
        for place, cell in exchanges.items():
            instances[place] = replace(instances[place], cell=cell)
        return NetSlacks(replace(before, instances=tuple(instances)), models, wires)

    slacks = best = timed({}, netlist)
    share = 1.0
    for _ in range(_ROUNDS):
        exchanges = _apart(slacks, _faster(slacks, sizes))
        if not exchanges or share < _LEAST_SHARE:
            break
        slacks = timed(dict(exchanges[: math.ceil(share * len(exchanges))]), slacks.netlist)
        if slacks.period < best.period * (1 - _LEAST_GAIN):
            best = slacks
        else:
            share *= _LESS
    slacks, share = best, 1.0
    for _ in range(_SMALLER_ROUNDS):
        exchanges = _apart(slacks, _smaller(slacks, sizes, models.library))
        count = math.ceil(share * len(exchanges))
        if not count:
            break
        made = timed(dict(exchanges[:count]), slacks.netlist)
        if made.period <= slacks.period:
            slacks = made
        elif count > 1:
            share /= 2
        else:
            break
    period = slacks.period * models.library.time_unit_ps
    whole = analyse(slacks.netlist, models, wires).period
    if abs(whole - period) > _ROUNDING * whole:
        raise RuntimeError(
            f"the period must be that of the whole netlist, {whole:.6f} ps, not {period:.6f} ps"
        )
    return slacks.netlist


Exchange = tuple[float, int, str]
"""What an exchange gains, and the place and the cell."""


def _faster(slacks: NetSlacks, sizes: Sizes) -> list[Exchange]:
    """Return the best exchange of each gate with little slack."""
    little = _LITTLE * slacks.period
    found: list[Exchange] = []
    for place in slacks.order:
        own = slacks.netlist.instances[place].cell
        several = sizes.get(own, ())
        if len(several) < 2 or all(slacks.slack(net) > little for net in slacks.driven(place)):
            continue

        def missing(cell: str, place: int = place) -> float:
            return sum(max(0.0, little - slack) for slack in slacks.slacks_with(place, cell))

        now = missing(own)
        gain, cell = max((now - missing(cell), cell) for cell in several if cell != own)
        if gain > _LEAST_GAIN * slacks.period:
            found.append((gain, place, cell))
    return found


def _smaller(slacks: NetSlacks, sizes: Sizes, library: Library) -> list[Exchange]:
    """Return the smallest cell for each gate that has enough slack, and leaves half of that around it."""
    enough = _ENOUGH * slacks.period
    found: list[Exchange] = []
    for place in slacks.order:
        own = slacks.netlist.instances[place].cell
        area = library.cells[own].area
        smaller = [cell for cell in sizes.get(own, ()) if library.cells[cell].area < area]
        if not smaller or any(slacks.slack(net) < enough for net in slacks.driven(place)):
            continue
        now = slacks.slacks_with(place, own)
        for cell in smaller:
            then = slacks.slacks_with(place, cell)
            if all(
                after >= min(before, max(enough, before / 2)) for before, after in zip(now, then, strict=True)
            ):
                found.append((area - library.cells[cell].area, place, cell))
                break
    return found


def _apart(slacks: NetSlacks, exchanges: Iterable[Exchange]) -> list[tuple[int, str]]:
    """Return exchanges of which none has to do with another, those that gain most first."""
    locked: set[int] = set()
    chosen: list[tuple[int, str]] = []
    for _, place, cell in sorted(exchanges, key=lambda one: (-one[0], one[1])):
        near = slacks.near(place)
        if not near & locked:
            locked |= near
            chosen.append((place, cell))
    return chosen
