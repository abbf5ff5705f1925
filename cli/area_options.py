"""The options of ``blockdot area``; most may be repeated, and every combination is then measured."""

from pathlib import Path
from typing import Annotated

import typer

from ..model.accumulate import ACCUMULATIONS
from ..model.aligned_sum import RESULTS
from ..model.quantizer import QUANTIZER_METHODS, QUANTIZER_ROUNDINGS
from .options import UnitKind

__all__ = [
    "AccumulateAreaOption",
    "AddersAreaOption",
    "AspectAreaOption",
    "BlockSizeAreaOption",
    "BlocksAreaOption",
    "ClusterAreaOption",
    "CompareAreaOption",
    "CornerAreaOption",
    "CurveAreaOption",
    "DelayTargetAreaOption",
    "DontUseAreaOption",
    "ElementAreaOption",
    "EnergyAreaOption",
    "ExportAreaOption",
    "GuardAreaOption",
    "InputAreaOption",
    "LefAreaOption",
    "LibertyAreaOption",
    "LibraryAreaOption",
    "MethodAreaOption",
    "OptimiseAreaOption",
    "OrdersAreaOption",
    "OutputAreaOption",
    "OutputFormatAreaOption",
    "PlaceAreaOption",
    "PlacementsAreaOption",
    "PresetAreaOption",
    "ResizeAreaOption",
    "ResultAreaOption",
    "RoundingAreaOption",
    "RouteAreaOption",
    "ScaleAreaOption",
    "SegmentAreaOption",
    "SerialAreaOption",
    "StagesAreaOption",
    "TakesCAreaOption",
    "TargetAreaOption",
    "TensorScaleAreaOption",
    "ThresholdAreaOption",
    "UnitAreaOption",
    "UtilisationAreaOption",
    "VariantsAreaOption",
    "WorkersAreaOption",
]

_UNITS = "Which units: all combinations of what is repeated"
_QUANTIZERS = "Which quantizers, with --unit quantizer: all combinations of what is repeated"
_DEQUANTIZERS = "Which dequantizers, with --unit dequantizer"
_ON = "What they are measured on"
_FIGURES = "Which figures besides area, delay and period"
_HOW = "How they are measured"
_OUT = "Reports and comparison with an earlier one"

UnitAreaOption = Annotated[
    UnitKind,
    typer.Option("--unit", help="Kind of unit: dot, quantizer or dequantizer.", rich_help_panel=_UNITS),
]
ElementAreaOption = Annotated[
    list[str] | None,
    typer.Option("--element", help="Element format, or a pair AxB. [default: e2m1]", rich_help_panel=_UNITS),
]
ScaleAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scale",
        help="Format of the block scales, or a pair AxB; the first is what the others are compared with. "
        "[default: ue4m3, ue5m3]",
        rich_help_panel=_UNITS,
    ),
]
BlockSizeAreaOption = Annotated[
    list[int] | None,
    typer.Option("--block-size", help="Elements under one scale. [default: 16]", rich_help_panel=_UNITS),
]
BlocksAreaOption = Annotated[
    list[int] | None,
    typer.Option("--blocks", help="Blocks taken at once. [default: 1]", rich_help_panel=_UNITS),
]
AccumulateAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accumulate",
        help=f"{', '.join(ACCUMULATIONS)}. [default: none, fp32, exact]",
        rich_help_panel=_UNITS,
    ),
]
GuardAreaOption = Annotated[
    list[int] | None,
    typer.Option(
        "--guard",
        help="With exact: room for the sum of 2**GUARD blocks. [default: 16]",
        rich_help_panel=_UNITS,
    ),
]
ResultAreaOption = Annotated[
    list[str] | None,
    typer.Option("--result", help=f"{', '.join(RESULTS)}. [default: binary32]", rich_help_panel=_UNITS),
]
TakesCAreaOption = Annotated[
    bool,
    typer.Option(
        "--takes-c",
        help="Also price each unit with a port for C, at which its sums start.",
        rich_help_panel=_UNITS,
    ),
]
StagesAreaOption = Annotated[
    list[int] | None,
    typer.Option(
        "--stages",
        help="Register stages; 0 for none alone. [default: the least there can be]",
        rich_help_panel=_UNITS,
    ),
]
OptimiseAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--optimise", help="Form of the components: area, delay. [default: area]", rich_help_panel=_UNITS
    ),
]
SegmentAreaOption = Annotated[
    list[int] | None,
    typer.Option(
        "--segment",
        help="With exact: segments of N bits of the accumulator, whose carries are added in the next "
        "cycle; 1 is a carry-save register, 0 keeps no carry. [default: 0]",
        rich_help_panel=_UNITS,
    ),
]
PresetAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="A published tensor core instead of the options above, such as hopper-e4m3; `blockdot tools "
        "--presets` lists them. Only --takes-c, --stages and --optimise go with it.",
        rich_help_panel=_UNITS,
    ),
]
InputAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="Format of a quantizer's numbers: bf16, fp16, fp32. [default: bf16]",
        rich_help_panel=_QUANTIZERS,
    ),
]
MethodAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help=f"How scales are chosen: {', '.join(QUANTIZER_METHODS)}; the first, with the first scale "
        "format, is what the others are compared with. [default: absmax]",
        rich_help_panel=_QUANTIZERS,
    ),
]
RoundingAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rounding",
        help=f"How elements are rounded: {', '.join(QUANTIZER_ROUNDINGS)}. [default: nearest_even]",
        rich_help_panel=_QUANTIZERS,
    ),
]
TensorScaleAreaOption = Annotated[
    bool,
    typer.Option(
        "--tensor-scale",
        help="Quantizers and dot products: with a tensor scale too, beside without. A dot product "
        "multiplies each result by it.",
        rich_help_panel=_QUANTIZERS,
    ),
]
SerialAreaOption = Annotated[
    bool,
    typer.Option(
        "--serial",
        help="Quantizers that take a number a cycle, and not a whole block.",
        rich_help_panel=_QUANTIZERS,
    ),
]
OutputFormatAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--output-format",
        help="Format of a dequantizer's numbers: bf16, fp32. [default: bf16]",
        rich_help_panel=_DEQUANTIZERS,
    ),
]
LibraryAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--library",
        help="neutral, one that `blockdot tools` lists, or Liberty files with a comma between them. "
        "[default: neutral]",
        rich_help_panel=_ON,
    ),
]
LibertyAreaOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--liberty",
        metavar="FILE",
        help="Liberty file of the cells, plain or .gz; repeated where a library comes in several files. "
        "[default: the built-in technology-neutral library]",
        rich_help_panel=_ON,
    ),
]
CornerAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--corner",
        metavar="FILES",
        help="Liberty files, with a comma between them, of the library's cells at another corner of the "
        "process: the same netlists are timed there too. Repeatable.",
        rich_help_panel=_ON,
    ),
]
DontUseAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dont-use",
        metavar="GLOB",
        help="Cells that no unit may use, by a pattern of their names. Some are left out by default.",
        rich_help_panel=_HOW,
    ),
]
AddersAreaOption = Annotated[
    bool,
    typer.Option(
        "--adders",
        help="Use the library's adder cells too, where they make a unit smaller or faster.",
        rich_help_panel=_HOW,
    ),
]
TargetAreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="FPGA family: ice40, ecp5, xilinx. Without --library, FPGAs alone are measured.",
        rich_help_panel=_ON,
    ),
]
PlaceAreaOption = Annotated[
    bool,
    typer.Option(
        "--place",
        help="Place cells, and count wires in area, delay, period and energy. With --target ice40: "
        "place and route on an HX8K, for packed logic cells and fmax.",
        rich_help_panel=_ON,
    ),
]
LefAreaOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--lef",
        metavar="FILE",
        help="With --place: a LEF file of the cells or of the technology. [default: those beside the "
        "Liberty files]",
        rich_help_panel=_ON,
    ),
]
UtilisationAreaOption = Annotated[
    float | None,
    typer.Option(
        "--utilisation",
        help="With --place: percent of the core that is cells. [default: 70]",
        rich_help_panel=_ON,
    ),
]
AspectAreaOption = Annotated[
    float | None,
    typer.Option(
        "--aspect",
        help="With --place: the core's height over its width. [default: 1]",
        rich_help_panel=_ON,
    ),
]
ResizeAreaOption = Annotated[
    bool,
    typer.Option(
        "--resize",
        help="With --place: choose the sizes of gates again for the wires of each placement.",
        rich_help_panel=_ON,
    ),
]
RouteAreaOption = Annotated[
    bool,
    typer.Option(
        "--route",
        help="With --place: route every placed netlist of cells in detail too, by qrouter, for the "
        "routed wire, its vias, delay and period beside the estimate.",
        rich_help_panel=_ON,
    ),
]
ExportAreaOption = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="DIR",
        help="With --place: write each unit's first netlist there as Verilog, DEF, SDC, SPEF, a "
        "picture, and input for OpenROAD and LibreLane.",
        rich_help_panel=_OUT,
    ),
]
CurveAreaOption = Annotated[
    bool,
    typer.Option(
        "--curve", help="Measure area against delay too, at several targets.", rich_help_panel=_FIGURES
    ),
]
DelayTargetAreaOption = Annotated[
    list[float] | None,
    typer.Option(
        "--delay-target",
        help="As --curve, compared at this delay (with registers: this clock period), in the library's "
        "unit; may be repeated.",
        rich_help_panel=_FIGURES,
    ),
]
EnergyAreaOption = Annotated[
    bool,
    typer.Option(
        "--energy",
        help="Measure the switching energy of an input too: on uniform codes, and on a real weight "
        "matrix against real activations where the demo's weights are installed.",
        rich_help_panel=_FIGURES,
    ),
]
OrdersAreaOption = Annotated[
    int,
    typer.Option(
        "--orders",
        help="Netlists made of each unit, each with its adders wired in another order. More netlists "
        "give a narrower error bar.",
        rich_help_panel=_HOW,
    ),
]
PlacementsAreaOption = Annotated[
    int | None,
    typer.Option(
        "--placements",
        help="With --place: how many times each netlist is placed, from another seed each. For differences "
        "of core and wire it is placed 4 times, with its ports from each corner on. [default: 3; on an FPGA "
        "5]",
        rich_help_panel=_HOW,
    ),
]
VariantsAreaOption = Annotated[
    int,
    typer.Option(
        "--variants",
        help="Ways in which each netlist is mapped for area: one more narrows the error bar almost as "
        "much as one more netlist, in less time.",
        rich_help_panel=_HOW,
    ),
]
WorkersAreaOption = Annotated[
    int | None,
    typer.Option("--workers", help="Processes at once. [default: all cores]", rich_help_panel=_HOW),
]
ClusterAreaOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Address of a Dask scheduler whose workers do the work.",
        rich_help_panel=_HOW,
    ),
]
OutputAreaOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write a report too: .json, .csv, .md or .html (one page that needs nothing else).",
        rich_help_panel=_OUT,
    ),
]
CompareAreaOption = Annotated[
    Path | None,
    typer.Option(
        "--compare",
        metavar="OLD.json",
        help="Say what changed since that report. Exit code 1 says that something grew by more than "
        "the threshold.",
        rich_help_panel=_OUT,
    ),
]
ThresholdAreaOption = Annotated[
    float,
    typer.Option(
        "--threshold", help="Growth that is accepted, in percent of the old figure.", rich_help_panel=_OUT
    ),
]
