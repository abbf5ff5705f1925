"""``blockdot coverage``: what a test should have met, and which of it is met."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..model import DequantizerSpec, DotSpec, QuantizerSpec
from ..model.specifications import parse_specification
from .console import console, print_json, progress_bar, table
from .options import (
    BuildDirOption,
    JsonOption,
    OfSerialOption,
    OptimiseOption,
    OrderOption,
    SeedOption,
    SegmentOption,
    SpecArgument,
    StagesOption,
    count,
)
from .repeat_command import mismatch_text
from .requested_unit import parse_config

if TYPE_CHECKING:
    from ..model.specifications import Specification
    from ..sim.stream_rules import Response
    from ..verify.coverage.coverage import BinsSeen

__all__ = ["coverage"]


def coverage(
    spec: SpecArgument,
    engine: Annotated[
        Literal["pysim", "cxxrtl", "verilator", "icarus", "model"],
        typer.Option(
            "--engine", help="What runs the unit. With model nothing runs, and bins of the ports are not met."
        ),
    ] = "pysim",
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    serial: OfSerialOption = False,
    vectors: Annotated[
        int, typer.Option("--vectors", metavar="N", parser=count, help="Random inputs to add.")
    ] = 0,
    seed: SeedOption = 0,
    directed: Annotated[
        bool, typer.Option("--directed/--no-directed", help="Inputs that meet the corner cases one by one.")
    ] = True,
    long: Annotated[
        bool,
        typer.Option("--long", help="Add sums of 65536 groups, for the upper guard bits of exact sums."),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List every bin.")] = False,
    build_dir: BuildDirOption = Path("build"),
    json: JsonOption = False,
) -> None:
    """Run inputs through a unit, compare every result, and say which corner cases were met and which not.

    A bin is one corner case. Inputs, exact arithmetic and the ports decide whether it was met; nothing inside
    the hardware is looked at. A bin that cannot be met says why. Exit code 1 says that a bin that can be met
    was not met, or that a result differs.
    """
    from ..hw.stream_unit import StreamUnit
    from ..sim import run
    from ..sim.drawn_stimulus import draw
    from ..sim.serial_stimulus import as_played
    from ..sim.unit_stimulus import UnitStimulus
    from ..verify.compare import compare
    from ..verify.directed_stimulus import directed_stimulus
    from ..verify.netlist_mutants import built

    parsed = parse_specification(spec)
    if long and not isinstance(parsed, DotSpec):
        raise ValueError(f"--long must go with a dot product, not with {spec}")
    if vectors < 0:
        raise ValueError(f"vectors must be at least 0, not {vectors}")
    if not directed and not vectors:
        raise ValueError("vectors must be given where there are no directed ones, not 0")
    if serial and engine == "model":
        raise ValueError("--serial must go with an engine that runs a unit, not with model")
    unit: StreamUnit | None = None
    if engine != "model":
        config = parse_config(
            spec, stages=stages, optimise=optimise, order=order, segment=segment, serial=serial
        )
        unit = built(config)
    seen = _bins(parsed, unit.latency if unit else None, long=long)
    stimuli = [directed_stimulus(parsed, long=long)] if directed else []
    stimuli += [draw(parsed, vectors, seed=seed)] if vectors else []
    differing: list[str] = []

    def play(stimulus: UnitStimulus) -> "Response | None":
        if unit is None or engine == "model":
            return None
        played = as_played(unit.config, stimulus)
        response = run(unit, played, engine=engine, build_dir=build_dir / "sim")
        differing.extend(map(mismatch_text, compare(unit.config, played, response, engine=engine).mismatches))
        return response

    with progress_bar(f"running {unit.name if unit else parsed.name}", None):
        for stimulus in stimuli:
            seen.add(stimulus, play(stimulus))
    total = sum(stimulus.vectors for stimulus in stimuli)
    if json:
        print_json(
            {
                "spec": parsed.name,
                "unit": unit and unit.name,
                "vectors": total,
                "mismatches": differing,
                "bins": [
                    {**vars(one), "count": seen.met[one].count if one in seen.met else 0} for one in seen.bins
                ],
            }
        )
    else:
        _print(seen, unit.name if unit else f"{parsed.name}, the model alone", total, differing, every=every)
    if seen.holes or seen.refuted or differing:
        raise typer.Exit(1)


def _bins(spec: "Specification", latency: int | None, *, long: bool) -> "BinsSeen[Any]":
    """Return all bins of a specification, none of which is met yet."""
    from ..verify.coverage.coverage import Coverage
    from ..verify.coverage.dequantizer_coverage import DequantizerCoverage
    from ..verify.coverage.quantizer_coverage import QuantizerCoverage

    match spec:
        case QuantizerSpec():
            return QuantizerCoverage(spec)
        case DequantizerSpec():
            return DequantizerCoverage(spec)
        case _:
            return Coverage(spec, latency=latency, long=long)


def _print(seen: "BinsSeen[Any]", name: str, vectors: int, differing: list[str], *, every: bool) -> None:
    out = console()
    shown = table(
        f"{name}: {vectors} inputs", "group", "bins>", "met>", "impossible>", "not driven>", "holes>"
    )
    groups = dict.fromkeys(one.group for one in seen.bins)
    for group in [*groups, None]:
        bins = [one for one in seen.bins if group in (one.group, None)]
        met = sum(one in seen.met for one in bins)
        never = sum(not one.possible for one in bins)
        left = sum(one.possible and bool(one.unreachable) and one not in seen.met for one in bins)
        holes = sum(one.group == group or group is None for one in seen.holes)
        if group is None:
            shown.add_section()
        shown.add_row(group or "all", *map(str, (len(bins), met, never, left, holes)))
    out.print(shown)
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in seen.bins:
        if one.unreachable:
            reasons.setdefault((one.group, one.unreachable), []).append(one.name)
    for (group, why), names in reasons.items():
        more = f" and {len(names) - 3} more" if len(names) > 4 else ""
        listed = "; ".join(names if not more else names[:3])
        out.print(f"{group}: {listed}{more}: {why}", soft_wrap=True)
    if every:
        for one in seen.bins:
            count_of = seen.met[one].count if one in seen.met else 0
            out.print(f"{count_of:8} {one.group}: {one.name}", soft_wrap=True)
    for one in seen.holes:
        out.print(f"hole: {one.group}: {one.name}", soft_wrap=True)
    for one in seen.refuted:
        out.print(f"met, and should not be: {one.group}: {one.name}: {one.unreachable}", soft_wrap=True)
    for text in differing:
        out.print(text, soft_wrap=True)
