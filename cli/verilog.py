"""``blockdot verilog``: a unit's Verilog and its JSON sidecar, and what it takes to use and to try it."""

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import console, print_json, table
from .options import (
    AccumulateOption,
    BlockSizeOption,
    BlocksOption,
    ElementOption,
    FlowOption,
    FractionOption,
    GuardOption,
    InputOption,
    JsonOption,
    OfElementsOption,
    OfQuantizerOption,
    OfTensorOption,
    OptimiseOption,
    OrderOption,
    OutputFormatOption,
    PresetOption,
    RandomBitsOption,
    ResultOption,
    ScaleOption,
    SeedOption,
    SegmentOption,
    SerialOption,
    StagesOption,
    TakesCOption,
    UnitOption,
    given_options,
)
from .output import check_folder
from .requested_unit import (
    DOT_OPTIONS,
    BlockUnitOptions,
    make_block_config,
    make_config,
    make_spec,
    require_unit,
)

if TYPE_CHECKING:
    from ..hw import DequantizerConfig, QuantizerConfig, UnitConfig

__all__ = ["verilog"]


def verilog(
    context: typer.Context,
    unit: UnitOption = "dot",
    element: ElementOption = "e2m1",
    scale: ScaleOption = "ue5m3",
    block_size: BlockSizeOption = 16,
    input: InputOption = "bf16",
    method: OfQuantizerOption = "absmax",
    rounding: OfElementsOption = "nearest_even",
    random_bits: RandomBitsOption = 8,
    tensor_scale: OfTensorOption = False,
    output_format: OutputFormatOption = "bf16",
    serial: SerialOption = False,
    blocks: BlocksOption = 1,
    accumulate: AccumulateOption = "none",
    guard: GuardOption = 16,
    fraction: FractionOption = 35,
    result: ResultOption = "binary32",
    takes_c: TakesCOption = False,
    preset: PresetOption = None,
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    flow: FlowOption = "stream",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    tile: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help="A tile instead of one unit: the dot products of ROWS vectors a with COLUMNS vectors b.",
        ),
    ] = None,
    testbench: Annotated[
        int | None,
        typer.Option(
            "--testbench",
            metavar="VECTORS",
            help="Also write NAME_tb.v, a self-checking test bench in plain Verilog with so many vectors "
            "from the model.",
        ),
    ] = None,
    seed: SeedOption = 0,
    fusesoc: Annotated[
        bool,
        typer.Option(
            "--fusesoc",
            help="Also write NAME.core, a core file for FuseSoC, and NAME.vlt, which tells Verilator what "
            "not to warn of.",
        ),
    ] = False,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder to write to; made if it is not there."),
    ] = Path("build"),
    json: JsonOption = False,
) -> None:
    """Write a unit as plain Verilog, with a JSON file that describes it.

    DIR/NAME.v holds the module NAME. DIR/NAME.json holds its specification, latency, ports and widths. The
    same options give the same bytes on every machine. ``--unit quantizer`` makes a unit that turns numbers
    into blocks, ``--unit dequantizer`` one that turns blocks back into numbers.
    """
    from ..base.whole_files import write_whole
    from ..hw import DotArray, to_verilog
    from ..hw.fusesoc_core import core_file, waiver_file

    given = given_options(context)
    require_unit(unit, "dot", (*DOT_OPTIONS, "--tile"), given)
    if testbench is not None and tile is not None:
        raise ValueError("--testbench must go with one unit, not with a tile")
    if testbench is None and "--seed" in given:
        raise ValueError("--seed must go with --testbench, whose vectors it draws")
    check_folder(output)
    config: QuantizerConfig | DequantizerConfig | UnitConfig | None = make_block_config(
        unit,
        BlockUnitOptions(
            input=input,
            method=method,
            rounding=rounding,
            random_bits=random_bits,
            tensor_scale=tensor_scale,
            serial=serial,
            output_format=output_format,
        ),
        given,
        element=element,
        scale=scale,
        block_size=block_size,
        stages=stages,
        optimise=optimise,
        flow=flow,
        order=order,
    )
    if config is None:
        spec = make_spec(
            element=element,
            scale=scale,
            block_size=block_size,
            blocks=blocks,
            accumulate=accumulate,
            guard=guard,
            fraction=fraction,
            result=result,
            takes_c=takes_c,
            tensor_scale=tensor_scale,
            preset=preset,
            given=given,
        )
        config = make_config(
            spec,
            stages=stages,
            optimise=optimise,
            flow=flow,
            order=order,
            segment=segment,
            tile=None if tile is None else _shape(tile),
        )
    built = config.build()
    module = to_verilog(built)
    # All of it is made before any of it is written.
    beside: dict[str, str] = {}
    if testbench is not None:
        assert not isinstance(built, DotArray)
        from ..sim.bench.verilog_bench import verilog_bench
        from ..sim.drawn_stimulus import draw
        from ..sim.serial_stimulus import as_played

        drawn = as_played(config, draw(built.spec, testbench, seed=seed))
        beside[f"{built.name}_tb.v"] = verilog_bench(built, drawn)
    if fusesoc:
        version = importlib.metadata.version("blockdot")
        beside[f"{built.name}.core"] = core_file(built, version=version, testbench=testbench is not None)
        beside[f"{built.name}.vlt"] = waiver_file(built)
    paths = [*module.write(output), *(write_whole(output / name, text) for name, text in beside.items())]
    if json:
        print_json({"files": [str(path) for path in paths], **module.sidecar})
        return
    out = console()
    ports = table(f"{built.name}: latency {built.latency}", "port", "direction", "width>", "meaning~")
    for port in built.ports:
        ports.add_row(port.name, port.direction, str(port.width), port.meaning)
    out.print(ports)
    widths = ", ".join(f"{name.replace('_', ' ')} {width}" for name, width in built.widths.items())
    out.print(f"widths inside: {widths} bits")
    if built.registers_after:
        out.print(f"registers after: {', '.join(built.registers_after)}")
    for path in paths:
        out.print(f"wrote {path}", soft_wrap=True)


def _shape(text: str) -> tuple[int, int]:
    """Return the rows and columns of ``4x8``."""
    found = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if found is None:
        raise ValueError(f"tile must be ROWSxCOLUMNS, such as 4x4, not {text!r}")
    return int(found[1]), int(found[2])
