"""``blockdot verilog``: a unit's Verilog and its JSON sidecar."""

from pathlib import Path
from typing import Annotated

import typer

from .console import console, print_json, table
from .options import (
    AccumulateOption,
    BlockSizeOption,
    BlocksOption,
    ElementOption,
    GuardOption,
    JsonOption,
    OptimiseOption,
    OrderOption,
    ScaleOption,
    StagesOption,
    default_stages,
    make_spec,
)

__all__ = ["verilog"]


def verilog(
    element: ElementOption = "e2m1",
    scale: ScaleOption = "ue5m3",
    block_size: BlockSizeOption = 16,
    blocks: BlocksOption = 1,
    accumulate: AccumulateOption = "none",
    guard: GuardOption = 16,
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write to; made if need be.")
    ] = Path("build"),
    json: JsonOption = False,
) -> None:
    """Write a unit as plain Verilog, with a JSON file that describes it.

    DIR/NAME.v holds the module NAME; DIR/NAME.json its specification, latency, ports and widths. The same
    options give the same bytes on every machine.
    """
    from ..hw import DotUnit, to_verilog

    spec = make_spec(
        element=element, scale=scale, block_size=block_size, blocks=blocks, accumulate=accumulate, guard=guard
    )
    unit = DotUnit(spec, stages=default_stages(accumulate, stages), optimise=optimise, order=order)
    module = to_verilog(unit)
    paths = module.write(output)
    if json:
        print_json({"files": [str(path) for path in paths], **module.sidecar})
        return
    out = console()
    ports = table(f"{unit.name}: latency {unit.latency}", "port", "direction", "width>", "meaning")
    for port in unit.ports:
        ports.add_row(port.name, port.direction, str(port.width), port.meaning)
    out.print(ports)
    widths = ", ".join(f"{name.replace('_', ' ')} {width}" for name, width in unit.widths.items())
    out.print(f"widths inside: {widths} bits")
    if unit.registers_after:
        out.print(f"registers after: {', '.join(unit.registers_after)}")
    for path in paths:
        out.print(f"wrote {path}", soft_wrap=True)
