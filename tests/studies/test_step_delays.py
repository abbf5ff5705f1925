"""The estimates that registers are placed by, against synthesis."""

import tempfile
from pathlib import Path

import pytest
from blockdot.hw import UnitConfig
from blockdot.model import DotSpec

from studies.step_delays import StepRun, main, measure_steps, step_runs

FP32 = DotSpec(scale="ue5m3", accumulate="fp32")
EXACT = DotSpec(scale="ue4m3", accumulate="exact")


def test_runs_are_single_steps_and_pairs_that_a_stage_can_hold() -> None:
    names = [run.name for run in step_runs(UnitConfig(EXACT, optimise="delay"))]
    assert names[:3] == ["product", "compress", "add"]
    assert "place, accumulate" in names
    assert "accumulate, normalise" not in names


@pytest.mark.parametrize(
    ("run", "step"),
    [
        (StepRun(UnitConfig(FP32, optimise="delay"), 0, 1), "product"),
        (StepRun(UnitConfig(FP32, optimise="delay"), 0, 2), "product, compress"),
        (StepRun(UnitConfig(FP32, optimise="delay"), 2, 2), "add, multiply"),
        (StepRun(UnitConfig(FP32, optimise="delay"), 4, 1), "normalise"),
        (StepRun(UnitConfig(FP32, optimise="area"), 2, 1), "add"),
        (StepRun(UnitConfig(EXACT, optimise="delay"), 4, 1), "place"),
        (StepRun(UnitConfig(EXACT, optimise="area"), 5, 1), "accumulate"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.config.optimise,
)
def test_an_estimate_is_near_what_synthesis_gives(
    run: StepRun, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run.name == step
    assert run.estimate == pytest.approx(measure_steps(run), rel=0.12)
    assert not list(tmp_path.iterdir())


@pytest.mark.matrix
def test_the_command_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["e2m1_ue2m0_n2_none", "--optimise", "area"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("e2m1_ue2m0_n2_none" in line for line in lines) == 11
    assert main(["e2m1"]) == 2
    assert capsys.readouterr().err.startswith("depths: ")
