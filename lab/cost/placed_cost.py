"""What units cost with their wires, and how two formats differ in it.

Each netlist of a unit is placed several times. The placements of one netlist are more alike than those of two
netlists, so that they are not independent measurements: the mean over a netlist's placements is one, and an
interval is over the netlists. Differences are of these means, between netlists that are made in the same
order.

Sizes are what makes a difference of wires hard to tell. Each gate's size is found by a search that ends at a
near optimum, another one for each netlist. From pair to pair it moves the difference of the cells' area by
about 1 %, and so those of core and wire. So each order is mapped twice, by the same two recipes for both
units of a pair: to gates that are buffered and sized, for what a unit costs and for differences of time and
energy, and to the same gates before buffers and sizes, for differences of core and wire. Gates are not
rewritten at random first, as they are where area alone is measured: that tells the netlists of a pair apart
too. Only where two orders give one netlist there is no other way.

The placer ends at a near optimum as well. Where the ports stand decides which one, and so 2 or 3 % of the
wire; another seed changes it by half a percent. Units that differ little may differ by 3 % in wire with one
place of the ports, and not at all with another. The gates before buffers and sizes are therefore placed with
their ports from each corner of the core on, and the mean is the netlist's wire.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Unpack

from ...base.argument_checks import require_int
from ...base.whole_files import write_whole
from ...hw.config import UnitConfig
from ...synth.liberty import Library
from ...synth.metric import Metric
from ...synth.physical.cell_geometry import CellGeometry
from ...synth.physical.core_area import ASPECT, CORNERS, UTILISATION
from ...synth.physical.detail_router import qrouter_version, require_stack
from ...synth.physical.exchange_files import PlacedFiles
from ...synth.physical.placement import coloquinte_version
from ...synth.recipes import choose, unvaried
from ..demo_weights import real_tensors
from ..statistics import Estimate, Summary, relative
from .cost_sample import CostSample
from .energy_workloads import ENERGY_LANES, Vectors, workloads
from .jobs import Measuring, measure_all
from .measurement_job import MeasurementJob, seeds_of
from .placed_figures import PlacedFigures, Placing
from .priced_unit import PricedUnit, bases_of
from .routed_cost import ROUTED_DELTAS, RoutedCost, routed_cost
from .unit_energy import energy_unit
from .unit_layout import lay_out_units

__all__ = [
    "CELL_PLACEMENTS",
    "PLACED_RECIPE",
    "UNSIZED_DELTAS",
    "UNSIZED_RECIPE",
    "WIRED_DELTAS",
    "WiredCost",
    "WiredEnergy",
    "export_placed",
    "netlist_means",
    "placed_costs",
]

CELL_PLACEMENTS: Final = 3
"""How many times a netlist of cells is placed where nothing is said of it."""

PLACED_RECIPE: Final = "s1"
"""How netlists that are placed are mapped: the smallest gates, buffered and sized for their pins' loads."""

UNSIZED_RECIPE: Final = "a2"
"""How they are mapped for differences of core and wire: as by `PLACED_RECIPE`, without buffers and sizes."""

UNSIZED_DELTAS: Final = ("core_area", "wire_length")
"""The figures of which differences are between netlists by `UNSIZED_RECIPE`."""

WIRED_DELTAS: Final = ("core_area", "wire_length", "delay", "period")
"""The figures that are compared, by their names in `WiredCost.figures`."""


@dataclass(frozen=True)
class WiredEnergy:
    """The energy of an input with wires, on one kind of vectors.

    Attributes:
        vectors: On what vectors.
        total: All of it, of each placement.
        settled: What would be left without glitches.
        delta: The total less the base's, in percent; None without a base.
        settled_delta: The same without glitches.
    """

    vectors: Vectors
    total: Summary
    settled: Summary
    delta: Estimate | None = None
    settled_delta: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "vectors": self.vectors,
            "total": self.total.to_dict(),
            "settled": self.settled.to_dict(),
            "delta": None if self.delta is None else self.delta.to_dict(),
            "settled_delta": None if self.settled_delta is None else self.settled_delta.to_dict(),
        }


@dataclass(frozen=True)
class WiredCost:
    """What a unit costs with its wires, over its netlists and their placements.

    Attributes:
        unit: The unit.
        placing: How its netlists were mapped and placed.
        coloquinte: The placer's version.
        figures: Of each figure that `PlacedFigures` has, those of the first netlist from each seed, then of
            the next: by name.
        unsized: Those of `UNSIZED_DELTAS` before buffers and sizes, of the first netlist with its ports from
            each of `CORNERS` on, then of the next. There may be more of these netlists.
        energies: The energy of an input, on each kind of vectors.
        routed: What detailed routing gave; None where it was not asked for.
        base: The unit that it is compared with; None for none.
        deltas: Each of `WIRED_DELTAS` less the base's, in percent of that, netlist by netlist; of
            `UNSIZED_DELTAS` before buffers and sizes.
    """

    unit: PricedUnit
    placing: Placing
    coloquinte: str
    figures: Mapping[str, Summary]
    unsized: Mapping[str, Summary]
    energies: tuple[WiredEnergy, ...] = ()
    routed: RoutedCost | None = None
    base: PricedUnit | None = None
    deltas: Mapping[str, Estimate] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        placing, geometry = self.placing, self.placing.geometry
        return {
            "unit": self.unit.name,
            "base": None if self.base is None else self.base.name,
            "recipe": unvaried(placing.recipe.name),
            "seeds": list(placing.seeds),
            "utilisation": placing.utilisation,
            "aspect": placing.aspect,
            "resized": placing.resized,
            "coloquinte": self.coloquinte,
            "geometry": {
                "files": list(geometry.files),
                "sha256": geometry.sha256,
                "length_unit": geometry.length_unit,
                "wires": geometry.source,
                "layers": [
                    {"name": layer.name, "capacitance": layer.capacitance, "resistance": layer.resistance}
                    for layer in (geometry.level, geometry.upright)
                ],
            },
            "figures": {name: summary.to_dict() for name, summary in self.figures.items()},
            "unsized_recipe": UNSIZED_RECIPE,
            "unsized_corners": CORNERS,
            "unsized": {name: summary.to_dict() for name, summary in self.unsized.items()},
            "deltas": {name: delta.to_dict() for name, delta in (self.deltas or {}).items()},
            "energies": [energy.to_dict() for energy in self.energies],
            "routed": None if self.routed is None else self.routed.to_dict(),
        }


def _metrics(library: Library, geometry: CellGeometry) -> dict[str, tuple[Metric, float]]:
    """Return what each figure of `PlacedFigures` is, and what to multiply it with."""
    length = Metric("wire length", geometry.length_unit, "lower", 0)
    time = 1 / library.delay_unit_ps
    return {
        "core_area": (replace(library.area, name="core area"), 1.0),
        "wire_length": (length, 1.0),
        "half_perimeter": (replace(length, name="half perimeter"), 1.0),
        "wire_load": (Metric("wire load", "%", "lower", 1), 1.0),
        "delay": (replace(library.delay, name="delay"), time),
        "period": (replace(library.delay, name="period"), time),
        "bare_delay": (replace(library.delay, name="delay without wires"), time),
        "bare_period": (replace(library.delay, name="period without wires"), time),
        "clock_buffers": (Metric("clock buffers", "", "lower", 0), 1.0),
        "clock_wire": (replace(length, name="clock wire"), 1.0),
    }


def netlist_means(values: Sequence[float], placements: int) -> list[float]:
    """Return the mean over the placements of each netlist, of those of all netlists in order."""
    return [statistics.fmean(values[at : at + placements]) for at in range(0, len(values), placements)]


def placed_costs(
    units: Sequence[PricedUnit],
    library: Library,
    geometry: CellGeometry,
    *,
    orders: int,
    seed: int = 0,
    unsized_orders: int | None = None,
    placements: int = CELL_PLACEMENTS,
    utilisation: float = UTILISATION,
    aspect: float = ASPECT,
    routed: bool = False,
    resized: bool = False,
    energy: bool = False,
    lanes: int = ENERGY_LANES,
    **measuring: Unpack[Measuring],
) -> list[WiredCost]:
    """Measure units with their wires.

    Args:
        units: What to measure. Of those that `kin_of` finds alike, the first is what the others are compared
            with.
        library: What to map to.
        geometry: The geometry of its cells.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        unsized_orders: How many netlists differences of core and wire are of, at least `orders`; as many
            where it is None.
        placements: How many times each netlist is placed, every time from another seed. For differences of
            core and wire it is placed once with its ports from each corner on.
        utilisation: The part of the core that is cells.
        aspect: The core's height over its width.
        routed: Whether each placement is routed in detail too, of gates that are buffered and sized.
        resized: Whether sizes are chosen again for the wires of each placement, of the same gates.
        energy: Whether the energy of an input is measured too; of dot-product units alone.
        lanes: Vectors side by side, of each kind.
        **measuring: How, as `measure_all` takes it.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, a cell has no geometry, or there are no layers for a
            router.
        SynthesisError: If a unit cannot be synthesized or placed, or what the router gives cannot be.
        ToolError: If the placer or the router is missing.
    """
    if routed:
        require_stack(geometry)
    seeds = seeds_of(orders, seed)
    more = 0 if unsized_orders is None else require_int("unsized_orders", unsized_orders) - orders
    if more < 0:
        raise ValueError(f"unsized_orders must be at least {orders}, not {unsized_orders}")
    unsized_seeds = range(seeds.start, seeds.stop + more)
    if require_int("placements", placements) < 1:
        raise ValueError(f"placements must be at least 1, not {placements}")
    tensors = real_tensors() if energy else None
    fed = {
        unit: tuple(workloads(unit.spec, unit.stages, tensors, lanes=lanes))
        if energy and isinstance(unit, UnitConfig)
        else ()
        for unit in units
    }

    def placing(recipe: str, variation: int = 0) -> Placing:
        if recipe == UNSIZED_RECIPE:
            made = _placing(geometry, recipe, variation, 1, utilisation, aspect)
            return replace(made, corners=CORNERS)
        made = _placing(geometry, recipe, variation, placements, utilisation, aspect)
        return replace(made, routed=routed, resized=resized)

    def measured(*, rewritten: bool) -> dict[tuple[str, PricedUnit], list[CostSample]]:
        """Return the samples of each unit by each recipe."""
        # An order is done before the next: what is broken off has whole pairs.
        wanted = [
            (recipe, unit, order)
            for order in unsized_seeds
            for recipe in (PLACED_RECIPE, UNSIZED_RECIPE)
            if recipe == UNSIZED_RECIPE or order in seeds
            for unit in units
        ]
        jobs = [
            MeasurementJob(
                unit,
                order,
                workloads=fed[unit] if recipe == PLACED_RECIPE else (),
                placing=placing(recipe, order if rewritten else 0),
            )
            for recipe, unit, order in wanted
        ]
        found: dict[tuple[str, PricedUnit], list[CostSample]] = {}
        for (recipe, unit, _), sample in zip(wanted, measure_all(jobs, library, **measuring), strict=True):
            found.setdefault((recipe, unit), []).append(sample)
        return found

    samples = measured(rewritten=False)
    if any(len({one.netlist for one in several}) < len(several) for several in samples.values()):
        # Equal netlists give equal figures, which would count as measurements without any spread.
        samples = measured(rewritten=True)
    metrics = _metrics(library, geometry)
    energies = Metric("energy", energy_unit(library), "lower", 0)
    bases = bases_of(units)
    found: dict[PricedUnit, WiredCost] = {}

    def summary(name: str, placed: Sequence[PlacedFigures]) -> Summary:
        metric, factor = metrics[name]
        return Summary(metric, tuple(factor * getattr(one, name) for one in placed))

    for unit in units:
        placed, bare = (
            [one for sample in samples[recipe, unit] for one in sample.placed]
            for recipe in (PLACED_RECIPE, UNSIZED_RECIPE)
        )
        cost = WiredCost(
            unit,
            placing(PLACED_RECIPE),
            coloquinte_version(),
            {name: summary(name, placed) for name in metrics},
            {name: summary(name, bare) for name in UNSIZED_DELTAS},
            tuple(
                WiredEnergy(
                    workload.vectors,
                    Summary(energies, tuple(one.energies[place].total for one in placed)),
                    Summary(energies, tuple(one.energies[place].settled for one in placed)),
                )
                for place, workload in enumerate(fed[unit])
            ),
            routed_cost(placed, metrics, geometry, qrouter_version()) if routed else None,
        )
        if unit in bases:
            cost = _against(cost, found[bases[unit]], placements)
        found[unit] = cost
    return list(found.values())


def _placing(
    geometry: CellGeometry, name: str, variation: int, placements: int, utilisation: float, aspect: float
) -> Placing:
    (recipe,) = choose([name])
    return Placing(geometry, recipe.varied(variation), tuple(range(1, placements + 1)), utilisation, aspect)


def _against(cost: WiredCost, base: WiredCost, placements: int) -> WiredCost:
    """Return a cost with how it differs from another unit's."""

    def less(before: Summary, after: Summary, times: int = placements) -> Estimate:
        one, two = (netlist_means(summary.values, times) for summary in (before, after))
        return relative(after.metric, one, two)

    routed = cost.routed
    if routed is not None and routed.figures is not None and base.routed is not None and base.routed.figures:
        before, after = base.routed.figures, routed.figures
        routed = replace(routed, deltas={name: less(before[name], after[name]) for name in ROUTED_DELTAS})
    return replace(
        cost,
        base=base.unit,
        routed=routed,
        deltas={
            name: less(base.unsized[name], cost.unsized[name], CORNERS)
            if name in UNSIZED_DELTAS
            else less(base.figures[name], cost.figures[name])
            for name in WIRED_DELTAS
        },
        energies=tuple(
            replace(two, delta=less(one.total, two.total), settled_delta=less(one.settled, two.settled))
            for one, two in zip(base.energies, cost.energies, strict=True)
        ),
    )


def export_placed(
    units: Sequence[PricedUnit],
    library: Library,
    geometry: CellGeometry,
    folder: Path,
    *,
    order: int = 0,
    utilisation: float = UTILISATION,
    aspect: float = ASPECT,
    resized: bool = False,
) -> list[Path]:
    """Write each unit's netlist of an order, placed from seed 1, for other tools: see `PlacedFiles`.

    Args:
        units: The units.
        library: What they are mapped to.
        geometry: The geometry of its cells.
        folder: Where a folder is made for each unit.
        order: Which netlist.
        utilisation: As for `placed_costs`.
        aspect: As for `placed_costs`.
        resized: As for `placed_costs`.

    Returns:
        The folders.
    """
    (recipe,) = choose([PLACED_RECIPE])
    folders: list[Path] = []
    for layout in lay_out_units(
        units,
        library,
        geometry,
        recipe,
        order=order,
        utilisation=utilisation,
        aspect=aspect,
        resized=resized,
    ):
        top = layout.source.top
        written = PlacedFiles(top, layout.estimate, layout.models, utilisation, aspect)
        place = folder / layout.unit.name
        place.mkdir(parents=True, exist_ok=True)
        # What is made here is nowhere else to be had.
        sources = {source.name: source.decoded for source in library.sources if source.folder is None}
        files = {(top + name if name[0] == "." else name): text for name, text in written.files().items()}
        for name, text in (files | dict(geometry.texts) | sources).items():
            write_whole(place / name, text)
        folders.append(place)
    return folders
