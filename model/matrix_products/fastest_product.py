"""Which way of computing a product takes the least time."""

from dataclasses import replace
from typing import Final

from ..accumulate.chain import chain_is_exact
from ..fast.staircases import loops
from ..spec import DotSpec
from .aligned_product import AlignedProduct, CompiledAlignedProduct
from .operand import MatmulOperand
from .product import ComputedProduct
from .rounded_product import CompiledProduct, RoundedProduct
from .tiling import TILINGS, Tiling

__all__ = ["product_of"]

# Multiplications that take about as long as what else is compiled does for one element.
_MULTIPLICATIONS: Final = 128


def product_of(
    spec: DotSpec, a: MatmulOperand, b: MatmulOperand, tiling: Tiling | None = None
) -> "AlignedProduct | CompiledAlignedProduct | CompiledProduct | ComputedProduct | RoundedProduct":
    """Return what computes a product with the least time: all of them give the same bits.

    Args:
        spec: What a dot product computes.
        a: The left operand.
        b: The right one.
        tiling: How to cut up the work; None for what is fastest.
    """
    if spec.accumulate == "chain" and chain_is_exact(spec):
        spec = replace(spec, accumulate="fp32")
    # C may be far above or below all that `exact` adds to it.
    far = spec.takes_c and spec.accumulate == "exact"
    if spec.accumulate not in TILINGS or spec.term_size == 1 or far or spec.rounds_to_odd:
        return ComputedProduct(spec, a, b, tiling)
    elements = a.rows * b.rows * a.blocks * a.block_size // _MULTIPLICATIONS
    if spec.accumulate == "aligned":
        aligned = AlignedProduct(spec, a, b, tiling)
        if CompiledAlignedProduct.applies(aligned) and (compiled := loops(elements)):
            return CompiledAlignedProduct(aligned, compiled, tiling)
        return aligned
    product = RoundedProduct(spec, a, b, tiling)
    if CompiledProduct.applies(product) and (compiled := loops(elements)):
        return CompiledProduct(product, compiled, tiling)
    return product
