"""NVFP4 checkpoints of models: what is quantized of them, what is kept, and what is said of it."""

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...base.argument_checks import require_finite
from ...base.whole_files import write_whole
from ...model import BlockTensor
from ...model.io.checkpoint import (
    TURNED_STACKS,
    Checkpoint,
    Layout,
    StoredMatrix,
)
from ...model.io.experts import ExpertMatrix, ExpertStacks, stack_arrays, stack_parts
from ...model.io.model_files import CONFIG, load_json
from ...model.io.nvfp4_files import write_checkpoint, written_tensor_scale
from ...model.io.serving import (
    ACTIVATION_SCALES,
    activation_scale,
    converted_activation_scale,
    fused_groups,
    left_out_by_default,
)
from ...model.io.tensor_files import TensorInfo
from .quantization_error import Quantization
from .served_folders import copy_others, write_config
from .tensor_report import QuantizationReport, examine_tensors

__all__ = ["NVFP4", "WEIGHT_SUFFIX", "CheckpointWriter", "refuse_tensor"]

NVFP4: Final = ("e2m1", "ue4m3", 16)
"""Elements, scales and block size of the one format in which checkpoints are written."""
WEIGHT_SUFFIX: Final = ".weight"
"""What the names of weights end in."""

# Its tensor scale, 2^-126, is the least normal number, whose reciprocal is one too.
_LEAST_LARGEST: Final = 6 * 448 * 2.0**-126


def refuse_tensor(info: TensorInfo, block_size: int) -> str | None:
    """Return why a tensor cannot be quantized along its last axis; None where it can."""
    if not info.readable:
        return f"its type is {info.dtype}"
    if len(info.shape) < 2:
        return "it has fewer than two axes"
    if info.shape[-1] % block_size:
        return f"its last axis has {info.shape[-1]} elements, no multiple of {block_size}"
    return None


@dataclass
class CheckpointWriter:
    """An NVFP4 checkpoint in the making: of a file, or of a folder with all that is in it.

    Attributes:
        source: The model: what `ModelFiles` takes.
        way: How to quantize.
        layout: Whose names and tensor scales it gets.
        wanted: Gives why a tensor of a name is not asked for; None where it is.
        share_scales: Whether layers that engines run as one get one tensor scale.
        all_matrices: Whether what `left_out_by_default` names is quantized too.
        seed: Of rounding at random.
        version: That of blockdot, for files that name their maker.
        report: What was done.

    Raises:
        FileNotFoundError: If there is no such model.
        OSError: If it cannot be opened.
        ValueError: If it is no model, there is nothing to quantize in it, or it was quantized into a format
            that is neither of the layouts.
    """

    source: Path
    way: Quantization
    layout: Layout
    wanted: Callable[[str], str | None]
    share_scales: bool = True
    all_matrices: bool = False
    seed: int = 0
    version: str = ""
    report: QuantizationReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = QuantizationReport(str(self.source))
        self._read = Checkpoint(self.source)
        self._converted: dict[str, tuple[int, int]] = {}
        self._quantized: dict[str, tuple[int, int]] = {}
        self._experts = ExpertStacks(self._read.files)
        self._parts: dict[str, ExpertMatrix] = {}
        self._stacks: list[str] = []
        self._kept: list[TensorInfo] = []
        self._largest: dict[tuple[str, ...], float] = {}
        self._scales: dict[str, float] = {}
        for name in self._read.layouts:
            self._plan_stored(name)
        for info in self._read.others:
            refusal = self._refusal(info)
            if refusal is None and info.name in self._experts.infos:
                self._plan_experts(info.name)
            elif refusal is None:
                rows, columns = info.shape
                self._quantized[info.name.removesuffix(WEIGHT_SUFFIX)] = rows, columns
            else:
                self.report.left_out[info.name] = refusal
                self._kept.append(info)
        if not self.count:
            raise ValueError(f"{self.source} must hold a matrix to quantize, but none of its tensors is one")
        self._groups = fused_groups(self._quantized) if self.share_scales else {}

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """The matrices that are written in NVFP4, each for itself."""
        return self._converted | self._quantized

    @property
    def count(self) -> int:
        """How many matrices, and stacks of them, are written in NVFP4."""
        return len(self.shapes) + len(self._stacks)

    @cached_property
    def _config(self) -> dict[str, Any] | None:
        """The ``config.json`` of a folder, having seen that what it says of quantization is known."""
        folder = self._read.files.folder
        if folder is None or not (folder / CONFIG).exists():
            return None
        config = load_json(folder / CONFIG)
        known = config.get("quantization_config")
        method = known.get("quant_method") if isinstance(known, dict) else known
        if method not in (None, "compressed-tensors", "modelopt"):
            raise ValueError(
                f"quantization of {str(folder / CONFIG)!r} must be compressed-tensors or modelopt to be "
                f"written again, not {method!r}"
            )
        return config

    def _plan_stored(self, name: str) -> None:
        """Take an NVFP4 matrix along, unless it cannot be: then its tensors are kept as they are."""
        reason = "is broken"
        try:
            tensor = self._read.read(name)
            reason = f"cannot be {self.layout}"
            written_tensor_scale(name, tensor.tensor_scale, self.layout)
        except ValueError as error:
            for part in self._read.stored[name].parts:
                self.report.left_out[part] = f"the matrix it is part of {reason}"
                self._kept.append(self._read.files.infos[part])
            self.report.notes.append(f"{name} is kept as it is: {error}")
            return
        self._converted[name] = self._read.shape(name)
        self._scales[name] = tensor.tensor_scale
        self.report.left_out[name] = "it is NVFP4 already"
        if tensor.nan_scales:
            told = f"{tensor.nan_scales} of its {tensor.scales.size} block scales are NaN"
            self.report.left_out[name] += f", and {told}"

    def _plan_experts(self, name: str) -> None:
        """Take a stack of experts: as it is, or as a matrix for each expert."""
        assert self._experts.form is not None
        if self.layout in self._experts.form.stacks:
            self._stacks.append(name)
            return
        parts = self._experts.parts(name)
        self._parts |= parts
        self._quantized |= {name: part.shape for name, part in parts.items()}

    def _refusal(self, info: TensorInfo) -> str | None:
        if info.name in self._experts.infos:
            refusal = self._experts.refusal(info.name, self.way.block_size, self.layout)
        else:
            refusal = refuse_tensor(info, self.way.block_size)
            if refusal is None and len(info.shape) != 2:
                refusal = "it has more than two axes"
            if refusal is None and not info.name.endswith(WEIGHT_SUFFIX):
                refusal = f"its name does not end in {WEIGHT_SUFFIX}"
        if refusal is None and not self.all_matrices:
            refusal = left_out_by_default(info.name.removesuffix(WEIGHT_SUFFIX))
        return refusal or self.wanted(info.name)

    def write(self, output: Path, progress: Callable[..., None]) -> QuantizationReport:
        """Write it, whole or not at all.

        Args:
            output: A file for a file, a folder for a folder; such a folder must not exist, or be empty.
            progress: Is told how many matrices are done, and the name of the next as `detail`.

        Raises:
            OSError: If it cannot be written.
            ValueError: If a tensor cannot be quantized, or the folder is not empty.
        """
        self._done = 0
        self._made: tuple[str, tuple[npt.NDArray[np.generic], ...]] | None = None
        self._progress = progress
        files = self._read.files
        self._note_scales()
        if files.folder is None:
            (file_name,) = files.files
            self._write_file(output, file_name)
            return self.report
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise ValueError(f"output must be a new folder or an empty one, not {output}")
        config = self._config
        beside = output.with_name(f".{uuid.uuid4().hex}.partial")
        beside.mkdir()
        try:
            self._write_folder(beside, config)
            if output.exists():
                output.rmdir()
            beside.rename(output)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return self.report

    def _write_folder(self, folder: Path, config: dict[str, Any] | None) -> None:
        files = self._read.files
        where: dict[str, str] = {}
        total = 0
        for file_name in files.files:
            for info in self._write_file(folder / file_name, file_name):
                where[info.name] = file_name
                total += info.byte_count
        if files.index:
            metadata = load_json(files.index).get("metadata")
            index = {
                "metadata": (metadata if isinstance(metadata, dict) else {}) | {"total_size": total},
                "weight_map": dict(sorted(where.items())),
            }
            write_whole(folder / files.index.name, json.dumps(index, indent=2) + "\n")
        left_behind = copy_others(files, folder)
        if left_behind:
            self.report.notes.append(f"other weight files are not copied: {', '.join(left_behind)}")
        if config is None:
            self.report.notes.append("no config.json is written: there is none in the model's folder")
            return
        scaled = {
            info.name.removesuffix(suffix)
            for info in self._kept
            for suffix in ACTIVATION_SCALES.values()
            if info.name.endswith(suffix)
        }
        with_scales = scaled.intersection(self.shapes)
        activations = len(with_scales) == len(self.shapes)
        if with_scales and not activations:
            self.report.notes.append(
                f"{len(with_scales)} of {len(self.shapes)} matrices have an activation scale: "
                f"{CONFIG} tells of weights alone"
            )
        write_config(
            folder, config, self.layout, self._ignored(), activations=activations, version=self.version
        )

    def _write_file(self, path: Path, file_name: str) -> list[TensorInfo]:
        """Write what goes into one file; return what it holds. A file with nothing to hold is not written."""
        files = self._read.files

        def here(name: str) -> bool:
            if name in self._parts:
                return files.file_name(self._parts[name].stack) == file_name
            part = self._read.stored[name].parts[0] if name in self._converted else name + WEIGHT_SUFFIX
            return files.file_name(part) == file_name

        shapes = {name: shape for name, shape in self.shapes.items() if here(name)}
        others: list[TensorInfo] = []
        sources: dict[str, str] = {}
        for info in self._kept:
            if files.file_name(info.name) == file_name:
                written = self._renamed(info) or info
                others.append(written)
                sources[written.name] = info.name

        stacks: dict[str, tuple[str, int]] = {}
        for name in self._stacks:
            if files.file_name(name) == file_name:
                parts = stack_parts(name, self._experts.shape(name))
                others += parts
                stacks |= {part.name: (name, place) for place, part in enumerate(parts)}

        def other(name: str) -> npt.NDArray[Any]:
            if name in stacks:
                stack, place = stacks[name]
                return self._stack(stack)[place]
            raw = files.raw(sources[name])
            return raw if sources[name] == name else activation_scale(raw)

        if not shapes and not others:
            return []
        write_checkpoint(
            path,
            shapes,
            self._matrix,
            self.layout,
            others=others,
            read_other=other,
            metadata=files.files[file_name].metadata,
        )
        return list(Checkpoint(path).files.infos.values())

    def _renamed(self, info: TensorInfo) -> TensorInfo | None:
        """Return what an activation scale becomes where its matrix changes its layout."""
        changed = {name for name, layout in self._read.layouts.items() if layout != self.layout}
        return converted_activation_scale(info, changed.intersection(self._converted), self.layout)

    def _matrix(self, name: str) -> BlockTensor:
        """Return the matrix of a name when its turn to be written comes."""
        self._progress(self._done, detail=name)
        self._done += 1
        if name in self._converted:
            return self._read.read(name)
        x = self._values(name)
        group = self._groups.get(name)
        quantized = self._quantize(name, x, self._largest_of(group) if group else None)
        self.report.tensors.append(
            examine_tensors(name + WEIGHT_SUFFIX, x, [self.way], quantized=[quantized], seed=self.seed)
        )
        return quantized

    def _quantize(self, name: str, x: npt.NDArray[np.float32], largest: float | None) -> BlockTensor:
        require_finite(x, f"matrix {name!r}")
        if self.way.tensor_scale and not self.way.recipe:
            # A smaller tensor scale has no reciprocal. Next to nothing, as in a dead expert, becomes zero.
            known = float(np.abs(x).max(initial=0)) if largest is None else largest
            if 0 < known < _LEAST_LARGEST:
                largest = _LEAST_LARGEST
        return self.way.quantize(x, self.seed, largest)

    def _values(self, name: str) -> npt.NDArray[np.float32]:
        """Return the values of a matrix that is to be quantized."""
        if name in self._parts:
            return self._experts.matrix(self._parts[name])
        return self._read.files.values(name + WEIGHT_SUFFIX)

    def _stack(self, name: str) -> tuple[npt.NDArray[np.generic], ...]:
        """Return what the tensors of a quantized stack hold; they are asked for one after the other."""
        if self._made is None or self._made[0] != name:
            self._progress(self._done, detail=name)
            self._done += 1
            x = self._experts.values(name)
            quantized = self._quantize(name, x, None)
            report = examine_tensors(name, x, [self.way], quantized=[quantized], seed=self.seed)
            self.report.tensors.append(report)
            self._made = name, stack_arrays(quantized)
        return self._made[1]

    def _largest_of(self, group: tuple[str, ...]) -> float | None:
        """Return the largest magnitude of several matrices; None where no tensor scale is made."""
        if not (self.way.tensor_scale or self.way.recipe):
            return None
        if group not in self._largest:
            found = 0.0
            for name in group:
                x = self._values(name)
                # Where it is not finite, quantizing says where.
                found = max(found, float(np.nan_to_num(np.abs(x), nan=0, posinf=0).max(initial=0)))
            self._largest[group] = found
        return self._largest[group]

    def _note_scales(self) -> None:
        """Say what an engine would stumble over, and what changes besides the names."""
        notes = self.report.notes
        changed = sum(
            layout != self.layout for name, layout in self._read.layouts.items() if name in self._scales
        )
        if changed:
            notes.append(f"{changed} NVFP4 matrices changed their layout to {self.layout}")
        shared = len(set(self._groups.values()))
        if shared and (self.way.tensor_scale or self.way.recipe):
            notes.append(f"one tensor scale for each of {shared} groups of layers that engines run as one")
        renamed = sum(self._renamed(info) is not None for info in self._kept)
        if renamed:
            notes.append(f"{renamed} activation scales became {ACTIVATION_SCALES[self.layout][1:]}, as 1 / x")
        stacked = [tuple(group) for group in self._experts.groups()]
        taken = {*self.shapes, *self._stacks, *(part.stack for part in self._parts.values())}
        for group in dict.fromkeys([*fused_groups(self._layers()).values(), *stacked]):
            inside = [name for name in group if name in taken]
            if inside and len(inside) < len(group):
                notes.append(
                    f"of {', '.join(group)}, which engines run as one, only {', '.join(inside)} are NVFP4"
                )
            scales = {self._scales[name] for name in group if name in self._scales}
            if len(scales) > 1:
                notes.append(f"{', '.join(group)}, which engines run as one, differ in their tensor scale")
        for name in [*(one.name for one in self._strange), *self._read.refused]:
            if self._read.files.folder:
                notes.append(f"{name} is kept as it is, and {CONFIG} tells nothing of its format")

    def _layers(self) -> list[str]:
        """Return every layer that has a matrix, of whatever format."""
        plain = [
            info.name.removesuffix(WEIGHT_SUFFIX)
            for info in self._read.others
            if info.name.endswith(WEIGHT_SUFFIX) and len(info.shape) == 2
        ]
        return list(dict.fromkeys([*self._read.stored, *plain]))

    def _ignored(self) -> list[str]:
        """Return the layers that stay as they are: what has a weight of two axes or more, and the head.

        A head that shares the embeddings' weights has no tensor of its own.
        """
        layers = [
            info.name.removesuffix(WEIGHT_SUFFIX)
            for info in self._kept
            if info.name.endswith(WEIGHT_SUFFIX) and len(info.shape) > 1
        ]
        # The layer of experts that are kept has no tensor of its own name.
        kept = {info.name for info in self._kept}
        experts = [name.rpartition(".")[0] for name in self._experts.infos if name in kept]
        strange = [one.name for one in self._strange]
        heads = [] if "lm_head" in self.shapes else ["lm_head"]
        return sorted({*layers, *experts, *strange, *self._read.refused, *heads})

    @property
    def _strange(self) -> list[StoredMatrix]:
        """The FP4 matrices and stacks that are kept, and are not what the layout is for."""
        return [
            matrix
            for matrix in self._read.stored.values()
            if matrix.name not in self._read.layouts
            and not (
                matrix.layout == TURNED_STACKS and matrix.format == "NVFP4" and self.layout == "modelopt"
            )
        ]
