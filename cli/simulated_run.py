"""One simulation of a unit, its results compared with the model's."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..model import BlockTensor
from .repeat_command import mismatch_text
from .simulated_inputs import tensor_stimulus

if TYPE_CHECKING:
    from ..hw import DotUnit
    from ..hw.stream_unit import StreamUnit
    from ..sim import Engine
    from ..sim.unit_stimulus import UnitStimulus

__all__ = ["SimulatedRun", "run_stimulus", "simulate_tensors"]


@dataclass(frozen=True)
class SimulatedRun:
    """How a unit did on a stimulus.

    Attributes:
        unit: Name of the unit.
        engine: What simulated it.
        vectors: Inputs it took.
        results: Results it gave that the specification defines.
        mismatches: How many of them differ from the model.
        cycles: Cycles that were simulated.
        seconds: Time the simulation took, building included.
        first_mismatch: What is to be known of the first ones; empty if there is none.
    """

    unit: str
    engine: str
    vectors: int
    results: int
    mismatches: int
    cycles: int
    seconds: float
    first_mismatch: str


def run_stimulus(
    unit: "StreamUnit",
    stimulus: "UnitStimulus",
    *,
    engine: "Engine",
    build_dir: Path,
    trace: Path | None = None,
) -> SimulatedRun:
    """Run a stimulus and compare the results with the model's."""
    from ..sim import run
    from ..verify.compare import compare

    start = time.perf_counter()
    response = run(unit, stimulus, engine=engine, build_dir=build_dir / "sim", trace=trace)
    seconds = time.perf_counter() - start
    report = compare(unit.config, stimulus, response, engine=engine)
    return SimulatedRun(
        unit=unit.name,
        engine=engine,
        vectors=stimulus.vectors,
        results=report.compared + report.missing,
        mismatches=report.differing + report.missing,
        cycles=response.cycles,
        seconds=seconds,
        first_mismatch="" if report.equal else "\n".join(map(mismatch_text, report.mismatches)),
    )


def simulate_tensors(
    unit: "DotUnit", left: BlockTensor, right: BlockTensor, *, build_dir: Path, engine: "Engine" = "cxxrtl"
) -> SimulatedRun:
    """Run every block of two quantized matrices of equal shape through a unit, row against row."""
    stimulus = tensor_stimulus(unit.spec, left, right)
    return run_stimulus(unit, stimulus, engine=engine, build_dir=build_dir)
