"""What a format buys: the error that quantizing makes, of real tensors and of what theory expects of them."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ...base.argument_checks import require_block_size
from ...model import BlockTensor, formats
from ...model.formats import Rounding
from ...model.quantize import METHODS, Method, QuantizeRecipe, require_method, require_recipe
from ...model.quantize import quantize as quantize_tensor
from ...model.theory import INTEGRATED, expected_error, sampled_error

__all__ = [
    "BLOCKS",
    "Expectation",
    "Quantization",
    "QuantizationError",
    "TensorStatistics",
    "combinations",
    "decibels",
    "expect",
    "measure_errors",
    "squared_error",
    "statistics",
    "summarize",
]

BLOCKS: Final = 1 << 13
"""Blocks that are drawn where theory has no integral: a standard error of about one per cent."""

# Elements dequantized at a time: 2 MiB of float64.
_CHUNK: Final = 1 << 18


@dataclass(frozen=True)
class Quantization:
    """One way to quantize: the parameters of `blockdot.model.quantize`, which explains them."""

    element: str = "e2m1"
    scale: str = "ue5m3"
    block_size: int = 16
    method: Method = "absmax"
    rounding: Rounding = "nearest_even"
    tensor_scale: bool = False
    recipe: QuantizeRecipe | None = None

    @property
    def label(self) -> str:
        """A short name: scale format, block size, and how scales are chosen."""
        chosen = self.recipe or self.method
        return f"{self.scale} N={self.block_size} {chosen}{' +g' if self.tensor_scale else ''}"

    def quantize(
        self, x: npt.NDArray[np.float32], seed: int = 0, tensor_largest: float | None = None
    ) -> BlockTensor:
        """Quantize along the last axis; `seed` is that of rounding at random.

        Raises:
            TypeError: What `blockdot.model.quantize` raises.
            ValueError: What `blockdot.model.quantize` raises.
        """
        return quantize_tensor(
            x,
            self.element,
            self.scale,
            self.block_size,
            self.method,
            self.tensor_scale,
            rounding=self.rounding,
            rng=np.random.default_rng(seed),
            recipe=self.recipe,
            tensor_largest=tensor_largest,
        )


def combinations(
    scales: Sequence[str],
    block_sizes: Sequence[int],
    methods: Sequence[str],
    element: str = "e2m1",
    rounding: Rounding = "nearest_even",
    *,
    tensor_scale: bool = False,
    recipe: QuantizeRecipe | None = None,
) -> list[Quantization]:
    """Return every combination of method, scale format and block size that there is, in that order, once.

    Where several methods are given, those that do not go with a format are left out.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or no combination is left.
    """
    of_element = formats.require_format("element", element, signed=True)
    found: list[Quantization] = []
    refused: ValueError | None = None
    of_scales = {scale: formats.require_format("scale", scale, signed=False) for scale in scales}
    for method, scale, size in itertools.product(methods, scales, block_sizes):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        try:
            require_method(method, of_element, of_scales[scale])
        except ValueError as error:
            if len(methods) == 1:
                raise
            refused = error
            continue
        way = Quantization(element, scale, require_block_size(size), method, rounding, tensor_scale, recipe)
        if recipe is not None:
            require_recipe(recipe, of_element, of_scales[scale], size, way.method, rounding)
        if way not in found:
            found.append(way)
    if refused and not found:
        raise refused
    return found


@dataclass(frozen=True)
class Expectation:
    """What error theory expects of independent values.

    Attributes:
        mse: Mean squared error over sigma squared.
        others: What comes from elements that are not the largest of their block; None where `sampled`.
        largest: What comes from those that are; likewise.
        zero_scale: What comes from blocks whose scale is zero; likewise.
        uncertainty: How far off `mse` may be: of an integral a bound, else the standard error.
        sampled: Whether `mse` comes from samples, as there is no integral.
    """

    mse: float
    others: float | None
    largest: float | None
    zero_scale: float | None
    uncertainty: float
    sampled: bool


def expect(
    sigma: float,
    quantization: Quantization,
    distribution: str = "normal",
    *,
    tensor_scale: float = 1.0,
    blocks: int = BLOCKS,
    seed: int = 0,
    sampled: bool = False,
) -> Expectation:
    """Return the expected error of independent values of that sigma.

    Args:
        sigma: Their standard deviation.
        quantization: How they are quantized.
        distribution: Theirs; see `blockdot.model.distributions`.
        tensor_scale: What they are divided by first.
        blocks: How many are drawn where there is no integral.
        seed: Of what is drawn.
        sampled: Draw even where there is an integral.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    way = quantization
    parameters = (sigma / tensor_scale, way.element, way.scale, way.block_size, way.method, way.rounding)
    if not sampled and way.method in INTEGRATED and way.rounding != "stochastic":
        exact = expected_error(*parameters, distribution)
        return Expectation(
            exact.mse, exact.others, exact.largest, exact.zero_scale, exact.uncertainty, sampled=False
        )
    drawn = sampled_error(*parameters, distribution, blocks=blocks, seed=seed)
    return Expectation(drawn.mse, None, None, None, drawn.standard_error, sampled=True)


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
    """The error of one tensor under one quantization, or of several taken together.

    Attributes:
        quantization: How it was quantized.
        tensor_scale: What the tensor was divided by first; 1 for nothing, None for several tensors.
        mse: Mean squared error over sigma squared; 0 for a tensor of zeros.
        sqnr: Signal to quantization noise in dB: ``-10 log10(mse)``; infinite where there is no error.
        zero_blocks: Share of blocks that hold a number other than zero but whose scale is zero.
        subnormal_blocks: Share of blocks whose scale is subnormal.
        saturated_blocks: Share of blocks whose largest magnitude is beyond what the largest scale reaches.
        expected: The `mse` of independent normal values of the same sigma; None for a tensor of zeros.
        uncertainty: That of `expected`, see `Expectation`; None where that is None.
    """

    quantization: Quantization
    tensor_scale: float | None
    mse: float
    sqnr: float
    zero_blocks: float
    subnormal_blocks: float
    saturated_blocks: float
    expected: float | None
    uncertainty: float | None


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


def measure_errors(
    x: npt.NDArray[np.float32],
    quantization: Quantization,
    *,
    quantized: BlockTensor | None = None,
    known: TensorStatistics | None = None,
    blocks: int = BLOCKS,
    seed: int = 0,
) -> QuantizationError:
    """Quantize `x` along its last axis, measure the error and hold it against theory.

    Args:
        x: A finite tensor whose last axis the block size divides.
        quantization: How to quantize it.
        quantized: What comes of it, if that is known already.
        known: The tensor's statistics, if they are.
        blocks: How many blocks theory draws where it has no integral.
        seed: Of that, and of rounding at random.

    Raises:
        TypeError: What `blockdot.model.quantize` raises.
        ValueError: What `blockdot.model.quantize` raises.
    """
    if quantized is None:
        quantized = quantization.quantize(x, seed)
    sigma = (known or statistics(x)).sigma
    mse = squared_error(x, quantized) / x.size / sigma**2 if sigma else 0.0
    zero, subnormal = _low_blocks(x, quantized)
    theory = None
    if sigma:
        theory = expect(sigma, quantization, tensor_scale=quantized.tensor_scale, blocks=blocks, seed=seed)
    return QuantizationError(
        quantization,
        quantized.tensor_scale,
        mse,
        decibels(mse),
        zero,
        subnormal,
        _saturated_blocks(x, quantized),
        theory and theory.mse,
        theory and theory.uncertainty,
    )


def summarize(
    tensors: Iterable[tuple[TensorStatistics, Sequence[QuantizationError]]],
) -> list[QuantizationError]:
    """Return what several tensors, quantized in the same ways, make together.

    Each element counts alike in shares and in errors over sigma squared. The signal to noise ratio is that
    of the whole: all signal over all noise.
    """
    tensors = list(tensors)
    summary: list[QuantizationError] = []
    weights = np.array([known.elements for known, _ in tensors], np.float64)
    energies = np.array([known.elements * known.sigma**2 for known, _ in tensors])
    for column in zip(*(errors for _, errors in tensors), strict=True):
        mse = np.array([error.mse for error in column])
        # A tensor of zeros has no expectation, and no error.
        expected, uncertainty = (
            np.array([value or 0.0 for value in values])
            for values in zip(*((error.expected, error.uncertainty) for error in column), strict=True)
        )

        def mean(values: npt.ArrayLike) -> float:
            total = weights.sum()
            return float(weights @ np.asarray(values) / total) if total else 0.0

        signal = energies.sum()
        summary.append(
            QuantizationError(
                column[0].quantization,
                None,
                mean(mse),
                decibels(float(energies @ mse / signal) if signal else 0.0),
                mean([error.zero_blocks for error in column]),
                mean([error.subnormal_blocks for error in column]),
                mean([error.saturated_blocks for error in column]),
                mean(expected),
                mean(uncertainty),
            )
        )
    return summary


def decibels(mse: float) -> float:
    """Return the signal to noise ratio of an error over sigma squared; infinite where there is none."""
    return float(-10 * np.log10(mse)) if mse else float("inf")


def _low_blocks(x: npt.NDArray[np.float32], quantized: BlockTensor) -> tuple[float, float]:
    """Return the shares of blocks whose scale is zero, though they are not, and subnormal."""
    fmt = quantized.scale_format
    _, scales = quantized.blocks()
    if fmt.zero_code is None or not scales.size:
        return 0.0, 0.0
    subnormal = (fmt.kinds == "subnormal")[scales]
    lost = np.flatnonzero(scales.reshape(-1) == fmt.zero_code)
    rows = x.reshape(-1, quantized.block_size)
    zero = sum(
        int(rows[lost[start : start + _CHUNK // 16]].any(axis=1).sum())
        for start in range(0, lost.size, _CHUNK // 16)
    )
    return zero / scales.size, float(subnormal.mean())


def _saturated_blocks(x: npt.NDArray[np.float32], quantized: BlockTensor) -> float:
    """Return the share of blocks whose largest magnitude is beyond what the largest scale reaches."""
    fmt = quantized.scale_format
    _, scales = quantized.blocks()
    if not scales.size:
        return 0.0
    reach = quantized.element_format.largest * fmt.largest * quantized.tensor_scale
    top = np.flatnonzero(scales.reshape(-1) == fmt.largest_code)
    rows = x.reshape(-1, quantized.block_size)
    step = _CHUNK // 16
    # A tensor scale is rounded to float32: the largest value may lie beyond by as much.
    beyond = sum(
        int((np.abs(rows[top[start : start + step]]).max(axis=1) > reach * (1 + 2.0**-23)).sum())
        for start in range(0, top.size, step)
    )
    return beyond / scales.size


def squared_error(x: npt.NDArray[np.float32], quantized: BlockTensor) -> float:
    """Return the sum of the squared errors of a tensor that is blocked along its last axis."""
    size = quantized.block_size
    rows, codes, scales = (
        x.reshape(-1, size),
        quantized.codes.reshape(-1, size),
        quantized.scales.reshape(-1, 1),
    )
    total = 0.0
    step = max(1, _CHUNK // size)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        some = replace(quantized, codes=codes[part], scales=scales[part], axis=-1)
        difference = (rows[part].astype(np.float64) - some.dequantize()).reshape(-1)
        total += float(np.dot(difference, difference))
    return total
