"""Products of block-scaled matrices, with the bits of a specification."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .dot_product import sum_starts
from .fixed_point import canonical
from .matrix_products import MatmulOperand, Tiling, product_of
from .spec import DotSpec
from .tensor import BlockTensor

__all__ = ["check_c", "check_operands", "matmul", "scaled", "tensor_factor"]


def _check_operand(spec: DotSpec, tensor: object, index: int) -> None:
    name = "AB"[index]
    if not isinstance(tensor, BlockTensor):
        raise TypeError(f"{name} must be a BlockTensor, not {type(tensor).__name__}")
    if len(tensor.shape) != 2:
        raise ValueError(f"{name} must have 2 axes, not shape {tensor.shape}")
    if tensor.axis % 2 != 1:
        raise ValueError(f"{name} must be blocked along its last axis, not along axis {tensor.axis}")
    seen = (tensor.element, tensor.scale, tensor.block_size)
    wanted = (spec.elements[index].name, spec.scales[index].name, spec.block_size)
    if seen != wanted:
        raise ValueError(
            f"{name} must be {wanted[0]} with {wanted[1]} scales in blocks of {wanted[2]} for {spec.name}, "
            f"not {seen[0]} with {seen[1]} in blocks of {seen[2]}"
        )


def matmul(
    spec: DotSpec,
    A: BlockTensor,
    B: BlockTensor,
    C: npt.ArrayLike | None = None,
    *,
    tiling: Tiling | None = None,
) -> npt.NDArray[np.float32]:
    """Return ``A @ B.T``, or ``A @ B.T + C``, with the bits that units of `spec` give.

    Every element of the result is `spec.compute` on the blocks of one row of A and one of B, in groups of
    `spec.blocks` in ascending k. Then the tensor scales apply: unless both are 1, the result is multiplied,
    in binary32, by their product in binary32. A specification with a `tensor_scale` has units that do that
    themselves, where g is that product: the bits are the same with it and without.

    Args:
        spec: What a dot product computes; ``none`` takes matrices of one group only.
        A: Blocked along its last axis, shape (M, K), in the formats that `spec` has for a.
        B: Likewise for b, shape (N', K).
        C: What the dot products start at, float32, shape (M, N'); None unless `spec` takes it. It is added
            before a tensor scale would apply: both are 1 then.
        tiling: How to cut up the work; None for what is fastest.

    Returns:
        binary32 results, shape (M, N'). Every NaN is 0x7FC00000.

    Raises:
        TypeError: If A or B is no BlockTensor, C is not float32, or `spec` no DotSpec.
        ValueError: If C is given and `spec` does not take it, or the other way round, a tensor scale is not 1
            where C is given, a shape, a format or a block size does not fit, K is no multiple of a group, or
            there are more blocks than ``exact`` has guard bits for.
    """
    check_operands(spec, A, B)
    start = check_c(spec, A, B, C)
    spec = replace(spec, tensor_scale=False)
    unit_size = spec.unit_size if spec.accumulate == "aligned" and spec.term_size != 1 else spec.block_size
    sums = product_of(spec, MatmulOperand(A, unit_size), MatmulOperand(B, unit_size), tiling).run(start)
    return scaled(spec.rounded_at_end(sums), A, B)


def check_operands(spec: DotSpec, A: BlockTensor, B: BlockTensor) -> int:
    """Return how many groups a row of A has.

    Raises:
        TypeError: As `matmul` does.
        ValueError: As `matmul` does.
    """
    if not isinstance(spec, DotSpec):
        raise TypeError(f"spec must be a DotSpec, not {type(spec).__name__}")
    _check_operand(spec, A, 0)
    _check_operand(spec, B, 1)
    if A.shape[1] != B.shape[1]:
        raise ValueError(f"B must have {A.shape[1]} columns, as A has, not {B.shape[1]}")
    group = spec.blocks * spec.block_size
    groups, rest = divmod(A.shape[1], group)
    if rest:
        raise ValueError(f"A must have a multiple of {group} columns for {spec.name}, not {A.shape[1]}")
    if spec.accumulates:
        spec.check_groups(groups)
    elif groups != 1:
        raise ValueError(f"A must have {group} columns, one group, for {spec.name}, not {A.shape[1]}")
    return groups


def check_c(
    spec: DotSpec, A: BlockTensor, B: BlockTensor, C: npt.ArrayLike | None
) -> npt.NDArray[np.float32] | None:
    """Return what the dot products of the rows of A and of B start at, None for zero.

    Raises:
        TypeError: As `matmul` does.
        ValueError: As `matmul` does.
    """
    start = sum_starts(spec, C, (A.shape[0], B.shape[0]), "C")
    for name, tensor in (("A", A), ("B", B)):
        if start is not None and tensor.tensor_scale != 1:
            raise ValueError(
                f"{name} must have a tensor scale of 1 where C is given, not {tensor.tensor_scale}"
            )
    return start


def scaled(result: npt.NDArray[np.float32], A: BlockTensor, B: BlockTensor) -> npt.NDArray[np.float32]:
    """Return dot products of the rows of A and of B with the tensor scales applied, as `matmul` tells."""
    if A.tensor_scale == 1 and B.tensor_scale == 1:
        return result
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result *= tensor_factor(A, B)
    return canonical(result)


def tensor_factor(A: BlockTensor, B: BlockTensor) -> np.float32:
    """Return the product of two tensor scales, rounded to binary32: zero and infinite ones are possible."""
    with np.errstate(over="ignore", under="ignore"):
        return np.float32(A.tensor_scale) * np.float32(B.tensor_scale)
