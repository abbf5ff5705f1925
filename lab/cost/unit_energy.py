"""What an input of a unit takes in switching energy, on each workload, with an error bar.

Units are compared in pairs made in the same order, as in `compare`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Unpack

from ...hw.config import UnitConfig
from ...synth.liberty import Library
from ...synth.metric import Metric
from ...synth.recipes import choose
from ..demo_weights import real_tensors
from ..statistics import Estimate, Summary, relative
from .energy_workloads import ENERGY_LANES, Vectors, workloads
from .jobs import Measuring, measure_all
from .measurement_job import MeasurementJob, seeds_of
from .priced_unit import bases_of

__all__ = ["UnitEnergy", "energies", "energy_unit"]

_RECIPE: Final = "a2"


@dataclass(frozen=True)
class UnitEnergy:
    """The energy that one input of a unit takes, over its netlists.

    Attributes:
        unit: The unit.
        vectors: On what vectors.
        total: All of it.
        settled: What would be left without glitches.
        base: The unit that it is compared with; None for none.
        delta: The total less the base's of the same order, in percent of that.
        settled_delta: The same of what would be left without glitches.
    """

    unit: UnitConfig
    vectors: Vectors
    total: Summary
    settled: Summary
    base: UnitConfig | None = None
    delta: Estimate | None = None
    settled_delta: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "unit": self.unit.name,
            "vectors": self.vectors,
            "total": self.total.to_dict(),
            "settled": self.settled.to_dict(),
            "base": None if self.base is None else self.base.name,
            "delta": None if self.delta is None else self.delta.to_dict(),
            "settled_delta": None if self.settled_delta is None else self.settled_delta.to_dict(),
        }


def energy_unit(library: Library) -> str:
    """Return the unit that energies come out in: fJ, or, of the library of no technology, C V²."""
    return "C V²" if library.area_unit == "NAND2" else "fJ"


def energies(
    units: Sequence[UnitConfig],
    library: Library,
    *,
    orders: int = 3,
    seed: int = 0,
    lanes: int = ENERGY_LANES,
    adders: bool = False,
    **measuring: Unpack[Measuring],
) -> list[UnitEnergy]:
    """Measure the energy of units on real vectors, where there are any, and on uniform codes.

    Args:
        units: What to measure. Of those alike but for the scale format, the first is what the others are
            compared with.
        library: What to map to.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        lanes: Vectors side by side, of each kind.
        adders: Whether units are mapped to the library's adder cells too.
        **measuring: How, as `measure_all` takes it.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or a cell cannot be simulated.
        SynthesisError: If a unit cannot be synthesized.
    """
    seeds = seeds_of(orders, seed)
    tensors = real_tensors()
    (recipe,) = choose([_RECIPE])
    if adders:
        recipe = recipe.with_adders()
    fed = {unit: tuple(workloads(unit.spec, unit.stages, tensors, lanes=lanes)) for unit in units}
    samples = iter(
        measure_all(
            [
                MeasurementJob(unit, order, workloads=fed[unit], powered=recipe.varied(order))
                for unit in units
                for order in seeds
            ],
            library,
            **measuring,
        )
    )
    metric = Metric("energy", energy_unit(library), "lower", 0)
    bases = bases_of(units)
    before: dict[tuple[UnitConfig, Vectors], UnitEnergy] = {}
    found: list[UnitEnergy] = []
    for unit in units:
        base = bases.get(unit)
        made = [next(samples).energies for _ in seeds]
        for workload, several in zip(fed[unit], zip(*made, strict=True), strict=True):
            one = UnitEnergy(
                unit,
                workload.vectors,
                Summary(metric, tuple(energy.total for energy in several)),
                Summary(metric, tuple(energy.settled for energy in several)),
            )
            before[unit, workload.vectors] = one
            if base is not None:
                of_base = before[base, workload.vectors]
                one = replace(
                    one,
                    base=base,
                    delta=relative(metric, of_base.total.values, one.total.values),
                    settled_delta=relative(metric, of_base.settled.values, one.settled.values),
                )
            found.append(one)
    return found
