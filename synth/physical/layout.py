"""A mapped netlist laid out: its core, its cells placed from several seeds, and their wires."""

from collections.abc import Sequence

from ..cell_models import CellModels
from ..mapped_netlist import MappedNetlist
from .cell_geometry import CellGeometry
from .clock_tree import clock_buffers
from .core_area import ASPECT, UTILISATION, core_of
from .placement import CellPlacer, Connections
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

    Raises:
        ValueError: If a parameter is outside its domain, or a cell has no geometry.
        SynthesisError: If the placer fails, or what it gives is not legal.
    """
    flip_flops = sum(models[instance.cell].clock is not None for instance in netlist.instances)
    buffer = geometry.shape(models.library.driving_cell.name).width // geometry.site_width
    core = core_of(
        netlist,
        geometry,
        utilisation=utilisation,
        aspect=aspect,
        reserved=clock_buffers(flip_flops) * buffer,
    )
    connections = Connections(netlist, models, geometry)
    return [steiner_wires(connections, placement) for placement in placer.place(connections, core, seeds)]
