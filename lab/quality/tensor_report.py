"""Reports on quantized tensors: how they look, what error each way to quantize makes, what theory expects."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...model import BlockTensor
from .quantization_error import (
    BLOCKS,
    Quantization,
    QuantizationError,
    TensorStatistics,
    measure_errors,
    statistics,
    summarize,
)
from .stored_matrices import StoredReport

__all__ = ["QuantizationReport", "TensorReport", "examine_tensors"]

_ALL = "(all)"


@dataclass(frozen=True)
class TensorReport:
    """One tensor.

    Attributes:
        name: Its name.
        shape: Its shape.
        statistics: What it looks like.
        errors: What each way to quantize makes of it.
    """

    name: str
    shape: tuple[int, ...]
    statistics: TensorStatistics
    errors: tuple[QuantizationError, ...]


@dataclass
class QuantizationReport:
    """Several tensors, quantized in the same ways.

    Attributes:
        source: The file they come from.
        tensors: In its order.
        stored: The FP4 matrices that the file holds, as they are.
        left_out: The names of those that were left out, with the reason for each.
        notes: What else is to be said of them.
    """

    source: str
    tensors: list[TensorReport] = field(default_factory=list)
    stored: list[StoredReport] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> list[QuantizationError]:
        """Return what all tensors make together, by way to quantize; see `summarize`."""
        return summarize((tensor.statistics, tensor.errors) for tensor in self.tensors)

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat record of each tensor and way, then those of the summary, named ``(all)``.

        At the end stand those of stored matrices. All records have the same keys.
        """
        rows = [
            {
                "tensor": tensor.name,
                "shape": "x".join(map(str, tensor.shape)),
                **asdict(tensor.statistics),
                **_record(error),
            }
            for tensor in self.tensors
            for error in tensor.errors
        ]
        elements = sum(tensor.statistics.elements for tensor in self.tensors)
        rows += [
            {
                "tensor": _ALL,
                "shape": "",
                "elements": elements,
                "sigma": None,
                "crest": None,
                **_record(error),
            }
            for error in self.summary()
        ]
        rows += [stored.record() for stored in self.stored]
        keys = dict.fromkeys(key for row in rows for key in row)
        return [dict.fromkeys(keys) | row for row in rows]

    def document(self) -> dict[str, Any]:
        """Return everything as one record, nested."""
        return {
            "source": self.source,
            "tensors": [
                {
                    "tensor": tensor.name,
                    "shape": list(tensor.shape),
                    **asdict(tensor.statistics),
                    "errors": [_record(error) for error in tensor.errors],
                }
                for tensor in self.tensors
            ],
            "summary": [_record(error) for error in self.summary()],
            "stored": [asdict(stored) for stored in self.stored],
            "left_out": self.left_out,
            "notes": self.notes,
        }


def _record(error: QuantizationError) -> dict[str, Any]:
    """Return a flat record; the tensor scale is its value."""
    own = {key: value for key, value in vars(error).items() if key != "quantization"}
    return {**asdict(error.quantization), **own}


def examine_tensors(
    name: str,
    x: npt.NDArray[np.float32],
    ways: Sequence[Quantization],
    *,
    quantized: Sequence[BlockTensor | None] | None = None,
    blocks: int = BLOCKS,
    seed: int = 0,
) -> TensorReport:
    """Quantize a tensor along its last axis in several ways, and report on it.

    Args:
        name: What the report calls it.
        x: A finite tensor whose last axis the block sizes divide.
        ways: How to quantize it.
        quantized: What comes of it, where that is known already.
        blocks: How many blocks theory draws where it has no integral.
        seed: Of that, and of rounding at random.

    Raises:
        TypeError: What `blockdot.model.quantize` raises.
        ValueError: What `blockdot.model.quantize` raises.
    """
    known = statistics(x)
    done = quantized or [None] * len(ways)
    errors = (
        measure_errors(x, way, quantized=tensor, known=known, blocks=blocks, seed=seed)
        for way, tensor in zip(ways, done, strict=True)
    )
    return TensorReport(name, x.shape, known, tuple(errors))
