"""The command that repeats a simulation: what a mismatch is printed with."""

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..model.accumulate import ACCUMULATIONS

if TYPE_CHECKING:
    from ..hw import DequantizerConfig, QuantizerConfig, UnitConfig
    from ..hw.config import PipelineConfig
    from ..hw.configurations import Configuration
    from ..sim.engines.run import Engine
    from ..sim.unit_stimulus import StimulusSource
    from ..verify.compare import Mismatch

__all__ = ["mismatch_text", "repeat_command"]


def repeat_command(
    config: "Configuration",
    source: "StimulusSource | None",
    engine: "Engine",
) -> str | None:
    """Return the command line that repeats a run.

    Args:
        config: How the unit is built.
        source: Where what was put in came from.
        engine: What simulated it.

    Returns:
        A ``blockdot simulate`` command; None if it is not known what gives the stimulus again, or the command
        has no options for the unit.
    """
    from ..hw import DequantizerConfig, UnitConfig

    if source is None:
        return None
    if isinstance(config, UnitConfig):
        of_dot = _unit_words(config)
        if of_dot is None:
            return None
        unit = of_dot
    elif isinstance(config, DequantizerConfig):
        unit = _dequantizer_words(config)
    else:
        unit = _quantizer_words(config)
    return shlex.join(["blockdot", "simulate", *unit, "--engine", engine, *_stimulus_words(source)])


def _unit_words(config: "UnitConfig") -> list[str] | None:
    from ..model.aligned_sum import UNIT, ZERO_EXPONENT
    from ..model.presets import PRESETS

    spec = config.spec
    flags: dict[str, object] = {}
    if (spec.term_size, spec.zero_exponent) != (UNIT, ZERO_EXPONENT):
        # No option tells these: only the name of a tensor core does.
        plain = replace(spec, takes_c=False, tensor_scale=False)
        preset = next((name for name, one in PRESETS.items() if one.spec == plain), None)
        if preset is None:
            return None
        flags |= {"--preset": preset, "--stages": config.stages}
    else:
        flags |= {
            "--element": "x".join(dict.fromkeys(fmt.name for fmt in spec.elements)),
            "--scale": "x".join(dict.fromkeys(fmt.name for fmt in spec.scales)),
            "--block-size": spec.block_size,
            "--blocks": spec.blocks,
            "--accumulate": spec.accumulate,
        }
        accumulation = ACCUMULATIONS[spec.accumulate]
        if accumulation.guard:
            flags["--guard"] = spec.guard
        if accumulation.fraction:
            flags["--fraction"] = spec.fraction
        flags["--stages"] = config.stages
        if spec.result != "binary32":
            flags["--result"] = spec.result
    words = _words(flags, config)
    if spec.takes_c:
        words.append("--takes-c")
    if spec.tensor_scale:
        words.append("--tensor-scale")
    return words if config.segment is None else [*words, "--segment", str(config.segment)]


def _quantizer_words(config: "QuantizerConfig") -> list[str]:
    spec = config.spec
    flags: dict[str, object] = {
        "--unit": "quantizer",
        "--input": spec.input,
        "--element": spec.element,
        "--scale": spec.scale,
        "--block-size": spec.block_size,
        "--method": spec.method,
        "--stages": config.stages,
    }
    if spec.stochastic:
        flags["--rounding"] = spec.rounding
        flags["--random-bits"] = spec.random_bits
    more = {"--tensor-scale": spec.tensor_scale, "--serial": config.serial}
    return [*_words(flags, config), *(flag for flag, given in more.items() if given)]


def _dequantizer_words(config: "DequantizerConfig") -> list[str]:
    spec = config.spec
    flags: dict[str, object] = {
        "--unit": "dequantizer",
        "--element": spec.element,
        "--scale": spec.scale,
        "--block-size": spec.block_size,
        "--output-format": spec.output,
        "--stages": config.stages,
    }
    return _words(flags, config)


def _words(flags: dict[str, object], config: "PipelineConfig[Any]") -> list[str]:
    """Return options with their values; behind them what of the unit's form is not as by default."""
    if config.optimise != "area":
        flags["--optimise"] = config.optimise
    if config.order:
        flags["--order"] = config.order
    return [str(word) for flag in flags.items() for word in flag]


def _stimulus_words(source: "StimulusSource") -> list[str]:
    from ..sim.unit_stimulus import LONGEST

    words: list[str] = ["--directed"] if source.kind == "directed" else []
    for flag, tensor in zip(("--tensor", "--against"), source.tensors, strict=False):
        words += [flag, tensor]
    if source.seed is not None:
        words += ["--seed", str(source.seed)]
    if source.count is not None:
        words += ["--vectors", str(source.count)]
    if source.longest != LONGEST:
        words += ["--longest", str(source.longest)]
    return words if source.stalls else [*words, "--no-stalls"]


def mismatch_text(mismatch: "Mismatch") -> str:
    """Return a mismatch with the command that repeats it, if there is one."""
    command = repeat_command(mismatch.unit, mismatch.stimulus.source, mismatch.engine)
    return str(mismatch) if command is None else f"{mismatch}\n  repeat: {command}"
