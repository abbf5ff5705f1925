"""``blockdot soak``: a unit against the model over millions of inputs."""

import time
from pathlib import Path
from typing import Annotated

import typer

from ..model import DotSpec
from .console import console, print_json, progress_bar
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
    WorkersOption,
    count,
)
from .requested_unit import parse_config

__all__ = ["soak"]


def soak(
    spec: SpecArgument,
    vectors: Annotated[
        int,
        typer.Option("--vectors", metavar="N", parser=count, help="Number of inputs, such as 1e8."),
    ] = 10_000_000,
    seed: SeedOption = 0,
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    serial: OfSerialOption = False,
    workers: WorkersOption = None,
    build_dir: BuildDirOption = Path("build"),
    json: JsonOption = False,
) -> None:
    """Put millions of random inputs into a unit's hardware and compare every result with the model.

    Each process simulates 512 units side by side (CXXRTL, one bit of each unit in a machine word). An
    interrupted run continues where it stopped. The first mismatch is made as small as possible and printed as
    a test. Exit code 1 says that there is one.
    """
    from ..verify.soak import blocks_taken, explain
    from ..verify.soak import soak as run

    unit = parse_config(spec, stages=stages, optimise=optimise, order=order, segment=segment, serial=serial)
    start = time.perf_counter()
    with progress_bar(f"soaking {unit.module_name}, seed {seed}", vectors) as report:
        done = run(unit, vectors, seed=seed, workers=workers, build_dir=build_dir / "sim", progress=report)
    seconds = time.perf_counter() - start
    failure = None if done.failure is None else explain(unit, done, build_dir=build_dir / "sim")
    blocks = blocks_taken(unit.spec)
    rate = (done.products - done.resumed * blocks) / seconds
    if json:
        print_json(
            {
                **vars(done),
                "seconds": seconds,
                "products_per_second": rate,
                "mismatch": None if failure is None else {"told": failure.told, "test": failure.test},
            }
        )
    else:
        out = console()
        products = f" ({done.products} block products)" if blocks > 1 else ""
        inputs = "blocks, one number after the other" if serial else "inputs"
        out.print(f"{unit.module_name}: {done.vectors} {inputs}{products}, seed {seed}", soft_wrap=True)
        if failure is None:
            out.print(f"{done.results} of {done.results} results equal the model's, bit for bit")
        what = "block products" if isinstance(unit.spec, DotSpec) else "blocks"
        resumed = f", {done.resumed} inputs taken from an earlier run" if done.resumed else ""
        out.print(
            f"{rate / 1e6:.2f} million checked {what} a second on {done.workers} processes, "
            f"{seconds:.1f} s{resumed}",
            soft_wrap=True,
        )
        out.print(f"digest of the results: {done.digest}", soft_wrap=True)
        if failure is not None:
            for text in (
                "the mismatch, as small as possible:",
                f"{failure.told}\n",
                failure.test.rstrip(),
            ):
                out.print(text, soft_wrap=True)
    if failure is not None:
        raise typer.Exit(1)
