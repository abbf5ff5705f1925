"""The engines that run the emitted Verilog: cocotb with Verilator, or with Icarus Verilog."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..hw import DotUnit, to_verilog
from . import tools
from .cocotb_job import ANSWER_VARIABLE, JOB_VARIABLE, Job, read_answer
from .cocotb_run import Order, Simulator
from .stream import EngineError, Limits, Outcome, Response, payloads
from .vectors import Stimulus

__all__ = ["NEEDS", "build", "run"]

NEEDS: Final[dict[Simulator, tuple[str, ...]]] = {
    "verilator": ("cocotb", "libpython", "verilator", "make", "c++"),
    "icarus": ("cocotb", "libpython", "icarus"),
}
"""Names of the tools that each simulator needs."""

# Lint is not this engine's business.
_BUILD_ARGUMENTS: Final[dict[Simulator, tuple[str, ...]]] = {"verilator": ("-Wno-fatal",), "icarus": ()}
_RUNNER: Final = Path(__file__).with_name("cocotb_run.py")
_BUILD_SECONDS: Final = 900
# Far above what Icarus takes for the largest unit.
_RUN_SECONDS: Final = 300
_RUN_SECONDS_PER_VECTOR: Final = 0.5
_TAIL: Final = 2000


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings for other people's benches and for pytest."""
    foreign = ("COCOTB_", "GPI_", "PYGPI_", "PYTEST_")
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(foreign) and name not in ("WAVES", "GUI")
    }


def _carry_out(order: Order, environment: Mapping[str, str], seconds: float) -> str:
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
            f"{process.returncode}: {printed.strip()[-_TAIL:]}"
        )
    return printed


def build(unit: DotUnit, simulator: Simulator, build_dir: Path, *, waves: bool = False) -> Path:
    """Build a simulator for a unit's Verilog, unless that has been done.

    It is built in a folder of its own, named after the unit and a hash of everything it is made from,
    and put in its place whole: several processes may build at once.

    Args:
        unit: The unit.
        simulator: ``verilator`` or ``icarus``.
        build_dir: The folder to build in; made if need be.
        waves: Whether it must be able to write a waveform.

    Returns:
        The folder it stands in.

    Raises:
        ToolError: If a tool is missing or too old.
        EngineError: If the build fails.
    """
    found = tools.require(*NEEDS[simulator])
    arguments = list(_BUILD_ARGUMENTS[simulator])
    files = {f"{unit.name}.v": to_verilog(unit).text}
    if simulator == "verilator" and not waves:
        # cocotb has every signal in the design kept for it, which doubles the time of build and run.
        # The bench looks at the ports alone.
        arguments.append("--no-public-flat-rw")
        files["ports.vlt"] = "`verilator_config\n" + "".join(
            f'public_flat_rw -module "{unit.name}" -var "{port.name}"\n' for port in unit.ports
        )
    key = [*files.values(), simulator, *arguments, str(waves), sys.prefix]
    key += [f"{tool.path} {tool.version}" for tool in found.values()]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:20]
    build_dir.mkdir(parents=True, exist_ok=True)
    final = build_dir.resolve() / f"{unit.name}-{simulator}-{digest}"
    if final.is_dir():
        return final
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".build-") as folder:
        beside = Path(folder).resolve() / "build"
        beside.mkdir()
        for name, text in files.items():
            (beside / name).write_text(text, encoding="utf-8")
        order = Order(
            action="build",
            simulator=simulator,
            top=unit.name,
            sources=list(files),
            build_dir=str(beside),
            test_dir=str(beside),
            waves=waves,
            arguments=arguments,
        )
        environment = os.environ
        if simulator == "verilator":
            environment = tools.verilator_environment(found, Path(folder).resolve())
        _carry_out(order, _clean(environment), _BUILD_SECONDS)
        try:
            beside.rename(final)
        except OSError:
            if not final.is_dir():  # else another process was first
                raise
    return final


def run(
    unit: DotUnit,
    stimulus: Stimulus,
    *,
    simulator: Simulator,
    build_dir: Path,
    limits: Limits,
    trace: Path | None,
) -> tuple[Outcome, Response]:
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
    built = build(unit, simulator, build_dir, waves=trace is not None)
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".run-") as folder:
        here = Path(folder).resolve()
        job, answer = here / "job.npz", here / "answer.npz"
        Job(
            stages=unit.stages,
            shown=payloads(unit, stimulus),
            last=stimulus.last,
            offer=stimulus.offer,
            accept=stimulus.accept,
            undefined=stimulus.undefined_count,
            limits=limits,
        ).write(job)
        waveform = here / f"waveform{trace.suffix}" if trace else None
        verilator = simulator == "verilator"
        order = Order(
            action="test",
            simulator=simulator,
            top=unit.name,
            build_dir=str(built),
            test_dir=str(here),
            waves=trace is not None,
            arguments=["--trace-file", str(waveform)] if waveform and verilator else [],
            plusargs=[f"+dumpfile_path={waveform}"] if waveform and not verilator else [],
        )
        environment = _clean(os.environ) | {JOB_VARIABLE: str(job), ANSWER_VARIABLE: str(answer)}
        seconds = _RUN_SECONDS + _RUN_SECONDS_PER_VECTOR * stimulus.vectors
        printed = _carry_out(order, environment, seconds)
        if waveform and waveform.is_file() and trace:
            shutil.move(waveform, trace)  # may be another file system
        if not answer.is_file():
            raise EngineError(
                f"{simulator} must play the bench for {unit.name} to its end, not stop before: "
                f"{printed.strip()[-_TAIL:]}"
            )
        return read_answer(answer)
