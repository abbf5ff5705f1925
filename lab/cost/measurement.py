"""One measurement: a unit in one order, its netlist made, taken apart, synthesized and timed.

A job says all of it, so that it can be done in any process, on any machine, and be looked up if it has been
done before.
"""

import contextlib
import functools
import importlib.metadata
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ... import hw, model
from ...base.argument_checks import require_int
from ...base.source_digest import source_digest
from ...model import DotSpec
from ...synth.cache import Cache, entry, read_record, write_record
from ...synth.flow import Synthesizer
from ...synth.liberty import Library
from ...synth.netlist import Netlist
from ...synth.recipes import FLOW_VERSION, Recipe
from ...synth.synthesis_point import Counts, SynthesisPoint, synthesis_point_of
from ...synth.yosys import pyosys_version
from .components import take_apart
from .energy_workloads import Workload
from .switching_energy import ENERGY_VERSION, SwitchingEnergy, energy_of

__all__ = [
    "CostSample",
    "Make",
    "MeasurementBench",
    "MeasurementJob",
    "PartSample",
    "Unit",
    "bases_of",
    "emit",
    "seeds_of",
]


@dataclass(frozen=True)
class Unit:
    """A unit to measure.

    Attributes:
        spec: What it computes.
        stages: Its register stages.
        optimise: Which form its components have: ``area`` or ``delay``.
        tile: Rows and columns of a tile of such units; None for the unit itself.
        segment: Bits of an exact accumulator behind which a carry is kept; None for none.
    """

    spec: DotSpec
    stages: int
    optimise: str = "area"
    tile: tuple[int, int] | None = None
    segment: int | None = None

    @property
    def name(self) -> str:
        """Specification and stages, ``e2m1_ue5m3_n16_fp32_s1``, and ``_delay`` where that is the form.

        A tile's begins with ``array4x4_``; where carries are kept, it ends in ``_segment8``.
        """
        shape = "" if self.tile is None else "array{}x{}_".format(*self.tile)
        form = "" if self.optimise == "area" else f"_{self.optimise}"
        segment = "" if self.segment is None else f"_segment{self.segment}"
        return f"{shape}{self.spec.name}_s{self.stages}{form}{segment}"

    @property
    def kin(self) -> "Unit":
        """The unit that stands for all that differ from this one in their scale format alone."""
        return replace(self, spec=replace(self.spec, scale="ue4m3"))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "unit": self.name,
            "spec": self.spec.name,
            "element": [fmt.name for fmt in self.spec.elements],
            "scale": [fmt.name for fmt in self.spec.scales],
            "block_size": self.spec.block_size,
            "blocks": self.spec.blocks,
            "accumulate": self.spec.accumulate,
            "guard": self.spec.guard,
            "stages": self.stages,
            "optimise": self.optimise,
            "tile": None if self.tile is None else list(self.tile),
            "segment": self.segment,
        }


def bases_of(units: Iterable[Unit]) -> dict[Unit, Unit]:
    """Return what each unit is compared with: of those alike but for the scale format, the first.

    The first ones themselves are left out.
    """
    first: dict[Unit, Unit] = {}
    return {unit: base for unit in units if (base := first.setdefault(unit.kin, unit)) != unit}


Make = Callable[[Unit, int], tuple[str, str]]
"""Makes a unit's netlist in an order: RTLIL, and the top's name."""


def emit(unit: Unit, order: int) -> tuple[str, str]:
    """Make the netlist that `DotUnit`, or for a tile `DotArray`, describes."""
    from ...hw import DotArray, DotUnit, to_rtlil

    options: dict[str, Any] = {
        "stages": unit.stages,
        "optimise": unit.optimise,
        "order": order,
        "segment": unit.segment,
    }
    if unit.tile is None:
        made = DotUnit(unit.spec, **options)
    else:
        made = DotArray(unit.spec, rows=unit.tile[0], columns=unit.tile[1], **options)
    return to_rtlil(made), made.name


def seeds_of(orders: int, seed: int) -> range:
    """Return the orders in which netlists are made: another seed gives others.

    Args:
        orders: How many, at least 2.
        seed: Which ones, not negative.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    orders, seed = require_int("orders", orders), require_int("seed", seed)
    if orders < 2:
        raise ValueError(f"orders must be at least 2 for an error bar, not {orders}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    return range(seed * orders, (seed + 1) * orders)


@functools.cache
def generator() -> str:
    """Return a hash of what the hardware is generated by: the sources, and the version of Amaranth."""
    return source_digest(model, hw, also=[importlib.metadata.version("amaranth")])


@dataclass(frozen=True)
class MeasurementJob:
    """What to measure.

    Attributes:
        unit: The unit.
        order: Seed of the order in which bits enter its compressor trees, and of the recipes' variants.
        recipes: How the whole is synthesized.
        part_recipes: How each component alone is; none for no components.
        workloads: What it is fed with to measure its energy; nothing for no energy.
        powered: How the whole is synthesized whose energy is measured.
    """

    unit: Unit
    order: int
    recipes: tuple[Recipe, ...] = ()
    part_recipes: tuple[Recipe, ...] = ()
    workloads: tuple[Workload, ...] = ()
    powered: Recipe | None = None

    def parts_of_key(self) -> list[str]:
        """Return what tells this job from every other."""
        unit = self.unit
        return [
            repr(unit.spec),
            f"{unit.stages} {unit.optimise} {unit.tile} {unit.segment} {self.order}",
            *(f"{recipe.name} {recipe.commands}" for recipe in self.recipes),
            "parts",
            *(f"{recipe.name} {recipe.commands}" for recipe in self.part_recipes),
            *self._energy_of_key(),
        ]

    def _energy_of_key(self) -> list[str]:
        if self.powered is None:
            return []
        fed = (f"{workload.lanes} {workload.sha256}" for workload in self.workloads)
        return [f"energy {ENERGY_VERSION}", f"{self.powered.name} {self.powered.commands}", *fed]


@dataclass(frozen=True)
class PartSample:
    """One component, measured alone.

    Attributes:
        role: What it is in the unit.
        count: How many there are.
        ports: Its ports with their widths.
        sha256: Hash of its netlist: equal ones are equal components.
        area: Its least area over the recipes, in the library's unit.
        cells: Its cells, by name, as it came out smallest.
    """

    role: str
    count: int
    ports: str
    sha256: str
    area: float
    cells: Counts


@dataclass(frozen=True)
class CostSample:
    """What one job came out as.

    Attributes:
        netlist: Hash of the unit's RTLIL, before synthesis.
        points: The whole, by each recipe in their order.
        parts: Its components, if they were asked for.
        energies: The energy of one input, for each workload in their order.
    """

    netlist: str
    points: tuple[SynthesisPoint, ...]
    parts: tuple[PartSample, ...] = ()
    energies: tuple[SwitchingEnergy, ...] = ()

    @classmethod
    def of(cls, record: Any) -> "CostSample":
        """Return the sample that a JSON record holds.

        Raises:
            KeyError, TypeError, ValueError: If it holds none.
        """
        return cls(
            record["netlist"],
            tuple(synthesis_point_of(point["recipe"], point) for point in record["points"]),
            tuple(PartSample(**{**part, "cells": _pairs(part["cells"])}) for part in record["parts"]),
            tuple(SwitchingEnergy(**energy) for energy in record["energies"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self)


def _pairs(cells: list[list[Any]]) -> Counts:
    return tuple((name, count) for name, count in cells)


class MeasurementBench:
    """Does jobs for one library, and remembers what it did.

    Args:
        library: What to map to.
        cache: Directory in which results are kept and looked for, made if need be; None for none.
        make: Makes the netlists.
    """

    def __init__(
        self, library: Library, cache: str | os.PathLike[str] | None = None, make: Make = emit
    ) -> None:
        self.library = library
        self._make = make
        self._cache = Cache(cache, library)
        self._place = None if cache is None else Path(cache)
        self._synthesizer: Synthesizer | None = None

    def close(self) -> None:
        """End what is running, and remove what lies about; may be called from another thread."""
        if self._synthesizer is not None:
            self._synthesizer.close()

    def known(self, job: MeasurementJob) -> CostSample | None:
        """Return the sample of a job that was done before; None if it was not, or is not to be found."""
        path = self._path(job)
        if path is not None and (record := read_record(path)) is not None:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                return CostSample.of(record)
        return None

    def keep(self, job: MeasurementJob, sample: CostSample) -> None:
        """Remember what a job came out as."""
        path = self._path(job)
        if path is not None:
            write_record(path, sample.to_dict())

    def _context(self, kind: str) -> list[str]:
        """Return what every result of a kind depends on."""
        return [
            f"{kind} {FLOW_VERSION} {pyosys_version()}",
            self.library.key,
        ]

    def _path(self, job: MeasurementJob) -> Path | None:
        # What a foreign `make` depends on is not known.
        if self._place is None or self._make is not emit:
            return None
        return entry(
            self._place,
            [
                *self._context("sample"),
                generator(),
                *job.parts_of_key(),
            ],
        )

    def _part_path(self, netlist: Netlist, recipes: tuple[Recipe, ...]) -> Path | None:
        if self._place is None:
            return None
        return entry(
            self._place,
            [
                *self._context("part"),
                *(recipe.commands for recipe in recipes),
                netlist.sha256,
            ],
        )

    def _started(self) -> Synthesizer:
        if self._synthesizer is None:
            self._synthesizer = Synthesizer(self.library)
        return self._synthesizer

    def measure(self, job: MeasurementJob) -> CostSample:
        """Do a job.

        Raises:
            SynthesisError: If it cannot be synthesized.
        """
        text, top = self._make(job.unit, job.order)
        netlist = Netlist(text, top)
        (whole,) = self._synthesize([netlist], job.recipes)
        parts: tuple[PartSample, ...] = ()
        if job.part_recipes:
            taken = take_apart(text, top)
            made = self._part_counts([part.netlist for part in taken], job.part_recipes)
            parts = tuple(
                PartSample(part.role, part.count, part.ports, part.netlist.sha256, *self._least(counts))
                for part, counts in zip(taken, made, strict=True)
            )
        points = tuple(whole[recipe.name] for recipe in job.recipes)
        sample = CostSample(netlist.sha256, points, parts, self._energies(job, netlist))
        self.keep(job, sample)
        return sample

    def _energies(self, job: MeasurementJob, netlist: Netlist) -> tuple[SwitchingEnergy, ...]:
        """Return the energy of one input on each of a job's workloads."""
        if job.powered is None:
            return ()
        synthesizer = self._started()
        mapped = synthesizer.map(netlist, [job.powered])[job.powered.name]
        return tuple(
            energy_of(
                mapped,
                synthesizer.models,
                workload.words,
                lanes=workload.lanes,
                latency=job.unit.stages,
                constants=[("rst", 0), ("i_valid", 1), ("o_ready", 1)],
            )
            for workload in job.workloads
        )

    def _least(self, counts: Sequence[Counts]) -> tuple[float, Counts]:
        """Return the least area that cells come to, and those cells."""
        cells = self.library.cells
        areas = [math.fsum(cells[name].area * count for name, count in one) for one in counts]
        index = areas.index(min(areas))
        return areas[index], counts[index]

    def _part_counts(self, netlists: list[Netlist], recipes: tuple[Recipe, ...]) -> list[list[Counts]]:
        """Return the cells of each netlist by each recipe, of equal ones the same; several in one process."""
        paths = {netlist: self._part_path(netlist, recipes) for netlist in netlists}
        found: dict[Netlist, list[Counts]] = {}
        for netlist, path in paths.items():
            if path is not None and (record := read_record(path)) is not None:
                with contextlib.suppress(TypeError, ValueError):
                    found[netlist] = [_pairs(counts) for counts in record]
        missing = [netlist for netlist in paths if netlist not in found]
        if missing:
            for netlist, counts in zip(missing, self._started().counts(missing, recipes), strict=True):
                found[netlist] = [counts[recipe.name] for recipe in recipes]
                if (path := paths[netlist]) is not None:
                    write_record(path, found[netlist])
        return [found[netlist] for netlist in netlists]

    def _synthesize(
        self, netlists: list[Netlist], recipes: tuple[Recipe, ...]
    ) -> list[dict[str, SynthesisPoint]]:
        """Return the points of each netlist, of equal ones the same; several in one process."""
        found = {netlist: self._cache.load(netlist, recipes) for netlist in netlists}
        missing = [netlist for netlist, points in found.items() if len(points) < len(recipes)]
        if missing:
            for netlist, points in zip(missing, self._started().run(missing, recipes), strict=True):
                self._cache.save(netlist, recipes, points)
                found[netlist] = points
        return [found[netlist] for netlist in netlists]
