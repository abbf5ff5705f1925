"""``chain``: the products of a block added one by one in binary32, and the scales multiplied in after them.

So an emulator of a GPU does it (rocjitsu, of AMD's gfx1250): a block's sum starts at +0, and a fused
multiply-add in binary32 adds each product in turn; that times the scale of a is rounded to binary32, and so
is that times the scale of b; the result is added to the sum. As everywhere here, a value that is exactly
zero is +0. The emulator's is -0 where a scale of zero meets a sum below zero, which counts where C is -0.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..fixed_point import LARGEST_EXPONENT, LEAST_EXPONENT, canonical, round_sum
from .accumulation import Accumulation
from .fp32 import Fp32Sums

if TYPE_CHECKING:  # a specification asks for its accumulation
    from ..spec import DotSpec

__all__ = ["CHAIN", "ChainSums", "chain_bounds", "chain_is_exact", "exact_products", "first_scale_is_exact"]

_BITS = 24
_DOUBLE_BITS = 53


def exact_products(spec: "DotSpec") -> int:
    """Return how many products of a block binary32 adds without rounding, whatever they are: one at least."""
    # Every partial sum is an integer of the products' quantum.
    return max(1, min(spec.block_size, (1 << _BITS) // (spec.largest_sum // spec.block_size)))


def chain_bounds(spec: "DotSpec") -> list[int]:
    """Return the largest magnitude after each product, in quanta.

    Rounding may take it above the exact sum.
    """
    product = spec.largest_sum // spec.block_size
    bounds: list[int] = []
    for k in range(spec.block_size):
        total = product + (bounds[-1] if bounds else 0)
        drop = max(total.bit_length() - _BITS, 0) if k else 0
        kept, rest = total >> drop, total & ((1 << drop) - 1)
        bounds.append((kept + (2 * rest + (kept & 1) > 1 << drop)) << drop)
    return bounds


def first_scale_is_exact(spec: "DotSpec", *, but_overflow: bool = False) -> bool:
    """Return whether binary32 holds every sum of a block times every scale of a.

    Args:
        spec: The specification.
        but_overflow: Whether to leave aside that one may be too large.
    """
    largest = chain_bounds(spec)[-1]
    quantum = sum(fmt.quantum_exponent for fmt in spec.elements)
    significands, exponents = (array.tolist() for array in spec.scales[0].split(spec.scales[0].codes))
    for significand, exponent in zip(significands, exponents, strict=True):
        wide = (largest * significand).bit_length()
        # A power of two leaves a sum the bits that it has.
        holds = wide <= _BITS or not significand & (significand - 1)
        small = quantum + exponent < LEAST_EXPONENT
        large = wide + quantum + exponent > LARGEST_EXPONENT + 1 and not but_overflow
        if not holds or small or large:
            return False
    return True


def chain_is_exact(spec: "DotSpec") -> bool:
    """Return whether a block's value is rounded once, by the scale of b: ``chain`` is ``fp32`` then."""
    return exact_products(spec) == spec.block_size and first_scale_is_exact(spec)


class ChainSums(Fp32Sums):
    """Those of ``fp32``, with a block's value as a chain of roundings."""

    def rounded(self, *codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float32]:
        """See `Fp32Sums`."""
        spec = self._spec
        if chain_is_exact(spec):
            return super().rounded(*codes)
        a, b, a_scale, b_scale = (
            fmt.values[array[..., 0, :] if k < 2 else array[..., 0]]
            for k, (fmt, array) in enumerate(zip(spec.elements + spec.scales, codes, strict=True))
        )
        quantum = sum(fmt.quantum_exponent for fmt in spec.elements)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            total = np.zeros(a_scale.shape, np.float32)
            for k in range(spec.block_size):
                terms = [total.astype(np.float64), a[..., k] * b[..., k]]
                if spec.sum_bits <= _DOUBLE_BITS:
                    total = (terms[0] + terms[1]).astype(np.float32)
                else:
                    total = round_sum(terms, quantum_exponent=quantum, bits=spec.sum_bits)
            for scale in (a_scale, b_scale):
                # Exact in float64: there are scales that binary32 lacks. What a scale of zero makes is +0.
                product = total.astype(np.float64) * scale + np.where(scale == 0, 0.0, -0.0)
                total = product.astype(np.float32)
        return canonical(total)


CHAIN = Accumulation(
    meaning="binary32 FMA by FMA",
    sums=ChainSums,
    end_formats=("binary16", "bfloat16"),
    starts_at_c=True,
    most_blocks=1,
)
