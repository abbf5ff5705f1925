"""The engines that run the emitted Verilog: cocotb with Verilator, or with Icarus Verilog."""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...base import external_tools
from ...hw import to_verilog
from ...hw.stream_unit import StreamUnit
from ..stream_rules import EngineError, Limits, Response, RunOutcome, payloads, result_ports
from ..unit_stimulus import UnitStimulus
from .cocotb_job import ANSWER_VARIABLE, JOB_VARIABLE, PlayJob, read_answer
from .cocotb_process import Order, Simulator

__all__ = [
    "NEEDS",
    "TAIL",
    "Design",
    "build",
    "carry_out",
    "folder_without_spaces",
    "run",
    "seconds_for",
    "simulate",
]

NEEDS: Final[dict[Simulator, tuple[str, ...]]] = {
    "verilator": ("cocotb", "libpython", "verilator", "make", "c++"),
    "icarus": ("cocotb", "libpython", "icarus"),
}
"""Names of the tools that each simulator needs."""

# Lint is not this engine's business.
_BUILD_ARGUMENTS: Final[dict[Simulator, tuple[str, ...]]] = {"verilator": ("-Wno-fatal",), "icarus": ()}
_RUNNER: Final = Path(__file__).with_name("cocotb_process.py")
_OBJECTS: Final = Path(__file__).with_name("verilator_objects.py")
_BUILD_SECONDS: Final = 900
# Far above what Icarus takes for the largest unit.
_RUN_SECONDS: Final = 300
_RUN_SECONDS_PER_VECTOR: Final = 0.5
TAIL: Final = 2000
"""Characters at the end of what a simulator printed that an error shows."""

_MOST: Final = 400
_ERROR: Final = re.compile(r"%Error|\berror:|\*\*\* ", re.IGNORECASE)
_NO_LIBRARY: Final = "!<arch>\n"


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings for other people's benches and for pytest."""
    foreign = ("COCOTB_", "GPI_", "PYGPI_", "PYTEST_")
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(foreign) and name not in ("WAVES", "GUI")
    }


def carry_out(order: Order, environment: Mapping[str, str], seconds: float) -> str:
    """Carry out an order in a process of its own and return what was printed.

    Raises:
        EngineError: If it takes longer than `seconds`, or fails.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", str(_RUNNER), order.to_json()],
        env=dict(environment),
        cwd=order.build_dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that the simulator can be ended with it
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise EngineError(
            f"{order.simulator} must {order.action} {order.top} within {seconds:.0f} s, not take longer"
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise EngineError(
            f"{order.simulator} must {order.action} {order.top}, not fail with exit code "
            f"{process.returncode}: {_why(printed)}"
        )
    return printed


def _why(printed: str) -> str:
    """Return what a program that failed says of it: its errors, or else its last line."""
    # What follows is the traceback of the process that called it.
    said = [line.strip() for line in printed.partition("Traceback (most recent call last):")[0].splitlines()]
    errors = [line for line in said if _ERROR.search(line)]
    last = [line for line in said or printed.splitlines() if line][-1:]
    return " ".join(errors or last)[:_MOST]


@dataclass(frozen=True)
class Design:
    """Verilog to simulate.

    Attributes:
        top: Name of the top module.
        text: The Verilog.
        ports: Names of the top module's ports, as far as a bench uses them.
    """

    top: str
    text: str
    ports: tuple[str, ...]

    @classmethod
    def of(cls, unit: StreamUnit) -> "Design":
        """Return a unit's Verilog."""
        return cls(unit.name, to_verilog(unit).text, tuple(port.name for port in unit.ports))


@contextmanager
def folder_without_spaces() -> Iterator[Path]:
    """Make a folder for temporary files whose path make can read.

    Raises:
        EngineError: If the system's temporary folder has a space in its path too.
    """
    with tempfile.TemporaryDirectory(prefix="blockdot-") as folder:
        made = Path(folder).resolve()
        if re.search(r"\s", str(made)):
            raise EngineError(
                "verilator must build in a folder without spaces in its path, not in "
                f"{str(made.parent)!r}: set TMPDIR to one"
            )
        yield made


def build(design: Design, simulator: Simulator, build_dir: Path, *, waves: bool = False) -> Path:
    """Build a simulator for a design, unless that has been done.

    It is built in a folder of its own, named after the design and a hash of everything it is made from,
    and put in its place whole: several processes may build at once.

    Args:
        design: The design.
        simulator: ``verilator`` or ``icarus``.
        build_dir: The folder to build in; made if need be.
        waves: Whether it must be able to write a waveform.

    Returns:
        The folder it stands in.

    Raises:
        ToolError: If a tool is missing or too old.
        EngineError: If the build fails.
    """
    found = external_tools.require_tools(*NEEDS[simulator])
    arguments = list(_BUILD_ARGUMENTS[simulator])
    sources = {f"{design.top}.v": design.text}
    beside_them: dict[str, str] = {}
    if simulator == "verilator" and waves:
        # The writer of FST takes its compression from libraries whose headers few machines have.
        arguments += ["--trace-fst", "-CFLAGS", "-I.", "-LDFLAGS", "-L."]
        store = Path(__file__).with_name("store.h").read_text(encoding="utf-8")
        beside_them = {"lz4.h": store, "zlib.h": store, "liblz4.a": _NO_LIBRARY, "libz.a": _NO_LIBRARY}
    elif simulator == "verilator":
        # cocotb has every signal in the design kept for it, which doubles the time of build and run.
        # The bench looks at the ports alone.
        arguments.append("--no-public-flat-rw")
        sources["ports.vlt"] = "`verilator_config\n" + "".join(
            f'public_flat_rw -module "{design.top}" -var "{port}"\n' for port in design.ports
        )
    key = [*sources.values(), *beside_them.values(), simulator, *arguments, str(waves), sys.prefix]
    key += [f"{tool.path} {tool.version}" for tool in found.values()]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:20]
    build_dir.mkdir(parents=True, exist_ok=True)
    final = build_dir.resolve() / f"{design.top}-{simulator}-{digest}"
    if final.is_dir():
        return final
    with (
        tempfile.TemporaryDirectory(dir=build_dir, prefix=".build-") as folder,
        contextlib.ExitStack() as held,
    ):
        # Make cannot build where the path has a space: then it builds elsewhere, and what comes of it moves.
        apart = simulator == "verilator" and re.search(r"\s", str(Path(folder).resolve())) is not None
        here = held.enter_context(folder_without_spaces()) if apart else Path(folder).resolve()
        beside = here / "build"
        beside.mkdir()
        for name, text in (sources | beside_them).items():
            (beside / name).write_text(text, encoding="utf-8")
        order = Order(
            action="build",
            simulator=simulator,
            top=design.top,
            sources=list(sources),
            build_dir=str(beside),
            test_dir=str(beside),
            waves=waves,
            arguments=arguments,
        )
        environment = os.environ
        if simulator == "verilator":
            environment = external_tools.verilator_environment(found, here)
            # Where the user keeps objects already (ccache), that does it.
            objects = build_dir.resolve() / f"verilator-{found['verilator'].version}-objects"
            environment.setdefault(
                "OBJCACHE", shlex.join([sys.executable, "-P", str(_OBJECTS), str(objects)])
            )
        carry_out(order, _clean(environment), _BUILD_SECONDS)
        built = Path(folder).resolve() / "build"
        if apart:
            shutil.copytree(beside, built, symlinks=True)
        try:
            built.rename(final)
        except OSError:
            if not final.is_dir():  # else another process was first
                raise
    return final


def simulate(
    design: Design,
    module: str,
    environment: Mapping[str, str],
    *,
    simulator: Simulator,
    build_dir: Path,
    seconds: float,
    trace: Path | None,
    tests: Sequence[str] = (),
) -> str:
    """Run a module's cocotb tests on a design.

    Args:
        design: The design.
        module: Name of the Python module.
        environment: What the module finds in its environment, besides what this process has.
        simulator: ``verilator`` or ``icarus``.
        build_dir: Where built simulators are kept.
        seconds: How long it may take.
        trace: A waveform file to write, or None.
        tests: Names of the tests; all of them where it is empty.

    Returns:
        What was printed.

    Raises:
        ToolError: If a tool is missing or too old.
        EngineError: If the simulator fails, or takes far too long.
    """
    built = build(design, simulator, build_dir, waves=trace is not None)
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".run-") as folder:
        here = Path(folder).resolve()
        waveform = here / f"waveform{trace.suffix}" if trace else None
        verilator = simulator == "verilator"
        order = Order(
            action="test",
            simulator=simulator,
            top=design.top,
            module=module,
            tests=list(tests),
            build_dir=str(built),
            test_dir=str(here),
            waves=trace is not None,
            arguments=["--trace-file", str(waveform)] if waveform and verilator else [],
            plusargs=[f"+dumpfile_path={waveform}"] if waveform and not verilator else [],
        )
        printed = carry_out(order, _clean(os.environ) | dict(environment), seconds)
        if waveform and waveform.is_file() and trace:
            trace.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(waveform, trace)  # may be another file system
        return printed


def seconds_for(vectors: int) -> float:
    """Return how long a simulator is waited for that plays so many vectors."""
    return _RUN_SECONDS + _RUN_SECONDS_PER_VECTOR * vectors


def run(
    unit: StreamUnit,
    stimulus: UnitStimulus,
    *,
    simulator: Simulator,
    build_dir: Path,
    limits: Limits,
    trace: Path | None,
) -> tuple[RunOutcome, Response]:
    """Run a stimulus through a unit's Verilog.

    Args:
        unit: The unit.
        stimulus: What to put in.
        simulator: ``verilator`` or ``icarus``.
        build_dir: Where built simulators are kept.
        limits: How long to wait.
        trace: A waveform file to write, or None.

    Returns:
        How the run ended, and what the unit answered.

    Raises:
        ToolError: If a tool is missing or too old.
        EngineError: If the simulator fails, or takes far too long.
    """
    external_tools.require_tools(*NEEDS[simulator])
    build_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".job-") as folder:
        here = Path(folder).resolve()
        job, answer = here / "job.npz", here / "answer.npz"
        PlayJob(
            stages=unit.stages,
            shown=payloads(unit, stimulus),
            results={port.name: port.width for port in result_ports(unit)},
            last=stimulus.last,
            offer=stimulus.offer,
            accept=stimulus.accept,
            undefined=stimulus.undefined_count,
            limits=limits,
        ).write(job)
        printed = simulate(
            Design.of(unit),
            "blockdot.sim.engines.cocotb_player",
            {JOB_VARIABLE: str(job), ANSWER_VARIABLE: str(answer)},
            simulator=simulator,
            build_dir=build_dir,
            seconds=seconds_for(stimulus.vectors),
            trace=trace,
        )
        if not answer.is_file():
            raise EngineError(
                f"{simulator} must play the bench for {unit.name} to its end, not stop before: "
                f"{printed.strip()[-TAIL:]}"
            )
        return read_answer(answer)
