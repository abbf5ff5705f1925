"""``blockdot prove``: what is proven of a unit, and what is not."""

import time
from pathlib import Path
from typing import Annotated

import typer

from .console import console, print_json, progress_bar, table
from .options import (
    BuildDirOption,
    JsonOption,
    OptimiseOption,
    OrderOption,
    SegmentOption,
    SpecArgument,
    WorkersOption,
)
from .requested_unit import make_config, parse_dot

__all__ = ["prove"]


def prove(
    spec: SpecArgument,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    workers: WorkersOption = None,
    seconds: Annotated[
        int, typer.Option("--seconds", help="How long a solver may take over one claim.")
    ] = 300,
    build_dir: BuildDirOption = Path("build"),
    json: JsonOption = False,
) -> None:
    """Prove each part of a unit against an independent description, for every input that can occur.

    It is then proven that the emitted Verilog, at each number of stages, is these parts in a row, and that it
    keeps the rules of its streams. Proofs of the same netlists are kept, so that an interrupted run
    continues. Exit code 1 says that a claim failed or stayed open.
    """
    from ..verify.proofs import prove as run

    parsed = parse_dot(spec, "prove", "`make prove` tries every input")
    config = make_config(parsed, optimise=optimise, order=order, segment=segment)
    start = time.perf_counter()
    with progress_bar(f"proving {config.spec.name}", None) as report:
        proofs = run(
            config,
            workers=workers,
            build_dir=build_dir / "prove",
            seconds=seconds,
            progress=report,
        )
    spent = time.perf_counter() - start
    unsettled = [proof for proof in proofs if proof.outcome not in ("proven", "agrees")]
    if json:
        print_json(
            {
                "spec": config.spec.name,
                "optimise": config.optimise,
                "order": config.order,
                "segment": config.segment,
                "seconds": spent,
                "proofs": proofs,
            }
        )
    else:
        out = console()
        shown = table(
            f"{config.spec.name}, for {config.optimise}",
            "leaf",
            "claim~",
            "method",
            "outcome",
            "full width",
            "seconds>",
            keys=2,
        )
        for proof in proofs:
            again = " (kept)" if proof.kept else ""
            whole = "yes" if proof.full_width else "no"
            shown.add_row(
                proof.leaf, proof.claim, proof.method, proof.outcome, whole, f"{proof.seconds}{again}"
            )
        out.print(shown)
        for proof in proofs:
            if proof.remains:
                what = proof.outcome if proof in unsettled else "not shown"
                out.print(f"{proof.leaf}: {what}: {proof.remains}", soft_wrap=True)
        out.print(f"{len(proofs) - len(unsettled)} of {len(proofs)} claims hold, {spent:.0f} s")
    if unsettled:
        raise typer.Exit(1)
