"""``blockdot mutants``: faults put into a unit, and which of them are found."""

import time
from typing import Annotated

import typer

from .console import console, print_json, progress_bar, table
from .options import (
    JsonOption,
    OfSerialOption,
    OptimiseOption,
    OrderOption,
    SeedOption,
    SegmentOption,
    SpecArgument,
    StagesOption,
)
from .requested_unit import parse_config

__all__ = ["mutants"]


def mutants(
    spec: SpecArgument,
    count: Annotated[int, typer.Option("--count", help="Faults in the netlist.")] = 100,
    source: Annotated[
        bool, typer.Option("--source/--no-source", help="Faults in the generator's source as well.")
    ] = True,
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    serial: OfSerialOption = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Put faults into a unit, one at a time, and say which of them are found.

    Killed: the directed or random inputs show the fault. Refuted: they do not, but the proofs do. Equivalent:
    no input can show it. Exit code 1 says that a fault survived: nothing showed it.
    """
    from ..verify.netlist_mutants import FATES, mutate
    from ..verify.source_mutants import plant

    unit = parse_config(spec, stages=stages, optimise=optimise, order=order, segment=segment, serial=serial)
    start = time.perf_counter()
    with progress_bar(f"mutating {unit.module_name}", None) as report:
        of_netlist = mutate(unit, count, seed=seed, progress=report)
        of_source = plant(unit, progress=report) if source else ()
    spent = time.perf_counter() - start
    every = (*of_netlist.mutants, *of_source)
    survived = [one for one in every if one.fate == "survived"]
    if json:
        print_json(
            {
                "unit": unit.module_name,
                "seed": seed,
                "vectors": of_netlist.vectors,
                "seconds": spent,
                "netlist": of_netlist.mutants,
                "source": of_source,
            }
        )
    else:
        out = console()
        shown = table(
            f"{unit.module_name}, seed {seed}", "component", "mutants>", *(f"{fate}>" for fate in FATES)
        )
        for title, ones in (("netlist", of_netlist.mutants), ("source", of_source)):
            for name in sorted({one.component for one in ones}):
                mine = [one for one in ones if one.component == name]
                counts = (sum(one.fate == fate for one in mine) for fate in FATES)
                shown.add_row(f"{title}: {name}", str(len(mine)), *map(str, counts))
        shown.add_section()
        counts = (sum(one.fate == fate for one in every) for fate in FATES)
        shown.add_row("all", str(len(every)), *map(str, counts))
        out.print(shown)
        for one in survived:
            out.print(f"survived: {one.component}: {one.fault}", soft_wrap=True)
        out.print(f"{of_netlist.vectors} inputs, {spent:.0f} s")
    if survived:
        raise typer.Exit(1)
