"""What units take of an FPGA, over several functionally equal netlists, and how two formats differ in it.

Place and route is a throw of dice more: the same netlist from another seed is some percent faster or slower.
Each netlist is therefore placed several times; its frequency is the mean of these, and differences are of
those means, netlist by netlist.
"""

import contextlib
import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ...base.argument_checks import require_int
from ...base.processors import processors
from ...synth.cache import entry, read_record, write_record
from ...synth.fpga import FPGA_VERSION, FpgaResources, FpgaSynthesizer, find_target
from ...synth.ice40_placement import (
    DEVICE,
    LOGIC_CELLS,
    PLACE_TARGET,
    PLACE_VERSION,
    Ice40Placer,
    PlacedDesign,
    RoutedTiming,
    nextpnr_version,
)
from ...synth.metric import FMAX, Metric
from ...synth.netlist import Netlist
from ...synth.yosys import pyosys_version
from ..statistics import Estimate, Summary, relative
from .measurement_job import Make, MeasurementJob, emit, generator, seeds_of
from .priced_unit import PricedUnit, bases_of, unit_record

__all__ = ["PLACED", "PLACEMENTS", "RESOURCES", "FpgaCost", "PlacedCost", "fpga"]

RESOURCES: Final = ("luts", "carries", "flip_flops", "dsps", "muxes")
"""The resources that are told, by their names in `FpgaResources`."""

PLACED: Final = ("logic_cells", "fmax")
"""What place and route tells of a unit, by its names in `PlacedCost`."""

PLACEMENTS: Final = 5
"""How many times a netlist is placed and routed where nothing is said of it."""


@dataclass(frozen=True)
class PlacedCost:
    """What place and route makes of a unit, over its netlists.

    Attributes:
        device: The device.
        nextpnr: nextpnr's version.
        seeds: From which each netlist was placed.
        logic_cells: The packed logic cells of each netlist.
        fmax: The clock's greatest frequency after each place and route: of the first netlist from each seed,
            then of the next.
        inside: Whether the slowest path was always one of the unit, and not of the registers around it.
        logic_cells_delta: The logic cells less the base's of the same order, in percent of those; None
            without a base.
        fmax_delta: The same of the mean frequency over the seeds.
    """

    device: str
    nextpnr: str
    seeds: tuple[int, ...]
    logic_cells: Summary
    fmax: Summary
    inside: bool
    logic_cells_delta: Estimate | None = None
    fmax_delta: Estimate | None = None

    @property
    def means(self) -> tuple[float, ...]:
        """The mean frequency of each netlist."""
        count = len(self.seeds)
        values = self.fmax.values
        return tuple(statistics.fmean(values[at : at + count]) for at in range(0, len(values), count))

    def against(self, base: "PlacedCost") -> "PlacedCost":
        """Return the same with how it differs from another unit's."""
        return replace(
            self,
            logic_cells_delta=relative(LOGIC_CELLS, base.logic_cells.values, self.logic_cells.values),
            fmax_delta=relative(FMAX, base.means, self.means),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "device": self.device,
            "nextpnr": self.nextpnr,
            "seeds": list(self.seeds),
            "logic_cells": self.logic_cells.to_dict(),
            "fmax": self.fmax.to_dict(),
            "inside": self.inside,
            "logic_cells_delta": None if self.logic_cells_delta is None else self.logic_cells_delta.to_dict(),
            "fmax_delta": None if self.fmax_delta is None else self.fmax_delta.to_dict(),
        }


@dataclass(frozen=True)
class FpgaCost:
    """What a unit takes of an FPGA, over its netlists.

    Attributes:
        unit: The unit.
        target: The FPGA's family.
        resources: The number of each of `RESOURCES`, by name.
        base: The unit that it is compared with; None for none.
        delta: The look-up tables less the base's of the same order, in percent of those.
        placed: What place and route makes of it; None where it was not asked for.
    """

    unit: PricedUnit
    target: str
    resources: dict[str, Summary]
    base: PricedUnit | None = None
    delta: Estimate | None = None
    placed: PlacedCost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "target": self.target,
            **unit_record(self.unit),
            **{name: summary.to_dict() for name, summary in self.resources.items()},
            "base": None if self.base is None else self.base.name,
            "delta": None if self.delta is None else self.delta.to_dict(),
            "placed": None if self.placed is None else self.placed.to_dict(),
        }


@dataclass(frozen=True)
class _Found:
    """What is known of one netlist: what it takes of each target, and what came of it from each seed."""

    resources: dict[str, FpgaResources]
    cells: int | None
    routed: dict[int, RoutedTiming]

    def lacks(self, targets: Sequence[str], seeds: Sequence[int]) -> bool:
        return any(name not in self.resources for name in targets) or any(
            one not in self.routed for one in seeds
        )


class _Kept:
    """Results of earlier runs, as files; of netlists that something else than `emit` made there are none."""

    def __init__(self, cache: str | os.PathLike[str] | None, make: Make) -> None:
        self._place = Path(cache) if cache is not None and make is emit else None

    def _path(self, unit: PricedUnit, order: int, target: str, *more: str) -> Path | None:
        if self._place is None:
            return None
        context = f"fpga {FPGA_VERSION} {pyosys_version()}"
        parts = [
            context,
            find_target(target).command,
            generator(),
            *MeasurementJob(unit, order, ()).parts_of_key(),
        ]
        return entry(self._place, [*parts, *more])

    def _placed_path(self, unit: PricedUnit, order: int, seed: int) -> Path | None:
        if self._place is None:
            return None
        return self._path(
            unit, order, PLACE_TARGET, f"{DEVICE} {PLACE_VERSION} {nextpnr_version()}", f"seed {seed}"
        )

    def load(self, unit: PricedUnit, order: int, targets: Sequence[str], seeds: Sequence[int]) -> _Found:
        """Return what is known of a netlist."""
        found = _Found({}, None, {})
        for target in targets:
            path = self._path(unit, order, target)
            if path is not None and (record := read_record(path)) is not None:
                with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                    found.resources[target] = FpgaResources.of(record)
        for seed in seeds:
            path = self._placed_path(unit, order, seed)
            if path is not None and (record := read_record(path)) is not None:
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    found.routed[seed] = RoutedTiming(**record["routed"])
                    found = replace(found, cells=record["logic_cells"])
        return found

    def keep(self, unit: PricedUnit, order: int, found: _Found) -> None:
        """Remember what came of a netlist."""
        for target, resources in found.resources.items():
            if (path := self._path(unit, order, target)) is not None:
                write_record(path, resources.to_dict())
        for seed, routed in found.routed.items():
            if (path := self._placed_path(unit, order, seed)) is not None:
                write_record(path, {"logic_cells": found.cells, "routed": routed.to_dict()})


def _fit(
    synthesizer: FpgaSynthesizer,
    netlist: Netlist,
    targets: Sequence[str],
    seeds: Sequence[int],
    known: _Found,
) -> _Found:
    """Return what is known of a netlist and what comes of it from the seeds that nothing is known of."""
    if isinstance(synthesizer, Ice40Placer):
        missing = [seed for seed in seeds if seed not in known.routed]
        placed: PlacedDesign = synthesizer.place(netlist, missing)
        routed = known.routed | dict(zip(missing, placed.routed, strict=True))
        return _Found({PLACE_TARGET: placed.resources}, placed.cells, routed)
    return _Found(synthesizer.run(netlist, targets), None, {})


def fpga(
    units: Sequence[PricedUnit],
    targets: Sequence[str],
    *,
    orders: int = 5,
    seed: int = 0,
    placements: int = 0,
    workers: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    make: Make = emit,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[FpgaCost]:
    """Measure units on FPGAs.

    Args:
        units: What to measure. Of those alike but for the scale format, the first is what the others are
            compared with.
        targets: Names out of `synth.fpga.FPGA_TARGETS`.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        placements: How many times each netlist is placed and routed, every time from another seed; 0 for no
            place and route. Otherwise the target is `PLACE_TARGET` alone.
        workers: How many netlists are worked on at once; the number of processors where it is None.
        cache: Directory in which results are kept and looked for, made if need be.
        make: Makes a unit's netlist in an order.
        progress: Called after each netlist with how many are done, how many there are, and the unit's name.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        SynthesisError: If a unit cannot be synthesized, or placed and routed.
        ToolError: If what that needs is missing.
    """
    seeds = seeds_of(orders, seed)
    if require_int("placements", placements) < 0:
        raise ValueError(f"placements must not be negative, not {placements}")
    for target in targets:
        find_target(target)
        if placements and target != PLACE_TARGET:
            raise ValueError(f"target must be {PLACE_TARGET} to be placed and routed, not {target!r}")
    place_seeds = range(1, placements + 1)
    kept = _Kept(cache, make)
    keys = [(unit, order) for unit in dict.fromkeys(units) for order in seeds]
    found = {key: kept.load(*key, targets, place_seeds) for key in keys}
    missing = [key for key in keys if found[key].lacks(targets, place_seeds)]
    done = len(keys) - len(missing)
    if progress is not None and done:
        progress(done, len(keys), "")
    if missing:
        with Ice40Placer() if placements else FpgaSynthesizer() as synthesizer:
            executor = ThreadPoolExecutor(processors() if workers is None else workers)
            running: dict[Future[_Found], tuple[PricedUnit, int]] = {}
            try:
                # Amaranth is not made for several threads; Yosys and nextpnr run in processes of their own.
                for key in missing:
                    netlist = Netlist(*make(*key))
                    work = executor.submit(_fit, synthesizer, netlist, targets, place_seeds, found[key])
                    running[work] = key
                for future in as_completed(running):
                    key = running[future]
                    found[key] = future.result()
                    kept.keep(*key, found[key])
                    done += 1
                    if progress is not None:
                        progress(done, len(keys), key[0].name)
            except BaseException:
                synthesizer.close()
                raise
            finally:
                executor.shutdown(cancel_futures=True)
    bases = bases_of(units)
    costs: list[FpgaCost] = []
    for target in targets:
        of_target: dict[PricedUnit, FpgaCost] = {}
        for unit in units:
            several = [found[unit, order].resources[target] for order in seeds]
            cost = FpgaCost(
                unit,
                target,
                {
                    name: Summary(Metric(name, "", "lower", 0), tuple(getattr(one, name) for one in several))
                    for name in RESOURCES
                },
                placed=_placed([found[unit, order] for order in seeds], place_seeds) if placements else None,
            )
            if unit in bases:
                base = of_target[bases[unit]]
                before, after = (one.resources["luts"] for one in (base, cost))
                delta = relative(after.metric, before.values, after.values)
                cost = replace(cost, base=base.unit, delta=delta)
                if cost.placed is not None and base.placed is not None:
                    cost = replace(cost, placed=cost.placed.against(base.placed))
            of_target[unit] = cost
        costs += of_target.values()
    return costs


def _placed(several: Sequence[_Found], seeds: Sequence[int]) -> PlacedCost:
    routed = [one.routed[seed] for one in several for seed in seeds]
    return PlacedCost(
        DEVICE,
        nextpnr_version(),
        tuple(seeds),
        Summary(LOGIC_CELLS, tuple(one.cells or 0 for one in several)),
        Summary(FMAX, tuple(one.fmax for one in routed)),
        all(one.inside for one in routed),
    )
