"""``blockdot simulate``: a unit's hardware against the model, bit for bit."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer

from ..model import BlockTensor, DequantizerSpec, DotSpec, QuantizerSpec, quantize
from ..model.io.checkpoint import read_matrix
from ..model.io.tensor_files import read_tensor
from ..model.matmul import tensor_factor
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
from .repeat_command import mismatch_text
from .requested_unit import (
    DOT_OPTIONS,
    BlockUnitOptions,
    make_block_config,
    make_config,
    make_spec,
    require_unit,
)

if TYPE_CHECKING:
    from ..hw import DotUnit
    from ..hw.stream_unit import StreamUnit
    from ..sim import Engine, QuantizerStimulus, Stimulus
    from ..sim.dequantizer_stimulus import DequantizerStimulus
    from ..sim.unit_stimulus import UnitStimulus

__all__ = ["SimulatedRun", "simulate", "simulate_tensors"]


@dataclass(frozen=True)
class SimulatedRun:
    """How a unit did on a stimulus.

    Attributes:
        unit: Name of the unit.
        engine: What simulated it.
        vectors: Inputs it took.
        results: Results it gave that the specification defines.
        mismatches: How many of them differ from the model.
        cycles: Cycles that were simulated.
        seconds: Time the simulation took, building included.
        first_mismatch: What is to be known of the first ones; empty if there is none.
    """

    unit: str
    engine: str
    vectors: int
    results: int
    mismatches: int
    cycles: int
    seconds: float
    first_mismatch: str


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
            numbers = _numbers(
                block.spec, vectors, directed=directed, seed=seed, stalls=stalls, tensor=tensor
            )
            stimulus = as_played(block, numbers)
        elif tensor is not None:
            raise ValueError("--tensor must go with --unit dot or quantizer, not with dequantizer")
        else:
            stimulus = _quantized(block.spec, vectors, directed=directed, seed=seed, stalls=stalls)
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
        stimulus = _codes(
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


def _codes(
    spec: DotSpec,
    vectors: int | None,
    *,
    directed: bool,
    seed: int,
    longest: int | None,
    stalls: bool,
    tensor: str | None,
    against: str | None,
) -> "Stimulus":
    """Return what is put into a dot product."""
    from ..sim import random
    from ..sim.unit_stimulus import LONGEST
    from ..verify.coverage.directed import directed as directed_stimulus

    if directed:
        if tensor is not None or vectors is not None:
            raise ValueError("directed must come without a tensor and without vectors, which it chooses")
        return directed_stimulus(spec)
    if tensor is None:
        if against is not None:
            raise ValueError("against must come with a tensor, not alone")
        longest = LONGEST if longest is None else longest
        return random(spec, _count(vectors), seed=seed, longest=longest, stalls=stalls)
    _refuse_vectors(vectors)
    left = read_operand(spec, 0, tensor)
    right = _next_rows(left, spec) if against is None else read_operand(spec, 1, against)
    tensors = (tensor, against) if against else (tensor,)
    return tensor_stimulus(spec, left, right, stalls=seed if stalls else None, tensors=tensors)


def _count(vectors: int | None) -> int:
    """Return how many random inputs are drawn."""
    return 10_000 if vectors is None else vectors


def _refuse_vectors(vectors: int | None) -> None:
    """Raise ValueError if a number of inputs is given beside a tensor."""
    if vectors is not None:
        raise ValueError("vectors must not be given with a tensor, whose blocks are the vectors")


def _quantized(
    spec: DequantizerSpec, vectors: int | None, *, directed: bool, seed: int, stalls: bool
) -> "DequantizerStimulus":
    """Return what is put into a dequantizer."""
    from ..sim import dequantizer_stimulus

    if directed:
        if vectors is not None:
            raise ValueError("directed must come without vectors, which it chooses")
        return dequantizer_stimulus.directed(spec)
    return dequantizer_stimulus.random(spec, _count(vectors), seed=seed, stalls=stalls)


def _numbers(
    spec: QuantizerSpec,
    vectors: int | None,
    *,
    directed: bool,
    seed: int,
    stalls: bool,
    tensor: str | None,
) -> "QuantizerStimulus":
    """Return what is put into a quantizer."""
    from ..sim import quantizer_stimulus
    from ..sim.unit_stimulus import StimulusSource

    if directed:
        if tensor is not None or vectors is not None:
            raise ValueError("directed must come without a tensor and without vectors, which it chooses")
        return quantizer_stimulus.directed(spec)
    if tensor is None:
        return quantizer_stimulus.random(spec, _count(vectors), seed=seed, stalls=stalls)
    _refuse_vectors(vectors)
    values = read_tensor(tensor).astype(np.float32, copy=False)
    if not values.size or values.shape[-1] % spec.block_size:
        raise ValueError(
            f"tensor {tensor} must have blocks of {spec.block_size} along its last axis, "
            f"not shape {values.shape}"
        )
    codes = spec.input_format.encode(values)
    stimulus = quantizer_stimulus.from_numbers(
        spec,
        codes,
        g=spec.tensor_scale_of(spec.input_format.to_float32(codes)),
        seed=seed,
        stalls=seed if stalls else None,
    )
    # What is offered and accepted comes from the seed as well.
    source = StimulusSource(kind="tensor", seed=seed, stalls=stalls, tensors=(tensor,))
    return replace(stimulus, source=source)


def run_stimulus(
    unit: "StreamUnit",
    stimulus: "UnitStimulus",
    *,
    engine: "Engine",
    build_dir: Path,
    trace: Path | None = None,
) -> SimulatedRun:
    """Run a stimulus and compare the results with the model's."""
    from ..sim import run
    from ..verify.compare import compare

    start = time.perf_counter()
    response = run(unit, stimulus, engine=engine, build_dir=build_dir / "sim", trace=trace)
    seconds = time.perf_counter() - start
    report = compare(unit.config, stimulus, response, engine=engine)
    return SimulatedRun(
        unit=unit.name,
        engine=engine,
        vectors=stimulus.vectors,
        results=report.compared + report.missing,
        mismatches=report.differing + report.missing,
        cycles=response.cycles,
        seconds=seconds,
        first_mismatch="" if report.equal else "\n".join(map(mismatch_text, report.mismatches)),
    )


def simulate_tensors(
    unit: "DotUnit", left: BlockTensor, right: BlockTensor, *, build_dir: Path, engine: "Engine" = "cxxrtl"
) -> SimulatedRun:
    """Run every block of two quantized matrices of equal shape through a unit, row against row."""
    stimulus = tensor_stimulus(unit.spec, left, right)
    return run_stimulus(unit, stimulus, engine=engine, build_dir=build_dir)


def tensor_stimulus(
    spec: DotSpec,
    left: BlockTensor,
    right: BlockTensor,
    *,
    stalls: int | None = None,
    tensors: tuple[str, ...] = (),
) -> "Stimulus":
    """Return the stimulus in which row i of `left` meets row i of `right`, modulo its rows.

    Where the specification accumulates, the blocks of a whole row are one sum.

    Raises:
        ValueError: If the rows differ in length, or `blocks` does not divide the blocks of a row.
    """
    from ..sim import from_blocks

    codes: list[Any] = []
    scales: list[Any] = []
    for tensor in (left, right):
        elements, factors = tensor.blocks()
        codes.append(elements.reshape(-1, *elements.shape[-2:]))
        scales.append(factors.reshape(-1, factors.shape[-1]))
    if codes[0].shape[1] != codes[1].shape[1]:
        raise ValueError(
            f"tensors must have rows of equal length, not {left.shape[-1]} and {right.shape[-1]} elements"
        )
    rows, per_row = codes[0].shape[:2]
    if per_row % spec.blocks:
        raise ValueError(f"blocks must divide the {per_row} blocks of a row, not be {spec.blocks}")
    other = np.arange(rows) % len(codes[1])
    groups = (rows, per_row // spec.blocks, spec.blocks)
    return from_blocks(
        spec,
        codes[0].reshape(*groups, spec.block_size),
        codes[1][other].reshape(*groups, spec.block_size),
        scales[0].reshape(groups),
        scales[1][other].reshape(groups),
        g=_factors(spec, left, right, groups),
        stalls=stalls,
        tensors=tensors,
    )


def _factors(
    spec: DotSpec, left: BlockTensor, right: BlockTensor, groups: tuple[int, int, int]
) -> npt.NDArray[np.float32] | None:
    """Return the product of both tensor scales for each result; None where the unit has no such input."""
    if not spec.tensor_scale:
        return None
    return np.full(groups[:1] if spec.accumulates else groups[:2], tensor_factor(left, right), np.float32)


def read_operand(spec: DotSpec, operand: int, source: str) -> BlockTensor:
    """Return a tensor in the formats of an operand: quantized, or an NVFP4 matrix as it is published."""
    wanted = (spec.elements[operand].name, spec.scales[operand].name, spec.block_size)
    published = read_matrix(source)
    if published is None:
        element, scale, block_size = wanted
        return quantize(read_tensor(source), element=element, scale=scale, block_size=block_size)
    seen = (published.element, published.scale, published.block_size)
    if seen != wanted:
        raise ValueError(
            f"tensor {source} must be {wanted[0]} with {wanted[1]} scales in blocks of {wanted[2]} for "
            f"{spec.name}, not {seen[0]} with {seen[1]} in blocks of {seen[2]}"
        )
    return published


def _next_rows(tensor: BlockTensor, spec: DotSpec) -> BlockTensor:
    """Return the tensor with its rows moved up by one, in the formats of the other operand."""
    if spec.elements[0] != spec.elements[1] or spec.scales[0] != spec.scales[1]:
        raise ValueError("against must be given where the operands' formats differ, not left out")
    matrix = BlockTensor(
        tensor.codes.reshape(-1, tensor.shape[-1]),
        tensor.scales.reshape(-1, tensor.scales.shape[-1]),
        tensor.tensor_scale,
        tensor.element,
        tensor.scale,
        tensor.block_size,
    )
    return BlockTensor(
        np.roll(matrix.codes, -1, axis=0),
        np.roll(matrix.scales, -1, axis=0),
        matrix.tensor_scale,
        matrix.element,
        matrix.scale,
        matrix.block_size,
    )
