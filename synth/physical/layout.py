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

    Raises:
        ValueError: If a parameter is outside its domain, or a cell has no geometry.
        SynthesisError: If the placer fails, or what it gives is not legal.
    """
    flip_flops = sum(models[instance.cell].clock is not None for instance in netlist.instances)
    buffer = geometry.shape(models.library.driving_cell.name).width // geometry.site_width

    def core_for(sized: MappedNetlist) -> Core:
        return core_of(
            sized,
            geometry,
            utilisation=utilisation,
            aspect=aspect,
            reserved=clock_buffers(flip_flops) * buffer,
        )

    connections = Connections(netlist, models, geometry)
    placements = placer.place(connections, core_for(netlist), seeds)
    found = [steiner_wires(connections, placement) for placement in placements]
    if not resize:
        return found
    sizes = sizes_of(models.library, geometry.cells)

    def again(wires: Wires) -> Wires:
        before = wires.loads(models)
        sized = resized(netlist, models, before, sizes)
        one, other = (GateNetlist(each.as_design("unit"), "unit") for each in (netlist, sized))
        require_equal(placer, one, other, models.library, "a netlist with other sizes")
        joined = Connections(sized, models, geometry)
        made = steiner_wires(joined, placer.place_again(joined, core_for(sized), wires.placement))
        shorter = analyse(sized, models, made.loads(models)).period < analyse(netlist, models, before).period
        return made if shorter else wires

    return [again(wires) for wires in found]
