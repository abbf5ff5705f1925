"""Where jobs are measured: a unit's netlist made, taken apart, synthesized, timed and placed."""

import contextlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...synth.cache import Cache, entry, read_record, write_record
from ...synth.cell_models import CellModels
from ...synth.flow import Synthesizer
from ...synth.liberty import Library
from ...synth.mapped_netlist import MappedNetlist
from ...synth.netlist import Netlist
from ...synth.physical.detail_router import DetailRouter
from ...synth.physical.placement import CellPlacer
from ...synth.recipes import FLOW_VERSION, Recipe
from ...synth.synthesis_point import Counts, SynthesisPoint
from ...synth.wire_loads import WireLoads
from ...synth.yosys import pyosys_version
from .components import parts_of
from .corner_figures import corner_figures
from .cost_sample import CostSample, PartSample, pairs_of
from .measurement_job import Make, MeasurementJob, emit, generator
from .placed_figures import PlacedFigures, placed_figures
from .switching_energy import SwitchingEnergy, energy_of

__all__ = ["MeasurementBench"]


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
        self._placer: CellPlacer | None = None
        self._router: DetailRouter | None = None
        self._corners: list[CellModels] | None = None

    def close(self) -> None:
        """End what is running, and remove what lies about; may be called from another thread."""
        for session in (self._synthesizer, self._placer, self._router):
            if session is not None:
                session.close()

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
                *(corner.key for corner in self.library.corners if job.cornered is not None),
            ],
        )

    def _netlist_path(self, kind: str, netlist: Netlist, parts: Iterable[str]) -> Path | None:
        """Return where a result of a kind is that hangs on a netlist, whatever generated it, and on parts."""
        if self._place is None:
            return None
        return entry(self._place, [*self._context(kind), *parts, netlist.sha256])

    def _started(self) -> Synthesizer:
        if self._synthesizer is None:
            self._synthesizer = Synthesizer(self.library)
        return self._synthesizer

    def _mapped(self, netlist: Netlist, recipe: Recipe) -> MappedNetlist:
        return self._started().map(netlist, [recipe])[recipe.name]

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
            taken = parts_of(job.unit, job.order, text, top)
            # A unit in one piece is not measured twice.
            taken = taken if len(taken) > 1 else []
            made = self._part_counts([part.netlist for part in taken], job.part_recipes)
            parts = tuple(
                PartSample(part.role, part.count, part.ports, part.netlist.sha256, *self._least(counts))
                for part, counts in zip(taken, made, strict=True)
            )
        points = tuple(whole[recipe.name] for recipe in job.recipes)
        sample = CostSample(
            netlist.sha256,
            points,
            parts,
            self._energies(job, netlist),
            self._placed(job, netlist),
            self._cornered(job, netlist),
        )
        self.keep(job, sample)
        return sample

    def _energies(self, job: MeasurementJob, netlist: Netlist) -> tuple[SwitchingEnergy, ...]:
        """Return the energy of one input on each of a job's workloads."""
        if job.powered is None:
            return ()
        key = [*job.parts_of_energy_key(), f"{job.unit.stages}"]
        path = self._netlist_path("energy", netlist, key)
        if path is not None and (record := read_record(path)) is not None:
            with contextlib.suppress(TypeError, ValueError):
                return tuple(SwitchingEnergy(**energy) for energy in record)
        energies = self._energies_of(job, self._mapped(netlist, job.powered))
        if path is not None:
            write_record(path, [asdict(energy) for energy in energies])
        return energies

    def _energies_of(
        self, job: MeasurementJob, mapped: MappedNetlist, wires: WireLoads | None = None
    ) -> tuple[SwitchingEnergy, ...]:
        return tuple(
            energy_of(
                mapped,
                self._started().models,
                workload.words,
                lanes=workload.lanes,
                latency=job.unit.stages,
                constants=[("rst", 0), ("i_valid", 1), ("o_ready", 1), ("en", 1)],
                wires=wires,
            )
            for workload in job.workloads
        )

    def _cornered(self, job: MeasurementJob, netlist: Netlist) -> tuple[Mapping[str, float], ...]:
        """Return what the whole takes at each corner of the library."""
        if job.cornered is None:
            return ()
        mapped = self._mapped(netlist, job.cornered)
        if self._corners is None:
            self._corners = [self._started().models, *map(CellModels, self.library.corners)]
        return tuple(corner_figures(mapped, models) for models in self._corners)

    def _placed(self, job: MeasurementJob, netlist: Netlist) -> tuple[PlacedFigures, ...]:
        """Return what comes of a job's placements."""
        if job.placing is None:
            return ()
        mapped = self._mapped(netlist, job.placing.recipe)
        if self._placer is None:
            self._placer = CellPlacer()
        if job.placing.routed and self._router is None:
            self._router = DetailRouter()
        return placed_figures(
            mapped,
            self._started().models,
            job.placing,
            self._placer,
            lambda laid_out, wires: self._energies_of(job, laid_out, wires),
            self._router if job.placing.routed else None,
        )

    def _least(self, counts: Sequence[Counts]) -> tuple[float, Counts]:
        """Return the least area that cells come to, and those cells."""
        cells = self.library.cells
        areas = [math.fsum(cells[name].area * count for name, count in one) for one in counts]
        index = areas.index(min(areas))
        return areas[index], counts[index]

    def _part_counts(self, netlists: list[Netlist], recipes: tuple[Recipe, ...]) -> list[list[Counts]]:
        """Return the cells of each netlist by each recipe, of equal ones the same; several in one process."""
        keys = [recipe.key for recipe in recipes]
        paths = {netlist: self._netlist_path("part", netlist, keys) for netlist in netlists}
        found: dict[Netlist, list[Counts]] = {}
        for netlist, path in paths.items():
            if path is not None and (record := read_record(path)) is not None:
                with contextlib.suppress(TypeError, ValueError):
                    found[netlist] = [pairs_of(counts) for counts in record]
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
