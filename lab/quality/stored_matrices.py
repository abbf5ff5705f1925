"""Reports on FP4 matrices as they are stored: their scales, their largest value, their error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...model import BlockTensor
from ...model.io.checkpoint import Checkpoint
from .quantization_error import decibels, squared_error

__all__ = ["StoredReport", "examine_stored"]


@dataclass(frozen=True)
class StoredReport:
    """One FP4 matrix of a checkpoint, or a stack of them.

    Attributes:
        name: Its name.
        format: ``NVFP4`` or ``MXFP4``.
        layout: Whose names its parts have.
        shape: Its shape.
        tensor_scale: The largest of its tensor scales; 1 where there is none.
        zero_scales: Share of its blocks whose scale is zero.
        subnormal_scales: Share of those whose scale is subnormal.
        largest_scales: Share of those whose scale is the largest of the format: they may be saturated.
        nan_scales: Share of those whose scale is NaN.
        largest: The largest finite magnitude of its values.
        mse: The mean squared error over that of the original, its root mean square squared; None without it.
        sqnr: The same in dB: ``-10 log10(mse)``.
    """

    name: str
    format: str
    layout: str
    shape: tuple[int, ...]
    tensor_scale: float
    zero_scales: float
    subnormal_scales: float
    largest_scales: float
    nan_scales: float
    largest: float
    mse: float | None = None
    sqnr: float | None = None

    def record(self) -> dict[str, Any]:
        """Return it as a flat record."""
        own = {key: value for key, value in vars(self).items() if key != "name"}
        return {"tensor": self.name, **own, "shape": "x".join(map(str, self.shape))}


def examine_stored(
    checkpoint: Checkpoint,
    name: str,
    original: Callable[[tuple[int, ...]], npt.NDArray[np.float32]] | None = None,
) -> StoredReport:
    """Report on one matrix or stack of a checkpoint, or on one matrix of a stack.

    Args:
        checkpoint: The checkpoint.
        name: What `Checkpoint.stored` calls it, or one of its `matrices`.
        original: Gives the values that it was made of, of the shape that is asked for.

    Raises:
        ValueError: What `Checkpoint.read` and `original` raise.
    """
    whole = checkpoint.stored.get(name)
    names = whole.matrices if whole else [name]
    found = whole or next(matrix for matrix in checkpoint.stored.values() if name in matrix.matrices)
    shape = whole.shape if whole else found.shape[-2:]
    before = None if original is None else original(shape).reshape(len(names), *shape[-2:])
    counts = dict.fromkeys(("zero", "subnormal", "largest", "nan"), 0)
    blocks = 0
    largest = tensor_scale = noise = signal = 0.0
    for k, one in enumerate(names):
        tensor = checkpoint.read(one)
        fmt = tensor.scale_format
        counts["zero"] += int((fmt.kinds == "zero")[tensor.scales].sum())
        counts["subnormal"] += int((fmt.kinds == "subnormal")[tensor.scales].sum())
        counts["largest"] += int((tensor.scales == fmt.largest_code).sum())
        counts["nan"] += tensor.nan_scales
        blocks += tensor.scales.size
        tensor_scale = max(tensor_scale, tensor.tensor_scale)
        largest = max(largest, _largest(tensor))
        if before is not None:
            rows = before[k].astype(np.float64).reshape(-1)
            signal += float(np.dot(rows, rows))
            noise += squared_error(before[k], tensor)
    shares = {f"{kind}_scales": count / blocks if blocks else 0.0 for kind, count in counts.items()}
    mse = None
    if before is not None:
        mse = noise / signal if signal else (float("inf") if noise else 0.0)
    return StoredReport(
        name,
        found.format,
        found.layout,
        shape,
        tensor_scale or 1.0,
        shares["zero_scales"],
        shares["subnormal_scales"],
        shares["largest_scales"],
        shares["nan_scales"],
        largest,
        mse,
        None if mse is None else decibels(mse),
    )


def _largest(tensor: BlockTensor) -> float:
    """Return the largest finite magnitude: of blocks, from their largest element."""
    codes, scales = tensor.blocks()
    elements = np.abs(tensor.element_format.values)[codes].max(axis=-1, initial=0.0)
    values = elements * tensor.scale_format.values[scales] * tensor.tensor_scale
    return float(values[np.isfinite(values)].max(initial=0.0))
