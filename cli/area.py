"""``blockdot area``: what units cost, and what a scale format adds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .area_options import (
    AccumulateAreaOption,
    AddersAreaOption,
    AspectAreaOption,
    BlocksAreaOption,
    BlockSizeAreaOption,
    ClusterAreaOption,
    CompareAreaOption,
    CornerAreaOption,
    CurveAreaOption,
    DelayTargetAreaOption,
    DontUseAreaOption,
    ElementAreaOption,
    EnergyAreaOption,
    ExportAreaOption,
    GuardAreaOption,
    InputAreaOption,
    LefAreaOption,
    LibertyAreaOption,
    LibraryAreaOption,
    MethodAreaOption,
    OptimiseAreaOption,
    OrdersAreaOption,
    OutputAreaOption,
    OutputFormatAreaOption,
    PlaceAreaOption,
    PlacementsAreaOption,
    PresetAreaOption,
    ResizeAreaOption,
    ResultAreaOption,
    RoundingAreaOption,
    RouteAreaOption,
    ScaleAreaOption,
    SegmentAreaOption,
    SerialAreaOption,
    StagesAreaOption,
    TakesCAreaOption,
    TargetAreaOption,
    TensorScaleAreaOption,
    ThresholdAreaOption,
    UnitAreaOption,
    UtilisationAreaOption,
    VariantsAreaOption,
    WorkersAreaOption,
)
from .console import console, print_json, progress_bar
from .options import BuildDirOption, JsonOption, SeedOption
from .print_costs import print_changes, print_report
from .requested_unit import format_names

if TYPE_CHECKING:
    from ..lab.cost.priced_unit import PricedUnit
    from ..synth.liberty import Library

__all__ = ["area"]


def area(
    unit: UnitAreaOption = "dot",
    element: ElementAreaOption = None,
    scale: ScaleAreaOption = None,
    block_size: BlockSizeAreaOption = None,
    blocks: BlocksAreaOption = None,
    accumulate: AccumulateAreaOption = None,
    guard: GuardAreaOption = None,
    result: ResultAreaOption = None,
    takes_c: TakesCAreaOption = False,
    stages: StagesAreaOption = None,
    optimise: OptimiseAreaOption = None,
    segment: SegmentAreaOption = None,
    preset: PresetAreaOption = None,
    number: InputAreaOption = None,
    method: MethodAreaOption = None,
    rounding: RoundingAreaOption = None,
    tensor_scale: TensorScaleAreaOption = False,
    serial: SerialAreaOption = False,
    output_format: OutputFormatAreaOption = None,
    library: LibraryAreaOption = None,
    liberty: LibertyAreaOption = None,
    corner: CornerAreaOption = None,
    dont_use: DontUseAreaOption = None,
    adders: AddersAreaOption = False,
    target: TargetAreaOption = None,
    place: PlaceAreaOption = False,
    lef: LefAreaOption = None,
    utilisation: UtilisationAreaOption = None,
    aspect: AspectAreaOption = None,
    resize: ResizeAreaOption = False,
    route: RouteAreaOption = False,
    export: ExportAreaOption = None,
    curve: CurveAreaOption = False,
    delay_target: DelayTargetAreaOption = None,
    energy: EnergyAreaOption = False,
    orders: OrdersAreaOption = 5,
    placements: PlacementsAreaOption = None,
    variants: VariantsAreaOption = 1,
    seed: SeedOption = 0,
    workers: WorkersAreaOption = None,
    cluster: ClusterAreaOption = None,
    build_dir: BuildDirOption = Path("build"),
    output: OutputAreaOption = None,
    compare: CompareAreaOption = None,
    threshold: ThresholdAreaOption = 1.0,
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
        "resize": resize or None,
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
        resized=resize,
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
