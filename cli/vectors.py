"""``blockdot vectors``: stimulus and expected bits in files, for hardware of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from ..model.specifications import parse_specification
from .console import console, print_json
from .options import JsonOption, SeedOption, SpecArgument, count
from .output import check_folder

__all__ = ["vectors"]


def vectors(
    spec: SpecArgument,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder to write to; made if it is not there."),
    ] = Path("build/vectors"),
    number: Annotated[
        int,
        typer.Option("--vectors", metavar="N", parser=count, help="Random vectors behind the directed ones."),
    ] = 10_000,
    seed: SeedOption = 0,
    long: Annotated[bool, typer.Option("--long", help="Add sums of 65536 groups; see `coverage`.")] = False,
    json: JsonOption = False,
) -> None:
    """Write conformance vectors: inputs, and the bits that hardware of that specification must give.

    DIR/SPEC.PORT.hex are files for $readmemh, with a line for each vector or each result. DIR/SPEC.npz holds
    the same as codes. DIR/SPEC.json describes the files. docs/vectors.md has the details, and code that reads
    them.
    """
    from ..verify.conformance import write

    parsed = parse_specification(spec)
    check_folder(output)
    about = write(parsed, output, vectors=number, seed=seed, long=long)
    if json:
        print_json(about)
        return
    out = console()
    directed = about["directed"]
    out.print(
        f"{parsed.name}: {about['vectors']} vectors, the first {directed} of them directed, seed {seed}; "
        f"{about['results']} results",
        soft_wrap=True,
    )
    for file in (*about["files"], f"{spec}.json"):
        out.print(f"wrote {output / file}", soft_wrap=True)
