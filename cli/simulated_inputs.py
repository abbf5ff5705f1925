"""What ``blockdot simulate`` puts into a unit: random inputs, directed ones, or tensors."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..model import BlockTensor, DequantizerSpec, DotSpec, QuantizerSpec, quantize
from ..model.io.checkpoint import read_matrix
from ..model.io.tensor_files import read_tensor
from ..model.matmul import tensor_factor

if TYPE_CHECKING:
    from ..sim import QuantizerStimulus, Stimulus
    from ..sim.dequantizer_stimulus import DequantizerStimulus

__all__ = ["dequantizer_inputs", "dot_inputs", "quantizer_inputs", "read_operand", "tensor_stimulus"]


def dot_inputs(
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


def dequantizer_inputs(
    spec: DequantizerSpec, vectors: int | None, *, directed: bool, seed: int, stalls: bool
) -> "DequantizerStimulus":
    """Return what is put into a dequantizer."""
    from ..sim import dequantizer_stimulus

    if directed:
        if vectors is not None:
            raise ValueError("directed must come without vectors, which it chooses")
        return dequantizer_stimulus.directed(spec)
    return dequantizer_stimulus.random(spec, _count(vectors), seed=seed, stalls=stalls)


def quantizer_inputs(
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


def _count(vectors: int | None) -> int:
    """Return how many random inputs are drawn."""
    return 10_000 if vectors is None else vectors


def _refuse_vectors(vectors: int | None) -> None:
    """Raise ValueError if a number of inputs is given beside a tensor."""
    if vectors is not None:
        raise ValueError("vectors must not be given with a tensor, whose blocks are the vectors")


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
