"""What a scale format buys: the error that quantizing a real tensor makes."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..model import BlockTensor, formats, quantize
from ..model.quantize import Method

__all__ = ["QuantizationError", "TensorStatistics", "measure", "statistics"]

# Rows of blocks dequantized at a time: 2 MiB of float64.
_CHUNK: Final = 1 << 18


@dataclass(frozen=True)
class TensorStatistics:
    """What a tensor looks like before it is quantized.

    Attributes:
        elements: How many there are.
        sigma: Their standard deviation about zero, which is what an error is held against.
        crest: The largest magnitude over sigma; 0 for a tensor of zeros.
    """

    elements: int
    sigma: float
    crest: float


@dataclass(frozen=True)
class QuantizationError:
    """The error of one tensor under one quantization.

    Attributes:
        scale: Scale format.
        block_size: Elements under one scale.
        method: How the scales were chosen.
        mse: Mean squared error over sigma squared; 0 for a tensor of zeros.
        sqnr: Signal to quantization noise in dB: ``-10 log10(mse)``; infinite where there is no error.
        zero_blocks: Share of blocks that hold a number other than zero but whose scale is zero.
        subnormal_blocks: Share of blocks whose scale is subnormal.
    """

    scale: str
    block_size: int
    method: str
    mse: float
    sqnr: float
    zero_blocks: float
    subnormal_blocks: float


def statistics(x: npt.NDArray[np.float32]) -> TensorStatistics:
    """Measure a tensor of any shape."""
    flat = x.reshape(-1)
    total = 0.0
    largest = 0.0
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.float64)
        total += float(np.dot(part, part))
        largest = max(largest, float(np.abs(part).max(initial=0.0)))
    sigma = (total / flat.size) ** 0.5 if flat.size else 0.0
    return TensorStatistics(flat.size, sigma, largest / sigma if sigma else 0.0)


def measure(
    x: npt.NDArray[np.float32],
    *,
    element: str = "e2m1",
    scale: str,
    block_size: int,
    method: Method = "absmax",
    sigma: float | None = None,
) -> QuantizationError:
    """Quantize `x` along its last axis and measure the error.

    Args:
        x: A finite tensor whose last axis the block size divides.
        element: Element format.
        scale: Scale format.
        block_size: Elements under one scale.
        method: How scales are chosen; see `blockdot.model.quantize`.
        sigma: The tensor's, if it is known already.

    Raises:
        ValueError: What `quantize` raises.
    """
    quantized = quantize(x, element=element, scale=scale, block_size=block_size, method=method)
    if sigma is None:
        sigma = statistics(x).sigma
    error = _squared_error(x, quantized)
    mse = error / x.size / sigma**2 if sigma else 0.0
    fmt = formats.get(scale)
    _, scales = quantized.blocks()
    subnormal = fmt.decode(scales) < 2.0**fmt.least_exponent
    if fmt.zero_code is None:
        zero = np.zeros(scales.shape, np.bool_)
    else:
        zero = (scales == fmt.zero_code) & x.reshape(*scales.shape, block_size).any(axis=-1)
        subnormal &= scales != fmt.zero_code
    return QuantizationError(
        scale=scale,
        block_size=block_size,
        method=method,
        mse=mse,
        sqnr=float(-10 * np.log10(mse)) if mse else float("inf"),
        zero_blocks=float(zero.mean()),
        subnormal_blocks=float(subnormal.mean()),
    )


def _squared_error(x: npt.NDArray[np.float32], quantized: BlockTensor) -> float:
    flat, back = x.reshape(-1), quantized.dequantize().reshape(-1)
    total = 0.0
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        difference = flat[part].astype(np.float64) - back[part]
        total += float(np.dot(difference, difference))
    return total
