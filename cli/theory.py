"""``blockdot theory``: the error that block formats are expected to make."""

import itertools
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..lab.quality.error_curves import (
    PICTURE_SUFFIXES,
    ErrorCurves,
    ErrorPoint,
    draw_error_curves,
    require_matplotlib,
    sigmas_between,
    tabulate,
)
from ..lab.quality.quantization_error import BLOCKS, Quantization, combinations
from ..lab.reports.records import RECORDS, plain_json, write_records
from ..model import formats
from ..model.theory import INTEGRATED, crossover, plateau
from .console import console, progress_bar, table
from .options import (
    ElementOption,
    JsonOption,
    MethodsOption,
    RoundingOption,
    ScalesOption,
    SeedOption,
    expand_methods,
)
from .output import check_outputs

__all__ = ["theory"]

_SCALES: Final = ("ue4m3", "ue5m3")
_SIZES: Final = (8, 16, 32)
_SIGMAS: Final = (0.002, 0.005, 0.01, 0.02, 0.05)
# The recipes that arXiv 2605.08565 holds against a wider exponent.
_DRAWN: Final = ("absmax", "prevent_zero", "four_over_six", "search")


def theory(
    element: ElementOption = "e2m1",
    scale: ScalesOption = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option(
            "--block-size", help="Elements under one scale; repeat it to compare. [default: 8, 16, 32]"
        ),
    ] = None,
    method: MethodsOption = None,
    rounding: RoundingOption = "nearest_even",
    distribution: Annotated[
        str,
        typer.Option("--distribution", help="Distribution: normal, laplace, logistic or student_t{V}."),
    ] = "normal",
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            "--sigma", help="Standard deviation of the data; may be repeated. [default: 0.002 to 0.05]"
        ),
    ] = None,
    between: Annotated[
        tuple[float, float],
        typer.Option("--between", metavar="LEAST GREATEST", help="The sigmas that pictures span."),
    ] = (1e-6, 1.0),
    points: Annotated[int, typer.Option("--points", help="Points a decade in pictures.")] = 12,
    blocks: Annotated[
        int, typer.Option("--blocks", help="Blocks drawn where there is no integral.")
    ] = BLOCKS,
    monte_carlo: Annotated[
        bool, typer.Option("--monte-carlo", help="Draw blocks even where there is an integral.")
    ] = False,
    seed: SeedOption = 0,
    parts: Annotated[
        bool, typer.Option("--parts", help="Also print what each error comes from, and how exact it is.")
    ] = False,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write what is computed as .csv, .json or .md, or draw it as .png or .svg; may be repeated.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print the error to be expected from quantizing independent values.

    The error is the mean squared error over sigma squared. It is integrated for the methods absmax,
    prevent_zero, floor, even and ceil, and sampled with its standard error for four_over_six and search.
    Below a crossover, the finer of two block sizes has the greater error. Pictures compare absmax with the
    recipes that avoid scales of zero, unless other methods are named.
    """
    outputs = output or []
    check_outputs(outputs, (*RECORDS, *PICTURE_SUFFIXES))
    spanned = sigmas_between(*between, points)
    if blocks < 2:
        raise ValueError(f"blocks must be at least 2 for a standard error, not {blocks}")
    pictures = [path for path in outputs if path.suffix.lower() in PICTURE_SUFFIXES]
    if pictures:
        require_matplotlib()
    scales, sizes = scale or _SCALES, block_size or _SIZES
    ways = combinations(scales, sizes, expand_methods(method), element, rounding)
    sigmas = sigma or _SIGMAS
    sampling: dict[str, Any] = {"blocks": blocks, "seed": seed, "sampled": monte_carlo}
    with progress_bar("computing", len(ways) * len(sigmas)) as report:
        curves = tabulate(ways, sigmas, distribution, **sampling, progress=report)
    if pictures:
        e2m1 = formats.get(element).equals(formats.get("e2m1"))
        known = [name for name in _DRAWN if e2m1 or name != "four_over_six"]
        drawn = combinations(scales, sizes, expand_methods(method or known), element, rounding)
        with progress_bar("computing curves", len(drawn) * len(spanned)) as report:
            wide = tabulate(drawn, spanned, distribution, **sampling, progress=report)
        for path in pictures:
            draw_error_curves(wide, path)
        curves = ErrorCurves(distribution, curves.points + wide.points)
    crossovers = _crossovers(ways, distribution)
    document = {
        "distribution": distribution,
        "points": curves.rows(),
        "crossovers": crossovers,
        "plateaus": [
            {"element": element, "block_size": size, "mse": plateau(element, size, rounding, distribution)}
            for size in dict.fromkeys(sizes)
            if rounding != "stochastic"
        ],
    }
    for path in outputs:
        if path not in pictures:
            write_records(path, curves.rows(), document)
    if json:
        typer.echo(plain_json(document), nl=False)
        return
    _print(curves.points[: len(ways) * len(sigmas)], document, parts=parts)
    for path in outputs:
        console().print(f"wrote {path}", soft_wrap=True)


def _crossovers(ways: list[Quantization], distribution: str) -> list[dict[str, Any]]:
    """Return where finer blocks become worse than those of the next size, wherever that is integrated."""
    found: list[dict[str, Any]] = []
    for (scale, method), group in itertools.groupby(ways, lambda way: (way.scale, way.method)):
        alike = sorted(group, key=lambda way: way.block_size)
        for fine, coarse in itertools.pairwise(alike):
            if method not in INTEGRATED or fine.rounding == "stochastic":
                continue
            sigma = crossover(
                fine.block_size,
                coarse.block_size,
                fine.element,
                scale,
                method,
                fine.rounding,
                distribution,
            )
            found.append(
                {
                    "scale": scale,
                    "method": method,
                    "fine": fine.block_size,
                    "coarse": coarse.block_size,
                    "sigma": sigma,
                }
            )
    return found


def _print(points: tuple[ErrorPoint, ...], document: dict[str, Any], *, parts: bool) -> None:
    out = console()
    by_way: dict[Quantization, list[ErrorPoint]] = {}
    for point in points:
        by_way.setdefault(point.quantization, []).append(point)
    plateaus = {row["block_size"]: row["mse"] for row in document["plateaus"]}
    element, distribution = points[0].quantization.element, document["distribution"]
    for method in dict.fromkeys(way.method for way in by_way):
        ways = [way for way in by_way if way.method == method]
        made = table(
            f"MSE / sigma^2 of {distribution} data, {element}, {method}",
            "sigma>",
            *(f"{way.scale} N={way.block_size}>" for way in ways),
        )
        for row in zip(*(by_way[way] for way in ways), strict=True):
            made.add_row(f"{row[0].sigma:g}", *(_value(point) for point in row))
        if method == "absmax" and plateaus:
            made.add_section()
            made.add_row("scales not rounded", *(f"{plateaus[way.block_size]:.5f}" for way in ways))
        out.print(made)
    if document["crossovers"]:
        made = table(
            "Sigma below which the finer block has the greater error",
            "scale",
            "method",
            "blocks",
            "sigma>",
            keys=3,
        )
        for row in document["crossovers"]:
            sigma = "none" if row["sigma"] is None else f"{row['sigma']:.4g}"
            made.add_row(row["scale"], row["method"], f"{row['fine']} against {row['coarse']}", sigma)
        out.print(made)
    if parts:
        _print_parts(points)
    exact = [p.expectation.uncertainty for p in points if not p.expectation.sampled]
    if exact:
        out.print(f"integrals are exact to {max(exact):.0e} at worst")
    if len(exact) < len(points):
        out.print("± is the standard error of what was sampled")


def _value(point: ErrorPoint) -> str:
    error = f" ± {point.expectation.uncertainty:.5f}" if point.expectation.sampled else ""
    return f"{point.expectation.mse:.5f}{error}"


def _print_parts(points: tuple[ErrorPoint, ...]) -> None:
    made = table(
        "What it comes from",
        "scale, block, method",
        "sigma>",
        "not largest>",
        "largest>",
        "scale zero>",
        "MSE / sigma^2>",
        "uncertainty>",
        keys=2,
    )
    for point in points:
        error = point.expectation
        shares = (
            "" if part is None else f"{part:.6f}" for part in (error.others, error.largest, error.zero_scale)
        )
        made.add_row(
            point.quantization.label,
            f"{point.sigma:g}",
            *shares,
            f"{error.mse:.6f}",
            f"{error.uncertainty:.0e}",
        )
    console().print(made)
