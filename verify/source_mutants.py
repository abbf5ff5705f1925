"""Faults in the generator's own source, by component and by name: are the units they make found out?

Each is one line of the source changed into another, in a copy from which a process of its own
generates a unit.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from .. import base, hw, model
from ..hw import DequantizerConfig, QuantizerConfig, to_verilog
from ..hw.configurations import Configuration
from ..hw.stream_unit import StreamUnit
from ..sim.unit_stimulus import UnitStimulus
from .netlist_mutants import Fate, Mutant, agree, built, examine_mutant, play, stimuli_for
from .proofs.gate_network import Network, network
from .source_faults import (
    DEQUANTIZER_FAULTS,
    FAULTS,
    QUANTIZER_FAULTS,
    TENSOR_SCALE_FAULTS,
    SourceFault,
)

__all__ = ["plant"]

_EMIT: Final = """
import sys
from blockdot.hw import to_verilog
from blockdot.hw.configurations import parse_configuration
sys.stdout.write(to_verilog(parse_configuration(sys.argv[1]).build()).text)
"""
_RANDOM: Final = 2000
_SECONDS: Final = 120


def _folder(package: ModuleType) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent


def _emit(unit: Configuration, fault: SourceFault) -> str | None:
    """Return the Verilog that the faulty generator emits; None if it emits none."""
    with tempfile.TemporaryDirectory(prefix="blockdot-fault-") as name:
        package = Path(name) / "blockdot"
        package.mkdir()
        (package / "__init__.py").write_text("")
        for one in (base, model, hw):
            shutil.copytree(
                _folder(one), package / _folder(one).name, ignore=shutil.ignore_patterns("__pycache__")
            )
        path = package / "hw" / fault.file
        text = path.read_text(encoding="utf-8")
        if text.count(fault.right) != 1:
            raise ValueError(
                f"{fault.file} must have {fault.right!r} once, not {text.count(fault.right)} times"
            )
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _EMIT, unit.name],
            cwd=name,
            env={**os.environ, "PYTHONPATH": name},
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        return done.stdout if done.returncode == 0 else None


def plant(
    unit: Configuration,
    *,
    faults: Sequence[SourceFault] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Mutant, ...]:
    """Generate a unit with each fault of the source that makes another unit of it, and find the faults.

    Args:
        unit: How the unit is built.
        faults: The faults; by default all of the unit's kind.
        progress: Is told how many faults are done, of how many.

    Returns:
        What became of each; without those that leave the unit as it is, as it has no use for their lines.

    Raises:
        ToolError: If pyosys is missing.
        SynthesisError: If Yosys fails.
    """
    if faults is None:
        faults = _faults_of(unit)
    component = built(unit)
    text = to_verilog(component).text
    right = network({"unit.v": text}, component.name)
    stimuli = stimuli_for(unit, _RANDOM, 0)
    planted: list[Mutant] = []
    for k, fault in enumerate(faults):
        emitted = _emit(unit, fault)
        if emitted != text:
            planted.append(
                Mutant(fault.component, fault.name, _fate(component, right, emitted, stimuli), None)
            )
        progress(k + 1, len(faults))
    return tuple(planted)


def _faults_of(unit: Configuration) -> Sequence[SourceFault]:
    """Return the faults of the unit's kind."""
    match unit:
        case QuantizerConfig():
            return QUANTIZER_FAULTS
        case DequantizerConfig():
            return DEQUANTIZER_FAULTS
        case _:
            return FAULTS + TENSOR_SCALE_FAULTS if unit.spec.tensor_scale else FAULTS


def _fate(unit: StreamUnit, right: Network, emitted: str | None, stimuli: Sequence[UnitStimulus]) -> Fate:
    if emitted is None:
        return "killed"  # there is no unit to be tested
    wrong = network({"unit.v": emitted}, unit.name)
    if any(not agree(play(wrong, unit, stimulus)[1], stimulus) for stimulus in stimuli):
        return "killed"
    return examine_mutant(unit, right, wrong)
