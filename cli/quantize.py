"""``blockdot quantize``: the error that block formats make on real tensors, and NVFP4 checkpoints of them."""

import importlib.metadata
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import typer

from ..base.argument_checks import require_finite
from ..lab.quality.quantization_error import Quantization, QuantizationError, combinations
from ..lab.quality.quantized_checkpoints import NVFP4, WEIGHT_SUFFIX, CheckpointWriter, refuse_tensor
from ..lab.quality.stored_matrices import StoredReport, examine_stored
from ..lab.quality.tensor_report import QuantizationReport, TensorReport, examine_tensors
from ..lab.reports.records import RECORDS, plain_json, write_records
from ..model.io.checkpoint import Checkpoint, Layout
from ..model.io.experts import ExpertStacks
from ..model.io.model_files import ModelFiles, is_model_folder
from ..model.io.tensor_files import list_tensors, read_tensor, split_source
from .console import console, fixed, progress_bar, table
from .options import (
    ElementOption,
    JsonOption,
    MethodsOption,
    RecipeOption,
    RoundingOption,
    ScalesOption,
    SeedOption,
    expand_methods,
)
from .output import check_outputs

__all__ = ["quantize"]

_CHECKPOINT: Final = ".safetensors"


def quantize(
    tensors: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="A .npy, .npz, .safetensors or .gguf file, or one tensor of it; or the folder of a model.",
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
    recipe: RecipeOption = None,
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
            help="Write the report as .csv, .json or .md, or an NVFP4 checkpoint: as .safetensors, or of a "
            "model's folder as a new folder; may be repeated.",
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option("--layout", help="Which library's names and tensor scales a checkpoint has.")
    ] = "compressed_tensors",
    share_scales: Annotated[
        bool,
        typer.Option(
            "--share-scales/--no-share-scales",
            help="In a checkpoint, give layers that engines run as one (q, k and v; gate and up) one tensor "
            "scale.",
        ),
    ] = True,
    all_matrices: Annotated[
        bool,
        typer.Option(
            "--all-matrices", help="In a checkpoint, quantize embeddings, head, routers and towers too."
        ),
    ] = False,
    original: Annotated[
        Path | None,
        typer.Option(
            "--original",
            metavar="FILE",
            help="The model, a file or folder, that stored FP4 matrices were made of: report their error.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Quantize tensors in blocks along their last axis and report the error, or write a checkpoint of them.

    The error is the mean squared error over sigma squared, sigma being the tensor's root mean square; beside
    it stands what is expected of independent normal values of that sigma. Of a whole file, the tensors with
    two or more axes are taken. The end of the output says what was left out, and why.

    NVFP4 and MXFP4 matrices that a file holds already are reported on as they are.

    A checkpoint is written tensor by tensor: every matrix named `*.weight` whose rows are whole blocks
    becomes NVFP4, but for embeddings, head, routers and the towers of pictures and sounds. Everything else is
    kept as it is. Matrices that are NVFP4 already change their layout alone. Of a model's folder, all files
    are written again, with a config.json that tells transformers and vLLM how to load it.
    """
    outputs = output or []
    folder = is_model_folder(split_source(tensors)[0])
    checkpoints = [path for path in outputs if path.suffix.lower() not in RECORDS] if folder else []
    for path in checkpoints:
        if path.suffix.lower() == _CHECKPOINT:
            raise ValueError(f"output must be a folder for the checkpoint of a folder, not {path}")
    check_outputs([path for path in outputs if path not in checkpoints], (*RECORDS, _CHECKPOINT))
    checkpoints += [path for path in outputs if path.suffix.lower() == _CHECKPOINT]
    if recipe is not None and tensor_scale is not None:
        raise ValueError("--recipe must go without --tensor-scale, which it says itself")
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
    for option, patterns in (("include", include), ("exclude", exclude)):
        _check_patterns(tensors, option, patterns or [])
    if checkpoints:
        if original is not None:
            raise ValueError(f"original must be left out where a checkpoint is written, not be {original}")
        (path, asked), (way, output_path) = split_source(tensors), _one_checkpoint(checkpoints, ways)
        if asked is not None:
            raise ValueError(f"a checkpoint must be written of a whole file, not of {asked!r} alone")
        writer = CheckpointWriter(
            path,
            way,
            layout,
            wanted.refusal,
            share_scales=share_scales,
            all_matrices=all_matrices,
            seed=seed,
            version=importlib.metadata.version("blockdot"),
        )
        with progress_bar("quantizing", writer.count) as progress:
            report = writer.write(output_path, progress)
    else:
        report = _examine(tensors, ways, wanted, seed, original)
    for path in outputs:
        if path not in checkpoints:
            write_records(path, report.rows(), report.document())
    if json:
        typer.echo(plain_json(report.document()), nl=False)
        return
    if report.tensors:
        _print(report)
        _print_saturated(report)
    if report.stored:
        _print_stored(report.stored)
    _print_left_out(report.left_out, "kept as they are" if checkpoints else "left out")
    for note in report.notes:
        console().print(note, markup=False, highlight=False, soft_wrap=True)
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


def _check_patterns(tensors: str, option: str, patterns: Sequence[str]) -> None:
    """Refuse patterns that ask for nothing.

    Raises:
        ValueError: If one matches no name, or one tensor is named already.
    """
    if not patterns:
        return
    path, asked = split_source(tensors)
    if asked is not None:
        raise ValueError(f"{option} must be left out where one tensor is named, not be {patterns[0]!r}")
    if is_model_folder(path) or path.suffix.lower() == _CHECKPOINT:
        read = Checkpoint(path)
        stored = [name for matrix in read.stored.values() for name in (matrix.name, *matrix.matrices)]
        names = {*read.files.infos, *stored, *read.refused}
    else:
        names = {info.name for info in list_tensors(path)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"{option} must match the name of a tensor in {path}, not {pattern!r}")


def _one_checkpoint(outputs: Sequence[Path], ways: Sequence[Quantization]) -> tuple[Quantization, Path]:
    """Return the one way to quantize a checkpoint, and where it goes."""
    if len(outputs) > 1:
        raise ValueError(f"output must name one checkpoint, not {len(outputs)}")
    kinds = [(way.element, way.scale, way.block_size) for way in ways]
    if kinds != [NVFP4]:
        raise ValueError(
            f"a checkpoint must be {NVFP4[0]} with {NVFP4[1]} scales in blocks of {NVFP4[2]}, in one way, "
            f"not {', '.join(way.label for way in ways)}"
        )
    return ways[0], outputs[0]


def _examine(
    tensors: str, ways: Sequence[Quantization], wanted: _Names, seed: int, original: Path | None
) -> QuantizationReport:
    """Report on one tensor, or on all of a file or folder that can be quantized or are FP4 already."""
    path, asked = split_source(tensors)
    report = QuantizationReport(str(path))
    checkpoint = Checkpoint(path) if is_model_folder(path) or path.suffix.lower() == _CHECKPOINT else None
    stored = _stored(checkpoint, asked, wanted) if checkpoint else []
    if original is not None and not stored:
        raise ValueError(f"original must be left out where {tensors} holds no FP4 matrix, not be {original}")
    sources = {} if stored and asked is not None else _plain(tensors, ways, wanted, checkpoint, report)
    if not sources and not stored:
        largest = max(way.block_size for way in ways)
        raise ValueError(
            f"{tensors} must hold a floating-point tensor of two axes or more whose last axis is a "
            f"multiple of {largest}, and whose name is asked for, but none of its {len(report.left_out)} "
            "tensors is one"
        )
    with progress_bar("quantizing", len(sources) + len(stored)) as progress:
        for done, (name, source) in enumerate(sources.items()):
            progress(done, detail=name)
            x = source()
            # Of a file of many it must be said which one it is.
            require_finite(x, f"tensor {name!r}" if len(sources) > 1 else "x")
            report.tensors.append(examine_tensors(name, x, ways, seed=seed))
        before = ModelFiles(original) if original else None
        for done, name in enumerate(stored, len(sources)):
            progress(done, detail=name)
            assert checkpoint is not None
            try:
                report.stored.append(examine_stored(checkpoint, name, _values_of(before, name)))
            except ValueError as error:
                # One that is broken hides none of the others.
                if len(sources) + len(stored) == 1:
                    raise
                report.left_out[name] = str(error)
    return report


def _stored(checkpoint: Checkpoint, asked: str | None, wanted: _Names) -> list[str]:
    """Return the names of the FP4 matrices and stacks that are asked for."""
    if asked is None:
        return [name for name in checkpoint.stored if wanted.refusal(name) is None]
    for matrix in checkpoint.stored.values():
        if asked in (matrix.name, matrix.parts[0]):
            return [matrix.name]
        if asked in matrix.matrices:
            return [asked]
    if asked in checkpoint.refused:
        raise ValueError(checkpoint.refused[asked])
    return []


def _plain(
    tensors: str,
    ways: Sequence[Quantization],
    wanted: _Names,
    checkpoint: Checkpoint | None,
    report: QuantizationReport,
) -> dict[str, Callable[[], npt.NDArray[np.float32]]]:
    """Return the tensors to quantize: what gives their values, by the name shown; say what is left out."""
    path, asked = split_source(tensors)
    if asked is not None:
        return {asked: partial(read_tensor, tensors)}
    infos = list(checkpoint.files.infos.values()) if checkpoint else list_tensors(path)
    parts = {part for matrix in checkpoint.stored.values() for part in matrix.parts} if checkpoint else set()
    alone = len(infos) == 1 and not parts and not is_model_folder(path)
    if alone and wanted.refusal(infos[0].name) is None:
        return {tensors: partial(read_tensor, tensors)}
    largest = max(way.block_size for way in ways)
    experts = ExpertStacks(checkpoint.files) if checkpoint else None
    found: dict[str, Callable[[], npt.NDArray[np.float32]]] = {}
    for info in infos:
        if info.name in parts:
            continue
        stacked = experts is not None and info.name in experts.infos
        refusal = experts.refusal(info.name, largest) if experts and stacked else refuse_tensor(info, largest)
        refusal = refusal or wanted.refusal(info.name)
        if refusal is not None:
            report.left_out[info.name] = refusal
        elif experts and stacked:
            found[info.name] = partial(experts.values, info.name)
        elif checkpoint:
            found[info.name] = partial(checkpoint.files.values, info.name)
        else:
            found[info.name] = partial(read_tensor, f"{path}:{info.name}")
    return found


def _values_of(
    original: ModelFiles | None, name: str
) -> Callable[[tuple[int, ...]], npt.NDArray[np.float32]] | None:
    """Return what gives the values that an FP4 matrix was made of; None without an original."""
    if original is None:
        return None

    experts = ExpertStacks(original)
    stacks = [stack for stack in experts.infos if experts.refusal(stack, 1) is None]
    parts = {one: part for stack in stacks for one, part in experts.parts(stack).items()}

    def found() -> tuple[str, npt.NDArray[np.float32]]:
        if name in stacks:
            return name, experts.values(name)
        if name in parts:
            return parts[name].stack, experts.matrix(parts[name])
        for known in (name + WEIGHT_SUFFIX, name):
            if known in original.infos:
                return known, original.values(known)
        raise ValueError(f"original must hold {name + WEIGHT_SUFFIX!r}, but {str(original.path)!r} does not")

    def values(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        known, read = found()
        if read.shape != shape:
            raise ValueError(f"{original.label(known)} must be shaped {shape}, not {read.shape}")
        return read

    return values


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


def _print_stored(stored: Sequence[StoredReport]) -> None:
    heads = ("zero>", "subnormal>", "largest scale>", "NaN>", "largest value>")
    errors = ("MSE / sigma^2>", "SQNR>") if any(one.mse is not None for one in stored) else ()
    title = "As they are stored: the share of blocks whose scale is zero, subnormal, the largest or NaN"
    made = table(title, "matrix", "format", "layout", *heads, *errors, keys=1)
    for one in stored:
        shares = (one.zero_scales, one.subnormal_scales, one.largest_scales, one.nan_scales)
        row = [f"{one.name} {'x'.join(map(str, one.shape))}", one.format, one.layout]
        row += [*(f"{100 * share:.3f} %" for share in shares), f"{one.largest:.4g}"]
        if errors:
            told = one.mse is not None and one.sqnr is not None
            row += [f"{one.mse:.5f}", f"{fixed(one.sqnr or 0.0, 2)} dB"] if told else ["", ""]
        made.add_row(*row)
    console().print(made)


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
