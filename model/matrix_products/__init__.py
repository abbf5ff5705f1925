"""How the products of `matmul` are computed: by way of BLAS, compiled loops, or `DotSpec.compute`.

`product_of` chooses; the others give the same bits in other ways.

Scales are folded into the elements, which is exact; what is left is ordinary matrix products. A unit is what
is added exactly and rounded once: a group of blocks, or a whole row where the accumulation is ``exact``. Let
T be the sum of the magnitudes of a unit's products, and q a quantum of them all.

- A product of floating-point matrices is exact, in whatever order it adds and with or without fused
  additions, where ``T < 2**p * q`` with the precision p: every partial sum is an integer of at most p bits
  times q. For one block of most formats, p = 24 does; over many blocks p = 53 often does, as the scales at
  hand spread less than those of the format.
- Otherwise p = 53 still holds every product, at most 28 bits wide, and the sum of n of them is off by less
  than ``n * 2**-53 * T`` or so (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). Where
  both ends of that range round to one binary32 number, it is the result. The few others are computed once
  more, one by one.

T is bounded block by block: the sum of magnitudes of products of two blocks is at most the product of their
Euclidean norms, so that another product of matrices, a block size narrower, bounds all.

The rounded units are then added as the accumulation says. Tiles of the result are small enough for them and
what is added to them to stay in a cache.

A BLAS adds up one unit well where it is long. Where there are many short ones of which float32 holds every
partial sum, compiled loops take their place if they are there: they multiply as a BLAS does, and add every
unit to its accumulator on the way, in float32, or for ``exact`` in a float64 that holds the sum of all. For
``aligned`` they add the terms of a step in float64, cut off at the largest exponent.
"""

from .aligned_product import AlignedProduct, CompiledAlignedProduct
from .fastest_product import product_of
from .operand import MatmulOperand, finite_table
from .product import ComputedProduct, MatrixProduct
from .rounded_product import CompiledProduct, RoundedProduct
from .tiling import Tiling

__all__ = [
    "AlignedProduct",
    "CompiledAlignedProduct",
    "CompiledProduct",
    "ComputedProduct",
    "MatmulOperand",
    "MatrixProduct",
    "RoundedProduct",
    "Tiling",
    "finite_table",
    "product_of",
]
