"""One way to run a unit, whatever simulates it."""

import os
from pathlib import Path
from typing import Final, Literal

from ...base import external_tools
from ...hw.stream_unit import StreamUnit
from ..stream_rules import Limits, Response
from ..unit_stimulus import UnitStimulus
from . import cocotb_engine, cxxrtl, pysim

__all__ = ["BUILD_DIR", "ENGINES", "Engine", "problem", "run"]

Engine = Literal["pysim", "cxxrtl", "verilator", "icarus"]

ENGINES: Final[dict[Engine, str]] = {
    "pysim": "Amaranth's own simulator: always there, slow",
    "cxxrtl": "the unit compiled as C++: for volume",
    "verilator": "the emitted Verilog in Verilator, driven by cocotb",
    "icarus": "the emitted Verilog in Icarus Verilog, driven by cocotb",
}
"""The engines, and what each is."""

BUILD_DIR: Final = Path("build/sim")
"""Where compiled units are kept by default."""

_NEEDS: Final[dict[Engine, tuple[str, ...]]] = {
    "pysim": ("amaranth",),
    "cxxrtl": cxxrtl.NEEDS,
    "verilator": cocotb_engine.NEEDS["verilator"],
    "icarus": cocotb_engine.NEEDS["icarus"],
}

_WAVEFORM: Final[dict[Engine, str | None]] = {
    "pysim": ".vcd",
    "cxxrtl": None,
    "verilator": ".fst",
    "icarus": ".fst",
}


def problem(engine: Engine) -> str | None:
    """Return why an engine cannot run on this machine and how to mend that, in one line; or None."""
    return next((text for name in _NEEDS[engine] if (text := external_tools.find(name).problem)), None)


def run(
    unit: StreamUnit,
    stimulus: UnitStimulus,
    *,
    engine: Engine = "pysim",
    build_dir: str | os.PathLike[str] = BUILD_DIR,
    trace: str | os.PathLike[str] | None = None,
    patience: int | None = None,
) -> Response:
    """Run a stimulus through a unit, hold it to the rules of its streams, and return what it answers.

    Every engine gives the same response to the same stimulus, cycle by cycle; the rules are in
    `blockdot.sim.stream_rules`.

    Args:
        unit: The unit.
        stimulus: What to put in, and when; for the unit's specification.
        engine: One of `ENGINES`.
        build_dir: Where compiled units are kept between runs; made if need be. ``pysim`` needs none.
        trace: A waveform file to write: ``.vcd`` from ``pysim``, ``.fst`` from ``verilator`` and
            ``icarus``, none from ``cxxrtl``.
        patience: Cycles without a transfer after which the unit is held to be stuck; by default more
            than any working unit needs.

    Returns:
        Results, and the cycles of all transfers.

    Raises:
        ValueError: If the engine is unknown, cannot write that waveform, the unit is moved by something else
            than its streams, or the stimulus is for another specification.
        ToolError: If a tool that the engine needs is missing or too old.
        EngineError: If the simulator or its compiler fails.
        StreamError: If the unit breaks a rule of its streams; with what it answered until then.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    if unit.flow != "stream":
        raise ValueError(f"unit must have flow 'stream' for an engine, not {unit.flow!r}")
    if stimulus.spec != unit.spec:
        raise ValueError(f"stimulus must be for {unit.spec.name}, not {stimulus.spec.name}")
    if patience is not None and patience < 1:
        raise ValueError(f"patience must be at least 1 cycle, not {patience}")
    waveform = None if trace is None else Path(trace).resolve()
    if waveform is not None and waveform.suffix != _WAVEFORM[engine]:
        rule = f"a {_WAVEFORM[engine]} file" if _WAVEFORM[engine] else "None"
        raise ValueError(f"trace must be {rule} for engine {engine}, not {str(trace)!r}")
    limits = Limits.of(unit.latency, stimulus)
    if patience is not None:
        limits = Limits(patience=patience, drain=limits.drain)
    folder = Path(build_dir)
    match engine:
        case "pysim":
            outcome, response = pysim.run(unit, stimulus, limits=limits, trace=waveform)
        case "cxxrtl":
            outcome, response = cxxrtl.run(unit, stimulus, build_dir=folder, limits=limits)
        case "verilator" | "icarus":
            outcome, response = cocotb_engine.run(
                unit, stimulus, simulator=engine, build_dir=folder, limits=limits, trace=waveform
            )
    return outcome.conclude(unit, stimulus, limits, response)
