"""``blockdot simulate``: a unit's hardware against the model, bit for bit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..model import QuantizerSpec
from .console import console, print_json, progress_bar
from .options import (
    AccumulateOption,
    BlockSizeOption,
    BlocksOption,
    BuildDirOption,
    ElementOption,
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
    count,
    given_options,
)
from .requested_unit import (
    DOT_OPTIONS,
    BlockUnitOptions,
    make_block_config,
    make_config,
    make_spec,
    require_unit,
)
from .simulated_inputs import dequantizer_inputs, dot_inputs, quantizer_inputs
from .simulated_run import run_stimulus

if TYPE_CHECKING:
    from ..hw.stream_unit import StreamUnit
    from ..sim.unit_stimulus import UnitStimulus

__all__ = ["simulate"]


def simulate(
    context: typer.Context,
    unit: UnitOption = "dot",
    element: ElementOption = "e2m1",
    scale: ScaleOption = "ue5m3",
    block_size: BlockSizeOption = 16,
    blocks: BlocksOption = 1,
    accumulate: AccumulateOption = "none",
    guard: GuardOption = 16,
    fraction: FractionOption = 35,
    result: ResultOption = "binary32",
    takes_c: TakesCOption = False,
    preset: PresetOption = None,
    input: InputOption = "bf16",
    method: OfQuantizerOption = "absmax",
    rounding: OfElementsOption = "nearest_even",
    random_bits: RandomBitsOption = 8,
    tensor_scale: OfTensorOption = False,
    output_format: OutputFormatOption = "bf16",
    serial: SerialOption = False,
    stages: StagesOption = None,
    optimise: OptimiseOption = "area",
    order: OrderOption = 0,
    segment: SegmentOption = None,
    engine: Annotated[
        Literal["pysim", "cxxrtl", "verilator", "icarus"],
        typer.Option(
            "--engine",
            help="pysim: Amaranth's own, always there; cxxrtl: compiled, for volume; verilator, icarus: "
            "cocotb on the emitted Verilog.",
        ),
    ] = "cxxrtl",
    vectors: Annotated[
        int | None,
        typer.Option("--vectors", metavar="N", parser=count, help="Random inputs to draw. [default: 10000]"),
    ] = None,
    seed: SeedOption = 0,
    longest: Annotated[
        int | None, typer.Option("--longest", help="Inputs in the longest random sum. [default: 24]")
    ] = None,
    directed: Annotated[
        bool,
        typer.Option("--directed", help="Take inputs that meet each corner case, instead of random ones."),
    ] = False,
    stalls: Annotated[
        bool, typer.Option("--stalls/--no-stalls", help="Leave gaps between inputs, and accept results late.")
    ] = True,
    tensor: Annotated[
        str | None,
        typer.Option(
            "--tensor",
            metavar="FILE[:NAME]",
            help="Take the blocks of a real tensor instead: quantized, or those of an NVFP4 checkpoint's "
            "matrix. A quantizer takes its numbers, rounded to --input.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="FILE[:NAME]",
            help="The other operand: row i of the tensor is multiplied by row i of this one, which begins "
            "again at its end. "
            "[default: the tensor's own next row]",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Write waveforms: .vcd, or .fst from verilator and icarus."
        ),
    ] = None,
    build_dir: BuildDirOption = Path("build"),
    json: JsonOption = False,
) -> None:
    """Run a unit's hardware and compare every result with the model. Exit code 1 says that one differs.

    Without a tensor the inputs are random: scale codes are drawn uniformly, and corner cases are mixed in. A
    mismatch is printed with its inputs, the expected and the seen bits, and the command that repeats it.
    """
    given = given_options(context)
    require_unit(unit, "dot", (*DOT_OPTIONS, "--longest", "--against"), given)
    block = make_block_config(
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
        order=order,
    )
    from ..sim.serial_stimulus import as_played

    built: StreamUnit
    stimulus: UnitStimulus
    if block is not None:
        built = block.build()
        if isinstance(block.spec, QuantizerSpec):
            numbers = quantizer_inputs(
                block.spec, vectors, directed=directed, seed=seed, stalls=stalls, tensor=tensor
            )
            stimulus = as_played(block, numbers)
        elif tensor is not None:
            raise ValueError("--tensor must go with --unit dot or quantizer, not with dequantizer")
        else:
            stimulus = dequantizer_inputs(block.spec, vectors, directed=directed, seed=seed, stalls=stalls)
    else:
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
        config = make_config(spec, stages=stages, optimise=optimise, order=order, segment=segment)
        built = config.build()
        stimulus = dot_inputs(
            spec,
            vectors,
            directed=directed,
            seed=seed,
            longest=longest,
            stalls=stalls,
            tensor=tensor,
            against=against,
        )
    with progress_bar(f"simulating {built.name} on {engine}", None):
        done = run_stimulus(built, stimulus, engine=engine, build_dir=build_dir, trace=trace)
    if json:
        print_json({"seed": seed, **vars(done)})
    else:
        rate = f"{done.cycles} cycles in {done.seconds:.1f} s"
        agree = done.results - done.mismatches
        out = console()
        out.print(f"{done.unit} on {engine}: {done.vectors} inputs, seed {seed}, {rate}")
        out.print(f"{agree} of {done.results} results equal the model's, bit for bit")
        if done.first_mismatch:
            out.print(done.first_mismatch, soft_wrap=True)
    if done.mismatches:
        raise typer.Exit(1)
