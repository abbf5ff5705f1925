"""The options that several commands share, each with one name, one default and one help text."""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from ..model import DotSpec
from ..model.accumulate import ACCUMULATIONS
from ..model.aligned_sum import RESULTS
from ..model.dequantizer import DEQUANTIZER_OUTPUTS, DequantizerSpec, OutputName
from ..model.formats import Rounding
from ..model.quantize import METHODS
from ..model.quantizer import (
    INPUTS,
    QUANTIZER_METHODS,
    QUANTIZER_ROUNDINGS,
    InputName,
    QuantizerMethod,
    QuantizerRounding,
    QuantizerSpec,
)
from ..model.recipes import QuantizeRecipe
from ..model.spec import Accumulate
from ..model.specifications import parse_specification

if TYPE_CHECKING:
    from ..hw import DequantizerConfig, QuantizerConfig
    from ..hw.config import Flow, Optimise, UnitConfig
    from ..hw.configurations import Configuration

__all__ = [
    "DOT_OPTIONS",
    "AccumulateOption",
    "BlockSizeOption",
    "BlockUnitOptions",
    "BlocksOption",
    "BuildDirOption",
    "ElementOption",
    "FlowOption",
    "FractionOption",
    "GuardOption",
    "InputOption",
    "JsonOption",
    "MethodsOption",
    "OfElementsOption",
    "OfQuantizerOption",
    "OfTensorOption",
    "OptimiseOption",
    "OrderOption",
    "OutputFormatOption",
    "PresetOption",
    "RandomBitsOption",
    "ResultOption",
    "RoundingOption",
    "ScaleOption",
    "ScalesOption",
    "SeedOption",
    "SegmentOption",
    "SerialOption",
    "SpecArgument",
    "StagesOption",
    "TakesCOption",
    "UnitKind",
    "UnitOption",
    "WorkersOption",
    "count",
    "expand_methods",
    "format_names",
    "given_options",
    "make_block_config",
    "make_config",
    "make_spec",
    "parse_config",
    "parse_dot",
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
"""What only dot products have, of the options here."""

_SPEC = "What is computed"
_UNIT = "How it is built"

UnitKind = Literal["dot", "quantizer", "dequantizer"]

UnitOption = Annotated[
    UnitKind,
    typer.Option(
        "--unit",
        help="dot: block dot products; quantizer: numbers to element codes and a scale code; dequantizer: "
        "codes back to numbers.",
        rich_help_panel=_SPEC,
    ),
]
InputOption = Annotated[
    InputName,
    typer.Option(
        "--input",
        metavar="|".join(INPUTS),
        help="Of a quantizer: the format of the numbers.",
        rich_help_panel=_SPEC,
    ),
]
OfQuantizerOption = Annotated[
    QuantizerMethod,
    typer.Option(
        "--method",
        metavar="|".join(QUANTIZER_METHODS),
        help="Of a quantizer: how a block's scale is chosen.",
        rich_help_panel=_SPEC,
    ),
]
OfElementsOption = Annotated[
    QuantizerRounding,
    typer.Option(
        "--rounding",
        metavar="|".join(QUANTIZER_ROUNDINGS),
        help="Of a quantizer: how elements are rounded; stochastic takes random bits from a port.",
        rich_help_panel=_SPEC,
    ),
]
RandomBitsOption = Annotated[
    int,
    typer.Option(
        "--random-bits",
        help="Of a quantizer that rounds by random bits: how many each element has, from 1 to 16.",
        rich_help_panel=_SPEC,
    ),
]
OutputFormatOption = Annotated[
    OutputName,
    typer.Option(
        "--output-format",
        metavar="|".join(DEQUANTIZER_OUTPUTS),
        help="Of a dequantizer: the format of the numbers.",
        rich_help_panel=_SPEC,
    ),
]
OfTensorOption = Annotated[
    bool,
    typer.Option(
        "--tensor-scale",
        help="Of a quantizer: a port for a scale of the whole tensor, by which everything is divided first.",
        rich_help_panel=_SPEC,
    ),
]
_SERIAL_HELP = (
    "A quantizer that takes a number a cycle, and not a whole block; to nearest, by the largest magnitude "
    "alone."
)
SerialOption = Annotated[bool, typer.Option("--serial", help=_SERIAL_HELP, rich_help_panel=_UNIT)]
OfSerialOption = Annotated[bool, typer.Option("--serial", help=_SERIAL_HELP)]
ElementOption = Annotated[
    str, typer.Option("--element", help="Element format, or a pair AxB.", rich_help_panel=_SPEC)
]
ScaleOption = Annotated[
    str,
    typer.Option(
        "--scale",
        help="Format of the block scales: ue4m3, ue5m3, ue8m0, ue4m4 or any ue{E}m{M}; a pair AxB where the "
        "operands differ.",
        rich_help_panel=_SPEC,
    ),
]
BlockSizeOption = Annotated[
    int,
    typer.Option("--block-size", help="Elements under one scale: 2, 4, ... 128.", rich_help_panel=_SPEC),
]
BlocksOption = Annotated[
    int,
    typer.Option(
        "--blocks", help="Blocks taken at once and added exactly: 1, 2, 4, 8.", rich_help_panel=_SPEC
    ),
]
AccumulateOption = Annotated[
    Accumulate,
    typer.Option(
        "--accumulate",
        metavar="|".join(ACCUMULATIONS),
        autocompletion=lambda incomplete: [name for name in ACCUMULATIONS if name.startswith(incomplete)],
        help="; ".join(f"{name}: {ACCUMULATIONS[name].meaning}" for name in ACCUMULATIONS) + ".",
        rich_help_panel=_SPEC,
    ),
]
GuardOption = Annotated[
    int,
    typer.Option("--guard", help="With exact: room for the sum of 2**GUARD blocks.", rich_help_panel=_SPEC),
]
FractionOption = Annotated[
    int,
    typer.Option(
        "--fraction",
        help="With aligned: bits kept behind the point of the largest exponent.",
        rich_help_panel=_SPEC,
    ),
]
ResultOption = Annotated[
    str,
    typer.Option(
        "--result",
        metavar="|".join(RESULTS),
        help="Format of the results. "
        + "; ".join(
            f"{name}: {', '.join(ACCUMULATIONS[name].results)}"
            for name in ACCUMULATIONS
            if len(ACCUMULATIONS[name].results) > 1
        )
        + ".",
        rich_help_panel=_SPEC,
    ),
]
TakesCOption = Annotated[
    bool,
    typer.Option(
        "--takes-c",
        help="Sums start at a number C, given at a port, instead of at zero.",
        rich_help_panel=_SPEC,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="A published tensor core instead of the options above, such as blackwell-nvfp4; "
        "`blockdot tools --presets` lists them.",
        rich_help_panel=_SPEC,
    ),
]
StagesOption = Annotated[
    int | None,
    typer.Option(
        "--stages",
        help="Register stages from input to output; 0 is combinational, which only `none` can be. "
        "[default: 0 for none, else 1]",
        rich_help_panel=_UNIT,
    ),
]
OptimiseOption = Annotated[
    Literal["area", "delay"],
    typer.Option(
        "--optimise", help="The smallest form of each component, or the fastest.", rich_help_panel=_UNIT
    ),
]
FlowOption = Annotated[
    Literal["stream", "valid", "enable"],
    typer.Option(
        "--flow",
        help="What moves the pipeline. stream: valid and ready; valid: every cycle, no back-pressure; "
        "enable: cycles with `en` high.",
        rich_help_panel=_UNIT,
    ),
]
OrderOption = Annotated[
    int,
    typer.Option(
        "--order",
        help="Seed of the order in which bits enter the adder trees. Another order gives the same results "
        "through other wires.",
        rich_help_panel=_UNIT,
    ),
]
SegmentOption = Annotated[
    int | None,
    typer.Option(
        "--segment",
        help="With exact: cut the accumulator into segments of N bits, whose carries are added in the next "
        "cycle; 1 is a carry-save register. [default: no carry is kept]",
        rich_help_panel=_UNIT,
    ),
]
ScalesOption = Annotated[
    list[str] | None,
    typer.Option("--scale", help="Format of the block scales; repeat it to compare. [default: ue4m3, ue5m3]"),
]
MethodsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help=f"How scales are chosen: {', '.join(METHODS)}, or all that go with the formats; repeat it to "
        "compare. [default: absmax]",
    ),
]
RoundingOption = Annotated[Rounding, typer.Option("--rounding", help="Rounding of elements and scales.")]
RecipeOption = Annotated[
    QuantizeRecipe | None,
    typer.Option("--recipe", help="Give the bits of that library's own quantizer for NVFP4."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of all random choices.")]
SpecArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A specification's name, such as e2m1_ue5m3_n16_fp32, or a preset's, such as hopper-e4m3.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", help="Processes that work at once. [default: one for each processor]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
BuildDirOption = Annotated[
    Path,
    typer.Option("--build-dir", metavar="DIR", help="Where compiled simulations and results are kept."),
]


def count(text: str) -> int:
    """Return a whole number that may be written with an exponent, as 1e8.

    Raises:
        BadParameter: If it is none.
    """
    with contextlib.suppress(ArithmeticError, ValueError):
        number = Decimal(text)
        if number == number.to_integral_value() and abs(number) < 10**18:
            return int(number)
    raise typer.BadParameter(f"must be a whole number, such as 100000 or 1e8, not {text!r}")


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


def expand_methods(methods: Sequence[str] | None) -> list[str]:
    """Return the methods asked for, ``absmax`` where none is, every method for ``all``."""
    if not methods:
        return ["absmax"]
    return list(dict.fromkeys(one for name in methods for one in (METHODS if name == "all" else [name])))


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
        preset: A published tensor core instead.
        given: The options on the command line.

    Raises:
        ValueError: If it is not a legal one, a preset comes with an option that says what it says, or an
            option has no effect on the accumulation.
    """
    if preset is not None:
        require_preset_alone(given)
        return replace(DotSpec.preset(preset), takes_c=takes_c)
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


def given_options(context: typer.Context) -> frozenset[str]:
    """Return the options that stand on the command line, by their long names, also those as by default."""
    given = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given += [name for name in parameter.opts if name.startswith("--")][:1]
    return frozenset(given)


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
    for name in said:
        if name in given:
            raise ValueError(f"--preset must go without {name}, which it says itself")


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
    """What is asked of quantizers alone, and of dequantizers alone; the defaults are those of the options."""

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
