"""What units cost, as tables on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from .console import ResultTable, table

if TYPE_CHECKING:
    from ..lab.cost.area_delay import AreaDelayCurves
    from ..lab.cost.comparison import CostComparison
    from ..lab.cost.corner_cost import CornerCost
    from ..lab.cost.cost_delta import Delta
    from ..lab.cost.fpga_cost import FpgaCost
    from ..lab.cost.placed_cost import WiredCost
    from ..lab.cost.unit_energy import UnitEnergy
    from ..lab.reports.cost_report import CostReport, ReportChange
    from ..lab.statistics import Estimate, Summary
    from ..synth.liberty import LibraryFacts

__all__ = ["print_changes", "print_comparison", "print_report"]


def print_report(out: Console, report: "CostReport") -> None:
    """Print all that a run measured."""
    for comparison in report.comparisons:
        print_comparison(out, comparison)
    for comparison, several in zip(report.comparisons, report.curves, strict=False):
        for one in several:
            _print_curves(out, one, comparison.library)
    for comparison, cornered in zip(report.comparisons, report.corners, strict=False):
        if cornered:
            _print_corners(out, cornered, comparison.library)
    for comparison, powered in zip(report.comparisons, report.energies, strict=False):
        _print_energies(out, powered, comparison.library)
    for comparison, wired in zip(report.comparisons, report.placed, strict=False):
        _print_wired(out, wired, comparison.library)
    if report.fpga:
        _print_fpga(out, report.fpga)


def print_comparison(out: Console, comparison: "CostComparison") -> None:
    """Print the costs, under them the differences, and what these are made of."""
    # Whoever prints something else need not wait for it.
    from ..hw.quantizer_config import QuantizerConfig

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
    quantizers = any(isinstance(cost.unit, QuantizerConfig) for cost in comparison.costs)
    first = "quantizer with the first method and" if quantizers else "same unit with the first"
    # Of those with a tensor scale the unit without one is the first.
    scaled = any(getattr(cost.unit.spec, "tensor_scale", False) for cost in comparison.costs)
    without = " and no tensor scale" if scaled and not quantizers else ""
    deltas = table(
        f"Difference from the {first} scale format{without}: mean over paired netlists, 95 % interval",
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
        "ports that differ~",
        keys=2,
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
            attributed = ("" if attribution.agrees else "! ") + attribution.relative.text()
            for part in attribution.parts:
                if not part.equal and any(part.area.values):
                    ports = _differing_ports(part.base_ports, part.other_ports)
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
    if comparison.adders:
        out.print(f"Adder cells used: {', '.join(comparison.adders)}", markup=False, highlight=False)
    if library.left_out:
        out.print(f"Cells not used: {', '.join(library.left_out)}", markup=False, highlight=False)
    if deltas.row_count:
        out.print(deltas)
        if not all(delta.resolved for delta in comparison.deltas):
            out.print(
                "~ not resolved: the interval includes zero, so these netlists show no difference",
                style="dim",
            )
        if not all(attribution.agrees for attribution in comparison.attributions):
            out.print(
                "! the components alone do not add up to the whole: optimising across them changes the area",
                style="dim",
            )
    if parts.row_count:
        out.print(parts)


def _differing_ports(before: str, after: str) -> str:
    """Return the ports of a component whose widths differ, as ``exponent 5 to 6``.

    Args:
        before: Its ports with their widths in the base, such as ``a 7, b 7 -> exponent 5``; empty where it
            is not there.
        after: Those in the other unit.
    """
    if not before or not after:
        return "in this unit alone" if after else "not in this unit"
    old, new = (
        dict(port.rsplit(" ", 1) for side in text.split(" -> ") for port in side.split(", ") if port)
        for text in (before, after)
    )
    told = [
        f"{name} {old.get(name, 'none')} to {new.get(name, 'none')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    return ", ".join(told) or "none"


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
            out_table.add_row("  difference", *(deltas.get(delay, "") for delay in found.delays))
    out.print(out_table)


def _energy_table(what: str) -> ResultTable:
    return table(
        f"Switching energy of an input {what}, and its difference",
        "unit",
        "vectors",
        "energy>",
        "without glitches>",
        "difference>",
        "difference without glitches>",
        keys=2,
    )


def _print_energies(out: Console, found: "Sequence[UnitEnergy]", library: "LibraryFacts") -> None:
    unit = found[0].total.metric.unit
    energies = _energy_table(f"[{unit}] on {library.name}")
    for one in found:
        energies.add_row(
            one.unit.name,
            one.vectors,
            _spread(one.total),
            f"{one.settled.median:.0f}",
            *(_interval(delta) for delta in (one.delta, one.settled_delta)),
        )
    out.print(energies)


def _print_corners(out: Console, costs: "Sequence[CornerCost]", library: "LibraryFacts") -> None:
    from ..lab.cost.corner_cost import CORNER_DELTAS

    leaking = any("leakage" in cost.figures for cost in costs)
    corners = table(
        "The same netlists at each corner: median (least to greatest)",
        "unit",
        "corner",
        f"delay [{library.delay_unit}]>",
        f"period [{library.delay_unit}]>",
        *(["leakage [nW]>"] if leaking else []),
        "delay>",
        "period>",
        keys=2,
    )
    for cost in costs:
        leakage = cost.figures.get("leakage")
        corners.add_row(
            cost.unit.name,
            cost.corner,
            _spread(cost.figures["delay"]),
            _spread(cost.figures["period"]) + (" !" if cost.slowest else ""),
            *(["" if leakage is None else _spread(leakage)] if leaking else []),
            *(
                _interval(delta)
                for delta in ([None, None] if cost.deltas is None else map(cost.deltas.get, CORNER_DELTAS))
            ),
        )
    out.print(corners)
    out.print("! the corner where the unit is slowest", style="dim")


def _print_wired(out: Console, costs: "Sequence[WiredCost]", library: "LibraryFacts") -> None:
    from ..synth.physical.core_area import CORNERS

    placing = costs[0].placing
    geometry = placing.geometry
    several = f"{len(placing.seeds)} seeds" if len(placing.seeds) > 1 else "one seed"
    figures = table(
        f"With wires on {library.name}: placed by coloquinte at {100 * placing.utilisation:g} % utilisation, "
        f"each netlist from {several}: median (least to greatest)",
        "unit",
        f"core [{library.area_unit}]>",
        f"wire [{geometry.length_unit}]>",
        "wire load>",
        f"delay [{library.delay_unit}]>",
        f"period [{library.delay_unit}]>",
        "without wires>",
        "clock buffers>",
    )
    deltas = table(
        "Difference with wires: mean over paired netlists, each the mean of its placements, 95 % interval",
        "unit",
        "against",
        "core>",
        "wire>",
        "delay>",
        "period>",
    )
    energies = _energy_table(f"with wires on {library.name}")
    routed = table(
        f"Routed by qrouter on {library.name}: median (least to greatest)",
        "unit",
        f"wire [{geometry.length_unit}]>",
        "vias>",
        f"delay [{library.delay_unit}]>",
        f"period [{library.delay_unit}]>",
        "longer than the estimate>",
        "nets from 5 % to 95 %>",
    )
    routed_deltas = table(
        "Difference of what is routed: mean over paired netlists, each the mean of its placements, "
        "95 % interval",
        "unit",
        "against",
        "wire>",
        "vias>",
        "delay>",
        "period>",
    )
    for cost in costs:
        if cost.routed is not None and (of := cost.routed.figures) is not None:
            routed.add_row(
                cost.unit.name,
                *(_spread(of[name]) for name in ("wire_length", "vias", "delay", "period")),
                f"{of['detour'].median:+.1f} %",
                f"{of['detour_low'].median:+.1f} to {of['detour_high'].median:+.1f} %",
            )
            if cost.base is not None and cost.routed.deltas:
                compared = cost.routed.deltas.values()
                routed_deltas.add_row(cost.unit.name, cost.base.name, *map(_interval, compared))
        found = cost.figures
        period = found["period"].metric.digits
        figures.add_row(
            cost.unit.name,
            f"{found['core_area'].median:.{found['core_area'].metric.digits}f}",
            _spread(found["wire_length"]),
            f"{found['wire_load'].median:.0f} %",
            *(_spread(found[name]) for name in ("delay", "period")),
            f"{found['bare_period'].median:.{period}f}",
            f"{found['clock_buffers'].median:.0f}",
        )
        if cost.base is not None:
            compared = (cost.deltas or {}).values()
            deltas.add_row(cost.unit.name, cost.base.name, *(_interval(delta) for delta in compared))
        for energy in cost.energies:
            energies.add_row(
                cost.unit.name,
                energy.vectors,
                f"{energy.total.median:.{energy.total.metric.digits}f} {energy.total.metric.unit}",
                f"{energy.settled.median:.{energy.settled.metric.digits}f}",
                *(_interval(delta) for delta in (energy.delta, energy.settled_delta)),
            )
    for one in (figures, deltas, energies, routed, routed_deltas):
        if one.row_count:
            out.print(one)
    for cost in costs:
        if cost.routed is not None:
            style = "dim" if cost.routed.figures else "red"
            out.print(f"{cost.unit.name}: {cost.routed.verdict}.", style=style)
    sizes = (
        "Sizes were chosen again for the wires of each placement"
        if placing.resized
        else "Sizes are those that were chosen for the pins' loads: no cell is changed after placement"
    )
    out.print(
        f"{sizes}. Differences of core and of estimated wire are of the same gates before buffers and sizes, "
        f"placed {CORNERS} times, with their ports from each corner of the core on. "
        "The clock's tree is an estimate.",
        style="dim",
    )


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
        keys=2,
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
            ("" if one.inside else "! ") + _spread(one.fmax),
            "" if cost.base is None else cost.base.name,
            *(_interval(delta) for delta in (one.logic_cells_delta, one.fmax_delta)),
        )
    out.print(routed)
    if not all(one.inside for _, one in placed):
        out.print("! the slowest path is in the registers around the unit, not in the unit", style="dim")


def print_changes(out: Console, found: "Sequence[ReportChange]") -> None:
    """Print how figures differ from those of an older report."""
    changed = table(
        "Changes from the earlier report", "library", "unit", "metric", "before>", "after>", "change>", keys=3
    )
    for change in found:
        changed.add_row(
            change.library,
            change.unit,
            f"{change.metric} [{change.unit_of_measure}]",
            f"{change.before:.3f}",
            f"{change.after:.3f}",
            f"{change.percent:+z.2f} %",
        )
    out.print(changed)


def _spread(summary: "Summary") -> str:
    digits = summary.metric.digits
    low, high = summary.minimum, summary.maximum
    return f"{summary.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _interval(delta: "Estimate | None") -> str:
    """Return a difference behind a mark where it is not resolved; nothing where there is none."""
    return "" if delta is None else ("" if delta.resolved else "~ ") + delta.text()


def _difference(delta: "Delta") -> str:
    return ("" if delta.resolved else "~ ") + delta.relative.text()
