"""``blockdot quantize``: the error that block formats make on real tensors, and NVFP4 checkpoints of them."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

import typer

from ..lab.quality.quantization_error import Quantization, QuantizationError, combinations
from ..lab.quality.tensor_report import QuantizationReport, TensorReport, examine_tensors
from ..lab.reports.records import RECORDS, plain_json, write_records
from ..model import BlockTensor
from ..model.io.checkpoint import Checkpoint, Layout, write_checkpoint
from ..model.io.tensor_files import TensorInfo, list_tensors, read_tensor, split_source
from ..model.quantize import QuantizeRecipe
from .console import console, fixed, progress_bar, table
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

__all__ = ["quantize"]

_CHECKPOINT: Final = ".safetensors"
# The one format in which checkpoints are published.
_NVFP4: Final = ("e2m1", "ue4m3", 16)
_WEIGHT: Final = ".weight"


def quantize(
    tensors: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="A .npy, .npz or .safetensors file, or one tensor of it.",
            show_default=False,
        ),
    ],
    element: ElementOption = "e2m1",
    scale: ScalesOption = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option("--block-size", help="Elements under one scale; repeat it to compare. [default: 16]"),
    ] = None,
    method: MethodsOption = None,
    rounding: RoundingOption = "nearest_even",
    tensor_scale: Annotated[
        bool | None,
        typer.Option(
            "--tensor-scale/--no-tensor-scale",
            help="Divide each tensor first, so that its largest scale is the format's largest. "
            "[default: only for a checkpoint]",
        ),
    ] = None,
    recipe: Annotated[
        QuantizeRecipe | None,
        typer.Option("--recipe", help="The bits of a library's own quantizer for NVFP4."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="GLOB", help="Take only tensors of such names; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Leave out tensors of such names; may be repeated."),
    ] = None,
    seed: SeedOption = 0,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the report as .csv, .json or .md, or an NVFP4 checkpoint as .safetensors; may be "
            "repeated.",
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option("--layout", help="Whose names and tensor scales a checkpoint has.")
    ] = "compressed_tensors",
    json: JsonOption = False,
) -> None:
    """Quantize tensors in blocks along their last axis and report the error, or write a checkpoint of them.

    The error is the mean squared error over sigma squared, sigma being the tensor's root mean square; beside
    it stands what is expected of independent normal values of that sigma. Of a whole file, the tensors with
    two or more axes are taken; what is left out, and why, is said at the end.

    A checkpoint is written tensor by tensor: every matrix named `*.weight` whose rows are whole blocks
    becomes NVFP4, everything else is kept as it is. Matrices that are NVFP4 already change their layout
    alone.
    """
    outputs = output or []
    check_outputs(outputs, (*RECORDS, _CHECKPOINT))
    checkpoints = [path for path in outputs if path.suffix.lower() == _CHECKPOINT]
    ways = combinations(
        scale or (["ue4m3"] if recipe or checkpoints else ["ue4m3", "ue5m3"]),
        block_size or [16],
        expand_methods(method),
        element,
        rounding,
        tensor_scale=bool(checkpoints and not recipe) if tensor_scale is None else tensor_scale,
        recipe=recipe,
    )
    wanted = _Names(include or ["*"], exclude or [])
    if checkpoints:
        report = _write(tensors, checkpoints, ways, wanted, layout, seed)
    else:
        report = _examine(tensors, ways, wanted, seed)
    for path in outputs:
        if path not in checkpoints:
            write_records(path, report.rows(), report.document())
    if json:
        typer.echo(plain_json(report.document()), nl=False)
        return
    if report.tensors:
        _print(report)
        _print_saturated(report)
    _print_left_out(report.left_out, "kept as they are" if checkpoints else "left out")
    for path in outputs:
        console().print(f"wrote {path}", soft_wrap=True)


class _Names:
    """Which names are asked for."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include, self._exclude = include, exclude

    def refusal(self, name: str) -> str | None:
        """Return why a name is not taken; None where it is."""
        if not any(fnmatchcase(name, glob) for glob in self._include):
            return "it is not included"
        return "it is excluded" if any(fnmatchcase(name, glob) for glob in self._exclude) else None


def _refusal(info: TensorInfo, block_size: int) -> str | None:
    """Return why a tensor cannot be quantized along its last axis; None where it can."""
    if not info.readable:
        return f"its type is {info.dtype}"
    if len(info.shape) < 2:
        return "it has fewer than two axes"
    if info.shape[-1] % block_size:
        return f"its last axis has {info.shape[-1]} elements, no multiple of {block_size}"
    return None


def _examine(tensors: str, ways: Sequence[Quantization], wanted: _Names, seed: int) -> QuantizationReport:
    """Report on one tensor, or on all of a file that can be quantized."""
    path, asked = split_source(tensors)
    report = QuantizationReport(str(path))
    names = [tensors]
    if asked is None and len(infos := list_tensors(path)) != 1:
        largest = max(way.block_size for way in ways)
        names = []
        for info in infos:
            refusal = _refusal(info, largest) or wanted.refusal(info.name)
            if refusal is None:
                names.append(f"{tensors}:{info.name}")
            else:
                report.left_out[info.name] = refusal
        if not names:
            raise ValueError(
                f"{tensors} must hold a floating-point tensor of two axes or more whose last axis is a "
                f"multiple of {largest}, and whose name is asked for, but none of its {len(infos)} tensors "
                "is one"
            )
    with progress_bar("quantizing", len(names)) as progress:
        for done, name in enumerate(names):
            progress(done, detail=name)
            short = name if name == tensors and asked is None else name.removeprefix(f"{path}:")
            report.tensors.append(examine_tensors(short, read_tensor(name), ways, seed=seed))
    return report


def _write(
    source: str,
    outputs: Sequence[Path],
    ways: Sequence[Quantization],
    wanted: _Names,
    layout: Layout,
    seed: int,
) -> QuantizationReport:
    """Write a checkpoint of a whole file, and report on what was quantized."""
    if len(outputs) > 1:
        raise ValueError(f"output must name one checkpoint, not {len(outputs)}")
    kinds = [(way.element, way.scale, way.block_size) for way in ways]
    if kinds != [_NVFP4]:
        raise ValueError(
            f"a checkpoint must be {_NVFP4[0]} with {_NVFP4[1]} scales in blocks of {_NVFP4[2]}, in one way, "
            f"not {', '.join(way.label for way in ways)}"
        )
    (way,) = ways
    path, asked = split_source(source)
    if asked is not None:
        raise ValueError(f"a checkpoint must be written of a whole file, not of {asked!r} alone")
    read, report = Checkpoint(path), QuantizationReport(str(path))
    shapes = {name: read.shape(name) for name in read.layouts}
    report.left_out.update(dict.fromkeys(shapes, "it is NVFP4 already"))
    kept: list[TensorInfo] = []
    for info in read.others:
        refusal = _refusal(info, way.block_size)
        if refusal is None and len(info.shape) != 2:
            refusal = "it has more than two axes"
        if refusal is None and not info.name.endswith(_WEIGHT):
            refusal = f"its name does not end in {_WEIGHT}"
        refusal = refusal or wanted.refusal(info.name)
        if refusal is None:
            rows, columns = info.shape
            shapes[info.name.removesuffix(_WEIGHT)] = rows, columns
        else:
            report.left_out[info.name] = refusal
            kept.append(info)
    if not shapes:
        raise ValueError(f"{source} must hold a matrix to quantize, but none of its tensors is one")
    with progress_bar("quantizing", len(shapes)) as progress:
        write_checkpoint(
            outputs[0],
            shapes,
            _reader(read, way, report, progress, seed),
            layout,
            others=kept,
            read_other=read.raw,
        )
    return report


def _reader(
    read: Checkpoint, way: Quantization, report: QuantizationReport, progress: Callable[..., None], seed: int
) -> Callable[[str], BlockTensor]:
    """Return what gives the matrix of a name when its turn to be written comes."""
    done = 0

    def matrix(name: str) -> BlockTensor:
        nonlocal done
        progress(done, detail=name)
        done += 1
        if name in read.layouts:
            tensor = read.read(name)
            if tensor.nan_scales:
                told = f"{tensor.nan_scales} of its {tensor.scales.size} block scales are NaN"
                report.left_out[name] += f", and {told}"
            return tensor
        x = read_tensor(f"{read.path}:{name}{_WEIGHT}")
        quantized = way.quantize(x, seed)
        report.tensors.append(examine_tensors(name + _WEIGHT, x, [way], quantized=[quantized], seed=seed))
        return quantized

    return matrix


def _print(report: QuantizationReport) -> None:
    out = console()
    ways = ("scale", "N>", "method")
    figures = ("zero>", "subnormal>", "MSE / sigma^2>", "expected>", "SQNR>")
    title = "Error, and the share of blocks whose scale is zero or subnormal"
    made = table(title, "tensor", *ways, "sigma>", "crest>", *figures, keys=4)
    for tensor in report.tensors:
        for line, error in enumerate(tensor.errors):
            name, sigma, crest = _named(tensor)
            made.add_row(name, *_way(error), *((sigma, crest) if line == 0 else ("", "")), *_figures(error))
        made.add_section()
    out.print(made)
    if len(report.tensors) > 1:
        elements = sum(tensor.statistics.elements for tensor in report.tensors)
        made = table(f"All {len(report.tensors)} tensors, {elements} elements alike", *ways, *figures, keys=3)
        for error in report.summary():
            made.add_row(*_way(error), *_figures(error))
        out.print(made)


def _print_saturated(report: QuantizationReport) -> None:
    """Say of each tensor, and way to quantize it, where blocks are beyond the largest scale's reach."""
    for tensor in report.tensors:
        for error in tensor.errors:
            if error.saturated_blocks:
                share = f"{100 * error.saturated_blocks:.3f} %"
                console().print(
                    f"{tensor.name}: {share} of the blocks are beyond the largest scale of "
                    f"{error.quantization.label}"
                )


def _named(tensor: TensorReport) -> tuple[str, str, str]:
    shape = "x".join(map(str, tensor.shape))
    known = tensor.statistics
    return f"{tensor.name} {shape}", f"{known.sigma:.4g}", f"{known.crest:.1f}"


def _way(error: QuantizationError) -> tuple[str, str, str]:
    way = error.quantization
    return way.scale, str(way.block_size), way.recipe or way.method


def _figures(error: QuantizationError) -> tuple[str, ...]:
    return (
        f"{100 * error.zero_blocks:.3f} %",
        f"{100 * error.subnormal_blocks:.3f} %",
        f"{error.mse:.5f}",
        "" if error.expected is None else f"{error.expected:.5f}",
        f"{fixed(error.sqnr, 2)} dB",
    )


def _print_left_out(left_out: dict[str, str], what: str) -> None:
    if left_out:
        reasons: dict[str, int] = {}
        for reason in left_out.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        told = "; ".join(f"{count}, as {reason}" for reason, count in reasons.items())
        console().print(f"{what}: {told}")
