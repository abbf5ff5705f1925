"""``blockdot area``: what units cost, and what a scale format adds."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.console import Console

from ..model import DotSpec
from ..model.dot import Accumulate
from .console import console, print_json, progress_bar, table
from .options import (
    BlocksOption,
    BuildDirOption,
    ElementOption,
    GuardOption,
    JsonOption,
    LibertyOption,
    OptimiseOption,
    SeedOption,
    StagesOption,
    default_stages,
    make_spec,
)

if TYPE_CHECKING:
    from ..lab.compare import Comparison, Delta
    from ..lab.estimate import Summary

__all__ = ["area", "compare_scales", "print_comparison"]

_SCALES = ("ue4m3", "ue5m3")
_ACCUMULATES: tuple[Accumulate, ...] = ("none", "fp32", "exact")


def area(
    element: ElementOption = "e2m1",
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            help="Format of the block scales; repeat it to compare with the first. [default: ue4m3, ue5m3]",
        ),
    ] = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option("--block-size", help="Elements under one scale; may be repeated. [default: 16]"),
    ] = None,
    blocks: BlocksOption = 1,
    accumulate: Annotated[
        list[str] | None,
        typer.Option("--accumulate", help="none, fp32, exact; may be repeated. [default: all three]"),
    ] = None,
    guard: GuardOption = 16,
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    orders: Annotated[
        int | None,
        typer.Option(
            "--orders",
            help="Netlists made of each unit, each with its adders wired in another order: more give a "
            "narrower error bar. [default: 5]",
        ),
    ] = None,
    seed: SeedOption = 0,
    liberty: LibertyOption = None,
    build_dir: BuildDirOption = Path("build"),
    json: JsonOption = False,
) -> None:
    """Synthesize units and say what each costs, and how those differ that differ in the scale format alone.

    Every unit is made several times, functionally equal and wired differently; a difference is the mean over
    pairs wired alike, with its 95 % interval. Delay is that of gates alone: no wires, no clock-to-output, no
    setup. Results are kept, so that asking again takes no time.
    """
    specs = [
        make_spec(
            element=element,
            scale=one,
            block_size=n,
            blocks=blocks,
            accumulate=cast("Accumulate", how),
            guard=guard,
        )
        for n, how, one in product(block_size or [16], accumulate or _ACCUMULATES, scale or _SCALES)
    ]
    comparison = compare_scales(
        specs,
        stages=stages,
        optimise=optimise,
        orders=orders,
        seed=seed,
        liberty=liberty or (),
        build_dir=build_dir,
    )
    if json:
        print_json(comparison.to_dict())
    else:
        print_comparison(console(), comparison)


def compare_scales(
    specs: Sequence[DotSpec] | None = None,
    *,
    stages: int | None = None,
    optimise: Literal["area", "delay"] = "area",
    orders: int | None = None,
    seed: int = 0,
    liberty: Sequence[Path] = (),
    build_dir: Path,
) -> "Comparison":
    """Measure units with a progress bar; by default the three accumulations of UE4M3 and UE5M3 at N=16."""
    from ..hw.synth import Library, neutral
    from ..lab.compare import ORDERS, Unit, compare, default_units

    library = Library.read(*liberty) if liberty else neutral()
    units = (
        [Unit(spec, default_stages(spec.accumulate, stages), optimise) for spec in specs]
        if specs is not None
        else default_units(_SCALES, _ACCUMULATES)
    )

    count = ORDERS if orders is None else orders
    with progress_bar("synthesizing", len(units) * count) as report:
        return compare(
            units, library, orders=count, seed=seed, cache=build_dir / "synthesis", progress=report
        )


def print_comparison(out: Console, comparison: "Comparison") -> None:
    """Print the costs, and under them the differences."""
    library = comparison.library
    native = library.area_unit != "NAND2"
    area_columns = [f"area [{library.area_unit}]>"] if native else []
    costs = table(
        f"Cost on {library.name}: median (least to greatest) of {len(comparison.orders)} netlists",
        "unit",
        *area_columns,
        "area [NAND2]>",
        f"delay [{library.delay_unit}]>",
        "flip-flops>",
    )
    deltas = table(
        "Difference from the first scale format: mean over paired netlists, 95 % interval",
        "unit",
        "against",
        "area>",
        "delay>",
    )
    for cost in comparison.costs:
        spreads = [cost.area] if native else []
        costs.add_row(
            cost.unit.name,
            *(_spread(summary) for summary in (*spreads, cost.nand2, cost.delay)),
            f"{cost.flip_flops.median:.0f}",
        )
        area_delta = comparison.delta(cost.unit, "area")
        delay_delta = comparison.delta(cost.unit, "delay")
        if area_delta is not None and delay_delta is not None:
            deltas.add_row(
                cost.unit.name, area_delta.base.name, _difference(area_delta), _difference(delay_delta)
            )
    out.print(costs)
    if deltas.row_count:
        out.print(deltas)
        if not all(delta.resolved for delta in comparison.deltas):
            out.print("[dim]~ inside the spread: these netlists do not tell it from zero[/dim]")


def _spread(summary: "Summary") -> str:
    digits = summary.metric.digits
    low, high = summary.minimum, summary.maximum
    return f"{summary.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _difference(delta: "Delta") -> str:
    return delta.relative.text() + ("" if delta.resolved else " ~")
