"""One run of the price lab: which units are measured, on what, and the report that comes of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

from ..base.argument_checks import require_int
from ..hw.config import UnitConfig
from ..synth.adder_cells import chosen_adders
from ..synth.fpga import FPGA_TARGETS
from ..synth.ice40_placement import PLACE_TARGET, nextpnr_version
from ..synth.liberty import Library
from ..synth.physical.cell_geometry import CellGeometry, geometry_of
from ..synth.physical.core_area import ASPECT, UTILISATION, require_shape
from ..synth.physical.detail_router import qrouter_version, require_stack
from ..synth.physical.placement import coloquinte_version
from ..synth.recipes import choose
from .cost.area_delay import AreaDelayCurves, area_delay_curves
from .cost.comparison import ORDERS, CostComparison, compare_costs
from .cost.corner_cost import CornerCost, corner_costs
from .cost.dask_cluster import Cluster
from .cost.fpga_cost import FpgaCost, fpga
from .cost.jobs import Measuring, Progress
from .cost.measurement_job import seeds_of
from .cost.placed_cost import PLACED_RECIPE, WiredCost, export_placed, placed_costs
from .cost.priced_unit import PricedUnit, kin_of
from .cost.unit_energy import UnitEnergy, energies
from .cost.unit_layout import UnitLayout, lay_out_units
from .reports.cost_report import CostReport

__all__ = ["PriceProgress", "PriceRequest", "price"]

PriceProgress = Callable[[str, int, int, str], None]
"""Called with what is being done, how many netlists are done, how many there are, and the last one's unit."""


@dataclass(frozen=True, kw_only=True)
class PriceRequest:
    """What one run measures, and how.

    Attributes:
        units: The units. Of those that `kin_of` finds alike, the first is what the others are compared with.
        libraries: The cell libraries that they are mapped to; of one with corners, units are timed at each.
        orders: How many netlists are made of each unit, at least 2.
        variants: In how many ways each netlist is mapped for area.
        adders: Whether units are mapped to the libraries' adder cells too.
        seed: Which netlists: another seed gives others.
        curve: Whether area is measured at several delays.
        delay_targets: The delays, in the library's unit; chosen by the first unit where there are none.
        energy: Whether the switching energy of an input is measured.
        fpga_targets: FPGA families whose resources are counted.
        placements: How many times each netlist is placed and routed on an FPGA; 0 for not at all.
        cell_placements: How many times each netlist of cells is placed, for figures with wires; 0 for none.
        lef: LEF files of the libraries but the built-in one; those beside the Liberty files where there are
            none.
        utilisation: The part of a core that is cells.
        aspect: A core's height over its width.
        routed: Whether placed cells are routed in detail too.
        resized: Whether sizes of placed cells are chosen again for their wires.
        drawn: Whether a layout of each unit is drawn, for a report that is a page.
        export: Folder for each unit's first netlist as it is placed, for other tools; None for none.
        cache: Folder in which results are kept and looked for.
        workers: Processes that work at once; the number of processors where it is None.
        cluster: Address of a Dask scheduler whose workers synthesize for the libraries.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        SynthesisError: If what place and route needs is not installed.
    """

    units: Sequence[PricedUnit]
    libraries: Sequence[Library] = ()
    orders: int = ORDERS
    variants: int = 1
    adders: bool = False
    seed: int = 0
    curve: bool = False
    delay_targets: Sequence[float] = ()
    energy: bool = False
    fpga_targets: Sequence[str] = ()
    placements: int = 0
    cell_placements: int = 0
    lef: Sequence[Path] = ()
    utilisation: float = UTILISATION
    aspect: float = ASPECT
    routed: bool = False
    resized: bool = False
    drawn: bool = False
    export: Path | None = None
    cache: Path | None = None
    workers: int | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        seeds_of(self.orders, self.seed)
        if require_int("variants", self.variants) < 1:
            raise ValueError(f"variants must be at least 1, not {self.variants}")
        if self.adders and not self.libraries:
            raise ValueError("library must be given for adders, not FPGAs alone")
        # Cells are placed by a recipe for delay, which leaves adder cells out.
        if self.adders and self.cell_placements:
            raise ValueError(f"cell placements must be 0 with adders, not {self.cell_placements}")
        for library in self.libraries if self.adders else ():
            if not chosen_adders(library):
                raise ValueError(f"library must have adder cells for adders, not {library.name} without any")
        if any(not target > 0 for target in self.delay_targets):
            raise ValueError(f"delay targets must be positive, not {min(self.delay_targets):g}")
        if unknown := set(self.fpga_targets) - set(FPGA_TARGETS):
            raise ValueError(f"target must be one of {', '.join(FPGA_TARGETS)}, not {min(unknown)!r}")
        if self.energy and (others := set(self.units) - set(self.dot_units)):
            raise ValueError(f"energy must be of dot-product units, not of {min(one.name for one in others)}")
        if require_int("placements", self.placements) < 0:
            raise ValueError(f"placements must not be negative, not {self.placements}")
        if self.placements:
            if set(self.fpga_targets) != {PLACE_TARGET}:
                others = [target for target in self.fpga_targets if target != PLACE_TARGET]
                found = repr(others[0]) if others else "none"
                raise ValueError(f"target must be {PLACE_TARGET} to be placed and routed, not {found}")
            nextpnr_version()
        if require_int("cell_placements", self.cell_placements) < 0:
            raise ValueError(f"cell_placements must not be negative, not {self.cell_placements}")
        if self.cell_placements:
            coloquinte_version()
            require_shape(self.utilisation, self.aspect)
            # A file that is broken is told before hours of synthesis.
            assert len(self.geometries) == len(self.libraries)
        if self.resized and not self.cell_placements:
            raise ValueError("cell placements must be at least 1 to be resized, not 0")
        if self.routed:
            if not self.cell_placements:
                raise ValueError("cell placements must be at least 1 to be routed, not 0")
            qrouter_version()
            for geometry in self.geometries:
                require_stack(geometry)

    @cached_property
    def geometries(self) -> list[CellGeometry]:
        """The geometry of each library.

        Raises:
            ValueError: If a library has none, or a file is not a good one.
        """
        return [geometry_of(library, self.lef) for library in self.libraries]

    @property
    def dot_units(self) -> list[UnitConfig]:
        """The units that are no quantizers."""
        return [unit for unit in self.units if isinstance(unit, UnitConfig)]


def price(request: PriceRequest, progress: PriceProgress | None = None) -> CostReport:
    """Measure what a request asks for.

    Args:
        request: What to measure, and how.
        progress: Called after each netlist.

    Raises:
        TypeError, ValueError: If a unit cannot be built or measured.
        SynthesisError: If a unit cannot be synthesized.
        ConnectionError: If no scheduler answers at the cluster's address.
    """

    def telling(doing: str) -> Progress | None:
        tell = progress
        return tell and (lambda done, total, unit: tell(doing, done, total, unit))

    def measuring(doing: str, library: Library) -> Measuring:
        return {
            "cache": request.cache,
            "workers": request.workers,
            "runner": None if request.cluster is None else Cluster(request.cluster, library),
            "progress": telling(f"{doing} {library.name}"),
        }

    comparisons: list[CostComparison] = []
    curves: list[tuple[AreaDelayCurves, ...]] = []
    cornered: list[tuple[CornerCost, ...]] = []
    powered: list[tuple[UnitEnergy, ...]] = []
    placed: list[tuple[WiredCost, ...]] = []
    layouts: list[UnitLayout] = []
    for library in request.libraries:
        comparisons.append(
            compare_costs(
                request.units,
                library,
                orders=request.orders,
                seed=request.seed,
                variants=request.variants,
                adders=request.adders,
                **measuring("synthesizing for", library),
            )
        )
        if request.curve or request.delay_targets:
            curves.append(
                tuple(
                    area_delay_curves(
                        alike,
                        library,
                        targets=request.delay_targets,
                        orders=request.orders,
                        seed=request.seed,
                        adders=request.adders,
                        **measuring("curves for", library),
                    )
                    for alike in _alike(request.units)
                )
            )
        cornered.append(
            tuple(
                corner_costs(
                    request.units,
                    library,
                    orders=request.orders,
                    seed=request.seed,
                    **measuring("corners of", library),
                )
            )
            if library.corners
            else ()
        )
        if request.energy:
            powered.append(
                tuple(
                    energies(
                        request.dot_units,
                        library,
                        orders=request.orders,
                        seed=request.seed,
                        adders=request.adders,
                        **measuring("energy for", library),
                    )
                )
            )
        if request.cell_placements:
            doing = "placing and routing for" if request.routed else "placing for"
            placed.append(_placed(request, len(placed), **measuring(doing, library)))
            if request.drawn:
                layouts += _laid_out(request, len(placed) - 1)
    fitted: list[FpgaCost] = []
    if request.fpga_targets:
        doing = "placing and routing on" if request.placements else "synthesizing for"
        fitted = fpga(
            request.units,
            request.fpga_targets,
            orders=request.orders,
            seed=request.seed,
            placements=request.placements,
            workers=request.workers,
            cache=request.cache,
            progress=telling(f"{doing} {', '.join(request.fpga_targets)}"),
        )
    return CostReport(
        tuple(comparisons),
        tuple(curves),
        tuple(powered),
        tuple(fitted),
        tuple(placed),
        tuple(layouts),
        tuple(cornered),
    )


def _placed(request: PriceRequest, number: int, **measuring: Unpack[Measuring]) -> tuple[WiredCost, ...]:
    """Measure with wires on the library of that number, and write what is asked for."""
    library, geometry = request.libraries[number], request.geometries[number]
    costs = placed_costs(
        request.units,
        library,
        geometry,
        orders=request.orders,
        seed=request.seed,
        placements=request.cell_placements,
        utilisation=request.utilisation,
        aspect=request.aspect,
        routed=request.routed,
        resized=request.resized,
        energy=request.energy,
        **measuring,
    )
    if request.export is not None:
        export_placed(
            request.units,
            library,
            geometry,
            request.export / library.name,
            order=seeds_of(request.orders, request.seed)[0],
            utilisation=request.utilisation,
            aspect=request.aspect,
            resized=request.resized,
        )
    return tuple(costs)


def _laid_out(request: PriceRequest, number: int) -> Iterator[UnitLayout]:
    """Lay out each unit's first netlist on the library of that number, by the recipe that is placed."""
    (recipe,) = choose([PLACED_RECIPE])
    return lay_out_units(
        request.units,
        request.libraries[number],
        request.geometries[number],
        recipe,
        order=seeds_of(request.orders, request.seed)[0],
        utilisation=request.utilisation,
        aspect=request.aspect,
        resized=request.resized,
        routed=request.routed,
    )


def _alike(units: Sequence[PricedUnit]) -> list[list[PricedUnit]]:
    """Group units that are compared, or differ in the form of their components alone."""
    groups: dict[tuple[object, ...], list[PricedUnit]] = {}
    for unit in units:
        groups.setdefault(kin_of(replace(unit, optimise="area")), []).append(unit)
    return list(groups.values())
