"""Runs the cocotb tests of a design, and reads how each of them ended."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from ...base import external_tools
from ...model.specifications import Specification
from ..stream_rules import EngineError
from .cocotb_engine import NEEDS, TAIL, Design, seconds_for, simulate
from .cocotb_process import RESULTS_VARIABLE, SETTINGS_VARIABLE, Simulator

__all__ = ["TestResult", "run_tests"]


@dataclass(frozen=True)
class TestResult:
    """How one cocotb test ended.

    Attributes:
        name: Its name.
        outcome: ``passed``, ``failed`` or ``skipped``.
        seconds: How long it took.
        message: What went wrong; empty if nothing did.
    """

    __test__ = False  # not a test of pytest's, whatever its name

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    seconds: float
    message: str


def run_tests(
    design: Design,
    spec: Specification,
    *,
    serial: bool = False,
    simulator: Simulator,
    build_dir: Path,
    vectors: int = 300,
    seed: int = 0,
    trace: Path | None = None,
    tests: Sequence[str] = (),
) -> list[TestResult]:
    """Run the tests of `cocotb_tests` on a design.

    Args:
        design: The design, with valid/ready streams under blockdot's own names.
        spec: What it should compute.
        serial: Whether it is a quantizer that takes a number a cycle.
        simulator: ``verilator`` or ``icarus``.
        build_dir: Where built simulators are kept.
        vectors: Vectors of the random tests, at least 8.
        seed: Seed of all that is random; not negative.
        trace: A waveform file to write, or None.
        tests: Names of the tests; all of them where it is empty.

    Returns:
        How each test ended.

    Raises:
        ValueError: If a number is outside its domain.
        ToolError: If a tool is missing or too old.
        EngineError: If the simulator fails, or takes far too long.
    """
    for name, value, least in (("vectors", vectors, 8), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    external_tools.require_tools(*NEEDS[simulator])
    build_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build_dir, prefix=".tests-") as folder:
        results = Path(folder).resolve() / "results.xml"
        settings = {"spec": spec.name, "serial": serial, "vectors": vectors, "seed": seed}
        printed = simulate(
            design,
            "blockdot.verify.cocotb_tests",
            {SETTINGS_VARIABLE: json.dumps(settings), RESULTS_VARIABLE: str(results)},
            simulator=simulator,
            build_dir=build_dir,
            seconds=seconds_for(10 * vectors),
            trace=trace,
            tests=tests,
        )
        if not results.is_file():
            raise EngineError(
                f"{simulator} must run the tests of {design.top} to their end, not stop before: "
                f"{printed.strip()[-TAIL:]}"
            )
        return [_result(case) for case in ElementTree.parse(results).iter("testcase")]


def _result(case: ElementTree.Element) -> TestResult:
    failure = case.find("failure") if case.find("failure") is not None else case.find("error")
    outcome = "failed" if failure is not None else "skipped" if case.find("skipped") is not None else "passed"
    # The assertion's own words, from the last line of its traceback.
    lines = ((failure.text or failure.get("message", "")) if failure is not None else "").strip().splitlines()
    message = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
    return TestResult(
        case.get("name", ""),
        outcome,
        float(case.get("time", 0)),
        message.strip(),
    )
