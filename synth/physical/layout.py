"""A mapped netlist laid out: its core, its cells placed from several seeds, and their wires.

Where it is resized, each placement gets sizes of its own for its wires: see `resizing`. The core then has
room for these, and the cells are placed again from where they stood. That the netlist computes the same as
before is proven each time. Of both layouts the one with the shorter period is kept.
"""

from collections.abc import Sequence

from ..cell_models import CellModels
from ..equivalence import require_equal
from ..gate_netlist import GateNetlist
from ..mapped_netlist import MappedNetlist
from ..static_timing import analyse
from .cell_geometry import CellGeometry
from .clock_tree import clock_buffers
from .core_area import ASPECT, UTILISATION, Core, core_of
from .placement import CellPlacer, Connections
from .resizing import resized, sizes_of
from .wires import Wires, steiner_wires

__all__ = ["lay_out"]


def lay_out(
    netlist: MappedNetlist,
    models: CellModels,
    geometry: CellGeometry,
    placer: CellPlacer,
    *,
    seeds: Sequence[int],
    utilisation: float = UTILISATION,
    aspect: float = ASPECT,
    resize: bool = False,
    corners: int = 1,
) -> list[Wires]:
    """Return the wires of a netlist, placed from each seed anew.

    Args:
        netlist: What is placed.
        models: Its library.
        geometry: The geometry of its cells.
        placer: What places it.
        seeds: Where the placer's random numbers begin, each positive.
        utilisation: The part of the core that is cells, those of the clock's tree among them.
        aspect: The core's height over its width.
        resize: Whether sizes are chosen again for the wires of each placement.
        corners: At how many corners of the core its ports begin. It is placed from each seed with them at
            the first, then at the next.

    Raises:
        ValueError: If a parameter is outside its domain, or a cell has no geometry.
        SynthesisError: If the placer fails, or what it gives is not legal.
    """
    flip_flops = sum(models[instance.cell].clock is not None for instance in netlist.instances)
    buffer = geometry.shape(models.library.driving_cell.name).width // geometry.site_width

    def core_for(sized: MappedNetlist, corner: int) -> Core:
        return core_of(
            sized,
            geometry,
            utilisation=utilisation,
            aspect=aspect,
            reserved=clock_buffers(flip_flops) * buffer,
            corner=corner,
        )

    connections = Connections(netlist, models, geometry)
    found = {
        corner: [
            steiner_wires(connections, placement)
            for placement in placer.place(connections, core_for(netlist, corner), seeds)
        ]
        for corner in range(corners)
    }
    if not resize:
        return [wires for several in found.values() for wires in several]
    sizes = sizes_of(models.library, geometry.cells)

    def again(wires: Wires, corner: int) -> Wires:
        before = wires.loads(models)
        sized = resized(netlist, models, before, sizes)
        one, other = (GateNetlist(each.as_design("unit"), "unit") for each in (netlist, sized))
        require_equal(placer, one, other, models.library, "a netlist with other sizes")
        joined = Connections(sized, models, geometry)
        core = core_for(sized, corner)
        made = steiner_wires(joined, placer.place_again(joined, core, wires.placement))
        shorter = analyse(sized, models, made.loads(models)).period < analyse(netlist, models, before).period
        return made if shorter else wires

    return [again(wires, corner) for corner, several in found.items() for wires in several]
