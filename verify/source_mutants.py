"""Faults in the generator's own source, by component and by name: are the units they make found out?

Each is one line of the source changed into another, in a copy from which a process of its own
generates a unit.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from .. import base, hw, model
from ..hw import DequantizerConfig, QuantizerConfig, to_verilog
from ..hw.configurations import Configuration
from ..hw.stream_unit import StreamUnit
from ..sim.unit_stimulus import UnitStimulus
from .netlist_mutants import Fate, Mutant, agree, built, examine_mutant, play, stimuli_for, wanted_results
from .proofs.gate_network import Network, network
from .source_faults import (
    DEQUANTIZER_FAULTS,
    FAULTS,
    QUANTIZER_FAULTS,
    TENSOR_SCALE_FAULTS,
    SourceFault,
)
from .source_faults.called_functions import called_functions, may_matter, run_program

__all__ = ["plant"]

_EMIT: Final = """
import sys
from blockdot.hw import to_verilog
from blockdot.hw.configurations import parse_configuration
sys.stdout.write(to_verilog(parse_configuration(sys.argv[1]).build()).text)
"""
_RANDOM: Final = 2000
_SECONDS: Final = 120

# Inputs, and the results that they should give.
_Played = tuple[UnitStimulus, list[int | None]]


def _folder(package: ModuleType) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent


@contextmanager
def _copied() -> Iterator[Path]:
    """Give a copy of the generator's package."""
    with tempfile.TemporaryDirectory(prefix="blockdot-fault-") as name:
        package = Path(name) / "blockdot"
        package.mkdir()
        (package / "__init__.py").write_text("")
        for one in (base, model, hw):
            shutil.copytree(
                _folder(one), package / _folder(one).name, ignore=shutil.ignore_patterns("__pycache__")
            )
        yield package


def _those_that_may_matter(unit: Configuration, faults: Sequence[SourceFault]) -> list[SourceFault]:
    """Return the faults that are in functions that the generator calls for a unit, or in none."""
    with _copied() as package:
        called = called_functions(package, _EMIT, [unit.name], _SECONDS)
        return [fault for fault in faults if may_matter(fault, _source(package, fault), called)]


def _source(package: Path, fault: SourceFault) -> str:
    """Return the text of a fault's file.

    Raises:
        ValueError: If what the fault changes does not stand there once.
    """
    text = (package / "hw" / fault.file).read_text(encoding="utf-8")
    if text.count(fault.right) != 1:
        raise ValueError(f"{fault.file} must have {fault.right!r} once, not {text.count(fault.right)} times")
    return text


def _emit(unit: Configuration, fault: SourceFault) -> str | None:
    """Return the Verilog that the faulty generator emits; None if it emits none."""
    with _copied() as package:
        text = _source(package, fault).replace(fault.right, fault.wrong)
        (package / "hw" / fault.file).write_text(text, encoding="utf-8")
        done = run_program(package, _EMIT, [unit.name], _SECONDS)
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
        RuntimeError: If the generator fails without a fault.
    """
    if faults is None:
        faults = _faults_of(unit)
    component = built(unit)
    text = to_verilog(component).text
    right = network({"unit.v": text}, component.name)
    stimuli = [(one, wanted_results(one)) for one in stimuli_for(unit, _RANDOM, 0)]
    planted: list[Mutant] = []
    tried = _those_that_may_matter(unit, faults)
    for k, fault in enumerate(tried):
        emitted = _emit(unit, fault)
        if emitted != text:
            planted.append(
                Mutant(fault.component, fault.name, _fate(component, right, emitted, stimuli), None)
            )
        progress(k + 1, len(tried))
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


def _fate(unit: StreamUnit, right: Network, emitted: str | None, stimuli: Sequence[_Played]) -> Fate:
    if emitted is None:
        return "killed"  # there is no unit to be tested
    wrong = network({"unit.v": emitted}, unit.name)
    if any(not agree(play(wrong, unit, one, wanted=wanted)[1], wanted) for one, wanted in stimuli):
        return "killed"
    return examine_mutant(unit, right, wrong)
