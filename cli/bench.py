"""``blockdot bench``: the cocotb tests that every unit must pass, on the emitted Verilog."""

from pathlib import Path
from typing import Annotated, Literal

import typer

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
from .requested_unit import parse_config

__all__ = ["bench"]


def bench(
    spec: SpecArgument,
    engine: Annotated[
        Literal["verilator", "icarus"], typer.Option("--engine", help="What simulates the Verilog.")
    ] = "verilator",
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    serial: OfSerialOption = False,
    vectors: Annotated[
        int, typer.Option("--vectors", metavar="N", parser=count, help="Inputs of each random test.")
    ] = 300,
    seed: SeedOption = 0,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Write the waveforms of the tests that fail, .fst."),
    ] = None,
    build_dir: BuildDirOption = Path("build"),
    json: JsonOption = False,
) -> None:
    """Run the cocotb tests on a unit's Verilog: corners, stalls, resets in mid-stream; sums, NaN in them.

    Exit code 1 says that one failed. The drivers, the monitor and the scoreboard are those of
    `blockdot.sim.bench.cocotb_testbench`, for use on other designs too.
    """
    from ..sim.engines.cocotb_engine import Design
    from ..sim.engines.cocotb_test_run import run_tests
    from ..verify.netlist_mutants import built

    if trace is not None and trace.suffix != ".fst":
        raise ValueError(f"trace must be a .fst file, not {str(trace)!r}")
    config = parse_config(
        spec,
        stages=1 if stages is None else stages,
        optimise=optimise,
        order=order,
        segment=segment,
        serial=serial,
    )
    if not config.stages:
        raise ValueError("stages must be at least 1, as a test bench needs streams, not 0")
    unit = built(config)
    design = Design.of(unit)
    folder = build_dir / "sim"
    with progress_bar(f"testing {unit.name} on {engine}", None):
        results = run_tests(
            design, config.spec, serial=serial, simulator=engine, build_dir=folder, vectors=vectors, seed=seed
        )
        failed = [result.name for result in results if result.outcome == "failed"]
        if failed and trace is not None:
            run_tests(
                design, config.spec, serial=serial, simulator=engine, build_dir=folder, vectors=vectors,
                seed=seed, trace=trace.resolve(), tests=failed,
            )  # fmt: skip
    if json:
        print_json({"unit": unit.name, "engine": engine, "seed": seed, "tests": results})
    else:
        shown = table(f"{unit.name} on {engine}, seed {seed}", "test", "outcome", "seconds>", "message~")
        for result in results:
            shown.add_row(result.name, result.outcome, f"{result.seconds:.2f}", result.message)
        console().print(shown)
    if failed:
        raise typer.Exit(1)
