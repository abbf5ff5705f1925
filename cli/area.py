"""``blockdot area``: what units cost, and what a scale format adds."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from ..model import DotSpec
from ..model.accumulate import ACCUMULATIONS
from ..model.spec import Accumulate
from .console import console, print_json, progress_bar, table
from .options import BuildDirOption, JsonOption, LibertyOption, SeedOption, make_config, make_spec

if TYPE_CHECKING:
    from ..hw.config import Optimise, UnitConfig
    from ..lab.cost.area_delay import AreaDelayCurves
    from ..lab.cost.comparison import CostComparison, Delta
    from ..lab.cost.fpga_cost import FpgaCost
    from ..lab.cost.jobs import Runner
    from ..lab.cost.unit_energy import UnitEnergy
    from ..lab.reports.cost_report import CostReport, ReportChange
    from ..lab.statistics import Estimate, Summary
    from ..synth.liberty import Library, LibraryFacts

__all__ = ["area", "compare_scales", "print_comparison"]

_SCALES = ("ue4m3", "ue5m3")
_ACCUMULATES: tuple[Accumulate, ...] = ("none", "fp32", "exact")
_LISTS = "What is measured: all combinations of what is repeated"
_HOW = "How it is measured"
_OUT = "What comes of it"


def area(
    element: Annotated[
        list[str] | None,
        typer.Option(
            "--element", help="Element format, or a pair AxB. [default: e2m1]", rich_help_panel=_LISTS
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            help="Format of the block scales, or a pair AxB; the first is what the others are compared with. "
            "[default: ue4m3, ue5m3]",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option("--block-size", help="Elements under one scale. [default: 16]", rich_help_panel=_LISTS),
    ] = None,
    blocks: Annotated[
        list[int] | None,
        typer.Option("--blocks", help="Blocks taken at once. [default: 1]", rich_help_panel=_LISTS),
    ] = None,
    accumulate: Annotated[
        list[str] | None,
        typer.Option(
            "--accumulate",
            help=f"{', '.join(ACCUMULATIONS)}. [default: {', '.join(_ACCUMULATES)}]",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    guard: Annotated[
        list[int] | None,
        typer.Option("--guard", help="With exact: log2 of the blocks. [default: 16]", rich_help_panel=_LISTS),
    ] = None,
    stages: Annotated[
        list[int] | None,
        typer.Option(
            "--stages",
            help="Register stages; 0 for none alone. [default: the least there can be]",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    optimise: Annotated[
        list[str] | None,
        typer.Option(
            "--optimise", help="Form of the components: area, delay. [default: area]", rich_help_panel=_LISTS
        ),
    ] = None,
    segment: Annotated[
        list[int] | None,
        typer.Option(
            "--segment",
            help="With exact: bits of the accumulator behind which a carry is kept; 1 is a carry-save "
            "register, 0 keeps none. [default: 0]",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    library: Annotated[
        list[str] | None,
        typer.Option(
            "--library",
            help="neutral, one that `blockdot tools` lists, or Liberty files with a comma between them. "
            "[default: neutral]",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    liberty: LibertyOption = None,
    dont_use: Annotated[
        list[str] | None,
        typer.Option(
            "--dont-use",
            metavar="GLOB",
            help="Cells that no unit is mapped to, by a pattern of names; some are left out by default.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="FPGA family: ice40, ecp5, xilinx. Without a library, of FPGAs alone.",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    place: Annotated[
        bool,
        typer.Option(
            "--place",
            help="With the target ice40: place and route on an HX8K too, for packed logic cells and fmax.",
            rich_help_panel=_LISTS,
        ),
    ] = False,
    curve: Annotated[
        bool,
        typer.Option("--curve", help="Area against delay too, at several targets.", rich_help_panel=_LISTS),
    ] = False,
    delay_target: Annotated[
        list[float] | None,
        typer.Option(
            "--delay-target",
            help="Delay (clock period with registers) in the library's unit to read the curves off at.",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    energy: Annotated[
        bool,
        typer.Option(
            "--energy",
            help="Switching energy of an input too, on a real weight matrix against real activations, where "
            "the demo's weights are installed, and on uniform codes.",
            rich_help_panel=_LISTS,
        ),
    ] = False,
    orders: Annotated[
        int | None,
        typer.Option(
            "--orders",
            help="Netlists made of each unit, each with its adders wired in another order: more give a "
            "narrower error bar. [default: 5]",
            rich_help_panel=_HOW,
        ),
    ] = None,
    placements: Annotated[
        int | None,
        typer.Option(
            "--placements",
            help="With --place: how many times each netlist is placed, from another seed each. [default: 5]",
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
            help="Say what changed since that report; exit code 1 if anything grew past the threshold.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option("--threshold", help="In percent of the old figure.", rich_help_panel=_OUT),
    ] = 1.0,
    json: JsonOption = False,
) -> None:
    """Synthesize units and say what each costs, and how those differ that differ in the scale format alone.

    Every unit is made several times, functionally equal and wired differently; a difference is the mean over
    pairs wired alike, with its 95 % interval. It is measured in two ways, which are held against each other:
    on the flat unit, and component by component. Delay is that of gates alone, the period that between
    registers, with clock-to-output and setup; no wires, but on an FPGA with --place. Results are kept: asking
    again takes no time, and what was broken off goes on where it was.
    """
    from ..lab.reports.cost_report import FORMATS, read_report, report_changes
    from ..synth.fpga import FPGA_TARGETS

    for path in output or ():
        if path.suffix not in FORMATS:
            raise ValueError(f"report must end in one of {', '.join(FORMATS)}, not {str(path)!r}")
    if any(not target > 0 for target in delay_target or ()):
        raise ValueError(f"delay targets must be positive, not {min(delay_target or ()):g}")
    if not threshold >= 0:
        raise ValueError(f"threshold must not be negative, not {threshold:g}")
    if unknown := set(target or ()) - set(FPGA_TARGETS):
        raise ValueError(f"target must be one of {', '.join(FPGA_TARGETS)}, not {min(unknown)!r}")
    placed = _placements(target or (), placements, place=place)
    old = None if compare is None else read_report(compare)
    units = _units(
        element or ["e2m1"],
        scale or list(_SCALES),
        block_size or [16],
        blocks or [1],
        accumulate or list(_ACCUMULATES),
        guard or [16],
        stages or [None],
        optimise or ["area"],
        segment or [0],
    )
    libraries = _libraries(library or (), liberty or (), dont_use or (), alone=not target)
    report = _measure(
        units,
        libraries,
        orders=orders,
        variants=variants,
        seed=seed,
        build_dir=build_dir,
        workers=workers,
        cluster=cluster,
        targets=delay_target or (),
        curve=curve or bool(delay_target),
        energy=energy,
        fpga_targets=list(dict.fromkeys(target or ())),
        placements=placed,
    )
    for path in output or ():
        _write(path, report.text(path.suffix))
    if json:
        print_json(report.to_dict())
    else:
        for comparison in report.comparisons:
            print_comparison(console(), comparison)
        for comparison, several in zip(report.comparisons, report.curves, strict=False):
            for one in several:
                _print_curves(console(), one, comparison.library)
        for comparison, powered in zip(report.comparisons, report.energies, strict=False):
            _print_energies(console(), powered, comparison.library)
        if report.fpga:
            _print_fpga(console(), report.fpga)
    if old is not None:
        found = report_changes(old, report.to_dict())
        _print_changes(console(), found, quiet=json)
        worst = max(change.percent for change in found)
        if worst > threshold:
            typer.echo(f"blockdot: {worst:+.2f} % is past the threshold of {threshold:g} %", err=True)
            raise typer.Exit(1)


def _units(
    elements: Sequence[str],
    scales: Sequence[str],
    block_sizes: Sequence[int],
    blocks: Sequence[int],
    accumulates: Sequence[str],
    guards: Sequence[int],
    stages: Sequence[int | None],
    optimise: Sequence[str],
    segments: Sequence[int],
) -> "list[UnitConfig]":
    """Return every combination; those that differ in what does not concern them are one."""
    from ..hw.config import UnitConfig, keeps_carries

    if unknown := set(optimise) - {"area", "delay"}:
        raise ValueError(f"optimise must be area or delay, not {min(unknown)!r}")
    if len(set(scales)) != len(scales):
        raise ValueError(f"scales must differ, not be {', '.join(scales)}")
    units: dict[UnitConfig, None] = {}
    combinations = product(
        elements, block_sizes, blocks, accumulates, guards, stages, optimise, segments, scales
    )
    for element, n, count, how, guard, depth, form, kept, scale in combinations:
        spec = make_spec(
            element=element,
            scale=scale,
            block_size=n,
            blocks=count,
            accumulate=how,
            guard=guard if ACCUMULATIONS[how].guard else 16,
        )
        segment = (kept or None) if keeps_carries(spec) else None
        units[make_config(spec, stages=depth, optimise=cast("Optimise", form), segment=segment)] = None
    return list(units)


def _placements(targets: Sequence[str], count: int | None, *, place: bool) -> int:
    """Return how many times each netlist is to be placed; refuse what cannot be before any work is done."""
    from ..lab.cost.fpga_cost import PLACEMENTS
    from ..synth.ice40_placement import PLACE_TARGET, nextpnr_version

    if not place:
        if count is not None:
            raise ValueError(f"placements must be given with --place, not alone: {count}")
        return 0
    if count is not None and count < 1:
        raise ValueError(f"placements must be at least 1, not {count}")
    if set(targets) != {PLACE_TARGET}:
        others = [target for target in targets if target != PLACE_TARGET]
        found = repr(others[0]) if others else "none"
        raise ValueError(f"target must be {PLACE_TARGET} to be placed and routed, not {found}")
    nextpnr_version()
    return PLACEMENTS if count is None else count


def _libraries(
    names: Sequence[str], liberty: Sequence[Path], dont_use: Sequence[str], *, alone: bool
) -> "list[Library]":
    """Return the libraries asked for; without any, the built-in one if there is no other target."""
    from ..synth.cell_choice import choose_cells, leave_out
    from ..synth.installed_libraries import find_library
    from ..synth.liberty import Library

    libraries = [find_library(name) for name in names]
    if liberty:
        libraries.append(choose_cells(Library.read(*liberty)))
    return leave_out(libraries or ([find_library("neutral")] if alone else []), dont_use)


def compare_scales(
    specs: Sequence[DotSpec] | None = None,
    *,
    orders: int | None = None,
    build_dir: Path,
) -> "CostComparison":
    """Measure units with a progress bar; by default the three accumulations of UE4M3 and UE5M3 at N=16."""
    from ..lab.cost.comparison import default_units
    from ..synth import neutral

    units = (
        [make_config(spec) for spec in specs] if specs is not None else default_units(_SCALES, _ACCUMULATES)
    )
    return _measure(units, [neutral()], orders=orders, build_dir=build_dir).comparisons[0]


def _measure(
    units: "Sequence[UnitConfig]",
    libraries: "Sequence[Library]",
    *,
    orders: int | None = None,
    variants: int = 1,
    seed: int = 0,
    build_dir: Path,
    workers: int | None = None,
    cluster: str | None = None,
    targets: Sequence[float] = (),
    curve: bool = False,
    energy: bool = False,
    fpga_targets: Sequence[str] = (),
    placements: int = 0,
) -> "CostReport":
    from ..lab.cost.area_delay import area_delay_curves
    from ..lab.cost.comparison import ORDERS, compare_costs
    from ..lab.cost.fpga_cost import fpga
    from ..lab.cost.unit_energy import energies
    from ..lab.reports.cost_report import CostReport

    count = ORDERS if orders is None else orders
    comparisons: list[CostComparison] = []
    drawn: list[tuple[AreaDelayCurves, ...]] = []
    powered: list[tuple[UnitEnergy, ...]] = []
    for library in libraries:
        options: dict[str, Any] = {
            "orders": count,
            "seed": seed,
            "cache": build_dir / "synthesis",
            "workers": workers,
            "runner": _runner(cluster, library),
        }
        with progress_bar(f"synthesizing for {library.name}", len(units) * count) as report:
            comparisons.append(compare_costs(units, library, variants=variants, progress=report, **options))
        several: list[AreaDelayCurves] = []
        if curve:
            for alike in _alike(units):
                with progress_bar(f"curves for {library.name}", None) as report:
                    several.append(
                        area_delay_curves(alike, library, targets=targets, progress=report, **options)
                    )
        drawn.append(tuple(several))
        if energy:
            with progress_bar(f"energy for {library.name}", len(units) * count) as report:
                powered.append(tuple(energies(units, library, progress=report, **options)))
    fitted: list[FpgaCost] = []
    if fpga_targets:
        doing = "placing and routing on" if placements else "synthesizing for"
        with progress_bar(f"{doing} {', '.join(fpga_targets)}", len(units) * count) as report:
            fitted = fpga(
                units,
                fpga_targets,
                orders=count,
                seed=seed,
                placements=placements,
                cache=build_dir / "synthesis",
                workers=workers,
                progress=report,
            )
    return CostReport(tuple(comparisons), tuple(drawn), tuple(powered), tuple(fitted))


def _runner(cluster: str | None, library: "Library") -> "Runner | None":
    if cluster is None:
        return None
    from ..lab.cost.dask_cluster import Cluster

    return Cluster(cluster, library)


def _alike(units: "Sequence[UnitConfig]") -> "list[list[UnitConfig]]":
    """Group units that differ in their scale format, and in the form of their components, alone."""
    from dataclasses import replace

    from ..lab.cost.measurement import kin_of

    groups: dict[tuple[object, ...], list[UnitConfig]] = {}
    for unit in units:
        groups.setdefault(kin_of(replace(unit, optimise="area")), []).append(unit)
    return list(groups.values())


def _write(path: Path, text: str) -> None:
    """Write a file beside its place and rename it, so that it is never half there."""
    from ..base.whole_files import write_whole

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def print_comparison(out: Console, comparison: "CostComparison") -> None:
    """Print the costs, under them the differences, and what these are made of."""
    library = comparison.library
    native = library.area_unit != "NAND2"
    area_columns = [f"area [{library.area_unit}]>"] if native else []
    timed = any(cost.fmax is not None for cost in comparison.costs)
    costs = table(
        f"Cost on {library.name}: median (least to greatest) of {len(comparison.orders)} netlists",
        "unit",
        *area_columns,
        "area [NAND2]>",
        f"delay [{library.delay_unit}]>",
        f"period [{library.delay_unit}]>",
        *(["fmax [MHz]>"] if timed else []),
        "flip-flops>",
    )
    deltas = table(
        "Difference from the first scale format: mean over paired netlists, 95 % interval",
        "unit",
        "against",
        "area, whole>",
        "attributed>",
        "delay>",
        "period>",
    )
    parts = table(
        f"Where the area differs [{library.area_unit}]: each component alone",
        "unit",
        "component",
        "area>",
        "ports",
    )
    for cost in comparison.costs:
        costs.add_row(
            cost.unit.name,
            # The spread is that of the same areas in NAND2 equivalents.
            *([f"{cost.area.median:.{cost.area.metric.digits}f}"] if native else []),
            *(_spread(summary) for summary in (cost.nand2, cost.delay)),
            f"{cost.period.median:.{cost.period.metric.digits}f}",
            *(["" if cost.fmax is None else f"{cost.fmax.median:.1f}"] if timed else []),
            f"{cost.flip_flops.median:.0f}",
        )
        found = [comparison.delta(cost.unit, name) for name in ("area", "delay", "period")]
        known = [delta for delta in found if delta is not None]
        if len(known) < len(found):
            continue
        attribution = comparison.attribution(cost.unit)
        attributed = ""
        if attribution is not None:
            attributed = attribution.relative.text() + ("" if attribution.agrees else " !")
            for part in attribution.parts:
                if not part.equal and any(part.area.values):
                    before, after = part.base_ports, part.other_ports
                    ports = f"{before or 'none'} | {after or 'none'}" if before != after else "the same"
                    parts.add_row(cost.unit.name, part.role, part.area.text(), ports)
            parts.add_row(cost.unit.name, "across components", attribution.across.text(), "")
            parts.add_row(cost.unit.name, "sum", attribution.whole.absolute.text(), "the whole")
        deltas.add_row(
            cost.unit.name,
            known[0].base.name,
            _difference(known[0]),
            attributed,
            *(_difference(delta) for delta in known[1:]),
        )
    out.print(costs)
    if library.left_out:
        out.print(f"Cells not used: {', '.join(library.left_out)}", markup=False, highlight=False)
    if deltas.row_count:
        out.print(deltas)
        if not all(delta.resolved for delta in comparison.deltas):
            out.print("~ inside the spread: these netlists do not tell it from zero", style="dim")
        if not all(attribution.agrees for attribution in comparison.attributions):
            out.print("! whole and attributed differ by what optimising across components makes", style="dim")
    if parts.row_count:
        out.print(parts)


def _print_curves(out: Console, found: "AreaDelayCurves", library: "LibraryFacts") -> None:
    first = found.curves[0]
    metric = next((area.metric for area in first.areas if area is not None), None)
    if metric is None:
        return
    out_table = table(
        f"Least area [{metric.unit}] at a delay on {library.name}, and the difference there",
        "unit",
        *(f"at {delay:.4g} {library.delay_unit}>" for delay in found.delays),
    )
    for curve in found.curves:
        out_table.add_row(
            curve.unit.name, *("too fast" if area is None else f"{area.median:.1f}" for area in curve.areas)
        )
        deltas = {delta.delay: delta.relative.text() for delta in found.deltas if delta.other == curve.unit}
        if deltas:
            out_table.add_row("", *(deltas.get(delay, "") for delay in found.delays))
    out.print(out_table)


def _print_energies(out: Console, found: "Sequence[UnitEnergy]", library: "LibraryFacts") -> None:
    unit = found[0].total.metric.unit
    energies = table(
        f"Switching energy of an input [{unit}] on {library.name}, and its difference",
        "unit",
        "vectors",
        "energy>",
        "without glitches>",
        "difference>",
        "without glitches>",
    )
    for one in found:
        energies.add_row(
            one.unit.name,
            one.vectors,
            _spread(one.total),
            f"{one.settled.median:.0f}",
            *(_interval(delta) for delta in (one.delta, one.settled_delta)),
        )
    out.print(energies)


def _print_fpga(out: Console, costs: "Sequence[FpgaCost]") -> None:
    fitted = table(
        "Resources of FPGAs: median (least to greatest), before packing",
        "unit",
        "target",
        "LUTs>",
        "carry cells>",
        "flip-flops>",
        "DSPs>",
        "LUTs against the first>",
    )
    for cost in costs:
        fitted.add_row(
            cost.unit.name,
            cost.target,
            _spread(cost.resources["luts"]),
            *(f"{cost.resources[name].median:.0f}" for name in ("carries", "flip_flops", "dsps")),
            _interval(cost.delta),
        )
    out.print(fitted)
    placed = [(cost, cost.placed) for cost in costs if cost.placed is not None]
    if not placed:
        return
    device, seeds = placed[0][1].device, placed[0][1].seeds
    routed = table(
        f"Placed and routed on the iCE40 {device}, each netlist from {len(seeds)} seeds: "
        "median (least to greatest)",
        "unit",
        "logic cells>",
        "fmax [MHz]>",
        "against",
        "logic cells>",
        "fmax>",
    )
    for cost, one in placed:
        routed.add_row(
            cost.unit.name,
            _spread(one.logic_cells),
            _spread(one.fmax) + ("" if one.inside else " !"),
            "" if cost.base is None else cost.base.name,
            *(_interval(delta) for delta in (one.logic_cells_delta, one.fmax_delta)),
        )
    out.print(routed)
    if not all(one.inside for _, one in placed):
        out.print("! the registers around the unit are slower than the unit", style="dim")


def _print_changes(out: Console, found: "Sequence[ReportChange]", *, quiet: bool) -> None:
    if quiet:
        return
    changed = table("Changes", "library", "unit", "metric", "before>", "after>", "change>")
    for change in found:
        changed.add_row(
            change.library,
            change.unit,
            f"{change.metric} [{change.unit_of_measure}]",
            f"{change.before:.3f}",
            f"{change.after:.3f}",
            f"{change.percent:+.2f} %",
        )
    out.print(changed)


def _spread(summary: "Summary") -> str:
    digits = summary.metric.digits
    low, high = summary.minimum, summary.maximum
    return f"{summary.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _interval(delta: "Estimate | None") -> str:
    """Return a difference as it is printed, and whether it is one; nothing where there is none."""
    return "" if delta is None else delta.text() + ("" if delta.resolved else " ~")


def _difference(delta: "Delta") -> str:
    return delta.relative.text() + ("" if delta.resolved else " ~")
