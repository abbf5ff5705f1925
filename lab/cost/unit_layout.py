"""One netlist of a unit laid out, to be drawn or written for other tools."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...synth.cell_models import CellModels
from ...synth.flow import Synthesizer
from ...synth.liberty import Library
from ...synth.netlist import Netlist
from ...synth.physical.cell_geometry import CellGeometry
from ...synth.physical.core_area import ASPECT, UTILISATION
from ...synth.physical.detail_router import DetailRouter
from ...synth.physical.layout import lay_out
from ...synth.physical.placement import CellPlacer
from ...synth.physical.wires import Wires
from ...synth.recipes import Recipe
from .cell_components import cell_components
from .measurement_job import emit
from .priced_unit import PricedUnit

__all__ = ["UnitLayout", "lay_out_units"]


@dataclass(frozen=True)
class UnitLayout:
    """A unit's netlist, placed once.

    Attributes:
        library: The name of the library.
        unit: The unit.
        source: Its netlist before it was mapped.
        models: The library's cells.
        estimate: Its placement, with Steiner trees.
        routed: Its routed wires; None where it was not routed, or a net failed.
    """

    library: str
    unit: PricedUnit
    source: Netlist
    models: CellModels
    estimate: Wires
    routed: Wires | None = None

    @cached_property
    def components(self) -> list[str]:
        """The component that each cell came from: see `cell_components`."""
        mapped = self.estimate.connections.netlist
        return cell_components(self.source, mapped, self.models, self.unit.stages)


def lay_out_units(
    units: Sequence[PricedUnit],
    library: Library,
    geometry: CellGeometry,
    recipe: Recipe,
    *,
    order: int = 0,
    utilisation: float = UTILISATION,
    aspect: float = ASPECT,
    resized: bool = False,
    routed: bool = False,
) -> Iterator[UnitLayout]:
    """Yield each unit's netlist of an order, placed from seed 1.

    Args:
        units: The units.
        library: What they are mapped to.
        geometry: The geometry of its cells.
        recipe: How.
        order: Which netlist.
        utilisation: The part of the core that is cells.
        aspect: The core's height over its width.
        resized: Whether sizes are chosen again for its wires.
        routed: Whether it is routed too.
    """
    with Synthesizer(library) as synthesizer, CellPlacer() as placer:
        for unit in units:
            source = Netlist(*emit(unit, order))
            mapped = synthesizer.map(source, [recipe])[recipe.name]
            models = synthesizer.models
            (wires,) = lay_out(
                mapped,
                models,
                geometry,
                placer,
                seeds=[1],
                utilisation=utilisation,
                aspect=aspect,
                resize=resized,
            )
            found = None
            if routed:
                with DetailRouter() as router:
                    found = router.route(wires).wires
            yield UnitLayout(library.name, unit, source, models, wires, found)
