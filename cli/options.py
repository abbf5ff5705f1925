"""The options that several commands share, each with one name, one default and one help text."""

import contextlib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..model.accumulate import ACCUMULATIONS
from ..model.aligned_sum import RESULTS
from ..model.dequantizer import DEQUANTIZER_OUTPUTS, OutputName
from ..model.formats import Rounding
from ..model.quantize import METHODS
from ..model.quantizer import (
    INPUTS,
    QUANTIZER_METHODS,
    QUANTIZER_ROUNDINGS,
    InputName,
    QuantizerMethod,
    QuantizerRounding,
)
from ..model.recipes import QuantizeRecipe
from ..model.spec import Accumulate

__all__ = [
    "AccumulateOption",
    "BlockSizeOption",
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
    "given_options",
]


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
        help="A port for a scale of the whole tensor. A quantizer divides everything by it first; a dot "
        "product multiplies each result by it, in binary32.",
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


def expand_methods(methods: Sequence[str] | None) -> list[str]:
    """Return the methods asked for, ``absmax`` where none is, every method for ``all``."""
    if not methods:
        return ["absmax"]
    return list(dict.fromkeys(one for name in methods for one in (METHODS if name == "all" else [name])))


def given_options(context: typer.Context) -> frozenset[str]:
    """Return the options that stand on the command line, by their long names, also those as by default."""
    given = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given += [name for name in parameter.opts if name.startswith("--")][:1]
    return frozenset(given)
