"""The unit that options ask for: its specification and configuration, and options that do not go together."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

from ..model import DotSpec
from ..model.accumulate import ACCUMULATIONS
from ..model.dequantizer import DequantizerSpec, OutputName
from ..model.quantizer import (
    InputName,
    QuantizerMethod,
    QuantizerRounding,
    QuantizerSpec,
)
from ..model.spec import Accumulate
from ..model.specifications import parse_specification
from .options import UnitKind

if TYPE_CHECKING:
    from ..hw import DequantizerConfig, QuantizerConfig
    from ..hw.config import Flow, Optimise, UnitConfig
    from ..hw.configurations import Configuration

__all__ = [
    "DOT_OPTIONS",
    "BlockUnitOptions",
    "format_names",
    "make_block_config",
    "make_config",
    "make_spec",
    "parse_config",
    "parse_dot",
    "require_apart",
    "require_effect",
    "require_preset_alone",
    "require_unit",
]

DOT_OPTIONS = (
    "--blocks",
    "--accumulate",
    "--guard",
    "--fraction",
    "--result",
    "--takes-c",
    "--preset",
    "--segment",
)
"""What only dot products have, of the options that kinds of units share."""


def parse_config(
    name: str,
    *,
    stages: int | None = None,
    optimise: "Optimise" = "area",
    order: int = 0,
    segment: int | None = None,
    serial: bool = False,
) -> "Configuration":
    """Return the configuration of the unit, of any kind, whose specification has that name.

    Raises:
        ValueError: If it is no specification's name, or the configuration is not a legal one.
    """
    from ..hw.configurations import configure

    spec = parse_specification(name)
    if serial and not isinstance(spec, QuantizerSpec):
        raise ValueError(f"--serial must go with a quantizer, not with {name}")
    if isinstance(spec, DotSpec):
        return make_config(spec, stages=stages, optimise=optimise, order=order, segment=segment)
    if segment is not None:
        raise ValueError(f"--segment must go with a dot product, not with {name}")
    form: dict[str, Any] = {"stages": stages or 0, "optimise": optimise, "order": order}
    if serial:
        # The least that such a unit has.
        form |= {"stages": 1 if stages is None else stages, "serial": True}
    return configure(spec, **form)


def parse_dot(name: str, command: str, instead: str) -> DotSpec:
    """Return the specification of that name for a command that only dot products have.

    Args:
        name: Its name.
        command: The command.
        instead: What there is for quantizers and dequantizers.

    Raises:
        ValueError: If it is no dot product's name.
    """
    spec = parse_specification(name)
    if not isinstance(spec, DotSpec):
        raise ValueError(f"{command} must be of a dot product, not of {name}, for which {instead}")
    return spec


def format_names(text: str) -> str | tuple[str, str]:
    """Return the name of a format, or the two of a pair AxB."""
    parts = text.split("x")  # as in a specification's name; no format has an x in its own
    return parts[0] if len(parts) == 1 else cast("tuple[str, str]", tuple(parts))


def make_spec(
    *,
    element: str,
    scale: str,
    block_size: int,
    blocks: int,
    accumulate: Accumulate,
    guard: int,
    fraction: int = 35,
    result: str = "binary32",
    takes_c: bool = False,
    tensor_scale: bool = False,
    preset: str | None = None,
    given: Collection[str] = (),
) -> DotSpec:
    """Return the specification that the shared options describe.

    Args:
        element: Element format, or a pair AxB.
        scale: Scale format, or a pair AxB.
        block_size: Elements under one scale.
        blocks: Blocks taken at once.
        accumulate: The accumulation.
        guard: Guard bits of ``exact``.
        fraction: Bits kept by ``aligned``.
        result: What results are.
        takes_c: Whether sums start at C.
        tensor_scale: Whether results are multiplied by a tensor scale.
        preset: A published tensor core instead.
        given: The options on the command line.

    Raises:
        ValueError: If it is not a legal one, a preset comes with an option that says what it says, or an
            option has no effect on the accumulation.
    """
    if preset is not None:
        require_preset_alone(given)
        return replace(DotSpec.preset(preset), takes_c=takes_c, tensor_scale=tensor_scale)
    require_effect([accumulate], given)
    return DotSpec(
        element=format_names(element),
        scale=format_names(scale),
        block_size=block_size,
        blocks=blocks,
        accumulate=accumulate,
        guard=guard,
        fraction=fraction,
        result=result,
        takes_c=takes_c,
        tensor_scale=tensor_scale,
    )


def make_config(
    spec: DotSpec,
    *,
    stages: int | None = None,
    optimise: "Optimise" = "area",
    flow: "Flow" = "stream",
    order: int = 0,
    segment: int | None = None,
    tile: tuple[int, int] | None = None,
) -> "UnitConfig":
    """Return the configuration that the shared options describe, of the fewest stages where none are given.

    Raises:
        ValueError: If it is not a legal one.
    """
    from ..hw.config import UnitConfig, least_stages

    return UnitConfig(
        spec,
        stages=least_stages(spec) if stages is None else stages,
        optimise=optimise,
        flow=flow,
        order=order,
        segment=segment,
        tile=tile,
    )


def require_unit(unit: str, only: str, options: Iterable[str], given: Collection[str]) -> None:
    """Refuse options that only go with one kind of unit.

    Args:
        unit: The kind that is asked for.
        only: The kind that the options go with.
        options: The options.
        given: Those on the command line.

    Raises:
        ValueError: If the kinds differ and one of the options is given.
    """
    for name in options:
        if unit != only and name in given:
            raise ValueError(f"{name} must go with --unit {only}, not with {unit}")


def require_preset_alone(given: Collection[str], *more: str) -> None:
    """Refuse options that say what a preset says itself.

    Args:
        given: The options on the command line.
        *more: Options of the command that say it, besides those here.

    Raises:
        ValueError: If one of them says what a preset says.
    """
    said = (
        "--element",
        "--scale",
        "--block-size",
        "--blocks",
        "--accumulate",
        "--guard",
        "--fraction",
        "--result",
        *more,
    )
    require_apart(("--preset", *given), "--preset", said, "which it says itself")


def require_apart(given: Collection[str], option: str, others: Iterable[str], reason: str) -> None:
    """Refuse options that have no effect beside another.

    Args:
        given: The options on the command line.
        option: The option beside which they have none.
        others: They.
        reason: Why they have none, as the end of the message.

    Raises:
        ValueError: If it is given, and one of them too.
    """
    for name in others if option in given else ():
        if name in given:
            raise ValueError(f"{option} must go without {name}, {reason}")


def require_effect(accumulates: Iterable[str], given: Collection[str]) -> None:
    """Refuse options that have no effect on any of these accumulations.

    Args:
        accumulates: Their names.
        given: The options on the command line.

    Raises:
        ValueError: If one of them is given. A name that is none is left to whoever takes it.
    """
    names = list(accumulates)
    with_guard = [name for name in ACCUMULATIONS if ACCUMULATIONS[name].guard]
    with_fraction = [name for name in ACCUMULATIONS if ACCUMULATIONS[name].fraction]
    for option, having in (("--guard", with_guard), ("--fraction", with_fraction)):
        if option in given and set(names) <= set(ACCUMULATIONS) - set(having):
            raise ValueError(
                f"{option} must go with --accumulate {' or '.join(having)}, not with {', '.join(names)}"
            )


@dataclass(frozen=True, kw_only=True)
class BlockUnitOptions:
    """What is asked of quantizers alone, and of dequantizers alone; the defaults are those of the options.

    A tensor scale may be asked of a dot product as well.
    """

    input: InputName = "bf16"
    method: QuantizerMethod = "absmax"
    rounding: QuantizerRounding = "nearest_even"
    random_bits: int = 8
    tensor_scale: bool = False
    serial: bool = False
    output_format: OutputName = "bf16"


def make_block_config(
    unit: UnitKind,
    asked: BlockUnitOptions,
    given: Collection[str],
    *,
    element: str,
    scale: str,
    block_size: int,
    stages: int | None = None,
    optimise: "Optimise" = "area",
    flow: "Flow" = "stream",
    order: int = 0,
) -> "QuantizerConfig | DequantizerConfig | None":
    """Return the configuration of the quantizer or dequantizer that the options describe; None for ``dot``.

    It is combinational by default; a serial quantizer has one stage.

    Args:
        unit: The kind of unit.
        asked: What only quantizers and dequantizers have.
        given: The options on the command line.
        element: The element format.
        scale: The scale format.
        block_size: Elements under one scale.
        stages: Register stages; None for none.
        optimise: The form of the components.
        flow: What moves the pipeline.
        order: Seed of the order in trees.

    Raises:
        ValueError: If it is not a legal one, or an option is given that goes with another kind of unit.
    """
    for field in fields(asked):
        only = "dequantizer" if field.name == "output_format" else "quantizer"
        if field.name == "tensor_scale" and unit == "dot":
            continue
        require_unit(unit, only, [f"--{field.name.replace('_', '-')}"], given)
    if unit == "dot":
        return None
    from ..hw import DequantizerConfig, QuantizerConfig

    block: dict[str, Any] = {"element": element, "scale": scale, "block_size": block_size}
    built: dict[str, Any] = {"stages": stages or 0, "optimise": optimise, "flow": flow, "order": order}
    if unit == "dequantizer":
        return DequantizerConfig(DequantizerSpec(**block, output=asked.output_format), **built)
    if asked.rounding != "stochastic" and "--random-bits" in given:
        raise ValueError(f"--random-bits must go with --rounding stochastic, not with {asked.rounding}")
    spec = QuantizerSpec(
        **block,
        input=asked.input,
        method=asked.method,
        rounding=asked.rounding,
        random_bits=asked.random_bits,
        tensor_scale=asked.tensor_scale,
    )
    if asked.serial and stages is None:
        built["stages"] = 1
    return QuantizerConfig(spec, **built, serial=asked.serial)
