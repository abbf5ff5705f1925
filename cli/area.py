"""``blockdot area``: what units cost, and what a scale format adds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..model.accumulate import ACCUMULATIONS
from ..model.aligned_sum import RESULTS
from ..model.quantizer import QUANTIZER_METHODS, QUANTIZER_ROUNDINGS
from .console import console, print_json, progress_bar
from .options import BuildDirOption, JsonOption, SeedOption, UnitKind
from .print_costs import print_changes, print_report
from .requested_unit import format_names

if TYPE_CHECKING:
    from ..lab.cost.priced_unit import PricedUnit
    from ..synth.liberty import Library

__all__ = ["area"]

_UNITS = "Which units: all combinations of what is repeated"
_QUANTIZERS = "Which quantizers, with --unit quantizer: all combinations of what is repeated"
_DEQUANTIZERS = "Which dequantizers, with --unit dequantizer"
_ON = "What they are measured on"
_FIGURES = "Which figures besides area, delay and period"
_HOW = "How they are measured"
_OUT = "Reports and comparison with an earlier one"


def area(
    unit: Annotated[
        UnitKind,
        typer.Option("--unit", help="Kind of unit: dot, quantizer or dequantizer.", rich_help_panel=_UNITS),
    ] = "dot",
    element: Annotated[
        list[str] | None,
        typer.Option(
            "--element", help="Element format, or a pair AxB. [default: e2m1]", rich_help_panel=_UNITS
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            help="Format of the block scales, or a pair AxB; the first is what the others are compared with. "
            "[default: ue4m3, ue5m3]",
            rich_help_panel=_UNITS,
        ),
    ] = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option("--block-size", help="Elements under one scale. [default: 16]", rich_help_panel=_UNITS),
    ] = None,
    blocks: Annotated[
        list[int] | None,
        typer.Option("--blocks", help="Blocks taken at once. [default: 1]", rich_help_panel=_UNITS),
    ] = None,
    accumulate: Annotated[
        list[str] | None,
        typer.Option(
            "--accumulate",
            help=f"{', '.join(ACCUMULATIONS)}. [default: none, fp32, exact]",
            rich_help_panel=_UNITS,
        ),
    ] = None,
    guard: Annotated[
        list[int] | None,
        typer.Option(
            "--guard",
            help="With exact: room for the sum of 2**GUARD blocks. [default: 16]",
            rich_help_panel=_UNITS,
        ),
    ] = None,
    result: Annotated[
        list[str] | None,
        typer.Option("--result", help=f"{', '.join(RESULTS)}. [default: binary32]", rich_help_panel=_UNITS),
    ] = None,
    takes_c: Annotated[
        bool,
        typer.Option(
            "--takes-c",
            help="Also price each unit with a port for C, at which its sums start.",
            rich_help_panel=_UNITS,
        ),
    ] = False,
    stages: Annotated[
        list[int] | None,
        typer.Option(
            "--stages",
            help="Register stages; 0 for none alone. [default: the least there can be]",
            rich_help_panel=_UNITS,
        ),
    ] = None,
    optimise: Annotated[
        list[str] | None,
        typer.Option(
            "--optimise", help="Form of the components: area, delay. [default: area]", rich_help_panel=_UNITS
        ),
    ] = None,
    segment: Annotated[
        list[int] | None,
        typer.Option(
            "--segment",
            help="With exact: segments of N bits of the accumulator, whose carries are added in the next "
            "cycle; 1 is a carry-save register, 0 keeps no carry. [default: 0]",
            rich_help_panel=_UNITS,
        ),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="A published tensor core instead of the options above, such as hopper-e4m3; `blockdot tools "
            "--presets` lists them. Only --takes-c, --stages and --optimise go with it.",
            rich_help_panel=_UNITS,
        ),
    ] = None,
    number: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Format of a quantizer's numbers: bf16, fp16, fp32. [default: bf16]",
            rich_help_panel=_QUANTIZERS,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help=f"How scales are chosen: {', '.join(QUANTIZER_METHODS)}; the first, with the first scale "
            "format, is what the others are compared with. [default: absmax]",
            rich_help_panel=_QUANTIZERS,
        ),
    ] = None,
    rounding: Annotated[
        list[str] | None,
        typer.Option(
            "--rounding",
            help=f"How elements are rounded: {', '.join(QUANTIZER_ROUNDINGS)}. [default: nearest_even]",
            rich_help_panel=_QUANTIZERS,
        ),
    ] = None,
    tensor_scale: Annotated[
        bool,
        typer.Option(
            "--tensor-scale",
            help="Quantizers and dot products: with a tensor scale too, beside without. A dot product "
            "multiplies each result by it.",
            rich_help_panel=_QUANTIZERS,
        ),
    ] = False,
    serial: Annotated[
        bool,
        typer.Option(
            "--serial",
            help="Quantizers that take a number a cycle, and not a whole block.",
            rich_help_panel=_QUANTIZERS,
        ),
    ] = False,
    output_format: Annotated[
        list[str] | None,
        typer.Option(
            "--output-format",
            help="Format of a dequantizer's numbers: bf16, fp32. [default: bf16]",
            rich_help_panel=_DEQUANTIZERS,
        ),
    ] = None,
    library: Annotated[
        list[str] | None,
        typer.Option(
            "--library",
            help="neutral, one that `blockdot tools` lists, or Liberty files with a comma between them. "
            "[default: neutral]",
            rich_help_panel=_ON,
        ),
    ] = None,
    liberty: Annotated[
        list[Path] | None,
        typer.Option(
            "--liberty",
            metavar="FILE",
            help="Liberty file of the cells, plain or .gz; repeated where a library comes in several files. "
            "[default: the built-in technology-neutral library]",
            rich_help_panel=_ON,
        ),
    ] = None,
    corner: Annotated[
        list[str] | None,
        typer.Option(
            "--corner",
            metavar="FILES",
            help="Liberty files, with a comma between them, of the library's cells at another corner of the "
            "process: the same netlists are timed there too. Repeatable.",
            rich_help_panel=_ON,
        ),
    ] = None,
    dont_use: Annotated[
        list[str] | None,
        typer.Option(
            "--dont-use",
            metavar="GLOB",
            help="Cells that no unit may use, by a pattern of their names. Some are left out by default.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    adders: Annotated[
        bool,
        typer.Option(
            "--adders",
            help="Use the library's adder cells too, where they make a unit smaller or faster.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="FPGA family: ice40, ecp5, xilinx. Without --library, FPGAs alone are measured.",
            rich_help_panel=_ON,
        ),
    ] = None,
    place: Annotated[
        bool,
        typer.Option(
            "--place",
            help="Place cells, and count wires in area, delay, period and energy. With --target ice40: "
            "place and route on an HX8K, for packed logic cells and fmax.",
            rich_help_panel=_ON,
        ),
    ] = False,
    lef: Annotated[
        list[Path] | None,
        typer.Option(
            "--lef",
            metavar="FILE",
            help="With --place: a LEF file of the cells or of the technology. [default: those beside the "
            "Liberty files]",
            rich_help_panel=_ON,
        ),
    ] = None,
    utilisation: Annotated[
        float | None,
        typer.Option(
            "--utilisation",
            help="With --place: percent of the core that is cells. [default: 70]",
            rich_help_panel=_ON,
        ),
    ] = None,
    aspect: Annotated[
        float | None,
        typer.Option(
            "--aspect",
            help="With --place: the core's height over its width. [default: 1]",
            rich_help_panel=_ON,
        ),
    ] = None,
    route: Annotated[
        bool,
        typer.Option(
            "--route",
            help="With --place: route every placed netlist of cells in detail too, by qrouter, for the "
            "routed wire, its vias, delay and period beside the estimate.",
            rich_help_panel=_ON,
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="DIR",
            help="With --place: write each unit's first netlist there as Verilog, DEF, SDC, SPEF, a "
            "picture, and input for OpenROAD and LibreLane.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve", help="Measure area against delay too, at several targets.", rich_help_panel=_FIGURES
        ),
    ] = False,
    delay_target: Annotated[
        list[float] | None,
        typer.Option(
            "--delay-target",
            help="As --curve, compared at this delay (with registers: this clock period), in the library's "
            "unit; may be repeated.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    energy: Annotated[
        bool,
        typer.Option(
            "--energy",
            help="Measure the switching energy of an input too: on uniform codes, and on a real weight "
            "matrix against real activations where the demo's weights are installed.",
            rich_help_panel=_FIGURES,
        ),
    ] = False,
    orders: Annotated[
        int,
        typer.Option(
            "--orders",
            help="Netlists made of each unit, each with its adders wired in another order. More netlists "
            "give a narrower error bar.",
            rich_help_panel=_HOW,
        ),
    ] = 5,
    placements: Annotated[
        int | None,
        typer.Option(
            "--placements",
            help="With --place: how many times each netlist is placed, from another seed each. [default: 3; "
            "on an FPGA 5]",
            rich_help_panel=_HOW,
        ),
    ] = None,
    variants: Annotated[
        int,
        typer.Option(
            "--variants",
            help="Ways in which each netlist is mapped for area: one more narrows the error bar almost as "
            "much as one more netlist, in less time.",
            rich_help_panel=_HOW,
        ),
    ] = 1,
    seed: SeedOption = 0,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes at once. [default: all cores]", rich_help_panel=_HOW),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Address of a Dask scheduler whose workers do the work.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    build_dir: BuildDirOption = Path("build"),
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write a report too: .json, .csv, .md or .html (one page that needs nothing else).",
            rich_help_panel=_OUT,
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="OLD.json",
            help="Say what changed since that report. Exit code 1 says that something grew by more than "
            "the threshold.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", help="Growth that is accepted, in percent of the old figure.", rich_help_panel=_OUT
        ),
    ] = 1.0,
    json: JsonOption = False,
) -> None:
    """Synthesize units, say what each costs, and compare units that differ in the scale format alone.

    Quantizers (--unit quantizer) are compared with the first method and scale format, dequantizers (--unit
    dequantizer) with the first scale format.

    Every unit is made as several netlists that compute the same and are wired differently. A difference is
    the mean over pairs that are wired alike, with its 95 % interval. It is measured in two ways, which are
    compared: on the flat unit, and component by component. Delay is that of the gates alone. The period is
    that between registers, with clock-to-output and setup. Wires are not included, except with --place.
    Results are kept: asking again takes no time, and an interrupted run continues where it stopped.
    """
    from ..base.whole_files import write_whole
    from ..lab.cost.fpga_cost import PLACEMENTS
    from ..lab.cost.placed_cost import CELL_PLACEMENTS
    from ..lab.price import PriceRequest, price
    from ..lab.reports.cost_report import FORMATS, read_report, report_changes
    from ..lab.unit_choices import DequantizerChoices, PresetChoices, QuantizerChoices, UnitChoices
    from ..synth.physical.core_area import ASPECT, UTILISATION, UTILISATIONS

    for path in output or ():
        if path.suffix not in FORMATS:
            raise ValueError(f"report must end in one of {', '.join(FORMATS)}, not {str(path)!r}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, not {threshold:g}")
    of_cells = {
        "lef": lef and lef[0],
        "utilisation": utilisation,
        "aspect": aspect,
        "route": route or None,
        "export": export,
    }
    _require({"placements": placements, **of_cells}, "--place", there=place)
    least, most = UTILISATIONS
    if utilisation is not None and not 100 * least <= utilisation <= 100 * most:
        raise ValueError(f"utilisation must be from {100 * least:g} to {100 * most:g} %, not {utilisation:g}")
    if placements is not None and placements < 1:
        raise ValueError(f"placements must be at least 1, not {placements}")
    old = None if compare is None else read_report(compare)
    built = {"stages": stages, "optimise": optimise}
    common = {"block_sizes": block_size, **built}
    of_sums = {"takes_c": [False, True] if takes_c else None}
    of_scaled = {"tensor_scales": [False, True] if tensor_scale else None}
    of_dot_units = {
        "blocks": blocks,
        "accumulates": accumulate,
        "guards": guard,
        "segments": segment,
        "results": result,
    }
    of_quantizers = {
        "inputs": number,
        "methods": method,
        "roundings": rounding,
        "serials": [True] if serial else None,
    }
    of_presets, of_dequantizers = {"presets": preset}, {"output_formats": output_format}
    formats: dict[str, Any] = {"elements": element, "scales": scale}
    units: Sequence[PricedUnit]
    match unit:
        case "dot" if preset:
            others = {"block_sizes": block_size} | of_dot_units | of_quantizers | of_dequantizers
            _require_absent(formats | others, "presets")
            units = PresetChoices(**_chosen(built | of_presets | of_sums | of_scaled)).units()
        case "dot":
            _require_absent(of_quantizers | of_dequantizers, "dot-product units")
            formats = {
                name: given and [format_names(one) for one in given] for name, given in formats.items()
            }
            units = UnitChoices(**_chosen(common | formats | of_dot_units | of_sums | of_scaled)).units()
        case "quantizer":
            _require_absent(of_presets | of_dot_units | of_sums | of_dequantizers, "quantizers")
            units = QuantizerChoices(**_chosen(common | formats | of_quantizers | of_scaled)).units()
        case "dequantizer":
            _require_absent(of_presets | of_dot_units | of_sums | of_quantizers | of_scaled, "dequantizers")
            units = DequantizerChoices(**_chosen(common | formats | of_dequantizers)).units()
    libraries = _libraries(library or (), liberty or (), dont_use or (), corner or (), alone=not target)
    of_libraries = {
        "energy": energy or None,
        "curve": curve or None,
        "delay-target": delay_target or None,
        "adders": adders or None,
    }
    _require(of_cells | of_libraries, "a library, not with FPGAs alone", there=bool(libraries))
    _require({"adders": adders or None}, "cells that are not placed", there=not (place and libraries))
    request = PriceRequest(
        units=units,
        libraries=libraries,
        orders=orders,
        variants=variants,
        adders=adders,
        seed=seed,
        curve=curve,
        delay_targets=delay_target or (),
        energy=energy,
        fpga_targets=list(dict.fromkeys(target or ())),
        placements=(placements or PLACEMENTS) if place and target else 0,
        cell_placements=(placements or CELL_PLACEMENTS) if place and libraries else 0,
        lef=lef or (),
        utilisation=UTILISATION if utilisation is None else utilisation / 100,
        aspect=ASPECT if aspect is None else aspect,
        routed=route,
        drawn=any(path.suffix == ".html" for path in output or ()),
        export=export,
        cache=build_dir / "synthesis",
        workers=workers,
        cluster=cluster,
    )
    with progress_bar("pricing", None) as moved:
        report = price(request, lambda doing, done, total, unit: moved(done, total, unit, description=doing))
    for path in output or ():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, report.text(path.suffix))
    if json:
        print_json(report.to_dict())
    else:
        print_report(console(), report)
    if old is not None:
        changes = report_changes(old, report.to_dict())
        if not json:
            print_changes(console(), changes)
        worst = max(change.percent for change in changes)
        if worst > threshold:
            typer.echo(f"blockdot: {worst:+z.2f} % is past the threshold of {threshold:g} %", err=True)
            raise typer.Exit(1)


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    """Return the choices that were made; those that were not are left to their defaults."""
    return {name: choices for name, choices in given.items() if choices}


def _require(given: dict[str, Any], what: str, *, there: bool) -> None:
    """Raise ValueError for an option that was given without what it goes with."""
    for name, value in given.items():
        if value is not None and not there:
            raise ValueError(f"--{name} must go with {what}")


def _require_absent(given: dict[str, Any], kind: str) -> None:
    """Raise ValueError if an option was given that the units of a kind have not."""
    for name, choices in _chosen(given).items():
        raise ValueError(f"{name.removesuffix('s')} must not be given for {kind}, not {choices[-1]}")


def _libraries(
    names: Sequence[str],
    liberty: Sequence[Path],
    dont_use: Sequence[str],
    corners: Sequence[str],
    *,
    alone: bool,
) -> "list[Library]":
    """Return the libraries asked for; without any, the built-in one if there is no other target."""
    from ..synth.cell_choice import choose_cells, leave_out
    from ..synth.installed_libraries import find_library
    from ..synth.liberty import Library

    libraries = [find_library(name) for name in names]
    if liberty:
        libraries.append(choose_cells(Library.read(*liberty)))
    libraries = leave_out(libraries or ([find_library("neutral")] if alone else []), dont_use)
    if not corners:
        return libraries
    if len(libraries) != 1:
        raise ValueError(f"--corner must go with one library, not {len(libraries)}")
    return [libraries[0].with_corners(find_library(name) for name in corners)]
